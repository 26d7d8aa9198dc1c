package ledger

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"time"

	"deskmate/migrations"
)

// trimPage is how many entries' texts are erased in one transaction.
const trimPage = 2000

// Trim erases the texts of all entries that are older than before; what was done,
// by whom and under which rules stays, and every proof holds. It returns how many
// texts it erased.
func (l *Ledger) Trim(ctx context.Context, workspace, by string, before time.Time) (int64, error) {
	upTo, err := l.firstSince(ctx, workspace, before)
	if err != nil {
		return 0, fmt.Errorf("trim ledger of %s: %w", workspace, err)
	}
	erased := int64(0)
	for from := int64(0); from < upTo; from += trimPage {
		to := min(from+trimPage, upTo)
		err := l.db.Write(ctx, func(tx *migrations.Tx) error {
			res, err := tx.Exec(`DELETE FROM ledger_payloads WHERE workspace = $1 AND seq >= $2 AND seq < $3`, workspace, from, to)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			// The same texts beside the actions and approvals that these entries are of.
			for _, q := range []string{
				`UPDATE actions SET result = '{}', error = '' WHERE workspace = $1 AND intent_seq >= $2 AND intent_seq < $3 AND state <> 'intended' AND (result NOT IN ('', '{}') OR error <> '')`,
				`UPDATE approvals SET args = '' WHERE workspace = $1 AND asked_seq >= $2 AND asked_seq < $3 AND state <> 'pending' AND args <> ''`,
			} {
				if _, err := tx.Exec(q, workspace, from, to); err != nil {
					return err
				}
			}
			tx.AfterCommit(func() { erased += n })
			return nil
		})
		if err != nil {
			return erased, fmt.Errorf("trim ledger of %s: %w", workspace, err)
		}
	}
	if erased == 0 {
		return 0, nil
	}
	err = l.db.Write(ctx, func(tx *migrations.Tx) error {
		_, err := l.Append(tx, Record{Workspace: workspace, Kind: "ledger.trimmed", Actor: by,
			Fields: map[string]string{"before": strconv.FormatInt(upTo, 10), "texts": strconv.FormatInt(erased, 10)}})
		return err
	})
	if err != nil {
		return erased, fmt.Errorf("trim ledger of %s: %w", workspace, err)
	}
	return erased, nil
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
		var failed error
		first = int64(sort.Search(int(tree.size), func(i int) bool {
			e, err := readEntries(tx, workspace, int64(i), 1)
			if err != nil || len(e) == 0 {
				failed = err
				return true
			}
			return !e[0].At.Before(t)
		}))
		return failed
	})
	return first, err
}
