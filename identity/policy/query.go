package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go/types"

	"deskmate/migrations"
)

// query is a request with everything that policies ask about it.
type query struct {
	r       Request
	args    map[string]any
	badArgs error // they cannot be judged
	spent   []string
	context types.Record
	fields  types.RecordMap // of context
}

// tidy is the request with unknown facts as the least that they can be.
func tidy(r Request, now time.Time) (Request, error) {
	switch {
	case r.Workspace == "" || r.Tool == "" || r.Connection == "":
		return r, errors.New("workspace, tool and connection must be known")
	case !slices.Contains([]string{"read", "write", "external"}, r.Class):
		return r, fmt.Errorf("the class %q of %s is none", cut(r.Class), cut(r.Tool))
	}
	if r.At.IsZero() {
		r.At = now
	}
	r.RequesterKind = requesterKind(r)
	if r.Target == "" {
		r.Target, r.TargetKind = r.Channel, r.ChannelKind
	}
	return r, nil
}

func requesterKind(r Request) string {
	switch {
	case r.RequesterKind == kindBot:
		return kindBot
	case r.Requester == "" || r.RequesterKind != kindMember && r.RequesterKind != kindGuest:
		return kindOutsider
	}
	return r.RequesterKind
}

// ask collects the facts of a request for the policies of its tool. Every limit
// counts as open until spend says otherwise.
func (t *toolSet) ask(r Request) *query {
	q := &query{r: r}
	q.args, q.badArgs = parseArgs(r.Args)
	var args []types.Value
	var given, rules, hours, left []string
	for _, name := range t.texts {
		if v, ok := lookup(q.args, name); ok {
			if text, ok := textOf(v); ok {
				args, given = append(args, types.NewRecord(types.RecordMap{"name": types.String(name), "text": types.String(text)})), append(given, name)
			}
		}
	}
	for _, c := range t.sorted {
		for _, i := range c.facts {
			v, ok := lookup(q.args, c.grant.Args[i].Name)
			if len(c.grant.Args[i].Only) > 0 {
				v, ok = q.args, q.badArgs == nil
			}
			// A permit needs what surely fits; a forbid spares what surely does not.
			if fit := compare(c.grant.Args[i], v, ok); fit == fits || fit == unsure && c.effect == Deny {
				rules = append(rules, ruleID(c.id, i))
			}
		}
		if c.grant.Hours != "" && c.hours.hold(r.At) {
			hours = append(hours, c.id)
		}
		if c.limited() {
			left = append(left, c.id)
		}
	}
	q.fields = types.RecordMap{
		"class":   types.String(r.Class),
		"now":     types.Long(migrations.Micros(r.At)),
		"manners": types.Boolean(r.Manners),
		"duty":    types.String(r.Duty),
		"requester": types.NewRecord(types.RecordMap{"id": types.String(r.Requester), "kind": types.String(r.RequesterKind),
			"groups": textSet(r.Groups), "owner": types.Boolean(r.Owner)}),
		"channel": types.NewRecord(types.RecordMap{"id": types.String(r.Channel), "name": types.String(r.ChannelName),
			"kind": types.String(r.ChannelKind), "thread": types.String(r.Thread)}),
		"target": types.NewRecord(types.RecordMap{"id": types.String(r.Target), "kind": types.String(r.TargetKind),
			"member": types.Boolean(r.TargetMember)}),
		"args":  types.NewSet(args...),
		"given": textSet(given),
		"rules": textSet(rules),
		"hours": textSet(hours),
		"left":  textSet(left),
	}
	q.context = types.NewRecord(q.fields)
	return q
}

// spend takes grants from those whose limits are open.
func (t *toolSet) spend(q *query, spent []string) {
	var left []string
	for _, c := range t.sorted {
		if c.limited() && !slices.Contains(spent, c.id) {
			left = append(left, c.id)
		}
	}
	q.spent = spent
	q.fields["left"] = textSet(left)
	q.context = types.NewRecord(q.fields)
}

// usesUp tells whether a limit of g is used up at an instant.
func usesUp(row func(q string, args ...any) scanner, g Grant, at time.Time) (bool, error) {
	if g.Count > 0 {
		var uses int64
		if err := row(`SELECT uses FROM grants WHERE workspace = $1 AND id = $2`, g.Workspace, g.ID).Scan(&uses); err != nil {
			return false, fmt.Errorf("read uses of grant %s: %w", g.ID, err)
		}
		if uses >= g.Count {
			return true, nil
		}
	}
	if g.Rate > 0 {
		var uses int64
		if err := row(`SELECT COUNT(*) FROM grant_uses WHERE workspace = $1 AND grant_id = $2 AND used_at > $3`,
			g.Workspace, g.ID, migrations.Micros(at.Add(-time.Duration(g.RateWindow)))).Scan(&uses); err != nil {
			return false, fmt.Errorf("read uses of grant %s: %w", g.ID, err)
		}
		return uses >= g.Rate, nil
	}
	return false, nil
}

type scanner interface{ Scan(dest ...any) error }

// spentOf lists which of the limited grants among ids are used up.
func (e *Engine) spentOf(ctx context.Context, t *toolSet, ids []string, at time.Time) ([]string, error) {
	var out []string
	row := func(q string, args ...any) scanner { return e.db.QueryRow(ctx, q, args...) }
	for _, id := range ids {
		c := t.byID[id]
		if c == nil || !c.limited() {
			continue
		}
		up, err := usesUp(row, c.grant, at)
		if err != nil {
			return nil, err
		}
		if up {
			out = append(out, id)
		}
	}
	return out, nil
}
