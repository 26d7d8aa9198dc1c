package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/identity/policy"
	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
)

// askingDesk is a desk whose model posts in #general when it is asked to, which
// takes an approval by who is named.
func askingDesk(t *testing.T, approvers ...string) *desk {
	d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
		last := q.Messages[len(q.Messages)-1]
		switch {
		case last.Role == "tool":
			return modelsim.Reply{Text: "The tool said: " + last.Content}
		case strings.Contains(last.Content, "post it"):
			return calls("post", map[string]string{"channel": "#general", "text": "It is posted."})
		}
		return modelsim.Reply{Text: "I am here."}
	}, func(a *App) {
		onlyBy(t, a, "post", policy.Grant{Effect: policy.Ask, Approvers: approvers})
	})
	return d
}

// onlyBy replaces what the installation grants for a tool by one grant.
func onlyBy(t testing.TB, a *App, tool string, g policy.Grant) {
	t.Helper()
	ctx, w := context.Background(), a.Self.Workspace
	if _, err := a.Access.Revoke(ctx, w, "builtin-"+tool, ada, "a test"); err != nil {
		t.Fatal(err)
	}
	g.Workspace, g.Tools, g.Justification = w, []string{tool}, "a test"
	if g.Scope == "" {
		g.Scope = "workspace"
	}
	if _, err := a.Access.Grant(ctx, ada, g); err != nil {
		t.Fatal(err)
	}
}

// card waits for an approval card as somebody sees it.
func (d *desk) card(w *slacksim.Watch, fits func(m slacksim.Seen) bool) slacksim.Seen {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := w.Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && strings.Contains(m.Text, "Approval needed") && fits(m)
	})
	if err != nil {
		d.t.Fatalf("no card came: %v", err)
	}
	return m
}

func (d *desk) cardIn(thread string) slacksim.Seen {
	d.t.Helper()
	return d.card(d.view, func(m slacksim.Seen) bool { return m.Thread == thread })
}

func (d *desk) press(p *slacksim.Person, m slacksim.Seen, button string) {
	d.t.Helper()
	if err := p.Press(context.Background(), m, button); err != nil {
		d.t.Fatal(err)
	}
}

// tooLate has a person decide on the newest approval when its card has no buttons
// any more, as a press that was on its way does.
func (d *desk) tooLate(who, verdict, want string) {
	d.t.Helper()
	ctx, w := context.Background(), d.app.Self.Workspace
	all, err := d.app.gate.Approvals.List(ctx, w, true, 1)
	if err != nil || len(all) != 1 {
		d.t.Fatalf("approvals %v, %v", all, err)
	}
	_, err = d.app.gate.Approvals.Decide(ctx, identity.Press{Workspace: w, Approval: all[0].ID, Person: who, Verdict: verdict})
	var refused *identity.RefusedError
	if !errors.As(err, &refused) || !strings.Contains(refused.Text, want) {
		d.t.Errorf("a late press: %v; want it refused with %q", err, want)
	}
}

func (d *desk) posted() (n int) {
	for _, m := range d.view.All() {
		if m.User == agent && m.Channel == general && m.Text == "It is posted." {
			n++
		}
	}
	return n
}

// redrawn waits until the card in the thread says something.
func (d *desk) redrawn(m slacksim.Seen, want string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := d.view.Wait(ctx, func(now slacksim.Seen) bool {
		return now.TS == m.TS && now.Channel == m.Channel && strings.Contains(now.Text, want)
	}); err != nil {
		d.t.Fatalf("the card does not say %q: %v", want, err)
	}
}

func (d *desk) told(want string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := d.view.Wait(ctx, func(m slacksim.Seen) bool { return m.User == agent && strings.Contains(m.Text, want) }); err != nil {
		d.t.Fatalf("nobody said %q: %v", want, err)
	}
}

func TestAnAskWaitsWhileTheThreadGoesOn(t *testing.T) {
	t.Parallel()
	d := askingDesk(t, "user:"+ada)
	thread := d.ask(d.ben, "please post it")
	card := d.cardIn(thread)
	d.reply(d.ben, thread, "<@"+agent+"> are you still there?")
	d.answer(thread, "^I am here")
	d.press(d.ben, card, bot.ButtonApprove)
	d.told("somebody else has to approve it")
	if d.posted() != 0 {
		t.Fatal("it was posted without an approval")
	}
	d.press(d.ada, card, bot.ButtonApprove)
	d.answer(thread, "The tool said: Posted in")
	d.redrawn(card, "Approved")
	d.tooLate(ada, identity.VerdictDeny, "approved already")
	if d.posted() != 1 {
		t.Errorf("posted %d times, want once", d.posted())
	}
}

func TestADenialIsToldWithItsReasonAndAStopWithdraws(t *testing.T) {
	t.Parallel()
	d := askingDesk(t, "user:"+ada)
	denied := d.ask(d.ben, "please post it")
	card := d.cardIn(denied)
	d.press(d.ada, card, bot.ButtonDeny)
	d.answer(denied, "The tool said: .*denied it")
	d.redrawn(card, "Denied")

	stopped := d.ask(d.ben, "please post it now")
	card = d.cardIn(stopped)
	d.reply(d.ben, stopped, "stop")
	d.answer(stopped, "^Stopped")
	d.redrawn(card, "Withdrawn")
	d.tooLate(ada, identity.VerdictApprove, "withdrawn")

	deleted := d.ask(d.ben, "please post it again")
	d.cardIn(deleted)
	if err := d.ben.Call(context.Background(), "chat.delete", map[string]string{"channel": eng, "ts": deleted}, nil); err != nil {
		t.Fatal(err)
	}
	d.until(`SELECT COUNT(*) = 2 FROM approvals WHERE state = 'withdrawn'`)
	if d.posted() != 0 {
		t.Errorf("posted %d times, want never", d.posted())
	}
}

func TestApproversWhoAreNotThereAreWrittenTo(t *testing.T) {
	t.Parallel()
	d := askingDesk(t, "user:U0GIL", "user:U0CHLOE", "group:S0ONCALL")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	chloe := slacksim.NewPerson(d.base, "U0CHLOE")
	view, err := chloe.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	gil, err := d.gil.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.ada.Emulate(ctx, "membership", map[string]string{"channel": eng, "user": "U0CHLOE", "action": "leave"}, nil); err != nil {
		t.Fatal(err)
	}
	thread := d.ask(d.ben, "please post it")
	d.cardIn(thread)
	card := d.card(view, func(m slacksim.Seen) bool { return strings.HasPrefix(m.Channel, "D") })
	// A guest is no approver, whoever named them.
	d.press(d.gil, d.card(gil, func(m slacksim.Seen) bool { return strings.HasPrefix(m.Channel, "D") }), bot.ButtonApprove)
	d.until(`SELECT COUNT(*) = 1 FROM outbox WHERE post_key LIKE 'press:%' AND body LIKE '%not among%'`)
	// Neither is somebody who has left the workspace.
	if err := d.ada.Emulate(ctx, "user", map[string]any{"user": "U0CHLOE", "deleted": true}, nil); err != nil {
		t.Fatal(err)
	}
	if a, err := d.app.gate.Approvals.List(ctx, d.app.Self.Workspace, false, 1); err != nil || len(a) != 1 {
		t.Fatalf("approvals %v, %v", a, err)
	} else if _, err := d.app.gate.Approvals.Decide(ctx, identity.Press{Workspace: d.app.Self.Workspace, Approval: a[0].ID, Person: "U0CHLOE", Verdict: identity.VerdictApprove}); err == nil {
		t.Error("a deactivated person approved")
	}
	if err := d.ada.Emulate(ctx, "user", map[string]any{"user": "U0CHLOE", "deleted": false}, nil); err != nil {
		t.Fatal(err)
	}
	d.press(chloe, card, bot.ButtonApprove)
	d.answer(thread, "The tool said: Posted in")
}

func TestAnApprovalForTheThreadHoldsForIt(t *testing.T) {
	t.Parallel()
	d := askingDesk(t, "user:"+ada)
	thread := d.ask(d.ben, "please post it")
	other := d.ask(d.ben, "please post it there")
	card := d.cardIn(thread)
	d.cardIn(other)
	d.press(d.ada, card, bot.ButtonThread)
	d.answer(thread, "The tool said: Posted in")
	d.reply(d.ben, thread, "<@"+agent+"> please post it once more")
	d.until(`SELECT COUNT(*) = 2 FROM actions WHERE tool = 'post' AND state = 'done'`)
	all, err := d.app.Access.List(context.Background(), d.app.Self.Workspace, false)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, g := range all {
		found = found || g.Thread == thread && g.GrantedBy == ada && g.Effect == policy.Allow && time.Until(g.ExpiresAt) <= bot.ThreadHours*time.Hour
	}
	if !found {
		t.Error("the approval for the thread is not shown as a grant")
	}
	// The other thread still waits, and its own approval still holds.
	d.press(d.ada, d.cardIn(other), bot.ButtonApprove)
	d.answer(other, "The tool said: Posted in")
}

func TestAnApprovalThatNobodyGivesEndsByItself(t *testing.T) {
	t.Parallel()
	d := askingDesk(t, "user:"+ada)
	thread := d.ask(d.ben, "please post it")
	card := d.cardIn(thread)
	d.clock.Advance(13 * time.Hour)
	d.app.Look()
	d.answer(thread, "Still waiting for a decision")
	d.clock.Advance(12 * time.Hour)
	d.app.Look()
	d.answer(thread, "The tool said: .*nobody approved or denied it in time")
	d.redrawn(card, "Nobody decided in time")
	d.tooLate(ada, identity.VerdictApprove, "too late")
	if d.posted() != 0 {
		t.Errorf("posted %d times, want never", d.posted())
	}
}

// A long text is one call with one approval, however many posts it takes.
func TestOneApprovalCoversAllPartsOfACall(t *testing.T) {
	t.Parallel()
	var long string
	for i := range 400 {
		long += fmt.Sprintf("This is line %d of a text that is posted. ", i)
	}
	d := newDesk(t, inTurn(calls("post", map[string]string{"channel": "#general", "text": long}), modelsim.Reply{Text: "Done."}), func(a *App) {
		onlyBy(t, a, "post", policy.Grant{Effect: policy.Ask, Approvers: []string{"user:" + ada}})
	})
	thread := d.ask(d.ben, "post a lot")
	d.press(d.ada, d.cardIn(thread), bot.ButtonApprove)
	d.answer(thread, "^Done")
	var parts, asked int
	if err := d.app.DB.QueryRow(context.Background(), `SELECT (SELECT COUNT(*) FROM actions WHERE tool = 'post' AND state = 'done'), (SELECT COUNT(*) FROM approvals)`).Scan(&parts, &asked); err != nil {
		t.Fatal(err)
	}
	if parts < 2 || asked != 1 {
		t.Errorf("%d posts and %d approvals; want several and one", parts, asked)
	}
}
