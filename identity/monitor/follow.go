package monitor

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

const (
	page      = 1024             // entries that are read at once
	saveAfter = 256              // entries after which the statistics are saved
	saveEvery = 30 * time.Second // and time after which they are, if there is anything new
)

// Follow reads the ledgers of all workspaces as they grow, until ctx ends: it
// keeps the statistics in the store, and raises and notes what can only be seen
// once it is recorded. What goes wrong is logged and tried again. It returns nil
// when ctx ends, or the error of the configuration.
func (m *Monitor) Follow(ctx context.Context) error {
	if m.broken != nil {
		return m.broken
	}
	tick := time.NewTicker(m.c.every)
	defer tick.Stop()
	for {
		if err := m.step(ctx, false); err != nil && ctx.Err() == nil {
			m.c.log.Error().Err(err).Msg("the monitor cannot follow the ledger")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err := m.step(context.WithoutCancel(ctx), true); err != nil {
				// Nothing is lost: it is read again after the start.
				m.c.log.Warn().Err(err).Msg("the monitor could not save its statistics")
			}
			return nil
		}
	}
}

// step takes all workspaces to the present. last saves in any case and raises
// nothing: that is for the next start.
func (m *Monitor) step(ctx context.Context, last bool) error {
	rows, err := m.db.Query(ctx, `SELECT workspace FROM ledger_trees UNION SELECT workspace FROM monitor_positions ORDER BY workspace`)
	if err != nil {
		return fmt.Errorf("monitor: list ledgers: %w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var w string
		if err := rows.Scan(&w); err != nil {
			return fmt.Errorf("monitor: list ledgers: %w", err)
		}
		names = append(names, w)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("monitor: list ledgers: %w", err)
	}
	var failed []error
	for _, name := range names {
		if err := m.advance(ctx, m.watch(name), last); err != nil {
			failed = append(failed, fmt.Errorf("monitor: workspace %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

// advance takes one workspace to the present. Findings are raised before the
// position moves past them: what is raised twice is suspended once, what is never
// raised goes on.
func (m *Monitor) advance(ctx context.Context, w *watched, last bool) error {
	w.mu.Lock()
	err := m.catchUp(ctx, w)
	if err != nil || last && len(w.pending) > 0 {
		w.mu.Unlock()
		return err
	}
	pending := slices.Clone(w.pending)
	now := m.db.Now()
	due := len(pending) > 0 || w.unsaved || w.state.next-w.saved >= saveAfter || w.state.next > w.saved && (last || now.Sub(w.savedAt) >= saveEvery)
	var text []byte
	position, gap := w.state.next, w.gap
	if due {
		text, err = json.Marshal(w.state)
	}
	w.mu.Unlock()
	if err != nil {
		return fmt.Errorf("encode statistics: %w", err)
	}
	if !due {
		return nil
	}
	for _, f := range pending {
		if m.c.raise == nil {
			break
		}
		if err := m.c.raise(ctx, f); err != nil {
			return fmt.Errorf("raise finding of %s: %w", f.Detector, err)
		}
	}
	save := func(tx *migrations.Tx) error { return m.save(tx, w.name, position, string(text), gap) }
	ctx = context.WithoutCancel(ctx) // what was raised is noted
	err = m.db.Write(ctx, func(tx *migrations.Tx) error {
		for _, f := range pending {
			if _, err := m.Note(tx, f); err != nil {
				return err
			}
		}
		return save(tx)
	})
	if err != nil && gap != "" {
		// A ledger that is broken may not take the note of it; that it is broken
		// must survive all the same.
		if serr := m.db.Write(ctx, save); serr != nil {
			return errors.Join(err, serr)
		}
		m.c.log.Error().Err(err).Msg("a gap in the ledger could not be noted in it")
	} else if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = slices.Delete(w.pending, 0, len(pending))
	w.saved, w.savedAt, w.unsaved, w.gapKept = position, now, false, gap != ""
	return nil
}

// save keeps the statistics with the position that they belong to.
func (m *Monitor) save(tx *migrations.Tx, workspace string, position int64, text, gap string) error {
	_, err := tx.Exec(`INSERT INTO monitor_positions (workspace, position, form, state, gap, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (workspace) DO UPDATE SET position = excluded.position, form = excluded.form, state = excluded.state, gap = excluded.gap,
			updated_at = excluded.updated_at WHERE monitor_positions.position <= excluded.position`,
		workspace, position, m.c.form(), text, gap, migrations.Micros(tx.Now()))
	if err != nil {
		return fmt.Errorf("save statistics: %w", err)
	}
	return nil
}

// catchUp takes the state to the end of the ledger, unless there is a gap. w is
// locked.
func (m *Monitor) catchUp(ctx context.Context, w *watched) error {
	if !w.loaded || w.gap != "" {
		if err := m.load(ctx, w); err != nil {
			return err
		}
	}
	for w.gap == "" {
		entries, size, err := m.ledger.Since(ctx, w.name, w.state.next, page)
		broken := errors.Is(err, ledger.ErrUnreadable)
		if err != nil && !broken {
			return err
		}
		for _, e := range entries {
			if e.Seq != w.state.next && e.Seq > w.known {
				w.state.next = max(w.state.next, w.known)
				break
			}
			r, err := e.Record()
			if err != nil {
				return err
			}
			found := w.state.feed(&m.c, e.Seq, e.At, r)
			if e.Seq >= w.silent {
				w.pending = append(w.pending, found...)
			}
		}
		next := w.state.next
		missing := len(entries) > 0 && entries[len(entries)-1].Seq >= next
		switch {
		case next < w.known && (broken || len(entries) < page):
			w.state.next++ // accepted
		case broken && !missing:
			m.lose(w, fmt.Sprintf("entry %d of the ledger cannot be read", next))
		case missing || len(entries) < page && size > next:
			m.lose(w, fmt.Sprintf("entry %d of the ledger is missing", next))
		case size < next:
			m.lose(w, fmt.Sprintf("the ledger has %d entries, and %d were there", size, next))
		case len(entries) < page:
			return nil
		}
	}
	return nil
}

// lose notes that the ledger cannot be followed.
func (m *Monitor) lose(w *watched, gap string) {
	w.gap, w.gapSeq = gap+": everything but answers is stopped until `deskmate audit verify` was looked at and `deskmate monitor accept` says so", w.state.next
	w.gapKept = false
	f := m.c.gapFinding(Facts{Workspace: w.name, At: m.db.Now()}, w.gap, w.gapSeq)
	f.Seq = w.gapSeq
	w.pending = append(w.pending, f)
}

// load reads the position and statistics, once; with a gap, again, in case it was
// accepted. w is locked.
func (m *Monitor) load(ctx context.Context, w *watched) error {
	var position int64
	var form, text, gap string
	err := m.db.QueryRow(ctx, `SELECT position, form, state, gap FROM monitor_positions WHERE workspace = $1`, w.name).Scan(&position, &form, &text, &gap)
	none := errors.Is(err, sql.ErrNoRows)
	if err != nil && !none {
		return fmt.Errorf("load statistics: %w", err)
	}
	if w.loaded && (!w.gapKept || none || gap != "") {
		return nil // the gap is as it was
	}
	s, silent := newState(), position
	switch {
	case none:
		// What was recorded before there was a monitor is learnt from, not acted on.
		if _, silent, err = m.ledger.Since(ctx, w.name, 0, 1); err != nil && !errors.Is(err, ledger.ErrUnreadable) {
			return err
		}
	case form == m.c.form():
		if s, err = decodeState(text, position); err != nil {
			return err
		}
	}
	w.state, w.silent, w.known, w.loaded = s, silent, position, true
	w.gap, w.gapSeq, w.gapKept = gap, position, gap != ""
	w.saved, w.savedAt, w.unsaved = position, m.db.Now(), none || form != m.c.form()
	return nil
}

// ErrNoGap means that there is nothing to accept.
var ErrNoGap = errors.New("the monitor knows of no gap in the ledger")

// Accept is a human's word that a gap in the ledger was looked at: the monitor
// goes on behind it. by is the human; both are recorded. It returns what the gap
// was.
func (m *Monitor) Accept(ctx context.Context, workspace, by, reason string) (string, error) {
	if by == "" || reason == "" {
		return "", errors.New("accept gap: who accepts it and why must be given")
	}
	var gap string
	err := m.db.Write(ctx, func(tx *migrations.Tx) error {
		err := tx.QueryRow(`SELECT gap FROM monitor_positions WHERE workspace = $1`, workspace).Scan(&gap)
		if errors.Is(err, sql.ErrNoRows) || err == nil && gap == "" {
			return ErrNoGap
		}
		if err != nil {
			return err
		}
		seq, err := m.ledger.Append(tx, ledger.Record{Workspace: workspace, Kind: "gap.accepted", Actor: by,
			Payload: map[string]string{"gap": gap, "reason": reason}})
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE monitor_positions SET gap = '', position = $1, updated_at = $2 WHERE workspace = $3`,
			seq+1, migrations.Micros(tx.Now()), workspace)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("accept gap: %w", err)
	}
	return gap, nil
}
