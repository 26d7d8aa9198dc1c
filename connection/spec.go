package connection

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"deskmate/connection/auth"
	"deskmate/connection/child"
	"deskmate/connection/mcp"
	"deskmate/connection/web"
)

// Kinds of connection.
const (
	KindMCP  = "mcp"  // a Model Context Protocol server, by url or by command
	KindHTTP = "http" // a plain HTTP API behind an allow-list
)

// Classes of tools, as everywhere.
const (
	classRead     = "read"
	classWrite    = "write"
	classExternal = "external"
)

// Spec is a connection as an admin writes it down, in YAML. It holds no secrets,
// only the names of credentials.
type Spec struct {
	Name        string `yaml:"name" json:"name"` // lower-case letters, digits and -
	Kind        string `yaml:"kind" json:"kind"`
	Description string `yaml:"description,omitempty" json:"description,omitempty"` // for admins

	URL     string `yaml:"url,omitempty" json:"url,omitempty"`         // of the server or the API
	Private bool   `yaml:"private,omitempty" json:"private,omitempty"` // it may be on this machine or a private network
	// Auth is how the agent shows who it is, over HTTP.
	Auth auth.Spec `yaml:"auth,omitempty" json:"auth,omitzero"`
	// HTTP is what of a plain API is used; only for kind http.
	HTTP *web.Spec `yaml:"http,omitempty" json:"http,omitempty"`

	Command   []string          `yaml:"command,omitempty" json:"command,omitempty"` // program and arguments of an MCP server
	Env       map[string]string `yaml:"env,omitempty" json:"env,omitempty"`         // its environment …
	Secrets   map[string]string `yaml:"secrets,omitempty" json:"secrets,omitempty"` // … and variables that hold a credential, by its name
	Dir       string            `yaml:"dir,omitempty" json:"dir,omitempty"`         // where it runs and may write
	Read      []string          `yaml:"read,omitempty" json:"read,omitempty"`       // what it may read beside the system's programs
	Network   string            `yaml:"network,omitempty" json:"network,omitempty"` // none (default), full
	Sandbox   string            `yaml:"sandbox,omitempty" json:"sandbox,omitempty"` // bubblewrap (default), none
	Memory    string            `yaml:"memory,omitempty" json:"memory,omitempty"`   // such as 256MB
	CPU       float64           `yaml:"cpu,omitempty" json:"cpu,omitempty"`         // cores
	Processes int               `yaml:"processes,omitempty" json:"processes,omitempty"`

	Tools   []string          `yaml:"tools,omitempty" json:"tools,omitempty"`     // only these, with * for any characters; empty is all
	Classes map[string]string `yaml:"classes,omitempty" json:"classes,omitempty"` // pattern of names: read, write or external; the longest pattern that fits counts
	// Once names, for tools that do a thing once however often they are called with
	// the same key, the argument that takes the key: {"create_*": idempotency_key}.
	// We give it; a call without an answer is then simply made again.
	Once    map[string]string `yaml:"once,omitempty" json:"once,omitempty"`
	Timeout string            `yaml:"timeout,omitempty" json:"timeout,omitempty"` // of one call, such as 30s
}

// InvalidError says everything that is wrong with a spec.
type InvalidError struct{ Problems []string }

func (e *InvalidError) Error() string {
	return "the connection is not right: " + strings.Join(e.Problems, "; ")
}

// Parse reads one spec. Unknown and repeated fields are errors with their line.
func Parse(text []byte) (Spec, error) {
	var s Spec
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return s, fmt.Errorf("read connection: %w", err)
	}
	if err := d.Decode(new(Spec)); !errors.Is(err, io.EOF) {
		return s, errors.New("read connection: one file holds one connection")
	}
	return s, nil
}

func (s Spec) text() (string, error) {
	b, err := yaml.Marshal(s)
	return string(b), err
}

var (
	goodConnection = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	goodNames      = regexp.MustCompile(`^[A-Za-z0-9_-]+([.:/][A-Za-z0-9_-]+)*$`)
	goodVariable   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	goodCredential = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// goodTool reports whether a tool's full name can be granted and told to a model.
func goodTool(name string) bool { return len(name) <= 128 && goodNames.MatchString(name) }

// Check says everything that is wrong, each beginning with the field's name.
func (s Spec) Check() []string {
	var out []string
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	switch {
	case !goodConnection.MatchString(s.Name):
		add("name: must be lower-case letters, digits and -, at most 31, such as tracker")
	case isReserved(s.Name):
		add("name: %s is the agent's own", s.Name)
	}
	switch s.Kind {
	case KindMCP:
		if (s.URL == "") == (len(s.Command) == 0) {
			add("url, command: give one of them")
		}
		if s.HTTP != nil {
			add("http: is only for kind http")
		}
	case KindHTTP:
		if s.URL == "" {
			add("url: the base address of the API is missing")
		}
		if s.HTTP == nil {
			add("http: is missing: what of the API is used")
		} else {
			out = append(out, s.HTTP.Check()...)
		}
	default:
		add("kind: must be %s or %s", KindMCP, KindHTTP)
	}
	if s.URL != "" {
		out = append(out, s.checkURL()...)
		out = append(out, s.Auth.Check(s.Private)...)
	} else if s.Auth.Kind != "" {
		add("auth: is only for a url; a command gets its credentials by secrets")
	}
	if n := s.Auth.Name(); n != "" && !goodCredential.MatchString(n) {
		add("auth: credential: %q is not the name of one", n)
	}
	out = append(out, s.checkChild()...)
	for _, t := range s.Tools {
		if _, err := path.Match(t, ""); err != nil || t == "" {
			add("tools: %q is not a pattern", t)
		}
	}
	for p, c := range s.Classes {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			add("classes: %q is not a pattern", p)
		}
		if !slices.Contains([]string{classRead, classWrite, classExternal}, c) {
			add("classes: %s: must be read, write or external", p)
		}
	}
	for p, arg := range s.Once {
		if _, err := path.Match(p, ""); err != nil || p == "" || !goodVariable.MatchString(arg) {
			add("once: %q: %q must be a pattern of tools and the name of an argument", p, arg)
		}
	}
	if _, err := s.timeout(); err != nil {
		add("timeout: %v", err)
	}
	slices.Sort(out)
	return out
}

func (s Spec) checkURL() []string {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return []string{"url: must be an address such as https://mcp.example.com/mcp, without a user or a fragment"}
	case u.Scheme == "https", u.Scheme == "http" && s.Private:
		return nil
	}
	return []string{"url: must be https; http only with private: true"}
}

func (s Spec) checkChild() []string {
	var out []string
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	if len(s.Command) == 0 {
		if len(s.Env) > 0 || len(s.Secrets) > 0 || s.Dir != "" || len(s.Read) > 0 || s.Network != "" || s.Sandbox != "" || s.Memory != "" || s.CPU != 0 || s.Processes != 0 {
			add("env, secrets, dir, read, network, sandbox, memory, cpu, processes: are only for a command")
		}
		return out
	}
	for k := range s.Env {
		if !goodVariable.MatchString(k) {
			add("env: %q is not the name of a variable", k)
		}
	}
	for k, c := range s.Secrets {
		if _, twice := s.Env[k]; twice || !goodVariable.MatchString(k) {
			add("secrets: %q is not the name of a variable, or is in env too", k)
		}
		if !goodCredential.MatchString(c) {
			add("secrets: %s: name a credential of this connection, such as token", k)
		}
	}
	for _, p := range append(slices.Clone(s.Read), s.Dir) {
		if p != "" && (!path.IsAbs(p) || path.Clean(p) != p || p == "/") {
			add("dir, read: %q must be a whole path, and not /", p)
		}
	}
	if !slices.Contains([]string{"", child.NetworkNone, child.NetworkFull}, s.Network) {
		add("network: must be none or full")
	}
	if !slices.Contains([]string{"", child.SandboxBubblewrap, child.SandboxNone}, s.Sandbox) {
		add("sandbox: must be bubblewrap or none")
	}
	if s.Sandbox == child.SandboxNone && s.Network != child.NetworkFull {
		add("network: without a sandbox it cannot be kept from the network: say network: full")
	}
	if _, err := s.memory(); err != nil {
		add("memory: %v", err)
	}
	if s.CPU < 0 || s.Processes < 0 {
		add("cpu, processes: must not be negative")
	}
	return out
}

func (s Spec) timeout() (time.Duration, error) {
	if s.Timeout == "" {
		return time.Minute, nil
	}
	d, err := time.ParseDuration(s.Timeout)
	if err != nil || d < time.Second || d > 10*time.Minute {
		return 0, errors.New("must be from 1s to 10m")
	}
	return d, nil
}

func (s Spec) memory() (int64, error) {
	if s.Memory == "" {
		return 0, nil
	}
	var n int64
	var unit string
	if _, err := fmt.Sscanf(s.Memory, "%d%s", &n, &unit); err != nil {
		return 0, errors.New("must be such as 256MB or 1GB")
	}
	switch unit {
	case "MB":
		n <<= 20
	case "GB":
		n <<= 30
	default:
		return 0, errors.New("must be such as 256MB or 1GB")
	}
	if n < 16<<20 || n > 64<<30 {
		return 0, errors.New("must be from 16MB to 64GB")
	}
	return n, nil
}

// wanted reports whether the connection is to offer a tool at all.
func (s Spec) wanted(tool string) bool {
	if len(s.Tools) == 0 {
		return true
	}
	return slices.ContainsFunc(s.Tools, func(p string) bool {
		ok, err := path.Match(p, tool)
		return err == nil && ok
	})
}

// class is what we hold a tool to be: what the admin wrote, else the gravest. What
// the server says of itself can only make it graver.
func (s Spec) class(t mcp.Tool) string {
	class, length := classExternal, -1
	for p, c := range s.Classes {
		if ok, err := path.Match(p, t.Name); err == nil && ok && (len(p) > length || len(p) == length && grave(c) > grave(class)) {
			class, length = c, len(p)
		}
	}
	destructive, open := t.Hints()
	if destructive && class == classRead {
		class = classWrite
	}
	if open && class == classWrite {
		class = classExternal
	}
	return class
}

// once is the argument that takes a key by which the tool does a thing once, "" for
// none.
func (s Spec) once(tool string) string {
	arg, length := "", -1
	for p, a := range s.Once {
		if ok, err := path.Match(p, tool); err == nil && ok && len(p) > length {
			arg, length = a, len(p)
		}
	}
	return arg
}

func grave(class string) int {
	return slices.Index([]string{classRead, classWrite, classExternal}, class)
}

// host is where it is reached over the network, "" for a command.
func (s Spec) host() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
