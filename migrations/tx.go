package migrations

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Tx is one transaction. It is used by one goroutine, inside the function that
// received it, and not kept.
type Tx struct {
	ctx      context.Context // the caller's
	run      context.Context // of the statements
	conn     querier
	now      time.Time
	readOnly bool

	lost    func() bool // nil, or: has SQLite rolled the transaction back?
	gone    bool
	changes int // statements
	rows    []*sql.Rows
	after   []func()
	notices []notice
}

type querier interface {
	ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
}

// Now is the instant of the transaction: the same at every call, UTC, whole
// microseconds.
func (tx *Tx) Now() time.Time { return tx.now }

// Context is the context of the caller of Write or Read. Statements of a Write
// do not follow it: what has begun is finished.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Exec runs one statement that returns no rows.
func (tx *Tx) Exec(q string, args ...any) (sql.Result, error) {
	if tx.readOnly {
		return nil, errors.New("write in a read transaction: use DB.Write")
	}
	if tx.gone {
		return nil, errLost
	}
	tx.changes++
	res, err := tx.conn.ExecContext(tx.run, q, args...)
	return res, tx.failed(err)
}

// Query runs one statement that returns rows. Rows left open are closed when the
// transaction's function returns.
func (tx *Tx) Query(q string, args ...any) (*sql.Rows, error) {
	if tx.gone {
		return nil, errLost
	}
	rows, err := tx.conn.QueryContext(tx.run, q, args...)
	if err != nil {
		return nil, tx.failed(err)
	}
	tx.rows = append(tx.rows, rows)
	return rows, nil
}

// QueryRow runs one statement that returns at most one row; it must be scanned.
// Scan returns sql.ErrNoRows when there is none.
func (tx *Tx) QueryRow(q string, args ...any) *sql.Row {
	run := tx.run
	if tx.gone {
		// A *sql.Row cannot be made, only had from a query: one that does not run.
		ended, cancel := context.WithCancelCause(run)
		cancel(errLost)
		run = ended
	}
	row := tx.conn.QueryRowContext(run, q, args...)
	_ = tx.failed(row.Err()) // noted here, returned by Scan
	return row
}

// AfterCommit has f called once, by the goroutine that called Write, after the
// commit and before Write returns. It is not called when the transaction fails.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// Notify sends payload to those who Listen to topic, after the commit.
func (tx *Tx) Notify(topic, payload string) {
	tx.notices = append(tx.notices, notice{topic, payload})
}

// failed notes whether an error has taken the transaction with it: on some
// errors (a full disk among them) SQLite rolls back by itself, and what then
// follows would commit on its own. Source: sqlite.org/lang_transaction.html §2.3.
func (tx *Tx) failed(err error) error {
	if err == nil {
		return nil
	}
	if tx.lost != nil && tx.lost() {
		tx.gone = true
	}
	return explain(err)
}

func (tx *Tx) closeRows() {
	for _, r := range tx.rows {
		_ = r.Close() // its error was the caller's to see
	}
	tx.rows = nil
}
