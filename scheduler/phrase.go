package scheduler

import (
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// PhraseError says what is unclear about a time in plain words, and gives an
// example. It is worded for the person who wrote it.
type PhraseError struct{ Problem string }

func (e *PhraseError) Error() string { return e.Problem }

func unclear(format string, args ...any) error {
	return &PhraseError{fmt.Sprintf(format, args...)}
}

const (
	dayName  = `(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|satur|sat|sun)(?:day)?s?`
	clockAt  = `(?:\s*,?\s*(?:at|@)\s*(?P<clock>noon|midnight|\d{1,2}(?:[:.]\d{2})?\s*(?:a\.?m\.?|p\.?m\.?)?(?:\s*o'clock)?)(?:\b|$))`
	optClock = clockAt + `?`
	dayList  = `(?P<days>` + dayName + `(?:\s*(?:,|and|&|,\s*and)\s*` + dayName + `)*)`
)

// forms are the ways to say a time, tried in order; the first that occurs in the
// text wins.
var forms = []struct {
	re *regexp.Regexp
	to func(m map[string]string, now time.Time) (Schedule, error)
}{
	{form(`every\s+(?:other|second|third|two|three|\d+)\s+(?:weeks?|months?|` + dayName + `)|(?:last|first|second|third)\s+` + dayName + `\s+of`),
		func(map[string]string, time.Time) (Schedule, error) {
			return Schedule{}, unclear("I can repeat by minutes, hours, days, weekdays, days of the week and days of the month, but not by every second week or the last day of something. For example: every Friday at 16:00.")
		}},
	{form(`every\s+(?P<n>\d+)\s*(?P<unit>min(?:ute)?s?|hours?|h)`), everyN},
	{form(`every\s+(?P<unit>minute|hour)|(?P<unit2>hourly)`), everyN},
	{form(clockLead + `(?:every\s+(?:week|work(?:ing)?\s*)day|on\s+(?:weekdays|workdays)|weekdays|workdays)` + optClock), onDays("1-5")},
	{form(clockLead + `(?:every\s+weekend|on\s+weekends|weekends)` + optClock), onDays("0,6")},
	{form(clockLead + `(?:every\s+day|daily|each\s+day|every\s+(?P<part>morning|evening|noon))` + optClock), everyDay},
	{form(clockLead + `(?:every|each)\s+` + dayList + optClock), onNamedDays},
	{form(clockLead + `(?:every\s+week|weekly)\s+on\s+` + dayList + optClock), onNamedDays},
	{form(clockLead + `(?:on\s+)?(?P<days>(?:mon|tues|wednes|thurs|fri|satur|sun)days(?:\s*(?:,|and|&)\s*(?:mon|tues|wednes|thurs|fri|satur|sun)days)*)` + optClock), onNamedDays},
	{form(clockLead + `(?:on\s+)?the\s+(?P<dom>\d{1,2})(?:st|nd|rd|th)\s+of\s+(?:every|each|the)\s+month` + optClock), onDayOfMonth},
	{form(clockLead + `(?:every\s+month|monthly)\s+on\s+the\s+(?P<dom>\d{1,2})(?:st|nd|rd|th)?` + optClock), onDayOfMonth},
	{form(`(?:every\s+(?:week|month|year)|weekly|monthly|yearly)`), func(map[string]string, time.Time) (Schedule, error) {
		return Schedule{}, unclear("On which day, and at what time? For example: every Monday at 9:30, or on the 1st of every month at 10:00.")
	}},
	{form(`in\s+(?P<n>\d+|an?|one|two|three|half\s+an)\s+(?P<unit>min(?:ute)?s?|hours?|days?|weeks?)` + optClock), inSome},
	{form(clockLead + `(?:on\s+)?(?P<date>\d{4}-\d{2}-\d{2})` + optClock), onDate},
	{form(clockLead + `(?P<day>tomorrow|today|tonight)(?:\s+(?P<part>morning|noon|afternoon|evening))?` + optClock), onNearDay},
	{form(clockLead + `(?:on|next|this)\s+(?:next\s+)?(?P<day>` + dayName + `)` + optClock), onNextDay},
	{form(clockOnly), atClock},
}

// clockLead allows the time of day before the day: "at 9:30 every weekday".
const (
	clockLead = `(?:(?:at|@)\s*(?P<lead>noon|midnight|\d{1,2}(?:[:.]\d{2})?\s*(?:am|pm)?)\s+)?`
	clockOnly = `(?:at|@)\s*(?P<clock>noon|midnight|\d{1,2}(?:[:.]\d{2})\s*(?:a\.?m\.?|p\.?m\.?)?|\d{1,2}\s*(?:am|pm|o'clock))`
)

func form(re string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)(?:^|[\s,(])` + re + `(?:[\s,.;:!?)]|$)`)
}

// ParsePhrase finds a time in plain English words anywhere in text: "every
// weekday at 9:30", "tomorrow at 9", "in 20 minutes". Local times are those of
// zone tz. rest is the text without it. The error is a *PhraseError.
func ParsePhrase(text string, now time.Time, tz string) (s Schedule, rest string, err error) {
	loc, err := time.LoadLocation(tz)
	if err != nil || tz == "" {
		return Schedule{}, text, unclear("I do not know your time zone (%q); set it in your Slack profile.", tz)
	}
	for _, f := range forms {
		m := f.re.FindStringSubmatchIndex(text)
		if m == nil {
			continue
		}
		named := map[string]string{}
		for i, name := range f.re.SubexpNames() {
			if name != "" && m[2*i] >= 0 {
				named[name] = strings.ToLower(strings.TrimSpace(text[m[2*i]:m[2*i+1]]))
			}
		}
		if named["clock"] == "" {
			named["clock"] = named["lead"]
		}
		s, err = f.to(named, now.In(loc))
		if err != nil {
			return Schedule{}, text, err
		}
		s.TZ = tz
		if s.Cron == "" && !s.At.After(now) {
			return Schedule{}, text, unclear("%s is in the past.", s.At.In(loc).Format("Monday 2 January 2006 15:04"))
		}
		if err := s.Validate(); err != nil {
			return Schedule{}, text, unclear("I cannot keep to that time: %v.", err)
		}
		return s, trimRest(text[:m[0]], text[m[1]:]), nil
	}
	return Schedule{}, text, unclear("I find no time in that. Say it like: every weekday at 9:30, tomorrow at 9, in 20 minutes, on 2026-12-01 at 10:00.")
}

var joints = regexp.MustCompile(`(?i)^(?:\s*[,;:.!-]+)?\s*(?:please\b\s*,?\s*)?(?:(?:to|then|that you|that)\b\s*)?`)

// trimRest joins what stands around a time and takes off words that only led to it.
func trimRest(before, after string) string {
	before = strings.TrimRight(before, " ,;:(")
	after = joints.ReplaceAllString(after, "")
	return strings.TrimSpace(strings.TrimSpace(before) + " " + strings.TrimSpace(after))
}

// readClock reads a time of day; ok is false for none.
func readClock(text string) (hour, minute int, ok bool, err error) {
	text = strings.TrimSpace(strings.TrimSuffix(strings.ReplaceAll(text, ".m.", "m"), "o'clock"))
	text = strings.ReplaceAll(text, ".m", "m")
	switch text {
	case "":
		return 0, 0, false, nil
	case "noon":
		return 12, 0, true, nil
	case "midnight":
		return 0, 0, true, nil
	}
	digits := strings.TrimSpace(strings.TrimRight(text, "apm. "))
	half := strings.TrimSpace(text[len(digits):])
	h, m, _ := strings.Cut(strings.ReplaceAll(digits, ".", ":"), ":")
	if hour, err = strconv.Atoi(h); err != nil {
		return 0, 0, false, unclear("%q is not a time of day such as 9:30.", text)
	}
	if m != "" {
		if minute, err = strconv.Atoi(m); err != nil {
			return 0, 0, false, unclear("%q is not a time of day such as 9:30.", text)
		}
	}
	switch half {
	case "am", "pm":
		if hour < 1 || hour > 12 {
			return 0, 0, false, unclear("%q is not a time of day: with am or pm the hour goes from 1 to 12.", text)
		}
		hour %= 12
		if half == "pm" {
			hour += 12
		}
	}
	if hour > 23 || minute > 59 {
		return 0, 0, false, unclear("%q is not a time of day: it goes from 0:00 to 23:59.", text)
	}
	return hour, minute, true, nil
}

// needClock is readClock where a time of day must be given.
func needClock(m map[string]string, what string) (hour, minute int, err error) {
	text := m["clock"]
	if text == "" {
		text = map[string]string{"noon": "noon"}[m["part"]]
	}
	hour, minute, ok, err := readClock(text)
	if err == nil && !ok {
		err = unclear("At what time? For example: %s at 9:30.", what)
	}
	return hour, minute, err
}

func everyN(m map[string]string, _ time.Time) (Schedule, error) {
	n := 1
	if m["n"] != "" {
		var err error
		if n, err = strconv.Atoi(m["n"]); err != nil || n < 1 || n > 10_000 {
			return Schedule{}, unclear("%q is not a number of minutes or hours that I can count.", m["n"])
		}
	}
	unit := m["unit"] + m["unit2"]
	minutes := strings.HasPrefix(unit, "m")
	switch {
	case minutes && n == 1:
		return Schedule{Cron: "* * * * *"}, nil
	case minutes && n < 60 && 60%n == 0:
		return Schedule{Cron: fmt.Sprintf("*/%d * * * *", n)}, nil
	case minutes:
		return Schedule{Cron: fmt.Sprintf("@every %dm", n)}, nil
	case n == 1:
		return Schedule{Cron: "0 * * * *"}, nil
	}
	return Schedule{Cron: fmt.Sprintf("@every %dh", n)}, nil
}

func onDays(days string) func(map[string]string, time.Time) (Schedule, error) {
	return func(m map[string]string, _ time.Time) (Schedule, error) {
		h, min, err := needClock(m, "every weekday")
		return Schedule{Cron: fmt.Sprintf("%d %d * * %s", min, h, days)}, err
	}
}

func everyDay(m map[string]string, _ time.Time) (Schedule, error) {
	h, min, err := needClock(m, "every day")
	return Schedule{Cron: fmt.Sprintf("%d %d * * *", min, h)}, err
}

func onNamedDays(m map[string]string, _ time.Time) (Schedule, error) {
	h, min, err := needClock(m, "every "+m["days"])
	if err != nil {
		return Schedule{}, err
	}
	seen := map[int]bool{}
	for _, word := range regexp.MustCompile(dayName).FindAllString(m["days"], -1) {
		seen[int(dayOf(word))] = true
	}
	var days []string
	for d := range seen {
		days = append(days, strconv.Itoa(d))
	}
	sort.Strings(days)
	return Schedule{Cron: fmt.Sprintf("%d %d * * %s", min, h, strings.Join(days, ","))}, nil
}

func onDayOfMonth(m map[string]string, _ time.Time) (Schedule, error) {
	h, min, err := needClock(m, "on the 1st of every month")
	if err != nil {
		return Schedule{}, err
	}
	day, err := strconv.Atoi(m["dom"])
	if err != nil || day < 1 || day > 31 {
		return Schedule{}, unclear("A month has no %s day.", m["dom"])
	}
	if day > 28 {
		return Schedule{}, unclear("Not every month has a %s. Choose a day from the 1st to the 28th.", nth(day))
	}
	return Schedule{Cron: fmt.Sprintf("%d %d %d * *", min, h, day)}, nil
}

func inSome(m map[string]string, now time.Time) (Schedule, error) {
	n, half := 0, false
	switch m["n"] {
	case "a", "an", "one":
		n = 1
	case "two":
		n = 2
	case "three":
		n = 3
	default:
		if half = strings.HasPrefix(m["n"], "half"); half {
			break
		}
		var err error
		if n, err = strconv.Atoi(m["n"]); err != nil || n > 100_000 {
			return Schedule{}, unclear("%q is too far away.", m["n"])
		}
	}
	var at time.Time
	switch unit := m["unit"]; {
	case half && strings.HasPrefix(unit, "hour"):
		at = now.Add(30 * time.Minute)
	case strings.HasPrefix(unit, "m"):
		at = now.Add(time.Duration(n) * time.Minute)
	case strings.HasPrefix(unit, "hour"):
		at = now.Add(time.Duration(n) * time.Hour)
	case strings.HasPrefix(unit, "day"):
		at = now.AddDate(0, 0, n)
	default:
		at = now.AddDate(0, 0, 7*n)
	}
	if m["clock"] != "" {
		h, min, _, err := readClock(m["clock"])
		if err != nil {
			return Schedule{}, err
		}
		at = onDay(at, h, min)
	}
	if at.After(now.AddDate(10, 0, 0)) {
		return Schedule{}, unclear("That is more than ten years away.")
	}
	return Schedule{At: at}, nil
}

func onDate(m map[string]string, now time.Time) (Schedule, error) {
	day, err := time.ParseInLocation("2006-01-02", m["date"], now.Location())
	if err != nil {
		return Schedule{}, unclear("%s is not a day of the calendar.", m["date"])
	}
	h, min, err := needClock(m, "on "+m["date"])
	return Schedule{At: onDay(day, h, min)}, err
}

func onNearDay(m map[string]string, now time.Time) (Schedule, error) {
	day := now
	if m["day"] == "tomorrow" {
		day = now.AddDate(0, 0, 1)
	}
	if m["part"] != "" && m["part"] != "noon" && m["clock"] == "" || m["day"] == "tonight" && m["clock"] == "" {
		return Schedule{}, unclear("At what time %s? For example: %s at 9:30.", strings.TrimSpace(m["day"]+" "+m["part"]), m["day"])
	}
	h, min, err := needClock(m, m["day"])
	return Schedule{At: onDay(day, h, min)}, err
}

func onNextDay(m map[string]string, now time.Time) (Schedule, error) {
	h, min, err := needClock(m, "on "+m["day"])
	if err != nil {
		return Schedule{}, err
	}
	at := onDay(now.AddDate(0, 0, (int(dayOf(m["day"]))-int(now.Weekday())+7)%7), h, min)
	if !at.After(now) {
		at = onDay(at.AddDate(0, 0, 7), h, min)
	}
	return Schedule{At: at}, nil
}

func atClock(m map[string]string, now time.Time) (Schedule, error) {
	h, min, ok, err := readClock(m["clock"])
	if err == nil && !ok {
		err = errors.New("no time of day")
	}
	at := onDay(now, h, min)
	if !at.After(now) {
		at = onDay(now.AddDate(0, 0, 1), h, min)
	}
	return Schedule{At: at}, err
}

// onDay is the time of day on t's day, by the same rule for gaps and repeated
// times as schedules have.
func onDay(t time.Time, hour, minute int) time.Time {
	return instant(time.Date(t.Year(), t.Month(), t.Day(), hour, minute, 0, 0, time.UTC), t.Location()).In(t.Location())
}

func dayOf(word string) time.Weekday {
	for i, name := range weekdays {
		if strings.HasPrefix(strings.ToLower(name), strings.ToLower(word)[:3]) {
			return time.Weekday(i)
		}
	}
	return time.Sunday
}
