package tracker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// people may have issues assigned to them.
var people = []string{"Ada", "Ben", "Chloe"}

const (
	issueSchema = `"issue": {"type": "string", "pattern": "^HB-[1-9][0-9]{0,8}$", "description": "Issue id, for example HB-3"}`
	keySchema   = `"idempotency_key": {"type": "string", "minLength": 8, "maxLength": 200, "description": "A string that you choose for this one wish. Sent again with the same arguments, nothing is done twice and the first result comes back."}`
	pageSize    = 20
)

func object(required, properties string) json.RawMessage {
	return json.RawMessage(`{"type": "object", "additionalProperties": false, "required": [` + required + `], "properties": {` + properties + `}}`)
}

// desk is the tools over one store, used by one account.
type desk struct {
	store   *store
	account string
}

func hint(b bool) *bool { return &b }

// offer adds the tools. All of them act on the tracker alone: no open world.
// The schemas name no defaults: go-sdk v1.8.0 panics when it fills one into a
// call whose arguments are null.
func (d *desk) offer(s *mcp.Server) {
	reads := func(title string) *mcp.ToolAnnotations {
		return &mcp.ToolAnnotations{Title: title, ReadOnlyHint: true, DestructiveHint: hint(false), IdempotentHint: true, OpenWorldHint: hint(false)}
	}
	writes := func(title string, destroys, again bool) *mcp.ToolAnnotations {
		return &mcp.ToolAnnotations{Title: title, DestructiveHint: hint(destroys), IdempotentHint: again, OpenWorldHint: hint(false)}
	}
	mcp.AddTool(s, &mcp.Tool{Name: "list_issues", Annotations: reads("List issues"),
		Description: "List issues, newest first, in short form. Filters narrow each other. Open issues only, unless state says otherwise. When next_cursor is there, more follow: call again with it as cursor and the same filters.",
		InputSchema: object(``, `"state": {"type": "string", "enum": ["open", "closed", "all"], "description": "open if not given"},
			"label": {"type": "string", "description": "Only issues with exactly this label: bug, feature, ops, docs, payments, customer"},
			"assignee": {"type": "string", "description": "Only issues of this person; \"nobody\" for those that no one has"},
			"text": {"type": "string", "description": "Only issues whose title, body or comments contain this text, in any case"},
			"limit": {"type": "integer", "minimum": 1, "maximum": 50, "description": "20 if not given"},
			"cursor": {"type": "string", "description": "next_cursor of the page before"}`)}, d.list)
	mcp.AddTool(s, &mcp.Tool{Name: "get_issue", Annotations: reads("Read an issue"),
		Description: "Read one issue whole: body, labels, assignee and every comment with its author and time.",
		InputSchema: object(`"issue"`, issueSchema)}, d.get)
	mcp.AddTool(s, &mcp.Tool{Name: "create_issue", Annotations: writes("Create an issue", false, true),
		Description: "Create an open issue and return it. Search first, so that the same thing is not filed twice. Always needs an idempotency_key.",
		InputSchema: object(`"title", "idempotency_key"`, `"title": {"type": "string", "minLength": 1, "maxLength": 200},
			"body": {"type": "string", "maxLength": 20000},
			"labels": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 40}, "maxItems": 10},
			"assignee": {"type": "string", "enum": ["Ada", "Ben", "Chloe"]}, `+keySchema)}, d.create)
	mcp.AddTool(s, &mcp.Tool{Name: "comment", Annotations: writes("Comment on an issue", false, false),
		Description: "Add a comment under an issue, open or closed. Everybody who can see the tracker reads it. Without an idempotency_key each call adds one more.",
		InputSchema: object(`"issue", "body"`, issueSchema+`, "body": {"type": "string", "minLength": 1, "maxLength": 20000}, `+keySchema)}, d.comment)
	mcp.AddTool(s, &mcp.Tool{Name: "close_issue", Annotations: writes("Close an issue", true, true),
		Description: "Close an issue. Closing one that is closed already changes nothing. There is no tool to open it again.",
		InputSchema: object(`"issue"`, issueSchema)}, d.close)
	mcp.AddTool(s, &mcp.Tool{Name: "assign", Annotations: writes("Assign an issue", true, true),
		Description: "Give an issue to one person, in place of whoever has it now; \"nobody\" takes it from them.",
		InputSchema: object(`"issue", "assignee"`, issueSchema+`, "assignee": {"type": "string", "enum": ["Ada", "Ben", "Chloe", "nobody"]}`)}, d.assign)
}

// Summary is one line of a list.
type Summary struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	State    string    `json:"state"`
	Labels   []string  `json:"labels"`
	Assignee string    `json:"assignee,omitempty"`
	Comments int       `json:"comments" jsonschema:"how many there are"`
	Updated  time.Time `json:"updated"`
}

// Page is the answer of list_issues.
type Page struct {
	Issues     []Summary `json:"issues"`
	Matching   int       `json:"matching" jsonschema:"how many issues match, on all pages"`
	NextCursor string    `json:"next_cursor,omitempty" jsonschema:"absent on the last page"`
}

// One is the answer of every tool about a single issue.
type One struct {
	Issue   Issue `json:"issue"`
	Changed bool  `json:"changed" jsonschema:"false if nothing had to be done"`
}

type listArgs struct {
	State    string `json:"state"`
	Label    string `json:"label"`
	Assignee string `json:"assignee"`
	Text     string `json:"text"`
	Limit    int    `json:"limit"`
	Cursor   string `json:"cursor"`
}

func (a listArgs) match(is Issue) bool {
	if a.State != "all" && is.State != a.State ||
		a.Label != "" && !slices.Contains(is.Labels, a.Label) {
		return false
	}
	if a.Assignee != "" && is.Assignee != a.Assignee && !(a.Assignee == "nobody" && is.Assignee == "") {
		return false
	}
	text := is.Title + "\n" + is.Body
	for _, c := range is.Comments {
		text += "\n" + c.Body
	}
	return strings.Contains(strings.ToLower(text), strings.ToLower(a.Text))
}

func (d *desk) list(_ context.Context, _ *mcp.CallToolRequest, a listArgs) (*mcp.CallToolResult, Page, error) {
	if a.Limit == 0 {
		a.Limit = pageSize
	}
	if a.State == "" {
		a.State = "open"
	}
	// The cursor is the id of the last issue shown: issues are never deleted or
	// renumbered, so pages neither repeat nor skip while others write.
	below := 0
	if a.Cursor != "" {
		var err error
		if below, err = number(a.Cursor); err != nil {
			return nil, Page{}, fmt.Errorf("list issues: %q is no cursor of this tracker; start again without one", a.Cursor)
		}
	}
	p := Page{Issues: []Summary{}}
	err := d.store.view(func(st *state) error {
		for _, is := range slices.Backward(st.Issues) {
			if !a.match(is) {
				continue
			}
			p.Matching++
			if below > 0 && is.Number >= below {
				continue
			}
			if len(p.Issues) == a.Limit {
				p.NextCursor = p.Issues[a.Limit-1].ID
				continue
			}
			p.Issues = append(p.Issues, Summary{ID: is.ID, Title: is.Title, State: is.State, Labels: is.Labels,
				Assignee: is.Assignee, Comments: len(is.Comments), Updated: is.Updated})
		}
		return nil
	})
	if err != nil {
		return nil, Page{}, fmt.Errorf("list issues: %w", err)
	}
	return say(p.String()), p, nil
}

type issueArgs struct {
	Issue string `json:"issue"`
}

func (d *desk) get(_ context.Context, _ *mcp.CallToolRequest, a issueArgs) (*mcp.CallToolResult, Issue, error) {
	var out Issue
	err := d.store.view(func(st *state) error {
		is, err := st.byID(a.Issue)
		if err == nil {
			out = *is
		}
		return err
	})
	if err != nil {
		return nil, Issue{}, fmt.Errorf("get issue: %w", err)
	}
	return say(out.String()), out, nil
}

type createArgs struct {
	Title    string   `json:"title"`
	Body     string   `json:"body"`
	Labels   []string `json:"labels"`
	Assignee string   `json:"assignee"`
	Key      string   `json:"idempotency_key"`
}

func (d *desk) create(_ context.Context, _ *mcp.CallToolRequest, a createArgs) (*mcp.CallToolResult, One, error) {
	return d.once("create issue", "create\x00"+a.Key, a, func(st *state, now time.Time) (*Issue, error) {
		if a.Labels == nil {
			a.Labels = []string{}
		}
		n := st.Issues[len(st.Issues)-1].Number + 1
		st.Issues = append(st.Issues, Issue{ID: id(n), Number: n, Title: a.Title, Body: a.Body, State: "open", Labels: a.Labels,
			Author: d.account, Assignee: a.Assignee, Created: now, Updated: now, Comments: []Comment{}})
		return &st.Issues[len(st.Issues)-1], nil
	})
}

type commentArgs struct {
	Issue string `json:"issue"`
	Body  string `json:"body"`
	Key   string `json:"idempotency_key"`
}

func (d *desk) comment(_ context.Context, _ *mcp.CallToolRequest, a commentArgs) (*mcp.CallToolResult, One, error) {
	key := ""
	if a.Key != "" {
		key = "comment\x00" + a.Key
	}
	return d.once("comment", key, a, func(st *state, now time.Time) (*Issue, error) {
		is, err := st.byID(a.Issue)
		if err != nil {
			return nil, err
		}
		is.Comments = append(is.Comments, Comment{Author: d.account, Body: a.Body, At: now})
		is.Updated = now
		return is, nil
	})
}

func (d *desk) close(_ context.Context, _ *mcp.CallToolRequest, a issueArgs) (*mcp.CallToolResult, One, error) {
	return d.change("close issue", a.Issue, func(is *Issue) bool {
		was := is.State
		is.State = "closed"
		return was != "closed"
	})
}

type assignArgs struct {
	Issue    string `json:"issue"`
	Assignee string `json:"assignee"`
}

func (d *desk) assign(_ context.Context, _ *mcp.CallToolRequest, a assignArgs) (*mcp.CallToolResult, One, error) {
	to := a.Assignee
	if to == "nobody" {
		to = ""
	} else if !slices.Contains(people, to) {
		return nil, One{}, fmt.Errorf("assign: %q is not in the team; it has %s", to, strings.Join(people, ", "))
	}
	return d.change("assign", a.Issue, func(is *Issue) bool {
		was := is.Assignee
		is.Assignee = to
		return was != to
	})
}

// change applies f, which says whether it changed anything, to one issue.
func (d *desk) change(verb, issue string, f func(*Issue) bool) (*mcp.CallToolResult, One, error) {
	var out One
	err := d.store.update(func(st *state, now time.Time) error {
		is, err := st.byID(issue)
		if err != nil {
			return err
		}
		if out.Changed = f(is); out.Changed {
			is.Updated = now
		}
		out.Issue = *is
		return nil
	})
	return out.answer(verb, err)
}

// once does f unless key has been used for the same arguments already; "" is
// never used.
func (d *desk) once(verb, key string, args any, f func(*state, time.Time) (*Issue, error)) (*mcp.CallToolResult, One, error) {
	b, err := json.Marshal(args)
	if err != nil {
		return One{}.answer(verb, err)
	}
	sum := sha256.Sum256(b)
	hash := hex.EncodeToString(sum[:])
	var out One
	err = d.store.update(func(st *state, now time.Time) error {
		if before, used := st.Keys[key]; key != "" && used {
			is := st.find(before.Number)
			if before.Argument != hash || is == nil {
				return fmt.Errorf("this idempotency_key was used for other arguments; choose a new one for a new wish")
			}
			out = One{Issue: *is}
			return nil
		}
		is, err := f(st, now)
		if err != nil {
			return err
		}
		if key != "" {
			st.Keys[key] = done{Number: is.Number, Argument: hash}
		}
		out = One{Issue: *is, Changed: true}
		return nil
	})
	return out.answer(verb, err)
}

func (o One) answer(verb string, err error) (*mcp.CallToolResult, One, error) {
	if err != nil {
		return nil, One{}, fmt.Errorf("%s: %w", verb, err)
	}
	head := "Done.\n"
	if !o.Changed {
		head = "Nothing to do: it was so already.\n"
	}
	return say(head + o.Issue.String()), o, nil
}

func say(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

func number(id string) (int, error) {
	digits, ok := strings.CutPrefix(id, "HB-")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no issue id; they look like HB-3", id)
	}
	return n, nil
}

func (s *state) byID(id string) (*Issue, error) {
	n, err := number(id)
	if err != nil {
		return nil, err
	}
	if is := s.find(n); is != nil {
		return is, nil
	}
	return nil, fmt.Errorf("there is no issue %s", id)
}
