package scheduler

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones must be there on the smallest machine

	"github.com/robfig/cron/v3"
)

// Schedule says when: again and again by Cron in TZ, or once at At.
type Schedule struct {
	Cron string    // five fields, or a descriptor such as @daily; "" for once
	TZ   string    // IANA zone of the local times
	At   time.Time // for once
}

// shortest is the smallest distance between two runs that is accepted.
const shortest = time.Minute

// Validate reports what is wrong with the schedule, in words for people.
func (s Schedule) Validate() error {
	if _, err := s.zone(); err != nil {
		return err
	}
	if s.Cron == "" {
		if s.At.IsZero() {
			return errors.New("it says neither a repeating schedule nor a time")
		}
		return nil
	}
	spec, err := s.spec()
	if err != nil {
		return err
	}
	if every, ok := spec.(cron.ConstantDelaySchedule); ok && every.Delay < shortest {
		return fmt.Errorf("%q repeats faster than once a minute", s.Cron)
	}
	if s.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Errorf("%q never happens", s.Cron)
	}
	return nil
}

func (s Schedule) zone() (*time.Location, error) {
	if s.TZ == "" {
		return nil, errors.New("the time zone is missing")
	}
	loc, err := time.LoadLocation(s.TZ)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time zone such as Europe/Berlin", s.TZ)
	}
	return loc, nil
}

func (s Schedule) spec() (cron.Schedule, error) {
	if strings.HasPrefix(s.Cron, "TZ=") || strings.HasPrefix(s.Cron, "CRON_TZ=") {
		return nil, errors.New("the zone belongs into the time zone, not into the cron expression")
	}
	spec, err := cron.ParseStandard(s.Cron)
	if err != nil {
		return nil, fmt.Errorf("%q is not a cron expression of five fields: %w", s.Cron, err)
	}
	return spec, nil
}

// Next is the first due time after t; the zero time if there is none. It is
// strictly later than t.
//
// Daylight saving: a local time that does not exist is due at the first instant
// after the gap; one that comes twice is due the first time only. Schedules of
// every hour or less follow real time instead: they run in both passes of a
// repeated hour, and not in a skipped one.
func (s Schedule) Next(t time.Time) time.Time {
	if s.Cron == "" {
		if s.At.After(t) {
			return s.At.UTC()
		}
		return time.Time{}
	}
	loc, err := s.zone()
	if err != nil {
		return time.Time{}
	}
	spec, err := s.spec()
	if err != nil {
		return time.Time{}
	}
	fields, byField := spec.(*cron.SpecSchedule)
	if !byField || everyHour(s.Cron) {
		if byField {
			fields.Location = loc
		}
		next := spec.Next(t.In(loc))
		if next.IsZero() {
			return time.Time{}
		}
		return next.UTC()
	}
	// Walk the wall clock as if it were UTC, which has no gaps, and look up each
	// reading in the zone.
	fields.Location = time.UTC
	local := t.In(loc)
	wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
	for range 500 { // more than a repeated hour has minutes
		wall = fields.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		if at := instant(wall, loc); at.After(t) {
			return at.UTC()
		}
	}
	return time.Time{}
}

// everyHour reports whether a cron expression's hour field is a star.
func everyHour(expr string) bool {
	f := strings.Fields(expr)
	return len(f) == 5 && strings.HasPrefix(f[1], "*") || expr == "@hourly"
}

// instant is when a clock on the wall in loc shows wall (given as UTC) for the
// first time; if it never does, the end of the gap that swallows it.
func instant(wall time.Time, loc *time.Location) time.Time {
	var best, after time.Time
	for _, near := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := wall.Add(near).In(loc).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		l := at.In(loc)
		shown := time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), 0, time.UTC)
		if shown.Equal(wall) && (best.IsZero() || at.Before(best)) {
			best = at
		}
		if shown.After(wall) {
			after = at
		}
	}
	if !best.IsZero() {
		return best
	}
	start, _ := after.In(loc).ZoneBounds()
	return start
}

// Times lists the next n due times after t.
func (s Schedule) Times(t time.Time, n int) []time.Time {
	var all []time.Time
	for range n {
		if t = s.Next(t); t.IsZero() {
			break
		}
		all = append(all, t)
	}
	return all
}

var weekdays = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

// Describe says the schedule in plain words: "every weekday at 09:30
// (Europe/Berlin)". What has no plain words is given as its cron expression.
func (s Schedule) Describe() string {
	loc, err := s.zone()
	if err != nil {
		return s.Cron
	}
	if s.Cron == "" {
		return "once, on " + s.At.In(loc).Format("Monday 2 January 2006 at 15:04") + " (" + s.TZ + ")"
	}
	return describeCron(s.Cron) + " (" + s.TZ + ")"
}

func describeCron(expr string) string {
	f := strings.Fields(expr)
	if len(f) != 5 {
		if every, ok := strings.CutPrefix(expr, "@every "); ok {
			return "every " + every
		}
		return "by " + expr
	}
	var minute, hour int
	if n, err := fmt.Sscanf(f[0]+" "+f[1], "%d %d", &minute, &hour); err == nil && n == 2 && f[0]+f[1] == fmt.Sprintf("%d%d", minute, hour) {
		at := fmt.Sprintf(" at %02d:%02d", hour, minute)
		switch {
		case f[2] == "*" && f[3] == "*" && f[4] == "*":
			return "every day" + at
		case f[2] == "*" && f[3] == "*" && f[4] == "1-5":
			return "every weekday" + at
		case f[2] == "*" && f[3] == "*" && f[4] == "0,6":
			return "every Saturday and Sunday" + at
		case f[2] == "*" && f[3] == "*":
			if days, ok := dayNames(f[4]); ok {
				return "every " + days + at
			}
		case f[3] == "*" && f[4] == "*":
			var day int
			if _, err := fmt.Sscanf(f[2], "%d", &day); err == nil && f[2] == fmt.Sprint(day) {
				return fmt.Sprintf("on the %s of every month%s", nth(day), at)
			}
		}
	}
	if f[1] == "*" && f[2] == "*" && f[3] == "*" && f[4] == "*" {
		if step, ok := strings.CutPrefix(f[0], "*/"); ok {
			return "every " + step + " minutes"
		}
		if f[0] == "0" {
			return "every hour"
		}
		if f[0] == "*" {
			return "every minute"
		}
	}
	return "by the cron expression `" + expr + "`"
}

func dayNames(field string) (string, bool) {
	var names []string
	for _, d := range strings.Split(field, ",") {
		if len(d) != 1 || d[0] < '0' || d[0] > '6' {
			return "", false
		}
		names = append(names, weekdays[d[0]-'0'])
	}
	if len(names) == 1 {
		return names[0], true
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1], true
}

func nth(n int) string {
	switch {
	case n%10 == 1 && n != 11:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2 && n != 12:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3 && n != 13:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}
