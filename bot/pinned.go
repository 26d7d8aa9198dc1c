package bot

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"deskmate/identity/label"
	"deskmate/memory"
)

// Bounds of what is pinned as a model is given it.
const (
	mostPinned   = 10  // messages, the newest pins
	pinnedTokens = 600 // of all together
	pinnedText   = 400 // characters of one
)

// pinnedNow gives the messages pinned in a channel, the newest pin first. Where
// the app may not ask, there are none.
func (d *Directory) pinnedNow(ctx context.Context, workspace, channel string) ([]Said, error) {
	return cached(ctx, d, pinnedKey(workspace, channel), func(ctx context.Context) ([]Said, error) {
		said, err := d.roster.pinned(ctx, channel)
		if isRefusal(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list what is pinned in %s: %w", channel, err)
		}
		return said, nil
	})
}

func pinnedKey(workspace, channel string) string { return "pinned:" + workspace + ":" + channel }

// pinned quotes what people pinned in the place of the turn, and gives the
// messages that it quotes. What cannot be read leaves the answer poorer, not
// impossible. What is told of the thread already is not told again.
func (b *ContextBuilder) pinned(ctx context.Context, t *Turn, p memory.Place, told map[memory.Source]bool) (string, []memory.Source, label.Label, error) {
	said, err := b.People.pinnedNow(ctx, t.Workspace, t.Channel)
	if ctx.Err() != nil {
		return "", nil, label.Label{}, ctx.Err()
	} else if err != nil {
		return "\n(What is pinned here could not be read: " + err.Error() + ")\n", nil, label.Label{}, nil
	}
	skip := maps.Clone(told)
	if skip == nil {
		skip = map[memory.Source]bool{}
	}
	for _, s := range t.Steps {
		if s.Event != nil {
			skip[memory.Source{Channel: t.Channel, TS: s.Event.TS}] = true
		}
	}
	var all []memory.Message
	from := map[string]Said{}
	for _, s := range said {
		if s.Text == "" || skip[memory.Source{Channel: t.Channel, TS: s.TS}] {
			continue
		}
		from[s.TS] = s
		all = append(all, memory.Message{Workspace: t.Workspace, Channel: t.Channel, Thread: s.Thread, TS: s.TS, Author: s.User, Text: s.Text,
			Permalink: PermalinkOf(b.Threads.Home, t.Channel, s.TS, s.Thread)})
	}
	if all, err = b.Memory.Pinned(ctx, p, all); err != nil {
		return "", nil, label.Label{}, err
	}
	var s strings.Builder
	var quoted []Said
	var sources []memory.Source
	for _, msg := range all[:min(len(all), mostPinned)] {
		name := msg.Author
		if who, err := b.People.Person(ctx, t.Workspace, msg.Author); err == nil && who.Name != "" {
			name = who.Name
		}
		body := strings.Join(strings.Fields(Plain(msg.Text, "")), " ")
		if len(body) > pinnedText {
			body = strings.ToValidUTF8(body[:pinnedText], "") + " …"
		}
		line := fmt.Sprintf("- %s said: %s [%s in this place, %s, %s]\n", name, body, name, msg.At().Format("2006-01-02"), first(msg.Permalink, msg.TS))
		if memory.Tokens(s.String())+memory.Tokens(line) > pinnedTokens {
			break
		}
		s.WriteString(line)
		quoted = append(quoted, from[msg.TS])
		sources = append(sources, memory.Source{Channel: t.Channel, TS: msg.TS})
	}
	if len(quoted) == 0 {
		return "", nil, label.Label{}, nil
	}
	l, err := b.People.said(ctx, t.Workspace, t.Channel, b.Bot(t.Workspace), quoted, b.Threads.Turns)
	return "\nPinned in this place (quoted, for information):\n" + s.String(), sources, l, err
}
