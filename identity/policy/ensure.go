package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"deskmate/migrations"
)

// BuiltinTool is a tool that comes with the installation.
type BuiltinTool struct {
	Name, Connection string
	Class            string // read, write, external
	Guests           bool   // guests and outsiders may ask for it in the place itself
}

// Ensure makes the grants that come with the installation: for each connection
// one, named builtin-CONNECTION, that lets full members ask for its tools
// everywhere and does not end. It is called at each start and changes only what
// is new: tools that the grant does not have yet. A grant that was revoked stays
// so, and the connection's new tools with it.
func (e *Engine) Ensure(ctx context.Context, workspace string, builtin []BuiltinTool) error {
	err := e.db.Write(ctx, func(tx *migrations.Tx) error {
		byConnection := map[string][]string{}
		for _, t := range builtin {
			if !goodName(t.Name) || !grantID.MatchString(builtinPrefix+t.Connection) {
				return fmt.Errorf("the tool %q of %q has no good name", t.Name, t.Connection)
			}
			if err := ensureTool(tx, workspace, t); err != nil {
				return fmt.Errorf("store tool %s: %w", t.Name, err)
			}
			byConnection[t.Connection] = append(byConnection[t.Connection], t.Name)
		}
		for _, c := range sortedKeys(byConnection) {
			if err := e.ensureGrant(tx, workspace, c, byConnection[c]); err != nil {
				return fmt.Errorf("grant tools of %s: %w", c, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ensure the grants of the installation: %w", err)
	}
	return nil
}

// ensureTool keeps what is known of a tool: it decides what guests may ask for.
func ensureTool(tx *migrations.Tx, workspace string, t BuiltinTool) error {
	guests := 0
	if t.Guests {
		guests = 1
	}
	res, err := tx.Exec(`INSERT INTO builtin_tools (workspace, name, connection, class, guests) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (workspace, name) DO UPDATE SET connection = excluded.connection, class = excluded.class, guests = excluded.guests
		WHERE builtin_tools.connection <> excluded.connection OR builtin_tools.class <> excluded.class OR builtin_tools.guests <> excluded.guests`,
		workspace, t.Name, t.Connection, t.Class, guests)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return changed(tx, workspace)
}

func (e *Engine) ensureGrant(tx *migrations.Tx, workspace, connection string, tools []string) error {
	slices.Sort(tools)
	tools = slices.Compact(tools)
	g, err := loadGrant(tx, workspace, builtinPrefix+connection)
	if errors.Is(err, ErrNoGrant) {
		return e.insert(tx, System, Grant{ID: builtinPrefix + connection, Workspace: workspace, Effect: Allow, Tools: tools,
			Scope: "workspace", Who: []string{Members}, Justification: "comes with the installation", GrantedBy: System, GrantedAt: tx.Now()})
	}
	if err != nil || !g.RevokedAt.IsZero() {
		return err
	}
	had := len(g.Tools)
	g.Tools = append(g.Tools, tools...)
	slices.Sort(g.Tools)
	if g.Tools = slices.Compact(g.Tools); len(g.Tools) == had {
		return nil
	}
	if _, err := tx.Exec(`UPDATE grants SET tools = $1 WHERE workspace = $2 AND id = $3`, list(g.Tools), workspace, g.ID); err != nil {
		return fmt.Errorf("store tools: %w", err)
	}
	return e.tell(tx, "grant.extended", System, g, map[string]string{})
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
