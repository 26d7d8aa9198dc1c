package policy

import (
	"fmt"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
)

// Kinds of requester.
const (
	kindMember   = "member"
	kindGuest    = "guest"
	kindOutsider = "outsider" // and whoever is not known
	kindBot      = "bot"
)

// fixedRules hold in every workspace, whatever is granted.
var fixedRules = []struct {
	id, effect, text string
	stage            int
	reason           string // in words; of a permit why it does not apply
}{
	{"builtin-manners", Allow, `permit (principal, action == Action::"call", resource)
		when { context.manners && context.target.id == context.channel.id };`, stageScope,
		"it is not an answer of mine in the place where I work"},
	{"guests-named", Deny, `forbid (principal, action, resource)
		when { context.requester.kind != "member" }
		unless { context.manners || (context.target.id == context.channel.id
			&& (resource.guests || resource.named.contains(context.channel.id))) };`, stageWho,
		"only full members may ask for it, and %s did"},
	{"no-bots", Deny, `forbid (principal, action, resource)
		when { context.requester.kind == "bot" };`, stageWho,
		"a bot asked for it, and I do nothing for bots"},
	// A direct message and a person need no membership.
	{"own-channels", Deny, `forbid (principal, action, resource)
		unless { context.target.member || context.target.id like "D*" || context.target.id like "U*" || context.target.id like "W*" };`, stageScope,
		"I am not in %s; invite me there first"},
	// What is private stays where it is: another place may only be read if
	// everybody may.
	{"private-stays", Deny, `forbid (principal, action, resource)
		when { context.class == "read" && context.target.id != context.channel.id && context.target.kind != "public" };`, stageScope,
		"what is said in a private or shared channel is not read out elsewhere"},
}

// fixed are the fixed rules, compiled, by id.
var fixed = sync.OnceValues(func() ([]*compiled, error) {
	var out []*compiled
	for _, r := range fixedRules {
		var p cedar.Policy
		if err := p.UnmarshalCedar([]byte(r.text)); err != nil {
			return nil, fmt.Errorf("parse rule %s: %w", r.id, err)
		}
		policy, err := valid(r.id, p.AST())
		if err != nil {
			return nil, err
		}
		out = append(out, &compiled{id: r.id, effect: r.effect, policy: policy, text: string(policy.MarshalCedar()), reason: r.reason,
			when: []condition{{stage: r.stage, node: ast.True()}}})
	}
	return out, nil
})
