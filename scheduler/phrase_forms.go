package scheduler

import (
	"slices"
	"strings"
	"time"
)

// phrase reads one time from here on; nil if none begins here.
func (r *reader) phrase() (*phrase, error) {
	f := &phrase{}
	led := r.leading(f)
	past := r.try(func() bool { // at quarter past every hour
		ok, err := r.minuteOfHour(f)
		return ok && err == nil && (r.peek(0) == "every" || r.peek(0) == "each")
	})
	c, err := r.clockAfterAt()
	if err != nil {
		return nil, err
	}
	if c != nil {
		f.clock = c
		if err := r.tail(f); err != nil {
			return nil, err
		}
	}
	if c == nil {
		c = r.clockBeforeDay()
		f.clock = c
	}
	found, err := r.when(f)
	switch {
	case err != nil:
		return nil, err
	case !found && c == nil, led && !f.repeats():
		return nil, nil
	case past && (f.interval == 0 || f.interval%time.Hour != 0):
		return nil, unclear("Which minute is for whole hours only. For example: every hour at :15.")
	case f.inMonths != nil && f.repeated != nil && f.repeated.months != "*":
		return nil, unclear("Those days have their months already. For example: every Monday in July and August at 9:30.")
	case !found && c.bare && c.hourAlone && f.part == "" && len(f.more) == 0:
		f.problem = unclear("On which day, and is it %d:00 or %d:00? For example: tomorrow at %d:00.", c.hour, (c.hour+12)%24, c.hour)
	case f.clock != nil && (f.interval != 0 || f.ahead != nil && f.ahead.span != 0):
		return nil, unclear("Either a time of day or a distance, not both. For example: every day at 9:30, or in 20 minutes.")
	case f.repeats():
		if err := r.limits(f); err != nil {
			return nil, err
		}
		if f.inMonths != nil && f.repeated == nil {
			f.repeated = onWeekdays("*")
		}
		if f.inMonths != nil {
			f.repeated.months = field(f.inMonths)
		}
	case f.ahead == nil || f.ahead.span == 0:
		if err := r.tail(f); err != nil {
			return nil, err
		}
	}
	if d := f.repeated; d != nil && strings.ContainsAny(d.weekdays, "#L") { // every first Monday at 9 of the month
		r.try(func() bool { return r.take("of") && r.takeOne("the", "each", "every") != "" && r.take("month") })
	}
	f.adjective = f.adjective && f.clock == nil && !(f.problem != nil && r.peek(0) == "on" && (r.peek(1) == "the" || r.peek(1) == "day" || isDigits(r.peek(1))))
	if !f.whole() && (!f.repeats() || f.adjective) { // only mentioned
		return f, nil
	}
	return f, r.leftover(f)
}

// leading reads limits that stand before what repeats: "from 7 December, every
// Monday at 9". What leads to nothing is none.
func (r *reader) leading(f *phrase) (led bool) {
	switch r.peek(0) {
	case "from", "starting", "beginning", "between", "until", "till":
	case "in", "during", "throughout":
		return r.try(func() bool {
			r.i++
			f.inMonths = r.months()
			r.take(",")
			back := r.i
			found, err := r.when(&phrase{})
			r.i = back
			if !found && err == nil {
				f.inMonths = nil
			}
			return f.inMonths != nil
		})
	default:
		return false
	}
	begin, read := r.i, 0
	g := &phrase{interval: time.Minute} // a time of day may be that of an interval
	for before := -1; before != r.i; {
		before = r.i
		for _, one := range []func(*phrase) (bool, error){r.between, r.beginning, r.ending} {
			if err := r.afterComma(g, one); err != nil {
				r.i = begin
				return false
			}
		}
		read++
	}
	r.take(",")
	back := r.i
	found, err := r.when(&phrase{})
	if r.i = back; !found && err == nil || read < 2 {
		r.i = begin
		return false
	}
	f.from, f.until, f.window, f.zone = g.from, g.until, g.window, g.zone
	return true
}

// clockBeforeDay reads "9am" of "9am every weekday"; nil if no day follows.
func (r *reader) clockBeforeDay() *timeOfDay {
	begin := r.i
	if c, err := r.clock(false); c != nil && err == nil {
		back := r.i
		found, err := r.when(&phrase{})
		if r.i = back; found && err == nil {
			return c
		}
	}
	r.i = begin
	return nil
}

// clockAfterAt reads "at 9:30"; nil if that does not come next.
func (r *reader) clockAfterAt() (c *timeOfDay, err error) {
	begin := r.i
	if r.takeOne("at", "@", "around") == "" {
		return nil, nil
	}
	r.takeOne("exactly", "precisely", "about", "around", "approximately", "roughly")
	if c, err = r.clock(true); c == nil {
		r.i = begin
		return nil, err
	}
	r.takeOne("sharp", "exactly", "precisely", "prompt")
	return c, err
}

// tail reads what may follow a day: its part, the time of day and the zone, in
// any order.
func (r *reader) tail(f *phrase) error {
	for before := -1; before != r.i; {
		before = r.i
		if f.part == "" {
			f.part = r.dayPart()
		}
		if f.clock == nil {
			var err error
			r.try(func() bool {
				r.take(",")
				if f.clock, err = r.clockAfterAt(); f.clock == nil && err == nil {
					f.clock, err = r.clock(false)
				}
				return f.clock != nil
			})
			if err != nil {
				return err
			}
		}
		if f.clock != nil {
			if err := r.moreClocks(f); err != nil {
				return err
			}
		}
		if f.clock != nil && f.zone == "" {
			zone, err := r.readZone()
			if err != nil {
				return err
			}
			f.zone = zone
		}
	}
	return nil
}

// moreClocks reads further times of day: "and 17:00", ", 13:00 and 17".
func (r *reader) moreClocks(f *phrase) (err error) {
	for r.try(func() bool {
		comma := r.take(",")
		if r.takeOne("and", "&") == "" && !comma {
			return false
		}
		c, failed := r.clockAfterAt()
		if c == nil && failed == nil {
			c, failed = r.clock(false)
		}
		bare := c == nil && failed == nil && isDigits(r.peek(0)) && len(r.peek(0)) < 3
		if bare {
			if c, failed = r.clock(true); c == nil && failed == nil {
				return false // 3 hours, 5 %
			}
		}
		if failed != nil {
			err = failed
			return false
		}
		if c == nil {
			return false
		}
		c.part = r.dayPart()
		if bare && c.hourAlone && f.often.n == 0 && c.part == "" && len(f.more) == 0 && !r.closes() {
			if comma {
				return false
			}
			err = unclear("Is %q a second time? Write it with minutes. For example: every day at 9:00 and %d:00.", c.said, c.hour)
			return false
		}
		f.more = append(f.more, c)
		return true
	}) {
	}
	return err
}

// closes reports whether what follows a number shows that it is a time of day.
func (r *reader) closes() bool {
	return slices.Contains([]string{"", ",", ".", ":", ";", "!", "?", "and", "&", "every", "each", "on", "in", "from", "starting", "beginning", "until", "till",
		"except", "for", "utc", "to", "o'clock"}, r.peek(0)) || strings.Contains(r.peek(0), "/")
}

// dayPart reads "in the morning", "at night" or "mornings"; "" for none.
func (r *reader) dayPart() (part string) {
	r.try(func() bool {
		if !r.take("in", "the") && r.peek(0) == "at" && strings.HasPrefix(r.peek(1), "night") {
			r.i++
		}
		part = strings.TrimSuffix(r.takeOne("morning", "mornings", "afternoon", "afternoons", "evening", "evenings", "night", "nights"), "s")
		return part != ""
	})
	return part
}

// when reads the day or the repetition, and goes back if there is none.
func (r *reader) when(f *phrase) (found bool, err error) {
	begin := r.i
	defer func() {
		if !found {
			r.i = begin
		}
	}()
	switch {
	case r.takeOne("every", "each") != "":
		return r.every(f)
	case r.howOften(f):
		return r.perPeriod(f)
	case isAdjective(r.peek(0)), (r.peek(0) == "bi" || r.peek(0) == "half" || r.peek(0) == "semi") && r.peek(1) == "-":
		return r.adjective(f)
	case r.take("each", "and", "every"), r.peek(0) == "on" && (r.peek(1) == "every" || r.peek(1) == "each") && r.take("on", r.peek(1)):
		return r.every(f)
	case r.take("all", "weekdays"), r.take("all", "workdays"):
		f.repeated = onWeekdays("1-5")
		return true, nil
	case r.take("in"):
		return r.relative(f)
	case r.take("the", "day", "after", "tomorrow"), r.take("day", "after", "tomorrow"):
		return f.onDay("that day", inDays(2))
	case r.take("tomorrow"):
		return f.onDay("tomorrow", inDays(1))
	case r.take("today"):
		return f.onDay("today", inDays(0))
	case r.take("tonight"):
		f.tonight, f.part = true, "night"
		return f.onDay("tonight", inDays(0))
	case r.try(func() bool {
		n, ok := r.number()
		unit := r.unit()
		if ok = ok && unit != "" && r.take("from", "now"); ok {
			found, err = f.after(n, false, unit)
		}
		return ok
	}):
		return found, err
	}
	on := r.take("on")
	switch {
	case r.takeOne("next", "this", "coming") != "":
		return r.nextOrThis(f, r.tokens[r.i-1].text)
	case r.takeOne("weekdays", "workdays") != "":
		f.repeated = onWeekdays("1-5")
		f.adjective = !on
		return true, nil
	case r.take("weekends"), on && r.take("the", "weekends"):
		f.repeated = onWeekdays("0,6")
		f.adjective = !on
		return true, nil
	}
	if on && slices.Contains([]string{"business", "working", "work"}, r.peek(0)) {
		days, _, ok := r.dayItems()
		f.repeated = onWeekdays(weekdayField(days))
		return ok, nil
	}
	if found, err = r.namedDays(f, on); found || err != nil {
		return found, err
	}
	return r.date(f, on)
}

// howOften reads "once a", "twice per" and "three times each".
func (r *reader) howOften(f *phrase) bool {
	n := 0
	return r.try(func() bool {
		switch {
		case r.take("once"):
			n = 1
		case r.take("twice"):
			n = 2
		default:
			var ok bool
			if n, ok = r.number(); !ok || !r.take("times") {
				return false
			}
		}
		if r.takeOne("a", "an", "per", "every", "each") == "" && (n == 1 || r.peek(0) != "daily") {
			return false
		}
		f.often.n = n
		return true
	})
}

// perPeriod reads what follows "twice a".
func (r *reader) perPeriod(f *phrase) (bool, error) {
	n, unit := f.often.n, units[r.peek(0)]
	if r.peek(0) == "daily" {
		unit = UnitDay
	}
	if n < 2 {
		return r.every(f)
	}
	switch {
	case unit == "hour" && n <= 60 && 60%n == 0:
		r.i++
		f.often = often{}
		return f.each(60/n, "minute", false)
	case unit == UnitDay || unit == UnitWeek || unit == UnitMonth:
	default:
		return false, unclear("At which %d times? For example: every day at 9:00 and 17:00.", n)
	}
	f.often.unit = unit
	found, err := true, error(nil)
	if r.take("daily") {
		f.repeated = onWeekdays("*")
	} else {
		found, err = r.every(f)
	}
	if found && err == nil {
		example := map[string]string{UnitDay: "every day at 9:00 and 17:00", UnitWeek: "every Monday and Thursday at 9:00", UnitMonth: "on the 1st and 15th of every month at 9:00"}[unit]
		if f.problem = unclear("At which %d times? For example: %s.", n, example); f.clock != nil || r.hasClock() && (unit == UnitDay || f.repeated.undated == "") {
			f.problem = nil
		}
	}
	return found, err
}

// hasClock reports whether a time of day comes next.
func (r *reader) hasClock() bool {
	back := r.i
	defer func() { r.i = back }()
	g := &phrase{often: often{n: 2}}
	return r.tail(g) == nil && g.clock != nil
}

func isAdjective(w string) bool {
	return slices.Contains([]string{"hourly", "daily", "nightly", "weekly", "biweekly", "fortnightly", "monthly", "bimonthly", "semimonthly", "semiweekly", "quarterly",
		"yearly", "annually", "biannually", "biennially", "semiannually", "halfyearly", "semiyearly", "biyearly"}, w)
}

// adjective reads "daily" and the like, which may be said of something else.
func (r *reader) adjective(f *phrase) (bool, error) {
	var err error
	f.adjective = true
	word := r.peek(0)
	if r.i++; word == "bi" || word == "half" || word == "semi" {
		r.i++
		if word += r.peek(0); !isAdjective(word) {
			return false, nil
		}
		r.i++
	}
	switch word {
	case "hourly":
		f.interval = time.Hour
	case "daily", "nightly":
		f.repeated = onWeekdays("*")
		if word == "nightly" {
			f.part = "night"
		}
	case "weekly":
		r.weekly(f)
	case "biweekly", "fortnightly":
		r.weekly(f)
		_, err = f.eachNth(2, UnitWeek)
	case "monthly":
		_, err = r.monthly(f)
	case "quarterly":
		_, err = r.quarterly(f)
	case "yearly", "annually":
		_, err = r.yearly(f)
	case "semiannually", "halfyearly", "semiyearly", "biannually":
		if err = unclear("On which dates, and at what time? For example: every 6 months on the 1st at 9:00."); r.peek(0) == "on" || r.peek(0) == "at" {
			return false, err
		}
	default:
		if err = unclear("%s can mean twice in it or every second. For example: every 2 months on the 1st at 9:00, or on the 1st and 15th of every month at 9:00.", word); r.peek(0) == "on" || r.peek(0) == "at" {
			return false, err
		}
	}
	if err != nil {
		f.problem = err // asked only if there is no other time
	}
	return true, nil
}

var errOneTime = unclear("One time for one duty, please: I find several. Make a duty for each, for example: every Monday at 9:30.")

// leftover refuses what goes on with the time but was not understood, so that
// half of a wish is not taken for the whole.
func (r *reader) leftover(f *phrase) error {
	begin := r.i
	defer func() { r.i = begin }()
	r.take(",")
	glued := r.glued(0)
	joined := r.takeOne("and", "or", "&", "-", "–", "to", "through", "plus", "until", "till", "unless", "except", "excluding", "but", "for", "from",
		"starting", "beginning", "between")
	limit := unclear("What happens once has no last day, hours or exceptions. For example: every weekday at 9:30 until the end of March.")
	if f.repeats() {
		limit = unclear("I do not understand within which limits. For example: every weekday at 9:30 from 7 December until 31 January.")
	}
	switch joined {
	case "until", "till", "unless", "except", "excluding":
		return limit
	case "but":
		if r.take("not") {
			return limit
		}
	case "for":
		if r.take("the"); r.takeOne("next", "coming", "following") != "" && r.unit() != "" {
			return limit
		}
		if n, ok := r.number(); ok && n > 0 && r.unit() != "" {
			return limit
		}
		return nil
	case "from", "starting", "beginning", "between":
		if r.takeOne("from", "on"); r.goesOn(true) || isDigits(r.peek(0)) {
			return limit
		}
		return nil
	case "or":
		if r.peek(0) == "if" {
			return limit
		}
	case "":
		if r.peek(0) == "in" && slices.Contains([]string{"winter", "summer", "spring", "autumn", "fall"}, r.peek(1)) {
			return limit
		}
	case "-", "–":
		if !glued {
			return nil
		}
	}
	if r.goesOn(joined != "") || joined == "or" && isDigits(r.peek(0)) {
		return errOneTime
	}
	return nil
}

// goesOn reports whether another time comes next. After a word that joins, less
// is enough to be one.
func (r *reader) goesOn(joined bool) bool {
	begin := r.i
	defer func() { r.i = begin }()
	if c, err := r.clockAfterAt(); c != nil || err != nil {
		return true
	}
	if c, err := r.clock(false); c != nil || err != nil {
		return true
	}
	if isWeekday(r.peek(0)) && (r.peek(1) == "at" || r.peek(1) == "@") {
		return true
	}
	if joined {
		if isWeekday(r.peek(0)) || r.peek(0) == "weekends" {
			return true
		}
		if next := r.peek(1); isDigits(r.peek(0)) && len(r.peek(0)) < 3 && (next == "" || strings.ContainsAny(next, ",.:;!?")) {
			return true
		}
	}
	if !slices.Contains([]string{"every", "each", "on", "in", "next", "this", "tomorrow", "today", "tonight", "weekdays"}, r.peek(0)) {
		return false
	}
	found, err := r.when(&phrase{})
	return found || err != nil
}
