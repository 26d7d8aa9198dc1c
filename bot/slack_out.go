package bot

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/slack-go/slack"

	"deskmate/identity"
)

// sender makes the calls that people see.
type sender struct {
	api    *API
	reader *Reader
	pace   *Pace
}

// findMargin is how far before an attempt a look for its effect begins: clocks
// differ.
const findMargin = time.Minute

// post sends text and returns its ts. A 429 is waited out here, because it says
// that nothing was done. ready is asked when it is the post's turn, and can
// still refuse.
func (s *sender) post(ctx context.Context, channel, thread, key, text string, card *Card, ready func(context.Context) error) (string, error) {
	options := []slack.MsgOption{
		slack.MsgOptionText(text, false), // escaped already
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: metadataType, EventPayload: map[string]any{"key": key}}),
	}
	if thread != "" {
		options = append(options, slack.MsgOptionTS(thread))
	}
	if card != nil {
		options = append(options, slack.MsgOptionBlocks(card.blocks()...))
	}
	for {
		if err := s.pace.Post(ctx, channel); err != nil {
			return "", err
		}
		if err := ready(ctx); err != nil {
			return "", err
		}
		var ts string
		err := s.api.once(ctx, "chat.postMessage", func(ctx context.Context) error {
			var err error
			_, ts, err = s.api.client.PostMessageContext(ctx, channel, options...)
			return err
		})
		if !s.held(err) {
			return ts, err
		}
	}
}

// update edits the message ts. superseded means that a newer edit of it came
// while this one waited for its turn.
func (s *sender) update(ctx context.Context, channel, ts, text string, card *Card, ready func(context.Context) error) (superseded bool, err error) {
	options := []slack.MsgOption{slack.MsgOptionText(text, false), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl()}
	if card != nil {
		options = append(options, slack.MsgOptionBlocks(card.blocks()...))
	}
	for {
		mine, err := s.pace.Update(ctx, channel+":"+ts)
		if err != nil || !mine {
			return !mine && err == nil, err
		}
		if err := ready(ctx); err != nil {
			return false, err
		}
		err = s.api.once(ctx, "chat.update", func(ctx context.Context) error {
			_, _, _, err := s.api.client.UpdateMessageContext(ctx, channel, ts, options...)
			return err
		})
		if !s.held(err) {
			return false, err
		}
	}
}

// held keeps everybody quiet for as long as a 429 asked, and reports that it was
// one.
func (s *sender) held(err error) bool {
	var limited *slack.RateLimitedError
	if !errors.As(err, &limited) {
		return false
	}
	s.pace.Silence(max(limited.RetryAfter, time.Second))
	return true
}

// react adds an emoji; one that is there already is as good.
func (s *sender) react(ctx context.Context, channel, ts, name string) error {
	err := s.api.patient(ctx, "reactions.add", func(ctx context.Context) error {
		return s.api.client.AddReactionContext(ctx, name, slack.NewRefToMessage(channel, ts))
	})
	if isRefusal(err, "already_reacted") {
		return nil
	}
	return err
}

// status shows a line under the thread until the next message, "" takes it away.
func (s *sender) status(ctx context.Context, channel, thread, text string) error {
	return s.api.patient(ctx, "assistant.threads.setStatus", func(ctx context.Context) error {
		return s.api.client.SetAssistantThreadsStatusContext(ctx, slack.AssistantThreadsSetStatusParameters{ChannelID: channel, ThreadTS: thread, Status: text})
	})
}

// find looks for the post with the given key and text, sent since the given time.
func (s *sender) find(ctx context.Context, channel, thread, key, text string, since time.Time) (string, bool, error) {
	oldest := since.Add(-findMargin)
	return s.reader.find(ctx, channel, thread, key, text, strconv.FormatInt(oldest.Unix(), 10)+".000000")
}

// Fates of a post that Slack refused.
const (
	fateThread  = "thread"  // the thread is gone: the channel itself may take it
	fateChannel = "channel" // the channel takes nothing from the agent
	fateText    = "text"    // this very text cannot be sent
)

// fates sorts the refusals of chat.postMessage and chat.update.
// Source: docs.slack.dev/reference/methods/chat.postMessage, errors.
var fates = map[string]string{
	"thread_not_found": fateThread, "invalid_thread_ts": fateThread, "cannot_reply_to_message": fateThread, "thread_locked": fateThread,
	"message_not_found": fateThread, "channel_not_found": fateChannel, "not_in_channel": fateChannel, "is_archived": fateChannel,
	"restricted_action": fateChannel, "restricted_action_read_only_channel": fateChannel, "restricted_action_thread_only_channel": fateChannel,
	"restricted_action_non_threadable_channel": fateThread, "restricted_action_thread_locked": fateThread, "team_access_not_granted": fateChannel,
	"channel_is_limited_access": fateChannel, "access_denied": fateChannel, "no_permission": fateChannel, "cannot_dm_bot": fateChannel,
	"user_is_deactivated": fateChannel,
}

// fate says what a refusal, of Slack's or of the policy, means for a post.
func fate(err error) string {
	var denied *identity.DeniedError
	if errors.As(err, &denied) {
		return fateChannel
	}
	var refused *SlackError
	if !errors.As(err, &refused) {
		return ""
	}
	if f := fates[refused.Code]; f != "" {
		return f
	}
	return fateText
}
