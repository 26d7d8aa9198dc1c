package bot

import (
	"bytes"
	"encoding/json"
	"time"
)

// changes are the lifecycle events that are passed on; manifest.yaml subscribes
// to those that the product uses.
var changes = map[string]bool{
	"member_joined_channel": true, "member_left_channel": true,
	"channel_rename": true, "channel_archive": true, "channel_unarchive": true, "channel_deleted": true,
	"channel_shared": true, "channel_unshared": true, "channel_left": true,
	"group_rename": true, "group_archive": true, "group_unarchive": true, "group_deleted": true, "group_left": true,
	"pin_added": true, "pin_removed": true,
	"user_change": true, "tokens_revoked": true, "app_uninstalled": true,
}

// ref is a channel or user that Slack gives as its id or as an object.
type ref struct{ ID, Name string }

func (r *ref) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("{")) {
		var o struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		}
		err := json.Unmarshal(b, &o)
		r.ID, r.Name = o.ID, o.Name
		return err
	}
	return json.Unmarshal(b, &r.ID)
}

func parseChange(c callback, workspace, kind string) (Parsed, error) {
	var e struct {
		Channel   ref    `json:"channel"`
		ChannelID string `json:"channel_id"` // where pins are
		User      ref    `json:"user"`
	}
	if err := json.Unmarshal(c.Event, &e); err != nil {
		return Parsed{}, &ParseError{"event " + kind, "event", err}
	}
	e.Channel.ID = first(e.Channel.ID, e.ChannelID)
	switch kind {
	case "tokens_revoked", "app_uninstalled":
	case "user_change":
		if e.User.ID == "" {
			return Parsed{}, &ParseError{"event " + kind, "event.user", nil}
		}
	default:
		if e.Channel.ID == "" {
			return Parsed{}, &ParseError{"event " + kind, "event.channel", nil}
		}
	}
	return Parsed{Change: &Change{
		Workspace: workspace, Kind: kind, Channel: e.Channel.ID, User: e.User.ID, Name: clean(e.Channel.Name),
		EventID: c.EventID, At: time.Unix(c.EventTime, 0).UTC(),
	}}, nil
}

// interaction is the payload of a button press, a shortcut or a view.
// Source: docs.slack.dev/reference/interaction-payloads.
type interaction struct {
	Type string `json:"type"`
	Team *struct {
		ID string `json:"id"`
	} `json:"team"`
	User struct {
		ID     string `json:"id"`
		TeamID string `json:"team_id"`
	} `json:"user"`
	Channel struct {
		ID string `json:"id"`
	} `json:"channel"`
	Container struct {
		MessageTS string `json:"message_ts"`
		ChannelID string `json:"channel_id"`
		ThreadTS  string `json:"thread_ts"`
		ViewID    string `json:"view_id"`
	} `json:"container"`
	Message     message `json:"message"`
	CallbackID  string  `json:"callback_id"`
	MessageTS   string  `json:"message_ts"`
	ActionTS    string  `json:"action_ts"`
	ResponseURL string  `json:"response_url"`
	TriggerID   string  `json:"trigger_id"`
	Actions     []struct {
		ActionID       string `json:"action_id"`
		Value          string `json:"value"`
		ActionTS       string `json:"action_ts"`
		SelectedOption *struct {
			Value string `json:"value"`
		} `json:"selected_option"`
		SelectedConversation string `json:"selected_conversation"`
	} `json:"actions"`
}

// ParseInteraction reads an interaction payload. Presses of buttons, forms that
// were sent and shortcuts on messages are ours. The error is a *ParseError.
func ParseInteraction(payload []byte, self func(workspace string) (Self, bool)) (Parsed, error) {
	var i interaction
	if err := json.Unmarshal(payload, &i); err != nil {
		return Parsed{}, &ParseError{"interaction", "(all)", err}
	}
	what := "interaction " + short(i.Type)
	switch {
	case i.Type == "":
		return Parsed{}, &ParseError{"interaction", "type", nil}
	case i.Type != "block_actions" && i.Type != "view_submission" && i.Type != "message_action":
		return Parsed{Ignored: what}, nil
	case i.User.ID == "":
		return Parsed{}, &ParseError{what, "user.id", nil}
	case i.Type != "block_actions":
	case len(i.Actions) == 0:
		return Parsed{}, &ParseError{what, "actions", nil}
	case i.Actions[0].ActionID == "":
		return Parsed{}, &ParseError{what, "actions[0].action_id", nil}
	}
	workspace := i.User.TeamID
	if i.Team != nil && i.Team.ID != "" {
		workspace = i.Team.ID
	}
	if _, ok := self(workspace); !ok {
		return Parsed{Ignored: "workspace without an installation here"}, nil
	}
	if i.Type == "view_submission" {
		return parseSubmission(payload, i, workspace)
	}
	if i.Type == "message_action" {
		return parseShortcut(i, workspace)
	}
	a := i.Actions[0]
	if a.Value == "" && a.SelectedOption != nil {
		a.Value = a.SelectedOption.Value
	}
	a.Value = first(a.Value, a.SelectedConversation)
	channel, ts := first(i.Container.ChannelID, i.Channel.ID), first(i.Container.MessageTS, i.Message.TS)
	return Parsed{Action: &Action{
		Workspace: workspace, Key: "action:" + channel + ":" + first(ts, i.Container.ViewID) + ":" + a.ActionID + ":" + i.User.ID + ":" + a.ActionTS,
		ID: a.ActionID, Value: clean(a.Value), User: i.User.ID, UserTeam: first(i.User.TeamID, workspace),
		Channel: channel, Message: ts, View: i.Container.ViewID, Thread: first(i.Container.ThreadTS, i.Message.ThreadTS),
		ResponseURL: i.ResponseURL, TriggerID: i.TriggerID, At: tsTime(a.ActionTS),
	}}, nil
}
