package slacksim

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// statusLife is when Slack clears a status that nobody renewed.
const statusLife = 2 * time.Minute

// sessionStatuses are the states of an agent's session.
var sessionStatuses = setOf([]string{"processing", "active", "suspended", "closed"})

// threaded is the channel and thread of a call that names channel_id and
// thread_ts, or channel and thread_ts.
func (c *call) threaded(channelArg string, needThread bool) (*channel, string, error) {
	if err := c.args.need(channelArg); err != nil {
		return nil, "", err
	}
	if needThread {
		if err := c.args.need("thread_ts"); err != nil {
			return nil, "", err
		}
	}
	ch, err := c.find(c.who, c.args[channelArg])
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
	ch, ts, err := c.threaded("channel_id", true)
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

func setThreadTitle(c *call) (obj, error) {
	ch, ts, err := c.threaded("channel_id", true)
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
	ch, ts, err := c.threaded("channel_id", false)
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
	ch, ts, err := c.threaded("channel", true)
	if err != nil {
		return nil, err
	}
	if !sessionStatuses[c.args["status"]] {
		return nil, refuse("invalid_arguments", "[ERROR] must be a valid enum value [json-pointer:/status]")
	}
	if utf8.RuneCountInString(c.args["title"]) > 200 {
		return nil, refuse("invalid_arguments", "[ERROR] must be less than 201 characters [json-pointer:/title]")
	}
	ss := c.sessionOf(ch, ts)
	ss.Status = c.args["status"]
	if t := c.args["title"]; t != "" {
		ss.Title = t
	}
	c.feed.publish(entry{kind: "session", channel: ch, extra: obj{"thread_ts": ts, "session": *ss}})
	return nil, nil
}

func renameSession(c *call) (obj, error) {
	ch, ts, err := c.threaded("channel", true)
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
	c.feed.publish(entry{kind: "session", channel: ch, extra: obj{"thread_ts": ts, "session": *ss}})
	return nil, nil
}
