package slacksim

import (
	"sync"
	"time"
)

// Clock is the time of the workspace: real time plus an offset that can be
// moved. It is safe for concurrent use, and is meant to be shared with the
// program under test, so that both agree on what "tomorrow" is.
type Clock struct {
	mu      sync.Mutex
	offset  time.Duration
	changed chan struct{}
}

// NewClock returns a clock that shows real time until it is moved.
func NewClock() *Clock { return &Clock{changed: make(chan struct{})} }

// Now is the time of the workspace. It advances at the speed of real time
// between moves.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Advance moves the clock by d, which may be negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
	c.announce()
}

// Set moves the clock to t, forwards or backwards.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = time.Until(t)
	c.announce()
}

// Changed is closed at the next move, so that a sleeper that waits for workspace
// time can compute its wait again.
func (c *Clock) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// announce wakes everyone who waits for a move. The caller holds c.mu.
func (c *Clock) announce() {
	close(c.changed)
	c.changed = make(chan struct{})
}
