package migrations

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// ordered has functions wait behind a busy writer, those of WriteFirst last, and
// gives the order in which they then ran.
func ordered(t *testing.T, behind, first int) []string {
	t.Helper()
	db := open(t, Options{})
	release := hold(t, db)
	var order []string // by the writer alone
	var all sync.WaitGroup
	note := func(name string) func(*Tx) error {
		return func(*Tx) error {
			order = append(order, name)
			return nil
		}
	}
	for i := range behind {
		all.Go(func() {
			if err := db.Write(context.Background(), note("behind")); err != nil {
				t.Error(err)
			}
		})
		until(t, "a function waits", func() bool { return len(db.writer.queue) == i+1 })
	}
	for range first {
		all.Go(func() {
			if err := db.WriteFirst(context.Background(), note("first")); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "all that go first wait", func() bool { return len(db.writer.first) == first })
	if err := release(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	return order
}

func TestWhatGoesFirstGoesBeforeWhatWaits(t *testing.T) {
	t.Parallel()
	if got, want := ordered(t, 2, 2), []string{"first", "first", "behind", "behind"}; !slices.Equal(got, want) {
		t.Errorf("they ran as %v, want %v", got, want)
	}
}

// In each commit one of the others has its turn, however many go first.
func TestWhatGoesFirstStarvesNobody(t *testing.T) {
	t.Parallel()
	got := ordered(t, 2, 4*batchWrites)
	// The function that kept the writer busy had the turn of the first commit.
	for commit := 2; commit <= 3; commit++ {
		at := slices.Index(got, "behind")
		if at < 0 || at >= (batchWrites+1)*commit { // one more each: the one that waited
			t.Fatalf("one that waited ran as number %d, want it in commit %d of %d functions at most", at, commit, batchWrites)
		}
		got[at] = "told"
	}
}

// The log is worked off beside the writer, long before a commit would have to.
func TestTheLogIsWorkedOffBesideTheWriter(t *testing.T) {
	t.Parallel()
	db := open(t, Options{})
	state := func(mode string) (log, moved int) {
		var busy int
		if err := db.QueryRow(context.Background(), `PRAGMA wal_checkpoint(`+mode+`)`).Scan(&busy, &log, &moved); err != nil {
			t.Fatal(err)
		}
		return log, moved
	}
	mustWrite(t, db, func(tx *Tx) error {
		if _, err := tx.Exec(`CREATE TABLE items (key TEXT PRIMARY KEY, n BIGINT NOT NULL)`); err != nil {
			return err
		}
		for i := range checkpointAfter {
			if err := put(fmt.Sprint(i), i)(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if log, _ := state("NOOP"); log >= mostLog {
		t.Fatalf("the log has %d pages: the commit worked it off itself", log)
	}
	until(t, "the log has been worked off", func() bool {
		log, moved := state("NOOP")
		return log > 0 && moved == log
	})
	mustWrite(t, db, put("one more", 0))
	if err := db.EmptyLog(context.Background()); err != nil {
		t.Fatal(err)
	}
	if log, _ := state("NOOP"); log != 0 {
		t.Errorf("the emptied log has %d pages", log)
	}
}
