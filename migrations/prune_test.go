package migrations

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestOldCopiesAreRemovedAndNothingElse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	store := filepath.Join(dir, "deskmate.db")
	db, err := Open(ctx, "sqlite:"+store, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	long := time.Now().Add(-100 * 24 * time.Hour)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"old.db", "young.db", "new.db", "deskmate.db.backup-3-20260101T000000.000000Z"} {
		if err := Backup(ctx, db, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"photos.db", "old.txt"} {
		if err := os.WriteFile(at(name), []byte("no store"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"old.db", "new.db", "deskmate.db.backup-3-20260101T000000.000000Z", "photos.db", "old.txt", "deskmate.db"} {
		if err := os.Chtimes(at(name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := PruneBackups(ctx, db, at("new.db"), time.Now().Add(-30*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{at("old.db"), at("deskmate.db.backup-3-20260101T000000.000000Z")}; !slices.Equal(gone, want) {
		t.Errorf("removed %v, want %v", gone, want)
	}
	for _, name := range []string{"young.db", "new.db", "photos.db", "old.txt", "deskmate.db"} {
		if _, err := os.Stat(at(name)); err != nil {
			t.Errorf("%s should have stayed: %v", name, err)
		}
	}
}
