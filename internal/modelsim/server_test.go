package modelsim

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, h Handler, o Options) (*Server, string) {
	t.Helper()
	s := New(h, o)
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return s, web.URL
}

// post sends a body and returns status, headers and answer.
func post(t *testing.T, url, key, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatalf("NewRequest: %v", err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("Do: %v", err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // cut answers are a case of these tests
	return resp.StatusCode, resp.Header, string(b)
}

const ask = `{"model":"m","messages":[{"role":"user","content":"hello"}]}`

func TestServerAnswersPlainRequests(t *testing.T) {
	t.Parallel()
	_, url := start(t, Always(Reply{Text: "Hi.", Calls: []Call{{Name: "recall", Args: map[string]string{"query": "tea"}}}}), Options{})
	status, _, body := post(t, url, "", ask)
	var got struct {
		Choices []struct {
			Message struct {
				Content   string
				ToolCalls []ToolCall `json:"tool_calls"`
			}
			FinishReason string `json:"finish_reason"`
		}
		Usage struct {
			Total int `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
		t.Fatalf("status %d, %v: %s", status, err, body)
	}
	c := got.Choices[0]
	if c.Message.Content != "Hi." || c.FinishReason != "tool_calls" || c.Message.ToolCalls[0].Function.Arguments != `{"query":"tea"}` || got.Usage.Total == 0 {
		t.Errorf("got %s, want the text, the call and usage", body)
	}
}

func TestServerStreams(t *testing.T) {
	t.Parallel()
	_, url := start(t, Always(Reply{Text: "Hello, Ada. Tea is at four."}), Options{})
	_, h, body := post(t, url, "", `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hello"}]}`)
	if h.Get("Content-Type") != "text/event-stream" {
		t.Errorf("content type %q, want text/event-stream", h.Get("Content-Type"))
	}
	var text, last string
	usage, events := false, 0
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		events++
		last = data
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
			Usage   *struct {
				Total int `json:"total_tokens"`
			}
		}
		if json.Unmarshal([]byte(data), &chunk) == nil {
			usage = usage || chunk.Usage != nil && len(chunk.Choices) == 0
			if len(chunk.Choices) > 0 {
				text += chunk.Choices[0].Delta.Content
			}
		}
	}
	if text != "Hello, Ada. Tea is at four." || last != "[DONE]" || !usage || events < 6 {
		t.Errorf("text %q, last event %q, usage %t, %d events; want the text in pieces, usage, then [DONE]", text, last, usage, events)
	}
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, key, body string
		o               Options
		status          int
		says            string
	}{
		{"a wrong key", "b", ask, Options{Key: "a"}, 401, "Incorrect API key"},
		{"an unknown model", "", ask, Options{Models: []string{"other"}}, 404, "does not exist"},
		{"what is not JSON", "", `{`, Options{}, 400, "not valid"},
		{"no messages", "", `{"model":"m"}`, Options{}, 400, "empty"},
		{"no model", "", `{"messages":[{"role":"user","content":"x"}]}`, Options{}, 400, "model"},
		{"an unknown role", "", `{"model":"m","messages":[{"role":"boss","content":"x"}]}`, Options{}, 400, "role"},
		{"a result without a call", "", `{"model":"m","messages":[{"role":"tool","tool_call_id":"c1","content":"x"}]}`, Options{}, 400, "answers no call"},
		{"a call without a result", "", `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"user","content":"x"}]}`, Options{}, 400, "must be followed"},
		{"a call with broken arguments", "", `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{"}}]},{"role":"tool","tool_call_id":"c1","content":"x"}]}`, Options{}, 400, "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, url := start(t, Always(Reply{Text: "x"}), c.o)
			status, _, body := post(t, url, c.key, c.body)
			if status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("got %d %s, want %d with %q", status, body, c.status, c.says)
			}
			if c.body != `{` && len(s.Requests()) != 1 {
				t.Errorf("%d requests recorded, want the refused one too", len(s.Requests()))
			}
		})
	}
}

func TestServerFailsAsAsked(t *testing.T) {
	t.Parallel()
	const streamed = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}`
	_, url := start(t, Always(Reply{Status: 429, Error: "slow down", RetryAfter: "3"}), Options{})
	if status, h, body := post(t, url, "", ask); status != 429 || h.Get("Retry-After") != "3" || !strings.Contains(body, "slow down") {
		t.Errorf("got %d, Retry-After %q, %s", status, h.Get("Retry-After"), body)
	}
	_, url = start(t, Always(Reply{Cut: true, Text: "a long answer that is cut"}), Options{})
	if _, _, body := post(t, url, "", streamed); strings.Contains(body, "[DONE]") || !strings.Contains(body, "data: ") {
		t.Errorf("a cut stream is %q, want a beginning without an end", body)
	}
	_, url = start(t, Always(Reply{Hang: true}), Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(ask))
	if err != nil {
		t.Fatalf("NewRequest: %v", err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("a hanging server answered %d", resp.StatusCode)
	}
}

func TestServerListsModels(t *testing.T) {
	t.Parallel()
	_, url := start(t, Always(Reply{}), Options{Models: []string{"sim-1", "sim-2"}})
	resp, err := http.Get(url + "/v1/models")
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), `"id":"sim-1"`) || !strings.Contains(string(b), `"id":"sim-2"`) {
		t.Errorf("got %s, %v, want both models", b, err)
	}
}

func TestScriptRefusesMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script, says string }{
		{"empty", "", "neither a sequence nor rules"},
		{"unknown field", "rules: [{usr: x}]", "usr"},
		{"broken expression", "rules: [{user: '('}]", "rule 1"},
		{"both user and tool", "rules: [{text: a}, {user: x, tool: y}]", "rule 2"},
		{"match without tool", "rules: [{match: x}]", "need tool"},
		{"not YAML", "rules: [", "parse script"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := ParseScript(strings.NewReader(c.script)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an error with %q", err, c.says)
			}
		})
	}
}

func TestScriptPlaysSequenceThenRules(t *testing.T) {
	t.Parallel()
	s, err := ParseScript(strings.NewReader(`
sequence:
  - {status: 503, error: warming up}
  - {text: "First, ${asked}", delay: 1ms}
rules:
  - {user: once, text: only once, times: 1}
  - {user: '(\w+) and (?P<b>\w+)', calls: [{name: pair, args: {all: ["${1}", {deep: "${b}"}], n: 3}}]}
  - {tool: pair, asked: tea, match: 'ok (\d+)', text: "tea ${1}"}
  - {tool: pair, text: something else}
`))
	if err != nil {
		t.Fatalf("ParseScript: %v", err)
	}
	h := s.Handler()
	var pair Tool
	pair.Function.Name = "pair"
	person := func(said string) Request {
		return Request{Messages: []Message{{Role: "user", Content: said}}, Tools: []Tool{pair}}
	}
	result := func(said, result string) Request {
		q := person(said)
		q.Messages = append(q.Messages, Message{Role: "assistant", ToolCalls: []ToolCall{{ID: "c1", Function: Function{Name: "pair"}}}},
			Message{Role: "tool", ToolCallID: "c1", Content: result})
		return q
	}
	if got := h(person("hello")); got.Status != 503 {
		t.Errorf("first reply %+v, want status 503", got)
	}
	for _, c := range []struct {
		q    Request
		want string
	}{
		{person("hello"), "First, hello"},
		{person("once"), "only once"},
		{result("tea", "ok 42"), "tea 42"},
		{result("milk", "ok 42"), "something else"},
	} {
		if got := h(c.q); got.Text != c.want {
			t.Errorf("reply %+v, want the text %q", got, c.want)
		}
	}
	got := h(person("salt and pepper"))
	if len(got.Calls) != 1 || got.Calls[0].arguments() != `{"all":["salt",{"deep":"pepper"}],"n":3}` {
		t.Errorf("calls %+v, want the groups put into the arguments", got.Calls)
	}
	if got := h(person("once")); got.Status != 500 || !strings.Contains(got.Error, "no rule") {
		t.Errorf("a spent rule answers %+v, want that no rule fits", got)
	}
	q := person("salt and pepper")
	q.Tools = nil
	if got := h(q); len(got.Calls) != 0 {
		t.Errorf("calls %+v of a tool that was not offered", got.Calls)
	}
}

func TestWorstAlwaysDoesTheSame(t *testing.T) {
	t.Parallel()
	h := Worst("post", map[string]string{"channel": "#general"})
	for range 3 {
		if got := h(Request{}); len(got.Calls) != 1 || got.Calls[0].Name != "post" || got.Calls[0].arguments() != `{"channel":"#general"}` {
			t.Errorf("got %+v, want the same call each time", got)
		}
	}
}

func TestStoryScriptParses(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join("testdata", "story.yaml"))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer f.Close()
	s, err := ParseScript(f)
	if err != nil || len(s.Rules) < 10 {
		t.Errorf("got %+v, %v, want the story's rules", s, err)
	}
}
