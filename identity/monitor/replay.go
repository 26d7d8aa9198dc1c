package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"deskmate/identity/ledger"
)

// Summary is what a replay found.
type Summary struct {
	Entries int64            `json:"entries"` // that were in range
	Actions int64            `json:"actions"` // of those, the ones that were judged: all that policy did not deny, but for the agent's manners
	Found   map[string]Count `json:"found"`   // by detector
}

// Count is how often a detector fired.
type Count struct {
	Findings int64 `json:"findings"` // as they would have been noted
	Entries  int64 `json:"entries"`  // on which it fired: with a response, so many actions would have met it
}

// judged reports whether an entry is of an action that the gate asks the monitor
// about: any that policy itself did not deny.
func judged(r ledger.Record) bool {
	return r.Kind == ledger.KindIntent || r.Kind == ledger.KindDenied && (ours(r.Reasons) || slices.Contains(r.Reasons, "limit"))
}

// Replay has the detectors of c run over the ledger from an empty state, as they
// would have run live, and changes nothing. Entries before from are only learnt
// from; to is exclusive, and negative for the end. each, which may be nil, gets
// every finding once, as Note would have kept it, with the number of its entry.
func (m *Monitor) Replay(ctx context.Context, workspace string, c Config, from, to int64, each func(Finding)) (Summary, error) {
	rules, err := c.compile()
	if err != nil {
		return Summary{}, fmt.Errorf("replay: %w", err)
	}
	out := Summary{Found: map[string]Count{}}
	noted := map[string]bool{}
	take := func(seq int64, found []Finding) {
		fired := map[string]bool{}
		for _, f := range found {
			key := f.Detector + " " + strconv.FormatInt(rules.span(f), 10) + " " + f.Subject
			fresh := !noted[key]
			noted[key] = true
			if seq < from {
				continue
			}
			n := out.Found[f.Detector]
			if !fired[f.Detector] {
				n.Entries++
				fired[f.Detector] = true
			}
			if fresh {
				n.Findings++
				f.Seq = seq
				if each != nil {
					each(f)
				}
			}
			out.Found[f.Detector] = n
		}
	}
	s := newState()
	for {
		entries, size, err := m.ledger.Since(ctx, workspace, s.next, page)
		broken := errors.Is(err, ledger.ErrUnreadable)
		if err != nil && !broken {
			return out, fmt.Errorf("replay: %w", err)
		}
		for _, e := range entries {
			if to >= 0 && e.Seq >= to {
				return out, nil
			}
			r, err := e.Record()
			if err != nil {
				return out, fmt.Errorf("replay: %w", err)
			}
			if e.Seq != s.next {
				take(s.next, []Finding{rules.gapFinding(Facts{Workspace: workspace, At: e.At}, fmt.Sprintf("entry %d of the ledger is missing", s.next), s.next)})
			}
			if e.Seq >= from {
				out.Entries++
			}
			var found []Finding
			if f := rules.factsOf(r, e.At); judged(r) && !f.Manners {
				if e.Seq >= from {
					out.Actions++
				}
				found = s.judge(&rules, f)
			}
			take(e.Seq, append(found, s.feed(&rules, e.Seq, e.At, r)...))
		}
		if to >= 0 {
			size = min(size, to)
		}
		if (broken || len(entries) < page) && s.next < size {
			take(s.next, []Finding{rules.gapFinding(Facts{Workspace: workspace, At: m.db.Now()}, fmt.Sprintf("entry %d of the ledger is missing or cannot be read", s.next), s.next)})
			s.next++
		} else if len(entries) < page {
			return out, nil
		}
	}
}
