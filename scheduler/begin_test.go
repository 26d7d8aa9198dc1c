package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/migrations"
)

// make creates a duty that is due every hour, as change alters it.
func (w *world) make(change func(n *NewDuty)) Duty {
	w.t.Helper()
	n := NewDuty{Workspace: "T1", Channel: "C1", ChannelKind: "public", Prompt: "look at the alerts", Schedule: Schedule{Cron: "0 * * * *", TZ: "UTC"}, Owner: "U0BEN"}
	if change != nil {
		change(&n)
	}
	d, err := w.s.Create(context.Background(), n)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) setOff(d Duty, request, cause string) {
	w.t.Helper()
	if err := w.db.Write(context.Background(), func(tx *migrations.Tx) error {
		now, err := load(tx, d.ID)
		if err != nil {
			return err
		}
		return w.s.SetOff(tx, now, request, cause)
	}); err != nil {
		w.t.Fatal(err)
	}
}

// history is the runs of a duty, oldest first, as "state due missed error".
func (w *world) history(d Duty) (all []string) {
	w.t.Helper()
	runs, err := w.s.Runs(context.Background(), d.ID, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range slices.Backward(runs) {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %d %s", r.State, r.DueAt.UTC().Format("15:04"), r.Missed, r.Error)))
	}
	return all
}

func (w *world) expect(d Duty, want ...string) {
	w.t.Helper()
	if got := w.history(d); !slices.Equal(got, want) {
		w.t.Errorf("history:\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// one is the only run that was handed on since.
func (w *world) one() Run {
	w.t.Helper()
	got := w.take()
	if len(got) != 1 {
		w.t.Fatalf("%d runs were handed on, want 1: %+v", len(got), got)
	}
	return got[0]
}

func (w *world) none() {
	w.t.Helper()
	if got := w.take(); len(got) != 0 {
		w.t.Fatalf("handed on %+v, want nothing", got)
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	t.Run("one waits and stands for those that come meanwhile", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		settle := w.runner("one", w.db, w.s)
		d := w.make(nil)
		w.set(at(0, 10, 0))
		settle()
		first := w.one()
		for _, hour := range []int{11, 12, 13} {
			w.set(at(0, hour, 0))
			settle()
			w.none()
		}
		w.expect(d, "due 10:00 0", "waiting 13:00 2")
		w.end(first)
		second := w.one()
		if !second.DueAt.Equal(at(0, 13, 0)) || second.Note != "This also stands for 2 earlier times." {
			t.Errorf("then came %+v; want the one of 13:00, which tells that it stands for two", second)
		}
		w.end(second)
		w.none()
		w.expect(d, "done 10:00 0", "done 13:00 2")
	})
	t.Run("it is skipped, and the next report tells", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		settle := w.runner("one", w.db, w.s)
		d := w.make(func(n *NewDuty) { n.Overlap = OverlapSkip })
		w.set(at(0, 10, 0))
		settle()
		first := w.one()
		w.set(at(0, 11, 0))
		settle()
		w.none()
		w.end(first)
		w.none()
		w.set(at(0, 12, 0))
		settle()
		if got := w.one(); got.Note != "One earlier time was skipped." {
			t.Errorf("the next run notes %q", got.Note)
		}
		w.expect(d, "done 10:00 0", "skipped 11:00 0 the run before it was still at work", "due 12:00 0")
	})
	t.Run("the run at work is stopped, and the next begins when it has ended", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		var stopped []string
		w.s.Stop = func(_ *migrations.Tx, _ Duty, r Run) error {
			stopped = append(stopped, r.ID)
			return nil
		}
		settle := w.runner("one", w.db, w.s)
		d := w.make(func(n *NewDuty) { n.Overlap = OverlapStop })
		w.set(at(0, 10, 0))
		settle()
		first := w.one()
		w.set(at(0, 11, 0))
		settle()
		w.none()
		if !slices.Equal(stopped, []string{first.ID}) {
			t.Fatalf("stopped %v, want the run at work", stopped)
		}
		if _, err := w.ended(Ending{Run: first.ID, State: RunStopped, Why: "stopped"}); err != nil {
			t.Fatal(err)
		}
		if got := w.one(); !got.DueAt.Equal(at(0, 11, 0)) || !strings.Contains(got.Note, "stopped for it") {
			t.Errorf("then came %+v", got)
		}
		w.expect(d, "stopped 10:00 0 stopped", "due 11:00 0")
	})
	t.Run("what something else set off is merged with its causes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.make(func(n *NewDuty) {
			n.Schedule, n.Kind, n.Trigger = Schedule{TZ: "UTC"}, KindWatch, Trigger{Channel: "C9", Pattern: "panic"}
		})
		for i := range 5 {
			for range 2 { // told twice
				w.setOff(d, fmt.Sprintf("message:%d", i), fmt.Sprintf(`{"kind":"message","text":"panic %d","label":{"untrusted":["bot:B%d"]}}`, i, i))
			}
		}
		w.end(w.one())
		got := w.one()
		if got.Missed != 3 || strings.Count(got.Cause, `"panic `) != 4 || !strings.Contains(got.Cause, `"kind":"several"`) ||
			!strings.Contains(got.Cause, `"untrusted":["bot:B1","bot:B2","bot:B3","bot:B4"]`) {
			t.Errorf("the run that waited is %+v; want one for four messages, with what they say and who answers for it", got)
		}
		w.setOff(d, "message:3", `{"kind":"message","text":"panic 3"}`)
		w.end(got)
		w.none()
	})
}

func TestRunsArePutOffByQuietHours(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	settle := w.runner("one", w.db, w.s)
	d := w.make(func(n *NewDuty) { n.Quiet, n.CatchUp = "daily 22:00-07:00", CatchUpSkip })
	w.set(at(0, 21, 0))
	settle()
	if got := w.take(); len(got) != 1 {
		t.Fatalf("handed on %d at 21:00, want 1", len(got))
	} else {
		w.end(got...)
	}
	for hour := 22; hour < 31; hour++ {
		w.set(at(0, hour, 30))
		settle()
		w.none()
	}
	w.set(at(1, 7, 0))
	settle()
	got := w.one() // 22:00 to 6:00 are nine times; 7:00 itself has come too
	if !got.DueAt.Equal(at(1, 7, 0)) || got.State != RunDue {
		t.Fatalf("at the end came %+v", got)
	}
	runs, err := w.s.Runs(context.Background(), d.ID, 10)
	if err != nil {
		t.Fatal(err)
	}
	told := int64(0)
	for _, r := range runs {
		if r.DueAt.After(at(0, 21, 30)) {
			told += r.Missed + 1
		}
	}
	if told != 10 {
		t.Errorf("%d of 10 due times are in the history: %+v", told, runs)
	}

	// A watch is put off too.
	watch := w.make(func(n *NewDuty) {
		n.Schedule, n.Kind, n.Trigger, n.Quiet = Schedule{TZ: "UTC"}, KindWatch, Trigger{Channel: "C9", Pattern: "panic"}, "daily 22:00-07:00"
	})
	w.end(got)
	if _, err := w.s.Pause(context.Background(), d.ID, "U0BEN"); err != nil {
		t.Fatal(err)
	}
	w.set(at(1, 23, 0))
	w.setOff(watch, "a", `{"kind":"message","text":"one"}`)
	w.setOff(watch, "b", `{"kind":"message","text":"two"}`)
	settle()
	w.none()
	w.set(at(2, 7, 0))
	settle()
	if got := w.one(); got.Missed != 1 || !strings.Contains(got.Note, "quiet hours") || !strings.Contains(got.Cause, "one") || !strings.Contains(got.Cause, "two") {
		t.Errorf("after the quiet came %+v; want one run for both, which says so", got)
	}
}

// Several times that were put off are one run, whatever the policy for missed ones.
func TestTimesPutOffByQuietHoursAreOneRun(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{CatchUpSkip, CatchUpOnce, CatchUpAll} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			settle := w.runner("one", w.db, w.s)
			w.make(func(n *NewDuty) { n.Quiet, n.CatchUp = "daily 22:00-07:30", policy })
			w.set(at(0, 21, 30))
			settle()
			w.end(w.take()...)
			w.set(at(1, 7, 30))
			settle()
			if got := w.one(); got.Missed != 9 || !strings.Contains(got.Note, "This also stands for 9 earlier times.") || !strings.Contains(got.Note, "It was due Tue 3 Mar 07:00, in quiet hours.") {
				t.Errorf("got %+v; want one run that stands for 22:00 to 6:00 too, and says so", got)
			}
		})
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	settle := w.runner("one", w.db, w.s)
	late := map[time.Duration]bool{}
	var all []Duty
	for range 20 {
		all = append(all, w.make(func(n *NewDuty) { n.Jitter = 10 * time.Minute }))
	}
	for _, d := range all {
		by := d.lateness(d.NextAt)
		if by < 0 || by > 10*time.Minute || by != d.lateness(d.NextAt) {
			t.Errorf("late by %v, then %v", by, d.lateness(d.NextAt))
		}
		late[by] = true
		d.Schedule.Cron, d.Jitter = "* * * * *", Duration(time.Hour)
		if by := d.lateness(d.NextAt); by > 30*time.Second {
			t.Errorf("every minute, late by %v: the next one would come first", by)
		}
	}
	if len(late) < 10 {
		t.Errorf("20 duties are late by only %d different times", len(late))
	}
	w.set(at(0, 10, 0).Add(-time.Second))
	settle()
	w.none()
	for s := 0; s <= 600; s += 5 {
		w.set(at(0, 10, 0).Add(time.Duration(s) * time.Second))
		settle()
		for _, r := range w.take() {
			i := slices.IndexFunc(all, func(d Duty) bool { return d.ID == r.Duty })
			if early := all[i].lateness(r.DueAt) - time.Duration(s)*time.Second; early > 0 || early <= -5*time.Second || !r.DueAt.Equal(at(0, 10, 0)) {
				t.Errorf("%s began %v early, for %v", r.Duty, early, r.DueAt)
			}
			w.end(r)
			all[i].Title = "ran"
		}
	}
	for _, d := range all {
		if d.Title != "ran" {
			t.Errorf("%s never began", d.ID)
		}
	}
}

// Who else is due at the same moment does not matter until there are many.
func TestACrowdIsSpread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var last Duty
	for range 3 * crowd {
		last = w.make(nil)
	}
	var first, latest int64
	if err := w.db.QueryRow(context.Background(), `SELECT MIN(due_at), MAX(due_at) FROM tasks`).Scan(&first, &latest); err != nil {
		t.Fatal(err)
	}
	if spread := migrations.Time(latest).Sub(migrations.Time(first)); !migrations.Time(first).Equal(last.NextAt) || spread <= time.Second || spread > 3*time.Second {
		t.Errorf("%d duties begin from %v on, over %v; want from %v on, over three seconds", 3*crowd, migrations.Time(first), spread, last.NextAt)
	}
}

func TestLimitsEndADuty(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(n *NewDuty){
		"so many runs":   func(n *NewDuty) { n.MostRuns = 3 },
		"until a time":   func(n *NewDuty) { n.Schedule.Until = at(0, 12, 0) },
		"until a moment": func(n *NewDuty) { n.Schedule.Until = at(0, 12, 59) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var news []string
			w.s.Tell = func(_ *migrations.Tx, _ Duty, n News) error {
				news = append(news, n.Kind)
				return nil
			}
			settle := w.runner("one", w.db, w.s)
			d := w.make(change)
			for hour := 10; hour < 20; hour++ {
				w.set(at(0, hour, 1))
				settle()
				w.end(w.take()...)
			}
			w.expect(d, "done 10:00 0", "done 11:00 0", "done 12:00 0")
			if got, err := w.s.Get(context.Background(), d.ID); err != nil || got.State != StateDone || !slices.Equal(news, []string{NewsEnded}) {
				t.Errorf("afterwards it is %q (%v), and people were told %v; want done, told once", got.State, err, news)
			}
		})
	}
}

func TestARunThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	settle := w.runner("one", w.db, w.s)
	d := w.make(func(n *NewDuty) { n.MostFails = 2 })
	fail := func(r Run, outward bool) After {
		t.Helper()
		after, err := w.ended(Ending{Run: r.ID, Turn: "t1", State: RunFailed, Why: "the model did not answer", Outward: outward, Tokens: 10})
		if err != nil {
			t.Fatal(err)
		}
		return after
	}
	w.set(at(0, 10, 0))
	settle()
	first := w.one()
	if after := fail(first, false); !after.Again.Equal(at(0, 10, 5)) {
		t.Fatalf("tried again at %v, want five minutes later", after.Again)
	}
	w.set(at(0, 10, 4))
	settle()
	w.none()
	w.set(at(0, 10, 5))
	settle()
	second := w.one()
	if second.ID != first.ID || second.Tries != 2 {
		t.Errorf("then came %+v; want the same run for the second time", second)
	}
	if after := fail(second, false); !after.Again.Equal(at(0, 10, 25)) {
		t.Fatalf("tried again at %v, want 20 minutes later", after.Again)
	}
	w.set(at(0, 10, 25))
	settle()
	if after := fail(w.one(), false); !after.Again.IsZero() || after.Held || !after.Next.Equal(at(0, 11, 0)) {
		t.Fatalf("after the third: %+v, want that it waits for the next time", after)
	}
	w.expect(d, "failed 10:00 0 the model did not answer")

	var held []News
	w.s.Tell = func(_ *migrations.Tx, _ Duty, n News) error {
		held = append(held, n)
		return nil
	}
	w.set(at(0, 11, 0))
	settle()
	if after := fail(w.one(), true); !after.Again.IsZero() || !after.Held {
		t.Fatalf("after something was done outside: %+v, want no other try, and the duty held", after)
	}
	got, err := w.s.Get(context.Background(), d.ID)
	if err != nil || got.State != StatePaused || !strings.Contains(got.PausedWhy, "2 times in a row") || len(held) != 1 || held[0].Kind != NewsHeld {
		t.Errorf("after two failures it is %q (%q), %v, and people are told %+v; want paused and asked", got.State, got.PausedWhy, err, held)
	}
	if got, err = w.s.Resume(context.Background(), d.ID, "U0BEN"); err != nil || got.Fails != 0 {
		t.Errorf("resumed with %d failures, %v", got.Fails, err)
	}
}

func TestAFailureIsForgivenByTheNextRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	settle := w.runner("one", w.db, w.s)
	d := w.make(func(n *NewDuty) { n.MostFails = 2 })
	for i, state := range []string{RunFailed, RunDone, RunFailed, RunStopped, RunDone} {
		w.set(at(0, 10+i, 0))
		settle()
		if _, err := w.ended(Ending{Run: w.one().ID, State: state, Why: "x", Outward: true}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := w.s.Get(context.Background(), d.ID); err != nil || got.State != StateActive || got.Fails != 0 {
		t.Errorf("it is %q with %d failures, %v; want active with none", got.State, got.Fails, err)
	}
}

func TestSkipNext(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	settle := w.runner("one", w.db, w.s)
	d := w.make(nil)
	got, err := w.s.SkipNext(ctx, d.ID, "U0ADA")
	if err != nil || !got.NextAt.Equal(at(0, 11, 0)) {
		t.Fatalf("next at %v, %v; want 11:00", got.NextAt, err)
	}
	w.set(at(0, 10, 0))
	settle()
	w.none()
	w.set(at(0, 11, 0))
	settle()
	if r := w.one(); r.Note != "" {
		t.Errorf("the next run notes %q; who skipped it knows", r.Note)
	}
	w.expect(d, "skipped 10:00 0 skipped by <@U0ADA>", "due 11:00 0")
	once := w.make(func(n *NewDuty) { n.Schedule = Schedule{At: at(0, 15, 0), TZ: "UTC"} })
	if once, err = w.s.SkipNext(ctx, once.ID, "U0ADA"); err != nil || once.State != StateDone {
		t.Errorf("a single one that is skipped is %q, %v; want done", once.State, err)
	}
	if _, err := w.s.SkipNext(ctx, "d_none", "U0ADA"); !errors.Is(err, ErrNoDuty) {
		t.Errorf("skipping no duty: %v", err)
	}
	watch := w.make(func(n *NewDuty) {
		n.Schedule, n.Kind, n.Trigger = Schedule{TZ: "UTC"}, KindWatch, Trigger{Channel: "C9", Pattern: "panic"}
	})
	if _, err := w.s.SkipNext(ctx, watch.ID, "U0ADA"); err == nil || !strings.Contains(err.Error(), "not due by the clock") {
		t.Errorf("skipping a time of a watch: %v", err)
	}
}

func TestADryRunStandsBeside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.make(func(n *NewDuty) { n.MostRuns, n.Silent = 1, true })
	for range 2 {
		if _, err := w.s.DryRun(context.Background(), d.ID, Dry{By: "U0ADA", Channel: "D1", ChannelKind: "im", Request: "turn:t1:c1"}); err != nil {
			t.Fatal(err)
		}
	}
	r := w.one()
	if !r.Dry || r.AskedBy != "U0ADA" {
		t.Errorf("handed on %+v; want a dry run for who asked", r)
	}
	if _, err := w.ended(Ending{Run: r.ID, State: RunFailed, Why: "x"}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.s.Get(context.Background(), d.ID); err != nil || got.State != StateActive || got.Fails != 0 {
		t.Errorf("afterwards the duty is %q with %d failures, %v; want as before", got.State, got.Fails, err)
	}
}

// What waits when a duty is paused begins when it is resumed, and ends with it.
func TestARunThatWaitsOutlastsAPause(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	settle := w.runner("one", w.db, w.s)
	d := w.make(nil)
	w.set(at(0, 10, 0))
	settle()
	first := w.one()
	w.set(at(0, 11, 0))
	settle()
	if _, err := w.s.PauseUntil(ctx, d.ID, "U0BEN", at(0, 15, 30), "a fair"); err != nil {
		t.Fatal(err)
	}
	w.end(first)
	settle()
	w.none()
	w.set(at(0, 15, 30))
	settle()
	if r := w.one(); !r.DueAt.Equal(at(0, 11, 0)) {
		t.Errorf("after the pause came the run of %v, want that of 11:00", r.DueAt)
	}
	w.set(at(0, 16, 0))
	settle()
	if _, err := w.s.Delete(ctx, d.ID, "U0BEN"); err != nil {
		t.Fatal(err)
	}
	w.expect(d, "done 10:00 0", "due 11:00 0", "skipped 16:00 0 the duty was deleted")
}

// A workspace with a crowd does not keep another one waiting.
func TestACrowdDoesNotStarveAnotherWorkspace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 600 {
		w.make(nil)
	}
	alone := w.make(func(n *NewDuty) { n.Workspace = "T2" })
	w.set(at(0, 10, 1))
	w.runner("one", w.db, w.s)()
	got := w.take()
	if len(got) != 601 {
		t.Fatalf("%d runs, want 601", len(got))
	}
	if i := slices.IndexFunc(got, func(r Run) bool { return r.Duty == alone.ID }); i > 64 {
		t.Errorf("the one of the other workspace came after %d of the crowd, want in the first group of 64", i)
	}
}
