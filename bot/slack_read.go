package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"deskmate/memory"
)

// Said is one message as Slack has it.
type Said struct {
	TS       string
	Thread   string // root ts, "" outside threads
	User     string // who wrote it; the bot id for programs without a user
	Team     string // their home workspace, where Slack says so
	Text     string // mrkdwn with <@U…> and escaped &<>
	BotID    string // the program that wrote it, "" for people
	Subtype  string // Slack's kind of message, "" for an ordinary one
	EditedTS string // of its last edit, "" for none
	Key      string // post key, for the agent's own messages
	Files    []memory.File

	turn        string // that said it, where memory knows it
	attachments []attachment
	reactions   []slack.ItemReaction
}

// pageSize is what Slack advises for one page of messages.
const pageSize = 200

// Reader reads conversations from Slack.
type Reader struct{ api *API }

// NewReader returns a Reader over api.
func NewReader(api *API) *Reader { return &Reader{api} }

// Channel gives the newest limit messages of a channel, oldest first; replies in
// threads are not among them.
func (r *Reader) Channel(ctx context.Context, workspace, channel string, limit int) ([]Said, error) {
	said, err := r.history(ctx, channel, "", limit)
	if len(said) > limit {
		said = said[len(said)-limit:]
	}
	return said, err
}

// Permalink gives the address of a message.
func (r *Reader) Permalink(ctx context.Context, workspace, channel, ts string) (string, error) {
	var link string
	err := r.api.patient(ctx, "chat.getPermalink", func(ctx context.Context) error {
		var err error
		link, err = r.api.client.GetPermalinkContext(ctx, &slack.PermalinkParameters{Channel: channel, Ts: ts})
		return err
	})
	return link, err
}

// ErrNoMessage means that a message is gone, or that the agent may not see it.
var ErrNoMessage = errors.New("there is no such message that I can read")

// Message gives one message; thread is its thread's root, "" or its own ts outside
// threads.
func (r *Reader) Message(ctx context.Context, channel, ts, thread string) (Said, error) {
	var page []slack.Message
	err := r.api.patient(ctx, "conversations.replies", func(ctx context.Context) error {
		var err error
		page, _, _, err = r.api.client.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
			ChannelID: channel, Timestamp: first(thread, ts), Oldest: ts, Latest: ts, Inclusive: true, Limit: 10, IncludeAllMetadata: true,
		})
		return err
	})
	if isRefusal(err, "thread_not_found", "message_not_found", "channel_not_found", "not_in_channel") {
		return Said{}, ErrNoMessage
	}
	if err != nil {
		return Said{}, fmt.Errorf("read message %s in %s: %w", ts, channel, err)
	}
	for _, m := range page {
		if m.Timestamp == ts {
			return toSaid(m), nil
		}
	}
	return Said{}, ErrNoMessage
}

// replies gives the messages of a thread after oldest ("" for all), oldest
// first, with their metadata; most bounds them.
func (r *Reader) replies(ctx context.Context, channel, thread, oldest string, most int) ([]Said, error) {
	var said []Said
	cursor := ""
	for len(said) < most {
		var page []slack.Message
		var next string
		err := r.api.patient(ctx, "conversations.replies", func(ctx context.Context) error {
			var err error
			page, _, next, err = r.api.client.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
				ChannelID: channel, Timestamp: thread, Oldest: oldest, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, m := range page {
			said = append(said, toSaid(m))
		}
		if next == "" || next == cursor || len(page) == 0 {
			break
		}
		cursor = next
	}
	return said, nil
}

// history gives the newest messages of a channel after oldest ("" for any),
// oldest first, with their metadata; most bounds them.
func (r *Reader) history(ctx context.Context, channel, oldest string, most int) ([]Said, error) {
	var said []Said
	cursor := ""
	for len(said) < most {
		var page *slack.GetConversationHistoryResponse
		err := r.api.patient(ctx, "conversations.history", func(ctx context.Context) error {
			var err error
			page, err = r.api.client.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
				ChannelID: channel, Oldest: oldest, Cursor: cursor, Limit: min(pageSize, max(most, 1)), IncludeAllMetadata: true,
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, m := range page.Messages {
			said = append(said, toSaid(m))
		}
		next := page.ResponseMetaData.NextCursor
		if next == "" || next == cursor || len(page.Messages) == 0 {
			break
		}
		cursor = next
	}
	slices.SortStableFunc(said, func(a, b Said) int { return strings.Compare(a.TS, b.TS) })
	return said, nil
}

func toSaid(m slack.Message) Said {
	s := Said{
		TS: m.Timestamp, Thread: m.ThreadTimestamp, User: first(m.User, m.BotID), Team: m.Team, Text: clean(m.Text),
		BotID: m.BotID, Subtype: m.SubType, attachments: attached(m.Attachments),
		reactions: m.Reactions,
	}
	for _, f := range m.Files {
		s.Files = append(s.Files, filesOf([]slackFile{{f.ID, f.Name, f.Title, f.Mimetype, f.Mode, f.Size, f.URLPrivateDownload, f.URLPrivate}})...)
	}
	if m.Edited != nil {
		s.EditedTS = m.Edited.Timestamp
	}
	if m.Metadata.EventType == metadataType {
		s.Key, _ = m.Metadata.EventPayload["key"].(string)
	}
	return s
}

// metadataType marks the agent's own messages; their payload holds the post key.
const metadataType = "deskmate_post"

// find looks for the agent's message with the given post key, since oldest. Where
// Slack keeps metadata from the app, for want of a scope, a program's message of
// the same text is taken for it: better one answer too few than two.
func (r *Reader) find(ctx context.Context, channel, thread, key, text, oldest string) (ts string, ok bool, err error) {
	var said []Said
	if thread != "" {
		said, err = r.replies(ctx, channel, thread, oldest, 20*pageSize)
	} else {
		said, err = r.history(ctx, channel, oldest, 20*pageSize)
	}
	if err != nil {
		return "", false, fmt.Errorf("look for post %s: %w", key, err)
	}
	for _, s := range said {
		if s.Key == key || s.Key == "" && s.BotID != "" && s.Text == text && s.TS >= oldest {
			return s.TS, true, nil
		}
	}
	return "", false, nil
}
