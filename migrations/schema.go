package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/rs/zerolog"
)

//go:embed sqlite/*.sql
var files embed.FS

// migrate brings the schema of the file at path up to date, forward only.
func migrate(ctx context.Context, path string, now func() time.Time, log zerolog.Logger) (err error) {
	pool, err := sql.Open("sqlite3", writerDSN(path))
	if err != nil {
		return fmt.Errorf("open for migration: %w", err)
	}
	pool.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, pool.Close()) }()
	if err := checkFTS5(ctx, pool); err != nil {
		return err
	}
	provider, err := newProvider(pool)
	if err != nil {
		return err
	}
	have, err := pending(ctx, pool, provider)
	if have < 0 || err != nil {
		return err
	}
	// One process at a time from here on; the one that comes second finds the work done.
	unlock, err := lockMigration(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock(err == nil)) }()
	if have, err = pending(ctx, pool, provider); have < 0 || err != nil {
		return err
	}
	if have > 0 {
		backup := fmt.Sprintf("%s.backup-%d-%s", path, have, now().Format("20060102T150405.000000Z"))
		if err := copyInto(ctx, pool, backup); err != nil {
			return fmt.Errorf("back up before migrating: %w", err)
		}
		log.Info().Str("backup", backup).Int64("schema", have).Msg("store backed up before migrating")
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate from version %d: %w", have, err)
	}
	for _, m := range done {
		log.Debug().Int64("schema", m.Source.Version).Dur("took", m.Duration).Msg("store migrated")
	}
	return nil
}

func newProvider(pool *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(files, "sqlite")
	if err != nil {
		return nil, fmt.Errorf("read embedded migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, pool, dir, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read embedded migrations: %w", err)
	}
	return p, nil
}

// pending returns the schema's version, 0 for a new file, when there are
// migrations to apply, or -1 when there are none. It writes nothing, so that a
// file of a newer binary stays as it is.
func pending(ctx context.Context, pool *sql.DB, p *goose.Provider) (int64, error) {
	var tables int
	const q = `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1`
	if err := pool.QueryRowContext(ctx, q, goose.DefaultTablename).Scan(&tables); err != nil {
		return 0, fmt.Errorf("read schema: %w", err)
	}
	if tables == 0 {
		return 0, nil
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	sources := p.ListSources()
	known := sources[len(sources)-1].Version
	switch {
	case have > known:
		return 0, fmt.Errorf("%w (the store has version %d, this binary knows %d)", ErrNewerSchema, have, known)
	case have == known:
		return -1, nil
	default:
		return have, nil
	}
}

func checkFTS5(ctx context.Context, pool *sql.DB) error {
	var has bool
	if err := pool.QueryRowContext(ctx, `SELECT sqlite_compileoption_used('ENABLE_FTS5')`).Scan(&has); err != nil {
		return fmt.Errorf("open file: %w", err)
	}
	if !has {
		return ErrNoFTS5
	}
	return nil
}
