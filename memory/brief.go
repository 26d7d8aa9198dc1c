package memory

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"deskmate/migrations"
)

// Bounds of a brief.
const (
	briefLines   = 6 // of each part
	briefThreads = 8 // of a person
	briefSpan    = 30 * 24 * time.Hour
)

// Line is one thing a brief says, in the words of a message.
type Line struct {
	Text      string
	Author    string // Slack user id
	Channel   string
	TS        string
	Permalink string
	What      string   // decided, done, open, waiting; "" where its place says so
	Turn      string   // of the agent's own messages
	Also      []string `json:",omitempty"` // permalinks of further messages that a model put into it
}

// Brief is what somebody needs who takes over: taken from messages word for word,
// each with its source.
type Brief struct {
	Goal     Line   // how it began
	Decided  []Line // the newest of each
	Done     []Line
	Open     []Line // questions that nobody answered
	Waiting  []Line // what somebody said they would do, or was asked to
	Messages int
	LeftOut  bool   // there was more, which may not be shown here
	Model    string `json:",omitempty"` // that put it in words; "" for the messages' own

	// Said is what a model may word it from: the first and the newest messages, and
	// those between that the brief quotes.
	Said []Message `json:"-"`
}

// briefSaid bounds Brief.Said.
var briefSaid = Limit{Messages: 60, Tokens: 3000}

// Sources are the messages that a brief quotes, as a search would give them.
func (b Brief) Sources() []Hit {
	var all []Hit
	for _, part := range [][]Line{{b.Goal}, b.Decided, b.Done, b.Open, b.Waiting} {
		for _, l := range part {
			if l.TS != "" {
				all = append(all, Hit{Kind: HitMessage, Scope: scopeOf(l.Channel), Channel: l.Channel, TS: l.TS, Author: l.Author, Text: l.Text, Permalink: l.Permalink})
			}
		}
	}
	return all
}

// addressee is a mention at the beginning of a message.
var addressee = regexp.MustCompile(`^<@[UW][A-Z0-9]+>[\s,:]*`)

var (
	sentenceEnd = regexp.MustCompile(`[.!?]+(?:\s+|$)|\n+`)
	decided     = regexp.MustCompile(`(?i)\b(?:decided|decision|agreed|let['’]s|going\s+with|go\s+with|settled|approved|it\s+is\s+final|we(?:['’]ll|\s+will)|we\s+are\s+going\s+to|the\s+plan\s+is)\b`)
	undecided   = regexp.MustCompile(`(?i)\b(?:disagree|not\s+decided|undecided|haven['’]t\s+decided|do\s+not\s+think|don['’]t\s+think)\b`)
	done        = regexp.MustCompile(`(?i)\b(?:done|fixed|shipped|merged|deployed|released|finished|completed|closed|resolved|sent|is\s+live|works\s+now)\b`)
	waiting     = regexp.MustCompile(`(?i)\b(?:i(?:['’]ll|\s+will|['’]m\s+going\s+to)|todo|to-do|action\s+item|can\s+you|could\s+you|please|waiting\s+(?:for|on)|blocked\s+(?:by|on)|needs?\s+to)\b|<@[UW][A-Z0-9]+>\s+(?:will|to)\b`)
)

// sentencesOf are the sentences of a text with their end marks, in order.
func sentencesOf(text string) []string {
	var all []string
	for text != "" {
		end := len(text)
		if at := sentenceEnd.FindStringIndex(text); at != nil {
			end = at[1]
		}
		if s := strings.TrimSpace(text[:end]); len(words(s)) > 0 {
			all = append(all, s)
		}
		text = text[end:]
	}
	return all
}

// extract takes the brief of one conversation out of its messages, oldest first.
func extract(all []Message) Brief {
	b := Brief{Messages: len(all)}
	for i, msg := range all {
		if FileOf(msg.TS) != "" {
			continue // nobody says what a file says
		}
		for n, s := range sentencesOf(msg.Text) {
			line := lineOf(msg, s)
			if b.Goal.TS == "" && n == 0 {
				b.Goal = line
				b.Goal.Text = strings.TrimSpace(addressee.ReplaceAllString(line.Text, ""))
			}
			switch {
			case strings.HasSuffix(s, "?"):
				if !isAnswered(all[i+1:], msg.Author, s) {
					b.Open = append(b.Open, line)
				}
			case decided.MatchString(s) && !undecided.MatchString(s):
				b.Decided = append(b.Decided, line)
			case waiting.MatchString(s):
				b.Waiting = append(b.Waiting, line)
			case done.MatchString(s):
				b.Done = append(b.Done, line)
			}
		}
	}
	for _, part := range []*[]Line{&b.Decided, &b.Done, &b.Open, &b.Waiting} {
		*part = newestLines(*part)
	}
	b.Said = b.excerpt(all)
	return b
}

// excerpt is what of all messages, oldest first, stands for them.
func (b Brief) excerpt(all []Message) []Message {
	t := fitThread(all, briefSaid)
	quoted := map[string]bool{}
	for _, h := range b.Sources() {
		quoted[h.TS] = true
	}
	said := slices.Clone(t.Messages[:t.Gap])
	for _, msg := range all[t.Gap : t.Gap+t.LeftOut] {
		if quoted[msg.TS] {
			msg.Text = cut(msg.Text, threadLine)
			said = append(said, msg)
		}
	}
	return append(said, t.Messages[t.Gap:]...)
}

func newestLines(all []Line) []Line {
	return slices.Clone(all[max(0, len(all)-briefLines):])
}

// answerSpan is how many messages after a question may answer it.
const answerSpan = 20

// isAnswered reports whether somebody else says soon after, in a statement, a word
// that the question is about, or answers right away in short.
func isAnswered(later []Message, who, question string) bool {
	about := parse(question)
	asks := map[string]bool{}
	for _, t := range about.terms {
		asks[stem(t.words[0])] = true
	}
	for i, msg := range later[:min(len(later), answerSpan)] {
		if msg.Author == who || strings.HasSuffix(strings.TrimSpace(msg.Text), "?") {
			continue
		}
		if i == 0 && len(msg.Text) <= 60 && !addressee.MatchString(msg.Text) {
			return true
		}
		for _, w := range words(msg.Text) {
			if asks[stem(w.text)] {
				return true
			}
		}
	}
	return false
}

// BriefThread is the brief of a thread, or with thread "" of a flat direct
// message, for somebody in p. ErrNotFound where there is nothing, or nothing that
// p may see.
func (m *Memory) BriefThread(ctx context.Context, p Place, channel, thread string) (Brief, error) {
	var b Brief
	err := m.db.Read(ctx, func(tx *migrations.Tx) error {
		all, err := threadIn(tx, p, channel, thread)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return ErrNotFound
		}
		b = extract(all)
		return nil
	})
	if err != nil {
		return Brief{}, fmt.Errorf("brief on thread %s in %s: %w", thread, channel, err)
	}
	return b, nil
}

// threadIn reads the newest messages of a thread that p may see, oldest first.
func threadIn(tx *migrations.Tx, p Place, channel, thread string) ([]Message, error) {
	rows, err := tx.Query(reachSQL+`SELECT m.ts, m.author, m.text, m.permalink FROM reach, messages m
		WHERE `+messageInReach+` AND m.channel = $7 AND m.thread = $8 AND m.ts NOT LIKE '%/%/%' ORDER BY m.ts DESC LIMIT $9`,
		p.args(tx.Now(), channel, thread, threadMost)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Message
	for rows.Next() {
		msg := Message{Workspace: p.Workspace, Channel: channel, Thread: thread}
		if err := rows.Scan(&msg.TS, &msg.Author, &msg.Text, &msg.Permalink); err != nil {
			return nil, err
		}
		all = append(all, msg)
	}
	slices.Reverse(all)
	return all, rows.Err()
}

// ThreadBrief is the brief of one thread of a person.
type ThreadBrief struct {
	Channel, Thread string
	Brief
}

// BriefPerson gives the briefs of the threads that a person wrote in lately,
// newest first, and whether there are others that p may not see.
func (m *Memory) BriefPerson(ctx context.Context, p Place, person string) (briefs []ThreadBrief, leftOut bool, err error) {
	err = m.db.Read(ctx, func(tx *migrations.Tx) error {
		since := migrations.Micros(tx.Now().Add(-briefSpan))
		rows, err := tx.Query(reachSQL+`SELECT m.channel, m.thread, MAX(CASE WHEN `+messageInReach+` THEN 1 ELSE 0 END), MAX(m.said_at) AS last
			FROM reach, messages m WHERE m.workspace = $1 AND m.author = $7 AND m.said_at > $8 AND m.gone_at = 0
			GROUP BY m.channel, m.thread ORDER BY last DESC LIMIT 200`, p.args(tx.Now(), person, since)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var threads []Source
		for rows.Next() {
			var s Source
			var may bool
			var last int64
			if err := rows.Scan(&s.Channel, &s.TS, &may, &last); err != nil {
				return err
			}
			if !may {
				leftOut = true
			} else if len(threads) < briefThreads {
				threads = append(threads, s)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, s := range threads {
			all, err := threadIn(tx, p, s.Channel, s.TS)
			if err != nil {
				return err
			}
			briefs = append(briefs, ThreadBrief{s.Channel, s.TS, extract(all)})
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("brief on %s: %w", person, err)
	}
	return briefs, leftOut, nil
}

// Say words a brief as Markdown, with names and links.
func (m *Memory) Say(ctx context.Context, workspace string, b Brief) (string, error) {
	names := labels{memory: m, workspace: workspace, known: map[string]string{}}
	var s strings.Builder
	for _, part := range []struct {
		title string
		lines []Line
	}{{b.began(), []Line{b.Goal}}, {"Decided", b.Decided}, {"Done", b.Done}, {"Open questions", b.Open}, {"Waiting for", b.Waiting}} {
		if len(part.lines) == 0 || part.lines[0].TS == "" {
			continue
		}
		if s.Len() > 0 {
			s.WriteString("\n")
		}
		fmt.Fprintf(&s, "**%s:**\n", part.title)
		for _, l := range part.lines {
			who, err := names.person(ctx, l.Author)
			if err != nil {
				return "", fmt.Errorf("name %s: %w", l.Author, err)
			}
			fmt.Fprintf(&s, "- %s — %s, %s", oneLine(l.Text), who, tsTime(l.TS).Format("2006-01-02"))
			if l.Permalink != "" {
				fmt.Fprintf(&s, ", %s", l.Permalink)
			}
			for _, link := range l.Also {
				fmt.Fprintf(&s, ", %s", link)
			}
			s.WriteString("\n")
		}
	}
	if b.Model != "" {
		fmt.Fprintf(&s, "\n_Put in words by %s from the messages behind the links._\n", b.Model)
	}
	if b.LeftOut {
		s.WriteString("\nSomething was left out: it may not be shown here.\n")
	}
	return s.String(), nil
}

// began is the title of the first line: a model says what it is about, the rules
// only how it began.
func (b Brief) began() string {
	if b.Model != "" {
		return "Goal"
	}
	return "Began with"
}

// LineFrom is a line of a brief in other words than those of the messages that it
// rests on, of which there is at least one.
func LineFrom(text string, sources []Message) Line {
	l := lineOf(sources[0], text)
	for _, msg := range sources[1:] {
		if msg.Permalink != "" {
			l.Also = append(l.Also, msg.Permalink)
		}
	}
	return l
}
