package handoff

import (
	"context"
	"fmt"

	"deskmate/migrations"
)

// Orphan is a duty or open thread that no active person answers for.
type Orphan struct {
	Ref
	Owner string `json:"owner"`
	Why   string `json:"why"`
}

// Unowned lists the duties and open threads of a workspace whose owner is no
// active person here, as far as it is known: a duty's is a full member, a thread's
// is somebody who is there. What a sponsor keeps for somebody who is gone is owned.
func (s *Handoffs) Unowned(ctx context.Context, workspace string) ([]Orphan, error) {
	all := []Orphan{}
	err := s.DB.Read(ctx, func(tx *migrations.Tx) error {
		all = all[:0]
		rows, err := tx.Query(`SELECT d.id, d.owner, CASE WHEN p.id IS NULL THEN 'nobody by that id is known' WHEN p.is_deleted = 1 THEN 'is deactivated' ELSE 'is no full member' END
			FROM duties d LEFT JOIN people p ON p.workspace = d.workspace AND p.id = d.owner
			WHERE d.workspace = $1 AND d.state IN ('active', 'paused') AND (p.id IS NULL OR p.is_deleted = 1 OR p.kind <> 'member') ORDER BY d.created_at, d.id`, workspace)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			o := Orphan{Ref: Ref{Kind: KindDuty}}
			if err := rows.Scan(&o.ID, &o.Owner, &o.Why); err != nil {
				return err
			}
			all = append(all, o)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		threads, err := s.Threads.Open(tx, workspace, "")
		if err != nil {
			return err
		}
		there := map[string]bool{}
		for _, t := range threads {
			if _, known := there[t.Owner]; !known {
				var n int
				err := tx.QueryRow(`SELECT COUNT(*) FROM people WHERE workspace = $1 AND id = $2 AND is_deleted = 0`, workspace, t.Owner).Scan(&n)
				if err != nil {
					return err
				}
				there[t.Owner] = n > 0
			}
			if !there[t.Owner] {
				all = append(all, Orphan{t.Ref(), t.Owner, "is not here (any more)"})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for what nobody owns: %w", err)
	}
	return all, nil
}

// Owners lists who owns duties or open threads, and the channels of duties, for a
// look whether they are still there.
func (s *Handoffs) Owners(ctx context.Context, workspace string) (people, channels []string, err error) {
	err = s.DB.Read(ctx, func(tx *migrations.Tx) error {
		people, channels = nil, nil
		for _, q := range []struct {
			sql string
			to  *[]string
		}{
			{`SELECT DISTINCT owner FROM duties WHERE workspace = $1 AND state IN ('active', 'paused') UNION SELECT to_owner FROM handoffs WHERE workspace = $1 AND state = 'offered'`, &people},
			{`SELECT DISTINCT channel FROM duties WHERE workspace = $1 AND state IN ('active', 'paused')`, &channels},
		} {
			rows, err := tx.Query(q.sql, workspace)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id string
				if err := rows.Scan(&id); err != nil {
					return err
				}
				*q.to = append(*q.to, id)
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		threads, err := s.Threads.Open(tx, workspace, "")
		seen := map[string]bool{}
		for _, p := range people {
			seen[p] = true
		}
		for _, t := range threads {
			if !seen[t.Owner] {
				seen[t.Owner] = true
				people = append(people, t.Owner)
			}
		}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list owners: %w", err)
	}
	return people, channels, nil
}
