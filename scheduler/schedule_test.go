package scheduler

import (
	"strings"
	"testing"
	"time"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) // 10:00 in Berlin

func TestParsePhrase(t *testing.T) {
	t.Parallel()
	const berlin = "Europe/Berlin"
	for _, c := range []struct {
		text, cron, at, rest, problem string
	}{
		{text: "every weekday at 9:30 post stand-up time", cron: "30 9 * * 1-5", rest: "post stand-up time"},
		{text: "every day at 9 say hello", cron: "0 9 * * *", rest: "say hello"},
		{text: "every day at noon say hello", cron: "0 12 * * *", rest: "say hello"},
		{text: "daily at 18:15 collect the numbers", cron: "15 18 * * *", rest: "collect the numbers"},
		{text: "every Monday at 14:00 review the board", cron: "0 14 * * 1", rest: "review the board"},
		{text: "every Monday and Thursday at 14:00 review", cron: "0 14 * * 1,4", rest: "review"},
		{text: "every mon, wed and fri at 8am run the report", cron: "0 8 * * 1,3,5", rest: "run the report"},
		{text: "on Mondays at 9 post the plan", cron: "0 9 * * 1", rest: "post the plan"},
		{text: "Fridays at 4pm say cheers", cron: "0 16 * * 5", rest: "say cheers"},
		{text: "every week on Tuesday at 10:00 send it", cron: "0 10 * * 2", rest: "send it"},
		{text: "every hour check the queue", cron: "0 * * * *", rest: "check the queue"},
		{text: "hourly check the queue", cron: "0 * * * *", rest: "check the queue"},
		{text: "every 15 minutes check the queue", cron: "*/15 * * * *", rest: "check the queue"},
		{text: "every 7 minutes check the queue", cron: "@every 7m", rest: "check the queue"},
		{text: "every 2 hours check the queue", cron: "@every 2h", rest: "check the queue"},
		{text: "every minute breathe", cron: "* * * * *", rest: "breathe"},
		{text: "on the 1st of every month at 10:00 send the invoice", cron: "0 10 1 * *", rest: "send the invoice"},
		{text: "every month on the 15th at 9:00 send the invoice", cron: "0 9 15 * *", rest: "send the invoice"},
		{text: "on weekdays at 17:45 wrap up", cron: "45 17 * * 1-5", rest: "wrap up"},
		{text: "every working day at 8.30 say hi", cron: "30 8 * * 1-5", rest: "say hi"},
		{text: "every weekend at 11am water the plants", cron: "0 11 * * 0,6", rest: "water the plants"},
		{text: "at 9:30 every weekday post stand-up", cron: "30 9 * * 1-5", rest: "post stand-up"},
		{text: "post stand-up every weekday at 9:30", cron: "30 9 * * 1-5", rest: "post stand-up"},
		{text: "remind us every Friday at 16:00 to fill in timesheets", cron: "0 16 * * 5", rest: "remind us fill in timesheets"},
		{text: "every day at midnight rotate", cron: "0 0 * * *", rest: "rotate"},
		{text: "every day at 12am rotate", cron: "0 0 * * *", rest: "rotate"},
		{text: "every day at 12pm rotate", cron: "0 12 * * *", rest: "rotate"},
		{text: "every day at 9 a.m. rotate", cron: "0 9 * * *", rest: "rotate"},

		{text: "tomorrow at 9 call Ada", at: "2026-03-03T09:00:00+01:00", rest: "call Ada"},
		{text: "call Ada tomorrow at 9:15", at: "2026-03-03T09:15:00+01:00", rest: "call Ada"},
		{text: "today at 5pm send the file", at: "2026-03-02T17:00:00+01:00", rest: "send the file"},
		{text: "tonight at 23:30 deploy", at: "2026-03-02T23:30:00+01:00", rest: "deploy"},
		{text: "in 20 minutes check the oven", at: "2026-03-02T10:20:00+01:00", rest: "check the oven"},
		{text: "in an hour check the oven", at: "2026-03-02T11:00:00+01:00", rest: "check the oven"},
		{text: "in half an hour check the oven", at: "2026-03-02T10:30:00+01:00", rest: "check the oven"},
		{text: "in 3 days ask again", at: "2026-03-05T10:00:00+01:00", rest: "ask again"},
		{text: "in 3 days at 8:00 ask again", at: "2026-03-05T08:00:00+01:00", rest: "ask again"},
		{text: "in two weeks ask again", at: "2026-03-16T10:00:00+01:00", rest: "ask again"},
		{text: "on 2026-12-01 at 10:00 renew", at: "2026-12-01T10:00:00+01:00", rest: "renew"},
		{text: "next Friday at 4pm review", at: "2026-03-06T16:00:00+01:00", rest: "review"},
		{text: "on Wednesday at 9:00 review", at: "2026-03-04T09:00:00+01:00", rest: "review"},
		{text: "on Monday at 9:00 review", at: "2026-03-09T09:00:00+01:00", rest: "review"},
		{text: "this Monday at 11:00 review", at: "2026-03-02T11:00:00+01:00", rest: "review"},
		{text: "at 15:00 review", at: "2026-03-02T15:00:00+01:00", rest: "review"},
		{text: "at 9:00 review", at: "2026-03-03T09:00:00+01:00", rest: "review"},
		{text: "at 3pm review", at: "2026-03-02T15:00:00+01:00", rest: "review"},
		{text: "in 30 days renew the key", at: "2026-04-01T10:00:00+02:00", rest: "renew the key"},
		{text: "on 2026-03-29 at 2:30 jump", at: "2026-03-29T03:00:00+02:00", rest: "jump"},

		{text: "every weekday post stand-up", problem: "At what time?"},
		{text: "every Monday review", problem: "At what time?"},
		{text: "every morning say hi", problem: "At what time?"},
		{text: "tomorrow call Ada", problem: "At what time?"},
		{text: "tomorrow evening call Ada", problem: "At what time"},
		{text: "tonight call Ada", problem: "At what time"},
		{text: "every week send the report", problem: "On which day"},
		{text: "every month send the report", problem: "On which day"},
		{text: "every other week on Monday at 9 review", problem: "not by every second week"},
		{text: "every two weeks at 9 review", problem: "not by every second week"},
		{text: "on the last Friday of the month at 9 review", problem: "not by every second week"},
		{text: "every day at 25:00 rotate", problem: "not a time of day"},
		{text: "every day at 9:75 rotate", problem: "not a time of day"},
		{text: "every day at 13pm rotate", problem: "with am or pm"},
		{text: "on the 31st of every month at 9:00 pay", problem: "Not every month has a 31st"},
		{text: "on the 0th of every month at 9:00 pay", problem: "no 0 day"},
		{text: "today at 8:00 look back", problem: "in the past"},
		{text: "on 2025-01-01 at 9:00 look back", problem: "in the past"},
		{text: "on 2026-02-30 at 9:00 look back", problem: "not a day of the calendar"},
		{text: "in 99999 days ask again", problem: "more than ten years"},
		{text: "every 0 minutes spin", problem: "not a number"},
		{text: "whenever you like", problem: "I find no time in that"},
		{text: "", problem: "I find no time in that"},
	} {
		s, rest, err := ParsePhrase(c.text, monday, berlin)
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%q: got %+v, %v; want a problem with %q", c.text, s, err, c.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		at := ""
		if s.Cron == "" {
			loc, _ := time.LoadLocation(berlin)
			at = s.At.In(loc).Format(time.RFC3339)
		}
		if s.Cron != c.cron || at != c.at || rest != c.rest || s.TZ != berlin {
			t.Errorf("%q: cron %q at %q rest %q; want cron %q at %q rest %q", c.text, s.Cron, at, rest, c.cron, c.at, c.rest)
		}
	}
	if _, _, err := ParsePhrase("every day at 9 rotate", monday, "Mars/Olympus"); err == nil || !strings.Contains(err.Error(), "time zone") {
		t.Errorf("an unknown zone gave %v, want a word on the time zone", err)
	}
}

func TestSchedulesOfAnHourFollowRealTime(t *testing.T) {
	t.Parallel()
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s := Schedule{Cron: "0 * * * *", TZ: "Europe/Berlin"}
	at := time.Date(2026, 10, 24, 23, 30, 0, 0, loc) // the night the clocks go back
	for i, next := range s.Times(at, 6) {
		if want := at.Add(30*time.Minute + time.Duration(i)*time.Hour); !next.Equal(want) {
			t.Errorf("run %d at %v, want %v", i, next.In(loc), want.In(loc))
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"30 9 * * 1-5":              "",
		"@daily":                    "",
		"@every 5m":                 "",
		"@every 5s":                 "faster than once a minute",
		"0 0 31 2 *":                "never happens",
		"* * *":                     "not a cron expression",
		"60 * * * *":                "not a cron expression",
		"TZ=UTC 0 9 * * *":          "belongs into the time zone",
		"CRON_TZ=Asia/Tokyo @daily": "belongs into the time zone",
	} {
		err := Schedule{Cron: expr, TZ: "UTC"}.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", expr, err, want)
		}
	}
	if err := (Schedule{Cron: "@daily"}).Validate(); err == nil {
		t.Error("a schedule without a zone was accepted")
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"30 9 * * 1-5": "every weekday at 09:30 (UTC)", "0 0 * * *": "every day at 00:00 (UTC)", "0 14 * * 1,4": "every Monday and Thursday at 14:00 (UTC)",
		"0 10 1 * *": "on the 1st of every month at 10:00 (UTC)", "*/15 * * * *": "every 15 minutes (UTC)", "0 * * * *": "every hour (UTC)",
		"@every 2h": "every 2 hours (UTC)", "@every 24h": "every day (UTC)", "@every 90m": "every 90 minutes (UTC)",
		"@daily": "every day at 00:00 (UTC)", "0 11 * * 0,6": "every Saturday and Sunday at 11:00 (UTC)", "0 9 1,15 * *": "on the 1st and 15th of every month at 09:00 (UTC)",
		"0 9 * 1 *": "by the cron expression `0 9 * 1 *` (UTC)",
	} {
		if got := (Schedule{Cron: expr, TZ: "UTC"}).Describe(); got != want {
			t.Errorf("%q is described as %q, want %q", expr, got, want)
		}
	}
}

func FuzzParsePhrase(f *testing.F) {
	for _, s := range []string{"every weekday at 9:30 x", "in 3 days", "on 2026-02-30 at 1", "at 99:99", "every Monday, and at"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, _, err := ParsePhrase(text, monday, "Europe/Berlin")
		if err != nil {
			return
		}
		if err := s.Validate(); err != nil {
			t.Errorf("%q was accepted as %+v, which is wrong: %v", text, s, err)
		}
		if s.Next(monday).IsZero() {
			t.Errorf("%q was accepted as %+v, which never happens", text, s)
		}
	})
}
