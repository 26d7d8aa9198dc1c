package bot

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Command is a slash command as somebody typed it.
type Command struct {
	Workspace   string
	Key         string // unique by what it means
	Channel     string
	User        string
	UserTeam    string
	Name        string // with the slash
	Text        string
	ResponseURL string // may be used like a secret for 30 minutes: never log it
	TriggerID   string // opens a form within 3 s
	At          time.Time
}

// Submission is a form that somebody sent.
type Submission struct {
	Workspace string
	Key       string
	User      string
	UserTeam  string
	Form      string            // Form.ID
	Metadata  string            // Form.Metadata, as it was opened
	Values    map[string]string // by Field.ID; of a list the values, separated by newlines
	At        time.Time
}

// ParseCommand reads the payload of a slash command: JSON in Socket Mode, a form
// by HTTP. The error is a *ParseError.
// Source: docs.slack.dev/interactivity/implementing-slash-commands.
func ParseCommand(payload []byte, self func(workspace string) (Self, bool)) (Parsed, error) {
	var c struct {
		Command     string `json:"command"`
		Text        string `json:"text"`
		TeamID      string `json:"team_id"`
		ChannelID   string `json:"channel_id"`
		UserID      string `json:"user_id"`
		ResponseURL string `json:"response_url"`
		TriggerID   string `json:"trigger_id"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return Parsed{}, &ParseError{"slash command", "(all)", err}
	}
	for field, v := range map[string]string{"command": c.Command, "user_id": c.UserID, "team_id": c.TeamID, "channel_id": c.ChannelID} {
		if v == "" {
			return Parsed{}, &ParseError{"slash command", field, nil}
		}
	}
	if _, ok := self(c.TeamID); !ok {
		return Parsed{Ignored: "workspace without an installation here"}, nil
	}
	return Parsed{Command: &Command{
		Workspace: c.TeamID, Key: "command:" + c.ChannelID + ":" + c.UserID + ":" + c.TriggerID, Channel: c.ChannelID, User: c.UserID, UserTeam: c.TeamID,
		Name: c.Command, Text: clean(strings.TrimSpace(c.Text)), ResponseURL: c.ResponseURL, TriggerID: c.TriggerID, At: time.Now(),
	}}, nil
}

// formCommand is a command that came as a form, as JSON.
func formCommand(form url.Values) ([]byte, error) {
	flat := map[string]string{}
	for name := range form {
		flat[name] = form.Get(name)
	}
	return json.Marshal(flat)
}

// viewPayload is the payload of a form that was sent.
// Source: docs.slack.dev/reference/interaction-payloads/view-interactions-payload.
type viewPayload struct {
	View struct {
		ID              string `json:"id"`
		CallbackID      string `json:"callback_id"`
		PrivateMetadata string `json:"private_metadata"`
		Hash            string `json:"hash"`
		State           struct {
			Values map[string]map[string]viewValue `json:"values"`
		} `json:"state"`
	} `json:"view"`
}

type viewOption struct {
	Value string `json:"value"`
}

type viewValue struct {
	Value                string       `json:"value"`
	SelectedOption       *viewOption  `json:"selected_option"`
	SelectedOptions      []viewOption `json:"selected_options"`
	SelectedUser         string       `json:"selected_user"`
	SelectedUsers        []string     `json:"selected_users"`
	SelectedChannel      string       `json:"selected_channel"`
	SelectedConversation string       `json:"selected_conversation"`
	SelectedDate         string       `json:"selected_date"`
}

// text is what was entered, lists separated by newlines.
func (v viewValue) text() string {
	all := []string{v.Value, v.SelectedUser, v.SelectedChannel, v.SelectedConversation, v.SelectedDate}
	if v.SelectedOption != nil {
		all = append(all, v.SelectedOption.Value)
	}
	for _, o := range v.SelectedOptions {
		all = append(all, o.Value)
	}
	all = append(all, v.SelectedUsers...)
	return clean(strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "\n"))
}

// parseSubmission reads a form that was sent.
func parseSubmission(payload []byte, i interaction, workspace string) (Parsed, error) {
	var v viewPayload
	if err := json.Unmarshal(payload, &v); err != nil {
		return Parsed{}, &ParseError{"interaction view_submission", "view", err}
	}
	if v.View.CallbackID == "" {
		return Parsed{}, &ParseError{"interaction view_submission", "view.callback_id", nil}
	}
	s := Submission{
		Workspace: workspace, Key: "form:" + v.View.ID + ":" + v.View.Hash + ":" + i.User.ID, User: i.User.ID, UserTeam: first(i.User.TeamID, workspace),
		Form: v.View.CallbackID, Metadata: v.View.PrivateMetadata, Values: map[string]string{}, At: time.Now(),
	}
	for block, actions := range v.View.State.Values {
		for _, value := range actions {
			s.Values[block] = value.text()
		}
	}
	return Parsed{Submission: &s}, nil
}
