package memory

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Cited is one line of what Recall gave that has a link.
type Cited struct {
	Text   string // what was said
	Source string // who, where and when
	Link   string
}

// citedLine is a line as labels.line words it: the last bracket is its own,
// whatever stands in the text.
var citedLine = regexp.MustCompile(`(?m)^- (?:note n_\S+?|[^\n:]*? said): (.*) \[([^\[\]\n]*), (https?://[^\s\[\]]+)\]$`)

// briefLine is a line as Say words it.
var briefLine = regexp.MustCompile(`(?m)^- (.*) — ([^—\n]*, \d{4}-\d\d-\d\d), (https?://[^\s,]+)`)

// CitedIn takes the lines with a link out of a text that Recall or Say gave.
func CitedIn(recalled string) []Cited {
	var all []Cited
	for _, x := range []*regexp.Regexp{citedLine, briefLine} {
		for _, m := range x.FindAllStringSubmatch(recalled, -1) {
			all = append(all, Cited{Text: m[1], Source: m[2], Link: m[3]})
		}
	}
	return all
}

// mostOwed bounds the sources that an answer is found to owe.
const mostOwed = 3

// Owed gives the lines of recalled that answer uses without their link: it says
// what they say and the question does not. A line adds nothing when what it says
// is in one that is cited.
func Owed(answer, question string, recalled []Cited) []Cited {
	news, asked := telling(answer), telling(question)
	for w := range asked {
		delete(news, w)
	}
	type use struct {
		at     int
		shared []string
		of     int
	}
	var uses []use
	for i, c := range recalled {
		u := use{at: i}
		for w := range telling(c.Text) {
			if asked[w] {
				continue
			}
			u.of++
			if news[w] {
				u.shared = append(u.shared, w)
			}
		}
		if strings.Contains(answer, c.Link) {
			for _, w := range u.shared {
				delete(news, w)
			}
		} else {
			uses = append(uses, u)
		}
	}
	// The line that is used most wholly first; what is told twice is owed once.
	slices.SortStableFunc(uses, func(a, b use) int { return len(b.shared)*max(a.of, 1) - len(a.shared)*max(b.of, 1) })
	var owed []int
	for _, u := range uses {
		isNew := slices.ContainsFunc(u.shared, func(w string) bool { return news[w] })
		if !isNew || len(u.shared) < 4 && 2*len(u.shared) < u.of || len(owed) == mostOwed {
			continue
		}
		for _, w := range u.shared {
			delete(news, w)
		}
		owed = append(owed, u.at)
	}
	slices.Sort(owed)
	out := make([]Cited, len(owed))
	for i, at := range owed {
		out[i] = recalled[at]
	}
	return out
}

// Backs reports whether a line that is put in other words may rest on sources: its
// numbers are all in them, and of the words that tell something at least a third.
func Backs(sources []string, line string) bool {
	said := telling(strings.Join(sources, "\n"))
	words, in := 0, 0
	for w := range telling(line) {
		has := said[w]
		if !has && strings.ContainsFunc(w, unicode.IsDigit) {
			return false
		}
		words++
		if has {
			in++
		}
	}
	return words > 0 && 3*in >= words
}

// telling are the stems of the words of a text that say something.
func telling(text string) map[string]bool {
	all := map[string]bool{}
	for _, w := range words(unescape(text)) {
		if !stopWords[w.text] && (len(w.text) > 1 || unicode.IsDigit(rune(w.text[0]))) {
			all[stem(w.text)] = true
		}
	}
	return all
}
