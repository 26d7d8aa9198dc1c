package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Names of the detectors.
const (
	FirstSeen     = "first-seen"
	Rate          = "rate"
	Flood         = "flood"
	Denials       = "denials"
	DeniedTools   = "denied-tools"
	Loop          = "loop"
	Cost          = "budget-cost"
	Tokens        = "budget-tokens"
	Hours         = "hours"
	SelfApproval  = "self-approval"
	AgentApproval = "agent-approval"
	Pin           = "pin"
	Canary        = "canary"
	Gap           = "gap"
)

// Rule is how one detector is set. Which members a detector has is in Detectors.
type Rule struct {
	Off       bool
	Response  Response
	Threshold float64
	Window    time.Duration
	Least     float64 // rate, flood: as few actions in a window are never too many
	Cap       float64 // rate, flood: the most in a window while there is too little history to compare with
	Warn      float64 // budgets: part of the threshold at which admins are told
	Open      string  // hours: "mon-fri 09:00-18:00 Europe/Berlin", "" for always
}

// Detector is what one can know of a detector without running it.
type Detector struct {
	Name    string
	Help    string
	Members []string // names that Set knows, beside off and response
	Default Rule
}

// Detectors lists all of them, with their defaults.
func Detectors() []Detector {
	const day = 24 * time.Hour
	return []Detector{
		{FirstSeen, "A tool, host or channel that the agent has not written to before, once learning is over: after so many write actions (threshold) or so long (window).",
			[]string{"threshold", "window"}, Rule{Response: Ask, Threshold: 500, Window: 7 * day}},
		{Rate, "More write actions in a window than so many times the 99th percentile of the last 7 days.",
			[]string{"threshold", "window", "least", "cap"}, Rule{Response: Throttle, Threshold: 5, Window: 5 * time.Minute, Least: 30, Cap: 120}},
		{Flood, "The same, for what goes on although it was throttled; the window is that of rate.",
			[]string{"threshold", "least", "cap"}, Rule{Response: Suspend, Threshold: 10, Least: 60, Cap: 240}},
		{Denials, "So many refusals of one requester's actions in a window.",
			[]string{"threshold", "window"}, Rule{Response: Stop, Threshold: 5, Window: 10 * time.Minute}},
		{DeniedTools, "So many different tools refused in one turn.",
			[]string{"threshold"}, Rule{Response: Stop, Threshold: 3}},
		{Loop, "The same call so many times in one turn, reads included.",
			[]string{"threshold"}, Rule{Response: Stop, Threshold: 3}},
		{Cost, "Cost in a day (UTC), in the currency of the prices; 0 is no limit.",
			[]string{"threshold", "warn"}, Rule{Response: Stop, Warn: 0.8}},
		{Tokens, "Tokens in a day (UTC); 0 is no limit.",
			[]string{"threshold", "warn"}, Rule{Response: Stop, Warn: 0.8}},
		{Hours, "Write actions outside these hours; no hours are all hours.",
			[]string{"open"}, Rule{Response: Ask}},
		{SelfApproval, "Somebody tried to approve their own request, so many times in a window.",
			[]string{"threshold", "window"}, Rule{Response: None, Threshold: 1, Window: day}},
		{AgentApproval, "The agent's own account tried to approve something.",
			nil, Rule{Response: Suspend}},
		{Pin, "A tool's definition is not the one that was approved.",
			nil, Rule{Response: Suspend}},
		{Canary, "A planted secret was about to be sent.",
			nil, Rule{Response: Suspend}},
		{Gap, "Entries of the ledger are missing or cannot be read.",
			nil, Rule{Response: Stop}},
	}
}

// Config is how a Monitor is set. The zero value has every detector at its
// defaults.
type Config struct {
	Rules    map[string]Rule // by detector; those that are missing have their defaults
	Canaries []string        // planted secrets that must never be sent
	Manners  map[string]bool // tools that are the agent's own manners, for entries that do not say so
	Every    time.Duration   // how often Follow looks; 0: 1 s
	Logger   zerolog.Logger  // zero value: silent
	// Raise acts on a finding that showed in the ledger: it suspends, or stops a
	// turn. Until it returned nil it is called again, and after a crash perhaps once
	// more, so it must be harmless to repeat. Nil: findings are only noted.
	Raise func(ctx context.Context, f Finding) error
}

// Rule is how a detector is set, with its defaults.
func (c Config) Rule(detector string) Rule {
	if r, ok := c.Rules[detector]; ok {
		return r
	}
	for _, d := range Detectors() {
		if d.Name == detector {
			return d.Default
		}
	}
	return Rule{Off: true}
}

// Set returns c with settings of the form detector.member=value, such as
// "loop.threshold=4", "rate.window=10m", "hours.open=mon-fri 09:00-18:00 UTC",
// "first-seen.response=none" or "pin.off=true". Its error names what is wrong and
// what would be right.
func (c Config) Set(settings ...string) (Config, error) {
	c.Rules = maps.Clone(c.Rules)
	if c.Rules == nil {
		c.Rules = map[string]Rule{}
	}
	for _, s := range settings {
		name, value, ok := strings.Cut(s, "=")
		detector, member, dotted := strings.Cut(strings.TrimSpace(name), ".")
		if !ok || !dotted {
			return c, fmt.Errorf("%q is not a setting: it looks like loop.threshold=4", s)
		}
		d, err := find(detector)
		if err != nil {
			return c, err
		}
		r := c.Rule(detector)
		if err := r.set(d, member, strings.TrimSpace(value)); err != nil {
			return c, fmt.Errorf("%s.%s: %w", detector, member, err)
		}
		c.Rules[detector] = r
	}
	return c, c.Validate()
}

func find(detector string) (Detector, error) {
	var names []string
	for _, d := range Detectors() {
		if d.Name == detector {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return Detector{}, fmt.Errorf("there is no detector %q: there are %s", detector, strings.Join(names, ", "))
}

func (r *Rule) set(d Detector, member, value string) error {
	if members := append([]string{"off", "response"}, d.Members...); !slices.Contains(members, member) {
		return fmt.Errorf("%s has no such member: it has %s", d.Name, strings.Join(members, ", "))
	}
	var err error
	switch member {
	case "off":
		r.Off, err = strconv.ParseBool(value)
		if err != nil {
			err = fmt.Errorf("%q is neither true nor false", value)
		}
	case "response":
		r.Response = Response(value)
	case "window":
		r.Window, err = time.ParseDuration(value)
		if err != nil {
			err = fmt.Errorf("%q is not a duration such as 5m", value)
		}
	case "open":
		r.Open = value
	default:
		var n float64
		n, err = strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", value)
		}
		*map[string]*float64{"threshold": &r.Threshold, "least": &r.Least, "cap": &r.Cap, "warn": &r.Warn}[member] = n
	}
	return err
}

// Member is the value of a member as Set takes it.
func (r Rule) Member(name string) string {
	number := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
	switch name {
	case "off":
		return strconv.FormatBool(r.Off)
	case "response":
		return string(r.Response)
	case "window":
		text := r.Window.String()
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	case "open":
		return r.Open
	case "threshold":
		return number(r.Threshold)
	case "least":
		return number(r.Least)
	case "cap":
		return number(r.Cap)
	case "warn":
		return number(r.Warn)
	}
	return ""
}

// Validate says what is wrong with a configuration, all of it.
func (c Config) Validate() error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(c.Rules)) {
		d, err := find(name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if err := c.Rules[name].check(d); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	for i, s := range c.Canaries {
		if len(fold(s)) < leastCanary {
			// Which one, and never what it says.
			problems = append(problems, fmt.Errorf("canary %d has fewer than %d letters and digits: it would be found by chance", i+1, leastCanary))
		}
	}
	return errors.Join(problems...)
}

// longestWindow bounds what has to be kept in memory.
const longestWindow = 31 * 24 * time.Hour

func (r Rule) check(d Detector) error {
	if _, ok := gravity[r.Response]; !ok {
		return fmt.Errorf("response %q is none: there are none, ask, throttle, stop and suspend", r.Response)
	}
	// Without the ledger the detectors see nothing, so this is not for them to take lightly.
	if d.Name == Gap && (r.Off || gravity[r.Response] < gravity[Stop]) {
		return errors.New("a ledger that cannot be followed stops the agent: the response is stop or suspend, and it cannot be off")
	}
	whole := d.Name != Rate && d.Name != Flood && d.Name != Cost
	for _, m := range d.Members {
		switch m {
		case "threshold":
			budget := d.Name == Cost || d.Name == Tokens
			switch {
			case math.IsNaN(r.Threshold) || math.IsInf(r.Threshold, 0) || r.Threshold < 0 || r.Threshold == 0 && !budget:
				return fmt.Errorf("threshold %v must be more than 0", r.Threshold)
			case whole && r.Threshold != math.Trunc(r.Threshold):
				return fmt.Errorf("threshold %v must be a whole number", r.Threshold)
			}
		case "window":
			most := longestWindow
			if d.Name == Rate {
				most = time.Hour
			}
			if r.Window < time.Minute || r.Window > most {
				return fmt.Errorf("window %v must be from 1m to %v", r.Window, most)
			}
		case "least", "cap":
			if n := map[string]float64{"least": r.Least, "cap": r.Cap}[m]; !(n >= 1 && n <= mostRecent) || n != math.Trunc(n) {
				return fmt.Errorf("%s %v must be a whole number from 1 to %d", m, n, mostRecent)
			}
		case "warn":
			if !(r.Warn > 0 && r.Warn <= 1) {
				return fmt.Errorf("warn %v must be a part, more than 0 and at most 1", r.Warn)
			}
		case "open":
			if _, err := parseHours(r.Open); err != nil {
				return err
			}
		}
	}
	return nil
}

// compiled is a configuration that can be run.
type compiled struct {
	rules   map[string]Rule
	hours   hours
	needles []string
	manners map[string]bool
	every   time.Duration
	log     zerolog.Logger
	raise   func(ctx context.Context, f Finding) error
}

func (c Config) compile() (compiled, error) {
	if err := c.Validate(); err != nil {
		return compiled{}, err
	}
	out := compiled{rules: map[string]Rule{}, manners: maps.Clone(c.Manners), every: c.Every, log: c.Logger, raise: c.Raise}
	if out.every <= 0 {
		out.every = time.Second
	}
	for _, d := range Detectors() {
		out.rules[d.Name] = c.Rule(d.Name)
	}
	var err error
	if out.hours, err = parseHours(out.rules[Hours].Open); err != nil {
		return out, err
	}
	for _, s := range c.Canaries {
		out.needles = append(out.needles, needles(s)...)
	}
	return out, nil
}

// form names what the statistics depend on: with another one they are made anew.
func (c *compiled) form() string {
	return fmt.Sprintf("1 rate=%s denials=%s self=%s manners=%s", c.rules[Rate].Window, c.rules[Denials].Window, c.rules[SelfApproval].Window,
		strings.Join(slices.Sorted(maps.Keys(c.manners)), ","))
}
