package tracker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The test binary is also the stdio server.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TRACKER_DIR"); dir != "" {
		if err := Serve(context.Background(), Options{Dir: dir, Clock: clock}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func clock() time.Time { return time.Date(2026, time.April, 1, 12, 0, 0, 0, time.UTC) }

type session struct {
	*testing.T
	*mcp.ClientSession
}

func connect(t *testing.T, tr mcp.Transport) session {
	t.Helper()
	s, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), tr, nil)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return session{t, s}
}

func stdio(t *testing.T, dir string) session {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"TRACKER_DIR=" + dir}
	return connect(t, &mcp.CommandTransport{Command: cmd})
}

func overHTTP(t *testing.T, dir string) session {
	t.Helper()
	h, err := Handler(Options{Dir: dir, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return connect(t, &mcp.StreamableClientTransport{Endpoint: srv.URL})
}

// call gives the tool's text, and its structured content in into if not nil.
func (s session) call(tool string, args map[string]any, into any) string {
	s.Helper()
	r, err := s.CallTool(s.Context(), &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		s.Fatalf("%s %v: %v", tool, args, err)
	}
	text := r.Content[0].(*mcp.TextContent).Text
	if r.IsError {
		s.Fatalf("%s %v: %s", tool, args, text)
	}
	if into != nil {
		b, err := json.Marshal(r.StructuredContent)
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			s.Fatalf("%s: structured content: %v", tool, err)
		}
	}
	return text
}

// refuses gives the text of the error that the tool must answer with.
func (s session) refuses(tool string, args map[string]any) string {
	s.Helper()
	r, err := s.CallTool(s.Context(), &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		return err.Error()
	}
	if !r.IsError {
		s.Fatalf("%s %v was accepted", tool, args)
	}
	return r.Content[0].(*mcp.TextContent).Text
}

type obj = map[string]any

func TestBothTransports(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T, string) session{"stdio": stdio, "http": overHTTP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			if got := s.InitializeResult(); got.ServerInfo.Name != Name || !strings.Contains(got.Instructions, "list_issues") {
				t.Errorf("introduced itself as %+v", got)
			}
			var p Page
			s.call("list_issues", obj{"state": "all"}, &p)
			if len(p.Issues) != 8 || p.Matching != 8 || p.Issues[0].ID != "HB-8" {
				t.Errorf("a fresh tracker lists %+v", p)
			}
			var o One
			s.call("create_issue", obj{"title": "Lamp on pier 3 is out", "labels": []string{"ops"}, "idempotency_key": "lamp-0001"}, &o)
			if o.Issue.ID != "HB-9" || o.Issue.Author != "deskmate" || !o.Issue.Created.Equal(clock()) || !o.Changed {
				t.Errorf("created %+v", o)
			}
			s.call("assign", obj{"issue": "HB-9", "assignee": "Ben"}, nil)
			s.call("comment", obj{"issue": "HB-9", "body": "Spare is in the shed."}, nil)
			s.call("close_issue", obj{"issue": "HB-9"}, nil)
			var i Issue
			text := s.call("get_issue", obj{"issue": "HB-9"}, &i)
			if i.State != "closed" || i.Assignee != "Ben" || len(i.Comments) != 1 || i.Comments[0].Body != "Spare is in the shed." {
				t.Errorf("after assign, comment and close: %+v", i)
			}
			if !strings.Contains(text, "Spare is in the shed.") || !strings.Contains(text, "[closed]") {
				t.Errorf("the text leaves things out: %s", text)
			}
		})
	}
}

func TestFiltersAndPages(t *testing.T) {
	t.Parallel()
	s := overHTTP(t, t.TempDir())
	for _, c := range []struct {
		args obj
		want string
	}{
		{nil, "HB-8 HB-7 HB-6 HB-5 HB-3 HB-2 HB-1"},
		{obj{"state": "closed"}, "HB-4"},
		{obj{"label": "bug"}, "HB-6 HB-2 HB-1"},
		{obj{"assignee": "Ben", "state": "all"}, "HB-8 HB-4 HB-1"},
		{obj{"assignee": "nobody"}, "HB-7 HB-5 HB-2"},
		{obj{"text": "EASTER"}, "HB-1"},
		{obj{"label": "bug", "assignee": "Chloe"}, "HB-6"},
		{obj{"text": "no such thing"}, ""},
	} {
		var p Page
		s.call("list_issues", c.args, &p)
		var ids []string
		for _, i := range p.Issues {
			ids = append(ids, i.ID)
		}
		if got := strings.Join(ids, " "); got != c.want || p.Matching != len(ids) || p.NextCursor != "" {
			t.Errorf("%v: got %q of %d, cursor %q, want %q", c.args, got, p.Matching, p.NextCursor, c.want)
		}
	}

	var seen []string
	args := obj{"limit": 3, "state": "all"}
	for pages := 0; pages < 5; pages++ {
		var p Page
		s.call("list_issues", args, &p)
		for _, i := range p.Issues {
			seen = append(seen, i.ID)
		}
		// An issue that comes between two pages must not shift them.
		s.call("create_issue", obj{"title": "new", "idempotency_key": fmt.Sprintf("between-%d", pages)}, nil)
		if p.NextCursor == "" {
			break
		}
		args["cursor"] = p.NextCursor
	}
	if got := strings.Join(seen, " "); got != "HB-8 HB-7 HB-6 HB-5 HB-4 HB-3 HB-2 HB-1" {
		t.Errorf("pages of three gave %s", got)
	}
	if got := s.refuses("list_issues", obj{"cursor": "x"}); !strings.Contains(got, "start again") {
		t.Errorf("a bad cursor: %s", got)
	}
}

func TestAKeyWorksOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stdio(t, dir)
	wish := obj{"title": "Once", "idempotency_key": "same-key-1"}
	var first, second One
	s.call("create_issue", wish, &first)
	// Another server on the same directory honours the key too.
	stdio(t, dir).call("create_issue", wish, &second)
	if first.Issue.ID != second.Issue.ID || !first.Changed || second.Changed {
		t.Errorf("got %s (changed %t) and %s (changed %t), want one issue", first.Issue.ID, first.Changed, second.Issue.ID, second.Changed)
	}
	if got := s.refuses("create_issue", obj{"title": "Else", "idempotency_key": "same-key-1"}); !strings.Contains(got, "other arguments") {
		t.Errorf("the key for another wish: %s", got)
	}
	s.refuses("create_issue", obj{"title": "No key"})
	for range 2 {
		s.call("comment", obj{"issue": "HB-1", "body": "keyed", "idempotency_key": "same-key-1"}, nil)
		s.call("comment", obj{"issue": "HB-1", "body": "bare"}, nil)
	}
	var i Issue
	s.call("get_issue", obj{"issue": "HB-1"}, &i)
	if len(i.Comments) != 2+1+2 {
		t.Errorf("HB-1 has %d comments, want 2 seeded, 1 keyed, 2 bare", len(i.Comments))
	}
}

func TestBadWishesAreRefused(t *testing.T) {
	t.Parallel()
	s := overHTTP(t, t.TempDir())
	for _, c := range []struct {
		tool string
		args obj
	}{
		{"get_issue", obj{"issue": "HB-99"}},
		{"get_issue", obj{"issue": "../../etc/passwd"}},
		{"assign", obj{"issue": "HB-1", "assignee": "Xena"}},
		{"comment", obj{"issue": "HB-1", "body": ""}},
		{"list_issues", obj{"limit": 5000}},
		{"list_issues", obj{"state": "burning"}},
		{"close_issue", obj{"issue": "HB-1", "force": true}},
	} {
		s.refuses(c.tool, c.args)
	}
	var p Page
	s.call("list_issues", obj{"state": "open"}, &p)
	if p.Matching != 7 {
		t.Errorf("a refused wish changed something: %d open issues", p.Matching)
	}
}

func TestAnnotationsSayWhatToolsDo(t *testing.T) {
	t.Parallel()
	s := overHTTP(t, t.TempDir())
	r, err := s.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	reads := []string{"get_issue", "list_issues"}
	destroys := []string{"assign", "close_issue"}
	if len(r.Tools) != 6 {
		t.Errorf("%d tools, want 6", len(r.Tools))
	}
	for _, tool := range r.Tools {
		a := tool.Annotations
		if a == nil || a.ReadOnlyHint != slices.Contains(reads, tool.Name) || *a.DestructiveHint != slices.Contains(destroys, tool.Name) || *a.OpenWorldHint {
			t.Errorf("%s is annotated %+v", tool.Name, a)
		}
		if tool.OutputSchema == nil || tool.Description == "" {
			t.Errorf("%s says too little of itself", tool.Name)
		}
	}
}

func TestTheInjectionIsInOneComment(t *testing.T) {
	t.Parallel()
	found := 0
	for _, i := range seed().Issues {
		for _, c := range i.Comments {
			if c.Body == Injected {
				found++
			}
		}
	}
	if found != 1 {
		t.Errorf("found %d times", found)
	}
}

func TestManyServersLoseNoWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for n := range 4 {
		s := overHTTP(t, dir)
		wg.Go(func() {
			for i := range 10 {
				if _, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "create_issue", Arguments: obj{"title": "x", "idempotency_key": fmt.Sprintf("client-%d-%d", n, i)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var p Page
	overHTTP(t, dir).call("list_issues", obj{"limit": 1}, &p)
	if p.Matching != 7+40 || p.Issues[0].ID != "HB-48" {
		t.Errorf("%d open issues, newest %s; want 47 and HB-48", p.Matching, p.Issues[0].ID)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestABrokenFileIsNotOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "issues.json")
	if err := os.WriteFile(file, []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Handler(Options{Dir: dir}); err == nil {
		t.Error("opened a file that is not JSON")
	}
	if b, _ := os.ReadFile(file); string(b) != "{half" {
		t.Errorf("the file is now %s", b)
	}
	if _, err := Handler(Options{}); err == nil {
		t.Error("opened without a directory")
	}
}

func TestForeignHostsAreRefused(t *testing.T) {
	t.Parallel()
	h, err := Handler(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	q, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL, strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Host = "evil.example"
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusForbidden {
		t.Errorf("Host evil.example got %d, want 403", r.StatusCode)
	}
}
