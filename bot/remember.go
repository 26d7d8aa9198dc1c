package bot

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"deskmate/identity/label"
	"deskmate/memory"
	"deskmate/migrations"
)

// Ids of buttons under notes. The value of undo is the note's id, that of the
// others the question's.
const (
	ButtonUndoNote    = "note_undo"
	ButtonReplaceNote = "note_replace"
	ButtonBothNotes   = "note_both"
	ButtonDropNote    = "note_drop"
)

// Notes keeps facts, and shows people what they should see of it: a line with
// undo for what nobody asked for, a question where a note says otherwise.
type Notes struct {
	Memory *memory.Memory
	People *Directory
	Outbox *Outbox
	Home   string                        // address of the workspace
	Bot    func(workspace string) string // the agent's own Slack user id
}

// Notes are those of the tools.
func (b Toolbox) Notes() Notes {
	home := ""
	if b.Threads != nil {
		home = b.Threads.Home
	}
	return Notes{b.Memory, b.People, b.Outbox, home, b.Bot}
}

// Kept is what came of a fact to keep: the note, or the question which holds.
type Kept struct {
	Note     memory.Note
	Question *memory.Question
	Label    label.Label // of what it says of an older note
}

// keeping is a fact to keep, and where people are told of it.
type keeping struct {
	Place memory.Place
	Note  memory.NewNote
	Turn  string
	Cause string      // key of the event behind it
	Label label.Label // of what people are told
}

// keep keeps a fact. It is safe to repeat.
func (n Notes) keep(ctx context.Context, k keeping) (Kept, error) {
	note, q, err := n.Memory.Propose(ctx, k.Place, k.Note)
	if err != nil {
		return Kept{}, err
	}
	kept := Kept{Note: note, Question: q}
	var p Post
	switch {
	case q != nil:
		old := memory.Hit{Kind: memory.HitNote, Scope: q.Old.Scope, Channel: q.Old.Channel, Author: q.Old.Author, Withheld: q.Old.Withheld, Label: q.Old.Label}
		if kept.Label, err = n.People.hits(ctx, k.Place.Workspace, []memory.Hit{old}); err != nil {
			return Kept{}, err
		}
		p = n.post(k.Place, k.Note.Thread, questionKey(q.ID), "Which of two notes holds?", questionCard(*q))
	case note.Own:
		p = n.post(k.Place, k.Note.Thread, "note:"+note.ID, "Noted: "+note.Text, ownCard(note))
	default:
		return kept, nil
	}
	p.Turn, p.Cause, p.Label = k.Turn, k.Cause, label.Join(k.Label, kept.Label)
	if err := n.Outbox.o.DB.Write(ctx, func(tx *migrations.Tx) error { return n.Outbox.Queue(tx, p) }); err != nil {
		return Kept{}, fmt.Errorf("show what is noted: %w", err)
	}
	return kept, nil
}

func (n Notes) post(p memory.Place, thread, key, text string, card Card) Post {
	return Post{Workspace: p.Workspace, Channel: p.Channel, ChannelKind: p.ChannelKind, Thread: thread, Key: key, Text: text, Card: &card,
		Requester: p.Requester, RequesterKind: p.RequesterKind, Tool: ToolNote}
}

func questionKey(question string) string { return "note:" + question }

// carried is what goes into a note from its turn: all that a human has not
// released for the readers that the note gets.
func (n Notes) carried(ctx context.Context, c Call) (label.Label, error) {
	went := c.Turn.label()
	if forEveryone(c) {
		return label.Label{Untrusted: went.Untrusted}, nil // all of it was released, or there was nothing to
	}
	var list string
	err := n.Outbox.o.DB.QueryRow(ctx, `SELECT sources FROM approvals WHERE workspace = $1 AND call = $2 AND state IN ('approved', 'used') ORDER BY created_at DESC LIMIT 1`,
		c.Turn.Workspace, c.Key).Scan(&list)
	if errors.Is(err, sql.ErrNoRows) {
		return went, nil
	}
	var sources []string
	if err == nil {
		err = json.Unmarshal([]byte(list), &sources)
	}
	if err != nil {
		return label.Label{}, fmt.Errorf("look up what was released: %w", err)
	}
	return label.Label{Channels: went.Beside(sources...), Untrusted: went.Untrusted}, nil
}

// ownCard is the quiet line about a note that nobody asked for.
func ownCard(note memory.Note) Card {
	return Card{Texts: []string{"_Noted, for " + scopeWords(note.Scope) + ":_ " + escape(clipped(note.Text, 280))},
		Buttons: []Button{{ID: ButtonUndoNote, Text: "Undo", Value: note.ID}}}
}

// questionCard asks which of two notes holds.
func questionCard(q memory.Question) Card {
	said := escape(clipped(q.Old.Text, 600))
	switch {
	case q.Old.Withheld:
		said += "\n(source withheld, " + q.Old.UpdatedAt.Format("2 January 2006") + ")"
	default:
		said += "\n(" + whoMention(q.Old.Author) + ", " + q.Old.UpdatedAt.Format("2 January 2006")
		if q.Old.Permalink != "" {
			said += ", <" + q.Old.Permalink + "|source>"
		}
		said += ")"
	}
	return Card{
		Title: "Which of these holds?",
		Facts: []Fact{{"Noted before", said}, {"Said now", escape(clipped(q.Text, 600)) + "\n(" + whoMention(q.Author) + ")"}},
		Buttons: []Button{{ID: ButtonReplaceNote, Text: "Replace the old one", Value: q.ID, Style: "primary"}, {ID: ButtonBothNotes, Text: "Keep both", Value: q.ID},
			{ID: ButtonDropNote, Text: "Drop the new one", Value: q.ID}},
		Note: q.ID + " · until then only the old one is kept · or say here: replace the old one, keep both, drop the new one",
	}
}

// settledWords says what came of a question.
func settledWords(s memory.Settled) string {
	switch s.Answer {
	case memory.AnswerReplace:
		return fmt.Sprintf("Replaced: note %s holds now (%s). Note %s is no longer true.", s.Note.ID, s.Note.Text, s.Question.Old.ID)
	case memory.AnswerBoth:
		return fmt.Sprintf("Both are kept: the new one is note %s (%s).", s.Note.ID, s.Note.Text)
	}
	return fmt.Sprintf("Dropped: note %s holds as before.", s.Question.Old.ID)
}

// Settle passes on somebody's answer to a question, and has its card say so.
// Errors: as for memory.Settle.
func (n Notes) Settle(ctx context.Context, p memory.Place, thread, id, answer, cause string) (memory.Settled, error) {
	s, err := n.Memory.Settle(ctx, p, thread, id, answer)
	if err != nil {
		return s, err
	}
	word := map[string]string{memory.AnswerReplace: "the new one replaces the old one", memory.AnswerBoth: "both are kept", memory.AnswerDrop: "the new one is dropped"}[answer]
	post := n.post(p, s.Question.Thread, questionKey(s.Question.ID)+":settled", "Settled: "+word, Card{Note: "Settled by " + whoMention(p.Requester) + ": " + word + "."})
	post.UpdateKey, post.Cause = questionKey(s.Question.ID), cause
	if err := n.Outbox.o.DB.Write(ctx, func(tx *migrations.Tx) error { return n.Outbox.Queue(tx, post) }); err != nil {
		return s, fmt.Errorf("show what was settled: %w", err)
	}
	return s, nil
}

// Undo takes back a note that nobody asked for; message is the ts of the line with
// the button. Errors: as for memory.Undo.
func (n Notes) Undo(ctx context.Context, p memory.Place, id, message, cause string) error {
	note, err := n.Memory.Undo(ctx, p, id)
	if err != nil {
		return err
	}
	post := n.post(p, "", "note:"+note.ID+":undone", "Taken back", Card{Note: "Taken back by " + whoMention(p.Requester) + ": I do not keep that."})
	post.Update, post.Cause = message, cause
	if err := n.Outbox.o.DB.Write(ctx, func(tx *migrations.Tx) error { return n.Outbox.Queue(tx, post) }); err != nil {
		return fmt.Errorf("show what was undone: %w", err)
	}
	return nil
}

// Place is where and for whom a press in a channel counts, memory.ErrNotFound for
// somebody who cannot see what was said there.
func (n Notes) Place(ctx context.Context, workspace, channel, user, userTeam string) (memory.Place, error) {
	place, err := n.People.ReadingPlace(ctx, workspace, channel, ChannelDirect, user, userTeam)
	if err != nil {
		return memory.Place{}, err
	}
	if !strings.HasPrefix(channel, "D") {
		if place.ChannelKind, err = n.People.ChannelKind(ctx, workspace, channel); isRefusal(err) {
			return memory.Place{}, memory.ErrNotFound
		} else if err != nil {
			return memory.Place{}, fmt.Errorf("look up channel %s: %w", channel, err)
		}
	}
	if place.ChannelKind == ChannelPublic && place.RequesterKind == KindMember {
		return place, nil
	}
	in, err := n.People.IsIn(ctx, channel, user)
	if isRefusal(err) || err == nil && !in {
		return memory.Place{}, memory.ErrNotFound
	}
	return place, err
}
