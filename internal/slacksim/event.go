package slacksim

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// errNoAck means that the app did not acknowledge an interaction in time: what a
// person sees as "this didn't work".
var errNoAck = errors.New("the app did not answer in time")

// messageEvent is a message as an event carries it.
type messageEvent struct {
	*message
	Channel     string `json:"channel"`
	EventTS     string `json:"event_ts"`
	ChannelType string `json:"channel_type,omitempty"`
}

// changeEvent is a message_changed or message_deleted event.
type changeEvent struct {
	Type        string   `json:"type"`
	Subtype     string   `json:"subtype"`
	Message     *message `json:"message,omitempty"`
	Previous    *message `json:"previous_message"`
	Channel     string   `json:"channel"`
	Hidden      bool     `json:"hidden"`
	DeletedTS   string   `json:"deleted_ts,omitempty"`
	TS          string   `json:"ts"`
	EventTS     string   `json:"event_ts"`
	ChannelType string   `json:"channel_type"`
}

// authorization names the installation for which an event is delivered.
type authorization struct {
	EnterpriseID *string `json:"enterprise_id"`
	TeamID       string  `json:"team_id"`
	UserID       string  `json:"user_id"`
	IsBot        bool    `json:"is_bot"`
	IsEnterprise bool    `json:"is_enterprise_install"`
}

// eventCallback is the outer event.
type eventCallback struct {
	Token         string          `json:"token"`
	TeamID        string          `json:"team_id"`
	ContextTeam   string          `json:"context_team_id"`
	ContextOrg    *string         `json:"context_enterprise_id"`
	APIAppID      string          `json:"api_app_id"`
	Event         any             `json:"event"`
	Type          string          `json:"type"`
	EventID       string          `json:"event_id"`
	EventTime     int64           `json:"event_time"`
	Authorization []authorization `json:"authorizations"`
	ExtShared     bool            `json:"is_ext_shared_channel"`
	Context       string          `json:"event_context,omitempty"`
}

// send delivers an inner event to one app, whatever it subscribes to. The caller
// holds s.mu, which makes the order of events the order of what happened.
func (s *Server) send(a *app, event any, ch *channel) {
	now := s.clock.Now()
	out := eventCallback{
		Token: verification(a.AppSeed), TeamID: s.team.ID, ContextTeam: s.team.ID, APIAppID: a.ID, Event: event, Type: "event_callback",
		EventID: s.newID("Ev"), EventTime: now.Unix(),
		Authorization: []authorization{{TeamID: s.team.ID, UserID: a.BotUser, IsBot: true}},
	}
	if ch != nil {
		out.ExtShared = ch.shared
		out.Context = "4-" + ch.id
	}
	e := &envelope{id: s.newID("E"), kind: "events_api", payload: encode(out), born: time.Now()}
	if a.hook != nil {
		a.hook.push(e)
		return
	}
	a.hub.push(e)
}

// announce delivers an event to every app that subscribes to name, may see the
// channel (nil for events of the workspace), and holds one of scopes.
func (s *Server) announce(name string, event any, ch *channel, scopes ...string) {
	for _, a := range s.apps {
		if a.revoked || !a.events[name] || ch != nil && !ch.members[a.BotUser] {
			continue
		}
		bot := principal{kind: botToken, app: a}
		if bot.holds(scopes...) == nil {
			s.send(a, event, ch)
		}
	}
}

// eventTS is a timestamp for an event that is not a message.
func (s *Server) eventTS() string { return formatTS(s.clock.Now().UnixMicro()) }

// announceMessage delivers a new message, and the mention beside it.
func (s *Server) announceMessage(ch *channel, sl *slot) {
	shown := sl.wire(typeOnly)
	event := messageEvent{message: shown, Channel: ch.id, EventTS: shown.TS, ChannelType: ch.kind()}
	s.announce("message."+ch.plural(), event, ch, ch.plural()+":history")
	if ch.im || shown.Subtype != "" && shown.Subtype != "file_share" && shown.Subtype != "thread_broadcast" {
		return
	}
	for _, a := range s.apps {
		if a.revoked || !a.events["app_mention"] || !a.scopes["app_mentions:read"] || !ch.members[a.BotUser] || shown.User == a.BotUser {
			continue
		}
		if mentions(shown.Text, a.BotUser) {
			mention := *shown
			mention.Type, mention.Subtype, mention.Root = "app_mention", "", nil
			s.send(a, messageEvent{message: &mention, Channel: ch.id, EventTS: shown.TS}, ch)
		}
	}
}

// mentions reports whether text mentions a user.
func mentions(text, userID string) bool {
	return strings.Contains(text, "<@"+userID+">") || strings.Contains(text, "<@"+userID+"|")
}

// announceChange delivers that a message was edited, by a person, an app or an
// unfurl. Reactions and reply counts change nothing here, as in Slack.
func (s *Server) announceChange(ch *channel, now, previous *message) {
	ts := ch.nextTS(s.clock.Now())
	event := changeEvent{Type: "message", Subtype: "message_changed", Message: now, Previous: previous, Channel: ch.id,
		Hidden: true, TS: ts, EventTS: ts, ChannelType: ch.kind()}
	s.announce("message."+ch.plural(), event, ch, ch.plural()+":history")
}

func (s *Server) announceDelete(ch *channel, previous *message) {
	ts := ch.nextTS(s.clock.Now())
	event := changeEvent{Type: "message", Subtype: "message_deleted", Previous: previous, Channel: ch.id, Hidden: true,
		DeletedTS: previous.TS, TS: ts, EventTS: ts, ChannelType: ch.kind()}
	s.announce("message."+ch.plural(), event, ch, ch.plural()+":history")
}

// announceMembership delivers that someone joined or left. The app itself hears
// of its own joining; of its leaving it hears channel_left or group_left.
func (s *Server) announceMembership(ch *channel, u *user, joined bool, inviter string) {
	event := obj{"type": "member_left_channel", "user": u.id, "channel": ch.id, "channel_type": ch.id[:1], "team": u.team, "event_ts": s.eventTS()}
	if joined {
		event["type"] = "member_joined_channel"
		if inviter != "" {
			event["inviter"] = inviter
		}
	}
	s.announce(event["type"].(string), event, ch, ch.plural()+":read")
	if !joined && u.bot != nil && !u.bot.revoked {
		name := ch.kind() + "_left"
		if u.bot.events[name] {
			s.send(u.bot, obj{"type": name, "channel": ch.id, "actor_id": inviter, "event_ts": s.eventTS()}, nil)
		}
	}
}

// ask delivers an interaction to an app and waits for its acknowledgement, whose
// payload it returns. Nobody else may hold s.mu for it.
func (s *Server) ask(a *app, kind, target string, payload obj) (json.RawMessage, error) {
	if a.hook != nil {
		return a.hook.ask(target, interactionForm(kind, payload))
	}
	s.mu.Lock()
	id := s.newID("E")
	s.mu.Unlock()
	e := &envelope{id: id, kind: kind, payload: encode(payload), accepts: true, born: time.Now(), acked: make(chan json.RawMessage, 1)}
	a.hub.push(e)
	t := time.NewTimer(s.options.AckTimeout)
	defer t.Stop()
	select {
	case answer := <-e.acked:
		return answer, nil
	case <-t.C:
	case <-s.ctx.Done():
	}
	a.hub.withdraw(e)
	return nil, errNoAck
}
