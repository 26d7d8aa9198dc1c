package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"deskmate/connection/auth"
	"deskmate/connection/egress"
	"deskmate/identity/vault"
)

type connectionConsent struct {
	connectionName
	Callback     string `default:"127.0.0.1:0" help:"HOST:PORT on this machine that the answer comes to; port 0 picks one." placeholder:"HOST:PORT"`
	Confidential bool   `help:"The client has a secret: it is read from standard input, or asked for."`
	Owner        string `required:"" help:"The human who answers for the credential: Slack user id." placeholder:"U…"`
	Why          string `required:"" help:"What it is for; reviewers read it."`
}

// Help implements kong.HelpProvider.
func (connectionConsent) Help() string {
	return "Example: deskmate connection consent calendar --owner U012AB3CD --why 'reads the team calendar'\n\n" +
		"Open the address that is printed in a browser where you are logged in as the agent's own account, never as yourself."
}

// consentTime is how long an admin has.
const consentTime = 10 * time.Minute

func (c *connectionConsent) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		got, err := s.Connections.Get(r, workspace, c.Name)
		if err != nil {
			return err
		}
		spec := got.Spec.Auth
		if spec.Kind != auth.AuthorizationCode {
			return fmt.Errorf("%s does not use %s", c.Name, auth.AuthorizationCode)
		}
		secret := ""
		if c.Confidential {
			b, err := secretOf(r)
			if err != nil {
				return err
			}
			secret = string(b)
		}
		tokens := egress.Rules{Hosts: spec.TokenHosts(), Private: got.Spec.Private}
		given, err := c.ask(r, spec, secret, tokens.Transport())
		if err != nil {
			return err
		}
		by := human(r.Getenv)
		a := addition{Connection: c.Name, Name: spec.Name(), Owner: c.Owner, Why: c.Why}
		had, err := s.Vault.Get(r, workspace, c.Name+"/"+spec.Name())
		if errors.Is(err, vault.ErrNoCredential) {
			had, err = s.Vault.Add(r, by, a.of(workspace), given)
		} else if err == nil {
			had, err = s.Vault.Rotate(r, by, workspace, had.ID, given, time.Time{}, 0)
		}
		if err != nil {
			return err
		}
		return c.print(r, had)
	})
}

// ask prints the address and waits for the answer.
func (c *connectionConsent) ask(r *run, spec auth.Spec, secret string, over http.RoundTripper) ([]byte, error) {
	listener, err := net.Listen("tcp", c.Callback)
	if err != nil {
		return nil, fmt.Errorf("listen for the answer: %w", err)
	}
	asked, err := spec.Ask("http://" + listener.Addr().String() + "/consent")
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	answers := make(chan url.Values, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/consent" || req.Method != http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintln(w, "Thank you. The terminal says whether it worked; this page can be closed.")
		select {
		case answers <- req.URL.Query():
		default:
		}
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	fmt.Fprintf(r.Errors, "Open this where you are logged in as the agent's own account:\n%s\n", asked.URL)
	ctx, cancel := context.WithTimeoutCause(r, consentTime, errors.New("no answer came within ten minutes"))
	defer cancel()
	select {
	case answer := <-answers:
		return spec.Given(ctx, asked, answer, secret, over)
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the consent: %w", context.Cause(ctx))
	}
}
