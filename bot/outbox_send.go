package bot

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// postsPerClaim bounds how long one channel keeps a worker: a post a second.
const postsPerClaim = 30

// suspendedPause is how often an outbox of a suspended agent looks again.
const suspendedPause = 3 * time.Second

// owed is a queued row.
type owed struct {
	id   int64
	part part
}

// Handle sends what a channel is owed, in order. It is the task handler of kind
// "outbox".
func (o *Outbox) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	suspended := false // then only notices to the admins go out
	for range postsPerClaim {
		row, ok, err := o.next(ctx, lease, suspended)
		if suspended && err == nil && !ok {
			return task.Result{Again: o.o.DB.Now().Add(suspendedPause)}, nil
		}
		if err != nil || !ok {
			return task.Result{}, err
		}
		_, err = o.deliver(ctx, row.part, &sending{lease: lease, row: row})
		var denied *identity.DeniedError
		switch {
		case err == nil, errors.Is(err, errCancelled):
		case errors.Is(err, identity.ErrSuspended):
			if suspended {
				return task.Result{Again: o.o.DB.Now().Add(suspendedPause)}, nil
			}
			suspended = true
		case errors.As(err, &denied), errors.Is(err, identity.ErrUnknownOutcome), isFailed(err):
			// The gate's last word, but for a row that was closed with the outcome.
			if err := o.close(ctx, lease, row, err); err != nil {
				return task.Result{}, err
			}
		default:
			return task.Result{}, fmt.Errorf("send post %s: %w", row.part.Key, err)
		}
	}
	return task.Result{Again: o.o.DB.Now()}, nil
}

// isFailed reports a failure that is certain and will not change.
func isFailed(err error) bool {
	var failed *identity.FailedError
	return errors.As(err, &failed) || isRefusal(err)
}

// next is the oldest queued row of the lease's channel, or the oldest notice.
func (o *Outbox) next(ctx context.Context, lease *task.Lease, notices bool) (owed, bool, error) {
	channel := lease.Key[len(OutboxKey(lease.Workspace, "")):]
	var row owed
	var body string
	only := ""
	if notices {
		only = ` AND post_key LIKE 'notice:%'`
	}
	err := o.o.DB.QueryRow(ctx, `SELECT id, body FROM outbox WHERE workspace = $1 AND channel = $2 AND state = 'queued'`+only+` ORDER BY id LIMIT 1`,
		lease.Workspace, channel).Scan(&row.id, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return owed{}, false, nil
	}
	if err != nil {
		return owed{}, false, fmt.Errorf("read outbox of %s: %w", channel, err)
	}
	if err := json.Unmarshal([]byte(body), &row.part); err != nil {
		return owed{}, false, fmt.Errorf("decode outbox row %d: %w", row.id, err)
	}
	return row, true, nil
}

// errCancelled says that a queued row was taken back before it was sent.
var errCancelled = errors.New("cancelled before it was sent")

// sending is the queued row behind a delivery, and the lease that works it.
type sending struct {
	lease *task.Lease
	row   owed
}

// deliver sends one part through the gate and returns the ts of the message.
// from is nil for what is sent at once, without a row.
func (o *Outbox) deliver(ctx context.Context, p part, from *sending) (ts string, err error) {
	defer func() { o.noteToken(err) }()
	if err := o.known(ctx, p.Post); err != nil {
		return "", err
	}
	channel := p.Channel
	if p.toPerson() {
		id, err := o.o.People.Direct(ctx, p.Workspace, p.Channel)
		if err != nil && !isRefusal(err) {
			return "", err
		}
		if err == nil {
			channel = id
		}
	}
	if p.UpdateKey != "" && p.Update == "" {
		if p.Update, err = o.sentTS(ctx, p.UpdateKey); err != nil {
			return "", err
		}
	}
	if p.Under != "" {
		var failed *identity.FailedError
		if p.Thread, err = o.sentTS(ctx, p.Under); errors.As(err, &failed) {
			p.Thread = "" // the root was not taken: said by itself rather than not at all
		} else if err != nil {
			return "", err
		}
	}
	action := o.action(ctx, p.Post, p.Mrkdwn)
	ready := func(ctx context.Context) error {
		if from != nil {
			if err := o.stillOwed(ctx, from.row.id); err != nil {
				return err
			}
		}
		o.o.Crash("outbox:sending")
		return nil
	}
	effect := identity.Effect{
		Do: func(ctx context.Context) (r identity.Result, err error) {
			if p.Update != "" {
				var superseded bool
				superseded, err = o.send.update(ctx, channel, p.Update, p.Mrkdwn, p.Card, ready)
				r.Ref = p.Update
				if superseded {
					r.Text = "a newer edit took its place"
				}
			} else {
				r.Ref, err = o.send.post(ctx, channel, p.Thread, p.Key, p.Mrkdwn, p.Card, ready)
			}
			if p.Run != "" {
				o.o.Crash("run:reported")
			}
			o.o.Crash("outbox:sent")
			return r, outcome(err)
		},
		Find: func(ctx context.Context, since time.Time) (identity.Result, bool, error) {
			if p.Update != "" { // an edit made twice is as good as once
				return identity.Result{}, false, nil
			}
			ts, ok, err := o.send.find(ctx, channel, p.Thread, p.Key, p.Mrkdwn, since)
			switch {
			case isRefusal(err, "thread_not_found", "channel_not_found", "not_in_channel"): // nowhere to look: it is not there
				return identity.Result{}, false, nil
			case isRefusal(err): // we may not look, and will not tomorrow
				return identity.Result{}, false, fmt.Errorf("%w: %w", identity.ErrUnknownOutcome, err)
			}
			return identity.Result{Ref: ts}, ok, err
		},
		Commit: func(tx *migrations.Tx, r identity.Result, err error) error {
			if from != nil {
				if err := from.lease.Guard(tx); err != nil {
					return err
				}
				if err := o.settle(tx, from.row, r, err); err != nil {
					return err
				}
			}
			if err == nil && p.Run != "" {
				if err := o.o.Reported(tx, p.Run, channel, r.Ref); err != nil {
					return err
				}
			}
			if err != nil || p.Thread != "" || p.Update != "" {
				return nil
			}
			return o.join(tx, p, channel, r.Ref)
		},
	}
	r, err := o.o.Gate.Do(ctx, action, effect)
	return r.Ref, err
}

// sentTS is the ts of a post that was sent before; what was never sent cannot be
// edited, and is an error for good.
func (o *Outbox) sentTS(ctx context.Context, key string) (string, error) {
	var ts string
	err := o.o.DB.QueryRow(ctx, `SELECT ts FROM outbox WHERE post_key = $1`, key).Scan(&ts)
	if err == nil && ts != "" {
		return ts, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("find post %s: %w", key, err)
	}
	return "", &identity.FailedError{Err: fmt.Errorf("the post %s that this changes was not sent", key)}
}

// known looks the channel up before the gate does: there, a passing failure of
// Slack would be a denial for good.
func (o *Outbox) known(ctx context.Context, p Post) error {
	if o.o.People == nil || p.toPerson() {
		return nil
	}
	if _, err := o.o.People.Channel(ctx, p.Workspace, p.Channel); err != nil && !isRefusal(err) {
		return err
	}
	return nil
}

// noteToken remembers whether Slack still takes the token.
func (o *Outbox) noteToken(err error) {
	var dead *TokenError
	if err != nil && !errors.As(err, &dead) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead = dead
}

// Dead returns the *TokenError that keeps the outbox from sending, nil while it
// can. What is owed stays queued.
func (o *Outbox) Dead() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead == nil {
		return nil
	}
	return o.dead
}

// toPerson reports whether the post is addressed to a user, whose direct
// messages are still to be opened.
func (p Post) toPerson() bool { return p.Channel[0] == 'U' || p.Channel[0] == 'W' }

// stillOwed fails for a row that was cancelled since it was read.
func (o *Outbox) stillOwed(ctx context.Context, id int64) error {
	var state string
	if err := o.o.DB.QueryRow(ctx, `SELECT state FROM outbox WHERE id = $1`, id).Scan(&state); err != nil {
		return fmt.Errorf("look at outbox row %d: %w", id, err)
	}
	if state != "queued" {
		return errCancelled
	}
	return nil
}

// settle writes into tx what became of a row.
func (o *Outbox) settle(tx *migrations.Tx, row owed, r identity.Result, err error) error {
	switch {
	case errors.Is(err, errCancelled):
		return nil
	case err != nil:
		return o.refused(tx, row, err)
	}
	_, err = tx.Exec(`UPDATE outbox SET state = 'sent', ts = $1, sent_at = $2, attempts = attempts + 1 WHERE id = $3`,
		r.Ref, migrations.Micros(tx.Now()), row.id)
	if err != nil {
		return fmt.Errorf("close outbox row %d: %w", row.id, err)
	}
	return nil
}

// join notes the thread that a post of the agent's begins, so that replies to it
// are for the agent.
func (o *Outbox) join(tx *migrations.Tx, p part, channel, ts string) error {
	if ts == "" {
		return nil
	}
	return joinThread(tx, Event{Workspace: p.Workspace, Channel: channel, Thread: ts, User: p.Requester})
}

// refused closes a row that cannot be sent and owes its text to the next place
// that may take it: the channel in place of a thread that is gone, the requester
// in place of a channel that is closed to the agent.
func (o *Outbox) refused(tx *migrations.Tx, row owed, why error) error {
	res, err := tx.Exec(`UPDATE outbox SET state = 'failed', error = $1, attempts = attempts + 1 WHERE id = $2 AND state = 'queued'`, why.Error(), row.id)
	if err != nil {
		return fmt.Errorf("close outbox row %d: %w", row.id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	next, ok := row.part.detour(fate(why))
	if ok {
		return queue(tx, next)
	}
	p := row.part.Post
	tx.AfterCommit(func() {
		o.o.Logger.Error().Err(why).Str("post", p.Key).Str("channel", p.Channel).Msg("post not delivered")
		o.o.Failed(context.WithoutCancel(tx.Context()), p, why.Error())
	})
	return nil
}

// detour is the part as it goes to the next place, false when there is none.
// Edits have none: what they would have changed is not there.
func (p part) detour(fate string) (part, bool) {
	switch {
	case p.Update != "" || p.UpdateKey != "" || fate == "" || fate == fateText:
		return part{}, false
	case fate == fateThread && p.Thread != "":
		p.Key, p.Thread = p.Key+":root", ""
		p.Detour = "(The thread that this belongs to is gone.)\n"
		p.Mrkdwn = p.Detour + p.Mrkdwn
		return p, true
	case p.Requester == "" || p.toPerson() || p.ChannelKind == ChannelDirect || p.Requester[0] != 'U' && p.Requester[0] != 'W':
		return part{}, false
	}
	note := "(I may not write in <#" + p.Channel + ">, so here is what I owed you there.)\n"
	p.Mrkdwn = note + p.Mrkdwn[len(p.Detour):]
	p.Key, p.Thread, p.Channel, p.ChannelKind, p.Detour = p.Key+":dm", "", p.Requester, ChannelDirect, note
	return p, true
}

// close settles a row for which the gate has no more to do.
func (o *Outbox) close(ctx context.Context, lease *task.Lease, row owed, why error) error {
	return o.o.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		return o.refused(tx, row, why)
	})
}
