package scheduler

import (
	"sync"
	"time"
)

// mostCalendars bounds what is kept; one takes about a kilobyte.
const mostCalendars = 20_000

// calendars keeps schedules that were read: reading one, with its zone, takes many
// times as long as a look-up in it. The zero value is ready for use.
type calendars struct {
	mu   sync.Mutex
	read map[Schedule]calendar
}

// of is the calendar of s.
func (k *calendars) of(s Schedule) (calendar, error) {
	if s.Cron == "" {
		return s.calendar() // it is asked for once
	}
	key := s
	for _, t := range []*time.Time{&key.At, &key.From, &key.Until} {
		*t = t.Round(0).UTC() // equal instants are equal keys
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c, ok := k.read[key]; ok {
		return c, nil
	}
	c, err := s.calendar()
	if err != nil {
		return calendar{}, err
	}
	if k.read == nil || len(k.read) >= mostCalendars {
		k.read = map[Schedule]calendar{}
	}
	k.read[key] = c
	return c, nil
}
