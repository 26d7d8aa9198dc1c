package migrations

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// What can be wrong with the store as a whole. The messages say what to do next;
// errors.Is tells them apart.
var (
	ErrNoFTS5      = errors.New("this binary was built without full-text search (SQLite FTS5): build it with `make build`, or pass `-tags sqlite_fts5` to go build")
	ErrNewerSchema = errors.New("the store was written by a newer version of deskmate: start that version, or restore the backup that was made before the upgrade")
	ErrReadOnly    = errors.New("the store is read-only: make its file and its directory writable for the user that runs deskmate")
	ErrFull        = errors.New("the disk is full: free some space; nothing of this change was kept, and later ones work once there is space")
	ErrCorrupt     = errors.New("the store is damaged: stop deskmate, keep a copy of the file, then restore the newest backup, or salvage what is readable with `sqlite3 FILE .recover`")
	ErrBusy        = errors.New("the store is held by another process: wait for it to end, or look for a second deskmate or an open sqlite3 shell on the file")
	ErrDisk        = errors.New("the disk failed: look at the system's log; nothing of this change was kept")
	ErrClosed      = errors.New("the store is closed")
)

var errLost = errors.New("the transaction was rolled back by an earlier error")

// PanicError is what Write returns when its function panicked.
type PanicError struct {
	Value any
	Stack []byte // of the panic, for the log
}

func (e *PanicError) Error() string { return fmt.Sprintf("write function panicked: %v", e.Value) }

// explain adds the Err value that fits to an error of SQLite. Others, and those
// that have one already, are returned as they are.
func explain(err error) error {
	var e sqlite3.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	kind := kindOf(e)
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w (%w)", kind, err)
}

func kindOf(e sqlite3.Error) error {
	switch e.Code {
	case sqlite3.ErrFull:
		return ErrFull
	case sqlite3.ErrReadonly, sqlite3.ErrPerm:
		return ErrReadOnly
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return ErrCorrupt
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return ErrBusy
	case sqlite3.ErrIoErr:
		return kindOfIO(e)
	case sqlite3.ErrCantOpen:
		if isReadOnlyFile(e.SystemErrno) {
			return ErrReadOnly
		}
	}
	return nil
}

// kindOfIO tells a full disk from a broken one: the log's index file is extended
// with its own code, and a quota is an I/O error to SQLite.
func kindOfIO(e sqlite3.Error) error {
	switch {
	case e.SystemErrno == syscall.ENOSPC, e.SystemErrno == syscall.EDQUOT, e.ExtendedCode == sqlite3.ErrIoErrSHMSize:
		return ErrFull
	case e.ExtendedCode == sqlite3.ErrIoErrShortRead:
		return ErrCorrupt
	default:
		return ErrDisk
	}
}

func isReadOnlyFile(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}
