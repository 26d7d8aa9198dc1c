package scheduler

import (
	"fmt"
	"strings"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// HandleMany runs duties that are due: advancing their next times, recording their
// runs and handing them on. It is the handler of tasks of kind "duty".
func (s *Scheduler) HandleMany(tx *migrations.Tx, leases []*task.Lease) ([]task.Result, error) {
	again := make([]task.Result, len(leases))
	ids := make([]any, len(leases))
	for i, l := range leases {
		ids[i] = strings.TrimPrefix(l.Key, TaskDuty+":")
	}
	duties, err := loadAll(tx, ids)
	if err != nil {
		return nil, fmt.Errorf("run duties that are due: %w", err)
	}
	open, err := openRuns(tx, ids)
	if err != nil {
		return nil, fmt.Errorf("run duties that are due: %w", err)
	}
	crowds := crowds{}
	for i, id := range ids {
		d, ok := duties[id.(string)]
		if !ok {
			continue
		}
		if again[i].Again, err = s.look(tx, d, open[d.ID], crowds); err != nil {
			return nil, fmt.Errorf("run duty %s that is due: %w", d.ID, err)
		}
	}
	s.Crash("duty:advanced")
	tx.AfterCommit(func() { s.Crash("run:fired") })
	return again, nil
}

// loadAll are the duties of ids, deleted ones left out.
func loadAll(tx *migrations.Tx, ids []any) (map[string]Duty, error) {
	rows, err := tx.Query(`SELECT `+dutyColumns+` FROM duties WHERE id IN (`+places(len(ids))+`) AND state <> 'deleted'`, ids...)
	if err != nil {
		return nil, fmt.Errorf("load duties: %w", err)
	}
	defer rows.Close()
	all := map[string]Duty{}
	for rows.Next() {
		d, err := scanDuty(rows)
		if err != nil {
			return nil, fmt.Errorf("load duties: %w", err)
		}
		all[d.ID] = d
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load duties: %w", err)
	}
	return all, nil
}

// look does what is due of a duty, and says when to look again.
func (s *Scheduler) look(tx *migrations.Tx, d Duty, o open, c crowds) (again time.Time, err error) {
	now := tx.Now()
	if d.State == StatePaused {
		if d.PausedUntil.IsZero() || d.PausedUntil.After(now) {
			return d.PausedUntil, nil
		}
		if d, err = s.changeTx(tx, d.ID, "system", "resumed", nil, s.unpause); err != nil {
			return time.Time{}, err
		}
	}
	// A run that waits goes first: what is due now may be for it to stand for.
	waits, err := s.next(tx, d, &o)
	if err != nil {
		return time.Time{}, err
	}
	if d.State != StateActive || d.NextAt.IsZero() {
		return waits, nil
	}
	begins := d.begins(d.NextAt)
	if end := d.quietEnd(now); !end.IsZero() && !begins.After(now) {
		begins = end
	}
	if begins.After(now) {
		return earlier(begins, waits), nil
	}
	if d, err = s.advance(tx, d, o); err != nil || d.NextAt.IsZero() {
		return waits, err
	}
	if begins, err = c.beginsAt(tx, d, d.NextAt); err != nil {
		return time.Time{}, err
	}
	return earlier(begins, waits), nil
}

// unpause is resume at the end of a pause: a duty whose end has come meanwhile is
// done.
func (s *Scheduler) unpause(tx *migrations.Tx, d *Duty) error {
	if err := resume(tx, d); err == nil {
		return nil
	}
	d.State, d.NextAt = StateDone, time.Time{}
	return s.tell(tx, *d, News{Kind: NewsEnded, Text: "Its pause is over, and so are its times: " + d.When + "."})
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// advance records the runs of all due times up to now and sets the next one.
func (s *Scheduler) advance(tx *migrations.Tx, d Duty, o open) (Duty, error) {
	c, err := s.calendars.of(d.Schedule)
	if err != nil {
		return d, fmt.Errorf("read schedule: %w", err)
	}
	due, next := c.dueUntil(tx.Now(), d.NextAt)
	due, next = d.within(due, next)
	slots, next := d.slots(due, next, tx.Now())
	left, err := runsLeft(tx, d)
	if err != nil {
		return d, err
	}
	for _, r := range runsFor(d, slots, tx.Now()) {
		if r.State == RunDue {
			if left--; left < 0 {
				r.State, r.Error = RunSkipped, "it had run as often as it was to"
			}
		}
		if err := s.begin(tx, d, &o, r, ""); err != nil {
			return d, err
		}
	}
	d.NextAt = next
	if left <= 0 {
		d.NextAt = time.Time{}
	}
	if d.NextAt.IsZero() {
		return s.end(tx, d, left <= 0)
	}
	return d, saveNext(tx, d)
}

// within leaves out what comes after the end of the schedule.
func (d Duty) within(due []time.Time, next time.Time) ([]time.Time, time.Time) {
	until := d.Schedule.Until
	if until.IsZero() {
		return due, next
	}
	for len(due) > 1 && due[len(due)-1].After(until) {
		due = due[:len(due)-1]
	}
	if next.After(until) {
		next = time.Time{}
	}
	return due, next
}

// end is the end of a duty that has come to it: done with one time, or with the
// last of several, which people are told.
func (s *Scheduler) end(tx *migrations.Tx, d Duty, spent bool) (Duty, error) {
	d.State, d.NextAt = StateDone, time.Time{}
	if err := saveNext(tx, d); err != nil {
		return d, err
	}
	if d.Schedule.Cron == "" && !spent {
		return d, nil
	}
	why := "the last of its times has come"
	if spent {
		why = fmt.Sprintf("it has run %s", times(d.MostRuns))
	}
	if err := s.record(tx, d, "duty.changed", "system", map[string]string{"change": "ended", "why": why}); err != nil {
		return d, err
	}
	return d, s.tell(tx, d, News{Kind: NewsEnded, Text: "It is done: " + why + "."})
}

// times says how often in words.
func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func (s *Scheduler) tell(tx *migrations.Tx, d Duty, n News) error {
	if s.Tell == nil {
		return nil
	}
	if err := s.Tell(tx, d, n); err != nil {
		return fmt.Errorf("tell of duty %s: %w", d.ID, err)
	}
	return nil
}

// saveNext stores when a duty is due next and its state.
func saveNext(tx *migrations.Tx, d Duty) error {
	next := d.NextAt
	if d.Schedule.Cron == "" && d.byClock() {
		next = d.Schedule.At // its time, also when it is over
	}
	_, err := tx.Exec(`UPDATE duties SET next_at = $1, state = $2, updated_at = $3 WHERE id = $4`,
		migrations.Micros(next), d.State, migrations.Micros(tx.Now()), d.ID)
	if err != nil {
		return fmt.Errorf("advance duty %s: %w", d.ID, err)
	}
	return nil
}

// runsLeft is how often a duty may still run; asked for and dry runs do not count.
func runsLeft(tx *migrations.Tx, d Duty) (int64, error) {
	if d.MostRuns == 0 {
		return 1 << 40, nil
	}
	var n int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM runs WHERE duty = $1 AND asked_by = '' AND state <> 'skipped'`, d.ID).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count runs: %w", err)
	}
	return d.MostRuns - n, nil
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

// slot is a due time at which a run would begin, or several of which one run takes
// the place because they came in the same quiet hours.
type slot struct {
	at     time.Time // the newest
	more   int64     // earlier ones
	begins time.Time
	quiet  bool
}

// slots are the due times that have come, and the first that has not: a due time
// comes when its run may begin.
func (d Duty) slots(due []time.Time, next, now time.Time) ([]slot, time.Time) {
	all := make([]slot, 0, len(due))
	for i, at := range due {
		one := slot{at: at, begins: at}
		if d.Quiet != "" || d.Jitter != 0 {
			one.begins = d.begins(at)
			one.quiet = d.quietEnd(at.Add(d.lateness(at))).Equal(one.begins)
		}
		if i > 0 && one.begins.After(now) {
			return all, at
		}
		if last := len(all) - 1; one.quiet && last >= 0 && all[last].quiet && all[last].begins.Equal(one.begins) {
			all[last].at, all[last].more = at, all[last].more+1
			continue
		}
		all = append(all, one)
	}
	return all, next
}

// run is the run of a slot that stands for so many earlier times beside its own.
func (t slot) run(d Duty, more int64) Run {
	r := Run{DueAt: t.at, Missed: t.more + more, State: RunDue}
	if t.quiet {
		r.Note = "It was due " + d.local(t.at) + ", in quiet hours."
	}
	return r
}

// runsFor says which due times get a run. The newest is on time if it did not have
// to begin long ago; the others, and a late newest, were missed.
func runsFor(d Duty, slots []slot, now time.Time) []Run {
	last := len(slots) - 1
	count := func(slots []slot) (n int64) {
		for _, t := range slots {
			n += t.more + 1
		}
		return n
	}
	newest := slots[last]
	skipped := func(slots []slot) Run {
		last := len(slots) - 1
		r := slots[last].run(d, count(slots[:last]))
		r.State, r.Error = RunSkipped, "it came while I was not running"
		return r
	}
	switch {
	case d.Kind == KindOnce: // due however late
	case d.CatchUp == CatchUpSkip && now.Sub(newest.begins) > grace:
		return []Run{skipped(slots)}
	case d.CatchUp == CatchUpSkip && last > 0:
		return []Run{skipped(slots[:last]), newest.run(d, 0)}
	case d.CatchUp == CatchUpAll:
		left := max(len(slots)-mostCatchUp, 0)
		var runs []Run
		for i, t := range slots[left:] {
			if i == 0 {
				runs = append(runs, t.run(d, count(slots[:left])))
				continue
			}
			runs = append(runs, t.run(d, 0))
		}
		return runs
	}
	return []Run{newest.run(d, count(slots[:last]))}
}
