package handlers

import (
	"context"
	"errors"
	"strings"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/migrations"
)

// Reviews takes the presses of buttons on the cards of a review.
type Reviews struct {
	DB      *migrations.DB
	Reviews *identity.Reviews
	Outbox  *bot.Outbox
}

// press takes one press and tells who pressed why it did not count, if so.
func (h *Reviews) press(ctx context.Context, a bot.Action) error {
	review, grant, _ := strings.Cut(a.Value, " ")
	verdict := identity.VerdictKeep
	if a.ID == bot.ButtonRemove {
		verdict = identity.VerdictRemove
	}
	_, err := h.Reviews.Answer(ctx, identity.ReviewAnswer{Workspace: a.Workspace, Review: review, Grant: grant, Person: a.User, Verdict: verdict, Via: "button"})
	var refused *identity.RefusedError
	switch {
	case errors.As(err, &refused):
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, refused.Text)
	case errors.Is(err, identity.ErrNoReview):
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "I do not know this review (any more).")
	}
	return err
}
