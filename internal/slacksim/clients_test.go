package slacksim_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"deskmate/internal/slacksim"
)

// TestOfficialClientsAgree runs one suite of calls through slack-go and through
// Slack's own npm clients, each against a fresh workspace, and compares what each
// check saw.
func TestOfficialClientsAgree(t *testing.T) {
	t.Parallel()
	want := npmSuite(t)
	got := slackGoSuite(t)
	if len(want) == 0 {
		t.Fatal("the npm suite reported no check")
	}
	for name, w := range want {
		g, ran := got[name]
		if !ran {
			t.Errorf("%s: the npm clients have this check, slack-go does not", name)
			continue
		}
		if !reflect.DeepEqual(g, w) {
			t.Errorf("%s: slack-go saw %v, the npm clients saw %v", name, g, w)
		}
	}
	for name := range got {
		if _, ran := want[name]; !ran {
			t.Errorf("%s: slack-go has this check, the npm clients do not", name)
		}
	}
}

// skipUnlessCI skips where a tool is missing, and fails where CI promised it.
func skipUnlessCI(t *testing.T, format string, a ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, a...)
	}
	t.Skipf(format, a...)
}

// npmDir holds Slack's npm clients and the suite.
const npmDir = "testdata/npm"

// npm makes Slack's npm clients ready and returns the path of node.
func npm(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		skipUnlessCI(t, "node is not installed: Slack's npm clients are not tried")
	}
	installed.Lock()
	defer installed.Unlock()
	if _, err := os.Stat(npmDir + "/node_modules/.package-lock.json"); err != nil {
		install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund")
		install.Dir = npmDir
		if out, err := install.CombinedOutput(); err != nil {
			skipUnlessCI(t, "npm ci: %v: %s", err, out)
		}
	}
	return node
}

// installed keeps two tests from installing at once.
var installed sync.Mutex

// TestArgumentsAreThoseOfTheTypes checks the suite's calls against the types of
// Slack's npm clients, so that no argument is one that only the emulator knows.
func TestArgumentsAreThoseOfTheTypes(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), npm(t), "node_modules/typescript/bin/tsc", "-p", ".")
	cmd.Dir = npmDir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
}

// npmSuite runs suite.mjs and returns what each check saw.
func npmSuite(t *testing.T) map[string]any {
	t.Helper()
	node := npm(t)
	s, base := workspace(t, slacksim.Options{})
	cmd := exec.CommandContext(t.Context(), node, "suite.mjs")
	cmd.Dir = npmDir
	cmd.Env = append(os.Environ(), "SLACK_BASE="+base, "SLACK_BOT_TOKEN="+s.BotToken(), "SLACK_APP_TOKEN="+s.AppToken())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node suite.mjs: %v\n%s\n%s", err, out, stderr.String())
	}
	results := map[string]any{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		var line struct {
			Name   string `json:"name"`
			Result any    `json:"result"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("suite.mjs printed %q: %v", lines.Text(), err)
		}
		results[line.Name] = line.Result
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("read the npm suite's output: %v", err)
	}
	return results
}

// suite is the same suite through slack-go.
type suite struct {
	*testing.T
	base    string
	s       *slacksim.Server
	api     *slack.Client
	results map[string]any
}

func slackGoSuite(t *testing.T) map[string]any {
	t.Helper()
	s, base := workspace(t, slacksim.Options{})
	x := &suite{T: t, base: base, s: s, api: bot(s, base), results: map[string]any{}}
	x.people()
	x.channels()
	x.messages()
	x.refusals()
	x.agent()
	x.sockets()
	return x.results
}

// report notes a result as JSON would show it.
func (x *suite) report(name string, result any) {
	x.Helper()
	raw, err := json.Marshal(result)
	if err != nil {
		x.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		x.Fatal(err)
	}
	x.results[name] = plain
}

// must ends the suite at a call that fails.
func (x *suite) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// refusal is the error code with which a call failed.
func refusal(err error) string {
	var limited *slack.RateLimitedError
	if errors.As(err, &limited) {
		return "ratelimited after " + strings.TrimSuffix(limited.RetryAfter.String(), "s")
	}
	if err == nil {
		return "no error"
	}
	return err.Error()
}

type m = map[string]any

func (x *suite) people() {
	me, err := x.api.AuthTest()
	x.must(err)
	x.report("auth.test", m{"team": me.Team, "team_id": me.TeamID, "user": me.User, "user_id": me.UserID, "bot_id": me.BotID})
	gil, err := x.api.GetUserInfo("U0GIL")
	x.must(err)
	x.report("users.info guest", m{"name": gil.Name, "is_restricted": gil.IsRestricted, "is_bot": gil.IsBot, "tz": gil.TZ})
	xena, err := x.api.GetUserInfo("U0XENA")
	x.must(err)
	x.report("users.info outsider", m{"team_id": xena.TeamID, "is_stranger": xena.IsStranger})
	all, err := x.api.GetUsers()
	x.must(err)
	ids := []string{}
	for _, u := range all {
		ids = append(ids, u.ID)
	}
	x.report("users.list", ids)
	ada, err := x.api.GetUserByEmail("ada@northwind.example")
	x.must(err)
	x.report("users.lookupByEmail", ada.ID)
	b, err := x.api.GetBotInfo(slack.GetBotInfoParameters{Bot: "B0DESKMATE"})
	x.must(err)
	x.report("bots.info", m{"id": b.ID, "app_id": b.AppID, "user_id": b.UserID, "name": b.Name})
}

func (x *suite) channels() {
	info, err := x.api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: "C0LEADS", IncludeNumMembers: true})
	x.must(err)
	x.report("conversations.info", m{"name": info.Name, "is_private": info.IsPrivate, "is_member": info.IsMember, "num_members": info.NumMembers})
	shared, err := x.api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: "C0PARTNERS"})
	x.must(err)
	x.report("conversations.info shared", m{"is_ext_shared": shared.IsExtShared})
	p := slack.GetConversationsParameters{Types: []string{"public_channel", "private_channel"}, Limit: 3}
	first, next, err := x.api.GetConversations(&p)
	x.must(err)
	p.Cursor = next
	second, _, err := x.api.GetConversations(&p)
	x.must(err)
	ids := []string{}
	for _, c := range append(first, second...) {
		ids = append(ids, c.ID)
	}
	x.report("conversations.list", ids)
	members, _, err := x.api.GetUsersInConversation(&slack.GetUsersInConversationParameters{ChannelID: "C0ENG"})
	x.must(err)
	x.report("conversations.members", members)
	dm, _, _, err := x.api.OpenConversation(&slack.OpenConversationParameters{Users: []string{"U0BEN"}})
	x.must(err)
	again, _, _, err := x.api.OpenConversation(&slack.OpenConversationParameters{Users: []string{"U0BEN"}})
	x.must(err)
	x.report("conversations.open", m{"direct": dm.ID[:1], "same": dm.ID == again.ID})
}

func section(text string) slack.Block {
	return slack.NewSectionBlock(slack.NewTextBlockObject("mrkdwn", text, false, false), nil, nil)
}

func button(id string) slack.Block {
	return slack.NewActionBlock("choice", slack.NewButtonBlockElement(id, "yes", slack.NewTextBlockObject("plain_text", "Yes", false, false)))
}

func (x *suite) messages() {
	_, root, _, err := x.api.SendMessage("C0ENG", slack.MsgOptionText("a <@U0ADA> & <b>", false),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "key", EventPayload: m{"k": 1}}))
	x.must(err)
	got, err := x.api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: "C0ENG", Limit: 1, IncludeAllMetadata: true})
	x.must(err)
	posted := got.Messages[0]
	x.report("chat.postMessage", m{"channel": "C0ENG", "text": posted.Text, "bot_id": posted.BotID, "has_ts": regexp.MustCompile(`^\d+\.\d{6}$`).MatchString(root)})
	_, reply, err := x.api.PostMessage("C0ENG", slack.MsgOptionText("in the thread", false), slack.MsgOptionTS(root), slack.MsgOptionBlocks(section("in the thread")))
	x.must(err)
	_, ts, changed, err := x.api.UpdateMessage("C0ENG", reply, slack.MsgOptionText("changed", false))
	x.must(err)
	x.report("chat.update", m{"text": changed, "same": ts == reply})
	thread, _, _, err := x.api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: "C0ENG", Timestamp: root})
	x.must(err)
	seen := []m{}
	for _, r := range thread {
		seen = append(seen, m{"text": r.Text, "replies": r.ReplyCount, "edited": r.Edited != nil})
	}
	x.report("conversations.replies", seen)
	x.report("conversations.history", m{"texts": []string{posted.Text}, "payload": posted.Metadata.EventPayload})
	link, err := x.api.GetPermalink(&slack.PermalinkParameters{Channel: "C0ENG", Ts: root})
	x.must(err)
	x.report("chat.getPermalink", strings.Contains(link, "/archives/C0ENG/p"+strings.ReplaceAll(root, ".", "")))
	at := slack.NewRefToMessage("C0ENG", root)
	x.must(x.api.AddReaction("eyes", at))
	x.report("already_reacted", refusal(x.api.AddReaction("eyes", at)))
	x.must(x.api.RemoveReaction("eyes", at))
	x.report("no_reaction", refusal(x.api.RemoveReaction("eyes", at)))
	_, err = x.api.PostEphemeral("C0ENG", "U0BEN", slack.MsgOptionText("only you", false))
	x.must(err)
	x.report("chat.postEphemeral", "string")
	_, deleted, err := x.api.DeleteMessage("C0ENG", reply)
	x.must(err)
	x.report("chat.delete", deleted == reply)
	_, _, err = person(x.base, "U0BEN").PostMessage("C0ENG", slack.MsgOptionText("hello from Ben", false))
	x.must(err)
	got, err = x.api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: "C0ENG", Limit: 1})
	x.must(err)
	x.report("as a person", m{"user": got.Messages[0].User, "bot": got.Messages[0].BotID})
}

func (x *suite) refusals() {
	post := func(channel string, o ...slack.MsgOption) string {
		_, _, err := x.api.PostMessage(channel, append([]slack.MsgOption{slack.MsgOptionText("x", false)}, o...)...)
		return refusal(err)
	}
	var dividers []slack.Block
	for range 51 {
		dividers = append(dividers, slack.NewDividerBlock())
	}
	x.report("channel_not_found", post("C0NOWHERE"))
	_, _, err := x.api.PostMessage("C0ENG")
	x.report("no_text", refusal(err))
	x.report("thread_not_found", post("C0ENG", slack.MsgOptionTS("1.000001")))
	x.report("invalid_blocks", post("C0ENG", slack.MsgOptionBlocks(slack.UnknownBlock{Type: "nonsense"})))
	x.report("too many blocks", post("C0ENG", slack.MsgOptionBlocks(dividers...)))
	x.report("long section", post("C0ENG", slack.MsgOptionBlocks(section(strings.Repeat("x", 3001)))))
	_, _, _, err = x.api.UpdateMessage("C0ENG", "1.000001", slack.MsgOptionText("x", false))
	x.report("message_not_found", refusal(err))
	_, mine, err := x.api.PostMessage("C0ENG", slack.MsgOptionText("short", false))
	x.must(err)
	_, _, _, err = x.api.UpdateMessage("C0ENG", mine, slack.MsgOptionText(strings.Repeat("x", 4001), false))
	x.report("msg_too_long", refusal(err))
	_, err = x.api.GetTeamInfo()
	x.report("missing_scope", refusal(err))
	for name, token := range map[string]string{"invalid_auth": "xoxb-wrong", "not_authed": "", "not_allowed_token_type": x.s.AppToken()} {
		_, err = slack.New(token, slack.OptionAPIURL(x.base+"/api/")).AuthTest()
		x.report(name, refusal(err))
	}
	_, err = person(x.base, "U0GIL").GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: "C0ENG"})
	x.report("guest sees nothing", refusal(err))
	_, err = person(x.base, "U0XENA").GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: "C0GENERAL"})
	x.report("outsider sees nothing", refusal(err))
	_, err = x.api.OpenView("none", slack.ModalViewRequest{Type: "modal", Title: slack.NewTextBlockObject("plain_text", "t", false, false)})
	x.report("invalid_trigger_id", refusal(err))
	control(x.T, x.base, http.MethodPost, "/emulator/faults", `{"kind":"429","method":"users.info","times":1,"retry_after":7}`)
	_, err = x.api.GetUserInfo("U0ADA")
	x.report("ratelimited", refusal(err))
}

func (x *suite) agent() {
	_, root, err := x.api.PostMessage("C0ENG", slack.MsgOptionText("stream here", false))
	x.must(err)
	_, ts, err := x.api.StartStream("C0ENG", slack.MsgOptionTS(root), slack.MsgOptionRecipientUserID("U0BEN"), slack.MsgOptionRecipientTeamID("T0DESKMATE"), slack.MsgOptionMarkdownText("one, "))
	x.must(err)
	task := slack.NewTaskUpdateChunk("t", "Look")
	task.Status = slack.TaskCardStatusComplete
	_, _, err = x.api.AppendStream("C0ENG", ts, slack.MsgOptionMarkdownText("two, "))
	x.must(err)
	_, _, err = x.api.AppendStream("C0ENG", ts, slack.MsgOptionChunks(task))
	x.must(err)
	_, _, err = x.api.StopStream("C0ENG", ts, slack.MsgOptionMarkdownText("three"))
	x.must(err)
	_, _, err = x.api.AppendStream("C0ENG", ts, slack.MsgOptionMarkdownText("late"))
	x.report("stream", m{"ok": true, "refused": refusal(err)})
	thread, _, _, err := x.api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: "C0ENG", Timestamp: root})
	x.must(err)
	x.report("stream text", thread[len(thread)-1].Text)
	x.must(x.api.SetAssistantThreadsStatus(slack.AssistantThreadsSetStatusParameters{ChannelID: "C0ENG", ThreadTS: root, Status: "is thinking"}))
	x.report("assistant.threads.setStatus", true)
	session, err := x.api.SetAgentSessionStatus(slack.AgentSessionSetStatusParameters{ChannelID: "C0ENG", ThreadTS: root, Status: "suspended"})
	x.must(err)
	renamed, err := x.api.RenameAgentSession(slack.AgentSessionRenameParameters{ChannelID: "C0ENG", ThreadTS: root, Title: "Streaming"})
	x.must(err)
	x.report("agents.sessions", m{"status": session.Status, "title": renamed.Title})
	home, err := x.api.PublishView("U0ADA", slack.HomeTabViewRequest{Type: "home", Blocks: slack.Blocks{BlockSet: []slack.Block{section("Home")}}}, "")
	x.must(err)
	x.report("views.publish", home.View.Type)
	up, err := x.api.UploadFile(slack.UploadFileParameters{Channel: "C0ENG", Filename: "notes.txt", Title: "Notes", Content: "hello file", FileSize: len("hello file")})
	x.must(err)
	f, _, _, err := x.api.GetFileInfo(up.ID, 1, 1)
	x.must(err)
	x.report("files", m{"name": f.Name, "title": f.Title, "size": f.Size})
}

// inbox is a Socket Mode connection of the suite.
type inbox struct {
	*suite
	requests <-chan socketmode.Request
	client   *http.Client
}

// next is the next request that fits; others are passed over.
func (in inbox) next(what string, fits func(socketmode.Request) bool) socketmode.Request {
	in.Helper()
	for {
		if r := await(in.T, in.requests, what); fits(r) {
			return r
		}
	}
}

// event is the next event of a type from a person.
func (in inbox) event(kind, user string) socketmode.Request {
	in.Helper()
	return in.next("a "+kind+" event", func(r socketmode.Request) bool {
		return r.Type == "events_api" && inner(in.T, r)["type"] == kind && inner(in.T, r)["user"] == user
	})
}

func (in inbox) envelope(kind string) socketmode.Request {
	in.Helper()
	return in.next("a "+kind+" envelope", func(r socketmode.Request) bool { return r.Type == kind })
}

// respond posts to a response URL and returns the status.
func (in inbox) respond(url, text string) int {
	in.Helper()
	resp, err := in.client.Post(url, "application/json", strings.NewReader(`{"replace_original":true,"text":"`+text+`"}`))
	in.must(err)
	in.must(resp.Body.Close())
	return resp.StatusCode
}

// press presses a button on the page while the suite looks at the envelope.
func (in inbox) press(user, ts, action string) slack.InteractionCallback {
	in.Helper()
	done := later(in.T, in.base, "/emulator/interact",
		`{"user":"`+user+`","channel":"C0ENG","message_ts":"`+ts+`","block_id":"choice","action_id":"`+action+`"}`)
	var press slack.InteractionCallback
	in.must(json.Unmarshal(in.envelope("interactive").Payload, &press))
	await(in.T, done, "the page's answer")
	return press
}

func (x *suite) sockets() {
	in := inbox{suite: x, requests: listen(x.T, x.api, nil), client: &http.Client{Timeout: patience}}
	ben := person(x.base, "U0BEN")
	_, asked, err := ben.PostMessage("C0ENG", slack.MsgOptionText("<@U0DESKMATE> hi", false))
	x.must(err)
	first := in.next("Ben's message", func(r socketmode.Request) bool { return inner(x.T, r)["ts"] == asked })
	second := in.event("app_mention", "U0BEN")
	var outer struct {
		Authorizations []struct {
			UserID string `json:"user_id"`
		} `json:"authorizations"`
	}
	x.must(json.Unmarshal(second.Payload, &outer))
	message, mention := inner(x.T, first), inner(x.T, second)
	x.report("socket events", m{"mention": mention["text"], "message": message["text"], "type": message["channel_type"],
		"bot": outer.Authorizations[0].UserID, "same": mention["ts"] == message["ts"]})

	_, card, err := x.api.PostMessage("C0ENG", slack.MsgOptionText("choose", false), slack.MsgOptionBlocks(button("pick")))
	x.must(err)
	press := in.press("U0BEN", card, "pick")
	used := []int{}
	for range 6 {
		used = append(used, in.respond(press.ResponseURL, "use"))
	}
	action := press.ActionCallback.BlockActions[0]
	x.report("block_actions", m{"user": press.User.ID, "action": action.ActionID, "value": action.Value, "channel": press.Channel.ID, "used": used})

	shown := later(x.T, x.base, "/emulator/command", `{"user":"U0BEN","channel":"C0ENG","command":"/deskmate","text":"help"}`)
	var command slack.SlashCommand
	x.must(json.Unmarshal(in.envelope("slash_commands").Payload, &command))
	x.report("slash command", m{"text": command.Text, "user": command.UserID, "ok": await(x.T, shown, "the command's answer")["ok"]})
	x.converse(in, ben)
}

// converse does by hand what the Bolt app of the npm suite does.
func (x *suite) converse(in inbox, ben *slack.Client) {
	_, asked, err := ben.PostMessage("C0ENG", slack.MsgOptionText("<@U0DESKMATE> are you there?", false))
	x.must(err)
	mention := inner(x.T, in.event("app_mention", "U0BEN"))
	_, reply, err := x.api.PostMessage("C0ENG", slack.MsgOptionText("hello <@"+mention["user"].(string)+">", false), slack.MsgOptionTS(asked),
		slack.MsgOptionBlocks(section("hello"), button("again")))
	x.must(err)
	text := func() string {
		thread, _, _, err := ben.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: "C0ENG", Timestamp: asked})
		x.must(err)
		return thread[1].Text
	}
	x.report("app reply", text())
	press := in.press("U0ADA", reply, "again")
	in.respond(press.ResponseURL, "thanks")
	x.report("app action", m{"by": press.User.ID, "text": text()})
}
