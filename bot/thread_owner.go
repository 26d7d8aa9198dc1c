package bot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler/handoff"
)

// openSpan is how long after its last message a thread counts as open.
const openSpan = 30 * 24 * time.Hour

// openThread is the predicate of an open thread, in a query over threads t: one in
// a channel that is there, that is not settled. A direct message is nobody else's
// to take over.
const openThread = `t.state = 'open' AND t.channel NOT LIKE 'D%' AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.workspace = t.workspace AND c.id = t.channel AND c.is_archived = 1)`

// HandoffThreads are the threads that the agent takes part in, as handoffs know them.
func HandoffThreads() handoff.Threads {
	return handoff.Threads{Open: openThreads, Get: getThread, Own: ownThread}
}

func openThreads(tx *migrations.Tx, workspace, owner string) ([]handoff.Thread, error) {
	rows, err := tx.Query(`SELECT t.channel, t.thread_ts, t.owner, t.last_at FROM threads t
		WHERE t.workspace = $1 AND ($2 = '' OR t.owner = $2) AND t.last_at > $3 AND `+openThread+` ORDER BY t.last_at DESC, t.channel, t.thread_ts`,
		workspace, owner, migrations.Micros(tx.Now().Add(-openSpan)))
	if err != nil {
		return nil, fmt.Errorf("list open threads: %w", err)
	}
	defer rows.Close()
	var all []handoff.Thread
	for rows.Next() {
		t := handoff.Thread{Workspace: workspace}
		var last int64
		if err := rows.Scan(&t.Channel, &t.TS, &t.Owner, &last); err != nil {
			return nil, fmt.Errorf("list open threads: %w", err)
		}
		t.LastAt = migrations.Time(last)
		all = append(all, t)
	}
	return all, rows.Err()
}

func getThread(tx *migrations.Tx, workspace, channel, ts string) (handoff.Thread, error) {
	t := handoff.Thread{Workspace: workspace, Channel: channel, TS: ts}
	var last int64
	err := tx.QueryRow(`SELECT t.owner, t.last_at FROM threads t WHERE t.workspace = $1 AND t.channel = $2 AND t.thread_ts = $3 AND `+openThread, workspace, channel, ts).Scan(&t.Owner, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return t, handoff.ErrNone
	}
	if err != nil {
		return t, fmt.Errorf("load thread %s: %w", ts, err)
	}
	t.LastAt = migrations.Time(last)
	return t, nil
}

func ownThread(tx *migrations.Tx, workspace, channel, ts, owner string) error {
	res, err := tx.Exec(`UPDATE threads SET owner = $1 WHERE workspace = $2 AND channel = $3 AND thread_ts = $4`, owner, workspace, channel, ts)
	if err != nil {
		return fmt.Errorf("give thread %s an owner: %w", ts, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("give thread %s an owner: %w", ts, handoff.ErrNone))
	}
	return nil
}

// SettleThread says that a thread is settled, or open again: whoever mentions the
// agent in it opens it again too. It reports whether that is new.
func SettleThread(ctx context.Context, db *migrations.DB, workspace, channel, ts string, settled bool) (changed bool, err error) {
	from, to := "open", "settled"
	if !settled {
		from, to = to, from
	}
	err = db.Write(ctx, func(tx *migrations.Tx) error {
		res, err := tx.Exec(`UPDATE threads SET state = $1 WHERE workspace = $2 AND channel = $3 AND thread_ts = $4 AND state = $5`, to, workspace, channel, ts, from)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		changed = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("settle thread %s: %w", ts, err)
	}
	return changed, nil
}
