package vault

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyring seals and opens. It is made of a key file, of keys in the environment,
// or of a key in a KMS. It is safe for concurrent use, also by several processes
// on one file.
type Keyring struct {
	path string // of the key file; "" for the others

	mu       sync.Mutex
	modified time.Time
	size     int64
	now      tink.AEAD            // seals
	old      []tink.AEAD          // open what was sealed before
	shards   map[string]tink.AEAD // of a key file: one key for each version, which only the file has
	doc      keyFile
}

// keyFile is what the file holds. Shards are why a destroyed version cannot be
// read from a backup of the database: half of its key is in the file alone.
type keyFile struct {
	Keyset json.RawMessage   `json:"keyset"` // Tink's JSON, in clear: the file is the secret
	Shards map[string]string `json:"shards"` // "workspace/credential/version" → 32 bytes, base64
}

// OpenFile reads the key file at path, and makes it with mode 0600 where there is
// none. A file that others than its owner can read is refused.
func OpenFile(path string) (*Keyring, error) {
	k := &Keyring{path: path}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		err = k.change(func(f *keyFile) error {
			if len(f.Keyset) > 0 {
				return nil // another process was first
			}
			h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
			if err != nil {
				return err
			}
			f.Keyset, err = clear(h)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("make vault key file: %w", err)
		}
	}
	if err := k.reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// FromHex makes a keyring of keys of 64 hexadecimal digits: the first seals, the
// others open what was sealed before.
func FromHex(keys ...string) (*Keyring, error) {
	k := &Keyring{}
	for i, text := range keys {
		raw, err := hex.DecodeString(strings.TrimSpace(text))
		if err != nil || len(raw) != 32 {
			return nil, errors.New("a vault key must be 64 hexadecimal digits") // without the key
		}
		a, err := subtle.NewAESGCM(raw)
		if err != nil {
			return nil, fmt.Errorf("make vault key: %w", err)
		}
		if i == 0 {
			k.now = a
		} else {
			k.old = append(k.old, a)
		}
	}
	if k.now == nil {
		return nil, errors.New("there is no vault key")
	}
	return k, nil
}

// FromKMS makes a keyring of a key that never leaves its service, as Tink's KMS
// clients give it. Each secret has a data key of its own, which the service wraps.
func FromKMS(kek tink.AEAD) *Keyring {
	return &Keyring{now: aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), kek)}
}

// clear writes a keyset as it is: only the key file may hold it.
func clear(h *keyset.Handle) (json.RawMessage, error) {
	var b bytes.Buffer
	err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b))
	return b.Bytes(), err
}

// change rewrites the key file, one process at a time, so that a crash leaves the
// old one or the new one.
func (k *Keyring) change(do func(f *keyFile) error) error {
	lock, err := os.OpenFile(k.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock vault key file: %w", err)
	}
	f, err := readKeyFile(k.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.Shards == nil {
		f.Shards = map[string]string{}
	}
	if err := do(&f); err != nil {
		return err
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(k.path), ".vault-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), k.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func readKeyFile(path string) (keyFile, error) {
	var f keyFile
	info, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return f, fmt.Errorf("the vault key file %s can be read by others (mode %04o): run chmod 600 on it, and rotate what it opens if somebody may have read it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil || len(f.Keyset) == 0 {
		return f, fmt.Errorf("the vault key file %s does not hold keys", path) // without what it holds
	}
	return f, nil
}

// reload reads the key file again if it has changed.
func (k *Keyring) reload() error {
	if k.path == "" {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.path)
	if err != nil {
		return fmt.Errorf("read vault key file: %w", err)
	}
	if k.now != nil && info.ModTime().Equal(k.modified) && info.Size() == k.size {
		return nil
	}
	f, err := readKeyFile(k.path)
	if err != nil {
		return err
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(f.Keyset)))
	if err != nil {
		return fmt.Errorf("the vault key file %s does not hold keys", k.path)
	}
	a, err := aead.New(h)
	if err != nil {
		return fmt.Errorf("use vault key file %s: %w", k.path, err)
	}
	shards := map[string]tink.AEAD{}
	for name, text := range f.Shards {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return fmt.Errorf("the vault key file %s holds a part that is none", k.path)
		}
		if shards[name], err = subtle.NewAESGCM(raw); err != nil {
			return fmt.Errorf("the vault key file %s holds a part that is none", k.path)
		}
	}
	k.now, k.shards, k.doc, k.modified, k.size = a, shards, f, info.ModTime(), info.Size()
	return nil
}

// seal encrypts a secret, bound to the row that ad names. name is that of its
// shard.
func (k *Keyring) seal(name string, secret, ad []byte) ([]byte, error) {
	if k.path != "" {
		raw := make([]byte, 32)
		if _, err := rand.Read(raw); err != nil {
			return nil, err
		}
		if err := k.change(func(f *keyFile) error {
			f.Shards[name] = base64.StdEncoding.EncodeToString(raw)
			return nil
		}); err != nil {
			return nil, fmt.Errorf("write vault key file: %w", err)
		}
		inner, err := subtle.NewAESGCM(raw)
		if err != nil {
			return nil, err
		}
		if secret, err = inner.Encrypt(secret, ad); err != nil {
			return nil, err
		}
	}
	if err := k.reload(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now.Encrypt(secret, ad)
}

// errSealed means that a secret cannot be opened: another key, another row, or it
// was changed.
var errSealed = errors.New("it cannot be opened: the key is another one, or it was changed or moved")

// open decrypts what seal gave.
func (k *Keyring) open(name string, sealed, ad []byte) ([]byte, error) {
	if err := k.reload(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	outer, err := k.outer(sealed, ad)
	if err != nil || k.path == "" {
		return outer, err
	}
	shard := k.shards[name]
	if shard == nil {
		return nil, errSealed
	}
	secret, err := shard.Decrypt(outer, ad)
	if err != nil {
		return nil, errSealed
	}
	return secret, nil
}

func (k *Keyring) outer(sealed, ad []byte) ([]byte, error) {
	for _, a := range append([]tink.AEAD{k.now}, k.old...) {
		if plain, err := a.Decrypt(sealed, ad); err == nil {
			return plain, nil
		}
	}
	return nil, errSealed
}

// again seals the outer layer anew under the key that seals now.
func (k *Keyring) again(sealed, ad []byte) ([]byte, error) {
	if err := k.reload(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	plain, err := k.outer(sealed, ad)
	if err != nil {
		return nil, err
	}
	return k.now.Encrypt(plain, ad)
}

// forget destroys the part of a version's key that only the key file has.
func (k *Keyring) forget(name string) error {
	if k.path == "" {
		return nil
	}
	if err := k.change(func(f *keyFile) error { delete(f.Shards, name); return nil }); err != nil {
		return fmt.Errorf("write vault key file: %w", err)
	}
	return k.reload()
}

// turn adds a new key to the key file, which seals from now on.
func (k *Keyring) turn() error {
	return k.keys(func(m *keyset.Manager) error {
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			return err
		}
		return m.SetPrimary(id)
	})
}

// drop removes all keys from the file but the one that seals.
func (k *Keyring) drop() error {
	return k.keys(func(m *keyset.Manager) error {
		h, err := m.Handle()
		if err != nil {
			return err
		}
		info := h.KeysetInfo()
		for _, x := range info.GetKeyInfo() {
			if x.GetKeyId() != info.GetPrimaryKeyId() {
				if err := m.Delete(x.GetKeyId()); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (k *Keyring) keys(do func(m *keyset.Manager) error) error {
	if k.path == "" {
		return nil
	}
	err := k.change(func(f *keyFile) error {
		h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(f.Keyset)))
		if err != nil {
			return errors.New("the vault key file does not hold keys")
		}
		m := keyset.NewManagerFromHandle(h)
		if err := do(m); err != nil {
			return err
		}
		if h, err = m.Handle(); err != nil {
			return err
		}
		f.Keyset, err = clear(h)
		return err
	})
	if err != nil {
		return fmt.Errorf("write vault key file: %w", err)
	}
	return k.reload()
}
