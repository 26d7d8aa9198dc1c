package policy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"

	"deskmate/migrations"
)

// compiled is a policy in Cedar: of a grant, or a fixed rule.
type compiled struct {
	id     string
	effect string // allow, ask, deny
	policy *cedar.Policy
	text   string      // of the policy in Cedar
	grant  Grant       // zero for a fixed rule
	source string      // what it was compiled from
	when   []condition // all must hold; in the order in which they are told to people
	reason string      // of a fixed rule that forbids, for people

	hours  hours
	texts  []string // names of arguments that it compares in Cedar
	facts  []int    // argument rules that are compared here
	tests  []*cedar.Policy
	tested sync.Once
}

// condition is one of those under which a policy matches.
type condition struct {
	stage int
	node  ast.Node
	// why says in words that it fails for a request.
	why func(q *query) string
}

// Stages of conditions: of several grants that do not match, those that fail at
// the latest stage are told.
const (
	stageLife = iota
	stageScope
	stageThread
	stageWho
	stageArgs
	stageHours
	stageLimit
)

func (c *compiled) limited() bool { return c.grant.Rate > 0 || c.grant.Count > 0 }

// compileGrant makes the policy of g, which covers tools: its own or its bundle's.
func compileGrant(g Grant, tools []string, source string) (*compiled, error) {
	c := &compiled{id: g.ID, effect: g.Effect, grant: g, source: source}
	if err := c.addConditions(); err != nil {
		return nil, err
	}
	var p *ast.Policy
	switch g.Effect {
	case Allow:
		p = ast.Permit().ActionEq(callAction)
	case Ask:
		p = ast.Permit().ActionEq(askAction)
	case Deny:
		p = ast.Forbid()
	default:
		return nil, fmt.Errorf("compile grant %s: the effect %q is none", g.ID, g.Effect)
	}
	if err := c.annotate(p); err != nil {
		return nil, err
	}
	covers(p, tools)
	for _, w := range c.when {
		p.When(w.node)
	}
	var err error
	if c.policy, err = valid(g.ID, p); err != nil {
		return nil, fmt.Errorf("compile grant %s: %w", g.ID, err)
	}
	c.text = string(c.policy.MarshalCedar())
	return c, nil
}

// annotate writes into the policy's text what it means beside its conditions, so
// that the text says all and its hash changes with any of it.
func (c *compiled) annotate(p *ast.Policy) error {
	g := c.grant
	for _, i := range c.facts {
		b, err := json.Marshal(g.Args[i])
		if err != nil {
			return fmt.Errorf("compile grant %s: %w", g.ID, err)
		}
		p.Annotate(types.AnnotationKey("rule_"+strconv.Itoa(i)), types.String(b))
	}
	if g.Hours != "" {
		p.Annotate("hours", types.String(g.Hours))
	}
	if g.Rate > 0 {
		p.Annotate("rate", types.String(fmt.Sprintf("%d in %s", g.Rate, time.Duration(g.RateWindow))))
	}
	if g.Count > 0 {
		p.Annotate("count", types.String(strconv.FormatInt(g.Count, 10)))
	}
	if g.Effect == Ask {
		approvers, quorum, ttl := asks(g)
		p.Annotate("approvers", types.String(strings.Join(approvers, " "))).
			Annotate("quorum", types.String(strconv.Itoa(quorum))).Annotate("ttl", types.String(ttl.String()))
	}
	return nil
}

// covers restricts a policy to tools.
func covers(p *ast.Policy, tools []string) {
	var one, all []ast.Node
	for _, t := range tools {
		if t == "*" {
			return
		}
		if c, ok := strings.CutSuffix(t, ".*"); ok {
			all = append(all, ast.Value(types.NewEntityUID(typeConnection, types.String(c))))
		} else {
			one = append(one, ast.Value(types.NewEntityUID(typeTool, types.String(t))))
		}
	}
	// A set in Cedar has elements of one type.
	var in []ast.Node
	if len(one) > 0 {
		in = append(in, ast.Resource().In(ast.Set(one...)))
	}
	if len(all) > 0 {
		in = append(in, ast.Resource().In(ast.Set(all...)))
	}
	if len(in) == 0 {
		p.When(ast.False()) // covers nothing
		return
	}
	p.When(anyOf(in))
}

func (c *compiled) add(stage int, n ast.Node, why func(q *query) string) {
	c.when = append(c.when, condition{stage, n, why})
}

func (c *compiled) addConditions() error {
	g := c.grant
	if !g.ExpiresAt.IsZero() {
		c.add(stageLife, fact("now").LessThan(ast.Long(migrations.Micros(g.ExpiresAt))), func(*query) string {
			return fmt.Sprintf("grant %s for it ended on %s", g.ID, g.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC"))
		})
	}
	if err := c.addScope(); err != nil {
		return err
	}
	if g.Thread != "" {
		c.add(stageThread, is(fact("channel", "thread"), g.Thread), func(*query) string {
			return fmt.Sprintf("grant %s holds only in another thread", g.ID)
		})
	}
	if g.Duty != "" {
		c.add(stageThread, is(fact("duty"), g.Duty), func(*query) string {
			return fmt.Sprintf("grant %s holds only for the duty %s", g.ID, g.Duty)
		})
	}
	if err := c.addWho(); err != nil {
		return err
	}
	for i, r := range g.Args {
		c.addArg(i, r)
	}
	if g.Hours != "" {
		var err error
		if c.hours, err = parseHours(g.Hours); err != nil {
			return fmt.Errorf("compile grant %s: %w", g.ID, err)
		}
		c.add(stageHours, fact("hours").Contains(ast.String(g.ID)), func(q *query) string {
			return fmt.Sprintf("it is %s, and grant %s holds %s", q.r.At.In(c.hours.place).Format("Mon 15:04"), g.ID, g.Hours)
		})
	}
	if c.limited() {
		c.add(stageLimit, fact("left").Contains(ast.String(g.ID)), func(q *query) string { return q.limitText(g) })
	}
	return nil
}

func (c *compiled) addScope() error {
	word, rest, _ := strings.Cut(c.grant.Scope, ":")
	why := func(q *query) string { return q.nothing() }
	switch word {
	case "workspace":
	case "channel":
		c.add(stageScope, is(fact("channel", "id"), rest), why)
	case "channels":
		var parts []any
		for i, literal := range strings.Split(rest, "*") {
			if i > 0 {
				parts = append(parts, types.Wildcard{})
			}
			parts = append(parts, literal)
		}
		// A direct message has no name, and is no channel whatever the pattern.
		name, kind := fact("channel", "name"), fact("channel", "kind")
		n := name.NotEqual(ast.String("")).And(name.Like(types.NewPattern(parts...)))
		if c.effect == Deny { // a channel whose name is not known may be it
			n = n.Or(is(name, "").And(kind.NotEqual(ast.String("im"))).And(kind.NotEqual(ast.String("mpim"))))
		}
		c.add(stageScope, n, why)
	case "kind":
		n := is(fact("channel", "kind"), rest)
		if c.effect == Deny {
			n = n.Or(is(fact("channel", "kind"), ""))
		}
		c.add(stageScope, n, why)
	default:
		return fmt.Errorf("compile grant %s: the scope %q is none", c.grant.ID, c.grant.Scope)
	}
	return nil
}

func (c *compiled) addWho() error {
	g := c.grant
	kind := fact("requester", "kind")
	who := g.Who
	if len(who) == 0 {
		if g.Effect == Deny {
			return nil // what is forbidden to members only would be open to guests
		}
		who = []string{Members}
	}
	var nodes []ast.Node
	for _, w := range who {
		word, id, _ := strings.Cut(w, ":")
		switch {
		case w == Members:
			nodes = append(nodes, is(kind, kindMember))
		case w == Guests:
			nodes = append(nodes, is(kind, kindGuest))
		case w == Outsiders:
			nodes = append(nodes, is(kind, kindOutsider))
		case w == Owner:
			nodes = append(nodes, fact("requester", "owner"))
		case word == "user" && id != "":
			nodes = append(nodes, is(fact("requester", "id"), id))
		case word == "group" && id != "":
			nodes = append(nodes, fact("requester", "groups").Contains(ast.String(id)))
		default:
			return fmt.Errorf("compile grant %s: who %q is nobody", g.ID, w)
		}
	}
	n := anyOf(nodes)
	if strings.HasPrefix(g.ID, builtinPrefix) {
		// Guests may have what is made for them, where they are.
		n = n.Or(kind.NotEqual(ast.String(kindMember)).And(ast.Resource().Access("guests")).And(fact("target", "id").Equal(fact("channel", "id"))))
	} else if g.Effect != Deny && !strings.HasPrefix(g.Scope, "channel:") {
		n = n.And(is(kind, kindMember))
	}
	c.add(stageWho, n, func(q *query) string { return q.whoText(g, who) })
	return nil
}

// addArg adds an argument rule. A permit needs an argument that surely fits; a
// forbid spares only one that surely does not.
func (c *compiled) addArg(i int, r ArgRule) {
	g := c.grant
	var n ast.Node
	if r.Equals != nil || len(r.OneOf) > 0 {
		allowed := r.OneOf
		if r.Equals != nil {
			allowed = []string{*r.Equals}
		}
		var values []ast.Node
		for _, text := range allowed {
			values = append(values, ast.Record(ast.Pairs{{Key: "name", Value: ast.String(r.Name)}, {Key: "text", Value: ast.String(text)}}))
		}
		n = fact("args").ContainsAny(ast.Set(values...))
		if g.Effect == Deny {
			n = n.Or(ast.Not(fact("given").Contains(ast.String(r.Name))))
		}
		c.texts = append(c.texts, r.Name)
	} else {
		n = fact("rules").Contains(ast.String(ruleID(g.ID, i)))
		c.facts = append(c.facts, i)
	}
	c.add(stageArgs, n, func(q *query) string { return q.argText(g, r) })
}

func ruleID(grant string, i int) string { return grant + "." + strconv.Itoa(i) }

// asks are the approvers, the quorum and the time of an ask, with what g leaves out.
func asks(g Grant) (approvers []string, quorum int, ttl time.Duration) {
	approvers, quorum, ttl = g.Approvers, max(g.Quorum, 1), time.Duration(g.TTL)
	if len(approvers) == 0 {
		approvers = []string{Sponsor, Admins}
	}
	if ttl == 0 {
		ttl = 24 * time.Hour
	}
	return approvers, quorum, ttl
}
