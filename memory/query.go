package memory

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a query, whatever a person pastes into it.
const (
	maxTerms     = 24
	maxWordBytes = 64
	maxQuery     = 4000 // bytes that are looked at
)

// word is one word of a text, lower-cased.
type word struct {
	text    string
	capital bool // as written, it began with a capital letter
}

// words cuts s where the index does: at whatever is neither letter, digit nor
// mark.
func words(s string) []word {
	var all []word
	for _, f := range strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r)
	}) {
		if len(f) > maxWordBytes {
			f = strings.ToValidUTF8(f[:maxWordBytes], "")
		}
		r, _ := utf8.DecodeRuneInString(f)
		all = append(all, word{strings.ToLower(f), unicode.IsUpper(r)})
	}
	return all
}

func texts(all []word) []string {
	s := make([]string, len(all))
	for i, w := range all {
		s[i] = w.text
	}
	return s
}

// term is what the index is asked for: one word, or several in a row.
type term struct {
	words  []string
	prefix bool // the last word may go on
}

// match is the term in the syntax of FTS5: a quoted string, in which nothing but
// a quote has a meaning, and words have none.
func (t term) match() string {
	s := `"` + strings.Join(t.words, " ") + `"`
	if t.prefix {
		s += " *"
	}
	return s
}

// query is what a person wants to find, taken apart.
type query struct {
	said     string             // all its words in order, without mentions
	terms    []term             // single words that say something, and quoted phrases
	pairs    []term             // words that stood next to each other
	filler   []term             // the words that say little, for when there are no others
	mentions []string           // ids of people mentioned
	names    []word             // words that may be a person's name
	since    event              // what it counts time from
	rarity   map[string]float64 // of each term, by its match; higher tells more
}

// parse takes a query apart. It knows quoted phrases, word* for a beginning, and
// Slack's markup for mentions, channels and links; everything else is words.
func parse(text string) query {
	if len(text) > maxQuery {
		text = strings.ToValidUTF8(text[:maxQuery], "")
	}
	var q query
	text = unescape(q.takeMarkup(clean(text)))
	q.said = strings.Join(texts(words(text)), " ")
	for i, part := range strings.Split(text, `"`) {
		if i%2 == 1 && strings.Count(text, `"`) > i {
			q.addPhrase(part)
		} else {
			q.addWords(part)
		}
	}
	q.bound()
	return q
}

// takeMarkup replaces <…> by what of it is words: the label of a link or channel,
// and the name in a mention of a person, whose id it keeps.
func (q *query) takeMarkup(text string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "<")
		b.WriteString(before)
		inner, after, closed := strings.Cut(rest, ">")
		if !ok || !closed || strings.ContainsAny(inner, "< \n") && !strings.Contains(inner, "|") {
			b.WriteString(" " + rest)
			return b.String()
		}
		target, label, labelled := strings.Cut(inner, "|")
		switch {
		case strings.HasPrefix(target, "@"):
			q.mentions = append(q.mentions, target[1:])
		case labelled:
			b.WriteString(" " + label + " ")
		case !strings.HasPrefix(target, "#") && !strings.HasPrefix(target, "!"):
			b.WriteString(" " + target + " ")
		}
		text = after
	}
}

func (q *query) addPhrase(s string) {
	if w := texts(words(s)); len(w) > 0 {
		q.terms = append(q.terms, term{words: w[:min(len(w), maxTerms)]})
	}
}

func (q *query) addWords(s string) {
	seen := map[string]bool{}
	for _, t := range q.terms {
		seen[strings.Join(t.words, " ")] = true
	}
	last := ""
	for _, chunk := range strings.Fields(s) {
		inChunk := words(chunk)
		for i, w := range inChunk {
			prefix := i == len(inChunk)-1 && strings.HasSuffix(chunk, "*") && utf8.RuneCountInString(w.text) > 1
			if stopWords[w.text] && !prefix {
				q.filler = append(q.filler, term{words: []string{w.text}})
				last = ""
				continue
			}
			if !seen[w.text] {
				seen[w.text] = true
				q.terms = append(q.terms, term{words: []string{w.text}, prefix: prefix})
				q.names = append(q.names, w)
			}
			if last != "" && last != w.text {
				q.pairs = append(q.pairs, term{words: []string{last, w.text}})
			}
			last = w.text
		}
	}
}

func (q *query) bound() {
	q.terms = q.terms[:min(len(q.terms), maxTerms)]
	q.pairs = q.pairs[:min(len(q.pairs), maxTerms)]
	q.filler = q.filler[:min(len(q.filler), maxTerms)]
	q.names = q.names[:min(len(q.names), maxTerms)]
	q.mentions = q.mentions[:min(len(q.mentions), maxNamed)]
}

// all are the terms, or where none says anything the words that say little.
func (q query) all() []term {
	if len(q.terms) > 0 {
		return q.terms
	}
	return q.filler
}

// isOnly reports whether q says nothing but who: mentions, and the words in
// names.
func (q query) isOnly(names map[string]bool) bool {
	for _, t := range q.terms {
		if len(t.words) != 1 || !names[t.words[0]] {
			return false
		}
	}
	return len(q.terms)+len(q.mentions) > 0
}

// without drops the single words in names from the terms, unless nothing else is
// left: once the person is known, a mention of the name says little.
func (q query) without(names map[string]bool) query {
	var rest []term
	for _, t := range q.terms {
		if len(t.words) != 1 || !names[t.words[0]] {
			rest = append(rest, t)
		}
	}
	if len(rest) == 0 {
		return q
	}
	q.terms = rest
	var pairs []term
	for _, t := range q.pairs {
		if !names[t.words[0]] && !names[t.words[1]] {
			pairs = append(pairs, t)
		}
	}
	q.pairs = pairs
	return q
}

// with keeps only these terms, and the pairs that have one of them.
func (q query) with(terms []term) query {
	kept := map[string]bool{}
	for _, t := range terms {
		kept[t.words[0]] = true
	}
	q.terms = terms
	q.pairs = slices.DeleteFunc(slices.Clone(q.pairs), func(t term) bool { return !kept[t.words[0]] && !kept[t.words[1]] })
	return q
}

// match is the query for the index: any of the terms, and pairs on top. "" when
// there is nothing to look for.
func (q query) match() string {
	var parts []string
	for _, t := range q.all() {
		parts = append(parts, t.match())
		if len(t.words) == 1 {
			for _, form := range formsOf(t.words[0]) {
				parts = append(parts, term{words: []string{form}}.match())
			}
		}
	}
	if len(q.terms) > 0 {
		for _, t := range q.pairs {
			parts = append(parts, t.match())
		}
	}
	return strings.Join(parts, " OR ")
}

// unescape undoes the escapes of Slack's text.
// Source: docs.slack.dev/messaging/formatting-message-text#escaping.
func unescape(text string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)
}

// stopWords are English words that say nothing about what is looked for, with the
// remains of contractions ("what's" is "what" and "s").
var stopWords = func() map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(`a about after all also am an and any are as at be because been before being both but by can
		could d did didn do does doesn doing don for from had has hasn have haven having he her here hers him his how i if in
		into is isn it its itself just know ll m may me might mine more most must my no nor not of off on once only or our ours
		out over please re remember s said say says she should so some such t tell than that the their theirs them then there
		these they this those to too under up us ve very was wasn we were what when where which while who whom whose why will
		with won would yes you your yours`) {
		set[w] = true
	}
	return set
}()
