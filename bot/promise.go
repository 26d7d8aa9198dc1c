package bot

import (
	"regexp"
	"strings"
	"time"

	"deskmate/scheduler"
)

// commitment is what somebody said they would do, and by when.
type commitment struct {
	what string // the sentence
	when scheduler.Schedule
}

const pVerb = `(?:send|share|write(?:\s+up)?|finish|fix|do|prepare|deliver|review|check|look\s+(?:at|into|over|through)|get\s+(?:it|this|that|them|you|the|back|to)|update|post|submit|merge|ship|deploy|release|call|email|e-mail|mail|ping|message|ask|talk\s+to|speak\s+(?:to|with)|book|order|draft|complete|provide|create|make|set\s+up|file|add|push|upload|test|investigate|follow\s+up|let\s+(?:you|them|everyone|everybody|the|<@)|tell|report|circulate|present|publish|sort|handle|take\s+(?:care|a\s+look|over|it\s+over)|schedule|reply|answer|respond|bring|buy|pay|sign|confirm|document|clean|move|migrate|rename|remove|delete|close|open|print|translate|record|run|read|put|give|show|work\s+on|wrap|approve|measure|collect|compile|summari[sz]e|invite|have\s+(?:it|this|that|them|the\s+\S+|a\s+\S+|an\s+\S+|my\s+\S+)(?:\s+\S+){0,3}?\s+(?:ready|done|finished|fixed|for\s+you)|circle\s+back|pick\s+(?:it|this|that)\s+up|put\s+together|roll\s+(?:it|this|that)\s+(?:back|out)|rotate|renew|install|order|verify|double-?check|arrange|transfer|return|escalate|triage|refund|hand\s+(?:it|this|that|over|in))`

var (
	// promiseWord is a cheap first test.
	promiseWord = regexp.MustCompile(`(?i)\bI\s*(?:['’]ll|will|['’]m\s+(?:going\s+to|gonna)|am\s+going\s+to|can|promise)\b|^\W*(?:will|on\s+it|leave\s+it)\b|\blet\s+me\b`)
	promiseForm = regexp.MustCompile(`(?i)^(?:(?:<@[UW]\w+(?:\|[^>]*)?>|ok(?:ay)?|sure(?:\s+thing)?|yes|yep|yeah|great|good|thanks|thank\s+you|no\s+problem|np|right|alright|all\s+right|fine|got\s+it|sorry|so|and|then|cool|agreed|perfect|noted|hi|hey|fyi|of\s+course|absolutely|as\s+(?:discussed|agreed|promised))\b?[\s,:;!–-]*)*(?:I\s*(?:['’]ll|\s*will|\s*['’]m\s+(?:going\s+to|gonna)|\s*am\s+going\s+to|\s*promise\s+(?:to|I\s*['’]ll)|\s*can)|will|let\s+me)\s+(?:(?:also|just|definitely|certainly|personally|quickly|then|gladly|happily|try\s+and|make\s+sure\s+to|be\s+sure\s+to|go\s+and|still)\s+)*` + pVerb + `\b`)

	// hypothetical takes a sentence's promise away.
	hypothetical = regexp.MustCompile(`(?i)\b(?:if|unless|would|could|might|maybe|perhaps|probably|possibly|never|won['’]?t|not|n['’]t|hopefully|someday|some\s+day|wish|suppose|imagine|in\s+case|otherwise|as\s+soon\s+as|once|when(?:ever)?|until|till|try\s+to|hope\s+to|want\s+to|joking|kidding|eventually|instead)\b`)
	notMine      = regexp.MustCompile(`(?i)\b(?:said|says|told\s+(?:me|us)|asked|wrote|promised|claims?|thinks?|quote)\b`)
	quotedText   = regexp.MustCompile("(?s)```.*?```|`[^`]*`|\"[^\"]*\"|“[^”]*”|«[^»]*»|(?m:^\\s*>.*$)")
	tagQuestion  = regexp.MustCompile(`(?i),?\s*(?:ok(?:ay)?|right|alright|is\s+that\s+(?:ok(?:ay)?|fine)|sound(?:s)?\s+good|good|fine)\s*\?$`)
	promiseEnds  = regexp.MustCompile(`(?:[.!?]+(?:\s+|$)|\n+)`)
)

// Times that people promise by, as phrases that name an hour; the hour leaves time
// to do it.
var deadlines = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`(?i)\b(?:by|before|until|at|in)?\s*(?:the\s+)?(?:end\s+of\s+(?:the\s+)?(?:day|today)|eod|cob|close\s+of\s+business)(?:\s+today)?\b`), ` today at 17:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before|at)?\s*(?:the\s+)?(?:end\s+of\s+(?:the\s+|this\s+)?week|eow)\b`), ` on Friday at 16:00`},
	{regexp.MustCompile(`(?i)\b(?:later\s+)?this\s+week\b`), ` on Friday at 16:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before)?\s*(?:the\s+)?(?:end\s+of\s+)?next\s+week\b(?:\s*$|\s*[,.])`), ` next week on Friday at 16:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before|on)?\s*(tomorrow)(?:\s+(?:in\s+the\s+)?(?:morning|at\s+the\s+latest|noon|midday|lunch(?:time)?))(?:\b|$)`), ` tomorrow at 12:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before|on)?\s*(tomorrow)(?:\s+(?:in\s+the\s+)?(?:afternoon|evening|eod|night|end\s+of\s+day))?(?:\b|$)`), ` tomorrow at 17:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before)?\s*(?:tonight|this\s+evening)\b`), ` today at 20:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before)?\s*(?:this\s+afternoon|later\s+today|today)\b`), ` today at 17:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before)?\s*this\s+morning\b`), ` today at 12:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before|on|this|next|coming)(?:\s+(?:this|next|coming))?\s+(monday|tuesday|wednesday|thursday|friday|saturday|sunday|mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun)(?:\s+(?:in\s+the\s+)?(?:morning|at\s+the\s+latest|noon|midday|latest))(?:\b|$)`), ` on $1 at 12:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before|on|this|next|coming)(?:\s+(?:this|next|coming|end\s+of))?\s+(monday|tuesday|wednesday|thursday|friday|saturday|sunday|mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun)(?:\s+(?:in\s+the\s+)?(?:afternoon|evening|eod|night))?(?:\b|$)`), ` on $1 at 16:00`},
	{regexp.MustCompile(`(?i)\b(?:by|before|on)\s+(` + tDate + `)(?:\b|$)`), ` on $1 at 16:00`},
}

var (
	byClock   = regexp.MustCompile(`(?i)\b(?:by|before|around|about)\s+(?:around\s+)?(` + tClock + `)`)
	hasClock  = regexp.MustCompile(`(?i)\b(?:at|by|before|around)\s+` + tClock + `|\b` + tExact + `|\bin\s+` + tNumber + `\s*` + tUnit)
	withinFor = regexp.MustCompile(`(?i)\bwithin\s+(?:the\s+)?(?:next\s+)?(` + tNumber + `\s*(?:minutes?|mins?|hours?|hrs?|days?|weeks?))\b`)
	withinOne = regexp.MustCompile(`(?i)\bwithin\s+the\s+(hour|day|week)\b`)
	byDay     = regexp.MustCompile(`(?i)\b(?:by|before)\s+(tomorrow|today|` + tDay + `)\b`)
	inDays    = regexp.MustCompile(`(?i)\bin\s+(` + tNumber + `)\s+(days?|weeks?)\b(?:\s*$|\s*[,.])`)
)

// mostPromise bounds the texts in which promises are looked for, in bytes.
const mostPromise = 2000

// promiseIn is the first promise of one's own with a time in a text, as Plain gives
// it. Without a time, in a quotation, with an if or a never, it is none: better one
// too few than one that nobody made.
func promiseIn(text string, now time.Time, tz string) (commitment, bool) {
	if len(text) > mostPromise || !promiseWord.MatchString(text) {
		return commitment{}, false
	}
	text = quotedText.ReplaceAllString(text, " ")
	for text != "" {
		end, stop := len(text), len(text)
		if at := promiseEnds.FindStringIndex(text); at != nil {
			end, stop = at[0], at[1]
		}
		mark := strings.TrimSpace(text[end:stop])
		sentence := strings.TrimSpace(text[:end])
		text = text[stop:]
		if strings.HasPrefix(mark, "?") {
			asked := tagQuestion.ReplaceAllString(sentence+"?", "")
			if asked == sentence+"?" {
				continue
			}
			sentence = asked
		}
		if p, ok := promised(sentence, now, tz); ok {
			return p, true
		}
	}
	return commitment{}, false
}

// promised is the promise of one sentence.
func promised(sentence string, now time.Time, tz string) (commitment, bool) {
	if !promiseForm.MatchString(sentence) || hypothetical.MatchString(sentence) || notMine.MatchString(sentence) {
		return commitment{}, false
	}
	s, _, err := scheduler.ParsePhrase(deadline(sentence), now, tz)
	if err != nil || s.Cron != "" || s.At.IsZero() || s.At.Before(now.Add(time.Minute)) || s.At.After(now.AddDate(0, 6, 0)) {
		return commitment{}, false
	}
	return commitment{what: sentence, when: s}, true
}

// deadline is a sentence whose time is one that the scheduler takes.
func deadline(sentence string) string {
	s := withinOne.ReplaceAllString(withinFor.ReplaceAllString(sentence, "in $1"), "in 1 $1")
	if !hasClock.MatchString(s) || inDays.MatchString(s) {
		for _, d := range deadlines {
			if d.re.MatchString(s) {
				return d.re.ReplaceAllString(s, d.to)
			}
		}
		return s
	}
	s = byClock.ReplaceAllString(s, "at $1")
	return byDay.ReplaceAllStringFunc(s, func(m string) string {
		if day := byDay.FindStringSubmatch(m)[1]; strings.HasPrefix(strings.ToLower(day), "to") {
			return day
		}
		return "on " + byDay.FindStringSubmatch(m)[1]
	})
}
