package slacksim_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"deskmate/internal/slacksim"
)

func TestTimestampsRiseThoughTheClockGoesBack(t *testing.T) {
	t.Parallel()
	clock := slacksim.NewClock()
	s, _ := workspace(t, slacksim.Options{Clock: clock})
	last := say(t, s, "U0BEN", "C0ENG", "now")
	for _, move := range []time.Duration{24 * time.Hour, -48 * time.Hour, 0} {
		clock.Advance(move)
		ts := say(t, s, "U0BEN", "C0ENG", "later")
		if ts <= last {
			t.Errorf("after moving the clock by %v: ts %s, want more than %s", move, ts, last)
		}
		last = ts
	}
}

func TestClockCanBeSetAndTellsSleepers(t *testing.T) {
	t.Parallel()
	clock := slacksim.NewClock()
	_, base := workspace(t, slacksim.Options{Clock: clock})
	moved := clock.Changed()
	control(t, base, http.MethodPost, "/emulator/clock", `{"set":"2030-01-02T03:04:05Z"}`)
	await(t, moved, "the clock's move")
	if got := clock.Now().UTC().Format("2006-01-02T15:04"); got != "2030-01-02T03:04" {
		t.Errorf("the clock shows %s, want 2030-01-02T03:04", got)
	}
	control(t, base, http.MethodPost, "/emulator/clock", `{"advance":"24h"}`)
	if got := clock.Now().UTC().Day(); got != 3 {
		t.Errorf("a day later it is the %d., want the 3.", got)
	}
	if out := control(t, base, http.MethodPost, "/emulator/clock", `{"advance":"soon"}`); out["ok"] != false {
		t.Errorf("advance by soon: %v, want a refusal", out)
	}
}

func TestTextIsStoredAsSlackStoresIt(t *testing.T) {
	t.Parallel()
	_, base := workspace(t, slacksim.Options{})
	for in, want := range map[string]string{
		"plain":                              "plain",
		"a & b < c > d":                      "a &amp; b &lt; c &gt; d",
		"kept &amp; &lt;":                    "kept &amp; &lt;",
		"<@U0ADA> in <#C0ENG|eng> <!here>":   "<@U0ADA> in <#C0ENG|eng> <!here>",
		"see https://example.com/a?b=1&c=2.": "see <https://example.com/a?b=1&amp;c=2>.",
		"<https://example.com|words>":        "<https://example.com|words>",
		"`https://example.com`":              "`https://example.com`",
		"<script>":                           "&lt;script&gt;",
		"bad \xff byte":                      "bad \uFFFD byte",
		strings.Repeat("é", 40_010):          strings.Repeat("é", 40_000),
	} {
		out := call(t, base, slacksim.UserToken("U0BEN"), "chat.postMessage", "channel", "C0ENG", "text", in)
		if got := out["message"].(map[string]any)["text"]; got != want {
			t.Errorf("%.60q is stored as %.80q, want %.80q", in, got, want)
		}
	}
}

func TestDirectMessageReachesTheApp(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	ben := slacksim.UserToken("U0BEN")
	dm := call(t, base, ben, "conversations.open", "users", "U0DESKMATE")["channel"].(map[string]any)["id"].(string)
	call(t, base, ben, "chat.postMessage", "channel", dm, "text", "<@U0DESKMATE> psst")
	var outer struct {
		Event map[string]any `json:"event"`
	}
	if err := json.Unmarshal(w.read().Payload, &outer); err != nil {
		t.Fatal(err)
	}
	if outer.Event["type"] != "message" || outer.Event["channel_type"] != "im" {
		t.Errorf("got %v, want a message of an im", outer.Event)
	}
	if f, err := w.try(50 * time.Millisecond); err == nil {
		t.Errorf("a second event came of one direct message: %s; app_mention never fires there", f.Payload)
	}
	for _, other := range []string{"U0ADA", "U0CHLOE"} {
		if out := raw(t, base, slacksim.UserToken(other), "conversations.history", "channel", dm); out["error"] != "channel_not_found" {
			t.Errorf("%s reads Ben's direct message: %v", other, out)
		}
	}
	// The app may name the person instead of the channel.
	if out := call(t, base, s.BotToken(), "chat.postMessage", "channel", "U0BEN", "text", "yes?"); out["channel"] != dm {
		t.Errorf("a post to U0BEN went to %v, want %s", out["channel"], dm)
	}
}

func TestOutsiderIsMarkedInEvents(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	say(t, s, "U0XENA", "C0PARTNERS", "hello")
	var outer map[string]any
	if err := json.Unmarshal(w.read().Payload, &outer); err != nil {
		t.Fatal(err)
	}
	event := outer["event"].(map[string]any)
	if outer["is_ext_shared_channel"] != true || event["user_team"] != "T0PARTNER" || outer["team_id"] != "T0DESKMATE" {
		t.Errorf("got %v, want a shared channel, user_team T0PARTNER and team_id T0DESKMATE", outer)
	}
}

func TestDeletedRootLeavesATombstone(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	root := say(t, s, "U0BEN", "C0ENG", "root")
	if _, err := s.Say("U0ADA", "C0ENG", "reply", root); err != nil {
		t.Fatal(err)
	}
	call(t, base, slacksim.UserToken("U0BEN"), "chat.delete", "channel", "C0ENG", "ts", root)
	messages := call(t, base, s.BotToken(), "conversations.replies", "channel", "C0ENG", "ts", root)["messages"].([]any)
	if first := messages[0].(map[string]any); len(messages) != 2 || first["subtype"] != "tombstone" {
		t.Errorf("the thread is %v, want a tombstone and the reply", messages)
	}
}

func TestHistoryPagesAreStableUnderNewMessages(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	var want []string
	for i := range 7 {
		want = append([]string{say(t, s, "U0BEN", "C0ENG", fmt.Sprint(i))}, want...)
	}
	var got []string
	cursor := ""
	for range 10 {
		page := call(t, base, s.BotToken(), "conversations.history", "channel", "C0ENG", "limit", "3", "cursor", cursor)
		for _, m := range page["messages"].([]any) {
			got = append(got, m.(map[string]any)["ts"].(string))
		}
		say(t, s, "U0BEN", "C0ENG", "in between")
		meta, more := page["response_metadata"].(map[string]any)
		if !more {
			break
		}
		cursor = meta["next_cursor"].(string)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("pages hold %v, want %v", got, want)
	}
	since := call(t, base, s.BotToken(), "conversations.history", "channel", "C0ENG", "oldest", want[2], "latest", want[0], "inclusive", "1")["messages"].([]any)
	if len(since) != 3 {
		t.Errorf("the window holds %d messages, want 3", len(since))
	}
}

func TestOldMessagesAreForgotten(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{MaxMessages: 10})
	for i := range 50 {
		say(t, s, "U0BEN", "C0ENG", fmt.Sprint(i))
	}
	left := call(t, base, s.BotToken(), "conversations.history", "channel", "C0ENG")["messages"].([]any)
	if len(left) != 10 || left[0].(map[string]any)["text"] != "49" {
		t.Errorf("%d messages are left, the newest %v; want 10, and 49", len(left), left[0])
	}
}

func TestMetadataIsShownOnRequest(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	call(t, base, s.BotToken(), "chat.postMessage", "channel", "C0ENG", "text", "x", "metadata", `{"event_type":"post","event_payload":{"key":"k"}}`)
	for flag, want := range map[string]string{"0": `map[event_type:post]`, "1": `map[event_payload:map[key:k] event_type:post]`} {
		m := call(t, base, s.BotToken(), "conversations.history", "channel", "C0ENG", "include_all_metadata", flag)["messages"].([]any)[0]
		if got := fmt.Sprint(m.(map[string]any)["metadata"]); got != want {
			t.Errorf("include_all_metadata=%s: metadata %s, want %s", flag, got, want)
		}
	}
}

func TestResponseURLEndsAfterHalfAnHour(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	answer := later(t, base, "/emulator/command", `{"user":"U0BEN","channel":"C0ENG","command":"/deskmate","text":"x"}`)
	f := w.read()
	w.ack(f.EnvelopeID, `{"text":"noted"}`)
	if got := await(t, answer, "the command's answer"); got["ok"] != true {
		t.Errorf("the command was answered with %v, want ok", got)
	}
	hidden := control(t, base, http.MethodGet, "/emulator/state?user=U0BEN", "")["ephemeral"].(map[string]any)["U0BEN"]
	if !strings.Contains(fmt.Sprint(hidden), "noted") {
		t.Errorf("Ben sees %v, want the acknowledgement's text", hidden)
	}
	var command struct {
		ResponseURL string `json:"response_url"`
	}
	if err := json.Unmarshal(f.Payload, &command); err != nil {
		t.Fatal(err)
	}
	post := func() int {
		t.Helper()
		resp, err := http.Post(command.ResponseURL, "application/json", strings.NewReader(`{"text":"later"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := post(); got != http.StatusOK {
		t.Errorf("first use: status %d, want 200", got)
	}
	s.Pass(31 * time.Minute)
	if got := post(); got != http.StatusNotFound {
		t.Errorf("use after 31 minutes: status %d, want 404", got)
	}
}

func TestTriggerEndsAfterThreeSeconds(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	later(t, base, "/emulator/command", `{"user":"U0BEN","channel":"C0ENG","command":"/deskmate"}`)
	f := w.read()
	w.ack(f.EnvelopeID, "")
	var command struct {
		Trigger string `json:"trigger_id"`
	}
	if err := json.Unmarshal(f.Payload, &command); err != nil {
		t.Fatal(err)
	}
	s.Pass(4 * time.Second)
	out := raw(t, base, s.BotToken(), "views.open", "trigger_id", command.Trigger, "view", `{"type":"modal","title":{"type":"plain_text","text":"T"},"blocks":[]}`)
	if out["error"] != "expired_trigger_id" {
		t.Errorf("got %v, want expired_trigger_id", out)
	}
}

func TestStreamEndsAfterFiveMinutes(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	root := say(t, s, "U0BEN", "C0ENG", "go on")
	ts := call(t, base, s.BotToken(), "chat.startStream", "channel", "C0ENG", "thread_ts", root, "recipient_user_id", "U0BEN",
		"recipient_team_id", "T0DESKMATE", "markdown_text", "one")["ts"].(string)
	if out := raw(t, base, s.BotToken(), "chat.update", "channel", "C0ENG", "ts", ts, "text", "x"); out["error"] != "streaming_state_conflict" {
		t.Errorf("update of a stream: %v, want streaming_state_conflict", out)
	}
	s.Pass(6 * time.Minute)
	if out := raw(t, base, s.BotToken(), "chat.appendStream", "channel", "C0ENG", "ts", ts, "markdown_text", "two"); out["error"] != "message_not_in_streaming_state" {
		t.Errorf("append after six minutes: %v, want message_not_in_streaming_state", out)
	}
}

func TestStateAndStreamShowWhatAPersonMaySee(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	for who, want := range map[string]string{"U0GIL": "[C0GENERAL]", "U0XENA": "[C0PARTNERS]", "U0BEN": "[C0GENERAL C0ENG C0PARTNERS]"} {
		var got []any
		for _, c := range control(t, base, http.MethodGet, "/emulator/state?user="+who, "")["channels"].([]any) {
			got = append(got, c.(map[string]any)["id"])
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s sees %v, want %s", who, got, want)
		}
	}
	next := follow(t, base, "U0GIL", "")
	call(t, base, s.BotToken(), "chat.postEphemeral", "channel", "C0GENERAL", "user", "U0ADA", "text", "for Ada")
	say(t, s, "U0ADA", "C0LEADS", "secret")
	say(t, s, "U0ADA", "C0GENERAL", "public")
	if e := next(); e.Type != "message" || e.Message.Text != "public" {
		t.Errorf("Gil's stream begins with %+v, want the public message", e)
	}
}

func TestStreamGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	next := follow(t, base, "U0BEN", "")
	say(t, s, "U0BEN", "C0ENG", "one")
	seen := next()
	say(t, s, "U0BEN", "C0ENG", "two")
	if e := follow(t, base, "U0BEN", seen.id)(); e.Message.Text != "two" {
		t.Errorf("after Last-Event-ID %s came %+v, want the second message", seen.id, e)
	}
	if e := follow(t, base, "U0BEN", "999999")(); e.Type != "reset" {
		t.Errorf("after an unknown Last-Event-ID came %+v, want a reset", e)
	}
}

// streamed is one server-sent event.
type streamed struct {
	id      string
	Type    string `json:"type"`
	Channel string `json:"channel"`
	Message struct {
		Text string `json:"text"`
	} `json:"message"`
}

// follow opens a person's stream and returns what reads its next event.
func follow(t *testing.T, base, userID, lastID string) func() streamed {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/emulator/stream?user="+userID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	events := make(chan streamed, 100)
	go func() {
		var e streamed
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				e = streamed{id: id}
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					t.Errorf("stream: %q: %v", data, err)
				}
				events <- e
			}
		}
	}()
	return func() streamed { t.Helper(); return await(t, events, "an event of the stream") }
}

func TestSeedIsStrict(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ yaml, want string }{
		"empty":               {"", "the file is empty"},
		"unknown key":         {"team: {id: T1}\nusers:\n- {id: U1, nmae: x}\n", "line 3: field nmae not found"},
		"bad id":              {"team: {id: northwind}", `team id "northwind"`},
		"id used twice":       {"team: {id: T1}\nusers: [{id: U1}, {id: U1}]", "already the id of a user"},
		"unknown member":      {"team: {id: T1}\nchannels: [{id: C1, members: [U9]}]", `member "U9" is no user`},
		"unknown time zone":   {"team: {id: T1}\nusers: [{id: U1, tz: Mars/Olympus}]", "time zone"},
		"rate limits":         {"team: {id: T1}\nrate_limits: maybe", "want on or off"},
		"command":             {"team: {id: T1}\napps: [{id: A1, commands: [{command: go}]}]", "leading slash"},
		"message of a nobody": {"team: {id: T1}\nusers: [{id: U1}]\nchannels: [{id: C1}]\nmessages: [{channel: C1, user: U1, text: hi}]", "no member"},
	} {
		if _, err := slacksim.ParseSeed(strings.NewReader(x.yaml)); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want it to say %q", name, err, x.want)
		}
	}
	seed, err := slacksim.ParseSeed(strings.NewReader(`
team: {id: T0SMALL, name: Small}
rate_limits: off
users: [{id: U0ONE, name: one}]
channels: [{id: C0ONE, name: one, members: [U0ONE, U0BOT]}]
apps: [{id: A0BOT, name: helper, bot_user: U0BOT, scopes: [chat:write], events: []}]
messages: [{channel: C0ONE, user: U0ONE, text: first}, {channel: C0ONE, user: U0ONE, text: second, thread: 1}]
`))
	if err != nil {
		t.Fatalf("ParseSeed: %v", err)
	}
	s, base := workspace(t, slacksim.Options{Seed: seed})
	if out := call(t, base, s.BotToken(), "auth.test"); out["user_id"] != "U0BOT" {
		t.Errorf("auth.test: %v, want U0BOT", out)
	}
	if out := raw(t, base, s.BotToken(), "users.list"); out["error"] != "missing_scope" {
		t.Errorf("users.list: %v, want missing_scope", out)
	}
}

func TestForeignWebPagesAreTurnedAway(t *testing.T) {
	t.Parallel()
	_, base := workspace(t, slacksim.Options{})
	for _, x := range []struct {
		origin, host string
		want         int
	}{
		{"", "", http.StatusOK},
		{base, "", http.StatusOK},
		{"https://api.slack.com", "", http.StatusOK},
		{"https://evil.example", "", http.StatusForbidden},
		{"null", "", http.StatusForbidden},
		{"", "evil.example", http.StatusForbidden},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/auth.test?token="+slacksim.UserToken("U0ADA"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = x.host
		if x.origin != "" {
			req.Header.Set("Origin", x.origin)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != x.want {
			t.Errorf("origin %q, host %q: status %d, want %d", x.origin, x.host, resp.StatusCode, x.want)
		}
	}
}

func TestAssistantThreadIsAnnounced(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	for _, kind := range []string{"started", "context_changed"} {
		out := control(t, base, http.MethodPost, "/emulator/assistant", `{"user":"U0BEN","event":"`+kind+`","context_channel":"C0ENG"}`)
		if out["ok"] != true {
			t.Fatalf("assistant %s: %v", kind, out)
		}
		f := w.read()
		w.ack(f.EnvelopeID, "")
		if !strings.Contains(string(f.Payload), `"assistant_thread_`+kind+`"`) {
			t.Errorf("got %s, want assistant_thread_%s", f.Payload, kind)
		}
	}
}

func TestStartRefusesAddressesThatOthersReach(t *testing.T) {
	t.Parallel()
	s, err := slacksim.New(slacksim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
		if _, err := s.Start(t.Context(), addr); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
			t.Errorf("Start(%q): %v, want a refusal", addr, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
