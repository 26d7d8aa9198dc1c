package bot

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// unknownUser stands for whoever deleted a message that Slack does not describe.
const unknownUser = "unknown"

func (e Event) threadKey() string {
	if e.Run != "" {
		return RunKey(e.Workspace, e.Run)
	}
	return ThreadKey(e.Workspace, e.Channel, e.Thread)
}

// insert stores e once; false means that it was there before.
func insert(tx *migrations.Tx, e Event, state string) (bool, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return false, fmt.Errorf("encode event: %w", err)
	}
	res, err := tx.Exec(`INSERT INTO inbox (workspace, event_key, kind, thread_key, channel, thread_ts, ts, user_id, body, state, received_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (workspace, event_key) DO NOTHING`,
		e.Workspace, e.Key, e.Kind, e.threadKey(), e.Channel, e.Thread, e.TS, e.User, string(body), state, migrations.Micros(tx.Now()))
	if err != nil {
		return false, fmt.Errorf("insert inbox row: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("insert inbox row: %w", err)
	}
	return n == 1, nil
}

// joinThread notes that the agent takes part in the thread of e. Who asked first
// owns it. What the agent tells by itself is nobody's work until somebody answers;
// a settled thread is open again when somebody addresses the agent in it.
func joinThread(tx *migrations.Tx, e Event) error {
	now := migrations.Micros(tx.Now())
	state, addressed := "open", 0
	if e.Kind != KindMessage {
		state = "told"
	}
	if e.Addressed() {
		addressed = 1
	}
	_, err := tx.Exec(`INSERT INTO threads (workspace, channel, thread_ts, thread_key, owner, joined_at, last_at, state)
		VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
		ON CONFLICT (workspace, channel, thread_ts) DO UPDATE SET last_at = excluded.last_at,
			state = CASE WHEN $7 = 'open' AND (threads.state = 'told' OR $8 = 1) THEN 'open' ELSE threads.state END`,
		e.Workspace, e.Channel, e.Thread, e.threadKey(), e.User, now, state, addressed)
	if err != nil {
		return fmt.Errorf("note thread %s: %w", e.threadKey(), err)
	}
	return nil
}

func wakeThread(tx *migrations.Tx, e Event) error {
	if err := wake(tx, e.Workspace, e.threadKey()); err != nil {
		return fmt.Errorf("wake %s: %w", e.threadKey(), err)
	}
	return nil
}

func stopThread(tx *migrations.Tx, e Event) error {
	if err := task.Stop(tx, e.threadKey()); err != nil {
		return fmt.Errorf("stop %s: %w", e.threadKey(), err)
	}
	return nil
}

// found is the stored message that an edit or deletion is about.
type found struct {
	id    int64
	state string
	turn  string
	event Event
}

func find(tx *migrations.Tx, e Event) (found, bool, error) {
	var r found
	var body string
	err := tx.QueryRow(`SELECT id, state, turn, body FROM inbox WHERE workspace = $1 AND event_key = $2`,
		e.Workspace, MessageKey(e.Channel, e.TS)).Scan(&r.id, &r.state, &r.turn, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return found{}, false, nil
	}
	if err != nil {
		return found{}, false, fmt.Errorf("look up message: %w", err)
	}
	if err := json.Unmarshal([]byte(body), &r.event); err != nil {
		return found{}, false, fmt.Errorf("decode inbox row %d: %w", r.id, err)
	}
	return r, true, nil
}
