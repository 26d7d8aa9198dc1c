package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"time"
	_ "time/tzdata" // zones must be there on the smallest machine
)

// Schedule says when: again and again by Cron in TZ, or once at At.
type Schedule struct {
	// Cron has five fields, or is a descriptor such as @daily; "" for once. The day
	// of the month may also be L (the last one), 15W (the weekday nearest to the
	// 15th: 1W is the first working day) and LW (the last working day); the day of
	// the week 5L (the last Friday) and 1#2 (the second Monday). Several expressions
	// are separated by ";": each of their times counts, once.
	Cron string
	TZ   string    // IANA zone of the local times
	At   time.Time // for once

	// Of the days, weeks or months that Cron names, only each Every-th counts: that
	// which has From, in zone TZ, is the first. Weeks begin on Monday. 0 and 1: all.
	Every int
	Unit  string // UnitDay, UnitWeek or UnitMonth: what Every counts

	From  time.Time // not before; an interval (@every) counts from it. Zero: at once
	Until time.Time // not after. Zero: without end
}

// What Every counts.
const (
	UnitDay   = "day"
	UnitWeek  = "week"
	UnitMonth = "month"
)

const (
	// shortest and longest are the intervals that are accepted.
	shortest = time.Minute
	longest  = 10 * 366 * day
	// farthest is how far ahead a day is looked for, in months: 29 February is the
	// fifth Friday of its month every 28 years, or 40 across 2100.
	farthest = 41 * 12
	// mostExpressions bounds Cron.
	mostExpressions = 64
)

// longestEvery is the most that Every may be, by unit: about ten years.
var longestEvery = map[string]int{UnitDay: 3660, UnitWeek: 522, UnitMonth: 120}

// Validate reports what is wrong with the schedule, in words for people.
func (s Schedule) Validate() error {
	c, err := s.calendar()
	if err != nil {
		return err
	}
	if s.Cron == "" {
		switch {
		case s.At.IsZero():
			return errors.New("it says neither a repeating schedule nor a time")
		case s.Every != 0 || s.Unit != "" || !s.From.IsZero() || !s.Until.IsZero():
			return errors.New("what happens once has no first or last day, and leaves none out")
		}
		return nil
	}
	if c.every != 0 && c.every < shortest {
		return fmt.Errorf("%q repeats faster than once a minute", s.Cron)
	}
	if !s.Until.IsZero() && s.Until.Before(s.From) {
		return errors.New("it ends before it begins")
	}
	first := c.unbounded(latest(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), s.From.Add(-time.Second)))
	switch {
	case first.IsZero():
		return fmt.Errorf("%q never happens", s.Cron)
	case !s.Until.IsZero() && !s.From.IsZero() && first.After(s.Until) && c.next(s.From.Add(-time.Second)).IsZero():
		return errors.New("between its first and its last day it never happens")
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Next is the first due time after t, in UTC; the zero time if there is none, and
// for a schedule that Validate refuses. It is strictly later than t.
//
// Daylight saving: a local time that does not exist is due at the first instant
// after the gap; one that comes twice is due the first time only. Schedules that
// name no hour (every hour, every 15 minutes) follow real time instead: they run
// in both passes of a repeated hour, and not in a skipped one.
func (s Schedule) Next(t time.Time) time.Time {
	c, err := s.calendar()
	if err != nil {
		return time.Time{}
	}
	return c.next(t)
}

// Times lists the next n due times after t.
func (s Schedule) Times(t time.Time, n int) []time.Time {
	c, err := s.calendar()
	if err != nil {
		return nil
	}
	var all []time.Time
	for range n {
		if t = c.next(t); t.IsZero() {
			break
		}
		all = append(all, t)
	}
	return all
}

// check reports what is wrong with the bounds and with what Every counts.
func (s Schedule) check() error {
	for _, bound := range []time.Time{s.From, s.Until} {
		if !bound.IsZero() && (bound.Year() < 1970 || bound.Year() > 2200) {
			return errors.New("its first and last day must be from 1970 to 2200")
		}
	}
	switch {
	case s.Unit != "" && !slices.Contains([]string{UnitDay, UnitWeek, UnitMonth}, s.Unit):
		return fmt.Errorf("it counts days, weeks or months, not %q", s.Unit)
	case s.Every < 0:
		return fmt.Errorf("every %d is no number to count to", s.Every)
	case s.Every < 2:
		return nil
	case s.Unit == "":
		return errors.New("it does not say whether it counts days, weeks or months")
	case s.Every > longestEvery[s.Unit]:
		return fmt.Errorf("every %d %ss is less than once in ten years", s.Every, s.Unit)
	case s.From.IsZero():
		return fmt.Errorf("every %d %ss needs a first day to count from", s.Every, s.Unit)
	}
	return nil
}

func loadZone(name string) (*time.Location, error) {
	switch name {
	case "":
		return nil, errors.New("the time zone is missing")
	case "Local": // whatever the machine is set to, which the next machine is not
		return nil, errors.New("the time zone must be named, such as Europe/Berlin")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time zone such as Europe/Berlin", name)
	}
	return loc, nil
}
