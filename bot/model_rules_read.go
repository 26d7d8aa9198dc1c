package bot

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// maxTimed bounds the texts in which a time is sought, in bytes: a request for
// later is a sentence, not a page.
const maxTimed = 2000

var (
	leadingMention = regexp.MustCompile(`^(?:<@[UW][A-Z0-9]+(?:\|[^>]*)?>[\s,:]*)+`)
	politeness     = regexp.MustCompile(`(?i)^(?:(?:hey|hi|hello|thanks|thank\s+you|ok(?:ay)?|so|and|also|then|now|please|pls|kindly|deskmate|@deskmate)(?:\s*[,!:.–-]+\s*|\s+)|(?:can|could|would|will)\s+you\s+(?:please\s+|kindly\s+|just\s+)?|(?:i['’]d\s+like|i\s+would\s+like|i\s+want|i\s+need)\s+you\s+to\s+|would\s+you\s+mind\s+)`)
	bulletLine     = regexp.MustCompile(`^\s*(?:[-*•]|\d+[.)])\s+`)
)

// plain is the message without a mention of the agent and politeness at its start.
func (a ask) plain() string {
	s := strings.TrimSpace(a.whole)
	if !a.silent {
		s = leadingMention.ReplaceAllString(s, "")
	}
	for range 4 {
		rest := strings.TrimSpace(politeness.ReplaceAllString(s, ""))
		if !a.silent {
			rest = leadingMention.ReplaceAllString(rest, "")
		}
		if name := a.brief.agent; name != "" && len(rest) > len(name) && strings.EqualFold(rest[:len(name)], name) && strings.ContainsAny(rest[len(name):len(name)+1], " ,:!") {
			rest = strings.TrimLeft(rest[len(name):], " ,:!")
		}
		if rest == s || rest == "" {
			break
		}
		s = rest
	}
	return s
}

// rule understands one kind of request.
type rule func(a ask) (intent, bool)

// understand finds the first rule that fits a message. A message of several
// lines that are each a request of their own is all of them.
func understand(a ask) intent {
	if a.silent && (leadingMention.MatchString(a.whole) || leadingMention.MatchString(a.text)) {
		return intent{} // it asks somebody else
	}
	if in, ok := a.lines(); ok && a.cause == "" {
		return in
	}
	for _, r := range a.rules() {
		if in, ok := r(a); ok {
			return in
		}
	}
	switch {
	case a.silent:
		return intent{}
	case a.duty:
		in, _ := says(a.due())
		return in
	}
	in, _ := says(a.puzzled())
	return in
}

// rules are the rules for a message, in the order in which they are tried.
func (a ask) rules() []rule {
	switch {
	case a.cause != "": // the order is the owner's; what set it off is shown
		return []rule{ask.calling, ask.posting, ask.direct, ask.setOff}
	case a.duty: // a prompt is an order or a text to say; it creates and asks nothing
		return []rule{ask.calling, ask.summary, ask.reading, ask.posting, ask.direct, ask.duties}
	case a.silent: // only what is clearly meant for it
		return []rule{ask.answering, ask.calling, ask.settling, ask.judging, ask.notingQuoted, ask.noting, ask.forgetting, ask.duties, ask.reminding, ask.summary, ask.question}
	}
	return []rule{ask.answering, ask.calling, ask.manners, ask.itself, ask.settling, ask.watching, ask.following, ask.hooking, ask.notingQuoted, ask.noting, ask.forgetting, ask.passing, ask.duties, ask.reminding,
		ask.later, ask.summary, ask.handing, ask.reading, ask.changing, ask.posting, ask.direct, ask.reacting, ask.question, ask.saying}
}

// lines handles "request, newline, request". Lines that are no requests by
// themselves make it one message again.
func (a ask) lines() (intent, bool) {
	var parts []string
	for _, l := range strings.Split(a.text, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			parts = append(parts, l)
		}
	}
	if len(parts) < 2 || len(parts) > 10 {
		return intent{}, false
	}
	var all intent
	var answers []func([]string) string
	var counts []int
	for _, p := range parts {
		one := a
		one.whole, one.duty = p, false
		one.text = one.plain()
		in := understand(one)
		if len(in.calls) == 0 || bulletLine.MatchString(p) || one.isQuestion() {
			return intent{}, false
		}
		all.calls = append(all.calls, in.calls...)
		answers, counts = append(answers, in.answer), append(counts, len(in.calls))
	}
	all.answer = func(results []string) string {
		var said []string
		for i, f := range answers {
			said = append(said, f(results[:counts[i]]))
			results = results[counts[i]:]
		}
		return strings.Join(said, "\n")
	}
	return all, true
}

var callForm = regexp.MustCompile("(?is)^call\\s+(?:the\\s+)?(?:tool\\s+)?`?([a-z][a-z0-9_.-]*_[a-z0-9_.-]+|[a-z][a-z0-9_.-]*)`?(?:\\s+with)?\\s*(\\{.*\\}|[a-z][a-z0-9_]*=.+)?\\s*$")

// farName is the name of a connection's tool.
var farName = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[A-Za-z0-9_-]*[_-][A-Za-z0-9_-]+$`)

// pair is name=value of a call; a value with spaces stands in quotes.
var pair = regexp.MustCompile(`([A-Za-z][A-Za-z0-9_]*)=("[^"]*"|“[^”]*”|\S+)`)

// pairs is "a=1 b=\"two words\"" as JSON. Numbers, true and false are what they
// look like, unless they are in quotes.
func pairs(text string) string {
	args := map[string]any{}
	for _, m := range pair.FindAllStringSubmatch(text, -1) {
		var v any = strings.Trim(m[2], `"“”`)
		if n, err := strconv.ParseFloat(m[2], 64); err == nil {
			v = n
		} else if m[2] == "true" || m[2] == "false" {
			v = m[2] == "true"
		}
		args[m[1]] = v
	}
	b, err := json.Marshal(args)
	if err != nil {
		return "{}"
	}
	return string(b)
}

// calling is "call TOOL {json}" and "call TOOL name=value …".
func (a ask) calling() (intent, bool) {
	m := callForm.FindStringSubmatch(a.text)
	if m == nil || m[2] == "" && !a.tools[m[1]] && !farName.MatchString(m[1]) {
		return intent{}, false
	}
	args := m[2]
	if args == "" {
		args = "{}"
	} else if !strings.HasPrefix(args, "{") {
		args = pairs(args)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(args), &object); err != nil {
		return says("I did not call `" + m[1] + "`: its arguments are not a JSON object (" + err.Error() + ").")
	}
	return does(ToolCall{Name: m[1], Args: json.RawMessage(args)}, asTold)
}

var (
	noteForm   = regexp.MustCompile(`(?is)^(?:remember|memori[sz]e|note|take\s+(?:a\s+)?note|make\s+a\s+note|keep\s+in\s+mind|write\s+down|jot\s+down|for\s+the\s+record|don['’]?t\s+forget)\b(\s+(?:for|to)\s+(?:everyone|everybody|all|the\s+(?:whole\s+)?(?:workspace|company|team)))?(\s*[:,]|\s+(?:that|this|the\s+following|of|down)\b\s*:?|\s)\s*(.+)$`)
	decided    = regexp.MustCompile(`(?is)^(?:decision|decided|fyi)\s*:\s*(.+)$`)
	corrected  = regexp.MustCompile(`(?is)^(?:correction|update)\s*[:,]\s*(.+)$`)
	noteAsks   = regexp.MustCompile(`(?is)^(?:remember|note)\s+(?:what|when|who|whom|where|why|which|how|if|whether)\b.*\?\s*$`)
	wholeSpace = regexp.MustCompile(`(?i)\s*\((?:for\s+)?(?:everyone|(?:the\s+)?(?:whole\s+)?workspace(?:[\s-]wide)?)\)\s*$`)
)

// noting is "remember that X", also as a list of several.
func (a ask) noting() (intent, bool) {
	fact, scope := "", ""
	if m := noteForm.FindStringSubmatch(a.text); m != nil && !noteAsks.MatchString(a.text) {
		fact = m[3]
		if m[1] != "" {
			scope = "workspace"
		}
	} else if m := corrected.FindStringSubmatch(a.text); m != nil && !a.silent {
		fact = m[1]
	} else if !a.silent && (decided.MatchString(a.text) || judgeForm.MatchString(a.text) && !strings.Contains(a.text, "?")) {
		fact = strings.TrimSpace(a.text)
	}
	fact = strings.TrimSpace(fact)
	if rest := wholeSpace.ReplaceAllString(fact, ""); rest != fact {
		fact, scope = rest, "workspace"
	}
	if fact == "" {
		return intent{}, false
	}
	var facts []string
	for _, l := range strings.Split(fact, "\n") {
		if bulletLine.MatchString(l) {
			facts = append(facts, strings.TrimSpace(bulletLine.ReplaceAllString(l, "")))
		} else if strings.TrimSpace(l) != "" {
			facts = nil
			break
		}
	}
	if len(facts) == 0 || len(facts) > 10 {
		facts = []string{fact}
	}
	in := intent{answer: func(results []string) string {
		var said []string
		for i, r := range results {
			said = append(said, remembered(r, facts[i]))
		}
		return strings.Join(said, "\n")
	}}
	for _, f := range facts {
		in.calls = append(in.calls, use("remember", "text", f, "scope", scope))
	}
	return in, true
}

var (
	forgetForm = regexp.MustCompile(`(?is)^(?:forget|unremember|(?:delete|remove|erase)\s+(?:the|your|my|that)\s+(?:note|memory|fact))\b\s*(?:everything\s+(?:you\s+know\s+)?|what\s+you\s+know\s+|the\s+note\s+|note\s+)?(?:about|that|of|on|:)?\s*(.+?)[.!?]*$`)
	noteID     = regexp.MustCompile(`^n[a-z0-9_]*[a-z2-7]{10}$`)
	neverMind  = regexp.MustCompile(`(?i)^(?:forget\s+(?:it|that|about\s+(?:it|that))|never\s*mind)[.! ]*$`)
)

// forgetting is "forget X".
func (a ask) forgetting() (intent, bool) {
	if neverMind.MatchString(a.text) {
		if a.silent {
			return intent{}, false
		}
		return says("All right. To make me forget a note, say which one: `forget the release freeze`.")
	}
	m := forgetForm.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	what := strings.Trim(m[1], "`\"' ")
	if what == "" {
		return intent{}, false
	}
	if noteID.MatchString(what) {
		return does(use("forget", "id", what), asTold)
	}
	return does(use("forget", "query", what), asTold)
}
