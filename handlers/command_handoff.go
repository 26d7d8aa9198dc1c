package handlers

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"deskmate/bot"
	"deskmate/scheduler/handoff"
)

var (
	offerForm = regexp.MustCompile(`(?is)^(.*?)\s*\bto\s+(\S+)(?:\s+from\s+(\S+))?(?:\s+why\s+(.+))?$`)
	planForm  = regexp.MustCompile(`(?is)^(\S+)(?:\s+(.+))?$`)
)

// handoff shows who owns what, passes work on and takes what was offered. Only who
// typed it sees the answer.
func (h *Commands) handoff(ctx context.Context, a asking) (string, error) {
	word := "list"
	var args []string
	if len(a.words) > 0 {
		word, args = strings.ToLower(a.words[0]), a.words[1:]
	}
	rest := strings.TrimSpace(strings.TrimPrefix(a.rest, firstWord(a.words)))
	id := ""
	if len(args) > 0 {
		id = strings.Trim(args[0], "`")
	}
	switch word {
	case "list":
		return h.handoffList(ctx, a, args)
	case "offer":
		return h.handoffOffer(ctx, a, rest)
	case "plan", "offboard":
		return h.handoffPlan(ctx, a, rest)
	case "unowned":
		return h.handoffUnowned(ctx, a)
	case "accept", "decline", "withdraw":
		if id == "" {
			return "", sorryf("Say which: `/deskmate handoff %s h_…`. `/deskmate handoff list` shows what waits for you.", word)
		}
	default:
		return "", sorryf("There is no `/deskmate handoff %s`. There are list, offer, accept, decline, withdraw, plan and unowned.", plain(word))
	}
	_, why := cutWhy(strings.TrimSpace(strings.TrimPrefix(rest, args[0])))
	var o handoff.Handoff
	var err error
	switch word {
	case "accept":
		var items []handoff.Ref
		for _, w := range args[1:] {
			if !strings.HasPrefix(w, "d_") {
				return "", sorryf("`%s` is no duty. Name duties such as d_abc, or nothing for all; threads and all else: press Choose… on the card.", plain(w))
			}
			items = append(items, handoff.Ref{Kind: handoff.KindDuty, ID: w})
		}
		if o, err = h.Handover.Accept(ctx, a.Workspace, id, a.User, items, false, "", "command"); err == nil {
			return fmt.Sprintf("Done: of `%s` you have accepted %d, %d still wait for your answer, %d went elsewhere or ended.",
				o.ID, o.Count(handoff.StateAccepted), o.Count(handoff.StateOffered), o.Count(handoff.StateDeclined, handoff.StateGone)), nil
		}
	case "decline":
		if why == "" {
			return "", sorryf("Say why: `/deskmate handoff decline %s why I am away`. Whose work it is reads that.", plain(id))
		}
		if o, err = h.Handover.Decline(ctx, a.Workspace, id, a.User, why, "command"); err == nil {
			return fmt.Sprintf("Declined `%s`. <@%s> is told and keeps it.", o.ID, o.From), nil
		}
	default:
		if o, err = h.Handover.Withdraw(ctx, a.Workspace, id, a.User, why, "command"); err == nil {
			return fmt.Sprintf("Taken back: `%s`. <@%s> keeps what was not accepted yet.", o.ID, o.From), nil
		}
	}
	return "", err
}

func firstWord(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// cutWhy takes a reason off the end of a command.
func cutWhy(s string) (rest, why string) {
	if strings.HasPrefix(strings.ToLower(s), "why ") {
		return "", strings.TrimSpace(s[4:])
	}
	if i := strings.Index(strings.ToLower(s), " why "); i >= 0 {
		return strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+5:])
	}
	return s, ""
}

func (h *Commands) handoffList(ctx context.Context, a asking, args []string) (string, error) {
	who := a.User
	if len(args) > 0 {
		p, err := h.personOf(ctx, a, args[0])
		if err != nil {
			return "", err
		}
		who = p.ID
	}
	said, err := h.Handover.Listing(ctx, a.Workspace, who, a.User)
	if err != nil {
		return "", err
	}
	lapses, err := h.Handover.Handoffs.Lapses(ctx, a.Workspace)
	if err != nil {
		return "", err
	}
	for _, l := range lapses {
		if who == a.User && (slices.Contains(l.Asked, a.User) || a.who.Sponsor || a.who.Admin) {
			said += fmt.Sprintf("- `%s`: %d wait for somebody to say what becomes of them, since %s: %s. The card is in your direct message with me.\n", l.ID, len(l.Open()), l.CreatedAt.Format("2006-01-02"), l.Words())
		}
	}
	return said, nil
}

func (h *Commands) handoffOffer(ctx context.Context, a asking, rest string) (string, error) {
	m := offerForm.FindStringSubmatch(rest)
	if m == nil {
		return "", sorryf("Say what and to whom: `/deskmate handoff offer duties to @chloe why I am on leave`; what is everything, duties, threads, or ids of duties.")
	}
	to, err := h.personOf(ctx, a, m[2])
	if err != nil {
		return "", err
	}
	w := bot.Wish{Workspace: a.Workspace, From: a.User, To: to.ID, Asker: a.User, Reason: m[4], Via: "command", Request: a.Key}
	if m[3] != "" {
		from, err := h.personOf(ctx, a, m[3])
		if err != nil {
			return "", err
		}
		w.From = from.ID
	}
	if err := h.Handover.Mean(ctx, &w, m[1], a.Channel, "", m[3] != ""); err != nil {
		return "", err
	}
	o, left, err := h.Handover.Offer(ctx, w)
	if err != nil {
		return "", err
	}
	return bot.OfferedWords(o, left), nil
}

func (h *Commands) handoffPlan(ctx context.Context, a asking, rest string) (string, error) {
	m := planForm.FindStringSubmatch(rest)
	if m == nil {
		return "", sorryf("Say who leaves: `/deskmate handoff plan @ben on Friday`.")
	}
	who, err := h.personOf(ctx, a, m[1])
	if err != nil {
		return "", err
	}
	leaves, err := h.Handover.Day(ctx, a.Workspace, a.User, m[2])
	if err != nil {
		return "", err
	}
	p, err := h.Handover.Plan(ctx, a.Workspace, who.ID, a.User, leaves, a.Key)
	if err != nil {
		return "", err
	}
	return bot.PlannedWords(p), nil
}

// handoffUnowned lists what nobody owns; for those who answer for the agent.
func (h *Commands) handoffUnowned(ctx context.Context, a asking) (string, error) {
	if !a.who.Admin && !a.who.Sponsor {
		return "", sorryf("That is for my sponsor or an admin of the workspace to see.")
	}
	all, err := h.Handover.Handoffs.Unowned(ctx, a.Workspace)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "Every duty and every open thread has an owner who is here.", nil
	}
	var b strings.Builder
	for _, o := range all {
		what := "duty `" + o.ID + "`"
		if o.Kind == handoff.KindThread {
			channel, _ := o.Thread()
			what = "a thread in <#" + channel + ">"
		}
		fmt.Fprintf(&b, "- %s: its owner <@%s> %s\n", what, o.Owner, o.Why)
	}
	return b.String(), nil
}
