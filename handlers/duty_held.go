package handlers

import (
	"context"
	"errors"
	"fmt"

	"deskmate/bot"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// pressHeld takes a press on the card of a duty that was paused for its failures, if
// who pressed may decide, and redraws the card.
func (h *Duties) pressHeld(ctx context.Context, a bot.Action, d scheduler.Duty) error {
	if a.ID == bot.ButtonDutyHand {
		return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{ID: formDutyHand, Metadata: d.ID, Title: "Hand to whom?", Submit: "Offer", Fields: []bot.Field{
			{ID: "to", Label: "New owner", Kind: bot.FieldPerson, Hint: "They get a brief, and accept or decline. Until then the duty stays where it is."},
		}})
	}
	was, done := d, "Resumed"
	var err error
	switch {
	case a.ID == bot.ButtonDutyDelete:
		done = "Deleted"
		_, err = h.Cards.Delete(ctx, d.ID, a.User)
	case d.State != scheduler.StatePaused:
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "It is not paused any more.")
	default:
		_, err = h.Scheduler.Resume(ctx, d.ID, a.User)
	}
	if errors.Is(err, scheduler.ErrNoDuty) {
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "That duty is gone already, so nothing was changed.")
	}
	if err != nil {
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "That did not work: "+err.Error())
	}
	err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
		return h.Outbox.Queue(tx, bot.DutyDecided(was, a.Channel, a.Message, a.Key, a.User, done))
	})
	if err != nil {
		return fmt.Errorf("redraw card of duty %s: %w", d.ID, err)
	}
	return nil
}
