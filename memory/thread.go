package memory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"deskmate/migrations"
)

// Limit bounds what is read: at most Messages of them and about Tokens.
type Limit struct{ Messages, Tokens int }

// Transcript is a thread, oldest first, cut in the middle where it is over its
// Limit.
type Transcript struct {
	Messages []Message
	LeftOut  int    // messages left out
	Gap      int    // they stood before Messages[Gap]
	Summary  []Line // what those left out come to, oldest first
	Fitting  []Line // those left out that fit the question, oldest first
}

// Bounds of a Transcript.
const (
	threadHead    = 3     // messages of the beginning that are kept: what was asked, and the first answers
	threadMost    = 20000 // messages that are looked at, the newest
	threadSummary = 9     // lines
	threadFitting = 8     // messages that fit the question
	threadLine    = 300   // characters of each of these
)

// ReadTo gives the ts up to which a thread was read from Slack, "" for none of it.
func (m *Memory) ReadTo(ctx context.Context, workspace, channel, thread string) (string, error) {
	var ts string
	err := m.db.QueryRow(ctx, `SELECT read_to FROM thread_reads WHERE workspace = $1 AND channel = $2 AND thread = $3`, workspace, channel, thread).Scan(&ts)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("look up how far thread %s in %s was read: %w", thread, channel, err)
	}
	return ts, nil
}

// readBatch is how many messages that were read share a commit.
const readBatch = 500

// Read keeps messages of a thread that were read from Slack, oldest first: those
// of self, the agent, apart from what people said. What was deleted or forgotten
// since stays so.
func (m *Memory) Read(ctx context.Context, workspace, channel, thread, self string, all []Message) error {
	for part := range slices.Chunk(all, readBatch) {
		err := m.db.Write(ctx, func(tx *migrations.Tx) error {
			for _, msg := range part {
				if err := m.readOne(tx, thread, self, msg); err != nil {
					return err
				}
			}
			_, err := tx.Exec(`INSERT INTO thread_reads (workspace, channel, thread, read_to) VALUES ($1, $2, $3, $4)
				ON CONFLICT (workspace, channel, thread) DO UPDATE SET read_to = excluded.read_to WHERE excluded.read_to > thread_reads.read_to`,
				workspace, channel, thread, part[len(part)-1].TS)
			return err
		})
		if err != nil {
			return fmt.Errorf("keep thread %s in %s: %w", thread, channel, err)
		}
	}
	return nil
}

func (m *Memory) readOne(tx *migrations.Tx, thread, self string, msg Message) error {
	switch {
	case self != "" && msg.Author == self:
		if err := eraseForReal(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO own_messages (workspace, channel, thread, ts, author, text, turn) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (workspace, channel, ts) DO UPDATE SET text = excluded.text`,
			msg.Workspace, msg.Channel, thread, msg.TS, msg.Author, clean(msg.Text), msg.Turn)
		return err
	case msg.EditedTS != "":
		return m.Edited(tx, msg)
	}
	return m.Observe(tx, msg)
}

// Thread gives the messages of one thread, or with thread "" those of a flat
// direct message, for an answer in p to question. It keeps the first and the last
// ones, and of those between a summary and the ones that fit the question: no
// more than limit and a fixed number of lines, whatever the thread's length.
// Messages whose ts are in without are left out and not counted.
func (m *Memory) Thread(ctx context.Context, p Place, thread, question string, limit Limit, without map[string]bool) (Transcript, error) {
	var all []Message
	err := m.db.Read(ctx, func(tx *migrations.Tx) error {
		said, err := threadIn(tx, p, p.Channel, thread)
		if err != nil {
			return err
		}
		own, err := ownIn(tx, p, thread)
		all = append(said, own...)
		return err
	})
	if err != nil {
		return Transcript{}, fmt.Errorf("read thread %s in %s: %w", thread, p.Channel, err)
	}
	all = slices.DeleteFunc(all, func(msg Message) bool { return without[msg.TS] })
	slices.SortFunc(all, func(a, b Message) int { return strings.Compare(a.TS, b.TS) })
	t := fitThread(all, limit)
	if between := all[t.Gap : t.Gap+t.LeftOut]; len(between) > 0 {
		t.Summary = inShort(between)
		t.Fitting = fitting(between, question, m.db.Now())
	}
	return t, nil
}

// ownIn reads what the agent said in a thread of p's channel, where p may read it.
func ownIn(tx *migrations.Tx, p Place, thread string) ([]Message, error) {
	rows, err := tx.Query(reachSQL+`SELECT m.ts, m.author, m.text, m.turn FROM reach, own_messages m
		WHERE reach.own = 1 AND m.workspace = $1 AND m.channel = $2 AND m.thread = $7 ORDER BY m.ts DESC LIMIT $8`,
		p.args(tx.Now(), thread, threadMost)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Message
	for rows.Next() {
		msg := Message{Workspace: p.Workspace, Channel: p.Channel, Thread: thread}
		if err := rows.Scan(&msg.TS, &msg.Author, &msg.Text, &msg.Turn); err != nil {
			return nil, err
		}
		all = append(all, msg)
	}
	return all, rows.Err()
}

// fitThread cuts the middle out of a thread. The first and the newest message
// always stay; then the newest win, so that only the head's own texts can be cut
// off by it.
func fitThread(all []Message, limit Limit) Transcript {
	if len(all) == 0 || limit.Messages <= 0 {
		return Transcript{LeftOut: len(all)}
	}
	head := slices.Clone(all[:min(threadHead, limit.Messages, len(all))])
	tail := slices.Clone(all[len(head)+max(0, len(all)-limit.Messages):])
	for _, part := range [][]Message{head, tail} {
		for i := range part {
			part[i].Text = clip(part[i].Text, limit.Tokens)
		}
	}
	left := limit.Tokens - Tokens(head[0].Text)
	from := 0
	for i := len(tail) - 1; i >= 0; i-- {
		if left -= Tokens(tail[i].Text); left < 0 && i < len(tail)-1 {
			from = i + 1
			break
		}
	}
	t := Transcript{Messages: head[:1:1]}
	for _, msg := range head[1:] {
		if left -= Tokens(msg.Text); left < 0 {
			break
		}
		t.Messages = append(t.Messages, msg)
	}
	t.Gap = len(t.Messages)
	t.Messages = append(t.Messages, tail[from:]...)
	t.LeftOut = len(all) - len(t.Messages)
	return t
}

// inShort is what messages come to: the newest decisions first of all, then what
// is open, waited for and done, in the order it was said.
func inShort(all []Message) []Line {
	b := extract(all)
	var lines []Line
	for _, part := range []struct {
		what  string
		lines []Line
		most  int
	}{{"decided", b.Decided, 3}, {"open", b.Open, 2}, {"waiting", b.Waiting, 2}, {"done", b.Done, 2}} {
		for _, l := range part.lines[max(0, len(part.lines)-part.most):] {
			l.What = part.what
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b Line) int { return strings.Compare(a.TS, b.TS) })
	return lines[:min(len(lines), threadSummary)]
}

// fitsAtLeast is the share of a question's words, by what they tell, that a
// message needs to be told beside the thread.
const fitsAtLeast = 0.3

// fitting gives the messages that best fit a question, oldest first: with what
// was said right after those that ask themselves. The order is that of Search.
func fitting(all []Message, question string, now time.Time) []Line {
	q := parse(question)
	rows := make([]row, len(all))
	q.rarity = rarityAmong(all, q)
	wanted := q.wants(now)
	if wanted.terms == 0 {
		return nil
	}
	for i, msg := range all {
		rows[i] = row{id: int64(i + 1), prev: int64(i), next: int64(i + 2), seen: wanted.in(msg.Text), hit: Hit{
			Kind: HitMessage, Channel: msg.Channel, Thread: msg.Thread, TS: msg.TS, Author: msg.Author, Text: msg.Text, At: msg.At()}}
		rows[i].words = wanted.share(rows[i].seen.has)
	}
	place := make(map[string]int, len(all))
	for i, msg := range all {
		place[msg.TS] = i
	}
	kept := map[int]bool{}
	for _, h := range rank(rows, q, nil, now, len(rows)) {
		if len(kept) >= threadFitting {
			break
		}
		i := place[h.TS]
		seen := wanted.in(h.Text)
		if wanted.share(seen.has) < fitsAtLeast {
			continue
		}
		kept[i] = true
		if seen.isQuestion && i+1 < len(all) && len(kept) < threadFitting {
			kept[i+1] = true
		}
	}
	var lines []Line
	for i, msg := range all {
		if kept[i] {
			lines = append(lines, lineOf(msg, msg.Text))
		}
	}
	return lines
}

// rarityAmong is how much each term of q tells among these messages.
func rarityAmong(all []Message, q query) map[string]float64 {
	in := map[string]int{} // stem of a term → messages that have it
	for _, t := range q.terms {
		for _, w := range t.words {
			in[stem(w)] = 0
		}
	}
	for _, msg := range all {
		once := map[string]bool{}
		for _, w := range words(msg.Text) {
			s := stem(w.text)
			if _, asked := in[s]; asked && !once[s] {
				once[s] = true
				in[s]++
			}
		}
	}
	rarity := map[string]float64{}
	for _, t := range q.terms {
		most := 0
		for _, w := range t.words {
			most = max(most, in[stem(w)])
		}
		rarity[t.match()] = math.Log(1 + float64(len(all))/(1+float64(most)))
	}
	return rarity
}

func lineOf(msg Message, text string) Line {
	return Line{Text: cut(text, threadLine), Author: msg.Author, Channel: msg.Channel, TS: msg.TS, Permalink: msg.Permalink, Turn: msg.Turn}
}

// cut shortens text to most bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " …"
}
