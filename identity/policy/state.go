package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"deskmate/migrations"
)

// State is all access of one workspace: what `deskmate access export` writes and
// `plan` and `apply` read.
type State struct {
	Version int      `yaml:"version"` // of the form: 1
	Bundles []Bundle `yaml:"bundles,omitempty"`
	Grants  []Grant  `yaml:"grants"`
}

// stateVersion is the form that this program writes and reads.
const stateVersion = 1

// Problem is one thing that is wrong with a file.
type Problem struct {
	Line int    `json:"line"` // from 1
	Text string `json:"text"`
}

// StateError is a file that was refused as a whole, with everything that is wrong
// with it, by line.
type StateError struct{ Problems []Problem }

func (e *StateError) Error() string {
	all := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = fmt.Sprintf("line %d: %s", p.Line, p.Text)
	}
	return strings.Join(all, "\n")
}

// Export reads the access of a workspace: its bundles and the grants that stand.
func Export(ctx context.Context, e *Engine, workspace string) (State, error) {
	var s State
	err := e.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		s, _, err = exportTx(tx, workspace)
		return err
	})
	if err != nil {
		return s, fmt.Errorf("export access of %s: %w", workspace, err)
	}
	return s, nil
}

func exportTx(tx *migrations.Tx, workspace string) (State, int64, error) {
	s := State{Version: stateVersion}
	var err error
	if s.Bundles, err = loadBundles(tx, workspace); err != nil {
		return s, 0, err
	}
	all, err := loadGrants(tx, workspace, false)
	if err != nil {
		return s, 0, err
	}
	for _, g := range all {
		if !expired(g, tx.Now()) {
			s.Grants = append(s.Grants, g)
		}
	}
	slices.SortFunc(s.Grants, func(a, b Grant) int { return strings.Compare(a.ID, b.ID) })
	v, err := scanVersion(tx.QueryRow(versionQuery, workspace))
	return s, v, err
}

// YAML writes the state, always in the same order.
func (s State) YAML() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# What the agent may do: docs/access.md says what each line means.\n" +
		"# deskmate access plan -f FILE shows what applying it would change.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(s); err != nil {
		return nil, fmt.Errorf("write access as YAML: %w", err)
	}
	return b.Bytes(), nil
}

// ParseState reads a file as YAML writes it. Everything that is wrong is in one
// *StateError, and then nothing of it counts.
func ParseState(text []byte, now time.Time) (State, error) {
	r := &stateReader{now: now}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		r.yaml(err, 1)
		return State{}, r.err()
	}
	if len(doc.Content) == 0 {
		r.add(1, "the file is empty; that would take everything from the agent: say `grants: []` if you mean it")
		return State{}, r.err()
	}
	var s State
	root := doc.Content[0]
	r.known(root, State{}, "the file")
	for key, value := range members(root) {
		switch key.Value {
		case "version":
			if err := value.Decode(&s.Version); err != nil || s.Version != stateVersion {
				r.add(value.Line, "version: this program reads version %d", stateVersion)
			}
		case "bundles":
			for _, item := range r.list(value, "bundles") {
				if b, ok := readItem[Bundle](r, item, "bundle"); ok {
					r.problems(item, checkBundle(withWorkspace(b)))
					s.Bundles = append(s.Bundles, b)
				}
			}
		case "grants":
			for _, item := range r.list(value, "grants") {
				if g, ok := readItem[Grant](r, item, "grant"); ok {
					r.checkGrant(item, g)
					s.Grants = append(s.Grants, g)
				}
			}
		}
	}
	if s.Version == 0 {
		r.add(root.Line, "version: is missing; write version: %d", stateVersion)
	}
	r.together(root, s)
	return s, r.err()
}

func withWorkspace(b Bundle) Bundle { b.Workspace = "T"; return b }

type stateReader struct {
	now   time.Time
	found []Problem
}

func (r *stateReader) add(line int, format string, args ...any) {
	r.found = append(r.found, Problem{line, fmt.Sprintf(format, args...)})
}

func (r *stateReader) err() error {
	if len(r.found) == 0 {
		return nil
	}
	slices.SortStableFunc(r.found, func(a, b Problem) int { return a.Line - b.Line })
	return &StateError{r.found}
}

// yaml adds what the YAML library found, with its lines.
func (r *stateReader) yaml(err error, line int) {
	var typed *yaml.TypeError
	texts := []string{err.Error()}
	if errors.As(err, &typed) {
		texts = typed.Errors
	}
	for _, t := range texts {
		at := line
		t = strings.TrimPrefix(t, "yaml: ")
		if n, rest, ok := strings.Cut(strings.TrimPrefix(t, "line "), ": "); ok && strings.HasPrefix(t, "line ") {
			if _, err := fmt.Sscanf(n, "%d", &at); err == nil {
				t = rest
			}
		}
		r.add(at, "%s", t)
	}
}

// members are the pairs of a mapping.
func members(n *yaml.Node) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

func (r *stateReader) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.add(n.Line, "%s: must be a list", what)
		return nil
	}
	return n.Content
}

// known refuses keys that v has no place for, and keys that are there twice.
func (r *stateReader) known(n *yaml.Node, v any, what string) {
	if n.Kind != yaml.MappingNode {
		r.add(n.Line, "%s must have names and values", what)
		return
	}
	fields := map[string]reflect.StructField{}
	for f := range reflect.TypeOf(v).Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "-" && name != "" {
			fields[name] = f
		}
	}
	seen := map[string]bool{}
	for key, value := range members(n) {
		f, ok := fields[key.Value]
		switch {
		case !ok:
			r.add(key.Line, "%s: %s has no such field", key.Value, what)
		case seen[key.Value]:
			r.add(key.Line, "%s: is there twice", key.Value)
		case f.Type == reflect.TypeFor[[]ArgRule]() && value.Kind == yaml.SequenceNode:
			for _, rule := range value.Content {
				r.known(rule, ArgRule{}, "a rule of args")
			}
		}
		seen[key.Value] = true
	}
}

func readItem[T any](r *stateReader, n *yaml.Node, what string) (T, bool) {
	var v T
	r.known(n, v, what)
	if n.Kind != yaml.MappingNode {
		return v, false
	}
	if err := n.Decode(&v); err != nil {
		r.yaml(err, n.Line)
		return v, false
	}
	return v, true
}

// problems adds what a check found, at the line of the field that it names.
func (r *stateReader) problems(n *yaml.Node, found []string) {
	for _, p := range found {
		field, _, _ := strings.Cut(p, ":")
		line := n.Line
		for key, value := range members(n) {
			if key.Value == field {
				line = value.Line
			}
		}
		r.add(line, "%s", p)
	}
}

func (r *stateReader) checkGrant(n *yaml.Node, g Grant) {
	if strings.HasPrefix(g.ID, builtinPrefix) {
		// What came with the installation has no end; it is taken as it is or not at all.
		g.ExpiresAt, g.ID = r.now.Add(maxLife), ""
	}
	if g.ExpiresAt.IsZero() {
		g.ExpiresAt = r.now.Add(maxLife)
	}
	r.problems(n, Check(g, r.now))
}

// together checks what no single item shows.
func (r *stateReader) together(root *yaml.Node, s State) {
	ids, bundles := map[string]bool{}, map[string]bool{}
	for _, b := range s.Bundles {
		if bundles[b.Name] {
			r.add(root.Line, "bundles: %s is there twice", b.Name)
		}
		bundles[b.Name] = true
	}
	for _, g := range s.Grants {
		if g.ID != "" && ids[g.ID] {
			r.add(root.Line, "grants: the id %s is there twice", g.ID)
		}
		ids[g.ID] = true
		if g.Bundle != "" && !bundles[g.Bundle] {
			r.add(root.Line, "grants: the bundle %s is not in the file", g.Bundle)
		}
	}
}
