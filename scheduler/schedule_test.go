package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) // 10:00 in Berlin

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
		"0 9 L * *;0 9 * * 5#5":     "",
		"0 9 29 2 5#5":              "",
		"0 9 30W 2 *":               "never happens",
		"0 9 32W * *":               "not a day of the month",
		"0 9 * * 1#6":               "not a cron expression",
		"0 9 * * *;@every 5m":       "goes with no other expression",
		"0 9 * * *;":                "not a cron expression",
		"0 9 * * 1;TZ=UTC @daily":   "belongs into the time zone",
		"TZ=UTC 0 9 * * *":          "belongs into the time zone",
		"CRON_TZ=Asia/Tokyo @daily": "belongs into the time zone",
	} {
		err := Schedule{Cron: expr, TZ: "UTC"}.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", expr, err, want)
		}
	}
	from := time.Date(2026, 12, 4, 0, 0, 0, 0, time.UTC)
	for want, s := range map[string]Schedule{
		"needs a first day":              {Cron: "@daily", Every: 2, Unit: UnitDay},
		"whether it counts days":         {Cron: "@daily", Every: 2, From: from},
		"not \"year\"":                   {Cron: "@daily", Every: 2, Unit: "year", From: from},
		"no number to count to":          {Cron: "@daily", Every: -2, Unit: UnitDay, From: from},
		"less than once in ten years":    {Cron: "@daily", Every: 523, Unit: UnitWeek, From: from},
		"an interval leaves out no days": {Cron: "@every 5m", Every: 2, Unit: UnitDay, From: from},
		"ends before it begins":          {Cron: "@daily", From: from, Until: from.Add(-time.Hour)},
		"between its first and its last": {Cron: "0 9 1 * *", From: from, Until: from.AddDate(0, 0, 9)},
		"from 1970 to 2200":              {Cron: "@daily", Until: from.AddDate(900, 0, 0)},
		"never happens":                  {Cron: "0 9 29 2 *", Every: 12, Unit: UnitMonth, From: from},
		"what happens once":              {At: from, Until: from},
	} {
		s.TZ = "UTC"
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
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
		"0 9 * 1 *": "every day in January at 09:00 (UTC)", "0 9,17 * * 1": "every Monday at 09:00 and 17:00 (UTC)",
		"30 9 * * 1-5;0 16 * * 1-5": "every weekday at 09:30 and 16:00 (UTC)", "0 9-17 * * 1-5": "every hour from 09:00 to 17:00, every weekday (UTC)",
		"*/30 8-17 * * *;0 18 * * *": "every 30 minutes from 08:00 to 18:00 (UTC)", "30 * * * *": "every hour from 00:30 to 23:30 (UTC)",
		"0 9 L * *": "on the last day of every month at 09:00 (UTC)", "0 9 * * 5L": "on the last Friday of every month at 09:00 (UTC)",
		"0 9 * * 1#1,1#3": "on the first and third Monday of every month at 09:00 (UTC)", "0 9 1W * *": "on the first working day of every month at 09:00 (UTC)",
		"0 9 LW 3 *": "every year on the last working day of March at 09:00 (UTC)", "0 9 15W * *": "on the weekday nearest to the 15th of every month at 09:00 (UTC)",
		"0 9 1 1,4,7,10 *": "every year on the 1st of January, April, July and October at 09:00 (UTC)", "0 9 13 * 5": "by the cron expression `0 9 13 * 5` (UTC)",
		"*/7 * * * *": "by the cron expression `*/7 * * * *` (UTC)", "0 9 * * 1;0 10 * * 3": "every Monday at 09:00 and every Wednesday at 10:00 (UTC)",
		"nonsense": "by the cron expression `nonsense` (UTC)",
	} {
		if got := (Schedule{Cron: expr, TZ: "UTC"}).Describe(); got != want {
			t.Errorf("%q is described as %q, want %q", expr, got, want)
		}
	}
	from, until := time.Date(2026, 12, 3, 23, 0, 0, 0, time.UTC), time.Date(2027, 3, 31, 21, 59, 59, 0, time.UTC)
	for want, s := range map[string]Schedule{
		"every 2 weeks on Friday at 16:00, from 4 December 2026 until 31 March 2027 (Europe/Berlin)": {Cron: "0 16 * * 5", Every: 2, Unit: UnitWeek, From: from, Until: until},
		"every 3 days at 09:00, from 4 December 2026 (Europe/Berlin)":                                {Cron: "0 9 * * *", Every: 3, Unit: UnitDay, From: from},
		"every 3 months on the last day at 09:00, from 4 December 2026 (Europe/Berlin)":              {Cron: "0 9 L * *", Every: 3, Unit: UnitMonth, From: from},
		"every 2 years on the 1st of March at 09:00, from 4 December 2026 (Europe/Berlin)":           {Cron: "0 9 1 3 *", Every: 24, Unit: UnitMonth, From: from},
		"every weekday of every 3rd day at 09:00, from 4 December 2026 (Europe/Berlin)":              {Cron: "0 9 * * 1-5", Every: 3, Unit: UnitDay, From: from},
		"every 90 minutes, from 4 December 2026 at 02:00 (Europe/Berlin)":                            {Cron: "@every 90m", From: from.Add(2 * time.Hour)},
		"every day at 09:00, until 31 March 2027 at 23:29 (Europe/Berlin)":                           {Cron: "0 9 * * *", Until: until.Add(-30 * time.Minute)},
	} {
		s.TZ = "Europe/Berlin"
		if got := s.Describe(); got != want {
			t.Errorf("%+v is described as %q, want %q", s, got, want)
		}
	}
}

func TestAnIntervalCountsFromItsFirstTime(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	s := Schedule{Cron: "@every 90m", TZ: "UTC", From: from, Until: from.Add(3 * time.Hour)}
	got := s.Times(from.Add(-48*time.Hour), 9)
	want := []time.Time{from, from.Add(90 * time.Minute), from.Add(3 * time.Hour)}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("due at %v, want %v", got, want)
	}
	if at := s.Next(from.Add(100 * time.Minute)); !at.Equal(want[2]) {
		t.Errorf("after a time between two: %v, want %v", at, want[2])
	}
}

func TestCalendarsAreReadOnce(t *testing.T) {
	t.Parallel()
	var k calendars
	for _, s := range []Schedule{{Cron: "@daily", TZ: "UTC"}, {Cron: "@daily", TZ: "Asia/Tokyo"}, {Cron: "@daily", TZ: "UTC", From: monday}, {Cron: "@daily", TZ: "UTC", From: monday.Local()}} {
		c, err := k.of(s)
		if err != nil || !c.next(monday).Equal(s.Next(monday)) {
			t.Errorf("%+v: %v, %v; want %v", s, c.next(monday), err, s.Next(monday))
		}
	}
	if len(k.read) != 3 {
		t.Errorf("%d calendars are kept, want 3", len(k.read))
	}
	if _, err := k.of(Schedule{Cron: "nonsense", TZ: "UTC"}); err == nil || len(k.read) != 3 {
		t.Errorf("a wrong schedule gave %v and %d calendars, want an error and 3", err, len(k.read))
	}
}
