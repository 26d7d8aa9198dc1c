package bot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/identity"
	"deskmate/identity/label"
	"deskmate/migrations"
	"deskmate/scheduler"
)

const (
	toolDutyCreate = "duty_create"
	toolDutyChange = "duty_change"
)

// dutyOptions are the arguments that duty_create and duty_change share.
var dutyOptions = []string{
	"title?", "a short name",
	"where?", "where the results appear: here (the default), thread (this thread), dm (a direct message to the requester), or another channel: #name or its id",
	"report?", "run (the default: each result is a message of its own) or day (the results of a day under one message)",
	"silent?", "yes: when there is nothing to report, nothing is said",
	"quiet?", "hours in which it does not run, such as: mon-fri 22:00-07:00",
	"catch_up?", "what becomes of times that are missed: once (the default: one run for all), skip, all",
	"overlap?", "if the run before is still at work: wait (the default), skip, stop",
	"until?", "when it ends, in the person's own words, if the time does not say it",
	"most?", "how often it runs in all, a number",
	"tools?", "the only tools that it may use, by name, separated by commas; all that are granted if left out",
}

// cardFollows ends what a tool says of a duty that people are shown a card of.
const cardFollows = " A card with all of it follows your answer: do not repeat it."

// dutyTools make duties and steer them.
func dutyTools(b Toolbox) []Tool {
	t := dutyTool{b.Duties, b.People, b.Clock, slackTool{people: b.People}, b.DutyRules(), DutyCards{b.Outbox, b.Duties}}
	which := []string{"duty", "id of the duty, or words of its title"}
	with := func(pairs ...string) []string { return append(pairs, dutyOptions...) }
	return []Tool{
		{Name: toolDutyCreate, Class: identity.ClassWrite, Run: t.create, Repeatable: true, Target: t.target,
			Schema: object(with("when", "the time in the person's own words, never a cron expression, such as: every weekday at 9:30; tomorrow at 9; in 20 minutes",
				"what", "what to do then, as an instruction to yourself")...),
			Description: "Take on something for later or again and again. Local times are the requester's. One that repeats waits for the requester to confirm it; you cannot confirm it."},
		{Name: toolDutyChange, Class: identity.ClassWrite, Run: t.change, Repeatable: true, Target: t.target,
			Schema:      object(append(append([]string{}, which...), with("when?", "the new time, in the person's own words", "what?", "what to do, as an instruction to yourself")...)...),
			Description: "Change what a duty of this channel is: only what is given changes. For its owner, the sponsor or an admin."},
		{Name: "duty_list", Class: identity.ClassRead, Run: t.list, Repeatable: true, Schema: object(),
			Description: "List the duties of this channel, with when each is due next."},
		{Name: "duty_history", Class: identity.ClassRead, Run: t.history, Repeatable: true, Schema: object(which...),
			Description: "Show the newest runs of a duty of this channel, and what became of them."},
		{Name: "duty_pause", Class: identity.ClassWrite, Repeatable: true, Run: t.pause,
			Schema:      object(append(append([]string{}, which...), "until?", "until when, in the person's own words, such as: Monday; for two weeks")...),
			Description: "Pause a duty of this channel, or all that the person owns (duty: all), until a time, or until it is resumed."},
		{Name: "duty_resume", Class: identity.ClassWrite, Repeatable: true, Schema: object(which...), Description: "Let a paused duty run again, or all that the person owns (duty: all). For its owner, the sponsor or an admin.",
			Run: t.resume},
		{Name: "duty_delete", Class: identity.ClassWrite, Repeatable: true, Schema: object(which...), Description: "End a duty of this channel for good. For its owner, the sponsor or an admin.",
			Run: t.steer("Deleted", t.cards.Delete)},
		{Name: "duty_run", Class: identity.ClassWrite, Repeatable: true, Schema: object(which...), Description: "Run a duty of this channel once now, beside its schedule. For its owner, the sponsor or an admin.",
			Run: t.run},
		{Name: toolDutySkip, Class: identity.ClassWrite, Schema: object(which...), Description: "Leave out the next due time of a duty of this channel. For its owner, the sponsor or an admin.",
			Run: t.steer("Skipped the next time", t.scheduler.SkipNext)},
		{Name: toolDutyTry, Class: identity.ClassRead, Repeatable: true, Schema: object(which...),
			Description: "A dry run: look what a duty of this channel would do now. Nothing is done; the answer comes by itself in this thread. For its owner, the sponsor or an admin.", Run: t.try},
	}
}

const (
	toolDutySkip = "duty_skip"
	toolDutyTry  = "duty_dry_run"
)

// DutyRules are the rules that duties of this toolbox are made by.
func (b Toolbox) DutyRules() DutyRules {
	return DutyRules{Agents: b.Agents, People: b.People, Tools: b.Tools, Connections: func() Connections { return b.Connections }}
}

type dutyTool struct {
	scheduler *scheduler.Scheduler
	people    *Directory
	now       func() time.Time // the store's clock
	channels  slackTool
	rules     DutyRules
	cards     DutyCards
}

// dutyArgs are the arguments of duty_create and duty_change.
type dutyArgs struct {
	Duty, When, What, Title, Where, Report, Silent, Quiet string
	CatchUp                                               string `json:"catch_up"`
	Overlap, Until, Most, Tools                           string
}

func (a dutyArgs) words() DutyWords {
	return DutyWords{When: a.When, What: a.What, Title: a.Title, Report: a.Report, Silent: a.Silent, CatchUp: a.CatchUp, Overlap: a.Overlap, Quiet: a.Quiet, Until: a.Until, Most: a.Most, Tools: a.Tools}
}

// target is the channel that the words of a call would reach, for the gate: text
// from elsewhere is released there or not at all.
func (t dutyTool) target(c Call) string {
	var a dutyArgs
	if c.decode(&a) != nil {
		return ""
	}
	switch strings.ToLower(strings.TrimSpace(a.Where)) {
	case "", "here", "thread", "this thread":
		return ""
	case "dm", "me":
		return c.Event.User
	}
	id, err := t.channels.channel(context.Background(), c, a.Where)
	if err != nil {
		return ""
	}
	return id
}

// place sets where the results of d appear.
func (t dutyTool) place(ctx context.Context, c Call, d *scheduler.Duty, where string) error {
	switch w := strings.ToLower(strings.TrimSpace(where)); w {
	case "":
		return nil
	case "here", "this channel", "thread", "this thread":
		d.Channel, d.ChannelKind, d.Thread = c.Turn.Channel, c.Place.ChannelKind, ""
		if d.Report == scheduler.ReportThread {
			d.Report = scheduler.ReportRun
		}
		if strings.HasSuffix(w, "thread") {
			if c.Turn.Thread == "" {
				return badArgument("this is no thread that results could go to; leave where out, and they appear here")
			}
			d.Report, d.Thread = scheduler.ReportThread, c.Turn.Thread
		}
		return nil
	case "dm", "me", "direct message":
		ch, err := t.people.Direct(ctx, c.Turn.Workspace, d.Owner)
		if err != nil {
			return slackFailure("open a direct message", err)
		}
		d.Channel, d.ChannelKind, d.Thread = ch, ChannelDirect, ""
		return nil
	}
	id, err := t.channels.channel(ctx, c, where)
	if err != nil {
		return err
	}
	if id == c.Turn.Channel {
		return t.place(ctx, c, d, "here")
	}
	ch, err := t.rules.PlaceFor(ctx, c.Turn.Workspace, d.Owner, id)
	if err != nil {
		return err
	}
	d.Channel, d.ChannelKind, d.Thread = ch.ID, ch.Kind, ""
	if d.Report == scheduler.ReportThread {
		d.Report = scheduler.ReportRun
	}
	return nil
}

func (t dutyTool) create(ctx context.Context, c Call) (identity.Result, error) {
	var a dutyArgs
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	if a.Duty != "" {
		return identity.Result{}, badArgument("the arguments do not fit the tool: duty is of duty_change")
	}
	p, err := t.people.Person(ctx, c.Turn.Workspace, c.Event.User)
	if err != nil {
		return identity.Result{}, slackFailure("look up your time zone", err)
	}
	d := scheduler.Duty{Workspace: c.Turn.Workspace, Channel: c.Turn.Channel, ChannelKind: c.Place.ChannelKind, Owner: c.Event.User}
	if a.When == "" {
		return identity.Result{}, badArgument("when is missing: the time in the person's own words")
	}
	if err := a.words().Say(&d, t.now(), p.TZ); err != nil {
		return identity.Result{}, err
	}
	if d.Report == scheduler.ReportThread && a.Where == "" {
		a.Where = "thread"
	}
	if err := t.place(ctx, c, &d, a.Where); err != nil {
		return identity.Result{}, err
	}
	if err := t.rules.CheckTools(ctx, d); err != nil {
		return identity.Result{}, err
	}
	n := d.New()
	n.Label, n.Request, n.Confirm = c.Turn.label(), c.Key, d.Schedule.Cron != ""
	if d, err = t.scheduler.Create(ctx, n); err != nil {
		return identity.Result{}, badArgument("%s", err)
	}
	said := fmt.Sprintf("Duty %s made: %s, %s. Owner: <@%s>.", d.ID, d.Title, d.When, d.Owner)
	if d.Unconfirmed() {
		said = fmt.Sprintf("Duty %s waits to be confirmed by <@%s>, and does not run before that: %s, %s.", d.ID, d.Owner, d.Title, d.When)
	}
	return identity.Result{Text: said + cardFollows, Ref: d.ID}, nil
}

func (t dutyTool) change(ctx context.Context, c Call) (identity.Result, error) {
	var a dutyArgs
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	found, err := t.find(ctx, c, a.Duty)
	if err != nil {
		return identity.Result{}, err
	}
	if err := t.allowed(ctx, c, found); err != nil {
		return identity.Result{}, err
	}
	a.Duty = ""
	if a == (dutyArgs{}) {
		return identity.Result{}, badArgument("nothing is named that should change")
	}
	alter := func(d *scheduler.Duty) error {
		if err := a.words().Say(d, t.now(), d.Schedule.TZ); err != nil {
			return err
		}
		if err := t.place(ctx, c, d, a.Where); err != nil {
			return err
		}
		d.Label = label.Join(d.Label, c.Turn.label())
		return t.rules.CheckTools(ctx, *d)
	}
	tried := found // what asks Slack is asked before the transaction
	if err := alter(&tried); err != nil {
		return identity.Result{}, err
	}
	var d scheduler.Duty
	err = t.scheduler.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if d, err = t.scheduler.EditTx(tx, found.ID, c.Event.User, func(d *scheduler.Duty) error {
			d.Become(tried)
			return nil
		}); err != nil {
			return err
		}
		return t.cards.TellOwner(tx, d, c.Event.User, "changed", c.Key)
	})
	if err != nil {
		return identity.Result{}, badArgument("%s", err)
	}
	return identity.Result{Text: fmt.Sprintf("Changed duty %s: %s, %s.", d.ID, d.Title, d.When) + cardFollows, Ref: d.ID}, nil
}

func (t dutyTool) list(ctx context.Context, c Call) (identity.Result, error) {
	if err := c.decode(&struct{}{}); err != nil {
		return identity.Result{}, err
	}
	all, err := t.here(ctx, c)
	if err != nil {
		return identity.Result{}, err
	}
	if len(all) == 0 {
		return text("There are no duties in this channel.")
	}
	var b strings.Builder
	for _, d := range all {
		fmt.Fprintf(&b, "- %s: %s, %s, %s, owner <@%s>\n", d.ID, d.Title, d.When, DutyState(d), d.Owner)
	}
	return text("%s", b.String())
}

// DutyState is when a duty is due next, or why it is not.
func DutyState(d scheduler.Duty) string {
	switch {
	case d.Unconfirmed():
		return "waits to be confirmed"
	case d.State == scheduler.StatePaused:
		return strings.ToLower(PausedWords(d)[:1]) + PausedWords(d)[1:]
	case d.State != scheduler.StateActive:
		return d.State
	case d.NextAt.IsZero():
		return "active"
	}
	return "next " + DutyTime(d, d.NextAt)
}

func (t dutyTool) steer(done string, change func(ctx context.Context, id, by string) (scheduler.Duty, error)) func(context.Context, Call) (identity.Result, error) {
	return func(ctx context.Context, c Call) (identity.Result, error) {
		d, err := t.own(ctx, c)
		if err != nil {
			return identity.Result{}, err
		}
		return t.steered(ctx, c, done, d.ID, change)
	}
}

func (t dutyTool) resume(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Duty string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	meant, err := t.meant(ctx, c, a.Duty)
	if err != nil {
		return identity.Result{}, err
	}
	for _, d := range meant {
		if err := t.allowed(ctx, c, d); err != nil {
			return identity.Result{}, err
		}
	}
	return t.each(ctx, c, "Resumed", meant, t.scheduler.Resume)
}

// each steers several duties, and says what became of each.
func (t dutyTool) each(ctx context.Context, c Call, done string, all []scheduler.Duty, change func(ctx context.Context, id, by string) (scheduler.Duty, error)) (identity.Result, error) {
	var said []string
	for _, d := range all {
		got, err := t.steered(ctx, c, done, d.ID, change)
		if err != nil && len(all) == 1 {
			return identity.Result{}, err
		}
		if err != nil {
			got.Text = fmt.Sprintf("Not %s: %s (%s): %s.", strings.ToLower(done), d.Title, d.ID, err)
		}
		said = append(said, got.Text)
	}
	return text("%s", strings.Join(said, "\n"))
}

func (t dutyTool) steered(ctx context.Context, c Call, done, id string, change func(ctx context.Context, id, by string) (scheduler.Duty, error)) (identity.Result, error) {
	d, err := change(ctx, id, c.Event.User)
	if errors.Is(err, scheduler.ErrNoDuty) {
		return identity.Result{}, badArgument("that duty is gone already")
	}
	if err != nil {
		return identity.Result{}, badArgument("%s", err)
	}
	next := ""
	if d.State == scheduler.StateActive {
		next = ", " + DutyState(d)
	} else if !d.PausedUntil.IsZero() {
		next = ", until " + DutyTime(d, d.PausedUntil)
	}
	return text("%s: %s (%s), %s%s.", done, d.Title, d.ID, d.When, next)
}

func (t dutyTool) pause(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Duty, Until string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	meant, err := t.meant(ctx, c, a.Duty)
	if err != nil {
		return identity.Result{}, err
	}
	var until time.Time
	if a.Until != "" {
		p, err := t.people.Person(ctx, c.Turn.Workspace, c.Event.User)
		if err != nil {
			return identity.Result{}, slackFailure("look up your time zone", err)
		}
		if until, err = scheduler.ParseUntil(a.Until, t.now(), p.TZ); err != nil {
			return identity.Result{}, badArgument("%s", err)
		}
	}
	return t.each(ctx, c, "Paused", meant, func(ctx context.Context, id, by string) (scheduler.Duty, error) {
		return t.cards.Pause(ctx, id, by, until, c.Key+id)
	})
}

func (t dutyTool) run(ctx context.Context, c Call) (identity.Result, error) {
	d, err := t.own(ctx, c)
	if err != nil {
		return identity.Result{}, err
	}
	if _, err := t.scheduler.RunNow(ctx, d.ID, c.Event.User, c.Key); err != nil {
		return identity.Result{}, badArgument("%s", err)
	}
	return text("%s (%s) runs now; its result appears in this channel.", d.Title, d.ID)
}

func (t dutyTool) try(ctx context.Context, c Call) (identity.Result, error) {
	d, err := t.own(ctx, c)
	if err != nil {
		return identity.Result{}, err
	}
	thread := first(c.Turn.Thread, c.Event.TS)
	if _, err := t.scheduler.DryRun(ctx, d.ID, scheduler.Dry{By: c.Event.User, Channel: c.Turn.Channel, ChannelKind: c.Place.ChannelKind, Thread: thread, Request: c.Key}); err != nil {
		return identity.Result{}, badArgument("%s", err)
	}
	return text("I look what %s (%s) would do now, and say it here. Nothing is done.", d.Title, d.ID)
}

// historyShown is how many runs are told.
const historyShown = 10

func (t dutyTool) history(ctx context.Context, c Call) (identity.Result, error) {
	d, err := t.named(ctx, c)
	if err != nil {
		return identity.Result{}, err
	}
	runs, err := t.scheduler.Runs(ctx, d.ID, historyShown)
	if err != nil {
		return identity.Result{}, err
	}
	return text("%s", DutyHistory(d, runs))
}

// DutyHistory tells the runs of a duty, newest first, in Markdown.
func DutyHistory(d scheduler.Duty, runs []scheduler.Run) string {
	if len(runs) == 0 {
		return fmt.Sprintf("%s (%s) has not run yet.", d.Title, d.ID)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The newest runs of %s (%s):\n", d.Title, d.ID)
	for _, r := range runs {
		fmt.Fprintf(&b, "- %s: %s", DutyTime(d, r.DueAt), r.State)
		if r.Missed > 0 {
			fmt.Fprintf(&b, ", for %d earlier times too", r.Missed)
		}
		if r.Error != "" {
			fmt.Fprintf(&b, " (%s)", r.Error)
		}
		if r.Tokens > 0 {
			fmt.Fprintf(&b, ", %d tokens", r.Tokens)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
