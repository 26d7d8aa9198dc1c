package task

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/migrations"
)

// owner is a name to hold leases under, and the start of the process that may.
type owner struct {
	name  string
	epoch int64
}

// space is a workspace in which keys of a kind wait.
type space struct {
	workspace string
	due       time.Time // of the first of them
	working   int       // keys of it that are being worked
}

// survey finds the workspaces in which keys of a kind are due, the longest due
// first, and when the next key of another is. It steps through the index
// tasks_due from one workspace to the next, however many keys wait in each, and
// keeps nobody from writing.
func survey(ctx context.Context, db *migrations.DB, kind string) (spaces []space, next time.Time, err error) {
	now := db.Now()
	rows, err := db.Query(ctx, `WITH RECURSIVE spaces (workspace) AS (
			SELECT MIN(workspace) FROM tasks WHERE kind = $1 AND lease_owner = '' AND due_at IS NOT NULL
			UNION ALL
			SELECT (SELECT MIN(t.workspace) FROM tasks t
				WHERE t.kind = $1 AND t.lease_owner = '' AND t.due_at IS NOT NULL AND t.workspace > s.workspace)
			FROM spaces s WHERE s.workspace IS NOT NULL
		)
		SELECT s.workspace, (SELECT MIN(t.due_at) FROM tasks t
			WHERE t.kind = $1 AND t.workspace = s.workspace AND t.lease_owner = '' AND t.due_at IS NOT NULL)
		FROM spaces s WHERE s.workspace IS NOT NULL`, kind)
	if err != nil {
		return nil, next, fmt.Errorf("look for due %s tasks: %w", kind, err)
	}
	defer rows.Close()
	for rows.Next() {
		var workspace string
		var us int64
		if err := rows.Scan(&workspace, &us); err != nil {
			return nil, next, fmt.Errorf("look for due %s tasks: %w", kind, err)
		}
		due := migrations.Time(us)
		switch {
		case !due.After(now):
			spaces = append(spaces, space{workspace: workspace, due: due})
		case next.IsZero() || due.Before(next):
			next = due
		}
	}
	if err := rows.Err(); err != nil {
		return nil, next, fmt.Errorf("look for due %s tasks: %w", kind, err)
	}
	slices.SortStableFunc(spaces, func(a, b space) int { return a.due.Compare(b.due) })
	return spaces, next, nil
}

// claimSQL takes the longest due keys of one workspace, if the claiming process
// is still the one of its name.
const claimSQL = `UPDATE tasks SET lease_owner = $1, lease_until = $2, fence = fence + 1, claimed_due = due_at, due_at = NULL,
	claimed_stop = stop, stop = 0, updated_at = $3
	WHERE key IN (
		SELECT key FROM tasks WHERE kind = $4 AND workspace = $5 AND lease_owner = '' AND due_at <= $3
		ORDER BY due_at, key LIMIT $6)
	AND EXISTS (SELECT 1 FROM task_owners WHERE owner = $1 AND epoch = $7)
	RETURNING workspace, kind, key, wanted, fence, attempts, takeovers, claimed_stop, claimed_due`

// claim takes up to limit due keys of a kind. Workspaces take turns, keys that
// are being worked counting as turns taken; among those whose turn it is, the
// longest due goes first, and so it does within each.
func claim(ctx context.Context, db *migrations.DB, o owner, kind string, limit int, lease time.Duration) ([]*Lease, error) {
	spaces, _, err := survey(ctx, db, kind)
	if err != nil || len(spaces) == 0 {
		return nil, err
	}
	return claimFrom(ctx, db, o, kind, spaces, limit, lease)
}

// claimFrom is claim in the spaces of a survey. What the survey saw may have
// changed: then there is less to claim.
func claimFrom(ctx context.Context, db *migrations.DB, o owner, kind string, spaces []space, limit int, lease time.Duration) ([]*Lease, error) {
	var got []*Lease
	err := db.Write(ctx, func(tx *migrations.Tx) error {
		open := slices.Clone(spaces)
		if len(open) > 1 {
			if err := countWorking(tx, kind, open); err != nil {
				return err
			}
		}
		// A workspace with less to do than its share leaves the rest to the others.
		for len(open) > 0 && len(got) < limit {
			shares := share(open, limit-len(got))
			var more []space
			for i, s := range open {
				if shares[i] == 0 {
					more = append(more, s)
					continue
				}
				leases, err := claimIn(tx, o, kind, s.workspace, shares[i], lease)
				if err != nil {
					return err
				}
				got = append(got, leases...)
				if s.working += len(leases); len(leases) == shares[i] {
					more = append(more, s)
				}
			}
			open = more
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim %s tasks: %w", kind, err)
	}
	slices.SortFunc(got, func(a, b *Lease) int {
		return cmp.Or(a.Due.Compare(b.Due), strings.Compare(a.Key, b.Key))
	})
	return got, nil
}

// share divides n claims between spaces: each goes to the one that has the
// fewest at work by then, the longest due among equals.
func share(spaces []space, n int) []int {
	shares := make([]int, len(spaces))
	for range n {
		least := 0
		for i, s := range spaces {
			if s.working+shares[i] < spaces[least].working+shares[least] {
				least = i
			}
		}
		shares[least]++
	}
	return shares
}

func countWorking(tx *migrations.Tx, kind string, spaces []space) error {
	rows, err := tx.Query(`SELECT workspace, COUNT(*) FROM tasks WHERE lease_owner <> '' AND kind = $1 GROUP BY workspace`, kind)
	if err != nil {
		return fmt.Errorf("count running tasks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var workspace string
		var n int
		if err := rows.Scan(&workspace, &n); err != nil {
			return fmt.Errorf("count running tasks: %w", err)
		}
		if i := slices.IndexFunc(spaces, func(s space) bool { return s.workspace == workspace }); i >= 0 {
			spaces[i].working = n
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("count running tasks: %w", err)
	}
	return nil
}

func claimIn(tx *migrations.Tx, o owner, kind, workspace string, limit int, lease time.Duration) ([]*Lease, error) {
	now := tx.Now()
	rows, err := tx.Query(claimSQL, o.name, migrations.Micros(now.Add(lease)), migrations.Micros(now), kind, workspace, limit, o.epoch)
	if err != nil {
		return nil, fmt.Errorf("claim in workspace %s: %w", workspace, err)
	}
	defer rows.Close()
	var got []*Lease
	for rows.Next() {
		var l Lease
		var due, stop int64
		if err := rows.Scan(&l.Workspace, &l.Kind, &l.Key, &l.Seen, &l.Fence, &l.Attempts, &l.Takeovers, &stop, &due); err != nil {
			return nil, fmt.Errorf("claim in workspace %s: %w", workspace, err)
		}
		l.Stopped, l.Due = stop == 1, migrations.Time(due)
		got = append(got, &l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("claim in workspace %s: %w", workspace, err)
	}
	return got, nil
}
