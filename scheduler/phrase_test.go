package scheduler

import (
	"errors"
	"strings"
	"testing"
	"time"

	"deskmate/scheduler/phrases"
)

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
		{text: "remind us every Friday at 16:00 to fill in timesheets", cron: "0 16 * * 5", rest: "remind us to fill in timesheets"},
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
		{text: "every day at 25:00 rotate", problem: "not a time of day"},
		{text: "every day at 9:75 rotate", problem: "not a time of day"},
		{text: "every day at 13pm rotate", problem: "with am or pm"},
		{text: "on the 31st of every month at 9:00 pay", problem: "Not every month has a 31st"},
		{text: "on the 0th of every month at 9:00 pay", problem: "No month has a 0th"},
		{text: "today at 8:00 look back", problem: "Do you mean 20:00?"},
		{text: "on 2025-01-01 at 9:00 look back", problem: "in the past"},
		{text: "on 2026-02-30 at 9:00 look back", problem: "not a day of the calendar"},
		{text: "in 99999 days ask again", problem: "more than ten years"},
		{text: "every 0 minutes spin", problem: "not a number"},
		{text: "every monday to friday at 9:00 open the desk", cron: "0 9 * * 1-5", rest: "open the desk"},
		{text: "every Sat-Sun at 10am rest", cron: "0 10 * * 0,6", rest: "rest"},
		{text: "every Friday to Monday at noon rest", cron: "0 12 * * 0,1,5,6", rest: "rest"},
		{text: "every Monday, Wednesday, and Friday at 7:05 stretch", cron: "5 7 * * 1,3,5", rest: "stretch"},
		{text: "on Tuesdays & Thursdays at 13:00 lunch", cron: "0 13 * * 2,4", rest: "lunch"},
		{text: "Each Monday at 9 o'clock post the rota", cron: "0 9 * * 1", rest: "post the rota"},
		{text: "every morning at 8 post the menu", cron: "0 8 * * *", rest: "post the menu"},
		{text: "every evening at 8 post the score", cron: "0 20 * * *", rest: "post the score"},
		{text: "every evening at 8:30pm post the score", cron: "30 20 * * *", rest: "post the score"},
		{text: "every night at 2 rotate", cron: "0 2 * * *", rest: "rotate"},
		{text: "every night at 11 rotate", cron: "0 23 * * *", rest: "rotate"},
		{text: "every afternoon at 3 post tea", cron: "0 15 * * *", rest: "post tea"},
		{text: "every day at 3 in the afternoon post tea", cron: "0 15 * * *", rest: "post tea"},
		{text: "at 9 in the morning every weekday post hi", cron: "0 9 * * 1-5", rest: "post hi"},
		{text: "every noon eat", cron: "0 12 * * *", rest: "eat"},
		{text: "every weekday at half past nine post hi", cron: "30 9 * * 1-5", rest: "post hi"},
		{text: "every weekday at quarter to 9 post hi", cron: "45 8 * * 1-5", rest: "post hi"},
		{text: "every weekday at nine post hi", cron: "0 9 * * 1-5", rest: "post hi"},
		{text: "every weekday 9:30 post hi", cron: "30 9 * * 1-5", rest: "post hi"},
		{text: "every weekday, at 9:30, post hi", cron: "30 9 * * 1-5", rest: "post hi"},
		{text: "every weekday @ 9:30 post hi", cron: "30 9 * * 1-5", rest: "post hi"},
		{text: "once a day at 9:30 post hi", cron: "30 9 * * *", rest: "post hi"},
		{text: "once a week on Monday at 9:30 post hi", cron: "30 9 * * 1", rest: "post hi"},
		{text: "weekly on Friday at 16:00 post the demos", cron: "0 16 * * 5", rest: "post the demos"},
		{text: "monthly on the 3rd at 9:00 count", cron: "0 9 3 * *", rest: "count"},
		{text: "on the 1st and 15th of every month at 9:00 pay", cron: "0 9 1,15 * *", rest: "pay"},
		{text: "on the first of each month at 9:00 pay", cron: "0 9 1 * *", rest: "pay"},
		{text: "every 1st of the month at 10:00 pay", cron: "0 10 1 * *", rest: "pay"},
		{text: "every year on 1 March at 10:00 toast", cron: "0 10 1 3 *", rest: "toast"},
		{text: "every December 24 at 12:00 toast", cron: "0 12 24 12 *", rest: "toast"},
		{text: "every half hour check", cron: "*/30 * * * *", rest: "check"},
		{text: "every hour on the hour check", cron: "0 * * * *", rest: "check"},
		{text: "every 90 minutes check", cron: "@every 90m", rest: "check"},
		{text: "every twenty minutes check", cron: "*/20 * * * *", rest: "check"},
		{text: "every 10 min check", cron: "*/10 * * * *", rest: "check"},
		{text: "every 3h check", cron: "@every 3h", rest: "check"},
		{text: "post the daily digest every weekday at 17:00", cron: "0 17 * * 1-5", rest: "post the daily digest"},
		{text: "check the hourly job every day at 6:00", cron: "0 6 * * *", rest: "check the hourly job"},
		{text: "post the weekly report every Monday at 9:00", cron: "0 9 * * 1", rest: "post the weekly report"},
		{text: "every Monday at 9 weekly review", cron: "0 9 * * 1", rest: "weekly review"},
		{text: "ask who is in tomorrow, every day at 16:00", cron: "0 16 * * *", rest: "ask who is in tomorrow"},
		{text: "every day at 16:00: tomorrow's plan", cron: "0 16 * * *", rest: "tomorrow's plan"},
		{text: "every day at 16:00 - Monday is a holiday", cron: "0 16 * * *", rest: "Monday is a holiday"},
		{text: "post \"see you tomorrow at 9\" every day at 17:00", cron: "0 17 * * *", rest: "post \"see you tomorrow at 9\""},
		{text: "every day at 9 ping <@U0AT9> about <https://x.example/tomorrow at 9|it>", cron: "0 9 * * *", rest: "ping <@U0AT9> about <https://x.example/tomorrow at 9|it>"},
		{text: "every weekday at 9:30 in #eng post hi", cron: "30 9 * * 1-5", rest: "in #eng post hi"},
		{text: "every Monday at 9 remind us that the demo is at 15:00", cron: "0 9 * * 1", rest: "remind us that the demo is at 15:00"},
		{text: "EVERY WEEKDAY AT 9:30AM POST HI", cron: "30 9 * * 1-5", rest: "POST HI"},
		{text: "every day at 9 and then ask Ben", cron: "0 9 * * *", rest: "and then ask Ben"},
		{text: "every week day at 9 post hi", cron: "0 9 * * 1-5", rest: "post hi"},

		{text: "tomorrow morning at 9 call Ada", at: "2026-03-03T09:00:00+01:00", rest: "call Ada"},
		{text: "tomorrow evening at 7 call Ada", at: "2026-03-03T19:00:00+01:00", rest: "call Ada"},
		{text: "tomorrow at 7 in the evening call Ada", at: "2026-03-03T19:00:00+01:00", rest: "call Ada"},
		{text: "tomorrow at noon call Ada", at: "2026-03-03T12:00:00+01:00", rest: "call Ada"},
		{text: "tomorrow 9am call Ada", at: "2026-03-03T09:00:00+01:00", rest: "call Ada"},
		{text: "tonight at 8 call Ada", at: "2026-03-02T20:00:00+01:00", rest: "call Ada"},
		{text: "tonight at midnight deploy", at: "2026-03-03T00:00:00+01:00", rest: "deploy"},
		{text: "at midnight deploy", at: "2026-03-03T00:00:00+01:00", rest: "deploy"},
		{text: "this afternoon at 4 call Ada", at: "2026-03-02T16:00:00+01:00", rest: "call Ada"},
		{text: "the day after tomorrow at 9 call Ada", at: "2026-03-04T09:00:00+01:00", rest: "call Ada"},
		{text: "at 3pm on Friday call Ada", at: "2026-03-06T15:00:00+01:00", rest: "call Ada"},
		{text: "at 15:00 tomorrow call Ada", at: "2026-03-03T15:00:00+01:00", rest: "call Ada"},
		{text: "Friday at 9 call Ada", at: "2026-03-06T09:00:00+01:00", rest: "call Ada"},
		{text: "coming Friday at 9 call Ada", at: "2026-03-06T09:00:00+01:00", rest: "call Ada"},
		{text: "next Monday at 11:00 review", at: "2026-03-09T11:00:00+01:00", rest: "review"},
		{text: "next week on Tuesday at 11:00 review", at: "2026-03-10T11:00:00+01:00", rest: "review"},
		{text: "on 1 December at 10:00 renew", at: "2026-12-01T10:00:00+01:00", rest: "renew"},
		{text: "on December 1st, 2027 at 10:00 renew", at: "2027-12-01T10:00:00+01:00", rest: "renew"},
		{text: "on the 1st of February at 10:00 renew", at: "2027-02-01T10:00:00+01:00", rest: "renew"},
		{text: "on 29 February at 10:00 leap", at: "2028-02-29T10:00:00+01:00", rest: "leap"},
		{text: "on the 15th at 9:00 pay", at: "2026-03-15T09:00:00+01:00", rest: "pay"},
		{text: "on the 1st at 9:00 pay", at: "2026-04-01T09:00:00+02:00", rest: "pay"},
		{text: "2026-12-01T10:00 renew", at: "2026-12-01T10:00:00+01:00", rest: "renew"},
		{text: "in 90 seconds breathe", at: "2026-03-02T10:01:30+01:00", rest: "breathe"},
		{text: "in 2h check", at: "2026-03-02T12:00:00+01:00", rest: "check"},
		{text: "in an hour and a half check", at: "2026-03-02T11:30:00+01:00", rest: "check"},
		{text: "in twenty-five minutes check", at: "2026-03-02T10:25:00+01:00", rest: "check"},
		{text: "20 minutes from now check", at: "2026-03-02T10:20:00+01:00", rest: "check"},
		{text: "in a week at 9:00 ask", at: "2026-03-09T09:00:00+01:00", rest: "ask"},
		{text: "in 1 month ask", at: "2026-04-02T10:00:00+02:00", rest: "ask"},
		{text: "in 2 days in the afternoon at 3 ask", at: "2026-03-04T15:00:00+01:00", rest: "ask"},
		{text: "remind me to call the bank tomorrow at 9", at: "2026-03-03T09:00:00+01:00", rest: "remind me to call the bank"},
		{text: "remind me in 20 minutes to check the oven", at: "2026-03-02T10:20:00+01:00", rest: "remind me to check the oven"},
		{text: "meet on the 1st floor tomorrow at 9", at: "2026-03-03T09:00:00+01:00", rest: "meet on the 1st floor"},
		{text: "tell me how the last day of the sprint went, on Friday at 17:00", at: "2026-03-06T17:00:00+01:00", rest: "tell me how the last day of the sprint went"},

		{text: "every 15 minutes at 9:00 check", problem: "One time for one duty"},
		{text: "at 9:00 every 15 minutes check", problem: "Either a time of day or a distance"},
		{text: "every 10 seconds check", problem: "Once a minute is the most"},
		{text: "every second check", problem: "Once a minute is the most"},
		{text: "every few minutes check", problem: "How often exactly"},
		{text: "in a few minutes check", problem: "In how many exactly"},
		{text: "in 1.5 hours check", problem: "Whole numbers"},
		{text: "in 0 minutes check", problem: "That is now"},
		{text: "every day at 9 CET check", problem: "several zones"},
		{text: "every day at 9 Berlin time check", problem: "Name the zone"},
		{text: "every day at 9 UTC+2 check", problem: "does not follow the season"},
		{text: "on 3/4 at 9:00 pay", problem: "which is the day and which the month"},
		{text: "on 1.12.2026 at 9:00 pay", problem: "which is the day and which the month"},
		{text: "on 31 April at 9:00 pay", problem: "not a day of the calendar"},
		{text: "every 30 February at 9:00 pay", problem: "Not every year"},
		{text: "on Monday and Thursday at 9 review", problem: "Every week, or once?"},
		{text: "next week review", problem: "On which day of next week"},
		{text: "next month review", problem: "On which date"},
		{text: "on Friday review", problem: "At what time?"},
		{text: "on the 40th of every month at 9 pay", problem: "No month has a 40th"},
		{text: "at 9 review", problem: "is it 9:00 or 21:00?"},
		{text: "tomorrow at 9:30:15 review", problem: "not a time of day"},
		{text: "tomorrow at 930 review", problem: "not a time of day"},
		{text: "tomorrow at midnight review", problem: "Midnight before or after"},
		{text: "tomorrow morning at 9pm review", problem: "not in the morning"},
		{text: "today at 5 review", problem: "Do you mean 17:00?"},
		{text: "daily review", problem: "At what time?"},
		{text: "weekly review", problem: "On which day"},
		{text: "every Monday post the plan for tomorrow at 9", problem: "At what time?"},
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
	if _, _, err := ParsePhrase(strings.Repeat("1st and ", 100_000), monday, berlin); err == nil {
		t.Error("a text without end was accepted")
	}
	if _, _, err := ParsePhrase("every day at 9 rotate", monday, "Mars/Olympus"); err == nil || !strings.Contains(err.Error(), "time zone") {
		t.Errorf("an unknown zone gave %v, want a word on the time zone", err)
	}
}

// A zone that is named goes before the person's own.
func TestAPhraseMayNameItsZone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Schedule{
		"every weekday at 9:30 Asia/Tokyo post hi":              {Cron: "30 9 * * 1-5", TZ: "Asia/Tokyo"},
		"every weekday at 9:30 UTC post hi":                     {Cron: "30 9 * * 1-5", TZ: "UTC"},
		"every weekday at 9:30 our time post hi":                {Cron: "30 9 * * 1-5", TZ: "Europe/Berlin"},
		"at 9:30 America/Argentina/Buenos_Aires every day hi":   {Cron: "30 9 * * *", TZ: "America/Argentina/Buenos_Aires"},
		"tomorrow at 9:00 Asia/Tokyo post hi":                   {At: time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), TZ: "Asia/Tokyo"},
		"on 2026-03-03T09:00Z post hi":                          {At: time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC), TZ: "UTC"},
		"tomorrow at 9:00 read/write access is to be looked at": {At: time.Date(2026, 3, 3, 8, 0, 0, 0, time.UTC), TZ: "Europe/Berlin"},
		"tomorrow at 9:00 time sheets are due, EST says Chloe":  {At: time.Date(2026, 3, 3, 8, 0, 0, 0, time.UTC), TZ: "Europe/Berlin"},
	} {
		got, _, err := ParsePhrase(text, monday, "Europe/Berlin")
		if err != nil || got.Cron != want.Cron || got.TZ != want.TZ || !got.At.Equal(want.At) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

// What people are told to say instead is understood.
func TestExamplesOfQuestionsAreUnderstood(t *testing.T) {
	t.Parallel()
	texts := []string{"every Monday", "every two weeks", "every hour until noon", "on the 31st of every month at 9", "every few minutes", "twice a day",
		"every month", "every year", "next week", "next month", "on 3/4", "tomorrow", "at 9", "in 1.5 hours", "tomorrow at 9 and at 10", "every 5 seconds",
		"tomorrow evening at 9am", "every 29 February at 9:00", "every day at 9 UTC+2", "nothing"}
	for _, c := range phrases.All(t) {
		if c.Problem() != "" {
			texts = append(texts, c.Say)
		}
	}
	for _, text := range texts {
		_, _, err := ParsePhrase(text, monday, "Europe/Berlin")
		var question *PhraseError
		if !errors.As(err, &question) {
			t.Errorf("%q: %v, want a question", text, err)
			continue
		}
		_, example, found := strings.Cut(question.Problem, "xample: ")
		if !found {
			continue
		}
		example, _, _ = strings.Cut(strings.TrimSuffix(example, "."), ", or ")
		if _, _, err := ParsePhrase(example, monday, "Europe/Berlin"); err != nil {
			t.Errorf("%q is answered with the example %q, which is not understood: %v", text, example, err)
		}
	}
}

func FuzzParsePhrase(f *testing.F) {
	for _, s := range []string{"every weekday at 9:30 x", "in 3 days", "on 2026-02-30 at 1", "at 99:99", "every Monday, and at", "at half past 12 in the evening every 1st, 2nd & 30th",
		"on December 1st, 2027 at 10:00 UTC", "tonight at midnight", "twenty-five minutes from now", "next week on Sunday, 9 p.m.", "every year on the 29th of February at 9",
		"every two weeks from Monday 7 December until the end of March at 9 and 17:00", "every 30 minutes between 8:00 and 18:00 on weekdays except Friday for two weeks",
		"twice a month on the first and last working day of the quarter at 9am", "every Monday at 9 and on the last day of every month at 10 in June, 3 times",
		"from 9 to 17 every hour, starting the 15th", "biweekly on weekends but not in August at 9", "every third Thursday at 9 for the rest of the year"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, _, err := ParsePhrase(text, monday, "Europe/Berlin")
		var question *PhraseError
		if err != nil {
			if !errors.As(err, &question) {
				t.Errorf("%q: %v, want a question", text, err)
			}
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

// Whatever schedule is accepted has due times that move on, and words.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"30 9 * * 1-5", "@every 1h", "@weekly", "0 0 29 2 *", "*/7 0-23/2 1,15 jan-mar ?", "TZ=UTC 0 0 * * *", "0 9 L * 5L,1#2;0 9 LW,15W * *", "*/5 * L * friL"} {
		f.Add(s, 0, "", int64(0), int64(0))
		f.Add(s, 2, "week", monday.Unix(), int64(0))
		f.Add(s, 3, "month", monday.Unix()+1, monday.AddDate(9, 0, 0).Unix())
		f.Add(s, 5, "day", monday.Unix(), monday.AddDate(0, 0, 9).Unix())
	}
	f.Fuzz(func(t *testing.T, expr string, every int, unit string, from, until int64) {
		s := Schedule{Cron: expr, TZ: "Africa/Casablanca", Every: every, Unit: unit}
		if from != 0 {
			s.From = time.Unix(from, 0)
		}
		if until != 0 {
			s.Until = time.Unix(until, 0)
		}
		if expr == "" || s.Validate() != nil {
			return
		}
		times := s.Times(monday, 3)
		for i, at := range times {
			if i > 0 && at.Sub(times[i-1]) < time.Minute || !at.After(monday) || at.Before(s.From) || until != 0 && at.After(s.Until) {
				t.Errorf("%+v is due at %v: less than a minute apart, or outside its bounds", s, times)
			}
		}
		if len(times) == 0 && until == 0 || s.Describe() == "" {
			t.Errorf("%+v was accepted and is due at %v, %q", s, times, s.Describe())
		}
	})
}
