package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/internal/modelsim"
)

const testKey = "not-a-real-key-0001"

// connect starts a modelsim server and a model that talks to it.
func connect(t *testing.T, h modelsim.Handler, server modelsim.Options, o OpenAIOptions) (*OpenAI, *modelsim.Server) {
	t.Helper()
	sim := modelsim.New(h, server)
	web := httptest.NewServer(sim)
	t.Cleanup(web.Close)
	o.BaseURL = web.URL + "/v1"
	if o.Model == "" {
		o.Model = "sim-1"
	}
	m, err := NewOpenAI(o)
	if err != nil {
		t.Fatalf("NewOpenAI: %v", err)
	}
	return m, sim
}

// hello is a request with one tool.
func hello() Request {
	return Request{
		Messages:  []Message{{Role: RoleSystem, Content: "You are Deskmate."}, {Role: RoleUser, Name: "Ada", Content: "remember that tea is at four"}},
		Tools:     []ToolDef{{Name: "remember", Description: "Keep a fact.", Schema: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"}}}`)}},
		MaxTokens: 64,
		User:      "u1",
	}
}

func TestOpenAIStreamsText(t *testing.T) {
	t.Parallel()
	const want = "Tea is at four — every day, *except* Sunday."
	m, sim := connect(t, modelsim.Always(modelsim.Reply{Text: want}), modelsim.Options{Key: testKey}, OpenAIOptions{Key: testKey})
	var seen []string
	got, err := m.Complete(t.Context(), hello(), func(s string) { seen = append(seen, s) })
	if err != nil {
		t.Fatalf("Complete: %v", err)
	}
	if got.Text != want || len(got.Calls) != 0 || got.Model != "sim-1" {
		t.Errorf("got %+v, want the text %q of sim-1", got, want)
	}
	if got.Usage.Input < 50 || got.Usage.Output < 5 {
		t.Errorf("usage %+v, want what the server counted", got.Usage)
	}
	if len(seen) < 3 || seen[len(seen)-1] != want {
		t.Errorf("onText got %d texts %q, want a growing text that ends as %q", len(seen), seen, want)
	}
	for i := 1; i < len(seen); i++ {
		if !strings.HasPrefix(seen[i], seen[i-1]) {
			t.Errorf("text %q does not continue %q", seen[i], seen[i-1])
		}
	}
	q := sim.Requests()[0]
	if q.Last("user").Content != "Ada: remember that tea is at four" || q.User != "u1" || q.MaxTokens != 64 || !q.Offers("remember") {
		t.Errorf("request %s does not hold speaker, user, limit and tool", q.Body)
	}
}

func TestOpenAIAssemblesToolCalls(t *testing.T) {
	t.Parallel()
	two := []modelsim.Call{
		{Name: "remember", Args: map[string]any{"text": "tea is at four, says “Ada” 🫖"}},
		{Name: "recall", Args: map[string]any{"query": "tea"}},
	}
	without := func(id string) []modelsim.Call {
		calls := slices.Clone(two)
		for i := range calls {
			calls[i].ID = id
		}
		return calls
	}
	for _, c := range []struct {
		name   string
		reply  modelsim.Reply
		server modelsim.Options
	}{
		{"in fragments", modelsim.Reply{Calls: two}, modelsim.Options{}},
		{"whole in one chunk", modelsim.Reply{Calls: two, Whole: true}, modelsim.Options{}},
		{"in fragments without index", modelsim.Reply{Calls: two, NoIndex: true}, modelsim.Options{}},
		{"whole without index", modelsim.Reply{Calls: two, NoIndex: true, Whole: true}, modelsim.Options{}},
		{"without ids", modelsim.Reply{Calls: without("-")}, modelsim.Options{}},
		{"with the same id twice", modelsim.Reply{Calls: without("same")}, modelsim.Options{}},
		{"without ids and index", modelsim.Reply{Calls: without("-"), NoIndex: true}, modelsim.Options{}},
		{"with text before", modelsim.Reply{Text: "Let me see.", Calls: two}, modelsim.Options{}},
		{"among comments and event names", modelsim.Reply{Calls: two, Chatty: true}, modelsim.Options{}},
		{"ended without DONE", modelsim.Reply{Calls: two, NoDone: true}, modelsim.Options{NoUsage: true}},
		{"as plain JSON", modelsim.Reply{Calls: two}, modelsim.Options{NoStream: true}},
		{"as plain JSON without index and ids", modelsim.Reply{Calls: without("-"), NoIndex: true}, modelsim.Options{NoStream: true}},
		{"where streams are refused", modelsim.Reply{Calls: two}, modelsim.Options{RefuseStream: true}},
		{"where usage is refused", modelsim.Reply{Calls: two}, modelsim.Options{RefuseUsage: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, _ := connect(t, modelsim.Always(c.reply), c.server, OpenAIOptions{})
			got, err := m.Complete(t.Context(), hello(), nil)
			if err != nil {
				t.Fatalf("Complete: %v", err)
			}
			if len(got.Calls) != 2 {
				t.Fatalf("got %d calls %+v, want 2", len(got.Calls), got.Calls)
			}
			if got.Text != c.reply.Text {
				t.Errorf("text %q, want %q", got.Text, c.reply.Text)
			}
			for i, call := range got.Calls {
				want, _ := json.Marshal(two[i].Args)
				if call.Name != two[i].Name || string(call.Args) != string(want) {
					t.Errorf("call %d is %s %s, want %s %s", i, call.Name, call.Args, two[i].Name, want)
				}
			}
			if a, b := got.Calls[0].ID, got.Calls[1].ID; a == "" || b == "" || a == b {
				t.Errorf("ids %q and %q, want two different ones", a, b)
			}
			if got.Usage.Input == 0 || got.Usage.Output == 0 {
				t.Errorf("usage %+v, want a count or an estimate", got.Usage)
			}
		})
	}
}

func TestOpenAIAssemblesCallsThatShareAnIndex(t *testing.T) {
	t.Parallel()
	// Some servers send whole calls, all with index 0, and objects as arguments.
	m, _ := stream(t, `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"recall","arguments":{"query":"tea"}}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"recall","arguments":"{\"query\":\"milk\"}"}}]},"finish_reason":"tool_calls"}]}`)
	got, err := m.Complete(t.Context(), hello(), nil)
	if err != nil {
		t.Fatalf("Complete: %v", err)
	}
	if len(got.Calls) != 2 || string(got.Calls[0].Args) != `{"query":"tea"}` || string(got.Calls[1].Args) != `{"query":"milk"}` {
		t.Errorf("got %+v, want a recall of tea and one of milk", got.Calls)
	}
}

// stream is a model whose server sends these events and [DONE].
func stream(t *testing.T, events ...string) (*OpenAI, *httptest.Server) {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range append(events, "[DONE]") {
			_, _ = w.Write([]byte("data: " + e + "\n\n"))
		}
	}))
	t.Cleanup(web.Close)
	m, err := NewOpenAI(OpenAIOptions{BaseURL: web.URL, Model: "sim-1"})
	if err != nil {
		t.Fatalf("NewOpenAI: %v", err)
	}
	return m, web
}

func TestOpenAIReadsErrorsInsideAStream(t *testing.T) {
	t.Parallel()
	for _, event := range []string{`{ "error": "the GPU is on fire" }`, `{ "error": {"message": "the GPU is on fire"} }`, `{ "error": {"detail": "the GPU is on fire"} }`} {
		m, _ := stream(t, `{"choices":[{"delta":{"content":"Let me"}}]}`, event)
		_, err := m.Complete(t.Context(), hello(), nil)
		if !IsTemporary(err) || !strings.Contains(err.Error(), "the GPU is on fire") {
			t.Errorf("%s: got %v, want a temporary error that says why", event, err)
		}
	}
}

func TestOpenAISaysWhatTheLibraryRefuses(t *testing.T) {
	t.Parallel()
	m, sim := connect(t, modelsim.Always(modelsim.Reply{}), modelsim.Options{}, OpenAIOptions{Model: "gpt-6-astra"})
	_, err := m.Complete(t.Context(), hello(), nil)
	if err == nil || IsTemporary(err) || !strings.Contains(err.Error(), "gpt-6-astra cannot be asked this way") || len(sim.Requests()) != 0 {
		t.Errorf("got %v after %d requests, want a final error that names the model after none", err, len(sim.Requests()))
	}
	m, _ = connect(t, modelsim.Always(modelsim.Reply{Text: "Hello."}), modelsim.Options{}, OpenAIOptions{Model: "gpt-6-sol"})
	if got, err := m.Complete(t.Context(), hello(), nil); err != nil || got.Text != "Hello." {
		t.Errorf("gpt-6-sol with tools: got %q, %v, want Hello.", got.Text, err)
	}
}

func TestOpenAIHandsOnArgumentsThatAreNotJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, raw, want string }{
		{"cut", `{"text": "tea`, `"{\"text\": \"tea"`},
		{"prose", `tea is at four`, `"tea is at four"`},
		{"empty", ``, `{}`},
		{"null", `null`, `{}`},
		{"an object in a string", `"{\"text\":\"tea\"}"`, `{"text":"tea"}`},
		{"spaced", ` { "text" : "tea" } `, `{"text":"tea"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := string(readArguments(c.raw)); got != c.want {
				t.Errorf("readArguments(%q) = %s, want %s", c.raw, got, c.want)
			}
		})
	}
	m, sim := connect(t, modelsim.Always(modelsim.Reply{Calls: []modelsim.Call{{Name: "remember", Raw: `{"text": tea}`}}}), modelsim.Options{}, OpenAIOptions{})
	r := hello()
	got, err := m.Complete(t.Context(), r, nil)
	if err != nil || len(got.Calls) != 1 || string(got.Calls[0].Args) != `"{\"text\": tea}"` {
		t.Fatalf("got %+v, %v, want the arguments as a JSON string", got, err)
	}
	// The server wants valid JSON back in the history.
	r.Messages = append(r.Messages, Message{Role: RoleAssistant, Calls: got.Calls},
		Message{Role: RoleTool, CallID: got.Calls[0].ID, Content: "Error: the arguments are not a JSON object"})
	if _, err := m.Complete(t.Context(), r, nil); err != nil {
		t.Fatalf("Complete with the error in the history: %v", err)
	}
	sent := sim.Requests()[1].Messages[2].ToolCalls[0].Function.Arguments
	if want := `{"invalid_arguments":"{\"text\": tea}"}`; sent != want {
		t.Errorf("sent arguments %s, want %s", sent, want)
	}
}

func TestOpenAILearnsWhatAServerDoesNotTake(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		server modelsim.Options
		calls  int // requests for two completions
	}{
		{"nothing to learn", modelsim.Options{}, 2},
		{"no stream_options", modelsim.Options{RefuseUsage: true}, 3},
		{"no stream", modelsim.Options{RefuseStream: true}, 3},
		{"another name of the limit", modelsim.Options{RefuseOldName: true}, 3},
		{"no stream_options and another name", modelsim.Options{RefuseUsage: true, RefuseOldName: true}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, sim := connect(t, modelsim.Always(modelsim.Reply{Text: "Hello."}), c.server, OpenAIOptions{})
			for range 2 {
				if got, err := m.Complete(t.Context(), hello(), nil); err != nil || got.Text != "Hello." {
					t.Fatalf("got %+v, %v, want Hello.", got, err)
				}
			}
			if got := len(sim.Requests()); got != c.calls {
				t.Errorf("the server got %d requests, want %d", got, c.calls)
			}
		})
	}
}

func TestOpenAIDoesNotLearnFromOtherRefusals(t *testing.T) {
	t.Parallel()
	script := &modelsim.Script{Sequence: []modelsim.Reply{
		{Status: 400, Error: "the upstream refused the prompt"},
		{Status: 400, Error: "stream closed: the prompt is too long"}, {Status: 400, Error: "the prompt is too long"},
		{Text: "Hello."},
	}}
	m, sim := connect(t, script.Handler(), modelsim.Options{}, OpenAIOptions{})
	for range 2 {
		if _, err := m.Complete(t.Context(), hello(), nil); err == nil || IsTemporary(err) {
			t.Errorf("got %v, want a final error", err)
		}
	}
	if _, err := m.Complete(t.Context(), hello(), nil); err != nil {
		t.Fatalf("Complete: %v", err)
	}
	if last := sim.Requests()[len(sim.Requests())-1]; len(sim.Requests()) != 4 || !last.Stream || last.StreamOptions == nil {
		t.Errorf("request %d is %s, want the fourth to ask for a stream with usage again", len(sim.Requests()), last.Body)
	}
}

func TestOpenAIFailures(t *testing.T) {
	t.Parallel()
	quick := OpenAIOptions{Key: testKey, FirstByte: 150 * time.Millisecond, Idle: 150 * time.Millisecond}
	for _, c := range []struct {
		name      string
		reply     modelsim.Reply
		server    modelsim.Options
		temporary bool
		status    int
		says      string
	}{
		{"429", modelsim.Reply{Status: 429, Error: "slow down"}, modelsim.Options{}, true, 429, "slow down"},
		{"500", modelsim.Reply{Status: 500, Error: "oops"}, modelsim.Options{}, true, 500, "oops"},
		{"503", modelsim.Reply{Status: 503, Error: "overloaded"}, modelsim.Options{}, true, 503, "overloaded"},
		{"400", modelsim.Reply{Status: 400, Error: "context length exceeded"}, modelsim.Options{}, false, 400, "context length exceeded"},
		{"403", modelsim.Reply{Status: 403, Error: "country not supported"}, modelsim.Options{}, false, 403, "country"},
		{"401 that quotes the key", modelsim.Reply{}, modelsim.Options{Key: "another-key-entirely"}, false, 401, "OPENAI_API_KEY"},
		{"404 unknown model", modelsim.Reply{}, modelsim.Options{Models: []string{"sim-2"}}, false, 404, "sim-1"},
		{"hang", modelsim.Reply{Hang: true}, modelsim.Options{}, true, 0, "did not begin to answer within 150ms"},
		{"stall in mid-stream", modelsim.Reply{Stall: true, Text: "a long answer that never comes to its end"}, modelsim.Options{}, true, 0, "sent nothing for 150ms"},
		{"cut in mid-stream", modelsim.Reply{Cut: true, Text: "a long answer that never comes to its end"}, modelsim.Options{}, true, 0, "ended in the middle"},
		{"garbage in mid-stream", modelsim.Reply{Garbage: true, Text: "a long answer"}, modelsim.Options{}, true, 0, "protocol"},
		{"garbage as plain JSON", modelsim.Reply{Garbage: true}, modelsim.Options{NoStream: true}, true, 0, "protocol"},
		{"error in mid-stream", modelsim.Reply{Error: "the GPU is on fire", Text: "a long answer"}, modelsim.Options{}, true, 0, "the GPU is on fire"},
		{"error in mid-stream after comments", modelsim.Reply{Error: "the GPU is on fire", Text: "a long answer", Chatty: true}, modelsim.Options{}, true, 0, "the GPU is on fire"},
		{"content filter", modelsim.Reply{Finish: "content_filter"}, modelsim.Options{}, false, 0, "content filter"},
		{"redirect", modelsim.Reply{Redirect: "http://127.0.0.1:1/"}, modelsim.Options{}, false, 307, "OPENAI_BASE_URL"},
		{"a call of no tool", modelsim.Reply{Calls: []modelsim.Call{{}}}, modelsim.Options{}, true, 0, "protocol"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, _ := connect(t, modelsim.Always(c.reply), c.server, quick)
			_, err := m.Complete(t.Context(), hello(), nil)
			var failed *ModelError
			if !errors.As(err, &failed) {
				t.Fatalf("got %v, want a ModelError", err)
			}
			if failed.Temporary != c.temporary || failed.Status != c.status {
				t.Errorf("temporary %t, status %d (%v), want %t, %d", failed.Temporary, failed.Status, err, c.temporary, c.status)
			}
			if !strings.Contains(failed.Message, c.says) {
				t.Errorf("message %q, want %q in it", failed.Message, c.says)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", failed, failed.Err), testKey) {
				t.Errorf("%q shows the key", failed.Error())
			}
		})
	}
}

func TestOpenAICannotConnect(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	web.Close()
	m, err := NewOpenAI(OpenAIOptions{BaseURL: web.URL, Model: "sim-1"})
	if err != nil {
		t.Fatalf("NewOpenAI: %v", err)
	}
	_, err = m.Complete(t.Context(), hello(), nil)
	if !IsTemporary(err) || !strings.Contains(err.Error(), "cannot connect to 127.0.0.1") {
		t.Errorf("got %v, want a temporary error that says where it cannot connect", err)
	}
}

func TestOpenAIEndsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	m, _ := connect(t, func(modelsim.Request) modelsim.Reply {
		close(arrived)
		return modelsim.Reply{Hang: true}
	}, modelsim.Options{}, OpenAIOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := m.Complete(ctx, hello(), nil)
	var failed *ModelError
	if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
		t.Errorf("got %v, want the context's own error", err)
	}
}

func TestOpenAIHidesThoughts(t *testing.T) {
	t.Parallel()
	m, _ := connect(t, modelsim.Always(modelsim.Reply{Text: "<think>They want tea.</think>\n\nTea is at four."}), modelsim.Options{}, OpenAIOptions{})
	got, err := m.Complete(t.Context(), hello(), func(s string) {
		if strings.Contains(s, "want") {
			t.Errorf("onText got the thought %q", s)
		}
	})
	if err != nil || got.Text != "Tea is at four." {
		t.Errorf("got %q, %v, want only what was said", got.Text, err)
	}
}

func TestOpenAISaysThatItsAnswerWasCut(t *testing.T) {
	t.Parallel()
	m, _ := connect(t, modelsim.Always(modelsim.Reply{Text: "Once upon a", Finish: "length"}), modelsim.Options{}, OpenAIOptions{})
	got, err := m.Complete(t.Context(), hello(), nil)
	if err != nil || !strings.HasPrefix(got.Text, "Once upon a") || !strings.Contains(got.Text, "cut off") {
		t.Errorf("got %q, %v, want the text with a word that it was cut", got.Text, err)
	}
}

func TestNewOpenAIRefusesWrongOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		o    OpenAIOptions
		says string
	}{
		{"no model", OpenAIOptions{}, "DESKMATE_MODEL"},
		{"fallbacks for one model", OpenAIOptions{Model: "m", Fallbacks: []string{"n"}}, "ConnectOpenAI"},
		{"no scheme", OpenAIOptions{Model: "m", BaseURL: "localhost:8080"}, "http://"},
		{"no host", OpenAIOptions{Model: "m", BaseURL: "http:///v1"}, "host"},
		{"not a URL", OpenAIOptions{Model: "m", BaseURL: "http://a b"}, "not a URL"},
		{"a password", OpenAIOptions{Model: "m", BaseURL: "https://ada:" + testKey + "@example.com/v1"}, "password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := NewOpenAI(c.o)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want an error with %q", err, c.says)
			}
			if strings.Contains(err.Error(), testKey) {
				t.Errorf("%q shows the password", err)
			}
		})
	}
}

func TestOpenAICheckFindsMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		server modelsim.Options
		says   string // "" = all is well
	}{
		{"the model is listed", modelsim.Options{Key: testKey, Models: []string{"sim-0", "sim-1"}}, ""},
		{"the server lists nothing", modelsim.Options{Key: testKey}, ""},
		{"the model is not listed", modelsim.Options{Key: testKey, Models: []string{"sim-2", "sim-3"}}, "it has sim-2, sim-3"},
		{"the key is wrong", modelsim.Options{Key: "another-key-entirely"}, "401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, _ := connect(t, modelsim.Always(modelsim.Reply{}), c.server, OpenAIOptions{Key: testKey})
			err := m.Check(t.Context())
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want an error with %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), testKey) {
				t.Errorf("%q shows the key", err)
			}
		})
	}
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	m, err := NewOpenAI(OpenAIOptions{BaseURL: web.URL, Model: "sim-1"})
	if err != nil {
		t.Fatalf("NewOpenAI: %v", err)
	}
	if err := m.Check(t.Context()); err != nil {
		t.Errorf("a server without a list: got %v, want nil", err)
	}
}

func TestOpenAITellsAnEmptyAccountFromHaste(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"error":{"message":"You exceeded your quota.","type":"insufficient_quota","code":"insufficient_quota"}}`))
	}))
	t.Cleanup(web.Close)
	m, err := NewOpenAI(OpenAIOptions{BaseURL: web.URL, Model: "sim-1"})
	if err != nil {
		t.Fatalf("NewOpenAI: %v", err)
	}
	if _, err := m.Complete(t.Context(), hello(), nil); err == nil || IsTemporary(err) {
		t.Errorf("got %v, want an error that is not worth another try", err)
	}
}

func TestOpenAIMasksKeysInErrorPages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, want, not string }{
		{"your key " + testKey + " is bad", "your key *** is bad", testKey},
		{"Bearer abcdefghij is bad", "Bearer *** is bad", "abcdefghij"},
		{"<html><body>nginx</body></html>", "answered 502 Bad Gateway", "nginx"},
		{strings.Repeat("long ", 200), "…", strings.Repeat("long ", 100)},
	} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte(c.body))
		}))
		m, err := NewOpenAI(OpenAIOptions{Key: testKey, BaseURL: web.URL, Model: "sim-1"})
		if err != nil {
			t.Fatalf("NewOpenAI: %v", err)
		}
		_, err = m.Complete(t.Context(), hello(), nil)
		web.Close()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), c.not) {
			t.Errorf("got %v, want %q in it and not %q", err, c.want, c.not)
		}
	}
}

// FuzzOpenAIAnswer reads arbitrary frames: whatever a server sends, calls have
// a name, an id of their own and valid JSON as arguments.
func FuzzOpenAIAnswer(f *testing.F) {
	f.Add(`{"choices":[{"delta":{"content":"hi","tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]},"finish_reason":"tool_calls"}]}`, false)
	f.Add(`{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":[1]}}},{"function":{"name":"f"}}]}}]}`, `{}`, true)
	f.Add(`{"choices":[{"message":{"tool_calls":[{"id":"call_2","function":{"name":"f"}},{"function":{"name":"f"}}]}}]}`, `{}`, true)
	f.Fuzz(func(t *testing.T, first, second string, whole bool) {
		a := assembly{whole: whole}
		for _, raw := range []string{first, second} {
			if a.add([]byte(raw), func(string) {}) != nil {
				return
			}
		}
		got, err := a.response(hello(), "m")
		if err != nil {
			return
		}
		ids := map[string]bool{}
		for _, c := range got.Calls {
			if c.Name == "" || c.ID == "" || ids[c.ID] || !json.Valid(c.Args) {
				t.Errorf("call %+v of %q", c, []string{first, second})
			}
			ids[c.ID] = true
		}
	})
}
