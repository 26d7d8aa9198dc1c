package identity

import (
	"context"
	"fmt"
	"slices"

	"deskmate/identity/budget"
	"deskmate/identity/ledger"
	"deskmate/identity/monitor"
	"deskmate/identity/policy"
	"deskmate/migrations"
)

// byMonitor is who suspends an agent that strays.
const byMonitor = "monitor"

// judge decides by the rules, and then by what the monitor makes of the action,
// which can only be graver. final means that the turn should end.
func (g *Gate) judge(ctx context.Context, a Action) (d Decision, final bool, err error) {
	if a.Refuse != "" {
		return deny("duty", a.Refuse), false, nil
	}
	if d, err = g.decide(ctx, a); err == nil {
		d, err = g.flow(ctx, a, d)
	}
	if err == nil && d.Verdict != Deny {
		if spent := g.spent(ctx, a); spent != nil {
			return *spent, true, nil
		}
	}
	if err != nil || g.Monitor == nil {
		return d, false, err
	}
	facts := monitor.Facts{
		Workspace: a.Workspace, Turn: a.Turn, Thread: a.Thread, Action: a.Key, Tool: a.Tool, Connection: a.Connection, Host: a.Host, Class: string(a.Class),
		Requester: a.Requester, Channel: a.Channel, Target: a.Target, Call: g.fingerprint(a), Manners: a.Manners || a.Notice, At: g.db.Now(),
	}
	var response monitor.Response
	var found []monitor.Finding
	if g.Monitor.Canary(string(a.args())) || g.Monitor.Canary(string(a.Args)) {
		f := g.Monitor.LeakFinding(facts)
		found, response = []monitor.Finding{f}, f.Response
		d = denyBy(found, d) // whatever the response is: it is not sent
	} else if d.Verdict != Deny {
		if response, found, err = g.Monitor.Before(ctx, facts); err != nil {
			if a.Class == ClassRead {
				return d, false, nil
			}
			found = []monitor.Finding{{Detector: "error", Text: "the monitor cannot judge it (" + err.Error() + ")"}}
		}
	}
	if err := g.found(ctx, found); err != nil {
		return d, false, err
	}
	switch response {
	case monitor.Ask:
		return stepUp(d, found), false, nil
	case monitor.Throttle:
		return denyBy(found, d), false, nil
	case monitor.Stop:
		return denyBy(found, d), true, nil
	case monitor.Suspend:
		return denyBy(found, d), true, g.stray(ctx, a.Workspace, found)
	}
	return d, false, nil
}

// Weigh says how the rules, and what went into it, decide on an action that nobody
// has asked for yet. It records nothing, and Do decides anew.
func (g *Gate) Weigh(ctx context.Context, a Action) (Decision, error) {
	d, err := g.decide(ctx, a)
	if err == nil {
		d, err = g.flow(ctx, a, d)
	}
	if err != nil {
		return Decision{}, fmt.Errorf("weigh %s: %w", a.Tool, err)
	}
	return d, nil
}

// spent is the denial of a call for which a budget is used up, nil if none is. What
// cannot be counted is not done.
func (g *Gate) spent(ctx context.Context, a Action) *Decision {
	if g.Budgets == nil || a.Manners || a.Notice {
		return nil
	}
	if err := g.Budgets.May(ctx, a.payer(), "", budget.Calls); err != nil {
		d := deny("budget", err.Error())
		return &d
	}
	return nil
}

// payer is who and where a call counts for.
func (a Action) payer() budget.Subject {
	return budget.Subject{Workspace: a.Workspace, Channel: a.Channel, Person: a.Requester, Duty: a.Duty}
}

// found records findings before anything follows from them.
func (g *Gate) found(ctx context.Context, found []monitor.Finding) error {
	found = slices.DeleteFunc(slices.Clone(found), func(f monitor.Finding) bool { return f.Detector == "error" })
	if len(found) == 0 {
		return nil
	}
	err := g.db.Write(ctx, func(tx *migrations.Tx) error {
		for _, f := range found {
			if _, err := g.Monitor.Note(tx, f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what the monitor found: %w", err)
	}
	return nil
}

// stray suspends the agent for the gravest of the findings.
func (g *Gate) stray(ctx context.Context, workspace string, found []monitor.Finding) error {
	for _, f := range found {
		if f.Response == monitor.Suspend {
			return g.Raise(ctx, f)
		}
	}
	return nil
}

// Raise does what a finding calls for that showed only in the ledger: the agent is
// suspended. Turns that should end meet their end at the gate. It is harmless to
// repeat.
func (g *Gate) Raise(ctx context.Context, f monitor.Finding) error {
	if f.Response != monitor.Suspend {
		return nil
	}
	err := g.db.Write(ctx, func(tx *migrations.Tx) error {
		agent, err := loadAgent(tx, f.Workspace)
		if err != nil || agent.State != StateActive {
			return err
		}
		if _, err := tx.Exec(`UPDATE agents SET state = 'suspended', reason = $1, changed_by = $2, changed_at = $3 WHERE workspace = $4`,
			Mask(f.Text), byMonitor, migrations.Micros(tx.Now()), f.Workspace); err != nil {
			return err
		}
		_, err = g.ledger.Append(tx, ledger.Record{Workspace: f.Workspace, Kind: "agent.changed", Agent: agent.User, Actor: byMonitor,
			Fields: map[string]string{"from": agent.State, "to": StateSuspended, "detector": f.Detector}, Payload: map[string]string{"reason": Mask(f.Text)}})
		return err
	})
	if err != nil {
		return fmt.Errorf("suspend agent of %s: %w", f.Workspace, err)
	}
	return g.Recheck(ctx)
}

// stepUp has an action that would be allowed wait for an approval.
func stepUp(d Decision, found []monitor.Finding) Decision {
	if d.Verdict != Allow {
		return d
	}
	up := Decision{Verdict: Ask, Set: d.Set, Grants: d.Grants, Approvers: []string{policy.Sponsor, policy.Admins}, Policies: slices.Clone(d.Policies)}
	for _, f := range found {
		up.Policies, up.Reasons = append(up.Policies, monitor.PolicyPrefix+f.Detector), append(up.Reasons, f.Text)
	}
	return up
}

// denyBy is the denial that findings make.
func denyBy(found []monitor.Finding, d Decision) Decision {
	no := Decision{Verdict: Deny, Set: d.Set}
	for _, f := range found {
		if f.Response != monitor.None {
			no.Policies, no.Reasons = append(no.Policies, monitor.PolicyPrefix+f.Detector), append(no.Reasons, f.Text)
		}
	}
	if len(no.Policies) == 0 {
		no.Policies, no.Reasons = []string{monitor.PolicyPrefix + "error"}, []string{"the monitor refused it"}
	}
	return no
}
