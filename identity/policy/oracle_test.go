package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"deskmate/migrations"
)

// The oracle says what policy should say, by plain code over known values: it
// shares nothing with the compiler, and parses neither arguments nor hours.

// sample is arguments as text and what they mean.
type sample struct {
	raw    string
	broken bool
	values map[string]any // string, bool, float64; else of no use
}

var samples = []sample{
	{"", false, nil},
	{`{}`, false, nil},
	{`null`, true, nil},
	{`{"amount": 5}`, false, map[string]any{"amount": 5.0}},
	{`{"amount": 500}`, false, map[string]any{"amount": 500.0}},
	{`{"amount": 500.5, "repo": "a/b"}`, false, map[string]any{"amount": 500.5, "repo": "a/b"}},
	{`{"amount": "5", "repo": "a/c"}`, false, map[string]any{"amount": "5", "repo": "a/c"}},
	{`{"amount": 1e400}`, false, map[string]any{"amount": []any{}}},
	{`{"amount": null, "repo": ["a/b"]}`, false, map[string]any{"amount": nil, "repo": []any{}}},
	{`{"repo": "a/b", "url": "https://api.example.com/x"}`, false, map[string]any{"repo": "a/b", "url": "https://api.example.com/x"}},
	{`{"repo": "A/B", "url": "https://example.com"}`, false, map[string]any{"repo": "A/B", "url": "https://example.com"}},
	{`{"url": "https://api.example.com@evil.test/", "to": {"draft": true}}`, false, map[string]any{"url": "https://api.example.com@evil.test/", "to.draft": true}},
	{`{"url": "http://API.example.com.:80", "to": {"draft": false}}`, false, map[string]any{"url": "http://API.example.com.:80", "to.draft": false}},
	{`{"url": "ftp://api.example.com", "to": "x"}`, false, map[string]any{"url": "ftp://api.example.com", "to": "x"}},
	{`{"amount": 5, "amount": 5}`, true, nil},
	{`{"repo": "a/b", "REPO": "a/c", "amount": 5}`, true, nil},
	{`{"repo": "a/b"`, true, nil},
}

var sampleHosts = map[string]string{"https://api.example.com/x": "api.example.com", "https://example.com": "example.com", "http://API.example.com.:80": "api.example.com"}

var sampleRules = []ArgRule{
	{Name: "amount", Max: num(500)}, {Name: "amount", Min: num(500)}, {Name: "amount", Min: num(1), Max: num(5)},
	{Name: "repo", Equals: word("a/b")}, {Name: "repo", OneOf: []string{"a/b", "a/c"}}, {Name: "repo", Prefix: "a/"},
	{Name: "to.draft", Equals: word("true")}, {Name: "to.draft", OneOf: []string{"false"}},
	{Name: "url", Host: "api.example.com"}, {Name: "url", Host: "*.example.com"}, {Name: "amount", Equals: word("5")},
	{Name: "*", Only: []string{"amount", "repo"}}, {Name: "*", Only: []string{"url", "to"}},
}

// fitness is 1 for an argument that fits a rule, 0 for one that surely does not,
// -1 for what cannot be told.
func fitness(r ArgRule, s sample) int {
	if len(r.Only) > 0 {
		for name := range s.values {
			if top, _, _ := strings.Cut(name, "."); !slices.Contains(r.Only, top) {
				return 0
			}
		}
		if s.broken {
			return -1
		}
		return 1
	}
	v, ok := s.values[r.Name]
	if s.broken || !ok {
		return -1
	}
	yes := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	if r.Min != nil || r.Max != nil {
		f, ok := v.(float64)
		if !ok {
			return -1
		}
		return yes((r.Min == nil || f >= *r.Min) && (r.Max == nil || f <= *r.Max))
	}
	text, ok := v.(string)
	if b, isBool := v.(bool); isBool {
		text, ok = fmt.Sprint(b), true
	}
	switch {
	case !ok:
		return -1
	case r.Equals != nil:
		return yes(text == *r.Equals)
	case r.OneOf != nil:
		return yes(slices.Contains(r.OneOf, text))
	case r.Prefix != "":
		return yes(strings.HasPrefix(text, r.Prefix))
	}
	host, ok := sampleHosts[text]
	if !ok {
		return -1
	}
	return yes(host == r.Host || strings.HasPrefix(r.Host, "*.") && strings.HasSuffix(host, r.Host[1:]))
}

var berlin = func() *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return l
}()

var sampleHours = map[string]func(time.Time) bool{
	"": func(time.Time) bool { return true },
	"mon-fri 09:00-18:00 Europe/Berlin": func(t time.Time) bool {
		t = t.In(berlin)
		return t.Weekday() >= 1 && t.Weekday() <= 5 && t.Hour() >= 9 && t.Hour() < 18
	},
	"fri 22:00-06:00 UTC": func(t time.Time) bool {
		return t.Weekday() == 5 && t.Hour() >= 22 || t.Weekday() == 6 && t.Hour() < 6
	},
	"sat-mon,wed 00:00-12:00,13:30-24:00 UTC": func(t time.Time) bool {
		day := t.Weekday()
		return (day == 6 || day == 0 || day == 1 || day == 3) && (t.Hour() < 12 || t.Hour() > 13 || t.Hour() == 13 && t.Minute() >= 30)
	},
}

var sampleScopes = map[string]func(Request) bool{
	"workspace":       func(Request) bool { return true },
	"channel:C0ENG":   func(r Request) bool { return r.Channel == "C0ENG" },
	"channel:C0LEADS": func(r Request) bool { return r.Channel == "C0LEADS" },
	"channels:eng-*":  func(r Request) bool { return strings.HasPrefix(r.ChannelName, "eng-") },
	"channels:*":      func(r Request) bool { return r.ChannelName != "" },
	"kind:private":    func(r Request) bool { return r.ChannelKind == "private" },
	"kind:im":         func(r Request) bool { return r.ChannelKind == "im" },
}

var sampleTools = []struct{ name, connection string }{{"x", "crm"}, {"y", "crm"}, {"post", "slack"}, {"read", "slack"}}

// world is a set of grants with what was used of them.
type world struct {
	grants []Grant
	used   map[string][]time.Time
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

func maybe(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func randomGrant(r *rand.Rand, i int) Grant {
	out := Grant{ID: fmt.Sprintf("g_%03d", i), Effect: pick(r, Allow, Allow, Allow, Ask, Ask, Ask, Ask, Deny), Scope: pick(r, keys(sampleScopes)...), Justification: "random"}
	if maybe(r, 50) {
		out.Scope = "workspace"
	}
	out.Tools = pick(r, []string{"x"}, []string{"x", "y"}, []string{"crm.*"}, []string{"*"}, []string{"post", "slack.*"}, []string{"y", "crm.*"})
	one := strings.HasPrefix(out.Scope, "channel:")
	for _, w := range []string{Members, Owner, "user:U0BEN", "user:U0GIL", "group:S1"} {
		if maybe(r, 30) {
			out.Who = append(out.Who, w)
		}
	}
	for _, w := range []string{Guests, Outsiders} {
		if (one || out.Effect == Deny) && maybe(r, 40) {
			out.Who = append(out.Who, w)
		}
	}
	if one && maybe(r, 20) {
		out.Thread = "1.1"
	}
	if maybe(r, 15) {
		out.Duty = pick(r, "d_a", "d_b")
	}
	for maybe(r, 30) {
		out.Args = append(out.Args, pick(r, sampleRules...))
	}
	if maybe(r, 30) {
		out.Hours = pick(r, keys(sampleHours)...)
	}
	if out.Effect != Deny && maybe(r, 20) {
		out.Count = int64(1 + r.IntN(3))
	}
	if out.Effect != Deny && maybe(r, 20) {
		out.Rate, out.RateWindow = int64(1+r.IntN(3)), Duration(time.Hour)
	}
	if out.Effect == Ask {
		out.Quorum = r.IntN(3)
		out.Approvers = pick(r, nil, []string{Sponsor}, []string{Admins, Sponsor, "group:S9"})
		out.TTL = pick(r, 0, Duration(time.Hour), Duration(48*time.Hour))
	}
	out.ExpiresAt = start.Add(time.Duration(1+r.IntN(60*24)) * time.Hour)
	return out
}

func randomRequest(r *rand.Rand, workspace string) (Request, sample) {
	t := pick(r, sampleTools...)
	s := pick(r, samples...)
	out := Request{Workspace: workspace, Agent: "U0DESK", Tool: t.name, Connection: t.connection, Class: pick(r, "read", "write", "external"),
		Requester: pick(r, "U0ADA", "U0BEN", "U0GIL", "U0XENA"), RequesterKind: pick(r, "member", "member", "member", "member", "member", "member", "guest", "guest", "outsider", "robot", "bot", ""),
		Owner: maybe(r, 30), Duty: pick(r, "", "", "d_a", "d_b"), Thread: pick(r, "", "1.1", "1.2"), TargetMember: maybe(r, 95), Manners: maybe(r, 5),
		Args: json.RawMessage(s.raw), At: start.Add(time.Duration(r.IntN(40*24*60)) * time.Minute)}
	if maybe(r, 3) {
		out.Requester = ""
	}
	if maybe(r, 50) {
		out.Groups = []string{"S0", "S1"}
	}
	where := pick(r, [3]string{"C0ENG", "eng-core", "public"}, [3]string{"C0LEADS", "leads", "private"}, [3]string{"D0BEN", "", "im"}, [3]string{"C0ENG", "", ""}, [3]string{"", "", ""})
	out.Channel, out.ChannelName, out.ChannelKind = where[0], where[1], where[2]
	if maybe(r, 25) {
		to := pick(r, [2]string{"C0OPS", "public"}, [2]string{"C0LEADS", "private"}, [2]string{"U0ADA", "person"}, [2]string{"D0ADA", "im"})
		out.Target, out.TargetKind = to[0], to[1]
	}
	return out, s
}

func covered(g Grant, r Request) bool {
	return slices.Contains(g.Tools, "*") || slices.Contains(g.Tools, r.Tool) || slices.Contains(g.Tools, r.Connection+".*")
}

// matches says whether a grant applies, limits left aside.
func matches(g Grant, r Request, kind string, s sample) bool {
	one := strings.HasPrefix(g.Scope, "channel:")
	in := sampleScopes[g.Scope](r)
	if g.Effect == Deny { // what is not known may be it
		in = in || strings.HasPrefix(g.Scope, "kind:") && r.ChannelKind == "" ||
			strings.HasPrefix(g.Scope, "channels:") && r.ChannelName == "" && r.ChannelKind != "im" && r.ChannelKind != "mpim"
	}
	ok := covered(g, r) && g.RevokedAt.IsZero() && (g.ExpiresAt.IsZero() || r.At.Before(g.ExpiresAt)) && in &&
		(g.Thread == "" || g.Thread == r.Thread) && (g.Duty == "" || g.Duty == r.Duty) && sampleHours[g.Hours](r.At)
	for _, a := range g.Args {
		fit := fitness(a, s)
		ok = ok && (fit == 1 || fit == -1 && g.Effect == Deny)
	}
	names := g.Who
	if len(names) == 0 && g.Effect != Deny {
		names = []string{"members"}
	}
	asked := len(names) == 0
	for _, w := range names {
		asked = asked || w == kind+"s" || w == "owner" && r.Owner || w == "user:"+r.Requester || strings.HasPrefix(w, "group:") && slices.Contains(r.Groups, w[6:])
	}
	if g.Effect != Deny && !one && kind != "member" {
		here := r.Target == "" || r.Target == r.Channel
		asked = g.ID == "builtin-read" && r.Tool == "read" && here
	}
	return ok && asked
}

func (w world) spent(g Grant, at time.Time) bool {
	recent := int64(0)
	for _, t := range w.used[g.ID] {
		if t.After(at.Add(-time.Duration(g.RateWindow))) {
			recent++
		}
	}
	return g.Count > 0 && int64(len(w.used[g.ID])) >= g.Count || g.Rate > 0 && recent >= g.Rate
}

func kindOf(r Request) string {
	switch r.RequesterKind {
	case "bot":
		return "bot"
	case "member", "guest":
		if r.Requester != "" {
			return r.RequesterKind
		}
	}
	return "outsider"
}

// says is the oracle's decision.
func (w world) says(r Request, s sample) Decision {
	kind := kindOf(r)
	to, toKind := r.Target, r.TargetKind
	if to == "" {
		to, toKind = r.Channel, r.ChannelKind
	}
	here := to == r.Channel
	var forbids, allows, asks []string
	named := false
	var asking []Grant
	for _, g := range w.grants {
		named = named || g.RevokedAt.IsZero() && g.Effect != Deny && covered(g, r) && g.Scope == "channel:"+r.Channel
		if !matches(g, r, kind, s) || g.Effect != Deny && w.spent(g, r.At) {
			continue
		}
		switch g.Effect {
		case Deny:
			forbids = append(forbids, g.ID)
		case Allow:
			allows = append(allows, g.ID)
		default:
			asks, asking = append(asks, g.ID), append(asking, g)
		}
	}
	if kind == "bot" {
		forbids = append(forbids, "no-bots")
	}
	if kind != "member" && !r.Manners && !(here && (named || r.Tool == "read")) {
		forbids = append(forbids, "guests-named")
	}
	if !r.TargetMember && (to == "" || !strings.Contains("DUW", to[:1])) {
		forbids = append(forbids, "own-channels")
	}
	if r.Class == "read" && !here && toKind != "public" {
		forbids = append(forbids, "private-stays")
	}
	if r.Manners && here {
		allows = append(allows, "builtin-manners")
	}
	slices.Sort(forbids)
	slices.Sort(allows)
	switch {
	case len(forbids) > 0:
		return Decision{Verdict: Deny, Policies: forbids}
	case len(allows) > 0:
		return Decision{Verdict: Allow, Policies: allows, Grants: w.pays(allows)}
	case len(asks) > 0:
		slices.Sort(asks)
		d := Decision{Verdict: Ask, Policies: asks, Grants: w.pays(asks)}
		slices.SortFunc(asking, func(a, b Grant) int { return strings.Compare(a.ID, b.ID) })
		best := -1
		d.TTL = 1000 * time.Hour
		for _, g := range asking {
			n := max(1, g.Quorum)
			people := g.Approvers
			if len(people) == 0 {
				people = []string{"sponsor", "admins"}
			}
			if best < 0 || n > d.Quorum || n == d.Quorum && len(people) < best {
				best, d.Quorum, d.Approvers = len(people), n, people
			}
			life := time.Duration(g.TTL)
			if life == 0 {
				life = 24 * time.Hour
			}
			d.TTL = min(d.TTL, life)
		}
		return d
	}
	return Decision{Verdict: Deny, Policies: []string{"no-grant"}}
}

// pays is the grant that a use counts for: none if one of them has no limit.
func (w world) pays(ids []string) []string {
	for _, id := range ids {
		i := slices.IndexFunc(w.grants, func(g Grant) bool { return g.ID == id })
		if i < 0 || w.grants[i].Rate == 0 && w.grants[i].Count == 0 {
			return nil
		}
	}
	return ids[:1]
}

// fill stores a random world in a workspace of its own.
func fill(t *testing.T, d *desk, r *rand.Rand, workspace string) world {
	t.Helper()
	if err := d.e.Ensure(t.Context(), workspace, []BuiltinTool{{"post", "slack", "write", false}, {"read", "slack", "read", true}}); err != nil {
		t.Fatal(err)
	}
	w := world{used: map[string][]time.Time{}}
	err := d.db.Write(t.Context(), func(tx *migrations.Tx) error {
		if maybe(r, 50) {
			if _, err := d.e.RevokeTx(tx, workspace, "builtin-post", "U0ADA", "random"); err != nil {
				return err
			}
		}
		for i := range r.IntN(12) {
			g := randomGrant(r, i)
			g.Workspace = workspace
			if _, err := d.e.GrantTx(tx, "U0ADA", g); err != nil {
				return err
			}
			if maybe(r, 10) {
				if _, err := d.e.RevokeTx(tx, workspace, g.ID, "U0ADA", "random"); err != nil {
					return err
				}
			}
			for n := int64(0); (g.Count > 0 || g.Rate > 0) && n < int64(r.IntN(4)); n++ {
				when := start.Add(time.Duration(r.IntN(40*24*60)) * time.Minute)
				w.used[g.ID] = append(w.used[g.ID], when)
				if _, err := tx.Exec(`UPDATE grants SET uses = uses + 1 WHERE workspace = $1 AND id = $2`, workspace, g.ID); err != nil {
					return err
				}
				if _, err := tx.Exec(`INSERT INTO grant_uses (workspace, grant_id, used_at, use) VALUES ($1, $2, $3, $4)`,
					workspace, g.ID, migrations.Micros(when), n); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.grants, err = d.e.List(t.Context(), workspace, true); err != nil {
		t.Fatal(err)
	}
	return w
}

// POLICY_SEED=N repeats a run.
func TestDecisionsAgreeWithAnOracle(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("POLICY_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("POLICY_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	d := newDesk(t)
	verdicts := map[string]int{}
	for i := range 1000 {
		workspace := fmt.Sprintf("T%d", i)
		w := fill(t, d, r, workspace)
		for range 8 {
			request, s := randomRequest(r, workspace)
			want := w.says(request, s)
			got := d.e.Decide(context.Background(), request)
			verdicts[want.Verdict]++
			if got.Verdict != want.Verdict || !slices.Equal(got.Policies, want.Policies) || !slices.Equal(got.Grants, want.Grants) ||
				!slices.Equal(got.Approvers, want.Approvers) || got.Quorum != want.Quorum || got.TTL != want.TTL {
				grants, _ := json.MarshalIndent(w.grants, "", " ")
				t.Fatalf("POLICY_SEED=%d, set %d\nrequest %+v\narguments %s\ngot  %+v\nwant %+v\ngrants %s\nused %v", seed, i, request, request.Args, got, want, grants, w.used)
			}
			x := d.e.Explain(context.Background(), request)
			for _, c := range x.Considered {
				if g := slices.IndexFunc(w.grants, func(g Grant) bool { return g.ID == c.Policy }); g >= 0 {
					g := w.grants[g]
					if match := matches(g, request, kindOf(request), s) && !w.spent(g, request.At); match != c.Matched {
						t.Fatalf("POLICY_SEED=%d, set %d: grant %+v is explained as matched %t (%s), want %t", seed, i, g, c.Matched, c.Why, match)
					}
				}
			}
		}
	}
	t.Logf("verdicts: %v", verdicts)
	for _, v := range []string{Allow, Ask, Deny} {
		if verdicts[v] < 100 {
			t.Errorf("only %d of the requests were %s: the sets do not try it enough", verdicts[v], v)
		}
	}
}
