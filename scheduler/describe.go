package scheduler

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

var weekdays = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

// Describe says the schedule in plain words: "every weekday at 09:30
// (Europe/Berlin)", "every 2 weeks on Friday at 16:00, from 4 December 2026 until 31
// March 2027 (UTC)". What has no plain words is given as its cron expression.
func (s Schedule) Describe() string {
	if s.Cron != "" {
		return s.describeCron() + s.describeBounds() + " (" + s.TZ + ")"
	}
	loc, err := loadZone(s.TZ)
	if err != nil || s.At.IsZero() {
		return "once"
	}
	return "once, on " + s.At.In(loc).Format("Monday 2 January 2006 at 15:04") + " (" + s.TZ + ")"
}

// describeBounds says from when until when; "" for always. A bound that is a whole
// day is said as one.
func (s Schedule) describeBounds() string {
	if s.From.IsZero() && s.Until.IsZero() {
		return ""
	}
	loc, err := loadZone(s.TZ)
	if err != nil {
		loc = time.UTC
	}
	var b strings.Builder
	say := func(word string, at time.Time, whole bool) {
		if at.IsZero() {
			return
		}
		layout := "2 January 2006 at 15:04"
		if whole {
			layout = "2 January 2006"
		}
		fmt.Fprintf(&b, " %s %s", word, at.In(loc).Format(layout))
	}
	say("from", s.From, isMidnight(s.From, loc))
	say("until", s.Until, isMidnight(s.Until.Add(time.Second), loc))
	return "," + b.String()
}

// isMidnight reports whether a day begins at at, also where it has no midnight.
func isMidnight(at time.Time, loc *time.Location) bool {
	return instant(shown(at, loc).Truncate(day), loc).Equal(at)
}

func (s Schedule) describeCron() string {
	rules, every, err := readCron(s.Cron)
	if err == nil && every != 0 {
		return "every " + describeInterval(every)
	}
	// Expressions for the same days are one list of times.
	type group struct {
		days  days
		times [24 * 60]bool
	}
	var groups []group
	for _, r := range rules {
		i := slices.IndexFunc(groups, func(g group) bool { return g.days == r.days })
		if i < 0 {
			i, groups = len(groups), append(groups, group{days: r.days})
		}
		for minute := range groups[i].times {
			if (r.fields.Hour>>(minute/60))&(r.fields.Minute>>(minute%60))&1 == 1 {
				groups[i].times[minute] = true
			}
		}
	}
	var all []string
	for _, g := range groups {
		days, months, ok := g.days.describe(s.Every, s.Unit)
		times, interval, said := describeTimes(g.times)
		switch {
		case !ok || !said:
			all = nil
		case interval && days == "every day":
			all = append(all, times+months)
		case interval:
			all = append(all, times+", "+days+months)
		default:
			all = append(all, days+months+" at "+times)
		}
		if all == nil {
			break
		}
	}
	if all == nil {
		return "by the cron expression `" + s.Cron + "`" + describeCount(s.Every, s.Unit)
	}
	return strings.Join(all, " and ")
}

// describeTimes says the minutes of a day that are set: as an interval, or as a
// list of times.
func describeTimes(set [24 * 60]bool) (words string, interval, ok bool) {
	var times []int
	for minute, on := range set {
		if on {
			times = append(times, minute)
		}
	}
	if len(times) == 0 {
		return "", false, false
	}
	if len(times) > 3 {
		first, last, step := times[0], times[len(times)-1], times[1]-times[0]
		even := true
		for i, t := range times {
			even = even && t == first+i*step
		}
		words := "every " + describeInterval(time.Duration(step)*time.Minute)
		switch {
		case even && first == 0 && last+step == 24*60:
			return words, true, true
		case even:
			return words + " from " + clockWords(first) + " to " + clockWords(last), true, true
		}
	}
	if len(times) > 12 {
		return "", false, false
	}
	var all []string
	for _, t := range times {
		all = append(all, clockWords(t))
	}
	return listed(all), false, true
}

func clockWords(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// describe says the days, and apart from them the months, if they can be said.
func (d days) describe(every int, unit string) (words, months string, ok bool) {
	anyDate, anyWeekday := d.dates&anyBit != 0, d.weekdays&anyBit != 0
	anyDate, anyWeekday = anyDate && !d.extraDates(), anyWeekday && !d.extraWeekdays()
	of := listed(names(d.months, monthName))
	switch left := (1<<13 - 2) &^ d.months; {
	case d.months&anyBit != 0:
	case bits.OnesCount64(left) < 3:
		months = " except in " + listed(names(left, monthName))
	default:
		months = " in " + of
	}
	counted := every > 1
	switch {
	case anyDate && anyWeekday && counted && unit == UnitDay:
		return fmt.Sprintf("every %d days", every), months, true
	case anyDate && anyWeekday:
		return "every day" + describeCount(every, unit), months, true
	case anyDate && !d.extraWeekdays() && counted && unit == UnitWeek:
		return fmt.Sprintf("every %d weeks on %s", every, dayNames(d.weekdays)), months, true
	case anyDate && !d.extraWeekdays() && d.weekdays == 1<<6-2:
		return "every weekday" + describeCount(every, unit), months, true
	case anyDate && !d.extraWeekdays() && bits.OnesCount64(d.weekdays) == 6:
		return "every day except " + dayNames((1<<7-1)&^d.weekdays) + describeCount(every, unit), months, true
	case anyDate && !d.extraWeekdays():
		return "every " + dayNames(d.weekdays) + describeCount(every, unit), months, d.weekdays != 0
	case !anyDate && !anyWeekday:
		return "", "", false
	}
	on := d.describeDates()
	if anyDate {
		on = d.describeOrdinals()
		ok = d.weekdays&anyBit != 0 || d.weekdays == 0
	} else {
		ok = d.dates&anyBit == 0
	}
	switch {
	case !ok || len(on) == 0:
		return "", "", false
	case counted && unit == UnitMonth && d.months&anyBit == 0 && every%12 == 0:
		return fmt.Sprintf("every %d years on the %s of %s", every/12, listed(on), of), "", true
	case counted && unit == UnitMonth && d.months&anyBit != 0:
		return fmt.Sprintf("every %d months on the %s", every, listed(on)), "", true
	case d.months&anyBit == 0:
		return "every year on the " + listed(on) + " of " + of + describeCount(every, unit), "", true
	}
	return "on the " + listed(on) + " of every month" + describeCount(every, unit), "", true
}

// describeCount says what Every leaves, for days that have no shorter words.
func describeCount(every int, unit string) string {
	if every < 2 {
		return ""
	}
	return fmt.Sprintf(" of every %s %s", nth(every), unit)
}

func (d days) describeDates() []string {
	all := names(d.dates, nth)
	for _, n := range ones(d.nearest) {
		if n == 1 {
			all = append(all, "first working day")
		} else {
			all = append(all, "weekday nearest to the "+nth(n))
		}
	}
	if d.last {
		all = append(all, "last day")
	}
	if d.lastWorking {
		all = append(all, "last working day")
	}
	return all
}

var ordinalNames = []string{"", "first", "second", "third", "fourth", "fifth", "last"}

func (d days) describeOrdinals() []string {
	var all []string
	for _, i := range []int{1, 2, 3, 4, 5, 6, 0} { // the week begins on Monday
		if places := names(uint64(d.ordinals[i]), func(n int) string { return ordinalNames[n] }); len(places) > 0 {
			all = append(all, listed(places)+" "+weekdays[i])
		}
	}
	return all
}

// ones are the places of the bits of a field.
func ones(field uint64) (all []int) {
	for field &^= anyBit; field != 0; field &= field - 1 {
		all = append(all, bits.TrailingZeros64(field))
	}
	return all
}

func names(field uint64, name func(int) string) []string {
	var all []string
	for _, n := range ones(field) {
		all = append(all, name(n))
	}
	return all
}

func monthName(n int) string { return time.Month(n).String() }

// dayNames lists the days of a field; Saturday goes before Sunday.
func dayNames(field uint64) string {
	days := ones(field)
	if len(days) > 1 && days[0] == 0 {
		days = append(days[1:], 0)
	}
	var all []string
	for _, d := range days {
		all = append(all, weekdays[d])
	}
	return listed(all)
}

func describeInterval(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		switch {
		case d == unit.size:
			return unit.name
		case d%unit.size == 0:
			return fmt.Sprintf("%d %ss", d/unit.size, unit.name)
		}
	}
	return d.String()
}

// listed joins names as people do: "a, b and c".
func listed(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func nth(n int) string {
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			return strconv.Itoa(n) + "st"
		case 2:
			return strconv.Itoa(n) + "nd"
		case 3:
			return strconv.Itoa(n) + "rd"
		}
	}
	return strconv.Itoa(n) + "th"
}
