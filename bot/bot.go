// Package bot is the agent's presence and its work: Slack in and out, the turn
// loop, its tools and its model.
//
// It promises that no event is acknowledged before it is durable, that work in
// one thread happens one turn at a time and in order, that every model response
// is stored before anything follows from it, and that whoever asked gets an
// answer or a stated reason. It must never reach the outside but through
// identity.Gate, and never let text that it read decide what it may do.
package bot

import (
	"encoding/json"
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/memory"
)

// Kinds of Event, the words of the inbox table's kind column.
const (
	KindMessage = "message" // a request, or a reply in a thread the agent takes part in
	KindEdit    = "edit"    // an earlier message has new text
	KindDelete  = "delete"  // an earlier message is gone
	KindStop    = "stop"    // "stop" in a thread: ends the work there
	KindDuty    = "duty"    // a run of a duty is due

	// What only watches hear. It is never a request and is not kept.
	KindProgram  = "program"  // a message of another program, or its new text
	KindReaction = "reaction" // somebody reacted to a message with an emoji
)

// Kinds of channel, after Slack's channel types; shared is any channel of a
// Slack Connect conversation.
const (
	ChannelPublic  = "public"
	ChannelPrivate = "private"
	ChannelShared  = "shared"
	ChannelDirect  = "im"
	ChannelGroup   = "mpim"
)

// Event is one thing that happened, parsed from a Slack envelope or made by a
// duty. Key says what it means, so that all deliveries of one happening share
// it: "message:C1:1700000000.000100", "edit:C1:<ts>:<edited ts>",
// "delete:C1:<ts>", "duty:<duty id>:<due, unix seconds>".
type Event struct {
	Workspace   string        `json:"workspace"` // Slack team id of the installation
	Key         string        `json:"key"`
	Kind        string        `json:"kind"`
	Channel     string        `json:"channel"`
	ChannelKind string        `json:"channel_kind"`
	Thread      string        `json:"thread"`             // ts of the thread's root; "" in a flat DM or where the answer starts a thread of its own
	TS          string        `json:"ts"`                 // the message it is about
	User        string        `json:"user"`               // who caused it
	UserTeam    string        `json:"user_team"`          // their home workspace, differs from Workspace for outsiders
	Text        string        `json:"text"`               // as Slack sends it: mrkdwn with <@U…> and escaped &<>
	Mention     bool          `json:"mention,omitempty"`  // the agent was @-mentioned
	Direct      bool          `json:"direct,omitempty"`   // in a DM with the agent
	Files       []memory.File `json:"files,omitempty"`    // that came with it
	EventID     string        `json:"event_id,omitempty"` // of the first delivery, for tracing
	Duty        string        `json:"duty,omitempty"`     // duty id, for KindDuty
	Run         string        `json:"run,omitempty"`      // run id, for KindDuty and what stops a run
	Cause       string        `json:"cause,omitempty"`    // of a run: what set it off, as JSON; information, never instructions
	Note        string        `json:"note,omitempty"`     // of a run: what is told with its result
	Report      Report        `json:"report,omitzero"`    // of a run: how its result is told
	At          time.Time     `json:"at"`
	Reaction    string        `json:"reaction,omitempty"` // name of the emoji, for KindReaction
	Author      string        `json:"author,omitempty"`   // who wrote what was reacted to, for KindReaction
	// Quotes are the user ids of those whose words the text repeats, beside User's
	// own, and "turn:" ids of turns of the agent's: the label counts them all.
	Quotes []string `json:"quotes,omitempty"`
	// Label is what went into it, once a turn has taken it; of a duty's run, what
	// went into what set it off.
	Label label.Label `json:"label,omitzero"`
}

// Addressed reports whether the event asks the agent in so many words: a
// mention, a direct message or a duty. Other replies in its threads may be meant
// for somebody else, and silence is a fair answer to them.
func (e Event) Addressed() bool { return e.Mention || e.Direct || e.Kind == KindDuty }

// MessageKey is the Key of the event for one Slack message.
func MessageKey(channel, ts string) string { return "message:" + channel + ":" + ts }

// ThreadKey names the task that works a thread, one turn at a time. thread is
// the root's ts, "" for a direct-message conversation outside any thread.
func ThreadKey(workspace, channel, thread string) string {
	return strings.Join([]string{"thread", workspace, channel, thread}, ":")
}

// Post is one message or edit that the agent owes to people. Text is Markdown as
// a model writes it; sending splits, converts and escapes it.
type Post struct {
	Workspace     string `json:"workspace"`
	Channel       string `json:"channel"`
	Thread        string `json:"thread,omitempty"` // root ts to answer under
	Key           string `json:"key"`              // unique for ever; parts of a split post get "#2", "#3"…
	Update        string `json:"update,omitempty"` // ts of an own message to edit in place
	Text          string `json:"text"`
	Turn          string `json:"turn,omitempty"`
	Cause         string `json:"cause,omitempty"` // Event.Key behind it
	Requester     string `json:"requester"`
	RequesterKind string `json:"requester_kind"`
	ChannelKind   string `json:"channel_kind"`
	Tool          string `json:"tool,omitempty"`       // name under which the gate judges it; "" = reply
	Ours          bool   `json:"ours,omitempty"`       // the words are ours: whom they mention, they mean
	Card          *Card  `json:"card,omitempty"`       // shown in place of the text, which stays for notifications
	UpdateKey     string `json:"update_key,omitempty"` // Key of an earlier post to edit in place, where its ts is not known yet

	Run   string `json:"run,omitempty"`   // whose result it is
	Under string `json:"under,omitempty"` // Key of an earlier post to answer under, where its ts is not known yet

	// Of a post that a tool makes: the place where it was asked for, where that is
	// not Channel, and the arguments of the whole call, which an approval is for.
	From       string          `json:"from,omitempty"`
	FromKind   string          `json:"from_kind,omitempty"`
	FromThread string          `json:"from_thread,omitempty"`
	CallArgs   json.RawMessage `json:"call_args,omitempty"`
	Others     []string        `json:"others,omitempty"` // who else took part in asking
	Duty       bool            `json:"duty,omitempty"`   // the requester owns the duty that causes it
	DutyID     string          `json:"duty_id,omitempty"`
	Label      label.Label     `json:"label,omitzero"`  // of what went into it
	Links      []string        `json:"links,omitempty"` // addresses that people here gave, which may stand in it
}
