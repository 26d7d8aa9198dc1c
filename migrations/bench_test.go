package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const insertItem = `INSERT INTO items (key, n, body) VALUES ($1, $2, $3)`

var body = "a message of a usual length, some hundred characters, as people write them to a colleague in Slack"

// BenchmarkWrite has 64 callers write one row each at a time, every one of them
// waiting until it is on disk, and compares with the plain way, one transaction
// and one wait for the disk per write, on the same schema in the same run.
func BenchmarkWrite(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			plain := plainWrites(b, callers, 300*time.Millisecond)
			db := withItems(b)
			before := db.Stats()
			var took latencies
			b.ResetTimer()
			start := time.Now()
			parallel(callers, b.N, func(i int) {
				t := time.Now()
				if err := db.Write(context.Background(), func(tx *Tx) error {
					_, err := tx.Exec(insertItem, i, i, body)
					return err
				}); err != nil {
					b.Error(err)
				}
				took.add(time.Since(t))
			})
			b.StopTimer()
			rate := float64(b.N) / time.Since(start).Seconds()
			after := db.Stats()
			b.ReportMetric(rate, "writes/s")
			b.ReportMetric(rate/plain, "x-unbatched")
			b.ReportMetric(plain, "unbatched/s")
			b.ReportMetric(float64(b.N)/float64(after.Commits-before.Commits), "writes/commit")
			took.report(b)
		})
	}
}

// plainWrites is the peer: database/sql as it comes, one transaction per write.
func plainWrites(b *testing.B, callers int, d time.Duration) (perSecond float64) {
	path := filepath.Join(b.TempDir(), "plain.db")
	pool, err := sql.Open("sqlite3", writerDSN(path))
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1) // more only wait for each other inside SQLite, which is slower
	if _, err := pool.Exec(`CREATE TABLE items (key TEXT PRIMARY KEY, n BIGINT NOT NULL, body TEXT NOT NULL DEFAULT '')`); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	start := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for time.Since(start) < d {
				i := n.Add(1)
				tx, err := pool.Begin()
				if err != nil {
					b.Error(err)
					return
				}
				if _, err := tx.Exec(insertItem, i, i, body); err != nil {
					b.Error(err)
				}
				if err := tx.Commit(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	b.Run("new", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			benchOpen(b, filepath.Join(dir, NewID("new")))
		}
	})
	b.Run("existing", func(b *testing.B) {
		path := filepath.Join(dir, "existing.db")
		benchOpen(b, path)
		for b.Loop() {
			benchOpen(b, path)
		}
	})
}

func benchOpen(b *testing.B, path string) {
	db, err := Open(context.Background(), "sqlite:"+path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
}

// parallel calls f with 0 … n-1 from so many goroutines.
func parallel(callers, n int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	all.Wait()
}

type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	l.all = append(l.all, d)
	l.mu.Unlock()
}

func (l *latencies) report(b *testing.B) {
	slices.Sort(l.all)
	at := func(q float64) float64 { return float64(l.all[int(q*float64(len(l.all)-1))].Microseconds()) / 1000 }
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
}
