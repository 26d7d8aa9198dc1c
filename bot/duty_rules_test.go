package bot

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"deskmate/scheduler"
	"deskmate/scheduler/phrases"
)

// A model hands the person's words to the scheduler, and so do the rules: what
// becomes of them is the same. Where a sentence is no clear request (its first word
// asks for nothing that the rules know), the rules say so instead; they never make
// another duty of it.
func TestRulesAndModelMeanTheSameTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	const tz = "Europe/Berlin"
	all, same, puzzled, asked := phrases.All(t), 0, 0, 0
	for _, s := range all {
		var byModel, byRules scheduler.Duty
		modelErr := DutyWords{When: s.Say, What: "do it"}.Say(&byModel, now, tz)
		r, err := NewRules().Complete(context.Background(), Request{
			Messages: []Message{{Role: RoleSystem, Content: "You are Deskmate, a member of this\nNow: Monday 2 March 2026 10:00 CET. Asked by Ben (<@U0BEN>, member) in #eng.\n"}, user(s.Say)},
			Tools:    everyTool(),
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Calls) != 1 || r.Calls[0].Name != toolDutyCreate {
			puzzled++
			t.Logf("no request for the rules: %q", s.Say)
			continue
		}
		var a dutyArgs
		if err := json.Unmarshal(r.Calls[0].Args, &a); err != nil {
			t.Fatal(err)
		}
		rulesErr := a.words().Say(&byRules, now, tz)
		switch {
		case (modelErr == nil) != (rulesErr == nil):
			t.Errorf("%q: with a model %v, with the rules %v (%s)", s.Say, modelErr, rulesErr, r.Calls[0].Args)
		case modelErr != nil:
			asked++
			if want := s.Problem(); !strings.Contains(rulesErr.Error(), want) && !strings.Contains(modelErr.Error(), want) {
				t.Logf("%q is answered with %v", s.Say, rulesErr)
			}
		case byModel.Schedule != byRules.Schedule:
			t.Errorf("%q: with a model %+v, with the rules %+v (%s)", s.Say, byModel.Schedule, byRules.Schedule, r.Calls[0].Args)
		default:
			same++
		}
	}
	t.Logf("%d sentences: %d the same duty, %d asked back or refused both ways, %d no request for the rules", len(all), same, asked, puzzled)
	if puzzled > len(all)/2 {
		t.Errorf("the rules take %d of %d sentences for no request", puzzled, len(all))
	}
}

func TestUnclearOptionsNameTheirField(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		words       DutyWords
		field, want string
	}{
		{DutyWords{When: "30 9 * * 1-5"}, "when", "cron expression"},
		{DutyWords{When: "every Monday"}, "when", "At what time"},
		{DutyWords{Until: "the cows come home"}, "until", "as an end"},
		{DutyWords{Most: "many"}, "most", "whole number"},
		{DutyWords{Report: "loudly"}, "report", "run"},
	} {
		var d scheduler.Duty
		err := c.words.Say(&d, now, "Europe/Berlin")
		var at *DutyWordError
		if !errors.As(err, &at) || at.Field != c.field || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v gives %v; want %q at %s", c.words, err, c.want, c.field)
		}
		if text, told := Told(err); !told || strings.Contains(text, notYet) {
			t.Errorf("%+v is told as %q", c.words, text)
		}
	}
}

func TestDutyOptionsBehindACommaAreTakenOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, rest, options string }{
		{"post the menu", "post the menu", ""},
		{"post soup, bread and tea", "post soup, bread and tea", ""},
		{"summarise #eng, report in #general, silently", "summarise #eng", "silent yes where #general"},
		{"summarise #eng, report in this thread, 10 times", "summarise #eng", "most 10 where thread"},
		{"post it, use only recall and read_thread, not mon-fri 22:00-07:00", "post it", "quiet mon-fri 22:00-07:00 tools recall and read_thread"},
		{`post "a, silently`, `post "a, silently`, ""},
	} {
		rest, options := dutyExtras(c.what)
		if rest != c.rest || strings.Join(options, " ") != c.options {
			t.Errorf("%q is %q with %q; want %q with %q", c.what, rest, options, c.rest, c.options)
		}
	}
}
