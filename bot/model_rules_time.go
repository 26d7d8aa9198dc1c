package bot

import (
	"regexp"
	"strings"
)

// The words of time that a request may hold. They only find where the phrase
// begins and ends; what it means is the scheduler's to say.
const (
	tNumber = `(?:\d+|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|forty-five|half an|a few|a couple of)`
	tUnit   = `(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?)`
	tDay    = `(?:mon(?:day)?s?|tue(?:s(?:day)?)?s?|wed(?:nesday)?s?|thu(?:rs?(?:day)?)?s?|fri(?:day)?s?|sat(?:urday)?s?|sun(?:day)?s?)`
	tDays   = tDay + `(?:(?:\s*,\s*|\s*,?\s+and\s+|\s*[-–]\s*|\s+(?:to|through)\s+)` + tDay + `)*`
	tMonth  = `(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)`
	tNth    = `(?:first|second|third|fourth|last|\d{1,2}(?:st|nd|rd|th))`
	tDate   = `(?:\d{4}-\d{2}-\d{2}|(?:the\s+)?\d{1,2}(?:st|nd|rd|th)?(?:\s+of)?\s+` + tMonth + `(?:,?\s+\d{4})?|` + tMonth + `\s+(?:the\s+)?\d{1,2}(?:st|nd|rd|th)?(?:,?\s+\d{4})?|\d{1,2}\.\d{1,2}\.(?:\d{4})?|\d{1,2}/\d{1,2}(?:/\d{2,4})?|the\s+\d{1,2}(?:st|nd|rd|th))`

	// A clock time after "at" may be a bare hour; elsewhere it must look like one.
	tClock = `(?:\d{1,2}(?:[:.]\d{2})?(?:\s*(?:a\.?m\b\.?|p\.?m\b\.?|o['’]?clock|h\b))?|noon|midday|midnight)`
	tExact = `(?:\d{1,2}[:.]\d{2}(?:\s*[ap]m\b)?|\d{1,2}\s*[ap]m\b|noon|midday|midnight)`
	tZone  = `(?:\s+(?-i:UTC|GMT|CES?T|E[SD]T|C[SD]T|M[SD]T|P[SD]T|BST|IST|JST|[A-Z][a-z]+/[A-Z][A-Za-z_]+|(?:Berlin|London|Paris|Madrid|Tokyo|Sydney|Delhi|New York|Pacific|Eastern|Central|Mountain|UK)\s+time)|\s+(?:my|our|local)\s+time)?`
	tAt    = `(?:,?\s+(?:(?:at|@|around|by)\s+` + tClock + `|` + tExact + `)(?:\s+and\s+(?:at\s+)?` + tClock + `)?` + tZone + `)`
	tPart  = `(?:\s+(?:in\s+the\s+)?(?:morning|afternoon|evening|night)s?)`
	tTail  = tPart + `?` + tAt + `?` + tPart + `?`

	tEach = `(?:(?:every|each)\s+(?:(?:other|second|third|` + tNumber + `)\s+)?(?:` + tUnit + `|weekdays?|work(?:ing)?[\s-]?days?|business\s+days?|weekends?|quarter|morning|afternoon|evening|night|` + tDays + `|` + tNth + `(?:\s+(?:day|weekday|` + tDay + `))?(?:\s+(?:of|in)\s+(?:the|each|every)\s+month)?)` +
		`|(?:on\s+)?(?:the\s+)?` + tNth + `(?:\s+(?:day|weekday|` + tDay + `))?\s+of\s+(?:the|each|every)\s+month` +
		`|once\s+(?:a|per|every)\s+(?:hour|day|week|month)|on\s+(?:weekdays|weekends|work(?:ing)?\s?days)|weekdays|daily|hourly|weekly|monthly)(?:\s+on\s+` + tDays + `)?`
	tRepeat = `(?:` + tEach + tTail + `|at\s+` + tClock + tZone + `\s*,?\s+` + tEach + `)`

	tIn   = `in\s+(?:` + tNumber + `\s*(?:and\s+a\s+half\s+)?` + tUnit + `|\d+\s?(?:h|m|s|d))`
	tOn   = `(?:(?:on|next|this|coming)\s+)*(?:the\s+day\s+after\s+tomorrow|tomorrow|today|tonight|` + tDay + `|next\s+(?:week|month|year)|` + tDate + `)`
	tOnce = `(?:` + tIn + `|` + tOn + tTail + `|at\s+` + tClock + tZone + tPart + `?(?:\s*,?\s+` + tOn + `)?)`

	tPhrase = `(?:` + tRepeat + `|` + tOnce + `)`
)

// does-words: a sentence that begins with one asks for something to be done.
const actionWords = `(?:post|say|tell|remind|ask|ping|send|write|summari[sz]e|sum up|recap|check|read|list|dm|message|announce|react|share|report|give|show|let|nudge|call|run|wish|congratulate|warn|collect|compile|gather|prepare|publish|compare|fetch|look|greet|thank|generate|update|answer|reply|respond|add)`

var (
	timeFirst  = regexp.MustCompile(`(?is)^(` + tPhrase + `)(?:\s*[,:;–-]+\s*|\s+|$)(.*)$`)
	timeRepeat = regexp.MustCompile(`(?is)^` + tRepeat + `$`)
	timeExact  = regexp.MustCompile(`(?is)(?:^at\s|\s(?:at|@)\s|\d[:.]\d\d|\d\s*[ap]m|noon|midnight|^in\s)`)
	timeMiddle = regexp.MustCompile(`(?is)^((?:post|say|announce|write|tell|send|ask|ping|dm|message)\b[^:\n]{0,80}?)\s+(` + tPhrase + `)\s*:\s+(.+)$`)
	timeLast   = regexp.MustCompile(`(?is)^(` + actionWords + `\b.+?)\s*,?\s+(` + tPhrase + `)\s*[.!]*$`)
	startsDoes = regexp.MustCompile(`(?is)^(?:please\s+)?` + actionWords + `\b`)
	startsWho  = regexp.MustCompile(`(?i)^(?:we|i|they|he|she|it|there|our|my|their|is|are|was|were|has|have|will)\b`)
	directed   = regexp.MustCompile(`(?i)^(?:tell|ask|dm|message|ping|let|remind)\b`)
	linking    = regexp.MustCompile(`(?i)^(?:please|then|to|that)\s+`)
)

// splitTime takes a request for later apart: when, in the person's words, and
// what. It takes only what is clearly a request: a phrase of time before a word
// that asks for something, or after one, but never one that stands in the text
// to be said.
func splitTime(s string) (when, what string, ok bool) {
	if m := timeFirst.FindStringSubmatch(s); m != nil {
		what := strings.TrimSpace(linking.ReplaceAllString(strings.TrimSpace(m[2]), ""))
		repeated := timeRepeat.MatchString(m[1])
		quoted := strings.HasPrefix(what, `"`) || strings.HasPrefix(what, "'") || strings.HasPrefix(what, "“")
		if what != "" && (startsDoes.MatchString(what) || quoted || repeated && !startsWho.MatchString(what)) {
			return withAt(m[1]), what, true
		}
		return "", "", false
	}
	if m := timeMiddle.FindStringSubmatch(s); m != nil {
		return withAt(m[2]), m[1] + ": " + strings.TrimSpace(m[3]), true
	}
	m := timeLast.FindStringSubmatch(s)
	switch {
	case m == nil, directed.MatchString(s), strings.Contains(m[1], ": "), strings.Count(m[1], `"`)%2 != 0:
		return "", "", false
	case timeRepeat.MatchString(m[2]), timeExact.MatchString(m[2]):
		return withAt(m[2]), strings.TrimSpace(m[1]), true
	}
	return "", "", false
}

var bareClock = regexp.MustCompile(`(?i)(\b(?:at|and|around|by)\s+|@\s*)?(` + tExact + `)`)

// withAt puts "at" before a time of day that has none: "every weekday 9:30".
func withAt(when string) string {
	return bareClock.ReplaceAllStringFunc(when, func(clock string) string {
		if m := bareClock.FindStringSubmatch(clock); m[1] != "" {
			return clock
		}
		return "at " + clock
	})
}

var (
	reminder  = regexp.MustCompile(`(?is)^remind\s+(me|us|everyone|everybody|the\s+team|<@[^>\s]+>|<#[^>\s]+>|[@#]?[\p{L}\p{N}._-]+)\s*:?\s*(.*)$`)
	asksAgain = regexp.MustCompile(`(?is)^remind\s+(?:me|us)\s+(?:(?:of|about)\s+)?((?:what|when|who|whom|whose|where|why|which|how)\b.*)$`)
	linked    = regexp.MustCompile(`(?is)^(to|that|about|of|when|if)\s+(.+)$`)
	linkedEnd = regexp.MustCompile(`(?is)^(.+?)\s*,?\s+(` + tPhrase + `)\s*[.!]*$`)
)

// splitReminder takes "remind X …" apart. when is "" where no time is found.
func splitReminder(s string) (when, what string, ok bool) {
	m := reminder.FindStringSubmatch(s)
	if m == nil || strings.TrimSpace(m[2]) == "" {
		return "", "", false
	}
	head, rest := "remind "+m[1], strings.TrimSpace(m[2])
	if t := timeFirst.FindStringSubmatch(rest); t != nil && strings.TrimSpace(t[2]) != "" {
		when, rest = t[1], strings.TrimSpace(t[2])
	} else if t := linkedEnd.FindStringSubmatch(rest); t != nil {
		when, rest = t[2], strings.TrimSpace(t[1])
	}
	if linked.MatchString(rest) {
		return withAt(when), head + " " + rest, true
	}
	return withAt(when), head + ": " + rest, true
}
