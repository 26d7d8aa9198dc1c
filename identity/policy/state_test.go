package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever is granted, its export read back is the same and changes nothing; and
// applying a state to another workspace gives that state.
func TestExportPlanApplyRoundTrip(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			d, r, ctx := newDesk(t), rand.New(rand.NewPCG(seed, 1)), t.Context()
			fill(t, d, r, "T1")
			if _, err := d.e.PutBundle(ctx, "U0ADA", Bundle{Name: "docs", Workspace: "T1", Tools: []string{"wiki.*"}, Instructions: "be kind:\n- always"}); err != nil {
				t.Fatal(err)
			}
			if _, err := d.e.Grant(ctx, "U0ADA", Grant{Workspace: "T1", Effect: Allow, Bundle: "docs", Scope: "channel:C0ENG", Justification: "reading: 'all' of it"}); err != nil {
				t.Fatal(err)
			}
			state, err := Export(ctx, d.e, "T1")
			if err != nil {
				t.Fatal(err)
			}
			text, err := state.YAML()
			if err != nil {
				t.Fatal(err)
			}
			read, err := ParseState(text, d.db.Now())
			if err != nil {
				t.Fatalf("the export is refused: %v\n%s", err, text)
			}
			plan, err := MakePlan(ctx, d.e, "T1", read)
			if err != nil || !plan.Empty() {
				t.Fatalf("an export changes something: %v\n%s", err, plan.Text())
			}
			if plan, err = MakePlan(ctx, d.e, "T2", read); err != nil || plan.Empty() {
				t.Fatalf("an empty workspace has nothing to change: %v", err)
			}
			if err := Apply(ctx, d.e, "cli:ada", plan); err != nil {
				t.Fatal(err)
			}
			if plan, err = MakePlan(ctx, d.e, "T2", read); err != nil || !plan.Empty() {
				t.Errorf("after it was applied there is something to change: %v\n%s", err, plan.Text())
			}
			// And back to nothing.
			none, err := ParseState([]byte("version: 1\ngrants: []\n"), d.db.Now())
			if err != nil {
				t.Fatal(err)
			}
			if plan, err = MakePlan(ctx, d.e, "T2", none); err != nil {
				t.Fatal(err)
			}
			if err := Apply(ctx, d.e, "cli:ada", plan); err != nil {
				t.Fatal(err)
			}
			if left, err := d.e.List(ctx, "T2", false); err != nil || len(left) != 0 {
				t.Errorf("left after all was taken away: %v, %v", left, err)
			}
		})
	}
}

func TestAWrongFileIsRefusedWholeWithLines(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":           {"", []string{"line 1: the file is empty"}},
		"not YAML":        {"version: [", []string{"line 1:"}},
		"no mapping":      {"- 1\n", []string{"line 1: the file must have names and values"}},
		"no version":      {"grants: []\n", []string{"version: is missing"}},
		"another version": {"version: 7\ngrants: []\n", []string{"line 1: version: this program reads version 1"}},
		"no list":         {"version: 1\ngrants: yes\n", []string{"line 2: grants: must be a list"}},
		"everything at once": {`version: 1
grant: []
bundles:
  - name: docs
    tools: []
grants:
  - effect: maybe
    tools: [post]
    scope: nowhere
    justification: x
    colour: red
  - effect: allow
    tools: [post]
    tools: [react]
    scope: workspace
    justification: x
  - id: g_1
    effect: ask
    tools: [post]
    scope: workspace
    quorum: many
    justification: x
  - id: g_1
    effect: allow
    tools: [post]
    scope: channel:C0ENG
    args:
      - name: amount
        most: 5
    justification: ""
  - effect: allow
    bundle: none
    scope: workspace
    expires_at: 2031-01-01T00:00:00Z
    justification: x
`, []string{"line 2: grant: the file has no such field", "line 5: tools: name at least one", "line 7: effect", "line 9: scope", "line 11: colour: a grant has no such field", "line 14: tools: is there twice",
			"line 21: quorum: must be a whole number", "line 23: id: g_1 is there already, in line 17", "line 28: args: amount: set exactly one",
			"line 29: most: a rule of args has no such field", "line 30: justification", "line 32: bundle: none is not among the bundles", "line 31: long_why"}},
		"no grants":       {"version: 1\nbundles: []\n", []string{"line 1: grants: is missing"}},
		"two documents":   {"version: 1\ngrants: []\n---\nversion: 1\ngrants: []\n", []string{"line 3: a second document"}},
		"broken after it": {"version: 1\ngrants: []\n---\na: [\n", []string{"this is not YAML"}},
		"an alias":        {"version: 1\ngrants:\n  - &a {effect: allow, tools: [x], scope: workspace, justification: x}\n  - *a\n", []string{"line 3: anchors", "line 4: anchors"}},
		"merged keys":     {"version: 1\ngrants:\n  - <<: {effect: allow}\n    tools: [x]\n    scope: workspace\n    justification: x\n", []string{"line 3: <<: a grant has no such field"}},
		"no mappings":     {"version: 1\nbundles: [7]\ngrants: [post]\n", []string{"line 2: a bundle must have", "line 3: a grant must have"}},
		"wrong types": {`version: 1.0
bundles:
  - name: docs
    tools: wiki.*
  - name: docs
    tools: [wiki.*]
grants:
  - effect: ask
    tools: [post, ~]
    bundle:
    scope: [workspace]
    who: {user: U0BEN}
    args:
      - name: amount
        max: many
      - name: amount
        one_of: 5
    rate: 1.9
    rate_window: 60
    count: "5"
    ttl: a day
    expires_at: soon
    justification: ~
  - effect: allow
    bundle: docs
    args: amount
    scope: workspace
    justification: 2026
`, []string{"line 1: version: must be a whole number", "line 4: tools: must be a list", "line 5: name: the bundle docs is there already, in line 3",
			"line 9: tools: must be a list", "line 10: bundle: must be a text", "line 11: scope: must be a text", "line 12: who: must be a list", "line 15: max: must be a number",
			"line 17: one_of: must be a list", "line 18: rate: must be a whole number", "line 19: rate_window: must be a duration", "line 20: count: must be a whole number",
			"line 21: ttl: must be a duration", "line 22: expires_at: must be a time", "line 23: justification: must be a text", "line 26: args: must be a list"}},
		"wrong values alone": {`version: 1
grants:
  - effect: maybe
    tools: [post]
    scope: nowhere
    justification: x
  - effect: allow
    tools: [post]
    scope: workspace
    justification: ""
`, []string{"line 3: effect", "line 5: scope", "line 10: justification"}},
	} {
		_, err := ParseState([]byte(c.text), d.db.Now())
		var refused *StateError
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v; want it refused", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the refusal does not say %q:\n%v", name, want, err)
			}
		}
		if name == "wrong types" && len(refused.Problems) != len(c.want) {
			t.Errorf("%s: want one problem a field:\n%v", name, err)
		}
		if !slices.IsSortedFunc(refused.Problems, func(a, b Problem) int { return a.Line - b.Line }) {
			t.Errorf("%s: the problems are not by line", name)
		}
	}
}

func TestAPlanHoldsOnlyWhileNothingChanges(t *testing.T) {
	t.Parallel()
	d, ctx := newDesk(t), t.Context()
	if err := d.e.Ensure(ctx, team, []BuiltinTool{{"post", "slack", "write", false}}); err != nil {
		t.Fatal(err)
	}
	state, err := Export(ctx, d.e, team)
	if err != nil {
		t.Fatal(err)
	}
	state.Grants = append(state.Grants, Grant{Effect: Ask, Tools: []string{"react"}, Scope: "workspace", Justification: "looks first"})
	plan, err := MakePlan(ctx, d.e, team, state)
	if err != nil || len(plan.Add) != 1 || !strings.Contains(plan.Text(), "+   effect: ask") || !strings.Contains(plan.Text(), "1 to add, 0 to change, 0 to remove") {
		t.Fatalf("%v\n%s", err, plan.Text())
	}
	if _, err := d.e.Revoke(ctx, team, "builtin-post", "U0ADA", "meanwhile"); err != nil {
		t.Fatal(err)
	}
	if err := Apply(ctx, d.e, "cli:ada", plan); !errors.Is(err, ErrChanged) {
		t.Fatalf("Apply = %v; want ErrChanged", err)
	}
	if all, err := d.e.List(ctx, team, false); err != nil || len(all) != 0 {
		t.Errorf("grants %v, %v; want none", all, err)
	}
	// A change is the old taken back and the new granted, in one.
	state.Grants = state.Grants[1:]
	if plan, err = MakePlan(ctx, d.e, team, state); err != nil {
		t.Fatal(err)
	}
	if err := Apply(ctx, d.e, "cli:ada", plan); err != nil {
		t.Fatal(err)
	}
	if state, err = Export(ctx, d.e, team); err != nil {
		t.Fatal(err)
	}
	state.Grants[0].Effect = Allow
	if plan, err = MakePlan(ctx, d.e, team, state); err != nil || len(plan.Change) != 1 || !strings.Contains(plan.Text(), `~   effect: "ask" → "allow"`) {
		t.Fatalf("%v\n%s", err, plan.Text())
	}
	if err := Apply(ctx, d.e, "cli:ada", plan); err != nil {
		t.Fatal(err)
	}
	all, err := d.e.List(ctx, team, true)
	if err != nil || len(all) != 3 {
		t.Fatalf("grants %v, %v", all, err)
	}
	if plan, err = MakePlan(ctx, d.e, team, state); err != nil || !plan.Empty() {
		t.Errorf("the same file again: %v\n%s", err, plan.Text())
	}
}

// The example of docs/access.md is one that this program reads.
func TestTheExampleOfTheDocsIsRead(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "```yaml\n")
	example, _, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatal("docs/access.md has no example")
	}
	s, err := ParseState([]byte(example), newDesk(t).db.Now())
	if err != nil || len(s.Grants) != 2 || len(s.Bundles) != 1 {
		t.Errorf("ParseState = %+v, %v", s, err)
	}
}

// strange are texts that a file could lose or change.
var strange = []string{"", "x", " x ", "x\n", "\nx", "\n\n  x\n y\n\n", "x: y", "- x", "# x", "yes", "null", "~", "1", "1e3", "0x10", "1.0", "<<", "=", "*x", "&x", "!x", "!!binary eA==", "'", "\"", "\\n",
	"2026-12-31", "\t", "x\ty", "x\u0085y", "x\u2028y", "\ufeffx", "\a", "\x1b[31m", "\u202e", "\U0001f600", "日本", "---", "...", "%x", "@x", "`x`", "{x", "[x]", ",", "?", "|", ">", strings.Repeat("long ", 60), "x \ny", "\r\n", " \n"}

// Whatever a field says, it is the same after it was written and read; and a plan
// between two grants names every field in which they differ, and only those.
func TestEveryFieldSurvivesTheFile(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	kinds := map[string]int{}
	for range 1500 {
		a, b := strangeGrant(r), strangeGrant(r)
		s := State{Version: stateVersion, Bundles: []Bundle{{Name: "docs", Instructions: pick(r, strange...), Tools: []string{"wiki.*"}, Scopes: []string{a.Scope}}}, Grants: []Grant{a, b}}
		text, err := s.YAML()
		if err != nil {
			t.Fatal(err)
		}
		read, err := ParseState(text, start)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		if !reflect.DeepEqual(read, s) {
			t.Fatalf("seed %d: read %#v\nwant %#v\n%s", seed, read, s, text)
		}
		again, err := read.YAML()
		if err != nil || string(again) != string(text) {
			t.Fatalf("seed %d: written again it is another file: %v\n%s\n%s", seed, err, text, again)
		}
		if p := compareStates(s, read); !p.Empty() {
			t.Fatalf("seed %d: %s", seed, p.Text())
		}
		a.ID, b.ID = "g_1", "g_1"
		p := compareStates(State{Grants: []Grant{a}}, State{Grants: []Grant{b}})
		var named []string
		for _, c := range p.Change {
			for _, f := range c.Fields {
				named = append(named, f.Field)
				kinds[f.Field]++
				if line := "~   " + f.Field + ": "; !strings.Contains(p.Text(), line) {
					t.Fatalf("seed %d: the plan does not show %q:\n%s", seed, line, p.Text())
				}
			}
		}
		if want := differingFields(a, b); !slices.Equal(named, want) {
			t.Fatalf("seed %d: the plan names %v, want %v:\n%+v\n%+v", seed, named, want, a, b)
		}
		if i := strings.IndexFunc(p.Text(), func(c rune) bool { return c != '\n' && (c < ' ' || c == 0x7f || c == 0x85 || c == 0x202e) }); i >= 0 {
			t.Fatalf("seed %d: the plan holds what steers a terminal: %q", seed, p.Text()[i:])
		}
	}
	if len(kinds) != 18 {
		t.Errorf("%d fields of a grant were tried, want 18: %v", len(kinds), kinds)
	}
}

func differingFields(a, b Grant) []string {
	var out []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"effect", a.Effect == b.Effect}, {"tools", slices.Equal(a.Tools, b.Tools)}, {"bundle", a.Bundle == b.Bundle}, {"scope", a.Scope == b.Scope},
		{"thread", a.Thread == b.Thread}, {"duty", a.Duty == b.Duty}, {"who", reflect.DeepEqual(asks1(a), asks1(b))}, {"args", reflect.DeepEqual(a.Args, b.Args)}, {"hours", a.Hours == b.Hours},
		{"rate", a.Rate == b.Rate}, {"rate_window", a.RateWindow == b.RateWindow}, {"count", a.Count == b.Count}, {"approvers", slices.Equal(a.Approvers, b.Approvers)},
		{"quorum", a.Quorum == b.Quorum}, {"ttl", a.TTL == b.TTL}, {"expires_at", a.ExpiresAt.Equal(b.ExpiresAt)}, {"justification", a.Justification == b.Justification},
		{"long_why", a.LongWhy == b.LongWhy},
	} {
		if !f.same {
			out = append(out, f.name)
		}
	}
	return out
}

// asks1 is who may ask, in full.
func asks1(g Grant) []string {
	if len(g.Who) == 0 && g.Effect != Deny {
		return []string{Members}
	}
	return append([]string{}, g.Who...)
}

func strangeGrant(r *rand.Rand) Grant {
	g := randomGrant(r, r.IntN(900))
	g.ID = fmt.Sprintf("g_%d", r.Uint64())
	g.Args = nil
	text := func() string { return pick(r, strange...) }
	for maybe(r, 50) {
		value := text()
		rule := pick(r, ArgRule{Equals: &value}, ArgRule{OneOf: []string{text(), text()}}, ArgRule{Prefix: "p" + text()}, ArgRule{Min: num(r.NormFloat64())},
			ArgRule{Max: num(0)}, ArgRule{Min: num(-1e300), Max: num(float64(r.IntN(1e9)))}, ArgRule{Host: "*.example.com"})
		rule.Name = "a" + strings.ReplaceAll(cut(text()), ".", "")
		g.Args = append(g.Args, rule)
	}
	if maybe(r, 20) {
		g.Tools, g.Bundle = nil, "docs"
	}
	g.Justification = "so" + text()
	if maybe(r, 30) {
		g.LongWhy = text()
	}
	return g
}

// A grant that has ended is in no file, and does not keep its bundle alive.
func TestABundleGoesThoughAGrantThatEndedNamesIt(t *testing.T) {
	t.Parallel()
	d, ctx := newDesk(t), t.Context()
	if _, err := d.e.PutBundle(ctx, "U0ADA", Bundle{Name: "docs", Workspace: team, Tools: []string{"wiki.*"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.e.Grant(ctx, "U0ADA", Grant{Workspace: team, Effect: Allow, Bundle: "docs", Scope: "workspace", ExpiresAt: d.db.Now().Add(time.Hour), Justification: "an hour"}); err != nil {
		t.Fatal(err)
	}
	d.now.Add((2 * time.Hour).Microseconds())
	plan, err := MakePlan(ctx, d.e, team, State{Version: stateVersion})
	if err != nil || len(plan.DeleteBundles) != 1 || len(plan.Remove) != 0 {
		t.Fatalf("%v\n%s", err, plan.Text())
	}
	if err := Apply(ctx, d.e, "cli:ada", plan); err != nil {
		t.Fatal(err)
	}
	if got := d.e.Decide(ctx, ask()); got.Policies[0] != idNoGrant {
		t.Errorf("a decision afterwards: %+v", got)
	}
}

// What an apply cannot do whole it does not do at all.
func TestAnApplyThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	d, ctx := newDesk(t), t.Context()
	was, err := d.e.Grant(ctx, "U0ADA", Grant{Workspace: team, Effect: Allow, Tools: []string{"x"}, Scope: "workspace", Justification: "old"})
	if err != nil {
		t.Fatal(err)
	}
	state := State{Version: stateVersion, Bundles: []Bundle{{Name: "docs", Tools: []string{"wiki.*"}}},
		Grants: []Grant{g("1", Allow, tools("y")), g("2", Allow, tools("z"), func(g *Grant) { g.Bundle, g.Tools = "gone", nil })}}
	plan, err := MakePlan(ctx, d.e, team, state)
	if err != nil {
		t.Fatal(err)
	}
	var invalid *InvalidError
	if err := Apply(ctx, d.e, "cli:ada", plan); !errors.As(err, &invalid) {
		t.Fatalf("Apply = %v; want a grant refused", err)
	}
	all, err := d.e.List(ctx, team, true)
	if err != nil || len(all) != 1 || all[0].ID != was.ID || !all[0].RevokedAt.IsZero() {
		t.Errorf("grants %+v, %v; want the old one only", all, err)
	}
	if b, err := d.e.Bundles(ctx, team); err != nil || len(b) != 0 {
		t.Errorf("bundles %v, %v; want none", b, err)
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte("version: 1\ngrants: []\n"))
	f.Add([]byte("version: 1\nbundles:\n  - name: d\n    tools: [w.*]\ngrants:\n  - effect: allow\n    bundle: d\n    scope: workspace\n    args: [{name: a, max: 1}]\n    expires_at: 2026-03-09\n    justification: x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseState(text, start)
		if err != nil {
			var refused *StateError
			if !errors.As(err, &refused) || len(refused.Problems) == 0 {
				t.Fatalf("refused without a problem: %v", err)
			}
			for _, p := range refused.Problems {
				if p.Line < 1 || p.Text == "" {
					t.Fatalf("a problem without line or text: %+v", p)
				}
			}
			return
		}
		out, err := s.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseState(out, start)
		if err != nil {
			t.Fatalf("what was read is refused when written: %v\n%s", err, out)
		}
		if p := compareStates(s, again); !p.Empty() {
			t.Fatalf("what was written is not what was read:\n%s", p.Text())
		}
	})
}
