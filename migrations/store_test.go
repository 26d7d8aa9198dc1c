package migrations

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t testing.TB, o Options) *DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "test.db"), o)
}

func openAt(t testing.TB, path string, o Options) *DB {
	t.Helper()
	db, err := Open(context.Background(), "sqlite:"+path, o)
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

func TestSQLiteConforms(t *testing.T) {
	t.Parallel()
	conformance(t, func(t *testing.T) *DB { return open(t, Options{}) })
}

func TestURLsThatAreNotAStoreAreRefused(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u:secret@h/db":            "SQLite only",
		"postgresql://u:secret@h/db":          "SQLite only",
		"mysql://u:secret@h/db":               "sqlite:PATH",
		"deskmate.db":                         "sqlite:PATH",
		"":                                    "sqlite:PATH",
		"sqlite:":                             "path of a file",
		"sqlite::memory:":                     "path of a file",
		"sqlite:/no/such/directory/at/all.db": "create it first",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			_, err := Open(context.Background(), url, Options{})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the URL's password: %v", err)
			}
		})
	}
}

func TestAnyFileNameWorks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.db", "what?.db", "100%25.db", "#1.db", "ünï.db", "a&b=c.db"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), name)
			db := openAt(t, path, Options{})
			info, err := os.Stat(path)
			if err != nil || info.Size() == 0 {
				t.Fatalf("stat %s: %v, want the store there", path, err)
			}
			if err := Backup(context.Background(), db, path+".copy"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheStoreIsPrivate(t *testing.T) {
	t.Parallel()
	db := open(t, Options{})
	mustWrite(t, db, func(tx *Tx) error { _, err := tx.Exec(`CREATE TABLE items (n BIGINT)`); return err })
	if err := Backup(context.Background(), db, db.Path()+".copy"); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".copy"} {
		info, err := os.Stat(db.Path() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("mode of test.db%s: got %o, want 600", suffix, got)
		}
	}
}

// Writes that wait for the disk together share the wait.
func TestConcurrentWritesShareCommits(t *testing.T) {
	t.Parallel()
	db := open(t, Options{})
	mustWrite(t, db, func(tx *Tx) error {
		_, err := tx.Exec(`CREATE TABLE items (key TEXT PRIMARY KEY, n BIGINT NOT NULL)`)
		return err
	})
	release := hold(t, db)
	before := db.Stats()
	const writers = 100
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			if err := db.Write(context.Background(), put(NewID("k"), i)); err != nil {
				t.Errorf("write: %v", err)
			}
		})
	}
	until(t, "all writes are queued", func() bool { return len(db.writer.queue) == writers })
	if err := release(); err != nil {
		t.Errorf("holding write: %v", err)
	}
	all.Wait()
	after := db.Stats()
	if got := after.Writes - before.Writes; got != writers+1 {
		t.Errorf("writes: got %d, want %d", got, writers+1)
	}
	if got := after.Commits - before.Commits; got != 1 {
		t.Errorf("commits for %d writes that waited together: got %d, want 1", writers, got)
	}
}

// A command beside the server writes and reads the same file.
func TestTwoOpenStoresShareAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	one, two := openAt(t, path, Options{}), openAt(t, path, Options{})
	mustWrite(t, one, func(tx *Tx) error {
		_, err := tx.Exec(`CREATE TABLE items (key TEXT PRIMARY KEY, n BIGINT NOT NULL)`)
		return err
	})
	var all sync.WaitGroup
	for _, db := range []*DB{one, two} {
		for range 4 {
			all.Go(func() {
				for i := range 25 {
					if err := db.Write(context.Background(), put(NewID("k"), i)); err != nil {
						t.Errorf("write: %v", err)
					}
				}
			})
		}
	}
	all.Wait()
	wantCount(t, one, "1 = 1", 200)
	wantCount(t, two, "1 = 1", 200)
}

func TestTimesRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range []time.Time{{}, time.Unix(1_700_000_000, 123_456_000).UTC(), time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := Time(Micros(want)); !got.Equal(want) {
			t.Errorf("Time(Micros(%v)) = %v", want, got)
		}
	}
}

func TestIDsAreShortAndDifferent(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 10_000 {
		id := NewID("n_")
		if len(id) != 12 || !strings.HasPrefix(id, "n_") || strings.ToLower(id) != id {
			t.Fatalf("NewID = %q, want n_ and ten lower-case characters", id)
		}
		if seen[id] {
			t.Fatalf("NewID gave %q twice", id)
		}
		seen[id] = true
	}
}
