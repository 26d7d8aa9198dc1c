package handlers

import (
	"context"

	"deskmate/bot"
)

// ActionStop is the action_id of buttons that end the work in a thread; their
// value is the thread's key.
const ActionStop = "stop"

// Buttons takes presses of the agent's own buttons.
type Buttons struct{ Inbox *bot.Inbox }

// Handle makes a press durable. What is not a button of ours is nothing.
func (h *Buttons) Handle(ctx context.Context, a bot.Action) error {
	if a.ID == ActionStop {
		return h.Inbox.StopThread(ctx, a)
	}
	return nil
}
