package bot

import (
	"context"
	"strings"
	"time"

	"deskmate/memory"
)

// Handed is a message that somebody hands to the agent.
type Handed struct {
	Key         string       // names it for ever
	Place       memory.Place // where the message is, and who hands it over
	UserTeam    string       // their home workspace
	Message     Said         // as Slack has it
	Instruction string       // plain text; "" for: do what the message says

	bare bool // the instruction has the message in it
}

// mostQuoted bounds how much of a message is quoted to the agent, in bytes.
const mostQuoted = 8000

// Hand has a message worked in its thread, as if the person had mentioned the
// agent there: with their instruction, else with the message's own words.
func (l *Loop) Hand(ctx context.Context, h Handed) error {
	return l.Inbox.Hand(ctx, h.event(l.Context.Bot(h.Place.Workspace), l.DB.Now()))
}

// event is the request. It is about the message, so that the message is what the
// agent cites and reacts to.
func (h Handed) event(self string, now time.Time) Event {
	said := h.Message.Text
	if len(said) > mostQuoted {
		said = strings.ToValidUTF8(said[:mostQuoted], "") + "…"
	}
	text := said
	if h.Instruction != "" {
		text = escape(h.Instruction)
		if said != "" && !h.bare {
			text += "\n" + quotedMark + strings.ReplaceAll(said, "\n", "\n"+quotedMark)
		}
	}
	e := Event{
		Workspace: h.Place.Workspace, Key: h.Key, Kind: KindMessage, Channel: h.Place.Channel, ChannelKind: h.Place.ChannelKind,
		Thread: first(h.Message.Thread, h.Message.TS), TS: h.Message.TS, User: h.Place.Requester, UserTeam: h.UserTeam,
		Text: clean("<@" + self + "> " + text), Mention: true, At: now,
	}
	if e.Direct = h.Place.ChannelKind == ChannelDirect; e.Direct {
		e.Thread = h.Message.Thread // a direct message is answered where it is
	}
	switch h.Message.User {
	case h.Place.Requester:
	case self:
		e.Quotes = []string{quotedTurn + turnOf(h.Message.Key)}
	default:
		e.Quotes = []string{h.Message.User}
	}
	return e
}

// quotedMark begins a line that quotes a message, as Slack writes it.
const quotedMark = "&gt; "
