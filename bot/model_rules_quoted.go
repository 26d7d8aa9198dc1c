package bot

import (
	"regexp"
	"strings"
)

// quotedLines are lines at the end of a message that quote another one.
var quotedLines = regexp.MustCompile(`(?s)^(.*?[^:\s])\s*\n((?:> ?[^\n]*(?:\n|$))+)$`)

// withoutQuote takes a message apart that asks something about another one, which
// it quotes at its end. A colon before the quotation makes it part of the request.
func withoutQuote(whole string) (request, quoted string) {
	m := quotedLines.FindStringSubmatch(whole)
	if m == nil || strings.HasPrefix(m[1], ">") {
		return whole, ""
	}
	lines := strings.Split(strings.TrimRight(m[2], "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(l, ">"), " ")
	}
	return m[1], strings.Join(lines, "\n")
}

// pointing is a word for the message that is quoted.
var pointing = regexp.MustCompile(`(?i)^(?:this|that|it|(?:this|that|the)\s+message|(?:this|that)\s+one)[.!]*$`)

// notingQuoted is "remember this", said of a message that is quoted.
func (a ask) notingQuoted() (intent, bool) {
	if a.quoted == "" {
		return intent{}, false
	}
	fields := strings.SplitN(strings.TrimSpace(a.text), " ", 2)
	if len(fields) != 2 || !pointing.MatchString(strings.TrimSpace(fields[1])) {
		return intent{}, false
	}
	switch strings.ToLower(fields[0]) {
	case "remember", "note", "keep", "save", "memorise", "memorize":
	default:
		return intent{}, false
	}
	fact := a.quoted
	return intent{
		calls:  []ToolCall{use("remember", "text", fact, "scope", "")},
		answer: func(results []string) string { return remembered(results[0], fact) },
	}, true
}
