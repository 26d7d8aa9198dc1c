//go:build !sqlite_fts5

package migrations

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

// Run with: go test -run TestABinaryWithoutFTS5SaysSo ./migrations (no tags).
func TestABinaryWithoutFTS5SaysSo(t *testing.T) {
	t.Parallel()
	_, err := Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "test.db"), Options{})
	if !errors.Is(err, ErrNoFTS5) {
		t.Errorf("got %v, want ErrNoFTS5", err)
	}
}
