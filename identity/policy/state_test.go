package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
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
`, []string{"line 2: grant: the file has no such field", "line 5: tools: name at least one", "line 7: effect", "line 9: scope", "line 11: colour: grant has no such field", "line 14: tools: is there twice",
			"line 21:", "line 29: most: a rule of args has no such field", "the bundle none is not in the file", "line 31: long_why"}},
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
	if plan, err = MakePlan(ctx, d.e, team, state); err != nil || len(plan.Change) != 1 || !strings.Contains(plan.Text(), "-   effect: ask") || !strings.Contains(plan.Text(), "+   effect: allow") {
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
