package task

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"deskmate/migrations"
)

// world is one store with one key, "a", and two processes that may work it.
type world struct {
	t     *testing.T
	db    *migrations.DB
	clock *clock
	me    owner
	lease *Lease // of the newest claim
	old   *Lease // of the one before
}

type step struct {
	name string
	do   func(w *world)
}

var (
	errFailed      = errors.New("it failed")
	errInterrupted = errors.New("it was interrupted")
)

func wakes(due time.Duration) step {
	return step{fmt.Sprint("wake due in ", due), func(w *world) {
		wake(w.t, w.db, Waking{"T1", "k", "a", w.clock.Now().Add(due)})
	}}
}

func passes(d time.Duration) step {
	return step{fmt.Sprint("clock by ", d), func(w *world) { w.clock.Advance(d) }}
}

func finishes(end ending, again time.Duration) step {
	return step{"finish", func(w *world) {
		if again != 0 {
			end.again = w.clock.Now().Add(again)
		}
		if err := finish(context.Background(), w.db, w.lease, end); err != nil {
			w.t.Fatalf("finish: %v", err)
		}
	}}
}

var (
	claims = step{"claim", func(w *world) {
		got := mustClaim(w.t, w.db, w.me, "k", 1)
		if len(got) != 1 {
			w.t.Fatalf("claimed %d keys, want 1", len(got))
		}
		if w.lease != nil && got[0].Fence <= w.lease.Fence {
			w.t.Fatalf("fence went from %d to %d, want it to grow", w.lease.Fence, got[0].Fence)
		}
		w.old, w.lease = w.lease, got[0]
	}}
	nothing = step{"nothing to claim", func(w *world) {
		if got := mustClaim(w.t, w.db, w.me, "k", 1); len(got) != 0 {
			w.t.Fatalf("claimed %+v, want nothing", *got[0])
		}
	}}
	done     = finishes(ending{}, 0)
	stops    = step{"stop", func(w *world) { write(w.t, w.db, func(tx *migrations.Tx) error { return Stop(tx, "a") }) }}
	forgets  = step{"forget", func(w *world) { write(w.t, w.db, func(tx *migrations.Tx) error { return Forget(tx, "a") }) }}
	restarts = step{"restart", func(w *world) { w.me = start(w.t, w.db, "me") }}
	expires  = step{"another process looks for expired leases", func(w *world) {
		if _, err := expire(context.Background(), w.db, "other"); err != nil {
			w.t.Fatal(err)
		}
	}}
	looks = step{"this process looks for expired leases", func(w *world) {
		if _, err := expire(context.Background(), w.db, "me"); err != nil {
			w.t.Fatal(err)
		}
	}}
	rebases = step{"due times are counted anew", func(w *world) {
		if _, err := rebase(context.Background(), w.db); err != nil {
			w.t.Fatal(err)
		}
	}}
	overtaken = step{"the worker is fenced", func(w *world) {
		if err := guard(w.db, w.lease); !errors.Is(err, ErrFenced) {
			w.t.Fatalf("guard = %v, want ErrFenced", err)
		}
		if err := finish(context.Background(), w.db, w.lease, ending{}); !errors.Is(err, ErrFenced) {
			w.t.Fatalf("finish = %v, want ErrFenced", err)
		}
		lost, err := renew(context.Background(), w.db, []*Lease{w.lease}, time.Minute)
		if err != nil || len(lost) != 1 {
			w.t.Fatalf("renew = %d lost, %v; want 1 lost", len(lost), err)
		}
	}}
	holds = step{"the worker holds its lease", func(w *world) {
		if err := guard(w.db, w.lease); err != nil {
			w.t.Fatalf("guard = %v, want nil", err)
		}
	}}
)

func lease(what string, ok func(*Lease) bool) step {
	return step{what, func(w *world) {
		if !ok(w.lease) {
			w.t.Fatalf("%s: not so of %+v", what, *w.lease)
		}
	}}
}

var (
	told    = lease("the lease tells of a stop", func(l *Lease) bool { return l.Stopped })
	notTold = lease("the lease tells of no stop", func(l *Lease) bool { return !l.Stopped })
)

func attempts(n int64) step {
	return lease(fmt.Sprint("attempts are ", n), func(l *Lease) bool { return l.Attempts == n })
}

func takeovers(n int64) step {
	return lease(fmt.Sprint("takeovers are ", n), func(l *Lease) bool { return l.Takeovers == n })
}

func times(n int, steps ...step) (all []step) {
	for range n {
		all = append(all, steps...)
	}
	return all
}

// The transitions of docs/tasks.md, each from a fresh key.
func TestStateMachine(t *testing.T) {
	t.Parallel()
	failed, interrupted := ending{failed: errFailed}, ending{interrupted: errInterrupted}
	for name, steps := range map[string][]step{
		// wake
		"an idle key is not claimed":                 {nothing},
		"a woken key is claimed once":                {wakes(0), claims, nothing, holds},
		"a key is not claimed before it is due":      {wakes(time.Hour), nothing, passes(time.Hour), claims},
		"an earlier due time wins":                   {wakes(time.Hour), wakes(time.Minute), nothing, passes(time.Minute), claims},
		"a later due time does not":                  {wakes(time.Minute), wakes(time.Hour), passes(time.Minute), claims},
		"wakes before a run are answered by it":      {wakes(0), wakes(0), wakes(0), claims, done, nothing},
		"a wake during a run brings the key back":    {wakes(0), claims, wakes(0), nothing, done, claims, done, nothing},
		"a later wake during a run is kept for then": {wakes(0), claims, wakes(time.Hour), done, nothing, passes(time.Hour), claims},
		"a wake during a run beats a later again":    {wakes(0), claims, wakes(0), finishes(ending{}, time.Hour), claims},
		"a wake after it too":                        {wakes(0), claims, finishes(ending{}, time.Hour), nothing, wakes(0), claims},
		// finish
		"a finished key is idle":                        {wakes(0), claims, done, nothing, passes(24 * time.Hour), nothing},
		"again makes it due later":                      {wakes(0), claims, finishes(ending{}, time.Hour), nothing, passes(time.Hour), claims},
		"a failed run waits for its next try":           {wakes(0), claims, finishes(failed, time.Minute), nothing, passes(time.Minute), claims, attempts(1)},
		"failures in a row are counted":                 {wakes(0), claims, finishes(failed, -1), claims, finishes(failed, -1), claims, attempts(2), done, wakes(0), claims, attempts(0)},
		"a wake shortens the wait after a failure":      {wakes(0), claims, finishes(failed, time.Hour), wakes(0), claims, attempts(1)},
		"and so does one during the run that fails":     {wakes(0), claims, wakes(0), finishes(failed, time.Hour), claims, attempts(1)},
		"an interrupted run is no failure":              {wakes(0), claims, finishes(interrupted, -1), claims, attempts(0)},
		"nor does it forgive earlier ones":              {wakes(0), claims, finishes(failed, -1), claims, finishes(interrupted, -1), claims, attempts(1)},
		"a worker that was overtaken finishes nothing":  {wakes(0), claims, restarts, overtaken, claims, holds},
		"a finished worker cannot finish again":         {wakes(0), claims, done, {"finish again", finishTwice}, wakes(0), claims},
		"a forgotten key does not come back":            {wakes(0), forgets, nothing},
		"nor one that was forgotten during its run":     {wakes(0), claims, wakes(0), forgets, holds, done, nothing},
		"a key that comes back has a fence of its own":  {wakes(0), claims, done, passes(time.Second), forgets, wakes(0), claims, {"the old worker is fenced", oldIsFenced}},
		"an idle key that was pruned comes back anew":   {wakes(0), claims, done, passes(time.Hour), {"prune", prunes(1)}, wakes(0), claims},
		"a key that waits or is worked is never pruned": {wakes(time.Hour), passes(time.Hour), {"prune", prunes(0)}, claims, passes(time.Hour), {"prune", prunes(0)}, holds},
		// stop
		"a stop before a run is told to it, once":            {wakes(0), stops, claims, told, done, wakes(0), claims, notTold},
		"a stop during a run that heard it is over with it":  {wakes(0), claims, stops, finishes(ending{told: true}, -1), claims, notTold},
		"a stop that came too late is told to the next":      {wakes(0), claims, stops, wakes(0), done, claims, told},
		"a stop during a run that fails is told to the next": {wakes(0), claims, stops, finishes(failed, -1), claims, told},
		"also if it was told at the claim":                   {wakes(0), stops, claims, told, finishes(failed, -1), claims, told},
		"or if the run is interrupted":                       {wakes(0), stops, claims, told, finishes(interrupted, -1), claims, told},
		"or if its process dies":                             {wakes(0), stops, claims, told, restarts, claims, told},
		"a stop alone wakes nothing":                         {stops, nothing, wakes(0), claims, done, stops, nothing},
		// take-over
		"an orphan is taken over and its worker fenced":   {wakes(0), claims, restarts, overtaken, claims, takeovers(1), done, nothing},
		"take-overs in a row are counted, a run ends it":  {wakes(0), claims, restarts, claims, restarts, claims, takeovers(2), done, wakes(0), claims, takeovers(0)},
		"a key that kills its process waits longer":       append(append([]step{wakes(0)}, times(6, claims, restarts)...), nothing, passes(5*time.Second), claims, takeovers(6)),
		"an earlier process of the name claims no more":   {{"the name has a new process", renamed}, wakes(0), nothing},
		"a lease that ran out is free for anybody":        {wakes(0), claims, passes(2 * time.Minute), expires, overtaken, claims},
		"one that did not is not":                         {wakes(0), claims, passes(30 * time.Second), expires, holds, nothing},
		"a clock that jumps ahead costs nobody its lease": {wakes(0), claims, passes(24 * time.Hour), looks, holds, nothing},
		// a clock that goes back
		"what was due later is due later by the new clock": {wakes(time.Hour), passes(time.Second), passes(-24 * time.Hour), nothing, passes(25 * time.Hour), claims},
		"what was due at once is not held up by it":        {wakes(0), passes(-time.Hour), nothing, rebases, claims},
		"nor what waited for its next try":                 {wakes(0), claims, finishes(failed, time.Minute), passes(-time.Hour), rebases, claims},
		"a promise made long before keeps its time":        {wakes(3 * time.Hour), passes(2 * time.Hour), passes(-time.Hour), rebases, nothing, passes(2 * time.Hour), claims},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			w := &world{t: t, db: open(t, c.Now), clock: c}
			w.me = start(t, w.db, "me")
			for i, s := range steps {
				t.Logf("%d: %s", i, s.name)
				s.do(w)
				consistent(t, w.db)
			}
		})
	}
}

// consistent checks what holds in every state: a key with unanswered wakes is
// due some time or is being worked, and only what is worked has a lease.
func consistent(t *testing.T, db *migrations.DB) {
	t.Helper()
	var lost, torn int
	if err := db.QueryRow(context.Background(), `SELECT
		(SELECT COUNT(*) FROM tasks WHERE wanted > done AND due_at IS NULL AND lease_owner = ''),
		(SELECT COUNT(*) FROM tasks WHERE (lease_owner = '') <> (lease_until = 0))`).Scan(&lost, &torn); err != nil {
		t.Fatal(err)
	}
	if lost != 0 || torn != 0 {
		t.Fatalf("%d keys have wakes that nobody will answer, %d have half a lease", lost, torn)
	}
}

func finishTwice(w *world) {
	if err := finish(context.Background(), w.db, w.lease, ending{}); !errors.Is(err, ErrFenced) {
		w.t.Fatalf("finish = %v, want ErrFenced", err)
	}
}

func oldIsFenced(w *world) {
	if err := guard(w.db, w.old); !errors.Is(err, ErrFenced) {
		w.t.Fatalf("guard of the old worker = %v, want ErrFenced", err)
	}
}

func renamed(w *world) { start(w.t, w.db, w.me.name) } // and w.me keeps its epoch

func prunes(want int64) func(w *world) {
	return func(w *world) {
		write(w.t, w.db, func(tx *migrations.Tx) error {
			got, err := Prune(tx, tx.Now().Add(-time.Minute))
			if got != want {
				w.t.Errorf("pruned %d keys, want %d", got, want)
			}
			return err
		})
	}
}
