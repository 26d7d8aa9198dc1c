package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"deskmate/migrations"
)

// Message is one Slack message.
type Message struct {
	Workspace string
	Channel   string
	Thread    string // ts of the root; "" for a root, and in a flat direct message
	TS        string // Slack's id of the message in its channel, "1700000000.000100"
	Author    string // Slack user id
	Text      string // as Slack sends it
	Permalink string // "" where it is not known
	EditedTS  string // ts of the edit that this text is from; "" for the first text
	Turn      string // the turn that said it, for the agent's own messages
	Files     []File
}

// At is the time of the message: its ts.
func (msg Message) At() time.Time { return tsTime(msg.TS) }

// tsTime is the time that a Slack ts stands for, zero where it is malformed.
func tsTime(ts string) time.Time {
	whole, frac, _ := strings.Cut(ts, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec < 0 || sec > 1<<40 {
		return time.Time{}
	}
	us, err := strconv.ParseInt((frac + "000000")[:6], 10, 64)
	if err != nil || us < 0 {
		us = 0
	}
	return time.Unix(sec, us*1000).UTC()
}

// Observe keeps a message. One that is known already, or that was deleted or
// forgotten, changes nothing: deliveries may come twice and late.
func (m *Memory) Observe(tx *migrations.Tx, msg Message) error {
	if err := insertMessage(tx, msg, `DO NOTHING`); err != nil {
		return fmt.Errorf("observe message %s in %s: %w", msg.TS, msg.Channel, err)
	}
	if len(msg.Files) == 0 {
		return nil
	}
	return m.attachIn(tx, msg)
}

// Edited gives a message its new text; of several edits the newest counts,
// whatever the order they come in.
func (m *Memory) Edited(tx *migrations.Tx, msg Message) error {
	if err := insertMessage(tx, msg, `DO UPDATE SET text = excluded.text, edited_ts = excluded.edited_ts
		WHERE messages.gone_at = 0 AND messages.edited_ts <= excluded.edited_ts`); err != nil {
		return fmt.Errorf("edit message %s in %s: %w", msg.TS, msg.Channel, err)
	}
	return m.attachIn(tx, msg)
}

// attachIn has the files of a message follow it, unless it is gone.
func (m *Memory) attachIn(tx *migrations.Tx, msg Message) error {
	var there bool
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM messages WHERE workspace = $1 AND channel = $2 AND ts = $3 AND gone_at = 0)`, msg.Workspace, msg.Channel, msg.TS).Scan(&there)
	if err == nil && there {
		err = m.attach(tx, msg)
	}
	if err != nil {
		return fmt.Errorf("keep files of message %s in %s: %w", msg.TS, msg.Channel, err)
	}
	return nil
}

func insertMessage(tx *migrations.Tx, msg Message, onConflict string) error {
	if msg.Thread == "" && !isDirect(msg.Channel) {
		msg.Thread = msg.TS // a root begins its thread
	}
	if err := eraseForReal(tx); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO messages (workspace, channel, thread, ts, author, text, permalink, edited_ts, said_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (workspace, channel, ts) `+onConflict,
		msg.Workspace, msg.Channel, msg.Thread, msg.TS, msg.Author, clean(msg.Text), msg.Permalink, msg.EditedTS, migrations.Micros(msg.At()))
	return err
}

// clean makes text storable everywhere: valid UTF-8 without NUL, which
// PostgreSQL refuses and at which SQLite's text functions stop.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// Deleted erases a message, seen before or not. Under legal hold its text stays,
// shown to nobody, until the hold ends.
func (m *Memory) Deleted(tx *migrations.Tx, workspace, channel, ts string) error {
	kept, err := isHeld(tx, workspace, scopeOf(channel))
	if err == nil {
		err = eraseForReal(tx)
	}
	if err == nil && FileOf(ts) == "" {
		if err = m.detach(tx, workspace, channel, ts); err == nil {
			_, err = tx.Exec(`DELETE FROM message_files WHERE workspace = $1 AND channel = $2 AND ts = $3`, workspace, channel, ts)
		}
	}
	if err == nil && kept {
		_, err = tx.Exec(`UPDATE messages SET gone_at = $1 WHERE workspace = $2 AND channel = $3 AND ts = $4`, migrations.Micros(tx.Now()), workspace, channel, ts)
	}
	if err == nil {
		_, err = tx.Exec(`INSERT INTO messages (workspace, channel, thread, ts, author, text, permalink, gone_at, said_at)
			VALUES ($1, $2, '', $3, '', '', '', $4, $5)
			ON CONFLICT (workspace, channel, ts) DO UPDATE SET text = '', permalink = '', edited_ts = '', gone_at = excluded.gone_at WHERE messages.gone_at = 0`,
			workspace, channel, ts, migrations.Micros(tx.Now()), migrations.Micros(tsTime(ts)))
	}
	if err != nil {
		return fmt.Errorf("delete message %s in %s: %w", ts, channel, err)
	}
	return nil
}

// Gone gives those of the messages in a channel that were deleted or forgotten.
func (m *Memory) Gone(ctx context.Context, workspace, channel string, ts []string) (map[string]bool, error) {
	list, err := json.Marshal(ts)
	if err != nil {
		return nil, fmt.Errorf("encode messages: %w", err)
	}
	rows, err := m.db.Query(ctx, `SELECT ts FROM messages WHERE workspace = $1 AND channel = $2 AND gone_at > 0 AND ts IN (SELECT value FROM json_each($3))`, workspace, channel, string(list))
	if err != nil {
		return nil, fmt.Errorf("look which messages in %s are gone: %w", channel, err)
	}
	gone := map[string]bool{}
	if err := eachString(rows, func(ts string) { gone[ts] = true }); err != nil {
		return nil, fmt.Errorf("look which messages in %s are gone: %w", channel, err)
	}
	return gone, nil
}

// Tokens estimates the tokens of text for a model, at four characters each.
func Tokens(text string) int { return (len(text) + 3) / 4 }

// clip cuts text to about tokens/3, so that no single message fills a bundle.
func clip(text string, tokens int) string {
	most := max(tokens/3, 1) * 4
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " …"
}
