package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/scheduler/phrases"
)

// wanted is the schedule that a sentence of the table becomes.
func wanted(c phrases.Sentence) Schedule {
	return Schedule{Cron: c.Cron, TZ: c.TZ, At: c.At, Every: c.Every, Unit: c.Unit, From: c.From, Until: c.Until}
}

func TestTableOfSentences(t *testing.T) {
	t.Parallel()
	all := phrases.All(t)
	if len(all) < 120 {
		t.Errorf("the table has %d sentences, want at least 120", len(all))
	}
	for _, c := range all {
		s, rest, err := ParsePhrase(c.Say, c.Now, c.Zone)
		if problem := c.Problem(); problem != "" {
			if err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("%q: %+v, %v; want %q", c.Say, s, err, problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.Say, err)
			continue
		}
		want := wanted(c)
		if s.Cron != want.Cron || s.TZ != want.TZ || !s.At.Equal(want.At) || s.Every != want.Every || s.Unit != want.Unit || !s.From.Equal(want.From) || !s.Until.Equal(want.Until) || rest != c.Rest {
			t.Errorf("%q:\n got %+v, rest %q\nwant %+v, rest %q", c.Say, s, rest, want, c.Rest)
		}
		if got := s.Times(c.Now, 5); !slices.EqualFunc(got, c.Next, time.Time.Equal) {
			t.Errorf("%q is due at %v, want %v", c.Say, got, c.Next)
		}
	}
}

// The times of the table are those of a walk along the clock on the wall.
func TestTimesOfTheTableAreWalked(t *testing.T) {
	t.Parallel()
	type walk struct {
		now  time.Time
		zone string
		far  bool
	}
	walks := map[walk][]phrases.Sentence{}
	for _, c := range phrases.All(t) {
		every, interval := strings.CutPrefix(c.Cron, "@every ")
		switch {
		case c.Problem() != "":
		case c.Cron == "":
			if len(c.Next) != 1 || !c.Next[0].Equal(c.At) {
				t.Errorf("%q is due at %v, want once at %v", c.Say, c.Next, c.At)
			}
		case interval:
			step, err := time.ParseDuration(every)
			first := c.Now.Add(step)
			if !c.From.IsZero() {
				first = c.From
			}
			for i, at := range c.Next {
				if err != nil || !at.Equal(first.Add(time.Duration(i)*step)) {
					t.Errorf("%q is due at %v, %v; want steps of %v from %v", c.Say, c.Next, err, step, first)
				}
			}
		default:
			far := len(c.Next) > 0 && c.Next[len(c.Next)-1].After(c.Now.AddDate(1, 0, 0))
			key := walk{c.Now.UTC(), c.TZ, far}
			walks[key] = append(walks[key], c)
		}
	}
	for key, all := range walks {
		t.Run(key.zone, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(key.zone)
			if err != nil {
				t.Fatal(err)
			}
			var schedules []Schedule
			end := key.now
			for _, c := range all {
				schedules = append(schedules, wanted(c))
				end = latest(end, c.Next[len(c.Next)-1])
			}
			for i, due := range wallWalk(schedules, loc, key.now.Add(time.Minute), end.Add(time.Minute)) {
				if got, want := due[:min(5, len(due))], all[i].Next; !slices.EqualFunc(got, want, time.Time.Equal) {
					t.Errorf("%q: the walk finds %v, the table has %v", all[i].Say, got, want)
				}
			}
		})
	}
}

// What is said back, of a schedule that was understood, is understood the same.
func TestWordsOfAScheduleAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, c := range phrases.All(t) {
		if c.Cron == "" {
			continue
		}
		s := wanted(c)
		words := s.Describe()
		if strings.Contains(words, "cron expression") {
			t.Errorf("%q is described as %q", c.Say, words)
			continue
		}
		again, rest, err := ParsePhrase(strings.TrimSuffix(words, " ("+s.TZ+")"), c.Now, s.TZ)
		if err != nil || rest != "" || !slices.EqualFunc(again.Times(c.Now, 5), c.Next, time.Time.Equal) {
			t.Errorf("%q is described as %q, which becomes %+v, rest %q, %v", c.Say, words, again, rest, err)
		}
	}
}
