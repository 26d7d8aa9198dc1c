package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/scheduler"
)

// dutyShown is how many duties a list has.
const dutyShown = 40

// duty is /deskmate duty.
func (h *Commands) duty(ctx context.Context, a asking) (string, error) {
	word := "list"
	if len(a.words) > 0 {
		word = strings.ToLower(a.words[0])
	}
	switch word {
	case "list", "mine", "here":
		return h.dutyList(ctx, a, a.words[min(len(a.words), 1):], word)
	case "help":
		return dutyHelp, nil
	case "add", "new", "create":
		return "", h.openDuty(ctx, a)
	}
	if !slices.Contains([]string{"show", "edit", "change", "pause", "resume", "run", "skip", "try", "history", "delete", "confirm"}, word) {
		return "", sorryf("There is no `/deskmate duty %s`. %s", plain(word), dutyHelp)
	}
	if len(a.words) < 2 {
		return "", sorryf("Which one? Say `/deskmate duty %s ID`; `/deskmate duty list` shows the ids.", word)
	}
	d, err := h.dutyOf(ctx, a, a.words[1])
	if err != nil {
		return "", err
	}
	switch word {
	case "show":
		return h.dutyShow(ctx, d)
	case "history":
		runs, err := h.Duties.Scheduler.Runs(ctx, d.ID, 10)
		return bot.DutyHistory(d, runs), err
	}
	switch may, err := h.Duties.Rules.May(ctx, a.User, d); {
	case err != nil:
		return "", err
	case !may:
		return "", sorryf("That was not done: %s. In <#%s> you can still ask me in words to pause it.", bot.MayNot, d.Channel)
	}
	return h.dutySteer(ctx, a, word, d)
}

const dutyHelp = "`/deskmate duty list [mine|here]` lists them, `add` opens a form for a new one; `show`, `edit`, `history`, `run`, `try` (says what it would do), `skip` (the next time), `pause`, `resume` and `delete` take an id: `/deskmate duty pause d_abc until Monday`."

// dutySteer does what somebody who may asks for with a duty.
func (h *Commands) dutySteer(ctx context.Context, a asking, word string, d scheduler.Duty) (string, error) {
	s, err := h.Duties.Scheduler, error(nil)
	switch word {
	case "edit", "change":
		return "", h.Duties.openChange(ctx, a.Key, a.TriggerID, a.User, d)
	case "pause":
		var until time.Time
		if words := strings.Join(a.words[2:], " "); words != "" {
			if until, err = scheduler.ParseUntil(words, h.DB.Now(), d.Schedule.TZ); err != nil {
				return "", sorryf("%s", err)
			}
		}
		d, err = h.Duties.Cards.Pause(ctx, d.ID, a.User, until, a.Key)
	case "resume":
		d, err = s.Resume(ctx, d.ID, a.User)
	case "confirm":
		if err = h.Duties.confirm(ctx, d.ID, a.User); err == nil {
			d, err = s.Get(ctx, d.ID)
		}
	case "run":
		if _, err = s.RunNow(ctx, d.ID, a.User, a.Key); err == nil {
			return fmt.Sprintf("%s (`%s`) runs now; its result appears in <#%s>.", d.Title, d.ID, d.Channel), nil
		}
	case "try":
		to, derr := h.People.Direct(ctx, a.Workspace, a.User)
		if derr != nil {
			return "", derr
		}
		if _, err = s.DryRun(ctx, d.ID, scheduler.Dry{By: a.User, Channel: to, ChannelKind: bot.ChannelDirect, Request: a.Key}); err == nil {
			return fmt.Sprintf("I look what %s (`%s`) would do now, and tell you by direct message. Nothing is done.", d.Title, d.ID), nil
		}
	case "skip":
		d, err = s.SkipNext(ctx, d.ID, a.User)
	case "delete":
		d, err = h.Duties.Cards.Delete(ctx, d.ID, a.User)
	}
	if err != nil {
		return "", sorryf("That was not done: %s.", plain(err.Error()))
	}
	return fmt.Sprintf("%s (`%s`) is %s: %s.", d.Title, d.ID, d.State, bot.DutyState(d)), nil
}

// sees reports whether somebody may read what a duty is: its owner, and who is
// where it reports.
func (h *Commands) sees(ctx context.Context, person string, d scheduler.Duty) bool {
	if d.Owner == person {
		return true
	}
	in, err := h.People.IsIn(ctx, d.Channel, person)
	return err == nil && in
}

// dutyOf is a duty that the person may read; of others nothing is told, not even
// that there are any.
func (h *Commands) dutyOf(ctx context.Context, a asking, id string) (scheduler.Duty, error) {
	d, err := h.Duties.Scheduler.Get(ctx, strings.Trim(id, "`"))
	if err != nil && !errors.Is(err, scheduler.ErrNoDuty) {
		return d, err
	}
	if err != nil || d.Workspace != a.Workspace || !h.sees(ctx, a.User, d) {
		return d, sorryf("I know no duty %s that you could see. `/deskmate duty list` shows yours and those of the channel.", plain(id))
	}
	return d, nil
}

func (h *Commands) dutyList(ctx context.Context, a asking, words []string, which string) (string, error) {
	if len(words) > 0 {
		which = strings.ToLower(words[0])
	}
	if which != "list" && which != "mine" && which != "here" {
		return "", sorryf("Say `/deskmate duty list`, or with `mine` or `here` behind it.")
	}
	var b strings.Builder
	section := func(head string, f scheduler.Filter, skip func(d scheduler.Duty) bool) error {
		all, err := h.Duties.Scheduler.List(ctx, f)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, skip)
		if len(all) == 0 {
			return nil
		}
		fmt.Fprintf(&b, "**%s**\n", head)
		for i, d := range all {
			if i == dutyShown {
				fmt.Fprintf(&b, "- and %d more: `deskmate duty list` on the command line has all\n", len(all)-i)
				break
			}
			fmt.Fprintf(&b, "- `%s` %s: %s, %s, in <#%s>, owner <@%s>\n", d.ID, plain(d.Title), d.When, bot.DutyState(d), d.Channel, d.Owner)
		}
		return nil
	}
	if which != "here" {
		if err := section("Yours", scheduler.Filter{Workspace: a.Workspace, Owner: a.User}, func(scheduler.Duty) bool { return false }); err != nil {
			return "", err
		}
	}
	if which != "mine" {
		mine := func(d scheduler.Duty) bool { return which == "list" && d.Owner == a.User || !h.sees(ctx, a.User, d) }
		if err := section("Of this channel", scheduler.Filter{Workspace: a.Workspace, Channel: a.Channel}, mine); err != nil {
			return "", err
		}
	}
	if b.Len() == 0 {
		return "There are no duties to show. `/deskmate duty add` opens a form for one, or ask me in words: every weekday at 9:30 post Stand-up time.", nil
	}
	return b.String(), nil
}

func (h *Commands) dutyShow(ctx context.Context, d scheduler.Duty) (string, error) {
	runs, err := h.Duties.Scheduler.Runs(ctx, d.ID, 5)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** (`%s`): %s\n", d.Title, d.ID, bot.DutyState(d))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "- %s: %s\n", name, value)
		}
	}
	line("What", "`"+plainLong(d.Prompt)+"`")
	line("When", d.When)
	line("Next times", strings.Join(bot.NextTimes(d, h.DB.Now()), " · "))
	line("Where", bot.DutyPlace(d))
	line("Owner", "<@"+d.Owner+">")
	line("Time zone", d.Schedule.TZ)
	line("Missed times", bot.CatchUpWords(d.CatchUp))
	line("If the run before is still at work", bot.OverlapWords(d.Overlap))
	line("Limits", bot.DutyLimits(d))
	line("Tools", bot.ToolWords(d.Tools))
	for _, r := range runs {
		line("Run of "+bot.DutyTime(d, r.DueAt), r.State+" "+r.Error)
	}
	return b.String(), nil
}

// plainLong is a longer text of somebody's as it can stand in an answer.
func plainLong(s string) string {
	if len(s) > 600 {
		s = strings.ToValidUTF8(s[:600], "") + "…"
	}
	return strings.NewReplacer("`", "'", "\n", " ").Replace(s)
}
