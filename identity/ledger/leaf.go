package ledger

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// leafVersion grows when the meaning of a leaf changes; old entries keep theirs.
const leafVersion = 1

// mostLeaf bounds a leaf, in bytes. What is longer belongs into a payload.
const mostLeaf = 64 << 10

// maxInteger is the largest integer that RFC 8785 can write: 2^53 - 1.
const maxInteger = 1<<53 - 1

// leaf is the content of an entry: what is hashed. Its text is JSON in the
// canonical form of RFC 8785 (sorted names, no insignificant space, one way to
// write each string), so that anyone can rebuild it from its parts. Empty fields
// are absent.
type leaf struct {
	Seq int64
	At  int64 // microseconds since 1970 UTC
	Record
	MACs map[string]string // of the erasable texts: name → HMAC-SHA256, hexadecimal
}

// appendTo writes the leaf after b. The names are in sorted order.
func (f *leaf) appendTo(b []byte) []byte {
	e := encoder{b: append(b, '{')}
	e.text("action", f.Action)
	e.text("actor", f.Actor)
	e.text("agent", f.Agent)
	e.number("at", f.At)
	e.text("cause", f.Cause)
	e.text("channel", f.Channel)
	e.text("class", f.Class)
	e.text("decision", f.Decision)
	e.texts("fields", f.Fields)
	e.text("kind", f.Kind)
	e.text("outcome", f.Outcome)
	e.texts("payload", f.MACs)
	e.list("reasons", f.Reasons)
	if f.Ref != nil {
		e.number("ref", *f.Ref)
	}
	e.text("requester", f.Requester)
	e.number("seq", f.Seq)
	e.text("target", f.Target)
	e.text("thread", f.Thread)
	e.text("tool", f.Tool)
	e.text("turn", f.Turn)
	e.number("v", leafVersion)
	e.text("workspace", f.Workspace)
	return append(e.b, '}')
}

// encoder writes the members of a JSON object.
type encoder struct{ b []byte }

func (e *encoder) name(name string) {
	if c := e.b[len(e.b)-1]; c != '{' {
		e.b = append(e.b, ',')
	}
	e.b = append(appendString(e.b, name), ':')
}

func (e *encoder) text(name, s string) {
	if s != "" {
		e.name(name)
		e.b = appendString(e.b, s)
	}
}

func (e *encoder) number(name string, n int64) {
	e.name(name)
	e.b = strconv.AppendInt(e.b, n, 10)
}

func (e *encoder) list(name string, all []string) {
	if len(all) == 0 {
		return
	}
	e.name(name)
	e.b = append(e.b, '[')
	for i, s := range all {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = appendString(e.b, s)
	}
	e.b = append(e.b, ']')
}

func (e *encoder) texts(name string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	e.name(name)
	e.b = append(e.b, '{')
	for _, k := range sortedKeys(m) {
		e.name(k)
		e.b = appendString(e.b, m[k])
	}
	e.b = append(e.b, '}')
}

const hexDigits = "0123456789abcdef"

// shortEscapes are the control characters that have an escape of their own:
// RFC 8785 §3.2.2.2.
var shortEscapes = [...]byte{'\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r'}

// appendString writes s, which must be valid UTF-8, as RFC 8785 §3.2.2.2 says.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	plain := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[plain:i]...)
		plain = i + 1
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case int(c) < len(shortEscapes) && shortEscapes[c] != 0:
			b = append(b, '\\', shortEscapes[c])
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(b, s[plain:]...), '"')
}

// sortedKeys are the keys of m in the order of RFC 8785, which for the ASCII
// names that Append allows is that of their bytes.
func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// validName says whether a name of a field or payload is one: letters, digits
// and "_.-:", at most 64 of them.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-:", c) >= 0 {
			continue
		}
		return false
	}
	return s != "" && len(s) <= 64
}

// decodeLeaf reads the text of a leaf. It takes the canonical form and nothing
// else: what decodes gives the same text when it is encoded again.
func decodeLeaf(text string) (leaf, error) {
	var f leaf
	if !utf8.ValidString(text) {
		return f, errors.New("decode leaf: not UTF-8")
	}
	d := decoder{s: text}
	d.open('{')
	f.Action = d.text("action")
	f.Actor = d.text("actor")
	f.Agent = d.text("agent")
	f.At = d.number("at")
	f.Cause = d.text("cause")
	f.Channel = d.text("channel")
	f.Class = d.text("class")
	f.Decision = d.text("decision")
	f.Fields = d.texts("fields")
	f.Kind = d.text("kind")
	f.Outcome = d.text("outcome")
	f.MACs = d.texts("payload")
	f.Reasons = d.list("reasons")
	if d.has("ref") {
		ref := d.integer()
		f.Ref = &ref
	}
	f.Requester = d.text("requester")
	f.Seq = d.number("seq")
	f.Target = d.text("target")
	f.Thread = d.text("thread")
	f.Tool = d.text("tool")
	f.Turn = d.text("turn")
	version := d.number("v")
	f.Workspace = d.text("workspace")
	d.close('}')
	switch {
	case d.err == nil && d.i != len(text):
		d.fail("something follows the leaf")
	case d.err == nil && version != leafVersion:
		d.fail("version " + strconv.FormatInt(version, 10) + " is not known")
	}
	if d.err != nil {
		return leaf{}, fmt.Errorf("decode leaf: %w", d.err)
	}
	return f, nil
}

// decoder reads canonical JSON members in a known order. After the first error
// it reads nothing more.
type decoder struct {
	s     string
	i     int
	first bool // no member of the innermost object or list was read yet
	err   error
}

func (d *decoder) fail(why string) {
	if d.err == nil {
		d.err = fmt.Errorf("byte %d: %s", d.i, why)
	}
}

func (d *decoder) skip(c byte) bool {
	if d.err != nil || d.i >= len(d.s) || d.s[d.i] != c {
		return false
	}
	d.i++
	return true
}

func (d *decoder) open(c byte) {
	if !d.skip(c) {
		d.fail("expected " + string(rune(c)))
	}
	d.first = true
}

func (d *decoder) close(c byte) {
	if !d.skip(c) {
		d.fail("not a canonical leaf")
	}
	d.first = false
}

// has reads the comma, name and colon of a member, if it is the next one.
func (d *decoder) has(name string) bool {
	rest := d.s[d.i:]
	n := 0
	if !d.first {
		n = 1
	}
	end := n + 1 + len(name)
	if d.err != nil || len(rest) < end+2 || n == 1 && rest[0] != ',' || rest[n] != '"' ||
		rest[n+1:end] != name || rest[end] != '"' || rest[end+1] != ':' {
		return false
	}
	d.i += end + 2
	d.first = false
	return true
}

func (d *decoder) text(name string) string {
	if !d.has(name) {
		return ""
	}
	s := d.str()
	if s == "" {
		d.fail("an empty field should be absent")
	}
	return s
}

func (d *decoder) number(name string) int64 {
	if !d.has(name) {
		d.fail(name + " is missing, or fields are out of order")
		return 0
	}
	return d.integer()
}

func (d *decoder) integer() int64 {
	start := d.i
	for d.i < len(d.s) && (d.s[d.i] >= '0' && d.s[d.i] <= '9' || d.i == start && d.s[d.i] == '-') {
		d.i++
	}
	text := d.s[start:d.i]
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxInteger || n < -maxInteger || strconv.FormatInt(n, 10) != text {
		d.fail("not a canonical integer")
	}
	return n
}

func (d *decoder) list(name string) []string {
	if !d.has(name) {
		return nil
	}
	var all []string
	for d.open('['); d.err == nil && !d.skip(']'); {
		if len(all) > 0 && !d.skip(',') {
			d.fail("expected a comma")
		}
		all = append(all, d.str())
	}
	if len(all) == 0 {
		d.fail("an empty list should be absent")
	}
	d.first = false
	return all
}

func (d *decoder) texts(name string) map[string]string {
	if !d.has(name) {
		return nil
	}
	m := map[string]string{}
	last := ""
	for d.open('{'); d.err == nil && !d.skip('}'); {
		if len(m) > 0 && !d.skip(',') {
			d.fail("expected a comma")
		}
		key := d.str()
		if !validName(key) || key <= last {
			d.fail("not a name, or names out of order")
		}
		if !d.skip(':') {
			d.fail("expected a colon")
		}
		last = key
		m[key] = d.str()
	}
	if len(m) == 0 {
		d.fail("an empty object should be absent")
	}
	d.first = false
	return m
}

// str reads a string. Without escapes it is a part of the text, not a copy.
func (d *decoder) str() string {
	if !d.skip('"') {
		d.fail("expected a string")
		return ""
	}
	start := d.i
	for d.i < len(d.s) {
		switch c := d.s[d.i]; {
		case c == '"':
			d.i++
			return d.s[start : d.i-1]
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			d.fail("a control character is not escaped")
			return ""
		}
		d.i++
	}
	d.fail("the string does not end")
	return ""
}

// escaped reads the rest of a string that has escapes, and compares it with the
// one way to write what it says.
func (d *decoder) escaped(start int) string {
	var b []byte
	b = append(b, d.s[start:d.i]...)
	for d.i < len(d.s) && d.s[d.i] != '"' {
		if d.s[d.i] != '\\' {
			b = append(b, d.s[d.i])
			d.i++
			continue
		}
		c, n := unescape(d.s[d.i:])
		if n == 0 {
			d.fail("not a canonical escape")
			return ""
		}
		b = append(b, c)
		d.i += n
	}
	d.i++
	s := string(b)
	if d.i > len(d.s) || d.s[start-1:d.i] != string(appendString(nil, s)) {
		d.i = start
		d.fail("not a canonical string")
		return ""
	}
	return s
}

// unescape reads one escape and says how long it is; 0 if it is none of ours.
func unescape(s string) (c byte, n int) {
	if len(s) < 2 {
		return 0, 0
	}
	if s[1] == '"' || s[1] == '\\' {
		return s[1], 2
	}
	for c, short := range shortEscapes {
		if short != 0 && short == s[1] {
			return byte(c), 2
		}
	}
	if len(s) < 6 || s[1] != 'u' {
		return 0, 0
	}
	v, err := strconv.ParseUint(s[2:6], 16, 16)
	if err != nil || v >= ' ' {
		return 0, 0
	}
	return byte(v), 6
}
