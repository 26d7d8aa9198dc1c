package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
	"deskmate/scheduler/task"
)

// world is a store with a clock, a scheduler, and a list of what was fired.
type world struct {
	t     testing.TB
	file  string
	db    *migrations.DB
	s     *Scheduler
	fired chan Run

	mu     sync.Mutex
	now    time.Time
	fail   int             // how many of the next fires fail
	firing map[string]bool // ids of runs that are not in fired yet
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, file: filepath.Join(t.TempDir(), "test.db"), now: monday, fired: make(chan Run, 20_000)}
	w.db, w.s = w.open()
	return w
}

// open opens the store of the world, once more for each call, as processes do.
func (w *world) open() (*migrations.DB, *Scheduler) {
	w.t.Helper()
	db, err := migrations.Open(context.Background(), migrated.At(w.t, w.file), migrations.Options{Clock: w.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			w.t.Errorf("close store: %v", err)
		}
	})
	k, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		w.t.Fatal(err)
	}
	return db, New(db, ledger.New(db, k, ledger.Options{}), w.fire)
}

// fire notes a run once it is committed.
func (w *world) fire(tx *migrations.Tx, _ Duty, r Run) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail > 0 {
		w.fail--
		return errors.New("the work could not be handed on")
	}
	if w.firing == nil {
		w.firing = map[string]bool{}
	}
	w.firing[r.ID] = true
	tx.AfterCommit(func() {
		w.fired <- r
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.firing, r.ID)
	})
	return nil
}

// noted reports whether all runs that are committed are in fired.
func (w *world) noted() bool {
	w.t.Helper()
	w.mu.Lock()
	ids := slices.Collect(maps.Keys(w.firing))
	w.mu.Unlock()
	for _, id := range ids {
		var n int
		if err := w.db.QueryRow(context.Background(), `SELECT COUNT(*) FROM runs WHERE id = $1`, id).Scan(&n); err != nil {
			w.t.Fatal(err)
		}
		if n > 0 {
			return false
		}
	}
	return true
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) set(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = t
}

func (w *world) create(cron, catchUp string) Duty {
	w.t.Helper()
	d, err := w.s.Create(context.Background(), NewDuty{Workspace: "T1", Channel: "C1", ChannelKind: "public", Prompt: "stand-up time",
		Schedule: Schedule{Cron: cron, TZ: "UTC"}, Owner: "U0BEN", CatchUp: catchUp})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// runner starts a task runner of the scheduler s on db; the returned function has
// it look at the clock and waits until everything due has been worked.
func (w *world) runner(owner string, db *migrations.DB, s *Scheduler) (settle func()) {
	w.t.Helper()
	r := task.NewRunner(db, task.Options{Owner: owner, Poll: 10 * time.Millisecond, Backoff: func(int64) time.Duration { return 0 }})
	r.HandleMany(TaskDuty, 64, s.HandleMany)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("runner: %v", err)
		}
	})
	return func() {
		w.t.Helper()
		r.Look()
		deadline := time.NewTimer(time.Minute)
		defer deadline.Stop()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			var open int
			if err := db.QueryRow(context.Background(), `SELECT COUNT(*) FROM tasks WHERE lease_owner <> '' OR due_at <= $1`,
				migrations.Micros(w.Now())).Scan(&open); err != nil {
				w.t.Fatal(err)
			}
			if open == 0 && w.noted() {
				return
			}
			select {
			case <-tick.C:
			case <-deadline.C:
				w.t.Fatalf("%d tasks are still open", open)
			}
		}
	}
}

func (w *world) take() (runs []Run) {
	for {
		select {
		case r := <-w.fired:
			runs = append(runs, r)
		default:
			return runs
		}
	}
}

// end ends runs well.
func (w *world) end(runs ...Run) {
	w.t.Helper()
	for _, r := range runs {
		if _, err := w.ended(Ending{Run: r.ID, Turn: "t_" + r.ID, State: RunDone}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) ended(e Ending) (after After, err error) {
	err = w.db.Write(context.Background(), func(tx *migrations.Tx) error {
		after, err = w.s.Ended(tx, e)
		return err
	})
	return after, err
}

func TestADutyRunsOnceForEachDueTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.create("30 9 * * 1-5", "")
	one := w.runner("one", w.db, w.s)
	otherDB, other := w.open() // as a second process
	two := w.runner("two", otherDB, other)
	both := func() { one(); two() }
	both()
	if got := w.take(); len(got) != 0 {
		t.Fatalf("it ran before it was due: %+v", got)
	}
	want := d.NextAt
	for range 5 {
		w.set(want.Add(time.Second))
		both()
		got := w.take()
		if len(got) != 1 || !got[0].DueAt.Equal(want) || got[0].Missed != 0 {
			t.Fatalf("due at %v: ran %+v; want one run for it", want, got)
		}
		w.end(got...)
		want = d.Schedule.Next(want)
	}
	// The clock goes back a day and forward again: nothing runs twice.
	w.set(want.Add(-26 * time.Hour))
	both()
	if got := w.take(); len(got) != 0 {
		t.Errorf("after the clock went back: %+v; want nothing", got)
	}
	w.set(want.Add(time.Second))
	both()
	if got := w.take(); len(got) != 1 {
		t.Errorf("after the clock came forward: %d runs, want 1", len(got))
	}
}

// at is a time of the week of monday, in UTC.
func at(days, hour, minute int) time.Time {
	return time.Date(2026, 3, 2+days, hour, minute, 0, 0, time.UTC)
}

// Nobody ran from Monday 9:00 until now; the duty was due daily at 9:30.
func TestMissedTimes(t *testing.T) {
	t.Parallel()
	due := func(days int, missed int64) Run { return Run{DueAt: at(days, 9, 30), Missed: missed, State: RunDue} }
	skipped := func(days int, missed int64) Run {
		return Run{DueAt: at(days, 9, 30), Missed: missed, State: RunSkipped}
	}
	for _, c := range []struct {
		name, policy string
		now          time.Time
		want         []Run // newest first
	}{
		{"one run for all of five", CatchUpOnce, at(4, 12, 0), []Run{due(4, 4)}},
		{"one run also when the newest is on time", CatchUpOnce, at(4, 9, 31), []Run{due(4, 4)}},
		{"one that is late", CatchUpOnce, at(0, 23, 0), []Run{due(0, 0)}},
		{"all skipped", CatchUpSkip, at(4, 12, 0), []Run{skipped(4, 4)}},
		{"skipped but the newest, which is on time", CatchUpSkip, at(4, 9, 31), []Run{due(4, 0), skipped(3, 3)}},
		{"nothing skipped", CatchUpSkip, at(0, 9, 34), []Run{due(0, 0)}},
		{"each of five", CatchUpAll, at(4, 12, 0), []Run{due(4, 0), due(3, 0), due(2, 0), due(1, 0), due(0, 0)}},
		{"the newest ten of fourteen", CatchUpAll, at(13, 12, 0), []Run{due(13, 0), due(12, 0), due(11, 0), due(10, 0), due(9, 0), due(8, 0), due(7, 0),
			due(6, 0), due(5, 0), due(4, 4)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.create("30 9 * * *", c.policy)
			w.set(c.now)
			w.runner("one", w.db, w.s)()
			got, err := w.s.Runs(context.Background(), d.ID, 100)
			if err != nil {
				t.Fatal(err)
			}
			fired := 0
			for i, r := range got {
				if r.State == RunDue {
					fired++
				}
				got[i] = Run{DueAt: r.DueAt.UTC(), Missed: r.Missed, State: r.State}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("runs %+v, want %+v", got, c.want)
			}
			if n := len(w.take()); n != fired {
				t.Errorf("%d runs were handed on, want %d", n, fired)
			}
			after, err := w.s.Get(context.Background(), d.ID)
			if err != nil || !after.NextAt.After(c.now) || after.NextAt.Sub(c.now) > 24*time.Hour {
				t.Errorf("next at %v, %v; want within a day of %v", after.NextAt, err, c.now)
			}
		})
	}
}

// A year of minutes is not walked, and the newest are right all the same.
// Also those that were skipped in the transaction that begins it.
func TestSkippedTimesAreToldByTheNextRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.create("0 * * * *", CatchUpSkip)
	settle := w.runner("one", w.db, w.s)
	w.set(d.NextAt.Add(3*time.Hour + 30*time.Minute)) // four, too late for the newest
	settle()
	if got := w.take(); len(got) != 0 {
		t.Fatalf("%+v ran, want none", got)
	}
	w.set(d.NextAt.Add(6 * time.Hour)) // two more, and one that is on time
	settle()
	if got := w.take(); len(got) != 1 || got[0].Note != "6 earlier times were skipped." {
		t.Errorf("%+v ran, want one run that tells of 6 times", got)
	}
}

func TestCountingOfMissedTimesIsBounded(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]struct{ newest, next time.Time }{
		"* * * * *":    {at(365, 12, 0), at(365, 12, 1)},
		"*/15 * * * *": {at(365, 12, 0), at(365, 12, 15)},
		"@every 7m":    {at(365, 11, 57), at(365, 12, 4)}, // 75,111 times 7 minutes after Monday 9:00
		"30 9 * * *":   {at(365, 9, 30), at(366, 9, 30)},
	} {
		c, err := Schedule{Cron: expr, TZ: "UTC"}.calendar()
		if err != nil {
			t.Fatal(err)
		}
		due, next := c.dueUntil(at(365, 12, 0), at(0, 9, 0))
		if newest := due[len(due)-1]; !newest.Equal(want.newest) || !next.Equal(want.next) {
			t.Errorf("%s: newest %v, next %v; want %v and %v", expr, newest, next, want.newest, want.next)
		}
		if len(due) > mostMissed+24*60 {
			t.Errorf("%s: %d times were listed", expr, len(due))
		}
	}
}

func TestASingleDutyIsDoneHoweverLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d, err := w.s.Create(context.Background(), NewDuty{Workspace: "T1", Channel: "C1", ChannelKind: "public", Prompt: "call Ada",
		Schedule: Schedule{At: monday.Add(time.Hour), TZ: "UTC"}, Owner: "U0BEN", Request: "turn:t1:c1"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.s.Create(context.Background(), NewDuty{Workspace: "T1", Channel: "C1", ChannelKind: "public", Prompt: "call Ada",
		Schedule: Schedule{At: monday.Add(time.Hour), TZ: "UTC"}, Owner: "U0BEN", Request: "turn:t1:c1"})
	if err != nil || again.ID != d.ID {
		t.Errorf("the same request made %s and then %s, %v; want one duty", d.ID, again.ID, err)
	}
	w.set(monday.Add(48 * time.Hour))
	settle := w.runner("one", w.db, w.s)
	settle()
	if got := w.take(); len(got) != 1 {
		t.Errorf("%d runs, want 1", len(got))
	}
	got, err := w.s.Get(context.Background(), d.ID)
	if err != nil || got.State != StateDone || !got.NextAt.IsZero() || got.When != d.When {
		t.Errorf("afterwards it is %q, next %v, %q, %v; want done, never, %q", got.State, got.NextAt, got.When, err, d.When)
	}
}

// Whatever keeps the work from being handed on, the run comes, once.
func TestARunThatCouldNotBeHandedOnIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.create("30 9 * * *", "")
	w.mu.Lock()
	w.fail = 3
	w.mu.Unlock()
	w.set(d.NextAt.Add(time.Second))
	w.runner("one", w.db, w.s)()
	if got := w.take(); len(got) != 1 {
		t.Errorf("%d runs, want 1", len(got))
	}
	runs, err := w.s.Runs(context.Background(), d.ID, 10)
	if err != nil || len(runs) != 1 {
		t.Errorf("%d runs are recorded, %v; want 1", len(runs), err)
	}
}

func TestPauseResumeDeleteRunNow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	settle := w.runner("one", w.db, w.s)
	d := w.create("30 9 * * *", "")
	if _, err := w.s.Pause(ctx, d.ID, "U0ADA"); err != nil {
		t.Fatal(err)
	}
	w.set(d.NextAt.Add(time.Hour))
	settle()
	if got := w.take(); len(got) != 0 {
		t.Errorf("a paused duty ran: %+v", got)
	}
	resumed, err := w.s.Resume(ctx, d.ID, "U0ADA")
	if err != nil || !resumed.NextAt.After(w.Now()) {
		t.Fatalf("resumed: next at %v, %v; want a time to come", resumed.NextAt, err)
	}
	for range 2 {
		if _, err := w.s.RunNow(ctx, d.ID, "U0ADA", "turn:t9:c1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.take(); len(got) != 1 {
		t.Errorf("one request ran it %d times, want 1", len(got))
	}
	if _, err := w.s.Delete(ctx, d.ID, "U0ADA"); err != nil {
		t.Fatal(err)
	}
	w.set(resumed.NextAt.Add(time.Hour))
	settle()
	if got := w.take(); len(got) != 0 {
		t.Errorf("a deleted duty ran: %+v", got)
	}
	if _, err := w.s.Pause(ctx, d.ID, "U0ADA"); !errors.Is(err, ErrNoDuty) {
		t.Errorf("pausing a deleted duty: %v, want ErrNoDuty", err)
	}
	kinds := map[string]int{}
	entries, err := w.s.ledger.Tail(ctx, "T1", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		kinds[e.Kind]++
	}
	if kinds["duty.created"] != 1 || kinds["duty.changed"] != 3 || kinds["duty.run"] != 1 || kinds["duty.deleted"] != 1 {
		t.Errorf("ledger entries %v; want 1 created, 3 changed (pause, resume, run now), 1 run, 1 deleted", kinds)
	}
}

// Runs that people ask for stand beside the schedule, at whatever instant.
func TestRunNowTakesNothingFromTheSchedule(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	d := w.create("30 9 * * *", "")
	w.set(d.NextAt) // asked for three times at the very instant that it is due
	for _, request := range []string{"a", "b", ""} {
		if _, err := w.s.RunNow(ctx, d.ID, "U0ADA", request); err != nil {
			t.Fatal(err)
		}
	}
	w.runner("one", w.db, w.s)()
	runs, err := w.s.Runs(ctx, d.ID, 10)
	if err != nil || len(runs) != 4 || !runs[3].DueAt.Equal(d.NextAt) {
		t.Errorf("runs %+v, %v; want three that were asked for and the one due at %v", runs, err, d.NextAt)
	}
	if got := len(w.take()); got != 4 {
		t.Errorf("%d runs were handed on, want 4", got)
	}
	w.mu.Lock()
	w.fail = 1
	w.mu.Unlock()
	if _, err := w.s.RunNow(ctx, d.ID, "U0ADA", "c"); err == nil {
		t.Error("a run that could not be handed on was promised")
	}
	if _, err := w.s.RunNow(ctx, "d_nothing", "U0ADA", ""); !errors.Is(err, ErrNoDuty) {
		t.Errorf("running no duty: %v, want ErrNoDuty", err)
	}
}

// Whatever a run ended with is in its history.
func TestHistory(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	d := w.create("30 9 * * *", "")
	for turn, failed := range map[string]string{"t_well": "", "t_ill": "the model did not answer"} {
		if _, err := w.s.RunNow(ctx, d.ID, "U0ADA", turn); err != nil {
			t.Fatal(err)
		}
		r := <-w.fired
		end := Ending{Run: r.ID, Turn: turn, State: RunDone, Tokens: 120, Cost: 34}
		if failed != "" {
			end.State, end.Why = RunFailed, failed
		}
		if _, err := w.ended(end); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := w.s.Runs(ctx, d.ID, 10)
	if err != nil || len(runs) != 2 {
		t.Fatalf("runs %+v, %v; want 2", runs, err)
	}
	for _, r := range runs {
		want := Run{ID: r.ID, Duty: d.ID, DueAt: r.DueAt, State: RunDone, Turn: r.Turn, AskedBy: "U0ADA", Tries: 1, Tokens: 120, Cost: 34, Begun: r.Begun, Ended: r.Ended}
		if r.Turn == "t_ill" {
			want.State, want.Error = RunFailed, "the model did not answer"
		}
		if r != want || r.Ended.IsZero() || r.Begun.IsZero() {
			t.Errorf("run %+v, want %+v with a time of ending", r, want)
		}
	}
	if runs, err = w.s.Runs(ctx, d.ID, 1); err != nil || len(runs) != 1 {
		t.Errorf("%d runs, %v; want the newest one", len(runs), err)
	}
}

func TestBadDutiesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := NewDuty{Workspace: "T1", Channel: "C1", Prompt: "x", Schedule: Schedule{Cron: "@daily", TZ: "UTC"}, Owner: "U0BEN"}
	for want, change := range map[string]func(*NewDuty){
		"what to do is missing":   func(n *NewDuty) { n.Prompt = " " },
		"too long":                func(n *NewDuty) { n.Prompt = strings.Repeat("x", 5000) },
		"must be given":           func(n *NewDuty) { n.Owner = "" },
		"skip, once or all":       func(n *NewDuty) { n.CatchUp = "never" },
		"not a cron expression":   func(n *NewDuty) { n.Schedule.Cron = "often" },
		"in the past":             func(n *NewDuty) { n.Schedule = Schedule{At: monday.Add(-time.Hour), TZ: "UTC"} },
		"not a time zone such as": func(n *NewDuty) { n.Schedule.TZ = "Mars/Olympus" },
	} {
		n := good
		change(&n)
		if _, err := w.s.Create(context.Background(), n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

// 10,000 duties of seven workspaces that are due in the same minute; 500 with -short.
func BenchmarkManyDutiesDueAtOnce(b *testing.B) {
	n := 10_000
	if testing.Short() {
		n = 500
	}
	ctx := context.Background()
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b)
		err := w.db.Write(ctx, func(tx *migrations.Tx) error {
			for i := range n {
				if _, err := tx.Exec(`INSERT INTO duties (id, workspace, kind, title, prompt, cron, tz, next_at, channel, channel_kind, owner, created_by, state, catch_up, created_at, updated_at)
					VALUES ($1, $2, 'schedule', 'x', 'x', '30 9 * * *', 'Europe/Berlin', $3, 'C1', 'public', 'U0BEN', 'U0BEN', 'active', 'once', 0, 0)`,
					fmt.Sprintf("d_%d", i), fmt.Sprintf("T%d", i%7), migrations.Micros(monday)); err != nil {
					return err
				}
				if err := wake(tx, Duty{ID: fmt.Sprintf("d_%d", i), Workspace: fmt.Sprintf("T%d", i%7), State: StateActive, NextAt: monday}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		w.set(monday.Add(time.Minute))
		b.StartTimer()
		w.runner("one", w.db, w.s)
		late := time.After(time.Minute) // go test's own bound does not hold for benchmarks
		for i := range n {
			select {
			case <-w.fired:
			case <-late:
				b.Fatalf("%d of %d duties ran within a minute", i, n)
			}
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "runs/s")
}
