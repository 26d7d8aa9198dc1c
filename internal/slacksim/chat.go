package slacksim

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxText     = 40_000 // characters; longer text is cut
	maxUpdate   = 4_000  // characters of chat.update
	maxMarkdown = 12_000 // characters of markdown_text
	maxEphemera = 200    // per channel
)

// draft is a message before it is posted.
type draft struct {
	channel, text, threadTS string
	subtype                 string
	blocks, attachments     string // JSON
	metadata                string // JSON
	username                string
	broadcast               bool
	files                   []*file
	stream                  *stream
	clientMsgID             string
}

// draftOf reads the arguments that all posting methods share.
func (c *call) draft() (draft, error) {
	if err := c.args.need("channel"); err != nil {
		return draft{}, err
	}
	d := draft{channel: c.args["channel"], text: c.args["text"], threadTS: c.args["thread_ts"], blocks: c.args["blocks"],
		attachments: c.args["attachments"], metadata: c.args["metadata"], broadcast: c.args.flag("reply_broadcast", false)}
	if c.args.has("username") {
		if err := c.who.holds("chat:write.customize"); err != nil {
			return d, err
		}
		d.username = c.args["username"]
	}
	if md := c.args["markdown_text"]; md != "" {
		if d.text != "" || c.args.has("blocks") {
			return d, refuse("markdown_text_conflict")
		}
		if utf8.RuneCountInString(md) > maxMarkdown {
			return d, refuse("msg_too_long")
		}
		d.text = md
		d.blocks = string(encode([]obj{{"type": "markdown", "text": md}}))
	}
	return d, nil
}

// find is the channel of an id or #name that the caller may know of. Others get
// channel_not_found, as if it did not exist.
func (s *Server) find(who principal, id string) (*channel, error) {
	c, ok := s.channels[id]
	if !ok && strings.HasPrefix(id, "#") {
		for _, other := range s.channels {
			if other.name == id[1:] && !other.im && !other.mpim {
				c, ok = other, true
			}
		}
	}
	if !ok || !s.sees(who.user, c) {
		return nil, refuse("channel_not_found")
	}
	return c, nil
}

// destination is the channel a message goes to. A user id means the direct
// conversation with that user.
func (s *Server) destination(who principal, id string) (*channel, error) {
	if u, ok := s.users[id]; ok {
		if u.deleted || u.id == who.user.id {
			return nil, refuse("channel_not_found")
		}
		ch, _ := s.direct(who.user.id, id)
		return ch, nil
	}
	ch, err := s.find(who, id)
	if err != nil {
		return nil, err
	}
	if ch.archived {
		return nil, refuse("is_archived")
	}
	open := who.kind == botToken && who.app.scopes["chat:write.public"] && !ch.private
	if !ch.members[who.user.id] && !open {
		return nil, refuse("not_in_channel")
	}
	return ch, nil
}

// post checks a draft, writes it into its channel and tells everyone. The caller
// holds s.mu.
func (s *Server) post(who principal, d draft) (*message, error) {
	ch, err := s.destination(who, d.channel)
	if err != nil {
		return nil, err
	}
	m := &message{Type: "message", Subtype: d.subtype, Username: d.username, ClientMsgID: d.clientMsgID, Files: d.files, Upload: len(d.files) > 0}
	s.author(m, who)
	if err := s.compose(m, d); err != nil {
		return nil, err
	}
	var parent *slot
	if d.threadTS != "" {
		if parent, err = threadOf(ch, d.threadTS); err != nil {
			return nil, err
		}
		m.ThreadTS, m.ParentUserID = parent.msg.TS, parent.msg.User
		if d.broadcast {
			m.Subtype, m.Root = "thread_broadcast", parent.msg
		}
	}
	if who.kind == userToken && d.blocks == "" && m.Text != "" {
		m.Blocks = richText(m.Text, s.blockID())
		m.ClientMsgID = orElse(m.ClientMsgID, s.uuid())
	}
	m.TS = ch.nextTS(s.clock.Now())
	sl := ch.add(m, parent)
	sl.stream = d.stream
	if who.kind == botToken {
		s.clearStatus(ch, m.ThreadTS)
	}
	ch.trim(s.options.MaxMessages)
	s.announceMessage(ch, sl)
	s.feedMessage("message", ch, sl)
	return m, nil
}

// compose fills the content of m from a draft, refusing what Slack refuses.
func (s *Server) compose(m *message, d draft) error {
	m.Text = normalize(cutText(d.text))
	blocks, err := s.checkBlocks(d.blocks, onMessage)
	if err != nil {
		return err
	}
	m.Blocks = blocks
	if d.attachments != "" && d.attachments != "[]" {
		var list []obj
		if json.Unmarshal([]byte(d.attachments), &list) != nil {
			return refuse("invalid_attachments")
		}
		if len(list) > 100 {
			return refuse("too_many_attachments")
		}
		m.Attachments = json.RawMessage(d.attachments)
	}
	if m.Metadata, err = parseMetadata(d.metadata); err != nil {
		return err
	}
	if strings.TrimSpace(m.Text) == "" && m.Blocks == nil && m.Attachments == nil && len(m.Files) == 0 && d.stream == nil {
		return refuse("no_text")
	}
	return nil
}

func cutText(text string) string {
	if len(text) <= maxText || utf8.RuneCountInString(text) <= maxText {
		return text
	}
	return string([]rune(text)[:maxText])
}

func parseMetadata(raw string) (*metadata, error) {
	if raw == "" || raw == "null" {
		return nil, nil
	}
	var m metadata
	if json.Unmarshal([]byte(raw), &m) != nil {
		return nil, refuse("invalid_metadata_format")
	}
	var payload obj
	if m.EventType == "" || json.Unmarshal(m.EventPayload, &payload) != nil || payload == nil {
		return nil, refuse("invalid_metadata_schema", "[ERROR] event_type and the object event_payload are required [json-pointer:/metadata]")
	}
	return &m, nil
}

// threadOf is the root that a message with thread_ts ts belongs under.
func threadOf(ch *channel, ts string) (*slot, error) {
	sl, ok := ch.byTS[ts]
	if !ok {
		return nil, refuse("thread_not_found")
	}
	if sl.parent != nil {
		return sl.parent, nil
	}
	return sl, nil
}

func postMessage(c *call) (obj, error) {
	d, err := c.draft()
	if err != nil {
		return nil, err
	}
	m, err := c.post(c.who, d)
	if err != nil {
		return nil, err
	}
	ch, err := c.destination(c.who, d.channel)
	if err != nil {
		return nil, err
	}
	return obj{"channel": ch.id, "ts": m.TS, "message": c.shown(ch.byTS[m.TS])}, nil
}

// shown is a message as its poster gets it back: with all of its own metadata.
func (c *call) shown(sl *slot) *message {
	return sl.wire(func(m *message) bool { return m.User == c.who.user.id })
}

// owned is a message that the caller may change: their own.
func (c *call) owned(refusal string) (*channel, *slot, error) {
	if err := c.args.need("channel", "ts"); err != nil {
		return nil, nil, err
	}
	ch, err := c.find(c.who, c.args["channel"])
	if err != nil {
		return nil, nil, err
	}
	sl, ok := ch.byTS[c.args["ts"]]
	if !ok || sl.msg.Subtype == "tombstone" {
		return nil, nil, refuse("message_not_found")
	}
	if sl.msg.User != c.who.user.id {
		return nil, nil, refuse(refusal)
	}
	return ch, sl, nil
}

func updateMessage(c *call) (obj, error) {
	ch, sl, err := c.owned("cant_update_message")
	if err != nil {
		return nil, err
	}
	d, err := c.draft()
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(d.text) > maxUpdate && !c.args.has("markdown_text") {
		return nil, refuse("msg_too_long")
	}
	if sl.stream != nil && sl.stream.open {
		return nil, refuse("streaming_state_conflict")
	}
	previous := *sl.msg
	next := previous
	next.Blocks, next.Attachments = nil, nil
	if err := c.compose(&next, d); err != nil {
		return nil, err
	}
	if d.metadata == "" {
		next.Metadata = previous.Metadata
	}
	if d.text == "" && (d.blocks != "" || d.attachments != "") {
		next.Text = previous.Text // Slack keeps the text when only blocks change
	}
	if c.who.kind == userToken && d.blocks == "" {
		next.Blocks = richText(next.Text, c.blockID())
	}
	next.Edited = &edited{User: c.who.user.id, TS: c.eventTS()}
	c.replace(ch, sl, &next)
	return obj{"channel": ch.id, "ts": next.TS, "text": next.Text, "message": c.shownChange(sl)}, nil
}

// shownChange is an edited message as chat.update gives it back: Slack leaves out
// where it stands.
func (c *call) shownChange(sl *slot) json.RawMessage {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(encode(c.shown(sl)), &fields); err != nil {
		panic("slacksim: a message is no object: " + err.Error())
	}
	for _, name := range []string{"ts", "thread_ts", "parent_user_id", "reply_count", "reply_users_count", "latest_reply", "reply_users"} {
		delete(fields, name)
	}
	return encode(fields)
}

// replace puts an edited message in the place of another and tells everyone.
func (s *Server) replace(ch *channel, sl *slot, next *message) {
	before := sl.wire(typeOnly)
	sl.msg = next
	s.announceChange(ch, sl.wire(typeOnly), before)
	s.feedMessage("changed", ch, sl)
}

func deleteMessage(c *call) (obj, error) {
	ch, sl, err := c.owned("cant_delete_message")
	if err != nil {
		return nil, err
	}
	previous := sl.wire(typeOnly)
	ch.drop(sl)
	c.announceDelete(ch, previous)
	c.feedDeleted(ch, previous)
	if sl.parent != nil {
		c.feedMessage("changed", ch, sl.parent)
	}
	return obj{"channel": ch.id, "ts": previous.TS}, nil
}

func postEphemeral(c *call) (obj, error) {
	d, err := c.draft()
	if err != nil {
		return nil, err
	}
	if err := c.args.need("user"); err != nil {
		return nil, err
	}
	ch, err := c.destination(c.who, d.channel)
	if err != nil {
		return nil, err
	}
	if !ch.members[c.args["user"]] {
		return nil, refuse("user_not_in_channel")
	}
	m, err := c.whisper(c.who, ch, c.args["user"], d)
	if err != nil {
		return nil, err
	}
	return obj{"message_ts": m.TS}, nil
}

// whisper shows a message to one person only.
func (s *Server) whisper(who principal, ch *channel, userID string, d draft) (*message, error) {
	m := &message{Type: "message", Subtype: "ephemeral", Username: d.username}
	s.author(m, who)
	if err := s.compose(m, d); err != nil {
		return nil, err
	}
	if d.threadTS != "" {
		parent, err := threadOf(ch, d.threadTS)
		if err != nil {
			return nil, err
		}
		m.ThreadTS = parent.msg.TS
	}
	m.TS = ch.nextTS(s.clock.Now())
	ch.ephemeral = append(ch.ephemeral, &ephemeral{user: userID, msg: m})
	if len(ch.ephemeral) > maxEphemera {
		ch.ephemeral = ch.ephemeral[1:]
	}
	s.feed.publish(entry{kind: "ephemeral", channel: ch, user: userID, message: m})
	return m, nil
}

func getPermalink(c *call) (obj, error) {
	if err := c.args.need("channel", "message_ts"); err != nil {
		return nil, err
	}
	ch, err := c.find(c.who, c.args["channel"])
	if err != nil {
		return nil, err
	}
	sl, ok := ch.byTS[c.args["message_ts"]]
	if !ok {
		return nil, refuse("message_not_found")
	}
	return obj{"channel": ch.id, "permalink": c.permalink(c.origin, ch, sl)}, nil
}

// permalink is the address of a message; the page follows it.
func (s *Server) permalink(origin string, ch *channel, sl *slot) string {
	link := fmt.Sprintf("%s/archives/%s/p%s", origin, ch.id, strings.ReplaceAll(sl.msg.TS, ".", ""))
	if sl.parent != nil {
		link += "?thread_ts=" + sl.parent.msg.TS + "&cid=" + ch.id
	}
	return link
}
