package memory

import (
	"context"
	"fmt"

	"deskmate/migrations"
)

// Rivals are two notes that hold for the same people and cannot both be true.
type Rivals struct {
	Note  string `json:"note"`
	Other string `json:"other"` // the one that was there before
	Text  string `json:"text"`  // what that one says
}

// Against gives the newest other note in reach of p that cannot hold together with
// note id; nil where there is none. Errors: ErrNotFound.
func (m *Memory) Against(ctx context.Context, p Place, id string) (*Note, error) {
	var found *Note
	err := m.db.Read(ctx, func(tx *migrations.Tx) error {
		n, err := noteIn(tx, p, id)
		if err != nil {
			return err
		}
		fits, err := notesWith(tx, p, parse(n.Text).all())
		if err != nil {
			return err
		}
		var all []Note
		for _, f := range fits {
			all = append(all, f.note)
		}
		if found = rivalOf(n, all); found != nil {
			return withhold(tx, p, found)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for what contradicts note %s: %w", id, err)
	}
	return found, nil
}

// rivalOf gives the newest of all that cannot hold together with n.
func rivalOf(n Note, all []Note) *Note {
	var found *Note
	for _, o := range all {
		if o.ID != n.ID && (found == nil || o.seq > found.seq) && contradicts(o.Text, n.Text) {
			found = &o
		}
	}
	return found
}

// rivals gives the notes among ids that another note speaks against, which some of the
// same people may read. It is for those who run the agent and read all scopes.
func rivals(tx *migrations.Tx, workspace string, ids []string) ([]Rivals, error) {
	var found []Rivals
	told := map[string]bool{}
	for _, id := range ids {
		n, err := scanNote(tx.QueryRow(`SELECT `+noteColumns+` FROM notes n WHERE n.workspace = $1 AND n.id = $2`, workspace, id))
		if err != nil {
			return nil, fmt.Errorf("read note %s: %w", id, err)
		}
		if n.SupersededBy != "" {
			continue
		}
		var all []Note
		for _, t := range parse(n.Text).all() {
			some, err := scanNotes(tx.Query(`SELECT `+noteColumns+` FROM memory_index JOIN notes n ON n.seq = memory_index.rowid - `+noteRows+`
				WHERE memory_index.rowid > `+noteRows+` AND memory_index MATCH $1 AND n.workspace = $2 AND ($3 = '`+ScopeWorkspace+`' OR n.scope IN ($3, '`+ScopeWorkspace+`'))
				AND n.superseded_by = '' AND (n.expires_at = 0 OR n.expires_at > $4)`, t.match(), workspace, n.Scope, migrations.Micros(tx.Now())))
			if err != nil {
				return nil, fmt.Errorf("search notes: %w", err)
			}
			all = append(all, some...)
		}
		if o := rivalOf(n, all); o != nil && !told[o.ID+" "+n.ID] {
			told[n.ID+" "+o.ID] = true
			found = append(found, Rivals{Note: n.ID, Other: o.ID, Text: o.Text})
		}
	}
	return found, nil
}
