package task

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

// clock is a settable clock for stores under test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t testing.TB, now func() time.Time) *migrations.DB {
	t.Helper()
	db, err := migrations.Open(context.Background(), migrated.At(t, filepath.Join(t.TempDir(), "test.db")), migrations.Options{Clock: now})
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

func write(t testing.TB, db *migrations.DB, f func(*migrations.Tx) error) {
	t.Helper()
	if err := db.Write(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func wake(t testing.TB, db *migrations.DB, w Waking) {
	t.Helper()
	write(t, db, func(tx *migrations.Tx) error { return Wake(tx, w) })
}

// start begins a new epoch of an owner, as a process does.
func start(t testing.TB, db *migrations.DB, name string) owner {
	t.Helper()
	o, _, err := takeOver(context.Background(), db, name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func mustClaim(t testing.TB, db *migrations.DB, o owner, kind string, limit int) []*Lease {
	t.Helper()
	l, err := claim(context.Background(), db, o, kind, limit, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func guard(db *migrations.DB, l *Lease) error {
	return db.Write(context.Background(), func(tx *migrations.Tx) error { return l.Guard(tx) })
}

func within[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

// eventually polls a condition that nothing signals.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
