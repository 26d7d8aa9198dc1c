package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/migrations"
)

// ErrNoEntry means that the ledger has no entry of that number.
var ErrNoEntry = errors.New("there is no such entry in the ledger")

// readPage is how many entries are read at once.
const readPage = 1024

// Tail gives up to limit entries from sequence number from on, oldest first;
// a negative from gives the newest.
func (l *Ledger) Tail(ctx context.Context, workspace string, from int64, limit int) ([]Entry, error) {
	var entries []Entry
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		if from < 0 {
			t, err := readTree(tx, workspace)
			if err != nil {
				return err
			}
			from = max(0, t.size-int64(limit))
		}
		var err error
		entries, err = readEntries(tx, workspace, from, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return entries, nil
}

// Show gives one entry, or ErrNoEntry.
func (l *Ledger) Show(ctx context.Context, workspace string, seq int64) (Entry, error) {
	all, err := l.Tail(ctx, workspace, max(0, seq), 1)
	if err != nil {
		return Entry{}, err
	}
	if len(all) == 0 || all[0].Seq != seq {
		return Entry{}, fmt.Errorf("show ledger entry %d of %s: %w", seq, workspace, ErrNoEntry)
	}
	return all[0], nil
}

// Query says which entries Search gives; empty fields do not matter.
type Query struct {
	Kind, Actor, Requester, Turn, Channel, Tool, Action, Outcome string
	Decision                                                     string
	Text                                                         string    // anywhere in the entry or its texts, case ignored
	Since, Until                                                 time.Time // of the entry; Until is exclusive
	Before                                                       int64     // only entries before this one; 0: from the newest
	Limit                                                        int       // 0: 100
}

// Search gives the newest entries that fit q, newest first.
func (l *Ledger) Search(ctx context.Context, workspace string, q Query) ([]Entry, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Text = strings.ToLower(q.Text)
	var found []Entry
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		t, err := readTree(tx, workspace)
		if err != nil {
			return err
		}
		end := t.size
		if q.Before > 0 {
			end = min(end, q.Before)
		}
		for end > 0 && len(found) < q.Limit {
			from := max(0, end-readPage)
			page, err := readEntries(tx, workspace, from, int(end-from))
			if err != nil {
				return err
			}
			for _, e := range slices.Backward(page) {
				if fits, err := q.fits(e); err != nil {
					return err
				} else if fits && len(found) < q.Limit {
					found = append(found, e)
				}
			}
			if len(page) > 0 && page[0].At.Before(q.Since) {
				break // entries are in order of time, but for a clock that was set back
			}
			end = from
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("search ledger: %w", err)
	}
	return found, nil
}

func (q Query) fits(e Entry) (bool, error) {
	if e.At.Before(q.Since) || !q.Until.IsZero() && !e.At.Before(q.Until) {
		return false, nil
	}
	r, err := e.Record()
	if err != nil {
		return false, err
	}
	for _, p := range [...][2]string{{q.Kind, r.Kind}, {q.Actor, r.Actor}, {q.Requester, r.Requester}, {q.Turn, r.Turn},
		{q.Channel, r.Channel}, {q.Tool, r.Tool}, {q.Action, r.Action}, {q.Outcome, r.Outcome}, {q.Decision, r.Decision}} {
		if p[0] != "" && p[0] != p[1] {
			return false, nil
		}
	}
	if q.Text == "" || strings.Contains(strings.ToLower(string(e.Leaf)), q.Text) {
		return true, nil
	}
	for _, body := range e.Payload {
		if strings.Contains(strings.ToLower(body), q.Text) {
			return true, nil
		}
	}
	return false, nil
}

// readEntries reads up to limit entries from seq from on, with their texts.
func readEntries(tx *migrations.Tx, workspace string, from int64, limit int) ([]Entry, error) {
	rows, err := tx.Query(`SELECT seq, leaf FROM ledger_entries WHERE workspace = $1 AND seq >= $2 ORDER BY seq LIMIT $3`, workspace, from, limit)
	if err != nil {
		return nil, fmt.Errorf("read entries: %w", err)
	}
	defer rows.Close()
	var all []Entry
	for rows.Next() {
		var e Entry
		var text string
		if err := rows.Scan(&e.Seq, &text); err != nil {
			return nil, fmt.Errorf("read entries: %w", err)
		}
		f, err := decodeLeaf(text)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w: run `deskmate audit verify`", e.Seq, err)
		}
		e.At, e.Kind, e.Leaf, e.Erased = migrations.Time(f.At), f.Kind, json.RawMessage(text), sortedKeys(f.MACs)
		all = append(all, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read entries: %w", err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, addTexts(tx, workspace, all)
}

// addTexts puts the texts that are still there beside their entries.
func addTexts(tx *migrations.Tx, workspace string, all []Entry) error {
	rows, err := tx.Query(`SELECT seq, name, body FROM ledger_payloads WHERE workspace = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq`,
		workspace, all[0].Seq, all[len(all)-1].Seq)
	if err != nil {
		return fmt.Errorf("read texts: %w", err)
	}
	defer rows.Close()
	i := 0
	for rows.Next() {
		var seq int64
		var name, body string
		if err := rows.Scan(&seq, &name, &body); err != nil {
			return fmt.Errorf("read texts: %w", err)
		}
		for i < len(all) && all[i].Seq < seq {
			i++
		}
		if i == len(all) || all[i].Seq != seq {
			continue // a text without an entry is for Verify to find
		}
		if all[i].Payload == nil {
			all[i].Payload = map[string]string{}
		}
		all[i].Payload[name] = body
		all[i].Erased = slices.DeleteFunc(all[i].Erased, func(s string) bool { return s == name })
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read texts: %w", err)
	}
	return nil
}

// Workspaces lists those that have a ledger.
func (l *Ledger) Workspaces(ctx context.Context) ([]string, error) {
	rows, err := l.db.Query(ctx, `SELECT workspace FROM ledger_trees ORDER BY workspace`)
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
