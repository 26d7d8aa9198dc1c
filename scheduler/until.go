package scheduler

import (
	"regexp"
	"strings"
	"time"
)

var (
	untilWord = regexp.MustCompile(`(?i)^(?:until|till|up\s+to|through)\s+`)
	spanWord  = regexp.MustCompile(`(?i)^for\s+(?:the\s+next\s+)?`)
	anyDigit  = regexp.MustCompile(`\d`)
)

// ParseUntil finds the end of a pause or of a duty in plain words: "until Monday",
// "for two weeks", "14 December", "tomorrow at 9". A day alone is its first
// instant, by the clock in zone tz. The error is a *PhraseError.
func ParseUntil(text string, now time.Time, tz string) (time.Time, error) {
	words := strings.TrimSpace(strings.Trim(strings.TrimSpace(text), ".!"))
	words = untilWord.ReplaceAllString(words, "")
	if rest := spanWord.ReplaceAllString(words, ""); rest != words {
		if !anyDigit.MatchString(rest) && !strings.Contains(rest, " ") {
			rest = "a " + rest // "for the next week"
		}
		words = "in " + rest
	}
	if words == "" {
		return time.Time{}, unclear("Until when? Say it like: until Monday, until 14 December at 9:00, for two weeks.")
	}
	for _, form := range []string{words, "on " + words, words + " at 0:00", "on " + words + " at 0:00"} {
		s, rest, err := ParsePhrase(form, now, tz)
		if err == nil && s.Cron == "" && strings.Trim(rest, " .") == "" {
			return s.At, nil
		}
	}
	return time.Time{}, unclear("I do not understand %q as an end. Say it like: until Monday, until 14 December at 9:00, for two weeks.", text)
}
