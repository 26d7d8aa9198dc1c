package handlers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// filesAtOnce is how many files one round reads.
const filesAtOnce = 10

// FileReader reads the text of files that came with messages which memory keeps.
type FileReader struct {
	DB    *migrations.DB
	Files *bot.Files
}

// Handle reads some files of one workspace. It is the task handler of kind "files".
func (h *FileReader) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	n, err := h.Files.Read(ctx, lease.Workspace, "", "", filesAtOnce)
	if errors.Is(err, identity.ErrSuspended) {
		return task.Result{Again: h.DB.Now().Add(time.Minute)}, nil
	}
	if err != nil {
		return task.Result{}, fmt.Errorf("read files of %s: %w", lease.Workspace, err)
	}
	if n == filesAtOnce {
		return task.Result{Again: h.DB.Now()}, nil
	}
	return task.Result{}, nil
}
