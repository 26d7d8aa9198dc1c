package slacksim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// OpenHome opens the Home tab of the workspace's first app.
func (p *Person) OpenHome(ctx context.Context) error {
	return p.Emulate(ctx, "home", map[string]string{"user": p.id, "tab": "home"}, nil)
}

// Shortcut chooses an app's entry in the menu of a message.
func (p *Person) Shortcut(ctx context.Context, channel, ts, callback string) error {
	return p.Emulate(ctx, "shortcut", map[string]string{"user": p.id, "channel": channel, "message_ts": ts, "callback_id": callback}, nil)
}

// Home waits for a Home whose text fits, as Text gives it.
func (w *Watch) Home(ctx context.Context, fits func(text string) bool) (Form, error) {
	for {
		w.mu.Lock()
		home, news, end := w.home, w.news, w.end
		w.mu.Unlock()
		if home != nil && fits(home.Text()) {
			return *home, nil
		}
		if end != nil {
			return Form{}, end
		}
		select {
		case <-news:
		case <-ctx.Done():
			if home != nil {
				return *home, context.Cause(ctx)
			}
			return Form{}, context.Cause(ctx)
		}
	}
}

// formBlock is what a person reads and uses of a block.
type formBlock struct {
	Type     string `json:"type"`
	BlockID  string `json:"block_id"`
	Text     textOf `json:"text"`
	Elements []struct {
		Type     string `json:"type"`
		ActionID string `json:"action_id"`
		Value    string `json:"value"`
		Text     textOf `json:"text"`
	} `json:"elements"`
}

// textOf is a text object, or the text itself, as elements of context blocks have it.
type textOf string

// UnmarshalJSON takes either form.
func (t *textOf) UnmarshalJSON(b []byte) error {
	var o struct{ Text string }
	if json.Unmarshal(b, &o) == nil {
		*t = textOf(o.Text)
		return nil
	}
	var s string
	err := json.Unmarshal(b, &s)
	*t = textOf(s)
	return err
}

// text is a block as a person reads it, buttons in brackets.
func (b formBlock) text() string {
	all := []string{string(b.Text)}
	for _, e := range b.Elements {
		if e.Type == "button" {
			all = append(all, "["+string(e.Text)+"]")
		} else {
			all = append(all, string(e.Text))
		}
	}
	return strings.TrimSpace(strings.Join(all, " "))
}

func (f Form) blocks() []formBlock {
	var all []formBlock
	if json.Unmarshal(f.Blocks, &all) != nil {
		return nil
	}
	return all
}

// Text is what a person reads in the form, block by block, buttons in brackets.
func (f Form) Text() string {
	var all []string
	for _, b := range f.blocks() {
		all = append(all, b.text())
	}
	return strings.Join(all, "\n")
}

// Button finds the button of a Home with an action id whose entry fits: the blocks
// since the last buttons, and its own. It gives its block and value.
func (f Form) Button(action string, entry *regexp.Regexp) (block, value string, err error) {
	var said []string
	for _, b := range f.blocks() {
		said = append(said, b.text())
		if b.Type != "actions" {
			continue
		}
		for _, e := range b.Elements {
			if e.ActionID == action && entry.MatchString(strings.Join(said, "\n")) {
				return b.BlockID, e.Value, nil
			}
		}
		said = nil
	}
	return "", "", fmt.Errorf("no button %s of an entry that fits %s", action, entry)
}

// Use presses the button of a Home whose entry fits, or with chosen picks a
// conversation.
func (p *Person) Use(ctx context.Context, home Form, action string, entry *regexp.Regexp, chosen string) error {
	block, _, err := home.Button(action, entry)
	if err != nil {
		return err
	}
	if home.ID == "" {
		return errors.New("there is no Home")
	}
	press := map[string]string{"user": p.id, "view_id": home.ID, "block_id": block, "action_id": action}
	if chosen != "" {
		press["selected_conversation"] = chosen
	}
	return p.Emulate(ctx, "interact", press, nil)
}
