package scheduler

import (
	"testing"
	"time"
)

func TestQuietHours(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ quiet, at, want string }{
		{"22:00-07:00", "2026-03-02 23:30", "2026-03-03 07:00"},
		{"22:00-07:00", "2026-03-03 06:59", "2026-03-03 07:00"},
		{"22:00-07:00", "2026-03-03 07:00", ""},
		{"mon-fri 22:00-07:00", "2026-03-07 05:00", "2026-03-07 07:00"}, // Friday's night
		{"mon-fri 22:00-07:00", "2026-03-07 23:00", ""},                 // Saturday
		{"sat,sun 00:00-24:00", "2026-03-07 10:00", "2026-03-09 00:00"},
		{"sat-sun 00:00-24:00; daily 18:00-09:00", "2026-03-06 19:00", "2026-03-09 09:00"}, // spans that touch are one
		{"02:15-02:45", "2026-03-29 03:00", ""},                                            // the whole of it is in the gap
		{"01:00-02:30", "2026-03-29 01:30", "2026-03-29 03:00"},                            // it ends in the gap: at its end
		{"", "2026-03-02 03:00", ""},
	} {
		at, err := time.ParseInLocation("2006-01-02 15:04", c.at, berlin)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if until := quietUntil(c.quiet, at, berlin); !until.IsZero() {
			got = until.In(berlin).Format("2006-01-02 15:04")
		}
		if got != c.want {
			t.Errorf("quiet %q at %s ends %q, want %q", c.quiet, c.at, got, c.want)
		}
	}
	for _, bad := range []string{"mon", "22-7", "mon-fri 9:00", "moon 22:00-07:00", "daily 24:00-07:00", "daily 7:00-7:00", "a b c"} {
		if _, err := parseQuiet(bad); err == nil {
			t.Errorf("quiet hours %q were accepted", bad)
		}
	}
	// What is always quiet does not keep a duty for ever.
	if until := quietUntil("00:00-24:00", monday, berlin); until.Sub(monday) < 13*24*time.Hour || until.Sub(monday) > 16*24*time.Hour {
		t.Errorf("what is always quiet ends %v after it began", until.Sub(monday))
	}
}

// A duty is made, changed, held and given away, and each of it is in the store and
// in the ledger.
func TestDutiesChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	d, err := w.s.Create(ctx, NewDuty{Workspace: "T1", Channel: "C1", ChannelKind: "public", Prompt: "look for stack traces", Kind: KindWatch, Owner: "U0BEN",
		Schedule: Schedule{TZ: "Europe/Berlin"}, Trigger: Trigger{Channel: "C2", Pattern: "panic:", People: []string{"U0ADA"}}, Tools: []string{"read_channel"},
		Quiet: "22:00-07:00", Jitter: time.Minute, MostRuns: 7, Silent: true, Overlap: OverlapSkip})
	if err != nil {
		t.Fatal(err)
	}
	if !d.NextAt.IsZero() || d.When != "when <@U0ADA> writes in <#C2>, and it fits `panic:`" {
		t.Errorf("a watch is due at %v, %q", d.NextAt, d.When)
	}
	if _, err := w.s.Edit(ctx, d.ID, "U0BEN", func(d *Duty) error { d.Trigger.Pattern = "fatal:"; d.Tools = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Edit(ctx, d.ID, "U0BEN", func(d *Duty) error { d.Trigger.Pattern = "("; return nil }); err == nil {
		t.Error("a pattern that is none was accepted")
	}
	if _, err := w.s.PauseUntil(ctx, d.ID, "U0BEN", monday.Add(-time.Hour), ""); err == nil {
		t.Error("a pause until the past was accepted")
	}
	if _, err := w.s.PauseUntil(ctx, d.ID, "U0BEN", monday.Add(time.Hour), "it is loud"); err != nil {
		t.Fatal(err)
	}
	got, err := w.s.Get(ctx, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Trigger.Pattern != "fatal:" || got.Tools != nil || got.State != StatePaused || !got.PausedUntil.Equal(monday.Add(time.Hour)) || got.PausedWhy != "it is loud" ||
		got.MostRuns != 7 || !got.Silent || got.Overlap != OverlapSkip || time.Duration(got.Jitter) != time.Minute || got.Quiet != "22:00-07:00" {
		t.Errorf("after the changes it is %+v", got)
	}
	settle := w.runner("main", w.db, w.s)
	w.set(monday.Add(time.Hour))
	settle()
	if got, err = w.s.Get(ctx, d.ID); err != nil || got.State != StateActive {
		t.Errorf("after its pause it is %q, %v", got.State, err)
	}
	entries, err := w.s.ledger.Tail(ctx, "T1", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, e := range entries {
		r, err := e.Record()
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, e.Kind+" "+r.Fields["change"])
	}
	want := []string{"duty.created ", "duty.changed edited", "duty.changed paused", "duty.changed resumed"}
	if len(changes) != len(want) {
		t.Fatalf("the ledger has %q, want %q", changes, want)
	}
	for i := range want {
		if changes[i] != want[i] {
			t.Errorf("the ledger has %q, want %q", changes, want)
		}
	}
}
