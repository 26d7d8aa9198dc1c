// Package auth puts the agent's own credential on the requests of a connection.
//
// It promises that a credential goes only to the hosts that it is for, that a
// rotation or a revocation counts from the next request on, that tokens come from
// the address that an admin wrote down and carry the scopes that an admin wrote
// down, whatever a server asks for, and that one refresh at a time serves everybody
// who waits. It must never show a secret or a token in an error, and never follow a
// server's word to another issuer, another scope or another address.
//
// Sources: RFC 6749, 6750, 7523, 7636, 8707, 9207; the SDK's own handlers lack what
// is promised here.
package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kinds of credential.
const (
	None              = "none"
	Bearer            = "bearer"              // Authorization: Bearer SECRET
	Basic             = "basic"               // username and SECRET
	Header            = "header"              // a header of its own, with a prefix if need be
	Query             = "query"               // a parameter of the address
	ClientCredentials = "client_credentials"  // OAuth 2.0: SECRET is the client's
	AuthorizationCode = "authorization_code"  // OAuth 2.0 with PKCE: an admin consents once; SECRET is a Consent
	GitHubApp         = "github_app"          // SECRET is the app's private key, PEM
	GCPServiceAccount = "gcp_service_account" // SECRET is the key file, JSON
	SigV4             = "sigv4"               // SECRET is ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]
)

var kinds = []string{None, Bearer, Basic, Header, Query, ClientCredentials, AuthorizationCode, GitHubApp, GCPServiceAccount, SigV4}

// Spec is the auth part of a connection. It holds no secret, only the name of the
// credential that does.
type Spec struct {
	Kind         string   `yaml:"kind" json:"kind"`
	Credential   string   `yaml:"credential,omitempty" json:"credential,omitempty"`       // name; "" is default
	Username     string   `yaml:"username,omitempty" json:"username,omitempty"`           // basic
	Header       string   `yaml:"header,omitempty" json:"header,omitempty"`               // header: its name
	Prefix       string   `yaml:"prefix,omitempty" json:"prefix,omitempty"`               // header: before the secret
	Query        string   `yaml:"query,omitempty" json:"query,omitempty"`                 // query: name of the parameter
	TokenURL     string   `yaml:"token_url,omitempty" json:"token_url,omitempty"`         // OAuth
	AuthorizeURL string   `yaml:"authorize_url,omitempty" json:"authorize_url,omitempty"` // authorization_code
	Issuer       string   `yaml:"issuer,omitempty" json:"issuer,omitempty"`               // authorization_code: what iss must be
	ClientID     string   `yaml:"client_id,omitempty" json:"client_id,omitempty"`         // OAuth
	Scopes       []string `yaml:"scopes,omitempty" json:"scopes,omitempty"`               // exactly these, never more
	Resource     string   `yaml:"resource,omitempty" json:"resource,omitempty"`           // OAuth: RFC 8707
	Post         bool     `yaml:"post,omitempty" json:"post,omitempty"`                   // OAuth: the client's secret in the body, not in a header
	App          string   `yaml:"app,omitempty" json:"app,omitempty"`                     // github_app: id of the app
	Installation string   `yaml:"installation,omitempty" json:"installation,omitempty"`   // github_app: id of the installation
	Repositories []string `yaml:"repositories,omitempty" json:"repositories,omitempty"`   // github_app: only these, by name
	APIURL       string   `yaml:"api_url,omitempty" json:"api_url,omitempty"`             // github_app; "" is https://api.github.com
	Region       string   `yaml:"region,omitempty" json:"region,omitempty"`               // sigv4
	Service      string   `yaml:"service,omitempty" json:"service,omitempty"`             // sigv4
}

// Name is the name of the credential, "" for none.
func (s Spec) Name() string {
	switch {
	case s.Kind == "" || s.Kind == None:
		return ""
	case s.Credential == "":
		return "default"
	}
	return s.Credential
}

// Check says everything that is wrong, each beginning with "auth".
func (s Spec) Check(private bool) []string {
	var out []string
	need := func(ok bool, what string) {
		if !ok {
			out = append(out, "auth: "+s.Kind+" needs "+what)
		}
	}
	if s.Kind != "" && !slices.Contains(kinds, s.Kind) {
		return []string{"auth: kind must be one of " + strings.Join(kinds, ", ")}
	}
	switch s.Kind {
	case Basic:
		need(s.Username != "", "username")
	case Header:
		need(goodHeader(s.Header), "header, the name of one")
	case Query:
		need(s.Query != "", "query, the name of a parameter")
	case ClientCredentials:
		need(s.TokenURL != "" && s.ClientID != "", "token_url and client_id")
	case AuthorizationCode:
		need(s.TokenURL != "" && s.ClientID != "" && s.AuthorizeURL != "", "authorize_url, token_url and client_id")
	case GitHubApp:
		need(digits(s.App) && digits(s.Installation), "app and installation, which are numbers")
	case GCPServiceAccount:
		need(len(s.Scopes) > 0, "scopes")
	case SigV4:
		need(s.Region != "" && s.Service != "", "region and service")
	}
	for name, address := range map[string]string{"token_url": s.TokenURL, "authorize_url": s.AuthorizeURL, "api_url": s.APIURL} {
		if address == "" {
			continue
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(private && u.Scheme == "http") {
			out = append(out, "auth: "+name+" must be an https address")
		}
	}
	return out
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func goodHeader(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// TokenHosts are the hosts, with ports where they are not those of the scheme, that
// tokens are got from.
func (s Spec) TokenHosts() []string {
	var out []string
	for _, address := range []string{s.TokenURL, s.apiURL()} {
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			out = append(out, u.Host)
		}
	}
	if s.Kind == GCPServiceAccount && s.TokenURL == "" {
		out = append(out, googleToken)
	}
	return out
}

func (s Spec) apiURL() string {
	switch {
	case s.Kind != GitHubApp:
		return ""
	case s.APIURL == "":
		return "https://api.github.com"
	}
	return strings.TrimRight(s.APIURL, "/")
}

// Secrets opens the credential of one connection: f gets it for as long as it runs
// and must not keep it. The version changes with every rotation.
type Secrets interface {
	Use(ctx context.Context, credential string, f func(secret []byte) error) (version int64, err error)
	// Store replaces the credential, for refresh tokens that are used up by use.
	Store(ctx context.Context, credential string, secret []byte) error
}

// Options are what a Transport works with.
type Options struct {
	Spec    Spec
	Secrets Secrets
	Base    http.RoundTripper // to the connection's hosts
	Tokens  http.RoundTripper // to Spec.TokenHosts
	Hosts   func(u *url.URL) error
	Clock   func() time.Time
	// Alert is told of what a server demands and does not get.
	Alert func(what string)
}

// Transport is an http.RoundTripper that adds the credential. It is safe for
// concurrent use.
type Transport struct {
	o      Options
	client *http.Client // for tokens

	mu      sync.Mutex
	token   token
	pending *refresh
}

// token is an access token and what it was made from.
type token struct {
	value   string
	version int64 // of the credential
	got     time.Time
	until   time.Time // zero: not told
}

// refresh is one that is under way.
type refresh struct {
	done  chan struct{}
	token token
	err   error
}

// New returns the transport of a connection.
func New(o Options) *Transport {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Alert == nil {
		o.Alert = func(string) {}
	}
	t := &Transport{o: o}
	t.client = &http.Client{Transport: o.Tokens, Timeout: refreshTime, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("a token server must not redirect")
	}}
	return t
}

// Bounds of a refresh.
const (
	refreshTime = 20 * time.Second
	refreshes   = 3        // tries
	mostToken   = 64 << 10 // bytes of an answer
)

// RoundTrip implements http.RoundTripper. A request whose credential is refused is
// sent once more with a new token, if its body can be read again.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.o.Hosts(r.URL); err != nil {
		closeBody(r)
		return nil, err
	}
	signed, used, err := t.sign(r, token{})
	if err != nil {
		closeBody(r)
		return nil, &credentialError{err}
	}
	resp, err := t.o.Base.RoundTrip(signed)
	if err != nil {
		return nil, t.clean(err)
	}
	t.look(resp)
	if resp.StatusCode != http.StatusUnauthorized || used.value == "" || r.Body != nil && r.GetBody == nil {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, mostToken)
	_ = resp.Body.Close()
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	if signed, _, err = t.sign(again, used); err != nil {
		return nil, &credentialError{err}
	}
	if resp, err = t.o.Base.RoundTrip(signed); err != nil {
		return nil, t.clean(err)
	}
	return resp, nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// credentialError is a request that was not sent, for want of a credential.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

// NotSent tells that nothing of the request has left.
func (e *credentialError) NotSent() bool { return true }

// clean is an error without the address, which may hold the credential.
func (t *Transport) clean(err error) error {
	var u *url.Error
	if t.o.Spec.Kind == Query && errors.As(err, &u) {
		return u.Err
	}
	return err
}

// look notes what a server demands of us beyond what an admin wrote down.
func (t *Transport) look(resp *http.Response) {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return
	}
	for _, c := range resp.Header.Values("WWW-Authenticate") {
		for _, word := range []string{"scope=", "resource_metadata="} {
			i := strings.Index(strings.ToLower(c), word)
			if i < 0 {
				continue
			}
			value, _, _ := strings.Cut(strings.TrimLeft(c[i+len(word):], `"`), `"`)
			if word == "scope=" && within(strings.Fields(value), t.o.Spec.Scopes) {
				continue
			}
			if len(value) > 200 {
				value = value[:200] + "…"
			}
			t.o.Alert(fmt.Sprintf("the server demands %s%q; it does not get it", word, value))
		}
	}
}

func within(words, all []string) bool {
	for _, w := range words {
		if !slices.Contains(all, w) {
			return false
		}
	}
	return true
}

// sign is a clone of r with the credential. refused is a token that was not taken:
// another one is got.
func (t *Transport) sign(r *http.Request, refused token) (*http.Request, token, error) {
	out := r.Clone(r.Context())
	s := t.o.Spec
	if s.Kind == "" || s.Kind == None {
		return out, token{}, nil
	}
	out.Header.Del("Authorization")
	switch s.Kind {
	case Bearer, Basic, Header, Query, SigV4:
		_, err := t.o.Secrets.Use(r.Context(), s.Name(), func(secret []byte) error { return s.static(out, string(secret), t.o.Clock()) })
		return out, token{}, err
	}
	got, err := t.get(r.Context(), refused)
	if err == nil {
		out.Header.Set("Authorization", "Bearer "+got.value)
	}
	return out, got, err
}

// static puts a secret on a request as it is, or signs with it.
func (s Spec) static(r *http.Request, secret string, now time.Time) error {
	if s.Kind != SigV4 && strings.ContainsAny(secret, "\r\n\x00") {
		return errors.New("the credential holds a line end: store it without")
	}
	switch s.Kind {
	case Bearer:
		r.Header.Set("Authorization", "Bearer "+secret)
	case Basic:
		r.SetBasicAuth(s.Username, secret)
	case Header:
		r.Header.Set(s.Header, s.Prefix+secret)
	case Query:
		q := r.URL.Query()
		q.Set(s.Query, secret)
		u := *r.URL
		u.RawQuery = q.Encode()
		r.URL = &u
	case SigV4:
		return s.sigv4(r, secret, now)
	}
	return nil
}

// get is a token that can be used now. Whoever waits for a refresh may give up; the
// refresh goes on for the others.
func (t *Transport) get(ctx context.Context, refused token) (token, error) {
	// The vault is asked each time: what was revoked or rotated counts at once.
	version, err := t.o.Secrets.Use(ctx, t.o.Spec.Name(), func([]byte) error { return nil })
	if err != nil {
		return token{}, err
	}
	t.mu.Lock()
	now := t.o.Clock()
	have := t.token
	usable := have.value != "" && have.version == version && have.value != refused.value && (have.until.IsZero() || now.Before(have.until))
	if usable && (have.until.IsZero() || now.Sub(have.got) < have.until.Sub(have.got)*4/5) {
		t.mu.Unlock()
		return have, nil
	}
	p := t.pending
	if p == nil {
		p = &refresh{done: make(chan struct{})}
		t.pending = p
		go t.refresh(p, version)
	}
	t.mu.Unlock()
	if usable {
		return have, nil // it is good for a while yet, and the next one is on its way
	}
	select {
	case <-p.done:
		return p.token, p.err
	case <-ctx.Done():
		return token{}, context.Cause(ctx)
	}
}

// refresh gets a token, in time of its own: no caller's end ends it.
func (t *Transport) refresh(p *refresh, version int64) {
	ctx, cancel := context.WithTimeout(context.Background(), refreshTime)
	defer cancel()
	for try := 1; ; try++ {
		p.token, p.err = t.fetch(ctx)
		var passing *passingError
		if p.err == nil || !errors.As(p.err, &passing) || try == refreshes {
			break
		}
		timer := time.NewTimer(time.Duration(try) * 50 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	if p.err != nil {
		p.err = fmt.Errorf("get a token: %w", p.err)
	}
	t.mu.Lock()
	if p.err == nil {
		t.token = p.token
	}
	t.pending = nil
	t.mu.Unlock()
	close(p.done)
}
