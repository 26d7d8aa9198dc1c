package memory

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"deskmate/identity/label"
	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// NewNote is a fact to keep.
type NewNote struct {
	Text      string
	Scope     string    // "" or "channel": only where it is said; "workspace": for every member
	Author    string    // who said it; "" for the requester
	Channel   string    // source message; "" for the place
	TS        string    // of the source message
	Permalink string    // of the source message
	ExpiresAt time.Time // zero: never
	Label     label.Label
	Own       bool // by the agent's own judgement; ErrJudge where that is not allowed
	// Released says that the gate has let text of the place go to the whole
	// workspace: a human who may see it said so.
	Released bool
	Thread   string // where a contradiction is asked about
}

// Note is one remembered fact.
type Note struct {
	ID           string
	Workspace    string
	Scope        string // workspace, channel:C…, dm:D…
	Text         string
	Author       string // of this version
	Channel      string // source: the channel it was said in
	TS           string
	Permalink    string
	Version      int64 // 1, and one more with each correction
	SupersededBy string
	CreatedAt    time.Time
	UpdatedAt    time.Time
	ExpiresAt    time.Time // zero: never
	Label        label.Label
	Own          bool      // by the agent's own judgement
	SupersededAt time.Time // since when it is no longer true; zero: it is
	Withheld     bool      // its source may not be shown, so Author, Channel, TS and Permalink are empty

	seq       int64 // row
	ledgerSeq int64 // entry of this version
}

// Version is what a note said from At on.
type Version struct {
	Version int64
	Text    string
	Author  string
	At      time.Time
}

const noteColumns = `n.seq, n.id, n.workspace, n.scope, n.text, n.author, n.channel, n.ts, n.permalink, n.version, n.superseded_by,
	n.ledger_seq, n.created_at, n.updated_at, n.expires_at, n.label, n.own, n.superseded_at`

func scanNote(row interface{ Scan(...any) error }) (Note, error) {
	var n Note
	var created, updated, expires, superseded int64
	var went string
	err := row.Scan(&n.seq, &n.ID, &n.Workspace, &n.Scope, &n.Text, &n.Author, &n.Channel, &n.TS, &n.Permalink, &n.Version, &n.SupersededBy,
		&n.ledgerSeq, &created, &updated, &expires, &went, &n.Own, &superseded)
	if err == nil {
		n.Label, err = readLabel(went)
	}
	n.SupersededAt = migrations.Time(superseded)
	n.CreatedAt, n.UpdatedAt, n.ExpiresAt = migrations.Time(created), migrations.Time(updated), migrations.Time(expires)
	return n, err
}

// readLabel reads a label as writeLabel gives it.
func readLabel(text string) (label.Label, error) {
	var l label.Label
	if text == "" {
		return l, nil
	}
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return l, fmt.Errorf("decode label: %w", err)
	}
	return l, nil
}

func writeLabel(l label.Label) (string, error) {
	if l.IsZero() {
		return "", nil
	}
	b, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("encode label: %w", err)
	}
	return string(b), nil
}

func scanNotes(rows *sql.Rows, err error) ([]Note, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var notes []Note
	for rows.Next() {
		n, err := scanNote(rows)
		if err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	return notes, rows.Err()
}

// digest is the same for texts that differ in case, spacing and the full stop
// only.
func digest(text string) string {
	folded := strings.Join(strings.Fields(strings.ToLower(text)), " ")
	sum := sha256.Sum256([]byte(strings.TrimRight(folded, " .")))
	return hex.EncodeToString(sum[:])
}

// Remember keeps a fact. The same text in the same scope is the note that is
// there already; its expiry becomes the later of the two. Errors: ErrEmpty,
// ErrTooLong, ErrScope, ErrOff, ErrJudge, or ErrNotFound where the requester may not see the place.
func (m *Memory) Remember(ctx context.Context, p Place, n NewNote) (Note, error) {
	var note Note
	err := m.db.Write(ctx, func(tx *migrations.Tx) (err error) {
		scope, err := newScope(tx, p, n)
		if err != nil {
			return err
		}
		note, err = m.keep(tx, p, scope, n)
		return err
	})
	if err != nil {
		return Note{}, fmt.Errorf("remember: %w", err)
	}
	return note, nil
}

// newScope is the scope that n gets when it is made in p.
func newScope(tx *migrations.Tx, p Place, n NewNote) (string, error) {
	scope := n.Scope
	r, err := readReach(tx, p)
	if err != nil {
		return "", err
	}
	switch {
	case !r.own:
		return "", ErrNotFound
	case scope == "" || scope == "channel" || scope == "dm" || scope == p.scope():
		return p.scope(), nil
	case scope == ScopeWorkspace && r.mayWrite(p, ScopeWorkspace):
		return ScopeWorkspace, nil
	case scope == ScopeWorkspace && n.Released && !n.Own && p.RequesterKind == KindMember && r.isMember:
		return ScopeWorkspace, nil
	}
	return "", ErrScope
}

// keep writes n into scope, or returns the note that says the same.
func (m *Memory) keep(tx *migrations.Tx, p Place, scope string, n NewNote) (Note, error) {
	text, err := noteText(n.Text)
	if err != nil {
		return Note{}, err
	}
	if err := mayNote(tx, p.Workspace, scope, n.Own); err != nil {
		return Note{}, err
	}
	if err := eraseForReal(tx); err != nil {
		return Note{}, err
	}
	same, err := sameNote(tx, p.Workspace, scope, text)
	if err == nil {
		return m.renew(tx, p, same, n.ExpiresAt)
	} else if !errors.Is(err, ErrNotFound) {
		return Note{}, err
	}
	note := Note{ID: migrations.NewID("n_"), Workspace: p.Workspace, Scope: scope, Text: text, Author: first(n.Author, p.Requester),
		Channel: first(n.Channel, p.Channel), TS: n.TS, Permalink: n.Permalink, Version: 1,
		CreatedAt: tx.Now(), UpdatedAt: tx.Now(), ExpiresAt: n.ExpiresAt.UTC(), Label: n.Label, Own: n.Own}
	went, err := writeLabel(note.Label)
	if err != nil {
		return Note{}, err
	}
	if note.ledgerSeq, err = m.record(tx, p, "note.remembered", note, text, nil); err != nil {
		return Note{}, err
	}
	err = tx.QueryRow(`INSERT INTO notes (id, workspace, scope, place, text, digest, author, channel, ts, permalink, ledger_seq, created_at, updated_at, expires_at, label, own)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $15) RETURNING seq`,
		note.ID, note.Workspace, note.Scope, scopePlace(scope), note.Text, digest(text), note.Author, note.Channel, note.TS, note.Permalink,
		note.ledgerSeq, migrations.Micros(note.CreatedAt), migrations.Micros(note.ExpiresAt), went, note.Own).Scan(&note.seq)
	if err != nil {
		return Note{}, fmt.Errorf("insert note: %w", err)
	}
	return note, nil
}

func noteText(text string) (string, error) {
	text = strings.TrimSpace(clean(text))
	switch {
	case len(words(text)) == 0:
		return "", ErrEmpty
	case utf8.RuneCountInString(text) > MaxNote:
		return "", ErrTooLong
	}
	return text, nil
}

func sameNote(tx *migrations.Tx, workspace, scope, text string) (Note, error) {
	n, err := scanNote(tx.QueryRow(`SELECT `+noteColumns+` FROM notes n WHERE n.workspace = $1 AND n.scope = $2 AND n.digest = $3 AND n.superseded_by = ''`,
		workspace, scope, digest(text)))
	if err != nil {
		return Note{}, missing("look for the same note", err)
	}
	return n, nil
}

// renew moves the expiry of a note that is said again to the later one.
func (m *Memory) renew(tx *migrations.Tx, p Place, n Note, expires time.Time) (Note, error) {
	if n.ExpiresAt.IsZero() || (!expires.IsZero() && !expires.After(n.ExpiresAt)) {
		return n, nil
	}
	n.ExpiresAt = expires.UTC()
	if _, err := m.record(tx, p, "note.renewed", n, "", nil); err != nil {
		return Note{}, err
	}
	if _, err := tx.Exec(`UPDATE notes SET expires_at = $1 WHERE seq = $2`, migrations.Micros(n.ExpiresAt), n.seq); err != nil {
		return Note{}, fmt.Errorf("renew note %s: %w", n.ID, err)
	}
	return n, nil
}

// record writes a change of a note to the ledger. The text is erasable there; the
// entry itself never holds it.
func (m *Memory) record(tx *migrations.Tx, p Place, kind string, n Note, text string, fields map[string]string) (int64, error) {
	r := ledger.Record{Workspace: n.Workspace, Kind: kind, Actor: p.Requester, Requester: p.Requester, Channel: p.Channel,
		Fields: map[string]string{"note": n.ID, "scope": n.Scope, "version": strconv.FormatInt(n.Version, 10)}}
	if !n.Label.IsZero() {
		r.Fields["label"] = n.Label.String()
	}
	if n.Own {
		r.Fields["own"] = "true"
	}
	if !n.ExpiresAt.IsZero() {
		r.Fields["expires"] = n.ExpiresAt.Format(time.RFC3339)
	}
	for k, v := range fields {
		r.Fields[k] = v
	}
	if text != "" {
		r.Payload = map[string]string{"text": text}
	}
	seq, err := m.ledger.Append(tx, r)
	if err != nil {
		return 0, fmt.Errorf("record %s: %w", kind, err)
	}
	return seq, nil
}

// Note gives a note that may be seen in p, superseded or expired ones not, or
// ErrNotFound.
func (m *Memory) Note(ctx context.Context, p Place, id string) (Note, error) {
	var n Note
	err := m.db.Read(ctx, func(tx *migrations.Tx) (err error) {
		if n, err = noteIn(tx, p, id); err == nil {
			err = withhold(tx, p, &n)
		}
		return err
	})
	return n, err
}

// withhold takes the source away from notes whose source p may not see: those
// that were let out of a private place.
func withhold(tx *migrations.Tx, p Place, notes ...*Note) error {
	for _, n := range notes {
		var may bool
		if err := tx.QueryRow(reachSQL+`SELECT `+sourceInReach+` FROM reach, (SELECT CAST($7 AS TEXT) AS channel) n`, p.args(tx.Now(), n.Channel)...).Scan(&may); err != nil {
			return fmt.Errorf("look whether the source of note %s may be shown: %w", n.ID, err)
		}
		if !may {
			n.Withheld, n.Author, n.Channel, n.TS, n.Permalink = true, "", "", "", ""
		}
	}
	return nil
}

func noteIn(tx *migrations.Tx, p Place, id string) (Note, error) {
	n, err := scanNote(tx.QueryRow(reachSQL+`SELECT `+noteColumns+` FROM reach, notes n WHERE `+noteInReach+` AND n.id = $7`,
		p.args(tx.Now(), strings.TrimSpace(id))...))
	if err != nil {
		return Note{}, missing("look up note "+strconv.Quote(id), err)
	}
	return n, nil
}

// Notes gives the newest notes that may be seen in p, at most limit.
func (m *Memory) Notes(ctx context.Context, p Place, limit int) ([]Note, error) {
	return m.notesIn(ctx, p, "", limit)
}

// NotesOf gives the newest notes of one scope that may be seen in p, at most limit.
func (m *Memory) NotesOf(ctx context.Context, p Place, scope string, limit int) ([]Note, error) {
	return m.notesIn(ctx, p, scope, limit)
}

// notesIn lists notes of one scope, or with "" of all, without the sources that may
// not be told in p.
func (m *Memory) notesIn(ctx context.Context, p Place, scope string, limit int) ([]Note, error) {
	var notes []Note
	err := m.db.Read(ctx, func(tx *migrations.Tx) (err error) {
		notes, err = scanNotes(tx.Query(reachSQL+`SELECT `+noteColumns+` FROM reach, notes n WHERE `+noteInReach+` AND ($7 = '' OR n.scope = $7) ORDER BY n.updated_at DESC, n.seq DESC LIMIT $8`,
			p.args(tx.Now(), scope, limit)...))
		for i := range notes {
			err = errors.Join(err, withhold(tx, p, &notes[i]))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list notes: %w", err)
	}
	return notes, nil
}

// History gives all versions of a note that may be seen in p, oldest first; of one
// that was superseded too, with the note itself, which says since when.
func (m *Memory) History(ctx context.Context, p Place, id string) (Note, []Version, error) {
	var n Note
	var all []Version
	err := m.db.Read(ctx, func(tx *migrations.Tx) (err error) {
		n, err = scanNote(tx.QueryRow(reachSQL+`SELECT `+noteColumns+` FROM reach, notes n WHERE `+noteWasInReach+` AND n.id = $7`,
			p.args(tx.Now(), strings.TrimSpace(id))...))
		if err != nil {
			return missing("look up note "+strconv.Quote(id), err)
		}
		if all, err = versionsOf(tx, n); err != nil {
			return err
		}
		if err = withhold(tx, p, &n); n.Withheld {
			for i := range all {
				all[i].Author = ""
			}
		}
		return err
	})
	return n, all, err
}

func versionsOf(tx *migrations.Tx, n Note) ([]Version, error) {
	rows, err := tx.Query(`SELECT version, text, author, created_at FROM note_versions WHERE note = $1 ORDER BY version`, n.ID)
	if err != nil {
		return nil, fmt.Errorf("read history of note %s: %w", n.ID, err)
	}
	defer rows.Close()
	var all []Version
	for rows.Next() {
		var v Version
		var at int64
		if err := rows.Scan(&v.Version, &v.Text, &v.Author, &at); err != nil {
			return nil, fmt.Errorf("read history of note %s: %w", n.ID, err)
		}
		v.At = migrations.Time(at)
		all = append(all, v)
	}
	return append(all, Version{n.Version, n.Text, n.Author, n.UpdatedAt}), rows.Err()
}

// Correct gives a note a new text; what it said before stays in its history.
// When another note in the same scope says the new text already, that one takes
// its place. against is the newest other note in reach that cannot hold together with
// the new text, nil for none: which holds, people say. Errors: ErrNotFound, ErrPlace,
// ErrEmpty, ErrTooLong.
func (m *Memory) Correct(ctx context.Context, p Place, id, text string) (note Note, against *Note, err error) {
	err = m.db.Write(ctx, func(tx *migrations.Tx) error {
		against = nil
		old, err := changeable(tx, p, id)
		if err != nil {
			return err
		}
		if text, err = noteText(text); err != nil {
			return err
		}
		same, err := sameNote(tx, p.Workspace, old.Scope, text)
		switch {
		case err == nil && same.ID != old.ID:
			note = same
			return m.replace(tx, p, old, same)
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		case text == old.Text:
			note = old
			return nil
		}
		if note, err = m.rewrite(tx, p, old, text); err != nil {
			return err
		}
		against, err = rivalIn(tx, p, note.ID, text)
		return err
	})
	if err != nil {
		return Note{}, nil, fmt.Errorf("correct note: %w", err)
	}
	return note, against, nil
}

// changeable gives the note id if text said in p may go into it.
func changeable(tx *migrations.Tx, p Place, id string) (Note, error) {
	n, err := noteIn(tx, p, id)
	if err != nil {
		return Note{}, err
	}
	r, err := readReach(tx, p)
	if err != nil {
		return Note{}, err
	}
	if !r.mayWrite(p, n.Scope) {
		return Note{}, ErrPlace
	}
	return n, nil
}

func (m *Memory) rewrite(tx *migrations.Tx, p Place, old Note, text string) (Note, error) {
	if err := eraseForReal(tx); err != nil {
		return Note{}, err
	}
	n := old
	n.Text, n.Author, n.Version, n.UpdatedAt = text, p.Requester, old.Version+1, tx.Now()
	var err error
	if n.ledgerSeq, err = m.record(tx, p, "note.corrected", n, text, nil); err != nil {
		return Note{}, err
	}
	if _, err := tx.Exec(`INSERT INTO note_versions (note, version, text, author, ledger_seq, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		old.ID, old.Version, old.Text, old.Author, old.ledgerSeq, migrations.Micros(old.UpdatedAt)); err != nil {
		return Note{}, fmt.Errorf("keep version %d of note %s: %w", old.Version, old.ID, err)
	}
	if _, err := tx.Exec(`UPDATE notes SET text = $1, digest = $2, author = $3, version = $4, updated_at = $5, ledger_seq = $6 WHERE seq = $7`,
		n.Text, digest(text), n.Author, n.Version, migrations.Micros(n.UpdatedAt), n.ledgerSeq, n.seq); err != nil {
		return Note{}, fmt.Errorf("rewrite note %s: %w", old.ID, err)
	}
	return n, nil
}

// Supersede keeps a new fact in the scope of an old one that is no longer true:
// the old note is not found any more, and says which one took its place. Errors:
// as for Correct.
func (m *Memory) Supersede(ctx context.Context, p Place, id string, by NewNote) (Note, error) {
	var note Note
	err := m.db.Write(ctx, func(tx *migrations.Tx) error {
		old, err := changeable(tx, p, id)
		if err != nil {
			return err
		}
		if note, err = m.keep(tx, p, old.Scope, by); err != nil {
			return err
		}
		return m.replace(tx, p, old, note)
	})
	if err != nil {
		return Note{}, fmt.Errorf("supersede note: %w", err)
	}
	return note, nil
}

func (m *Memory) replace(tx *migrations.Tx, p Place, old, by Note) error {
	if old.ID == by.ID {
		return nil
	}
	if _, err := m.record(tx, p, "note.superseded", old, "", map[string]string{"by": by.ID}); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE notes SET superseded_by = $1, superseded_at = $2, updated_at = $2 WHERE seq = $3`,
		by.ID, migrations.Micros(tx.Now()), old.seq); err != nil {
		return fmt.Errorf("supersede note %s: %w", old.ID, err)
	}
	return nil
}

// first is the first of its arguments that is not empty.
func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}
