package memory

import (
	"strings"
	"time"
	"unicode"
)

// wanted is what a query asks for, in a form that texts are held against.
type wanted struct {
	stems map[string]int // stem of a word, or of another form of it → its place among the terms
	terms int
	tells []float64 // how much each term tells, all together 1
	kind  kind
	from  time.Time // said at or after, zero where the query speaks of no time
	until time.Time
}

// seen is what rank knows of one text.
type seen struct {
	words      []word
	has        uint64
	isQuestion bool
}

// wants takes q apart for rank. now is what "last week" counts from.
func (q query) wants(now time.Time) *wanted {
	w := &wanted{stems: map[string]int{}, kind: kindOf(q.said)}
	place := map[string]int{}
	for _, t := range q.terms {
		for _, one := range t.words {
			if _, known := place[one]; known || w.terms == 64 {
				continue
			}
			place[one] = w.terms
			w.tells = append(w.tells, max(q.rarity[t.match()], 1e-9))
			for _, form := range append(formsOf(one), one) {
				if _, known := w.stems[stem(form)]; !known {
					w.stems[stem(form)] = w.terms
				}
			}
			w.terms++
		}
	}
	sum := 0.0
	for _, v := range w.tells {
		sum += v
	}
	for i := range w.tells {
		w.tells[i] /= sum
	}
	w.from, w.until = timeIn(q.said, now)
	return w
}

// in holds text against what is wanted.
func (w *wanted) in(text string) *seen {
	s := &seen{words: words(text), isQuestion: strings.HasSuffix(strings.TrimSpace(text), "?")}
	for _, one := range s.words {
		if place, ok := w.stems[stem(one.text)]; ok {
			s.has |= 1 << place
		}
	}
	return s
}

// share is the share of the terms that are there, by what they tell: from 0 to 1.
func (w *wanted) share(has uint64) float64 {
	share := 0.0
	for i, v := range w.tells {
		if has&(1<<i) != 0 {
			share += v
		}
	}
	return share
}

// at is 1 for the time that the query speaks of, falling to 0 over the week after
// it: people tell of things when they happen, or a little later.
func (w *wanted) at(t time.Time) float64 {
	const after = 7 * 24 * time.Hour
	switch {
	case w.from.IsZero() || t.Before(w.from) || t.After(w.until.Add(after)):
		return 0
	case t.Before(w.until):
		return 1
	}
	return 1 - float64(t.Sub(w.until))/float64(after)
}

// kind is the kind of thing that a question asks for.
type kind int

const (
	kindAny kind = iota
	kindTime
	kindNumber
	kindPlace
	kindPerson
	kindReason
)

func kindOf(said string) kind {
	said = " " + said + " "
	has := func(phrases ...string) bool {
		for _, p := range phrases {
			if strings.Contains(said, " "+p+" ") {
				return true
			}
		}
		return false
	}
	switch {
	case has("when", "what date", "which date", "what day", "which day", "what time", "what month", "which month", "what year", "which year", "how long", "how recently", "since when", "until when", "deadline", "by when"):
		return kindTime
	case has("how many", "how much", "how often", "how old", "how far", "how big", "what price", "what number", "what version", "which version", "percentage"):
		return kindNumber
	case has("where", "what city", "which city", "what country", "which country", "what state", "which state", "what place", "which place", "what location", "from where"):
		return kindPlace
	case has("who", "whom", "whose", "with whom", "which person", "which people"):
		return kindPerson
	case has("why", "what reason", "how come", "what made", "what motivated", "what inspired"):
		return kindReason
	}
	return kindAny
}

// in reports whether a text holds something of that kind.
func (k kind) in(s *seen) bool {
	for i, w := range s.words {
		switch k {
		case kindTime:
			if timeWords[w.text] || isYear(w.text) {
				return true
			}
		case kindNumber:
			if numberWords[w.text] || unicode.IsDigit(rune(w.text[0])) {
				return true
			}
		case kindPlace:
			if w.capital && i > 0 && placeWords[s.words[i-1].text] {
				return true
			}
		case kindPerson:
			if kinWords[w.text] || i > 0 && w.capital && w.text != "i" && !timeWords[w.text] {
				return true
			}
		case kindReason:
			if reasonWords[w.text] {
				return true
			}
		}
	}
	return false
}

func isYear(s string) bool {
	return len(s) == 4 && (s[:2] == "19" || s[:2] == "20") && unicode.IsDigit(rune(s[2])) && unicode.IsDigit(rune(s[3]))
}

func setOf(list string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}

var (
	timeWords = setOf(`yesterday today tonight tomorrow last next ago week weeks weekend month months year years day days monday tuesday wednesday
		thursday friday saturday sunday january february march april june july august september october november december
		since until recently soon morning evening afternoon night later earlier summer winter spring autumn fall deadline`)
	numberWords = setOf(`one two three four five six seven eight nine ten eleven twelve dozen hundred thousand million once twice half
		couple few several first second third`)
	placeWords = setOf(`in at to from near on visit visited visiting around outside`)
	kinWords   = setOf(`mother mom mum father dad parents brother sister son daughter wife husband partner friend friends family kids children
		boss manager colleague team customer client everyone someone he she they we`)
	reasonWords = setOf(`because since so cause reason made inspired motivated help want wanted due why`)
)
