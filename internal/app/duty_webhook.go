package app

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	"deskmate/handlers"
	"deskmate/identity/vault"
	"deskmate/scheduler"
)

type dutyWebhook struct {
	dutyID
	Rotate  bool          `help:"Make a new secret; the one before goes on being good for the overlap."`
	Overlap time.Duration `default:"24h" help:"How long the secret before goes on being good." placeholder:"24h"`
}

// Help implements kong.HelpProvider.
func (dutyWebhook) Help() string {
	return "Example: deskmate duty webhook d_k3x7q2m5ab --rotate --overlap 1h\n\n" +
		"A call is POST /hooks/ID with the headers Deskmate-Timestamp (seconds since 1970) and Deskmate-Signature (v1= and the HMAC-SHA256 of TIMESTAMP.BODY in hexadecimal), " +
		"or with GitHub's X-Hub-Signature-256. To end the secret without a new one: deskmate credential revoke webhook/ID --why REASON."
}

// hookSecret is the length of a secret, in random bytes.
const hookSecret = 32

func (c *dutyWebhook) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		d, err := s.Duties.Get(r, c.ID)
		if err != nil {
			return fmt.Errorf("look up duty %s: %w", c.ID, err)
		}
		if d.Kind != scheduler.KindWebhook {
			return fmt.Errorf("duty %s is set off %s, not by a URL: ask the agent for one with “make a webhook that …”", d.ID, d.When)
		}
		raw := make([]byte, hookSecret)
		_, _ = rand.Read(raw) // never fails: crypto/rand crashes the program instead
		secret := hex.EncodeToString(raw)
		if err := c.keep(r, s, d, secret); err != nil {
			return err
		}
		conf, err := c.load(r)
		if err != nil {
			return err
		}
		url := conf.PublicURL
		if host, port, err := net.SplitHostPort(conf.Addr); url == "" && err == nil && host != "" && port != "0" {
			url = "http://" + conf.Addr
		}
		hint := ""
		if conf.PublicURL == "" {
			hint = "  (behind your proxy: its address instead, which the setting public_url names)"
		}
		url = cmp.Or(url, "https://HOST") + "/hooks/" + d.ID
		if c.JSON {
			return printJSON(r.Out, map[string]string{"duty": d.ID, "url": url, "secret": secret})
		}
		_, err = fmt.Fprintf(r.Out, "URL     %s%s\nsecret  %s\n\nThe secret is shown this once. docs/duties.md says how to sign a call.\n", url, hint, secret)
		return err
	})
}

// keep seals the secret: the first of the duty, or with --rotate the next.
func (c *dutyWebhook) keep(r *run, s *Store, d scheduler.Duty, secret string) error {
	by := human(r.Getenv)
	old, err := s.Vault.Get(r, d.Workspace, handlers.HookConnection+"/"+d.ID)
	switch {
	case errors.Is(err, vault.ErrNoCredential) || err == nil && !old.RevokedAt.IsZero():
		_, err = s.Vault.Add(r, by, vault.Addition{Workspace: d.Workspace, Connection: handlers.HookConnection, Name: d.ID, Owner: d.Owner,
			Justification: "calls of the URL of the duty " + d.ID + " are signed with it"}, []byte(secret))
	case err != nil:
	case c.Rotate:
		_, err = s.Vault.Rotate(r, by, d.Workspace, old.ID, []byte(secret), time.Time{}, c.Overlap)
	default:
		return fmt.Errorf("duty %s has a secret, which is not shown again: make a new one with --rotate", d.ID)
	}
	if err != nil {
		return fmt.Errorf("keep secret of duty %s: %w", d.ID, err)
	}
	return nil
}
