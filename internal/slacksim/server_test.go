package slacksim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"deskmate/internal/slacksim"
)

// patience is how long a test waits for something that should come at once.
const patience = time.Minute

// workspace starts a server for one test. Redelivery after the first is quick,
// so that tests need not wait minutes.
func workspace(t *testing.T, o slacksim.Options) (*slacksim.Server, string) {
	t.Helper()
	s, err := slacksim.New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	base, err := s.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s, base
}

// bot is a slack-go client with the app's tokens.
func bot(s *slacksim.Server, base string) *slack.Client {
	return slack.New(s.BotToken(), slack.OptionAPIURL(base+"/api/"), slack.OptionAppLevelToken(s.AppToken()))
}

// person is a slack-go client that acts as a person.
func person(base, userID string) *slack.Client {
	return slack.New(slacksim.UserToken(userID), slack.OptionAPIURL(base+"/api/"))
}

// listen connects a Socket Mode client and returns its requests. It acknowledges
// what ack says; nil acknowledges all.
func listen(t *testing.T, api *slack.Client, ack func(socketmode.Request) bool) <-chan socketmode.Request {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	client := socketmode.New(api)
	out := make(chan socketmode.Request, 1000)
	connected := make(chan struct{}, 10)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := client.RunContext(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("socket mode ended: %v", err)
		}
	}()
	go func() {
		for {
			select {
			case e := <-client.Events:
				if e.Type == socketmode.EventTypeHello {
					connected <- struct{}{}
					continue
				}
				if e.Request == nil || e.Request.EnvelopeID == "" {
					continue
				}
				if ack == nil || ack(*e.Request) {
					_ = client.Ack(*e.Request)
				}
				out <- *e.Request
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	await(t, connected, "a Socket Mode connection")
	return out
}

// await receives one value or fails.
func await[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
		panic("unreachable")
	}
}

// inner is the inner event of a request.
func inner(t *testing.T, r socketmode.Request) map[string]any {
	t.Helper()
	var outer struct {
		Event map[string]any `json:"event"`
	}
	if err := json.Unmarshal(r.Payload, &outer); err != nil {
		t.Fatalf("event payload %s: %v", r.Payload, err)
	}
	return outer.Event
}

// control calls one of the emulator's own addresses.
func control(t *testing.T, base, method, path, body string) map[string]any {
	t.Helper()
	out, err := tryControl(t.Context(), base, method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// later posts to an address of the emulator while the test goes on, and hands
// over the answer.
func later(t *testing.T, base, path, body string) <-chan map[string]any {
	t.Helper()
	answer := make(chan map[string]any, 1)
	go func() {
		out, err := tryControl(t.Context(), base, http.MethodPost, path, body)
		if err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		answer <- out
	}()
	return answer
}

func tryControl(ctx context.Context, base, method, path, body string) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("%s %s: answer %q: %w", method, path, raw, err)
	}
	return out, nil
}

func TestMentionIsDeliveredTwiceAndAnsweredInItsThread(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	api := bot(s, base)
	requests := listen(t, api, nil)

	if _, err := api.AuthTest(); err != nil {
		t.Fatalf("auth.test: %v", err)
	}
	_, ts, err := person(base, "U0BEN").PostMessage("C0ENG", slack.MsgOptionText("<@U0DESKMATE> deploy R&D <now>", false))
	if err != nil {
		t.Fatalf("post as Ben: %v", err)
	}
	kinds := map[any]map[string]any{}
	for range 2 {
		e := inner(t, await(t, requests, "the message and the mention"))
		kinds[e["type"]] = e
	}
	for _, kind := range []string{"message", "app_mention"} {
		if got, want := kinds[kind]["ts"], ts; got != want {
			t.Errorf("%s: ts %v, want %v", kind, got, want)
		}
		if got, want := kinds[kind]["text"], "<@U0DESKMATE> deploy R&amp;D &lt;now&gt;"; got != want {
			t.Errorf("%s: text %q, want %q", kind, got, want)
		}
	}
	if got := kinds["message"]["channel_type"]; got != "channel" {
		t.Errorf("channel_type %v, want channel", got)
	}

	_, reply, err := api.PostMessage("C0ENG", slack.MsgOptionText("done", false), slack.MsgOptionTS(ts),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "deskmate_post", EventPayload: map[string]any{"key": "k1"}}))
	if err != nil {
		t.Fatalf("reply: %v", err)
	}
	echo := inner(t, await(t, requests, "the echo of the bot's own post"))
	if echo["bot_id"] != "B0DESKMATE" || echo["thread_ts"] != ts {
		t.Errorf("echo has bot_id %v and thread_ts %v, want B0DESKMATE and %s", echo["bot_id"], echo["thread_ts"], ts)
	}
	if _, _, _, err := api.UpdateMessage("C0ENG", reply, slack.MsgOptionText("really done", false)); err != nil {
		t.Fatalf("update: %v", err)
	}
	changed := inner(t, await(t, requests, "message_changed"))
	if changed["subtype"] != "message_changed" {
		t.Errorf("subtype %v, want message_changed", changed["subtype"])
	}
	thread, _, _, err := api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: "C0ENG", Timestamp: ts, IncludeAllMetadata: true})
	if err != nil {
		t.Fatalf("replies: %v", err)
	}
	if len(thread) != 2 || thread[1].Text != "really done" || thread[1].Metadata.EventPayload["key"] != "k1" || thread[0].ReplyCount != 1 {
		t.Errorf("thread is %+v, want the root with one reply that kept its metadata", thread)
	}
}
