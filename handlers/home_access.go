package handlers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"deskmate/bot"
	"deskmate/identity/policy"
)

// Access says shortly what the agent may do for the visitor.
func (h *Home) Access(rules *policy.Engine) HomeSection {
	return HomeSection{ID: "access", Title: "What I may do", Rest: "`/deskmate access` in a channel lists all that holds there.",
		Show: func(ctx context.Context, v Visitor) ([]HomeItem, error) {
			if v.Kind == bot.KindGuest {
				return guestAccess(ctx, rules, v)
			}
			all, err := rules.List(ctx, v.Workspace, false)
			if err != nil {
				return nil, err
			}
			var own []string
			var given []HomeItem
			for _, g := range all {
				switch {
				case g.GrantedBy == policy.System:
					own = append(own, g.Tools...)
				case v.covered(g):
					given = append(given, HomeItem{{Text: bot.EscapeText(grantLine(g))}})
				}
			}
			slices.Sort(own)
			first := HomeItem{
				{Text: "For full members, where I am: " + ticked(slices.Compact(own)) + "."},
				{Note: "`/deskmate access` in a channel lists what holds there, `/deskmate why TOOL` says how I would decide. To stop the work in a thread, anyone can say `stop` there."},
			}
			return append([]HomeItem{first}, given...), nil
		}}
}

func ticked(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	return "`" + strings.Join(words, "`, `") + "`"
}

// covered reports whether a grant holds where the visitor is.
func (v Visitor) covered(g policy.Grant) bool {
	if g.Scope == "workspace" {
		return true
	}
	for id, c := range v.Places {
		if g.Covers(id, c.Name, c.Kind) {
			return true
		}
	}
	return false
}

// guestAccess is what guests may ask for in the channels that they are in.
func guestAccess(ctx context.Context, rules *policy.Engine, v Visitor) ([]HomeItem, error) {
	tools, err := rules.Tools(ctx, v.Workspace)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range tools {
		if t.Guests {
			names = append(names, t.Name)
		}
	}
	return []HomeItem{{{Text: fmt.Sprintf("For guests, in the channels that they are in: %s. More only where somebody has granted it to you by name.", ticked(names))}}}, nil
}
