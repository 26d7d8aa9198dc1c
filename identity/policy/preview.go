package policy

import (
	"context"
	"fmt"
	"slices"

	"deskmate/migrations"
)

// Shift is a request that would be decided otherwise after a plan.
type Shift struct {
	Request  Request
	Was, Now Decision
}

// Preview decides requests as they are decided now and as they would be after a
// plan, and returns those whose verdict or approval differs, in order. It changes
// nothing and counts nothing. The ids of grants that are not there yet begin with
// "g_new-".
func (e *Engine) Preview(ctx context.Context, p Plan, requests []Request) ([]Shift, error) {
	var now, then *workspaceSet
	err := e.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		if now, err = load(tx, p.Workspace, nil); err != nil {
			return err
		}
		then, err = loadAfter(tx, p, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("preview access of %s: %w", p.Workspace, err)
	}
	var out []Shift
	for _, r := range requests {
		was, _, _, err := e.judgeBy(ctx, now, r)
		if err != nil {
			return nil, fmt.Errorf("preview %s: %w", r.Tool, err)
		}
		will, _, _, err := e.judgeBy(ctx, then, r)
		if err != nil {
			return nil, fmt.Errorf("preview %s: %w", r.Tool, err)
		}
		if was.Verdict != will.Verdict || was.Quorum != will.Quorum || was.TTL != will.TTL || !slices.Equal(was.Approvers, will.Approvers) {
			out = append(out, Shift{r, was, will})
		}
	}
	return out, nil
}

// loadAfter compiles the policies that a plan would leave.
func loadAfter(tx *migrations.Tx, p Plan, now *workspaceSet) (*workspaceSet, error) {
	bundles, err := loadBundles(tx, p.Workspace)
	if err != nil {
		return nil, err
	}
	put := slices.Clone(p.PutBundles)
	for _, c := range p.ChangeBundles {
		put = append(put, c.Now)
	}
	for _, b := range slices.Concat(put, p.DeleteBundles) {
		bundles = slices.DeleteFunc(bundles, func(had Bundle) bool { return had.Name == b.Name })
	}
	bundles = append(bundles, put...)

	grants, err := loadGrants(tx, p.Workspace, false)
	if err != nil {
		return nil, err
	}
	add, remove := slices.Clone(p.Add), slices.Clone(p.Remove)
	for _, c := range p.Change {
		add, remove = append(add, c.Now), append(remove, c.Was)
	}
	grants = slices.DeleteFunc(grants, func(g Grant) bool {
		return expired(g, tx.Now()) || slices.ContainsFunc(remove, func(r Grant) bool { return r.ID == g.ID })
	})
	for i, g := range add {
		g.ID, g.Workspace, g.GrantedBy, g.GrantedAt = fmt.Sprintf("g_new-%d", i+1), p.Workspace, System, tx.Now()
		if g.ExpiresAt.IsZero() {
			g.ExpiresAt = tx.Now().Add(maxLife)
		}
		g.Rate, g.RateWindow, g.Count = 0, 0, 0 // nothing of it is used up yet
		grants = append(grants, g)
	}
	return compile(tx, p.Workspace, now.version, bundles, grants, now)
}
