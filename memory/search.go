package memory

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/migrations"
)

// Kinds of Hit.
const (
	HitNote    = "note"
	HitMessage = "message"
)

// Hit is one thing found, with what stood around it.
type Hit struct {
	Kind      string // note, message
	ID        string // of the note; "" for a message
	Scope     string // of the note; of a message: that of its channel
	Channel   string // where it was said
	Thread    string
	TS        string
	Author    string
	Text      string
	Permalink string
	At        time.Time
	Label     label.Label
	Withheld  bool     // where the note is from may not be told: Author, Channel, TS and Permalink are empty
	Score     float64  // higher is better; compares within one search only
	Before    *Message // the message before it in its thread; nil where there is none, or neither is about the query
	After     *Message
}

// noteRows is where the rows of notes begin in the index (2^40, see the schema):
// a note's row is that plus its seq, a message's is its id.
const noteRows = "1099511627776"

const (
	// candidates is how many of the best by words are ranked further. Twice as
	// many change the order of the first ten hardly ever and cost twice as much.
	candidates = 150
	// scanned is how many matching rows in reach are scored, the newest first: what
	// bounds a search for words that a large workspace says all day.
	scanned = 3000
	// counted is up to how many rows of a word are counted.
	counted = 20000
	// maxNamed is how many people of a query count.
	maxNamed = 4
	// maxHits bounds limit.
	maxHits = 100
)

// Search gives the best of the notes and messages that the place and the
// requester may see, at most limit of them, in one order. A query without any
// word finds nothing. What the requester said in the very words of the query is
// the asking, not an answer, and is left out.
func (m *Memory) Search(ctx context.Context, p Place, text string, limit int) ([]Hit, error) {
	var hits []Hit
	meaning := m.meaning(ctx, text)
	err := m.db.Read(ctx, func(tx *migrations.Tx) error {
		var like likes
		if meaning != nil {
			var err error
			if like, err = likest(tx, p, m.embedder.Model(), meaning); err != nil {
				return err
			}
		}
		g, err := gather(tx, p, text, like.nearest)
		if err != nil {
			return err
		}
		if meaning == nil {
			hits = rank(g.rows, g.q, g.people, tx.Now(), min(limit, maxHits))
			return nil
		}
		row := map[Source]int64{}
		for _, r := range g.rows {
			row[likeKey(r.hit)] = r.id
		}
		hits = fuse(rank(g.rows, g.q, g.people, tx.Now(), len(g.rows)), like, row, min(limit, maxHits))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("search memory: %w", err)
	}
	return hits, nil
}

// gathered is what may answer a query, before it is put in order.
type gathered struct {
	rows   []row
	q      query // without the names of people, who stand apart
	people []string
}

// gather finds them by words; like are rows that are to be among them.
func gather(tx *migrations.Tx, p Place, text string, like []int64) (gathered, error) {
	q := parse(text)
	named, err := namedIn(tx, p.Workspace, q)
	if err != nil {
		return gathered{}, err
	}
	asked := q.without(named.written)
	rows, err := countRows(tx, asked)
	if err != nil {
		return gathered{}, err
	}
	if asked.rarity, err = rarities(tx, rows); err != nil {
		return gathered{}, err
	}
	if asked.since, err = sinceOf(tx, p, q); err != nil {
		return gathered{}, err
	}
	asked = asked.apart()
	if named.channels, err = channelsOf(tx, p.Workspace, named.ids); err != nil {
		return gathered{}, err
	}
	affordable, everyday := asked.affordable(rows)
	score, err := lookUp(tx, p, affordable, named)
	if err == nil {
		err = near(tx, p, asked, everyday, named, score)
	}
	if err == nil && q.isOnly(named.words) {
		err = addNewest(tx, p, named.ids, score)
	}
	if err != nil {
		return gathered{}, err
	}
	for _, id := range like {
		if _, known := score[id]; !known {
			score[id] = 0
		}
	}
	found, err := load(tx, p, score, named)
	if err != nil {
		return gathered{}, err
	}
	around, err := neighbours(tx, p, found, named)
	if err != nil {
		return gathered{}, err
	}
	all := slices.DeleteFunc(append(found, around...), func(r row) bool {
		return r.hit.Author == p.Requester && repeats(r.hit.Text, q.said)
	})
	return gathered{all, asked, named.ids}, nil
}

// repeats reports whether text says the words of the query and no others, but
// for a mention in front.
func repeats(text, said string) bool {
	var q query
	return said == strings.Join(texts(words(unescape(q.takeMarkup(text)))), " ")
}

// named are the people whom a query names.
type named struct {
	ids      []string
	channels map[string]bool // those that they write in
	words    map[string]bool // the words that name them
	written  map[string]bool // those of them written as names are
}

// namedIn finds the people whom q mentions or names. Only words written with a
// capital are names for sure, and not looked for in texts: "mark the date" does
// not ask for Mark.
func namedIn(tx *migrations.Tx, workspace string, q query) (named, error) {
	n := named{ids: q.mentions, words: map[string]bool{}, written: map[string]bool{}}
	if len(q.names) == 0 {
		return n, nil
	}
	list, err := json.Marshal(texts(q.names))
	if err != nil {
		return n, fmt.Errorf("encode names: %w", err)
	}
	rows, err := tx.Query(`SELECT w.person, w.name FROM people_names w WHERE w.workspace = $1 AND w.name IN (SELECT value FROM json_each($2))
		ORDER BY w.person, w.name LIMIT 50`, workspace, string(list))
	if err != nil {
		return n, fmt.Errorf("look up names: %w", err)
	}
	defer rows.Close()
	capital := map[string]bool{}
	for _, w := range q.names {
		capital[w.text] = capital[w.text] || w.capital
	}
	for rows.Next() {
		var id, name string
		if err := rows.Scan(&id, &name); err != nil {
			return n, fmt.Errorf("look up names: %w", err)
		}
		if len(n.ids) < maxNamed {
			n.ids = append(n.ids, id)
		}
		n.words[name] = true
		if capital[name] {
			n.written[name] = true
		}
	}
	return n, rows.Err()
}

// maxTheirs is how many channels of a person who is named count.
const maxTheirs = 200

// channelsOf gives the channels that people write in. It steps from channel to
// channel through the index: somebody may have written a hundred thousand times.
func channelsOf(tx *migrations.Tx, workspace string, people []string) (map[string]bool, error) {
	theirs := map[string]bool{}
	for _, who := range people {
		rows, err := tx.Query(`WITH RECURSIVE theirs (channel) AS (
				SELECT MIN(channel) FROM messages WHERE workspace = $1 AND author = $2
				UNION ALL SELECT (SELECT MIN(m.channel) FROM messages m WHERE m.workspace = $1 AND m.author = $2 AND m.channel > theirs.channel)
				FROM theirs WHERE theirs.channel IS NOT NULL)
			SELECT channel FROM theirs WHERE channel IS NOT NULL LIMIT $3`, workspace, who, maxTheirs)
		if err != nil {
			return nil, fmt.Errorf("look up channels of %s: %w", who, err)
		}
		err = eachString(rows, func(channel string) { theirs[channel] = true })
		if err != nil {
			return nil, fmt.Errorf("look up channels of %s: %w", who, err)
		}
	}
	return theirs, nil
}

// eachString reads rows of one text and closes them.
func eachString(rows *sql.Rows, do func(string)) error {
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return err
		}
		do(s)
	}
	return rows.Err()
}

func sortedKeys(set map[string]bool) []string {
	all := make([]string, 0, len(set))
	for k := range set {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// row is a note or message on its way to becoming a Hit.
type row struct {
	hit        Hit
	id         int64   // row of the index
	words      float64 // BM25, higher is better; 0 for one that has none of the words
	prev, next int64   // rows of the messages around it, 0 for none
	near       bool    // someone named writes in its channel
	seen       *seen   // its text as rank looks at it
}

// lookUp gives the best index rows by their words alone, within reach, with
// their scores.
//
// bm25() is negative, smaller is better; b and k1 are FTS5's own (0.75, 1.2). A
// person who is named speaks louder here already, so as not to be cut off.
func lookUp(tx *migrations.Tx, p Place, q query, people named) (map[int64]float64, error) {
	score := map[int64]float64{}
	match := q.match()
	if match == "" {
		return score, nil
	}
	var who [maxNamed]any
	for i := range who {
		who[i] = ""
		if i < len(people.ids) {
			who[i] = people.ids[i]
		}
	}
	theirs, err := json.Marshal(sortedKeys(people.channels))
	if err != nil {
		return nil, fmt.Errorf("encode channels: %w", err)
	}
	rows, err := tx.Query(reachSQL+`, newest AS (
			SELECT memory_index.rowid AS id, -bm25(memory_index) AS words,
				CASE WHEN COALESCE(m.author, n.author) IN ($7, $8, $9, $10) THEN 2.0
					WHEN m.channel IN (SELECT value FROM json_each($11)) THEN 1.5 ELSE 1.0 END AS voice
			FROM reach, memory_index
			LEFT JOIN messages m INDEXED BY messages_reach ON m.id = memory_index.rowid
			LEFT JOIN notes n ON n.seq = memory_index.rowid - `+noteRows+`
			WHERE memory_index MATCH $12 AND (`+manyInReach+` OR `+noteInReach+`)
			ORDER BY memory_index.rowid DESC LIMIT $13)
		SELECT id, words FROM newest ORDER BY words * voice DESC LIMIT $14`,
		p.args(tx.Now(), who[0], who[1], who[2], who[3], string(theirs), match, scanned, candidates)...)
	if err != nil {
		return nil, fmt.Errorf("look up words: %w", err)
	}
	for rows.Next() {
		var id int64
		var words float64
		if err := rows.Scan(&id, &words); err != nil {
			return nil, fmt.Errorf("look up words: %w", err)
		}
		score[id] = words
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look up words: %w", err)
	}
	return score, nil
}

// countRows gives for each term of q how many rows of the index have it, up to
// counted.
func countRows(tx *migrations.Tx, q query) (map[string]int, error) {
	rows := map[string]int{}
	for _, t := range q.all() {
		var n int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM (SELECT 1 FROM memory_index WHERE memory_index MATCH $1 LIMIT $2)`,
			t.match(), counted).Scan(&n); err != nil {
			return nil, fmt.Errorf("count rows of a word: %w", err)
		}
		rows[t.match()] = n
	}
	return rows, nil
}

// rarities gives for each term how much it tells: the logarithm of how many rows
// there are for each that has it.
func rarities(tx *migrations.Tx, rows map[string]int) (map[string]float64, error) {
	var all float64
	if err := tx.QueryRow(`SELECT COALESCE(MAX(id), 0) FROM messages`).Scan(&all); err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	rarity := map[string]float64{}
	for t, n := range rows {
		rarity[t] = math.Log(1 + all/(float64(n)+0.5))
	}
	return rarity, nil
}

// affordable leaves the most frequent words of q out while all together have more
// rows than a search scores: next to rarer ones they decide nothing. The rarest
// always stays. Pairs with a word of counted rows go too: to walk through those for
// each takes longer than all else. everyday are the words of which not all rows are scored then.
func (q query) affordable(rows map[string]int) (affordable query, everyday []term) {
	terms := slices.Clone(q.all())
	slices.SortStableFunc(terms, func(a, b term) int { return rows[a.match()] - rows[b.match()] })
	total := 0
	for i, t := range terms {
		if total += rows[t.match()]; total >= scanned {
			q = q.with(terms[:max(i, 1)])
			q.pairs = slices.DeleteFunc(q.pairs, func(t term) bool {
				return slices.ContainsFunc(t.words, func(w string) bool { return rows[term{words: []string{w}}.match()] >= counted })
			})
			return q, terms[i:]
		}
	}
	return q, nil
}

// newest is how many messages of a person answer a query that says only who.
const newest = 20

// addNewest adds the newest that people said to score, below all that was found
// by words.
func addNewest(tx *migrations.Tx, p Place, people []string, score map[int64]float64) error {
	who, err := json.Marshal(people)
	if err != nil {
		return fmt.Errorf("encode people: %w", err)
	}
	rows, err := tx.Query(reachSQL+`SELECT m.id FROM reach, messages m WHERE `+messageInReach+`
		AND m.author IN (SELECT value FROM json_each($7)) ORDER BY m.said_at DESC LIMIT $8`, p.args(tx.Now(), string(who), newest)...)
	if err != nil {
		return fmt.Errorf("look up what was said last: %w", err)
	}
	defer rows.Close()
	for n := 0.0; rows.Next(); n++ {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("look up what was said last: %w", err)
		}
		if _, found := score[id]; !found {
			score[id] = 1e-9 / (n + 1)
		}
	}
	return rows.Err()
}

// load reads the rows whose index entries are the keys of score, within reach.
func load(tx *migrations.Tx, p Place, score map[int64]float64, people named) ([]row, error) {
	ids := make([]int64, 0, len(score))
	for id := range score {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fmt.Errorf("encode rows: %w", err)
	}
	rows, err := tx.Query(reachSQL+`
		SELECT m.id, 'message', '', '', m.channel, m.thread, m.ts, m.author, m.text, m.permalink, m.said_at,
			COALESCE((SELECT b.id FROM messages b WHERE b.workspace = m.workspace AND b.channel = m.channel AND b.thread = m.thread
				AND b.ts < m.ts AND b.gone_at = 0 ORDER BY b.ts DESC LIMIT 1), 0),
			COALESCE((SELECT a.id FROM messages a WHERE a.workspace = m.workspace AND a.channel = m.channel AND a.thread = m.thread
				AND a.ts > m.ts AND a.gone_at = 0 ORDER BY a.ts LIMIT 1), 0), '', 0
		FROM reach CROSS JOIN json_each($7) j CROSS JOIN messages m WHERE m.id = j.value AND `+messageInReach+`
		UNION ALL
		SELECT n.seq + `+noteRows+`, 'note', n.id, n.scope, n.channel, '', n.ts, n.author, n.text, n.permalink, n.created_at, 0, 0, n.label, NOT `+sourceInReach+`
		FROM reach CROSS JOIN json_each($7) j CROSS JOIN notes n WHERE n.seq = j.value - `+noteRows+` AND `+noteInReach,
		p.args(tx.Now(), string(list))...)
	if err != nil {
		return nil, fmt.Errorf("read what was found: %w", err)
	}
	defer rows.Close()
	var found []row
	for rows.Next() {
		var r row
		var at int64
		var went string
		h := &r.hit
		if err := rows.Scan(&r.id, &h.Kind, &h.ID, &h.Scope, &h.Channel, &h.Thread, &h.TS, &h.Author, &h.Text, &h.Permalink, &at,
			&r.prev, &r.next, &went, &h.Withheld); err != nil {
			return nil, fmt.Errorf("read what was found: %w", err)
		}
		if h.Label, err = readLabel(went); err != nil {
			return nil, fmt.Errorf("read what was found: %w", err)
		}
		if h.Withheld {
			h.Author, h.Channel, h.TS, h.Permalink = "", "", "", ""
		}
		h.At, r.words = migrations.Time(at), score[r.id]
		r.near = h.Kind == HitMessage && people.channels[h.Channel]
		if h.Scope == "" {
			h.Scope = scopeOf(h.Channel)
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// neighbours reads the messages that stand before and after those found, and are
// not among them.
func neighbours(tx *migrations.Tx, p Place, found []row, people named) ([]row, error) {
	have := map[int64]bool{}
	for _, r := range found {
		have[r.id] = true
	}
	want := map[int64]float64{}
	for _, r := range found {
		for _, id := range []int64{r.prev, r.next} {
			if id != 0 && !have[id] {
				want[id] = 0
			}
		}
	}
	if len(want) == 0 {
		return nil, nil
	}
	return load(tx, p, want, people)
}
