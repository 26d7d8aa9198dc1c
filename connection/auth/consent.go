package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Consent is the secret of authorization_code, as JSON.
type Consent struct {
	RefreshToken string `json:"refresh_token"`
	ClientSecret string `json:"client_secret,omitempty"` // of a confidential client
}

// Asked is a consent that an admin was asked for and has not given yet.
type Asked struct {
	URL      string // for the admin's browser
	state    string
	verifier string
	redirect string
}

// Ask makes the address at which an admin, logged in as the agent's account,
// consents once. redirect is where the answer comes.
func (s Spec) Ask(redirect string) (Asked, error) {
	a := Asked{state: random(), verifier: random(), redirect: redirect}
	u, err := url.Parse(s.AuthorizeURL)
	if err != nil {
		return a, errors.New("authorize_url is no address")
	}
	sum := sha256.Sum256([]byte(a.verifier))
	q := u.Query()
	for k, v := range map[string]string{"response_type": "code", "client_id": s.ClientID, "redirect_uri": redirect, "state": a.state, "scope": strings.Join(s.Scopes, " "),
		"resource": s.Resource, "code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method": "S256"} {
		if v != "" {
			q.Set(k, v)
		}
	}
	u.RawQuery = q.Encode()
	a.URL = u.String()
	return a, nil
}

func random() string {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		panic(err) // it never fails
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// Given takes the answer that came to the redirect address and gives the secret to
// store. clientSecret is that of a confidential client, "" for a public one.
func (s Spec) Given(ctx context.Context, a Asked, answer url.Values, clientSecret string, over http.RoundTripper) ([]byte, error) {
	switch {
	case subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(a.state)) != 1:
		return nil, errors.New("this is not the answer to what was asked: start again")
	case answer.Get("error") != "":
		return nil, fmt.Errorf("the consent was not given: %s", word(answer.Get("error")))
	case s.Issuer != "" && answer.Get("iss") != s.Issuer:
		return nil, errors.New("the answer comes from another issuer than the connection names") // RFC 9207 §2.4
	case answer.Get("code") == "":
		return nil, errors.New("the answer holds no code")
	}
	values := url.Values{"grant_type": {"authorization_code"}, "code": {answer.Get("code")}, "redirect_uri": {a.redirect}, "code_verifier": {a.verifier}}
	plain := s
	plain.Scopes = nil // they were asked for
	r, err := plain.form(ctx, values, clientSecret)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: over, Timeout: refreshTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("redeem the code: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostToken))
	if err != nil {
		return nil, fmt.Errorf("redeem the code: %w", err)
	}
	got, err := (&Transport{o: Options{Spec: s, Alert: func(string) {}}}).answered(resp.StatusCode, body)
	if err != nil {
		return nil, fmt.Errorf("redeem the code: %w", err)
	}
	if got.refresh == "" {
		return nil, errors.New("the server gave no refresh token, so the consent would end within the hour: ask for the scope that gives one (often offline_access)")
	}
	return json.Marshal(Consent{RefreshToken: got.refresh, ClientSecret: clientSecret})
}

func (s Spec) refreshToken(ctx context.Context, c Consent) (*http.Request, error) {
	return s.form(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.RefreshToken}}, c.ClientSecret)
}
