package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

var sample = Spec{
	Allow: []string{"GET /repos/*/issues/*", "GET /search", "POST /repos/*/issues", "GET /raw/**"},
	Calls: []Call{
		{Name: "get_issue", Description: "Read an issue", Path: "/repos/{repo}/issues/{number}", Params: map[string]Param{"repo": {}, "number": {Type: "integer"}}, Pick: "title, labels.*.name"},
		{Name: "search", Description: "Search", Path: "/search", Query: map[string]string{"q": "{text}", "per": "10", "sort": "{sort}"},
			Params: map[string]Param{"text": {}, "sort": {Optional: true, Enum: []string{"new", "old"}}}},
		{Name: "create", Description: "File an issue", Method: "POST", Path: "/repos/{repo}/issues", Once: "Idempotency-Key",
			Body:   map[string]any{"title": "{title}", "weight": "{weight}", "by": "agent", "note": "for {title}"},
			Params: map[string]Param{"repo": {Pattern: "[a-z]+"}, "title": {}, "weight": {Type: "integer", Optional: true}}},
	},
	Generic: true, Headers: map[string]string{"X-Team": "ours"},
}

// site is an API that notes what it got.
type site struct {
	mu     sync.Mutex
	got    []string
	bodies []string
	keys   []string
	answer func(w http.ResponseWriter, r *http.Request)
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.got, s.bodies, s.keys = append(s.got, r.Method+" "+r.RequestURI), append(s.bodies, string(b)), append(s.keys, r.Header.Get("Idempotency-Key"))
	s.mu.Unlock()
	if s.answer != nil {
		s.answer(w, r)
	}
}

func start(t *testing.T, s *site, spec Spec) *API {
	t.Helper()
	if p := spec.Check(); p != nil {
		t.Fatal(p)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	a, err := New(server.URL+"/api/", spec, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	a.wait = func(context.Context, time.Duration) bool { return true }
	return a
}

func TestRequestsAreThoseOfTheTemplates(t *testing.T) {
	t.Parallel()
	s := &site{}
	a := start(t, s, sample)
	for _, c := range []struct{ tool, args, want, body string }{
		{"get_issue", `{"repo":"one","number":7}`, "GET /api/repos/one/issues/7", ""},
		{"get_issue", `{"repo":"a b&c?d#e","number":7}`, "GET /api/repos/a%20b&c%3Fd%23e/issues/7", ""},
		{"search", `{"text":"a&per=99 b"}`, "GET /api/search?per=10&q=a%26per%3D99+b", ""},
		{"search", `{"text":"x","sort":"new"}`, "GET /api/search?per=10&q=x&sort=new", ""},
		{"create", `{"repo":"one","title":"say \"hi\" {repo}","weight":3}`, "POST /api/repos/one/issues", `{"by":"agent","note":"for say \"hi\" {repo}","title":"say \"hi\" {repo}","weight":3}`},
		{"create", `{"repo":"one","title":"t"}`, "POST /api/repos/one/issues", `{"by":"agent","note":"for t","title":"t"}`},
		{"request", `{"method":"GET","path":"/raw/a/b/c","query":{"x":"1&2"}}`, "GET /api/raw/a/b/c?x=1%262", ""},
	} {
		if _, err := a.Call(t.Context(), c.tool, json.RawMessage(c.args), "k1"); err != nil {
			t.Errorf("%s %s: %v", c.tool, c.args, err)
			continue
		}
		if n := len(s.got) - 1; s.got[n] != c.want || s.bodies[n] != c.body {
			t.Errorf("%s %s\n got %s %s\nwant %s %s", c.tool, c.args, s.got[n], s.bodies[n], c.want, c.body)
		}
	}
	before := len(s.got)
	for _, c := range [][2]string{
		{"get_issue", `{"repo":"..","number":7}`}, {"get_issue", `{"repo":".","number":7}`}, {"get_issue", `{"repo":"","number":7}`}, {"get_issue", `{"repo":"a/../../admin","number":7}`},
		{"get_issue", `{"repo":"a\\b","number":7}`}, {"get_issue", `{"repo":"a\u0000","number":7}`}, {"get_issue", `{"repo":"one","number":"7/../8"}`}, {"get_issue", `{"repo":"one","number":7.5}`},
		{"get_issue", `{"repo":"one"}`}, {"get_issue", `{"repo":"one","number":7,"host":"evil"}`}, {"get_issue", `[]`}, {"get_issue", `{"repo":["one"],"number":7}`},
		{"search", `{"text":"x","sort":"random"}`}, {"create", `{"repo":"One","title":"t"}`}, {"create", `{"repo":"one/two","title":"t"}`}, {"nothing", `{}`},
		{"get_issue", `{"repo":"` + strings.Repeat("x", 9000) + `","number":7}`},
		{"request", `{"method":"GET","path":"/admin"}`}, {"request", `{"method":"DELETE","path":"/raw/a"}`}, {"request", `{"method":"TRACE","path":"/raw/a"}`}, {"request", `{"method":"GET","path":"//evil.example/raw/a"}`},
		{"request", `{"method":"GET","path":"/raw/../admin"}`}, {"request", `{"method":"GET","path":"/raw/%2e%2e/admin"}`}, {"request", `{"method":"GET","path":"/raw/a%2f..%2fadmin"}`}, {"request", `{"method":"GET","path":"/raw//admin"}`},
		{"request", `{"method":"GET","path":"/raw/a?x=1"}`}, {"request", `{"method":"GET","path":"/raw/a#b"}`}, {"request", `{"method":"GET","path":"/raw\\a"}`}, {"request", `{"method":"GET","path":"http://evil.example/raw/a"}`},
		{"request", `{"method":"GET","path":"/raw/a%0d%0aX: y"}`}, {"request", `{"method":"GET","path":"@evil.example/"}`}, {"request", `{"method":"GET","path":"/repos/a/b/issues/7"}`}, {"request", `{"method":"GET","path":"/raw/%zz"}`},
	} {
		_, err := a.Call(t.Context(), c[0], json.RawMessage(c[1]), "k")
		var wrong *ArgumentError
		if !errors.As(err, &wrong) {
			t.Errorf("%s %.80s: %v", c[0], c[1], err)
		}
	}
	if len(s.got) != before {
		t.Errorf("%d requests were made that should not: %q", len(s.got)-before, s.got[before:])
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, kind, body, tool, want string }{
		{"picked", "application/json", `{"title":"T","labels":[{"name":"a"},{"name":"b"}],"secret":1}`, "get_issue", `{"labels.*.name":["a","b"],"title":"T"}`},
		{"compact", "application/json", "{ \"a\" : 12345678901234567890 }", "search", `{"a":12345678901234567890}`},
		{"page", "text/html; charset=utf-8", "<title>Hi</title><script>evil()</script><p>one<b>two</b></p>", "search", "Hi \none two"},
		{"latin", "text/plain; charset=iso-8859-1", "caf\xe9", "search", "café"},
		{"binary", "image/png", "\x89PNG....", "search", "(8 bytes of image/png)"},
		{"nothing", "", "", "search", "(an empty answer)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := start(t, &site{answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				_, _ = io.WriteString(w, c.body)
			}}, sample)
			args := `{"text":"x"}`
			if c.tool == "get_issue" {
				args = `{"repo":"one","number":1}`
			}
			got, err := a.Call(t.Context(), c.tool, json.RawMessage(args), "k")
			if err != nil || got.Text != c.want || got.Failed {
				t.Errorf("got %q, %v; want %q", got.Text, err, c.want)
			}
		})
	}
}

func TestFatesOfARequest(t *testing.T) {
	t.Parallel()
	status := func(codes ...int) func(http.ResponseWriter, *http.Request) {
		n := 0
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(codes[min(n, len(codes)-1)])
			n++
		}
	}
	for _, c := range []struct {
		name, tool string
		answer     func(http.ResponseWriter, *http.Request)
		fate       string // done, said no, not done, unknown
		requests   int
	}{
		{"read", "search", status(200), "done", 1},
		{"refused", "search", status(404), "said no", 1},
		{"read, 500", "search", status(500), "said no", 1},
		{"write, 400", "create", status(400), "said no", 1},
		{"write, 500", "create", status(500), "unknown", 1},
		{"too many, then done", "create", status(429, 200), "done", 2},
		{"too many for ever", "create", status(429), "said no", 3},
		{"503, then done, with a key", "create", status(503, 201), "done", 2},
		{"503 for ever", "create", status(503), "unknown", 3},
		{"broken off, write", "create", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "unknown", 1},
		{"broken off, read", "search", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "not done", 1},
		{"too long, write", "create", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, mostAnswer+1)) }, "unknown", 1},
		{"too long, read", "search", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, mostAnswer+1)) }, "not done", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &site{answer: c.answer}
			a := start(t, s, sample)
			a.client.Transport = &http.Transport{DisableKeepAlives: true} // net/http repeats requests on old connections by itself
			args := `{"text":"x"}`
			if c.tool == "create" {
				args = `{"repo":"one","title":"t"}`
			}
			got, err := a.Call(t.Context(), c.tool, json.RawMessage(args), "the-key")
			var unsure *UnsureError
			fate := "done"
			switch {
			case errors.As(err, &unsure):
				fate = "unknown"
			case err != nil:
				fate = "not done"
			case got.Failed:
				fate = "said no"
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if fate != c.fate || len(s.got) != c.requests {
				t.Errorf("%s after %d requests (%v), want %s after %d", fate, len(s.got), err, c.fate, c.requests)
			}
			if c.tool == "create" && s.keys[0] != "the-key" {
				t.Errorf("the key is %q", s.keys[0])
			}
		})
	}
}

func TestSpecsThatAreWrong(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]Spec{
		"there are none":          {},
		"needed for generic":      {Generic: true},
		"a method and a path":     {Generic: true, Allow: []string{"/x"}},
		"used and not described":  {Calls: []Call{{Name: "a", Description: "d", Path: "/{x}"}}},
		"described and not used":  {Calls: []Call{{Name: "a", Description: "d", Path: "/", Params: map[string]Param{"x": {}}}}},
		"description: is missing": {Calls: []Call{{Name: "a", Path: "/"}}},
		"hold no query":           {Calls: []Call{{Name: "a", Description: "d", Path: "/?x"}}},
		"is there twice":          {Calls: []Call{{Name: "a", Description: "d", Path: "/"}, {Name: "a", Description: "d", Path: "/"}}},
		"may not be set here":     {Calls: []Call{{Name: "a", Description: "d", Path: "/"}}, Headers: map[string]string{"Authorization": "x"}},
		"needs a default":         {Calls: []Call{{Name: "a", Description: "d", Path: "/{x}", Params: map[string]Param{"x": {Optional: true}}}}},
	} {
		if got := strings.Join(s.Check(), "; "); !strings.Contains(got, want) {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

// FuzzPath looks for arguments that lead out of the template or the allow-list.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"one", "..", "a/../b", "%2e%2e", "%252e", "a?b", "a#b", "\\", "a b", "ü"} {
		f.Add(s, s)
	}
	a, err := New("https://api.example.com/api", sample, http.DefaultClient)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, repo, whole string) {
		for tool, args := range map[string]map[string]any{"get_issue": {"repo": repo, "number": 7}, "request": {"method": "GET", "path": whole}} {
			b, err := json.Marshal(args)
			if err != nil {
				return
			}
			_, address, _, _, _, err := a.build(tool, b)
			if err != nil {
				continue
			}
			u, err := url.Parse(address)
			if err != nil || u.Host != "api.example.com" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
				t.Fatalf("%s %q leads to %s", tool, args, address)
			}
			parts := strings.Split(u.EscapedPath(), "/")
			for _, p := range parts {
				un, err := url.PathUnescape(p)
				if err != nil || un == ".." || un == "." {
					t.Fatalf("%s %q leads to %s", tool, args, address)
				}
			}
			if tool == "get_issue" && (len(parts) != 6 || parts[2] != "repos" || parts[5] != "7") {
				t.Fatalf("%q leads to %s", repo, address)
			}
			if !a.allowed("GET", strings.TrimPrefix(u.EscapedPath(), "/api")) {
				t.Fatalf("%q leads to %s, which is not allowed", args, address)
			}
		}
	})
}
