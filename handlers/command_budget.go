package handlers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"deskmate/identity/budget"
)

// budget is /deskmate budget: what is left here, and for admins to set and remove.
func (h *Commands) budget(ctx context.Context, a asking) (string, error) {
	if len(a.words) == 0 {
		return h.left(ctx, a)
	}
	said, why, _ := strings.Cut(a.rest, " why ")
	words := strings.Fields(said)
	if why = strings.TrimSpace(why); why == "" {
		return "", sorryf("Say why, at the end: `why REASON`. It is kept in the ledger.")
	}
	if !a.who.Admin && !a.who.Sponsor {
		return "", sorryf("That takes my sponsor or an admin of the workspace.")
	}
	if len(words) < 4 || words[0] == "set" && len(words) != 5 || words[0] == "remove" && len(words) != 4 {
		return "", sorryf("It is `budget set SCOPE UNIT PERIOD AMOUNT why REASON`, or `budget remove SCOPE UNIT PERIOD why REASON`: scope `workspace`, `#channel`, `@person`, `channel:*`, `person:*`; unit `calls`, `tokens` or `money`; period `day` or `month`.")
	}
	x := budget.Budget{Workspace: a.Workspace, Scope: words[1], Unit: words[2], Period: words[3], Justification: why}
	switch {
	case strings.HasPrefix(x.Scope, "<#") || strings.HasPrefix(x.Scope, "#"):
		id, err := h.channelOf(ctx, a, x.Scope)
		if err != nil {
			return "", err
		}
		x.Scope = "channel:" + id
	case strings.HasPrefix(x.Scope, "<@") || strings.HasPrefix(x.Scope, "@"):
		p, err := h.personOf(ctx, a, x.Scope)
		if err != nil {
			return "", err
		}
		x.Scope = "person:" + p.ID
	}
	var invalid *budget.InvalidError
	var err error
	switch words[0] {
	case "set":
		if x.Most, err = budget.ParseAmount(x.Unit, words[4]); err != nil {
			return "", sorryf("%s", plain(err.Error()))
		}
		err = h.Budgets.Set(ctx, a.User, x)
	case "remove":
		err = h.Budgets.Remove(ctx, a.User, why, x)
	default:
		return "", sorryf("There is no `/deskmate budget %s`: `set`, `remove`, or nothing behind it.", plain(words[0]))
	}
	switch {
	case errors.As(err, &invalid):
		return "", sorryf("That was not done:\n- %s", plain(strings.Join(invalid.Problems, "\n- ")))
	case errors.Is(err, budget.ErrNone):
		return "", sorryf("There is no such budget. `/deskmate budget` lists those that there are.")
	case err != nil:
		return "", err
	case words[0] == "remove":
		return "Removed: the budget of " + budget.ScopeWords(x.Scope) + ".", nil
	}
	return fmt.Sprintf("Set: %s of %s per %s for %s.", budget.Amount(x.Unit, x.Most), x.Unit, x.Period, budget.ScopeWords(x.Scope)), nil
}

// left is what is left of the budgets that count here and for who asks; admins see
// all.
func (h *Commands) left(ctx context.Context, a asking) (string, error) {
	all, err := h.Budgets.List(ctx, a.Workspace)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, u := range all {
		here := u.For == "workspace" || u.For == "channel:"+a.Channel || u.For == "person:"+a.User || strings.HasSuffix(u.For, ":*")
		if here || a.who.Admin || a.who.Sponsor {
			lines = append(lines, fmt.Sprintf("- %s, %s per %s: %s of %s used; anew on %s", budget.ScopeWords(u.For), u.Unit, u.Period,
				budget.Amount(u.Unit, u.Used), budget.Amount(u.Unit, u.Most), u.Anew.Format("Mon 2 January, 15:04 MST")))
		}
	}
	if len(lines) == 0 {
		return "No budget counts here. An admin sets one: `/deskmate budget set workspace tokens day 1000000 why REASON`", nil
	}
	return strings.Join(lines, "\n"), nil
}
