package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"deskmate/identity/label"
	"deskmate/identity/policy"
)

// Ids of the rules of information flow, in Decision.Policies.
const (
	PolicyConfidential = "flow-confidential" // text would reach people who cannot read where it is from
	PolicyUntrusted    = "flow-untrusted"    // text that nobody here answers for had a say
)

// Readers tells who can read a place at present. It must not answer from what was
// true a while ago.
type Readers interface {
	// Readers are the user ids of the people who are in a channel or direct message,
	// without the agent. open says that everybody in the workspace may join.
	Readers(ctx context.Context, workspace, channel string) (people []string, open bool, err error)
}

// own are the connections that are the agent's own: what they write stays where
// the gate sees it.
var own = map[string]bool{"": true, "slack": true, "memory": true, "duties": true, "self": true}

// flow looks what text goes into an action and whom the action reaches, and has a
// human release what would otherwise leave the circle of its readers, or follow
// from text that nobody here answers for. It never allows anything.
func (g *Gate) flow(ctx context.Context, a Action, d Decision) (Decision, error) {
	if d.Verdict == Deny || a.Notice || a.Label.IsZero() && !a.Everyone {
		return d, nil
	}
	answer := a.Manners && a.target() == a.Channel
	if !a.Label.Trusted() && a.Class != ClassRead && !answer {
		d = askFor(d, PolicyUntrusted, "it follows from text that nobody here answers for ("+sourceWords(a.Label.Untrusted)+"), which may have been written to make me do this")
	}
	if a.Everyone {
		return g.promote(ctx, a, d)
	}
	why, sources, err := g.leak(ctx, a, d)
	if err != nil {
		return Decision{}, fmt.Errorf("%w: look who would read it: %w", ErrUndecided, err)
	}
	switch {
	case why == "":
		return d, nil
	case answer:
		return Decision{Verdict: Deny, Set: d.Set, Policies: []string{PolicyConfidential}, Reasons: []string{why + "; ask me there, or in a direct message"}}, nil
	}
	d = askFor(d, PolicyConfidential, why)
	d.Sources = sources
	return d, nil
}

// promote has a human release what would become known to the whole workspace and
// is from a place that is not open to it: the sponsor, an admin or another reader,
// but only those who can read all of it. What was said in a direct message with the
// one who asks is theirs to tell, and the sponsor's or an admin's to take in.
func (g *Gate) promote(ctx context.Context, a Action, d Decision) (Decision, error) {
	undecided := func(err error) (Decision, error) {
		return Decision{}, fmt.Errorf("%w: look who can read it: %w", ErrUndecided, err)
	}
	from := a.Label.Channels
	if a.ChannelKind != "public" && !slices.Contains(from, a.Channel) {
		from = append(slices.Clone(from), a.Channel)
	}
	var sources, readers []string
	for _, c := range from {
		if slices.Contains(g.ownDirect(a), c) {
			continue
		}
		if c == label.Everything {
			sources, readers = append(sources, c), nil
			continue
		}
		if g.Readers == nil {
			return undecided(errors.New("there is no directory of channels"))
		}
		people, open, err := g.Readers.Readers(ctx, a.Workspace, c)
		if err != nil {
			return undecided(err)
		}
		if open {
			continue
		}
		if sources = append(sources, c); len(sources) == 1 {
			readers = people
		} else {
			readers = slices.DeleteFunc(readers, func(p string) bool { return !slices.Contains(people, p) })
		}
	}
	if len(sources) == 0 && len(g.ownDirect(a)) == 0 {
		return d, nil
	}
	if d.Verdict != Allow {
		readers = nil // a rule names its approvers: they are not made more
	}
	d = askFor(d, PolicyConfidential, fmt.Sprintf("it would make text from %s known to everybody in this workspace", placeWords(append(sources, g.ownDirect(a)...))))
	d.Sources = sources
	for _, p := range readers {
		if who := "user:" + p; p != a.Requester && len(d.Approvers) < mostReaders && !slices.Contains(d.Approvers, who) {
			d.Approvers = append(slices.Clone(d.Approvers), who)
		}
	}
	return d, nil
}

// mostReaders bounds who is named as an approver.
const mostReaders = 12

// leak says in a sentence whom an action would show text that they could not read
// where it is from; "" for nobody. sources are the places that it is from.
func (g *Gate) leak(ctx context.Context, a Action, d Decision) (why string, sources []string, err error) {
	if a.Class == ClassRead {
		return "", nil, nil // what is read comes here; what may be read is for the rules
	}
	if !own[a.Connection] {
		sources = a.Label.Beside(g.ownDirect(a)...)
		// A grant for one channel is an admin's word that what is said there may go to
		// that system. It is not their word that it may leave the organisation.
		if d.Local && a.Class == ClassWrite {
			sources = a.Label.Beside(append(g.ownDirect(a), a.Channel)...)
		}
		if len(sources) == 0 {
			return "", nil, nil
		}
		return fmt.Sprintf("it would send text from %s to `%s`, and I do not know who reads it there", placeWords(sources), a.Connection), sources, nil
	}
	// A direct message with the one who asks holds what they and I said: whom they
	// have me tell it is up to them.
	from := a.Label.Beside(append(g.ownDirect(a), a.target())...)
	if len(from) == 0 {
		return "", nil, nil
	}
	if g.Readers == nil {
		return "", nil, errors.New("there is no directory of channels")
	}
	var readers []string
	open := false
	if isPerson(a.target()) {
		readers = []string{a.target()}
	} else if readers, open, err = g.Readers.Readers(ctx, a.Workspace, a.target()); err != nil {
		return "", nil, err
	}
	// How many of the sources each reader can read.
	type reading struct{ sources, last int }
	reads := make(map[string]*reading, len(readers))
	for _, p := range readers {
		reads[p] = &reading{}
	}
	for i, c := range from {
		var may []string
		if c != label.Everything {
			if may, _, err = g.Readers.Readers(ctx, a.Workspace, c); err != nil {
				return "", nil, err
			}
		}
		in := 0
		for _, p := range may {
			if r := reads[p]; r != nil && r.last != i+1 { // nobody is counted twice
				r.sources, r.last = r.sources+1, i+1
				in++
			}
		}
		if open || in < len(reads) {
			sources = append(sources, c)
		}
	}
	more := 0
	for _, r := range reads {
		if r.sources < len(from) {
			more++
		}
	}
	if len(sources) == 0 {
		return "", nil, nil
	}
	where := "in <#" + a.target() + ">"
	if isPerson(a.target()) || strings.HasPrefix(a.target(), "D") {
		where = "in a direct message"
	}
	if open {
		where += ", which everybody can join"
	}
	return fmt.Sprintf("it would show text from %s to %s %s", placeWords(sources), peopleWords(more), where), sources, nil
}

// ownDirect is the direct message in which the work happens, if it does.
func (g *Gate) ownDirect(a Action) []string {
	if strings.HasPrefix(a.Channel, "D") {
		return []string{a.Channel}
	}
	return nil
}

// askFor is d with one more reason to ask a human; allow becomes ask.
func askFor(d Decision, rule, why string) Decision {
	if d.Verdict == Allow {
		d = Decision{Verdict: Ask, Set: d.Set, Grants: d.Grants, Local: d.Local, Approvers: []string{policy.Sponsor, policy.Admins}, Policies: slices.Clone(d.Policies)}
	}
	d.Policies, d.Reasons = append(slices.Clone(d.Policies), rule), append(slices.Clone(d.Reasons), why)
	return d
}

func placeWords(channels []string) string {
	var all []string
	for _, c := range channels {
		switch {
		case c == label.Everything:
			all = append(all, "many private places")
		case strings.HasPrefix(c, "D"):
			all = append(all, "a direct message")
		default:
			all = append(all, "<#"+c+">")
		}
	}
	return strings.Join(all, ", ")
}

func peopleWords(n int) string {
	switch n {
	case 0:
		return "people"
	case 1:
		return "1 more person"
	}
	return fmt.Sprintf("%d more people", n)
}

// sourceWords names sources that nobody answers for.
func sourceWords(sources []string) string {
	var all []string
	for i, s := range sources {
		if i == 3 {
			all = append(all, "and more")
			break
		}
		kind, name, _ := strings.Cut(s, ":")
		switch kind {
		case "tool":
			all = append(all, "a result of `"+strings.ReplaceAll(name, "`", "")+"`")
		case "guest", "outsider":
			all = append(all, "the "+kind+" <@"+name+">")
		case "file":
			all = append(all, "a file")
		case "bot":
			all = append(all, "a program")
		default:
			all = append(all, "others")
		}
	}
	return strings.Join(all, ", ")
}

// Flows reports that it is asked for where text would go. That is decided call by
// call: no grant lets it pass.
func (a Approval) Flows() bool {
	return slices.Contains(a.Policies, PolicyConfidential) || slices.Contains(a.Policies, PolicyUntrusted)
}

// mayRelease reports whether a person can read all the places that an approval
// would let text out of: nobody else can tell whether it may.
func (p *Approvals) mayRelease(ctx context.Context, a Approval, person string) (bool, error) {
	if len(a.Sources) == 0 {
		return true, nil
	}
	if p.gate.Readers == nil {
		return false, errors.New("there is no directory of channels")
	}
	for _, c := range a.Sources {
		if c == label.Everything {
			return false, nil
		}
		people, _, err := p.gate.Readers.Readers(ctx, a.Workspace, c)
		if err != nil {
			return false, err
		}
		if !slices.Contains(people, person) {
			return false, nil
		}
	}
	return true, nil
}
