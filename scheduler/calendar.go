package scheduler

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// calendar is a schedule that has been read, for many look-ups. It does not
// change and may be kept and shared.
type calendar struct {
	zone        *time.Location
	once        time.Time     // if neither every nor rules are set
	every       time.Duration // an interval, or
	rules       []rule        // cron expressions
	count       counting
	from, until time.Time
}

// rule is one cron expression.
type rule struct {
	fields *cron.SpecSchedule // with zone UTC
	times  *cron.SpecSchedule // the times of day of fields, on any day
	days   days               // the days of fields, and those that cron cannot say
	hourly bool               // fields name no hour
}

// everyHour has a bit for each hour of a day.
const everyHour = 1<<24 - 1

func (s Schedule) calendar() (calendar, error) {
	loc, err := loadZone(s.TZ)
	if err != nil {
		return calendar{}, err
	}
	c := calendar{zone: loc, once: s.At, from: s.From, until: s.Until}
	if s.Cron == "" {
		return c, nil
	}
	if err := s.check(); err != nil {
		return calendar{}, err
	}
	if c.rules, c.every, err = readCron(s.Cron); err != nil {
		return calendar{}, err
	}
	if s.Every > 1 {
		if c.every != 0 {
			return calendar{}, errors.New("an interval leaves out no days, weeks or months")
		}
		c.count = countingFrom(s.Every, s.Unit, shown(s.From, loc))
	}
	return c, nil
}

// readCron reads the expressions of a schedule: rules, or one interval.
func readCron(text string) (rules []rule, every time.Duration, err error) {
	expressions := strings.Split(text, ";")
	if len(expressions) > mostExpressions {
		return nil, 0, fmt.Errorf("%d cron expressions are too many; %d are the most", len(expressions), mostExpressions)
	}
	for _, expr := range expressions {
		expr = strings.TrimSpace(expr)
		if strings.HasPrefix(expr, "TZ=") || strings.HasPrefix(expr, "CRON_TZ=") {
			return nil, 0, errors.New("the zone belongs into the time zone, not into the cron expression")
		}
		plain, days, err := readDays(expr)
		if err != nil {
			return nil, 0, err
		}
		spec, err := cron.ParseStandard(plain)
		if err != nil {
			return nil, 0, fmt.Errorf("%q is not a cron expression of five fields: %w", expr, err)
		}
		switch spec := spec.(type) {
		case cron.ConstantDelaySchedule:
			switch every = spec.Delay; {
			case every > longest:
				return nil, 0, fmt.Errorf("%q is an interval of more than ten years", expr)
			case len(expressions) > 1:
				return nil, 0, fmt.Errorf("%q is an interval, which goes with no other expression", expr)
			}
		case *cron.SpecSchedule:
			rules = append(rules, ruleOf(spec, days))
		default:
			return nil, 0, fmt.Errorf("%q is a kind of schedule that is not known", expr)
		}
	}
	return rules, every, nil
}

// ruleOf is the rule of the fields that cron has read and the days that it cannot.
func ruleOf(spec *cron.SpecSchedule, d days) rule {
	spec.Location = time.UTC
	if d.plainDates {
		d.dates = spec.Dom
	}
	if d.plainWeekdays {
		d.weekdays = spec.Dow
	}
	d.months = spec.Month
	times := *spec
	times.Dom, times.Month, times.Dow = anyBit|1<<32-2, anyBit|1<<13-2, anyBit|1<<7-1
	return rule{spec, &times, d, spec.Hour&everyHour == everyHour}
}

// next is the first due time after t; the zero time if there is none.
func (c calendar) next(t time.Time) time.Time {
	return c.bounded(c.unbounded(t))
}

// bounded is at, if the schedule has not ended by then.
func (c calendar) bounded(at time.Time) time.Time {
	if !c.until.IsZero() && at.After(c.until) {
		return time.Time{}
	}
	return at
}

// unbounded is next without the end.
func (c calendar) unbounded(t time.Time) time.Time {
	switch {
	case c.every != 0 && c.from.IsZero():
		return t.Add(c.every).UTC()
	case c.every != 0 && t.Before(c.from):
		return c.from.UTC()
	case c.every != 0:
		return step(c.from, c.every, t)
	case c.rules == nil && c.once.After(t):
		return c.once.UTC()
	case c.rules == nil:
		return time.Time{}
	}
	if t.Before(c.from) {
		t = c.from.Add(-1)
	}
	var first time.Time
	for _, r := range c.rules {
		at := c.nextWall
		if r.hourly {
			at = c.nextReal
		}
		if at := at(r, t); first.IsZero() || !at.IsZero() && at.Before(first) {
			first = at
		}
	}
	return first
}

// nextInStep is the first due time after t of a schedule that was due at first:
// intervals count from there.
func (c calendar) nextInStep(first, t time.Time) time.Time {
	if c.every == 0 {
		return c.next(t)
	}
	return c.bounded(step(first, c.every, t))
}

// step is the first instant after t in steps of every from first, which is not
// after t.
func step(first time.Time, every time.Duration, t time.Time) time.Time {
	return first.Add((t.Sub(first)/every + 1) * every).UTC()
}

// nextWall walks the wall clock as if it were UTC, which has no gaps, and looks
// up each reading in the zone.
func (c calendar) nextWall(r rule, t time.Time) time.Time {
	wall := shown(t, c.zone)
	for range 1500 { // more than a repeated stretch, of a day at most, has minutes
		if wall = c.nextReading(r, wall); wall.IsZero() {
			return time.Time{}
		}
		if at := instant(wall, c.zone); at.After(t) {
			return at.UTC()
		}
	}
	return time.Time{}
}

// nextReal looks through one stretch of constant offset after the other.
func (c calendar) nextReal(r rule, t time.Time) time.Time {
	stretch := t.In(c.zone)
	for range 200 { // more than the changes of a zone until a day that is farthest ahead
		_, offset := stretch.Zone()
		_, end := stretch.ZoneBounds()
		shift := time.Duration(offset) * time.Second
		wall := c.nextReading(r, t.UTC().Add(shift))
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

// nextReading is the first reading of the wall clock after wall that fits the
// rule, on a day that counts; the zero time if there is none.
func (c calendar) nextReading(r rule, wall time.Time) time.Time {
	if c.count.n == 0 && !r.days.extra() {
		if at := r.fields.Next(wall); !at.IsZero() { // cron looks five years ahead: across 2100 a leap day is farther
			return at
		}
	}
	for wall = r.times.Next(wall); !wall.IsZero(); wall = r.times.Next(wall) {
		today := wall.Truncate(day)
		on := c.nextDay(r.days, today)
		if on.Equal(today) {
			return wall
		}
		if on.IsZero() {
			return on
		}
		wall = on.Add(-time.Second)
	}
	return time.Time{}
}

// nextDay is the first day from today on that counts, both midnights as UTC; the
// zero time if there is none.
func (c calendar) nextDay(d days, today time.Time) time.Time {
	month := time.Date(today.Year(), today.Month(), 1, 0, 0, 0, 0, time.UTC)
	passed := uint64(1)<<today.Day() - 1
	for range farthest {
		if all := d.of(month) & c.count.of(month) &^ passed; all != 0 {
			return month.AddDate(0, 0, bits.TrailingZeros64(all)-1)
		}
		month, passed = month.AddDate(0, 1, 0), 0
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
