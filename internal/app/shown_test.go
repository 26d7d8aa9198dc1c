package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"deskmate/bot"
	"deskmate/internal/modelsim"
	"deskmate/memory"
	"deskmate/scheduler"
)

// context is what the command prints about a thread.
func (d *desk) context(thread string, more ...string) string {
	d.t.Helper()
	args := append([]string{"memory", "context", "--thread", thread, "--database-url", d.app.config.Database}, more...)
	var out, problems bytes.Buffer
	if code := Main(context.Background(), args, Streams{In: strings.NewReader(""), Out: &out, Errors: &problems, Getenv: func(string) string { return "" }}); code != 0 {
		d.t.Fatalf("memory context of %s: %d, %s", thread, code, problems.String())
	}
	return out.String()
}

// isShown compares what an admin is shown of a thread with the newest request that
// the model server got, byte for byte. The request has to hold all of the words.
func (d *desk) isShown(what, thread string, words ...string) {
	d.t.Helper()
	all := d.model.Requests()
	sent := all[len(all)-1]
	var want strings.Builder
	var tools []string
	for _, tool := range sent.Tools {
		tools = append(tools, tool.Function.Name)
	}
	fmt.Fprintf(&want, "Tools offered: %s\n", strings.Join(tools, ", "))
	for _, m := range sent.Messages {
		id := ""
		if m.ToolCallID != "" {
			id = m.ToolCallID + " "
		}
		fmt.Fprintf(&want, "\n--- %s %s(about %d tokens)\n%s\n", m.Role, id, memory.Tokens(m.Content), m.Content)
		for _, c := range m.ToolCalls {
			fmt.Fprintf(&want, "calls %s %s %s\n", c.ID, c.Function.Name, c.Function.Arguments)
		}
	}
	for _, word := range words {
		if !strings.Contains(want.String(), word) {
			d.t.Errorf("%s: the model was not given %q, so nothing is tested: %s", what, word, want.String())
		}
	}
	if _, got, _ := strings.Cut(d.context(thread), "\n"); got != want.String() {
		d.t.Errorf("%s: an admin is shown\n%s\nand the model was sent\n%s", what, got, want.String())
	}
	var shown bot.Shown
	if err := json.Unmarshal([]byte(d.context(thread, "--json")), &shown); err != nil {
		d.t.Fatal(err)
	}
	if len(shown.Messages) != len(sent.Messages) {
		d.t.Fatalf("%s: an admin is given %d messages, and the model was sent %d", what, len(shown.Messages), len(sent.Messages))
	}
	for i, m := range sent.Messages {
		if got := shown.Messages[i]; got.Role != m.Role || got.Content != m.Content || got.CallID != m.ToolCallID {
			d.t.Errorf("%s: message %d is %+v, and the model was sent %+v", what, i, got, m)
		}
	}
}

// An admin sees exactly what the model saw: of a long thread with its summary, notes,
// pins and what was recalled; of what was not meant for the agent; of the run of a
// duty; and of the talk about its report.
func TestAnAdminSeesWhatTheModelSaw(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t, func(q modelsim.Request) modelsim.Reply {
		switch last := q.Last(""); {
		case last.Role == "tool":
			return modelsim.Reply{Text: "Here it is: <b>&amp;</b>"}
		case strings.Contains(last.Content, "thanks Ada"):
			return modelsim.Reply{Text: ""}
		case strings.Contains(last.Content, "staging"), strings.Contains(last.Content, "alerts"):
			// Spaces and signs that an encoder would take away or write otherwise.
			return modelsim.Reply{Calls: []modelsim.Call{{Name: "recall", Raw: `{ "query" :  "staging <cluster> & Frankfurt" }`}, {Name: "duty_list", Raw: `{`}}}
		}
		return modelsim.Reply{Text: "noted"}
	}, nil)
	place := memory.Place{Workspace: d.app.Self.Workspace, Channel: eng, ChannelKind: memory.ChannelPublic, Requester: ben, RequesterKind: memory.KindMember}
	for _, text := range []string{"the staging cluster is paid for by the platform team", "staging <alerts> & pages go to Priya"} {
		if _, err := d.app.Memory.Remember(ctx, place, memory.NewNote{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	pinned, err := d.ben.Say(ctx, eng, "", "Deploys go out on Tuesdays at ten.")
	if err != nil {
		t.Fatal(err)
	}
	d.pin(eng, pinned)
	root := d.thread(100)
	d.reply(d.ben, root, toAgent+"in which city does the staging cluster run now?")
	d.answer(root, "Here it is")
	d.isShown("a long thread", eng+"/"+root, "messages left out here", "now runs in Frankfurt", "paid for by the platform team", "Pinned in this place", "<cluster> & Frankfurt", "invalid_arguments")
	d.until(`SELECT COUNT(*) = 1 FROM turns WHERE state = 'done'`)
	d.reply(d.ben, root, "thanks Ada, see you later")
	d.until(`SELECT COUNT(*) = 2 FROM turns WHERE state = 'done'`)
	d.isShown("what was not meant for it", eng+"/"+root, "(not addressed to you) ben: thanks Ada")

	r := d.run(d.duty(func(n *scheduler.NewDuty) { n.Prompt = "look at the alerts of staging" }))
	d.isShown("a run", eng+"/"+r.TS, "This is a run of one of your duties", "pages go to Priya")
	d.reply(d.ada, r.TS, "and what of the wiki?")
	d.answer(r.TS, "^noted$")
	d.isShown("the talk about a report", eng+"/"+r.TS, "This thread is about a run of your duty", "and what of the wiki?")
	d.isShown("the newest of a channel", eng)
}
