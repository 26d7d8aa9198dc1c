// Command verify checks a proof of `deskmate audit prove` with nothing but the
// standard library: that an entry is in the ledger which a signed checkpoint tells
// of, or that one ledger begins with another. RFC 6962 §2.1, RFC 9162 §2.1.4.2,
// C2SP tlog-checkpoint and signed-note.
//
// Its argument is the public key that you trust. Without one it takes that of the
// proof, which anybody can have made: compare what it prints.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	var p struct {
		Seq, Size, From, To             int64
		Leaf                            json.RawMessage
		Path                            []string
		Checkpoint, Earlier, Later, Key string
	}
	must(json.NewDecoder(os.Stdin).Decode(&p))
	trusted := "the key that you gave"
	if len(os.Args) < 2 {
		trusted = "the key of the proof, " + p.Key + " (is it the one of `deskmate audit key`?)"
	} else {
		p.Key = os.Args[1]
	}
	path := make([][]byte, len(p.Path))
	for i, h := range p.Path {
		path[i] = decoded(hex.DecodeString(h))
	}
	if p.Leaf == nil {
		earlier, root1 := open(p.Earlier, p.Key, p.From)
		later, root2 := open(p.Later, p.Key, p.To)
		check(earlier == later && grows(path, p.From, p.To, root1, root2), "the later ledger does not begin with the earlier one")
		fmt.Printf("proven: the ledger of %d entries of %s begins with that of %d\nsigned with %s\n", p.To, later, p.From, trusted)
		return
	}
	log, root := open(p.Checkpoint, p.Key, p.Size)
	check(contains(path, p.Seq, p.Size, sha256.Sum256(append([]byte{0}, p.Leaf...)), root), "the entry is not in that ledger")
	fmt.Printf("proven: entry %d is in the ledger of %d entries of %s\nsigned with %s\n%s\n", p.Seq, p.Size, log, trusted, p.Leaf)
}

// contains walks from a leaf to the root: RFC 6962 §2.1.1.
func contains(path [][]byte, n, size int64, hash [32]byte, root []byte) bool {
	if n < 0 || n >= size {
		return false
	}
	for last := size - 1; last > 0; n, last = n/2, last/2 {
		if n%2 == 0 && n == last {
			continue // it has no brother at this level
		}
		if len(path) == 0 {
			return false
		}
		if n%2 == 1 {
			hash = node(path[0], hash[:])
		} else {
			hash = node(hash[:], path[0])
		}
		path = path[1:]
	}
	return len(path) == 0 && bytes.Equal(hash[:], root)
}

// grows computes both roots from the same hashes: RFC 9162 §2.1.4.2.
func grows(path [][]byte, from, to int64, root1, root2 []byte) bool {
	if from <= 0 || from >= to {
		return from == to && from > 0 && len(path) == 0 && bytes.Equal(root1, root2)
	}
	if from&(from-1) == 0 {
		path = append([][]byte{root1}, path...)
	}
	if len(path) == 0 || len(path[0]) != 32 {
		return false
	}
	n, last := from-1, to-1
	for ; n%2 == 1; n, last = n/2, last/2 {
	}
	one, two := [32]byte(path[0]), [32]byte(path[0])
	for _, h := range path[1:] {
		if last == 0 {
			return false
		}
		if n%2 == 1 || n == last {
			one, two = node(h, one[:]), node(h, two[:])
			for ; n%2 == 0 && n > 0; n, last = n/2, last/2 {
			}
		} else {
			two = node(two[:], h)
		}
		n, last = n/2, last/2
	}
	return last == 0 && bytes.Equal(one[:], root1) && bytes.Equal(two[:], root2)
}

func node(left, right []byte) [32]byte {
	check(len(left) == 32 && len(right) == 32, "a hash of the path is too short")
	return sha256.Sum256(append(append([]byte{1}, left...), right...))
}

// open checks the signature of a checkpoint and gives the log's name and root.
func open(signed, key string, size int64) (log string, root []byte) {
	text, line, _ := strings.Cut(signed, "\n\n")
	fields, named, body := strings.Fields(line), strings.Split(key, "+"), strings.Split(text, "\n")
	check(len(fields) == 3 && len(named) >= 3 && len(body) >= 3, "the checkpoint or the key is no such thing")
	public := decoded(base64.StdEncoding.DecodeString(strings.Join(named[2:], "+"))) // name, hash, key
	signature := decoded(base64.StdEncoding.DecodeString(fields[2]))                 // hash, signature
	check(len(public) == 33 && public[0] == 1 && len(signature) == 68 && ed25519.Verify(public[1:], []byte(text+"\n"), signature[4:]), "the checkpoint was not signed with the key")
	check(body[1] == fmt.Sprint(size), "the checkpoint is of another size")
	return body[0], decoded(base64.StdEncoding.DecodeString(body[2]))
}

func decoded(b []byte, err error) []byte { must(err); return b }

func must(err error) { check(err == nil, fmt.Sprint(err)) }

func check(ok bool, otherwise string) {
	if !ok {
		fmt.Println("NOT PROVEN:", otherwise)
		os.Exit(1)
	}
}
