package connection

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"deskmate/connection/mcp"
)

// Diff says line by line what is different in b from a, for people: "- " stands
// before what was, "+ " before what is. Characters that cannot be seen are shown as
// their code points.
func Diff(a, b mcp.Listing) []string {
	var out []string
	out = append(out, field("instructions", a.Instructions, b.Instructions)...)
	was, is := map[string]mcp.Tool{}, map[string]mcp.Tool{}
	all := map[string]bool{}
	for _, t := range a.Tools {
		was[t.Name], all[t.Name] = t, true
	}
	for _, t := range b.Tools {
		is[t.Name], all[t.Name] = t, true
	}
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		t, had := was[n]
		u, has := is[n]
		switch {
		case !had:
			out = append(out, "+ tool "+visible(n)+": "+first(visible(u.Description)))
		case !has:
			out = append(out, "- tool "+visible(n))
		case t.Pin() != u.Pin():
			out = append(out, "  tool "+visible(n)+":")
			for _, l := range tool(t, u) {
				out = append(out, "    "+l)
			}
		}
	}
	return out
}

func tool(t, u mcp.Tool) []string {
	out := field("title", t.Title, u.Title)
	out = append(out, field("description", t.Description, u.Description)...)
	out = append(out, field("input schema", pretty(t.Input), pretty(u.Input))...)
	out = append(out, field("output schema", pretty(t.Output), pretty(u.Output))...)
	out = append(out, field("annotations", pretty(t.Annotations), pretty(u.Annotations))...)
	return append(out, field("meta", pretty(t.Meta), pretty(u.Meta))...)
}

func pretty(b json.RawMessage) string {
	var out bytes.Buffer
	if len(b) == 0 || json.Indent(&out, b, "", "  ") != nil {
		return string(b)
	}
	return out.String()
}

// field is the difference of one text, with the lines that both have left out.
func field(name, a, b string) []string {
	if a == b {
		return nil
	}
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	if a == "" {
		x = nil
	}
	if b == "" {
		y = nil
	}
	out := []string{name + ":"}
	for _, l := range lines(x, y) {
		out = append(out, "  "+l)
	}
	return out
}

// lines is the shortest edit from x to y by lines, by the longest common
// subsequence; texts of tools are short.
func lines(x, y []string) []string {
	const most = 400
	if len(x) > most || len(y) > most {
		return []string{fmt.Sprintf("- (%d lines)", len(x)), fmt.Sprintf("+ (%d lines)", len(y))}
	}
	long := make([][]int, len(x)+1)
	for i := range long {
		long[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				long[i][j] = long[i+1][j+1] + 1
			} else {
				long[i][j] = max(long[i+1][j], long[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && long[i+1][j] >= long[i][j+1]:
			out = append(out, "- "+visible(x[i]))
			i++
		default:
			out = append(out, "+ "+visible(y[j]))
			j++
		}
	}
	return out
}

// visible shows what a text would hide: control characters, what has no width, and
// what turns the direction of writing.
func visible(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "�") {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0xad || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f ||
			r == 0xfeff || r >= 0xe0000 && r <= 0xe0fff || r >= 0xfe00 && r <= 0xfe0f:
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// first is a text's first line, not too long.
func first(s string) string {
	s, _, _ = strings.Cut(s, "⟨U+000A⟩")
	if r := []rune(s); len(r) > 160 {
		return string(r[:160]) + "…"
	}
	return s
}

// Changes says what is different in what the connection shows from what was
// accepted; nil if nothing is.
func (c Connection) Changes() []string {
	if c.seen == nil {
		return nil
	}
	var was mcp.Listing
	if c.accepted != nil {
		was = *c.accepted
	}
	return Diff(was, *c.seen)
}
