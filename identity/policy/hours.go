package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// hours are the times of a week in which a grant holds, by the clock on the wall
// of a place.
type hours struct {
	days  [7]bool  // by time.Weekday: the day on which a span begins
	spans [][2]int // minutes of the day, from and until; until is less than from over midnight
	place *time.Location
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseHours reads "DAYS TIMES ZONE": DAYS are weekdays and ranges of them,
// parted by commas, or daily; TIMES are ranges HH:MM-HH:MM, parted by commas; one
// that ends before it begins goes on over midnight. The end does not belong to it.
func parseHours(text string) (hours, error) {
	var h hours
	words := strings.Fields(text)
	if len(words) != 3 || len(text) > 200 {
		return h, fmt.Errorf("%q must be weekdays, times and a zone, such as mon-fri 09:00-18:00 Europe/Berlin", cut(text))
	}
	if err := h.readDays(strings.ToLower(words[0])); err != nil {
		return h, err
	}
	for _, span := range strings.Split(words[1], ",") {
		from, until, _ := strings.Cut(span, "-")
		a, okA := minutes(from)
		b, okB := minutes(until)
		if !okA || !okB || a == b || a == 24*60 {
			return h, fmt.Errorf("%q must be times such as 09:00-18:00 or 22:00-06:00; a whole day is 00:00-24:00", cut(span))
		}
		h.spans = append(h.spans, [2]int{a, b})
	}
	if words[2] == "Local" { // differs from machine to machine
		return h, fmt.Errorf("%q is not a time zone such as Europe/Berlin", words[2])
	}
	var err error
	if h.place, err = time.LoadLocation(words[2]); err != nil {
		return h, fmt.Errorf("%q is not a time zone such as Europe/Berlin", cut(words[2]))
	}
	return h, nil
}

func (h *hours) readDays(text string) error {
	if text == "daily" {
		text = "mon-sun"
	}
	for _, part := range strings.Split(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		a, b := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if !ranged {
			b = a
		}
		if a < 0 || b < 0 {
			return fmt.Errorf("%q must be weekdays such as mon-fri or sat,sun, or daily", cut(part))
		}
		for d := a; ; d = (d + 1) % 7 {
			h.days[d] = true
			if d == b {
				break
			}
		}
	}
	return nil
}

// minutes reads HH:MM, up to 24:00.
func minutes(text string) (int, bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	n := [4]int{}
	for i, c := range []byte{text[0], text[1], text[3], text[4]} {
		if c < '0' || c > '9' {
			return 0, false
		}
		n[i] = int(c - '0')
	}
	h, m := n[0]*10+n[1], n[2]*10+n[3]
	return h*60 + m, m < 60 && (h < 24 || h == 24 && m == 0)
}

// hold tells whether at is in these hours.
func (h hours) hold(at time.Time) bool {
	wall := at.In(h.place)
	now, today := wall.Hour()*60+wall.Minute(), int(wall.Weekday())
	yesterday := (today + 6) % 7
	for _, s := range h.spans {
		over := s[1] < s[0]
		switch {
		case !over && h.days[today] && now >= s[0] && now < s[1],
			over && h.days[today] && now >= s[0],
			over && h.days[yesterday] && now < s[1]:
			return true
		}
	}
	return false
}
