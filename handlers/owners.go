package handlers

import (
	"context"
	"fmt"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskOwners is the kind of the tasks that look whether owners and places of work
// are still there: one for each workspace, and for each person or channel that has
// changed.
const TaskOwners = "owners"

const (
	// ownersEvery is how often a workspace is looked through: people change while
	// nobody listens.
	ownersEvery = 24 * time.Hour
	// ownersPace keeps the looks of a sweep apart: Slack's limits are for everybody.
	ownersPace = 2 * time.Second
)

// Owners looks after it that work has an owner and a place.
type Owners struct {
	DB       *migrations.DB
	Handover *bot.Handover
}

// Begin has a workspace looked through soon.
func (h *Owners) Begin(tx *migrations.Tx, workspace string) error { return h.Look(tx, workspace, "") }

// Look has a person or channel looked at soon, with "" all of a workspace.
func (h *Owners) Look(tx *migrations.Tx, workspace, about string) error {
	return h.wake(tx, workspace, about, time.Time{})
}

func (h *Owners) wake(tx *migrations.Tx, workspace, about string, due time.Time) error {
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: TaskOwners, Key: ownersKey(workspace) + about, Due: due})
}

func ownersKey(workspace string) string { return TaskOwners + ":" + workspace + ":" }

// Handle looks at what the lease is about. It is the task handler of kind "owners".
func (h *Owners) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	about := strings.TrimPrefix(lease.Key, ownersKey(lease.Workspace))
	var err error
	switch {
	case about == "":
		return h.sweep(ctx, lease)
	case about[0] == 'U' || about[0] == 'W':
		err = h.Handover.LookAtPerson(ctx, lease.Workspace, about)
	default:
		err = h.Handover.LookAtChannel(ctx, lease.Workspace, about)
	}
	if err != nil {
		return task.Result{}, fmt.Errorf("look after owners: %w", err)
	}
	return task.Result{}, nil
}

// sweep has every owner and every place of a duty looked at, one after the other.
func (h *Owners) sweep(ctx context.Context, lease *task.Lease) (task.Result, error) {
	people, channels, err := h.Handover.Handoffs.Owners(ctx, lease.Workspace)
	if err != nil {
		return task.Result{}, err
	}
	var again time.Time
	err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		again = tx.Now().Add(ownersEvery)
		n := 0
		for _, id := range append(people, channels...) {
			if id == "" || !strings.ContainsRune("UWCG", rune(id[0])) { // a direct message is there as long as its person
				continue
			}
			if err := h.wake(tx, lease.Workspace, id, tx.Now().Add(time.Duration(n)*ownersPace)); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("look after owners: %w", err)
	}
	return task.Result{Again: again}, nil
}
