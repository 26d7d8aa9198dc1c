package memory

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"deskmate/migrations"
)

// event is what a query counts time from: "before the release", "since the outage".
type event struct {
	words  []string // that name it
	before bool
	at     time.Time // when it was, zero where nothing tells
}

// Bounds of an event.
const (
	eventWords = 3
	eventRows  = 300                 // messages that speak of it, the newest, that are looked at
	eventHalf  = 14 * 24 * time.Hour // what was said near it counts most, halved each of these
)

var (
	eventForm = regexp.MustCompile(`\b(before|after|since|following|until|prior to|ahead of) (?:the|our|that|last|this)((?: [\pL\pN]+){1,4})`)
	happens   = regexp.MustCompile(`(?i)\b(?:is|are|was|were|went|has|have|had|just|now|today|this\s+morning|happened|started|starts|began|begins|over|done|out|live|shipped|finished|resolved|declared|here\s+we\s+go)\b`)
	planned   = regexp.MustCompile(`(?i)\b(?:will|['’]ll|going\s+to|before|after|since|until|plan|plans|planned|next|tomorrow|when|once|should|would|could|must|needs?|for)\b|\?\s*$`)
)

// event finds what the query counts time from, ok false for nothing. The words that
// name it go on up to one that says little.
func (q query) event() (e event, ok bool) {
	m := eventForm.FindStringSubmatch(q.said)
	if m == nil {
		return event{}, false
	}
	for _, w := range strings.Fields(m[2]) {
		if stopWords[w] || len(e.words) == eventWords {
			break
		}
		e.words = append(e.words, w)
	}
	if len(e.words) == 0 || eventTimes[e.words[0]] {
		return event{}, false
	}
	e.before = m[1] == "before" || m[1] == "until" || m[1] == "prior to" || m[1] == "ahead of"
	return e, true
}

// sinceOf is the event that q counts time from, with its time where messages tell
// it; the zero event where q names a time itself.
func sinceOf(tx *migrations.Tx, p Place, q query) (event, error) {
	e, ok := q.event()
	if from, _ := timeIn(q.said, tx.Now()); !ok || !from.IsZero() {
		return event{}, nil
	}
	if err := e.when(tx, p); err != nil {
		return event{}, err
	}
	return e, nil
}

// tellsEnough is the share of the rarity of an event's words that something else
// in the query needs for it to be what is looked for.
const tellsEnough = 0.75

// apart drops the words of an event whose time is known where others say what is
// looked for: of "the upload limit before the outage", not the outage. Of "how did
// it go after the outage" it stays.
func (q query) apart() query {
	if q.since.at.IsZero() {
		return q
	}
	named := setOf(strings.Join(q.since.words, " "))
	event, rest := 0.0, 0.0
	for _, t := range q.terms {
		if rarity := q.rarity[t.match()]; len(t.words) == 1 && named[t.words[0]] {
			event = max(event, rarity)
		} else {
			rest = max(rest, rarity)
		}
	}
	if rest < tellsEnough*event {
		return q
	}
	return q.without(named)
}

// eventTimes are what a calendar knows, not the workspace.
var eventTimes = setOf(`week weeks month months year years day days weekend monday tuesday wednesday thursday friday saturday sunday
	january february march april may june july august september october november december first second third end`)

// when finds out when an event was, by what may be seen in p: of the days on which
// it is spoken of, the one on which most is said that it takes place, and least
// that it will or did.
func (e *event) when(tx *migrations.Tx, p Place) error {
	var parts []string
	for _, w := range e.words {
		parts = append(parts, "("+formsMatch(term{words: []string{w}})+")")
	}
	rows, err := tx.Query(reachSQL+`SELECT m.text, m.said_at FROM reach, memory_index JOIN messages m ON m.id = memory_index.rowid
		WHERE memory_index MATCH $7 AND `+messageInReach+` ORDER BY memory_index.rowid DESC LIMIT $8`,
		p.args(tx.Now(), strings.Join(parts, " AND "), eventRows)...)
	if err != nil {
		return fmt.Errorf("look up %q: %w", strings.Join(e.words, " "), err)
	}
	defer rows.Close()
	type day struct {
		score float64
		first time.Time // said of it that tells
		best  float64
	}
	days := map[time.Time]*day{}
	for rows.Next() {
		var text string
		var micros int64
		if err := rows.Scan(&text, &micros); err != nil {
			return fmt.Errorf("look up %q: %w", strings.Join(e.words, " "), err)
		}
		at := migrations.Time(micros)
		score := e.tells(text)
		d := days[at.Truncate(24*time.Hour)]
		if d == nil {
			d = &day{first: at, best: score}
			days[at.Truncate(24*time.Hour)] = d
		}
		d.score += score
		if score > d.best || score == d.best && at.Before(d.first) {
			d.first, d.best = at, score
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look up %q: %w", strings.Join(e.words, " "), err)
	}
	top := 0.0
	for _, d := range days {
		if d.score > top || d.score == top && top > 0 && d.first.After(e.at) { // the last of several
			e.at, top = d.first, d.score
		}
	}
	return nil
}

// tells is how much a text says that the event takes place now: the sentence that
// names it decides.
func (e *event) tells(text string) float64 {
	best := 0.0
	for _, s := range sentencesOf(unescape(text)) {
		in := telling(s)
		if slices.ContainsFunc(e.words, func(w string) bool { return !in[stem(w)] }) {
			continue
		}
		switch {
		case planned.MatchString(s):
			best = max(best, 0.1)
		case happens.MatchString(s):
			best = max(best, 2)
		default:
			best = max(best, 0.5)
		}
	}
	return best
}

// beside is 1 for what was said right before or after the event, whichever the
// query asks for, halved with each eventHalf from it; 0 on its other side.
func (e event) beside(t time.Time) float64 {
	if e.at.IsZero() || t.Before(e.at) != e.before {
		return 0
	}
	return math.Exp2(-math.Abs(float64(t.Sub(e.at))) / float64(eventHalf))
}
