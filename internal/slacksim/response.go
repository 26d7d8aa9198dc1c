package slacksim

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

const (
	responseUses = 5
	responseLife = 30 * time.Minute
	maxResponses = 10_000
)

// responseURL lets an app answer an interaction: five times in thirty minutes.
type responseURL struct {
	app      *app
	channel  *channel
	user     *user
	original string // timestamp of the message with the button
	hidden   bool   // whether that message is ephemeral
	thread   string
	uses     int
	expires  time.Time // real time
}

// responseBody is what an app posts to a response URL.
type responseBody struct {
	Text            string          `json:"text"`
	Blocks          json.RawMessage `json:"blocks"`
	Attachments     json.RawMessage `json:"attachments"`
	ResponseType    string          `json:"response_type"`
	ReplaceOriginal bool            `json:"replace_original"`
	DeleteOriginal  bool            `json:"delete_original"`
	ThreadTS        string          `json:"thread_ts"`
	Metadata        json.RawMessage `json:"metadata"`
}

// newResponseURL registers and returns the address.
func (s *Server) newResponseURL(origin string, to *responseURL) string {
	now := s.now()
	if len(s.responses) >= maxResponses {
		for id, r := range s.responses {
			if now.After(r.expires) || len(s.responses) >= 2*maxResponses {
				delete(s.responses, id)
			}
		}
	}
	to.expires = now.Add(responseLife)
	id := s.newID("R")
	s.responses[id] = to
	return origin + "/response/" + id
}

func (s *Server) serveResponseURL(w http.ResponseWriter, r *http.Request) {
	if act := s.faults.beforeCall("response_url"); act.status != 0 || act.cut {
		http.Error(w, "upstream connect error", http.StatusBadGateway)
		return
	}
	var body responseBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		reply(w, http.StatusBadRequest, obj{"ok": false, "error": "invalid_payload"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to, ok := s.responses[r.PathValue("id")]
	switch {
	case !ok:
		reply(w, http.StatusNotFound, obj{"ok": false, "error": "invalid_url"})
		return
	case s.now().After(to.expires):
		reply(w, http.StatusNotFound, obj{"ok": false, "error": "expired_url"})
		return
	case to.uses >= responseUses:
		reply(w, http.StatusNotFound, obj{"ok": false, "error": "used_url"})
		return
	}
	to.uses++
	if err := s.respond(to, body); err != nil {
		reply(w, http.StatusOK, obj{"ok": false, "error": err.Error()})
		return
	}
	reply(w, http.StatusOK, obj{"ok": true})
}

// respond does what a response body says: replace or delete the message that was
// acted on, or post a new one, ephemeral unless it says in_channel.
func (s *Server) respond(to *responseURL, body responseBody) error {
	if to.app.revoked {
		return refuse("token_revoked")
	}
	who := principal{kind: botToken, app: to.app, user: s.users[to.app.BotUser]}
	d := draft{channel: to.channel.id, text: body.Text, blocks: string(body.Blocks), attachments: string(body.Attachments), metadata: string(body.Metadata)}
	if to.original != "" && (body.DeleteOriginal || body.ReplaceOriginal) {
		return s.changeOriginal(to, who, d, body.DeleteOriginal)
	}
	d.threadTS = body.ThreadTS
	if body.ResponseType != "in_channel" {
		d.threadTS = orElse(d.threadTS, to.thread)
		_, err := s.whisper(who, to.channel, to.user.id, d)
		return err
	}
	m := &message{Type: "message"}
	s.author(m, who)
	if err := s.compose(m, d); err != nil {
		return err
	}
	var parent *slot
	if d.threadTS != "" {
		var err error
		if parent, err = threadOf(to.channel, d.threadTS); err != nil {
			return err
		}
		m.ThreadTS, m.ParentUserID = parent.msg.TS, parent.msg.User
	}
	m.TS = to.channel.nextTS(s.clock.Now())
	sl := to.channel.add(m, parent)
	s.announceMessage(to.channel, sl)
	s.feedMessage("message", to.channel, sl)
	return nil
}

// changeOriginal replaces or deletes the message with the button.
func (s *Server) changeOriginal(to *responseURL, who principal, d draft, remove bool) error {
	if to.hidden {
		return s.changeEphemeral(to, who, d, remove)
	}
	sl, ok := to.channel.byTS[to.original]
	if !ok {
		return refuse("message_not_found")
	}
	if remove {
		previous := sl.wire(typeOnly)
		to.channel.drop(sl)
		s.announceDelete(to.channel, previous)
		s.feedDeleted(to.channel, previous)
		return nil
	}
	next := *sl.msg
	next.Blocks, next.Attachments = nil, nil
	if err := s.compose(&next, d); err != nil {
		return err
	}
	next.Edited = &edited{User: who.user.id, TS: s.eventTS()}
	s.replace(to.channel, sl, &next)
	return nil
}

func (s *Server) changeEphemeral(to *responseURL, who principal, d draft, remove bool) error {
	i := slices.IndexFunc(to.channel.ephemeral, func(e *ephemeral) bool { return e.user == to.user.id && e.msg.TS == to.original })
	if i < 0 {
		return refuse("message_not_found")
	}
	if remove {
		old := to.channel.ephemeral[i].msg
		to.channel.ephemeral = slices.Delete(to.channel.ephemeral, i, i+1)
		s.feed.publish(entry{kind: "ephemeral_deleted", channel: to.channel, user: to.user.id, message: old})
		return nil
	}
	next := *to.channel.ephemeral[i].msg
	next.Blocks, next.Attachments = nil, nil
	if err := s.compose(&next, d); err != nil {
		return err
	}
	to.channel.ephemeral[i] = &ephemeral{user: to.user.id, msg: &next}
	s.feed.publish(entry{kind: "ephemeral", channel: to.channel, user: to.user.id, message: &next})
	return nil
}
