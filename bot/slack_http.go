package bot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"
	"github.com/slack-go/slack"
)

// HTTPOptions are what the HTTP side needs.
type HTTPOptions struct {
	SigningSecret string
	Self          func(workspace string) (Self, bool)
	Sinks         Sinks
	Logger        zerolog.Logger
}

// HTTP receives deliveries as signed requests: the other way in, beside Socket
// Mode, to the same sinks. It answers 200 when a delivery is durable or none of
// ours, 401 when its signature is not Slack's or older than five minutes, and 500
// when it could not be stored, after which Slack delivers again.
type HTTP struct {
	secret string
	in     *intake
	mux    *http.ServeMux
}

// maxBody bounds one request of Slack.
const maxBody = 4 << 20

// NewHTTP returns the handler of /slack/events, /slack/interactions and
// /slack/commands. Without a signing secret it refuses everything.
func NewHTTP(o HTTPOptions) *HTTP {
	h := &HTTP{secret: o.SigningSecret, in: &intake{self: o.Self, sinks: o.Sinks, logger: o.Logger}, mux: http.NewServeMux()}
	h.mux.HandleFunc("POST /slack/events", h.signed(h.events))
	h.mux.HandleFunc("POST /slack/interactions", h.signed(h.interactions))
	h.mux.HandleFunc("POST /slack/commands", h.signed(h.commands))
	return h
}

// Counts says what became of the deliveries since the start.
func (h *HTTP) Counts() Counts { return h.in.counts() }

func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// signed passes on the body of a request that Slack signed.
// Source: docs.slack.dev/authentication/verifying-requests-from-slack.
func (h *HTTP) signed(next func(http.ResponseWriter, *http.Request, []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			var long *http.MaxBytesError
			if errors.As(err, &long) {
				http.Error(w, "the request is too long", http.StatusRequestEntityTooLarge)
				return
			}
			http.Error(w, "the request could not be read", http.StatusBadRequest)
			return
		}
		if err := h.verify(r.Header, body); err != nil {
			h.in.logger.Warn().Err(err).Msg("request refused")
			http.Error(w, "the signature does not fit", http.StatusUnauthorized)
			return
		}
		next(w, r, body)
	}
}

func (h *HTTP) verify(header http.Header, body []byte) error {
	v, err := slack.NewSecretsVerifier(header, h.secret)
	if err != nil {
		return fmt.Errorf("check signature: %w", err)
	}
	if _, err := v.Write(body); err != nil {
		return fmt.Errorf("check signature: %w", err)
	}
	if err := v.Ensure(); err != nil {
		return errors.New("check signature: it is not of this request") // slack-go's error holds the right one
	}
	return nil
}

func (h *HTTP) events(w http.ResponseWriter, r *http.Request, body []byte) {
	var hello callback
	if err := json.Unmarshal(body, &hello); err == nil && hello.Type == "url_verification" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, hello.Challenge) // Slack asks again if it did not get it
		return
	}
	p, err := ParseEvent(body, h.in.self)
	h.answer(w, r, p, err)
}

func (h *HTTP) interactions(w http.ResponseWriter, r *http.Request, body []byte) {
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("payload") {
		h.answer(w, r, Parsed{}, &ParseError{"interaction", "payload", err})
		return
	}
	p, err := ParseInteraction([]byte(form.Get("payload")), h.in.self)
	h.answer(w, r, p, err)
}

func (h *HTTP) commands(w http.ResponseWriter, r *http.Request, body []byte) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		h.answer(w, r, Parsed{}, &ParseError{"slash command", "(all)", err})
		return
	}
	payload, err := formCommand(form)
	if err != nil {
		h.answer(w, r, Parsed{}, &ParseError{"slash command", "(all)", err})
		return
	}
	p, err := ParseCommand(payload, h.in.self)
	h.answer(w, r, p, err)
}

func (h *HTTP) answer(w http.ResponseWriter, r *http.Request, p Parsed, parse error) {
	answer, err := h.in.take(r.Context(), p, parse)
	if err != nil {
		http.Error(w, "the delivery could not be stored", http.StatusInternalServerError)
		return
	}
	if answer == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // Slack shows that no answer came
}
