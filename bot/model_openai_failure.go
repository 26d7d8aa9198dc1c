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

	openai "github.com/sashabaranov/go-openai"
)

// failure turns whatever went wrong into a ModelError with words for people: the
// server's own message where there is one, without the key.
func (m *OpenAI) failure(err error) *ModelError {
	f := &ModelError{Temporary: true, Message: "the answer of " + m.host + " could not be read: " + err.Error()}
	var (
		api      *openai.APIError
		request  *openai.RequestError
		timeout  *timeoutError
		redirect *redirectError
		mid      *midError
		dns      *net.DNSError
		op       *net.OpError
		u        *url.Error
	)
	switch {
	case errors.As(err, &api) && api.HTTPStatusCode > 0:
		f.Status = api.HTTPStatusCode
		f.Temporary = temporaryStatus(f.Status) && !outOfQuota(api)
		f.Message = m.answered(f.Status, api.Message)
	case errors.As(err, &api): // an error event of a stream
		f.Temporary = !outOfQuota(api)
		f.Message = m.host + " broke off its answer: " + api.Message
	case errors.As(err, &request):
		f.Status = request.HTTPStatusCode
		f.Temporary = temporaryStatus(f.Status)
		f.Message = m.answered(f.Status, plainBody(request.Body))
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
	case isRefusedByLibrary(err):
		f.Temporary, f.Message = false, "the model "+m.options.Model+" cannot be asked this way: "+err.Error()
	case errors.As(err, &dns):
		f.Message = "cannot find the host " + m.host
	case errors.As(err, &op) && op.Op == "dial":
		f.Message = "cannot connect to " + m.host + ": " + op.Err.Error()
	case errors.As(err, &u):
		f.Message = "the connection to " + m.host + " failed: " + u.Err.Error()
	}
	f.Message = m.masked(f.Message)
	f.Err = m.safe(err)
	return f
}

// isRefusedByLibrary reports errors that go-openai finds in a request before it
// is sent: no other try will change them.
func isRefusedByLibrary(err error) bool {
	for _, e := range []error{
		openai.ErrChatCompletionInvalidModel, openai.ErrContentFieldsMisused, openai.ErrReasoningEffortUnsupported,
		openai.ErrReasoningToolsRequireResponses, openai.ErrReasoningSamplingUnsupported, openai.ErrReasoningModelMaxTokensDeprecated,
		openai.ErrReasoningModelLimitationsLogprobs, openai.ErrReasoningModelLimitationsOther,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
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

// outOfQuota tells an account without money from one that is merely too fast;
// both are 429.
func outOfQuota(e *openai.APIError) bool {
	return e.Code == "insufficient_quota" || e.Type == "insufficient_quota"
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
