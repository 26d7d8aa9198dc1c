package memory

import (
	"fmt"
	"testing"
)

func TestCitedInReadsWhatRecallWrote(t *testing.T) {
	t.Parallel()
	text := "- note n_abc: the key is [blue], not red [Ada in #eng, 2026-11-23, https://w.example/archives/C1/p17]\n" +
		"- Ben said: (asked: where?) in Oslo: see https://evil.example/x [old, https://evil.example/y] [Ben in #eng, 2026-11-20, https://w.example/archives/C1/p18]\n" +
		"- Ben said: no link [Ben in #eng, 2026-11-20, 1700000000.000100]\n"
	got := fmt.Sprint(CitedIn(text))
	want := "[{the key is [blue], not red Ada in #eng, 2026-11-23 https://w.example/archives/C1/p17} " +
		"{(asked: where?) in Oslo: see https://evil.example/x [old, https://evil.example/y] Ben in #eng, 2026-11-20 https://w.example/archives/C1/p18}]"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOwed(t *testing.T) {
	t.Parallel()
	safe := Cited{"the deploy key lives in the blue safe", "Ada in #eng", "https://w/1"}
	again := Cited{"I put the deploy key into the blue safe", "Ben in #eng", "https://w/2"}
	cluster := Cited{"the staging cluster runs in Frankfurt since spring", "Ben in #eng", "https://w/3"}
	for _, c := range []struct {
		name, answer, question string
		recalled               []Cited
		want                   string
	}{
		{"a fact without its link", "It is in the blue safe.", "where does the deploy key live?", []Cited{safe, cluster}, "https://w/1"},
		{"told twice, owed once", "It is in the blue safe.", "where does the deploy key live?", []Cited{safe, again}, "https://w/1"},
		{"cited already", "In the blue safe (https://w/1).", "where does the deploy key live?", []Cited{safe, again}, ""},
		{"two facts", "The key is in the blue safe. Staging runs in Frankfurt since spring.", "where are the deploy key and the staging cluster?", []Cited{safe, cluster}, "https://w/1 https://w/3"},
		{"nothing of it is used", "I do not know.", "where does the deploy key live?", []Cited{safe, cluster}, ""},
		{"only the words of the question", "I do not know where the deploy key lives.", "where does the deploy key live?", []Cited{safe}, ""},
		{"nothing was recalled", "It is in the blue safe.", "where?", nil, ""},
	} {
		got := ""
		for i, o := range Owed(c.answer, c.question, c.recalled) {
			if i > 0 {
				got += " "
			}
			got += o.Link
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestBacks(t *testing.T) {
	t.Parallel()
	source := []string{"We decided to launch falcon on Thursday, with 3 people on call."}
	for line, want := range map[string]bool{
		"The launch of falcon is on Thursday":        true,
		"Falcon launches Thursday, 3 people on call": true,
		"Falcon launches with 30 people":             false,
		"The budget was approved by finance":         false,
		"":                                           false,
	} {
		if got := Backs(source, line); got != want {
			t.Errorf("%q: got %v, want %v", line, got, want)
		}
	}
}
