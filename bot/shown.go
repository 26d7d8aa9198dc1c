package bot

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// Shown is what the model was given last in a turn.
type Shown struct {
	Turn     string    `json:"turn"`
	Channel  string    `json:"channel"`
	Thread   string    `json:"thread"`
	Tokens   int       `json:"tokens"` // estimated, at four characters each
	BuiltAt  time.Time `json:"built_at"`
	Messages []Message `json:"messages"`
}

// shownFor is how long it is kept what a model was given.
const shownFor = 30 * 24 * time.Hour

// show keeps what the model is about to be given, in place of what the turn gave
// it before, and lets go of what is old.
func (l *Loop) show(ctx context.Context, lease *task.Lease, t *Turn, messages []Message) error {
	body, err := json.Marshal(messages)
	if err != nil {
		return fmt.Errorf("encode context of turn %s: %w", t.ID, err)
	}
	tokens := 0
	for _, m := range messages {
		tokens += memory.Tokens(m.Content)
	}
	err = l.DB.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO turn_contexts (turn, workspace, channel, thread, messages, tokens, built_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (turn) DO UPDATE SET messages = excluded.messages, tokens = excluded.tokens, built_at = excluded.built_at`,
			t.ID, t.Workspace, t.Channel, t.Thread, string(body), tokens, migrations.Micros(tx.Now())); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM turn_contexts WHERE turn IN (SELECT turn FROM turn_contexts WHERE workspace = $1 AND built_at < $2 LIMIT 20)`,
			t.Workspace, migrations.Micros(tx.Now().Add(-shownFor)))
		return err
	})
	if err != nil {
		return fmt.Errorf("keep context of turn %s: %w", t.ID, err)
	}
	return nil
}

// LastShown gives what the model was given last in a thread, or with thread ""
// anywhere in a channel. memory.ErrNotFound where that is nothing, or was erased.
func LastShown(ctx context.Context, db *migrations.DB, workspace, channel, thread string) (Shown, error) {
	s := Shown{Channel: channel}
	var body string
	var at int64
	err := db.QueryRow(ctx, `SELECT turn, thread, messages, tokens, built_at FROM turn_contexts
		WHERE workspace = $1 AND channel = $2 AND ($3 = '' OR thread = $3) ORDER BY built_at DESC, turn DESC LIMIT 1`,
		workspace, channel, thread).Scan(&s.Turn, &s.Thread, &body, &s.Tokens, &at)
	if errors.Is(err, sql.ErrNoRows) {
		err = memory.ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &s.Messages)
	}
	if err != nil {
		return Shown{}, fmt.Errorf("look up context of thread %s in %s: %w", thread, channel, err)
	}
	s.BuiltAt = migrations.Time(at)
	return s, nil
}
