package memory

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
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

const benchChannels = 500

// benchWorld has a million messages of 12 words on average in 500 channels, half of
// them public, in threads of ten; with -short five thousand.
func benchWorld(b *testing.B, r *rand.Rand, word func() string) *world {
	benchMessages := 1_000_000
	if testing.Short() {
		benchMessages = 5_000
	}
	w := newWorld(b)
	kinds := []string{ChannelPublic, ChannelPrivate}
	for i := range benchChannels {
		w.channel(fmt.Sprintf("C%04d", i), kinds[i%2])
	}
	w.person("U0NOOR", "Noor", "Noor Haddad", KindMember)
	began := time.Now()
	for n := 0; n < benchMessages; n += 1000 {
		w.write(func(tx *migrations.Tx) error {
			for i := n; i < n+1000; i++ {
				var text strings.Builder
				for range 4 + r.IntN(17) {
					text.WriteString(word() + " ")
				}
				thread := i / 10
				author := pick(r, []string{ada, ben, chloe})
				if c := thread % benchChannels; c%2 == 0 && c < 2*nearPlaces && i%10 == 3 {
					author = "U0NOOR"
				}
				if err := w.Observe(tx, Message{Workspace: team, Channel: fmt.Sprintf("C%04d", thread%benchChannels), Thread: fmt.Sprintf("%d.000000", 1700000000+thread*600),
					TS: fmt.Sprintf("%d.%06d", 1700000000+thread*600+i%10, i%10), Author: author, Text: text.String()}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.Logf("loaded %d messages at %.0f µs each, a thousand to a commit", benchMessages, float64(time.Since(began).Microseconds())/float64(benchMessages))
	return w
}

// BenchmarkSearch compares Search with the index alone: the same words, in the
// order of BM25, over everybody's messages, with no scope, no names, nothing
// around them and no further order. write is one message in a commit of its own.
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
	n := 0
	for _, side := range []struct {
		name string
		do   func(i int) error
	}{
		{"search", func(i int) error {
			_, err := w.Search(ctx, p, queries[i%len(queries)], 20)
			return err
		}},
		{"search-for-a-person", func(i int) error { // who wrote a third of all, everywhere
			_, err := w.Search(ctx, p, "what did Ada say: "+queries[i%len(queries)], 20)
			return err
		}},
		{"search-for-a-person-of-few-channels", func(i int) error { // as many of them as are looked at, with all that others say there
			_, err := w.Search(ctx, p, "what did Noor say: "+queries[i%len(queries)], 20)
			return err
		}},
		{"peer=index-alone", func(i int) error { return indexAlone(ctx, w, queries[i%len(queries)]) }},
		{"write", func(i int) error {
			n++
			return w.db.Write(ctx, func(tx *migrations.Tx) error {
				return w.Observe(tx, Message{Workspace: team, Channel: "C0000", TS: fmt.Sprintf("1800000000.%06d", n), Author: ada, Text: queries[i%len(queries)]})
			})
		}},
	} {
		b.Run(side.name, func(b *testing.B) {
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				began := time.Now()
				if err := side.do(i); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
			b.ReportMetric(at(0.50), "p50-ms")
			b.ReportMetric(at(0.95), "p95-ms")
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			b.ReportMetric(float64(mem.HeapInuse)/(1<<20), "heap-MB")
		})
	}
}

func indexAlone(ctx context.Context, w *world, query string) error {
	rows, err := w.db.Query(ctx, `SELECT rowid FROM memory_index WHERE memory_index MATCH $1 ORDER BY bm25(memory_index) LIMIT 20`, parse(query).match())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
