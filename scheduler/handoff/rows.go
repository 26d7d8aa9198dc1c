package handoff

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"deskmate/migrations"
)

const handoffColumns = `id, workspace, from_owner, to_owner, state, asked_by, reason, via, plan, left_out, shown_at, reminded, created_at, expires_at, ended_at`

func scanHandoff(row interface{ Scan(...any) error }) (Handoff, error) {
	var h Handoff
	var shown, created, expires, ended int64
	err := row.Scan(&h.ID, &h.Workspace, &h.From, &h.To, &h.State, &h.AskedBy, &h.Reason, &h.Via, &h.Plan, &h.LeftOut, &shown, &h.reminded, &created, &expires, &ended)
	h.ShownAt, h.CreatedAt, h.ExpiresAt, h.EndedAt = migrations.Time(shown), migrations.Time(created), migrations.Time(expires), migrations.Time(ended)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNone
	}
	return h, err
}

// Get gives one handoff with its items; ErrNone if there is none.
func (s *Handoffs) Get(ctx context.Context, workspace, id string) (h Handoff, err error) {
	err = s.DB.Read(ctx, func(tx *migrations.Tx) error {
		h, err = loadHandoff(tx, workspace, id)
		return err
	})
	return h, err
}

func loadHandoff(tx *migrations.Tx, workspace, id string) (Handoff, error) {
	h, err := scanHandoff(tx.QueryRow(`SELECT `+handoffColumns+` FROM handoffs WHERE workspace = $1 AND id = $2`, workspace, id))
	if err != nil {
		return h, fmt.Errorf("load handoff %s: %w", id, err)
	}
	h.Items, err = loadItems(tx, id)
	return h, err
}

func (s *Handoffs) byRequest(tx *migrations.Tx, workspace, request string) (Handoff, error) {
	h, err := scanHandoff(tx.QueryRow(`SELECT `+handoffColumns+` FROM handoffs WHERE workspace = $1 AND request = $2`, workspace, request))
	if err != nil {
		return h, err
	}
	h.Items, err = loadItems(tx, h.ID)
	return h, err
}

func loadItems(tx *migrations.Tx, id string) ([]Item, error) {
	rows, err := tx.Query(`SELECT kind, item, owner, state, why, brief, label, left_out FROM handoff_items WHERE handoff = $1 ORDER BY n`, id)
	if err != nil {
		return nil, fmt.Errorf("load items of %s: %w", id, err)
	}
	defer rows.Close()
	var all []Item
	for rows.Next() {
		var i Item
		var lbl string
		if err := rows.Scan(&i.Kind, &i.ID, &i.Owner, &i.State, &i.Why, &i.Brief, &lbl, &i.LeftOut); err != nil {
			return nil, fmt.Errorf("load items of %s: %w", id, err)
		}
		if err := json.Unmarshal([]byte(lbl), &i.Label); err != nil {
			return nil, fmt.Errorf("decode label of an item of %s: %w", id, err)
		}
		all = append(all, i)
	}
	return all, rows.Err()
}

// Filter says which handoffs are meant; empty fields mean any.
type Filter struct {
	Workspace string
	Person    string // from or to them, or asked for by them
	To        string
	Open      bool // only those that wait for an answer
	Limit     int  // 0: 100
}

// List gives the handoffs that fit, newest first.
func (s *Handoffs) List(ctx context.Context, f Filter) ([]Handoff, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	var all []Handoff
	err := s.DB.Read(ctx, func(tx *migrations.Tx) error {
		rows, err := tx.Query(`SELECT `+handoffColumns+` FROM handoffs
			WHERE ($1 = '' OR workspace = $1) AND ($2 = '' OR from_owner = $2 OR to_owner = $2 OR asked_by = $2) AND ($3 = '' OR to_owner = $3)
			AND ($4 = 0 OR state = 'offered') ORDER BY created_at DESC, id LIMIT $5`, f.Workspace, f.Person, f.To, f.Open, f.Limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			h, err := scanHandoff(rows)
			if err != nil {
				return err
			}
			all = append(all, h)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i := range all {
			if all[i].Items, err = loadItems(tx, all[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list handoffs: %w", err)
	}
	return all, nil
}

func (s *Handoffs) insert(tx *migrations.Tx, h Handoff, request string) error {
	_, err := tx.Exec(`INSERT INTO handoffs (id, workspace, from_owner, to_owner, state, asked_by, reason, via, request, plan, left_out, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		h.ID, h.Workspace, h.From, h.To, h.State, h.AskedBy, h.Reason, h.Via, nullable(request), h.Plan, h.LeftOut, migrations.Micros(h.CreatedAt), migrations.Micros(h.ExpiresAt))
	if err != nil {
		return fmt.Errorf("store handoff: %w", err)
	}
	for n, i := range h.Items {
		if _, err := tx.Exec(`INSERT INTO handoff_items (handoff, n, kind, item, owner, state) VALUES ($1, $2, $3, $4, $5, $6)`, h.ID, n, i.Kind, i.ID, i.Owner, i.State); err != nil {
			return fmt.Errorf("store item of handoff: %w", err)
		}
	}
	return nil
}

// save stores what may change of a handoff and its items.
func (s *Handoffs) save(tx *migrations.Tx, h Handoff) error {
	_, err := tx.Exec(`UPDATE handoffs SET state = $1, left_out = $2, shown_at = $3, reminded = $4, ended_at = $5 WHERE id = $6`,
		h.State, h.LeftOut, migrations.Micros(h.ShownAt), h.reminded, migrations.Micros(h.EndedAt), h.ID)
	if err != nil {
		return fmt.Errorf("store handoff %s: %w", h.ID, err)
	}
	for n, i := range h.Items {
		lbl, err := json.Marshal(i.Label)
		if err != nil {
			return fmt.Errorf("encode label: %w", err)
		}
		if _, err := tx.Exec(`UPDATE handoff_items SET owner = $1, state = $2, why = $3, brief = $4, label = $5, left_out = $6 WHERE handoff = $7 AND n = $8`,
			i.Owner, i.State, i.Why, i.Brief, string(lbl), i.LeftOut, h.ID, n); err != nil {
			return fmt.Errorf("store item of handoff %s: %w", h.ID, err)
		}
	}
	return nil
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
