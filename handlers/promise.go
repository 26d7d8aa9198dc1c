package handlers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"deskmate/bot"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// formLater is the form that asks for another time.
const formLater = "promise_later"

// Promises takes the presses of buttons on commitments that the agent noted.
type Promises struct {
	DB     *migrations.DB
	Duties *scheduler.Scheduler
	People *bot.Directory
	Outbox *bot.Outbox
}

// press takes one press of whoever made the commitment; others are told that it is
// not theirs.
func (h *Promises) press(ctx context.Context, a bot.Action) error {
	d, why, err := h.own(ctx, a.Workspace, a.Value, a.User)
	if err != nil {
		return err
	}
	if why != "" {
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, why)
	}
	if a.ID == bot.ButtonPromiseLater {
		return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{
			ID: formLater, Metadata: d.ID + " " + a.Message, Title: "Remind me later", Submit: "Remind me",
			Fields: []bot.Field{{ID: "when", Label: "When?", Kind: bot.FieldText, Initial: []string{"tomorrow at 10"}, Hint: "In your own words, such as: on Friday at 16, in 2 hours"}},
		})
	}
	err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
		text := ""
		switch a.ID {
		case bot.ButtonPromiseUndo:
			text = "Not noted: <@" + a.User + "> took it back."
			_, err = h.Duties.Drop(tx, d.ID, a.User, "undone")
		case bot.ButtonPromiseDone:
			text = "Done, says <@" + a.User + ">."
			err = h.end(tx, d, a.User, "done")
		case bot.ButtonPromiseDrop:
			text = "Dropped by <@" + a.User + ">."
			err = h.end(tx, d, a.User, "dropped")
		}
		if errors.Is(err, scheduler.ErrNoDuty) {
			return nil // pressed twice at once
		}
		if err != nil {
			return err
		}
		return h.Outbox.Queue(tx, h.edit(d, a.Message, a.Key, text))
	})
	if err != nil {
		return fmt.Errorf("take %s of %s: %w", a.ID, a.User, err)
	}
	return nil
}

// own gives a commitment to whoever made it; why says to others that they cannot
// answer for it.
func (h *Promises) own(ctx context.Context, workspace, duty, user string) (d scheduler.Duty, why string, err error) {
	d, err = h.Duties.Get(ctx, duty)
	switch {
	case errors.Is(err, scheduler.ErrNoDuty) || err == nil && (d.Workspace != workspace || d.Trigger.Person == ""):
		return d, "I do not know this commitment (any more).", nil
	case err != nil:
		return d, "", err
	case user != d.Trigger.Person && user != d.Owner:
		return d, "Only <@" + d.Trigger.Person + "> can answer this: it is their commitment.", nil
	}
	return d, "", nil
}

// end ends a commitment that may have been due already.
func (h *Promises) end(tx *migrations.Tx, d scheduler.Duty, by, how string) error {
	if d.State == scheduler.StateDone {
		return h.Duties.Note(tx, d.ID, by, how)
	}
	_, err := h.Duties.Settle(tx, d.ID, by, how)
	return err
}

// edit puts a text in the place of a card.
func (h *Promises) edit(d scheduler.Duty, message, key, text string) bot.Post {
	return bot.Post{Workspace: d.Workspace, Channel: d.Trigger.Channel, Thread: d.Trigger.Thread, ChannelKind: d.ChannelKind, Key: "promise-end:" + key, Update: message, Text: text,
		Card: &bot.Card{Title: text}, Ours: true, Requester: d.Owner, Tool: bot.ToolCard, Cause: key}
}

// later takes the form: a new duty for the same commitment.
func (h *Promises) later(ctx context.Context, s bot.Submission) (map[string]string, error) {
	id, message, _ := strings.Cut(s.Metadata, " ")
	d, why, err := h.own(ctx, s.Workspace, id, s.User)
	if err != nil {
		return nil, err
	}
	if why != "" {
		return map[string]string{"when": why}, nil
	}
	schedule, _, err := scheduler.ParsePhrase(s.Values["when"], h.DB.Now(), d.Schedule.TZ)
	if err != nil {
		return map[string]string{"when": err.Error()}, nil
	}
	if schedule.Cron != "" || schedule.Next(h.DB.Now()).IsZero() {
		return map[string]string{"when": "Name one time that is yet to come, such as: on Friday at 16"}, nil
	}
	err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
		n, err := h.Duties.CreateTx(tx, scheduler.NewDuty{
			Workspace: d.Workspace, Channel: d.Channel, ChannelKind: d.ChannelKind, Kind: d.Kind, Title: d.Title, Prompt: d.Prompt, Schedule: schedule, Trigger: d.Trigger,
			Report: d.Report, Thread: d.Thread, Owner: d.Owner, CreatedBy: s.User, Label: d.Label, Request: "later:" + s.Key,
		})
		if err != nil {
			return err
		}
		if err := h.end(tx, d, s.User, "later: "+n.ID); err != nil {
			return err
		}
		return h.Outbox.Queue(tx, h.edit(d, message, s.Key, "<@"+s.User+"> wants to be reminded "+n.When+"."))
	})
	if err != nil {
		return nil, fmt.Errorf("remind %s later: %w", s.User, err)
	}
	return nil, nil
}
