package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/identity/policy"
)

func TestTheReportSaysWhatTheGrantsSay(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	ctx := context.Background()
	if err := r.engine.Ensure(ctx, ws, []policy.BuiltinTool{{Name: "recall", Connection: "memory", Class: "read", Guests: true}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.engine.Revoke(ctx, ws, "builtin-post", "U0ADA", "a test"); err != nil {
		t.Fatal(err)
	}
	high := 500.0
	var ids []string
	for _, g := range []policy.Grant{
		{Effect: policy.Ask, Tools: []string{"post"}, Scope: "channel:C0ENG", Approvers: []string{"user:U0ADA", "user:U0DAN"}, Quorum: 2},
		{Effect: policy.Allow, Tools: []string{"post"}, Scope: "channels:eng*", Who: []string{"group:S0ONCALL"}, Args: []policy.ArgRule{{Name: "amount", Max: &high}}},
		{Effect: policy.Allow, Tools: []string{"post"}, Scope: "channel:C0GENERAL", Who: []string{"user:U0GIL"}},
		{Effect: policy.Deny, Tools: []string{"react"}, Scope: "kind:private"},
		{Effect: policy.Allow, Tools: []string{"post"}, Scope: "channel:C0LEADS", Hours: "sat 10:00-12:00 UTC"},
		{Effect: policy.Allow, Tools: []string{"react"}, Scope: "channel:C0GENERAL", Who: []string{"user:U0EVE"}},
	} {
		g.Workspace, g.Justification = ws, "a test"
		got, err := r.engine.Grant(ctx, "U0ADA", g)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, got.ID)
	}
	// A grant that was taken back names nobody any more.
	if _, err := r.engine.Revoke(ctx, ws, ids[5], "U0ADA", "a test"); err != nil {
		t.Fatal(err)
	}
	grants, err := r.engine.List(ctx, ws, false)
	if err != nil {
		t.Fatal(err)
	}
	subjects := ReportSubjects(grants, func(string) string { return "guest" })
	if got, want := fmt.Sprint(subjects), "[{members } {guests } {outsiders } {group:S0ONCALL } {user:U0GIL guest}]"; got != want {
		t.Errorf("subjects %s, want %s", got, want)
	}
	tools, err := r.engine.Tools(ctx, ws)
	if err != nil {
		t.Fatal(err)
	}
	places := []ReportPlace{{"C0ENG", "eng", "public"}, {"C0GENERAL", "general", "public"}, {"C0LEADS", "leads", "private"}, {"D0", "", "im"}}
	rows, err := Report(ctx, r.engine, ws, tools, places, subjects, r.clock())
	if err != nil {
		t.Fatal(err)
	}
	if want := 3 * 4 * 5; len(rows) != want {
		t.Fatalf("%d rows, want %d", len(rows), want)
	}
	got := map[string][]string{}
	for _, row := range rows {
		cell := row.Verdict
		for _, u := range row.Under {
			cell += "/" + u.Verdict + " if " + u.If
		}
		key := row.Tool + " " + row.Place.ID
		got[key] = append(got[key], cell)
		if row.Verdict == policy.Ask && (row.Quorum != 2 || !slices.Equal(row.Approvers, []string{"user:U0ADA", "user:U0DAN"})) {
			t.Errorf("%s in %s asks %d of %q", row.Tool, row.Place.ID, row.Quorum, row.Approvers)
		}
	}
	// members, guests, outsiders, group:S0ONCALL, user:U0GIL
	for key, want := range map[string]string{
		"recall C0ENG":    "allow, allow, allow, allow, allow",
		"recall D0":       "allow, allow, allow, allow, allow",
		"react C0ENG":     "allow, deny, deny, allow, deny",
		"react C0LEADS":   "deny, deny, deny, deny, deny",
		"post C0ENG":      "ask, deny, deny, ask/allow if amount<=500, deny",
		"post C0GENERAL":  "deny, deny, deny, deny, allow",
		"post C0LEADS":    "deny/allow if sat 10:00-12:00 UTC, deny, deny, deny/allow if sat 10:00-12:00 UTC, deny",
		"post D0":         "deny, deny, deny, deny, deny",
		"react C0GENERAL": "allow, deny, deny, allow, deny",
	} {
		if g := strings.Join(got[key], ", "); g != want {
			t.Errorf("%s: %s; want %s", key, g, want)
		}
	}
	if _, err := Report(cancelled(), r.engine, ws, tools, places, subjects, r.clock()); err == nil {
		t.Error("a report that was given up gave rows")
	}
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func BenchmarkReport(b *testing.B) {
	r := newReviewed(b)
	for i := range 100 {
		r.grant(policy.Allow, fmt.Sprintf("github.tool_%d", i))
	}
	tools, err := r.engine.Tools(context.Background(), ws)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 25 {
		tools = append(tools, policy.BuiltinTool{Name: fmt.Sprintf("github.tool_%d", i), Connection: "github", Class: "write"})
	}
	var places []ReportPlace
	for i := range 100 {
		places = append(places, ReportPlace{fmt.Sprintf("C%03d", i), fmt.Sprintf("channel-%d", i), "public"})
	}
	subjects := ReportSubjects(nil, nil)
	rows := 0
	for b.Loop() {
		all, err := Report(context.Background(), r.engine, ws, tools, places, subjects, r.clock())
		if err != nil {
			b.Fatal(err)
		}
		rows += len(all)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(time.Microsecond)/float64(rows), "µs/row")
}
