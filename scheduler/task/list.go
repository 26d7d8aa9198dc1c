package task

import (
	"context"
	"fmt"
	"time"

	"deskmate/migrations"
)

// Info is one task as doctor and the console show it.
type Info struct {
	Workspace, Kind, Key string
	Due                  time.Time // zero: waits to be woken
	Running              bool
	Attempts             int64
	LastError            string
}

// Failing lists the tasks whose last runs failed, the longest-suffering first.
func Failing(ctx context.Context, db *migrations.DB, limit int) ([]Info, error) {
	return list(ctx, db, `attempts > 0 ORDER BY attempts DESC, key LIMIT $1`, limit)
}

// Overdue lists the tasks that were due before t and that nobody works, the
// oldest first.
func Overdue(ctx context.Context, db *migrations.DB, t time.Time, limit int) ([]Info, error) {
	return list(ctx, db, `due_at < $1 AND lease_owner = '' ORDER BY due_at, key LIMIT $2`, migrations.Micros(t), limit)
}

func list(ctx context.Context, db *migrations.DB, where string, args ...any) ([]Info, error) {
	rows, err := db.Query(ctx, `SELECT workspace, kind, key, COALESCE(due_at, 0), lease_owner <> '', attempts, last_error FROM tasks WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	defer rows.Close()
	var all []Info
	for rows.Next() {
		var i Info
		var due int64
		if err := rows.Scan(&i.Workspace, &i.Kind, &i.Key, &due, &i.Running, &i.Attempts, &i.LastError); err != nil {
			return nil, fmt.Errorf("list tasks: %w", err)
		}
		i.Due = migrations.Time(due)
		all = append(all, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	return all, nil
}
