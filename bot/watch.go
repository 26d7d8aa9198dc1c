package bot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"deskmate/identity/budget"
	"deskmate/identity/label"
	"deskmate/identity/ledger"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// Watcher has what happens in channels set off the duties that watch for it, and
// notes what people say they will do where that is asked for. Every field is
// required unless said otherwise.
type Watcher struct {
	DB      *migrations.DB
	Duties  *scheduler.Scheduler
	Ledger  *ledger.Ledger
	People  *Directory
	Reader  *Reader
	Outbox  *Outbox
	Memory  *memory.Memory
	Threads *Threads
	Model   Model
	Budgets *budget.Budgets // nil bounds nothing
	Home    string          // address of the workspace
	Logger  zerolog.Logger
}

// Watch finds the duties that e sets off and gives what does so, for
// InboxOptions.Watch. What is addressed to the agent is a request to it and sets
// off no watch; what the agent says itself never gets here.
func (w *Watcher) Watch(ctx context.Context, e Event, mine bool) (func(tx *migrations.Tx) error, error) {
	switch e.Kind {
	case KindMessage, KindEdit, KindProgram, KindReaction:
	default:
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, kindPatience)
	defer cancel()
	var all []func(tx *migrations.Tx) error
	if !e.Direct {
		is, err := w.Duties.Watched(ctx, e.Workspace, e.Channel)
		if err != nil {
			return nil, err
		}
		if is {
			if all, err = w.hits(ctx, e); err != nil {
				return nil, fmt.Errorf("look for watches of %s: %w", e.Key, err)
			}
		}
	}
	if e.Kind == KindMessage {
		noted, err := w.commitments(ctx, e, mine)
		if err != nil {
			// A promise that is not noted is no loss of a message.
			w.Logger.Warn().Err(err).Msg("commitment not looked for")
		}
		all = append(all, noted...)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return func(tx *migrations.Tx) error {
		for _, do := range all {
			if err := do(tx); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// hits are what the event does to the duties that look at its channel.
func (w *Watcher) hits(ctx context.Context, e Event) ([]func(tx *migrations.Tx) error, error) {
	fitting, err := w.Duties.Fitting(ctx, scheduler.Happening{
		Workspace: e.Workspace, Channel: e.Channel, Thread: first(e.Thread, e.TS), User: e.User, Text: Plain(e.Text, ""), Reaction: e.Reaction, At: e.At,
	})
	if err != nil || len(fitting) == 0 {
		return nil, err
	}
	var all []func(tx *migrations.Tx) error
	var cause *scheduler.Cause
	for _, d := range fitting {
		if d.Kind == scheduler.KindFollow {
			settle, err := w.settles(ctx, d, e)
			if err != nil {
				return nil, err
			}
			if settle != nil {
				all = append(all, settle)
			}
			continue
		}
		if e.Mention {
			continue
		}
		why, err := w.People.blind(ctx, d.Workspace, d.Trigger.Channel, d.Owner, watched)
		if err != nil {
			return nil, err
		}
		if why != "" {
			all = append(all, func(tx *migrations.Tx) error { return w.hold(tx, d, why) })
			continue
		}
		if cause == nil {
			if cause, err = w.cause(ctx, e); err != nil {
				return nil, err
			}
		}
		all = append(all, func(tx *migrations.Tx) error { return w.Duties.Hit(tx, d.ID, MessageKey(e.Channel, e.TS), *cause) })
	}
	return all, nil
}

// watched is what a watch calls the place that it is about.
const watched = "that it watches"

// blind says why somebody may not know what is said in a place, as Slack says now, ""
// if they may: it is open to all members, they are in it, or it is their direct
// message. which tells people what the place is to a duty of theirs, such as "that it
// watches". The error is one that may pass.
func (d *Directory) blind(ctx context.Context, workspace, place, person, which string) (string, error) {
	kind, err := d.RequesterKind(ctx, workspace, person, "")
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", person, err)
	}
	if kind == KindOutsider || kind == KindBot {
		return "its owner <@" + person + "> is no member of this workspace any more", nil
	}
	c, err := d.Channel(ctx, workspace, place)
	if isRefusal(err) {
		return "I cannot see the channel " + which + " any more", nil
	}
	if err != nil {
		return "", err
	}
	switch {
	case c.Kind == ChannelPublic && kind == KindMember, c.Kind == ChannelDirect && c.With == person:
		return "", nil
	case c.Kind == ChannelDirect:
		return "its owner <@" + person + "> is not in the direct message " + which, nil
	}
	in, err := d.IsIn(ctx, place, person)
	if err != nil && !isRefusal(err) {
		return "", fmt.Errorf("look whether %s is in %s: %w", person, place, err)
	}
	if !in {
		return "its owner <@" + person + "> is not in the channel " + which, nil
	}
	return "", nil
}

// hold pauses a watch whose owner may not see what it sees, and tells them.
func (w *Watcher) hold(tx *migrations.Tx, d scheduler.Duty, why string) error {
	d, err := w.Duties.Hold(tx, d.ID, "system", time.Time{}, why)
	if err != nil {
		return err
	}
	return w.Outbox.Queue(tx, Post{
		Workspace: d.Workspace, Channel: d.Owner, ChannelKind: ChannelDirect, Key: fmt.Sprintf("hold:%s:%d", d.ID, tx.Now().Unix()), Ours: true, Requester: d.Owner, Tool: ToolReply,
		Text: fmt.Sprintf("I paused your duty “%s” (`%s`): %s. Join the channel and say `resume duty %s` here, or hand it to somebody who is in it.", d.Title, d.ID, why, d.ID),
	})
}

// cause is what goes with the runs that an event sets off.
func (w *Watcher) cause(ctx context.Context, e Event) (*scheduler.Cause, error) {
	kind := e.ChannelKind
	if kind == "" {
		var err error
		if kind, err = w.People.ChannelKind(ctx, e.Workspace, e.Channel); err != nil {
			return nil, fmt.Errorf("look up channel %s: %w", e.Channel, err)
		}
	}
	author, err := w.People.author(ctx, e.Workspace, e.User, e.UserTeam)
	if err != nil {
		return nil, err
	}
	if e.Kind == KindProgram {
		author = label.Join(author, label.From(KindBot, e.User))
	}
	c := &scheduler.Cause{
		Kind: scheduler.CauseMessage, Who: e.User, Name: w.name(ctx, e.Workspace, e.User), Channel: e.Channel, TS: e.TS, Text: e.Text, At: e.At,
		Permalink: PermalinkOf(w.Home, e.Channel, e.TS, e.Thread), Label: label.Join(label.Of(e.Channel, kind), author),
	}
	if e.Kind != KindReaction {
		return c, nil
	}
	c.Kind, c.Reaction, c.Text = scheduler.CauseReaction, e.Reaction, ""
	// The event does not say what was reacted to. Without it the run can still look.
	if m, ok, err := w.Reader.message(ctx, e.Channel, e.TS); err == nil && ok {
		c.Text = m.Text
		wrote, err := w.People.author(ctx, e.Workspace, m.User, m.Team)
		if err != nil {
			return nil, err
		}
		if m.BotID != "" {
			wrote = label.Join(wrote, label.From(KindBot, m.BotID))
		}
		c.Label = label.Join(c.Label, wrote)
	}
	return c, nil
}

// mostShownName bounds a name that stands in a cause.
const mostShownName = 60

// name is somebody as people see them, "" where Slack does not say.
func (w *Watcher) name(ctx context.Context, workspace, id string) string {
	p, err := w.People.Person(ctx, workspace, id)
	if err != nil {
		return ""
	}
	return clip(strings.Join(strings.Fields(p.Name), " "), mostShownName)
}
