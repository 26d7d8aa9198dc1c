package bot

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// broken words what went wrong on the way to the server and back, apart from what
// the client library reports.
func (m *OpenAI) broken(err error) *ModelError {
	f := &ModelError{Temporary: true, Message: "the answer of " + m.host + " could not be read: " + err.Error()}
	var (
		timeout  *timeoutError
		redirect *redirectError
		mid      *midError
		dns      *net.DNSError
		op       *net.OpError
		u        *url.Error
	)
	switch {
	case errors.As(err, &timeout):
		f.Message = m.host + ": " + timeout.Error()
	case errors.As(err, &redirect):
		f.Temporary, f.Status, f.Message = false, redirect.status, m.host+": "+redirect.Error()
	case errors.As(err, &mid):
		f.Message = m.host + " broke off its answer: " + mid.Error()
	case errors.Is(err, errFiltered):
		f.Temporary, f.Message = false, errFiltered.Error()
	case errors.Is(err, errCut), errors.Is(err, io.ErrUnexpectedEOF):
		f.Message = "the answer of " + m.host + " ended in the middle"
	case errors.Is(err, errGarbled):
		f.Message = "the answer of " + m.host + " does not follow the chat-completions protocol"
	case errors.As(err, &dns):
		f.Message = "cannot find the host " + m.host
	case errors.As(err, &op) && op.Op == "dial":
		f.Message = "cannot connect to " + m.host + ": " + op.Err.Error()
	case errors.As(err, &u):
		f.Message = "the connection to " + m.host + " failed: " + u.Err.Error()
	}
	return f
}

// safe is an error for the logs: what a caller decides on, and nothing that the
// server said, which may quote the request or the key.
func (m *OpenAI) safe(err error) error {
	var asked *retryAfterError
	if errors.As(err, &asked) {
		return &retryAfterError{after: asked.after, err: errors.New("the server asked to wait")}
	}
	for _, known := range []error{errCut, errFiltered, errGarbled} {
		if errors.Is(err, known) {
			return known
		}
	}
	var timeout *timeoutError
	if errors.As(err, &timeout) {
		return timeout
	}
	return nil
}

// temporaryStatus reports whether a status is worth another try. 529 is
// "overloaded" on some servers.
func temporaryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500 && status != http.StatusNotImplemented
}

func (m *OpenAI) answered(status int, said string) string {
	what := fmt.Sprintf("%s answered %d %s", m.host, status, http.StatusText(status))
	if status == http.StatusUnauthorized {
		what += " (check OPENAI_API_KEY)"
	}
	if said == "" {
		return what
	}
	return what + ": " + said
}

// plainBody is an error body for people: its first words, or nothing of an HTML page.
func plainBody(b []byte) string {
	s := strings.TrimSpace(string(b))
	if strings.HasPrefix(s, "<") {
		return ""
	}
	return s
}

var secretShape = regexp.MustCompile(`(?i)(bearer\s+|\b(?:sk|pk|rk|key|gsk)[-_])[A-Za-z0-9._*-]{6,}`)

// masked is one line of at most 300 characters without the key or anything that
// looks like one.
func (m *OpenAI) masked(s string) string {
	if m.options.Key != "" {
		s = strings.ReplaceAll(s, m.options.Key, "***")
	}
	s = strings.Join(strings.Fields(secretShape.ReplaceAllString(s, "$1***")), " ")
	if r := []rune(s); len(r) > 300 {
		s = string(r[:299]) + "…"
	}
	return s
}
