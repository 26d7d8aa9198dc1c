package slacksim

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// maxWaiting bounds the envelopes that wait for a connection; the oldest are
	// dropped beyond it, and counted.
	maxWaiting = 100_000
	// maxSockets is how many connections an app may hold.
	maxSockets = 10
	// maxAge is how long an envelope that nobody takes is kept.
	maxAge = time.Hour
	// maxAck is the largest acknowledgement that Slack reads; larger ones are
	// dropped without a word.
	maxAck = 20 << 10
)

// envelope is one delivery to an app. It is on its way until it is acknowledged
// or given up.
type envelope struct {
	id      string
	kind    string // events_api, interactive, slash_commands
	payload json.RawMessage
	accepts bool // whether the acknowledgement may carry a payload
	born    time.Time

	attempt int
	reason  string
	again   int // redeliveries after a timeout so far
	holder  *socket
	timer   *time.Timer
	copy    bool                 // a duplicate made by a fault; nobody waits for its ack
	acked   chan json.RawMessage // for interactivity: gets the acknowledgement's payload
}

// hub hands the envelopes of one app to its connections: each envelope to one
// connection, whichever is free first.
type hub struct {
	log        zerolog.Logger
	faults     *faults
	ackTimeout time.Duration
	redelivery []time.Duration

	mu       sync.Mutex
	ready    *sync.Cond
	sockets  []*socket
	waiting  []*envelope
	inflight map[string]*envelope
	closed   bool
	dropped  int // envelopes given up
}

func newHub(log zerolog.Logger, f *faults, o Options) *hub {
	h := &hub{log: log, faults: f, ackTimeout: o.AckTimeout, redelivery: o.Redelivery, inflight: map[string]*envelope{}}
	h.ready = sync.NewCond(&h.mu)
	return h
}

// push queues an envelope for delivery.
func (h *hub) push(e *envelope) {
	if h.faults.fires(faultLose) {
		return
	}
	twice := h.faults.fires(faultDuplicate)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue(e)
	if twice {
		again := *e
		again.copy, again.acked = true, nil
		h.queue(&again)
	}
}

// queue appends to the waiting list. The caller holds h.mu.
func (h *hub) queue(e *envelope) {
	if h.closed {
		return
	}
	if len(h.waiting) >= maxWaiting {
		h.waiting = h.waiting[1:]
		h.dropped++
	}
	h.waiting = append(h.waiting, e)
	h.ready.Signal()
}

// take waits for the next envelope for a socket and returns it as the message to
// send, or nil when the socket has ended.
func (h *hub) take(sk *socket) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if sk.ended || h.closed {
			h.ready.Signal() // the wake-up may have been for another socket
			return nil
		}
		if len(h.waiting) > 0 {
			e := h.waiting[0]
			h.waiting[0] = nil
			h.waiting = h.waiting[1:]
			if time.Since(e.born) > maxAge {
				h.dropped++
				continue
			}
			if !e.copy {
				h.hold(e, sk)
			}
			return e.frame()
		}
		h.ready.Wait()
	}
}

// hold starts the wait for an acknowledgement. The caller holds h.mu.
func (h *hub) hold(e *envelope, sk *socket) {
	e.holder = sk
	h.inflight[e.id] = e
	e.timer = time.AfterFunc(h.ackTimeout, func() { h.timeout(e) })
}

// ack ends the delivery of an envelope.
func (h *hub) ack(id string, payload json.RawMessage) {
	if h.faults.fires(faultDropAck) {
		return
	}
	h.mu.Lock()
	e, ok := h.inflight[id]
	if ok {
		delete(h.inflight, id)
		e.timer.Stop()
	} else if i := slices.IndexFunc(h.waiting, func(w *envelope) bool { return w.id == id && !w.copy }); i >= 0 {
		// Late, while its redelivery waits: Slack counts it.
		e = h.waiting[i]
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
	h.mu.Unlock()
	if e != nil && e.acked != nil {
		e.acked <- payload
	}
}

// timeout redelivers an event that was not acknowledged in time, as often as the
// schedule says. Interactivity is never redelivered: the person saw it fail.
func (h *hub) timeout(e *envelope) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inflight[e.id] != e {
		return
	}
	delete(h.inflight, e.id)
	if e.acked != nil || e.again >= len(h.redelivery) || h.closed {
		h.dropped++
		return
	}
	delay := h.redelivery[e.again]
	e.again++
	h.retry(e, delay)
}

// retry queues e again after delay. The caller holds h.mu.
func (h *hub) retry(e *envelope, delay time.Duration) {
	e.attempt++
	e.reason = "timeout"
	e.holder = nil
	if delay <= 0 {
		h.queue(e)
		return
	}
	time.AfterFunc(delay, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.queue(e)
	})
}

// withdraw takes back an envelope that nobody waits for any more.
func (h *hub) withdraw(e *envelope) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = slices.DeleteFunc(h.waiting, func(w *envelope) bool { return w == e })
}

// join adds a connection, or refuses when there are too many.
func (h *hub) join(sk *socket) (count int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.sockets) >= maxSockets {
		return len(h.sockets), false
	}
	h.sockets = append(h.sockets, sk)
	return len(h.sockets), true
}

// leave removes a connection. Events that it held without acknowledging go to
// another connection, or wait for the next one.
func (h *hub) leave(sk *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sk.ended = true
	h.sockets = slices.DeleteFunc(h.sockets, func(other *socket) bool { return other == sk })
	var lost []*envelope
	for id, e := range h.inflight {
		if e.holder == sk {
			delete(h.inflight, id)
			e.timer.Stop()
			if e.acked == nil {
				lost = append(lost, e)
			}
		}
	}
	slices.SortFunc(lost, func(a, b *envelope) int { return a.born.Compare(b.born) })
	for _, e := range lost {
		h.retry(e, 0)
	}
	h.ready.Broadcast()
}

// disconnect asks every connection to go, and closes it after grace. It returns
// how many there were.
func (h *hub) disconnect(reason string, grace time.Duration) int {
	h.mu.Lock()
	sockets := slices.Clone(h.sockets)
	h.mu.Unlock()
	for _, sk := range sockets {
		sk.disconnect(reason, grace)
	}
	return len(sockets)
}

// stats are the numbers that the state shows.
func (h *hub) stats() (connections, waiting, inflight, dropped int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sockets), len(h.waiting), len(h.inflight), h.dropped
}

func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	h.waiting = nil
	for _, e := range h.inflight {
		e.timer.Stop()
	}
	sockets := slices.Clone(h.sockets)
	h.ready.Broadcast()
	h.mu.Unlock()
	for _, sk := range sockets {
		sk.end()
	}
}
