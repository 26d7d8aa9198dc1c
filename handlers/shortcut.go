package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/memory"
)

// Ids of the forms that shortcuts open.
const (
	formRemember = "remember_this"
	formHand     = "hand_to_deskmate"
)

// Shortcuts takes the entries of the agent's in a message's menu.
type Shortcuts struct {
	People *bot.Directory
	Agents *identity.Agents
	Memory *memory.Memory
	Reader *bot.Reader
	Outbox *bot.Outbox
	Loop   *bot.Loop
	Logger zerolog.Logger
}

// picked is the message of a form, as the form carries it. It says where to look;
// what the message says is read from Slack.
type picked struct {
	Channel string `json:"c"`
	TS      string `json:"ts"`
	Thread  string `json:"th,omitempty"`
}

// Handle opens the form of a shortcut, or says to the person alone why not. Its
// error means that neither could be done.
func (h *Shortcuts) Handle(ctx context.Context, s bot.Shortcut) error {
	err := h.open(ctx, s)
	if err == nil {
		return nil
	}
	text, ok := saidWrong(err)
	if !ok {
		h.Logger.Error().Err(err).Str("shortcut", s.ID).Msg("shortcut failed")
		text = "Something inside me failed, so nothing was done. An admin finds the details in the log."
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	return h.Outbox.Whisper(ctx, bot.Whisper{Workspace: s.Workspace, Channel: s.Channel, User: s.User, Key: s.Key, Cause: s.Key, Text: text, ResponseURL: s.ResponseURL})
}

// saidWrong is what an error says to the person who caused it; false for failures.
func saidWrong(err error) (string, bool) {
	var told *sorry
	var refused *bot.RefusedKeepError
	switch {
	case errors.As(err, &told):
		return told.text, true
	case errors.As(err, &refused):
		return refused.Text, true
	}
	return "", false
}

func (h *Shortcuts) open(ctx context.Context, s bot.Shortcut) error {
	p, err := h.place(ctx, s.Workspace, s.Channel, s.User, s.UserTeam)
	if err != nil {
		return err
	}
	metadata, err := json.Marshal(picked{s.Channel, s.TS, s.Thread})
	if err != nil {
		return fmt.Errorf("encode form: %w", err)
	}
	f := bot.Form{ID: formHand, Metadata: string(metadata), Title: "Hand to Deskmate", Submit: "Hand over",
		Fields: []bot.Field{{ID: "instruction", Label: "What should I do with it?", Kind: bot.FieldLines, Optional: true,
			Hint: "Nothing: I do what the message says. I answer in its thread, as if you had mentioned me there."}}}
	switch s.ID {
	case bot.ShortcutHand:
	case bot.ShortcutRemember:
		if f, err = h.rememberForm(ctx, s, p, string(metadata)); err != nil {
			return err
		}
	default:
		return nil
	}
	return h.Outbox.Open(ctx, s.Workspace, s.User, s.Key, s.TriggerID, f)
}

func (h *Shortcuts) rememberForm(ctx context.Context, s bot.Shortcut, p memory.Place, metadata string) (bot.Form, error) {
	agent, err := h.Agents.Get(ctx, s.Workspace)
	if err != nil {
		return bot.Form{}, err
	}
	text := bot.Plain(s.Text, agent.User)
	f := bot.Form{ID: formRemember, Metadata: metadata, Title: "Remember this", Submit: "Remember"}
	if r := []rune(text); len(r) > mostEditable {
		text = string(r[:mostEditable])
		f.Texts = []string{fmt.Sprintf("The message is longer than the %d characters that a form takes: this is its beginning.", mostEditable)}
	}
	scopes := []bot.Option{{Value: "channel", Label: "Only where it was said"}}
	if p.ChannelKind == bot.ChannelPublic && p.RequesterKind == bot.KindMember {
		scopes = append(scopes, bot.Option{Value: memory.ScopeWorkspace, Label: "Everyone in the workspace"})
	} else {
		f.Texts = append(f.Texts, "Only in "+bot.PlaceOf(s.Channel)+": what is said there stays there.")
	}
	f.Fields = []bot.Field{
		{ID: "text", Label: "What should I remember?", Kind: bot.FieldLines, Initial: []string{text}, Hint: "In words that make sense on their own. The note names who said it, and links to the message."},
		{ID: "scope", Label: "Who may know it?", Kind: bot.FieldChoice, Initial: []string{"channel"}, Options: scopes},
	}
	return f, nil
}

// place is where a message is, if the agent and the person are both there now.
func (h *Shortcuts) place(ctx context.Context, workspace, channel, user, team string) (memory.Place, error) {
	agent, them, err := h.People.Together(ctx, channel, user)
	switch {
	case err != nil:
		return memory.Place{}, err
	case !agent:
		return memory.Place{}, sorryf("I am not in that conversation, so I can neither read nor answer there. Invite me first.")
	case !them:
		return memory.Place{}, sorryf("You are not in that channel: join it first.")
	}
	kind, err := h.People.ChannelKind(ctx, workspace, channel)
	if err != nil {
		return memory.Place{}, err
	}
	return h.People.ReadingPlace(ctx, workspace, channel, kind, user, team)
}

// submit takes the form of a shortcut. Where the message is and who sent the form
// is looked up anew.
func (h *Shortcuts) submit(ctx context.Context, s bot.Submission) (map[string]string, error) {
	field := map[string]string{formRemember: "text", formHand: "instruction"}[s.Form]
	err := h.take(ctx, s)
	if text, ok := saidWrong(err); ok {
		return map[string]string{field: text}, nil
	}
	return nil, err
}

func (h *Shortcuts) take(ctx context.Context, s bot.Submission) error {
	var m picked
	if err := json.Unmarshal([]byte(s.Metadata), &m); err != nil {
		return sorryf("This form does not say which message it is about. Close it and choose the shortcut again.")
	}
	p, err := h.place(ctx, s.Workspace, m.Channel, s.User, s.UserTeam)
	if err != nil {
		return err
	}
	said, err := h.Reader.Message(ctx, m.Channel, m.TS, m.Thread)
	if errors.Is(err, bot.ErrNoMessage) {
		return sorryf("That message is gone, so nothing was done.")
	}
	if err != nil {
		return err
	}
	w := bot.Whisper{Workspace: s.Workspace, Channel: m.Channel, User: s.User, Key: s.Key, Cause: s.Key}
	if said.Thread != "" && said.Thread != said.TS {
		w.Thread = said.Thread
	}
	if s.Form == formHand {
		err = h.Loop.Hand(ctx, bot.Handed{Key: s.Key, Place: p, UserTeam: s.UserTeam, Message: said, Instruction: strings.TrimSpace(s.Values["instruction"])})
		w.Text = "Handed over: I answer in the thread of that message."
	} else {
		w.Text, w.Buttons, err = h.keep(ctx, s, p, said)
	}
	if err != nil {
		return err
	}
	h.whisper(ctx, w)
	return nil
}

// whisper says what came of something that is done or on its way: that the line was
// not shown changes nothing, and to fail now would only have it tried again.
func (h *Shortcuts) whisper(ctx context.Context, w bot.Whisper) {
	if err := h.Outbox.Whisper(ctx, w); err != nil {
		h.Logger.Warn().Err(err).Str("person", w.User).Msg("outcome of a shortcut not shown")
	}
}

func (h *Shortcuts) keep(ctx context.Context, s bot.Submission, p memory.Place, said bot.Said) (string, []bot.Button, error) {
	text := strings.TrimSpace(s.Values["text"])
	if text == "" {
		return "", nil, sorryf("Say what I should remember.")
	}
	everyone := s.Values["scope"] == memory.ScopeWorkspace
	if everyone && p.ChannelKind != bot.ChannelPublic {
		return "", nil, sorryf("What is said in a private place is kept for that place. Ask me in its thread to remember it for everyone: then somebody who can read it is asked.")
	}
	id, err := h.Loop.Keep(ctx, bot.Keep{Key: s.Key, Place: p, UserTeam: s.UserTeam, Message: said, Text: text, Workspace: everyone})
	if errors.Is(err, bot.ErrInThread) {
		return "That needs an approval first: I have asked for it in the thread of that message.", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	if id == "" {
		return "Not kept yet: a note says otherwise, so I have asked in the thread of that message which of them holds.", nil, nil
	}
	where := "only here"
	if everyone {
		where = "for everyone in the workspace"
	}
	return fmt.Sprintf("Remembered, %s: `%s`.", where, id), []bot.Button{{ID: bot.ButtonForget, Text: "Forget", Value: id}}, nil
}

// forget takes the button under the line that says what was remembered.
func (h *Shortcuts) forget(ctx context.Context, a bot.Action) error {
	text, err := h.forgotten(ctx, a)
	if said, ok := saidWrong(err); ok {
		text, err = said, nil
	}
	if err != nil {
		return err
	}
	h.whisper(ctx, bot.Whisper{Workspace: a.Workspace, Channel: a.Channel, User: a.User, Key: a.Key, Cause: a.Key, Text: text, ResponseURL: a.ResponseURL, Replace: true})
	return nil
}

func (h *Shortcuts) forgotten(ctx context.Context, a bot.Action) (string, error) {
	p, err := h.place(ctx, a.Workspace, a.Channel, a.User, a.UserTeam)
	if err != nil {
		return "", err
	}
	if p.RequesterKind != bot.KindMember {
		return "", sorryf("Notes are changed by full members of this workspace. Ask somebody in the channel.")
	}
	n, err := h.Memory.Note(ctx, p, a.Value) // by its id only
	if err != nil {
		return "", refusedByMemory(err)
	}
	if _, err = h.Memory.Forget(ctx, p, n.ID); err != nil {
		return "", refusedByMemory(err)
	}
	return "Forgotten for good: `" + n.ID + "`.", nil
}
