package task

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkWakeToStart is the time from a call of Write that stores a wake until
// the key's handler runs: two waits for the disk, one for the wake and one for
// the claim.
func BenchmarkWakeToStart(b *testing.B) {
	db := open(b, time.Now)
	began := make(chan time.Time, 1)
	r := NewRunner(db, Options{})
	r.Handle("k", 4, func(context.Context, *Lease) (Result, error) {
		began <- time.Now()
		return Result{}, nil
	})
	launch(b, r)
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		t := time.Now()
		wake(b, db, Waking{Workspace: "T1", Kind: "k", Key: fmt.Sprint("key", i)})
		took = append(took, (<-began).Sub(t))
	}
	b.StopTimer()
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
}

// BenchmarkTasks is how many keys are woken, claimed, worked by an empty handler
// and finished, all durably, with 64 callers that wake and 32 workers.
func BenchmarkTasks(b *testing.B) {
	db := open(b, time.Now)
	var done atomic.Int64
	finished := make(chan struct{})
	r := NewRunner(db, Options{})
	r.Handle("k", 32, func(context.Context, *Lease) (Result, error) {
		if done.Add(1) == int64(b.N) {
			close(finished)
		}
		return Result{}, nil
	})
	launch(b, r)
	b.ResetTimer()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				wake(b, db, Waking{Workspace: fmt.Sprint("T", i%5), Kind: "k", Key: fmt.Sprint("key", i)})
			}
		})
	}
	all.Wait()
	<-finished
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// BenchmarkBacklog claims and finishes, 32 keys at a time, with 20,000 more
// waiting.
func BenchmarkBacklog(b *testing.B) {
	c := newClock()
	db := open(b, c.Now)
	const waiting, spaces, batch = 20_000, 4, 32
	o := start(b, db, "me")
	for s := range spaces {
		due(b, db, c, fmt.Sprint("T", s), waiting/spaces)
	}
	b.ResetTimer()
	for b.Loop() {
		leases := mustClaim(b, db, o, "k", batch)
		if len(leases) != batch {
			b.Fatalf("claimed %d, want %d", len(leases), batch)
		}
		for _, l := range leases {
			if err := finish(context.Background(), db, l, ending{again: c.Now()}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "tasks/s")
}
