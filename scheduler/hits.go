package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskWatch is the kind of the tasks that work what fits watches and is no run yet;
// one for each duty.
const TaskWatch = "watch"

// WatchKey names the task of a watch.
func WatchKey(duty string) string { return TaskWatch + ":" + duty }

// WatchOf is the duty whose task has a key.
func WatchOf(key string) string { return key[min(len(TaskWatch)+1, len(key)):] }

// Bounds of what is gathered before a model is asked about it.
const (
	askAfter = 60 * time.Second
	// AskMost is how many are asked about at once.
	AskMost = 20
	// mostOpen bounds what may wait of one watch.
	mostOpen = 2000
	// hitsKept is how long a hit is known after it is done with: longer than Slack,
	// or the catch-up after a gap, tells of it again.
	hitsKept = 49 * time.Hour
)

// States of a hit.
const (
	hitAsked   = "asked"
	hitWaiting = "waiting"
	hitDone    = "done"
	hitNo      = "no"
)

// Hit is something that fits a watch and waits.
type Hit struct {
	ID      int64
	Request string
	Cause   Cause
	At      time.Time
}

// Hit takes something that fits a watch: it sets the duty off, waits for a model's
// answer if there is a condition, or, where the duty was set off as often as it may
// be in an hour, waits to be told together with others. request names what
// happened: the same one counts once, whichever way it goes.
func (s *Scheduler) Hit(tx *migrations.Tx, duty, request string, c Cause) error {
	d, err := load(tx, duty)
	if errors.Is(err, ErrNoDuty) || err == nil && d.State != StateActive {
		return nil // ended or paused in this moment
	}
	if err != nil {
		return err
	}
	known, err := s.known(tx, d.ID, request)
	if err != nil || known {
		return err
	}
	if d.Trigger.Condition != "" {
		return s.gather(tx, d, request, c)
	}
	return s.Take(tx, d, request, c)
}

func (s *Scheduler) known(tx *migrations.Tx, duty, request string) (bool, error) {
	_, ran, err := s.RunOf(tx, duty, request)
	if err != nil || ran {
		return ran, err
	}
	var n int
	if err := tx.QueryRow(`SELECT COUNT(*) FROM duty_hits WHERE duty = $1 AND request = $2`, duty, request).Scan(&n); err != nil {
		return false, fmt.Errorf("look for hit %s: %w", request, err)
	}
	return n > 0, nil
}

// gather keeps a hit for the model, which is asked once there are enough of them or
// the first has waited long enough.
func (s *Scheduler) gather(tx *migrations.Tx, d Duty, request string, c Cause) error {
	n, err := s.keep(tx, d, request, c, hitAsked)
	if err != nil {
		return err
	}
	due := tx.Now().Add(askAfter)
	if n >= AskMost {
		due = tx.Now()
	}
	return task.Wake(tx, task.Waking{Workspace: d.Workspace, Kind: TaskWatch, Key: WatchKey(d.ID), Due: due})
}

// Take sets a duty off within its rate, and keeps what is beyond it for one run.
func (s *Scheduler) Take(tx *migrations.Tx, d Duty, request string, c Cause) error {
	again, err := s.Room(tx, d)
	if err != nil {
		return err
	}
	if again.IsZero() {
		text, err := c.JSON()
		if err != nil {
			return err
		}
		return s.SetOff(tx, d, request, text)
	}
	if _, err := s.keep(tx, d, request, c, hitWaiting); err != nil {
		return err
	}
	return task.Wake(tx, task.Waking{Workspace: d.Workspace, Kind: TaskWatch, Key: WatchKey(d.ID), Due: again})
}

// keep stores a hit and gives how many of its state wait. Beyond mostOpen the text
// is left out: they are counted.
func (s *Scheduler) keep(tx *migrations.Tx, d Duty, request string, c Cause, state string) (n int64, err error) {
	if err := tx.QueryRow(`SELECT COUNT(*) FROM duty_hits WHERE duty = $1 AND state = $2`, d.ID, state).Scan(&n); err != nil {
		return 0, fmt.Errorf("count hits of duty %s: %w", d.ID, err)
	}
	if n >= mostOpen {
		c.Text, c.Cut = "", true
	}
	text, err := c.JSON()
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(`INSERT INTO duty_hits (duty, request, cause, state, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (duty, request) DO UPDATE SET cause = excluded.cause, state = excluded.state`, d.ID, request, text, state, migrations.Micros(tx.Now()))
	if err != nil {
		return 0, fmt.Errorf("keep hit of duty %s: %w", d.ID, err)
	}
	return n + 1, nil
}

// Asked gives the oldest hits of a watch that wait for a model's answer, and when
// it is to be asked: not before, unless there are AskMost of them.
func (s *Scheduler) Asked(tx *migrations.Tx, duty string) ([]Hit, time.Time, error) {
	all, err := hits(tx, duty, hitAsked, AskMost)
	if err != nil || len(all) == 0 {
		return all, time.Time{}, err
	}
	first := all[0].At
	// As they were said: two connections can bring them in another order.
	slices.SortStableFunc(all, func(a, b Hit) int { return strings.Compare(a.Cause.TS, b.Cause.TS) })
	if len(all) == AskMost {
		return all, time.Time{}, nil
	}
	return all, first.Add(askAfter), nil
}

func hits(tx *migrations.Tx, duty, state string, limit int) ([]Hit, error) {
	rows, err := tx.Query(`SELECT id, request, cause, at FROM duty_hits WHERE duty = $1 AND state = $2 ORDER BY id LIMIT $3`, duty, state, limit)
	if err != nil {
		return nil, fmt.Errorf("list hits of duty %s: %w", duty, err)
	}
	defer rows.Close()
	var all []Hit
	for rows.Next() {
		var h Hit
		var cause string
		var at int64
		if err := rows.Scan(&h.ID, &h.Request, &cause, &at); err != nil {
			return nil, fmt.Errorf("list hits of duty %s: %w", duty, err)
		}
		if h.Cause, _, err = ReadCause(cause); err != nil {
			return nil, err
		}
		h.At = migrations.Time(at)
		all = append(all, h)
	}
	return all, rows.Err()
}

// Answered notes a model's answer about one hit, and sets the duty off for a yes.
func (s *Scheduler) Answered(tx *migrations.Tx, d Duty, h Hit, yes bool) error {
	state := hitNo
	if yes {
		state = hitDone
	}
	if _, err := tx.Exec(`UPDATE duty_hits SET state = $1, cause = '' WHERE id = $2 AND state = $3`, state, h.ID, hitAsked); err != nil {
		return fmt.Errorf("note answer about hit %s: %w", h.Request, err)
	}
	if !yes {
		return nil
	}
	return s.Take(tx, d, h.Request, h.Cause)
}

// Flush makes one run of what came too fast, once the duty may be set off again,
// forgets what is long done, and gives when it is to be called again; the zero time
// for not until something else comes.
func (s *Scheduler) Flush(tx *migrations.Tx, d Duty) (time.Time, error) {
	if _, err := tx.Exec(`DELETE FROM duty_hits WHERE duty = $1 AND at < $2 AND state IN ('done', 'no')`, d.ID, migrations.Micros(tx.Now().Add(-hitsKept))); err != nil {
		return time.Time{}, fmt.Errorf("forget hits of duty %s: %w", d.ID, err)
	}
	var n int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM duty_hits WHERE duty = $1 AND state = $2`, d.ID, hitWaiting).Scan(&n); err != nil || n == 0 {
		return time.Time{}, err
	}
	again, err := s.Room(tx, d)
	if err != nil || !again.IsZero() {
		return again, err
	}
	first, err := hits(tx, d.ID, hitWaiting, mostCauses)
	if err != nil {
		return time.Time{}, err
	}
	c := Cause{Kind: CauseSeveral, Channel: d.Trigger.Channel, At: tx.Now(), Count: n}
	for _, h := range first {
		if len(h.Cause.Text) > mostCause/mostCauses {
			h.Cause.Text, h.Cause.Cut = strings.ToValidUTF8(h.Cause.Text[:mostCause/mostCauses], ""), true
		}
		c.Others, c.Label = append(c.Others, h.Cause), label.Join(c.Label, h.Cause.Label)
	}
	text, err := c.JSON()
	if err != nil {
		return time.Time{}, err
	}
	if _, err := tx.Exec(`UPDATE duty_hits SET state = 'done', cause = '' WHERE duty = $1 AND state = $2`, d.ID, hitWaiting); err != nil {
		return time.Time{}, fmt.Errorf("close hits of duty %s: %w", d.ID, err)
	}
	return time.Time{}, s.SetOff(tx, d, "several:"+first[0].Request, text)
}
