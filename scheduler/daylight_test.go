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

// An independent computation: walk every minute of three years and look at the
// clock on the wall.
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	exprs := []string{"30 2 * * *", "0 0 * * *", "45 1 * * *", "30 9 * * 1-5", "15 23 * * 0,6", "0 3 1,15 * *", "*/20 2 * * *", "0 */2 * * *", "0 */24 * * *",
		"15 0-3 * * *", "59 23 31 12 *", "0 12 13 * 5", "0 * * * *", "*/15 * * * *", "30 0-23 * * 0", "0 * 30 12 *"}
	for _, c := range daylight {
		t.Run(c.zone, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			from := time.Date(c.from, 1, 1, 0, 0, 0, 0, time.UTC)
			want := wallWalk(exprs, loc, from, from.AddDate(3, 0, 0))
			for i, expr := range exprs {
				s := Schedule{Cron: expr, TZ: c.zone}
				calendar, err := s.calendar()
				if err != nil {
					t.Fatal(err)
				}
				at := from.Add(-time.Second)
				for n, due := range want[i] {
					if at = calendar.next(at); !at.Equal(due) {
						t.Errorf("%s: run %d at %v, want %v", expr, n, at.In(loc), due.In(loc))
						break
					}
				}
				if len(want[i]) == 0 {
					t.Errorf("%s: nothing was due in three years", expr)
				}
			}
		})
	}
}

// wallWalk lists, for each expression, the due times in [from, to).
func wallWalk(exprs []string, loc *time.Location, from, to time.Time) [][]time.Time {
	fields := make([][5]uint64, len(exprs))
	for i, expr := range exprs {
		for f, text := range strings.Fields(expr) {
			fields[i][f] = cronField(text, []int{0, 0, 1, 1, 0}[f], []int{59, 23, 31, 12, 6}[f])
		}
	}
	// fitting has a bit for each expression that fits what the wall shows.
	fitting := func(wall time.Time) (fit uint64) {
		_, month, day := wall.Date()
		hour, minute, _ := wall.Clock()
		weekday := wall.Weekday()
		for i, f := range fields {
			if f[0]>>minute&1 == 0 || f[1]>>hour&1 == 0 || f[3]>>month&1 == 0 {
				continue
			}
			byDay, byWeekday := f[2]>>day&1 == 1, f[4]>>weekday&1 == 1
			either := bits.OnesCount64(f[2]) < 31 && bits.OnesCount64(f[4]) < 7 // cron: where both are named, one will do
			if byDay && byWeekday || either && (byDay || byWeekday) {
				fit |= 1 << i
			}
		}
		return fit
	}
	var hourly uint64
	for i, f := range fields {
		if bits.OnesCount64(f[1]) == 24 {
			hourly |= 1 << i
		}
	}
	reading := func(at time.Time) time.Time {
		_, offset := at.In(loc).Zone()
		return at.Add(time.Duration(offset) * time.Second)
	}
	due := make([][]time.Time, len(exprs))
	latest := reading(from.Add(-time.Minute)) // the latest the clock has ever shown
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		wall := reading(at)
		now := fitting(wall) & hourly
		// Everything that the clock shows for the first time, or has jumped over.
		for w := latest.Add(time.Minute); !w.After(wall); w = w.Add(time.Minute) {
			now |= fitting(w) &^ hourly
			latest = w
		}
		for ; now != 0; now &= now - 1 {
			i := bits.TrailingZeros64(now)
			due[i] = append(due[i], at)
		}
	}
	return due
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
