package bot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/handoff"
)

// briefRuns is how many runs of a duty a brief tells of.
const briefRuns = 5

// present makes what the new owner is shown of an offer: the brief of each item,
// for them as its reader, and a card to answer with. Both go to their direct
// message; what they may not see is left out there.
func (h *Handover) present(ctx context.Context, o handoff.Handoff) (handoff.Presenting, error) {
	to, err := h.Who(ctx, o.Workspace, o.To)
	if err != nil {
		return handoff.Presenting{}, err
	}
	var refs []handoff.Ref
	for _, i := range o.Of(handoff.StateOffered) {
		refs = append(refs, i.Ref)
	}
	out := handoff.Presenting{Items: map[handoff.Ref]handoff.Item{}}
	if !to.Member {
		out.Hidden = map[handoff.Ref]string{}
		for _, r := range refs {
			out.Hidden[r] = "<@" + o.To + "> is no active full member of this workspace"
		}
		out.Queue = func(*migrations.Tx, handoff.Handoff) error { return nil }
		return out, nil
	}
	if out.Hidden, err = h.hidden(ctx, o.Workspace, o.To, o.AskedBy == o.From, refs); err != nil {
		return out, err
	}
	eyes := h.eyes(o.Workspace, o.To)
	var text strings.Builder
	var labels []label.Label
	key := "handoff:" + o.ID + ":brief"
	for _, r := range refs {
		if out.Hidden[r] != "" {
			continue
		}
		said, from, leftOut, err := h.brief(ctx, o, r, eyes)
		if err != nil {
			return out, err
		}
		// The same question that the gate asks of the post, for each item by itself: one
		// that may not be told does not take the others with it.
		if ok, err := eyes.all(ctx, from.Channels); err != nil {
			return out, err
		} else if !ok {
			said, from, leftOut = "**"+r.ID+"**: no brief, because it would show what you may not see.\n", label.Label{}, true
		}
		if leftOut {
			said += "_Something was left out here: you may not see it._\n"
		}
		text.WriteString(said + "\n")
		labels = append(labels, from)
		out.Items[r] = handoff.Item{Brief: key, Label: from, LeftOut: leftOut}
	}
	brief := Post{
		Workspace: o.Workspace, Channel: o.To, ChannelKind: ChannelDirect, Key: key, Text: h.named(ctx, o.Workspace, "What <@"+o.From+"> hands over to you:\n\n"+text.String()),
		Requester: o.To, RequesterKind: KindMember, Tool: ToolCard, Label: label.Join(labels...), Cause: key,
	}
	out.Queue = func(tx *migrations.Tx, o handoff.Handoff) error {
		if err := h.Outbox.Queue(tx, brief); err != nil {
			return err
		}
		card, err := h.offerCard(tx, o)
		if err != nil {
			return err
		}
		return h.Outbox.Queue(tx, h.card(o.Workspace, o.To, offerCardKey(o.ID), offerText(o), card))
	}
	return out, nil
}

var personMention = regexp.MustCompile(`<@([UW][A-Z0-9]+)(?:\|[^>]*)?>`)

// named is a text in which people are called by name: a brief notifies nobody.
func (h *Handover) named(ctx context.Context, workspace, text string) string {
	return personMention.ReplaceAllStringFunc(text, func(m string) string {
		p, err := h.People.Person(ctx, workspace, personMention.FindStringSubmatch(m)[1])
		if err != nil || p.Name == "" {
			return m
		}
		return "@" + p.Name
	})
}

// card is a card for one person, by direct message.
func (h *Handover) card(workspace, person, key, text string, c Card) Post {
	return Post{Workspace: workspace, Channel: person, ChannelKind: ChannelDirect, Key: key, Text: text, Ours: true, Card: &c, Requester: person, Tool: ToolCard, Cause: key}
}

// brief words one item for its new owner.
func (h *Handover) brief(ctx context.Context, o handoff.Handoff, r handoff.Ref, eyes *eyes) (said string, from label.Label, leftOut bool, err error) {
	if r.Kind == handoff.KindThread {
		channel, ts := r.Thread()
		text, from, left, err := h.briefThread(ctx, o, channel, ts, eyes)
		return fmt.Sprintf("**Thread in <#%s>**, %s\n%s", channel, PermalinkOf(h.Home, channel, ts, ""), text), from, left, err
	}
	d, err := h.Duties.Get(ctx, r.ID)
	if errors.Is(err, scheduler.ErrNoDuty) {
		return "**" + r.ID + "**: it has ended.\n", from, false, nil
	}
	if err != nil {
		return "", from, false, err
	}
	runs, err := h.Duties.Runs(ctx, d.ID, briefRuns)
	if err != nil {
		return "", from, false, err
	}
	own := label.Label{}
	for _, c := range dutyPlaces(d) {
		if strings.HasPrefix(c, "D") {
			continue // the old owner's own words, which they hand over themself
		}
		kind, err := h.People.ChannelKind(ctx, o.Workspace, c)
		if err != nil && !isRefusal(err) {
			return "", from, false, err
		}
		own = label.Join(own, label.Of(c, first(kind, ChannelPrivate)))
	}
	words, err := eyes.all(ctx, d.Label.Channels)
	if err != nil {
		return "", from, false, err
	}
	var s strings.Builder
	if words {
		from = label.Join(own, d.Label)
		fmt.Fprintf(&s, "**%s** (`%s`), %s\n- To do: %s\n", oneLineOf(d.Title), d.ID, d.When, oneLineOf(d.Prompt))
	} else {
		from, leftOut = own, true
		fmt.Fprintf(&s, "**A duty** (`%s`), %s\n- To do: its words come from a place that you may not see. Ask <@%s>, or say anew what it is to do.\n", d.ID, d.When, o.From)
	}
	where := "<#" + d.Channel + ">"
	if strings.HasPrefix(d.Channel, "D") {
		where = "your direct message with me, once you accept"
	}
	fmt.Fprintf(&s, "- Reports to %s; made by <@%s> on %s\n", where, d.CreatedBy, d.CreatedAt.Format("2006-01-02"))
	if !d.NextAt.IsZero() && d.State == scheduler.StateActive {
		fmt.Fprintf(&s, "- Next: %s\n", inZone(d.NextAt, d.Schedule.TZ))
	}
	if d.State == scheduler.StatePaused {
		fmt.Fprintf(&s, "- Paused%s\n", because(d.PausedWhy))
	}
	if len(runs) > 0 {
		var all []string
		for _, x := range runs {
			all = append(all, inZone(x.DueAt, d.Schedule.TZ)+" "+x.State)
		}
		fmt.Fprintf(&s, "- Done lately: %s\n", strings.Join(all, "; "))
	}
	if d.Kind == scheduler.KindFollow {
		text, more, left, err := h.briefThread(ctx, o, d.Trigger.Channel, d.Trigger.Thread, eyes)
		if err != nil {
			return "", from, leftOut, err
		}
		s.WriteString(text)
		from, leftOut = label.Join(from, more), leftOut || left
	}
	return s.String(), from, leftOut, nil
}

// mostWorded bounds how many threads of one offer a model words; the others stand
// in the words of their messages.
const mostWorded = 10

// briefThread words where a thread stands, for the new owner, who may see its
// channel.
func (h *Handover) briefThread(ctx context.Context, o handoff.Handoff, channel, ts string, eyes *eyes) (said string, from label.Label, leftOut bool, err error) {
	kind, err := h.People.ChannelKind(ctx, o.Workspace, channel)
	if err != nil {
		return "", label.Label{}, false, err
	}
	p, err := h.People.ReadingPlace(ctx, o.Workspace, channel, kind, o.To, "")
	if err != nil {
		return "", label.Label{}, false, err
	}
	b, err := h.Memory.BriefThread(ctx, p, channel, ts)
	if errors.Is(err, memory.ErrNotFound) {
		return "Nothing of it is remembered: read it there.\n", label.Label{}, false, nil
	}
	if err != nil {
		return "", label.Label{}, false, err
	}
	if h.Briefer != nil && eyes.worded < mostWorded {
		eyes.worded++
		out, err := h.Briefer.Thread(ctx, Reading{Place: p}, channel, ts)
		return out.Text, label.Join(out.Label, label.Of(channel, kind)), out.LeftOut, err
	}
	if said, err = h.Memory.Say(ctx, o.Workspace, b); err != nil {
		return "", label.Label{}, false, err
	}
	from, err = h.People.hits(ctx, o.Workspace, b.Sources())
	return said, label.Join(from, label.Of(channel, kind)), b.LeftOut, err
}

func inZone(at time.Time, zone string) string {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		loc = time.UTC
	}
	return at.In(loc).Format("Mon 2 Jan 15:04 MST")
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// oneLineOf is a text of people's in one line, short.
func oneLineOf(s string) string { return clip(strings.Join(strings.Fields(s), " "), 400) }
