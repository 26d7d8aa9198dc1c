package slacksim

import (
	"net/http"
	"slices"
	"strings"
)

// What administrators of a workspace do, with the events that Slack sends.

func sortMessages(list []*message) {
	slices.SortFunc(list, func(a, b *message) int {
		switch {
		case before(a.TS, b.TS):
			return -1
		case a.TS == b.TS:
			return 0
		default:
			return 1
		}
	})
}

func (s *Server) serveMembership(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Channel string `json:"channel"`
		User    string `json:"user"`
		Action  string `json:"action"`
		Inviter string `json:"inviter"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, u := s.channels[in.Channel], s.users[in.User]
	switch {
	case ch == nil || ch.im || ch.mpim:
		replyControl(w, nil, refuse("channel_not_found"))
	case u == nil:
		replyControl(w, nil, refuse("user_not_found"))
	case in.Action == "join":
		replyControl(w, obj{"changed": s.join(ch, u, in.Inviter)}, nil)
	case in.Action == "leave":
		replyControl(w, obj{"changed": s.leave(ch, u, in.Inviter)}, nil)
	default:
		replyControl(w, nil, refuse("unknown_action"))
	}
}

// leave removes a member and tells everyone.
func (s *Server) leave(ch *channel, u *user, actor string) bool {
	if !ch.members[u.id] {
		return false
	}
	s.announceMembership(ch, u, false, actor) // while the app that leaves still hears it
	ch.leave(u.id)
	s.feedChannel(ch)
	s.feedGone(ch, u)
	return true
}

func (s *Server) serveUser(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User       string  `json:"user"`
		Deleted    *bool   `json:"deleted"`
		Restricted *bool   `json:"is_restricted"`
		Ultra      *bool   `json:"is_ultra_restricted"`
		Admin      *bool   `json:"is_admin"`
		TZ         *string `json:"tz"`
		RealName   *string `json:"real_name"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.users[in.User]
	if !ok {
		replyControl(w, nil, refuse("user_not_found"))
		return
	}
	u := *old
	for _, f := range []struct {
		to   *bool
		from *bool
	}{{&u.deleted, in.Deleted}, {&u.restricted, in.Restricted}, {&u.ultra, in.Ultra}, {&u.admin, in.Admin}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if in.TZ != nil {
		u.tz = *in.TZ
	}
	if in.RealName != nil {
		u.real = *in.RealName
	}
	u.updated = s.clock.Now().Unix()
	*old = u
	for _, a := range s.apps {
		bot := principal{kind: botToken, app: a, user: s.users[a.BotUser]}
		if bot.holds("users:read") == nil {
			s.announceTo(a, "user_change", obj{"type": "user_change", "user": s.show(bot, old), "cache_ts": u.updated, "event_ts": s.eventTS()})
		}
	}
	s.feed.publish(entry{kind: "user", extra: obj{"user_info": s.show(principal{kind: userToken, user: old}, old)}})
	replyControl(w, nil, nil)
}

func (s *Server) serveChannel(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Channel  string  `json:"channel"`
		User     string  `json:"user"`
		Private  *bool   `json:"is_private"`
		Archived *bool   `json:"is_archived"`
		Shared   *bool   `json:"is_ext_shared"`
		Name     *string `json:"name"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, ok := s.channels[in.Channel]
	if !ok || ch.im {
		replyControl(w, nil, refuse("channel_not_found"))
		return
	}
	by := orElse(in.User, s.firstAdmin())
	if in.Private != nil {
		ch.private = *in.Private
	}
	if in.Archived != nil && *in.Archived != ch.archived {
		ch.archived = *in.Archived
		name := ch.kind() + "_archive"
		if !ch.archived {
			name = ch.kind() + "_unarchive"
		}
		s.announceChannel(name, ch, obj{"channel": ch.id, "user": by})
	}
	if in.Name != nil && *in.Name != ch.name {
		ch.name = strings.ToLower(*in.Name)
		s.announceChannel(ch.kind()+"_rename", ch, obj{"channel": obj{"id": ch.id, "name": ch.name, "name_normalized": ch.name,
			"created": ch.created.Unix(), "is_channel": !ch.private, "is_mpim": ch.mpim}})
	}
	if in.Shared != nil && *in.Shared != ch.shared {
		ch.shared = *in.Shared
		event := obj{"channel": ch.id, "connected_team_id": s.partner(ch)}
		name := "channel_shared"
		if !ch.shared {
			name = "channel_unshared"
			event["previously_connected_team_id"], event["is_ext_shared"] = s.partner(ch), false
			delete(event, "connected_team_id")
		}
		s.announceChannel(name, ch, event)
	}
	s.feedChannel(ch)
	replyControl(w, nil, nil)
}

// announceChannel delivers an event about a channel to the apps in it.
func (s *Server) announceChannel(name string, ch *channel, event obj) {
	event["type"], event["event_ts"] = name, s.eventTS()
	s.announce(name, event, ch, ch.plural()+":read")
}

// partner is the other organisation in a shared channel.
func (s *Server) partner(ch *channel) string {
	for _, m := range ch.order {
		if t := s.users[m].team; t != s.team.ID {
			return t
		}
	}
	return ""
}

func (s *Server) serveTokens(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Action string `json:"action"`
		App    string `json:"app"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.apps, func(a *app) bool { return in.App == "" || a.ID == in.App })
	if i < 0 {
		replyControl(w, nil, refuse("app_not_found"))
		return
	}
	a := s.apps[i]
	switch in.Action {
	case "revoke":
		s.revoke(a)
	case "uninstall":
		s.announceTo(a, "app_uninstalled", obj{"type": "app_uninstalled", "event_ts": s.eventTS()})
		s.revoke(a)
	case "restore":
		a.revoked = false
	default:
		replyControl(w, nil, refuse("unknown_action"))
		return
	}
	replyControl(w, nil, nil)
}
