package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
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

// Growth shows that the ledger of one signed checkpoint begins with all that was
// in the ledger of an earlier one: nothing was changed or removed in between.
type Growth struct {
	Workspace string   `json:"workspace"`
	From      int64    `json:"from"` // size of the earlier tree
	To        int64    `json:"to"`   // of the later one
	Path      []string `json:"path"` // RFC 6962 §2.1.2, hexadecimal
	Earlier   string   `json:"earlier"`
	Later     string   `json:"later"` // signed notes: origin, size, root
	Key       string   `json:"key"`   // public key that they verify with
}

// Prove makes the proof of an entry for a checkpoint that covers it, the newest
// stored one if size is 0. It checks the proof before it gives it.
func (l *Ledger) Prove(ctx context.Context, workspace string, seq, size int64) (Proof, error) {
	var p Proof
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		if seq < 0 {
			return ErrNoEntry
		}
		c, err := l.signedAt(tx, workspace, size)
		if errors.Is(err, sql.ErrNoRows) || err == nil && seq >= c.Size {
			tree, terr := readTree(tx, workspace)
			if terr == nil && seq >= tree.size {
				return ErrNoEntry
			}
			return ErrNotCovered
		}
		if err == nil {
			p, err = l.prove(tx, seq, c)
		}
		return err
	})
	if err != nil {
		return p, fmt.Errorf("prove ledger entry %d of %s: %w", seq, workspace, err)
	}
	return p, nil
}

// ProveFor makes the proof of an entry for a checkpoint that was kept elsewhere.
func (l *Ledger) ProveFor(ctx context.Context, seq int64, c Checkpoint) (Proof, error) {
	var p Proof
	err := l.db.Read(ctx, func(tx *migrations.Tx) (err error) {
		if seq < 0 || seq >= c.Size {
			return ErrNotCovered
		}
		p, err = l.prove(tx, seq, c)
		return err
	})
	if err != nil {
		return p, fmt.Errorf("prove ledger entry %d of %s: %w", seq, c.Workspace, err)
	}
	return p, nil
}

// ErrNotCovered means that no checkpoint tells of the entry, or none of the size.
var ErrNotCovered = errors.New("no such checkpoint covers it: one is signed at most a minute after an entry")

var errUnfit = errors.New("the entries do not fit the checkpoint: run `deskmate audit verify`")

func (l *Ledger) prove(tx *migrations.Tx, seq int64, c Checkpoint) (Proof, error) {
	p := Proof{Workspace: c.Workspace, Seq: seq, Size: c.Size, Checkpoint: c.Note, Key: l.keys.verifier}
	var leaf string
	err := tx.QueryRow(`SELECT leaf FROM ledger_entries WHERE workspace = $1 AND seq = $2`, c.Workspace, seq).Scan(&leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return p, errUnfit
	}
	if err != nil {
		return p, fmt.Errorf("read entry: %w", err)
	}
	p.Leaf = json.RawMessage(leaf)
	path, err := tlog.ProveRecord(c.Size, seq, storedHashes{tx, c.Workspace})
	if err != nil {
		return p, err
	}
	if err := tlog.CheckRecord(path, c.Size, c.Root, seq, tlog.RecordHash(p.Leaf)); err != nil {
		return p, fmt.Errorf("%w: %w", errUnfit, err)
	}
	p.Path = inHex(path)
	return p, nil
}

// ProveGrowth makes the proof that the ledger of to entries begins with that of
// from entries; both were signed. The newest stored one is meant if to is 0. It
// checks the proof before it gives it.
func (l *Ledger) ProveGrowth(ctx context.Context, workspace string, from, to int64) (Growth, error) {
	g := Growth{Workspace: workspace, Key: l.keys.verifier}
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		earlier, err := l.signedAt(tx, workspace, from)
		if errors.Is(err, sql.ErrNoRows) || from <= 0 {
			return fmt.Errorf("of %d entries: %w", from, ErrNotCovered)
		}
		if err != nil {
			return err
		}
		later, err := l.signedAt(tx, workspace, to)
		if errors.Is(err, sql.ErrNoRows) || err == nil && later.Size < earlier.Size {
			return fmt.Errorf("of %d entries: %w", to, ErrNotCovered)
		}
		if err != nil {
			return err
		}
		path, err := tlog.ProveTree(later.Size, earlier.Size, storedHashes{tx, workspace})
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(path, later.Size, later.Root, earlier.Size, earlier.Root); err != nil {
			return fmt.Errorf("%w: %w", errUnfit, err)
		}
		g.From, g.To, g.Earlier, g.Later, g.Path = earlier.Size, later.Size, earlier.Note, later.Note, inHex(path)
		return nil
	})
	if err != nil {
		return g, fmt.Errorf("prove growth of ledger of %s: %w", workspace, err)
	}
	return g, nil
}

// signedAt is the stored checkpoint of a size, the newest if it is 0, or
// sql.ErrNoRows.
func (l *Ledger) signedAt(tx *migrations.Tx, workspace string, size int64) (Checkpoint, error) {
	var text string
	q, args := `SELECT note FROM ledger_checkpoints WHERE workspace = $1 ORDER BY size DESC LIMIT 1`, []any{workspace}
	if size != 0 {
		q, args = `SELECT note FROM ledger_checkpoints WHERE workspace = $1 AND size = $2`, []any{workspace, size}
	}
	if err := tx.QueryRow(q, args...).Scan(&text); err != nil {
		return Checkpoint{}, err
	}
	c, err := ParseCheckpoint(text, l.keys.verifier)
	if err == nil && (c.Workspace != workspace || size != 0 && c.Size != size) {
		err = errUnfit
	}
	return c, err
}

func inHex(path []tlog.Hash) []string {
	all := make([]string, len(path))
	for i, h := range path {
		all[i] = hex.EncodeToString(h[:])
	}
	return all
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
