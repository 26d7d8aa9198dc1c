package scheduler

import (
	"slices"
	"strings"
	"time"
)

// every reads what follows "every".
func (r *reader) every(f *phrase) (bool, error) {
	if n, ok := r.alternate(); ok {
		return r.counted(f, n)
	}
	switch o, err := r.ordinals(); {
	case err != nil:
		return false, err
	case o != nil:
		return f.onOrdinals(o)
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
	if found, err := r.everyMonth(f); found || err != nil {
		return found, err
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
	if days, _, ok := r.dayItems(); ok {
		f.repeated = onWeekdays(weekdayField(days))
		return true, nil
	}
	n, counted := r.number()
	if !counted {
		n = 1
	}
	found, err := r.counted(f, n)
	if counted || found || err != nil {
		return found, err
	}
	if slices.Contains([]string{"noon", "midday", "midnight", "morning", "afternoon", "evening", "night"}, r.peek(0)) { // the tail reads it
		f.repeated = onWeekdays("*")
		return true, nil
	}
	return false, nil
}

// everyMonth reads "January and July on the 1st".
func (r *reader) everyMonth(f *phrase) (found bool, err error) {
	r.try(func() bool {
		months := r.months()
		if months == nil {
			return false
		}
		r.take("on")
		r.take("the")
		var o *ordinals
		if o, err = r.ordinals(); err != nil {
			return false
		}
		if o != nil {
			o.months = months
			found, err = f.onOrdinals(o)
			return found
		}
		if dates, ok := r.dates(); ok {
			found, err = f.onDates(dates, field(months))
			return found
		}
		err = unclear("On which day of it, and at what time? For example: every year on 1 March at 10:00, or every Monday in July and August at 9:30.")
		return false
	})
	return found, err
}

// alternate reads "other", and "second" or "3rd" where what follows is counted
// and not a day's place in the month.
func (r *reader) alternate() (n int, ok bool) {
	ok = r.try(func() bool {
		if r.takeOne("other", "alternate", "alternating") != "" {
			n = 2
			return true
		}
		if n, ok = r.place(); !ok || n == 0 {
			return false
		}
		switch w := r.peek(0); {
		case isWeekday(w):
			return n == 2 && r.peek(1) != "of" && r.peek(1) != "in" && r.peek(1) != "and"
		case r.peek(0) == "day" && (r.peek(1) == "of" || r.peek(1) == "in"):
			return false
		default:
			return n > 1 && (units[w] != "" && len(w) > 1 || slices.Contains([]string{"weekend", "weekday", "workday", "working", "business", "quarter", "morning", "afternoon", "evening", "night"}, w))
		}
	})
	return n, ok
}

// counted reads what there are n of from one time to the next.
func (r *reader) counted(f *phrase, n int) (bool, error) {
	if r.peek(0) == "working" || r.peek(0) == "business" || r.peek(0) == "weekday" || r.peek(0) == "weekdays" || r.peek(0) == "workday" || r.peek(0) == "workdays" {
		return false, unclear("I can count days, weeks and months, not working days. For example: every 2 days at 9:30, or every Monday, Wednesday and Friday at 9:30.")
	}
	if r.peek(0) == "." && r.glued(0) && r.glued(1) && isDigits(r.peek(1)) && units[r.peek(2)] != "" {
		return false, unclear("Whole numbers, please. For example: every 90 minutes.")
	}
	if r.take("and", "a", "half", "hours") || n == 1 && r.take("hour", "and", "a", "half") {
		return f.each(60*n+30, "minute", false)
	}
	if n > 1 {
		if days, _, ok := r.dayItems(); ok {
			f.repeated = onWeekdays(weekdayField(days))
			return f.eachNth(n, UnitWeek)
		}
		if slices.Contains([]string{"morning", "afternoon", "evening", "night"}, r.peek(0)) {
			f.repeated = onWeekdays("*")
			return f.eachNth(n, UnitDay)
		}
	}
	unit := r.unit()
	if unit == "" {
		unit = r.takeOne("quarter", "quarters", "fortnight", "fortnights")
	}
	switch unit {
	case "second":
		return false, unclear("Once a minute is the most. For example: every 5 minutes.")
	case "minute", "hour":
		return f.each(n, unit, r.take("on", "the", "hour"))
	case "day":
		f.repeated = onWeekdays("*")
		return f.eachNth(n, UnitDay)
	case "week":
		r.weekly(f)
		return f.eachNth(n, UnitWeek)
	case "fortnight", "fortnights":
		r.weekly(f)
		return f.eachNth(2*n, UnitWeek)
	case "month":
		if n == 1 && (r.take("end") || r.take("-", "end")) {
			return f.onOrdinals(&ordinals{dates: "L", weekdays: "*", last: true})
		}
		if found, err := r.monthly(f); !found {
			return false, err
		}
		return f.eachNth(n, UnitMonth)
	case "quarter", "quarters":
		if n == 1 {
			return r.quarterly(f)
		}
		if found, err := r.monthly(f); !found {
			return false, err
		}
		return f.eachNth(3*n, UnitMonth)
	case "year":
		if found, err := r.yearly(f); !found {
			return false, err
		}
		if n == 1 {
			return true, nil
		}
		return f.eachNth(12*n, UnitMonth)
	}
	return false, nil
}

// eachNth makes only each n-th day, week or month count.
func (f *phrase) eachNth(n int, unit string) (bool, error) {
	switch {
	case n < 1:
		return false, unclear("%d is not a number of %ss that I can count. For example: every 2 days at 9:30.", n, unit)
	case n > longestEvery[unit]:
		return false, unclear("That is less than once in ten years. For example: every year on 1 March at 9:00.")
	case n > 1:
		f.repeated.every, f.repeated.unit = n, unit
	}
	return true, nil
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

// weekly reads the days of a week. Without, it is that of the first day.
func (r *reader) weekly(f *phrase) {
	if !r.try(func() bool {
		r.take(",")
		r.takeOne("on", "every", "each")
		days, _, ok := r.dayItems()
		if ok {
			f.repeated = onWeekdays(weekdayField(days))
		}
		return ok
	}) {
		f.repeated = onWeekdays("*")
		f.repeated.undated = UnitWeek
		f.problem = unclear("On which day, and at what time? For example: every Monday at 9:30.")
	}
}

// monthly reads the days of a month. Without, it is that of the first day.
func (r *reader) monthly(f *phrase) (found bool, err error) {
	if r.try(func() bool {
		r.take("on")
		r.take("the")
		var o *ordinals
		if o, err = r.ordinals(); o != nil {
			found, err = f.onOrdinals(o)
			return found
		}
		dates, ok := r.dates()
		if ok && err == nil {
			found, err = f.onDates(dates, "*")
		}
		return found
	}) || err != nil {
		return found, err
	}
	f.repeated = onWeekdays("*")
	f.repeated.undated = UnitMonth
	f.problem = unclear("On which day, and at what time? For example: on the 1st of every month at 10:00.")
	return true, nil
}

// quarterly reads the days of a quarter, those of the first month but for last ones.
func (r *reader) quarterly(f *phrase) (found bool, err error) {
	problem := unclear("On which day of the quarter, and at what time? For example: on the first day of every quarter at 9:00.")
	r.try(func() bool {
		r.take("on")
		r.take("the")
		var o *ordinals
		if o, err = r.ordinals(); o != nil {
			o.period = "quarter"
			found, err = f.onOrdinals(o)
			return found
		}
		dates, ok := r.dates()
		if ok && err == nil {
			found, err = f.onDates(dates, "1,4,7,10")
		}
		return found
	})
	if !found && err == nil {
		err = problem
	}
	return found, err
}

func (r *reader) yearly(f *phrase) (bool, error) {
	r.take("on")
	r.take("the")
	var dates []int
	var months []time.Month
	if r.try(func() bool {
		var ok bool
		if dates, ok = r.dates(); ok && r.take("of") {
			months = r.months()
		}
		return months != nil
	}) {
		return f.onDates(dates, field(months))
	}
	if date, month, year, ok := r.dayOfYear(); ok && year == 0 {
		return f.onDates([]int{date}, field([]time.Month{month}))
	}
	switch o, err := r.ordinals(); {
	case err != nil:
		return false, err
	case o != nil && o.period == "year":
		return f.onOrdinals(o)
	}
	return false, unclear("On which date, and at what time? For example: every year on 1 March at 10:00.")
}

// dates reads days of a month: "1st", "1st and 15th", "first".
func (r *reader) dates() (dates []int, ok bool) {
	ok = r.try(func() bool {
		for {
			n, isNth := r.ordinal()
			if !isNth && len(dates) == 0 && r.i > 0 && r.peek(-1) == "on" && r.peek(0) == "day" && isDigits(r.peek(1)) && len(r.peek(1)) < 3 { // day 5
				r.i++
				n, isNth = r.number()
			}
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

// errNotEvery asks what is meant by a day that some months do not have.
func errNotEvery(date int) error {
	return unclear("Not every month has a %s. Do you mean the last day? For example: on the last day of every month at 9:00. Or choose a day from the 1st to the 28th.", nth(date))
}

// onDates makes it repeat on dates of months, "*" for all.
func (f *phrase) onDates(dates []int, months string) (bool, error) {
	for _, d := range dates {
		switch {
		case d < 1 || d > 31:
			return false, unclear("No month has a %s.", nth(d))
		case months == "*" && d > 28, strings.Contains(months, ",") && d > 30:
			return false, errNotEvery(d)
		case months == "2" && d > 28, (Schedule{Cron: "0 0 " + field(dates) + " " + months + " *", TZ: "UTC"}).Validate() != nil:
			return false, unclear("Not every year has that date. For example: every year on 1 March at 10:00.")
		}
	}
	f.repeated = &repeated{dates: field(dates), months: months, weekdays: "*"}
	return true, nil
}
