// Package mcp speaks the Model Context Protocol with one server, over streamable
// HTTP or over the standard input and output of a child process.
//
// It promises that what a server says is bounded before it is read, that no call
// is made before the server's tools have been listed on this very connection and
// found to be those that were accepted, that a call whose outcome is not known is
// told from one that surely did not happen, and that a server which asks something
// of us (a file, a question to a person, a model's answer) gets nothing. It must
// never send a call twice by itself, but for one that surely was not taken up.
//
// The protocol: https://modelcontextprotocol.io/specification
package mcp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/rs/zerolog"

	"deskmate/connection/child"
)

// Bounds of what a server may say.
const (
	mostMessage      = 8 << 20 // bytes of one message
	mostTools        = 400
	mostPages        = 40
	mostDefinition   = 64 << 10 // bytes of one tool's definition
	mostInstructions = 16 << 10
	connectTime      = 30 * time.Second
	listTime         = 30 * time.Second
	firstWait        = time.Second // before the second try to connect
	longestWait      = 2 * time.Minute
)

// Tool is one tool as its server defines it.
type Tool struct {
	Name        string          `json:"name"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Input       json.RawMessage `json:"inputSchema"`
	Output      json.RawMessage `json:"outputSchema,omitempty"`
	Annotations json.RawMessage `json:"annotations,omitempty"`
	Meta        json.RawMessage `json:"_meta,omitempty"`
}

// Hints are what a server says of its tool in so many words: that it destroys, and
// that it reaches the world outside. What it leaves unsaid is not taken for a yes
// here: our own class stands.
func (t Tool) Hints() (destructive, open bool) {
	var a struct {
		Destructive *bool `json:"destructiveHint"`
		Open        *bool `json:"openWorldHint"`
	}
	if len(t.Annotations) > 0 && json.Unmarshal(t.Annotations, &a) != nil {
		return true, true
	}
	return a.Destructive != nil && *a.Destructive, a.Open != nil && *a.Open
}

// Pin is the hash of all of the tool: SHA-256 over its canonical JSON, in hex.
func (t Tool) Pin() string { return hash(t) }

// Listing is what a server offers.
type Listing struct {
	Server       string `json:"server"`  // its own name and version, for people
	Version      string `json:"version"` // of the protocol that was agreed on
	Instructions string `json:"instructions,omitempty"`
	Tools        []Tool `json:"tools"` // by name
}

// Pin is the hash of the tools and the instructions. The server's version is not
// in it: a release that changes nothing that the model reads is no change.
func (l Listing) Pin() string {
	return hash(map[string]any{"instructions": l.Instructions, "tools": l.Tools})
}

func hash(v any) string {
	b, err := json.Marshal(v)
	if err == nil {
		b, err = canonical(b)
	}
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// canonical is JSON with sorted keys and no spaces.
func canonical(b []byte) ([]byte, error) {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// Options say which server to speak with; exactly one of Endpoint and Command is
// set.
type Options struct {
	Name     string // of the connection, for errors
	Endpoint string
	HTTP     *http.Client // that adds the credential and reaches only what it may
	// Command starts the server. It is called anew after each end.
	Command func(ctx context.Context) (*child.Process, error)
	Timeout time.Duration // of one call; 0 is a minute
	// Accept is asked after each listing whether the server may be used as it is.
	// Its error is why not.
	Accept func(ctx context.Context, l Listing) error
	// Changed is told that the server says its tools have changed.
	Changed func()
	Clock   func() time.Time
	Logger  zerolog.Logger
	Version string // of our own
}

// Client is a server that is connected to when it is needed, and anew when it was
// lost. It is safe for concurrent use.
type Client struct {
	o Options

	connecting chan struct{} // has one element while somebody connects

	mu       sync.Mutex
	session  *session
	failed   error // the last try to connect
	wait     time.Duration
	next     time.Time // before it there is no further try
	closed   bool
	progress map[string]func(text string)
	tokens   int64
}

// session is one life of a connection.
type session struct {
	mcp     *mcp.ClientSession
	process *child.Process
	listing Listing
	pins    map[string]string // of its tools, by name
	stale   bool              // its tools have changed since
	doubted bool              // a call on it got no answer
}

func (s *session) set(l Listing) {
	s.listing, s.stale, s.pins = l, false, map[string]string{}
	for _, t := range l.Tools {
		s.pins[t.Name] = t.Pin()
	}
}

// NotSentError is a call that certainly did not reach the server.
type NotSentError struct{ Err error }

func (e *NotSentError) Error() string { return e.Err.Error() }
func (e *NotSentError) Unwrap() error { return e.Err }

// AnswerError is a call that the server answered with an error of the protocol: it
// was not carried out. Text is the server's, and untrusted.
type AnswerError struct{ Text string }

func (e *AnswerError) Error() string { return "the server refused the call: " + e.Text }

// New returns a client; nothing is connected yet.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Accept == nil {
		o.Accept = func(context.Context, Listing) error { return nil }
	}
	return &Client{o: o, connecting: make(chan struct{}, 1), progress: map[string]func(string){}}
}

// Close ends the connection and the child. The client cannot be used after it.
func (c *Client) Close() {
	c.mu.Lock()
	s := c.session
	c.session, c.closed = nil, true
	c.mu.Unlock()
	s.end()
}

func (s *session) end() {
	if s == nil {
		return
	}
	if s.process != nil {
		// First the process: a close of the session waits for its answers.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.process.Stop(ctx)
	}
	_ = s.mcp.Close()
}

// drop forgets a session that is of no use any more.
func (c *Client) drop(s *session) {
	c.mu.Lock()
	if c.session == s {
		c.session = nil
	}
	c.mu.Unlock()
	go s.end()
}

// List connects if need be and says what the server offers now, accepted or not.
func (c *Client) List(ctx context.Context) (Listing, error) {
	s, err := c.connected(ctx, false, false)
	if err != nil {
		return Listing{}, err
	}
	l, err := c.list(ctx, s.mcp)
	if err != nil {
		c.drop(s)
		return Listing{}, &NotSentError{fmt.Errorf("list the tools of %s: %w", c.o.Name, plain(err))}
	}
	c.mu.Lock()
	s.set(l)
	c.mu.Unlock()
	return l, nil
}

// connected returns a session. checked says that what it shows must be accepted,
// fresh that it is asked for that now.
func (c *Client) connected(ctx context.Context, checked, fresh bool) (*session, error) {
	select {
	case c.connecting <- struct{}{}:
	case <-ctx.Done():
		return nil, &NotSentError{context.Cause(ctx)}
	}
	defer func() { <-c.connecting }()
	c.mu.Lock()
	s, closed, failed, next := c.session, c.closed, c.failed, c.next
	if s != nil && s.process != nil {
		select {
		case <-s.process.Done():
			c.session, s = nil, nil
		default:
		}
	}
	stale, doubted := s != nil && (s.stale || fresh), s != nil && s.doubted
	c.mu.Unlock()
	if doubted && !c.alive(ctx, s) {
		c.drop(s)
		s = nil
	}
	switch {
	case closed:
		return nil, &NotSentError{fmt.Errorf("the connection %s is closed", c.o.Name)}
	case s != nil && !stale:
	case s != nil:
		l, err := c.list(ctx, s.mcp)
		if err != nil {
			c.drop(s)
			return nil, &NotSentError{fmt.Errorf("list the tools of %s: %w", c.o.Name, plain(err))}
		}
		c.mu.Lock()
		s.set(l)
		c.mu.Unlock()
	case failed != nil && c.o.Clock().Before(next):
		return nil, &NotSentError{fmt.Errorf("%w (I try again in %s)", failed, next.Sub(c.o.Clock()).Round(time.Second))}
	default:
		var err error
		if s, err = c.connect(ctx); err != nil {
			return nil, &NotSentError{c.later(ctx, err)}
		}
		c.mu.Lock()
		c.session, c.failed, c.wait = s, nil, 0
		c.mu.Unlock()
	}
	if checked {
		c.mu.Lock()
		l := s.listing
		c.mu.Unlock()
		if err := c.o.Accept(ctx, l); err != nil {
			return nil, &NotSentError{err}
		}
	}
	return s, nil
}

// pingTime is how long a server that gave no answer has to show that it is there.
const pingTime = 3 * time.Second

// alive reports whether a session still answers: after a call without an answer
// its stream may be broken for good.
func (c *Client) alive(ctx context.Context, s *session) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	if err := s.mcp.Ping(ctx, nil); err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.doubted = false
	return true
}

// later notes a failure to connect, and when the next try may be. A caller who
// gave up is no failure of the server's.
func (c *Client) later(ctx context.Context, err error) error {
	err = fmt.Errorf("cannot connect to %s: %w", c.o.Name, plain(err))
	if errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wait = min(max(2*c.wait, firstWait), longestWait)
	c.failed, c.next = err, c.o.Clock().Add(c.wait)
	return err
}

// Retry forgets that the last try to connect failed.
func (c *Client) Retry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed, c.wait = nil, 0
}

func (c *Client) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	s := &session{}
	var transport mcp.Transport
	if c.o.Command != nil {
		var err error
		if s.process, err = c.o.Command(ctx); err != nil {
			return nil, err
		}
		transport = &mcp.IOTransport{Reader: s.process.Stdout, Writer: s.process.Stdin, MaxLineLength: mostMessage}
	} else {
		transport = &mcp.StreamableClientTransport{Endpoint: c.o.Endpoint, HTTPClient: bounded(c.o.HTTP), MaxEventSize: mostMessage, MaxRetries: 2}
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "deskmate", Version: c.o.Version}, &mcp.ClientOptions{
		// Nothing is offered: no roots, no sampling, no elicitation; and what a
		// server asks for in the middle of a call is not fulfilled by the SDK.
		Capabilities:                &mcp.ClientCapabilities{},
		MultiRoundTrip:              &mcp.MultiRoundTripOptions{Disabled: true},
		ToolListChangedHandler:      func(context.Context, *mcp.ToolListChangedRequest) { c.changed(s) },
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { c.progressed(r.Params) },
	})
	var err error
	if s.mcp, err = client.Connect(ctx, transport, nil); err != nil {
		if s.process != nil {
			err = errors.Join(s.process.Err(), err)
			end, cancel := context.WithCancel(context.Background())
			cancel()
			s.process.Stop(end)
			if why := s.process.Err(); why != nil {
				err = why
			}
		}
		return nil, err
	}
	l, err := c.list(ctx, s.mcp)
	if err != nil {
		s.end()
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	stale := s.stale // it may have changed while it was listed
	s.set(l)
	s.stale = stale
	return s, nil
}

// changed notes that the tools have to be listed anew before the next call.
func (c *Client) changed(s *session) {
	c.mu.Lock()
	s.stale = true
	c.mu.Unlock()
	if c.o.Changed != nil {
		c.o.Changed()
	}
}

// list reads all pages of the server's tools.
func (c *Client) list(ctx context.Context, s *mcp.ClientSession) (Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	var l Listing
	if r := s.InitializeResult(); r != nil {
		l.Version, l.Instructions = r.ProtocolVersion, r.Instructions
		if r.ServerInfo != nil {
			l.Server = strings.TrimSpace(clip(r.ServerInfo.Name, 100) + " " + clip(r.ServerInfo.Version, 50))
		}
	}
	if len(l.Instructions) > mostInstructions {
		return l, fmt.Errorf("its instructions are longer than %d bytes", mostInstructions)
	}
	seen := map[string]bool{}
	names := map[string]bool{}
	for cursor, page := "", 0; ; page++ {
		if page == mostPages {
			return l, fmt.Errorf("its list of tools has more than %d pages", mostPages)
		}
		r, err := s.ListTools(ctx, &mcp.ListToolsParams{Cursor: cursor})
		if err != nil {
			return l, err
		}
		for _, t := range r.Tools {
			tool, err := read(t)
			if err != nil {
				return l, err
			}
			if names[tool.Name] {
				return l, fmt.Errorf("it has two tools with the name %q", clip(tool.Name, 80))
			}
			names[tool.Name] = true
			l.Tools = append(l.Tools, tool)
		}
		if len(l.Tools) > mostTools {
			return l, fmt.Errorf("it has more than %d tools", mostTools)
		}
		if r.NextCursor == "" {
			break
		}
		if seen[r.NextCursor] {
			return l, errors.New("its list of tools goes round in circles")
		}
		seen[r.NextCursor], cursor = true, r.NextCursor
	}
	slices.SortFunc(l.Tools, func(a, b Tool) int { return strings.Compare(a.Name, b.Name) })
	return l, nil
}

// read takes a tool from the server's words.
func read(t *mcp.Tool) (Tool, error) {
	if t == nil || t.Name == "" || len(t.Name) > 128 {
		return Tool{}, errors.New("it has a tool without a name, or with one of over 128 bytes")
	}
	out := Tool{Name: t.Name, Title: t.Title, Description: t.Description}
	var err error
	part := func(v any, into *json.RawMessage) {
		b, e := json.Marshal(v)
		if e == nil {
			b, e = canonical(b)
		}
		if e != nil {
			err = fmt.Errorf("its tool %q cannot be read: %w", clip(t.Name, 80), e)
		} else if s := string(b); s != "null" && s != "{}" {
			*into = b
		}
	}
	part(t.InputSchema, &out.Input)
	part(t.OutputSchema, &out.Output)
	part(t.Annotations, &out.Annotations)
	part(t.Meta, &out.Meta)
	if out.Input == nil {
		out.Input = json.RawMessage(`{"type":"object"}`)
	}
	if n := len(out.Description) + len(out.Input) + len(out.Output) + len(out.Annotations) + len(out.Meta); err == nil && n > mostDefinition {
		err = fmt.Errorf("the definition of its tool %q is longer than %d bytes", clip(t.Name, 80), mostDefinition)
	}
	return out, err
}

// clip is the beginning of a text from a server, in one line.
func clip(s string, most int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " ")
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

// plain is an error of the SDK without what only its authors need.
func plain(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, noise := range []string{`calling "initialize": `, `calling "server/discover": `, `calling "tools/list": `, `calling "tools/call": `, `sending "initialize": `,
		`sending "tools/list": `, `sending "tools/call": `, `sending "server/discover": `, "rejected by transport: ", "request rejected by transport: "} {
		text = strings.ReplaceAll(text, noise, "")
	}
	return &plainError{clip(text, 500), err}
}

type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// Sandbox is what the child runs in, "" if there is none.
func (c *Client) Sandbox() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil || c.session.process == nil {
		return ""
	}
	return c.session.process.Sandbox
}
