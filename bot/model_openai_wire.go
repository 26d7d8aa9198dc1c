package bot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 32 << 20

// exchange carries one request to the server. It enforces the timeouts, keeps
// what the client library drops (Retry-After, whether the stream came to its
// end), and makes the answer's form the one that the library reads.
type exchange struct {
	client    *http.Client
	cancel    context.CancelCauseFunc
	firstByte time.Duration
	idle      time.Duration
	clock     func() time.Time

	timer *time.Timer
	begun atomic.Bool   // something of the answer has come
	after time.Duration // Retry-After of the answer
	done  bool          // the stream said that it is complete
}

// Do sends the request; go-openai calls it.
func (x *exchange) Do(req *http.Request) (*http.Response, error) {
	x.timer = time.AfterFunc(x.firstByte, func() {
		if x.begun.Load() {
			x.cancel(&timeoutError{x.idle, false})
			return
		}
		x.cancel(&timeoutError{x.firstByte, true})
	})
	resp, err := x.client.Do(req)
	if err != nil {
		return nil, err
	}
	x.after = retryAfter(resp.Header, x.clock())
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		resp.Body.Close()
		return nil, &redirectError{resp.StatusCode}
	}
	body := &answerBody{x: x, closer: resp.Body, r: bufio.NewReader(io.LimitReader(resp.Body, maxAnswer))}
	resp.Body = body
	if resp.StatusCode == http.StatusOK && req.Header.Get("Accept") == "text/event-stream" {
		if err := body.events(resp.Header); err != nil {
			resp.Body.Close()
			return nil, err
		}
	}
	return resp, nil
}

// alive puts the timer back: something came.
func (x *exchange) alive() {
	x.begun.Store(true)
	x.timer.Reset(x.idle)
}

// stop ends the timer.
func (x *exchange) stop() {
	if x.timer != nil {
		x.timer.Stop()
	}
}

// answerBody is the body of an answer: every read puts the idle timer back, and
// of an event stream only the data lines are passed on.
type answerBody struct {
	x      *exchange
	closer io.Closer
	r      *bufio.Reader
	lines  bool
	buf    []byte
	err    error
}

// events prepares the body for the library's reader of event streams. A server
// that answered with plain JSON is turned into a stream of one event.
func (b *answerBody) events(h http.Header) error {
	b.lines = true
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err == nil && kind == "text/event-stream" {
		return nil
	}
	first, err := b.r.Peek(1)
	if err != nil || first[0] != '{' {
		return nil // an event stream with a wrong content type, or nothing: the reader finds out
	}
	whole, err := io.ReadAll(b.r)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	line.WriteString("data: ")
	if err := json.Compact(&line, whole); err != nil {
		return fmt.Errorf("%w: %w", errGarbled, err)
	}
	line.WriteString("\n\ndata: [DONE]\n\n")
	b.r = bufio.NewReader(&line)
	return nil
}

func (b *answerBody) Read(p []byte) (int, error) {
	if !b.lines {
		n, err := b.r.Read(p)
		b.x.alive()
		return n, err
	}
	for len(b.buf) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		var line []byte
		line, b.err = b.r.ReadBytes('\n')
		b.x.alive()
		// Comments, event names and ids mean nothing here, and the library takes
		// them for the beginning of an error message.
		if line = bytes.TrimSpace(line); !bytes.HasPrefix(line, []byte("data:")) {
			continue
		}
		if string(bytes.TrimSpace(line[len("data:"):])) == "[DONE]" {
			b.x.done = true
		}
		b.buf = append(line, '\n') // a last line without an end is a line too
	}
	n := copy(p, b.buf)
	b.buf = b.buf[n:]
	return n, nil
}

func (b *answerBody) Close() error {
	b.x.timer.Stop()
	return b.closer.Close()
}

var (
	errCut      = errors.New("the answer ended in the middle")
	errGarbled  = errors.New("the answer does not follow the protocol")
	errFiltered = errors.New("the provider's content filter stopped the answer")
)

type timeoutError struct {
	after time.Duration
	first bool
}

func (e *timeoutError) Error() string {
	if e.first {
		return fmt.Sprintf("it did not begin to answer within %s", e.after)
	}
	return fmt.Sprintf("it sent nothing for %s", e.after)
}

type redirectError struct{ status int }

func (e *redirectError) Error() string {
	return "it redirects to another address, which is not followed: set OPENAI_BASE_URL to the final one"
}

// midError is an error that the server reported inside its answer.
type midError struct{ raw json.RawMessage }

func (e *midError) Error() string {
	var s string
	if json.Unmarshal(e.raw, &s) == nil {
		return s
	}
	var o struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(e.raw, &o) == nil && o.Message != "" {
		return o.Message
	}
	return strings.TrimSpace(string(e.raw))
}
