package bot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"deskmate/identity/ledger"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// loosePost begins what stands in turn_erasures for a post of no turn: the rest is
// its row.
const loosePost = "post:"

// eraseUnasked erases posts of no turn, such as the briefs of handoffs, that tell of
// what was forgotten or name its source, and what was read from Slack of the agent's
// own that does. Posts that are still owed are sent first: people wait for them.
func eraseUnasked(tx *migrations.Tx, l *ledger.Ledger, f memory.Forgotten) error {
	rows, err := tx.Query(`SELECT 'post', id, body FROM outbox WHERE workspace = $1 AND turn = '' AND body <> '{}'
		UNION ALL SELECT 'own', rowid, text FROM own_messages WHERE workspace = $1 AND turn = ''`, f.Workspace)
	if err != nil {
		return fmt.Errorf("look for posts that tell of a note: %w", err)
	}
	named := append(slices.Clone(f.Notes), f.Links...)
	found := map[string][]int64{}
	for rows.Next() {
		var kind, text string
		var id int64
		if err := rows.Scan(&kind, &id, &text); err != nil {
			rows.Close()
			return fmt.Errorf("look for posts that tell of a note: %w", err)
		}
		plain := strings.ReplaceAll(text, `\u0026`, "&") // as a post is encoded
		if tells(text, f) || slices.ContainsFunc(named, func(n string) bool { return strings.Contains(plain, n) }) {
			found[kind] = append(found[kind], id)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for posts that tell of a note: %w", err)
	}
	for _, id := range found["post"] {
		if err := erasePost(tx, l, f.Workspace, strconv.FormatInt(id, 10)); err != nil {
			return err
		}
	}
	for _, id := range found["own"] {
		if _, err := tx.Exec(`DELETE FROM own_messages WHERE rowid = $1`, id); err != nil {
			return fmt.Errorf("erase what tells of a note: %w", err)
		}
	}
	return nil
}

// erasePost erases a post of no turn with its text in the ledger, or has that done
// once it is sent.
func erasePost(tx *migrations.Tx, l *ledger.Ledger, workspace, id string) error {
	var owed bool
	if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM outbox WHERE id = CAST($1 AS BIGINT) AND state = 'queued')`, id).Scan(&owed); err != nil {
		return fmt.Errorf("erase post %s: %w", id, err)
	}
	if owed {
		return eraseLater(tx, workspace, loosePost+id)
	}
	if _, err := tx.Exec(`UPDATE outbox SET body = '{}' WHERE id = CAST($1 AS BIGINT)`, id); err != nil {
		return fmt.Errorf("erase post %s: %w", id, err)
	}
	// The action of a post has its key.
	if err := eraseEntries(tx, l, workspace, `a.key = (SELECT o.post_key FROM outbox o WHERE o.id = CAST($2 AS BIGINT))`, id); err != nil {
		return fmt.Errorf("erase post %s: %w", id, err)
	}
	return nil
}

// eraseCauses takes what was forgotten out of what set runs off, and of what waits
// to: who did what where stays.
func eraseCauses(tx *migrations.Tx, f memory.Forgotten) error {
	for _, table := range []string{"runs", "duty_hits"} {
		rows, err := tx.Query(`SELECT c.id, c.cause FROM `+table+` c JOIN duties d ON d.id = c.duty WHERE d.workspace = $1 AND c.cause <> ''`, f.Workspace)
		if err != nil {
			return fmt.Errorf("look for what set runs off: %w", err)
		}
		emptied := map[string]string{}
		for rows.Next() {
			var id, cause string
			if err := rows.Scan(&id, &cause); err != nil {
				rows.Close()
				return fmt.Errorf("look for what set runs off: %w", err)
			}
			c, _, err := scheduler.ReadCause(cause)
			if err != nil || !emptyCause(&c, f) {
				continue
			}
			if emptied[id], err = c.JSON(); err != nil {
				rows.Close()
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("look for what set runs off: %w", err)
		}
		for id, cause := range emptied {
			if _, err := tx.Exec(`UPDATE `+table+` SET cause = $1 WHERE id = $2`, cause, id); err != nil {
				return fmt.Errorf("erase what set a run off: %w", err)
			}
		}
	}
	return nil
}

// emptyCause takes the texts out of c that quote or tell of what was forgotten, or
// are of its messages, and reports whether there were any.
func emptyCause(c *scheduler.Cause, f memory.Forgotten) bool {
	any := false
	if c.Text != "" && (slices.Contains(f.Messages, memory.Source{Channel: c.Channel, TS: c.TS}) || tells(c.Text, f)) {
		c.Text, any = "", true
	}
	for i := range c.Others {
		any = emptyCause(&c.Others[i], f) || any
	}
	return any
}
