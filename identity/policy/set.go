package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"deskmate/migrations"
)

const (
	// keepEnded is how long a grant that has ended is still told of.
	keepEnded = 30 * 24 * time.Hour
	// mostToolSets bounds what is kept for tools that were asked about.
	mostToolSets = 4096
)

// workspaceSet is all policies of a workspace at one version, compiled. It does
// not change.
type workspaceSet struct {
	version int64
	fixed   []*compiled
	grants  []*compiled          // by id
	byID    map[string]*compiled // the same
	byTool  map[string][]*compiled
	byConn  map[string][]*compiled // that cover all tools of a connection
	all     []*compiled            // that cover all tools
	guests  map[string]string      // connection of the tools that guests may ask for, by name

	mu    sync.Mutex
	tools map[[2]string]*toolSet
}

// toolSet is the policies that have a say on one tool.
type toolSet struct {
	policies *cedar.PolicySet
	byID     map[string]*compiled
	sorted   []*compiled // fixed rules and grants, by id
	entities types.EntityMap
	resource types.EntityUID
	texts    []string // names of arguments that are compared in Cedar
	placed   bool     // some grant is for one channel, thread or duty
	head     string   // what is hashed beside the policies

	mu          sync.Mutex
	hashes      map[string]string // by place
	from, until time.Time         // when they are so: from the end of one grant to that of the next
}

// current returns the compiled policies of the workspace as they are now.
func (e *Engine) current(ctx context.Context, workspace string) (*workspaceSet, error) {
	v, err := e.version(ctx, workspace)
	if err != nil {
		return nil, err
	}
	had := e.cached(workspace)
	if had != nil && had.version == v {
		return had, nil
	}
	var s *workspaceSet
	if err := e.db.Read(ctx, func(tx *migrations.Tx) error {
		s, err = load(tx, workspace, had)
		return err
	}); err != nil {
		return nil, fmt.Errorf("load policies: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := e.sets[workspace]; now == nil || now.version < s.version {
		e.sets[workspace] = s
	}
	return s, nil
}

func (e *Engine) cached(workspace string) *workspaceSet {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sets[workspace]
}

// load compiles what tx sees. Grants that had has compiled already are taken
// from there.
func load(tx *migrations.Tx, workspace string, had *workspaceSet) (*workspaceSet, error) {
	version, err := scanVersion(tx.QueryRow(versionQuery, workspace))
	if err != nil {
		return nil, err
	}
	bundles, err := loadBundles(tx, workspace)
	if err != nil {
		return nil, err
	}
	grants, err := loadGrants(tx, workspace, false)
	if err != nil {
		return nil, err
	}
	return compile(tx, workspace, version, bundles, grants, had)
}

// compile makes a set of bundles and grants, which need not be those of the store.
func compile(tx *migrations.Tx, workspace string, version int64, bundles []Bundle, grants []Grant, had *workspaceSet) (*workspaceSet, error) {
	s := &workspaceSet{version: version, byID: map[string]*compiled{}, byTool: map[string][]*compiled{}, byConn: map[string][]*compiled{},
		guests: map[string]string{}, tools: map[[2]string]*toolSet{}}
	var err error
	if s.fixed, err = fixed(); err != nil {
		return nil, err
	}
	byName := map[string]Bundle{}
	for _, b := range bundles {
		byName[b.Name] = b
	}
	for _, g := range grants {
		if expired(g, tx.Now().Add(-keepEnded)) {
			continue
		}
		tools := g.Tools
		if g.Bundle != "" && len(tools) == 0 {
			b, ok := byName[g.Bundle]
			if !ok {
				return nil, fmt.Errorf("grant %s names the bundle %s, which does not exist", g.ID, g.Bundle)
			}
			tools = b.Tools
		}
		if err := s.add(g, tools, had); err != nil {
			return nil, err
		}
	}
	return s, s.loadGuests(tx, workspace)
}

func (s *workspaceSet) loadGuests(tx *migrations.Tx, workspace string) error {
	rows, err := tx.Query(`SELECT name, connection FROM builtin_tools WHERE workspace = $1 AND guests = 1`, workspace)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, connection string
		if err := rows.Scan(&name, &connection); err != nil {
			return err
		}
		s.guests[name] = connection
	}
	return rows.Err()
}

func (s *workspaceSet) add(g Grant, tools []string, had *workspaceSet) error {
	g.LastUsedAt, g.Uses = time.Time{}, 0
	source, err := json.Marshal([]any{g, tools})
	if err != nil {
		return fmt.Errorf("encode grant %s: %w", g.ID, err)
	}
	var c *compiled
	if had != nil && had.byID[g.ID] != nil && had.byID[g.ID].source == string(source) {
		c = had.byID[g.ID]
	} else if c, err = compileGrant(g, tools, string(source)); err != nil {
		return err
	}
	if s.byID[c.id] != nil || slices.ContainsFunc(s.fixed, func(f *compiled) bool { return f.id == c.id }) {
		return fmt.Errorf("there are two policies with the id %s", c.id)
	}
	s.byID[c.id] = c
	s.grants = append(s.grants, c)
	for _, t := range tools {
		if conn, ok := strings.CutSuffix(t, ".*"); ok {
			s.byConn[conn] = append(s.byConn[conn], c)
		} else if t == "*" {
			s.all = append(s.all, c)
		} else {
			s.byTool[t] = append(s.byTool[t], c)
		}
	}
	return nil
}

// tool returns the policies that have a say on a tool.
func (s *workspaceSet) tool(tool, connection string) (*toolSet, error) {
	key := [2]string{tool, connection}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tools[key]; t != nil {
		return t, nil
	}
	t, err := s.narrow(tool, connection)
	if err != nil {
		return nil, err
	}
	if len(s.tools) < mostToolSets {
		s.tools[key] = t
	}
	return t, nil
}

func (s *workspaceSet) narrow(tool, connection string) (*toolSet, error) {
	t := &toolSet{policies: cedar.NewPolicySet(), byID: map[string]*compiled{}, resource: types.NewEntityUID(typeTool, types.String(tool))}
	t.sorted = slices.Concat(s.fixed, s.byTool[tool], s.byConn[connection], s.all)
	slices.SortFunc(t.sorted, func(a, b *compiled) int { return strings.Compare(a.id, b.id) })
	t.sorted = slices.Compact(t.sorted) // a grant may name a tool and its connection
	var named []string
	for _, c := range t.sorted {
		if !t.policies.Add(types.PolicyID(c.id), c.policy) {
			return nil, fmt.Errorf("there are two policies with the id %s", c.id)
		}
		t.byID[c.id] = c
		t.texts = append(t.texts, c.texts...)
		t.placed = t.placed || c.grant.elsewhere(Request{})
		if channel, one := strings.CutPrefix(c.grant.Scope, "channel:"); one && c.effect != Deny {
			named = append(named, channel)
		}
	}
	slices.Sort(t.texts)
	t.texts = slices.Compact(t.texts)
	guestConn, guests := s.guests[tool]
	guests = guests && guestConn == connection
	parent := types.NewEntityUID(typeConnection, types.String(connection))
	t.entities = types.EntityMap{t.resource: {UID: t.resource, Parents: types.NewEntityUIDSet(parent),
		Attributes: types.NewRecord(types.RecordMap{"guests": types.Boolean(guests), "named": textSet(named)})},
		parent: {UID: parent}}
	t.head = fmt.Sprintf("tool %q of %q guests %t\n", tool, connection, guests)
	return t, nil
}

// mostHashes bounds how many places' hashes are kept.
const mostHashes = 1000

// set is the hash of what has a say on a request: everything that its decision
// could have gone by. Grants that have ended have none, nor have those for
// another channel, thread or duty.
func (t *toolSet) set(r Request) string {
	place := ""
	if t.placed {
		place = r.Channel + " " + r.Thread + " " + r.Duty
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.At.Before(t.from) || !t.until.IsZero() && !r.At.Before(t.until) || len(t.hashes) > mostHashes {
		t.hashes = nil
	}
	if h, ok := t.hashes[place]; ok {
		return h
	}
	h := sha256.New()
	_, _ = io.WriteString(h, t.head) // a hash does not fail
	from, until := time.Time{}, time.Time{}
	for _, c := range t.sorted {
		if end := c.grant.ExpiresAt; !end.IsZero() {
			if expired(c.grant, r.At) {
				if end.After(from) {
					from = end
				}
				continue
			}
			if until.IsZero() || end.Before(until) {
				until = end
			}
		}
		if !c.grant.elsewhere(r) {
			_, _ = fmt.Fprintf(h, "%d %s\n%d %s\n", len(c.id), c.id, len(c.text), c.text)
		}
	}
	if t.hashes == nil {
		t.hashes = map[string]string{}
	}
	t.from, t.until = from, until
	t.hashes[place] = hex.EncodeToString(h.Sum(nil))
	return t.hashes[place]
}

// elsewhere reports whether the grant is for one channel, thread or duty, and not
// for that of the request.
func (g Grant) elsewhere(r Request) bool {
	channel, one := strings.CutPrefix(g.Scope, "channel:")
	return one && channel != r.Channel || g.Thread != "" && g.Thread != r.Thread || g.Duty != "" && g.Duty != r.Duty
}

// authorize asks Cedar for one action. The ids are of the policies that made the
// decision, sorted. An evaluation that failed anywhere is an error: cedar-go
// allows what a forbid that failed should have forbidden.
func (t *toolSet) authorize(action types.EntityUID, q *query) (allowed bool, ids []string, err error) {
	decision, why := cedar.Authorize(t.policies, t.entities, cedar.Request{
		Principal: types.NewEntityUID(typeAgent, types.String(q.r.Agent)), Action: action, Resource: t.resource, Context: q.context})
	if len(why.Errors) > 0 {
		var failed []string
		for _, e := range why.Errors {
			failed = append(failed, string(e.PolicyID))
		}
		slices.Sort(failed)
		return false, nil, errors.New("policy " + strings.Join(failed, ", ") + " cannot be evaluated")
	}
	for _, r := range why.Reasons {
		ids = append(ids, string(r.PolicyID))
	}
	slices.Sort(ids)
	return decision == cedar.Allow, ids, nil
}
