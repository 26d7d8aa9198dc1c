package handlers

import (
	"context"
	"errors"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/migrations"
)

// Approvals takes the presses of buttons on approval cards.
type Approvals struct {
	DB        *migrations.DB
	Approvals *identity.Approvals
	Outbox    *bot.Outbox
}

// press takes one press and tells who pressed why it did not count, if so.
func (h *Approvals) press(ctx context.Context, a bot.Action) error {
	p := identity.Press{Workspace: a.Workspace, Approval: a.Value, Person: a.User, Verdict: identity.VerdictApprove, Via: "button"}
	switch a.ID {
	case bot.ButtonDeny:
		p.Verdict = identity.VerdictDeny
	case bot.ButtonThread:
		p.Hours = bot.ThreadHours
	case bot.ButtonDuty:
		p.Days = bot.DutyDays
	}
	return h.decide(ctx, a.Key, p)
}

// decide passes a person's word on; what did not count is said to them.
func (h *Approvals) decide(ctx context.Context, key string, p identity.Press) error {
	_, err := h.Approvals.Decide(ctx, p)
	var refused *identity.RefusedError
	switch {
	case errors.As(err, &refused):
		return h.Outbox.Answer(ctx, p.Workspace, p.Person, key, refused.Text)
	case errors.Is(err, identity.ErrNoApproval):
		return h.Outbox.Answer(ctx, p.Workspace, p.Person, key, "I do not know this request for approval (any more).")
	}
	return err
}
