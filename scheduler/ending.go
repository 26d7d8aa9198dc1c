package scheduler

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskmate/migrations"
)

// tryAgain are the distances after which a run that failed is tried again, where
// it had not begun to do anything outside.
var tryAgain = []time.Duration{5 * time.Minute, 20 * time.Minute}

// Ending is how a run ended.
type Ending struct {
	Run, Turn    string
	State        string // RunDone, RunFailed, RunStopped or RunSkipped
	Why          string // of what was not done, in words for people
	Quiet        bool   // there was nothing to report
	Outward      bool   // something outside was begun, so that it is not tried again by itself
	Tokens, Cost int64  // that the turn took
}

// After is what follows the end of a run.
type After struct {
	Again time.Time // when the same run is tried again; zero: it is not
	Next  time.Time // when the duty is due next; zero: not by the clock
	Held  bool      // it has failed too often, and waits for somebody to decide
}

// Ended notes, in the transaction that ends its turn, how a run ended, and begins
// the one that waits for it. A run that has ended before stays as it is.
func (s *Scheduler) Ended(tx *migrations.Tx, e Ending) (After, error) {
	r, err := scanRun(tx.QueryRow(`SELECT `+runColumns+` FROM runs WHERE id = $1 AND state = 'due'`, e.Run))
	if errors.Is(err, sql.ErrNoRows) {
		return After{}, nil
	}
	if err != nil {
		return After{}, fmt.Errorf("load run %s: %w", e.Run, err)
	}
	d, err := load(tx, r.Duty)
	gone := errors.Is(err, ErrNoDuty)
	if err != nil && !gone {
		return After{}, fmt.Errorf("load duty %s: %w", r.Duty, err)
	}
	after := After{Next: d.NextAt}
	r.Tokens, r.Cost = r.Tokens+e.Tokens, r.Cost+e.Cost
	if !gone && e.State == RunFailed {
		after.Again = s.again(tx, d, r, e)
	}
	state, ended := e.State, tx.Now()
	if !after.Again.IsZero() {
		state, ended = RunWaiting, time.Time{}
	}
	_, err = tx.Exec(`UPDATE runs SET state = $1, turn = $2, error = $3, said = $4, tokens = $5, cost = $6, not_before = $7, ended_at = $8 WHERE id = $9`,
		state, e.Turn, e.Why, !e.Quiet, r.Tokens, r.Cost, migrations.Micros(after.Again), migrations.Micros(ended), r.ID)
	if err != nil {
		return After{}, fmt.Errorf("end run %s: %w", r.ID, err)
	}
	if gone {
		return after, nil
	}
	if !after.Again.IsZero() {
		return after, wakeAt(tx, d, after.Again)
	}
	if r.AskedBy != "" {
		return after, nil
	}
	r.State, r.Error, r.Turn = state, e.Why, e.Turn
	if d, err = s.count(tx, d, r, &after); err != nil {
		return after, err
	}
	o, err := openRuns(tx, []any{d.ID})
	if err != nil {
		return after, err
	}
	left := o[d.ID]
	again, err := s.next(tx, d, &left)
	if err != nil || again.IsZero() {
		return after, err
	}
	return after, wakeAt(tx, d, again)
}

// again is when a run that failed is tried again, the zero time for not: what the
// clock set off is, once or twice, if nothing outside was begun and the next due
// time does not come first.
func (s *Scheduler) again(tx *migrations.Tx, d Duty, r Run, e Ending) time.Time {
	if e.Outward || r.AskedBy != "" || r.Cause != "" || !d.byClock() || int(r.Tries) > len(tryAgain) || r.Tries == 0 || d.State != StateActive && d.State != StateDone {
		return time.Time{}
	}
	at := tx.Now().Add(tryAgain[r.Tries-1])
	if !d.NextAt.IsZero() && !at.Before(d.NextAt) {
		return time.Time{}
	}
	return at
}

// count counts failures in a row, and pauses a duty that has too many.
func (s *Scheduler) count(tx *migrations.Tx, d Duty, r Run, after *After) (Duty, error) {
	fails := d.Fails
	switch r.State {
	case RunFailed:
		fails++
	case RunDone:
		fails = 0
	}
	if fails == d.Fails {
		return d, nil
	}
	d.Fails = fails
	if _, err := tx.Exec(`UPDATE duties SET fails = $1, updated_at = $2 WHERE id = $3`, fails, migrations.Micros(tx.Now()), d.ID); err != nil {
		return d, fmt.Errorf("count failures of duty %s: %w", d.ID, err)
	}
	if fails < d.MostFails || d.State != StateActive {
		return d, nil
	}
	why := fmt.Sprintf("it failed %d times in a row", fails)
	if fails == 1 {
		why = "it failed"
	}
	d, err := s.Hold(tx, d.ID, "system", time.Time{}, why)
	if err != nil {
		return d, err
	}
	after.Held = true
	return d, s.tell(tx, d, News{Kind: NewsHeld, Run: r, Text: "I paused it, because " + why + ". The last time: " + r.Error})
}

// Reported notes where people find the result of a run.
func (s *Scheduler) Reported(tx *migrations.Tx, run, channel, ts string) error {
	if _, err := tx.Exec(`UPDATE runs SET said_in = $1, said_at = $2 WHERE id = $3`, channel, ts, run); err != nil {
		return fmt.Errorf("note where run %s reported: %w", run, err)
	}
	return nil
}

// Runs gives the newest runs of a duty, newest first.
func (s *Scheduler) Runs(ctx context.Context, duty string, limit int) ([]Run, error) {
	rows, err := s.db.Query(ctx, `SELECT `+runColumns+` FROM runs WHERE duty = $1 ORDER BY due_at DESC LIMIT $2`, duty, limit)
	if err != nil {
		return nil, fmt.Errorf("list runs of duty %s: %w", duty, err)
	}
	defer rows.Close()
	var all []Run
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, fmt.Errorf("list runs of duty %s: %w", duty, err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list runs of duty %s: %w", duty, err)
	}
	return all, nil
}

// Working is the duty of a run that is handed on and has not ended; ErrNoDuty if
// the run has ended or its duty is deleted.
func (s *Scheduler) Working(tx *migrations.Tx, run string) (Duty, error) {
	var id string
	err := tx.QueryRow(`SELECT duty FROM runs WHERE id = $1 AND state = 'due'`, run).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return Duty{}, ErrNoDuty
	}
	if err != nil {
		return Duty{}, fmt.Errorf("load run %s: %w", run, err)
	}
	d, err := load(tx, id)
	if err != nil && !errors.Is(err, ErrNoDuty) {
		return Duty{}, fmt.Errorf("load duty of run %s: %w", run, err)
	}
	return d, err
}

// About is the duty and the run whose result is the message ts of a channel; false
// if there is none.
func (s *Scheduler) About(ctx context.Context, channel, ts string) (Duty, Run, bool, error) {
	r, err := scanRun(s.db.QueryRow(ctx, `SELECT `+runColumns+` FROM runs WHERE said_in = $1 AND said_at = $2 AND said_at <> ''`, channel, ts))
	if errors.Is(err, sql.ErrNoRows) {
		return Duty{}, Run{}, false, nil
	}
	if err != nil {
		return Duty{}, Run{}, false, fmt.Errorf("look for the run of %s: %w", ts, err)
	}
	d, err := s.Get(ctx, r.Duty)
	if errors.Is(err, ErrNoDuty) {
		return Duty{}, r, false, nil
	}
	return d, r, err == nil, err
}
