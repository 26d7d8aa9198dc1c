package bot

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	aboutForm = regexp.MustCompile(`(?is)^(?:(?:what|which)\s+(?:else\s+)?(?:do|did|have)\s+(?:you|we)\s+(?:already\s+)?(?:know|remember|decide[d]?|say|said|agree[d]?|discuss(?:ed)?|talk(?:ed)?|note[d]?|write|written|learn(?:ed)?)(?:\s+(?:on|about|of|regarding|concerning|for))*|what\s+(?:was|is|has\s+been)\s+(?:decided|agreed|said|known)(?:\s+(?:on|about|regarding))?|tell\s+(?:me|us)\s+(?:everything\s+|all\s+|more\s+|what\s+)?(?:you\s+know\s+)?(?:about|on)|recall|search(?:\s+(?:for|memory\s+for|your\s+memory\s+for))?|look\s+up|look\s+for|find(?:\s+out)?(?:\s+(?:what|everything)\s+(?:we|you)\s+know)?(?:\s+about)?|do\s+you\s+(?:know|remember|recall)(?:\s+(?:anything|something|what\s+we\s+(?:said|decided)))?(?:\s+(?:about|of|on))?|what\s+about|any(?:thing)?\s+(?:news\s+)?(?:about|on)|show\s+(?:me\s+)?(?:notes|memories)\s+(?:about|on))\b\s*:?\s*(.+)$`)
	tellForm  = regexp.MustCompile(`(?is)^(?:tell|show|remind)\s+(?:me|us)\s+(?:(?:of|about)\s+)?((?:what|when|who|whom|whose|where|why|which|how|if|whether)\b.*)$`)
	whForm    = regexp.MustCompile(`(?i)^(?:what|when|who|whom|whose|where|why|which|how)(?:['’]s|['’]re)?\b`)
	auxForm   = regexp.MustCompile(`(?i)^(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|may|must|isn['’]t|aren['’]t|don['’]t|doesn['’]t|didn['’]t)\b`)
	anyLetter = regexp.MustCompile(`[\p{L}\p{N}]`)
)

// isQuestion reports whether the message asks for knowledge.
func (a ask) isQuestion() bool {
	s := strings.TrimSpace(a.text)
	if !anyLetter.MatchString(s) {
		return false
	}
	return strings.HasSuffix(s, "?") || whForm.MatchString(s) || !a.silent && auxForm.MatchString(s) ||
		tellForm.MatchString(s) || aboutForm.MatchString(s)
}

// question is anything that asks for knowledge: it is looked up in memory.
func (a ask) question() (intent, bool) {
	if !a.isQuestion() {
		return intent{}, false
	}
	query := a.text
	if m := tellForm.FindStringSubmatch(query); m != nil {
		query = m[1]
	}
	if m := aboutForm.FindStringSubmatch(query); m != nil && anyLetter.MatchString(m[1]) {
		query = m[1]
	}
	query = strings.TrimSpace(strings.TrimRight(strings.TrimSpace(query), "?!. "))
	return does(use("recall", "query", query), func(r string) string { return a.recalled(query, r) })
}

// hit is one line of what recall found.
type hit struct {
	text, source string
	score        float64 // share of the query's words that it holds
}

var (
	hitKind   = regexp.MustCompile(`^(?:note (n_\w+)|[^:\n]{1,80} said): `)
	hitAsked  = regexp.MustCompile(`^\(asked: ([^)]*)\) `)
	sourceEnd = regexp.MustCompile(`^(?s)(.+?)\s*(?:\[([^\[\]]+)\]|\(([^()]+)\))\s*$`)
	sourceURL = regexp.MustCompile(`,?\s*(https?://[^\s,\])>]+)`)
	sourceTS  = regexp.MustCompile(`,?\s*\b\d{10}\.\d{6}\b`)
)

// readHits reads "- note ID: text [author in #channel, date, permalink]" lines,
// and "- text (author, date, permalink)" ones.
func readHits(result, query string) []hit {
	wanted := contentWords(query)
	var hits []hit
	for _, line := range strings.Split(result, "\n") {
		line, ok := strings.CutPrefix(line, "- ")
		if !ok {
			continue
		}
		h := hit{text: strings.TrimSpace(line)}
		if m := sourceEnd.FindStringSubmatch(h.text); m != nil {
			h.text, h.source = m[1], m[2]+m[3]
		}
		h.text = hitKind.ReplaceAllString(h.text, "")
		searched := h.text // an answer is found by the words of its question too
		h.text = hitAsked.ReplaceAllString(h.text, "")
		has, n := contentWords(searched), 0
		for w := range wanted {
			if has[w] {
				n++
			}
		}
		if len(wanted) > 0 {
			h.score = float64(n) / float64(len(wanted))
		}
		if strings.TrimSpace(h.text) != "" {
			hits = append(hits, h)
		}
	}
	return hits
}

// isOrder reports whether a message mentions somebody and asks for something that the
// rules do, but to remember: it tells nothing.
func isOrder(text string) bool {
	if !leadingMention.MatchString(text) {
		return false
	}
	order := ask{whole: text}
	order.text = order.plain()
	calls := understand(order).calls
	return len(calls) > 0 && !slices.ContainsFunc(calls, func(c ToolCall) bool { return c.Name == ToolRemember })
}

// best keeps what answers: no questions, no orders to the agent, nothing that
// says again what a shorter hit says, at most three, close to the best.
func best(hits []hit) []hit {
	top := 0.0
	var statements []hit
	for _, h := range hits {
		if !strings.HasSuffix(h.text, "?") && !isOrder(h.text) {
			statements = append(statements, h)
			top = max(top, h.score)
		}
	}
	var kept []hit
	for i, h := range statements {
		if h.score < 0.75*top || saysAgain(statements, i) {
			continue
		}
		if kept = append(kept, h); len(kept) == 3 {
			break
		}
	}
	return kept
}

// saysAgain reports whether hit i only repeats another, with words around it:
// the message that told a fact, or the answer that confirmed it.
func saysAgain(hits []hit, i int) bool {
	mine := strings.ToLower(hits[i].text)
	for j, other := range hits {
		theirs := strings.ToLower(strings.TrimRight(other.text, ".!"))
		if j != i && strings.Contains(mine, theirs) && (len(theirs) < len(strings.TrimRight(mine, ".!")) || j < i) {
			return true
		}
	}
	return false
}

// recalled words the answer to a question. For a message that was not addressed
// to the agent it speaks up only if memory holds most of what is asked about.
func (a ask) recalled(query, result string) string {
	hits := best(readHits(result, query))
	switch {
	case a.silent && (len(hits) == 0 || hits[0].score < 0.5 || len(contentWords(query)) < 2):
		return ""
	case len(hits) == 0:
		return fmt.Sprintf("I know nothing about that, as far as I may look from here (I searched for “%s”). Tell me with `remember that …`.", clipped(query, 80))
	case len(hits) == 1 && hits[0].score > 0:
		return hits[0].said()
	}
	head := "This is what I know:"
	if hits[0].score == 0 {
		head = "I found nothing that clearly answers this. The closest:"
	}
	lines := []string{head}
	for _, h := range hits {
		lines = append(lines, "- "+h.said())
	}
	return strings.Join(lines, "\n")
}

// said is the hit with its source.
func (h hit) said() string {
	if h.source == "" {
		return h.text
	}
	who := strings.Trim(sourceTS.ReplaceAllString(sourceURL.ReplaceAllString(h.source, ""), ""), " ,")
	link := ""
	if m := sourceURL.FindStringSubmatch(h.source); m != nil {
		link = " [source](" + m[1] + ")"
	}
	switch {
	case who == "":
		return h.text + " —" + link
	case link == "":
		return h.text + " — " + who
	}
	return h.text + " — " + who + "," + link
}

// contentWords are the words of s that carry meaning, cut to their stems.
func contentWords(s string) map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) {
		if !emptyWord(w) {
			words[stem(w)] = true
		}
	}
	return words
}

// stem cuts a word so that its common forms are one: starts, started, starting.
func stem(w string) string {
	for _, end := range []string{"ing", "ies", "ed", "es", "s", "e", "y"} {
		if cut, ok := strings.CutSuffix(w, end); ok && len(cut) >= 3 {
			return cut
		}
	}
	return w
}

// emptyWord reports words that say nothing about what is asked.
func emptyWord(w string) bool {
	switch w {
	case "a", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "could", "did", "do", "does", "for", "from", "had",
		"has", "have", "he", "her", "his", "how", "i", "if", "in", "is", "it", "its", "me", "my", "of", "on", "or", "our", "s", "she", "should",
		"so", "that", "the", "their", "them", "there", "they", "this", "to", "us", "was", "we", "were", "what", "when", "where",
		"which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your", "about", "know", "tell", "please", "t", "re", "not":
		return true
	}
	return false
}

// clipped is s on one line, cut to n characters.
func clipped(s string, n int) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) <= n {
		return string(r)
	}
	return strings.TrimSpace(string(r[:n-1])) + "…"
}
