package bot

import (
	"context"
	"fmt"
	"strings"

	"deskmate/identity"
)

// selfTools are what the agent says of itself. agent gives its name and sponsor;
// all is the list of every tool, these two included.
func selfTools(agents *identity.Agents, model Model, all func() []Tool) []Tool {
	return []Tool{
		{Name: "who_am_i", Class: identity.ClassRead, Repeatable: true, Schema: object(),
			Description: "Say who you are: name, account, sponsor, model, and where your actions are recorded.",
			Run: func(ctx context.Context, c Call) (identity.Result, error) {
				a, err := agents.Get(ctx, c.Turn.Workspace)
				if err != nil {
					return identity.Result{}, fmt.Errorf("load agent: %w", err)
				}
				sponsor := "nobody yet: an admin should name a sponsor"
				if a.Sponsor != "" {
					sponsor = mentionAll(a.Sponsors())
				}
				return text("%s, a member of this workspace with an account of its own (not acting as any person). State: %s. Answers to: %s. Model: %s. "+
					"Every action is recorded in a signed ledger that an admin verifies with `deskmate audit verify`.", a.Name, a.State, sponsor, model.Name())
			}},
		{Name: "what_can_you_do", Class: identity.ClassRead, Repeatable: true, Schema: object(),
			Description: "List what you can do in this place for this person.",
			Run: func(_ context.Context, c Call) (identity.Result, error) {
				var b strings.Builder
				fmt.Fprintf(&b, "In this place (%s), asked by a %s:\n", c.Place.ChannelKind, c.Place.RequesterKind)
				for _, t := range all() {
					if t.Name == "who_am_i" || t.Name == "what_can_you_do" {
						continue
					}
					fmt.Fprintf(&b, "- %s (%s): %s\n", t.Name, t.Class, t.Description)
				}
				b.WriteString("Say `stop` in a thread to end what is under way there.")
				return text("%s", b.String())
			}},
	}
}
