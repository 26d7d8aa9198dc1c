package scheduler

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// token is one word, number or sign of a text.
type token struct {
	text       string // in lower case
	raw        string
	start, end int // bytes of the text
}

var wordRE = regexp.MustCompile(`\d{4}-\d{2}-\d{2}|\d{1,2}[:.]\d{2}|\d+|\p{L}+(?:/[\p{L}_]+)+|\p{L}+(?:['’]\p{L}+)*|[^\s\p{Z}\p{L}\d]`)

func tokenize(text string) []token {
	var all []token
	for _, m := range wordRE.FindAllStringIndex(text, -1) {
		raw := text[m[0]:m[1]]
		if first, second, both := strings.Cut(raw, "/"); both && isWeekday(strings.ToLower(first)) && isWeekday(strings.ToLower(second)) { // Tue/Thu
			at := m[0] + len(first)
			all = append(all, token{strings.ToLower(first), first, m[0], at}, token{"/", "/", at, at + 1}, token{strings.ToLower(second), second, at + 1, m[1]})
			continue
		}
		all = append(all, token{strings.ToLower(raw), raw, m[0], m[1]})
	}
	return all
}

// reader goes through the tokens of a text.
type reader struct {
	tokens []token
	i      int
}

// peek is the token n ahead; "" behind the end.
func (r *reader) peek(n int) string {
	if r.i+n >= len(r.tokens) {
		return ""
	}
	return r.tokens[r.i+n].text
}

// raw is the next token as it was written; "" behind the end.
func (r *reader) raw() string {
	if r.i >= len(r.tokens) {
		return ""
	}
	return r.tokens[r.i].raw
}

// glued reports whether the token n ahead follows without a space.
func (r *reader) glued(n int) bool {
	at := r.i + n
	return at > 0 && at < len(r.tokens) && r.tokens[at].start == r.tokens[at-1].end
}

// take goes past words if they come next, and reports whether they did.
func (r *reader) take(words ...string) bool {
	for n, w := range words {
		if r.peek(n) != w {
			return false
		}
	}
	r.i += len(words)
	return true
}

// takeOne goes past one of several words and returns it; "" if none comes next.
func (r *reader) takeOne(words ...string) string {
	if w := r.peek(0); w != "" && slices.Contains(words, w) {
		r.i++
		return w
	}
	return ""
}

// try runs f and goes back if it does not find what it looks for.
func (r *reader) try(f func() bool) bool {
	back := r.i
	if f() {
		return true
	}
	r.i = back
	return false
}

var numberWords = map[string]int{
	"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
	"twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90,
}

// number reads a count in digits or words. Counts beyond a million are a million.
func (r *reader) number() (n int, ok bool) {
	w := r.peek(0)
	if n, ok = numberWords[w]; ok {
		r.i++
		if five, more := numberWords[r.peek(1)]; more && five < 10 && n >= 20 && r.peek(0) == "-" {
			r.i += 2
			n += five
		}
		return n, true
	}
	if !isDigits(w) {
		return 0, false
	}
	r.i++
	n, err := strconv.Atoi(w)
	if err != nil || n > 1_000_000 {
		n = 1_000_000
	}
	return n, true
}

func isDigits(w string) bool {
	return w != "" && strings.Trim(w, "0123456789") == ""
}

var ordinalEndings = []string{"st", "nd", "rd", "th"}

// ordinal reads "1st" or "first".
func (r *reader) ordinal() (n int, ok bool) {
	if w := r.peek(0); isDigits(w) && len(w) < 4 && r.glued(1) && slices.Contains(ordinalEndings, r.peek(1)) {
		r.i += 2
		n, err := strconv.Atoi(w)
		return n, err == nil
	}
	if r.take("first") {
		return 1, true
	}
	return 0, false
}

// Units of time, by what they are called.
var units = map[string]string{
	"s": "second", "sec": "second", "secs": "second", "second": "second", "seconds": "second",
	"m": "minute", "min": "minute", "mins": "minute", "minute": "minute", "minutes": "minute",
	"h": "hour", "hr": "hour", "hrs": "hour", "hour": "hour", "hours": "hour",
	"d": "day", "day": "day", "days": "day", "w": "week", "week": "week", "weeks": "week", "fortnight": "fortnight", "fortnights": "fortnight",
	"month": "month", "months": "month", "year": "year", "years": "year",
}

func (r *reader) unit() string {
	w := r.peek(0)
	u := units[w]
	if u != "" && (len(w) > 1 || r.glued(0)) { // a letter only right behind its number
		r.i++
		return u
	}
	return ""
}

var weekdayWords = map[string]time.Weekday{
	"mon": 1, "tue": 2, "tues": 2, "wed": 3, "weds": 3, "thu": 4, "thur": 4, "thurs": 4, "fri": 5, "sat": 6, "sun": 0,
}

// readWeekday reads the name of a day; plural is for "mondays", full for no
// abbreviation.
func readWeekday(w string) (d time.Weekday, plural, full, ok bool) {
	if d, ok = weekdayWords[w]; ok {
		return d, false, false, true
	}
	for i, name := range weekdays {
		if name = strings.ToLower(name); w == name || w == name+"s" {
			return time.Weekday(i), w != name, true, true
		}
	}
	return 0, false, false, false
}

func isWeekday(w string) bool {
	_, _, _, ok := readWeekday(w)
	return ok
}

// weekdayList reads "monday", "mon, wed and fri" and "monday to friday".
func (r *reader) weekdayList() (days []time.Weekday, plural, ok bool) {
	for {
		d, many, _, isDay := readWeekday(r.peek(0))
		if !isDay {
			return nil, false, false
		}
		r.i++
		days, plural = append(days, d), plural || many
		if isWeekday(r.peek(1)) && r.takeOne("to", "through", "till", "until", "-", "–") != "" {
			last, _, _, _ := readWeekday(r.peek(0))
			r.i++
			for d != last {
				d = (d + 1) % 7
				days = append(days, d)
			}
		}
		if !r.try(func() bool {
			comma := r.take(",")
			return (r.takeOne("and", "&", "/", "+") != "" || comma) && isWeekday(r.peek(0))
		}) {
			return days, plural, true
		}
	}
}

// dayItems reads days of each week: "weekday", "weekends and Friday", "Mon to Wed".
// many is for those that are more than one by their name.
func (r *reader) dayItems() (days []time.Weekday, many, ok bool) {
	for {
		more, plural, isDay := r.dayItem()
		if !isDay {
			return nil, false, false
		}
		days, many = append(days, more...), many || plural
		if !r.try(func() bool {
			comma := r.take(",")
			if r.takeOne("and", "&") == "" && !comma {
				return false
			}
			back := r.i
			_, _, isDay := r.dayItem()
			r.i = back
			return isDay
		}) {
			return days, many, true
		}
	}
}

func (r *reader) dayItem() (days []time.Weekday, many, ok bool) {
	working := func() bool { return r.takeOne("working", "work", "business") != "" && r.takeOne("day", "days") != "" }
	switch {
	case r.takeOne("weekday", "weekdays", "workday", "workdays") != "", r.take("week", "day"), r.try(working):
		return []time.Weekday{1, 2, 3, 4, 5}, true, true
	case r.takeOne("weekend", "weekends") != "":
		return []time.Weekday{0, 6}, true, true
	}
	r.try(func() bool {
		days, many, ok = r.weekdayList()
		return ok
	})
	return days, many || len(days) > 1, ok
}

// weekdayField writes days of the week as a field of cron.
func weekdayField(days []time.Weekday) string {
	all := field(days)
	if all == "1,2,3,4,5" {
		return "1-5"
	}
	return all
}

// field lists values as a field of cron.
func field[T ~int](values []T) string {
	values = slices.Clone(values)
	slices.Sort(values)
	var texts []string
	for _, v := range slices.Compact(values) {
		texts = append(texts, strconv.Itoa(int(v)))
	}
	return strings.Join(texts, ",")
}

var monthWords = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}

func (r *reader) month() (time.Month, bool) {
	w := r.peek(0)
	if w == "sept" {
		w = "sep"
	}
	for i, name := range monthWords {
		if w == name || len(w) == 3 && strings.HasPrefix(name, w) {
			r.i++
			return time.Month(i + 1), true
		}
	}
	return 0, false
}

// timeOfDay is a clock time as it was said.
type timeOfDay struct {
	hour, minute int
	bare         bool   // neither am nor pm: it may be meant either way with a part of the day
	hourAlone    bool   // no minutes
	midnight     bool   // by that word
	half         string // am, pm; "": not said
	part         string // as that of the phrase, of this time alone
	said         string
}

// clock reads a time of day. after is for one that follows "at": it may be an
// hour alone.
func (r *reader) clock(after bool) (c *timeOfDay, err error) {
	begin := r.i
	c = &timeOfDay{bare: true}
	w := r.peek(0)
	past, of := map[string]int{"half": 30, "quarter": 15}[w], r.peek(1)
	hourWord := numberWords[w]
	written := strings.ContainsAny(w, ":.") // with its minutes
	switch {
	case w == "noon", w == "midday":
		c.hour, c.bare = 12, false
		r.i++
	case w == "midnight":
		c.midnight, c.bare = true, false
		r.i++
	case past != 0 && (of == "past" || of == "to" && past == 15):
		r.i += 2
		n, ok := r.number()
		if !ok {
			r.i = begin
			return nil, nil
		}
		if c.hour, c.minute = n, past; of == "to" {
			c.hour, c.minute = (n+23)%24, 60-past
		}
	case after && r.pastOrTo(c):
		written = true
	case isDigits(strings.NewReplacer(":", "", ".", "").Replace(w)) && strings.ContainsAny(w, ":."):
		if strings.Contains(w, ".") && !after { // else it may be any decimal
			return nil, nil
		}
		h, m, _ := strings.Cut(strings.ReplaceAll(w, ".", ":"), ":")
		c.hour, _ = strconv.Atoi(h) // one or two digits each
		c.minute, _ = strconv.Atoi(m)
		r.i++
	case isDigits(w) && len(w) <= 2 && r.peek(1) == "h" && isDigits(r.peek(2)) && len(r.peek(2)) == 2 && r.glued(1) && r.glued(2): // 9h30
		c.hour, _ = strconv.Atoi(w)
		c.minute, _ = strconv.Atoi(r.peek(2))
		written = true
		r.i += 3
	case isDigits(w) && len(w) == 4 && after && (w[0] == '0' || slices.Contains(hourMarks, r.peek(1))): // 0930
		c.hour, _ = strconv.Atoi(w[:2])
		c.minute, _ = strconv.Atoi(w[2:])
		written = true
		r.i++
	case isDigits(w):
		c.hour = 24 // not a time of day
		if len(w) <= 2 {
			c.hour, _ = strconv.Atoi(w)
		}
		r.i++
	case after && hourWord >= 1 && hourWord <= 12 && len(w) > 2:
		c.hour = hourWord
		r.i++
		r.try(func() bool { // eight thirty
			n, ok := r.number()
			if ok = ok && !isDigits(r.peek(-1)) && n >= 10 && n < 60 && units[r.peek(0)] == ""; ok {
				c.minute, written = n, true
			}
			return ok
		})
	default:
		return nil, nil
	}
	c.hourAlone = c.bare && past == 0 && !written
	suffix := r.suffix(c)
	if written && suffix == "" {
		r.takeOne(hourMarks...)
	}
	c.said = r.said(begin)
	switch {
	case c.hourAlone && suffix == "" && (!after || units[r.peek(0)] != "" || r.peek(0) == "%"):
		r.i = begin
		return nil, nil
	case c.hourAlone && suffix == "" && hourWord == 1: // "at one point"
		r.i = begin
		return nil, nil
	case r.glued(0) && (isDigits(r.peek(0)) || r.peek(0) == ":" && isDigits(r.peek(1))):
		return nil, unclear("%q is not a time of day such as 9:30.", r.said(begin)+r.peek(0)+r.peek(1))
	case (suffix == "am" || suffix == "pm") && (c.hour < 1 || c.hour > 12):
		return nil, unclear("%q is not a time of day: with am or pm the hour goes from 1 to 12.", c.said)
	case c.hour > 23 || c.minute > 59:
		return nil, unclear("%q is not a time of day: it goes from 0:00 to 23:59.", c.said)
	case suffix == "am" || suffix == "pm":
		if c.hour %= 12; suffix == "pm" {
			c.hour += 12
		}
	}
	return c, nil
}

// pastOrTo reads "20 past 8" and "ten minutes to nine".
func (r *reader) pastOrTo(c *timeOfDay) bool {
	return r.try(func() bool {
		digits := isDigits(r.peek(0))
		n, ok := r.number()
		said := r.takeOne("min", "mins", "minutes") != ""
		way := r.takeOne("past", "to")
		if !ok || n < 1 || n > 59 || way == "" || way == "to" && digits && !said {
			return false
		}
		hour, ok := r.number()
		if c.hour, c.minute = hour, n; way == "to" {
			c.hour, c.minute = (hour+23)%24, 60-n
		}
		return ok && hour <= 24 && units[r.peek(0)] == ""
	})
}

// hourMarks can stand behind a time of day that is written with its minutes.
var hourMarks = []string{"h", "hrs", "hours", "uhr"}

// suffix reads am, pm or o'clock behind a clock time.
func (r *reader) suffix(c *timeOfDay) string {
	if !c.bare {
		return ""
	}
	for _, half := range []string{"am", "pm"} {
		if r.take(half) || r.take(half[:1], ".", "m", ".") || r.take(half[:1], ".", "m") {
			c.bare, c.half = false, half
			return half
		}
	}
	if r.takeOne("o'clock", "o’clock", "oclock") != "" {
		return "o'clock"
	}
	return ""
}

// said is what was read since the token begin.
func (r *reader) said(begin int) string {
	var b strings.Builder
	for i := begin; i < r.i; i++ {
		if i > begin && r.tokens[i].start > r.tokens[i-1].end {
			b.WriteByte(' ')
		}
		b.WriteString(r.tokens[i].raw)
	}
	return b.String()
}

// Abbreviations and cities are not zones: they change with the season, or are
// used in several.
var (
	zoneAbbreviations = []string{"CET", "CEST", "EET", "EEST", "WET", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "ET", "PT", "BST", "IST", "JST", "MSK", "AEST", "AEDT"}
	zonePlaces        = []string{"berlin", "london", "paris", "madrid", "tokyo", "sydney", "delhi", "york", "pacific", "eastern", "central", "mountain", "uk", "us", "european", "indian"}
)

// regions begin the names of time zones.
var regions = []string{"africa", "america", "antarctica", "asia", "atlantic", "australia", "europe", "indian", "pacific", "us"}

func looksLikeZone(w string) bool {
	region, _, _ := strings.Cut(w, "/")
	return slices.Contains(regions, region)
}

// readZone reads a zone behind a clock time; "" for none.
func (r *reader) readZone() (string, error) {
	w := r.peek(0)
	switch {
	case w == "(" && r.peek(2) == ")": // (Europe/Berlin)
		begin := r.i
		r.i++
		zone, err := r.readZone()
		if !r.take(")") {
			zone, r.i = "", begin
		}
		return zone, err
	case w == "utc" || w == "gmt" || w == "z" && r.glued(0):
		if next := r.peek(1); (next == "+" || next == "-") && isDigits(strings.ReplaceAll(r.peek(2), ":", "")) {
			return "", unclear("A fixed distance from UTC does not follow the season. Name the zone like Europe/Berlin, or UTC alone.")
		}
		r.i++
		return "UTC", nil
	case strings.Contains(w, "/"):
		if _, err := time.LoadLocation(r.tokens[r.i].raw); err != nil && looksLikeZone(w) {
			return "", unclear("I know no time zone %s. For example: every day at 9:30 Europe/Berlin.", r.tokens[r.i].raw)
		} else if err != nil {
			return "", nil // something else that has a slash
		}
		r.i++
		return r.tokens[r.i-1].raw, nil
	case w != "" && slices.Contains(zoneAbbreviations, r.tokens[r.i].raw):
		return "", unclear("%s can mean several zones, or changes with the season. Name it like Europe/Berlin, or UTC.", r.tokens[r.i].raw)
	case r.peek(1) == "time" && slices.Contains([]string{"my", "our", "local"}, w):
		r.i += 2
		return "", nil
	case r.peek(1) == "time" && slices.Contains(zonePlaces, w), w == "new" && r.peek(1) == "york" && r.peek(2) == "time",
		w == "in" && (slices.Contains(zonePlaces, r.peek(1)) || r.peek(1) == "new" && r.peek(2) == "york"),
		slices.Contains([]string{"Eastern", "Central", "Mountain", "Pacific"}, r.raw()):
		return "", unclear("Name the zone like Europe/Berlin or America/New_York. For example: every day at 9:30 Europe/Berlin.")
	}
	return "", nil
}
