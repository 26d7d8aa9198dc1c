package memory

import (
	"context"
	"encoding/json"
	"fmt"

	"deskmate/migrations"
)

// Pinned gives what of all, messages that Slack says are pinned in p's channel,
// may be told there, in its order: none where the requester may not read the
// channel, none that was deleted or forgotten here, and those that memory keeps
// with the text that they have now.
func (m *Memory) Pinned(ctx context.Context, p Place, all []Message) ([]Message, error) {
	if len(all) == 0 {
		return nil, nil
	}
	ts := make([]string, len(all))
	for i, msg := range all {
		ts[i] = msg.TS
	}
	list, err := json.Marshal(ts)
	if err != nil {
		return nil, fmt.Errorf("encode pinned: %w", err)
	}
	type known struct {
		text string
		gone bool
	}
	kept := map[string]known{}
	may := false
	err = m.db.Read(ctx, func(tx *migrations.Tx) error {
		r, err := readReach(tx, p)
		if err != nil || !r.own {
			return err
		}
		may = true
		rows, err := tx.Query(`SELECT m.ts, m.text, m.gone_at > 0 FROM messages m
			WHERE m.workspace = $1 AND m.channel = $2 AND m.ts IN (SELECT value FROM json_each($3))`, p.Workspace, p.Channel, string(list))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var at string
			var k known
			if err := rows.Scan(&at, &k.text, &k.gone); err != nil {
				return err
			}
			kept[at] = k
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("look up what is pinned in %s: %w", p.Channel, err)
	}
	if !may {
		return nil, nil
	}
	var out []Message
	for _, msg := range all {
		k, is := kept[msg.TS]
		switch {
		case is && k.gone, msg.Channel != p.Channel:
			continue
		case is:
			msg.Text = k.text
		}
		out = append(out, msg)
	}
	return out, nil
}
