// Package migrations opens the store and keeps its schema: one SQLite file that
// holds everything Deskmate knows and has promised.
//
// It promises that a Write that returned nil is on disk, that a Write that
// returned an error changed nothing, that the functions of concurrent Writes run
// one after another and never see each other half done, and that reads see
// committed states only. It must never lose a committed row to save time, never
// change a file written by a newer binary, and never retry a caller's function.
//
// Docs: docs/store.md.
package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3" // the SQLite driver, registered as "sqlite3"
	"github.com/rs/zerolog"
)

const (
	defaultReaders = 4
	// busyTimeout is how long SQLite waits for another process (a CLI command
	// beside a running server) before a statement fails with ErrBusy.
	busyTimeout = 10 * time.Second
	// statementCache is the number of prepared statements kept per connection:
	// more than the product has, so that each is parsed once.
	statementCache = 512
)

// Options are the choices of Open; the zero value is good for production.
type Options struct {
	Clock   func() time.Time // nil: time.Now
	Logger  zerolog.Logger   // zero value: silent
	Readers int              // connections of the read pool; 0: 4
}

// DB is an open store. All methods are safe for concurrent use.
type DB struct {
	path    string
	log     zerolog.Logger
	clock   clock
	readers *sql.DB
	writer  *writer
	topics  topics

	checkpointer *checkpointer
}

// Open opens the store at url ("sqlite:PATH", a file that is created when
// missing) and brings its schema up to what this binary knows, after copying an
// existing file to PATH.backup-VERSION-TIME. The error is one of the Err values
// of this package where the operator can do something about it.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	path, err := filePath(url)
	if err != nil {
		return nil, err
	}
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Readers <= 0 {
		o.Readers = defaultReaders
	}
	db := &DB{path: path, log: o.Logger}
	db.clock.source, db.clock.stepped = o.Clock, db.clockStepped
	if err := migrate(ctx, path, db.Now, o.Logger); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, explain(err))
	}
	if db.checkpointer, err = newCheckpointer(ctx, path); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, explain(err))
	}
	if db.writer, err = newWriter(ctx, writerDSN(path), db.Now, db.checkpointer.poke); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, errors.Join(explain(err), db.checkpointer.close()))
	}
	if db.readers, err = openReaders(ctx, path, o.Readers); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, errors.Join(explain(err), db.writer.close(), db.checkpointer.close()))
	}
	return db, nil
}

// Close finishes the Writes that were accepted, refuses further ones with
// ErrClosed, and closes the file. Transactions and rows still open on the read
// pool must be closed by their users.
func (db *DB) Close() error {
	if err := errors.Join(db.writer.close(), db.checkpointer.close(), db.readers.Close()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Path is the file of the store.
func (db *DB) Path() string { return db.path }

// Now is the store's time: UTC, whole microseconds. See docs/store.md for what
// happens when the machine's clock is set back.
func (db *DB) Now() time.Time { return db.clock.now() }

// Query reads from the last committed state. The caller closes the rows.
func (db *DB) Query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	rows, err := db.readers.QueryContext(ctx, q, args...)
	return rows, explain(err)
}

// QueryRow reads at most one row from the last committed state; Scan returns
// sql.ErrNoRows when there is none.
func (db *DB) QueryRow(ctx context.Context, q string, args ...any) *sql.Row {
	return db.readers.QueryRowContext(ctx, q, args...)
}

// Read runs f over one unchanging snapshot of the store. f cannot write.
func (db *DB) Read(ctx context.Context, f func(tx *Tx) error) error {
	conn, err := db.readers.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin read: %w", explain(err))
	}
	// A read-only transaction has nothing to lose: the outcome of f is the outcome.
	defer func() { _ = conn.Rollback() }()
	return explain(f(&Tx{ctx: ctx, run: ctx, conn: conn, now: db.Now(), readOnly: true}))
}

// Write runs f in one transaction and returns when it is durable. Concurrent
// Writes share one commit; each f has a savepoint of its own, so its error or
// panic (returned as *PanicError) undoes it alone. f must be quick and do no I/O
// but SQL; it runs at most once. When ctx ends before f has begun, f does not run
// and Write returns ctx's error; once f has begun, Write waits for the commit.
// Errors about the file itself are ErrFull, ErrReadOnly, ErrCorrupt or ErrBusy,
// and then nothing of f remains.
func (db *DB) Write(ctx context.Context, f func(tx *Tx) error) error {
	return db.write(ctx, db.writer.queue, f)
}

// WriteFirst is Write before all that wait already, for what somebody else waits for
// by the second, such as an acknowledgement. It waits for the function that runs and
// for its commit at most; f should be short.
func (db *DB) WriteFirst(ctx context.Context, f func(tx *Tx) error) error {
	return db.write(ctx, db.writer.first, f)
}

func (db *DB) write(ctx context.Context, queue chan *request, f func(tx *Tx) error) error {
	r, err := db.writer.do(ctx, queue, f)
	if err != nil {
		return explain(err)
	}
	// Here, not in the writer: a slow or writing callback holds up its own caller only.
	for _, after := range r.after {
		after()
	}
	for _, n := range r.notices {
		db.topics.publish(n.topic, n.payload)
	}
	return nil
}

// Stats counts what the writer has done since Open.
func (db *DB) Stats() Stats { return db.writer.stats() }

func (db *DB) clockStepped(from, to time.Time) {
	followed := from.Sub(to) > holdStep
	db.log.Warn().Time("from", from).Time("to", to).Bool("followed", followed).Msg("the clock was set back")
	if followed {
		db.topics.publish(TopicClock, "")
	}
}

// filePath turns a store URL into the path of its file.
func filePath(raw string) (string, error) {
	scheme, rest, ok := strings.Cut(raw, ":")
	switch {
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		return "", errors.New("open store: this build keeps its store in SQLite only: use sqlite:PATH instead of a PostgreSQL URL")
	case !ok || scheme != "sqlite":
		// The URL itself stays out of the message: it may hold a password.
		return "", errors.New("open store: the database URL must look like sqlite:PATH, for example sqlite:deskmate.db")
	}
	rest = strings.TrimPrefix(rest, "//")
	if rest == "" || rest == ":memory:" {
		return "", errors.New("open store: sqlite: needs the path of a file, because what is only in memory does not survive: for example sqlite:deskmate.db")
	}
	path, err := filepath.Abs(rest)
	if err != nil {
		return "", fmt.Errorf("open store: resolve path: %w", err)
	}
	return path, nil
}

// createPrivate makes sure that the file exists and that a new one is readable
// by its owner only: it will hold people's messages. SQLite gives its -wal and
// -shm files the same mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("the directory %s does not exist: create it first: %w", filepath.Dir(path), err)
	case isReadOnlyFile(err):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case err != nil:
		return fmt.Errorf("create file: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close file: %w", err)
	}
	return nil
}

func writerDSN(path string) string {
	return dsn(path, url.Values{"_txlock": {"immediate"}, "_synchronous": {"FULL"},
		"_secure_delete": {"1"}}) // what was forgotten must not stay in free pages
}

// readerCache is the page cache of each reader in KiB, filled as far as it is read:
// a search looks at thousands of rows all over the file.
const readerCache = 64000

// Readers are held to reading by query_only, not by mode=ro: a read-only open
// of a WAL database fails where the -shm file has to be made first.
func readerDSN(path string) string {
	return dsn(path, url.Values{"_txlock": {"deferred"}, "_query_only": {"1"}, "_cache_size": {strconv.Itoa(-readerCache)}})
}

func dsn(path string, v url.Values) string {
	v.Set("_busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10))
	v.Set("_foreign_keys", "1")
	if !v.Has("_journal_mode") {
		v.Set("_journal_mode", "WAL")
	}
	v.Set("_stmt_cache_size", strconv.Itoa(statementCache))
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + v.Encode()
}

func openReaders(ctx context.Context, path string, n int) (*sql.DB, error) {
	pool, err := sql.Open("sqlite3", readerDSN(path))
	if err != nil {
		return nil, fmt.Errorf("open readers: %w", err)
	}
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	if err := pool.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("open readers: %w", errors.Join(err, pool.Close()))
	}
	return pool, nil
}

// clock hands out the store's time; see docs/store.md, "Time".
type clock struct {
	source  func() time.Time
	stepped func(from, to time.Time) // nil, or told of every step back, once

	mu      sync.Mutex
	last    time.Time
	holding bool
}

// holdStep is the largest step back that is smoothed over by standing still:
// more than time synchronisation does by itself, less than anybody waits for.
const holdStep = 5 * time.Second

func (c *clock) now() time.Time {
	t := c.source().UTC().Round(0).Truncate(time.Microsecond)
	c.mu.Lock()
	from := c.last
	back := from.Sub(t)
	first := false
	switch {
	case back <= 0:
		c.last, c.holding = t, false
	case back <= holdStep:
		first, c.holding = !c.holding, true
		t = from
	default:
		first = true
		c.last, c.holding = t, false
	}
	c.mu.Unlock()
	if first && c.stepped != nil {
		c.stepped(from, from.Add(-back))
	}
	return t
}
