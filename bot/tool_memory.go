package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"deskmate/identity"
	"deskmate/memory"
)

// memoryTools are remember, settle_note, recall, forget and brief.
func memoryTools(b Toolbox) []Tool {
	t := memoryTool{b.Memory, b.Reader, b.People, b.Threads, b.Briefer, b.Notes()}
	return []Tool{
		{Name: ToolRemember, Class: identity.ClassWrite, Run: t.remember, Repeatable: true, Everyone: forEveryone,
			Schema: object("text", "the fact, in words that make sense on their own",
				"scope?", "channel (default: only here) or workspace (everyone; from a private place a human has to approve that)",
				"own?", "yes if nobody asked you to: only where you are told that you may"),
			Description: "Keep one fact for the team, with who said it and where. If a note says otherwise, nothing is kept and the thread is asked which holds."},
		{Name: ToolSettle, Class: identity.ClassWrite, Run: t.settle, Repeatable: true,
			Schema:      object("answer", "replace (the new note holds), both (they go together) or drop (the old note holds)", "id?", "of the question; the newest one of this thread if left out"),
			Description: "Pass on a person's answer to the question which of two notes holds. Never answer it yourself."},
		{Name: ToolRecall, Class: identity.ClassRead, Run: t.recall, Repeatable: true, Schema: object("query", "what to look for, in plain words"),
			Description: "Search what the team told you and what was said in your threads, as far as this place may see it."},
		{Name: "forget", Class: identity.ClassWrite, Run: t.forget, Repeatable: true,
			Schema:      object("query?", "words of the note to forget", "id?", "id of the note, as recall gave it"),
			Description: "Forget a note for good. If several fit, nothing is forgotten and you get the candidates."},
		{Name: ToolBrief, Class: identity.ClassRead, Run: t.brief, Repeatable: true,
			Schema:      object("person?", "whose threads: <@U…>, @name or user id; this thread if left out"),
			Description: "Say where this thread, or what a person works on, stands: how it began, decided, done, open, waiting, with sources. For handing work over."},
	}
}

type memoryTool struct {
	memory  *memory.Memory
	reader  *Reader
	people  *Directory
	threads *Threads
	briefer *Briefer
	notes   Notes
}

// Names of tools.
const (
	ToolRemember = "remember"
	ToolSettle   = "settle_note"
)

// forEveryone reports whether a call of remember is for the whole workspace.
func forEveryone(c Call) bool {
	var a struct{ Scope string }
	return json.Unmarshal(c.Args, &a) == nil && strings.TrimSpace(a.Scope) == memory.ScopeWorkspace
}

// ToolBrief words where work stands; ToolRecall searches memory.
const (
	ToolBrief  = "brief"
	ToolRecall = "recall"
)

func (t memoryTool) brief(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Person string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	if strings.TrimSpace(a.Person) == "" {
		return t.briefThread(ctx, c)
	}
	p, err := t.people.Find(ctx, c.Turn.Workspace, a.Person)
	if err != nil {
		return identity.Result{}, badArgument("I know nobody called %q here: %v", a.Person, err)
	}
	said, err := t.briefer.Person(ctx, c.reading(), p.ID)
	if err != nil {
		return identity.Result{}, memoryFailure("brief on "+p.Name, err)
	}
	return identity.Result{Text: said.Text, Label: said.Label}, nil
}

func (t memoryTool) briefThread(ctx context.Context, c Call) (identity.Result, error) {
	if err := t.threads.Follow(ctx, c.Turn); err != nil {
		return identity.Result{}, slackFailure("read this thread", err)
	}
	said, err := t.briefer.Thread(ctx, c.reading(), c.Turn.Channel, c.Turn.Thread)
	if err != nil {
		return identity.Result{}, memoryFailure("brief on this thread", err)
	}
	return identity.Result{Text: fmt.Sprintf("This thread, %s:\n%s", countOf(said.messages), said.Text), Label: said.Label}, nil
}

// reading is for whom a brief that the call asks for is.
func (c Call) reading() Reading { return Reading{Place: c.Place, Turn: c.Turn.ID, Duty: c.Event.Duty} }

func countOf(messages int) string {
	if messages == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", messages)
}

func (t memoryTool) remember(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Text, Scope, Own string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	if strings.TrimSpace(a.Text) == "" {
		return identity.Result{}, badArgument("text is empty")
	}
	own := strings.EqualFold(strings.TrimSpace(a.Own), "yes")
	if own && forEveryone(c) {
		return identity.Result{}, badArgument("a note that nobody asked for is for this place only: leave scope out")
	}
	went, err := t.notes.carried(ctx, c)
	if err != nil {
		return identity.Result{}, err
	}
	// A note without its address is better than none: the source is kept anyway.
	link, _ := t.reader.Permalink(ctx, c.Turn.Workspace, c.Event.Channel, c.Event.TS)
	kept, err := t.notes.keep(ctx, keeping{Place: c.Place, Turn: c.Turn.ID, Cause: c.Event.Key, Label: c.Turn.label(), Note: memory.NewNote{
		Text: a.Text, Scope: strings.TrimSpace(a.Scope), Author: c.Event.User, Channel: c.Event.Channel, TS: c.Event.TS, Permalink: link,
		Label: went, Own: own, Thread: c.Turn.Thread, Released: forEveryone(c), // the gate has asked, where it had to
	}})
	if err != nil {
		return identity.Result{}, memoryFailure("remember that", err)
	}
	if q := kept.Question; q != nil {
		return identity.Result{Label: kept.Label, Text: fmt.Sprintf("Not kept yet: note %s says otherwise (%s). The thread is asked which of them holds, as %s; do not ask again.", q.Old.ID, q.Old.Text, q.ID)}, nil
	}
	said := fmt.Sprintf("Remembered as %s, for %s: %s", kept.Note.ID, scopeWords(kept.Note.Scope), kept.Note.Text)
	return identity.Result{Text: said, Ref: kept.Note.ID}, nil
}

func (t memoryTool) settle(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Answer, ID string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	s, err := t.notes.Settle(ctx, c.Place, c.Turn.Thread, strings.TrimSpace(a.ID), strings.ToLower(strings.TrimSpace(a.Answer)), c.Event.Key)
	if err != nil {
		return identity.Result{}, memoryFailure("settle that", err)
	}
	return text("%s", settledWords(s))
}

func (t memoryTool) recall(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Query string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	asking := map[memory.Source]bool{} // what is asked is no answer
	for _, s := range c.Turn.Steps {
		if s.Event != nil {
			asking[memory.Source{Channel: s.Event.Channel, TS: s.Event.TS}] = true
		}
	}
	found, hits, err := t.memory.RecallBeside(ctx, c.Place, a.Query, 1500, asking)
	if err != nil {
		return identity.Result{}, fmt.Errorf("recall: %w", err)
	}
	if found == "" {
		return text("Nothing found that may be shown here.")
	}
	from, err := t.people.hits(ctx, c.Turn.Workspace, hits)
	return identity.Result{Text: found, Label: from}, err
}

func (t memoryTool) forget(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Query, ID string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	which := a.ID
	if which == "" {
		which = a.Query
	}
	if strings.TrimSpace(which) == "" {
		return identity.Result{}, badArgument("say what to forget: words of the note or its id")
	}
	gone, err := t.memory.Forget(ctx, c.Place, which)
	if err != nil {
		return identity.Result{}, memoryFailure("forget that", err)
	}
	return text("Forgotten for good: %s", gone.ID)
}

func scopeWords(scope string) string {
	switch {
	case scope == "workspace":
		return "the whole workspace"
	case strings.HasPrefix(scope, "dm:"):
		return "this direct message only"
	}
	return "this channel"
}

// memoryFailure words what memory refused for the model; a failure of the store
// stays an error.
func memoryFailure(what string, err error) error {
	var several *memory.AmbiguousError
	if errors.As(err, &several) {
		var b strings.Builder
		for _, n := range several.Candidates {
			fmt.Fprintf(&b, "\n- %s: %s", n.ID, n.Text)
		}
		return badArgument("several notes may be meant, say which by its id:%s", b.String())
	}
	for _, known := range []error{memory.ErrNotFound, memory.ErrScope, memory.ErrPlace, memory.ErrEmpty, memory.ErrTooLong, memory.ErrOff, memory.ErrJudge, memory.ErrHeld,
		memory.ErrNoQuestion, memory.ErrAnswer} {
		if errors.Is(err, known) {
			return badArgument("I could not %s: %v", what, known)
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}
