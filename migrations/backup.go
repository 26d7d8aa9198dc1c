package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Backup writes a complete, consistent and verified copy of the store to the
// new file at path while the store is in use.
func Backup(ctx context.Context, db *DB, path string) error {
	// A connection of its own: SQLite counts VACUUM INTO as a write, which the
	// readers refuse.
	pool, err := sql.Open("sqlite3", dsn(db.path, map[string][]string{}))
	if err != nil {
		return fmt.Errorf("back up to %s: %w", path, err)
	}
	if err := errors.Join(copyInto(ctx, pool, path), pool.Close()); err != nil {
		return fmt.Errorf("back up to %s: %w", path, explain(err))
	}
	return nil
}

// PruneBackups removes the copies of the store that were last written before
// before: those beside the copy at path with its ending, and those that were made
// beside the store ahead of migrations. What is no copy of a store stays, and so do
// the store itself and the copy at path. It gives what it removed.
func PruneBackups(ctx context.Context, db *DB, path string, before time.Time) ([]string, error) {
	old, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"+filepath.Ext(path)))
	if err != nil {
		return nil, fmt.Errorf("look for old copies: %w", err)
	}
	early, err := filepath.Glob(db.path + ".backup-*")
	if err != nil {
		return nil, fmt.Errorf("look for old copies: %w", err)
	}
	var keep []os.FileInfo
	for _, p := range []string{path, db.path} {
		if info, err := os.Stat(p); err == nil {
			keep = append(keep, info)
		}
	}
	gone := []string{}
	for _, p := range append(old, early...) {
		info, err := os.Lstat(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return gone, fmt.Errorf("look at %s: %w", p, err)
		}
		if !info.Mode().IsRegular() || !info.ModTime().Before(before) || slices.ContainsFunc(keep, func(k os.FileInfo) bool { return os.SameFile(k, info) }) || !isCopy(ctx, p) {
			continue
		}
		if err := os.Remove(p); err != nil {
			return gone, fmt.Errorf("remove old copy: %w", err)
		}
		gone = append(gone, p)
	}
	return gone, nil
}

// isCopy reports whether a file is a copy of a store. A store that is in use has a
// write-ahead log beside it, which a copy does not.
func isCopy(ctx context.Context, path string) bool {
	if _, err := os.Stat(path + "-wal"); err == nil {
		return false
	}
	pool, err := sql.Open("sqlite3", dsn(path, map[string][]string{"mode": {"ro"}, "immutable": {"1"}}))
	if err != nil {
		return false
	}
	defer pool.Close()
	var tables int
	err = pool.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name IN ('goose_db_version', 'ledger_entries', 'tasks')`).Scan(&tables)
	return err == nil && tables == 3
}

// Check reads the whole file and returns ErrCorrupt when it is damaged.
func Check(ctx context.Context, db *DB) error {
	if err := check(ctx, db.readers); err != nil {
		return fmt.Errorf("check store: %w", explain(err))
	}
	return nil
}

// copyInto copies with VACUUM INTO: one read transaction, so that writers go on
// and the copy is of one moment.
func copyInto(ctx context.Context, pool *sql.DB, path string) (err error) {
	// Made first: SQLite would create it readable by all, and VACUUM INTO accepts
	// an empty file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create copy: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if _, err := pool.ExecContext(ctx, `VACUUM INTO $1`, path); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync copy: %w", err)
	}
	copied, err := sql.Open("sqlite3", dsn(path, map[string][]string{"mode": {"ro"}, "immutable": {"1"}}))
	if err != nil {
		return fmt.Errorf("open copy: %w", err)
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	return check(ctx, copied)
}

func check(ctx context.Context, pool *sql.DB) error {
	var found string
	if err := pool.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found); err != nil {
		return fmt.Errorf("check integrity: %w", err)
	}
	if found != "ok" {
		return fmt.Errorf("%w (%s)", ErrCorrupt, found)
	}
	return nil
}

// lockMigration takes a lock between processes: an exclusive transaction on an
// empty database beside the store, which the system ends with the process. The
// file is removed once the schema is current; a process that still waits on the
// removed file then finds nothing to apply.
func lockMigration(ctx context.Context, path string) (unlock func(done bool) error, err error) {
	lock := path + ".migrating"
	// Not in WAL mode: its extra files would have to be removed too.
	pool, err := sql.Open("sqlite3", dsn(lock, map[string][]string{"_txlock": {"exclusive"}, "_journal_mode": {"MEMORY"}}))
	if err != nil {
		return nil, fmt.Errorf("open migration lock: %w", err)
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("take migration lock: %w", errors.Join(err, pool.Close()))
	}
	return func(done bool) error {
		if done {
			if err = os.Remove(lock); errors.Is(err, os.ErrNotExist) {
				err = nil // another process was done first
			}
		}
		return errors.Join(err, tx.Rollback(), pool.Close())
	}, nil
}
