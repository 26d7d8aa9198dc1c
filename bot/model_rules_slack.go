package bot

import (
	"regexp"
	"strconv"
	"strings"
)

const (
	rChannel = `<#[CGD][A-Z0-9]+(?:\|[^>]*)?>|#[\p{L}\p{N}._-]*[\p{L}\p{N}_]`
	rPerson  = `<@[UW][A-Z0-9]+(?:\|[^>]*)?>|@[\p{L}\p{N}._-]*[\p{L}\p{N}_]|(?-i:\p{Lu}[\p{L}'’-]+)`
)

var (
	postInto  = regexp.MustCompile(`(?is)^(?:post|say|announce|write|share|send|put)\s+(?:(?:this|it|a\s+message|the\s+following)\s+)?(?:in|to|into|on)\s+(` + rChannel + `|this\s+channel|here)(?:\s+that\s+|\s*[:,–-]+\s*|\s+)(.+)$`)
	postThere = regexp.MustCompile(`(?is)^(?:post|say|announce|write|share|send|put)\s+(.+?)\s+(?:in|to|into|on)\s+(` + rChannel + `|this\s+channel)\s*[.!]*$`)
	tellThere = regexp.MustCompile(`(?is)^(?:tell|inform|let)\s+(` + rChannel + `)(?:\s+know)?(?:\s+that\s+|\s*[:,–-]+\s*|\s+)(.+)$`)
	tellWho   = regexp.MustCompile(`(?is)^(?:dm|message|tell|ping|inform|let|send\s+(?:a\s+)?(?:dm|direct\s+message|message)\s+to|(?:direct\s+message|write\s+to))\s+(` + rPerson + `)(?:\s+know)?(?:\s+that\s+|\s*[:,–-]+\s*|\s+)(.+)$`)
	reactWith = regexp.MustCompile(`(?i)^(?:(?:react|respond)(?:\s+(?:to|on)\s+(?:this|that|it|my\s+message|this\s+message))?\s+with\s+(?:an?\s+)?:?([a-z0-9_+'-]+):?(?:\s+(?:emoji|reaction))?|(?:add|give|put)\s+(?:(?:this|it|that|me|us)\s+)?(?:an?\s+)?:([a-z0-9_+'-]+):(?:\s+(?:emoji|reaction))?(?:\s+(?:to|on)\s+(?:this|that|it))?|:([a-z0-9_+'-]+):\s+(?:this|that|it))[.! ]*$`)
	updateIt  = regexp.MustCompile(`(?is)^(?:update|edit|change)\s+(?:(?:the|your|my|that)\s+)?(?:message\s+)?(\d{10}\.\d{6})\s*(?:to|:|so\s+that\s+it\s+says)\s*:?\s*(.+)$`)
	readForm  = regexp.MustCompile(`(?i)^(?:read|show(?:\s+me)?|get|fetch)\s+(?:(?:the|me)\s+)*(?:(?:last|latest|newest|recent|most\s+recent)\s+)?(?:(\d{1,6})\s+)?(?:(?:messages?|posts?)\s+)?(?:(?:in|from|of|on)\s+)?(?:channel\s+)?(` + rChannel + `|this\s+channel|(?:this|the)\s+thread)[.!? ]*$`)
	sumForm   = regexp.MustCompile(`(?is)^(?:summari[sz]e|sum\s+up|summary|recap|tl;?dr|(?:give|show|write)(?:\s+(?:me|us))?\s+(?:an?|the)\s+(?:short\s+|brief\s+)?(?:summary|recap|tl;?dr)|catch\s+(?:me|us)\s+up|what\s+did\s+(?:i|we)\s+miss|what(?:['’]s|\s+is)\s+(?:new|happening|going\s+on)|what\s+happened)\b\s*(.*?)[.!? ]*$`)
	sumPlace  = regexp.MustCompile(`(?i)^(?:(?:of|on|in|from|for|with|about|what\s+(?:was\s+said|happened)\s+in|what\s+we\s+(?:said|discussed)\s+in)\s+)*(?:(?:the|this|our)\s+)?(?:(?:channel|whole|entire)\s+)*(` + rChannel + `|channel|thread|conversation|discussion|above|here|it|so\s+far)?(?:\s+so\s+far|\s+above|\s+here|\s+for\s+(?:me|us)|\s+please)*$`)
	briefForm = regexp.MustCompile(`(?i)^(?:(?:brief\s+(?:me|us)|(?:write|give)(?:\s+(?:me|us))?\s+(?:an?\s+|the\s+)?(?:brief|handoff|handover|hand-over)(?:\s+notes?)?|where\s+(?:do|are)\s+we(?:\s+stand)?|what\s+is\s+the\s+(?:state|status)|handoff\s+notes|(?:brief|handoff|handover))(?:\s+(?:on|of|for|about|with|in))?(?:\s+(?:(?:this|the)\s+thread|it|this|here|(` + rPerson + `)(?:['’]s\s+(?:work|threads))?))?|what\s+is\s+(` + rPerson + `)\s+working\s+on)[.!? ]*$`)
	sayForm   = regexp.MustCompile(`(?is)^(?:(?:say|repeat)\b|(?:reply|answer)\s+with\b|(?:post|reply|answer|write)\s*:)\s*:?\s*(.+)$|^(?:post|write)\s+(["'“„«].+)$`)
	someone   = regexp.MustCompile(`(?i)^(?:me|us|you|him|her|them|it|everyone|everybody|the|a|an|all|what|who|when|where|why|how|about|if|whether)$`)
	slackTS   = regexp.MustCompile(`\s*\(ts [0-9.]+\)`)
)

// summary is "summarise this thread" and "what happened in #channel".
func (a ask) summary() (intent, bool) {
	m := sumForm.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	place := sumPlace.FindStringSubmatch(m[1])
	if place == nil {
		return intent{}, false
	}
	word := func(r string) string { return summarise(r, a) }
	switch where := strings.ToLower(place[1]); {
	case strings.HasPrefix(where, "#"), strings.HasPrefix(where, "<#"):
		return does(use("read_channel", "channel", place[1], "limit", "100"), word)
	case where == "channel", strings.Contains(strings.ToLower(m[1]), "channel"):
		return does(use("read_channel", "channel", "here", "limit", "100"), word)
	}
	return does(use("read_thread"), word)
}

// handing is "brief me on this thread" and "what is @Ben working on?".
func (a ask) handing() (intent, bool) {
	m := briefForm.FindStringSubmatch(a.text)
	if m == nil || someone.MatchString(m[1]+m[2]) {
		return intent{}, false
	}
	if who := m[1] + m[2]; who != "" {
		return does(use(ToolBrief, "person", who), briefed)
	}
	return does(use(ToolBrief), briefed)
}

// briefed gives a result to people as it is, or why there is none.
func briefed(result string) string {
	if why, failed := failureWords(result); failed {
		return why
	}
	return result
}

// reading is "read #channel" and "show me the last 5 messages in #channel".
func (a ask) reading() (intent, bool) {
	m := readForm.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	limit := m[1]
	if n, err := strconv.Atoi(limit); err == nil {
		limit = strconv.Itoa(min(max(n, 1), 100))
	}
	switch where := strings.ToLower(m[2]); {
	case strings.HasSuffix(where, "thread"):
		return does(use("read_thread"), func(r string) string { return transcribed("this thread", r) })
	case strings.HasSuffix(where, "channel"):
		return does(use("read_channel", "channel", "here", "limit", limit), func(r string) string { return transcribed("this channel", r) })
	}
	return does(use("read_channel", "channel", m[2], "limit", limit), func(r string) string { return transcribed(m[2], r) })
}

// posting is "post in #channel: X", "post X in #channel" and "tell #channel X".
func (a ask) posting() (intent, bool) {
	channel, said := "", ""
	if m := postInto.FindStringSubmatch(a.text); m != nil {
		channel, said = m[1], m[2]
	} else if m := postThere.FindStringSubmatch(a.text); m != nil {
		channel, said = m[2], m[1]
	} else if m := tellThere.FindStringSubmatch(a.text); m != nil {
		channel, said = m[1], m[2]
	}
	if said = unquote(said); said == "" {
		return intent{}, false
	}
	if !strings.HasPrefix(channel, "#") && !strings.HasPrefix(channel, "<") {
		channel = "here"
	}
	return does(use("post", "channel", channel, "text", said), withoutTS)
}

// direct is "dm @person X" and "tell @person that X".
func (a ask) direct() (intent, bool) {
	m := tellWho.FindStringSubmatch(a.text)
	if m == nil || someone.MatchString(m[1]) {
		return intent{}, false
	}
	said := unquote(m[2])
	if said == "" {
		return intent{}, false
	}
	return does(use("dm", "person", m[1], "text", said), withoutTS)
}

// reacting is "react with :tada:".
func (a ask) reacting() (intent, bool) {
	m := reactWith.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	return does(use("react", "name", strings.ToLower(m[1]+m[2]+m[3])), briefed)
}

// changing is "update message 1700000000.000100 to: X".
func (a ask) changing() (intent, bool) {
	m := updateIt.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	return does(use("update", "ts", m[1], "text", unquote(m[2])), withoutTS)
}

// saying is "say X": the answer is X.
func (a ask) saying() (intent, bool) {
	m := sayForm.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	return says(unquote(m[1] + m[2]))
}

// withoutTS is a result without the message's ts, which people do not need.
func withoutTS(result string) string { return slackTS.ReplaceAllString(result, "") }

// unquote takes one pair of quotes off that stands around all of s.
func unquote(s string) string {
	s = strings.TrimSpace(s)
	for _, q := range [][2]string{{`"`, `"`}, {"'", "'"}, {"“", "”"}, {"‘", "’"}, {"«", "»"}, {"„", "“"}} {
		inner, opened := strings.CutPrefix(s, q[0])
		if text, closed := strings.CutSuffix(inner, q[1]); opened && closed && !strings.Contains(text, q[0]) && !strings.Contains(text, q[1]) {
			return strings.TrimSpace(text)
		}
	}
	return s
}

var (
	dueSay    = regexp.MustCompile(`(?is)^(?:post|say|announce|write|send|reply)\b(?:\s+(?:a\s+message|here|in\s+this\s+channel))?(?:\s+that\b)?\s*:?\s*(.+)$`)
	dueRemind = regexp.MustCompile(`(?is)^remind(?:er)?\b(?:\s+(me|us|everyone|everybody|the\s+team|<@[^>\s]+>|<#[^>\s]+>|[@#][\p{L}\p{N}._-]+))?\s*(?::|\b(?:to|that|about|of)\b)?\s*(.+)$`)
)

// due is the text of a duty whose prompt is no request: what it says, or the
// prompt itself.
func (a ask) due() string {
	if m := dueRemind.FindStringSubmatch(a.text); m != nil {
		whom := ""
		switch who := strings.ToLower(m[1]); {
		case who == "me" && a.brief.asker != "":
			whom = " for <@" + a.brief.asker + ">"
		case strings.HasPrefix(who, "<@"), strings.HasPrefix(who, "@"):
			whom = " for " + m[1]
		}
		return "Reminder" + whom + ": " + unquote(m[2])
	}
	if m := dueSay.FindStringSubmatch(a.text); m != nil {
		return unquote(m[1])
	}
	return unquote(a.text)
}
