package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deskmate/identity/policy"
	"deskmate/migrations"
)

// Places tells what policy has to know about channels and people. What it says
// may be some minutes old, but for changes that Slack has told of.
type Places interface {
	// Place is kind and name of a channel, and whether the agent is in it. A channel
	// that Slack does not show to the agent is one that it is not in.
	Place(ctx context.Context, workspace, channel string) (kind, name string, member bool, err error)
	// Groups are the ids of the user groups that somebody is in.
	Groups(ctx context.Context, workspace, person string) ([]string, error)
}

// Access is the Policy that goes by the grants.
type Access struct {
	Engine *policy.Engine
	Places Places
	Clock  func() time.Time
}

// Decide implements Policy. What cannot be looked up now is ErrUndecided.
func (p Access) Decide(ctx context.Context, a Action) (Decision, error) {
	r, err := p.request(ctx, a)
	if err != nil {
		return Decision{}, err
	}
	return p.Engine.Decide(ctx, r), nil
}

// Book implements Booker.
func (p Access) Book(tx *migrations.Tx, a Action, d Decision) error {
	return p.Engine.Book(tx, p.plain(a), d)
}

// plain is the request without what has to be looked up.
func (p Access) plain(a Action) policy.Request {
	target := a.target()
	r := policy.Request{
		Workspace: a.Workspace, Tool: a.Tool, Connection: a.Connection, Class: string(a.Class), Requester: a.Requester, RequesterKind: a.RequesterKind,
		Owner: a.Owner, Duty: a.Duty, Channel: a.Channel, ChannelKind: a.ChannelKind, Thread: a.Thread, Target: target, Args: a.args(), At: p.Clock(),
		Manners: a.Manners && target == a.Channel,
	}
	return r
}

func (p Access) request(ctx context.Context, a Action) (policy.Request, error) {
	r := p.plain(a)
	undecided := func(what string, err error) (policy.Request, error) {
		return r, fmt.Errorf("%w: look up %s: %w", ErrUndecided, what, err)
	}
	var err error
	var member bool
	if !isPerson(a.Channel) {
		if r.ChannelKind, r.ChannelName, member, err = p.Places.Place(ctx, a.Workspace, a.Channel); err != nil {
			return undecided("channel "+a.Channel, err)
		}
		if r.ChannelKind == "" {
			r.ChannelKind = a.ChannelKind
		}
	}
	switch {
	case isPerson(r.Target):
		r.TargetKind, r.TargetMember = "person", true
	case r.Target == a.Channel:
		r.TargetKind, r.TargetMember = r.ChannelKind, member
	default:
		if r.TargetKind, _, r.TargetMember, err = p.Places.Place(ctx, a.Workspace, r.Target); err != nil {
			return undecided("channel "+r.Target, err)
		}
	}
	if !r.Manners {
		if r.Groups, err = p.Places.Groups(ctx, a.Workspace, a.Requester); err != nil {
			return undecided("user groups of "+a.Requester, err)
		}
	}
	return r, nil
}

// Explain says how the action would be decided, by every rule that has a say.
func (p Access) Explain(ctx context.Context, a Action) (policy.Explanation, error) {
	r, err := p.request(ctx, a)
	if errors.Is(err, ErrUndecided) {
		return policy.Explanation{}, err
	}
	return p.Engine.Explain(ctx, r), err
}

// Offers reports whether some grant could let the action through, whatever its
// arguments: only such tools are offered to a model. It decides nothing.
func (p Access) Offers(ctx context.Context, a Action) (bool, error) {
	r, err := p.request(ctx, a)
	if err != nil {
		return false, err
	}
	return p.Engine.Offers(ctx, r), nil
}
