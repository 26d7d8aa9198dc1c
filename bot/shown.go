package bot

import (
	"bytes"
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
	Turn     string        `json:"turn"`
	Channel  string        `json:"channel"`
	Thread   string        `json:"thread"`
	Tokens   int           `json:"tokens"` // estimated, at four characters each
	BuiltAt  time.Time     `json:"built_at"`
	Messages []SentMessage `json:"messages"`
	Tools    []string      `json:"tools"` // that it was offered, by name
}

// SentMessage is a Message as a model server is sent it: who speaks stands in the
// text, tools go by the names of the protocol, and nothing is empty.
type SentMessage struct {
	Role    string     `json:"role"`
	Content string     `json:"content,omitempty"`
	CallID  string     `json:"call_id,omitempty"`
	Calls   []SentCall `json:"calls,omitempty"`
}

// SentCall is a call of a tool in a SentMessage. Arguments is JSON as it was sent, to
// the byte.
type SentCall struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// shownBody is what is kept of it.
type shownBody struct {
	Messages []SentMessage `json:"messages"`
	Tools    []string      `json:"tools"`
}

// shownFor is how long it is kept what a model was given.
const shownFor = 30 * 24 * time.Hour

// show keeps what the model is about to be given, in place of what the turn gave
// it before, and lets go of what is old.
func (l *Loop) show(ctx context.Context, lease *task.Lease, t *Turn, messages []Message, tools []Tool) error {
	var shown shownBody
	for _, m := range messages {
		shown.Messages = append(shown.Messages, m.sent())
	}
	for _, tool := range tools {
		shown.Tools = append(shown.Tools, tool.Name)
	}
	body, err := json.Marshal(shown)
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
// anywhere in a channel. In the thread of a report that is also what the run was
// given that reported it. memory.ErrNotFound where that is nothing, or was erased.
func LastShown(ctx context.Context, db *migrations.DB, workspace, channel, thread string) (Shown, error) {
	s := Shown{Channel: channel}
	var body string
	var at int64
	err := db.QueryRow(ctx, `SELECT turn, thread, messages, tokens, built_at FROM turn_contexts
		WHERE workspace = $1 AND channel = $2 AND ($3 = '' OR thread = $3
			OR turn IN (SELECT r.turn FROM runs r WHERE r.said_in = $2 AND r.said_at = $3 AND r.said_at <> '')) ORDER BY built_at DESC, turn DESC LIMIT 1`,
		workspace, channel, thread).Scan(&s.Turn, &s.Thread, &body, &s.Tokens, &at)
	if errors.Is(err, sql.ErrNoRows) {
		err = memory.ErrNotFound
	}
	if err == nil {
		s.Messages, s.Tools, err = readShown([]byte(body))
	}
	if err != nil {
		return Shown{}, fmt.Errorf("look up context of thread %s in %s: %w", thread, channel, err)
	}
	s.BuiltAt = migrations.Time(at)
	return s, nil
}

// readShown reads what show kept. Before tools were kept it was a list of Messages.
func readShown(body []byte) ([]SentMessage, []string, error) {
	var shown shownBody
	if !bytes.HasPrefix(body, []byte("[")) {
		err := json.Unmarshal(body, &shown)
		return shown.Messages, shown.Tools, err
	}
	var old []Message
	err := json.Unmarshal(body, &old)
	for _, m := range old {
		shown.Messages = append(shown.Messages, m.sent())
	}
	return shown.Messages, nil, err
}
