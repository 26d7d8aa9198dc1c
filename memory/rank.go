package memory

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// weights of the order. They are general rules of how people talk in channels;
// docs/memory.md says them in words, and what each of them gave.
type weights struct {
	before     float64 // an answer follows its question: the score of the message before
	after      float64 // of the message after
	further    float64 // of those two away
	asked      float64 // most that being said right after a question adds
	thread     float64 // of the rest of the thread, growing slower than its sum
	threadDamp float64 // 1: its mean; 0: its sum
	cover      float64 // most that having all the words, here or right around, adds
	voice      float64 // said by someone the query names
	near       float64 // said in a channel where someone the query names writes
	kind       float64 // has the kind of thing that is asked for: a time, a number, a place, a person
	question   float64 // it is a question itself
	dated      float64 // said at the time that the query speaks of
	event      float64 // said right before or after the event that the query speaks of
	note       float64 // somebody wanted this kept
	recent     float64 // most that recency adds; halves every recentHalf
	short      float64 // what stands around counts less for a message of a few words
}

var order = weights{
	before: 0.15, after: 0.25, further: 0.20, asked: 0.60, thread: 0.30, threadDamp: 0.40, cover: 1.40,
	voice: 2.00, near: 1.60, kind: 1.50, question: 0.70, dated: 3.50, event: 2.00, note: 2.00, recent: 0.05, short: 0.50,
}

const (
	recentHalf = 30 * 24 * time.Hour
	fewWords   = 5
)

// threadScore is what the candidates of one thread have together.
type threadScore struct{ words, n float64 }

// rank orders rows by their words, those around them, who said them and when,
// and whether they hold the kind of thing that is asked for.
func rank(rows []row, q query, people []string, now time.Time, limit int) []Hit {
	o := order
	byID := make(map[int64]*row, len(rows))
	threads := map[string]threadScore{}
	thread := func(r *row) string { return r.hit.Channel + " " + r.hit.Thread }
	wanted := q.wants(now)
	for i := range rows {
		r := &rows[i]
		byID[r.id] = r
		if r.seen == nil {
			r.seen = wanted.in(r.hit.Text)
		}
		if r.hit.Kind == HitMessage {
			t := threads[thread(r)]
			threads[thread(r)] = threadScore{t.words + r.words, t.n + 1}
		}
	}
	for i := range rows {
		r := &rows[i]
		prev, next := byID[r.prev], byID[r.next]
		score := r.words
		cover := r.seen.has
		around := 0.0
		if prev != nil {
			around += o.before * prev.words
			if prev.seen.isQuestion {
				around += o.asked * prev.words
			}
			if before := byID[prev.prev]; before != nil {
				around += o.further * before.words
			}
			cover |= prev.seen.has
		}
		if next != nil {
			around += o.after * next.words
			if after := byID[next.next]; after != nil {
				around += o.further * after.words
			}
		}
		if len(r.seen.words) < fewWords {
			around *= o.short
		}
		score += around
		if r.hit.Kind == HitMessage {
			t := threads[thread(r)]
			score += o.thread * (t.words - r.words) / math.Pow(t.n, o.threadDamp)
		} else {
			score *= o.note
		}
		score *= 1 + o.cover*wanted.share(cover)
		switch {
		case slices.Contains(people, r.hit.Author):
			score *= o.voice
		case r.near:
			score *= o.near
		}
		if wanted.kind.in(r.seen) {
			score *= o.kind
		}
		if r.seen.isQuestion {
			score *= o.question
		}
		score *= 1 + (o.dated-1)*wanted.at(r.hit.At)
		score *= 1 + (o.event-1)*q.since.beside(r.hit.At)
		if age := now.Sub(r.hit.At); age > 0 {
			score *= 1 + o.recent*math.Exp2(-float64(age)/float64(recentHalf))
		}
		r.hit.Score = score
	}
	for i := range rows {
		rows[i].hit.Before, rows[i].hit.After = messageOf(byID[rows[i].prev]), messageOf(byID[rows[i].next])
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.hit.Score, a.hit.Score), b.hit.At.Compare(a.hit.At), cmp.Compare(b.id, a.id))
	})
	hits := make([]Hit, 0, max(min(limit, len(rows)), 0))
	for _, r := range rows[:cap(hits)] {
		hits = append(hits, r.hit)
	}
	return hits
}

func messageOf(r *row) *Message {
	if r == nil {
		return nil
	}
	h := r.hit
	return &Message{Channel: h.Channel, Thread: h.Thread, TS: h.TS, Author: h.Author, Text: h.Text, Permalink: h.Permalink}
}
