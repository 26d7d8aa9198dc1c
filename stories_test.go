package main

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // stories tamper with stores behind the product's back
	"github.com/rogpeppe/go-internal/testscript"

	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"deskmate": main, "far": farMain})
}

// patience is how long a story waits for something to appear.
const patience = time.Minute

// stage is what one story plays on: an emulated workspace and its people. The
// product runs as a process of its own and knows only addresses and tokens.
type stage struct {
	sim    *slacksim.Server
	base   string
	cancel context.CancelFunc
	ctx    context.Context
	people map[string]*slacksim.Person
	views  map[string]*slacksim.Watch
	model  *modelsim.Server
	// channel and thread of what was said last at the root of a channel, and the ts
	// of what was said last.
	channel, thread, said string
	call                  *http.Request // of a webhook, the last
	called                []byte
	whispers              int // answers that the person had when the last command was typed
}

// Stories in testdata/stories: the built product, the emulator, several people.
// Commands beside testscript's own are listed in docs/testing.md.
func TestStories(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/stories",
		RequireExplicitExec: true,
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			s, err := newStage(env)
			if err != nil {
				return err
			}
			env.Values["stage"] = s
			env.Defer(s.close)
			return nil
		},
		Cmds: commands(),
	})
}

// condition tells whether Slack's and MCP's npm packages that a story needs are
// installed; a story without them is skipped, but never where CI promised them.
func condition(name string) (bool, error) {
	if name != "mcp" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	_, err := os.Stat("connection/testdata/npm/node_modules/.package-lock.json")
	if err != nil && os.Getenv("CI") == "true" {
		return false, fmt.Errorf("the MCP servers of npm are not installed: %w", err)
	}
	return err == nil, nil
}

// commands are those of stories and attacks, beside testscript's own.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"leaked": leaked, "webfar": webfar, "prompt": prompt, "connect": connect, "called": called,
		"say": say, "reply": reply, "expect": expect, "appears": appears, "direct": direct, "never": never, "ready": ready, "model": model,
		"emulate": emulate, "handin": handin, "fill": fill, "nowhere": nowhere, "command": command, "whispered": whispered, "press": press, "submit": submit, "home": home, "use": use, "nohome": noHome, "seehome": seeHome, "formsays": formSays, "lookup": lookup, "shortcut": shortcut, "forge": forge, "tamper": tamper, "alert": alert, "hook": hook, "hookof": hookof, "react": react, "hears": hears, "answers": answers, "until": until,
	}
}

func newStage(env *testscript.Env) (*stage, error) {
	sim, err := slacksim.New(slacksim.Options{Seed: seed(), RateLimitsOff: true, Redelivery: []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &stage{sim: sim, ctx: ctx, cancel: cancel, people: map[string]*slacksim.Person{}, views: map[string]*slacksim.Watch{}}
	if s.base, err = sim.Start(ctx, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	for _, name := range []string{"ADA", "BEN", "CHLOE", "GIL", "XENA"} {
		s.people[name] = slacksim.NewPerson(s.base, "U0"+name)
		if s.views[name], err = s.people[name].Watch(ctx); err != nil {
			return nil, err
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := free.Addr().String()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(other.Addr().String())
	if err := errors.Join(err, free.Close(), other.Close()); err != nil {
		return nil, err
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	db := filepath.Join(env.WorkDir, "deskmate.db")
	env.Vars = append(env.Vars, "SLACK_BOT_TOKEN="+sim.BotToken(), "SLACK_APP_TOKEN="+sim.AppToken(), "SLACK_API_URL="+s.base+"/api",
		"SLACK_SIGNING_SECRET="+sim.SigningSecret(), "ROOT="+root, "MCP="+filepath.Join(root, "connection/testdata/npm/node_modules"), "PORT="+port, "GOCACHE="+os.Getenv("GOCACHE"), "HOME="+os.Getenv("HOME"), "DESKMATE_DATABASE_URL=sqlite:"+db, "DB="+db, "DESKMATE_ADDR="+addr, "DESKMATE_POST_EVERY=10ms", "DESKMATE_SPONSOR=U0ADA", "USER=operator")
	return s, nil
}

// seed is the demo's workspace with #alerts, where another program posts.
func seed() *slacksim.Seed {
	s := slacksim.DefaultSeed()
	s.Apps = append(s.Apps, slacksim.AppSeed{ID: "A0ALERTS", Name: "alerts", BotUser: "U0ALERTS", BotID: "B0ALERTS", BotToken: alertsToken, Events: []string{}})
	s.Channels = append(s.Channels, slacksim.ChannelSeed{ID: "C0ALERTS", Name: "alerts", Topic: "What breaks", Members: []string{"U0ADA", "U0BEN", "U0CHLOE", "U0DESKMATE", "U0ALERTS"}})
	return s
}

// alertsToken is the bot token of the program in #alerts.
const alertsToken = "xoxb-local-A0ALERTS"

func (s *stage) close() {
	s.cancel()
	_ = s.sim.Close() // the story is over; nothing depends on how the workspace ends
}

func on(ts *testscript.TestScript) *stage { return ts.Value("stage").(*stage) }

// say PERSON CHANNEL TEXT: a new message in a channel; "dm" is the direct message
// with the agent. @deskmate is a mention.
func say(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	if len(args) < 3 {
		ts.Fatalf("usage: say PERSON CHANNEL TEXT")
	}
	p := s.people[args[0]]
	channel := args[1]
	if channel == "dm" {
		id, err := p.Direct(s.ctx, "U0DESKMATE")
		ts.Check(err)
		channel = id
	}
	at, err := p.Say(s.ctx, channel, "", mention(args[2:]))
	ts.Check(err)
	s.channel, s.thread, s.said = channel, at, at
}

func mention(words []string) string {
	return strings.NewReplacer("@deskmate", "<@U0DESKMATE>", `\n`, "\n").Replace(strings.Join(words, " "))
}

// reply PERSON TEXT: a message in the thread of what was said last in a channel.
func reply(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	at, err := s.people[args[0]].Say(s.ctx, s.channel, s.thread, mention(args[1:]))
	ts.Check(err)
	s.said = at
}

// expect PERSON REGEXP: the person sees an answer to what was said last.
func expect(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	s.wait(ts, args[0], args[1], func(m slacksim.Seen) bool {
		flat := strings.HasPrefix(s.channel, "D") && m.Thread == ""
		return m.Channel == s.channel && (m.Thread == s.thread || flat) && m.TS > s.said
	})
}

// appears PERSON CHANNEL REGEXP: the person sees a new message of the agent's at
// the root of a channel.
func appears(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	s.wait(ts, args[0], args[2], func(m slacksim.Seen) bool {
		return m.Channel == args[1] && (m.Thread == "" || m.Thread == m.TS)
	})
}

// direct PERSON REGEXP: the person sees a message of the agent's in their direct
// message with it.
func direct(ts *testscript.TestScript, _ bool, args []string) {
	on(ts).wait(ts, args[0], args[1], func(m slacksim.Seen) bool { return strings.HasPrefix(m.Channel, "D") })
}

func (s *stage) wait(ts *testscript.TestScript, who, pattern string, fits func(slacksim.Seen) bool) {
	re, err := regexp.Compile("(?is)" + pattern)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	m, err := s.views[who].Wait(ctx, func(m slacksim.Seen) bool { return m.User == "U0DESKMATE" && fits(m) && re.MatchString(m.Text) })
	if err != nil {
		var seen []string
		for _, m := range s.views[who].All() {
			if m.User == "U0DESKMATE" {
				seen = append(seen, m.Channel+"/"+m.Thread+": "+m.Text)
			}
		}
		ts.Fatalf("%s did not see %q: %v; the agent said:\n%s", who, pattern, err, strings.Join(seen, "\n"))
	}
	ts.Logf("agent: %s", m.Text)
}

// hears PERSON REGEXP: the person sees something fitting that the agent says anywhere.
func hears(ts *testscript.TestScript, _ bool, args []string) {
	on(ts).wait(ts, args[0], args[1], func(slacksim.Seen) bool { return true })
}

// react PERSON EMOJI: a reaction to what was said last.
func react(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	ts.Check(s.people[args[0]].Call(s.ctx, "reactions.add", map[string]string{"channel": s.channel, "timestamp": s.said, "name": args[1]}, nil))
}

// alert TEXT: another program posts in #alerts.
func alert(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	form := url.Values{"channel": {"C0ALERTS"}, "text": {mention(args)}}
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.base+"/api/chat.postMessage", strings.NewReader(form.Encode()))
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+alertsToken)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	body, err := io.ReadAll(resp.Body)
	ts.Check(errors.Join(err, resp.Body.Close()))
	if !strings.Contains(string(body), `"ok":true`) {
		ts.Fatalf("the program could not post: %s", body)
	}
}

// never PERSON REGEXP: nothing that the agent said and the person saw so far fits.
func never(ts *testscript.TestScript, _ bool, args []string) {
	re, err := regexp.Compile("(?is)" + args[1])
	ts.Check(err)
	for _, m := range on(ts).views[args[0]].All() {
		if m.User == "U0DESKMATE" && re.MatchString(m.Text) {
			ts.Fatalf("%s saw %q, which fits %q", args[0], m.Text, args[1])
		}
	}
}

// answers PERSON N: the agent has said N things in the thread of what was said last.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	s, n := on(ts), 0
	for _, m := range s.views[args[0]].All() {
		if m.User == "U0DESKMATE" && m.Channel == s.channel && m.Thread == s.thread {
			n++
		}
	}
	if fmt.Sprint(n) != args[1] {
		ts.Fatalf("the agent said %d things in the thread, want %s", n, args[1])
	}
}

// ready: waits until the product says on /readyz that it works.
func ready(ts *testscript.TestScript, _ bool, _ []string) {
	s := on(ts)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ts.Getenv("DESKMATE_ADDR")+"/readyz", nil)
		ts.Check(err)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			ts.Check(resp.Body.Close())
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("the product did not become ready: %v", err)
		}
	}
}

// model SCRIPT: a model server that follows the script; the environment points to it.
func model(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Open(filepath.Join(ts.Getenv("ROOT"), args[0]))
	if os.IsNotExist(err) {
		f, err = os.Open(ts.MkAbs(args[0]))
	}
	ts.Check(err)
	script, err := modelsim.ParseScript(f)
	ts.Check(err)
	ts.Check(f.Close())
	s := on(ts)
	s.model = modelsim.New(script.Handler(), modelsim.Options{Key: "sk-local"})
	server := httptest.NewServer(s.model)
	ts.Defer(server.Close)
	ts.Setenv("OPENAI_BASE_URL", server.URL+"/v1")
	ts.Setenv("OPENAI_API_KEY", "sk-local")
	ts.Setenv("DESKMATE_MODEL", "local")
}

// emulate ENDPOINT JSON: one of the emulator's own endpoints, such as tokens.
func emulate(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	ts.Check(s.people["ADA"].Emulate(s.ctx, args[0], rawJSON(args[1]), nil))
}

type rawJSON string

// MarshalJSON gives the text as it is.
func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// until REGEXP COMMAND…: runs a command again and again until its output fits.
func until(ts *testscript.TestScript, _ bool, args []string) {
	re, err := regexp.Compile("(?is)" + args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(on(ts).ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if err == nil && re.MatchString(out) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("the output of %v never fitted %q: %v\n%s", args[1:], args[0], err, out)
		}
	}
}

// fill FILE: the variables in a file of the story become their values.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// tamper SQL: changes the store behind the product's back.
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite3", "file:"+ts.Getenv("DB"))
	ts.Check(err)
	_, err = db.Exec(strings.Join(args, " "))
	ts.Check(err)
	ts.Check(db.Close())
}

// command PERSON CHANNEL TEXT: types /deskmate TEXT there.
func command(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	if len(args) < 2 {
		ts.Fatalf("usage: command PERSON CHANNEL [TEXT]")
	}
	s.whispers = s.countWhispers(args[0])
	ts.Check(s.people[args[0]].Command(s.ctx, args[1], "/deskmate", mention(args[2:])))
}

func (s *stage) countWhispers(who string) (n int) {
	for _, m := range s.views[who].All() {
		if m.Only {
			n++
		}
	}
	return n
}

// whispered PERSON REGEXP: since the last command, the person sees a fitting answer
// that only they see. Groups of the pattern become $1, $2 …
func whispered(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	re, err := regexp.Compile("(?is)" + args[1])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		n, all := 0, []string{}
		for _, m := range s.views[args[0]].All() {
			if !m.Only {
				continue
			}
			if n++; n <= s.whispers {
				continue
			}
			all = append(all, m.Text)
			if g := re.FindStringSubmatch(m.Text); g != nil {
				for i, v := range g[1:] {
					ts.Setenv(fmt.Sprintf("W%d", i+1), v)
				}
				ts.Logf("agent, to %s alone: %s", args[0], m.Text)
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%s was not told %q alone, but %q", args[0], args[1], all)
		}
	}
}

// press PERSON BUTTON REGEXP: presses the button of the newest fitting message,
// once there is one.
func press(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	re, err := regexp.Compile("(?is)" + args[2])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	fits := func(m slacksim.Seen) bool { return m.User == "U0DESKMATE" && re.MatchString(m.Text) }
	m, err := s.views[args[0]].Wait(ctx, fits)
	if err != nil {
		ts.Fatalf("%s sees no message that fits %q: %v", args[0], args[2], err)
	}
	for _, newer := range s.views[args[0]].All() {
		if fits(newer) {
			m = newer
		}
	}
	ts.Check(s.people[args[0]].Press(s.ctx, m, args[1]))
}

// submit PERSON FORM BLOCK=VALUE…: sends the form that has opened; with ! in front
// the app must find something wrong with it.
func submit(ts *testscript.TestScript, neg bool, args []string) {
	s := on(ts)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	form, err := s.views[args[0]].Form(ctx, args[1])
	ts.Check(err)
	values := map[string]string{}
	for _, a := range args[2:] {
		name, value, _ := strings.Cut(a, "=")
		values[name] = value
	}
	s.whispers = s.countWhispers(args[0])
	wrong, err := s.people[args[0]].Submit(s.ctx, form, values)
	ts.Check(err)
	ts.Logf("errors: %v", wrong)
	if neg != (len(wrong) > 0) {
		ts.Fatalf("the form was answered with %v", wrong)
	}
}

// handin LINKFILE NAME SECRET: hands a secret in over the link in a file, as a
// browser does; with ! in front the page must refuse.
func handin(ts *testscript.TestScript, neg bool, args []string) {
	link := regexp.MustCompile(`http://\S+/credential/\S+`).FindString(ts.ReadFile(args[0]))
	resp, err := http.Get(link) //nolint:noctx // a story ends by itself
	ts.Check(err)
	ts.Check(resp.Body.Close())
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || resp.Header.Get("Cache-Control") != "no-store" {
		ts.Fatalf("the page's headers are %v", resp.Header)
	}
	resp, err = http.PostForm(link, url.Values{"who": {args[1]}, "secret": {args[2]}}) //nolint:noctx // a story ends by itself
	ts.Check(err)
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(resp.Body.Close())
	if strings.Contains(string(body), args[2]) {
		ts.Fatalf("the page shows the secret")
	}
	if neg == (resp.StatusCode == http.StatusOK) {
		ts.Fatalf("the page answered %d: %s", resp.StatusCode, body)
	}
}

// nowhere TEXT: no file of the story's folder, and nothing that anybody saw, holds
// the text, as it is, in base64 or in hexadecimal.
func nowhere(ts *testscript.TestScript, _ bool, args []string) {
	forms := map[string]string{"as it is": args[0], "in base64": base64.StdEncoding.EncodeToString([]byte(args[0])), "in hexadecimal": hex.EncodeToString([]byte(args[0]))}
	forms["in base64"] = strings.TrimRight(forms["in base64"], "=")[:len(args[0])] // however it goes on
	looked := 0
	check := func(where, text string) {
		looked++
		for form, secret := range forms {
			if strings.Contains(text, secret) {
				ts.Fatalf("the secret stands in %s, %s", where, form)
			}
		}
	}
	ts.Check(filepath.WalkDir(ts.Getenv("WORK"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "secret.txt") {
			return err
		}
		b, err := os.ReadFile(path)
		check(path, string(b))
		return err
	}))
	for who, w := range on(ts).views {
		for _, m := range w.All() {
			check("what "+who+" saw", m.Text)
		}
	}
	if looked < 5 {
		ts.Fatalf("only %d places were looked at", looked)
	}
}
