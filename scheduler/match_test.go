package scheduler

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"deskmate/identity/label"
	"deskmate/migrations"
)

func (w *world) watch(t Trigger) Duty {
	w.t.Helper()
	t.Channel = "C0ALERTS"
	d, err := w.s.Create(context.Background(), NewDuty{Workspace: "T1", Channel: "C0OPS", ChannelKind: "public", Kind: KindWatch, Prompt: "summarise it here", Trigger: t, Schedule: Schedule{TZ: "UTC"}, Owner: "U0BEN"})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) write(f func(tx *migrations.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) causes(duty string) []Cause {
	w.t.Helper()
	runs, err := w.s.Runs(context.Background(), duty, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []Cause
	for _, r := range runs {
		c, _, err := ReadCause(r.Cause)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func TestWhatFitsAWatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		t    Trigger
		h    Happening
		want bool
	}{
		"a pattern, whatever the case":        {Trigger{Pattern: `panic: `}, Happening{Text: "PANIC: nil map"}, true},
		"another text":                        {Trigger{Pattern: `panic: `}, Happening{Text: "all is well"}, false},
		"a person":                            {Trigger{People: []string{"U0CHLOE"}}, Happening{User: "U0CHLOE", Text: "hello"}, true},
		"another person":                      {Trigger{People: []string{"U0CHLOE"}}, Happening{User: "U0BEN", Text: "hello"}, false},
		"a person and a pattern, one missing": {Trigger{People: []string{"U0CHLOE"}, Pattern: "release"}, Happening{User: "U0CHLOE", Text: "hello"}, false},
		"a reaction":                          {Trigger{Reaction: "eyes"}, Happening{Reaction: "eyes"}, true},
		"a reaction in another skin":          {Trigger{Reaction: "wave"}, Happening{Reaction: "wave::skin-tone-4"}, true},
		"another reaction":                    {Trigger{Reaction: "eyes"}, Happening{Reaction: "tada"}, false},
		"a message, where a reaction counts":  {Trigger{Reaction: "eyes"}, Happening{Text: ":eyes:"}, false},
		"a reaction, where a message counts":  {Trigger{Pattern: "eyes"}, Happening{Reaction: "eyes"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.t.fits(c.h, &patterns{}); got != c.want {
				t.Errorf("fits = %v, want %v", got, c.want)
			}
		})
	}
}

func TestWatchedChannelsFollowChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	is := func(s *Scheduler, want bool) {
		t.Helper()
		if got, err := s.Watched(ctx, "T1", "C0ALERTS"); err != nil || got != want {
			t.Fatalf("watched = %v, %v; want %v", got, err, want)
		}
	}
	is(w.s, false)
	d := w.watch(Trigger{Pattern: "x"})
	is(w.s, true)
	if other, err := w.s.Watched(ctx, "T2", "C0ALERTS"); err != nil || other {
		t.Errorf("the channel of another workspace is watched: %v, %v", other, err)
	}
	if _, err := w.s.Pause(ctx, d.ID, "U0BEN"); err != nil {
		t.Fatal(err)
	}
	is(w.s, false)

	// A change of another process counts once the set is a second old.
	_, other := w.open()
	if _, err := other.Resume(ctx, d.ID, "U0BEN"); err != nil {
		t.Fatal(err)
	}
	w.s.watched.read = time.Now().Add(-watchedFor)
	is(w.s, true)
}

func TestWhatWasSaidBeforeADutyDoesNotSetItOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.watch(Trigger{Pattern: "x"})
	for at, want := range map[time.Time]int{monday.Add(-time.Minute): 0, monday.Add(time.Minute): 1} {
		all, err := w.s.Fitting(context.Background(), Happening{Workspace: "T1", Channel: "C0ALERTS", Text: "x", At: at})
		if err != nil || len(all) != want {
			t.Errorf("at %v: %d duties, %v; want %d", at, len(all), err, want)
		}
	}
}

func TestAWatchIsSetOffOncePerMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.watch(Trigger{Pattern: "x"})
	for range 3 { // delivered again, and edited
		w.write(func(tx *migrations.Tx) error { return w.s.Hit(tx, d.ID, "message:C0ALERTS:1.1", Cause{Text: "x"}) })
	}
	w.write(func(tx *migrations.Tx) error { return w.s.Hit(tx, d.ID, "message:C0ALERTS:1.2", Cause{Text: "x"}) })
	if got := w.causes(d.ID); len(got) != 2 {
		t.Errorf("%d runs, want 2", len(got))
	}
	if _, err := w.s.Pause(context.Background(), d.ID, "U0BEN"); err != nil {
		t.Fatal(err)
	}
	w.write(func(tx *migrations.Tx) error { return w.s.Hit(tx, d.ID, "message:C0ALERTS:1.3", Cause{Text: "x"}) })
	if got := w.causes(d.ID); len(got) != 2 {
		t.Errorf("%d runs while it is paused, want 2", len(got))
	}
}

func TestAFloodComesAsOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.watch(Trigger{Pattern: "x", Rate: 5})
	for i := range 100 {
		w.write(func(tx *migrations.Tx) error {
			return w.s.Hit(tx, d.ID, fmt.Sprintf("message:C0ALERTS:1.%d", i), Cause{Text: "x " + strings.Repeat("y", 5000), Label: label.From("bot", fmt.Sprint("B", i))})
		})
	}
	if got := w.causes(d.ID); len(got) != 5 {
		t.Fatalf("%d runs in the hour, want 5", len(got))
	}
	flush := func() (again time.Time) {
		w.write(func(tx *migrations.Tx) (err error) { again, err = w.s.Flush(tx, d); return err })
		return again
	}
	if again := flush(); !again.After(w.Now()) || again.After(w.Now().Add(time.Hour+time.Second)) {
		t.Errorf("it is to look again at %v, want in an hour from %v", again, w.Now())
	}
	w.set(w.Now().Add(time.Hour + time.Second))
	if again := flush(); !again.IsZero() {
		t.Errorf("it is to look again at %v, want not", again)
	}
	got := w.causes(d.ID)
	if len(got) != 6 || got[0].Kind != CauseSeveral || got[0].Count != 95 || len(got[0].Others) != mostCauses || got[0].Label.Trusted() {
		t.Fatalf("got %d runs, the newest of kind %q for %d with %d told and label %v; want 6, several, 95, %d, untrusted", len(got), got[0].Kind, got[0].Count, len(got[0].Others), got[0].Label, mostCauses)
	}
	for _, o := range got[0].Others {
		if !o.Cut || len(o.Text) > mostCause/mostCauses {
			t.Errorf("a cause of %d bytes is told, want a cut one", len(o.Text))
		}
	}
	// What was told together is known when it is delivered again.
	w.write(func(tx *migrations.Tx) error { return w.s.Hit(tx, d.ID, "message:C0ALERTS:1.50", Cause{Text: "x"}) })
	if got := w.causes(d.ID); len(got) != 6 {
		t.Errorf("%d runs after a redelivery, want 6", len(got))
	}
}

func TestHitsWithAConditionWaitForAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.watch(Trigger{Condition: "is a customer angry?"})
	hit := func(n int) {
		w.write(func(tx *migrations.Tx) error {
			return w.s.Hit(tx, d.ID, fmt.Sprintf("message:C0ALERTS:1.%d", n), Cause{Text: fmt.Sprint("m", n)})
		})
	}
	asked := func() (all []Hit, at time.Time) {
		w.write(func(tx *migrations.Tx) (err error) { all, at, err = w.s.Asked(tx, d.ID); return err })
		return all, at
	}
	hit(0)
	if all, at := asked(); len(all) != 1 || !at.Equal(w.Now().Add(askAfter)) || len(w.causes(d.ID)) != 0 {
		t.Fatalf("%d wait until %v with %d runs; want 1 for a minute and no run", len(all), at, len(w.causes(d.ID)))
	}
	for n := range AskMost {
		hit(n)
	}
	all, at := asked()
	if len(all) != AskMost || !at.IsZero() {
		t.Fatalf("%d wait until %v, want %d to be asked at once", len(all), at, AskMost)
	}
	w.write(func(tx *migrations.Tx) error {
		for i, h := range all {
			if err := w.s.Answered(tx, d, h, i == 3); err != nil {
				return err
			}
		}
		return nil
	})
	if got := w.causes(d.ID); len(got) != 1 || got[0].Text != "m3" {
		t.Errorf("runs for %v, want one for m3", got)
	}
	hit(3)
	hit(4)
	if all, _ := asked(); len(all) != 0 {
		t.Errorf("%d wait after a redelivery, want none", len(all))
	}
}

func TestNamedPatterns(t *testing.T) {
	t.Parallel()
	for what, texts := range map[string]struct{ fits, not []string }{
		"a stack trace": {
			[]string{"panic: runtime error: invalid memory address", "goroutine 17 [running]:", "Traceback (most recent call last):\n  File \"a.py\", line 3", "at com.acme.Pay.charge(Pay.java:42)",
				"java.lang.NullPointerException: null", "TypeError: x is undefined", "main.go:12"},
			[]string{"all is well", "no exceptions today", "we met at noon (again)", "the panic is over"}},
		"errors":                   {[]string{"deploy failed", "ERROR 5 of 7", "HTTP 503"}, []string{"deploy done", "terror"}},
		"a link to a pull request": {[]string{"<https://github.com/acme/app/pull/12>", "https://gitlab.com/a/b/-/merge_requests/3"}, []string{"https://github.com/acme/app", "pull the rope"}},
		"a question":               {[]string{"does anybody know why?", "Where is it? I looked."}, []string{"I know why.", "https://x.example/?a=b"}},
		"a ticket":                 {[]string{"see OPS-12", "https://x.example/browse/OPS-1"}, []string{"see you"}},
		"the release":              {[]string{"when is the Release?", "release!"}, []string{"it was released"}},
		`"C++ build"`:              {[]string{"the C++  build is red"}, []string{"the C build"}},
		"/deploy(ed|ing)/":         {[]string{"Deploying now"}, []string{"deploy"}},
		"an outage":                {[]string{"outage in eu-west", "[FIRING:1] disk"}, []string{"an outing"}},
	} {
		pattern, means, err := LookFor(what)
		if err != nil || means == "" || len(pattern) > mostPattern {
			t.Errorf("%s: %q, %q, %v", what, pattern, means, err)
			continue
		}
		re := regexp.MustCompile("(?i)" + pattern)
		for _, s := range texts.fits {
			if !re.MatchString(s) {
				t.Errorf("%s does not fit %q", what, s)
			}
		}
		for _, s := range texts.not {
			if re.MatchString(s) {
				t.Errorf("%s fits %q", what, s)
			}
		}
	}
	for _, n := range NamedPatterns() {
		if p, _, err := LookFor(n); err != nil || len(p) > mostPattern {
			t.Errorf("%s: %d bytes, %v", n, len(p), err)
		}
	}
	for _, bad := range []string{"", "/(/", strings.Repeat("x", 600)} {
		if _, _, err := LookFor(bad); err == nil {
			t.Errorf("%.20q is taken", bad)
		}
	}
}

func TestASettledDutyIsDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.watch(Trigger{Pattern: "x"})
	w.write(func(tx *migrations.Tx) error {
		got, err := w.s.Settle(tx, d.ID, "U0CHLOE", "said so")
		if err == nil && got.State != StateDone {
			t.Errorf("it is %s", got.State)
		}
		return err
	})
	if is, err := w.s.Watched(context.Background(), "T1", "C0ALERTS"); err != nil || is {
		t.Errorf("still watched: %v, %v", is, err)
	}
}

// BenchmarkWatched is what a message in a channel that nobody watches costs, with
// 10,000 watches of other channels; 500 with -short.
func BenchmarkWatched(b *testing.B) {
	n := 10_000
	if testing.Short() {
		n = 500
	}
	w := newWorld(b)
	w.write(func(tx *migrations.Tx) error {
		for i := range n {
			if _, err := w.s.CreateTx(tx, NewDuty{Workspace: "T1", Channel: "C0OPS", ChannelKind: "public", Kind: KindWatch, Prompt: "x",
				Trigger: Trigger{Channel: fmt.Sprint("C", i%1000), Pattern: "x"}, Schedule: Schedule{TZ: "UTC"}, Owner: "U0BEN"}); err != nil {
				return err
			}
		}
		return nil
	})
	for b.Loop() {
		if is, err := w.s.Watched(context.Background(), "T1", "C0QUIET"); is || err != nil {
			b.Fatal(is, err)
		}
	}
}
