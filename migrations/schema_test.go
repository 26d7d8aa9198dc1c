package migrations

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// version is the schema's newest version as files has it.
func version(t testing.TB, db *DB) (v int64) {
	t.Helper()
	if err := db.QueryRow(context.Background(), `SELECT MAX(version_id) FROM goose_db_version`).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// raw runs statements on a file beside the store.
func raw(t testing.TB, path string, statements ...string) {
	t.Helper()
	pool, err := sql.Open("sqlite3", writerDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, q := range statements {
		if _, err := pool.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func backups(t testing.TB, path string) []string {
	t.Helper()
	found, err := filepath.Glob(path + ".backup-*")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestANewStoreGetsTheWholeSchemaWithoutABackup(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := openAt(t, path, Options{})
	entries, err := files.ReadDir("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	var applied int
	if err := db.QueryRow(context.Background(), `SELECT COUNT(*) FROM goose_db_version WHERE version_id > 0`).Scan(&applied); err != nil {
		t.Fatal(err)
	}
	if applied != len(entries) {
		t.Errorf("migrations applied: got %d, want %d", applied, len(entries))
	}
	if got := backups(t, path); len(got) != 0 {
		t.Errorf("backups of a new store: got %v, want none", got)
	}
	if _, err := os.Stat(path + ".migrating"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the migration lock is still there: %v", err)
	}
}

func TestAnOlderStoreIsBackedUpAndThenMigrated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	first := openAt(t, path, Options{})
	newest := version(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// Version 1 as it was: only its tables, and something in them.
	tables := []string{}
	fresh := openAt(t, filepath.Join(t.TempDir(), "list.db"), Options{})
	rows, err := fresh.Query(context.Background(), `SELECT name FROM sqlite_master WHERE type IN ('table', 'view')
		AND name NOT LIKE 'sqlite_%' AND name NOT IN ('tasks', 'goose_db_version')
		AND (sql LIKE 'CREATE VIRTUAL%' OR sql LIKE 'CREATE VIEW%' OR name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow'))`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, `DROP TABLE "`+name+`"`)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	raw(t, path, append(append([]string{`PRAGMA foreign_keys = 0`}, tables...),
		`DELETE FROM goose_db_version WHERE version_id > 1`,
		`INSERT INTO tasks (key, workspace, kind, wanted, fence, created_at, updated_at) VALUES ('old', 'T1', 'k', 1, 1, 1, 1)`)...)

	db := openAt(t, path, Options{})
	if got := version(t, db); got != newest {
		t.Errorf("version after migrating: got %d, want %d", got, newest)
	}
	found := backups(t, path)
	if len(found) != 1 || !strings.Contains(found[0], ".backup-1-") {
		t.Fatalf("backups: got %v, want one of version 1", found)
	}
	copied, err := sql.Open("sqlite3", "file:"+found[0]+"?immutable=1")
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	var v, n int64
	if err := copied.QueryRow(`SELECT MAX(version_id), (SELECT COUNT(*) FROM tasks WHERE key = 'old') FROM goose_db_version`).Scan(&v, &n); err != nil {
		t.Fatal(err)
	}
	if v != 1 || n != 1 {
		t.Errorf("the backup has version %d and %d old rows, want 1 and 1", v, n)
	}
	// Nothing is left to do, so nothing is copied.
	openAt(t, path, Options{})
	if got := backups(t, path); len(got) != 1 {
		t.Errorf("backups after another open: got %d, want 1", len(got))
	}
}

func TestANewerStoreIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	first := openAt(t, path, Options{})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	raw(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), "sqlite:"+path, Options{})
	if !errors.Is(err, ErrNewerSchema) || !strings.Contains(err.Error(), "9999") {
		t.Errorf("got %v, want ErrNewerSchema with the versions", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the newer store was changed")
	}
}

// A server and a command that start at once migrate once.
func TestProcessesThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	const n = 4
	dbs := make([]*DB, n)
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { dbs[i], errs[i] = Open(context.Background(), "sqlite:"+path, Options{}) })
	}
	all.Wait()
	for i := range n {
		if errs[i] != nil {
			t.Errorf("open %d: %v", i, errs[i])
			continue
		}
		if err := dbs[i].Close(); err != nil {
			t.Error(err)
		}
	}
	if got := backups(t, path); len(got) != 0 {
		t.Errorf("backups of a new store: got %v, want none", got)
	}
}
