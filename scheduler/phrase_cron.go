package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// repeated are the days of a schedule, as fields of cron.
type repeated struct {
	dates, months, weekdays string
	every                   int    // 0: all
	unit                    string // what every counts
	// undated is the week or month whose day was not said: that of the first day.
	undated string
}

func onWeekdays(weekdays string) *repeated {
	return &repeated{dates: "*", months: "*", weekdays: weekdays}
}

func (d *repeated) fields() string { return d.dates + " " + d.months + " " + d.weekdays }

// plainWeekdays are the days of the week; false if they are counted in the month.
func (d *repeated) plainWeekdays() ([]time.Weekday, bool) {
	switch d.weekdays {
	case "*":
		return []time.Weekday{0, 1, 2, 3, 4, 5, 6}, true
	case "1-5":
		return []time.Weekday{1, 2, 3, 4, 5}, true
	}
	var all []time.Weekday
	for _, item := range strings.Split(d.weekdays, ",") {
		n, err := strconv.Atoi(item)
		if err != nil {
			return nil, false
		}
		all = append(all, time.Weekday(n))
	}
	return all, true
}

// cron is the expression for all that repeats in f; first is the first day, zero
// if it was not said.
func (f *phrase) cron(first time.Time) (string, error) {
	if f.interval != 0 && f.repeated == nil && f.window == nil && f.offset == 0 {
		return intervalCron(f.interval), nil
	}
	days := onWeekdays("*")
	if f.repeated != nil {
		copied := *f.repeated
		days = &copied
	}
	switch days.undated {
	case UnitWeek:
		days.weekdays = strconv.Itoa(int(first.Weekday()))
	case UnitMonth:
		if first.Day() > 28 {
			return "", errNotEvery(first.Day())
		}
		days.dates = strconv.Itoa(first.Day())
	}
	if err := days.leaveOut(f.except, f.exceptMonths); err != nil {
		return "", err
	}
	set, err := f.timesOfDay()
	if err != nil {
		return "", err
	}
	all := timesCron(set, days.fields())
	for _, other := range f.also {
		more, err := other.cron(first)
		if err != nil {
			return "", err
		}
		all += ";" + more
	}
	return all, nil
}

// leaveOut takes days of the week and months out.
func (d *repeated) leaveOut(except []time.Weekday, months []time.Month) error {
	if len(except) > 0 {
		was, plain := d.plainWeekdays()
		if !plain || d.dates != "*" {
			return unclear("Days of the week can be left out of days of the week only, not of dates. For example: every weekday except Friday at 9:30.")
		}
		left := slices.DeleteFunc(slices.Clone(was), func(w time.Weekday) bool { return slices.Contains(except, w) })
		switch {
		case len(left) == 0:
			return unclear("That leaves no day. For example: every weekday except Friday at 9:30.")
		case len(left) == len(was):
			return unclear("%s is none of those days anyway. For example: every weekday except Friday at 9:30.", weekdays[except[0]])
		}
		d.weekdays = weekdayField(left)
	}
	if len(months) > 0 {
		var left []time.Month
		for m := time.January; m <= time.December; m++ {
			if !slices.Contains(months, m) && (d.months == "*" || slices.Contains(strings.Split(d.months, ","), strconv.Itoa(int(m)))) {
				left = append(left, m)
			}
		}
		if len(left) == 0 {
			return unclear("That leaves no month. For example: every Monday except in August at 9:30.")
		}
		d.months = field(left)
	}
	return nil
}

// timesOfDay has the minutes of a day at which it is due.
func (f *phrase) timesOfDay() (set [24 * 60]bool, err error) {
	if f.interval == 0 {
		for _, c := range f.clocks() {
			hour, minute, err := f.timeOfDay(c)
			if err != nil {
				return set, err
			}
			set[hour*60+minute] = true
		}
		return set, nil
	}
	step := int(f.interval / time.Minute)
	from, to := 0, 24*60-1
	switch w := f.window; {
	case w == nil && (24*60)%step != 0:
		return set, unclear("A day is not divided by %d minutes evenly. Say between which hours, for example: every %d minutes from 9:00 to 17:00 on weekdays.", step, step)
	case w == nil:
	default:
		from, to = w.from.hour*60+w.from.minute, w.to.hour*60+w.to.minute
		if w.to.midnight {
			to = 24 * 60
		}
		if to < from && f.repeated != nil {
			return set, unclear("From %s to %s goes over midnight, into another day. Make two duties, or name no days. For example: every hour from 22:00 to 6:00.", clockWords(from), clockWords(to))
		}
		if to < from {
			to += 24 * 60
		}
	}
	for t := from + f.offset; t <= to; t += step {
		set[t%(24*60)] = true
	}
	return set, nil
}

// timesCron writes times of day as cron expressions for the same days: one for all
// hours that have the same minutes.
func timesCron(set [24 * 60]bool, days string) string {
	var minutes [24]string
	for hour := range minutes {
		var all []int
		for minute := range 60 {
			if set[hour*60+minute] {
				all = append(all, minute)
			}
		}
		minutes[hour] = evenField(all, 60)
	}
	var expressions []string
	for hour, of := range minutes {
		if of == "" || slices.Index(minutes[:], of) != hour {
			continue
		}
		var hours []int
		for h := range minutes {
			if minutes[h] == of {
				hours = append(hours, h)
			}
		}
		expressions = append(expressions, of+" "+evenField(hours, 24)+" "+days)
	}
	return strings.Join(expressions, ";")
}

// evenField lists values below size as a field of cron, with "*", "*/n" or "a-b"
// where that says the same.
func evenField(values []int, size int) string {
	last := len(values) - 1
	if last > 0 {
		step := values[1] - values[0]
		even := true
		for i, v := range values {
			even = even && v == values[0]+i*step
		}
		switch {
		case !even || last == 1 && size == 24:
		case step == 1 && len(values) == size:
			return "*"
		case values[0] == 0 && size%step == 0 && len(values) == size/step:
			return fmt.Sprintf("*/%d", step)
		case step == 1 && last > 1:
			return fmt.Sprintf("%d-%d", values[0], values[last])
		}
	}
	return field(values)
}

func intervalCron(d time.Duration) string {
	minutes := int(d / time.Minute)
	switch {
	case minutes == 1:
		return "* * * * *"
	case minutes == 60:
		return "0 * * * *"
	case minutes < 60 && 60%minutes == 0:
		return fmt.Sprintf("*/%d * * * *", minutes)
	case minutes%60 == 0:
		return fmt.Sprintf("@every %dh", minutes/60)
	}
	return fmt.Sprintf("@every %dm", minutes)
}
