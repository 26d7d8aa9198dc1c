package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// States of an agent.
const (
	StateActive    = "active"
	StateSuspended = "suspended" // does nothing until a human resumes it
	StateRetired   = "retired"   // does nothing any more
)

// Agent is the colleague in one workspace.
type Agent struct {
	Workspace string    `json:"workspace"`
	User      string    `json:"user"` // its own Slack user id
	Name      string    `json:"name"`
	Charter   string    `json:"charter,omitempty"`
	Sponsor   string    `json:"sponsor,omitempty"` // Slack user ids of the humans who answer for it, separated by commas: Sponsors
	State     string    `json:"state"`
	Reason    string    `json:"reason,omitempty"` // of the state
	ChangedBy string    `json:"changed_by,omitempty"`
	ChangedAt time.Time `json:"changed_at"`
}

// Agents keeps the agents of all workspaces.
type Agents struct {
	db     *migrations.DB
	ledger *ledger.Ledger
}

// NewAgents returns the agents of db.
func NewAgents(db *migrations.DB, l *ledger.Ledger) *Agents { return &Agents{db, l} }

const agentColumns = `workspace, user_id, name, charter, sponsor, state, reason, changed_by, changed_at`

func scanAgent(row *sql.Row) (Agent, error) {
	var a Agent
	var changed int64
	err := row.Scan(&a.Workspace, &a.User, &a.Name, &a.Charter, &a.Sponsor, &a.State, &a.Reason, &a.ChangedBy, &changed)
	a.ChangedAt = migrations.Time(changed)
	return a, err
}

// Ensure makes the agent of a workspace, or brings its account, name, charter and
// sponsor up to date. Its state stays what it is.
func (s *Agents) Ensure(ctx context.Context, a Agent) (Agent, error) {
	if a.Workspace == "" || a.User == "" || a.Name == "" {
		return Agent{}, errors.New("ensure agent: workspace, user and name must not be empty")
	}
	var now Agent
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		had, err := scanAgent(tx.QueryRow(`SELECT `+agentColumns+` FROM agents WHERE workspace = $1`, a.Workspace))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil && had.User == a.User && had.Name == a.Name && had.Charter == a.Charter && had.Sponsor == a.Sponsor {
			now = had
			return nil
		}
		now, err = scanAgent(tx.QueryRow(`INSERT INTO agents (workspace, user_id, name, charter, sponsor, state, changed_by, changed_at)
			VALUES ($1, $2, $3, $4, $5, 'active', 'system', $6)
			ON CONFLICT (workspace) DO UPDATE SET user_id = excluded.user_id, name = excluded.name, charter = excluded.charter,
				sponsor = excluded.sponsor, changed_by = excluded.changed_by, changed_at = excluded.changed_at
			RETURNING `+agentColumns,
			a.Workspace, a.User, a.Name, a.Charter, a.Sponsor, migrations.Micros(tx.Now())))
		if err != nil {
			return err
		}
		_, err = s.ledger.Append(tx, ledger.Record{
			Workspace: a.Workspace, Kind: "agent.changed", Agent: a.User, Actor: "system",
			Fields: map[string]string{"name": a.Name, "sponsor": a.Sponsor, "state": now.State}, Payload: map[string]string{"charter": a.Charter},
		})
		return err
	})
	if err != nil {
		return Agent{}, fmt.Errorf("ensure agent of %s: %w", a.Workspace, err)
	}
	return now, nil
}

// Get loads the agent of a workspace; sql.ErrNoRows if there is none.
func (s *Agents) Get(ctx context.Context, workspace string) (Agent, error) {
	a, err := scanAgent(s.db.QueryRow(ctx, `SELECT `+agentColumns+` FROM agents WHERE workspace = $1`, workspace))
	if err != nil {
		return Agent{}, fmt.Errorf("load agent of %s: %w", workspace, err)
	}
	return a, nil
}

// loadAgent loads the agent of a workspace in a transaction.
func loadAgent(tx *migrations.Tx, workspace string) (Agent, error) {
	a, err := scanAgent(tx.QueryRow(`SELECT `+agentColumns+` FROM agents WHERE workspace = $1`, workspace))
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("there is no agent in workspace %s", workspace)
	}
	if err != nil {
		return a, fmt.Errorf("load agent of %s: %w", workspace, err)
	}
	return a, nil
}

// List loads all agents.
func (s *Agents) List(ctx context.Context) ([]Agent, error) {
	rows, err := s.db.Query(ctx, `SELECT workspace FROM agents ORDER BY workspace`)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	defer rows.Close()
	var all []Agent
	for rows.Next() {
		var w string
		if err := rows.Scan(&w); err != nil {
			return nil, fmt.Errorf("list agents: %w", err)
		}
		a, err := s.Get(ctx, w)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

// Suspend stops an agent at its next action, everywhere.
func (s *Agents) Suspend(ctx context.Context, workspace, by, reason string) (Agent, error) {
	return s.change(ctx, workspace, by, reason, StateSuspended, StateActive)
}

// Resume lets a suspended agent work again. Only a human may: by must not be the
// agent's own account.
func (s *Agents) Resume(ctx context.Context, workspace, by, reason string) (Agent, error) {
	return s.change(ctx, workspace, by, reason, StateActive, StateSuspended)
}

// Retire ends an agent for good.
func (s *Agents) Retire(ctx context.Context, workspace, by, reason string) (Agent, error) {
	return s.change(ctx, workspace, by, reason, StateRetired, StateActive, StateSuspended)
}

func (s *Agents) change(ctx context.Context, workspace, by, reason, to string, from ...string) (Agent, error) {
	if by == "" || strings.TrimSpace(reason) == "" {
		return Agent{}, fmt.Errorf("set agent of %s to %s: who and why must be given", workspace, to)
	}
	var now Agent
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		had, err := scanAgent(tx.QueryRow(`SELECT `+agentColumns+` FROM agents WHERE workspace = $1`, workspace))
		if errors.Is(err, sql.ErrNoRows) {
			return errors.New("there is no agent in this workspace")
		}
		if err != nil {
			return err
		}
		if to == StateActive && by == had.User {
			return errors.New("an agent cannot resume itself")
		}
		if had.State == to {
			return fmt.Errorf("it is %s already", to)
		}
		fits := false
		for _, f := range from {
			fits = fits || had.State == f
		}
		if !fits {
			return fmt.Errorf("it is %s", had.State)
		}
		now, err = scanAgent(tx.QueryRow(`UPDATE agents SET state = $1, reason = $2, changed_by = $3, changed_at = $4 WHERE workspace = $5 RETURNING `+agentColumns,
			to, reason, by, migrations.Micros(tx.Now()), workspace))
		if err != nil {
			return err
		}
		_, err = s.ledger.Append(tx, ledger.Record{
			Workspace: workspace, Kind: "agent.changed", Agent: had.User, Actor: by,
			Fields: map[string]string{"from": had.State, "to": to}, Payload: map[string]string{"reason": Mask(reason)},
		})
		return err
	})
	if err != nil {
		return Agent{}, fmt.Errorf("set agent of %s to %s: %w", workspace, to, err)
	}
	return now, nil
}
