package ledger

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"deskmate/migrations"
)

// Report is what Verify found. No problems means that every entry is as it was
// appended, as far as the checkpoints reach.
type Report struct {
	Workspace   string   `json:"workspace"`
	Entries     int64    `json:"entries"`
	Root        string   `json:"root"`        // base64, "" for an empty ledger
	Checkpoints int      `json:"checkpoints"` // that the tree agrees with, stored and given
	Actions     int64    `json:"actions"`     // of the actions table, compared with their entries
	Open        int64    `json:"open"`        // of those, begun and without an outcome yet
	Erased      int64    `json:"erased"`      // texts whose HMAC stands but which were erased
	Problems    []string `json:"problems"`    // at most 50
	More        int64    `json:"more"`        // problems that are not listed
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// mostProblems bounds a report: a rewritten ledger has as many as entries.
const mostProblems = 50

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) == mostProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Verify recomputes the ledger of a workspace from its leaves and compares: every
// stored hash, every erasable text with its HMAC, the edge of the tree, the root
// against all stored checkpoints, the tree against the given ones (anchored
// elsewhere), which it must hold as prefixes, and the actions table with the
// entries of each action. What is wrong is in the report; an error means that it
// could not be read. The ledger is streamed: memory does not grow with it.
func (l *Ledger) Verify(ctx context.Context, workspace string, anchored ...Checkpoint) (Report, error) {
	v := newVerifier(workspace, l.keys, anchored)
	pages := make(chan *page, 2)
	checked := make(chan struct{})
	// Reading is the database's work and checking is ours: each has a core.
	go func() {
		defer close(checked)
		for p := range pages {
			v.page(p)
		}
	}()
	// A context that can end makes the driver watch it for every row: look
	// between pages instead.
	err := l.db.Read(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		defer func() { close(pages); <-checked }()
		return readPages(tx, workspace, func(p *page) error {
			select {
			case pages <- p:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify ledger of %s: %w", workspace, err)
	}
	return v.finish(), nil
}

// verifier grows the tree again from the leaves, page by page.
type verifier struct {
	r        Report
	keys     Keys
	sealer   *sealer
	anchored map[int64][]Checkpoint // given checkpoints of this workspace, by size, until compared
	grown    tree
	next     int64 // seq of the next entry
	broken   bool  // an entry is missing: what follows cannot be placed in the tree
	actions  actionChecker
}

func newVerifier(workspace string, k Keys, anchored []Checkpoint) *verifier {
	v := &verifier{r: Report{Workspace: workspace, Problems: []string{}}, keys: k, sealer: k.sealer(), anchored: map[int64][]Checkpoint{}}
	for _, c := range anchored {
		if c.Workspace == workspace {
			v.anchored[c.Size] = append(v.anchored[c.Size], c)
		}
	}
	v.actions = actionChecker{r: &v.r, seal: v.sealer, workspace: workspace, open: map[int64]actionRow{}, waiting: map[int64]string{}}
	return v
}

// page checks one page: its entries, with what belongs to them.
func (v *verifier) page(p *page) {
	for _, why := range p.unreadable {
		v.r.problem("%s", why)
	}
	v.reach(p, 0)
	for i := range p.entries {
		v.entry(p, &p.entries[i])
		v.reach(p, v.next)
	}
	for _, s := range p.payloads[p.atPayload:] {
		v.strayText(s)
	}
	for _, a := range p.actions[p.atAction:] {
		v.r.problem("action %s refers to entry %d, which is not in the ledger", a.key, a.intent)
	}
	if !p.last {
		return
	}
	for _, c := range p.checkpoints[p.atCheckpoint:] {
		v.stored(c)
	}
	v.edge(p)
}

// entry checks one entry and grows the tree by it.
func (v *verifier) entry(p *page, s *storedEntry) {
	v.r.Entries++
	switch {
	case s.seq > v.next:
		v.missing(v.next, s.seq-1)
	case s.seq < v.next: // only below 0: the store gives them in order
		v.r.problem("entry %d should not exist: entries count from 0", s.seq)
		return
	}
	v.next = s.seq + 1
	hash := tlog.RecordHash([]byte(s.leaf))
	if !v.broken {
		if made := v.grown.grow(hash); string(made) != s.hashes {
			v.r.problem("entry %d does not fit its stored hashes: the entry was changed, or they were", s.seq)
		}
	} else if len(s.hashes) < tlog.HashSize || s.hashes[:tlog.HashSize] != string(hash[:]) {
		v.r.problem("entry %d does not fit its stored hash: the entry was changed, or the hash was", s.seq)
	}
	f, err := decodeLeaf(s.leaf)
	switch {
	case err != nil:
		v.r.problem("entry %d: %v", s.seq, err)
	case f.Seq != s.seq || f.Workspace != v.r.Workspace:
		v.r.problem("entry %d was written as entry %d of %s: it was moved here", s.seq, f.Seq, f.Workspace)
	case f.Action != s.action:
		v.r.problem("entry %d belongs to action %q, and its column says %q", s.seq, f.Action, s.action)
	}
	f.Seq = s.seq
	texts := p.texts(s.seq, v.strayText)
	v.texts(&f, texts)
	v.actions.entry(&f, texts, p.action(s.seq, v.strayAction))
}

func (v *verifier) missing(from, to int64) {
	v.broken = true
	if from == to {
		v.r.problem("entry %d is missing", from)
		return
	}
	v.r.problem("entries %d to %d are missing", from, to)
}

// texts compares the texts beside an entry with the HMACs in it.
func (v *verifier) texts(f *leaf, texts []storedText) {
	found := 0
	for _, t := range texts {
		mac, known := f.MACs[t.name]
		switch {
		case !known:
			v.r.problem("entry %d: a text %q was added to it", f.Seq, t.name)
			continue
		case mac != v.sealer.seal(v.r.Workspace, t.name, t.body):
			v.r.problem("entry %d: its %s is not what was recorded", f.Seq, t.name)
		}
		found++
	}
	v.r.Erased += int64(len(f.MACs) - found)
}

func (v *verifier) strayText(t storedText) {
	v.r.problem("there is a text %q for entry %d, which is not in the ledger", t.name, t.seq)
}

func (v *verifier) strayAction(a actionRow) {
	v.r.problem("action %s refers to entry %d, which is not in the ledger", a.key, a.intent)
}

// reach compares the checkpoints of the size that the tree has now.
func (v *verifier) reach(p *page, size int64) {
	for p.atCheckpoint < len(p.checkpoints) && p.checkpoints[p.atCheckpoint].size <= size {
		v.stored(p.checkpoints[p.atCheckpoint])
		p.atCheckpoint++
	}
	if given, ok := v.anchored[size]; ok && !v.broken && v.grown.size == size {
		for _, c := range given {
			v.compare(c, "an anchored")
		}
		delete(v.anchored, size)
	}
}

// stored checks a checkpoint of the store.
func (v *verifier) stored(s storedCheckpoint) {
	c, err := ParseCheckpoint(s.note, v.keys.verifier)
	switch {
	case err != nil:
		v.r.problem("the stored checkpoint of size %d is not ours: %v", s.size, err)
	case c.Workspace != v.r.Workspace || c.Size != s.size:
		v.r.problem("the stored checkpoint of size %d is that of %s, size %d", s.size, c.Workspace, c.Size)
	default:
		v.compare(c, "a stored")
	}
}

// compare holds the tree against a checkpoint.
func (v *verifier) compare(c Checkpoint, which string) {
	switch {
	case v.broken:
		v.r.problem("%s checkpoint of %d entries cannot be compared: entries are missing", which, c.Size)
	case c.Size > v.grown.size:
		v.r.problem("%s checkpoint tells of %d entries, and only %d are here: the end was cut off", which, c.Size, v.grown.size)
	case c.Size != v.grown.size || c.Root != v.grown.root():
		v.r.problem("the first %d entries are not those that %s checkpoint tells of: the ledger was rewritten", c.Size, which)
	default:
		v.r.Checkpoints++
	}
}

// edge compares the stored edge of the tree with the grown one.
func (v *verifier) edge(p *page) {
	switch {
	case p.tree.size != v.next:
		v.r.problem("the ledger says that it has %d entries, and the last one here is the %d.", p.tree.size, v.next)
	case !v.broken && string(p.tree.edge) != string(v.grown.edge):
		v.r.problem("the stored edge of the tree does not fit the entries")
	}
}

// finish gives the report once every page was checked.
func (v *verifier) finish() Report {
	for _, given := range v.anchored { // larger than the tree, or out of reach
		for _, c := range given {
			v.compare(c, "an anchored")
		}
	}
	v.actions.finish()
	if v.grown.size > 0 {
		v.r.Root = v.grown.root().String()
	}
	return v.r
}
