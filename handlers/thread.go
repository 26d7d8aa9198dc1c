// Package handlers decides what to make of the things that people do to the
// agent: a mention, a reply in a thread, a stop, an edit, a deletion, a change
// of the workspace.
//
// It promises that everything in the inbox comes to an end that its author can
// see. It must never act on anything itself: work goes to the turn loop, effects
// go through the gate.
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

// suspendedPause is how often the work of a suspended agent looks again.
const suspendedPause = 2 * time.Second

// turnsPerClaim bounds how long one busy thread may keep a worker.
const turnsPerClaim = 8

// Threads works the inbox of threads.
type Threads struct {
	DB     *migrations.DB
	Inbox  *bot.Inbox
	Loop   *bot.Loop
	Duties *Duties
}

// Handle drains the inbox of one thread: it resumes the unfinished turn, if
// there is one, and begins another for what is left. It is the task handler of
// kind "thread".
func (h *Threads) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	for range turnsPerClaim {
		rows, err := h.Inbox.Pending(ctx, lease.Key)
		if err != nil {
			return task.Result{}, err
		}
		t, err := h.Loop.Running(ctx, lease.Key)
		if err != nil {
			return task.Result{}, err
		}
		if t == nil {
			if t, err = h.Loop.Decided(ctx, lease); err != nil {
				return task.Result{}, err
			}
		}
		if t == nil {
			rows, err = h.opening(ctx, lease, rows)
			if errors.Is(err, bot.ErrInboxChanged) {
				continue
			}
			if err != nil {
				return task.Result{}, err
			}
			if len(rows) == 0 {
				return task.Result{}, nil
			}
			t, err = h.Loop.Begin(ctx, lease, rows)
			if errors.Is(err, bot.ErrInboxChanged) {
				continue // a message was edited just now: read it again
			}
			if err != nil {
				return task.Result{}, err
			}
		}
		err = h.Loop.Run(ctx, lease, t)
		if errors.Is(err, bot.ErrWaits) {
			continue
		}
		if errors.Is(err, identity.ErrSuspended) {
			return task.Result{Again: h.DB.Now().Add(suspendedPause)}, nil
		}
		if errors.Is(err, task.ErrStopped) {
			// The context has ended with the stop; what closes the turn must not.
			return task.Result{Again: h.DB.Now()}, h.stop(context.WithoutCancel(ctx), lease)
		}
		if err != nil {
			return task.Result{}, err
		}
	}
	return task.Result{Again: h.DB.Now()}, nil
}

// opening picks the rows that a new turn begins with. Stops, edits and deletions
// with no turn to act on are closed here, the former with a word.
func (h *Threads) opening(ctx context.Context, lease *task.Lease, rows []bot.Row) ([]bot.Row, error) {
	rows, err := h.confirming(ctx, lease, rows)
	if err != nil {
		return nil, err
	}
	stop := -1
	for i, r := range rows {
		if r.Event.Kind == bot.KindStop {
			stop = i
		}
	}
	var work, idle []bot.Row
	for i, r := range rows {
		if i > stop && (r.Event.Kind == bot.KindMessage || r.Event.Kind == bot.KindDuty) {
			work = append(work, r)
		} else {
			idle = append(idle, r)
		}
	}
	work = together(work)
	if len(idle) == 0 {
		return work, nil
	}
	stopped, err := h.stopWaiting(ctx, lease, idle, false)
	if err != nil {
		return nil, err
	}
	if stopped {
		return nil, bot.ErrInboxChanged // what is left is read again
	}
	err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		ids := make([]int64, len(idle))
		waiting := 0
		for i, r := range idle {
			ids[i] = r.ID
			if r.Event.Kind == bot.KindMessage || r.Event.Kind == bot.KindDuty {
				waiting++
			}
			if err := h.Loop.Dropped(tx, r.Event, rows[max(stop, 0)].Event.User); err != nil {
				return err
			}
		}
		if stop >= 0 && (rows[stop].Event.Run == "" || waiting > 0 && rows[stop].Event.Thread != "") {
			word := "Nothing is under way in this thread, so there was nothing to stop."
			if waiting > 0 {
				word = "Stopped before I began. Nothing was changed."
			}
			if err := h.Loop.Say(tx, rows[stop].Event, word); err != nil {
				return err
			}
		}
		return h.Inbox.Close(tx, ids)
	})
	if err != nil {
		return nil, fmt.Errorf("close idle events of %s: %w", lease.Key, err)
	}
	return work, nil
}

// stopWaiting ends the turns of the thread that wait for approvals and that one
// of the rows stops: with the word, or by deleting the request. The rows that do
// so go with the first of them, unless a turn has taken them. It reports whether it ended any.
func (h *Threads) stopWaiting(ctx context.Context, lease *task.Lease, rows []bot.Row, taken bool) (bool, error) {
	waiting, err := h.Loop.Waiting(ctx, lease.Key)
	if err != nil {
		return false, err
	}
	any := false
	for _, t := range waiting {
		for i, r := range rows {
			if r.Event.Kind != bot.KindStop && (r.Event.Kind != bot.KindDelete || !t.Began(r.Event)) {
				continue
			}
			var with []bot.Row
			if !any && !taken {
				with = rows[:i+1]
			}
			if err := h.Loop.Stop(ctx, lease, t, with, r.Event.User); err != nil {
				return any, err
			}
			any = true
			break
		}
	}
	return any, nil
}

// together is the work that one turn takes: a run of a duty by itself, or what
// people said before the next run.
func together(rows []bot.Row) []bot.Row {
	for i, r := range rows {
		if r.Event.Kind == bot.KindDuty {
			return rows[:max(i, 1)]
		}
	}
	return rows
}

// stop closes the running turn of a thread at a human's word: a stop, or the
// deletion of the request.
func (h *Threads) stop(ctx context.Context, lease *task.Lease) error {
	t, err := h.Loop.Running(ctx, lease.Key)
	if err != nil {
		return err
	}
	rows, err := h.Inbox.Pending(ctx, lease.Key)
	if err != nil {
		return err
	}
	last := -1
	for i, r := range rows {
		if r.Event.Kind == bot.KindStop || r.Event.Kind == bot.KindDelete {
			last = i
		}
	}
	if t == nil {
		if _, err := h.opening(ctx, lease, rows); !errors.Is(err, bot.ErrInboxChanged) {
			return err
		}
		return nil
	}
	by := t.Requester
	if last >= 0 {
		by = rows[last].Event.User
	}
	// What was said before the stop is part of what was stopped; what came after
	// it is new work.
	if err := h.Loop.Stop(ctx, lease, t, rows[:last+1], by); err != nil {
		return err
	}
	_, err = h.stopWaiting(ctx, lease, rows[:last+1], true)
	return err
}
