package slacksim

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// CheckTiers compares the rate limit of each method with Slack's table.
func CheckTiers(t *testing.T, tiers map[string]string) {
	t.Helper()
	want := map[string]limit{
		"Tier1": tier1, "Tier2": tier2, "Tier3": tier3, "Tier4": tier4,
		"SpecialTier_auth_test": hundreds, "SpecialTier_chat_getPermalink": hundreds,
		"SpecialTier_chat_postMessage": posting, "SpecialTier_assistant_threads_setStatus": posting,
	}
	// Younger than the table, or more lenient for a reason that limit.go gives.
	exceptions := map[string]limit{"agents.sessions.setStatus": tier3, "agents.sessions.rename": tier3, "apps.connections.open": sockets}
	table := methodTable()
	for _, name := range slices.Sorted(maps.Keys(table)) {
		wanted, listed := want[tiers[name]]
		if ex, ok := exceptions[name]; ok {
			wanted, listed = ex, true
		}
		if !listed {
			t.Errorf("%s: tier %q of Slack's table is unknown here", name, tiers[name])
		} else if got := table[name].limit; got != wanted {
			t.Errorf("%s: limit %+v, want %+v for %s", name, got, wanted, tiers[name])
		}
	}
}

// Pass makes transport time seem to have moved on by d: lifetimes of triggers,
// response URLs, streams and rate windows follow.
func (s *Server) Pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	earlier := s.now
	s.now = func() time.Time { return earlier().Add(d) }
}
