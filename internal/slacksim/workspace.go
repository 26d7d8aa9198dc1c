package slacksim

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// app is an installed app and what its tokens may do.
type app struct {
	AppSeed
	scopes  map[string]bool
	events  map[string]bool
	revoked bool
	hub     *hub
	hook    *webhook
	limits  *limiter
	homes   map[string]*view // the Home tab, by user
}

// user is a person or the bot user of an app.
type user struct {
	id, name, real, email, tz, team string
	admin, owner                    bool
	restricted, ultra               bool
	deleted                         bool
	bot                             *app
	updated                         int64
}

// guest reports whether the user sees only the channels they were invited to.
func (u *user) guest() bool { return u.restricted || u.ultra }

// channel is a conversation of any kind. Its messages are kept oldest first.
type channel struct {
	id, name, topic, creator  string
	private, shared, archived bool
	im, mpim                  bool
	created                   time.Time
	members                   map[string]bool
	order                     []string // member ids, in the order they joined
	top                       []*slot  // what the channel shows: roots and broadcasts
	byTS                      map[string]*slot
	lastTS                    int64 // microseconds; the newest timestamp ever given
	ephemeral                 []*ephemeral
	pins                      []pin                   // oldest first
	statuses                  map[string]threadStatus // by thread ts
	sessions                  map[string]*session     // by thread ts
	count                     int
}

// slot is the place of one message. The message itself is never changed, only
// replaced, so that events and streams can hold it without a lock.
type slot struct {
	msg     *message
	replies []*slot        // of a thread root, oldest first
	writers []string       // who replied, in the order of their first reply
	written map[string]int // how many replies each of them has
	parent  *slot          // of a reply
	stream  *stream        // while it is being streamed, and after
}

// ephemeral is a message that one person sees until they reload.
type ephemeral struct {
	user string
	msg  *message
}

// threadStatus is what an app said it is doing in a thread.
type threadStatus struct {
	App      string    `json:"app_id"`
	Status   string    `json:"status"`
	Loading  []string  `json:"loading_messages,omitempty"`
	deadline time.Time // real time; Slack clears a status after two minutes
}

// session is the state of an agent's session in a thread.
type session struct {
	Status string `json:"status"`
	Title  string `json:"title,omitempty"`
}

// kind is the word Slack uses for the channel's type in events.
func (c *channel) kind() string {
	switch {
	case c.im:
		return "im"
	case c.mpim:
		return "mpim"
	case c.private:
		return "group"
	default:
		return "channel"
	}
}

// plural is the kind as it appears in scopes and event names.
func (c *channel) plural() string {
	if k := c.kind(); k == "channel" || k == "group" {
		return k + "s"
	}
	return c.kind()
}

func (c *channel) join(userID string) bool {
	if c.members[userID] {
		return false
	}
	c.members[userID] = true
	c.order = append(c.order, userID)
	return true
}

func (c *channel) leave(userID string) bool {
	if !c.members[userID] {
		return false
	}
	delete(c.members, userID)
	c.order = slices.DeleteFunc(c.order, func(id string) bool { return id == userID })
	return true
}

// nextTS is a timestamp for now that no message of the channel has had, later
// than all of them.
func (c *channel) nextTS(now time.Time) string {
	c.lastTS = max(c.lastTS+1, now.UnixMicro())
	return formatTS(c.lastTS)
}

func formatTS(us int64) string { return fmt.Sprintf("%d.%06d", us/1e6, us%1e6) }

// add puts a message into the channel, under its thread if it has one.
func (c *channel) add(m *message, parent *slot) *slot {
	sl := &slot{msg: m, parent: parent}
	c.byTS[m.TS] = sl
	c.count++
	if parent != nil {
		parent.answer(sl)
	}
	if parent == nil || m.Subtype == "thread_broadcast" {
		c.top = append(c.top, sl)
	}
	return sl
}

// drop takes a message out. A thread root with replies stays as a tombstone, as
// in Slack.
func (c *channel) drop(sl *slot) {
	c.pins = slices.DeleteFunc(c.pins, func(p pin) bool { return p.ts == sl.msg.TS })
	if len(sl.replies) > 0 {
		sl.msg = &message{Type: "message", Subtype: "tombstone", User: "USLACKBOT", Text: "This message was deleted.",
			TS: sl.msg.TS, ThreadTS: sl.msg.TS, Hidden: true, Team: sl.msg.Team}
		return
	}
	delete(c.byTS, sl.msg.TS)
	c.count--
	if sl.parent != nil {
		sl.parent.unanswer(sl)
	}
	if sl.parent == nil || sl.msg.Subtype == "thread_broadcast" {
		c.top = cut(c.top, sl)
	}
}

// answer adds a reply to a root.
func (sl *slot) answer(reply *slot) {
	sl.replies = append(sl.replies, reply)
	if sl.written == nil {
		sl.written = map[string]int{}
	}
	who := reply.msg.User
	if sl.written[who]++; sl.written[who] == 1 {
		sl.writers = append(sl.writers, who)
	}
}

// unanswer removes a reply from a root.
func (sl *slot) unanswer(reply *slot) {
	sl.replies = cut(sl.replies, reply)
	who := reply.msg.User
	if sl.written[who]--; sl.written[who] == 0 {
		delete(sl.written, who)
		sl.writers = slices.DeleteFunc(sl.writers, func(id string) bool { return id == who })
	}
}

// cut removes sl from a list sorted by timestamp.
func cut(list []*slot, sl *slot) []*slot {
	i := sort.Search(len(list), func(i int) bool { return !before(list[i].msg.TS, sl.msg.TS) })
	if i < len(list) && list[i] == sl {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// before orders timestamps: numerically, which for equal lengths is by text.
func before(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

// trim forgets the oldest messages beyond limit, each root with its thread.
func (c *channel) trim(limit int) {
	gone := 0
	for c.count > limit && gone < len(c.top)-1 {
		sl := c.top[gone]
		for _, r := range sl.replies {
			delete(c.byTS, r.msg.TS)
			c.count--
		}
		if _, there := c.byTS[sl.msg.TS]; there {
			delete(c.byTS, sl.msg.TS)
			c.count--
		}
		c.top[gone] = nil // the array outlives the slice until it grows again
		gone++
	}
	c.top = c.top[gone:]
}

// sees reports whether u may read c: members always, others only public
// channels, and guests and outsiders never beyond their membership.
func (s *Server) sees(u *user, c *channel) bool {
	if c.members[u.id] {
		return true
	}
	return !c.private && !c.im && !c.mpim && !u.guest() && u.team == s.team.ID
}

// newID is an id that this server has not used: a type letter and text that only
// grows.
func (s *Server) newID(letter string) string {
	s.serial++
	n := base36(s.serial)
	return letter + s.nonce + strings.Repeat("0", max(0, 6-len(n))) + n
}

// blockID is an id for a block or element that came without one.
func (s *Server) blockID() string {
	s.serial++
	return "b" + strings.ToLower(base36(s.serial))
}

// uuid is a client_msg_id, which Slack's own clients give their messages.
func (s *Server) uuid() string {
	s.serial++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", s.serial)
}

func base36(n int64) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if n == 0 {
		return "0"
	}
	var b []byte
	for ; n > 0; n /= 36 {
		b = append(b, digits[n%36])
	}
	slices.Reverse(b)
	return string(b)
}

// populate builds the workspace from a completed seed.
func (s *Server) populate(seed *Seed) {
	s.team = seed.Team
	now := s.clock.Now()
	for _, u := range seed.Users {
		s.users[u.ID] = &user{id: u.ID, name: u.Name, real: u.Real, email: u.Email, tz: u.TZ, team: u.Team, admin: u.Admin,
			owner: u.Owner, restricted: u.Guest || u.Single, ultra: u.Single, deleted: u.Deleted, updated: now.Unix()}
		s.userOrder = append(s.userOrder, u.ID)
	}
	s.groups = slices.Clone(seed.Groups)
	for _, a := range seed.Apps {
		installed := &app{AppSeed: a, scopes: setOf(a.Scopes), events: setOf(a.Events), homes: map[string]*view{},
			limits: newLimiter(seed.RateLimits == "off" || s.options.RateLimitsOff)}
		installed.hub = newHub(s.log, s.faults, s.options)
		installed.hook = newWebhook(s.log, a, s.faults, s.options)
		s.apps = append(s.apps, installed)
		s.users[a.BotUser] = &user{id: a.BotUser, name: a.Name, real: a.Name, tz: "Etc/UTC", team: seed.Team.ID, bot: installed, updated: now.Unix()}
		s.userOrder = append(s.userOrder, a.BotUser)
		s.tokens[a.BotToken] = principal{kind: botToken, app: installed, user: s.users[a.BotUser]}
		s.tokens[a.AppToken] = principal{kind: appToken, app: installed}
	}
	for _, c := range seed.Channels {
		ch := newChannel(c.ID, c.Name, now)
		ch.topic, ch.private, ch.shared, ch.archived = c.Topic, c.Private, c.Shared, c.Archived
		for _, m := range c.Members {
			ch.join(m)
		}
		if len(c.Members) > 0 {
			ch.creator = c.Members[0]
		}
		s.addChannel(ch)
	}
}

func newChannel(id, name string, now time.Time) *channel {
	return &channel{id: id, name: name, created: now, members: map[string]bool{}, byTS: map[string]*slot{},
		statuses: map[string]threadStatus{}, sessions: map[string]*session{}}
}

func (s *Server) addChannel(c *channel) {
	s.channels[c.id] = c
	s.channelOrder = append(s.channelOrder, c.id)
}

// direct is the conversation of exactly these people, made at first use.
func (s *Server) direct(ids ...string) (c *channel, existed bool) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	key := strings.Join(ids, ",")
	if id, ok := s.directs[key]; ok {
		return s.channels[id], true
	}
	letter, name := "D", ""
	if len(ids) > 2 {
		letter = "G"
		names := make([]string, len(ids))
		for i, id := range ids {
			names[i] = s.users[id].name
		}
		name = "mpdm-" + strings.Join(names, "--") + "-1"
	}
	c = newChannel(s.newID(letter), name, s.clock.Now())
	c.im, c.mpim, c.private = letter == "D", letter == "G", true
	for _, id := range ids {
		c.join(id)
	}
	s.directs[key] = c.id
	s.addChannel(c)
	s.feedChannel(c)
	return c, false
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}
