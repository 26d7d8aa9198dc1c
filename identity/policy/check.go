package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"deskmate/identity/ledger"
)

// Bounds of what a grant may say, in bytes or elements.
const (
	mostTools        = 500
	mostWords        = 100
	mostArgRules     = 20
	mostText         = 1000
	mostInstructions = 16 << 10
	mostQuorum       = 20
)

var (
	userID    = regexp.MustCompile(`^[UW][A-Z0-9]{1,31}$`)
	groupID   = regexp.MustCompile(`^S[A-Z0-9]{1,31}$`)
	channelID = regexp.MustCompile(`^[CDG][A-Z0-9]{1,31}$`)
	grantID   = regexp.MustCompile(`^(g_|` + builtinPrefix + `)[a-z0-9_-]{1,64}$`)
	dutyID    = regexp.MustCompile(`^d_[a-z0-9]{1,32}$`)
	threadTS  = regexp.MustCompile(`^[0-9]{1,12}\.[0-9]{1,9}$`)
	names     = regexp.MustCompile(`^[A-Za-z0-9_-]+([.:/][A-Za-z0-9_-]+)*$`)
)

var kinds = []string{"public", "private", "shared", "im", "mpim"}

// Check says everything that is wrong with a grant that is to hold from now on,
// in words; each begins with the name of the field. nil if it is fine. Whether
// its id is free and its bundle exists is for the store to say.
func Check(g Grant, now time.Time) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if !slices.Contains([]string{Allow, Ask, Deny}, g.Effect) {
		add("effect: must be allow, ask or deny")
	}
	if g.ID != "" && !grantID.MatchString(g.ID) {
		add("id: must be g_ and then lower-case letters, digits, _ and -")
	}
	switch {
	case g.Bundle == "":
		out = append(out, checkTools(g.Tools)...)
	case len(g.Tools) > 0:
		add("bundle: name either tools or a bundle, not both")
	case !goodName(g.Bundle):
		add("bundle: %q is not the name of one", cut(g.Bundle))
	}
	if p := checkScope(g.Scope); p != "" {
		add("scope: %s", p)
	}
	if g.Thread != "" && (!threadTS.MatchString(g.Thread) || !strings.HasPrefix(g.Scope, "channel:")) {
		add("thread: must be the ts of a message, such as 1700000000.000100, in a scope of one channel")
	}
	if g.Duty != "" && !dutyID.MatchString(g.Duty) {
		add("duty: %q is not the id of a duty, such as d_abcdefghij", cut(g.Duty))
	}
	out = append(out, checkWho(g)...)
	out = append(out, checkArgs(g.Args)...)
	if g.Hours != "" {
		if _, err := parseHours(g.Hours); err != nil {
			add("hours: %v", err)
		}
	}
	out = append(out, checkLimits(g)...)
	out = append(out, checkAsk(g)...)
	out = append(out, checkLife(g, now)...)
	return append(out, checkTexts(g)...)
}

func checkTools(tools []string) []string {
	if len(tools) == 0 {
		return []string{"tools: name at least one, such as github.list_issues, github.* or *"}
	}
	var out []string
	if len(tools) > mostTools {
		out = append(out, fmt.Sprintf("tools: %d are more than %d", len(tools), mostTools))
	}
	for i, t := range tools {
		if !goodName(strings.TrimSuffix(t, ".*")) && t != "*" {
			out = append(out, fmt.Sprintf("tools: %q is not a name; * stands alone, or at the end as in github.*", cut(t)))
		}
		if slices.Contains(tools[:i], t) {
			out = append(out, fmt.Sprintf("tools: %q is there twice", cut(t)))
		}
	}
	return out
}

func goodName(s string) bool { return len(s) <= 128 && names.MatchString(s) }

// checkScope says what is wrong with a scope, "" if nothing is.
func checkScope(s string) string {
	word, rest, _ := strings.Cut(s, ":")
	switch {
	case s == "workspace":
	case word == "channel":
		if !channelID.MatchString(rest) {
			return fmt.Sprintf("%q is not the id of a channel, such as channel:C0123456789", cut(rest))
		}
	case word == "channels":
		if rest == "" || len(rest) > 80 || !utf8.ValidString(rest) || strings.ContainsAny(rest, "?[]{}\\# \t\n") {
			return fmt.Sprintf("%q is not a pattern of channel names, such as channels:eng-*; only * stands for others", cut(rest))
		}
	case word == "kind":
		if !slices.Contains(kinds, rest) {
			return fmt.Sprintf("%q is not a kind of channel: %s", cut(rest), strings.Join(kinds, ", "))
		}
	default:
		return fmt.Sprintf("%q is none: workspace, channel:C…, channels:PATTERN or kind:KIND", cut(s))
	}
	return ""
}

func checkWho(g Grant) []string {
	var out []string
	one := strings.HasPrefix(g.Scope, "channel:")
	for i, w := range g.Who {
		word, id, _ := strings.Cut(w, ":")
		switch {
		case w == Members || w == Owner:
		case w == Guests || w == Outsiders:
			if !one && g.Effect != Deny {
				out = append(out, fmt.Sprintf("who: %s only count in a grant whose scope is one channel", w))
			}
		case word == "user" && userID.MatchString(id), word == "group" && groupID.MatchString(id):
		default:
			out = append(out, fmt.Sprintf("who: %q is nobody: members, guests, outsiders, owner, user:U… or group:S…", cut(w)))
		}
		if slices.Contains(g.Who[:i], w) {
			out = append(out, fmt.Sprintf("who: %q is there twice", cut(w)))
		}
	}
	if len(g.Who) > mostWords {
		out = append(out, fmt.Sprintf("who: %d are more than %d", len(g.Who), mostWords))
	}
	return out
}

func checkArgs(rules []ArgRule) []string {
	var out []string
	if len(rules) > mostArgRules {
		out = append(out, fmt.Sprintf("args: %d rules are more than %d", len(rules), mostArgRules))
	}
	for _, r := range rules {
		if p := checkArg(r); p != "" {
			out = append(out, fmt.Sprintf("args: %s: %s", cut(r.Name), p))
		}
	}
	return out
}

func checkArg(r ArgRule) string {
	if r.Name == "" || len(r.Name) > 128 || !utf8.ValidString(r.Name) || slices.Contains(strings.Split(r.Name, "."), "") {
		return "name: must be the name of an argument; dots reach inside"
	}
	n := 0
	for _, set := range []bool{r.Equals != nil, len(r.OneOf) > 0, r.Prefix != "", r.Min != nil || r.Max != nil, r.Host != "", len(r.Only) > 0} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return "set exactly one of equals, one_of, prefix, min and max, host, only"
	case (r.Name == "*") != (len(r.Only) > 0):
		return "only stands with the name *, and nothing else does"
	case len(r.Only) > mostWords:
		return fmt.Sprintf("only: %d names are more than %d", len(r.Only), mostWords)
	case len(r.OneOf) > mostWords:
		return fmt.Sprintf("one_of: %d values are more than %d", len(r.OneOf), mostWords)
	case r.Min != nil && !finite(*r.Min), r.Max != nil && !finite(*r.Max):
		return "min, max: must be numbers"
	case r.Min != nil && r.Max != nil && *r.Min > *r.Max:
		return "min, max: no number is both"
	case r.Host != "" && !goodHostPattern(r.Host):
		return "host: must be a name in lower case, such as api.example.com or *.example.com; others in their xn-- form"
	}
	return ""
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func checkLimits(g Grant) []string {
	var out []string
	window := time.Duration(g.RateWindow)
	if g.Rate < 0 {
		out = append(out, "rate: must not be negative")
	}
	if g.Count < 0 {
		out = append(out, "count: must not be negative")
	}
	if g.Rate > 0 && (window < time.Second || window > 31*24*time.Hour) {
		out = append(out, "rate_window: must be from 1s to 744h for a rate")
	}
	if g.Rate == 0 && window != 0 {
		out = append(out, "rate_window: is set, but there is no rate")
	}
	if window%time.Duration(time.Microsecond) != 0 {
		out = append(out, "rate_window: must be whole microseconds")
	}
	if g.Effect == Deny && (g.Rate != 0 || g.Count != 0) {
		out = append(out, "rate, count: a deny has no limit")
	}
	return out
}

func checkAsk(g Grant) []string {
	var out []string
	if g.Effect != Ask && (len(g.Approvers) > 0 || g.Quorum != 0 || g.TTL != 0) {
		out = append(out, "approvers, quorum, ttl: are only for ask")
	}
	people := 0
	for i, a := range g.Approvers {
		word, id, _ := strings.Cut(a, ":")
		switch {
		case a == Sponsor, a == Admins, word == "group" && groupID.MatchString(id):
		case word == "user" && userID.MatchString(id):
			people++
		default:
			out = append(out, fmt.Sprintf("approvers: %q is nobody: sponsor, admins, user:U… or group:S…", cut(a)))
		}
		if slices.Contains(g.Approvers[:i], a) {
			out = append(out, fmt.Sprintf("approvers: %q is there twice", cut(a)))
		}
	}
	if len(g.Approvers) > mostWords {
		out = append(out, fmt.Sprintf("approvers: %d are more than %d", len(g.Approvers), mostWords))
	}
	switch {
	case g.Quorum < 0 || g.Quorum > mostQuorum:
		out = append(out, fmt.Sprintf("quorum: must be from 1 to %d", mostQuorum))
	case people > 0 && people == len(g.Approvers) && g.Quorum > people:
		out = append(out, fmt.Sprintf("quorum: %d of %d people cannot be had", g.Quorum, people))
	}
	if ttl := time.Duration(g.TTL); ttl != 0 && (ttl < time.Minute || ttl > 30*24*time.Hour || ttl%time.Microsecond != 0) {
		out = append(out, "ttl: must be from 1m to 720h")
	}
	return out
}

func checkLife(g Grant, now time.Time) []string {
	switch {
	case g.ExpiresAt.IsZero():
		return nil
	case expired(g, now):
		return []string{"expires_at: is over already"}
	case g.ExpiresAt.Sub(now) > maxLife && strings.TrimSpace(g.LongWhy) == "":
		return []string{"long_why: a grant that holds for more than 90 days must say why"}
	case g.ExpiresAt.Year() > 9999:
		return []string{"expires_at: must be in this age"}
	}
	return nil
}

func checkTexts(g Grant) []string {
	var out []string
	if strings.TrimSpace(g.Justification) == "" {
		out = append(out, "justification: say what it is for")
	}
	if len(g.Justification) > mostText {
		out = append(out, fmt.Sprintf("justification: is longer than %d bytes", mostText))
	}
	if len(g.LongWhy) > mostText {
		out = append(out, fmt.Sprintf("long_why: is longer than %d bytes", mostText))
	}
	b, err := json.Marshal(g.Args)
	if err != nil {
		return append(out, "args: cannot be written down") // a number that is none, said above
	}
	if len(b) > 32<<10 {
		out = append(out, "args: are longer than 32 KiB")
	}
	for _, s := range []string{string(b), g.Justification, g.LongWhy} {
		if ledger.Mask(s) != s {
			out = append(out, "args, justification, long_why: hold what looks like a secret; grants are shown to people")
			break
		}
	}
	return out
}

// cut is a text short enough to be quoted.
func cut(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
