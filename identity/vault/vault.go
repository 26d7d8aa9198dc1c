// Package vault keeps the agent's own secrets: tokens and keys of the systems
// that it reaches.
//
// It promises that a secret is sealed at rest and bound to its row, that it is
// opened only inside Use, that taking a credential back counts from the next use
// on, and that a destroyed version cannot be read any more, also not from an older
// backup of the store where the key file was not backed up with it. It must never
// return a secret, and never put one into an error, a log or the ledger.
package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// States of a version.
const (
	Pending   = "pending"  // handed in, not approved
	Active    = "active"   // in use
	Retiring  = "retiring" // the one before, for a while: it can be taken up again
	Destroyed = "destroyed"
)

// DefaultOverlap is how long the version before stays after a rotation.
const DefaultOverlap = 24 * time.Hour

// mostSecret bounds a secret, in bytes.
const mostSecret = 64 << 10

// Credential is a secret of the agent's own, without the secret.
type Credential struct {
	Workspace     string    `json:"workspace"`
	ID            string    `json:"id"`
	Connection    string    `json:"connection"`
	Name          string    `json:"name"`
	Owner         string    `json:"owner"`
	Justification string    `json:"justification"`
	CreatedBy     string    `json:"created_by"`
	CreatedAt     time.Time `json:"created_at"`
	RevokedBy     string    `json:"revoked_by,omitempty"`
	RevokedAt     time.Time `json:"revoked_at,omitzero"`
	LastUsedAt    time.Time `json:"last_used_at,omitzero"`
	LastDeniedAt  time.Time `json:"last_denied_at,omitzero"`
	Versions      []Version `json:"versions"` // oldest first
}

// Version is one value that a credential has or had.
type Version struct {
	Version     int64     `json:"version"`
	State       string    `json:"state"`
	CreatedBy   string    `json:"created_by"`
	CreatedAt   time.Time `json:"created_at"`
	ActivatedAt time.Time `json:"activated_at,omitzero"`
	RetiresAt   time.Time `json:"retires_at,omitzero"`
	DestroyedAt time.Time `json:"destroyed_at,omitzero"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
}

// In is the newest version in a state, nil if there is none.
func (c Credential) In(state string) *Version {
	for i := len(c.Versions) - 1; i >= 0; i-- {
		if c.Versions[i].State == state {
			return &c.Versions[i]
		}
	}
	return nil
}

// ErrNoCredential means that there is none of that id or name.
var ErrNoCredential = errors.New("there is no such credential")

// DeniedError is a secret that may not be used now; Why says it for people.
type DeniedError struct{ Credential, Why string }

func (e *DeniedError) Error() string { return "credential " + e.Credential + ": " + e.Why }

// Vault keeps credentials. It is safe for concurrent use.
type Vault struct {
	db     *migrations.DB
	ledger *ledger.Ledger
	keys   *Keyring

	mu      sync.Mutex
	touched map[string]time.Time // when last_used_at was last written
}

// New returns the vault of db.
func New(db *migrations.DB, l *ledger.Ledger, k *Keyring) *Vault {
	return &Vault{db: db, ledger: l, keys: k, touched: map[string]time.Time{}}
}

// bound names the row that a secret belongs to, so that it opens nowhere else.
func bound(workspace, connection, id string, version int64) []byte {
	var b strings.Builder
	for _, s := range []string{workspace, connection, id, strconv.FormatInt(version, 10)} {
		fmt.Fprintf(&b, "%d:%s|", len(s), s)
	}
	return []byte(b.String())
}

// shard names a version in the key file.
func shard(workspace, id string, version int64) string {
	return fmt.Sprintf("%s/%s/%d", workspace, id, version)
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// New credential, before it has an id.
type Addition struct {
	Workspace     string
	Connection    string
	Name          string // tells several of one connection apart
	Owner         string // the human who answers for it
	Justification string
	ExpiresAt     time.Time // of the first version; zero: never
}

func (a Addition) check(now time.Time) error {
	switch {
	case a.Workspace == "":
		return errors.New("the workspace must be given")
	case !nameForm.MatchString(a.Connection) || !nameForm.MatchString(a.Name):
		return errors.New("connection and name need letters, digits and any of _.- , 64 at most")
	case strings.TrimSpace(a.Owner) == "" || strings.TrimSpace(a.Justification) == "":
		return errors.New("who answers for it, and what it is for, must be given")
	case !a.ExpiresAt.IsZero() && !a.ExpiresAt.After(now):
		return errors.New("it would have expired already")
	}
	return nil
}

// Add stores a new credential with its first version, which is active at once.
func (v *Vault) Add(ctx context.Context, by string, a Addition, secret []byte) (Credential, error) {
	if err := checkSecret(secret); err != nil {
		return Credential{}, fmt.Errorf("add credential: %w", err)
	}
	c, err := v.create(ctx, by, a, "credential.added")
	if err != nil {
		return c, fmt.Errorf("add credential: %w", err)
	}
	if c, err = v.addVersion(ctx, by, c.Workspace, c.ID, secret, a.ExpiresAt, 0, Active); err != nil {
		return c, fmt.Errorf("add credential: %w", err)
	}
	return c, nil
}

func checkSecret(secret []byte) error {
	if len(secret) == 0 {
		return errors.New("the secret is empty")
	}
	if len(secret) > mostSecret {
		return fmt.Errorf("the secret is longer than %d bytes", mostSecret)
	}
	return nil
}

func (v *Vault) create(ctx context.Context, by string, a Addition, kind string) (Credential, error) {
	var c Credential
	err := v.db.Write(ctx, func(tx *migrations.Tx) error {
		if err := a.check(tx.Now()); err != nil {
			return err
		}
		if by == "" {
			return errors.New("who adds it must be given")
		}
		var n int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM credentials WHERE workspace = $1 AND connection = $2 AND name = $3 AND revoked_at = 0`, a.Workspace, a.Connection, a.Name).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%s has a credential %s already: rotate it, or revoke it first", a.Connection, a.Name)
		}
		c = Credential{Workspace: a.Workspace, ID: migrations.NewID("cr_"), Connection: a.Connection, Name: a.Name, Owner: a.Owner,
			Justification: ledger.Mask(a.Justification), CreatedBy: by, CreatedAt: tx.Now()}
		if _, err := tx.Exec(`INSERT INTO credentials (workspace, id, connection, name, owner, justification, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			c.Workspace, c.ID, c.Connection, c.Name, c.Owner, c.Justification, by, migrations.Micros(c.CreatedAt)); err != nil {
			return err
		}
		return v.record(tx, c, kind, by, 0, map[string]string{"justification": c.Justification})
	})
	return c, err
}

// record appends to the ledger what was done with a credential; version 0 is all
// of it.
func (v *Vault) record(tx *migrations.Tx, c Credential, kind, by string, version int64, payload map[string]string) error {
	fields := map[string]string{ledger.FieldCredential: c.ID, "connection": c.Connection, "name": c.Name}
	if version > 0 {
		fields[ledger.FieldCredentialVersion] = strconv.FormatInt(version, 10)
	}
	_, err := v.ledger.Append(tx, ledger.Record{Workspace: c.Workspace, Kind: kind, Actor: by, Fields: fields, Payload: payload})
	return err
}

// Rotate stores a new version, which is active at once; the one before can be
// taken up again for the overlap, and is then destroyed.
func (v *Vault) Rotate(ctx context.Context, by, workspace, id string, secret []byte, expires time.Time, overlap time.Duration) (Credential, error) {
	if err := checkSecret(secret); err != nil {
		return Credential{}, fmt.Errorf("rotate credential: %w", err)
	}
	c, err := v.addVersion(ctx, by, workspace, id, secret, expires, overlap, Active)
	if err != nil {
		return c, fmt.Errorf("rotate credential %s: %w", id, err)
	}
	return c, nil
}

// addVersion seals a secret as the next version. The part of its key in the key
// file is written first: a crash between the two leaves a part that opens nothing.
func (v *Vault) addVersion(ctx context.Context, by, workspace, id string, secret []byte, expires time.Time, overlap time.Duration, state string) (Credential, error) {
	var c Credential
	var next int64
	if err := v.db.Read(ctx, func(tx *migrations.Tx) (err error) { c, err = load(tx, workspace, id); return err }); err != nil {
		return c, err
	}
	id = c.ID // it may have been named by connection and name
	for _, x := range c.Versions {
		next = max(next, x.Version)
	}
	next++
	sealed, err := v.keys.seal(shard(workspace, id, next), secret, bound(workspace, c.Connection, id, next))
	if err != nil {
		return c, fmt.Errorf("seal secret: %w", err)
	}
	err = v.db.Write(ctx, func(tx *migrations.Tx) error {
		if c, err = load(tx, workspace, id); err != nil {
			return err
		}
		now := tx.Now()
		switch {
		case !c.RevokedAt.IsZero():
			return errors.New("it was revoked")
		case slices.ContainsFunc(c.Versions, func(x Version) bool { return x.Version == next }):
			return errors.New("somebody else changed it in this moment; try again")
		case !expires.IsZero() && !expires.After(now):
			return errors.New("it would have expired already")
		}
		kind := "credential.submitted"
		activated := int64(0)
		if state == Active {
			kind, activated = "credential.rotated", migrations.Micros(now)
			if next == 1 {
				kind = "credential.sealed"
			}
			if err := v.retire(tx, c, now.Add(overlap)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(`INSERT INTO credential_versions (workspace, credential, version, state, sealed, created_by, created_at, activated_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			workspace, id, next, state, sealed, by, migrations.Micros(now), activated, micros(expires)); err != nil {
			return err
		}
		if err := v.record(tx, c, kind, by, next, nil); err != nil {
			return err
		}
		c, err = load(tx, workspace, id)
		return err
	})
	return c, err
}

// retire makes the active version one that can be taken up again until a time.
func (v *Vault) retire(tx *migrations.Tx, c Credential, until time.Time) error {
	_, err := tx.Exec(`UPDATE credential_versions SET state = 'retiring', retires_at = $1 WHERE workspace = $2 AND credential = $3 AND state = 'active'`,
		migrations.Micros(until), c.Workspace, c.ID)
	return err
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return migrations.Micros(t)
}

// Rollback takes the newest retiring version up again; the one that was active is
// destroyed.
func (v *Vault) Rollback(ctx context.Context, by, workspace, id, why string) (Credential, error) {
	return v.change(ctx, workspace, id, "roll back", func(tx *migrations.Tx, c Credential) error {
		back := c.In(Retiring)
		if back == nil {
			return errors.New("there is no earlier version to go back to: it was destroyed when its time was up")
		}
		if bad := c.In(Active); bad != nil {
			if err := v.destroy(tx, c, bad.Version, by); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(`UPDATE credential_versions SET state = 'active', retires_at = 0, activated_at = $1 WHERE workspace = $2 AND credential = $3 AND version = $4`,
			migrations.Micros(tx.Now()), workspace, c.ID, back.Version); err != nil {
			return err
		}
		return v.record(tx, c, "credential.rolled_back", by, back.Version, map[string]string{"reason": why})
	})
}

// Revoke destroys all versions: from the next use on there is no secret.
func (v *Vault) Revoke(ctx context.Context, by, workspace, id, why string) (Credential, error) {
	return v.change(ctx, workspace, id, "revoke", func(tx *migrations.Tx, c Credential) error {
		if by == "" || strings.TrimSpace(why) == "" {
			return errors.New("who and why must be given")
		}
		for _, x := range c.Versions {
			if x.State != Destroyed {
				if err := v.destroy(tx, c, x.Version, by); err != nil {
					return err
				}
			}
		}
		if _, err := tx.Exec(`UPDATE credentials SET revoked_by = $1, revoked_at = $2 WHERE workspace = $3 AND id = $4`, by, migrations.Micros(tx.Now()), workspace, c.ID); err != nil {
			return err
		}
		return v.record(tx, c, "credential.revoked", by, 0, map[string]string{"reason": why})
	})
}

// destroy takes the secret out of the row, and after the commit the part of its
// key out of the key file.
func (v *Vault) destroy(tx *migrations.Tx, c Credential, version int64, by string) error {
	if _, err := tx.Exec(`UPDATE credential_versions SET state = 'destroyed', sealed = NULL, destroyed_at = $1 WHERE workspace = $2 AND credential = $3 AND version = $4`,
		migrations.Micros(tx.Now()), c.Workspace, c.ID, version); err != nil {
		return err
	}
	return v.record(tx, c, "credential.destroyed", by, version, nil)
}

// change does something with a credential, then has the key file forget what was
// destroyed. If that fails, the next Sweep makes up for it.
func (v *Vault) change(ctx context.Context, workspace, id, verb string, do func(tx *migrations.Tx, c Credential) error) (Credential, error) {
	var c Credential
	err := v.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if c, err = load(tx, workspace, id); err != nil {
			return err
		}
		if !c.RevokedAt.IsZero() {
			return errors.New("it was revoked already")
		}
		if err := do(tx, c); err != nil {
			return err
		}
		c, err = load(tx, workspace, id)
		return err
	})
	if err == nil {
		err = v.forget(c)
	}
	if err != nil {
		return c, fmt.Errorf("%s credential %s: %w", verb, id, err)
	}
	return c, nil
}

// forget has the key file lose its parts of destroyed versions.
func (v *Vault) forget(c Credential) error {
	for _, x := range c.Versions {
		if x.State == Destroyed {
			if err := v.keys.forget(shard(c.Workspace, c.ID, x.Version)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Approve makes a version that was handed in the active one. Whoever handed it in
// cannot.
func (v *Vault) Approve(ctx context.Context, by, workspace, id string) (Credential, error) {
	return v.change(ctx, workspace, id, "approve", func(tx *migrations.Tx, c Credential) error {
		x := c.In(Pending)
		if x == nil {
			return errors.New("nothing was handed in that waits for an approval")
		}
		if _, name, _ := strings.Cut(x.CreatedBy, ":"); by == "" || x.CreatedBy == by || strings.EqualFold(by, name) || strings.EqualFold(strings.TrimPrefix(by, "cli:"), name) {
			return errors.New("whoever handed it in cannot approve it")
		}
		if err := v.retire(tx, c, tx.Now().Add(DefaultOverlap)); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE credential_versions SET state = 'active', activated_at = $1 WHERE workspace = $2 AND credential = $3 AND version = $4`,
			migrations.Micros(tx.Now()), workspace, c.ID, x.Version); err != nil {
			return err
		}
		return v.record(tx, c, "credential.approved", by, x.Version, nil)
	})
}

// Reject destroys a version that was handed in.
func (v *Vault) Reject(ctx context.Context, by, workspace, id, why string) (Credential, error) {
	return v.change(ctx, workspace, id, "reject", func(tx *migrations.Tx, c Credential) error {
		x := c.In(Pending)
		if x == nil {
			return errors.New("nothing was handed in that waits for an approval")
		}
		if err := v.destroy(tx, c, x.Version, by); err != nil {
			return err
		}
		return v.record(tx, c, "credential.rejected", by, x.Version, map[string]string{"reason": why})
	})
}

const columns = `workspace, id, connection, name, owner, justification, created_by, created_at, revoked_by, revoked_at, last_used_at, last_denied_at`

func scan(row interface{ Scan(...any) error }) (Credential, error) {
	var c Credential
	var created, revoked, used, denied int64
	err := row.Scan(&c.Workspace, &c.ID, &c.Connection, &c.Name, &c.Owner, &c.Justification, &c.CreatedBy, &created, &c.RevokedBy, &revoked, &used, &denied)
	c.CreatedAt, c.RevokedAt, c.LastUsedAt, c.LastDeniedAt = migrations.Time(created), migrations.Time(revoked), migrations.Time(used), migrations.Time(denied)
	return c, err
}

// load finds a credential by its id, or by "connection/name".
func load(tx *migrations.Tx, workspace, id string) (Credential, error) {
	connection, name, _ := strings.Cut(id, "/")
	c, err := scan(tx.QueryRow(`SELECT `+columns+` FROM credentials WHERE workspace = $1 AND (id = $2 OR connection = $3 AND name = $4) ORDER BY revoked_at = 0 DESC, created_at DESC LIMIT 1`,
		workspace, id, connection, name))
	if errors.Is(err, sql.ErrNoRows) {
		return c, ErrNoCredential
	}
	if err != nil {
		return c, fmt.Errorf("load credential: %w", err)
	}
	return c, loadVersions(tx, &c)
}

func loadVersions(tx *migrations.Tx, c *Credential) error {
	rows, err := tx.Query(`SELECT version, state, created_by, created_at, activated_at, retires_at, destroyed_at, expires_at FROM credential_versions
		WHERE workspace = $1 AND credential = $2 ORDER BY version`, c.Workspace, c.ID)
	if err != nil {
		return fmt.Errorf("load versions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var x Version
		var created, activated, retires, destroyed, expires int64
		if err := rows.Scan(&x.Version, &x.State, &x.CreatedBy, &created, &activated, &retires, &destroyed, &expires); err != nil {
			return fmt.Errorf("load versions: %w", err)
		}
		x.CreatedAt, x.ActivatedAt, x.RetiresAt = migrations.Time(created), migrations.Time(activated), migrations.Time(retires)
		x.DestroyedAt, x.ExpiresAt = migrations.Time(destroyed), migrations.Time(expires)
		c.Versions = append(c.Versions, x)
	}
	return rows.Err()
}

// Get loads one credential by its id or "connection/name"; ErrNoCredential if
// there is none.
func (v *Vault) Get(ctx context.Context, workspace, id string) (Credential, error) {
	var c Credential
	err := v.db.Read(ctx, func(tx *migrations.Tx) (err error) { c, err = load(tx, workspace, id); return err })
	return c, err
}

// List loads the credentials of a workspace; all is with those that were revoked.
func (v *Vault) List(ctx context.Context, workspace string, all bool) ([]Credential, error) {
	var list []Credential
	err := v.db.Read(ctx, func(tx *migrations.Tx) error {
		list = nil
		where := ` AND revoked_at = 0`
		if all {
			where = ""
		}
		rows, err := tx.Query(`SELECT `+columns+` FROM credentials WHERE workspace = $1`+where+` ORDER BY connection, name, created_at`, workspace)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			c, err := scan(rows)
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i := range list {
			if err := loadVersions(tx, &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list credentials of %s: %w", workspace, err)
	}
	return list, nil
}
