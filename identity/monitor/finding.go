package monitor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// KindFinding is the kind of a finding's entry in the ledger.
const KindFinding = "monitor.finding"

// Note records a finding in tx: an entry in the ledger, and a row for the admin
// channel; once for each detector, subject and span of time. It returns the
// number of the entry, also when it was there before.
func (m *Monitor) Note(tx *migrations.Tx, f Finding) (int64, error) {
	if f.At.IsZero() {
		f.At = tx.Now()
	}
	span := m.c.span(f)
	var seq int64
	err := tx.QueryRow(`SELECT seq FROM monitor_findings WHERE workspace = $1 AND detector = $2 AND subject = $3 AND span = $4`,
		f.Workspace, f.Detector, f.Subject, span).Scan(&seq)
	if err == nil {
		return seq, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("note finding of %s: %w", f.Detector, err)
	}
	seq, err = m.ledger.Append(tx, ledger.Record{
		Workspace: f.Workspace, Kind: KindFinding, Actor: "system", Requester: f.Requester, Turn: f.Turn, Channel: f.Channel, Tool: f.Tool,
		Fields: map[string]string{"detector": f.Detector, "response": string(f.Response), "subject": f.Subject, "call_key": f.Action,
			"count": amount(f.Count), "threshold": amount(f.Threshold)},
		Payload: map[string]string{"text": f.Text},
	})
	if err != nil {
		return 0, fmt.Errorf("note finding of %s: %w", f.Detector, err)
	}
	_, err = tx.Exec(`INSERT INTO monitor_findings (workspace, detector, subject, span, seq, response, turn, channel, action, tool, requester, text, amount, threshold, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		f.Workspace, f.Detector, f.Subject, span, seq, string(f.Response), f.Turn, f.Channel, f.Action, f.Tool, f.Requester, ledger.Mask(f.Text),
		f.Count, f.Threshold, migrations.Micros(f.At))
	if err != nil {
		return 0, fmt.Errorf("note finding of %s: %w", f.Detector, err)
	}
	return seq, nil
}

// Filter says which findings Findings gives; empty members do not matter.
type Filter struct {
	Detector     string
	Since, Until time.Time // of the finding; Until is exclusive
	Untold       bool      // only those that the admin channel does not know yet
	Limit        int       // 0: 100
}

// Findings are the findings that were noted, newest first; those that are to be
// told, oldest first.
func (m *Monitor) Findings(ctx context.Context, workspace string, q Filter) ([]Finding, error) {
	where, args := []string{"workspace = $1"}, []any{workspace}
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf("%s $%d", condition, len(args)))
	}
	if q.Detector != "" {
		add("detector =", q.Detector)
	}
	if !q.Since.IsZero() {
		add("at >=", migrations.Micros(q.Since))
	}
	if !q.Until.IsZero() {
		add("at <", migrations.Micros(q.Until))
	}
	order := "DESC"
	if q.Untold {
		order = "ASC"
		where = append(where, "told_at = 0")
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	args = append(args, q.Limit)
	rows, err := m.db.Query(ctx, fmt.Sprintf(`SELECT workspace, detector, subject, seq, response, turn, channel, action, tool, requester, text, amount, threshold, at
		FROM monitor_findings WHERE %s ORDER BY seq %s LIMIT $%d`, strings.Join(where, " AND "), order, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("list findings: %w", err)
	}
	defer rows.Close()
	var all []Finding
	for rows.Next() {
		var f Finding
		var at int64
		if err := rows.Scan(&f.Workspace, &f.Detector, &f.Subject, &f.Seq, &f.Response, &f.Turn, &f.Channel, &f.Action, &f.Tool, &f.Requester, &f.Text,
			&f.Count, &f.Threshold, &at); err != nil {
			return nil, fmt.Errorf("list findings: %w", err)
		}
		f.At = migrations.Time(at)
		all = append(all, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list findings: %w", err)
	}
	return all, nil
}

// Told marks a finding, by the number of its entry, as known to the admin channel.
func (m *Monitor) Told(tx *migrations.Tx, workspace string, seq int64) error {
	if _, err := tx.Exec(`UPDATE monitor_findings SET told_at = $1 WHERE workspace = $2 AND seq = $3 AND told_at = 0`,
		migrations.Micros(tx.Now()), workspace, seq); err != nil {
		return fmt.Errorf("mark finding %d as told: %w", seq, err)
	}
	return nil
}
