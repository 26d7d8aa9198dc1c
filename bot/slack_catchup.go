package bot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"deskmate/migrations"
)

// Bounds of one catch-up: what lies beyond is old news.
const (
	catchupChannels = 500                     // conversations looked into
	catchupThreads  = 200                     // of its threads, those with the newest activity
	catchupMessages = 2000                    // of one conversation or thread
	catchupReach    = 24 * time.Hour          // how far back at most
	catchupMargin   = 2 * time.Minute         // before the gap, for what was on its way
	catchupPace     = 1200 * time.Millisecond // between calls: history and replies are good for 50 a minute
	seenEvery       = 20 * time.Second        // how often the time of the last hearing is noted
)

// CatchupOptions are what a Catchup needs.
type CatchupOptions struct {
	DB     *migrations.DB
	API    *API
	Self   Self
	Accept func(ctx context.Context, e Event) (bool, error) // Inbox.Accept
	// Hears reports whether a connection is up: then what Slack says is heard.
	Hears func() bool
	// Refused counts the deliveries that could not be made durable; nil: none are
	// counted. Slack gives up sending them again after a while.
	Refused func() int64
	Pace    time.Duration // between calls; 0: what Slack allows
	Logger  zerolog.Logger
}

// Catchup reads from Slack what happened while the agent could not hear: after a
// gap between connections, and after a start. Everything goes the way of any
// other event, so that what was heard after all is known.
type Catchup struct {
	o    CatchupOptions
	gaps chan struct{}
}

// NewCatchup returns a Catchup; Run works.
func NewCatchup(o CatchupOptions) *Catchup {
	if o.Pace == 0 {
		o.Pace = catchupPace
	}
	return &Catchup{o: o, gaps: make(chan struct{}, 1)}
}

// Gap asks for a catch-up. It does not block; SocketOptions.Gap is made for it.
func (c *Catchup) Gap(time.Time) {
	select {
	case c.gaps <- struct{}{}:
	default: // one that is yet to begin will see this gap too
	}
}

// Run catches up after every gap and notes when the agent last heard, until ctx
// ends. A catch-up that fails is tried again at the next gap or note.
func (c *Catchup) Run(ctx context.Context) error {
	tick := time.NewTicker(seenEvery)
	defer tick.Stop()
	behind, refused := false, int64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.gaps:
			behind = true
		case <-tick.C:
		}
		if now := c.refused(); now != refused { // what the store did not take, nobody else keeps
			behind, refused = true, now
		}
		if behind && c.o.Hears() {
			n, err := c.Catch(ctx)
			if err != nil {
				if ctx.Err() == nil {
					c.o.Logger.Warn().Err(err).Msg("catch-up failed, will be tried again")
				}
				continue
			}
			behind = false
			c.o.Logger.Info().Int("messages", n).Msg("caught up")
		}
		if !behind && c.o.Hears() {
			if err := c.note(ctx, c.o.DB.Now()); err != nil && ctx.Err() == nil {
				c.o.Logger.Warn().Err(err).Msg("time of the last hearing not noted")
			}
		}
	}
}

func (c *Catchup) refused() int64 {
	if c.o.Refused == nil {
		return 0
	}
	return c.o.Refused()
}

// note stores until when everything was heard.
func (c *Catchup) note(ctx context.Context, at time.Time) error {
	return c.o.DB.Write(ctx, func(tx *migrations.Tx) error {
		_, err := tx.Exec(`INSERT INTO slack_seen (workspace, heard_at) VALUES ($1, $2)
			ON CONFLICT (workspace) DO UPDATE SET heard_at = excluded.heard_at`, c.o.Self.Workspace, migrations.Micros(at))
		return err
	})
}

// Catch reads once what was said since the agent last heard, and returns how many
// messages of it were new. A workspace that it never heard has nothing to catch up.
func (c *Catchup) Catch(ctx context.Context) (int, error) {
	began := c.o.DB.Now()
	var heard int64
	err := c.o.DB.QueryRow(ctx, `SELECT heard_at FROM slack_seen WHERE workspace = $1`, c.o.Self.Workspace).Scan(&heard)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, c.note(ctx, began)
	}
	if err != nil {
		return 0, fmt.Errorf("read time of the last hearing: %w", err)
	}
	since := migrations.Time(heard).Add(-catchupMargin)
	if far := began.Add(-catchupReach); since.Before(far) {
		since = far
	}
	oldest := strconv.FormatInt(since.Unix(), 10) + ".000000"
	reader := NewReader(c.o.API)

	channels, err := roster{c.o.API}.conversations(ctx, catchupChannels)
	if err != nil {
		return 0, fmt.Errorf("list conversations: %w", err)
	}
	kinds := map[string]string{}
	n := 0
	for _, ch := range channels {
		kinds[ch.ID] = ch.Kind
		said, err := reader.history(ctx, ch.ID, oldest, catchupMessages)
		if isRefusal(err) { // left or archived meanwhile
			continue
		}
		if err != nil {
			return n, fmt.Errorf("read channel %s: %w", ch.ID, err)
		}
		if n, err = c.feed(ctx, ch.ID, ch.Kind, oldest, said, n); err != nil {
			return n, err
		}
	}
	threads, err := c.threads(ctx)
	if err != nil {
		return n, err
	}
	for _, t := range threads {
		kind, in := kinds[t.channel]
		if !in {
			continue
		}
		said, err := reader.replies(ctx, t.channel, t.ts, oldest, catchupMessages)
		if isRefusal(err) { // the thread is gone
			continue
		}
		if err != nil {
			return n, fmt.Errorf("read thread %s of %s: %w", t.ts, t.channel, err)
		}
		if n, err = c.feed(ctx, t.channel, kind, oldest, said, n); err != nil {
			return n, err
		}
	}
	return n, c.note(ctx, began)
}

type threadRef struct{ channel, ts string }

// threads are those that the agent takes part in, newest activity first.
func (c *Catchup) threads(ctx context.Context) ([]threadRef, error) {
	rows, err := c.o.DB.Query(ctx, `SELECT channel, thread_ts FROM threads WHERE workspace = $1 AND thread_ts <> '' ORDER BY last_at DESC LIMIT $2`,
		c.o.Self.Workspace, catchupThreads)
	if err != nil {
		return nil, fmt.Errorf("read threads: %w", err)
	}
	defer rows.Close()
	var all []threadRef
	for rows.Next() {
		var t threadRef
		if err := rows.Scan(&t.channel, &t.ts); err != nil {
			return nil, fmt.Errorf("read threads: %w", err)
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// feed accepts what was said since oldest, and adds how much of it was new to n.
func (c *Catchup) feed(ctx context.Context, channel, kind, oldest string, said []Said, n int) (int, error) {
	for _, s := range said {
		e, ok := s.event(c.o.Self, channel, kind)
		if !ok || s.TS < oldest { // Slack gives the root of a thread however old it is
			continue
		}
		stored, err := c.o.Accept(ctx, e)
		if err != nil {
			return n, err
		}
		if stored {
			n++
		} else if s.EditedTS != "" && e.Kind != KindProgram {
			e.Kind, e.Key, e.At = KindEdit, "edit:"+channel+":"+s.TS+":"+s.EditedTS, tsTime(s.EditedTS)
			if stored, err = c.o.Accept(ctx, e); err != nil {
				return n, err
			}
			if stored {
				n++
			}
		}
		for _, reaction := range s.reacted(c.o.Self, channel, kind) {
			if _, err := c.o.Accept(ctx, reaction); err != nil {
				return n, err
			}
		}
	}
	return n, c.rest(ctx)
}

// reacted are the reactions to s as Slack would have told of them. Slack does not say
// when they were made: not before the message.
func (s Said) reacted(me Self, channel, kind string) (all []Event) {
	if kind == ChannelDirect {
		return nil
	}
	for _, r := range s.reactions {
		for _, user := range r.Users {
			if user != me.User {
				all = append(all, reactionTo(me.Workspace, channel, s.TS, s.User, r.Name, user, tsTime(s.TS)))
			}
		}
	}
	return all
}

// rest keeps the calls of a catch-up apart.
func (c *Catchup) rest(ctx context.Context) error {
	timer := time.NewTimer(c.o.Pace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// event is what Slack would have delivered for s, false for what is not for
// anybody to answer.
func (s Said) event(me Self, channel, kind string) (Event, bool) {
	m := message{Type: "message", Subtype: s.Subtype, Channel: channel, User: s.User, Team: s.Team, Text: s.Text, TS: s.TS, ThreadTS: s.Thread, BotID: s.BotID, Attachments: s.attachments}
	switch kind {
	case ChannelPublic:
		m.ChannelType = "channel"
	case ChannelPrivate:
		m.ChannelType = "group"
	case ChannelGroup:
		m.ChannelType = "mpim"
	case ChannelDirect:
		m.ChannelType = "im"
	}
	p, err := parseMessage(callback{ExtShared: kind == ChannelShared}, me.Workspace, me, m)
	if err != nil || p.Event == nil {
		return Event{}, false
	}
	return *p.Event, true
}
