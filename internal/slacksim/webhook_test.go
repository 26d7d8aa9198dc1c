package slacksim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"deskmate/internal/slacksim"
)

// delivery is one request that an app got.
type delivery struct {
	header http.Header
	body   string
}

// receiver is an app that takes HTTP: it checks signatures with slack-go, echoes
// the challenge, and answers events with the next of statuses, then with 200.
func receiver(t *testing.T, secret string, statuses ...int) (address string, got <-chan delivery) {
	t.Helper()
	out := make(chan delivery, 100)
	answers := make(chan int, len(statuses))
	for _, s := range statuses {
		answers <- s
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read delivery: %v", err)
		}
		verifier, err := slack.NewSecretsVerifier(r.Header, secret)
		if err != nil {
			t.Errorf("verify: %v", err)
			return
		}
		_, _ = verifier.Write(body)
		if err := verifier.Ensure(); err != nil {
			t.Errorf("signature: %v", err)
		}
		var challenge struct{ Type, Challenge string }
		if json.Unmarshal(body, &challenge) == nil && challenge.Type == "url_verification" {
			_, _ = io.WriteString(w, challenge.Challenge)
			return
		}
		out <- delivery{r.Header, string(body)}
		select {
		case status := <-answers:
			if status == http.StatusTeapot { // an app that opts out of retries
				w.Header().Set("X-Slack-No-Retry", "1")
			}
			w.WriteHeader(status)
		default:
			_, _ = io.WriteString(w, `{"response_type":"in_channel","text":"for all"}`)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, out
}

// overHTTP is a workspace whose app takes HTTP at address.
func overHTTP(t *testing.T, address, secret string) (*slacksim.Server, string) {
	t.Helper()
	seed := slacksim.DefaultSeed()
	seed.Apps[0].RequestURL, seed.Apps[0].SigningSecret = address, secret
	return workspace(t, slacksim.Options{Seed: seed, Redelivery: []time.Duration{0, time.Millisecond, time.Millisecond}})
}

func TestHTTPEventIsSignedAndRetried(t *testing.T) {
	t.Parallel()
	address, got := receiver(t, "s3cret", 500, 503)
	s, base := overHTTP(t, address, "s3cret")
	say(t, s, "U0BEN", "C0ENG", "hello")
	for attempt, want := range []string{"", "1", "2"} {
		d := await(t, got, "a delivery")
		if n := d.header.Get("X-Slack-Retry-Num"); n != want {
			t.Errorf("delivery %d has retry number %q, want %q", attempt+1, n, want)
		}
		if want != "" && d.header.Get("X-Slack-Retry-Reason") != "http_error" {
			t.Errorf("retry reason %q, want http_error", d.header.Get("X-Slack-Retry-Reason"))
		}
		if !strings.Contains(d.body, `"type":"event_callback"`) {
			t.Errorf("body %s, want an event_callback", d.body)
		}
	}
	if out := raw(t, base, s.AppToken(), "apps.connections.open"); out["ok"] != false {
		t.Errorf("apps.connections.open of an HTTP app: %v, want a refusal", out)
	}
}

func TestHTTPRetryCanBeDeclined(t *testing.T) {
	t.Parallel()
	address, got := receiver(t, "s", http.StatusTeapot)
	s, _ := overHTTP(t, address, "s")
	say(t, s, "U0BEN", "C0ENG", "one")
	await(t, got, "the first delivery")
	second := say(t, s, "U0BEN", "C0ENG", "two")
	if d := await(t, got, "the second event"); !strings.Contains(d.body, second) {
		t.Errorf("the declined event came again: %s", d.body)
	}
}

func TestHTTPCommandIsAForm(t *testing.T) {
	t.Parallel()
	address, got := receiver(t, "s")
	_, base := overHTTP(t, address, "s")
	answer := later(t, base, "/emulator/command", `{"user":"U0BEN","channel":"C0ENG","command":"/deskmate","text":"help & more"}`)
	form, err := url.ParseQuery(await(t, got, "the command").body)
	if err != nil {
		t.Fatal(err)
	}
	if form.Get("text") != "help & more" || form.Get("user_id") != "U0BEN" || form.Get("response_url") == "" {
		t.Errorf("got %v, want the command's fields", form)
	}
	if out := await(t, answer, "the answer"); out["ok"] != true {
		t.Fatalf("the command was answered with %v, want ok", out)
	}
	history := call(t, base, slacksim.UserToken("U0ADA"), "conversations.history", "channel", "C0ENG")["messages"].([]any)
	if first := history[0].(map[string]any); first["text"] != "for all" {
		t.Errorf("the channel shows %v, want the answer of the app", first)
	}
}

func TestOAuthCodeIsUsedOnce(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{Seed: allScopes()})
	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	authorize := func(redirect string) *http.Response {
		t.Helper()
		resp, err := noRedirect.Get(base + "/oauth/v2/authorize?client_id=client-A0DESKMATE&state=st&scope=files:read&redirect_uri=" + url.QueryEscape(redirect))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if resp := authorize("https://evil.example/"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a foreign redirect: status %d, want 400", resp.StatusCode)
	}
	const back = "http://127.0.0.1/done"
	to, err := authorize(back).Location()
	if err != nil {
		t.Fatal(err)
	}
	if to.Query().Get("state") != "st" {
		t.Errorf("state %q, want st", to.Query().Get("state"))
	}
	args := []string{"client_id", "client-A0DESKMATE", "client_secret", "client-secret-A0DESKMATE", "code", to.Query().Get("code"), "redirect_uri", back}
	out := call(t, base, "", "oauth.v2.access", args...)
	checkShape(t, "api", "oauth.v2.access", out)
	if out["access_token"] != s.BotToken() {
		t.Error("the access token is not the app's bot token")
	}
	if out := raw(t, base, "", "oauth.v2.access", args...); out["error"] != "code_already_used" {
		t.Errorf("second use: %v, want code_already_used", out)
	}
}
