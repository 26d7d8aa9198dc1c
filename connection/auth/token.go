package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/golang-jwt/jwt/v5"
)

// googleToken is the host of Google's token endpoint.
const googleToken = "oauth2.googleapis.com"

// passingError is a failure to get a token that may pass.
type passingError struct{ err error }

func (e *passingError) Error() string { return e.err.Error() }
func (e *passingError) Unwrap() error { return e.err }

// fetch gets a new token by the spec. What it was made from is opened for as long
// as the request is built.
func (t *Transport) fetch(ctx context.Context) (token, error) {
	var req *http.Request
	var consent Consent
	version, err := t.o.Secrets.Use(ctx, t.o.Spec.Name(), func(secret []byte) error {
		var err error
		switch t.o.Spec.Kind {
		case ClientCredentials:
			req, err = t.o.Spec.clientCredentials(ctx, string(secret))
		case AuthorizationCode:
			if err = json.Unmarshal(secret, &consent); err != nil || consent.RefreshToken == "" {
				return errors.New("nobody has consented yet: deskmate connection consent")
			}
			req, err = t.o.Spec.refreshToken(ctx, consent)
		case GitHubApp:
			req, err = t.o.Spec.githubApp(ctx, secret, t.o.Clock())
		case GCPServiceAccount:
			req, err = t.o.Spec.serviceAccount(ctx, secret, t.o.Clock())
		default:
			err = fmt.Errorf("%s has no tokens", t.o.Spec.Kind)
		}
		return err
	})
	if err != nil {
		return token{}, err
	}
	resp, err := t.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address is the admin's; what is in it need not be told
		}
		return token{}, &passingError{err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostToken))
	if err != nil {
		return token{}, &passingError{err}
	}
	got, err := t.answered(resp.StatusCode, body)
	if err != nil {
		return token{}, err
	}
	if got.refresh != "" && got.refresh != consent.RefreshToken {
		// The old one is used up. What cannot be stored is not used: the next start
		// would have nothing.
		consent.RefreshToken = got.refresh
		b, err := json.Marshal(consent)
		if err != nil {
			return token{}, err
		}
		if err := t.o.Secrets.Store(ctx, t.o.Spec.Name(), b); err != nil {
			return token{}, fmt.Errorf("keep the new refresh token: %w", err)
		}
		if version, err = t.o.Secrets.Use(ctx, t.o.Spec.Name(), func([]byte) error { return nil }); err != nil {
			return token{}, err
		}
	}
	now := t.o.Clock()
	out := token{value: got.access, version: version, got: now}
	if got.life > 0 {
		out.until = now.Add(min(got.life, 24*time.Hour))
	} else if !got.until.IsZero() {
		out.until = got.until
	}
	return out, nil
}

type answer struct {
	access, refresh string
	life            time.Duration
	until           time.Time
}

// answered reads a token server's answer: RFC 6749 §5, and GitHub's own form.
func (t *Transport) answered(status int, body []byte) (answer, error) {
	var a struct {
		Access  string      `json:"access_token"`
		Token   string      `json:"token"` // GitHub
		Until   time.Time   `json:"expires_at"`
		Type    string      `json:"token_type"`
		Life    json.Number `json:"expires_in"`
		Refresh string      `json:"refresh_token"`
		Scope   string      `json:"scope"`
		Error   string      `json:"error"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	err := d.Decode(&a)
	switch {
	case status == http.StatusTooManyRequests || status >= 500:
		return answer{}, &passingError{fmt.Errorf("the token server answered with HTTP %d", status)}
	case a.Error == "invalid_grant" && t.o.Spec.Kind == AuthorizationCode:
		return answer{}, errors.New("the consent does not hold any more: an admin has to give it again with deskmate connection consent")
	case status < 200 || status >= 300:
		return answer{}, fmt.Errorf("the token server answered with HTTP %d (%s): check the credential", status, word(a.Error))
	case err != nil:
		return answer{}, &passingError{errors.New("the token server's answer is not what RFC 6749 says")}
	}
	if a.Access == "" {
		a.Access = a.Token
	}
	switch {
	case a.Access == "" || strings.ContainsAny(a.Access, " \r\n\x00"):
		return answer{}, errors.New("the token server gave no token")
	case a.Type != "" && !strings.EqualFold(a.Type, "bearer"):
		return answer{}, fmt.Errorf("the token server gave a token of the type %s; only bearer tokens are used", word(a.Type))
	case a.Scope != "" && len(t.o.Spec.Scopes) > 0 && !within(strings.FieldsFunc(a.Scope, func(r rune) bool { return r == ' ' || r == ',' }), t.o.Spec.Scopes):
		t.o.Alert("the token server gave wider scopes than were asked for: " + word(a.Scope))
		return answer{}, errors.New("the token server gave wider scopes than an admin wrote down")
	}
	out := answer{access: a.Access, refresh: a.Refresh, until: a.Until}
	if n, err := a.Life.Int64(); err == nil && n > 0 {
		out.life = time.Duration(min(n, 86400)) * time.Second
	}
	return out, nil
}

// word is a short text of a server, for an error.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "no reason given"
	}
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return s
}

func (s Spec) form(ctx context.Context, values url.Values, secret string) (*http.Request, error) {
	if len(s.Scopes) > 0 {
		values.Set("scope", strings.Join(s.Scopes, " "))
	}
	if s.Resource != "" {
		values.Set("resource", s.Resource)
	}
	if s.Post || secret == "" {
		values.Set("client_id", s.ClientID)
		if secret != "" {
			values.Set("client_secret", secret)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.TokenURL, strings.NewReader(values.Encode()))
	if err != nil {
		return nil, errors.New("token_url is no address")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if !s.Post && secret != "" { // RFC 6749 §2.3.1
		r.SetBasicAuth(url.QueryEscape(s.ClientID), url.QueryEscape(secret))
	}
	return r, nil
}

func (s Spec) clientCredentials(ctx context.Context, secret string) (*http.Request, error) {
	return s.form(ctx, url.Values{"grant_type": {"client_credentials"}}, secret)
}

// githubApp asks for an installation token: one hour, for the app's installation or
// less of it. Source: docs.github.com, "Authenticating as a GitHub App installation".
func (s Spec) githubApp(ctx context.Context, secret []byte, now time.Time) (*http.Request, error) {
	key, err := jwt.ParseRSAPrivateKeyFromPEM(secret)
	if err != nil {
		return nil, errors.New("the credential is not the private key of an app (PEM)")
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(), "iss": s.App}).SignedString(key)
	if err != nil {
		return nil, errors.New("the app's key cannot sign")
	}
	ask := map[string]any{}
	if len(s.Repositories) > 0 {
		ask["repositories"] = s.Repositories
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.apiURL()+"/app/installations/"+s.Installation+"/access_tokens", bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("api_url is no address")
	}
	r.Header.Set("Authorization", "Bearer "+signed)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

// serviceAccount asks for a token by a signed assertion (RFC 7523 §2.1). The key
// file names where; it is believed only if that is Google's or the admin's address.
func (s Spec) serviceAccount(ctx context.Context, secret []byte, now time.Time) (*http.Request, error) {
	var file struct {
		Email string `json:"client_email"`
		Key   string `json:"private_key"`
		ID    string `json:"private_key_id"`
		URI   string `json:"token_uri"`
	}
	if json.Unmarshal(secret, &file) != nil || file.Email == "" {
		return nil, errors.New("the credential is not the key file of a service account (JSON)")
	}
	where := s.TokenURL
	if where == "" {
		where = "https://" + googleToken + "/token"
	}
	if file.URI != "" && file.URI != where {
		return nil, errors.New("the key file names another token address than the connection: it is not used")
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(file.Key))
	if err != nil {
		return nil, errors.New("the key file holds no private key")
	}
	assertion := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"iss": file.Email, "scope": strings.Join(s.Scopes, " "), "aud": where,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	assertion.Header["kid"] = file.ID
	signed, err := assertion.SignedString(key)
	if err != nil {
		return nil, errors.New("the service account's key cannot sign")
	}
	body := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {signed}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, where, strings.NewReader(body))
	if err != nil {
		return nil, errors.New("token_url is no address")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}

// sigv4 signs a request for AWS. The body is read for its hash and put back.
func (s Spec) sigv4(r *http.Request, secret string, now time.Time) error {
	parts := strings.SplitN(strings.TrimSpace(secret), ":", 3)
	if len(parts) < 2 {
		return errors.New("the credential must be ACCESS_KEY_ID:SECRET_ACCESS_KEY, with :SESSION_TOKEN if there is one")
	}
	keys := aws.Credentials{AccessKeyID: parts[0], SecretAccessKey: parts[1]}
	if len(parts) == 3 {
		keys.SessionToken = parts[2]
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, 16<<20)); err != nil {
			return errors.New("the request's body cannot be read")
		}
		_ = r.Body.Close()
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash)
	if err := v4.NewSigner().SignHTTP(r.Context(), keys, r, hash, s.Service, s.Region, now.UTC()); err != nil {
		return errors.New("the request cannot be signed")
	}
	return nil
}
