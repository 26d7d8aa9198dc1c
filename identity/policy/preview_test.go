package policy

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// What a preview says of a plan is what is decided once it was applied, and
// looking changes nothing.
func TestAPreviewTellsWhatIsDecidedAfterwards(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r, ctx := rand.New(rand.NewPCG(seed, 3)), t.Context()
	d := newDesk(t)
	shifted := map[string]int{}
	for i := range 150 {
		workspace, other := "T"+string(rune('A'+i%26))+time.Duration(i).String(), "O"+time.Duration(i).String()
		fill(t, d, r, workspace)
		fill(t, d, r, other)
		if _, err := d.e.PutBundle(ctx, "U0ADA", Bundle{Name: "docs", Workspace: other, Tools: []string{pick(r, "x", "y", "crm.*")}}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.e.Grant(ctx, "U0ADA", Grant{Workspace: other, Effect: Ask, Bundle: "docs", Scope: "workspace", Justification: "bundled"}); err != nil {
			t.Fatal(err)
		}
		state, err := Export(ctx, d.e, other)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := MakePlan(ctx, d.e, workspace, state)
		if err != nil {
			t.Fatal(err)
		}
		var requests []Request
		for range 20 {
			q, _ := randomRequest(r, workspace)
			q.At = d.db.Now()
			requests = append(requests, q)
		}
		var before []Decision
		for _, q := range requests {
			before = append(before, d.e.Decide(ctx, q))
		}
		shifts, err := d.e.Preview(ctx, plan, requests)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i, q := range requests {
			if again := d.e.Decide(ctx, q); !reflect.DeepEqual(again, before[i]) {
				t.Fatalf("seed %d: the preview changed a decision from %+v to %+v", seed, before[i], again)
			}
		}
		if err := Apply(ctx, d.e, "cli:ada", plan); err != nil {
			t.Fatal(err)
		}
		for i, q := range requests {
			after := d.e.Decide(ctx, q)
			differs := after.Verdict != before[i].Verdict || after.Quorum != before[i].Quorum || after.TTL != before[i].TTL || !reflect.DeepEqual(after.Approvers, before[i].Approvers)
			if !differs {
				continue
			}
			if len(shifts) == 0 || !reflect.DeepEqual(shifts[0].Request, q) {
				t.Fatalf("seed %d: the preview left out %+v: %+v, then %+v", seed, q, before[i], after)
			}
			got := shifts[0]
			shifts = shifts[1:]
			// Of several asks that are as strict the first id wins, and ids are given out by chance.
			if got.Was.Verdict != before[i].Verdict || got.Now.Verdict != after.Verdict || got.Now.Quorum != after.Quorum || got.Now.TTL != after.TTL || len(got.Now.Approvers) != len(after.Approvers) {
				t.Fatalf("seed %d: %+v was previewed as %+v, and became %+v", seed, q, got.Now, after)
			}
			shifted[before[i].Verdict+" "+after.Verdict]++
		}
		for _, left := range shifts {
			t.Fatalf("seed %d: %+v was previewed as changed and was not", seed, left)
		}
	}
	t.Logf("shifts: %v", shifted)
	for _, kind := range []string{"allow deny", "deny allow", "deny ask", "ask allow"} {
		if shifted[kind] == 0 {
			t.Errorf("no decision went from %s: the plans do not try it", kind)
		}
	}
}
