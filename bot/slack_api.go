package bot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"
)

// SlackError is Slack's refusal of a call: nothing was done.
type SlackError struct {
	Method string
	Code   string // Slack's word, such as channel_not_found
	Needed string // the scope that is missing, where Slack says so
}

func (e *SlackError) Error() string {
	if e.Needed != "" {
		return fmt.Sprintf("Slack refused %s: %s (needs the scope %s)", e.Method, e.Code, e.Needed)
	}
	return fmt.Sprintf("Slack refused %s: %s", e.Method, e.Code)
}

// TokenError means that a token does not work any more: nothing can be done in
// its workspace until a human gives a new one.
type TokenError struct {
	Token string // which: "bot token" or "app token"
	Code  string // Slack's word, such as token_revoked
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("Slack does not accept the %s (%s): install the app again and set the new token", e.Token, e.Code)
}

// UnsureError means that a call may or may not have taken effect: no answer, or
// one that says nothing.
type UnsureError struct {
	Method string
	Err    error
}

func (e *UnsureError) Error() string { return fmt.Sprintf("call %s: %v", e.Method, e.Err) }
func (e *UnsureError) Unwrap() error { return e.Err }

// tokenCodes are the refusals that concern the token, not the call.
var tokenCodes = map[string]bool{
	"invalid_auth": true, "not_authed": true, "account_inactive": true, "token_revoked": true, "token_expired": true,
	"org_login_required": true, "not_allowed_token_type": true,
}

// unsureCodes are answers after which part of the call may have happened.
// Source: docs.slack.dev/reference/methods/chat.postMessage, errors.
var unsureCodes = map[string]bool{"internal_error": true, "fatal_error": true, "service_unavailable": true, "request_timeout": true}

const (
	apiTimeout  = 30 * time.Second       // of one call, connecting included; slack-go has none of its own
	apiAttempts = 4                      // tries of a call that Slack holds off with 429
	apiPatience = time.Minute            // longest wait that a 429 may ask of a call
	apiPause    = 100 * time.Millisecond // before another try of a call that was not answered, doubled each time
)

// APIOptions say how to reach the Web API.
type APIOptions struct {
	BaseURL  string // "" is Slack's own; with or without a trailing slash
	BotToken string
	AppToken string // for Socket Mode; may be empty
	HTTP     *http.Client
}

// API is the Web API of one workspace. It adds to slack-go what calls need to be
// safe: timeouts, patience with 429, and errors that say what they mean.
type API struct {
	client *slack.Client
	base   string // of the methods' URLs
	token  string
	http   *http.Client

	mu   sync.Mutex
	wait map[string]time.Time // method → not before, after a 429
}

// NewAPI returns the Web API for o.
func NewAPI(o APIOptions) *API {
	if o.HTTP == nil {
		o.HTTP = newHTTPClient()
	}
	base := slack.APIURL
	if o.BaseURL != "" {
		base = withSlash(o.BaseURL)
	}
	return &API{
		client: slack.New(o.BotToken, slack.OptionHTTPClient(o.HTTP), slack.OptionAppLevelToken(o.AppToken), slack.OptionAPIURL(base)),
		base:   base, token: o.BotToken, http: o.HTTP, wait: map[string]time.Time{},
	}
}

// newHTTPClient gives each part its own connections, so that ending one does not
// touch the others.
func newHTTPClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	return &http.Client{Timeout: apiTimeout, Transport: t}
}

// withSlash is a base URL as slack-go needs it.
func withSlash(url string) string { return strings.TrimRight(url, "/") + "/" }

// Self asks who the bot token belongs to (auth.test).
func (a *API) Self(ctx context.Context) (Self, error) {
	var me Self
	err := a.patient(ctx, "auth.test", func(ctx context.Context) error {
		r, err := a.client.AuthTestContext(ctx)
		if err == nil {
			me = Self{Workspace: r.TeamID, User: r.UserID, Bot: r.BotID, Name: r.User, Team: r.Team, URL: r.URL}
		}
		return err
	})
	return me, err
}

// patient makes a call that does no harm when it is made again: a read, or an
// effect that is the same twice. It waits out a 429 and tries again after an
// answer that says nothing.
func (a *API) patient(ctx context.Context, method string, call func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		if err := a.hold(ctx, method); err != nil {
			return fmt.Errorf("call %s: %w", method, err)
		}
		err := a.once(ctx, method, call)
		var limited *slack.RateLimitedError
		var unsure *UnsureError
		switch {
		case errors.As(err, &unsure) && attempt < apiAttempts && ctx.Err() == nil:
			if err := pause(ctx, apiPause<<(attempt-1)); err != nil {
				return fmt.Errorf("call %s: %w", method, err)
			}
			continue
		case !errors.As(err, &limited):
			return err
		case attempt == apiAttempts || limited.RetryAfter > apiPatience:
			return err
		}
		a.mu.Lock()
		a.wait[method] = time.Now().Add(max(limited.RetryAfter, time.Second))
		a.mu.Unlock()
	}
}

// hold waits until Slack wants to hear the method again.
func (a *API) hold(ctx context.Context, method string) error {
	a.mu.Lock()
	at := a.wait[method]
	a.mu.Unlock()
	return pause(ctx, time.Until(at))
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once makes one call and sorts its error: *SlackError, *TokenError,
// *UnsureError, or slack-go's *RateLimitedError.
func (a *API) once(ctx context.Context, method string, call func(context.Context) error) error {
	return sortError(method, "bot token", call(ctx))
}

func sortError(method, tok string, err error) error {
	var refused slack.SlackErrorResponse
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limited):
		return fmt.Errorf("call %s: %w", method, limited)
	case errors.As(err, &status):
		if status.Code == http.StatusTooManyRequests { // without Retry-After
			return fmt.Errorf("call %s: %w", method, &slack.RateLimitedError{RetryAfter: 5 * time.Second})
		}
		if status.Code >= 400 && status.Code < 500 {
			return &SlackError{Method: method, Code: fmt.Sprintf("HTTP status %d", status.Code)}
		}
		return &UnsureError{method, err}
	case errors.As(err, &refused):
		switch {
		case tokenCodes[refused.Err]:
			return &TokenError{tok, refused.Err}
		case refused.Err == "ratelimited" || refused.Err == "rate_limited" || refused.Err == "message_limit_exceeded":
			return fmt.Errorf("call %s: %w", method, &slack.RateLimitedError{RetryAfter: 5 * time.Second})
		case unsureCodes[refused.Err]:
			return &UnsureError{method, err}
		}
		return &SlackError{Method: method, Code: refused.Err, Needed: refused.Needed}
	}
	return &UnsureError{method, withoutURL(err)}
}

// withoutURL keeps the URL of a failed call out of logs: it can hold arguments.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
