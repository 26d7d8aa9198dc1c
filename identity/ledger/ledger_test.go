package ledger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deskmate/migrations"
)

func openStore(t testing.TB) *migrations.DB {
	t.Helper()
	db, err := migrations.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "test.db"), migrations.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return db
}

func keysOf(t testing.TB, b byte) Keys {
	t.Helper()
	k, err := DeriveKeys([]byte(strings.Repeat(string(rune(b)), 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const ws = "T1"

func fill(t testing.TB, db *migrations.DB, l *Ledger, n int) {
	t.Helper()
	for i := range n {
		err := db.Write(context.Background(), func(tx *migrations.Tx) error {
			_, err := l.Append(tx, Record{
				Workspace: ws, Kind: "intent", Actor: "U0AGENT", Tool: "post", Action: fmt.Sprintf("a%d", i), Reasons: []string{"builtin"},
				Payload: map[string]string{"args": fmt.Sprintf(`{"text":"hello %d"}`, i), "result": "ok"},
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func mustVerify(t testing.TB, l *Ledger, anchored ...Checkpoint) Report {
	t.Helper()
	r, err := l.Verify(context.Background(), ws, anchored...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnUntouchedLedgerVerifies(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	anchor := filepath.Join(t.TempDir(), "anchor")
	l := New(db, keysOf(t, 'k'), Options{Anchor: anchor})
	for _, n := range []int{1, 2, 5, 9} {
		fill(t, db, l, n)
		if _, err := l.Checkpoint(context.Background(), ws); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(anchor)
	if err != nil {
		t.Fatal(err)
	}
	anchored, err := ParseAnchors(string(text), l.keys.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	if len(anchored) != 4 {
		t.Fatalf("the anchor file has %d checkpoints, want 4", len(anchored))
	}
	r := mustVerify(t, l, anchored...)
	if !r.OK() || r.Entries != 17 || r.Checkpoints != 8 {
		t.Errorf("report = %+v, want 17 entries, 8 agreeing checkpoints and no problems", r)
	}
	// A last anchor that a crash cut off does not spoil those before it.
	cut, err := ParseAnchors(string(text[:len(text)-20]), l.keys.Verifier())
	if err != nil || len(cut) != 3 {
		t.Errorf("a cut file gives %d checkpoints and %v, want 3 and no error", len(cut), err)
	}
}

func TestErasingATextKeepsTheProof(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	l := New(db, keysOf(t, 'k'), Options{})
	fill(t, db, l, 3)
	err := db.Write(context.Background(), func(tx *migrations.Tx) error {
		_, err := l.Erase(tx, ws, 1)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, l); !r.OK() || r.Erased != 2 {
		t.Errorf("report = %+v, want 2 erased texts and no problems", r)
	}
}

// Whatever is changed in any table of the ledger is found, given the last
// anchored checkpoint.
func TestEveryChangeIsFound(t *testing.T) {
	t.Parallel()
	const flip = `UPDATE %[1]s SET %[2]s = CAST(substr(%[2]s, 1, %[3]d) || CASE substr(%[2]s, %[3]d + 1, 1) WHEN '1' THEN '2' ELSE '1' END || substr(%[2]s, %[3]d + 2) AS TEXT) WHERE workspace = 'T1' AND seq = 4`
	changes := map[string][]string{
		"an entry is deleted at the start":   {`DELETE FROM ledger_entries WHERE seq = 0`},
		"an entry is deleted in the middle":  {`DELETE FROM ledger_entries WHERE seq = 5`},
		"an entry is deleted at the end":     {`DELETE FROM ledger_entries WHERE seq = 9`},
		"the end is cut off with its hashes": {`DELETE FROM ledger_entries WHERE seq >= 8`, `DELETE FROM ledger_payloads WHERE seq >= 8`, `DELETE FROM ledger_hashes WHERE n >= 15`, `UPDATE ledger_sizes SET size = 8`, `DELETE FROM ledger_checkpoints`},
		"everything is deleted":              {`DELETE FROM ledger_entries`, `DELETE FROM ledger_payloads`, `DELETE FROM ledger_hashes`, `DELETE FROM ledger_sizes`, `DELETE FROM ledger_checkpoints`},
		"two entries change places":          {`UPDATE ledger_entries SET seq = 100 WHERE seq = 3`, `UPDATE ledger_entries SET seq = 3 WHERE seq = 4`, `UPDATE ledger_entries SET seq = 4 WHERE seq = 100`},
		"an entry's time column is changed":  {`UPDATE ledger_entries SET at = at + 1 WHERE seq = 2`},
		"an entry's kind column is changed":  {`UPDATE ledger_entries SET kind = 'outcome' WHERE seq = 2`},
		"an entry's action is changed":       {`UPDATE ledger_entries SET action = 'other' WHERE seq = 2`},
		"an entry moves to a new workspace":  {`UPDATE ledger_entries SET workspace = 'T2' WHERE seq = 9`},
		"a leaf gets a field":                {`UPDATE ledger_entries SET leaf = replace(leaf, '"v":1,', '"v":1,"x":2,') WHERE seq = 6`},
		"a leaf gets a space":                {`UPDATE ledger_entries SET leaf = leaf || ' ' WHERE seq = 6`},
		"a text is changed":                  {`UPDATE ledger_payloads SET body = 'other' WHERE seq = 6 AND name = 'args'`},
		"a text is added":                    {`INSERT INTO ledger_payloads VALUES ('T1', 6, 'more', 'x')`},
		"a text is moved":                    {`UPDATE ledger_payloads SET seq = 77 WHERE seq = 6`},
		"texts are swapped by name":          {`UPDATE ledger_payloads SET name = CASE name WHEN 'args' THEN 'zz' ELSE 'args' END WHERE seq = 6`, `UPDATE ledger_payloads SET name = 'result' WHERE seq = 6 AND name = 'zz'`},
		"a hash is changed":                  {`UPDATE ledger_hashes SET hash = zeroblob(32) WHERE n = 7`},
		"a hash is deleted":                  {`DELETE FROM ledger_hashes WHERE n = 7`},
		"a hash is added":                    {`INSERT INTO ledger_hashes VALUES ('T1', 99, zeroblob(32))`},
		"the size is changed":                {`UPDATE ledger_sizes SET size = 9`},
		"a checkpoint is forged":             {`UPDATE ledger_checkpoints SET note = replace(note, '10', '11')`},
		"a checkpoint is moved":              {`UPDATE ledger_checkpoints SET size = 3`},
	}
	db := openStore(t)
	l := New(db, keysOf(t, 'k'), Options{})
	fill(t, db, l, 10)
	var length int
	if err := db.QueryRow(context.Background(), `SELECT length(leaf) FROM ledger_entries WHERE seq = 4`).Scan(&length); err != nil {
		t.Fatal(err)
	}
	for at := range length {
		changes[fmt.Sprintf("byte %d of a leaf is flipped", at)] = []string{fmt.Sprintf(flip, "ledger_entries", "leaf", at)}
	}
	anchored, err := l.Checkpoint(context.Background(), ws)
	if err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, l, anchored); !r.OK() {
		t.Fatalf("the ledger does not verify before any change: %v", r.Problems)
	}
	for name, statements := range changes {
		copied := filepath.Join(t.TempDir(), "copy.db")
		if err := migrations.Backup(context.Background(), db, copied); err != nil {
			t.Fatal(err)
		}
		changed, err := migrations.Open(context.Background(), "sqlite:"+copied, migrations.Options{Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		err = changed.Write(context.Background(), func(tx *migrations.Tx) error {
			for _, s := range statements {
				if _, err := tx.Exec(s); err != nil {
					return fmt.Errorf("%s: %w", s, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if r := mustVerify(t, New(changed, l.keys, Options{}), anchored); r.OK() {
			t.Errorf("%s: nothing was found", name)
		}
		if err := changed.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Somebody with the database, but neither the key nor the anchored checkpoint,
// writes a whole new ledger and signs it with a key of their own.
func TestARewrittenLedgerIsFound(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	l := New(db, keysOf(t, 'k'), Options{})
	fill(t, db, l, 6)
	anchored, err := l.Checkpoint(context.Background(), ws)
	if err != nil {
		t.Fatal(err)
	}
	forgedDB := openStore(t)
	forged := New(forgedDB, keysOf(t, 'x'), Options{})
	fill(t, forgedDB, forged, 8)
	if _, err := forged.Checkpoint(context.Background(), ws); err != nil {
		t.Fatal(err)
	}
	r := mustVerify(t, New(forgedDB, l.keys, Options{}), anchored)
	all := strings.Join(r.Problems, "\n")
	for _, want := range []string{"checkpoint of size 8 is not ours", "the ledger was rewritten", "is not what was recorded"} {
		if !strings.Contains(all, want) {
			t.Errorf("the report does not say %q:\n%s", want, all)
		}
	}
}

func TestAnEntryOfAnUndoneTransactionIsNotThere(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	l := New(db, keysOf(t, 'k'), Options{})
	fill(t, db, l, 2)
	undo := fmt.Errorf("undo")
	err := db.Write(context.Background(), func(tx *migrations.Tx) error {
		if _, err := l.Append(tx, Record{Workspace: ws, Kind: "intent"}); err != nil {
			return err
		}
		return undo
	})
	if err == nil || !strings.Contains(err.Error(), "undo") {
		t.Fatalf("write = %v, want the function's error", err)
	}
	fill(t, db, l, 1)
	if r := mustVerify(t, l); !r.OK() || r.Entries != 3 {
		t.Errorf("report = %+v, want 3 entries and no problems", r)
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.key")
	first, err := LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if first.Verifier() != again.Verifier() {
		t.Error("the same file gave two keys")
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeys(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read gave %v, want advice to chmod 600", err)
	}
	const content = "this is not a key but may be a secret"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeys(path); err == nil || strings.Contains(err.Error(), content) {
		t.Errorf("a wrong key file gave %v, want an error without its content", err)
	}
}

func FuzzDecodeLeaf(f *testing.F) {
	f.Add(`{"v":1,"seq":0,"at":1,"workspace":"T1","kind":"intent"}`)
	f.Add(`{"v":1}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := decodeLeaf(text)
		if err == nil && (e.V != 1 || !strings.HasPrefix(text, `{"v":1,`)) {
			t.Errorf("accepted %q as %+v", text, e)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	db := openStore(b)
	l := New(db, keysOf(b, 'k'), Options{})
	bare := func(b *testing.B, append bool) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				err := db.Write(context.Background(), func(tx *migrations.Tx) error {
					if !append {
						_, err := tx.Exec(`INSERT INTO ledger_payloads (workspace, seq, name, body) VALUES ('peer', (SELECT COALESCE(MAX(seq), 0) + 1 FROM ledger_payloads WHERE workspace = 'peer'), 'args', $1)`, `{"text":"hello"}`)
						return err
					}
					_, err := l.Append(tx, Record{Workspace: ws, Kind: "intent", Actor: "U0AGENT", Tool: "post", Payload: map[string]string{"args": `{"text":"hello"}`}})
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.Run("entry", func(b *testing.B) { bare(b, true) })
	b.Run("peer=one-bare-row", func(b *testing.B) { bare(b, false) })
}

func BenchmarkVerify(b *testing.B) {
	db := openStore(b)
	l := New(db, keysOf(b, 'k'), Options{})
	const n = 20_000
	err := db.Write(context.Background(), func(tx *migrations.Tx) error {
		for range n {
			if _, err := l.Append(tx, Record{Workspace: ws, Kind: "intent", Tool: "post", Payload: map[string]string{"args": "{}"}}); err != nil {
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
		if r := mustVerify(b, l); !r.OK() {
			b.Fatal(r.Problems)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/time.Since(began).Seconds(), "entries/s")
}
