package memory

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/migrations"
)

// vocabulary is made-up words whose frequency falls as in natural language
// (Zipf), so that queries meet common and rare ones.
func vocabulary(r *rand.Rand) func() string {
	syllables := strings.Fields("ba co du fe gi ho ju ka lo mi nu pe ra so tu ve wi xa yo ze")
	words := make([]string, 30000)
	for i := range words {
		for range 2 + r.IntN(3) {
			words[i] += pick(r, syllables)
		}
	}
	return func() string { return words[int(math.Pow(float64(len(words)), r.Float64()))-1] }
}

const (
	benchMessages = 1_000_000
	benchChannels = 500
)

// benchWorld has a million messages of 12 words on average in 500 channels, half of
// them public, in threads of ten.
func benchWorld(b *testing.B, r *rand.Rand, word func() string) *world {
	w := newWorld(b)
	kinds := []string{ChannelPublic, ChannelPrivate}
	for i := range benchChannels {
		w.channel(fmt.Sprintf("C%04d", i), kinds[i%2])
	}
	began := time.Now()
	for n := 0; n < benchMessages; n += 1000 {
		w.write(func(tx *migrations.Tx) error {
			for i := n; i < n+1000; i++ {
				var text strings.Builder
				for range 4 + r.IntN(17) {
					text.WriteString(word() + " ")
				}
				thread := i / 10
				if err := w.Observe(tx, Message{Workspace: team, Channel: fmt.Sprintf("C%04d", thread%benchChannels), Thread: fmt.Sprintf("%d.000000", 1700000000+thread*600),
					TS: fmt.Sprintf("%d.%06d", 1700000000+thread*600+i%10, i%10), Author: pick(r, []string{ada, ben, chloe}), Text: text.String()}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.ReportMetric(float64(time.Since(began).Microseconds())/benchMessages, "µs/write")
	return w
}

// BenchmarkSearch compares Search with what a table without an index costs: one
// scan with LIKE for each word, over the same rows and scope, without any ranking.
func BenchmarkSearch(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	word := vocabulary(r)
	w := benchWorld(b, r, word)
	p := in("C0000", ChannelPublic, ada)
	ctx := context.Background()
	queries := make([]string, 500)
	for i := range queries {
		queries[i] = strings.Join([]string{"what about the", word(), word(), "and", word(), word(), "?"}, " ")
	}
	for _, peer := range []struct {
		name string
		find func(query string) error
	}{
		{"search", func(query string) error {
			_, err := w.Search(ctx, p, query, 20)
			return err
		}},
		{"like", func(query string) error { return likeScan(ctx, w, p, query) }},
	} {
		b.Run(peer.name, func(b *testing.B) {
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				began := time.Now()
				if err := peer.find(queries[i%len(queries)]); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
			b.ReportMetric(at(0.50), "p50-ms")
			b.ReportMetric(at(0.95), "p95-ms")
		})
	}
}

func likeScan(ctx context.Context, w *world, p Place, query string) error {
	var likes []string
	var args []any
	for _, t := range parse(query).terms {
		args = append(args, "%"+t.words[0]+"%")
		likes = append(likes, fmt.Sprintf("m.text LIKE $%d", len(args)+6))
	}
	rows, err := w.db.Query(ctx, reachSQL+`SELECT m.id FROM reach, messages m WHERE `+messageInReach+` AND (`+strings.Join(likes, " OR ")+`) ORDER BY m.said_at DESC LIMIT 20`,
		p.args(w.now, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
