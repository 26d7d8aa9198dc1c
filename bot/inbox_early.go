package bot

import "sync"

// Bounds of what is remembered of events that came too early.
const (
	maxEarly      = 4096
	maxEarlyBytes = 8 << 20
)

// early remembers the newest replies, edits and deletions that were not for the
// agent when they came. Two connections and redelivery can bring a reply before
// the mention that makes its thread the agent's; once that is stored, the reply
// is looked at again. What a crash loses here, the catch-up finds.
type early struct {
	mu     sync.Mutex
	queue  []*Event // oldest first, with those taken out since
	bytes  int
	thread map[string][]*Event
}

func newEarly() *early { return &early{thread: map[string][]*Event{}} }

// put remembers e and returns what takes it out again. It is called before the
// store is asked about e, so that whoever makes the thread the agent's in between
// finds it.
func (y *early) put(e Event) (done func()) {
	y.mu.Lock()
	defer y.mu.Unlock()
	p := &e
	key := e.threadKey()
	y.queue = append(y.queue, p)
	y.bytes += len(e.Text)
	y.thread[key] = append(y.thread[key], p)
	for len(y.queue) > 0 && (len(y.queue) > maxEarly || y.bytes > maxEarlyBytes) {
		y.drop(y.queue[0])
		y.queue = y.queue[1:]
	}
	return func() {
		y.mu.Lock()
		defer y.mu.Unlock()
		y.drop(p)
	}
}

// drop takes p out of its thread; its place in the queue goes with its age.
func (y *early) drop(p *Event) {
	key := p.threadKey()
	for i, q := range y.thread[key] {
		if q == p {
			y.thread[key] = append(y.thread[key][:i:i], y.thread[key][i+1:]...)
			y.bytes -= len(p.Text)
			p.Text = ""
			break
		}
	}
	if len(y.thread[key]) == 0 {
		delete(y.thread, key)
	}
}

// after takes out what came too early for e: the events of its thread that
// happened later than it.
func (y *early) after(e Event) []Event {
	y.mu.Lock()
	defer y.mu.Unlock()
	var later []Event
	for _, p := range append([]*Event(nil), y.thread[e.threadKey()]...) {
		if p.At.After(e.At) {
			later = append(later, *p)
			y.drop(p)
		}
	}
	return later
}
