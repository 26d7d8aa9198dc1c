package bot

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const signingSecret = "not a secret"

// send posts body to path, signed at the given time, and returns status and text.
func send(t *testing.T, server, path, secret, body string, at time.Time) (int, string) {
	t.Helper()
	r, err := http.NewRequest("POST", server+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "v0:%d:%s", at.Unix(), body)
	r.Header.Set("X-Slack-Request-Timestamp", fmt.Sprint(at.Unix()))
	r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestHTTPDeliveries(t *testing.T) {
	t.Parallel()
	mention := envelope(`{"type":"app_mention","channel":"C1","user":"U0ADA","ts":"1700000000.000100","text":"<@U0BOT> hi"}`)
	press := "payload=" + url.QueryEscape(`{"type":"block_actions","team":{"id":"T1"},"user":{"id":"U0ADA"},"actions":[{"action_id":"stop"}]}`)
	form := "payload=" + url.QueryEscape(`{"type":"view_submission","team":{"id":"T1"},"user":{"id":"U0ADA"},"view":{"id":"V1","callback_id":"grant","private_metadata":"C1",
		"state":{"values":{"tools":{"value":{"type":"multi_static_select","selected_options":[{"value":"post"},{"value":"react"}]}},"why":{"value":{"type":"plain_text_input","value":"fun"}}}}}}`)
	for name, c := range map[string]struct {
		path, secret, body string
		age                time.Duration
		fail               error
		status             int
		counts             Counts
	}{
		"a mention is stored":                 {"/slack/events", signingSecret, mention, 0, nil, 200, Counts{Stored: 1}},
		"what cannot be stored comes again":   {"/slack/events", signingSecret, mention, 0, errors.New("disk full"), 500, Counts{Refused: 1}},
		"a wrong signature":                   {"/slack/events", "another", mention, 0, nil, 401, Counts{}},
		"an old request":                      {"/slack/events", signingSecret, mention, 6 * time.Minute, nil, 401, Counts{}},
		"a request from the future":           {"/slack/events", signingSecret, mention, -6 * time.Minute, nil, 401, Counts{}},
		"an unknown event is none of ours":    {"/slack/events", signingSecret, envelope(`{"type":"x"}`), 0, nil, 200, Counts{Ignored: 1}},
		"a malformed event is not sent again": {"/slack/events", signingSecret, `{"type":`, 0, nil, 200, Counts{Bad: 1}},
		"a button":                            {"/slack/interactions", signingSecret, press, 0, nil, 200, Counts{Stored: 1}},
		"an interaction without payload":      {"/slack/interactions", signingSecret, "a=b", 0, nil, 200, Counts{Bad: 1}},
		"a command":                           {"/slack/commands", signingSecret, "command=%2Fx&team_id=T1&channel_id=C1&user_id=U0ADA&text=help&trigger_id=1", 0, nil, 200, Counts{Stored: 1}},
		"a command that cannot be taken":      {"/slack/commands", signingSecret, "command=%2Fx&team_id=T1&channel_id=C1&user_id=U0ADA&text=help&trigger_id=1", 0, errors.New("disk full"), 500, Counts{Refused: 1}},
		"a command of another workspace":      {"/slack/commands", signingSecret, "command=%2Fx&team_id=T9&channel_id=C1&user_id=U0ADA", 0, nil, 200, Counts{Ignored: 1}},
		"a command without a user":            {"/slack/commands", signingSecret, "command=%2Fx&team_id=T1&channel_id=C1", 0, nil, 200, Counts{Bad: 1}},
		"a form":                              {"/slack/interactions", signingSecret, form, 0, nil, 200, Counts{Stored: 1}},
		"a form without a name":               {"/slack/interactions", signingSecret, strings.Replace(form, "grant", "", 1), 0, nil, 200, Counts{Bad: 1}},
		"too long":                            {"/slack/events", signingSecret, strings.Repeat("x", maxBody+1), 0, nil, 413, Counts{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := NewHTTP(HTTPOptions{SigningSecret: signingSecret, Self: selfOf, Sinks: Sinks{
				Event:  func(context.Context, Event) (bool, error) { return true, c.fail },
				Action: func(context.Context, Action) error { return c.fail },
				Command: func(_ context.Context, got Command) error {
					if got.Channel != "C1" || got.User != "U0ADA" || got.Text != "help" || got.Name != "/x" {
						t.Errorf("the command is %+v", got)
					}
					return c.fail
				},
				Form: func(_ context.Context, got Submission) (map[string]string, error) {
					if got.Form != "grant" || got.Metadata != "C1" || got.Values["tools"] != "post\nreact" || got.Values["why"] != "fun" {
						t.Errorf("the form is %+v", got)
					}
					return nil, c.fail
				},
			}})
			server := httptest.NewServer(h)
			defer server.Close()
			status, _ := send(t, server.URL, c.path, c.secret, c.body, time.Now().Add(-c.age))
			if status != c.status || h.Counts() != c.counts {
				t.Errorf("got status %d, %+v; want %d, %+v", status, h.Counts(), c.status, c.counts)
			}
		})
	}
}

func TestHTTPAnswersTheChallenge(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(NewHTTP(HTTPOptions{SigningSecret: signingSecret, Self: selfOf}))
	defer server.Close()
	status, body := send(t, server.URL, "/slack/events", signingSecret, `{"type":"url_verification","challenge":"abc"}`, time.Now())
	if status != 200 || body != "abc" {
		t.Errorf("got %d %q, want 200 and the challenge", status, body)
	}
}

// A server without a signing secret must not take unsigned requests for signed.
func TestHTTPWithoutASecretRefusesEverything(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(NewHTTP(HTTPOptions{Self: selfOf}))
	defer server.Close()
	if status, _ := send(t, server.URL, "/slack/events", "", `{"type":"url_verification","challenge":"abc"}`, time.Now()); status != 401 {
		t.Errorf("got status %d, want 401", status)
	}
}
