package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"deskmate/bot"
	"deskmate/connection"
	"deskmate/identity"
	"deskmate/identity/budget"
	"deskmate/identity/policy"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler/handoff"
)

// Commands answers slash commands: /deskmate and a word that says what.
type Commands struct {
	DB          *migrations.DB
	Gate        *identity.Gate
	Rules       identity.Access
	Agents      *identity.Agents
	People      *bot.Directory
	Reader      *bot.Reader
	Outbox      *bot.Outbox
	Connections *connection.Manager
	Budgets     *budget.Budgets
	Memory      *memory.Memory
	Duties      *Duties
	Handover    *bot.Handover
	Logger      zerolog.Logger
}

// subcommand is one word after /deskmate.
type subcommand struct {
	name    string
	usage   string
	example string
	help    string
	run     func(h *Commands, ctx context.Context, a asking) (string, error)
}

// asking is a command with who typed it.
type asking struct {
	bot.Command
	words []string // after the subcommand
	rest  string   // the same as it was typed
	who   policy.Person
	agent identity.Agent
}

// subcommands in the order in which help lists them. A function, because help is
// one of them.
func subcommands() []subcommand {
	return []subcommand{
		{"access", "access [#channel]", "access #eng", "what I may do there, and by which grant", (*Commands).access},
		{"grant", "grant [TOOL… [in #channel] [for @person|members|guests|duty ID] [with NAME=VALUE…] [ask|deny] [by @approver] [for 30d] [why REASON]]", "grant post in #eng for @ben ask why release notes", "let me do something; without more words a form opens", (*Commands).grant},
		{"revoke", "revoke [ID [why REASON]]", "revoke g_abc123 why the project is over", "take a grant back; without more words a form opens", (*Commands).revoke},
		{"why", "why TOOL [in #channel] [for @person]", "why post in #general for @ben", "how I would decide, and by which rules", (*Commands).why},
		{"approvals", "approvals", "approvals", "what waits for a human's decision", (*Commands).approvals},
		{"suspend", "suspend all|tool NAME|connection NAME|channel #c|person @p|credential ID REASON", "suspend tool post it is the wrong channel", "stop everything, or a part, at once", (*Commands).suspend},
		{"resume", "resume all|tool NAME|… REASON", "resume tool post looked at it", "let what was stopped work again", (*Commands).resume},
		{"connect", "connect [add|show|accept|refresh|quarantine|remove NAME]", "connect show tracker", "the systems that I am connected to; admins connect and accept them", (*Commands).connect},
		{"budget", "budget [set SCOPE UNIT PERIOD AMOUNT why REASON | remove SCOPE UNIT PERIOD why REASON]", "budget set channel:* tokens day 200000 why first month", "what is left of the budgets here; admins set them", (*Commands).budget},
		{"memory", "memory [forget ID | correct ID TEXT | history ID | learn on|off | notes on|off | judge on|off | follow on|off | retention DAYS|off | hold on|off | instructions TEXT|off] [everywhere] [why REASON]", "memory retention 365 why our policy", "what I know here, and its rules; channel managers and admins set them", (*Commands).memory},
		{"handoff", "handoff [list | offer WHAT to @person [from @person] [why REASON] | accept ID [d_…] | decline ID why REASON | withdraw ID | plan @person [on DAY] | unowned]", "handoff offer duties to @chloe why I am on leave", "who owns what; pass work on, take it or leave it", (*Commands).handoff},
		{"duty", "duty [list [mine|here] | add | show ID | edit ID | pause ID [until WHEN] | resume ID | run ID | try ID | skip ID | history ID | delete ID]", "duty add", "what I do later or again and again: see it, make it in a form, change it", (*Commands).duty},
		{"help", "help", "help", "this list", (*Commands).help},
	}
}

// sorry is an answer that says what was wrong with a command.
type sorry struct{ text string }

func (e *sorry) Error() string { return e.text }

func sorryf(format string, args ...any) error { return &sorry{fmt.Sprintf(format, args...)} }

// Handle answers one command to who typed it. Its error means that no answer
// could be given; what went wrong with the command itself is the answer.
func (h *Commands) Handle(ctx context.Context, c bot.Command) error {
	text, err := h.answer(ctx, c)
	var told *sorry
	var refused *policy.NotAllowedError
	var invalid *policy.InvalidError
	var no *handoff.RefusedError
	switch {
	case err == nil:
	case errors.As(err, &no):
		text = no.Text
	case errors.Is(err, handoff.ErrNone):
		text = "I do not know that handoff (any more). `/deskmate handoff list` shows what there is."
	case errors.As(err, &told):
		text = told.text
	case errors.As(err, &refused):
		text = "That was not done: " + refused.Text + "."
	case errors.As(err, &invalid):
		text = "That was not done:\n- " + strings.Join(invalid.Problems, "\n- ")
	case errors.Is(err, context.DeadlineExceeded):
		text = "That took too long, and I do not know whether it was done. Look with `/deskmate access`, then try again."
	default:
		h.Logger.Error().Err(err).Str("command", c.Name).Msg("command failed")
		text = "Something inside me failed, so that was not done. An admin finds the details in the log."
	}
	if text == "" {
		return nil // a form has opened
	}
	// The answer has time of its own: the change may have used up that of the command.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	return h.Outbox.Whisper(ctx, bot.Whisper{Workspace: c.Workspace, Channel: c.Channel, User: c.User, Key: c.Key, Cause: c.Key, Text: text, ResponseURL: c.ResponseURL})
}

func (h *Commands) answer(ctx context.Context, c bot.Command) (string, error) {
	word, rest, _ := strings.Cut(c.Text, " ")
	if word == "" {
		word = "help"
	}
	all := subcommands()
	i := slices.IndexFunc(all, func(s subcommand) bool { return s.name == strings.ToLower(word) })
	if i < 0 {
		return "", sorryf("There is no `/deskmate %s`%s. `/deskmate help` lists what there is.", plain(word), nearest(word, all))
	}
	agent, err := h.Agents.Get(ctx, c.Workspace)
	if err != nil {
		return "", err
	}
	who, err := h.person(ctx, c.Workspace, c.User, agent)
	if err != nil {
		return "", err
	}
	if who.Kind != bot.KindMember {
		return "", sorryf("Commands are for full members of this workspace. Mention me in a channel where you are, and I will see what I can do.")
	}
	rest = strings.TrimSpace(rest)
	return all[i].run(h, ctx, asking{Command: c, words: strings.Fields(rest), rest: rest, who: who, agent: agent})
}

// person is who typed it, as they are now.
func (h *Commands) person(ctx context.Context, workspace, user string, agent identity.Agent) (policy.Person, error) {
	s, err := h.People.Standing(ctx, workspace, user, nil)
	if err != nil {
		return policy.Person{}, fmt.Errorf("look up %s: %w", user, err)
	}
	kind := s.Kind
	if !s.Active {
		kind = bot.KindOutsider
	}
	return policy.Person{ID: user, Kind: kind, Admin: s.Admin, Sponsor: agent.SponsoredBy(user)}, nil
}

// managing adds the channel to those that the person manages, if they made it:
// Slack does not tell apps who a channel's managers are.
func (h *Commands) managing(ctx context.Context, a *asking, channel string) error {
	c, err := h.People.Channel(ctx, a.Workspace, channel)
	if err != nil {
		return fmt.Errorf("look up channel %s: %w", channel, err)
	}
	if c.Creator == a.User {
		a.who.Manages = append(a.who.Manages, channel)
	}
	return nil
}

func (h *Commands) help(_ context.Context, a asking) (string, error) {
	var b strings.Builder
	b.WriteString("Mention me to ask for something. These are for steering me; only you see the answers.\n")
	for _, s := range subcommands() {
		fmt.Fprintf(&b, "- `/deskmate %s`: %s. Example: `/deskmate %s`\n", s.usage, s.help, s.example)
	}
	if a.agent.State != identity.StateActive {
		fmt.Fprintf(&b, "\nAt present I am %s: %s", a.agent.State, a.agent.Reason)
	}
	return b.String(), nil
}

// nearest suggests the subcommand that the word may have meant.
func nearest(word string, all []subcommand) string {
	for _, s := range all {
		if len(word) >= 2 && strings.HasPrefix(s.name, strings.ToLower(word)[:2]) {
			return "; did you mean `/deskmate " + s.name + "`"
		}
	}
	return ""
}

// plain is a word of somebody's as it can stand in an answer.
func plain(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return strings.NewReplacer("`", "'", "\n", " ").Replace(s)
}

// channelOf resolves what somebody calls a channel, the one where they are for
// "here".
func (h *Commands) channelOf(ctx context.Context, a asking, name string) (string, error) {
	if name == "here" || name == "" {
		return a.Channel, nil
	}
	if id, ok := bot.ChannelID(name); ok {
		return id, nil
	}
	c, err := h.People.ChannelByName(ctx, a.Workspace, strings.TrimPrefix(name, "#"))
	if err != nil {
		return "", sorryf("I am in no channel called %s.", plain(name))
	}
	return c.ID, nil
}

func (h *Commands) personOf(ctx context.Context, a asking, name string) (bot.Person, error) {
	if name == "me" {
		name = "<@" + a.User + ">"
	}
	p, err := h.People.Find(ctx, a.Workspace, name)
	if err != nil {
		return p, sorryf("I know nobody called %s here.", plain(name))
	}
	return p, nil
}

// answerTime bounds the saying of an answer.
const answerTime = 2500 * time.Millisecond
