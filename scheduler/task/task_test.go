package task

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskmate/migrations"
)

// clock is a settable clock for stores under test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t testing.TB, now func() time.Time) *migrations.DB {
	t.Helper()
	db, err := migrations.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "test.db"), migrations.Options{Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return db
}

func wake(t testing.TB, db *migrations.DB, w Waking) {
	t.Helper()
	if err := db.Write(context.Background(), func(tx *migrations.Tx) error { return Wake(tx, w) }); err != nil {
		t.Fatal(err)
	}
}

func mustClaim(t *testing.T, db *migrations.DB, owner, kind string, limit int) []*Lease {
	t.Helper()
	l, err := claim(context.Background(), db, owner, kind, limit, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func guard(db *migrations.DB, l *Lease) error {
	return db.Write(context.Background(), func(tx *migrations.Tx) error { return l.Guard(tx) })
}

// run starts a runner and ends it with the test.
func run(t testing.TB, r *Runner) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("runner ended with %v", err)
		}
	})
}

func within[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

// The transitions of docs/tasks.md, each from a fresh key.
func TestStateMachine(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	failed := errors.New("it failed")
	type step func(t *testing.T, db *migrations.DB, c *clock, l *Lease) *Lease
	doWake := func(due time.Duration) step {
		return func(t *testing.T, db *migrations.DB, c *clock, l *Lease) *Lease {
			wake(t, db, Waking{"T1", "k", "a", c.Now().Add(due)})
			return l
		}
	}
	doClaim := func(t *testing.T, db *migrations.DB, _ *clock, _ *Lease) *Lease {
		got := mustClaim(t, db, "w", "k", 1)
		if len(got) != 1 {
			t.Fatalf("claimed %d keys, want 1", len(got))
		}
		return got[0]
	}
	noClaim := func(t *testing.T, db *migrations.DB, _ *clock, l *Lease) *Lease {
		if got := mustClaim(t, db, "w", "k", 1); len(got) != 0 {
			t.Fatalf("claimed %+v, want nothing", got[0])
		}
		return l
	}
	doFinish := func(again time.Duration, err error) step {
		return func(t *testing.T, db *migrations.DB, c *clock, l *Lease) *Lease {
			var at time.Time
			if again != 0 {
				at = c.Now().Add(again)
			}
			if err := finish(ctx, db, l, at, err); err != nil {
				t.Fatal(err)
			}
			return l
		}
	}
	pass := func(d time.Duration) step {
		return func(_ *testing.T, _ *migrations.DB, c *clock, l *Lease) *Lease { c.Advance(d); return l }
	}
	overtaken := func(t *testing.T, db *migrations.DB, _ *clock, l *Lease) *Lease {
		if err := guard(db, l); !errors.Is(err, ErrFenced) {
			t.Fatalf("guard = %v, want ErrFenced", err)
		}
		if err := finish(ctx, db, l, time.Time{}, nil); !errors.Is(err, ErrFenced) {
			t.Fatalf("finish = %v, want ErrFenced", err)
		}
		return l
	}
	orphaned := func(t *testing.T, db *migrations.DB, _ *clock, l *Lease) *Lease {
		if _, err := takeOver(ctx, db, "w"); err != nil {
			t.Fatal(err)
		}
		return l
	}
	stop := func(t *testing.T, db *migrations.DB, _ *clock, l *Lease) *Lease {
		if err := db.Write(ctx, func(tx *migrations.Tx) error { return Stop(tx, "a") }); err != nil {
			t.Fatal(err)
		}
		return l
	}
	stoppedIs := func(want bool) step {
		return func(t *testing.T, _ *migrations.DB, _ *clock, l *Lease) *Lease {
			if l.Stopped != want {
				t.Fatalf("lease.Stopped = %v, want %v", l.Stopped, want)
			}
			return l
		}
	}
	for name, steps := range map[string][]step{
		"an idle key is not claimed":                            {noClaim},
		"a woken key is claimed once":                           {doWake(0), doClaim, noClaim},
		"a key is not claimed before it is due":                 {doWake(time.Hour), noClaim, pass(time.Hour), doClaim},
		"an earlier due time wins":                              {doWake(time.Hour), doWake(time.Minute), noClaim, pass(time.Minute), doClaim},
		"a finished key is idle":                                {doWake(0), doClaim, doFinish(0, nil), noClaim},
		"a wake during a run brings the key back":               {doWake(0), doClaim, doWake(0), doFinish(0, nil), doClaim},
		"a wake during a run beats a later again":               {doWake(0), doClaim, doWake(0), doFinish(time.Hour, nil), doClaim},
		"again makes it due later":                              {doWake(0), doClaim, doFinish(time.Hour, nil), noClaim, pass(time.Hour), doClaim},
		"a failed run waits for its next try":                   {doWake(0), doClaim, doFinish(time.Minute, failed), noClaim, pass(time.Minute), doClaim},
		"a wake shortens the wait after a failure":              {doWake(0), doClaim, doFinish(time.Hour, failed), doWake(0), doClaim},
		"an orphan is taken over and its worker fenced":         {doWake(0), doClaim, orphaned, overtaken, doClaim, doFinish(0, nil), noClaim},
		"a lease that ran out is free for anybody":              {doWake(0), doClaim, pass(2 * time.Minute), orphaned, doClaim},
		"a stop before a run is told to it, once":               {doWake(0), stop, doClaim, stoppedIs(true), doFinish(0, nil), doWake(0), doClaim, stoppedIs(false)},
		"a stop during a run that fails is told to the next":    {doWake(0), doClaim, stop, doFinish(-1, failed), doClaim, stoppedIs(true)},
		"a clock that goes back does not lose a key that waits": {doWake(time.Hour), pass(-24 * time.Hour), noClaim, pass(25 * time.Hour), doClaim},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			db := open(t, c.Now)
			var l *Lease
			for _, s := range steps {
				l = s(t, db, c, l)
			}
		})
	}
}

func TestClaimsAreFairBetweenWorkspaces(t *testing.T) {
	t.Parallel()
	c := newClock()
	db := open(t, c.Now)
	for i := range 20 {
		wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: fmt.Sprintf("busy%02d", i)})
	}
	c.Advance(time.Second)
	wake(t, db, Waking{Workspace: "T2", Kind: "k", Key: "quiet"})
	c.Advance(time.Second)
	for _, l := range mustClaim(t, db, "w", "k", 2) {
		if l.Key == "quiet" {
			return
		}
	}
	t.Error("the quiet workspace's key was not among the first two claims")
}

// Whatever the interleaving, every wake is followed by a run that began after it.
func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	const keys, wakes = 5, 200
	var woken, seen [keys]atomic.Int64
	caughtUp := make(chan struct{}, 1)
	r := NewRunner(db, Options{Poll: time.Hour}) // signals only: a lost one would hang
	r.Handle("k", 3, func(_ context.Context, l *Lease) (Result, error) {
		var i int
		if _, err := fmt.Sscanf(l.Key, "key%d", &i); err != nil {
			return Result{}, err
		}
		seen[i].Store(woken[i].Load())
		select {
		case caughtUp <- struct{}{}:
		default:
		}
		return Result{}, nil
	})
	run(t, r)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range wakes {
				k := (g + i) % keys
				woken[k].Add(1)
				wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: fmt.Sprintf("key%d", k)})
			}
		})
	}
	all.Wait()
	deadline := time.After(20 * time.Second)
	for {
		behind := 0
		for k := range keys {
			if seen[k].Load() < woken[k].Load() {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		select {
		case <-caughtUp:
		case <-deadline:
			t.Fatalf("%d keys have wakes that no run followed", behind)
		}
	}
}

func TestOneWorkerAKey(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	var inside, most atomic.Int64
	runs := make(chan struct{}, 1000)
	r := NewRunner(db, Options{})
	r.Handle("k", 8, func(context.Context, *Lease) (Result, error) {
		most.Store(max(most.Load(), inside.Add(1)))
		defer inside.Add(-1)
		runs <- struct{}{}
		return Result{}, nil
	})
	run(t, r)
	for range 100 {
		wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "one"})
	}
	within(t, runs, "a run")
	if got := most.Load(); got != 1 {
		t.Errorf("%d workers were in one key at a time, want 1", got)
	}
}

func TestStopEndsTheHandlerAtOnce(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	began, ended := make(chan struct{}), make(chan error, 1)
	r := NewRunner(db, Options{})
	r.Handle("k", 1, func(ctx context.Context, _ *Lease) (Result, error) {
		close(began)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return Result{}, nil
	})
	run(t, r)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	within(t, began, "the handler's begin")
	if err := db.Write(context.Background(), func(tx *migrations.Tx) error { return Stop(tx, "a") }); err != nil {
		t.Fatal(err)
	}
	if got := within(t, ended, "the handler's end"); !errors.Is(got, ErrStopped) {
		t.Errorf("the handler's context ended with %v, want ErrStopped", got)
	}
}

func TestAFailedHandlerIsTriedAgain(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	attempts := make(chan int64, 10)
	r := NewRunner(db, Options{Backoff: func(int64) time.Duration { return 0 }, Poll: 10 * time.Millisecond})
	r.Handle("k", 1, func(_ context.Context, l *Lease) (Result, error) {
		attempts <- l.Attempts
		switch l.Attempts {
		case 0:
			return Result{}, errors.New("it failed")
		case 1:
			panic("it panicked")
		}
		return Result{}, nil
	})
	run(t, r)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	for want := range int64(3) {
		if got := within(t, attempts, "a try"); got != want {
			t.Errorf("attempts = %d, want %d", got, want)
		}
	}
}

func TestOrphansAreWorkedAtStart(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	old := mustClaim(t, db, "main", "k", 1)[0] // a process that then died
	got := make(chan *Lease, 1)
	r := NewRunner(db, Options{})
	r.Handle("k", 1, func(_ context.Context, l *Lease) (Result, error) {
		got <- l
		return Result{}, nil
	})
	run(t, r)
	l := within(t, got, "the take-over")
	if l.Takeovers != 1 || l.Fence <= old.Fence {
		t.Errorf("takeovers = %d, fence %d after %d; want 1 and a higher fence", l.Takeovers, l.Fence, old.Fence)
	}
	if err := guard(db, old); !errors.Is(err, ErrFenced) {
		t.Errorf("guard of the dead worker = %v, want ErrFenced", err)
	}
}

func TestALeaseIsRenewedWhileItsHandlerRuns(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	began := make(chan struct{})
	end := make(chan struct{})
	r := NewRunner(db, Options{LeaseFor: 150 * time.Millisecond})
	var once sync.Once
	r.Handle("k", 2, func(ctx context.Context, _ *Lease) (Result, error) {
		once.Do(func() { close(began) })
		select {
		case <-end:
		case <-ctx.Done():
			t.Errorf("the handler lost its lease: %v", context.Cause(ctx))
		}
		return Result{}, nil
	})
	run(t, r)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	within(t, began, "the handler's begin")
	var first int64
	for range 1000 { // until the lease has moved on at least three times its length
		var until int64
		if err := db.QueryRow(context.Background(), `SELECT lease_until FROM tasks WHERE key = 'a'`).Scan(&until); err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = until
		}
		if until-first > 450_000 {
			break
		}
		wait := time.NewTimer(5 * time.Millisecond)
		<-wait.C
	}
	close(end)
	if got := mustClaim(t, db, "other", "k", 1); len(got) != 0 {
		t.Errorf("another worker claimed a key whose lease was renewed")
	}
}

func BenchmarkWakeToStart(b *testing.B) {
	db := open(b, time.Now)
	began := make(chan struct{}, 1)
	r := NewRunner(db, Options{})
	r.Handle("k", 4, func(context.Context, *Lease) (Result, error) {
		began <- struct{}{}
		return Result{}, nil
	})
	run(b, r)
	i := 0
	for b.Loop() {
		i++
		wake(b, db, Waking{Workspace: "T1", Kind: "k", Key: fmt.Sprintf("key%d", i)})
		<-began
	}
}
