package scheduler

import (
	"slices"
	"strings"
)

var errBeside = unclear("I keep to a time, not to what is before or after it. Which is it? For example: tomorrow at 9:30.")

// beside refuses a whole time if what stands right before it, or how it was begun,
// changes what it means, so that half of a wish is not taken for the whole.
func (f *phrase) beside(before []token) error {
	word := func(n int) string { // the n-th from the end
		if n > len(before) {
			return ""
		}
		return before[len(before)-n].text
	}
	switch {
	case len(before) == 0:
		return nil
	case word(1) == "before" || word(1) == "after", word(1) == "from" && units[word(2)] != "":
		return errBeside
	case (word(1) == "or" || word(1) == "and" || word(1) == "&") && isWeekday(word(2)):
		return errOneTime
	case f.weekly && slices.Contains(feasts, word(1)):
		return unclear("I do not know feasts and holidays. On which date is that? For example: on 2026-12-01 at 10:00.")
	case f.weekly && (slices.Contains(ordinalNames, word(1)) || slices.Contains(laterOrdinals, word(1)) || slices.Contains(ordinalEndings, word(1)) && isDigits(word(2))):
		return unclear("Of every month, or once? For example: on the first Monday of every month at 9:00, or on 2026-12-01 at 10:00.")
	}
	for i, t := range before { // half an hour before the demo, on Friday at 15:00
		if (t.text == "before" || t.text == "after") && i > 0 && (units[before[i-1].text] != "" && len(before[i-1].text) > 2 || slices.Contains([]string{"shortly", "right", "just"}, before[i-1].text)) {
			return errBeside
		}
	}
	if f.repeats() {
		return nil
	}
	for i := range before { // every odd week, on Monday at 9
		switch next := func(n int) string { return (&reader{tokens: before, i: i}).peek(n) }; {
		case (next(0) == "every" || next(0) == "each") && (spans(next(1)) || spans(next(2))),
			(next(0) == "odd" || next(0) == "even") && (next(1) == "weeks" || next(1) == "week"):
			return unclear("How often is that? I can count days, weeks and months. For example: every 2 weeks on Monday at 9:30.")
		}
	}
	return nil
}

// spans reports whether a word is a length of time, a day of the week or the like,
// of which every one may be meant.
func spans(w string) bool {
	return isWeekday(w) || units[strings.TrimSuffix(w, "s")] != "" && len(w) > 2 ||
		slices.Contains([]string{"sprint", "iteration", "semester", "term", "season", "moon", "quarter", "weekday", "weekend", "holiday", "payday"}, w)
}

// feasts make a day of the year of a day of the week.
var feasts = []string{"easter", "whit", "good", "black", "cyber", "ash", "shrove", "maundy", "palm", "christmas", "advent", "super"}
