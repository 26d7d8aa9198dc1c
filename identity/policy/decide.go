package policy

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// Ids of what is not a policy, in Decision.Policies.
const (
	idNoGrant = "no-grant" // nothing allows it
	idError   = "error"    // it could not be decided
)

// Decide says whether a request is allowed. There is no error: what cannot be
// decided is denied, with the policy "error" and the reason.
func (e *Engine) Decide(ctx context.Context, r Request) Decision {
	d, _, _, err := e.judge(ctx, r)
	if err != nil {
		return undecided(err)
	}
	return d
}

func undecided(err error) Decision {
	return Decision{Verdict: Deny, Policies: []string{idError}, Reasons: []string{"whether it is allowed could not be decided (" + shown(err.Error()) + ")"}}
}

// judge decides, and returns what it went by.
func (e *Engine) judge(ctx context.Context, r Request) (Decision, *toolSet, *query, error) {
	s, err := e.current(ctx, r.Workspace)
	if err != nil {
		return Decision{}, nil, nil, err
	}
	return e.judgeBy(ctx, s, r)
}

// judgeBy is judge by given policies.
func (e *Engine) judgeBy(ctx context.Context, s *workspaceSet, r Request) (Decision, *toolSet, *query, error) {
	r, err := tidy(r, e.db.Now())
	if err != nil {
		return Decision{}, nil, nil, err
	}
	t, err := s.tool(r.Tool, r.Connection)
	if err != nil {
		return Decision{}, nil, nil, err
	}
	q := t.ask(r)
	verdict, ids, err := t.verdict(q)
	if err != nil {
		return Decision{}, nil, nil, err
	}
	// Limits are looked up only for grants that match but for them. Taking a
	// permit away may let others make the decision, and so once more.
	for verdict != Deny {
		spent, err := e.spentOf(ctx, t, ids, r.At)
		if err != nil {
			return Decision{}, nil, nil, err
		}
		if len(spent) == 0 {
			break
		}
		t.spend(q, append(q.spent, spent...))
		if verdict, ids, err = t.verdict(q); err != nil {
			return Decision{}, nil, nil, err
		}
	}
	return t.decision(q, verdict, ids), t, q, nil
}

// verdict asks Cedar whether the call is allowed, then whether it is with an
// approval. ids are the policies that made it.
func (t *toolSet) verdict(q *query) (string, []string, error) {
	allowed, ids, err := t.authorize(callAction, q)
	if err != nil {
		return "", nil, err
	}
	if allowed {
		return Allow, ids, nil
	}
	if len(ids) > 0 {
		return Deny, ids, nil // forbidden
	}
	if allowed, ids, err = t.authorize(askAction, q); err != nil {
		return "", nil, err
	}
	if allowed {
		return Ask, ids, nil
	}
	return Deny, ids, nil
}

// decision fills in what follows from a verdict.
func (t *toolSet) decision(q *query, verdict string, ids []string) Decision {
	d := Decision{Verdict: verdict, Policies: ids, Set: t.set(q.r)}
	var grants []*compiled
	for _, id := range ids {
		if c := t.byID[id]; c != nil {
			grants = append(grants, c)
		}
	}
	d.Local = len(grants) > 0 && !slices.ContainsFunc(grants, func(c *compiled) bool { return !strings.HasPrefix(c.grant.Scope, "channel:") })
	switch verdict {
	case Allow:
		d.Grants = counted(grants)
	case Ask:
		d.Grants = counted(grants)
		strictest(&d, grants)
		for _, c := range grants {
			d.Reasons = append(d.Reasons, granted(c.grant)+" asks for an approval")
		}
	default:
		for _, c := range grants {
			d.Reasons = append(d.Reasons, q.forbidText(c))
		}
		if len(ids) == 0 {
			d.Policies, d.Reasons = []string{idNoGrant}, t.misses(q)
		}
	}
	return d
}

// counted names the grant whose uses are counted: none if a permit has no limit,
// else one of them, so that a use is not paid twice.
func counted(permits []*compiled) []string {
	for _, c := range permits {
		if !c.limited() {
			return nil
		}
	}
	if len(permits) == 0 {
		return nil
	}
	return []string{permits[0].id}
}

// strictest takes from the asks the highest quorum, then the fewest approvers,
// then the first id; and the shortest time of all.
func strictest(d *Decision, grants []*compiled) {
	first := slices.MinFunc(grants, func(a, b *compiled) int {
		approversA, quorumA, _ := asks(a.grant)
		approversB, quorumB, _ := asks(b.grant)
		return cmp.Or(cmp.Compare(quorumB, quorumA), cmp.Compare(len(approversA), len(approversB)), strings.Compare(a.id, b.id))
	})
	approvers, quorum, ttl := asks(first.grant)
	d.Approvers, d.Quorum, d.TTL = slices.Clone(approvers), quorum, ttl
	for _, c := range grants {
		_, _, other := asks(c.grant)
		d.TTL = min(d.TTL, other)
	}
}
