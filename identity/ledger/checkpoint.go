package ledger

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"deskmate/migrations"
)

// Checkpoint is a signed statement of a ledger's size and root hash.
type Checkpoint struct {
	Workspace string
	Size      int64
	Root      tlog.Hash
	Note      string // the signed note: origin, size, root, signature
}

// origin names the log in checkpoints: C2SP tlog-checkpoint, first line.
func origin(workspace string) string { return "deskmate/" + workspace }

// sign makes the checkpoint for a tree.
func (l *Ledger) sign(workspace string, size int64, root tlog.Hash) (Checkpoint, error) {
	body := fmt.Sprintf("%s\n%d\n%s\n", origin(workspace), size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: body}, l.keys.signer)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	return Checkpoint{workspace, size, root, string(signed)}, nil
}

// ParseCheckpoint checks a signed note with the verifier key (in note's form)
// and reads the checkpoint in it.
func ParseCheckpoint(text, verifier string) (Checkpoint, error) {
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read verifier key: %w", err)
	}
	n, err := note.Open([]byte(text), note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("check signature of checkpoint: %w", err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 {
		return Checkpoint{}, errors.New("read checkpoint: expected origin, size and root")
	}
	workspace, ok := strings.CutPrefix(lines[0], "deskmate/")
	if !ok {
		return Checkpoint{}, fmt.Errorf("read checkpoint: origin %q is not a ledger of ours", lines[0])
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Checkpoint{}, fmt.Errorf("read checkpoint: size %q is not a number", lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, errors.New("read checkpoint: the root is not a SHA-256 hash")
	}
	c := Checkpoint{Workspace: workspace, Size: size, Note: text}
	copy(c.Root[:], root)
	return c, nil
}

// ParseAnchors reads a file of checkpoints, as the anchor file is, newest last.
// An unfinished one at the end, cut off by a crash, is left out.
func ParseAnchors(text, verifier string) ([]Checkpoint, error) {
	var all []Checkpoint
	var held strings.Builder
	for line := range strings.Lines(text) {
		if held.Len() == 0 && line == "\n" {
			continue
		}
		held.WriteString(line)
		if !strings.HasPrefix(line, "\u2014 ") || !strings.HasSuffix(line, "\n") { // a note ends with its signature
			continue
		}
		c, err := ParseCheckpoint(held.String(), verifier)
		if err != nil {
			return nil, fmt.Errorf("checkpoint %d of the file: %w", len(all)+1, err)
		}
		all = append(all, c)
		held.Reset()
	}
	return all, nil
}

// Checkpoint signs the ledger's present state, stores and anchors it. A state
// that is signed already is not signed again.
func (l *Ledger) Checkpoint(ctx context.Context, workspace string) (Checkpoint, error) {
	var c Checkpoint
	fresh := false
	err := l.db.Write(ctx, func(tx *migrations.Tx) error {
		size, err := treeSize(tx, workspace)
		if err != nil || size == 0 {
			return err
		}
		root, err := tlog.TreeHash(size, hashReader(tx, workspace))
		if err != nil {
			return fmt.Errorf("compute root: %w", err)
		}
		var known string
		err = tx.QueryRow(`SELECT note FROM ledger_checkpoints WHERE workspace = $1 AND size = $2`, workspace, size).Scan(&known)
		switch {
		case err == nil:
			c = Checkpoint{workspace, size, root, known}
			return nil
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if c, err = l.sign(workspace, size, root); err != nil {
			return err
		}
		fresh = true
		_, err = tx.Exec(`INSERT INTO ledger_checkpoints (workspace, size, note, at) VALUES ($1, $2, $3, $4)`,
			workspace, size, c.Note, migrations.Micros(tx.Now()))
		return err
	})
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint ledger of %s: %w", workspace, err)
	}
	if fresh {
		return c, l.appendAnchor(c.Note)
	}
	return c, nil
}

// Run checkpoints every ledger that grew, at most Options.Every behind, until
// ctx ends, and once more then. What cannot be signed or anchored is logged and
// tried again.
func (l *Ledger) Run(ctx context.Context) error {
	tick := time.NewTicker(l.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.checkpointAll(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			l.checkpointAll(last)
			return nil
		}
	}
}

func (l *Ledger) checkpointAll(ctx context.Context) {
	all, err := l.Workspaces(ctx)
	if err != nil {
		l.o.Logger.Error().Err(err).Msg("ledgers not checkpointed")
		return
	}
	for _, w := range all {
		if _, err := l.Checkpoint(ctx, w); err != nil {
			l.o.Logger.Error().Err(err).Str("workspace", w).Msg("ledger not checkpointed")
		}
	}
}
