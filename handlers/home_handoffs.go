package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"deskmate/bot"
	"deskmate/scheduler/handoff"
)

// mostNamed bounds how many items of a handoff stand in a Home by name.
const mostNamed = 8

// Handoffs shows what is offered to a person, and what they have offered.
func (h *Home) Handoffs(over *bot.Handover) HomeSection {
	return HomeSection{ID: "handoffs", Title: "Handoffs", Rest: "`/deskmate handoff list` lists them.",
		Show: func(ctx context.Context, v Visitor) ([]HomeItem, error) {
			all, err := over.Handoffs.List(ctx, handoff.Filter{Workspace: v.Workspace, Person: v.ID, Open: true})
			if err != nil {
				return nil, err
			}
			var items []HomeItem
			for _, o := range all {
				item, err := handoffItem(ctx, over, o, v)
				if err != nil {
					return nil, err
				}
				items = append(items, item)
			}
			return items, nil
		},
		Press: map[string]func(context.Context, Visitor, bot.Action) (string, error){
			"home_handoff_take": func(ctx context.Context, v Visitor, a bot.Action) (string, error) {
				o, err := over.Accept(ctx, v.Workspace, a.Value, v.ID, nil, false, "", "home")
				return fmt.Sprintf("You now own %s that <@%s> handed over.", count(int64(o.Count(handoff.StateAccepted)), "item"), o.From), refusedHandoff(err)
			},
			"home_handoff_withdraw": func(ctx context.Context, v Visitor, a bot.Action) (string, error) {
				o, err := over.Withdraw(ctx, v.Workspace, a.Value, v.ID, "", "home")
				return fmt.Sprintf("Withdrawn: your offer to <@%s>.", o.To), refusedHandoff(err)
			},
		}}
}

// refusedHandoff words a refusal for who pressed.
func refusedHandoff(err error) error {
	var no *handoff.RefusedError
	switch {
	case errors.As(err, &no):
		return sorryf("%s", no.Text)
	case errors.Is(err, handoff.ErrNone):
		return sorryf("I do not know this handoff (any more).")
	}
	return err
}

func handoffItem(ctx context.Context, over *bot.Handover, o handoff.Handoff, v Visitor) (HomeItem, error) {
	what := count(int64(o.Count(handoff.StateOffered)), "item")
	text := fmt.Sprintf("<@%s> offers you *%s*", o.From, what)
	buttons := []bot.Button{{ID: "home_handoff_take", Text: "Accept all", Value: o.ID, Style: "primary",
		Confirm: "You answer for them from then on. To take a part, or to decline, use the card in our direct messages."}}
	if o.To != v.ID {
		text = fmt.Sprintf("You offered *%s* to <@%s>", what, o.To)
		if o.From != v.ID {
			text = fmt.Sprintf("*%s* of <@%s>, offered to <@%s> at your word", what, o.From, o.To)
		}
		buttons = []bot.Button{{ID: "home_handoff_withdraw", Text: "Withdraw", Value: o.ID, Style: "danger"}}
	}
	if o.Reason != "" {
		text += ": " + bot.EscapeText(o.Reason)
	}
	var lines []string
	for n, i := range o.Of(handoff.StateOffered) {
		if n == mostNamed {
			lines = append(lines, "…")
			break
		}
		name, err := over.Name(ctx, v.Workspace, v.ID, i.Ref)
		if err != nil {
			return nil, err
		}
		lines = append(lines, "• "+bot.EscapeText(name))
	}
	return HomeItem{{Text: text}, {Note: strings.Join(lines, "\n") + "\n" + o.ID + " · until " + bot.TimeOf(o.ExpiresAt)}, {Buttons: buttons}}, nil
}

// Unowned shows those who govern the agent what waits for an owner.
func (h *Home) Unowned(over *bot.Handover) HomeSection {
	return HomeSection{ID: "unowned", Title: "Needs an owner", Rest: "`/deskmate handoff unowned` lists it.",
		Show: func(ctx context.Context, v Visitor) ([]HomeItem, error) {
			lapses, err := over.Handoffs.Lapses(ctx, v.Workspace)
			if err != nil {
				return nil, err
			}
			governs := v.Admin || v.Sponsor
			var items []HomeItem
			for _, l := range lapses {
				if l.State != "open" || !governs && !slices.Contains(l.Asked, v.ID) {
					continue
				}
				text := fmt.Sprintf("*%s*: %s. I have asked %s.", count(int64(len(l.Items)), "item"), l.Words(), askedWords(l.Asked))
				items = append(items, HomeItem{{Text: text}, {Note: l.ID + " · decide on the card in our direct messages"}})
			}
			if !governs {
				return items, nil
			}
			orphans, err := over.Handoffs.Unowned(ctx, v.Workspace)
			if err != nil {
				return nil, err
			}
			for _, o := range orphans {
				name, err := over.Name(ctx, v.Workspace, v.ID, o.Ref)
				if err != nil {
					return nil, err
				}
				items = append(items, HomeItem{{Text: fmt.Sprintf("%s: its owner <@%s> %s", bot.EscapeText(name), o.Owner, o.Why)}})
			}
			return items, nil
		}}
}

func askedWords(people []string) string {
	if len(people) == 0 {
		return "the admins"
	}
	all := make([]string, len(people))
	for i, p := range people {
		all[i] = mention(p)
	}
	return strings.Join(all, " and ")
}
