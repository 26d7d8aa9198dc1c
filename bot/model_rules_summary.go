package bot

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// spokenLine is one message of a transcript.
type spokenLine struct{ who, text string }

var transcriptLine = regexp.MustCompile(`^(.{1,80}?) \((\d+\.\d+)\): (.*)$`)

// readTranscript reads the lines "name (ts): text" that the reading tools give;
// lines with an indent go on with the message before.
func readTranscript(result string) []spokenLine {
	var said []spokenLine
	for _, line := range strings.Split(result, "\n") {
		if m := transcriptLine.FindStringSubmatch(line); m != nil {
			said = append(said, spokenLine{m[1], m[3]})
		} else if rest, ok := strings.CutPrefix(line, "  "); ok && len(said) > 0 {
			said[len(said)-1].text += "\n" + rest
		}
	}
	return said
}

// transcribed is what a reading tool gave, as a list for people.
func transcribed(where, result string) string {
	said := readTranscript(result)
	if len(said) == 0 {
		return "I see no messages in " + where + "."
	}
	lines := []string{"The newest messages of " + where + ", oldest first:"}
	for _, m := range said {
		lines = append(lines, fmt.Sprintf("- **%s**: %s", m.who, clipped(m.text, 300)))
	}
	return strings.Join(lines, "\n")
}

var (
	sentenceEnd = regexp.MustCompile(`[.!?]+(?:\s+|$)|\n+`)
	decision    = regexp.MustCompile(`(?i)\b(?:decided|decision|agreed|we(?:['’]ll|\s+will)|let['’]s|go(?:ing)?\s+with|settled|approved|it\s+is\s+final|we\s+are\s+going\s+to|the\s+plan\s+is)\b`)
	promise     = regexp.MustCompile(`(?i)\b(?:i(?:['’]ll|\s+will|['’]m\s+going\s+to|\s+can\s+(?:do|take))|todo|to-do|action\s+item|can\s+you|could\s+you|please)\b|<@[UW][A-Z0-9]+>\s+(?:will|to)\b`)
	disagree    = regexp.MustCompile(`(?i)\b(?:disagree|not\s+decided|undecided|haven['’]t\s+decided|i\s+do\s+not\s+think|i\s+don['’]t\s+think)\b`)
)

// sentences are the sentences of a text with their end marks, in order.
func sentences(text string) []string {
	var out []string
	for text != "" {
		end := len(text)
		if at := sentenceEnd.FindStringIndex(text); at != nil {
			end = at[1]
		}
		if s := strings.TrimSpace(text[:end]); anyLetter.MatchString(s) {
			out = append(out, s)
		}
		text = text[end:]
	}
	return out
}

// summarise extracts from a transcript what people look for in a summary: how it
// began, what was decided, who does what, what is open, and who said what. It
// takes sentences as they stand and makes none up.
func summarise(result string, a ask) string {
	var said []spokenLine
	for _, m := range readTranscript(result) {
		own := a.brief.agent != "" && strings.EqualFold(m.who, a.brief.agent)
		request := sumForm.MatchString(ask{whole: m.text, brief: a.brief}.plain())
		if !own && !request && strings.TrimSpace(m.text) != "" {
			said = append(said, m)
		}
	}
	if len(said) == 0 {
		return "There is nothing to summarise yet: I see no messages but ours."
	}
	var decisions, promises, open []string
	for i, m := range said {
		for _, s := range sentences(m.text) {
			line := clipped(s, 200) + " — " + m.who
			switch {
			case strings.HasSuffix(s, "?"):
				if !answered(said[i+1:], m.who, s) {
					open = append(open, line)
				}
			case decision.MatchString(s) && !disagree.MatchString(s):
				decisions = append(decisions, line)
			case promise.MatchString(s):
				promises = append(promises, line)
			}
		}
	}
	first := sentences(said[0].text)
	opening := said[0].text
	if len(first) > 0 {
		opening = first[0]
	}
	out := []string{
		fmt.Sprintf("%d messages by %s.", len(said), people(said)),
		"**It began with:** " + clipped(opening, 240) + " — " + said[0].who,
	}
	for _, part := range []struct {
		title string
		lines []string
	}{{"Decided", decisions}, {"To do", promises}, {"Open questions", open}} {
		if len(part.lines) == 0 {
			continue
		}
		out = append(out, "**"+part.title+":**")
		for _, l := range part.lines[max(0, len(part.lines)-6):] {
			out = append(out, "- "+l)
		}
	}
	if len(decisions)+len(promises)+len(open) == 0 || len(said) > 2 {
		out = append(out, "**Who said what:**")
		out = append(out, positions(said)...)
	}
	return strings.Join(append(out, "_Taken from the messages word for word; I do not interpret them._"), "\n")
}

// answered reports whether somebody else says later, in a statement, a word that
// the question is about, or answers right away in short.
func answered(later []spokenLine, who, question string) bool {
	wanted := contentWords(question)
	for i, m := range later {
		if m.who == who || strings.HasSuffix(strings.TrimSpace(m.text), "?") {
			continue
		}
		if i == 0 && len(m.text) <= 60 {
			return true
		}
		for w := range contentWords(m.text) {
			if wanted[w] {
				return true
			}
		}
	}
	return false
}

// people names the speakers, most talkative first.
func people(said []spokenLine) string {
	names, count := speakers(said)
	sort.SliceStable(names, func(i, j int) bool { return count[names[i]] > count[names[j]] })
	if len(names) > 6 {
		return strings.Join(names[:6], ", ") + fmt.Sprintf(" and %d more", len(names)-6)
	}
	return strings.Join(names, ", ")
}

func speakers(said []spokenLine) ([]string, map[string]int) {
	var names []string
	count := map[string]int{}
	for _, m := range said {
		if count[m.who] == 0 {
			names = append(names, m.who)
		}
		count[m.who]++
	}
	return names, count
}

// positions is a line for each speaker: the sentence of theirs that says most.
func positions(said []spokenLine) []string {
	names, count := speakers(said)
	var out []string
	for _, name := range names[:min(len(names), 8)] {
		best, most := "", -1
		for _, m := range said {
			if m.who != name {
				continue
			}
			for _, s := range sentences(m.text) {
				if n := len(contentWords(s)); n > most && n <= 40 {
					best, most = s, n
				}
			}
		}
		if best == "" {
			continue
		}
		out = append(out, fmt.Sprintf("- **%s** (%d): %s", name, count[name], clipped(best, 200)))
	}
	return out
}
