package handlers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"deskmate/migrations"
)

// homeState is what somebody has chosen in their Home, and what it showed last.
type homeState struct{ channel, more, told, digest string }

func (h *Home) state(ctx context.Context, workspace, user string) (homeState, error) {
	var s homeState
	err := h.DB.Read(ctx, func(tx *migrations.Tx) (err error) {
		s, err = loadHome(tx, workspace, user)
		return err
	})
	return s, err
}

func loadHome(tx *migrations.Tx, workspace, user string) (homeState, error) {
	var s homeState
	err := tx.QueryRow(`SELECT channel, more, told, digest FROM homes WHERE workspace = $1 AND person = $2`, workspace, user).
		Scan(&s.channel, &s.more, &s.told, &s.digest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("load Home of %s: %w", user, err)
	}
	return s, nil
}

// change alters what a Home shows and has it shown.
func (h *Home) change(ctx context.Context, workspace, user string, alter func(s *homeState)) error {
	err := h.DB.Write(ctx, func(tx *migrations.Tx) error {
		s, err := loadHome(tx, workspace, user)
		if err != nil {
			return err
		}
		alter(&s)
		if _, err := tx.Exec(`INSERT INTO homes (workspace, person, channel, more, told, digest) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (workspace, person) DO UPDATE SET channel = excluded.channel, more = excluded.more, told = excluded.told, digest = excluded.digest`,
			workspace, user, s.channel, s.more, s.told, s.digest); err != nil {
			return err
		}
		return wakeHome(tx, workspace, user)
	})
	if err != nil {
		return fmt.Errorf("change Home of %s: %w", user, err)
	}
	return nil
}

func saveDigest(tx *migrations.Tx, workspace, user, digest string) error {
	if _, err := tx.Exec(`UPDATE homes SET digest = $1 WHERE workspace = $2 AND person = $3`, digest, workspace, user); err != nil {
		return fmt.Errorf("note Home of %s: %w", user, err)
	}
	return nil
}
