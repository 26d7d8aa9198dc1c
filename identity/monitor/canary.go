package monitor

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode"
)

// leastCanary is how many letters and digits a canary has at least.
const leastCanary = 12

// Canary reports whether a text that is about to leave holds a planted secret:
// as it is, with other case, spaces, signs or invisible characters in between, or
// in base64 or hexadecimal. A hit is for LeakFinding, and the text is not sent.
func (m *Monitor) Canary(text string) bool {
	if len(m.c.needles) == 0 || m.c.rules[Canary].Off {
		return false
	}
	folded := fold(text) + " " + fold(unescaped(text))
	for _, n := range m.c.needles {
		if strings.Contains(folded, n) {
			return true
		}
	}
	return false
}

// unescaped are the strings in a JSON text, one after another; "" for other texts.
func unescaped(text string) string {
	if !json.Valid([]byte(text)) {
		return ""
	}
	var b strings.Builder
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if err != nil {
			return b.String()
		}
		if s, ok := token.(string); ok {
			b.WriteString(s)
		}
	}
}

// LeakFinding is the finding of an action whose arguments hold a canary. It does
// not say which.
func (m *Monitor) LeakFinding(f Facts) Finding {
	if f.At.IsZero() {
		f.At = m.db.Now()
	}
	found, _ := m.c.finding(Canary, f, "turn "+f.Turn+" tool "+f.Tool, 1, 1, "`"+f.Tool+"` was about to send a planted secret; it was not sent")
	return found
}

// fold is text with nothing but its letters and digits, in lower case.
func fold(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

// needles are the forms of a canary, folded. Of its base64 those parts are kept
// that do not depend on what stands before and after it, for each of the three
// places at which it can begin.
func needles(secret string) []string {
	all := []string{fold(secret), fold(hex.EncodeToString([]byte(secret)))}
	for before, skip := range []int{0, 2, 3} {
		raw := append(make([]byte, before), secret...)
		whole := len(raw) / 3 * 4 // characters of whole groups
		all = append(all, fold(base64.StdEncoding.EncodeToString(raw)[skip:whole]))
	}
	return all
}
