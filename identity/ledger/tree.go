package ledger

import (
	"crypto/sha256"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is the right edge of an RFC 6962 tree: all that appending and computing
// the root need. Its edge has the hashes of the complete subtrees that make up
// the tree, the largest first: one for each bit that is set in size.
type tree struct {
	size int64
	edge []byte
}

// sound reports whether the edge has the length that the size calls for.
func (t *tree) sound() bool {
	return t.size >= 0 && len(t.edge) == bits.OnesCount64(uint64(t.size))*tlog.HashSize
}

// grow adds a leaf by its hash and returns the hashes that come to be: that of
// the leaf, and of each subtree that it completes, from small to large. These are
// the stored hashes of tlog, in its order.
func (t *tree) grow(leaf tlog.Hash) []byte {
	h := leaf
	made := append([]byte(nil), h[:]...)
	for n := t.size; n&1 == 1; n >>= 1 {
		h = tlog.NodeHash(t.pop(), h)
		made = append(made, h[:]...)
	}
	t.edge = append(t.edge, h[:]...)
	t.size++
	return made
}

func (t *tree) pop() (h tlog.Hash) {
	at := len(t.edge) - tlog.HashSize
	copy(h[:], t.edge[at:])
	t.edge = t.edge[:at]
	return h
}

// root is the hash of the whole tree; RFC 6962 §2.1.
func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	var h tlog.Hash
	at := len(t.edge) - tlog.HashSize
	copy(h[:], t.edge[at:])
	for at > 0 {
		var left tlog.Hash
		copy(left[:], t.edge[at-tlog.HashSize:at])
		h = tlog.NodeHash(left, h)
		at -= tlog.HashSize
	}
	return h
}
