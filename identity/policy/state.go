package policy

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

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
	Line  int    `json:"line"`            // from 1
	Field string `json:"field,omitempty"` // "" for what is wrong with more than a field
	Text  string `json:"text"`
}

func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("line %d: %s", p.Line, p.Text)
	}
	return fmt.Sprintf("line %d: %s: %s", p.Line, p.Field, p.Text)
}

// StateError is a file that was refused as a whole, with everything that is wrong
// with it, by line.
type StateError struct{ Problems []Problem }

func (e *StateError) Error() string {
	all := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = p.String()
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
