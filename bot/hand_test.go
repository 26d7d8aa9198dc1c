package bot

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"deskmate/memory"
)

func TestHandedMessagesBecomeRequests(t *testing.T) {
	t.Parallel()
	now := time.Unix(1700000100, 0).UTC()
	place := memory.Place{Workspace: "T1", Channel: "C1", ChannelKind: ChannelPublic, Requester: "U0BEN", RequesterKind: KindMember}
	direct := place
	direct.Channel, direct.ChannelKind = "D1", ChannelDirect
	for name, c := range map[string]struct {
		h                  Handed
		text, thread, want string // want: whose words it repeats
		direct             bool
	}{
		"as it is": {h: Handed{Place: place, Message: Said{TS: "1700000000.000100", User: "U0ADA", Text: "deploy it"}},
			text: "<@U0BOT> deploy it", thread: "1700000000.000100", want: "U0ADA"},
		"with an instruction, which is plain text": {h: Handed{Place: place, Instruction: "sum <this> up", Message: Said{TS: "1700000000.000100", User: "U0XENA", Text: "one\ntwo"}},
			text: "<@U0BOT> sum &lt;this&gt; up\n&gt; one\n&gt; two", thread: "1700000000.000100", want: "U0XENA"},
		"a reply": {h: Handed{Place: place, Message: Said{TS: "1700000000.000100", Thread: "1690000000.000001", User: "U0BEN", Text: "mine"}},
			text: "<@U0BOT> mine", thread: "1690000000.000001"},
		"in a direct message": {h: Handed{Place: direct, Message: Said{TS: "1700000000.000100", User: "U0BEN", Text: "mine"}}, text: "<@U0BOT> mine", direct: true},
		"the agent's own words": {h: Handed{Place: place, Message: Said{TS: "1700000000.000100", User: "U0BOT", Text: "done", Key: "turn:t_1:reply"}},
			text: "<@U0BOT> done", thread: "1700000000.000100", want: "turn:t_1"},
		"the agent's own words, of no turn that is known": {h: Handed{Place: place, Message: Said{TS: "1700000000.000100", User: "U0BOT", Text: "done"}},
			text: "<@U0BOT> done", thread: "1700000000.000100", want: "turn:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.h.Key = "form:1"
			want := Event{Workspace: "T1", Key: "form:1", Kind: KindMessage, Channel: c.h.Place.Channel, ChannelKind: c.h.Place.ChannelKind, Thread: c.thread,
				TS: "1700000000.000100", User: "U0BEN", Text: c.text, Mention: true, Direct: c.direct, At: now}
			if c.want != "" {
				want.Quotes = []string{c.want}
			}
			if got := c.h.event("U0BOT", now); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestAHandedMessageIsWorkedOnce(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	b := NewInbox(db, InboxOptions{})
	e := Handed{Key: "form:1", Place: memory.Place{Workspace: "T1", Channel: "C1", ChannelKind: ChannelPublic, Requester: "U0BEN"},
		Message: Said{TS: "1700000000.000100", User: "U0ADA", Text: "do it"}}.event("U0BOT", time.Unix(1700000100, 0))
	for range 3 {
		if err := b.Hand(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := b.Pending(context.Background(), e.threadKey())
	if err != nil || len(rows) != 1 || rows[0].Event.Text != "<@U0BOT> do it" {
		t.Errorf("the thread has %+v, %v; want the request once", rows, err)
	}
	e.Mention = false
	if err := b.Hand(context.Background(), e); err == nil {
		t.Error("what asks nothing was taken")
	}
}

func TestRulesReadWhatAQuotationIsAbout(t *testing.T) {
	t.Parallel()
	for whole, want := range map[string][2]string{
		"remember this\n> the code is 42":           {"remember this", "the code is 42"},
		"sum it up\n> one\n>two\n":                  {"sum it up", "one\ntwo"},
		"remember that:\n> the code is 42":          {"remember that:\n> the code is 42", ""},
		"> quoted\nwhat of it?":                     {"> quoted\nwhat of it?", ""},
		"no quotation":                              {"no quotation", ""},
		"first\nsecond\n> about this\nand on it is": {"first\nsecond\n> about this\nand on it is", ""},
	} {
		request, quoted := withoutQuote(whole)
		if request != want[0] || quoted != want[1] {
			t.Errorf("%q: got %q about %q, want %q about %q", whole, request, quoted, want[0], want[1])
		}
	}
	in := understand(ask{whole: "remember this", text: "remember this", quoted: "the code is 42"})
	if len(in.calls) != 1 || !strings.Contains(string(in.calls[0].Args), "the code is 42") {
		t.Errorf("remember this: got %+v, want the quoted message kept", in.calls)
	}
}
