package slacksim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// interactionForm is an interaction as HTTP carries it: commands as form fields,
// the rest as one field with JSON.
func interactionForm(kind string, payload obj) url.Values {
	form := url.Values{}
	if kind != "slash_commands" {
		form.Set("payload", string(encode(payload)))
		return form
	}
	for k, v := range payload {
		if text, ok := v.(string); ok {
			form.Set(k, text)
		}
	}
	return form
}

// press is what the page sends when someone uses an element of a block.
type press struct {
	User      string `json:"user"`
	Channel   string `json:"channel"`
	MessageTS string `json:"message_ts"`
	ViewID    string `json:"view_id"`
	ActionID  string `json:"action_id"`
	BlockID   string `json:"block_id"`
	// Value and the selections below complete the element's own fields.
	Value    string `json:"value"`
	Selected any    `json:"selected_option"`
	Options  []any  `json:"selected_options"`
	Date     string `json:"selected_date"`
	Time     string `json:"selected_time"`
	OfUser   string `json:"selected_user"`
	OfChan   string `json:"selected_channel"`
	OfConv   string `json:"selected_conversation"`
	State    obj    `json:"state"`
}

// teamObj and userObj are how interactions name the workspace and the person.
func (s *Server) teamObj() obj { return obj{"id": s.team.ID, "domain": s.team.Domain} }

func userObj(u *user) obj {
	return obj{"id": u.id, "username": u.name, "name": u.name, "team_id": u.team}
}

// interaction is the part that all interactive payloads share.
func (s *Server) interaction(kind string, a *app, u *user) obj {
	return obj{"type": kind, "team": s.teamObj(), "enterprise": nil, "is_enterprise_install": false, "user": userObj(u),
		"api_app_id": a.ID, "token": verification(a.AppSeed)}
}

// shortcutted is what message and global shortcuts share; they name no app.
func (s *Server) shortcutted(kind, callback string, a *app, u *user) obj {
	payload := s.interaction(kind, a, u)
	delete(payload, "api_app_id")
	payload["callback_id"], payload["trigger_id"], payload["action_ts"] = callback, s.newTrigger(a, u.id), s.eventTS()
	return payload
}

// serveInteract delivers a press of a button, or another element's use.
func (s *Server) serveInteract(w http.ResponseWriter, r *http.Request) {
	var p press
	if !readControl(w, r, &p) {
		return
	}
	s.mu.Lock()
	a, payload, err := s.pressed(p, s.origin(r))
	s.mu.Unlock()
	if err != nil {
		replyControl(w, nil, err)
		return
	}
	_, err = s.ask(a, "interactive", a.InteractURL, payload)
	replyControl(w, nil, err)
}

// pressed builds the block_actions payload of a press.
func (s *Server) pressed(p press, origin string) (*app, obj, error) {
	u, err := s.person(p.User)
	if err != nil {
		return nil, nil, err
	}
	if p.ViewID != "" {
		return s.pressedInView(p, u)
	}
	ch, err := s.find(principal{kind: userToken, user: u}, p.Channel)
	if err != nil {
		return nil, nil, err
	}
	m, hidden := s.messageFor(ch, u, p.MessageTS)
	if m == nil {
		return nil, nil, refuse("message_not_found")
	}
	a := s.appOf(m.AppID)
	if a == nil {
		return nil, nil, refuse("not_an_app_message")
	}
	el, found := findElement(m.Blocks, p)
	if !found {
		return nil, nil, refuse("action_not_found")
	}
	payload := s.interaction("block_actions", a, u)
	container := obj{"type": "message", "message_ts": m.TS, "channel_id": ch.id, "is_ephemeral": hidden}
	if m.ThreadTS != "" {
		container["thread_ts"] = m.ThreadTS
	}
	payload["container"] = container
	payload["channel"] = obj{"id": ch.id, "name": interactionChannel(ch)}
	payload["trigger_id"] = s.newTrigger(a, u.id)
	payload["response_url"] = s.newResponseURL(origin, &responseURL{app: a, channel: ch, user: u, original: m.TS, hidden: hidden, thread: m.ThreadTS})
	payload["state"] = stateOf(p.State)
	payload["actions"] = []any{s.action(el, p)}
	if !hidden {
		payload["message"] = m
	}
	return a, payload, nil
}

func (s *Server) pressedInView(p press, u *user) (*app, obj, error) {
	v, ok := s.views[p.ViewID]
	if !ok || v.user != u.id {
		return nil, nil, refuse("view_not_found")
	}
	el, found := findElement(v.Blocks, p)
	if !found {
		return nil, nil, refuse("action_not_found")
	}
	payload := s.interaction("block_actions", v.app, u)
	shown := *v
	shown.State = stateOf(p.State)
	payload["container"] = obj{"type": "view", "view_id": v.ID}
	payload["trigger_id"] = s.newTrigger(v.app, u.id)
	payload["view"] = shown
	payload["actions"] = []any{s.action(el, p)}
	return v.app, payload, nil
}

// action is an element as the payload names it, with what the person chose.
func (s *Server) action(el obj, p press) obj {
	out := obj{"action_ts": s.eventTS(), "block_id": p.BlockID}
	for _, k := range []string{"type", "action_id", "text", "value", "style", "placeholder", "url"} {
		if v, ok := el[k]; ok {
			out[k] = v
		}
	}
	for k, v := range map[string]string{"selected_date": p.Date, "selected_time": p.Time, "selected_user": p.OfUser,
		"selected_channel": p.OfChan, "selected_conversation": p.OfConv} {
		if v != "" {
			out[k] = v
		}
	}
	if _, own := out["value"]; !own && p.Value != "" {
		out["value"] = p.Value // feedback buttons and inputs carry it themselves
	}
	if p.Selected != nil {
		out["selected_option"] = p.Selected
	}
	if p.Options != nil {
		out["selected_options"] = p.Options
	}
	return out
}

// interactionChannel is the channel's name as interactions give it.
func interactionChannel(ch *channel) string {
	switch {
	case ch.im:
		return "directmessage"
	case ch.private && !ch.mpim:
		return "privategroup"
	default:
		return ch.name
	}
}

func stateOf(given obj) obj {
	if given == nil {
		return obj{"values": obj{}}
	}
	if _, wrapped := given["values"]; wrapped {
		return given
	}
	return obj{"values": given}
}

// messageFor is a message that a person sees: an ordinary one, or an ephemeral
// one of theirs.
func (s *Server) messageFor(ch *channel, u *user, ts string) (m *message, hidden bool) {
	if sl, ok := ch.byTS[ts]; ok {
		return sl.wire(typeOnly), false
	}
	for _, e := range ch.ephemeral {
		if e.user == u.id && e.msg.TS == ts {
			return e.msg, true
		}
	}
	return nil, false
}

func (s *Server) appOf(id string) *app {
	for _, a := range s.apps {
		if a.ID == id && !a.revoked {
			return a
		}
	}
	return nil
}

// findElement is the element of blocks that a press names.
func findElement(blocks json.RawMessage, p press) (obj, bool) {
	var list []obj
	if json.Unmarshal(blocks, &list) != nil {
		return nil, false
	}
	for _, b := range list {
		if p.BlockID != "" && b["block_id"] != p.BlockID {
			continue
		}
		elements, _ := b["elements"].([]any)
		elements = append(elements, b["accessory"], b["element"])
		for _, e := range elements {
			if el, ok := e.(obj); ok && el["action_id"] == p.ActionID {
				return el, true
			}
		}
	}
	return nil, false
}

// serveCommand delivers a slash command.
func (s *Server) serveCommand(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User    string `json:"user"`
		Channel string `json:"channel"`
		Command string `json:"command"`
		Text    string `json:"text"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	u, err := s.person(in.User)
	var ch *channel
	if err == nil {
		ch, err = s.find(principal{kind: userToken, user: u}, in.Channel)
	}
	a, target := s.commanded(in.Command)
	if err == nil && a == nil {
		err = refuse("unknown_command")
	}
	if err != nil {
		s.mu.Unlock()
		replyControl(w, nil, err)
		return
	}
	to := &responseURL{app: a, channel: ch, user: u}
	payload := obj{"token": verification(a.AppSeed), "team_id": s.team.ID, "team_domain": s.team.Domain, "channel_id": ch.id,
		"channel_name": interactionChannel(ch), "user_id": u.id, "user_name": u.name, "command": in.Command, "text": in.Text, "api_app_id": a.ID,
		"is_enterprise_install": "false", "response_url": s.newResponseURL(s.origin(r), to), "trigger_id": s.newTrigger(a, u.id)}
	s.mu.Unlock()
	answer, err := s.ask(a, "slash_commands", target, payload)
	if err == nil {
		err = s.showAnswer(to, answer)
	}
	replyControl(w, nil, err)
}

// commanded is the app that has a slash command, and where it takes it.
func (s *Server) commanded(command string) (*app, string) {
	for _, a := range s.apps {
		for _, c := range a.Commands {
			if c.Command == command && !a.revoked && a.scopes["commands"] {
				return a, c.URL
			}
		}
	}
	return nil, ""
}

// showAnswer posts what an app put into the acknowledgement of a command.
func (s *Server) showAnswer(to *responseURL, answer json.RawMessage) error {
	text := strings.TrimSpace(string(answer))
	if text == "" || text == "null" || text == "{}" {
		return nil
	}
	var reply responseBody
	if json.Unmarshal(answer, &reply) != nil {
		reply = responseBody{Text: text} // HTTP apps may answer with plain text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.respond(to, reply)
}

// serveShortcut delivers a message or global shortcut.
func (s *Server) serveShortcut(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User      string `json:"user"`
		Channel   string `json:"channel"`
		MessageTS string `json:"message_ts"`
		Callback  string `json:"callback_id"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	a, payload, err := s.shortcut(in.User, in.Channel, in.MessageTS, in.Callback, s.origin(r))
	s.mu.Unlock()
	if err == nil {
		_, err = s.ask(a, "interactive", a.InteractURL, payload)
	}
	replyControl(w, nil, err)
}

func (s *Server) shortcut(userID, channelID, ts, callback, origin string) (*app, obj, error) {
	u, err := s.person(userID)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range s.apps {
		for _, sc := range a.Shortcuts {
			if sc.CallbackID != callback || a.revoked {
				continue
			}
			if sc.Type == "global" {
				return a, s.shortcutted("shortcut", callback, a, u), nil
			}
			ch, err := s.find(principal{kind: userToken, user: u}, channelID)
			if err != nil {
				return nil, nil, err
			}
			sl, ok := ch.byTS[ts]
			if !ok {
				return nil, nil, refuse("message_not_found")
			}
			payload := s.shortcutted("message_action", callback, a, u)
			payload["channel"] = obj{"id": ch.id, "name": interactionChannel(ch)}
			payload["message"], payload["message_ts"] = sl.wire(typeOnly), ts
			payload["response_url"] = s.newResponseURL(origin, &responseURL{app: a, channel: ch, user: u, thread: sl.msg.ThreadTS})
			return a, payload, nil
		}
	}
	return nil, nil, refuse("unknown_shortcut")
}

// serveHome tells an app that someone opened its Home or Messages tab.
func (s *Server) serveHome(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User string `json:"user"`
		App  string `json:"app"`
		Tab  string `json:"tab"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.person(in.User)
	if err != nil {
		replyControl(w, nil, err)
		return
	}
	a := s.appOf(orElse(in.App, s.first().ID))
	if a == nil {
		replyControl(w, nil, refuse("app_not_found"))
		return
	}
	ch, _ := s.direct(u.id, a.BotUser)
	event := obj{"type": "app_home_opened", "user": u.id, "channel": ch.id, "tab": orElse(in.Tab, "home"), "event_ts": s.eventTS()}
	if v := a.homes[u.id]; v != nil {
		event["view"] = *v
	}
	s.announceTo(a, "app_home_opened", event)
	replyControl(w, obj{"channel": ch.id}, nil)
}

// serveView submits or closes a modal.
func (s *Server) serveView(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User   string `json:"user"`
		Type   string `json:"type"`
		ViewID string `json:"view_id"`
		Values obj    `json:"values"`
		Clear  bool   `json:"is_cleared"`
	}
	if !readControl(w, r, &in) {
		return
	}
	s.mu.Lock()
	u, err := s.person(in.User)
	v, ok := s.views[in.ViewID]
	switch {
	case err != nil:
	case !ok || v.user != u.id || v.Type != "modal":
		err = refuse("view_not_found")
	case in.Type != "view_submission" && in.Type != "view_closed":
		err = refuse("unknown_type")
	}
	if err != nil {
		s.mu.Unlock()
		replyControl(w, nil, err)
		return
	}
	payload := s.interaction(in.Type, v.app, u)
	shown := *v
	shown.State = stateOf(in.Values)
	payload["view"] = shown
	if in.Type == "view_closed" {
		payload["is_cleared"] = in.Clear
		s.closeViews(v, in.Clear)
		s.mu.Unlock()
		if v.NotifyOnClose {
			_, err = s.ask(v.app, "interactive", v.app.InteractURL, payload)
		}
		replyControl(w, nil, err)
		return
	}
	payload["trigger_id"] = s.newTrigger(v.app, u.id)
	payload["response_urls"] = []any{}
	s.mu.Unlock()
	answer, err := s.ask(v.app, "interactive", v.app.InteractURL, payload)
	if err != nil {
		replyControl(w, nil, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := s.applyAnswer(v, answer)
	replyControl(w, out, err)
}

// applyAnswer does what the acknowledgement of a submission says: show errors,
// update, push or clear; nothing closes the modal.
func (s *Server) applyAnswer(v *view, answer json.RawMessage) (obj, error) {
	var act struct {
		Action string            `json:"response_action"`
		Errors map[string]string `json:"errors"`
		View   json.RawMessage   `json:"view"`
	}
	if text := strings.TrimSpace(string(answer)); text != "" && text != "null" {
		if err := json.Unmarshal(answer, &act); err != nil {
			return nil, refuse("invalid_response")
		}
	}
	switch act.Action {
	case "":
		s.closeViews(v, false)
	case "clear":
		s.closeViews(v, true)
	case "errors":
		return obj{"response_action": "errors", "errors": act.Errors}, nil
	case "update", "push":
		next, err := s.checkView(v.app, string(act.View), "modal")
		if err != nil {
			return nil, err
		}
		if act.Action == "update" {
			s.swap(v, next)
			break
		}
		if s.depth(v) >= maxStack {
			return nil, refuse("push_limit_reached")
		}
		s.keep(next, v.user, v)
	default:
		return nil, refuse("invalid_response_action")
	}
	return obj{"response_action": act.Action}, nil
}
