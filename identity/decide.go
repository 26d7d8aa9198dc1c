package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/identity/policy"
	"deskmate/migrations"
)

// Verdicts of a Press.
const (
	VerdictApprove = "approve"
	VerdictDeny    = "deny"
)

// MostThreadHours bounds an approval for a whole thread.
const MostThreadHours = 8

// MostDutyDays bounds an approval in advance for the runs of a duty.
const MostDutyDays = 90

// Press is one person's word on an approval: a button, a command, a page.
type Press struct {
	Workspace string
	Approval  string
	Person    string // Slack user id; "cli:name" for who works on the host
	Verdict   string // approve, deny
	Reason    string
	Hours     int // with approve: the tool may go on in this thread for so long; 0: this one call
	Days      int // with approve: the duty that asks may do the same for so long; 0: this one call
	Via       string
}

// Reasons for which a press is refused.
const (
	RefusedSelf     = "self"        // the requester
	RefusedAgent    = "agent"       // the agent itself
	RefusedApprover = "no-approver" // not, or not any more, one of the approvers
	RefusedOver     = "over"        // it does not wait any more
	RefusedStale    = "stale"       // the rules have changed since
	RefusedThread   = "no-thread"   // nothing that can be approved for a whole thread
	RefusedDuty     = "no-duty"     // nothing that can be approved in advance for a duty
	RefusedReader   = "no-reader"   // cannot read what it would let out
	RefusedStopped  = "stopped"     // the agent does nothing at present
)

// RefusedError is a press that counts for nothing; Text says why, to the person.
type RefusedError struct {
	Reason   string
	Text     string
	Approval Approval
}

func (e *RefusedError) Error() string { return e.Text }

// Decide takes a person's word. It checks, at this moment, that they are one of
// the approvers, that they are neither who asked nor the agent, and that what was
// asked for still is what would be done. One no is a no; yes needs the quorum.
// The same press again changes nothing. Errors: *RefusedError, ErrNoApproval, or
// that it could not be decided now.
func (p *Approvals) Decide(ctx context.Context, press Press) (Approval, error) {
	a, err := p.Get(ctx, press.Workspace, press.Approval)
	if err != nil {
		return a, err
	}
	if press.Verdict != VerdictApprove && press.Verdict != VerdictDeny || press.Person == "" {
		return a, fmt.Errorf("decide %s: %q is no verdict, or nobody gives it", a.ID, press.Verdict)
	}
	who, err := p.standing(ctx, a, press)
	if err != nil {
		return a, fmt.Errorf("decide %s: look up %s: %w", a.ID, press.Person, err)
	}
	may, err := p.mayRelease(ctx, a, press.Person)
	if err != nil {
		return a, fmt.Errorf("decide %s: look who can read it: %w", a.ID, err)
	}
	set := ""
	if press.Verdict == VerdictApprove { // a no holds under any rules
		if set, err = p.gate.setNow(ctx, a); err != nil {
			return a, fmt.Errorf("decide %s: look at the rules: %w", a.ID, err)
		}
	}
	var refused *RefusedError
	err = p.gate.db.Write(ctx, func(tx *migrations.Tx) error {
		refused = nil
		if a, err = loadApproval(tx, press.Workspace, press.Approval); err != nil {
			return err
		}
		agent, err := loadAgent(tx, press.Workspace)
		if err != nil {
			return err
		}
		if again := slices.IndexFunc(a.Votes, func(v Vote) bool { return v.Person == press.Person && v.Verdict == press.Verdict }); again >= 0 {
			return nil
		}
		if refused = p.refuse(tx, a, press, who, agent, set); refused == nil && press.Verdict == VerdictApprove && !may {
			refused = &RefusedError{Reason: RefusedReader, Text: fmt.Sprintf("This would let out text from %s, which you cannot read now. Somebody who can has to approve it: %s.", placeWords(a.Sources), p.words(a, agent))}
		}
		if refused != nil {
			return p.refusedPress(tx, a, press, refused)
		}
		a, err = p.vote(tx, a, press)
		return err
	})
	if err != nil {
		return a, fmt.Errorf("decide %s: %w", press.Approval, err)
	}
	p.gate.crash("approval:decided")
	if refused != nil {
		return a, refused
	}
	return a, nil
}

// standing is what the person is now. Who works on the host has no standing in
// Slack: they can say no, and never yes, because nobody can tell whether it was
// they who asked.
func (p *Approvals) standing(ctx context.Context, a Approval, press Press) (Standing, error) {
	if strings.HasPrefix(press.Person, "cli:") {
		return Standing{}, nil
	}
	if p.Roll == nil {
		return Standing{}, errors.New("there is no directory of people")
	}
	var groups []string
	for _, w := range a.Approvers {
		if id, ok := strings.CutPrefix(w, "group:"); ok {
			groups = append(groups, id)
		}
	}
	return p.Roll.Standing(ctx, a.Workspace, press.Person, groups)
}

// refuse says why a press counts for nothing, nil if it counts.
func (p *Approvals) refuse(tx *migrations.Tx, a Approval, press Press, who Standing, agent Agent, set string) *RefusedError {
	no := func(reason, format string, args ...any) *RefusedError {
		return &RefusedError{Reason: reason, Text: fmt.Sprintf(format, args...)}
	}
	operator := strings.HasPrefix(press.Person, "cli:") && press.Verdict == VerdictDeny
	switch {
	case press.Person == agent.User:
		return no(RefusedAgent, "An agent does not decide on what it asked for.")
	case a.State != ApprovalPending:
		return no(RefusedOver, "%s", a.over())
	case !tx.Now().Before(a.ExpiresAt):
		return no(RefusedOver, "It is too late: the time for it is up. Ask again if it is still wanted.")
	case press.Person == a.Requester && press.Verdict == VerdictApprove:
		return no(RefusedSelf, "You asked for this, so somebody else has to approve it: %s.", p.words(a, agent))
	case slices.Contains(a.Others, press.Person) && press.Verdict == VerdictApprove:
		return no(RefusedSelf, "You took part in asking for this, so somebody else has to approve it: %s.", p.words(a, agent))
	case press.Person == a.Requester || operator:
		return nil // who asked may take it back, who runs the host may stop it
	case !who.Active || who.Kind != kindMember || !isApprover(a, press.Person, who, agent):
		return no(RefusedApprover, "You are not among those who can decide this: %s.", p.words(a, agent))
	case agent.State != StateActive:
		return no(RefusedStopped, "I was %s by <@%s>, so nothing is done now. Decide once I am back.", agent.State, agent.ChangedBy)
	case press.Verdict == VerdictDeny:
		return nil
	case set != a.set:
		return no(RefusedStale, "The rules for `%s` have changed since this was asked for, so it has to be asked for again.", a.Tool)
	case press.Hours != 0 && (press.Hours < 0 || press.Hours > MostThreadHours || a.Class != ClassWrite || a.Thread == "" || a.Quorum > 1 || a.Flows() || p.Grant == nil):
		return no(RefusedThread, "This can only be approved one call at a time: for a whole thread I take approvals of `write` tools by one person, for %d hours at most.", MostThreadHours)
	case press.Days != 0 && (press.Days < 0 || press.Days > MostDutyDays || !a.AdvanceForDuty() || p.Grant == nil):
		return no(RefusedDuty, "This can only be approved one call at a time: for a duty I take approvals in advance of tools that stay in the organisation, by one person, where every argument is a text or a number, for %d days at most.", MostDutyDays)
	}
	return nil
}

// over words the state of an approval to somebody who comes too late.
func (a Approval) over() string {
	switch a.State {
	case ApprovalApproved, ApprovalUsed:
		return "It was approved already, by " + mentions(a.Approved()) + "."
	case ApprovalDenied:
		return "It was denied already, by <@" + a.EndedBy + ">."
	case ApprovalExpired:
		return "It is too late: " + a.EndedWhy + "."
	case ApprovalWithdrawn:
		return "It was withdrawn: " + a.EndedWhy + "."
	}
	return "It does not hold any more: " + a.EndedWhy + "."
}

func mentions(people []string) string {
	all := make([]string, len(people))
	for i, p := range people {
		all[i] = "<@" + p + ">"
	}
	return strings.Join(all, " and ")
}

// MayDecide reports whether the word of a person, as they are now, would count for
// a yes on a.
func (a Approval) MayDecide(person string, who Standing, agent Agent) bool {
	return who.Active && who.Kind == kindMember && person != a.Requester && person != agent.User && !slices.Contains(a.Others, person) && isApprover(a, person, who, agent)
}

// isApprover compares a person as they are now with the approvers of a.
func isApprover(a Approval, person string, who Standing, agent Agent) bool {
	return slices.ContainsFunc(a.Approvers, func(w string) bool {
		group, isGroup := strings.CutPrefix(w, "group:")
		return w == "user:"+person || isGroup && slices.Contains(who.Groups, group) ||
			w == policy.Admins && who.Admin || w == policy.Sponsor && agent.SponsoredBy(person)
	})
}

// words says who can decide.
func (p *Approvals) words(a Approval, agent Agent) string {
	return ApproverWords(a.Approvers, agent.Sponsor)
}

// ApproverWords says for people who the approvers are; sponsor is Agent.Sponsor.
func ApproverWords(approvers []string, sponsor string) string {
	var all []string
	for _, w := range approvers {
		kind, id, _ := strings.Cut(w, ":")
		switch {
		case kind == "user":
			all = append(all, "<@"+id+">")
		case kind == "group":
			all = append(all, "<!subteam^"+id+">")
		case w == policy.Sponsor && sponsor != "":
			for _, id := range (Agent{Sponsor: sponsor}).Sponsors() {
				all = append(all, "<@"+id+"> (my sponsor)")
			}
		case w == policy.Sponsor:
			all = append(all, "my sponsor")
		case w == policy.Admins:
			all = append(all, "an admin of the workspace")
		}
	}
	return strings.Join(all, " or ")
}

// refusedPress records that somebody tried.
func (p *Approvals) refusedPress(tx *migrations.Tx, a Approval, press Press, r *RefusedError) error {
	r.Approval = a
	_, err := p.gate.ledger.Append(tx, ledger.Record{
		Workspace: a.Workspace, Kind: "approval.refused", Actor: press.Person, Requester: a.Requester, Turn: a.Turn, Channel: a.Channel, Thread: a.Thread, Tool: a.Tool,
		Fields: map[string]string{ledger.FieldApproval: a.ID, "reason": r.Reason, "verdict": press.Verdict, "via": press.Via},
	})
	if err != nil || r.Reason != RefusedStale {
		return err
	}
	r.Approval, err = p.end(tx, a, ApprovalStale, "system", "the rules for `"+a.Tool+"` have changed since it was asked for")
	return err
}

// vote counts a press and ends the approval if it decides.
func (p *Approvals) vote(tx *migrations.Tx, a Approval, press Press) (Approval, error) {
	reason := cut(Mask(strings.TrimSpace(press.Reason)), mostError)
	_, err := tx.Exec(`INSERT INTO approval_votes (approval, person, verdict, reason, voted_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (approval, person) DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason, voted_at = excluded.voted_at`,
		a.ID, press.Person, press.Verdict, reason, migrations.Micros(tx.Now()))
	if err != nil {
		return a, fmt.Errorf("store vote: %w", err)
	}
	if err := loadVotes(tx, &a); err != nil {
		return a, err
	}
	fields := map[string]string{ledger.FieldApproval: a.ID, "verdict": press.Verdict, "via": press.Via}
	if _, err := p.gate.ledger.Append(tx, ledger.Record{
		Workspace: a.Workspace, Kind: "approval.vote", Actor: press.Person, Requester: a.Requester, Turn: a.Turn, Channel: a.Channel, Thread: a.Thread, Tool: a.Tool,
		Fields: fields, Payload: map[string]string{"reason": reason},
	}); err != nil {
		return a, err
	}
	switch {
	case press.Verdict == VerdictDeny && press.Person == a.Requester:
		return p.end(tx, a, ApprovalWithdrawn, press.Person, "<@"+press.Person+"> took it back")
	case press.Verdict == VerdictDeny:
		return p.end(tx, a, ApprovalDenied, press.Person, reason)
	case len(a.Approved()) < a.Quorum:
		if p.Voted == nil {
			return a, nil
		}
		return a, p.Voted(tx, a)
	}
	if press.Hours > 0 {
		if err := p.grantThread(tx, a, press); err != nil {
			return a, err
		}
	}
	if press.Days > 0 {
		if err := p.grantDuty(tx, a, press); err != nil {
			return a, err
		}
	}
	return p.end(tx, a, ApprovalApproved, press.Person, reason)
}

// AdvanceForDuty reports whether the call can be approved for all runs of the
// duty that asks: it is one person's to decide, nothing leaves the organisation or
// a circle of readers with it, and each of its arguments can be held to exactly.
func (a Approval) AdvanceForDuty() bool {
	if a.Duty == "" || a.Quorum > 1 || a.Flows() || a.Class == ClassExternal {
		return false
	}
	_, err := exactly(a.Args)
	return err == nil
}

// exactly are the rules that only the very same arguments meet.
func exactly(args string) ([]policy.ArgRule, error) {
	var members map[string]any
	d := json.NewDecoder(strings.NewReader(args))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		return nil, fmt.Errorf("read arguments: %w", err)
	}
	names := slices.Sorted(maps.Keys(members))
	rules := []policy.ArgRule{{Name: "*", Only: names}}
	if len(names) == 0 || len(names) > 15 {
		return nil, fmt.Errorf("%d arguments cannot be held to", len(names))
	}
	for _, name := range names {
		switch v := members[name].(type) {
		case string:
			rules = append(rules, policy.ArgRule{Name: name, Equals: &v})
		case bool:
			word := strconv.FormatBool(v)
			rules = append(rules, policy.ArgRule{Name: name, Equals: &word})
		case json.Number:
			f, err := v.Float64()
			if err != nil || strings.Contains(name, ".") {
				return nil, fmt.Errorf("argument %s cannot be held to", name)
			}
			rules = append(rules, policy.ArgRule{Name: name, Min: &f, Max: &f})
		default:
			return nil, fmt.Errorf("argument %s is neither a text nor a number", name)
		}
		if strings.Contains(name, ".") {
			return nil, fmt.Errorf("the name of argument %s has a dot", name)
		}
	}
	return rules, nil
}

// grantDuty lets the duty that asks do the very same in its runs without asking,
// for some days, whoever owns it then.
func (p *Approvals) grantDuty(tx *migrations.Tx, a Approval, press Press) error {
	rules, err := exactly(a.Args)
	if err != nil {
		return fmt.Errorf("grant for the duty: %w", err)
	}
	_, err = p.Grant(tx, press.Person, policy.Grant{
		Workspace: a.Workspace, Effect: Allow, Tools: []string{a.Tool}, Scope: "channel:" + a.Channel, Duty: a.Duty, Who: []string{policy.Owner}, Args: rules,
		ExpiresAt:     tx.Now().Add(time.Duration(press.Days) * 24 * time.Hour),
		Justification: fmt.Sprintf("approved in advance for the duty %s for %s (%s)", a.Duty, wordDuration(time.Duration(press.Days)*24*time.Hour), a.ID),
	})
	if err != nil {
		return fmt.Errorf("grant for the duty: %w", err)
	}
	return nil
}

// grantThread lets the tool be used without asking for some hours, by who asked,
// in the thread where it was asked.
func (p *Approvals) grantThread(tx *migrations.Tx, a Approval, press Press) error {
	_, err := p.Grant(tx, press.Person, policy.Grant{
		Workspace: a.Workspace, Effect: Allow, Tools: []string{a.Tool}, Scope: "channel:" + a.Channel, Thread: a.Thread, Who: []string{"user:" + a.Requester},
		ExpiresAt:     tx.Now().Add(time.Duration(press.Hours) * time.Hour),
		Justification: fmt.Sprintf("approved for this thread for %s (%s)", wordDuration(time.Duration(press.Hours)*time.Hour), a.ID),
	})
	if err != nil {
		return fmt.Errorf("grant for the thread: %w", err)
	}
	return nil
}

// setNow is the hash of the rules that have a say on the tool of an approval, as
// they are now.
func (g *Gate) setNow(ctx context.Context, a Approval) (string, error) {
	d, err := g.policy.Decide(ctx, Action{
		Key: a.Call, Workspace: a.Workspace, Turn: a.Turn, Cause: a.Cause, Requester: a.Requester, RequesterKind: a.RequesterKind,
		Channel: a.Channel, ChannelKind: a.ChannelKind, Thread: a.Thread, Target: a.Target, Tool: a.Tool, Connection: a.Connection, Class: a.Class, Args: []byte(a.Args),
		Duty: a.Duty,
	})
	return d.Set, err
}
