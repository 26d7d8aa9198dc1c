// Package ledger is the append-only record of everything the agent did, was
// refused, and was told by its admins.
//
// It promises that an entry is appended in the transaction of what it records,
// that any change to what was appended (a flip, deletion, insertion, reordering,
// truncation or rewriting) is found by Verify given the last anchored checkpoint,
// and that texts which must be erasable can be erased without breaking a proof.
// It must never change or remove an entry, and never hold a secret.
//
// The tree is that of RFC 6962 (golang.org/x/mod/sumdb/tlog); checkpoints are
// signed notes in the form of C2SP tlog-checkpoint. See docs/ledger.md.
package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/tlog"

	"deskmate/migrations"
)

// Record is what happened. Empty fields are left out of the entry.
type Record struct {
	Workspace string
	Kind      string // intent, outcome, denied, turn.stopped, duty.created …
	Agent     string // the agent's Slack user id
	Actor     string // who did it: the agent's user id, a person's, or "system"
	Requester string // the human whose message or duty caused it
	Turn      string
	Cause     string // Event key of the message or run behind it
	Channel   string
	Thread    string
	Target    string
	Tool      string
	Class     string
	Action    string // the action's key
	Decision  string
	Reasons   []string
	Outcome   string            // done, failed, unknown, cancelled
	Ref       *int64            // seq of the intent that an outcome belongs to
	Fields    map[string]string // what else a kind needs
	Payload   map[string]string // erasable texts by name; the entry holds their HMAC
}

// leaf is the canonical form of an entry: fixed field order, no insignificant
// space, empty fields absent. V grows when its meaning changes.
type leaf struct {
	V         int               `json:"v"`
	Seq       int64             `json:"seq"`
	At        int64             `json:"at"` // microseconds since 1970 UTC
	Workspace string            `json:"workspace"`
	Kind      string            `json:"kind"`
	Agent     string            `json:"agent,omitempty"`
	Actor     string            `json:"actor,omitempty"`
	Requester string            `json:"requester,omitempty"`
	Turn      string            `json:"turn,omitempty"`
	Cause     string            `json:"cause,omitempty"`
	Channel   string            `json:"channel,omitempty"`
	Thread    string            `json:"thread,omitempty"`
	Target    string            `json:"target,omitempty"`
	Tool      string            `json:"tool,omitempty"`
	Class     string            `json:"class,omitempty"`
	Action    string            `json:"action,omitempty"`
	Decision  string            `json:"decision,omitempty"`
	Reasons   []string          `json:"reasons,omitempty"`
	Outcome   string            `json:"outcome,omitempty"`
	Ref       *int64            `json:"ref,omitempty"`
	Fields    map[string]string `json:"fields,omitempty"`
	Payload   map[string]string `json:"payload,omitempty"` // name → HMAC-SHA256, hexadecimal
}

// Entry is one entry as it was appended, with those of its texts that were not
// erased.
type Entry struct {
	Seq     int64             `json:"seq"`
	At      time.Time         `json:"at"`
	Kind    string            `json:"kind"`
	Leaf    json.RawMessage   `json:"leaf"`
	Payload map[string]string `json:"payload,omitempty"`
}

// Options are the choices of New; the zero value anchors nowhere.
type Options struct {
	Anchor string        // file that checkpoints are appended to; "" for none
	Every  time.Duration // how far behind a checkpoint may be; 0: 60 s
	Logger zerolog.Logger
}

// Ledger appends to and reads the ledgers of all workspaces in one store.
type Ledger struct {
	db   *migrations.DB
	keys Keys
	o    Options
}

// New returns the ledger of db.
func New(db *migrations.DB, k Keys, o Options) *Ledger {
	if o.Every == 0 {
		o.Every = time.Minute
	}
	return &Ledger{db, k, o}
}

// Append adds r in tx and returns its sequence number. When the transaction is
// undone, so is the entry.
func (l *Ledger) Append(tx *migrations.Tx, r Record) (int64, error) {
	if r.Workspace == "" || r.Kind == "" {
		return 0, errors.New("append to ledger: workspace and kind must not be empty")
	}
	size, err := treeSize(tx, r.Workspace)
	if err != nil {
		return 0, fmt.Errorf("append to ledger: %w", err)
	}
	at := migrations.Micros(tx.Now())
	e := leaf{
		V: 1, Seq: size, At: at, Workspace: r.Workspace, Kind: r.Kind, Agent: r.Agent, Actor: r.Actor, Requester: r.Requester,
		Turn: r.Turn, Cause: r.Cause, Channel: r.Channel, Thread: r.Thread, Target: r.Target, Tool: r.Tool, Class: r.Class,
		Action: r.Action, Decision: r.Decision, Reasons: r.Reasons, Outcome: r.Outcome, Ref: r.Ref, Fields: r.Fields,
	}
	if len(r.Payload) > 0 {
		e.Payload = map[string]string{}
		for name, body := range r.Payload {
			e.Payload[name] = l.keys.seal(r.Workspace, name, body)
		}
	}
	text, err := json.Marshal(e) // maps are written in order of their keys
	if err != nil {
		return 0, fmt.Errorf("encode ledger entry: %w", err)
	}
	if err := l.insert(tx, r, size, at, text); err != nil {
		return 0, fmt.Errorf("append to ledger: %w", err)
	}
	return size, nil
}

func (l *Ledger) insert(tx *migrations.Tx, r Record, seq, at int64, text []byte) error {
	if _, err := tx.Exec(`INSERT INTO ledger_entries (workspace, seq, at, kind, action, leaf) VALUES ($1, $2, $3, $4, $5, $6)`,
		r.Workspace, seq, at, r.Kind, r.Action, string(text)); err != nil {
		return err
	}
	for _, name := range sortedKeys(r.Payload) {
		if _, err := tx.Exec(`INSERT INTO ledger_payloads (workspace, seq, name, body) VALUES ($1, $2, $3, $4)`,
			r.Workspace, seq, name, r.Payload[name]); err != nil {
			return err
		}
	}
	hashes, err := tlog.StoredHashes(seq, text, hashReader(tx, r.Workspace))
	if err != nil {
		return fmt.Errorf("hash entry: %w", err)
	}
	first := tlog.StoredHashIndex(0, seq)
	for i, h := range hashes {
		if _, err := tx.Exec(`INSERT INTO ledger_hashes (workspace, n, hash) VALUES ($1, $2, $3)`, r.Workspace, first+int64(i), h[:]); err != nil {
			return err
		}
	}
	_, err = tx.Exec(`INSERT INTO ledger_sizes (workspace, size) VALUES ($1, $2) ON CONFLICT (workspace) DO UPDATE SET size = excluded.size`,
		r.Workspace, seq+1)
	return err
}

func treeSize(tx *migrations.Tx, workspace string) (int64, error) {
	var size int64
	err := tx.QueryRow(`SELECT size FROM ledger_sizes WHERE workspace = $1`, workspace).Scan(&size)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return size, err
}

// hashReader reads stored hashes of one workspace's tree.
func hashReader(tx *migrations.Tx, workspace string) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, n := range indexes {
			var b []byte
			if err := tx.QueryRow(`SELECT hash FROM ledger_hashes WHERE workspace = $1 AND n = $2`, workspace, n).Scan(&b); err != nil {
				return nil, fmt.Errorf("read ledger hash %d: %w", n, err)
			}
			if len(b) != tlog.HashSize {
				return nil, fmt.Errorf("ledger hash %d has %d bytes, want %d", n, len(b), tlog.HashSize)
			}
			copy(hashes[i][:], b)
		}
		return hashes, nil
	})
}

// Erase removes the erasable texts of the entries of an action; proofs stay
// valid. It returns how many were removed.
func (l *Ledger) Erase(tx *migrations.Tx, workspace string, seq int64) (int64, error) {
	res, err := tx.Exec(`DELETE FROM ledger_payloads WHERE workspace = $1 AND seq = $2`, workspace, seq)
	if err != nil {
		return 0, fmt.Errorf("erase texts of ledger entry %d: %w", seq, err)
	}
	return res.RowsAffected()
}

// Tail gives up to limit entries from sequence number from on, oldest first;
// a negative from gives the newest.
func (l *Ledger) Tail(ctx context.Context, workspace string, from int64, limit int) ([]Entry, error) {
	var entries []Entry
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		entries = nil
		if from < 0 {
			size, err := treeSize(tx, workspace)
			if err != nil {
				return err
			}
			from = max(0, size-int64(limit))
		}
		rows, err := tx.Query(`SELECT seq, at, kind, leaf FROM ledger_entries WHERE workspace = $1 AND seq >= $2 ORDER BY seq LIMIT $3`, workspace, from, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var e Entry
			var at int64
			var text string
			if err := rows.Scan(&e.Seq, &at, &e.Kind, &text); err != nil {
				return err
			}
			e.At, e.Leaf = migrations.Time(at), json.RawMessage(text)
			entries = append(entries, e)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i := range entries {
			if entries[i].Payload, err = payloads(tx, workspace, entries[i].Seq); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return entries, nil
}

func payloads(tx *migrations.Tx, workspace string, seq int64) (map[string]string, error) {
	rows, err := tx.Query(`SELECT name, body FROM ledger_payloads WHERE workspace = $1 AND seq = $2`, workspace, seq)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all map[string]string
	for rows.Next() {
		var name, body string
		if err := rows.Scan(&name, &body); err != nil {
			return nil, err
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = body
	}
	return all, rows.Err()
}

// Workspaces lists those that have a ledger.
func (l *Ledger) Workspaces(ctx context.Context) ([]string, error) {
	rows, err := l.db.Query(ctx, `SELECT workspace FROM ledger_sizes ORDER BY workspace`)
	if err != nil {
		return nil, fmt.Errorf("list ledgers: %w", err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var w string
		if err := rows.Scan(&w); err != nil {
			return nil, fmt.Errorf("list ledgers: %w", err)
		}
		all = append(all, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list ledgers: %w", err)
	}
	return all, nil
}

// appendAnchor adds a signed checkpoint to the anchor file.
func (l *Ledger) appendAnchor(text string) error {
	if l.o.Anchor == "" {
		return nil
	}
	f, err := os.OpenFile(l.o.Anchor, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("anchor checkpoint: %w", err)
	}
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("anchor checkpoint: %w", err)
	}
	return nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// decodeLeaf reads a leaf strictly: an entry that was written by something else
// is not taken for one of ours.
func decodeLeaf(text string) (leaf, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var e leaf
	if err := d.Decode(&e); err != nil {
		return leaf{}, fmt.Errorf("decode leaf: %w", err)
	}
	again, err := json.Marshal(e)
	if err != nil {
		return leaf{}, fmt.Errorf("decode leaf: %w", err)
	}
	if !bytes.Equal(again, []byte(text)) {
		return leaf{}, errors.New("decode leaf: not in canonical form")
	}
	if e.V != 1 {
		return leaf{}, fmt.Errorf("decode leaf: version %d is not known", e.V)
	}
	return e, nil
}
