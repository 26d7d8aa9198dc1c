package scheduler

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskConfirm is the kind of the tasks that end duties which nobody confirmed.
const TaskConfirm = "confirm"

// ConfirmWithin is how long a duty waits to be confirmed.
const ConfirmWithin = 24 * time.Hour

// whyUnconfirmed is PausedWhy of a duty that waits to be confirmed. It is a pause,
// so that whatever knows nothing of confirming does not run it.
const whyUnconfirmed = "waits to be confirmed"

// errUnconfirmed is worded for people.
var errUnconfirmed = errors.New("it waits to be confirmed by its owner, and does not run before that")

// Unconfirmed reports whether the duty waits to be confirmed.
func (d Duty) Unconfirmed() bool { return d.State == StatePaused && d.PausedWhy == whyUnconfirmed }

func confirmKey(id string) string { return TaskConfirm + ":" + id }

// ConfirmDuty is the duty whose task of kind TaskConfirm has the key.
func ConfirmDuty(key string) string { return key[min(len(key), len(confirmKey(""))):] }

// expect has somebody look at an unconfirmed duty when its time is over.
func expect(tx *migrations.Tx, d Duty) error {
	return task.Wake(tx, task.Waking{Workspace: d.Workspace, Kind: TaskConfirm, Key: confirmKey(d.ID), Due: d.CreatedAt.Add(ConfirmWithin)})
}

// Confirm has a duty that waits for it run, from its next time on. Whoever calls
// it has checked that by may. A duty that runs already stays as it is. ErrOver means
// that its last time has passed; nothing is changed then.
func (s *Scheduler) Confirm(tx *migrations.Tx, id, by string) (Duty, error) {
	return s.changeTx(tx, id, by, "confirmed", nil, func(tx *migrations.Tx, d *Duty) error {
		if !d.Unconfirmed() {
			return nil
		}
		if err := activate(tx, d); err != nil {
			return err
		}
		return task.Forget(tx, confirmKey(d.ID))
	})
}

// Expire deletes a duty that nobody confirmed in time, and reports whether it did.
// again is when to look once more, the zero time for never.
func (s *Scheduler) Expire(tx *migrations.Tx, id string) (d Duty, again time.Time, expired bool, err error) {
	d, err = load(tx, id)
	if errors.Is(err, ErrNoDuty) || err == nil && !d.Unconfirmed() {
		return Duty{}, time.Time{}, false, nil
	}
	if err != nil {
		return Duty{}, time.Time{}, false, err
	}
	if again = d.CreatedAt.Add(ConfirmWithin); again.After(tx.Now()) {
		return d, again, false, nil
	}
	d, err = s.DeleteTx(tx, id, "system", "nobody confirmed it in time")
	return d, time.Time{}, err == nil, err
}

// Unconfirmed are the duties of an owner that wait to be confirmed, with the
// requests that made them, oldest first.
func (s *Scheduler) Unconfirmed(tx *migrations.Tx, workspace, owner string) (duties []Duty, requests []string, err error) {
	rows, err := tx.Query(`SELECT COALESCE(request, ''), id FROM duties WHERE workspace = $1 AND owner = $2 AND state = 'paused' AND paused_why = $3 ORDER BY created_at, id`,
		workspace, owner, whyUnconfirmed)
	if err != nil {
		return nil, nil, fmt.Errorf("list unconfirmed duties: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var request, id string
		if err := rows.Scan(&request, &id); err != nil {
			return nil, nil, fmt.Errorf("list unconfirmed duties: %w", err)
		}
		ids, requests = append(ids, id), append(requests, request)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("list unconfirmed duties: %w", err)
	}
	for _, id := range ids {
		d, err := load(tx, id)
		if err != nil {
			return nil, nil, err
		}
		duties = append(duties, d)
	}
	return duties, requests, nil
}

// AnyTx is Get in a transaction; deleted ones are given too.
func (s *Scheduler) AnyTx(tx *migrations.Tx, id string) (Duty, error) {
	d, err := scanDuty(tx.QueryRow(`SELECT `+dutyColumns+` FROM duties WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Duty{}, ErrNoDuty
	}
	if err != nil {
		return Duty{}, fmt.Errorf("load duty %s: %w", id, err)
	}
	return d, nil
}

// Write runs work in a transaction of the store that the duties are in.
func (s *Scheduler) Write(ctx context.Context, work func(tx *migrations.Tx) error) error {
	return s.db.Write(ctx, work)
}

// New is d as a duty to make.
func (d Duty) New() NewDuty {
	return NewDuty{
		Workspace: d.Workspace, Channel: d.Channel, ChannelKind: d.ChannelKind, Kind: d.Kind, Title: d.Title, Prompt: d.Prompt, Schedule: d.Schedule, Trigger: d.Trigger,
		Report: d.Report, Thread: d.Thread, Silent: d.Silent, Owner: d.Owner, CreatedBy: d.CreatedBy, CatchUp: d.CatchUp, Overlap: d.Overlap, Quiet: d.Quiet,
		Jitter: time.Duration(d.Jitter), MostRuns: d.MostRuns, RunTokens: d.RunTokens, Tools: d.Tools, Label: d.Label, MostFails: d.MostFails,
	}
}

// Become takes over from to what people may change of a duty.
func (d *Duty) Become(to Duty) {
	d.Title, d.Prompt, d.Schedule, d.Trigger, d.Channel, d.ChannelKind, d.Report, d.Thread = to.Title, to.Prompt, to.Schedule, to.Trigger, to.Channel, to.ChannelKind, to.Report, to.Thread
	d.Silent, d.CatchUp, d.Overlap, d.Quiet, d.Jitter, d.MostRuns, d.RunTokens = to.Silent, to.CatchUp, to.Overlap, to.Quiet, to.Jitter, to.MostRuns, to.RunTokens
	d.Tools, d.Label, d.MostFails = to.Tools, to.Label, to.MostFails
}

// Check says what is wrong with a duty, in words for people, before it is made.
func (d Duty) Check() error {
	if d.ID != "" {
		return d.check()
	}
	_, err := d.New().duty()
	return err
}
