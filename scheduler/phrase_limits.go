package scheduler

import (
	"slices"
	"strings"
	"time"
)

// window are the times of a day between which an interval counts.
type window struct{ from, to timeOfDay }

// limits reads all that may follow what repeats, in any order: the times of day,
// the days of an interval, a first and a last day, exceptions.
func (r *reader) limits(f *phrase) error {
	for before := -1; before != r.i; {
		before = r.i
		if f.interval == 0 {
			if err := r.tail(f); err != nil {
				return err
			}
		}
		for _, read := range []func(*phrase) (bool, error){r.between, r.beginning, r.ending, r.lasting, r.exception, r.vague, r.otherDays, r.minutes} {
			if err := r.afterComma(f, read); err != nil {
				return err
			}
		}
	}
	if f.interval == 0 && f.window != nil && f.problem == nil {
		f.problem = unclear("How often between those hours? For example: every hour from 9:00 to 17:00 on weekdays.")
	}
	if f.repeated != nil && f.repeated.undated != "" && f.from != nil && f.from.day != nil {
		f.problem = nil // the day is that of the first one
	}
	return nil
}

// afterComma runs read, and goes back, also over a comma, if it finds nothing.
func (r *reader) afterComma(f *phrase, read func(*phrase) (bool, error)) (err error) {
	r.try(func() bool {
		r.take(",")
		var ok bool
		ok, err = read(f)
		return ok
	})
	return err
}

// minutes reads the minute of an interval of hours.
func (r *reader) minutes(f *phrase) (bool, error) {
	if f.interval == 0 {
		return false, nil
	}
	return r.minuteOfHour(f)
}

// minuteOfHour reads which minute of each hour is meant: "at :15", "at quarter past",
// "15 minutes past the hour", "on the half hour".
func (r *reader) minuteOfHour(f *phrase) (bool, error) {
	if f.interval != 0 && (r.take("all", "day") || r.take("around", "the", "clock") || r.take("day", "and", "night")) {
		return true, nil
	}
	if f.offset != 0 {
		return false, nil
	}
	minute := 0
	if !r.try(func() bool {
		switch {
		case r.take("on", "the", "half", "hour"), r.take("on", "the", "half", "-", "hour"):
			minute = 30
			return true
		case r.take("on", "the", "hour"):
			return true
		}
		at := r.takeOne("at", "@") != "" || r.take("on", "the")
		if at && r.take(":") && r.glued(0) {
			var ok bool
			minute, ok = r.number()
			return ok && len(r.peek(-1)) == 2
		}
		switch {
		case r.take("half"):
			minute = 30
		case r.take("quarter"), r.take("a", "quarter"):
			minute = 15
		default:
			var ok bool
			if minute, ok = r.number(); !ok {
				return false
			}
			r.takeOne("min", "mins", "minutes")
		}
		if r.takeOne("past", "after") == "" {
			return false
		}
		r.take("the", "hour")
		return true
	}) {
		return false, nil
	}
	switch {
	case minute > 59:
		return false, unclear("An hour has minutes from 0 to 59. For example: every hour at :15.")
	case f.interval != 0 && f.interval%time.Hour != 0:
		return false, unclear("Which minute is for whole hours only. For example: every hour at :15.")
	}
	f.offset = minute
	return true, nil
}

// between reads "from 9 to 17:00", "between 8:00 and 18:00" and, of an interval,
// "9-17".
func (r *reader) between(f *phrase) (bool, error) {
	word := r.takeOne("from", "between")
	if word == "" && f.interval != 0 && isDigits(strings.NewReplacer(":", "", ".", "").Replace(r.peek(0))) && (r.peek(1) == "-" || r.peek(1) == "–") {
		word = "from"
	}
	if word == "" {
		return false, nil
	}
	from, err := r.clock(true)
	if err != nil || from == nil {
		return false, nil // a date
	}
	from.part = r.dayPart()
	joined := word == "between" && r.takeOne("and", "&") != "" || word == "from" && r.takeOne("to", "until", "till", "til", "through", "-", "–") != ""
	if !joined {
		return false, nil
	}
	to, err := r.clock(true)
	switch {
	case err != nil || to == nil:
		return false, err
	case f.window != nil || len(f.clocks()) > 0:
		return false, unclear("Either times of day or hours between, not both. For example: every hour from 9:00 to 17:00, or every day at 9:30.")
	case from.part == "" && from.bare && to.bare && from.hourAlone && to.hourAlone && to.hour < from.hour && to.hour < 12 && from.hour < 12:
		return false, unclear("From %d to %d: do you mean %d:00? For example: every hour from %d:00 to %d:00.", from.hour, to.hour, to.hour+12, from.hour, to.hour+12)
	case from.bare && to.half == "pm" && from.hour <= 12 && from.hourAlone:
		return false, unclear("From %d in the morning? Write it with am or pm. For example: every hour from 9am to 5pm.", from.hour)
	}
	to.part = r.dayPart()
	for _, c := range []*timeOfDay{from, to} {
		if c.hour, c.minute, err = f.timeOfDay(c); err != nil {
			return false, err
		}
	}
	f.window = &window{*from, *to}
	if f.zone == "" {
		f.zone, err = r.readZone()
	}
	return true, err
}

// beginning reads the first day: "starting tomorrow", "from 7 December on".
func (r *reader) beginning(f *phrase) (bool, error) {
	word := r.takeOne("starting", "beginning", "commencing", "starts", "from", "as")
	switch {
	case word == "", word == "as" && !r.take("of"):
		return false, nil
	}
	r.takeOne("from", "on")
	if word == "from" && f.from == nil && r.try(func() bool { // from Monday to Friday: days of each week
		days, _, ok := r.weekdayList()
		if ok = ok && len(days) > 1 && (f.repeated == nil || f.repeated.fields() == "* * *"); ok {
			f.repeated = onWeekdays(weekdayField(days))
		}
		return ok
	}) {
		return true, nil
	}
	b, err := r.bound(f, false)
	switch {
	case err != nil:
		return false, err
	case b == nil && word == "from" && !isDigits(r.peek(0)), b == nil && word == "as":
		return false, nil
	case b == nil && f.interval == 0 && f.clock == nil && word != "from": // every day starting at 9:30
		if f.clock, err = r.clockAfterAt(); f.clock != nil || err != nil {
			return f.clock != nil, err
		}
		fallthrough
	case b == nil:
		return false, unclear("From which day? For example: every Monday at 9:30 from 7 December.")
	case f.from != nil:
		return false, unclear("I find two first days. For example: every Monday at 9:30 from 7 December until 31 January.")
	}
	r.try(func() bool { return r.takeOne("onward", "onwards") != "" || r.take("on") && !r.dayFollows() })
	f.from = b
	if word != "from" || b.day == nil || f.until != nil {
		return true, nil
	}
	r.try(func() bool { // from 1 April to 30 June
		if r.takeOne("to", "-", "–") == "" {
			return false
		}
		var end *bound
		if end, err = r.bound(f, true); end != nil && end.day != nil {
			f.until = end
		}
		return f.until != nil
	})
	return true, err
}

// dayFollows reports whether "on" belongs to days that follow.
func (r *reader) dayFollows() bool {
	w := r.peek(0)
	return isWeekday(w) || isDigits(w) || slices.Contains([]string{"the", "weekdays", "workdays", "weekends", "working", "work", "business"}, w)
}

// ending reads the last day: "until Friday", "until the end of March".
func (r *reader) ending(f *phrase) (bool, error) {
	word := r.takeOne("until", "till", "til", "through", "ending", "unless")
	switch {
	case word == "":
		return false, nil
	case word == "unless":
		return false, unclear("I cannot tell beforehand whether that will be so: leave it out of the time, and say it in what is to be done. For example: every weekday at 9:30.")
	case word == "until" && r.take("further", "notice"):
		return true, nil
	}
	if word == "ending" {
		r.take("on")
	}
	b, err := r.bound(f, true)
	switch {
	case err != nil:
		return false, err
	case b == nil && (word == "through" || word == "ending"):
		return false, nil
	case b == nil:
		return false, unclear("Until which day? For example: every day at 9:30 until 31 March.")
	case b.day == nil && b.clock != nil:
		return false, unclear("Every day until then, or only today? For example: every hour from 9:00 to 17:00.")
	case f.until != nil || f.lasting != nil || f.times != 0:
		return false, errTwoEnds
	}
	f.until = b
	return true, nil
}

var errTwoEnds = unclear("I find two ends. For example: every Monday at 9:30 from 7 December until 31 January.")

// lasting reads "for two weeks", "for the next 10 days" and "10 times".
func (r *reader) lasting(f *phrase) (bool, error) {
	led := r.takeOne("for", "during", "over") != ""
	if led && r.try(func() bool { return r.take("the", "rest") && r.peek(0) == "of" }) {
		r.i++
		r.takeOne("the", "this")
		unit := r.takeOne("week", "month", "quarter", "year")
		if unit == "" {
			return false, nil
		}
		f.until = &bound{day: func(today time.Time) (time.Time, error) { return startOf(unit, today, 1).AddDate(0, 0, -1), nil }}
		return true, nil
	}
	one := false
	if led {
		r.take("the")
		one = r.takeOne("next", "coming", "following") != "" && units[r.peek(0)] != "" // the next hour
	}
	n, ok := 1, one
	if !one {
		n, ok = r.number()
	}
	if !ok || n < 1 {
		return false, nil
	}
	times, unit := r.take("times"), ""
	if !times {
		unit = r.unit()
	}
	switch {
	case times && slices.Contains([]string{"a", "an", "per", "each", "every"}, r.peek(0)), !times && (unit == "" || !led):
		return false, nil
	case f.until != nil || f.lasting != nil || f.times != 0:
		return false, errTwoEnds
	case times && n > 1000, n > 10_000:
		return false, unclear("That is too many to count. For example: every day at 9:30 until the end of the year.")
	case times:
		f.times = n
		return true, nil
	case (unit == "second" || unit == "minute" || unit == "hour") && f.interval == 0:
		return false, unclear("A duty has no length: do you mean until a day, or an interval? For example: every day at 9:30 for two weeks, or every 15 minutes for 2 hours.")
	}
	p := &phrase{}
	if _, err := p.after(n, false, unit); err != nil {
		return false, err
	}
	f.lasting = p.ahead
	return true, nil
}

// exception reads "except Friday", "but not in August".
func (r *reader) exception(f *phrase) (bool, error) {
	word := r.takeOne("except", "excepting", "excluding", "but", "without", "not")
	if word == "" && (r.take("apart", "from") || r.take("other", "than")) {
		word = "without"
	}
	strict := word == "except" || word == "excepting" || word == "excluding"
	switch {
	case word == "":
		return false, nil
	case word == "but":
		strict = r.take("not")
	}
	r.takeOne("for", "not")
	in := r.takeOne("on", "in", "during") == "in"
	r.take("the")
	if strict || in { // "may" and "march" are words too
		if months := r.months(); months != nil {
			f.exceptMonths = append(f.exceptMonths, months...)
			return true, nil
		}
	}
	days, _, ok := r.dayItems()
	switch {
	case ok:
		f.except = append(f.except, days...)
		return true, nil
	case strings.HasSuffix(r.peek(0), "holiday") || strings.HasSuffix(r.peek(0), "holidays") || r.peek(1) == "holidays":
		return false, unclear("I do not know anybody's holidays. Days of the week and months can be left out, and a duty can be paused. For example: every weekday except Friday at 9:30.")
	case strict:
		return false, unclear("I can leave out days of the week and months, no single dates and nothing that I would have to find out. For example: every weekday except Friday at 9:30.")
	}
	return false, nil
}

// vague asks for the hours that "during working hours" means.
func (r *reader) vague(f *phrase) (bool, error) {
	if f.interval == 0 || r.takeOne("during", "in", "within", "outside") == "" {
		return false, nil
	}
	r.takeOne("the", "our", "my", "normal", "regular")
	if r.takeOne("working", "work", "office", "business", "opening") != "" && r.takeOne("hours", "time") != "" || r.takeOne("day", "daytime", "night") != "" {
		return false, unclear("Between which hours is that? For example: every hour from 9:00 to 17:00 on weekdays.")
	}
	return false, nil
}

// months reads "July and August".
func (r *reader) months() (all []time.Month) {
	for {
		m, ok := r.month()
		if !ok {
			return nil
		}
		all = append(all, m)
		if !r.try(func() bool {
			comma := r.take(",")
			if r.takeOne("and", "&", "or") == "" && !comma {
				return false
			}
			back := r.i
			_, ok := r.month()
			r.i = back
			return ok
		}) {
			return all
		}
	}
}

func (r *reader) year() int {
	if w := r.peek(0); isDigits(w) && len(w) == 4 && w[0] == '2' {
		n, _ := r.number()
		return n
	}
	return 0
}

// otherDays reads days that go with what was read: months, the days of an
// interval, an interval for days, or further days with times of their own.
func (r *reader) otherDays(f *phrase) (bool, error) {
	var months []time.Month
	if r.try(func() bool {
		if r.take("in") {
			months = r.months()
		}
		return months != nil
	}) {
		switch {
		case r.year() != 0:
			return false, unclear("Say the first and the last day. For example: every Monday at 9:30 from 1 December until the end of December.")
		case f.repeated == nil:
			f.repeated = onWeekdays("*")
		case f.repeated.months != "*":
			return false, unclear("Those days have their months already. For example: every Monday in July and August at 9:30.")
		}
		f.repeated.months = field(months)
		return true, nil
	}
	switch {
	case f.interval != 0 && (f.repeated == nil || f.repeated.fields() == "* * *" && f.repeated.every == 0):
		return r.daysOfInterval(f)
	case f.repeated != nil && f.interval == 0 && f.clock == nil && (slices.Contains([]string{"every", "each", "hourly"}, r.peek(0))):
		sub := &phrase{}
		if found, err := r.when(sub); !found || err != nil || sub.interval == 0 {
			return false, err
		}
		f.interval, f.problem = sub.interval, nil
		return true, nil
	case f.repeated != nil && f.clock != nil && f.repeated.every == 0 && r.takeOne("and", "&", "plus") != "":
		return r.furtherDays(f)
	}
	return false, nil
}

// daysOfInterval reads "on weekdays" behind "every hour".
func (r *reader) daysOfInterval(f *phrase) (bool, error) {
	led := r.takeOne("every", "each", "on")
	if led == "" && !isWeekday(r.peek(0)) && !strings.HasPrefix(r.peek(0), "week") && !strings.HasPrefix(r.peek(0), "workday") {
		return false, nil
	}
	days, many, ok := r.dayItems()
	switch {
	case ok && !many && led == "on":
		return false, unclear("Every %s, or the next one only? For example: every hour from 9:00 to 17:00 every %s.", weekdays[days[0]], weekdays[days[0]])
	case ok && !many && led == "":
		return false, nil
	case ok:
		f.repeated = onWeekdays(weekdayField(days))
		return true, nil
	case led == "":
		return false, nil
	}
	r.i-- // the word that led
	sub := &phrase{}
	if found, err := r.when(sub); !found || err != nil || sub.repeated == nil || sub.problem != nil {
		return false, err
	}
	f.repeated = sub.repeated
	return true, nil
}

// furtherDays reads "Wednesday at 10" behind "every Monday at 9 and".
func (r *reader) furtherDays(f *phrase) (bool, error) {
	sub := &phrase{}
	begin := r.i
	r.takeOne("every", "each", "on")
	if days, _, ok := r.dayItems(); ok {
		sub.repeated = onWeekdays(weekdayField(days))
	} else {
		r.i = begin
		if found, err := r.when(sub); !found || err != nil || sub.repeated == nil || sub.repeated.every > 1 || sub.problem != nil {
			return false, err
		}
	}
	err := r.tail(sub)
	switch {
	case err != nil || sub.clock == nil:
		return false, err
	case f.zone == "":
		f.zone = sub.zone
	case sub.zone != "" && sub.zone != f.zone:
		return false, unclear("One zone for one duty, please. For example: every Monday at 9:30 Europe/Berlin.")
	}
	f.also = append(f.also, sub)
	return true, nil
}
