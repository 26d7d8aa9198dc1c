package handoff

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/scheduler"
)

const lapseColumns = `id, workspace, cause, about, asked, state, shown_at, reminded, created_at, ended_at, ended_by, ended_how`

func scanLapse(row interface{ Scan(...any) error }) (Lapse, error) {
	var l Lapse
	var asked string
	var shown, created, ended int64
	err := row.Scan(&l.ID, &l.Workspace, &l.Cause, &l.About, &asked, &l.State, &shown, &l.reminded, &created, &ended, &l.EndedBy, &l.EndedHow)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNone
	}
	if asked != "" {
		l.Asked = strings.Split(asked, ",")
	}
	l.shown, l.CreatedAt, l.EndedAt = migrations.Time(shown), migrations.Time(created), migrations.Time(ended)
	return l, err
}

func loadLapse(tx *migrations.Tx, workspace, id string) (Lapse, error) {
	l, err := scanLapse(tx.QueryRow(`SELECT `+lapseColumns+` FROM lapses WHERE workspace = $1 AND id = $2`, workspace, id))
	if err != nil {
		return l, fmt.Errorf("load lapse %s: %w", id, err)
	}
	l.Items, err = loadLapseItems(tx, id)
	return l, err
}

func loadLapseItems(tx *migrations.Tx, id string) ([]LapseItem, error) {
	rows, err := tx.Query(`SELECT kind, item, owner, held, seen, open FROM lapse_items WHERE lapse = $1 ORDER BY n`, id)
	if err != nil {
		return nil, fmt.Errorf("load items of lapse %s: %w", id, err)
	}
	defer rows.Close()
	var all []LapseItem
	for rows.Next() {
		var i LapseItem
		var seen string
		if err := rows.Scan(&i.Kind, &i.ID, &i.Owner, &i.Held, &seen, &i.Open); err != nil {
			return nil, fmt.Errorf("load items of lapse %s: %w", id, err)
		}
		i.seen = strings.Split(seen, ",")
		all = append(all, i)
	}
	return all, rows.Err()
}

// openLapses are those about a person or channel, or with about "" all of a workspace.
func openLapses(tx *migrations.Tx, workspace, about string) ([]Lapse, error) {
	rows, err := tx.Query(`SELECT `+lapseColumns+` FROM lapses WHERE workspace = $1 AND ($2 = '' OR about = $2) AND state = 'open' ORDER BY created_at, id`, workspace, about)
	if err != nil {
		return nil, fmt.Errorf("list lapses: %w", err)
	}
	defer rows.Close()
	var all []Lapse
	for rows.Next() {
		l, err := scanLapse(rows)
		if err != nil {
			return nil, fmt.Errorf("list lapses: %w", err)
		}
		all = append(all, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list lapses: %w", err)
	}
	for i := range all {
		if all[i].Items, err = loadLapseItems(tx, all[i].ID); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Lapses are the lapses of a workspace that wait for somebody's word, oldest first.
func (s *Handoffs) Lapses(ctx context.Context, workspace string) (all []Lapse, err error) {
	err = s.DB.Read(ctx, func(tx *migrations.Tx) error {
		all, err = openLapses(tx, workspace, "")
		return err
	})
	return all, err
}

// Lapse gives one lapse; ErrNone if there is none.
func (s *Handoffs) Lapse(ctx context.Context, workspace, id string) (l Lapse, err error) {
	err = s.DB.Read(ctx, func(tx *migrations.Tx) error {
		l, err = loadLapse(tx, workspace, id)
		return err
	})
	return l, err
}

// settleItem takes an item out of the lapse in which it waits, if it does.
func (s *Handoffs) settleItem(tx *migrations.Tx, workspace string, r Ref, by, how string) error {
	var id string
	var n int64
	err := tx.QueryRow(`SELECT lapse, n FROM lapse_items WHERE kind = $1 AND item = $2 AND open = 1`, r.Kind, r.ID).Scan(&id, &n)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a lapse of %s: %w", r.ID, err)
	}
	l, err := loadLapse(tx, workspace, id)
	if err != nil || l.OfPlace() { // the place is gone for the new owner too
		return err
	}
	if _, err := tx.Exec(`UPDATE lapse_items SET open = 0 WHERE lapse = $1 AND n = $2`, id, n); err != nil {
		return fmt.Errorf("settle item of lapse: %w", err)
	}
	if l.Items[n].Open = false; len(l.Open()) > 0 {
		return nil
	}
	return s.settleLapse(tx, l, by, how)
}

func (s *Handoffs) settleLapse(tx *migrations.Tx, l Lapse, by, how string) error {
	_, err := s.settledLapse(tx, l, by, how)
	return err
}

// settledLapse ends a lapse and returns it as it is then.
func (s *Handoffs) settledLapse(tx *migrations.Tx, l Lapse, by, how string) (Lapse, error) {
	l.State, l.EndedAt, l.EndedBy, l.EndedHow = "settled", tx.Now(), by, how
	if _, err := tx.Exec(`UPDATE lapses SET state = $1, ended_at = $2, ended_by = $3, ended_how = $4 WHERE id = $5`, l.State, migrations.Micros(l.EndedAt), by, how, l.ID); err != nil {
		return l, fmt.Errorf("settle lapse %s: %w", l.ID, err)
	}
	if _, err := tx.Exec(`UPDATE lapse_items SET open = 0 WHERE lapse = $1`, l.ID); err != nil {
		return l, fmt.Errorf("settle lapse %s: %w", l.ID, err)
	}
	if err := s.recordLapse(tx, l, "handoff.settled", by, nil, map[string]string{"how": how}); err != nil {
		return l, err
	}
	return l, s.ask(tx, l, LapseSettled)
}

func (s *Handoffs) ask(tx *migrations.Tx, l Lapse, what string) error {
	if s.Asked == nil {
		return nil
	}
	return s.Asked(tx, l, what)
}

func (s *Handoffs) recordLapse(tx *migrations.Tx, l Lapse, kind, actor string, items []LapseItem, fields map[string]string) error {
	all := map[string]string{"lapse": l.ID, "cause": l.Cause, "about": l.About}
	var ids []string
	for _, i := range items {
		ids = append(ids, i.ID)
	}
	all["items"] = strings.Join(ids, " ")
	for k, v := range fields {
		all[k] = v
	}
	if _, err := s.Ledger.Append(tx, ledger.Record{Workspace: l.Workspace, Kind: kind, Actor: actor, Fields: all}); err != nil {
		return fmt.Errorf("record %s of %s: %w", kind, l.ID, err)
	}
	return nil
}

// recordThread records a new owner of a thread; that of a duty the scheduler does.
func (s *Handoffs) recordThread(tx *migrations.Tx, workspace string, r Ref, from, to, why string) error {
	channel, ts := r.Thread()
	_, err := s.Ledger.Append(tx, ledger.Record{Workspace: workspace, Kind: "thread.owner", Actor: "system", Channel: channel, Thread: ts, Fields: map[string]string{"from": from, "owner": to, "why": why}})
	if err != nil {
		return fmt.Errorf("record owner of thread: %w", err)
	}
	return nil
}

// remind looks at an open lapse again: what is settled otherwise by now leaves it,
// and people are reminded of the rest. It returns when to look next.
func (s *Handoffs) remind(tx *migrations.Tx, l Lapse) (time.Time, error) {
	waiting := 0
	for n := range l.Items {
		i := &l.Items[n]
		if !i.Open {
			continue
		}
		still, offered, err := s.waits(tx, l, *i)
		if err != nil {
			return time.Time{}, err
		}
		if !still {
			i.Open = false
			if _, err := tx.Exec(`UPDATE lapse_items SET open = 0 WHERE lapse = $1 AND n = $2`, l.ID, n); err != nil {
				return time.Time{}, fmt.Errorf("settle item of lapse: %w", err)
			}
		} else if !offered {
			waiting++
		}
	}
	if len(l.Open()) == 0 {
		return time.Time{}, s.settleLapse(tx, l, "system", "all of it was settled in other ways")
	}
	next := func() time.Time {
		at := l.CreatedAt
		for n := int64(0); n <= l.reminded; n++ {
			step := lapseReminders[min(int(n), len(lapseReminders)-1)]
			if int(n) < len(lapseReminders) {
				at = l.CreatedAt.Add(step)
			} else {
				at = at.Add(step)
			}
		}
		return at
	}
	if at := next(); tx.Now().Before(at) {
		return at, nil
	}
	for !tx.Now().Before(next()) {
		l.reminded++
	}
	if _, err := tx.Exec(`UPDATE lapses SET reminded = $1 WHERE id = $2`, l.reminded, l.ID); err != nil {
		return time.Time{}, fmt.Errorf("note reminder: %w", err)
	}
	if waiting == 0 { // all of it is offered to somebody, who is reminded
		return next(), nil
	}
	return next(), s.ask(tx, l, LapseReminder)
}

// waits reports whether an item still waits, and whether it is offered to somebody.
func (s *Handoffs) waits(tx *migrations.Tx, l Lapse, i LapseItem) (still, offered bool, err error) {
	owner, err := s.owner(tx, l.Workspace, i.Ref)
	if errors.Is(err, ErrNone) {
		return false, false, nil
	}
	if err != nil || owner != i.Owner && !l.OfPlace() {
		return false, false, err
	}
	if i.Kind == KindDuty && i.Held {
		d, err := s.Duties.GetTx(tx, i.ID)
		if err != nil || d.State == scheduler.StateActive { // a human had it resumed
			return false, false, err
		}
	}
	var n int
	if err := tx.QueryRow(`SELECT COUNT(*) FROM handoff_items WHERE kind = $1 AND item = $2 AND state = 'offered'`, i.Kind, i.ID).Scan(&n); err != nil {
		return true, false, fmt.Errorf("look for an offer of %s: %w", i.ID, err)
	}
	return true, n > 0, nil
}
