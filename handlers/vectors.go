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

// TaskVectors is the kind of the tasks that fill vectors in; one for each
// workspace.
const TaskVectors = "vectors"

const (
	fillBatch = 64               // texts in one call of the embedding server
	fillEvery = 20 * time.Second // how often it is looked for new texts
)

// Filler fills in the vectors of memory, a batch at a time. Where the embedding
// server fails, the task is tried again later and later; search goes on by words.
type Filler struct {
	DB     *migrations.DB
	Memory *memory.Memory
	Logger zerolog.Logger
}

// Look has the vectors of a workspace filled in soon.
func (h *Filler) Look(tx *migrations.Tx, workspace string) error {
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: TaskVectors, Key: TaskVectors + ":" + workspace})
}

// Handle fills one batch. It is the task handler of kind "vectors".
func (h *Filler) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	n, err := h.Memory.FillVectors(ctx, lease.Workspace, fillBatch)
	if err != nil {
		return task.Result{}, fmt.Errorf("fill vectors of %s: %w", lease.Workspace, err)
	}
	if n > 0 {
		h.Logger.Info().Str("workspace", lease.Workspace).Int("texts", n).Msg("vectors filled in")
	}
	if n == fillBatch {
		return task.Result{Again: h.DB.Now()}, nil
	}
	return task.Result{Again: h.DB.Now().Add(fillEvery)}, nil
}
