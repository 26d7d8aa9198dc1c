package vault

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"deskmate/migrations"
)

// ErrLink means that a link is unknown, has been used or has expired; which of
// them is nobody's business who does not hold it.
var ErrLink = errors.New("this link does not hold (any more)")

// Invite makes a credential without a secret, or takes an existing one, and gives
// a token with which somebody can hand its secret in, once, until the token
// expires. Only a hash of the token is kept.
func (v *Vault) Invite(ctx context.Context, by string, a Addition, hold time.Duration) (Credential, string, error) {
	c, err := v.Get(ctx, a.Workspace, a.Connection+"/"+a.Name)
	if errors.Is(err, ErrNoCredential) || err == nil && !c.RevokedAt.IsZero() {
		c, err = v.create(ctx, by, a, "credential.invited")
	}
	if err != nil {
		return c, "", fmt.Errorf("invite: %w", err)
	}
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return c, "", fmt.Errorf("invite: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString(raw)
	err = v.db.Write(ctx, func(tx *migrations.Tx) error {
		if _, err := tx.Exec(`INSERT INTO credential_links (hash, workspace, credential, created_by, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			linkHash(token), c.Workspace, c.ID, by, migrations.Micros(tx.Now().Add(hold))); err != nil {
			return err
		}
		return v.record(tx, c, "credential.link", by, 0, nil)
	})
	if err != nil {
		return c, "", fmt.Errorf("invite: %w", err)
	}
	return c, token, nil
}

func linkHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Asked is what the secret behind a link is for; ErrLink if it does not hold.
func (v *Vault) Asked(ctx context.Context, token string) (Credential, error) {
	var c Credential
	err := v.db.Read(ctx, func(tx *migrations.Tx) error {
		workspace, id, err := v.link(tx, token)
		if err != nil {
			return err
		}
		c, err = load(tx, workspace, id)
		return err
	})
	return c, err
}

// link finds a link that holds. Looking up a hash takes no longer for a token that
// is nearly right.
func (v *Vault) link(tx *migrations.Tx, token string) (workspace, id string, err error) {
	err = tx.QueryRow(`SELECT workspace, credential FROM credential_links WHERE hash = $1 AND used_at = 0 AND expires_at > $2`, linkHash(token), migrations.Micros(tx.Now())).Scan(&workspace, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", ErrLink
	}
	return workspace, id, err
}

// Submit stores the secret that somebody handed in over a link, which is used up
// by it. It waits for an admin's approval.
func (v *Vault) Submit(ctx context.Context, token, by string, secret []byte) (Credential, error) {
	if err := checkSecret(secret); err != nil {
		return Credential{}, err
	}
	if by == "" {
		return Credential{}, errors.New("who hands it in must be given")
	}
	var c Credential
	err := v.db.Write(ctx, func(tx *migrations.Tx) error {
		workspace, id, err := v.link(tx, token)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE credential_links SET used_at = $1, used_by = $2 WHERE hash = $3`, migrations.Micros(tx.Now()), by, linkHash(token)); err != nil {
			return err
		}
		c, err = load(tx, workspace, id)
		return err
	})
	if err != nil {
		return c, err
	}
	if old := c.In(Pending); old != nil { // what was handed in before and not looked at
		if c, err = v.Reject(ctx, "system", c.Workspace, c.ID, "another one was handed in"); err != nil {
			return c, err
		}
	}
	return v.addVersion(ctx, "link:"+by, c.Workspace, c.ID, secret, time.Time{}, 0, Pending)
}
