package scheduler

import (
	"fmt"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// GetTx is Get inside a transaction.
func (s *Scheduler) GetTx(tx *migrations.Tx, id string) (Duty, error) { return load(tx, id) }

// DeleteTx is Delete inside a transaction. why is for the ledger, "" for nothing to
// say.
func (s *Scheduler) DeleteTx(tx *migrations.Tx, id, by, why string) (Duty, error) {
	var fields map[string]string
	if why != "" {
		fields = map[string]string{"why": why}
	}
	return s.changeTx(tx, id, by, "deleted", fields, remove)
}

// remove is the change that Delete makes.
func remove(tx *migrations.Tx, d *Duty) error {
	d.State, d.NextAt, d.PausedUntil, d.PausedWhy = StateDeleted, time.Time{}, time.Time{}, ""
	if err := task.Forget(tx, confirmKey(d.ID)); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE runs SET state = 'skipped', error = 'the duty was deleted', ended_at = $1 WHERE duty = $2 AND state = 'waiting'`, migrations.Micros(tx.Now()), d.ID)
	if err != nil {
		return fmt.Errorf("close waiting runs: %w", err)
	}
	return task.Forget(tx, dutyKey(d.ID))
}

// Release resumes a duty that the agent paused itself for that reason; any other
// pause stays.
func (s *Scheduler) Release(tx *migrations.Tx, id, by, why string) (Duty, error) {
	return s.changeTx(tx, id, by, "resumed", nil, func(tx *migrations.Tx, d *Duty) error {
		if d.PausedWhy != why || why == "" {
			return nil
		}
		return resume(tx, d)
	})
}

// Move has a duty report to another place, the direct message of a new owner for
// instance.
func (s *Scheduler) Move(tx *migrations.Tx, id, channel, kind, by string) (Duty, error) {
	return s.changeTx(tx, id, by, "channel", nil, func(_ *migrations.Tx, d *Duty) error {
		d.Channel, d.ChannelKind, d.Thread = channel, kind, ""
		if d.Report == ReportThread {
			d.Report = ReportRun
		}
		return nil
	})
}
