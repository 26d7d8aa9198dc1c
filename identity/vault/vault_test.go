package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

const (
	ws     = "T1"
	canary = "canary-7f3a91c2e5d8b604-secret"
)

type rig struct {
	t      testing.TB
	dir    string
	db     *migrations.DB
	ledger *ledger.Ledger
	v      *Vault
	now    *atomic.Int64
}

func newRig(t testing.TB, keys *Keyring) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), now: &atomic.Int64{}}
	r.now.Store(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixMicro())
	var err error
	if r.db, err = migrations.Open(context.Background(), migrated.At(t, filepath.Join(r.dir, "store.db")), migrations.Options{Clock: func() time.Time { return time.UnixMicro(r.now.Load()) }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	k, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	r.ledger = ledger.New(r.db, k, ledger.Options{})
	if keys == nil {
		if keys, err = OpenFile(filepath.Join(r.dir, "vault.key")); err != nil {
			t.Fatal(err)
		}
	}
	r.v = New(r.db, r.ledger, keys)
	return r
}

func (r *rig) pass(d time.Duration) { r.now.Add(d.Microseconds()) }

func addition(name string) Addition {
	return Addition{Workspace: ws, Connection: "github", Name: name, Owner: "U0ADA", Justification: "reads issues"}
}

func (r *rig) add(name, secret string) Credential {
	r.t.Helper()
	c, err := r.v.Add(context.Background(), "cli:ada", addition(name), []byte(secret))
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// reads is the secret as Use gives it, "" and why where it does not.
func (r *rig) reads(v *Vault, id string) (string, error) {
	got := ""
	_, err := v.Use(context.Background(), ws, id, func(s []byte) error { got = string(s); return nil })
	return got, err
}

func (r *rig) want(id, secret string) {
	r.t.Helper()
	if got, err := r.reads(r.v, id); got != secret || err != nil {
		r.t.Errorf("Use = %q, %v; want %q", got, err, secret)
	}
}

func (r *rig) deny(id, why string) {
	r.t.Helper()
	got, err := r.reads(r.v, id)
	var denied *DeniedError
	if !errors.As(err, &denied) || !strings.Contains(denied.Why, why) || got != "" {
		r.t.Errorf("Use = %q, %v; want it denied with %q", got, err, why)
	}
}

func TestAVersionsLife(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, nil), context.Background()
	c := r.add("bot", "one")
	r.want(c.ID, "one")
	r.want("github/bot", "one")
	if _, err := r.v.Add(ctx, "cli:ada", addition("bot"), []byte("x")); err == nil {
		t.Error("two credentials of one name")
	}
	if _, err := r.v.Rotate(ctx, "cli:ada", ws, c.ID, []byte("two"), time.Time{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	r.want(c.ID, "two")
	if _, err := r.v.Rollback(ctx, "cli:ada", ws, c.ID, "two does not work"); err != nil {
		t.Fatal(err)
	}
	r.want(c.ID, "one")
	if _, err := r.v.Rollback(ctx, "cli:ada", ws, c.ID, "again"); err == nil {
		t.Error("rolled back to a version that was destroyed")
	}
	if _, err := r.v.Rotate(ctx, "cli:ada", ws, c.ID, []byte("three"), time.Time{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	r.pass(2 * time.Hour)
	if err := r.v.Sweep(ctx, ws, func(*migrations.Tx, Warning) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.v.Rollback(ctx, "cli:ada", ws, c.ID, "too late"); err == nil {
		t.Error("rolled back after the overlap")
	}
	r.want(c.ID, "three")
	if _, err := r.v.Revoke(ctx, "cli:ada", ws, c.ID, ""); err == nil {
		t.Error("revoked without a reason")
	}
	got, err := r.v.Revoke(ctx, "cli:ada", ws, c.ID, "it leaked")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range got.Versions {
		if x.State != Destroyed || x.DestroyedAt.IsZero() {
			t.Errorf("after it was revoked version %d is %s", x.Version, x.State)
		}
	}
	r.deny(c.ID, "revoked")
	r.deny("github/none", "there is none")
	if _, err := r.v.Rotate(ctx, "cli:ada", ws, c.ID, []byte("four"), time.Time{}, 0); err == nil {
		t.Error("a revoked credential was rotated")
	}
	r.add("bot", "anew") // the name is free again
	if report, err := r.ledger.Verify(ctx, ws); err != nil || !report.OK() {
		t.Errorf("the ledger does not verify: %v %v", err, report.Problems)
	}
}

func TestWarningsComeOnceEachAndAnExpiredOneIsDenied(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, nil), context.Background()
	a := addition("bot")
	a.ExpiresAt = r.db.Now().AddDate(0, 0, 20)
	c, err := r.v.Add(ctx, "cli:ada", a, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	var told []int64
	for range 25 {
		for range 2 {
			if err := r.v.Sweep(ctx, ws, func(_ *migrations.Tx, w Warning) error { told = append(told, w.Days); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		r.pass(24 * time.Hour)
	}
	if fmt.Sprint(told) != "[14 3 0]" {
		t.Errorf("warned %v days ahead, want 14, 3 and 0, once each", told)
	}
	r.deny(c.ID, "expired")
	if got, err := r.v.Get(ctx, ws, c.ID); err != nil || got.LastDeniedAt.IsZero() {
		t.Errorf("the denial was not noted: %v", err)
	}
}

// A secret opens in its own row only, and not when a byte of it was changed.
func TestASecretIsBoundToItsRow(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, nil), context.Background()
	a, b := r.add("a", "secret-a"), r.add("b", "secret-b")
	exec := func(q string, args ...any) {
		t.Helper()
		if err := r.db.Write(ctx, func(tx *migrations.Tx) error { _, err := tx.Exec(q, args...); return err }); err != nil {
			t.Fatal(err)
		}
	}
	var sealed []byte
	if err := r.db.QueryRow(ctx, `SELECT sealed FROM credential_versions WHERE credential = $1`, a.ID).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	exec(`UPDATE credential_versions SET sealed = $1 WHERE credential = $2`, sealed, b.ID)
	r.deny(b.ID, "cannot be opened")
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		exec(`UPDATE credential_versions SET sealed = $1 WHERE credential = $2`, bad, a.ID)
		if got, err := r.reads(r.v, a.ID); err == nil {
			t.Fatalf("with byte %d changed it opened as %q", i, got)
		}
	}
	exec(`UPDATE credential_versions SET sealed = $1 WHERE credential = $2`, sealed, a.ID)
	r.want(a.ID, "secret-a")
	exec(`UPDATE credentials SET connection = 'evil' WHERE id = $1`, a.ID)
	r.deny(a.ID, "cannot be opened")
}

func TestOtherKeysOpenNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.add("bot", canary)
	other, err := OpenFile(filepath.Join(r.dir, "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.reads(New(r.db, r.ledger, other), c.ID); err == nil {
		t.Errorf("another key opened it: %q", got)
	}
	if err := os.Chmod(filepath.Join(r.dir, "vault.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(filepath.Join(r.dir, "vault.key")); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key file that others can read: %v", err)
	}
	bad := filepath.Join(r.dir, "bad.key")
	if err := os.WriteFile(bad, []byte(`{"keyset": "`+canary+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(bad); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("a bad key file: %v; want an error without what it holds", err)
	}
	if _, err := FromHex("abc"); err == nil || strings.Contains(err.Error(), "abc") {
		t.Errorf("a bad key: %v", err)
	}
}

// After a version was destroyed, a backup of the store from before is useless, as
// the key file has forgotten its part.
func TestADestroyedSecretCannotBeReadFromABackup(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, nil), context.Background()
	c := r.add("bot", canary)
	path := filepath.Join(r.dir, "backup.db")
	if err := migrations.Backup(ctx, r.db, path); err != nil {
		t.Fatal(err)
	}
	open := func() (string, error) {
		db, err := migrations.Open(ctx, "sqlite:"+path, migrations.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		keys, err := OpenFile(filepath.Join(r.dir, "vault.key"))
		if err != nil {
			t.Fatal(err)
		}
		return r.reads(New(db, r.ledger, keys), c.ID)
	}
	if got, err := open(); got != canary || err != nil {
		t.Fatalf("before: %q, %v; want that the backup works", got, err)
	}
	if _, err := r.v.Revoke(ctx, "cli:ada", ws, c.ID, "it leaked"); err != nil {
		t.Fatal(err)
	}
	if got, err := open(); err == nil {
		t.Errorf("after it was destroyed the backup gives %q", got)
	}
}

func TestRekeyWhileInUse(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, nil), context.Background()
	var ids []string
	for i := range 10 {
		ids = append(ids, r.add(fmt.Sprintf("bot%d", i), fmt.Sprintf("secret-%d", i)).ID)
	}
	before, err := os.ReadFile(filepath.Join(r.dir, "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	otherKeys, err := OpenFile(filepath.Join(r.dir, "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	other := New(r.db, r.ledger, otherKeys) // another process
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for _, v := range []*Vault{r.v, other} {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := r.reads(v, ids[i%10]); got != fmt.Sprintf("secret-%d", i%10) {
					t.Errorf("while keys are turned: %q, %v", got, err)
					return
				}
			}
		})
	}
	// A crash in the middle: a new key is there, nothing is sealed with it.
	if err := r.v.keys.turn(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.v.Rekey(ctx, "cli:ada", ws); err != nil || n != 10 {
		t.Errorf("Rekey = %d, %v", n, err)
	}
	close(stop)
	readers.Wait()
	// The old file, with its shards brought up to date, opens nothing any more.
	old := filepath.Join(r.dir, "old.key")
	if err := os.WriteFile(old, before, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := OpenFile(old)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.reads(New(r.db, r.ledger, keys), ids[0]); err == nil {
		t.Errorf("the old key opens %q", got)
	}
}

// brittleKMS is a key service that can fail.
type brittleKMS struct {
	tink.AEAD
	down atomic.Bool
}

func (k *brittleKMS) Encrypt(p, ad []byte) ([]byte, error) {
	if k.down.Load() {
		return nil, errors.New("the service does not answer")
	}
	return k.AEAD.Encrypt(p, ad)
}

func (k *brittleKMS) Decrypt(c, ad []byte) ([]byte, error) {
	if k.down.Load() {
		return nil, errors.New("the service does not answer")
	}
	return k.AEAD.Decrypt(c, ad)
}

func TestKeysOfTheEnvironmentAndOfAService(t *testing.T) {
	t.Parallel()
	key := func(c string) string { return strings.Repeat(c, 64) }
	env, err := FromHex(key("1"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, env)
	c := r.add("bot", "one")
	r.want(c.ID, "one")
	both, err := FromHex(key("2"), key("1"))
	if err != nil {
		t.Fatal(err)
	}
	r.v = New(r.db, r.ledger, both)
	r.want(c.ID, "one")
	if _, err := r.v.Rekey(context.Background(), "cli:ada", ws); err != nil {
		t.Fatal(err)
	}
	if env, err = FromHex(key("2")); err != nil {
		t.Fatal(err)
	}
	r.v = New(r.db, r.ledger, env)
	r.want(c.ID, "one")

	local, err := subtle.NewAESGCM(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	service := &brittleKMS{AEAD: local}
	r = newRig(t, FromKMS(service))
	c = r.add("bot", "two")
	r.want(c.ID, "two")
	service.down.Store(true)
	if got, err := r.reads(r.v, c.ID); err == nil {
		t.Errorf("opened without the service: %q", got)
	}
	if _, err := r.v.Rotate(context.Background(), "cli:ada", ws, c.ID, []byte("three"), time.Time{}, 0); err == nil {
		t.Error("sealed without the service")
	}
	service.down.Store(false)
	r.want(c.ID, "two")
}

func TestALinkIsUsedOnceAndItsSecretIsApprovedBySomebodyElse(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, nil), context.Background()
	c, token, err := r.v.Invite(ctx, "cli:ada", addition("bot"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.deny(c.ID, "no secret")
	if got, err := r.v.Asked(ctx, token); err != nil || got.ID != c.ID {
		t.Errorf("Asked = %v, %v", got.ID, err)
	}
	var wins atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := r.v.Submit(ctx, token, "ben", []byte("handed in")); err == nil {
				wins.Add(1)
			} else if !errors.Is(err, ErrLink) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if wins.Load() != 1 {
		t.Errorf("the link was used %d times", wins.Load())
	}
	r.deny(c.ID, "has not been approved")
	if _, err := r.v.Approve(ctx, "cli:ben", ws, c.ID); err == nil {
		t.Error("whoever handed it in approved it")
	}
	if _, err := r.v.Approve(ctx, "cli:ada", ws, c.ID); err != nil {
		t.Fatal(err)
	}
	r.want(c.ID, "handed in")
	_, late, err := r.v.Invite(ctx, "cli:ada", addition("bot"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.pass(2 * time.Hour)
	for _, bad := range []string{late, token, "", "x", late + "x"} {
		if _, err := r.v.Asked(ctx, bad); !errors.Is(err, ErrLink) {
			t.Errorf("Asked(%.8q) = %v; want ErrLink", bad, err)
		}
		if _, err := r.v.Submit(ctx, bad, "ben", []byte("x")); !errors.Is(err, ErrLink) {
			t.Errorf("Submit(%.8q) = %v; want ErrLink", bad, err)
		}
	}
}

// Whatever was done with it, a secret stands in no file of the store in any form.
func TestASecretStandsInNoFile(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, nil), context.Background()
	c := r.add("bot", canary)
	r.want(c.ID, canary)
	if _, err := r.v.Rotate(ctx, "cli:ada", ws, c.ID, []byte(canary+"2"), time.Time{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := r.v.Rollback(ctx, "cli:ada", ws, c.ID, "no"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.v.Rekey(ctx, "cli:ada", ws); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Backup(ctx, r.db, filepath.Join(r.dir, "backup.db")); err != nil {
		t.Fatal(err)
	}
	var export bytes.Buffer
	if _, err := r.ledger.Write(ctx, ws, ledger.FormatJSONL, time.Time{}, time.Time{}, &export); err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{"the ledger's export": export.Bytes()}
	files, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if texts[f.Name()], err = os.ReadFile(filepath.Join(r.dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if len(texts) < 4 {
		t.Fatalf("only %d files were looked at", len(texts))
	}
	for name, text := range texts {
		for form, secret := range map[string]string{"plain": canary, "base64": base64.StdEncoding.EncodeToString([]byte(canary))[:24], "hex": hex.EncodeToString([]byte(canary))} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("the secret stands in %s, %s", name, form)
			}
		}
	}
}

func BenchmarkUse(b *testing.B) {
	r := newRig(b, nil)
	c := r.add("bot", canary)
	for b.Loop() {
		if got, err := r.reads(r.v, c.ID); got != canary {
			b.Fatal(err)
		}
	}
}
