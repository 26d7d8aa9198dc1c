package ledger

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"deskmate/migrations"
)

// Report is what Verify found. No problems means that every entry is as it was
// appended, as far as the checkpoints reach.
type Report struct {
	Workspace   string   `json:"workspace"`
	Entries     int64    `json:"entries"`
	Root        string   `json:"root"`
	Checkpoints int      `json:"checkpoints"` // that the tree agrees with, stored and given
	Erased      int64    `json:"erased"`      // texts whose HMAC stands but which were erased
	Problems    []string `json:"problems"`
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// mostProblems bounds a report: a rewritten ledger has as many as entries.
const mostProblems = 50

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) < mostProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// Verify recomputes the ledger of a workspace from its leaves and compares: every
// stored hash, the columns beside each leaf, every erasable text with its HMAC,
// the size, the root against all stored checkpoints, and the tree against the
// given ones (anchored elsewhere), which it must hold as prefixes. What is wrong
// is in the report; an error means that it could not be read.
func (l *Ledger) Verify(ctx context.Context, workspace string, anchored ...Checkpoint) (Report, error) {
	r := Report{Workspace: workspace}
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		v := verifier{l: l, tx: tx, r: &r, roots: map[int64]tlog.Hash{}}
		if err := v.expect(anchored); err != nil {
			return err
		}
		if err := v.leaves(); err != nil {
			return err
		}
		if err := v.storedHashes(); err != nil {
			return err
		}
		return v.compare()
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify ledger of %s: %w", workspace, err)
	}
	return r, nil
}

// verifier holds the recomputed tree: all hashes, in the order of tlog's
// numbering, 64 bytes or so an entry.
type verifier struct {
	l       *Ledger
	tx      *migrations.Tx
	r       *Report
	hashes  []tlog.Hash
	expects []Checkpoint
	roots   map[int64]tlog.Hash
}

func (v *verifier) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n >= int64(len(v.hashes)) {
			return nil, fmt.Errorf("hash %d is beyond the tree", n)
		}
		out[i] = v.hashes[n]
	}
	return out, nil
}

// expect collects the checkpoints that the tree must agree with.
func (v *verifier) expect(anchored []Checkpoint) error {
	for _, c := range anchored {
		if c.Workspace == v.r.Workspace {
			v.expects = append(v.expects, c)
		}
	}
	rows, err := v.tx.Query(`SELECT size, note FROM ledger_checkpoints WHERE workspace = $1 ORDER BY size`, v.r.Workspace)
	if err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var size int64
		var text string
		if err := rows.Scan(&size, &text); err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
		c, err := ParseCheckpoint(text, v.l.keys.verifier)
		switch {
		case err != nil:
			v.r.problem("the stored checkpoint of size %d is not ours: %v", size, err)
		case c.Workspace != v.r.Workspace || c.Size != size:
			v.r.problem("the stored checkpoint of size %d is that of %s, size %d", size, c.Workspace, c.Size)
		default:
			v.expects = append(v.expects, c)
		}
	}
	return rows.Err()
}

// leaves reads every entry in order, checks it, and grows the tree.
func (v *verifier) leaves() error {
	wanted := map[int64]bool{}
	for _, c := range v.expects {
		wanted[c.Size] = true
	}
	texts, err := v.payloads()
	if err != nil {
		return err
	}
	rows, err := v.tx.Query(`SELECT seq, at, kind, action, leaf FROM ledger_entries WHERE workspace = $1 ORDER BY seq`, v.r.Workspace)
	if err != nil {
		return fmt.Errorf("read entries: %w", err)
	}
	defer rows.Close()
	next := int64(0)
	for rows.Next() {
		var seq, at int64
		var kind, action, text string
		if err := rows.Scan(&seq, &at, &kind, &action, &text); err != nil {
			return fmt.Errorf("read entries: %w", err)
		}
		if seq != next {
			v.r.problem("entry %d is missing: the next one in the store is %d", next, seq)
		}
		e, err := decodeLeaf(text)
		if err != nil {
			v.r.problem("entry %d: %v", seq, err)
		} else {
			if e.Seq != seq || e.At != at || e.Kind != kind || e.Action != action || e.Workspace != v.r.Workspace {
				v.r.problem("entry %d: its columns differ from what was recorded", seq)
			}
			v.sealed(e, texts[seq])
		}
		delete(texts, seq)
		hashes, err := tlog.StoredHashes(next, []byte(text), v)
		if err != nil {
			return fmt.Errorf("hash entry %d: %w", seq, err)
		}
		v.hashes = append(v.hashes, hashes...)
		next++
		if wanted[next] {
			if v.roots[next], err = tlog.TreeHash(next, v); err != nil {
				return fmt.Errorf("compute root of size %d: %w", next, err)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read entries: %w", err)
	}
	for seq := range texts {
		v.r.problem("there is a text for entry %d, which is not in the ledger", seq)
	}
	v.r.Entries = next
	if next > 0 {
		root, err := tlog.TreeHash(next, v)
		if err != nil {
			return fmt.Errorf("compute root: %w", err)
		}
		v.r.Root = root.String()
	}
	return nil
}

func (v *verifier) payloads() (map[int64]map[string]string, error) {
	rows, err := v.tx.Query(`SELECT seq, name, body FROM ledger_payloads WHERE workspace = $1`, v.r.Workspace)
	if err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	defer rows.Close()
	texts := map[int64]map[string]string{}
	for rows.Next() {
		var seq int64
		var name, body string
		if err := rows.Scan(&seq, &name, &body); err != nil {
			return nil, fmt.Errorf("read texts: %w", err)
		}
		if texts[seq] == nil {
			texts[seq] = map[string]string{}
		}
		texts[seq][name] = body
	}
	return texts, rows.Err()
}

// sealed compares the texts beside an entry with the HMACs in it.
func (v *verifier) sealed(e leaf, texts map[string]string) {
	for name, mac := range e.Payload {
		body, here := texts[name]
		switch {
		case !here:
			v.r.Erased++
		case !hmac.Equal([]byte(mac), []byte(v.l.keys.seal(e.Workspace, name, body))):
			v.r.problem("entry %d: its %s is not what was recorded", e.Seq, name)
		}
	}
	for name := range texts {
		if _, known := e.Payload[name]; !known {
			v.r.problem("entry %d: a %s was added to it", e.Seq, name)
		}
	}
}

// storedHashes compares the hashes in the store with the recomputed ones.
func (v *verifier) storedHashes() error {
	rows, err := v.tx.Query(`SELECT n, hash FROM ledger_hashes WHERE workspace = $1 ORDER BY n`, v.r.Workspace)
	if err != nil {
		return fmt.Errorf("read hashes: %w", err)
	}
	defer rows.Close()
	next := int64(0)
	for rows.Next() {
		var n int64
		var h sql.RawBytes
		if err := rows.Scan(&n, &h); err != nil {
			return fmt.Errorf("read hashes: %w", err)
		}
		switch {
		case n != next:
			v.r.problem("hash %d is missing", next)
			return nil
		case n >= int64(len(v.hashes)):
			v.r.problem("there are hashes of more than the %d entries: entries are missing at the end", v.r.Entries)
			return nil
		case string(h) != string(v.hashes[n][:]):
			v.r.problem("hash %d does not fit its entries: an entry was changed, or the hash", n)
		}
		next++
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read hashes: %w", err)
	}
	if next < int64(len(v.hashes)) {
		v.r.problem("%d hashes are missing at the end", int64(len(v.hashes))-next)
	}
	var size int64
	err = v.tx.QueryRow(`SELECT size FROM ledger_sizes WHERE workspace = $1`, v.r.Workspace).Scan(&size)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read size: %w", err)
	}
	if size != v.r.Entries {
		v.r.problem("the ledger says that it has %d entries, and has %d", size, v.r.Entries)
	}
	return nil
}

// compare holds the tree against the checkpoints.
func (v *verifier) compare() error {
	for _, c := range v.expects {
		root, reached := v.roots[c.Size]
		switch {
		case c.Size > v.r.Entries:
			v.r.problem("a signed checkpoint tells of %d entries, and only %d are here: the end was cut off", c.Size, v.r.Entries)
		case !reached || root != c.Root:
			v.r.problem("the first %d entries are not those that a signed checkpoint tells of: the ledger was rewritten", c.Size)
		default:
			v.r.Checkpoints++
		}
	}
	return nil
}
