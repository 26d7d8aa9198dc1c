package bot

import (
	"context"
	"sync"
	"time"
)

// Pace holds what is sent to the speed that Slack allows: one post a second in
// a channel, an edit of a message every three, and silence for as long as a 429
// asked for. Source: docs.slack.dev/apis/web-api/rate-limits.
//
// It measures real time, not the store's clock, which a demo may move by a day.
type Pace struct {
	post, update time.Duration

	mu      sync.Mutex
	next    map[string]time.Time // channel or message → when its next turn is
	waiting map[string]int64     // message → newest update that wants to be sent
	count   int64
	silent  time.Time // until when nobody sends
}

// maxPaced bounds what is remembered; entries in the past are dropped first.
const maxPaced = 4096

// NewPace returns a Pace with the given distances, DefaultPost and DefaultUpdate
// for Slack.
func NewPace(post, update time.Duration) *Pace {
	return &Pace{post: post, update: update, next: map[string]time.Time{}, waiting: map[string]int64{}}
}

// What Slack asks for.
const (
	DefaultPost   = time.Second
	DefaultUpdate = 3 * time.Second
)

// Post waits until the channel may get another message. The first comes at once.
func (p *Pace) Post(ctx context.Context, channel string) error {
	p.mu.Lock()
	at := p.claim(channel, p.post)
	p.mu.Unlock()
	return p.until(ctx, at)
}

// Update waits until the message may be edited again. It returns false at once
// when a newer update came meanwhile: then this one has nothing left to say.
func (p *Pace) Update(ctx context.Context, message string) (bool, error) {
	p.mu.Lock()
	p.count++
	mine := p.count
	if p.waiting[message] != 0 { // somebody waits for the place already: take it over
		p.waiting[message] = mine
		at := p.next[message].Add(-p.update)
		p.mu.Unlock()
		return p.take(ctx, message, mine, at)
	}
	p.waiting[message] = mine
	at := p.claim(message, p.update)
	p.mu.Unlock()
	return p.take(ctx, message, mine, at)
}

func (p *Pace) take(ctx context.Context, message string, mine int64, at time.Time) (bool, error) {
	err := p.until(ctx, at)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[message] != mine {
		return false, nil
	}
	delete(p.waiting, message)
	return err == nil, err
}

// Silence keeps everybody from sending for d, after a 429.
func (p *Pace) Silence(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.silent) {
		p.silent = until
	}
}

// claim takes the next turn of key and says when it is.
func (p *Pace) claim(key string, distance time.Duration) time.Time {
	now := time.Now()
	at := p.next[key]
	if at.Before(now) {
		at = now
	}
	if len(p.next) >= maxPaced {
		for k, t := range p.next {
			if t.Before(now) {
				delete(p.next, k)
			}
		}
	}
	p.next[key] = at.Add(distance)
	return at
}

// until waits for at, and for the end of a silence.
func (p *Pace) until(ctx context.Context, at time.Time) error {
	for {
		p.mu.Lock()
		if p.silent.After(at) {
			at = p.silent
		}
		p.mu.Unlock()
		d := time.Until(at)
		if d <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
