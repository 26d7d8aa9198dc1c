package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"deskmate/migrations"
)

// Plan is what has to change for a workspace to have the access of a State.
type Plan struct {
	Workspace     string        `json:"workspace"`
	Add           []Grant       `json:"add"`
	Remove        []Grant       `json:"remove"`
	Change        []GrantChange `json:"change"` // taken back and granted anew: a grant is never changed
	PutBundles    []Bundle      `json:"put_bundles"`
	DeleteBundles []Bundle      `json:"delete_bundles"`

	version int64
}

// GrantChange is a grant that takes the place of another.
type GrantChange struct {
	Was Grant `json:"was"`
	Now Grant `json:"now"`
}

// ErrChanged means that the access was changed since the plan was made.
var ErrChanged = errors.New("the access was changed since the plan was made; plan again")

// Empty reports that nothing has to change.
func (p Plan) Empty() bool {
	return len(p.Add)+len(p.Remove)+len(p.Change)+len(p.PutBundles)+len(p.DeleteBundles) == 0
}

// MakePlan compares a workspace's access with a state. Grants are the same if
// they say the same, whatever their ids; an expiry that the state leaves out may
// be any.
func MakePlan(ctx context.Context, e *Engine, workspace string, s State) (Plan, error) {
	var p Plan
	err := e.db.Read(ctx, func(tx *migrations.Tx) error {
		had, version, err := exportTx(tx, workspace)
		p = compareStates(had, s)
		p.Workspace, p.version = workspace, version
		return err
	})
	if err != nil {
		return p, fmt.Errorf("plan access of %s: %w", workspace, err)
	}
	return p, nil
}

func compareStates(had, want State) Plan {
	var p Plan
	for _, b := range want.Bundles {
		i := slices.IndexFunc(had.Bundles, func(h Bundle) bool { return h.Name == b.Name })
		if i < 0 || text(had.Bundles[i]) != text(b) {
			p.PutBundles = append(p.PutBundles, b)
		}
	}
	for _, h := range had.Bundles {
		if !slices.ContainsFunc(want.Bundles, func(b Bundle) bool { return b.Name == h.Name }) {
			p.DeleteBundles = append(p.DeleteBundles, h)
		}
	}
	left := slices.Clone(had.Grants)
	take := func(fits func(h Grant) bool) (Grant, bool) {
		i := slices.IndexFunc(left, fits)
		if i < 0 {
			return Grant{}, false
		}
		h := left[i]
		left = slices.Delete(left, i, i+1)
		return h, true
	}
	var rest []Grant
	for _, g := range want.Grants { // first those that are what they say they are
		if _, same := take(func(h Grant) bool { return h.ID == g.ID && same(h, g) }); !same {
			rest = append(rest, g)
		}
	}
	var unmet []Grant
	for _, g := range rest { // then those that are there under another id
		if _, there := take(func(h Grant) bool { return same(h, g) }); !there {
			unmet = append(unmet, g)
		}
	}
	for _, g := range unmet {
		if h, changed := take(func(h Grant) bool { return g.ID != "" && h.ID == g.ID }); changed {
			p.Change = append(p.Change, GrantChange{h, g})
		} else {
			p.Add = append(p.Add, g)
		}
	}
	p.Remove = left
	return p
}

// same reports whether a standing grant is what is wanted.
func same(had, want Grant) bool {
	if want.ExpiresAt.IsZero() {
		want.ExpiresAt = had.ExpiresAt
	}
	had.ID, want.ID = "", ""
	for _, g := range []*Grant{&had, &want} {
		if len(g.Who) == 0 && g.Effect != Deny {
			g.Who = []string{Members}
		}
	}
	return text(had) == text(want)
}

// text is what the file would say.
func text(v any) string {
	if g, ok := v.(Grant); ok {
		g.ExpiresAt = g.ExpiresAt.UTC()
		v = g
	}
	b, err := yaml.Marshal(v)
	if err != nil {
		return "cannot be written: " + err.Error()
	}
	return string(b)
}

// Text is the plan for people: what is added (+), taken away (-) and changed (~).
func (p Plan) Text() string {
	if p.Empty() {
		return "Nothing to change.\n"
	}
	var b strings.Builder
	block := func(mark, head, body string) {
		fmt.Fprintf(&b, "%s %s\n", mark, head)
		for _, line := range strings.Split(strings.TrimRight(body, "\n"), "\n") {
			fmt.Fprintf(&b, "%s   %s\n", mark, line)
		}
	}
	for _, x := range p.PutBundles {
		block("+", "bundle "+x.Name, text(x))
	}
	for _, g := range p.Add {
		g.ID = ""
		block("+", "grant", text(g))
	}
	for _, c := range p.Change {
		fmt.Fprintf(&b, "~ grant %s\n", c.Was.ID)
		was, now := strings.Split(text(c.Was), "\n"), strings.Split(text(c.Now), "\n")
		for _, l := range was {
			if !slices.Contains(now, l) {
				fmt.Fprintf(&b, "-   %s\n", l)
			}
		}
		for _, l := range now {
			if !slices.Contains(was, l) {
				fmt.Fprintf(&b, "+   %s\n", l)
			}
		}
	}
	for _, g := range p.Remove {
		block("-", "grant "+g.ID, text(g))
	}
	for _, x := range p.DeleteBundles {
		block("-", "bundle "+x.Name, text(x))
	}
	fmt.Fprintf(&b, "%d to add, %d to change, %d to remove\n", len(p.Add)+len(p.PutBundles), len(p.Change), len(p.Remove)+len(p.DeleteBundles))
	return b.String()
}

// Apply makes all changes of a plan, or none: also none if anything was changed
// since the plan was made (ErrChanged).
func Apply(ctx context.Context, e *Engine, by string, p Plan) error {
	const why = "by an access file"
	err := e.db.Write(ctx, func(tx *migrations.Tx) error {
		version, err := scanVersion(tx.QueryRow(versionQuery, p.Workspace))
		if err != nil {
			return err
		}
		if version != p.version {
			return ErrChanged
		}
		for _, b := range p.PutBundles {
			b.Workspace = p.Workspace
			if _, err := e.PutBundleTx(tx, by, b); err != nil {
				return err
			}
		}
		add := slices.Clone(p.Add)
		remove := slices.Clone(p.Remove)
		for _, c := range p.Change {
			add, remove = append(add, c.Now), append(remove, c.Was)
		}
		for _, g := range remove {
			if _, err := e.RevokeTx(tx, p.Workspace, g.ID, by, why); err != nil {
				return err
			}
		}
		for _, g := range add {
			g.ID, g.Workspace = "", p.Workspace // ids are never used twice
			if _, err := e.GrantTx(tx, by, g); err != nil {
				return err
			}
		}
		for _, b := range p.DeleteBundles {
			if err := e.DeleteBundleTx(tx, p.Workspace, b.Name, by); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("apply access to %s: %w", p.Workspace, err)
	}
	return nil
}
