package scheduler

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// ordinals are days by their place in a period: "the first and third Monday of
// the month", "the last working day of every quarter".
type ordinals struct {
	dates, weekdays string // as in Cron
	last, mixed     bool   // all, or some, are counted from the end
	period          string // month, quarter, year; "": not said
	months          []time.Month
	again           bool // of every period, not of the present one
	following       bool // of this or the next period only
}

var laterOrdinals = []string{"sixth", "seventh", "eighth", "ninth", "tenth"}

// place reads "first", "2nd" or "last"; last is 0.
func (r *reader) place() (n int, ok bool) {
	if n, ok = r.ordinal(); ok {
		return n, true
	}
	if i := slices.Index(ordinalNames, r.peek(0)); i > 0 {
		r.i++
		if i == lastBit {
			i = 0
		}
		return i, true
	}
	if i := slices.Index(laterOrdinals, r.peek(0)); i >= 0 {
		r.i++
		return i + 6, true
	}
	return 0, false
}

// ordinals reads days by their place. nil if none come next.
func (r *reader) ordinals() (o *ordinals, err error) {
	r.try(func() bool {
		if r.takeOne("penultimate") != "" || r.take("second", "to", "last") || r.take("second", "last") || r.take("next", "to", "last") {
			if isWeekday(r.peek(0)) || slices.Contains([]string{"day", "working", "business", "weekday"}, r.peek(0)) {
				err = unclear("I count from the end of a month to its last days only, not to those before. For example: on the last Friday of every month at 9:00.")
			}
			return err != nil
		}
		var places []int
		for {
			n, ok := r.place()
			if !ok {
				return false
			}
			places = append(places, n)
			if !r.try(func() bool {
				comma := r.take(",")
				if r.takeOne("and", "&") == "" && !comma {
					return false
				}
				r.take("the")
				back := r.i
				_, ok := r.place()
				r.i = back
				return ok
			}) {
				break
			}
		}
		if o, err = r.placed(places); o == nil {
			return err != nil
		}
		r.period(o)
		return true
	})
	return o, err
}

// placed reads what kind of day is counted.
func (r *reader) placed(places []int) (*ordinals, error) {
	o := &ordinals{dates: "*", weekdays: "*", last: true}
	for _, n := range places {
		o.last, o.mixed = o.last && n == 0, o.mixed || n == 0
	}
	var items []string
	if d, _, _, ok := readWeekday(r.peek(0)); ok {
		r.i++
		for _, n := range places {
			switch {
			case n == 0:
				items = append(items, strconv.Itoa(int(d))+"L")
			case n > 5:
				return nil, unclear("No month has a %s %s.", nth(n), weekdays[d])
			default:
				items = append(items, strconv.Itoa(int(d))+"#"+strconv.Itoa(n))
			}
		}
		o.weekdays = strings.Join(items, ",")
		return o, nil
	}
	working := r.takeOne("weekday", "workday") != "" || r.try(func() bool { return r.takeOne("working", "work", "business") != "" && r.take("day") })
	if !working && !r.take("day") {
		return nil, nil
	}
	for _, n := range places {
		switch {
		case n == 0 && working:
			items = append(items, "LW")
		case n == 0:
			items = append(items, "L")
		case working && n != 1:
			return nil, unclear("Of the working days of a month I can count the first and the last only. For example: on the first working day of every month at 9:00.")
		case working:
			items = append(items, "1W")
		case n > 28:
			return nil, errNotEvery(n)
		default:
			items = append(items, strconv.Itoa(n))
		}
	}
	o.dates = strings.Join(items, ",")
	return o, nil
}

// period reads "of the month", "of every quarter" or "of March".
func (r *reader) period(o *ordinals) {
	r.try(func() bool {
		if r.takeOne("of", "in") == "" {
			return false
		}
		if o.months = r.months(); o.months != nil {
			o.period = "year"
			return true
		}
		switch r.takeOne("the", "a", "each", "every", "this", "next") {
		case "each", "every", "a":
			o.again = true
		case "this", "next":
			o.following = true
		}
		o.period = r.takeOne("month", "quarter", "year")
		return o.period != ""
	})
}

// onOrdinals makes it repeat on such days of each period.
func (f *phrase) onOrdinals(o *ordinals) (bool, error) {
	months := "*"
	switch {
	case o.following:
		return false, unclear("On which date is that? For example: on 2026-12-01 at 10:00.")
	case o.months != nil:
		months = field(o.months)
	case o.mixed && !o.last && (o.period == "quarter" || o.period == "year"):
		return false, unclear("The first days of a %s and its last are in different months. Make a duty for each, for example: on the last day of every quarter at 9:00.", o.period)
	case o.period == "quarter" && o.last:
		months = "3,6,9,12"
	case o.period == "quarter":
		months = "1,4,7,10"
	case o.period == "year" && o.last:
		months = "12"
	case o.period == "year":
		months = "1"
	}
	f.repeated = &repeated{dates: o.dates, months: months, weekdays: o.weekdays}
	return true, nil
}

// onPeriods is onOrdinals for what no "every" stands before, and may only be
// mentioned: of the month means of each, but of the year may mean once.
func (f *phrase) onPeriods(o *ordinals, on bool) (bool, error) {
	f.adjective = !o.again && !on
	if o.period == "year" && !o.again && !o.following {
		f.adjective = true
		f.problem = unclear("Every year, or once? For example: every year on the first Monday of March at 9:00, or on 2026-12-01 at 10:00.")
	}
	return f.onOrdinals(o)
}

// endOf reads "at the end of every month".
func (r *reader) endOf() *ordinals {
	o := &ordinals{dates: "L", weekdays: "*", last: true}
	if r.try(func() bool {
		r.takeOne("at", "by", "on")
		if r.take("month", "end") || r.take("month", "-", "end") {
			return true
		}
		r.take("the")
		if !r.take("end") || r.peek(0) != "of" {
			return false
		}
		r.period(o)
		return o.period != "" && o.months == nil && !o.following
	}) {
		return o
	}
	return nil
}
