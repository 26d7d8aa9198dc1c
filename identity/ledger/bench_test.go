package ledger

import (
	"context"
	"fmt"
	"testing"
	"time"

	"deskmate/migrations"
)

func BenchmarkAppend(b *testing.B) {
	db := openStore(b)
	l := New(db, keysOf(b, 'k'), Options{})
	run := func(b *testing.B, entry bool) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				err := db.Write(context.Background(), func(tx *migrations.Tx) error {
					if !entry {
						_, err := tx.Exec(`INSERT INTO ledger_payloads (workspace, seq, name, body) VALUES ('peer', (SELECT COALESCE(MAX(seq), 0) + 1 FROM ledger_payloads WHERE workspace = 'peer'), 'args', $1)`, `{"text":"hello"}`)
						return err
					}
					_, err := l.Append(tx, Record{Workspace: ws, Kind: "note.remembered", Actor: "U0AGENT", Tool: "post", Payload: map[string]string{"args": `{"text":"hello"}`}})
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.Run("entry", func(b *testing.B) { run(b, true) })
	b.Run("peer=one-bare-row", func(b *testing.B) { run(b, false) })
}

// A ledger as the gate writes it: two entries and a row for each action.
func BenchmarkVerify(b *testing.B) {
	db := openStore(b)
	l := New(db, keysOf(b, 'k'), Options{})
	const n = 50_000
	err := db.Write(context.Background(), func(tx *migrations.Tx) error {
		for i := range n / 2 {
			if err := writeAction(tx, l, fmt.Sprintf("turn:t%d:c1", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for b.Loop() {
		if r := mustVerify(b, l); !r.OK() || r.Entries != n || r.Actions != n/2 {
			b.Fatalf("report = %+v", r)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/time.Since(began).Seconds(), "entries/s")
}
