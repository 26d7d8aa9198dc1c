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
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/tlog"

	"deskmate/migrations"
)

// Kinds of entry that Verify knows the rules of. Others are free: "noun.verb",
// such as agent.changed or note.forgotten.
const (
	KindIntent  = "intent"  // an action is about to be done
	KindOutcome = "outcome" // what came of the intent at Ref
	KindDenied  = "denied"  // an action was refused
)

// Record is what happened. Empty fields are left out of the entry.
type Record struct {
	Workspace string            // letters, digits and "_.-:"
	Kind      string            // intent, outcome, denied, turn.stopped, duty.created …
	Agent     string            // the agent's Slack user id
	Actor     string            // who did it: the agent's user id, a person's, or "system"
	Requester string            // the human whose message or duty caused it
	Turn      string            // id of the turn
	Cause     string            // Event key of the message or run behind it
	Channel   string            // where the work happens
	Thread    string            // ts of its root
	Target    string            // channel or person that an effect reaches
	Tool      string            // name of the tool
	Class     string            // read, write, external
	Action    string            // the action's key
	Decision  string            // allow, ask, deny
	Reasons   []string          // ids of the policies that made the decision
	Outcome   string            // done, failed, unknown, cancelled
	Ref       *int64            // seq of the entry that this one follows up: an outcome its intent, a repeat the try before it
	Fields    map[string]string // what else a kind needs; names as Workspace
	Payload   map[string]string // erasable texts by name; the entry holds their HMAC
}

// Entry is one entry as it was appended. Payload has those of its texts that
// were not erased, Erased the names of the others.
type Entry struct {
	Seq     int64             `json:"seq"`
	At      time.Time         `json:"at"`
	Kind    string            `json:"kind"`
	Leaf    json.RawMessage   `json:"leaf"` // canonical JSON: what is hashed
	Payload map[string]string `json:"payload,omitempty"`
	Erased  []string          `json:"erased,omitempty"`
}

// Record is what the entry records, with the texts that are still there.
func (e Entry) Record() (Record, error) {
	f, err := decodeLeaf(string(e.Leaf))
	if err != nil {
		return Record{}, fmt.Errorf("read ledger entry %d: %w", e.Seq, err)
	}
	f.Record.Payload = e.Payload
	return f.Record, nil
}

// Options are the choices of New; the zero value anchors nowhere.
type Options struct {
	Anchor string        // file that checkpoints are appended to; "" for none
	Sinks  []Sink        // further places outside the store that get them
	Every  time.Duration // how far behind a checkpoint may be; 0: 60 s
	Retry  time.Duration // first wait after a sink failed; it doubles up to Every; 0: 1 s
	Logger zerolog.Logger
}

// Ledger appends to and reads the ledgers of all workspaces in one store. It is
// safe for concurrent use; the store's one writer puts entries in order.
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
	if o.Retry == 0 {
		o.Retry = time.Second
	}
	return &Ledger{db, k, o}
}

// Append adds r in tx and returns its sequence number, from 0. When the
// transaction is undone, so is the entry. Credentials of well-known forms are
// masked (see Mask). It takes three statements, and one for each payload.
func (l *Ledger) Append(tx *migrations.Tx, r Record) (int64, error) {
	seq, err := l.add(tx, r)
	if err != nil {
		return 0, fmt.Errorf("append to ledger: %w", err)
	}
	return seq, nil
}

func (l *Ledger) add(tx *migrations.Tx, r Record) (int64, error) {
	r, err := tidy(r)
	if err != nil {
		return 0, err
	}
	t, err := readTree(tx, r.Workspace)
	if err != nil {
		return 0, err
	}
	f := leaf{Seq: t.size, At: migrations.Micros(tx.Now()), Record: r}
	if len(r.Payload) > 0 {
		s := l.keys.sealer()
		f.MACs = make(map[string]string, len(r.Payload))
		for name, body := range r.Payload {
			f.MACs[name] = s.seal(r.Workspace, name, body)
		}
	}
	text := f.appendTo(make([]byte, 0, 1024))
	if len(text) > mostLeaf {
		return 0, fmt.Errorf("the entry has %d bytes, more than %d: long texts belong into its payload", len(text), mostLeaf)
	}
	hashes := t.grow(tlog.RecordHash(text))
	if _, err := tx.Exec(`INSERT INTO ledger_entries (workspace, seq, action, leaf, hashes) VALUES ($1, $2, $3, $4, $5)`,
		r.Workspace, f.Seq, r.Action, string(text), hashes); err != nil {
		return 0, fmt.Errorf("store entry %d: %w", f.Seq, err)
	}
	for _, name := range sortedKeys(r.Payload) {
		if _, err := tx.Exec(`INSERT INTO ledger_payloads (workspace, seq, name, body) VALUES ($1, $2, $3, $4)`,
			r.Workspace, f.Seq, name, r.Payload[name]); err != nil {
			return 0, fmt.Errorf("store %s of entry %d: %w", name, f.Seq, err)
		}
	}
	if _, err := tx.Exec(`INSERT INTO ledger_trees (workspace, size, edge) VALUES ($1, $2, $3)
		ON CONFLICT (workspace) DO UPDATE SET size = excluded.size, edge = excluded.edge`, r.Workspace, t.size, t.edge); err != nil {
		return 0, fmt.Errorf("store edge of tree: %w", err)
	}
	return f.Seq, nil
}

// tidy is r as it can be written: valid, masked, without empty members.
func tidy(r Record) (Record, error) {
	if !validName(r.Workspace) || r.Kind == "" {
		return r, errors.New("workspace and kind must not be empty, and a workspace has only letters, digits and any of _.:-")
	}
	for _, s := range []*string{&r.Kind, &r.Agent, &r.Actor, &r.Requester, &r.Turn, &r.Cause, &r.Channel, &r.Thread,
		&r.Target, &r.Tool, &r.Class, &r.Action, &r.Decision, &r.Outcome} {
		*s = Mask(*s)
	}
	reasons := r.Reasons
	r.Reasons = nil
	for _, s := range reasons {
		r.Reasons = append(r.Reasons, Mask(s))
	}
	var err error
	if r.Fields, err = tidyAll(r.Fields); err != nil {
		return r, err
	}
	r.Payload, err = tidyAll(r.Payload)
	return r, err
}

func tidyAll(m map[string]string) (map[string]string, error) {
	var out map[string]string
	for k, v := range m {
		if !validName(k) {
			return nil, fmt.Errorf("%q is not a name: use letters, digits and any of _.:-", k)
		}
		if v == "" {
			continue
		}
		if out == nil {
			out = make(map[string]string, len(m))
		}
		out[k] = Mask(v)
	}
	return out, nil
}

// Erase removes the erasable texts of an entry; proofs stay valid. It returns
// how many were removed.
func (l *Ledger) Erase(tx *migrations.Tx, workspace string, seq int64) (int64, error) {
	res, err := tx.Exec(`DELETE FROM ledger_payloads WHERE workspace = $1 AND seq = $2`, workspace, seq)
	if err != nil {
		return 0, fmt.Errorf("erase texts of ledger entry %d: %w", seq, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("erase texts of ledger entry %d: %w", seq, err)
	}
	return n, nil
}

// MAC is the keyed HMAC-SHA256 of a text, hexadecimal, as entries hold it: equal
// texts of one name in one workspace have equal MACs, and without the key nothing
// can be learnt from it. name as in Record.Payload.
func (l *Ledger) MAC(workspace, name, text string) string {
	return l.keys.sealer().seal(workspace, name, text)
}

// readTree reads the right edge of a workspace's tree.
func readTree(tx *migrations.Tx, workspace string) (tree, error) {
	var t tree
	err := tx.QueryRow(`SELECT size, edge FROM ledger_trees WHERE workspace = $1`, workspace).Scan(&t.size, &t.edge)
	if errors.Is(err, sql.ErrNoRows) {
		return tree{}, nil
	}
	if err != nil {
		return tree{}, fmt.Errorf("read edge of tree: %w", err)
	}
	if !t.sound() {
		// Growing a broken tree would hide where it broke.
		return tree{}, errors.New("the edge of the tree does not fit its size: run `deskmate audit verify`")
	}
	return t, nil
}
