package scheduler

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// onDay makes it happen once, on a day that may depend on today; both are
// midnights as UTC.
func (f *phrase) onDay(named string, of func(today time.Time) (time.Time, error)) (bool, error) {
	f.named, f.day = named, of
	return true, nil
}

func inDays(n int) func(today time.Time) (time.Time, error) {
	return func(today time.Time) (time.Time, error) { return today.AddDate(0, 0, n), nil }
}

// relative reads what follows "in": "20 minutes", "half an hour", "3 days".
func (r *reader) relative(f *phrase) (bool, error) {
	if r.take("half", "an", "hour") {
		f.ahead = &ahead{span: 30 * time.Minute}
		return true, nil
	}
	if r.try(func() bool {
		some := r.take("a", "few") || r.take("a", "couple", "of") || r.take("some")
		return some && r.unit() != ""
	}) {
		f.ahead, f.problem = &ahead{}, unclear("In how many exactly? For example: in 20 minutes.")
		return true, nil
	}
	n, ok := r.number()
	if !ok {
		return false, nil
	}
	broken := (r.peek(0) == "." || r.peek(0) == ",") && r.glued(0) && r.glued(1) && isDigits(r.peek(1))
	if broken {
		r.i += 2
	}
	half := r.take("and", "a", "half")
	unit := r.unit()
	if unit == "hour" && r.take("and", "a", "half") {
		half = true
	}
	if unit != "" && (broken || half && unit != "hour") {
		f.ahead, f.problem = &ahead{}, unclear("Whole numbers, please. For example: in 90 minutes.")
		return true, nil
	}
	found, err := f.after(n, half, unit)
	for found && err == nil && r.try(func() bool { // and 30 minutes
		r.take("and")
		more, ok := r.number()
		unit := r.unit()
		if !ok || unit == "" || half {
			return false
		}
		g := &phrase{}
		if _, err = g.after(more, false, unit); err == nil {
			f.ahead.months, f.ahead.days, f.ahead.span = f.ahead.months+g.ahead.months, f.ahead.days+g.ahead.days, f.ahead.span+g.ahead.span
		}
		return err == nil
	}) {
	}
	return found, err
}

// after makes it happen once, so far from now.
func (f *phrase) after(n int, half bool, unit string) (bool, error) {
	switch {
	case unit == "":
		return false, nil
	case n == 0:
		return false, unclear("That is now. For example: in 20 minutes.")
	case n > 100_000:
		return false, unclear("That is more than ten years away.")
	}
	sizes := map[string]ahead{"second": {span: time.Second}, "minute": {span: time.Minute}, "hour": {span: time.Hour},
		"day": {days: 1}, "week": {days: 7}, "fortnight": {days: 14}, "month": {months: 1}, "year": {months: 12}}
	size := sizes[unit]
	f.ahead = &ahead{n * size.months, n * size.days, time.Duration(n) * size.span}
	if half {
		f.ahead.span += size.span / 2
	}
	return true, nil
}

// nextOrThis reads what follows "next", "this" or "coming".
func (r *reader) nextOrThis(f *phrase, which string) (bool, error) {
	if d, _, _, ok := readWeekday(r.peek(0)); ok {
		r.i++
		f.weekly = which != "this"
		return f.onDay("that day", func(today time.Time) (time.Time, error) {
			if which == "next" {
				return nextWeekday(today.AddDate(0, 0, 1), d), nil
			}
			return nextWeekday(today, d), nil
		})
	}
	switch {
	case which == "this" && slices.Contains([]string{"morning", "afternoon", "evening"}, r.peek(0)):
		return f.onDay("today", inDays(0))
	case which == "next" && r.take("week"):
		r.take("on")
		d, _, _, ok := readWeekday(r.peek(0))
		if !ok {
			f.problem = unclear("On which day of next week, and at what time? For example: next week on Monday at 9:30.")
			return f.onDay("next week", inDays(0))
		}
		r.i++
		return f.onDay("that day", func(today time.Time) (time.Time, error) {
			monday := nextWeekday(today.AddDate(0, 0, 1), time.Monday)
			return nextWeekday(monday, d), nil
		})
	case which == "next" && r.peek(0) == "month" && r.try(func() bool {
		r.i++
		r.takeOne("on")
		r.take("the")
		n, ok := r.ordinal()
		if ok {
			f.onDate(n, 1)
		}
		return ok
	}):
		return true, nil
	case which == "next" && r.takeOne("month", "year", "quarter") != "":
		f.problem = unclear("On which date? For example: on 2026-12-01 at 10:00.")
		return f.onDay("then", inDays(0))
	}
	return false, nil
}

// onDate makes it happen once, on the date n of this month or of one that follows.
func (f *phrase) onDate(n, months int) {
	_, _ = f.onDay("that day", func(today time.Time) (time.Time, error) {
		first := startOf("month", today, months)
		d := first.AddDate(0, 0, n-1)
		if n < 1 || d.Month() != first.Month() {
			return d, unclear("%s %d has no %s.", first.Month(), first.Year(), nth(n))
		}
		return d, nil
	})
}

// nextWeekday is the first such day from a day on.
func nextWeekday(from time.Time, d time.Weekday) time.Time {
	return from.AddDate(0, 0, (int(d)-int(from.Weekday())+7)%7)
}

// namedDays reads days of the week: "Mondays" repeat, one Monday does not.
func (r *reader) namedDays(f *phrase, on bool) (bool, error) {
	_, _, full, _ := readWeekday(r.peek(0))
	if w := r.peek(0); !on && !full && (w == "sat" || w == "sun") && !isDigits(r.peek(1)[:min(1, len(r.peek(1)))]) && !r.severalDays() { // words too
		return false, nil
	}
	days, plural, ok := r.weekdayList()
	switch {
	case !ok:
		return false, nil
	case plural, r.take("every", "week"), r.take("each", "week"):
		f.repeated = onWeekdays(weekdayField(days))
		return true, nil
	case len(days) > 1:
		f.problem = unclear("Every week, or once? For example: every %s and %s at 9:30.", weekdays[days[0]], weekdays[days[1]])
	}
	if len(days) == 1 {
		if of := r.datedWeekday(days[0]); of != nil {
			return f.onDay("that day", of)
		}
	}
	if len(days) == 1 && r.take("next", "week") {
		return f.onDay("that day", func(today time.Time) (time.Time, error) {
			return nextWeekday(startOf("week", today, 1), days[0]), nil
		})
	}
	f.weekly = true
	return f.onDay(weekdays[days[0]], func(today time.Time) (time.Time, error) { return nextWeekday(today, days[0]), nil })
}

// severalDays reports whether days of the week come next, more than one.
func (r *reader) severalDays() bool {
	back := r.i
	defer func() { r.i = back }()
	days, _, ok := r.weekdayList()
	return ok && len(days) > 1
}

// date reads a date, or the dates of each month.
func (r *reader) date(f *phrase, on bool) (bool, error) {
	if w := r.peek(0); len(w) == len(time.DateOnly) && w[4] == '-' {
		d, err := time.Parse(time.DateOnly, w)
		if err != nil {
			return false, unclear("%s is not a day of the calendar.", w)
		}
		if r.i++; r.peek(0) == "t" && r.glued(0) { // 2026-12-01T10:00
			r.i++
		}
		return f.onDay(w, func(time.Time) (time.Time, error) { return d, nil })
	}
	if begin := r.i; on && r.numericDate() {
		if d, month, year, ok := plainDate(r.said(begin)); ok {
			return f.onDay("that day", func(today time.Time) (time.Time, error) { return nextDate(today, d, month, year) })
		}
		f.problem = unclear("I cannot be sure which is the day and which the month. Write it as year-month-day, for example: on 2026-12-01 at 10:00.")
		return f.onDay("then", inDays(0))
	}
	if o := r.endOf(); o != nil {
		return f.onPeriods(o, false)
	}
	the := r.take("the")
	switch o, err := r.ordinals(); {
	case err != nil:
		return false, err
	case o != nil && o.period != "":
		return f.onPeriods(o, on)
	case o != nil:
		return false, nil
	}
	if d, month, year, ok := r.dayOfYear(); ok {
		if year == 0 && (r.take("every", "year") || r.take("each", "year")) {
			return f.onDates([]int{d}, field([]time.Month{month}))
		}
		return f.onDay("that day", func(today time.Time) (time.Time, error) { return nextDate(today, d, month, year) })
	}
	dates, ok := r.dates()
	switch {
	case !ok:
		return false, nil
	case r.try(func() bool { return r.take("of") && r.takeOne("every", "each", "the", "a") != "" && r.take("month") }):
		return f.onDates(dates, "*")
	case len(dates) == 1 && r.try(func() bool {
		months := 0
		if !r.take("of") {
			return false
		}
		if which := r.takeOne("this", "next"); which == "next" {
			months = 1
		} else if which == "" {
			return false
		}
		f.onDate(dates[0], months)
		return r.take("month")
	}):
		return true, nil
	case len(dates) != 1 || !on || !the || !slices.Contains([]string{"", "at", "@", ","}, r.peek(0)): // "on the 1st floor"
		return false, nil
	case dates[0] < 1 || dates[0] > 31:
		return false, unclear("No month has a %s.", nth(dates[0]))
	}
	return f.onDay("that day", func(today time.Time) (time.Time, error) {
		for today.Day() != dates[0] {
			today = today.AddDate(0, 0, 1)
		}
		return today, nil
	})
}

// numericDate reads a date such as 3/4 or 1.12.2026.
func (r *reader) numericDate() bool {
	return r.try(func() bool {
		w := r.peek(0)
		if strings.Contains(w, ".") {
			r.i++
			if r.glued(0) && r.take(".") && r.glued(0) && isDigits(r.peek(0)) {
				r.i++
			}
			return true
		}
		if !isDigits(w) || len(w) > 2 || r.peek(1) != "/" || !isDigits(r.peek(2)) {
			return false
		}
		if r.i += 3; r.peek(0) == "/" && isDigits(r.peek(1)) {
			r.i += 2
		}
		return true
	})
}

// plainDate reads a date of numbers in which the day can only be one of them:
// 15.3.2026, 3/15. year is 0 if it is not said.
func plainDate(said string) (date int, month time.Month, year int, ok bool) {
	parts := strings.FieldsFunc(said, func(c rune) bool { return c < '0' || c > '9' })
	if len(parts) < 2 || len(parts) > 3 {
		return 0, 0, 0, false
	}
	var n [3]int
	for i, part := range parts {
		n[i], _ = strconv.Atoi(part) // digits; what is too long is no date
	}
	if n[1] > 12 {
		n[0], n[1] = n[1], n[0]
	}
	return n[0], time.Month(n[1]), n[2], (n[0] > 12 || n[0] == n[1]) && n[0] <= 31 && n[1] >= 1 && n[1] <= 12 && (len(parts) == 2 || len(parts[2]) == 4)
}

// dayOfYear reads "1 December", "1st of December 2026" and "December 1, 2026";
// year is 0 if it is not said.
func (r *reader) dayOfYear() (date int, month time.Month, year int, ok bool) {
	dayNumber := func() (n int, ok bool) {
		if n, ok = r.ordinal(); ok {
			return n, true
		}
		if w := r.peek(0); isDigits(w) && len(w) < 3 {
			r.i++
			n, err := strconv.Atoi(w)
			return n, err == nil
		}
		return 0, false
	}
	ok = r.try(func() bool {
		if month, ok = r.month(); ok {
			r.take("the")
			date, ok = dayNumber()
			return ok
		}
		if date, ok = dayNumber(); !ok {
			return false
		}
		r.take("of")
		month, ok = r.month()
		return ok
	})
	if ok {
		r.try(func() bool {
			r.take(",")
			w := r.peek(0)
			if !isDigits(w) || len(w) != 4 {
				return false
			}
			r.i++
			n, err := strconv.Atoi(w)
			year = n
			return err == nil
		})
	}
	return date, month, year, ok
}

// nextDate is a date of a year, or, with year 0, of the next year that has it.
func nextDate(today time.Time, date int, month time.Month, year int) (time.Time, error) {
	for y := today.Year(); y <= today.Year()+8; y++ { // a leap day may be so far
		if year != 0 {
			y = year
		}
		d := time.Date(y, month, date, 0, 0, 0, 0, time.UTC)
		exists := d.Day() == date && d.Month() == month
		if exists && (year != 0 || !d.Before(today)) {
			return d, nil
		}
		if year != 0 {
			break
		}
	}
	return time.Time{}, unclear("%d %s is not a day of the calendar.", date, month)
}
