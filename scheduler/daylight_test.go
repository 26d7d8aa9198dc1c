package scheduler

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// daylight names zones with every kind of change, and the year from which three
// years show it.
var daylight = []struct {
	zone string
	from int
}{
	{"Europe/Berlin", 2025},
	{"Europe/Dublin", 2025}, // winter is the exception there
	{"America/New_York", 2025},
	{"America/Sao_Paulo", 2016},   // midnight did not exist
	{"America/Havana", 2025},      // nor does it here, and the hour before it repeats
	{"America/Asuncion", 2023},    // the rules changed
	{"Africa/Cairo", 2022},        // came back to daylight saving
	{"Africa/Casablanca", 2025},   // four changes a year
	{"Antarctica/Troll", 2025},    // two hours at once
	{"Australia/Lord_Howe", 2025}, // half an hour, in the south
	{"Asia/Kathmandu", 2025},      // no change, an odd offset
	{"Pacific/Apia", 2010},        // a whole day did not exist
	{"UTC", 2025},
}

// daylightDuties are schedules of every form.
var daylightDuties = []Schedule{
	{Cron: "30 2 * * *"}, {Cron: "0 0 * * *"}, {Cron: "45 1 * * *"}, {Cron: "30 9 * * 1-5"}, {Cron: "15 23 * * 0,6"}, {Cron: "0 3 1,15 * *"},
	{Cron: "*/20 2 * * *"}, {Cron: "0 */2 * * *"}, {Cron: "0 */24 * * *"}, {Cron: "15 0-3 * * *"}, {Cron: "59 23 31 12 *"}, {Cron: "0 12 13 * 5"},
	{Cron: "0 * * * *"}, {Cron: "*/15 * * * *"}, {Cron: "30 0-23 * * 0"}, {Cron: "0 * 30 12 *"},

	{Cron: "30 2 L * *"}, {Cron: "0 0 L 3,10 *"}, {Cron: "30 2 * * 0L"}, {Cron: "0 0 * * 0#2"}, {Cron: "30 2 * 3,10,11 0L"}, {Cron: "0 1 * * 1#1,5#3"},
	{Cron: "0 0 * * 6#5"}, {Cron: "30 1 1W * *"}, {Cron: "0 17 LW * *"}, {Cron: "15 0 15W,31W * *"}, {Cron: "0 12 L,1,15 * *"}, {Cron: "45 2 L * 3#2,4"},
	{Cron: "0 * L * *"}, {Cron: "*/30 * * * 0L"},

	{Cron: "30 2 * * *", Every: 2, Unit: UnitDay}, {Cron: "0 0 * * *", Every: 3, Unit: UnitDay}, {Cron: "0 * * * *", Every: 5, Unit: UnitDay},
	{Cron: "30 2 * * 0", Every: 2, Unit: UnitWeek}, {Cron: "0 0 * * 1,4", Every: 3, Unit: UnitWeek}, {Cron: "0 0 * * 6", Every: 1, Unit: UnitWeek},
	{Cron: "*/20 * * * 0", Every: 2, Unit: UnitWeek}, {Cron: "30 2 L * *", Every: 2, Unit: UnitMonth}, {Cron: "0 2 * * 0L", Every: 3, Unit: UnitMonth},
	{Cron: "0 0 1 * *", Every: 6, Unit: UnitMonth}, {Cron: "0 0 29 2 *", Every: 12, Unit: UnitMonth}, {Cron: "0 9 * * 1-5", Every: 10, Unit: UnitDay},

	{Cron: "30 9 * * 1;0 17 * * 1"}, {Cron: "30 2 * * *;0 3 * * *"}, {Cron: "0 0 * * *;0 * * * 0"}, {Cron: "0 0 L * *;0 0 1 * *;30 2 * * 0#2"},
	{Cron: "0 2 * * 0;30 2 * * *", Every: 2, Unit: UnitWeek}, {Cron: "0 1-3 * * *;30 1-3 * * 0;0 2 * * *"},
}

// anchored is a schedule in a zone, with a first day to count from.
func anchored(s Schedule, zone string, year int) Schedule {
	s.TZ = zone
	if s.Every > 1 {
		s.From = time.Date(year, 1, 9, 13, 30, 0, 0, time.UTC)
	}
	return s
}

// An independent computation: walk every minute of three years and look at the
// clock on the wall.
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	for _, c := range daylight {
		t.Run(c.zone, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			from := time.Date(c.from, 1, 1, 0, 0, 0, 0, time.UTC)
			var duties []Schedule
			for i, s := range daylightDuties {
				duties = append(duties, anchored(s, c.zone, c.from))
				if i%3 == 0 { // and once more with a first and a last instant somewhere
					s = anchored(s, c.zone, c.from)
					s.From, s.Until = from.AddDate(0, 2, 25+i%9), from.AddDate(1, 9, 24+i%11).Add(time.Duration(i)*37*time.Minute)
					duties = append(duties, s)
				}
			}
			for i, want := range wallWalk(duties, loc, from, from.AddDate(3, 0, 0)) {
				s := duties[i]
				calendar, err := s.calendar()
				if err != nil {
					t.Fatal(err)
				}
				at := from.Add(-time.Second)
				for n, due := range want {
					if at = calendar.next(at); !at.Equal(due) {
						t.Errorf("%+v: run %d at %v, want %v", s, n, at.In(loc), due.In(loc))
						break
					}
				}
				if at = calendar.next(at); len(want) > 0 && !at.IsZero() && at.Before(from.AddDate(3, 0, 0)) {
					t.Errorf("%+v: one more at %v", s, at.In(loc))
				}
				if len(want) == 0 && (s.Until.IsZero() && !strings.Contains(s.Cron, " 29 2 ")) {
					t.Errorf("%+v: nothing was due in three years", s)
				}
			}
		})
	}
}

// walked is a schedule as the walk looks at it.
type walked struct {
	Schedule
	rules   [][]string // the fields of each expression
	bits    [][5]uint64
	counted map[time.Time]bool // the days that count, midnights as UTC; nil: all
}

// wallWalk lists, for each schedule, the due times in [from, to).
func wallWalk(all []Schedule, loc *time.Location, from, to time.Time) [][]time.Time {
	reading := func(at time.Time) time.Time {
		_, offset := at.In(loc).Zone()
		return at.Add(time.Duration(offset) * time.Second)
	}
	var walks []walked
	for _, s := range all {
		w := walked{Schedule: s}
		for _, expr := range strings.Split(s.Cron, ";") {
			f := strings.Fields(expr)
			w.rules = append(w.rules, f)
			w.bits = append(w.bits, [5]uint64{cronField(f[0], 0, 59), cronField(f[1], 0, 23), 0, cronField(f[3], 1, 12), 0})
		}
		if s.Every > 1 {
			w.counted = countedDays(s, reading(s.From), reading(to))
		}
		walks = append(walks, w)
	}
	// onDay caches, for the day that the wall shows, which rules fit that day.
	var today time.Time
	var onDay [][2]int // schedule and rule
	fits := func(wall time.Time, each func(schedule int, hourly bool)) {
		if date := wall.Truncate(24 * time.Hour); !date.Equal(today) || onDay == nil {
			today, onDay = date, [][2]int{}
			for i, w := range walks {
				for r, f := range w.rules {
					if dayFits(f[2], f[4], date) && w.bits[r][3]>>date.Month()&1 == 1 && (w.counted == nil || w.counted[date]) {
						onDay = append(onDay, [2]int{i, r})
					}
				}
			}
		}
		hour, minute, _ := wall.Clock()
		for _, on := range onDay {
			if b := &walks[on[0]].bits[on[1]]; b[0]>>minute&1 == 1 && b[1]>>hour&1 == 1 {
				each(on[0], bits.OnesCount64(b[1]) == 24)
			}
		}
	}
	due := make([][]time.Time, len(all))
	latest := reading(from.Add(-time.Minute)) // the latest the clock has ever shown
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		add := func(i int) {
			n := len(due[i])
			if n > 0 && due[i][n-1].Equal(at) || at.Before(all[i].From) || !all[i].Until.IsZero() && at.After(all[i].Until) {
				return
			}
			due[i] = append(due[i], at)
		}
		wall := reading(at)
		fits(wall, func(i int, hourly bool) {
			if hourly {
				add(i)
			}
		})
		// Everything that the clock shows for the first time, or has jumped over.
		for w := latest.Add(time.Minute); !w.After(wall); w = w.Add(time.Minute) {
			fits(w, func(i int, hourly bool) {
				if !hourly {
					add(i)
				}
			})
			latest = w
		}
	}
	return due
}

// countedDays are the days that count, found by stepping from the first.
func countedDays(s Schedule, from, to time.Time) map[time.Time]bool {
	counted := map[time.Time]bool{}
	d := from.Truncate(24 * time.Hour)
	switch s.Unit {
	case "day":
		for ; d.Before(to.AddDate(0, 0, 2)); d = d.AddDate(0, 0, s.Every) {
			counted[d] = true
		}
	case "week":
		for d.Weekday() != time.Monday {
			d = d.AddDate(0, 0, -1)
		}
		for ; d.Before(to.AddDate(0, 0, 2)); d = d.AddDate(0, 0, 7*s.Every) {
			for i := range 7 {
				counted[d.AddDate(0, 0, i)] = true
			}
		}
	case "month":
		for d = d.AddDate(0, 0, 1-d.Day()); d.Before(to.AddDate(0, 0, 2)); d = d.AddDate(0, s.Every, 0) {
			for e := d; e.Month() == d.Month(); e = e.AddDate(0, 0, 1) {
				counted[e] = true
			}
		}
	}
	return counted
}

// dayFits looks at a page of the calendar: does the day stand in one of the two
// fields?
func dayFits(dates, weekdays string, d time.Time) bool {
	isLast := func(e time.Time) bool { return e.AddDate(0, 0, 1).Month() != e.Month() }
	working := func(e time.Time) bool { return e.Weekday() != time.Saturday && e.Weekday() != time.Sunday }
	byDate := false
	for _, item := range strings.Split(dates, ",") {
		switch n, err := strconv.Atoi(strings.TrimSuffix(item, "W")); {
		case item == "L":
			byDate = byDate || isLast(d)
		case strings.HasSuffix(item, "W"):
			// The nearest weekday of the month: look a day before and after, then two.
			for e := d.AddDate(0, 0, 1-d.Day()); e.Month() == d.Month(); e = e.AddDate(0, 0, 1) {
				if !(item == "LW" && isLast(e) || err == nil && e.Day() == n) {
					continue
				}
				for _, near := range []int{0, -1, 1, -2, 2} {
					if w := e.AddDate(0, 0, near); w.Month() == e.Month() && working(w) {
						byDate = byDate || w.Equal(d)
						break
					}
				}
			}
		default:
			byDate = byDate || cronField(item, 1, 31)>>d.Day()&1 == 1
		}
	}
	byWeekday := false
	for _, item := range strings.Split(weekdays, ",") {
		name, nth, ordinal := strings.Cut(item, "#")
		switch {
		case strings.HasSuffix(item, "L"):
			byWeekday = byWeekday || strconv.Itoa(int(d.Weekday()))+"L" == item && d.AddDate(0, 0, 7).Month() != d.Month()
		case ordinal:
			count := 0
			for e := d; e.Month() == d.Month(); e = e.AddDate(0, 0, -7) {
				count++
			}
			byWeekday = byWeekday || strconv.Itoa(int(d.Weekday())) == name && strconv.Itoa(count) == nth
		default:
			byWeekday = byWeekday || cronField(item, 0, 6)>>d.Weekday()&1 == 1
		}
	}
	if dates != "*" && weekdays != "*" { // cron: where both are named, one will do
		return byDate || byWeekday
	}
	return byDate && byWeekday
}

// cronField has a bit for each value of one field of a cron expression.
func cronField(text string, low, high int) (values uint64) {
	for _, part := range strings.Split(text, ",") {
		span, step, stepped := strings.Cut(part, "/")
		from, to, by := low, high, 1
		if a, b, ranged := strings.Cut(span, "-"); span != "*" {
			from, _ = strconv.Atoi(a)
			if to = from; ranged {
				to, _ = strconv.Atoi(b)
			}
		}
		if stepped {
			by, _ = strconv.Atoi(step)
		}
		for v := from; v <= to; v += by {
			values |= 1 << v
		}
	}
	return values
}

func TestADayThatDoesNotExist(t *testing.T) {
	t.Parallel()
	loc, err := time.LoadLocation("Pacific/Apia")
	if err != nil {
		t.Fatal(err)
	}
	// After 29 December 2011 came the 31st.
	got := Schedule{Cron: "0 9,17 * * *", TZ: "Pacific/Apia"}.Times(time.Date(2011, 12, 29, 12, 0, 0, 0, loc), 4)
	want := []time.Time{time.Date(2011, 12, 29, 17, 0, 0, 0, loc), time.Date(2011, 12, 31, 0, 0, 0, 0, loc),
		time.Date(2011, 12, 31, 9, 0, 0, 0, loc), time.Date(2011, 12, 31, 17, 0, 0, 0, loc)}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("due at %v, want %v", got, want)
	}
}
