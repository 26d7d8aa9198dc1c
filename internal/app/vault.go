package app

import (
	"context"
	"fmt"
	"time"

	"deskmate/identity/vault"
	"deskmate/migrations"
)

// vaultKeys opens what credentials are sealed with: keys of the environment, else
// the key file.
func (c Config) vaultKeys(store string) (*vault.Keyring, error) {
	if len(c.VaultKeys) > 0 {
		return vault.FromHex(c.VaultKeys...)
	}
	path := c.VaultKeyFile
	if path == "" {
		path = store + ".vault-key"
	}
	return vault.OpenFile(path)
}

// sweepEvery is how often credentials are looked after.
const sweepEvery = time.Hour

// sweepVault destroys versions whose time is up and warns of those that end, until
// ctx ends.
func (a *App) sweepVault(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		err := a.Vault.Sweep(ctx, a.Self.Workspace, func(tx *migrations.Tx, w vault.Warning) error {
			return a.notices.Post(tx, w.Credential.Workspace, fmt.Sprintf("credential:%s:%d:%d", w.Credential.ID, w.Version.Version, w.Days), warningText(w))
		})
		if err != nil && ctx.Err() == nil {
			a.log.Error().Err(err).Msg("credentials not looked after")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// warningText says which credential ends when, and what to do.
func warningText(w vault.Warning) string {
	c := w.Credential
	when := "expires on " + w.Version.ExpiresAt.UTC().Format(time.DateOnly)
	if w.Days == 0 {
		when = "has expired, and is not used any more"
	}
	return fmt.Sprintf("My credential `%s` for `%s` (owner %s) %s. To renew it: `deskmate credential rotate %s`", c.Name, c.Connection, c.Owner, when, c.ID)
}

// credentialFindings are credentials that have expired, will soon, or are not used.
func credentialFindings(ctx context.Context, s *Store, workspace string) ([]finding, error) {
	all, err := s.Vault.List(ctx, workspace, false)
	if err != nil {
		return nil, err
	}
	now := s.DB.Now()
	var found []finding
	for _, c := range all {
		f := finding{What: "credential " + c.Connection + "/" + c.Name, OK: true, Detail: "in order"}
		used := c.LastUsedAt
		if used.IsZero() {
			used = c.CreatedAt
		}
		switch x := c.In(vault.Active); {
		case x == nil && c.In(vault.Pending) != nil:
			f.Warning, f.Detail = true, "waits for an approval: deskmate credential approve "+c.ID
		case x == nil:
			f.Warning, f.Detail = true, "has no secret yet"
		case !x.ExpiresAt.IsZero() && !now.Before(x.ExpiresAt):
			f.OK, f.Detail = false, "expired "+when(x.ExpiresAt)
		case !x.ExpiresAt.IsZero() && x.ExpiresAt.Sub(now) < 14*24*time.Hour:
			f.Warning, f.Detail = true, "expires "+when(x.ExpiresAt)
		case now.Sub(used) > 30*24*time.Hour:
			f.Warning, f.Detail = true, "not used since "+when(used)
		}
		found = append(found, f)
	}
	return found, nil
}
