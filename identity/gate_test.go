package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

const ws = "T1"

// world is a store with an active agent, and a far side that counts effects.
type world struct {
	t      testing.TB
	db     *migrations.DB
	ledger *ledger.Ledger
	agents *Agents
	done   map[string]int // effects on the far side, by action key
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := migrations.Open(context.Background(), migrated.At(t, filepath.Join(t.TempDir(), "test.db")), migrations.Options{})
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
	w := &world{t: t, db: db, ledger: ledger.New(db, k, ledger.Options{}), done: map[string]int{}}
	w.agents = NewAgents(db, w.ledger)
	if _, err := w.agents.Ensure(context.Background(), Agent{Workspace: ws, User: "U0AGENT", Name: "Deskmate"}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) policy() Policy {
	return FixedPolicy{
		Tools: map[string]bool{"post": true, "reply": true, "read_channel": true}, Guests: map[string]bool{"reply": true}, Manners: map[string]bool{"reply": true},
		Channel: func(_ context.Context, _, channel string) (string, bool, error) {
			switch channel {
			case "C0IN":
				return "public", true, nil
			case "C0SECRET":
				return "private", true, nil
			case "C0BROKEN":
				return "", false, errors.New("no answer")
			}
			return "public", false, nil
		},
	}
}

func (w *world) gate(crash func(string)) *Gate { return NewGate(w.db, w.ledger, w.policy(), crash) }

func post(key string) Action {
	return Action{Key: key, Workspace: ws, Turn: "t1", Requester: "U0BEN", RequesterKind: "member", Channel: "C0IN", ChannelKind: "public",
		Tool: "post", Class: ClassWrite, Args: json.RawMessage(`{"text":"hello"}`)}
}

// effect acts on the far side; findable says whether the far side can be asked.
func (w *world) effect(key string, findable bool) Effect {
	e := Effect{Do: func(context.Context) (Result, error) {
		w.done[key]++
		return Result{Ref: "ts-" + key}, nil
	}}
	if findable {
		e.Find = func(context.Context, time.Time) (Result, bool, error) {
			return Result{Ref: "ts-" + key}, w.done[key] > 0, nil
		}
	}
	return e
}

func (w *world) entries(kind string) (n int) {
	w.t.Helper()
	all, err := w.ledger.Tail(context.Background(), ws, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (w *world) verified() {
	w.t.Helper()
	r, err := w.ledger.Verify(context.Background(), ws)
	if err != nil || !r.OK() {
		w.t.Errorf("the ledger does not verify: %v %v", err, r.Problems)
	}
}

func TestAnActionHappensOnceForItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate(nil)
	for range 3 {
		r, err := g.Do(context.Background(), post("a"), w.effect("a", false))
		if err != nil || r.Ref != "ts-a" {
			t.Fatalf("Do = %+v, %v; want the stored result", r, err)
		}
	}
	if w.done["a"] != 1 || w.entries("intent") != 1 || w.entries("outcome") != 1 {
		t.Errorf("%d effects, %d intents, %d outcomes; want 1 of each", w.done["a"], w.entries("intent"), w.entries("outcome"))
	}
	w.verified()
}

func TestAKeyCannotBeReusedForAnotherAction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate(nil)
	if _, err := g.Do(context.Background(), post("a"), w.effect("a", false)); err != nil {
		t.Fatal(err)
	}
	other := post("a")
	other.Args = json.RawMessage(`{"text":"something else"}`)
	if _, err := g.Do(context.Background(), other, w.effect("b", false)); err == nil || w.done["b"] != 0 {
		t.Errorf("another action under the same key: %v, %d effects; want an error and none", err, w.done["b"])
	}
}

type killed string

func TestDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate(nil)
	for name, c := range map[string]struct {
		change func(*Action)
		want   string // part of the reason; "" is allowed
	}{
		"a built-in tool in a channel it is in":              {func(*Action) {}, ""},
		"an unknown tool":                                    {func(a *Action) { a.Tool = "rm" }, "not a tool of mine"},
		"a channel it is not in":                             {func(a *Action) { a.Target = "C0OUT" }, "invite me there first"},
		"a guest who wants to post":                          {func(a *Action) { a.RequesterKind = "guest" }, "only full members"},
		"an outsider who wants to post":                      {func(a *Action) { a.RequesterKind = "outsider" }, "only full members"},
		"somebody of no known kind":                          {func(a *Action) { a.RequesterKind = "" }, "only full members"},
		"an answer to a guest":                               {func(a *Action) { a.RequesterKind, a.Tool = "guest", "reply" }, ""},
		"a private channel read from elsewhere":              {func(a *Action) { a.Tool, a.Class, a.Target = "read_channel", ClassRead, "C0SECRET" }, "not read out elsewhere"},
		"a private channel read from itself":                 {func(a *Action) { a.Tool, a.Class, a.Channel = "read_channel", ClassRead, "C0SECRET" }, ""},
		"a public channel read from a private one":           {func(a *Action) { a.Tool, a.Class, a.Channel, a.Target = "read_channel", ClassRead, "C0SECRET", "C0IN" }, ""},
		"a direct message to a person":                       {func(a *Action) { a.Target = "U0CHLOE" }, ""},
		"a guest who wants a direct message sent to someone": {func(a *Action) { a.Target, a.RequesterKind = "U0CHLOE", "guest" }, "only full members"},
	} {
		a := post("key " + name)
		c.change(&a)
		_, err := g.Do(context.Background(), a, w.effect(name, false))
		var denied *DeniedError
		switch {
		case c.want == "" && (err != nil || w.done[name] != 1):
			t.Errorf("%s: %v, %d effects; want it done", name, err, w.done[name])
		case c.want != "" && (!errors.As(err, &denied) || !strings.Contains(err.Error(), c.want) || w.done[name] != 0):
			t.Errorf("%s: %v, %d effects; want a denial with %q and no effect", name, err, w.done[name], c.want)
		}
	}
	if w.entries("denied") == 0 {
		t.Error("no denial is in the ledger")
	}
}

func TestAPolicyThatCannotDecide(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	broken := post("a")
	broken.Target = "C0BROKEN"
	if _, err := w.gate(nil).Do(ctx, broken, w.effect("a", false)); !errors.Is(err, ErrUndecided) || w.done["a"] != 0 || w.entries("intent") != 0 {
		t.Errorf("a look-up that failed: %v, %d effects; want ErrUndecided and nothing done", err, w.done["a"])
	}
	always := policyFunc(func(context.Context, Action) (Decision, error) {
		return Decision{Verdict: Allow}, errors.New("evaluation error")
	})
	var denied *DeniedError
	if _, err := NewGate(w.db, w.ledger, always, nil).Do(ctx, post("b"), w.effect("b", false)); !errors.As(err, &denied) || w.done["b"] != 0 {
		t.Errorf("an evaluation error: %v, %d effects; want a denial and none", err, w.done["b"])
	}
	ask := policyFunc(func(context.Context, Action) (Decision, error) { return Decision{Verdict: Ask}, nil })
	var pending *PendingError
	if _, err := NewGate(w.db, w.ledger, ask, nil).Do(ctx, post("c"), w.effect("c", false)); !errors.As(err, &pending) || w.done["c"] != 0 {
		t.Errorf("a verdict that needs an approval: %v, %d effects; want a wait and none", err, w.done["c"])
	}
}

type policyFunc func(context.Context, Action) (Decision, error)

func (f policyFunc) Decide(ctx context.Context, a Action) (Decision, error) { return f(ctx, a) }

func TestASuspendedAgentDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, ctx := w.gate(nil), context.Background()
	if _, err := w.agents.Suspend(ctx, ws, "U0ADA", "it strays"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Do(ctx, post("a"), w.effect("a", false)); !errors.Is(err, ErrSuspended) || w.done["a"] != 0 {
		t.Errorf("Do = %v, %d effects; want ErrSuspended and none", err, w.done["a"])
	}
	if _, err := w.agents.Resume(ctx, ws, "U0AGENT", "I am fine"); err == nil {
		t.Error("the agent resumed itself")
	}
	if _, err := w.agents.Resume(ctx, ws, "U0ADA", ""); err == nil {
		t.Error("it was resumed without a reason")
	}
	if _, err := w.agents.Resume(ctx, ws, "U0ADA", "looked at it"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Do(ctx, post("a"), w.effect("a", false)); err != nil || w.done["a"] != 1 {
		t.Errorf("after it was resumed: %v, %d effects; want 1", err, w.done["a"])
	}
}

func TestTheSameNoIsRecordedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, ctx := w.gate(nil), context.Background()
	if _, err := w.agents.Suspend(ctx, ws, "U0ADA", "it strays"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		var denied *DeniedError
		if _, err := g.Do(ctx, post("a"), w.effect("a", false)); !errors.Is(err, ErrSuspended) || !errors.As(err, &denied) {
			t.Fatalf("Do = %v, want a denial that is ErrSuspended", err)
		}
	}
	if n := w.entries("denied"); n != 1 {
		t.Errorf("%d denials in the ledger, want 1 for 5 equal ones", n)
	}
	w.verified()
}

// What is lost when the agent is suspended stays as it is until it is resumed.
func TestASuspendedAgentDoesNotTakeUpWhatWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.crash("gate:intent", post("a"), w.effect("a", true))
	if _, err := w.agents.Suspend(ctx, ws, "U0ADA", "it strays"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.gate(nil).Do(ctx, post("a"), w.effect("a", true)); !errors.Is(err, ErrSuspended) || w.done["a"] != 0 {
		t.Errorf("Do = %v, %d effects; want ErrSuspended and none", err, w.done["a"])
	}
	if _, err := w.agents.Resume(ctx, ws, "U0ADA", "looked at it"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.gate(nil).Do(ctx, post("a"), w.effect("a", true)); err != nil || w.done["a"] != 1 {
		t.Errorf("after it was resumed: %v, %d effects; want 1", err, w.done["a"])
	}
	w.verified()
}

// A repeat is decided anew: what is not allowed any more is not repeated.
func TestARepeatIsDecidedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crash("gate:intent", post("a"), w.effect("a", true))
	narrower := w.policy().(FixedPolicy)
	narrower.Tools = map[string]bool{"reply": true}
	var denied *DeniedError
	if _, err := NewGate(w.db, w.ledger, narrower, nil).Do(context.Background(), post("a"), w.effect("a", true)); !errors.As(err, &denied) || w.done["a"] != 0 {
		t.Errorf("Do = %v, %d effects; want a denial and none", err, w.done["a"])
	}
	w.verified()
}

func TestWhatEndsBeforeItBeganIsCancelledAndMayBeDoneLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stopped := errors.New("stopped by Ada")
	ctx, cancel := context.WithCancelCause(context.Background())
	g := w.gate(func(at string) {
		if at == "gate:intent" {
			cancel(stopped)
		}
	})
	e := w.effect("a", false)
	committed := 0
	e.Commit = func(*migrations.Tx, Result, error) error { committed++; return nil }
	if _, err := g.Do(ctx, post("a"), e); !errors.Is(err, stopped) || w.done["a"] != 0 || committed != 0 {
		t.Errorf("Do = %v, %d effects, %d commits; want the cause and nothing done", err, w.done["a"], committed)
	}
	w.verified()
	if _, err := w.gate(nil).Do(context.Background(), post("a"), e); err != nil || w.done["a"] != 1 || committed != 1 {
		t.Errorf("later: %v, %d effects, %d commits; want 1 of each", err, w.done["a"], committed)
	}
	w.verified()
}

func TestAWaiterForAKeyCanGiveUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate(nil)
	begun, finish := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		_, err := g.Do(context.Background(), post("a"), Effect{Do: func(context.Context) (Result, error) {
			close(begun)
			<-finish
			return Result{}, nil
		}})
		if err != nil {
			t.Errorf("Do = %v", err)
		}
	})
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.Do(ctx, post("a"), w.effect("a", false)); !errors.Is(err, context.Canceled) || w.done["a"] != 0 {
		t.Errorf("Do = %v, %d effects; want to have given up", err, w.done["a"])
	}
	close(finish)
	first.Wait()
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("é", mostResult)
	e := Effect{Do: func(context.Context) (Result, error) {
		return Result{Text: long, Data: json.RawMessage(`"` + long + `"`)}, nil
	}}
	for i, want := range []int{len(long), mostResult + 200} {
		r, err := w.gate(nil).Do(context.Background(), post("a"), e)
		if err != nil || len(r.Text) > want || i > 0 && (!strings.Contains(r.Text, "(cut: ") || r.Data != nil) {
			t.Errorf("call %d: %d bytes of text, %d of data, %v; want the whole once, then a cut text that says so", i+1, len(r.Text), len(r.Data), err)
		}
	}
	w.verified()
}

func TestNothingHappensWhenTheLedgerCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := w.db.Write(context.Background(), func(tx *migrations.Tx) error {
		_, err := tx.Exec(`CREATE TRIGGER broken BEFORE INSERT ON ledger_entries BEGIN SELECT RAISE(ABORT, 'the ledger is broken'); END`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.gate(nil).Do(context.Background(), post("a"), w.effect("a", false)); err == nil || w.done["a"] != 0 {
		t.Errorf("Do = %v, %d effects; want an error and none", err, w.done["a"])
	}
}

func TestCommitIsPartOfTheOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.effect("a", true)
	refuse := true
	e.Commit = func(*migrations.Tx, Result, error) error {
		if refuse {
			return errors.New("not now")
		}
		return nil
	}
	if _, err := w.gate(nil).Do(context.Background(), post("a"), e); err == nil {
		t.Fatal("the outcome was committed without what belongs to it")
	}
	refuse = false
	if _, err := w.gate(nil).Do(context.Background(), post("a"), e); err != nil || w.done["a"] != 1 {
		t.Errorf("again: %v, %d effects; want the found effect and 1", err, w.done["a"])
	}
}

func TestTwoAtOnceWithOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate(nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if r, err := g.Do(context.Background(), post("a"), w.effect("a", false)); err != nil || r.Ref != "ts-a" {
				t.Errorf("Do = %+v, %v", r, err)
			}
		})
	}
	all.Wait()
	if w.done["a"] != 1 {
		t.Errorf("%d effects, want 1", w.done["a"])
	}
}

func TestAnEndedContextDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.gate(nil).Do(ctx, post("a"), w.effect("a", false)); !errors.Is(err, context.Canceled) || w.done["a"] != 0 || w.entries("intent") != 0 {
		t.Errorf("Do = %v, %d effects, %d intents; want nothing at all", err, w.done["a"], w.entries("intent"))
	}
}

func TestAStoppedTurnsOpenActionsBecomeUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := Effect{
		Do:   func(context.Context) (Result, error) { return Result{}, Ambiguous(errors.New("lost")) },
		Find: func(context.Context, time.Time) (Result, bool, error) { return Result{}, false, nil },
	}
	g := w.gate(nil)
	if _, err := g.Do(context.Background(), post("turn:t1:c1"), e); err == nil {
		t.Fatal("want the lost answer")
	}
	var tools []string
	err := w.db.Write(context.Background(), func(tx *migrations.Tx) (err error) {
		tools, err = g.Abandon(tx, ws, "t1", "turn:t1:c")
		return err
	})
	if err != nil || len(tools) != 1 || tools[0] != "post" {
		t.Errorf("Abandon = %v, %v; want [post]", tools, err)
	}
	if _, err := g.Do(context.Background(), post("turn:t1:c1"), e); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("afterwards Do = %v, want ErrUnknownOutcome", err)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := "xoxb-" + "1234567890-abcdefghij"
	a := post("a")
	a.Args = json.RawMessage(`{"text":"` + secret + `"}`)
	e := Effect{Do: func(context.Context) (Result, error) { return Result{Text: "the token is " + secret}, nil }}
	if _, err := w.gate(nil).Do(context.Background(), a, e); err != nil {
		t.Fatal(err)
	}
	all, err := w.ledger.Tail(context.Background(), ws, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var kept string
	if err := w.db.QueryRow(context.Background(), `SELECT result FROM actions WHERE key = 'a'`).Scan(&kept); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(all) + kept; strings.Contains(text, secret) || !strings.Contains(text, "[secret]") {
		t.Errorf("the secret was kept, or its mark was not: %s", text)
	}
}

func BenchmarkGate(b *testing.B) {
	b.Run("pass", func(b *testing.B) {
		w := newWorld(b)
		g := w.gate(nil)
		i := 0
		for b.Loop() {
			i++
			if _, err := g.Do(context.Background(), post(fmt.Sprint(i)), Effect{Do: func(context.Context) (Result, error) { return Result{}, nil }}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("peer=two-bare-commits", func(b *testing.B) {
		w := newWorld(b)
		i := 0
		for b.Loop() {
			i++
			for n := range 2 {
				err := w.db.Write(context.Background(), func(tx *migrations.Tx) error {
					_, err := tx.Exec(`INSERT INTO ledger_payloads (workspace, seq, name, body) VALUES ('peer', $1, $2, 'x')`, i, fmt.Sprint(n))
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
