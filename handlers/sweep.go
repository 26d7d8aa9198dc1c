package handlers

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskSweep is the kind of the tasks that erase what is past its retention; one
// for each workspace.
const TaskSweep = "sweep"

// sweepEvery is how often a workspace is swept.
const sweepEvery = time.Hour

// Sweeper erases what memory keeps no longer.
type Sweeper struct {
	DB     *migrations.DB
	Memory *memory.Memory
	Logger zerolog.Logger
}

// Look has a workspace swept soon.
func (h *Sweeper) Look(tx *migrations.Tx, workspace string) error {
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: TaskSweep, Key: TaskSweep + ":" + workspace})
}

// Handle sweeps one workspace, a part at a time. It is the task handler of kind
// "sweep".
func (h *Sweeper) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	again := time.Time{}
	messages, notes := 0, 0
	err := h.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		var more bool
		var err error
		if messages, notes, more, err = h.Memory.Sweep(tx, lease.Workspace); err != nil {
			return err
		}
		if again = tx.Now().Add(sweepEvery); more {
			again = tx.Now()
		}
		return nil
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("sweep memory of %s: %w", lease.Workspace, err)
	}
	if messages+notes > 0 {
		h.Logger.Info().Str("workspace", lease.Workspace).Int("messages", messages).Int("notes", notes).Msg("erased what was past its retention")
		_ = h.Memory.Scrub(ctx) // the next one ends what this one cannot, while others read
	}
	return task.Result{Again: again}, nil
}
