package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

const (
	// checkpointAfter is after how many changing statements the log is worked off.
	checkpointAfter = 500
	// mostLog is how many pages the log may have before a commit itself works off
	// what is left, and waits for it: while writes never pause, only a moment in which
	// nobody else writes lets the log begin anew.
	mostLog = 8000
)

// checkpointer copies committed pages from the write-ahead log into the file, on a
// connection of its own, so that no commit waits for it.
type checkpointer struct {
	pool  *sql.DB
	want  chan struct{}
	stop  func() // ends run
	ended chan struct{}
	mu    sync.Mutex // SQLite refuses a second checkpoint at once
}

func newCheckpointer(ctx context.Context, path string) (*checkpointer, error) {
	pool, err := openReaders(ctx, path, 1)
	if err != nil {
		return nil, err
	}
	c := &checkpointer{pool: pool, want: make(chan struct{}, 1), ended: make(chan struct{})}
	work, stop := context.WithCancel(context.Background())
	c.stop = stop
	go c.run(work)
	return c, nil
}

func (c *checkpointer) run(ctx context.Context) {
	defer close(c.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.want:
			// One that fails or is in another process's way is made up for by the next, and
			// by commits once the log is long: nothing depends on it but the log's length.
			_, _ = c.checkpoint(ctx, "PASSIVE")
		}
	}
}

// poke asks for a checkpoint, without waiting.
func (c *checkpointer) poke() {
	select {
	case c.want <- struct{}{}:
	default:
	}
}

// checkpoint reports whether somebody kept it from being complete.
func (c *checkpointer) checkpoint(ctx context.Context, mode string) (busy bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var log, moved int
	err = c.pool.QueryRowContext(ctx, `PRAGMA wal_checkpoint(`+mode+`)`).Scan(&busy, &log, &moved)
	return busy, err
}

func (c *checkpointer) close() error {
	c.stop()
	<-c.ended
	return c.pool.Close()
}

// EmptyLog moves the write-ahead log into the file and empties it, so that what was
// erased is in neither. It fails with ErrBusy where a long read keeps it from that.
func (db *DB) EmptyLog(ctx context.Context) error {
	busy, err := db.checkpointer.checkpoint(ctx, "TRUNCATE")
	if err == nil && busy {
		err = ErrBusy
	}
	if err != nil {
		return fmt.Errorf("empty write-ahead log: %w", explain(err))
	}
	return nil
}
