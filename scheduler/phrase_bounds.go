package scheduler

import (
	"slices"
	"time"
)

// bound is a first or last day as it was said, or an instant for an interval.
type bound struct {
	day   func(today time.Time) (time.Time, error) // midnight as UTC; nil: none, only a time of day
	clock *timeOfDay
	span  time.Duration // from now, if there is neither
}

// bound reads a day. end is for the last one. nil if none comes next.
func (r *reader) bound(f *phrase, end bool) (b *bound, err error) {
	b = &bound{}
	begin := r.i
	if b.day, err = r.boundDay(end); err != nil {
		return nil, err
	}
	switch {
	case b.day == nil && !end && r.take("now"):
		b.day = inDays(0)
	case b.day == nil && !end && f.interval != 0 && r.take("in"):
		p := &phrase{}
		if found, err := r.relative(p); !found || p.problem != nil || p.ahead.span == 0 {
			r.i = begin
			return nil, err
		}
		b.span = p.ahead.span
		return b, nil
	}
	if f.interval != 0 || end && f.clock != nil { // else the time of day is that of each run
		r.try(func() bool {
			if b.clock, err = r.clockAfterAt(); b.clock == nil && err == nil {
				b.clock, err = r.clock(false)
			}
			return b.clock != nil
		})
	}
	if err != nil || b.day == nil && b.clock == nil {
		r.i = begin
		return nil, err
	}
	return b, nil
}

// boundDay reads the day itself.
func (r *reader) boundDay(end bool) (of func(time.Time) (time.Time, error), err error) {
	begin := r.i
	if end {
		if of = r.endOfPeriod(); of != nil {
			return of, nil
		}
	}
	if w := r.peek(0); w == "next" && slices.Contains([]string{"week", "month", "year"}, r.peek(1)) && !isWeekday(r.peek(2)) && !(r.peek(2) == "on" && isWeekday(r.peek(3))) {
		if end {
			return nil, unclear("Until its beginning or its end? For example: every day at 9:30 until the end of next %s.", r.peek(1))
		}
		r.i += 2
		unit := r.peek(-1)
		return func(today time.Time) (time.Time, error) { return startOf(unit, today, 1), nil }, nil
	}
	if isWeekday(r.peek(0)) {
		return r.boundWeekday()
	}
	if slices.Contains([]string{"every", "each", "once", "twice", "hourly", "daily", "nightly", "weekly", "monthly", "quarterly", "yearly"}, r.peek(0)) {
		return nil, nil
	}
	if of, err = r.theDate(); of != nil || err != nil {
		return of, err
	}
	p := &phrase{}
	found, err := r.when(p)
	switch {
	case err != nil:
		return nil, err
	case found && p.problem != nil:
		return nil, p.problem
	case found && p.day != nil:
		return p.day, nil
	case found && p.ahead != nil && p.ahead.span == 0:
		return func(today time.Time) (time.Time, error) { return p.ahead.from(today), nil }, nil
	}
	r.i = begin
	month, ok := r.month()
	if !ok {
		return nil, nil
	}
	year := r.year()
	if end {
		return nil, unclear("Until its beginning or its end? For example: every day at 9:30 until the end of %s.", month)
	}
	return func(today time.Time) (time.Time, error) { return nextDate(today, 1, month, year) }, nil
}

// theDate reads "the 15th" alone.
func (r *reader) theDate() (of func(time.Time) (time.Time, error), err error) {
	r.try(func() bool {
		if !r.take("the") {
			return false
		}
		n, ok := r.ordinal()
		if !ok || r.peek(0) == "of" || n < 1 || n > 31 {
			return false
		}
		if _, isMonth := r.month(); isMonth {
			return false
		}
		of = func(today time.Time) (time.Time, error) {
			for today.Day() != n {
				today = today.AddDate(0, 0, 1)
			}
			return today, nil
		}
		return true
	})
	return of, err
}

// boundWeekday reads "Friday" and "Monday 7 December": the next one after today.
func (r *reader) boundWeekday() (func(time.Time) (time.Time, error), error) {
	d, _, _, _ := readWeekday(r.peek(0))
	r.i++
	if of := r.datedWeekday(d); of != nil {
		return of, nil
	}
	return func(today time.Time) (time.Time, error) { return nextWeekday(today.AddDate(0, 0, 1), d), nil }, nil
}

// datedWeekday reads the date that follows the day of the week d; nil if none does.
func (r *reader) datedWeekday(d time.Weekday) (of func(time.Time) (time.Time, error)) {
	r.try(func() bool {
		r.take(",")
		r.take("the")
		date, month, year, ok := r.dayOfYear()
		of = func(today time.Time) (time.Time, error) {
			at, err := nextDate(today, date, month, year)
			if err == nil && at.Weekday() != d {
				err = unclear("%s is a %s, not a %s. Which do you mean?", at.Format("2 January 2006"), at.Weekday(), d)
			}
			return at, err
		}
		if !ok {
			of = nil
		}
		return ok
	})
	return of
}

// endOfPeriod reads "the end of March 2027" and "the end of next month": its last
// day.
func (r *reader) endOfPeriod() (of func(time.Time) (time.Time, error)) {
	if !r.try(func() bool {
		r.take("the")
		if !r.take("end", "of") {
			return false
		}
		if month, ok := r.month(); ok {
			year := r.year()
			of = func(today time.Time) (time.Time, error) {
				y := year
				if y == 0 {
					if y = today.Year(); month < today.Month() {
						y++
					}
				}
				return time.Date(y, month+1, 0, 0, 0, 0, 0, time.UTC), nil
			}
			return true
		}
		if year := r.year(); year != 0 {
			of = func(time.Time) (time.Time, error) { return time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC), nil }
			return true
		}
		periods := 1
		if r.takeOne("the", "this", "next", "each", "every", "a") == "next" {
			periods = 2
		}
		unit := r.takeOne("week", "month", "quarter", "year")
		of = func(today time.Time) (time.Time, error) { return startOf(unit, today, periods).AddDate(0, 0, -1), nil }
		return unit != ""
	}) {
		return nil
	}
	return of
}

// startOf is the first day of the n-th period after that of today.
func startOf(unit string, today time.Time, n int) time.Time {
	switch unit {
	case "week":
		return nextWeekday(today.AddDate(0, 0, -6), time.Monday).AddDate(0, 0, 7*n)
	case "quarter":
		return time.Date(today.Year(), (today.Month()-1)/3*3+1+time.Month(3*n), 1, 0, 0, 0, 0, time.UTC)
	case "year":
		return time.Date(today.Year()+n, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(today.Year(), today.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
}
