package policy

import (
	"context"
	"errors"
	"fmt"

	"deskmate/migrations"
)

// BuiltinTool is a tool that comes with the installation.
type BuiltinTool struct {
	Name, Connection string
	Class            string // read, write, external
	Guests           bool   // guests and outsiders may ask for it in the place itself
}

// Ensure makes the grants that come with the installation: for each tool one,
// named builtin-TOOL, that lets full members ask for it everywhere and does not
// end. It is called at each start and changes only what is new. A grant that was
// revoked stays so.
func (e *Engine) Ensure(ctx context.Context, workspace string, builtin []BuiltinTool) error {
	err := e.db.Write(ctx, func(tx *migrations.Tx) error {
		for _, t := range builtin {
			if !goodName(t.Name) || !goodName(t.Connection) || !grantID.MatchString(builtinPrefix+t.Name) {
				return fmt.Errorf("the tool %q of %q has no good name", t.Name, t.Connection)
			}
			if err := ensureTool(tx, workspace, t); err != nil {
				return fmt.Errorf("store tool %s: %w", t.Name, err)
			}
			if err := e.ensureGrant(tx, workspace, t.Name); err != nil {
				return fmt.Errorf("grant tool %s: %w", t.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ensure the grants of the installation: %w", err)
	}
	return nil
}

// Tools are the tools that the workspace knows, by name.
func (e *Engine) Tools(ctx context.Context, workspace string) ([]BuiltinTool, error) {
	rows, err := e.db.Query(ctx, `SELECT name, connection, class, guests FROM builtin_tools WHERE workspace = $1 ORDER BY name`, workspace)
	if err != nil {
		return nil, fmt.Errorf("list tools: %w", err)
	}
	defer rows.Close()
	var all []BuiltinTool
	for rows.Next() {
		var t BuiltinTool
		if err := rows.Scan(&t.Name, &t.Connection, &t.Class, &t.Guests); err != nil {
			return nil, fmt.Errorf("list tools: %w", err)
		}
		all = append(all, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list tools: %w", err)
	}
	return all, nil
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

func (e *Engine) ensureGrant(tx *migrations.Tx, workspace, tool string) error {
	_, err := loadGrant(tx, workspace, builtinPrefix+tool)
	if !errors.Is(err, ErrNoGrant) {
		return err
	}
	return e.insert(tx, System, Grant{ID: builtinPrefix + tool, Workspace: workspace, Effect: Allow, Tools: []string{tool},
		Scope: "workspace", Who: []string{Members}, Justification: "comes with the installation", GrantedBy: System, GrantedAt: tx.Now()})
}

// SetTools makes tools those that the workspace knows of a connection, in tx. They
// get no grants by it, and grants that name others stay as they are.
func (e *Engine) SetTools(tx *migrations.Tx, workspace, connection string, tools []BuiltinTool) error {
	if _, err := tx.Exec(`DELETE FROM builtin_tools WHERE workspace = $1 AND connection = $2`, workspace, connection); err != nil {
		return fmt.Errorf("store tools of %s: %w", connection, err)
	}
	for _, t := range tools {
		if !goodName(t.Name) || t.Connection != connection {
			return fmt.Errorf("store tools of %s: the tool %q has no good name", connection, t.Name)
		}
		if err := ensureTool(tx, workspace, t); err != nil {
			return fmt.Errorf("store tool %s: %w", t.Name, err)
		}
	}
	return changed(tx, workspace)
}
