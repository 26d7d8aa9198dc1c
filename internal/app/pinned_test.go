package app

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
	"deskmate/memory"
)

func (d *desk) pin(channel, ts string) {
	d.t.Helper()
	if err := d.ben.Call(context.Background(), "pins.add", map[string]string{"channel": channel, "timestamp": ts}, nil); err != nil {
		d.t.Fatal(err)
	}
}

// given is all that the model was sent last.
func (d *desk) given() string {
	d.t.Helper()
	all := d.model.Requests()
	if len(all) == 0 {
		d.t.Fatal("the model was asked nothing")
	}
	var s strings.Builder
	for _, m := range all[len(all)-1].Messages {
		s.WriteString(m.Content + "\n")
	}
	return s.String()
}

func TestWhatIsPinnedIsGiven(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDesk(t, modelsim.Always(modelsim.Reply{Text: "noted"}), nil)
	say := func(p *slacksim.Person, channel, text string) string {
		ts, err := p.Say(ctx, channel, "", text)
		if err != nil {
			t.Fatal(err)
		}
		return ts
	}
	d.pin(eng, say(d.ben, eng, "Deploys go out on Tuesdays at ten, never on Fridays."))
	d.pin(general, say(d.ben, general, "The canteen is closed in August."))
	d.answer(d.ask(d.ben, "hello there"), "noted")
	given := d.given()
	if !strings.Contains(given, "Pinned in this place") || !strings.Contains(given, "never on Fridays") || !strings.Contains(given, "/archives/"+eng+"/p") {
		t.Errorf("the model was not given what is pinned, with its link: %s", given)
	}
	if strings.Contains(given, "canteen") {
		t.Errorf("the model was given what is pinned elsewhere: %s", given)
	}
	// A new pin is known at once, an edit and a deletion too.
	root := d.ask(d.ben, "the wiki moves in May")
	d.answer(root, "noted")
	d.pin(eng, root)
	if err := d.ben.Call(ctx, "chat.update", map[string]string{"channel": eng, "ts": root, "text": "the wiki moves in June"}, nil); err != nil {
		t.Fatal(err)
	}
	d.until(`SELECT EXISTS (SELECT 1 FROM messages WHERE text LIKE '%in June%')`)
	d.answer(d.ask(d.ben, "and now?"), "noted")
	if _, pinned, _ := strings.Cut(d.given(), "Pinned in this place"); !strings.Contains(pinned, "in June") || strings.Contains(pinned, "in May") {
		t.Errorf("of a pinned message that was edited the model was given: %s", pinned)
	}
	// What is forgotten here is not told from the pin.
	if err := d.ben.Call(ctx, "chat.delete", map[string]string{"channel": eng, "ts": root}, nil); err != nil {
		t.Fatal(err)
	}
	d.until(`SELECT NOT EXISTS (SELECT 1 FROM messages WHERE text LIKE '%in June%')`)
	d.answer(d.ask(d.ben, "and at last?"), "noted")
	if strings.Contains(d.given(), "in June") {
		t.Errorf("a deleted message was given: %s", d.given())
	}
}

func TestPinsAreBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t, modelsim.Always(modelsim.Reply{Text: "noted"}), nil)
	for i := range 40 {
		ts, err := d.ben.Say(context.Background(), eng, "", fmt.Sprintf("rule %d: %s", i, strings.Repeat("word ", 200)))
		if err != nil {
			t.Fatal(err)
		}
		d.pin(eng, ts)
	}
	d.answer(d.ask(d.ben, "hello there"), "noted")
	_, pinned, _ := strings.Cut(d.given(), "Pinned in this place")
	pinned, _, _ = strings.Cut(pinned, "What you remember")
	if n := memory.Tokens(pinned); n < 200 || n > 700 || !strings.Contains(pinned, "rule 39:") {
		t.Errorf("pins take %d tokens, want some and at most 700, the newest first: %s", n, pinned)
	}
}

// An app that was installed without the scope answers all the same.
func TestPinsNeedTheirScope(t *testing.T) {
	t.Parallel()
	d := newDesk(t, modelsim.Always(modelsim.Reply{Text: "noted"}), nil)
	if err := d.ben.Emulate(context.Background(), "faults", map[string]any{"kind": "refuse", "method": "pins.list", "error": "missing_scope"}, nil); err != nil {
		t.Fatal(err)
	}
	d.answer(d.ask(d.ben, "hello there"), "noted")
	if strings.Contains(d.given(), "ecause pins") || strings.Contains(d.given(), "Pinned") {
		t.Errorf("the model was told of pins: %s", d.given())
	}
}
