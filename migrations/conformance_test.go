package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

// conformance is what every store must do, whatever is underneath. opened gives
// a new store; the table "items" (key, n, workspace) is made by conformance.
func conformance(t *testing.T, opened func(t *testing.T) *DB) {
	for name, test := range map[string]func(t *testing.T, db *DB){
		"a write is seen by the reads that follow it":              writeThenRead,
		"a failed write leaves nothing and returns its error":      failedWrite,
		"a panicking write leaves nothing and returns the panic":   panickingWrite,
		"of concurrent writes each failing one fails alone":        failAlone,
		"concurrent writes never interleave":                       noLostUpdates,
		"a caller that gave up before its turn changes nothing":    gaveUp,
		"a write whose caller gives up during it is finished":      gaveUpLate,
		"a read sees one unchanging state":                         snapshot,
		"a read cannot write":                                      readOnlyRead,
		"what is to follow the commit follows it, and only it":     afterCommit,
		"a listener hears of commits, not of failures":             listening,
		"a listener that falls behind is told to look at it all":   listenerBehind,
		"the time of a transaction stands still":                   fixedNow,
		"rows left open do not hold up the next write":             leakedRows,
		"a foreign key that points nowhere is refused":             foreignKeys,
		"a write function that ends its goroutine harms no other":  goexit,
		"a closed store refuses writes and keeps what it accepted": closed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := opened(t)
			if err := db.Write(context.Background(), func(tx *Tx) error {
				_, err := tx.Exec(`CREATE TABLE items (key TEXT PRIMARY KEY, n BIGINT NOT NULL, workspace TEXT NOT NULL DEFAULT '')`)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			test(t, db)
		})
	}
}

var errWanted = errors.New("it failed as wanted")

func put(key string, n int) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO items (key, n) VALUES ($1, $2)`, key, n)
		return err
	}
}

func mustWrite(t testing.TB, db *DB, f func(*Tx) error) {
	t.Helper()
	if err := db.Write(context.Background(), f); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func count(t testing.TB, db *DB, where string) int {
	t.Helper()
	var n int
	if err := db.QueryRow(context.Background(), `SELECT COUNT(*) FROM items WHERE `+where).Scan(&n); err != nil {
		t.Fatalf("count items: %v", err)
	}
	return n
}

func wantCount(t testing.TB, db *DB, where string, want int) {
	t.Helper()
	if got := count(t, db, where); got != want {
		t.Errorf("items where %s: got %d, want %d", where, got, want)
	}
}

func within[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("%s did not happen within a minute", what)
		panic("unreachable")
	}
}

// until polls a condition that nothing signals.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func writeThenRead(t *testing.T, db *DB) {
	for i := range 100 {
		mustWrite(t, db, put(fmt.Sprint("k", i), i))
		wantCount(t, db, "1 = 1", i+1)
	}
}

func failedWrite(t *testing.T, db *DB) {
	err := db.Write(context.Background(), func(tx *Tx) error {
		return errors.Join(put("a", 1)(tx), errWanted)
	})
	if !errors.Is(err, errWanted) {
		t.Errorf("got %v, want %v", err, errWanted)
	}
	wantCount(t, db, "1 = 1", 0)
	mustWrite(t, db, put("a", 2))
}

func panickingWrite(t *testing.T, db *DB) {
	err := db.Write(context.Background(), func(tx *Tx) error {
		if err := put("a", 1)(tx); err != nil {
			return err
		}
		panic("boom")
	})
	var p *PanicError
	if !errors.As(err, &p) || p.Value != "boom" || len(p.Stack) == 0 {
		t.Errorf("got %v, want a *PanicError of boom with its stack", err)
	}
	wantCount(t, db, "1 = 1", 0)
	mustWrite(t, db, put("a", 2))
}

// Every third writer fails, every seventh panics, after having written; all of
// them meet in the same commits.
func failAlone(t *testing.T, db *DB) {
	const writers, each = 32, 30
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				n := w*each + i
				err := db.Write(context.Background(), func(tx *Tx) error {
					if err := put(fmt.Sprint("k", n), n)(tx); err != nil {
						return err
					}
					if n%7 == 0 {
						panic(n)
					}
					if n%3 == 0 {
						return errWanted
					}
					return nil
				})
				if failed := n%7 == 0 || n%3 == 0; failed != (err != nil) {
					t.Errorf("write %d: got error %v, want one: %v", n, err, failed)
				}
			}
		})
	}
	all.Wait()
	wantCount(t, db, "n % 7 = 0 OR n % 3 = 0", 0)
	want := 0
	for n := range writers * each {
		if n%7 != 0 && n%3 != 0 {
			want++
		}
	}
	wantCount(t, db, "1 = 1", want)
}

func noLostUpdates(t *testing.T, db *DB) {
	mustWrite(t, db, put("counter", 0))
	const writers, each = 16, 50
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				if err := db.Write(context.Background(), func(tx *Tx) error {
					var n int
					if err := tx.QueryRow(`SELECT n FROM items WHERE key = 'counter'`).Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec(`UPDATE items SET n = $1 WHERE key = 'counter'`, n+1)
					return err
				}); err != nil {
					t.Errorf("count up: %v", err)
				}
			}
		})
	}
	all.Wait()
	wantCount(t, db, fmt.Sprint("n = ", writers*each), 1)
}

// hold keeps the writer busy until release, whose error is that of the commit; all
// that waits by then goes into this commit, however slow the machine is.
func hold(t *testing.T, db *DB) (release func() error) {
	db.writer.longest = time.Minute
	began, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- db.Write(context.Background(), func(*Tx) error {
			close(began)
			<-end
			return nil
		})
	}()
	within(t, began, "the holding write's begin")
	return func() error {
		close(end)
		return within(t, done, "the holding write's end")
	}
}

func gaveUp(t *testing.T, db *DB) {
	release := hold(t, db)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- db.Write(ctx, put("a", 1)) }()
	cancel()
	if err := within(t, done, "the answer to the caller that gave up"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := release(); err != nil {
		t.Errorf("holding write: %v", err)
	}
	mustWrite(t, db, put("b", 1))
	wantCount(t, db, "key = 'a'", 0)
}

func gaveUpLate(t *testing.T, db *DB) {
	ctx, cancel := context.WithCancel(context.Background())
	err := db.Write(ctx, func(tx *Tx) error {
		cancel()
		return put("a", 1)(tx)
	})
	if err != nil {
		t.Errorf("got %v, want nil", err)
	}
	wantCount(t, db, "key = 'a'", 1)
}

func snapshot(t *testing.T, db *DB) {
	mustWrite(t, db, put("a", 1))
	err := db.Read(context.Background(), func(tx *Tx) error {
		for range 3 {
			var n int
			if err := tx.QueryRow(`SELECT COUNT(*) FROM items`).Scan(&n); err != nil {
				return err
			}
			if n != 1 {
				t.Errorf("items inside the read: got %d, want 1", n)
			}
			mustWrite(t, db, put(NewID("k"), 1))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantCount(t, db, "1 = 1", 4)
}

func readOnlyRead(t *testing.T, db *DB) {
	err := db.Read(context.Background(), put("a", 1))
	if err == nil {
		t.Error("Exec in Read: got no error")
	}
	err = db.Read(context.Background(), func(tx *Tx) error {
		return tx.QueryRow(`INSERT INTO items (key, n) VALUES ('a', 1) RETURNING n`).Scan(new(int))
	})
	if err == nil {
		t.Error("INSERT … RETURNING in Read: got no error")
	}
	wantCount(t, db, "1 = 1", 0)
}

func afterCommit(t *testing.T, db *DB) {
	calls := 0
	_ = db.Write(context.Background(), func(tx *Tx) error {
		tx.AfterCommit(func() { calls += 100 })
		return errWanted
	})
	mustWrite(t, db, func(tx *Tx) error {
		tx.AfterCommit(func() {
			calls++
			wantCount(t, db, "key = 'a'", 1)   // already committed
			mustWrite(t, db, put("nested", 1)) // and the writer is free
		})
		return put("a", 1)(tx)
	})
	if calls != 1 {
		t.Errorf("callbacks: got %d, want 1 (100 each for a failed write)", calls)
	}
}

func listening(t *testing.T, db *DB) {
	heard, end := db.Listen("topic")
	other, endOther := db.Listen("other")
	defer endOther()
	_ = db.Write(context.Background(), func(tx *Tx) error {
		tx.Notify("topic", "failed")
		return errWanted
	})
	mustWrite(t, db, func(tx *Tx) error { tx.Notify("topic", "one"); return nil })
	if got := within(t, heard, "the notice"); got != "one" {
		t.Errorf("got %q, want %q", got, "one")
	}
	end()
	mustWrite(t, db, func(tx *Tx) error { tx.Notify("topic", "two"); return nil })
	if len(heard) != 0 || len(other) != 0 {
		t.Errorf("notices after the end and on another topic: got %d and %d, want none", len(heard), len(other))
	}
}

func listenerBehind(t *testing.T, db *DB) {
	heard, end := db.Listen("topic")
	defer end()
	for i := range listenBuffer + 1 {
		mustWrite(t, db, func(tx *Tx) error { tx.Notify("topic", fmt.Sprint(i)); return nil })
	}
	if got := within(t, heard, "the notice"); got != "" || len(heard) != 0 {
		t.Errorf("got %q and %d more, want one empty payload", got, len(heard))
	}
}

func fixedNow(t *testing.T, db *DB) {
	mustWrite(t, db, func(tx *Tx) error {
		first := tx.Now()
		for range 1000 {
			if now := tx.Now(); !now.Equal(first) {
				t.Fatalf("Now changed from %v to %v", first, now)
			}
		}
		if first.Location() != time.UTC || first.Nanosecond()%1000 != 0 {
			t.Errorf("Now = %v, want UTC in whole microseconds", first)
		}
		return nil
	})
}

func leakedRows(t *testing.T, db *DB) {
	for i := range 3 {
		mustWrite(t, db, put(fmt.Sprint("k", i), i))
	}
	mustWrite(t, db, func(tx *Tx) error {
		rows, err := tx.Query(`SELECT key FROM items`)
		if err != nil {
			return err
		}
		rows.Next() // and then forgotten
		return rows.Err()
	})
	mustWrite(t, db, put("after", 1))
}

func foreignKeys(t *testing.T, db *DB) {
	mustWrite(t, db, func(tx *Tx) error {
		_, err := tx.Exec(`CREATE TABLE parts (item TEXT NOT NULL REFERENCES items (key))`)
		return err
	})
	err := db.Write(context.Background(), func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO parts (item) VALUES ('nowhere')`)
		return err
	})
	if err == nil {
		t.Error("got no error for a reference to nothing")
	}
}

func goexit(t *testing.T, db *DB) {
	done := make(chan error, 1)
	go func() {
		done <- db.Write(context.Background(), func(tx *Tx) error {
			rows, err := tx.Query(`SELECT 1`)
			if err != nil {
				return err
			}
			rows.Next()
			runtime.Goexit() // what testing's FailNow does
			return nil
		})
	}()
	if err := within(t, done, "the answer"); err == nil {
		t.Error("got no error from a function that did not return")
	}
	mustWrite(t, db, put("a", 1))
}

func closed(t *testing.T, db *DB) {
	release := hold(t, db)
	accepted := make(chan error, 1)
	go func() { accepted <- db.Write(context.Background(), put("a", 1)) }()
	until(t, "the write is queued", func() bool { return len(db.writer.queue) == 1 })
	shut := make(chan error, 1)
	go func() { shut <- db.Close() }()
	if err := release(); err != nil {
		t.Errorf("holding write: %v", err)
	}
	if err := within(t, accepted, "the accepted write"); err != nil {
		t.Errorf("accepted write: %v", err)
	}
	if err := within(t, shut, "the close"); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := db.Write(context.Background(), put("b", 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("write after close: got %v, want ErrClosed", err)
	}
	again, err := Open(context.Background(), "sqlite:"+db.Path(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantCount(t, again, "key = 'a'", 1)
	if err := again.QueryRow(context.Background(), `SELECT n FROM items WHERE key = 'b'`).Scan(new(int)); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("refused write: got %v, want sql.ErrNoRows", err)
	}
}
