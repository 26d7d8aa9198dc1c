package auth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// safe is a vault of one credential.
type safe struct {
	mu      sync.Mutex
	secret  string
	version int64
	gone    bool
}

func (s *safe) Use(_ context.Context, credential string, f func([]byte) error) (int64, error) {
	s.mu.Lock()
	secret, version, gone := s.secret, s.version, s.gone
	s.mu.Unlock()
	if gone || credential != "default" {
		return 0, errors.New("credential " + credential + ": it was revoked")
	}
	return version, f([]byte(secret))
}

func (s *safe) Store(_ context.Context, _ string, secret []byte) error {
	s.rotate(string(secret))
	return nil
}

func (s *safe) rotate(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret, s.version = secret, s.version+1
}

// api is a server that tells what it got, and a token server beside it.
type api struct {
	*httptest.Server
	tokens  *httptest.Server
	mu      sync.Mutex
	got     []*http.Request
	answer  func(w http.ResponseWriter, r *http.Request)
	issue   func(w http.ResponseWriter, r *http.Request)
	fetches atomic.Int64
	flying  atomic.Int64
	most    atomic.Int64
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.got = append(a.got, r)
		a.mu.Unlock()
		if a.answer != nil {
			a.answer(w, r)
		}
	}))
	a.tokens = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := a.flying.Add(1)
		defer a.flying.Add(-1)
		if n > a.most.Load() {
			a.most.Store(n)
		}
		a.fetches.Add(1)
		if a.issue != nil {
			a.issue(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"tok-%d","token_type":"Bearer","expires_in":3600}`, a.fetches.Load())
	}))
	t.Cleanup(a.Close)
	t.Cleanup(a.tokens.Close)
	return a
}

func (a *api) last() *http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.got[len(a.got)-1]
}

// client is an HTTP client with the credential, for the api only.
func (a *api) client(s Spec, vault Secrets, clock func() time.Time, alerts *[]string) (*http.Client, *Transport) {
	host := strings.TrimPrefix(a.URL, "http://")
	tr := New(Options{Spec: s, Secrets: vault, Base: http.DefaultTransport, Tokens: http.DefaultTransport, Clock: clock,
		Hosts: func(u *url.URL) error {
			if u.Host != host {
				return errors.New("not that host")
			}
			return nil
		},
		Alert: func(what string) {
			if alerts != nil {
				*alerts = append(*alerts, what)
			}
		}})
	return &http.Client{Transport: tr}, tr
}

func get(t *testing.T, c *http.Client, address string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func TestStaticKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spec Spec
		want func(r *http.Request) string
		is   string
	}{
		{Spec{Kind: None}, func(r *http.Request) string { return r.Header.Get("Authorization") }, ""},
		{Spec{Kind: Bearer}, func(r *http.Request) string { return r.Header.Get("Authorization") }, "Bearer s3cret"},
		{Spec{Kind: Basic, Username: "agent"}, func(r *http.Request) string { u, p, _ := r.BasicAuth(); return u + " " + p }, "agent s3cret"},
		{Spec{Kind: Header, Header: "X-Api-Key"}, func(r *http.Request) string { return r.Header.Get("X-Api-Key") }, "s3cret"},
		{Spec{Kind: Header, Header: "Authorization", Prefix: "token "}, func(r *http.Request) string { return r.Header.Get("Authorization") }, "token s3cret"},
		{Spec{Kind: Query, Query: "key"}, func(r *http.Request) string { return r.URL.Query().Get("key") + r.URL.Query().Get("a") }, "s3cret1"},
	} {
		t.Run(c.spec.Kind+c.spec.Prefix, func(t *testing.T) {
			t.Parallel()
			a, vault := newAPI(t), &safe{secret: "s3cret", version: 1}
			client, _ := a.client(c.spec, vault, nil, nil)
			if _, err := get(t, client, a.URL+"/x?a=1"); err != nil {
				t.Fatal(err)
			}
			if got := c.want(a.last()); got != c.is {
				t.Errorf("the server got %q, want %q", got, c.is)
			}
			if c.spec.Kind == None {
				return
			}
			vault.rotate("other")
			if _, err := get(t, client, a.URL+"/x?a=1"); err != nil || !strings.Contains(c.want(a.last()), "other") {
				t.Errorf("after a rotation the server got %q, %v", c.want(a.last()), err)
			}
			n := len(a.got)
			vault.gone = true
			if _, err := get(t, client, a.URL+"/x"); err == nil || !strings.Contains(err.Error(), "revoked") || len(a.got) != n {
				t.Errorf("after a revocation: %v, %d requests", err, len(a.got)-n)
			}
			vault.gone = false
			// To another host it does not go, and not into an error either.
			for _, address := range []string{"http://127.0.0.1:1/", a.tokens.URL} {
				if _, err := get(t, client, address); err == nil || strings.Contains(err.Error(), "other") {
					t.Errorf("to %s: %v", address, err)
				}
			}
			a.Close()
			if _, err := get(t, client, a.URL+"/x"); err == nil || strings.Contains(err.Error(), "other") {
				t.Errorf("the server is gone: %v", err)
			}
		})
	}
}

func oauth(a *api) Spec {
	return Spec{Kind: ClientCredentials, TokenURL: a.tokens.URL, ClientID: "agent", Scopes: []string{"read"}, Resource: "https://api.example.com"}
}

// TestFaultsOfTheSDKsHandler re-checks each fault that is known of the SDK's own
// client-credentials handler.
func TestFaultsOfTheSDKsHandler(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	evil := newAPI(t)
	var asked url.Values
	a.issue = func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked = r.Form
		fmt.Fprintf(w, `{"access_token":"tok-%d","token_type":"bearer","expires_in":60}`, a.fetches.Load())
	}
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wider" {
			w.Header().Set("WWW-Authenticate", `Bearer scope="admin:delete_all", resource_metadata="`+evil.URL+`/.well-known/oauth-protected-resource"`)
			w.WriteHeader(http.StatusForbidden)
		}
		if r.URL.Path == "/issuer" {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+evil.URL+`/.well-known/oauth-protected-resource"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	var mu sync.Mutex
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	var alerts []string
	client, _ := a.client(oauth(a), &safe{secret: "s3cret", version: 1}, clock, &alerts)

	// The first request's context ends; requests after it, and after the token's end, work.
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	cancel()
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	if _, err := get(t, client, a.URL); err != nil || a.last().Header.Get("Authorization") != "Bearer tok-2" {
		t.Errorf("after the first context and the token have ended: %v, %q", err, a.last().Header.Get("Authorization"))
	}
	// The resource is named, the scopes are those that were written down.
	if asked.Get("resource") != "https://api.example.com" || asked.Get("scope") != "read" {
		t.Errorf("it asked for %v", asked)
	}
	// A demand for more, or for another issuer, gets nothing.
	for _, path := range []string{"/wider", "/issuer"} {
		if status, err := get(t, client, a.URL+path); err != nil || status != 403 && status != 401 {
			t.Errorf("%s: %d, %v", path, status, err)
		}
	}
	if asked.Get("scope") != "read" || evil.fetches.Load() != 0 || len(evil.got) != 0 {
		t.Errorf("after the demands it asked for %v, and the other issuer got %d requests", asked, len(evil.got))
	}
	if len(alerts) < 3 || !strings.Contains(alerts[0], "admin:delete_all") {
		t.Errorf("alerts: %q", alerts)
	}
	// A token with wider scopes than asked for is not used.
	a.issue = func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"access_token":"wide","token_type":"bearer","scope":"read admin"}`)
	}
	wide, _ := a.client(oauth(a), &safe{secret: "s3cret", version: 1}, clock, &alerts)
	if _, err := get(t, wide, a.URL); err == nil || !strings.Contains(err.Error(), "wider scopes") {
		t.Errorf("a token with wider scopes: %v", err)
	}
	// A redirect of the token server is not followed with the secret.
	a.issue = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, evil.URL, http.StatusTemporaryRedirect)
	}
	moved, _ := a.client(oauth(a), &safe{secret: "s3cret", version: 1}, clock, nil)
	if _, err := get(t, moved, a.URL); err == nil || strings.Contains(err.Error(), "s3cret") || len(evil.got)+int(evil.fetches.Load()) != 0 {
		t.Errorf("a token server that redirects: %v", err)
	}
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bodies := []string{}
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 10)
		n, _ := r.Body.Read(b)
		bodies = append(bodies, string(b[:n]))
		if r.Header.Get("Authorization") != "Bearer tok-2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	client, _ := a.client(oauth(a), &safe{secret: "s3cret", version: 1}, nil, nil)
	post := func() int {
		resp, err := client.Post(a.URL, "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := post(); got != 200 || len(bodies) != 2 || bodies[1] != "hello" {
		t.Errorf("401, then 200: %d after %q", got, bodies)
	}
	a.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
	before := len(a.got)
	if got := post(); got != 401 || len(a.got)-before != 2 {
		t.Errorf("401 for ever: %d after %d requests", got, len(a.got)-before)
	}
}

func TestKeysOfOtherKinds(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pemKey := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	a := newAPI(t)
	var claims jwt.MapClaims
	var path string
	a.issue = func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		path = r.URL.Path
		text := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if text == "" {
			text = r.Form.Get("assertion")
		}
		claims = jwt.MapClaims{}
		if _, err := jwt.NewParser(jwt.WithoutClaimsValidation()).ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil }); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"token":"ghs_abc","access_token":"ya29.abc","expires_at":"2026-11-24T10:00:00Z","expires_in":3599}`)
	}
	clock := func() time.Time { return time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC) }
	app := Spec{Kind: GitHubApp, App: "12", Installation: "34", APIURL: a.tokens.URL, Repositories: []string{"one"}}
	client, _ := a.client(app, &safe{secret: pemKey, version: 1}, clock, nil)
	if _, err := get(t, client, a.URL); err != nil || a.last().Header.Get("Authorization") != "Bearer ya29.abc" || path != "/app/installations/34/access_tokens" || claims["iss"] != "12" {
		t.Errorf("GitHub App: %v, %q, %s, %v", err, a.last().Header.Get("Authorization"), path, claims)
	}
	file, err := json.Marshal(map[string]string{"client_email": "agent@p.iam", "private_key": pemKey, "private_key_id": "k1", "token_uri": a.tokens.URL})
	if err != nil {
		t.Fatal(err)
	}
	account := Spec{Kind: GCPServiceAccount, TokenURL: a.tokens.URL, Scopes: []string{"https://www.googleapis.com/auth/calendar.readonly"}}
	client, _ = a.client(account, &safe{secret: string(file), version: 1}, clock, nil)
	if _, err := get(t, client, a.URL); err != nil || claims["iss"] != "agent@p.iam" || claims["scope"] != account.Scopes[0] || claims["aud"] != a.tokens.URL {
		t.Errorf("service account: %v, %v", err, claims)
	}
	account.TokenURL = "" // the key file's own address is not believed
	client, _ = a.client(account, &safe{secret: string(file), version: 1}, clock, nil)
	if _, err := get(t, client, a.URL); err == nil || !strings.Contains(err.Error(), "another token address") {
		t.Errorf("a key file with an address of its own: %v", err)
	}
	aws := Spec{Kind: SigV4, Region: "eu-central-1", Service: "execute-api"}
	client, _ = a.client(aws, &safe{secret: "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", version: 1}, clock, nil)
	if _, err := get(t, client, a.URL+"/x?b=2&a=1"); err != nil {
		t.Fatal(err)
	}
	if got := a.last().Header.Get("Authorization"); !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261124/eu-central-1/execute-api/aws4_request, SignedHeaders=") {
		t.Errorf("sigv4: %q", got)
	}
	for _, s := range []Spec{app, account, aws} {
		client, _ = a.client(s, &safe{secret: "not a key", version: 1}, clock, nil)
		if _, err := get(t, client, a.URL); err == nil || strings.Contains(err.Error(), "not a key") {
			t.Errorf("%s with a wrong secret: %v", s.Kind, err)
		}
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var asked url.Values
	a.issue = func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked = r.Form
		fmt.Fprintf(w, `{"access_token":"tok-%d","token_type":"bearer","expires_in":60,"refresh_token":"ref-%d"}`, a.fetches.Load(), a.fetches.Load())
	}
	s := Spec{Kind: AuthorizationCode, TokenURL: a.tokens.URL, AuthorizeURL: "https://id.example.com/authorize", Issuer: "https://id.example.com", ClientID: "agent", Scopes: []string{"read"}}
	q, err := s.Ask("http://127.0.0.1/cb")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(q.URL)
	if err != nil || u.Query().Get("code_challenge_method") != "S256" || u.Query().Get("state") == "" || strings.Contains(q.URL, q.verifier) {
		t.Fatalf("the address is %s", q.URL)
	}
	for name, answer := range map[string]url.Values{
		"another state":  {"code": {"c"}, "state": {"x"}, "iss": {s.Issuer}},
		"another issuer": {"code": {"c"}, "state": {q.state}, "iss": {"https://evil.example"}},
		"no issuer":      {"code": {"c"}, "state": {q.state}},
		"refused":        {"error": {"access_denied"}, "state": {q.state}, "iss": {s.Issuer}},
	} {
		if _, err := s.Given(t.Context(), q, answer, "", http.DefaultTransport); err == nil || a.fetches.Load() != 0 {
			t.Errorf("%s: %v, %d redeemed", name, err, a.fetches.Load())
		}
	}
	secret, err := s.Given(t.Context(), q, url.Values{"code": {"c"}, "state": {q.state}, "iss": {s.Issuer}}, "", http.DefaultTransport)
	if err != nil || asked.Get("code_verifier") != q.verifier {
		t.Fatalf("%v, %v", err, asked)
	}
	vault := &safe{secret: string(secret), version: 1}
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	client, _ := a.client(s, vault, func() time.Time { return now }, nil)
	for range 3 {
		if _, err := get(t, client, a.URL); err != nil {
			t.Fatal(err)
		}
	}
	if a.fetches.Load() != 2 || asked.Get("refresh_token") != "ref-1" || !strings.Contains(vault.secret, "ref-2") {
		t.Errorf("%d fetches, the last with %q; kept is %s", a.fetches.Load(), asked.Get("refresh_token"), vault.secret)
	}
	now = now.Add(time.Hour)
	a.issue = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
	}
	if _, err := get(t, client, a.URL); err == nil || !strings.Contains(err.Error(), "consent") {
		t.Errorf("a consent that was withdrawn: %v", err)
	}
}

// TestHundredConnectionsRefreshUnderLoad: tokens that end all the time, secrets
// that are rotated meanwhile, and a token server that fails now and then. No call is
// lost, none carries a token that is over, and each connection refreshes once at a time.
func TestHundredConnectionsRefreshUnderLoad(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC).UnixNano())
	now := func() time.Time { return time.Unix(0, clock.Load()) }
	type far struct {
		*api
		vault  *safe
		client *http.Client
		twice  atomic.Int64
	}
	var all []*far
	var late, wrong atomic.Int64
	for i := range 100 {
		f := &far{api: newAPI(t), vault: &safe{secret: fmt.Sprintf("s%d-1", i), version: 1}}
		f.issue = func(w http.ResponseWriter, r *http.Request) {
			if f.flying.Load() > 1 {
				f.twice.Add(1)
			}
			if f.fetches.Load()%5 == 0 {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			_, secret, _ := r.BasicAuth()
			if !strings.HasPrefix(secret, fmt.Sprintf("s%d-", i)) {
				wrong.Add(1)
			}
			fmt.Fprintf(w, `{"access_token":"t%d-%d","token_type":"bearer","expires_in":10}`, i, now().Add(10*time.Second).UnixNano())
		}
		f.answer = func(_ http.ResponseWriter, r *http.Request) {
			var who int
			var until int64
			if n, _ := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer t%d-%d", &who, &until); n != 2 || who != i {
				wrong.Add(1)
			} else if now().UnixNano() > until+int64(3*time.Second) { // it may have ended on the way
				late.Add(1)
			}
		}
		f.client, _ = f.api.client(oauth(f.api), f.vault, now, nil)
		all = append(all, f)
	}
	const each = 40
	var lost atomic.Int64
	var wg sync.WaitGroup
	for i, f := range all {
		for range 2 {
			wg.Go(func() {
				for n := range each {
					if n == each/2 {
						f.vault.rotate(fmt.Sprintf("s%d-2", i))
					}
					resp, err := f.client.Get(f.URL)
					if err != nil {
						lost.Add(1)
						t.Log(err)
						continue
					}
					if resp.StatusCode != http.StatusOK {
						lost.Add(1)
					}
					_ = resp.Body.Close()
					clock.Add(int64(time.Millisecond) * 4)
				}
			})
		}
	}
	wg.Wait()
	fetched := int64(0)
	for i, f := range all {
		fetched += f.fetches.Load()
		if f.twice.Load() > 0 {
			t.Errorf("connection %d refreshed twice at a time", i)
		}
	}
	if lost.Load() != 0 || wrong.Load() != 0 || late.Load() != 0 {
		t.Errorf("of %d calls %d were lost, %d carried another's credential, %d one that was over", 100*2*each, lost.Load(), wrong.Load(), late.Load())
	}
	t.Logf("%d calls, %d tokens", 100*2*each, fetched)
}
