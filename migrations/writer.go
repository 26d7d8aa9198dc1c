package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-sqlite3"
)

const (
	// batchWrites and batchTime bound one commit, so that the first of a batch
	// does not wait long for the last.
	batchWrites = 256
	batchTime   = 4 * time.Millisecond
	queueLength = 1024
	logKept     = 64 << 20 // bytes that the write-ahead log keeps on disk once it has been worked off
)

// Stats counts the work of the writer.
type Stats struct {
	Writes  int64 // functions that took effect
	Failed  int64 // functions that failed, panicked, or went down with their commit
	Commits int64 // commits, each of which waited for the disk
}

// A request is one Write on its way.
type request struct {
	ctx   context.Context
	f     func(*Tx) error
	first bool
	state atomic.Int32 // reqQueued → reqRunning by the writer, or → reqGone by its caller
	err   error        // set by the writer before done
	done  chan struct{}

	after   []func()
	notices []notice
}

const (
	reqQueued int32 = iota
	reqRunning
	reqGone
)

// writer owns the one connection that writes and runs the requests of all
// callers on it, in one goroutine, many to a commit.
type writer struct {
	pool *sql.DB
	conn *sql.Conn
	now  func() time.Time
	full func() // called when the log should be worked off

	mu     sync.RWMutex // guards closed and the closing of the queues
	closed bool
	first  chan *request // goes before queue
	queue  chan *request
	ended  chan struct{}

	longest                 time.Duration // that a commit takes further functions in
	changes                 int           // statements since full was called
	writes, failed, commits atomic.Int64
}

func newWriter(ctx context.Context, dsn string, now func() time.Time, full func()) (*writer, error) {
	pool, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, fmt.Errorf("open writer: %w", err)
	}
	pool.SetMaxOpenConns(1)
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open writer: %w", errors.Join(err, pool.Close()))
	}
	w := &writer{pool: pool, conn: conn, now: now, full: full, longest: batchTime,
		first: make(chan *request, queueLength), queue: make(chan *request, queueLength), ended: make(chan struct{})}
	// A long read lets the log grow; this gives the space back afterwards.
	if err := w.exec(fmt.Sprintf("PRAGMA journal_size_limit = %d; PRAGMA wal_autocheckpoint = %d", logKept, mostLog)); err != nil {
		return nil, fmt.Errorf("open writer: %w", errors.Join(err, conn.Close(), pool.Close()))
	}
	go w.run()
	return w, nil
}

// do has f wait in one of the queues, and waits for its outcome.
func (w *writer) do(ctx context.Context, queue chan *request, f func(*Tx) error) (*request, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &request{ctx: ctx, f: f, first: queue == w.first, done: make(chan struct{})}
	if err := w.enqueue(ctx, queue, r); err != nil {
		return nil, err
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.state.CompareAndSwap(reqQueued, reqGone) {
			return nil, ctx.Err()
		}
		<-r.done
	}
	return r, r.err
}

func (w *writer) enqueue(ctx context.Context, queue chan *request, r *request) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return ErrClosed
	}
	select {
	case queue <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	close(w.first)
	close(w.queue)
	w.mu.Unlock()
	<-w.ended
	return errors.Join(w.conn.Close(), w.pool.Close())
}

func (w *writer) stats() Stats {
	return Stats{Writes: w.writes.Load(), Failed: w.failed.Load(), Commits: w.commits.Load()}
}

// wait gives the next request, nil once both queues are closed and empty.
func (w *writer) wait() *request {
	if r := w.waiting(); r != nil {
		return r
	}
	first, queue := w.first, w.queue
	for first != nil || queue != nil {
		select {
		case r, ok := <-first:
			if ok {
				return r
			}
			first = nil
		case r, ok := <-queue:
			if ok {
				return r
			}
			queue = nil
		}
	}
	return nil
}

// waiting gives a request that is there now, those of first before the others, or
// nil.
func (w *writer) waiting() *request {
	select {
	case r := <-w.first:
		if r != nil { // nil: closed and empty
			return r
		}
	default:
	}
	return w.waitingBehind()
}

// waitingBehind is waiting without those of first.
func (w *writer) waitingBehind() *request {
	select {
	case r := <-w.queue:
		return r
	default:
		return nil
	}
}

// run works the queues until they are closed and empty. A function that ends its
// goroutine (testing's FailNow does) takes run with it: then the batch fails and
// a new goroutine goes on.
func (w *writer) run() {
	var b *batch
	finished := false
	defer func() {
		if finished {
			close(w.ended)
			return
		}
		b.fail(errors.New("a write function of the same commit ended its goroutine"))
		go w.run()
	}()
	for r := w.wait(); r != nil; r = w.wait() {
		b = &batch{w: w}
		b.work(r)
	}
	finished = true
}

// batch is one commit.
type batch struct {
	w       *writer
	members []*request // that ran without error, in order
	begun   bool
	behind  bool // one that does not go first has run
	current *request
}

// work runs r and whatever is waiting behind it, commits, and answers. Of those that
// do not go first one runs in any case, so that these can keep them waiting but not
// from ever being run.
func (b *batch) work(r *request) {
	end := time.Now().Add(b.w.longest)
	yielded := false
	for ran := 0; r != nil; r = b.next(&yielded) {
		b.take(r)
		if ran++; ran >= batchWrites || time.Now().After(end) {
			break
		}
	}
	if !b.behind {
		if r := b.w.waitingBehind(); r != nil {
			b.take(r)
		}
	}
	b.commit()
}

// take runs a request whose caller still waits.
func (b *batch) take(r *request) {
	if r.state.CompareAndSwap(reqQueued, reqRunning) {
		b.behind = b.behind || !r.first
		b.run(r)
	}
}

// next takes a waiting request, or nil. The callers that the last commit
// answered are likely about to write again: they get one chance to run first,
// else batches alternate between one member and all the others.
func (b *batch) next(yielded *bool) *request {
	for {
		if r := b.w.waiting(); r != nil || *yielded {
			return r
		}
		*yielded = true
		runtime.Gosched()
	}
}

// run executes one function in a savepoint.
func (b *batch) run(r *request) {
	b.current = r
	if !b.begun {
		if err := b.begin(); err != nil {
			b.answer(r, fmt.Errorf("begin transaction: %w", err))
			return
		}
	}
	if err := b.w.exec("SAVEPOINT f"); err != nil {
		b.answer(r, fmt.Errorf("begin savepoint: %w", err))
		return
	}
	tx := &Tx{ctx: r.ctx, run: context.Background(), conn: b.w.conn, now: b.w.now(), lost: b.w.autocommit}
	err := call(r.f, tx)
	if err == nil && tx.gone {
		err = errLost
	}
	if err == nil {
		if err = b.w.exec("RELEASE f"); err == nil {
			r.after, r.notices = tx.after, tx.notices
			b.w.changes += tx.changes
			b.members = append(b.members, r)
			return
		}
		err = fmt.Errorf("release savepoint: %w", err)
	}
	b.undo(r, err)
}

// undo takes back what r did, and only that, unless SQLite has already given up
// the whole transaction: then the earlier members go down with it, and the next
// request begins a new one.
func (b *batch) undo(r *request, cause error) {
	if !b.w.autocommit() {
		err := b.w.exec("ROLLBACK TO f; RELEASE f")
		if err == nil {
			b.answer(r, cause)
			return
		}
		cause = errors.Join(cause, fmt.Errorf("roll back savepoint: %w", err))
	}
	b.fail(cause)
}

func (b *batch) begin() error {
	if err := b.w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	b.begun = true
	return nil
}

func (b *batch) commit() {
	if !b.begun {
		return
	}
	b.current = nil
	if len(b.members) == 0 {
		b.fail(nil)
		return
	}
	if err := b.w.exec("COMMIT"); err != nil {
		b.fail(fmt.Errorf("commit: %w", err))
		return
	}
	b.w.commits.Add(1)
	b.w.writes.Add(int64(len(b.members)))
	for _, r := range b.members {
		close(r.done)
	}
	if b.w.changes >= checkpointAfter {
		b.w.changes = 0
		b.w.full()
	}
}

// fail rolls the transaction back and answers all who took part with err.
func (b *batch) fail(err error) {
	if b.begun && !b.w.autocommit() {
		if rerr := b.w.exec("ROLLBACK"); rerr != nil {
			err = errors.Join(err, fmt.Errorf("roll back: %w", rerr))
		}
	}
	for _, r := range b.members {
		b.answer(r, err)
	}
	if b.current != nil {
		b.answer(b.current, err)
	}
	b.members, b.begun = nil, false
}

func (b *batch) answer(r *request, err error) {
	b.w.failed.Add(1)
	r.err = err
	close(r.done)
	if b.current == r {
		b.current = nil
	}
}

func (w *writer) exec(q string) error {
	_, err := w.conn.ExecContext(context.Background(), q)
	return err
}

// autocommit reports whether no transaction is open on the connection.
func (w *writer) autocommit() bool {
	auto := true
	err := w.conn.Raw(func(c any) error {
		auto = c.(*sqlite3.SQLiteConn).AutoCommit()
		return nil
	})
	return err != nil || auto
}

func call(f func(*Tx) error, tx *Tx) (err error) {
	// Deferred, because rows left open by a function that ends its goroutine would
	// keep the connection from ever being closed.
	defer tx.closeRows()
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f(tx)
}
