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
	// ErrShutdown is the cause of the context of a handler that was still running
	// when the time to drain was over. Its task runs again at the next start.
	ErrShutdown = errors.New("shutting down")
	// ErrReplaced is how Run ends when another process has started under the same
	// owner on the same store.
	ErrReplaced = errors.New("another process works these tasks now: stop one of the two, or give each a store of its own")
)

// Topics of migrations.DB.Listen.
const (
	topicWake = "task:wake" // payload: kind
	topicStop = "task:stop" // payload: key
)

// Waking is a wish to have a key worked. Workspace and Kind are of the key for
// ever: later wakes do not change them.
type Waking struct {
	Workspace, Kind, Key string
	Due                  time.Time // not before; zero is now
}

// Wake asks, in the transaction that stores the work, for the key to be worked.
// A key that is being worked now is worked once more afterwards; an earlier due
// time wins over a later one, also over the wait after a failure.
func Wake(tx *migrations.Tx, w Waking) error {
	if w.Kind == "" || w.Key == "" {
		return fmt.Errorf("wake task: kind %q and key %q must not be empty", w.Kind, w.Key)
	}
	now := tx.Now()
	due := w.Due
	if due.IsZero() || due.Before(now) {
		due = now
	}
	// The first fence is the time, so that a key that was forgotten and comes back
	// does not meet a worker that still holds one of its old fences.
	_, err := tx.Exec(`INSERT INTO tasks (key, workspace, kind, wanted, due_at, fence, created_at, updated_at)
		VALUES ($1, $2, $3, 1, $4, $5, $5, $5)
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
// the cause ErrStopped: in this process at once, in another when it next looks.
// With no handler running, the flag is in the next Lease. It does not wake the
// key: whoever stops work also says so in its mailbox.
func Stop(tx *migrations.Tx, key string) error {
	if _, err := tx.Exec(`UPDATE tasks SET stop = 1, updated_at = $1 WHERE key = $2`, migrations.Micros(tx.Now()), key); err != nil {
		return fmt.Errorf("stop task %s: %w", key, err)
	}
	tx.Notify(topicStop, key)
	return nil
}

// Forget removes a key that nobody works, with all its wakes; of one that is
// being worked it takes back what would bring it again. A handler that runs
// meanwhile is not disturbed (that is Stop), and decides itself whether it asks
// to be run again.
func Forget(tx *migrations.Tx, key string) error {
	if _, err := tx.Exec(`DELETE FROM tasks WHERE key = $1 AND lease_owner = ''`, key); err != nil {
		return fmt.Errorf("forget task %s: %w", key, err)
	}
	if _, err := tx.Exec(`UPDATE tasks SET due_at = NULL, done = wanted WHERE key = $1`, key); err != nil {
		return fmt.Errorf("forget task %s: %w", key, err)
	}
	return nil
}

// Prune removes keys that have been idle since before, and reports how many.
// Nothing is lost with them: the next wake makes such a key anew.
func Prune(tx *migrations.Tx, before time.Time) (int64, error) {
	res, err := tx.Exec(`DELETE FROM tasks WHERE lease_owner = '' AND due_at IS NULL AND updated_at < $1`, migrations.Micros(before))
	if err != nil {
		return 0, fmt.Errorf("prune tasks: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("prune tasks: %w", err)
	}
	return n, nil
}
