package policy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

var (
	// ErrNoGrant means that there is no such grant here.
	ErrNoGrant = errors.New("there is no such grant")
	// ErrNoBundle means that there is no such bundle here.
	ErrNoBundle = errors.New("there is no such bundle")
	// ErrSpent means that a decision does not hold any more: a limit was used up
	// meanwhile, or a grant was changed. Decide again.
	ErrSpent = errors.New("the decision does not hold any more")
)

// InvalidError says everything that is wrong with a grant or a bundle; each
// sentence begins with the name of a field.
type InvalidError struct {
	What     string // "grant", "bundle docs"
	Problems []string
}

func (e *InvalidError) Error() string {
	text := e.What + " is not valid"
	for i, p := range e.Problems {
		if i == 0 {
			text += ": " + p
		} else {
			text += "; " + p
		}
	}
	return text
}

// System is who acts when nobody does: the installation.
const System = "system"

// maxLife is how long a grant holds unless somebody says why longer.
const maxLife = 90 * 24 * time.Hour

// Engine keeps the grants of all workspaces in one store and decides by them. It
// is safe for concurrent use, by several processes too.
type Engine struct {
	db     *migrations.DB
	ledger *ledger.Ledger

	mu      sync.Mutex
	sets    map[string]*workspaceSet // compiled, by workspace
	touched map[[2]string]time.Time  // when last_used_at of (workspace, grant) was last written
}

// New returns the engine of db.
func New(db *migrations.DB, l *ledger.Ledger) *Engine {
	return &Engine{db: db, ledger: l, sets: map[string]*workspaceSet{}, touched: map[[2]string]time.Time{}}
}

// changed makes every process see that the workspace's policies are others.
func changed(tx *migrations.Tx, workspace string) error {
	if _, err := tx.Exec(`INSERT INTO policy_versions (workspace, version) VALUES ($1, 1)
		ON CONFLICT (workspace) DO UPDATE SET version = policy_versions.version + 1`, workspace); err != nil {
		return fmt.Errorf("count change of policies: %w", err)
	}
	return nil
}

const versionQuery = `SELECT version FROM policy_versions WHERE workspace = $1`

// scanVersion counts the changes of the workspace's policies; 0: none yet.
func scanVersion(row *sql.Row) (int64, error) {
	var v int64
	if err := row.Scan(&v); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read version of policies: %w", err)
	}
	return v, nil
}

func (e *Engine) version(ctx context.Context, workspace string) (int64, error) {
	return scanVersion(e.db.QueryRow(ctx, versionQuery, workspace))
}
