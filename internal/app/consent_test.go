package app

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"deskmate/connection"
	"deskmate/identity"
)

// TestConsentIsStoredAndUsed has an admin consent through a real authorization
// server, and the connection use what came of it.
func TestConsentIsStoredAndUsed(t *testing.T) {
	t.Parallel()
	var verifier string
	issuer := ""
	id := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		switch {
		case r.Form.Get("grant_type") == "authorization_code" && r.Form.Get("code") == "the-code":
			verifier = r.Form.Get("code_verifier")
			fmt.Fprint(w, `{"access_token":"a-0","token_type":"Bearer","expires_in":60,"refresh_token":"r-1-of-the-agent"}`)
		case r.Form.Get("refresh_token") == "r-1-of-the-agent":
			fmt.Fprint(w, `{"access_token":"a-1","token_type":"Bearer","expires_in":60,"refresh_token":"r-2-of-the-agent"}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
		}
	}))
	t.Cleanup(id.Close)
	issuer = id.URL
	var got []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		fmt.Fprint(w, "fine")
	}))
	t.Cleanup(api.Close)

	dir := t.TempDir()
	c, err := LoadConfig(map[string]string{"database_url": "sqlite:" + filepath.Join(dir, "deskmate.db"), "slack_bot_token": "xoxb-1", "slack_app_token": "xapp-1"}, func(string) string { return "" }, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStore(t.Context(), c, time.Now, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Agents.Ensure(t.Context(), identity.Agent{Workspace: "T1", User: "U0AGENT", Name: "Deskmate"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(dir, "calendar.yaml")
	text := fmt.Sprintf("name: calendar\nkind: http\nurl: %s\nprivate: true\nclasses: {get: read}\nauth: {kind: authorization_code, authorize_url: %s/authorize, token_url: %s/token, issuer: %s, client_id: agent, scopes: [read]}\n"+
		"http:\n  calls: [{name: get, description: d, path: /x}]\n", api.URL, id.URL, id.URL, issuer)
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(errors io.Writer, args ...string) (string, int) {
		var out bytes.Buffer
		code := Main(t.Context(), append(args, "--database-url", c.Database), Streams{In: strings.NewReader(""), Out: &out, Errors: errors, Getenv: func(n string) string { return map[string]string{"USER": "operator"}[n] }})
		return out.String(), code
	}
	var problems bytes.Buffer
	if out, code := run(&problems, "connection", "add", spec, "--accept"); code != 0 || !strings.Contains(out, "active") {
		t.Fatalf("add: %d, %s%s", code, out, problems.String())
	}
	answer := func(change func(q url.Values)) (string, int) {
		r, w := io.Pipe()
		defer w.Close()
		go func() {
			lines := bufio.NewScanner(r)
			for lines.Scan() {
				address := regexp.MustCompile(`^http\S+/authorize\?\S+`).FindString(lines.Text())
				if address == "" {
					continue
				}
				u, err := url.Parse(address)
				if err != nil {
					continue
				}
				q := url.Values{"code": {"the-code"}, "state": {u.Query().Get("state")}, "iss": {issuer}}
				change(q)
				resp, err := http.Get(u.Query().Get("redirect_uri") + "?" + q.Encode()) //nolint:noctx // the test ends by itself
				if err == nil {
					_ = resp.Body.Close()
				}
			}
		}()
		return run(w, "connection", "consent", "calendar", "--owner", "U0ADA", "--why", "reads the calendar")
	}
	for name, change := range map[string]func(url.Values){
		"another state":  func(q url.Values) { q.Set("state", "guessed") },
		"another issuer": func(q url.Values) { q.Set("iss", "https://evil.example") },
		"refused":        func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") },
	} {
		if out, code := answer(change); code == 0 || verifier != "" {
			t.Errorf("%s: %d, %s", name, code, out)
		}
	}
	out, code := answer(func(url.Values) {})
	if code != 0 || !strings.Contains(out, "calendar/default") || strings.Contains(out, "r-1-of-the-agent") || len(verifier) < 43 {
		t.Fatalf("consent: %d, %s", code, out)
	}

	s, err = openStore(t.Context(), c, time.Now, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	calls := func(ctx context.Context) error {
		tools, err := s.Connections.Offered(ctx, "T1")
		if err != nil || len(tools) != 1 {
			return fmt.Errorf("%d tools, %w", len(tools), err)
		}
		return callOnce(ctx, s, tools[0].Name, tools[0].Pin)
	}
	for range 2 {
		if err := calls(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 2 || got[0] != "Bearer a-1" || got[1] != "Bearer a-1" {
		t.Errorf("the API got %q", got)
	}
	cred, err := s.Vault.Get(t.Context(), "T1", "calendar/default")
	if err != nil || len(cred.Versions) != 2 {
		t.Errorf("the used-up refresh token was not replaced: %+v, %v", cred.Versions, err)
	}
}

// callOnce calls a tool without arguments.
func callOnce(ctx context.Context, s *Store, tool, pin string) error {
	_, err := s.Connections.Call(ctx, connection.Call{Workspace: "T1", Tool: tool, Pin: pin, Class: "read", Args: []byte(`{}`), Thread: "th", Key: "k"})
	return err
}
