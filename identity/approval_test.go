package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/identity/policy"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
	"deskmate/scheduler/task"
)

// asking is a world whose policy asks for approvals, with a roll of people.
type asking struct {
	*world
	mu       sync.Mutex
	now      time.Time
	decision Decision
	roll     map[string]Standing
	ended    []string // states of approvals that ended, in order
	granted  []policy.Grant
}

func (a *asking) Decide(context.Context, Action) (Decision, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.decision, nil
}

func (a *asking) Standing(_ context.Context, _, person string, groups []string) (Standing, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.roll[person]
	s.Groups = slices.DeleteFunc(slices.Clone(s.Groups), func(g string) bool { return !slices.Contains(groups, g) })
	return s, nil
}

func (a *asking) clock() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

func (a *asking) pass(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = a.now.Add(d)
}

func newAsking(t testing.TB) *asking {
	t.Helper()
	a := &asking{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	db, err := migrations.Open(context.Background(), migrated.At(t, filepath.Join(t.TempDir(), "test.db")), migrations.Options{Clock: a.clock})
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
	a.world = &world{t: t, db: db, ledger: ledger.New(db, k, ledger.Options{}), done: map[string]int{}}
	a.agents = NewAgents(db, a.ledger)
	if _, err := a.agents.Ensure(context.Background(), Agent{Workspace: ws, User: "U0AGENT", Name: "Deskmate", Sponsor: "U0ADA"}); err != nil {
		t.Fatal(err)
	}
	a.decision = Decision{Verdict: Ask, Policies: []string{"g_1"}, Reasons: []string{"grant g_1 asks"}, Approvers: []string{"user:U0ADA", "group:S0ONCALL"}, Set: "set-1"}
	member := Standing{Kind: "member", Active: true}
	a.roll = map[string]Standing{"U0ADA": member, "U0BEN": member, "U0EVE": member, "U0DAN": {Kind: "member", Active: true, Groups: []string{"S0ONCALL"}}, "U0GIL": {Kind: "guest", Active: true},
		"U0CHLOE": {Kind: "member", Active: true, Groups: []string{"S0ONCALL"}}}
	return a
}

// gate is as after a start of the process: everything it knows is in the store.
func (a *asking) gate(crash func(string)) *Gate {
	g := NewGate(a.db, a.ledger, a, crash)
	g.Approvals.Roll = a
	g.Approvals.Ended = func(tx *migrations.Tx, ap Approval) error {
		tx.AfterCommit(func() { a.ended = append(a.ended, ap.State) })
		return nil
	}
	g.Approvals.Grant = func(tx *migrations.Tx, by string, gr policy.Grant) (policy.Grant, error) {
		gr.GrantedBy = by
		tx.AfterCommit(func() { a.granted = append(a.granted, gr) })
		return gr, nil
	}
	return g
}

// asked has the action ask, and gives the approval.
func (a *asking) asked(g *Gate, act Action) Approval {
	a.t.Helper()
	var pending *PendingError
	if _, err := g.Do(context.Background(), act, a.effect(act.Key, true)); !errors.As(err, &pending) {
		a.t.Fatalf("Do = %v; want it to wait", err)
	}
	return pending.Approval
}

func press(ap Approval, person, verdict string) Press {
	return Press{Workspace: ws, Approval: ap.ID, Person: person, Verdict: verdict, Via: "test"}
}

func threaded(key string) Action {
	a := post(key)
	a.Thread, a.Others = "1.1", []string{"U0DAN"}
	return a
}

func TestAnApprovedCallHappensOnce(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	ap := a.asked(a.gate(nil), post("k"))
	if again := a.asked(a.gate(nil), post("k")); again.ID != ap.ID {
		t.Errorf("asked again as %s, want %s", again.ID, ap.ID)
	}
	g := a.gate(nil) // the process has been restarted
	got, err := g.Approvals.Decide(context.Background(), press(ap, "U0ADA", VerdictApprove))
	if err != nil || got.State != ApprovalApproved {
		t.Fatalf("Decide = %+v, %v", got, err)
	}
	for range 3 {
		if _, err := a.gate(nil).Do(context.Background(), post("k"), a.effect("k", true)); err != nil {
			t.Fatal(err)
		}
	}
	if a.done["k"] != 1 {
		t.Errorf("%d effects, want 1", a.done["k"])
	}
	if got, err := g.Approvals.Get(context.Background(), ws, ap.ID); err != nil || got.State != ApprovalUsed {
		t.Errorf("after use the approval is %s, %v", got.State, err)
	}
	for kind, n := range map[string]int{"approval.requested": 1, "approval.vote": 1, "approval.approved": 1, "intent": 1, "outcome": 1} {
		if a.entries(kind) != n {
			t.Errorf("%d entries %s, want %d", a.entries(kind), kind, n)
		}
	}
	a.verified()
}

// Every press that must count for nothing, with the reason that the person reads.
func TestPressesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before func(a *asking, g *Gate, ap Approval)
		press  func(ap Approval) Press
		reason string
		text   string
	}{
		{"the requester approves", nil, func(ap Approval) Press { return press(ap, "U0BEN", VerdictApprove) }, RefusedSelf, "somebody else"},
		{"the requester approves, being an approver", func(a *asking, _ *Gate, _ Approval) {
			a.roll["U0BEN"] = Standing{Kind: "member", Active: true, Groups: []string{"S0ONCALL"}}
		},
			func(ap Approval) Press { return press(ap, "U0BEN", VerdictApprove) }, RefusedSelf, "somebody else"},
		{"one who took part in asking", nil, func(ap Approval) Press { return press(ap, "U0DAN", VerdictApprove) }, RefusedSelf, "took part"},
		{"the agent approves", nil, func(ap Approval) Press { return press(ap, "U0AGENT", VerdictApprove) }, RefusedAgent, "agent"},
		{"the agent denies", nil, func(ap Approval) Press { return press(ap, "U0AGENT", VerdictDeny) }, RefusedAgent, "agent"},
		{"somebody else approves", nil, func(ap Approval) Press { return press(ap, "U0EVE", VerdictApprove) }, RefusedApprover, "not among"},
		{"a stranger approves", nil, func(ap Approval) Press { return press(ap, "U0NOBODY", VerdictApprove) }, RefusedApprover, "not among"},
		{"the operator approves", nil, func(ap Approval) Press { return press(ap, "cli:root", VerdictApprove) }, RefusedApprover, "not among"},
		{"somebody else denies", nil, func(ap Approval) Press { return press(ap, "U0EVE", VerdictDeny) }, RefusedApprover, "not among"},
		{"an approver who was deactivated", func(a *asking, _ *Gate, _ Approval) { a.roll["U0ADA"] = Standing{Kind: "member"} },
			func(ap Approval) Press { return press(ap, "U0ADA", VerdictApprove) }, RefusedApprover, "not among"},
		{"an approver who became a guest", func(a *asking, _ *Gate, _ Approval) { a.roll["U0ADA"] = Standing{Kind: "guest", Active: true} },
			func(ap Approval) Press { return press(ap, "U0ADA", VerdictApprove) }, RefusedApprover, "not among"},
		{"one who left the group", func(a *asking, _ *Gate, _ Approval) { a.roll["U0CHLOE"] = Standing{Kind: "member", Active: true} },
			func(ap Approval) Press { return press(ap, "U0CHLOE", VerdictApprove) }, RefusedApprover, "not among"},
		{"too late", func(a *asking, _ *Gate, _ Approval) { a.pass(25 * time.Hour) },
			func(ap Approval) Press { return press(ap, "U0ADA", VerdictApprove) }, RefusedOver, "too late"},
		{"the rules have changed", func(a *asking, _ *Gate, _ Approval) { a.decision.Set = "set-2" },
			func(ap Approval) Press { return press(ap, "U0ADA", VerdictApprove) }, RefusedStale, "have changed"},
		{"denied already", func(a *asking, g *Gate, ap Approval) {
			if _, err := g.Approvals.Decide(context.Background(), press(ap, "U0CHLOE", VerdictDeny)); err != nil {
				a.t.Fatal(err)
			}
		}, func(ap Approval) Press { return press(ap, "U0ADA", VerdictApprove) }, RefusedOver, "denied already"},
		{"the agent is suspended", func(a *asking, _ *Gate, _ Approval) {
			if _, err := a.agents.Suspend(context.Background(), ws, "U0ADA", "it strays"); err != nil {
				a.t.Fatal(err)
			}
		}, func(ap Approval) Press { return press(ap, "U0ADA", VerdictApprove) }, RefusedStopped, "suspended"},
		{"for the thread, too long", nil, func(ap Approval) Press {
			p := press(ap, "U0ADA", VerdictApprove)
			p.Hours = MostThreadHours + 1
			return p
		}, RefusedThread, "hours at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAsking(t)
			g := a.gate(nil)
			ap := a.asked(g, threaded("k"))
			if c.before != nil {
				c.before(a, g, ap)
			}
			_, err := g.Approvals.Decide(context.Background(), c.press(ap))
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Reason != c.reason || !strings.Contains(refused.Text, c.text) {
				t.Fatalf("Decide = %v; want it refused for %q with %q", err, c.reason, c.text)
			}
			if a.entries("approval.refused") != 1 {
				t.Errorf("%d entries approval.refused, want 1", a.entries("approval.refused"))
			}
			if _, err := g.Do(context.Background(), threaded("k"), a.effect("k", true)); err == nil || a.done["k"] != 0 {
				t.Errorf("after a refused press: %v, %d effects; want none", err, a.done["k"])
			}
			a.verified()
		})
	}
}

// What was approved is one exact call under the rules of that time.
func TestAnApprovalFitsNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(a *asking, act *Action)
	}{
		{"altered arguments", func(_ *asking, act *Action) { act.Args = json.RawMessage(`{"text":"something else"}`) }},
		{"another target", func(_ *asking, act *Action) { act.Target = "C0SECRET" }},
		{"another tool", func(_ *asking, act *Action) { act.Tool = "reply" }},
		{"a changed tool pin", func(_ *asking, act *Action) { act.Pin = "pin-2" }},
		{"changed rules", func(a *asking, _ *Action) { a.decision.Set = "set-2" }},
		{"a higher quorum", func(a *asking, _ *Action) { a.decision.Quorum = 2 }},
		{"other approvers", func(a *asking, _ *Action) { a.decision.Approvers = []string{"user:U0CHLOE"} }},
		{"a denial since", func(a *asking, _ *Action) { a.decision = deny("g_2", "never") }},
		{"too late to use it", func(a *asking, _ *Action) { a.pass(25 * time.Hour) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAsking(t)
			g := a.gate(nil)
			ap := a.asked(g, post("k"))
			if _, err := g.Approvals.Decide(context.Background(), press(ap, "U0ADA", VerdictApprove)); err != nil {
				t.Fatal(err)
			}
			act := post("k")
			c.change(a, &act)
			_, err := g.Do(context.Background(), act, a.effect("k", true))
			var denied *DeniedError
			if !errors.As(err, &denied) || a.done["k"] != 0 || len(denied.Reasons) == 0 || denied.Reasons[0] == "" {
				t.Errorf("Do = %v, %d effects; want a denial with a reason, and none", err, a.done["k"])
			}
			// Replayed for another call it is not even found.
			var pending *PendingError
			a.decision = Decision{Verdict: Ask, Approvers: []string{"user:U0ADA"}, Set: "set-1"}
			if _, err := g.Do(context.Background(), post("other"), a.effect("other", true)); !errors.As(err, &pending) || pending.Approval.ID == ap.ID {
				t.Errorf("another call: %v; want an approval of its own", err)
			}
			a.verified()
		})
	}
}

func TestTimedOutDeniedAndWithdrawnAreToldApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, state, want string
		end               func(a *asking, g *Gate, ap Approval) error
	}{
		{"denied", ApprovalDenied, "<@U0ADA> denied it: not today", func(_ *asking, g *Gate, ap Approval) error {
			p := press(ap, "U0ADA", VerdictDeny)
			p.Reason = "not today"
			_, err := g.Approvals.Decide(context.Background(), p)
			return err
		}},
		{"denied on the host", ApprovalDenied, "cli:root", func(_ *asking, g *Gate, ap Approval) error {
			_, err := g.Approvals.Decide(context.Background(), press(ap, "cli:root", VerdictDeny))
			return err
		}},
		{"timed out", ApprovalExpired, "nobody approved or denied it in time", func(a *asking, _ *Gate, _ Approval) error {
			a.pass(24 * time.Hour)
			return nil
		}},
		{"taken back", ApprovalWithdrawn, "withdrawn", func(_ *asking, g *Gate, ap Approval) error {
			_, err := g.Approvals.Decide(context.Background(), press(ap, "U0BEN", VerdictDeny))
			return err
		}},
		{"stopped", ApprovalWithdrawn, "withdrawn", func(a *asking, g *Gate, ap Approval) error {
			return a.db.Write(context.Background(), func(tx *migrations.Tx) error {
				return g.Approvals.Withdraw(tx, ws, ap.Turn, "U0BEN", "the work was stopped")
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAsking(t)
			g := a.gate(nil)
			ap := a.asked(g, post("k"))
			if err := c.end(a, g, ap); err != nil {
				t.Fatal(err)
			}
			_, err := g.Do(context.Background(), post("k"), a.effect("k", true))
			var denied *DeniedError
			if !errors.As(err, &denied) || !strings.Contains(strings.Join(denied.Reasons, " "), c.want) || a.done["k"] != 0 {
				t.Errorf("Do = %v; want a denial with %q", err, c.want)
			}
			got, err := g.Approvals.Get(context.Background(), ws, ap.ID)
			if err != nil || got.State != c.state || !slices.Equal(a.ended, []string{c.state}) {
				t.Errorf("the approval is %s (told %v), %v; want %s", got.State, a.ended, err, c.state)
			}
			a.verified()
		})
	}
}

func TestAQuorumNeedsSeveral(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	a.decision.Quorum = 2
	g := a.gate(nil)
	ap := a.asked(g, post("k"))
	for range 2 { // the same person twice is one
		got, err := g.Approvals.Decide(context.Background(), press(ap, "U0ADA", VerdictApprove))
		if err != nil || got.State != ApprovalPending {
			t.Fatalf("one of two: %s, %v", got.State, err)
		}
	}
	a.asked(g, post("k"))
	if got, err := g.Approvals.Decide(context.Background(), press(ap, "U0CHLOE", VerdictApprove)); err != nil || got.State != ApprovalApproved {
		t.Fatalf("two of two: %s, %v", got.State, err)
	}
	if _, err := g.Do(context.Background(), post("k"), a.effect("k", true)); err != nil || a.done["k"] != 1 {
		t.Errorf("Do = %v, %d effects", err, a.done["k"])
	}
}

func TestTwoPressesAtOnceAreOneDecision(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	g := a.gate(nil)
	ap := a.asked(g, post("k"))
	var group sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		verdict, person := VerdictApprove, "U0ADA"
		if i%2 == 1 {
			verdict, person = VerdictDeny, "U0CHLOE"
		}
		group.Go(func() { _, results[i] = g.Approvals.Decide(context.Background(), press(ap, person, verdict)) })
	}
	group.Wait()
	if len(a.ended) != 1 {
		t.Errorf("ended %v; want one decision", a.ended)
	}
	if n := a.entries("approval.approved") + a.entries("approval.denied"); n != 1 {
		t.Errorf("%d decisions in the ledger, want 1", n)
	}
	for i, err := range results {
		var refused *RefusedError
		if err != nil && (!errors.As(err, &refused) || refused.Reason != RefusedOver) {
			t.Errorf("press %d: %v", i, err)
		}
	}
}

func TestAnApprovalForTheThreadIsAGrant(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	g := a.gate(nil)
	ap := a.asked(g, threaded("k"))
	p := press(ap, "U0ADA", VerdictApprove)
	p.Hours = 2
	if _, err := g.Approvals.Decide(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if len(a.granted) != 1 {
		t.Fatalf("grants %+v, want one", a.granted)
	}
	got := a.granted[0]
	if got.Effect != Allow || !slices.Equal(got.Tools, []string{"post"}) || got.Scope != "channel:C0IN" || got.Thread != "1.1" ||
		!slices.Equal(got.Who, []string{"user:U0BEN"}) || !got.ExpiresAt.Equal(a.now.Add(2*time.Hour)) || got.GrantedBy != "U0ADA" || got.Justification == "" {
		t.Errorf("the grant is %+v", got)
	}
	external := threaded("x")
	external.Class = ClassExternal
	p = press(a.asked(g, external), "U0ADA", VerdictApprove)
	p.Hours = 1
	var refused *RefusedError
	if _, err := g.Approvals.Decide(context.Background(), p); !errors.As(err, &refused) || refused.Reason != RefusedThread {
		t.Errorf("an external tool for a whole thread: %v; want it refused", err)
	}
}

// What an approver lets a duty do in advance is exactly what it asked for, for a
// time; only one who could approve it may say so.
func TestAnApprovalInAdvanceForADutyIsAGrant(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	g := a.gate(nil)
	run := func(key, args string) Action {
		act := post(key)
		act.Duty, act.Owner, act.Args = "d_weekly", true, json.RawMessage(args)
		return act
	}
	ap := a.asked(g, run("k", `{"text": "Weekly notes", "channel": "C0IN", "pin": true, "days": 7}`))
	if ap.Duty != "d_weekly" || !ap.AdvanceForDuty() {
		t.Fatalf("the approval is of the duty %q, for its runs: %t", ap.Duty, ap.AdvanceForDuty())
	}
	p := press(ap, "U0BEN", VerdictApprove)
	p.Days = 30
	var refused *RefusedError
	if _, err := g.Approvals.Decide(t.Context(), p); !errors.As(err, &refused) || refused.Reason != RefusedSelf {
		t.Errorf("the owner approves in advance: %v; want it refused", err)
	}
	p.Person = "U0ADA"
	if _, err := g.Approvals.Decide(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if len(a.granted) != 1 {
		t.Fatalf("grants %+v, want one", a.granted)
	}
	got := a.granted[0]
	var rules []string
	for _, r := range got.Args {
		rules = append(rules, r.Words())
	}
	want := []string{"only channel,days,pin,text", "channel=C0IN", "7<=days<=7", "pin=true", "text=Weekly notes"}
	if got.Effect != Allow || got.Duty != "d_weekly" || !slices.Equal(got.Who, []string{policy.Owner}) || !slices.Equal(rules, want) || !got.ExpiresAt.Equal(a.now.Add(30*24*time.Hour)) {
		t.Errorf("the grant is %+v with rules %q, want %q", got, rules, want)
	}
	if problems := policy.Check(got, a.now); len(problems) > 0 {
		t.Errorf("the grant is not one: %q", problems)
	}
	for name, act := range map[string]Action{
		"a list":           run("list", `{"to": ["U1", "U2"]}`),
		"no arguments":     run("none", `{}`),
		"no duty":          post("nobody"),
		"leaves the house": func() Action { act := run("out", `{"text": "x"}`); act.Class = ClassExternal; return act }(),
	} {
		p := press(a.asked(g, act), "U0ADA", VerdictApprove)
		p.Days = 30
		if _, err := g.Approvals.Decide(t.Context(), p); !errors.As(err, &refused) || refused.Reason != RefusedDuty {
			t.Errorf("%s: %v; want it refused", name, err)
		}
	}
}

func TestApprovalsAreRemindedOfAndEndByThemselves(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	g := a.gate(nil)
	reminded := 0
	g.Approvals.Remind = func(tx *migrations.Tx, _ Approval) error { tx.AfterCommit(func() { reminded++ }); return nil }
	ap := a.asked(g, post("k"))
	work := func() (again time.Time) {
		t.Helper()
		var fence int64
		if err := a.db.QueryRow(context.Background(), `SELECT fence FROM tasks WHERE key = $1`, "approval:"+ap.ID).Scan(&fence); err != nil {
			t.Fatal(err)
		}
		r, err := g.Approvals.Handle(context.Background(), &task.Lease{Key: "approval:" + ap.ID, Workspace: ws, Fence: fence})
		if err != nil {
			t.Fatal(err)
		}
		return r.Again
	}
	if again := work(); !again.Equal(ap.RemindAt) || reminded != 0 {
		t.Errorf("before its time: again at %s, reminded %d times", again, reminded)
	}
	a.pass(12 * time.Hour)
	if again := work(); !again.Equal(ap.ExpiresAt) || reminded != 1 {
		t.Errorf("at half time: again at %s, reminded %d times", again, reminded)
	}
	if work(); reminded != 1 {
		t.Errorf("reminded %d times, want once", reminded)
	}
	a.pass(12 * time.Hour)
	if again := work(); !again.IsZero() || !slices.Equal(a.ended, []string{ApprovalExpired}) {
		t.Errorf("at its end: again at %s, ended %v", again, a.ended)
	}
}

// A crash at any point of ask, decide and act leaves one effect or none, and the
// work goes on after a restart.
func TestACrashAtEachPointOfAnApproval(t *testing.T) {
	t.Parallel()
	type crashed struct{ point string }
	for _, findable := range []bool{true, false} {
		for _, point := range []string{"gate:begin", "gate:asked", "approval:decided", "gate:intent", "gate:acted", "gate:outcome"} {
			for at := 1; at <= 3; at++ {
				t.Run(fmt.Sprintf("%s %d findable %v", point, at, findable), func(t *testing.T) {
					t.Parallel()
					a := newAsking(t)
					seen, down := 0, false
					crash := func(p string) {
						if p == point && !down {
							if seen++; seen == at {
								down = true
								panic(crashed{p})
							}
						}
					}
					alive := func(f func()) (ok bool) {
						defer func() {
							if r := recover(); r != nil {
								if _, is := r.(crashed); !is {
									panic(r)
								}
							}
						}()
						f()
						return true
					}
					var last error
					for range 12 {
						g := a.gate(crash)
						last = errors.New("the process ended")
						alive(func() {
							_, last = g.Do(context.Background(), post("k"), a.effect("k", findable))
							var pending *PendingError
							if errors.As(last, &pending) {
								if _, err := g.Approvals.Decide(context.Background(), press(pending.Approval, "U0ADA", VerdictApprove)); err != nil {
									t.Error(err)
								}
							}
						})
						if last == nil || errors.Is(last, ErrUnknownOutcome) {
							break
						}
					}
					if a.done["k"] > 1 {
						t.Errorf("%d effects; never two", a.done["k"])
					}
					if a.done["k"] == 0 && !errors.Is(last, ErrUnknownOutcome) {
						t.Errorf("no effect, and it ended with %v", last)
					}
					if errors.Is(last, ErrUnknownOutcome) && findable {
						t.Error("the outcome is unknown, although the far side can be asked")
					}
					if n := a.entries("approval.requested"); n != 1 {
						t.Errorf("asked %d times, want once", n)
					}
					a.verified()
				})
			}
		}
	}
}
