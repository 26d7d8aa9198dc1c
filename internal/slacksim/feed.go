package slacksim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	feedLength = 5_000 // entries kept for pages that reconnect
	heartbeat  = 15 * time.Second
)

// entry is one thing that a page should show. Only the fields of its kind are
// set; messages are immutable, so they are encoded when they are sent.
type entry struct {
	seq     int64
	kind    string // message, changed, deleted, ephemeral, ephemeral_deleted, reaction, status, channel, clock, view, user
	channel *channel
	user    string // if set, only this person sees it
	message *message
	extra   obj
}

// feed is a bounded ring of entries and the pages that follow it.
type feed struct {
	mu      sync.Mutex
	ring    []entry
	last    int64
	changed chan struct{} // closed at the next entry
	done    bool
}

func newFeed() *feed { return &feed{changed: make(chan struct{})} }

func (f *feed) publish(e entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return
	}
	f.last++
	e.seq = f.last
	if len(f.ring) >= 2*feedLength {
		f.ring = append(f.ring[:0], f.ring[len(f.ring)-feedLength:]...)
	}
	f.ring = append(f.ring, e)
	close(f.changed)
	f.changed = make(chan struct{})
}

// after returns what came after seq and a channel that closes when more comes.
// gap means that some of it is gone.
func (f *feed) after(seq int64) (list []entry, gap bool, more <-chan struct{}, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.last - int64(len(f.ring))
	if seq > f.last || seq < first {
		return nil, true, f.changed, f.done
	}
	return append([]entry(nil), f.ring[seq-first:]...), false, f.changed, f.done
}

func (f *feed) position() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done {
		f.done = true
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

// feedMessage tells pages about a message as it now stands.
func (s *Server) feedMessage(kind string, ch *channel, sl *slot) {
	s.feed.publish(entry{kind: kind, channel: ch, message: sl.wire(typeOnly)})
	if kind == "message" && sl.parent != nil {
		s.feed.publish(entry{kind: "changed", channel: ch, message: sl.parent.wire(typeOnly)}) // its reply count moved
	}
}

func (s *Server) feedDeleted(ch *channel, previous *message) {
	s.feed.publish(entry{kind: "deleted", channel: ch, message: previous})
	if sl, ok := ch.byTS[previous.TS]; ok { // a tombstone stays
		s.feed.publish(entry{kind: "changed", channel: ch, message: sl.wire(typeOnly)})
	}
}

func (s *Server) feedChannel(ch *channel) {
	s.feed.publish(entry{kind: "channel", channel: ch, extra: obj{"channel_info": s.channelState(ch)}})
}

// feedGone tells the page of someone who lost sight of a channel.
func (s *Server) feedGone(ch *channel, u *user) {
	if !s.sees(u, ch) {
		s.feed.publish(entry{kind: "channel", user: u.id, extra: obj{"channel": ch.id, "gone": true}})
	}
}

// frame is an entry as JSON, for a person who may see it.
func (s *Server) frame(e entry, viewer *user) (obj, bool) {
	if e.user != "" && viewer != nil && e.user != viewer.id {
		return nil, false
	}
	if e.channel != nil && viewer != nil {
		s.mu.Lock()
		visible := s.sees(viewer, e.channel)
		s.mu.Unlock()
		if !visible {
			return nil, false
		}
	}
	o := obj{"type": e.kind}
	if e.channel != nil {
		o["channel"] = e.channel.id
	}
	if e.user != "" {
		o["user"] = e.user
	}
	if e.message != nil {
		o["message"] = e.message
	}
	for k, v := range e.extra {
		o[k] = v
	}
	return o, true
}

// serveStream sends the feed of one person as server-sent events.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	viewer, ok := s.viewer(w, r)
	if !ok {
		return
	}
	flush, canFlush := w.(http.Flusher)
	if !canFlush {
		http.Error(w, "streaming is not possible on this connection", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	seq := s.feed.position()
	for _, given := range []string{r.Header.Get("Last-Event-ID"), r.URL.Query().Get("since")} {
		if n, err := strconv.ParseInt(given, 10, 64); err == nil {
			seq = n
			break
		}
	}
	fmt.Fprintf(w, ": connected\n\n")
	flush.Flush()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		list, gap, more, done := s.feed.after(seq)
		if done {
			return
		}
		var b strings.Builder
		if gap {
			seq = s.feed.position()
			fmt.Fprintf(&b, "id: %d\ndata: {\"type\":\"reset\"}\n\n", seq)
		}
		for _, e := range list {
			seq = e.seq
			if o, visible := s.frame(e, viewer); visible {
				fmt.Fprintf(&b, "id: %d\ndata: %s\n\n", e.seq, encode(o))
			}
		}
		if b.Len() > 0 {
			if _, err := w.Write([]byte(b.String())); err != nil {
				return
			}
			flush.Flush()
		}
		if gap {
			continue
		}
		select {
		case <-more:
		case <-beat.C:
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil {
				return
			}
			flush.Flush()
		case <-r.Context().Done():
			return
		}
	}
}
