package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"

	"deskmate/identity/ledger"
)

// mostMisses bounds the reasons of a denial.
const mostMisses = 3

// Explanation is a decision with every policy that was considered for it.
type Explanation struct {
	Decision   Decision     `json:"decision"`
	Considered []Considered `json:"considered"` // by id
}

// Considered is one policy and what it said of a request.
type Considered struct {
	Policy  string `json:"policy"` // its id
	Fixed   bool   `json:"fixed"`  // a rule that always holds; else a grant
	Effect  string `json:"effect"` // allow, ask, deny
	Matched bool   `json:"matched"`
	Why     string `json:"why"`  // in words: what it says, or the first condition that does not hold
	Text    string `json:"text"` // the policy in Cedar
}

// Explain decides as Decide does and tells of each policy what it made of it. It
// counts nothing.
func (e *Engine) Explain(ctx context.Context, r Request) Explanation {
	d, t, q, err := e.judge(ctx, r)
	if err != nil {
		return Explanation{Decision: undecided(err)}
	}
	out := Explanation{Decision: d}
	for _, c := range t.sorted {
		if err := e.seeLimit(ctx, t, q, c); err != nil {
			return Explanation{Decision: undecided(err)}
		}
		row := Considered{Policy: c.id, Fixed: c.grant.ID == "", Effect: c.effect, Text: c.text}
		if miss := t.miss(q, c); miss != nil {
			row.Why = miss.why(q)
		} else {
			row.Matched, row.Why = true, q.matchText(c)
		}
		out.Considered = append(out.Considered, row)
	}
	return out
}

// seeLimit looks up the limit of a grant, which judge does only where it matters.
func (e *Engine) seeLimit(ctx context.Context, t *toolSet, q *query, c *compiled) error {
	if !c.limited() || slices.Contains(q.spent, c.id) {
		return nil
	}
	spent, err := e.spentOf(ctx, t, []string{c.id}, q.r.At)
	if err != nil || len(spent) == 0 {
		return err
	}
	t.spend(q, append(q.spent, spent...))
	return nil
}

// single is one policy to be evaluated alone.
type single struct{ *cedar.Policy }

func (s single) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) { yield("it", s.Policy) }
}

// miss is the first condition of c that does not hold; nil if all do. Each is
// asked of Cedar by itself, so that it cannot differ from the decision.
func (t *toolSet) miss(q *query, c *compiled) *condition {
	c.tested.Do(func() {
		if c.grant.ID == "" {
			c.tests = []*cedar.Policy{c.policy}
			return
		}
		for _, w := range c.when {
			c.tests = append(c.tests, cedar.NewPolicyFromAST(ast.Permit().When(w.node)))
		}
	})
	for i, p := range c.tests {
		_, why := cedar.Authorize(single{p}, t.entities, cedar.Request{Principal: types.NewEntityUID(typeAgent, types.String(q.r.Agent)),
			Action: callAction, Resource: t.resource, Context: q.context})
		if len(why.Reasons) == 0 {
			w := c.when[i]
			if w.why == nil { // a fixed rule
				w.why = func(q *query) string { return q.spareText(c) }
			}
			return &w
		}
	}
	return nil
}

// misses says why nothing allows a request: of the permits those that came the
// nearest, by the condition at which they failed.
func (t *toolSet) misses(q *query) []string {
	nearest := stageScope
	out := []string{q.nothing()}
	for _, c := range t.sorted {
		if c.effect == Deny || c.grant.ID == "" {
			continue
		}
		w := t.miss(q, c)
		if w == nil || w.stage < nearest && !(w.stage == stageLife && nearest == stageScope) {
			continue
		}
		if w.stage > nearest {
			nearest, out = w.stage, nil
		}
		if why := w.why(q); !slices.Contains(out, why) && len(out) < mostMisses {
			out = append(out, why)
		}
	}
	return out
}

// nothing is the reason when no grant is near.
func (q *query) nothing() string {
	return fmt.Sprintf("no grant lets me use `%s` %s", shown(q.r.Tool), place(q.r.Channel))
}

func place(channel string) string {
	switch {
	case strings.HasPrefix(channel, "D"):
		return "in this direct message"
	case channel == "":
		return "where no channel is known"
	}
	return "in " + mention(channel)
}

// mention is a channel or person as Slack shows it.
func mention(id string) string {
	switch {
	case userID.MatchString(id):
		return "<@" + id + ">"
	case channelID.MatchString(id):
		return "<#" + id + ">"
	}
	return shown(id)
}

// granted names a grant, with who gave it and what for.
func granted(g Grant) string {
	return fmt.Sprintf("grant %s (by %s: %s)", g.ID, mention(g.GrantedBy), shown(g.Justification))
}

// matchText says what a policy that matches means.
func (q *query) matchText(c *compiled) string {
	switch {
	case c.effect == Deny:
		return q.forbidText(c)
	case c.grant.ID == "":
		return "it is an answer of mine in the place where I work"
	case c.effect == Ask:
		return granted(c.grant) + " asks for an approval"
	}
	return granted(c.grant) + " allows it"
}

// forbidText is the reason of a policy that forbids.
func (q *query) forbidText(c *compiled) string {
	switch c.id {
	case "guests-named":
		return fmt.Sprintf(c.reason, aKind(q.r))
	case "own-channels":
		return fmt.Sprintf(c.reason, mention(q.r.Target))
	}
	if c.grant.ID == "" {
		return c.reason
	}
	return granted(c.grant) + " denies it"
}

// spareText says why a fixed rule does not apply.
func (q *query) spareText(c *compiled) string {
	if c.effect != Deny {
		return c.reason
	}
	return "it does not apply here"
}

// aKind is the kind of requester with its article.
func aKind(r Request) string {
	switch r.RequesterKind {
	case kindMember:
		return "a member"
	case kindGuest:
		return "a guest"
	case kindBot:
		return "a bot"
	}
	return "an outsider, or somebody I do not know,"
}

// whoText says who may ask, and that it was somebody else.
func (q *query) whoText(g Grant, who []string) string {
	var words []string
	for _, w := range who {
		word, id, _ := strings.Cut(w, ":")
		switch {
		case w == Members:
			words = append(words, "full members")
		case w == Guests || w == Outsiders:
			words = append(words, w)
		case w == Owner:
			words = append(words, "the owner of the duty")
		case word == "user":
			words = append(words, mention(id))
		default:
			words = append(words, "people of the user group "+id)
		}
	}
	if len(words) == 1 && who[0] == Members || q.r.RequesterKind != kindMember && !strings.HasPrefix(g.Scope, "channel:") {
		return "only full members may ask for it, and " + aKind(q.r) + " did"
	}
	return fmt.Sprintf("only %s may ask for it by grant %s", strings.Join(words, " or "), g.ID)
}

// argText says what an argument is and what it should be.
func (q *query) argText(g Grant, r ArgRule) string {
	effect := "allows"
	if g.Effect == Deny {
		effect = "denies"
	}
	if len(r.Only) > 0 && q.badArgs == nil {
		return fmt.Sprintf("grant %s %s it with no other arguments than %s", g.ID, effect, shown(strings.Join(r.Only, ", ")))
	}
	v, given := lookup(q.args, r.Name)
	is := fmt.Sprintf("`%s` is %s", shown(r.Name), shownValue(r.Name, v))
	switch {
	case q.badArgs != nil:
		return fmt.Sprintf("%s, and grant %s goes by them", shown(q.badArgs.Error()), g.ID)
	case !given:
		is = fmt.Sprintf("`%s` is missing", shown(r.Name))
	case compare(r, v, given) == unsure:
		is += ", which cannot be judged"
	}
	return fmt.Sprintf("%s, and grant %s %s %s", is, g.ID, effect, ruleText(r))
}

// ruleText says what an argument rule lets through.
func ruleText(r ArgRule) string {
	switch {
	case r.Equals != nil:
		return "only " + shownValue(r.Name, *r.Equals)
	case len(r.OneOf) > 0:
		var all []string
		for _, o := range r.OneOf[:min(len(r.OneOf), 5)] {
			all = append(all, shownValue(r.Name, o))
		}
		if len(r.OneOf) > len(all) {
			all = append(all, "…")
		}
		return "only " + strings.Join(all, ", ")
	case r.Prefix != "":
		return "only what begins with " + shownValue(r.Name, r.Prefix)
	case r.Host != "":
		return "only the host " + shown(r.Host)
	case r.Min != nil && r.Max != nil:
		return fmt.Sprintf("from %v to %v", *r.Min, *r.Max)
	case r.Min != nil:
		return fmt.Sprintf("at least %v", *r.Min)
	case r.Max != nil:
		return fmt.Sprintf("at most %v", *r.Max)
	}
	return "nothing"
}

// limitText says which limit is used up.
func (q *query) limitText(g Grant) string {
	switch {
	case g.Rate == 0:
		return fmt.Sprintf("the limit of %d uses of grant %s is used up", g.Count, g.ID)
	case g.Count == 0:
		return fmt.Sprintf("the limit of %d uses in %s of grant %s is used up for now", g.Rate, short(time.Duration(g.RateWindow)), g.ID)
	}
	return fmt.Sprintf("the limits of grant %s, %d uses and %d in %s, are used up", g.ID, g.Count, g.Rate, short(time.Duration(g.RateWindow)))
}

// short is a duration without its zeros: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// secretNames are parts of names of arguments whose values are not told.
var secretNames = []string{"secret", "token", "password", "passwd", "passphrase", "credential", "key", "auth", "cookie", "signature"}

// shownValue is the value of an argument for people.
func shownValue(name string, v any) string {
	lower := strings.ToLower(name)
	if slices.ContainsFunc(secretNames, func(s string) bool { return strings.Contains(lower, s) }) {
		return "(not shown)"
	}
	switch v := v.(type) {
	case string:
		return "`" + shown(v) + "`"
	case map[string]any, []any:
		return "a list or an object"
	case json.Number:
		return shown(string(v))
	}
	return shown(fmt.Sprint(v))
}

// shown is a text of somebody else inside one of ours: masked, cut, on one line,
// and nothing in it is a mention or a format of Slack's.
func shown(s string) string {
	s = cut(ledger.Mask(s))
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'", "\n", " ", "\r", " ").Replace(s)
}
