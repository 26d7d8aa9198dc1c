package scheduler

import (
	"fmt"
	"regexp"
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

// ParsePhrase finds a time in plain English words anywhere in text: "every
// weekday at 9:30", "tomorrow at 9", "in 20 minutes". Local times are those of
// zone tz, or of a zone that the text names. rest is the text without the time.
//
// Of several times the first that is whole counts; what is quoted counts only if
// there is nothing else. A time that is not understood to its end is refused, so
// that nothing is promised that was not meant. The error is a *PhraseError.
func ParsePhrase(text string, now time.Time, tz string) (s Schedule, rest string, err error) {
	if _, err := loadZone(tz); err != nil {
		return Schedule{}, text, unclear("I do not know your time zone (%q); set it in your Slack profile.", tz)
	}
	if len(text) > mostPrompt {
		return Schedule{}, text, unclear("That is too long for me to find a time in.")
	}
	f, err := find(text, hide(text, quotes))
	if f == nil && err == nil {
		f, err = find(text, hide(text, links))
	}
	if f == nil && err == nil {
		err = unclear("I find no time in that. Say it like: every weekday at 9:30, tomorrow at 9, in 20 minutes, on 2026-12-01 at 10:00.")
	}
	if err != nil {
		return Schedule{}, text, err
	}
	if f.zone == "" {
		f.zone = tz
	}
	if s, err = f.schedule(now); err != nil {
		return Schedule{}, text, err
	}
	if err := s.Validate(); err != nil {
		return Schedule{}, text, unclear("I cannot keep to that time: %v.", err)
	}
	return s, join(text[:f.start], text[f.end:]), nil
}

// find gives the first time in text that is whole; nil for none. A time of day
// that is missing is asked for if the time repeats, or if there is no other; a
// day that is only mentioned beside a whole time is left alone. visible is text
// with some of it blanked out.
func find(text, visible string) (*phrase, error) {
	tokens := tokenize(visible)
	var missing, vague error
	var spare *phrase
	vagueUntil := -1 // where a day that is no whole time ended
	habit := ""      // "daily" or the like, said of something
	for i := 0; i < len(tokens); i++ {
		r := &reader{tokens: tokens, i: i}
		f, err := r.phrase()
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		f.start, f.end = tokens[i].start, tokens[r.i-1].end
		whole := f.whole()
		if whole && !f.adjective {
			switch {
			case i == vagueUntil && vague != nil: // next quarter, on Monday at 9
				return nil, vague
			case i == vagueUntil && f.ahead != nil: // Monday in two weeks at 9
				return nil, errOneTime
			case habit != "" && f.day == nil && f.ahead == nil && !f.repeats(): // the daily report at 9:00
				return nil, unclear("Once, or %s? For example: tomorrow at 9:00, or every day at 9:00.", habit)
			}
			return f, f.beside(tokens[:i])
		}
		switch {
		case f.adjective && isAdjective(tokens[i].text):
			habit = tokens[i].text
		case f.day != nil && f.problem != nil && f.clock != nil: // Monday to Thursday at 9
			return nil, f.problem
		case f.day != nil:
			vague, vagueUntil = f.problem, r.i
			if r.peek(0) == "," {
				vagueUntil++
			}
		}
		i = r.i - 1
		if whole {
			spare = f
			continue
		}
		if err = f.problem; err == nil {
			err = unclear("At what time? For example: %s at 9:30.", strings.TrimSpace(text[f.start:f.end]))
		}
		if f.repeats() && !f.adjective {
			return nil, err
		}
		if missing == nil {
			missing = err
		}
	}
	if spare != nil {
		return spare, nil
	}
	return nil, missing
}

var (
	links  = regexp.MustCompile("<[^<>]*>") // Slack's mentions and links
	quotes = regexp.MustCompile("<[^<>]*>|`[^`]*`|\"[^\"]*\"|“[^”]*”")
)

// hide blanks out what re finds, keeping the place of all else.
func hide(text string, re *regexp.Regexp) string {
	return re.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat(" ", len(s)) })
}

var (
	joint = regexp.MustCompile(`(?i)^[\s,;:.!–-]*(?:only\b[\s,]*)?(?:please\b[\s,]*)?`)
	leads = regexp.MustCompile(`(?i)^(?:to|then|that you|that)\b\s*`)
	trail = regexp.MustCompile(`(?i)^(?:please\s+)?(?:on|all|each and|(?:just\s+|only\s+)?once|only(?:\s+on)?|at\s+the\s+top\s+of)$`)
)

// join puts together what stands around a time, without words that only led to it.
func join(before, after string) string {
	before = trail.ReplaceAllString(strings.TrimRight(before, " \t\n,;:(–-"), "")
	after = joint.ReplaceAllString(after, "")
	if before == "" {
		after = leads.ReplaceAllString(after, "")
	}
	return strings.TrimSpace(strings.TrimSpace(before) + " " + strings.TrimSpace(after))
}

// phrase is a time that was found, as it was said. At most one of ahead, day and
// what repeats is set; with none it is a time of day alone.
type phrase struct {
	start, end int // bytes of the text

	interval time.Duration
	offset   int // the minute of an hour, of an interval of hours
	repeated *repeated
	ahead    *ahead
	day      func(today time.Time) (time.Time, error) // the day that is meant, midnight as UTC

	named     string       // the day in words, for questions
	weekly    bool         // a day of the week: the next one, if that of today has passed
	tonight   bool         // midnight ends the day
	adjective bool         // a word such as "daily" alone, which may be of something else
	clock     *timeOfDay   // nil: not said
	more      []*timeOfDay // further times of day
	part      string       // morning, afternoon, evening, night; "": not said
	zone      string       // "": the person's own
	problem   error        // why it cannot be whole

	// Only of what repeats.
	window       *window
	from, until  *bound
	lasting      *ahead // how long from the first day on
	times        int    // how often in all; 0: without end
	often        often
	inMonths     []time.Month // said before all else
	except       []time.Weekday
	exceptMonths []time.Month
	also         []*phrase // other days with times of their own
}

// often is "twice a day".
type often struct {
	n    int // 0: not said
	unit string
}

// ahead is a distance from now.
type ahead struct {
	months, days int
	span         time.Duration
}

func (f *phrase) repeats() bool { return f.interval != 0 || f.repeated != nil }

// whole reports whether nothing is missing.
func (f *phrase) whole() bool {
	return f.problem == nil && (f.clock != nil || f.interval != 0 || f.ahead != nil && f.part == "")
}

func (f *phrase) clocks() []*timeOfDay {
	if f.clock == nil {
		return nil
	}
	return append([]*timeOfDay{f.clock}, f.more...)
}

// schedule is when that is, said at now.
func (f *phrase) schedule(now time.Time) (Schedule, error) {
	loc, err := loadZone(f.zone)
	if err != nil {
		return Schedule{}, unclear("I cannot read the time zone: %v.", err)
	}
	if f.repeats() {
		return f.repeating(now, loc)
	}
	if len(f.more) > 0 {
		return Schedule{}, errOneTime
	}
	var hour, minute int
	if f.clock != nil {
		if hour, minute, err = f.timeOfDay(f.clock); err != nil {
			return Schedule{}, err
		}
	}
	at, err := f.once(now, hour, minute, loc)
	if err != nil {
		return Schedule{}, err
	}
	if !at.After(now) {
		if f.clock != nil && f.clock.bare && hour < 12 && at.Add(12*time.Hour).After(now) {
			return Schedule{}, unclear("%02d:%02d has passed. Do you mean %02d:%02d?", hour, minute, hour+12, minute)
		}
		return Schedule{}, unclear("%s is in the past.", at.In(loc).Format("Monday 2 January 2006 15:04"))
	}
	if at.After(now.AddDate(10, 0, 0)) {
		return Schedule{}, unclear("That is more than ten years away.")
	}
	return Schedule{At: at, TZ: f.zone}, nil
}

// repeating is the schedule of what repeats.
func (f *phrase) repeating(now time.Time, loc *time.Location) (Schedule, error) {
	if err := f.countTimes(); err != nil {
		return Schedule{}, err
	}
	s := Schedule{TZ: f.zone}
	first, err := f.begin(&s, now, loc)
	if err != nil {
		return Schedule{}, err
	}
	if s.Cron, err = f.cron(first); err != nil {
		return Schedule{}, err
	}
	if f.interval != 0 && s.Cron == intervalCron(f.interval) && !s.From.IsZero() && !s.Next(s.From.Add(-time.Second)).Equal(s.From) {
		s.Cron = "@every " + strings.TrimSuffix(f.interval.String(), "0s") // counted from its first time
	}
	if err := s.Validate(); err != nil {
		return Schedule{}, unclear("I cannot keep to that time: %v.", err)
	}
	if d := f.repeated; d != nil && d.every > 1 {
		if s.From.IsZero() {
			s.From = instant(shown(s.Next(now), loc).Truncate(day), loc)
		}
		s.Every, s.Unit = d.every, d.unit
	}
	if err := f.finish(&s, now, loc); err != nil {
		return Schedule{}, err
	}
	return s, nil
}

// begin sets From, and gives the first day that was said.
func (f *phrase) begin(s *Schedule, now time.Time, loc *time.Location) (first time.Time, err error) {
	if f.from == nil {
		return time.Time{}, nil
	}
	today := shown(now, loc).Truncate(day)
	if f.from.span != 0 {
		s.From = now.Add(f.from.span).Truncate(time.Second)
		return today, nil
	}
	first = today
	if f.from.day != nil {
		if first, err = f.from.day(today); err != nil {
			return time.Time{}, err
		}
	}
	if f.from.clock == nil {
		s.From = instant(first, loc)
		return first, nil
	}
	hour, minute, err := f.timeOfDay(f.from.clock)
	if err != nil {
		return time.Time{}, err
	}
	clock := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	if s.From = instant(first.Add(clock), loc); f.from.day == nil && !s.From.After(now) {
		s.From = instant(first.Add(day+clock), loc)
	}
	return first, nil
}

// finish sets Until, and refuses what ends before its first time.
func (f *phrase) finish(s *Schedule, now time.Time, loc *time.Location) error {
	next := s.Next(now)
	if next.IsZero() {
		return unclear("I cannot keep to that time: it never happens.")
	}
	from := shown(next, loc).Truncate(day)
	if f.from != nil {
		from = shown(latest(s.From, now), loc).Truncate(day)
	}
	switch {
	case f.until != nil:
		if f.from == nil {
			from = shown(now, loc).Truncate(day)
		}
		last, err := f.until.day(from)
		if err != nil {
			return err
		}
		s.Until = instant(last.AddDate(0, 0, 1), loc).Add(-time.Second)
		if f.until.clock != nil {
			hour, minute, err := f.timeOfDay(f.until.clock)
			if err != nil {
				return err
			}
			s.Until = instant(last.Add(time.Duration(hour)*time.Hour+time.Duration(minute)*time.Minute), loc)
		}
	case f.lasting != nil && f.lasting.span != 0:
		s.Until = latest(now, s.From).Add(f.lasting.span).Truncate(time.Second)
	case f.lasting != nil:
		s.Until = instant(f.lasting.from(from), loc).Add(-time.Second)
	case f.times != 0:
		all := s.Times(now, f.times)
		s.Until = all[len(all)-1]
	default:
		return nil
	}
	switch {
	case s.Until.Before(s.From):
		return unclear("It would end, on %s, before it begins, on %s.", s.Until.In(loc).Format("2 January 2006"), s.From.In(loc).Format("2 January 2006"))
	case s.Next(now).IsZero():
		return unclear("It would end, on %s, before its first time, on %s.", s.Until.In(loc).Format("2 January 2006 at 15:04"), next.In(loc).Format("2 January 2006 at 15:04"))
	}
	return nil
}

// countTimes compares what was said of how often with what was said of when.
func (f *phrase) countTimes() error {
	if f.often.n < 2 {
		return nil
	}
	said := 0
	for _, g := range append([]*phrase{f}, f.also...) {
		n := len(g.clocks())
		switch f.often.unit {
		case UnitWeek:
			days, _ := g.repeated.plainWeekdays()
			n *= len(days)
		case UnitMonth:
			n *= strings.Count(g.repeated.dates+","+g.repeated.weekdays, ",")
		}
		said += n
	}
	if said != f.often.n {
		return unclear("%d times a %s, but at %d? Say each, for example: every day at 9:00 and 17:00.", f.often.n, f.often.unit, said)
	}
	return nil
}

// once is the instant of a phrase that does not repeat.
func (f *phrase) once(now time.Time, hour, minute int, loc *time.Location) (time.Time, error) {
	wall := shown(now, loc)
	today := wall.Truncate(day)
	clock := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	passed := !wall.Before(today.Add(clock))
	switch {
	case f.ahead != nil && f.ahead.days == 0 && f.ahead.months == 0:
		return now.Add(f.ahead.span), nil
	case f.ahead != nil && f.ahead.span != 0:
		return instant(f.ahead.from(wall), loc).Add(f.ahead.span), nil
	case f.ahead != nil && f.clock == nil:
		return instant(f.ahead.from(wall), loc), nil
	case f.ahead != nil:
		return instant(f.ahead.from(today).Add(clock), loc), nil
	case f.day == nil && passed: // a time of day alone
		return instant(today.Add(day+clock), loc), nil
	case f.day == nil:
		return instant(today.Add(clock), loc), nil
	case f.clock.midnight && f.tonight:
		return instant(today.Add(day), loc), nil
	case f.clock.midnight:
		return time.Time{}, unclear("Midnight before or after %s? Say the day and 0:00. For example: on Friday at 0:00.", f.named)
	}
	d, err := f.day(today)
	if err != nil {
		return time.Time{}, err
	}
	if f.weekly && d.Equal(today) && passed {
		d = d.AddDate(0, 0, 7)
	}
	return instant(d.Add(clock), loc), nil
}

// from is the distance counted on the calendar; a day that the month does not
// have is its last.
func (a *ahead) from(wall time.Time) time.Time {
	year, month, date := wall.Date()
	last := time.Date(year, month+time.Month(a.months)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return time.Date(year, month+time.Month(a.months), min(date, last)+a.days, wall.Hour(), wall.Minute(), wall.Second(), 0, time.UTC)
}

// timeOfDay is the clock time that is meant, with the part of the day.
func (f *phrase) timeOfDay(c *timeOfDay) (hour, minute int, err error) {
	part := c.part
	if part == "" && c == f.clock {
		part = f.part
	}
	if c.half == "" && c.bare && c.hourAlone && c.hour <= 12 && part == "" {
		for _, other := range f.clocks() {
			if other.half != "" || other.part != "" {
				return 0, 0, unclear("Is it %d:00 or %d:00? With several times, say am or pm of each. For example: every day at 9am and 5pm.", c.hour, (c.hour+12)%24)
			}
		}
	}
	if part == "" || c.midnight {
		return c.hour, c.minute, nil
	}
	if part == "night" && f.repeated != nil && c.hour < 6 { // the small hours of each night
		return c.hour, c.minute, nil
	}
	fits := map[string][2]int{"morning": {0, 11}, "afternoon": {12, 18}, "evening": {16, 23}, "night": {18, 23}}[part]
	for _, h := range []int{c.hour, c.hour + 12} {
		if h >= fits[0] && h <= fits[1] && (h == c.hour || c.bare && h < 24) {
			return h, c.minute, nil
		}
	}
	return 0, 0, unclear("%s is not in the %s. Say it with 24 hours. For example: tomorrow at 18:30.", c.said, part)
}
