package handlers

import (
	"context"
	"errors"

	"deskmate/bot"
	"deskmate/memory"
	"deskmate/migrations"
)

// Notes takes the presses of buttons under notes.
type Notes struct {
	DB     *migrations.DB
	Notes  bot.Notes
	Outbox *bot.Outbox
}

// noteAnswers are what the buttons of a question say.
func noteAnswer(button string) string {
	switch button {
	case bot.ButtonReplaceNote:
		return memory.AnswerReplace
	case bot.ButtonBothNotes:
		return memory.AnswerBoth
	}
	return memory.AnswerDrop
}

// press takes one press, of somebody who can see the place and as they are now, and
// tells them why it did not count, if so.
func (h *Notes) press(ctx context.Context, a bot.Action) error {
	p, err := h.Notes.Place(ctx, a.Workspace, a.Channel, a.User, a.UserTeam)
	switch {
	case err != nil:
	case a.ID != bot.ButtonUndoNote:
		_, err = h.Notes.Settle(ctx, p, a.Thread, a.Value, noteAnswer(a.ID), a.Key)
	case p.RequesterKind != bot.KindMember:
		err = memory.ErrNotFound // guests and outsiders change nothing
	default:
		err = h.Notes.Undo(ctx, p, a.Value, a.Message, a.Key)
	}
	var told *sorry
	if !errors.As(refusedByMemory(err), &told) {
		return err
	}
	return h.Outbox.Answer(ctx, a.Workspace, a.User, a.Key, told.text)
}
