package handlers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"deskmate/bot"
	"deskmate/memory"
	"deskmate/migrations"
)

// mostListed is how many notes an answer lists.
const mostListed = 20

// memory is /deskmate memory: what is known here, and the rules of knowing.
func (h *Commands) memory(ctx context.Context, a asking) (string, error) {
	p, err := h.placeOf(ctx, a)
	if err != nil {
		return "", err
	}
	if len(a.words) == 0 {
		return h.known(ctx, a, p)
	}
	word := strings.ToLower(a.words[0])
	rest := strings.TrimSpace(strings.TrimPrefix(a.rest, a.words[0]))
	switch word {
	case "forget", "correct", "history":
		id, text, _ := strings.Cut(rest, " ")
		if id == "" || word == "correct" && strings.TrimSpace(text) == "" {
			return "", sorryf("Say which note by its id, as `/deskmate memory` lists it%s.", map[bool]string{true: ", and the new text"}[word == "correct"])
		}
		said, err := h.note(ctx, p, word, id, strings.TrimSpace(text))
		return said, refusedByMemory(err)
	case "learn", "notes", "judge", "follow", "retention", "hold", "instructions":
		return h.setMemory(ctx, a, p, word, rest)
	}
	return "", sorryf("There is no `/deskmate memory %s`. `/deskmate help` lists what there is.", plain(word))
}

// refusedByMemory words what memory refused for who asked.
func refusedByMemory(err error) error {
	for _, known := range []error{memory.ErrNotFound, memory.ErrPlace, memory.ErrEmpty, memory.ErrTooLong, memory.ErrHeld, memory.ErrOff, memory.ErrJudge, memory.ErrSettings,
		memory.ErrScope, memory.ErrNotOwn, memory.ErrNoQuestion} {
		if errors.Is(err, known) {
			return sorryf("That was not done: %v.", known)
		}
	}
	return err
}

func (h *Commands) placeOf(ctx context.Context, a asking) (memory.Place, error) {
	kind := bot.ChannelDirect
	if !strings.HasPrefix(a.Channel, "D") {
		var err error
		if kind, err = h.People.ChannelKind(ctx, a.Workspace, a.Channel); err != nil {
			return memory.Place{}, sorryf("I am not in this channel, so I know nothing of it. Invite me first.")
		}
	}
	p, err := h.People.ReadingPlace(ctx, a.Workspace, a.Channel, kind, a.User, "")
	p.RequesterKind = a.who.Kind // with what the delivery told of their home
	return p, err
}

// known lists the notes that may be shown here, and the rules.
func (h *Commands) known(ctx context.Context, a asking, p memory.Place) (string, error) {
	notes, err := h.Memory.Notes(ctx, p, mostListed+1)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if len(notes) == 0 {
		b.WriteString("I know no notes that may be shown here. Tell me one: mention me with `remember that …`.\n")
	} else {
		b.WriteString("What I know here, newest first. Change it with `/deskmate memory correct ID TEXT`, erase it with `/deskmate memory forget ID`.\n")
	}
	for _, n := range notes[:min(len(notes), mostListed)] {
		fmt.Fprintf(&b, "- `%s` %s (%s, %s", n.ID, plainly(n.Text), authorWords(n.Author), n.UpdatedAt.Format("2 January 2006"))
		if n.Scope == memory.ScopeWorkspace {
			b.WriteString(", whole workspace")
		}
		if n.Own {
			b.WriteString(", nobody asked me to keep it")
		}
		if !n.ExpiresAt.IsZero() {
			b.WriteString(", until " + n.ExpiresAt.Format("2 January 2006"))
		}
		if n.Permalink != "" {
			b.WriteString(", " + n.Permalink)
		}
		b.WriteString(")\n")
	}
	if len(notes) > mostListed {
		b.WriteString("There are more: ask me about a subject, or an admin lists them with `deskmate memory list`.\n")
	}
	for _, one := range []struct{ scope, name string }{{memory.ScopeWorkspace, "In this workspace"}, {scopeHere(a.Channel), "Here"}} {
		s, err := h.Memory.Settings(ctx, a.Workspace, one.scope)
		if err != nil {
			return "", err
		}
		if rules := rulesOf(s); rules != "" {
			fmt.Fprintf(&b, "%s: %s.\n", one.name, rules)
		}
	}
	return b.String(), nil
}

// authorWords mentions who said something, where that may be told.
func authorWords(user string) string {
	switch {
	case user == "":
		return "source withheld"
	case strings.HasPrefix(user, "U"), strings.HasPrefix(user, "W"):
		return "<@" + user + ">"
	}
	return plain(user)
}

func plainly(text string) string {
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return strings.Join(strings.Fields(text), " ")
}

func scopeHere(channel string) string {
	if strings.HasPrefix(channel, "D") {
		return "dm:" + channel
	}
	return "channel:" + channel
}

// rulesOf says how settings differ from the default, "" where they do not.
func rulesOf(s memory.Settings) string {
	var all []string
	if s.Learn {
		all = append(all, "I keep all that is said in this channel")
	}
	if s.Off {
		all = append(all, "I make no notes")
	}
	if s.Judge && !s.Off {
		all = append(all, "I make notes of decisions by my own judgement, each with a button to undo it")
	}
	if s.Follow {
		all = append(all, "I remind people in my threads, and wherever I learn from a channel, of what they say they will do")
	}
	if s.Days > 0 {
		all = append(all, fmt.Sprintf("messages are kept for %d days", s.Days))
	}
	if s.Hold {
		all = append(all, "legal hold, nothing is erased")
	}
	if s.Instructions != "" {
		all = append(all, "I follow these instructions: “"+plainly(s.Instructions)+"”")
	}
	return strings.Join(all, "; ")
}

func (h *Commands) note(ctx context.Context, p memory.Place, word, id, text string) (string, error) {
	switch word {
	case "forget":
		n, err := h.Memory.Note(ctx, p, id) // by its id only: words are for people who ask in a sentence
		if err != nil {
			return "", err
		}
		gone, err := h.Memory.Forget(ctx, p, n.ID)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("Forgotten for good: `%s`, with its history and %d messages that quoted it.", gone.ID, len(gone.Messages)), nil
	case "correct":
		n, against, err := h.Memory.Correct(ctx, p, id, text)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("Corrected: `%s` now says “%s”. What it said before is in `/deskmate memory history %s`.%s", n.ID, plainly(n.Text), n.ID, againstWords(against)), nil
	}
	n, all, err := h.Memory.History(ctx, p, id)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, v := range all {
		fmt.Fprintf(&b, "%d. %s (%s, %s)\n", v.Version, plainly(v.Text), authorWords(v.Author), v.At.Format("2 January 2006 15:04 MST"))
	}
	if n.SupersededBy != "" {
		fmt.Fprintf(&b, "No longer true since %s: `%s` took its place.\n", n.SupersededAt.Format("2 January 2006"), n.SupersededBy)
	}
	return b.String(), nil
}

// setMemory changes the rules of the channel, or with "everywhere" of the workspace.
func (h *Commands) setMemory(ctx context.Context, a asking, p memory.Place, word, rest string) (string, error) {
	rest, why, _ := strings.Cut(rest, " why ")
	rest, everywhere := strings.CutSuffix(strings.TrimSpace(rest), "everywhere")
	rest = strings.TrimSpace(rest)
	scope := scopeHere(a.Channel)
	if everywhere {
		scope = memory.ScopeWorkspace
	} else if !strings.HasPrefix(a.Channel, "D") {
		if err := h.managing(ctx, &a, a.Channel); err != nil {
			return "", err
		}
	}
	governs := a.who.Admin || a.who.Sponsor
	own := !everywhere && word != "hold" && (len(a.who.Manages) > 0 || strings.HasPrefix(a.Channel, "D") && word != "retention")
	if !governs && !own {
		return "", sorryf("That takes my sponsor, an admin of the workspace, or for a channel its manager.")
	}
	s, err := h.Memory.Settings(ctx, a.Workspace, scope)
	if err != nil {
		return "", err
	}
	was := s
	if err := change(&s, word, rest); err != nil {
		return "", err
	}
	err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := h.Memory.Set(tx, s, a.User, strings.TrimSpace(why)); err != nil {
			return err
		}
		text := ""
		switch {
		case s.Learn != was.Learn:
			text = announced(word, s.Learn, a.User)
		case s.Judge && !was.Judge && !everywhere:
			text = "From now on I may keep decisions that you tell each other in my threads here as notes, without being asked: <@" + a.User + "> turned that on. " +
				"Each shows as a line with a button that undoes it. `/deskmate memory judge off` ends it."
		case s.Follow != was.Follow && !everywhere:
			text = announced(word, s.Follow, a.User)
		}
		if text == "" {
			return nil
		}
		return h.Outbox.Queue(tx, bot.Post{
			Workspace: a.Workspace, Channel: a.Channel, ChannelKind: p.ChannelKind, Key: "memory:" + a.Key, Ours: true, Tool: bot.ToolNotice,
			Requester: a.User, RequesterKind: p.RequesterKind, Text: text,
		})
	})
	if err != nil {
		return "", refusedByMemory(err)
	}
	rules := rulesOf(s)
	if rules == "" {
		rules = "as usual, I make notes when asked, and keep the messages of my own threads"
	}
	return "Set for " + map[bool]string{true: "the workspace", false: "this place"}[everywhere] + ": " + rules + ".", nil
}

// announced tells a channel what changes for everybody in it.
func announced(word string, on bool, by string) string {
	switch {
	case word == "follow" && on:
		return "From now on I note in my threads here, and in the whole channel while I learn from it, what members say they will do by a time, and remind them of it there: <@" + by + "> turned that on. " +
			"Each note says so, with a button to undo it; `/deskmate memory follow off` ends it."
	case word == "follow":
		return "I no longer note what people say they will do: <@" + by + "> turned that off."
	case on:
		return "From now on I keep what is said in this channel, so that I can answer from it: <@" + by + "> turned that on. " +
			"What you delete, I delete. `/deskmate memory` says what I know; `/deskmate memory learn off` ends it."
	}
	return "I no longer keep what is said in this channel, but for the threads that I take part in: <@" + by + "> turned that off."
}

func change(s *memory.Settings, word, value string) error {
	on := strings.EqualFold(value, "on")
	if !on && !strings.EqualFold(value, "off") && word != "retention" && word != "instructions" {
		return sorryf("It is `memory %s on` or `memory %s off`.", word, word)
	}
	switch word {
	case "learn":
		if on && !strings.HasPrefix(s.Scope, "channel:") {
			return sorryf("I learn from channels only, one at a time: type it in the channel.")
		}
		s.Learn = on
	case "notes":
		s.Off = !on
	case "judge":
		s.Judge = on
	case "follow":
		s.Follow = on
	case "hold":
		s.Hold = on
	case "retention":
		days, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSuffix(value, "d"), " days"))
		if strings.EqualFold(value, "off") {
			days, err = 0, nil
		}
		if err != nil || days < 0 || days > memory.MaxDays || days == 0 && !strings.EqualFold(value, "off") {
			return sorryf("It is `memory retention DAYS` with 1 to %d days, or `memory retention off`.", memory.MaxDays)
		}
		s.Days = days
	case "instructions":
		if value == "" {
			return sorryf("Say what I should know or do here: `memory instructions TEXT`, or `memory instructions off`.")
		}
		if s.Instructions = value; strings.EqualFold(value, "off") {
			s.Instructions = ""
		}
	}
	return nil
}

// againstWords say which note speaks against a corrected one, and ask which holds;
// "" for none.
func againstWords(o *memory.Note) string {
	if o == nil {
		return ""
	}
	return fmt.Sprintf(" But `%s` says “%s”. Which one holds? Correct or forget the other: `/deskmate memory forget %s`.", o.ID, plainly(o.Text), o.ID)
}
