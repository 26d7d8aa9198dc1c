package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

// OpenAIOptions say which model of which server to call. Any server that follows
// the chat-completions protocol with tool calls will do.
type OpenAIOptions struct {
	Key       string   // bearer token; "" for servers that want none
	BaseURL   string   // such as http://localhost:11434/v1; "" = OpenAI's own
	Model     string   // required
	Fallbacks []string // further models of the same server, asked when Model fails; for ConnectOpenAI

	Connect   time.Duration // to connect; 0 = 10 s
	FirstByte time.Duration // from the request to the answer's first byte; 0 = 2 min, for slow local models
	Idle      time.Duration // between two pieces of a streamed answer; 0 = 1 min

	Clock func() time.Time // to read Retry-After dates; nil = time.Now
}

// OpenAI is one model of a chat-completions server. It learns what the server
// does not take (counting tokens in a stream, streams, the name of the token
// limit) and asks without it from then on. It logs nothing.
type OpenAI struct {
	options OpenAIOptions
	host    string
	http    *http.Client

	mu     sync.Mutex
	habits habits
}

// habits are what a server wants otherwise than OpenAI's own.
type habits struct {
	noUsage  bool // no stream_options
	noStream bool // no streams
	newLimit bool // max_completion_tokens in place of max_tokens
}

// NewOpenAI checks the options and makes the model o.Model, without retries and
// fallbacks; ConnectOpenAI adds both. It does not call the server.
func NewOpenAI(o OpenAIOptions) (*OpenAI, error) {
	if o.Model == "" {
		return nil, errors.New("the name of the model is missing: set DESKMATE_MODEL")
	}
	if len(o.Fallbacks) > 0 {
		return nil, errors.New("fallback models need ConnectOpenAI: one model has none")
	}
	if o.BaseURL == "" {
		o.BaseURL = openai.DefaultConfig("").BaseURL
	}
	u, err := url.Parse(o.BaseURL)
	switch {
	case err != nil:
		return nil, errors.New("the base URL of the model server is not a URL: expected something like https://api.example.com/v1")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("the base URL of the model server must start with http:// or https:// and name a host, not %q", u.Redacted())
	case u.User != nil:
		return nil, fmt.Errorf("the base URL of the model server must not hold a password: give it as the key, not in %q", u.Redacted())
	}
	if o.Connect <= 0 {
		o.Connect = 10 * time.Second
	}
	if o.FirstByte <= 0 {
		o.FirstByte = 2 * time.Minute
	}
	if o.Idle <= 0 {
		o.Idle = time.Minute
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: o.Connect, KeepAlive: 30 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = o.Connect
	transport.MaxIdleConnsPerHost = 8
	m := &OpenAI{options: o, host: u.Host, habits: habits{newLimit: reasons(o.Model)}}
	m.http = &http.Client{
		Transport: transport,
		// What was said in a workspace goes to the configured server and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return m, nil
}

// reasons reports whether a model is one of OpenAI's reasoning models, which
// refuse max_tokens.
func reasons(model string) bool {
	for _, prefix := range []string{"o1", "o3", "o4", "gpt-5", "gpt-6"} {
		if strings.HasPrefix(model, prefix) {
			return true
		}
	}
	return false
}

// ConnectOpenAI makes the model and its fallbacks, each with retries.
func ConnectOpenAI(o OpenAIOptions, p RetryPolicy) (Model, error) {
	var models []Model
	for _, name := range append([]string{o.Model}, o.Fallbacks...) {
		one := o
		one.Model, one.Fallbacks = name, nil
		m, err := NewOpenAI(one)
		if err != nil {
			return nil, err
		}
		models = append(models, WithRetry(m, p))
	}
	return Fallback(models...), nil
}

// Name is the model's name, as the server knows it.
func (m *OpenAI) Name() string { return m.options.Model }

// Complete calls the model once, but for the calls that teach it the server's
// habits, of which there are at most three.
func (m *OpenAI) Complete(ctx context.Context, r Request, onText func(string)) (Response, error) {
	h := m.known()
	for {
		resp, err := m.once(ctx, r, h, onText)
		if err == nil {
			m.keep(h)
			for i, c := range resp.Calls {
				resp.Calls[i].Name = ownName(c.Name, r.Tools)
			}
			return resp, nil
		}
		if ctx.Err() != nil {
			return Response{}, fmt.Errorf("call model: %w", ctx.Err())
		}
		failed := m.failure(err)
		var learnt bool
		if h, learnt = h.learn(failed); !learnt {
			return Response{}, failed
		}
	}
}

func (m *OpenAI) known() habits {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.habits
}

// keep remembers habits with which a call succeeded.
func (m *OpenAI) keep(h habits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.habits = habits{m.habits.noUsage || h.noUsage, m.habits.noStream || h.noStream, m.habits.newLimit || h.newLimit}
}

// Check asks the server for its models, to find a wrong address, key or name
// before anybody waits for an answer. A server without such a list passes.
func (m *OpenAI) Check(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := m.exchange(cancel)
	defer x.stop()
	list, err := m.client(x).ListModels(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		failed := m.failure(err)
		if failed.Status == http.StatusNotFound || failed.Status == http.StatusMethodNotAllowed {
			return nil
		}
		return failed
	}
	var names []string
	for _, known := range list.Models {
		if known.ID == m.options.Model {
			return nil
		}
		names = append(names, known.ID)
	}
	if len(names) == 0 {
		return nil
	}
	return &ModelError{Message: m.masked(fmt.Sprintf("%s does not list the model %q; it has %s", m.host, m.options.Model, strings.Join(names, ", ")))}
}

func (m *OpenAI) exchange(cancel context.CancelCauseFunc) *exchange {
	return &exchange{client: m.http, cancel: cancel, firstByte: m.options.FirstByte, idle: m.options.Idle, clock: m.options.Clock}
}

// client is the library's client for one exchange.
func (m *OpenAI) client(x *exchange) *openai.Client {
	config := openai.DefaultConfig(m.options.Key)
	config.BaseURL = m.options.BaseURL
	config.HTTPClient = x
	return openai.NewClientWithConfig(config)
}

var (
	aboutStreams = regexp.MustCompile(`\bstream(?:s|ing|ed)?\b`)
	aboutFields  = regexp.MustCompile(`\b(?:extra|unknown|unrecognized|unexpected|unsupported)\b`)
)

// learn reads from a refusal what to leave out. Each habit is learnt only once,
// so that a server which refuses for another reason is not asked for ever.
func (h habits) learn(e *ModelError) (habits, bool) {
	if e.Status != http.StatusBadRequest && e.Status != http.StatusUnprocessableEntity && e.Status != http.StatusNotImplemented {
		return h, false
	}
	said := strings.ToLower(e.Message)
	streaming := !h.noStream
	switch {
	case streaming && !h.noUsage && (strings.Contains(said, "stream_options") || strings.Contains(said, "include_usage")):
		h.noUsage = true
	case streaming && aboutStreams.MatchString(said):
		h.noStream = true
	case !h.newLimit && strings.Contains(said, "max_completion_tokens"):
		h.newLimit = true
	case streaming && !h.noUsage && aboutFields.MatchString(said):
		h.noUsage = true // strict servers do not always say which field they mean
	default:
		return h, false
	}
	return h, true
}

// once is one exchange with the server.
func (m *OpenAI) once(ctx context.Context, r Request, h habits, onText func(string)) (Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := m.exchange(cancel)
	defer x.stop()
	q := m.request(r, h)
	var a assembly
	err := m.converse(ctx, m.client(x), q, x, &a, onText)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // the timeout that ended it says more than what broke then
	}
	if err != nil {
		if x.after > 0 {
			err = &retryAfterError{after: x.after, err: err}
		}
		return Response{}, err
	}
	return a.response(r, m.options.Model)
}

// converse sends q and gathers the answer into a.
func (m *OpenAI) converse(ctx context.Context, client *openai.Client, q openai.ChatCompletionRequest, x *exchange, a *assembly, onText func(string)) error {
	if q.StreamOptions == nil && !q.Stream {
		answer, err := client.CreateChatCompletion(ctx, q)
		if err != nil {
			return err
		}
		b, err := json.Marshal(answer)
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		a.whole = true
		return a.add(b, onText)
	}
	stream, err := client.CreateChatCompletionStream(ctx, q)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		raw, err := stream.RecvRaw()
		switch {
		case errors.Is(err, io.EOF) && (x.done || a.finish != ""):
			return nil
		case errors.Is(err, io.EOF):
			return errCut
		case err != nil:
			return err
		}
		if err := a.add(raw, onText); err != nil {
			return err
		}
	}
}

// request is r as the protocol writes it.
func (m *OpenAI) request(r Request, h habits) openai.ChatCompletionRequest {
	q := openai.ChatCompletionRequest{Model: m.options.Model, User: r.User, Stream: !h.noStream}
	if h.newLimit {
		q.MaxCompletionTokens = r.MaxTokens
	} else {
		//lint:ignore SA1019 most servers other than OpenAI's know the limit by this name only
		q.MaxTokens = r.MaxTokens
	}
	if q.Stream && !h.noUsage {
		q.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	}
	if name := m.options.Model; len(r.Tools) > 0 && (name == openai.GPT6Sol || name == openai.GPT6Luna) {
		q.ReasoningEffort = openai.ReasoningEffortNone // with tools they reason in another protocol only
	}
	for _, t := range r.Tools {
		q.Tools = append(q.Tools, openai.Tool{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{
			Name: wireName(t.Name), Description: t.Description, Parameters: t.Schema,
		}})
	}
	for _, message := range r.Messages {
		q.Messages = append(q.Messages, wire(message))
	}
	return q
}

// wire is a message as the protocol writes it. Who speaks stands in the text:
// not every server takes a name beside it. Content is never empty, since some
// servers refuse a message without.
func wire(m Message) openai.ChatCompletionMessage {
	w := openai.ChatCompletionMessage{Role: m.Role, Content: m.Content, ToolCallID: m.CallID}
	switch m.Role {
	case RoleUser:
		if m.Name != "" {
			w.Content = strings.Join(strings.Fields(m.Name), " ") + ": " + m.Content
		}
		if m.Silent {
			w.Content = "(not addressed to you) " + w.Content
		}
	case RoleTool:
		if m.Content == "" {
			w.Content = "(no output)"
		}
	case RoleAssistant:
		for _, c := range m.Calls {
			w.ToolCalls = append(w.ToolCalls, openai.ToolCall{ID: c.ID, Type: openai.ToolTypeFunction,
				Function: openai.FunctionCall{Name: wireName(c.Name), Arguments: arguments(c.Args)}})
		}
	}
	if w.Content == "" && len(w.ToolCalls) == 0 {
		w.Content = "(empty)"
	}
	return w
}

// sent is a message as a chat-completions server is sent it.
func (m Message) sent() SentMessage {
	w := wire(m)
	out := SentMessage{Role: w.Role, Content: w.Content, CallID: w.ToolCallID}
	for _, c := range w.ToolCalls {
		out.Calls = append(out.Calls, SentCall{ID: c.ID, Name: c.Function.Name, Arguments: c.Function.Arguments})
	}
	return out
}

// mostName is the most characters that a function's name may have, by the
// reference of the chat-completions protocol, which allows letters, digits, _ and -.
const mostName = 64

// wireName is a tool's name as the protocol allows it: tracker.list_issues is
// tracker__list_issues. Names that differ stay different: what is changed in
// another way gets a piece of its hash.
func wireName(name string) string {
	simple := strings.Replace(name, ".", "__", 1)
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, simple)
	// Two names must not become one: "__" stands for the one dot and nothing else.
	if plain == simple && len(simple) <= mostName && !strings.Contains(name, "__") && !strings.Contains(name, "_.") && !strings.Contains(name, "._") {
		return simple
	}
	sum := sha256.Sum256([]byte(name))
	tail := "_" + hex.EncodeToString(sum[:3])
	return plain[:min(len(plain), mostName-len(tail))] + tail
}

// ownName is the tool that a name on the wire stands for; one that stands for
// none is passed on, for the loop to answer.
func ownName(wire string, tools []ToolDef) string {
	for _, t := range tools {
		if wireName(t.Name) == wire {
			return t.Name
		}
	}
	return strings.Replace(wire, "__", ".", 1) // one that is gone, or made up
}

// arguments are a call's arguments as they go back to the server. Arguments that
// were not valid JSON are wrapped, as servers refuse a history that holds them.
func arguments(args json.RawMessage) string {
	var object map[string]json.RawMessage
	if json.Unmarshal(args, &object) == nil && object != nil {
		return string(args)
	}
	var said string
	if json.Unmarshal(args, &said) != nil {
		said = string(args)
	}
	b, err := json.Marshal(map[string]string{"invalid_arguments": said})
	if err != nil {
		return "{}"
	}
	return string(b)
}

// failure turns whatever went wrong into a ModelError with words for people: the
// server's own message where there is one, without the key.
func (m *OpenAI) failure(err error) *ModelError {
	f := m.broken(err)
	var api *openai.APIError
	var request *openai.RequestError
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
	case isRefusedByLibrary(err):
		f.Temporary, f.Message = false, "the model "+m.options.Model+" cannot be asked this way: "+err.Error()
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

// outOfQuota tells an account without money from one that is merely too fast;
// both are 429.
func outOfQuota(e *openai.APIError) bool {
	return e.Code == "insufficient_quota" || e.Type == "insufficient_quota"
}
