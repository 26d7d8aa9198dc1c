package bot

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"deskmate/identity"
	"deskmate/identity/ledger"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

// Forgetting a message leaves nothing of the turn that worked it: not its event,
// its steps, its posts, its results, nor its texts in the ledger, which verifies
// all the same.
func TestForgettingErasesTheTurn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := migrations.Open(ctx, migrated.At(t, path), migrations.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	keys, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	const canary = "canary-4711"
	l := ledger.New(db, keys, ledger.Options{})
	if _, err := identity.NewAgents(db, l).Ensure(ctx, identity.Agent{Workspace: "T1", User: "U0AGENT", Name: "Deskmate"}); err != nil {
		t.Fatal(err)
	}
	gate := identity.NewGate(db, l, identity.FixedPolicy{
		Tools: map[string]bool{"remember": true}, Channel: func(context.Context, string, string) (string, bool, error) { return "public", true, nil },
	}, nil)
	if _, err := gate.Do(ctx, identity.Action{Key: "turn:t1:c1", Workspace: "T1", Turn: "t1", RequesterKind: "member", Channel: "C1", Tool: "remember",
		Class: identity.ClassWrite, Args: []byte(`{"text":"` + canary + `"}`)}, identity.Effect{Do: func(context.Context) (identity.Result, error) {
		return identity.Result{Text: "Remembered " + canary}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	// A note that somebody kept by a shortcut belongs to no turn.
	if _, err := gate.Do(ctx, identity.Action{Key: "form:1", Workspace: "T1", Turn: keptTurn + "form:1", RequesterKind: "member", Channel: "C1", Tool: "remember",
		Class: identity.ClassWrite, Args: []byte(`{"text":"kept ` + canary + `"}`)}, identity.Effect{Do: func(context.Context) (identity.Result, error) {
		return identity.Result{Ref: "n_kept"}, nil
	}}); err != nil {
		t.Fatal(err)
	}
	err = db.Write(ctx, func(tx *migrations.Tx) error {
		for _, q := range []string{
			`INSERT INTO turns (id, workspace, thread_key, channel, thread_ts, requester, cause_kind, cause, state, started_at) VALUES ('t1', 'T1', 'k', 'C1', '1', 'U1', 'message', 'm', 'done', 1)`,
			`INSERT INTO inbox (workspace, event_key, kind, thread_key, channel, thread_ts, ts, user_id, body, state, turn, received_at) VALUES ('T1', 'm', 'message', 'k', 'C1', '1', '1.5', 'U1', '"` + canary + `"', 'done', 't1', 1)`,
			`INSERT INTO steps (turn, n, kind, body, created_at) VALUES ('t1', 0, 'message', '"` + canary + `"', 1)`,
			`INSERT INTO outbox (workspace, channel, thread_ts, post_key, turn, body, state, created_at) VALUES ('T1', 'C1', '1', 'p', 't1', '"` + canary + `"', 'sent', 1)`,
			// A later turn that only answered with the note, and one that has nothing to do with it.
			`INSERT INTO turns (id, workspace, thread_key, channel, thread_ts, requester, cause_kind, cause, state, started_at) VALUES ('t2', 'T1', 'k', 'C1', '1', 'U2', 'message', 'm2', 'done', 2), ('t3', 'T1', 'k', 'C1', '1', 'U2', 'message', 'm3', 'done', 2)`,
			`INSERT INTO steps (turn, n, kind, body, created_at) VALUES ('t2', 0, 'reply', '"It is ` + canary + ` \"for sure\", says Ada"', 2), ('t3', 0, 'reply', '"lunch"', 2)`,
			`INSERT INTO outbox (workspace, channel, thread_ts, post_key, turn, body, state, created_at) VALUES ('T1', 'C1', '1', 'p2', 't2', '"It is ` + canary + ` \"for sure\""', 'sent', 2)`,
			`INSERT INTO own_messages (workspace, channel, thread, ts, author, text, turn) VALUES ('T1', 'C1', '1', '2.5', 'U0AGENT', 'It is ` + canary + ` "for sure", says Ada', 't2')`,
			`INSERT INTO turn_contexts (turn, workspace, channel, thread, messages, tokens, built_at) VALUES ('t2', 'T1', 'C1', '1', '` + canary + `', 1, 2)`,
		} {
			if _, err := tx.Exec(q); err != nil {
				return err
			}
		}
		return Eraser(l)(tx, memory.Forgotten{Workspace: "T1", Notes: []string{"n_kept"}, Messages: []memory.Source{{Channel: "C1", TS: "1.5"}}, Texts: []string{"It is " + canary + ` "for sure"`}})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`SELECT body FROM inbox`, `SELECT body FROM outbox`, `SELECT result FROM actions`, `SELECT COALESCE(GROUP_CONCAT(body), '') FROM steps`,
		`SELECT COALESCE(GROUP_CONCAT(text), '') FROM own_messages`, `SELECT COALESCE(GROUP_CONCAT(messages), '') FROM turn_contexts`, `SELECT COALESCE(GROUP_CONCAT(body), '') FROM outbox`,
		`SELECT COALESCE(GROUP_CONCAT(body), '') FROM ledger_payloads`} {
		var left string
		if err := db.QueryRow(ctx, q).Scan(&left); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if strings.Contains(left, canary) {
			t.Errorf("%s still gives %q", q, left)
		}
	}
	var kept int
	if err := db.QueryRow(ctx, `SELECT COUNT(*) FROM steps WHERE turn = 't3'`).Scan(&kept); err != nil || kept != 1 {
		t.Errorf("a turn that has nothing to do with it keeps %d steps, %v; want 1", kept, err)
	}
	if r, err := l.Verify(ctx, "T1"); err != nil || !r.OK() || r.Erased == 0 {
		t.Errorf("the ledger after erasing: %+v, %v; want it to verify, with erased texts", r, err)
	}
}
