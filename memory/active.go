package memory

import (
	"context"
	"fmt"
	"time"

	"deskmate/migrations"
)

// Active gives the people who wrote most in a thread, or with thread "" in a whole
// channel, since a time, the busiest first: ids alone, and nothing of what they
// said. Whether they may see the place now is for the caller to look up.
func (m *Memory) Active(ctx context.Context, workspace, channel, thread string, since time.Time, limit int) ([]string, error) {
	rows, err := m.db.Query(ctx, `SELECT author FROM messages WHERE workspace = $1 AND channel = $2 AND ($3 = '' OR thread = $3) AND said_at > $4 AND gone_at = 0
		GROUP BY author ORDER BY COUNT(*) DESC, MAX(said_at) DESC LIMIT $5`, workspace, channel, thread, migrations.Micros(since), limit)
	if err != nil {
		return nil, fmt.Errorf("look who is active in %s: %w", channel, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var author string
		if err := rows.Scan(&author); err != nil {
			return nil, fmt.Errorf("look who is active in %s: %w", channel, err)
		}
		all = append(all, author)
	}
	return all, rows.Err()
}
