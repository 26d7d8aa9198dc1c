package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"deskmate/internal/slacksim"
)

func TestDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t, slacksim.Options{})
	now := time.Unix(1700000000, 0)
	var saved sync.Map
	d := NewDirectory(r.api, DirectoryOptions{
		Clock:      func() time.Time { return now },
		SavePerson: func(_ context.Context, _ string, p Person) { saved.Store(p.ID, p) },
	})
	ws := r.self.Workspace
	for user, want := range map[string]string{"U0ADA": KindMember, "U0GIL": KindGuest, "U0XENA": KindOutsider, r.self.User: KindBot, "U0NOBODY": KindOutsider} {
		if got, err := d.RequesterKind(t.Context(), ws, user, ""); got != want || err != nil {
			t.Errorf("kind of %s: got %q, %v; want %s", user, got, err, want)
		}
	}
	if got, err := d.RequesterKind(t.Context(), ws, "U0ADA", "T9"); got != KindOutsider || err != nil {
		t.Errorf("kind of somebody from elsewhere: got %q, %v; want outsider", got, err)
	}
	for channel, want := range map[string]string{"C0GENERAL": ChannelPublic, "C0LEADS": ChannelPrivate, "C0PARTNERS": ChannelShared} {
		if got, err := d.ChannelKind(t.Context(), ws, channel); got != want || err != nil {
			t.Errorf("kind of %s: got %q, %v; want %s", channel, got, err, want)
		}
	}
	ada, err := d.Person(t.Context(), ws, "U0ADA")
	if err != nil || ada.Name == "" || ada.TZ != "Europe/Berlin" || !ada.IsAdmin {
		t.Errorf("Ada: got %+v, %v", ada, err)
	}
	if _, ok := saved.Load("U0ADA"); !ok {
		t.Error("Ada was not handed on for keeping")
	}
	for _, called := range []string{"<@U0BEN>", "U0BEN", "@ben", "Ben"} {
		if p, err := d.Find(t.Context(), ws, called); err != nil || p.ID != "U0BEN" {
			t.Errorf("find %s: got %+v, %v; want Ben", called, p, err)
		}
	}
	if _, err := d.Find(t.Context(), ws, "Zoe"); err == nil {
		t.Error("found Zoe, who is nobody")
	}
	if c, err := d.ChannelByName(t.Context(), ws, "#eng"); err != nil || c.ID != "C0ENG" {
		t.Errorf("channel #eng: got %+v, %v", c, err)
	}
	one, err := d.Direct(t.Context(), ws, "U0BEN")
	if err != nil || one == "" || one[0] != 'D' {
		t.Errorf("direct messages with Ben: got %q, %v", one, err)
	}
}

func TestDirectoryForgetsWhatChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t, slacksim.Options{})
	d := NewDirectory(r.api, DirectoryOptions{})
	ws := r.self.Workspace
	if p, err := d.Person(t.Context(), ws, "U0BEN"); err != nil || p.IsDeleted {
		t.Fatalf("Ben: got %+v, %v", p, err)
	}
	r.emulator("user", `{"user":"U0BEN","deleted":true}`)
	if p, err := d.Person(t.Context(), ws, "U0BEN"); err != nil || p.IsDeleted {
		t.Errorf("before the change is known: got %+v, %v; want what was known", p, err)
	}
	d.Forget(Change{Workspace: ws, Kind: "user_change", User: "U0BEN"})
	if p, err := d.Person(t.Context(), ws, "U0BEN"); err != nil || !p.IsDeleted {
		t.Errorf("after it: got %+v, %v; want Ben deactivated", p, err)
	}
	if kind, err := d.RequesterKind(t.Context(), ws, "U0BEN", ws); kind != KindOutsider || err != nil {
		t.Errorf("kind of somebody deactivated: got %q, %v; want outsider, who may do least", kind, err)
	}
}

// calls counts the calls that Slack got, by their method.
func (r *rig) calls() map[string]int {
	r.t.Helper()
	resp, err := http.Get(r.url + "/emulator/log")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var log struct {
		Calls []struct{ Method string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&log); err != nil {
		r.t.Fatal(err)
	}
	n := map[string]int{}
	for _, c := range log.Calls {
		n[c.Method]++
	}
	return n
}

// Of channels that the agent is not in Slack tells nothing: a few are asked for each
// time, many together once an hour, and what Slack does not show is private.
func TestChannelsThatTheAgentLeftAreAskedFor(t *testing.T) {
	t.Parallel()
	for _, n := range []int{fewUnlisted, 3 * fewUnlisted} {
		seed := slacksim.DefaultSeed()
		for i := range n {
			seed.Channels = append(seed.Channels, slacksim.ChannelSeed{ID: fmt.Sprintf("C0LEFT%d", i), Name: fmt.Sprintf("left-%d", i), Members: []string{"U0ADA"}})
		}
		r := newRig(t, slacksim.Options{Seed: seed})
		now := time.Unix(1700000000, 0)
		open := map[string]Opened{}
		for i := range n {
			id := fmt.Sprintf("C0LEFT%d", i)
			open[id] = Opened{ID: id, Name: id, At: now}
		}
		d := NewDirectory(r.api, DirectoryOptions{
			Clock: func() time.Time { return now }, Self: r.self.User,
			Open: func(context.Context, string) ([]Opened, error) { return slices.Collect(maps.Values(open)), nil },
			SaveChannel: func(_ context.Context, _ string, c Channel) {
				if delete(open, c.ID); c.Kind == ChannelPublic {
					open[c.ID] = Opened{ID: c.ID, Name: c.Name, At: now}
				}
			},
		})
		read := func(after time.Duration) map[string]int {
			t.Helper()
			now = now.Add(after)
			before := r.calls()
			if _, err := d.ReadingPlace(t.Context(), r.self.Workspace, "C0ENG", ChannelPublic, "U0ADA", ""); err != nil {
				t.Fatal(err)
			}
			made := r.calls()
			for method, count := range before {
				made[method] -= count
			}
			return made
		}
		read(0)
		r.emulator("channel", `{"channel":"C0LEFT3","is_private":true}`)
		r.emulator("channel", `{"channel":"C0LEFT4","is_ext_shared":true}`)
		r.emulator("channel", `{"channel":"C0LEFT5","is_archived":true}`)
		if n > fewUnlisted {
			if made := read(directoryTTL + time.Minute); made["conversations.info"]+made["conversations.list"] != 0 || len(open) != n {
				t.Errorf("%d channels, within an hour: %d are open after %v", n, len(open), made)
			}
		}
		made := read(unlistedFor + time.Minute)
		if len(open) != n-2 || open["C0LEFT3"].ID+open["C0LEFT4"].ID != "" || open["C0LEFT5"].ID == "" {
			t.Errorf("%d channels, of which one turned private and one shared: %d are open: %v", n, len(open), open)
		}
		if few := made["conversations.info"]; n > fewUnlisted && (few > 0 || made["conversations.list"] != 1) || n <= fewUnlisted && few != n {
			t.Errorf("%d channels were asked for with %v", n, made)
		}
	}
}

// Only Slack's word on a person is taken for what they are: a refusal that says
// nothing about them must not make an outsider of a sponsor or an approver.
func TestStandingTellsARefusalFromAnAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer string
		status       int
		kind         string // "" for an error
	}{
		{"nobody of that id", `{"ok":false,"error":"user_not_found"}`, http.StatusOK, KindOutsider},
		{"somebody out of sight", `{"ok":false,"error":"user_not_visible"}`, http.StatusOK, KindOutsider},
		{"a scope is missing", `{"ok":false,"error":"missing_scope","needed":"users:read"}`, http.StatusOK, ""},
		{"the workspace is out of reach", `{"ok":false,"error":"team_access_not_granted"}`, http.StatusOK, ""},
		{"the token is void", `{"ok":false,"error":"token_revoked"}`, http.StatusOK, ""},
		{"a proxy is in the way", `denied`, http.StatusForbidden, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				if _, err := w.Write([]byte(c.answer)); err != nil {
					t.Errorf("answer: %v", err)
				}
			}))
			defer web.Close()
			d := NewDirectory(NewAPI(APIOptions{BaseURL: web.URL, BotToken: "xoxb-test"}), DirectoryOptions{})
			got, err := d.Standing(context.Background(), "T0", "U0ADA", nil)
			if (err != nil) != (c.kind == "") || got.Kind != c.kind || got.Active {
				t.Errorf("Standing = %+v, %v; want kind %q", got, err, c.kind)
			}
		})
	}
}
