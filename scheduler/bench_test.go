package scheduler

import (
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

// BenchmarkNext looks up the next due time in a calendar that was read before,
// beside plain cron, which knows no last days and no every second week.
func BenchmarkNext(b *testing.B) {
	from := time.Date(2026, 3, 6, 16, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		Schedule
	}{
		{"weekdays", Schedule{Cron: "30 9 * * 1-5"}},
		{"twice a Monday", Schedule{Cron: "30 9 * * 1;0 17 * * 1"}},
		{"hourly", Schedule{Cron: "0 * * * *"}},
		{"office hours", Schedule{Cron: "*/30 8-17 * * 1-5;0 18 * * 1-5"}},
		{"last day", Schedule{Cron: "0 17 L * *"}},
		{"last Friday", Schedule{Cron: "0 16 * * 5L"}},
		{"every second Friday", Schedule{Cron: "0 16 * * 5", Every: 2, Unit: UnitWeek, From: from}},
		{"every third month", Schedule{Cron: "0 9 1 * *", Every: 3, Unit: UnitMonth, From: from}},
	} {
		c.TZ = "Europe/Berlin"
		b.Run("ours/"+c.name, func(b *testing.B) {
			calendar, err := c.calendar()
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if calendar.next(from).IsZero() {
					b.Fatal("never")
				}
			}
		})
	}
	for _, expr := range []string{"30 9 * * 1-5", "0 * * * *"} {
		b.Run("cron/"+expr, func(b *testing.B) {
			s, err := cron.ParseStandard("CRON_TZ=Europe/Berlin " + expr)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if s.Next(from).IsZero() {
					b.Fatal("never")
				}
			}
		})
	}
	b.Run("read a calendar", func(b *testing.B) {
		for b.Loop() {
			if _, err := (Schedule{Cron: "30 9 * * 1-5", TZ: "Europe/Berlin"}).calendar(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("find a calendar that was read", func(b *testing.B) {
		var k calendars
		for b.Loop() {
			if _, err := k.of(Schedule{Cron: "30 9 * * 1-5", TZ: "Europe/Berlin"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
