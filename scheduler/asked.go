package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deskmate/migrations"
)

// SetOff runs a duty because of something other than the clock. request names what
// happened: the same one sets it off once. cause goes with the run, as JSON: an
// object, whose label if any is what went into it. A duty that is not active is not
// set off. In quiet hours the run waits for their end, and stands for all that come
// meanwhile.
func (s *Scheduler) SetOff(tx *migrations.Tx, d Duty, request, cause string) error {
	if d.State != StateActive {
		return nil
	}
	left, err := runsLeft(tx, d)
	if err != nil || left <= 0 {
		return err
	}
	at, err := freeInstant(tx, d.ID)
	if err != nil {
		return err
	}
	all, err := openRuns(tx, []any{d.ID})
	if err != nil {
		return err
	}
	o := all[d.ID]
	r := Run{DueAt: at, State: RunDue, Cause: cause}
	if r.NotBefore = d.quietEnd(tx.Now()); !r.NotBefore.IsZero() {
		r.Note = "It was put off to the end of quiet hours."
	}
	if err := s.begin(tx, d, &o, r, request); err != nil {
		return fmt.Errorf("set off duty %s: %w", d.ID, err)
	}
	if d.MostRuns == 0 {
		return nil
	}
	if left, err = runsLeft(tx, d); err != nil || left > 0 {
		return err
	}
	_, err = s.end(tx, d, true)
	return err
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
		return s.askedFor(tx, d, d, Run{AskedBy: by}, "run now", request)
	})
	if err != nil {
		return Duty{}, fmt.Errorf("run duty %s now: %w", id, err)
	}
	return d, nil
}

// Dry is a wish to know what a duty would do.
type Dry struct {
	By                           string // who asks, and gets the answer
	Channel, ChannelKind, Thread string // where
	Request                      string // names the wish: the same one is answered once
}

// DryRun has a duty say what it would do, without doing it: to who asks, where they
// ask, and with what they may read there.
func (s *Scheduler) DryRun(ctx context.Context, id string, w Dry) (Duty, error) {
	var d Duty
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if d, err = load(tx, id); err != nil {
			return err
		}
		there := d
		there.Channel, there.ChannelKind, there.Thread, there.Report, there.Silent = w.Channel, w.ChannelKind, w.Thread, ReportThread, false
		return s.askedFor(tx, d, there, Run{AskedBy: w.By, Dry: true}, "dry run", w.Request)
	})
	if err != nil {
		return Duty{}, fmt.Errorf("try duty %s: %w", id, err)
	}
	return d, nil
}

// askedFor begins a run beside the schedule. there is the duty as the run is handed
// on.
func (s *Scheduler) askedFor(tx *migrations.Tx, d, there Duty, r Run, what, request string) error {
	var asked int
	if err := tx.QueryRow(`SELECT COUNT(*) FROM runs WHERE duty = $1 AND request = $2`, d.ID, request).Scan(&asked); err != nil {
		return fmt.Errorf("look for an earlier run: %w", err)
	}
	if asked > 0 {
		return nil
	}
	var err error
	if r.DueAt, err = freeInstant(tx, d.ID); err != nil {
		return err
	}
	if err := s.record(tx, d, "duty.changed", r.AskedBy, map[string]string{"change": what}); err != nil {
		return err
	}
	r.State = RunDue
	return s.begin(tx, there, &open{}, r, request)
}

// SkipNext leaves out the next due time of a duty: it is recorded as skipped, and
// the duty is due at the time after it.
func (s *Scheduler) SkipNext(ctx context.Context, id, by string) (Duty, error) {
	var d Duty
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if d, err = load(tx, id); err != nil {
			return err
		}
		switch {
		case d.State != StateActive:
			return fmt.Errorf("it is %s", d.State)
		case d.NextAt.IsZero():
			return errors.New("it is not due by the clock")
		}
		skipped := Run{ID: migrations.NewID("r_"), DueAt: d.NextAt, State: RunSkipped, Error: "skipped by <@" + by + ">"}
		if _, err := s.put(tx, d, skipped, "", 0); err != nil {
			return err
		}
		if err := s.record(tx, d, "duty.changed", by, map[string]string{"change": "skip next", "due_at": d.NextAt.Format(time.RFC3339)}); err != nil {
			return err
		}
		_, d.NextAt = d.within(nil, d.Schedule.Next(d.NextAt))
		if d.NextAt.IsZero() {
			d, err = s.end(tx, d, false)
			return err
		}
		if err := saveNext(tx, d); err != nil {
			return err
		}
		return wake(tx, d)
	})
	if err != nil {
		return Duty{}, fmt.Errorf("duty %s is not changed: %w", id, err)
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
