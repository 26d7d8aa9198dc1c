package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"deskmate/migrations"
)

// writeAction writes an action as the gate does: intent, row, outcome.
func writeAction(tx *migrations.Tx, l *Ledger, key string) error {
	args, result := `{"channel":"C0ENG","text":"hello from `+key+`"}`, `{"text":"posted","ref":"1700000000.000100"}`
	call := l.MAC(ws, FieldCall, args)
	now := migrations.Micros(tx.Now())
	intent, err := l.Append(tx, Record{Workspace: ws, Kind: KindIntent, Agent: "U0AGENT", Actor: "U0AGENT", Requester: "U0BEN", Turn: "t1",
		Cause: "message:C0ENG:1700000000.000000", Channel: "C0ENG", Thread: "1700000000.000000", Tool: "post", Class: "write", Action: key,
		Decision: "allow", Reasons: []string{"builtin-tools"}, Fields: map[string]string{FieldCall: call, "requester_kind": "member"},
		Payload: map[string]string{PayloadArgs: args}})
	if err != nil {
		return err
	}
	outcome, err := l.Append(tx, Record{Workspace: ws, Kind: KindOutcome, Agent: "U0AGENT", Actor: "U0AGENT", Turn: "t1", Tool: "post",
		Action: key, Outcome: "done", Ref: &intent, Payload: map[string]string{PayloadResult: result}})
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO actions (workspace, key, turn, tool, class, requester, channel, fingerprint, state, result, error, intent_seq, outcome_seq, attempts, created_at, ended_at)
		VALUES ($1, $2, 't1', 'post', 'write', 'U0BEN', 'C0ENG', $3, 'done', $4, '', $5, $6, 1, $7, $8)`, ws, key, call, result, intent, outcome, now, now)
	return err
}

// attacked is a store with seven actions, a checkpoint in the middle and an
// anchored one at the end, whose guards against mistakes are gone.
type attacked struct {
	t        *testing.T
	db       *migrations.DB
	ledger   *Ledger
	anchored Checkpoint
	before   Report
}

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	db := openStore(t)
	a := &attacked{t: t, db: db, ledger: New(db, keysOf(t, 'k'), Options{})}
	for i := range 7 {
		if err := db.Write(context.Background(), func(tx *migrations.Tx) error { return writeAction(tx, a.ledger, fmt.Sprintf("k%d", i)) }); err != nil {
			t.Fatal(err)
		}
		if i == 2 || i == 6 {
			var err error
			if a.anchored, err = a.ledger.Checkpoint(context.Background(), ws); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.exec(`DROP TRIGGER ledger_entries_stay`, `DROP TRIGGER ledger_entries_remain`, `DROP TRIGGER ledger_payloads_stay`, `DROP TRIGGER ledger_checkpoints_stay`,
		`DROP INDEX actions_entry`, `PRAGMA ignore_check_constraints = ON`)
	a.before = mustVerify(t, a.ledger, a.anchored)
	if !a.before.OK() || a.before.Entries != 14 || a.before.Checkpoints != 3 || a.before.Actions != 7 {
		t.Fatalf("before any change: %+v", a.before)
	}
	return a
}

func (a *attacked) exec(statements ...string) {
	a.t.Helper()
	err := a.db.Write(context.Background(), func(tx *migrations.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// column is one value of one row.
type column struct{ table, name, where string }

func (a *attacked) read(c column) (value any) {
	a.t.Helper()
	if err := a.db.QueryRow(context.Background(), `SELECT `+c.name+` FROM `+c.table+` WHERE `+c.where).Scan(&value); err != nil {
		a.t.Fatalf("read %+v: %v", c, err)
	}
	return value
}

// change sets the value and returns a function that takes it back.
func (a *attacked) change(c column, to any) (back func()) {
	a.t.Helper()
	// The primary key may be what changes: take the whole row away and put it back.
	rows, err := a.db.Query(context.Background(), `SELECT * FROM `+c.table+` WHERE `+c.where)
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		a.t.Fatalf("row of %+v: %v", c, err)
	}
	was, at := make([]any, len(names)), make([]any, len(names))
	for i := range was {
		at[i] = &was[i]
	}
	if err := rows.Scan(at...); err != nil {
		a.t.Fatal(err)
	}
	changed := slices.Clone(was)
	changed[slices.Index(names, c.name)] = to
	put := func(away, instead []any) {
		these, marks := make([]string, len(names)), make([]string, len(names))
		for i, name := range names {
			these[i], marks[i] = fmt.Sprintf("%s IS $%d", name, i+1), fmt.Sprintf("$%d", i+1)
		}
		err := a.db.Write(context.Background(), func(tx *migrations.Tx) error {
			if _, err := tx.Exec(`DELETE FROM `+c.table+` WHERE `+strings.Join(these, " AND "), away...); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO `+c.table+` VALUES (`+strings.Join(marks, ", ")+`)`, instead...)
			return err
		})
		if err != nil {
			a.t.Fatalf("change %+v to %v: %v", c, to, err)
		}
	}
	put(was, changed)
	return func() { put(changed, was) }
}

// Every bit of evidence is covered: whichever byte of whichever column of the
// ledger and of the actions is flipped, it is found.
func TestEveryFlippedByteIsFound(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	for _, table := range []struct {
		name, where string
		columns     string
	}{
		{"ledger_entries", "seq = 4", "seq action leaf hashes"},
		{"ledger_entries", "seq = 7", "hashes"}, // completes subtrees of 2, 4 and 8
		{"ledger_payloads", "seq = 4", "seq name body"},
		{"ledger_trees", "workspace = 'T1'", "size edge"},
		{"ledger_checkpoints", "size = 6", "size note"},
		{"ledger_checkpoints", "size = 14", "size note"},
		{"actions", "key = 'k2'", "key turn tool class requester channel fingerprint state result intent_seq outcome_seq attempts created_at ended_at"},
	} {
		for _, name := range strings.Fields(table.columns) {
			c := column{table.name, name, table.where}
			for i, to := range flips(a.read(c)) {
				back := a.change(c, to)
				if r := mustVerify(t, a.ledger, a.anchored); r.OK() {
					t.Errorf("%s.%s, change %d to %q: nothing was found", c.table, c.name, i, to)
				}
				back()
			}
		}
	}
	for _, c := range []column{{"ledger_entries", "workspace", "seq = 13"}, {"ledger_trees", "workspace", "workspace = 'T1'"}, {"actions", "workspace", "key = 'k2'"}} {
		back := a.change(c, "T2")
		if r := mustVerify(t, a.ledger, a.anchored); r.OK() {
			t.Errorf("%s moved to another workspace: nothing was found", c.table)
		}
		back()
	}
	// A text that moves away is as one that was erased, and is counted so.
	back := a.change(column{"ledger_payloads", "workspace", "seq = 4"}, "T2")
	if r := mustVerify(t, a.ledger, a.anchored); !r.OK() || r.Erased != 1 {
		t.Errorf("a text moved to another workspace: %+v, want it counted as erased", r)
	}
	back()
	if r := mustVerify(t, a.ledger, a.anchored); !r.OK() {
		t.Fatalf("the changes were not all taken back: %v", r.Problems)
	}
}

// flips gives every value that differs from v in one bit of one byte, the bit
// varying with the place; of a number, some others.
func flips(v any) (all []any) {
	switch v := v.(type) {
	case int64:
		return []any{v + 1000, -v - 5, v ^ 1<<40}
	case string:
		for i := range len(v) {
			b := []byte(v)
			b[i] ^= 1 << ((i + 3) % 8)
			all = append(all, string(b))
		}
		return append(all, v+" ", v[:len(v)-1])
	case []byte:
		for i := range v {
			b := slices.Clone(v)
			b[i] ^= 1 << ((i + 3) % 8)
			all = append(all, b)
		}
		return append(all, append(slices.Clone(v), 0), v[:len(v)-1])
	}
	panic(fmt.Sprintf("no flips of %T", v))
}

func TestEveryOtherChangeIsFound(t *testing.T) {
	t.Parallel()
	const cutOff = `DELETE FROM ledger_entries WHERE seq >= 12; DELETE FROM ledger_payloads WHERE seq >= 12; DELETE FROM actions WHERE intent_seq >= 12;
		DELETE FROM ledger_checkpoints WHERE size > 12`
	for name, c := range map[string]struct {
		change string
		want   string // part of the first problem
	}{
		"the first entry is deleted":         {`DELETE FROM ledger_entries WHERE seq = 0`, "entry 0 is missing"},
		"an entry in the middle is deleted":  {`DELETE FROM ledger_entries WHERE seq = 5`, "entry 5 is missing"},
		"entries in the middle are deleted":  {`DELETE FROM ledger_entries WHERE seq BETWEEN 5 AND 8`, "entries 5 to 8 are missing"},
		"the last entry is deleted":          {`DELETE FROM ledger_entries WHERE seq = 13`, ""},
		"the end is cut off":                 {cutOff, ""},
		"the end is cut off, edge and all":   {cutOff + `; UPDATE ledger_trees SET size = 12`, "cut off"},
		"everything is deleted":              {`DELETE FROM ledger_entries; DELETE FROM ledger_payloads; DELETE FROM ledger_trees; DELETE FROM ledger_checkpoints; DELETE FROM actions`, "only 0 are here: the end was cut off"},
		"two entries change places":          {`UPDATE ledger_entries SET seq = 100 WHERE seq = 3; UPDATE ledger_entries SET seq = 3 WHERE seq = 4; UPDATE ledger_entries SET seq = 4 WHERE seq = 100`, "entry 3"},
		"an entry is written twice":          {`INSERT INTO ledger_entries SELECT workspace, 14, action, leaf, hashes FROM ledger_entries WHERE seq = 13`, ""},
		"an entry below the first is added":  {`INSERT INTO ledger_entries SELECT workspace, -1, action, leaf, hashes FROM ledger_entries WHERE seq = 0`, "entry -1 should not exist"},
		"an entry without a number is added": {`INSERT INTO ledger_entries SELECT workspace, 'x', action, leaf, hashes FROM ledger_entries WHERE seq = 0`, "cannot be read"},
		"a text is added":                    {`INSERT INTO ledger_payloads VALUES ('T1', 6, 'more', 'x')`, "was added"},
		"a text of no entry is added":        {`INSERT INTO ledger_payloads VALUES ('T1', 99, 'args', 'x')`, "for entry 99"},
		"two texts change places":            {`UPDATE ledger_payloads SET seq = seq + 100 WHERE seq = 4; UPDATE ledger_payloads SET seq = 4 WHERE seq = 6; UPDATE ledger_payloads SET seq = 6 WHERE seq = 104`, "its args is not what was recorded"},
		"an action is deleted":               {`DELETE FROM actions WHERE key = 'k3'`, "k3, is missing"},
		"an action is added":                 {`INSERT INTO actions SELECT workspace, 'k9', turn, tool, class, requester, channel, fingerprint, state, result, error, 99, outcome_seq, attempts, created_at, ended_at FROM actions WHERE key = 'k3'`, "action k9 refers to entry 99"},
		"an action shares another's intent":  {`INSERT INTO actions SELECT workspace, 'k9', turn, tool, class, requester, channel, fingerprint, state, result, error, intent_seq, outcome_seq, attempts, created_at, ended_at FROM actions WHERE key = 'k3'`, "k9"},
		"an action is opened again":          {`UPDATE actions SET state = 'intended', result = '', outcome_seq = -1, ended_at = 0 WHERE key = 'k3'`, "action k3 is not what its outcome"},
		"an action points at an outcome":     {`UPDATE actions SET intent_seq = outcome_seq WHERE key = 'k3'`, "which is not an intent"},
		"an error is added to an action":     {`UPDATE actions SET error = 'x' WHERE key = 'k3'`, "k3"},
		"a checkpoint is added":              {`INSERT INTO ledger_checkpoints SELECT workspace, 3, note FROM ledger_checkpoints WHERE size = 6`, "checkpoint of size 3 is that of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttacked(t)
			a.exec(strings.Split(c.change, ";")...)
			r := mustVerify(t, a.ledger, a.anchored)
			if r.OK() || !strings.Contains(strings.Join(r.Problems, "\n"), c.want) {
				t.Errorf("report = %+v, want a problem with %q", r, c.want)
			}
		})
	}
}

// Erased texts leave holes that a verifier expects.
func TestErasedTextsAndColumnsAreFine(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	a.exec(`DELETE FROM ledger_payloads WHERE seq IN (4, 5)`, `UPDATE actions SET result = '' WHERE key = 'k2'`)
	if r := mustVerify(t, a.ledger, a.anchored); !r.OK() || r.Erased != 2 {
		t.Errorf("report = %+v, want 2 erased texts and no problems", r)
	}
}

func TestAReportIsBounded(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	l := New(db, keysOf(t, 'k'), Options{})
	fill(t, db, l, 80)
	if r := mustVerify(t, New(db, keysOf(t, 'x'), Options{})); len(r.Problems) != mostProblems || r.More != 160-mostProblems {
		t.Errorf("%d problems and %d more, want %d and %d: each of 160 texts has another key's MAC", len(r.Problems), r.More, mostProblems, 160-mostProblems)
	}
}
