package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"deskmate/migrations"
)

// Used is which secret was used.
type Used struct {
	Credential string `json:"credential"`
	Version    int64  `json:"version"`
}

// usedEvery is how exact Credential.LastUsedAt is.
const usedEvery = time.Minute

// Use opens the active secret of a credential, by its id or "connection/name", for
// as long as f runs; f must not keep it. There is no other way to a secret. A
// *DeniedError says why it may not be used; f's error is passed on.
func (v *Vault) Use(ctx context.Context, workspace, id string, f func(secret []byte) error) (Used, error) {
	var c Credential
	var active *Version
	var sealed []byte
	now := v.db.Now()
	err := v.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		if c, err = load(tx, workspace, id); err != nil {
			return err
		}
		if active = c.In(Active); active == nil {
			return nil
		}
		return tx.QueryRow(`SELECT sealed FROM credential_versions WHERE workspace = $1 AND credential = $2 AND version = $3`, workspace, c.ID, active.Version).Scan(&sealed)
	})
	switch {
	case errors.Is(err, ErrNoCredential):
		return Used{}, &DeniedError{id, "there is none"}
	case err != nil:
		return Used{}, fmt.Errorf("use credential %s: %w", id, err)
	case !c.RevokedAt.IsZero():
		return Used{}, v.denied(ctx, c, "it was revoked")
	case active == nil && c.In(Pending) != nil:
		return Used{}, v.denied(ctx, c, "what was handed in has not been approved")
	case active == nil:
		return Used{}, v.denied(ctx, c, "it has no secret")
	case !active.ExpiresAt.IsZero() && !now.Before(active.ExpiresAt):
		return Used{}, v.denied(ctx, c, "it expired on "+active.ExpiresAt.UTC().Format(time.DateOnly)+": rotate it")
	}
	shard, aad := shard(workspace, c.ID, active.Version), bound(workspace, c.Connection, c.ID, active.Version)
	secret, err := v.keys.open(shard, sealed, aad)
	if errors.Is(err, errSealed) { // it may have been sealed anew, and the old key dropped, since it was read
		var now []byte
		qerr := v.db.QueryRow(ctx, `SELECT sealed FROM credential_versions WHERE workspace = $1 AND credential = $2 AND version = $3`, workspace, c.ID, active.Version).Scan(&now)
		if qerr == nil && now != nil && !bytes.Equal(now, sealed) {
			secret, err = v.keys.open(shard, now, aad)
		}
	}
	if errors.Is(err, errSealed) {
		return Used{}, v.denied(ctx, c, err.Error())
	}
	if err != nil {
		return Used{}, fmt.Errorf("use credential %s: %w", c.ID, err)
	}
	defer clearBytes(secret)
	used := Used{c.ID, active.Version}
	if err := v.touch(ctx, c, now); err != nil {
		return used, fmt.Errorf("use credential %s: %w", c.ID, err)
	}
	return used, f(secret)
}

func clearBytes(b []byte) {
	for i := range b {
		b[i] = 0
	}
}

// touch notes the use, at most once a minute.
func (v *Vault) touch(ctx context.Context, c Credential, now time.Time) error {
	key := c.Workspace + " " + c.ID
	v.mu.Lock()
	last, ok := v.touched[key]
	v.mu.Unlock()
	if since := now.Sub(last); ok && since >= 0 && since < usedEvery {
		return nil
	}
	err := v.db.Write(ctx, func(tx *migrations.Tx) error {
		_, err := tx.Exec(`UPDATE credentials SET last_used_at = $1 WHERE workspace = $2 AND id = $3`, migrations.Micros(now), c.Workspace, c.ID)
		return err
	})
	if err == nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.touched[key] = now
	}
	return err
}

// denied records that a secret was wanted and may not be used.
func (v *Vault) denied(ctx context.Context, c Credential, why string) error {
	err := v.db.Write(ctx, func(tx *migrations.Tx) error {
		if _, err := tx.Exec(`UPDATE credentials SET last_denied_at = $1 WHERE workspace = $2 AND id = $3`, migrations.Micros(tx.Now()), c.Workspace, c.ID); err != nil {
			return err
		}
		return v.record(tx, c, "credential.refused", "system", 0, map[string]string{"reason": why})
	})
	if err != nil {
		return fmt.Errorf("note refusal of credential %s: %w", c.ID, err)
	}
	return &DeniedError{c.ID, why}
}

// warnDays are the days before its end at which a version is warned about.
var warnDays = []int64{14, 3, 0}

// Warning is a version that ends soon, or has.
type Warning struct {
	Credential Credential
	Version    Version
	Days       int64 // 14, 3 or 0 at most
}

// Sweep destroys retiring versions whose time is up, has the key file forget what
// was destroyed, and hands over each warning once: tell is called in the
// transaction that notes it.
func (v *Vault) Sweep(ctx context.Context, workspace string, tell func(tx *migrations.Tx, w Warning) error) error {
	all, err := v.List(ctx, workspace, true)
	if err != nil {
		return err
	}
	now := v.db.Now()
	for _, c := range all {
		if err := v.sweep(ctx, c, now, tell); err != nil {
			return fmt.Errorf("look after credential %s: %w", c.ID, err)
		}
	}
	return nil
}

func (v *Vault) sweep(ctx context.Context, c Credential, now time.Time, tell func(tx *migrations.Tx, w Warning) error) error {
	err := v.db.Write(ctx, func(tx *migrations.Tx) error {
		for _, x := range c.Versions {
			if x.State == Retiring && !now.Before(x.RetiresAt) {
				if err := v.destroy(tx, c, x.Version, "system"); err != nil {
					return err
				}
			}
		}
		x := c.In(Active)
		if x == nil || x.ExpiresAt.IsZero() {
			return nil
		}
		due := int64(-1)
		for _, d := range warnDays {
			if !now.Before(x.ExpiresAt.AddDate(0, 0, -int(d))) {
				due = d
			}
		}
		var warned int64
		if err := tx.QueryRow(`SELECT warned FROM credential_versions WHERE workspace = $1 AND credential = $2 AND version = $3`, c.Workspace, c.ID, x.Version).Scan(&warned); err != nil {
			return err
		}
		if due < 0 || warned >= 0 && warned <= due {
			return nil
		}
		if _, err := tx.Exec(`UPDATE credential_versions SET warned = $1 WHERE workspace = $2 AND credential = $3 AND version = $4`, due, c.Workspace, c.ID, x.Version); err != nil {
			return err
		}
		return tell(tx, Warning{c, *x, due})
	})
	if err != nil {
		return err
	}
	if c, err = v.Get(ctx, c.Workspace, c.ID); err != nil {
		return err
	}
	return v.forget(c)
}

// Rekey seals everything anew under a new key, while the vault is in use, and
// then drops the old keys. After a crash it goes on where it was. With keys in the
// environment the new one is given there first; with a KMS the service turns keys.
func (v *Vault) Rekey(ctx context.Context, by, workspace string) (int, error) {
	if err := v.keys.turn(); err != nil {
		return 0, fmt.Errorf("make a new vault key: %w", err)
	}
	all, err := v.everything(ctx)
	if err != nil {
		return 0, err
	}
	for i, x := range all {
		err := v.db.Write(ctx, func(tx *migrations.Tx) error {
			var sealed []byte
			if err := tx.QueryRow(`SELECT sealed FROM credential_versions WHERE workspace = $1 AND credential = $2 AND version = $3`, x.workspace, x.id, x.version).Scan(&sealed); err != nil || sealed == nil {
				return err
			}
			again, err := v.keys.again(sealed, bound(x.workspace, x.connection, x.id, x.version))
			if err != nil {
				return err
			}
			_, err = tx.Exec(`UPDATE credential_versions SET sealed = $1 WHERE workspace = $2 AND credential = $3 AND version = $4`, again, x.workspace, x.id, x.version)
			return err
		})
		if err != nil {
			return i, fmt.Errorf("seal credential %s anew: %w (the old key stays until all are)", x.id, err)
		}
	}
	if err := v.keys.drop(); err != nil {
		return len(all), fmt.Errorf("drop the old vault key: %w", err)
	}
	err = v.db.Write(ctx, func(tx *migrations.Tx) error {
		return v.record(tx, Credential{Workspace: workspace}, "vault.rekeyed", by, 0, nil)
	})
	if err != nil {
		return len(all), fmt.Errorf("record new vault key: %w", err)
	}
	return len(all), nil
}

type sealedRow struct {
	workspace, connection, id string
	version                   int64
}

// everything that is sealed, of all workspaces.
func (v *Vault) everything(ctx context.Context) ([]sealedRow, error) {
	rows, err := v.db.Query(ctx, `SELECT c.workspace, c.connection, c.id, x.version FROM credential_versions x
		JOIN credentials c ON c.workspace = x.workspace AND c.id = x.credential WHERE x.sealed IS NOT NULL ORDER BY c.workspace, c.id, x.version`)
	if err != nil {
		return nil, fmt.Errorf("list what is sealed: %w", err)
	}
	defer rows.Close()
	var all []sealedRow
	for rows.Next() {
		var r sealedRow
		if err := rows.Scan(&r.workspace, &r.connection, &r.id, &r.version); err != nil {
			return nil, fmt.Errorf("list what is sealed: %w", err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}
