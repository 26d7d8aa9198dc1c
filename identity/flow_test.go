package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"deskmate/identity/label"
	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// circle is who can read what.
type circle map[string][]string

// Readers implements Readers: channels whose names begin with C0P are open.
func (c circle) Readers(_ context.Context, _, channel string) ([]string, bool, error) {
	people, ok := c[channel]
	if !ok {
		return nil, false, errors.New("no answer")
	}
	return people, strings.HasPrefix(channel, "C0P"), nil
}

// allowing is a policy that allows everything, by a grant for one channel if local.
type allowing struct{ local bool }

func (p allowing) Decide(context.Context, Action) (Decision, error) {
	return Decision{Verdict: Allow, Policies: []string{"p"}, Local: p.local}, nil
}

var readers = circle{"C0PUB": {"U1", "U2", "U3", "U4"}, "C0LEADS": {"U1", "U2"}, "C0INNER": {"U1"}, "C0OTHER": {"U3"}, "D0ONE": {"U1"}, "D0THREE": {"U3"}}

func TestWhereTextMayGo(t *testing.T) {
	t.Parallel()
	leads := label.Of("C0LEADS", "private")
	tool := label.From("tool", "far.get")
	for _, c := range []struct {
		name   string
		a      Action
		local  bool
		want   string // verdict
		says   string
		policy string
	}{
		{"nothing to carry", Action{Channel: "C0PUB", Target: "C0OTHER", Tool: "post", Connection: "slack", Class: ClassWrite}, false, Allow, "", ""},
		{"back where it is from", Action{Channel: "C0LEADS", Tool: "reply", Connection: "slack", Class: ClassWrite, Manners: true, Label: leads}, false, Allow, "", ""},
		{"to a public channel", Action{Channel: "C0LEADS", Target: "C0PUB", Tool: "post", Connection: "slack", Class: ClassWrite, Label: leads}, false, Ask, "text from <#C0LEADS> to 2 more people in <#C0PUB>, which everybody can join", PolicyConfidential},
		{"to a smaller circle", Action{Channel: "C0LEADS", Target: "C0INNER", Tool: "post", Connection: "slack", Class: ClassWrite, Label: leads}, false, Allow, "", ""},
		{"to others in private", Action{Channel: "C0LEADS", Target: "C0OTHER", Tool: "post", Connection: "slack", Class: ClassWrite, Label: leads}, false, Ask, "1 more person", PolicyConfidential},
		{"to a reader", Action{Channel: "C0LEADS", Target: "D0ONE", Tool: "dm", Connection: "slack", Class: ClassWrite, Label: leads}, false, Allow, "", ""},
		{"to no reader", Action{Channel: "C0LEADS", Target: "D0THREE", Tool: "dm", Connection: "slack", Class: ClassWrite, Label: leads}, false, Ask, "in a direct message", PolicyConfidential},
		{"to a person who is one", Action{Channel: "C0LEADS", Target: "U2", Tool: "dm", Connection: "slack", Class: ClassWrite, Label: leads}, false, Allow, "", ""},
		{"of two places, one reader of both", Action{Channel: "C0LEADS", Target: "D0ONE", Tool: "dm", Connection: "slack", Class: ClassWrite, Label: label.Join(leads, label.Of("C0INNER", "private"))}, false, Allow, "", ""},
		{"of two places, a reader of one", Action{Channel: "C0LEADS", Target: "U2", Tool: "dm", Connection: "slack", Class: ClassWrite, Label: label.Join(leads, label.Of("C0INNER", "private"))}, false, Ask, "from <#C0INNER>", PolicyConfidential},
		{"of too many places", Action{Channel: "C0LEADS", Target: "D0ONE", Tool: "dm", Connection: "slack", Class: ClassWrite, Label: label.Label{Channels: []string{label.Everything}}}, false, Ask, "many private places", PolicyConfidential},
		{"an answer elsewhere is not asked for, it is not given", Action{Channel: "C0PUB", Tool: "reply", Connection: "slack", Class: ClassWrite, Manners: true, Label: leads}, false, Deny, "ask me there, or in a direct message", PolicyConfidential},
		{"what the requester said to the agent alone", Action{Channel: "D0ONE", Target: "C0PUB", Tool: "post", Connection: "slack", Class: ClassWrite, Label: label.Of("D0ONE", "im")}, false, Allow, "", ""},
		{"what another said to the agent alone", Action{Channel: "C0PUB", Target: "C0PUB", Tool: "post", Connection: "slack", Class: ClassWrite, Label: label.Of("D0ONE", "im")}, false, Ask, "from a direct message", PolicyConfidential},
		{"into a system, granted at large", Action{Channel: "C0LEADS", Tool: "far.write", Connection: "far", Class: ClassWrite, Label: leads}, false, Ask, "to `far`, and I do not know who reads it there", PolicyConfidential},
		{"into a system, granted right here", Action{Channel: "C0LEADS", Tool: "far.write", Connection: "far", Class: ClassWrite, Label: leads}, true, Allow, "", ""},
		{"out of the organisation, granted right here", Action{Channel: "C0LEADS", Tool: "far.send", Connection: "far", Class: ClassExternal, Label: leads}, true, Ask, "to `far`", PolicyConfidential},
		{"reading", Action{Channel: "C0LEADS", Tool: "far.get", Connection: "far", Class: ClassRead, Label: label.Join(leads, tool)}, false, Allow, "", ""},
		{"a note of its own", Action{Channel: "C0LEADS", Tool: "remember", Connection: "memory", Class: ClassWrite, Label: leads}, false, Allow, "", ""},
		{"on the word of a tool", Action{Channel: "C0PUB", Tool: "remember", Connection: "memory", Class: ClassWrite, Label: tool}, false, Ask, "a result of `far.get`", PolicyUntrusted},
		{"an answer on the word of a tool", Action{Channel: "C0PUB", Tool: "reply", Connection: "slack", Class: ClassWrite, Manners: true, Label: tool}, false, Allow, "", ""},
		{"on the word of a guest, right here", Action{Channel: "C0PUB", Tool: "far.write", Connection: "far", Class: ClassWrite, Label: label.From("guest", "U9")}, true, Ask, "the guest <@U9>", PolicyUntrusted},
		{"a notice of ours", Action{Channel: "C0PUB", Tool: "notice", Connection: "slack", Class: ClassWrite, Notice: true, Label: label.Join(leads, tool)}, false, Allow, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := NewGate(w.db, w.ledger, allowing{c.local}, nil)
			g.Readers = readers
			c.a.Workspace, c.a.Key, c.a.Requester = ws, "k", "U5"
			d, _, err := g.judge(t.Context(), c.a)
			if err != nil {
				t.Fatal(err)
			}
			if d.Verdict != c.want || !strings.Contains(strings.Join(d.Reasons, "; "), c.says) || c.policy != "" && !slices.Contains(d.Policies, c.policy) {
				t.Errorf("got %s by %v because %q; want %s, %q", d.Verdict, d.Policies, d.Reasons, c.want, c.says)
			}
		})
	}
}

func TestWhatCannotBeLookedUpIsNotDecided(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := NewGate(w.db, w.ledger, allowing{}, nil)
	g.Readers = readers
	a := Action{Workspace: ws, Key: "k", Requester: "U5", Channel: "C0GONE", Target: "C0PUB", Tool: "post", Connection: "slack", Class: ClassWrite, Label: label.Of("C0GONE", "private")}
	if _, _, err := g.judge(t.Context(), a); !errors.Is(err, ErrUndecided) {
		t.Errorf("readers that are not known: %v", err)
	}
	g.Readers = nil
	if _, err := g.Do(t.Context(), a, w.effect("k", true)); !errors.Is(err, ErrUndecided) || w.done["k"] != 0 {
		t.Errorf("without a directory: %v, %d effects", err, w.done["k"])
	}
}

// TestOnlyReadersRelease: who cannot read what would be let out cannot approve it,
// whatever else they may approve; and who could and left, cannot any more.
func TestOnlyReadersRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := NewGate(w.db, w.ledger, allowing{}, nil)
	now := circle{"C0PUB": {"U1", "U2", "U3"}, "C0LEADS": {"U1", "U5"}}
	g.Readers = now
	g.Approvals.Roll = everyoneIsAdmin{}
	a := Action{Workspace: ws, Key: "k", Turn: "t1", Requester: "U5", RequesterKind: "member", Channel: "C0LEADS", ChannelKind: "private", Target: "C0PUB", Tool: "post", Connection: "slack",
		Class: ClassWrite, Args: []byte(`{"text":"x"}`), Label: label.Of("C0LEADS", "private")}
	_, err := g.Do(t.Context(), a, w.effect("k", true))
	var pending *PendingError
	if !errors.As(err, &pending) || !slices.Equal(pending.Approval.Sources, []string{"C0LEADS"}) {
		t.Fatalf("got %v", err)
	}
	press := func(who string) error {
		_, err := g.Approvals.Decide(t.Context(), Press{Workspace: ws, Approval: pending.Approval.ID, Person: who, Verdict: VerdictApprove, Via: "test"})
		return err
	}
	var refused *RefusedError
	if err := press("U2"); !errors.As(err, &refused) || refused.Reason != RefusedReader {
		t.Errorf("an admin who cannot read it: %v", err)
	}
	now["C0LEADS"] = []string{"U5"}
	if err := press("U1"); !errors.As(err, &refused) || refused.Reason != RefusedReader {
		t.Errorf("an admin who could read it and left: %v", err)
	}
	now["C0LEADS"] = []string{"U1", "U5"}
	if err := press("U1"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Do(t.Context(), a, w.effect("k", true)); err != nil || w.done["k"] != 1 {
		t.Errorf("after the release: %v, %d effects", err, w.done["k"])
	}
}

type everyoneIsAdmin struct{}

func (everyoneIsAdmin) Standing(context.Context, string, string, []string) (Standing, error) {
	return Standing{Kind: "member", Active: true, Admin: true}, nil
}

// BenchmarkFlow is one decision of the gate beside the same without labels, in a
// workspace with 10,000 labelled entries. Who can read a channel is told by a map:
// in production Slack is asked for it, and only where something would be let out.
func BenchmarkFlow(b *testing.B) {
	w := newWorld(b)
	err := w.db.Write(context.Background(), func(tx *migrations.Tx) error {
		for i := range 10_000 {
			_, err := w.ledger.Append(tx, ledger.Record{Workspace: ws, Kind: ledger.KindIntent, Tool: "post", Action: fmt.Sprint("k", i),
				Fields: map[string]string{ledger.FieldLabels: label.Of(fmt.Sprintf("C0%d", i%40), "private").String()}})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	g := NewGate(w.db, w.ledger, allowing{}, nil)
	who := circle{"C0PUB": nil}
	var full label.Label
	for i := range 32 {
		channel := fmt.Sprintf("C0L%d", i)
		for p := range 200 {
			who[channel] = append(who[channel], fmt.Sprintf("U%d", p))
		}
		full = label.Join(full, label.Of(channel, "private"), label.From("tool", fmt.Sprint("far.t", i)))
	}
	for p := range 1000 {
		who["C0PUB"] = append(who["C0PUB"], fmt.Sprintf("U%d", p))
	}
	g.Readers = who
	for name, l := range map[string]label.Label{"none": {}, "one": label.Of("C0L0", "private"), "full": full} {
		b.Run("label="+name, func(b *testing.B) {
			a := Action{Workspace: ws, Key: "k", Requester: "U5", Channel: "C0L0", Target: "C0PUB", Tool: "post", Connection: "slack", Class: ClassWrite, Label: l}
			for b.Loop() {
				if _, _, err := g.judge(context.Background(), a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
