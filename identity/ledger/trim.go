package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"time"

	"deskmate/migrations"
)

// trimPage is how many entries' texts are erased in one transaction.
const trimPage = 2000

// Names of Record.Fields of ledger.trimmed and ledger.erased.
const (
	FieldFrom   = "from"   // first entry whose texts were looked at
	FieldBefore = "before" // and the one after the last
	FieldTexts  = "texts"  // how many texts were erased
)

// Trim erases the texts of all entries that are older than before; what was done,
// by whom and under which rules stays, and every proof holds. It goes in steps of
// trimPage entries, each with an entry of its own (ledger.trimmed) in the same
// transaction, so that what a crash leaves is told of as well. It returns how
// many texts it erased.
func (l *Ledger) Trim(ctx context.Context, workspace, by string, before time.Time) (int64, error) {
	upTo, err := l.firstSince(ctx, workspace, before)
	if err != nil {
		return 0, fmt.Errorf("trim ledger of %s: %w", workspace, err)
	}
	erased := int64(0)
	for from := int64(0); ; {
		if from, err = l.firstToErase(ctx, workspace, from, upTo); err != nil {
			return erased, fmt.Errorf("trim ledger of %s: %w", workspace, err)
		}
		if from == upTo {
			return erased, nil
		}
		to := min(from+trimPage, upTo)
		var n int64
		err := l.db.Write(ctx, func(tx *migrations.Tx) error {
			var err error
			if n, err = eraseTexts(tx, workspace, from, to); err != nil {
				return err
			}
			_, err = l.Append(tx, Record{Workspace: workspace, Kind: "ledger.trimmed", Actor: by,
				Fields: map[string]string{FieldFrom: strconv.FormatInt(from, 10), FieldBefore: strconv.FormatInt(to, 10), FieldTexts: strconv.FormatInt(n, 10)}})
			return err
		})
		if err != nil {
			return erased, fmt.Errorf("trim ledger of %s: %w", workspace, err)
		}
		erased += n
		from = to
	}
}

// EraseEntry erases the texts of one entry, and those of the action or approval
// that it begins or ends, and appends who did it and why. The reason is itself an
// erasable text. It returns how many texts it erased, or ErrNoEntry.
func (l *Ledger) EraseEntry(tx *migrations.Tx, workspace string, seq int64, by, reason string) (int64, error) {
	n, err := l.eraseEntry(tx, workspace, seq, by, reason)
	if err != nil {
		return 0, fmt.Errorf("erase texts of ledger entry %d of %s: %w", seq, workspace, err)
	}
	return n, nil
}

func (l *Ledger) eraseEntry(tx *migrations.Tx, workspace string, seq int64, by, reason string) (int64, error) {
	var there int
	err := tx.QueryRow(`SELECT 1 FROM ledger_entries WHERE workspace = $1 AND seq = $2`, workspace, seq).Scan(&there)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrNoEntry
	}
	if err != nil {
		return 0, err
	}
	n, err := eraseTexts(tx, workspace, seq, seq+1)
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec(`UPDATE actions SET result = '{}', error = '' WHERE workspace = $1 AND outcome_seq = $2 AND `+ended, workspace, seq); err != nil {
		return 0, err
	}
	_, err = l.Append(tx, Record{Workspace: workspace, Kind: "ledger.erased", Actor: by, Ref: &seq,
		Fields: map[string]string{FieldTexts: strconv.FormatInt(n, 10)}, Payload: map[string]string{"reason": reason}})
	return n, err
}

// What is still under way keeps its texts: it is acted upon by them.
const (
	ended   = `state <> 'intended' AND (result NOT IN ('', '{}') OR error <> '')`
	decided = `state NOT IN ('pending', 'approved') AND args <> ''`
)

// eraseTexts erases the texts of the entries of a range, and the same texts beside
// the actions and approvals that these entries are of.
func eraseTexts(tx *migrations.Tx, workspace string, from, to int64) (int64, error) {
	for _, q := range []string{
		`UPDATE actions SET result = '{}', error = '' WHERE workspace = $1 AND intent_seq >= $2 AND intent_seq < $3 AND ` + ended,
		`UPDATE approvals SET args = '' WHERE workspace = $1 AND asked_seq >= $2 AND asked_seq < $3 AND ` + decided,
	} {
		if _, err := tx.Exec(q, workspace, from, to); err != nil {
			return 0, err
		}
	}
	res, err := tx.Exec(`DELETE FROM ledger_payloads WHERE workspace = $1 AND seq >= $2 AND seq < $3`, workspace, from, to)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// firstToErase is the first entry of a range that eraseTexts has something to
// erase of; to if there is none, as on every day but the first.
func (l *Ledger) firstToErase(ctx context.Context, workspace string, from, to int64) (int64, error) {
	first := to
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		for _, q := range []string{
			`SELECT seq FROM ledger_payloads WHERE workspace = $1 AND seq >= $2 AND seq < $3 ORDER BY seq LIMIT 1`,
			`SELECT intent_seq FROM actions WHERE workspace = $1 AND intent_seq >= $2 AND intent_seq < $3 AND ` + ended + ` ORDER BY intent_seq LIMIT 1`,
			`SELECT asked_seq FROM approvals WHERE workspace = $1 AND asked_seq >= $2 AND asked_seq < $3 AND ` + decided + ` ORDER BY asked_seq LIMIT 1`,
		} {
			var seq int64
			err := tx.QueryRow(q, workspace, from, to).Scan(&seq)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			first = min(first, seq)
		}
		return nil
	})
	return first, err
}

// firstSince is the number of the first entry that is not before t. Entries are in
// order of time, but for a clock that was set back a little.
func (l *Ledger) firstSince(ctx context.Context, workspace string, t time.Time) (int64, error) {
	var first int64
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		tree, err := readTree(tx, workspace)
		if err != nil {
			return err
		}
		first, err = firstSince(tx, workspace, tree.size, t)
		return err
	})
	return first, err
}

func firstSince(tx *migrations.Tx, workspace string, size int64, t time.Time) (int64, error) {
	var failed error
	first := sort.Search(int(size), func(i int) bool {
		if failed != nil {
			return true
		}
		var text string
		if failed = tx.QueryRow(`SELECT leaf FROM ledger_entries WHERE workspace = $1 AND seq = $2`, workspace, i).Scan(&text); failed != nil {
			failed = fmt.Errorf("read entry %d: %w: %w", i, ErrUnreadable, failed)
			return true
		}
		f, err := decodeLeaf(text)
		if err != nil {
			failed = fmt.Errorf("read entry %d: %w: %w", i, ErrUnreadable, err)
			return true
		}
		return !migrations.Time(f.At).Before(t)
	})
	return int64(first), failed
}
