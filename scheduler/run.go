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
	due := []time.Time{d.NextAt}
	next := time.Time{}
	if d.Kind == "schedule" {
		next = d.Schedule.Next(d.NextAt)
		for !next.IsZero() && !next.After(tx.Now()) && len(due) < mostMissed {
			due = append(due, next)
			next = d.Schedule.Next(next)
		}
		if !next.IsZero() && !next.After(tx.Now()) { // too many to count: go on from now
			next = d.Schedule.Next(tx.Now())
		}
	}
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

// runsFor says which due times get a run. The newest is on time if it is not long
// past; the others, and a late newest, were missed.
func runsFor(d Duty, due []time.Time, now time.Time) []Run {
	newest := due[len(due)-1]
	onTime := now.Sub(newest) <= grace
	missed := int64(len(due) - 1)
	switch {
	case d.Kind == "once": // a reminder is due however late
		return []Run{{DueAt: newest}}
	case d.CatchUp == CatchUpSkip && !onTime:
		return nil
	case d.CatchUp == CatchUpSkip:
		return []Run{{DueAt: newest}}
	case d.CatchUp == CatchUpOnce:
		return []Run{{DueAt: newest, Missed: missed}}
	}
	left := int64(0)
	if len(due) > mostCatchUp {
		left = int64(len(due) - mostCatchUp)
		due = due[left:]
	}
	runs := make([]Run, len(due))
	for i, at := range due {
		runs[i].DueAt = at
	}
	runs[0].Missed = left
	return runs
}

// run records one run and hands it on; one that is recorded already is not run
// again.
func (s *Scheduler) run(tx *migrations.Tx, d Duty, r Run, request string) error {
	r.ID, r.Duty, r.State = migrations.NewID("r_"), d.ID, "due"
	res, err := tx.Exec(`INSERT INTO runs (id, duty, due_at, request, missed, state, created_at) VALUES ($1, $2, $3, $4, $5, 'due', $6)
		ON CONFLICT DO NOTHING`,
		r.ID, d.ID, migrations.Micros(r.DueAt), nullable(request), r.Missed, migrations.Micros(tx.Now()))
	if err != nil {
		return fmt.Errorf("record run: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	fields := map[string]string{"run": r.ID, "due_at": r.DueAt.UTC().Format(time.RFC3339)}
	if r.Missed > 0 {
		fields["missed"] = fmt.Sprint(r.Missed)
	}
	if err := s.record(tx, d, "duty.run", "system", fields); err != nil {
		return err
	}
	if s.fire == nil {
		return errors.New("nobody is there to do the work")
	}
	return s.fire(tx, d, r)
}

// RunNow runs a duty once at once, whatever its schedule, for the request named
// so ("" for none): the same request runs it once.
func (s *Scheduler) RunNow(ctx context.Context, id, by, request string) (Duty, error) {
	var d Duty
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		d, err = scanDuty(tx.QueryRow(`SELECT `+dutyColumns+` FROM duties WHERE id = $1 AND state <> 'deleted'`, id))
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoDuty
		}
		if err != nil {
			return err
		}
		if err := s.record(tx, d, "duty.changed", by, map[string]string{"change": "run now"}); err != nil {
			return err
		}
		return s.run(tx, d, Run{DueAt: tx.Now()}, request)
	})
	if err != nil {
		return Duty{}, fmt.Errorf("run duty %s now: %w", id, err)
	}
	return d, nil
}

// Ended notes, in the transaction that ends its turn, how a run ended; failed is
// "" for well.
func (s *Scheduler) Ended(tx *migrations.Tx, run, turn, failed string) error {
	state := "done"
	if failed != "" {
		state = "failed"
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
	rows, err := s.db.Query(ctx, `SELECT id, duty, due_at, missed, state, turn, error, ended_at FROM runs WHERE duty = $1 ORDER BY due_at DESC LIMIT $2`, duty, limit)
	if err != nil {
		return nil, fmt.Errorf("list runs of duty %s: %w", duty, err)
	}
	defer rows.Close()
	var all []Run
	for rows.Next() {
		var r Run
		var due, ended int64
		if err := rows.Scan(&r.ID, &r.Duty, &due, &r.Missed, &r.State, &r.Turn, &r.Error, &ended); err != nil {
			return nil, fmt.Errorf("list runs of duty %s: %w", duty, err)
		}
		r.DueAt, r.Ended = migrations.Time(due), migrations.Time(ended)
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list runs of duty %s: %w", duty, err)
	}
	return all, nil
}
