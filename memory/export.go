package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/migrations"
)

// Filter narrows List; empty fields do not.
type Filter struct {
	Scope      string // workspace, channel:C…, dm:D…
	Author     string // Slack user id
	Words      string // all of which the note has
	Superseded bool   // with those that were superseded
	Expired    bool   // with those that have expired
	Withhold   bool   // sources that those who read the note's scope may not see are left out
	After      string // id of the last note of the page before
	Limit      int    // 0: 100
}

const listLimit = 100

// Entry is a note with all of its versions, for those who run the agent.
type Entry struct {
	Note
	History []Version // oldest first, the last is the note itself
}

// List gives the notes of a workspace in the order they were made. It asks nobody
// for whom: it is for the operator's commands and pages, never for an answer in
// Slack.
func (m *Memory) List(ctx context.Context, workspace string, f Filter) ([]Entry, error) {
	if f.Limit <= 0 {
		f.Limit = listLimit
	}
	var all []Entry
	err := m.db.Read(ctx, func(tx *migrations.Tx) error {
		where := `n.workspace = $1 AND n.seq > COALESCE((SELECT seq FROM notes WHERE id = $2), 0)
			AND ($3 = '' OR n.scope = $3) AND ($4 = '' OR n.author = $4)
			AND ($5 = 1 OR n.superseded_by = '') AND ($6 = 1 OR n.expires_at = 0 OR n.expires_at > $7)`
		args := []any{workspace, f.After, f.Scope, f.Author, f.Superseded, f.Expired, migrations.Micros(tx.Now()), f.Limit}
		if terms := parse(f.Words).all(); len(terms) > 0 {
			var parts []string
			for _, t := range terms {
				parts = append(parts, t.match())
			}
			args = append(args[:7], strings.Join(parts, " AND "), f.Limit)
			where += ` AND n.seq IN (SELECT rowid - ` + noteRows + ` FROM memory_index WHERE memory_index MATCH $8 AND rowid > ` + noteRows + `) ORDER BY n.seq LIMIT $9`
		} else {
			where += ` ORDER BY n.seq LIMIT $8`
		}
		notes, err := scanNotes(tx.Query(`SELECT `+noteColumns+` FROM notes n WHERE `+where, args...))
		if err != nil {
			return err
		}
		for _, n := range notes {
			history, err := versionsOf(tx, n)
			if err != nil {
				return err
			}
			if f.Withhold {
				if err := withholdSource(tx, &n, history); err != nil {
					return err
				}
			}
			all = append(all, Entry{n, history})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list notes: %w", err)
	}
	return all, nil
}

// Count gives how many notes of a workspace are in a scope, and how many are not.
func (m *Memory) Count(ctx context.Context, workspace, scope string) (in, others int, err error) {
	err = m.db.QueryRow(ctx, `SELECT COALESCE(SUM(CASE WHEN scope = $1 THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN scope = $1 THEN 0 ELSE 1 END), 0)
		FROM notes WHERE workspace = $2`, scope, workspace).Scan(&in, &others)
	if err != nil {
		return 0, 0, fmt.Errorf("count notes: %w", err)
	}
	return in, others, nil
}

// withholdSource takes the source away from a note that is read in its scope, if it
// is from a place that those people may not see, and the names of such places out
// of its label: that there are some stays.
func withholdSource(tx *migrations.Tx, n *Note, history []Version) error {
	place := scopePlace(n.Scope)
	seen := func(channel string) (open bool, err error) {
		if channel == "" || channel == place || channel == label.Everything {
			return true, nil
		}
		// Outsiders read a shared channel, and no other.
		err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM channels WHERE workspace = $1 AND id = $2 AND kind = 'public')
			AND NOT EXISTS (SELECT 1 FROM channels WHERE workspace = $1 AND id = $3 AND kind = 'shared')`, n.Workspace, channel, place).Scan(&open)
		return open, err
	}
	for _, channel := range n.Label.Channels {
		open, err := seen(channel)
		if err != nil {
			return fmt.Errorf("look whether the label of note %s may be shown: %w", n.ID, err)
		}
		if !open {
			n.Label.Channels = []string{label.Everything}
			break
		}
	}
	open, err := seen(n.Channel)
	if err != nil {
		return fmt.Errorf("look whether the source of note %s may be shown: %w", n.ID, err)
	}
	if open {
		return nil
	}
	n.Withheld, n.Author, n.Channel, n.TS, n.Permalink = true, "", "", "", ""
	for i := range history {
		history[i].Author = ""
	}
	return nil
}

// Markdown is the entry as a file of its own: YAML front matter with its source,
// then its text, then what it said before.
func (e Entry) Markdown() string {
	var b strings.Builder
	b.WriteString("---\n")
	field := func(name, value string) {
		if value != "" {
			quoted, _ := json.Marshal(value) // a JSON string is a YAML string; a string always encodes
			fmt.Fprintf(&b, "%s: %s\n", name, quoted)
		}
	}
	field("id", e.ID)
	field("workspace", e.Workspace)
	field("scope", e.Scope)
	field("author", e.Author)
	field("channel", e.Channel)
	field("ts", e.TS)
	field("permalink", e.Permalink)
	if e.Withheld {
		b.WriteString("# source withheld: it is a private place\n")
	}
	fmt.Fprintf(&b, "version: %d\n", e.Version)
	field("created_at", stamp(e.CreatedAt))
	field("updated_at", stamp(e.UpdatedAt))
	field("expires_at", stamp(e.ExpiresAt))
	field("superseded_by", e.SupersededBy)
	field("superseded_at", stamp(e.SupersededAt))
	if e.SupersededBy != "" {
		fmt.Fprintf(&b, "# no longer true since %s: note %s says what holds\n", e.SupersededAt.Format("2 January 2006"), e.SupersededBy)
	}
	if e.Own {
		b.WriteString("own_judgement: true\n")
	}
	for _, l := range []struct {
		name string
		of   []string
	}{{"read_in", e.Label.Channels}, {"untrusted", e.Label.Untrusted}} {
		if len(l.of) > 0 {
			quoted, _ := json.Marshal(l.of) // a JSON list is a YAML list; strings always encode
			fmt.Fprintf(&b, "%s: %s\n", l.name, quoted)
		}
	}
	if len(e.History) > 1 {
		b.WriteString("history:\n")
		for _, v := range e.History[:len(e.History)-1] {
			fmt.Fprintf(&b, "  - version: %d\n", v.Version)
			field("    author", v.Author)
			field("    at", stamp(v.At))
			field("    text", v.Text)
		}
	}
	b.WriteString("---\n\n" + e.Text + "\n")
	return b.String()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}
