package identity

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

func TestSponsorsAreAListInOneString(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"": nil, "U0ADA": {"U0ADA"}, "U0ADA,U0BEN": {"U0ADA", "U0BEN"}, " U0ADA ,\tU0BEN U0ADA,": {"U0ADA", "U0BEN"},
	} {
		if got := (Agent{Sponsor: text}).Sponsors(); !slices.Equal(got, want) {
			t.Errorf("Sponsors of %q = %q, want %q", text, got, want)
		}
	}
	if (Agent{}).SponsoredBy("") || (Agent{Sponsor: "U0ADA"}).SponsoredBy("U0AD") || !(Agent{Sponsor: "U0ADA,U0BEN"}).SponsoredBy("U0BEN") {
		t.Error("SponsoredBy does not go by whole ids")
	}
	if got := ApproverWords([]string{"sponsor"}, "U0ADA,U0BEN"); got != "<@U0ADA> (my sponsor) or <@U0BEN> (my sponsor)" {
		t.Errorf("ApproverWords = %q", got)
	}
}

// watched is a world whose sponsors are looked after, one look at a time.
type watched struct {
	*asking
	notices []string
	keys    map[string]bool
	roll    rollFunc
}

type rollFunc func(person string) (Standing, error)

func (f rollFunc) Standing(_ context.Context, _, person string, _ []string) (Standing, error) {
	return f(person)
}

func newWatched(t testing.TB, sponsor string) *watched {
	w := &watched{asking: newAsking(t), keys: map[string]bool{}}
	w.roll = func(person string) (Standing, error) { return w.asking.Standing(context.Background(), ws, person, nil) }
	w.name(sponsor)
	return w
}

func (w *watched) name(sponsor string) {
	w.t.Helper()
	if _, err := w.agents.Ensure(context.Background(), Agent{Workspace: ws, User: "U0AGENT", Name: "Deskmate", Sponsor: sponsor}); err != nil {
		w.t.Fatal(err)
	}
}

// sponsors is as after a start: everything it knows is in the store.
func (w *watched) sponsors() *Sponsors {
	return &Sponsors{DB: w.db, Ledger: w.ledger, Roll: w.roll, Notice: w.notice}
}

// notice keeps each notice once, as the outbox does.
func (w *watched) notice(tx *migrations.Tx, _, key, text string) error {
	tx.AfterCommit(func() {
		if !w.keys[key] {
			w.keys[key] = true
			w.notices = append(w.notices, text)
		}
	})
	return nil
}

// work runs a key once under a lease of its own, as the runner does.
func work(t testing.TB, db *migrations.DB, kind, key string, h task.Handler) (task.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := db.Write(ctx, func(tx *migrations.Tx) error {
		return task.Wake(tx, task.Waking{Workspace: ws, Kind: kind, Key: key})
	}); err != nil {
		t.Fatal(err)
	}
	var out task.Result
	var failed error
	r := task.NewRunner(db, task.Options{Logger: zerolog.Nop()})
	r.Handle(kind, 1, func(ctx context.Context, l *task.Lease) (task.Result, error) {
		out, failed = h(ctx, l)
		cancel()
		return task.Result{}, nil
	})
	if err := r.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return out, failed
}

func (w *watched) look() (time.Duration, error) {
	w.t.Helper()
	r, err := work(w.t, w.db, TaskSponsor, sponsorKey(ws), w.sponsors().Handle)
	if err != nil {
		return 0, err
	}
	return r.Again.Sub(w.clock()).Round(time.Minute), nil
}

func (w *watched) state() string {
	w.t.Helper()
	a, err := w.agents.Get(context.Background(), ws)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.State
}

func TestAnAgentWithoutASponsorIsSuspendedAfterTheGrace(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "U0ADA,U0BEN")
	steps := []struct {
		name    string
		pass    time.Duration
		do      func()
		again   time.Duration
		notices []string // new ones, what each holds
		lost    int      // entries so far
		found   int
		state   string
	}{
		{name: "both are there", again: day, state: StateActive},
		{name: "one goes", pass: time.Hour, do: func() { w.roll0("U0ADA", Standing{Kind: "member"}) }, again: day, state: StateActive},
		{name: "the other becomes a guest", pass: time.Hour, do: func() { w.roll0("U0BEN", Standing{Kind: "guest", Active: true}) }, again: day,
			notices: []string{"none of <@U0ADA> and <@U0BEN>"}, lost: 1, state: StateActive},
		{name: "nothing new", pass: time.Hour, again: 23 * time.Hour, lost: 1, state: StateActive},
		{name: "the first day is over", pass: 23 * time.Hour, again: day, notices: []string{"I will be suspended at 2026-03-09"}, lost: 1, state: StateActive},
		{name: "one comes back", pass: day, do: func() { w.roll0("U0BEN", Standing{Kind: "member", Active: true}) }, again: day,
			notices: []string{"a sponsor again: <@U0BEN>"}, lost: 1, found: 1, state: StateActive},
		{name: "and goes: the grace is a new one", pass: day, do: func() { w.roll0("U0BEN", Standing{Kind: "member"}) }, again: day,
			notices: []string{"none of"}, lost: 2, found: 1, state: StateActive},
		{name: "five days without a look: one reminder", pass: 5 * day, again: day, notices: []string{"set the setting `sponsor`"}, lost: 2, found: 1, state: StateActive},
		{name: "the sixth day", pass: day, again: day, notices: []string{"I will be suspended"}, lost: 2, found: 1, state: StateActive},
		{name: "a minute before the end", pass: day - time.Minute, again: time.Minute, lost: 2, found: 1, state: StateActive},
		{name: "the end", pass: time.Minute, again: day, notices: []string{"so I am suspended.*resume me"}, lost: 2, found: 1, state: StateSuspended},
		{name: "still suspended", pass: day, again: day, lost: 2, found: 1, state: StateSuspended},
		{name: "a new sponsor", do: func() { w.name("U0EVE") }, again: day, notices: []string{"I stay suspended until a human resumes me"}, lost: 2, found: 2, state: StateSuspended},
	}
	for _, c := range steps {
		w.pass(c.pass)
		if c.do != nil {
			c.do()
		}
		before := len(w.notices)
		again, err := w.look()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if again != c.again {
			t.Errorf("%s: looks again in %s, want %s", c.name, again, c.again)
		}
		got := w.notices[before:]
		if len(got) != len(c.notices) {
			t.Errorf("%s: told %q, want %q", c.name, got, c.notices)
		} else {
			for i := range got {
				for _, part := range strings.Split(c.notices[i], ".*") {
					if !strings.Contains(strings.ToLower(got[i]), strings.ToLower(part)) {
						t.Errorf("%s: told %q, want %q in it", c.name, got[i], part)
					}
				}
			}
		}
		if lost, found := w.entries("sponsor.lost"), w.entries("sponsor.found"); lost != c.lost || found != c.found {
			t.Errorf("%s: %d lost and %d found in the ledger, want %d and %d", c.name, lost, found, c.lost, c.found)
		}
		if got := w.state(); got != c.state {
			t.Errorf("%s: it is %s, want %s", c.name, got, c.state)
		}
	}
	a, err := w.agents.Get(context.Background(), ws)
	if err != nil || a.ChangedBy != "system" && a.ChangedBy != "U0AGENT" || !strings.Contains(a.Reason, "set the setting sponsor") {
		t.Errorf("the reason does not say what to do: %+v, %v", a, err)
	}
	if _, err := w.agents.Resume(context.Background(), ws, "U0EVE", "I answer for it"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.look(); err != nil || w.state() != StateActive {
		t.Errorf("after it was resumed: %s, %v", w.state(), err)
	}
	w.verified()
}

// roll0 changes what somebody is.
func (w *watched) roll0(person string, s Standing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking.roll[person] = s
}

func TestNobodyNamedStartsTheGraceAtOnce(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "")
	if _, err := w.look(); err != nil || w.entries("sponsor.lost") != 1 || len(w.notices) != 1 || !strings.Contains(w.notices[0], "no sponsor is named") {
		t.Fatalf("told %q, %v", w.notices, err)
	}
	w.pass(7 * 24 * time.Hour)
	if _, err := w.look(); err != nil || w.state() != StateSuspended {
		t.Fatalf("after the grace it is %s, %v", w.state(), err)
	}
	// Resumed without a sponsor, it is suspended at the next look.
	if _, err := w.agents.Resume(context.Background(), ws, "U0ADA", "go on"); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	if _, err := w.look(); err != nil || w.state() != StateSuspended {
		t.Errorf("resumed without a sponsor it is %s, %v", w.state(), err)
	}
}

func TestTheAgentDoesNotAnswerForItself(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "U0AGENT")
	w.roll0("U0AGENT", Standing{Kind: "member", Active: true})
	if _, err := w.look(); err != nil || w.entries("sponsor.lost") != 1 {
		t.Errorf("%d losses, %v; want one", w.entries("sponsor.lost"), err)
	}
}

func TestSlackThatDoesNotAnswerIsNeitherLostNorFound(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "U0ADA,U0BEN")
	down := map[string]bool{"U0ADA": true, "U0BEN": true}
	w.roll = func(person string) (Standing, error) {
		if down[person] {
			return Standing{}, errors.New("no answer")
		}
		return w.asking.Standing(context.Background(), ws, person, nil)
	}
	if _, err := w.look(); err == nil {
		t.Error("the look is not tried again")
	}
	down["U0BEN"] = false // one who is there is enough
	if _, err := w.look(); err != nil || len(w.notices) != 0 {
		t.Errorf("with one there: %q, %v", w.notices, err)
	}
	w.roll0("U0BEN", Standing{Kind: "member"}) // one who is not, with another unknown, is not
	if _, err := w.look(); err == nil || w.entries("sponsor.lost") != 0 {
		t.Errorf("a loss was told while a sponsor could not be looked up: %v", err)
	}
	down["U0ADA"] = false
	w.roll0("U0ADA", Standing{Kind: "member"})
	if _, err := w.look(); err != nil || w.entries("sponsor.lost") != 1 {
		t.Fatalf("%d losses, %v", w.entries("sponsor.lost"), err)
	}
	down["U0ADA"], down["U0BEN"] = true, true
	w.pass(30 * 24 * time.Hour)
	if _, err := w.look(); err == nil || w.state() != StateActive {
		t.Errorf("it is %s, %v: an outage of Slack ended the grace", w.state(), err)
	}
	down["U0ADA"], down["U0BEN"] = false, false
	if _, err := w.look(); err != nil || w.state() != StateSuspended {
		t.Errorf("it is %s, %v; want it suspended once Slack answers", w.state(), err)
	}
}
