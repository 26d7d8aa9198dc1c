// Package migrated puts empty stores of the newest schema in place for tests: a copy
// costs a tenth of what migrating costs, and nearly every test has a store of its own.
// What it gives is what migrations.Open makes, to the byte; it must never be used
// outside tests.
package migrated

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"deskmate/migrations"
)

var template = sync.OnceValues(func() (data []byte, err error) {
	dir, err := os.MkdirTemp("", "migrated")
	if err != nil {
		return nil, fmt.Errorf("make template: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "template.db")
	db, err := migrations.Open(context.Background(), "sqlite:"+path, migrations.Options{})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		return nil, errors.New("a part of the template is still in its write-ahead log")
	}
	return os.ReadFile(path)
})

// At puts an empty store at path, unless there is one, and gives its URL.
func At(t testing.TB, path string) (url string) {
	t.Helper()
	url = "sqlite:" + path
	if _, err := os.Stat(path); err == nil {
		return url
	}
	data, err := template()
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatalf("put a migrated store at %s: %v", path, err)
	}
	return url
}
