package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"math"

	"deskmate/migrations"
)

// page is a run of entries, in order, with all that the store has about their
// numbers. The first page reaches down to the smallest number, the last one up to
// the largest, so that nothing is in between or outside.
type page struct {
	entries     []storedEntry
	payloads    []storedText
	actions     []actionRow
	checkpoints []storedCheckpoint
	unreadable  []string // rows that have the wrong type
	last        bool
	tree        tree // of the last page: the stored edge

	atPayload, atAction, atCheckpoint int // what was used of the lists
}

type storedEntry struct {
	seq    int64
	action string
	leaf   string
	hashes string
}

type storedText struct {
	seq        int64
	name, body string
}

type storedCheckpoint struct {
	size int64
	note string
}

// texts are those of one entry. Texts before it belong to none.
func (p *page) texts(seq int64, stray func(storedText)) []storedText {
	for ; p.atPayload < len(p.payloads) && p.payloads[p.atPayload].seq < seq; p.atPayload++ {
		stray(p.payloads[p.atPayload])
	}
	from := p.atPayload
	for p.atPayload < len(p.payloads) && p.payloads[p.atPayload].seq == seq {
		p.atPayload++
	}
	return p.payloads[from:p.atPayload]
}

// action is the row of the action whose newest intent or denial is entry seq,
// nil for none.
func (p *page) action(seq int64, stray func(actionRow)) *actionRow {
	for ; p.atAction < len(p.actions) && p.actions[p.atAction].intent < seq; p.atAction++ {
		stray(p.actions[p.atAction])
	}
	if p.atAction == len(p.actions) || p.actions[p.atAction].intent != seq {
		return nil
	}
	p.atAction++
	return &p.actions[p.atAction-1]
}

// readPages reads a workspace's ledger page by page and gives each to use.
func readPages(tx *migrations.Tx, workspace string, use func(*page) error) error {
	from := int64(math.MinInt64)
	for {
		p := &page{}
		readable := true // the last row
		rows := 0
		err := p.read(tx, "entry", `SELECT seq, action, leaf, hashes FROM ledger_entries WHERE workspace = $1 AND seq >= $2 ORDER BY seq LIMIT $3`,
			func(r *sql.Rows) error {
				var e storedEntry
				rows++
				err := r.Scan(&e.seq, &e.action, &e.leaf, &e.hashes)
				if readable = err == nil; readable {
					p.entries = append(p.entries, e)
				}
				return err
			}, workspace, from, readPage)
		if err != nil {
			return err
		}
		to := int64(math.MaxInt64)
		// Behind a row without a number there are no more with one.
		p.last = rows < readPage || !readable
		if !p.last {
			to = p.entries[len(p.entries)-1].seq
		}
		if err := p.readRest(tx, workspace, from, to); err != nil {
			return err
		}
		if err := use(p); err != nil || p.last {
			return err
		}
		from = to + 1
	}
}

// readRest reads what belongs to the entries from one number to another.
func (p *page) readRest(tx *migrations.Tx, workspace string, from, to int64) error {
	err := p.read(tx, "text", `SELECT seq, name, body FROM ledger_payloads WHERE workspace = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq, name`,
		func(rows *sql.Rows) error {
			var t storedText
			if err := rows.Scan(&t.seq, &t.name, &t.body); err != nil {
				return err
			}
			p.payloads = append(p.payloads, t)
			return nil
		}, workspace, from, to)
	if err != nil {
		return err
	}
	err = p.read(tx, "action", `SELECT `+actionRowColumns+` FROM actions WHERE workspace = $1 AND intent_seq BETWEEN $2 AND $3 ORDER BY intent_seq`,
		func(rows *sql.Rows) error {
			a, err := scanActionRow(rows)
			if err != nil {
				return err
			}
			p.actions = append(p.actions, a)
			return nil
		}, workspace, from, to)
	if err != nil {
		return err
	}
	// A tree of n entries ends with number n-1.
	first, end := from, to
	if from != math.MinInt64 {
		first = from + 1
	}
	if to != math.MaxInt64 {
		end = to + 1
	}
	err = p.read(tx, "checkpoint", `SELECT size, note FROM ledger_checkpoints WHERE workspace = $1 AND size BETWEEN $2 AND $3 ORDER BY size`,
		func(rows *sql.Rows) error {
			var c storedCheckpoint
			if err := rows.Scan(&c.size, &c.note); err != nil {
				return err
			}
			p.checkpoints = append(p.checkpoints, c)
			return nil
		}, workspace, first, end)
	if err != nil || !p.last {
		return err
	}
	if err := tx.QueryRow(`SELECT size, edge FROM ledger_trees WHERE workspace = $1`, workspace).Scan(&p.tree.size, &p.tree.edge); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read edge of tree: %w", err)
	}
	return nil
}

// read runs one query and has each row taken. A row that take cannot scan has
// something else where a number or text should be: a finding, not a failure.
func (p *page) read(tx *migrations.Tx, what, query string, take func(*sql.Rows) error, args ...any) error {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows); err != nil {
			p.unreadable = append(p.unreadable, fmt.Sprintf("a row cannot be read as %s: %v", what, err))
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
