package monitor

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones by name, also where the machine has none
)

// hours are the times at which work is expected. The zero value is always.
type hours struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes of the day; to is exclusive and may be before from: over midnight
	zone     *time.Location
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseHours reads "mon-fri 09:00-18:00 Europe/Berlin"; days may also be joined
// with +, such as "mon-wed+fri". "" is always.
func parseHours(text string) (hours, error) {
	if text == "" {
		return hours{}, nil
	}
	h := hours{}
	wrong := fmt.Errorf("hours %q must look like \"mon-fri 09:00-18:00 Europe/Berlin\"", text)
	parts := strings.Fields(strings.ToLower(text))
	if len(parts) != 3 {
		return h, wrong
	}
	for _, span := range strings.Split(parts[0], "+") {
		first, last, isSpan := strings.Cut(span, "-")
		from, err := weekday(first)
		if err != nil {
			return h, errors.Join(wrong, err)
		}
		to := from
		if isSpan {
			if to, err = weekday(last); err != nil {
				return h, errors.Join(wrong, err)
			}
		}
		for d := from; ; d = (d + 1) % 7 {
			h.days[d] = true
			if d == to {
				break
			}
		}
	}
	begin, end, ok := strings.Cut(parts[1], "-")
	from, err1 := time.Parse("15:04", begin)
	to, err2 := time.Parse("15:04", end)
	if end == "24:00" {
		to, err2 = time.Time{}, nil
	}
	if !ok || err1 != nil || err2 != nil || begin == end {
		return h, wrong
	}
	h.from, h.to = from.Hour()*60+from.Minute(), to.Hour()*60+to.Minute()
	if end == "24:00" {
		h.to = 24 * 60
	}
	var err error
	if h.zone, err = time.LoadLocation(strings.Fields(text)[2]); err != nil {
		return h, fmt.Errorf("hours %q: %w", text, err)
	}
	return h, nil
}

func weekday(name string) (int, error) {
	for i, d := range weekdays {
		if d == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is none of sun, mon, tue, wed, thu, fri, sat", name)
}

// open reports whether t is within the hours. A span over midnight belongs to
// the day on which it begins.
func (h hours) open(t time.Time) bool {
	if h.zone == nil {
		return true
	}
	t = t.In(h.zone)
	minute, day := t.Hour()*60+t.Minute(), int(t.Weekday())
	if h.from < h.to {
		return h.days[day] && minute >= h.from && minute < h.to
	}
	return h.days[day] && minute >= h.from || h.days[(day+6)%7] && minute < h.to
}
