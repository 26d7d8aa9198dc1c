package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// mostState bounds a file, in bytes.
const mostState = 4 << 20

// ParseState reads a file as YAML writes it. Everything that is wrong is in one
// *StateError, and then nothing of it counts.
func ParseState(text []byte, now time.Time) (State, error) {
	r := &stateReader{now: now}
	if root := r.document(text); root != nil {
		r.state(root)
	}
	if len(r.found) > 0 {
		slices.SortStableFunc(r.found, func(a, b Problem) int { return a.Line - b.Line })
		return State{}, &StateError{r.found}
	}
	return r.read, nil
}

type stateReader struct {
	now   time.Time
	read  State
	found []Problem

	// Where names were first seen, by line.
	ids, bundles map[string]int
}

func (r *stateReader) add(line int, field, format string, args ...any) {
	r.found = append(r.found, Problem{line, field, fmt.Sprintf(format, args...)})
}

// document is the root of the one document in the file.
func (r *stateReader) document(text []byte) *yaml.Node {
	if len(text) > mostState {
		r.add(1, "", "the file is longer than %d bytes", mostState)
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		r.add(1, "", "the file is empty; that would take everything from the agent: say `grants: []` if you mean it")
		return nil
	case err != nil:
		r.unreadable(err)
		return nil
	}
	// What stands in a second document would be left out without a word.
	if err := d.Decode(&more); err == nil {
		r.add(more.Line, "", "a second document begins here; put everything into one")
	} else if !errors.Is(err, io.EOF) {
		r.unreadable(err)
	}
	r.noAliases(doc.Content[0])
	if len(r.found) > 0 {
		return nil
	}
	return doc.Content[0]
}

// unreadable adds what the YAML library said: "yaml: line 3: …".
func (r *stateReader) unreadable(err error) {
	line, text := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	var n int
	if _, err := fmt.Sscanf(text, "line %d:", &n); err == nil && n > 0 {
		_, rest, _ := strings.Cut(text, ": ")
		line, text = n, rest
	}
	r.add(line, "", "this is not YAML: %s", text)
}

// noAliases refuses what makes one line mean what another says: a reviewer of a
// diff would not see it.
func (r *stateReader) noAliases(n *yaml.Node) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.add(n.Line, "", "anchors and aliases are not used here: write it out")
		return
	}
	for _, c := range n.Content {
		r.noAliases(c)
	}
}

func (r *stateReader) state(root *yaml.Node) {
	r.ids, r.bundles = map[string]int{}, map[string]int{}
	var version, bundles, grants *yaml.Node
	r.each(root, "the file", func(key, value *yaml.Node) bool {
		switch key.Value {
		case "version":
			version = value
		case "bundles":
			bundles = value
		case "grants":
			grants = value
		default:
			return false
		}
		return true
	})
	if root.Kind != yaml.MappingNode {
		return
	}
	switch {
	case version == nil:
		r.add(root.Line, "version", "is missing; write version: %d", stateVersion)
	case !r.decode(version, &r.read.Version, "version"):
	case r.read.Version != stateVersion:
		r.add(version.Line, "version", "this program reads version %d", stateVersion)
	}
	for _, n := range r.list(bundles, "bundles") {
		r.bundle(n)
	}
	if grants == nil {
		r.add(root.Line, "grants", "is missing; that would take everything from the agent: say `grants: []` if you mean it")
	}
	for _, n := range r.list(grants, "grants") {
		r.grant(n)
	}
}

func (r *stateReader) bundle(n *yaml.Node) {
	var b Bundle
	lines, bad := r.fields(n, &b, "a bundle")
	if lines == nil {
		return
	}
	checked := b
	checked.Workspace = "T" // a file has none
	r.checked(n, lines, bad, checkBundle(checked))
	if first, twice := r.bundles[b.Name]; twice {
		r.add(lines["name"], "name", "the bundle %s is there already, in line %d", cut(b.Name), first)
	} else if b.Name != "" {
		r.bundles[b.Name] = lines["name"]
	}
	r.read.Bundles = append(r.read.Bundles, b)
}

func (r *stateReader) grant(n *yaml.Node) {
	var g Grant
	lines, bad := r.fields(n, &g, "a grant")
	if lines == nil {
		return
	}
	checked := g
	if checked.ExpiresAt.IsZero() {
		checked.ExpiresAt = r.now.Add(maxLife) // as it will be
	}
	r.checked(n, lines, bad, Check(checked, r.now))
	if first, twice := r.ids[g.ID]; twice {
		r.add(lines["id"], "id", "%s is there already, in line %d", cut(g.ID), first)
	} else if g.ID != "" {
		r.ids[g.ID] = lines["id"]
	}
	if _, known := r.bundles[g.Bundle]; g.Bundle != "" && !known && !bad["bundle"] {
		r.add(lines["bundle"], "bundle", "%s is not among the bundles of the file", cut(g.Bundle))
	}
	r.read.Grants = append(r.read.Grants, g)
}

// checked adds what a check found, each at the line of the field that it names,
// but for fields that could not be read.
func (r *stateReader) checked(n *yaml.Node, lines map[string]int, bad map[string]bool, found []string) {
	for _, p := range found {
		field, text, _ := strings.Cut(p, ": ")
		line, skip := 0, false
		for _, name := range strings.Split(field, ", ") { // some name several
			skip = skip || bad[name]
			if line == 0 {
				line = lines[name]
			}
		}
		if rule, _, ok := strings.Cut(text, ": "); ok && field == "args" && lines["args."+rule] > 0 {
			line = lines["args."+rule]
		}
		if line == 0 {
			line = n.Line // it is missing
		}
		if !skip {
			r.add(line, field, "%s", text)
		}
	}
}

// each hands the pairs of a mapping to take, which reports whether it knows the
// key. Keys that are there twice are refused, and not taken again.
func (r *stateReader) each(n *yaml.Node, what string, take func(key, value *yaml.Node) bool) {
	if n.Kind != yaml.MappingNode {
		r.add(n.Line, "", "%s must have names and values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.ScalarNode && seen[key.Value] {
			r.add(key.Line, cut(key.Value), "is there twice")
			continue
		}
		seen[key.Value] = true
		if key.Kind != yaml.ScalarNode || !take(key, value) {
			r.add(key.Line, cut(key.Value), "%s has no such field", what)
		}
	}
}

func (r *stateReader) list(n *yaml.Node, field string) []*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.add(n.Line, field, "must be a list")
		return nil
	}
	return n.Content
}

// fields reads a mapping into the struct at out. lines tells where each field
// stands ("args.NAME": the rule for that argument), bad which could not be read;
// lines is nil if n is no mapping.
func (r *stateReader) fields(n *yaml.Node, out any, what string) (lines map[string]int, bad map[string]bool) {
	if n.Kind != yaml.MappingNode {
		r.add(n.Line, "", "%s must have names and values", what)
		return nil, nil
	}
	lines, bad = map[string]int{}, map[string]bool{}
	places := map[string]reflect.Value{}
	v := reflect.ValueOf(out).Elem()
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); name != "-" && name != "" {
			places[name] = v.Field(i)
		}
	}
	r.each(n, what, func(key, value *yaml.Node) bool {
		name := key.Value
		place, ok := places[name]
		if !ok {
			return false
		}
		lines[name] = value.Line
		if rules, ok := place.Addr().Interface().(*[]ArgRule); ok {
			for _, item := range r.list(value, name) {
				var rule ArgRule
				_, badRule := r.fields(item, &rule, "a rule of args")
				if len(badRule) > 0 {
					bad[name] = true
				}
				if rule.Name != "" {
					lines["args."+cut(rule.Name)] = item.Line
				}
				*rules = append(*rules, rule)
			}
			bad[name] = bad[name] || value.Kind != yaml.SequenceNode
		} else if !r.decode(value, place.Addr().Interface(), name) {
			bad[name] = true
		}
		return true
	})
	return lines, bad
}

// decode reads one value into out, and reports whether it could. The YAML library
// alone would round 1.9 to 1, and take nothing for an empty text.
func (r *stateReader) decode(n *yaml.Node, out any, field string) bool {
	fits := func(kind yaml.Kind, tags ...string) bool {
		return n.Kind == kind && (len(tags) == 0 || slices.Contains(tags, n.ShortTag()))
	}
	texts := []string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!binary"}
	ok, want := false, ""
	switch out := out.(type) {
	case *string, **string:
		ok, want = fits(yaml.ScalarNode, texts...), "a text"
	case *int, *int64:
		ok, want = fits(yaml.ScalarNode, "!!int"), "a whole number"
	case **float64:
		ok, want = fits(yaml.ScalarNode, "!!int", "!!float"), "a number"
	case *Duration:
		ok, want = fits(yaml.ScalarNode, "!!str"), "a duration such as 24h"
	case *time.Time:
		ok, want = fits(yaml.ScalarNode, "!!timestamp", "!!str"), "a time such as 2026-12-31T18:00:00Z"
		if day, err := time.Parse(time.DateOnly, n.Value); ok && err == nil {
			*out = day.AddDate(0, 0, 1) // the end of the day, as on the command line
			return true
		}
	case *[]string:
		ok, want = fits(yaml.SequenceNode), "a list of texts"
		for _, item := range n.Content {
			ok = ok && item.Kind == yaml.ScalarNode && slices.Contains(texts, item.ShortTag())
		}
	default:
		ok, want = true, "another kind of value"
	}
	if !ok || n.Decode(out) != nil {
		r.add(n.Line, field, "must be %s", want)
		return false
	}
	if texts, ok := out.(*[]string); ok && len(*texts) == 0 {
		*texts = nil // as if it was left out, and as the store gives it
	}
	return true
}
