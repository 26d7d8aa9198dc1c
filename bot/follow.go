package bot

import (
	"context"

	"deskmate/migrations"
	"deskmate/scheduler"
)

// commitments are what e promises.
func (w *Watcher) commitments(context.Context, Event) ([]func(tx *migrations.Tx) error, error) {
	return nil, nil
}

// settles is what ends a follow-up.
func (w *Watcher) settles(context.Context, scheduler.Duty, Event) (func(tx *migrations.Tx) error, error) {
	return nil, nil
}
