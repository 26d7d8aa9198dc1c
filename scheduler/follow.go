package scheduler

import (
	"fmt"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskFollow is the kind of the tasks that look at a thread which is followed; one
// for each run.
const TaskFollow = "follow"

// FollowKey names the task of a run of a follow-up.
func FollowKey(run string) string { return TaskFollow + ":" + run }

// FollowRun is the run whose task has a key.
func FollowRun(key string) string { return key[min(len(TaskFollow)+1, len(key)):] }

// WakeFollow has the thread of a follow-up looked at for a run.
func WakeFollow(tx *migrations.Tx, d Duty, run string) error {
	return task.Wake(tx, task.Waking{Workspace: d.Workspace, Kind: TaskFollow, Key: FollowKey(run)})
}

// Looks gives the duty of a run, whether the run is still open, and when the run
// before it was due; the zero time if there was none.
func (s *Scheduler) Looks(tx *migrations.Tx, run string) (d Duty, open bool, before time.Time, err error) {
	var id, state string
	var due, earlier int64
	if err := tx.QueryRow(`SELECT duty, state, due_at FROM runs WHERE id = $1`, run).Scan(&id, &state, &due); err != nil {
		return Duty{}, false, time.Time{}, fmt.Errorf("load run %s: %w", run, err)
	}
	if d, err = load(tx, id); err != nil {
		return Duty{}, false, time.Time{}, err
	}
	if err := tx.QueryRow(`SELECT COALESCE(MAX(due_at), 0) FROM runs WHERE duty = $1 AND due_at < $2`, id, due).Scan(&earlier); err != nil {
		return Duty{}, false, time.Time{}, fmt.Errorf("load run before %s: %w", run, err)
	}
	return d, state == RunDue, migrations.Time(earlier), nil
}

// Note records what somebody did about a duty that does not change it.
func (s *Scheduler) Note(tx *migrations.Tx, id, by, what string) error {
	d, err := load(tx, id)
	if err != nil {
		return err
	}
	return s.record(tx, d, "duty.changed", by, map[string]string{"change": what})
}

// Drop is Delete in a transaction.
func (s *Scheduler) Drop(tx *migrations.Tx, id, by, why string) (Duty, error) {
	return s.changeTx(tx, id, by, "deleted", map[string]string{"why": why}, func(tx *migrations.Tx, d *Duty) error {
		d.State, d.NextAt = StateDeleted, time.Time{}
		return task.Forget(tx, dutyKey(d.ID))
	})
}
