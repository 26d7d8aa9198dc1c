package task

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/migrations"
)

// Lease is the right to work one key. Fence grows with every claim.
type Lease struct {
	Workspace, Kind, Key string
	Seen                 int64     // wakes that this run answers
	Fence                int64     // names the claim
	Attempts             int64     // earlier runs in a row that failed
	Takeovers            int64     // earlier runs in a row that died with their process
	Stopped              bool      // Stop was called before this run began
	Due                  time.Time // when it was due
}

// Guard refuses, with ErrFenced, a write of a worker that was overtaken. Every
// transaction of a handler calls it first.
func (l *Lease) Guard(tx *migrations.Tx) error {
	var fence int64
	err := tx.QueryRow(`SELECT fence FROM tasks WHERE key = $1`, l.Key).Scan(&fence)
	if errors.Is(err, sql.ErrNoRows) || err == nil && fence != l.Fence {
		return fmt.Errorf("task %s: %w", l.Key, ErrFenced)
	}
	if err != nil {
		return fmt.Errorf("check fence of task %s: %w", l.Key, err)
	}
	return nil
}

// GuardAll is Guard for several leases.
func GuardAll(tx *migrations.Tx, leases []*Lease) error {
	keys := make([]any, len(leases))
	for i, l := range leases {
		keys[i] = l.Key
	}
	rows, err := tx.Query(`SELECT key, fence FROM tasks WHERE key IN (`+places(1, len(keys))+`)`, keys...)
	if err != nil {
		return fmt.Errorf("check fences: %w", err)
	}
	defer rows.Close()
	fences := make(map[string]int64, len(leases))
	for rows.Next() {
		var key string
		var fence int64
		if err := rows.Scan(&key, &fence); err != nil {
			return fmt.Errorf("check fences: %w", err)
		}
		fences[key] = fence
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("check fences: %w", err)
	}
	for _, l := range leases {
		if fence, ok := fences[l.Key]; !ok || fence != l.Fence {
			return fmt.Errorf("task %s: %w", l.Key, ErrFenced)
		}
	}
	return nil
}

// places are the parameters $first to $last.
func places(first, last int) string {
	all := make([]string, 0, last-first+1)
	for i := first; i <= last; i++ {
		all = append(all, fmt.Sprintf("$%d", i))
	}
	return strings.Join(all, ", ")
}

// ending is how a run ended.
type ending struct {
	again       time.Time // when to run again at the latest; zero: when woken
	failed      error     // why it is to be tried again
	interrupted error     // stopped or shut down before it was through, without a fault
	told        bool      // the handler's context was ended by Stop
}

// finish gives a key back. It is due again at the earliest of end.again and the
// wakes since the claim. Only a run that was through has answered the wakes it
// saw, and a stop that it was told of.
func finish(ctx context.Context, db *migrations.DB, l *Lease, end ending) error {
	err := db.Write(ctx, func(tx *migrations.Tx) error { return finishIn(tx, l, end) })
	if err != nil {
		return fmt.Errorf("finish task %s: %w", l.Key, err)
	}
	return nil
}

func finishIn(tx *migrations.Tx, l *Lease, end ending) error {
	through, attempts, text := 1, int64(0), ""
	switch {
	case end.failed != nil:
		through, attempts, text = 0, l.Attempts+1, clip(end.failed.Error())
	case end.interrupted != nil:
		through, attempts = 0, l.Attempts
	}
	answered := 0
	if end.told {
		answered = 1
	}
	res, err := tx.Exec(`UPDATE tasks SET
			lease_owner = '', lease_until = 0, takeovers = 0, attempts = $1,
			last_error = CASE WHEN $2 = '' AND $1 > 0 THEN last_error ELSE $2 END,
			done = CASE WHEN $3 = 1 AND $4 > done THEN $4 ELSE done END,
			stop = CASE WHEN $3 = 1 AND $5 = 1 THEN 0 WHEN $3 = 0 AND claimed_stop = 1 THEN 1 ELSE stop END,
			claimed_stop = 0,
			due_at = CASE WHEN due_at IS NULL OR due_at > $6 THEN $6 ELSE due_at END,
			updated_at = $7
		WHERE key = $8 AND fence = $9 AND lease_owner <> ''`,
		attempts, text, through, l.Seen, answered, nullable(end.again), migrations.Micros(tx.Now()), l.Key, l.Fence)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrFenced
	}
	return nil
}

// renew prolongs the leases of running handlers and tells which of them were
// overtaken.
func renew(ctx context.Context, db *migrations.DB, leases []*Lease, lease time.Duration) (lost []*Lease, err error) {
	err = db.Write(ctx, func(tx *migrations.Tx) error {
		lost = nil
		until := migrations.Micros(tx.Now().Add(lease))
		for _, l := range leases {
			res, err := tx.Exec(`UPDATE tasks SET lease_until = $1 WHERE key = $2 AND fence = $3 AND lease_owner <> ''`, until, l.Key, l.Fence)
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				lost = append(lost, l)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	return lost, nil
}

// takeOverSQL frees the leases that its condition names. The fence moves, so
// that whoever held the lease is overtaken from now on. The key keeps its place
// in the queue, until its runs have died often enough to be the likely cause:
// then it waits ever longer, so that it cannot keep the process from starting.
const takeOverSQL = `UPDATE tasks SET lease_owner = '', lease_until = 0, fence = fence + 1, takeovers = takeovers + 1,
	stop = CASE WHEN claimed_stop = 1 THEN 1 ELSE stop END, claimed_stop = 0,
	due_at = CASE WHEN takeovers < 5 THEN claimed_due WHEN takeovers < 150 THEN $1 + 2000000 * (takeovers - 4) ELSE $1 + 300000000 END,
	updated_at = $1
	WHERE `

// takeOver begins a new epoch of a name, frees the leases of the earlier ones,
// and reports how many there were.
func takeOver(ctx context.Context, db *migrations.DB, name string) (o owner, freed int64, err error) {
	o.name = name
	err = db.Write(ctx, func(tx *migrations.Tx) error {
		now := migrations.Micros(tx.Now())
		if err := tx.QueryRow(`INSERT INTO task_owners (owner, epoch, started_at) VALUES ($1, 1, $2)
			ON CONFLICT (owner) DO UPDATE SET epoch = task_owners.epoch + 1, started_at = excluded.started_at
			RETURNING epoch`, name, now).Scan(&o.epoch); err != nil {
			return err
		}
		res, err := tx.Exec(takeOverSQL+`lease_owner = $2`, now, name)
		if err != nil {
			return err
		}
		freed, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return owner{}, 0, fmt.Errorf("take over orphaned tasks: %w", err)
	}
	return o, freed, nil
}

// expire frees leases of others that ran out. Those of name itself never do: it
// is alive, whatever the clock says, and what is not is taken over at its start.
func expire(ctx context.Context, db *migrations.DB, name string) (freed int64, err error) {
	err = db.Write(ctx, func(tx *migrations.Tx) error {
		res, err := tx.Exec(takeOverSQL+`lease_owner <> '' AND lease_owner <> $2 AND lease_until < $1`, migrations.Micros(tx.Now()), name)
		if err != nil {
			return err
		}
		freed, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("take over expired tasks: %w", err)
	}
	return freed, nil
}

// rebase makes due at once what was last touched at a time that, after the clock
// was set back, has not yet come: its due time was counted from there. A run too
// early does no harm, one that is late by the size of the step does.
func rebase(ctx context.Context, db *migrations.DB) (moved int64, err error) {
	err = db.Write(ctx, func(tx *migrations.Tx) error {
		res, err := tx.Exec(`UPDATE tasks SET due_at = $1, updated_at = $1
			WHERE lease_owner = '' AND due_at > $1 AND updated_at > $1`, migrations.Micros(tx.Now()))
		if err != nil {
			return err
		}
		moved, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count due times from the new time: %w", err)
	}
	return moved, nil
}

func nullable(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return migrations.Micros(t)
}

// clip bounds what is kept of an error.
func clip(s string) string {
	const most = 500
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
