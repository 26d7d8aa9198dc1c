package scheduler

import (
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
