package slacksim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"deskmate/internal/slacksim"
)

const (
	wide, high       = 1280, 800
	narrow, tall     = 390, 844
	mainBox          = "#foot textarea"
	threadBox        = "#thread-foot textarea"
	hostile          = `<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1"> <javascript:alert(1)|click>`
	shownIn          = `document.querySelector('#messages').innerText.includes(%q)`
	nothingWasHacked = `!window.hacked && !document.querySelector('.messages script, .messages img[onerror], .messages a[href^="javascript"]')`
)

func TestPage(t *testing.T) {
	t.Parallel()
	b := browse(t)
	for name, test := range map[string]func(*testing.T, *browser){
		"styles become elements and hostile text stays text":             pageShowsMrkdwn,
		"blocks are drawn and hostile text in them stays text":           pageShowsBlocks,
		"a plan is drawn with the state of each task":                    pageShowsPlan,
		"what cannot be drawn takes nothing else with it":                pageOutlivesMalformed,
		"a button press reaches the app":                                 pagePresses,
		"a modal is filled in, refused with errors, and submitted":       pageFillsModal,
		"a slash command is answered to its writer alone":                pageCommands,
		"a person who took another's seat replies in a thread":           pageSwitchesPerson,
		"messages, edits, reactions and deletions come without a reload": pageFollows,
		"a name is completed, and one's own message edited and deleted":  pageCompletesNames,
		"a lost connection is told, and made up for":                     pageComesBack,
		"a private channel is not there for a guest":                     pageHidesPrivate,
		"nothing is wider than a phone":                                  pageFitsPhone,
		"the clock moves to nine in the morning":                         pageMovesClock,
		"a Home is opened, used, and drawn again":                        pageShowsHome,
		"an entry of a message's menu reaches the app":                   pageOffersShortcuts,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, b)
		})
	}
}

func pageShowsMrkdwn(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	say(t, s, "U0BEN", "C0ENG", "*bold* _slanted_ ~gone~ `code` <@U0ADA> <#C0GENERAL> :tada: <https://example.com/a|label>\n> quoted\n- item\n```fenced```")
	say(t, s, "U0CHLOE", "C0ENG", hostile)
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.until(fmt.Sprintf(shownIn, "<script>window.hacked = 1</script>"), "the hostile text")
	for selector, want := range map[string]string{
		"strong": "bold", "em": "slanted", "s": "gone", "p code": "code", ".mention.me": "@Ada", "a.mention": "#general", ".emoji": "🎉",
		`a[href="https://example.com/a"]`: "label", "blockquote": "quoted", "li": "item", "pre code": "fenced",
	} {
		if got := p.eval(fmt.Sprintf(`document.querySelector('.mrkdwn').querySelector(%q)?.textContent`, selector)); got != want {
			t.Errorf("%s of the message: got %v, want %q", selector, got, want)
		}
	}
	if p.eval(nothingWasHacked) != true {
		t.Error("hostile text became elements")
	}
	if got := p.eval(`document.querySelectorAll('.message:last-child a').length`); got != float64(0) {
		t.Errorf("a javascript: address: got %v links, want none", got)
	}
}

func pageShowsBlocks(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	plain := func(text string) *slack.TextBlockObject {
		return slack.NewTextBlockObject("plain_text", text, false, false)
	}
	choice := slack.NewOptionsSelectBlockElement("static_select", plain("Which?"), "which", slack.NewOptionBlockObject("a", plain("First"), nil))
	_, _, err := bot(s, base).PostMessage("C0ENG", slack.MsgOptionBlocks(
		slack.NewHeaderBlock(plain("Weekly report :rocket:")),
		slack.NewSectionBlock(slack.NewTextBlockObject("mrkdwn", "*total* "+hostile, false, false), []*slack.TextBlockObject{plain("left " + hostile), plain("right")}, slack.NewAccessory(choice)),
		slack.NewDividerBlock(),
		slack.NewContextBlock("", slack.NewTextBlockObject("mrkdwn", "small _print_", false, false)),
		slack.NewMarkdownBlock("", "# Title\n\n| a | b |\n|---|---|\n| 1 | **2** |\n\n[bad](javascript:alert(1)) "+hostile),
		slack.NewVideoBlock("https://example.com/v", "https://example.com/t.png", "alt", "", plain("film")),
	))
	if err != nil {
		t.Fatalf("post blocks: %v", err)
	}
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.until(`document.querySelector('.block-header')`, "the header block")
	for selector, want := range map[string]string{
		".block-header": "Weekly report 🚀", ".block-section strong": "total", ".block-section option:nth-child(2)": "First", ".field:nth-child(2)": "right",
		".block-context em": "print", ".md-h1": "Title", ".markdown td strong": "2", ".unknown-block": "Cannot show this here: video", ".badge": "APP",
	} {
		if got := p.eval(fmt.Sprintf(`document.querySelector(%q)?.textContent`, selector)); got != want {
			t.Errorf("%s: got %v, want %q", selector, got, want)
		}
	}
	if p.eval(nothingWasHacked) != true {
		t.Error("hostile text in blocks became elements")
	}
}

func pageShowsPlan(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	call(t, base, s.BotToken(), "chat.postMessage", "channel", "C0ENG", "text", "plan", "blocks", `[{"type":"plan","title":"Weekly report","tasks":[
		{"type":"task_card","task_id":"1","title":"Read <b>#eng</b>","status":"complete","sources":[{"type":"url","url":"javascript:alert(1)","text":"bad"}]},
		{"type":"task_card","task_id":"2","title":"Write it","status":"in_progress"}]},{"type":"task_card","task_id":"3","title":"Send it","status":"constructor"}]`)
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.until(`document.querySelector('.block-plan')`, "the plan")
	want := "Done: Read <b>#eng</b>, In progress: Write it, To do: Send it"
	if got := p.eval(`[...document.querySelectorAll('.task')].map((n) => n.querySelector('.task-sign').getAttribute('aria-label') + ': ' + n.querySelector('.task-title').textContent).join(', ')`); got != want {
		t.Errorf("tasks: got %v, want %q", got, want)
	}
	if p.eval(nothingWasHacked) != true {
		t.Error("hostile text in a plan became elements")
	}
}

// Once, a block that Slack checks only from outside left its channel blank, and
// marks that no run ended froze the page for seconds.
func pageOutlivesMalformed(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	for _, blocks := range []string{
		`[{"type":"rich_text","elements":[null]}]`, `[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":"abc"}]}]`, `[{"type":"table","rows":[1]}]`,
	} {
		call(t, base, s.BotToken(), "chat.postMessage", "channel", "C0ENG", "text", "malformed", "blocks", blocks)
	}
	call(t, base, s.BotToken(), "chat.postMessage", "channel", "C0ENG", "text", "malformed", "attachments", `[null]`)
	say(t, s, "U0BEN", "C0ENG", strings.Repeat("*a<b*", 7_000))
	say(t, s, "U0BEN", "C0ENG", "*a _b ~c~ d_ `*` <https://example.com/*|e*> f* g*h")
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.until(`document.querySelector('.message:last-child strong')`, "the last message")
	if got, want := p.eval(`document.querySelector('.message:last-child .mrkdwn').innerHTML.replace(/<a .*?>/, '<a>')`),
		"<p><strong>a <em>b <s>c</s> d</em> <code>*</code> <a>e*</a> f</strong> g*h</p>"; got != want {
		t.Errorf("nested styles: got %v, want %s", got, want)
	}
	if got := p.eval(`document.querySelectorAll('.unknown-block').length + document.querySelectorAll('.notice').length`); got != float64(4) {
		t.Errorf("notes in place of what cannot be drawn: got %v, want 4", got)
	}
}

func pagePresses(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	api := bot(s, base)
	requests := listen(t, api, nil)
	sure := slack.NewButtonBlockElement("refuse", "no", slack.NewTextBlockObject("plain_text", "Refuse", false, false)).WithStyle("danger")
	sure.Confirm = slack.NewConfirmationBlockObject(slack.NewTextBlockObject("plain_text", "Sure?", false, false), slack.NewTextBlockObject("plain_text", "Really?", false, false),
		slack.NewTextBlockObject("plain_text", "Yes", false, false), slack.NewTextBlockObject("plain_text", "No", false, false))
	if _, _, err := api.PostMessage("C0ENG", slack.MsgOptionBlocks(button("approve"), slack.NewActionBlock("other", sure))); err != nil {
		t.Fatalf("post button: %v", err)
	}
	p := b.open(t, base+"/#channel=C0ENG&user=U0CHLOE", wide, high)
	p.click(`[data-action="approve"]`)
	first := nextPress(t, requests)
	p.click(`[data-action="refuse"]`)
	p.click(`[data-confirm="yes"]`)
	second := nextPress(t, requests)
	for payload, wants := range map[string][]string{first: {`"action_id":"approve"`, `"id":"U0CHLOE"`, `"value":"yes"`}, second: {`"action_id":"refuse"`, `"value":"no"`}} {
		for _, want := range wants {
			if !strings.Contains(payload, want) {
				t.Errorf("payload of a press: got %s, want it to hold %s", payload, want)
			}
		}
	}
	p.until(`!document.querySelector('.busy')`, "the button to be free again")
}

// nextPress is the payload of the next interaction; events are passed over.
func nextPress(t *testing.T, requests <-chan socketmode.Request) string {
	t.Helper()
	for {
		if r := await(t, requests, "an interaction"); r.Type == "interactive" {
			return string(r.Payload)
		}
	}
}

// nextFrame is the next envelope of a kind; others are acknowledged.
func nextFrame(w wire, kind string) frame {
	for {
		f := w.read()
		if f.Type == kind {
			return f
		}
		w.ack(f.EnvelopeID, "")
	}
}

// payloadField is a text of an envelope's payload.
func payloadField(t *testing.T, f frame, name string) string {
	t.Helper()
	var payload map[string]any
	if err := json.Unmarshal(f.Payload, &payload); err != nil {
		t.Fatalf("payload %s: %v", f.Payload, err)
	}
	text, _ := payload[name].(string)
	return text
}

func pageFillsModal(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	if _, _, err := bot(s, base).PostMessage("C0ENG", slack.MsgOptionBlocks(button("open"))); err != nil {
		t.Fatalf("post button: %v", err)
	}
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.click(`[data-action="open"]`)
	press := nextFrame(w, "interactive")
	w.ack(press.EnvelopeID, "")
	trigger := payloadField(t, press, "trigger_id")
	call(t, base, s.BotToken(), "views.open", "trigger_id", trigger, "view", `{"type":"modal","title":{"type":"plain_text","text":"New duty"},
		"submit":{"type":"plain_text","text":"Save"},"blocks":[
		{"type":"input","block_id":"what","label":{"type":"plain_text","text":"What?"},"element":{"type":"plain_text_input","action_id":"text"}},
		{"type":"input","block_id":"when","label":{"type":"plain_text","text":"When?"},"element":{"type":"static_select","action_id":"day","options":[
			{"text":{"type":"plain_text","text":"Monday"},"value":"mon"},{"text":{"type":"plain_text","text":"Friday"},"value":"fri"}]}}]}`)
	p.until(`document.querySelector('dialog[open] h2')?.textContent === 'New duty'`, "the modal")
	p.eval(`document.querySelector('dialog [data-action=day]').value = 'fri'`)
	p.write(`dialog [data-action="text"]`, "water the plants")
	refused := nextFrame(w, "interactive")
	for _, want := range []string{`"type":"view_submission"`, `"value":"water the plants"`, `"value":"fri"`} {
		if !strings.Contains(string(refused.Payload), want) {
			t.Errorf("submission: got %s, want it to hold %s", refused.Payload, want)
		}
	}
	w.ack(refused.EnvelopeID, `{"response_action":"errors","errors":{"what":"Too vague."}}`)
	p.until(`document.querySelector('dialog [role=alert]')?.textContent === 'Too vague.'`, "the error at its input")
	if got := p.eval(`document.querySelector('dialog [data-action=text]').value + document.querySelector('dialog [data-action=day]').value`); got != "water the plantsfri" {
		t.Errorf("what was filled in, after an error: got %v, want it kept", got)
	}
	p.click(`dialog [type="submit"]`)
	w.ack(nextFrame(w, "interactive").EnvelopeID, "")
	p.until(`!document.querySelector('dialog')`, "the modal to close")
}

func pageCommands(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.write(mainBox, "/deskmate what is due?")
	command := nextFrame(w, "slash_commands")
	if got := payloadField(t, command, "text"); got != "what is due?" {
		t.Errorf("text of the command: got %q, want %q", got, "what is due?")
	}
	w.ack(command.EnvelopeID, `{"text":"*Two* duties"}`)
	p.until(`document.querySelector('.message.ephemeral')?.innerText.includes('Only visible to you')`, "the answer")
	if got := p.eval(`document.querySelector('.message.ephemeral strong').textContent`); got != "Two" {
		t.Errorf("the answer's style: got %v, want Two in bold", got)
	}
	p.write(mainBox, "/nonsense")
	p.until(`document.querySelector('.toast.bad')`, "the refusal of an unknown command")
}

func pageSwitchesPerson(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	root := say(t, s, "U0ADA", "C0ENG", "who is on call?")
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.until(fmt.Sprintf(shownIn, "who is on call?"), "the question")
	p.click("#me")
	if got := p.eval(`document.querySelector('.menu').innerText.replace(/\s+/g, ' ')`); !strings.Contains(fmt.Sprint(got), "Gil Guest") || !strings.Contains(fmt.Sprint(got), "Xena Outsider") {
		t.Errorf("the switch: got %q, want everyone with their kind", got)
	}
	p.click(`[data-user="U0BEN"]`)
	p.until(`document.querySelector('#me').innerText.includes('Ben')`, "the switch to Ben")
	p.click(`.message [data-tool="reply"]`)
	p.write(threadBox, "I am, with @Chloe <b>")
	p.until(`document.querySelector('#replies .message:last-child .author')?.textContent === 'Ben'`, "the reply in the thread")
	p.until(`document.querySelector('#messages .replies')?.innerText.includes('1 reply')`, "the count of replies")
	history, _, _, err := person(base, "U0ADA").GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: "C0ENG", Timestamp: root})
	if err != nil || len(history) != 2 {
		t.Fatalf("replies: got %d, %v, want 2", len(history), err)
	}
	if got := history[1]; got.User != "U0BEN" || got.Text != "I am, with <@U0CHLOE> &lt;b&gt;" {
		t.Errorf("the reply: got %q from %s, want Chloe mentioned by id, from U0BEN", got.Text, got.User)
	}
}

func pageFollows(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.eval(`window.sameLoad = true; document.querySelector('#foot textarea').focus()`)
	p.do("Input.insertText", m{"text": "half a thought"})
	ben := person(base, "U0BEN")
	_, ts, err := ben.PostMessage("C0ENG", slack.MsgOptionText("first words", false))
	if err != nil {
		t.Fatalf("post: %v", err)
	}
	p.until(fmt.Sprintf(shownIn, "first words"), "a new message")
	if got := p.eval(`document.activeElement.value`); got != "half a thought" {
		t.Errorf("the draft under the cursor after a new message: got %v, want it kept in focus", got)
	}
	if _, _, _, err := ben.UpdateMessage("C0ENG", ts, slack.MsgOptionText("better words", false)); err != nil {
		t.Fatalf("update: %v", err)
	}
	p.until(fmt.Sprintf(shownIn, "better words (edited)"), "the edit and its mark")
	if err := bot(s, base).AddReaction("eyes", slack.NewRefToMessage("C0ENG", ts)); err != nil {
		t.Fatalf("react: %v", err)
	}
	p.click(`[data-reaction="eyes"]`)
	p.until(`document.querySelector('[data-reaction="eyes"].mine .count')?.textContent === '2'`, "both reactions")
	call(t, base, s.BotToken(), "assistant.threads.setStatus", "channel_id", "C0ENG", "thread_ts", ts, "status", "is working on it…")
	p.until(fmt.Sprintf(shownIn, "deskmate is working on it…"), "the status")
	say(t, s, "U0CHLOE", "C0GENERAL", "elsewhere")
	p.until(`document.querySelector('[data-channel="C0GENERAL"] .dot')`, "the mark of an unread channel")
	say(t, s, "U0CHLOE", "C0GENERAL", "<@U0ADA> have you seen it?")
	p.until(`document.querySelector('[data-channel="C0GENERAL"] .count')?.textContent === '1'`, "the count of messages that mention the person")
	if _, _, err := ben.DeleteMessage("C0ENG", ts); err != nil {
		t.Fatalf("delete: %v", err)
	}
	p.until(`!document.querySelector('#messages').innerText.includes('better words')`, "the deletion")
	if p.eval(`window.sameLoad`) != true {
		t.Error("the page was loaded anew")
	}
}

func pageCompletesNames(t *testing.T, b *browser) {
	_, base := workspace(t, slacksim.Options{})
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.write(mainBox, "@de")
	p.until(`document.querySelector('#foot textarea').value === '@deskmate '`, "the completed name")
	p.write(mainBox, "are you there?")
	p.until(`document.querySelector('.message .mention[data-mention="U0DESKMATE"]')`, "the message with a mention")
	p.eval(`document.querySelector('.message [data-tool="more"]').click()`)
	p.click(`[data-choice="edit"]`)
	p.until(`document.querySelector('.edit-box')?.value === '@deskmate are you there?'`, "the text as it was typed")
	p.eval(`document.querySelector('.edit-box').select()`)
	p.write(".edit-box", "@deskmate <hello>")
	p.until(`document.querySelector('.message .body').innerText === '@deskmate <hello> (edited)'`, "the edited message")
	p.click(`.message [data-tool="more"]`)
	p.click(`[data-choice="delete"]`)
	p.click(`[data-confirm="yes"]`)
	p.until(`!document.querySelector('.message')`, "the deletion")
}

func pageComesBack(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	say(t, s, "U0BEN", "C0ENG", "before the restart")
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.until(fmt.Sprintf(shownIn, "before the restart"), "the first message")
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	p.until(`!document.querySelector('#banner').hidden`, "the banner about the lost connection")
	again, err := slacksim.New(slacksim.Options{})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { _ = again.Close() })
	if _, err := again.Start(t.Context(), strings.TrimPrefix(base, "http://")); err != nil {
		t.Fatalf("Start on the same address: %v", err)
	}
	say(t, again, "U0BEN", "C0ENG", "after the restart")
	p.until(fmt.Sprintf(shownIn, "after the restart")+` && document.querySelector('#banner').hidden`, "the state after the restart")
	if p.eval(`document.body.innerText.includes('before the restart')`) != false {
		t.Error("the page still shows what the workspace no longer holds")
	}
}

func pageHidesPrivate(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	p := b.open(t, base+"/#channel=C0LEADS&user=U0GIL", wide, high)
	p.until(`document.querySelector('#me').innerText.includes('Gil')`, "Gil's page")
	say(t, s, "U0ADA", "C0LEADS", "the merger is called Falcon")
	say(t, s, "U0ADA", "C0GENERAL", "hello all")
	p.click(`[data-channel="C0GENERAL"]`)
	p.until(fmt.Sprintf(shownIn, "hello all"), "the later message that Gil may see")
	if got := p.eval(`[...document.querySelectorAll('[data-channel^=C0]')].map((n) => n.dataset.channel).join()`); got != "C0GENERAL" {
		t.Errorf("channels of a guest: got %v, want C0GENERAL alone", got)
	}
	if p.eval(`document.body.innerText.includes('Falcon')`) != false {
		t.Error("a guest's page shows what was said in a private channel")
	}
}

func pageFitsPhone(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	root := say(t, s, "U0BEN", "C0ENG", "```"+strings.Repeat("wide ", 80)+"```\n"+strings.Repeat("x", 400))
	if _, err := s.Say("U0ADA", "C0ENG", "https://example.com/"+strings.Repeat("y", 300), root); err != nil {
		t.Fatalf("reply: %v", err)
	}
	if _, _, err := bot(s, base).PostMessage("C0ENG", slack.MsgOptionBlocks(section(strings.Repeat("z", 300)), button("a"),
		slack.NewMarkdownBlock("", "| a | b |\n|---|---|\n| "+strings.Repeat("long ", 60)+" | "+strings.Repeat("w", 200)+" |"))); err != nil {
		t.Fatalf("post: %v", err)
	}
	p := b.open(t, base+"/", narrow, tall)
	fits := func(view string) {
		t.Helper()
		p.until(fmt.Sprintf(`document.querySelector('#app').dataset.view === %q`, view), "the view "+view)
		if got := p.eval(`Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll('.pane, #sidebar, .messages')].filter((n) => getComputedStyle(n).visibility === 'visible').map((n) => n.scrollWidth))`); got.(float64) > narrow {
			t.Errorf("width of the view %s: got %v, want at most %d", view, got, narrow)
		}
	}
	fits("list")
	p.click(`[data-channel="C0ENG"]`)
	p.until(`document.querySelector('#messages .replies')`, "the messages")
	fits("channel")
	p.click(`#messages .replies`)
	fits("thread")
	p.click("#thread-back")
	fits("channel")
	p.click("#back")
	fits("list")
}

func pageMovesClock(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	p := b.open(t, base+"/#channel=C0ENG", wide, high)
	p.click("#emulator")
	p.click(`[data-clock="nine"]`)
	p.until(`/ 09:00:\d\d$/.test(document.querySelector('.clock-face')?.textContent.replace(',', ''))`, "nine in the morning of the person")
	say(t, s, "U0BEN", "C0ENG", "good morning")
	p.until(`document.querySelector('#messages .time')?.textContent === '09:00'`, "a message at nine")
}
