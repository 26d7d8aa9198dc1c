package scheduler

import (
	"slices"
	"strings"
	"time"
)

// phrase reads one time from here on; nil if none begins here.
func (r *reader) phrase() (*phrase, error) {
	f := &phrase{}
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
	found, err := r.when(f)
	switch {
	case err != nil:
		return nil, err
	case !found && c == nil:
		return nil, nil
	case !found && c.bare && c.hourAlone && f.part == "":
		f.problem = unclear("On which day, and is it %d:00 or %d:00? For example: tomorrow at %d:00.", c.hour, (c.hour+12)%24, c.hour)
	case f.clock != nil && (f.interval != 0 || f.ahead != nil && f.ahead.span != 0):
		return nil, unclear("Either a time of day or a distance, not both. For example: every day at 9:30, or in 20 minutes.")
	case f.interval == 0 && (f.ahead == nil || f.ahead.span == 0):
		if err := r.tail(f); err != nil {
			return nil, err
		}
	}
	f.adjective = f.adjective && f.clock == nil
	if !f.whole() && !f.repeats() { // only mentioned
		return f, nil
	}
	return f, r.leftover()
}

// clockAfterAt reads "at 9:30"; nil if that does not come next.
func (r *reader) clockAfterAt() (c *timeOfDay, err error) {
	begin := r.i
	if r.takeOne("at", "@", "around") == "" {
		return nil, nil
	}
	if c, err = r.clock(true); c == nil {
		r.i = begin
	}
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
	case r.takeOne("every", "each") != "", r.try(func() bool { return r.take("once") && r.takeOne("a", "an", "per", "every", "each") != "" }):
		return r.every(f)
	case r.peek(0) == "twice" && slices.Contains([]string{"a", "per", "every", "each"}, r.peek(1)):
		return false, unclear("At which two times? Make a duty for each, for example: every day at 9:00.")
	case slices.Contains([]string{"hourly", "daily", "nightly", "weekly", "monthly", "yearly"}, r.peek(0)):
		return r.adjective(f)
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
		f.repeated = &repeated{"*", "*", "1-5"}
		f.adjective = !on
		return true, nil
	case r.take("weekends"), on && r.take("the", "weekends"):
		f.repeated = &repeated{"*", "*", "0,6"}
		f.adjective = !on
		return true, nil
	}
	if found, err = r.namedDays(f, on); found || err != nil {
		return found, err
	}
	return r.date(f, on)
}

// adjective reads "daily" and the like, which may be said of something else.
func (r *reader) adjective(f *phrase) (bool, error) {
	f.adjective = true
	word := r.takeOne("hourly", "daily", "nightly", "weekly", "monthly", "yearly")
	read := map[string]func(*phrase) (bool, error){"weekly": r.weekly, "monthly": r.monthly, "yearly": r.yearly}[word]
	switch {
	case word == "hourly":
		f.interval = time.Hour
	case read == nil:
		f.repeated = &repeated{"*", "*", "*"}
		if word == "nightly" {
			f.part = "night"
		}
	default:
		if found, err := read(f); !found {
			f.problem = err // asked only if there is no other time
		}
	}
	return true, nil
}

var errOneTime = unclear("One time for one duty, please: I find several. Make a duty for each, for example: every Monday at 9:30.")

// leftover refuses what goes on with the time but was not understood, so that
// half of a wish is not taken for the whole.
func (r *reader) leftover() error {
	begin := r.i
	defer func() { r.i = begin }()
	r.take(",")
	glued := r.glued(0)
	joined := r.takeOne("and", "or", "&", "-", "–", "to", "through", "plus", "until", "till", "unless", "except", "excluding", "but", "for", "from",
		"starting", "beginning", "between")
	limit := unclear("I cannot keep a duty within limits such as a first or last day, hours of the day, or exceptions. For example: every weekday at 9:30.")
	switch joined {
	case "until", "till", "unless", "except", "excluding":
		return limit
	case "but":
		if r.take("not") {
			return limit
		}
		return nil
	case "for":
		if n, ok := r.number(); ok && n > 0 && r.unit() != "" {
			return limit
		}
		return nil
	case "from", "starting", "beginning", "between":
		if r.takeOne("from", "on"); r.goesOn(true) || isDigits(r.peek(0)) {
			return limit
		}
		return nil
	case "-", "–":
		if !glued {
			return nil
		}
	}
	if r.goesOn(joined != "") {
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
