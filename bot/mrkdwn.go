package bot

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	gtext "github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// Mrkdwn turns Markdown, as a model writes it, into Slack's mrkdwn. Everything
// that Slack would act on is escaped: of mentions only those of the users in
// allowed survive, of links only http, https and mailto, and <!channel> and its
// like never do, wherever they stand.
// Source: docs.slack.dev/messaging/formatting-message-text.
func Mrkdwn(markdown string, allowed ...string) string {
	source := []byte(shield(clean(markdown), allowed))
	extensions := []goldmark.Extender{extension.Strikethrough, extension.Linkify, extension.TaskList}
	if cells(source) <= maxCells {
		extensions = append(extensions, extension.Table)
	}
	doc := goldmark.New(goldmark.WithExtensions(extensions...)).Parser().Parse(gtext.NewReader(source))
	w := &mrkdwn{source: source}
	return unshield(strings.Trim(w.blocks(doc, ""), "\n"), allowed)
}

// Tables grow when they are parsed (every row gets as many cells as the first
// has) and when they are aligned; these bound both.
const (
	maxCells = 20000
	maxWidth = 200 // of a table that is aligned, in runes
)

// cells is how many cells the tables in source may have at most.
func cells(source []byte) int {
	rows, columns := 0, 0
	for line := range bytes.Lines(source) {
		if n := bytes.Count(line, []byte("|")); n > 0 {
			rows++
			columns = max(columns, n+1)
		}
	}
	return rows * columns
}

// Tokens that may pass stand between these two while the text is Markdown: they
// are private-use characters, which are taken out of the text before.
const (
	shieldOpen  = "\uE000"
	shieldClose = "\uE001"
)

var (
	token    = regexp.MustCompile(`<(@[UW][A-Z0-9]+|#[CG][A-Z0-9]+)(?:\|[^<>\n]*)?>`)
	shielded = regexp.MustCompile(shieldOpen + `([@#][A-Z0-9]+)` + shieldClose)
)

// shield marks the tokens that may pass.
func shield(s string, allowed []string) string {
	s = strings.NewReplacer(shieldOpen, "", shieldClose, "").Replace(s)
	return token.ReplaceAllStringFunc(s, func(t string) string {
		name := token.FindStringSubmatch(t)[1]
		if !passes(name, allowed) {
			if _, label, named := strings.Cut(strings.Trim(t, "<>"), "|"); named && label != "" {
				return "@" + strings.TrimPrefix(label, "@") // told by name, and not notified
			}
			return t
		}
		return shieldOpen + name + shieldClose
	})
}

// unshield turns marked tokens back. It asks again whether they may pass: the
// Markdown may have made the marks out of character references.
func unshield(s string, allowed []string) string {
	s = shielded.ReplaceAllStringFunc(s, func(t string) string {
		name := shielded.FindStringSubmatch(t)[1]
		if !passes(name, allowed) {
			return escape("<" + name + ">")
		}
		return "<" + name + ">"
	})
	return strings.NewReplacer(shieldOpen, "", shieldClose, "").Replace(s)
}

// passes reports whether a token may reach Slack as such: mentions of allowed
// users, and links to channels, which notify nobody.
func passes(name string, allowed []string) bool {
	return name[0] == '#' || slices.Contains(allowed, name[1:])
}

// literal is text as it should read, with nothing in it that Slack acts on.
func literal(s string) string {
	return escape(shielded.ReplaceAllString(s, "<$1>"))
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// prose is text outside code: escaped, tokens still shielded. Its backticks are
// none that began code, so they are kept from doing so in Slack.
func prose(s string) string { return strings.ReplaceAll(escape(s), "`", "`\u200b") }

// resolve undoes the escapes and character references of Markdown.
func resolve(s string) string {
	return string(util.ResolveEntityNames(util.ResolveNumericReferences(util.UnescapePunctuations([]byte(s)))))
}

// mrkdwn renders one document.
type mrkdwn struct{ source []byte }

// blocks renders the block children of n; every line after the first of a block
// begins with indent.
func (w *mrkdwn) blocks(n ast.Node, indent string) string {
	var parts []string
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if s := w.block(c, indent); s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, "\n\n"+indent)
}

func (w *mrkdwn) block(n ast.Node, indent string) string {
	switch n := n.(type) {
	case *ast.Heading:
		return bold(w.inline(n, style{bold: true}))
	case *ast.Paragraph, *ast.TextBlock:
		return strings.ReplaceAll(w.inline(n, style{}), "\n", "\n"+indent)
	case *ast.FencedCodeBlock, *ast.CodeBlock:
		return w.fence(w.lines(n))
	case *ast.HTMLBlock:
		s := w.lines(n)
		if n.HasClosure() {
			s += string(n.ClosureLine.Value(w.source))
		}
		return strings.ReplaceAll(literal(strings.TrimRight(s, "\n")), "\n", "\n"+indent)
	case *ast.Blockquote:
		return "> " + strings.ReplaceAll(w.blocks(n, ""), "\n", "\n> ")
	case *ast.List:
		return w.list(n, indent)
	case *ast.ThematicBreak:
		return "———"
	case *extast.Table:
		return w.table(n)
	}
	return w.blocks(n, indent)
}

// fence is a code block. Slack shows a language as a line of the code, so there
// is none; and a fence inside would end the block, so it is parted.
func (w *mrkdwn) fence(code string) string {
	code = strings.ReplaceAll(literal(strings.TrimRight(code, "\n")), "```", "`\u200b`\u200b`")
	return "```\n" + code + "\n```"
}

func (w *mrkdwn) list(l *ast.List, indent string) string {
	var b strings.Builder
	number := l.Start
	for c := l.FirstChild(); c != nil; c = c.NextSibling() {
		if b.Len() > 0 {
			b.WriteString("\n" + indent)
		}
		mark := "• "
		if l.IsOrdered() {
			mark = fmt.Sprintf("%d. ", number)
			number++
		}
		// Four spaces a level: Slack shows them as they are.
		inner := indent + "    "
		var parts []string
		for g := c.FirstChild(); g != nil; g = g.NextSibling() {
			if s := w.block(g, inner); s != "" {
				parts = append(parts, s)
			}
		}
		b.WriteString(mark + strings.Join(parts, "\n"+inner))
	}
	return b.String()
}

// table is a table as aligned text in a code block, as Slack has none in mrkdwn.
func (w *mrkdwn) table(t *extast.Table) string {
	var rows [][]string
	var width []int
	for r := t.FirstChild(); r != nil; r = r.NextSibling() {
		var row []string
		for c := r.FirstChild(); c != nil; c = c.NextSibling() {
			cell := strings.Join(strings.Fields(w.plain(c)), " ")
			if len(row) == len(width) {
				width = append(width, 0)
			}
			width[len(row)] = max(width[len(row)], utf8.RuneCountInString(cell))
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	total := 0
	for _, n := range width {
		total += n + 3
	}
	if total > maxWidth {
		clear(width) // too wide to be read as columns anyway
	}
	var b strings.Builder
	for i, row := range rows {
		var line strings.Builder
		for j, cell := range row {
			if j > 0 {
				line.WriteString(" | ")
			}
			pad := strings.Repeat(" ", max(0, width[j]-utf8.RuneCountInString(cell)))
			if j < len(t.Alignments) && t.Alignments[j] == extast.AlignRight {
				cell = pad + cell
			} else {
				cell += pad
			}
			line.WriteString(cell)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		if i == 0 && total <= maxWidth {
			rule := make([]string, len(width))
			for j, n := range width {
				rule[j] = strings.Repeat("-", n)
			}
			b.WriteString(strings.Join(rule, "-|-") + "\n")
		}
	}
	return w.fence(b.String())
}

// style says which marks are already on: Slack has no nesting of the same.
type style struct{ bold, italic, strike bool }

// inline renders the inline children of n.
func (w *mrkdwn) inline(n ast.Node, s style) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		b.WriteString(w.span(c, s))
	}
	return b.String()
}

func (w *mrkdwn) span(n ast.Node, s style) string {
	switch n := n.(type) {
	case *ast.Text:
		text := prose(w.text(n))
		if n.SoftLineBreak() || n.HardLineBreak() {
			text += "\n"
		}
		return text
	case *ast.String:
		return prose(string(n.Value))
	case *ast.CodeSpan:
		return code(w.plain(n))
	case *ast.Emphasis:
		if n.Level >= 2 {
			inner := s
			inner.bold = true
			if s.bold {
				return w.inline(n, inner)
			}
			return bold(w.inline(n, inner))
		}
		inner := s
		inner.italic = true
		if s.italic {
			return w.inline(n, inner)
		}
		return around(w.inline(n, inner), "_")
	case *extast.Strikethrough:
		inner := s
		inner.strike = true
		if s.strike {
			return w.inline(n, inner)
		}
		return around(w.inline(n, inner), "~")
	case *ast.Link:
		return w.link(string(n.Destination), w.plain(n))
	case *ast.Image:
		return w.link(string(n.Destination), w.plain(n))
	case *ast.AutoLink:
		dest := string(n.URL(w.source))
		if n.AutoLinkType == ast.AutoLinkEmail && !strings.HasPrefix(strings.ToLower(dest), "mailto:") {
			dest = "mailto:" + dest
		}
		return w.link(dest, string(n.Label(w.source)))
	case *ast.RawHTML:
		var b strings.Builder
		for i := range n.Segments.Len() {
			seg := n.Segments.At(i)
			b.Write(seg.Value(w.source))
		}
		return literal(b.String())
	case *extast.TaskCheckBox:
		if n.IsChecked {
			return "☑ "
		}
		return "☐ "
	}
	return w.inline(n, s)
}

// text is the value of a text node with its backslash escapes and entities
// resolved.
func (w *mrkdwn) text(n *ast.Text) string {
	raw := string(n.Segment.Value(w.source))
	if n.IsRaw() {
		return raw
	}
	return resolve(raw)
}

// plain is the text of n without any marks, tokens still shielded.
func (w *mrkdwn) plain(n ast.Node) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			if _, inCode := n.(*ast.CodeSpan); inCode {
				b.Write(c.Segment.Value(w.source))
			} else {
				b.WriteString(w.text(c))
			}
			if c.SoftLineBreak() || c.HardLineBreak() {
				b.WriteString(" ")
			}
		case *ast.String:
			b.Write(c.Value)
		case *ast.AutoLink:
			b.Write(c.Label(w.source))
		case *ast.RawHTML:
			for i := range c.Segments.Len() {
				seg := c.Segments.At(i)
				b.Write(seg.Value(w.source))
			}
		default:
			b.WriteString(w.plain(c))
		}
	}
	return b.String()
}

func (w *mrkdwn) lines(n ast.Node) string {
	var b strings.Builder
	lines := n.Lines()
	for i := range lines.Len() {
		seg := lines.At(i)
		b.Write(seg.Value(w.source))
	}
	return b.String()
}

// link is <url|label>, or the label and the address as text where the address is
// none that Slack should make clickable.
func (w *mrkdwn) link(dest, label string) string {
	label = strings.Join(strings.Fields(label), " ")
	target, ok := safeURL(dest)
	if !ok {
		if label == "" || label == dest {
			return literal(dest)
		}
		return literal(label) + " (" + literal(dest) + ")"
	}
	if utf8.RuneCountInString(label) > maxLabel {
		return literal(label) + " <" + target + ">"
	}
	label = strings.NewReplacer("|", "¦", "`", "ˋ").Replace(literal(label))
	if label == "" || label == literal(dest) || "mailto:"+label == literal(dest) {
		return "<" + target + ">"
	}
	return "<" + target + "|" + label + ">"
}

// safeURL makes an address fit to stand between < and |.
func safeURL(dest string) (string, bool) {
	dest = shielded.ReplaceAllString(dest, "$1")
	u, err := url.Parse(strings.TrimSpace(dest))
	if err != nil {
		return "", false
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		if u.Host == "" {
			return "", false
		}
	case "mailto":
	default:
		return "", false
	}
	target := strings.NewReplacer("&", "&amp;", "<", "%3C", ">", "%3E", "|", "%7C", "\"", "%22", "`", "%60").
		Replace(strings.Join(strings.Fields(dest), "%20"))
	return target, len(target) <= maxURL
}

// maxURL (bytes) and maxLabel (runes) bound a link, which is never divided
// between two messages.
const (
	maxURL   = 1500
	maxLabel = 300
)

// bold and around put marks inside the spaces of s, else Slack shows them.
func bold(s string) string { return around(s, "*") }

func around(s, mark string) string {
	body := strings.TrimSpace(s)
	if body == "" {
		return s
	}
	start := strings.Index(s, body)
	// Marks do not reach over lines in Slack.
	lines := strings.Split(body, "\n")
	for i, l := range lines {
		if strings.TrimSpace(l) != "" {
			lines[i] = mark + strings.TrimSpace(l) + mark
		}
	}
	return s[:start] + strings.Join(lines, "\n") + s[start+len(body):]
}

// code is a code span.
func code(s string) string {
	s = strings.ReplaceAll(literal(strings.ReplaceAll(s, "\n", " ")), "`", "ˋ")
	if strings.TrimSpace(s) == "" {
		return s
	}
	return "`" + s + "`"
}
