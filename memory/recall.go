package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// recallHits is how many hits are considered for a bundle.
const recallHits = 25

// Recall gives what the place and the requester may see that fits query, best
// first, as lines of text within about tokens. Each line names its source:
//
//   - note n_abc: the release freeze starts on Thursday [Ada in #eng, 2026-11-23, https://…]
//
// It is "" where nothing is found. What only repeats the query is left out: it is
// the question itself, asked by others before.
func (m *Memory) Recall(ctx context.Context, p Place, query string, tokens int) (string, error) {
	text, _, err := m.RecallFrom(ctx, p, query, tokens)
	return text, err
}

// RecallFrom is Recall with the hits whose lines it gives.
func (m *Memory) RecallFrom(ctx context.Context, p Place, query string, tokens int) (string, []Hit, error) {
	return m.RecallBeside(ctx, p, query, tokens, nil)
}

// RecallBeside is RecallFrom without the messages that were told already.
func (m *Memory) RecallBeside(ctx context.Context, p Place, query string, tokens int, before map[Source]bool) (string, []Hit, error) {
	hits, err := m.Search(ctx, p, query, recallHits)
	if err != nil {
		return "", nil, fmt.Errorf("recall: %w", err)
	}
	var given []Hit
	said := parse(query).said
	labels := labels{memory: m, workspace: p.Workspace, known: map[string]string{}}
	var b strings.Builder
	told := map[Source]bool{}
	maps.Copy(told, before)
	for _, h := range hits {
		if told[Source{h.Channel, h.TS}] && h.Kind == HitMessage || repeats(h.Text, said) {
			continue
		}
		line, err := labels.line(ctx, h)
		if err != nil {
			return "", nil, fmt.Errorf("recall: %w", err)
		}
		if Tokens(b.String())+Tokens(line) > tokens {
			break
		}
		told[Source{h.Channel, h.TS}] = true
		b.WriteString(line)
		given = append(given, h)
	}
	return b.String(), given, nil
}

// labels names people and channels, each looked up once.
type labels struct {
	memory    *Memory
	workspace string
	known     map[string]string
}

// line is a hit with its source, on one line. A message that answers another is
// told with it.
func (l *labels) line(ctx context.Context, h Hit) (string, error) {
	if h.Withheld {
		return fmt.Sprintf("- note %s: %s [source withheld: it is a private place, %s]\n", h.ID, oneLine(h.Text), h.At.Format("2006-01-02")), nil
	}
	author, err := l.person(ctx, h.Author)
	if err != nil {
		return "", err
	}
	where, err := l.channel(ctx, h.Channel)
	if err != nil {
		return "", err
	}
	what := author + " said"
	if h.Kind == HitNote {
		what = "note " + h.ID
	}
	source := fmt.Sprintf("%s in %s, %s", author, where, h.At.Format("2006-01-02"))
	for _, s := range []string{h.Permalink, h.TS} {
		if s != "" {
			source += ", " + s
			break
		}
	}
	said := oneLine(h.Text)
	if h.Before != nil && strings.HasSuffix(strings.TrimSpace(h.Before.Text), "?") {
		said = fmt.Sprintf("(asked: %s) %s", oneLine(h.Before.Text), said)
	}
	return fmt.Sprintf("- %s: %s [%s]\n", what, said, source), nil
}

func oneLine(text string) string {
	return strings.Join(strings.Fields(clip(unescape(text), 600)), " ")
}

func (l *labels) person(ctx context.Context, id string) (string, error) {
	return l.once(id, func() (string, error) {
		p, err := l.memory.Person(ctx, l.workspace, id)
		return first(p.Name, p.RealName), err
	})
}

func (l *labels) channel(ctx context.Context, id string) (string, error) {
	if isDirect(id) {
		return "a direct message", nil
	}
	return l.once(id, func() (string, error) {
		c, err := l.memory.Channel(ctx, l.workspace, id)
		if c.Name == "" {
			return "", err
		}
		return "#" + c.Name, err
	})
}

// once looks a label up, and falls back on the id of what nobody has described.
func (l *labels) once(id string, look func() (string, error)) (string, error) {
	if label, ok := l.known[id]; ok {
		return label, nil
	}
	label, err := look()
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	l.known[id] = first(label, id)
	return l.known[id], nil
}
