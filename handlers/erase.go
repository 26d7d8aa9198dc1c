package handlers

import (
	"context"
	"fmt"
	"time"

	"deskmate/bot"
	"deskmate/identity/ledger"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// eraseEvery is how often it is looked whether a turn to be erased has ended.
const eraseEvery = time.Second

// Erasing erases turns that were under way when what they tell of was forgotten.
type Erasing struct {
	DB     *migrations.DB
	Ledger *ledger.Ledger
	Memory *memory.Memory
}

// Handle erases those of one workspace that have ended. It is the task handler of
// kind "erase".
func (h *Erasing) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	erased, left := 0, 0
	err := h.DB.Write(ctx, func(tx *migrations.Tx) (err error) {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		erased, left, err = bot.EraseWaiting(tx, h.Ledger, lease.Workspace)
		return err
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("erase turns of %s: %w", lease.Workspace, err)
	}
	if erased > 0 {
		if err := h.Memory.Scrub(ctx); err != nil {
			return task.Result{Again: h.DB.Now().Add(eraseEvery)}, nil // somebody reads: once more
		}
	}
	if left > 0 {
		return task.Result{Again: h.DB.Now().Add(eraseEvery)}, nil
	}
	return task.Result{}, nil
}
