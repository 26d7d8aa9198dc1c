package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"deskmate/migrations"
)

// AmbiguousError: the words fit several notes, or none well enough to erase it
// for good. Candidates are those that may be meant, best first.
type AmbiguousError struct{ Candidates []Note }

func (e *AmbiguousError) Error() string {
	return strconv.Itoa(len(e.Candidates)) + " notes may be meant: name one by its id"
}

const maxCandidates = 10

// Forget erases a note that may be seen in p for good: the note, its history,
// those that it superseded, their words in the index, their texts in the ledger,
// the message it was made from, and the messages in that message's channel and in
// p's that quote it. which is the note's id, its text, or words that fit it alone.
// Errors: ErrNotFound, ErrEmpty, ErrHeld, *AmbiguousError (nothing is forgotten then).
//
// Nothing of it is left in the file when Forget returns, but for a moment in
// which another process reads: then Scrub finishes it.
func (m *Memory) Forget(ctx context.Context, p Place, which string) (Forgotten, error) {
	var gone Forgotten
	err := m.db.Write(ctx, func(tx *migrations.Tx) error {
		n, err := meant(tx, p, which)
		if err != nil {
			return err
		}
		gone, err = m.erase(tx, p, n)
		return err
	})
	if err != nil {
		return Forgotten{}, fmt.Errorf("forget: %w", err)
	}
	// The note is gone for every reader. That old pages are still in the
	// write-ahead log while somebody reads is no failure of forgetting, and the
	// next Scrub or checkpoint ends it.
	_ = m.Scrub(ctx)
	return gone, nil
}

// meant finds the one note that which names.
func meant(tx *migrations.Tx, p Place, which string) (Note, error) {
	which = strings.TrimSpace(which)
	if n, err := noteIn(tx, p, which); err == nil || !errors.Is(err, ErrNotFound) {
		return n, err
	}
	terms := parse(which).all()
	if len(terms) == 0 {
		return Note{}, ErrEmpty
	}
	fits, err := notesWith(tx, p, terms)
	if err != nil {
		return Note{}, err
	}
	return choose(fits, which, len(terms))
}

// fit is a note and how many of the terms it has.
type fit struct {
	note Note
	has  int
}

// notesWith gives the notes in reach that have any of the terms, most first.
func notesWith(tx *migrations.Tx, p Place, terms []term) ([]fit, error) {
	has := map[string]*fit{}
	for _, t := range terms {
		notes, err := scanNotes(tx.Query(reachSQL+`SELECT `+noteColumns+` FROM reach, memory_index JOIN notes n ON n.seq = memory_index.rowid - `+noteRows+`
			WHERE memory_index.rowid > `+noteRows+` AND `+noteInReach+` AND memory_index MATCH $7`,
			p.args(tx.Now(), t.match())...))
		if err != nil {
			return nil, fmt.Errorf("search notes: %w", err)
		}
		for _, n := range notes {
			if has[n.ID] == nil {
				has[n.ID] = &fit{note: n}
			}
			has[n.ID].has++
		}
	}
	var fits []fit
	for _, f := range has {
		fits = append(fits, *f)
	}
	slices.SortFunc(fits, func(a, b fit) int {
		if a.has != b.has {
			return b.has - a.has
		}
		return int(b.note.seq - a.note.seq)
	})
	return fits, nil
}

// choose takes the one note that is meant: the one of that very text, or the only
// one with the most words, if those are more than half of what was asked.
func choose(fits []fit, which string, terms int) (Note, error) {
	if len(fits) == 0 {
		return Note{}, ErrNotFound
	}
	var same []Note
	e := &AmbiguousError{}
	for i, f := range fits {
		if digest(f.note.Text) == digest(which) {
			same = append(same, f.note)
		}
		if i < maxCandidates && 2*f.has >= fits[0].has {
			e.Candidates = append(e.Candidates, f.note)
		}
	}
	alone := len(fits) == 1 || fits[1].has < fits[0].has
	switch {
	case len(same) == 1:
		return same[0], nil
	case len(same) == 0 && alone && 2*fits[0].has > terms:
		return fits[0].note, nil
	}
	return Note{}, e
}

// erase removes n, the notes it superseded, and what quotes them.
func (m *Memory) erase(tx *migrations.Tx, p Place, n Note) (Forgotten, error) {
	if err := eraseForReal(tx); err != nil {
		return Forgotten{}, err
	}
	gone := Forgotten{ID: n.ID, Workspace: n.Workspace}
	chain, err := scanNotes(tx.Query(`WITH RECURSIVE chain AS (
			SELECT id FROM notes WHERE id = $1
			UNION SELECT o.id FROM notes o JOIN chain ON o.superseded_by = chain.id)
		SELECT `+noteColumns+` FROM notes n JOIN chain ON n.id = chain.id`, n.ID))
	if err != nil {
		return Forgotten{}, fmt.Errorf("read what note %s superseded: %w", n.ID, err)
	}
	for _, old := range chain {
		if kept, err := isHeld(tx, old.Workspace, old.Scope); err != nil {
			return Forgotten{}, err
		} else if kept {
			return Forgotten{}, ErrHeld
		}
		sources, said, err := m.eraseNote(tx, p, old, false)
		if err != nil {
			return Forgotten{}, err
		}
		gone.Texts = append(gone.Texts, said...)
		gone.Notes = append(gone.Notes, old.ID)
		if old.Permalink != "" {
			gone.Links = append(gone.Links, old.Permalink)
		}
		gone.Messages = append(gone.Messages, sources...)
	}
	if gone.Only, err = onlyIn(tx, gone.Texts); err != nil {
		return Forgotten{}, err
	}
	if _, err := m.record(tx, p, "note.forgotten", n, "", map[string]string{
		"notes": strconv.Itoa(len(gone.Notes)), "messages": strconv.Itoa(len(gone.Messages))}); err != nil {
		return Forgotten{}, err
	}
	for _, erase := range m.erasers {
		if err := erase(tx, gone); err != nil {
			return Forgotten{}, fmt.Errorf("erase what others keep of note %s: %w", n.ID, err)
		}
	}
	return gone, nil
}

// onlyIn gives the words of texts that nothing in the index has: a name, a number, a
// code word that went with what was forgotten.
func onlyIn(tx *migrations.Tx, texts []string) ([]string, error) {
	var only []string
	asked := map[string]bool{}
	for _, w := range words(unescape(strings.Join(texts, "\n"))) {
		if asked[w.text] || len(w.text) < onlyAtLeast || stopWords[w.text] || empties[w.text] {
			continue
		}
		asked[w.text] = true
		var kept bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM memory_index WHERE memory_index MATCH $1)`, term{words: []string{w.text}}.match()).Scan(&kept); err != nil {
			return nil, fmt.Errorf("look whether anything else has a word: %w", err)
		}
		if !kept {
			only = append(only, w.text)
		}
	}
	return only, nil
}

// onlyAtLeast is how many bytes a word has at least that tells of a note by itself.
const onlyAtLeast = 4

// Has reports whether a text has any of some words, which are lower-cased.
func Has(text string, any []string) bool {
	if len(any) == 0 {
		return false
	}
	for _, w := range words(unescape(text)) {
		if slices.Contains(any, w.text) {
			return true
		}
	}
	return false
}

// eraseNote removes one note, and what was said of it unless keepMessages.
func (m *Memory) eraseNote(tx *migrations.Tx, p Place, n Note, keepMessages bool) (sources []Source, said []string, err error) {
	versions, err := versionsOf(tx, n)
	if err != nil {
		return nil, nil, err
	}
	entries, err := ledgerEntries(tx, n)
	if err != nil {
		return nil, nil, err
	}
	for _, seq := range entries {
		if _, err := m.ledger.Erase(tx, n.Workspace, seq); err != nil {
			return nil, nil, fmt.Errorf("erase ledger text of note %s: %w", n.ID, err)
		}
	}
	if _, err := tx.Exec(`DELETE FROM note_versions WHERE note = $1`, n.ID); err != nil {
		return nil, nil, fmt.Errorf("erase history of note %s: %w", n.ID, err)
	}
	if _, err := tx.Exec(`DELETE FROM notes WHERE seq = $1`, n.seq); err != nil {
		return nil, nil, fmt.Errorf("erase note %s: %w", n.ID, err)
	}
	if err := m.endQuestions(tx, n.Workspace, `q.against = $2`, n.ID); err != nil {
		return nil, nil, err
	}
	for _, v := range versions {
		if err := m.endQuestions(tx, n.Workspace, `instr(q.text, $2) > 0`, v.Text); err != nil {
			return nil, nil, err
		}
	}
	if keepMessages {
		return nil, nil, nil
	}
	quotes, err := quotesOf(tx, p, n, versions)
	if err != nil {
		return nil, nil, err
	}
	for _, q := range quotes {
		if err := m.Deleted(tx, n.Workspace, q.Channel, q.TS); err != nil {
			return nil, nil, err
		}
		sources = append(sources, Source{q.Channel, q.TS})
	}
	for _, v := range versions {
		if len(words(unescape(v.Text))) >= 2 { // one word stands everywhere
			said = append(said, v.Text)
		}
	}
	return sources, said, nil
}

func ledgerEntries(tx *migrations.Tx, n Note) ([]int64, error) {
	rows, err := tx.Query(`SELECT ledger_seq FROM note_versions WHERE note = $1`, n.ID)
	if err != nil {
		return nil, fmt.Errorf("read ledger entries of note %s: %w", n.ID, err)
	}
	defer rows.Close()
	all := []int64{n.ledgerSeq}
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, fmt.Errorf("read ledger entries of note %s: %w", n.ID, err)
		}
		all = append(all, seq)
	}
	return all, rows.Err()
}

// quotePhrase is how many words of a note are looked up as a phrase to find the
// messages that may quote it. Fewer than three words are no quotation: such notes
// only take messages of their own thread with them.
const (
	quotePhrase  = 6
	quoteAtLeast = 3
)

// quotesOf finds the messages that go with n: its source, and those in its thread
// or elsewhere in its channel or p's that have all words of a version in a row.
func quotesOf(tx *migrations.Tx, p Place, n Note, versions []Version) ([]Message, error) {
	found := map[Source]Message{}
	add := func(quoting []Version, query string, args ...any) error {
		rows, err := tx.Query(`SELECT m.channel, m.ts, m.text FROM messages m `+query, args...)
		if err != nil {
			return fmt.Errorf("look for quotes of note %s: %w", n.ID, err)
		}
		defer rows.Close()
		for rows.Next() {
			var q Message
			if err := rows.Scan(&q.Channel, &q.TS, &q.Text); err != nil {
				return fmt.Errorf("look for quotes of note %s: %w", n.ID, err)
			}
			isSource := q.Channel == n.Channel && q.TS == n.TS
			if isSource || slices.ContainsFunc(quoting, func(v Version) bool { return quotes(q.Text, v.Text) }) {
				found[Source{q.Channel, q.TS}] = q
			}
		}
		return rows.Err()
	}
	if err := add(versions, `JOIN messages s ON s.workspace = m.workspace AND s.channel = m.channel AND s.thread = m.thread
		WHERE s.workspace = $1 AND s.channel = $2 AND s.ts = $3 AND m.gone_at = 0`, n.Workspace, n.Channel, n.TS); err != nil {
		return nil, err
	}
	if err := asking(tx, p, n, versions, found); err != nil {
		return nil, err
	}
	for _, v := range versions {
		spoken := words(unescape(v.Text))
		if len(spoken) < quoteAtLeast {
			continue
		}
		phrase := term{words: texts(spoken[:min(quotePhrase, len(spoken))])}
		if err := add([]Version{v}, `JOIN memory_index x ON x.rowid = m.id
			WHERE m.workspace = $1 AND m.channel IN ($2, $3) AND m.gone_at = 0 AND x.memory_index MATCH $4`,
			n.Workspace, n.Channel, p.Channel, phrase.match()); err != nil {
			return nil, err
		}
	}
	var all []Message
	for _, q := range found {
		all = append(all, q)
	}
	slices.SortFunc(all, func(a, b Message) int { return strings.Compare(a.Channel+" "+a.TS, b.Channel+" "+b.TS) })
	return all, nil
}

// asking finds the messages of the last hour in which who forgets asked for it, in
// their own words.
func asking(tx *migrations.Tx, p Place, n Note, versions []Version, found map[Source]Message) error {
	rows, err := tx.Query(`SELECT m.channel, m.ts, m.text FROM messages m WHERE m.workspace = $1 AND m.author = $2 AND m.channel = $3 AND m.said_at > $4 AND m.gone_at = 0`,
		n.Workspace, p.Requester, p.Channel, migrations.Micros(tx.Now().Add(-time.Hour)))
	if err != nil {
		return fmt.Errorf("look for who asked to forget note %s: %w", n.ID, err)
	}
	defer rows.Close()
	for rows.Next() {
		var q Message
		if err := rows.Scan(&q.Channel, &q.TS, &q.Text); err != nil {
			return fmt.Errorf("look for who asked to forget note %s: %w", n.ID, err)
		}
		if strings.Contains(strings.ToLower(q.Text), "forget") && slices.ContainsFunc(versions, func(v Version) bool { return Tells(q.Text, v.Text) }) {
			found[Source{q.Channel, q.TS}] = q
		}
	}
	return rows.Err()
}

// tellsAtLeast is the share of a note's words that a text needs to tell of it.
const tellsAtLeast = 0.6

// Tells reports whether a text says what a note says, in the same or in other
// words: most of those that tell something are in it.
func Tells(text, note string) bool {
	wanted := stemSet(unescape(note))
	if len(wanted) == 0 {
		return false
	}
	has, n := stemSet(unescape(text)), 0
	for w := range wanted {
		if has[w] {
			n++
		}
	}
	return float64(n) >= tellsAtLeast*float64(len(wanted))
}

func stemSet(text string) map[string]bool {
	all := map[string]bool{}
	for _, w := range words(text) {
		if !empties[w.text] && !helpers[w.text] && !copulas[w.text] && len(w.text) > 2 {
			all[stem(w.text)] = true
		}
	}
	return all
}

// quotes reports whether text has all words of note in a row.
func quotes(text, note string) bool {
	joined := func(s string) string { return " " + strings.Join(texts(words(unescape(s))), " ") + " " }
	return strings.Contains(joined(text), joined(note))
}

// Scrub moves the write-ahead log into the database file and empties it, so that
// erased pages are in neither. It is a no-op where nothing was written.
func (m *Memory) Scrub(ctx context.Context) error {
	return m.db.EmptyLog(ctx)
}

// eraseForReal makes SQLite overwrite with zeros what the writing connection
// deletes from here on. Every write of a text asks for it, not only the erasing
// ones: pages that split while it is off keep copies that nothing erases later.
// Source: sqlite.org/pragma.html#pragma_secure_delete.
func eraseForReal(tx *migrations.Tx) error {
	var on int
	if err := tx.QueryRow(`PRAGMA secure_delete = ON`).Scan(&on); err != nil {
		return fmt.Errorf("turn on secure deletion: %w", err)
	}
	return nil
}

// ErrNotOwn: somebody asked for the note, so it is forgotten and not undone.
var ErrNotOwn = errors.New("somebody asked me to keep this note; say `forget` to erase it with what was said of it")

// Undo takes back a note that the agent made by its own judgement and nobody has
// changed since: the note, its words in the index and its text in the ledger go,
// what people said stays. Errors: ErrNotFound, ErrNotOwn, ErrHeld.
func (m *Memory) Undo(ctx context.Context, p Place, id string) (Note, error) {
	var n Note
	err := m.db.Write(ctx, func(tx *migrations.Tx) (err error) {
		if n, err = noteIn(tx, p, id); err != nil {
			return err
		}
		if !n.Own || n.Version > 1 {
			return ErrNotOwn
		}
		if kept, err := isHeld(tx, n.Workspace, n.Scope); err != nil {
			return err
		} else if kept {
			return ErrHeld
		}
		if err := eraseForReal(tx); err != nil {
			return err
		}
		if _, _, err := m.eraseNote(tx, p, n, true); err != nil {
			return err
		}
		// What it took the place of holds again.
		if _, err := tx.Exec(`UPDATE notes SET superseded_by = '', superseded_at = 0 WHERE superseded_by = $1`, n.ID); err != nil {
			return fmt.Errorf("restore what note %s superseded: %w", n.ID, err)
		}
		_, err = m.record(tx, p, "note.undone", n, "", nil)
		return err
	})
	if err != nil {
		return Note{}, fmt.Errorf("undo note: %w", err)
	}
	_ = m.Scrub(ctx) // as in Forget: the next one ends what this one cannot
	return n, nil
}
