package slacksim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// Person acts in an emulated workspace as one of its people, over HTTP, as the
// page does. Stories, drivers and benchmarks are played by Persons.
type Person struct {
	base string
	id   string
	http *http.Client
}

// NewPerson returns the person with user id id in the workspace at base (the
// server's base URL).
func NewPerson(base, id string) *Person {
	return &Person{strings.TrimRight(base, "/"), id, &http.Client{}}
}

// ID is the person's user id.
func (p *Person) ID() string { return p.id }

// Call calls a Web API method with the person's own token and decodes the answer
// into out (nil to ignore it). A refusal is an error with Slack's word for it.
func (p *Person) Call(ctx context.Context, method string, args map[string]string, out any) error {
	form := url.Values{}
	for k, v := range args {
		form.Set(k, v)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"/api/"+method, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	req.Header.Set("Authorization", "Bearer "+UserToken(p.id))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.do(req, method, out)
}

// Emulate posts a JSON body to one of the emulator's own endpoints, such as
// "clock" or "interact".
func (p *Person) Emulate(ctx context.Context, endpoint string, body, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode %s: %w", endpoint, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"/emulator/"+endpoint, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("call emulator's %s: %w", endpoint, err)
	}
	req.Header.Set("Content-Type", "application/json")
	return p.do(req, endpoint, out)
}

func (p *Person) do(req *http.Request, what string, out any) error {
	resp, err := p.http.Do(req)
	if err != nil {
		return fmt.Errorf("call %s: %w", what, err)
	}
	defer resp.Body.Close()
	var raw json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&raw); err != nil {
		return fmt.Errorf("call %s: status %d: %w", what, resp.StatusCode, err)
	}
	var answer struct {
		OK    *bool  `json:"ok"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(raw, &answer); err == nil && answer.OK != nil && !*answer.OK {
		return fmt.Errorf("call %s: %s", what, answer.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("decode answer of %s: %w", what, err)
	}
	return nil
}

// Say posts text in a channel, under thread unless that is "", and gives its ts.
func (p *Person) Say(ctx context.Context, channel, thread, text string) (string, error) {
	var out struct {
		TS string `json:"ts"`
	}
	args := map[string]string{"channel": channel, "text": text}
	if thread != "" {
		args["thread_ts"] = thread
	}
	err := p.Call(ctx, "chat.postMessage", args, &out)
	return out.TS, err
}

// Direct opens the direct message between the person and another user and gives
// its channel id.
func (p *Person) Direct(ctx context.Context, other string) (string, error) {
	var out struct {
		Channel struct {
			ID string `json:"id"`
		} `json:"channel"`
	}
	err := p.Call(ctx, "conversations.open", map[string]string{"users": other}, &out)
	return out.Channel.ID, err
}

// Seen is one message as a person sees it.
type Seen struct {
	Channel string
	TS      string
	Thread  string
	User    string
	Text    string
	Deleted bool
	Only    bool // only this person sees it
}

// Form is a modal that opened for a person, or an app's Home.
type Form struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"` // modal, home
	CallbackID string          `json:"callback_id"`
	Blocks     json.RawMessage `json:"blocks"`
}

// Watch is what a person has seen since it began, kept up to date by the
// emulator's stream.
type Watch struct {
	mu   sync.Mutex
	seen []Seen
	form *Form         // the newest
	home *Form         // the agent's Home, as it is now
	news chan struct{} // closed and replaced at each change
	end  error
}

// Watch follows everything that the person may see, until ctx ends.
func (p *Person) Watch(ctx context.Context) (*Watch, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/emulator/stream?user="+url.QueryEscape(p.id), nil)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("watch: status %d", resp.StatusCode)
	}
	w := &Watch{news: make(chan struct{})}
	go func() {
		defer resp.Body.Close()
		w.read(bufio.NewReader(resp.Body))
	}()
	return w, nil
}

func (w *Watch) read(r *bufio.Reader) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			w.change(func() { w.end = err })
			return
		}
		data, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data:")
		if !ok {
			continue
		}
		var e struct {
			Type    string `json:"type"`
			Channel string `json:"channel"`
			TS      string `json:"ts"`
			View    *Form  `json:"view"`
			Message struct {
				TS       string `json:"ts"`
				ThreadTS string `json:"thread_ts"`
				User     string `json:"user"`
				Text     string `json:"text"`
			} `json:"message"`
		}
		if json.Unmarshal([]byte(data), &e) != nil {
			continue
		}
		s := Seen{Channel: e.Channel, TS: e.Message.TS, Thread: e.Message.ThreadTS, User: e.Message.User, Text: e.Message.Text}
		switch e.Type {
		case "view":
			switch {
			case e.View == nil || e.View.ID == "":
			case e.View.Type == "home":
				w.change(func() { w.home = e.View })
			default:
				w.change(func() { w.form = e.View })
			}
		case "ephemeral":
			s.Only = true
			w.change(func() { w.seen = append(w.seen, s) })
		case "message":
			w.change(func() { w.seen = append(w.seen, s) })
		case "changed":
			w.change(func() { w.replace(s) })
		case "deleted":
			s.Deleted = true
			if s.TS == "" {
				s.TS = e.TS
			}
			w.change(func() { w.replace(s) })
		}
	}
}

func (w *Watch) replace(s Seen) {
	for i := range w.seen {
		if w.seen[i].Channel == s.Channel && w.seen[i].TS == s.TS {
			w.seen[i].Text, w.seen[i].Deleted = s.Text, s.Deleted
			return
		}
	}
	w.seen = append(w.seen, s)
}

func (w *Watch) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.news)
	w.news = make(chan struct{})
}

// All is everything seen so far.
func (w *Watch) All() []Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Seen(nil), w.seen...)
}

// Wait returns the first message that match accepts, seen already or yet to
// come. The error is ctx's, or tells that the stream broke.
func (w *Watch) Wait(ctx context.Context, match func(Seen) bool) (Seen, error) {
	for {
		w.mu.Lock()
		for _, s := range w.seen {
			if match(s) {
				w.mu.Unlock()
				return s, nil
			}
		}
		news, end := w.news, w.end
		w.mu.Unlock()
		if end != nil {
			return Seen{}, fmt.Errorf("watch ended: %w", end)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Seen{}, context.Cause(ctx)
		}
	}
}

// Disarm takes back all faults.
func (p *Person) Disarm(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, p.base+"/emulator/faults", nil)
	if err != nil {
		return fmt.Errorf("disarm faults: %w", err)
	}
	return p.do(req, "faults", nil)
}

// Command types a slash command in a channel.
func (p *Person) Command(ctx context.Context, channel, command, text string) error {
	return p.Emulate(ctx, "command", map[string]string{"user": p.id, "channel": channel, "command": command, "text": text}, nil)
}

// Press presses a button of a message.
func (p *Person) Press(ctx context.Context, m Seen, button string) error {
	return p.Emulate(ctx, "interact", map[string]string{"user": p.id, "channel": m.Channel, "message_ts": m.TS, "action_id": button}, nil)
}

// Form waits for a form whose callback_id is id.
func (w *Watch) Form(ctx context.Context, id string) (Form, error) {
	for {
		w.mu.Lock()
		form, news, end := w.form, w.news, w.end
		w.mu.Unlock()
		if form != nil && form.CallbackID == id {
			return *form, nil
		}
		if end != nil {
			return Form{}, end
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Form{}, context.Cause(ctx)
		}
	}
}

// Submit sends a form with the given values, by block; the others are what the
// form began with. Lists are separated by commas. It returns what the app says is
// wrong, by block.
func (p *Person) Submit(ctx context.Context, f Form, values map[string]string) (map[string]string, error) {
	var blocks []struct {
		BlockID string `json:"block_id"`
		Element struct {
			Type           string          `json:"type"`
			ActionID       string          `json:"action_id"`
			InitialValue   string          `json:"initial_value"`
			InitialOption  json.RawMessage `json:"initial_option"`
			InitialOptions json.RawMessage `json:"initial_options"`
			InitialUsers   []string        `json:"initial_users"`
			InitialUser    string          `json:"initial_user"`
		} `json:"element"`
	}
	if err := json.Unmarshal(f.Blocks, &blocks); err != nil {
		return nil, fmt.Errorf("read form: %w", err)
	}
	state := obj{}
	for _, b := range blocks {
		if b.Element.Type == "" {
			continue
		}
		given, ok := values[b.BlockID]
		v := obj{"type": b.Element.Type}
		option := func(s string) obj { return obj{"value": s, "text": obj{"type": "plain_text", "text": s}} }
		switch {
		case b.Element.Type == "plain_text_input":
			v["value"] = b.Element.InitialValue
			if ok {
				v["value"] = given
			}
		case b.Element.Type == "static_select":
			v["selected_option"] = b.Element.InitialOption
			if ok {
				v["selected_option"] = option(given)
			}
		case b.Element.Type == "multi_static_select":
			v["selected_options"] = b.Element.InitialOptions
			if ok {
				var all []obj
				for _, s := range strings.Split(given, ",") {
					all = append(all, option(s))
				}
				v["selected_options"] = all
			}
		case b.Element.Type == "users_select":
			if v["selected_user"] = b.Element.InitialUser; ok {
				v["selected_user"] = given
			}
		case b.Element.Type == "multi_users_select":
			v["selected_users"] = b.Element.InitialUsers
			if ok {
				v["selected_users"] = strings.Split(given, ",")
			}
		}
		state[b.BlockID] = obj{b.Element.ActionID: v}
	}
	var out struct {
		Errors map[string]string `json:"errors"`
	}
	err := p.Emulate(ctx, "view", obj{"user": p.id, "type": "view_submission", "view_id": f.ID, "values": state}, &out)
	return out.Errors, err
}
