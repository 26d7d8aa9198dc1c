package bot

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskOutbox is the kind of the tasks that send; one for each channel.
const TaskOutbox = "outbox"

// OutboxOptions are what an Outbox needs; the functions may be nil.
type OutboxOptions struct {
	DB     *migrations.DB
	Gate   *identity.Gate
	API    *API
	People *Directory
	Pace   *Pace // nil: Slack's
	Logger zerolog.Logger
	// Failed is told of a post that could not be delivered anywhere.
	Failed func(ctx context.Context, p Post, reason string)
	Crash  func(point string) // named crash points
	// Reported is told where the result of a run is, in the transaction that knows it.
	Reported func(tx *migrations.Tx, run, channel, ts string) error
	// Home is the address of this workspace's Slack, LinkHosts are hosts that links
	// may lead to whatever went into a text.
	Home      string
	LinkHosts []string
}

// Outbox sends what is owed to people: in order per channel, at Slack's pace,
// each through the gate, none twice. What cannot be said where it belongs is said
// in the channel, and else to the requester.
type Outbox struct {
	o    OutboxOptions
	send *sender

	mu       sync.Mutex
	noStatus map[string]bool // workspaces where Slack has no status for us
	dead     *TokenError     // the last post was refused for its token
}

// NewOutbox returns an Outbox.
func NewOutbox(o OutboxOptions) *Outbox {
	if o.Pace == nil {
		o.Pace = NewPace(DefaultPost, DefaultUpdate)
	}
	if o.Failed == nil {
		o.Failed = func(context.Context, Post, string) {}
	}
	if o.Reported == nil {
		o.Reported = func(*migrations.Tx, string, string, string) error { return nil }
	}
	if o.Crash == nil {
		o.Crash = func(string) {}
	}
	return &Outbox{o: o, send: &sender{o.API, NewReader(o.API), o.Pace}, noStatus: map[string]bool{}}
}

// OutboxKey names the task that sends to a channel.
func OutboxKey(workspace, channel string) string {
	return strings.Join([]string{TaskOutbox, workspace, channel}, ":")
}

// part is one message or edit as it goes out: a Post whose text is rendered.
type part struct {
	Post
	Mrkdwn string `json:"mrkdwn"`
	Detour string `json:"detour,omitempty"` // why it does not go where it belongs
}

// maxText bounds what one post may say, in bytes of Markdown: five thousand words.
const maxText = 32 << 10

// parts renders and splits p. Of an edit, what does not fit into the message goes
// under it.
func (o *Outbox) parts(p Post) []part {
	markdown := p.Text
	if len(markdown) > maxText {
		markdown = strings.ToValidUTF8(markdown[:maxText], "") + "\n\n(cut here: too long for Slack)"
	}
	allowed := []string{p.Requester}
	if p.Ours {
		for _, m := range token.FindAllStringSubmatch(markdown, -1) {
			allowed = append(allowed, m[1][1:])
		}
	}
	said := Mrkdwn(markdown, allowed...)
	if !p.Ours && !p.Label.IsZero() {
		said = links{o.o.Home, o.o.LinkHosts, p.Links}.harmless(said)
	}
	texts := Split(said, partLimit)
	all := make([]part, 0, len(texts))
	for i, text := range texts {
		one := part{Post: p, Mrkdwn: text}
		one.Text = ""
		if i > 0 {
			one.Card = nil
			one.Key = fmt.Sprintf("%s#%d", p.Key, i+1)
			if one.Run = ""; p.Run != "" && p.Thread == "" && p.Under == "" && p.ChannelKind != ChannelDirect {
				one.Under = p.Key // one root for each run
			}
			if p.Update != "" {
				one.Update = ""
				one.Thread = first(p.Thread, p.Update)
			}
		}
		all = append(all, one)
	}
	return all
}

// Queue owes p to people: it is sent once tx is committed, after what the channel
// is owed already. Queueing the same key again is nothing new.
func (o *Outbox) Queue(tx *migrations.Tx, p Post) error {
	if p.Key == "" || p.Channel == "" || p.Workspace == "" {
		return fmt.Errorf("queue post %q: workspace, channel or key is missing", p.Key)
	}
	text, err := withNames(tx, p)
	if err != nil {
		return err
	}
	p.Text = text
	for _, one := range o.parts(p) {
		if strings.TrimSpace(one.Mrkdwn) == "" {
			continue
		}
		if err := queue(tx, one); err != nil {
			return err
		}
	}
	return nil
}

// withNames is the text of a post with names in its mentions, <@U1|ada>, for those
// that notify nobody: they are read as @ada, not as an id.
func withNames(tx *migrations.Tx, p Post) (string, error) {
	if p.Ours {
		return p.Text, nil
	}
	names := map[string]string{p.Requester: ""}
	for _, m := range personMention.FindAllStringSubmatch(p.Text, maxNamed) {
		id, name := m[1], ""
		if _, known := names[id]; known {
			continue
		}
		err := tx.QueryRow(`SELECT name FROM people WHERE workspace = $1 AND id = $2 UNION ALL SELECT name FROM agents WHERE workspace = $1 AND user_id = $2`, p.Workspace, id).Scan(&name)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", fmt.Errorf("look up the name of %s: %w", id, err)
		}
		names[id] = strings.Map(func(r rune) rune {
			if strings.ContainsRune("<>|`\n", r) {
				return -1
			}
			return r
		}, name)
	}
	return personMention.ReplaceAllStringFunc(p.Text, func(m string) string {
		id := personMention.FindStringSubmatch(m)[1]
		if names[id] == "" || strings.Contains(m, "|") {
			return m
		}
		return "<@" + id + "|" + names[id] + ">"
	}), nil
}

// maxNamed bounds how many mentions of a post are looked up.
const maxNamed = 200

func queue(tx *migrations.Tx, p part) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode post %s: %w", p.Key, err)
	}
	_, err = tx.Exec(`INSERT INTO outbox (workspace, channel, thread_ts, post_key, turn, body, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (post_key) DO NOTHING`,
		p.Workspace, p.Channel, p.Thread, p.Key, p.Turn, string(body), migrations.Micros(tx.Now()))
	if err != nil {
		return fmt.Errorf("queue post %s: %w", p.Key, err)
	}
	if err := task.Wake(tx, task.Waking{Workspace: p.Workspace, Kind: TaskOutbox, Key: OutboxKey(p.Workspace, p.Channel)}); err != nil {
		return fmt.Errorf("wake outbox of %s: %w", p.Channel, err)
	}
	return nil
}

// Answer owes somebody, by direct message, what came of a press or a form of theirs;
// key is that of the press. To answer the same press again is nothing new.
func (o *Outbox) Answer(ctx context.Context, workspace, user, key, text string) error {
	err := o.o.DB.Write(ctx, func(tx *migrations.Tx) error {
		return o.Queue(tx, Post{
			Workspace: workspace, Channel: user, Key: "press:" + key, Text: text, Ours: true, Cause: key, Requester: user, ChannelKind: ChannelDirect, Tool: ToolReply,
		})
	})
	if err != nil {
		return fmt.Errorf("tell %s what came of their press: %w", user, err)
	}
	return nil
}

// CancelTurn takes back what a turn owed and what has not begun to be sent.
func (o *Outbox) CancelTurn(tx *migrations.Tx, turn string) error {
	if _, err := tx.Exec(`UPDATE outbox SET state = 'cancelled' WHERE turn = $1 AND state = 'queued'`, turn); err != nil {
		return fmt.Errorf("cancel posts of turn %s: %w", turn, err)
	}
	return nil
}

// Send posts p now, or edits with p.Update, and returns the ts of its first
// message. The same key again sends nothing and returns the same ts. The error is
// the gate's, or Slack's (*SlackError, *TokenError).
func (o *Outbox) Send(ctx context.Context, p Post) (string, error) {
	if strings.TrimSpace(p.Text) == "" {
		return "", errors.New("send: the text is empty")
	}
	ts := ""
	for i, one := range o.parts(p) {
		got, err := o.deliver(ctx, one, nil)
		if err != nil {
			return ts, err
		}
		if i == 0 {
			ts = got
		}
	}
	return ts, nil
}

// Update edits the agent's own message p.Update in place.
func (o *Outbox) Update(ctx context.Context, p Post) error {
	if p.Update == "" {
		return errors.New("update: the message is not named")
	}
	_, err := o.Send(ctx, p)
	return err
}

// React puts the emoji named p.Text on the message p.Update.
func (o *Outbox) React(ctx context.Context, p Post) error {
	_, err := o.o.Gate.Do(ctx, o.action(ctx, p, p.Text), identity.Effect{
		Do: func(ctx context.Context) (identity.Result, error) {
			return identity.Result{Ref: p.Update}, outcome(o.send.react(ctx, p.Channel, p.Update, p.Text))
		},
		Find: harmless,
	})
	return err
}

// Status shows p.Text under the thread while the agent works, until its next
// message. Where Slack has no such thing for the app it is nothing, quietly.
func (o *Outbox) Status(ctx context.Context, p Post) error {
	o.mu.Lock()
	none := o.noStatus[p.Workspace]
	o.mu.Unlock()
	if none || p.Thread == "" { // a status belongs to a thread
		return nil
	}
	_, err := o.o.Gate.Do(ctx, o.action(ctx, p, p.Text), identity.Effect{
		Do: func(ctx context.Context) (identity.Result, error) {
			err := o.send.status(ctx, p.Channel, p.Thread, p.Text)
			if isRefusal(err) && !isRefusal(err, "thread_not_found", "channel_not_found", "not_in_channel") {
				o.mu.Lock()
				o.noStatus[p.Workspace] = true
				o.mu.Unlock()
				o.o.Logger.Info().Err(err).Str("workspace", p.Workspace).Msg("no status shown in this workspace")
				return identity.Result{Text: "not shown: " + err.Error()}, nil
			}
			return identity.Result{}, outcome(err)
		},
		Find: harmless,
	})
	return err
}

// harmless tells the gate that an effect may simply be made once more when the
// outcome of an earlier try is not known.
func harmless(context.Context, time.Time) (identity.Result, bool, error) {
	return identity.Result{}, false, nil
}

// action is the effect of p as the gate judges and records it.
func (o *Outbox) action(ctx context.Context, p Post, text string) identity.Action {
	if p.RequesterKind == "" && o.o.People != nil {
		kind, err := o.o.People.RequesterKind(ctx, p.Workspace, p.Requester, "")
		if err != nil {
			kind = KindOutsider // the narrow kind is the safe one
		}
		p.RequesterKind = kind
	}
	if p.ChannelKind == "" && o.o.People != nil {
		kind, err := o.o.People.ChannelKind(ctx, p.Workspace, p.Channel)
		if err != nil {
			kind = ChannelPrivate
		}
		p.ChannelKind = kind
	}
	args, err := json.Marshal(map[string]string{"channel": p.Channel, "thread": p.Thread, "update": p.Update, "text": text})
	if err != nil {
		args = nil // a map of strings always marshals
	}
	tool := first(p.Tool, ToolReply)
	a := identity.Action{
		Key: p.Key, Workspace: p.Workspace, Turn: p.Turn, Cause: p.Cause, Requester: p.Requester, RequesterKind: p.RequesterKind,
		Channel: p.Channel, ChannelKind: p.ChannelKind, Thread: p.Thread, Target: p.Channel,
		Tool: tool, Connection: ConnectionSlack, Class: identity.ClassWrite, Args: args, Manners: manners[tool], Notice: tool == ToolNotice || tool == ToolWhisper || tool == ToolForm || tool == ToolHome, Owner: p.Duty, Duty: p.DutyID, Others: p.Others, Label: p.Label,
	}
	if p.CallArgs != nil { // made by a tool: judged as what was asked for, where it was asked for
		a.Call, _, _ = strings.Cut(p.Key, "#")
		a.CallArgs = p.CallArgs
		a.Channel, a.ChannelKind, a.Thread = p.From, p.FromKind, p.FromThread
	}
	return a
}

// outcome words an error for the gate: a refusal is certain; after anything else
// the effect may have happened, or may happen when it is tried again, so that the
// gate keeps the intent open and looks first.
func outcome(err error) error {
	if err == nil || isRefusal(err) || errors.Is(err, errCancelled) {
		return err
	}
	return identity.Ambiguous(err)
}
