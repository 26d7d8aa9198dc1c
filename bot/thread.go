package bot

import (
	"context"
	"fmt"
	"strings"

	"deskmate/identity/label"
	"deskmate/memory"
	"deskmate/migrations"
)

// Bounds of a thread as a model is given it.
const (
	threadMessages = 60
	threadTokens   = 4200  // of those messages, estimated at four characters each
	followMost     = 50000 // messages of a thread that are read from Slack at once
	directMost     = 100   // of a direct message before the agent knew it
)

// Threads reads the threads that the agent answers in. What Slack has and memory
// does not is read once and kept; what a model is given of a thread does not grow
// with its length.
type Threads struct {
	DB     *migrations.DB
	Memory *memory.Memory
	Reader *Reader
	People *Directory
	Bot    func(workspace string) string                                // the agent's own Slack user id
	Turns  func(ctx context.Context, ids []string) (label.Label, error) // labels of turns that have ended, joined
	Home   string                                                       // address of the workspace
}

// Follow keeps what was said in the turn's thread and memory has not seen.
func (h *Threads) Follow(ctx context.Context, t *Turn) error {
	to, err := h.Memory.ReadTo(ctx, t.Workspace, t.Channel, t.Thread)
	if err != nil {
		return err
	}
	var said []Said
	switch {
	case t.Thread != "":
		said, err = h.Reader.replies(ctx, t.Channel, t.Thread, to, followMost)
	case to == "":
		said, err = h.Reader.history(ctx, t.Channel, to, directMost)
	default:
		said, err = h.Reader.history(ctx, t.Channel, to, followMost)
	}
	if err != nil {
		return fmt.Errorf("read thread from Slack: %w", err)
	}
	if said, err = h.remembered(ctx, t.Workspace, t.Channel, said); err != nil {
		return err
	}
	var all []memory.Message
	for _, s := range said {
		if t.Thread == "" && s.Thread != "" && s.Thread != s.TS {
			continue
		}
		all = append(all, memory.Message{
			Workspace: t.Workspace, Channel: t.Channel, Thread: t.Thread, TS: s.TS, Author: s.User, Text: s.Text, EditedTS: s.EditedTS,
			Permalink: PermalinkOf(h.Home, t.Channel, s.TS, t.Thread), Turn: turnOf(s.Key), Files: s.Files,
		})
	}
	return h.Memory.Read(ctx, t.Workspace, t.Channel, t.Thread, h.Bot(t.Workspace), all)
}

// View gives the turn's thread without the turn's own messages, for an answer in
// p to question, and the label of what is told of it.
func (h *Threads) View(ctx context.Context, t *Turn, p memory.Place, question string, limit memory.Limit) (memory.Transcript, label.Label, error) {
	inTurn := map[string]bool{}
	for _, s := range t.Steps {
		if s.Event != nil {
			inTurn[s.Event.TS] = true
		}
	}
	v, err := h.Memory.Thread(ctx, p, t.Thread, question, limit, inTurn)
	if err != nil {
		return v, label.Label{}, err
	}
	var told []Said
	for _, m := range v.Messages {
		told = append(told, Said{TS: m.TS, User: m.Author, turn: m.Turn})
	}
	for _, l := range append(v.Summary, v.Fitting...) {
		told = append(told, Said{TS: l.TS, User: l.Author, turn: l.Turn})
	}
	if len(told) == 0 {
		return v, label.Label{}, nil
	}
	from, err := h.People.said(ctx, t.Workspace, t.Channel, h.Bot(t.Workspace), told, h.Turns)
	return v, from, err
}

// Quote words a thread as lines of quoted text, and gives the ts of what it tells.
func (h *Threads) Quote(ctx context.Context, workspace string, v memory.Transcript, line func(name, ts, body string) string) (string, map[string]bool) {
	told := map[string]bool{}
	var s strings.Builder
	quote := func(author, ts, text string) string {
		told[ts] = true
		name := author
		if p, err := h.People.Person(ctx, workspace, author); err == nil && p.Name != "" {
			name = p.Name
		}
		return line(name, ts, strings.ReplaceAll(Plain(text, ""), "\n", "\n  "))
	}
	between := func() {
		if v.LeftOut == 0 {
			return
		}
		fmt.Fprintf(&s, "(%d messages left out here)\n", v.LeftOut)
		for _, part := range []struct {
			head  string
			lines []memory.Line
		}{{"(what they come to:)\n", v.Summary}, {"(those that fit what is asked now:)\n", v.Fitting}} {
			if len(part.lines) > 0 {
				s.WriteString(part.head)
			}
			for _, l := range part.lines {
				what := ""
				if l.What != "" {
					what = "[" + l.What + "] "
				}
				s.WriteString(quote(l.Author, l.TS, what+l.Text))
			}
		}
		s.WriteString("(and from here on all of them:)\n")
	}
	for i, m := range v.Messages {
		if i == v.Gap {
			between()
		}
		s.WriteString(quote(m.Author, m.TS, m.Text))
	}
	if v.Gap == len(v.Messages) {
		between()
	}
	return s.String(), told
}

// PermalinkOf is the address of a message in the workspace at home, "" where
// that is not known. thread is the ts of its root, "" or its own for none.
// Source: docs.slack.dev/reference/methods/chat.getPermalink.
func PermalinkOf(home, channel, ts, thread string) string {
	if home == "" || channel == "" || ts == "" {
		return ""
	}
	link := strings.TrimRight(home, "/") + "/archives/" + channel + "/p" + strings.ReplaceAll(ts, ".", "")
	if thread != "" && thread != ts {
		link += "?thread_ts=" + thread + "&cid=" + channel
	}
	return link
}
