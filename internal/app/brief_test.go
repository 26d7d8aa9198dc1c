package app

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"deskmate/bot"
	"deskmate/identity/budget"
	"deskmate/internal/modelsim"
	"deskmate/memory"
)

// isBrief reports whether the model is asked for a brief.
func isBrief(q modelsim.Request) bool {
	return len(q.Messages) > 0 && strings.Contains(q.Messages[0].Content, "handoff brief")
}

// number is that of the message with text in what the model is given.
func number(q modelsim.Request, text string) string {
	m := regexp.MustCompile(`\[(\d+)\] [^\n]*` + regexp.QuoteMeta(text)).FindStringSubmatch(q.Last("user").Content)
	if m == nil {
		return "0"
	}
	return m[1]
}

// briefDesk is a thread about a launch, and a model that words its brief.
func briefDesk(t *testing.T, words func(q modelsim.Request) modelsim.Reply) (*desk, string) {
	t.Helper()
	d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
		if isBrief(q) {
			return words(q)
		}
		return modelsim.Reply{Text: "noted"}
	}, nil)
	root := d.ask(d.ben, "the launch is called falcon")
	d.answer(root, "noted")
	for _, text := range []string{"We decided to launch falcon on Thursday with 3 people on call.", "I will write the announcement by Wednesday.", "Who owns the status page?"} {
		d.reply(d.ada, root, text)
	}
	d.until(`SELECT COUNT(*) = 4 FROM messages WHERE gone_at = 0`)
	return d, root
}

func (d *desk) brief(p memory.Place, channel, thread string) bot.Briefing {
	d.t.Helper()
	b := bot.Briefer{DB: d.app.DB, Ledger: d.app.Ledger, Memory: d.app.Memory, People: d.app.people, Agents: d.app.Agents, Budgets: d.app.Budgets, Model: d.app.loop.Model}
	got, err := b.Thread(context.Background(), bot.Reading{Place: p}, channel, thread)
	if err != nil {
		d.t.Fatal(err)
	}
	return got
}

func inEng(d *desk) memory.Place {
	return memory.Place{Workspace: d.app.Self.Workspace, Channel: eng, ChannelKind: memory.ChannelPublic, Requester: ben, RequesterKind: memory.KindMember}
}

func TestBriefByModelKeepsOnlyWhatItsSourcesSay(t *testing.T) {
	t.Parallel()
	d, root := briefDesk(t, func(q modelsim.Request) modelsim.Reply {
		plan, will, who := number(q, "We decided"), number(q, "I will write"), number(q, "Who owns")
		return modelsim.Reply{Text: strings.Join([]string{
			"Here is the brief:",
			"GOAL: launch falcon [" + plan + "]",
			"DECIDED: falcon launches on Thursday, 3 people on call [" + plan + ", " + will + "]",
			"DECIDED: falcon launches on Thursday, 30 people on call [" + plan + "]",
			"DONE: the press release was sent to everybody [" + will + "]",
			"- **Open:** who owns the status page [" + who + "].",
			"WAITING: Ada: announcement by Wednesday [" + will + "]",
			"WAITING: Chloe: the falcon budget",
			"DECIDED: launch falcon on Thursday [99]",
			"DONE: falcon, see https://evil.example/x [" + plan + "]",
		}, "\n")}
	})
	got := d.brief(inEng(d), eng, root)
	text := got.Text
	for _, want := range []string{"**Goal:**\n- launch falcon — ada", "- falcon launches on Thursday, 3 people on call — ada", "who owns the status page", "- Ada: announcement by Wednesday", "Put in words by"} {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("the brief lacks %q: %s", want, text)
		}
	}
	for _, never := range []string{"30 people", "press release", "budget", "evil", "Here is", "[99]"} {
		if strings.Contains(text, never) {
			t.Errorf("the brief has %q, which nothing backs: %s", never, text)
		}
	}
	if got.Model == "" || strings.Count(text, "/archives/"+eng+"/p") < 5 {
		t.Errorf("by model %q, with sources: %s", got.Model, text)
	}
	d.until(`SELECT COUNT(*) = 1 FROM ledger_entries WHERE leaf LIKE '%model.called%' AND leaf LIKE '%"for":"brief"%'`)
}

func TestBriefFallsBackOnTheMessages(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]modelsim.Reply{
		"nonsense": {Text: "I would love to help!"},
		"refusal":  {Status: 400},
		"uncited":  {Text: "GOAL: launch falcon\nDECIDED: launch falcon on Thursday"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, root := briefDesk(t, func(modelsim.Request) modelsim.Reply { return reply })
			if got := d.brief(inEng(d), eng, root); got.Model != "" || !strings.Contains(got.Text, "- We decided to launch falcon on Thursday with 3 people on call.") || !strings.Contains(got.Text, "Began with") {
				t.Errorf("by %q: %s", got.Model, got.Text)
			}
		})
	}
}

func TestBriefStaysWithinTheBudget(t *testing.T) {
	t.Parallel()
	asked := 0
	d, root := briefDesk(t, func(q modelsim.Request) modelsim.Reply {
		asked++
		return modelsim.Reply{Text: "GOAL: launch falcon [" + number(q, "We decided") + "]"}
	})
	if err := d.app.Budgets.Set(context.Background(), ada, budget.Budget{Workspace: d.app.Self.Workspace, Scope: "person:" + ben, Unit: budget.Tokens, Period: "day", Most: 1, Justification: "test"}); err != nil {
		t.Fatal(err)
	}
	if got := d.brief(inEng(d), eng, root); asked != 0 || got.Model != "" || !strings.Contains(got.Text, "We decided") {
		t.Errorf("with the budget used up the model was asked %d times: %s", asked, got.Text)
	}
}

// What the reader may not see where the brief appears does not reach the model.
func TestBriefIsForItsReader(t *testing.T) {
	t.Parallel()
	d, root := briefDesk(t, func(q modelsim.Request) modelsim.Reply { return modelsim.Reply{Text: "GOAL: launch falcon [1]"} })
	before := len(d.model.Requests())
	guest := memory.Place{Workspace: d.app.Self.Workspace, Channel: general, ChannelKind: memory.ChannelPublic, Requester: "U0GIL", RequesterKind: memory.KindGuest}
	got := d.brief(guest, eng, root)
	if !got.LeftOut || strings.Contains(got.Text, "falcon") || len(d.model.Requests()) != before {
		t.Errorf("a guest elsewhere got %+v, and the model was asked %d times", got, len(d.model.Requests())-before)
	}
}

func TestBriefOfALongThreadIsBounded(t *testing.T) {
	t.Parallel()
	size := 0
	d, root := briefDesk(t, func(q modelsim.Request) modelsim.Reply {
		size = memory.Tokens(q.Last("user").Content)
		return modelsim.Reply{Text: "GOAL: x [1]"}
	})
	for i := range 300 {
		d.reply(d.ben, root, fmt.Sprintf("Note %d: %s", i, strings.Repeat("the tests of the service are green again ", 10)))
	}
	d.until(`SELECT COUNT(*) = 304 FROM messages WHERE gone_at = 0`)
	d.brief(inEng(d), eng, root)
	if size < 1000 || size > 6000 {
		t.Errorf("the model was given %d tokens of a long thread, want at most 6,000", size)
	}
}
