package scheduler

import (
	"slices"
	"time"
)

var errTooFine = unclear("I can repeat by minutes, hours, days, days of the week and dates, but not by every second week or the last day of something. For example: every Friday at 16:00.")

// every reads what follows "every".
func (r *reader) every(f *phrase) (bool, error) {
	if r.try(func() bool {
		return r.takeOne("other", "second", "third", "fourth", "fifth", "last", "first") != "" &&
			(r.unit() != "" || isWeekday(r.peek(0)) || r.takeOne("weekday", "workday", "working", "business", "morning", "evening", "night") != "")
	}) {
		return false, errTooFine
	}
	if date, month, year, ok := r.dayOfYear(); ok {
		if year != 0 {
			return false, unclear("A date of one year does not come again. For example: every year on 1 March at 9:00.")
		}
		return f.onDates([]int{date}, field([]time.Month{month}))
	}
	if dates, ok := r.dates(); ok {
		r.take("of", "the", "month")
		return f.onDates(dates, "*")
	}
	if r.takeOne("few", "couple") != "" {
		return false, unclear("How often exactly? For example: every 15 minutes.")
	}
	if r.take("half", "hour") || r.take("half", "an", "hour") || r.take("half", "-", "hour") {
		f.interval = 30 * time.Minute
		return true, nil
	}
	if r.take("quarter", "hour") || r.take("quarter", "of", "an", "hour") {
		f.interval = 15 * time.Minute
		return true, nil
	}
	if r.take("week", "day") {
		f.repeated = &repeated{"*", "*", "1-5"}
		return true, nil
	}
	n, counted := r.number()
	if !counted {
		n = 1
	}
	unit := r.unit()
	switch {
	case unit == "second":
		return false, unclear("Once a minute is the most. For example: every 5 minutes.")
	case unit == "minute" || unit == "hour":
		return f.each(n, unit, r.take("on", "the", "hour"))
	case unit != "" && n != 1, counted && n != 1 && isWeekday(r.peek(0)), r.take("quarter"):
		return false, errTooFine
	case unit == "day":
		f.repeated = &repeated{"*", "*", "*"}
		return true, nil
	case unit == "week":
		return r.weekly(f)
	case unit == "month":
		return r.monthly(f)
	case unit == "year":
		return r.yearly(f)
	case counted:
		return false, nil
	case r.takeOne("weekday", "weekdays", "workday", "workdays") != "", r.try(func() bool { return r.takeOne("working", "work", "business") != "" && r.take("day") }):
		f.repeated = &repeated{"*", "*", "1-5"}
		return true, nil
	case r.takeOne("weekend", "weekends") != "":
		f.repeated = &repeated{"*", "*", "0,6"}
		return true, nil
	case slices.Contains([]string{"noon", "midday", "midnight", "morning", "afternoon", "evening", "night"}, r.peek(0)): // the tail reads it
		f.repeated = &repeated{"*", "*", "*"}
		return true, nil
	}
	days, _, ok := r.weekdayList()
	if ok {
		f.repeated = &repeated{"*", "*", field(days)}
	}
	return ok, nil
}

// each makes it repeat every n minutes or hours. onTheHour is said of one hour.
func (f *phrase) each(n int, unit string, onTheHour bool) (bool, error) {
	size := time.Minute
	if unit == "hour" {
		size = time.Hour
	}
	switch {
	case n < 1 || n > 10_000:
		return false, unclear("%d is not a number of minutes or hours that I can count. For example: every 15 minutes.", n)
	case onTheHour && time.Duration(n)*size != time.Hour:
		return false, unclear("Every hour on the hour, or every %d %ss? For example: every 15 minutes.", n, unit)
	}
	f.interval = time.Duration(n) * size
	return true, nil
}

func (r *reader) weekly(f *phrase) (bool, error) {
	r.take("on")
	if days, _, ok := r.weekdayList(); ok {
		f.repeated = &repeated{"*", "*", field(days)}
		return true, nil
	}
	return false, unclear("On which day, and at what time? For example: every Monday at 9:30.")
}

func (r *reader) monthly(f *phrase) (bool, error) {
	r.take("on")
	r.take("the")
	if dates, ok := r.dates(); ok {
		return f.onDates(dates, "*")
	}
	if slices.Contains([]string{"first", "second", "third", "fourth", "last"}, r.peek(0)) {
		return false, errTooFine
	}
	return false, unclear("On which day, and at what time? For example: on the 1st of every month at 10:00.")
}

func (r *reader) yearly(f *phrase) (bool, error) {
	r.take("on")
	r.take("the")
	if date, month, year, ok := r.dayOfYear(); ok && year == 0 {
		return f.onDates([]int{date}, field([]time.Month{month}))
	}
	return false, unclear("On which date, and at what time? For example: every year on 1 March at 10:00.")
}

// dates reads days of a month: "1st", "1st and 15th", "first".
func (r *reader) dates() (dates []int, ok bool) {
	ok = r.try(func() bool {
		for {
			n, isNth := r.ordinal()
			if !isNth || isWeekday(r.peek(0)) || slices.Contains([]string{"day", "weekday", "working", "business", "workday"}, r.peek(0)) {
				return false
			}
			dates = append(dates, n)
			if !r.try(func() bool {
				comma := r.take(",")
				joined := r.takeOne("and", "&") != "" || comma
				r.take("the")
				return joined && isDigits(r.peek(0)) && slices.Contains(ordinalEndings, r.peek(1))
			}) {
				return true
			}
		}
	})
	return dates, ok
}

// onDates makes it repeat on dates of months, "*" for all.
func (f *phrase) onDates(dates []int, months string) (bool, error) {
	for _, d := range dates {
		switch {
		case d < 1 || d > 31:
			return false, unclear("No month has a %s.", nth(d))
		case months == "*" && d > 28:
			return false, unclear("Not every month has a %s. Choose a day from the 1st to the 28th.", nth(d))
		case months == "2" && d > 28, (Schedule{Cron: "0 0 " + field(dates) + " " + months + " *", TZ: "UTC"}).Validate() != nil:
			return false, unclear("Not every year has that date. For example: every year on 1 March at 10:00.")
		}
	}
	f.repeated = &repeated{field(dates), months, "*"}
	return true, nil
}
