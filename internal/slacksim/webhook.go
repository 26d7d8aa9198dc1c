package slacksim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	maxQueued     = 10_000
	hookWorkers   = 8
	maxAnswer     = 1 << 20
	noRetryHeader = "X-Slack-No-Retry"
)

// webhook delivers to an app over HTTP, signed, in place of Socket Mode. An app
// without a request URL has none of this.
type webhook struct {
	log        zerolog.Logger
	app        AppSeed
	faults     *faults
	client     *http.Client
	redelivery []time.Duration
	ctx        context.Context
	cancel     context.CancelFunc
	queue      chan *envelope
	verifying  sync.Mutex
	verified   bool
	wg         sync.WaitGroup
}

func newWebhook(log zerolog.Logger, a AppSeed, f *faults, o Options) *webhook {
	if a.RequestURL == "" {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &webhook{log: log, app: a, faults: f, redelivery: o.Redelivery, ctx: ctx, cancel: cancel,
		queue: make(chan *envelope, maxQueued),
		client: &http.Client{Timeout: o.AckTimeout, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > 2 {
				return errTooManyRedirects
			}
			return nil
		}}}
	for range hookWorkers {
		w.wg.Go(w.work)
	}
	return w
}

var errTooManyRedirects = errors.New("more than two redirects")

// push queues an event. When the queue is full the event is lost, as with Slack
// when an app is down.
func (w *webhook) push(e *envelope) {
	n := 1
	if w.faults.fires(faultDuplicate) {
		n = 2
	}
	for range n {
		select {
		case w.queue <- e:
		default:
			w.log.Warn().Str("app", w.app.ID).Msg("event queue of the app is full; an event was dropped")
		}
	}
}

func (w *webhook) work() {
	for {
		select {
		case e := <-w.queue:
			w.deliver(*e)
		case <-w.ctx.Done():
			return
		}
	}
}

// deliver sends one event until the app takes it or the schedule ends. A wait
// before a redelivery does not hold up the worker.
func (w *webhook) deliver(e envelope) {
	reason, retry := w.try(&e)
	if reason == "" || !retry || e.attempt >= len(w.redelivery) {
		return
	}
	delay := w.redelivery[e.attempt]
	e.attempt++
	e.reason = reason
	again := func() {
		select {
		case w.queue <- &e:
		default:
		}
	}
	if delay <= 0 {
		again()
		return
	}
	time.AfterFunc(delay, again)
}

// try sends once. An empty reason means that the app took it.
func (w *webhook) try(e *envelope) (reason string, retry bool) {
	if err := w.verify(); err != nil {
		w.log.Debug().Err(err).Str("app", w.app.ID).Msg("the request URL is not verified")
		return "connection_failed", true
	}
	header := http.Header{}
	if e.attempt > 0 {
		header.Set("X-Slack-Retry-Num", strconv.Itoa(e.attempt))
		header.Set("X-Slack-Retry-Reason", e.reason)
	}
	status, _, answer, err := w.send(w.app.RequestURL, "application/json", e.payload, header)
	switch {
	case w.faults.fires(faultDropAck):
		return "http_timeout", true
	case errors.Is(err, errTooManyRedirects):
		return "too_many_redirects", true
	case err != nil && isTimeout(err):
		return "http_timeout", true
	case err != nil:
		return "connection_failed", true
	case status/100 != 2:
		return "http_error", answer.Get(noRetryHeader) != "1"
	}
	return "", false
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// verify makes the app echo a challenge before its first event.
func (w *webhook) verify() error {
	w.verifying.Lock()
	defer w.verifying.Unlock()
	if w.verified {
		return nil
	}
	challenge := rand.Text()
	status, body, _, err := w.send(w.app.RequestURL, "application/json",
		encode(obj{"token": verification(w.app), "challenge": challenge, "type": "url_verification"}), nil)
	if err != nil {
		return fmt.Errorf("verify request URL: %w", err)
	}
	var echo struct {
		Challenge string `json:"challenge"`
	}
	if json.Unmarshal(body, &echo) != nil {
		echo.Challenge = string(bytes.TrimSpace(body))
	}
	if status != http.StatusOK || echo.Challenge != challenge {
		return fmt.Errorf("verify request URL: status %d without the challenge", status)
	}
	w.verified = true
	return nil
}

// ask delivers an interaction, waits for the answer and returns its body.
func (w *webhook) ask(target string, form url.Values) (json.RawMessage, error) {
	status, body, _, err := w.send(orElse(target, w.app.RequestURL), "application/x-www-form-urlencoded", []byte(form.Encode()), nil)
	if err != nil {
		return nil, fmt.Errorf("deliver interaction: %w", err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("deliver interaction: status %d", status)
	}
	return body, nil
}

// send posts body with Slack's signature (v0: HMAC-SHA256 over version, time and
// body; docs.slack.dev/authentication/verifying-requests-from-slack).
func (w *webhook) send(target, mediaType string, body []byte, extra http.Header) (int, []byte, http.Header, error) {
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("make request: %w", err)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(w.app.SigningSecret))
	fmt.Fprintf(mac, "v0:%s:%s", stamp, body)
	for k, v := range extra {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	req.Header.Set("X-Slack-Request-Timestamp", stamp)
	req.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("post: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("read answer: %w", err)
	}
	return resp.StatusCode, answer, resp.Header, nil
}

func (w *webhook) close() {
	if w == nil {
		return
	}
	w.cancel()
	w.wg.Wait()
}

// verification is the deprecated verification token that payloads still carry.
func verification(a AppSeed) string { return "verification-" + a.ID }
