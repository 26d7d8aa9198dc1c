package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// remembered are those of the messages that were read from Slack which may be used:
// not what was deleted or forgotten since, and of the agent's own neither what was
// erased with a note nor its lines about notes. Slack still has all of them.
func (h *Threads) remembered(ctx context.Context, workspace, channel string, all []Said) ([]Said, error) {
	var ts, turns []string
	for _, s := range all {
		ts = append(ts, s.TS)
		if turn := turnOf(s.Key); turn != "" {
			turns = append(turns, turn)
		}
	}
	gone, err := h.Memory.Gone(ctx, workspace, channel, ts)
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(turns)
	if err != nil {
		return nil, fmt.Errorf("encode turns: %w", err)
	}
	erased := map[string]bool{}
	rows, err := h.DB.Query(ctx, `SELECT t.id FROM turns t WHERE t.id IN (SELECT value FROM json_each($1)) AND (
		t.state <> 'running' AND NOT EXISTS (SELECT 1 FROM steps s WHERE s.turn = t.id) OR EXISTS (SELECT 1 FROM turn_erasures e WHERE e.turn = t.id AND t.state <> 'running'))`, string(list))
	if err != nil {
		return nil, fmt.Errorf("look for erased turns: %w", err)
	}
	ids, err := column[string](rows)
	if err != nil {
		return nil, fmt.Errorf("look for erased turns: %w", err)
	}
	for _, id := range ids {
		erased[id] = true
	}
	return slices.DeleteFunc(all, func(s Said) bool {
		return gone[s.TS] || erased[turnOf(s.Key)] || strings.HasPrefix(s.Key, "note:")
	}), nil
}
