package migrations

import "sync"

// TopicClock is notified when the clock was set back by more than can be
// smoothed over; whoever waits for a time looks again.
const TopicClock = "clock"

// listenBuffer is how many payloads a listener may be behind before they are
// replaced by one empty payload.
const listenBuffer = 256

type notice struct{ topic, payload string }

// topics delivers notices inside the process.
type topics struct {
	mu        sync.Mutex
	listeners map[string]map[chan string]struct{}
}

// Listen returns a channel of the payloads that committed transactions sent to
// topic, in this process, and a function that ends it (the channel is not
// closed). A listener that falls behind gets one empty payload instead of those
// it missed: look at everything. Another process is not heard: poll as well.
func (db *DB) Listen(topic string) (<-chan string, func()) {
	ch := make(chan string, listenBuffer)
	t := &db.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listeners == nil {
		t.listeners = map[string]map[chan string]struct{}{}
	}
	if t.listeners[topic] == nil {
		t.listeners[topic] = map[chan string]struct{}{}
	}
	t.listeners[topic][ch] = struct{}{}
	return ch, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.listeners[topic], ch)
	}
}

func (t *topics) publish(topic, payload string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ch := range t.listeners[topic] {
		select {
		case ch <- payload:
		default:
			overflow(ch)
		}
	}
}

// overflow empties a full channel and leaves "" in it. Publishing is under the
// topics' lock, so nobody fills it meanwhile.
func overflow(ch chan string) {
	for {
		select {
		case <-ch:
		default:
			ch <- ""
			return
		}
	}
}
