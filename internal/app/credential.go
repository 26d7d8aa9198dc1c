package app

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"deskmate/identity/vault"
)

type credentialCommand struct {
	Add      credentialAdd      `cmd:"" help:"Give the agent a secret of its own; it is read from standard input, or asked for."`
	Rotate   credentialRotate   `cmd:"" help:"Give it a new secret; the one before can be taken up again for a while."`
	Rollback credentialRollback `cmd:"" help:"Take the secret before up again."`
	Revoke   credentialRevoke   `cmd:"" help:"Destroy all of a credential's secrets, at once."`
	List     credentialList     `cmd:"" help:"List credentials; secrets are never shown."`
	Show     credentialShow     `cmd:"" help:"Show a credential with its versions; secrets are never shown."`
	Invite   credentialInvite   `cmd:"" help:"Make a link with which a colleague can hand a secret in, once."`
	Approve  credentialApprove  `cmd:"" help:"Take up a secret that was handed in."`
	Reject   credentialReject   `cmd:"" help:"Destroy a secret that was handed in."`
	Rekey    credentialRekey    `cmd:"" help:"Seal all credentials anew under a new key."`
}

// secretOf reads a secret from a pipe, or asks for it without showing it. It is
// never an argument: those can be seen by others.
func secretOf(r *run) ([]byte, error) {
	if f, ok := r.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(r.Errors, "Secret (not shown): ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(r.Errors)
		if err != nil {
			return nil, fmt.Errorf("read secret: %w", err)
		}
		return bytes.TrimSpace(b), nil
	}
	b, err := io.ReadAll(io.LimitReader(r.In, 128<<10))
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return bytes.TrimRight(b, "\r\n"), nil
}

type addition struct {
	Connection string `required:"" help:"What it is for: the name of a connection." placeholder:"NAME"`
	Name       string `default:"default" help:"Tells several of one connection apart." placeholder:"NAME"`
	Owner      string `required:"" help:"The human who answers for it: Slack user id." placeholder:"U…"`
	Why        string `required:"" help:"What it is for; reviewers read it."`
}

func (a addition) of(workspace string) vault.Addition {
	return vault.Addition{Workspace: workspace, Connection: a.Connection, Name: a.Name, Owner: a.Owner, Justification: a.Why}
}

type credentialAdd struct {
	storeFlags
	workspaceFlag
	addition
	Expires string `help:"When the secret ends: 90d or 2026-12-31. Default: never." placeholder:"WHEN"`
}

// Help implements kong.HelpProvider.
func (credentialAdd) Help() string {
	return "Example: deskmate credential add --connection github --owner U012AB3CD --why 'reads issues' < token.txt"
}

func (c *credentialAdd) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		a := c.of(workspace)
		if a.ExpiresAt, err = ends(c.Expires, s.DB.Now()); err != nil {
			return err
		}
		secret, err := secretOf(r)
		if err != nil {
			return err
		}
		got, err := s.Vault.Add(r, human(r.Getenv), a, secret)
		if err != nil {
			return err
		}
		return c.print(r, got)
	})
}

// ends is expiry without a default.
func ends(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return expiry(text, now)
}

// print shows a credential, never a secret.
func (f storeFlags) print(r *run, c vault.Credential) error {
	if f.JSON {
		return printJSON(r.Out, c)
	}
	fmt.Fprintf(r.Out, "%s  %s/%s  owner %s, by %s: %s\n    last used %s, last denied %s\n", c.ID, c.Connection, c.Name, c.Owner, c.CreatedBy, c.Justification, when(c.LastUsedAt), when(c.LastDeniedAt))
	if !c.RevokedAt.IsZero() {
		fmt.Fprintf(r.Out, "    REVOKED by %s, %s\n", c.RevokedBy, when(c.RevokedAt))
	}
	for _, v := range c.Versions {
		line := fmt.Sprintf("    version %d  %-9s  by %s, %s", v.Version, v.State, v.CreatedBy, when(v.CreatedAt))
		if !v.ExpiresAt.IsZero() {
			line += ", expires " + when(v.ExpiresAt)
		}
		if v.State == vault.Retiring {
			line += ", destroyed " + when(v.RetiresAt)
		}
		fmt.Fprintln(r.Out, line)
	}
	return nil
}

type credentialID struct {
	storeFlags
	workspaceFlag
	ID string `arg:"" help:"Id of the credential, or CONNECTION/NAME."`
}

func (c *credentialID) change(r *run, do func(s *Store, workspace, id, by string) (vault.Credential, error)) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		had, err := s.Vault.Get(r, workspace, c.ID)
		if err != nil {
			return fmt.Errorf("credential %s: %w", c.ID, err)
		}
		got, err := do(s, workspace, had.ID, human(r.Getenv))
		if err != nil {
			return err
		}
		return c.print(r, got)
	})
}

type credentialRotate struct {
	credentialID
	Expires string        `help:"When the new secret ends: 90d or 2026-12-31. Default: never." placeholder:"WHEN"`
	Overlap time.Duration `default:"24h" help:"For how long the one before can be taken up again."`
}

// Help implements kong.HelpProvider.
func (credentialRotate) Help() string {
	return "Example: deskmate credential rotate github/default --expires 90d < token.txt"
}

func (c *credentialRotate) Run(r *run) error {
	return c.change(r, func(s *Store, w, id, by string) (vault.Credential, error) {
		until, err := ends(c.Expires, s.DB.Now())
		if err != nil {
			return vault.Credential{}, err
		}
		secret, err := secretOf(r)
		if err != nil {
			return vault.Credential{}, err
		}
		return s.Vault.Rotate(r, by, w, id, secret, until, c.Overlap)
	})
}

type credentialReason struct {
	credentialID
	Why string `required:"" help:"Why; it is kept in the ledger."`
}

type (
	credentialRollback struct{ credentialReason }
	credentialRevoke   struct{ credentialReason }
	credentialReject   struct{ credentialReason }
	credentialApprove  struct{ credentialID }
	credentialShow     struct{ credentialID }
)

// Help implements kong.HelpProvider.
func (credentialRollback) Help() string {
	return "Example: deskmate credential rollback github/default --why 'the new token has too few scopes'"
}

func (c *credentialRollback) Run(r *run) error {
	return c.change(r, func(s *Store, w, id, by string) (vault.Credential, error) {
		return s.Vault.Rollback(r, by, w, id, c.Why)
	})
}

// Help implements kong.HelpProvider.
func (credentialRevoke) Help() string {
	return "Example: deskmate credential revoke github/default --why 'it was posted in a channel'\n\nRevoke it at its source as well: nobody else can."
}

func (c *credentialRevoke) Run(r *run) error {
	return c.change(r, func(s *Store, w, id, by string) (vault.Credential, error) { return s.Vault.Revoke(r, by, w, id, c.Why) })
}

// Help implements kong.HelpProvider.
func (credentialApprove) Help() string { return "Example: deskmate credential approve github/default" }

func (c *credentialApprove) Run(r *run) error {
	return c.change(r, func(s *Store, w, id, by string) (vault.Credential, error) { return s.Vault.Approve(r, by, w, id) })
}

// Help implements kong.HelpProvider.
func (credentialReject) Help() string {
	return "Example: deskmate credential reject github/default --why 'the wrong account'"
}

func (c *credentialReject) Run(r *run) error {
	return c.change(r, func(s *Store, w, id, by string) (vault.Credential, error) { return s.Vault.Reject(r, by, w, id, c.Why) })
}

// Help implements kong.HelpProvider.
func (credentialShow) Help() string { return "Example: deskmate credential show github/default --json" }

func (c *credentialShow) Run(r *run) error {
	return c.change(r, func(s *Store, w, id, _ string) (vault.Credential, error) { return s.Vault.Get(r, w, id) })
}

type credentialList struct {
	storeFlags
	workspaceFlag
	All bool `help:"Those that were revoked too."`
}

// Help implements kong.HelpProvider.
func (credentialList) Help() string { return "Example: deskmate credential list --all" }

func (c *credentialList) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Vault.List(r, workspace, c.All)
		if err != nil {
			return err
		}
		if c.JSON {
			if all == nil {
				all = []vault.Credential{}
			}
			return printJSON(r.Out, all)
		}
		for _, x := range all {
			if err := c.print(r, x); err != nil {
				return err
			}
		}
		if len(all) == 0 {
			fmt.Fprintln(r.Out, "No credentials.")
		}
		return nil
	})
}

type credentialInvite struct {
	storeFlags
	workspaceFlag
	addition
	Hold time.Duration `default:"24h" help:"For how long the link holds."`
	URL  string        `name:"url" help:"Where colleagues reach this deskmate: https://HOST. Default: the setting public_url." placeholder:"URL"`
}

// Help implements kong.HelpProvider.
func (credentialInvite) Help() string {
	return "Example: deskmate credential invite --connection github --owner U012AB3CD --why 'reads issues' --url https://deskmate.example.com"
}

func (c *credentialInvite) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		if c.Hold <= 0 || c.Hold > 30*24*time.Hour {
			return errors.New("--hold must be between a moment and 30 days")
		}
		conf, err := c.load(r)
		if err != nil {
			return err
		}
		base := cmp.Or(strings.TrimRight(c.URL, "/"), conf.PublicURL)
		if base == "" {
			return errors.New("where do colleagues reach this deskmate? Say it with --url, or for good with the setting public_url")
		}
		got, token, err := s.Vault.Invite(r, human(r.Getenv), c.of(workspace), c.Hold)
		if err != nil {
			return err
		}
		link := base + "/credential/" + token
		if c.JSON {
			return printJSON(r.Out, map[string]any{"credential": got, "link": link})
		}
		_, err = fmt.Fprintf(r.Out, "Send this to whoever holds the secret. It works once, for %s:\n%s\nThen: deskmate credential approve %s\n", c.Hold, link, got.ID)
		return err
	})
}

type credentialRekey struct {
	storeFlags
	workspaceFlag
}

// Help implements kong.HelpProvider.
func (credentialRekey) Help() string {
	return "Example: deskmate credential rekey\n\nWith a key file a new key is made in it, also while a server is running. With DESKMATE_VAULT_KEY put the new key in front of the old one first, NEW,OLD, for the server too."
}

func (c *credentialRekey) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		n, err := s.Vault.Rekey(r, human(r.Getenv), workspace)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]int{"sealed": n})
		}
		_, err = fmt.Fprintf(r.Out, "Sealed %s anew; the old key is gone.\n", plural(n, "secret"))
		return err
	})
}
