package tracker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Comment is one remark under an issue.
type Comment struct {
	Author string    `json:"author"`
	Body   string    `json:"body"`
	At     time.Time `json:"at"`
}

// Issue is one entry of the tracker. ID is "HB-" and Number.
type Issue struct {
	ID       string    `json:"id"`
	Number   int       `json:"number"`
	Title    string    `json:"title"`
	Body     string    `json:"body"`
	State    string    `json:"state" jsonschema:"open or closed"`
	Labels   []string  `json:"labels"`
	Author   string    `json:"author"`
	Assignee string    `json:"assignee,omitempty" jsonschema:"absent while nobody has it"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Comments []Comment `json:"comments"`
}

// done is what an idempotency key stands for.
type done struct {
	Number   int    `json:"number"`
	Argument string `json:"argument"` // hash of what was asked, so that a key is not reused for another wish
}

// state is the whole file.
type state struct {
	Issues []Issue         `json:"issues"` // ascending by number
	Keys   map[string]done `json:"keys"`
}

func (s *state) find(number int) *Issue {
	for i := range s.Issues {
		if s.Issues[i].Number == number {
			return &s.Issues[i]
		}
	}
	return nil
}

// store keeps the state in one file. Every use reads the file under a lock that
// other processes honour, so nothing is cached and no write is lost.
type store struct {
	dir   string
	clock func() time.Time
}

func (s *store) file() string { return filepath.Join(s.dir, "issues.json") }

func (s *store) open() error {
	return s.locked(syscall.LOCK_EX, func() error {
		_, err := s.load()
		if errors.Is(err, fs.ErrNotExist) {
			return s.save(seed())
		}
		return err
	})
}

func (s *store) view(look func(*state) error) error {
	return s.locked(syscall.LOCK_SH, func() error {
		st, err := s.load()
		if err != nil {
			return err
		}
		return look(st)
	})
}

// update saves what change leaves behind, unless change fails.
func (s *store) update(change func(st *state, now time.Time) error) error {
	return s.locked(syscall.LOCK_EX, func() error {
		st, err := s.load()
		if err != nil {
			return err
		}
		if err := change(st, s.clock().UTC().Truncate(time.Second)); err != nil {
			return err
		}
		return s.save(st)
	})
}

// locked holds a lock on a file beside the state: the state itself is replaced
// on each write, and a lock on a replaced file excludes nobody.
func (s *store) locked(how int, f func() error) error {
	l, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open lock: %w", err)
	}
	defer l.Close() // releases the lock
	if err := syscall.Flock(int(l.Fd()), how); err != nil {
		return fmt.Errorf("lock issues: %w", err)
	}
	return f()
}

func (s *store) load() (*state, error) {
	b, err := os.ReadFile(s.file())
	if err != nil {
		return nil, fmt.Errorf("read issues: %w", err)
	}
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return nil, fmt.Errorf("parse issues: %w", err)
	}
	if st.Keys == nil {
		st.Keys = map[string]done{}
	}
	return &st, nil
}

func (s *store) save(st *state) error {
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write issues: %w", err)
	}
	f, err := os.CreateTemp(s.dir, "issues-*.tmp")
	if err != nil {
		return fmt.Errorf("write issues: %w", err)
	}
	defer os.Remove(f.Name()) // gone already if the rename came through
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), s.file())
	}
	if err != nil {
		return fmt.Errorf("write issues: %w", err)
	}
	return nil
}
