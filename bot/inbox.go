package bot

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"deskmate/migrations"
)

// taskThread is the kind of the tasks that work threads.
const taskThread = "thread"

// ErrInboxChanged is returned by Take for a row that is not as it was read.
var ErrInboxChanged = errors.New("the message was edited or deleted meanwhile")

// InboxOptions are the choices of NewInbox; all may be left out.
type InboxOptions struct {
	// Observe is called for every event of a conversation that the agent takes
	// part in, in the transaction that stores it. Its error undoes the storing,
	// and Slack delivers again.
	Observe func(tx *migrations.Tx, e Event) error
	// KindOf looks up the kind of a channel where the delivery does not tell.
	KindOf func(ctx context.Context, workspace, channel string) (string, error)
	// Keeps reports whether memory keeps, or follows the change of, a message that
	// is not for the agent; nil: none.
	Keeps func(ctx context.Context, e Event) (bool, error)
	// Watch finds the duties that an event sets off, and gives what does so in the
	// transaction that stores the event; nil if there are none. mine says that the
	// event is for the agent as well. Its error undoes nothing: Slack delivers again.
	Watch func(ctx context.Context, e Event, mine bool) (func(tx *migrations.Tx) error, error)
	Crash func(point string) // named crash points; nil in production
}

// Inbox holds what happened and has not been worked yet: one row per happening,
// however often and by whichever way Slack tells of it.
type Inbox struct {
	db    *migrations.DB
	o     InboxOptions
	early *early
}

// NewInbox returns the inbox of the store db.
func NewInbox(db *migrations.DB, o InboxOptions) *Inbox {
	if o.Observe == nil {
		o.Observe = func(*migrations.Tx, Event) error { return nil }
	}
	if o.Watch == nil {
		o.Watch = func(context.Context, Event, bool) (func(tx *migrations.Tx) error, error) { return nil, nil }
	}
	if o.Crash == nil {
		o.Crash = func(string) {}
	}
	return &Inbox{db: db, o: o, early: newEarly()}
}

// Row is one entry of the inbox.
type Row struct {
	ID    int64
	Event Event
}

// Accept makes e durable if it is for the agent, and wakes the task of its
// thread in the same transaction. When it returns nil the delivery may be
// acknowledged; stored is false for what is not for the agent and for what was
// known before, which costs a read at most.
func (b *Inbox) Accept(ctx context.Context, e Event) (stored bool, err error) {
	if e.Kind == KindProgram || e.Kind == KindReaction {
		setOff, err := b.o.Watch(ctx, e, false)
		if err != nil || setOff == nil {
			return false, err
		}
		if err := b.db.WriteFirst(ctx, setOff); err != nil {
			return false, fmt.Errorf("set duties off by %s: %w", e.Key, err)
		}
		return true, nil
	}
	if e.mayBeEarly() {
		done := b.early.put(e)
		defer func() {
			if stored {
				done()
			}
		}()
	}
	forMe, err := b.forMe(ctx, e)
	if err != nil {
		return false, err
	}
	setOff, err := b.o.Watch(ctx, e, forMe)
	if err != nil {
		return false, err
	}
	if !forMe {
		return false, b.overhear(ctx, e, setOff)
	}
	if e.ChannelKind == "" {
		e.ChannelKind = b.kindOf(ctx, e)
	}
	err = b.db.WriteFirst(ctx, func(tx *migrations.Tx) error {
		var err error
		if stored, err = b.store(tx, e); err != nil || setOff == nil {
			return err
		}
		return setOff(tx)
	})
	if err != nil {
		return false, fmt.Errorf("store %s: %w", e.Key, err)
	}
	b.o.Crash("inbox:committed")
	if e.Kind == KindMessage || e.Kind == KindStop {
		for _, later := range b.early.after(e) {
			if _, err := b.Accept(ctx, later); err != nil {
				return stored, fmt.Errorf("store what followed %s: %w", e.Key, err)
			}
		}
	}
	return stored, nil
}

// overhear has memory keep what is not for the agent, where it is allowed to
// learn, and follow the changes of what it has; and sets off the duties that watch
// for it.
func (b *Inbox) overhear(ctx context.Context, e Event, setOff func(tx *migrations.Tx) error) error {
	keeps := false
	if b.o.Keeps != nil && e.Kind != KindStop && e.Kind != KindDuty {
		var err error
		if keeps, err = b.o.Keeps(ctx, e); err != nil {
			return err
		}
	}
	if !keeps && setOff == nil {
		return nil
	}
	err := b.db.WriteFirst(ctx, func(tx *migrations.Tx) error {
		if keeps {
			if err := b.o.Observe(tx, e); err != nil {
				return err
			}
		}
		if setOff == nil {
			return nil
		}
		return setOff(tx)
	})
	if err != nil {
		return fmt.Errorf("overhear %s: %w", e.Key, err)
	}
	return nil
}

// mayBeEarly reports whether e is for the agent only by something that may be
// stored after it: the mention that begins its thread, or the message it changes.
func (e Event) mayBeEarly() bool {
	return e.Kind == KindEdit || e.Kind == KindDelete || !e.Mention && !e.Direct && e.Thread != e.TS && e.Kind != KindDuty
}

// kindPatience bounds a look-up that an acknowledgement waits for; Slack wants it
// within 3 s.
const kindPatience = 1500 * time.Millisecond

// kindOf finds the kind of a channel that the delivery did not tell. When nobody
// knows it, the narrow kind is the safe one.
func (b *Inbox) kindOf(ctx context.Context, e Event) string {
	if b.o.KindOf != nil {
		ctx, cancel := context.WithTimeout(ctx, kindPatience)
		defer cancel()
		if kind, err := b.o.KindOf(ctx, e.Workspace, e.Channel); err == nil && kind != "" {
			return kind
		}
	}
	return ChannelPrivate
}

// forMe decides with at most one indexed read whether e is for the agent.
func (b *Inbox) forMe(ctx context.Context, e Event) (bool, error) {
	var q string
	var args []any
	switch {
	case e.Mention || e.Direct || e.Kind == KindDuty:
		return true, nil
	case e.Kind == KindEdit || e.Kind == KindDelete:
		q = `SELECT 1 FROM inbox WHERE workspace = $1 AND event_key = $2`
		args = []any{e.Workspace, MessageKey(e.Channel, e.TS)}
	case e.Thread == e.TS:
		return false, nil // begins a thread and mentions nobody of ours
	default:
		q = `SELECT 1 FROM threads WHERE workspace = $1 AND channel = $2 AND thread_ts = $3`
		args = []any{e.Workspace, e.Channel, e.Thread}
	}
	var one int
	err := b.db.QueryRow(ctx, q, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up whether %s is for the agent: %w", e.Key, err)
	}
	return true, nil
}

func (b *Inbox) store(tx *migrations.Tx, e Event) (bool, error) {
	switch e.Kind {
	case KindEdit:
		return b.edit(tx, e)
	case KindDelete:
		return b.remove(tx, e)
	}
	return b.add(tx, e)
}

// add stores a message or a stop.
func (b *Inbox) add(tx *migrations.Tx, e Event) (bool, error) {
	state := "new"
	if e.Kind == KindStop {
		runs, err := b.stopRuns(tx, e)
		if err != nil {
			return false, err
		}
		if runs {
			state = "done"
		}
	}
	fresh, err := insert(tx, e, state)
	if err != nil || !fresh {
		return false, err
	}
	if err := joinThread(tx, e); err != nil {
		return false, err
	}
	if err := b.o.Observe(tx, e); err != nil {
		return false, fmt.Errorf("observe: %w", err)
	}
	if state != "new" {
		return true, nil // the runs in this thread answer it
	}
	if err := wakeThread(tx, e); err != nil {
		return false, err
	}
	if e.Kind != KindStop {
		return true, nil
	}
	return true, stopThread(tx, e)
}

// edit replaces the text of a message that waits, steers the turn that has taken
// it, and is nothing new to one that was answered. An edit that adds a mention
// to a message never heard makes it a request.
func (b *Inbox) edit(tx *migrations.Tx, e Event) (bool, error) {
	r, known, err := find(tx, e)
	if err != nil {
		return false, err
	}
	if !known {
		if !e.Mention && !e.Direct {
			return false, nil
		}
		e.Kind, e.Key = KindMessage, MessageKey(e.Channel, e.TS)
		return b.add(tx, e)
	}
	newer, err := b.newestEdit(tx, e)
	if err != nil || !newer {
		return false, err
	}
	// Replies belong to the thread of the message, as the row has it: an edit in
	// a direct message does not always name it.
	e.Thread, e.ChannelKind = r.event.Thread, r.event.ChannelKind
	state := "done" // kept all the same: it tells a redelivery, and older edits
	switch r.state {
	case "new":
		was := r.event
		was.Text, was.Mention = e.Text, was.Mention || e.Mention
		// A new row, not a new body: whoever has read the old text and is about to
		// take it then finds it gone, and reads again.
		if _, err := tx.Exec(`DELETE FROM inbox WHERE id = $1`, r.id); err != nil {
			return false, fmt.Errorf("replace text: %w", err)
		}
		if _, err := insert(tx, was, "new"); err != nil {
			return false, fmt.Errorf("replace text: %w", err)
		}
	case "taken":
		state = "new"
	}
	return b.follow(tx, e, state)
}

// newestEdit reports whether no later edit of the same message is stored. Edits
// can overtake each other between two connections.
func (b *Inbox) newestEdit(tx *migrations.Tx, e Event) (bool, error) {
	var later int
	err := tx.QueryRow(`SELECT COUNT(*) FROM inbox WHERE workspace = $1 AND channel = $2 AND ts = $3 AND kind = $4 AND event_key >= $5`,
		e.Workspace, e.Channel, e.TS, KindEdit, e.Key).Scan(&later)
	if err != nil {
		return false, fmt.Errorf("look for later edits: %w", err)
	}
	return later == 0, nil
}

// remove cancels a message that waits, and ends the turn that it caused.
func (b *Inbox) remove(tx *migrations.Tx, e Event) (bool, error) {
	r, known, err := find(tx, e)
	if err != nil || !known {
		return false, err
	}
	e.Thread, e.ChannelKind = r.event.Thread, r.event.ChannelKind
	if e.User == unknownUser {
		e.User = r.event.User
	}
	state := "done"
	switch r.state {
	case "new":
		if _, err := tx.Exec(`UPDATE inbox SET state = 'cancelled', done_at = $1 WHERE id = $2`, migrations.Micros(tx.Now()), r.id); err != nil {
			return false, fmt.Errorf("cancel %s: %w", r.event.Key, err)
		}
	case "taken":
		state = "new"
		caused, err := causedTurn(tx, r)
		if err != nil {
			return false, err
		}
		if caused {
			if err := stopThread(tx, e); err != nil {
				return false, err
			}
		}
	}
	return b.follow(tx, e, state)
}

// causedTurn reports whether the message is what its turn began with, rather
// than one that steered it.
func causedTurn(tx *migrations.Tx, r found) (bool, error) {
	var one int
	err := tx.QueryRow(`SELECT 1 FROM turns WHERE id = $1 AND cause = $2`, r.turn, r.event.Key).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up turn %s: %w", r.turn, err)
	}
	return true, nil
}

// follow stores an edit or deletion of a known message and wakes the thread if
// there is work in it.
func (b *Inbox) follow(tx *migrations.Tx, e Event, state string) (bool, error) {
	fresh, err := insert(tx, e, state)
	if err != nil || !fresh {
		return false, err
	}
	if err := b.o.Observe(tx, e); err != nil {
		return false, fmt.Errorf("observe: %w", err)
	}
	if state != "new" {
		return true, nil
	}
	return true, wakeThread(tx, e)
}

// QueueDuty stores the run of a duty as an event of the thread where its answer
// appears. It is safe to repeat.
func (b *Inbox) QueueDuty(tx *migrations.Tx, e Event) error {
	if e.Kind != KindDuty || e.Key == "" {
		return fmt.Errorf("queue duty: event %q of kind %q is none", e.Key, e.Kind)
	}
	fresh, err := insert(tx, e, "new")
	if err != nil || !fresh {
		return err
	}
	return wakeThread(tx, e)
}

// Hand stores what somebody asked for with a shortcut on a message, as a request
// in the thread of that message. It is safe to repeat: e.Key names it for ever.
func (b *Inbox) Hand(ctx context.Context, e Event) error {
	if e.Kind != KindMessage || e.Key == "" || !e.Addressed() {
		return fmt.Errorf("hand over: event %q of kind %q is no request", e.Key, e.Kind)
	}
	err := b.db.Write(ctx, func(tx *migrations.Tx) error {
		fresh, err := insert(tx, e, "new")
		if err != nil || !fresh {
			return err
		}
		if err := joinThread(tx, e); err != nil {
			return err
		}
		// Memory is not told: the text is no message, and the thread is read from Slack.
		return wakeThread(tx, e)
	})
	if err != nil {
		return fmt.Errorf("hand over %s: %w", e.Key, err)
	}
	b.o.Crash("inbox:committed")
	return nil
}

// StopThread ends the work in a thread at the press of a button: a stop event is
// stored and the task told, as for the word.
func (b *Inbox) StopThread(ctx context.Context, a Action) error {
	return b.db.Write(ctx, func(tx *migrations.Tx) error {
		var thread string
		// The key comes back from Slack: it counts only if it names a thread of the
		// very channel that the button is in.
		err := tx.QueryRow(`SELECT thread_ts FROM threads WHERE workspace = $1 AND channel = $2 AND thread_key = $3`,
			a.Workspace, a.Channel, a.Value).Scan(&thread)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look up thread of button: %w", err)
		}
		e := Event{
			Workspace: a.Workspace, Key: a.Key, Kind: KindStop, Channel: a.Channel, Thread: thread, TS: a.Message,
			User: a.User, UserTeam: a.UserTeam, At: a.At,
		}
		fresh, err := insert(tx, e, "new")
		if err != nil || !fresh {
			return err
		}
		if err := wakeThread(tx, e); err != nil {
			return err
		}
		return stopThread(tx, e)
	})
}

// Pending gives the events of a thread that no turn has taken, in the order in
// which they happened.
func (b *Inbox) Pending(ctx context.Context, threadKey string) ([]Row, error) {
	rows, err := b.db.Query(ctx, `SELECT id, body FROM inbox WHERE thread_key = $1 AND state = 'new' ORDER BY id`, threadKey)
	if err != nil {
		return nil, fmt.Errorf("read inbox of %s: %w", threadKey, err)
	}
	defer rows.Close()
	var pending []Row
	for rows.Next() {
		var r Row
		var body string
		if err := rows.Scan(&r.ID, &body); err != nil {
			return nil, fmt.Errorf("read inbox of %s: %w", threadKey, err)
		}
		if err := json.Unmarshal([]byte(body), &r.Event); err != nil {
			return nil, fmt.Errorf("decode inbox row %d: %w", r.ID, err)
		}
		pending = append(pending, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read inbox of %s: %w", threadKey, err)
	}
	// Two connections and redelivery can bring a "stop" before what it stops.
	sort.SliceStable(pending, func(i, j int) bool { return pending[i].Event.At.Before(pending[j].Event.At) })
	return pending, nil
}

// Take hands rows to a turn. ErrInboxChanged means that one of them was edited or
// deleted since it was read: read again.
func (b *Inbox) Take(tx *migrations.Tx, ids []int64, turn string) error {
	for _, id := range ids {
		res, err := tx.Exec(`UPDATE inbox SET state = 'taken', turn = $1 WHERE id = $2 AND state = 'new'`, turn, id)
		if err != nil {
			return fmt.Errorf("take inbox row %d: %w", id, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("take inbox row %d: %w", id, errors.Join(ErrInboxChanged, err))
		}
	}
	return nil
}

// Done closes the rows that a turn has taken.
func (b *Inbox) Done(tx *migrations.Tx, turn string) error {
	// By inbox_open: open rows are few, all rows are many.
	_, err := tx.Exec(`UPDATE inbox SET state = 'done', done_at = $1
		WHERE thread_key = (SELECT thread_key FROM turns WHERE id = $2) AND state IN ('new', 'taken') AND turn = $2`,
		migrations.Micros(tx.Now()), turn)
	if err != nil {
		return fmt.Errorf("close inbox rows of turn %s: %w", turn, err)
	}
	return nil
}

// Close ends rows that need no turn.
func (b *Inbox) Close(tx *migrations.Tx, ids []int64) error {
	for _, id := range ids {
		if _, err := tx.Exec(`UPDATE inbox SET state = 'done', done_at = $1 WHERE id = $2`, migrations.Micros(tx.Now()), id); err != nil {
			return fmt.Errorf("close inbox row %d: %w", id, err)
		}
	}
	return nil
}
