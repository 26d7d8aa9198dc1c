package handoff

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/scheduler"
)

func TestAnOwnerIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d1, d2, t1 := w.duty("U0BEN"), w.duty("U0BEN"), w.thread(1, "U0BEN")
	h := w.offer(Offer{From: "U0BEN", To: chloe, Asker: ben, Items: []Ref{d2}})
	w.exec(`UPDATE people SET is_deleted = 1 WHERE id = 'U0BEN'`)
	all, err := w.s.Unowned(t.Context(), team)
	if err != nil || len(all) != 3 {
		t.Errorf("unowned: %v, %v", all, err)
	}
	for range 2 { // the second time there is nothing left to do
		if err := w.s.OwnerGone(t.Context(), team, "U0BEN", CauseGone); err != nil {
			t.Fatal(err)
		}
	}
	w.owned("U0ADA", d1, d2, t1)
	if all, err := w.s.Unowned(t.Context(), team); err != nil || len(all) != 0 {
		t.Errorf("unowned after that: %v, %v", all, err)
	}
	for _, r := range []Ref{d1, d2} {
		d, err := w.s.Duties.Get(t.Context(), r.ID)
		if err != nil || d.State != scheduler.StatePaused || !strings.Contains(d.PausedWhy, "deactivated") {
			t.Errorf("%s is %s (%s), %v", r.ID, d.State, d.PausedWhy, err)
		}
	}
	lapses, err := w.s.Lapses(t.Context(), team)
	if err != nil || len(lapses) != 1 || len(lapses[0].Items) != 2 || !slices.Equal(lapses[0].Asked, []string{"U0ADA"}) {
		t.Fatalf("lapses: %+v, %v", lapses, err)
	}
	// The offer stands: whoever accepts takes it from the sponsor, and it runs again.
	if _, err := w.s.Accept(t.Context(), Answer{Workspace: team, ID: h.ID, Who: chloe}); err != nil {
		t.Fatal(err)
	}
	w.owned("U0CHLOE", d2)
	if d, err := w.s.Duties.Get(t.Context(), d2.ID); err != nil || d.State != scheduler.StateActive {
		t.Errorf("accepted, it is %s, %v", d.State, err)
	}
	// Handing on what lapsed settles it.
	again := w.offer(Offer{From: "U0ADA", To: chloe, Asker: ada, Items: []Ref{d1, t1}})
	if _, err := w.s.Accept(t.Context(), Answer{Workspace: team, ID: again.ID, Who: chloe}); err != nil {
		t.Fatal(err)
	}
	if l, err := w.s.Lapse(t.Context(), team, lapses[0].ID); err != nil || l.State != "settled" {
		t.Errorf("the lapse is %+v, %v", l, err)
	}
}

func TestWhoIsOfferedToLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.duty("U0BEN")
	h := w.offer(Offer{From: "U0BEN", To: chloe, Asker: ben, Items: []Ref{d}})
	if err := w.s.OwnerGone(t.Context(), team, "U0CHLOE", CauseGone); err != nil {
		t.Fatal(err)
	}
	if got, err := w.s.Get(t.Context(), team, h.ID); err != nil || got.State != StateExpired {
		t.Errorf("the offer is %s, %v", got.State, err)
	}
	w.owned("U0BEN", d)
}

func TestWithoutASponsorNothingIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sponsors = nil
	d := w.duty("U0BEN")
	if err := w.s.OwnerGone(t.Context(), team, "U0BEN", CauseGone); err != nil {
		t.Fatal(err)
	}
	w.owned("U0BEN", d)
	lapses, err := w.s.Lapses(t.Context(), team)
	if err != nil || len(lapses) != 1 || !lapses[0].Items[0].Held {
		t.Errorf("lapses: %+v, %v", lapses, err)
	}
}

func TestALapseRemindsUntilSomebodyDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d1, d2 := w.duty("U0BEN"), w.duty("U0BEN")
	if err := w.s.OwnerGone(t.Context(), team, "U0BEN", CauseGone); err != nil {
		t.Fatal(err)
	}
	lapses, err := w.s.Lapses(t.Context(), team)
	if err != nil {
		t.Fatal(err)
	}
	id := lapses[0].ID
	if w.follow(id); !slices.Equal(w.told, []string{"owner-gone asked"}) {
		t.Errorf("people were told %v", w.told)
	}
	for _, after := range []int{1, 3, 7, 14, 21} {
		w.forward(start.Add(time.Duration(after) * 24 * time.Hour).Sub(w.clock()))
		w.told = nil
		w.follow(id)
		if !slices.Equal(w.told, []string{"owner-gone reminder"}) {
			t.Errorf("after %d days people were told %v", after, w.told)
		}
	}
	var no *RefusedError
	if _, err := w.s.Decide(t.Context(), team, id, chloe, LapseKeep, nil, nil); !errors.As(err, &no) {
		t.Errorf("who was not asked decided: %v", err)
	}
	if _, err := w.s.Decide(t.Context(), team, id, ada, LapseDelete, []Ref{d1}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Duties.Get(t.Context(), d1.ID); !errors.Is(err, scheduler.ErrNoDuty) {
		t.Errorf("deleted, it is still there: %v", err)
	}
	// A human who resumes the other has decided too.
	if _, err := w.s.Duties.Resume(t.Context(), d2.ID, "U0ADA"); err != nil {
		t.Fatal(err)
	}
	w.follow(id)
	if l, err := w.s.Lapse(t.Context(), team, id); err != nil || l.State != "settled" {
		t.Errorf("the lapse is %+v, %v", l, err)
	}
}

func TestAPlaceIsGoneAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d1, d2 := w.duty("U0BEN"), w.duty("U0CHLOE")
	if _, err := w.s.Duties.Pause(t.Context(), d2.ID, "U0CHLOE"); err != nil {
		t.Fatal(err)
	}
	if err := w.s.PlaceGone(t.Context(), team, "C0ENG", CauseArchived); err != nil {
		t.Fatal(err)
	}
	lapses, err := w.s.Lapses(t.Context(), team)
	if err != nil || len(lapses) != 1 || len(lapses[0].Asked) != 3 || lapses[0].Asked[2] != "U0ADA" { // the owners, then the sponsor
		t.Fatalf("lapses: %+v, %v", lapses, err)
	}
	if err := w.s.PlaceBack(t.Context(), team, "C0ENG"); err != nil {
		t.Fatal(err)
	}
	for r, want := range map[Ref]string{d1: scheduler.StateActive, d2: scheduler.StatePaused} { // a human's pause stays
		if d, err := w.s.Duties.Get(t.Context(), r.ID); err != nil || d.State != want {
			t.Errorf("%s is %s, want %s (%v)", r.ID, d.State, want, err)
		}
	}
	// Reported to the owner instead, by their own word.
	if err := w.s.PlaceGone(t.Context(), team, "C0ENG", CauseArchived); err != nil {
		t.Fatal(err)
	}
	if lapses, err = w.s.Lapses(t.Context(), team); err != nil || len(lapses) != 1 {
		t.Fatalf("lapses: %+v, %v", lapses, err)
	}
	if _, err := w.s.Decide(t.Context(), team, lapses[0].ID, ben, LapseDirect, []Ref{d1}, map[string]string{"U0BEN": "D0BEN"}); err != nil {
		t.Fatal(err)
	}
	if d, err := w.s.Duties.Get(t.Context(), d1.ID); err != nil || d.Channel != "D0BEN" || d.ChannelKind != "im" || d.State != scheduler.StateActive {
		t.Errorf("rerouted, it is %+v, %v", d, err)
	}
}

func TestThePlansDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var refs []Ref
	plan := Plan{Workspace: team, Person: "U0BEN", LeavesAt: start.Add(4 * 24 * time.Hour)}
	for i := range 4 {
		refs = append(refs, w.duty("U0BEN"))
		to := []string{"U0CHLOE", "U0CHLOE", "U0ADA", ""}[i]
		plan.Items = append(plan.Items, PlanItem{Ref: refs[i], To: to, Why: "most active there lately"})
	}
	var no *RefusedError
	if _, err := w.s.Propose(t.Context(), plan, chloe, "r1"); !errors.As(err, &no) {
		t.Errorf("somebody else planned: %v", err)
	}
	p, err := w.s.Propose(t.Context(), plan, ada, "r1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := w.s.Propose(t.Context(), plan, ada, "r1"); err != nil || again.ID != p.ID || len(again.Items) != 4 {
		t.Errorf("one request made %+v, %v", again, err)
	}
	if p, err = w.s.Redraw(t.Context(), team, p.ID, ada, map[Ref]string{refs[1]: "U0ADA"}); err != nil || p.Items[1].To != "U0ADA" {
		t.Fatalf("redrawn: %+v, %v", p, err)
	}
	p, made, left, err := w.s.Confirm(t.Context(), team, p.ID, ada, map[string]Person{"U0CHLOE": chloe, "U0ADA": ada}, nil)
	if err != nil || len(made) != 2 || len(left) != 0 {
		t.Fatalf("confirmed: %v %v %v", made, left, err)
	}
	if _, _, _, err := w.s.Confirm(t.Context(), team, p.ID, ada, nil, nil); !errors.As(err, &no) {
		t.Errorf("confirmed twice: %v", err)
	}
	for _, h := range made {
		if h.To == "U0CHLOE" {
			if _, err := w.s.Accept(t.Context(), Answer{Workspace: team, ID: h.ID, Who: chloe}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.s.Hidden = func(_ context.Context, _, person string, all []Ref) (map[Ref]string, error) {
		if person != "U0ADA" {
			t.Errorf("asked what %s may see", person)
		}
		return map[Ref]string{refs[3]: "not hers to see"}, nil
	}
	w.follow(p.ID)
	w.owned("U0BEN", refs[1:]...)
	w.forward(4 * 24 * time.Hour)
	w.follow(p.ID)
	w.owned("U0CHLOE", refs[0])
	w.owned("U0ADA", refs[1:]...)
	// What the sponsor may not see waits for a word; the rest goes on.
	for i, want := range []string{scheduler.StateActive, scheduler.StateActive, scheduler.StateActive, scheduler.StatePaused} {
		if d, err := w.s.Duties.Get(t.Context(), refs[i].ID); err != nil || d.State != want {
			t.Errorf("duty %d is %s, want %s (%v)", i, d.State, want, err)
		}
	}
	if all, err := w.s.Unowned(t.Context(), team); err != nil || len(all) != 0 {
		t.Errorf("unowned: %v, %v", all, err)
	}
}

func TestCausesAreTold(t *testing.T) {
	t.Parallel()
	for _, c := range causeWords {
		if got := causeOf(CauseWords(c.cause, "U0BEN")); got != c.cause {
			t.Errorf("%q is read as %q, want %q", CauseWords(c.cause, "U0BEN"), got, c.cause)
		}
	}
	if got := causeOf("the holidays"); got != "" {
		t.Errorf("a human's reason is read as %q", got)
	}
}
