package task

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"deskmate/migrations"
)

// launch runs r until the returned function is called or the test ends, and
// gives what Run returned.
func launch(t testing.TB, r *Runner) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	end = sync.OnceValue(func() error {
		cancel()
		return within(t, done, "the runner's end")
	})
	t.Cleanup(func() {
		if err := end(); err != nil && !errors.Is(err, ErrReplaced) {
			t.Errorf("runner ended with %v", err)
		}
	})
	return end
}

func poll(d time.Duration) Options {
	return Options{Poll: d, Backoff: func(int64) time.Duration { return 5 * time.Millisecond }, Drain: 100 * time.Millisecond}
}

// signalled is for tests in which a signal or a timer must do: polling would
// come too late.
var signalled = poll(time.Hour)

func itemsTable(t testing.TB, db *migrations.DB) {
	t.Helper()
	write(t, db, func(tx *migrations.Tx) error {
		_, err := tx.Exec(`CREATE TABLE items (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0)`)
		return err
	})
}

// Many store work and wake its key, while workers take the work of a key, now
// and then failing before or after they are through with it. No work is left,
// none is done twice, each key's is done in order, and by one worker at a time.
func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	itemsTable(t, db)
	const senders, each, boxes = 8, 60, 5
	var (
		mu      sync.Mutex
		worked  = map[string][]int64{}
		inside  = map[string]int{}
		runs    int
		left    = senders * each
		allDone = make(chan struct{})
	)
	r := NewRunner(db, signalled)
	r.Handle("box", 3, func(ctx context.Context, l *Lease) (Result, error) {
		mu.Lock()
		inside[l.Key]++
		if inside[l.Key] > 1 {
			t.Errorf("%d workers in %s", inside[l.Key], l.Key)
		}
		runs++
		fail := runs % 11
		mu.Unlock()
		defer func() {
			mu.Lock()
			inside[l.Key]--
			mu.Unlock()
		}()
		if fail == 5 {
			panic("before")
		}
		var ids []int64
		err := db.Write(ctx, func(tx *migrations.Tx) error {
			if err := l.Guard(tx); err != nil {
				return err
			}
			rows, err := tx.Query(`UPDATE items SET done = 1 WHERE key = $1 AND done = 0 RETURNING id`, l.Key)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id int64
				if err := rows.Scan(&id); err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return rows.Err()
		})
		if err != nil {
			return Result{}, err
		}
		slices.Sort(ids)
		mu.Lock()
		defer mu.Unlock()
		worked[l.Key] = append(worked[l.Key], ids...)
		if left -= len(ids); left == 0 {
			close(allDone)
		}
		if fail == 7 {
			return Result{}, errFailed
		}
		return Result{}, nil
	})
	launch(t, r)
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := range each {
				key := fmt.Sprint("box", (s+i)%boxes)
				if err := db.Write(context.Background(), func(tx *migrations.Tx) error {
					if _, err := tx.Exec(`INSERT INTO items (key) VALUES ($1)`, key); err != nil {
						return err
					}
					return Wake(tx, Waking{Workspace: "T1", Kind: "box", Key: key})
				}); err != nil {
					t.Errorf("store work: %v", err)
				}
			}
		})
	}
	all.Wait()
	within(t, allDone, "the end of all work")
	mu.Lock()
	defer mu.Unlock()
	for key, ids := range worked {
		for i := 1; i < len(ids); i++ {
			if ids[i] <= ids[i-1] {
				t.Errorf("%s: item %d was worked after %d", key, ids[i], ids[i-1])
			}
		}
	}
}

func TestAKeyIsWorkedWhenItIsDue(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	began := make(chan time.Time, 1)
	r := NewRunner(db, signalled)
	r.Handle("k", 1, func(context.Context, *Lease) (Result, error) {
		began <- db.Now()
		return Result{}, nil
	})
	launch(t, r)
	due := db.Now().Add(60 * time.Millisecond)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a", Due: due})
	if at := within(t, began, "the run"); at.Before(due) {
		t.Errorf("it ran %v before it was due", due.Sub(at))
	}
}

func TestAgainBringsAKeyBack(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	began := make(chan struct{}, 10)
	var n atomic.Int64
	r := NewRunner(db, signalled)
	r.Handle("k", 1, func(context.Context, *Lease) (Result, error) {
		began <- struct{}{}
		if n.Add(1) < 3 {
			return Result{Again: db.Now().Add(20 * time.Millisecond)}, nil
		}
		return Result{}, nil
	})
	launch(t, r)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	for range 3 {
		within(t, began, "a run")
	}
}

func TestNotMoreWorkersThanAllowed(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	var inside, most, runs atomic.Int64
	const keys, workers = 40, 3
	finished := make(chan struct{})
	r := NewRunner(db, signalled)
	r.Handle("k", workers, func(context.Context, *Lease) (Result, error) {
		n := inside.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		inside.Add(-1)
		if runs.Add(1) == keys {
			close(finished)
		}
		return Result{}, nil
	})
	write(t, db, func(tx *migrations.Tx) error {
		for i := range keys {
			if err := Wake(tx, Waking{Workspace: "T1", Kind: "k", Key: fmt.Sprint("k", i)}); err != nil {
				return err
			}
		}
		return nil
	})
	launch(t, r)
	within(t, finished, "the end of all work")
	if got := most.Load(); got > workers {
		t.Errorf("workers at a time: got %d, want at most %d", got, workers)
	}
}

// until starts a handler that runs until its context ends, and returns channels
// of its begin and of the cause of its end.
func until(r *Runner) (began chan *Lease, ended chan error) {
	began, ended = make(chan *Lease, 10), make(chan error, 10)
	r.Handle("k", 1, func(ctx context.Context, l *Lease) (Result, error) {
		began <- l
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return Result{}, ctx.Err()
	})
	return began, ended
}

func TestAStopEndsTheHandlerAtOnce(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	r := NewRunner(db, signalled)
	began, ended := until(r)
	launch(t, r)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	within(t, began, "the handler's begin")
	write(t, db, func(tx *migrations.Tx) error { return Stop(tx, "a") })
	if got := within(t, ended, "the handler's end"); !errors.Is(got, ErrStopped) {
		t.Errorf("the handler's context ended with %v, want ErrStopped", got)
	}
	// It ended with an error, so somebody still has to clean up: the next run is told.
	if l := within(t, began, "the next run"); !l.Stopped || l.Attempts != 0 {
		t.Errorf("the next lease: got stopped %v after %d failures, want stopped after none", l.Stopped, l.Attempts)
	}
}

func TestAFailedHandlerIsTriedAgain(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	var log bytes.Buffer
	o := signalled
	o.Logger = zerolog.New(zerolog.SyncWriter(&log))
	attempts := make(chan int64, 10)
	r := NewRunner(db, o)
	r.Handle("k", 1, func(_ context.Context, l *Lease) (Result, error) {
		attempts <- l.Attempts
		switch l.Attempts {
		case 0:
			return Result{}, errFailed
		case 1:
			panic("it panicked")
		}
		return Result{}, nil
	})
	end := launch(t, r)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	for want := range int64(3) {
		if got := within(t, attempts, "a try"); got != want {
			t.Errorf("attempts = %d, want %d", got, want)
		}
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{errFailed.Error(), "it panicked", "runner_test.go"} { // the last from the panic's stack
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, log.String())
		}
	}
	if l := mustClaim(t, db, start(t, db, "x"), "k", 1); len(l) != 0 {
		t.Errorf("the key is due after it succeeded")
	}
}

func TestALeaseIsRenewedWhileItsHandlerRuns(t *testing.T) {
	t.Parallel()
	c := newClock()
	db := open(t, c.Now)
	o := poll(10 * time.Millisecond)
	o.LeaseFor = 30 * time.Millisecond
	r := NewRunner(db, o)
	began, _ := until(r)
	launch(t, r)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	l := within(t, began, "the handler's begin")
	until := func() (us int64) {
		if err := db.QueryRow(context.Background(), `SELECT lease_until FROM tasks WHERE key = 'a'`).Scan(&us); err != nil {
			t.Fatal(err)
		}
		return us
	}
	first := until()
	c.Advance(time.Hour) // a jump ahead costs it nothing either
	eventually(t, "the lease is renewed", func() bool { return until() > first })
	if err := guard(db, l); err != nil {
		t.Errorf("guard = %v, want nil", err)
	}
}

func TestAClockThatIsSetBackHoldsNothingUp(t *testing.T) {
	t.Parallel()
	c := newClock()
	db := open(t, c.Now)
	runs := make(chan int64, 10)
	o := signalled
	o.Backoff = func(int64) time.Duration { return time.Minute }
	r := NewRunner(db, o)
	r.Handle("k", 1, func(_ context.Context, l *Lease) (Result, error) {
		runs <- l.Attempts
		if l.Attempts == 0 {
			return Result{}, errFailed
		}
		return Result{}, nil
	})
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	c.Advance(-time.Hour) // while nothing runs
	launch(t, r)
	within(t, runs, "the run of what was due before the step")
	eventually(t, "the failure is stored", func() bool {
		f, err := Failing(context.Background(), db, 1)
		return err == nil && len(f) == 1
	})
	c.Advance(-time.Hour) // while it waits for its next try
	db.Now()              // whoever looks first notices
	if got := within(t, runs, "the next try"); got != 1 {
		t.Errorf("attempts = %d, want 1", got)
	}
}

func TestTheDistanceToTheNextTryGrowsToABound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		attempts int64
		want     time.Duration
	}{{-1, 500 * time.Millisecond}, {1, 500 * time.Millisecond}, {2, time.Second}, {5, 8 * time.Second}, {10, 256 * time.Second}, {11, 5 * time.Minute}, {1 << 40, 5 * time.Minute}} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := Backoff(c.attempts)
			if d < c.want*8/10 || d > c.want*12/10 {
				t.Fatalf("after %d failures: got %v, want %v ± 20 %%", c.attempts, d, c.want)
			}
			seen[d] = true
		}
		if len(seen) < 2 {
			t.Errorf("after %d failures: always the same distance, want jitter", c.attempts)
		}
	}
}
