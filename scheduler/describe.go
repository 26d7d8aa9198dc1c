package scheduler

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var weekdays = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

// Describe says the schedule in plain words: "every weekday at 09:30
// (Europe/Berlin)". What has no plain words is given as its cron expression.
func (s Schedule) Describe() string {
	if s.Cron != "" {
		return describeCron(s.Cron) + " (" + s.TZ + ")"
	}
	loc, err := loadZone(s.TZ)
	if err != nil || s.At.IsZero() {
		return "once"
	}
	return "once, on " + s.At.In(loc).Format("Monday 2 January 2006 at 15:04") + " (" + s.TZ + ")"
}

func describeCron(expr string) string {
	if long, ok := descriptors[expr]; ok {
		expr = long
	}
	if every, ok := strings.CutPrefix(expr, "@every "); ok {
		if d, err := time.ParseDuration(every); err == nil {
			return "every " + describeInterval(d)
		}
	}
	f := strings.Fields(expr)
	if len(f) != 5 {
		return "by " + expr
	}
	if minute, hour, ok := fixedTime(f[0], f[1]); ok {
		at := fmt.Sprintf(" at %02d:%02d", hour, minute)
		days, named := dayNames(f[4])
		dates, dated := dayNumbers(f[2])
		switch anyDay, anyMonth, anyWeekday := f[2] == "*", f[3] == "*", f[4] == "*"; {
		case !anyMonth:
		case anyDay && anyWeekday:
			return "every day" + at
		case anyDay && f[4] == "1-5":
			return "every weekday" + at
		case anyDay && f[4] == "0,6":
			return "every Saturday and Sunday" + at
		case anyDay && named:
			return "every " + days + at
		case anyWeekday && dated:
			return "on the " + dates + " of every month" + at
		}
	}
	if f[1] == "*" && f[2] == "*" && f[3] == "*" && f[4] == "*" {
		step, stepped := strings.CutPrefix(f[0], "*/")
		switch {
		case stepped:
			return "every " + step + " minutes"
		case f[0] == "0":
			return "every hour"
		case f[0] == "*":
			return "every minute"
		}
	}
	return "by the cron expression `" + expr + "`"
}

// descriptors are cron's names for five fields.
var descriptors = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

func fixedTime(minuteField, hourField string) (minute, hour int, ok bool) {
	minute, err1 := strconv.Atoi(minuteField)
	hour, err2 := strconv.Atoi(hourField)
	return minute, hour, err1 == nil && err2 == nil
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

func dayNames(field string) (string, bool) {
	var names []string
	for _, d := range strings.Split(field, ",") {
		if len(d) != 1 || d[0] < '0' || d[0] > '6' {
			return "", false
		}
		names = append(names, weekdays[d[0]-'0'])
	}
	return listed(names), true
}

func dayNumbers(field string) (string, bool) {
	var names []string
	for _, d := range strings.Split(field, ",") {
		n, err := strconv.Atoi(d)
		if err != nil {
			return "", false
		}
		names = append(names, nth(n))
	}
	return listed(names), true
}

// listed joins names as people do: "a, b and c".
func listed(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func nth(n int) string {
	switch {
	case n%10 == 1 && n != 11:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2 && n != 12:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3 && n != 13:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}
