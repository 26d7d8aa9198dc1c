package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/slack-go/slack"

	"deskmate/identity"
)

// Kinds of Field.
const (
	FieldText     = "text"
	FieldLines    = "lines" // text of several lines
	FieldChoice   = "choice"
	FieldChoices  = "choices"
	FieldPeople   = "people"
	FieldPerson   = "person"
	FieldChannels = "channel"
)

// Form is what somebody is asked to fill in. Texts are Slack's mrkdwn, escaped.
type Form struct {
	ID       string // comes back with the submission
	Metadata string // the same
	Title    string // 24 characters at most
	Submit   string // "" for a form that only shows something
	Texts    []string
	Fields   []Field
}

// Field is one question of a form.
type Field struct {
	ID       string
	Label    string
	Hint     string
	Kind     string
	Options  []Option
	Initial  []string // values
	Optional bool
}

// Option is one answer of a choice.
type Option struct{ Value, Label string }

// view is a form in Block Kit. Source: docs.slack.dev/surfaces/modals.
func (f Form) view() slack.ModalViewRequest {
	v := slack.ModalViewRequest{Type: slack.VTModal, CallbackID: f.ID, PrivateMetadata: f.Metadata, Title: plainText(f.Title, 24), Close: plainText("Close", 24)}
	if f.Submit != "" {
		v.Submit, v.Close = plainText(f.Submit, 24), plainText("Cancel", 24)
	}
	for _, t := range f.Texts {
		v.Blocks.BlockSet = append(v.Blocks.BlockSet, slack.NewSectionBlock(markdown(t, maxSection), nil, nil))
	}
	for _, field := range f.Fields {
		b := slack.NewInputBlock(field.ID, plainText(field.Label, 2000), nil, field.element())
		if field.Hint != "" {
			b.Hint = plainText(field.Hint, 2000)
		}
		b.Optional = field.Optional
		v.Blocks.BlockSet = append(v.Blocks.BlockSet, b)
	}
	return v
}

// maxOptions is how many options a choice may have.
const maxOptions = 100

func (f Field) element() slack.BlockElement {
	var options, initial []*slack.OptionBlockObject
	for _, o := range f.Options[:min(len(f.Options), maxOptions)] {
		b := slack.NewOptionBlockObject(clip(o.Value, 150), plainText(o.Label, 75), nil)
		options = append(options, b)
		for _, v := range f.Initial {
			if v == o.Value {
				initial = append(initial, b)
			}
		}
	}
	one := strings.Join(f.Initial, "\n")
	switch f.Kind {
	case FieldChoice:
		e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, nil, "value", options...)
		if len(initial) > 0 {
			e.InitialOption = initial[0]
		}
		return e
	case FieldChoices:
		e := slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeStatic, nil, "value", options...)
		e.InitialOptions = initial
		return e
	case FieldPeople:
		e := slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeUser, nil, "value")
		e.InitialUsers = f.Initial
		return e
	case FieldPerson:
		e := slack.NewOptionsSelectBlockElement(slack.OptTypeUser, nil, "value")
		e.InitialUser = one
		return e
	case FieldChannels:
		e := slack.NewOptionsSelectBlockElement(slack.OptTypeChannels, nil, "value")
		e.InitialChannel = one
		return e
	}
	e := slack.NewPlainTextInputBlockElement(nil, "value")
	e.Multiline, e.InitialValue = f.Kind == FieldLines, one
	return e
}

func plainText(text string, most int) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, clip(text, most), false, false)
}

// Whisper is an answer that only one person sees.
type Whisper struct {
	Workspace   string
	Channel     string // where they are
	User        string
	Key         string
	Cause       string
	Text        string // Markdown of ours
	ResponseURL string // "" for an answer without a command or button
	Thread      string // root ts to show it under, "" in the channel
	Buttons     []Button
	Replace     bool // with a ResponseURL: in place of the answer whose button was pressed
}

// Whisper answers one person, by the URL that Slack gave with their command where
// there is one, else in the channel. It is said even while the agent is suspended.
func (o *Outbox) Whisper(ctx context.Context, w Whisper) error {
	p := Post{Workspace: w.Workspace, Channel: w.User, ChannelKind: ChannelDirect, Key: "whisper:" + w.Key, Text: w.Text, Ours: true, Requester: w.User, Cause: w.Cause, Tool: ToolWhisper}
	all := o.parts(p)
	for i, one := range all {
		var blocks []slack.Block
		if len(w.Buttons) > 0 && i == len(all)-1 {
			blocks = []slack.Block{slack.NewSectionBlock(markdown(one.Mrkdwn, maxSection), nil, nil), slack.NewActionBlock("", buttonElements(w.Buttons)...)}
		}
		_, err := o.o.Gate.Do(ctx, o.action(ctx, one.Post, one.Mrkdwn), identity.Effect{
			Do: func(ctx context.Context) (identity.Result, error) {
				return identity.Result{}, outcome(o.send.whisper(ctx, w, one.Mrkdwn, blocks))
			},
			Find: harmless,
		})
		if err != nil {
			return fmt.Errorf("answer %s: %w", w.User, err)
		}
	}
	return nil
}

// Open shows a form to who has just typed a command or pressed a button.
func (o *Outbox) Open(ctx context.Context, workspace, user, key, trigger string, f Form) error {
	p := Post{Workspace: workspace, Channel: user, ChannelKind: ChannelDirect, Key: "form:" + key, Requester: user, Cause: key, Tool: ToolForm}
	_, err := o.o.Gate.Do(ctx, o.action(ctx, p, f.ID), identity.Effect{
		Do: func(ctx context.Context) (identity.Result, error) {
			err := o.send.api.once(ctx, "views.open", func(ctx context.Context) error {
				_, err := o.send.api.client.OpenViewContext(ctx, trigger, f.view())
				return err
			})
			return identity.Result{}, outcome(err)
		},
		Find: harmless,
	})
	if err != nil {
		return fmt.Errorf("open form %s: %w", f.ID, err)
	}
	return nil
}

// whisper sends one answer.
func (s *sender) whisper(ctx context.Context, w Whisper, text string, blocks []slack.Block) error {
	if w.ResponseURL == "" {
		options := []slack.MsgOption{slack.MsgOptionText(text, false), slack.MsgOptionDisableLinkUnfurl()}
		if w.Thread != "" {
			options = append(options, slack.MsgOptionTS(w.Thread))
		}
		if blocks != nil {
			options = append(options, slack.MsgOptionBlocks(blocks...))
		}
		return s.api.patient(ctx, "chat.postEphemeral", func(ctx context.Context) error {
			_, err := s.api.client.PostEphemeralContext(ctx, w.Channel, w.User, options...)
			return err
		})
	}
	body := map[string]any{"response_type": "ephemeral", "text": text, "replace_original": w.Replace}
	if blocks != nil {
		body["blocks"] = blocks
	}
	return s.api.respond(ctx, w.ResponseURL, body)
}

// respond posts to a URL that Slack gave for answers. The URL is a secret: it is
// in no error.
func (a *API) respond(ctx context.Context, to string, body any) error {
	u, err := url.Parse(to)
	own, ownErr := url.Parse(a.base)
	if err != nil || ownErr != nil || u.Host == "" {
		return errors.New("answer: the address that came with it is not a URL")
	}
	if slacks := u.Scheme == "https" && u.Host == "hooks.slack.com"; !slacks && (u.Host != own.Host || u.Scheme != own.Scheme) {
		return errors.New("answer: the address that came with it is not Slack's")
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(text))
	if err != nil {
		return errors.New("answer: the address that came with it is not a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.http.Do(req)
	if err != nil {
		return &UnsureError{"response_url", withoutURL(err)}
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch {
	case resp.StatusCode < 300:
		return nil
	case resp.StatusCode >= 500:
		return &UnsureError{"response_url", fmt.Errorf("HTTP status %d", resp.StatusCode)}
	}
	return &SlackError{Method: "response_url", Code: fmt.Sprintf("HTTP status %d", resp.StatusCode)}
}
