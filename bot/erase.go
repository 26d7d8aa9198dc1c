package bot

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskErase is the kind of the tasks that erase turns which were under way when
// what they tell of was forgotten; one for each workspace.
const TaskErase = "erase"

// Eraser removes what the bot keeps of a note that was forgotten and of its
// messages: the events, and the steps, posts and results of the turns that worked
// them, that quoted the note or named its source, or that were given it and tell of
// it in other words, with their texts in the ledger; what set runs off; and posts of
// no turn. What is under way is erased once it has ended.
func Eraser(l *ledger.Ledger) func(tx *migrations.Tx, f memory.Forgotten) error {
	return func(tx *migrations.Tx, f memory.Forgotten) error {
		turns := map[string]bool{}
		add := func(ids []string, err error) error {
			for _, id := range ids {
				turns[id] = true
			}
			return err
		}
		for _, m := range f.Messages {
			if err := add(texts(tx, `SELECT DISTINCT i.turn FROM inbox i JOIN turns t ON t.id = i.turn
				WHERE i.workspace = $1 AND i.channel = $2 AND i.ts = $3`, f.Workspace, m.Channel, m.TS)); err != nil {
				return fmt.Errorf("find turns of message %s: %w", m.TS, err)
			}
		}
		for _, said := range f.Texts {
			if err := add(quoting(tx, f.Workspace, said)); err != nil {
				return err
			}
		}
		for _, id := range f.Notes {
			if err := add(given(tx, f, id)); err != nil {
				return err
			}
			if err := add(naming(tx, f.Workspace, id)); err != nil {
				return err
			}
		}
		for _, link := range f.Links {
			if err := add(given(tx, f, link)); err != nil {
				return err
			}
			if err := add(naming(tx, f.Workspace, link)); err != nil {
				return err
			}
		}
		if err := add(underWay(tx, f)); err != nil {
			return err
		}
		for turn := range turns {
			if err := eraseEnded(tx, l, f.Workspace, turn); err != nil {
				return fmt.Errorf("erase turn %s: %w", turn, err)
			}
		}
		if err := eraseUnasked(tx, l, f); err != nil {
			return err
		}
		for _, said := range f.Texts {
			if err := eraseLoose(tx, f.Workspace, said); err != nil {
				return err
			}
		}
		if err := eraseCauses(tx, f); err != nil {
			return err
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

// eraseEnded erases a turn, or has it erased once it has ended and said what it owes.
func eraseEnded(tx *migrations.Tx, l *ledger.Ledger, workspace, turn string) error {
	if post, is := strings.CutPrefix(turn, loosePost); is {
		return erasePost(tx, l, workspace, post)
	}
	var busy bool
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM turns WHERE id = $1 AND state = 'running') OR EXISTS (SELECT 1 FROM outbox WHERE turn = $1 AND state = 'queued')`, turn).Scan(&busy)
	if err != nil {
		return err
	}
	if !busy {
		return eraseTurn(tx, l, workspace, turn)
	}
	return eraseLater(tx, workspace, turn)
}

func eraseLater(tx *migrations.Tx, workspace, turn string) error {
	if _, err := tx.Exec(`INSERT INTO turn_erasures (turn, workspace) VALUES ($1, $2) ON CONFLICT (turn) DO NOTHING`, turn, workspace); err != nil {
		return err
	}
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: TaskErase, Key: TaskErase + ":" + workspace, Due: tx.Now().Add(time.Second)})
}

// EraseWaiting erases the turns of a workspace that have ended since they were to
// be erased; left is how many are still under way.
func EraseWaiting(tx *migrations.Tx, l *ledger.Ledger, workspace string) (erased, left int, err error) {
	turns, err := texts(tx, `SELECT turn FROM turn_erasures WHERE workspace = $1`, workspace)
	if err != nil {
		return 0, 0, fmt.Errorf("look for turns to erase: %w", err)
	}
	if len(turns) == 0 {
		return 0, 0, nil
	}
	var on int // as memory has it for all texts
	if err := tx.QueryRow(`PRAGMA secure_delete = ON`).Scan(&on); err != nil {
		return 0, 0, fmt.Errorf("turn on secure deletion: %w", err)
	}
	for _, turn := range turns {
		if _, err := tx.Exec(`DELETE FROM turn_erasures WHERE turn = $1`, turn); err != nil {
			return 0, 0, fmt.Errorf("erase turn %s: %w", turn, err)
		}
		if err := eraseEnded(tx, l, workspace, turn); err != nil {
			return 0, 0, fmt.Errorf("erase turn %s: %w", turn, err)
		}
		var waits bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM turn_erasures WHERE turn = $1)`, turn).Scan(&waits); err != nil {
			return 0, 0, fmt.Errorf("erase turn %s: %w", turn, err)
		}
		if waits {
			left++
			continue
		}
		erased++
		if _, err := tx.Exec(`DELETE FROM turn_contexts WHERE turn = $1`, turn); err != nil {
			return 0, 0, fmt.Errorf("erase context of turn %s: %w", turn, err)
		}
	}
	return erased, left, nil
}

// encodedText is a text as it stands inside a JSON string.
func encodedText(text string) (string, error) {
	encoded, err := json.Marshal(text)
	if err != nil {
		return "", fmt.Errorf("encode text: %w", err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(encoded), `"`), `"`), nil
}

// quoting gives the turns that hold text word for word: in what they read, what
// they did or what they said.
func quoting(tx *migrations.Tx, workspace, text string) ([]string, error) {
	encoded, err := encodedText(text)
	if err != nil {
		return nil, err
	}
	turns, err := texts(tx, `SELECT t.id FROM turns t WHERE t.workspace = $1 AND (
			EXISTS (SELECT 1 FROM steps s WHERE s.turn = t.id AND instr(s.body, $2) > 0)
			OR EXISTS (SELECT 1 FROM outbox o WHERE o.turn = t.id AND instr(o.body, $2) > 0)
			OR EXISTS (SELECT 1 FROM own_messages w WHERE w.turn = t.id AND instr(w.text, $3) > 0))`,
		workspace, encoded, text)
	if err != nil {
		return nil, fmt.Errorf("find turns that quote a note: %w", err)
	}
	return turns, nil
}

// given gives the turns that were shown a note, by its id or the address of its
// source, and say what it said in whatever words.
func given(tx *migrations.Tx, f memory.Forgotten, shown string) ([]string, error) {
	encoded, err := encodedText(shown)
	if err != nil {
		return nil, err
	}
	turns, err := texts(tx, `SELECT t.id FROM turns t WHERE t.workspace = $1 AND (
			EXISTS (SELECT 1 FROM steps s WHERE s.turn = t.id AND instr(s.body, $2) > 0)
			OR EXISTS (SELECT 1 FROM turn_contexts c WHERE c.turn = t.id AND instr(c.messages, $2) > 0))`, f.Workspace, encoded)
	if err != nil {
		return nil, fmt.Errorf("find turns that were given note %s: %w", f.ID, err)
	}
	return telling(tx, turns, f)
}

// naming gives the turns whose answers name a note or its source, whatever they say
// of it.
func naming(tx *migrations.Tx, workspace, named string) ([]string, error) {
	encoded, err := encodedText(named)
	if err != nil {
		return nil, err
	}
	turns, err := texts(tx, `SELECT o.turn FROM outbox o WHERE o.workspace = $1 AND o.turn <> '' AND instr(o.body, $2) > 0
		UNION SELECT w.turn FROM own_messages w WHERE w.workspace = $1 AND w.turn <> '' AND instr(w.text, $3) > 0`, workspace, encoded, named)
	if err != nil {
		return nil, fmt.Errorf("find answers that name a note: %w", err)
	}
	return turns, nil
}

// underWay gives the running turns that tell of a note: first of all the one that
// has it forgotten.
func underWay(tx *migrations.Tx, f memory.Forgotten) ([]string, error) {
	turns, err := texts(tx, `SELECT id FROM turns WHERE workspace = $1 AND state = 'running'`, f.Workspace)
	if err != nil {
		return nil, fmt.Errorf("find turns that are under way: %w", err)
	}
	return telling(tx, turns, f)
}

// telling are those of turns that say most of what was forgotten, or have a word
// that only it had: they knew it.
func telling(tx *migrations.Tx, turns []string, f memory.Forgotten) ([]string, error) {
	var all []string
	for _, turn := range turns {
		bodies, err := texts(tx, `SELECT body FROM steps WHERE turn = $1 UNION ALL SELECT body FROM outbox WHERE turn = $1 UNION ALL SELECT text FROM own_messages WHERE turn = $1`, turn)
		if err != nil {
			return nil, fmt.Errorf("read turn %s: %w", turn, err)
		}
		if slices.ContainsFunc(bodies, func(body string) bool { return tells(body, f) || memory.Has(body, f.Only) }) {
			all = append(all, turn)
		}
	}
	return all, nil
}

// tells reports whether a text says most of what was forgotten, in whatever words.
func tells(text string, f memory.Forgotten) bool {
	return slices.ContainsFunc(f.Texts, func(note string) bool { return memory.Tells(text, note) })
}

// eraseLoose erases what quotes a text and belongs to no turn.
func eraseLoose(tx *migrations.Tx, workspace, said string) error {
	encoded, err := encodedText(said)
	if err != nil {
		return err
	}
	for _, q := range []struct{ sql, text string }{
		{`UPDATE inbox SET body = '{}' WHERE workspace = $1 AND state IN ('done', 'cancelled') AND instr(body, $2) > 0`, encoded},
		{`UPDATE outbox SET body = '{}' WHERE workspace = $1 AND state <> 'queued' AND instr(body, $2) > 0`, encoded},
		{`DELETE FROM own_messages WHERE workspace = $1 AND instr(text, $2) > 0`, said},
		{`UPDATE turns SET reason = '' WHERE workspace = $1 AND state <> 'running' AND instr(reason, $2) > 0`, said},
		{`UPDATE runs SET error = '' WHERE instr(error, $2) > 0 AND duty IN (SELECT id FROM duties WHERE workspace = $1)`, said},
	} {
		if _, err := tx.Exec(q.sql, workspace, q.text); err != nil {
			return fmt.Errorf("erase what quotes a note: %w", err)
		}
	}
	return nil
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
	return eraseEntries(tx, l, workspace, `a.turn = $2`, turn)
}

// eraseEntries erases the texts of the ledger's entries of the actions that fit;
// where is SQL of ours about actions a, whose arguments count from $2.
func eraseEntries(tx *migrations.Tx, l *ledger.Ledger, workspace, where string, args ...any) error {
	rows, err := tx.Query(`SELECT e.seq FROM ledger_entries e JOIN actions a ON a.key = e.action AND a.workspace = e.workspace WHERE e.workspace = $1 AND `+where,
		append([]any{workspace}, args...)...)
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
	return eraseEntries(tx, l, workspace, `a.turn >= $2 AND a.turn < $3 AND instr(a.result, $4) > 0`, keptTurn, keptTurn+"~", `"ref":"`+note+`"`)
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
