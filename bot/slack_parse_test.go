package bot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func selfOf(workspace string) (Self, bool) {
	return Self{Workspace: workspace, User: "U0BOT", Bot: "B0BOT", App: "A0BOT"}, workspace == "T1"
}

// envelope is an Events API payload around an event.
func envelope(event string, more ...string) string {
	return fmt.Sprintf(`{"type":"event_callback","team_id":"T1","api_app_id":"A0BOT","event_id":"Ev1","event_time":1700000000,%s"event":%s}`, strings.Join(more, ""), event)
}

func TestParseMessages(t *testing.T) {
	t.Parallel()
	const head = `"type":"message","channel":"C1","channel_type":"channel","user":"U0ADA","ts":"1700000000.000100"`
	for name, c := range map[string]struct {
		payload string
		want    Event
	}{
		"in a channel": {envelope(`{` + head + `,"text":"hi"}`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000100", Text: "hi"}},
		"in a thread": {envelope(`{` + head + `,"text":"hi","thread_ts":"1690000000.000001"}`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1690000000.000001", Text: "hi"}},
		"with a mention": {envelope(`{` + head + `,"text":"<@U0BOT> hi"}`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000100", Text: "<@U0BOT> hi", Mention: true}},
		"with a file": {envelope(`{` + head + `,"text":"see","subtype":"file_share","files":[{}]}`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000100", Text: "see"}},
		"broadcast from a thread": {envelope(`{` + head + `,"text":"hi","subtype":"thread_broadcast","thread_ts":"1690000000.000001","root":{"text":"<@U0BOT>"}}`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1690000000.000001", Text: "hi"}},
		"app_mention": {envelope(`{"type":"app_mention","channel":"C1","user":"U0ADA","ts":"1700000000.000100","text":"<@U0BOT> hi"}`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindMessage, Channel: "C1", Thread: "1700000000.000100", Text: "<@U0BOT> hi", Mention: true}},
		"direct": {envelope(`{"type":"message","channel":"D1","channel_type":"im","user":"U0ADA","ts":"1700000000.000100","text":"hi"}`),
			Event{Key: "message:D1:1700000000.000100", Kind: KindMessage, Channel: "D1", ChannelKind: ChannelDirect, Text: "hi", Direct: true}},
		"direct in a thread": {envelope(`{"type":"message","channel":"D1","channel_type":"im","user":"U0ADA","ts":"1700000000.000100","thread_ts":"1690000000.000001","text":"hi"}`),
			Event{Key: "message:D1:1700000000.000100", Kind: KindMessage, Channel: "D1", ChannelKind: ChannelDirect, Thread: "1690000000.000001", Text: "hi", Direct: true}},
		"in a shared channel, by an outsider": {envelope(`{`+head+`,"text":"hi","user_team":"T2"}`, `"is_ext_shared_channel":true,"authorizations":[{"team_id":"T1"}],`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindMessage, Channel: "C1", ChannelKind: ChannelShared, Thread: "1700000000.000100", Text: "hi", UserTeam: "T2"}},
		"stop with a mention": {envelope(`{` + head + `,"text":" <@U0BOT>  STOP! "}`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindStop, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000100", Text: " <@U0BOT>  STOP! ", Mention: true}},
		"stop for somebody else": {envelope(`{` + head + `,"text":"<@U0BEN> stop"}`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000100", Text: "<@U0BEN> stop"}},
		"invalid UTF-8 and NUL": {envelope(`{` + head + `,"text":"a` + "\xff" + `b\u0000\ud800c"}`),
			Event{Key: "message:C1:1700000000.000100", Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000100", Text: "a\uFFFDb\uFFFDc"}},
		"edit": {envelope(`{"type":"message","subtype":"message_changed","channel":"C1","channel_type":"channel","ts":"1700000001.000000",
			"message":{"user":"U0ADA","ts":"1700000000.000100","text":"tea","edited":{"user":"U0ADA","ts":"1700000001.000000"}},"previous_message":{"text":"milk"}}`),
			Event{Key: "edit:C1:1700000000.000100:1700000001.000000", Kind: KindEdit, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000100", Text: "tea"}},
		"deletion": {envelope(`{"type":"message","subtype":"message_deleted","channel":"C1","channel_type":"channel","deleted_ts":"1700000000.000100","event_ts":"1700000002.000000",
			"previous_message":{"user":"U0ADA","ts":"1700000000.000100","text":"milk"}}`),
			Event{Key: "delete:C1:1700000000.000100", Kind: KindDelete, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000100"}},
		"deletion of a root with replies": {envelope(`{"type":"message","subtype":"message_changed","channel":"C1","channel_type":"channel",
			"message":{"subtype":"tombstone","user":"USLACKBOT","ts":"1700000000.000100","thread_ts":"1700000000.000100","text":"This message was deleted."},
			"previous_message":{"user":"U0ADA","ts":"1700000000.000100","thread_ts":"1700000000.000100","text":"milk"}}`),
			Event{Key: "delete:C1:1700000000.000100", Kind: KindDelete, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000100"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := ParseEvent([]byte(c.payload), selfOf)
			if err != nil || p.Event == nil {
				t.Fatalf("got %+v, %v; want an event", p, err)
			}
			got := *p.Event
			c.want.Workspace, c.want.TS, c.want.User, c.want.EventID = "T1", "1700000000.000100", "U0ADA", "Ev1"
			if c.want.UserTeam == "" {
				c.want.UserTeam = "T1"
			}
			c.want.At = got.At
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
			if got.At.IsZero() {
				t.Error("the event has no time")
			}
		})
	}
}

func TestParseIgnores(t *testing.T) {
	t.Parallel()
	const head = `"type":"message","channel":"C1","channel_type":"channel","ts":"1700000000.000100","text":"hi"`
	for name, payload := range map[string]string{
		"its own message by user":          envelope(`{` + head + `,"user":"U0BOT"}`),
		"its own message by bot":           envelope(`{` + head + `,"bot_id":"B0BOT"}`),
		"its own message by app":           envelope(`{` + head + `,"user":"U9","bot_profile":{"app_id":"A0BOT"}}`),
		"a program in a direct message":    envelope(`{"type":"message","channel":"D1","channel_type":"im","user":"U9","bot_id":"B9","ts":"1700000000.000100","text":"hi"}`),
		"a program without a text":         envelope(`{"type":"message","channel":"C1","channel_type":"channel","user":"U9","bot_id":"B9","ts":"1700000000.000100"}`),
		"its own reaction":                 envelope(`{"type":"reaction_added","user":"U0BOT","reaction":"eyes","item":{"type":"message","channel":"C1","ts":"1700000000.000100"}}`),
		"a reaction to a file":             envelope(`{"type":"reaction_added","user":"U9","reaction":"eyes","item":{"type":"file","file":"F1"}}`),
		"somebody joined":                  envelope(`{` + head + `,"user":"U9","subtype":"channel_join"}`),
		"an unfurl":                        envelope(`{"type":"message","subtype":"message_changed","channel":"C1","message":{"user":"U9","ts":"1700000000.000100","text":"a"},"previous_message":{"text":"a"}}`),
		"its own edit":                     envelope(`{"type":"message","subtype":"message_changed","channel":"C1","message":{"user":"U0BOT","ts":"1700000000.000100","text":"a","edited":{"ts":"1700000001.000000"}},"previous_message":{"text":"b"}}`),
		"its own deletion":                 envelope(`{"type":"message","subtype":"message_deleted","channel":"C1","deleted_ts":"1700000000.000100","previous_message":{"user":"U0BOT","bot_id":"B0BOT","ts":"1700000000.000100"}}`),
		"an unknown event":                 envelope(`{"type":"function_executed"}`),
		"an unknown kind of delivery":      `{"type":"app_rate_limited","team_id":"T1"}`,
		"a workspace that it is not in":    strings.Replace(envelope(`{`+head+`,"user":"U9"}`), `"T1"`, `"T9"`, 1),
		"a subtype that Slack adds later":  envelope(`{` + head + `,"user":"U9","subtype":"hologram"}`),
		"an event of a type with no shape": envelope(`{"type":"x","user":7,"channel":[]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := ParseEvent([]byte(payload), selfOf)
			if err != nil || p.Ignored == "" || p.Event != nil {
				t.Errorf("got %+v, %v; want it ignored with a reason", p, err)
			}
		})
	}
}

// What other programs say, and reactions, are for watches alone: nobody answers them.
func TestParseForWatches(t *testing.T) {
	t.Parallel()
	const head = `"channel":"C1","channel_type":"channel","ts":"1700000000.000100"`
	for name, c := range map[string]struct{ payload, kind, user, text, key string }{
		"another program":            {`{"type":"message",` + head + `,"text":"hi","user":"U9","bot_id":"B9"}`, KindProgram, "U9", "hi", "message:C1:1700000000.000100"},
		"a program that mentions it": {`{"type":"app_mention","channel":"C1","user":"U9","bot_id":"B9","ts":"1700000000.000100","text":"<@U0BOT> stop"}`, KindProgram, "U9", "<@U0BOT> stop", "message:C1:1700000000.000100"},
		"an old-style program":       {`{"type":"message",` + head + `,"text":"hi","subtype":"bot_message","bot_id":"B9"}`, KindProgram, "B9", "hi", "message:C1:1700000000.000100"},
		"a program with attachments": {`{"type":"message",` + head + `,"bot_id":"B9","attachments":[{"title":"Down","text":"eu-west","fields":[{"title":"since","value":"9:00"}]},{"fallback":"see it"}]}`,
			KindProgram, "B9", "Down\neu-west\nsince: 9:00\nsee it", "message:C1:1700000000.000100"},
		"a program's new text": {`{"type":"message","subtype":"message_changed","channel":"C1","channel_type":"channel","event_ts":"1700000009.000000","message":{"bot_id":"B9","ts":"1700000000.000100","text":"worse"},"previous_message":{"text":"bad"}}`,
			KindProgram, "B9", "worse", "message:C1:1700000000.000100"},
		"a reaction": {`{"type":"reaction_added","user":"U9","reaction":"eyes","item_user":"U0ADA","item":{"type":"message","channel":"C1","ts":"1700000000.000100"},"event_ts":"1700000009.000000"}`,
			KindReaction, "U9", "", "reaction:C1:1700000000.000100:eyes:U9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := ParseEvent([]byte(envelope(c.payload)), selfOf)
			if err != nil || p.Event == nil {
				t.Fatalf("got %+v, %v; want an event", p, err)
			}
			if e := *p.Event; e.Kind != c.kind || e.User != c.user || e.Text != c.text || e.Key != c.key || e.Mention || e.Direct || e.At.IsZero() {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestParseNamesTheBadField(t *testing.T) {
	t.Parallel()
	for field, payload := range map[string]string{
		"(all)":         `{"type":`,
		"event":         `{"type":"event_callback","team_id":"T1"}`,
		"event.type":    envelope(`{}`),
		"team_id":       `{"type":"event_callback","event":{"type":"message"}}`,
		"event.channel": envelope(`{"type":"message","user":"U1","ts":"1700000000.000100"}`),
		"event.user":    envelope(`{"type":"message","channel":"C1","ts":"1700000000.000100"}`),
		"event.ts":      envelope(`{"type":"message","channel":"C1","user":"U1","ts":"yesterday"}`),
		"event.message": envelope(`{"type":"message","subtype":"message_changed","channel":"C1"}`),
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			_, err := ParseEvent([]byte(payload), selfOf)
			var bad *ParseError
			if !errors.As(err, &bad) || bad.Field != field {
				t.Errorf("got %v, want a *ParseError that names %s", err, field)
			}
		})
	}
}

func TestParseKeepsAMegabyte(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef", 1<<16)
	p, err := ParseEvent([]byte(envelope(`{"type":"message","channel":"C1","user":"U1","ts":"1700000000.000100","text":"`+text+`"}`)), selfOf)
	if err != nil || p.Event == nil || p.Event.Text != text {
		t.Errorf("a message of 1 MB: got %v, %v; want all of it", p.Event != nil, err)
	}
}

func TestParseChanges(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]Change{
		`{"type":"channel_rename","channel":{"id":"C1","name":"new"}}`:   {Kind: "channel_rename", Channel: "C1", Name: "new"},
		`{"type":"member_joined_channel","channel":"C1","user":"U0ADA"}`: {Kind: "member_joined_channel", Channel: "C1", User: "U0ADA"},
		`{"type":"user_change","user":{"id":"U0ADA","deleted":true}}`:    {Kind: "user_change", User: "U0ADA"},
		`{"type":"tokens_revoked","tokens":{"bot":["B0BOT"]}}`:           {Kind: "tokens_revoked"},
		`{"type":"app_uninstalled"}`:                                     {Kind: "app_uninstalled"},
	} {
		t.Run(want.Kind, func(t *testing.T) {
			t.Parallel()
			p, err := ParseEvent([]byte(envelope(event)), selfOf)
			if err != nil || p.Change == nil {
				t.Fatalf("got %+v, %v; want a change", p, err)
			}
			got := *p.Change
			want.Workspace, want.EventID, want.At = "T1", "Ev1", got.At
			if got != want {
				t.Errorf("\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestParseInteraction(t *testing.T) {
	t.Parallel()
	const press = `{"type":"block_actions","team":{"id":"T1"},"user":{"id":"U0ADA","team_id":"T1"},"container":{"message_ts":"1700000000.000200","channel_id":"C1","thread_ts":"1700000000.000100"},
		"response_url":"https://x.example/r","trigger_id":"1","actions":[{"action_id":"stop","value":"thread:T1:C1:1700000000.000100","action_ts":"1700000005.000000"}]}`
	p, err := ParseInteraction([]byte(press), selfOf)
	if err != nil || p.Action == nil {
		t.Fatalf("got %+v, %v; want an action", p, err)
	}
	a := *p.Action
	if a.ID != "stop" || a.Value != "thread:T1:C1:1700000000.000100" || a.User != "U0ADA" || a.Channel != "C1" || a.Thread != "1700000000.000100" {
		t.Errorf("got %+v", a)
	}
	if p, err := ParseInteraction([]byte(`{"type":"shortcut"}`), selfOf); err != nil || p.Ignored == "" {
		t.Errorf("a shortcut: got %+v, %v; want it ignored", p, err)
	}
	var bad *ParseError
	if _, err := ParseInteraction([]byte(`{"type":"block_actions","user":{"id":"U1"}}`), selfOf); !errors.As(err, &bad) || bad.Field != "actions" {
		t.Errorf("a press of nothing: got %v, want a *ParseError that names actions", err)
	}
}

// sharedFile finds a file beside the repository; where it is missing the test is
// skipped, but not in CI.
func sharedFile(t *testing.T, pattern string) []string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "shared", pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing beside the repository", pattern)
		}
		t.Skipf("%s is missing beside the repository", pattern)
	}
	return files
}

// Every event shape that Slack publishes is either understood, ignored, or
// refused by the name of a field; none makes the parser fail otherwise.
func TestParseSlacksOwnSamples(t *testing.T) {
	t.Parallel()
	for _, file := range sharedFile(t, "slack/samples/events/*.json") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var sample map[string]json.RawMessage
		if err := json.Unmarshal(b, &sample); err != nil {
			t.Fatal(err)
		}
		sample["type"], sample["team_id"] = json.RawMessage(`"event_callback"`), json.RawMessage(`"T1"`)
		sample["authorizations"] = json.RawMessage(`[{"team_id":"T1"}]`)
		b, err = json.Marshal(sample)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseEvent(b, selfOf)
		var bad *ParseError
		if err != nil && !(errors.As(err, &bad) && bad.Err == nil) { // samples have empty values
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(envelope(`{"type":"message","channel":"C1","user":"U1","ts":"1700000000.000100","text":"hi"}`)))
	f.Add([]byte(envelope(`{"type":"message","subtype":"message_changed","channel":"C1","message":{"user":"U9","ts":"1700000000.000100","edited":{"ts":"1.0"}}}`)))
	f.Fuzz(func(t *testing.T, payload []byte) {
		p, err := ParseEvent(payload, selfOf)
		if err != nil {
			return
		}
		if e := p.Event; e != nil && (e.Key == "" || e.Workspace == "" || e.Channel == "" || e.User == "" || !timestamp.MatchString(e.TS)) {
			t.Fatalf("an event without what names it: %+v", *e)
		}
	})
}
