package handlers

import (
	"context"
	"fmt"

	"deskmate/bot"
)

// mostRecent is how many actions a Home has ready.
const mostRecent = 30

// Recent shows what the agent did lately for the visitor, or where they are.
// site is the address of the workspace.
func (h *Home) Recent(site string) HomeSection {
	return HomeSection{ID: "recent", Title: "What I did lately", Rest: "An admin sees all of it with `deskmate audit search`.",
		Show: func(ctx context.Context, v Visitor) ([]HomeItem, error) {
			all, err := bot.Recent(ctx, h.DB, v.Workspace, mostRecent, func(d bot.Did) bool {
				return v.IsIn(d.Channel) || v.Kind == bot.KindMember && d.Requester == v.ID
			})
			if err != nil {
				return nil, err
			}
			var items []HomeItem
			for _, d := range all {
				items = append(items, HomeItem{{Text: fmt.Sprintf("`%s` for <@%s> in %s: %s · %s%s", plain(d.Tool), d.Requester, bot.PlaceOf(d.Channel),
					didWords(d.State), bot.TimeOf(d.At), threadLink(site, d))}})
			}
			return items, nil
		}}
}

func threadLink(site string, d bot.Did) string {
	if link := bot.PermalinkOf(site, d.Channel, d.Thread, ""); link != "" {
		return " · " + bot.LinkOf(link, "thread")
	}
	return ""
}

func didWords(state string) string {
	words := map[string]string{"done": "done", "failed": "failed, nothing happened", "denied": "not allowed", "cancelled": "stopped before it began",
		"intended": "under way", "unknown": "*nobody can tell whether it took effect, please check*"}[state]
	if words == "" {
		return plain(state)
	}
	return words
}
