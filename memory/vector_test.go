package memory

import (
	"context"
	"fmt"
	"hash/fnv"
	"testing"
)

// poor is an embedder whose vectors say next to nothing: of every word only its
// first letter counts.
type poor struct{}

func (poor) Model() string { return "poor" }

func (poor) Embed(_ context.Context, all []string) ([][]float32, error) {
	out := make([][]float32, len(all))
	for i, text := range all {
		out[i] = make([]float32, 8)
		for _, w := range words(text) {
			h := fnv.New32a()
			h.Write([]byte(w.text[:1])) // a hash never fails
			out[i][h.Sum32()%8]++
		}
	}
	return out, nil
}

// With vectors that say nothing, what is found by words is still found.
func TestPoorVectorsTakeNothingAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := in(general, ChannelPublic, chloe)
	things := []string{"gateway", "backup", "canteen", "printer", "invoice", "badge", "runbook", "cluster", "firewall", "license", "roadmap", "payroll"}
	places := []string{"Oslo", "Lisbon", "Quito", "Dakar", "Perth", "Osaka", "Turin", "Leeds", "Zagreb", "Bergen", "Cadiz", "Tampa"}
	want := map[string]string{}
	for i, thing := range things {
		fact := fmt.Sprintf("The %s is looked after in %s since last spring.", thing, places[i])
		w.say(general, "", ada, fact)
		for n := range 20 {
			w.say(general, "", ben, fmt.Sprintf("Talk number %d about the weather in %s, the traffic and the news of the day.", 20*i+n, places[(i+n)%12]))
		}
		want["where is the "+thing+" looked after?"] = fact
	}
	rank := func() (at10 int, mrr float64) {
		for q, fact := range want {
			hits, err := w.Search(context.Background(), p, q, 10)
			if err != nil {
				t.Fatal(err)
			}
			for i, h := range hits {
				if h.Text == fact {
					at10++
					mrr += 1 / float64(i+1) / float64(len(want))
				}
			}
		}
		return at10, mrr
	}
	at10, mrr := rank()
	w.Embed(poor{})
	for {
		n, err := w.FillVectors(context.Background(), team, 64)
		if err != nil {
			t.Fatal(err)
		}
		if n < 64 {
			break
		}
	}
	with10, withMRR := rank()
	t.Logf("found %d of %d, MRR %.2f; with poor vectors %d, %.2f", at10, len(want), mrr, with10, withMRR)
	if with10 < at10 || withMRR < mrr-0.01 {
		t.Errorf("poor vectors took something away: %d, %.2f; without %d, %.2f", with10, withMRR, at10, mrr)
	}
}
