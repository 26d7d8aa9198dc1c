package slacksim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deskmate/internal/slacksim"
)

// shared is a file of Slack's machine-readable material, which stands beside the
// repository.
func shared(t *testing.T, path ...string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	raw, err := os.ReadFile(filepath.Join(append([]string{filepath.Dir(dir), "shared", "slack"}, path...)...))
	if err != nil {
		skipUnlessCI(t, "Slack's samples are not here: %v", err)
	}
	return raw
}

// beyondSamples are names that Slack documents but its samples, which are unions
// of recorded answers, do not have.
var beyondSamples = map[string]string{
	"authorizations":        "events sampled before it existed",
	"context_team_id":       "docs.slack.dev/apis/events-api",
	"context_enterprise_id": "docs.slack.dev/apis/events-api",
	"event_ts":              "the event's own time, on every event",
	"user_team":             "Slack Connect, docs.slack.dev/apis/slack-connect",
	"source_team":           "Slack Connect",
	"cache_ts":              "user_change",
	"reply_users":           "docs.slack.dev/reference/events/message/message_replied",
	"streaming_state":       "of the emulator, for its page",
	"hidden":                "docs.slack.dev/reference/events/message",
	"app_id":                "on messages of apps",
	"bot_id":                "on messages of apps",
	"bot_profile":           "on messages of apps",
	"root":                  "docs.slack.dev/reference/events/message/thread_broadcast",
	"no_op":                 "docs.slack.dev/reference/methods/conversations.open",
	"already_open":          "docs.slack.dev/reference/methods/conversations.open",
	"revoked":               "docs.slack.dev/reference/methods/auth.revoke",
	"response_metadata":     "docs.slack.dev/apis/web-api/pagination",
	"event_payload":         "docs.slack.dev/messaging/message-metadata",
	"text":                  "docs.slack.dev/reference/methods/chat.update",
	"state":                 "docs.slack.dev/reference/interaction-payloads/block_actions-payload",
	"response_urls":         "docs.slack.dev/reference/interaction-payloads/view-interactions-payload",
	"user_id":               "docs.slack.dev/reference/events/file_shared",
	"tab":                   "docs.slack.dev/reference/events/app_home_opened",
	"values":                "the state of a view, by block and action",
	"username":              "docs.slack.dev/reference/interaction-payloads",
	"is_user_deleted":       "docs.slack.dev/reference/objects/conversation-object",
	"blocks":                "of views in interactions and of thread roots",
	"elements":              "nested in rich text",
	"parent_user_id":        "on every reply",
	"team":                  "on every message",
	"client_msg_id":         "on every message of a person",
	"is_stranger":           "docs.slack.dev/reference/objects/user-object",

	"status_emoji_display_info": "docs.slack.dev/reference/objects/user-object",
}

// unfit lists the names and types in got that the sample does not have.
func unfit(path string, sample, got any) []string {
	if got == nil || sample == nil || path == "SlashCommandPayload.is_enterprise_install" {
		return nil // a null fits everything; commands are forms, whose booleans are words
	}
	switch g := got.(type) {
	case map[string]any:
		s, ok := sample.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is an object, sampled %T", path, sample)}
		}
		if len(s) == 0 {
			return nil // an open object
		}
		var out []string
		for _, k := range slices.Sorted(maps.Keys(g)) {
			want, known := s[k]
			if _, documented := beyondSamples[k]; !known && !documented {
				out = append(out, path+"."+k+" is not in the sample")
			} else if known {
				out = append(out, unfit(path+"."+k, want, g[k])...)
			}
		}
		return out
	case []any:
		s, ok := sample.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s is a list, sampled %T", path, sample)}
		}
		var out []string
		for i, e := range g {
			if like := alike(s, e); like != nil {
				out = append(out, unfit(fmt.Sprintf("%s[%d]", path, i), like, e)...)
			}
		}
		return out
	default:
		if a, b := fmt.Sprintf("%T", sample), fmt.Sprintf("%T", got); a != b {
			return []string{fmt.Sprintf("%s is a %s, sampled %s", path, b, a)}
		}
		return nil
	}
}

// alike is the element of a sampled list that stands for e: the one with its
// type, or the first.
func alike(sampled []any, e any) any {
	if o, ok := e.(map[string]any); ok {
		for _, s := range sampled {
			if so, isObj := s.(map[string]any); isObj && so["type"] == o["type"] {
				return s
			}
		}
	}
	if len(sampled) == 0 {
		return nil
	}
	return sampled[0]
}

// checkShape compares an answer or a payload with a sample.
func checkShape(t *testing.T, kind, name string, got any) {
	t.Helper()
	var sample any
	if err := json.Unmarshal(shared(t, "samples", kind, name+".json"), &sample); err != nil {
		t.Fatalf("sample %s: %v", name, err)
	}
	for _, problem := range unfit(name, sample, got) {
		t.Error(problem)
	}
}

// raw calls a method without a client between, as a form.
func raw(t *testing.T, base, token, method string, args ...string) map[string]any {
	t.Helper()
	form := url.Values{"token": {token}}
	for i := 0; i+1 < len(args); i += 2 {
		form.Set(args[i], args[i+1])
	}
	resp, err := http.PostForm(base+"/api/"+method, form)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatalf("%s: answer %q: %v", method, body, err)
	}
	return out
}

// call is raw for calls that must succeed.
func call(t *testing.T, base, token, method string, args ...string) map[string]any {
	t.Helper()
	out := raw(t, base, token, method, args...)
	if out["ok"] != true {
		t.Fatalf("%s %v: %v", method, args, out)
	}
	return out
}

// allScopes is the default workspace with every scope that a method may want.
func allScopes() *slacksim.Seed {
	seed := slacksim.DefaultSeed()
	seed.Apps[0].Scopes = strings.Fields(`app_mentions:read assistant:write channels:history channels:join channels:read chat:write
		commands files:read files:write groups:history groups:read im:history im:read im:write metadata.message:read mpim:history
		mpim:read mpim:write reactions:read reactions:write team:read users:read users:read.email`)
	seed.Apps[0].RedirectURLs = []string{"http://127.0.0.1/"}
	return seed
}

func TestResponsesHaveTheShapesOfSlack(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{Seed: allScopes()})
	do := func(method string, args ...string) map[string]any {
		t.Helper()
		out := call(t, base, s.BotToken(), method, args...)
		checkShape(t, "api", method, out)
		return out
	}
	checkShape(t, "api", "apps.connections.open", call(t, base, s.AppToken(), "apps.connections.open"))
	do("auth.test")
	do("bots.info", "bot", "B0DESKMATE")
	do("team.info")
	do("users.info", "user", "U0XENA")
	do("users.list")
	do("users.lookupByEmail", "email", "ada@northwind.example")
	do("conversations.info", "channel", "C0PARTNERS", "include_num_members", "1")
	do("conversations.list", "types", "public_channel,private_channel,im,mpim", "limit", "2")
	do("conversations.members", "channel", "C0ENG")
	do("conversations.join", "channel", "C0ENG")
	do("conversations.open", "users", "U0BEN", "return_im", "true")

	block := `[{"type":"section","text":{"type":"mrkdwn","text":"x"}},{"type":"actions","elements":[{"type":"button","action_id":"a","text":{"type":"plain_text","text":"Go"}}]}]`
	root := do("chat.postMessage", "channel", "C0ENG", "text", "root", "blocks", block, "metadata", `{"event_type":"k","event_payload":{"a":1}}`)["ts"].(string)
	reply := do("chat.postMessage", "channel", "C0ENG", "text", "reply", "thread_ts", root)["ts"].(string)
	do("chat.update", "channel", "C0ENG", "ts", reply, "text", "changed")
	do("chat.postEphemeral", "channel", "C0ENG", "user", "U0BEN", "text", "x")
	do("chat.getPermalink", "channel", "C0ENG", "message_ts", reply)
	do("reactions.add", "channel", "C0ENG", "timestamp", root, "name", "eyes")
	do("conversations.history", "channel", "C0ENG", "include_all_metadata", "true")
	do("conversations.replies", "channel", "C0ENG", "ts", root)
	do("reactions.remove", "channel", "C0ENG", "timestamp", root, "name", "eyes")
	do("chat.delete", "channel", "C0ENG", "ts", reply)

	stream := do("chat.startStream", "channel", "C0ENG", "thread_ts", root, "recipient_user_id", "U0BEN", "recipient_team_id", "T0DESKMATE")["ts"].(string)
	do("chat.appendStream", "channel", "C0ENG", "ts", stream, "markdown_text", "words")
	call(t, base, s.BotToken(), "chat.stopStream", "channel", "C0ENG", "ts", stream) // Slack's sample holds no more than ok
	do("assistant.threads.setStatus", "channel_id", "C0ENG", "thread_ts", root, "status", "thinks")
	do("assistant.threads.setTitle", "channel_id", "C0ENG", "thread_ts", root, "title", "A title")
	do("assistant.threads.setSuggestedPrompts", "channel_id", "C0ENG", "thread_ts", root, "prompts", `[{"title":"t","message":"m"}]`)
	do("views.publish", "user_id", "U0ADA", "view", `{"type":"home","blocks":[]}`)

	up := do("files.getUploadURLExternal", "filename", "a.txt", "length", "5")
	resp, err := http.Post(up["upload_url"].(string), "text/plain", strings.NewReader("hello"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("upload: %v, %v", resp, err)
	}
	resp.Body.Close()
	done := call(t, base, s.BotToken(), "files.completeUploadExternal", "files", `[{"id":"`+up["file_id"].(string)+`","title":"A"}]`, "channel_id", "C0ENG")
	if got := done["files"].([]any)[0].(map[string]any)["title"]; got != "A" {
		t.Errorf("title of the file %v, want A", got)
	}
	do("files.info", "file", up["file_id"].(string))
	do("auth.revoke", "test", "1")
}

func TestEventsHaveTheShapesOfSlack(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{Seed: allScopes()})
	requests := listen(t, bot(s, base), nil)
	next := func(sample, kind, subtype string) map[string]any {
		t.Helper()
		for {
			r := await(t, requests, kind+" "+subtype)
			e := inner(t, r)
			if sub, _ := e["subtype"].(string); e["type"] != kind || sub != subtype {
				continue
			}
			var outer any
			if err := json.Unmarshal(r.Payload, &outer); err != nil {
				t.Fatal(err)
			}
			checkShape(t, "events", sample, outer)
			return e
		}
	}
	ben := slacksim.UserToken("U0BEN")
	root := call(t, base, ben, "chat.postMessage", "channel", "C0ENG", "text", "<@U0DESKMATE> hi")["ts"].(string)
	next("MessagePayload", "message", "")
	next("AppMentionPayload", "app_mention", "")
	call(t, base, ben, "chat.update", "channel", "C0ENG", "ts", root, "text", "hello")
	next("MessageChangedPayload", "message", "message_changed")
	broadcast := call(t, base, ben, "chat.postMessage", "channel", "C0ENG", "text", "see", "thread_ts", root, "reply_broadcast", "true")["ts"].(string)
	next("MessageThreadBroadcastPayload", "message", "thread_broadcast")
	call(t, base, ben, "chat.delete", "channel", "C0ENG", "ts", broadcast)
	next("MessageDeletedPayload", "message", "message_deleted")
	call(t, base, ben, "reactions.add", "channel", "C0ENG", "timestamp", root, "name", "eyes")
	next("ReactionAddedPayload", "reaction_added", "")
	call(t, base, ben, "reactions.remove", "channel", "C0ENG", "timestamp", root, "name", "eyes")
	next("ReactionRemovedPayload", "reaction_removed", "")
	call(t, base, s.BotToken(), "chat.postMessage", "channel", "C0ENG", "text", "from the app", "thread_ts", root)
	if e := next("MessagePayload", "message", ""); e["bot_id"] != "B0DESKMATE" {
		t.Errorf("echo has bot_id %v, want B0DESKMATE", e["bot_id"])
	}
	for _, step := range []struct{ path, body, sample, kind string }{
		{"home", `{"user":"U0BEN"}`, "AppHomeOpenedPayload", "app_home_opened"},
		{"membership", `{"channel":"C0ENG","user":"U0GIL","action":"join","inviter":"U0ADA"}`, "MemberJoinedChannelPayload", "member_joined_channel"},
		{"membership", `{"channel":"C0ENG","user":"U0GIL","action":"leave"}`, "MemberLeftChannelPayload", "member_left_channel"},
		{"user", `{"user":"U0BEN","deleted":true}`, "UserChangePayload", "user_change"},
		{"channel", `{"channel":"C0ENG","name":"engineering"}`, "ChannelRenamePayload", "channel_rename"},
		{"channel", `{"channel":"C0ENG","is_archived":true}`, "ChannelArchivePayload", "channel_archive"},
		{"channel", `{"channel":"C0ENG","is_archived":false}`, "ChannelUnarchivePayload", "channel_unarchive"},
		{"channel", `{"channel":"C0LEADS","name":"heads"}`, "GroupRenamePayload", "group_rename"},
		{"channel", `{"channel":"C0ENG","is_ext_shared":true}`, "ChannelSharedPayload", "channel_shared"},
		{"channel", `{"channel":"C0ENG","is_ext_shared":false}`, "ChannelUnsharedPayload", "channel_unshared"},
		{"tokens", `{"action":"revoke"}`, "TokensRevokedPayload", "tokens_revoked"},
	} {
		if out := control(t, base, http.MethodPost, "/emulator/"+step.path, step.body); out["ok"] != true {
			t.Fatalf("%s %s: %v", step.path, step.body, out)
		}
		next(step.sample, step.kind, "")
	}
	if out := raw(t, base, s.BotToken(), "auth.test"); out["error"] != "invalid_auth" {
		t.Errorf("auth.test after the revocation: %v, want invalid_auth", out)
	}
}

func TestInteractionsHaveTheShapesOfSlack(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{Seed: allScopes()})
	requests := listen(t, bot(s, base), nil)
	act := func(path, body, sample string) map[string]any {
		t.Helper()
		answer := later(t, base, "/emulator/"+path, body)
		for {
			r := await(t, requests, sample)
			if r.Type == "events_api" {
				continue
			}
			var payload map[string]any
			if err := json.Unmarshal(r.Payload, &payload); err != nil {
				t.Fatal(err)
			}
			checkShape(t, "interactions", sample, payload)
			if got := await(t, answer, "the page's answer"); got["ok"] != true {
				t.Errorf("%s: the page was told %v, want ok", path, got)
			}
			return payload
		}
	}
	ts := call(t, base, s.BotToken(), "chat.postMessage", "channel", "C0ENG", "text", "choose",
		"blocks", `[{"type":"actions","block_id":"b","elements":[{"type":"button","action_id":"go","text":{"type":"plain_text","text":"Go"},"value":"1"}]}]`)["ts"].(string)
	press := act("interact", `{"user":"U0BEN","channel":"C0ENG","message_ts":"`+ts+`","block_id":"b","action_id":"go"}`, "BlockActionPayload")
	act("command", `{"user":"U0BEN","channel":"C0ENG","command":"/deskmate","text":"help"}`, "SlashCommandPayload")
	act("shortcut", `{"user":"U0BEN","channel":"C0ENG","message_ts":"`+ts+`","callback_id":"remember_this"}`, "MessageShortcutPayload")

	modal := `{"type":"modal","callback_id":"c","notify_on_close":true,"title":{"type":"plain_text","text":"T"},"submit":{"type":"plain_text","text":"OK"},
		"blocks":[{"type":"input","block_id":"i","label":{"type":"plain_text","text":"L"},"element":{"type":"plain_text_input","action_id":"v"}}]}`
	opened := call(t, base, s.BotToken(), "views.open", "trigger_id", press["trigger_id"].(string), "view", modal)
	checkShape(t, "api", "views.open", opened)
	id := opened["view"].(map[string]any)["id"].(string)
	if out := raw(t, base, s.BotToken(), "views.open", "trigger_id", press["trigger_id"].(string), "view", modal); out["error"] != "exchanged_trigger_id" {
		t.Errorf("second use of a trigger: %v, want exchanged_trigger_id", out)
	}
	checkShape(t, "api", "views.update", call(t, base, s.BotToken(), "views.update", "view_id", id, "view", modal))
	sent := act("view", `{"user":"U0BEN","type":"view_submission","view_id":"`+id+`","values":{"i":{"v":{"type":"plain_text_input","value":"x"}}}}`, "ViewSubmissionPayload")
	pushed := call(t, base, s.BotToken(), "views.open", "trigger_id", sent["trigger_id"].(string), "view", modal)
	act("view", `{"user":"U0BEN","type":"view_closed","view_id":"`+pushed["view"].(map[string]any)["id"].(string)+`"}`, "ViewClosedPayload")
}

func TestRateLimitsAreThoseOfSlack(t *testing.T) {
	t.Parallel()
	var tiers map[string]string
	if err := json.Unmarshal(shared(t, "rate_limit_tiers.json"), &tiers); err != nil {
		t.Fatal(err)
	}
	slacksim.CheckTiers(t, tiers)
}
