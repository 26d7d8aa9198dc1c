package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/handoff"
)

// Decide does what a person says about a lapse; nil items mean all that wait.
func (h *Handover) Decide(ctx context.Context, workspace, id, person, verdict string, items []handoff.Ref) error {
	who, err := h.Who(ctx, workspace, person)
	if err != nil {
		return err
	}
	l, err := h.Handoffs.Lapse(ctx, workspace, id)
	if err != nil {
		return err
	}
	direct := map[string]string{}
	if verdict == handoff.LapseDirect {
		for _, i := range l.Open() {
			if direct[i.Owner] != "" {
				continue
			}
			if direct[i.Owner], err = h.People.Direct(ctx, workspace, i.Owner); isRefusal(err) {
				delete(direct, i.Owner)
			} else if err != nil {
				return err
			}
		}
	}
	_, err = h.Handoffs.Decide(ctx, workspace, id, who, verdict, items, direct)
	return err
}

// HandLapsed offers items of a lapse to somebody, at the word of who was asked.
func (h *Handover) HandLapsed(ctx context.Context, workspace, id, person, to string, items []handoff.Ref, request string) (handoff.Handoff, []handoff.Left, error) {
	l, err := h.Handoffs.Lapse(ctx, workspace, id)
	if err != nil {
		return handoff.Handoff{}, nil, err
	}
	w := Wish{Workspace: workspace, To: to, Asker: person, Items: []handoff.Ref{}, Via: "card", Request: request, Reason: l.Words()}
	for _, i := range l.Open() {
		for _, r := range items {
			if r == i.Ref {
				w.Items = append(w.Items, r)
				w.From = i.Owner // what lapses together has one keeper
			}
		}
	}
	if len(w.Items) == 0 {
		return handoff.Handoff{}, nil, &handoff.RefusedError{Text: "Nothing of this waits any more."}
	}
	if to == person && to == w.From { // who keeps it takes it for good
		return handoff.Handoff{}, nil, h.Decide(ctx, workspace, id, person, handoff.LapseTake, w.Items)
	}
	return h.Offer(ctx, w)
}

// Name is an item in a few words for a viewer, without markup.
func (h *Handover) Name(ctx context.Context, workspace, viewer string, r handoff.Ref) (string, error) {
	eyes := h.eyes(workspace, viewer)
	places, err := h.places(ctx, r)
	if err != nil {
		return r.ID, nil // it has ended meanwhile
	}
	if r.Kind == handoff.KindThread {
		ok, err := eyes.all(ctx, places)
		if err != nil || !ok {
			return "a thread that you may not see", err
		}
		return h.threadName(ctx, workspace, viewer, r)
	}
	d, err := h.Duties.Get(ctx, r.ID)
	if err != nil {
		return "", err
	}
	if ok, err := eyes.all(ctx, append(places, d.Label.Channels...)); err != nil || !ok {
		return r.ID + ", which you may not see", err
	}
	return clip(r.ID+" "+strings.Join(strings.Fields(d.Title), " "), 75), nil
}

// threadName is a thread by its channel and how it began.
func (h *Handover) threadName(ctx context.Context, workspace, viewer string, r handoff.Ref) (string, error) {
	channel, ts := r.Thread()
	c, err := h.People.Channel(ctx, workspace, channel)
	if err != nil {
		return "", err
	}
	name := "thread in #" + c.Name + " of " + tsTime(ts).Format("2 January")
	p, err := h.People.ReadingPlace(ctx, workspace, channel, c.Kind, viewer, "")
	if err != nil {
		return "", err
	}
	b, err := h.Memory.BriefThread(ctx, p, channel, ts)
	if errors.Is(err, memory.ErrNotFound) {
		return name, nil
	}
	if err != nil {
		return "", err
	}
	return clip("#"+c.Name+": "+strings.Join(strings.Fields(Plain(b.Goal.Text, h.Bot(workspace))), " "), 75), nil
}

// LookAtPerson does what follows from what an owner is now, as Slack says: whether
// they are here and a full member, and whether they still see the places of their
// duties.
func (h *Handover) LookAtPerson(ctx context.Context, workspace, person string) error {
	who, err := h.Who(ctx, workspace, person)
	if err != nil {
		return err
	}
	if !who.Member {
		s, err := h.People.Standing(ctx, workspace, person, nil)
		if err != nil {
			return err
		}
		cause := handoff.CauseGuest
		if !s.Active {
			cause = handoff.CauseGone
		}
		return h.Handoffs.OwnerGone(ctx, workspace, person, cause)
	}
	owned, err := h.Handoffs.Owned(ctx, workspace, person)
	if err != nil {
		return err
	}
	eyes := h.eyes(workspace, person)
	var lost []handoff.Ref
	for _, r := range owned {
		if r.Kind != handoff.KindDuty {
			continue
		}
		places, err := h.places(ctx, r)
		if err != nil {
			continue // it has ended meanwhile
		}
		for _, c := range places {
			gone, err := h.placeGone(ctx, c)
			if err != nil {
				return err
			}
			ok, err := eyes.see(ctx, c)
			if err != nil {
				return err
			}
			if gone == "" && !ok { // a place that is gone is told of by itself
				lost = append(lost, r)
				break
			}
		}
	}
	if len(lost) == 0 {
		return h.Handoffs.OwnerBack(ctx, workspace, person)
	}
	err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
		sponsors, err := Sponsors(tx, workspace)
		if err != nil {
			return err
		}
		_, err = h.Handoffs.LapseTx(tx, workspace, handoff.CauseLeft, person, append([]string{person}, without(sponsors, person)...), lost, func(handoff.Ref) bool { return true })
		return err
	})
	if err != nil {
		return fmt.Errorf("ask about duties of %s: %w", person, err)
	}
	return nil
}

// LookAtChannel does what follows from what a channel is now: a place that is gone
// has its duties paused and people asked, one that is back lets them run.
func (h *Handover) LookAtChannel(ctx context.Context, workspace, channel string) error {
	cause, err := h.placeGone(ctx, channel)
	if err != nil {
		return err
	}
	if cause == "" {
		return h.Handoffs.PlaceBack(ctx, workspace, channel)
	}
	return h.Handoffs.PlaceGone(ctx, workspace, channel, cause)
}

// placeGone says why the agent can do nothing in a channel any more, "" if it can.
func (h *Handover) placeGone(ctx context.Context, channel string) (string, error) {
	c, err := h.People.roster.channel(ctx, channel)
	switch {
	case isRefusal(err, "channel_not_found"):
		return handoff.CauseDeleted, nil
	case isRefusal(err):
		return "", nil // about what the app may ask, not about the channel
	case err != nil:
		return "", fmt.Errorf("look up channel %s: %w", channel, err)
	case c.IsArchived:
		return handoff.CauseArchived, nil
	case !c.IsMember:
		return handoff.CauseRemoved, nil
	}
	return "", nil
}

func without(all []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == one })
}

// Left tells an owner who left a public channel what they still own there: nothing
// changes by it.
func (h *Handover) Left(ctx context.Context, c Change) error {
	kind, err := h.People.ChannelKind(ctx, c.Workspace, c.Channel)
	if isRefusal(err) || err == nil && kind != ChannelPublic {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up channel %s: %w", c.Channel, err)
	}
	all, err := h.Duties.List(ctx, scheduler.Filter{Workspace: c.Workspace, Channel: c.Channel, Owner: c.User})
	if err != nil || len(all) == 0 {
		return err
	}
	text := fmt.Sprintf("You have left <#%s>. You still own what I do there:", c.Channel)
	for _, d := range all {
		text += fmt.Sprintf("\n- `%s` %s", d.ID, harmlessWords(d.Title))
	}
	text += "\nHand it to somebody with `/deskmate handoff offer d_… to @somebody`, if you like."
	err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
		return h.Outbox.Queue(tx, Post{Workspace: c.Workspace, Channel: c.User, ChannelKind: ChannelDirect, Key: "handoff:left:" + c.Channel + ":" + c.User + ":" + first(c.EventID, c.At.String()),
			Text: text, Ours: true, Requester: c.User, Tool: ToolCard, Cause: c.EventID})
	})
	if err != nil {
		return fmt.Errorf("tell %s what they own: %w", c.User, err)
	}
	return nil
}
