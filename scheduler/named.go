package scheduler

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// named are things that people watch for, by their names, with what they look like
// in a message. Case is ignored.
var named = []struct {
	names   []string
	pattern string
	means   string
}{
	{[]string{"stack trace", "stacktrace", "traceback", "backtrace", "exception"},
		`traceback \(most recent call|\bat [\w$.<>/]+\([\w.$ ]*(?::\d+)?\)|goroutine \d+ \[|\bpanic: |\b[a-z]\w*(?:\.\w+)*(?:exception|error)\b: |exception in thread|\bstack ?trace\b|^\s+File "[^"]+", line \d+|\.(?:go|py|js|ts|rb|java|rs|c|cpp|cs|php):\d+`, "a stack trace or an exception"},
	{[]string{"error", "errors", "failure", "failures", "something that failed"},
		`\b(?:error|errors|failed|failure|failing|fails|fatal|exception|panic|crash(?:ed|es)?|critical)\b|\b5\d\d\b (?:error|response|status)|\bHTTP 5\d\d\b`, "an error or a failure"},
	{[]string{"pull request", "link to a pull request", "pr", "pr link", "merge request", "link to a merge request", "link to a pr"},
		`https?://\S+/(?:pull|pulls|merge_requests|pull-requests)/\d+`, "a link to a pull request"},
	{[]string{"issue", "ticket", "link to an issue", "link to a ticket"}, `https?://\S+/(?:issues?|browse|tickets?)/[\w-]+|\b[A-Z][A-Z0-9]{1,9}-\d+\b`, "an issue or a ticket"},
	{[]string{"question"}, `\?(?:\s|$)|^\s*(?:<@\w+>\s*)*(?:who|what|when|where|why|which|how|can|could|does|do|did|is|are|should|would|will|has|have|anyone|anybody)\b[^.!]*\?`, "a question"},
	{[]string{"link", "url"}, `https?://\S`, "a link"},
	{[]string{"alert", "outage", "incident"}, `\b(?:alert|alerts|firing|outage|incident|down|unavailable|sev ?-?[0-3]|p[01])\b`, "an alert or an outage"},
	{[]string{"message", "anything", "something", "everything"}, `\S`, "any message"},
}

// NamedPatterns lists the names that LookFor knows, the first of each.
func NamedPatterns() []string {
	var all []string
	for _, n := range named {
		all = append(all, n.names[0])
	}
	return all
}

// patternWords says what a pattern looks for, as part of a sentence.
func patternWords(pattern string) string {
	for _, n := range named {
		if n.pattern == pattern {
			return " and it holds " + n.means
		}
	}
	return ", and it fits `" + pattern + "`"
}

var article = regexp.MustCompile(`(?i)^(?:an?|the|some|any|another|new)\s+`)

// LookFor makes the pattern of a watch of what people call it: a name such as
// "stack trace", words in quotes or without, or a regular expression between
// slashes. means says in words what it looks for. The error is worded for people.
func LookFor(what string) (pattern, means string, err error) {
	what = strings.TrimSpace(what)
	if len(what) > mostPattern {
		return "", "", fmt.Errorf("what to look for is too long: at most %d characters", mostPattern)
	}
	if re, ok := strings.CutPrefix(what, "/"); ok && strings.HasSuffix(re, "/") && len(re) > 1 {
		re = strings.TrimSuffix(re, "/")
		if _, err := regexp.Compile("(?i)" + re); err != nil {
			return "", "", fmt.Errorf("`%s` is no regular expression: %w", re, err)
		}
		return re, "`" + re + "`", nil
	}
	if words := unquoted(what); words != what {
		return literally(words)
	}
	bare := what
	for {
		rest := article.ReplaceAllString(bare, "")
		if rest == bare || rest == "" {
			break
		}
		bare = rest
	}
	for _, n := range named {
		if called := strings.ToLower(bare); slices.Contains(n.names, called) || slices.Contains(n.names, strings.TrimSuffix(called, "s")) {
			return n.pattern, n.means, nil
		}
	}
	return literally(bare)
}

// literally is the pattern of words as they are, between the borders of words.
func literally(words string) (pattern, means string, err error) {
	fields := strings.Fields(words)
	if len(fields) == 0 {
		return "", "", errors.New("what to look for is missing")
	}
	for i, f := range fields {
		fields[i] = regexp.QuoteMeta(f)
	}
	pattern = strings.Join(fields, `\s+`)
	if wordEdge(words[0]) {
		pattern = `\b` + pattern
	}
	if wordEdge(words[len(words)-1]) {
		pattern += `\b`
	}
	return pattern, "“" + strings.Join(strings.Fields(words), " ") + "”", nil
}

// wordEdge reports whether \b of RE2, which knows ASCII words only, may stand beside c.
func wordEdge(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func unquoted(s string) string {
	for _, q := range [][2]string{{`"`, `"`}, {"“", "”"}, {"'", "'"}, {"‘", "’"}, {"`", "`"}, {"«", "»"}} {
		inner, opened := strings.CutPrefix(s, q[0])
		if text, closed := strings.CutSuffix(inner, q[1]); opened && closed && text != "" {
			return strings.TrimSpace(text)
		}
	}
	return s
}
