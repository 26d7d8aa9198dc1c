// Command verify checks a proof of `deskmate audit prove` with nothing but the
// standard library: that the entry is in the ledger which the signed checkpoint
// tells of. RFC 6962 §2.1.1, C2SP tlog-checkpoint and signed-note.
package main

import (
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
		Seq, Size       int64
		Leaf            json.RawMessage
		Path            []string
		Checkpoint, Key string
	}
	must(json.NewDecoder(os.Stdin).Decode(&p))
	hash := sha256.Sum256(append([]byte{0}, p.Leaf...))
	for node, last := p.Seq, p.Size-1; last > 0; node, last = node/2, last/2 {
		if node%2 == 0 && node == last { // no brother at this level
			continue
		}
		if len(p.Path) == 0 {
			must(fmt.Errorf("the path is too short"))
		}
		brother := unhex(p.Path[0])
		p.Path = p.Path[1:]
		if node%2 == 1 {
			hash = sha256.Sum256(append(append([]byte{1}, brother...), hash[:]...))
		} else {
			hash = sha256.Sum256(append(append([]byte{1}, hash[:]...), brother...))
		}
	}
	text, signature, _ := strings.Cut(p.Checkpoint, "\n\n")
	lines := strings.Split(text, "\n")
	key := unbase64(strings.SplitN(p.Key, "+", 3)[2]) // name, hash, key
	signed := unbase64(strings.TrimSpace(signature[strings.LastIndex(signature, " "):]))
	ok := ed25519.Verify(key[1:], []byte(text+"\n"), signed[4:])
	if !ok || len(p.Path) > 0 || p.Seq >= p.Size || len(lines) < 3 || lines[1] != fmt.Sprint(p.Size) || lines[2] != base64.StdEncoding.EncodeToString(hash[:]) {
		fmt.Println("NOT PROVEN: the entry, the path, the checkpoint or the key was changed")
		os.Exit(1)
	}
	fmt.Printf("proven: entry %d is in the ledger of %d entries that %s signed\n", p.Seq, p.Size, lines[0])
}

func unhex(s string) []byte    { b, err := hex.DecodeString(s); must(err); return b }
func unbase64(s string) []byte { b, err := base64.StdEncoding.DecodeString(s); must(err); return b }

func must(err error) {
	if err != nil {
		fmt.Println("NOT PROVEN:", err)
		os.Exit(1)
	}
}
