package bot

import (
	"testing"
	"time"
)

// promises are sentences as people write them; what they promise by, in New York on
// Monday 2 March 2026, 10:00; "" is no commitment with a time.
var promises = []struct{ text, by string }{
	{"I'll send it by Friday", "2026-03-06 16:00"},
	{"I’ll send it by Friday.", "2026-03-06 16:00"},
	{"I will send the contract to legal tomorrow", "2026-03-03 17:00"},
	{"Ok, I'll fix it today", "2026-03-02 17:00"},
	{"Sure, I'll review it by tomorrow morning", "2026-03-03 12:00"},
	{"I'm going to write it up by Wednesday", "2026-03-04 16:00"},
	{"<@U0BEN> I'll get back to you by Thursday", "2026-03-05 16:00"},
	{"I'll let you know by end of day", "2026-03-02 17:00"},
	{"I'll post the numbers by EOD", "2026-03-02 17:00"},
	{"Thanks! I'll have the draft ready by Friday", "2026-03-06 16:00"},
	{"I'll deploy it at 3pm", "2026-03-02 15:00"},
	{"I'll deploy it by 3pm", "2026-03-02 15:00"},
	{"I'll call them tomorrow at 9", "2026-03-03 09:00"},
	{"I'll look into it this afternoon", "2026-03-02 17:00"},
	{"I will do it in 20 minutes", "2026-03-02 10:20"},
	{"I'll share the slides within two hours", "2026-03-02 12:00"},
	{"I can send you the report by Tuesday", "2026-03-03 16:00"},
	{"Will send it tomorrow", "2026-03-03 17:00"},
	{"will do it by Friday", "2026-03-06 16:00"},
	{"Let me check it tomorrow", "2026-03-03 17:00"},
	{"I'll definitely finish the migration by end of week", "2026-03-06 16:00"},
	{"I'll take a look on Wednesday", "2026-03-04 16:00"},
	{"Great. I'll book the room by Friday at 10:00", "2026-03-06 10:00"},
	{"I'll send it by Friday, ok?", "2026-03-06 16:00"},
	{"I'm gonna merge it tonight", "2026-03-02 20:00"},
	{"I promise to update the page by Thursday", "2026-03-05 16:00"},
	{"Agreed, I'll set up the meeting this week", "2026-03-06 16:00"},
	{"I'll prepare the offer on 12 March", "2026-03-12 16:00"},
	{"The tests are red.\nI'll fix them today.", "2026-03-02 17:00"},
	{"I will also follow up with the vendor next week", "2026-03-13 16:00"},
	{"I'll pick it up tomorrow afternoon", "2026-03-03 17:00"},
	{"Sorry, late. I'll make sure to send it by tomorrow", "2026-03-03 17:00"},
	{"Happy to take that one, should land Friday", ""}, // a promise all the same: missed
	{"You'll have it from me by Friday", ""},           // missed too
	{"Consider it done by Friday", ""},                 // and this

	{"I'll never send it by Friday", ""},
	{"I'll be out on Friday", ""},
	{"I'll be on vacation until Friday", ""},
	{"I'll be late today", ""},
	{"I'll probably send it by Friday", ""},
	{"Maybe I'll fix it tomorrow", ""},
	{"I won't send it by Friday", ""},
	{"I will not do it today", ""},
	{"If nobody minds I'll send it by Friday", ""},
	{"I'll send it by Friday if legal agrees", ""},
	{"I'd send it by Friday", ""},
	{"I would send it by Friday", ""},
	{"I could send it by Friday", ""},
	{"Should I send it by Friday?", ""},
	{"Can I send it by Friday?", ""},
	{"I'll send it by Friday?", ""},
	{"Can you send it by Friday", ""},
	{"She'll send it by Friday", ""},
	{"We'll ship it on Friday", ""},
	{`Ben said "I'll send it by Friday"`, ""},
	{"Ben said I'll send it by Friday", ""},
	{"> I'll send it by Friday\nis that so?", ""},
	{"`I'll send it by Friday`", ""},
	{"“I'll send it by Friday” is what they all write", ""},
	{"I'll see you on Friday", ""},
	{"I'll miss the meeting tomorrow", ""},
	{"I'll take Friday off", ""},
	{"I'll join tomorrow at 9", ""},
	{"I'll think about it tomorrow", ""},
	{"I sent it on Friday", ""},
	{"I was going to send it on Friday", ""},
	{"I have to send it by Friday", ""},
	{"I'll send it", ""},
	{"I'll do it when I'm back on Friday", ""},
	{"I'll send it every Friday at 9", ""},
	{"I wish I'll fix it tomorrow", ""},
	{"Imagine I'll send it by Friday", ""},
	{"I'll try to fix it tomorrow", ""},
	{"Just kidding, I'll send it by Friday, not", ""},
	{"I'll bet it breaks tomorrow", ""},
	{"Nobody knows whether I'll send it by Friday", ""},
	{"Friday works for me", ""},
	{"The release is on Friday", ""},
	{"I'll hopefully send it tomorrow", ""},
	{"as soon as it is merged I'll deploy it today", ""},
	{"I'll be there at 3pm", ""},
	{"Once you approve, I will send it by Friday", ""},
}

func TestPromises(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, zone)
	missed := map[string]bool{"Happy to take that one, should land Friday": true, "You'll have it from me by Friday": true, "Consider it done by Friday": true}
	right, wrong, real := 0, 0, 0
	for _, c := range promises {
		p, ok := promiseIn(c.text, now, "America/New_York")
		got := ""
		if ok {
			got = p.when.At.In(zone).Format("2006-01-02 15:04")
		}
		if got != c.by {
			t.Errorf("%q: got %q, want %q", c.text, got, c.by)
		}
		switch is := c.by != "" || missed[c.text]; {
		case is && ok:
			right++
		case ok:
			wrong++
		}
		if c.by != "" || missed[c.text] {
			real++
		}
	}
	precision, recall := float64(right)/float64(right+wrong), float64(right)/float64(real)
	t.Logf("%d sentences, %d commitments: precision %.2f, recall %.2f", len(promises), real, precision, recall)
	if precision < 1 || recall < 0.9 {
		t.Errorf("precision %.2f, recall %.2f; want 1 and 0.9", precision, recall)
	}
}

func TestWhatSettlesAThread(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"resolved": true, "Done!": true, "this is fixed": true, "It's resolved now.": true, "fixed in <https://x.example/1>": true, "I fixed it": true, "Thanks, all done": true,
		"ok, closed": true, "that has been sorted out": true, "<@U0BEN> fixed it": true, "The issue is resolved.": true, "Looks good. Resolved.": true, "marking as resolved": true,
		"not fixed": false, "is it done?": false, "almost done": false, "it isn't resolved": false, "when it is done we ship": false, "done with lunch, now on to this": false,
		"who fixed it?": false, "if it is fixed, tell me": false, "the fix is not done yet": false, "I closed the window": false, "half done": false, "hello": false, "": false,
		"they said it's resolved, but it is not": false, "> resolved": false,
	} {
		if got := settlesThread(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
