// Package task keeps promises: keyed tasks that survive anything.
//
// A row of the tasks table is a mailbox. Waking it happens in the transaction
// that stores the work; one worker at a time, in order, works a key under a lease
// with a fence; a wait for a human is a finished task that the answer wakes. It
// promises that no wake-up is lost, that no two workers ever act for one key with
// the same fence, and that a worker that was overtaken can change nothing. It
// must never hold a transaction while a handler runs, and never drop a task
// because its handler fails.
//
// The state machine is on one page: docs/tasks.md.
package task

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskmate/migrations"
)

var (
	// ErrFenced means that the key has been claimed by another worker since.
	ErrFenced = errors.New("another worker has taken over this task")
	// ErrStopped is the cause of the context of a handler whose task was stopped.
	ErrStopped = errors.New("stopped")
)

// Topics of migrations.DB.Listen.
const (
	topicWake = "task:wake" // payload: kind
	topicStop = "task:stop" // payload: key
)

// Waking is a wish to have a key worked.
type Waking struct {
	Workspace, Kind, Key string
	Due                  time.Time // not before; zero is now
}

// Wake asks, in the transaction that stores the work, for the key to be worked.
// A key that is being worked now is worked once more afterwards; an earlier due
// time wins over a later one.
func Wake(tx *migrations.Tx, w Waking) error {
	if w.Kind == "" || w.Key == "" {
		return fmt.Errorf("wake task: kind %q and key %q must not be empty", w.Kind, w.Key)
	}
	now := tx.Now()
	due := w.Due
	if due.IsZero() || due.Before(now) {
		due = now
	}
	_, err := tx.Exec(`INSERT INTO tasks (key, workspace, kind, wanted, due_at, fence, created_at, updated_at)
		VALUES ($1, $2, $3, 1, $4, 0, $5, $5)
		ON CONFLICT (key) DO UPDATE SET
			wanted = tasks.wanted + 1,
			due_at = CASE WHEN tasks.due_at IS NULL OR tasks.due_at > excluded.due_at THEN excluded.due_at ELSE tasks.due_at END,
			updated_at = excluded.updated_at`,
		w.Key, w.Workspace, w.Kind, migrations.Micros(due), migrations.Micros(now))
	if err != nil {
		return fmt.Errorf("wake task %s: %w", w.Key, err)
	}
	tx.Notify(topicWake, w.Kind)
	return nil
}

// Stop flags a key and, after the commit, ends the context of its handler with
// the cause ErrStopped: in this process at once, in another at its next renewal.
// With no handler running, the flag is in the next Lease. It does not wake the
// key.
func Stop(tx *migrations.Tx, key string) error {
	if _, err := tx.Exec(`UPDATE tasks SET stop = 1, updated_at = $1 WHERE key = $2`, migrations.Micros(tx.Now()), key); err != nil {
		return fmt.Errorf("stop task %s: %w", key, err)
	}
	tx.Notify(topicStop, key)
	return nil
}

// Forget removes a key that nobody works; one that is being worked stays, but
// is not due again by itself.
func Forget(tx *migrations.Tx, key string) error {
	if _, err := tx.Exec(`DELETE FROM tasks WHERE key = $1 AND lease_owner = ''`, key); err != nil {
		return fmt.Errorf("forget task %s: %w", key, err)
	}
	if _, err := tx.Exec(`UPDATE tasks SET due_at = NULL WHERE key = $1`, key); err != nil {
		return fmt.Errorf("forget task %s: %w", key, err)
	}
	return nil
}

// Lease is the right to work one key. Fence grows with every claim.
type Lease struct {
	Workspace, Kind, Key string
	Seen                 int64     // wakes that this run answers
	Fence                int64     // names the claim
	Attempts             int64     // earlier runs in a row that failed
	Takeovers            int64     // earlier runs in a row that died with their process
	Stopped              bool      // Stop was called before this run began
	Due                  time.Time // when it was due
}

// Guard refuses, with ErrFenced, a write of a worker that was overtaken. Every
// transaction of a handler calls it first.
func (l *Lease) Guard(tx *migrations.Tx) error {
	var fence int64
	err := tx.QueryRow(`SELECT fence FROM tasks WHERE key = $1`, l.Key).Scan(&fence)
	if errors.Is(err, sql.ErrNoRows) || err == nil && fence != l.Fence {
		return fmt.Errorf("task %s: %w", l.Key, ErrFenced)
	}
	if err != nil {
		return fmt.Errorf("check fence of task %s: %w", l.Key, err)
	}
	return nil
}

// claim takes up to limit due keys of a kind for owner: in order of due time,
// but from each workspace in turn, so that one cannot starve the others.
func claim(ctx context.Context, db *migrations.DB, owner, kind string, limit int, lease time.Duration) ([]*Lease, error) {
	var got []*Lease
	err := db.Write(ctx, func(tx *migrations.Tx) error {
		got = nil
		now := migrations.Micros(tx.Now())
		rows, err := tx.Query(`UPDATE tasks SET lease_owner = $1, lease_until = $2, fence = fence + 1, claimed_due = due_at, due_at = NULL,
				claimed_stop = stop, stop = 0, updated_at = $3
			WHERE key IN (
				SELECT key FROM (
					SELECT key, due_at, ROW_NUMBER() OVER (PARTITION BY workspace ORDER BY due_at, key) AS turn
					FROM tasks WHERE kind = $4 AND due_at <= $3 AND lease_owner = ''
				) AS due ORDER BY turn, due_at, key LIMIT $5
			)
			RETURNING workspace, kind, key, wanted, fence, attempts, takeovers, claimed_stop, claimed_due`,
			owner, migrations.Micros(tx.Now().Add(lease)), now, kind, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l Lease
			var due, stop int64
			if err := rows.Scan(&l.Workspace, &l.Kind, &l.Key, &l.Seen, &l.Fence, &l.Attempts, &l.Takeovers, &stop, &due); err != nil {
				return err
			}
			l.Stopped, l.Due = stop == 1, migrations.Time(due)
			got = append(got, &l)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("claim %s tasks: %w", kind, err)
	}
	return got, nil
}

// finish gives a key back. A wake that came meanwhile makes it due at once; else
// it is due at again, or when it is next woken. failed counts the attempt and
// keeps its error.
func finish(ctx context.Context, db *migrations.DB, l *Lease, again time.Time, failed error) error {
	err := db.Write(ctx, func(tx *migrations.Tx) error {
		text, tried := "", int64(0)
		if failed != nil {
			text, tried = clip(failed.Error()), l.Attempts+1
		}
		// due_at may have been set by a wake or a Forget since the claim: the
		// earlier time wins. A failed run answers no wake, so it keeps them wanted
		// but waits for its next try.
		res, err := tx.Exec(`UPDATE tasks SET
				lease_owner = '', lease_until = 0,
				done = CASE WHEN $1 = 0 THEN $2 ELSE done END,
				due_at = CASE
					WHEN $1 > 0 THEN $3
					WHEN due_at IS NULL THEN $3
					WHEN $3 IS NULL OR due_at < $3 THEN due_at
					ELSE $3 END,
				attempts = $1, takeovers = 0, last_error = $4, updated_at = $5
			WHERE key = $6 AND fence = $7 AND lease_owner <> ''`,
			tried, l.Seen, nullable(again), text, migrations.Micros(tx.Now()), l.Key, l.Fence)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrFenced, err)
		}
		tx.Notify(topicWake, l.Kind)
		return nil
	})
	if err != nil {
		return fmt.Errorf("finish task %s: %w", l.Key, err)
	}
	return nil
}

// renew prolongs the leases of running handlers and tells which of them were
// stopped or overtaken.
func renew(ctx context.Context, db *migrations.DB, leases []*Lease, lease time.Duration) (stopped, lost []*Lease, err error) {
	err = db.Write(ctx, func(tx *migrations.Tx) error {
		stopped, lost = nil, nil
		for _, l := range leases {
			var stop int64
			err := tx.QueryRow(`UPDATE tasks SET lease_until = $1 WHERE key = $2 AND fence = $3 AND lease_owner <> '' RETURNING stop`,
				migrations.Micros(tx.Now().Add(lease)), l.Key, l.Fence).Scan(&stop)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				lost = append(lost, l)
			case err != nil:
				return err
			case stop == 1:
				stopped = append(stopped, l)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("renew leases: %w", err)
	}
	return stopped, lost, nil
}

// takeOver frees the leases of owner (all of them) and of everybody whose lease
// ran out, makes their keys due at once, and counts it: a handler that kills its
// process must not do so without end.
func takeOver(ctx context.Context, db *migrations.DB, owner string) (freed int64, err error) {
	err = db.Write(ctx, func(tx *migrations.Tx) error {
		now := migrations.Micros(tx.Now())
		// The fence moves with it: whoever held the lease is overtaken from now on.
		res, err := tx.Exec(`UPDATE tasks SET lease_owner = '', lease_until = 0, fence = fence + 1, takeovers = takeovers + 1,
				due_at = CASE WHEN due_at IS NULL OR due_at > $1 THEN $1 ELSE due_at END, updated_at = $1
			WHERE lease_owner <> '' AND (lease_owner = $2 OR lease_until < $1)`, now, owner)
		if err != nil {
			return err
		}
		freed, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("take over orphaned tasks: %w", err)
	}
	return freed, nil
}

func nullable(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return migrations.Micros(t)
}

// clip bounds what is kept of an error.
func clip(s string) string {
	const most = 500
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

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
	return list(ctx, db, `attempts > 0 AND last_error <> '' ORDER BY attempts DESC, key LIMIT $1`, limit)
}

// Overdue lists the tasks that were due before t and that nobody works.
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
