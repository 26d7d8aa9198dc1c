package bot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deskmate/internal/modelsim"
)

// overProtocol lets a Model answer as a chat-completions server would.
func overProtocol(t *testing.T, m Model) modelsim.Handler {
	return func(q modelsim.Request) modelsim.Reply {
		var r Request
		for _, said := range q.Messages {
			one := Message{Role: said.Role, Content: said.Content, CallID: said.ToolCallID}
			if said.Role == RoleUser {
				one.Content, one.Silent = strings.CutPrefix(one.Content, "(not addressed to you) ")
				one.Name, one.Content, _ = strings.Cut(one.Content, ": ")
			}
			for _, c := range said.ToolCalls {
				one.Calls = append(one.Calls, ToolCall{ID: c.ID, Name: c.Function.Name, Args: json.RawMessage(c.Function.Arguments)})
			}
			r.Messages = append(r.Messages, one)
		}
		for _, tool := range q.Tools {
			r.Tools = append(r.Tools, ToolDef{Name: tool.Function.Name, Schema: tool.Function.Parameters})
		}
		got, err := m.Complete(t.Context(), r, nil)
		if err != nil {
			return modelsim.Reply{Status: 500, Error: err.Error()}
		}
		reply := modelsim.Reply{Text: got.Text}
		for _, c := range got.Calls {
			reply.Calls = append(reply.Calls, modelsim.Call{ID: c.ID, Name: c.Name, Raw: string(c.Args)})
		}
		return reply
	}
}

// turn lets a model work a turn to its end and returns its calls in short and
// its text.
func turn(t *testing.T, m Model, r Request, results map[string]string) (calls []string, text string) {
	t.Helper()
	for step := range 5 {
		got, err := m.Complete(t.Context(), r, nil)
		if err != nil {
			t.Fatalf("Complete: %v", err)
		}
		if len(got.Calls) == 0 {
			return calls, got.Text
		}
		r.Messages = append(r.Messages, did(t, &got, step, results, &calls)...)
	}
	t.Fatalf("the model goes on calling after 5 steps: %q", calls)
	return nil, ""
}

var storyResults = map[string]string{
	"remember":    "Remembered as n_aaaaaaaaaa, for this channel: the release freeze starts on Thursday at 17:00",
	"recall":      "- note n_aaaaaaaaaa: the release freeze starts on Thursday at 17:00 [Ada in #eng, 2026-11-23, https://slack.example/p1]\n",
	"duty_create": "Duty d_aaaaaaaaaa made: Stand-up time, every weekday at 09:30. Owner: <@U0BEN>.",
	"duty_list":   "- d_aaaaaaaaaa: Stand-up time, every weekday at 09:30",
	"read_thread": "Ada (1700000000.000100): shall we ship?\nBen (1700000001.000100): yes",
	"forget":      "Forgotten for good: n_aaaaaaaaaa",
}

func TestRulesAreTheSameOverTheProtocol(t *testing.T) {
	t.Parallel()
	m, _ := connect(t, overProtocol(t, NewRules()), modelsim.Options{}, OpenAIOptions{})
	for _, message := range []Message{
		user("remember that the release freeze starts on Thursday at 17:00"),
		overheard("when does the release freeze start?"),
		overheard("lovely weather"),
		user("every weekday at 9:30 post Stand-up time"),
		user("remember: \"<&>\" — naïve 🫖"),
		user("list duties\nsummarise this thread"),
		user("hello"),
	} {
		wantCalls, wantText := turn(t, NewRules(), talk(message), storyResults)
		calls, text := turn(t, m, talk(message), storyResults)
		if strings.Join(calls, "; ") != strings.Join(wantCalls, "; ") || text != wantText {
			t.Errorf("%q\n got %q, %q\nwant %q, %q", message.Content, calls, text, wantCalls, wantText)
		}
	}
}

func TestScriptedModelPlaysTheStory(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join("..", "internal", "modelsim", "testdata", "story.yaml"))
	if err != nil {
		t.Fatalf("open the script: %v", err)
	}
	defer f.Close()
	script, err := modelsim.ParseScript(f)
	if err != nil {
		t.Fatalf("ParseScript: %v", err)
	}
	m, _ := connect(t, script.Handler(), modelsim.Options{}, OpenAIOptions{})
	for _, c := range []struct {
		message     Message
		calls, text string
	}{
		{user("remember that the release freeze starts on Thursday at 17:00"), `remember {"text":"the release freeze starts on Thursday at 17:00"}`,
			"Noted for this channel: the release freeze starts on Thursday at 17:00"},
		{overheard("when does the release freeze start?"), `recall {"query":"when does the release freeze start"}`,
			"the release freeze starts on Thursday at 17:00 (Ada in #eng, 2026-11-23, https://slack.example/p1)"},
		{user("what do you know about the code name?"), `recall {"query":"the code name"}`,
			"the release freeze starts on Thursday at 17:00 (Ada in #eng, 2026-11-23, https://slack.example/p1)"},
		{user("every weekday at 9:30 post Stand-up time"), `duty_create {"what":"post Stand-up time","when":"every weekday at 9:30"}`,
			"Done: duty d_aaaaaaaaaa made: Stand-up time, every weekday at 09:30. Owner: <@U0BEN>."},
		{user("post Stand-up time"), "", "Stand-up time"},
		{user("remind me in 20 minutes to check the oven"), `duty_create {"what":"remind me to check the oven","when":"in 20 minutes"}`,
			"Done: duty d_aaaaaaaaaa made: Stand-up time, every weekday at 09:30. Owner: <@U0BEN>."},
		{user("list duties"), "duty_list {}", "- d_aaaaaaaaaa: Stand-up time, every weekday at 09:30"},
		{user("summarise this thread"), "read_thread {}", "It began with Ada: shall we ship?"},
		{user("forget the release freeze"), `forget {"query":"the release freeze"}`, "Forgotten for good: n_aaaaaaaaaa"},
		{user("hm"), "", "I have nothing to say to that."},
	} {
		calls, text := turn(t, m, talk(c.message), storyResults)
		if got := strings.Join(calls, "; "); got != c.calls || text != c.text {
			t.Errorf("%q\n got %s, %q\nwant %s, %q", c.message.Content, got, text, c.calls, c.text)
		}
	}
}
