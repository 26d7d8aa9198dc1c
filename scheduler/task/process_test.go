package task

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"deskmate/migrations"
)

// What happens when processes start, end, sleep, or work side by side.

func TestOrphansAreWorkedAtStart(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	old := mustClaim(t, db, start(t, db, "main"), "k", 1)[0] // by a process that then died
	r := NewRunner(db, signalled)
	began, _ := until(r)
	launch(t, r)
	l := within(t, began, "the take-over")
	if l.Takeovers != 1 || l.Fence <= old.Fence {
		t.Errorf("takeovers = %d, fence %d after %d; want 1 and a higher fence", l.Takeovers, l.Fence, old.Fence)
	}
	if err := guard(db, old); !errors.Is(err, ErrFenced) {
		t.Errorf("guard of the dead worker = %v, want ErrFenced", err)
	}
}

// A second server on one store takes the first one's place; nothing is worked by
// both.
func TestAProcessThatWasReplacedEnds(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	first, second := NewRunner(db, poll(10*time.Millisecond)), NewRunner(db, poll(10*time.Millisecond))
	began, ended := until(first)
	took, _ := until(second)
	end := launch(t, first)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	old := within(t, began, "the first process's run")
	launch(t, second)
	within(t, took, "the take-over")
	if got := within(t, ended, "the end of the first one's handler"); !errors.Is(got, ErrFenced) {
		t.Errorf("the first handler's context ended with %v, want ErrFenced", got)
	}
	if err := guard(db, old); !errors.Is(err, ErrFenced) {
		t.Errorf("guard of the first worker = %v, want ErrFenced", err)
	}
	if err := end(); !errors.Is(err, ErrReplaced) {
		t.Errorf("the first runner ended with %v, want ErrReplaced", err)
	}
}

// A worker whose machine was asleep wakes up after another has taken over.
func TestAPausedWorkerCanChangeNothing(t *testing.T) {
	t.Parallel()
	c := newClock()
	db := open(t, c.Now)
	itemsTable(t, db)
	asleep := make(chan struct{})
	changed := make(chan error, 1)
	began := make(chan struct{})
	o := poll(10 * time.Millisecond)
	o.Owner = "one" // renews after ten real seconds: it sleeps
	one := NewRunner(db, o)
	one.Handle("k", 1, func(ctx context.Context, l *Lease) (Result, error) {
		close(began)
		<-asleep
		err := db.Write(ctx, func(tx *migrations.Tx) error {
			if err := l.Guard(tx); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO items (key) VALUES ('late')`)
			return err
		})
		changed <- err
		return Result{}, err
	})
	launch(t, one)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	within(t, began, "the first run")

	c.Advance(time.Minute)
	o.Owner, o.LeaseFor = "two", 30*time.Millisecond // looks for expired leases every 10 ms
	two := NewRunner(db, o)
	took, _ := until(two)
	launch(t, two)
	l := within(t, took, "the take-over")
	close(asleep)
	if err := within(t, changed, "the late write"); !errors.Is(err, ErrFenced) {
		t.Errorf("the late write: got %v, want ErrFenced", err)
	}
	if err := guard(db, l); err != nil {
		t.Errorf("guard of the new worker = %v, want nil", err)
	}
	var n int
	if err := db.QueryRow(context.Background(), `SELECT COUNT(*) FROM items`).Scan(&n); err != nil || n != 0 {
		t.Errorf("late writes: got %d, %v; want none", n, err)
	}
}

func TestShutdownLetsHandlersEnd(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	o := signalled
	o.Drain = 20 * time.Second
	r := NewRunner(db, o)
	began, finish := make(chan struct{}), make(chan struct{})
	r.Handle("k", 1, func(ctx context.Context, _ *Lease) (Result, error) {
		close(began)
		select {
		case <-finish:
		case <-ctx.Done():
			t.Errorf("the handler was interrupted: %v", context.Cause(ctx))
		}
		return Result{}, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "b"}) // not begun, and not to be
	within(t, began, "the handler's begin")
	cancel()
	close(finish)
	if err := within(t, done, "the runner's end"); err != nil {
		t.Errorf("run: %v", err)
	}
	if got := keys(mustClaim(t, db, start(t, db, "next"), "k", 9)); len(got) != 1 || got[0] != "b" {
		t.Errorf("left for the next start: got %v, want b", got)
	}
}

func TestShutdownInterruptsHandlersThatDoNotEnd(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	r := NewRunner(db, signalled)
	began, ended := until(r)
	end := launch(t, r)
	wake(t, db, Waking{Workspace: "T1", Kind: "k", Key: "a"})
	within(t, began, "the handler's begin")
	if err := end(); err != nil {
		t.Errorf("run: %v", err)
	}
	if got := within(t, ended, "the handler's end"); !errors.Is(got, ErrShutdown) {
		t.Errorf("the handler's context ended with %v, want ErrShutdown", got)
	}
	l := mustClaim(t, db, start(t, db, "next"), "k", 1)
	if len(l) != 1 || l[0].Attempts != 0 || l[0].Takeovers != 0 {
		t.Errorf("left for the next start: got %v, want the key, with no failure counted", l)
	}
}

func TestTwoProcessesShareTheWork(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	const keys = 60
	var runs [keys]atomic.Int64
	var left atomic.Int64
	left.Store(keys)
	finished := make(chan struct{})
	for i, name := range []string{"one", "two"} {
		db, err := migrations.Open(context.Background(), "sqlite:"+path, migrations.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		if i == 0 {
			write(t, db, func(tx *migrations.Tx) error {
				for k := range keys {
					if err := Wake(tx, Waking{Workspace: "T1", Kind: "k", Key: fmt.Sprint(k)}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		o := poll(5 * time.Millisecond)
		o.Owner = name
		r := NewRunner(db, o)
		r.Handle("k", 2, func(_ context.Context, l *Lease) (Result, error) {
			var k int
			if _, err := fmt.Sscan(l.Key, &k); err != nil {
				return Result{}, err
			}
			if runs[k].Add(1) == 1 && left.Add(-1) == 0 {
				close(finished)
			}
			return Result{}, nil
		})
		launch(t, r)
	}
	within(t, finished, "the end of all work")
	for k := range runs {
		if got := runs[k].Load(); got != 1 {
			t.Errorf("key %d: got %d runs, want 1", k, got)
		}
	}
}

func TestAStopFromAnotherProcessIsHeard(t *testing.T) {
	t.Parallel()
	db := open(t, time.Now)
	other, err := migrations.Open(context.Background(), "sqlite:"+db.Path(), migrations.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := NewRunner(db, poll(10*time.Millisecond))
	began, ended := until(r)
	launch(t, r)
	wake(t, other, Waking{Workspace: "T1", Kind: "k", Key: "a"}) // so is a wake
	within(t, began, "the handler's begin")
	write(t, other, func(tx *migrations.Tx) error { return Stop(tx, "a") })
	if got := within(t, ended, "the handler's end"); !errors.Is(got, ErrStopped) {
		t.Errorf("the handler's context ended with %v, want ErrStopped", got)
	}
}
