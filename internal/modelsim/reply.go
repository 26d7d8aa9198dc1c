package modelsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Call is a tool call that the server makes. Args is any value that marshals to
// a JSON object; Raw, if not empty, is sent in its place, valid or not.
type Call struct {
	Name string `yaml:"name"`
	Args any    `yaml:"args"`
	Raw  string `yaml:"raw"`
	ID   string `yaml:"id"` // "" makes one up, "-" sends none
}

func (c Call) arguments() string {
	if c.Raw != "" {
		return c.Raw
	}
	if c.Args == nil {
		return "{}"
	}
	b, err := json.Marshal(c.Args)
	if err != nil {
		return fmt.Sprintf("cannot marshal: %v", err)
	}
	return string(b)
}

// Reply is one answer of the server, or one of the ways in which servers fail.
type Reply struct {
	Text   string `yaml:"text"`
	Calls  []Call `yaml:"calls"`
	Finish string `yaml:"finish"` // finish_reason; "" = stop or tool_calls

	// Ways to fail.
	Status     int           `yaml:"status"` // answer with this error status and Error as its message
	Error      string        `yaml:"error"`  // alone: an error event in the middle of the stream
	RetryAfter string        `yaml:"retry_after"`
	Hang       bool          `yaml:"hang"`     // never answer; holds until the client goes away
	Stall      bool          `yaml:"stall"`    // stop in the middle of the stream and hold
	Cut        bool          `yaml:"cut"`      // close the connection in the middle of the stream
	Garbage    bool          `yaml:"garbage"`  // send what is not JSON
	Delay      time.Duration `yaml:"delay"`    // before the answer and between its chunks
	Redirect   string        `yaml:"redirect"` // answer 307 to here

	// Ways in which servers differ.
	Whole   bool `yaml:"whole"`    // each call in one chunk, not in fragments
	NoIndex bool `yaml:"no_index"` // calls without an index
	Chatty  bool `yaml:"chatty"`   // comments, event names and blank lines between the chunks
	NoDone  bool `yaml:"no_done"`  // end after the finish_reason, without [DONE] and line end
}

// tokens estimates at four characters each, never 0.
func tokens(chars int) int { return chars/4 + 1 }

func (p Reply) finish() string {
	switch {
	case p.Finish != "":
		return p.Finish
	case len(p.Calls) > 0:
		return "tool_calls"
	}
	return "stop"
}

func (p Reply) usage(q Request) map[string]int {
	out := len(p.Text)
	for _, c := range p.Calls {
		out += len(c.Name) + len(c.arguments())
	}
	in := tokens(len(q.Body))
	return map[string]int{"prompt_tokens": in, "completion_tokens": tokens(out), "total_tokens": in + tokens(out)}
}

func (p Reply) write(w http.ResponseWriter, r *http.Request, q Request, o Options) {
	wait(r, p.Delay)
	switch {
	case p.Hang:
		<-r.Context().Done()
	case p.Redirect != "":
		http.Redirect(w, r, p.Redirect, http.StatusTemporaryRedirect)
	case p.Status != 0:
		if p.RetryAfter != "" {
			w.Header().Set("Retry-After", p.RetryAfter)
		}
		refuse(w, p.Status, strconv.Itoa(p.Status), p.Error)
	case !q.Stream || o.NoStream:
		p.plain(w, q, o)
	default:
		p.stream(w, r, q, o)
	}
}

// calls are the reply's calls as the protocol writes them.
func (p Reply) calls() []ToolCall {
	var out []ToolCall
	for i, c := range p.Calls {
		id := c.ID
		switch id {
		case "":
			id = fmt.Sprintf("call_sim_%d", i+1)
		case "-":
			id = ""
		}
		t := ToolCall{ID: id, Type: "function", Function: Function{Name: c.Name, Arguments: c.arguments()}}
		if !p.NoIndex {
			t.Index = &i
		}
		out = append(out, t)
	}
	return out
}

func (p Reply) plain(w http.ResponseWriter, q Request, o Options) {
	if p.Garbage {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"choices": [{"mess`))
		return
	}
	message := map[string]any{"role": "assistant", "content": p.Text}
	if calls := p.calls(); len(calls) > 0 {
		message["tool_calls"] = calls
		if p.Text == "" {
			message["content"] = nil
		}
	}
	answer := map[string]any{
		"id": "chatcmpl-sim", "object": "chat.completion", "created": 0, "model": q.Model,
		"choices": []any{map[string]any{"index": 0, "message": message, "finish_reason": p.finish()}},
	}
	if !o.NoUsage {
		answer["usage"] = p.usage(q)
	}
	writeJSON(w, http.StatusOK, answer)
}

// stream sends the reply in chunks of a few characters, as server-sent events.
func (p Reply) stream(w http.ResponseWriter, r *http.Request, q Request, o Options) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	chunks := p.chunks(q, o)
	broken := p.Cut || p.Stall || p.Garbage || p.Error != ""
	for i, c := range chunks {
		if i > 0 {
			wait(r, p.Delay)
		}
		if broken && i == (len(chunks)+1)/2 {
			break
		}
		if p.Chatty {
			_, _ = fmt.Fprint(w, ": still here\n\nevent: message\nid: 7\n")
		}
		if p.NoDone && i == len(chunks)-1 {
			_, _ = fmt.Fprintf(w, "data: %s", c)
			return
		}
		_, _ = fmt.Fprintf(w, "data: %s\n\n", c)
		flush(w)
	}
	switch {
	case p.Error != "":
		_, _ = fmt.Fprintf(w, "data: {\"error\":{\"message\":%q,\"type\":\"server_error\",\"code\":null}}\n\n", p.Error)
	case p.Garbage:
		_, _ = fmt.Fprint(w, "data: {\"choices\": [{\"del\n\n")
	case p.Stall:
		<-r.Context().Done()
	case p.Cut:
		panic(http.ErrAbortHandler) // net/http's way to close a connection without an end
	default:
		_, _ = fmt.Fprint(w, "data: [DONE]\n\n")
	}
}

func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// chunks are the JSON bodies of a stream's events.
func (p Reply) chunks(q Request, o Options) [][]byte {
	var out [][]byte
	add := func(choices []any, usage any) {
		chunk := map[string]any{"id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": 0, "model": q.Model, "choices": choices}
		if usage != nil {
			chunk["usage"] = usage
		}
		b, err := json.Marshal(chunk)
		if err != nil {
			b = []byte(err.Error()) // seen by the client as a broken chunk
		}
		out = append(out, b)
	}
	delta := func(d map[string]any) { add([]any{map[string]any{"index": 0, "delta": d, "finish_reason": nil}}, nil) }

	delta(map[string]any{"role": "assistant", "content": ""})
	for _, part := range pieces(p.Text, 6) {
		delta(map[string]any{"content": part})
	}
	for _, c := range p.calls() {
		whole := c.Function.Arguments
		if p.Whole {
			delta(map[string]any{"tool_calls": []ToolCall{c}})
			continue
		}
		c.Function.Arguments = ""
		delta(map[string]any{"tool_calls": []ToolCall{c}})
		for _, part := range pieces(whole, 6) {
			delta(map[string]any{"tool_calls": []ToolCall{{Index: c.Index, Function: Function{Arguments: part}}}})
		}
	}
	add([]any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": p.finish()}}, nil)
	if q.StreamOptions != nil && q.StreamOptions.IncludeUsage && !o.NoUsage {
		add([]any{}, p.usage(q))
	}
	return out
}

// pieces cuts s into parts of n characters.
func pieces(s string, n int) []string {
	var out []string
	runes := []rune(s)
	for len(runes) > n {
		out = append(out, string(runes[:n]))
		runes = runes[n:]
	}
	if len(runes) > 0 {
		out = append(out, string(runes))
	}
	return out
}
