package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"deskmate/bot"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// mostPlaces bounds in how many channels a Home looks for duties.
const mostPlaces = 100

// dutyVerb is something that can be done to a duty at the press of a button.
type dutyVerb struct {
	id, text, style, confirm string
	fits                     func(d scheduler.Duty) bool
	do                       func(ctx context.Context, s *scheduler.Scheduler, d scheduler.Duty, a bot.Action) (told string, err error)
}

// dutyVerbs in the order of their buttons.
func dutyVerbs() []dutyVerb {
	active := func(d scheduler.Duty) bool { return d.State == scheduler.StateActive }
	return []dutyVerb{
		{id: "home_duty_pause", text: "Pause", fits: active,
			do: func(ctx context.Context, s *scheduler.Scheduler, d scheduler.Duty, a bot.Action) (string, error) {
				_, err := s.Pause(ctx, d.ID, a.User)
				return "Paused: *" + bot.EscapeText(d.Title) + "*.", err
			}},
		{id: "home_duty_resume", text: "Resume", style: "primary", fits: func(d scheduler.Duty) bool { return d.State == scheduler.StatePaused && !d.Unconfirmed() },
			do: func(ctx context.Context, s *scheduler.Scheduler, d scheduler.Duty, a bot.Action) (string, error) {
				d, err := s.Resume(ctx, d.ID, a.User)
				return "Resumed: *" + bot.EscapeText(d.Title) + "*, next " + bot.TimeOf(d.NextAt) + ".", err
			}},
		{id: "home_duty_confirm", text: "Confirm", style: "primary", fits: scheduler.Duty.Unconfirmed,
			do: func(ctx context.Context, s *scheduler.Scheduler, d scheduler.Duty, a bot.Action) (string, error) {
				err := s.Write(ctx, func(tx *migrations.Tx) (err error) { d, err = s.Confirm(tx, d.ID, a.User); return err })
				return "Confirmed: *" + bot.EscapeText(d.Title) + "*, next " + bot.TimeOf(d.NextAt) + ".", err
			}},
		{id: "home_duty_skip", text: "Skip next", fits: func(d scheduler.Duty) bool { return active(d) && d.Kind == scheduler.KindSchedule },
			do: func(ctx context.Context, s *scheduler.Scheduler, d scheduler.Duty, a bot.Action) (string, error) {
				d, err := s.SkipNext(ctx, d.ID, a.User)
				return "Skipped the next time of *" + bot.EscapeText(d.Title) + "*; then it is due " + bot.TimeOf(d.NextAt) + ".", err
			}},
		{id: "home_duty_run", text: "Run now", fits: active,
			do: func(ctx context.Context, s *scheduler.Scheduler, d scheduler.Duty, a bot.Action) (string, error) {
				_, err := s.RunNow(ctx, d.ID, a.User, a.Key)
				return "*" + bot.EscapeText(d.Title) + "* runs now; its result appears in " + bot.PlaceOf(d.Channel) + ".", err
			}},
		{id: "home_duty_delete", text: "Delete", style: "danger", confirm: "It ends for good. What it did stays in the ledger.", fits: func(scheduler.Duty) bool { return true },
			do: func(ctx context.Context, s *scheduler.Scheduler, d scheduler.Duty, a bot.Action) (string, error) {
				_, err := s.Delete(ctx, d.ID, a.User)
				return "Deleted: *" + bot.EscapeText(d.Title) + "*.", err
			}},
	}
}

// HomeDuties shows a person's own duties, and those of the places that they are in.
func HomeDuties(s *scheduler.Scheduler) []HomeSection {
	own := HomeSection{ID: "duties", Title: "My duties", Rest: "Ask me to `list duties` in the channel.",
		Show:  func(ctx context.Context, v Visitor) ([]HomeItem, error) { return ownDuties(ctx, s, v) },
		Press: map[string]func(context.Context, Visitor, bot.Action) (string, error){}}
	for _, verb := range dutyVerbs() {
		own.Press[verb.id] = func(ctx context.Context, v Visitor, a bot.Action) (string, error) {
			return steerDuty(ctx, s, verb, v, a)
		}
	}
	places := HomeSection{ID: "duties_here", Title: "Duties where I am", Rest: "Ask me to `list duties` in the channel.",
		Show: func(ctx context.Context, v Visitor) ([]HomeItem, error) { return otherDuties(ctx, s, v) }}
	return []HomeSection{own, places}
}

func ownDuties(ctx context.Context, s *scheduler.Scheduler, v Visitor) ([]HomeItem, error) {
	all, err := s.List(ctx, scheduler.Filter{Workspace: v.Workspace, Owner: v.ID})
	if err != nil {
		return nil, err
	}
	var items []HomeItem
	for _, d := range all {
		items = append(items, dutyItem(d, v))
	}
	if len(items) == 0 {
		items = []HomeItem{{bot.Block{Note: "None. Ask me where the result should appear, such as `every Friday at 16:00 post the news of the week`."}}}
	}
	return items, nil
}

// otherDuties are those of other owners in the places of the visitor.
func otherDuties(ctx context.Context, s *scheduler.Scheduler, v Visitor) ([]HomeItem, error) {
	var items []HomeItem
	for i, channel := range slices.Sorted(maps.Keys(v.Places)) {
		if i == mostPlaces {
			break
		}
		all, err := s.List(ctx, scheduler.Filter{Workspace: v.Workspace, Channel: channel})
		if err != nil {
			return nil, err
		}
		for _, d := range all {
			if d.Owner != v.ID {
				items = append(items, dutyItem(d, v))
			}
		}
	}
	return items, nil
}

func dutyItem(d scheduler.Duty, v Visitor) HomeItem {
	state := d.State
	if d.State == scheduler.StateActive && !d.NextAt.IsZero() {
		state = "next " + bot.TimeOf(d.NextAt)
	}
	line := fmt.Sprintf("*%s*\n%s · %s · in %s", bot.EscapeText(d.Title), bot.EscapeText(d.When), state, bot.PlaceOf(d.Channel))
	if d.Owner != v.ID {
		line += " · owner <@" + d.Owner + ">"
	}
	item := HomeItem{{Text: line}}
	if !maySteer(d, v) {
		return item
	}
	var buttons []bot.Button
	for _, verb := range dutyVerbs() {
		if verb.fits(d) {
			buttons = append(buttons, bot.Button{ID: verb.id, Text: verb.text, Value: d.ID, Style: verb.style, Confirm: verb.confirm})
		}
	}
	return append(item, bot.Block{Buttons: buttons})
}

// maySteer reports whether the visitor may steer a duty from their Home: its owner
// may, and who governs the agent where they are.
func maySteer(d scheduler.Duty, v Visitor) bool {
	return d.Workspace == v.Workspace && v.Kind != bot.KindOutsider && (d.Owner == v.ID || v.Governs() && v.IsIn(d.Channel))
}

// steerDuty does what a button says, if whoever pressed it may. A duty that they
// may not steer is not told from one that is not there, unless they see it.
func steerDuty(ctx context.Context, s *scheduler.Scheduler, verb dutyVerb, v Visitor, a bot.Action) (string, error) {
	gone := sorryf("There is no such duty of yours (any more).")
	d, err := s.Get(ctx, a.Value)
	switch {
	case errors.Is(err, scheduler.ErrNoDuty):
		return "", gone
	case err != nil:
		return "", err
	case !maySteer(d, v) && d.Workspace == v.Workspace && v.IsIn(d.Channel) && !strings.HasPrefix(d.Channel, "D"):
		return "", sorryf("That duty is <@%s>'s: they, my sponsor or an admin who is in the channel can do that.", d.Owner)
	case !maySteer(d, v):
		return "", gone
	case !verb.fits(d):
		return "", sorryf("*%s* is %s by now, so that was not done.", bot.EscapeText(d.Title), d.State)
	}
	told, err := verb.do(ctx, s, d, a)
	if errors.Is(err, scheduler.ErrNoDuty) {
		return "", gone
	}
	return told, err
}
