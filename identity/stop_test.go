package identity

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestEachKindOfStop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, name string
		change     func(a *Action)
		stopped    bool
	}{
		{StopTool, "post", func(*Action) {}, true},
		{StopTool, "react", func(*Action) {}, false},
		{StopConnection, "slack", func(a *Action) { a.Connection = "slack" }, true},
		{StopConnection, "github", func(a *Action) { a.Connection = "slack" }, false},
		{StopConnection, "slack", func(a *Action) { a.Connection, a.Manners = "slack", true }, false},
		{StopChannel, "C0IN", func(*Action) {}, true},
		{StopChannel, "C0IN", func(a *Action) { a.Manners = true }, true},
		{StopChannel, "C0SECRET", func(a *Action) { a.Target = "C0SECRET" }, true},
		{StopChannel, "C0SECRET", func(*Action) {}, false},
		{StopPerson, "U0BEN", func(*Action) {}, true},
		{StopPerson, "U0BEN", func(a *Action) { a.Manners = true }, false},
		{StopPerson, "U0ADA", func(*Action) {}, false},
		{StopCredential, "cr_1", func(a *Action) { a.Credential = "cr_1" }, true},
		{StopCredential, "cr_1", func(*Action) {}, false},
	} {
		t.Run(c.kind+" "+c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := NewGate(w.db, w.ledger, policyFunc(func(context.Context, Action) (Decision, error) { return Decision{Verdict: Allow}, nil }), nil)
			ctx := context.Background()
			if _, err := g.Stop(ctx, Stop{Workspace: ws, Kind: c.kind, Name: c.name, By: "U0ADA", Reason: "it strays"}); err != nil {
				t.Fatal(err)
			}
			act := post("a")
			c.change(&act)
			_, err := g.Do(ctx, act, w.effect("a", false))
			var denied *DeniedError
			if stopped := errors.As(err, &denied); stopped != c.stopped || (w.done["a"] == 0) != c.stopped {
				t.Fatalf("Do = %v, %d effects; stopped should be %v", err, w.done["a"], c.stopped)
			}
			if c.stopped && (!strings.Contains(err.Error(), "<@U0ADA>") || !strings.Contains(err.Error(), "it strays")) {
				t.Errorf("the refusal does not say who stopped it and why: %v", err)
			}
			if err := g.Unstop(ctx, ws, c.kind, c.name, "U0AGENT", "I am fine"); err == nil {
				t.Error("the agent took back a stop")
			}
			if err := g.Unstop(ctx, ws, c.kind, c.name, "U0ADA", ""); err == nil {
				t.Error("a stop was taken back without a reason")
			}
			if err := g.Unstop(ctx, ws, c.kind, c.name, "U0ADA", "looked at it"); err != nil {
				t.Fatal(err)
			}
			if _, err := g.Do(ctx, act, w.effect("a", false)); err != nil || w.done["a"] != 1 {
				t.Errorf("after the stop was taken back: %v, %d effects", err, w.done["a"])
			}
			if err := g.Unstop(ctx, ws, c.kind, c.name, "U0ADA", "again"); !errors.Is(err, ErrNotStopped) {
				t.Errorf("taken back twice: %v", err)
			}
			if w.entries("stop.set") != 1 || w.entries("stop.lifted") != 1 {
				t.Errorf("%d stops and %d ends in the ledger, want 1 of each", w.entries("stop.set"), w.entries("stop.lifted"))
			}
			w.verified()
		})
	}
}

func TestAStopNeedsAKindANameAHumanAndAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate(nil)
	for _, s := range []Stop{
		{Workspace: ws, Kind: "mood", Name: "x", By: "U0ADA", Reason: "r"}, {Workspace: ws, Kind: StopTool, By: "U0ADA", Reason: "r"},
		{Workspace: ws, Kind: StopTool, Name: "x", Reason: "r"}, {Workspace: ws, Kind: StopTool, Name: "x", By: "U0ADA", Reason: " "},
	} {
		if _, err := g.Stop(context.Background(), s); err == nil {
			t.Errorf("Stop(%+v) was taken", s)
		}
	}
	if all, err := g.Stops(context.Background(), ws); err != nil || len(all) != 0 {
		t.Errorf("Stops = %v, %v; want none", all, err)
	}
}

// What is under way when a stop comes is cut off, and what can be learnt of it is
// recorded: from this process or another one.
func TestAStopCutsOffWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		class   Class
		landed  bool // the effect took place before it was cut off
		find    func(landed bool) (bool, error)
		state   string
		elsehow bool // by another process
		all     bool
	}{
		{name: "it happened", class: ClassWrite, landed: true, find: func(l bool) (bool, error) { return l, nil }, state: "done"},
		{name: "it did not", class: ClassWrite, find: func(l bool) (bool, error) { return l, nil }, state: "cancelled"},
		{name: "nobody can tell", class: ClassWrite, state: "unknown"},
		{name: "the far side does not answer", class: ClassWrite, find: func(bool) (bool, error) { return false, errors.New("no answer") }, state: "unknown"},
		{name: "a read", class: ClassRead, state: "cancelled"},
		{name: "by another process", class: ClassWrite, find: func(l bool) (bool, error) { return l, nil }, state: "cancelled", elsehow: true},
		{name: "everything", class: ClassWrite, find: func(l bool) (bool, error) { return l, nil }, state: "cancelled", elsehow: true, all: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			allow := policyFunc(func(context.Context, Action) (Decision, error) { return Decision{Verdict: Allow}, nil })
			g, other := NewGate(w.db, w.ledger, allow, nil), NewGate(w.db, w.ledger, allow, nil)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go g.Watch(ctx)
			begun := make(chan struct{})
			e := Effect{Do: func(ctx context.Context) (Result, error) {
				close(begun)
				<-ctx.Done()
				return Result{}, ctx.Err()
			}}
			if c.find != nil {
				e.Find = func(context.Context, time.Time) (Result, bool, error) {
					ok, err := c.find(c.landed)
					return Result{Ref: "ts"}, ok, err
				}
			}
			act := post("a")
			act.Class = c.class
			ended := make(chan error, 1)
			go func() { _, err := g.Do(ctx, act, e); ended <- err }()
			<-begun
			under, err := g.UnderWay(ctx, ws, nil)
			if err != nil || len(under) != 1 || under[0].Tool != "post" {
				t.Fatalf("under way: %+v, %v", under, err)
			}
			stopper := g
			if c.elsehow {
				stopper = other
			}
			if c.all {
				_, err = w.agents.Suspend(ctx, ws, "U0ADA", "it strays")
			} else {
				_, err = stopper.Stop(ctx, Stop{Workspace: ws, Kind: StopTool, Name: "post", By: "U0ADA", Reason: "it strays"})
			}
			if err != nil {
				t.Fatal(err)
			}
			select {
			case err = <-ended:
			case <-time.After(time.Minute):
				t.Fatal("what was under way goes on")
			}
			if (err == nil) != (c.state == "done") || errors.Is(err, ErrUnknownOutcome) != (c.state == "unknown") || errors.Is(err, ErrSuspended) != c.all {
				t.Errorf("Do = %v; want what fits %s", err, c.state)
			}
			settled, err := stopper.Settled(ctx, ws, under, time.Second)
			if err != nil || len(settled) != 1 || settled[0].State != c.state {
				t.Errorf("settled as %+v, %v; want %s", settled, err, c.state)
			}
			w.verified()
		})
	}
}

// An action whose intent was written just before a stop is not begun.
func TestAStopBetweenIntentAndActIsHeeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var g *Gate
	var set atomic.Bool
	crash := func(point string) {
		if point == "gate:intent" && set.CompareAndSwap(false, true) {
			if _, err := w.agents.Suspend(context.Background(), ws, "U0ADA", "it strays"); err != nil {
				t.Error(err)
			}
		}
	}
	g = NewGate(w.db, w.ledger, policyFunc(func(context.Context, Action) (Decision, error) { return Decision{Verdict: Allow}, nil }), crash)
	if _, err := g.Do(context.Background(), post("a"), w.effect("a", false)); !errors.Is(err, ErrSuspended) || w.done["a"] != 0 {
		t.Errorf("Do = %v, %d effects; want ErrSuspended and none", err, w.done["a"])
	}
	if _, err := w.agents.Resume(context.Background(), ws, "U0ADA", "looked at it"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Do(context.Background(), post("a"), w.effect("a", false)); err != nil || w.done["a"] != 1 {
		t.Errorf("after it was resumed: %v, %d effects", err, w.done["a"])
	}
	w.verified()
}
