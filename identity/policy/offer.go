package policy

import "context"

// Offers reports whether some grant could let a request through, whatever its
// arguments are and whenever it is made: what no grant is near need not be offered
// to a model. It decides nothing; an error is a no.
func (e *Engine) Offers(ctx context.Context, r Request) bool {
	s, err := e.current(ctx, r.Workspace)
	if err != nil {
		return false
	}
	if r, err = tidy(r, e.db.Now()); err != nil {
		return false
	}
	t, err := s.tool(r.Tool, r.Connection)
	if err != nil {
		return false
	}
	q := t.ask(r)
	offered := false
	for _, c := range t.sorted {
		miss := t.miss(q, c)
		switch {
		case c.effect == Deny && miss == nil && len(c.grant.Args) == 0:
			return false // whatever the arguments are
		case c.effect == Deny || c.grant.ID == "":
		case miss == nil || miss.stage >= stageArgs:
			offered = true
		}
	}
	return offered
}
