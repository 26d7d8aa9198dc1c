package handlers

import (
	"context"
	"fmt"

	"deskmate/bot"
	"deskmate/identity"
)

// homeFew is how many entries of a section are shown before somebody asks for
// more.
const homeFew = 4

// drawn is a section with what it has to show.
type drawn struct {
	HomeSection
	items []HomeItem
}

// page is the whole Home of a visitor.
func (h *Home) page(ctx context.Context, v Visitor, s homeState) []bot.Block {
	top := homeTop(v, s.told)
	if v.Kind == bot.KindOutsider {
		return top
	}
	var all []drawn
	for _, section := range h.Sections {
		items, err := section.Show(ctx, v)
		if err != nil {
			h.Logger.Error().Err(err).Str("section", section.ID).Msg("section of a Home not shown")
			items = []HomeItem{{bot.Block{Note: "I could not look this up just now. Open this page again in a while."}}}
		}
		if len(items) > 0 {
			all = append(all, drawn{section, items})
		}
	}
	return layOut(top, all, s.more)
}

// homeTop says what the agent is, how it is, and what came of the last press.
func homeTop(v Visitor, told string) []bot.Block {
	what := "I am a member of this team with an account of my own, not anyone's assistant. Mention me where you work, and anyone in the thread can carry on."
	switch v.Kind {
	case bot.KindOutsider:
		what = "I am the agent of another organisation's workspace. I answer where a channel is shared with me; mention me there. I have nothing else to show you here."
	case bot.KindGuest:
		what += " As a guest you see here what concerns the channels that you are in."
	}
	name := v.Agent.Name
	if name == "" {
		name = "Hello"
	}
	top := []bot.Block{{Head: name}, {Text: what}}
	if v.Agent.State != identity.StateActive && v.Kind != bot.KindOutsider {
		top = append(top, bot.Block{Text: fmt.Sprintf("At present I am %s, by %s: %s", v.Agent.State, whoIs(v.Agent.ChangedBy), bot.EscapeText(v.Agent.Reason))})
	}
	if told != "" {
		top = append(top, bot.Block{Text: told})
	}
	return top
}

// whoIs names who did something: a person, or a part of the product.
func whoIs(id string) string {
	if named := mention(id); named != id {
		return named
	}
	return bot.EscapeText(id)
}

// layOut puts sections under each other within the number of blocks that Slack
// takes: a few entries of each, and of the one that somebody opened as many as fit.
func layOut(top []bot.Block, all []drawn, open string) []bot.Block {
	few := homeFew
	for few > 1 && size(top, all, few) > bot.MostBlocks {
		few--
	}
	left := bot.MostBlocks - size(top, all, few)
	out := top
	for _, d := range all {
		shown := min(few, len(d.items))
		if d.ID == open {
			for shown < len(d.items) && len(d.items[shown]) <= left {
				left -= len(d.items[shown])
				shown++
			}
		}
		part := []bot.Block{{Line: true}, {Head: d.Title}}
		for _, item := range d.items[:shown] {
			part = append(part, item...)
		}
		hidden := len(d.items) - shown
		switch {
		case d.ID == open && shown > few:
			part = append(part, bot.Block{Buttons: []bot.Button{{ID: homeLess, Text: "Show less", Value: d.ID}}})
			if hidden > 0 {
				part = append(part, bot.Block{Note: fmt.Sprintf("%d more do not fit here. %s", hidden, d.Rest)})
			}
		case hidden > 0:
			part = append(part, bot.Block{Buttons: []bot.Button{{ID: homeMore, Text: fmt.Sprintf("Show more (%d)", hidden), Value: d.ID}}})
		}
		if len(out)+len(part) > bot.MostBlocks { // more sections than a page can have
			return out
		}
		out = append(out, part...)
	}
	return out
}

// size is how many blocks a page has with at most few entries of each section, and
// what may have to stand under them.
func size(top []bot.Block, all []drawn, few int) int {
	n := len(top)
	for _, d := range all {
		n += 4
		for _, item := range d.items[:min(few, len(d.items))] {
			n += len(item)
		}
	}
	return n
}
