package handlers

import (
	"context"

	"deskmate/bot"
)

// ActionStop is the action_id of buttons that end the work in a thread; their
// value is the thread's key.
const ActionStop = "stop"

// Buttons takes presses of the agent's own buttons.
type Buttons struct {
	Inbox     *bot.Inbox
	Approvals *Approvals
	Reviews   *Reviews
	Duties    *Duties
}

// Handle makes a press durable. What is not a button of ours is nothing.
func (h *Buttons) Handle(ctx context.Context, a bot.Action) error {
	switch a.ID {
	case ActionStop:
		return h.Inbox.StopThread(ctx, a)
	case bot.ButtonApprove, bot.ButtonDeny, bot.ButtonThread:
		return h.Approvals.press(ctx, a)
	case bot.ButtonKeep, bot.ButtonRemove:
		return h.Reviews.press(ctx, a)
	case bot.ButtonDutyConfirm, bot.ButtonDutyCancel, bot.ButtonDutyUndo, bot.ButtonDutyChange:
		return h.Duties.press(ctx, a)
	case bot.ButtonReason:
		return h.Approvals.openReason(ctx, a)
	case bot.ButtonArgs:
		return h.Approvals.openArgs(ctx, a)
	}
	return nil
}
