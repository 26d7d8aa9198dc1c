package app

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"deskmate/bot"
	"deskmate/internal/modelsim"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// After forgetting no byte of a canary is left: in the database and its write-ahead
// log, the vectors, the exports, and in what a model is given from then on; not of
// the note, of answers that quoted it or told of it in other words, of a question
// about it, nor of the very request to forget it; not of an answer that gave no more
// than the word, from what it was given unasked; not of what set a duty off and of
// the report of its run, nor of a post of no turn such as a brief, nor of the Home.
func TestNothingIsLeftOfWhatIsForgotten(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const canary = "zqxcanaryk"
	told := "the code name of the merger is Zqxcanaryk"
	d := newDesk(t, func(r modelsim.Request) modelsim.Reply {
		last := r.Messages[len(r.Messages)-1]
		switch {
		case strings.Contains(last.Content, "rumour"):
			return modelsim.Reply{Text: "Somebody talks of Zqxcanaryk"}
		case strings.Contains(last.Content, "which code name"):
			return modelsim.Reply{Text: "Zqxcanaryk."}
		case last.Role == "tool":
			for _, m := range r.Messages {
				if strings.Contains(m.Content, "what is the merger called") && m.Role == "user" {
					return modelsim.Reply{Text: "They named that merger Zqxcanaryk, a code name"}
				}
			}
			return modelsim.Reply{Text: "Done: " + last.Content}
		case strings.HasSuffix(last.Content, "remember "+told):
			return calls("remember", map[string]string{"text": told})
		case strings.Contains(last.Content, "what is the merger called"):
			return calls("recall", map[string]string{"query": "code name of the merger"})
		case strings.Contains(last.Content, "remember the other name"):
			return calls("remember", map[string]string{"text": "the code name of the merger is Zqxcondor"})
		case strings.Contains(last.Content, "forget"):
			return calls("forget", map[string]string{"query": "the code name zqxcanaryk of the merger"})
		}
		return modelsim.Reply{Text: "I know nothing of that"}
	}, nil)
	server := d.app.config.OpenAIURL
	d.app.Memory.Embed(bot.NewOpenAIEmbedder("sk-x", server, "embedder"))

	first := d.ask(d.ben, "remember "+told)
	d.answer(first, "Done: Remembered as")
	second := d.ask(d.ada, "what is the merger called?")
	d.answer(second, "They named that merger")
	third := d.ask(d.ada, "remember the other name")
	d.answer(third, "Not kept yet")
	alone := d.ask(d.ada, "which code name has the merger, in a word?")
	d.answer(alone, "^Zqxcanaryk")
	// What models were given is erased with any note: an answer is known by what else
	// is kept of it.
	other, err := d.app.Memory.Remember(ctx, memory.Place{Workspace: d.app.Self.Workspace, Channel: eng, ChannelKind: memory.ChannelPublic, Requester: ben, RequesterKind: memory.KindMember}, memory.NewNote{Text: "the canteen is closed in August"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.app.Memory.Erase(ctx, d.app.Self.Workspace, other.ID, "test"); err != nil {
		t.Fatal(err)
	}
	d.duty(func(n *scheduler.NewDuty) {
		n.Kind, n.Schedule, n.Trigger = scheduler.KindWatch, scheduler.Schedule{TZ: "Europe/Berlin"}, scheduler.Trigger{Channel: eng, Pattern: "rumour"}
	})
	if _, err := d.ada.Say(ctx, eng, "", "a rumour: the merger has the code name Zqxcanaryk"); err != nil {
		t.Fatal(err)
	}
	d.until(`SELECT COUNT(*) = 1 FROM runs WHERE state = 'done' AND said_at <> '' AND cause <> ''`)
	var report string
	if err := d.app.DB.QueryRow(ctx, `SELECT said_at FROM runs`).Scan(&report); err != nil {
		t.Fatal(err)
	}
	err = d.app.DB.Write(ctx, func(tx *migrations.Tx) error {
		return d.app.outbox.Queue(tx, bot.Post{Workspace: d.app.Self.Workspace, Channel: ada, ChannelKind: bot.ChannelDirect, Key: "brief", Ours: true, Requester: ada, Tool: bot.ToolNotice,
			Text: "For you to know: that merger of ours has the name Zqxcanaryk, a code"})
	})
	if err != nil {
		t.Fatal(err)
	}
	d.until(`SELECT state = 'sent' FROM outbox WHERE post_key = 'brief'`)
	if err := d.ben.OpenHome(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := d.view.Home(ctx, func(text string) bool { return strings.Contains(text, "Zqxcanaryk") }); err != nil {
		t.Fatal(err)
	}
	if n, err := d.app.Memory.FillVectors(ctx, d.app.Self.Workspace, 64); err != nil || n == 0 {
		t.Fatalf("filled %d vectors, %v", n, err)
	}
	if where := d.canary(canary); len(where) == 0 {
		t.Fatal("the canary is nowhere before it is forgotten: the test looks in the wrong place")
	}
	vectors := `SELECT COUNT(*) FROM memory_vectors WHERE row > 1099511627776`
	if n := d.number(vectors); n != 1 {
		t.Fatalf("%d notes have a vector, want 1", n)
	}

	fourth := d.ask(d.ben, "forget that the merger goes by the code name zqxcanaryk")
	d.answer(fourth, "Forgotten for good")
	d.until(`SELECT NOT EXISTS (SELECT 1 FROM turn_erasures) AND NOT EXISTS (SELECT 1 FROM turns WHERE state = 'running')`)
	d.scrub()
	if where := d.canary(canary); len(where) > 0 {
		t.Errorf("the canary is still in %v: %s", where, d.tables(canary))
	}
	if n := d.number(vectors); n != 0 {
		t.Errorf("%d notes still have a vector", n)
	}
	if n := d.number(`SELECT COUNT(*) FROM note_questions`); n != 0 {
		t.Errorf("%d questions about the note are still open", n)
	}
	notes, err := d.app.Memory.List(ctx, d.app.Self.Workspace, memory.Filter{Superseded: true, Expired: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range notes {
		if strings.Contains(strings.ToLower(n.Markdown()), canary) {
			t.Errorf("the export still has it: %s", n.Markdown())
		}
	}

	// The threads in which it was said are read again, as Slack still has them.
	before := len(d.model.Requests())
	for _, thread := range []string{first, second, third, fourth, alone, report} {
		d.reply(d.ada, thread, toAgent+"any news?")
		d.answer(thread, "I know nothing of that")
	}
	later := d.model.Requests()[before:]
	if len(later) < 6 {
		t.Fatalf("the model was asked %d times, want 6", len(later))
	}
	for _, r := range later {
		if at := regexp.MustCompile(`(?i).{0,80}` + canary).FindString(string(r.Body)); at != "" {
			t.Errorf("the model was given it after it was forgotten: %q", at)
		}
	}
	d.scrub()
	if where := d.canary(canary); len(where) > 0 {
		t.Errorf("reading the threads again brought it back to %v: %s", where, d.tables(canary))
	}
	if r, err := d.app.Ledger.Verify(ctx, d.app.Self.Workspace); err != nil || !r.OK() {
		t.Errorf("the ledger does not verify: %+v, %v", r, err)
	}
}

// scrub empties the write-ahead log, once nobody reads.
func (d *desk) scrub() {
	d.t.Helper()
	for range 1000 {
		err := d.app.Memory.Scrub(context.Background())
		if err == nil {
			return
		}
		if !errors.Is(err, migrations.ErrBusy) {
			d.t.Fatal(err)
		}
		<-time.NewTimer(5 * time.Millisecond).C
	}
	d.t.Fatal("the write-ahead log could not be emptied")
}

// canary gives the files of the store that hold a word, in any case.
func (d *desk) canary(word string) (where []string) {
	d.t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(d.app.DB.Path() + suffix)
		if err != nil && !os.IsNotExist(err) {
			d.t.Fatal(err)
		}
		if bytes.Contains(bytes.ToLower(b), []byte(word)) {
			where = append(where, "db"+suffix)
		}
	}
	return where
}

func (d *desk) number(query string) (n int) {
	d.t.Helper()
	if err := d.app.DB.QueryRow(context.Background(), query).Scan(&n); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// tables names the columns that hold a word, for a failure.
func (d *desk) tables(word string) (where []string) {
	d.t.Helper()
	for _, at := range []string{"inbox.body", "outbox.body", "steps.body", "own_messages.text", "messages.text", "notes.text", "note_versions.text", "turn_contexts.messages",
		"ledger_payloads.body", "actions.result", "actions.error", "approvals.args", "note_questions.text", "runs.cause", "runs.error", "duty_hits.cause", "turns.reason",
		"duties.prompt", "duties.title", "homes.told", "handoff_items.why", "message_files.name"} {
		table, column, _ := strings.Cut(at, ".")
		if n := d.number(`SELECT COUNT(*) FROM ` + table + ` WHERE instr(lower(` + column + `), '` + word + `') > 0`); n > 0 {
			where = append(where, at)
		}
	}
	return where
}
