package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// quiet are the hours of a week in which no run begins, by the clock on the wall
// of the duty's zone.
type quiet struct {
	days  [7]bool // by time.Weekday: the day on which a span begins
	spans [][2]int
}

var quietDays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseQuiet reads "DAYS TIMES", such as "mon-fri 22:00-07:00" or "sat,sun
// 00:00-24:00"; several are separated by "; ". Days may be left out, or daily, for
// all of them. A span that ends before it begins goes on over midnight. "" is
// never.
func parseQuiet(text string) ([]quiet, error) {
	var all []quiet
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ";") {
		words := strings.Fields(strings.ToLower(part))
		if len(words) == 1 {
			words = []string{"daily", words[0]}
		}
		if len(words) != 2 || len(text) > 200 {
			return nil, fmt.Errorf("%q must be weekdays and times, such as mon-fri 22:00-07:00", part)
		}
		var q quiet
		if words[0] == "daily" {
			words[0] = "mon-sun"
		}
		for _, days := range strings.Split(words[0], ",") {
			first, last, ranged := strings.Cut(days, "-")
			if !ranged {
				last = first
			}
			a, b := slices.Index(quietDays, first), slices.Index(quietDays, last)
			if a < 0 || b < 0 {
				return nil, fmt.Errorf("%q is not a weekday such as mon, or a range such as mon-fri", days)
			}
			for q.days[a] = true; a != b; q.days[a] = true {
				a = (a + 1) % 7
			}
		}
		for _, span := range strings.Split(words[1], ",") {
			from, until, _ := strings.Cut(span, "-")
			a, okA := minuteOfDay(from)
			b, okB := minuteOfDay(until)
			if !okA || !okB || a == b || a == 24*60 {
				return nil, fmt.Errorf("%q must be times such as 22:00-07:00; a whole day is 00:00-24:00", span)
			}
			q.spans = append(q.spans, [2]int{a, b})
		}
		all = append(all, q)
	}
	return all, nil
}

func minuteOfDay(text string) (int, bool) {
	if text == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil
}

// quietUntil is when the quiet that holds at t ends, the zero time if none holds.
// What is always quiet ends after two weeks, so that it is not for ever.
func quietUntil(text string, t time.Time, loc *time.Location) time.Time {
	all, err := parseQuiet(text)
	if err != nil || len(all) == 0 {
		return time.Time{}
	}
	end := t
	for end.Sub(t) < 14*day { // spans that touch are one
		until := spanEnd(all, end, loc)
		if !until.After(end) {
			break
		}
		end = until
	}
	if end.Equal(t) {
		return time.Time{}
	}
	return end.UTC()
}

// spanEnd is the end of a span that holds at t, the zero time if none does.
func spanEnd(all []quiet, t time.Time, loc *time.Location) time.Time {
	wall := shown(t, loc)
	var latest time.Time
	for _, q := range all {
		for _, back := range []int{0, 1} { // a span of yesterday may go on over midnight
			began := wall.Truncate(day).AddDate(0, 0, -back)
			if !q.days[began.Weekday()] {
				continue
			}
			for _, s := range q.spans {
				from, until := began.Add(time.Duration(s[0])*time.Minute), began.Add(time.Duration(s[1])*time.Minute)
				if s[1] < s[0] {
					until = until.AddDate(0, 0, 1)
				}
				if !wall.Before(from) && wall.Before(until) {
					if at := instant(until, loc); at.After(latest) {
						latest = at
					}
				}
			}
		}
	}
	return latest
}
