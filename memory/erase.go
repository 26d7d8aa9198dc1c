package memory

import (
	"context"
	"fmt"

	"deskmate/migrations"
)

// Erase is Forget for those who run the agent: any note, by its id, whoever may
// see it. by names the operator in the ledger. ErrNotFound if there is no such
// note.
func (m *Memory) Erase(ctx context.Context, workspace, id, by string) (Forgotten, error) {
	var gone Forgotten
	err := m.db.Write(ctx, func(tx *migrations.Tx) error {
		found, err := scanNotes(tx.Query(`SELECT `+noteColumns+` FROM notes n WHERE n.workspace = $1 AND n.id = $2`, workspace, id))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return ErrNotFound
		}
		gone, err = m.erase(tx, Place{Workspace: workspace, Channel: found[0].Channel, Requester: by}, found[0])
		return err
	})
	if err != nil {
		return Forgotten{}, fmt.Errorf("forget note %s: %w", id, err)
	}
	_ = m.Scrub(ctx) // as in Forget: the next one ends what this one cannot
	return gone, nil
}
