package handlers

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"deskmate/bot"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/handoff"
)

// Ids of the forms of handoffs; their metadata is the id of the handoff, plan, lapse
// or, of formDutyHand, duty.
const (
	formChoose    = "handoff_choose"
	formRefuse    = "handoff_decline"
	formPlan      = "plan_change"
	formLapseHand = "lapse_hand"
	formEnd       = "lapse_delete"
	formDutyHand  = "duty_hand"
)

// mostPlanned bounds the items that the form of a plan shows: a form has a hundred
// parts at most.
const mostPlanned = 90

// Handoffs takes the buttons and forms of offers, plans and lapses. Whoever pressed
// is who Slack says, and may only what they may at this moment.
type Handoffs struct {
	DB       *migrations.DB
	Handover *bot.Handover
	Outbox   *bot.Outbox
}

// press takes one press and tells who pressed why it did not count, if so.
func (h *Handoffs) press(ctx context.Context, a bot.Action) error {
	return h.said(ctx, a.Workspace, a.User, a.Key, h.do(ctx, a))
}

func (h *Handoffs) do(ctx context.Context, a bot.Action) error {
	var err error
	switch a.ID {
	case bot.ButtonTake:
		_, err = h.Handover.Accept(ctx, a.Workspace, a.Value, a.User, nil, false, "", "button")
	case bot.ButtonChoose:
		err = h.openChoose(ctx, a)
	case bot.ButtonRefuse:
		err = h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{ID: formRefuse, Metadata: a.Value, Title: "Decline", Submit: "Decline",
			Fields: []bot.Field{{ID: "reason", Label: "Why?", Kind: bot.FieldLines, Hint: "Whose work it is reads this."}}})
	case bot.ButtonConfirm:
		var left []handoff.Left
		if _, _, left, err = h.Handover.Confirm(ctx, a.Workspace, a.Value, a.User); err == nil && len(left) > 0 {
			return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "The offers are made, but for: "+bot.LeftWords(left))
		}
	case bot.ButtonDrop:
		var who handoff.Person
		if who, err = h.Handover.Who(ctx, a.Workspace, a.User); err == nil {
			_, err = h.Handover.Handoffs.Drop(ctx, a.Workspace, a.Value, who)
		}
	case bot.ButtonRedraw:
		err = h.openPlan(ctx, a)
	case bot.ButtonKeepPaused, bot.ButtonDirect:
		verdict := map[string]string{bot.ButtonKeepPaused: handoff.LapseKeep, bot.ButtonDirect: handoff.LapseDirect}[a.ID]
		err = h.Handover.Decide(ctx, a.Workspace, a.Value, a.User, verdict, nil)
	case bot.ButtonHand, bot.ButtonEnd:
		err = h.openLapse(ctx, a)
	}
	return err
}

// said tells somebody why what they did does not count; another error is passed on.
func (h *Handoffs) said(ctx context.Context, workspace, user, key string, err error) error {
	var no *handoff.RefusedError
	switch {
	case errors.As(err, &no):
		return h.Outbox.Answer(ctx, workspace, user, key, no.Text)
	case errors.Is(err, handoff.ErrNone):
		return h.Outbox.Answer(ctx, workspace, user, key, "I do not know this handoff (any more).")
	}
	return err
}

// openChoose shows the new owner what is offered, to take a part of it.
func (h *Handoffs) openChoose(ctx context.Context, a bot.Action) error {
	o, err := h.Handover.Handoffs.Get(ctx, a.Workspace, a.Value)
	if err != nil {
		return err
	}
	if a.User != o.To {
		return &handoff.RefusedError{Text: "Only <@" + o.To + "> can answer this: it was offered to them."}
	}
	var refs []handoff.Ref
	for _, i := range o.Of(handoff.StateOffered) {
		refs = append(refs, i.Ref)
	}
	if len(refs) == 0 {
		return &handoff.RefusedError{Text: "This handoff is over: it is " + o.State + "."}
	}
	options, all, err := h.options(ctx, a.Workspace, a.User, refs)
	if err != nil {
		return err
	}
	return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{
		ID: formChoose, Metadata: o.ID, Title: "What do you take over?", Submit: "Take these",
		Fields: []bot.Field{
			{ID: "take", Label: "I take", Kind: bot.FieldChoices, Options: options, Initial: all, Hint: "What you leave out is declined."},
			{ID: "reason", Label: "Why not the rest?", Kind: bot.FieldText, Optional: true, Hint: "Whose work it is reads this."},
		},
	})
}

// options are items to choose from, and all of their values.
func (h *Handoffs) options(ctx context.Context, workspace, viewer string, refs []handoff.Ref) (options []bot.Option, all []string, err error) {
	for _, r := range refs {
		name, err := h.Handover.Name(ctx, workspace, viewer, r)
		if err != nil {
			return nil, nil, err
		}
		options = append(options, bot.Option{Value: r.Kind + " " + r.ID, Label: name})
		all = append(all, r.Kind+" "+r.ID)
	}
	return options, all, nil
}

// chosen reads items that were chosen. It is never nil: nothing is not all.
func chosen(values string) []handoff.Ref {
	all := []handoff.Ref{}
	for _, v := range lines(values) {
		if kind, id, ok := strings.Cut(v, " "); ok {
			all = append(all, handoff.Ref{Kind: kind, ID: id})
		}
	}
	return all
}

// openPlan shows who takes what, to be changed.
func (h *Handoffs) openPlan(ctx context.Context, a bot.Action) error {
	p, err := h.Handover.Handoffs.Plan(ctx, a.Workspace, a.Value)
	if err != nil {
		return err
	}
	who, err := h.Handover.Who(ctx, a.Workspace, a.User)
	if err != nil {
		return err
	}
	if a.User != p.Person && !who.Governs {
		return &handoff.RefusedError{Text: "Only <@" + p.Person + ">, my sponsor or an admin of the workspace can change this plan."}
	}
	form := bot.Form{ID: formPlan, Metadata: p.ID, Title: "Who takes what?", Submit: "Save"}
	for n, i := range p.Items[:min(len(p.Items), mostPlanned)] {
		name, err := h.Handover.Name(ctx, a.Workspace, a.User, i.Ref)
		if err != nil {
			return err
		}
		f := bot.Field{ID: "i" + strconv.Itoa(n), Label: name, Kind: bot.FieldPerson, Optional: true}
		if i.To != "" {
			f.Initial = []string{i.To}
		}
		form.Fields = append(form.Fields, f)
	}
	return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, form)
}

// openLapse asks who takes, or which to delete, of what waits.
func (h *Handoffs) openLapse(ctx context.Context, a bot.Action) error {
	l, err := h.Handover.Handoffs.Lapse(ctx, a.Workspace, a.Value)
	if err != nil {
		return err
	}
	var refs []handoff.Ref
	for _, i := range l.Open() {
		if a.ID == bot.ButtonHand || i.Kind == handoff.KindDuty {
			refs = append(refs, i.Ref)
		}
	}
	if len(refs) == 0 {
		return &handoff.RefusedError{Text: "Nothing of this waits any more."}
	}
	options, all, err := h.options(ctx, a.Workspace, a.User, refs)
	if err != nil {
		return err
	}
	form := bot.Form{ID: formLapseHand, Metadata: l.ID, Title: "Hand to whom?", Submit: "Offer", Fields: []bot.Field{
		{ID: "to", Label: "New owner", Kind: bot.FieldPerson, Hint: "They get a brief, and accept or decline."},
		{ID: "items", Label: "What", Kind: bot.FieldChoices, Options: options, Initial: all},
	}}
	if a.ID == bot.ButtonEnd {
		form = bot.Form{ID: formEnd, Metadata: l.ID, Title: "Delete for good", Submit: "Delete", Fields: []bot.Field{
			{ID: "items", Label: "Which duties end?", Kind: bot.FieldChoices, Options: options},
		}}
	}
	return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, form)
}

// submit takes the forms of handoffs. Who sent it is looked up anew.
func (h *Handoffs) submit(ctx context.Context, s bot.Submission) (map[string]string, error) {
	field, err := h.submitted(ctx, s)
	var no *handoff.RefusedError
	switch {
	case errors.As(err, &no):
		return map[string]string{field: mentionless(no.Text)}, nil
	case errors.Is(err, handoff.ErrNone):
		return map[string]string{field: "I do not know this handoff (any more)."}, nil
	}
	return nil, err
}

// mentionless is a text as a form shows it, where mentions are not drawn.
func mentionless(s string) string {
	return strings.NewReplacer("<@", "@", "<#", "#", ">", "").Replace(s)
}

// submitted does what a form says, and gives the field that an error belongs to.
func (h *Handoffs) submitted(ctx context.Context, s bot.Submission) (field string, err error) {
	reason := strings.TrimSpace(s.Values["reason"])
	switch s.Form {
	case formChoose:
		_, err = h.Handover.Accept(ctx, s.Workspace, s.Metadata, s.User, chosen(s.Values["take"]), true, reason, "form")
		return "take", err
	case formRefuse:
		_, err = h.Handover.Decline(ctx, s.Workspace, s.Metadata, s.User, reason, "form")
		return "reason", err
	case formPlan:
		return h.redraw(ctx, s)
	case formEnd:
		return "items", h.Handover.Decide(ctx, s.Workspace, s.Metadata, s.User, handoff.LapseDelete, chosen(s.Values["items"]))
	}
	to := lines(s.Values["to"])
	if len(to) != 1 {
		return "to", &handoff.RefusedError{Text: "Name one person."}
	}
	var left []handoff.Left
	if s.Form == formDutyHand {
		left, err = h.handDuty(ctx, s, to[0])
	} else {
		_, left, err = h.Handover.HandLapsed(ctx, s.Workspace, s.Metadata, s.User, to[0], chosen(s.Values["items"]), s.Key)
	}
	if err == nil && len(left) > 0 {
		err = h.Outbox.Answer(ctx, s.Workspace, s.User, s.Key, "Offered, but for: "+bot.LeftWords(left))
	}
	return "to", err
}

// handDuty offers one duty to somebody. Who may offer it, the offer itself decides.
func (h *Handoffs) handDuty(ctx context.Context, s bot.Submission, to string) ([]handoff.Left, error) {
	d, err := h.Handover.Duties.Get(ctx, s.Metadata)
	if errors.Is(err, scheduler.ErrNoDuty) || err == nil && d.Workspace != s.Workspace {
		return nil, &handoff.RefusedError{Text: "That duty is gone already."}
	}
	if err != nil {
		return nil, err
	}
	_, left, err := h.Handover.Offer(ctx, bot.Wish{
		Workspace: s.Workspace, From: d.Owner, To: to, Asker: s.User, Via: "form", Request: s.Key, Items: []handoff.Ref{{Kind: handoff.KindDuty, ID: d.ID}},
	})
	return left, err
}

// redraw changes a plan.
func (h *Handoffs) redraw(ctx context.Context, s bot.Submission) (field string, err error) {
	p, err := h.Handover.Handoffs.Plan(ctx, s.Workspace, s.Metadata)
	if err != nil {
		return "i0", err
	}
	who, err := h.Handover.Who(ctx, s.Workspace, s.User)
	if err != nil {
		return "i0", err
	}
	to, members := map[handoff.Ref]string{}, map[string]bool{}
	for n, i := range p.Items[:min(len(p.Items), mostPlanned)] {
		id := "i" + strconv.Itoa(n)
		person := strings.TrimSpace(s.Values[id])
		if person != "" && person != i.To {
			if _, known := members[person]; !known {
				taker, err := h.Handover.Who(ctx, s.Workspace, person)
				if err != nil {
					return id, err
				}
				members[person] = taker.Member && person != p.Person
			}
			if !members[person] {
				return id, &handoff.RefusedError{Text: "They cannot take it: an owner is an active full member of this workspace."}
			}
		}
		to[i.Ref] = person
	}
	_, err = h.Handover.Handoffs.Redraw(ctx, s.Workspace, s.Metadata, who, to)
	return "i0", err
}
