package memory

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// contradicts reports whether two texts cannot both hold, as far as general rules
// tell: the same is said of the same thing with another day, time, number or name,
// with a "not", or with the opposite word. It would rather miss one than ask about
// texts that go together.
func contradicts(a, b string) bool {
	for _, x := range sentencesOf(a) {
		for _, y := range sentencesOf(b) {
			if statementOf(x).against(statementOf(y)) {
				return true
			}
		}
	}
	return false
}

// statement is one sentence taken apart.
type statement struct {
	subject []token // the words that tell something, before the verb
	verb    string  // its stem; "" where none was found
	rest    []token // those behind it
	// values are those of days, times, numbers: of the subject and of the rest.
	about, values map[string][]string
	negated       bool
	guarded       bool // a question, a guess, a condition, or of the past
}

// token is one word of a statement.
type token struct {
	text, stem string
	name       bool   // written as names are
	after      string // the word right before it, whatever that is
}

var (
	opener   = regexp.MustCompile(`(?i)^(?:(?:so|ok|okay|fyi|note|remember|correction|update|actually|decision|decided|agreed)\b[:,\s]+(?:that\s+)?|we(?:['’]ve|\s+have)?\s+(?:decided|agreed)\s+(?:that\s+|to\s+|on\s+)?|it\s+(?:was|is)\s+(?:decided|agreed)\s+(?:that\s+)?|from\s+now\s+on,?\s+|now,?\s+)+`)
	aToken   = regexp.MustCompile(`<[@#!][^>]+>|https?://[^\s>|]+|[$€£]?\d+(?:[.:,]\d+)*(?:st|nd|rd|th|[ap]m|%|[kmg]b|ms|h|s|m|k)?\b|v\d+(?:\.\d+)*|[\p{L}\p{M}\p{N}]+(?:['’][\p{L}]+)?(?:[-_/.][\p{L}\p{N}]+)*`)
	aTime    = regexp.MustCompile(`^(\d{1,2})(?::(\d\d))?([ap]m|h)?$`)
	aNumber  = regexp.MustCompile(`^([$€£]?)(\d+(?:[.,]\d+)*)(%|[kmg]b|ms|h|s|m|k|st|nd|rd|th)?$`)
	aVersion = regexp.MustCompile(`^v\d+(?:\.\d+)*$|^\d+\.\d+\.\d+$`)
)

// statementOf takes a sentence apart.
func statementOf(sentence string) statement {
	s := statement{about: map[string][]string{}, values: map[string][]string{}}
	sentence = opener.ReplaceAllString(strings.TrimSpace(unescape(sentence)), "")
	s.guarded = strings.HasSuffix(sentence, "?")
	raw := aToken.FindAllString(sentence, -1)
	lower := make([]string, len(raw))
	for i, w := range raw {
		lower[i] = strings.ReplaceAll(strings.ToLower(w), "’", "'")
	}
	verb := verbAt(lower)
	for i := 0; i < len(lower); i++ {
		w, part, values := lower[i], &s.rest, s.values
		if i < verb {
			part, values = &s.subject, s.about
		}
		if guards[w] || w == "used" && i+1 < len(lower) && lower[i+1] == "to" {
			s.guarded = true
		}
		if negations[w] || strings.HasSuffix(w, "n't") {
			s.negated = !s.negated
			if w == "no" && i+1 < len(lower) && lower[i+1] == "longer" {
				i++
			}
			continue
		}
		if kind, value, more := valueAt(lower, i); kind != "" {
			values[kind] = append(values[kind], value)
			i += more
			continue
		}
		if i == verb {
			s.verb = verbStem(w)
			continue
		}
		if empties[w] || helpers[w] {
			continue
		}
		r, _ := utf8.DecodeRuneInString(raw[i])
		t := token{text: w, stem: stem(w), name: unicode.IsUpper(r) || raw[i][0] == '<' || strings.Contains(w, "://")}
		if i > 0 {
			t.after = lower[i-1]
		}
		*part = append(*part, t)
	}
	return s
}

// verbAt is where the verb of a sentence is, len where none is found: behind what
// only helps it, a form of "be", a word of a verb in the third person, what follows
// a pronoun, or any word of a verb.
func verbAt(w []string) int {
	for i, x := range w {
		if copulas[x] || helpers[x] && i > 0 || strings.HasSuffix(x, "n't") {
			for j := i; j < len(w) && j < i+4; j++ {
				if !helpers[w[j]] && !negations[w[j]] && !strings.HasSuffix(w[j], "n't") && !empties[w[j]] {
					return j
				}
			}
			return i
		}
	}
	for i := 1; i < len(w); i++ {
		if verbs[stem(w[i])] && (strings.HasSuffix(w[i], "s") || strings.HasSuffix(w[i], "ed")) {
			return i
		}
	}
	for i, x := range w {
		if pronouns[x] && i+1 < len(w) {
			for j := i + 1; j < len(w); j++ {
				if !negations[w[j]] && !empties[w[j]] {
					return j
				}
			}
		}
	}
	for i, x := range w {
		if verbs[stem(x)] {
			return i
		}
	}
	return 0
}

// verbStem is one form for a verb.
func verbStem(w string) string {
	switch s := stem(w); {
	case copulas[w]:
		return "be"
	case s == "begin":
		return "start"
	default:
		return s
	}
}

// valueAt is the day, time, number or the like that begins at w[i], "" for none;
// more is how many further words belong to it.
func valueAt(w []string, i int) (kind, value string, more int) {
	next := func(n int) string {
		if i+n < len(w) {
			return w[i+n]
		}
		return ""
	}
	word := strings.TrimSuffix(w[i], "s")
	if n, ok := numerals[w[i]]; ok {
		return "number " + stem(next(1)), n, 1
	}
	if d, ok := weekdays[word]; ok {
		return "weekday", d, 0
	}
	if m, ok := months[w[i]]; ok && (w[i] != "may" && w[i] != "march" || i > 0 && prepositions[w[i-1]]) {
		if d := aNumber.FindStringSubmatch(next(1)); d != nil && len(d[2]) <= 2 {
			return "date", m + "-" + d[2], 1
		}
		return "date", m, 0
	}
	if frequencies[w[i]] {
		return "frequency", w[i], 0
	}
	if w[i] == "every" && next(1) != "" {
		return "frequency", "every " + strings.TrimSuffix(next(1), "s"), 1
	}
	if aVersion.MatchString(w[i]) {
		return "version", w[i], 0
	}
	n := aNumber.FindStringSubmatch(w[i])
	if n != nil && len(n[2]) <= 2 {
		if m, ok := months[next(1)]; ok {
			return "date", m + "-" + n[2], 1
		}
		if m, ok := months[next(2)]; ok && next(1) == "of" {
			return "date", m + "-" + n[2], 2
		}
	}
	if t := aTime.FindStringSubmatch(w[i]); t != nil && (t[2] != "" || t[3] != "" || i > 0 && w[i-1] == "at" && !unitAt(next(1))) {
		hour, _ := strconv.Atoi(t[1]) // two digits
		if t[3] == "pm" && hour < 12 || t[3] == "" && t[2] == "" && next(1) == "pm" {
			hour += 12
		}
		if next(1) == "pm" || next(1) == "am" {
			more = 1
		}
		return "time", strconv.Itoa(hour) + ":" + first(t[2], "00"), more
	}
	if n == nil {
		return "", "", 0
	}
	if unit := n[1] + n[3]; unit != "" {
		return "number " + unit, n[2], 0
	}
	if unitAt(next(1)) {
		return "number " + stem(next(1)), n[2], 1
	}
	return "number", n[2], 0
}

// unitAt reports whether a word that follows a number can be its unit.
func unitAt(w string) bool {
	return w != "" && !empties[w] && !helpers[w] && !copulas[w] && !prepositions[w] && weekdays[w] == "" && months[w] == "" && !frequencies[w]
}

// against reports whether two statements cannot both hold.
func (s statement) against(o statement) bool {
	if s.guarded || o.guarded || s.verb != o.verb {
		return false
	}
	if !sameValues(s.about, o.about) {
		return false
	}
	if !slices.Equal(stemsOf(s.subject), stemsOf(o.subject)) {
		return s.negated == o.negated && !s.negated && s.otherHolder(o)
	}
	agree, differ := compareValues(s.values, o.values)
	mine, theirs := only(s.rest, o.rest), only(o.rest, s.rest)
	shared := len(s.subject) + len(s.rest) - len(mine)
	alike := len(s.rest)-len(mine) >= 2*max(len(mine), len(theirs)) || len(mine) == 0 && len(theirs) == 0
	opposite := len(mine) == 1 && len(theirs) == 1 && (opposites[mine[0].text] == theirs[0].text || opposites[theirs[0].text] == mine[0].text)
	switch {
	case s.negated != o.negated:
		whole := shared + len(agree)
		if s.verb != "be" && s.verb != "" {
			whole++
		}
		return !differ && alike && whole >= 2
	case s.negated:
		return false
	case differ:
		return alike && shared >= 1
	case opposite:
		return shared >= 1 && sameKinds(s.values, o.values)
	}
	return len(s.subject) > 0 && sameValues(s.values, o.values) && s.otherName(o, mine, theirs) ||
		s.verb == "use" && len(s.rest)-len(mine) >= 1 && sameValues(s.values, o.values) && s.otherName(o, mine, theirs)
}

// otherName reports whether the statements differ in one name, where only one can
// stand: as what something is, is called, or lives.
func (s statement) otherName(o statement, mine, theirs []token) bool {
	if !singular[s.verb] || len(mine) == 0 || len(theirs) == 0 || len(mine) > 2 || len(theirs) > 2 {
		return false
	}
	for _, t := range append(slices.Clone(mine), theirs...) {
		if !t.name || t.after == "for" || t.after == "with" || t.after == "from" || t.after == "and" || t.after == "or" {
			return false
		}
	}
	atEdge := func(rest, leftover []token) bool {
		return rest[0].stem == leftover[0].stem || rest[len(rest)-1].stem == leftover[len(leftover)-1].stem
	}
	return atEdge(s.rest, mine) && atEdge(o.rest, theirs)
}

// otherHolder reports whether the statements give one role to two people.
func (s statement) otherHolder(o statement) bool {
	if len(s.subject) != 1 || len(o.subject) != 1 || !s.subject[0].name || !o.subject[0].name || len(s.rest) == 0 {
		return false
	}
	if !slices.Equal(stemsOf(s.rest), stemsOf(o.rest)) || !sameValues(s.values, o.values) {
		return false
	}
	the := func(t token) bool { return t.after == "the" || t.after == "our" }
	return holds[s.verb] || s.verb == "be" && the(s.rest[0]) && the(o.rest[0])
}

// compareValues gives the kinds in which both have a value in common, and whether
// there is one in which they have none.
func compareValues(a, b map[string][]string) (agree []string, differ bool) {
	for kind, mine := range a {
		theirs, both := b[kind]
		if !both {
			continue
		}
		if slices.ContainsFunc(mine, func(v string) bool {
			return slices.ContainsFunc(theirs, func(w string) bool { return v == w || strings.HasPrefix(v, w+"-") || strings.HasPrefix(w, v+"-") })
		}) {
			agree = append(agree, kind)
		} else {
			differ = true
		}
	}
	return agree, differ
}

func sameValues(a, b map[string][]string) bool { return maps.EqualFunc(a, b, slices.Equal[[]string]) }

func sameKinds(a, b map[string][]string) bool {
	return maps.EqualFunc(a, b, func([]string, []string) bool { return true })
}

func stemsOf(all []token) []string {
	var stems []string
	for _, t := range all {
		stems = append(stems, t.stem)
	}
	slices.Sort(stems)
	return slices.Compact(stems)
}

// only are the tokens of a that b has not.
func only(a, b []token) []token {
	var out []token
	for _, t := range a {
		if !slices.ContainsFunc(b, func(o token) bool { return o.stem == t.stem }) {
			out = append(out, t)
		}
	}
	return out
}

var (
	negations    = setOf("not no never none cannot nobody nothing neither without")
	guards       = setOf("if unless except maybe perhaps might could probably whether was were had previously formerly until before when while some sometimes also another usually")
	copulas      = setOf("is are be am isn't aren't")
	helpers      = setOf("will shall must should can may do does did has have won't don't doesn't")
	pronouns     = setOf("we i they you everyone everybody people")
	empties      = setOf("a an the this that these those our my your their its his her we i they you it to of on in at by from for with and or as so then there here now only just please all always everyone everybody people longer to be")
	prepositions = setOf("on in at by from until since of for before after per")
	frequencies  = setOf("hourly daily weekly biweekly fortnightly monthly quarterly yearly annually")
	singular     = setOf("be call nam own lead manag maintain liv belong move use host run")
	holds        = setOf("own lead manag maintain approv head run")
	verbs        = func() map[string]bool {
		all := map[string]bool{}
		for w := range setOf("start begin end finish leave happen run cost take need move use ship deploy close open expire rotate meet go launch live own lead manage maintain belong report sit stay remain become call name require support allow accept pay charge send get keep store host publish freeze migrate approve review write read log back cover include last contain serve listen accept block mean work") {
			all[stem(w)] = true
		}
		return all
	}()
	numerals = map[string]string{"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "twelve": "12"}
	weekdays = map[string]string{"monday": "1", "mon": "1", "tuesday": "2", "tue": "2", "wednesday": "3", "wed": "3", "thursday": "4", "thu": "4", "friday": "5", "fri": "5", "saturday": "6", "sunday": "7"}
	months   = map[string]string{"january": "1", "jan": "1", "february": "2", "feb": "2", "march": "3", "april": "4", "apr": "4", "may": "5", "june": "6", "july": "7", "august": "8", "aug": "8",
		"september": "9", "sep": "9", "october": "10", "oct": "10", "november": "11", "nov": "11", "december": "12", "dec": "12"}
	opposites = func() map[string]string {
		all := map[string]string{}
		for _, pair := range strings.Split("enabled disabled|on off|open closed|allowed forbidden|allowed prohibited|required optional|mandatory optional|public private|approved rejected|accepted rejected|manual automatic|free paid|internal external|active inactive|before after|first last|online offline|supported unsupported|true false|hot cold|blue green|synchronous asynchronous|encrypted unencrypted|valid invalid|included excluded|permanent temporary|local remote", "|") {
			a, b, _ := strings.Cut(pair, " ")
			if _, taken := all[a]; !taken {
				all[a] = b
			}
			all[b] = a
		}
		return all
	}()
)
