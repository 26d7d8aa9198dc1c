package bot

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const shortcutPayload = `{"type":"message_action","token":"x","callback_id":"remember_this","trigger_id":"1.2.abc","action_ts":"1700000009.000200","message_ts":"1700000000.000100",
	"team":{"id":"T1","domain":"d"},"user":{"id":"U0BEN","team_id":"T2"},"channel":{"id":"C1","name":"eng"},"response_url":"https://hooks.slack.com/app/1",
	"message":{"type":"message","user":"U0ADA","ts":"1700000000.000100","thread_ts":"1690000000.000001","text":"a &amp; b\u0000"}}`

func TestParseShortcut(t *testing.T) {
	t.Parallel()
	p, err := ParseInteraction([]byte(shortcutPayload), selfOf)
	if err != nil {
		t.Fatal(err)
	}
	want := Shortcut{Workspace: "T1", Key: "shortcut:remember_this:C1:1700000000.000100:U0BEN:1700000009.000200", ID: "remember_this", User: "U0BEN", UserTeam: "T2",
		Channel: "C1", TS: "1700000000.000100", Thread: "1690000000.000001", Text: "a &amp; b", ResponseURL: "https://hooks.slack.com/app/1", TriggerID: "1.2.abc",
		At: time.Unix(1700000009, 200000).UTC()}
	if p.Shortcut == nil || *p.Shortcut != want {
		t.Errorf("got %+v, want %+v", p.Shortcut, want)
	}
}

func TestParseShortcutThatIsNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, new, field string }{
		"without a callback":            {`"callback_id":"remember_this"`, `"callback_id":""`, "callback_id"},
		"without a channel":             {`"channel":{"id":"C1","name":"eng"}`, `"channel":{}`, "channel.id"},
		"without a person":              {`"user":{"id":"U0BEN","team_id":"T2"}`, `"user":{}`, "user.id"},
		"with a timestamp that is none": {`"message_ts":"1700000000.000100"`, `"message_ts":"yesterday"`, "message_ts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseInteraction([]byte(strings.Replace(shortcutPayload, c.old, c.new, 1)), selfOf)
			var parse *ParseError
			if !errors.As(err, &parse) || parse.Field != c.field {
				t.Errorf("got %v, want a ParseError of %s", err, c.field)
			}
		})
	}
	p, err := ParseInteraction([]byte(strings.Replace(shortcutPayload, `"team":{"id":"T1"`, `"team":{"id":"T9"`, 1)), selfOf)
	if err != nil || p.Shortcut != nil || p.Ignored == "" {
		t.Errorf("of a workspace without an installation: got %+v, %v; want it ignored", p, err)
	}
}

func TestParseVisit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event string
		want  *Visit
	}{
		"the first one":       {`{"type":"app_home_opened","user":"U0ADA","channel":"D1","tab":"home","event_ts":"1.2"}`, &Visit{Workspace: "T1", User: "U0ADA", Empty: true, At: time.Unix(1700000000, 0).UTC()}},
		"of a Home":           {`{"type":"app_home_opened","user":"U0ADA","channel":"D1","tab":"home","view":{"id":"V1"}}`, &Visit{Workspace: "T1", User: "U0ADA", At: time.Unix(1700000000, 0).UTC()}},
		"of the Messages tab": {`{"type":"app_home_opened","user":"U0ADA","channel":"D1","tab":"messages"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := ParseEvent([]byte(envelope(c.event)), selfOf)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == nil && p.Visit == nil && p.Ignored != "" {
				return
			}
			if c.want == nil || p.Visit == nil || *p.Visit != *c.want {
				t.Errorf("got %+v, want %+v", p.Visit, c.want)
			}
		})
	}
	if _, err := ParseEvent([]byte(envelope(`{"type":"app_home_opened","tab":"home"}`)), selfOf); err == nil {
		t.Error("a visit of nobody was taken")
	}
}

func TestParsePressInAHome(t *testing.T) {
	t.Parallel()
	p, err := ParseInteraction([]byte(`{"type":"block_actions","team":{"id":"T1"},"user":{"id":"U0BEN","team_id":"T1"},"container":{"type":"view","view_id":"V1"},"trigger_id":"t",
		"view":{"id":"V1","type":"home"},"actions":[{"action_id":"home_notes_pick","type":"conversations_select","action_ts":"1700000009.000200","selected_conversation":"C1"}]}`), selfOf)
	if err != nil {
		t.Fatal(err)
	}
	want := Action{Workspace: "T1", Key: "action::V1:home_notes_pick:U0BEN:1700000009.000200", ID: "home_notes_pick", Value: "C1", User: "U0BEN", UserTeam: "T1", View: "V1",
		TriggerID: "t", At: time.Unix(1700000009, 200000).UTC()}
	if p.Action == nil || *p.Action != want {
		t.Errorf("got %+v, want %+v", p.Action, want)
	}
}
