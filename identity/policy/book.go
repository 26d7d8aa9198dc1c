package policy

import (
	"fmt"
	"time"

	"deskmate/migrations"
)

// usedEvery is how exact Grant.LastUsedAt is.
const usedEvery = time.Minute

// Book counts the use of a decision in the transaction of the intent. It fails
// with ErrSpent when the decision does not hold any more: the policies that have
// a say have changed, or a limit was used up meanwhile; then nothing may be done,
// and the transaction must be undone. For a denial there is nothing to count.
func (e *Engine) Book(tx *migrations.Tx, r Request, d Decision) error {
	if d.Verdict != Allow && d.Verdict != Ask {
		return nil
	}
	if err := e.book(tx, r, d); err != nil {
		return fmt.Errorf("book use of %s: %w", r.Tool, err)
	}
	return nil
}

func (e *Engine) book(tx *migrations.Tx, r Request, d Decision) error {
	r.At = tx.Now()
	r, err := tidy(r, tx.Now())
	if err != nil {
		return err
	}
	v, err := scanVersion(tx.QueryRow(versionQuery, r.Workspace))
	if err != nil {
		return err
	}
	s := e.cached(r.Workspace)
	if s == nil || s.version != v {
		// Not kept: what this transaction sees may be undone.
		if s, err = load(tx, r.Workspace, s); err != nil {
			return fmt.Errorf("load policies: %w", err)
		}
	}
	t, err := s.tool(r.Tool, r.Connection)
	if err != nil {
		return err
	}
	if t.set(r) != d.Set {
		return fmt.Errorf("%w: the grants have changed", ErrSpent)
	}
	for _, id := range d.Grants {
		c := t.byID[id]
		if c == nil {
			return fmt.Errorf("%w: grant %s is gone", ErrSpent, id)
		}
		if err := use(tx, c.grant); err != nil {
			return err
		}
	}
	for _, id := range d.Policies {
		if c := t.byID[id]; c != nil && c.grant.ID != "" {
			if err := e.touch(tx, c.grant); err != nil {
				return err
			}
		}
	}
	return nil
}

// use counts one use of a grant with limits. The writer's transactions are one
// after another, so that no limit is passed.
func use(tx *migrations.Tx, g Grant) error {
	row := func(q string, args ...any) scanner { return tx.QueryRow(q, args...) }
	up, err := usesUp(row, g, tx.Now())
	if err != nil {
		return err
	}
	if up {
		return fmt.Errorf("%w: the limit of grant %s was used up", ErrSpent, g.ID)
	}
	var n int64
	if err := tx.QueryRow(`UPDATE grants SET uses = uses + 1 WHERE workspace = $1 AND id = $2 RETURNING uses`, g.Workspace, g.ID).Scan(&n); err != nil {
		return fmt.Errorf("count use of grant %s: %w", g.ID, err)
	}
	if g.Rate == 0 {
		return nil
	}
	if _, err := tx.Exec(`DELETE FROM grant_uses WHERE workspace = $1 AND grant_id = $2 AND used_at <= $3`,
		g.Workspace, g.ID, migrations.Micros(tx.Now().Add(-time.Duration(g.RateWindow)))); err != nil {
		return fmt.Errorf("forget old uses of grant %s: %w", g.ID, err)
	}
	if _, err := tx.Exec(`INSERT INTO grant_uses (workspace, grant_id, used_at, use) VALUES ($1, $2, $3, $4)`,
		g.Workspace, g.ID, migrations.Micros(tx.Now()), n); err != nil {
		return fmt.Errorf("count use of grant %s: %w", g.ID, err)
	}
	return nil
}

// touch notes that a grant was used, at most once a minute.
func (e *Engine) touch(tx *migrations.Tx, g Grant) error {
	key, now := [2]string{g.Workspace, g.ID}, tx.Now()
	e.mu.Lock()
	last, ok := e.touched[key]
	e.mu.Unlock()
	if since := now.Sub(last); ok && since >= 0 && since < usedEvery {
		return nil
	}
	if _, err := tx.Exec(`UPDATE grants SET last_used_at = $1 WHERE workspace = $2 AND id = $3`, migrations.Micros(now), g.Workspace, g.ID); err != nil {
		return fmt.Errorf("note use of grant %s: %w", g.ID, err)
	}
	tx.AfterCommit(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.touched[key] = now
	})
	return nil
}
