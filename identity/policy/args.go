package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mostDepth is how deep arguments may be nested and still be judged.
const mostDepth = 32

// parseArgs reads the arguments of a call; none is an empty object. It refuses
// what two readers may read differently: members whose names differ only in
// case (Go fills a struct regardless of case) or are there twice.
func parseArgs(raw json.RawMessage) (map[string]any, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return map[string]any{}, nil
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("the arguments are not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		return nil, fmt.Errorf("read arguments: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is something behind the arguments")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the arguments are not an object")
	}
	return m, nil
}

func readValue(d *json.Decoder, depth int) (any, error) {
	if depth > mostDepth {
		return nil, fmt.Errorf("nested deeper than %d", mostDepth)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return readObject(d, depth)
	case json.Delim('['):
		var all []any
		for d.More() {
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		_, err := d.Token()
		return all, err
	}
	return t, nil
}

func readObject(d *json.Decoder, depth int) (any, error) {
	m, folded := map[string]any{}, map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("a name is not a string")
		}
		// Upper and lower meet letters such as the Kelvin sign that lower alone misses.
		key := strings.ToLower(strings.ToUpper(name))
		if folded[key] {
			return nil, fmt.Errorf("%q is there twice", cut(name))
		}
		folded[key] = true
		if m[name], err = readValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return m, err
}

// lookup finds the argument of a rule's name; dots reach inside.
func lookup(args map[string]any, name string) (any, bool) {
	var v any = args
	for _, part := range strings.Split(name, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[part]; !ok {
			return nil, false
		}
	}
	return v, true
}

// textOf is an argument that can be compared with texts: a string, or a boolean
// by its word. Numbers are not, because 5 and 5.0 are one.
func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// numberOf is an argument that is a number, exactly.
func numberOf(v any) (*big.Float, bool) {
	n, ok := v.(json.Number)
	if !ok || len(n) > 40 {
		return nil, false
	}
	if _, err := n.Float64(); err != nil { // out of range
		return nil, false
	}
	f, _, err := big.ParseFloat(string(n), 10, 256, big.ToNearestEven)
	return f, err == nil
}

// Outcomes of comparing an argument with a rule.
const (
	fits    = 1
	differs = 0
	unsure  = -1 // it is missing, of another type, or nothing that can be judged
)

// compare holds an argument to a rule.
func compare(r ArgRule, v any, given bool) int {
	if !given {
		return unsure
	}
	text, isText := textOf(v)
	switch {
	case len(r.Only) > 0:
		members, ok := v.(map[string]any)
		if !ok {
			return unsure
		}
		for name := range members {
			if !slices.Contains(r.Only, name) {
				return differs
			}
		}
		return fits
	case r.Min != nil || r.Max != nil:
		n, ok := numberOf(v)
		if !ok {
			return unsure
		}
		return holds((r.Min == nil || n.Cmp(big.NewFloat(*r.Min)) >= 0) && (r.Max == nil || n.Cmp(big.NewFloat(*r.Max)) <= 0))
	case !isText:
		return unsure
	case r.Equals != nil:
		return holds(text == *r.Equals)
	case len(r.OneOf) > 0:
		for _, o := range r.OneOf {
			if text == o {
				return fits
			}
		}
		return differs
	case r.Prefix != "":
		return holds(strings.HasPrefix(text, r.Prefix))
	case r.Host != "":
		host, ok := hostOf(text)
		if !ok {
			return unsure
		}
		return holds(hostFits(r.Host, host))
	}
	return unsure
}

func holds(b bool) int {
	if b {
		return fits
	}
	return differs
}

// hostOf is the host that a URL reaches, lower case, without a dot at its end.
// It is sure of http and https at their own ports only, without a user, and of
// ASCII names and IPv4 addresses only: whatever programs read differently is none.
func hostOf(raw string) (string, bool) {
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c == '\\' || c >= 0x7f {
			return "", false
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Opaque != "" || len(raw) > 8192 {
		return "", false
	}
	port, isPort := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	// The colon of an empty port stays in u.Host, and so fails to be a name below.
	if !isPort || u.Port() != "" && u.Port() != port {
		return "", false
	}
	host := strings.TrimSuffix(u.Host, ":"+port)
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host, goodHost(host)
}

// goodHost accepts names of letters, digits and hyphens, and IPv4 addresses in
// their one usual form.
func goodHost(host string) bool {
	labels := strings.Split(host, ".")
	if len(host) > 253 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if c := l[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	// A name whose last label begins with a digit is read as an address, in many forms.
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		a, err := netip.ParseAddr(host)
		return err == nil && a.Is4()
	}
	return true
}

// goodHostPattern accepts a host, or *. and the name that its hosts end in.
func goodHostPattern(pattern string) bool {
	name, wild := strings.CutPrefix(pattern, "*.")
	if !goodHost(name) {
		return false
	}
	_, err := netip.ParseAddr(name)
	return !wild || err != nil && strings.Contains(name, ".") // not all of com
}

func hostFits(pattern, host string) bool {
	if name, wild := strings.CutPrefix(pattern, "*"); wild {
		return strings.HasSuffix(host, name) && len(host) > len(name)
	}
	return host == pattern
}
