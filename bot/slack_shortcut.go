package bot

import (
	"encoding/json"
	"time"
)

// Ids of the shortcuts on messages, as manifest.yaml has them.
const (
	ShortcutRemember = "remember_this"
	ShortcutHand     = "hand_to_deskmate"
)

// Shortcut is an entry of a message's menu that somebody has chosen. The message
// may be in a conversation that the agent is not in.
type Shortcut struct {
	Workspace   string
	Key         string // unique by what it means: who chose what on which message, and when
	ID          string // callback_id
	User        string
	UserTeam    string
	Channel     string
	TS          string // of the message
	Thread      string // its thread's root, "" outside threads
	Text        string // of the message, as Slack sends it
	ResponseURL string // may be used like a secret for 30 minutes: never log it
	TriggerID   string // opens a form within 3 s
	At          time.Time
}

// Visit is somebody opening the agent's Home.
type Visit struct {
	Workspace string
	User      string
	Empty     bool // there is no Home for them yet
	At        time.Time
}

// parseShortcut reads a message_action.
// Source: docs.slack.dev/reference/interaction-payloads/shortcuts-interaction-payload.
func parseShortcut(i interaction, workspace string) (Parsed, error) {
	const what = "interaction message_action"
	ts := first(i.MessageTS, i.Message.TS)
	for field, v := range map[string]string{"callback_id": i.CallbackID, "channel.id": i.Channel.ID, "message_ts": ts} {
		if v == "" {
			return Parsed{}, &ParseError{what, field, nil}
		}
	}
	if !timestamp.MatchString(ts) {
		return Parsed{}, &ParseError{what, "message_ts", notTimestamp(ts)}
	}
	return Parsed{Shortcut: &Shortcut{
		Workspace: workspace, Key: "shortcut:" + i.CallbackID + ":" + i.Channel.ID + ":" + ts + ":" + i.User.ID + ":" + i.ActionTS,
		ID: i.CallbackID, User: i.User.ID, UserTeam: first(i.User.TeamID, workspace), Channel: i.Channel.ID, TS: ts, Thread: i.Message.ThreadTS,
		Text: clean(i.Message.Text), ResponseURL: i.ResponseURL, TriggerID: i.TriggerID, At: tsTime(i.ActionTS),
	}}, nil
}

// parseVisit reads an app_home_opened. Slack sends it for the Messages tab too.
// Source: docs.slack.dev/reference/events/app_home_opened.
func parseVisit(c callback, workspace string) (Parsed, error) {
	var e struct {
		User string          `json:"user"`
		Tab  string          `json:"tab"`
		View json.RawMessage `json:"view"`
	}
	if err := json.Unmarshal(c.Event, &e); err != nil {
		return Parsed{}, &ParseError{"event app_home_opened", "event", err}
	}
	if e.User == "" {
		return Parsed{}, &ParseError{"event app_home_opened", "event.user", nil}
	}
	if e.Tab != "home" {
		return Parsed{Ignored: "visit of the tab " + short(e.Tab)}, nil
	}
	return Parsed{Visit: &Visit{
		Workspace: workspace, User: e.User, Empty: len(e.View) == 0 || string(e.View) == "null", At: time.Unix(c.EventTime, 0).UTC(),
	}}, nil
}
