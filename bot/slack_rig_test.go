package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"deskmate/identity"
	"deskmate/identity/ledger"
	"deskmate/internal/slacksim"
	"deskmate/migrations"
)

// rig is a workspace on this machine with a store beside it.
type rig struct {
	t    *testing.T
	sim  *slacksim.Server
	url  string // of the emulator
	db   *migrations.DB
	api  *API
	self Self
}

func newRig(t *testing.T, o slacksim.Options) *rig {
	t.Helper()
	sim, err := slacksim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	base, err := sim.Start(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	r := &rig{t: t, sim: sim, url: base, db: openStore(t)}
	r.api = NewAPI(APIOptions{BaseURL: base + "/api", BotToken: sim.BotToken()})
	if r.self, err = r.api.Self(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) selfOf(workspace string) (Self, bool) { return r.self, workspace == r.self.Workspace }

// call makes an API call as the given user, by id, and returns the answer.
func (r *rig) call(user, method string, args ...string) map[string]any {
	r.t.Helper()
	form := url.Values{"token": {slacksim.UserToken(user)}}
	for i := 0; i+1 < len(args); i += 2 {
		form.Set(args[i], args[i+1])
	}
	resp, err := http.PostForm(r.url+"/api/"+method, form)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		r.t.Fatal(err)
	}
	if answer["ok"] != true {
		r.t.Fatalf("%s as %s: %v", method, user, answer["error"])
	}
	return answer
}

// says has a person post text, in a thread if one is given, and returns the ts.
func (r *rig) says(user, channel, text string, thread ...string) string {
	r.t.Helper()
	args := []string{"channel", channel, "text", text}
	if len(thread) > 0 {
		args = append(args, "thread_ts", thread[0])
	}
	return r.call(user, "chat.postMessage", args...)["ts"].(string)
}

// emulator posts JSON to one of the emulator's own endpoints.
func (r *rig) emulator(path, body string) {
	r.t.Helper()
	resp, err := http.Post(r.url+"/emulator/"+path, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		b, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("emulator %s: %s: %s", path, resp.Status, b)
	}
}

// within waits until ok holds, which is asked again at every signal and now and
// then besides.
func within(t *testing.T, d time.Duration, what string, signal <-chan string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-signal:
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, d)
		}
	}
}

// count runs a query that returns one number.
func (r *rig) count(q string, args ...any) int {
	r.t.Helper()
	var n int
	if err := r.db.QueryRow(context.Background(), q, args...).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// mention is text that asks the agent.
func (r *rig) mention(text string) string { return fmt.Sprintf("<@%s> %s", r.self.User, text) }

// newGate returns a gate as the product has it, for an active agent: built-in
// tools, in channels that the agent is in.
func newGate(t *testing.T, r *rig, people *Directory) *identity.Gate {
	t.Helper()
	keys, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	book := ledger.New(r.db, keys, ledger.Options{})
	if _, err := identity.NewAgents(r.db, book).Ensure(t.Context(), identity.Agent{Workspace: r.self.Workspace, User: r.self.User, Name: "Deskmate"}); err != nil {
		t.Fatal(err)
	}
	tools := map[string]bool{"reply": true, "post": true, "update": true, "react": true, "status": true}
	return identity.NewGate(r.db, book, identity.FixedPolicy{
		Tools: tools, Manners: map[string]bool{"reply": true, "status": true},
		Channel: people.Membership,
	}, nil)
}
