package monitor

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

const ws = "T1"

// monday is where the clocks of these tests start.
var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// office is a store with a ledger and a clock that only tests move.
type office struct {
	t    testing.TB
	path string
	now  atomic.Int64
	db   *migrations.DB
	l    *ledger.Ledger
	n    int // actions so far
}

func newOffice(t testing.TB) *office {
	t.Helper()
	o := &office{t: t, path: filepath.Join(t.TempDir(), "test.db")}
	o.now.Store(monday.UnixMicro())
	o.open()
	t.Cleanup(func() {
		if err := o.db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return o
}

func (o *office) open() {
	o.t.Helper()
	var err error
	o.db, err = migrations.Open(context.Background(), migrated.At(o.t, o.path), migrations.Options{Clock: func() time.Time { return time.UnixMicro(o.now.Load()) }})
	if err != nil {
		o.t.Fatal(err)
	}
	keys, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		o.t.Fatal(err)
	}
	o.l = ledger.New(o.db, keys, ledger.Options{})
}

// restart closes the store and opens it again.
func (o *office) restart() {
	o.t.Helper()
	if err := o.db.Close(); err != nil {
		o.t.Fatal(err)
	}
	o.open()
}

func (o *office) pass(d time.Duration) { o.now.Add(d.Microseconds()) }

func (o *office) write(f func(tx *migrations.Tx) error) {
	o.t.Helper()
	if err := o.db.Write(context.Background(), f); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) record(all ...ledger.Record) {
	o.t.Helper()
	o.write(func(tx *migrations.Tx) error {
		for _, r := range all {
			if _, err := o.l.Append(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// facts of a write that is asked for by Ben in #eng; change tells how it differs.
func (o *office) facts(change ...func(*Facts)) Facts {
	o.n++
	f := Facts{Workspace: ws, Turn: "turn1", Action: "key" + strconv.Itoa(o.n), Tool: "post", Class: "write", Requester: "U0BEN", Channel: "C0ENG",
		Call: fmt.Sprintf("%016x%016x", o.n, o.n), At: o.db.Now()}
	for _, c := range change {
		c(&f)
	}
	return f
}

// entry is the gate's entry of an action.
func entry(kind string, f Facts) ledger.Record {
	r := ledger.Record{Workspace: f.Workspace, Kind: kind, Agent: "U0DESKMATE", Actor: "U0DESKMATE", Requester: f.Requester, Turn: f.Turn, Channel: f.Channel,
		Target: f.Target, Tool: f.Tool, Class: f.Class, Action: f.Action, Fields: map[string]string{ledger.FieldCall: f.Call, FieldHost: f.Host}}
	if f.Manners {
		r.Fields[FieldManners] = "true"
	}
	return r
}

func intent(f Facts) ledger.Record { return entry(ledger.KindIntent, f) }

func denied(f Facts, policy string) ledger.Record {
	r := entry(ledger.KindDenied, f)
	r.Reasons = []string{policy}
	return r
}

func (o *office) monitor(settings ...string) *Monitor {
	o.t.Helper()
	c, err := Config{}.Set(settings...)
	if err != nil {
		o.t.Fatal(err)
	}
	return New(o.db, o.l, c)
}

// before is what the monitor says, as one line: the response and who said so.
func before(t testing.TB, m *Monitor, f Facts) string {
	t.Helper()
	r, found, err := m.Before(context.Background(), f)
	if err != nil {
		t.Fatalf("Before: %v", err)
	}
	line := string(r)
	for _, x := range found {
		line += " " + x.Detector
		if x.Text == "" || x.Seq != -1 || x.Subject == "" {
			t.Errorf("finding %+v lacks something", x)
		}
	}
	return line
}

func (o *office) step(m *Monitor) {
	o.t.Helper()
	if err := m.step(context.Background(), false); err != nil {
		o.t.Fatalf("follow: %v", err)
	}
}

// noted are the detectors of the findings that were noted, oldest first.
func (o *office) noted(m *Monitor) string {
	o.t.Helper()
	all, err := m.Findings(context.Background(), ws, Filter{Untold: true})
	if err != nil {
		o.t.Fatal(err)
	}
	var names []string
	for _, f := range all {
		names = append(names, f.Detector)
	}
	return strings.Join(names, " ")
}

// Each detector fires at its threshold and not one below: happen is what is in
// the ledger n-1 and n times before the action is judged.
func TestDetectorsFireAtTheirThreshold(t *testing.T) {
	t.Parallel()
	read := func(f *Facts) { f.Class, f.Tool = "read", "read_thread" }
	same := func(f *Facts) { f.Call = strings.Repeat("a", 32) }
	for name, c := range map[string]struct {
		settings []string
		happen   func(o *office, i int) ledger.Record
		below    int // times after which all is well
		judged   func(*Facts)
		want     string
	}{
		"rate cap": {nil, func(o *office, i int) ledger.Record { return intent(o.facts()) }, 119, nil, "throttle rate"},
		"rate cap counts refusals": {[]string{"denied-tools.off=true", "denials.off=true", "rate.cap=40", "flood.off=true"}, func(o *office, i int) ledger.Record { return denied(o.facts(), "members-only") }, 39,
			nil, "throttle rate"},
		"flood cap": {[]string{"rate.off=true"}, func(o *office, i int) ledger.Record { return intent(o.facts()) }, 239, nil, "suspend flood"},
		"denials":   {nil, func(o *office, i int) ledger.Record { return denied(o.facts(), "members-only") }, 4, nil, "stop denials"},
		"denials stop reads": {nil, func(o *office, i int) ledger.Record { return denied(o.facts(), "members-only") }, 4,
			read, "stop denials"},
		"denied tools": {nil, func(o *office, i int) ledger.Record {
			return denied(o.facts(func(f *Facts) { f.Tool = "tool" + strconv.Itoa(i) }), "members-only")
		}, 2, nil, "stop denied-tools"},
		"loop":          {nil, func(o *office, i int) ledger.Record { return intent(o.facts(same)) }, 1, same, "stop loop"},
		"loop of reads": {nil, func(o *office, i int) ledger.Record { return intent(o.facts(read, same)) }, 1, func(f *Facts) { read(f); same(f) }, "stop loop"},
		"loop of refusals": {nil, func(o *office, i int) ledger.Record { return denied(o.facts(same), "monitor.loop") }, 1,
			same, "stop loop"},
		"cost": {[]string{"budget-cost.threshold=1", "budget-cost.warn=1"}, func(o *office, i int) ledger.Record {
			return ledger.Record{Workspace: ws, Kind: "model.called", Fields: map[string]string{ledger.FieldCost: "100000"}}
		}, 9, read, "stop budget-cost"},
		"tokens": {[]string{"budget-tokens.threshold=50"}, func(o *office, i int) ledger.Record {
			return ledger.Record{Workspace: ws, Kind: "model.called", Fields: map[string]string{FieldTokens: "10"}}
		}, 4, nil, "stop budget-tokens"},
		"first use of a tool after so many actions": {[]string{"first-seen.threshold=3"}, func(o *office, i int) ledger.Record { return intent(o.facts()) }, 2,
			func(f *Facts) { f.Tool = "github.merge" }, "ask first-seen"},
		"first use of a host": {[]string{"first-seen.threshold=3"}, func(o *office, i int) ledger.Record { return intent(o.facts()) }, 2,
			func(f *Facts) { f.Host = "evil.example" }, "ask first-seen"},
		"first reach of a channel": {[]string{"first-seen.threshold=3"}, func(o *office, i int) ledger.Record { return intent(o.facts()) }, 2,
			func(f *Facts) { f.Target = "C0LEADS" }, "ask first-seen"},
		"tool, host and channel at once": {[]string{"first-seen.threshold=3"}, func(o *office, i int) ledger.Record { return intent(o.facts()) }, 2,
			func(f *Facts) { f.Tool, f.Host, f.Target = "x", "evil.example", "C0LEADS" }, "ask first-seen first-seen first-seen"},
		"threshold as set": {[]string{"loop.threshold=7", "loop.response=suspend"}, func(o *office, i int) ledger.Record { return intent(o.facts(same)) }, 5,
			same, "suspend loop"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			m := o.monitor(c.settings...)
			judged := o.facts()
			if c.judged != nil {
				c.judged(&judged)
			}
			var all []ledger.Record
			for i := range c.below {
				all = append(all, c.happen(o, i))
			}
			o.record(all...)
			if got := before(t, m, judged); got != "none" {
				t.Errorf("after %d: got %q, want none", c.below, got)
			}
			o.record(c.happen(o, c.below))
			if got := before(t, m, judged); got != c.want {
				t.Errorf("after %d: got %q, want %q", c.below+1, got, c.want)
			}
			if got := before(t, m, o.facts(func(f *Facts) { *f = judged; f.Manners = true })); got != "none" {
				t.Errorf("manners: got %q, want none", got)
			}
			for _, d := range strings.Fields(c.want)[1:] {
				off := append([]string{d + ".off=true"}, c.settings...)
				if got := before(t, o.monitor(off...), judged); strings.Contains(got, d) {
					t.Errorf("%s is off: got %q", d, got)
				}
			}
		})
	}
}

func TestHours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		open, at string
		want     string
	}{
		{"mon-fri 09:00-18:00 Europe/Berlin", "2026-03-02T08:00:00Z", "none"}, // Monday, 9 in Berlin
		{"mon-fri 09:00-18:00 Europe/Berlin", "2026-03-02T07:59:59Z", "ask hours"},
		{"mon-fri 09:00-18:00 Europe/Berlin", "2026-03-02T16:59:59Z", "none"},
		{"mon-fri 09:00-18:00 Europe/Berlin", "2026-03-02T17:00:00Z", "ask hours"},
		{"mon-fri 09:00-18:00 Europe/Berlin", "2026-03-07T12:00:00Z", "ask hours"}, // Saturday
		{"mon-fri 09:00-18:00 Europe/Berlin", "2026-03-30T07:00:00Z", "none"},      // summer time
		{"mon-fri 09:00-18:00 Europe/Berlin", "2026-03-30T06:59:00Z", "ask hours"},
		{"fri 22:00-06:00 UTC", "2026-03-07T05:59:00Z", "none"}, // Saturday, and still Friday's night
		{"fri 22:00-06:00 UTC", "2026-03-06T05:59:00Z", "ask hours"},
		{"sat-mon+wed 00:00-24:00 UTC", "2026-03-01T23:59:00Z", "none"},
		{"sat-mon+wed 00:00-24:00 UTC", "2026-03-03T12:00:00Z", "ask hours"},
		{"sat-mon+wed 00:00-24:00 UTC", "2026-03-04T00:00:00Z", "none"},
		{"", "2026-03-01T03:00:00Z", "none"},
	} {
		t.Run(c.open+" at "+c.at, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			m := o.monitor("hours.open=" + c.open)
			f := o.facts(func(f *Facts) { f.At = at })
			if got := before(t, m, f); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			f.Class = "read"
			if got := before(t, m, f); got != "none" {
				t.Errorf("a read: got %q, want none", got)
			}
		})
	}
}

// Rates are compared with what was usual, once there is enough of it.
func TestRateComparesWithHistory(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	m := o.monitor()
	// Two days, every ten minutes 8 actions: the usual is 8.
	for range 2 * 24 * 6 {
		var all []ledger.Record
		for range 8 {
			all = append(all, intent(o.facts(func(f *Facts) { f.Turn = "turn" + strconv.Itoa(o.n) })))
		}
		o.record(all...)
		o.pass(10 * time.Minute)
	}
	burst := func(n int) string {
		var all []ledger.Record
		for range n {
			all = append(all, denied(o.facts(func(f *Facts) { f.Turn = "turn" + strconv.Itoa(o.n) }), "monitor.rate"))
		}
		o.record(all...)
		return before(t, m, o.facts())
	}
	for _, c := range []struct {
		more int
		want string
	}{{39, "none"}, {1, "throttle rate"}, {39, "throttle rate"}, {1, "suspend rate flood"}} {
		if got := burst(c.more); got != c.want {
			t.Errorf("%d more: got %q, want %q", c.more, got, c.want)
		}
	}
	o.pass(5*time.Minute + time.Second)
	if got := before(t, m, o.facts()); got != "none" {
		t.Errorf("a window later: got %q, want none", got)
	}
}

func TestDenialsOfOthersStopNobody(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	m := o.monitor()
	gil := func(f *Facts) { f.Requester, f.Turn = "U0GIL", "turn-gil" }
	for range 5 {
		o.record(denied(o.facts(gil), "members-only"))
	}
	for _, policy := range []string{"monitor.loop", "stopped", "agent-suspended", "approval-denied", "approval-expired"} {
		o.record(denied(o.facts(), policy), denied(o.facts(), policy))
	}
	if got := before(t, m, o.facts()); got != "none" {
		t.Errorf("Ben's turn: got %q, want none", got)
	}
	if got := before(t, m, o.facts(gil)); got != "stop denials" {
		t.Errorf("Gil's turn: got %q, want stop", got)
	}
	if got := before(t, m, o.facts(gil, func(f *Facts) { f.Turn = "turn-new" })); got != "none" {
		t.Errorf("Gil's next turn, before anything is refused: got %q, want none", got)
	}
	o.pass(10*time.Minute + time.Second)
	if got := before(t, m, o.facts(gil)); got != "none" {
		t.Errorf("a window later: got %q, want none", got)
	}
}

// An action that is taken up again after a crash has its key, and is no loop.
func TestTheSameActionAgainIsNoLoop(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	m := o.monitor()
	f := o.facts()
	o.record(intent(f))
	for i := range 5 {
		if got := before(t, m, f); got != "none" {
			t.Fatalf("try %d: got %q, want none", i, got)
		}
		again := intent(f)
		again.Fields[ledger.FieldAttempt] = strconv.Itoa(i + 2)
		o.record(again)
	}
	other := o.facts(func(x *Facts) { x.Call, x.Turn = f.Call, "turn2" })
	if got := before(t, m, other); got != "none" {
		t.Errorf("in another turn: got %q, want none", got)
	}
}

func TestLearning(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	m := o.monitor()
	novel := func(f *Facts) { f.Tool, f.Target = "github.merge", "C0LEADS" }
	if got := before(t, m, o.facts(novel)); got != "none" {
		t.Errorf("an empty ledger: got %q, want none", got)
	}
	o.record(intent(o.facts()), intent(o.facts(func(f *Facts) { f.Target = "C0GENERAL" })), denied(o.facts(novel), "members-only"))
	o.pass(7*day - time.Minute)
	if got := before(t, m, o.facts(novel)); got != "none" {
		t.Errorf("while learning: got %q, want none", got)
	}
	o.pass(time.Minute)
	for _, c := range []struct {
		name   string
		change func(*Facts)
		want   string
	}{
		{"what was only refused is new", novel, "ask first-seen first-seen"},
		{"what was used is known", func(f *Facts) { f.Target = "C0GENERAL" }, "none"},
		{"the place of the request is no new place", func(f *Facts) { f.Channel, f.Target = "C0NEW", "C0NEW" }, "none"},
		{"a person is no channel", func(f *Facts) { f.Target = "U0CHLOE" }, "none"},
		{"a read", func(f *Facts) { novel(f); f.Class = "read" }, "none"},
		{"external", func(f *Facts) { novel(f); f.Class = "external" }, "ask first-seen first-seen"},
	} {
		if got := before(t, m, o.facts(c.change)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	o.record(intent(o.facts(novel)))
	if got := before(t, m, o.facts(novel)); got != "none" {
		t.Errorf("once it was approved and done: got %q, want none", got)
	}
	o.pass(seenFor)
	if got := before(t, m, o.facts(novel)); got != "ask first-seen first-seen" {
		t.Errorf("after a long time: got %q, want to be asked again", got)
	}
}

func TestCanary(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const secret = "dm-canary-7Kq2ZPvX93"
	m := New(o.db, o.l, Config{Canaries: []string{secret}})
	for text, want := range map[string]bool{
		secret:                                            true,
		"see " + strings.ToUpper(secret):                  true,
		`{"text":"dm-canary-7Kq2\nZPvX93"}`:               true,
		`{"text":"dm-can\u0061ry-7Kq2\u200bZPvX93"}`:      true,
		"d m c a n a r y 7 K q 2 Z P v X 9 3":             true,
		"dm\u200bcanary7Kq2ZPvX93":                        true,
		"ZG0tY2FuYXJ5LTdLcTJaUHZYOTM=":                    true, // base64 of it
		"eGRtLWNhbmFyeS03S3EyWlB2WDkzeA==":                true, // of x…x
		"eHhkbS1jYW5hcnktN0txMlpQdlg5M3h4":                true, // of xx…xx
		"646d2d63616e6172792d374b71325a5076583933":        true,
		"dm-canary-7Kq2ZPvX9":                             false,
		"the canary is called Tweety, and 7Kq2 is a door": false,
		"": false,
	} {
		if got := m.Canary(text); got != want {
			t.Errorf("Canary(%q): got %v, want %v", text, got, want)
		}
	}
	leak := m.LeakFinding(o.facts())
	if leak.Response != Suspend || strings.Contains(fmt.Sprint(leak), "7Kq2") {
		t.Errorf("finding %+v: want suspend, without the secret", leak)
	}
	if New(o.db, o.l, Config{}).Canary(secret) {
		t.Error("without canaries something was found")
	}
	err := Config{Canaries: []string{secret, "short-7"}}.Validate()
	if err == nil || strings.Contains(err.Error(), "short-7") || !strings.Contains(err.Error(), "canary 2") {
		t.Errorf("a short canary: got %v, want an error that does not say it", err)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	c, err := Config{}.Set("rate.window=10m", "rate.threshold=2.5", "hours.open=mon-fri 09:00-18:00 Europe/Berlin", "loop.off=true", "pin.response=stop")
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Rule(Rate); r.Window != 10*time.Minute || r.Threshold != 2.5 || r.Cap != 120 || r.Response != Throttle {
		t.Errorf("rate is %+v", r)
	}
	if !c.Rule(Loop).Off || c.Rule(Pin).Response != Stop || c.Rule(Denials).Threshold != 5 {
		t.Errorf("rules are %+v", c.Rules)
	}
	for setting, want := range map[string]string{
		"loop":                                     "looks like loop.threshold=4",
		"loop.threshold":                           "looks like",
		"lop.threshold=3":                          "there is no detector",
		"loop.window=5m":                           "no such member",
		"loop.threshold=x":                         "not a number",
		"loop.threshold=0":                         "more than 0",
		"loop.threshold=-1":                        "more than 0",
		"loop.threshold=2.5":                       "whole number",
		"loop.threshold=NaN":                       "more than 0",
		"loop.response=shout":                      "there are none, ask",
		"loop.off=maybe":                           "neither true nor false",
		"rate.window=5":                            "not a duration",
		"rate.window=1s":                           "from 1m to 1h",
		"denials.window=1000h":                     "from 1m to 744h",
		"rate.cap=0":                               "whole number from 1",
		"budget-cost.warn=80":                      "at most 1",
		"hours.open=weekdays":                      "must look like",
		"hours.open=mon 9-17 UTC":                  "must look like",
		"hours.open=mon 09:00-18:00":               "must look like",
		"hours.open=mon-fri 09:00-18:00 Mars/Base": "Mars/Base",
		"gap.off=true":                             "cannot be off",
		"gap.response=none":                        "stops the agent",
	} {
		if _, err := (Config{}).Set(setting); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", setting, err, want)
		}
	}
	for _, d := range Detectors() {
		if err := d.Default.check(d); err != nil {
			t.Errorf("default of %s: %v", d.Name, err)
		}
	}
	o := newOffice(t)
	m := New(o.db, o.l, Config{Rules: map[string]Rule{Loop: {}}})
	if r, _, err := m.Before(context.Background(), o.facts()); err == nil || r != Ask {
		t.Errorf("a broken configuration: got %s, %v, want ask and an error", r, err)
	}
	if err := m.Follow(context.Background()); err == nil {
		t.Error("a broken configuration is followed")
	}
}
