package slacksim

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// streamLife is how long Slack lets a message be streamed; later calls answer
// message_not_in_streaming_state.
const streamLife = 5 * time.Minute

// stream is the state of a message that is written piece by piece.
type stream struct {
	open    bool
	started time.Time // real time
	text    strings.Builder
	tasks   []obj // task cards, in the order they first came
	plan    string
	blocks  []obj
}

// chunk is one piece of a stream.
type chunk struct {
	Type    string          `json:"type"`
	Text    string          `json:"text"`
	Title   string          `json:"title"`
	Blocks  json.RawMessage `json:"blocks"`
	ID      string          `json:"id"`
	Status  string          `json:"status"`
	Details json.RawMessage `json:"details"`
	Output  json.RawMessage `json:"output"`
	Sources json.RawMessage `json:"sources"`
}

// feedStream adds the markdown_text and chunks of a call to a stream.
func (c *call) feedStream(st *stream) error {
	if md := c.args["markdown_text"]; md != "" {
		if utf8.RuneCountInString(md) > maxMarkdown {
			return refuse("msg_too_long")
		}
		st.text.WriteString(md)
	}
	if !c.args.has("chunks") {
		return nil
	}
	var chunks []chunk
	if json.Unmarshal([]byte(c.args["chunks"]), &chunks) != nil {
		return refuse("invalid_chunks", "[ERROR] must be a list of chunks [json-pointer:/chunks]")
	}
	for _, ch := range chunks {
		if err := c.takeChunk(st, ch); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) takeChunk(st *stream, ch chunk) error {
	switch ch.Type {
	case "markdown_text":
		if ch.Text == "" || utf8.RuneCountInString(ch.Text) > maxMarkdown {
			return refuse("msg_too_long")
		}
		st.text.WriteString(ch.Text)
	case "plan_update":
		if ch.Title == "" {
			return refuse("invalid_chunks", "[ERROR] missing required field: title [json-pointer:/chunks]")
		}
		st.plan = ch.Title
	case "task_update":
		return st.takeTask(ch)
	case "blocks":
		checked, err := c.checkBlocks(string(ch.Blocks), onStream)
		if err != nil {
			return err
		}
		var list []obj
		if json.Unmarshal(checked, &list) != nil || len(st.blocks)+len(list) > 50 {
			return refuse("invalid_blocks", "[ERROR] no more than 50 items allowed [json-pointer:/chunks]")
		}
		st.blocks = append(st.blocks, list...)
	default:
		return refuse("invalid_chunks", "[ERROR] unsupported type: "+ch.Type+" [json-pointer:/chunks]")
	}
	return nil
}

// takeTask adds a task card or brings it up to date, by its id.
func (st *stream) takeTask(ch chunk) error {
	ch.Status = orElse(ch.Status, "pending")
	switch ch.Status {
	case "pending", "in_progress", "complete", "error":
	default:
		return refuse("invalid_chunks", "[ERROR] must be a valid enum value [json-pointer:/chunks/status]")
	}
	if ch.ID == "" || ch.Title == "" {
		return refuse("invalid_chunks", "[ERROR] missing required field: id or title [json-pointer:/chunks]")
	}
	card := obj{"type": "task_card", "task_id": ch.ID, "title": ch.Title, "status": ch.Status}
	for name, v := range map[string]json.RawMessage{"details": ch.Details, "output": ch.Output, "sources": ch.Sources} {
		if v != nil {
			card[name] = v
		}
	}
	for i, t := range st.tasks {
		if t["task_id"] == ch.ID {
			st.tasks[i] = card
			return nil
		}
	}
	st.tasks = append(st.tasks, card)
	return nil
}

// render is the content of the message as it now stands.
func (st *stream) render(extra json.RawMessage) json.RawMessage {
	var out []any
	switch {
	case st.plan != "":
		out = append(out, obj{"type": "plan", "block_id": "plan", "title": st.plan, "tasks": st.tasks})
	default:
		for _, t := range st.tasks {
			out = append(out, t)
		}
	}
	if st.text.Len() > 0 {
		out = append(out, obj{"type": "markdown", "block_id": "text", "text": st.text.String()})
	}
	for _, b := range st.blocks {
		out = append(out, b)
	}
	var last []any
	if extra != nil && json.Unmarshal(extra, &last) == nil {
		out = append(out, last...)
	}
	if out == nil {
		return nil
	}
	return encode(out)
}

func startStream(c *call) (obj, error) {
	if err := c.args.need("channel", "thread_ts"); err != nil {
		return nil, err
	}
	ch, err := c.destination(c.who, c.args["channel"])
	if err != nil {
		return nil, err
	}
	if !ch.im {
		if !c.args.has("recipient_user_id") {
			return nil, refuse("missing_recipient_user_id")
		}
		if !c.args.has("recipient_team_id") {
			return nil, refuse("missing_recipient_team_id")
		}
		if !ch.members[c.args["recipient_user_id"]] {
			return nil, refuse("user_not_in_channel")
		}
	}
	switch c.args["task_display_mode"] {
	case "", "timeline", "plan", "dense":
	default:
		return nil, refuse("invalid_arguments", "[ERROR] must be a valid enum value [json-pointer:/task_display_mode]")
	}
	st := &stream{open: true, started: c.now()}
	if err := c.feedStream(st); err != nil {
		return nil, err
	}
	m, err := c.post(c.who, draft{channel: ch.id, text: st.text.String(), threadTS: c.args["thread_ts"], stream: st})
	if err != nil {
		return nil, err
	}
	sl := ch.byTS[m.TS]
	next := *m
	next.Blocks, next.Streaming = st.render(nil), "in_progress"
	sl.msg = &next
	ch.sessions[m.ThreadTS] = &session{Status: "processing"}
	c.feedMessage("changed", ch, sl)
	return obj{"channel": ch.id, "ts": m.TS}, nil
}

// streamed is the message of a stream call, while it may still be written.
func (c *call) streamed() (*channel, *slot, error) {
	ch, sl, err := c.owned("message_not_owned_by_app")
	if err != nil {
		return nil, nil, err
	}
	if sl.stream == nil || !sl.stream.open {
		return nil, nil, refuse("message_not_in_streaming_state")
	}
	if c.now().Sub(sl.stream.started) > streamLife {
		c.endStream(ch, sl, nil)
		return nil, nil, refuse("message_not_in_streaming_state")
	}
	return ch, sl, nil
}

func appendStream(c *call) (obj, error) {
	ch, sl, err := c.streamed()
	if err != nil {
		return nil, err
	}
	if !c.args.has("markdown_text") && !c.args.has("chunks") {
		return nil, refuse("no_text")
	}
	if err := c.feedStream(sl.stream); err != nil {
		return nil, err
	}
	next := *sl.msg
	next.Text, next.Blocks = normalize(cutText(sl.stream.text.String())), sl.stream.render(nil)
	sl.msg = &next
	c.feedMessage("changed", ch, sl)
	return obj{"channel": ch.id, "ts": next.TS}, nil
}

func stopStream(c *call) (obj, error) {
	ch, sl, err := c.streamed()
	if err != nil {
		return nil, err
	}
	if err := c.feedStream(sl.stream); err != nil {
		return nil, err
	}
	extra, err := c.checkBlocks(c.args["blocks"], onMessage)
	if err != nil {
		return nil, err
	}
	meta, err := parseMetadata(c.args["metadata"])
	if err != nil {
		return nil, err
	}
	status := orElse(c.args["session_status"], "active")
	if !sessionStatuses[status] {
		return nil, refuse("invalid_arguments", "[ERROR] must be a valid enum value [json-pointer:/session_status]")
	}
	if meta != nil {
		next := *sl.msg
		next.Metadata = meta
		sl.msg = &next
	}
	c.endStream(ch, sl, extra)
	if s, ok := ch.sessions[sl.msg.ThreadTS]; ok {
		s.Status = status
	}
	return obj{"channel": ch.id, "ts": sl.msg.TS, "message": c.shown(sl)}, nil
}

// endStream makes a streamed message final. Slack sends it as a change.
func (s *Server) endStream(ch *channel, sl *slot, extra json.RawMessage) {
	sl.stream.open = false
	next := *sl.msg
	next.Text, next.Blocks, next.Streaming = normalize(cutText(sl.stream.text.String())), sl.stream.render(extra), "completed"
	s.replace(ch, sl, &next)
}
