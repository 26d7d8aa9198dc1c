package scheduler

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// world is a store with a clock, a scheduler, and a list of what was fired.
type world struct {
	t     testing.TB
	db    *migrations.DB
	s     *Scheduler
	fired chan Run

	mu   sync.Mutex
	now  time.Time
	fail int // how many of the next fires fail
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: monday, fired: make(chan Run, 20_000)}
	db, err := migrations.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "test.db"), migrations.Options{Clock: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	k, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	w.db = db
	w.s = New(db, ledger.New(db, k, ledger.Options{}), func(tx *migrations.Tx, _ Duty, r Run) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.fail > 0 {
			w.fail--
			return errors.New("the work could not be handed on")
		}
		tx.AfterCommit(func() { w.fired <- r })
		return nil
	})
	return w
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

// runner starts a task runner on the world's store; the returned function has it
// look at the clock and waits until everything due has been worked.
func (w *world) runner(owner string) (settle func()) {
	w.t.Helper()
	r := task.NewRunner(w.db, task.Options{Owner: owner, Poll: 10 * time.Millisecond, Backoff: func(int64) time.Duration { return 0 }})
	r.Handle(TaskDuty, 4, w.s.Handle)
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
		deadline := time.NewTimer(20 * time.Second)
		defer deadline.Stop()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var open int
			if err := w.db.QueryRow(context.Background(), `SELECT COUNT(*) FROM tasks WHERE lease_owner <> '' OR due_at <= $1`,
				migrations.Micros(w.Now())).Scan(&open); err != nil {
				w.t.Fatal(err)
			}
			if open == 0 {
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

func TestADutyRunsOnceForEachDueTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.create("30 9 * * 1-5", "")
	one, two := w.runner("one"), w.runner("two") // two processes on one store
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

func TestMissedTimes(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]struct {
		runs   int
		missed int64
	}{CatchUpOnce: {1, 4}, CatchUpSkip: {0, 0}, CatchUpAll: {5, 0}} {
		w := newWorld(t)
		w.create("30 9 * * *", policy)
		w.set(monday.Add(4*24*time.Hour + 3*time.Hour)) // nobody ran for five due times
		w.runner("one")()
		got := w.take()
		if len(got) != want.runs {
			t.Errorf("%s: %d runs, want %d", policy, len(got), want.runs)
			continue
		}
		if want.runs == 1 && got[0].Missed != want.missed {
			t.Errorf("%s: it stands for %d missed times, want %d", policy, got[0].Missed, want.missed)
		}
		all, err := w.s.List(context.Background(), Filter{})
		if err != nil || len(all) != 1 || !all[0].NextAt.After(w.Now()) {
			t.Errorf("%s: next at %v, %v; want a time to come", policy, all, err)
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
	settle := w.runner("one")
	settle()
	if got := w.take(); len(got) != 1 {
		t.Errorf("%d runs, want 1", len(got))
	}
	if got, err := w.s.Get(context.Background(), d.ID); err != nil || got.State != StateDone {
		t.Errorf("its state is %q, %v; want done", got.State, err)
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
	w.runner("one")()
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
	settle := w.runner("one")
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
	if kinds["duty.created"] != 1 || kinds["duty.changed"] != 4 || kinds["duty.run"] != 1 || kinds["duty.deleted"] != 1 {
		t.Errorf("ledger entries %v; want 1 created, 4 changed (pause, resume, twice run now), 1 run, 1 deleted", kinds)
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

// 10,000 duties that are due in the same minute.
func BenchmarkManyDutiesDueAtOnce(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b)
		for i := range n {
			if _, err := w.s.Create(context.Background(), NewDuty{Workspace: fmt.Sprintf("T%d", i%7), Channel: "C1", Prompt: "x",
				Schedule: Schedule{Cron: "30 9 * * *", TZ: "UTC"}, Owner: "U0BEN"}); err != nil {
				b.Fatal(err)
			}
		}
		w.set(monday.Add(31 * time.Minute))
		b.StartTimer()
		w.runner("one")()
		if got := len(w.take()); got != n {
			b.Fatalf("%d runs, want %d", got, n)
		}
	}
}
