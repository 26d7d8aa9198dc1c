package app

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
	"deskmate/migrations/migrated"
)

// desk is an emulated workspace with the agent in it, whose model is a server
// that the test plays.
type desk struct {
	t     testing.TB
	app   *App
	clock *slacksim.Clock
	base  string // of the workspace
	ben   *slacksim.Person
	ada   *slacksim.Person
	gil   *slacksim.Person
	view  *slacksim.Watch
	model *modelsim.Server
}

func newDesk(t testing.TB, model modelsim.Handler, change func(a *App)) *desk {
	t.Helper()
	return newDeskIn(t, nil, model, change)
}

// newDeskIn is a desk in the workspace of a seed, nil for the demo's.
func newDeskIn(t testing.TB, seed *slacksim.Seed, model modelsim.Handler, change func(a *App)) *desk {
	t.Helper()
	clock := slacksim.NewClock()
	return newDeskAt(t, clock, clock.Now, seed, model, change)
}

// newDeskAt is newDeskIn with the clocks of Slack and of the agent.
func newDeskAt(t testing.TB, clock *slacksim.Clock, now func() time.Time, seed *slacksim.Seed, model modelsim.Handler, change func(a *App)) *desk {
	t.Helper()
	sim, err := slacksim.New(slacksim.Options{Seed: seed, RateLimitsOff: true, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	base, err := sim.Start(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, clock: clock, base: base, ben: slacksim.NewPerson(base, ben), ada: slacksim.NewPerson(base, ada), gil: slacksim.NewPerson(base, "U0GIL"), model: modelsim.New(model, modelsim.Options{})}
	if d.view, err = d.ben.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d.model)
	c, err := LoadConfig(map[string]string{
		"slack_bot_token": sim.BotToken(), "slack_app_token": sim.AppToken(), "slack_api_url": base + "/api", "post_every": "0s", "addr": "off",
		"database_url": migrated.At(t, filepath.Join(t.TempDir(), "deskmate.db")), "openai_base_url": server.URL + "/v1", "model": "local",
	}, func(string) string { return "" }, "")
	if err != nil {
		t.Fatal(err)
	}
	if d.app, err = New(ctx, c, Options{Logger: zerolog.Nop(), Clock: now}); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(d.app)
	}
	ended := make(chan error, 1)
	run, stop := context.WithCancel(ctx)
	go func() { ended <- d.app.Run(run) }()
	t.Cleanup(func() {
		stop()
		server.CloseClientConnections() // what hangs on purpose ends now
		if err := <-ended; err != nil {
			t.Errorf("the agent ended with %v", err)
		}
		if err := d.app.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		server.Close()
		cancel()
		if err := sim.Close(); err != nil {
			t.Errorf("close workspace: %v", err)
		}
	})
	deadline, end := context.WithTimeout(ctx, time.Minute)
	defer end()
	for len(d.app.Ready(deadline)) > 0 {
		if deadline.Err() != nil {
			t.Fatal("the agent did not become ready")
		}
		<-time.NewTimer(5 * time.Millisecond).C
	}
	return d
}

// ask mentions the agent in #eng and gives the thread.
func (d *desk) ask(p *slacksim.Person, text string) string {
	d.t.Helper()
	channel := eng
	if p == d.gil {
		channel = general
	}
	ts, err := p.Say(context.Background(), channel, "", toAgent+text)
	if err != nil {
		d.t.Fatal(err)
	}
	return ts
}

func (d *desk) reply(p *slacksim.Person, thread, text string) {
	d.t.Helper()
	if _, err := p.Say(context.Background(), eng, thread, text); err != nil {
		d.t.Fatal(err)
	}
}

// answer waits for something that the agent says in a thread and that fits.
func (d *desk) answer(thread, pattern string) string {
	d.t.Helper()
	re := regexp.MustCompile("(?is)" + pattern)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := d.view.Wait(ctx, func(m slacksim.Seen) bool { return m.User == agent && m.Thread == thread && re.MatchString(m.Text) })
	if err != nil {
		d.t.Fatalf("no answer with %q came: %v; the agent said %q", pattern, err, d.said(thread))
	}
	return m.Text
}

// until waits for a query of the store to give true.
func (d *desk) until(query string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for is := false; ; {
		if err := d.app.DB.QueryRow(ctx, query).Scan(&is); err != nil {
			d.t.Fatalf("%s: %v", query, err)
		}
		if is {
			return
		}
		<-tick.C
	}
}

func (d *desk) said(thread string) (all []string) {
	d.caughtUp("thread_ts = $1", thread)
	for _, m := range d.view.All() {
		if m.User == agent && m.Thread == thread {
			all = append(all, m.Text)
		}
	}
	return all
}

// caughtUp gives the view time to show what has been sent: Slack answers the sender
// before it tells those who watch. where is SQL about the outbox.
func (d *desk) caughtUp(where string, args ...any) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	rows, err := d.app.DB.Query(ctx, `SELECT ts FROM outbox WHERE state = 'sent' AND ts <> '' AND `+where, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var ts string
		if err := rows.Scan(&ts); err != nil {
			d.t.Fatal(err)
		}
		// One that does not come, such as of a place that is not seen, is for the caller to miss.
		_, _ = d.view.Wait(ctx, func(m slacksim.Seen) bool { return m.TS == ts })
	}
	if err := rows.Err(); err != nil && ctx.Err() == nil {
		d.t.Fatal(err)
	}
}

func calls(name string, args any) modelsim.Reply {
	return modelsim.Reply{Calls: []modelsim.Call{{Name: name, Args: args}}}
}

// inTurn plays one reply after the other, the last one for ever.
func inTurn(replies ...modelsim.Reply) modelsim.Handler {
	var mu sync.Mutex
	n := 0
	return func(modelsim.Request) modelsim.Reply {
		mu.Lock()
		defer mu.Unlock()
		n++
		return replies[min(n, len(replies))-1]
	}
}

func TestStopEndsTheWorkWithinASecond(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	d := newDesk(t, func(modelsim.Request) modelsim.Reply {
		asked <- struct{}{}
		return modelsim.Reply{Hang: true}
	}, nil)
	thread := d.ask(d.ben, "count the stars")
	<-asked
	began := time.Now()
	d.reply(d.ada, thread, "stop")
	d.answer(thread, "^Stopped")
	if took := time.Since(began); took > time.Second {
		t.Errorf("it stopped after %v, want within a second", took)
	}
	if got := d.said(thread); len(got) != 1 {
		t.Errorf("the agent said %q, want one word on the stop", got)
	}
}

func TestMessagesDuringATurnSteerIt(t *testing.T) {
	t.Parallel()
	first := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
		if q.Last("tool").Role == "" {
			once.Do(func() { close(first) })
			<-release
			return calls("duty_list", map[string]string{})
		}
		var asked []string
		for _, m := range q.Messages {
			if m.Role == "user" {
				asked = append(asked, m.Content)
			}
		}
		return modelsim.Reply{Text: "I heard: " + strings.Join(asked, " / ")}
	}, nil)
	thread := d.ask(d.ben, "list the duties")
	<-first
	d.reply(d.ada, thread, "and make it short")
	// The message is durable before the model's first answer comes.
	d.until(`SELECT COUNT(*) = 1 FROM inbox WHERE state = 'new'`)
	close(release)
	got := d.answer(thread, "I heard")
	if !strings.Contains(got, "list the duties") || !strings.Contains(got, "and make it short") {
		t.Errorf("the answer is %q, want both messages in one turn", got)
	}
	if all := d.said(thread); len(all) != 1 {
		t.Errorf("the agent said %q, want one answer", all)
	}
}

func TestTurnsThatCannotEndWellSayWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		model  modelsim.Handler
		change func(a *App)
		want   string
	}{
		"the same call three times": {modelsim.Worst("duty_list", map[string]string{}), nil, "third time"},
		"too many steps": {func(q modelsim.Request) modelsim.Reply {
			return calls("recall", map[string]string{"query": strings.Repeat("x", len(q.Messages))})
		}, func(a *App) { a.loop.Limits.Steps = 4 }, "stopped after 4 steps"},
		"too many tokens": {func(q modelsim.Request) modelsim.Reply {
			return calls("recall", map[string]string{"query": strings.Repeat("x", len(q.Messages))})
		}, func(a *App) { a.loop.Limits.Tokens = 1500 }, "tokens, and 1500 is the limit"},
		"too much time":                   {modelsim.Always(modelsim.Reply{Hang: true}), func(a *App) { a.loop.Limits.Time = 300 * time.Millisecond }, "ran out of time"},
		"a model that does not let it in": {modelsim.Always(modelsim.Reply{Status: 401, Error: "wrong key"}), nil, "could not reach my language model"},
		"an empty answer":                 {modelsim.Always(modelsim.Reply{Text: " "}), nil, "empty answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, c.model, c.change)
			thread := d.ask(d.ben, "do something")
			d.answer(thread, regexp.QuoteMeta(c.want))
			if all := d.said(thread); len(all) != 1 {
				t.Errorf("the agent said %q, want one answer", all)
			}
		})
	}
}

func TestAModelThatFailsForAMomentIsAskedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, inTurn(modelsim.Reply{Status: 500, Error: "busy"}, modelsim.Reply{Garbage: true}, modelsim.Reply{Text: "here I am"}), nil)
	d.answer(d.ask(d.ben, "are you there?"), "^here I am$")
}

func TestMistakesOfTheModelAreToldToIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply modelsim.Reply
		want  string
	}{
		"a tool that does not exist":    {calls("launch_rocket", map[string]string{}), "there is no tool"},
		"arguments that are not JSON":   {modelsim.Reply{Calls: []modelsim.Call{{Name: "recall", Raw: `{"query":`}}}, "not a JSON object"},
		"an argument that is not known": {calls("recall", map[string]string{"query": "x", "scope": "all"}), "do not fit the tool"},
		"a channel that it is not in":   {calls("post", map[string]string{"channel": "#nowhere", "text": "x"}), "I am in no channel called"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
				if told := q.Last("tool"); told.Role != "" {
					return modelsim.Reply{Text: "I was told: " + told.Content}
				}
				return c.reply
			}, nil)
			d.answer(d.ask(d.ben, "try it"), regexp.QuoteMeta(c.want))
		})
	}
}

// A guest's request is the guest's, whatever the model makes of it.
func TestAGuestCannotHaveItWrite(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
		if told := q.Last("tool"); told.Role != "" {
			return modelsim.Reply{Text: "I was told: " + told.Content}
		}
		return calls("post", map[string]string{"channel": "#general", "text": "a guest was here"})
	}, nil)
	d.answer(d.ask(d.gil, "post it"), "only full members")
	for _, m := range d.view.All() {
		if strings.HasPrefix(m.Text, "a guest was here") {
			t.Error("the guest's post went out")
		}
	}
}

func TestSilenceWhenAReplyIsNotForTheAgent(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
		if strings.Contains(q.Last("user").Content, "thanks Ada") {
			return modelsim.Reply{Text: ""}
		}
		return modelsim.Reply{Text: "done"}
	}, nil)
	thread := d.ask(d.ben, "do it")
	d.answer(thread, "^done$")
	d.reply(d.ben, thread, "thanks Ada, see you later")
	d.until(`SELECT COUNT(*) = 2 FROM turns WHERE state = 'done'`)
	if all := d.said(thread); len(all) != 1 {
		t.Errorf("the agent said %q, want nothing more than its answer", all)
	}
}

func TestLongWorkShowsProgressInOneMessage(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
		if n := strings.Count(string(q.Body), `"role":"tool"`); n < 3 {
			return modelsim.Reply{Calls: []modelsim.Call{{Name: "recall", Args: map[string]string{"query": strings.Repeat("y", n+1)}}}, Delay: 40 * time.Millisecond}
		}
		return modelsim.Reply{Text: "finished"}
	}, func(a *App) {
		a.loop.Faces.ProgressAfter, a.loop.Faces.ProgressEvery = time.Millisecond, 10*time.Millisecond
	})
	thread := d.ask(d.ben, "work for long")
	d.answer(thread, "^finished$")
	d.answer(thread, "^Worked on it:.*recall")
	if all := d.said(thread); len(all) != 2 {
		t.Errorf("the agent said %q, want one progress message and the answer", all)
	}
}
