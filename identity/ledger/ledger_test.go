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
	"deskmate/migrations/migrated"
)

func openStore(t testing.TB) *migrations.DB {
	t.Helper()
	return openStoreWith(t, migrations.Options{})
}

// openStoreAt opens a store whose clock says what clock holds.
func openStoreAt(t testing.TB, clock *time.Time) *migrations.DB {
	t.Helper()
	return openStoreWith(t, migrations.Options{Clock: func() time.Time { return *clock }})
}

func openStoreWith(t testing.TB, o migrations.Options) *migrations.DB {
	t.Helper()
	db, err := migrations.Open(context.Background(), migrated.At(t, filepath.Join(t.TempDir(), "test.db")), o)
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
				Workspace: ws, Kind: "note.remembered", Actor: "U0AGENT", Tool: "post", Action: fmt.Sprintf("a%d", i), Reasons: []string{"builtin"},
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
		if _, err := l.Append(tx, Record{Workspace: ws, Kind: "note.remembered"}); err != nil {
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
