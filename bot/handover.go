package bot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"deskmate/identity"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/handoff"
)

// Handover has work handed over as people ask for it: it looks up in Slack who
// they are and what they may see, and shows them offers, plans and lapses.
type Handover struct {
	DB       *migrations.DB
	Handoffs *handoff.Handoffs
	Duties   *scheduler.Scheduler
	People   *Directory
	Memory   *memory.Memory
	Briefer  *Briefer // words briefs; nil: they stand in the words of their messages
	Agents   *identity.Agents
	Outbox   *Outbox
	Notices  *Notices
	Bot      func(workspace string) string // the agent's own user id
	Home     string                        // address of the workspace
	Logger   zerolog.Logger
}

// Join has the handoffs tell people through h.
func (h *Handover) Join() {
	h.Tell()
	h.Handoffs.Present, h.Handoffs.Hidden, h.Handoffs.Sees = h.present, h.Hidden, h.Sees
}

// Tell is Join for commands, which reach no Slack: what follows from a change is
// owed to people, and sent by the server.
func (h *Handover) Tell() {
	h.Handoffs.Told, h.Handoffs.Asked, h.Handoffs.Planned = h.told, h.asked, h.planned
}

// Sponsors are the sponsors of the agent who are there, for handoff.Handoffs.
func Sponsors(tx *migrations.Tx, workspace string) ([]string, error) {
	s, err := identity.SponsorshipOf(tx, workspace)
	return s.Active(), err
}

// Who is somebody as Slack says now.
func (h *Handover) Who(ctx context.Context, workspace, person string) (handoff.Person, error) {
	s, err := h.People.Standing(ctx, workspace, person, nil)
	if err != nil {
		return handoff.Person{}, fmt.Errorf("look up %s: %w", person, err)
	}
	agent, err := h.Agents.Get(ctx, workspace)
	if err != nil {
		return handoff.Person{}, err
	}
	p := handoff.Person{ID: person, Member: s.Active && s.Kind == KindMember && person != agent.User}
	p.Governs = p.Member && (s.Admin || agent.SponsoredBy(person))
	return p, nil
}

// Wish is what somebody wants handed over.
type Wish struct {
	Workspace, From, To, Reason, Via, Request string
	Asker                                     string
	Items                                     []handoff.Ref // nil: everything of From's
	Only                                      string        // duty or thread: of everything only these
}

// Offer offers what is wished. What cannot be offered is named, with why.
func (h *Handover) Offer(ctx context.Context, w Wish) (handoff.Handoff, []handoff.Left, error) {
	asker, err := h.Who(ctx, w.Workspace, w.Asker)
	if err != nil {
		return handoff.Handoff{}, nil, err
	}
	to, err := h.Who(ctx, w.Workspace, w.To)
	if err != nil {
		return handoff.Handoff{}, nil, err
	}
	items := w.Items
	if items == nil {
		all, err := h.Handoffs.Owned(ctx, w.Workspace, w.From)
		if err != nil {
			return handoff.Handoff{}, nil, err
		}
		for _, r := range all {
			if w.Only == "" || r.Kind == w.Only {
				items = append(items, r)
			}
		}
	}
	hidden, err := h.hidden(ctx, w.Workspace, w.To, w.Asker == w.From, items)
	if err != nil {
		return handoff.Handoff{}, nil, err
	}
	return h.Handoffs.Offer(ctx, handoff.Offer{
		Workspace: w.Workspace, From: w.From, To: to, Asker: asker, Items: items, Hidden: hidden, Reason: w.Reason, Via: w.Via, Request: w.Request,
	})
}

// Hidden says which of the items a person may not have, and why.
func (h *Handover) Hidden(ctx context.Context, workspace, person string, refs []handoff.Ref) (map[handoff.Ref]string, error) {
	return h.hidden(ctx, workspace, person, false, refs)
}

// hidden is Hidden; own tells that the old owner hands over themself. Only they can
// hand over what reports to their direct message: it moves to the new owner's.
func (h *Handover) hidden(ctx context.Context, workspace, person string, own bool, refs []handoff.Ref) (map[handoff.Ref]string, error) {
	eyes := h.eyes(workspace, person)
	out := map[handoff.Ref]string{}
	for _, r := range refs {
		places, err := h.places(ctx, r)
		if errors.Is(err, scheduler.ErrNoDuty) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, c := range places {
			if strings.HasPrefix(c, "D") {
				if !own {
					out[r] = "it reports to the direct message of its owner, and only they can hand that over"
				}
				continue
			}
			ok, err := eyes.see(ctx, c)
			if err != nil {
				return nil, err
			}
			if !ok {
				out[r] = "it is in a place that <@" + person + "> cannot see: somebody who is there can take it, or invite them first"
			}
		}
	}
	return out, nil
}

// Sees says which of the items a person may see, words included, as Slack says now.
func (h *Handover) Sees(ctx context.Context, workspace, person string, refs []handoff.Ref) (map[handoff.Ref]bool, error) {
	out := map[handoff.Ref]bool{}
	if person == "" || person[0] != 'U' && person[0] != 'W' {
		return out, nil
	}
	eyes := h.eyes(workspace, person)
	for _, r := range refs {
		places, err := h.places(ctx, r)
		if errors.Is(err, scheduler.ErrNoDuty) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if r.Kind == handoff.KindDuty {
			d, err := h.Duties.Get(ctx, r.ID)
			if err != nil {
				return nil, err
			}
			places = append(places, d.Label.Channels...)
		}
		if out[r], err = eyes.all(ctx, places); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// places are the channels that the owner of an item must be able to see.
func (h *Handover) places(ctx context.Context, r handoff.Ref) ([]string, error) {
	if r.Kind == handoff.KindThread {
		channel, _ := r.Thread()
		return []string{channel}, nil
	}
	d, err := h.Duties.Get(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return dutyPlaces(d), nil
}

func dutyPlaces(d scheduler.Duty) []string {
	if d.Trigger.Channel != "" && d.Trigger.Channel != d.Channel {
		return []string{d.Channel, d.Trigger.Channel}
	}
	return []string{d.Channel}
}

// eyes are those of one person, for as long as one question takes: Slack is asked
// once for each place.
type eyes struct {
	people            *Directory
	workspace, person string
	seen              map[string]bool
	worded            int // briefs that a model was asked for
}

func (h *Handover) eyes(workspace, person string) *eyes {
	return &eyes{people: h.People, workspace: workspace, person: person, seen: map[string]bool{}}
}

// see reports whether the person, a full member, may see a place as Slack says now.
func (e *eyes) see(ctx context.Context, channel string) (bool, error) {
	if ok, known := e.seen[channel]; known {
		return ok, nil
	}
	ok, err := e.look(ctx, channel)
	if err != nil {
		return false, fmt.Errorf("look whether %s sees %s: %w", e.person, channel, err)
	}
	e.seen[channel] = ok
	return ok, nil
}

func (e *eyes) look(ctx context.Context, channel string) (bool, error) {
	if channel == "" || channel[0] != 'C' && channel[0] != 'D' && channel[0] != 'G' {
		return false, nil // more places than a label holds
	}
	c, err := e.people.roster.channel(ctx, channel)
	switch {
	case isRefusal(err):
		return false, nil
	case err != nil:
		return false, err
	case c.Kind == ChannelPublic:
		return true, nil
	case c.Kind == ChannelDirect:
		return c.With == e.person, nil
	}
	in, err := e.people.IsIn(ctx, channel, e.person)
	if isRefusal(err) {
		return false, nil
	}
	return in, err
}

// all reports whether the person sees all the places.
func (e *eyes) all(ctx context.Context, channels []string) (bool, error) {
	for _, c := range channels {
		if ok, err := e.see(ctx, c); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// Accept takes items for the new owner; nil means all. With rest, what is not among
// them is declined, for the reason.
func (h *Handover) Accept(ctx context.Context, workspace, id, person string, items []handoff.Ref, rest bool, reason, via string) (handoff.Handoff, error) {
	a, o, err := h.answer(ctx, workspace, id, person, via)
	if err != nil {
		return handoff.Handoff{}, err
	}
	a.Items, a.Rest, a.Reason = items, rest, reason
	if person == o.To && a.Who.Member { // who may not answer has nothing looked up for them
		var refs []handoff.Ref
		for _, i := range o.Of(handoff.StateOffered) {
			refs = append(refs, i.Ref)
		}
		if a.Hidden, err = h.hidden(ctx, workspace, person, o.AskedBy == o.From, refs); err != nil {
			return o, err
		}
		if a.Move, err = h.People.Direct(ctx, workspace, person); isRefusal(err) {
			a.Move = ""
		} else if err != nil {
			return o, err
		}
	}
	return h.Handoffs.Accept(ctx, a)
}

// Decline and Withdraw answer for a person, who is looked up now.
func (h *Handover) Decline(ctx context.Context, workspace, id, person, reason, via string) (handoff.Handoff, error) {
	a, _, err := h.answer(ctx, workspace, id, person, via)
	if err != nil {
		return handoff.Handoff{}, err
	}
	a.Reason = reason
	return h.Handoffs.Decline(ctx, a)
}

// Withdraw takes an offer back.
func (h *Handover) Withdraw(ctx context.Context, workspace, id, person, reason, via string) (handoff.Handoff, error) {
	a, _, err := h.answer(ctx, workspace, id, person, via)
	if err != nil {
		return handoff.Handoff{}, err
	}
	a.Reason = reason
	return h.Handoffs.Withdraw(ctx, a)
}

func (h *Handover) answer(ctx context.Context, workspace, id, person, via string) (handoff.Answer, handoff.Handoff, error) {
	o, err := h.Handoffs.Get(ctx, workspace, id)
	if err != nil {
		return handoff.Answer{}, o, err
	}
	who, err := h.Who(ctx, workspace, person)
	return handoff.Answer{Workspace: workspace, ID: id, Who: who, Via: via}, o, err
}

// activeSpan is how far back somebody counts as active in a place.
const activeSpan = 30 * 24 * time.Hour

// Plan proposes who takes what of a person who leaves: for each duty and thread
// who was most active there lately and may see it, else the sponsor.
func (h *Handover) Plan(ctx context.Context, workspace, person, asker string, leaves time.Time, request string) (handoff.Plan, error) {
	who, err := h.Who(ctx, workspace, asker)
	if err != nil {
		return handoff.Plan{}, err
	}
	if asker != person && !who.Governs { // before anything is looked up for them
		return handoff.Plan{}, &handoff.RefusedError{Text: "Only <@" + person + ">, my sponsor or an admin of the workspace can plan who takes over from <@" + person + ">."}
	}
	owned, err := h.Handoffs.Owned(ctx, workspace, person)
	if err != nil {
		return handoff.Plan{}, err
	}
	if len(owned) == 0 {
		return handoff.Plan{}, &handoff.RefusedError{Text: "<@" + person + "> owns no duty and no open thread: nothing has to be handed over."}
	}
	p := handoff.Plan{Workspace: workspace, Person: person, LeavesAt: leaves}
	c := chooser{h: h, workspace: workspace, person: person, own: asker == person, members: map[string]bool{}, eyes: map[string]*eyes{}}
	err = h.DB.Read(ctx, func(tx *migrations.Tx) error {
		c.sponsors, err = Sponsors(tx, workspace)
		return err
	})
	if err != nil {
		return handoff.Plan{}, err
	}
	sees, err := h.Sees(ctx, workspace, asker, owned)
	if err != nil {
		return handoff.Plan{}, err
	}
	for _, r := range owned {
		to, why, err := c.choose(ctx, r)
		if err != nil {
			return handoff.Plan{}, err
		}
		p.Items = append(p.Items, handoff.PlanItem{Ref: r, To: to, Why: why, Seen: sees[r]})
	}
	return h.Handoffs.Propose(ctx, p, who, request)
}

// chooser proposes new owners; Slack is asked once for each person and place.
type chooser struct {
	h                 *Handover
	workspace, person string
	own               bool // the person plans themself
	sponsors          []string
	members           map[string]bool
	eyes              map[string]*eyes
}

func (c *chooser) choose(ctx context.Context, r handoff.Ref) (to, why string, err error) {
	places, err := c.h.places(ctx, r)
	if err != nil {
		return "", "", err
	}
	thread := ""
	channel := places[0]
	if r.Kind == handoff.KindThread {
		channel, thread = r.Thread()
	}
	busy, err := c.h.Memory.Active(ctx, c.workspace, channel, thread, c.h.DB.Now().Add(-activeSpan), 12)
	if err != nil {
		return "", "", err
	}
	for i, who := range append(busy, c.sponsors...) {
		ok, err := c.may(ctx, who, places)
		if err != nil {
			return "", "", err
		}
		if !ok {
			continue
		}
		if i >= len(busy) {
			return who, "sponsor", nil
		}
		return who, "most active there lately", nil
	}
	return "", "nobody whom I know may take it", nil
}

// may reports whether somebody can take what is in the places.
func (c *chooser) may(ctx context.Context, who string, places []string) (bool, error) {
	if who == c.person || who == c.h.Bot(c.workspace) || who == "" || who[0] != 'U' && who[0] != 'W' {
		return false, nil
	}
	member, known := c.members[who]
	if !known {
		p, err := c.h.Who(ctx, c.workspace, who)
		if err != nil {
			return false, err
		}
		member = p.Member
		c.members[who], c.eyes[who] = member, c.h.eyes(c.workspace, who)
	}
	if !member {
		return false, nil
	}
	for _, place := range places {
		if strings.HasPrefix(place, "D") {
			if !c.own {
				return false, nil
			}
			continue
		}
		if ok, err := c.eyes[who].see(ctx, place); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// Confirm makes the offers of a plan.
func (h *Handover) Confirm(ctx context.Context, workspace, id, person string) (handoff.Plan, []handoff.Handoff, []handoff.Left, error) {
	p, err := h.Handoffs.Plan(ctx, workspace, id)
	if err != nil {
		return p, nil, nil, err
	}
	who, err := h.Who(ctx, workspace, person)
	if err != nil {
		return p, nil, nil, err
	}
	takers, hidden := map[string]handoff.Person{}, map[string]map[handoff.Ref]string{}
	for _, to := range p.Takers() {
		if takers[to], err = h.Who(ctx, workspace, to); err != nil {
			return p, nil, nil, err
		}
		if hidden[to], err = h.hidden(ctx, workspace, to, person == p.Person, p.For(to)); err != nil {
			return p, nil, nil, err
		}
	}
	return h.Handoffs.Confirm(ctx, workspace, id, who, takers, hidden)
}
