// Package modelsim is an OpenAI-compatible chat-completions server on localhost
// that says what it is told to: by a script, or by a Go function.
//
// It promises to follow the protocol where it answers, streaming or not, to
// break it exactly as asked where a test wants a fault, and to keep every
// request for assertions. It must never be used as a model in production: it
// understands nothing.
// Source: platform.openai.com/docs/api-reference/chat.
package modelsim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxBody bounds a request that the server reads, in bytes.
const maxBody = 32 << 20

// Request is one chat-completions request as it came in.
type Request struct {
	Model         string    `json:"model"`
	Messages      []Message `json:"messages"`
	Tools         []Tool    `json:"tools"`
	Stream        bool      `json:"stream"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           int             `json:"max_tokens"`
	MaxCompletionTokens int             `json:"max_completion_tokens"`
	User                string          `json:"user"`
	Authorization       string          `json:"-"` // the header, as sent
	Body                json.RawMessage `json:"-"` // everything, as sent
}

// Message is one message of a request; Content is a string, as our own client
// sends it.
type Message struct {
	Role       string     `json:"role"`
	Content    string     `json:"content"`
	ToolCalls  []ToolCall `json:"tool_calls,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`
}

// ToolCall is a call as the protocol writes it: Arguments is JSON in a string.
type ToolCall struct {
	Index    *int     `json:"index,omitempty"`
	ID       string   `json:"id,omitempty"`
	Type     string   `json:"type,omitempty"`
	Function Function `json:"function"`
}

// Function is the function of a ToolCall.
type Function struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments,omitempty"`
}

// Tool is one offered tool.
type Tool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	} `json:"function"`
}

// Last is the newest message of a role, "" for any; the zero Message if there
// is none.
func (r Request) Last(role string) Message {
	for _, m := range slices.Backward(r.Messages) {
		if role == "" || m.Role == role {
			return m
		}
	}
	return Message{}
}

// ToolOf names the tool whose call a tool message answers, "" if unknown.
func (r Request) ToolOf(m Message) string {
	for _, said := range slices.Backward(r.Messages) {
		for _, c := range said.ToolCalls {
			if c.ID == m.ToolCallID {
				return c.Function.Name
			}
		}
	}
	return ""
}

// Offers reports whether a tool is among those of the request.
func (r Request) Offers(tool string) bool {
	return slices.ContainsFunc(r.Tools, func(t Tool) bool { return t.Function.Name == tool })
}

// Handler decides what the server answers.
type Handler func(Request) Reply

// Options are the server's manners, apart from what it says.
type Options struct {
	Key           string   // bearer token that it wants; "" takes any
	Models        []string // what GET /v1/models lists and requests may name; empty takes any name
	RefuseUsage   bool     // answers 400 to stream_options, as older servers do
	RefuseStream  bool     // answers 400 to stream
	NoStream      bool     // answers plain JSON even to a request for a stream
	NoUsage       bool     // never counts tokens
	RefuseOldName bool     // answers 400 to max_tokens and wants max_completion_tokens
}

// Server is the http.Handler; make it with New.
type Server struct {
	mux     *http.ServeMux
	options Options
	answer  Handler

	mu       sync.Mutex
	requests []Request
}

// New makes a server that answers with h.
func New(h Handler, o Options) *Server {
	s := &Server{mux: http.NewServeMux(), options: o, answer: h}
	s.mux.HandleFunc("POST /v1/chat/completions", s.complete)
	s.mux.HandleFunc("POST /v1/embeddings", s.embeddings)
	s.mux.HandleFunc("GET /v1/models", s.models)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "not_found", "there is no "+r.Method+" "+r.URL.Path+" here")
	})
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Requests are the chat-completions requests so far, in order of arrival,
// refused ones included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *Server) models(w http.ResponseWriter, r *http.Request) {
	if !s.admits(w, r) {
		return
	}
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		OwnedBy string `json:"owned_by"`
	}
	data := []model{}
	for _, id := range s.options.Models {
		data = append(data, model{id, "model", "modelsim"})
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data})
}

func (s *Server) admits(w http.ResponseWriter, r *http.Request) bool {
	if s.options.Key == "" || r.Header.Get("Authorization") == "Bearer "+s.options.Key {
		return true
	}
	// Real providers echo (part of) the key; a client must not pass that on.
	refuse(w, http.StatusUnauthorized, "invalid_api_key", "Incorrect API key provided: "+r.Header.Get("Authorization"))
	return false
}

func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", "the request is too large")
		return
	}
	q := Request{Authorization: r.Header.Get("Authorization"), Body: body}
	if err := json.Unmarshal(body, &q); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_json", "the request is not valid: "+err.Error())
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, q)
	s.mu.Unlock()
	if !s.admits(w, r) {
		return
	}
	o := s.options
	switch why := invalid(q); {
	case len(o.Models) > 0 && !slices.Contains(o.Models, q.Model):
		refuse(w, http.StatusNotFound, "model_not_found", fmt.Sprintf("The model `%s` does not exist.", q.Model))
	case o.RefuseStream && q.Stream:
		refuse(w, http.StatusBadRequest, "unsupported", "stream is not supported by this server")
	case o.RefuseUsage && q.StreamOptions != nil:
		refuse(w, http.StatusBadRequest, "unknown_parameter", "Unknown parameter: 'stream_options'.")
	case o.RefuseOldName && q.MaxTokens > 0:
		refuse(w, http.StatusBadRequest, "unsupported_parameter", "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
	case why != "":
		refuse(w, http.StatusBadRequest, "invalid_request_error", why)
	default:
		s.answer(q).write(w, r, q, o)
	}
}

// invalid says what real servers refuse in a request's messages, "" for nothing:
// every tool call is answered, every tool message answers a call.
func invalid(q Request) string {
	if q.Model == "" {
		return "you must provide a model parameter"
	}
	if len(q.Messages) == 0 {
		return "messages must not be empty"
	}
	open := map[string]bool{}
	for i, m := range q.Messages {
		if m.Role != "tool" && len(open) > 0 {
			return fmt.Sprintf("messages[%d]: an assistant message with tool_calls must be followed by tool messages for each tool_call_id", i)
		}
		switch m.Role {
		case "system", "user", "assistant", "developer":
		case "tool":
			if !open[m.ToolCallID] {
				return fmt.Sprintf("messages[%d]: tool_call_id %q answers no call of the message before", i, m.ToolCallID)
			}
			delete(open, m.ToolCallID)
		default:
			return fmt.Sprintf("messages[%d]: invalid role %q", i, m.Role)
		}
		for _, c := range m.ToolCalls {
			if c.ID == "" || c.Function.Name == "" || !json.Valid([]byte(c.Function.Arguments)) {
				return fmt.Sprintf("messages[%d]: malformed tool call", i)
			}
			open[c.ID] = true
		}
	}
	if len(open) > 0 {
		return "the last tool_calls are not answered"
	}
	for _, t := range q.Tools {
		if t.Type != "function" || t.Function.Name == "" || !json.Valid(t.Function.Parameters) {
			return "malformed tool " + t.Function.Name
		}
	}
	return ""
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that went away needs no answer
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "code": code}})
}

// wait holds an answer back for d, or until the client goes away.
func wait(r *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}
