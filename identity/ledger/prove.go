package ledger

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"deskmate/migrations"
)

// Proof shows that an entry is in the ledger that a signed checkpoint tells of.
// Nothing else is needed to check it: docs/verify does so in a few lines.
type Proof struct {
	Workspace  string          `json:"workspace"`
	Seq        int64           `json:"seq"`        // index of the leaf
	Leaf       json.RawMessage `json:"leaf"`       // what is hashed: SHA-256(0x00 ‖ leaf)
	Size       int64           `json:"size"`       // of the tree
	Path       []string        `json:"path"`       // RFC 6962 §2.1.1, hexadecimal, from the leaf up
	Checkpoint string          `json:"checkpoint"` // signed note: origin, size, root
	Key        string          `json:"key"`        // public key that it verifies with
}

// Prove makes the proof of an entry for a checkpoint that covers it, the newest
// stored one if size is 0. It checks the proof before it gives it.
func (l *Ledger) Prove(ctx context.Context, workspace string, seq, size int64) (Proof, error) {
	p := Proof{Workspace: workspace, Seq: seq, Key: l.keys.verifier}
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		where, args := `size > $2`, []any{workspace, seq}
		if size > 0 {
			where, args = `size = $2`, []any{workspace, size}
		}
		if err := tx.QueryRow(`SELECT size, note FROM ledger_checkpoints WHERE workspace = $1 AND `+where+` ORDER BY size DESC LIMIT 1`, args...).Scan(&p.Size, &p.Checkpoint); err != nil {
			return fmt.Errorf("find a checkpoint that covers it (one is made at most a minute after the entry): %w", err)
		}
		if seq < 0 || seq >= p.Size {
			return ErrNoEntry
		}
		var leaf string
		if err := tx.QueryRow(`SELECT leaf FROM ledger_entries WHERE workspace = $1 AND seq = $2`, workspace, seq).Scan(&leaf); err != nil {
			return fmt.Errorf("read entry: %w", err)
		}
		p.Leaf = json.RawMessage(leaf)
		path, err := tlog.ProveRecord(p.Size, seq, storedHashes{tx, workspace})
		if err != nil {
			return err
		}
		c, err := ParseCheckpoint(p.Checkpoint, l.keys.verifier)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(path, p.Size, c.Root, seq, tlog.RecordHash(p.Leaf)); err != nil {
			return fmt.Errorf("the entry does not fit the checkpoint: run `deskmate audit verify`: %w", err)
		}
		for _, h := range path {
			p.Path = append(p.Path, hex.EncodeToString(h[:]))
		}
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("prove ledger entry %d of %s: %w", seq, workspace, err)
	}
	return p, nil
}

// storedHashes reads the tree's hashes from beside the entries that completed
// their subtrees.
type storedHashes struct {
	tx        *migrations.Tx
	workspace string
}

// ReadHashes implements tlog.HashReader.
func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		var hashes []byte
		if err := s.tx.QueryRow(`SELECT hashes FROM ledger_entries WHERE workspace = $1 AND seq = $2`, s.workspace, (n+1)<<level-1).Scan(&hashes); err != nil {
			return nil, fmt.Errorf("read hash %d: %w", index, err)
		}
		if len(hashes) < (level+1)*tlog.HashSize {
			return nil, fmt.Errorf("the hashes of entry %d are too few: run `deskmate audit verify`", (n+1)<<level-1)
		}
		copy(all[i][:], hashes[level*tlog.HashSize:])
	}
	return all, nil
}
