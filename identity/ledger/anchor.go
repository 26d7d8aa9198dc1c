package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"deskmate/migrations"
)

// Sink is a place outside the store that keeps checkpoints.
type Sink struct {
	Name  string        // names it for ever: what it has got is kept under the name
	Every time.Duration // how often it wants one at most; 0: each
	// Put keeps one. It may get the same again.
	Put func(ctx context.Context, c Checkpoint) error
}

// HTTPSink posts checkpoints, as text, to a URL; token is sent as a bearer token
// unless it is empty. Any 2xx answer means that it is kept.
func HTTPSink(address, token string, client *http.Client) Sink {
	return Sink{Name: "http", Put: func(ctx context.Context, c Checkpoint) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(c.Note))
		if err != nil {
			return errors.New("the address is not a URL")
		}
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if failed := new(url.Error); errors.As(err, &failed) {
			err = failed.Err // without the address, which may hold a secret
		}
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("it answered with HTTP status %d", resp.StatusCode)
		}
		return nil
	}}
}

// Anchored is what a sink has got of a ledger.
type Anchored struct {
	Workspace string    `json:"workspace"`
	Sink      string    `json:"sink"`
	Size      int64     `json:"size"`
	At        time.Time `json:"at,omitzero"`
	FailedAt  time.Time `json:"failed_at,omitzero"` // since when it takes none
	Error     string    `json:"error,omitempty"`
}

// Anchors says what all sinks have got.
func (l *Ledger) Anchors(ctx context.Context) ([]Anchored, error) {
	rows, err := l.db.Query(ctx, `SELECT workspace, sink, size, anchored_at, failed_at, error FROM anchors ORDER BY workspace, sink`)
	if err != nil {
		return nil, fmt.Errorf("list anchors: %w", err)
	}
	defer rows.Close()
	var all []Anchored
	for rows.Next() {
		var a Anchored
		var at, failed int64
		if err := rows.Scan(&a.Workspace, &a.Sink, &a.Size, &at, &failed, &a.Error); err != nil {
			return nil, fmt.Errorf("list anchors: %w", err)
		}
		a.At, a.FailedAt = migrations.Time(at), migrations.Time(failed)
		all = append(all, a)
	}
	return all, rows.Err()
}

// feed keeps one sink fed until ctx ends: at once, then whenever look says that
// there may be something new, and after a failure when its time has come.
func (l *Ledger) feed(ctx context.Context, s Sink, look <-chan struct{}) {
	wait := time.Duration(0)
	for {
		if l.anchor(ctx, s) {
			wait = 0
			select {
			case <-look:
			case <-ctx.Done():
				return
			}
			continue
		}
		wait = min(max(2*wait, l.o.Retry), l.o.Every)
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

// anchor gives a sink the newest checkpoint of each ledger that it has not got,
// and reports whether it now has all that it wants.
func (l *Ledger) anchor(ctx context.Context, s Sink) bool {
	had, err := l.Anchors(ctx)
	if err != nil {
		return l.unanchored(ctx, err)
	}
	workspaces, err := l.Workspaces(ctx)
	if err != nil {
		return l.unanchored(ctx, err)
	}
	all := true
	for _, w := range workspaces {
		c, err := l.newest(ctx, w)
		if err != nil {
			all = l.unanchored(ctx, err)
			continue
		}
		a := Anchored{Workspace: w, Sink: s.Name}
		for _, h := range had {
			if h.Workspace == w && h.Sink == s.Name {
				a = h
			}
		}
		if c.Size > a.Size && (a.At.IsZero() || l.db.Now().Sub(a.At) >= s.Every) {
			all = l.put(ctx, s, c, a) && all
		}
	}
	return all
}

func (l *Ledger) unanchored(ctx context.Context, err error) bool {
	if ctx.Err() == nil {
		l.o.Logger.Error().Err(err).Msg("checkpoints not anchored")
	}
	return false
}

// newest is the newest stored checkpoint, the zero one if there is none.
func (l *Ledger) newest(ctx context.Context, workspace string) (Checkpoint, error) {
	rows, err := l.db.Query(ctx, `SELECT note FROM ledger_checkpoints WHERE workspace = $1 ORDER BY size DESC LIMIT 1`, workspace)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read newest checkpoint: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return Checkpoint{}, rows.Err()
	}
	var text string
	if err := rows.Scan(&text); err != nil {
		return Checkpoint{}, fmt.Errorf("read newest checkpoint: %w", err)
	}
	return ParseCheckpoint(text, l.keys.verifier)
}

// put gives a sink a checkpoint, keeps what came of it, and reports whether the
// sink took it. A failure is logged when it begins and when it ends.
func (l *Ledger) put(ctx context.Context, s Sink, c Checkpoint, a Anchored) bool {
	failed := s.Put(ctx, c)
	if failed != nil && ctx.Err() != nil {
		return false // we stop, and it did nothing wrong
	}
	now := l.db.Now()
	switch {
	case failed == nil && !a.FailedAt.IsZero():
		l.o.Logger.Info().Str("sink", s.Name).Msg("checkpoints are anchored again")
	case failed != nil && a.FailedAt.IsZero():
		l.o.Logger.Error().Err(failed).Str("sink", s.Name).Msg("checkpoint not anchored: tried again")
	}
	if failed == nil {
		a.Size, a.At, a.FailedAt, a.Error = c.Size, now, time.Time{}, ""
	} else {
		a.Error = Mask(failed.Error())
		if a.FailedAt.IsZero() {
			a.FailedAt = now
		}
	}
	micros := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		return migrations.Micros(t)
	}
	err := l.db.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		_, err := tx.Exec(`INSERT INTO anchors (workspace, sink, size, anchored_at, failed_at, error) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (workspace, sink) DO UPDATE SET size = excluded.size, anchored_at = excluded.anchored_at, failed_at = excluded.failed_at, error = excluded.error`,
			a.Workspace, a.Sink, a.Size, micros(a.At), micros(a.FailedAt), a.Error)
		return err
	})
	if err != nil {
		l.o.Logger.Error().Err(err).Str("sink", s.Name).Msg("anchor not noted: the checkpoint is sent again")
		return false
	}
	return failed == nil
}
