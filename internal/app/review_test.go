package app

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/bot"
	"deskmate/handlers"
	"deskmate/identity"
	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
	"deskmate/migrations"
)

// reviewDesk is a desk with two sponsors, whose grants are forty days old; those
// for the tools that are named were not used.
func reviewDesk(t *testing.T, unused ...string) (d *desk, chloeSees, adaSees *slacksim.Watch, review identity.Review) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	d = newDesk(t, func(q modelsim.Request) modelsim.Reply {
		if last := q.Messages[len(q.Messages)-1]; last.Role == "tool" {
			return modelsim.Reply{Text: "The tool said: " + last.Content}
		}
		return calls("duty_list", map[string]string{})
	}, func(a *App) {
		if _, err := a.Agents.Ensure(ctx, identity.Agent{Workspace: a.Self.Workspace, User: a.Self.User, Name: "Deskmate", Sponsor: ada + "," + chloe}); err != nil {
			t.Fatal(err)
		}
	})
	var err error
	if adaSees, err = d.ada.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	if chloeSees, err = slacksim.NewPerson(d.base, chloe).Watch(ctx); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(40 * 24 * time.Hour)
	all, err := d.app.Access.List(ctx, d.app.Self.Workspace, false)
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	for _, g := range all {
		if !strings.Contains(" "+strings.Join(unused, " ")+" ", " "+strings.TrimPrefix(g.ID, "builtin-")+" ") {
			used = append(used, g.ID)
		}
	}
	if err := d.app.DB.Write(ctx, func(tx *migrations.Tx) error {
		for _, id := range used {
			if _, err := tx.Exec(`UPDATE grants SET last_used_at = $1 WHERE id = $2`, migrations.Micros(tx.Now()), id); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if review, err = d.app.Reviews().Start(ctx, d.app.Self.Workspace, "cli:op"); err != nil || review.Count(identity.ItemProposed) != len(unused) {
		t.Fatalf("a review with %d proposals began, %v; want %d", review.Count(identity.ItemProposed), err, len(unused))
	}
	return d, chloeSees, adaSees, review
}

// one is the text that a query of the store gives.
func (d *desk) one(query string) (text string) {
	d.t.Helper()
	if err := d.app.DB.QueryRow(context.Background(), query).Scan(&text); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return text
}

// sees waits for a message of the agent's that somebody sees directly.
func (d *desk) sees(w *slacksim.Watch, want string) slacksim.Seen {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := w.Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && strings.HasPrefix(m.Channel, "D") && strings.Contains(m.Text, want)
	})
	if err != nil {
		d.t.Fatalf("nobody was told %q: %v", want, err)
	}
	return m
}

func TestSponsorsAnswerAReviewByButtons(t *testing.T) {
	t.Parallel()
	d, chloeSees, adaSees, review := reviewDesk(t, "react", "duty_list", "post")
	ctx := context.Background()
	chloes := slacksim.NewPerson(d.base, chloe)
	hers, mine := d.sees(chloeSees, "is `builtin-react` still needed"), d.sees(adaSees, "is `builtin-react` still needed")

	// Two presses at once: one counts, and both cards say which.
	var wg sync.WaitGroup
	wg.Go(func() { d.press(d.ada, mine, bot.ButtonKeep) })
	wg.Go(func() { d.press(chloes, hers, bot.ButtonRemove) })
	wg.Wait()
	d.until(`SELECT COUNT(*) = 1 FROM review_items WHERE grant_id = 'builtin-react' AND state IN ('kept', 'removed')`)
	kept := d.one(`SELECT state FROM review_items WHERE grant_id = 'builtin-react'`) == "kept"
	if word := map[bool]string{true: "Kept: ", false: "Removed: "}[kept]; d.sees(adaSees, word).TS != mine.TS || d.sees(chloeSees, word).TS != hers.TS {
		t.Error("the cards of both do not show the answer")
	}
	if kept != (d.one(`SELECT CASE WHEN revoked_at = 0 THEN 'kept' ELSE 'gone' END FROM grants WHERE id = 'builtin-react'`) == "kept") {
		t.Error("the grant is not what the cards say")
	}

	// Somebody else's press is refused, with a word to them. The card is not theirs to
	// see, so the press is one that was made up.
	reviews := d.app.Reviews()
	reviews.Roll = d.app.people
	buttons := &handlers.Buttons{Reviews: &handlers.Reviews{DB: d.app.DB, Reviews: reviews, Outbox: d.app.outbox}}
	if err := buttons.Handle(ctx, bot.Action{Workspace: d.app.Self.Workspace, User: ben, ID: bot.ButtonRemove, Key: "p1", Value: review.ID + " builtin-post"}); err != nil {
		t.Fatal(err)
	}
	d.sees(d.view, "is reviewed by <@"+ada+"> (my sponsor)")

	// A suspension does not hold reviews back.
	if _, err := d.app.Agents.Suspend(ctx, d.app.Self.Workspace, ada, "a test"); err != nil {
		t.Fatal(err)
	}
	d.press(d.ada, d.sees(adaSees, "is `builtin-post` still needed"), bot.ButtonRemove)
	d.sees(chloeSees, "Removed: `builtin-post`, removed by <@"+ada+">")
	if _, err := d.app.Agents.Resume(ctx, d.app.Self.Workspace, ada, "a test"); err != nil {
		t.Fatal(err)
	}

	// What nobody answers is removed, and stops working at once.
	d.answer(d.ask(d.ben, "what are the duties?"), "The tool said")
	d.clock.Advance(11*24*time.Hour + time.Minute)
	d.app.Look()
	d.sees(adaSees, "still waits for 1 answer")
	d.clock.Advance(3 * 24 * time.Hour)
	d.app.Look()
	d.sees(adaSees, "1 removed because nobody answered")
	d.sees(chloeSees, "Removed: `builtin-duty_list`, removed, because nobody answered in time")
	d.answer(d.ask(d.ben, "what are the duties now?"), "The tool said: .*no grant lets me use .duty_list")
	if v, err := d.app.Ledger.Verify(ctx, d.app.Self.Workspace); err != nil || !v.OK() {
		t.Errorf("the ledger does not verify: %v, %v", v.Problems, err)
	}
}

func TestALostSponsorIsNoticedAtOnceAndEndsInASuspension(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := newDesk(t, inTurn(modelsim.Reply{Text: "I am here."}), func(a *App) {
		if _, err := a.Agents.Ensure(ctx, identity.Agent{Workspace: a.Self.Workspace, User: a.Self.User, Name: "Deskmate", Sponsor: chloe}); err != nil {
			t.Fatal(err)
		}
	})
	sees, err := d.ada.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d.answer(d.ask(d.ada, "are you there?"), "I am here") // now it has met an admin
	if err := d.ada.Emulate(ctx, "user", map[string]any{"user": chloe, "deleted": true}, nil); err != nil {
		t.Fatal(err)
	}
	d.sees(sees, "Nobody answers for me any more: <@"+chloe+">")
	d.clock.Advance(7*24*time.Hour + time.Minute)
	d.app.Look()
	d.sees(sees, "So I am suspended")
	if err := d.ada.Emulate(ctx, "user", map[string]any{"user": chloe, "deleted": false}, nil); err != nil {
		t.Fatal(err)
	}
	d.until(`SELECT COUNT(*) = 1 FROM agents WHERE state = 'suspended' AND sponsor_lost_at = 0`)
	if _, err := d.app.Agents.Resume(ctx, d.app.Self.Workspace, ada, "Chloe is back"); err != nil {
		t.Fatal(err)
	}
	d.answer(d.ask(d.ada, "and now?"), "I am here")
}
