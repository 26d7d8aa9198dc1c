package memory

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Weights of the order. They are general rules of how people talk in channels;
// docs/memory.md says them in words.
const (
	weightBefore = 0.50 // an answer follows its question: the score of the message before
	weightAfter  = 0.35 // of the message after
	weightThread = 0.30 // of the rest of the thread, growing slower than its sum
	threadDamp   = 0.70 // 1: its mean; 0: its sum
	boostVoice   = 2.00 // said by someone the query names
	boostNear    = 1.25 // said in a channel where someone the query names writes
	boostNote    = 2.00 // somebody wanted this kept
	boostRecent  = 0.05 // most that recency adds; halves every recentHalf
	recentHalf   = 30 * 24 * time.Hour
)

// threadScore is what the candidates of one thread have together.
type threadScore struct{ words, n float64 }

// rank orders rows by their words, those around them, who said them, and a
// little by how recent they are.
func rank(rows []row, people []string, now time.Time, limit int) []Hit {
	byID := make(map[int64]*row, len(rows))
	threads := map[string]threadScore{}
	thread := func(r *row) string { return r.hit.Channel + " " + r.hit.Thread }
	for i := range rows {
		r := &rows[i]
		byID[r.id] = r
		if r.hit.Kind == HitMessage {
			t := threads[thread(r)]
			threads[thread(r)] = threadScore{t.words + r.words, t.n + 1}
		}
	}
	wordsOf := func(id int64) float64 {
		if r := byID[id]; r != nil {
			return r.words
		}
		return 0
	}
	for i := range rows {
		r := &rows[i]
		score := r.words + weightBefore*wordsOf(r.prev) + weightAfter*wordsOf(r.next)
		if r.hit.Kind == HitMessage {
			t := threads[thread(r)]
			score += weightThread * (t.words - r.words) / math.Pow(t.n, threadDamp)
		} else {
			score *= boostNote
		}
		switch {
		case slices.Contains(people, r.hit.Author):
			score *= boostVoice
		case r.near:
			score *= boostNear
		}
		if age := now.Sub(r.hit.At); age > 0 {
			score *= 1 + boostRecent*math.Exp2(-float64(age)/float64(recentHalf))
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
