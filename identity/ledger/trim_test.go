package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"deskmate/migrations"
)

// writeDenied writes a refusal as the gate does.
func writeDenied(tx *migrations.Tx, l *Ledger, key string) error {
	const why = "guests cannot ask for it"
	now := migrations.Micros(tx.Now())
	call := l.MAC(ws, FieldCall, key)
	seq, err := l.Append(tx, Record{Workspace: ws, Kind: KindDenied, Agent: "U0AGENT", Actor: "U0AGENT", Requester: "U0GIL", Turn: "t1", Channel: "C0ENG",
		Tool: "post", Class: "write", Action: key, Decision: "deny", Fields: map[string]string{FieldCall: call}, Payload: map[string]string{PayloadError: why}})
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO actions (workspace, key, turn, tool, class, requester, channel, fingerprint, state, error, intent_seq, created_at, ended_at)
		VALUES ($1, $2, 't1', 'post', 'write', 'U0GIL', 'C0ENG', $3, 'denied', $4, $5, $6, $7)`, ws, key, call, why, seq, now, now)
	return err
}

// writeOpen writes an action that is under way.
func writeOpen(tx *migrations.Tx, l *Ledger, key string) error {
	call := l.MAC(ws, FieldCall, key)
	seq, err := l.Append(tx, Record{Workspace: ws, Kind: KindIntent, Agent: "U0AGENT", Actor: "U0AGENT", Requester: "U0BEN", Turn: "t1", Channel: "C0ENG",
		Tool: "post", Class: "write", Action: key, Decision: "allow", Fields: map[string]string{FieldCall: call}, Payload: map[string]string{PayloadArgs: "{}"}})
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO actions (workspace, key, turn, tool, class, requester, channel, fingerprint, state, intent_seq, created_at)
		VALUES ($1, $2, 't1', 'post', 'write', 'U0BEN', 'C0ENG', $3, 'intended', $4, $5)`, ws, key, call, seq, migrations.Micros(tx.Now()))
	return err
}

// Texts that are let go leave a ledger that verifies, whatever became of the
// action that they belong to.
func TestErasingTextsOfEveryKindOfActionKeepsTheLedgerWhole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, write := range map[string]func(*migrations.Tx, *Ledger, string) error{"done": writeAction, "denied": writeDenied, "under way": writeOpen} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, erase := range map[string]func(l *Ledger) error{
				"trim": func(l *Ledger) error {
					_, err := l.Trim(ctx, ws, "cli:ada", l.db.Now().Add(time.Hour))
					return err
				},
				"entry by entry": func(l *Ledger) error {
					return l.db.Write(ctx, func(tx *migrations.Tx) error {
						size := mustTree(t, tx).size
						for seq := range size {
							if _, err := l.EraseEntry(tx, ws, seq, "cli:ada", "a private matter"); err != nil {
								return err
							}
						}
						return nil
					})
				},
			} {
				l := New(openStore(t), keysOf(t, 'k'), Options{})
				if err := l.db.Write(ctx, func(tx *migrations.Tx) error { return write(tx, l, "k1") }); err != nil {
					t.Fatal(err)
				}
				before := mustVerify(t, l)
				if !before.OK() || before.Actions != 1 {
					t.Fatalf("before: %+v", before)
				}
				if err := erase(l); err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				after := mustVerify(t, l)
				if !after.OK() || after.Erased == 0 || after.Open != before.Open {
					t.Errorf("%s: %+v, want erased texts and no problems", how, after)
				}
				var left int
				if err := l.db.QueryRow(ctx, `SELECT COUNT(*) FROM actions WHERE result NOT IN ('', '{}') OR error <> ''`).Scan(&left); err != nil || left != 0 {
					t.Errorf("%s: %d actions still hold a text, %v", how, left, err)
				}
			}
		})
	}
}

func mustTree(t *testing.T, tx *migrations.Tx) tree {
	t.Helper()
	tr, err := readTree(tx, ws)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// What is erased is told of in the same transaction: whenever the process dies,
// the ledger accounts for every text that is gone.
func TestATrimThatIsCutOffHasToldWhatItErased(t *testing.T) {
	t.Parallel()
	l := grownLedger(t, 2*trimPage+7)
	ctx := context.Background()
	// The third step is refused, as if the process had ended there.
	err := l.db.Write(ctx, func(tx *migrations.Tx) error {
		_, err := tx.Exec(fmt.Sprintf(`CREATE TRIGGER no_more BEFORE DELETE ON ledger_payloads WHEN OLD.seq >= %d BEGIN SELECT RAISE(ABORT, 'the power went'); END`, 2*trimPage))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := l.Trim(ctx, ws, "cli:ada", l.db.Now().Add(time.Hour))
	if err == nil || n != 2*trimPage {
		t.Fatalf("Trim = %d, %v; want the two steps before the failure", n, err)
	}
	told, err := l.Search(ctx, ws, Query{Kind: "ledger.trimmed"})
	if err != nil || len(told) != 2 {
		t.Fatalf("%d entries tell of it, %v; want 2", len(told), err)
	}
	if r := mustVerify(t, l); !r.OK() || r.Erased != 2*trimPage {
		t.Errorf("report = %+v, want %d erased texts", r, 2*trimPage)
	}
	// The next one goes on where it ended, and the one after has nothing to do.
	if err := l.db.Write(ctx, func(tx *migrations.Tx) error { _, err := tx.Exec(`DROP TRIGGER no_more`); return err }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{7, 0} {
		if n, err := l.Trim(ctx, ws, "cli:ada", l.db.Now().Add(time.Hour)); err != nil || n != want {
			t.Errorf("Trim again = %d, %v; want %d", n, err, want)
		}
	}
	told, err = l.Search(ctx, ws, Query{Kind: "ledger.trimmed"})
	if err != nil || len(told) != 3 {
		t.Fatalf("%d entries tell of it, %v; want 3", len(told), err)
	}
	if r, err := told[0].Record(); err != nil || r.Actor != "cli:ada" || r.Fields[FieldFrom] != fmt.Sprint(2*trimPage) || r.Fields[FieldBefore] == "" || r.Fields[FieldTexts] != "7" {
		t.Errorf("it says %+v, %v", r, err)
	}
}

// Retention reaches what is old and nothing else.
func TestTrimGoesByTime(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := New(openStoreAt(t, &clock), keysOf(t, 'k'), Options{})
	start := clock
	for range 10 {
		fill(t, l.db, l, 1)
		clock = clock.Add(time.Hour)
	}
	for _, c := range []struct {
		before time.Duration
		want   int64 // two texts for each entry
	}{{-time.Hour, 0}, {0, 0}, {1, 2}, {time.Hour, 0}, {3*time.Hour + 1, 6}} {
		if n, err := l.Trim(context.Background(), ws, "system", start.Add(c.before)); err != nil || n != c.want {
			t.Errorf("Trim before +%s = %d, %v; want %d", c.before, n, err, c.want)
		}
	}
	if r := mustVerify(t, l); !r.OK() || r.Erased != 8 {
		t.Errorf("report = %+v, want 8 erased texts", r)
	}
}

func TestOnlyWhatIsThereIsErased(t *testing.T) {
	t.Parallel()
	l := grownLedger(t, 2)
	err := l.db.Write(context.Background(), func(tx *migrations.Tx) error {
		_, err := l.EraseEntry(tx, ws, 2, "cli:ada", "x")
		return err
	})
	if !errors.Is(err, ErrNoEntry) {
		t.Errorf("EraseEntry of none = %v, want ErrNoEntry", err)
	}
	if r := mustVerify(t, l); !r.OK() || r.Entries != 2 {
		t.Errorf("report = %+v, want the two entries", r)
	}
}
