package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"deskmate/identity"
	"deskmate/identity/policy"
	"deskmate/scheduler"
)

// access lists the grants that hold in a channel.
func (h *Commands) access(ctx context.Context, a asking) (string, error) {
	channel, err := h.channelOf(ctx, a, strings.Join(a.words, " "))
	if err != nil {
		return "", err
	}
	kind, name, member, err := h.People.Place(ctx, a.Workspace, channel)
	if err != nil {
		return "", err
	}
	all, err := h.Rules.Engine.List(ctx, a.Workspace, false)
	if err != nil {
		return "", err
	}
	var own, given []string
	for _, g := range all {
		if !g.Covers(channel, name, kind) {
			continue
		}
		if g.GrantedBy == policy.System {
			own = append(own, "`"+strings.Join(g.Tools, "`, `")+"`")
		} else {
			given = append(given, "- "+grantLine(g))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "In <#%s> I may, for full members: %s.\n", channel, orNothing(strings.Join(own, ", ")))
	if len(given) > 0 {
		fmt.Fprintf(&b, "And by grants:\n%s\n", strings.Join(given, "\n"))
	}
	if !member {
		b.WriteString("I am not in that channel, so none of it counts until somebody invites me.\n")
	}
	b.WriteString("`/deskmate why TOOL` says how I would decide; `/deskmate revoke ID` takes a grant back (that of a tool that came with me is `builtin-TOOL`).")
	return b.String(), nil
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// grantLine is a grant in one line.
func grantLine(g policy.Grant) string {
	tools := "`" + strings.Join(g.Tools, "`, `") + "`"
	if g.Bundle != "" {
		tools = "bundle " + g.Bundle + " " + strings.Trim(tools, "`")
	}
	line := fmt.Sprintf("`%s` %s %s, %s, for %s", g.ID, g.Effect, tools, scopeWords(g), whoWords(g.Who))
	if g.Effect == policy.Ask {
		line += ", asks " + whoWords(g.Approvers)
	}
	if !g.ExpiresAt.IsZero() {
		line += ", until " + g.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC")
	}
	return line + fmt.Sprintf(" (%s: %s)", mention(g.GrantedBy), plain(g.Justification))
}

func mention(who string) string {
	if who != "" && (who[0] == 'U' || who[0] == 'W') {
		return "<@" + who + ">"
	}
	return who
}

func scopeWords(g policy.Grant) string {
	kind, value, _ := strings.Cut(g.Scope, ":")
	switch kind {
	case "channel":
		if g.Thread != "" {
			return "in one thread of <#" + value + ">"
		}
		return "in <#" + value + ">"
	case "channels":
		return "in channels named " + value
	case "kind":
		return "in " + value + " channels"
	}
	return "everywhere"
}

func whoWords(who []string) string {
	if len(who) == 0 {
		return "members"
	}
	all := make([]string, len(who))
	for i, w := range who {
		kind, id, _ := strings.Cut(w, ":")
		switch kind {
		case "user":
			all[i] = "<@" + id + ">"
		case "group":
			all[i] = "group " + id
		default:
			all[i] = w
		}
	}
	return strings.Join(all, ", ")
}

// why explains a decision.
func (h *Commands) why(ctx context.Context, a asking) (string, error) {
	if len(a.words) == 0 {
		return "", sorryf("Say which tool: `/deskmate why post`, `/deskmate why post in #general for @ben`.")
	}
	channel, person := a.Channel, a.User
	for i := 1; i < len(a.words); i++ {
		switch w := a.words[i]; {
		case (w == "in" || w == "for") && i+1 < len(a.words):
		case strings.HasPrefix(w, "#") || strings.HasPrefix(w, "<#") || a.words[i-1] == "in":
			id, err := h.channelOf(ctx, a, w)
			if err != nil {
				return "", err
			}
			channel = id
		default:
			p, err := h.personOf(ctx, a, w)
			if err != nil {
				return "", err
			}
			person = p.ID
		}
	}
	tool, err := h.tool(ctx, a, a.words[0])
	if err != nil {
		return "", err
	}
	kind, err := h.People.RequesterKind(ctx, a.Workspace, person, "")
	if err != nil {
		return "", err
	}
	x, err := h.Rules.Explain(ctx, identity.Action{
		Key: "why", Workspace: a.Workspace, Requester: person, RequesterKind: kind, Channel: channel, Tool: tool.Name, Connection: tool.Connection,
		Class: identity.Class(tool.Class), Args: json.RawMessage(`{}`),
	})
	if err != nil {
		return "", err
	}
	return explained(x, tool.Name, channel, person), nil
}

// explained is a decision in words.
func explained(x policy.Explanation, tool, channel, person string) string {
	verdict := map[string]string{policy.Allow: "I would do it at once", policy.Ask: "I would ask for an approval first", policy.Deny: "I would not do it"}[x.Decision.Verdict]
	var b strings.Builder
	fmt.Fprintf(&b, "`%s` in <#%s> for <@%s>: **%s**.\n", tool, channel, person, verdict)
	for _, r := range x.Decision.Reasons {
		fmt.Fprintf(&b, "- %s\n", r)
	}
	if x.Decision.Verdict == policy.Ask {
		fmt.Fprintf(&b, "Who can approve: %s (%d needed).\n", whoWords(x.Decision.Approvers), max(1, x.Decision.Quorum))
	}
	b.WriteString("What I went by:\n")
	for _, c := range x.Considered {
		mark := "does not apply"
		if c.Matched {
			mark = "applies"
		}
		fmt.Fprintf(&b, "- `%s` (%s) %s: %s\n", c.Policy, c.Effect, mark, c.Why)
	}
	return b.String()
}

// tool finds a known tool by its name.
func (h *Commands) tool(ctx context.Context, a asking, name string) (policy.BuiltinTool, error) {
	all, err := h.Rules.Engine.Tools(ctx, a.Workspace)
	if err != nil {
		return policy.BuiltinTool{}, err
	}
	name = strings.Trim(name, "`")
	var names []string
	for _, t := range all {
		if t.Name == name {
			return t, nil
		}
		names = append(names, "`"+t.Name+"`")
	}
	return policy.BuiltinTool{}, sorryf("I have no tool `%s`. I have %s.", plain(name), strings.Join(names, ", "))
}

// grant makes a grant, or opens the form for it.
func (h *Commands) grant(ctx context.Context, a asking) (string, error) {
	if len(a.words) == 0 {
		return "", h.openGrant(ctx, a)
	}
	g, dry, err := h.readGrant(ctx, a)
	if err != nil {
		return "", err
	}
	if dry {
		if problems := policy.Check(g, h.DB.Now()); len(problems) > 0 {
			return "", sorryf("That could not be granted:\n- %s", strings.Join(problems, "\n- "))
		}
		if err := h.mayGrant(ctx, &a, g); err != nil {
			return "", err
		}
		return "Nothing was changed. It would be: " + grantLine(g), nil
	}
	return h.store(ctx, a, g)
}

// store checks who grants, and grants.
func (h *Commands) store(ctx context.Context, a asking, g policy.Grant) (string, error) {
	if err := h.mayGrant(ctx, &a, g); err != nil {
		return "", err
	}
	g, err := h.Rules.Engine.Grant(ctx, a.User, g)
	if err != nil {
		return "", err
	}
	text := "Granted: " + grantLine(g) + "\nTo undo it: `/deskmate revoke " + g.ID + "`"
	if g.Effect == policy.Ask {
		text += h.stillAllowed(ctx, a.Workspace, g)
	}
	return text, nil
}

// stillAllowed warns where another grant lets the tool pass without asking.
func (h *Commands) stillAllowed(ctx context.Context, workspace string, g policy.Grant) string {
	all, err := h.Rules.Engine.List(ctx, workspace, false)
	if err != nil {
		return ""
	}
	for _, other := range all {
		if other.Effect == policy.Allow && slices.ContainsFunc(other.Tools, func(t string) bool { return slices.Contains(g.Tools, t) }) {
			return "\nNote: `" + other.ID + "` still lets it pass without asking: `/deskmate revoke " + other.ID + "`"
		}
	}
	return ""
}

func (h *Commands) mayGrant(ctx context.Context, a *asking, g policy.Grant) error {
	if channel, one := strings.CutPrefix(g.Scope, "channel:"); one {
		if err := h.managing(ctx, a, channel); err != nil {
			return err
		}
	}
	if err := h.mayGrantDuty(ctx, *a, g); err != nil {
		return err
	}
	tools, err := h.Rules.Engine.Tools(ctx, a.Workspace)
	if err != nil {
		return err
	}
	return policy.MayGrant(a.who, g, func(name string) string {
		for _, t := range tools {
			if t.Name == name {
				return t.Class
			}
		}
		return ""
	})
}

// mayGrantDuty keeps who answers for a duty from letting it do more: what it asks
// for is approved by somebody else, in advance too.
func (h *Commands) mayGrantDuty(ctx context.Context, a asking, g policy.Grant) error {
	if g.Duty == "" {
		return nil
	}
	d, err := h.Duties.Scheduler.Get(ctx, g.Duty)
	if errors.Is(err, scheduler.ErrNoDuty) || err == nil && d.Workspace != a.Workspace {
		return sorryf("I have no duty `%s`. `/deskmate duty list` shows them.", plain(g.Duty))
	}
	if err != nil {
		return err
	}
	if g.Effect == policy.Allow && (d.Owner == a.User || d.CreatedBy == a.User) {
		return sorryf("You answer for this duty, or made it, so somebody else has to approve in advance what it does.")
	}
	return nil
}

// readGrant reads "post, react in #eng for @ben ask by @ada for 30d why because".
func (h *Commands) readGrant(ctx context.Context, a asking) (g policy.Grant, dry bool, err error) {
	g = policy.Grant{Workspace: a.Workspace, Effect: policy.Allow, Scope: "channel:" + a.Channel}
	said, why, _ := strings.Cut(a.rest, " why ")
	g.Justification = strings.TrimSpace(why)
	words := strings.Fields(strings.ReplaceAll(said, ",", " "))
	for i := 0; i < len(words); i++ {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch w := words[i]; w {
		case "allow", "ask", "deny":
			g.Effect = w
		case "everywhere":
			g.Scope = "workspace"
		case "dry-run", "--dry-run":
			dry = true
		case "in":
			channel, err := h.channelOf(ctx, a, next)
			if err != nil {
				return g, dry, err
			}
			g.Scope = "channel:" + channel
			i++
		case "for":
			if d, ok := lifetime(next); ok {
				g.ExpiresAt = h.DB.Now().Add(d)
			} else if next == "duty" && i+2 < len(words) {
				g.Duty, g.Who = strings.Trim(words[i+2], "`"), append(g.Who, policy.Owner)
				i++
			} else if next == policy.Members || next == policy.Guests || next == policy.Outsiders || next == policy.Owner {
				g.Who = append(g.Who, next)
			} else {
				p, err := h.personOf(ctx, a, next)
				if err != nil {
					return g, dry, err
				}
				g.Who = append(g.Who, "user:"+p.ID)
			}
			i++
		case "with":
			rule, err := policy.ParseRule(next)
			if err != nil {
				return g, dry, sorryf("%s", err)
			}
			g.Args = append(g.Args, rule)
			i++
		case "by":
			if next == policy.Sponsor || next == policy.Admins {
				g.Approvers = append(g.Approvers, next)
			} else {
				p, err := h.personOf(ctx, a, next)
				if err != nil {
					return g, dry, err
				}
				g.Approvers = append(g.Approvers, "user:"+p.ID)
			}
			i++
		default:
			if !strings.Contains(w, "*") {
				if _, err := h.tool(ctx, a, w); err != nil {
					return g, dry, err
				}
			}
			g.Tools = append(g.Tools, strings.Trim(w, "`"))
		}
	}
	return g, dry, nil
}

// lifetime reads "30d" or "8h".
func lifetime(s string) (time.Duration, bool) {
	if n, err := strconv.Atoi(strings.TrimSuffix(s, "d")); err == nil && strings.HasSuffix(s, "d") && n > 0 && n < 10000 {
		return time.Duration(n) * 24 * time.Hour, true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// revoke takes a grant back, or opens the form for it.
func (h *Commands) revoke(ctx context.Context, a asking) (string, error) {
	if len(a.words) == 0 {
		return "", h.openRevoke(ctx, a)
	}
	_, why, _ := strings.Cut(a.rest, " why ")
	if why = strings.TrimSpace(why); why == "" {
		why = "no reason given"
	}
	return h.take(ctx, a, strings.Trim(a.words[0], "`"), why)
}

func (h *Commands) take(ctx context.Context, a asking, id, why string) (string, error) {
	g, err := h.Rules.Engine.Get(ctx, a.Workspace, id)
	if err != nil {
		return "", sorryf("There is no grant `%s`. `/deskmate access` lists those that hold here.", plain(id))
	}
	if channel, one := strings.CutPrefix(g.Scope, "channel:"); one {
		if err := h.managing(ctx, &a, channel); err != nil {
			return "", err
		}
	}
	if err := policy.MayRevoke(a.who, g); err != nil {
		return "", err
	}
	if !g.RevokedAt.IsZero() {
		return fmt.Sprintf("`%s` was taken back already, by %s.", g.ID, mention(g.RevokedBy)), nil
	}
	if g, err = h.Rules.Engine.Revoke(ctx, a.Workspace, id, a.User, why); err != nil {
		return "", err
	}
	return "Taken back, from my next action on: " + grantLine(g), nil
}

// approvals lists what waits, with links to the cards.
func (h *Commands) approvals(ctx context.Context, a asking) (string, error) {
	all, err := h.Gate.Approvals.List(ctx, a.Workspace, false, 50)
	if err != nil {
		return "", err
	}
	var lines []string
	hidden := 0
	for _, p := range all {
		if !h.maySee(ctx, a, p) {
			hidden++
			continue
		}
		where := "<#" + p.Channel + ">"
		if p.Thread != "" {
			if link, err := h.Reader.Permalink(ctx, a.Workspace, p.Channel, p.Thread); err == nil {
				where = "[the thread](" + link + ")"
			}
		}
		lines = append(lines, fmt.Sprintf("- `%s`: `%s`, asked by <@%s> in %s, until %s; who can decide: %s", p.ID, p.Tool, p.Requester, where,
			p.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC"), identity.ApproverWords(p.Approvers, a.agent.Sponsor)))
	}
	if len(lines) == 0 {
		lines = append(lines, "Nothing that you may see waits for a decision.")
	}
	if hidden > 0 {
		lines = append(lines, fmt.Sprintf("(%d more in places that you are not in.)", hidden))
	}
	return strings.Join(lines, "\n"), nil
}

// maySee reports whether somebody may know of an approval: who asked, who can
// decide by name, and who is where it was asked.
func (h *Commands) maySee(ctx context.Context, a asking, p identity.Approval) bool {
	if p.Requester == a.User || slices.Contains(p.Approvers, "user:"+a.User) || a.who.Sponsor && slices.Contains(p.Approvers, policy.Sponsor) {
		return true
	}
	is, err := h.People.IsIn(ctx, p.Channel, a.User)
	return err == nil && is
}
