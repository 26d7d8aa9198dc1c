package policy

import (
	"fmt"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

// cedarSchema is what policies may speak about. No attribute is optional: a fact
// that is missing must never make an evaluation fail, because an evaluator that
// skips a forbid that failed allows.
//
// What Cedar cannot compute comes as sets of what was found to hold: rules has
// "GRANT.N" for the N-th argument rule of a grant (prefixes and ranges of values
// whose names differ from tool to tool, decimals, parsed hosts), hours the ids of
// grants whose hours it is (weekdays by the clock of a time zone), left those
// whose limits are not used up (uses are rows). args and given have arguments
// that are texts.
const cedarSchema = `
entity Agent;
entity Connection;
entity Tool in [Connection] {
	guests: Bool,
	named: Set<String>,
};
action call, call_with_approval appliesTo {
	principal: [Agent],
	resource: [Tool],
	context: {
		class: String,
		now: Long,
		manners: Bool,
		duty: String,
		requester: { id: String, kind: String, groups: Set<String>, owner: Bool },
		channel: { id: String, name: String, kind: String, thread: String },
		target: { id: String, kind: String, member: Bool },
		args: Set<{ name: String, text: String }>,
		given: Set<String>,
		rules: Set<String>,
		hours: Set<String>,
		left: Set<String>,
	}
};
`

// The validator is experimental in cedar-go and has no stable interface: nothing
// but this file may use it.
var validator = sync.OnceValues(func() (*validate.Validator, error) {
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(cedarSchema)); err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	resolved, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolve schema: %w", err)
	}
	return validate.New(resolved), nil
})

// valid returns the policy compiled, after holding it against the schema.
func valid(id string, p *ast.Policy) (c *cedar.Policy, err error) {
	// The validator panics on some expressions that its own builder makes.
	defer func() {
		if v := recover(); v != nil {
			c, err = nil, fmt.Errorf("policy %s cannot be held against the schema: %v", id, v)
		}
	}()
	v, err := validator()
	if err != nil {
		return nil, err
	}
	if err := v.Policy(id, (*xast.Policy)(p)); err != nil {
		return nil, fmt.Errorf("policy %s does not fit the schema: %w", id, err)
	}
	return cedar.NewPolicyFromAST(p), nil
}

// Names in Cedar.
const (
	typeAgent      types.EntityType = "Agent"
	typeTool       types.EntityType = "Tool"
	typeConnection types.EntityType = "Connection"
)

var (
	callAction = types.NewEntityUID("Action", "call")
	askAction  = types.NewEntityUID("Action", "call_with_approval")
)

// fact is context.a.b of a request.
func fact(path ...types.String) ast.Node {
	n := ast.Context()
	for _, p := range path {
		n = n.Access(p)
	}
	return n
}

func is[T ~string](n ast.Node, text T) ast.Node { return n.Equal(ast.String(text)) }

func anyOf(nodes []ast.Node) ast.Node {
	n := nodes[0]
	for _, o := range nodes[1:] {
		n = n.Or(o)
	}
	return n
}

func textSet[T ~string](texts []T) types.Set {
	values := make([]types.Value, len(texts))
	for i, t := range texts {
		values[i] = types.String(t)
	}
	return types.NewSet(values...)
}
