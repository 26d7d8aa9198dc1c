package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// raising makes a monitor that keeps what it raises.
func (o *office) raising(c Config) (*Monitor, *[]Finding) {
	raised := &[]Finding{}
	c.Raise = func(_ context.Context, f Finding) error {
		*raised = append(*raised, f)
		return nil
	}
	return New(o.db, o.l, c), raised
}

func names(all []Finding) string {
	var out []string
	for _, f := range all {
		out = append(out, f.Detector+"/"+string(f.Response))
	}
	return strings.Join(out, " ")
}

func refused(person, reason string) ledger.Record {
	return ledger.Record{Workspace: ws, Kind: KindRefused, Actor: person, Requester: "U0BEN", Turn: "turn1", Channel: "C0ENG", Tool: "post", Fields: map[string]string{"reason": reason}}
}

// What can only be seen in the ledger is raised by Follow, each at its threshold.
func TestFollowRaises(t *testing.T) {
	t.Parallel()
	model := func(cost string) ledger.Record {
		return ledger.Record{Workspace: ws, Kind: "model.called", Turn: "turn1", Fields: map[string]string{ledger.FieldCost: cost}}
	}
	for name, c := range map[string]struct {
		settings []string
		happen   []ledger.Record // of which the last is what fires
		want     string
	}{
		"self approval":                   {nil, []ledger.Record{refused("U0CHLOE", "not-approver"), refused("U0BEN", "self")}, "self-approval/none"},
		"self approval, threshold 2":      {[]string{"self-approval.threshold=2", "self-approval.response=suspend"}, []ledger.Record{refused("U0BEN", "self"), refused("U0CHLOE", "self"), refused("U0BEN", "self")}, "self-approval/suspend"},
		"the agent presses":               {nil, []ledger.Record{intent(Facts{Workspace: ws, Tool: "post", Class: "write"}), refused("U0DESKMATE", "self")}, "agent-approval/suspend"},
		"the agent presses for another":   {nil, []ledger.Record{intent(Facts{Workspace: ws, Tool: "post", Class: "write"}), refused("U0DESKMATE", "agent")}, "agent-approval/suspend"},
		"a pin does not fit":              {nil, []ledger.Record{{Workspace: ws, Kind: "pin.checked", Tool: "github.merge"}, {Workspace: ws, Kind: KindPinMismatch, Tool: "github.merge"}}, "pin/suspend"},
		"a pin of a connection":           {nil, []ledger.Record{{Workspace: ws, Kind: KindPinMismatch, Fields: map[string]string{FieldConnection: "github"}}}, "pin/suspend"},
		"four fifths of the cost":         {[]string{"budget-cost.threshold=1"}, []ledger.Record{model("799999"), model("1")}, "budget-cost/none"},
		"all of the cost":                 {[]string{"budget-cost.threshold=1", "budget-cost.warn=1"}, []ledger.Record{model("999999"), model("1")}, "budget-cost/stop"},
		"past the warning at once":        {[]string{"budget-cost.threshold=1"}, []ledger.Record{model("10"), model("2000000")}, "budget-cost/stop"},
		"cost that is none":               {[]string{"budget-cost.threshold=1"}, []ledger.Record{model("x"), model("-5"), model("1000000")}, "budget-cost/stop"},
		"denials, before the next action": {nil, slices.Repeat([]ledger.Record{denied(Facts{Workspace: ws, Turn: "turn1", Tool: "post", Class: "write", Requester: "U0BEN"}, "members-only")}, 5), "denials/stop"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			config, err := Config{}.Set(c.settings...)
			if err != nil {
				t.Fatal(err)
			}
			o.record(ledger.Record{Workspace: ws, Kind: "agent.changed", Agent: "U0DESKMATE", Actor: "system"})
			m, raised := o.raising(config)
			o.step(m)
			last := len(c.happen) - 1
			o.record(c.happen[:last]...)
			o.step(m)
			if len(*raised) > 0 {
				t.Errorf("before it happened: raised %s", names(*raised))
			}
			o.record(c.happen[last])
			o.step(m)
			if got := names(*raised); got != c.want {
				t.Fatalf("raised %q, want %q", got, c.want)
			}
			o.step(m)
			o.step(m)
			detector, _, _ := strings.Cut(c.want, "/")
			if got := o.noted(m); got != detector || len(*raised) != 1 {
				t.Errorf("noted %q and raised %s; want %s once", got, names(*raised), detector)
			}
		})
	}
}

// A restart forgets nothing and counts nothing twice, wherever it comes.
func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.record(ledger.Record{Workspace: ws, Kind: "agent.changed", Agent: "U0DESKMATE", Actor: "system"})
	m, raised := o.raising(Config{})
	o.step(m)
	for i := range 4 {
		o.record(denied(o.facts(), "members-only"))
		if i%2 == 0 {
			if err := m.step(context.Background(), true); err != nil { // an orderly end
				t.Fatal(err)
			}
		} // else a crash: what was read since is not saved
		if got := before(t, m, o.facts()); got != "none" {
			t.Fatalf("after %d: got %q, want none", i+1, got)
		}
		o.restart()
		m, raised = o.raising(Config{})
	}
	if got := before(t, m, o.facts()); got != "none" {
		t.Fatalf("after 4 and four restarts: got %q, want none", got)
	}
	o.record(denied(o.facts(), "members-only"))
	if got := before(t, m, o.facts()); got != "stop denials" {
		t.Fatalf("after 5: got %q, want stop", got)
	}
	o.step(m)
	if got := names(*raised); got != "denials/stop" {
		t.Errorf("raised %q, want denials once", got)
	}
	o.restart()
	m, raised = o.raising(Config{})
	o.step(m)
	if len(*raised) != 0 || o.noted(m) != "denials" {
		t.Errorf("after another restart: raised %s, noted %s", names(*raised), o.noted(m))
	}
	// The saved statistics are those that the ledger gives.
	if err := m.step(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	fresh := New(o.db, o.l, Config{})
	w := fresh.watch(ws)
	w.state, w.loaded = newState(), true
	if err := fresh.catchUp(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	want, got := encode(t, w.state), encode(t, m.watch(ws).state)
	if got != want {
		t.Errorf("statistics after restarts:\n%s\nwant\n%s", got, want)
	}
}

func encode(t *testing.T, s *state) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Until it was raised, a finding is raised again, also by the next process.
func TestWhatCouldNotBeRaisedIsRaisedLater(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.record(ledger.Record{Workspace: ws, Kind: "agent.changed", Agent: "U0DESKMATE", Actor: "system"})
	down := New(o.db, o.l, Config{Raise: func(context.Context, Finding) error { return errors.New("not now") }})
	o.step(New(o.db, o.l, Config{}))
	if err := down.step(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	o.record(ledger.Record{Workspace: ws, Kind: KindPinMismatch, Tool: "github.merge"})
	for range 2 {
		if err := down.step(context.Background(), false); err == nil {
			t.Fatal("a finding that was not raised is taken for raised")
		}
	}
	if err := down.step(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	o.restart()
	m, raised := o.raising(Config{})
	o.step(m)
	if got := names(*raised); got != "pin/suspend" {
		t.Errorf("raised %q, want the pin", got)
	}
}

// What happened before there was a monitor, or under other settings, is learnt
// from and not acted on.
func TestThePastIsNotRaised(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.record(refused("U0BEN", "self"), ledger.Record{Workspace: ws, Kind: KindPinMismatch, Tool: "github.merge"}, denied(o.facts(), "members-only"))
	m, raised := o.raising(Config{})
	o.step(m)
	if err := m.step(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	c, err := Config{}.Set("denials.window=20m", "denials.threshold=2")
	if err != nil {
		t.Fatal(err)
	}
	m, again := o.raising(c)
	o.step(m)
	if len(*raised)+len(*again) > 0 {
		t.Errorf("raised %s, then %s; want nothing", names(*raised), names(*again))
	}
	if got := before(t, m, o.facts()); got != "none" {
		t.Errorf("after one denial: %q", got)
	}
	o.record(denied(o.facts(), "members-only"))
	if got := before(t, m, o.facts()); got != "stop denials" {
		t.Errorf("with the one from before: got %q, want stop", got)
	}
}

// damage does to the ledger what nobody should.
func (o *office) damage(statements ...string) {
	o.write(func(tx *migrations.Tx) error {
		for _, q := range append([]string{`DROP TRIGGER IF EXISTS ledger_entries_stay`, `DROP TRIGGER IF EXISTS ledger_entries_remain`}, statements...) {
			if _, err := tx.Exec(q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	})
}

func TestAGapStopsEverythingUntilAHumanAcceptsIt(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"deleted":   `DELETE FROM ledger_entries WHERE seq = 12`,
		"truncated": `DELETE FROM ledger_entries WHERE seq >= 12`,
		"changed":   `UPDATE ledger_entries SET leaf = '{' WHERE seq = 12`,
		"moved":     `UPDATE ledger_entries SET leaf = replace(leaf, '"seq":12', '"seq":11') WHERE seq = 12`,
		"emptied":   `DELETE FROM ledger_entries; DELETE FROM ledger_trees`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			fill := func(n int) {
				for range n {
					o.record(intent(o.facts()))
				}
			}
			fill(10)
			m, raised := o.raising(Config{})
			o.step(m)
			if err := m.step(context.Background(), true); err != nil {
				t.Fatal(err)
			}
			if got := before(t, m, o.facts()); got != "none" {
				t.Fatalf("before the damage: %q", got)
			}
			if name != "emptied" {
				fill(5)
			}
			o.damage(damage)
			check := func(when string, m *Monitor) {
				t.Helper()
				read := func(f *Facts) { f.Class = "read" }
				if got := before(t, m, o.facts()); got != "stop gap" {
					t.Errorf("%s: a write: got %q, want stop", when, got)
				}
				if got := before(t, m, o.facts(read)); got != "stop gap" {
					t.Errorf("%s: a read: got %q, want stop", when, got)
				}
				if got := before(t, m, o.facts(func(f *Facts) { f.Manners = true })); got != "none" {
					t.Errorf("%s: manners: got %q, want none", when, got)
				}
			}
			check("at once", m)
			o.step(m)
			o.step(m)
			if got := names(*raised); got != "gap/stop" {
				t.Errorf("raised %q, want the gap once", got)
			}
			fill(3) // life goes on, in spite of it
			check("later", m)
			o.restart()
			m, raised = o.raising(Config{})
			check("after a restart", m)
			o.step(m)
			if len(*raised) != 0 {
				t.Errorf("raised again: %s", names(*raised))
			}
			other := New(o.db, o.l, Config{}) // as a command in another process
			if _, err := other.Accept(context.Background(), ws, "", "looked"); err == nil {
				t.Error("nobody accepted it")
			}
			if gap, err := other.Accept(context.Background(), ws, "U0ADA", "a restore, looked at"); err != nil || !strings.Contains(gap, "ledger") {
				t.Fatalf("accept: %q, %v", gap, err)
			}
			if _, err := other.Accept(context.Background(), ws, "U0ADA", "again"); !errors.Is(err, ErrNoGap) {
				t.Errorf("accept twice: %v, want ErrNoGap", err)
			}
			if got := before(t, m, o.facts()); got != "none" {
				t.Errorf("once it is accepted: got %q, want none", got)
			}
			fill(2)
			o.step(m)
			o.restart()
			c, err := Config{}.Set("rate.window=10m") // statistics are made anew, past the gap
			if err != nil {
				t.Fatal(err)
			}
			m, raised = o.raising(c)
			if got := before(t, m, o.facts()); got != "none" {
				t.Errorf("after all: got %q, want none", got)
			}
			o.step(m)
			if len(*raised) != 0 {
				t.Errorf("after all: raised %s", names(*raised))
			}
		})
	}
}

// A ledger that cannot even take the note of its gap stops everything as well,
// also after a restart.
func TestAGapThatCannotBeNotedIsKept(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for range 10 {
		o.record(intent(o.facts()))
	}
	m, raised := o.raising(Config{})
	o.step(m)
	if err := m.step(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	o.damage(`DELETE FROM ledger_trees`)
	for range 2 {
		o.step(m)
	}
	if got := names(*raised); got != "gap/stop" {
		t.Errorf("raised %q, want the gap once", got)
	}
	o.restart()
	if got := before(t, New(o.db, o.l, Config{}), o.facts()); got != "stop gap" {
		t.Errorf("after a restart: got %q, want stop", got)
	}
}

func TestNoteIsOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	m := o.monitor()
	f := Finding{Detector: Rate, Subject: "agent", Workspace: ws, Turn: "turn1", Response: Throttle, Text: "too much", Count: 121, Threshold: 120, At: o.db.Now()}
	note := func() (seq int64) {
		o.write(func(tx *migrations.Tx) (err error) { seq, err = m.Note(tx, f); return err })
		return seq
	}
	first := note()
	if again := note(); again != first {
		t.Errorf("the same finding is entry %d, then %d", first, again)
	}
	o.pass(5 * time.Minute)
	f.At = o.db.Now()
	second := note()
	if second == first {
		t.Error("a window later it is not noted")
	}
	e, err := o.l.Show(context.Background(), ws, first)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Record()
	if err != nil || r.Kind != KindFinding || r.Fields["detector"] != Rate || r.Fields["response"] != "throttle" || r.Payload["text"] != "too much" {
		t.Errorf("entry %+v, %v", r, err)
	}
	o.write(func(tx *migrations.Tx) error { return m.Told(tx, ws, first) })
	left, err := m.Findings(context.Background(), ws, Filter{Untold: true})
	if err != nil || len(left) != 1 || left[0].Seq != second {
		t.Errorf("untold: %+v, %v; want only entry %d", left, err, second)
	}
	if report, err := o.l.Verify(context.Background(), ws); err != nil || !report.OK() {
		t.Errorf("the ledger does not verify: %+v, %v", report, err)
	}
}

// Follow runs beside Before until its context ends, and then has saved.
func TestFollowRunsBesideBefore(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.record(ledger.Record{Workspace: ws, Kind: "agent.changed", Agent: "U0DESKMATE", Actor: "system"})
	o.step(o.monitor())
	seen := make(chan Finding, 8)
	m := New(o.db, o.l, Config{Every: time.Millisecond, Raise: func(_ context.Context, f Finding) error { seen <- f; return nil }})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.Follow(ctx) }()
	for range 50 {
		o.record(intent(o.facts()))
		before(t, m, o.facts())
	}
	o.record(ledger.Record{Workspace: ws, Kind: KindPinMismatch, Tool: "x"})
	if f := <-seen; f.Detector != Pin {
		t.Errorf("raised %+v, want the pin", f)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var position int64
	if err := o.db.QueryRow(context.Background(), `SELECT position FROM monitor_positions WHERE workspace = $1`, ws).Scan(&position); err != nil || position < 52 {
		t.Errorf("saved position %d, %v; want at least 52", position, err)
	}
}
