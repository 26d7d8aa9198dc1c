package memory

import (
	"context"
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
	return nil
}

// Edited gives a message its new text; of several edits the newest counts,
// whatever the order they come in.
func (m *Memory) Edited(tx *migrations.Tx, msg Message) error {
	if err := insertMessage(tx, msg, `DO UPDATE SET text = excluded.text, edited_ts = excluded.edited_ts
		WHERE messages.gone_at = 0 AND messages.edited_ts <= excluded.edited_ts`); err != nil {
		return fmt.Errorf("edit message %s in %s: %w", msg.TS, msg.Channel, err)
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

// Deleted erases a message, seen before or not.
func (m *Memory) Deleted(tx *migrations.Tx, workspace, channel, ts string) error {
	err := eraseForReal(tx)
	if err == nil {
		_, err = tx.Exec(`INSERT INTO messages (workspace, channel, thread, ts, author, text, permalink, gone_at, said_at)
			VALUES ($1, $2, '', $3, '', '', '', $4, $5)
			ON CONFLICT (workspace, channel, ts) DO UPDATE SET text = '', permalink = '', edited_ts = '', gone_at = excluded.gone_at`,
			workspace, channel, ts, migrations.Micros(tx.Now()), migrations.Micros(tsTime(ts)))
	}
	if err != nil {
		return fmt.Errorf("delete message %s in %s: %w", ts, channel, err)
	}
	return nil
}

// Limit bounds what is read: at most Messages of them and about Tokens.
type Limit struct{ Messages, Tokens int }

// Transcript is a thread, oldest first, cut in the middle where it is over its
// Limit.
type Transcript struct {
	Messages []Message
	LeftOut  int // messages left out
	Gap      int // they stood before Messages[Gap]
}

// threadHead is how many messages of a long thread's beginning are kept: what
// was asked, and the first answers.
const threadHead = 3

// Thread gives the messages of one thread, or with thread "" those of a flat
// direct message. It keeps the first and the last ones, and reads no more than
// limit whatever the thread's length. The caller answers in that channel, so
// there is no other place to guard.
func (m *Memory) Thread(ctx context.Context, workspace, channel, thread string, limit Limit) (Transcript, error) {
	var t Transcript
	err := m.db.Read(ctx, func(tx *migrations.Tx) error {
		var total int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM messages WHERE workspace = $1 AND channel = $2 AND thread = $3 AND gone_at = 0`,
			workspace, channel, thread).Scan(&total); err != nil {
			return err
		}
		head, err := threadPart(tx, workspace, channel, thread, "ASC", min(threadHead, limit.Messages))
		if err != nil {
			return err
		}
		tail, err := threadPart(tx, workspace, channel, thread, "DESC", min(limit.Messages, total)-len(head))
		if err != nil {
			return err
		}
		for _, part := range [][]Message{head, tail} {
			for i := range part {
				part[i].Text = clip(part[i].Text, limit.Tokens)
			}
		}
		t = fitThread(head, tail, total, limit.Tokens)
		return nil
	})
	if err != nil {
		return Transcript{}, fmt.Errorf("read thread %s in %s: %w", thread, channel, err)
	}
	return t, nil
}

func threadPart(tx *migrations.Tx, workspace, channel, thread, order string, n int) ([]Message, error) {
	if n <= 0 {
		return nil, nil
	}
	rows, err := tx.Query(`SELECT ts, author, text, permalink, edited_ts FROM messages
		WHERE workspace = $1 AND channel = $2 AND thread = $3 AND gone_at = 0 ORDER BY ts `+order+` LIMIT $4`,
		workspace, channel, thread, n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var part []Message
	for rows.Next() {
		msg := Message{Workspace: workspace, Channel: channel, Thread: thread}
		if err := rows.Scan(&msg.TS, &msg.Author, &msg.Text, &msg.Permalink, &msg.EditedTS); err != nil {
			return nil, err
		}
		part = append(part, msg)
	}
	return part, rows.Err()
}

// fitThread joins head (oldest first) and tail (newest first) within tokens. The
// first and the newest message always stay; then the newest win, so that only
// the head's own texts can be cut off by it.
func fitThread(head, tail []Message, total, tokens int) Transcript {
	if len(head) == 0 {
		return Transcript{LeftOut: total}
	}
	left := tokens - Tokens(head[0].Text)
	kept := len(tail)
	for i, msg := range tail {
		if left -= Tokens(msg.Text); left < 0 && i > 0 {
			kept = i
			break
		}
	}
	t := Transcript{Messages: head[:1:1]}
	for _, msg := range head[1:] {
		if left -= Tokens(msg.Text); left < 0 {
			break
		}
		t.Messages = append(t.Messages, msg)
	}
	t.Gap = len(t.Messages)
	for i := kept - 1; i >= 0; i-- {
		t.Messages = append(t.Messages, tail[i])
	}
	t.LeftOut = total - len(t.Messages)
	return t
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
