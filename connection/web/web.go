// Package web calls plain HTTP APIs by templates that an admin wrote down.
//
// It promises that a request is one of the templates, or of the methods and paths
// that the admin allowed, whatever the arguments are; that arguments land where the
// template has them and nowhere else; that answers are bounded; and that a request
// of which it is not known whether it was carried out is told from one that surely
// was not. It must never add a credential: its client does.
package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Spec is the http part of a connection.
type Spec struct {
	// Allow are the methods and paths that requests may have: "GET /repos/**". * is
	// anything within one part of a path, ** any number of parts at the end.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty"`
	// Calls are tools: templates of common requests.
	Calls []Call `yaml:"calls,omitempty" json:"calls,omitempty"`
	// Generic adds the tool request, for whatever Allow has.
	Generic bool `yaml:"generic,omitempty" json:"generic,omitempty"`
	// Headers go with every request.
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
}

// Call is one template.
type Call struct {
	Name        string            `yaml:"name" json:"name"`
	Description string            `yaml:"description" json:"description"`
	Method      string            `yaml:"method,omitempty" json:"method,omitempty"` // "" is GET
	Path        string            `yaml:"path" json:"path"`                         // with {param}
	Query       map[string]string `yaml:"query,omitempty" json:"query,omitempty"`   // with {param}; one whose parameter is missing is left out
	Body        any               `yaml:"body,omitempty" json:"body,omitempty"`     // JSON; a text that is {param} alone becomes the value itself
	Params      map[string]Param  `yaml:"params,omitempty" json:"params,omitempty"`
	Pick        string            `yaml:"pick,omitempty" json:"pick,omitempty"` // what of a JSON answer is given: "items.*.title, total"
	Once        string            `yaml:"once,omitempty" json:"once,omitempty"` // header that takes a key by which the API does it once
}

// Param is one argument.
type Param struct {
	Type        string   `yaml:"type,omitempty" json:"type,omitempty"` // string (default), integer, number, boolean
	Description string   `yaml:"description,omitempty" json:"description,omitempty"`
	Optional    bool     `yaml:"optional,omitempty" json:"optional,omitempty"`
	Enum        []string `yaml:"enum,omitempty" json:"enum,omitempty"`
	Pattern     string   `yaml:"pattern,omitempty" json:"pattern,omitempty"` // that the whole value fits
	Default     string   `yaml:"default,omitempty" json:"default,omitempty"`
}

// Tool is one callable.
type Tool struct {
	Name        string
	Description string
	Schema      json.RawMessage
	Once        bool
}

// Answer is what a request gave.
type Answer struct {
	Status int
	Text   string // for a model
	Full   []byte // the body as it came
	Failed bool   // the API said no; nothing was done
	ID     string // that the API gave the request, for whoever asks there
}

// Bounds of an answer and of arguments.
const (
	mostAnswer  = 4 << 20
	mostValue   = 8 << 10
	mostRetries = 2
	mostWait    = 5 * time.Second
)

// API calls one API.
type API struct {
	base   *url.URL
	spec   Spec
	client *http.Client
	wait   func(ctx context.Context, d time.Duration) bool
}

var (
	goodName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,60}$`)
	hole     = regexp.MustCompile(`\{([a-z][a-z0-9_]*)\}`)
	methods  = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
)

// Check says everything that is wrong with a spec.
func (s Spec) Check() []string {
	var out []string
	add := func(format string, a ...any) { out = append(out, "http: "+fmt.Sprintf(format, a...)) }
	if len(s.Calls) == 0 && !s.Generic {
		add("calls: there are none, and generic is not set")
	}
	for _, a := range s.Allow {
		method, p, ok := strings.Cut(a, " ")
		if !ok || !slices.Contains(methods, method) || !strings.HasPrefix(p, "/") {
			add("allow: %q must be a method and a path, such as GET /repos/**", a)
		}
	}
	if s.Generic && len(s.Allow) == 0 {
		add("allow: is needed for generic")
	}
	for k, v := range s.Headers {
		if strings.ContainsAny(k+v, "\r\n\x00 :") && strings.ContainsAny(k, "\r\n\x00 :") || strings.ContainsAny(v, "\r\n\x00") || strings.EqualFold(k, "Authorization") || strings.EqualFold(k, "Host") {
			add("headers: %q may not be set here", k)
		}
	}
	seen := map[string]bool{}
	for _, c := range s.Calls {
		for _, p := range c.check() {
			add("calls: %s: %s", c.Name, p)
		}
		if seen[c.Name] || c.Name == "request" && s.Generic {
			add("calls: %s: is there twice", c.Name)
		}
		seen[c.Name] = true
	}
	return out
}

func (c Call) check() []string {
	var out []string
	if !goodName.MatchString(c.Name) {
		out = append(out, "name: must be lower-case letters, digits and _")
	}
	if c.Description == "" {
		out = append(out, "description: is missing")
	}
	if c.Method != "" && !slices.Contains(methods, c.Method) {
		out = append(out, "method: must be one of "+strings.Join(methods, ", "))
	}
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, "?#\\") {
		out = append(out, "path: must begin with / and hold no query")
	}
	used := map[string]bool{}
	note := func(text string) {
		for _, m := range hole.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
		}
	}
	note(c.Path)
	for _, v := range c.Query {
		note(v)
	}
	if b, err := json.Marshal(c.Body); err != nil {
		out = append(out, "body: cannot be written as JSON")
	} else {
		note(string(b))
	}
	for name := range used {
		if _, ok := c.Params[name]; !ok {
			out = append(out, "params: "+name+" is used and not described")
		}
	}
	for name, p := range c.Params {
		if !used[name] {
			out = append(out, "params: "+name+" is described and not used")
		}
		if !slices.Contains([]string{"", "string", "integer", "number", "boolean"}, p.Type) {
			out = append(out, "params: "+name+": type must be string, integer, number or boolean")
		}
		if _, err := regexp.Compile(p.Pattern); err != nil {
			out = append(out, "params: "+name+": pattern is no expression")
		}
		if p.Optional && strings.Contains(c.Path, "{"+name+"}") && p.Default == "" {
			out = append(out, "params: "+name+": is part of the path, so it needs a default")
		}
	}
	slices.Sort(out)
	return out
}

// New returns the API at base, which s.Check has found nothing wrong with.
func New(base string, s Spec, client *http.Client) (*API, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("read the address: %w", err)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath, u.RawQuery, u.Fragment = "", "", ""
	return &API{base: u, spec: s, client: client, wait: wait}, nil
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Tools are what the API offers, by name.
func (s Spec) Tools() []Tool {
	var all []Tool
	for _, c := range s.Calls {
		all = append(all, Tool{c.Name, c.Description, c.schema(), c.Once != ""})
	}
	if s.Generic {
		all = append(all, Tool{Name: "request", Description: "A request to the API. Only these are allowed: " + strings.Join(s.Allow, "; "),
			Schema: json.RawMessage(`{"type":"object","properties":{"method":{"type":"string","enum":["GET","HEAD","POST","PUT","PATCH","DELETE"]},"path":{"type":"string","description":"begins with /, without a query"},"query":{"type":"object","additionalProperties":{"type":"string"}},"body":{"description":"JSON"}},"required":["method","path"],"additionalProperties":false}`)})
	}
	slices.SortFunc(all, func(a, b Tool) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (c Call) schema() json.RawMessage {
	properties, required := map[string]any{}, []string{}
	for name, p := range c.Params {
		one := map[string]any{"type": first(p.Type, "string")}
		if p.Description != "" {
			one["description"] = p.Description
		}
		if len(p.Enum) > 0 {
			one["enum"] = p.Enum
		}
		if p.Pattern != "" {
			one["pattern"] = p.Pattern
		}
		if p.Default != "" {
			one["default"] = p.Default
		}
		properties[name] = one
		if !p.Optional && p.Default == "" {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	b, err := json.Marshal(map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false})
	if err != nil {
		panic(err) // texts and lists of texts
	}
	return b
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
