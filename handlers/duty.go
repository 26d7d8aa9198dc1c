package handlers

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"deskmate/bot"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/task"
)

// Duties takes what people decide about duties: presses of the buttons on their
// cards, a yes in the thread, forms. None of it is ever a tool of a model.
type Duties struct {
	DB        *migrations.DB
	Scheduler *scheduler.Scheduler
	Cards     bot.DutyCards
	Rules     bot.DutyRules
	Outbox    *bot.Outbox
}

// press takes a press of a button on a card, and tells who pressed why it did not
// count, if so. Who pressed is looked up anew.
func (h *Duties) press(ctx context.Context, a bot.Action) error {
	d, err := h.Scheduler.Get(ctx, a.Value)
	if errors.Is(err, scheduler.ErrNoDuty) || err == nil && d.Workspace != a.Workspace {
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "That duty is gone already, so nothing was changed.")
	}
	if err != nil {
		return err
	}
	switch may, err := h.Rules.May(ctx, a.User, d); {
	case err != nil:
		return err
	case !may:
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "That was not done: "+bot.MayNot+".")
	}
	switch {
	case a.ID == bot.ButtonDutyResume || a.ID == bot.ButtonDutyHand || a.ID == bot.ButtonDutyDelete:
		return h.pressHeld(ctx, a, d)
	case a.ID == bot.ButtonDutyConfirm:
		err = h.confirm(ctx, d.ID, a.User)
	case a.ID == bot.ButtonDutyChange:
		return h.openChange(ctx, a.Key, a.TriggerID, a.User, d)
	case a.ID == bot.ButtonDutyCancel && !d.Unconfirmed():
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "It was confirmed meanwhile. To end it, say `delete duty "+d.ID+"` where it reports.")
	case a.ID == bot.ButtonDutyUndo && (d.Kind != scheduler.KindOnce || d.State == scheduler.StateDone):
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "It has run already, so there is nothing to take back.")
	default:
		_, err = h.Cards.Delete(ctx, d.ID, a.User)
	}
	switch {
	case errors.Is(err, scheduler.ErrNoDuty):
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, "That duty is gone already, so nothing was changed.")
	case errors.Is(err, scheduler.ErrOver):
		return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, overWords)
	}
	return err
}

const overWords = "Its last time has passed, so it would never run. Change when it ends, or cancel it."

// confirm has a duty run, and its cards say so.
func (h *Duties) confirm(ctx context.Context, id, by string) error {
	err := h.DB.Write(ctx, func(tx *migrations.Tx) error {
		d, err := h.Scheduler.Confirm(tx, id, by)
		if err != nil {
			return err
		}
		return h.Cards.Redraw(tx, d)
	})
	if err != nil {
		return fmt.Errorf("confirm duty %s: %w", id, err)
	}
	return nil
}

// Expire deletes a duty that nobody confirmed in time, and says so. It is the task
// handler of kind scheduler.TaskConfirm.
func (h *Duties) Expire(ctx context.Context, lease *task.Lease) (task.Result, error) {
	id := scheduler.ConfirmDuty(lease.Key)
	var r task.Result
	err := h.DB.Write(ctx, func(tx *migrations.Tx) error {
		r = task.Result{}
		if err := lease.Guard(tx); err != nil {
			return err
		}
		d, again, expired, err := h.Scheduler.Expire(tx, id)
		if r.Again = again; err != nil || !expired {
			return err
		}
		if err := h.Cards.Redraw(tx, d); err != nil {
			return err
		}
		return h.Cards.Tell(tx, d, "duty:"+d.ID+":expired", fmt.Sprintf("<@%s>, nobody confirmed the duty %q (%s) within %d hours, so I deleted it. It has never run. Ask me again if it is still wanted.",
			d.Owner, d.Title, d.When, int(scheduler.ConfirmWithin.Hours())))
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("end unconfirmed duty %s: %w", id, err)
	}
	return r, nil
}

// What confirms or cancels a duty in the thread where it was asked for, with its
// id where there are several.
var (
	yesWords = regexp.MustCompile("(?i)^(?:yes|yep|yes,? please|confirm(?:ed)?|i confirm|confirm (?:it|this|that)|go ahead)(?:[\\s,]+(?:(?:to|with)\\s+)?(?:(?:duty\\s+)?`?(d_?[a-z0-9]+)`?|(?P<all>all|both|(?:all|both) of them|them all)))?[.!\\s]*$")
	noWords  = regexp.MustCompile("(?i)^(?:no|nope|cancel|cancel (?:it|this|that)|drop it|never\\s*mind)(?:[\\s,]+(?:(?:to|with)\\s+)?(?:(?:duty\\s+)?`?(d_?[a-z0-9]+)`?|(?P<all>all|both|(?:all|both) of them|them all)))?[.!\\s]*$")
)

// confirming takes those rows in which the owner of a duty that waits for it says
// yes or no, and gives the others. It happens before any model reads them: a yes
// is a human's act.
func (h *Threads) confirming(ctx context.Context, lease *task.Lease, rows []bot.Row) ([]bot.Row, error) {
	var rest []bot.Row
	for _, r := range rows {
		taken := false
		if r.Event.Kind == bot.KindMessage && len(r.Event.Text) < 200 {
			said := bot.Plain(r.Event.Text, h.Loop.Context.Bot(r.Event.Workspace))
			yes, no := yesWords.FindStringSubmatch(said), noWords.FindStringSubmatch(said)
			var err error
			switch {
			case yes != nil:
				taken, err = h.decided(ctx, lease, r, true, yes[1], yes[2] != "")
			case no != nil:
				taken, err = h.decided(ctx, lease, r, false, no[1], no[2] != "")
			}
			if err != nil {
				return nil, err
			}
		}
		if !taken {
			rest = append(rest, r)
		}
	}
	return rest, nil
}

// decided confirms or cancels the duty that the author of a row was shown in the
// thread; id names one of several, whole means all of them. It reports whether there was any to decide on.
func (h *Threads) decided(ctx context.Context, lease *task.Lease, r bot.Row, yes bool, id string, whole bool) (bool, error) {
	e, taken := r.Event, false
	err := h.DB.Write(ctx, func(tx *migrations.Tx) error {
		taken = false
		if err := lease.Guard(tx); err != nil {
			return err
		}
		all, err := h.Duties.Cards.Here(tx, e.Workspace, e.User, lease.Key)
		if err != nil {
			return err
		}
		var meant []scheduler.Duty
		var ids []string
		for _, d := range all {
			ids = append(ids, "`"+d.ID+"` ("+d.Title+")")
			if id == "" || strings.EqualFold(d.ID, id) {
				meant = append(meant, d)
			}
		}
		if len(all) == 0 || len(meant) == 0 {
			return nil
		}
		taken = true
		if err := h.Inbox.Close(tx, []int64{r.ID}); err != nil {
			return err
		}
		if len(meant) > 1 && !whole {
			return h.Loop.Say(tx, e, "Which one? Say it with its id, as in `confirm "+meant[0].ID+"`, or `confirm all`: "+strings.Join(ids, ", ")+".")
		}
		var said []string
		for _, d := range meant {
			text, err := h.Duties.settled(tx, d, e.User, yes)
			if err != nil {
				return err
			}
			said = append(said, text)
		}
		return h.Loop.Say(tx, e, strings.Join(said, "\n"))
	})
	if err != nil {
		return false, fmt.Errorf("take the word of %s about a duty: %w", e.User, err)
	}
	return taken, nil
}

// settled confirms or cancels one duty at its owner's word, and says so.
func (h *Duties) settled(tx *migrations.Tx, d scheduler.Duty, by string, yes bool) (string, error) {
	text := ""
	if yes {
		confirmed, err := h.Scheduler.Confirm(tx, d.ID, by)
		if errors.Is(err, scheduler.ErrOver) {
			return overWords, nil
		}
		if err != nil {
			return "", err
		}
		d = confirmed
		text = fmt.Sprintf("Confirmed: %s, %s, %s.", d.Title, d.When, bot.DutyState(d))
	} else {
		var err error
		if d, err = h.Scheduler.DeleteTx(tx, d.ID, by, "its owner said no"); err != nil {
			return "", err
		}
		text = fmt.Sprintf("Cancelled: %s. It has never run.", d.Title)
	}
	return text, h.Cards.Redraw(tx, d)
}
