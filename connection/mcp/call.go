package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Answer is what a call gave.
type Answer struct {
	Text   string          // for a model: texts, and a line for each thing that is not text
	Full   json.RawMessage // the whole result as the server gave it
	Failed bool            // the tool says that it failed; Text says why
}

// Call is one call of a tool.
type Call struct {
	Tool string
	Pin  string          // of the tool as the call was decided on
	Args json.RawMessage // an object
	// Fresh has the tools listed right before the call: what a server tells of a
	// change may be on its way, and some tell nothing.
	Fresh bool
	// Progress gets the server's words on how far it is; nil: nobody wants them.
	Progress func(text string)
}

// Call calls a tool.
//
// Errors: *NotSentError (nothing happened), *AnswerError (the server refused it),
// and any other means that the call may or may not have taken effect.
func (c *Client) Call(ctx context.Context, call Call) (Answer, error) {
	answer, err := c.call(ctx, call)
	// A server that has forgotten the session did not take the call up: the
	// protocol has it say so with 404.
	if errors.Is(err, mcp.ErrSessionMissing) {
		answer, err = c.call(ctx, call)
	}
	return answer, err
}

func (c *Client) call(ctx context.Context, call Call) (Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, fmt.Errorf("%s did not answer within %s", c.o.Name, c.o.Timeout))
	defer cancel()
	s, err := c.connected(ctx, true, call.Fresh)
	if err != nil {
		return Answer{}, err
	}
	c.mu.Lock()
	now := s.pins[call.Tool]
	c.mu.Unlock()
	if now != call.Pin {
		return Answer{}, &NotSentError{fmt.Errorf("%s has changed the tool %s: an admin has to look at it and accept it", c.o.Name, call.Tool)}
	}
	params := &mcp.CallToolParams{Name: call.Tool, Arguments: call.Args}
	if call.Progress != nil {
		params.SetProgressToken(c.expect(call.Progress))
		defer c.forget(params.GetProgressToken())
	}
	sent := &atomic.Bool{}
	r, err := s.mcp.CallTool(context.WithValue(ctx, sentKey{}, sent), params)
	if err == nil {
		return answer(r)
	}
	var wire *jsonrpc.Error
	var status *statusError
	switch {
	case errors.As(err, &status):
		return Answer{}, &NotSentError{status}
	case errors.Is(err, mcp.ErrSessionMissing):
		c.drop(s)
		return Answer{}, &NotSentError{plain(err)}
	case !errors.As(err, &wire) || strings.HasPrefix(wire.Message, "rejected by transport"): // the SDK's own
	case refusals[wire.Code]:
		return Answer{}, &AnswerError{clip(wire.Message, 2000)}
	default:
		return Answer{}, fmt.Errorf("%s failed while it worked on the call: %s", c.o.Name, clip(wire.Message, 2000))
	}
	if ctx.Err() == nil {
		c.drop(s) // what comes after a broken message cannot be trusted
		if s.process != nil {
			<-s.gone()
			if why := s.process.Err(); why != nil {
				err = fmt.Errorf("%w (%w)", why, err)
			}
		}
	} else {
		err = context.Cause(ctx)
		c.mu.Lock()
		s.doubted = true
		c.mu.Unlock()
	}
	if c.o.Command == nil && !sent.Load() {
		return Answer{}, &NotSentError{fmt.Errorf("cannot reach %s: %w", c.o.Name, plain(err))}
	}
	return Answer{}, fmt.Errorf("%s gave no answer: %w", c.o.Name, plain(err))
}

// refusals are the codes of JSON-RPC 2.0 §5.1 which say that a call was not begun:
// it could not be parsed, is no request, names no method, or has wrong parameters.
var refusals = map[int64]bool{jsonrpc.CodeParseError: true, jsonrpc.CodeInvalidRequest: true, jsonrpc.CodeMethodNotFound: true, jsonrpc.CodeInvalidParams: true}

// gone is closed soon after a child's pipes broke, whatever it does.
func (s *session) gone() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.process.Stop(ctx)
		close(done)
	}()
	return done
}

// expect gives a token under which a server tells of its progress.
func (c *Client) expect(tell func(string)) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens++
	token := "p" + strconv.FormatInt(c.tokens, 10)
	c.progress[token] = tell
	return token
}

func (c *Client) forget(token any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.progress, fmt.Sprint(token))
}

func (c *Client) progressed(p *mcp.ProgressNotificationParams) {
	c.mu.Lock()
	tell := c.progress[fmt.Sprint(p.ProgressToken)]
	c.mu.Unlock()
	if tell == nil {
		return
	}
	text := clip(p.Message, 200)
	if p.Total > 0 {
		text = strings.TrimSpace(fmt.Sprintf("%g of %g %s", p.Progress, p.Total, text))
	} else if text == "" {
		text = fmt.Sprintf("%g", p.Progress)
	}
	tell(text)
}

// answer turns a result into words.
func answer(r *mcp.CallToolResult) (Answer, error) {
	full, err := json.Marshal(r)
	if err != nil {
		return Answer{}, fmt.Errorf("the result cannot be read: %w", err)
	}
	a := Answer{Full: full, Failed: r.IsError}
	if len(r.InputRequests) > 0 {
		// It wants something of a person or of our model before it goes on.
		return Answer{Full: full, Failed: true, Text: "The server asked for something in the middle of the call (a person's input, or an answer of a model). It does not get that from me, so it did not go on."}, nil
	}
	var out []string
	for _, c := range r.Content {
		out = append(out, words(c))
	}
	if len(out) == 0 && r.StructuredContent != nil {
		b, err := json.Marshal(r.StructuredContent)
		if err != nil {
			return Answer{}, fmt.Errorf("the result cannot be read: %w", err)
		}
		out = append(out, string(b))
	}
	if len(out) == 0 {
		out = append(out, "(the tool gave no text)")
	}
	a.Text = strings.Join(out, "\n")
	return a, nil
}

// words is one piece of a result as text.
func words(c mcp.Content) string {
	switch c := c.(type) {
	case *mcp.TextContent:
		return c.Text
	case *mcp.ImageContent:
		return fmt.Sprintf("(an image, %s, %d bytes)", clip(c.MIMEType, 60), len(c.Data))
	case *mcp.AudioContent:
		return fmt.Sprintf("(a sound, %s, %d bytes)", clip(c.MIMEType, 60), len(c.Data))
	case *mcp.ResourceLink:
		return fmt.Sprintf("(a resource: %s, %s)", clip(c.URI, 300), clip(c.Name, 100))
	case *mcp.EmbeddedResource:
		if c.Resource == nil {
			return "(an empty resource)"
		}
		if c.Resource.Text != "" {
			return fmt.Sprintf("(the resource %s)\n%s", clip(c.Resource.URI, 300), c.Resource.Text)
		}
		return fmt.Sprintf("(the resource %s, %s, %d bytes)", clip(c.Resource.URI, 300), clip(c.Resource.MIMEType, 60), len(c.Resource.Blob))
	}
	return "(something that I cannot read)"
}

// sentKey is the context's key of what tells whether a request left.
type sentKey struct{}

// statusError is an answer of HTTP which says that the request was not taken up.
type statusError struct {
	status int
	after  time.Duration
}

func (e *statusError) Error() string {
	switch {
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		return fmt.Sprintf("the server does not accept the credential (HTTP %d): check or rotate it", e.status)
	case e.status == http.StatusTooManyRequests && e.after > 0:
		return fmt.Sprintf("the server has had too many requests (HTTP 429); it asks to wait for %s", e.after)
	case e.status == http.StatusTooManyRequests:
		return "the server has had too many requests (HTTP 429): try again later"
	}
	return fmt.Sprintf("the server answered with HTTP %d", e.status)
}

// bounded is the client with its answers limited, and with what a request's fate
// was noted on its way.
func bounded(c *http.Client) *http.Client {
	out := *c
	base := c.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	out.Transport = watched{base}
	return &out
}

type watched struct{ base http.RoundTripper }

// longestRetry is how long a server may ask to wait and be waited for within the call.
const longestRetry = 5 * time.Second

// RoundTrip implements http.RoundTripper.
func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, _ := r.Context().Value(sentKey{}).(*atomic.Bool)
	for tries := 0; ; tries++ {
		if sent != nil {
			sent.Store(true)
		}
		resp, err := w.base.RoundTrip(r)
		if err != nil {
			if sent != nil && neverLeft(err) {
				sent.Store(false)
			}
			return nil, err
		}
		// These say for certain that the request was not carried out. The status is
		// told as it is; the SDK would give only its name.
		switch resp.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
		case http.StatusTooManyRequests:
			after := retryAfter(resp)
			if tries < 2 && after <= longestRetry && r.GetBody != nil && wait(r.Context(), after) {
				_ = resp.Body.Close()
				body, err := r.GetBody()
				if err != nil {
					return nil, err
				}
				r = r.Clone(r.Context())
				r.Body = body
				continue
			}
			_ = resp.Body.Close()
			return nil, &statusError{resp.StatusCode, after}
		default:
			return limit(resp), nil
		}
		_ = resp.Body.Close()
		return nil, &statusError{status: resp.StatusCode}
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func retryAfter(r *http.Response) time.Duration {
	s, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || s < 0 {
		return time.Second
	}
	return time.Duration(s) * time.Second
}

// neverLeft reports that a request's error came before anything was sent: an
// address that could not be found, dialled or was refused.
func neverLeft(err error) bool {
	var unsent interface{ NotSent() bool }
	if errors.As(err, &unsent) {
		return unsent.NotSent()
	}
	return dialError(err)
}

// limit bounds an answer that the SDK would read whole; streams are bounded an
// event at a time.
func limit(r *http.Response) *http.Response {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
		r.Body = &limited{r.Body, mostMessage}
	}
	return r
}

type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		if n, err := l.ReadCloser.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, fmt.Errorf("the answer is longer than %d MB", mostMessage>>20)
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.ReadCloser.Read(p)
	l.left -= int64(n)
	return n, err
}
