package bot

import (
	"regexp"
	"strings"
	"testing"
)

func TestMrkdwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"bold, italic and strike":        {"**a** *b* _c_ ~~d~~ ***e***", "*a* _b_ _c_ ~d~ _*e*_"},
		"code span":                      {"use `a < b`", "use `a &lt; b`"},
		"code span keeps entities":       {"`&lt;`", "`&amp;lt;`"},
		"fence without its language":     {"```go\nx := <-c\n```", "```\nx := &lt;-c\n```"},
		"fence inside a fence":           {"````\n```\na\n```\n````", "```\n`\u200b`\u200b`\na\n`\u200b`\u200b`\n```"},
		"heading":                        {"# A **b** c\ntext", "*A b c*\n\ntext"},
		"list":                           {"- a\n- b\n  - c\n- d", "• a\n• b\n    • c\n• d"},
		"numbered list":                  {"3. a\n4. b", "3. a\n4. b"},
		"task list":                      {"- [ ] a\n- [x] b", "• ☐ a\n• ☑ b"},
		"quote":                          {"> a\n> b", "> a\n> b"},
		"link":                           {"[a](https://x.example/?a=1&b=2)", "<https://x.example/?a=1&amp;b=2|a>"},
		"bare link":                      {"see https://x.example/a_b.", "see <https://x.example/a_b>."},
		"mail link":                      {"<a@x.example>", "<mailto:a@x.example>"},
		"link with another scheme":       {"[a](javascript:alert(1))", "a (javascript:alert(1))"},
		"pipe in a link":                 {"[a|b](https://x.example/a|b)", "<https://x.example/a%7Cb|a¦b>"},
		"image":                          {"![alt](https://x.example/i.png)", "<https://x.example/i.png|alt>"},
		"HTML is text":                   {"a <b>c</b>", "a &lt;b&gt;c&lt;/b&gt;"},
		"channel mention":                {"<!channel> <!here> <!everyone> <!subteam^S1|x>", "&lt;!channel&gt; &lt;!here&gt; &lt;!everyone&gt; &lt;!subteam^S1|x&gt;"},
		"escaped channel mention":        {"&lt;!channel&gt; &#60;!here&#62;", "&lt;!channel&gt; &lt;!here&gt;"},
		"channel mention as a link":      {"[x](<!channel>)", "x (!channel)"},
		"channel mention in code":        {"`<!channel>`", "`&lt;!channel&gt;`"},
		"allowed mention":                {"hi <@U0ADA> and <@U0ADA|ada>", "hi <@U0ADA> and <@U0ADA>"},
		"mention of somebody else":       {"hi <@U0BEN>", "hi &lt;@U0BEN&gt;"},
		"allowed mention in code":        {"`<@U0ADA>`", "`&lt;@U0ADA&gt;`"},
		"mention in a label":             {"[<@U0ADA>](https://x.example)", "<https://x.example|&lt;@U0ADA&gt;>"},
		"mention of references":          {"&#xE000;@U0BEN&#xE001;", "&lt;@U0BEN&gt;"},
		"channel link":                   {"in <#C0GENERAL>", "in <#C0GENERAL>"},
		"ampersand":                      {"a & b &amp; c", "a &amp; b &amp; c"},
		"table":                          {"| a | bb |\n|---|---:|\n| ccc | 1 |", "```\na   | bb\n----|---\nccc |  1\n```"},
		"line break":                     {"a  \nb\nc", "a\nb\nc"},
		"a backtick that begins no code": {"a ` b", "a `\u200b b"},
		"invalid UTF-8":                  {"a\xffb", "a\uFFFDb"},
		"nothing":                        {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Mrkdwn(c.in, "U0ADA"); got != c.want {
				t.Errorf("Mrkdwn(%q)\n got %q\nwant %q", c.in, got, c.want)
			}
		})
	}
}

var (
	angled  = regexp.MustCompile(`<[^>]*>`)
	allowed = regexp.MustCompile(`^<(@U0ADA|#[CG][A-Z0-9]+|(?i:https?://|mailto:)[^<>]*)>$`)
)

// checkHarmless fails if text holds anything that Slack acts on but what may pass.
func checkHarmless(t *testing.T, from, text string) {
	t.Helper()
	for _, a := range angled.FindAllString(text, -1) {
		if !allowed.MatchString(a) {
			t.Fatalf("%q gave %q, in which Slack acts on %q", from, text, a)
		}
	}
	if rest := angled.ReplaceAllString(text, ""); strings.ContainsAny(rest, "<>") && !onlyQuotes(rest) {
		t.Fatalf("%q gave %q, with a bare angle bracket", from, text)
	}
}

// onlyQuotes reports whether all angle brackets are the > of quoted lines.
func onlyQuotes(s string) bool {
	for line := range strings.Lines(s) {
		for strings.HasPrefix(strings.TrimLeft(line, " •0123456789."), "> ") || strings.TrimLeft(line, " •0123456789.") == ">\n" {
			_, line, _ = strings.Cut(line, ">")
		}
		if strings.ContainsAny(strings.TrimRight(line, ">\n "), "<>") {
			return false
		}
	}
	return true
}

func FuzzMrkdwn(f *testing.F) {
	for _, s := range []string{"<!channel>", "[a](<!here>)", "<@U0BEN>", "`<!channel>`", "```\n<!channel>\n", "> <!here>", "|a|\n|-|\n|<!here>|", "&lt;!channel&gt;", "<https://x|<!here>>", "\uE000@U0BEN\uE001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := Mrkdwn(in, "U0ADA")
		checkHarmless(t, in, out)
		for _, part := range Split(out, 200) {
			if n := units(part); n > 200 && !strings.Contains(part, "<") {
				t.Fatalf("a part of %q has %d units, want 200 at most", in, n)
			}
		}
		for _, part := range Split(out, partLimit) {
			if n := units(part); n > partLimit {
				t.Fatalf("a part of %q has %d units, want %d at most", in, n, partLimit)
			}
			checkHarmless(t, in, part)
		}
	})
}
