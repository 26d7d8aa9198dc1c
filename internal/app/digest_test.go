package app

import (
	"context"
	"strings"
	"testing"
	"time"

	"deskmate/identity"
	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// Once a week each owner is told of their own duties, and the sponsor of all, but
// for what is in places that they do not see.
func TestTheWeekIsSummedUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	d := newDesk(t, func(modelsim.Request) modelsim.Reply { return modelsim.Reply{Text: "hello"} }, func(a *App) {
		if _, err := a.Agents.Ensure(ctx, identity.Agent{Workspace: a.Self.Workspace, User: a.Self.User, Name: "Deskmate", Sponsor: ben}); err != nil {
			t.Fatal(err)
		}
	})
	chloeSees, err := slacksim.NewPerson(d.base, chloe).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d.until(`SELECT COUNT(*) = 1 FROM digests`)
	began := d.clock.Now()
	duty := func(owner, channel, kind, title string) scheduler.Duty {
		made, err := d.app.Duties.Create(ctx, scheduler.NewDuty{Workspace: d.app.Self.Workspace, Channel: channel, ChannelKind: kind, Title: title, Prompt: "post " + title,
			Schedule: scheduler.Schedule{At: began.Add(400 * 24 * time.Hour), TZ: "UTC"}, Owner: owner})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	open, secret := duty(ben, general, "public", "Stand-up"), duty(chloe, leads, "private", "Falcon talks")
	if _, err := d.app.Duties.Pause(ctx, secret.ID, chloe); err != nil {
		t.Fatal(err)
	}
	if err := d.app.DB.Write(ctx, func(tx *migrations.Tx) error {
		_, err := tx.Exec(`INSERT INTO runs (id, duty, due_at, state, error, tokens, cost, created_at) VALUES
			('r_1', $1, $2, 'done', '', 1000, 250000, $2), ('r_2', $1, $2 + 1, 'failed', 'the model did not answer', 0, 0, $2)`, open.ID, migrations.Micros(began))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	monday := scheduler.Schedule{Cron: "0 9 * * 1", TZ: "America/New_York"}.Next(began)
	d.clock.Advance(monday.Add(time.Hour).Sub(began))
	d.app.runner.Look()
	his := d.sees(d.view, "Your week with me").Text
	hers := d.sees(chloeSees, "Your week with me").Text
	for _, want := range []string{open.ID, "Stand-up", "1 done, 1 failed", "1000 tokens (0.25)", "Last failure: the model did not answer", "1 in places that you cannot see"} {
		if !strings.Contains(his, want) {
			t.Errorf("the sponsor is not told %q:\n%s", want, his)
		}
	}
	for _, never := range []string{"Falcon", secret.ID} {
		if strings.Contains(his, never) {
			t.Errorf("somebody who is not in the channel is told %q:\n%s", never, his)
		}
	}
	if !strings.Contains(hers, "Falcon talks") || !strings.Contains(hers, "**paused**") && !strings.Contains(hers, "*paused*") || strings.Contains(hers, open.ID) {
		t.Errorf("the owner is told:\n%s", hers)
	}
	d.until(`SELECT COUNT(*) = 2 FROM outbox WHERE post_key LIKE 'notice:digest:%' AND state = 'sent'`)
}
