package handlers

import (
	"context"
	"strings"

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
	Home      *Home
	Shortcuts *Shortcuts
	Notes     *Notes
	Duties    *Duties
	Promises  *Promises
	Handoffs  *Handoffs
}

// Handle makes a press durable. What is not a button of ours is nothing.
func (h *Buttons) Handle(ctx context.Context, a bot.Action) error {
	switch a.ID {
	case ActionStop:
		return h.Inbox.StopThread(ctx, a)
	case bot.ButtonApprove, bot.ButtonDeny, bot.ButtonThread, bot.ButtonDuty:
		return h.Approvals.press(ctx, a)
	case bot.ButtonKeep, bot.ButtonRemove:
		return h.Reviews.press(ctx, a)
	case bot.ButtonUndoNote, bot.ButtonReplaceNote, bot.ButtonBothNotes, bot.ButtonDropNote:
		return h.Notes.press(ctx, a)
	case bot.ButtonDutyResume, bot.ButtonDutyHand, bot.ButtonDutyDelete, bot.ButtonDutyConfirm, bot.ButtonDutyCancel, bot.ButtonDutyUndo, bot.ButtonDutyChange:
		return h.Duties.press(ctx, a)
	case bot.ButtonPromiseUndo, bot.ButtonPromiseDone, bot.ButtonPromiseLater, bot.ButtonPromiseDrop:
		return h.Promises.press(ctx, a)
	case bot.ButtonTake, bot.ButtonChoose, bot.ButtonRefuse, bot.ButtonConfirm, bot.ButtonRedraw, bot.ButtonDrop,
		bot.ButtonHand, bot.ButtonKeepPaused, bot.ButtonEnd, bot.ButtonDirect:
		return h.Handoffs.press(ctx, a)
	case bot.ButtonReason:
		return h.Approvals.openReason(ctx, a)
	case bot.ButtonArgs:
		return h.Approvals.openArgs(ctx, a)
	case bot.ButtonForget:
		return h.Shortcuts.forget(ctx, a)
	}
	if strings.HasPrefix(a.ID, homePrefix) {
		return h.Home.press(ctx, a)
	}
	return nil
}
