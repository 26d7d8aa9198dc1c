package policy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Bundle is a named set of tools with instructions, attached to scopes. It gives
// nothing by itself: a grant that names it covers its tools, in the grant's scope.
type Bundle struct {
	Name         string    `json:"name" yaml:"name"`
	Workspace    string    `json:"workspace" yaml:"-"`
	Instructions string    `json:"instructions,omitempty" yaml:"instructions,omitempty"` // for the agent, where the bundle is attached
	Tools        []string  `json:"tools" yaml:"tools"`                                   // as Grant.Tools
	Scopes       []string  `json:"scopes,omitempty" yaml:"scopes,omitempty"`             // as Grant.Scope
	ChangedBy    string    `json:"changed_by" yaml:"-"`
	ChangedAt    time.Time `json:"changed_at" yaml:"-"`
}

const bundleColumns = `name, workspace, instructions, tools, scopes, changed_by, changed_at`

// Bundles lists the bundles of a workspace by name.
func (e *Engine) Bundles(ctx context.Context, workspace string) ([]Bundle, error) {
	var out []Bundle
	err := e.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		out, err = loadBundles(tx, workspace)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list bundles: %w", err)
	}
	return out, nil
}

// PutBundle adds b or replaces the one with its name. Grants that name it cover
// its new tools from the next decision on.
func (e *Engine) PutBundle(ctx context.Context, by string, b Bundle) (Bundle, error) {
	var out Bundle
	err := e.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		out, err = e.PutBundleTx(tx, by, b)
		return err
	})
	return out, err
}

// PutBundleTx is PutBundle inside a transaction.
func (e *Engine) PutBundleTx(tx *migrations.Tx, by string, b Bundle) (Bundle, error) {
	b.ChangedBy, b.ChangedAt = by, tx.Now()
	problems := checkBundle(b)
	if by == "" {
		problems = append(problems, "changed_by: nobody is named")
	}
	if len(problems) > 0 {
		return Bundle{}, &InvalidError{"bundle " + b.Name, problems}
	}
	if err := notTheAgent(tx, b.Workspace, by); err != nil {
		return Bundle{}, fmt.Errorf("put bundle %s: %w", b.Name, err)
	}
	if _, err := tx.Exec(`INSERT INTO bundles (workspace, name, instructions, tools, scopes, changed_by, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (workspace, name) DO UPDATE SET instructions = excluded.instructions, tools = excluded.tools, scopes = excluded.scopes,
			changed_by = excluded.changed_by, changed_at = excluded.changed_at`,
		b.Workspace, b.Name, b.Instructions, list(b.Tools), list(b.Scopes), by, migrations.Micros(b.ChangedAt)); err != nil {
		return Bundle{}, fmt.Errorf("put bundle %s: %w", b.Name, err)
	}
	if err := e.tellBundle(tx, "bundle.changed", by, b); err != nil {
		return Bundle{}, fmt.Errorf("put bundle %s: %w", b.Name, err)
	}
	return b, nil
}

// DeleteBundle removes a bundle. One that a grant still names cannot be removed:
// revoke the grant first. ErrNoBundle if there is none.
func (e *Engine) DeleteBundle(ctx context.Context, workspace, name, by string) error {
	return e.db.Write(ctx, func(tx *migrations.Tx) error { return e.DeleteBundleTx(tx, workspace, name, by) })
}

// DeleteBundleTx is DeleteBundle inside a transaction.
func (e *Engine) DeleteBundleTx(tx *migrations.Tx, workspace, name, by string) error {
	b, err := loadBundle(tx, workspace, name)
	if err != nil {
		return fmt.Errorf("delete bundle %s: %w", name, err)
	}
	if by == "" {
		return fmt.Errorf("delete bundle %s: nobody is named who does it", name)
	}
	if err := notTheAgent(tx, workspace, by); err != nil {
		return fmt.Errorf("delete bundle %s: %w", name, err)
	}
	var user string
	err = tx.QueryRow(`SELECT id FROM grants WHERE workspace = $1 AND revoked_at = 0 AND bundle = $2 LIMIT 1`, workspace, name).Scan(&user)
	if err == nil {
		return fmt.Errorf("delete bundle %s: grant %s needs it; revoke that first", name, user)
	} else if !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("delete bundle %s: %w", name, err)
	}
	if _, err := tx.Exec(`DELETE FROM bundles WHERE workspace = $1 AND name = $2`, workspace, name); err != nil {
		return fmt.Errorf("delete bundle %s: %w", name, err)
	}
	if err := e.tellBundle(tx, "bundle.deleted", by, b); err != nil {
		return fmt.Errorf("delete bundle %s: %w", name, err)
	}
	return nil
}

func (e *Engine) tellBundle(tx *migrations.Tx, kind, by string, b Bundle) error {
	if err := changed(tx, b.Workspace); err != nil {
		return err
	}
	whole, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode bundle: %w", err)
	}
	_, err = e.ledger.Append(tx, ledger.Record{Workspace: b.Workspace, Kind: kind, Actor: by,
		Fields: map[string]string{"bundle": b.Name}, Payload: map[string]string{"bundle": string(whole)}})
	return err
}

func checkBundle(b Bundle) []string {
	var out []string
	if b.Workspace == "" {
		out = append(out, "workspace: is missing")
	}
	if !goodName(b.Name) || strings.ContainsAny(b.Name, ".*") {
		out = append(out, "name: use letters, digits, _ and -, at most 64")
	}
	out = append(out, checkTools(b.Tools)...)
	for _, s := range b.Scopes {
		if p := checkScope(s); p != "" {
			out = append(out, "scopes: "+p)
		}
	}
	if len(b.Instructions) > mostInstructions {
		out = append(out, fmt.Sprintf("instructions: %d bytes are more than %d", len(b.Instructions), mostInstructions))
	}
	return out
}

func loadBundle(tx *migrations.Tx, workspace, name string) (Bundle, error) {
	b, err := scanBundle(tx.QueryRow(`SELECT `+bundleColumns+` FROM bundles WHERE workspace = $1 AND name = $2`, workspace, name))
	if errors.Is(err, sql.ErrNoRows) {
		return Bundle{}, ErrNoBundle
	}
	return b, err
}

func loadBundles(tx *migrations.Tx, workspace string) ([]Bundle, error) {
	rows, err := tx.Query(`SELECT `+bundleColumns+` FROM bundles WHERE workspace = $1 ORDER BY name`, workspace)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Bundle
	for rows.Next() {
		b, err := scanBundle(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, rows.Err()
}

func scanBundle(row interface{ Scan(...any) error }) (Bundle, error) {
	var b Bundle
	var tools, scopes string
	var at int64
	if err := row.Scan(&b.Name, &b.Workspace, &b.Instructions, &tools, &scopes, &b.ChangedBy, &at); err != nil {
		return Bundle{}, err
	}
	if err := errors.Join(json.Unmarshal([]byte(tools), &b.Tools), json.Unmarshal([]byte(scopes), &b.Scopes)); err != nil {
		return Bundle{}, fmt.Errorf("decode bundle %s: %w", b.Name, err)
	}
	b.ChangedAt = migrations.Time(at)
	return b, nil
}
