package migrations

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// dial is a clock that shows what it is told.
type dial struct{ offset atomic.Int64 }

var dialZero = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func (d *dial) Now() time.Time           { return dialZero.Add(time.Duration(d.offset.Load())) }
func (d *dial) Set(offset time.Duration) { d.offset.Store(int64(offset)) }

func TestTheStoresTimeWhenTheClockGoesBack(t *testing.T) {
	t.Parallel()
	type reading struct{ clock, store time.Duration }
	for name, readings := range map[string][]reading{
		"it follows a clock that goes on":         {{0, 0}, {time.Second, time.Second}, {time.Hour, time.Hour}},
		"it stands still over a small step back":  {{time.Minute, time.Minute}, {58 * time.Second, time.Minute}, {59 * time.Second, time.Minute}, {61 * time.Second, 61 * time.Second}},
		"it follows a large step back":            {{time.Hour, time.Hour}, {0, 0}, {time.Second, time.Second}},
		"small steps do not add up to a drift":    {{time.Minute, time.Minute}, {57 * time.Second, time.Minute}, {54 * time.Second, 54 * time.Second}},
		"a step of exactly the bound still holds": {{time.Minute, time.Minute}, {time.Minute - holdStep, time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d dial
			c := clock{source: d.Now}
			for i, r := range readings {
				d.Set(r.clock)
				if got := c.now().Sub(dialZero); got != r.store {
					t.Errorf("reading %d at %v: got %v, want %v", i, r.clock, got, r.store)
				}
			}
		})
	}
}

func TestAStepBackIsLoggedOnceAndToldToListeners(t *testing.T) {
	t.Parallel()
	var d dial
	var log bytes.Buffer
	db := open(t, Options{Clock: d.Now, Logger: zerolog.New(&log)})
	stepped, end := db.Listen(TopicClock)
	defer end()
	db.Now()
	d.Set(-time.Second)
	for range 10 {
		mustWrite(t, db, func(tx *Tx) error {
			if !tx.Now().Equal(dialZero) {
				t.Errorf("Now after a small step: got %v, want %v", tx.Now(), dialZero)
			}
			return nil
		})
	}
	if len(stepped) != 0 {
		t.Error("a step that was smoothed over was told to listeners")
	}
	d.Set(-time.Hour)
	for range 10 {
		db.Now()
	}
	within(t, stepped, "the notice of the step")
	if len(stepped) != 0 {
		t.Errorf("notices of one step: got %d more", len(stepped))
	}
	if err := db.writer.close(); err != nil { // the log is written before this returns
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "the clock was set back"); got != 2 {
		t.Errorf("log lines for two steps: got %d, want 2\n%s", got, log.String())
	}
}

// A clock that is changed while many write does not tear anything.
func TestTheClockMayChangeAtAnyTime(t *testing.T) {
	t.Parallel()
	var d dial
	db := open(t, Options{Clock: d.Now})
	for i := range 200 {
		d.Set(time.Duration(i%7-3) * time.Hour)
		if err := db.Write(context.Background(), func(tx *Tx) error { return tx.Context().Err() }); err != nil {
			t.Fatal(err)
		}
	}
}
