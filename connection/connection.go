// Package connection keeps the systems that the agent can reach, and calls their
// tools with the agent's own credentials.
//
// It promises that a tool is offered only as an admin has accepted it, word for
// word, that any change of it stops its use until an admin has looked at it, that
// what a tool may do is told by us and never by its server, and that a secret is
// seen by nobody but the system that it is for. It must never decide whether a
// call is allowed: that is the gate's, which every call passes before it comes here.
//
// Docs: docs/connections.md.
package connection

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"deskmate/connection/mcp"
	"deskmate/connection/web"
	"deskmate/identity/ledger"
	"deskmate/identity/vault"
	"deskmate/migrations"
)

// States of a connection, the words of the connections table's state column.
const (
	StateNew         = "new"         // nobody has accepted it yet
	StateActive      = "active"      // its tools can be used, as far as grants allow
	StateQuarantined = "quarantined" // it shows something other than what was accepted, or an admin said so
)

// Connection is one system that the agent can reach.
type Connection struct {
	Workspace  string    `json:"workspace"`
	Name       string    `json:"name"`
	Spec       Spec      `json:"spec"`
	State      string    `json:"state"`
	Reason     string    `json:"reason,omitempty"`
	Server     string    `json:"server,omitempty"` // name and version that it gives itself
	Pin        string    `json:"pin,omitempty"`    // hash of what was accepted
	SeenPin    string    `json:"seen_pin,omitempty"`
	Version    int64     `json:"version"`
	AddedBy    string    `json:"added_by"`
	AddedAt    time.Time `json:"added_at"`
	AcceptedBy string    `json:"accepted_by,omitempty"`
	AcceptedAt time.Time `json:"accepted_at,omitzero"`
	ChangedAt  time.Time `json:"changed_at"`

	accepted, seen *mcp.Listing
}

// Tool is one callable of a connection.
type Tool struct {
	Name        string          `json:"name"` // connection.tool
	Connection  string          `json:"connection"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"`
	Class       string          `json:"class"` // read, write, external
	Pin         string          `json:"pin"`
	Host        string          `json:"host,omitempty"`       // that it reaches over HTTP
	Credential  string          `json:"credential,omitempty"` // connection/name of the one that it uses
	Once        bool            `json:"once,omitempty"`       // the same call made again does nothing more
}

var (
	// ErrNone means that there is no connection of that name.
	ErrNone = errors.New("there is no connection of that name")
	// ErrMoved means that a connection shows something other than what was looked at.
	ErrMoved = errors.New("the connection has changed since you looked: look again")
)

// Options are what a Manager works with.
type Options struct {
	DB     *migrations.DB
	Ledger *ledger.Ledger
	Vault  *vault.Vault
	Logger zerolog.Logger
	// Notice tells the admins, in the transaction of what it tells of; key names it
	// for ever. Nil: nobody is told.
	Notice func(tx *migrations.Tx, workspace, key, text string) error
	// Known is told which tools of a connection there are to be granted, in the
	// transaction that changes it; none: it is gone. Nil: nobody is told.
	Known   func(tx *migrations.Tx, workspace, connection string, tools []Tool) error
	Version string // of our own
}

// Manager keeps and calls the connections of all workspaces of a store. It is safe
// for concurrent use.
type Manager struct {
	Options
	mu   sync.Mutex
	live map[string]*live // by workspace and name
}

// New returns a manager. Close ends what it has started.
func New(o Options) *Manager { return &Manager{Options: o, live: map[string]*live{}} }

const columns = `workspace, name, spec, state, reason, server, accepted, pin, seen, seen_pin, version, added_by, added_at, accepted_by, accepted_at, changed_at`

func scan(row interface{ Scan(...any) error }) (Connection, error) {
	var c Connection
	var spec, accepted, seen string
	var added, acceptedAt, changed int64
	err := row.Scan(&c.Workspace, &c.Name, &spec, &c.State, &c.Reason, &c.Server, &accepted, &c.Pin, &seen, &c.SeenPin, &c.Version, &c.AddedBy, &added, &c.AcceptedBy, &acceptedAt, &changed)
	if err != nil {
		return c, err
	}
	c.AddedAt, c.AcceptedAt, c.ChangedAt = migrations.Time(added), migrations.Time(acceptedAt), migrations.Time(changed)
	if c.Spec, err = Parse([]byte(spec)); err != nil {
		return c, fmt.Errorf("read connection %s: %w", c.Name, err)
	}
	for text, into := range map[string]**mcp.Listing{accepted: &c.accepted, seen: &c.seen} {
		if text == "" {
			continue
		}
		*into = &mcp.Listing{}
		if err := json.Unmarshal([]byte(text), *into); err != nil {
			return c, fmt.Errorf("read connection %s: %w", c.Name, err)
		}
	}
	return c, nil
}

func load(tx *migrations.Tx, workspace, name string) (Connection, error) {
	c, err := scan(tx.QueryRow(`SELECT `+columns+` FROM connections WHERE workspace = $1 AND name = $2`, workspace, name))
	if errors.Is(err, sql.ErrNoRows) {
		return c, ErrNone
	}
	return c, err
}

// Get is the connection of that name; ErrNone if there is none.
func (m *Manager) Get(ctx context.Context, workspace, name string) (Connection, error) {
	var c Connection
	err := m.DB.Read(ctx, func(tx *migrations.Tx) (err error) {
		c, err = load(tx, workspace, name)
		return err
	})
	if err != nil {
		return c, fmt.Errorf("load connection %s: %w", name, err)
	}
	return c, nil
}

// List is all connections of a workspace, by name.
func (m *Manager) List(ctx context.Context, workspace string) ([]Connection, error) {
	rows, err := m.DB.Query(ctx, `SELECT `+columns+` FROM connections WHERE workspace = $1 ORDER BY name`, workspace)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	defer rows.Close()
	var all []Connection
	for rows.Next() {
		c, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list connections: %w", err)
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	return all, nil
}

// Tools are the accepted tools of a connection, by name.
func (c Connection) Tools() []Tool { return c.tools(c.accepted) }

// Seen are the tools that it showed last, where those are not the accepted ones.
func (c Connection) Seen() []Tool { return c.tools(c.seen) }

// Instructions are the server's own, as accepted.
func (c Connection) Instructions() string {
	if c.accepted == nil {
		return ""
	}
	return c.accepted.Instructions
}

func (c Connection) tools(l *mcp.Listing) []Tool {
	if l == nil {
		return nil
	}
	var all []Tool
	for _, t := range l.Tools {
		full := c.Name + "." + t.Name
		if !goodTool(full) {
			continue
		}
		arg := c.Spec.once(t.Name)
		once := arg != "" || c.Spec.HTTP != nil && slices.ContainsFunc(c.Spec.HTTP.Calls, func(x web.Call) bool { return x.Name == t.Name && x.Once != "" })
		all = append(all, Tool{Name: full, Connection: c.Name, Description: t.Description, Schema: lacking(t.Input, arg), Class: c.Spec.class(t), Pin: t.Pin(),
			Host: c.Spec.host(), Credential: c.Spec.credential(c.Name), Once: once})
	}
	return all
}

// Described is a tool as it was accepted, whatever the state of its connection; the
// zero Tool if there is none of that name.
func (m *Manager) Described(tx *migrations.Tx, workspace, tool string) (Tool, error) {
	name, _, _ := strings.Cut(tool, ".")
	c, err := load(tx, workspace, name)
	if err != nil && !errors.Is(err, ErrNone) {
		return Tool{}, fmt.Errorf("load connection %s: %w", name, err)
	}
	for _, t := range c.Tools() {
		if t.Name == tool {
			return t, nil
		}
	}
	return Tool{}, nil
}

// Offered are the tools of all active connections of a workspace.
func (m *Manager) Offered(ctx context.Context, workspace string) ([]Tool, error) {
	all, err := m.List(ctx, workspace)
	if err != nil {
		return nil, err
	}
	var tools []Tool
	for _, c := range all {
		if c.State != StateActive {
			continue
		}
		more := c.Tools()
		if len(more) > 0 && more[0].Credential != "" {
			// Stops name a credential by its id.
			got, err := m.Vault.Get(ctx, workspace, more[0].Credential)
			if err != nil && !errors.Is(err, vault.ErrNoCredential) {
				return nil, fmt.Errorf("look up credential of %s: %w", c.Name, err)
			}
			for i := range more {
				more[i].Credential = got.ID
			}
		}
		tools = append(tools, more...)
	}
	return tools, nil
}

// Add keeps a new connection, or a new spec of one that is there. A new spec of an
// MCP server has to be accepted anew, unless it changes nothing that was accepted.
func (m *Manager) Add(ctx context.Context, by, workspace string, s Spec) (Connection, error) {
	if problems := s.Check(); len(problems) > 0 {
		return Connection{}, &InvalidError{problems}
	}
	text, err := s.text()
	if err != nil {
		return Connection{}, fmt.Errorf("add connection %s: %w", s.Name, err)
	}
	if ledger.Mask(text) != text {
		return Connection{}, &InvalidError{[]string{"the file holds what looks like a secret: give it to the agent with deskmate credential add"}}
	}
	err = m.DB.Write(ctx, func(tx *migrations.Tx) error {
		had, err := load(tx, workspace, s.Name)
		fresh := errors.Is(err, ErrNone)
		if err != nil && !fresh {
			return err
		}
		if fresh {
			had = Connection{AddedBy: by, AddedAt: tx.Now()}
		} else if old, err := had.Spec.text(); err == nil && old == text {
			return nil
		}
		now := migrations.Micros(tx.Now())
		if _, err := tx.Exec(`INSERT INTO connections (workspace, name, kind, spec, state, added_by, added_at, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (workspace, name) DO UPDATE SET kind = excluded.kind, spec = excluded.spec, state = excluded.state, reason = '', seen = '', seen_pin = '',
				version = connections.version + 1, changed_at = excluded.changed_at`,
			workspace, s.Name, s.Kind, text, StateNew, had.AddedBy, migrations.Micros(had.AddedAt), now); err != nil {
			return fmt.Errorf("store connection: %w", err)
		}
		return m.record(tx, workspace, s.Name, "connection.added", by, nil, map[string]string{"spec": text})
	})
	if err != nil {
		return Connection{}, fmt.Errorf("add connection %s: %w", s.Name, err)
	}
	m.end(workspace, s.Name)
	return m.Get(ctx, workspace, s.Name)
}

// Accept takes a connection's tools and instructions as they were shown: pin is
// the hash of what the person looked at. ErrMoved: it is not that any more.
func (m *Manager) Accept(ctx context.Context, by, workspace, name, pin string) (Connection, error) {
	err := m.change(ctx, workspace, name, func(tx *migrations.Tx, c Connection) error {
		l := c.seen
		if l == nil && c.accepted != nil && c.Pin == pin {
			l = c.accepted // it shows again what had been accepted
		} else if l == nil || c.SeenPin != pin {
			return ErrMoved
		}
		if c.State == StateActive {
			return nil
		}
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		now := migrations.Micros(tx.Now())
		if _, err := tx.Exec(`UPDATE connections SET state = $1, reason = '', accepted = $2, pin = $3, seen = '', seen_pin = '', accepted_by = $4, accepted_at = $5,
			version = version + 1, changed_at = $5 WHERE workspace = $6 AND name = $7`, StateActive, string(text), pin, by, now, workspace, name); err != nil {
			return err
		}
		if c.accepted = l; m.Known != nil {
			if err := m.Known(tx, workspace, name, c.Tools()); err != nil {
				return err
			}
		}
		fields := map[string]string{ledger.FieldPin: pin}
		return m.record(tx, workspace, name, "connection.accepted", by, fields, map[string]string{"tools": strings.Join(names(l), " ")})
	})
	if err != nil {
		return Connection{}, fmt.Errorf("accept connection %s: %w", name, err)
	}
	return m.Get(ctx, workspace, name)
}

func names(l *mcp.Listing) []string {
	var all []string
	for _, t := range l.Tools {
		all = append(all, t.Name)
	}
	return all
}

// Quarantine stops the use of a connection until an admin accepts it.
func (m *Manager) Quarantine(ctx context.Context, by, workspace, name, why string) (Connection, error) {
	if strings.TrimSpace(why) == "" {
		return Connection{}, fmt.Errorf("quarantine connection %s: say why", name)
	}
	err := m.change(ctx, workspace, name, func(tx *migrations.Tx, c Connection) error { return m.quarantine(tx, c, by, why, nil) })
	if err != nil {
		return Connection{}, fmt.Errorf("quarantine connection %s: %w", name, err)
	}
	m.end(workspace, name)
	return m.Get(ctx, workspace, name)
}

// quarantine takes c out of use; seen is what it shows, nil for what it showed.
func (m *Manager) quarantine(tx *migrations.Tx, c Connection, by, why string, seen *mcp.Listing) error {
	if seen == nil && c.seen == nil {
		seen = c.accepted
	} else if seen == nil {
		seen = c.seen
	}
	text, pin := "", ""
	if seen != nil {
		b, err := json.Marshal(seen)
		if err != nil {
			return err
		}
		text, pin = string(b), seen.Pin()
	}
	if c.State == StateQuarantined && c.SeenPin == pin {
		return nil
	}
	if _, err := tx.Exec(`UPDATE connections SET state = $1, reason = $2, seen = $3, seen_pin = $4, version = version + 1, changed_at = $5 WHERE workspace = $6 AND name = $7`,
		StateQuarantined, ledger.Mask(why), text, pin, migrations.Micros(tx.Now()), c.Workspace, c.Name); err != nil {
		return err
	}
	fields := map[string]string{ledger.FieldPin: pin, "from": c.State}
	return m.record(tx, c.Workspace, c.Name, "connection.quarantined", by, fields, map[string]string{"reason": why})
}

// Remove takes a connection out for good and destroys its credentials.
func (m *Manager) Remove(ctx context.Context, by, workspace, name, why string) error {
	if strings.TrimSpace(why) == "" {
		return fmt.Errorf("remove connection %s: say why", name)
	}
	err := m.change(ctx, workspace, name, func(tx *migrations.Tx, c Connection) error {
		if _, err := tx.Exec(`DELETE FROM connections WHERE workspace = $1 AND name = $2`, workspace, name); err != nil {
			return err
		}
		if m.Known != nil {
			if err := m.Known(tx, workspace, name, nil); err != nil {
				return err
			}
		}
		return m.record(tx, workspace, name, "connection.removed", by, nil, map[string]string{"reason": why})
	})
	if err != nil {
		return fmt.Errorf("remove connection %s: %w", name, err)
	}
	m.end(workspace, name)
	all, err := m.Vault.List(ctx, workspace, false)
	if err != nil {
		return fmt.Errorf("remove connection %s: its credentials are left: %w", name, err)
	}
	for _, c := range all {
		if c.Connection != name {
			continue
		}
		if _, err := m.Vault.Revoke(ctx, by, workspace, c.ID, "the connection was removed: "+why); err != nil {
			return fmt.Errorf("remove connection %s: its credential %s is left: %w", name, c.ID, err)
		}
	}
	return nil
}

func (m *Manager) change(ctx context.Context, workspace, name string, do func(tx *migrations.Tx, c Connection) error) error {
	return m.DB.Write(ctx, func(tx *migrations.Tx) error {
		c, err := load(tx, workspace, name)
		if err != nil {
			return err
		}
		return do(tx, c)
	})
}

func (m *Manager) record(tx *migrations.Tx, workspace, name, kind, by string, fields, payload map[string]string) error {
	f := map[string]string{"connection": name}
	for k, v := range fields {
		if v != "" {
			f[k] = v
		}
	}
	_, err := m.Ledger.Append(tx, ledger.Record{Workspace: workspace, Kind: kind, Actor: by, Fields: f, Payload: payload})
	if err != nil {
		return fmt.Errorf("record %s: %w", kind, err)
	}
	return nil
}

// Saw compares what a connection shows with what was accepted, and keeps it: what
// was never accepted waits for that, and a change is a quarantine, of which the
// admins are told. It returns the connection as it is after that.
func (m *Manager) saw(ctx context.Context, workspace, name string, l mcp.Listing) (Connection, error) {
	pin := l.Pin()
	var after Connection
	err := m.change(ctx, workspace, name, func(tx *migrations.Tx, c Connection) error {
		after = c
		if c.Server != l.Server {
			if _, err := tx.Exec(`UPDATE connections SET server = $1 WHERE workspace = $2 AND name = $3`, l.Server, workspace, name); err != nil {
				return err
			}
		}
		var err error
		switch {
		case c.State == StateNew && c.accepted != nil && c.Pin == pin:
			// A new spec that changes nothing that was accepted.
			_, err = tx.Exec(`UPDATE connections SET state = $1, seen = '', seen_pin = '', version = version + 1, changed_at = $2 WHERE workspace = $3 AND name = $4`,
				StateActive, migrations.Micros(tx.Now()), workspace, name)
			if err == nil {
				if m.Known != nil {
					err = m.Known(tx, workspace, name, c.Tools()) // their classes may be others
				}
			}
			if err == nil {
				err = m.record(tx, workspace, name, "connection.accepted", "system", map[string]string{ledger.FieldPin: pin}, map[string]string{"reason": "a new spec shows what had been accepted"})
			}
		case c.State == StateNew && c.SeenPin != pin:
			var text []byte
			if text, err = json.Marshal(l); err == nil {
				_, err = tx.Exec(`UPDATE connections SET seen = $1, seen_pin = $2, version = version + 1, changed_at = $3 WHERE workspace = $4 AND name = $5`,
					string(text), pin, migrations.Micros(tx.Now()), workspace, name)
			}
		case c.State == StateActive && c.Pin != pin, c.State == StateQuarantined && c.SeenPin != pin:
			if err = m.quarantine(tx, c, "system", "it shows other tools or instructions than those that were accepted", &l); err == nil {
				err = m.tell(tx, c, l, pin)
			}
		}
		if err == nil {
			after, err = load(tx, workspace, name)
		}
		return err
	})
	if err != nil {
		return after, fmt.Errorf("keep what %s shows: %w", name, err)
	}
	return after, nil
}

// tell tells the admins of a quarantine, with what has changed.
func (m *Manager) tell(tx *migrations.Tx, c Connection, l mcp.Listing, pin string) error {
	if m.Notice == nil {
		return nil
	}
	var was mcp.Listing
	if c.accepted != nil {
		was = *c.accepted
	}
	lines := Diff(was, l)
	if len(lines) > 30 {
		lines = append(lines[:30], fmt.Sprintf("… and %d lines more", len(lines)-30))
	}
	text := fmt.Sprintf("I no longer use `%s`: it shows other tools or instructions than those that were accepted.\n```\n%s\n```\nIf that is right: `deskmate connection accept %s`, or `/deskmate connect accept %s`. If not, leave it or remove it; it stays out of use.",
		c.Name, strings.ReplaceAll(strings.Join(lines, "\n"), "```", "'''"), c.Name, c.Name)
	return m.Notice(tx, c.Workspace, "connection:"+c.Name+":"+pin, text)
}

// live is what runs for a connection in this process.
func (m *Manager) end(workspace, name string) {
	m.mu.Lock()
	l := m.live[workspace+" "+name]
	delete(m.live, workspace+" "+name)
	m.mu.Unlock()
	if l != nil {
		l.close()
	}
}

// Close ends everything that was started for connections.
func (m *Manager) Close() {
	m.mu.Lock()
	all := make([]*live, 0, len(m.live))
	for _, l := range m.live {
		all = append(all, l)
	}
	m.live = map[string]*live{}
	m.mu.Unlock()
	var wg sync.WaitGroup
	for _, l := range all {
		wg.Go(l.close)
	}
	wg.Wait()
}

// reserved are names that belong to the agent's own tools.
var reserved = []string{"slack", "memory", "duties", "self", "connections", "system", "all"}

func isReserved(name string) bool { return slices.Contains(reserved, name) }
