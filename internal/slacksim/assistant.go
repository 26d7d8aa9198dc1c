package slacksim

import (
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"
)

// statusLife is when Slack clears a status that nobody renewed.
const statusLife = 2 * time.Minute

// sessionStatuses are the states of an agent's session.
var sessionStatuses = setOf([]string{"processing", "active", "suspended", "closed"})

// threaded is the channel and thread of a call that names channel_id and
// thread_ts.
func (c *call) threaded(needThread bool) (*channel, string, error) {
	if err := c.args.need("channel_id"); err != nil {
		return nil, "", err
	}
	if needThread {
		if err := c.args.need("thread_ts"); err != nil {
			return nil, "", err
		}
	}
	ch, err := c.find(c.who, c.args["channel_id"])
	if err != nil {
		return nil, "", err
	}
	if !ch.members[c.who.user.id] {
		return nil, "", refuse("not_in_channel")
	}
	ts := c.args["thread_ts"]
	if ts == "" {
		return ch, "", nil
	}
	root, err := threadOf(ch, ts)
	if err != nil {
		return nil, "", refuse("invalid_thread_ts")
	}
	return ch, root.msg.TS, nil
}

func setThreadStatus(c *call) (obj, error) {
	ch, ts, err := c.threaded(true)
	if err != nil {
		return nil, err
	}
	loading := c.args.list("loading_messages")
	if len(loading) > 10 {
		return nil, refuse("invalid_arguments", "[ERROR] no more than 10 items allowed [json-pointer:/loading_messages]")
	}
	status := c.args["status"]
	if status == "" {
		delete(ch.statuses, ts)
	} else {
		ch.statuses[ts] = threadStatus{App: c.who.app.ID, Status: status, Loading: loading, deadline: c.now().Add(statusLife)}
	}
	c.feed.publish(entry{kind: "status", channel: ch, extra: obj{"thread_ts": ts, "status": status, "loading_messages": loading, "app_id": c.who.app.ID}})
	return nil, nil
}

// clearStatus ends an app's status in a thread, as its answer does.
func (s *Server) clearStatus(ch *channel, ts string) {
	if _, there := ch.statuses[ts]; there {
		delete(ch.statuses, ts)
		s.feed.publish(entry{kind: "status", channel: ch, extra: obj{"thread_ts": ts, "status": ""}})
	}
}

// serveAssistant opens an assistant thread for someone, or tells the app that
// they look at another channel beside it.
func (s *Server) serveAssistant(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User    string `json:"user"`
		Event   string `json:"event"` // started or context_changed
		Context string `json:"context_channel"`
		Thread  string `json:"thread_ts"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.person(in.User)
	a := s.appOf(s.first().ID)
	switch {
	case err != nil:
	case a == nil:
		err = refuse("app_not_found")
	case in.Event != "started" && in.Event != "context_changed":
		err = refuse("unknown_event")
	}
	if err != nil {
		replyControl(w, nil, err)
		return
	}
	ch, _ := s.direct(u.id, a.BotUser)
	if in.Event == "started" {
		m := &message{Type: "message", Subtype: "assistant_app_thread", Text: "New Assistant Thread", TS: ch.nextTS(s.clock.Now())}
		s.author(m, principal{kind: botToken, app: a, user: s.users[a.BotUser]})
		m.ThreadTS, in.Thread = m.TS, m.TS
		s.feedMessage("message", ch, ch.add(m, nil))
	}
	context := obj{}
	if in.Context != "" {
		context = obj{"channel_id": in.Context, "team_id": s.team.ID, "enterprise_id": nil}
	}
	kind := "assistant_thread_" + in.Event
	s.announceTo(a, kind, obj{"type": kind, "event_ts": s.eventTS(),
		"assistant_thread": obj{"user_id": u.id, "context": context, "channel_id": ch.id, "thread_ts": in.Thread}})
	replyControl(w, obj{"channel": ch.id, "thread_ts": in.Thread}, nil)
}

func setThreadTitle(c *call) (obj, error) {
	ch, ts, err := c.threaded(true)
	if err != nil {
		return nil, err
	}
	if err := c.args.need("title"); err != nil {
		return nil, err
	}
	c.sessionOf(ch, ts).Title = c.args["title"]
	return nil, nil
}

func setSuggestedPrompts(c *call) (obj, error) {
	ch, ts, err := c.threaded(false)
	if err != nil {
		return nil, err
	}
	if err := c.args.need("prompts"); err != nil {
		return nil, err
	}
	var prompts []struct {
		Title   string `json:"title"`
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(c.args["prompts"]), &prompts) != nil || len(prompts) == 0 || len(prompts) > 4 {
		return nil, refuse("invalid_arguments", "[ERROR] must be a list of 1 to 4 prompts [json-pointer:/prompts]")
	}
	for _, p := range prompts {
		if p.Title == "" || p.Message == "" {
			return nil, refuse("invalid_arguments", "[ERROR] missing required field: title or message [json-pointer:/prompts]")
		}
	}
	c.feed.publish(entry{kind: "prompts", channel: ch, extra: obj{"thread_ts": ts, "title": c.args["title"], "prompts": prompts}})
	return nil, nil
}

// sessionOf is the agent's session in a thread, made at first use.
func (s *Server) sessionOf(ch *channel, ts string) *session {
	if ch.sessions[ts] == nil {
		ch.sessions[ts] = &session{Status: "active"}
	}
	return ch.sessions[ts]
}

func setSessionStatus(c *call) (obj, error) {
	ch, ts, err := c.threaded(true)
	if err != nil {
		return nil, err
	}
	title, initiator := c.args["title"], c.args["initiator_user_id"]
	switch {
	case !sessionStatuses[c.args["status"]]:
		return nil, refuse("invalid_arguments", "[ERROR] must be a valid enum value [json-pointer:/status]")
	case utf8.RuneCountInString(title) > 200:
		return nil, refuse("invalid_arguments", "[ERROR] must be less than 201 characters [json-pointer:/title]")
	case initiator != "" && !ch.members[initiator]:
		return nil, refuse("user_not_in_channel")
	}
	if _, exists := ch.sessions[ts]; !exists {
		c.sessionOf(ch, ts).Title = title // of an existing session it is ignored
	}
	ss := c.sessionOf(ch, ts)
	ss.Status = c.args["status"]
	c.feedSession(ch, ts, ss)
	return obj{"status": ss.Status, "agent_status": ss.Status, "title": ss.Title}, nil
}

func renameSession(c *call) (obj, error) {
	ch, ts, err := c.threaded(true)
	if err != nil {
		return nil, err
	}
	if n := utf8.RuneCountInString(c.args["title"]); n == 0 || n > 200 {
		return nil, refuse("invalid_arguments", "[ERROR] must be 1 to 200 characters [json-pointer:/title]")
	}
	ss, ok := ch.sessions[ts]
	if !ok {
		return nil, refuse("session_not_found")
	}
	ss.Title = c.args["title"]
	c.feedSession(ch, ts, ss)
	return obj{"title": ss.Title}, nil
}

// feedSession tells pages of a session's state.
func (s *Server) feedSession(ch *channel, ts string, ss *session) {
	s.feed.publish(entry{kind: "session", channel: ch, extra: obj{"thread_ts": ts, "session": *ss}})
}
