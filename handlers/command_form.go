package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/identity/policy"
)

// Ids of forms.
const (
	formGrant  = "grant"
	formRevoke = "revoke"
	formDeny   = "approval_deny"
	formArgs   = "approval_args"
)

// openGrant opens the form that grants: what, here, for members, for 90 days.
func (h *Commands) openGrant(ctx context.Context, a asking) error {
	tools, err := h.Rules.Engine.Tools(ctx, a.Workspace)
	if err != nil {
		return err
	}
	var options []bot.Option
	for _, t := range tools {
		options = append(options, bot.Option{Value: t.Name, Label: t.Name + " (" + t.Connection + ", " + t.Class + ")"})
	}
	return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{
		ID: formGrant, Metadata: a.Channel, Title: "Let me do something", Submit: "Grant",
		Fields: []bot.Field{
			{ID: "tools", Label: "What may I use?", Kind: bot.FieldChoices, Options: options},
			{ID: "effect", Label: "May I do it alone?", Kind: bot.FieldChoice, Initial: []string{policy.Allow}, Options: []bot.Option{
				{Value: policy.Allow, Label: "Yes"}, {Value: policy.Ask, Label: "Only with an approval"}, {Value: policy.Deny, Label: "Never"}}},
			{ID: "scope", Label: "Where?", Kind: bot.FieldChoice, Initial: []string{"channel:" + a.Channel}, Options: []bot.Option{
				{Value: "channel:" + a.Channel, Label: "In this channel"}, {Value: "workspace", Label: "Everywhere I am"}}},
			{ID: "who", Label: "Who may ask me to?", Kind: bot.FieldChoice, Initial: []string{policy.Members}, Options: []bot.Option{
				{Value: policy.Members, Label: "Full members"}, {Value: policy.Guests, Label: "Guests too, in this channel"}, {Value: "people", Label: "Only the people below"}}},
			{ID: "people", Label: "These people", Kind: bot.FieldPeople, Optional: true},
			{ID: "days", Label: "For how long?", Kind: bot.FieldChoice, Initial: []string{"90d"}, Options: []bot.Option{
				{Value: "1d", Label: "A day"}, {Value: "7d", Label: "A week"}, {Value: "30d", Label: "30 days"}, {Value: "90d", Label: "90 days"}}},
			{ID: "why", Label: "What for?", Kind: bot.FieldText, Hint: "Whoever reviews it reads this."},
		},
	})
}

func (h *Commands) openRevoke(ctx context.Context, a asking) error {
	_, name, _, err := h.People.Place(ctx, a.Workspace, a.Channel)
	if err != nil {
		return err
	}
	kind, err := h.People.ChannelKind(ctx, a.Workspace, a.Channel)
	if err != nil {
		return err
	}
	all, err := h.Rules.Engine.List(ctx, a.Workspace, false)
	if err != nil {
		return err
	}
	var options []bot.Option
	for _, g := range all {
		if g.Covers(a.Channel, name, kind) {
			options = append(options, bot.Option{Value: g.ID, Label: g.Effect + " " + strings.Join(g.Tools, ", ") + " (" + g.ID + ")"})
		}
	}
	// What somebody granted is looked for more often than what came with me.
	slices.SortStableFunc(options, func(x, y bot.Option) int {
		return strings.Compare(fmt.Sprint(strings.HasPrefix(x.Value, "builtin-")), fmt.Sprint(strings.HasPrefix(y.Value, "builtin-")))
	})
	if len(options) == 0 {
		return sorryf("No grant holds here, so there is nothing to take back.")
	}
	return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{
		ID: formRevoke, Metadata: a.Channel, Title: "Take a grant back", Submit: "Take back",
		Fields: []bot.Field{
			{ID: "grant", Label: "Which one?", Kind: bot.FieldChoice, Options: options},
			{ID: "why", Label: "Why?", Kind: bot.FieldText},
		},
	})
}

// Forms takes forms that were sent.
type Forms struct {
	Commands  *Commands
	Approvals *Approvals
	Home      *Home
	Shortcuts *Shortcuts
	Promises  *Promises
	Handoffs  *Handoffs
}

// Handle says what is wrong with a form, by field; nothing closes it.
func (f *Forms) Handle(ctx context.Context, s bot.Submission) (map[string]string, error) {
	switch s.Form {
	case formGrant, formRevoke, formConnect:
		return f.Commands.submit(ctx, s)
	case formRemember, formHand:
		return f.Shortcuts.submit(ctx, s)
	case formLater:
		return f.Promises.later(ctx, s)
	case formChoose, formRefuse, formPlan, formLapseHand, formEnd, formDutyHand:
		return f.Handoffs.submit(ctx, s)
	case formDuty, formDutyEdit:
		return f.Commands.submitDuty(ctx, s)
	case formDeny:
		return nil, f.Approvals.decide(ctx, s.Key, identity.Press{
			Workspace: s.Workspace, Approval: s.Metadata, Person: s.User, Verdict: identity.VerdictDeny, Reason: s.Values["reason"], Via: "form"})
	}
	if strings.HasPrefix(s.Form, homePrefix) {
		return f.Home.submit(ctx, s)
	}
	return nil, nil
}

// submit takes the forms of grant and revoke. Who sent it is looked up anew.
func (h *Commands) submit(ctx context.Context, s bot.Submission) (map[string]string, error) {
	agent, err := h.Agents.Get(ctx, s.Workspace)
	if err != nil {
		return nil, err
	}
	who, err := h.person(ctx, s.Workspace, s.User, agent)
	if err != nil {
		return nil, err
	}
	a := asking{Command: bot.Command{Workspace: s.Workspace, Key: s.Key, Channel: s.Metadata, User: s.User}, who: who, agent: agent}
	field := "tools"
	var text string
	switch s.Form {
	case formRevoke:
		field = "grant"
		text, err = h.take(ctx, a, s.Values["grant"], s.Values["why"])
	case formConnect:
		field = "yaml"
		if err = sorryf("That takes my sponsor or an admin of the workspace."); who.Admin || who.Sponsor {
			text, err = h.add(ctx, a, s.Values["yaml"])
		}
	default:
		text, err = h.store(ctx, a, h.formGrant(s))
	}
	var told *sorry
	var refused *policy.NotAllowedError
	var invalid *policy.InvalidError
	switch {
	case errors.As(err, &told):
		return map[string]string{field: told.text}, nil
	case errors.As(err, &refused):
		return map[string]string{field: "Not done: " + refused.Text + "."}, nil
	case errors.As(err, &invalid):
		return map[string]string{field: strings.Join(invalid.Problems, "; ")}, nil
	case err != nil:
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	return nil, h.Outbox.Whisper(ctx, bot.Whisper{Workspace: s.Workspace, Channel: s.Metadata, User: s.User, Key: s.Key, Cause: s.Key, Text: text})
}

func (h *Commands) formGrant(s bot.Submission) policy.Grant {
	g := policy.Grant{Workspace: s.Workspace, Effect: s.Values["effect"], Tools: lines(s.Values["tools"]), Scope: s.Values["scope"], Justification: strings.TrimSpace(s.Values["why"])}
	if d, ok := lifetime(s.Values["days"]); ok {
		g.ExpiresAt = h.DB.Now().Add(d - time.Second)
	}
	switch s.Values["who"] {
	case "people":
		for _, p := range lines(s.Values["people"]) {
			g.Who = append(g.Who, "user:"+p)
		}
		if len(g.Who) == 0 {
			g.Who = []string{"(nobody)"} // Check says that this is nobody
		}
	case policy.Guests:
		g.Who = []string{policy.Members, policy.Guests}
	default:
		g.Who = []string{policy.Members}
	}
	return g
}

func lines(s string) []string {
	return slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool { return l == "" })
}

// openReason asks for the reason of a denial.
func (h *Approvals) openReason(ctx context.Context, a bot.Action) error {
	return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{
		ID: formDeny, Metadata: a.Value, Title: "Deny", Submit: "Deny",
		Fields: []bot.Field{{ID: "reason", Label: "Why?", Kind: bot.FieldLines, Hint: "Who asked reads this."}},
	})
}

// openArgs shows the arguments of a call in full, to who may see its card.
func (h *Approvals) openArgs(ctx context.Context, a bot.Action) error {
	p, err := h.Approvals.Get(ctx, a.Workspace, a.Value)
	if errors.Is(err, identity.ErrNoApproval) {
		return nil
	}
	if err != nil {
		return err
	}
	var members map[string]any
	text := p.Args
	if json.Unmarshal([]byte(p.Args), &members) == nil {
		if b, err := json.MarshalIndent(members, "", "  "); err == nil {
			text = string(b)
		}
	}
	return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{ID: formArgs, Title: "The whole call", Texts: bot.Verbatim("`"+p.Tool+"`", text)})
}
