// Package phrases is a table of sentences that people say when they give an agent
// something for later, for the tests of all who take such sentences in. Expectations
// are written by hand; the next five times come from a program of its own. It must
// never be used outside tests.
package phrases

import (
	_ "embed"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

//go:embed phrases.json
var table []byte

// Sentence is what somebody says, and what it becomes, or what is asked back, or why
// it is refused.
type Sentence struct {
	Say     string    `json:"say"`
	Now     time.Time `json:"now"`
	Zone    string    `json:"zone"` // of the person
	Asks    string    `json:"asks"`
	Refuses string    `json:"refuses"`

	Cron  string      `json:"cron"` // "" for a single time
	TZ    string      `json:"tz"`
	At    time.Time   `json:"at"`
	Every int         `json:"every"`
	Unit  string      `json:"unit"`
	From  time.Time   `json:"-"` // zero: at once
	Until time.Time   `json:"-"` // the last instant; zero: for ever
	Rest  string      `json:"rest"`
	Next  []time.Time `json:"next"` // the first five times, or as many as there are
}

// Problem is what the answer holds where the sentence makes no duty, "" where it does.
func (s Sentence) Problem() string { return s.Asks + s.Refuses }

// All are the sentences, in the order of the file.
func All(t testing.TB) (all []Sentence) {
	t.Helper()
	var file struct {
		Now    time.Time `json:"now"`
		Zone   string    `json:"zone"`
		Groups []struct {
			Sentences []struct {
				Sentence
				From  string `json:"from"`  // an instant, or a day, from its beginning
				Until string `json:"until"` // an instant, or a day, to its end
			} `json:"sentences"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(table, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, c := range g.Sentences {
			s := c.Sentence
			if s.Now.IsZero() {
				s.Now = file.Now
			}
			if s.Zone == "" {
				s.Zone = file.Zone
			}
			s.From, s.Until = limit(t, c.From, s.TZ, false), limit(t, c.Until, s.TZ, true)
			all = append(all, s)
		}
	}
	return all
}

// limit is the instant of a bound of the table.
func limit(t testing.TB, text, zone string, end bool) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	if strings.Contains(text, "T") {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at.UTC()
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation(time.DateOnly, text, loc)
	if err != nil {
		t.Fatal(err)
	}
	if end {
		at = at.AddDate(0, 0, 1).Add(-time.Second)
	}
	return at.UTC()
}
