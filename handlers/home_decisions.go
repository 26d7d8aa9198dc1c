package handlers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"deskmate/bot"
	"deskmate/identity"
)

// mostWaiting bounds how many approvals of the workspace are looked through.
const mostWaiting = 200

// Decisions shows what waits for the visitor's decision, and which of their own
// requests wait. site is the address of the workspace.
func (h *Home) Decisions(approvals *identity.Approvals, site string) HomeSection {
	return HomeSection{ID: "decisions", Title: "Waiting for a decision", Rest: "`/deskmate approvals` lists them.",
		Show: func(ctx context.Context, v Visitor) ([]HomeItem, error) {
			all, err := approvals.List(ctx, v.Workspace, false, mostWaiting)
			if err != nil || len(all) == 0 {
				return nil, err
			}
			who, err := h.People.Standing(ctx, v.Workspace, v.ID, groupsOf(all))
			if err != nil {
				return nil, fmt.Errorf("look up %s: %w", v.ID, err)
			}
			var items []HomeItem
			for _, a := range all {
				if line := waitingLine(a, v, who); line != "" {
					link, err := h.cardLink(ctx, a, v, site)
					if err != nil {
						return nil, err
					}
					items = append(items, HomeItem{{Text: line + link}})
				}
			}
			return items, nil
		}}
}

// groupsOf are the user groups that may approve any of them.
func groupsOf(all []identity.Approval) []string {
	var groups []string
	for _, a := range all {
		for _, w := range a.Approvers {
			if id, ok := strings.CutPrefix(w, "group:"); ok && !slices.Contains(groups, id) {
				groups = append(groups, id)
			}
		}
	}
	return groups
}

// waitingLine tells a visitor of an approval that concerns them, "" of others.
func waitingLine(a identity.Approval, v Visitor, who identity.Standing) string {
	until := " · until " + bot.TimeOf(a.ExpiresAt)
	switch {
	case a.Requester == v.ID:
		return fmt.Sprintf("*You asked for* `%s` in %s%s\nWho can decide: %s", plain(a.Tool), bot.PlaceOf(a.Channel), until, identity.ApproverWords(a.Approvers, v.Agent.Sponsor))
	case a.MayDecide(v.ID, who, v.Agent):
		return fmt.Sprintf("*You can decide* on `%s`, asked for by <@%s> in %s%s", plain(a.Tool), a.Requester, bot.PlaceOf(a.Channel), until)
	}
	return ""
}

// cardLink leads to the card that the visitor can see.
func (h *Home) cardLink(ctx context.Context, a identity.Approval, v Visitor, site string) (string, error) {
	ts, direct, err := bot.CardOf(ctx, h.DB, a.ID, v.ID)
	if err != nil || ts == "" {
		return "", err
	}
	channel, thread := a.Channel, a.Thread
	if direct {
		channel, thread = v.Direct, ""
	}
	return "\n" + bot.LinkOf(bot.PermalinkOf(site, channel, ts, thread), "Open the card"), nil
}
