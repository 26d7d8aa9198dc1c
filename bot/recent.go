package bot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskmate/migrations"
)

// Did is one thing that the agent did, or was kept from doing.
type Did struct {
	Tool      string
	Requester string
	Channel   string
	Thread    string // root ts, "" where the action belongs to no thread
	State     string // done, failed, denied, unknown, cancelled, intended
	At        time.Time
}

// mostSought bounds how far back a look at what was done goes, in actions.
const mostSought = 2000

// Recent gives the newest actions that fit, most at most, newest first. The agent's
// own manners are not among them.
func Recent(ctx context.Context, db *migrations.DB, workspace string, most int, fits func(Did) bool) ([]Did, error) {
	rows, err := db.Query(ctx, `SELECT a.tool, a.requester, a.channel, COALESCE(t.thread_ts, ''), a.state, a.created_at
		FROM actions a LEFT JOIN turns t ON t.id = a.turn WHERE a.workspace = $1 ORDER BY a.intent_seq DESC LIMIT $2`, workspace, mostSought)
	if err != nil {
		return nil, fmt.Errorf("look what was done: %w", err)
	}
	defer rows.Close()
	var all []Did
	for len(all) < most && rows.Next() {
		var d Did
		var at int64
		if err := rows.Scan(&d.Tool, &d.Requester, &d.Channel, &d.Thread, &d.State, &at); err != nil {
			return nil, fmt.Errorf("look what was done: %w", err)
		}
		if d.At = migrations.Time(at); !manners[d.Tool] && fits(d) {
			all = append(all, d)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look what was done: %w", err)
	}
	return all, nil
}

// CardOf gives the ts of an approval's card: direct is true for the one that went
// to the person alone, else it is the one where it was asked. "" where none is sent.
func CardOf(ctx context.Context, db *migrations.DB, approval, person string) (ts string, direct bool, err error) {
	own := cardKey(approval) + ":" + person
	err = db.QueryRow(ctx, `SELECT ts, post_key = $1 FROM outbox WHERE post_key IN ($1, $2) AND state = 'sent' ORDER BY post_key = $1 DESC LIMIT 1`,
		own, cardKey(approval)).Scan(&ts, &direct)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("find card of %s: %w", approval, err)
	}
	return ts, direct, nil
}

// EscapeText makes text harmless in mrkdwn, but for mentions of people and channels.
func EscapeText(text string) string { return escapeMentioning(text) }

// TimeOf is a time as Slack shows it to everyone in their own zone.
func TimeOf(t time.Time) string { return slackTime(t) }

// LinkOf is a link in mrkdwn, the words alone where there is no address.
func LinkOf(address, words string) string {
	if address == "" {
		return words
	}
	return "<" + address + "|" + words + ">"
}

// PlaceOf names a channel, or a direct message, in mrkdwn.
func PlaceOf(id string) string { return placeMention(id) }
