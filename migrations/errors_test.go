package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// withItems opens a store with the table items.
func withItems(t testing.TB) *DB {
	t.Helper()
	db := open(t, Options{})
	mustWrite(t, db, func(tx *Tx) error {
		_, err := tx.Exec(`CREATE TABLE items (key TEXT PRIMARY KEY, n BIGINT NOT NULL, body TEXT NOT NULL DEFAULT '')`)
		return err
	})
	return db
}

// pragma sets something on the writing connection.
func pragma(t testing.TB, db *DB, q string) {
	t.Helper()
	if err := db.writer.exec(q); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

// capPages makes SQLite report a full disk, and returns a function that takes
// the limit away again.
func capPages(t testing.TB, db *DB) (free func()) {
	t.Helper()
	var pages int
	if err := db.QueryRow(context.Background(), `PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	pragma(t, db, fmt.Sprintf("PRAGMA max_page_count = %d", pages+8))
	return func() { pragma(t, db, "PRAGMA max_page_count = 1000000000") }
}

func putLarge(key string) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO items (key, n, body) VALUES ($1, 1, $2)`, key, strings.Repeat("x", 1<<20))
		return err
	}
}

func TestAFullDiskFailsTheWriteThatNeedsSpaceAndHealsWithIt(t *testing.T) {
	t.Parallel()
	db := withItems(t)
	free := capPages(t, db)
	mustWrite(t, db, put("small", 1)) // there is room for this
	for range 3 {
		err := db.Write(context.Background(), putLarge("large"))
		if !errors.Is(err, ErrFull) {
			t.Fatalf("write on a full disk: got %v, want ErrFull", err)
		}
		if !strings.Contains(err.Error(), "free some space") {
			t.Errorf("the error does not say what to do: %v", err)
		}
	}
	wantCount(t, db, "key = 'large'", 0)
	free()
	mustWrite(t, db, putLarge("large"))
	wantCount(t, db, "1 = 1", 2)
}

// A function that does not look at the error of a statement must not have the
// rest of its statements committed one by one after SQLite gave up on it.
func TestAFullDiskThatIsOverlookedStillUndoesAll(t *testing.T) {
	t.Parallel()
	db := withItems(t)
	free := capPages(t, db)
	defer free()
	err := db.Write(context.Background(), func(tx *Tx) error {
		if err := put("before", 1)(tx); err != nil {
			return err
		}
		if err := putLarge("large")(tx); err == nil {
			t.Error("the large write fitted")
		}
		if _, err := tx.Exec(`ROLLBACK`); err == nil { // what SQLite may do by itself
			_, err = tx.Exec(`INSERT INTO nowhere VALUES (1)`) // any error shows that the transaction is gone
			if err == nil {
				t.Error("insert into a missing table: got no error")
			}
		}
		if err := put("after", 1)(tx); err == nil {
			t.Error("a statement after the loss of its transaction: got no error")
		}
		if err := tx.QueryRow(`SELECT 1`).Scan(new(int)); err == nil {
			t.Error("a query after the loss of its transaction: got no error")
		}
		return nil
	})
	if err == nil {
		t.Error("got no error though the transaction was lost")
	}
	wantCount(t, db, "1 = 1", 0)
	mustWrite(t, db, put("later", 1))
}

// When a commit is lost, every write in it is told so, and none later suffers.
func TestALostTransactionFailsAllThatSharedIt(t *testing.T) {
	t.Parallel()
	db := withItems(t)
	release := hold(t, db)
	const before, after = 5, 5
	outcomes := make([]error, before+1+after)
	var all sync.WaitGroup
	for i := range outcomes {
		f := put(fmt.Sprint("k", i), i)
		if i == before {
			f = func(tx *Tx) error { _, err := tx.Exec(`ROLLBACK`); return errors.Join(err, errWanted) }
		}
		all.Go(func() { outcomes[i] = db.Write(context.Background(), f) })
		until(t, "the write is queued", func() bool { return len(db.writer.queue) == i+1 }) // in this order
	}
	if err := release(); !errors.Is(err, errWanted) {
		t.Errorf("the write that began the commit: got %v, want %v", err, errWanted)
	}
	all.Wait()
	for i, err := range outcomes {
		if failed := err != nil; failed != (i <= before) {
			t.Errorf("write %d: got error %v, want one: %v", i, err, i <= before)
		}
	}
	wantCount(t, db, "1 = 1", after)
}

func TestAReadOnlyStoreSaysSo(t *testing.T) {
	t.Parallel()
	db := withItems(t)
	pragma(t, db, "PRAGMA query_only = 1")
	err := db.Write(context.Background(), put("a", 1))
	if !errors.Is(err, ErrReadOnly) {
		t.Errorf("got %v, want ErrReadOnly", err)
	}
	pragma(t, db, "PRAGMA query_only = 0")
	mustWrite(t, db, put("a", 1))
}

func TestAHeldStoreSaysSo(t *testing.T) {
	t.Parallel()
	db := withItems(t)
	pragma(t, db, "PRAGMA busy_timeout = 10")
	other, err := sql.Open("sqlite3", writerDSN(db.Path()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Write(context.Background(), put("a", 1)); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, db, put("a", 1))
}

func TestADamagedFileIsRefused(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"not a database": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("this is a letter, not a database. ", 500)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"cut short": func(t *testing.T, path string) { // 8 pages of what were some dozens
			if err := os.Truncate(path, 8*4096); err != nil {
				t.Fatal(err)
			}
		},
		"first tree page overwritten": func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 3000)), 100); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "test.db")
			db, err := Open(context.Background(), "sqlite:"+path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			db, err = Open(context.Background(), "sqlite:"+path, Options{})
			if err == nil {
				err = errors.Join(Check(context.Background(), db), db.Close())
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("got %v, want ErrCorrupt", err)
			}
			if !strings.Contains(err.Error(), ".recover") || !strings.Contains(err.Error(), "backup") {
				t.Errorf("the error does not say what to do: %v", err)
			}
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(before) != string(after) {
				t.Error("the damaged file was changed")
			}
		})
	}
}

func TestCheckPassesASoundStore(t *testing.T) {
	t.Parallel()
	if err := Check(context.Background(), withItems(t)); err != nil {
		t.Error(err)
	}
}
