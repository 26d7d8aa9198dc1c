package memory

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"deskmate/migrations"
)

// Bounds of what is looked for among what people who are named said, and around it.
const (
	nearRows   = 1500 // of each word, the newest
	nearPlaces = 12   // channels; who writes in more of them is told by none
	nearBest   = 120  // candidates
)

// near finds what has the words of q among what people who are named said and in
// the few channels where they write, the words that others say all day included,
// and adds the best of it to score. Its scores are those of one use of each word in
// a text of average length.
//
// Of people and channels with much to walk through it takes only the everyday
// words, those of which lookUp does not see all rows: to walk a hundred thousand
// messages along with the few rows of a rare word takes longer than those rows.
func near(tx *migrations.Tx, p Place, q query, everyday []term, people named, score map[int64]float64) error {
	if len(people.ids) == 0 || len(q.terms) == 0 {
		return nil
	}
	channels, err := shownChannels(tx, p, sortedKeys(people.channels))
	if err != nil || len(channels) == 0 {
		return err
	}
	among := []string{anyOf(people.ids)}
	if len(channels) <= nearPlaces {
		among = append(among, anyOf(channels))
	}
	walk, err := countOf(tx, strings.Join(among, " OR "))
	if err != nil {
		return err
	}
	terms, rows, most := append(slices.Clone(q.terms), q.pairs...), nearRows, nearBest
	if walk >= counted {
		terms, rows, most = everyday, nearRows/3, nearBest/2
	}
	var all float64
	if err := tx.QueryRow(`SELECT COALESCE(MAX(id), 0) FROM messages`).Scan(&all); err != nil {
		return fmt.Errorf("count messages: %w", err)
	}
	sum := map[int64]float64{}
	tells := map[string]float64{}
	theirs := map[int64]bool{}
	for _, t := range terms {
		match := formsMatch(t)
		told, known := 0.0, len(t.words) > 1
		for _, w := range t.words {
			alone, ok := tells[w]
			told, known = max(told, alone), known && ok
		}
		if !known { // a pair tells at least what its words do, and takes long to count
			n, err := countOf(tx, match)
			if err != nil {
				return err
			}
			told = max(math.Log((all-n+0.5)/(n+0.5)), 1e-6) // as BM25 has it
			tells[strings.Join(t.words, " ")] = told
		}
		has := map[int64]bool{}
		for i, those := range among {
			if err := eachRow(tx, "("+match+") AND "+those, rows, func(id int64) {
				theirs[id] = theirs[id] || i == 0
				if !has[id] {
					has[id] = true
					sum[id] += told
				}
			}); err != nil {
				return err
			}
		}
	}
	type found struct {
		id int64
		by float64
	}
	best := make([]found, 0, len(sum))
	for id, by := range sum {
		if theirs[id] {
			by *= order.voice
		}
		best = append(best, found{id, by})
	}
	slices.SortFunc(best, func(a, b found) int { return cmp.Or(cmp.Compare(b.by, a.by), cmp.Compare(b.id, a.id)) })
	for _, f := range best[:min(len(best), most)] {
		if _, known := score[f.id]; !known {
			score[f.id] = sum[f.id]
		}
	}
	return nil
}

// countOf counts the rows of the index that fit, up to counted.
func countOf(tx *migrations.Tx, match string) (float64, error) {
	var n float64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM (SELECT 1 FROM memory_index WHERE memory_index MATCH $1 LIMIT $2)`, match, counted).Scan(&n); err != nil {
		return 0, fmt.Errorf("count rows of a word: %w", err)
	}
	return n, nil
}

// formsMatch is a term with the other forms of its word.
func formsMatch(t term) string {
	parts := []string{t.match()}
	if len(t.words) == 1 {
		for _, form := range formsOf(t.words[0]) {
			parts = append(parts, term{words: []string{form}}.match())
		}
	}
	return strings.Join(parts, " OR ")
}

// anyOf matches what was said in one of these channels, or by one of these people.
// It names no column, nor do the words: to look which column a word stands in takes
// FTS5 twice the time. A text that has an id as a word becomes a candidate by that,
// and no more.
func anyOf(ids []string) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = term{words: texts(words(id))}.match()
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// eachRow gives the newest rows of the index that fit.
func eachRow(tx *migrations.Tx, match string, most int, do func(id int64)) error {
	rows, err := tx.Query(`SELECT rowid FROM memory_index WHERE memory_index MATCH $1 ORDER BY rowid DESC LIMIT $2`, match, most)
	if err != nil {
		return fmt.Errorf("look up words among channels: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("look up words among channels: %w", err)
		}
		do(id)
	}
	return rows.Err()
}

// shownChannels are those of channels that p may see, at most one more than nearPlaces.
func shownChannels(tx *migrations.Tx, p Place, channels []string) ([]string, error) {
	list, err := json.Marshal(channels)
	if err != nil {
		return nil, fmt.Errorf("encode channels: %w", err)
	}
	rows, err := tx.Query(reachSQL+`SELECT j.value FROM reach, json_each($7) j
		WHERE (j.value = $2 AND reach.own = 1)
			OR (reach.wide = 1 AND EXISTS (SELECT 1 FROM channels c WHERE c.workspace = $1 AND c.id = j.value AND c.kind = 'public')) LIMIT $8`,
		p.args(tx.Now(), string(list), nearPlaces+1)...)
	if err != nil {
		return nil, fmt.Errorf("look up channels: %w", err)
	}
	var shown []string
	if err := eachString(rows, func(id string) { shown = append(shown, id) }); err != nil {
		return nil, fmt.Errorf("look up channels: %w", err)
	}
	return shown, nil
}
