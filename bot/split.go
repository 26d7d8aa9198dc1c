package bot

import (
	"strings"
	"unicode/utf8"
)

// partLimit is the length of one message, in UTF-16 units: under the 4,000 that
// Slack advises for text and enforces for edits.
// Source: docs.slack.dev/reference/methods/chat.update.
const partLimit = 3800

// Split divides text into parts of at most limit UTF-16 units: between
// paragraphs where it can, else between lines, else between words, and in the
// middle of a word when there is nothing else. A code fence that is divided is
// closed and opened again with its language. It never divides an entity
// (&amp;), a <link>, a code point, or what is joined to it. Without fences the
// parts, with the line breaks between them, are the text.
func Split(text string, limit int) []string {
	limit = max(limit, 64)
	if units(text) <= limit {
		return []string{text}
	}
	s := splitter{limit: limit}
	for line := range strings.Lines(text) {
		s.add(line)
	}
	s.mark = 0 // what is left fits
	s.flush()
	return s.parts
}

// splitter collects lines into the current part.
type splitter struct {
	limit int
	parts []string
	cur   strings.Builder // the lines of the part so far, with their ends
	size  int             // units in cur
	mark  int             // length of cur at its last paragraph border, 0 for none
	open  string          // the fence line that is open, "" outside code
	began string          // the fence that was open when cur began
}

const fenceEnd = "```"

// room is what is left for text, with the closing fence counted in.
func (s *splitter) room() int {
	n := s.limit - s.size
	if s.open != "" {
		n -= len(fenceEnd) + 1
	}
	return n
}

func (s *splitter) add(line string) {
	isFence := strings.HasPrefix(strings.TrimSpace(line), fenceEnd)
	if isFence && s.open == "" {
		// An opening needs room for itself, some code and its end.
		if s.cur.Len() > 0 && s.room() < units(line)+40 {
			s.flush()
		}
		s.put(line)
		s.open = opening(line, s.limit)
		return
	}
	if isFence {
		s.open = ""
		if s.room() < units(strings.TrimRight(line, "\n")) {
			line = strings.TrimSpace(line) + "\n" // its place was kept free
		}
		s.put(line)
		return
	}
	for units(strings.TrimRight(line, "\n")) > s.room() {
		if s.cur.Len() > s.headLength() && units(line) <= s.fresh() {
			s.flush()
			continue
		}
		if s.room() < s.limit/4 && s.cur.Len() > s.headLength() {
			s.flush()
			continue
		}
		head, rest := cut(line, s.room())
		s.put(head)
		s.flush()
		line = rest
	}
	if s.open == "" && strings.TrimSpace(line) == "" && s.size > s.limit/2 {
		defer func() { s.mark = s.cur.Len() }()
	}
	s.put(line)
}

// fresh is the room of an empty part in the present fence.
func (s *splitter) fresh() int {
	if s.open == "" {
		return s.limit
	}
	return s.limit - units(s.open) - len(fenceEnd) - 1
}

// headLength is the length of what a part begins with before any text of its own.
func (s *splitter) headLength() int { return len(s.began) }

func (s *splitter) put(text string) {
	s.cur.WriteString(text)
	s.size += units(text)
}

// flush ends the current part: at its last paragraph border if it has one in its
// second half, else where it stands.
func (s *splitter) flush() {
	text, rest := s.cur.String(), ""
	if s.mark > 0 && s.mark < len(text) {
		text, rest = text[:s.mark], text[s.mark:]
	}
	if rest == "" && s.open != "" {
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += fenceEnd
	}
	if body := strings.Trim(text, "\n"); strings.TrimSpace(body) != "" {
		s.parts = append(s.parts, body)
	}
	s.cur.Reset()
	s.size, s.mark, s.began = 0, 0, ""
	if rest != "" {
		s.put(rest) // holds the opening of its own fence, if it is in one
		return
	}
	if s.open != "" {
		s.began = s.open
		s.put(s.open)
	}
}

// opening is the line that opens a divided fence again; a line too long to be a
// language is none.
func opening(line string, limit int) string {
	line = strings.TrimSpace(line)
	if units(line) > min(limit/4, 40) {
		line = fenceEnd
	}
	return line + "\n"
}

// cut divides a line so that head has at most n units, at the last space in its
// second half, else at the last place that is not inside something.
func cut(line string, n int) (head, rest string) {
	size, atom := 0, 0
	last, space := 0, 0
	for i := 0; i < len(line); i += atom {
		atom = atomLength(line[i:])
		w := units(line[i : i+atom])
		if size+w > n {
			break
		}
		size += w
		last = i + atom
		if line[i] == ' ' && size > n/2 {
			space = last
		}
	}
	switch {
	case space > 0:
		return line[:space], line[space:]
	case last > 0:
		return line[:last], line[last:]
	}
	// Something indivisible is longer than a part: a rune at a time, then.
	_, w := utf8.DecodeRuneInString(line)
	return line[:w], line[w:]
}

// atomLength is the length in bytes of the piece at the start of s that must stay
// in one part.
func atomLength(s string) int {
	switch s[0] {
	case '&':
		for _, e := range []string{"&amp;", "&lt;", "&gt;"} {
			if strings.HasPrefix(s, e) {
				return len(e)
			}
		}
	case '<':
		if end := strings.IndexByte(s, '>'); end > 0 && end <= maxURL+5*maxLabel*utf8.UTFMax && !strings.ContainsAny(s[:end], "\n") {
			return end + 1
		}
	}
	_, n := utf8.DecodeRuneInString(s)
	for n < len(s) && n < 64 {
		r, w := utf8.DecodeRuneInString(s[n:])
		switch {
		case r == 0x200D: // joiner: with what follows it
			_, next := utf8.DecodeRuneInString(s[n+w:])
			n += w + next
		case r >= 0xFE00 && r <= 0xFE0F, r >= 0x1F3FB && r <= 0x1F3FF, r >= 0x300 && r <= 0x36F, r == 0x20E3:
			n += w
		default:
			return n
		}
	}
	return n
}

// units is the length of s as Slack counts: UTF-16 units.
func units(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}
