package memory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Answers to a Question.
const (
	AnswerReplace = "replace" // the new one holds, the old one is no longer true
	AnswerBoth    = "both"    // they go together
	AnswerDrop    = "drop"    // the old one holds, the new one is not kept
)

// questionsFor is how long an answer is waited for: a note that nobody answers for
// is not kept.
const questionsFor = 7 * 24 * time.Hour

// Question is a note that is not kept yet, because another says otherwise.
type Question struct {
	ID        string
	Workspace string
	Channel   string // where it is asked
	Thread    string
	Text      string // of the new note
	Author    string
	AskedBy   string
	AskedAt   time.Time
	Old       Note // that says otherwise, as the place may see it

	note  NewNote
	scope string
	seq   int64
}

// Settled is what came of a Question.
type Settled struct {
	Question Question
	Answer   string
	Note     Note // that holds now
}

// ErrNoQuestion: nothing is asked there, or not any more.
var ErrNoQuestion = errors.New("nothing is asked about any note here (any more)")

// ErrAnswer: the answer is none of the three.
var ErrAnswer = errors.New("the answer is replace, both or drop")

// Propose keeps n as Remember does, unless a note that may be seen in p says
// otherwise: then nothing is kept, and the question which of them holds is given.
// Asked again, it is the same question. Errors: as for Remember.
func (m *Memory) Propose(ctx context.Context, p Place, n NewNote) (note Note, q *Question, err error) {
	err = m.db.Write(ctx, func(tx *migrations.Tx) error {
		q = nil
		scope, err := newScope(tx, p, n)
		if err != nil {
			return err
		}
		if n.Text, err = noteText(n.Text); err != nil {
			return err
		}
		if err := mayNote(tx, p.Workspace, scope, n.Own); err != nil {
			return err
		}
		old, err := otherwise(tx, p, scope, n.Text)
		if err != nil {
			return err
		}
		if old == nil {
			note, err = m.keep(tx, p, scope, n)
			return err
		}
		q, err = m.ask(tx, p, scope, n, *old)
		return err
	})
	if err != nil {
		return Note{}, nil, fmt.Errorf("remember: %w", err)
	}
	return note, q, nil
}

// otherwise gives the newest note in reach that cannot hold together with text; nil
// where there is none, or where scope has a note of that very text.
func otherwise(tx *migrations.Tx, p Place, scope, text string) (*Note, error) {
	if _, err := sameNote(tx, p.Workspace, scope, text); !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return rivalIn(tx, p, "", text)
}

func (m *Memory) ask(tx *migrations.Tx, p Place, scope string, n NewNote, old Note) (*Question, error) {
	same, err := questions(tx, p.Workspace, p.Channel, `q.against = $3 AND q.text = $4 AND q.thread = $5`, old.ID, n.Text, n.Thread)
	if err != nil {
		return nil, err
	}
	if len(same) > 0 {
		same[0].Old = old
		return &same[0], nil
	}
	if err := eraseForReal(tx); err != nil {
		return nil, err
	}
	went, err := writeLabel(n.Label)
	if err != nil {
		return nil, err
	}
	q := Question{ID: migrations.NewID("q_"), Workspace: p.Workspace, Channel: p.Channel, Thread: n.Thread, Text: n.Text, Author: first(n.Author, p.Requester),
		AskedBy: p.Requester, AskedAt: tx.Now(), Old: old, note: n, scope: scope}
	q.seq, err = m.ledger.Append(tx, ledger.Record{Workspace: p.Workspace, Kind: "note.questioned", Actor: p.Requester, Requester: p.Requester, Channel: p.Channel, Thread: n.Thread,
		Fields: map[string]string{"question": q.ID, "note": old.ID, "scope": scope}, Payload: map[string]string{"text": n.Text}})
	if err != nil {
		return nil, fmt.Errorf("record question: %w", err)
	}
	_, err = tx.Exec(`INSERT INTO note_questions (id, workspace, channel, thread, against, scope, text, author, source, ts, permalink, label, own, expires_at, asked_by, asked_at, ledger_seq)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		q.ID, q.Workspace, q.Channel, q.Thread, old.ID, scope, q.Text, q.Author, first(n.Channel, p.Channel), n.TS, n.Permalink, went, n.Own,
		migrations.Micros(n.ExpiresAt), q.AskedBy, migrations.Micros(q.AskedAt), q.seq)
	if err != nil {
		return nil, fmt.Errorf("keep question: %w", err)
	}
	return &q, nil
}

// questions reads those asked in a channel that fit, newest first.
func questions(tx *migrations.Tx, workspace, channel, where string, args ...any) ([]Question, error) {
	rows, err := tx.Query(`SELECT q.id, q.workspace, q.channel, q.thread, q.against, q.scope, q.text, q.author, q.source, q.ts, q.permalink, q.label, q.own, q.expires_at, q.asked_by, q.asked_at, q.ledger_seq
		FROM note_questions q WHERE q.workspace = $1 AND q.channel = $2 AND `+where+` ORDER BY q.asked_at DESC, q.id`, append([]any{workspace, channel}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("look up questions: %w", err)
	}
	defer rows.Close()
	var all []Question
	for rows.Next() {
		var q Question
		var went string
		var expires, asked int64
		n := &q.note
		if err := rows.Scan(&q.ID, &q.Workspace, &q.Channel, &q.Thread, &q.Old.ID, &q.scope, &q.Text, &q.Author, &n.Channel, &n.TS, &n.Permalink, &went, &n.Own,
			&expires, &q.AskedBy, &asked, &q.seq); err != nil {
			return nil, fmt.Errorf("look up questions: %w", err)
		}
		if n.Label, err = readLabel(went); err != nil {
			return nil, fmt.Errorf("look up question %s: %w", q.ID, err)
		}
		n.Text, n.Author, n.Thread, n.ExpiresAt, q.AskedAt = q.Text, q.Author, q.Thread, migrations.Time(expires), migrations.Time(asked)
		all = append(all, q)
	}
	return all, rows.Err()
}

// Settle answers a question that was asked in p's channel: the one of that id, or
// with id "" the newest of a thread. An old note that has gone since contradicts
// nothing. Errors: ErrNoQuestion, ErrAnswer, those of Remember and of Supersede.
func (m *Memory) Settle(ctx context.Context, p Place, thread, id, answer string) (Settled, error) {
	var s Settled
	err := m.db.Write(ctx, func(tx *migrations.Tx) error {
		r, err := readReach(tx, p)
		if err != nil {
			return err
		}
		if !r.own || p.RequesterKind != KindMember {
			return ErrNoQuestion // guests and outsiders do not say what holds
		}
		if answer != AnswerReplace && answer != AnswerBoth && answer != AnswerDrop {
			return ErrAnswer
		}
		open, err := questions(tx, p.Workspace, p.Channel, `(q.id = $3 OR $3 = '' AND q.thread = $4) AND q.asked_at > $5`,
			id, thread, migrations.Micros(tx.Now().Add(-questionsFor)))
		if err != nil {
			return err
		}
		if len(open) == 0 {
			return ErrNoQuestion
		}
		s = Settled{Question: open[0], Answer: answer}
		return m.settle(tx, p, &s)
	})
	if err != nil {
		return Settled{}, fmt.Errorf("settle which note holds: %w", err)
	}
	return s, nil
}

func (m *Memory) settle(tx *migrations.Tx, p Place, s *Settled) error {
	q := &s.Question
	old, err := noteIn(tx, p, q.Old.ID)
	gone := errors.Is(err, ErrNotFound)
	if err != nil && !gone {
		return err
	}
	if !gone {
		q.Old = old
		if err := withhold(tx, p, &q.Old); err != nil {
			return err
		}
	}
	switch {
	case s.Answer == AnswerDrop:
		s.Note = q.Old
	case s.Answer == AnswerReplace && !gone:
		r, err := readReach(tx, p)
		if err != nil {
			return err
		}
		if !r.mayWrite(p, old.Scope) {
			return ErrPlace
		}
		if s.Note, err = m.keep(tx, p, old.Scope, q.note); err != nil {
			return err
		}
		if err := m.replace(tx, p, old, s.Note); err != nil {
			return err
		}
	default:
		if s.Note, err = m.keep(tx, p, q.scope, q.note); err != nil {
			return err
		}
	}
	if _, err := m.ledger.Append(tx, ledger.Record{Workspace: p.Workspace, Kind: "note.settled", Actor: p.Requester, Requester: p.Requester, Channel: p.Channel, Thread: q.Thread,
		Fields: map[string]string{"question": q.ID, "note": q.Old.ID, "answer": s.Answer}}); err != nil {
		return fmt.Errorf("record answer: %w", err)
	}
	return m.endQuestion(tx, *q)
}

// endQuestion erases a question. The text of a note that is kept stands in the
// note and its own entry; that of one that is not is nobody's any more.
func (m *Memory) endQuestion(tx *migrations.Tx, q Question) error {
	if err := eraseForReal(tx); err != nil {
		return err
	}
	if _, err := m.ledger.Erase(tx, q.Workspace, q.seq); err != nil {
		return fmt.Errorf("erase ledger text of question %s: %w", q.ID, err)
	}
	if _, err := tx.Exec(`DELETE FROM note_questions WHERE id = $1`, q.ID); err != nil {
		return fmt.Errorf("end question %s: %w", q.ID, err)
	}
	return nil
}

// endQuestions ends those of a workspace that fit.
func (m *Memory) endQuestions(tx *migrations.Tx, workspace, where string, args ...any) error {
	rows, err := tx.Query(`SELECT q.id, q.ledger_seq FROM note_questions q WHERE q.workspace = $1 AND `+where, append([]any{workspace}, args...)...)
	if err != nil {
		return fmt.Errorf("look up questions: %w", err)
	}
	all, err := scanQuestionRows(rows)
	if err != nil {
		return err
	}
	for _, q := range all {
		q.Workspace = workspace
		if err := m.endQuestion(tx, q); err != nil {
			return err
		}
	}
	return nil
}

func scanQuestionRows(rows *sql.Rows) ([]Question, error) {
	defer rows.Close()
	var all []Question
	for rows.Next() {
		var q Question
		if err := rows.Scan(&q.ID, &q.seq); err != nil {
			return nil, fmt.Errorf("look up questions: %w", err)
		}
		all = append(all, q)
	}
	return all, rows.Err()
}
