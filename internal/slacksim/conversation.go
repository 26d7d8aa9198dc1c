package slacksim

import (
	"encoding/base64"
	"slices"
	"sort"
	"strings"
)

// info is a channel as the Web API shows it to a principal.
func (s *Server) info(who principal, ch *channel) obj {
	o := obj{"id": ch.id, "created": ch.created.Unix(), "is_archived": ch.archived, "is_im": ch.im, "is_org_shared": false,
		"context_team_id": s.team.ID, "updated": ch.created.UnixMilli()}
	if ch.im {
		o["user"] = who.user.id
		for _, m := range ch.order {
			if m != who.user.id {
				o["user"], o["is_user_deleted"] = m, s.users[m].deleted
			}
		}
		return o
	}
	shared := []string{s.team.ID}
	if ch.shared {
		for _, m := range ch.order {
			if t := s.users[m].team; !slices.Contains(shared, t) {
				shared = append(shared, t)
			}
		}
	}
	for k, v := range (obj{
		"is_mpim": ch.mpim, "is_private": ch.private, "name": ch.name, "name_normalized": ch.name, "is_channel": !ch.mpim && (!ch.private || strings.HasPrefix(ch.id, "C")), "is_group": ch.private && strings.HasPrefix(ch.id, "G") && !ch.mpim,
		"is_general": ch.id == s.general(), "unlinked": 0, "is_shared": ch.shared, "is_ext_shared": ch.shared,
		"is_pending_ext_shared": false, "pending_shared": []string{}, "pending_connected_team_ids": []string{},
		"creator": ch.creator, "is_member": ch.members[who.user.id], "shared_team_ids": shared, "previous_names": []string{},
		"topic":   obj{"value": ch.topic, "creator": ch.creator, "last_set": ch.created.Unix()},
		"purpose": obj{"value": "", "creator": "", "last_set": 0},
	}) {
		o[k] = v
	}
	return o
}

// general is the id of the workspace's first channel, which Slack calls general.
func (s *Server) general() string {
	if len(s.channelOrder) == 0 {
		return ""
	}
	return s.channelOrder[0]
}

// named is the channel of the argument "channel", if the caller may see it and
// holds the scope for its kind, such as "history" or "read".
func (c *call) named(scope string) (*channel, error) {
	if err := c.args.need("channel"); err != nil {
		return nil, err
	}
	ch, err := c.find(c.who, c.args["channel"])
	if err != nil {
		return nil, err
	}
	return ch, c.who.holds(ch.plural() + ":" + scope)
}

func conversationInfo(c *call) (obj, error) {
	ch, err := c.named("read")
	if err != nil {
		return nil, err
	}
	o := c.info(c.who, ch)
	if c.args.flag("include_num_members", false) {
		o["num_members"] = len(ch.members)
	}
	return obj{"channel": o}, nil
}

func conversationList(c *call) (obj, error) {
	return listConversations(c, func(ch *channel) bool { return true })
}

// userConversations lists what the caller is in, or what somebody else is in and
// the caller may know of.
func userConversations(c *call) (obj, error) {
	id := orElse(c.args["user"], c.who.user.id)
	if _, ok := c.users[id]; !ok {
		return nil, refuse("user_not_found")
	}
	return listConversations(c, func(ch *channel) bool { return ch.members[id] })
}

func listConversations(c *call, fits func(*channel) bool) (obj, error) {
	types := c.args.list("types")
	if types == nil {
		types = []string{"public_channel"}
	}
	kinds := map[string]string{"public_channel": "channel", "private_channel": "group", "im": "im", "mpim": "mpim"}
	want := map[string]bool{}
	var scopes []string
	for _, t := range types {
		k, ok := kinds[t]
		if !ok {
			return nil, refuse("invalid_types")
		}
		want[k] = true
		scopes = append(scopes, (&channel{im: k == "im", mpim: k == "mpim", private: k == "group"}).plural()+":read")
	}
	for _, sc := range scopes {
		if err := c.who.holds(sc); err != nil {
			return nil, err
		}
	}
	var all []any
	for _, id := range c.channelOrder {
		ch := c.channels[id]
		if !want[ch.kind()] || !fits(ch) || !c.sees(c.who.user, ch) || ch.archived && c.args.flag("exclude_archived", false) {
			continue
		}
		o := c.info(c.who, ch)
		if !ch.im {
			o["num_members"] = len(ch.members)
		}
		all = append(all, o)
	}
	page, next, err := paginate(c.args, all, 100)
	if err != nil {
		return nil, err
	}
	return obj{"channels": page, "response_metadata": obj{"next_cursor": next}}, nil
}

// paginate cuts the page that limit and cursor ask for out of all.
func paginate[T any](a args, all []T, fallback int) (page []T, next string, err error) {
	from := 0
	if cur := a["cursor"]; cur != "" {
		from, err = readCursor(cur)
		if err != nil || from > len(all) {
			return nil, "", refuse("invalid_cursor")
		}
	}
	to := min(len(all), from+a.number("limit", fallback, 1, 1000))
	if to < len(all) {
		next = base64.StdEncoding.EncodeToString([]byte("next:" + base36(int64(to))))
	}
	page = all[from:to]
	if page == nil {
		page = []T{}
	}
	return page, next, nil
}

func readCursor(cursor string) (int, error) {
	raw, err := base64.StdEncoding.DecodeString(cursor)
	text, ok := strings.CutPrefix(string(raw), "next:")
	if err != nil || !ok {
		return 0, refuse("invalid_cursor")
	}
	n := 0
	for _, r := range text {
		d := strings.IndexRune("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", r)
		if d < 0 || n > 1<<56 {
			return 0, refuse("invalid_cursor")
		}
		n = n*36 + d
	}
	return n, nil
}

func conversationMembers(c *call) (obj, error) {
	ch, err := c.named("read")
	if err != nil {
		return nil, err
	}
	page, next, err := paginate(c.args, ch.order, 100)
	if err != nil {
		return nil, err
	}
	return obj{"members": slices.Clone(page), "response_metadata": obj{"next_cursor": next}}, nil
}

func conversationOpen(c *call) (obj, error) {
	var ch *channel
	existed := true
	switch {
	case c.args.has("channel"):
		found, err := c.find(c.who, c.args["channel"])
		if err != nil {
			return nil, err
		}
		if !found.im && !found.mpim {
			return nil, refuse("method_not_supported_for_channel_type")
		}
		ch = found
	case c.args.has("users"):
		ids := c.args.list("users")
		if len(ids) > 8 {
			return nil, refuse("too_many_users")
		}
		scope := "im:write"
		if len(ids) > 1 {
			scope = "mpim:write"
		}
		if err := c.who.holds(scope); err != nil {
			return nil, err
		}
		for _, id := range ids {
			u, ok := c.users[id]
			switch {
			case !ok:
				return nil, refuse("user_not_found")
			case u.deleted:
				return nil, refuse("user_disabled")
			case u.bot != nil && c.who.kind == botToken && u.bot != c.who.app:
				return nil, refuse("cannot_dm_bot")
			case id == c.who.user.id && c.who.kind == botToken:
				return nil, refuse("cannot_dm_bot")
			}
		}
		ch, existed = c.direct(append(ids, c.who.user.id)...)
	default:
		return nil, refuse("users_list_not_supplied")
	}
	out := obj{"channel": obj{"id": ch.id}}
	if c.args.flag("return_im", false) {
		out["channel"] = c.info(c.who, ch)
	}
	if existed {
		out["no_op"], out["already_open"] = true, true
	}
	return out, nil
}

func conversationJoin(c *call) (obj, error) {
	if err := c.args.need("channel"); err != nil {
		return nil, err
	}
	ch, err := c.find(c.who, c.args["channel"])
	switch {
	case err != nil:
		return nil, err
	case ch.im || ch.mpim || ch.private && !ch.members[c.who.user.id]:
		return nil, refuse("method_not_supported_for_channel_type")
	case ch.archived:
		return nil, refuse("is_archived")
	}
	out := obj{}
	if c.join(ch, c.who.user, "") {
		out["channel"] = c.info(c.who, ch)
		return out, nil
	}
	out["channel"] = c.info(c.who, ch)
	out["warning"] = "already_in_channel"
	out["response_metadata"] = obj{"warnings": []string{"already_in_channel"}}
	return out, nil
}

// join adds a member and tells everyone.
func (s *Server) join(ch *channel, u *user, inviter string) bool {
	if !ch.join(u.id) {
		return false
	}
	m := &message{Type: "message", Subtype: ch.kind() + "_join", User: u.id, Inviter: inviter, Team: u.team,
		Text: "<@" + u.id + "> has joined the channel", TS: ch.nextTS(s.clock.Now())}
	sl := ch.add(m, nil)
	s.announceMessage(ch, sl)
	s.feedMessage("message", ch, sl)
	s.announceMembership(ch, u, true, inviter)
	s.feedChannel(ch)
	return true
}

// metadataFor says which messages show all of their metadata to a caller: their
// own, and others' with the scope, when asked for.
func (c *call) metadataFor() func(*message) bool {
	if !c.args.flag("include_all_metadata", false) {
		return typeOnly
	}
	all := c.who.holds("metadata.message:read") == nil
	return func(m *message) bool { return all || m.User == c.who.user.id }
}

// window is the part of a sorted list within oldest and latest.
func window(c *call, list []*slot) ([]*slot, error) {
	oldest, latest, inclusive := c.args["oldest"], c.args["latest"], c.args.flag("inclusive", false)
	from, to := 0, len(list)
	if oldest != "" && oldest != "0" {
		us, ok := parseTS(oldest)
		if !ok {
			return nil, refuse("invalid_ts_oldest")
		}
		from = sort.Search(len(list), func(i int) bool {
			at, _ := parseTS(list[i].msg.TS)
			return at > us || inclusive && at == us
		})
	}
	if latest != "" {
		us, ok := parseTS(latest)
		if !ok {
			return nil, refuse("invalid_ts_latest")
		}
		to = sort.Search(len(list), func(i int) bool {
			at, _ := parseTS(list[i].msg.TS)
			return at > us || !inclusive && at == us
		})
	}
	return list[from:max(from, to)], nil
}

// parseTS reads a timestamp in seconds, with or without a fraction, as
// microseconds.
func parseTS(ts string) (int64, bool) {
	whole, frac, _ := strings.Cut(ts, ".")
	digits := whole + (frac + "000000")[:max(6, len(frac))]
	if whole == "" || len(frac) > 6 || len(digits) > 18 {
		return 0, false
	}
	var n int64
	for _, r := range digits {
		if r < '0' || r > '9' {
			return 0, false
		}
		n = n*10 + int64(r-'0')
	}
	return n, true
}

func conversationHistory(c *call) (obj, error) {
	ch, err := c.readable()
	if err != nil {
		return nil, err
	}
	list, err := window(c, ch.top)
	if err != nil {
		return nil, err
	}
	full := c.metadataFor()
	limit := c.args.number("limit", 100, 1, 999)
	end := len(list)
	if cur := c.args["cursor"]; cur != "" {
		// The cursor is the timestamp below which the next page starts: positions
		// would shift under new messages.
		us, err := readCursor(cur)
		if err != nil {
			return nil, err
		}
		end = sort.Search(len(list), func(i int) bool { at, _ := parseTS(list[i].msg.TS); return at >= int64(us) })
	}
	start := max(0, end-limit)
	messages := make([]*message, 0, end-start)
	for i := end - 1; i >= start; i-- {
		messages = append(messages, list[i].wire(full))
	}
	out := obj{"messages": messages, "has_more": start > 0, "pin_count": 0, "channel_actions_ts": nil, "channel_actions_count": 0}
	if start > 0 {
		at, _ := parseTS(list[start].msg.TS)
		out["response_metadata"] = obj{"next_cursor": base64.StdEncoding.EncodeToString([]byte("next:" + base36(at)))}
	}
	if c.args.has("latest") {
		out["latest"] = c.args["latest"]
	}
	if c.args.has("oldest") {
		out["oldest"] = c.args["oldest"]
	}
	return out, nil
}

// readable is the named channel if the caller may read its messages: bots and
// guests must be members.
func (c *call) readable() (*channel, error) {
	ch, err := c.named("history")
	if err != nil {
		return nil, err
	}
	if c.who.kind == botToken && !ch.members[c.who.user.id] {
		return nil, refuse("not_in_channel")
	}
	return ch, nil
}

func conversationReplies(c *call) (obj, error) {
	ch, err := c.readable()
	if err != nil {
		return nil, err
	}
	if err := c.args.need("ts"); err != nil {
		return nil, err
	}
	sl, ok := ch.byTS[c.args["ts"]]
	if !ok {
		return nil, refuse("thread_not_found")
	}
	root := sl
	if sl.parent != nil {
		root = sl.parent
	}
	replies, err := window(c, root.replies)
	if err != nil {
		return nil, err
	}
	page, next, err := paginate(c.args, replies, 1000)
	if err != nil {
		return nil, err
	}
	full := c.metadataFor()
	// Slack shows the root first on every page.
	messages := []*message{root.wire(full)}
	for _, r := range page {
		messages = append(messages, r.wire(full))
	}
	out := obj{"messages": messages, "has_more": next != ""}
	if next != "" {
		out["response_metadata"] = obj{"next_cursor": next}
	}
	return out, nil
}
