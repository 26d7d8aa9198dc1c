package app

import (
	"strings"
	"testing"

	"deskmate/internal/modelsim"
)

// A model that does not say where it knows something from is helped out.
func TestAnswersFromMemoryNameTheirSource(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"where": "It lives in the blue safe.", "which": "In the blue safe: LINK", "who": "I do not know who made it."}
	link := ""
	d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
		said := q.Last("user").Content
		for word, text := range answers {
			if strings.Contains(said, word+" ") {
				return modelsim.Reply{Text: strings.ReplaceAll(text, "LINK", link)}
			}
		}
		return modelsim.Reply{Text: "noted"}
	}, nil)
	root := d.ask(d.ben, "the deploy key lives in the blue safe")
	d.answer(root, "noted")
	if got := d.answer(d.ask(d.ada, "where does the deploy key live?"), "blue safe"); !strings.Contains(got, "From memory:") || !strings.Contains(got, "/archives/"+eng+"/p"+strings.ReplaceAll(root, ".", "")) {
		t.Errorf("an answer from memory without a source: %q", got)
	} else {
		_, rest, _ := strings.Cut(got, "From memory: <")
		link, _, _ = strings.Cut(rest, "|")
	}
	if got := d.answer(d.ask(d.ada, "which safe holds the deploy key?"), "blue safe"); strings.Contains(got, "From memory:") {
		t.Errorf("a source that the answer names was added again: %q", got)
	}
	if got := d.answer(d.ask(d.ada, "who made the deploy key?"), "do not know"); strings.Contains(got, "From memory:") {
		t.Errorf("an answer that uses nothing of memory got a source: %q", got)
	}
}

// The same for what a tool of the turn found.
func TestAnswersFromRecallNameTheirSource(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
		switch {
		case q.Last("tool").Content != "":
			return modelsim.Reply{Text: "Frankfurt, since spring."}
		case strings.Contains(q.Last("user").Content, "staging"):
			return modelsim.Reply{Text: "noted"}
		}
		return calls("recall", map[string]string{"query": "staging cluster"})
	}, nil)
	root := d.ask(d.ben, "the staging cluster runs in Frankfurt since spring")
	d.answer(root, "noted")
	if got := d.answer(d.ask(d.ada, "please look up what we talked of"), "Frankfurt"); !strings.Contains(got, "From memory:") || !strings.Contains(got, strings.ReplaceAll(root, ".", "")) {
		t.Errorf("an answer from recall without a source: %q", got)
	}
}
