package scheduler

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"deskmate/migrations"
)

func TestAnUnconfirmedDutyDoesNotRunUntilItIsConfirmed(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	d, err := w.s.Create(ctx, NewDuty{Workspace: "T1", Channel: "C1", ChannelKind: "public", Prompt: "post it", Owner: "U1", Confirm: true,
		Schedule: Schedule{Cron: "0 * * * *", TZ: "UTC"}, Request: "turn:t1:c0"})
	if err != nil || !d.Unconfirmed() {
		t.Fatalf("made %+v, %v", d, err)
	}
	for name, try := range map[string]func() error{
		"pause":  func() error { _, err := w.s.Pause(ctx, d.ID, "U1"); return err },
		"resume": func() error { _, err := w.s.Resume(ctx, d.ID, "U1"); return err },
		"run":    func() error { _, err := w.s.RunNow(ctx, d.ID, "U1", ""); return err },
	} {
		if err := try(); !errors.Is(err, errUnconfirmed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d, err = w.s.Edit(ctx, d.ID, "U1", func(d *Duty) error { d.Prompt, d.PausedWhy = "post that", ""; return nil }); err != nil || !d.Unconfirmed() {
		t.Fatalf("edited to %+v, %v", d, err)
	}
	w.set(monday.Add(3 * time.Hour))
	err = w.s.Write(ctx, func(tx *migrations.Tx) error {
		all, requests, err := w.s.Unconfirmed(tx, "T1", "U1")
		if err != nil || len(all) != 1 || requests[0] != "turn:t1:c0" {
			t.Errorf("unconfirmed are %v for %v, %v", all, requests, err)
		}
		if _, again, expired, err := w.s.Expire(tx, d.ID); expired || err != nil || !again.Equal(d.CreatedAt.Add(ConfirmWithin)) {
			t.Errorf("after three hours: expired %t, again %s, %v", expired, again, err)
		}
		d, err = w.s.Confirm(tx, d.ID, "U1")
		return err
	})
	if err != nil || d.State != StateActive || !d.NextAt.After(w.Now()) {
		t.Fatalf("confirmed to %+v, %v", d, err)
	}
	w.set(monday.Add(48 * time.Hour))
	err = w.s.Write(ctx, func(tx *migrations.Tx) error {
		_, _, expired, err := w.s.Expire(tx, d.ID)
		if expired {
			t.Error("a confirmed duty expired")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestParseUntil(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) // a Monday, 10:00 in Berlin
	for text, want := range map[string]string{
		"until Wednesday": "2026-03-04T00:00:00+01:00", "tomorrow": "2026-03-03T00:00:00+01:00", "until tomorrow at 9": "2026-03-03T09:00:00+01:00",
		"for two weeks": "2026-03-16T10:00:00+01:00", "14 December": "2026-12-14T00:00:00+01:00", "until 2026-04-01": "2026-04-01T00:00:00+02:00",
		"for 3 days": "2026-03-05T10:00:00+01:00",
	} {
		at, err := ParseUntil(text, now, "Europe/Berlin")
		zone, zoneErr := time.LoadLocation("Europe/Berlin")
		if zoneErr != nil {
			t.Fatal(zoneErr)
		}
		if got := at.In(zone).Format(time.RFC3339); err != nil || got != want {
			t.Errorf("%q is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "the cows come home", "every Monday at 9", "yesterday"} {
		if at, err := ParseUntil(text, now, "Europe/Berlin"); err == nil {
			t.Errorf("%q is %s", text, at)
		}
	}
}

func TestAPlanIsRefusedOnceADutyHasChanged(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	look := Lookup{Channel: func(c string) (string, string, error) { return c, "public", nil }, Person: func(p string) (string, string, error) { return p, "UTC", nil }}
	file := func(text string) State {
		s, err := ParseState([]byte("version: 1\nduties:\n" + text))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const two = "- {name: a, what: one, when: every day at 9, channel: C1, owner: U1}\n- {name: b, what: two, cron: 0 * * * *, channel: C1, owner: U1, tools: [recall], quiet: 'sat 00:00-24:00'}\n"
	plan := func(s State, prune bool) Plan {
		p, err := w.s.MakePlan(ctx, "T1", s, look, prune)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := w.s.Apply(ctx, "cli:op", plan(file(two), false)); err != nil {
		t.Fatal(err)
	}
	if p := plan(file(two), true); !p.Empty() {
		t.Errorf("applied again it would change: %s", p.Text())
	}
	out, err := w.s.Export(ctx, "T1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := out.YAML()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseState(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if p := plan(back, true); !p.Empty() || len(back.Duties) != 2 {
		t.Errorf("what was exported changes: %s", p.Text())
	}
	stale := plan(file("- {name: c, what: three, when: every day at 10, channel: C1, owner: U1}\n- {name: a, what: else, when: every day at 9, channel: C1, owner: U1}\n"), true)
	if _, err := w.s.Edit(ctx, stale.Remove[0].ID, "U1", func(d *Duty) error { d.Prompt = "meanwhile"; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Apply(ctx, "cli:op", stale); err == nil || !strings.Contains(err.Error(), "has changed since the plan was made") {
		t.Errorf("a stale plan: %v", err)
	}
	all, err := w.s.List(ctx, Filter{Workspace: "T1"})
	if err != nil || len(all) != 2 {
		t.Errorf("a refused plan left %d duties, %v", len(all), err)
	}
}
