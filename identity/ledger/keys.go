package ledger

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Keys are derived from one master key: that of the HMACs over erasable texts,
// and that which signs checkpoints. They are never printed.
type Keys struct {
	hmac     []byte
	signer   note.Signer
	verifier string
}

const masterBytes = 32

// LoadKeys reads the master key at path, a file of 64 hexadecimal digits, and
// makes it with mode 0600 where there is none. A key that others than its owner
// can read is refused.
func LoadKeys(path string) (Keys, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = createKey(path)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("load key file: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Keys{}, fmt.Errorf("load key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Keys{}, fmt.Errorf("load key file: %s can be read by others (mode %04o): run chmod 600 on it, and make a new one if somebody may have read it", path, info.Mode().Perm())
	}
	master, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(master) != masterBytes {
		// The content stays out of the message, however wrong it is.
		return Keys{}, fmt.Errorf("load key file: %s does not hold a key (64 hexadecimal digits)", path)
	}
	return DeriveKeys(master)
}

// createKey makes a key file so that a crash leaves either none or a whole one.
func createKey(path string) ([]byte, error) {
	var master [masterBytes]byte
	_, _ = rand.Read(master[:]) // never fails
	text := []byte(hex.EncodeToString(master[:]) + "\n")
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	// Link, not rename: of two processes that start together, one key wins.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(path)
}

// DeriveKeys derives the keys from 32 bytes of master key (HKDF, RFC 5869).
func DeriveKeys(master []byte) (Keys, error) {
	mac, err := hkdf.Key(sha256.New, master, nil, "deskmate ledger hmac v1", 32)
	if err != nil {
		return Keys{}, fmt.Errorf("derive HMAC key: %w", err)
	}
	seed, err := hkdf.Key(sha256.New, master, nil, "deskmate ledger checkpoint v1", ed25519.SeedSize)
	if err != nil {
		return Keys{}, fmt.Errorf("derive signing key: %w", err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	const name = "deskmate-ledger"
	verifier, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		return Keys{}, fmt.Errorf("encode verifier key: %w", err)
	}
	// note.NewSigner takes the encoded form only. Its key hash is that of the
	// verifier; alg 1 is Ed25519. Source: pkg.go.dev/golang.org/x/mod/sumdb/note.
	parts := strings.SplitN(verifier, "+", 3)
	encoded := fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, parts[1], base64.StdEncoding.EncodeToString(append([]byte{1}, seed...)))
	signer, err := note.NewSigner(encoded)
	if err != nil {
		return Keys{}, errors.New("encode signing key") // err would hold the key
	}
	return Keys{hmac: mac, signer: signer, verifier: verifier}, nil
}

// Verifier is the public key that checkpoints verify with, in note's form. It
// may be given to anyone.
func (k Keys) Verifier() string { return k.verifier }

// sealer computes MACs, one after another. It is used by one goroutine.
type sealer struct {
	mac hash.Hash
	sum []byte
	buf []byte
}

func (k Keys) sealer() *sealer { return &sealer{mac: hmac.New(sha256.New, k.hmac)} }

// seal is the keyed HMAC of an erasable text, hexadecimal, bound to where it
// belongs: workspace and name cannot hold the zero byte that ends them.
func (s *sealer) seal(workspace, name, body string) string {
	s.buf = append(s.buf[:0], workspace...)
	s.buf = append(append(s.buf, 0), name...)
	s.buf = append(append(s.buf, 0), body...)
	s.mac.Reset()
	_, _ = s.mac.Write(s.buf) // never fails
	s.sum = s.mac.Sum(s.sum[:0])
	return hex.EncodeToString(s.sum)
}
