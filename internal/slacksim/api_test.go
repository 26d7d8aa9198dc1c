package slacksim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"deskmate/internal/slacksim"
)

func TestArgumentsComeInEveryForm(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	for k, v := range map[string]string{"token": s.BotToken(), "channel": "C0ENG", "text": "hi"} {
		if err := parts.WriteField(k, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := parts.Close(); err != nil {
		t.Fatal(err)
	}
	bearer := "Bearer " + s.BotToken()
	for _, x := range []struct{ name, auth, query, media, body string }{
		{"form with the token in the body", "", "", "application/x-www-form-urlencoded", "token=" + s.BotToken() + "&channel=C0ENG&text=hi"},
		{"form with the token in the header", bearer, "", "application/x-www-form-urlencoded", "channel=C0ENG&text=hi"},
		{"JSON", bearer, "", "application/json; charset=utf-8", `{"channel":"C0ENG","text":"hi","unfurl_links":false,"blocks":[{"type":"divider"}]}`},
		{"multipart", "", "", parts.FormDataContentType(), form.String()},
		{"query", bearer, "?channel=C0ENG&text=hi&mrkdwn=0", "", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/chat.postMessage"+x.query, strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", x.auth)
		req.Header.Set("Content-Type", x.media)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out["ok"] != true {
			t.Errorf("%s: %v, %v; want ok", x.name, out, err)
		}
		resp.Body.Close()
	}
}

func TestCallsThatSlackRefuses(t *testing.T) {
	t.Parallel()
	seed := slacksim.DefaultSeed()
	seed.Channels = append(seed.Channels,
		slacksim.ChannelSeed{ID: "C0OLD", Name: "old", Archived: true, Members: []string{"U0ADA", "U0DESKMATE"}},
		slacksim.ChannelSeed{ID: "C0SECRET", Name: "secret", Private: true, Members: []string{"U0ADA"}},
		slacksim.ChannelSeed{ID: "C0OPEN", Name: "open", Members: []string{"U0ADA"}})
	seed.Apps[0].Scopes = []string{"chat:write", "channels:history", "channels:read", "reactions:write", "users:read"}
	s, base := workspace(t, slacksim.Options{Seed: seed})
	theirs := say(t, s, "U0BEN", "C0ENG", "mine")
	ada, gil, xena := slacksim.UserToken("U0ADA"), slacksim.UserToken("U0GIL"), slacksim.UserToken("U0XENA")
	long := strings.Repeat("é", 12_001)
	for _, x := range []struct {
		name, want, token, method string
		args                      []string
	}{
		{"a method that does not exist", "unknown_method", s.BotToken(), "chat.shout", nil},
		{"no channel", "invalid_arguments", s.BotToken(), "chat.postMessage", []string{"text", "x"}},
		{"archived channel", "is_archived", s.BotToken(), "chat.postMessage", []string{"channel", "C0OLD", "text", "x"}},
		{"private channel of others", "channel_not_found", s.BotToken(), "chat.postMessage", []string{"channel", "C0SECRET", "text", "x"}},
		{"public channel without membership", "not_in_channel", s.BotToken(), "chat.postMessage", []string{"channel", "C0OPEN", "text", "x"}},
		{"history without membership", "not_in_channel", s.BotToken(), "conversations.history", []string{"channel", "C0OPEN"}},
		{"guest in a channel they were not invited to", "channel_not_found", gil, "chat.postMessage", []string{"channel", "C0ENG", "text", "x"}},
		{"outsider beyond the shared channel", "channel_not_found", xena, "conversations.info", []string{"channel", "C0GENERAL"}},
		{"a message of someone else", "cant_update_message", s.BotToken(), "chat.update", []string{"channel", "C0ENG", "ts", theirs, "text", "x"}},
		{"deleting someone else's", "cant_delete_message", ada, "chat.delete", []string{"channel", "C0ENG", "ts", theirs}},
		{"text of spaces", "no_text", s.BotToken(), "chat.postMessage", []string{"channel", "C0ENG", "text", "  "}},
		{"markdown beside text", "markdown_text_conflict", s.BotToken(), "chat.postMessage", []string{"channel", "C0ENG", "text", "x", "markdown_text", "y"}},
		{"long markdown", "msg_too_long", s.BotToken(), "chat.postMessage", []string{"channel", "C0ENG", "markdown_text", long}},
		{"blocks that are no list", "invalid_blocks_format", s.BotToken(), "chat.postMessage", []string{"channel", "C0ENG", "blocks", "{"}},
		{"metadata without payload", "invalid_metadata_schema", s.BotToken(), "chat.postMessage", []string{"channel", "C0ENG", "text", "x", "metadata", `{"event_type":"e"}`}},
		{"another's name", "missing_scope", s.BotToken(), "chat.postMessage", []string{"channel", "C0ENG", "text", "x", "username", "boss"}},
		{"whispering to an absent user", "user_not_in_channel", s.BotToken(), "chat.postEphemeral", []string{"channel", "C0ENG", "user", "U0GIL", "text", "x"}},
		{"an unknown thread", "thread_not_found", s.BotToken(), "conversations.replies", []string{"channel", "C0ENG", "ts", "1.000002"}},
		{"a cursor of someone's own making", "invalid_cursor", s.BotToken(), "users.list", []string{"cursor", "x"}},
		{"an unknown conversation type", "invalid_types", s.BotToken(), "conversations.list", []string{"types", "secret"}},
		{"a private channel without its scope", "missing_scope", s.BotToken(), "conversations.history", []string{"channel", "C0LEADS"}},
		{"opening a DM without its scope", "missing_scope", s.BotToken(), "conversations.open", []string{"users", "U0BEN"}},
		{"an emoji that cannot be", "invalid_name", s.BotToken(), "reactions.add", []string{"channel", "C0ENG", "timestamp", theirs, "name", "NO WAY"}},
		{"an app-level method with a bot token", "not_allowed_token_type", s.BotToken(), "apps.connections.open", nil},
		{"a person where only an app may", "not_allowed_token_type", ada, "views.publish", []string{"user_id", "U0ADA", "view", "{}"}},
		{"the conversations of nobody", "user_not_found", s.BotToken(), "users.conversations", []string{"user", "U0NOBODY"}},
		{"an unknown user", "user_not_found", s.BotToken(), "users.info", []string{"user", "U0NOBODY"}},
		{"streaming without a recipient", "missing_recipient_user_id", s.BotToken(), "chat.startStream", []string{"channel", "C0ENG", "thread_ts", theirs}},
		{"a bad OAuth client", "invalid_client_id", "", "oauth.v2.access", []string{"client_id", "x", "code", "y"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			if got := raw(t, base, x.token, x.method, x.args...); got["ok"] != false || got["error"] != x.want {
				t.Errorf("got %v, want the error %s", got, x.want)
			}
		})
	}
}

// Of another person an app learns the public channels and those private ones that
// it is in itself.
func TestConversationsOfAPerson(t *testing.T) {
	t.Parallel()
	seed := slacksim.DefaultSeed()
	seed.Channels = append(seed.Channels, slacksim.ChannelSeed{ID: "C0SECRET", Name: "secret", Private: true, Members: []string{"U0ADA", "U0CHLOE"}},
		slacksim.ChannelSeed{ID: "C0OPEN", Name: "open", Members: []string{"U0CHLOE"}})
	s, base := workspace(t, slacksim.Options{Seed: seed})
	for user, want := range map[string]string{"U0CHLOE": "C0GENERAL C0ENG C0LEADS C0OPEN", "U0BEN": "C0GENERAL C0ENG C0PARTNERS", "U0GIL": "C0GENERAL"} {
		var got []string
		for _, c := range call(t, base, s.BotToken(), "users.conversations", "user", user, "types", "public_channel,private_channel")["channels"].([]any) {
			got = append(got, c.(map[string]any)["id"].(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", user, got, want)
		}
	}
}

func TestMissingScopeSaysWhatIsNeeded(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	out := raw(t, base, s.BotToken(), "team.info")
	if out["needed"] != "team:read" || !strings.Contains(fmt.Sprint(out["provided"]), "chat:write") {
		t.Errorf("got %v, want team:read needed and the app's scopes provided", out)
	}
}

func TestBlocksThatSlackRefuses(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	text := func(n int) string { return `{"type":"mrkdwn","text":"` + strings.Repeat("x", n) + `"}` }
	plain := func(s string) string { return `{"type":"plain_text","text":"` + s + `"}` }
	press := func(id string) string { return `{"type":"button","action_id":"` + id + `","text":` + plain("Go") + `}` }
	for _, x := range []struct{ name, blocks, want string }{
		{"unknown type", `[{"type":"dance"}]`, "unsupported type: dance [json-pointer:/blocks/0/type]"},
		{"a type that only streams take", `[{"type":"card"}]`, "unsupported type: card"},
		{"too many", "[" + strings.Repeat(`{"type":"divider"},`, 50) + `{"type":"divider"}]`, "no more than 50 items allowed [json-pointer:/blocks]"},
		{"long section", `[{"type":"section","text":` + text(3001) + `}]`, "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"},
		{"empty section", `[{"type":"section"}]`, "missing required field: text or fields"},
		{"empty text", `[{"type":"section","text":` + text(0) + `}]`, "must be more than 0 characters"},
		{"header with markup", `[{"type":"header","text":` + text(3) + `}]`, "must be one of plain_text"},
		{"long header", `[{"type":"header","text":` + plain(strings.Repeat("x", 151)) + `}]`, "must be less than 151 characters"},
		{"no elements", `[{"type":"actions","elements":[]}]`, "no fewer than 1 items allowed"},
		{"same action twice", `[{"type":"actions","elements":[` + press("a") + "," + press("a") + `]}]`, "`action_id` \"a\" already exists"},
		{"same block twice", `[{"type":"divider","block_id":"b"},{"type":"divider","block_id":"b"}]`, "`block_id` already in use: b"},
		{"unknown element", `[{"type":"actions","elements":[{"type":"lever"}]}]`, "unsupported type: lever"},
		{"button style", `[{"type":"actions","elements":[{"type":"button","style":"huge","text":` + plain("Go") + `}]}]`, "must be a valid enum value"},
		{"long button", `[{"type":"actions","elements":[{"type":"button","text":` + plain(strings.Repeat("x", 76)) + `}]}]`, "must be less than 76 characters"},
		{"image without words", `[{"type":"image","image_url":"https://example.com/a.png"}]`, "missing required field: alt_text"},
		{"select without options", `[{"type":"section","text":` + text(1) + `,"accessory":{"type":"static_select"}}]`, "must be a list"},
		{"too much markdown", `[{"type":"markdown","text":"` + strings.Repeat("x", 7000) + `"},{"type":"markdown","text":"` + strings.Repeat("x", 7000) + `"}]`, "over all markdown blocks"},
		{"not an object", `[{"type":"section","text":"words"}]`, "must be a text object"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			out := raw(t, base, s.BotToken(), "chat.postMessage", "channel", "C0ENG", "text", "t", "blocks", x.blocks)
			if out["error"] != "invalid_blocks" || !strings.Contains(fmt.Sprint(out["response_metadata"]), x.want) {
				t.Errorf("got %v, want invalid_blocks with %q", out, x.want)
			}
		})
	}
}

func TestRateLimitAnswers429(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	post := func(channel string) int {
		t.Helper()
		resp, err := http.PostForm(base+"/api/chat.postMessage", map[string][]string{"token": {s.BotToken()}, "channel": {channel}, "text": {"x"}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		return resp.StatusCode
	}
	for i := range 60 {
		if got := post("C0ENG"); got != http.StatusOK {
			t.Fatalf("post %d: status %d, want 200", i+1, got)
		}
	}
	if got := post("C0ENG"); got != http.StatusTooManyRequests {
		t.Errorf("post 61 within a minute: status %d, want 429", got)
	}
	if got := post("C0GENERAL"); got != http.StatusOK {
		t.Errorf("post in another channel: status %d, want 200", got)
	}
	s.Pass(time.Minute)
	if got := post("C0ENG"); got != http.StatusOK {
		t.Errorf("post a minute later: status %d, want 200", got)
	}
	if _, err := s.Say("U0BEN", "C0ENG", "people are not limited", ""); err != nil {
		t.Error(err)
	}
}

func TestPinsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	ben := slacksim.UserToken("U0BEN")
	var ts []string
	for _, text := range []string{"one", "two", "three"} {
		ts = append(ts, call(t, base, ben, "chat.postMessage", "channel", "C0ENG", "text", text)["ts"].(string))
		call(t, base, ben, "pins.add", "channel", "C0ENG", "timestamp", ts[len(ts)-1])
	}
	if got := raw(t, base, ben, "pins.add", "channel", "C0ENG", "timestamp", ts[0]); got["error"] != "already_pinned" {
		t.Errorf("pinned twice: %v", got)
	}
	call(t, base, ben, "pins.remove", "channel", "C0ENG", "timestamp", ts[1])
	if got := raw(t, base, ben, "pins.remove", "channel", "C0ENG", "timestamp", ts[1]); got["error"] != "no_pin" {
		t.Errorf("unpinned twice: %v", got)
	}
	texts := func() (all []string) {
		for _, item := range call(t, base, s.BotToken(), "pins.list", "channel", "C0ENG")["items"].([]any) {
			all = append(all, item.(map[string]any)["message"].(map[string]any)["text"].(string))
		}
		return all
	}
	if got := strings.Join(texts(), " "); got != "three one" {
		t.Errorf("pinned are %q, want the newest first", got)
	}
	call(t, base, ben, "chat.delete", "channel", "C0ENG", "ts", ts[2])
	if got := strings.Join(texts(), " "); got != "one" {
		t.Errorf("after a deletion pinned are %q, want what is left", got)
	}
}

func TestRateLimitsCanBeOff(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{RateLimitsOff: true})
	for i := range 70 {
		if out := raw(t, base, s.BotToken(), "chat.postMessage", "channel", "C0ENG", "text", "x"); out["ok"] != true {
			t.Fatalf("post %d: %v", i+1, out)
		}
	}
}

func TestFaultsOfCalls(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	arm := func(body string) {
		t.Helper()
		if out := control(t, base, http.MethodPost, "/emulator/faults", body); out["ok"] != true {
			t.Fatalf("arm %s: %v", body, out)
		}
	}
	post := func() (*http.Response, error) {
		return http.PostForm(base+"/api/chat.postMessage", map[string][]string{"token": {s.BotToken()}, "channel": {"C0ENG"}, "text": {"x"}})
	}
	count := func() int {
		t.Helper()
		return len(call(t, base, slacksim.UserToken("U0ADA"), "conversations.history", "channel", "C0ENG")["messages"].([]any))
	}
	for _, x := range []struct {
		name, fault string
		status      int // zero: the connection breaks
		posted      int
	}{
		{"429", `{"kind":"429","method":"chat.*","times":1,"retry_after":3}`, 429, 0},
		{"500", `{"kind":"500","method":"chat.*","times":1}`, 500, 0},
		{"refuse cuts the connection before the call", `{"kind":"refuse","method":"chat.*","times":1}`, 0, 0},
		{"reset_after cuts it after the call", `{"kind":"reset_after","method":"chat.*","times":1}`, 0, 1},
		{"refuse with an error answers it", `{"kind":"refuse","method":"chat.*","times":1,"error":"fatal_error"}`, 200, 0},
		{"delay", `{"kind":"delay","method":"chat.*","times":1,"delay_ms":20}`, 200, 1},
	} {
		before, began := count(), time.Now()
		arm(x.fault)
		resp, err := post()
		switch {
		case x.status == 0 && err == nil:
			t.Errorf("%s: status %d, want a broken connection", x.name, resp.StatusCode)
		case x.status != 0 && err != nil:
			t.Errorf("%s: %v, want status %d", x.name, err, x.status)
		case x.status != 0 && resp.StatusCode != x.status:
			t.Errorf("%s: status %d, want %d", x.name, resp.StatusCode, x.status)
		}
		if err == nil {
			resp.Body.Close()
		}
		if got := count() - before; got != x.posted {
			t.Errorf("%s: %d messages were posted, want %d", x.name, got, x.posted)
		}
		if x.name == "delay" && time.Since(began) < 20*time.Millisecond {
			t.Errorf("delay: took %v, want at least 20ms", time.Since(began))
		}
	}
	for _, f := range control(t, base, http.MethodGet, "/emulator/faults", "")["faults"].([]any) {
		if got := f.(map[string]any)["fired"]; got != 1.0 {
			t.Errorf("fault %v fired %v times, want 1", f, got)
		}
	}
	control(t, base, http.MethodDelete, "/emulator/faults", "")
	if left := control(t, base, http.MethodGet, "/emulator/faults", "")["faults"].([]any); len(left) != 0 {
		t.Errorf("after DELETE there are %v", left)
	}
	if out := control(t, base, http.MethodPost, "/emulator/faults", `{"kind":"tantrum"}`); out["ok"] != false {
		t.Errorf("an unknown kind was armed: %v", out)
	}
}

func TestLogNamesCallsAndHidesSecrets(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	call(t, base, s.BotToken(), "chat.postMessage", "channel", "C0ENG", "text", "x")
	raw(t, base, "", "oauth.v2.access", "client_id", "client-A0DESKMATE", "client_secret", "hush-hush", "code", "c0de")
	out, err := json.Marshal(control(t, base, http.MethodGet, "/emulator/log?since=0", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hush-hush", "c0de", s.BotToken()} {
		if strings.Contains(string(out), secret) {
			t.Errorf("the log holds %q: %s", secret, out)
		}
	}
	for _, want := range []string{`"chat.postMessage"`, `"by":"U0DESKMATE"`, `"bad_client_secret"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the log lacks %s: %s", want, out)
		}
	}
}
