package bot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// everyTool are the tools that the rules know, without schemas: they need none.
func everyTool() []ToolDef {
	var defs []ToolDef
	for _, n := range []string{"remember", "settle_note", "recall", "forget", "duty_create", "duty_list", "duty_pause", "duty_resume", "duty_delete",
		"duty_run", "duty_change", "duty_history", toolDutySkip, toolDutyTry, ToolWatch, ToolFollow, ToolWebhook, "read_thread", "brief", "read_channel", "post", "reply", "update", "react", "dm", "who_am_i", "what_can_you_do",
		"handoff_offer", "handoff_list", "offboarding_plan", "thread_settle"} {
		defs = append(defs, ToolDef{Name: n, Schema: json.RawMessage(`{"type":"object"}`)})
	}
	return defs
}

const adaAsks = "You are Deskmate, a member of this Slack workspace with an account of your own.\nNow: Monday. Asked by Ada (<@U0ADA>, member) in #eng (public channel).\n"

// talk is a request of these messages after the usual system message.
func talk(messages ...Message) Request {
	return Request{Messages: append([]Message{{Role: RoleSystem, Content: adaAsks}}, messages...), Tools: everyTool()}
}

func user(text string) Message { return Message{Role: RoleUser, Name: "Ada", Content: text} }
func overheard(text string) Message {
	return Message{Role: RoleUser, Name: "Ben", Content: text, Silent: true}
}

// answer is the response of the rules to a request.
func rulesAnswer(t *testing.T, r Request) Response {
	t.Helper()
	got, err := NewRules().Complete(t.Context(), r, nil)
	if err != nil {
		t.Fatalf("Complete: %v", err)
	}
	return got
}

// inShort writes a response as "tool {args}; tool {args}" or as its text.
func inShort(r Response) string {
	if len(r.Calls) == 0 {
		return r.Text
	}
	var parts []string
	for _, c := range r.Calls {
		parts = append(parts, c.Name+" "+string(c.Args))
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(strings.Join(parts, "; "))
}

// sentence is one line of a table: what is said, and what the rules do. want
// that begins with "~" is only a part of the text that they answer.
type sentence struct{ said, want string }

func checkSentences(t *testing.T, table []sentence, message func(string) Message) {
	t.Helper()
	for _, c := range table {
		got := inShort(rulesAnswer(t, talk(message(c.said))))
		if part, ok := strings.CutPrefix(c.want, "~"); ok {
			if !strings.Contains(got, part) {
				t.Errorf("%q\n got %s\nwant %q in it", c.said, got, part)
			}
		} else if got != c.want {
			t.Errorf("%q\n got %s\nwant %s", c.said, got, c.want)
		}
	}
}

func TestRulesUnderstandMemory(t *testing.T) {
	t.Parallel()
	checkSentences(t, []sentence{
		{"remember that the release freeze starts on Thursday at 17:00", `remember {"text":"the release freeze starts on Thursday at 17:00"}`},
		{"Remember: tea is at four", `remember {"text":"tea is at four"}`},
		{"remember tea is at four", `remember {"text":"tea is at four"}`},
		{"Please remember that we use Postgres.", `remember {"text":"we use Postgres."}`},
		{"could you please remember that Ben is on call?", `remember {"text":"Ben is on call?"}`},
		{"hey Deskmate, remember that the door code is 4711", `remember {"text":"the door code is 4711"}`},
		{"<@U0DESKMATE> remember that the door code is 4711", `remember {"text":"the door code is 4711"}`},
		{"<@U0DESKMATE>: note that lunch is at noon", `remember {"text":"lunch is at noon"}`},
		{"note that <@U0BEN> owns billing", `remember {"text":"<@U0BEN> owns billing"}`},
		{"keep in mind that prod deploys need two reviews", `remember {"text":"prod deploys need two reviews"}`},
		{"make a note that the office is closed on Friday", `remember {"text":"the office is closed on Friday"}`},
		{"don't forget that the audit is in May", `remember {"text":"the audit is in May"}`},
		{"don’t forget that the audit is in May", `remember {"text":"the audit is in May"}`},
		{"remember for everyone that the VPN is vpn.example.com", `remember {"scope":"workspace","text":"the VPN is vpn.example.com"}`},
		{"remember for the whole workspace: the VPN moved", `remember {"scope":"workspace","text":"the VPN moved"}`},
		{"remember that the VPN moved (workspace-wide)", `remember {"scope":"workspace","text":"the VPN moved"}`},
		{"decision: we ship on Friday", `remember {"text":"decision: we ship on Friday"}`},
		{"remember:\n- tea is at four\n- cake is at five", `remember {"text":"tea is at four"}; remember {"text":"cake is at five"}`},
		{"remember this:\nline one\nline two", `remember {"text":"line one\nline two"}`},
		{"remember that \"quotes\" & <tags> stay", `remember {"text":"\"quotes\" & <tags> stay"}`},

		{"what do you know about the release freeze?", `recall {"query":"the release freeze"}`},
		{"What did we decide about the database?", `recall {"query":"the database"}`},
		{"what did we agree on?", `recall {"query":"what did we agree on"}`},
		{"what was decided about pricing", `recall {"query":"pricing"}`},
		{"when is the offsite?", `recall {"query":"when is the offsite"}`},
		{"when does the release freeze start", `recall {"query":"when does the release freeze start"}`},
		{"list your notes", notesAre},
		{"what do you remember about me?", notesAre},
		{"what do you remember about the release?", `recall {"query":"the release"}`},
		{"who owns billing?", `recall {"query":"who owns billing"}`},
		{"who is on call", `recall {"query":"who is on call"}`},
		{"where is the door code?", `recall {"query":"where is the door code"}`},
		{"how do we deploy?", `recall {"query":"how do we deploy"}`},
		{"do you remember the door code?", `recall {"query":"the door code"}`},
		{"do you know when the offsite is?", `recall {"query":"when the offsite is"}`},
		{"can you tell me when the offsite is?", `recall {"query":"when the offsite is"}`},
		{"tell me about the offsite", `recall {"query":"the offsite"}`},
		{"tell me what you know about the offsite", `recall {"query":"what you know about the offsite"}`},
		{"remind me when the offsite is", `recall {"query":"when the offsite is"}`},
		{"remind us who owns billing?", `recall {"query":"who owns billing"}`},
		{"recall door code", `recall {"query":"door code"}`},
		{"search for pricing", `recall {"query":"pricing"}`},
		{"look up the VPN address", `recall {"query":"the VPN address"}`},
		{"is the office closed on Friday?", `recall {"query":"is the office closed on Friday"}`},
		{"the offsite is when?", `recall {"query":"the offsite is when"}`},
		{"what's the code name of the merger?", `recall {"query":"what's the code name of the merger"}`},
		{"what about pricing?", `recall {"query":"pricing"}`},
		{"remember when the offsite is?", `recall {"query":"remember when the offsite is"}`},

		{"forget the release freeze", `forget {"query":"the release freeze"}`},
		{"forget about the release freeze.", `forget {"query":"the release freeze"}`},
		{"forget that tea is at four", `forget {"query":"tea is at four"}`},
		{"please forget what you know about the merger", `forget {"query":"the merger"}`},
		{"forget everything about the merger", `forget {"query":"the merger"}`},
		{"forget n_abcdefghij", `forget {"id":"n_abcdefghij"}`},
		{"forget note n_abcdefghij", `forget {"id":"n_abcdefghij"}`},
		{"delete the note about lunch", `forget {"query":"lunch"}`},
		{"forget it", "~say which one"},
	}, user)
}

func TestRulesUnderstandDuties(t *testing.T) {
	t.Parallel()
	checkSentences(t, []sentence{
		{"every weekday at 9:30 post Stand-up time", `duty_create {"what":"post Stand-up time","when":"every weekday at 9:30"}`},
		{"every weekday at 9:30, post 'stand-up time'", `duty_create {"what":"post 'stand-up time'","when":"every weekday at 9:30"}`},
		{"Every Monday at 9am: post the on-call list", `duty_create {"what":"post the on-call list","when":"Every Monday at 9am"}`},
		{"every monday, wednesday and friday at 10:00 say stretch", `duty_create {"what":"say stretch","when":"every monday, wednesday and friday at 10:00"}`},
		{"every 2 hours remind us to drink water", `duty_create {"what":"remind us to drink water","when":"every 2 hours"}`},
		{"every morning at 8 post the menu", `duty_create {"what":"post the menu","when":"every morning at 8"}`},
		{"every day at noon summarise #general", `duty_create {"what":"summarise #general","when":"every day at noon"}`},
		{"every 1st of the month at 10:00 remind me to send invoices", `duty_create {"what":"remind me to send invoices","when":"every 1st of the month at 10:00"}`},
		{"on the 1st of every month at 10:00 remind me to send invoices", `duty_create {"what":"remind me to send invoices","when":"on the 1st of every month at 10:00"}`},
		{"on weekdays at 17:00 say go home", `duty_create {"what":"say go home","when":"on weekdays at 17:00"}`},
		{"daily at 9:00 post good morning", `duty_create {"what":"post good morning","when":"daily at 9:00"}`},
		{"weekly on friday at 16:00 post the demo list", `duty_create {"what":"post the demo list","when":"weekly on friday at 16:00"}`},
		{"at 9:30 every weekday post stand-up time", `duty_create {"what":"post stand-up time","when":"at 9:30 every weekday"}`},
		{"every weekday at 9:30 Europe/Berlin post stand-up time", `duty_create {"what":"post stand-up time","when":"every weekday at 9:30 Europe/Berlin"}`},
		{"every weekday at 9:30 in #eng post stand-up time", `duty_create {"what":"in #eng post stand-up time","when":"every weekday at 9:30"}`},
		{"every weekday at 9:30 post in #eng: stand-up time", `duty_create {"what":"post in #eng: stand-up time","when":"every weekday at 9:30"}`},
		{"every weekday at 9:30 stand-up time", `duty_create {"what":"stand-up time","when":"every weekday at 9:30"}`},
		{"every weekday 9:30 post stand-up time", `duty_create {"what":"post stand-up time","when":"every weekday at 9:30"}`},
		{"post stand-up time every weekday at 9:30", `duty_create {"what":"post stand-up time","when":"every weekday at 9:30"}`},
		{"please post \"stand-up\" every weekday at 9:30", `duty_create {"what":"post \"stand-up\"","when":"every weekday at 9:30"}`},
		{"post in #eng every weekday at 9:30: stand-up time", `duty_create {"what":"post in #eng: stand-up time","when":"every weekday at 9:30"}`},
		{"can you summarise #general every friday at 16:00?", `recall {"query":"summarise #general every friday at 16:00"}`},
		{"summarise #general every friday at 16:00", `duty_create {"what":"summarise #general","when":"every friday at 16:00"}`},
		{"in 20 minutes say tea is ready", `duty_create {"what":"say tea is ready","when":"in 20 minutes"}`},
		{"in half an hour, tell <@U0BEN> that tea is ready", `duty_create {"what":"tell <@U0BEN> that tea is ready","when":"in half an hour"}`},
		{"in 2 hours remind me: check the oven", `duty_create {"what":"remind me: check the oven","when":"in 2 hours"}`},
		{"tomorrow at 9 post good luck", `duty_create {"what":"post good luck","when":"tomorrow at 9"}`},
		{"on friday at 15:00 remind us to fill in timesheets", `duty_create {"what":"remind us to fill in timesheets","when":"on friday at 15:00"}`},
		{"on 2030-03-01 at 10:00 say happy birthday", `duty_create {"what":"say happy birthday","when":"on 2030-03-01 at 10:00"}`},
		{"say tea is ready in 20 minutes", `duty_create {"what":"say tea is ready","when":"in 20 minutes"}`},

		{"remind me tomorrow at 9 to call the bank", `duty_create {"what":"remind me to call the bank","when":"tomorrow at 9"}`},
		{"remind me to call the bank tomorrow at 9", `duty_create {"what":"remind me to call the bank","when":"tomorrow at 9"}`},
		{"Remind us every Friday at 15:00 to fill in timesheets", `duty_create {"what":"remind us to fill in timesheets","when":"every Friday at 15:00"}`},
		{"remind me in 20 minutes to check the oven", `duty_create {"what":"remind me to check the oven","when":"in 20 minutes"}`},
		{"remind me in 5 min: tea", `duty_create {"what":"remind me: tea","when":"in 5 min"}`},
		{"remind me about the demo at 15:00", `duty_create {"what":"remind me about the demo","when":"at 15:00"}`},
		{"remind me at 3pm that the shop closes", `duty_create {"what":"remind me that the shop closes","when":"at 3pm"}`},
		{"remind <@U0BEN> on monday at 10:00 to deploy", `duty_create {"what":"remind <@U0BEN> to deploy","when":"on monday at 10:00"}`},
		{"remind everyone tomorrow at 9:00 about the fire drill", `duty_create {"what":"remind everyone about the fire drill","when":"tomorrow at 9:00"}`},
		{"can you remind me tomorrow morning at 9 to call the bank", `duty_create {"what":"remind me to call the bank","when":"tomorrow morning at 9"}`},
		{"remind me next monday at 9 to plan", `duty_create {"what":"remind me to plan","when":"next monday at 9"}`},
		{"remind me to stretch", `duty_create {"what":"remind me to stretch","when":"remind me to stretch"}`},

		{"list duties", `duty_list {}`},
		{"show me all my reminders", `duty_list {}`},
		{"what are your duties?", `duty_list {}`},
		{"which duties do you have here?", `duty_list {}`},
		{"what do you have scheduled?", `duty_list {}`},
		{"duties", `duty_list {}`},
		{"pause duty d_abcdefghij", `duty_pause {"duty":"d_abcdefghij"}`},
		{"pause d_abcdefghij please", `duty_pause {"duty":"d_abcdefghij"}`},
		{"pause the stand-up reminder", `duty_pause {"duty":"stand-up"}`},
		{"pause the stand-up", `duty_pause {"duty":"stand-up"}`},
		{"pause all my duties until Monday", `duty_pause {"duty":"all my","until":"until Monday"}`},
		{"who owns the stand-up duty?", `duty_list {}`},
		{"stop reminding me about the oven", `duty_pause {"duty":"the oven"}`},
		{"resume duty stand-up time", `duty_resume {"duty":"stand-up time"}`},
		{"resume d_abcdefghij.", `duty_resume {"duty":"d_abcdefghij"}`},
		{"delete duty d_abcdefghij", `duty_delete {"duty":"d_abcdefghij"}`},
		{"cancel the reminder about the bank", `duty_delete {"duty":"the bank"}`},
		{"remove the duty called \"stand-up\"", `duty_delete {"duty":"stand-up"}`},
		{"run duty d_abcdefghij now", `duty_run {"duty":"d_abcdefghij"}`},
		{"run the stand-up duty now", `duty_run {"duty":"stand-up"}`},
		{"dry run duty d_abcdefghij", `duty_dry_run {"duty":"d_abcdefghij"}`},
		{"try the duty stand-up", `duty_dry_run {"duty":"stand-up"}`},
		{"what would duty d_abcdefghij do?", `duty_dry_run {"duty":"d_abcdefghij"}`},
		{"try the development build", "~I did not understand"},
		{"skip the next duty d_abcdefghij", `duty_skip {"duty":"d_abcdefghij"}`},
		{"skip the next run of the stand-up duty", `duty_skip {"duty":"stand-up"}`},
		{"run the tests", "~I did not understand"},
		{"delete everything", "~I did not understand"},
		{"every weekday we meet at 9:30", "~I did not understand"},
		{"tomorrow we ship", "~I did not understand"},
	}, user)
}

func TestRulesUnderstandSlack(t *testing.T) {
	t.Parallel()
	checkSentences(t, []sentence{
		{"summarise this thread", `read_thread {}`},
		{"summarize the thread please", `read_thread {}`},
		{"can you summarise this thread?", `read_thread {}`},
		{"tl;dr", `read_thread {}`},
		{"recap", `read_thread {}`},
		{"give us a short summary of this discussion", `read_thread {}`},
		{"what did I miss?", `read_thread {}`},
		{"summarise #general", `read_channel {"channel":"#general","limit":"100"}`},
		{"what happened in <#C0GENERAL|general>?", `read_channel {"channel":"<#C0GENERAL|general>","limit":"100"}`},
		{"summarise this channel", `read_channel {"channel":"here","limit":"100"}`},
		{"catch me up on #eng", `read_channel {"channel":"#eng","limit":"100"}`},
		{"brief me on this thread", `brief {}`},
		{"where do we stand?", `brief {}`},
		{"write handoff notes", `brief {}`},
		{"brief me on <@U0BEN>", `brief {"person":"<@U0BEN>"}`},
		{"what is <@U0BEN> working on?", `brief {"person":"<@U0BEN>"}`},
		{"read #general", `read_channel {"channel":"#general"}`},
		{"show me the last 5 messages in #eng", `read_channel {"channel":"#eng","limit":"5"}`},
		{"read the last 5000 messages of #eng", `read_channel {"channel":"#eng","limit":"100"}`},
		{"read this thread", `read_thread {}`},

		{"post in #general: the build is green", `post {"channel":"#general","text":"the build is green"}`},
		{"post in #general the build is green", `post {"channel":"#general","text":"the build is green"}`},
		{"post a message in #general: the build is green", `post {"channel":"#general","text":"the build is green"}`},
		{"announce in <#C0GENERAL|general>: we ship tomorrow at 9", `post {"channel":"<#C0GENERAL|general>","text":"we ship tomorrow at 9"}`},
		{"post \"the build is green\" in #general", `post {"channel":"#general","text":"the build is green"}`},
		{"post the build is green to #eng-team.", `post {"channel":"#eng-team","text":"the build is green"}`},
		{"tell #general that the build is green", `post {"channel":"#general","text":"the build is green"}`},
		{"post in this channel: hello all", `post {"channel":"here","text":"hello all"}`},
		{"say hello everyone", `hello everyone`},
		{"post: hello everyone", `hello everyone`},
		{"post 'hello everyone'", `hello everyone`},
		{"say: \"hello everyone\"", `hello everyone`},

		{"dm @Ben the build is green", `dm {"person":"@Ben","text":"the build is green"}`},
		{"tell @Ben that the build is green", `dm {"person":"@Ben","text":"the build is green"}`},
		{"tell <@U0BEN> the build is green", `dm {"person":"<@U0BEN>","text":"the build is green"}`},
		{"tell Ben that we meet tomorrow at 9", `dm {"person":"Ben","text":"we meet tomorrow at 9"}`},
		{"let Chloe know that lunch is here", `dm {"person":"Chloe","text":"lunch is here"}`},
		{"send a dm to <@U0BEN>: lunch!", `dm {"person":"<@U0BEN>","text":"lunch!"}`},
		{"message @chloe.b lunch is here", `dm {"person":"@chloe.b","text":"lunch is here"}`},

		{"react with :tada:", `react {"name":"tada"}`},
		{"react to this with :+1:", `react {"name":"+1"}`},
		{"add a :eyes: reaction", `react {"name":"eyes"}`},
		{"react with thumbsup", `react {"name":"thumbsup"}`},
		{"give this a :white_check_mark:", `react {"name":"white_check_mark"}`},
		{"update message 1700000000.000100 to: all green", `update {"text":"all green","ts":"1700000000.000100"}`},

		{"who are you?", `who_am_i {}`},
		{"are you a bot?", `who_am_i {}`},
		{"what model are you using?", `who_am_i {}`},
		{"what can you do here?", `what_can_you_do {}`},
		{"help", `what_can_you_do {}`},
		{"?", `what_can_you_do {}`},
		{"thanks!", "You are welcome."},
		{"Thank you very much, Deskmate", "You are welcome."},
		{"hello", "~Hello!"},
		{"hello there", "~Hello!"},
		{"<@U0DESKMATE> hi Deskmate!", "~Hello!"},
		{"ok", "All right."},
		{"hey <@U0DESKMATE> react with :tada:", `react {"name":"tada"}`},
		{"thanks, now summarise this thread", `read_thread {}`},
		{"good morning", "~Hello!"},
		{"how are you?", "~All is well"},

		{`call recall {"query":"tea"}`, `recall {"query":"tea"}`},
		{"call `duty_list`", `duty_list {}`},
		{`call the tool remember with {"text": "x"}`, `remember {"text": "x"}`},
		{`call launch_rocket {"now":true}`, "~I have no tool `launch_rocket`"},
		{`call recall {"query":`, "~I did not understand"},
		{`call recall {"query"}`, "~not a JSON object"},
		{"call me maybe", "~I did not understand"},

		{"flibbertigibbet", "~I work by built-in rules"},
		{"flibbertigibbet", "~OPENAI_API_KEY"},
		{"flibbertigibbet", "~OPENAI_BASE_URL"},
		{"write me a poem about autumn and then book a flight", "~I did not understand"},
		{"", "~I did not understand"},
		{"…", "~I did not understand"},
		{"remember that tea is at four\nreact with :tea:", `remember {"text":"tea is at four"}; react {"name":"tea"}`},
		{"list duties\nsummarise this thread\n", `duty_list {}; read_thread {}`},
	}, user)
}

func TestRulesUnderstandTheirDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "models.md"))
	if err != nil {
		t.Fatalf("read the page: %v", err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(.+)` \\| `(\\w+)` \\|$").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 25 {
		t.Fatalf("%d requests found on the page, want at least 25", len(rows))
	}
	for _, row := range rows {
		got := rulesAnswer(t, talk(user(row[1])))
		if len(got.Calls) != 1 || got.Calls[0].Name != row[2] {
			t.Errorf("%q is documented as %s, but is %s", row[1], row[2], inShort(got))
		}
	}
	for _, e := range examples {
		for _, said := range regexp.MustCompile("`([^`…]+)`").FindAllStringSubmatch(e.text, -1) {
			if said[1] == "pause" || said[1] == "resume" || said[1] == "run" {
				continue // the verbs before "duty d_…"
			}
			if got := rulesAnswer(t, talk(user(said[1]))); len(got.Calls) != 1 || got.Calls[0].Name != e.tool {
				t.Errorf("help shows %q for %s, but it is %s", said[1], e.tool, inShort(got))
			}
		}
	}
}

func TestRulesStaySilentWhereNobodyAskedThem(t *testing.T) {
	t.Parallel()
	checkSentences(t, []sentence{
		{"flibbertigibbet", ""},
		{"thanks!", ""},
		{"hello all", ""},
		{"post in #general: x", ""},
		{"tell Ben that lunch is here", ""},
		{"every weekday at 9:30 post stand-up time", ""},
		{"help", ""},
		{"react with :tada:", ""},
		{"say hello", ""},
		{"pause the stand-up", ""},
		{"decision: we ship", ""},
		{"is it raining", ""},
		{"<@U0CHLOE> when is the offsite?", ""},
		{"hey <@U0CHLOE>, when is the offsite?", ""},
		{"when does the release freeze start?", `recall {"query":"when does the release freeze start"}`},
		{"remember that tea is at four", `remember {"text":"tea is at four"}`},
		{"forget that tea is at four", `forget {"query":"tea is at four"}`},
		{"remind me tomorrow at 9 to call the bank", `duty_create {"what":"remind me to call the bank","when":"tomorrow at 9"}`},
		{"summarise this thread", `read_thread {}`},
		{"list duties", `duty_list {}`},
		{"pause d_abcdefghij", `duty_pause {"duty":"d_abcdefghij"}`},
	}, overheard)
}

func TestRulesDoDuties(t *testing.T) {
	t.Parallel()
	for _, c := range []sentence{
		{"post Stand-up time", "Stand-up time"},
		{"post 'stand-up time'", "stand-up time"},
		{"say: go home", "go home"},
		{"Stand-up time", "Stand-up time"},
		{"who is on call this week?", "who is on call this week?"},
		{"remind me to call the bank", "Reminder for <@U0ADA>: call the bank"},
		{"remind: water the plants", "Reminder: water the plants"},
		{"remind us about the demo", "Reminder: the demo"},
		{"remind <@U0BEN> to deploy", "Reminder for <@U0BEN>: deploy"},
		{"post in #eng: stand-up time", `post {"channel":"#eng","text":"stand-up time"}`},
		{"tell <@U0BEN> that tea is ready", `dm {"person":"<@U0BEN>","text":"tea is ready"}`},
		{"summarise #general", `read_channel {"channel":"#general","limit":"100"}`},
		{"list duties", `duty_list {}`},
		{"every day at 9 is a good day", "every day at 9 is a good day"},
		{"remember the milk", "remember the milk"},
	} {
		r := talk(user(c.said))
		r.Messages[0].Content += "This is a run of one of your duties: do it and write the message that should appear.\n"
		if got := inShort(rulesAnswer(t, r)); got != c.want {
			t.Errorf("duty %q\n got %s\nwant %s", c.said, got, c.want)
		}
	}
}

// What people ask of the agent is no answer to what they ask later; what they tell it is.
func TestOrdersAreNoAnswers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"<@U0DESKMATE> forget what I said about Terraform":              true,
		"<@U0DESKMATE> list duties":                                     true,
		"<@U0DESKMATE> every day at 9 post the numbers":                 true,
		"<@U0DESKMATE> remember that Chloe owns billing":                false,
		"<@U0DESKMATE> Priya does not own billing any more, Chloe does": false,
		"<@U0BEN> we moved billing to Frankfurt":                        false,
		"forget what I said about Terraform":                            false,
		"list duties by hand, said nobody":                              false,
	} {
		if got := isOrder(text); got != want {
			t.Errorf("%q is an order: %t, want %t", text, got, want)
		}
	}
}
