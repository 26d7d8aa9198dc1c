package monitor

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Bounds of what is kept in memory.
const (
	mostRecent   = 10_000         // moments of actions in one window
	mostSeen     = 10_000         // tools, hosts and channels
	mostCalls    = 4_000          // calls of one turn
	idleTurn     = 2 * time.Hour  // after which a turn's counts may be forgotten
	manyTurns    = 64             // before which none is
	seenFor      = 90 * day       // what was not used for so long is new again
	rateHistory  = 7 * day        // what rates are compared with
	leastHistory = day            // before the first of it is so old, there is too little
	leastSpans   = 100            // and before there are so many windows with actions
	day          = 24 * time.Hour //
)

// state is what the detectors know of one workspace: a fold over its ledger. It
// depends on nothing but the entries and the compiled form.
type state struct {
	Agent   string             `json:"agent,omitempty"` // user id of the agent
	First   int64              `json:"first"`           // moment of the first entry, µs
	Begun   int64              `json:"begun"`           // write and external actions that were begun
	Seen    map[string]int64   `json:"seen"`            // "tool post", "host …", "channel …": last used, µs
	Recent  []int64            `json:"recent"`          // moments of the tries of the last window, µs
	Spans   map[int64]int64    `json:"spans"`           // actions begun, by number of the window
	Denied  map[string][]int64 `json:"denied"`          // moments of refusals, by requester
	Turns   map[string]*turn   `json:"turns"`
	Day     int64              `json:"day"` // since 1970, UTC; the one that was spent in
	Cost    int64              `json:"cost"`
	Tokens  int64              `json:"tokens"`
	Presses map[string][]int64 `json:"presses"` // moments of self-approvals, by person

	next int64 // number of the next entry
}

type turn struct {
	Last    int64               `json:"last"`              // moment of its last entry, µs
	Calls   map[string][]uint32 `json:"calls,omitempty"`   // keys of its actions, shortened, by call
	Size    int                 `json:"size"`              // of all of Calls
	Denials int                 `json:"denials,omitempty"` // refusals
	Tools   []string            `json:"tools,omitempty"`   // that were refused
}

func newState() *state {
	return &state{Seen: map[string]int64{}, Spans: map[int64]int64{}, Denied: map[string][]int64{}, Turns: map[string]*turn{}, Presses: map[string][]int64{}}
}

func decodeState(text string, next int64) (*state, error) {
	s := newState()
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, fmt.Errorf("decode the monitor's statistics: %w", err)
	}
	s.next = next
	return s, nil
}

// factsOf are the facts of an action as its entry has them. Entries from before
// FieldManners was recorded have manners by the name of the tool.
func (c *compiled) factsOf(r ledger.Record, at time.Time) Facts {
	return Facts{
		Workspace: r.Workspace, Turn: r.Turn, Thread: r.Thread, Action: r.Action, Tool: r.Tool, Connection: r.Fields[FieldConnection],
		Host: r.Fields[FieldHost], Class: r.Class, Requester: r.Requester, Channel: r.Channel, Target: r.Target, Call: r.Fields[ledger.FieldCall],
		Manners: r.Fields[FieldManners] == "true" || c.manners[r.Tool] && (r.Target == "" || r.Target == r.Channel), At: at,
	}
}

// feed takes the next entry and returns what can only be seen once it is there.
func (s *state) feed(c *compiled, seq int64, at time.Time, r ledger.Record) []Finding {
	s.next = seq + 1
	now := migrations.Micros(at)
	if s.First == 0 {
		s.First = now
	}
	if r.Agent != "" {
		s.Agent = r.Agent
	}
	f := c.factsOf(r, at)
	found := s.spend(c, f, r.Fields)
	switch r.Kind {
	case ledger.KindIntent, ledger.KindDenied:
		if !f.Manners {
			found = append(found, s.try(c, f, r, now)...)
		}
	case KindRefused:
		if r.Fields["reason"] == "self" || r.Actor != "" && r.Actor == s.Agent {
			found = append(found, s.press(c, f, r.Actor, now)...)
		}
	case KindPinMismatch:
		what := r.Tool
		if what == "" {
			what = r.Fields[FieldConnection]
		}
		if p, on := c.finding(Pin, f, what, 1, 1, "the definition of `"+what+"` is not the one that was approved"); on {
			found = append(found, p)
		}
	}
	for i := range found {
		found[i].Seq = seq
	}
	return found
}

// try takes an action that was begun or refused.
func (s *state) try(c *compiled, f Facts, r ledger.Record, now int64) []Finding {
	t := s.turn(f.Turn, now)
	if t != nil && f.Call != "" {
		call, key := short(f.Call), shortKey(f.Action)
		if !slices.Contains(t.Calls[call], key) && t.Size < mostCalls {
			if t.Calls == nil {
				t.Calls = map[string][]uint32{}
			}
			t.Calls[call] = append(t.Calls[call], key)
			t.Size++
		}
	}
	begun := r.Kind == ledger.KindIntent
	if outward(f.Class) && r.Fields[ledger.FieldAttempt] == "" {
		window := c.rules[Rate].Window.Microseconds()
		s.Recent = append(after(s.Recent, now-window), now)
		if len(s.Recent) > mostRecent {
			s.Recent = slices.Delete(s.Recent, 0, len(s.Recent)-mostRecent)
		}
		if begun {
			s.count(now, window)
		}
	}
	if begun {
		if outward(f.Class) {
			for _, x := range novelties(f) {
				s.see(x, now)
			}
		}
		return nil
	}
	return s.deny(c, f, r, t, now)
}

// count adds an action that was begun to the history.
func (s *state) count(now, window int64) {
	s.Begun++
	n := now / window
	if _, ok := s.Spans[n]; !ok { // a new window: a good moment to forget
		for old := range s.Spans {
			if old < n-rateHistory.Microseconds()/window {
				delete(s.Spans, old)
			}
		}
	}
	s.Spans[n]++
}

func (s *state) see(what string, now int64) {
	if _, ok := s.Seen[what]; !ok && len(s.Seen) >= mostSeen {
		oldest := ""
		for name, at := range s.Seen {
			if oldest == "" || at < s.Seen[oldest] || at == s.Seen[oldest] && name < oldest {
				oldest = name
			}
		}
		delete(s.Seen, oldest)
	}
	s.Seen[what] = now
}

// ours are denials that say nothing of the agent: the monitor's own, those that
// come of a stop or suspension, and people's answers.
func ours(reasons []string) bool {
	return slices.ContainsFunc(reasons, func(id string) bool {
		return strings.HasPrefix(id, PolicyPrefix) || strings.HasPrefix(id, "agent-") || strings.HasPrefix(id, "approval-") || id == "stopped"
	})
}

func (s *state) deny(c *compiled, f Facts, r ledger.Record, t *turn, now int64) []Finding {
	if ours(r.Reasons) || r.Fields[ledger.FieldAttempt] != "" {
		return nil
	}
	who := subjectOf(f)
	forget(s.Denied, now-c.rules[Denials].Window.Microseconds())
	s.Denied[who] = append(s.Denied[who], now)
	if t == nil {
		t = &turn{}
	}
	t.Denials++
	if !slices.Contains(t.Tools, f.Tool) {
		t.Tools = append(t.Tools, f.Tool)
	}
	return s.denials(c, f, t)
}

// turn is the turn of that id, made if missing; nil without an id.
func (s *state) turn(id string, now int64) *turn {
	if id == "" {
		return nil
	}
	t := s.Turns[id]
	if t == nil {
		if len(s.Turns) >= manyTurns {
			for other, x := range s.Turns {
				if x.Last < now-idleTurn.Microseconds() {
					delete(s.Turns, other)
				}
			}
		}
		t = &turn{}
		s.Turns[id] = t
	}
	t.Last = now
	return t
}

// spend adds what an entry cost. The finding is made as a threshold is passed.
func (s *state) spend(c *compiled, f Facts, fields map[string]string) []Finding {
	cost, tokens := positive(fields[ledger.FieldCost]), positive(fields[FieldTokens])
	if cost == 0 && tokens == 0 {
		return nil
	}
	if d := migrations.Micros(f.At) / day.Microseconds(); d != s.Day {
		s.Day, s.Cost, s.Tokens = d, 0, 0
	}
	had := [2]float64{s.cost(), float64(s.Tokens)}
	s.Cost, s.Tokens = add(s.Cost, cost), add(s.Tokens, tokens)
	var found []Finding
	for i, has := range [2]float64{s.cost(), float64(s.Tokens)} {
		name := [2]string{Cost, Tokens}[i]
		r := c.rules[name]
		if r.Threshold == 0 {
			continue
		}
		if had[i] < r.Threshold*r.Warn && has >= r.Threshold*r.Warn && has < r.Threshold {
			if w, on := c.finding(name, f, "day "+s.date()+" warning", has, r.Threshold*r.Warn,
				fmt.Sprintf("%s of the %s of the day (%s) are used: %s", amount(has), budgetName[name], amount(r.Threshold), percent(has/r.Threshold))); on {
				w.Response = None
				found = append(found, w)
			}
		}
		if had[i] < r.Threshold && has >= r.Threshold {
			found = append(found, s.budget(c, name, f)...)
		}
	}
	return found
}

func (s *state) cost() float64 { return float64(s.Cost) / 1e6 } // ledger.FieldCost is in millionths

func (s *state) date() string { return time.Unix(s.Day*86400, 0).UTC().Format(time.DateOnly) }

func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// positive reads a whole number; what is none, or less than nothing, is nothing.
func positive(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// press takes a try to approve one's own request.
func (s *state) press(c *compiled, f Facts, person string, now int64) []Finding {
	if person == s.Agent && person != "" {
		if x, on := c.finding(AgentApproval, f, "agent", 1, 1, "the agent's own account tried to approve `"+f.Tool+"`"); on {
			return []Finding{x}
		}
		return nil
	}
	r := c.rules[SelfApproval]
	forget(s.Presses, now-r.Window.Microseconds())
	s.Presses[person] = append(s.Presses[person], now)
	n := float64(len(s.Presses[person]))
	if n < r.Threshold {
		return nil
	}
	f.Requester = person
	if x, on := c.finding(SelfApproval, f, "person "+person, n, r.Threshold,
		fmt.Sprintf("<@%s> tried to approve their own request for `%s` (%s in %s, threshold %s)", person, f.Tool, times(n), r.Member("window"), amount(r.Threshold))); on {
		return []Finding{x}
	}
	return nil
}

// outward reports whether a class changes something.
func outward(class string) bool { return class == "write" || class == "external" }

// novelties are what may be seen for the first time with an action: the tool, the
// host, and the channel it reaches, unless that is where it was asked for.
func novelties(f Facts) []string {
	all := []string{"tool " + f.Tool}
	if f.Host != "" {
		all = append(all, "host "+f.Host)
	}
	if f.Target != "" && f.Target != f.Channel && !strings.HasPrefix(f.Target, "U") && !strings.HasPrefix(f.Target, "W") {
		all = append(all, "channel "+f.Target)
	}
	return all
}

// subjectOf is whom refusals are counted for.
func subjectOf(f Facts) string {
	if f.Requester != "" {
		return f.Requester
	}
	return "turn " + f.Turn
}

// after leaves of moments those after limit, in place.
func after(moments []int64, limit int64) []int64 {
	return slices.DeleteFunc(moments, func(t int64) bool { return t <= limit })
}

// forget drops the moments up to limit.
func forget(all map[string][]int64, limit int64) {
	for who, moments := range all {
		if moments = after(moments, limit); len(moments) == 0 {
			delete(all, who)
		} else {
			all[who] = moments
		}
	}
}

// short is enough of a MAC to tell the calls of one turn apart.
func short(call string) string { return call[:min(16, len(call))] }

func shortKey(key string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	return h.Sum32()
}
