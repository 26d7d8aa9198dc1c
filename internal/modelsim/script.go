package modelsim

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Script is what a scripted model says: first its sequence, one reply a request,
// then the first rule that fits the newest message.
//
//	sequence:
//	  - {status: 429, retry_after: "1", error: slow down}
//	rules:
//	  - user: '(?i)remember that (?P<fact>.+)'   # the newest message is a person's
//	    calls: [{name: remember, args: {text: "${fact}"}}]
//	  - tool: remember                           # the newest message is this tool's result
//	    match: 'for (?P<where>[^:]+): (?P<fact>.+)'
//	    text: "Noted for ${where}: ${fact}"
//	  - text: "I have nothing to say to that."   # anything
//
// In text, and in every string of args, ${name} and ${1} stand for groups of the
// rule's expressions (Go's regexp syntax, sought anywhere in the message); ${asked}
// is the newest message of a person. A rule with times fits only so many times.
type Script struct {
	Sequence []Reply `yaml:"sequence"`
	Rules    []Rule  `yaml:"rules"`
}

// Rule is one line of a script.
type Rule struct {
	User  string `yaml:"user"`  // expression that a person's newest message fits
	Tool  string `yaml:"tool"`  // name of the tool whose result is the newest message
	Match string `yaml:"match"` // expression that the tool's result fits
	Asked string `yaml:"asked"` // with Tool: expression that the newest message of a person fits
	Times int    `yaml:"times"` // 0 = always
	Blind bool   `yaml:"blind"` // calls tools that are not offered too
	Reply `yaml:",inline"`

	user, match, asked *regexp.Regexp
}

// ParseScript reads a script in YAML and refuses unknown fields, expressions
// that do not compile and rules that mix what they fit.
func ParseScript(r io.Reader) (*Script, error) {
	var s Script
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("parse script: %w", err)
	}
	if len(s.Sequence)+len(s.Rules) == 0 {
		return nil, errors.New("parse script: it has neither a sequence nor rules")
	}
	for i := range s.Rules {
		if err := s.Rules[i].compile(); err != nil {
			return nil, fmt.Errorf("parse script: rule %d: %w", i+1, err)
		}
	}
	return &s, nil
}

func (u *Rule) compile() error {
	if u.Tool == "" && (u.Match != "" || u.Asked != "") {
		return errors.New("match and asked need tool")
	}
	if u.Tool != "" && u.User != "" {
		return errors.New("user and tool exclude each other: the newest message is one of both")
	}
	for _, e := range []struct {
		text string
		into **regexp.Regexp
	}{{u.User, &u.user}, {u.Match, &u.match}, {u.Asked, &u.asked}} {
		x, err := regexp.Compile(e.text)
		if err != nil {
			return err
		}
		*e.into = x
	}
	return nil
}

// Handler plays the script; each Handler starts it anew. A request that nothing
// fits gets status 500 with a message that says so.
func (s *Script) Handler() Handler {
	var mu sync.Mutex
	next, used := 0, make([]int, len(s.Rules))
	return func(q Request) Reply {
		mu.Lock()
		defer mu.Unlock()
		if next < len(s.Sequence) {
			next++
			return s.Sequence[next-1].fill(q, nil)
		}
		for i, u := range s.Rules {
			if u.Times > 0 && used[i] >= u.Times {
				continue
			}
			if groups, ok := u.fits(q); ok {
				used[i]++
				return u.Reply.fill(q, groups)
			}
		}
		return Reply{Status: 500, Error: "no rule of the script fits the newest message"}
	}
}

// fits says whether the rule answers the request, and with which groups.
func (u *Rule) fits(q Request) (map[string]string, bool) {
	last := q.Last("")
	groups := map[string]string{}
	switch {
	case u.Tool != "":
		if last.Role != "tool" || q.ToolOf(last) != u.Tool {
			return nil, false
		}
		if !capture(u.asked, q.Last("user").Content, groups) || !capture(u.match, last.Content, groups) {
			return nil, false
		}
	case u.User != "":
		if last.Role != "user" || !capture(u.user, last.Content, groups) {
			return nil, false
		}
	}
	for _, c := range u.Calls { // a tool that is not offered cannot be called
		if !u.Blind && !q.Offers(c.Name) {
			return nil, false
		}
	}
	return groups, true
}

func capture(x *regexp.Regexp, s string, into map[string]string) bool {
	m := x.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	for i, name := range x.SubexpNames() {
		into[fmt.Sprint(i)] = m[i]
		if name != "" {
			into[name] = m[i]
		}
	}
	return true
}

var placeholder = regexp.MustCompile(`\$\{(\w+)\}`)

// fill puts the groups into the reply's text and arguments.
func (p Reply) fill(q Request, groups map[string]string) Reply {
	put := func(s string) string {
		return placeholder.ReplaceAllStringFunc(s, func(name string) string {
			name = name[2 : len(name)-1]
			if name == "asked" {
				return q.Last("user").Content
			}
			return groups[name]
		})
	}
	p.Text = put(p.Text)
	calls := make([]Call, len(p.Calls))
	for i, c := range p.Calls {
		c.Args, c.Raw = fillValue(c.Args, put), put(c.Raw)
		calls[i] = c
	}
	p.Calls = calls
	return p
}

func fillValue(v any, put func(string) string) any {
	switch v := v.(type) {
	case string:
		return put(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = fillValue(e, put)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = fillValue(e, put)
		}
		return out
	}
	return v
}

// Worst is a model that always does the same: it calls the tool with the given
// arguments, whatever it is asked and however often it was refused.
func Worst(tool string, args any) Handler {
	return func(Request) Reply { return Reply{Calls: []Call{{Name: tool, Args: args}}} }
}

// Always is a model that gives the same reply to everything.
func Always(p Reply) Handler { return func(Request) Reply { return p } }
