package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"deskmate/identity/policy"
	"deskmate/migrations"
)

// Verdicts of a Decision.
const (
	Allow = policy.Allow
	Ask   = policy.Ask // only with a named human's approval
	Deny  = policy.Deny
)

// Decision is what policy says of an action.
type Decision = policy.Decision

// ErrUndecided marks an error of a Policy that may pass, such as a look-up that
// was not answered: nothing is done, and the action may be tried again.
var ErrUndecided = errors.New("it could not be decided whether this is allowed")

// Policy decides on actions. An error is a no; only one that is ErrUndecided is
// not the last word.
type Policy interface {
	Decide(ctx context.Context, a Action) (Decision, error)
}

// Booker is a Policy whose grants have limits: Book counts one use in the
// transaction of the intent. policy.ErrSpent means that the decision does not hold
// any more: nothing is done, and the action is decided anew.
type Booker interface {
	Book(tx *migrations.Tx, a Action, d Decision) error
}

// Kinds of requester that matter to the fixed policy.
const (
	kindMember = "member"
)

// FixedPolicy is the first policy: built-in tools, in channels the agent is in,
// and nothing else. Guests and outsiders get answers where they are, and read
// what is there; what changes anything is for full members.
type FixedPolicy struct {
	Tools   map[string]bool // that exist, by name
	Guests  map[string]bool // of those, what guests and outsiders may ask for
	Manners map[string]bool // of those, the agent's own: answers, status, progress
	// Channel tells the kind of a channel and whether the agent is in it. An error
	// is one that may pass.
	Channel func(ctx context.Context, workspace, channel string) (kind string, member bool, err error)
}

// Decide implements Policy.
func (p FixedPolicy) Decide(ctx context.Context, a Action) (Decision, error) {
	if !p.Tools[a.Tool] {
		return deny("known-tools", "it is not a tool of mine"), nil
	}
	here := a.target() == a.Channel
	if a.RequesterKind != kindMember && !p.Manners[a.Tool] {
		if !p.Guests[a.Tool] || !here {
			return deny("members-only", fmt.Sprintf("only full members of the workspace may ask for it, and a %s did", orOutsider(a.RequesterKind))), nil
		}
	}
	if isPerson(a.target()) {
		return allow("direct-messages"), nil
	}
	kind, member, err := p.Channel(ctx, a.Workspace, a.target())
	if err != nil {
		return Decision{}, fmt.Errorf("%w: look up channel %s: %w", ErrUndecided, a.target(), err)
	}
	if !member && !strings.HasPrefix(a.target(), "D") {
		return deny("own-channels", "I am not in <#"+a.target()+">; invite me there first"), nil
	}
	// What is private stays where it is: another place may only be read if
	// everybody may.
	if !here && a.Class == ClassRead && kind != "public" {
		return deny("private-stays", "what is said in a private or shared channel is not read out elsewhere"), nil
	}
	return allow("builtin-tools"), nil
}

func allow(policy string) Decision { return Decision{Verdict: Allow, Policies: []string{policy}} }

func deny(policy, why string) Decision {
	return Decision{Verdict: Deny, Policies: []string{policy}, Reasons: []string{why}}
}

func isPerson(id string) bool { return strings.HasPrefix(id, "U") || strings.HasPrefix(id, "W") }

func orOutsider(kind string) string {
	if kind == "" {
		return "person I do not know"
	}
	return kind
}
