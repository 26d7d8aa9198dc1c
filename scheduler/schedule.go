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

	Every int       // of the days, weeks or months that Cron names, only each n-th counts, from From on; 0 and 1: all
	Unit  string    // "day", "week", "month": what Every counts; "" where Every is 0
	From  time.Time // not before; anchors Every
	Until time.Time // not after; zero: without end
}

const (
	// shortest and longest are the intervals that are accepted.
	shortest = time.Minute
	longest  = 10 * 366 * 24 * time.Hour
)

// Validate reports what is wrong with the schedule, in words for people.
func (s Schedule) Validate() error {
	c, err := s.calendar()
	if err != nil {
		return err
	}
	if s.Cron == "" {
		if s.At.IsZero() {
			return errors.New("it says neither a repeating schedule nor a time")
		}
		return nil
	}
	if c.every != 0 && c.every < shortest {
		return fmt.Errorf("%q repeats faster than once a minute", s.Cron)
	}
	if c.next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Errorf("%q never happens", s.Cron)
	}
	return nil
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

// calendar is a schedule that has been read, for many look-ups.
type calendar struct {
	zone   *time.Location
	once   time.Time          // if neither every nor fields is set
	every  time.Duration      // an interval, or
	fields *cron.SpecSchedule // a cron expression, with zone UTC
	hourly bool               // fields name no hour
}

// everyHour has a bit for each hour of a day.
const everyHour = 1<<24 - 1

func (s Schedule) calendar() (calendar, error) {
	loc, err := loadZone(s.TZ)
	if err != nil {
		return calendar{}, err
	}
	c := calendar{zone: loc, once: s.At}
	if s.Cron == "" {
		return c, nil
	}
	if strings.HasPrefix(s.Cron, "TZ=") || strings.HasPrefix(s.Cron, "CRON_TZ=") {
		return calendar{}, errors.New("the zone belongs into the time zone, not into the cron expression")
	}
	spec, err := cron.ParseStandard(s.Cron)
	if err != nil {
		return calendar{}, fmt.Errorf("%q is not a cron expression of five fields: %w", s.Cron, err)
	}
	switch spec := spec.(type) {
	case cron.ConstantDelaySchedule:
		if c.every = spec.Delay; c.every > longest {
			return calendar{}, fmt.Errorf("%q is an interval of more than ten years", s.Cron)
		}
	case *cron.SpecSchedule:
		spec.Location = time.UTC
		c.fields, c.hourly = spec, spec.Hour&everyHour == everyHour
	default:
		return calendar{}, fmt.Errorf("%q is a kind of schedule that is not known", s.Cron)
	}
	return c, nil
}

func (c calendar) next(t time.Time) time.Time {
	switch {
	case c.every != 0:
		return t.Add(c.every).UTC()
	case c.fields == nil && c.once.After(t):
		return c.once.UTC()
	case c.fields == nil:
		return time.Time{}
	case c.hourly:
		return c.nextReal(t)
	}
	return c.nextWall(t)
}

// nextInStep is the first due time after t of a schedule that was due at first:
// intervals count from there.
func (c calendar) nextInStep(first, t time.Time) time.Time {
	if c.every == 0 {
		return c.next(t)
	}
	return first.Add((t.Sub(first)/c.every + 1) * c.every).UTC()
}

// nextWall walks the wall clock as if it were UTC, which has no gaps, and looks
// up each reading in the zone.
func (c calendar) nextWall(t time.Time) time.Time {
	wall := shown(t, c.zone)
	for range 1500 { // more than a repeated stretch, of a day at most, has minutes
		if wall = c.fields.Next(wall); wall.IsZero() {
			return time.Time{}
		}
		if at := instant(wall, c.zone); at.After(t) {
			return at.UTC()
		}
	}
	return time.Time{}
}

// nextReal looks through one stretch of constant offset after the other.
func (c calendar) nextReal(t time.Time) time.Time {
	stretch := t.In(c.zone)
	for range 100 { // more than the changes of a zone in the five years that cron looks ahead
		_, offset := stretch.Zone()
		_, end := stretch.ZoneBounds()
		shift := time.Duration(offset) * time.Second
		wall := c.fields.Next(t.UTC().Add(shift))
		if wall.IsZero() {
			return time.Time{}
		}
		if at := wall.Add(-shift); end.IsZero() || at.Before(end) {
			return at
		}
		stretch, t = end, end.Add(-time.Second) // the end itself may be due
	}
	return time.Time{}
}

// shown is what a clock on the wall in loc shows at t, to the second, as UTC.
func shown(t time.Time, loc *time.Location) time.Time {
	l := t.In(loc)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), 0, time.UTC)
}

// instant is when a clock on the wall in loc shows wall (given as UTC) for the
// first time; if it never does, the end of the gap that swallows it.
func instant(wall time.Time, loc *time.Location) time.Time {
	var best, after time.Time
	for _, near := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := wall.Add(near).In(loc).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		reading := shown(at, loc)
		if reading.Equal(wall) && (best.IsZero() || at.Before(best)) {
			best = at
		}
		if reading.After(wall) {
			after = at
		}
	}
	if !best.IsZero() {
		return best
	}
	start, _ := after.In(loc).ZoneBounds()
	return start
}
