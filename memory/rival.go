package memory

import (
	"fmt"

	"deskmate/migrations"
)

// Rivals are two notes that hold for the same people and cannot both be true.
type Rivals struct {
	Note  string `json:"note"`
	Other string `json:"other"` // the one that was there before
	Text  string `json:"text"`  // what that one says
}

// rivalIn gives the newest note in reach, other than note id, that cannot hold together
// with text; nil where there is none.
func rivalIn(tx *migrations.Tx, p Place, id, text string) (*Note, error) {
	fits, err := notesWith(tx, p, parse(text).all())
	if err != nil {
		return nil, err
	}
	var all []Note
	for _, f := range fits {
		all = append(all, f.note)
	}
	found := rivalOf(id, text, all)
	if found == nil {
		return nil, nil
	}
	return found, withhold(tx, p, found)
}

// rivalOf gives the newest of all, other than note id, that cannot hold together with
// text.
func rivalOf(id, text string, all []Note) *Note {
	var found *Note
	for _, o := range all {
		if o.ID != id && (found == nil || o.seq > found.seq) && contradicts(o.Text, text) {
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
		if o := rivalOf(n.ID, n.Text, all); o != nil && !told[o.ID+" "+n.ID] {
			told[n.ID+" "+o.ID] = true
			found = append(found, Rivals{Note: n.ID, Other: o.ID, Text: o.Text})
		}
	}
	return found, nil
}
