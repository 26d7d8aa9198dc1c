package bot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler"
)

// Ids of buttons on the cards of duties; their value is the duty's id.
const (
	ButtonDutyConfirm = "duty_confirm"
	ButtonDutyChange  = "duty_change"
	ButtonDutyCancel  = "duty_cancel" // of one that is not confirmed
	ButtonDutyUndo    = "duty_undo"   // of a single one, while it has not run
)

// nextShown is how many of the next times people see before they confirm.
const nextShown = 5

// DutyCards show people what a duty is, and keep what they were shown true.
type DutyCards struct {
	Outbox *Outbox
	Duties *scheduler.Scheduler
}

func dutyCardKey(id string) string { return "duty:" + id + ":card:" }

// Show owes people the card of a duty. p says where and for whom; its key is made
// of name, which tells the cards of one duty apart.
func (c DutyCards) Show(tx *migrations.Tx, d scheduler.Duty, name string, p Post) error {
	card := dutyCard(d, tx.Now())
	p.Workspace, p.Key, p.Text, p.Card, p.Ours, p.Tool = d.Workspace, dutyCardKey(d.ID)+name, DutyLine(d, tx.Now()), &card, true, ToolCard
	return c.Outbox.Queue(tx, p)
}

// shownCard is a card of a duty that was owed to people.
type shownCard struct{ key, channel, thread string }

func (c DutyCards) shown(tx *migrations.Tx, id string) ([]shownCard, error) {
	prefix := dutyCardKey(id)
	// The range is that of the keys that begin with the prefix; edits and the further
	// parts of a post have a second name.
	rows, err := tx.Query(`SELECT post_key, channel, thread_ts FROM outbox WHERE post_key >= $1 AND post_key < $2 AND state IN ('queued', 'sent') ORDER BY id`, prefix, prefix+"~")
	if err != nil {
		return nil, fmt.Errorf("find cards of %s: %w", id, err)
	}
	defer rows.Close()
	var all []shownCard
	for rows.Next() {
		var s shownCard
		if err := rows.Scan(&s.key, &s.channel, &s.thread); err != nil {
			return nil, fmt.Errorf("find cards of %s: %w", id, err)
		}
		if !strings.ContainsAny(s.key[len(prefix):], "#@") {
			all = append(all, s)
		}
	}
	return all, rows.Err()
}

// Redraw owes the edits of all cards of a duty: what they say is what it is now.
func (c DutyCards) Redraw(tx *migrations.Tx, d scheduler.Duty) error {
	all, err := c.shown(tx, d.ID)
	if err != nil {
		return err
	}
	card := dutyCard(d, tx.Now())
	for _, s := range all {
		p := c.post(d, s)
		p.Key, p.UpdateKey, p.Text, p.Card, p.Tool = fmt.Sprintf("%s@%d", s.key, migrations.Micros(tx.Now())), s.key, DutyLine(d, tx.Now()), &card, ToolCard
		if err := c.Outbox.Queue(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// post is a post beside a card.
func (c DutyCards) post(d scheduler.Duty, s shownCard) Post {
	p := Post{Workspace: d.Workspace, Channel: s.channel, Thread: s.thread, Ours: true, Requester: d.Owner, Label: d.Label}
	if p.toPerson() {
		p.ChannelKind = ChannelDirect
	}
	return p
}

// Tell owes a sentence about a duty to where its first card is, else to its owner.
func (c DutyCards) Tell(tx *migrations.Tx, d scheduler.Duty, key, text string) error {
	all, err := c.shown(tx, d.ID)
	if err != nil {
		return err
	}
	s := shownCard{channel: d.Owner}
	if len(all) > 0 {
		s = all[0]
	}
	p := c.post(d, s)
	p.Key, p.Text, p.Tool = key, text, ToolReply
	return c.Outbox.Queue(tx, p)
}

// TellOwner owes the owner of a duty, by direct message, what somebody else did with
// it: "paused", "changed". key is of what they did.
func (c DutyCards) TellOwner(tx *migrations.Tx, d scheduler.Duty, by, did, key string) error {
	if by == d.Owner || !personForm.MatchString(d.Owner) { // an operator's has nobody in Slack
		return nil
	}
	line := DutyLine(d, tx.Now())
	if d.State == scheduler.StateDeleted {
		line = fmt.Sprintf("%s (`%s`), %s.", d.Title, d.ID, d.When)
	}
	p := c.post(d, shownCard{channel: d.Owner})
	p.Key, p.Tool = "duty:"+d.ID+":"+did+":"+key, ToolReply
	p.Text = fmt.Sprintf("<@%s> %s your duty: %s", by, did, line)
	return c.Outbox.Queue(tx, p)
}

// Pause keeps a duty from running until a time, or with the zero time until it is
// resumed; an owner who did not ask for it is told. key is of the request.
func (c DutyCards) Pause(ctx context.Context, id, by string, until time.Time, key string) (d scheduler.Duty, err error) {
	err = c.Duties.Write(ctx, func(tx *migrations.Tx) error {
		if d, err = c.Duties.PauseTx(tx, id, by, until, ""); err != nil {
			return err
		}
		return c.TellOwner(tx, d, by, "paused", key)
	})
	return d, err
}

// Delete ends a duty, and owes the edits of its cards, in one transaction; an owner
// who did not ask for it is told.
func (c DutyCards) Delete(ctx context.Context, id, by string) (d scheduler.Duty, err error) {
	err = c.Duties.Write(ctx, func(tx *migrations.Tx) error {
		if d, err = c.Duties.DeleteTx(tx, id, by, ""); err != nil {
			return err
		}
		if err := c.TellOwner(tx, d, by, "deleted", ""); err != nil {
			return err
		}
		return c.Redraw(tx, d)
	})
	return d, err
}

// Here are the duties that wait to be confirmed by their owner and that were asked
// for in a thread, oldest first.
func (c DutyCards) Here(tx *migrations.Tx, workspace, owner, threadKey string) ([]scheduler.Duty, error) {
	all, requests, err := c.Duties.Unconfirmed(tx, workspace, owner)
	if err != nil {
		return nil, err
	}
	var here []scheduler.Duty
	for i, d := range all {
		var n int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM turns WHERE id = $1 AND thread_key = $2`, turnOf(requests[i]), threadKey).Scan(&n); err != nil {
			return nil, fmt.Errorf("find thread of duty %s: %w", d.ID, err)
		}
		if n > 0 {
			here = append(here, d)
		}
	}
	return here, nil
}

// duties are those that the turn has made or changed, each once.
func (t *Turn) duties() []string {
	var all []string
	for _, s := range t.Steps {
		if s.Outcome == nil || s.Outcome.Error != "" || s.Outcome.Result.Ref == "" || s.Outcome.Call.Name != toolDutyCreate && s.Outcome.Call.Name != toolDutyChange {
			continue
		}
		all = append(all, s.Outcome.Result.Ref)
	}
	return unique(all)
}

func unique(words []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, w := range words {
		if !seen[w] {
			out = append(out, w)
		}
		seen[w] = true
	}
	return out
}

// showDuties owes the cards of what the turn has made or changed.
func (l *Loop) showDuties(tx *migrations.Tx, t *Turn) error {
	cards := DutyCards{l.Outbox, l.Duties}
	for _, id := range t.duties() {
		d, err := l.Duties.AnyTx(tx, id)
		if err != nil {
			return err
		}
		if err := cards.Redraw(tx, d); err != nil {
			return err
		}
		p := l.reply(t, "")
		if err := cards.Show(tx, d, t.ID, p); err != nil {
			return err
		}
	}
	return nil
}

// DutyLine is a duty in one line of Markdown.
func DutyLine(d scheduler.Duty, now time.Time) string {
	line := fmt.Sprintf("%s, %s, in %s, owner <@%s>", d.Title, d.When, placeMention(d.Channel), d.Owner)
	switch {
	case d.Unconfirmed():
		return fmt.Sprintf("Please confirm duty `%s`: %s. Next: %s. It does not run before that; say `yes` here, or press the button.", d.ID, line, strings.Join(NextTimes(d, now), "; "))
	case d.State == scheduler.StateDeleted:
		return fmt.Sprintf("Not any more: duty `%s` (%s)", d.ID, d.Title)
	case d.State == scheduler.StateDone:
		return fmt.Sprintf("Done: duty `%s` (%s)", d.ID, d.Title)
	}
	line = fmt.Sprintf("Duty `%s`: %s", d.ID, line)
	if d.State == scheduler.StatePaused {
		return line + ". " + PausedWords(d)
	}
	if next := NextTimes(d, now); len(next) > 1 {
		line += ". Next: " + strings.Join(next, "; ")
	}
	return line
}

// PausedWords say since when, until when and why a duty does not run; "" for one
// that does.
func PausedWords(d scheduler.Duty) string {
	if d.State != scheduler.StatePaused {
		return ""
	}
	words := "Paused"
	if !d.PausedUntil.IsZero() {
		words += " until " + DutyTime(d, d.PausedUntil)
	}
	if d.PausedWhy != "" {
		words += ": " + d.PausedWhy
	}
	return words
}

// DutyTime is a time as the duty's zone shows it.
func DutyTime(d scheduler.Duty, at time.Time) string {
	loc, err := time.LoadLocation(d.Schedule.TZ)
	if err != nil {
		loc = time.UTC
	}
	return at.In(loc).Format("Mon 2 Jan 15:04")
}

// NextTimes are the next five times of a duty, as its zone shows them; of one that
// is paused those that it would have.
func NextTimes(d scheduler.Duty, now time.Time) []string {
	var all []string
	for _, at := range nextTimes(d, now) {
		all = append(all, DutyTime(d, at))
	}
	return all
}

func nextTimes(d scheduler.Duty, now time.Time) []time.Time {
	if d.NextAt.IsZero() {
		return nil
	}
	if d.State == scheduler.StateActive || d.NextAt.After(now) {
		return append([]time.Time{d.NextAt}, d.Schedule.Times(d.NextAt, nextShown-1)...)
	}
	return d.Schedule.Times(now, nextShown)
}

// dutyCard shows all that a duty is.
func dutyCard(d scheduler.Duty, now time.Time) Card {
	folded := false
	c := Card{
		Title: dutyTitle(d),
		Facts: []Fact{
			{"What", quoteArg(d.Prompt, &folded)},
			{"When", escapeMentioning(d.When)},
		},
		Note: d.ID + " · `/deskmate duty show " + d.ID + "`",
	}
	if d.State == scheduler.StateDeleted || d.State == scheduler.StateDone {
		return c
	}
	add := func(name, value string) {
		if value != "" {
			c.Facts = append(c.Facts, Fact{name, value})
		}
	}
	if d.Schedule.Cron != "" {
		add("Next times", strings.Join(NextTimes(d, now), " · "))
	}
	add("Where", DutyPlace(d))
	add("Owner", "<@"+d.Owner+">")
	add("Time zone", escape(d.Schedule.TZ))
	if d.Kind != scheduler.KindOnce {
		add("Missed times", CatchUpWords(d.CatchUp))
		add("If the run before is still at work", OverlapWords(d.Overlap))
	}
	add("Limits", escape(DutyLimits(d)))
	add("Tools", ToolWords(d.Tools))
	if !d.Unconfirmed() {
		add("State", escape(PausedWords(d)))
	}
	value := d.ID
	switch {
	case d.Unconfirmed():
		c.Note = fmt.Sprintf("%s · it does not run before it is confirmed, and is deleted %s if nobody does · for its owner, my sponsor or an admin", d.ID, slackTime(d.CreatedAt.Add(scheduler.ConfirmWithin)))
		c.Buttons = []Button{{ID: ButtonDutyConfirm, Text: "Confirm", Value: value, Style: "primary"}, {ID: ButtonDutyChange, Text: "Change…", Value: value},
			{ID: ButtonDutyCancel, Text: "Cancel", Value: value, Style: "danger"}}
	case d.Kind == scheduler.KindOnce:
		c.Buttons = []Button{{ID: ButtonDutyUndo, Text: "Undo", Value: value}, {ID: ButtonDutyChange, Text: "Change…", Value: value}}
	default:
		c.Buttons = []Button{{ID: ButtonDutyChange, Text: "Change…", Value: value}}
	}
	return c
}

func dutyTitle(d scheduler.Duty) string {
	word := "Duty"
	switch {
	case d.Unconfirmed():
		word = "Please confirm"
	case d.State == scheduler.StateDeleted:
		word = "Not any more"
	case d.State == scheduler.StateDone:
		word = "Done"
	case d.Kind == scheduler.KindOnce:
		word = "Noted"
	}
	return word + ": " + escape(d.Title)
}

// DutyPlace says in mrkdwn where the results of a duty appear.
func DutyPlace(d scheduler.Duty) string {
	how := map[string]string{
		scheduler.ReportRun: "each result as a message of its own", scheduler.ReportDay: "all results of a day under one message", scheduler.ReportThread: "in the thread where it was asked for",
	}[d.Report]
	if d.Silent {
		how += "; nothing to report is not said"
	}
	return placeMention(d.Channel) + ": " + how
}

// CatchUpWords say what becomes of missed times.
func CatchUpWords(policy string) string {
	return map[string]string{
		scheduler.CatchUpOnce: "one run for all of them", scheduler.CatchUpSkip: "left out", scheduler.CatchUpAll: "a run for each, ten at most",
	}[policy]
}

// OverlapWords say what becomes of a due time while a run is at work.
func OverlapWords(policy string) string {
	return map[string]string{
		scheduler.OverlapWait: "the next one waits for it", scheduler.OverlapSkip: "the next one is left out", scheduler.OverlapStop: "it is stopped, and the next one begins",
	}[policy]
}

// DutyLimits are the limits of a duty in words, "" for none.
func DutyLimits(d scheduler.Duty) string {
	var all []string
	if !d.Schedule.Until.IsZero() {
		all = append(all, "until "+DutyTime(d, d.Schedule.Until))
	}
	if d.MostRuns > 0 {
		all = append(all, fmt.Sprintf("%d runs in all", d.MostRuns))
	}
	if d.Quiet != "" {
		all = append(all, "not in quiet hours ("+d.Quiet+")")
	}
	if d.RunTokens > 0 {
		all = append(all, fmt.Sprintf("%d tokens a run", d.RunTokens))
	}
	return strings.Join(all, ", ")
}

// ToolWords name the only tools that a duty may use.
func ToolWords(tools []string) string {
	if tools == nil {
		return "those that its place and owner may use"
	}
	return "only `" + escape(strings.Join(tools, "`, `")) + "`"
}
