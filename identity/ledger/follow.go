package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"deskmate/migrations"
)

// ErrUnreadable means that an entry is there and cannot be read: it was changed.
var ErrUnreadable = errors.New("the entry cannot be read: run `deskmate audit verify`")

// Since gives up to limit entries from seq from on, oldest first and without
// their texts, and how many entries the ledger says it has at that moment. It is
// one statement, for those who follow the ledger. Entries that come before one
// that is ErrUnreadable are given with that error.
func (l *Ledger) Since(ctx context.Context, workspace string, from int64, limit int) ([]Entry, int64, error) {
	rows, err := l.db.Query(ctx, `SELECT t.size, e.seq, e.leaf FROM ledger_trees t
		LEFT JOIN ledger_entries e ON e.workspace = t.workspace AND e.seq >= $1
		WHERE t.workspace = $2 ORDER BY e.seq LIMIT $3`, from, workspace, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("follow ledger: %w", err)
	}
	defer rows.Close()
	var all []Entry
	var size int64
	for rows.Next() {
		var seq sql.NullInt64
		var text sql.NullString
		if err := rows.Scan(&size, &seq, &text); err != nil {
			return nil, 0, fmt.Errorf("follow ledger: %w", err)
		}
		if !seq.Valid {
			break // nothing new
		}
		f, err := decodeLeaf(text.String)
		if err == nil && (f.Seq != seq.Int64 || f.Workspace != workspace) {
			err = errors.New("it belongs elsewhere")
		}
		if err != nil {
			return all, size, fmt.Errorf("follow ledger: entry %d: %w (%w)", seq.Int64, ErrUnreadable, err)
		}
		all = append(all, Entry{Seq: f.Seq, At: migrations.Time(f.At), Kind: f.Kind, Leaf: []byte(text.String), Erased: sortedKeys(f.MACs)})
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("follow ledger: %w", err)
	}
	return all, size, nil
}
