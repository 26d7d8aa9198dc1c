package connection

import (
	"context"
	"crypto/sha256"
	"deskmate/connection/auth"
	"deskmate/connection/child"
	"deskmate/connection/egress"
	"deskmate/connection/mcp"
	"deskmate/connection/web"
	"deskmate/identity/ledger"
	"deskmate/identity/vault"
	"deskmate/migrations"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// live is a connection that this process uses.
type live struct {
	spec   string // what it was made from
	keys   string // versions of the credentials that a child was started with
	client *mcp.Client
	api    *web.API // of a plain API, in place of client
}

func (l *live) close() {
	if l.client != nil {
		l.client.Close()
	}
}

// listed is what the connection shows now. A plain API shows what the admin wrote.
func (l *live) listed(ctx context.Context, c Connection) (mcp.Listing, error) {
	if l.api == nil {
		l.client.Retry()
		got, err := l.client.List(ctx)
		return c.Spec.only(got), err
	}
	out := mcp.Listing{Server: c.Spec.URL}
	for _, t := range c.Spec.HTTP.Tools() {
		out.Tools = append(out.Tools, mcp.Tool{Name: t.Name, Description: t.Description, Input: t.Schema})
	}
	return c.Spec.only(out), nil
}

// call calls a tool, and says what became of it as the kinds of connection do.
func (l *live) call(ctx context.Context, c Connection, tool string, call Call) (mcp.Answer, string, error) {
	args, err := keyed(call.Args, c.Spec.once(tool), call.Key)
	if err != nil {
		return mcp.Answer{}, "", &mcp.NotSentError{Err: fmt.Errorf("the arguments are not a JSON object: %w", err)}
	}
	if l.api == nil {
		got, err := l.client.Call(ctx, mcp.Call{Tool: tool, Pin: call.Pin, Args: args, Fresh: call.Class != classRead, Progress: call.Progress})
		return got, "", err
	}
	if !slices.ContainsFunc(c.Tools(), func(t Tool) bool { return t.Name == call.Tool && t.Pin == call.Pin }) {
		return mcp.Answer{}, "", &mcp.NotSentError{Err: fmt.Errorf("the tool %s has changed", call.Tool)}
	}
	timeout, err := c.Spec.timeout()
	if err != nil {
		return mcp.Answer{}, "", &mcp.NotSentError{Err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%s did not answer within %s", c.Name, timeout))
	defer cancel()
	sum := sha256.Sum256([]byte(call.Key))
	got, err := l.api.Call(ctx, tool, args, "deskmate-"+hex.EncodeToString(sum[:12]))
	var unsure *web.UnsureError
	if err != nil && !errors.As(err, &unsure) {
		err = &mcp.NotSentError{Err: err}
	}
	return mcp.Answer{Text: got.Text, Full: got.Full, Failed: got.Failed}, got.ID, err
}

// using returns what runs for c, started anew if its spec or, for a child, one of
// its secrets has changed.
func (m *Manager) using(ctx context.Context, c Connection) (*live, error) {
	spec, err := c.Spec.text()
	if err != nil {
		return nil, err
	}
	keys, err := m.versions(ctx, c)
	if err != nil {
		return nil, err
	}
	key := c.Workspace + " " + c.Name
	m.mu.Lock()
	l := m.live[key]
	if l != nil && l.spec == spec && l.keys == keys {
		m.mu.Unlock()
		return l, nil
	}
	old := l
	if l, err = m.open(c, spec, keys); err == nil {
		m.live[key] = l
	}
	m.mu.Unlock()
	if old != nil {
		old.close()
	}
	return l, err
}

// versions names the secrets that a child of c gets, "" for none.
func (m *Manager) versions(ctx context.Context, c Connection) (string, error) {
	var out []string
	for variable, name := range c.Spec.Secrets {
		got, err := m.Vault.Get(ctx, c.Workspace, c.Name+"/"+name)
		if err != nil {
			if errors.Is(err, vault.ErrNoCredential) {
				err = missing(c.Name, name)
			}
			return "", err
		}
		version := int64(0)
		if v := got.In(vault.Active); v != nil && got.RevokedAt.IsZero() {
			version = v.Version
		}
		out = append(out, fmt.Sprintf("%s=%s:%d", variable, got.ID, version))
	}
	return sorted(out), nil
}

// missing is the error of a connection that lacks a credential.
func missing(connection, name string) error {
	return fmt.Errorf("%s has no credential %s yet: deskmate credential add --connection %s --name %s", connection, name, connection, name)
}

func (m *Manager) open(c Connection, spec, keys string) (*live, error) {
	timeout, err := c.Spec.timeout()
	if err != nil {
		return nil, err
	}
	workspace, name := c.Workspace, c.Name
	o := mcp.Options{Name: name, Timeout: timeout, Clock: m.DB.Now, Logger: m.Logger, Version: m.Version}
	o.Accept = func(ctx context.Context, l mcp.Listing) error { return m.check(ctx, workspace, name, l) }
	if len(c.Spec.Command) > 0 {
		o.Command = func(ctx context.Context) (*child.Process, error) { return m.start(ctx, c) }
	} else if o.Endpoint = c.Spec.URL; o.Endpoint != "" {
		if o.HTTP, err = m.web(c); err != nil {
			return nil, err
		}
	}
	if c.Spec.HTTP != nil {
		api, err := web.New(c.Spec.URL, *c.Spec.HTTP, o.HTTP)
		return &live{spec: spec, keys: keys, api: api}, err
	}
	return &live{spec: spec, keys: keys, client: mcp.New(o)}, nil
}

// start runs the program of a connection, with its secrets in its environment.
func (m *Manager) start(ctx context.Context, c Connection) (*child.Process, error) {
	memory, err := c.Spec.memory()
	if err != nil {
		return nil, err
	}
	s := child.Spec{Command: c.Spec.Command, Dir: c.Spec.Dir, Read: c.Spec.Read, Network: c.Spec.Network, Sandbox: c.Spec.Sandbox,
		Memory: memory, CPU: c.Spec.CPU, Processes: c.Spec.Processes, Env: map[string]string{}}
	for k, v := range c.Spec.Env {
		s.Env[k] = v
	}
	var hide []string
	for variable, name := range c.Spec.Secrets {
		_, err := m.Vault.Use(ctx, c.Workspace, c.Name+"/"+name, func(secret []byte) error {
			s.Env[variable] = string(secret)
			hide = append(hide, string(secret))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	log := m.Logger.With().Str("connection", c.Name).Logger()
	var limit sync.Mutex
	left, since := mostLogged, m.DB.Now()
	s.Stderr = func(line string) {
		limit.Lock()
		defer limit.Unlock()
		if now := m.DB.Now(); now.Sub(since) > time.Minute {
			left, since = mostLogged, now
		}
		if left--; left >= 0 {
			log.Info().Str("stderr", ledger.Mask(without(line, hide))).Msg("said by the connection's program")
		}
	}
	return child.Start(s)
}

// mostLogged is how many lines of a child's stderr are logged in a minute.
const mostLogged = 60

// without takes secrets out of a text.
func without(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, s, "[secret]")
			for _, line := range strings.Split(s, "\n") {
				if line = strings.TrimSpace(line); len(line) >= 16 {
					text = strings.ReplaceAll(text, line, "[secret]")
				}
			}
		}
	}
	return text
}

// check is asked before every call whether what the server shows is what was
// accepted. What is not is kept and quarantined first.
func (m *Manager) check(ctx context.Context, workspace, name string, l mcp.Listing) error {
	c, err := m.Get(ctx, workspace, name)
	if err != nil {
		return err
	}
	l = c.Spec.only(l)
	if c.State == StateActive && c.Pin == l.Pin() {
		return nil
	}
	if c, err = m.saw(context.WithoutCancel(ctx), workspace, name, l); err != nil {
		return err
	}
	return c.usable()
}

// usable is nil for a connection that may be called.
func (c Connection) usable() error {
	switch c.State {
	case StateActive:
		return nil
	case StateNew:
		return fmt.Errorf("%s has not been accepted yet: an admin looks at it with deskmate connection show %s", c.Name, c.Name)
	}
	return fmt.Errorf("%s is in quarantine (%s): an admin has to look at it", c.Name, c.Reason)
}

// only leaves the tools that the admin wants.
func (s Spec) only(l mcp.Listing) mcp.Listing {
	var tools []mcp.Tool
	for _, t := range l.Tools {
		if s.wanted(t.Name) {
			tools = append(tools, t)
		}
	}
	l.Tools = tools
	return l
}

// Refresh looks what a connection shows now, and keeps it: see StateNew and
// StateQuarantined.
func (m *Manager) Refresh(ctx context.Context, workspace, name string) (Connection, error) {
	c, err := m.Get(ctx, workspace, name)
	if err != nil {
		return c, err
	}
	l, err := m.using(ctx, c)
	if err != nil {
		return c, fmt.Errorf("refresh connection %s: %w", name, err)
	}
	got, err := l.listed(ctx, c)
	if err != nil {
		return c, fmt.Errorf("refresh connection %s: %w", name, err)
	}
	return m.saw(ctx, workspace, name, got)
}

// refreshEvery is how often all active connections are looked at.
const refreshEvery = 15 * time.Minute

// Run looks at the active connections of a workspace now and then, and forgets old
// results, until ctx ends.
func (m *Manager) Run(ctx context.Context, workspace string) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		m.look(ctx, workspace)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Manager) look(ctx context.Context, workspace string) {
	all, err := m.List(ctx, workspace)
	if err == nil {
		err = m.sweep(ctx)
	}
	if err != nil && ctx.Err() == nil {
		m.Logger.Error().Err(err).Msg("connections not looked at")
		return
	}
	var wg sync.WaitGroup
	for _, c := range all {
		if c.State == StateActive {
			wg.Go(func() {
				if _, err := m.Refresh(ctx, workspace, c.Name); err != nil && ctx.Err() == nil {
					m.Logger.Warn().Err(err).Str("connection", c.Name).Msg("connection cannot be used at the moment")
				}
			})
		}
	}
	wg.Wait()
}

// web is the HTTP client of a connection: it reaches the one host that the spec
// names.
func (m *Manager) web(c Connection) (*http.Client, error) {
	u, err := url.Parse(c.Spec.URL)
	if err != nil {
		return nil, fmt.Errorf("read the address of %s: %w", c.Name, err)
	}
	rules := egress.Rules{Hosts: []string{u.Host}, Private: c.Spec.Private}
	tokens := egress.Rules{Hosts: c.Spec.Auth.TokenHosts(), Private: c.Spec.Private}
	return rules.Client(func(base http.RoundTripper) http.RoundTripper {
		return auth.New(auth.Options{Spec: c.Spec.Auth, Secrets: keys{m, c.Workspace, c.Name}, Base: base, Tokens: tokens.Transport(), Hosts: rules.Check, Clock: m.DB.Now,
			Alert: func(what string) { m.alert(c, what) }})
	}), nil
}

// keys opens the credentials of one connection.
type keys struct {
	m               *Manager
	workspace, name string
}

// Use implements auth.Secrets.
func (k keys) Use(ctx context.Context, credential string, f func(secret []byte) error) (int64, error) {
	used, err := k.m.Vault.Use(context.WithoutCancel(ctx), k.workspace, k.name+"/"+credential, f)
	return used.Version, err
}

// Store implements auth.Secrets: what a refresh used up is replaced. The one before
// is of no use to anybody and goes at once.
func (k keys) Store(ctx context.Context, credential string, secret []byte) error {
	_, err := k.m.Vault.Rotate(context.WithoutCancel(ctx), "system", k.workspace, k.name+"/"+credential, secret, time.Time{}, 0)
	return err
}

// alert tells the admins what a server demands and does not get, once a day.
func (m *Manager) alert(c Connection, what string) {
	m.Logger.Warn().Str("connection", c.Name).Msg(ledger.Mask(what))
	err := m.DB.Write(context.Background(), func(tx *migrations.Tx) error {
		if err := m.record(tx, c.Workspace, c.Name, "connection.alert", "system", nil, map[string]string{"reason": ledger.Mask(what)}); err != nil || m.Notice == nil {
			return err
		}
		return m.Notice(tx, c.Workspace, "connection:"+c.Name+":alert:"+tx.Now().UTC().Format(time.DateOnly), "From `"+c.Name+"`: "+strings.ReplaceAll(ledger.Mask(what), "`", "'"))
	})
	if err != nil {
		m.Logger.Error().Err(err).Str("connection", c.Name).Msg("alert not recorded")
	}
}

// Tested is what a connection showed when it was tried.
type Tested struct {
	Server   string `json:"server"`
	Protocol string `json:"protocol"`
	Tools    int    `json:"tools"`
	Accepted bool   `json:"accepted"` // it shows what was accepted
	Took     string `json:"took"`
	Sandbox  string `json:"sandbox,omitempty"` // that its program runs in
}

// Test reaches a connection and changes nothing.
func (m *Manager) Test(ctx context.Context, workspace, name string) (Tested, error) {
	c, err := m.Get(ctx, workspace, name)
	if err != nil {
		return Tested{}, err
	}
	l, err := m.using(ctx, c)
	if err != nil {
		return Tested{}, fmt.Errorf("test connection %s: %w", name, err)
	}
	began := time.Now()
	got, err := l.listed(ctx, c)
	if err != nil {
		return Tested{}, fmt.Errorf("test connection %s: %w", name, m.masked(ctx, c, err))
	}
	sandbox := ""
	if l.client != nil {
		sandbox = l.client.Sandbox()
	}
	return Tested{Server: got.Server, Protocol: got.Version, Tools: len(got.Tools), Accepted: c.Pin == got.Pin(), Took: time.Since(began).Round(time.Millisecond).String(), Sandbox: sandbox}, nil
}
