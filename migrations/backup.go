package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
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
