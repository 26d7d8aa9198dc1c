package scheduler

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// anyBit marks a field of cron that names everything, as cron itself does.
const anyBit = 1 << 63

// days are the days of one cron expression, as bits from 0 or 1 on.
type days struct {
	dates, months, weekdays   uint64 // as cron has them
	plainDates, plainWeekdays bool   // false where there is only what follows

	last        bool     // L
	lastWorking bool     // LW
	nearest     uint64   // 15W: bit 15
	ordinals    [7]uint8 // by weekday: 1#2 is bit 2, 1L is lastBit
}

const lastBit = 6

func (d days) extraDates() bool    { return d.last || d.lastWorking || d.nearest != 0 }
func (d days) extraWeekdays() bool { return d.ordinals != [7]uint8{} }
func (d days) extra() bool         { return d.extraDates() || d.extraWeekdays() }

// What Quartz can say and cron cannot.
var (
	extraDate    = regexp.MustCompile(`(?i)^(?:L|LW|([0-9]{1,2})W)$`)
	extraWeekday = regexp.MustCompile(`(?i)^([0-6]|sun|mon|tue|wed|thu|fri|sat)(?:L|#([1-5]))$`)
)

// readDays takes the days that cron cannot say out of an expression, and leaves
// one that it can.
func readDays(expr string) (plain string, d days, err error) {
	f := strings.Fields(expr)
	if len(f) != 5 || !strings.ContainsAny(f[2]+f[4], "lLwW#") {
		return expr, days{plainDates: true, plainWeekdays: true}, nil
	}
	var rest []string
	for _, item := range strings.Split(f[2], ",") {
		m := extraDate.FindStringSubmatch(item)
		switch {
		case m == nil:
			rest = append(rest, item)
		case m[1] != "":
			n, err := strconv.Atoi(m[1])
			if err != nil || n < 1 || n > 31 {
				return "", days{}, fmt.Errorf("%q is not a day of the month", item)
			}
			d.nearest |= 1 << n
		case len(item) == 1:
			d.last = true
		default:
			d.lastWorking = true
		}
	}
	f[2], d.plainDates = orAny(rest), len(rest) > 0
	rest = nil
	for _, item := range strings.Split(f[4], ",") {
		m := extraWeekday.FindStringSubmatch(item)
		if m == nil {
			rest = append(rest, item)
			continue
		}
		day := weekdayWords[strings.ToLower(m[1])]
		if isDigits(m[1]) {
			day = time.Weekday(m[1][0] - '0')
		}
		week := lastBit
		if m[2] != "" {
			week = int(m[2][0] - '0')
		}
		d.ordinals[day] |= 1 << week
	}
	f[4], d.plainWeekdays = orAny(rest), len(rest) > 0
	return strings.Join(f, " "), d, nil
}

func orAny(items []string) string {
	if len(items) == 0 {
		return "*"
	}
	return strings.Join(items, ",")
}

// of has a bit for each day of a month that fits; first is its midnight as UTC.
func (d days) of(first time.Time) (fit uint64) {
	if d.months>>first.Month()&1 == 0 {
		return 0
	}
	last := lastOf(first)
	nearest := d.nearestOf(first, last)
	either := (d.dates|d.weekdays)&anyBit == 0 // cron: where both are named, one will do
	weekday := first.Weekday()
	for n := 1; n <= last; n++ {
		byDate := (d.dates|nearest)>>n&1 == 1 || d.last && n == last
		week := d.ordinals[weekday]
		byWeekday := d.weekdays>>weekday&1 == 1 || week>>((n+6)/7)&1 == 1 || week>>lastBit&1 == 1 && n+7 > last
		if byDate && byWeekday || either && (byDate || byWeekday) {
			fit |= 1 << n
		}
		if weekday++; weekday > time.Saturday {
			weekday = time.Sunday
		}
	}
	return fit
}

// nearestOf has a bit for each weekday that is nearest to one of the days of
// nearest, within the month.
func (d days) nearestOf(first time.Time, last int) (fit uint64) {
	all := d.nearest
	if d.lastWorking {
		all |= 1 << last
	}
	for n := 1; n <= last && all != 0; n++ {
		if all>>n&1 == 0 {
			continue
		}
		near := n
		switch weekday := first.AddDate(0, 0, n-1).Weekday(); {
		case weekday == time.Saturday && n > 1:
			near = n - 1
		case weekday == time.Saturday:
			near = n + 2
		case weekday == time.Sunday && n < last:
			near = n + 1
		case weekday == time.Sunday:
			near = n - 2
		}
		fit |= 1 << near
	}
	return fit
}

func lastOf(first time.Time) int {
	return time.Date(first.Year(), first.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// counting leaves out all but each n-th day, week or month.
type counting struct {
	n     int // 0: leaves out nothing
	unit  string
	first int // the one that counts first: a day or a Monday since 1970, or a month
}

// countingFrom counts from the day of wall on.
func countingFrom(n int, unit string, wall time.Time) counting {
	c := counting{n: n, unit: unit}
	switch today := dayNumber(wall); unit {
	case UnitDay:
		c.first = today
	case UnitWeek:
		c.first = today - (int(wall.Weekday())+6)%7
	case UnitMonth:
		c.first = monthNumber(wall)
	}
	return c
}

func dayNumber(wall time.Time) int   { return int(wall.Truncate(day).Unix() / int64(day/time.Second)) }
func monthNumber(wall time.Time) int { return wall.Year()*12 + int(wall.Month()) }

// of has a bit for each day that counts of a month, whose first day is given.
func (c counting) of(first time.Time) (fit uint64) {
	const all = 1<<32 - 2
	switch {
	case c.n == 0:
		return all
	case c.unit == UnitMonth && (monthNumber(first)-c.first)%c.n == 0:
		return all
	case c.unit == UnitMonth:
		return 0
	}
	length, zeroth := 1, dayNumber(first)-1
	if c.unit == UnitWeek {
		length = 7
	}
	for n := 1; n < 32; n++ {
		if since := zeroth + n - c.first; since >= 0 && since/length%c.n == 0 {
			fit |= 1 << n
		}
	}
	return fit
}
