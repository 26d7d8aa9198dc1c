package policy

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// ask is a plain request: a member asks for x in #eng.
func ask(changes ...func(*Request)) Request {
	r := Request{Workspace: team, Agent: "U0DESK", Tool: "x", Connection: "crm", Class: "write", Requester: "U0BEN", RequesterKind: "member",
		Channel: "C0ENG", ChannelName: "eng-core", ChannelKind: "public", TargetMember: true, At: start}
	for _, c := range changes {
		c(&r)
	}
	return r
}

func tool(name, connection, class string) func(*Request) {
	return func(r *Request) { r.Tool, r.Connection, r.Class = name, connection, class }
}
func by(id, kind string, groups ...string) func(*Request) {
	return func(r *Request) { r.Requester, r.RequesterKind, r.Groups = id, kind, groups }
}
func channel(id, name, kind string) func(*Request) {
	return func(r *Request) { r.Channel, r.ChannelName, r.ChannelKind = id, name, kind }
}
func target(id, kind string, in bool) func(*Request) {
	return func(r *Request) { r.Target, r.TargetKind, r.TargetMember = id, kind, in }
}
func args(text string) func(*Request) { return func(r *Request) { r.Args = json.RawMessage(text) } }
func at(t time.Time) func(*Request)   { return func(r *Request) { r.At = t } }
func manners(r *Request)              { r.Manners = true }
func owner(r *Request)                { r.Owner = true }
func absent(r *Request)               { r.TargetMember = false }

var guest, outsider = by("U0GIL", "guest"), by("U0XENA", "outsider")

func num(f float64) *float64 { return &f }
func word(s string) *string  { return &s }

// g is a grant for x in the whole workspace, with an id.
func g(id, effect string, changes ...func(*Grant)) Grant {
	out := Grant{ID: "g_" + id, Effect: effect, Tools: []string{"x"}, Scope: "workspace", Justification: "test"}
	for _, c := range changes {
		c(&out)
	}
	return out
}
func scope(s string) func(*Grant)            { return func(g *Grant) { g.Scope = s } }
func who(w ...string) func(*Grant)           { return func(g *Grant) { g.Who = w } }
func tools(t ...string) func(*Grant)         { return func(g *Grant) { g.Tools = t } }
func rule(r ...ArgRule) func(*Grant)         { return func(g *Grant) { g.Args = r } }
func hoursOf(h string) func(*Grant)          { return func(g *Grant) { g.Hours = h } }
func ends(t time.Time) func(*Grant)          { return func(g *Grant) { g.ExpiresAt = t } }
func thread(ts string) func(*Grant)          { return func(g *Grant) { g.Thread = ts } }
func duty(id string) func(*Grant)            { return func(g *Grant) { g.Duty = id } }
func quorum(n int, a ...string) func(*Grant) { return func(g *Grant) { g.Quorum, g.Approvers = n, a } }
func ttl(d time.Duration) func(*Grant)       { return func(g *Grant) { g.TTL = Duration(d) } }

var (
	atMost500 = rule(ArgRule{Name: "amount", Max: num(500)})
	onlyRepo  = rule(ArgRule{Name: "repo", Equals: word("a/b")})
	twoRepos  = rule(ArgRule{Name: "repo", OneOf: []string{"a/b", "a/c"}})
	ourHost   = rule(ArgRule{Name: "url", Host: "*.example.com"})
	noon      = time.Date(2026, 3, 6, 12, 0, 0, 0, time.UTC) // a Friday
)

var cases = []struct {
	name    string
	grants  []Grant
	request Request
	verdict string
	by      string // policies of the decision
	reason  string // part of one of the reasons
}{
	// Nothing, and who.
	{"what nothing allows is denied", nil, ask(), Deny, "no-grant", "no grant lets me use `x` in <#C0ENG>"},
	{"in a direct message it says so", nil, ask(channel("D0BEN", "", "im")), Deny, "no-grant", "in this direct message"},
	{"a member by a plain grant", []Grant{g("1", Allow)}, ask(), Allow, "g_1", ""},
	{"a grant for another tool", []Grant{g("1", Allow, tools("y"))}, ask(), Deny, "no-grant", "no grant lets me use `x`"},
	{"a guest in a grant for members", []Grant{g("1", Allow)}, ask(guest), Deny, "guests-named", "only full members may ask for it, and a guest did"},
	{"an outsider in a grant for members", []Grant{g("1", Allow)}, ask(outsider), Deny, "guests-named", "and an outsider"},
	{"a guest named where the scope is the channel", []Grant{g("1", Allow, scope("channel:C0ENG"), who(Guests))}, ask(guest), Allow, "g_1", ""},
	{"an outsider is not a guest", []Grant{g("1", Allow, scope("channel:C0ENG"), who(Guests))}, ask(outsider), Deny, "no-grant", "only guests may ask for it by grant g_1"},
	{"an outsider named where the scope is the channel", []Grant{g("1", Allow, scope("channel:C0ENG"), who(Outsiders))}, ask(outsider), Allow, "g_1", ""},
	{"a guest by id in the whole workspace", []Grant{g("1", Allow, who("user:U0GIL"))}, ask(guest), Deny, "guests-named", "only full members"},
	{"a guest by id in one channel", []Grant{g("1", Allow, scope("channel:C0ENG"), who("user:U0GIL"))}, ask(guest), Allow, "g_1", ""},
	{"a guest by id where another grant names the channel", []Grant{g("1", Allow, who("user:U0GIL")), g("2", Allow, scope("channel:C0ENG"), onlyRepo, who(Guests))},
		ask(guest), Deny, "no-grant", "`repo` is missing"},
	{"a guest by id where channels fit a pattern", []Grant{g("1", Allow, scope("channels:eng-*"), who("user:U0GIL"))}, ask(guest), Deny, "guests-named", ""},
	{"a guest in a group of one channel", []Grant{g("1", Ask, scope("channel:C0ENG"), who("group:S1"))}, ask(by("U0GIL", "guest", "S1")), Ask, "g_1", ""},
	{"a guest in the channel next door", []Grant{g("1", Allow, scope("channel:C0OPS"), who(Guests))}, ask(guest), Deny, "guests-named", ""},
	{"an unknown kind is an outsider", []Grant{g("1", Allow, scope("channel:C0ENG"), who(Outsiders))}, ask(by("U0WHO", "robot")), Allow, "g_1", ""},
	{"an unknown kind is not a member", []Grant{g("1", Allow)}, ask(by("U0WHO", "")), Deny, "guests-named", ""},
	{"nobody is not a member", []Grant{g("1", Allow)}, ask(by("", "member")), Deny, "guests-named", ""},
	{"a bot by its id", []Grant{g("1", Allow, scope("channel:C0ENG"), who("user:U0BOT"))}, ask(by("U0BOT", "bot")), Deny, "no-bots", "nothing for bots"},
	{"a bot with manners", nil, ask(by("U0BOT", "bot"), manners), Deny, "no-bots", "nothing for bots"},
	{"a named member", []Grant{g("1", Allow, who("user:U0BEN"))}, ask(), Allow, "g_1", ""},
	{"another member than the named", []Grant{g("1", Allow, who("user:U0CHLOE"))}, ask(), Deny, "no-grant", "only <@U0CHLOE> may ask for it by grant g_1"},
	{"a member of a group", []Grant{g("1", Allow, who("group:S1"))}, ask(by("U0BEN", "member", "S0", "S1")), Allow, "g_1", ""},
	{"a member of another group", []Grant{g("1", Allow, who("group:S1"))}, ask(by("U0BEN", "member", "S2")), Deny, "no-grant", "user group S1"},
	{"the owner of the duty", []Grant{g("1", Allow, who(Owner))}, ask(owner), Allow, "g_1", ""},
	{"not the owner of the duty", []Grant{g("1", Allow, who(Owner))}, ask(), Deny, "no-grant", "the owner of the duty"},

	// Tools.
	{"a tool by its connection", []Grant{g("1", Allow, tools("crm.*"))}, ask(), Allow, "g_1", ""},
	{"a tool of another connection", []Grant{g("1", Allow, tools("erp.*"))}, ask(), Deny, "no-grant", ""},
	{"every tool", []Grant{g("1", Allow, tools("*"))}, ask(), Allow, "g_1", ""},
	{"one of many tools, and a connection", []Grant{g("1", Allow, tools("a", "x", "erp.*"))}, ask(), Allow, "g_1", ""},
	{"a tool named like a connection", []Grant{g("1", Allow, tools("crm"))}, ask(), Deny, "no-grant", ""},
	{"names differ in case", []Grant{g("1", Allow)}, ask(tool("X", "crm", "write")), Deny, "no-grant", "`X`"},
	{"a tool's name is shown harmless", nil, ask(tool("<!channel>`", "crm", "write")), Deny, "no-grant", "`&lt;!channel&gt;'`"},

	// Scopes.
	{"in the channel", []Grant{g("1", Allow, scope("channel:C0ENG"))}, ask(), Allow, "g_1", ""},
	{"in another channel", []Grant{g("1", Allow, scope("channel:C0OPS"))}, ask(), Deny, "no-grant", "in <#C0ENG>"},
	{"a pattern of names", []Grant{g("1", Allow, scope("channels:eng-*"))}, ask(), Allow, "g_1", ""},
	{"a pattern in the middle", []Grant{g("1", Allow, scope("channels:*g-c*e"))}, ask(), Allow, "g_1", ""},
	{"a pattern is for the whole name", []Grant{g("1", Allow, scope("channels:eng"))}, ask(), Deny, "no-grant", ""},
	{"a direct message is in no pattern", []Grant{g("1", Allow, scope("channels:*"))}, ask(channel("D0BEN", "", "im")), Deny, "no-grant", ""},
	{"a kind of channel", []Grant{g("1", Allow, scope("kind:public"))}, ask(), Allow, "g_1", ""},
	{"another kind of channel", []Grant{g("1", Allow, scope("kind:private"))}, ask(), Deny, "no-grant", ""},
	{"a kind that is not known", []Grant{g("1", Allow, scope("kind:public"))}, ask(channel("C0ENG", "eng", "")), Deny, "no-grant", ""},
	{"in the thread", []Grant{g("1", Allow, scope("channel:C0ENG"), thread("1.2"))}, ask(func(r *Request) { r.Thread = "1.2" }), Allow, "g_1", ""},
	{"in another thread", []Grant{g("1", Allow, scope("channel:C0ENG"), thread("1.2"))}, ask(func(r *Request) { r.Thread = "1.3" }), Deny, "no-grant", "holds only in another thread"},
	{"for the duty", []Grant{g("1", Allow, duty("d_a"))}, ask(func(r *Request) { r.Duty = "d_a" }), Allow, "g_1", ""},
	{"for another duty", []Grant{g("1", Allow, duty("d_a"))}, ask(func(r *Request) { r.Duty = "d_b" }), Deny, "no-grant", "holds only for the duty d_a"},
	{"for a duty, asked by a person", []Grant{g("1", Allow, duty("d_a"))}, ask(), Deny, "no-grant", "holds only for the duty d_a"},
	{"in advance for a duty, beside an ask", []Grant{g("1", Allow, duty("d_a"), onlyRepo), g("2", Ask)}, ask(args(`{"repo": "a/b"}`), func(r *Request) { r.Duty = "d_a" }), Allow, "g_1", ""},
	{"in advance for other arguments", []Grant{g("1", Allow, duty("d_a"), onlyRepo), g("2", Ask)}, ask(args(`{"repo": "a/c"}`), func(r *Request) { r.Duty = "d_a" }), Ask, "g_2", ""},
	{"in advance, never what is denied", []Grant{g("1", Allow, duty("d_a")), g("2", Deny)}, ask(func(r *Request) { r.Duty = "d_a" }), Deny, "g_2", ""},

	// Arguments.
	{"no other arguments", []Grant{g("1", Allow, rule(ArgRule{Name: "*", Only: []string{"repo"}}))}, ask(args(`{"repo": "a/b"}`)), Allow, "g_1", ""},
	{"another argument", []Grant{g("1", Allow, rule(ArgRule{Name: "*", Only: []string{"repo"}}))}, ask(args(`{"repo": "a/b", "force": true}`)), Deny, "no-grant", ""},
	{"arguments that cannot be judged", []Grant{g("1", Allow, rule(ArgRule{Name: "*", Only: []string{"repo"}}))}, ask(args(`{"repo"`)), Deny, "no-grant", ""},
	{"a number within", []Grant{g("1", Allow, atMost500)}, ask(args(`{"amount": 500}`)), Allow, "g_1", ""},
	{"a number beyond", []Grant{g("1", Allow, atMost500)}, ask(args(`{"amount": 900}`)), Deny, "no-grant", "`amount` is 900, and grant g_1 allows at most 500"},
	{"a number beyond by a little", []Grant{g("1", Allow, atMost500)}, ask(args(`{"amount": 500.00000000000000001}`)), Deny, "no-grant", "at most 500"},
	{"a number as a text", []Grant{g("1", Allow, atMost500)}, ask(args(`{"amount": "5"}`)), Deny, "no-grant", "cannot be judged"},
	{"a number out of range", []Grant{g("1", Allow, atMost500)}, ask(args(`{"amount": -1e999}`)), Deny, "no-grant", "cannot be judged"},
	{"a number that is missing", []Grant{g("1", Allow, atMost500)}, ask(), Deny, "no-grant", "`amount` is missing, and grant g_1 allows at most 500"},
	{"a number twice", []Grant{g("1", Allow, atMost500)}, ask(args(`{"amount": 1, "amount": 900}`)), Deny, "no-grant", "is there twice"},
	{"a number twice in two cases", []Grant{g("1", Allow, atMost500)}, ask(args(`{"amount": 1, "Amount": 900}`)), Deny, "no-grant", "is there twice"},
	{"arguments that are no object", []Grant{g("1", Allow, atMost500)}, ask(args(`[500]`)), Deny, "no-grant", "not an object"},
	{"arguments that are no JSON", []Grant{g("1", Allow, atMost500)}, ask(args(`{"amount": 1`)), Deny, "no-grant", "read arguments"},
	{"arguments that no grant goes by", []Grant{g("1", Allow)}, ask(args(`{`)), Allow, "g_1", ""},
	{"the same text", []Grant{g("1", Allow, onlyRepo)}, ask(args(`{"repo": "a/b"}`)), Allow, "g_1", ""},
	{"another text", []Grant{g("1", Allow, onlyRepo)}, ask(args(`{"repo": "a/bc"}`)), Deny, "no-grant", "`repo` is `a/bc`, and grant g_1 allows only `a/b`"},
	{"one of several texts", []Grant{g("1", Allow, twoRepos)}, ask(args(`{"repo": "a/c"}`)), Allow, "g_1", ""},
	{"none of several texts", []Grant{g("1", Allow, twoRepos)}, ask(args(`{"repo": "a/d"}`)), Deny, "no-grant", "only `a/b`, `a/c`"},
	{"a boolean by its word", []Grant{g("1", Allow, rule(ArgRule{Name: "draft", Equals: word("true")}))}, ask(args(`{"draft": true}`)), Allow, "g_1", ""},
	{"an argument inside another", []Grant{g("1", Allow, rule(ArgRule{Name: "to.team", Equals: word("a")}))}, ask(args(`{"to": {"team": "a"}}`)), Allow, "g_1", ""},
	{"a name with a dot is not inside", []Grant{g("1", Allow, rule(ArgRule{Name: "to.team", Equals: word("a")}))}, ask(args(`{"to.team": "a"}`)), Deny, "no-grant", "is missing"},
	{"a text that begins so", []Grant{g("1", Allow, rule(ArgRule{Name: "path", Prefix: "docs/"}))}, ask(args(`{"path": "docs/a"}`)), Allow, "g_1", ""},
	{"a text that begins otherwise", []Grant{g("1", Allow, rule(ArgRule{Name: "path", Prefix: "docs/"}))}, ask(args(`{"path": "/docs/a"}`)), Deny, "no-grant", "only what begins with `docs/`"},
	{"a host", []Grant{g("1", Allow, ourHost)}, ask(args(`{"url": "HTTPS://Api.Example.com.:443/a?b"}`)), Allow, "g_1", ""},
	{"a host before the at sign", []Grant{g("1", Allow, ourHost)}, ask(args(`{"url": "https://api.example.com@evil.test/"}`)), Deny, "no-grant", "only the host *.example.com"},
	{"a secret is not told", []Grant{g("1", Allow, rule(ArgRule{Name: "api_key", Equals: word("a")}))}, ask(args(`{"api_key": "hunter2"}`)), Deny, "no-grant", "`api_key` is (not shown)"},
	{"one rule of two fails", []Grant{g("1", Allow, rule(ArgRule{Name: "a", Equals: word("1")}, ArgRule{Name: "b", Min: num(2)}))}, ask(args(`{"a": "1", "b": 1}`)), Deny, "no-grant", "at least 2"},

	// Time.
	{"within the hours", []Grant{g("1", Allow, hoursOf("mon-fri 09:00-18:00 Europe/Berlin"))}, ask(at(noon)), Allow, "g_1", ""},
	{"outside the hours", []Grant{g("1", Allow, hoursOf("mon-fri 09:00-18:00 Europe/Berlin"))}, ask(at(noon.Add(5 * time.Hour))), Deny, "no-grant", "it is Fri 18:00, and grant g_1 holds mon-fri 09:00-18:00 Europe/Berlin"},
	{"the night after Friday", []Grant{g("1", Allow, hoursOf("fri 22:00-06:00 UTC"))}, ask(at(noon.Add(17 * time.Hour))), Allow, "g_1", ""},
	{"a moment before its end", []Grant{g("1", Allow, ends(noon))}, ask(at(noon.Add(-time.Microsecond))), Allow, "g_1", ""},
	{"at its end", []Grant{g("1", Allow, ends(noon))}, ask(at(noon)), Deny, "no-grant", "grant g_1 for it ended on 2026-03-06 12:00 UTC"},

	// Ask.
	{"an ask", []Grant{g("1", Ask)}, ask(), Ask, "g_1", "grant g_1 (by <@U0ADA>: test) asks for an approval"},
	{"an allow spares the ask", []Grant{g("1", Ask), g("2", Allow)}, ask(), Allow, "g_2", ""},
	{"an allow that does not match leaves the ask", []Grant{g("1", Ask), g("2", Allow, atMost500)}, ask(args(`{"amount": 501}`)), Ask, "g_1", ""},
	{"all asks that match are told", []Grant{g("1", Ask), g("2", Ask), g("3", Ask, scope("kind:im"))}, ask(), Ask, "g_1 g_2", "g_2"},

	// Deny.
	{"a deny beats an allow", []Grant{g("1", Allow), g("2", Deny)}, ask(), Deny, "g_2", "grant g_2 (by <@U0ADA>: test) denies it"},
	{"a deny beats an ask", []Grant{g("1", Ask), g("2", Deny)}, ask(), Deny, "g_2", ""},
	{"a deny beats manners", []Grant{g("2", Deny)}, ask(manners), Deny, "g_2", ""},
	{"a deny without who is for everybody", []Grant{g("1", Allow, scope("channel:C0ENG"), who(Guests)), g("2", Deny)}, ask(guest), Deny, "g_2", ""},
	{"a deny for guests, anywhere", []Grant{g("1", Allow, scope("channel:C0ENG"), who(Guests)), g("2", Deny, who(Guests))}, ask(guest), Deny, "g_2", ""},
	{"a deny for guests is not for members", []Grant{g("1", Allow), g("2", Deny, who(Guests))}, ask(), Allow, "g_1", ""},
	{"a deny of what is surely otherwise", []Grant{g("1", Allow), g("2", Deny, rule(ArgRule{Name: "amount", Min: num(500)}))}, ask(args(`{"amount": 499}`)), Allow, "g_1", ""},
	{"a deny of a number", []Grant{g("1", Allow), g("2", Deny, rule(ArgRule{Name: "amount", Min: num(500)}))}, ask(args(`{"amount": 500}`)), Deny, "g_2", ""},
	{"a deny is not dodged by another type", []Grant{g("1", Allow), g("2", Deny, rule(ArgRule{Name: "amount", Min: num(500)}))}, ask(args(`{"amount": "900"}`)), Deny, "g_2", ""},
	{"a deny is not dodged by leaving out", []Grant{g("1", Allow), g("2", Deny, onlyRepo)}, ask(args(`{}`)), Deny, "g_2", ""},
	{"a deny is not dodged by a list", []Grant{g("1", Allow), g("2", Deny, onlyRepo)}, ask(args(`{"repo": ["a/b"]}`)), Deny, "g_2", ""},
	{"a deny is not dodged by broken arguments", []Grant{g("1", Allow), g("2", Deny, onlyRepo)}, ask(args(`{"repo": "c", "repo": "a/b"}`)), Deny, "g_2", ""},
	{"a deny of one text", []Grant{g("1", Allow), g("2", Deny, onlyRepo)}, ask(args(`{"repo": "c/d"}`)), Allow, "g_1", ""},
	{"a deny by a pattern where the name is not known", []Grant{g("1", Allow), g("2", Deny, scope("channels:ops-*"))}, ask(channel("C0ENG", "", "public")), Deny, "g_2", ""},
	{"a deny by a pattern in a direct message", []Grant{g("1", Allow), g("2", Deny, scope("channels:*"))}, ask(channel("D0BEN", "", "im")), Allow, "g_1", ""},
	{"a deny by a kind that is not known", []Grant{g("1", Allow), g("2", Deny, scope("kind:shared"))}, ask(channel("C0ENG", "eng", "")), Deny, "g_2", ""},
	{"a deny that has ended", []Grant{g("1", Allow), g("2", Deny, ends(noon))}, ask(at(noon)), Allow, "g_1", ""},

	// Rules that always hold.
	{"answers where it works, to anybody", nil, ask(outsider, manners), Allow, "builtin-manners", ""},
	{"answers elsewhere", nil, ask(manners, target("C0OPS", "public", true)), Deny, "no-grant", ""},
	{"a channel that the agent is not in", []Grant{g("1", Allow)}, ask(target("C0OPS", "public", false)), Deny, "own-channels", "I am not in <#C0OPS>; invite me there first"},
	{"its own place that it is not in", []Grant{g("1", Allow)}, ask(absent, manners), Deny, "own-channels", ""},
	{"a person", []Grant{g("1", Allow)}, ask(target("U0ADA", "person", false)), Allow, "g_1", ""},
	{"a direct message", []Grant{g("1", Allow)}, ask(target("D0ADA", "im", false)), Allow, "g_1", ""},
	{"no target and no channel", []Grant{g("1", Allow)}, ask(channel("", "", ""), absent), Deny, "own-channels", ""},
	{"reading a public channel elsewhere", []Grant{g("1", Allow)}, ask(tool("x", "crm", "read"), target("C0OPS", "public", true)), Allow, "g_1", ""},
	{"reading a private channel elsewhere", []Grant{g("1", Allow)}, ask(tool("x", "crm", "read"), target("C0LEADS", "private", true)), Deny, "private-stays", "not read out elsewhere"},
	{"reading a channel of no known kind elsewhere", []Grant{g("1", Allow)}, ask(tool("x", "crm", "read"), target("C0LEADS", "", true)), Deny, "private-stays", ""},
	{"reading the private channel itself", []Grant{g("1", Allow)}, ask(tool("x", "crm", "read"), channel("C0LEADS", "leads", "private")), Allow, "g_1", ""},
	{"writing to a private channel", []Grant{g("1", Allow)}, ask(target("C0LEADS", "private", true)), Allow, "g_1", ""},

	// What comes with the installation.
	{"a member's built-in tool", nil, ask(tool("post", "slack", "write")), Allow, "builtin-post", ""},
	{"a guest's built-in tool", nil, ask(tool("post", "slack", "write"), guest), Deny, "guests-named", ""},
	{"a guest's built-in tool that is for guests", nil, ask(tool("read", "slack", "read"), guest), Allow, "builtin-read", ""},
	{"the same elsewhere", nil, ask(tool("read", "slack", "read"), guest, target("C0OPS", "public", true)), Deny, "guests-named", ""},
	{"the same of another connection", nil, ask(tool("read", "evil", "read"), guest), Deny, "guests-named", ""},

	// Facts that are missing.
	{"no class", []Grant{g("1", Allow)}, ask(tool("x", "crm", "")), Deny, "error", "the class"},
	{"no connection", []Grant{g("1", Allow)}, ask(tool("x", "", "write")), Deny, "error", "must be known"},
	{"no workspace", []Grant{g("1", Allow)}, ask(func(r *Request) { r.Workspace = "" }), Deny, "error", "must be known"},
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			if err := d.e.Ensure(t.Context(), team, []BuiltinTool{{"post", "slack", "write", false}, {"read", "slack", "read", true}}); err != nil {
				t.Fatal(err)
			}
			for _, g := range c.grants {
				d.grant(g)
			}
			got := d.e.Decide(t.Context(), c.request)
			if got.Verdict != c.verdict || !contains(got.Policies, strings.Fields(c.by)) {
				t.Fatalf("got %s by %v because %q, want %s by %s", got.Verdict, got.Policies, got.Reasons, c.verdict, c.by)
			}
			if !strings.Contains(strings.Join(got.Reasons, "\n"), c.reason) {
				t.Errorf("got the reasons %q, want %q", got.Reasons, c.reason)
			}
			if (got.Verdict == Allow) != (len(got.Reasons) == 0) {
				t.Errorf("%s with the reasons %q", got.Verdict, got.Reasons)
			}
			explained := d.e.Explain(t.Context(), c.request)
			if explained.Decision.Verdict != got.Verdict {
				t.Errorf("explained as %s", explained.Decision.Verdict)
			}
			if c.by != "error" {
				agrees(t, d.e, c.request, explained)
			}
		})
	}
}

// contains tells whether all of want are in got.
func contains(got, want []string) bool {
	for _, w := range want {
		if !slices.Contains(got, w) {
			return false
		}
	}
	return true
}

// agrees fails unless the explanation calls those policies matching that made
// the decision, and unless the request and its entities fit the schema.
func agrees(t *testing.T, e *Engine, r Request, x Explanation) {
	t.Helper()
	_, ts, q, err := e.judge(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range x.Considered {
		if slices.Contains(x.Decision.Policies, c.Policy) && !c.Matched {
			t.Errorf("%s made the decision, and its explanation is: %s", c.Policy, c.Why)
		}
		if c.Why == "" || c.Text == "" {
			t.Errorf("%s has no explanation", c.Policy)
		}
	}
	v, err := validator()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Request(types.Request{Principal: types.NewEntityUID(typeAgent, "U0DESK"), Action: callAction, Resource: ts.resource, Context: q.context}); err != nil {
		t.Errorf("the request does not fit the schema: %v", err)
	}
	if err := v.Entities(ts.entities); err != nil {
		t.Errorf("the entities do not fit the schema: %v", err)
	}
}

func TestAskTakesTheStrictest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		grants    []Grant
		approvers []string
		quorum    int
		ttl       time.Duration
	}{
		"what is left out":                {[]Grant{g("1", Ask)}, []string{Sponsor, Admins}, 1, 24 * time.Hour},
		"the higher quorum":               {[]Grant{g("1", Ask, quorum(1, Sponsor)), g("2", Ask, quorum(2, Admins, Sponsor, "group:S1"))}, []string{Admins, Sponsor, "group:S1"}, 2, 24 * time.Hour},
		"the fewer approvers":             {[]Grant{g("1", Ask, quorum(1, Admins, Sponsor)), g("2", Ask, quorum(0, "user:U0ADA"))}, []string{"user:U0ADA"}, 1, 24 * time.Hour},
		"the first id":                    {[]Grant{g("2", Ask, quorum(1, Admins)), g("1", Ask, quorum(1, Sponsor))}, []string{Sponsor}, 1, 24 * time.Hour},
		"the shortest time, of any":       {[]Grant{g("1", Ask, quorum(2, Admins), ttl(2*time.Hour)), g("2", Ask, ttl(time.Hour)), g("3", Ask)}, []string{Admins}, 2, time.Hour},
		"only of those that match":        {[]Grant{g("1", Ask), g("2", Ask, quorum(5, Admins), scope("kind:im"))}, []string{Sponsor, Admins}, 1, 24 * time.Hour},
		"an allow that fails has no word": {[]Grant{g("1", Ask), g("2", Allow, atMost500)}, []string{Sponsor, Admins}, 1, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			for _, g := range c.grants {
				d.grant(g)
			}
			got := d.e.Decide(t.Context(), ask())
			if got.Verdict != Ask || !slices.Equal(got.Approvers, c.approvers) || got.Quorum != c.quorum || got.TTL != c.ttl {
				t.Errorf("got %+v, want %v of %v in %v", got, c.quorum, c.approvers, c.ttl)
			}
		})
	}
}

func TestABundleCoversItsTools(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	put := func(tools ...string) {
		t.Helper()
		if _, err := d.e.PutBundle(t.Context(), "U0ADA", Bundle{Name: "docs", Workspace: team, Tools: tools}); err != nil {
			t.Fatal(err)
		}
	}
	put("x", "y")
	d.grant(Grant{ID: "g_1", Bundle: "docs", Scope: "channel:C0ENG"})
	before := d.e.Decide(t.Context(), ask())
	if before.Verdict != Allow {
		t.Errorf("a tool of the bundle: got %+v", before)
	}
	if got := d.e.Decide(t.Context(), ask(channel("C0OPS", "ops", "public"))); got.Verdict != Deny {
		t.Errorf("outside the scope of the grant: got %+v", got)
	}
	put("y", "z")
	if got := d.e.Decide(t.Context(), ask()); got.Verdict != Deny || got.Set == before.Set {
		t.Errorf("a tool that the bundle lost: got %+v", got)
	}
	if got := d.e.Decide(t.Context(), ask(tool("z", "crm", "read"))); got.Verdict != Allow {
		t.Errorf("a tool that the bundle got: got %+v", got)
	}
}

// A policy that cannot be evaluated must not be skipped: cedar-go would allow
// what a forbid that failed was to forbid.
func TestAnEvaluationThatFailsDenies(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`forbid (principal, action, resource) when { context.taint.contains("private") };`,
		`forbid (principal, action, resource) when { context.class < 3 };`,
		`permit (principal, action, resource) when { context.nowhere == 1 };`,
		`permit (principal, action == Action::"call_with_approval", resource) when { resource.price + 9223372036854775807 > 1 };`,
	} {
		for name, effect := range map[string]string{"allow": Allow, "ask": Ask} {
			t.Run(name+" "+text, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t)
				d.grant(g("1", effect))
				if got := d.e.Decide(t.Context(), ask()); got.Verdict != effect {
					t.Fatalf("before: got %+v", got)
				}
				var bad cedar.Policy
				if err := bad.UnmarshalCedar([]byte(text)); err != nil {
					t.Fatal(err)
				}
				if _, err := valid("bad", bad.AST()); err == nil {
					t.Error("the schema let it pass")
				}
				ts, err := d.e.cached(team).tool("x", "crm")
				if err != nil {
					t.Fatal(err)
				}
				ts.policies.Add("bad", &bad)
				got := d.e.Decide(t.Context(), ask())
				// What only concerns approvals is not evaluated for a plain allow.
				if strings.Contains(text, "call_with_approval") && effect == Allow {
					if got.Verdict != Allow {
						t.Errorf("got %+v, want what does not concern it to leave it", got)
					}
					return
				}
				if got.Verdict != Deny || !slices.Equal(got.Policies, []string{"error"}) || !strings.Contains(got.Reasons[0], "policy bad cannot be evaluated") {
					t.Errorf("got %+v, want a denial by error", got)
				}
				if x := d.e.Explain(t.Context(), ask()); x.Decision.Verdict != Deny {
					t.Errorf("explained as %+v", x.Decision)
				}
			})
		}
	}
}

func TestARowThatCannotBeReadDenies(t *testing.T) {
	t.Parallel()
	for _, change := range []string{`UPDATE grants SET tools = '{'`, `UPDATE grants SET scope = 'moon'`, `UPDATE grants SET hours = 'never'`,
		`UPDATE grants SET who = '["somebody"]'`, `UPDATE grants SET bundle = 'gone', tools = 'null'`} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.grant(g("1", Allow, tools("y")))
			d.grant(g("2", Allow))
			d.exec(change + ` WHERE id = 'g_1'`)
			if got := d.e.Decide(t.Context(), ask()); got.Verdict != Deny || got.Policies[0] != "error" {
				t.Errorf("got %+v, want a denial by error", got)
			}
		})
	}
	d := newDesk(t)
	d.grant(g("1", Allow))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := d.e.Decide(ended, ask()); got.Verdict != Deny || got.Policies[0] != "error" {
		t.Errorf("a store that does not answer: got %+v, want a denial by error", got)
	}
}
