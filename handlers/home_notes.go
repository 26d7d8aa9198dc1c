package handlers

import (
	"context"
	"fmt"
	"strings"

	"deskmate/bot"
	"deskmate/memory"
)

// Ids of the buttons and the form of notes.
const (
	homePick     = "home_notes_pick"
	homeCorrect  = "home_note_correct"
	homeForget   = "home_note_forget"
	homeHistory  = "home_note_history"
	mostNotes    = 40   // that a Home has ready
	noteShown    = 600  // characters of a note
	mostEditable = 3000 // characters that a form takes
)

// homeNotes is what the visitor may know, with what they can do about it.
type homeNotes struct {
	home   *Home
	memory *memory.Memory
}

// Notes shows the notes that the visitor may see: those for everyone, those of
// public channels, those of their direct messages, and of one channel that they
// pick.
func (h *Home) Notes(m *memory.Memory) HomeSection {
	n := homeNotes{h, m}
	return HomeSection{ID: "notes", Title: "What I know here", Rest: "Ask me about a subject, or `/deskmate memory` in the channel.",
		Show: n.show,
		Press: map[string]func(context.Context, Visitor, bot.Action) (string, error){
			homePick: n.pick, homeCorrect: n.openCorrect, homeForget: n.forget, homeHistory: n.history,
		},
		Submit: map[string]func(context.Context, Visitor, bot.Submission) (string, map[string]string, error){homeCorrect: n.correct},
	}
}

func (n homeNotes) show(ctx context.Context, v Visitor) ([]HomeItem, error) {
	pick := &bot.Pick{ID: homePick, Text: "Notes of a channel…"}
	var items []HomeItem
	seen := map[string]bool{}
	if _, in := v.Places[v.Picked]; in {
		pick.Initial = v.Picked
		notes, err := n.memory.NotesOf(ctx, n.through(v, v.Picked), scopeHere(v.Picked), mostNotes)
		if err != nil {
			return nil, err
		}
		for _, one := range notes {
			seen[one.ID] = true
			items = append(items, noteItem(one, v, v.Picked))
		}
		if len(notes) == 0 {
			items = append(items, HomeItem{{Note: "No notes of " + bot.PlaceOf(v.Picked) + "."}})
		}
	}
	notes, err := n.memory.Notes(ctx, v.reads, mostNotes)
	if err != nil {
		return nil, err
	}
	for _, one := range notes {
		if !seen[one.ID] {
			items = append(items, noteItem(one, v, ""))
		}
	}
	if len(items) == 0 {
		items = append(items, HomeItem{{Note: "Nothing yet that you may see. Tell me something: mention me with `remember that …`, or choose _Remember this_ in a message's menu."}})
	}
	items[0] = append(HomeItem{{Pick: pick}}, items[0]...)
	return items, nil
}

// through is where a note is read: the visitor's direct messages, or a channel that
// they are in.
func (n homeNotes) through(v Visitor, channel string) memory.Place {
	p := v.reads
	if channel != "" {
		p.Channel, p.ChannelKind = channel, v.Places[channel].Kind
	}
	return p
}

// noteItem is a note with its source and what can be done about it. channel is the
// place through which it is seen, "" for their direct messages.
func noteItem(n memory.Note, v Visitor, channel string) HomeItem {
	text := n.Text
	if r := []rune(text); len(r) > noteShown {
		text = string(r[:noteShown]) + "…"
	}
	where := "for everyone"
	switch kind, id, _ := strings.Cut(n.Scope, ":"); kind {
	case "channel":
		where = "in " + bot.PlaceOf(id)
	case "dm":
		where = "between us alone"
	}
	who := mention(n.Author)
	if n.Withheld {
		who = "source withheld"
	}
	line := fmt.Sprintf("%s · %s · %s", who, bot.TimeOf(n.UpdatedAt), where)
	if n.Permalink != "" {
		line += " · " + bot.LinkOf(n.Permalink, "source")
	}
	if !n.ExpiresAt.IsZero() {
		line += " · until " + bot.TimeOf(n.ExpiresAt)
	}
	value := strings.TrimSpace(n.ID + " " + channel)
	var buttons []bot.Button
	if v.Kind == bot.KindMember {
		buttons = []bot.Button{{ID: homeCorrect, Text: "Correct…", Value: value},
			{ID: homeForget, Text: "Forget", Value: value, Style: "danger", Confirm: "It is erased for good, with its history and the messages that quote it."}}
	}
	if n.Version > 1 {
		buttons = append(buttons, bot.Button{ID: homeHistory, Text: "History", Value: value})
	}
	item := HomeItem{{Text: bot.EscapeText(text)}, {Note: line}}
	if len(buttons) > 0 {
		item = append(item, bot.Block{Buttons: buttons})
	}
	return item
}

func (n homeNotes) pick(ctx context.Context, v Visitor, a bot.Action) (string, error) {
	if _, in := v.Places[a.Value]; !in {
		return "", sorryf("You are not in that channel, or I do not know it: I show notes of channels that you are in.")
	}
	return "", n.home.change(ctx, v.Workspace, v.ID, func(s *homeState) { s.channel, s.more = a.Value, "" })
}

// find is the note of a button, seen as the visitor sees it now.
func (n homeNotes) find(ctx context.Context, v Visitor, value string) (memory.Note, memory.Place, error) {
	id, channel, _ := strings.Cut(value, " ")
	if v.Kind == bot.KindOutsider {
		return memory.Note{}, memory.Place{}, sorryf("That is for members of this workspace.")
	}
	if channel != "" {
		if _, in := v.Places[channel]; !in {
			return memory.Note{}, memory.Place{}, sorryf("That was not done: %v.", memory.ErrNotFound)
		}
	}
	p := n.through(v, channel)
	one, err := n.memory.Note(ctx, p, id)
	return one, p, refusedByMemory(err)
}

// changeable is find for who may change notes: full members.
func (n homeNotes) changeable(ctx context.Context, v Visitor, value string) (memory.Note, memory.Place, error) {
	if v.Kind != bot.KindMember {
		return memory.Note{}, memory.Place{}, sorryf("Notes are changed by full members of this workspace. Ask somebody in the channel.")
	}
	return n.find(ctx, v, value)
}

func (n homeNotes) openCorrect(ctx context.Context, v Visitor, a bot.Action) (string, error) {
	one, _, err := n.changeable(ctx, v, a.Value)
	if err != nil {
		return "", err
	}
	if len([]rune(one.Text)) > mostEditable {
		return "", sorryf("That note is too long for a form: correct it with `/deskmate memory correct %s TEXT`.", one.ID)
	}
	return "", n.home.Outbox.Open(ctx, v.Workspace, v.ID, a.Key, a.TriggerID, bot.Form{
		ID: homeCorrect, Metadata: a.Value, Title: "Correct a note", Submit: "Correct",
		Fields: []bot.Field{{ID: "text", Label: "What is true?", Kind: bot.FieldLines, Initial: []string{one.Text}, Hint: "What it said before stays in its history."}},
	})
}

func (n homeNotes) correct(ctx context.Context, v Visitor, s bot.Submission) (string, map[string]string, error) {
	var against *memory.Note
	one, _, err := n.changeable(ctx, v, s.Metadata)
	if err == nil {
		_, against, err = n.memory.Correct(ctx, n.own(ctx, v, one), one.ID, s.Values["text"])
		err = refusedByMemory(err)
	}
	if text, ok := saidWrong(err); ok {
		return "", map[string]string{"text": text}, nil
	}
	return "Corrected. What it said before is in its history." + againstWords(against), nil, err
}

// own is the place that a note belongs to: only text that may go there goes into
// it. For everyone are notes from public channels.
func (n homeNotes) own(ctx context.Context, v Visitor, one memory.Note) memory.Place {
	p := v.reads
	_, channel, scoped := strings.Cut(one.Scope, ":")
	if !scoped {
		channel = one.Channel
	}
	if p.Channel = channel; channel != v.Direct {
		p.ChannelKind = ""
		if kind, err := n.home.People.ChannelKind(ctx, v.Workspace, channel); err == nil {
			p.ChannelKind = kind // unknown stays "", which may change nothing for others
		}
	}
	return p
}

func (n homeNotes) forget(ctx context.Context, v Visitor, a bot.Action) (string, error) {
	one, p, err := n.changeable(ctx, v, a.Value)
	if err != nil {
		return "", err
	}
	gone, err := n.memory.Forget(ctx, p, one.ID)
	if err != nil {
		return "", refusedByMemory(err)
	}
	return fmt.Sprintf("Forgotten for good: `%s`, with its history and %d messages that quoted it.", gone.ID, len(gone.Messages)), nil
}

func (n homeNotes) history(ctx context.Context, v Visitor, a bot.Action) (string, error) {
	one, p, err := n.find(ctx, v, a.Value)
	if err != nil {
		return "", err
	}
	_, all, err := n.memory.History(ctx, p, one.ID)
	if err != nil {
		return "", refusedByMemory(err)
	}
	var texts []string
	for _, old := range all {
		said := []rune(old.Text)
		if len(said) > 2000 {
			said = append(said[:2000], '…')
		}
		texts = append(texts, fmt.Sprintf("*%d.* %s, %s\n%s", old.Version, mention(old.Author), bot.TimeOf(old.At), bot.EscapeText(string(said))))
	}
	if len(texts) > mostListed {
		texts = texts[len(texts)-mostListed:]
	}
	return "", n.home.Outbox.Open(ctx, v.Workspace, v.ID, a.Key, a.TriggerID, bot.Form{ID: homeHistory, Title: "What it said", Texts: texts})
}
