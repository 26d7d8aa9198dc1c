package bot

import (
	"regexp"
	"strings"
)

const (
	wWhen  = `(?:when(?:ever)?|(?:each|every|any)\s+time(?:\s+(?:that|when))?|as\s+soon\s+as|if)`
	wWho   = `(?:some(?:one|body)|any(?:one|body)|every(?:one|body)|people|a\s+(?:bot|program|person|member|customer)|` + rPersons + `)`
	wPlace = `(` + rChannel + `|here|this\s+channel)`
	wIn    = `(?:(?:in|to|into|on)\s+` + wPlace + `|(here))`
	wThen  = `\s*[,:;–]\s*(?:then\s+|please\s+|and\s+)*`
	wTell  = `(?:let\s+(?:me|us)\s+know|(?:tell|alert|notify|ping|dm|message|inform|warn)\s+(?:me|us|` + rPersons + `))`

	rPersons = `(?:` + rPerson + `)(?:\s*,?\s*(?:,|or|and)\s+(?:` + rPerson + `))*`
)

var (
	watchReact = regexp.MustCompile(`(?is)^` + wWhen + `\s+(` + wWho + `)\s+(?:reacts?|adds?|puts?|uses?)\s+(?:to\s+(?:an?|any|some)\s*(?:message|post|thing)\s+)?(?:with\s+)?(?:an?\s+|the\s+)?:([a-z0-9_+'-]+):(?:\s+(?:emoji|reaction))?(?:\s+(?:to|on)\s+(?:an?|any|some)\s*(?:message|post|thing))?\s+` + wIn + wThen + `(.+)$`)
	watchIn    = regexp.MustCompile(`(?is)^` + wWhen + `\s+(` + wWho + `)\s+(?:posts?|writes?|says?|shares?|sends?|mentions?|drops?|pastes?|reports?|asks?|talks?|complains?)\s*(.*?)\s*` + wIn + `(?:\s+(?:about|on|that\s+(?:mentions|contains|says|has)|containing|mentioning|with|saying|including)\s+(.+?))?` + wThen + `(.+)$`)
	watchWord  = regexp.MustCompile(`(?is)^` + wWhen + `\s+(?:the\s+)?(?:(?:words?|terms?|phrase|name)\s+)?(.{1,80}?)\s+(?:appears?|shows?\s+up|comes?\s+up|(?:is|are)\s+(?:said|mentioned|posted|written))\s+` + wIn + wThen + `(.+)$`)
	watchOver  = regexp.MustCompile(`(?is)^(?:watch|monitor|keep\s+an\s+eye\s+on)\s+` + wPlace + `\s+for\s+(.+?)(?:` + wThen + `|\s+and\s+(?:then\s+)?)(` + actionWords + `\b.*)$`)
	watchAbout = regexp.MustCompile(`(?i)^(?:about|on|something\s+(?:about|with|like)|(?:a\s+)?(?:messages?|posts?)\s+(?:about|with|that\s+(?:says|mentions|contains|has))|something\s+(?:that\s+)?(?:mentions|containing)|with|that)\s+`)
	// The order may stand first, or last without a comma.
	watchFirst = regexp.MustCompile(`(?is)^(` + wTell + `)\s+(` + wWhen + `\s+.+?)[.! ]*$`)
	watchBare  = regexp.MustCompile(`(?is)^(` + wWhen + `\s+.+?(?:(?:in|to|into|on)\s+` + wPlace + `|\bhere))\s+((?:` + actionWords + `|let\s+me\s+know|notify|alert)\b.*)$`)
	watchMe    = regexp.MustCompile(`(?is)^(?:(?:tell|dm|message|notify|ping|alert|warn|inform)\s+me\b|let\s+me\s+know\b|send\s+(?:it|that|this)\s+to\s+me\b)`)
	someBody   = regexp.MustCompile(`(?i)^(?:some(?:one|body)|any(?:one|body)|every(?:one|body)|people|a\s+\w+)$`)
	orAnd      = regexp.MustCompile(`(?i)\s*,?\s*(?:,|\bor\b|\band\b)\s+`)

	followForm = regexp.MustCompile(`(?is)^(?:follow(?:\s+up(?:\s+on)?)?|keep\s+(?:an\s+eye\s+on|following|track\s+of|on\s+top\s+of)|chase|track)\s+(?:this|the)(?:\s+(?:thread|conversation|discussion))?(?:\s*,?\s*(?:` + tPhrase + `))?(?:\s+(?:until|till|'?til)\s+(?:(?:it|this|that|everything|the\s+thread|it['’]s|we)\b)?(?:\s+(?:is|are|gets?|has\s+been|was))?\s*(?:resolved|done|fixed|settled|closed|finished|solved|answered|over|sorted(?:\s+out)?))?(?:\s*,?\s*(` + tPhrase + `))?[.! ]*$`)
	hookForm   = regexp.MustCompile(`(?is)^(?:(?:make|create|open|add|set\s+up|give\s+(?:me|us)|i\s+need|we\s+need)\s+(?:an?\s+|the\s+)?(?:web\s?hook|incoming\s+web\s?hook)(?:\s+url)?(?:\s+(?:here|for\s+this\s+channel))?(?:\s+for\s+.{1,60}?)?(?:\s+(?:that|which|to|and|so\s+that\s+you)\s+|\s*[:,]\s*)|` + wWhen + `\s+(?:the|a|your|my|our|its)\s+(?:web\s?hook|hook|url)\s+is\s+called` + wThen + `|` + wWhen + `\s+(?:some(?:one|body)|something)\s+calls\s+(?:the|a|your)\s+(?:web\s?hook|hook|url)` + wThen + `)(.+)$`)
)

// thirdPerson is a word of doing as it stands after "that".
var thirdPerson = regexp.MustCompile(`(?i)^(post|say|tell|remind|ask|ping|send|write|summari[sz]e|check|read|list|dm|message|announce|share|report|give|show|call|run|warn)s\b`)

// watching is "when someone posts a stack trace in #alerts, summarise it here" and
// its kin.
func (a ask) watching() (intent, bool) {
	if len(a.text) > maxTimed || a.silent {
		return intent{}, false
	}
	w, ok := readWatch(a.text)
	if m := watchFirst.FindStringSubmatch(a.text); m != nil && !ok {
		w, ok = readWatch(m[2] + ", " + m[1])
	}
	if m := watchBare.FindStringSubmatch(a.text); m != nil && !ok {
		w, ok = readWatch(m[1] + ", " + m[3])
	}
	if !ok {
		return intent{}, false
	}
	who, look, where := w.who, w.look, w.where
	if someBody.MatchString(who) {
		who = ""
	}
	if look = strings.TrimSpace(watchAbout.ReplaceAllString(strings.TrimSpace(look), "")); w.emoji == "" && who == "" && look == "" {
		look = "anything"
	}
	if !strings.HasPrefix(where, "#") && !strings.HasPrefix(where, "<#") {
		where = "here"
	}
	to := ""
	if watchMe.MatchString(w.what) {
		to = "me"
	}
	people := strings.Join(orAnd.Split(who, -1), ", ")
	return does(use(ToolWatch, "channel", where, "for", look, "people", people, "reaction", w.emoji, "what", strings.TrimSpace(w.what), "to", to), asTold)
}

// watchSaid are the parts of a watch as they were said.
type watchSaid struct{ who, look, emoji, where, what string }

func readWatch(text string) (watchSaid, bool) {
	if m := watchReact.FindStringSubmatch(text); m != nil {
		return watchSaid{who: m[1], emoji: strings.ToLower(m[2]), where: m[3] + m[4], what: m[5]}, true
	}
	if m := watchIn.FindStringSubmatch(text); m != nil {
		return watchSaid{who: m[1], look: first(m[5], m[2]), where: m[3] + m[4], what: m[6]}, true
	}
	if m := watchWord.FindStringSubmatch(text); m != nil {
		return watchSaid{look: m[1], where: m[2] + m[3], what: m[4]}, true
	}
	m := watchOver.FindStringSubmatch(text)
	if m == nil {
		return watchSaid{}, false
	}
	return watchSaid{where: m[1], look: m[2], what: m[3]}, true
}

// following is "follow this thread until it is resolved".
func (a ask) following() (intent, bool) {
	if len(a.text) > maxTimed || a.silent {
		return intent{}, false
	}
	m := followForm.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	return does(use(ToolFollow, "when", m[1]), asTold)
}

// hooking is "make a webhook that …".
func (a ask) hooking() (intent, bool) {
	if len(a.text) > maxTimed || a.silent {
		return intent{}, false
	}
	m := hookForm.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	what := strings.TrimSpace(m[1])
	if v := thirdPerson.FindStringSubmatch(what); v != nil { // "that posts it" is the order to post it
		what = v[1] + what[len(v[0]):]
	}
	return does(use(ToolWebhook, "what", what), asTold)
}
