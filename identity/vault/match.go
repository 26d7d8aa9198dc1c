package vault

import (
	"context"
	"errors"
	"fmt"

	"deskmate/migrations"
)

// Match has f look at the secrets of a credential that others may use at present:
// the active one, and those before it until their overlap ends. It stops at the
// first for which f is true, and says which it was; false is for none. f must not
// keep a secret. Unlike Use it notes no refusal: who calls may be anybody.
func (v *Vault) Match(ctx context.Context, workspace, id string, f func(secret []byte) bool) (Used, bool, error) {
	var c Credential
	sealed := map[int64][]byte{}
	now := v.db.Now()
	err := v.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		if c, err = load(tx, workspace, id); err != nil || !c.RevokedAt.IsZero() {
			return err
		}
		for i := len(c.Versions) - 1; i >= 0; i-- {
			x := c.Versions[i]
			open := x.State == Active || x.State == Retiring && now.Before(x.RetiresAt)
			if !open || !x.ExpiresAt.IsZero() && !now.Before(x.ExpiresAt) {
				continue
			}
			var b []byte
			if err := tx.QueryRow(`SELECT sealed FROM credential_versions WHERE workspace = $1 AND credential = $2 AND version = $3`, workspace, c.ID, x.Version).Scan(&b); err != nil {
				return err
			}
			sealed[x.Version] = b
		}
		return nil
	})
	if errors.Is(err, ErrNoCredential) {
		return Used{}, false, nil
	}
	if err != nil {
		return Used{}, false, fmt.Errorf("match credential %s: %w", id, err)
	}
	for i := len(c.Versions) - 1; i >= 0; i-- {
		n := c.Versions[i].Version
		b, ok := sealed[n]
		if !ok {
			continue
		}
		fits, err := v.try(c, n, b, f)
		if err != nil {
			return Used{}, false, fmt.Errorf("match credential %s: %w", c.ID, err)
		}
		if fits {
			return Used{c.ID, n}, true, v.touch(ctx, c, now)
		}
	}
	return Used{}, false, nil
}

// try has f look at one secret. One that does not open any more fits nothing.
func (v *Vault) try(c Credential, version int64, sealed []byte, f func(secret []byte) bool) (bool, error) {
	secret, err := v.keys.open(shard(c.Workspace, c.ID, version), sealed, bound(c.Workspace, c.Connection, c.ID, version))
	if errors.Is(err, errSealed) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer clearBytes(secret)
	return f(secret), nil
}
