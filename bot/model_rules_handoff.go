package bot

import (
	"regexp"
	"strings"
)

var (
	handTo    = regexp.MustCompile(`(?is)^(?:hand(?:\s+over)?|give|transfer|pass(?:\s+on)?|reassign|assign|offer)\s+(.+?)\s+(?:over\s+)?to\s+(` + rPerson + `|me)(?:\s*[,;:–-]*\s*(?:because|as|since|why)\s*:?\s+(.+?))?[.! ]*$`)
	handWho   = regexp.MustCompile(`(?is)^(?:all\s+(?:of\s+)?)?(?:(my|our)|(` + rPerson + `)['’]s?)\s+(?:(?:own|open|all)\s+)*(duties|reminders|threads|work|things|everything|responsibilities)(?:\s+and\s+(?:(?:open\s+)?threads|duties))?$`)
	handDuty  = regexp.MustCompile(`(?i)^(?:(?:the\s+)?(?:duty|duties)\s+)?` + "`?(d_[a-z0-9]+(?:`?(?:\\s*,\\s*|\\s+and\\s+|\\s+)`?d_[a-z0-9]+)*)`?$")
	handHere  = regexp.MustCompile(`(?i)^(?:this|the)\s+thread$|^this$|^it$`)
	takeOver  = regexp.MustCompile(`(?is)^(?:i(?:['’]ll|\s+will)?\s+|let\s+me\s+)?(?:take(?:\s+over)?|takes?\s+on)\s+(.+?)[.! ]*$`)
	ownsHere  = regexp.MustCompile(`(?i)^(?:who\s+(?:owns|is\s+(?:the\s+owner|responsible|in\s+charge)\s*(?:of|for)?|answers\s+for|has)\s+(?:this|the)\s+thread|whose\s+(?:thread\s+is\s+this|is\s+this\s+thread)|who\s+is\s+the\s+owner\s+(?:of\s+(?:this|the)\s+thread|here))[.?! ]*$`)
	ownsWhat  = regexp.MustCompile(`(?i)^(?:what\s+(?:do\s+(i)\s+own|does\s+(` + rPerson + `)\s+own)|(?:list|show(?:\s+me)?)\s+(?:(my)\s+|(?:the\s+|all\s+)?)handoffs?(?:\s+of\s+(` + rPerson + `))?)[.?! ]*$`)
	offboard  = regexp.MustCompile(`(?is)^(?:off-?board|plan\s+(?:the\s+)?off-?boarding\s+(?:of|for))\s+(` + rPerson + `|me|myself)(?:\s*,)?\s*(.*?)[.?! ]*$`)
	leaving   = regexp.MustCompile(`(?is)^(` + rPerson + `|i)(?:['’]s|['’]m|\s+is|\s+am)?\s+(?:leav(?:es|e|ing)|quits?|goes|going\s+away)(?:\s+(?:us|the\s+(?:company|team)))?\s*(.*?)\s*[:,;.–-]+\s*(?:so\s+)?who\s+(?:takes?|will\s+take|gets?|should\s+take|takes?\s+over)\b.*$`)
	whoTakes  = regexp.MustCompile(`(?is)^who\s+(?:takes?|will\s+take|takes?\s+over|gets?)\s+(?:what|over|everything)?\s*(?:when|if|after|from)\s+(` + rPerson + `|i)\s+(?:leav(?:es|e)|quits?|goes)\s*(.*?)[.?! ]*$`)
	settledIt = regexp.MustCompile(`(?i)^(?:(?:this|the)\s+thread\s+is\s+(?:settled|resolved|done|closed|finished)|(?:settle|close|resolve)\s+(?:this|the)\s+thread|mark\s+(?:this|the)\s+thread\s+(?:as\s+)?(?:settled|resolved|done|closed))[.! ]*$`)
	someMe    = regexp.MustCompile(`(?i)^(?:i|me|myself|i['’]m)$`)
)

// passing is the requests to hand work over: "hand my duties to @chloe", "take over
// Ben's duties", "who owns this thread?", "Ben leaves on Friday: who takes what?".
func (a ask) passing() (intent, bool) {
	if m := ownsHere.FindStringSubmatch(a.text); m != nil {
		return does(use("handoff_list", "what", "this thread"), asTold)
	}
	if m := ownsWhat.FindStringSubmatch(a.text); m != nil {
		return does(use("handoff_list", "what", first(m[2], m[4], "mine")), asTold)
	}
	if settledIt.MatchString(a.text) {
		return does(use("thread_settle"), asTold)
	}
	for _, form := range []*regexp.Regexp{offboard, leaving, whoTakes} {
		m := form.FindStringSubmatch(a.text)
		if m == nil { // the person may be mentioned at its start, where a.text drops mentions
			m = form.FindStringSubmatch(strings.TrimSpace(a.whole))
		}
		if m != nil {
			who := m[1]
			if someMe.MatchString(who) {
				who = "me"
			}
			return does(use("offboarding_plan", "person", who, "when", strings.Trim(strings.TrimSpace(m[2]), ":,;– ")), asTold)
		}
	}
	if m := handTo.FindStringSubmatch(a.text); m != nil {
		if what, from, ok := handed(m[1]); ok {
			return does(use("handoff_offer", "what", what, "from", from, "to", m[2], "reason", strings.TrimSpace(m[3])), asTold)
		}
		return intent{}, false
	}
	if m := takeOver.FindStringSubmatch(a.text); m != nil {
		if what, from, ok := handed(m[1]); ok && !strings.EqualFold(from, "me") {
			return does(use("handoff_offer", "what", what, "from", from, "to", "me"), asTold)
		}
	}
	return intent{}, false
}

// handed reads what is to be handed over, and whose it is where that is said.
func handed(said string) (what, from string, ok bool) {
	said = strings.TrimSpace(said)
	if handHere.MatchString(said) {
		return "this thread", "", true
	}
	if m := handDuty.FindStringSubmatch(said); m != nil {
		return strings.NewReplacer("`", "", ",", " ", " and ", " ").Replace(m[1]), "", true
	}
	m := handWho.FindStringSubmatch(said)
	if m == nil {
		return "", "", false
	}
	from = m[2]
	if m[1] != "" {
		from = "me"
	}
	switch word := strings.ToLower(m[3]); {
	case strings.Contains(strings.ToLower(said), " and "):
		return "everything", from, true
	case word == "duties", word == "reminders", word == "responsibilities":
		return "duties", from, true
	case word == "threads":
		return "threads", from, true
	}
	return "everything", from, true
}
