package bot

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"deskmate/memory"
)

// Self is who the agent is in one workspace, as Slack knows it.
type Self struct {
	Workspace string // team id
	User      string // U… of the bot user
	Bot       string // B…
	App       string // A…; "" until an envelope has told
	Name      string
	Team      string // name of the workspace
	URL       string // of the workspace, for links
}

// Parsed is what one delivery of Slack means. At most one of the pointers is
// set; none of them when it is not for us, and then Ignored says why.
type Parsed struct {
	Event   *Event
	Change  *Change
	Action  *Action
	Command *Command
	// Submission is a form that was sent.
	Submission *Submission
	Visit      *Visit
	Shortcut   *Shortcut
	Ignored    string
}

// Change is something that happened to the workspace rather than in a
// conversation. Kind is Slack's name of the event: member_joined_channel,
// member_left_channel, channel_rename, channel_archive, channel_unarchive,
// channel_deleted, channel_shared, channel_unshared, group_*, user_change,
// tokens_revoked, app_uninstalled.
type Change struct {
	Workspace string
	Kind      string
	Channel   string // the channel that changed, "" for none
	User      string // the person who changed, joined or left, "" for none
	Name      string // new name, for a rename
	EventID   string
	At        time.Time
}

// Action is a press of a button or another interactive part of a message. Who
// pressed is not checked: any viewer can.
type Action struct {
	Workspace   string
	Key         string // unique by what it means: who pressed what, where and when
	ID          string // action_id
	Value       string
	User        string
	UserTeam    string
	Channel     string
	Message     string // ts of the message that holds the button, "" in a Home
	View        string // id of the Home that holds it, "" in a message
	Thread      string // its thread's root, "" outside threads
	ResponseURL string // may be used like a secret for 30 minutes: never log it
	TriggerID   string
	At          time.Time
}

// ParseError is a delivery that does not have the shape Slack documents.
type ParseError struct {
	What  string // envelope, event or interaction, with its type where known
	Field string // the field that is missing or wrong
	Err   error  // nil when the field is missing
}

func (e *ParseError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("parse %s: field %s is missing", e.What, e.Field)
	}
	return fmt.Sprintf("parse %s: field %s: %v", e.What, e.Field, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// callback is the payload of the Events API.
// Source: docs.slack.dev/apis/events-api.
type callback struct {
	Type           string `json:"type"`
	Challenge      string `json:"challenge"`
	TeamID         string `json:"team_id"`
	ContextTeamID  string `json:"context_team_id"`
	APIAppID       string `json:"api_app_id"`
	EventID        string `json:"event_id"`
	EventTime      int64  `json:"event_time"`
	ExtShared      bool   `json:"is_ext_shared_channel"`
	Authorizations []struct {
		TeamID string `json:"team_id"`
	} `json:"authorizations"`
	Event json.RawMessage `json:"event"`
}

// workspace is the installation that the delivery is for. In a shared channel
// team_id may be the other organisation's; authorizations names ours.
func (c callback) workspace() string {
	for _, a := range c.Authorizations {
		if a.TeamID != "" {
			return a.TeamID
		}
	}
	if c.ContextTeamID != "" {
		return c.ContextTeamID
	}
	return c.TeamID
}

// message is a message event, or a message inside one.
type message struct {
	Type        string `json:"type"`
	Subtype     string `json:"subtype"`
	Channel     string `json:"channel"`
	ChannelType string `json:"channel_type"`
	User        string `json:"user"`
	Team        string `json:"team"`
	UserTeam    string `json:"user_team"`
	SourceTeam  string `json:"source_team"`
	Text        string `json:"text"`
	TS          string `json:"ts"`
	ThreadTS    string `json:"thread_ts"`
	EventTS     string `json:"event_ts"`
	DeletedTS   string `json:"deleted_ts"`
	BotID       string `json:"bot_id"`
	AppID       string `json:"app_id"`
	BotProfile  *struct {
		AppID string `json:"app_id"`
	} `json:"bot_profile"`
	Edited *struct {
		User string `json:"user"`
		TS   string `json:"ts"`
	} `json:"edited"`
	Files       []slackFile  `json:"files"`
	Message     *message     `json:"message"`
	Previous    *message     `json:"previous_message"`
	Attachments []attachment `json:"attachments"`
}

// slackFile is a file of a message. Source: docs.slack.dev/reference/objects/file-object.
type slackFile struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Title    string `json:"title"`
	Mimetype string `json:"mimetype"`
	Mode     string `json:"mode"` // hosted, snippet, post, external, tombstone, hidden_by_limit
	Size     int    `json:"size"`
	URL      string `json:"url_private_download"`
	Private  string `json:"url_private"`
}

// mostFiles is how many files of one message count; Slack takes ten at a time.
const mostFiles = 20

func filesOf(all []slackFile) []memory.File {
	var files []memory.File
	for _, f := range all {
		if f.ID == "" || f.Mode == "tombstone" || len(files) == mostFiles {
			continue
		}
		one := memory.File{ID: f.ID, Name: short(clean(first(f.Name, f.Title, f.ID))), Type: f.Mimetype, Size: f.Size, URL: first(f.URL, f.Private)}
		if f.Mode == "external" || f.Mode == "hidden_by_limit" {
			one.URL = "" // not Slack's to give
		}
		files = append(files, one)
	}
	return files
}

// lostFiles reports whether one of the files of a message is not there any more.
func lostFiles(before, now []slackFile) bool {
	there := filesOf(now)
	return slices.ContainsFunc(filesOf(before), func(f memory.File) bool {
		return !slices.ContainsFunc(there, func(o memory.File) bool { return o.ID == f.ID })
	})
}

// timestamp is the form of a Slack message id: seconds and a counter.
var timestamp = regexp.MustCompile(`^\d{1,12}\.\d{1,9}$`)

// ParseEvent reads the payload of an Events API delivery (event_callback). self
// gives the agent's identity in a workspace, false for one it is not in. The
// error is a *ParseError.
func ParseEvent(payload []byte, self func(workspace string) (Self, bool)) (Parsed, error) {
	var c callback
	if err := json.Unmarshal(payload, &c); err != nil {
		return Parsed{}, &ParseError{"event", "(all)", err}
	}
	if c.Type != "event_callback" {
		return Parsed{Ignored: "delivery of type " + short(c.Type)}, nil
	}
	if len(c.Event) == 0 {
		return Parsed{}, &ParseError{"event", "event", nil}
	}
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(c.Event, &kind); err != nil {
		return Parsed{}, &ParseError{"event", "event", err}
	}
	if kind.Type == "" {
		return Parsed{}, &ParseError{"event", "event.type", nil}
	}
	workspace := c.workspace()
	if workspace == "" {
		return Parsed{}, &ParseError{"event " + short(kind.Type), "team_id", nil}
	}
	me, ok := self(workspace)
	if !ok {
		return Parsed{Ignored: "workspace without an installation here"}, nil
	}
	if me.App == "" {
		me.App = c.APIAppID
	}
	switch kind.Type {
	case "message", "app_mention":
		var m message
		if err := json.Unmarshal(c.Event, &m); err != nil {
			return Parsed{}, &ParseError{"event " + kind.Type, "event", err}
		}
		return parseMessage(c, workspace, me, m)
	}
	if kind.Type == "app_home_opened" {
		return parseVisit(c, workspace)
	}
	if kind.Type == "reaction_added" {
		return parseReaction(c, workspace, me)
	}
	if changes[kind.Type] {
		return parseChange(c, workspace, kind.Type)
	}
	return Parsed{Ignored: "event of type " + short(kind.Type)}, nil
}

func parseMessage(c callback, workspace string, me Self, m message) (Parsed, error) {
	what := "event " + m.Type
	if m.Channel == "" {
		return Parsed{}, &ParseError{what, "event.channel", nil}
	}
	switch m.Subtype {
	case "message_changed":
		return parseChanged(c, workspace, me, m)
	case "message_deleted":
		return parseDeleted(c, workspace, me, m)
	case "", "file_share", "thread_broadcast", "me_message", "bot_message":
	default:
		// Joins, topics, reminders and what Slack adds later: nobody asks anything in
		// them.
		return Parsed{Ignored: "message of subtype " + short(m.Subtype)}, nil
	}
	if why := m.notHuman(me); why == ofProgram {
		return parseProgram(c, workspace, me, m, m)
	} else if why != "" {
		return Parsed{Ignored: why}, nil
	}
	e, err := newEvent(c, workspace, me, m, m)
	if err != nil {
		return Parsed{}, err
	}
	e.Kind, e.Key = KindMessage, MessageKey(m.Channel, m.TS)
	e.Mention = e.Mention || m.Type == "app_mention"
	if isStop(e.Text, me.User) {
		e.Kind = KindStop
	}
	return Parsed{Event: &e}, nil
}

// parseChanged makes an edit of a change of text by a human; Slack also sends
// message_changed for unfurls, for reply counts and for our own edits.
func parseChanged(c callback, workspace string, me Self, m message) (Parsed, error) {
	if m.Message == nil {
		return Parsed{}, &ParseError{"event message_changed", "event.message", nil}
	}
	now := *m.Message
	if now.Subtype == "tombstone" { // a deleted root whose replies remain
		m.DeletedTS = now.TS
		return parseDeleted(c, workspace, me, m)
	}
	if why := now.notHuman(me); why == ofProgram {
		return parseProgram(c, workspace, me, m, now)
	} else if why != "" {
		return Parsed{Ignored: why}, nil
	}
	if m.Previous != nil && lostFiles(m.Previous.Files, now.Files) && timestamp.MatchString(m.EventTS) && (now.Edited == nil || now.Edited.TS < m.EventTS) {
		now.Edited = &struct {
			User string `json:"user"`
			TS   string `json:"ts"`
		}{now.User, m.EventTS} // to memory it is an edit
	} else if now.Edited == nil || (m.Previous != nil && m.Previous.Text == now.Text) {
		return Parsed{Ignored: "change of a message that leaves its text"}, nil
	}
	e, err := newEvent(c, workspace, me, m, now)
	if err != nil {
		return Parsed{}, err
	}
	if !timestamp.MatchString(now.Edited.TS) {
		return Parsed{}, &ParseError{"event message_changed", "event.message.edited.ts", notTimestamp(now.Edited.TS)}
	}
	e.Kind, e.Key = KindEdit, "edit:"+m.Channel+":"+now.TS+":"+now.Edited.TS
	e.At = tsTime(now.Edited.TS)
	return Parsed{Event: &e}, nil
}

func parseDeleted(c callback, workspace string, me Self, m message) (Parsed, error) {
	gone := message{TS: m.DeletedTS}
	if m.Previous != nil {
		gone = *m.Previous
		gone.TS = m.DeletedTS
		if why := gone.notHuman(me); why != "" {
			return Parsed{Ignored: why}, nil
		}
	}
	if gone.User == "" {
		gone.User = unknownUser
	}
	e, err := newEvent(c, workspace, me, m, gone)
	if err != nil {
		return Parsed{}, err
	}
	e.Kind, e.Key, e.Text, e.Mention = KindDelete, "delete:"+m.Channel+":"+gone.TS, "", false
	if timestamp.MatchString(m.EventTS) {
		e.At = tsTime(m.EventTS)
	}
	return Parsed{Event: &e}, nil
}

// newEvent fills what all kinds share: outer is the event as delivered, m the
// message that it is about.
func newEvent(c callback, workspace string, me Self, outer, m message) (Event, error) {
	what := "event " + outer.Type
	if m.User == "" {
		return Event{}, &ParseError{what, "event.user", nil}
	}
	if m.TS == "" {
		return Event{}, &ParseError{what, "event.ts", nil}
	}
	for field, ts := range map[string]string{"event.ts": m.TS, "event.thread_ts": m.ThreadTS} {
		if ts != "" && !timestamp.MatchString(ts) {
			return Event{}, &ParseError{what, field, notTimestamp(ts)}
		}
	}
	kind := channelKind(outer, c.ExtShared)
	e := Event{
		Workspace: workspace, Channel: outer.Channel, ChannelKind: kind, Thread: m.ThreadTS, TS: m.TS,
		User: m.User, UserTeam: first(m.UserTeam, m.SourceTeam, m.Team, workspace),
		Text: clean(m.Text), Mention: mentions(m.Text, me.User), Direct: kind == ChannelDirect,
		EventID: c.EventID, At: tsTime(m.TS), Files: filesOf(m.Files),
	}
	if e.Thread == "" && !e.Direct {
		e.Thread = m.TS // the answer starts a thread under the request
	}
	return e, nil
}

// ofProgram is what notHuman says of the messages of other programs.
const ofProgram = "message of another program"

// notHuman says why a message is none that the agent should hear: it is its own,
// or another program's. Answering programs ends in loops.
func (m message) notHuman(me Self) string {
	switch {
	case m.User != "" && m.User == me.User, m.BotID != "" && m.BotID == me.Bot:
		return "own message"
	case m.BotProfile != nil && m.BotProfile.AppID != "" && m.BotProfile.AppID == me.App:
		return "own message"
	case m.BotID != "" || m.BotProfile != nil || m.Subtype == "bot_message":
		return ofProgram
	case m.User == "USLACKBOT":
		return "message of Slack itself"
	}
	return ""
}

// channelKind is the kind of the channel as far as the delivery tells: "" for an
// app_mention in a channel, which has no channel_type.
func channelKind(m message, shared bool) string {
	switch {
	case m.ChannelType == "im" || strings.HasPrefix(m.Channel, "D"):
		return ChannelDirect
	case shared:
		return ChannelShared
	}
	switch m.ChannelType {
	case "channel":
		return ChannelPublic
	case "group":
		return ChannelPrivate
	case "mpim":
		return ChannelGroup
	}
	return ""
}

// mentions reports whether text @-mentions the user, as <@U…> or <@U…|name>.
func mentions(text, user string) bool {
	return user != "" && (strings.Contains(text, "<@"+user+">") || strings.Contains(text, "<@"+user+"|"))
}

var anyMention = regexp.MustCompile(`<@[UW][A-Z0-9]+(\|[^>]*)?>`)

// isStop reports whether the whole message is the word that ends work. A stop
// addressed to somebody else is not for us.
func isStop(text, me string) bool {
	if len(text) > 200 {
		return false
	}
	text = anyMention.ReplaceAllStringFunc(text, func(m string) string {
		if me != "" && mentions(m, me) {
			return " "
		}
		return m
	})
	switch strings.Trim(strings.ToLower(strings.Join(strings.Fields(text), " ")), " .!,:") {
	case "stop", "cancel that":
		return true
	}
	return false
}

// clean makes text fit for storing: valid UTF-8 without NUL, which PostgreSQL
// cannot hold.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
}

// tsTime is the time that a Slack timestamp names.
func tsTime(ts string) time.Time {
	sec, frac, _ := strings.Cut(ts, ".")
	s, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return time.Time{}
	}
	us, err := strconv.ParseInt((frac + "000000")[:6], 10, 64)
	if err != nil {
		us = 0
	}
	return time.Unix(s, us*1000).UTC()
}

func notTimestamp(s string) error { return fmt.Errorf("%q is not a timestamp", short(s)) }

// short bounds what is repeated of a stranger's text in errors and logs.
func short(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
