package slacksim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	logLength  = 1_000 // API calls kept
	maxLogged  = 2_000 // characters of one argument that the log keeps
	stateDepth = 200   // messages per channel in the state
)

// routeControl binds /emulator/: what tests, the page and the demo do to the
// workspace that Slack has no API for.
func (s *Server) routeControl() {
	s.mux.HandleFunc("GET /emulator/state", s.serveState)
	s.mux.HandleFunc("GET /emulator/stream", s.serveStream)
	s.mux.HandleFunc("GET /emulator/log", s.serveLog)
	s.mux.HandleFunc("POST /emulator/interact", s.serveInteract)
	s.mux.HandleFunc("POST /emulator/command", s.serveCommand)
	s.mux.HandleFunc("POST /emulator/view", s.serveView)
	s.mux.HandleFunc("POST /emulator/home", s.serveHome)
	s.mux.HandleFunc("POST /emulator/shortcut", s.serveShortcut)
	s.mux.HandleFunc("POST /emulator/assistant", s.serveAssistant)
	s.mux.HandleFunc("GET /emulator/faults", s.serveFaults)
	s.mux.HandleFunc("POST /emulator/faults", s.serveArm)
	s.mux.HandleFunc("DELETE /emulator/faults", s.serveDisarm)
	s.mux.HandleFunc("GET /emulator/clock", s.serveClock)
	s.mux.HandleFunc("POST /emulator/clock", s.serveMoveClock)
	s.mux.HandleFunc("POST /emulator/membership", s.serveMembership)
	s.mux.HandleFunc("POST /emulator/user", s.serveUser)
	s.mux.HandleFunc("POST /emulator/usergroup", s.serveGroup)
	s.mux.HandleFunc("POST /emulator/channel", s.serveChannel)
	s.mux.HandleFunc("POST /emulator/tokens", s.serveTokens)
}

// readControl reads the JSON body of a control request; unknown fields are
// refused, so that a typing error in a test does not pass in silence.
func readControl(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		reply(w, http.StatusBadRequest, obj{"ok": false, "error": fmt.Sprintf("read body: %v", err)})
		return false
	}
	return true
}

// replyControl answers a control request with out, or with why it failed.
func replyControl(w http.ResponseWriter, out obj, err error) {
	body := obj{"ok": err == nil}
	for k, v := range out {
		body[k] = v
	}
	if err != nil {
		body["error"] = err.Error()
		var refusal *apiError
		if errors.As(err, &refusal) && refusal.messages != nil {
			body["messages"] = refusal.messages
		}
	}
	reply(w, http.StatusOK, body)
}

// person is a human of the workspace who may act.
func (s *Server) person(id string) (*user, error) {
	u, ok := s.users[id]
	switch {
	case !ok || u.bot != nil:
		return nil, refuse("user_not_found")
	case u.deleted:
		return nil, refuse("account_inactive")
	}
	return u, nil
}

// viewer is whose view of the workspace a request asks for; nil is everyone's.
func (s *Server) viewer(w http.ResponseWriter, r *http.Request) (*user, bool) {
	id := r.URL.Query().Get("user")
	if id == "" {
		return nil, true
	}
	s.mu.Lock()
	u, ok := s.users[id]
	s.mu.Unlock()
	if !ok {
		http.Error(w, "user_not_found", http.StatusNotFound)
	}
	return u, ok
}

// channelState is a channel as the page sees it.
func (s *Server) channelState(ch *channel) obj {
	return obj{"id": ch.id, "name": ch.name, "topic": ch.topic, "type": ch.kind(), "is_private": ch.private, "is_archived": ch.archived,
		"is_im": ch.im, "is_mpim": ch.mpim, "is_ext_shared": ch.shared, "members": append([]string{}, ch.order...)}
}

// statusesOf are the statuses of a channel that have not run out.
func (s *Server) statusesOf(ch *channel) obj {
	out := obj{}
	for ts, st := range ch.statuses {
		if s.now().Before(st.deadline) {
			out[ts] = st
		}
	}
	return out
}

// recent are the newest messages of a channel with their threads, oldest first.
func recent(ch *channel, most int) []*message {
	out := []*message{}
	for i := len(ch.top) - 1; i >= 0 && len(out) < most; i-- {
		sl := ch.top[i]
		if sl.parent == nil {
			replies := sl.replies[max(0, len(sl.replies)-most):]
			for j := len(replies) - 1; j >= 0; j-- {
				if replies[j].msg.Subtype != "thread_broadcast" {
					out = append(out, replies[j].wire(typeOnly))
				}
			}
		}
		out = append(out, sl.wire(typeOnly))
	}
	sortMessages(out)
	return out
}

func (s *Server) serveState(w http.ResponseWriter, r *http.Request) {
	viewer, ok := s.viewer(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	out := s.state(viewer)
	s.mu.Unlock()
	reply(w, http.StatusOK, out)
}

// state is everything that viewer (nil for everyone) may see. The caller holds
// s.mu; values in it are immutable or fresh.
func (s *Server) state(viewer *user) obj {
	who := principal{kind: userToken, user: viewer}
	apps, users, channels, views := []obj{}, []obj{}, []obj{}, []view{}
	messages, hidden, statuses := map[string][]*message{}, map[string][]obj{}, obj{}
	for _, a := range s.apps {
		conns, waiting, inflight, dropped := a.hub.stats()
		apps = append(apps, obj{"id": a.ID, "name": a.Name, "bot_user_id": a.BotUser, "bot_id": a.BotID, "commands": a.Commands,
			"shortcuts": a.Shortcuts, "connections": conns, "waiting": waiting, "in_flight": inflight, "dropped": dropped, "revoked": a.revoked})
	}
	for _, id := range s.userOrder {
		users = append(users, s.show(who, s.users[id]))
	}
	for _, id := range s.channelOrder {
		ch := s.channels[id]
		if viewer != nil && !s.sees(viewer, ch) {
			continue
		}
		channels = append(channels, s.channelState(ch))
		messages[id] = recent(ch, stateDepth)
		if st := s.statusesOf(ch); len(st) > 0 {
			statuses[id] = st
		}
		for _, e := range ch.ephemeral {
			if viewer == nil || e.user == viewer.id {
				hidden[e.user] = append(hidden[e.user], obj{"channel": id, "message": e.msg})
			}
		}
	}
	for _, v := range s.views {
		if viewer == nil || v.user == viewer.id {
			views = append(views, *v)
		}
	}
	return obj{"team": obj{"id": s.team.ID, "name": s.team.Name, "domain": s.team.Domain}, "apps": apps, "users": users, "channels": channels,
		"messages": messages, "ephemeral": hidden, "statuses": statuses, "views": views, "now": s.clock.Now(), "seq": s.feed.position()}
}

// logged is one API call.
type logged struct {
	N      int64     `json:"n"`
	Method string    `json:"method"`
	Args   args      `json:"args"`
	By     string    `json:"by,omitempty"`
	OK     bool      `json:"ok"`
	Error  string    `json:"error,omitempty"`
	At     time.Time `json:"at"`
}

// callLog keeps the newest API calls. Tokens never reach it.
type callLog struct {
	mu   sync.Mutex
	ring []logged
	last int64
}

func newCallLog() *callLog { return &callLog{} }

// secretArgs never reach the log.
var secretArgs = []string{"token", "client_secret", "code", "refresh_token"}

func (l *callLog) add(method string, a args, by, failure string, at time.Time) {
	for k, v := range a {
		if len(v) > maxLogged {
			a[k] = v[:maxLogged]
		}
	}
	for _, k := range secretArgs {
		if a.has(k) {
			a[k] = "(masked)"
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	if len(l.ring) >= 2*logLength {
		l.ring = append(l.ring[:0], l.ring[len(l.ring)-logLength:]...)
	}
	l.ring = append(l.ring, logged{N: l.last, Method: method, Args: a, By: by, OK: failure == "", Error: failure, At: at})
}

func (l *callLog) since(n int64) []logged {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []logged{}
	for _, e := range l.ring[max(0, len(l.ring)-logLength):] {
		if e.N > n {
			out = append(out, e)
		}
	}
	return out
}

func (s *Server) serveLog(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.ParseInt(orElse(r.URL.Query().Get("since"), "0"), 10, 64)
	if err != nil {
		replyControl(w, nil, fmt.Errorf("since: %w", err))
		return
	}
	replyControl(w, obj{"calls": s.calls.since(since)}, nil)
}

func (s *Server) serveFaults(w http.ResponseWriter, _ *http.Request) {
	replyControl(w, obj{"faults": s.faults.all()}, nil)
}

// serveArm arms a fault. A disconnect happens at once.
func (s *Server) serveArm(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if !readControl(w, r, &f) {
		return
	}
	armed, err := s.Arm(f)
	replyControl(w, obj{"fault": armed}, err)
}

// Arm arms a fault, as POST /emulator/faults does. A disconnect is done at once,
// on all connections, and is never armed.
func (s *Server) Arm(f Fault) (Fault, error) {
	if f.Kind != faultDisconnect {
		return s.faults.arm(f)
	}
	f.Reason = orElse(f.Reason, warned)
	switch f.Reason {
	case warned, refreshed, linkOff, tooManyWebs:
	default:
		return f, fmt.Errorf("reason %q: want %s, %s, %s or %s", f.Reason, warned, refreshed, linkOff, tooManyWebs)
	}
	for _, a := range s.apps {
		f.Fired += a.hub.disconnect(f.Reason, time.Duration(f.DelayMS)*time.Millisecond)
	}
	return f, nil
}

// Disarm forgets all faults.
func (s *Server) Disarm() { s.faults.clear(0) }

func (s *Server) serveDisarm(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(orElse(r.URL.Query().Get("id"), "0"))
	if err == nil {
		s.faults.clear(id)
	}
	replyControl(w, nil, err)
}

func (s *Server) serveClock(w http.ResponseWriter, _ *http.Request) {
	replyControl(w, obj{"now": s.clock.Now()}, nil)
}

func (s *Server) serveMoveClock(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Advance string    `json:"advance"`
		Set     time.Time `json:"set"`
	}
	if !readControl(w, r, &in) {
		return
	}
	switch {
	case in.Advance != "":
		d, err := time.ParseDuration(in.Advance)
		if err != nil {
			replyControl(w, nil, fmt.Errorf("advance: %w", err))
			return
		}
		s.clock.Advance(d)
	case !in.Set.IsZero():
		s.clock.Set(in.Set)
	default:
		replyControl(w, nil, errors.New("want advance or set"))
		return
	}
	now := s.clock.Now()
	s.feed.publish(entry{kind: "clock", extra: obj{"now": now}})
	replyControl(w, obj{"now": now}, nil)
}
