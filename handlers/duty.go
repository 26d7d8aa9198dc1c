package handlers

import (
	"context"
	"errors"
	"fmt"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// Duties takes the presses of buttons on the card of a duty that was paused.
type Duties struct {
	DB     *migrations.DB
	Duties *scheduler.Scheduler
	Outbox *bot.Outbox
	Roll   identity.Roll
	// HandOver begins a handoff of a duty; nil: it is told how to ask for one.
	HandOver func(ctx context.Context, a bot.Action, d scheduler.Duty) error
}

// press takes one press, if who pressed may decide, and redraws the card.
func (h *Duties) press(ctx context.Context, a bot.Action) error {
	d, err := h.Duties.Get(ctx, a.Value)
	if errors.Is(err, scheduler.ErrNoDuty) || err == nil && d.Workspace != a.Workspace {
		return h.tell(ctx, a, "I do not know this duty (any more).")
	}
	if err != nil {
		return err
	}
	may, err := h.mayDecide(ctx, a, d)
	if err != nil {
		return err
	}
	if !may {
		return h.tell(ctx, a, fmt.Sprintf("Only <@%s>, who answers for this duty, my sponsor or an admin of the workspace can decide this. Ask one of them.", d.Owner))
	}
	if a.ID == bot.ButtonDutyHand {
		if h.HandOver != nil {
			return h.HandOver(ctx, a, d)
		}
		return h.tell(ctx, a, fmt.Sprintf("Tell me who takes it over: mention me with `hand %s to @name`.", d.ID))
	}
	was, done := d, "Resumed"
	switch {
	case a.ID == bot.ButtonDutyDelete:
		done = "Deleted"
		_, err = h.Duties.Delete(ctx, d.ID, a.User)
	case d.State != scheduler.StatePaused:
		return h.tell(ctx, a, "It is not paused any more.")
	default:
		_, err = h.Duties.Resume(ctx, d.ID, a.User)
	}
	if errors.Is(err, scheduler.ErrNoDuty) {
		return h.tell(ctx, a, "I do not know this duty (any more).")
	}
	if err != nil {
		return h.tell(ctx, a, "That did not work: "+err.Error())
	}
	return h.owe(ctx, bot.DutyDecided(was, a.Channel, a.Message, a.Key, a.User, done))
}

// mayDecide reports whether who pressed answers for the duty, for the agent, or for
// the workspace, as Slack says now.
func (h *Duties) mayDecide(ctx context.Context, a bot.Action, d scheduler.Duty) (bool, error) {
	if a.UserTeam != "" && a.UserTeam != a.Workspace {
		return false, nil
	}
	who, err := h.Roll.Standing(ctx, a.Workspace, a.User, nil)
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", a.User, err)
	}
	if !who.Active || who.Kind != bot.KindMember {
		return false, nil
	}
	if a.User == d.Owner || who.Admin {
		return true, nil
	}
	sponsors := false
	err = h.DB.Read(ctx, func(tx *migrations.Tx) error {
		s, err := identity.SponsorshipOf(tx, a.Workspace)
		for _, id := range s.Active() {
			sponsors = sponsors || id == a.User
		}
		return err
	})
	return sponsors, err
}

func (h *Duties) tell(ctx context.Context, a bot.Action, text string) error {
	return h.owe(ctx, bot.Post{
		Workspace: a.Workspace, Channel: a.User, Key: "press:" + a.Key, Text: text, Ours: true, Cause: a.Key, Requester: a.User, ChannelKind: bot.ChannelDirect, Tool: bot.ToolReply,
	})
}

func (h *Duties) owe(ctx context.Context, p bot.Post) error {
	if err := h.DB.Write(ctx, func(tx *migrations.Tx) error { return h.Outbox.Queue(tx, p) }); err != nil {
		return fmt.Errorf("answer the press of a duty's button: %w", err)
	}
	return nil
}
