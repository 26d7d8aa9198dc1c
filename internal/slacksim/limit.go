package slacksim

import (
	"slices"
	"sync"
	"time"
)

// limit is how often a method may be called.
type limit struct {
	perMinute int
	// perChannel counts each channel for itself.
	perChannel bool
}

// The tiers of docs.slack.dev/apis/web-api/rate-limits, per minute.
var (
	tier1 = limit{perMinute: 1}
	tier2 = limit{perMinute: 20}
	tier3 = limit{perMinute: 50}
	tier4 = limit{perMinute: 100}
	// sockets is tier 1 with the burst that Slack grants in practice: an app may
	// hold ten connections, and opens several at its start.
	sockets = limit{perMinute: 20}
	// posting is chat.postMessage: about one a second in each channel.
	posting = limit{perMinute: 60, perChannel: true}
	// hundreds is what Slack calls "hundreds per minute" (auth.test, chat.getPermalink).
	hundreds = limit{perMinute: 600}
)

const rateWindow = time.Minute

// maxWindows bounds the memory of a limiter; idle windows are dropped first.
const maxWindows = 10_000

// limiter counts the calls of one app in sliding windows of a minute.
type limiter struct {
	off     bool
	mu      sync.Mutex
	windows map[string][]time.Time
}

func newLimiter(off bool) *limiter { return &limiter{off: off, windows: map[string][]time.Time{}} }

// take counts a call at now. A positive result is how long to wait instead.
func (l *limiter) take(now time.Time, name string, lim limit, channel string) time.Duration {
	if l.off || lim.perMinute == 0 {
		return 0
	}
	key := name
	if lim.perChannel {
		key += " " + channel
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.windows) >= maxWindows {
		l.forget(now)
	}
	calls := l.windows[key]
	cut, _ := slices.BinarySearchFunc(calls, now.Add(-rateWindow), time.Time.Compare)
	calls = calls[cut:]
	if len(calls) >= lim.perMinute {
		l.windows[key] = calls
		return calls[len(calls)-lim.perMinute].Add(rateWindow).Sub(now)
	}
	l.windows[key] = append(calls, now)
	return 0
}

// forget drops the windows in which nothing happened for a minute.
func (l *limiter) forget(now time.Time) {
	for key, calls := range l.windows {
		if now.Sub(calls[len(calls)-1]) > rateWindow {
			delete(l.windows, key)
		}
	}
}
