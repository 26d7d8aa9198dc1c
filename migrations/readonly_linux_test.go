package migrations

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// asNobody runs f without the right to write other users' files, even when the
// tests run as root. The thread keeps its loss and ends with the goroutine.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread dies with this goroutine
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0); errno != 0 {
			t.Errorf("setfsuid: %v", errno)
			return
		}
		f()
	}()
	<-done
}

func TestAStoreThatCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]func(t *testing.T, path string){
		"read-only file": func(t *testing.T, path string) {
			db, err := Open(context.Background(), "sqlite:"+path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Close(), os.Chmod(path, 0o444)); err != nil {
				t.Fatal(err)
			}
		},
		"missing file in a read-only directory": func(t *testing.T, path string) {
			if err := os.Chmod(filepath.Dir(path), 0o555); err != nil {
				t.Fatal(err)
			}
		},
		"writable file in a read-only directory": func(t *testing.T, path string) {
			db, err := Open(context.Background(), "sqlite:"+path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Close(), os.Chmod(path, 0o666), os.Chmod(filepath.Dir(path), 0o555)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, 0o755) }) // so that it can be removed
			path := filepath.Join(dir, "test.db")
			lock(t, path)
			asNobody(t, func() {
				db, err := Open(context.Background(), "sqlite:"+path, Options{})
				if err == nil {
					_ = db.Close()
				}
				if !errors.Is(err, ErrReadOnly) {
					t.Errorf("got %v, want ErrReadOnly", err)
				} else if !strings.Contains(err.Error(), "make its file and its directory writable") {
					t.Errorf("the error does not say what to do: %v", err)
				}
			})
		})
	}
}
