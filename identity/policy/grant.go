package policy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// builtinPrefix begins the ids of the grants that come with the installation.
const builtinPrefix = "builtin-"

const grantColumns = `id, workspace, effect, tools, bundle, scope, thread, duty, who, args, hours, rate, rate_window, most_uses, approvers, quorum, ttl,
	expires_at, justification, long_why, granted_by, granted_at, revoked_by, revoked_at, revoked_why, last_used_at, uses`

// Grant checks g, stores it and puts it into the ledger; it counts from the next
// decision on. by is who grants it: a Slack user id, "cli:name" or System. What
// comes back has an id, and ends in 90 days if g does not say when. Every problem
// with g is in an *InvalidError.
func (e *Engine) Grant(ctx context.Context, by string, g Grant) (Grant, error) {
	var out Grant
	err := e.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		out, err = e.GrantTx(tx, by, g)
		return err
	})
	return out, err
}

// GrantTx is Grant inside a transaction. An id that g brings along must be free
// and begin with "g_".
func (e *Engine) GrantTx(tx *migrations.Tx, by string, g Grant) (Grant, error) {
	g.GrantedBy, g.GrantedAt = by, tx.Now()
	g.RevokedBy, g.RevokedAt, g.RevokedWhy, g.LastUsedAt, g.Uses = "", time.Time{}, "", time.Time{}, 0
	if g.ExpiresAt.IsZero() {
		g.ExpiresAt = tx.Now().Add(maxLife)
	}
	g.ExpiresAt = g.ExpiresAt.UTC().Truncate(time.Microsecond)
	problems := Check(g, tx.Now())
	if g.ID == "" {
		g.ID = migrations.NewID("g_")
	} else if !strings.HasPrefix(g.ID, "g_") {
		problems = append(problems, "id: must begin with g_; leave it out and the grant gets one")
	}
	if g.Workspace == "" {
		problems = append(problems, "workspace: is missing")
	}
	if by == "" {
		problems = append(problems, "granted_by: nobody is named")
	}
	if len(problems) > 0 {
		return Grant{}, &InvalidError{"grant", problems}
	}
	if err := notTheAgent(tx, g.Workspace, by); err != nil {
		return Grant{}, fmt.Errorf("add grant: %w", err)
	}
	if g.Bundle != "" {
		if _, err := loadBundle(tx, g.Workspace, g.Bundle); errors.Is(err, ErrNoBundle) {
			return Grant{}, &InvalidError{"grant", []string{"bundle: there is none with the name " + g.Bundle}}
		} else if err != nil {
			return Grant{}, fmt.Errorf("add grant: %w", err)
		}
	}
	if _, err := loadGrant(tx, g.Workspace, g.ID); err == nil {
		return Grant{}, &InvalidError{"grant", []string{"id: " + g.ID + " has been used; a grant is never changed, so give the new one no id"}}
	} else if !errors.Is(err, ErrNoGrant) {
		return Grant{}, fmt.Errorf("add grant: %w", err)
	}
	if err := e.insert(tx, by, g); err != nil {
		return Grant{}, fmt.Errorf("add grant: %w", err)
	}
	return g, nil
}

// notTheAgent keeps the agent from granting: that is for authenticated people.
func notTheAgent(tx *migrations.Tx, workspace, by string) error {
	var n int
	if err := tx.QueryRow(`SELECT COUNT(*) FROM agents WHERE workspace = $1 AND user_id = $2`, workspace, by).Scan(&n); err != nil {
		return fmt.Errorf("look up agent: %w", err)
	}
	if n > 0 {
		return errors.New("the agent cannot change what it may do")
	}
	return nil
}

// insert stores a checked grant and its ledger entry.
func (e *Engine) insert(tx *migrations.Tx, by string, g Grant) error {
	if _, err := tx.Exec(`INSERT INTO grants (id, workspace, effect, tools, bundle, scope, thread, duty, who, args, hours, rate, rate_window, most_uses,
			approvers, quorum, ttl, expires_at, justification, long_why, granted_by, granted_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
		g.ID, g.Workspace, g.Effect, list(g.Tools), g.Bundle, g.Scope, g.Thread, g.Duty, list(g.Who), list(g.Args), g.Hours, g.Rate,
		time.Duration(g.RateWindow).Microseconds(), g.Count, list(g.Approvers), g.Quorum, time.Duration(g.TTL).Microseconds(),
		migrations.Micros(g.ExpiresAt), g.Justification, g.LongWhy, g.GrantedBy, migrations.Micros(g.GrantedAt)); err != nil {
		return fmt.Errorf("store grant: %w", err)
	}
	return e.tell(tx, "grant.added", by, g, map[string]string{"justification": g.Justification})
}

// tell counts a change of a grant, and puts it into the ledger.
func (e *Engine) tell(tx *migrations.Tx, kind, by string, g Grant, payload map[string]string) error {
	if err := changed(tx, g.Workspace); err != nil {
		return err
	}
	whole, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("encode grant: %w", err)
	}
	payload["grant"] = string(whole)
	fields := map[string]string{"grant": g.ID, "effect": g.Effect, "scope": g.Scope, "tools": strings.Join(g.Tools, " "), "bundle": g.Bundle}
	if len(fields["tools"]) > 1000 {
		fields["tools"] = fmt.Sprintf("%d tools", len(g.Tools)) // they are in the payload
	}
	if !g.ExpiresAt.IsZero() {
		fields["expires_at"] = g.ExpiresAt.Format(time.RFC3339)
	}
	_, err = e.ledger.Append(tx, ledger.Record{Workspace: g.Workspace, Kind: kind, Actor: by, Fields: fields, Payload: payload})
	return err
}

// Revoke ends a grant, from the next decision on, and returns it as it is then.
// A grant that is revoked already stays as it was. ErrNoGrant if there is none.
func (e *Engine) Revoke(ctx context.Context, workspace, id, by, why string) (Grant, error) {
	var out Grant
	err := e.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		out, err = e.RevokeTx(tx, workspace, id, by, why)
		return err
	})
	return out, err
}

// RevokeTx is Revoke inside a transaction.
func (e *Engine) RevokeTx(tx *migrations.Tx, workspace, id, by, why string) (Grant, error) {
	g, err := loadGrant(tx, workspace, id)
	if err != nil {
		return Grant{}, fmt.Errorf("revoke grant %s: %w", id, err)
	}
	if !g.RevokedAt.IsZero() {
		return g, nil
	}
	if by == "" {
		return Grant{}, fmt.Errorf("revoke grant %s: nobody is named who does it", id)
	}
	// Revoking a deny gives the agent more, so it is no more the agent's than granting.
	if err := notTheAgent(tx, workspace, by); err != nil {
		return Grant{}, fmt.Errorf("revoke grant %s: %w", id, err)
	}
	g.RevokedBy, g.RevokedAt, g.RevokedWhy = by, tx.Now(), why
	if _, err := tx.Exec(`UPDATE grants SET revoked_by = $1, revoked_at = $2, revoked_why = $3 WHERE workspace = $4 AND id = $5`,
		by, migrations.Micros(g.RevokedAt), why, workspace, id); err != nil {
		return Grant{}, fmt.Errorf("revoke grant %s: %w", id, err)
	}
	if err := e.tell(tx, "grant.revoked", by, g, map[string]string{"why": why}); err != nil {
		return Grant{}, fmt.Errorf("revoke grant %s: %w", id, err)
	}
	return g, nil
}

// Get returns one grant, revoked and expired ones too; ErrNoGrant if there is none.
func (e *Engine) Get(ctx context.Context, workspace, id string) (Grant, error) {
	var g Grant
	err := e.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		g, err = loadGrant(tx, workspace, id)
		return err
	})
	if err != nil {
		return Grant{}, fmt.Errorf("get grant %s: %w", id, err)
	}
	return g, nil
}

// List returns the grants of a workspace by id: those that hold, or with all
// also the revoked and expired ones.
func (e *Engine) List(ctx context.Context, workspace string, all bool) ([]Grant, error) {
	var out []Grant
	err := e.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		out, err = loadGrants(tx, workspace, all)
		if !all {
			out = slices.DeleteFunc(out, func(g Grant) bool { return expired(g, tx.Now()) })
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	return out, nil
}

func expired(g Grant, at time.Time) bool { return !g.ExpiresAt.IsZero() && !at.Before(g.ExpiresAt) }

func loadGrant(tx *migrations.Tx, workspace, id string) (Grant, error) {
	g, err := scanGrant(tx.QueryRow(`SELECT `+grantColumns+` FROM grants WHERE workspace = $1 AND id = $2`, workspace, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Grant{}, ErrNoGrant
	}
	return g, err
}

// loadGrants reads the grants that were not revoked, or all, by id.
func loadGrants(tx *migrations.Tx, workspace string, all bool) ([]Grant, error) {
	where := ` AND revoked_at = 0`
	if all {
		where = ``
	}
	rows, err := tx.Query(`SELECT `+grantColumns+` FROM grants WHERE workspace = $1`+where+` ORDER BY id`, workspace)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Grant
	for rows.Next() {
		g, err := scanGrant(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

func scanGrant(row interface{ Scan(...any) error }) (Grant, error) {
	var g Grant
	var tools, who, args, approvers string
	var window, ttl, expires, granted, revoked, used int64
	if err := row.Scan(&g.ID, &g.Workspace, &g.Effect, &tools, &g.Bundle, &g.Scope, &g.Thread, &g.Duty, &who, &args, &g.Hours, &g.Rate, &window, &g.Count,
		&approvers, &g.Quorum, &ttl, &expires, &g.Justification, &g.LongWhy, &g.GrantedBy, &granted, &g.RevokedBy, &revoked, &g.RevokedWhy,
		&used, &g.Uses); err != nil {
		return Grant{}, err
	}
	if err := errors.Join(json.Unmarshal([]byte(tools), &g.Tools), json.Unmarshal([]byte(who), &g.Who),
		json.Unmarshal([]byte(args), &g.Args), json.Unmarshal([]byte(approvers), &g.Approvers)); err != nil {
		return Grant{}, fmt.Errorf("decode grant %s: %w", g.ID, err)
	}
	g.RateWindow, g.TTL = Duration(window)*Duration(time.Microsecond), Duration(ttl)*Duration(time.Microsecond)
	g.ExpiresAt, g.GrantedAt = migrations.Time(expires), migrations.Time(granted)
	g.RevokedAt, g.LastUsedAt = migrations.Time(revoked), migrations.Time(used)
	return g, nil
}

// list is a list as the store keeps it: a JSON array, or null for an empty one.
func list[T any](values []T) string {
	if len(values) == 0 {
		return "null"
	}
	b, _ := json.Marshal(values) // strings and numbers that Check has seen: cannot fail
	return string(b)
}

// Covers reports whether the grant's scope takes in a channel, whoever asks.
func (g Grant) Covers(channel, name, kind string) bool {
	word, value, _ := strings.Cut(g.Scope, ":")
	switch word {
	case "workspace":
		return true
	case "channel":
		return value == channel
	case "kind":
		return value == kind
	case "channels":
		ok, err := path.Match(value, name)
		return err == nil && ok && name != ""
	}
	return false
}

// Names reports whether the grant is for a tool, by its name or by all of them.
func (g Grant) Names(tool string) bool {
	return slices.Contains(g.Tools, tool) || slices.Contains(g.Tools, "*")
}
