package slacksim

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	ticketLife  = 30 * time.Second
	socketLife  = 5 * time.Hour     // Slack refreshes connections every few hours
	debugLife   = 360 * time.Second // with debug_reconnects=true
	warnAhead   = 10 * time.Second  // a warning comes this long before the end
	writeWait   = 10 * time.Second
	readLimit   = 1 << 20
	refreshed   = "refresh_requested"
	linkOff     = "link_disabled"
	warned      = "warning"
	tooManyWebs = "too_many_websockets"
)

// ticket lets its holder open one connection, once.
type ticket struct {
	app     *app
	expires time.Time
}

// socket is one Socket Mode connection.
type socket struct {
	conn    *websocket.Conn
	hub     *hub
	writing sync.Mutex
	done    chan struct{}
	once    sync.Once
	ended   bool // guarded by hub.mu
}

// openConnection answers apps.connections.open.
func openConnection(c *call) (obj, error) {
	if c.who.app.RequestURL != "" {
		return nil, refuse("socket_mode_not_enabled", "[ERROR] the app takes its events by HTTP")
	}
	now := c.now()
	for id, t := range c.tickets {
		if now.After(t.expires) {
			delete(c.tickets, id)
		}
	}
	id := rand.Text()
	c.tickets[id] = ticket{app: c.who.app, expires: now.Add(ticketLife)}
	return obj{"url": "ws" + strings.TrimPrefix(c.origin, "http") + "/link/" + id + "?app_id=" + c.who.app.ID}, nil
}

// serveSocket upgrades a request that brings an unused ticket.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	if act := s.faults.beforeCall("socket_mode"); act.cut || act.status != 0 || act.refuse != "" {
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	id := r.PathValue("ticket")
	s.mu.Lock()
	t, ok := s.tickets[id]
	delete(s.tickets, id)
	usable := ok && !s.now().After(t.expires) && !t.app.revoked
	s.mu.Unlock()
	if !usable {
		http.Error(w, "unknown or used ticket", http.StatusForbidden)
		return
	}
	up := websocket.Upgrader{
		ReadBufferSize: 4 << 10, WriteBufferSize: 16 << 10,
		CheckOrigin: func(*http.Request) bool { return true }, // ServeHTTP has looked at it
	}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	sk := &socket{conn: conn, hub: t.app.hub, done: make(chan struct{})}
	life := socketLife
	if r.URL.Query().Get("debug_reconnects") == "true" {
		life = debugLife
	}
	s.wg.Go(func() { s.runSocket(sk, t.app, life) })
}

// runSocket serves a connection until it ends.
func (s *Server) runSocket(sk *socket, a *app, life time.Duration) {
	defer sk.end()
	count, ok := a.hub.join(sk)
	if !ok {
		sk.disconnect(tooManyWebs, 0)
		return
	}
	defer a.hub.leave(sk)
	if sk.send(obj{"type": "hello", "num_connections": count,
		"connection_info": obj{"app_id": a.ID},
		"debug_info":      obj{"host": "applink-local", "build_number": 1, "approximate_connection_time": int(life.Seconds())}}) != nil {
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { sk.deliver() })
	parts.Go(func() { sk.ping(s.options.PingEvery) })
	parts.Go(func() { sk.expire(life) })
	sk.read()
	sk.end()
	a.hub.leave(sk)
	parts.Wait()
}

// deliver writes envelopes until the socket ends.
func (sk *socket) deliver() {
	for {
		frame := sk.hub.take(sk)
		if frame == nil {
			return
		}
		if sk.transmit(websocket.TextMessage, frame) != nil {
			sk.end()
			return
		}
	}
}

// frame is the envelope as the WebSocket message that carries it.
func (e *envelope) frame() []byte {
	f := struct {
		EnvelopeID  string          `json:"envelope_id"`
		Payload     json.RawMessage `json:"payload"`
		Type        string          `json:"type"`
		Accepts     bool            `json:"accepts_response_payload"`
		RetryNumber *int            `json:"retry_attempt,omitempty"`
		RetryReason *string         `json:"retry_reason,omitempty"`
	}{EnvelopeID: e.id, Payload: e.payload, Type: e.kind, Accepts: e.accepts}
	if e.kind == "events_api" {
		f.RetryNumber, f.RetryReason = &e.attempt, &e.reason
	}
	return encode(f)
}

// read takes acknowledgements until the connection breaks.
func (sk *socket) read() {
	sk.conn.SetReadLimit(readLimit)
	for {
		_, data, err := sk.conn.ReadMessage()
		if err != nil {
			return
		}
		if len(data) >= maxAck {
			continue
		}
		var ack struct {
			EnvelopeID string          `json:"envelope_id"`
			Payload    json.RawMessage `json:"payload"`
		}
		if json.Unmarshal(data, &ack) == nil && ack.EnvelopeID != "" {
			sk.hub.ack(ack.EnvelopeID, ack.Payload)
		}
	}
}

// ping keeps the client from giving the connection up.
func (sk *socket) ping(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for n := 1; ; n++ {
		if sk.conn.WriteControl(websocket.PingMessage, []byte(fmt.Sprintf("Ping from applink-local %d", n)), time.Now().Add(writeWait)) != nil {
			sk.end()
			return
		}
		select {
		case <-t.C:
		case <-sk.done:
			return
		}
	}
}

// expire asks the client to reconnect when the connection is old.
func (sk *socket) expire(life time.Duration) {
	t := time.NewTimer(life - warnAhead)
	defer t.Stop()
	select {
	case <-t.C:
		sk.disconnect(warned, warnAhead)
	case <-sk.done:
	}
}

// disconnect tells the client why it has to go, and closes the connection after
// grace.
func (sk *socket) disconnect(reason string, grace time.Duration) {
	_ = sk.send(obj{"type": "disconnect", "reason": reason, "debug_info": obj{"host": "applink-local"}})
	if grace <= 0 {
		_ = sk.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, reason), time.Now().Add(writeWait))
		sk.end()
		return
	}
	time.AfterFunc(grace, sk.end)
}

func (sk *socket) send(v any) error { return sk.transmit(websocket.TextMessage, encode(v)) }

func (sk *socket) transmit(kind int, data []byte) error {
	sk.writing.Lock()
	defer sk.writing.Unlock()
	if err := sk.conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	return sk.conn.WriteMessage(kind, data)
}

// end closes the connection; what waits on it stops.
func (sk *socket) end() {
	sk.once.Do(func() {
		close(sk.done)
		_ = sk.conn.Close()
	})
}
