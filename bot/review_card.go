package bot

import (
	"fmt"
	"strings"
	"time"

	"deskmate/identity"
	"deskmate/identity/policy"
	"deskmate/migrations"
)

// Ids of buttons on the cards of a review; their value is "REVIEW GRANT".
const (
	ButtonKeep   = "review_keep"
	ButtonRemove = "review_remove"
)

// ReviewCards show people what a review of the grants asks them: in the admins'
// channel and to each sponsor directly.
type ReviewCards struct{ Notices *Notices }

// Show owes people the card of one grant, and its edits once it was answered.
func (c ReviewCards) Show(tx *migrations.Tx, r identity.Review, i identity.ReviewItem) error {
	card, text := reviewCard(r, i), reviewText(i)
	prefix := "notice:review:" + r.ID + ":" + i.Grant.ID + ":"
	if i.State == identity.ItemProposed {
		return c.post(tx, r.Workspace, prefix, text, &card)
	}
	// The range is that of the keys that begin with the prefix.
	rows, err := tx.Query(`SELECT post_key, channel FROM outbox WHERE post_key >= $1 AND post_key < $2 AND state IN ('queued', 'sent')`, prefix, prefix+"~")
	if err != nil {
		return fmt.Errorf("find cards: %w", err)
	}
	defer rows.Close()
	s, err := identity.SponsorshipOf(tx, r.Workspace)
	if err != nil {
		return err
	}
	var edits []Post
	for rows.Next() {
		var key, place string
		if err := rows.Scan(&key, &place); err != nil {
			return fmt.Errorf("find cards: %w", err)
		}
		p := noticePost(r.Workspace, place, s, "notice:review-"+i.State+":"+strings.TrimPrefix(key, "notice:review:"), text)
		p.Card, p.UpdateKey = &card, key
		edits = append(edits, p)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("find cards: %w", err)
	}
	for _, p := range edits {
		if err := c.Notices.Outbox.Queue(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// More owes people the word that n grants have no card of their own.
func (c ReviewCards) More(tx *migrations.Tx, r identity.Review, n int) error {
	text := fmt.Sprintf("%d more of my grants wait for an answer in this review. See and answer them on the command line: `deskmate access review show %s`, then `deskmate access review keep GRANT` or `remove GRANT`. "+
		"What has no answer at %s is taken back.", n, r.ID, r.DueAt.UTC().Format("2006-01-02 15:04 UTC"))
	return c.post(tx, r.Workspace, "notice:review-more:"+r.ID+":", text, nil)
}

func (c ReviewCards) post(tx *migrations.Tx, workspace, prefix, text string, card *Card) error {
	s, err := identity.SponsorshipOf(tx, workspace)
	if err != nil {
		return err
	}
	to, err := c.Notices.everywhere(tx, workspace, s)
	if err != nil {
		return err
	}
	if len(to) == 0 {
		c.Notices.Logger.Warn().Msg("nobody to ask in the review: set admin_channel or sponsor; deskmate access review show lists what waits")
	}
	for _, place := range to {
		p := noticePost(workspace, place, s, prefix+place, text)
		p.Card = card
		if err := c.Notices.Outbox.Queue(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// reviewCard shows one grant: what it gives, since when it was not used, and what
// stops working without it.
func reviewCard(r identity.Review, i identity.ReviewItem) Card {
	g := i.Grant
	c := Card{
		Title: "Review: keep `" + escape(g.ID) + "`?",
		Facts: []Fact{
			{"It lets me", grantWords(g)},
			{"Last used", lastUse(i)},
			{"Granted", "by " + whoMention(g.GrantedBy) + ", " + slackTime(g.GrantedAt) + ": " + escapeMentioning(clip(g.Justification, shownArg))},
			{"Without it", lossWords(i)},
		},
		Note: fmt.Sprintf("%s · without an answer it is taken back %s · for my sponsor or an admin of the workspace", r.ID, slackTime(r.DueAt)),
	}
	if !g.ExpiresAt.IsZero() {
		c.Facts[2].Value += " · ends " + slackTime(g.ExpiresAt)
	}
	if i.State == identity.ItemProposed {
		value := r.ID + " " + g.ID
		c.Buttons = []Button{{ID: ButtonKeep, Text: "Keep", Value: value}, {ID: ButtonRemove, Text: "Remove", Value: value, Style: "danger"}}
		return c
	}
	c.Title = reviewTitle(i)
	c.Facts = append(c.Facts[:len(c.Facts)-1], Fact{"Outcome", reviewOutcome(i)})
	c.Note = r.ID + " · " + slackTime(i.AnsweredAt)
	return c
}

func reviewTitle(i identity.ReviewItem) string {
	word := map[string]string{identity.ItemKept: "Kept", identity.ItemRemoved: "Removed", identity.ItemExpired: "Removed", identity.ItemGone: "Has ended"}[i.State]
	return word + ": `" + escape(i.Grant.ID) + "`"
}

func reviewOutcome(i identity.ReviewItem) string {
	switch i.State {
	case identity.ItemKept, identity.ItemRemoved:
		text := i.State + " by " + whoMention(i.AnsweredBy)
		if i.Why != "" {
			text += ": " + escapeMentioning(i.Why)
		}
		return text
	case identity.ItemExpired:
		return "removed, because nobody answered in time. Who still needs it grants it anew."
	}
	return "the grant has ended in another way"
}

// reviewText is the card in one line of Markdown, for notifications.
func reviewText(i identity.ReviewItem) string {
	if i.State == identity.ItemProposed {
		return "Review: is `" + i.Grant.ID + "` still needed? It was not used for long."
	}
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(reviewTitle(i) + ", " + reviewOutcome(i))
}

// grantWords say what a grant gives, in mrkdwn.
func grantWords(g policy.Grant) string {
	tools := "the bundle " + escape(g.Bundle)
	if len(g.Tools) > 0 {
		tools = "`" + escape(strings.Join(g.Tools, "`, `")) + "`"
	}
	text := "use " + tools + " " + grantScope(g.Scope)
	if g.Thread != "" {
		text += " in one thread"
	}
	text += ", asked by " + askers(g.Who)
	if g.Effect == policy.Ask {
		text += ", each time with an approval"
	}
	if len(g.Args) > 0 || g.Hours != "" || g.Rate > 0 || g.Count > 0 {
		text += " (with limits: `deskmate access list`)"
	}
	return text
}

func grantScope(scope string) string {
	word, value, _ := strings.Cut(scope, ":")
	switch word {
	case "workspace":
		return "everywhere"
	case "channel":
		return "in " + placeMention(value)
	case "kind":
		return "in every " + escape(value) + " channel"
	}
	return "in channels called " + escape(value)
}

func askers(who []string) string {
	if len(who) == 0 {
		return "full members"
	}
	var all []string
	for _, w := range who {
		kind, id, _ := strings.Cut(w, ":")
		switch {
		case w == policy.Members:
			all = append(all, "full members")
		case w == policy.Owner:
			all = append(all, "the owner of the duty")
		case kind == "user":
			all = append(all, whoMention(id))
		case kind == "group":
			all = append(all, "<!subteam^"+escape(id)+">")
		default:
			all = append(all, escape(w))
		}
	}
	return strings.Join(all, " or ")
}

func lastUse(i identity.ReviewItem) string {
	if i.LastUsedAt.IsZero() {
		return "never"
	}
	return slackTime(i.LastUsedAt.Truncate(time.Minute))
}

// lossWords say what stops working without a grant.
func lossWords(i identity.ReviewItem) string {
	if len(i.Loss) == 0 {
		return "other grants cover the same tools, where and for whom they hold, as long as they are kept"
	}
	return "I cannot use " + clip("`"+escape(strings.Join(i.Loss, "`, `"))+"`", 1000) + " any more, nowhere and for nobody. Answers in threads where I am asked are not touched."
}
