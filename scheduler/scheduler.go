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
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskDuty is the kind of the tasks of duties.
const TaskDuty = "duty"

// Kinds of a duty.
const (
	KindSchedule = "schedule" // again and again
	KindOnce     = "once"
)

// States of a run.
const (
	RunDue     = "due" // handed on
	RunDone    = "done"
	RunFailed  = "failed"
	RunSkipped = "skipped" // missed, and not made up for
)

// States of a duty.
const (
	StateActive  = "active"
	StatePaused  = "paused"
	StateDone    = "done" // a single one that has run
	StateDeleted = "deleted"
)

// What becomes of due times that were missed while nobody ran.
const (
	CatchUpSkip = "skip" // nothing
	CatchUpOnce = "once" // one run for all of them
	CatchUpAll  = "all"  // a run for each, the newest mostCatchUp
)

const (
	mostCatchUp = 10
	// grace is how late a run may begin and still count as on time.
	grace = 5 * time.Minute
	// mostMissed bounds the counting of missed times: more are told as about so
	// many.
	mostMissed = 10_000
	day        = 24 * time.Hour
	// mostPrompt and mostTitle bound what a duty says, in bytes.
	mostPrompt = 4000
	mostTitle  = 120
)

// ErrNoDuty means that there is no such duty here.
var ErrNoDuty = errors.New("there is no such duty")

// Duty is a standing responsibility.
type Duty struct {
	ID          string    `json:"id"`
	Workspace   string    `json:"workspace"`
	Kind        string    `json:"kind"`
	Title       string    `json:"title"`
	Prompt      string    `json:"prompt"` // what to do, in plain words
	Schedule    Schedule  `json:"-"`
	When        string    `json:"when"`    // Schedule in words
	NextAt      time.Time `json:"next_at"` // zero: not due any more
	Channel     string    `json:"channel"` // where the result appears
	ChannelKind string    `json:"channel_kind"`
	Owner       string    `json:"owner"` // the human who answers for it
	CreatedBy   string    `json:"created_by"`
	State       string    `json:"state"`
	CatchUp     string    `json:"catch_up"`
	CreatedAt   time.Time `json:"created_at"`
}

// NewDuty is a duty to make.
type NewDuty struct {
	Workspace, Channel, ChannelKind string
	Title, Prompt                   string
	Schedule                        Schedule
	Owner                           string
	CatchUp                         string // "" is once
	Request                         string // names the request: the same one makes one duty; "" for none
}

// Run is one occurrence of a duty.
type Run struct {
	ID     string    `json:"id"`
	Duty   string    `json:"duty"`
	DueAt  time.Time `json:"due_at"`
	Missed int64     `json:"missed,omitempty"` // earlier due times that it stands for
	State  string    `json:"state"`
	Turn   string    `json:"turn,omitempty"`
	Error  string    `json:"error,omitempty"`
	Ended  time.Time `json:"ended_at"`
}

// Fire hands a run to those who do the work, in the transaction that records it.
type Fire func(tx *migrations.Tx, d Duty, r Run) error

// Scheduler keeps the duties of all workspaces in one store.
type Scheduler struct {
	db     *migrations.DB
	ledger *ledger.Ledger
	fire   Fire
}

// New returns the scheduler of db. fire may be nil where duties are only looked
// after, not run.
func New(db *migrations.DB, l *ledger.Ledger, fire Fire) *Scheduler {
	return &Scheduler{db, l, fire}
}

// Create makes a duty. A request that has made one already gets that one.
func (s *Scheduler) Create(ctx context.Context, n NewDuty) (Duty, error) {
	if err := n.check(); err != nil {
		return Duty{}, fmt.Errorf("create duty: %w", err)
	}
	var d Duty
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		if n.Request != "" {
			var err error
			d, err = scanDuty(tx.QueryRow(`SELECT `+dutyColumns+` FROM duties WHERE workspace = $1 AND request = $2`, n.Workspace, n.Request))
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		d = Duty{
			ID: migrations.NewID("d_"), Workspace: n.Workspace, Kind: KindSchedule, Title: n.Title, Prompt: n.Prompt, Schedule: n.Schedule,
			When: n.Schedule.Describe(), NextAt: n.Schedule.Next(tx.Now()), Channel: n.Channel, ChannelKind: n.ChannelKind,
			Owner: n.Owner, CreatedBy: n.Owner, State: StateActive, CatchUp: n.CatchUp, CreatedAt: tx.Now(),
		}
		if n.Schedule.Cron == "" {
			d.Kind = KindOnce
		}
		if d.NextAt.IsZero() {
			return errors.New("its time is in the past")
		}
		now := migrations.Micros(tx.Now())
		_, err := tx.Exec(`INSERT INTO duties (id, workspace, request, kind, title, prompt, cron, tz, next_at, channel, channel_kind, owner, created_by, state, catch_up, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'active', $14, $15, $15)`,
			d.ID, d.Workspace, nullable(n.Request), d.Kind, d.Title, d.Prompt, n.Schedule.Cron, n.Schedule.TZ, migrations.Micros(d.NextAt),
			d.Channel, d.ChannelKind, d.Owner, d.CreatedBy, d.CatchUp, now)
		if err != nil {
			return err
		}
		if err := s.record(tx, d, "duty.created", d.Owner, map[string]string{"when": d.When, "next_at": d.NextAt.Format(time.RFC3339)}); err != nil {
			return err
		}
		return wake(tx, d)
	})
	if err != nil {
		return Duty{}, fmt.Errorf("create duty: %w", err)
	}
	return d, nil
}

func (n *NewDuty) check() error {
	n.Prompt, n.Title = strings.TrimSpace(n.Prompt), strings.TrimSpace(n.Title)
	if n.CatchUp == "" {
		n.CatchUp = CatchUpOnce
	}
	if n.Title == "" {
		n.Title = n.Prompt
	}
	if len(n.Title) > mostTitle {
		n.Title = strings.ToValidUTF8(n.Title[:mostTitle], "") + "…"
	}
	switch {
	case n.Workspace == "" || n.Channel == "" || n.Owner == "":
		return errors.New("workspace, channel and owner must be given")
	case n.Prompt == "":
		return errors.New("what to do is missing")
	case len(n.Prompt) > mostPrompt:
		return fmt.Errorf("what to do is too long: at most %d characters", mostPrompt)
	case n.CatchUp != CatchUpSkip && n.CatchUp != CatchUpOnce && n.CatchUp != CatchUpAll:
		return fmt.Errorf("catch-up is skip, once or all, not %q", n.CatchUp)
	}
	return n.Schedule.Validate()
}

const dutyColumns = `id, workspace, kind, title, prompt, cron, tz, next_at, channel, channel_kind, owner, created_by, state, catch_up, created_at`

func scanDuty(row interface{ Scan(...any) error }) (Duty, error) {
	var d Duty
	var next, created int64
	err := row.Scan(&d.ID, &d.Workspace, &d.Kind, &d.Title, &d.Prompt, &d.Schedule.Cron, &d.Schedule.TZ, &next, &d.Channel, &d.ChannelKind,
		&d.Owner, &d.CreatedBy, &d.State, &d.CatchUp, &created)
	if err != nil {
		return Duty{}, err
	}
	d.NextAt, d.CreatedAt = migrations.Time(next), migrations.Time(created)
	if d.Kind == KindOnce {
		d.Schedule.At = d.NextAt
	}
	if d.State == StateDone || d.State == StateDeleted {
		d.NextAt = time.Time{}
	}
	d.When = d.Schedule.Describe()
	return d, nil
}

// load is the duty id in a transaction; ErrNoDuty if there is none.
func load(tx *migrations.Tx, id string) (Duty, error) {
	d, err := scanDuty(tx.QueryRow(`SELECT `+dutyColumns+` FROM duties WHERE id = $1 AND state <> 'deleted'`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Duty{}, ErrNoDuty
	}
	return d, err
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
	return s.change(ctx, id, by, "paused", func(tx *migrations.Tx, d *Duty) error {
		if d.State != StateActive {
			return nil
		}
		d.State = StatePaused
		return nil
	})
}

// Resume lets a paused duty run again, from its next time on.
func (s *Scheduler) Resume(ctx context.Context, id, by string) (Duty, error) {
	return s.change(ctx, id, by, "resumed", func(tx *migrations.Tx, d *Duty) error {
		if d.State != StatePaused {
			return nil
		}
		d.State = StateActive
		if d.Kind == KindSchedule {
			d.NextAt = d.Schedule.Next(tx.Now())
		}
		return nil
	})
}

// Delete ends a duty for good. Its history stays.
func (s *Scheduler) Delete(ctx context.Context, id, by string) (Duty, error) {
	return s.change(ctx, id, by, "deleted", func(tx *migrations.Tx, d *Duty) error {
		d.State, d.NextAt = StateDeleted, time.Time{}
		return task.Forget(tx, dutyKey(d.ID))
	})
}

// change alters a duty and records it; what does not change is not recorded.
func (s *Scheduler) change(ctx context.Context, id, by, what string, alter func(tx *migrations.Tx, d *Duty) error) (Duty, error) {
	var d Duty
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if d, err = load(tx, id); err != nil {
			return err
		}
		was := d
		if err := alter(tx, &d); err != nil || d.State == was.State {
			return err
		}
		if err := save(tx, d); err != nil {
			return err
		}
		kind := "duty.changed"
		if d.State == StateDeleted {
			kind = "duty.deleted"
		}
		if err := s.record(tx, d, kind, by, map[string]string{"change": what}); err != nil {
			return err
		}
		if d.State == StateActive {
			return wake(tx, d)
		}
		return nil
	})
	if err != nil {
		return Duty{}, fmt.Errorf("duty %s is not %s: %w", id, what, err)
	}
	return d, nil
}

func save(tx *migrations.Tx, d Duty) error {
	next := d.NextAt
	if d.Kind == KindOnce {
		next = d.Schedule.At // its time, also when it is over
	}
	_, err := tx.Exec(`UPDATE duties SET state = $1, next_at = $2, owner = $3, updated_at = $4 WHERE id = $5`,
		d.State, migrations.Micros(next), d.Owner, migrations.Micros(tx.Now()), d.ID)
	if err != nil {
		return fmt.Errorf("save duty %s: %w", d.ID, err)
	}
	return nil
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

func wake(tx *migrations.Tx, d Duty) error {
	return task.Wake(tx, task.Waking{Workspace: d.Workspace, Kind: TaskDuty, Key: dutyKey(d.ID), Due: d.NextAt})
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
