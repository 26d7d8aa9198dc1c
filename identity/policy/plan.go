package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"deskmate/migrations"
)

// Plan is what has to change for a workspace to have the access of a State.
type Plan struct {
	Workspace     string         `json:"workspace"`
	Add           []Grant        `json:"add"`
	Remove        []Grant        `json:"remove"`
	Change        []GrantChange  `json:"change"`
	PutBundles    []Bundle       `json:"put_bundles"`
	ChangeBundles []BundleChange `json:"change_bundles"`
	DeleteBundles []Bundle       `json:"delete_bundles"`

	version int64
}

// GrantChange is a grant that takes the place of another: that one is revoked and
// this one granted, with an id of its own and nothing used up yet.
type GrantChange struct {
	Was    Grant         `json:"was"`
	Now    Grant         `json:"now"`
	Fields []FieldChange `json:"fields"` // at least one
}

// BundleChange is a bundle that gets other contents.
type BundleChange struct {
	Was    Bundle        `json:"was"`
	Now    Bundle        `json:"now"`
	Fields []FieldChange `json:"fields"`
}

// FieldChange is a field of a file with its value before and after, as JSON.
type FieldChange struct {
	Field string `json:"field"`
	Was   string `json:"was"` // "" if it was left out
	Now   string `json:"now"`
}

// ErrChanged means that the access was changed since the plan was made.
var ErrChanged = errors.New("the access was changed since the plan was made; plan again")

// Empty reports that nothing has to change.
func (p Plan) Empty() bool {
	return len(p.Add)+len(p.Remove)+len(p.Change)+len(p.PutBundles)+len(p.ChangeBundles)+len(p.DeleteBundles) == 0
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
		if i < 0 {
			p.PutBundles = append(p.PutBundles, b)
		} else if fields := differences(had.Bundles[i], b); len(fields) > 0 {
			p.ChangeBundles = append(p.ChangeBundles, BundleChange{had.Bundles[i], b, fields})
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
			p.Change = append(p.Change, GrantChange{h, g, grantDifferences(h, g)})
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
	return len(grantDifferences(had, want)) == 0
}

// grantDifferences are the fields in which two grants differ, ids aside.
func grantDifferences(a, b Grant) []FieldChange {
	for _, g := range []*Grant{&a, &b} {
		g.ID = ""
		if len(g.Who) == 0 && g.Effect != Deny {
			g.Who = []string{Members}
		}
		g.ExpiresAt = g.ExpiresAt.UTC().Truncate(time.Microsecond) // as the store keeps it
	}
	return differences(a, b)
}

// differences are the fields of a file in which two grants or bundles differ.
func differences[T any](a, b T) []FieldChange {
	var out []FieldChange
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		name, _, _ := strings.Cut(va.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "-" || name == "" {
			continue
		}
		if was, now := valueText(va.Field(i)), valueText(vb.Field(i)); was != now {
			out = append(out, FieldChange{name, was, now})
		}
	}
	return out
}

// valueText is the value of a field on one line, "" if files leave it out.
func valueText(v reflect.Value) string {
	if v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 {
		return ""
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v.Interface()); err != nil {
		return "cannot be written: " + err.Error() // a number that is none, which Check refuses
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Text is the plan for people: what is added (+), taken away (-) and changed (~).
func (p Plan) Text() string {
	if p.Empty() {
		return "Nothing to change.\n"
	}
	var b strings.Builder
	block := func(mark, head string, v any) {
		fmt.Fprintf(&b, "%s %s\n", mark, head)
		body, err := yaml.Marshal(v)
		if err != nil {
			body = []byte("cannot be written: " + err.Error())
		}
		for _, line := range strings.Split(strings.TrimRight(string(body), "\n"), "\n") {
			fmt.Fprintf(&b, "%s   %s\n", mark, line)
		}
	}
	change := func(head string, fields []FieldChange) {
		fmt.Fprintf(&b, "~ %s\n", head)
		for _, f := range fields {
			fmt.Fprintf(&b, "~   %s: %s → %s\n", f.Field, fieldText(f.Field, f.Was, "never"), fieldText(f.Field, f.Now, in90Days))
		}
	}
	for _, x := range p.PutBundles {
		block("+", "bundle "+x.Name, x)
	}
	for _, c := range p.ChangeBundles {
		change("bundle "+c.Now.Name, c.Fields)
	}
	for _, g := range p.Add {
		ends := g.ExpiresAt.IsZero()
		g.ID = ""
		block("+", "grant", g)
		if ends {
			fmt.Fprintf(&b, "+   expires_at: %s\n", in90Days)
		}
	}
	for _, c := range p.Change {
		change("grant "+c.Was.ID, c.Fields)
	}
	for _, g := range p.Remove {
		block("-", "grant "+g.ID, g)
	}
	for _, x := range p.DeleteBundles {
		block("-", "bundle "+x.Name, x)
	}
	fmt.Fprintf(&b, "%d to add, %d to change, %d to remove\n", len(p.Add)+len(p.PutBundles), len(p.Change)+len(p.ChangeBundles), len(p.Remove)+len(p.DeleteBundles))
	return Visible(b.String())
}

const in90Days = "90 days after it is applied"

func fieldText(field, text, noEnd string) string {
	switch {
	case text != "":
		return text
	case field == "expires_at":
		return noEnd
	}
	return "(left out)"
}

// Visible is a text for a terminal: what would steer the terminal, or show in
// another order than it is, stands there by its number. Lines stay lines.
func Visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Apply makes all changes of a plan, or none: also none if anything was changed
// since the plan was made (ErrChanged). by is who does it.
func Apply(ctx context.Context, e *Engine, by string, p Plan) error {
	err := e.db.Write(ctx, func(tx *migrations.Tx) error {
		version, err := scanVersion(tx.QueryRow(versionQuery, p.Workspace))
		if err != nil {
			return err
		}
		if version != p.version {
			return ErrChanged
		}
		return e.applyTx(tx, by, p)
	})
	if err != nil {
		return fmt.Errorf("apply access to %s: %w", p.Workspace, err)
	}
	return nil
}

func (e *Engine) applyTx(tx *migrations.Tx, by string, p Plan) error {
	const why = "by an access file"
	bundles := slices.Clone(p.PutBundles)
	for _, c := range p.ChangeBundles {
		bundles = append(bundles, c.Now)
	}
	add, remove := slices.Clone(p.Add), slices.Clone(p.Remove)
	for _, c := range p.Change {
		add, remove = append(add, c.Now), append(remove, c.Was)
	}
	// Grants that have ended are in no file, but a bundle that they name stays.
	ended, err := loadGrants(tx, p.Workspace, false)
	if err != nil {
		return err
	}
	for _, g := range ended {
		if expired(g, tx.Now()) && slices.ContainsFunc(p.DeleteBundles, func(b Bundle) bool { return b.Name == g.Bundle }) {
			remove = append(remove, g)
		}
	}
	for _, b := range bundles {
		b.Workspace = p.Workspace
		if _, err := e.PutBundleTx(tx, by, b); err != nil {
			return err
		}
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
}
