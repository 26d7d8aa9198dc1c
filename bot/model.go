package bot

import (
	"context"
	"deskmate/identity/label"
	"encoding/json"
	"errors"
)

// Roles of a Message, as in the chat-completions protocol.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
	RoleTool      = "tool"
)

// Message is one piece of the conversation that a model sees.
type Message struct {
	Role    string     `json:"role"`
	Content string     `json:"content,omitempty"`
	Name    string     `json:"name,omitempty"`    // Slack user id of the author, for RoleUser
	Calls   []ToolCall `json:"calls,omitempty"`   // for RoleAssistant
	CallID  string     `json:"call_id,omitempty"` // for RoleTool: the call it answers
	Silent  bool       `json:"silent,omitempty"`  // for RoleUser: not addressed to the agent; no answer is fine
}

// ToolCall is a model's wish to use a tool; Args is a JSON object.
type ToolCall struct {
	ID   string          `json:"id"`
	Name string          `json:"name"`
	Args json.RawMessage `json:"args"`
}

// ToolDef is what a model is told of a tool; Schema is a JSON Schema object.
type ToolDef struct {
	Name        string
	Description string
	Schema      json.RawMessage
}

// Request is one call of a model.
type Request struct {
	Messages  []Message
	Tools     []ToolDef
	MaxTokens int    // of the answer; 0 leaves it to the server
	User      string // opaque id of the requester, for the provider's abuse monitoring
}

// Usage counts tokens, as the server reports them, or estimated at four
// characters a token where it does not.
type Usage struct {
	Input  int `json:"input"`
	Output int `json:"output"`
}

// Response is what a model answered: text, tool calls, or both.
type Response struct {
	Text  string     `json:"text,omitempty"`
	Calls []ToolCall `json:"calls,omitempty"`
	Usage Usage      `json:"usage"`
	Model string     `json:"model"` // which model answered
	// Label is that of everything that the model was given beside the turn's steps.
	Label label.Label `json:"label,omitzero"`
	// Links are the addresses in it that people here wrote.
	Links []string `json:"links,omitempty"`

	system string // the system message that it answers, not kept
}

// Model answers requests. onText, if not nil, is called with the text so far
// each time more arrives. Errors are *ModelError, or the context's.
type Model interface {
	Complete(ctx context.Context, r Request, onText func(soFar string)) (Response, error)
	Name() string
}

// ModelError is a failed model call. Temporary ones (429, 5xx, a broken
// connection, an invalid answer) are worth another try; the rest (401, 404,
// refused request) are not. Message is safe to show to people: it holds no key.
type ModelError struct {
	Temporary bool
	Status    int // HTTP status, 0 where there was none
	Message   string
	Err       error
}

func (e *ModelError) Error() string { return "call model: " + e.Message }
func (e *ModelError) Unwrap() error { return e.Err }

// IsTemporary reports whether err is a model error worth another try.
func IsTemporary(err error) bool {
	var m *ModelError
	return errors.As(err, &m) && m.Temporary
}
