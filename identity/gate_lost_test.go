package identity

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"deskmate/migrations"
)

// crash has the process end at a point of the gate.
func (w *world) crash(point string, a Action, e Effect) {
	w.t.Helper()
	defer func() {
		if v := recover(); v != killed(point) {
			w.t.Fatalf("recovered %v, want the kill at %s", v, point)
		}
	}()
	_, _ = w.gate(func(at string) {
		if at == point {
			panic(killed(at))
		}
	}).Do(context.Background(), a, e)
}

// The process ends at each point of the gate and comes back: the effect has
// happened exactly once where the far side can be asked, at most once where not.
func TestCrashAtEachPoint(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"gate:begin", "gate:intent", "gate:acted", "gate:outcome"} {
		for _, findable := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, far side can be asked: %v", point, findable), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.crash(point, post("a"), w.effect("a", findable))
				r, err := w.gate(nil).Do(context.Background(), post("a"), w.effect("a", findable))
				switch {
				case findable || point == "gate:begin" || point == "gate:outcome":
					if err != nil || r.Ref != "ts-a" || w.done["a"] != 1 {
						t.Errorf("after the crash: %+v, %v, %d effects; want the result and exactly 1", r, err, w.done["a"])
					}
				default:
					if !errors.Is(err, ErrUnknownOutcome) || w.done["a"] > 1 {
						t.Errorf("after the crash: %v, %d effects; want ErrUnknownOutcome and at most 1", err, w.done["a"])
					}
				}
				w.verified()
			})
		}
	}
}

func TestReadsAreRepeatedAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	read := post("r")
	read.Class = ClassRead
	w.crash("gate:acted", read, w.effect("r", false))
	if r, err := w.gate(nil).Do(context.Background(), read, w.effect("r", false)); err != nil || r.Ref != "ts-r" {
		t.Errorf("Do = %+v, %v; want the read's result", r, err)
	}
}

func TestAnAmbiguousFailure(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	t.Run("is looked up at once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		e := w.effect("a", true)
		act := e.Do
		e.Do = func(ctx context.Context) (Result, error) { // acts, and the answer is lost
			_, _ = act(ctx)
			return Result{}, Ambiguous(lost)
		}
		if r, err := w.gate(nil).Do(context.Background(), post("a"), e); err != nil || r.Ref != "ts-a" || w.done["a"] != 1 {
			t.Errorf("Do = %+v, %v, %d effects; want the found result and 1", r, err, w.done["a"])
		}
		w.verified()
	})
	t.Run("is looked up before a repeat", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		g := w.gate(nil)
		e := w.effect("a", true)
		act, find, blind := e.Do, e.Find, true
		e.Do = func(ctx context.Context) (Result, error) {
			_, _ = act(ctx)
			return Result{}, Ambiguous(lost)
		}
		e.Find = func(ctx context.Context, since time.Time) (Result, bool, error) { // the far side is down for a while
			if blind {
				return Result{}, false, lost
			}
			return find(ctx, since)
		}
		for range 2 {
			if _, err := g.Do(context.Background(), post("a"), e); !errors.Is(err, lost) {
				t.Fatalf("Do = %v, want the lost connection", err)
			}
		}
		blind = false
		if r, err := g.Do(context.Background(), post("a"), e); err != nil || r.Ref != "ts-a" || w.done["a"] != 1 {
			t.Errorf("again: %+v, %v, %d effects; want the found result and 1", r, err, w.done["a"])
		}
		w.verified()
	})
	t.Run("that surely came to nothing is repeated, with an intent of its own", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		g := w.gate(nil)
		e := w.effect("a", true)
		act := e.Do
		e.Do = func(context.Context) (Result, error) { return Result{}, Ambiguous(lost) }
		if _, err := g.Do(context.Background(), post("a"), e); !errors.Is(err, lost) {
			t.Fatalf("Do = %v, want the lost connection", err)
		}
		e.Do = act
		if r, err := g.Do(context.Background(), post("a"), e); err != nil || r.Ref != "ts-a" || w.done["a"] != 1 {
			t.Errorf("again: %+v, %v, %d effects; want the result and 1", r, err, w.done["a"])
		}
		if n := w.entries("intent"); n != 2 {
			t.Errorf("%d intents, want 2: one for each try", n)
		}
		w.verified()
	})
	t.Run("goes to a human where nobody may look", func(t *testing.T) {
		t.Parallel()
		for _, crash := range []string{"", "gate:acted"} {
			w := newWorld(t)
			e := w.effect("a", true)
			e.Do = func(context.Context) (Result, error) { return Result{}, Ambiguous(lost) }
			e.Find = func(context.Context, time.Time) (Result, bool, error) {
				return Result{}, false, fmt.Errorf("missing_scope: %w", ErrUnknownOutcome)
			}
			committed := 0
			e.Commit = func(_ *migrations.Tx, _ Result, err error) error {
				if !errors.Is(err, ErrUnknownOutcome) {
					t.Errorf("Commit got %v, want ErrUnknownOutcome", err)
				}
				committed++
				return nil
			}
			if crash != "" {
				w.crash(crash, post("a"), e)
			}
			for range 2 {
				if _, err := w.gate(nil).Do(context.Background(), post("a"), e); !errors.Is(err, ErrUnknownOutcome) {
					t.Errorf("Do = %v, want ErrUnknownOutcome", err)
				}
			}
			if committed != 1 {
				t.Errorf("Commit was called %d times, want once", committed)
			}
			w.verified()
		}
	})
	t.Run("goes to a human where nobody can tell", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		e := Effect{Do: func(context.Context) (Result, error) { return Result{}, Ambiguous(lost) }}
		for range 2 {
			if _, err := w.gate(nil).Do(context.Background(), post("a"), e); !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("Do = %v, want ErrUnknownOutcome", err)
			}
		}
	})
}

func TestACertainFailureIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tries := 0
	e := Effect{Do: func(context.Context) (Result, error) { tries++; return Result{}, errors.New("channel_not_found") }}
	for range 2 {
		var failed *FailedError
		if _, err := w.gate(nil).Do(context.Background(), post("a"), e); !errors.As(err, &failed) || failed.Error() != "channel_not_found" {
			t.Errorf("Do = %v, want the far side's refusal", err)
		}
	}
	if tries != 1 {
		t.Errorf("tried %d times, want 1: a key that failed stays failed", tries)
	}
}
