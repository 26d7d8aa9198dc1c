package slacksim

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// obj is a JSON object in the making.
type obj = map[string]any

// tokenKind says whose token made a call.
type tokenKind int

const (
	noToken   tokenKind = 0
	botToken  tokenKind = 1 << iota
	userToken           // a person, through the page or a test
	appToken            // app-level, for Socket Mode
)

// principal is who makes a call. A person has no app; an app-level token has no
// user.
type principal struct {
	kind tokenKind
	app  *app
	user *user
}

// method is one method of the Web API.
type method struct {
	tokens tokenKind // kinds of token that it takes
	scopes []string  // any one of these is enough for a bot; none means none is needed
	limit  limit
	run    func(*call) (obj, error)
}

// call is one call under way. run is called with the server's lock held.
type call struct {
	*Server
	who    principal
	args   args
	origin string
	remote *http.Request
}

// apiError is a refusal as Slack words it: HTTP 200 with ok false.
type apiError struct {
	code     string
	messages []string
	needed   string
	provided string
}

func (e *apiError) Error() string { return e.code }

// refuse is a refusal with its code, and messages for response_metadata.
func refuse(code string, messages ...string) error {
	return &apiError{code: code, messages: messages}
}

// args are the arguments of a call, whichever way they came. Values that were
// JSON objects or lists are kept as JSON text.
type args map[string]string

// has reports whether name was given a value.
func (a args) has(name string) bool { return a[name] != "" && a[name] != "null" }

// flag reads a boolean in the ways clients write one.
func (a args) flag(name string, fallback bool) bool {
	switch strings.ToLower(a[name]) {
	case "1", "true":
		return true
	case "0", "false":
		return false
	default:
		return fallback
	}
}

// number reads an integer between low and high, or fallback when it is absent or
// out of range, as Slack clamps them.
func (a args) number(name string, fallback, low, high int) int {
	n, err := strconv.Atoi(a[name])
	if err != nil {
		return fallback
	}
	return min(max(n, low), high)
}

// list reads a comma-separated or JSON list of strings.
func (a args) list(name string) []string {
	v := strings.TrimSpace(a[name])
	if v == "" {
		return nil
	}
	var out []string
	if strings.HasPrefix(v, "[") && json.Unmarshal([]byte(v), &out) == nil {
		return out
	}
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// need refuses the call when one of names has no value.
func (a args) need(names ...string) error {
	var missing []string
	for _, n := range names {
		if !a.has(n) {
			missing = append(missing, "[ERROR] missing required field: "+n)
		}
	}
	if missing != nil {
		return refuse("invalid_arguments", missing...)
	}
	return nil
}

// readArgs takes the arguments from query and body: form, multipart or JSON.
func readArgs(r *http.Request) (args, error) {
	a := args{}
	for k, v := range r.URL.Query() {
		a[k] = v[0]
	}
	if r.Method != http.MethodPost {
		return a, nil
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return nil, refuse("invalid_post_type")
	}
	switch media {
	case "application/json":
		return a, readJSONArgs(r.Body, a)
	case "multipart/form-data":
		if err := r.ParseMultipartForm(maxBody); err != nil {
			return nil, refuse("invalid_form_data")
		}
	case "application/x-www-form-urlencoded":
		if err := r.ParseForm(); err != nil {
			return nil, refuse("invalid_form_data")
		}
	case "", "text/plain":
	default:
		return nil, refuse("invalid_post_type")
	}
	for k, v := range r.PostForm {
		a[k] = v[0]
	}
	return a, nil
}

func readJSONArgs(body io.Reader, a args) error {
	raw, err := io.ReadAll(body)
	if err != nil {
		return refuse("request_timeout")
	}
	if len(strings.TrimSpace(string(raw))) == 0 || string(raw) == "null" {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return refuse("invalid_json")
	}
	for k, v := range fields {
		var text string
		if json.Unmarshal(v, &text) == nil {
			a[k] = text
		} else {
			a[k] = string(v)
		}
	}
	return nil
}

// serveMethod answers one call of the Web API.
func (s *Server) serveMethod(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("method")
	a, err := readArgs(r)
	if err != nil {
		s.answer(w, name, principal{}, a, nil, err)
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "" {
		token = a["token"]
	}
	delete(a, "token")

	act := s.faults.beforeCall(name)
	if act.delay > 0 && !wait(r.Context(), act.delay) {
		return
	}
	if act.cut {
		panic(http.ErrAbortHandler)
	}
	if act.status != 0 {
		s.calls.add(name, a, "", fmt.Sprintf("http_%d", act.status), s.clock.Now())
		if act.status == http.StatusTooManyRequests {
			tooMany(w, act.retryAfter)
			return
		}
		http.Error(w, "upstream connect error", act.status)
		return
	}
	if act.refuse != "" {
		s.answer(w, name, principal{}, a, nil, refuse(act.refuse))
		return
	}

	who, out, pause, err := s.dispatch(name, token, a, r)
	if pause > 0 {
		s.calls.add(name, a, who.name(), "ratelimited", s.clock.Now())
		tooMany(w, pause)
		return
	}
	if act.reset {
		s.calls.add(name, a, who.name(), "connection reset after the call", s.clock.Now())
		panic(http.ErrAbortHandler)
	}
	s.answer(w, name, who, a, out, err)
}

// dispatch finds, permits and runs a method. A positive pause means that the rate
// limit refused it.
func (s *Server) dispatch(name, token string, a args, r *http.Request) (who principal, out obj, pause time.Duration, err error) {
	m, known := s.methods[name]
	if !known {
		return who, nil, 0, refuse("unknown_method")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	who, err = s.authenticate(token, m)
	if err != nil {
		return who, nil, 0, err
	}
	if who.app != nil {
		if pause := who.app.limits.take(s.now(), name, m.limit, a["channel"]+a["channel_id"]); pause > 0 {
			return who, nil, pause, nil
		}
	}
	if err := who.holds(m.scopes...); err != nil {
		return who, nil, 0, err
	}
	out, err = m.run(&call{Server: s, who: who, args: a, origin: s.origin(r), remote: r})
	return who, out, 0, err
}

// authenticate turns a token into who it stands for.
func (s *Server) authenticate(token string, m method) (principal, error) {
	if m.tokens == noToken {
		return principal{}, nil
	}
	if token == "" {
		return principal{}, refuse("not_authed")
	}
	who, ok := s.tokens[token]
	if !ok {
		u, isUser := s.users[strings.TrimPrefix(token, "xoxp-")]
		if !isUser || u.bot != nil || !strings.HasPrefix(token, "xoxp-") {
			return who, refuse("invalid_auth")
		}
		who = principal{kind: userToken, user: u}
	}
	switch {
	case who.app != nil && who.app.revoked:
		return who, refuse("invalid_auth")
	case who.user != nil && who.user.deleted:
		return who, refuse("account_inactive")
	case who.kind&m.tokens == 0:
		return who, refuse("not_allowed_token_type")
	}
	return who, nil
}

// name is the id under which calls of a principal are logged.
func (p principal) name() string {
	switch {
	case p.user != nil:
		return p.user.id
	case p.app != nil:
		return p.app.ID
	default:
		return ""
	}
}

// holds refuses unless the principal has one of scopes. People hold all scopes:
// their token stands for Slack's own client.
func (p principal) holds(scopes ...string) error {
	if len(scopes) == 0 || p.kind != botToken || slices.ContainsFunc(scopes, func(sc string) bool { return p.app.scopes[sc] }) {
		return nil
	}
	return &apiError{code: "missing_scope", needed: strings.Join(scopes, ","), provided: strings.Join(p.app.Scopes, ",")}
}

// answer writes the outcome of a call, and logs it.
func (s *Server) answer(w http.ResponseWriter, name string, who principal, a args, out obj, err error) {
	if who.app != nil {
		s.mu.Lock() // an installation may add scopes
		w.Header().Set("X-OAuth-Scopes", strings.Join(who.app.Scopes, ","))
		s.mu.Unlock()
	}
	if err == nil {
		s.calls.add(name, a, who.name(), "", s.clock.Now())
		if out == nil {
			out = obj{}
		}
		out["ok"] = true
		reply(w, http.StatusOK, out)
		return
	}
	refusal, ok := err.(*apiError)
	if !ok {
		refusal = &apiError{code: "internal_error", messages: []string{err.Error()}}
	}
	s.calls.add(name, a, who.name(), refusal.code, s.clock.Now())
	body := obj{"ok": false, "error": refusal.code}
	if refusal.messages != nil {
		body["response_metadata"] = obj{"messages": refusal.messages}
	}
	if refusal.needed != "" {
		body["needed"], body["provided"] = refusal.needed, refusal.provided
	}
	reply(w, http.StatusOK, body)
}

// tooMany is Slack's answer to a caller that is too fast.
func tooMany(w http.ResponseWriter, after time.Duration) {
	seconds := max(1, int((after+time.Second-1)/time.Second))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	reply(w, http.StatusTooManyRequests, obj{"ok": false, "error": "ratelimited"})
}
