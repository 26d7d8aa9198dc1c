package bot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"deskmate/identity"
	"deskmate/identity/label"
	"deskmate/memory"
)

// Names under which the gate judges what reaches Slack; the model knows the same
// words as tools, but for the agent's own manners.
const (
	ToolReply      = "reply"
	ToolPost       = "post"
	ToolUpdate     = "update"
	ToolReact      = "react"
	ToolDM         = "dm"
	ToolStatus     = "status"
	ToolProgress   = "progress"
	ToolCard       = "approval_card"
	ToolNotice     = "notice"  // to the admins
	ToolWhisper    = "whisper" // to who typed a command
	ToolForm       = "form"
	ToolHome       = "home" // somebody's App Home
	ToolReadThread = "read_thread"
	ToolReadChan   = "read_channel"
	ToolReadFile   = "read_file" // that came with a message, to keep its text
	ToolNote       = "note_line" // a line or question about a note
)

// slackTools are the tools for Slack itself. Those that post are gated inside
// the outbox, where pacing and looking before a repeat live.
func slackTools(b Toolbox) []Tool {
	s := slackTool{b.Reader, b.Threads, b.Outbox, b.People, b.Bot, b.Turns}
	return []Tool{
		{Name: ToolReadThread, Class: identity.ClassRead, Run: s.readThread, Repeatable: true, Schema: object(),
			Description: "Read the messages of this thread, oldest first, with their authors."},
		{Name: ToolReadChan, Class: identity.ClassRead, Run: s.readChannel, Repeatable: true, Target: s.channelTarget,
			Schema:      object("channel", "the channel: #name or its id", "limit?", "how many of the newest messages, 1 to 100; 30 if left out"),
			Description: "Read the newest messages of a channel. Works for this channel and for public channels that you are in."},
		{Name: ToolPost, Class: identity.ClassWrite, Run: s.post, Gated: true,
			Schema:      object("channel", "the channel: #name or its id", "text", "Markdown"),
			Description: "Post a new message in a channel that you are in. Only when asked to post there; answers in this thread need no tool."},
		{Name: ToolReply, Class: identity.ClassWrite, Run: s.reply, Gated: true, Schema: object("text", "Markdown"),
			Description: "Say something in this thread before your final answer. The final answer itself needs no tool."},
		{Name: ToolUpdate, Class: identity.ClassWrite, Run: s.update, Gated: true,
			Schema:      object("ts", "ts of one of your own messages, as a tool gave it", "text", "the new Markdown", "channel?", "the channel, if not this one"),
			Description: "Change the text of a message that you posted."},
		{Name: ToolReact, Class: identity.ClassWrite, Run: s.react, Gated: true,
			Schema:      object("name", "emoji name without colons, such as tada", "ts?", "ts of the message; the one that asked if left out"),
			Description: "Put an emoji reaction on a message here."},
		{Name: ToolDM, Class: identity.ClassWrite, Run: s.dm, Gated: true,
			Schema:      object("person", "the person: <@U…>, @name or user id", "text", "Markdown"),
			Description: "Send a direct message to a member of this workspace, in the name of who asked."},
	}
}

type slackTool struct {
	reader  *Reader
	threads *Threads
	out     *Outbox
	people  *Directory
	bot     func(workspace string) string
	turns   func(ctx context.Context, ids []string) (label.Label, error)
}

func (s slackTool) readThread(ctx context.Context, c Call) (identity.Result, error) {
	if err := c.decode(&struct{}{}); err != nil {
		return identity.Result{}, err
	}
	if c.Turn.Thread == "" && !strings.HasPrefix(c.Turn.Channel, "D") {
		return s.history(ctx, c, c.Turn.Channel, 30)
	}
	if err := s.threads.Follow(ctx, c.Turn); err != nil {
		return identity.Result{}, slackFailure("read this thread", err)
	}
	v, from, err := s.threads.View(ctx, &Turn{Workspace: c.Turn.Workspace, Channel: c.Turn.Channel, Thread: c.Turn.Thread}, c.Place, "", memory.Limit{Messages: 200, Tokens: 12000})
	if err != nil {
		return identity.Result{}, fmt.Errorf("read this thread: %w", err)
	}
	if len(v.Messages) == 0 {
		return text("(no messages)")
	}
	said, _ := s.threads.Quote(ctx, c.Turn.Workspace, v, saidAt)
	return identity.Result{Text: said, Label: from}, nil
}

// saidAt is a message on a line of a transcript: who, when (ts) and what.
func saidAt(name, ts, body string) string { return fmt.Sprintf("%s (%s): %s\n", name, ts, body) }

// told is a transcript as a result, with what went into it.
func (s slackTool) told(ctx context.Context, c Call, channel string, all []Said) (identity.Result, error) {
	from, err := s.people.said(ctx, c.Turn.Workspace, channel, s.bot(c.Turn.Workspace), all, s.turns)
	if err != nil {
		return identity.Result{}, err
	}
	return identity.Result{Text: s.transcript(ctx, c.Turn.Workspace, all), Label: from}, nil
}

func (s slackTool) readChannel(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Channel, Limit string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	limit := 30
	if a.Limit != "" {
		n, err := strconv.Atoi(a.Limit)
		if err != nil || n < 1 || n > 100 {
			return identity.Result{}, badArgument("limit must be a whole number from 1 to 100, not %q", a.Limit)
		}
		limit = n
	}
	ch, err := s.channel(ctx, c, a.Channel)
	if err != nil {
		return identity.Result{}, err
	}
	return s.history(ctx, c, ch, limit)
}

func (s slackTool) history(ctx context.Context, c Call, channel string, limit int) (identity.Result, error) {
	said, err := s.reader.Channel(ctx, c.Turn.Workspace, channel, limit)
	if err != nil {
		return identity.Result{}, slackFailure("read the channel", err)
	}
	if said, err = s.threads.remembered(ctx, c.Turn.Workspace, channel, said); err != nil {
		return identity.Result{}, err
	}
	return s.told(ctx, c, channel, said)
}

// transcript writes messages one a line: who, when (ts) and what.
func (s slackTool) transcript(ctx context.Context, workspace string, said []Said) string {
	if len(said) == 0 {
		return "(no messages)"
	}
	var b strings.Builder
	for _, m := range said {
		name := m.User
		if p, err := s.people.Person(ctx, workspace, m.User); err == nil && p.Name != "" {
			name = p.Name
		}
		b.WriteString(saidAt(name, m.TS, strings.ReplaceAll(Plain(m.Text, ""), "\n", "\n  ")))
	}
	return b.String()
}

func (s slackTool) post(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Channel, Text string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	ch, err := s.channel(ctx, c, a.Channel)
	if err != nil {
		return identity.Result{}, err
	}
	return s.send(ctx, c, Post{Channel: ch, Text: a.Text, Tool: ToolPost}, "Posted in <#"+ch+">")
}

func (s slackTool) reply(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Text string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	return s.send(ctx, c, Post{Channel: c.Turn.Channel, Thread: c.Turn.Thread, Text: a.Text, Tool: ToolReply}, "Said in this thread")
}

func (s slackTool) dm(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Person, Text string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	p, err := s.people.Find(ctx, c.Turn.Workspace, a.Person)
	if err != nil {
		return identity.Result{}, badArgument("I know nobody called %q here: %v", a.Person, err)
	}
	if p.Kind != "member" || p.IsDeleted {
		return identity.Result{}, badArgument("%s is not an active member of this workspace, so I send them no direct messages", p.Name)
	}
	ch, err := s.people.Direct(ctx, c.Turn.Workspace, p.ID)
	if err != nil {
		return identity.Result{}, slackFailure("open a direct message with "+p.Name, err)
	}
	from := fmt.Sprintf("<@%s> asked me to tell you:\n%s", c.Event.User, a.Text)
	return s.send(ctx, c, Post{Channel: ch, Text: from, Tool: ToolDM, ChannelKind: ChannelDirect}, "Sent to "+p.Name)
}

func (s slackTool) update(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ TS, Text, Channel string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	if !tsForm.MatchString(a.TS) {
		return identity.Result{}, badArgument("ts must look like 1700000000.000100, not %q", a.TS)
	}
	ch := c.Turn.Channel
	if a.Channel != "" {
		var err error
		if ch, err = s.channel(ctx, c, a.Channel); err != nil {
			return identity.Result{}, err
		}
	}
	return s.send(ctx, c, Post{Channel: ch, Update: a.TS, Text: a.Text, Tool: ToolUpdate}, "Changed the message")
}

// send posts through the outbox, which passes the gate, and words the result.
func (s slackTool) send(ctx context.Context, c Call, p Post, done string) (identity.Result, error) {
	if strings.TrimSpace(p.Text) == "" {
		return identity.Result{}, badArgument("text is empty")
	}
	p.Workspace, p.Key, p.Turn, p.Cause = c.Turn.Workspace, c.Key, c.Turn.ID, c.Event.Key
	p.Requester, p.RequesterKind = c.Event.User, c.Place.RequesterKind
	p.From, p.FromKind, p.FromThread, p.CallArgs, p.Duty, p.DutyID = c.Turn.Channel, c.Place.ChannelKind, c.Turn.Thread, c.Args, c.Event.Duty != "", c.Event.Duty
	p.Others, p.Label, p.Links = c.Turn.others(c.Event.User), c.Turn.label(), c.Turn.links()
	if p.ChannelKind == "" {
		p.ChannelKind = c.Place.ChannelKind
	}
	ts, err := s.out.Send(ctx, p)
	if err != nil {
		return identity.Result{}, err
	}
	link := ""
	if u, err := s.reader.Permalink(ctx, p.Workspace, p.Channel, ts); err == nil {
		link = " " + u
	}
	return identity.Result{Text: fmt.Sprintf("%s (ts %s).%s", done, ts, link), Ref: ts}, nil
}

func (s slackTool) react(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Name, TS string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	name := strings.Trim(strings.TrimSpace(a.Name), ":")
	if !emojiForm.MatchString(name) {
		return identity.Result{}, badArgument("%q is not an emoji name such as tada", a.Name)
	}
	ts := a.TS
	if ts == "" {
		ts = c.Event.TS
	}
	if !tsForm.MatchString(ts) {
		return identity.Result{}, badArgument("ts must look like 1700000000.000100, not %q", ts)
	}
	err := s.out.React(ctx, Post{
		Workspace: c.Turn.Workspace, Channel: c.Turn.Channel, ChannelKind: c.Place.ChannelKind, Key: c.Key, Update: ts, Text: name,
		Turn: c.Turn.ID, Cause: c.Event.Key, Requester: c.Event.User, RequesterKind: c.Place.RequesterKind, Tool: ToolReact,
		From: c.Turn.Channel, FromKind: c.Place.ChannelKind, FromThread: c.Turn.Thread, CallArgs: c.Args, Duty: c.Event.Duty != "", DutyID: c.Event.Duty, Others: c.Turn.others(c.Event.User), Label: c.Turn.label(),
	})
	if err != nil {
		return identity.Result{}, err
	}
	return text("Reacted with :%s:.", name)
}

var (
	tsForm      = regexp.MustCompile(`^\d{10}\.\d{6}$`)
	emojiForm   = regexp.MustCompile(`^[a-z0-9_+'-]{1,100}$`)
	channelForm = regexp.MustCompile(`^<#([CGD][A-Z0-9]+)(\|[^>]*)?>$|^([CGD][A-Z0-9]{2,})$`)
)

// channel resolves what a person or model calls a channel to its id.
func (s slackTool) channel(ctx context.Context, c Call, name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || name == "here" || name == "this channel" {
		return c.Turn.Channel, nil
	}
	if m := channelForm.FindStringSubmatch(name); m != nil {
		return m[1] + m[3], nil
	}
	ch, err := s.people.ChannelByName(ctx, c.Turn.Workspace, strings.TrimPrefix(name, "#"))
	if err != nil {
		return "", badArgument("I am in no channel called %q; invite me there first", name)
	}
	return ch.ID, nil
}

// ChannelID reads a channel as Slack writes it, <#C…> or its id.
func ChannelID(s string) (string, bool) {
	m := channelForm.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return "", false
	}
	return m[1] + m[3], true
}

// channelTarget is the channel that a call reaches, for the gate. What cannot be
// resolved is left to Run, which says why; an empty target is where it was asked.
func (s slackTool) channelTarget(c Call) string {
	var a struct{ Channel, Limit string }
	if c.decode(&a) != nil {
		return ""
	}
	id, err := s.channel(context.Background(), c, a.Channel)
	if err != nil {
		return ""
	}
	return id
}

// slackFailure words a refusal of Slack for the model; a passing failure stays
// an error of the turn, which is tried again.
func slackFailure(what string, err error) error {
	var refused *SlackError
	if errors.As(err, &refused) {
		return badArgument("Slack did not let me %s: %s", what, refused.Error())
	}
	return fmt.Errorf("%s: %w", what, err)
}
