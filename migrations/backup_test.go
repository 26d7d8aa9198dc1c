package migrations

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
)

// A backup of a store that is being written is complete, and of one moment.
func TestABackupIsOfOneMoment(t *testing.T) {
	t.Parallel()
	db := withItems(t)
	mustWrite(t, db, func(tx *Tx) error { return errors.Join(put("a", 0)(tx), put("b", 0)(tx)) })
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			mustWrite(t, db, func(tx *Tx) error { _, err := tx.Exec(`UPDATE items SET n = n + 1`); return err })
		}
	})
	defer all.Wait()
	defer cancel()
	for range 3 {
		path := db.Path() + "." + NewID("copy")
		if err := Backup(context.Background(), db, path); err != nil {
			t.Fatal(err)
		}
		copied := openAt(t, path, Options{})
		var a, b int
		if err := copied.QueryRow(context.Background(), `SELECT MIN(n), MAX(n) FROM items`).Scan(&a, &b); err != nil {
			t.Fatal(err)
		}
		if a != b || count(t, copied, "1 = 1") != 2 {
			t.Errorf("the copy has counters %d and %d, want two equal ones", a, b)
		}
	}
}

func TestABackupOverwritesNothing(t *testing.T) {
	t.Parallel()
	db := withItems(t)
	path := db.Path() + ".copy"
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Backup(context.Background(), db, path); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v, want os.ErrExist", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "precious" {
		t.Errorf("the file has %q (%v), want what it had", got, err)
	}
}

func TestABackupThatFailsLeavesNoFile(t *testing.T) {
	t.Parallel()
	db := withItems(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	path := db.Path() + ".copy"
	if err := Backup(ctx, db, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of the copy: got %v, want os.ErrNotExist", err)
	}
}
