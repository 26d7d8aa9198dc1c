package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseRule reads a rule for an argument as people write it: repo=one/two,
// amount<=500, n>=1, env in dev,staging, path^=/docs, url host *.example.com, and
// only:repo,env for no other arguments than these.
func ParseRule(text string) (ArgRule, error) {
	number := func(v string) (*float64, error) {
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			return nil, fmt.Errorf("%q: %q is not a number", cut(text), cut(v))
		}
		return &f, nil
	}
	var rule ArgRule
	var err error
	if names, only := strings.CutPrefix(text, "only:"); only {
		rule.Name = "*"
		rule.Only = trimmed(names)
		return rule, nil
	}
	for _, op := range []string{"^=", "<=", ">=", " host ", " in ", "="} {
		name, value, ok := strings.Cut(text, op)
		if !ok {
			continue
		}
		rule.Name = strings.TrimSpace(name)
		switch op {
		case "^=":
			rule.Prefix = value
		case "<=":
			rule.Max, err = number(value)
		case ">=":
			rule.Min, err = number(value)
		case " host ":
			rule.Host = strings.TrimSpace(value)
		case " in ":
			rule.OneOf = trimmed(value)
		default:
			rule.Equals = &value
		}
		return rule, err
	}
	return rule, fmt.Errorf("%q is no rule: NAME=VALUE, NAME<=N, NAME>=N, NAME in A,B, NAME^=PREFIX, NAME host HOST or only:NAME,NAME", cut(text))
}

func trimmed(list string) []string {
	var out []string
	for _, v := range strings.Split(list, ",") {
		out = append(out, strings.TrimSpace(v))
	}
	return out
}
