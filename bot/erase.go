package bot

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"deskmate/identity/ledger"
	"deskmate/memory"
	"deskmate/migrations"
)

// Eraser removes what the bot keeps of a note that was forgotten and of its
// messages: the events, and the steps, posts and results of the turns that worked
// them or that quoted the note, with their texts in the ledger. What is under way
// keeps its steps until it has ended.
func Eraser(l *ledger.Ledger) func(tx *migrations.Tx, f memory.Forgotten) error {
	return func(tx *migrations.Tx, f memory.Forgotten) error {
		for _, m := range f.Messages {
			turns, err := texts(tx, `SELECT DISTINCT i.turn FROM inbox i JOIN turns t ON t.id = i.turn
				WHERE i.workspace = $1 AND i.channel = $2 AND i.ts = $3 AND t.state <> 'running'`, f.Workspace, m.Channel, m.TS)
			if err != nil {
				return fmt.Errorf("find turns of message %s: %w", m.TS, err)
			}
			for _, turn := range turns {
				if err := eraseTurn(tx, l, f.Workspace, turn); err != nil {
					return fmt.Errorf("erase turn %s: %w", turn, err)
				}
			}
		}
		for _, said := range f.Texts {
			turns, err := quoting(tx, f.Workspace, said)
			if err != nil {
				return err
			}
			for _, turn := range turns {
				if err := eraseTurn(tx, l, f.Workspace, turn); err != nil {
					return fmt.Errorf("erase turn %s: %w", turn, err)
				}
			}
		}
		for _, note := range f.Notes {
			if err := eraseKept(tx, l, f.Workspace, note); err != nil {
				return fmt.Errorf("erase what kept note %s: %w", note, err)
			}
		}
		// What a model was given may quote the note anywhere; it is only kept to be
		// looked at.
		if _, err := tx.Exec(`DELETE FROM turn_contexts WHERE workspace = $1`, f.Workspace); err != nil {
			return fmt.Errorf("erase contexts: %w", err)
		}
		return nil
	}
}

// quoting gives the turns that have ended and hold text word for word: in what
// they read, what they did or what they said.
func quoting(tx *migrations.Tx, workspace, text string) ([]string, error) {
	encoded, err := json.Marshal(text)
	if err != nil {
		return nil, fmt.Errorf("encode text: %w", err)
	}
	turns, err := texts(tx, `SELECT t.id FROM turns t WHERE t.workspace = $1 AND t.state <> 'running' AND (
			EXISTS (SELECT 1 FROM steps s WHERE s.turn = t.id AND instr(s.body, $2) > 0)
			OR EXISTS (SELECT 1 FROM outbox o WHERE o.turn = t.id AND instr(o.body, $2) > 0)
			OR EXISTS (SELECT 1 FROM own_messages w WHERE w.turn = t.id AND instr(w.text, $3) > 0))`,
		workspace, strings.Trim(string(encoded), `"`), text)
	if err != nil {
		return nil, fmt.Errorf("find turns that quote a note: %w", err)
	}
	return turns, nil
}

func eraseTurn(tx *migrations.Tx, l *ledger.Ledger, workspace, turn string) error {
	for _, q := range []string{
		`UPDATE inbox SET body = '{}' WHERE turn = $1 AND state IN ('done', 'cancelled')`,
		`DELETE FROM steps WHERE turn = $1`,
		`DELETE FROM own_messages WHERE turn = $1`,
		`UPDATE outbox SET body = '{}' WHERE turn = $1 AND state <> 'queued'`,
		`UPDATE approvals SET args = '' WHERE turn = $1`,
		`UPDATE actions SET result = '{}', error = '' WHERE turn = $1 AND state <> 'intended'`,
	} {
		if _, err := tx.Exec(q, turn); err != nil {
			return err
		}
	}
	rows, err := tx.Query(`SELECT e.seq FROM ledger_entries e JOIN actions a ON a.key = e.action AND a.workspace = e.workspace WHERE e.workspace = $1 AND a.turn = $2`, workspace, turn)
	if err != nil {
		return err
	}
	seqs, err := column[int64](rows)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if _, err := l.Erase(tx, workspace, seq); err != nil {
			return err
		}
	}
	return nil
}

// eraseKept erases the text of the action with which somebody kept a note by a
// shortcut, outside any turn.
func eraseKept(tx *migrations.Tx, l *ledger.Ledger, workspace, note string) error {
	rows, err := tx.Query(`SELECT e.seq FROM actions a JOIN ledger_entries e ON e.workspace = a.workspace AND e.action = a.key
		WHERE a.workspace = $1 AND a.turn >= $2 AND a.turn < $3 AND instr(a.result, $4) > 0`, workspace, keptTurn, keptTurn+"~", `"ref":"`+note+`"`)
	if err != nil {
		return err
	}
	seqs, err := column[int64](rows)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if _, err := l.Erase(tx, workspace, seq); err != nil {
			return err
		}
	}
	return nil
}

func texts(tx *migrations.Tx, q string, args ...any) ([]string, error) {
	rows, err := tx.Query(q, args...)
	if err != nil {
		return nil, err
	}
	return column[string](rows)
}

// column reads rows of one column and closes them.
func column[T any](rows *sql.Rows) ([]T, error) {
	defer rows.Close()
	var all []T
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
