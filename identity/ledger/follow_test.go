package ledger

import (
	"context"
	"errors"
	"testing"

	"deskmate/migrations"
)

func TestSinceFollows(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	l := New(db, keysOf(t, 'k'), Options{})
	ctx := context.Background()
	if got, size, err := l.Since(ctx, ws, 0, 10); err != nil || len(got) != 0 || size != 0 {
		t.Fatalf("no ledger: got %d of %d, %v", len(got), size, err)
	}
	fill(t, db, l, 5)
	for _, c := range []struct{ from, limit, first, n int }{{0, 10, 0, 5}, {0, 2, 0, 2}, {3, 10, 3, 2}, {5, 10, 0, 0}, {9, 10, 0, 0}} {
		got, size, err := l.Since(ctx, ws, int64(c.from), c.limit)
		if err != nil || size != 5 || len(got) != c.n {
			t.Fatalf("since %d, at most %d: got %d of %d, %v; want %d of 5", c.from, c.limit, len(got), size, err, c.n)
		}
		for i, e := range got {
			r, err := e.Record()
			if err != nil || e.Seq != int64(c.first+i) || r.Tool != "post" || e.Payload != nil || len(e.Erased) != 2 {
				t.Errorf("entry %d: %+v, %v", c.first+i, e, err)
			}
		}
	}
	err := db.Write(ctx, func(tx *migrations.Tx) error {
		if _, err := tx.Exec(`DROP TRIGGER ledger_entries_stay`); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE ledger_entries SET leaf = '{}' WHERE seq = 3`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got, size, err := l.Since(ctx, ws, 1, 10)
	if !errors.Is(err, ErrUnreadable) || len(got) != 2 || size != 5 {
		t.Errorf("an entry that was changed: got %d of %d, %v; want the two before it and ErrUnreadable", len(got), size, err)
	}
}
