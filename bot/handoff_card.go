package bot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/handoff"
)

// Ids of buttons on the cards of offers, plans and lapses; their value is the id
// of the handoff, plan or lapse.
const (
	ButtonTake       = "handoff_accept"
	ButtonChoose     = "handoff_choose"
	ButtonRefuse     = "handoff_decline"
	ButtonConfirm    = "plan_confirm"
	ButtonRedraw     = "plan_change"
	ButtonDrop       = "plan_drop"
	ButtonHand       = "lapse_hand"
	ButtonKeepPaused = "lapse_keep"
	ButtonEnd        = "lapse_delete"
	ButtonDirect     = "lapse_direct"
)

// linesPerText is how many items stand in one section of a card.
const linesPerText = 12

func offerCardKey(id string) string { return "handoff:" + id + ":card" }

// offerCard shows an offer to the new owner, and what became of it.
func (h *Handover) offerCard(tx *migrations.Tx, o handoff.Handoff) (Card, error) {
	c := Card{
		Title: fmt.Sprintf("Take over %s from <@%s>?", countItems(o.Items), o.From),
		Facts: []Fact{{"Asked for by", whoMention(o.AskedBy)}},
		Note:  o.ID + " · until you accept, its owner stays who it is · the offer stands until " + slackTime(o.ExpiresAt),
	}
	if o.Reason != "" {
		c.Facts = append(c.Facts, Fact{"Why", escapeMentioning(clip(o.Reason, shownArg))})
	}
	var lines []string
	for _, i := range o.Items {
		line, err := h.itemLine(tx, o.Workspace, o.To, i.Ref, !i.LeftOut)
		if err != nil {
			return c, err
		}
		if i.LeftOut {
			line += " (something of its brief was left out: you may not see it)"
		}
		if i.State != handoff.StateOffered {
			line += " – " + i.State + escapeMentioning(because(i.Why))
		}
		lines = append(lines, line)
	}
	c.Texts = grouped(lines)
	if o.LeftOut > 0 {
		c.Texts = append(c.Texts, fmt.Sprintf("_%s of <@%s>'s left out: you may not see it, and somebody else has to take it._", countedAre(int(o.LeftOut), "more item"), o.From))
	}
	if o.State == handoff.StateOffered {
		c.Buttons = []Button{{ID: ButtonTake, Text: "Accept all", Value: o.ID, Style: "primary"}, {ID: ButtonChoose, Text: "Choose…", Value: o.ID}, {ID: ButtonRefuse, Text: "Decline…", Value: o.ID, Style: "danger"}}
		return c, nil
	}
	c.Title = offerOutcome(o)
	c.Note = o.ID + " · " + slackTime(o.EndedAt)
	return c, nil
}

// offerText is the card in one line of Markdown, for notifications.
func offerText(o handoff.Handoff) string {
	if o.State == handoff.StateOffered {
		return fmt.Sprintf("Take over %s from <@%s>? The brief is above; accept, choose or decline below.", countItems(o.Items), o.From)
	}
	return offerOutcome(o)
}

// offerOutcome says what became of an offer.
func offerOutcome(o handoff.Handoff) string {
	switch o.State {
	case handoff.StateAccepted:
		return fmt.Sprintf("Accepted: <@%s> now owns %s that <@%s> handed over", o.To, countItems(o.Of(handoff.StateAccepted)), o.From)
	case handoff.StatePart:
		return fmt.Sprintf("Accepted in part: <@%s> now owns %d of %s that <@%s> handed over", o.To, o.Count(handoff.StateAccepted), countItems(o.Items), o.From)
	case handoff.StateDeclined:
		return fmt.Sprintf("Declined: <@%s> does not take over %s from <@%s>", o.To, countItems(o.Items), o.From)
	case handoff.StateWithdrawn:
		return fmt.Sprintf("Withdrawn: <@%s>'s offer to <@%s>", o.From, o.To)
	case handoff.StateExpired:
		return fmt.Sprintf("Nobody answered: <@%s>'s offer to <@%s> has ended", o.From, o.To)
	}
	return fmt.Sprintf("<@%s> has answered for %d of %s", o.To, len(o.Items)-o.Count(handoff.StateOffered), countItems(o.Items))
}

// itemLine names an item for a viewer. What the viewer is not known to see is named
// by its id alone; sure says that it was looked up that they may see it.
func (h *Handover) itemLine(tx *migrations.Tx, workspace, viewer string, r handoff.Ref, sure bool) (string, error) {
	if r.Kind == handoff.KindThread {
		channel, ts := r.Thread()
		if !sure {
			ok, err := knownToSee(tx, workspace, viewer, channel)
			if err != nil || !ok {
				return "• a thread in a place that you may not see", err
			}
		}
		if link := PermalinkOf(h.Home, channel, ts, ""); link != "" {
			return fmt.Sprintf("• <%s|thread> in <#%s> of %s", link, channel, tsTime(ts).Format("2 January")), nil
		}
		return fmt.Sprintf("• thread in <#%s> of %s", channel, tsTime(ts).Format("2 January")), nil
	}
	d, err := h.Duties.GetTx(tx, r.ID)
	if errors.Is(err, scheduler.ErrNoDuty) {
		return "• `" + escape(r.ID) + "`, which has ended", nil
	}
	if err != nil {
		return "", err
	}
	for _, c := range append(dutyPlaces(d), d.Label.Channels...) {
		if sure {
			break
		}
		ok, err := knownToSee(tx, workspace, viewer, c)
		if err != nil {
			return "", err
		}
		if !ok {
			return "• `" + d.ID + "`, a duty in a place that you may not see", nil
		}
	}
	return fmt.Sprintf("• `%s` *%s*, %s, reports to %s", d.ID, escape(clip(strings.Join(strings.Fields(d.Title), " "), 120)), escapeMentioning(d.When), placeMention(d.Channel)), nil
}

// knownToSee reports whether the store knows that somebody sees a place: a public
// channel, or one that they are known to be in. What is not known is not shown. The
// viewer is a person, or a channel with what everybody in it may see.
func knownToSee(tx *migrations.Tx, workspace, viewer, channel string) (bool, error) {
	if viewer == channel {
		return true, nil
	}
	var n int
	err := tx.QueryRow(`SELECT COUNT(*) FROM channels c WHERE c.workspace = $1 AND c.id = $2 AND (c.kind = 'public'
		OR EXISTS (SELECT 1 FROM channel_members m WHERE m.workspace = c.workspace AND m.channel = c.id AND m.person = $3))`, workspace, channel, viewer).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look whether %s sees %s: %w", viewer, channel, err)
	}
	return n > 0, nil
}

// told shows people what became of an offer, in the transaction that makes it so.
func (h *Handover) told(tx *migrations.Tx, o handoff.Handoff, what string) error {
	answered := len(o.Items) - o.Count(handoff.StateOffered)
	var posts []Post
	dm := func(person, key, text string) {
		posts = append(posts, Post{Workspace: o.Workspace, Channel: person, ChannelKind: ChannelDirect, Key: fmt.Sprintf("handoff:%s:%s:%s", o.ID, key, person), Text: text, Ours: true,
			Requester: person, Tool: ToolCard, Cause: "handoff:" + o.ID})
	}
	thread := func(i handoff.Item, key, text string) {
		channel, ts := i.Thread()
		posts = append(posts, Post{Workspace: o.Workspace, Channel: channel, Thread: ts, Key: fmt.Sprintf("handoff:%s:%s:%s", o.ID, key, i.ID), Text: text, Ours: true,
			Requester: o.To, Tool: ToolCard, Cause: "handoff:" + o.ID})
	}
	switch what {
	case handoff.ToldOffered:
		for _, i := range o.Of(handoff.StateOffered) {
			if i.Kind == handoff.KindThread {
				thread(i, "offered", fmt.Sprintf("This thread is offered to <@%s>. Until they accept it, <@%s> answers for it.", o.To, i.Owner))
			}
		}
	case handoff.ToldReminder:
		dm(o.To, "reminder:"+fmt.Sprint(o.ExpiresAt.Sub(tx.Now()).Round(time.Hour)), fmt.Sprintf("Still waiting for you: <@%s>'s offer of %s (`%s`). Accept, choose or decline on its card above, or with `/deskmate handoff accept %s`; without an answer it ends at %s.",
			o.From, countItems(o.Of(handoff.StateOffered)), o.ID, o.ID, o.ExpiresAt.Format("2006-01-02 15:04 UTC")))
	default:
		if !o.ShownAt.IsZero() {
			card, err := h.offerCard(tx, o)
			if err != nil {
				return err
			}
			edit := h.card(o.Workspace, o.To, fmt.Sprintf("handoff:%s:edit:%s:%d", o.ID, o.State, answered), offerText(o), card)
			edit.UpdateKey = offerCardKey(o.ID)
			posts = append(posts, edit)
		}
		for _, i := range o.Of(handoff.StateAccepted) {
			if i.Kind == handoff.KindThread {
				thread(i, "accepted", fmt.Sprintf("From now on <@%s> answers for this thread.", o.To))
			}
		}
		people, err := h.concerned(tx, o)
		if err != nil {
			return err
		}
		for _, p := range people {
			dm(p, fmt.Sprintf("%s:%d", o.State, answered), outcomeWords(o))
		}
		if what == handoff.ToldWithdrawn && !o.ShownAt.IsZero() {
			dm(o.To, "withdrawn", fmt.Sprintf("<@%s>'s offer (`%s`) was taken back: nothing changes for you.", o.From, o.ID))
		}
	}
	for _, p := range posts {
		if err := h.Outbox.Queue(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// concerned are who is told how an offer ends: the old owner and who asked, if they
// are here, and the sponsors.
func (h *Handover) concerned(tx *migrations.Tx, o handoff.Handoff) ([]string, error) {
	sponsors, err := Sponsors(tx, o.Workspace)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range append([]string{o.From, o.AskedBy}, sponsors...) {
		if p == "" || p == o.To || slices.Contains(all, p) || p[0] != 'U' && p[0] != 'W' {
			continue
		}
		var gone int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM people WHERE workspace = $1 AND id = $2 AND is_deleted = 1`, o.Workspace, p).Scan(&gone); err != nil {
			return nil, fmt.Errorf("look up %s: %w", p, err)
		}
		if gone == 0 {
			all = append(all, p)
		}
	}
	return all, nil
}

// outcomeWords tell the old owner and the sponsors how an offer ended. Titles are
// left out: not all of them may see all of it.
func outcomeWords(o handoff.Handoff) string {
	s := offerOutcome(o) + fmt.Sprintf(" (`%s`).", o.ID)
	for _, state := range []string{handoff.StateAccepted, handoff.StateDeclined, handoff.StateExpired, handoff.StateGone} {
		items := o.Of(state)
		if len(items) == 0 {
			continue
		}
		var ids []string
		for _, i := range items {
			id := "`" + i.ID + "`"
			if i.Kind == handoff.KindThread {
				id = "a thread"
			}
			ids = append(ids, id)
		}
		s += fmt.Sprintf("\n- %s: %s", state, strings.Join(ids, ", "))
		if why := items[0].Why; why != "" && state != handoff.StateAccepted {
			s += " (" + harmlessWords(why) + ")"
		}
	}
	return s
}

// harmlessWords are a person's words that stand in a text of ours: they mention
// nobody but single people.
func harmlessWords(s string) string {
	kept := mentionForm.ReplaceAllString(escape(clip(strings.Join(strings.Fields(s), " "), shownArg)), "<$1>")
	return strings.NewReplacer("&lt;", "‹", "&gt;", "›", "&amp;", "&", "`", "'").Replace(kept)
}

// asked shows a lapse to those who are asked: a card each, and its edits.
func (h *Handover) asked(tx *migrations.Tx, l handoff.Lapse, what string) error {
	s, err := identity.SponsorshipOf(tx, l.Workspace)
	if err != nil {
		return err
	}
	to := l.Asked
	if len(to) == 0 {
		if to, err = h.Notices.places(tx, l.Workspace, s); err != nil {
			return err
		}
	}
	if len(to) == 0 {
		h.Logger.Warn().Str("lapse", l.ID).Msg("nobody to ask what becomes of work whose owner is gone: set admin_channel or sponsor")
	}
	for _, place := range to {
		card, err := h.lapseCard(tx, l, place)
		if err != nil {
			return err
		}
		key := "notice:lapse:" + l.ID + ":" + place
		p := noticePost(l.Workspace, place, s, key, lapseText(l))
		p.Card = &card
		var shown int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM outbox WHERE post_key = $1`, key).Scan(&shown); err != nil {
			return fmt.Errorf("find card of %s: %w", l.ID, err)
		}
		switch {
		case what == handoff.LapseReminder: // a new one, so that it is seen
			p.Key = fmt.Sprintf("%s:reminder:%d", key, l.Reminded())
			p.Text = "Still waiting: " + p.Text
		case shown > 0:
			p.Key, p.UpdateKey = fmt.Sprintf("%s:%s:%d", key, l.State, len(l.Open())), key
		}
		if err := h.Outbox.Queue(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// lapseCard asks one person what becomes of work.
func (h *Handover) lapseCard(tx *migrations.Tx, l handoff.Lapse, viewer string) (Card, error) {
	c := Card{Title: lapseText(l), Note: l.ID + " · for those who are asked, my sponsor or an admin of the workspace"}
	var lines []string
	held := false
	for _, i := range l.Items {
		line, err := h.itemLine(tx, l.Workspace, viewer, i.Ref, i.SeenBy(viewer))
		if err != nil {
			return c, err
		}
		if held = held || i.Held; i.Held {
			line += " – paused"
		}
		if !i.Open {
			line += " – settled"
		}
		lines = append(lines, line)
	}
	c.Texts = grouped(lines)
	if l.State != "open" {
		c.Facts = []Fact{{"Settled", escapeMentioning(lapseHow(l))}}
		c.Note = l.ID + " · " + slackTime(l.EndedAt)
		return c, nil
	}
	if owner := l.Items[0].Owner; owner != "" {
		c.Facts = append(c.Facts, Fact{"Kept meanwhile by", whoMention(owner)})
	}
	keep := "Keep as it is"
	if held {
		keep = "Keep paused"
	}
	c.Buttons = []Button{{ID: ButtonHand, Text: "Hand to…", Value: l.ID, Style: "primary"}, {ID: ButtonKeepPaused, Text: keep, Value: l.ID}}
	if l.OfPlace() {
		c.Buttons = append([]Button{{ID: ButtonDirect, Text: "Report to the owner directly", Value: l.ID, Style: "primary"}}, c.Buttons[1])
	}
	c.Buttons = append(c.Buttons, Button{ID: ButtonEnd, Text: "Delete…", Value: l.ID, Style: "danger"})
	return c, nil
}

// lapseText is the card in one line.
func lapseText(l handoff.Lapse) string {
	what := "What becomes of " + countLapsed(l.Items) + "?"
	if l.State != "open" {
		what = "Settled: " + countLapsed(l.Items) + "."
	}
	return what + " " + strings.ToUpper(l.Words()[:1]) + l.Words()[1:] + "."
}

func lapseHow(l handoff.Lapse) string {
	who := whoMention(l.EndedBy)
	if l.EndedBy == "system" {
		return l.EndedHow
	}
	words := map[string]string{handoff.LapseKeep: "stays as it is", handoff.LapseTake: "taken for good", handoff.LapseDelete: "deleted", handoff.LapseDirect: "reports to the owner by direct message"}
	return first(words[l.EndedHow], l.EndedHow) + ", said by " + who
}

// planned shows a plan to who asked for it, and what became of it.
func (h *Handover) planned(tx *migrations.Tx, p handoff.Plan) error {
	if p.AskedBy == "" || p.AskedBy[0] != 'U' && p.AskedBy[0] != 'W' {
		return nil
	}
	var lines []string
	for _, i := range p.Items {
		line, err := h.itemLine(tx, p.Workspace, p.AskedBy, i.Ref, i.Seen)
		if err != nil {
			return err
		}
		to := "*nobody yet*"
		if i.To != "" {
			to = "<@" + i.To + ">"
		}
		lines = append(lines, line+" → "+to+" ("+escapeMentioning(i.Why)+")")
	}
	c := Card{Title: planTitle(p), Texts: grouped(lines), Note: p.ID + " · each new owner gets a brief and accepts or declines; until then nothing changes hands"}
	text := planTitle(p)
	if p.State == handoff.PlanProposed {
		c.Buttons = []Button{{ID: ButtonConfirm, Text: "Confirm: make these offers", Value: p.ID, Style: "primary"}, {ID: ButtonRedraw, Text: "Change…", Value: p.ID}, {ID: ButtonDrop, Text: "Drop", Value: p.ID, Style: "danger"}}
	}
	post := h.card(p.Workspace, p.AskedBy, "handoff:"+p.ID+":card", text, c)
	var shown int
	if err := tx.QueryRow(`SELECT COUNT(*) FROM outbox WHERE post_key = $1`, post.Key).Scan(&shown); err != nil {
		return fmt.Errorf("find card of %s: %w", p.ID, err)
	}
	if shown > 0 {
		post.UpdateKey = post.Key
		post.Key += fmt.Sprintf(":%s:%d", p.State, migrations.Micros(tx.Now()))
	}
	return h.Outbox.Queue(tx, post)
}

func planTitle(p handoff.Plan) string {
	when := ""
	if !p.LeavesAt.IsZero() {
		when = " on " + p.LeavesAt.Format("Monday 2 January 2006")
	}
	switch p.State {
	case handoff.PlanProposed:
		return fmt.Sprintf("When <@%s> leaves%s: who takes what?", p.Person, when)
	case handoff.PlanConfirmed:
		return fmt.Sprintf("Confirmed by <@%s>: the offers are made. What is not accepted%s goes to my sponsor", p.ConfirmedBy, when)
	case handoff.PlanDropped:
		return "Dropped: nothing was offered"
	}
	return fmt.Sprintf("Done: what <@%s> owned was offered%s", p.Person, when)
}

// grouped are lines in sections of a card.
func grouped(lines []string) []string {
	var all []string
	for part := range slices.Chunk(lines, linesPerText) {
		all = append(all, strings.Join(part, "\n"))
	}
	return all
}

func countKinds(duties, threads int) string {
	var all []string
	for _, c := range []struct {
		n    int
		word string
	}{{duties, "duty"}, {threads, "thread"}} {
		switch {
		case c.n == 1:
			all = append(all, "1 "+c.word)
		case c.n > 1 && c.word == "duty":
			all = append(all, fmt.Sprintf("%d duties", c.n))
		case c.n > 1:
			all = append(all, fmt.Sprintf("%d threads", c.n))
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, " and ")
}

func countItems(items []handoff.Item) string {
	duties := 0
	for _, i := range items {
		if i.Kind == handoff.KindDuty {
			duties++
		}
	}
	return countKinds(duties, len(items)-duties)
}

func countLapsed(items []handoff.LapseItem) string {
	duties := 0
	for _, i := range items {
		if i.Kind == handoff.KindDuty {
			duties++
		}
	}
	return countKinds(duties, len(items)-duties)
}

func countedAre(n int, word string) string {
	if n == 1 {
		return "1 " + word + " was"
	}
	return fmt.Sprintf("%d %ss were", n, word)
}
