// Package scheduler keeps promises about time: duties and their runs.
//
// It promises that a duty runs once for each due time, across restarts, clock
// changes and daylight saving, that times missed while nobody ran are made up by
// the duty's policy and told, and that every change of a duty is in the ledger.
// It must never do the work itself: a run is handed to the bot in the transaction
// that records it.
//
// Docs: docs/duties.md.
package scheduler

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// TaskDuty is the kind of the tasks of duties.
const TaskDuty = "duty"

// States of a run.
const (
	RunWaiting = "waiting" // for the run before it to end
	RunDue     = "due"     // handed on
	RunDone    = "done"
	RunFailed  = "failed"
	RunSkipped = "skipped" // missed, and not made up for; Error says why
	RunStopped = "stopped" // at a human's word, or for the run after it
)

const (
	mostCatchUp = 10
	// grace is how late a run may begin and still count as on time.
	grace = 5 * time.Minute
	// mostMissed bounds the counting of missed times: more are told as about so
	// many.
	mostMissed = 10_000
	day        = 24 * time.Hour
)

// ErrNoDuty means that there is no such duty here.
var ErrNoDuty = errors.New("there is no such duty")

// ErrOver means that a duty would not be due any more.
var ErrOver = errors.New("it would not be due any more")

// Run is one occurrence of a duty.
type Run struct {
	ID        string    `json:"id"`
	Duty      string    `json:"duty"`
	DueAt     time.Time `json:"due_at"`
	Missed    int64     `json:"missed,omitempty"` // earlier due times that it stands for
	State     string    `json:"state"`
	Turn      string    `json:"turn,omitempty"`
	Error     string    `json:"error,omitempty"`     // why it failed, was skipped or stopped
	Quiet     bool      `json:"quiet,omitempty"`     // there was nothing to report
	Cause     string    `json:"cause,omitempty"`     // what set it off beside the clock, as JSON
	AskedBy   string    `json:"asked_by,omitempty"`  // who asked for it beside the schedule
	Dry       bool      `json:"dry,omitempty"`       // it only says what it would do, to who asked
	Note      string    `json:"note,omitempty"`      // what is told with its result: what it stands for, why it is late
	NotBefore time.Time `json:"not_before,omitzero"` // of one that waits for a time
	Tries     int64     `json:"tries,omitempty"`     // how often it was handed on
	StoodBy   string    `json:"stood_by,omitempty"`  // id of the run that stands for it
	Channel   string    `json:"said_in,omitempty"`   // where its result is: channel and
	TS        string    `json:"said_at,omitempty"`   // ts of the message, "" where nothing was said
	Tokens    int64     `json:"tokens,omitempty"`    // of models
	Cost      int64     `json:"cost,omitempty"`      // in millionths
	Begun     time.Time `json:"begun_at"`            // when it was recorded
	Ended     time.Time `json:"ended_at"`
}

// Fire hands a run to those who do the work, in the transaction that records it.
type Fire func(tx *migrations.Tx, d Duty, r Run) error

// Scheduler keeps the duties of all workspaces in one store.
type Scheduler struct {
	// Stop ends a run that is at work, in favour of the next. Nil: it is waited for.
	Stop func(tx *migrations.Tx, d Duty, r Run) error
	// Tell has people told what became of a duty. Nil: nobody is.
	Tell func(tx *migrations.Tx, d Duty, n News) error
	// Crash is called at the named points duty:advanced, run:fired and run:ended; nil
	// in production.
	Crash func(point string)

	db     *migrations.DB
	ledger *ledger.Ledger
	fire   Fire

	calendars calendars
	watched   watched
	patterns  patterns
}

// Kinds of News.
const (
	NewsFailed = "failed" // a run failed; Run says why
	NewsHeld   = "held"   // it was paused, and somebody has to decide
	NewsEnded  = "ended"  // it has come to the end that it was given
)

// News is something about a duty that people should know.
type News struct {
	Kind string
	Run  Run    // the one that it comes from, if any
	Text string // a sentence or two, Markdown
}

// New returns the scheduler of db. fire may be nil where duties are only looked
// after, not run.
func New(db *migrations.DB, l *ledger.Ledger, fire Fire) *Scheduler {
	return &Scheduler{db: db, ledger: l, fire: fire, Crash: func(string) {}}
}

// Create makes a duty. A request that has made one already gets that one.
func (s *Scheduler) Create(ctx context.Context, n NewDuty) (Duty, error) {
	var d Duty
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		d, err = s.CreateTx(tx, n)
		return err
	})
	return d, err
}

// CreateTx is Create inside a transaction.
func (s *Scheduler) CreateTx(tx *migrations.Tx, n NewDuty) (Duty, error) {
	d, err := n.duty()
	if err != nil {
		return Duty{}, fmt.Errorf("create duty: %w", err)
	}
	if n.Request != "" {
		made, err := scanDuty(tx.QueryRow(`SELECT `+dutyColumns+` FROM duties WHERE workspace = $1 AND request = $2`, n.Workspace, n.Request))
		if err == nil {
			return made, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return Duty{}, fmt.Errorf("create duty: %w", err)
		}
	}
	d.ID, d.CreatedAt, d.When = migrations.NewID("d_"), tx.Now(), d.when()
	if d.byClock() {
		if d.NextAt = d.Schedule.Next(tx.Now()); d.NextAt.IsZero() {
			return Duty{}, errors.New("create duty: its time is in the past")
		}
	}
	if n.Confirm {
		d.State, d.PausedWhy = StatePaused, whyUnconfirmed
	}
	if err := insert(tx, d, n.Request); err != nil {
		return Duty{}, fmt.Errorf("create duty: %w", err)
	}
	fields := map[string]string{"kind": d.Kind, "when": d.When}
	if d.Unconfirmed() {
		fields["state"] = "unconfirmed"
		if err := expect(tx, d); err != nil {
			return Duty{}, err
		}
	}
	if !d.NextAt.IsZero() {
		fields["next_at"] = d.NextAt.Format(time.RFC3339)
	}
	if err := s.record(tx, d, "duty.created", d.CreatedBy, fields); err != nil {
		return Duty{}, err
	}
	tx.AfterCommit(s.watched.forget)
	return d, wake(tx, d)
}

// Filter says which duties are meant; empty fields mean any.
type Filter struct {
	Workspace string
	Channel   string
	Owner     string
	Deleted   bool // deleted and done ones too
}

// List gives the duties that fit, those due next first.
func (s *Scheduler) List(ctx context.Context, f Filter) ([]Duty, error) {
	rows, err := s.db.Query(ctx, `SELECT `+dutyColumns+` FROM duties
		WHERE ($1 = '' OR workspace = $1) AND ($2 = '' OR channel = $2) AND ($3 = '' OR owner = $3) AND ($4 = 1 OR state IN ('active', 'paused'))
		ORDER BY state, next_at, id`, f.Workspace, f.Channel, f.Owner, f.Deleted)
	if err != nil {
		return nil, fmt.Errorf("list duties: %w", err)
	}
	defer rows.Close()
	var all []Duty
	for rows.Next() {
		d, err := scanDuty(rows)
		if err != nil {
			return nil, fmt.Errorf("list duties: %w", err)
		}
		all = append(all, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list duties: %w", err)
	}
	return all, nil
}

// Get gives one duty; ErrNoDuty if there is none.
func (s *Scheduler) Get(ctx context.Context, id string) (Duty, error) {
	d, err := scanDuty(s.db.QueryRow(ctx, `SELECT `+dutyColumns+` FROM duties WHERE id = $1 AND state <> 'deleted'`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Duty{}, ErrNoDuty
	}
	if err != nil {
		return Duty{}, fmt.Errorf("load duty %s: %w", id, err)
	}
	return d, nil
}

// Pause keeps a duty from running until it is resumed. Pausing twice is nothing new.
func (s *Scheduler) Pause(ctx context.Context, id, by string) (Duty, error) {
	return s.PauseUntil(ctx, id, by, time.Time{}, "")
}

// PauseUntil keeps a duty from running until a time, or with the zero time until
// it is resumed.
func (s *Scheduler) PauseUntil(ctx context.Context, id, by string, until time.Time, why string) (Duty, error) {
	return s.change(ctx, id, by, "paused", func(tx *migrations.Tx, d *Duty) error { return pause(tx, d, until, why) })
}

// PauseTx is PauseUntil in a transaction of the caller's.
func (s *Scheduler) PauseTx(tx *migrations.Tx, id, by string, until time.Time, why string) (Duty, error) {
	return s.changeTx(tx, id, by, "paused", nil, func(tx *migrations.Tx, d *Duty) error { return pause(tx, d, until, why) })
}

func pause(tx *migrations.Tx, d *Duty, until time.Time, why string) error {
	if d.State != StateActive && d.State != StatePaused {
		return fmt.Errorf("it is %s", d.State)
	}
	if d.Unconfirmed() {
		return errUnconfirmed
	}
	if !until.IsZero() && !until.After(tx.Now()) {
		return errors.New("the time until which it is to pause is in the past")
	}
	d.State, d.PausedUntil, d.PausedWhy = StatePaused, until.UTC().Truncate(time.Microsecond), why
	if until.IsZero() {
		d.PausedUntil = time.Time{}
	}
	return nil
}

// Resume lets a paused duty run again, from its next time on.
func (s *Scheduler) Resume(ctx context.Context, id, by string) (Duty, error) {
	return s.change(ctx, id, by, "resumed", resume)
}

func resume(tx *migrations.Tx, d *Duty) error {
	if d.State != StatePaused {
		return nil
	}
	if d.Unconfirmed() {
		return errUnconfirmed
	}
	return activate(tx, d)
}

// activate has a paused duty run, from its next time on.
func activate(tx *migrations.Tx, d *Duty) error {
	d.State, d.PausedUntil, d.PausedWhy, d.Fails = StateActive, time.Time{}, "", 0
	if d.byClock() && d.Schedule.Cron != "" {
		if d.NextAt = d.Schedule.Next(tx.Now()); d.NextAt.IsZero() {
			return ErrOver
		}
	}
	return wakeAt(tx, *d, tx.Now()) // a run that waits may begin
}

// Delete ends a duty for good. Its history stays.
func (s *Scheduler) Delete(ctx context.Context, id, by string) (Duty, error) {
	return s.change(ctx, id, by, "deleted", remove)
}

// Edit alters what a duty is. What alter makes of it is checked as a new duty is;
// workspace, kind, state and history stay. A schedule that changes is due next by
// its new times.
func (s *Scheduler) Edit(ctx context.Context, id, by string, alter func(d *Duty) error) (Duty, error) {
	var d Duty
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		d, err = s.EditTx(tx, id, by, alter)
		return err
	})
	return d, err
}

// EditTx is Edit in a transaction.
func (s *Scheduler) EditTx(tx *migrations.Tx, id, by string, alter func(d *Duty) error) (Duty, error) {
	return s.changeTx(tx, id, by, "edited", nil, func(tx *migrations.Tx, d *Duty) error {
		was := *d
		if err := alter(d); err != nil {
			return err
		}
		d.ID, d.Workspace, d.State, d.CreatedBy, d.CreatedAt, d.Fails = was.ID, was.Workspace, was.State, was.CreatedBy, was.CreatedAt, was.Fails
		d.Kind, d.PausedUntil, d.PausedWhy = was.Kind, was.PausedUntil, was.PausedWhy
		if err := d.check(); err != nil {
			return err
		}
		if d.Schedule != was.Schedule {
			d.NextAt = time.Time{}
			if d.byClock() {
				if d.NextAt = d.Schedule.Next(tx.Now()); d.NextAt.IsZero() {
					return errors.New("its time is in the past")
				}
			}
		}
		return nil
	})
}

// Assign gives a duty another owner, in a transaction: a handoff that was
// accepted, or a human's decision. why is for the ledger.
func (s *Scheduler) Assign(tx *migrations.Tx, id, owner, by, why string) (Duty, error) {
	return s.changeTx(tx, id, by, "owner", map[string]string{"why": why}, func(_ *migrations.Tx, d *Duty) error {
		if owner == "" {
			return errors.New("nobody is named")
		}
		d.Owner = owner
		return nil
	})
}

// Hold is PauseUntil in a transaction, for what the agent itself decides: its owner
// is gone, it has failed too often. The zero time is until somebody resumes it. One
// that is done has nothing more to pause: it stays as it is.
func (s *Scheduler) Hold(tx *migrations.Tx, id, by string, until time.Time, why string) (Duty, error) {
	return s.changeTx(tx, id, by, "paused", map[string]string{"why": why}, func(tx *migrations.Tx, d *Duty) error {
		if d.State == StatePaused || d.State == StateDone {
			return nil // a human's pause stays as it is
		}
		return pause(tx, d, until, why)
	})
}

// change alters a duty and records it; what does not change is not recorded.
func (s *Scheduler) change(ctx context.Context, id, by, what string, alter func(tx *migrations.Tx, d *Duty) error) (Duty, error) {
	var d Duty
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		d, err = s.changeTx(tx, id, by, what, nil, alter)
		return err
	})
	return d, err
}

func (s *Scheduler) changeTx(tx *migrations.Tx, id, by, what string, fields map[string]string, alter func(tx *migrations.Tx, d *Duty) error) (Duty, error) {
	d, err := load(tx, id)
	if err != nil {
		return Duty{}, fmt.Errorf("duty %s is not changed: %w", id, err)
	}
	was := d
	if err := alter(tx, &d); err != nil {
		return Duty{}, fmt.Errorf("duty %s is not changed: %w", id, err)
	}
	d.When = d.when()
	if reflect.DeepEqual(d, was) {
		return d, nil
	}
	tx.AfterCommit(s.watched.forget)
	if err := save(tx, d); err != nil {
		return Duty{}, err
	}
	kind := "duty.changed"
	if d.State == StateDeleted {
		kind = "duty.deleted"
	}
	all := map[string]string{"change": what}
	maps.Copy(all, fields)
	if d.Owner != was.Owner {
		all["from"] = was.Owner
	}
	if err := s.record(tx, d, kind, by, all); err != nil {
		return Duty{}, err
	}
	return d, wake(tx, d)
}

// record appends a change of a duty to the ledger; what it is to do is erasable.
func (s *Scheduler) record(tx *migrations.Tx, d Duty, kind, actor string, fields map[string]string) error {
	fields["duty"], fields["owner"] = d.ID, d.Owner
	_, err := s.ledger.Append(tx, ledger.Record{
		Workspace: d.Workspace, Kind: kind, Actor: actor, Requester: d.Owner, Channel: d.Channel, Fields: fields,
		Payload: map[string]string{"prompt": d.Prompt},
	})
	if err != nil {
		return fmt.Errorf("record %s of duty %s: %w", kind, d.ID, err)
	}
	return nil
}

func dutyKey(id string) string { return TaskDuty + ":" + id }

// wake has the task of a duty look at it when it is due, or when its pause ends.
func wake(tx *migrations.Tx, d Duty) error {
	due := d.NextAt
	if d.State == StatePaused {
		due = d.PausedUntil
	}
	if due.IsZero() || d.State != StateActive && d.State != StatePaused {
		return nil
	}
	if d.State == StateActive {
		var err error
		if due, err = (crowds{}).beginsAt(tx, d, due); err != nil {
			return err
		}
	}
	return wakeAt(tx, d, due)
}
