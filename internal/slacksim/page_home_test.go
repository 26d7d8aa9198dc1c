package slacksim_test

import (
	"strings"
	"testing"

	"deskmate/internal/slacksim"
)

// nextEvent is the next event of a type; other envelopes are acknowledged.
func nextEvent(w wire, kind string) frame {
	for {
		f := nextFrame(w, "events_api")
		w.ack(f.EnvelopeID, "")
		if strings.Contains(string(f.Payload), `"type":"`+kind+`"`) {
			return f
		}
	}
}

func pageShowsHome(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	publish := func(title string) {
		t.Helper()
		call(t, base, s.BotToken(), "views.publish", "user_id", "U0BEN", "view", `{"type":"home","blocks":[
			{"type":"header","text":{"type":"plain_text","text":"`+title+`"}},
			{"type":"actions","elements":[{"type":"conversations_select","action_id":"pick","placeholder":{"type":"plain_text","text":"Notes of a channel"},
				"filter":{"include":["public","private"],"exclude_bot_users":true}}]},
			{"type":"section","text":{"type":"mrkdwn","text":"*Stand-up* in <#C0ENG> <script>window.hacked = 1</script>"}},
			{"type":"actions","elements":[{"type":"button","action_id":"pause","value":"d_1","text":{"type":"plain_text","text":"Pause"}},
				{"type":"button","action_id":"delete","value":"d_1","style":"danger","text":{"type":"plain_text","text":"Delete"},
				"confirm":{"title":{"type":"plain_text","text":"Sure?"},"text":{"type":"mrkdwn","text":"For good."},"confirm":{"type":"plain_text","text":"Yes"},"deny":{"type":"plain_text","text":"No"}}}]}]}`)
	}
	direct := call(t, base, slacksim.UserToken("U0BEN"), "conversations.open", "users", "U0DESKMATE")["channel"].(map[string]any)["id"].(string)
	p := b.open(t, base+"/#channel="+direct+"&user=U0BEN", wide, high)
	p.click(`[data-tab="home"]`)
	opened := nextEvent(w, "app_home_opened")
	for _, want := range []string{`"tab":"home"`, `"user":"U0BEN"`} {
		if !strings.Contains(string(opened.Payload), want) {
			t.Errorf("the visit: got %s, want it to hold %s", opened.Payload, want)
		}
	}
	p.until(`document.querySelector('#home').innerText.includes('No Home yet')`, "the word that there is no Home yet")
	publish("My duties")
	p.until(`document.querySelector('#home .block-header')?.textContent === 'My duties'`, "the Home")
	if p.eval(nothingWasHacked) != true {
		t.Error("hostile text in a Home became elements")
	}
	use := func(what string, wants ...string) {
		t.Helper()
		f := nextFrame(w, "interactive")
		w.ack(f.EnvelopeID, "")
		for _, want := range append(wants, `"type":"block_actions"`, `"type":"view"`, `"id":"U0BEN"`) {
			if !strings.Contains(string(f.Payload), want) {
				t.Errorf("%s: got %s, want it to hold %s", what, f.Payload, want)
			}
		}
	}
	p.click(`#home [data-action="pause"]`)
	use("a button", `"action_id":"pause"`, `"value":"d_1"`)
	p.click(`#home [data-action="delete"]`)
	p.click(`[data-confirm="yes"]`)
	use("a button that asks first", `"action_id":"delete"`)
	p.eval(`(() => { const s = document.querySelector('#home select'); s.value = 'C0ENG'; s.dispatchEvent(new Event('change', { bubbles: true })); })()`)
	use("a pick", `"action_id":"pick"`, `"selected_conversation":"C0ENG"`)
	publish("Changed")
	p.until(`document.querySelector('#home .block-header')?.textContent === 'Changed'`, "the Home as it was published again")
	p.click(`[data-tab="messages"]`)
	p.until(`document.querySelector('#home').hidden`, "the messages in place of the Home")
}

func pageOffersShortcuts(t *testing.T, b *browser) {
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	ts := say(t, s, "U0CHLOE", "C0ENG", "The freeze starts on Thursday")
	p := b.open(t, base+"/#channel=C0ENG&user=U0BEN", wide, high)
	for _, id := range []string{"remember_this", "hand_to_deskmate"} {
		p.click(`.message:last-child [data-tool="more"]`)
		p.click(`[data-shortcut="` + id + `"]`)
		f := nextFrame(w, "interactive")
		w.ack(f.EnvelopeID, "")
		for _, want := range []string{`"type":"message_action"`, `"callback_id":"` + id + `"`, `"message_ts":"` + ts + `"`, `"id":"U0BEN"`, "The freeze starts on Thursday"} {
			if !strings.Contains(string(f.Payload), want) {
				t.Errorf("shortcut %s: got %s, want it to hold %s", id, f.Payload, want)
			}
		}
		call(t, base, s.BotToken(), "views.open", "trigger_id", payloadField(t, f, "trigger_id"), "view",
			`{"type":"modal","title":{"type":"plain_text","text":"`+id+`"},"blocks":[{"type":"section","text":{"type":"plain_text","text":"x"}}]}`)
		p.until(`document.querySelector('dialog[open] h2')?.textContent === '`+id+`'`, "the modal of the shortcut")
		p.click(`dialog [aria-label="Close"]`)
		p.until(`!document.querySelector('dialog[open]')`, "the modal to be gone")
	}
}
