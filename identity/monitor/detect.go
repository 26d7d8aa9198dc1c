package monitor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"deskmate/migrations"
)

// judge is what the detectors say of an action, given everything before it. It
// changes nothing.
func (s *state) judge(c *compiled, f Facts) []Finding {
	var found []Finding
	t := s.Turns[f.Turn]
	if f.Turn == "" || t == nil {
		t = &turn{}
	}
	if outward(f.Class) {
		found = append(found, s.firstSeen(c, f)...)
		found = append(found, s.rate(c, f)...)
		if h := c.rules[Hours].Open; !c.hours.open(f.At) {
			found = c.add(found, Hours, f, "turn "+f.Turn, 1, 1, "`"+f.Tool+"` outside "+h)
		}
	}
	found = append(found, s.loop(c, f, t)...)
	found = append(found, s.denials(c, f, t)...)
	for _, name := range []string{Cost, Tokens} {
		found = append(found, s.budget(c, name, f)...)
	}
	return found
}

// firstSeen finds the tool, host and channel that are new, once learning is over.
func (s *state) firstSeen(c *compiled, f Facts) []Finding {
	r := c.rules[FirstSeen]
	now := migrations.Micros(f.At)
	if r.Off || s.First == 0 || now-s.First < r.Window.Microseconds() && float64(s.Begun) < r.Threshold {
		return nil
	}
	var found []Finding
	for _, x := range novelties(f) {
		if at, ok := s.Seen[x]; ok && now-at < seenFor.Microseconds() {
			continue
		}
		kind, name, _ := strings.Cut(x, " ")
		if kind == "channel" {
			name = "<#" + name + ">"
		} else {
			name = "`" + name + "`"
		}
		found = c.add(found, FirstSeen, f, x, 1, 1, fmt.Sprintf("the %s %s is new to the agent, after %s write actions", kind, name, amount(float64(s.Begun))))
	}
	return found
}

// rate compares the tries of the last window with the history.
func (s *state) rate(c *compiled, f Facts) []Finding {
	window := c.rules[Rate].Window.Microseconds()
	now := migrations.Micros(f.At)
	n := 1.0
	for _, t := range s.Recent {
		if t > now-window {
			n++
		}
	}
	var found []Finding
	usual, compared := 0.0, false
	for _, name := range []string{Rate, Flood} {
		r := c.rules[name]
		if r.Off || n <= min(r.Least, r.Cap) {
			continue // the usual case, for which no history is looked at
		}
		if !compared {
			usual, compared = s.usual(now, window), true
		}
		most, against := r.Cap, "there is too little history to compare with"
		if usual > 0 {
			most = max(r.Threshold*usual, r.Least)
			against = fmt.Sprintf("%s times the usual %s", amount(r.Threshold), amount(usual))
		}
		if n > most {
			found = c.add(found, name, f, "agent", n, most, fmt.Sprintf("%s write actions in %s, more than %s (%s)", amount(n), c.rules[Rate].Member("window"), amount(most), against))
		}
	}
	return found
}

// usual is the 99th percentile of actions in windows with any, over the history
// before the current window; 0 while there is too little of it.
func (s *state) usual(now, window int64) float64 {
	current := now / window
	oldest := current
	counts := make([]int64, 0, len(s.Spans))
	for n, count := range s.Spans {
		// The window before the current one is part of what is judged.
		if n < current-1 && n >= current-rateHistory.Microseconds()/window {
			counts = append(counts, count)
			oldest = min(oldest, n)
		}
	}
	if len(counts) < leastSpans || (current-oldest)*window < leastHistory.Microseconds() {
		return 0
	}
	slices.Sort(counts)
	return float64(counts[int(math.Ceil(0.99*float64(len(counts))))-1])
}

// loop counts the same call in one turn; an action that is taken up again after a
// crash is the same one, not another.
func (s *state) loop(c *compiled, f Facts, t *turn) []Finding {
	if f.Turn == "" || f.Call == "" {
		return nil
	}
	had := t.Calls[short(f.Call)]
	n := float64(len(had) + 1)
	if i := slices.Index(had, shortKey(f.Action)); i >= 0 {
		n = float64(i + 1)
	}
	r := c.rules[Loop]
	if n < r.Threshold {
		return nil
	}
	return c.add(nil, Loop, f, "turn "+f.Turn+" call "+short(f.Call), n, r.Threshold, fmt.Sprintf("`%s` was called the same way %s in one turn (threshold %s)", f.Tool, times(n), amount(r.Threshold)))
}

// denials looks at what was refused so far. A turn that was refused nothing is
// not stopped for what others were.
func (s *state) denials(c *compiled, f Facts, t *turn) []Finding {
	if t.Denials == 0 {
		return nil
	}
	var found []Finding
	r := c.rules[Denials]
	limit := migrations.Micros(f.At) - r.Window.Microseconds()
	n := 0.0
	for _, at := range s.Denied[subjectOf(f)] {
		if at > limit {
			n++
		}
	}
	if n >= r.Threshold {
		found = c.add(found, Denials, f, "turn "+f.Turn, n, r.Threshold, fmt.Sprintf("%s actions were refused in %s (threshold %s)", amount(n), r.Member("window"), amount(r.Threshold)))
	}
	if n, r := float64(len(t.Tools)), c.rules[DeniedTools]; n >= r.Threshold {
		found = c.add(found, DeniedTools, f, "turn "+f.Turn, n, r.Threshold, fmt.Sprintf("%s different tools were refused in one turn (threshold %s)", amount(n), amount(r.Threshold)))
	}
	return found
}

var budgetName = map[string]string{Cost: "cost", Tokens: "tokens"}

// budget says when the day's budget is used up.
func (s *state) budget(c *compiled, name string, f Facts) []Finding {
	r := c.rules[name]
	used := s.cost()
	if name == Tokens {
		used = float64(s.Tokens)
	}
	if r.Threshold == 0 || s.Day != migrations.Micros(f.At)/day.Microseconds() || used < r.Threshold {
		return nil
	}
	return c.add(nil, name, f, "day "+s.date(), used, r.Threshold, fmt.Sprintf("the %s of the day are used up: %s of %s", budgetName[name], amount(used), amount(r.Threshold)))
}

// gapFinding is the finding of what is missing of the ledger from an entry on;
// Validate sees to it that this detector is never off.
func (c *compiled) gapFinding(f Facts, gap string, seq int64) Finding {
	x, _ := c.finding(Gap, f, "entry "+strconv.FormatInt(seq, 10), 1, 1, gap)
	return x
}

// add appends the finding, unless the detector is off.
func (c *compiled) add(found []Finding, detector string, f Facts, subject string, count, threshold float64, text string) []Finding {
	if x, on := c.finding(detector, f, subject, count, threshold, text); on {
		return append(found, x)
	}
	return found
}

// finding makes a finding about an action; false when the detector is off.
func (c *compiled) finding(detector string, f Facts, subject string, count, threshold float64, text string) (Finding, bool) {
	r := c.rules[detector]
	return Finding{
		Detector: detector, Subject: subject, Workspace: f.Workspace, Turn: f.Turn, Channel: f.Channel, Action: f.Action, Tool: f.Tool, Requester: f.Requester,
		Response: r.Response, Text: text, Count: count, Threshold: threshold, At: f.At, Seq: -1,
	}, !r.Off
}

// span is the number of the span of time within which a detector's findings
// about one subject are one finding; 0 where the subject says it all.
func (c *compiled) span(f Finding) int64 {
	var window int64
	switch f.Detector {
	case Rate, Flood:
		window = c.rules[Rate].Window.Microseconds()
	case SelfApproval:
		window = c.rules[SelfApproval].Window.Microseconds()
	case FirstSeen, AgentApproval, Pin:
		window = day.Microseconds()
	default:
		return 0
	}
	return migrations.Micros(f.At) / window
}

func amount(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

func percent(part float64) string { return strconv.FormatFloat(part*100, 'f', 0, 64) + " %" }

func times(n float64) string {
	if n == 1 {
		return "once"
	}
	return amount(n) + " times"
}
