package app

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"deskmate/bot"
	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
	"deskmate/scheduler"
)

// sentences are requests with a time in them, as people write them.
var sentences = []string{
	"every weekday at 9:30 post Stand-up time", "every day at 9 say hello", "daily at 18:15 post the numbers", "every Monday at 14:00 post the board",
	"every Monday and Thursday at 14:00 post the board", "every mon, wed and fri at 8am post the report", "on Mondays at 9 post the plan",
	"every hour check #eng", "every 15 minutes check #eng", "every 2 hours remind us to drink water", "on the 1st of every month at 10:00 post the invoices",
	"on weekdays at 17:45 say go home", "every weekend at 11am post the plants", "at 9:30 every weekday post stand-up", "post stand-up every weekday at 9:30",
	"every day at noon say lunch", "every weekday at 9:30 Asia/Tokyo post good morning", "every year on 1 March at 10:00 post the anniversary",
	"tomorrow at 9 post good luck", "in 20 minutes say tea is ready", "remind me tomorrow at 9:15 to call the bank", "remind me in 3 days to ask again",
	"remind us every Friday at 16:00 to fill in timesheets", "on 2030-12-01 at 10:00 post the renewal", "next Friday at 4pm post the review",
	"every Monday post the plan", "every evening post the score", "every 10 seconds say tick", "on 3/4 at 9 post it", "remind me to stretch",
}

// dutiesOf has Ben say each sentence in a thread of its own, and gives the duties
// that come of them, by sentence.
func (d *desk) dutiesOf(all []string) map[string]scheduler.Duty {
	d.t.Helper()
	ctx := context.Background()
	by := map[string]string{} // thread: sentence
	for _, s := range all {
		by[d.ask(d.ben, s)] = s
	}
	deadline := time.After(4 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < len(all); {
		if err := d.app.DB.QueryRow(ctx, `SELECT COUNT(*) FROM turns WHERE state IN ('done', 'failed')`).Scan(&n); err != nil {
			d.t.Fatal(err)
		}
		select {
		case <-deadline:
			d.t.Fatalf("%d of %d requests were answered", n, len(all))
		case <-tick.C:
		}
	}
	made := map[string]scheduler.Duty{}
	for thread, duty := range d.dutiesByThread() {
		made[by[thread]] = duty
	}
	return made
}

// passesOn is a model that hands the person's words to duty_create as they are.
func passesOn(q modelsim.Request) modelsim.Reply {
	if q.Last("").Role == "tool" {
		return modelsim.Reply{Text: "The tool said: " + q.Last("").Content}
	}
	return calls("duty_create", map[string]string{"when": q.Last("user").Content, "what": "do it"})
}

func TestAModelMakesTheSameDutiesAsTheRules(t *testing.T) {
	t.Parallel()
	all := sentences
	model := newDesk(t, passesOn, nil).dutiesOf(all)
	rules := newDesk(t, passesOn, func(a *App) { a.loop.Model = bot.NewRules() }).dutiesOf(all)
	near := func(a, b time.Time) bool { return a.Sub(b).Abs() < 3*time.Minute }
	for _, s := range all {
		m, byModel := model[s]
		r, byRules := rules[s]
		a, b := m.Schedule, r.Schedule
		same := a.Cron == b.Cron && a.TZ == b.TZ && a.Every == b.Every && a.Unit == b.Unit && near(a.At, b.At) && near(a.From, b.From) && near(a.Until, b.Until)
		if byModel != byRules || !same {
			t.Errorf("%q is %+v (%t) with a model and %+v (%t) with the rules", s, a, byModel, b, byRules)
		}
		if byModel && m.Unconfirmed() != (a.Cron != "") {
			t.Errorf("%q: a duty with the schedule %q waits to be confirmed: %t", s, a.Cron, m.Unconfirmed())
		}
	}
	if len(model) < 24 {
		t.Errorf("only %d of %d sentences made a duty", len(model), len(all))
	}
	t.Logf("%d sentences, %d duties", len(all), len(model))
}

func TestAModelCannotInventACron(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"30 9 * * 1-5", "@daily", "*/5 * * * *", "0 0 L * *"} {
		d := newDesk(t, inTurn(calls("duty_create", map[string]string{"when": when, "what": "post it"}), modelsim.Reply{Text: "I could not"}), nil)
		thread := d.ask(d.ben, "every weekday at 9:30 post it")
		d.answer(thread, "I could not")
		if n := d.one(`SELECT COUNT(*) FROM duties`); n != "0" {
			t.Errorf("%q made a duty", when)
		}
		if said := d.one(`SELECT body FROM steps WHERE kind = 'action'`); !strings.Contains(said, "cron expression") {
			t.Errorf("%q was answered with %s", when, said)
		}
	}
}

func TestADutyThatNobodyConfirmsIsDeletedAndTold(t *testing.T) {
	t.Parallel()
	d := newDesk(t, passesOn, nil)
	thread := d.ask(d.ben, "every hour post it")
	d.answer(thread, "Please confirm duty")
	d.until(`SELECT COUNT(*) = 1 FROM duties WHERE state = 'paused'`)
	d.clock.Advance(23 * time.Hour)
	d.app.Look()
	d.clock.Advance(time.Hour + time.Minute)
	d.app.Look()
	d.answer(thread, "nobody confirmed the duty .* within 24 hours, so I deleted it")
	d.answer(thread, "^Not any more")
	if n := d.one(`SELECT COUNT(*) FROM runs`); n != "0" {
		t.Errorf("it ran %s times", n)
	}
	if n := d.one(`SELECT COUNT(*) FROM ledger_entries WHERE leaf LIKE '%duty.deleted%'`); n != "1" {
		t.Errorf("the ledger tells of %s deletions", n)
	}
	d.reply(d.ben, thread, "yes") // too late: it is a message like any other
	d.until(`SELECT COUNT(*) = 2 FROM turns`)
	if state := d.one(`SELECT state FROM duties ORDER BY created_at LIMIT 1`); state != "deleted" {
		t.Errorf("a late yes made it %s", state)
	}
}

func (d *desk) dutyCard(thread string) slacksim.Seen {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := d.view.Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && m.Thread == thread && strings.Contains(m.Text, "Please confirm")
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return m
}

// A model can do nothing that confirms: there is no such tool, and what steers
// duties is refused until a human has said yes.
func TestAModelCannotConfirm(t *testing.T) {
	t.Parallel()
	d := newDesk(t, inTurn(
		calls("duty_create", map[string]string{"when": "every hour", "what": "post it"}), calls("duty_confirm", map[string]string{"duty": "post it"}),
		calls("duty_resume", map[string]string{"duty": "post it"}), calls("duty_run", map[string]string{"duty": "post it"}),
		calls("duty_pause", map[string]string{"duty": "post it", "until": "tomorrow"}), calls("reply", map[string]string{"text": "yes"}), modelsim.Reply{Text: "I tried"}), nil)
	thread := d.ask(d.ben, "every hour post it")
	d.answer(thread, "I tried")
	card := d.dutyCard(thread)
	d.clock.Advance(3 * time.Hour)
	d.app.Look()
	if why := d.one(`SELECT state || ' ' || paused_why FROM duties`); why != "paused waits to be confirmed" {
		t.Errorf("the duty is %s", why)
	}
	if n := d.one(`SELECT COUNT(*) FROM runs`); n != "0" {
		t.Errorf("it ran %s times", n)
	}
	d.press(d.ada, card, bot.ButtonDutyConfirm) // an admin may
	d.until(`SELECT COUNT(*) = 1 FROM duties WHERE state = 'active'`)
	d.clock.Advance(time.Hour)
	d.app.Look()
	d.until(`SELECT COUNT(*) = 1 FROM runs`)
	if n := d.one(`SELECT COUNT(*) FROM ledger_entries WHERE leaf LIKE '%duty.changed%'`); n != "1" {
		t.Errorf("the ledger tells of %s changes", n)
	}
}

// All means those of who asks: the duties of others go on.
func TestAllOfOnesDutiesArePausedAndResumed(t *testing.T) {
	t.Parallel()
	d := newDesk(t, modelsim.Always(modelsim.Reply{Text: "x"}), func(a *App) { a.loop.Model = bot.NewRules() })
	for i, owner := range []string{ben, ben, "U0ADA"} {
		if _, err := d.app.Duties.Create(context.Background(), scheduler.NewDuty{Workspace: d.app.Self.Workspace, Channel: eng, ChannelKind: bot.ChannelPublic, Prompt: fmt.Sprintf("say hello %d when called", i),
			Schedule: scheduler.Schedule{Cron: "0 9 * * *", TZ: "UTC"}, Owner: owner}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ say, answer, paused string }{
		{"pause all my duties", "(?s)Paused: .*Paused: ", "2"},
		{"resume all duties", "(?s)Resumed: .*Resumed: ", "0"},
		{"pause the duty about ello", "no duty of this channel fits", "0"},
	} {
		thread := d.ask(d.ben, c.say)
		d.answer(thread, c.answer)
		if got := d.one(`SELECT COUNT(*) FROM duties WHERE state = 'paused' AND owner = '` + ben + `'`); got != c.paused {
			t.Errorf("%q: %s are paused, want %s", c.say, got, c.paused)
		}
	}
	if got := d.one(`SELECT COUNT(*) FROM duties WHERE state = 'active' AND owner = 'U0ADA'`); got != "1" {
		t.Errorf("%s duties of Ada's are active, want hers", got)
	}
}
