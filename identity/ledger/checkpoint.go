package ledger

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"deskmate/migrations"
)

// TopicCheckpoint is notified with a workspace when a checkpoint was stored.
const TopicCheckpoint = "ledger:checkpoint"

// Checkpoint is a signed statement of a ledger's size and root hash.
type Checkpoint struct {
	Workspace string
	Size      int64
	Root      tlog.Hash
	Note      string // the signed note: origin, size, root, signature
}

// origin names the log in checkpoints: C2SP tlog-checkpoint, first line.
func origin(workspace string) string { return originPrefix + workspace }

const originPrefix = "deskmate/"

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
	workspace, ok := strings.CutPrefix(lines[0], originPrefix)
	if !ok {
		return Checkpoint{}, fmt.Errorf("read checkpoint: origin %q is not a ledger of ours", lines[0])
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("read checkpoint: size %q is not a number", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, errors.New("read checkpoint: the root is not a SHA-256 hash")
	}
	c := Checkpoint{Workspace: workspace, Size: size, Note: text}
	copy(c.Root[:], root)
	return c, nil
}

// signatureChars are those of one Ed25519 signature of a note: base64 of the
// key's hash (4 bytes) and the signature (64).
const signatureChars = (4 + 64 + 2) / 3 * 4

// ParseAnchors reads a file of checkpoints, as the anchor file is, newest last.
// One that a crash cut off, so that it has no whole signature, is left out; a
// whole one that does not verify is an error.
func ParseAnchors(text, verifier string) ([]Checkpoint, error) {
	var all []Checkpoint
	var held strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, originPrefix) { // begins a note, whatever came before
			held.Reset()
		}
		if held.Len() == 0 && line == "\n" {
			continue
		}
		line = strings.TrimSuffix(line, "\n")
		held.WriteString(line + "\n")
		if !strings.HasPrefix(line, "\u2014 ") { // a note ends with its signature
			continue
		}
		if len(line)-strings.LastIndexByte(line, ' ')-1 >= signatureChars {
			c, err := ParseCheckpoint(held.String(), verifier)
			if err != nil {
				return nil, fmt.Errorf("checkpoint %d of the file: %w", len(all)+1, err)
			}
			all = append(all, c)
		}
		held.Reset()
	}
	return all, nil
}

// Checkpoint signs the ledger's present state, anchors it and stores it, in this
// order: what is in the store was anchored, and a crash between the two leads to
// the same checkpoint once more. A state that is signed already is not signed
// again; an empty ledger gives the zero Checkpoint.
func (l *Ledger) Checkpoint(ctx context.Context, workspace string) (Checkpoint, error) {
	c, err := l.checkpoint(ctx, workspace)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint ledger of %s: %w", workspace, err)
	}
	return c, nil
}

func (l *Ledger) checkpoint(ctx context.Context, workspace string) (Checkpoint, error) {
	var t tree
	var known string
	err := l.db.Read(ctx, func(tx *migrations.Tx) (err error) {
		if t, err = readTree(tx, workspace); err != nil {
			return err
		}
		err = tx.QueryRow(`SELECT note FROM ledger_checkpoints WHERE workspace = $1 AND size = $2`, workspace, t.size).Scan(&known)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || t.size == 0 {
		return Checkpoint{}, err
	}
	if known != "" {
		return Checkpoint{workspace, t.size, t.root(), known}, nil
	}
	c, err := l.sign(workspace, t.size, t.root())
	if err != nil {
		return Checkpoint{}, err
	}
	if err := l.appendAnchor(c.Note); err != nil {
		return Checkpoint{}, err
	}
	err = l.db.Write(ctx, func(tx *migrations.Tx) error {
		_, err := tx.Exec(`INSERT INTO ledger_checkpoints (workspace, size, note) VALUES ($1, $2, $3) ON CONFLICT (workspace, size) DO NOTHING`,
			workspace, c.Size, c.Note)
		tx.Notify(TopicCheckpoint, workspace)
		return err
	})
	return c, err
}

// appendAnchor adds a signed checkpoint to the anchor file, on a line of its own
// even when a crash cut off the one before.
func (l *Ledger) appendAnchor(text string) error {
	if l.o.Anchor == "" {
		return nil
	}
	f, err := os.OpenFile(l.o.Anchor, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("anchor checkpoint: %w", err)
	}
	torn, err := endsTorn(f)
	if err == nil {
		if torn {
			text = "\n" + text
		}
		_, err = f.WriteString(text + "\n")
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("anchor checkpoint: %w", err)
	}
	return nil
}

// endsTorn reports whether the last line of f has no end.
func endsTorn(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// Run checkpoints every ledger that grew, at most Options.Every behind, until
// ctx ends, and once more then. What cannot be signed or anchored is logged and
// tried again. Each sink is fed on its own: a slow one holds up nothing.
func (l *Ledger) Run(ctx context.Context) error {
	var feeding sync.WaitGroup
	looks := make([]chan struct{}, len(l.o.Sinks))
	for i, s := range l.o.Sinks {
		looks[i] = make(chan struct{}, 1)
		feeding.Go(func() { l.feed(ctx, s, looks[i]) })
	}
	tick := time.NewTicker(l.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.checkpointAll(ctx)
			for _, look := range looks {
				select {
				case look <- struct{}{}:
				default: // it will look
				}
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			l.checkpointAll(last)
			feeding.Wait()
			for _, s := range l.o.Sinks {
				feeding.Go(func() { l.anchor(last, s) })
			}
			feeding.Wait()
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
