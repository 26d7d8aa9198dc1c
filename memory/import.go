package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"deskmate/identity/label"
	"deskmate/migrations"
)

// frontMatter is what stands above the text of a note's file, as Markdown writes it.
type frontMatter struct {
	ID           string        `yaml:"id"`
	Workspace    string        `yaml:"workspace"`
	Scope        string        `yaml:"scope"`
	Author       string        `yaml:"author"`
	Channel      string        `yaml:"channel"`
	TS           string        `yaml:"ts"`
	Permalink    string        `yaml:"permalink"`
	Version      int64         `yaml:"version"`
	CreatedAt    string        `yaml:"created_at"`
	UpdatedAt    string        `yaml:"updated_at"`
	ExpiresAt    string        `yaml:"expires_at"`
	SupersededBy string        `yaml:"superseded_by"`
	SupersededAt string        `yaml:"superseded_at"`
	Own          bool          `yaml:"own_judgement"`
	ReadIn       []string      `yaml:"read_in"`   // the label: places that are not open to all
	Untrusted    []string      `yaml:"untrusted"` // and sources that nobody here answers for
	History      []fileVersion `yaml:"history"`
}

type fileVersion struct {
	Version int64  `yaml:"version"`
	Author  string `yaml:"author"`
	At      string `yaml:"at"`
	Text    string `yaml:"text"`
}

// ParseMarkdown reads a note back from the form that Entry.Markdown gives. A file
// written by hand needs a scope and a text; without an id it is a new note.
func ParseMarkdown(data []byte) (Entry, error) {
	rest, ok := bytes.CutPrefix(data, []byte("---\n"))
	head, text, closed := bytes.Cut(rest, []byte("\n---\n"))
	if !ok || !closed {
		return Entry{}, errors.New("it does not begin with front matter between two lines of ---")
	}
	var f frontMatter
	in := yaml.NewDecoder(bytes.NewReader(head))
	in.KnownFields(true)
	if err := in.Decode(&f); err != nil {
		return Entry{}, fmt.Errorf("front matter: %w", err)
	}
	body := strings.TrimSuffix(strings.TrimPrefix(string(text), "\n"), "\n")
	said, err := noteText(body)
	if err != nil {
		return Entry{}, fmt.Errorf("text: %w", err)
	}
	if f.Scope != ScopeWorkspace && (scopePlace(f.Scope) == "" || scopeOf(scopePlace(f.Scope)) != f.Scope) {
		return Entry{}, fmt.Errorf("scope: must be workspace, channel:C… or dm:D…, not %q", f.Scope)
	}
	e := Entry{Note: Note{ID: f.ID, Workspace: f.Workspace, Scope: f.Scope, Text: said, Author: f.Author, Channel: f.Channel, TS: f.TS, Permalink: f.Permalink,
		Version: max(f.Version, 1), SupersededBy: f.SupersededBy,
		Own: f.Own, Label: label.Join(label.Label{Channels: f.ReadIn, Untrusted: f.Untrusted})}}
	for name, at := range map[string]struct {
		text string
		to   *time.Time
	}{"created_at": {f.CreatedAt, &e.CreatedAt}, "updated_at": {f.UpdatedAt, &e.UpdatedAt}, "expires_at": {f.ExpiresAt, &e.ExpiresAt}, "superseded_at": {f.SupersededAt, &e.SupersededAt}} {
		if *at.to, err = parseStamp(at.text); err != nil {
			return Entry{}, fmt.Errorf("%s: must be a time such as 2026-11-24T09:30:00Z, not %q", name, at.text)
		}
	}
	for i, v := range f.History {
		at, err := parseStamp(v.At)
		if err != nil || v.Version != int64(i+1) || v.Version >= e.Version {
			return Entry{}, fmt.Errorf("history: version %d is out of order, or its time is none", v.Version)
		}
		e.History = append(e.History, Version{v.Version, v.Text, v.Author, at})
	}
	if int64(len(e.History)) != e.Version-1 {
		return Entry{}, fmt.Errorf("history: version %d needs the %d before it", e.Version, e.Version-1)
	}
	return e, nil
}

func parseStamp(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, s)
}

// Imported counts what an import did, or would do.
type Imported struct {
	New       int `json:"new"`
	Corrected int `json:"corrected"` // text, expiry or supersession changed
	Unchanged int `json:"unchanged"`
	// Against are those, new or corrected, that another note speaks against. They are
	// taken in all the same: which holds, people say.
	Against []Rivals `json:"against,omitempty"`
}

// ErrElsewhere: the note belongs to another workspace.
var ErrElsewhere = errors.New("the note belongs to another workspace")

// Import takes notes in: all of them, or with an error none. A note that is known
// gets the text, the expiry and the supersession of the entry, what it said before
// stays in its history; one that is not known is kept as it stands. by names the
// operator in the ledger. With dry nothing is changed.
//
// A note that was forgotten is not known any more: its file brings it back.
func (m *Memory) Import(ctx context.Context, workspace string, all []Entry, by string, dry bool) (Imported, error) {
	var did Imported
	err := m.db.Write(ctx, func(tx *migrations.Tx) error {
		did = Imported{}
		var changed []string
		if err := eraseForReal(tx); err != nil {
			return err
		}
		for _, e := range all {
			id, err := m.takeIn(tx, workspace, e, by, &did)
			if err != nil {
				return fmt.Errorf("note %s: %w", first(e.ID, "without id"), err)
			}
			if id != "" {
				changed = append(changed, id)
			}
		}
		var err error
		if did.Against, err = rivals(tx, workspace, changed); err != nil {
			return err
		}
		if dry {
			return errDry
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDry) {
		return Imported{}, fmt.Errorf("import notes: %w", err)
	}
	return did, nil
}

// errDry takes a dry run back.
var errDry = errors.New("dry run")

func (m *Memory) takeIn(tx *migrations.Tx, workspace string, e Entry, by string, did *Imported) (changed string, err error) {
	if e.Workspace != "" && e.Workspace != workspace {
		return "", ErrElsewhere
	}
	e.Workspace = workspace
	p := Place{Workspace: workspace, Channel: first(e.Channel, scopePlace(e.Scope)), Requester: by}
	found, err := scanNotes(tx.Query(`SELECT `+noteColumns+` FROM notes n WHERE n.id = $1`, e.ID))
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		did.New++
		return m.insertEntry(tx, p, e)
	}
	old := found[0]
	if old.Workspace != workspace {
		return "", ErrElsewhere
	}
	if old.Scope != e.Scope {
		return "", fmt.Errorf("its scope is %s and cannot become %s: forget it and make a new one", old.Scope, e.Scope)
	}
	// A file may only add to what went into a note: what is taken away would let it out.
	went, err := writeLabel(label.Join(old.Label, e.Label))
	if err != nil {
		return "", err
	}
	had, err := writeLabel(old.Label)
	if err != nil {
		return "", err
	}
	if e.SupersededBy != "" && e.SupersededAt.IsZero() {
		e.SupersededAt = tx.Now()
	}
	if had == went && old.Text == e.Text && old.ExpiresAt.Equal(e.ExpiresAt) && old.SupersededBy == e.SupersededBy {
		did.Unchanged++
		return changed, nil
	}
	did.Corrected++
	if old.Text != e.Text {
		changed = old.ID
		if old, err = m.rewrite(tx, p, old, e.Text); err != nil {
			return "", err
		}
	}
	if had == went && old.ExpiresAt.Equal(e.ExpiresAt) && old.SupersededBy == e.SupersededBy {
		return changed, nil
	}
	old.ExpiresAt, old.Label = e.ExpiresAt, label.Join(old.Label, e.Label)
	if _, err := m.record(tx, p, "note.imported", old, "", map[string]string{"superseded_by": e.SupersededBy}); err != nil {
		return "", err
	}
	_, err = tx.Exec(`UPDATE notes SET expires_at = $1, superseded_by = $2, superseded_at = $3, label = $4 WHERE seq = $5`,
		migrations.Micros(e.ExpiresAt), e.SupersededBy, migrations.Micros(e.SupersededAt), went, old.seq)
	return changed, err
}

func (m *Memory) insertEntry(tx *migrations.Tx, p Place, e Entry) (id string, err error) {
	n := e.Note
	if n.ID == "" {
		n.ID = migrations.NewID("n_")
	}
	if same, err := sameNote(tx, n.Workspace, n.Scope, n.Text); err == nil && n.SupersededBy == "" {
		return "", fmt.Errorf("note %s says the same in %s already", same.ID, n.Scope)
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	n.Author, n.Channel = first(n.Author, p.Requester), first(n.Channel, p.Channel)
	for _, at := range []*time.Time{&n.CreatedAt, &n.UpdatedAt} {
		if at.IsZero() {
			*at = tx.Now()
		}
	}
	if n.SupersededBy != "" && n.SupersededAt.IsZero() {
		n.SupersededAt = n.UpdatedAt
	}
	went, err := writeLabel(n.Label)
	if err != nil {
		return "", err
	}
	seq, err := m.record(tx, p, "note.imported", n, n.Text, nil)
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(`INSERT INTO notes (id, workspace, scope, place, text, digest, author, channel, ts, permalink, version, superseded_by, ledger_seq, created_at, updated_at, expires_at, label, own, superseded_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
		n.ID, n.Workspace, n.Scope, scopePlace(n.Scope), n.Text, digest(n.Text), n.Author, n.Channel, n.TS, n.Permalink, n.Version, n.SupersededBy,
		seq, migrations.Micros(n.CreatedAt), migrations.Micros(n.UpdatedAt), migrations.Micros(n.ExpiresAt), went, n.Own, migrations.Micros(n.SupersededAt))
	if err != nil {
		return "", fmt.Errorf("insert: %w", err)
	}
	for _, v := range e.History {
		old := n
		old.Version = v.Version
		seq, err := m.record(tx, p, "note.imported", old, v.Text, nil)
		if err != nil {
			return "", err
		}
		if _, err := tx.Exec(`INSERT INTO note_versions (note, version, text, author, ledger_seq, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			n.ID, v.Version, v.Text, v.Author, seq, migrations.Micros(v.At)); err != nil {
			return "", fmt.Errorf("keep version %d: %w", v.Version, err)
		}
	}
	return n.ID, nil
}

// CorrectAs is Correct for those who run the agent: any note, by its id. by names
// the operator in the ledger.
func (m *Memory) CorrectAs(ctx context.Context, workspace, id, text, by string) (note Note, against []Rivals, err error) {
	err = m.db.Write(ctx, func(tx *migrations.Tx) error {
		against = nil
		found, err := scanNotes(tx.Query(`SELECT `+noteColumns+` FROM notes n WHERE n.workspace = $1 AND n.id = $2 AND n.superseded_by = ''`, workspace, id))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return ErrNotFound
		}
		if text, err = noteText(text); err != nil {
			return err
		}
		if note = found[0]; note.Text == text {
			return nil
		}
		if same, err := sameNote(tx, workspace, note.Scope, text); err == nil && same.ID != note.ID {
			return fmt.Errorf("note %s says that already", same.ID)
		}
		if note, err = m.rewrite(tx, Place{Workspace: workspace, Channel: note.Channel, Requester: by}, note, text); err != nil {
			return err
		}
		against, err = rivals(tx, workspace, []string{note.ID})
		return err
	})
	if err != nil {
		return Note{}, nil, fmt.Errorf("correct note %s: %w", id, err)
	}
	return note, against, nil
}
