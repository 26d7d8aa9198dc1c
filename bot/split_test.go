package bot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 30) // 150 units
	for name, c := range map[string]struct {
		in    string
		limit int
		want  []string
	}{
		"short text is one part":          {"a\n\nb", 64, []string{"a\n\nb"}},
		"between paragraphs":              {strings.Repeat("a", 40) + "\n\n" + strings.Repeat("b", 40), 64, []string{strings.Repeat("a", 40), strings.Repeat("b", 40)}},
		"between lines":                   {strings.Repeat("a", 40) + "\n" + strings.Repeat("b", 40), 64, []string{strings.Repeat("a", 40), strings.Repeat("b", 40)}},
		"between words":                   {long, 80, []string{strings.Repeat("word ", 16), strings.Repeat("word ", 14)}},
		"a giant word":                    {strings.Repeat("x", 130), 64, []string{strings.Repeat("x", 64), strings.Repeat("x", 64), "xx"}},
		"an entity stays whole":           {strings.Repeat("x", 62) + "&amp;" + "y", 64, []string{strings.Repeat("x", 62), "&amp;y"}},
		"a link stays whole":              {strings.Repeat("x", 50) + "<https://x.example/a|b>", 64, []string{strings.Repeat("x", 50), "<https://x.example/a|b>"}},
		"a character of two units":        {strings.Repeat("x", 63) + "😀", 64, []string{strings.Repeat("x", 63), "😀"}},
		"a joined emoji":                  {strings.Repeat("x", 62) + "👩\u200d💻", 64, []string{strings.Repeat("x", 62), "👩\u200d💻"}},
		"a fence is closed and reopened":  {"```go\n" + strings.Repeat("a", 40) + "\n" + strings.Repeat("b", 40) + "\n```", 64, []string{"```go\n" + strings.Repeat("a", 40) + "\n```", "```go\n" + strings.Repeat("b", 40) + "\n```"}},
		"a fence begins with its content": {strings.Repeat("a", 50) + "\n```\n" + strings.Repeat("b", 40) + "\n```", 64, []string{strings.Repeat("a", 50), "```\n" + strings.Repeat("b", 40) + "\n```"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Split(c.in, c.limit); !slices.Equal(got, c.want) {
				t.Errorf("Split(%q, %d)\n got %q\nwant %q", c.in, c.limit, got, c.want)
			}
		})
	}
}

// Whatever is split, the parts say the same as the text, none is too long, and
// every fence that a part opens it closes.
func TestSplitLosesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := randomText(r)
		limit := 64 + r.IntN(300)
		parts := Split(text, limit)
		for i, p := range parts {
			if n := units(p); n > limit {
				t.Fatalf("seed %d: part %d has %d units, want %d at most: %q", seed, i, n, limit, p)
			}
			if fences(p)%2 != 0 {
				t.Fatalf("seed %d: part %d leaves a fence open: %q", seed, i, p)
			}
		}
		if got, want := words(strings.Join(parts, "\n")), words(text); got != want {
			t.Fatalf("seed %d, limit %d:\n got %q\nwant %q", seed, limit, got, want)
		}
	}
}

func fences(s string) int {
	n := 0
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "```") {
			n++
		}
	}
	return n
}

// words is the text without fences and breaks: what splitting must not change.
func words(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "```") {
			b.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	return b.String()
}

func randomText(r *rand.Rand) string {
	var b strings.Builder
	atoms := []string{"a", "bc ", "&amp;", "<https://x.example/y|z>", "😀", "\n", "\n\n", " ", "longword", "ü"}
	for range 1 + r.IntN(8) {
		code := r.IntN(3) == 0
		if code {
			fmt.Fprintf(&b, "\n```%s\n", []string{"", "go", "yaml"}[r.IntN(3)])
		}
		for range r.IntN(120) {
			b.WriteString(atoms[r.IntN(len(atoms))])
		}
		if code {
			b.WriteString("\n```\n")
		}
	}
	return b.String()
}
