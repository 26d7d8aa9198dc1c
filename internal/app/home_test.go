package app

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
	"deskmate/memory"
	"deskmate/scheduler"
)

// homeDesk is a desk, with what a person sees in their Home.
type homeDesk struct {
	*desk
	ctx context.Context
}

func newHomeDesk(t *testing.T) homeDesk {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return homeDesk{newDesk(t, modelsim.Always(modelsim.Reply{Text: "yes"}), nil), ctx}
}

// opened is Ben's Home once it says all of the words.
func (d homeDesk) opened(words ...string) slacksim.Form {
	d.t.Helper()
	form, err := d.view.Home(d.ctx, func(text string) bool {
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	})
	if err != nil {
		d.t.Fatalf("the Home never said %q: %v; it says:\n%s", words, err, form.Text())
	}
	return form
}

func (d homeDesk) open() {
	d.t.Helper()
	if err := d.ben.OpenHome(d.ctx); err != nil {
		d.t.Fatal(err)
	}
}

func (d homeDesk) duty(title string) scheduler.Duty {
	d.t.Helper()
	made, err := d.app.Duties.Create(d.ctx, scheduler.NewDuty{Workspace: d.app.Self.Workspace, Channel: eng, ChannelKind: "public", Title: title, Prompt: title,
		Schedule: scheduler.Schedule{Cron: "30 9 * * 1-5", TZ: "America/New_York"}, Owner: ben})
	if err != nil {
		d.t.Fatal(err)
	}
	return made
}

// published is how often the Home was published, as the gate recorded it.
func (d homeDesk) published() (n int) {
	d.t.Helper()
	if err := d.app.DB.QueryRow(d.ctx, `SELECT COUNT(*) FROM actions WHERE tool = 'home' AND requester = $1`, ben).Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

func TestAHomeThatHasNotChangedIsNotPublishedAgain(t *testing.T) {
	t.Parallel()
	d := newHomeDesk(t)
	d.open()
	d.opened("My duties")
	for range 3 {
		d.open()
	}
	d.duty("water the plants")
	d.open()
	d.opened("water the plants")
	// The visits in between were worked before the last one, or with it.
	if n := d.published(); n != 2 {
		t.Errorf("published %d times, want 2: at first, and when something had changed", n)
	}
}

func TestALongHomeIsCutWhereSlackWantsIt(t *testing.T) {
	t.Parallel()
	d := newHomeDesk(t)
	const many = 60
	for i := range many {
		d.duty(fmt.Sprintf("duty number %02d", i))
		if _, err := d.app.Memory.Remember(d.ctx, memory.Place{Workspace: d.app.Self.Workspace, Channel: eng, ChannelKind: "public", Requester: ben, RequesterKind: "member"},
			memory.NewNote{Text: fmt.Sprintf("note %02d %s", i, strings.Repeat("words & <brackets> ", 40))}); err != nil {
			t.Fatal(err)
		}
	}
	d.open()
	home := d.opened("Show more (56)", "What I know here")
	if err := d.ben.Use(d.ctx, home, "home_more", regexp.MustCompile(`Show more \(56\)`), ""); err != nil {
		t.Fatal(err)
	}
	more := d.opened("Show less", "more do not fit here")
	if n := strings.Count(more.Text(), "duty number"); n < 10 || n >= many {
		t.Errorf("the opened section shows %d duties, want some more than before and less than all", n)
	}
	if err := d.ben.Use(d.ctx, more, "home_less", regexp.MustCompile("Show less"), ""); err != nil {
		t.Fatal(err)
	}
	d.opened("Show more (56)")
}

func TestTheLedgerNamesAHomeAndDoesNotQuoteIt(t *testing.T) {
	t.Parallel()
	d := newHomeDesk(t)
	d.duty("canary-4711 watch")
	d.open()
	d.opened("canary-4711 watch")
	entries, err := d.app.Ledger.Search(d.ctx, d.app.Self.Workspace, ledger.Query{Tool: "home"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if said := fmt.Sprintf("%+v", e); strings.Contains(said, "canary-4711") {
			t.Errorf("the entry of a Home quotes it: %s", said)
		}
	}
	if len(entries) == 0 {
		t.Error("the Home is not in the ledger")
	}
}
