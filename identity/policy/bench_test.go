package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"deskmate/migrations"
)

// a thousand grants for two hundred tools of twenty connections, with every kind
// of condition; some are for whole connections, some for everything.
func thousand(b *testing.B) *desk {
	b.Helper()
	d := newDesk(b)
	r := rand.New(rand.NewPCG(1, 2))
	err := d.db.Write(b.Context(), func(tx *migrations.Tx) error {
		for i := range 1000 {
			g := randomGrant(r, i)
			g.Workspace, g.ExpiresAt = team, time.Time{}
			switch c := i % 20; {
			case i%100 == 0:
				g.Tools = []string{"*"}
			case i%10 == 0:
				g.Tools = []string{fmt.Sprintf("c%d.*", c)}
			default:
				g.Tools = []string{fmt.Sprintf("c%d.t%d", c, i/20%10)}
			}
			if g.Effect == Deny { // else hardly anything is allowed
				g.Scope, g.Thread = "kind:mpim", ""
			}
			if _, err := d.e.GrantTx(tx, "U0ADA", g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return d
}

func benchRequest(r *rand.Rand) Request {
	c := r.IntN(20)
	q, _ := randomRequest(r, team)
	q.Tool, q.Connection, q.At, q.TargetMember = fmt.Sprintf("c%d.t%d", c, r.IntN(10)), fmt.Sprintf("c%d", c), time.Time{}, true
	return q
}

func percentile(took []time.Duration, p float64) float64 {
	slices.Sort(took)
	return float64(took[int(math.Ceil(p*float64(len(took))))-1]) / float64(time.Millisecond)
}

// BenchmarkDecide1000 is a whole decision among a thousand grants: reading the
// version and the limits from SQLite, collecting facts, Cedar, reasons. Its peer
// is cedar-go alone over the whole set, with the facts at hand.
func BenchmarkDecide1000(b *testing.B) {
	d := thousand(b)
	r := rand.New(rand.NewPCG(3, 4))
	requests := make([]Request, 5000)
	for i := range requests {
		requests[i] = benchRequest(r)
	}
	report := func(b *testing.B, took []time.Duration) {
		b.ReportMetric(percentile(took, 0.5), "p50-ms")
		b.ReportMetric(percentile(took, 0.99), "p99-ms")
	}
	b.Run("deskmate", func(b *testing.B) {
		for _, q := range requests[:500] {
			if got := d.e.Decide(b.Context(), q); got.Policies[0] == idError {
				b.Fatal(got)
			}
		}
		var took []time.Duration
		for i := 0; b.Loop(); i++ {
			from := time.Now()
			d.e.Decide(b.Context(), requests[i%len(requests)])
			took = append(took, time.Since(from))
		}
		report(b, took)
	})
	b.Run("peer=cedar-go-whole-set", func(b *testing.B) {
		s, err := d.e.current(b.Context(), team)
		if err != nil {
			b.Fatal(err)
		}
		whole := cedar.NewPolicySet()
		for _, c := range slices.Concat(s.fixed, s.grants) {
			whole.Add(types.PolicyID(c.id), c.policy)
		}
		type ready struct {
			t *toolSet
			q *query
		}
		var all []ready
		for _, q := range requests[:500] {
			q, err := tidy(q, start)
			if err != nil {
				b.Fatal(err)
			}
			t, err := s.tool(q.Tool, q.Connection)
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, ready{t, t.ask(q)})
		}
		var took []time.Duration
		for i := 0; b.Loop(); i++ {
			x := all[i%len(all)]
			from := time.Now()
			for _, action := range []types.EntityUID{callAction, askAction} {
				if decision, why := cedar.Authorize(whole, x.t.entities, cedar.Request{Principal: types.NewEntityUID(typeAgent, "U0DESK"), Action: action,
					Resource: x.t.resource, Context: x.q.context}); decision == cedar.Allow || len(why.Reasons) > 0 {
					break
				}
			}
			took = append(took, time.Since(from))
		}
		report(b, took)
	})
	// The first decision after a change compiles what is new.
	b.Run("after-a-change", func(b *testing.B) {
		var took []time.Duration
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			d.grant(Grant{ID: fmt.Sprintf("g_new%d", i), Tools: []string{"c1.t1"}})
			b.StartTimer()
			from := time.Now()
			d.e.Decide(b.Context(), requests[i%len(requests)])
			took = append(took, time.Since(from))
		}
		report(b, took)
	})
}
