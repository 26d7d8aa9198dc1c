package handlers

import (
	"context"
	"errors"
	"fmt"
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
		return h.tell(ctx, a, refused.Text)
	case errors.Is(err, identity.ErrNoReview):
		return h.tell(ctx, a, "I do not know this review (any more).")
	}
	return err
}

func (h *Reviews) tell(ctx context.Context, a bot.Action, text string) error {
	err := h.DB.Write(ctx, func(tx *migrations.Tx) error {
		return h.Outbox.Queue(tx, bot.Post{
			Workspace: a.Workspace, Channel: a.User, Key: "press:" + a.Key, Text: text, Ours: true, Cause: a.Key, Requester: a.User, ChannelKind: bot.ChannelDirect, Tool: bot.ToolReply,
		})
	})
	if err != nil {
		return fmt.Errorf("tell %s about their answer: %w", a.User, err)
	}
	return nil
}
