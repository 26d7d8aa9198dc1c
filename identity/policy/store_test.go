package policy

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

const team = "T0"

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) // a Monday

// desk is an engine on a store of its own, and a clock that shows what it is told.
type desk struct {
	t   testing.TB
	e   *Engine
	db  *migrations.DB
	log *ledger.Ledger
	now *atomic.Int64
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	var now atomic.Int64
	now.Store(start.UnixMicro())
	return openDesk(t, filepath.Join(t.TempDir(), "desk.db"), &now)
}

// openDesk opens a store that may exist, as another process would.
func openDesk(t testing.TB, path string, now *atomic.Int64) *desk {
	t.Helper()
	db, err := migrations.Open(t.Context(), migrated.At(t, path), migrations.Options{Clock: func() time.Time { return time.UnixMicro(now.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	keys, err := ledger.DeriveKeys([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	l := ledger.New(db, keys, ledger.Options{})
	return &desk{t, New(db, l), db, l, now}
}

func (d *desk) pass(by time.Duration) { d.now.Add(by.Microseconds()) }

// grant stores g, with what it leaves out.
func (d *desk) grant(g Grant) Grant {
	d.t.Helper()
	g.Workspace = team
	if g.Effect == "" {
		g.Effect = Allow
	}
	if g.Scope == "" {
		g.Scope = "workspace"
	}
	if g.Justification == "" {
		g.Justification = "for the test"
	}
	if g.Tools == nil && g.Bundle == "" {
		g.Tools = []string{"x"}
	}
	out, err := d.e.Grant(context.Background(), "U0ADA", g)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// exec changes the store behind the engine's back.
func (d *desk) exec(q string) {
	d.t.Helper()
	if err := d.db.Write(context.Background(), func(tx *migrations.Tx) error {
		_, err := tx.Exec(q)
		return err
	}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) kinds() []string {
	d.t.Helper()
	rows, err := d.db.Query(context.Background(), `SELECT leaf FROM ledger_entries ORDER BY seq`)
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var leaf string
		if err := rows.Scan(&leaf); err != nil {
			d.t.Fatal(err)
		}
		_, rest, _ := strings.Cut(leaf, `"kind":"`)
		kind, _, _ := strings.Cut(rest, `"`)
		out = append(out, kind)
	}
	return out
}

func TestGrantIsStoredListedAndRevoked(t *testing.T) {
	t.Parallel()
	d, ctx := newDesk(t), t.Context()
	most, word := 500.0, "x"
	full := d.grant(Grant{ID: "g_full", Effect: Ask, Tools: []string{"pay", "github.*"}, Scope: "channel:C0ENG", Thread: "1700000000.000100", Duty: "d_weekly",
		Who: []string{Members, "user:U0GIL", "group:S1"}, Args: []ArgRule{{Name: "amount", Max: &most}, {Name: "to", Equals: &word}},
		Hours: "mon-fri 09:00-18:00 Europe/Berlin", Rate: 3, RateWindow: Duration(time.Hour), Count: 10, Approvers: []string{Sponsor, "user:U0BEN"},
		Quorum: 2, TTL: Duration(time.Hour), ExpiresAt: start.Add(200 * 24 * time.Hour), Justification: "pays bills", LongWhy: "a year of bills"})
	short := d.grant(Grant{ID: "g_short"})
	if want := start.Add(90 * 24 * time.Hour); !short.ExpiresAt.Equal(want) {
		t.Errorf("a grant that does not say when it ends: ends %v, want %v", short.ExpiresAt, want)
	}
	got, err := d.e.List(ctx, team, false)
	if err != nil || !reflect.DeepEqual(got, []Grant{full, short}) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, []Grant{full, short})
	}
	if _, err := d.e.Grant(ctx, "U0ADA", full); err == nil {
		t.Error("an id was used twice")
	}
	gone, err := d.e.Revoke(ctx, team, "g_short", "U0BEN", "not needed")
	if err != nil || gone.RevokedBy != "U0BEN" || gone.RevokedWhy != "not needed" || !gone.RevokedAt.Equal(start) {
		t.Fatalf("revoked: %+v, %v", gone, err)
	}
	again, err := d.e.Revoke(ctx, team, "g_short", "U0ADA", "once more")
	if err != nil || !reflect.DeepEqual(again, gone) {
		t.Errorf("revoked twice: got %+v, %v, want it as it was", again, err)
	}
	d.pass(200 * 24 * time.Hour)
	if got, err := d.e.List(ctx, team, false); err != nil || len(got) != 0 {
		t.Errorf("those that hold at the end: got %+v, %v, want none", got, err)
	}
	if got, err := d.e.List(ctx, team, true); err != nil || len(got) != 2 {
		t.Errorf("all: got %d, %v, want 2", len(got), err)
	}
	if one, err := d.e.Get(ctx, team, "g_short"); err != nil || !reflect.DeepEqual(one, gone) {
		t.Errorf("get: got %+v, %v", one, err)
	}
	for _, workspace := range []string{team, "T1"} {
		if _, err := d.e.Get(ctx, workspace, "g_none"); !errors.Is(err, ErrNoGrant) {
			t.Errorf("get of none: got %v", err)
		}
	}
	if _, err := d.e.Revoke(ctx, "T1", "g_full", "U0ADA", ""); !errors.Is(err, ErrNoGrant) {
		t.Errorf("revoke in another workspace: got %v", err)
	}
	if got, want := d.kinds(), []string{"grant.added", "grant.added", "grant.revoked"}; !slices.Equal(got, want) {
		t.Errorf("ledger: got %v, want %v", got, want)
	}
}

func TestGrantsThatAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	err := d.db.Write(t.Context(), func(tx *migrations.Tx) error {
		_, err := tx.Exec(`INSERT INTO agents (workspace, user_id, name, state, changed_at) VALUES ($1, 'U0DESK', 'desk', 'active', 1)`, team)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	fine := Grant{Workspace: team, Effect: Allow, Tools: []string{"x"}, Scope: "workspace", Justification: "y"}
	for want, c := range map[string]struct {
		by     string
		change func(*Grant)
	}{
		"the agent cannot change": {"U0DESK", func(*Grant) {}},
		"granted_by":              {"", func(*Grant) {}},
		"workspace":               {"U0ADA", func(g *Grant) { g.Workspace = "" }},
		"must begin with g_":      {"U0ADA", func(g *Grant) { g.ID = "builtin-slack" }},
		"bundle: there is none":   {"U0ADA", func(g *Grant) { g.Tools, g.Bundle = nil, "docs" }},
		"effect: must be":         {"U0ADA", func(g *Grant) { g.Effect = "maybe" }},
	} {
		g := fine
		c.change(&g)
		if _, err := d.e.Grant(t.Context(), c.by, g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if got := d.kinds(); len(got) != 0 {
		t.Errorf("what was refused left entries: %v", got)
	}
}

func TestEnsureMakesTheGrantsOfTheInstallationOnce(t *testing.T) {
	t.Parallel()
	d, ctx := newDesk(t), t.Context()
	tools := []BuiltinTool{{"post", "slack", "write", false}, {"read", "slack", "read", true}, {"recall", "memory", "read", true}}
	ensure := func() {
		t.Helper()
		if err := d.e.Ensure(ctx, team, tools); err != nil {
			t.Fatal(err)
		}
	}
	ensure()
	ensure()
	if got, want := d.kinds(), []string{"grant.added", "grant.added", "grant.added"}; !slices.Equal(got, want) {
		t.Fatalf("ledger: got %v, want %v", got, want)
	}
	g, err := d.e.Get(ctx, team, "builtin-post")
	if err != nil || !slices.Equal(g.Tools, []string{"post"}) || g.GrantedBy != System || !g.ExpiresAt.IsZero() || g.Justification != "comes with the installation" {
		t.Fatalf("got %+v, %v", g, err)
	}
	if _, err := d.e.Revoke(ctx, team, "builtin-recall", "U0ADA", "no memory here"); err != nil {
		t.Fatal(err)
	}
	tools = append(tools, BuiltinTool{"pin", "slack", "write", false})
	ensure()
	if g, err = d.e.Get(ctx, team, "builtin-pin"); err != nil || !slices.Equal(g.Tools, []string{"pin"}) {
		t.Errorf("a new tool: got %v, %v", g.Tools, err)
	}
	if g, err = d.e.Get(ctx, team, "builtin-recall"); err != nil || g.RevokedAt.IsZero() {
		t.Errorf("what was revoked: got %+v, %v", g, err)
	}
	known, err := d.e.Tools(ctx, team)
	if err != nil || !slices.Equal(known, []BuiltinTool{{"pin", "slack", "write", false}, {"post", "slack", "write", false}, {"read", "slack", "read", true}, {"recall", "memory", "read", true}}) {
		t.Errorf("the tools are %v, %v", known, err)
	}
}

func TestBundles(t *testing.T) {
	t.Parallel()
	d, ctx := newDesk(t), t.Context()
	b, err := d.e.PutBundle(ctx, "U0ADA", Bundle{Name: "docs", Workspace: team, Instructions: "be kind", Tools: []string{"wiki.*"}, Scopes: []string{"channel:C0ENG"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.e.Bundles(ctx, team); err != nil || !reflect.DeepEqual(got, []Bundle{b}) {
		t.Fatalf("got %+v, %v, want %+v", got, err, b)
	}
	g := d.grant(Grant{Bundle: "docs"})
	if err := d.e.DeleteBundle(ctx, team, "docs", "U0ADA"); err == nil || !strings.Contains(err.Error(), g.ID) {
		t.Errorf("a bundle in use: got %v, want an error that names %s", err, g.ID)
	}
	if _, err := d.e.Revoke(ctx, team, g.ID, "U0ADA", ""); err != nil {
		t.Fatal(err)
	}
	if err := d.e.DeleteBundle(ctx, team, "docs", "U0ADA"); err != nil {
		t.Fatal(err)
	}
	if err := d.e.DeleteBundle(ctx, team, "docs", "U0ADA"); !errors.Is(err, ErrNoBundle) {
		t.Errorf("delete of none: got %v", err)
	}
	if _, err := d.e.PutBundle(ctx, "U0ADA", Bundle{Name: "a.b", Workspace: team, Scopes: []string{"moon"}}); err == nil ||
		!strings.Contains(err.Error(), "name:") || !strings.Contains(err.Error(), "tools:") || !strings.Contains(err.Error(), "scopes:") {
		t.Errorf("a bad bundle: got %v", err)
	}
}
