package bot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/identity"
	"deskmate/scheduler"
)

// dutyTools make duties and steer them. now is the store's clock.
func dutyTools(s *scheduler.Scheduler, people *Directory, now func() time.Time) []Tool {
	t := dutyTool{s, people, now}
	which := object("duty", "id of the duty, or words of its title")
	return []Tool{
		{Name: "duty_create", Class: identity.ClassWrite, Run: t.create, Repeatable: true,
			Schema: object("when", "the time in the person's own words, such as: every weekday at 9:30; tomorrow at 9; in 20 minutes",
				"what", "what to do then, as an instruction to yourself", "title?", "a short name"),
			Description: "Take on something for later or again and again. The result appears in this channel; local times are the requester's."},
		{Name: "duty_list", Class: identity.ClassRead, Run: t.list, Repeatable: true, Schema: object(),
			Description: "List the duties of this channel, with when each is due next."},
		{Name: "duty_pause", Class: identity.ClassWrite, Repeatable: true, Schema: which, Description: "Pause a duty of this channel until it is resumed.",
			Run: t.steer("Paused", s.Pause)},
		{Name: "duty_resume", Class: identity.ClassWrite, Repeatable: true, Schema: which, Description: "Let a paused duty run again.",
			Run: t.steer("Resumed", s.Resume)},
		{Name: "duty_delete", Class: identity.ClassWrite, Repeatable: true, Schema: which, Description: "End a duty of this channel for good.",
			Run: t.steer("Deleted", s.Delete)},
		{Name: "duty_run", Class: identity.ClassWrite, Repeatable: true, Schema: which, Description: "Run a duty of this channel once now, beside its schedule.",
			Run: t.run},
	}
}

type dutyTool struct {
	scheduler *scheduler.Scheduler
	people    *Directory
	now       func() time.Time
}

func (t dutyTool) create(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ When, What, Title string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	p, err := t.people.Person(ctx, c.Turn.Workspace, c.Event.User)
	if err != nil {
		return identity.Result{}, slackFailure("look up your time zone", err)
	}
	schedule, rest, err := scheduler.ParsePhrase(a.When, t.now(), p.TZ)
	if err != nil {
		return identity.Result{}, badArgument("%s", err)
	}
	if strings.TrimSpace(a.What) == "" {
		a.What = rest // the whole sentence stood in when
	}
	d, err := t.scheduler.Create(ctx, scheduler.NewDuty{
		Workspace: c.Turn.Workspace, Channel: c.Turn.Channel, ChannelKind: c.Place.ChannelKind, Title: a.Title, Prompt: a.What,
		Schedule: schedule, Owner: c.Event.User, Request: c.Key,
	})
	if err != nil {
		return identity.Result{}, badArgument("%s", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Duty %s made: %s, %s. Owner: <@%s>.", d.ID, d.Title, d.When, d.Owner)
	if d.Kind == "schedule" {
		b.WriteString(" Next times:")
		for _, at := range append([]time.Time{d.NextAt}, d.Schedule.Times(d.NextAt, 4)...) {
			fmt.Fprintf(&b, " %s;", t.local(d, at))
		}
	}
	return text("%s", strings.TrimSuffix(b.String(), ";"))
}

// local is a time as the duty's zone shows it.
func (t dutyTool) local(d scheduler.Duty, at time.Time) string {
	loc, err := time.LoadLocation(d.Schedule.TZ)
	if err != nil {
		loc = time.UTC
	}
	return at.In(loc).Format("Mon 2 Jan 15:04")
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
		next := "paused"
		if d.State == scheduler.StateActive {
			next = "next " + t.local(d, d.NextAt)
		}
		fmt.Fprintf(&b, "- %s: %s, %s, %s, owner <@%s>\n", d.ID, d.Title, d.When, next, d.Owner)
	}
	return text("%s", b.String())
}

// here are the duties that report to the place of the call. Those of other
// places are nobody's business here.
func (t dutyTool) here(ctx context.Context, c Call) ([]scheduler.Duty, error) {
	all, err := t.scheduler.List(ctx, scheduler.Filter{Workspace: c.Turn.Workspace, Channel: c.Turn.Channel})
	if err != nil {
		return nil, fmt.Errorf("list duties: %w", err)
	}
	return all, nil
}

// find is the one duty here that was meant, by id or words.
func (t dutyTool) find(ctx context.Context, c Call) (scheduler.Duty, error) {
	var a struct{ Duty string }
	if err := c.decode(&a); err != nil {
		return scheduler.Duty{}, err
	}
	all, err := t.here(ctx, c)
	if err != nil {
		return scheduler.Duty{}, err
	}
	words := strings.Fields(strings.ToLower(strings.Trim(a.Duty, "`\"' ")))
	var found []scheduler.Duty
	for _, d := range all {
		if len(words) == 1 && d.ID == words[0] {
			return d, nil
		}
		fits := len(words) > 0
		for _, w := range words {
			fits = fits && (strings.Contains(strings.ToLower(d.Title+" "+d.Prompt+" "+d.When), w) || isFiller(w))
		}
		if fits {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return scheduler.Duty{}, badArgument("no duty of this channel fits %q; duty_list shows them", a.Duty)
	}
	var ids []string
	for _, d := range found {
		ids = append(ids, d.ID+" ("+d.Title+")")
	}
	return scheduler.Duty{}, badArgument("%d duties fit %q, name one by its id: %s", len(found), a.Duty, strings.Join(ids, ", "))
}

func isFiller(word string) bool {
	switch word {
	case "the", "a", "an", "duty", "duties", "my", "our", "reminder", "to", "about", "for":
		return true
	}
	return false
}

func (t dutyTool) steer(done string, change func(ctx context.Context, id, by string) (scheduler.Duty, error)) func(context.Context, Call) (identity.Result, error) {
	return func(ctx context.Context, c Call) (identity.Result, error) {
		d, err := t.find(ctx, c)
		if err != nil {
			return identity.Result{}, err
		}
		d, err = change(ctx, d.ID, c.Event.User)
		if errors.Is(err, scheduler.ErrNoDuty) {
			return identity.Result{}, badArgument("that duty is gone already")
		}
		if err != nil {
			return identity.Result{}, err
		}
		next := ""
		if d.State == scheduler.StateActive {
			next = ", next " + t.local(d, d.NextAt)
		}
		return text("%s: %s (%s), %s%s.", done, d.Title, d.ID, d.When, next)
	}
}

func (t dutyTool) run(ctx context.Context, c Call) (identity.Result, error) {
	d, err := t.find(ctx, c)
	if err != nil {
		return identity.Result{}, err
	}
	if _, err := t.scheduler.RunNow(ctx, d.ID, c.Event.User, c.Key); err != nil {
		return identity.Result{}, err
	}
	return text("%s (%s) runs now; its result appears in this channel.", d.Title, d.ID)
}
