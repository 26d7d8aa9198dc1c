package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// open are the runs of a duty that have not ended, and how many skipped times
// nobody has been told of. Runs that people asked for stand beside.
type open struct {
	working []Run // handed on
	waiting *Run
	untold  int64
}

const runColumns = `id, duty, due_at, missed, state, turn, error, said, cause, asked_by, dry, note, not_before, tries, stood_by, said_in, said_at, tokens, cost,
	created_at, ended_at`

func scanRun(row interface{ Scan(...any) error }) (Run, error) {
	var r Run
	var due, notBefore, begun, ended int64
	var said bool
	err := row.Scan(&r.ID, &r.Duty, &due, &r.Missed, &r.State, &r.Turn, &r.Error, &said, &r.Cause, &r.AskedBy, &r.Dry, &r.Note, &notBefore, &r.Tries, &r.StoodBy,
		&r.Channel, &r.TS, &r.Tokens, &r.Cost, &begun, &ended)
	if err != nil {
		return Run{}, err
	}
	r.DueAt, r.NotBefore, r.Begun, r.Ended, r.Quiet = migrations.Time(due), migrations.Time(notBefore), migrations.Time(begun), migrations.Time(ended), !said
	return r, nil
}

// openRuns are the open runs of duties.
func openRuns(tx *migrations.Tx, duties []any) (map[string]open, error) {
	all := map[string]open{}
	rows, err := tx.Query(`SELECT `+runColumns+` FROM runs WHERE duty IN (`+places(len(duties))+`) AND state IN ('waiting', 'due') AND asked_by = '' ORDER BY due_at`, duties...)
	if err != nil {
		return nil, fmt.Errorf("look for open runs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, fmt.Errorf("look for open runs: %w", err)
		}
		o := all[r.Duty]
		if r.State == RunWaiting {
			o.waiting = &r
		} else {
			o.working = append(o.working, r)
		}
		all[r.Duty] = o
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for open runs: %w", err)
	}
	counts, err := tx.Query(`SELECT duty, SUM(untold) FROM runs WHERE duty IN (`+places(len(duties))+`) AND untold > 0 GROUP BY duty`, duties...)
	if err != nil {
		return nil, fmt.Errorf("count skipped runs: %w", err)
	}
	defer counts.Close()
	for counts.Next() {
		var id string
		var n int64
		if err := counts.Scan(&id, &n); err != nil {
			return nil, fmt.Errorf("count skipped runs: %w", err)
		}
		o := all[id]
		o.untold = n
		all[id] = o
	}
	return all, counts.Err()
}

// quietEnd is when the quiet hours that hold at t end, the zero time if none do.
func (d Duty) quietEnd(t time.Time) time.Time {
	if d.Quiet == "" {
		return time.Time{}
	}
	loc, err := loadZone(d.Schedule.TZ)
	if err != nil {
		loc = time.UTC
	}
	return quietUntil(d.Quiet, t, loc)
}

// local is a time as the clock on the wall of the duty's zone shows it.
func (d Duty) local(t time.Time) string {
	loc, err := loadZone(d.Schedule.TZ)
	if err != nil {
		loc = time.UTC
	}
	return t.In(loc).Format("Mon 2 Jan 15:04")
}

// lateness is by how much the run of a due time begins late, to spread the load:
// always the same for a duty, and never so much that the next one comes first.
func (d Duty) lateness(due time.Time) time.Duration {
	if d.Jitter <= 0 {
		return 0
	}
	late := time.Duration(d.hash()%uint64(time.Duration(d.Jitter)/time.Second+1)) * time.Second
	if next := d.Schedule.Next(due); !next.IsZero() {
		late = min(late, next.Sub(due)/2)
	}
	return late
}

func (d Duty) hash() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.ID)) // never fails
	return h.Sum64()
}

// begins is when the run of a due time may begin.
func (d Duty) begins(due time.Time) time.Time {
	at := due.Add(d.lateness(due))
	if end := d.quietEnd(at); !end.IsZero() {
		return end
	}
	return at
}

const (
	// crowd is how many duties may be due at one moment before their runs are spread,
	// and how many of such a crowd begin in a second.
	crowd = 500
	// mostSpread keeps those of one minute before those of the next.
	mostSpread = 45 * time.Second
)

// crowds counts how many duties are due at a moment, once for each moment.
type crowds map[int64]int64

// beginsAt is begins, but for a crowd that is due at the same moment: it is spread
// over as many seconds as it needs.
func (c crowds) beginsAt(tx *migrations.Tx, d Duty, due time.Time) (time.Time, error) {
	at := d.begins(due)
	if d.Schedule.Cron == "" || !at.Equal(due) {
		return at, nil
	}
	moment := migrations.Micros(due)
	n, known := c[moment]
	if !known {
		err := tx.QueryRow(`SELECT COUNT(*) FROM (SELECT 1 FROM duties WHERE state = 'active' AND next_at = $1 LIMIT $2)`,
			moment, crowd*int64(mostSpread/time.Second)).Scan(&n)
		if err != nil {
			return at, fmt.Errorf("count duties that are due at once: %w", err)
		}
		c[moment] = n
	}
	if n <= crowd {
		return at, nil
	}
	return at.Add(time.Duration(d.hash() % uint64(time.Duration(n)*time.Second/crowd))), nil
}

// begin records a run and hands it on, unless it is skipped or has to wait for the
// one before; one that is recorded already is not run again. o is not changed by
// runs that are handed on: those of one moment do not stand in each other's way.
func (s *Scheduler) begin(tx *migrations.Tx, d Duty, o *open, r Run, request string) error {
	r.ID, r.Duty = migrations.NewID("r_"), d.ID
	untold := int64(0)
	switch {
	case r.State == RunSkipped:
		untold = r.Missed + 1
	case r.AskedBy != "":
	case o.waiting != nil:
		return s.merge(tx, d, o, r, request)
	case !r.NotBefore.IsZero():
		r.State = RunWaiting
	case len(o.working) == 0:
	case d.Overlap == OverlapSkip:
		r.State, r.Error, untold = RunSkipped, "the run before it was still at work", r.Missed+1
	default:
		r.State = RunWaiting
		if d.Overlap == OverlapStop && s.Stop != nil {
			r.Note = sentences(r.Note, "The run before it was stopped for it.")
			for _, w := range o.working {
				if err := s.Stop(tx, d, w); err != nil {
					return fmt.Errorf("stop run %s: %w", w.ID, err)
				}
			}
		}
	}
	if r.State == RunDue {
		r.Tries = 1
		r.Note = sentences(r.Note, standsFor(r.Missed), skippedNote(o.untold))
	}
	known, err := s.put(tx, d, r, request, untold)
	if err != nil || known {
		return err
	}
	switch r.State {
	case RunWaiting:
		o.waiting = &r
		if !r.NotBefore.IsZero() {
			return wakeAt(tx, d, r.NotBefore)
		}
		return nil
	case RunSkipped:
		o.untold += untold // the next one tells it, also if it begins in this transaction
		return nil
	}
	return s.handOn(tx, d, o, r)
}

// put stores a run with its ledger entry; known says that it was stored before.
func (s *Scheduler) put(tx *migrations.Tx, d Duty, r Run, request string, untold int64) (known bool, err error) {
	if r.State == RunSkipped {
		r.Ended = tx.Now()
	}
	res, err := tx.Exec(`INSERT INTO runs (id, duty, due_at, request, missed, state, error, cause, asked_by, dry, note, not_before, tries, stood_by, untold, created_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT DO NOTHING`,
		r.ID, d.ID, migrations.Micros(r.DueAt), nullable(request), r.Missed, r.State, r.Error, r.Cause, r.AskedBy, r.Dry, r.Note, migrations.Micros(r.NotBefore), r.Tries,
		r.StoodBy, untold, migrations.Micros(tx.Now()), migrations.Micros(r.Ended))
	if err != nil {
		return false, fmt.Errorf("record run: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return true, err
	}
	return false, s.recordRun(tx, d, r)
}

// recordRun has the ledger know what became of a due time.
func (s *Scheduler) recordRun(tx *migrations.Tx, d Duty, r Run) error {
	fields := map[string]string{"run": r.ID, "state": r.State, "due_at": r.DueAt.UTC().Format(time.RFC3339)}
	if r.Missed > 0 {
		fields["missed"] = fmt.Sprint(r.Missed)
	}
	if r.State != RunDue {
		fields["why"] = r.Error
	}
	if r.StoodBy != "" {
		fields["stood_by"] = r.StoodBy
	}
	if r.Dry {
		fields["dry"] = "true"
	}
	return s.record(tx, d, "duty.run", actor(r), fields)
}

func actor(r Run) string {
	if r.AskedBy != "" {
		return r.AskedBy
	}
	return "system"
}

// merge has the run that waits stand for another one.
func (s *Scheduler) merge(tx *migrations.Tx, d Duty, o *open, r Run, request string) error {
	w := o.waiting
	if request != "" { // it is known by its request, and its cause goes with the run
		r.State, r.StoodBy, r.Error = RunSkipped, w.ID, "another run stands for it"
		known, err := s.put(tx, d, r, request, 0)
		if err != nil || known {
			return err
		}
	} else {
		r.ID, r.State = w.ID, RunWaiting
		if r.DueAt.After(w.DueAt) && w.Cause == "" {
			w.DueAt = r.DueAt
		}
	}
	w.Missed += r.Missed + 1
	w.Note = sentences(w.Note, r.Note)
	_, err := tx.Exec(`UPDATE runs SET due_at = $1, missed = $2, note = $3 WHERE id = $4`, migrations.Micros(w.DueAt), w.Missed, w.Note, w.ID)
	if err != nil {
		return fmt.Errorf("have run %s stand for another: %w", w.ID, err)
	}
	if request != "" {
		return nil
	}
	r.Missed = w.Missed
	return s.recordRun(tx, d, r)
}

// next hands the waiting run of a duty on if nothing keeps it from beginning, and
// says when to look again if only time does.
func (s *Scheduler) next(tx *migrations.Tx, d Duty, o *open) (again time.Time, err error) {
	w := o.waiting
	if w == nil || len(o.working) > 0 || d.State != StateActive && d.State != StateDone {
		return time.Time{}, nil
	}
	if w.NotBefore.After(tx.Now()) {
		return w.NotBefore, nil
	}
	if end := d.quietEnd(tx.Now()); !end.IsZero() {
		return end, nil
	}
	r := *w
	r.State, r.NotBefore, r.Error = RunDue, time.Time{}, ""
	if r.Tries++; r.Tries == 1 {
		r.Note = sentences(r.Note, standsFor(r.Missed), skippedNote(o.untold))
	}
	if r.Cause, err = causes(tx, r); err != nil {
		return time.Time{}, err
	}
	_, err = tx.Exec(`UPDATE runs SET state = $1, not_before = 0, error = '', tries = $2, note = $3, cause = $4 WHERE id = $5`, r.State, r.Tries, r.Note, r.Cause, r.ID)
	if err != nil {
		return time.Time{}, fmt.Errorf("begin run %s: %w", r.ID, err)
	}
	if err := s.recordRun(tx, d, r); err != nil {
		return time.Time{}, err
	}
	o.waiting, o.working = nil, append(o.working, r)
	return time.Time{}, s.handOn(tx, d, o, r)
}

// handOn gives a run to those who do the work.
func (s *Scheduler) handOn(tx *migrations.Tx, d Duty, o *open, r Run) error {
	if s.fire == nil {
		return errors.New("nobody is there to do the work")
	}
	if o.untold > 0 && r.AskedBy == "" {
		if _, err := tx.Exec(`UPDATE runs SET untold = 0 WHERE duty = $1 AND untold > 0`, d.ID); err != nil {
			return fmt.Errorf("note skipped runs as told: %w", err)
		}
		o.untold = 0
	}
	return s.fire(tx, d, r)
}

// mostCausesTold bounds how many causes go with one run; the newest are left out.
const mostCausesTold = 20

// causes is what set off a run and those that it stands for, as one cause.
func causes(tx *migrations.Tx, r Run) (string, error) {
	if r.Cause == "" || r.Tries > 1 {
		return r.Cause, nil
	}
	rows, err := tx.Query(`SELECT cause FROM runs WHERE stood_by = $1 AND cause <> '' ORDER BY due_at`, r.ID)
	if err != nil {
		return "", fmt.Errorf("collect causes: %w", err)
	}
	defer rows.Close()
	type cause struct {
		Kind   string            `json:"kind"`
		Label  label.Label       `json:"label,omitzero"`
		Count  int               `json:"count"`
		Others []json.RawMessage `json:"others"`
	}
	all := cause{Kind: "several"}
	for text := r.Cause; ; {
		var one struct {
			Label label.Label `json:"label"`
		}
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			return "", fmt.Errorf("decode cause of run %s: %w", r.ID, err)
		}
		all.Label = label.Join(all.Label, one.Label) // of those that are left out too: they were counted
		if all.Count++; all.Count <= mostCausesTold {
			all.Others = append(all.Others, json.RawMessage(text))
		}
		if !rows.Next() {
			break
		}
		if err := rows.Scan(&text); err != nil {
			return "", fmt.Errorf("collect causes: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("collect causes: %w", err)
	}
	if all.Count == 1 {
		return r.Cause, nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return "", fmt.Errorf("encode causes: %w", err)
	}
	return string(text), nil
}

// wakeAt has the task of a duty look at it, whatever its state.
func wakeAt(tx *migrations.Tx, d Duty, at time.Time) error {
	return task.Wake(tx, task.Waking{Workspace: d.Workspace, Kind: TaskDuty, Key: dutyKey(d.ID), Due: at})
}

func standsFor(missed int64) string {
	switch missed {
	case 0:
		return ""
	case 1:
		return "This also stands for one earlier time."
	}
	return fmt.Sprintf("This also stands for %d earlier times.", missed)
}

func skippedNote(n int64) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "One earlier time was skipped."
	}
	return fmt.Sprintf("%d earlier times were skipped.", n)
}

// sentences joins those that are there and are not said yet.
func sentences(all ...string) string {
	var out []string
	for _, s := range all {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}
