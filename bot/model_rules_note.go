package bot

import (
	"regexp"
	"strings"

	"deskmate/memory"
)

var (
	settleForm = regexp.MustCompile(`(?i)^(?:(replace(?:\s+(?:it|the\s+old\s+(?:one|note)|the\s+(?:first|earlier)\s+(?:one|note)))|(?:keep|take)\s+the\s+new\s+(?:one|note)|the\s+new\s+(?:one|note)\s+(?:holds|is\s+right))|(keep\s+both(?:\s+(?:of\s+them|notes))?|both\s+(?:hold|are\s+(?:right|true)))|((?:drop|discard|forget)\s+the\s+new\s+(?:one|note)|keep\s+the\s+old\s+(?:one|note)|the\s+old\s+(?:one|note)\s+(?:holds|is\s+right)))[.! ]*$`)
	judgeForm  = regexp.MustCompile(`(?is)^(?:(?:decision|decided|agreed)\s*:\s*(?P<fact>.+)|(?:(?:so|ok|okay|right|alright|then)[,\s]+)*(?P<we>(?:we(?:['’]ve|\s+have)?|it\s+(?:was|is|has\s+been))\s+(?:just\s+|now\s+|finally\s+)?(?:decided|agreed)\s+(?:that|to|on|not\s+to|against)\s+.+))$`)
)

// mostJudged is the longest text that is taken for a decision, in bytes.
const mostJudged = 400

// settling is an answer to the question which of two notes holds. Said to somebody
// else, it is only one where there is such a question.
func (a ask) settling() (intent, bool) {
	m := settleForm.FindStringSubmatch(a.text)
	if m == nil {
		return intent{}, false
	}
	answer := memory.AnswerDrop
	switch {
	case m[1] != "":
		answer = memory.AnswerReplace
	case m[2] != "":
		answer = memory.AnswerBoth
	}
	return intent{calls: []ToolCall{use(ToolSettle, "answer", answer)}, answer: func(results []string) string {
		why, failed := failureWords(results[0])
		switch {
		case failed && a.silent:
			return ""
		case failed:
			return why
		}
		return results[0]
	}}, true
}

// judging is a decision that people tell each other, where the agent may keep what
// nobody asked it to: it says nothing, the line about the note does.
func (a ask) judging() (intent, bool) {
	if !a.brief.judge || len(a.text) > mostJudged || strings.Contains(a.text, "?") || !a.tools[ToolRemember] {
		return intent{}, false
	}
	m := judgeForm.FindStringSubmatch(strings.TrimSpace(a.text))
	if m == nil {
		return intent{}, false
	}
	fact := strings.TrimSpace(m[1] + m[2])
	return intent{calls: []ToolCall{use(ToolRemember, "text", fact, "own", "yes")}, answer: func([]string) string { return "" }}, true
}
