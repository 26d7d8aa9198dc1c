package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"deskmate/identity"
	"deskmate/identity/label"
	"deskmate/identity/policy"
	"deskmate/memory"
	"deskmate/scheduler"
)

// Tool is one callable that a model may ask for. Run does the work and returns
// what the model reads. A tool whose Run reaches people or systems does that
// only through the gate itself and says so with Gated; every other tool is run
// inside one gate pass by the loop.
type Tool struct {
	Name        string
	Description string          // for the model: what it does, when to use it
	Schema      json.RawMessage // JSON Schema of the arguments, an object
	Class       identity.Class
	Connection  string              // system that it belongs to
	Target      func(c Call) string // channel or person the effect reaches, for the gate; nil = where it was asked
	Everyone    func(c Call) bool   // what it keeps is for the whole workspace; nil = never
	Run         func(ctx context.Context, c Call) (identity.Result, error)
	Gated       bool   // Run passes the gate with its own actions
	Pin         string // hash of its definition, where a server gives it
	Host        string // that it reaches over the network
	Credential  string // id of the credential that it uses
	Outside     bool   // what it gives comes from outside: information, never instructions
	Repeatable  bool   // doing it twice leaves the world as doing it once: a lost outcome is simply done again
}

// Toolbox is what the built-in tools work on.
type Toolbox struct {
	Reader  *Reader
	Threads *Threads
	Briefer *Briefer
	Outbox  *Outbox
	People  *Directory
	Memory  *memory.Memory
	Duties  *scheduler.Scheduler
	Handing *Handover
	Agents  *identity.Agents
	Model   Model
	Clock   func() time.Time
	Bot     func(workspace string) string                                // the agent's own user id
	Turns   func(ctx context.Context, ids []string) (label.Label, error) // labels of turns that have ended, joined
	// Connections say what could be used of them. The zero value offers none.
	Connections Connections
}

// Tools are the built-in tools, in the order in which people are told of them.
func (b Toolbox) Tools() []Tool {
	var all []Tool
	add := func(connection string, tools []Tool) {
		for _, t := range tools {
			t.Connection = connection
			all = append(all, t)
		}
	}
	add("memory", memoryTools(b))
	add("duties", dutyTools(b))
	add("duties", watchTools(b))
	add("duties", handoffTools(b.Handing))
	add(ConnectionSlack, slackTools(b))
	add("self", selfTools(b.Agents, b.Model, b.Tools))
	return all
}

// ConnectionSlack is the connection that every workspace has.
const ConnectionSlack = "slack"

// manners are the agent's own: answers, status, progress, cards. Policy lets them
// pass where the agent works, whoever asks.
var manners = map[string]bool{ToolReply: true, ToolStatus: true, ToolProgress: true, ToolCard: true, ToolNotice: true, ToolWhisper: true, ToolForm: true, ToolHome: true, ToolReadFile: true, ToolNote: true}

// guestTools are what guests and outsiders may ask for where they are.
var guestTools = map[string]bool{ToolReadThread: true, "recall": true, "duty_list": true, "who_am_i": true, "what_can_you_do": true}

// ForGuests reports whether guests and outsiders may ask for a built-in tool in
// the place where they are.
func ForGuests(tool string) bool { return guestTools[tool] }

// KnownTools are the built-in tools as the rules know them.
func KnownTools(tools []Tool) []policy.BuiltinTool {
	var all []policy.BuiltinTool
	for _, t := range tools {
		all = append(all, policy.BuiltinTool{Name: t.Name, Connection: t.Connection, Class: string(t.Class), Guests: guestTools[t.Name]})
	}
	return all
}

// ToolNames are the names that a fixed policy knows: all built-in tools, those
// for guests and outsiders, and the agent's own manners.
func ToolNames(tools []Tool) (all, guests, own map[string]bool) {
	all = maps.Clone(manners)
	for _, t := range tools {
		all[t.Name] = true
	}
	return all, guestTools, manners
}

// Call is one use of a tool, with the person and place it serves.
type Call struct {
	Key   string // names this call for ever: the same key must never act twice
	Turn  *Turn
	Event Event        // the message that the call follows from
	Place memory.Place // where the answer appears and who asked
	ID    string
	Args  json.RawMessage
	// Progress shows how far a long call is.
	Progress func(text string)
}

// decode fills v from the call's arguments; unknown and malformed ones are
// errors that tell the model what to correct.
func (c Call) decode(v any) error {
	d := json.NewDecoder(bytes.NewReader(c.Args))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &argumentError{fmt.Errorf("the arguments do not fit the tool: %w", err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &argumentError{errors.New("the arguments must be one JSON object")}
	}
	return nil
}

// argumentError is a mistake in what was asked for, worded for whoever asked.
// Nothing was done.
type argumentError struct{ err error }

func (e *argumentError) Error() string { return e.err.Error() }
func (e *argumentError) Unwrap() error { return e.err }

func badArgument(format string, args ...any) error {
	return &argumentError{fmt.Errorf(format, args...)}
}

// text is a Result that only says something.
func text(format string, args ...any) (identity.Result, error) {
	return identity.Result{Text: fmt.Sprintf(format, args...)}, nil
}

// again tells the gate that a tool may simply be done once more when the outcome
// of an earlier try is not known.
func again(context.Context, time.Time) (identity.Result, bool, error) {
	return identity.Result{}, false, nil
}

// object writes a JSON Schema for an object of string properties: name, then
// description, in pairs; names that end in "?" are optional.
func object(pairs ...string) json.RawMessage {
	type property struct {
		Type        string `json:"type"`
		Description string `json:"description"`
	}
	properties, required := map[string]property{}, []string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name := pairs[i]
		if name[len(name)-1] == '?' {
			name = name[:len(name)-1]
		} else {
			required = append(required, name)
		}
		properties[name] = property{Type: "string", Description: pairs[i+1]}
	}
	b, err := json.Marshal(map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false})
	if err != nil {
		panic(err) // strings and maps of strings always marshal
	}
	return b
}
