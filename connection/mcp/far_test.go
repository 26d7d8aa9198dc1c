package mcp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/connection/child"
)

// far is a server that behaves as a test says. The SDK would not let it misbehave,
// so it speaks JSON-RPC by hand.
type far struct {
	mu      sync.Mutex
	calls   int            // of tools that came in
	heard   map[string]int // methods
	answers []json.RawMessage

	tools        string                            // JSON list
	instructions string                            // of initialize
	call         func(f *far, id, args string) any // any: a result, an rpcError, raw, hang or die
	list         func(cursor string) any
	http         func(w http.ResponseWriter, r *http.Request, method string) bool // true: answered
	before       func(send func(string), id string)                               // before the answer of a call
	session      string
}

type (
	rpcError struct {
		code int
		text string
	}
	raw  string
	hang struct{}
	die  struct{}
)

const echoTool = `[{"name":"echo","description":"says it again","inputSchema":{"type":"object","properties":{"message":{"type":"string"}}}}]`

func text(s string) any {
	return map[string]any{"content": []any{map[string]any{"type": "text", "text": s}}}
}

// answer is the response to one message, "" for none. die and hang are passed on.
func (f *far) answer(line string, send func(string)) (string, any) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if json.Unmarshal([]byte(line), &m) != nil {
		return "", nil
	}
	f.mu.Lock()
	if f.heard == nil {
		f.heard = map[string]int{}
	}
	f.heard[m.Method]++
	f.mu.Unlock()
	if m.ID == nil {
		return "", nil
	}
	id := string(m.ID)
	if m.Method == "" { // the client's answer to a request of ours
		f.mu.Lock()
		f.answers = append(f.answers, json.RawMessage(line))
		f.mu.Unlock()
		return "", nil
	}
	var out any
	switch m.Method {
	case "initialize":
		out = map[string]any{"protocolVersion": "2025-06-18", "capabilities": map[string]any{"tools": map[string]any{"listChanged": true}},
			"serverInfo": map[string]any{"name": "far", "version": "1"}, "instructions": f.instructions}
	case "tools/list":
		var p struct {
			Cursor string `json:"cursor"`
		}
		_ = json.Unmarshal(m.Params, &p)
		if f.list != nil {
			out = f.list(p.Cursor)
		} else {
			f.mu.Lock()
			out = map[string]any{"tools": json.RawMessage(f.tools)}
			f.mu.Unlock()
		}
	case "tools/call":
		f.mu.Lock()
		f.calls++
		f.mu.Unlock()
		if f.before != nil {
			f.before(send, id)
		}
		out = f.call(f, id, string(m.Params))
	case "ping":
		out = map[string]any{}
	default:
		out = rpcError{-32601, "there is no method " + m.Method}
	}
	switch out := out.(type) {
	case hang, die:
		return "", out
	case raw:
		return string(out), nil
	case rpcError:
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, id, out.code, out.text), nil
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, b), nil
}

// ServeHTTP answers in one JSON body, or in a stream where something comes first.
func (f *far) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	b := make([]byte, r.ContentLength)
	if _, err := bufio.NewReader(r.Body).Read(b); err != nil && r.ContentLength > 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var m struct {
		Method string `json:"method"`
	}
	_ = json.Unmarshal(b, &m)
	if f.http != nil && f.http(w, r, m.Method) {
		return
	}
	if f.session != "" && m.Method == "initialize" {
		w.Header().Set("Mcp-Session-Id", f.session)
	}
	stream := false
	out, fate := f.answer(string(b), func(line string) {
		if !stream {
			w.Header().Set("Content-Type", "text/event-stream")
			stream = true
		}
		fmt.Fprintf(w, "event: message\ndata: %s\n\n", line)
		w.(http.Flusher).Flush()
	})
	switch fate.(type) {
	case hang:
		<-r.Context().Done()
		return
	case die:
		panic(http.ErrAbortHandler)
	}
	switch {
	case out == "":
		w.WriteHeader(http.StatusAccepted)
	case stream:
		fmt.Fprintf(w, "event: message\ndata: %s\n\n", out)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, out)
	}
}

func (f *far) count(of *int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *of
}

// over gives a client of f over HTTP.
func over(t *testing.T, f *far, o Options) *Client {
	t.Helper()
	if f.tools == "" {
		f.tools = echoTool
	}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	o.Name, o.Endpoint, o.HTTP = "far", s.URL, s.Client()
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

// childMode has the test binary be a server over stdio: its behaviour by name.
const childMode = "DESKMATE_TEST_FAR"

var children = map[string]func(f *far){
	"plain": func(f *far) { f.call = func(*far, string, string) any { return text("done") } },
	"die":   func(f *far) { f.call = func(*far, string, string) any { return die{} } },
	"hang":  func(f *far) { f.call = func(*far, string, string) any { return hang{} } },
	"junk":  func(f *far) { f.call = func(*far, string, string) any { return raw(`{"jsonrpc":"2.0","id":`) } },
	"huge": func(f *far) {
		f.call = func(_ *far, id, _ string) any {
			return raw(`{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", 50<<20) + `"}]}}`)
		}
	},
	"mute": func(f *far) { f.list = func(string) any { return hang{} } },
}

func TestMain(m *testing.M) {
	behave, ok := children[os.Getenv(childMode)]
	if !ok {
		os.Exit(m.Run())
	}
	f := &far{tools: echoTool}
	behave(f)
	in := bufio.NewReader(os.Stdin)
	var out sync.Mutex
	send := func(line string) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(line)
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			os.Exit(0)
		}
		go func() {
			got, fate := f.answer(line, send)
			if _, dead := fate.(die); dead {
				os.Exit(3)
			}
			if got != "" {
				send(got)
			}
		}()
	}
}

// beside gives a client of a child that behaves as it is called.
func beside(t *testing.T, how string, timeout time.Duration) *Client {
	t.Helper()
	if _, err := child.Bubblewrap(); err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	c := New(Options{Name: "far", Timeout: timeout, Command: func(context.Context) (*child.Process, error) {
		return child.Start(child.Spec{Command: []string{os.Args[0]}, Env: map[string]string{childMode: how}, Sandbox: child.SandboxNone, Network: child.NetworkFull})
	}})
	t.Cleanup(c.Close)
	return c
}

// echo calls the tool echo as it is shown at the moment.
func echo(t *testing.T, c *Client) (Answer, error) {
	t.Helper()
	l, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Call(t.Context(), Call{Tool: "echo", Pin: l.Tools[0].Pin(), Args: json.RawMessage(`{"message":"hi"}`)})
}

// fate says which of the three fates of a call an error stands for.
func fate(err error) string {
	var unsent *NotSentError
	var refused *AnswerError
	switch {
	case err == nil:
		return "answered"
	case errors.As(err, &unsent):
		return "not sent"
	case errors.As(err, &refused):
		return "refused"
	}
	return "unknown"
}
