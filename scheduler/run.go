package scheduler

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// Handle runs a duty that is due. Advancing its next time, recording its runs and
// handing them on are one transaction. It is the task handler of kind "duty".
func (s *Scheduler) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	id := strings.TrimPrefix(lease.Key, TaskDuty+":")
	var again time.Time
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		again = time.Time{}
		if err := lease.Guard(tx); err != nil {
			return err
		}
		d, err := scanDuty(tx.QueryRow(`SELECT `+dutyColumns+` FROM duties WHERE id = $1`, id))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.State == StatePaused && !d.PausedUntil.IsZero() {
			if again = d.PausedUntil; again.After(tx.Now()) {
				return nil
			}
			if d, err = s.changeTx(tx, id, "system", "resumed", nil, resume); err != nil {
				return err
			}
			again = time.Time{}
		}
		if d.State != StateActive || d.NextAt.IsZero() {
			return nil
		}
		if again = d.NextAt; d.NextAt.After(tx.Now()) {
			return nil
		}
		again, err = s.advance(tx, d)
		return err
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("run duty %s: %w", id, err)
	}
	return task.Result{Again: again}, nil
}

// advance records the runs of all due times up to now and sets the next one,
// which it returns.
func (s *Scheduler) advance(tx *migrations.Tx, d Duty) (time.Time, error) {
	c, err := d.Schedule.calendar()
	if err != nil {
		return time.Time{}, fmt.Errorf("read schedule: %w", err)
	}
	due, next := c.dueUntil(tx.Now(), d.NextAt)
	for _, r := range runsFor(d, due, tx.Now()) {
		if err := s.run(tx, d, r, ""); err != nil {
			return time.Time{}, err
		}
	}
	if d.NextAt = next; next.IsZero() {
		d.State = StateDone
	}
	return next, save(tx, d)
}

// dueUntil lists the due times from first, which has come, up to now, and gives
// the one after them. Of more than mostMissed it has the oldest, and those of the
// last day.
func (c calendar) dueUntil(now, first time.Time) (due []time.Time, next time.Time) {
	due, next = []time.Time{first}, c.next(first)
	for !next.IsZero() && !next.After(now) {
		if len(due) == mostMissed && now.Sub(next) > day {
			next = c.nextInStep(first, now.Add(-day))
			continue
		}
		due = append(due, next)
		next = c.next(next)
	}
	return due, next
}

// runsFor says which due times get a run. The newest is on time if it is not long
// past; the others, and a late newest, were missed.
func runsFor(d Duty, due []time.Time, now time.Time) []Run {
	last := len(due) - 1
	newest := Run{DueAt: due[last], Missed: int64(last), State: RunDue}
	switch {
	case d.Kind == KindOnce: // due however late
		return []Run{newest}
	case d.CatchUp == CatchUpSkip && now.Sub(newest.DueAt) > grace:
		newest.State = RunSkipped
		return []Run{newest}
	case d.CatchUp == CatchUpSkip && last > 0:
		return []Run{{DueAt: due[last-1], Missed: int64(last - 1), State: RunSkipped}, {DueAt: newest.DueAt, State: RunDue}}
	case d.CatchUp != CatchUpAll:
		return []Run{newest}
	}
	left := max(len(due)-mostCatchUp, 0)
	var runs []Run
	for _, at := range due[left:] {
		runs = append(runs, Run{DueAt: at, State: RunDue})
	}
	runs[0].Missed = int64(left)
	return runs
}

// run records one run and, unless it is skipped, hands it on; one that is
// recorded already is not run again.
func (s *Scheduler) run(tx *migrations.Tx, d Duty, r Run, request string) error {
	r.ID, r.Duty = migrations.NewID("r_"), d.ID
	if r.State == RunSkipped {
		r.Ended = tx.Now()
	}
	res, err := tx.Exec(`INSERT INTO runs (id, duty, due_at, request, missed, state, cause, created_at, ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT DO NOTHING`,
		r.ID, d.ID, migrations.Micros(r.DueAt), nullable(request), r.Missed, r.State, r.Cause, migrations.Micros(tx.Now()), migrations.Micros(r.Ended))
	if err != nil {
		return fmt.Errorf("record run: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	fields := map[string]string{"run": r.ID, "state": r.State, "due_at": r.DueAt.UTC().Format(time.RFC3339)}
	if r.Missed > 0 {
		fields["missed"] = fmt.Sprint(r.Missed)
	}
	if err := s.record(tx, d, "duty.run", "system", fields); err != nil {
		return err
	}
	if r.State == RunSkipped {
		return nil
	}
	if s.fire == nil {
		return errors.New("nobody is there to do the work")
	}
	return s.fire(tx, d, r)
}

// SetOff runs a duty because of something other than the clock. request names what
// happened: the same one sets it off once. cause goes with the run, as JSON. A duty
// that is not active is not set off.
func (s *Scheduler) SetOff(tx *migrations.Tx, d Duty, request, cause string) error {
	if d.State != StateActive {
		return nil
	}
	at, err := freeInstant(tx, d.ID)
	if err != nil {
		return err
	}
	if err := s.run(tx, d, Run{DueAt: at, State: RunDue, Cause: cause}, request); err != nil {
		return fmt.Errorf("set off duty %s: %w", d.ID, err)
	}
	return nil
}

// RunNow runs a duty once at once, whatever its schedule, for the request named
// so ("" for none): the same request runs it once. Its next due time stays.
func (s *Scheduler) RunNow(ctx context.Context, id, by, request string) (Duty, error) {
	var d Duty
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if d, err = load(tx, id); err != nil {
			return err
		}
		if d.Unconfirmed() {
			return errUnconfirmed
		}
		var asked int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM runs WHERE duty = $1 AND request = $2`, id, request).Scan(&asked); err != nil {
			return fmt.Errorf("look for an earlier run: %w", err)
		}
		if asked > 0 {
			return nil
		}
		at, err := freeInstant(tx, id)
		if err != nil {
			return err
		}
		if err := s.record(tx, d, "duty.changed", by, map[string]string{"change": "run now"}); err != nil {
			return err
		}
		return s.run(tx, d, Run{DueAt: at, State: RunDue}, request)
	})
	if err != nil {
		return Duty{}, fmt.Errorf("run duty %s now: %w", id, err)
	}
	return d, nil
}

// freeInstant is now, moved by as little as it takes to be neither the due time
// of another run nor one that a schedule may have: those are whole seconds.
func freeInstant(tx *migrations.Tx, duty string) (time.Time, error) {
	now := tx.Now()
	var latest int64
	err := tx.QueryRow(`SELECT COALESCE(MAX(due_at), 0) FROM runs WHERE duty = $1 AND due_at >= $2 AND due_at < $3`,
		duty, migrations.Micros(now), migrations.Micros(now.Add(time.Second))).Scan(&latest)
	if err != nil {
		return time.Time{}, fmt.Errorf("find a due time for the run: %w", err)
	}
	if latest != 0 {
		now = migrations.Time(latest + 1)
	}
	if now.Nanosecond() == 0 {
		now = now.Add(time.Microsecond)
	}
	return now, nil
}

// Ended notes, in the transaction that ends its turn, how a run ended; failed is
// "" for well.
func (s *Scheduler) Ended(tx *migrations.Tx, run, turn, failed string) error {
	state := RunDone
	if failed != "" {
		state = RunFailed
	}
	_, err := tx.Exec(`UPDATE runs SET state = $1, turn = $2, error = $3, ended_at = $4 WHERE id = $5`,
		state, turn, failed, migrations.Micros(tx.Now()), run)
	if err != nil {
		return fmt.Errorf("end run %s: %w", run, err)
	}
	return nil
}

// Runs gives the newest runs of a duty, newest first.
func (s *Scheduler) Runs(ctx context.Context, duty string, limit int) ([]Run, error) {
	rows, err := s.db.Query(ctx, `SELECT id, duty, due_at, missed, state, turn, error, said, cause, tokens, cost, created_at, ended_at
		FROM runs WHERE duty = $1 ORDER BY due_at DESC LIMIT $2`, duty, limit)
	if err != nil {
		return nil, fmt.Errorf("list runs of duty %s: %w", duty, err)
	}
	defer rows.Close()
	var all []Run
	for rows.Next() {
		var r Run
		var due, begun, ended int64
		var said bool
		if err := rows.Scan(&r.ID, &r.Duty, &due, &r.Missed, &r.State, &r.Turn, &r.Error, &said, &r.Cause, &r.Tokens, &r.Cost, &begun, &ended); err != nil {
			return nil, fmt.Errorf("list runs of duty %s: %w", duty, err)
		}
		r.DueAt, r.Begun, r.Ended, r.Quiet = migrations.Time(due), migrations.Time(begun), migrations.Time(ended), !said
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list runs of duty %s: %w", duty, err)
	}
	return all, nil
}
