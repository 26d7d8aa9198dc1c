package ledger

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"deskmate/migrations"
)

// Formats of Write.
const (
	FormatJSONL = "jsonl" // entries as they are
	FormatOCSF  = "ocsf"  // Open Cybersecurity Schema Framework 1.3.0, class 6003, API Activity
	FormatCSV   = "csv"
)

// Write writes the entries of a span of time, oldest first, in one of the
// formats, all of one moment. Zero times do not bound. It returns how many.
func (l *Ledger) Write(ctx context.Context, workspace, format string, since, until time.Time, w io.Writer) (int64, error) {
	var put func(e Entry, r Record) error
	done := func() error { return nil }
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	switch format {
	case FormatJSONL:
		put = func(e Entry, _ Record) error { return lines.Encode(e) }
	case FormatOCSF:
		put = func(e Entry, r Record) error { return lines.Encode(ocsf(e, r)) }
	case FormatCSV:
		out := csv.NewWriter(w)
		if err := out.Write(csvHead); err != nil {
			return 0, fmt.Errorf("export ledger of %s: %w", workspace, err)
		}
		put = func(e Entry, r Record) error { return out.Write(csvRow(e, r)) }
		done = func() error { out.Flush(); return out.Error() }
	default:
		return 0, fmt.Errorf("export ledger: there is no format %q: jsonl, ocsf or csv", format)
	}
	n := int64(0)
	err := l.db.Read(ctx, func(tx *migrations.Tx) error {
		for from := int64(0); ; {
			page, err := readEntries(tx, workspace, from, readPage)
			if err != nil || len(page) == 0 {
				return err
			}
			for _, e := range page {
				if e.At.Before(since) || !until.IsZero() && !e.At.Before(until) {
					continue
				}
				r, err := e.Record()
				if err != nil {
					return err
				}
				if err := put(e, r); err != nil {
					return fmt.Errorf("write entry %d: %w", e.Seq, err)
				}
				n++
			}
			from = page[len(page)-1].Seq + 1
		}
	})
	if err == nil {
		err = done()
	}
	if err != nil {
		return n, fmt.Errorf("export ledger of %s: %w", workspace, err)
	}
	return n, nil
}

var csvHead = []string{"seq", "time", "kind", "actor", "requester", "channel", "thread", "target", "tool", "class", "decision", "reasons", "outcome", "turn", "action", "ref", "fields", "texts"}

func csvRow(e Entry, r Record) []string {
	ref := ""
	if r.Ref != nil {
		ref = strconv.FormatInt(*r.Ref, 10)
	}
	row := []string{strconv.FormatInt(e.Seq, 10), e.At.UTC().Format(time.RFC3339Nano), r.Kind, r.Actor, r.Requester, r.Channel, r.Thread, r.Target, r.Tool, r.Class,
		r.Decision, strings.Join(r.Reasons, " "), r.Outcome, r.Turn, r.Action, ref, object(r.Fields), object(e.Payload)}
	for i := range row {
		row[i] = harmless(row[i])
	}
	return row
}

// harmless keeps a cell from being a formula in a spreadsheet.
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func object(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	b, err := json.Marshal(m)
	if err != nil {
		return ""
	}
	return string(b)
}

// ocsf maps an entry to OCSF API Activity. Source: schema.ocsf.io/1.3.0/classes/api_activity.
func ocsf(e Entry, r Record) map[string]any {
	activity := map[string]int{"read": 2, "write": 3, "external": 3}[r.Class]
	if activity == 0 {
		activity = 99
	}
	status, statusID := "Unknown", 0
	switch {
	case r.Outcome == "done":
		status, statusID = "Success", 1
	case r.Kind == KindDenied || r.Outcome == "failed":
		status, statusID = "Failure", 2
	case r.Outcome != "":
		status, statusID = r.Outcome, 99
	}
	severity := 1 // informational
	if r.Kind == KindDenied || strings.HasPrefix(r.Kind, "monitor.") || r.Outcome == "unknown" {
		severity = 3 // medium
	}
	operation := r.Tool
	if operation == "" {
		operation = r.Kind
	}
	var resources []map[string]string
	for kind, id := range map[string]string{"channel": r.Channel, "target": r.Target} {
		if id != "" {
			resources = append(resources, map[string]string{"uid": id, "type": kind})
		}
	}
	return map[string]any{
		"class_uid": 6003, "class_name": "API Activity", "category_uid": 6, "category_name": "Application Activity",
		"activity_id": activity, "type_uid": 600300 + activity, "severity_id": severity, "status": status, "status_id": statusID,
		"time":    e.At.UnixMilli(),
		"message": r.Kind,
		"metadata": map[string]any{"version": "1.3.0", "uid": fmt.Sprintf("%s/%d", r.Workspace, e.Seq), "sequence": e.Seq, "log_name": "deskmate ledger",
			"product": map[string]string{"name": "Deskmate", "vendor_name": "Deskmate"}, "correlation_uid": r.Turn},
		"actor":        map[string]any{"user": map[string]string{"uid": r.Actor}, "invoked_by": r.Requester},
		"api":          map[string]any{"operation": operation, "service": map[string]string{"name": "deskmate"}, "request": map[string]string{"uid": r.Action}},
		"src_endpoint": map[string]string{"name": "slack", "uid": r.Workspace},
		"resources":    resources,
		"unmapped":     map[string]any{"entry": json.RawMessage(e.Leaf), "texts": e.Payload},
	}
}
