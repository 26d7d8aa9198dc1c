package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// play lets the rules work a turn to its end, with tools that give these results
// by name, and returns the calls in short and the final text.
func play(t *testing.T, r Request, results map[string]string) (calls []string, text string) {
	t.Helper()
	return turn(t, NewRules(), r, results)
}

// did is a response with the results of its calls, as the loop writes them back:
// under ids of its own.
func did(t *testing.T, got *Response, step int, results map[string]string, calls *[]string) []Message {
	t.Helper()
	out := []Message{{Role: RoleAssistant, Content: got.Text, Calls: got.Calls}}
	for i := range got.Calls {
		c := &got.Calls[i]
		if c.ID == "" || !json.Valid(c.Args) {
			t.Errorf("malformed call %+v", *c)
		}
		c.ID = fmt.Sprintf("c%d_%d", step, i)
		*calls = append(*calls, inShort(Response{Calls: []ToolCall{*c}}))
		out = append(out, Message{Role: RoleTool, CallID: c.ID, Name: c.Name, Content: results[c.Name]})
	}
	return out
}

func TestRulesWordTheirAnswers(t *testing.T) {
	t.Parallel()
	const thursday = "- note n_aaaaaaaaaa: the release freeze starts on Thursday at 17:00 [Ada in #eng, 2026-11-23, https://slack.example/p1]\n"
	for _, c := range []struct {
		name    string
		message Message
		results map[string]string
		want    string // exactly
	}{
		{"remembered", user("remember that tea is at four"), map[string]string{"remember": "Remembered as n_aaaaaaaaaa, for this channel: tea is at four"},
			"I will remember for this channel: tea is at four"},
		{"refused", user("remember that tea is at four"), map[string]string{"remember": "Error: guests may not add notes here"},
			"That did not work: guests may not add notes here"},
		{"not known", user("post in #general: hi"), map[string]string{"post": "Error: it is not known whether this took effect (timeout). Do not repeat it; tell the person to check."},
			"I am not sure that this worked: it is not known whether this took effect (timeout). Do not repeat it; tell the person to check."},
		{"recalled a note", user("when does the release freeze start?"), map[string]string{"recall": thursday},
			"the release freeze starts on Thursday at 17:00 — Ada in #eng, 2026-11-23, [source](https://slack.example/p1)"},
		{"recalled for nobody in particular", overheard("when does the release freeze start?"), map[string]string{"recall": thursday},
			"the release freeze starts on Thursday at 17:00 — Ada in #eng, 2026-11-23, [source](https://slack.example/p1)"},
		{"recalled something else for nobody in particular", overheard("when does the bakery open on Sundays?"), map[string]string{"recall": thursday}, ""},
		{"recalled without a source", user("when is tea?"), map[string]string{"recall": "- tea is at four"}, "tea is at four"},
		{"recalled in the short form", user("when is tea?"), map[string]string{"recall": "- tea is at four (Ada, 2026-11-23, https://slack.example/p2)"},
			"tea is at four — Ada, 2026-11-23, [source](https://slack.example/p2)"},
		{"recalled with a ts for a link", user("when is tea?"), map[string]string{"recall": "- note n_aaaaaaaaaa: tea is at four [Ada in #eng, 2026-11-23, 1700000000.000100]"},
			"tea is at four — Ada in #eng, 2026-11-23"},
		{"recalled an answer with its question", user("where is the door code?"), map[string]string{"recall": "- Ben said: (asked: where is the door code?) on the fridge [Ben in #eng, 2026-11-23]"},
			"on the fridge — Ben in #eng, 2026-11-23"},
		{"recalled what was said twice", user("when does the release freeze start?"), map[string]string{"recall": thursday +
			"- Ada said: @Deskmate remember that the release freeze starts on Thursday at 17:00 [Ada in #eng, 2026-11-23]\n" +
			"- Ben said: when does the release freeze start? [Ben in #eng, 2026-11-23]\n"},
			"the release freeze starts on Thursday at 17:00 — Ada in #eng, 2026-11-23, [source](https://slack.example/p1)"},
		{"recalled two things", user("what do you know about tea?"), map[string]string{"recall": "- note n_a: tea is at four [Ada, 2026-11-23]\n- note n_b: Ben makes the tea [Ben, 2026-11-24]\n"},
			"This is what I know:\n- tea is at four — Ada, 2026-11-23\n- Ben makes the tea — Ben, 2026-11-24"},
		{"recalled nothing that fits", user("what do you know about tea?"), map[string]string{"recall": "- note n_a: the office is closed [Ada, 2026-11-23]\n"},
			"I found nothing that clearly answers this. The closest:\n- the office is closed — Ada, 2026-11-23"},
		{"recalled nothing", user("what do you know about tea?"), map[string]string{"recall": "Nothing found that may be shown here."},
			"I know nothing about that, as far as I may look from here (I searched for “tea”). Tell me with `remember that …`."},
		{"posted", user("post in #general: hi"), map[string]string{"post": "Posted in <#C0GENERAL> (ts 1700000000.000100). https://slack.example/p3"},
			"Posted in <#C0GENERAL>. https://slack.example/p3"},
		{"made a duty", user("every weekday at 9:30 post Stand-up time"), map[string]string{"duty_create": "Duty d_aaaaaaaaaa made: Stand-up time, every weekday at 09:30."},
			"Duty d_aaaaaaaaaa made: Stand-up time, every weekday at 09:30."},
		{"read a channel", user("read #eng"), map[string]string{"read_channel": "Ada (1700000000.000100): hello\n  there\nBen (1700000001.000100): hi\n"},
			"The newest messages of #eng, oldest first:\n- **Ada**: hello there\n- **Ben**: hi"},
		{"read an empty channel", user("read #eng"), map[string]string{"read_channel": "(no messages)"}, "I see no messages in #eng."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, got := play(t, talk(c.message), c.results); got != c.want {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestRulesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	_, got := play(t, talk(user("who are you?")), map[string]string{"who_am_i": "Deskmate, a member of this workspace."})
	if !strings.Contains(got, "Deskmate, a member of this workspace.") || !strings.Contains(got, "no language model") {
		t.Errorf("got %q, want what the tool says and that no language model is connected", got)
	}
	_, got = play(t, talk(user("what can you do here?")), map[string]string{"what_can_you_do": "In this place (public):\n- remember (write): x\n- recall (read): y\n"})
	if !strings.Contains(got, "`remember that") || strings.Contains(got, "`react with") || !strings.Contains(got, "OPENAI_BASE_URL") {
		t.Errorf("got %q, want examples for the offered tools only and how to connect a model", got)
	}
}

func TestRulesSaySoWhenAToolIsMissing(t *testing.T) {
	t.Parallel()
	r := talk(user("react with :tada:"))
	r.Tools = r.Tools[:3]
	if got := inShort(rulesAnswer(t, r)); !strings.Contains(got, "I have no tool `react`") {
		t.Errorf("got %q, want that the tool is missing", got)
	}
}

func TestRulesHandleSeveralMessagesInOrder(t *testing.T) {
	t.Parallel()
	results := map[string]string{"remember": "Remembered as n_a, for this channel: it", "react": "Reacted with :tea:.", "recall": "- tea is at four"}
	r := talk(user("remember that tea is at four"), user("react with :tea:"), overheard("lovely"))
	calls, text := play(t, r, results)
	if got, want := strings.Join(calls, "; "), `remember {"text":"tea is at four"}; react {"name":"tea"}`; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	if want := "I will remember for this channel: it\n\nReacted with :tea:."; text != want {
		t.Errorf("text %q, want %q", text, want)
	}

	// A message that arrives while the turn runs is handled too, and nothing twice.
	first := rulesAnswer(t, r)
	calls = nil
	r.Messages = append(r.Messages, did(t, &first, 0, results, &calls)...)
	r.Messages = append(r.Messages, user("when is tea?"))
	more, text := play(t, r, results)
	if len(more) != 1 || more[0] != `recall {"query":"when is tea"}` {
		t.Errorf("calls after the late message %q, want one recall", more)
	}
	if want := "I will remember for this channel: it\n\nReacted with :tea:.\n\ntea is at four"; text != want {
		t.Errorf("text %q, want %q", text, want)
	}
}

func TestRulesDoAgainWhatIsAskedAgain(t *testing.T) {
	t.Parallel()
	calls, _ := play(t, talk(user("post in #general: hi"), user("post in #general: hi"), user("when is tea?"), user("when is tea?")),
		map[string]string{"post": "Posted.", "recall": "- tea is at four"})
	posts, recalls := 0, 0
	for _, c := range calls {
		if strings.HasPrefix(c, "post ") {
			posts++
		} else {
			recalls++
		}
	}
	if posts != 2 {
		t.Errorf("%d posts, want 2: it was asked twice", posts)
	}
	if recalls > 2 {
		t.Errorf("%d recalls, want at most 2", recalls)
	}
}

func TestRulesIgnoreWhatWasAnswered(t *testing.T) {
	t.Parallel()
	r := talk(user("remember that tea is at four"), Message{Role: RoleAssistant, Content: "I will remember that."}, user("thanks"))
	if got := inShort(rulesAnswer(t, r)); got != "You are welcome." {
		t.Errorf("got %q, want only an answer to the thanks", got)
	}
}

func TestRulesFollowEditsAndDeletions(t *testing.T) {
	t.Parallel()
	results := map[string]string{"remember": "Remembered as n_a, for this channel: it"}
	edit := user(editedMark + "remember that tea is at five")
	gone := user(deletedMark)

	calls, _ := play(t, talk(user("remember that tea is at four"), edit), results)
	if got, want := strings.Join(calls, "; "), `remember {"text":"tea is at five"}`; got != want {
		t.Errorf("edited before it was done: calls %s, want %s", got, want)
	}
	calls, text := play(t, talk(user("remember that tea is at four"), gone), results)
	if len(calls) != 0 || text != "" {
		t.Errorf("deleted before it was done: calls %q, text %q, want none", calls, text)
	}
	calls, _ = play(t, talk(overheard("remember that Ben said so"), user("remember that tea is at four"), gone), results)
	if got, want := strings.Join(calls, "; "), `remember {"text":"Ben said so"}`; got != want {
		t.Errorf("another's message stays: calls %s, want %s", got, want)
	}

	r := talk(user("remember that tea is at four"))
	first := rulesAnswer(t, r)
	r.Messages = append(r.Messages, did(t, &first, 0, results, &calls)...)
	r.Messages = append(r.Messages, edit)
	calls, text = play(t, r, results)
	if got, want := strings.Join(calls, "; "), `remember {"text":"tea is at five"}`; got != want {
		t.Errorf("edited after it was done: calls %s, want %s", got, want)
	}
	if strings.Count(text, "I will remember") != 2 {
		t.Errorf("text %q, want a word about both", text)
	}
}

func TestRulesSummariseByExtraction(t *testing.T) {
	t.Parallel()
	transcript := strings.Join([]string{
		"Ada (1700000000.000100): We need a database for the new service. Which one do we take?",
		"Ben (1700000001.000100): Postgres is fine for me, and we know how to run it.",
		"Chloe (1700000002.000100): Who pays for the hosting?",
		"Ada (1700000003.000100): Agreed, we go with Postgres 17.",
		"  I'll write the migration on Monday.",
		"Deskmate (1700000004.000100): I will remember that.",
		"Ben (1700000005.000100): @Deskmate summarise this thread",
	}, "\n")
	r := talk(user("summarise this thread"))
	_, got := play(t, r, map[string]string{"read_thread": transcript})
	for _, want := range []string{
		"4 messages by Ada, Ben, Chloe.",
		"**It began with:** We need a database for the new service. — Ada",
		"**Decided:**\n- Agreed, we go with Postgres 17. — Ada",
		"**To do:**\n- I'll write the migration on Monday. — Ada",
		"**Open questions:**\n- Who pays for the hosting? — Chloe",
		"- **Ben** (1): Postgres is fine for me, and we know how to run it.",
		"I do not interpret them",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the summary lacks %q:\n%s", want, got)
		}
	}
	for _, not := range []string{"Which one do we take?", "I will remember that", "@Deskmate"} {
		if strings.Contains(got, not) {
			t.Errorf("the summary holds %q:\n%s", not, got)
		}
	}
	if _, got := play(t, r, map[string]string{"read_thread": "Ben (1700000005.000100): summarise this thread"}); !strings.Contains(got, "nothing to summarise") {
		t.Errorf("got %q for an empty thread, want that there is nothing", got)
	}
}

func TestRulesEndWithTheirContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewRules().Complete(ctx, talk(user("hello")), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestRulesCountAndShowWhatTheySay(t *testing.T) {
	t.Parallel()
	var shown []string
	got, err := NewRules().Complete(t.Context(), talk(user("hello")), func(s string) { shown = append(shown, s) })
	if err != nil || len(shown) != 1 || shown[0] != got.Text || got.Usage.Input == 0 || got.Usage.Output == 0 || got.Model != NewRules().Name() {
		t.Errorf("got %+v, %v, shown %q; want the text shown once, usage and the model's name", got, err, shown)
	}
}

// FuzzRules throws texts of people and results of tools at the rules: whatever
// they are, calls are well formed, only of tools that are there, and a turn ends.
func FuzzRules(f *testing.F) {
	for _, s := range []string{"", "remember that x", "every weekday at 9:30 post x", "remind me", "call recall {\"a\":1}", "<@U1> hi",
		"summarise #x", "tell B \xff\xfe", editedMark + "x", deletedMark, "a\nb\nc", "remind me at 25:99 to", "post in #: ", ":x: this", "\x00", "- (", "[", "call x {}"} {
		f.Add(s, "- note n_a: x [y, z]", true)
		f.Add(s, "Ada (1.2): "+s, false)
	}
	f.Fuzz(func(t *testing.T, said, result string, silent bool) {
		r := talk(Message{Role: RoleUser, Name: "Ada", Content: said, Silent: silent})
		results := map[string]string{}
		for _, d := range r.Tools {
			results[d.Name] = result
		}
		calls, _ := play(t, r, results)
		for _, c := range calls {
			name, args, _ := strings.Cut(c, " ")
			var object map[string]any
			if err := json.Unmarshal([]byte(args), &object); err != nil {
				t.Errorf("%q calls %s with arguments that are no object: %v", said, name, err)
			}
		}
		r.Messages[0].Content += "This is a run of one of your duties"
		play(t, r, results)
	})
}
