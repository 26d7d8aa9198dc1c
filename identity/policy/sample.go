package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Words are the rule as people read it, such as "amount<=500".
func (a ArgRule) Words() string {
	switch {
	case a.Equals != nil:
		return a.Name + "=" + *a.Equals
	case len(a.OneOf) > 0:
		return a.Name + " in " + strings.Join(a.OneOf, ",")
	case a.Prefix != "":
		return a.Name + "^=" + a.Prefix
	case a.Host != "":
		return a.Name + " host " + a.Host
	case len(a.Only) > 0:
		return "only " + strings.Join(a.Only, ",")
	case a.Min != nil && a.Max != nil:
		return fmt.Sprintf("%v<=%s<=%v", *a.Min, a.Name, *a.Max)
	case a.Min != nil:
		return fmt.Sprintf("%s>=%v", a.Name, *a.Min)
	case a.Max != nil:
		return fmt.Sprintf("%s<=%v", a.Name, *a.Max)
	}
	return a.Name
}

// Conditions are what else a request must be for the grant to cover it, beside
// tool, place and person; nil if nothing.
func (g Grant) Conditions() []string {
	var all []string
	for _, a := range g.Args {
		all = append(all, a.Words())
	}
	if g.Hours != "" {
		all = append(all, g.Hours)
	}
	if g.Thread != "" {
		all = append(all, "in the thread "+g.Thread)
	}
	if g.Duty != "" {
		all = append(all, "for the duty "+g.Duty)
	}
	if len(g.Who) > 0 && slices.Contains(g.Who, Owner) {
		all = append(all, "asked by the owner of the duty")
	}
	return all
}

// Meet makes a request one that meets the conditions of a grant, as far as one
// value for each argument can: arguments, thread, owner, and the next time from
// r.At on in the grant's hours.
func (g Grant) Meet(r Request) Request {
	if g.Thread != "" {
		r.Thread = g.Thread
	}
	if g.Duty != "" {
		r.Duty = g.Duty
	}
	r.Owner = r.Owner || g.Duty != "" || slices.Contains(g.Who, Owner)
	if h, err := parseHours(g.Hours); g.Hours != "" && err == nil {
		// Spans begin on whole minutes, and a week has them all; the steps of a
		// quarter of an hour miss only spans that are shorter.
		for at := r.At; at.Before(r.At.Add(8 * 24 * time.Hour)); at = at.Add(15 * time.Minute).Truncate(15 * time.Minute) {
			if h.hold(at) {
				r.At = at
				break
			}
		}
	}
	if len(g.Args) == 0 {
		return r
	}
	args := map[string]any{}
	for _, a := range g.Args {
		if len(a.Only) == 0 {
			put(args, strings.Split(a.Name, "."), a.example())
		}
	}
	if b, err := json.Marshal(args); err == nil {
		r.Args = b
	}
	return r
}

// put sets a member of a tree of objects.
func put(in map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		below, ok := in[name].(map[string]any)
		if !ok {
			below = map[string]any{}
			in[name] = below
		}
		in = below
	}
	in[path[len(path)-1]] = v
}

// example is a value that meets the rule.
func (a ArgRule) example() any {
	switch {
	case a.Equals != nil:
		return *a.Equals
	case len(a.OneOf) > 0:
		return a.OneOf[0]
	case a.Prefix != "":
		return a.Prefix
	case a.Host != "":
		return "https://" + strings.Replace(a.Host, "*.", "www.", 1) + "/"
	case a.Min != nil:
		return *a.Min
	case a.Max != nil:
		return *a.Max
	}
	return nil
}
