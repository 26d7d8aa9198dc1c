package memory

import (
	"strconv"
	"strings"
	"time"
)

// timeIn finds the time that the words of a query speak of: a month, a day of
// one, a year, or one counted from now. Both are zero where there is none. A
// month without a year is the last one that has begun by now.
func timeIn(said string, now time.Time) (from, until time.Time) {
	w := strings.Fields(said)
	for i, one := range w {
		if m, ok := monthNames[one]; ok {
			if one == "may" && !besideMay(w, i) || one == "march" && i > 0 && w[i-1] == "to" {
				continue
			}
			return monthIn(w, i, m, now)
		}
	}
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	for i, one := range w {
		next := ""
		if i+1 < len(w) {
			next = w[i+1]
		}
		switch {
		case one == "today":
			return day, day.AddDate(0, 0, 1)
		case one == "yesterday":
			return day.AddDate(0, 0, -1), day
		case one == "last" && next == "week":
			monday := day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
			return monday.AddDate(0, 0, -7), monday
		case one == "this" && next == "week":
			return day.AddDate(0, 0, -(int(day.Weekday())+6)%7), day.AddDate(0, 0, 1)
		case one == "last" && next == "month":
			first := day.AddDate(0, 0, 1-day.Day())
			return first.AddDate(0, -1, 0), first
		case one == "this" && next == "month":
			return day.AddDate(0, 0, 1-day.Day()), day.AddDate(0, 0, 1)
		case one == "last" && next == "year":
			return time.Date(now.Year()-1, 1, 1, 0, 0, 0, 0, now.Location()), time.Date(now.Year(), 1, 1, 0, 0, 0, 0, now.Location())
		}
		if isYear(one) {
			y, _ := strconv.Atoi(one)
			return time.Date(y, 1, 1, 0, 0, 0, 0, now.Location()), time.Date(y+1, 1, 1, 0, 0, 0, 0, now.Location())
		}
	}
	return time.Time{}, time.Time{}
}

// besideMay reports whether "may" at i is the month: next to a number, or after a
// preposition of time.
func besideMay(w []string, i int) bool {
	if i > 0 {
		switch w[i-1] {
		case "in", "of", "last", "early", "late", "mid", "since", "during", "by", "until", "before", "after":
			return true
		}
		if _, err := dayNumber(w[i-1]); err == nil {
			return true
		}
	}
	if i+1 < len(w) {
		_, err := dayNumber(w[i+1])
		return err == nil || isYear(w[i+1])
	}
	return false
}

// monthIn is the month m at w[i], or a day of it that stands beside it.
func monthIn(w []string, i int, m time.Month, now time.Time) (from, until time.Time) {
	year, day := 0, 0
	for _, j := range []int{i - 1, i + 1, i + 2} {
		if j < 0 || j >= len(w) {
			continue
		}
		if isYear(w[j]) {
			year, _ = strconv.Atoi(w[j])
		} else if d, err := dayNumber(w[j]); err == nil && day == 0 && j != i+2 {
			day = d
		}
	}
	if year == 0 {
		year = now.Year()
		if time.Date(year, m, max(day, 1), 0, 0, 0, 0, now.Location()).After(now) {
			year--
		}
	}
	if day > 0 {
		from = time.Date(year, m, day, 0, 0, 0, 0, now.Location())
		return from, from.AddDate(0, 0, 1)
	}
	from = time.Date(year, m, 1, 0, 0, 0, 0, now.Location())
	return from, from.AddDate(0, 1, 0)
}

// dayNumber reads the day of a month: "7", "7th".
func dayNumber(s string) (int, error) {
	for _, end := range []string{"st", "nd", "rd", "th"} {
		s = strings.TrimSuffix(s, end)
	}
	d, err := strconv.Atoi(s)
	if err != nil || d < 1 || d > 31 {
		return 0, strconv.ErrRange
	}
	return d, nil
}

var monthNames = func() map[string]time.Month {
	names := map[string]time.Month{"sept": time.September}
	for m := time.January; m <= time.December; m++ {
		name := strings.ToLower(m.String())
		names[name], names[name[:3]] = m, m
	}
	delete(names, "mar") // "mar" is a verb and a name as often as a month
	return names
}()
