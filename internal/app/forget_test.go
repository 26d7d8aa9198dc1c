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
)

// After forgetting no byte of a canary is left: in the database and its write-ahead
// log, the vectors, the exports, and in what a model is given from then on; not of
// the note, of answers that quoted it or told of it in other words, of a question
// about it, nor of the very request to forget it.
func TestNothingIsLeftOfWhatIsForgotten(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const canary = "zqxcanaryk"
	told := "the code name of the merger is Zqxcanaryk"
	d := newDesk(t, func(r modelsim.Request) modelsim.Reply {
		last := r.Messages[len(r.Messages)-1]
		switch {
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
	for _, thread := range []string{first, second, third, fourth} {
		d.reply(d.ada, thread, toAgent+"any news?")
		d.answer(thread, "I know nothing of that")
	}
	later := d.model.Requests()[before:]
	if len(later) < 4 {
		t.Fatalf("the model was asked %d times, want 4", len(later))
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
		"ledger_payloads.body", "actions.result", "actions.error", "approvals.args", "note_questions.text"} {
		table, column, _ := strings.Cut(at, ".")
		if n := d.number(`SELECT COUNT(*) FROM ` + table + ` WHERE instr(lower(` + column + `), '` + word + `') > 0`); n > 0 {
			where = append(where, at)
		}
	}
	return where
}
