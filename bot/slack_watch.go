package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// attachment is a part of a message in which programs often say what matters.
// Source: docs.slack.dev/reference/messaging/payload#attachments.
type attachment struct {
	Fallback string  `json:"fallback"`
	Pretext  string  `json:"pretext"`
	Title    string  `json:"title"`
	Text     string  `json:"text"`
	Fields   []field `json:"fields"`
}

type field struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

// mostAttachments bounds what is read of a program's message.
const mostAttachments = 20

// whole is the text of a message with that of its attachments.
func (m message) whole() string {
	parts := []string{m.Text}
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && !strings.Contains(parts[len(parts)-1], s) {
			parts = append(parts, s)
		}
	}
	for _, a := range m.Attachments[:min(len(m.Attachments), mostAttachments)] {
		add(a.Pretext)
		add(a.Title)
		add(a.Text)
		for _, f := range a.Fields[:min(len(a.Fields), mostAttachments)] {
			add(f.Title + ": " + f.Value)
		}
		if a.Pretext+a.Title+a.Text == "" {
			add(a.Fallback)
		}
	}
	return strings.TrimSpace(strings.Join(parts, "\n"))
}

// attached are the attachments of a message as Slack's library gives them.
func attached(all []slack.Attachment) []attachment {
	var out []attachment
	for _, a := range all[:min(len(all), mostAttachments)] {
		one := attachment{Fallback: a.Fallback, Pretext: a.Pretext, Title: a.Title, Text: a.Text}
		for _, f := range a.Fields[:min(len(a.Fields), mostAttachments)] {
			one.Fields = append(one.Fields, field{f.Title, f.Value})
		}
		out = append(out, one)
	}
	return out
}

// parseProgram makes an event for watches of what another program said. Nobody
// answers it: answering programs ends in loops.
func parseProgram(c callback, workspace string, me Self, outer, m message) (Parsed, error) {
	m.User = first(m.User, m.BotID)
	if m.User == "" {
		return Parsed{Ignored: ofProgram}, nil // there is nobody to name
	}
	if outer.Previous != nil && outer.Previous.whole() == m.whole() {
		return Parsed{Ignored: "change of a message that leaves its text"}, nil
	}
	e, err := newEvent(c, workspace, me, outer, m)
	if err != nil {
		return Parsed{}, err
	}
	e.Kind, e.Key, e.Mention, e.Text = KindProgram, MessageKey(outer.Channel, m.TS), false, clean(m.whole())
	if timestamp.MatchString(outer.EventTS) {
		e.At = tsTime(outer.EventTS)
	}
	if e.Direct || e.Text == "" {
		return Parsed{Ignored: ofProgram}, nil
	}
	return Parsed{Event: &e}, nil
}

// mostEmoji is how long the name of an emoji is, at most.
const mostEmoji = 120

// parseReaction makes an event for watches of somebody's reaction to a message.
// Source: docs.slack.dev/reference/events/reaction_added.
func parseReaction(c callback, workspace string, me Self) (Parsed, error) {
	var r struct {
		User     string `json:"user"`
		Reaction string `json:"reaction"`
		ItemUser string `json:"item_user"`
		Item     struct {
			Type    string `json:"type"`
			Channel string `json:"channel"`
			TS      string `json:"ts"`
		} `json:"item"`
		EventTS string `json:"event_ts"`
	}
	const what = "event reaction_added"
	if err := json.Unmarshal(c.Event, &r); err != nil {
		return Parsed{}, &ParseError{what, "event", err}
	}
	switch {
	case r.User == "":
		return Parsed{}, &ParseError{what, "event.user", nil}
	case r.User == me.User:
		return Parsed{Ignored: "own reaction"}, nil
	case r.Item.Type != "message" || r.Item.Channel == "" || strings.HasPrefix(r.Item.Channel, "D"):
		return Parsed{Ignored: "reaction to no message of a channel"}, nil
	case !timestamp.MatchString(r.Item.TS):
		return Parsed{}, &ParseError{what, "event.item.ts", notTimestamp(r.Item.TS)}
	}
	at := tsTime(r.Item.TS)
	if timestamp.MatchString(r.EventTS) {
		at = tsTime(r.EventTS)
	}
	e := reactionTo(workspace, r.Item.Channel, r.Item.TS, r.ItemUser, r.Reaction, r.User, at)
	e.EventID = c.EventID
	return Parsed{Event: &e}, nil
}

// reactionTo is a reaction by user to the message ts of author.
func reactionTo(workspace, channel, ts, author, emoji, user string, at time.Time) Event {
	emoji = clip(emoji, mostEmoji)
	return Event{Workspace: workspace, Key: "reaction:" + channel + ":" + ts + ":" + emoji + ":" + user, Kind: KindReaction,
		Channel: channel, TS: ts, User: user, Reaction: clean(emoji), Author: author, At: at}
}

// message gives one message of a channel, false where Slack has none of that ts at
// the root of the channel.
func (r *Reader) message(ctx context.Context, channel, ts string) (Said, bool, error) {
	var page *slack.GetConversationHistoryResponse
	err := r.api.once(ctx, "conversations.history", func(ctx context.Context) error {
		var err error
		page, err = r.api.client.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{ChannelID: channel, Latest: ts, Oldest: ts, Inclusive: true, Limit: 1})
		return err
	})
	if err != nil {
		return Said{}, false, fmt.Errorf("read message: %w", err)
	}
	for _, m := range page.Messages {
		if m.Timestamp == ts {
			return toSaid(m), true, nil
		}
	}
	return Said{}, false, nil
}
