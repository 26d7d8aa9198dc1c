package memory

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"deskmate/identity/label"
	"deskmate/migrations"
)

func (w *world) propose(p Place, text string) (Note, *Question) {
	w.t.Helper()
	n, q, err := w.Propose(context.Background(), p, NewNote{Text: text, Thread: "1.5"})
	if err != nil {
		w.t.Fatalf("propose %q: %v", text, err)
	}
	return n, q
}

func (w *world) noteTexts(p Place) []string {
	w.t.Helper()
	notes, err := w.Notes(context.Background(), p, 20)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, n := range notes {
		all = append(all, n.Text)
	}
	return all
}

func TestAContradictionIsAskedAbout(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const old, other = "The release freeze starts on Thursday", "The release freeze starts on Friday"
	for _, c := range []struct {
		answer string
		want   []string // notes, newest first
	}{
		{AnswerReplace, []string{other}},
		{AnswerBoth, []string{other, old}},
		{AnswerDrop, []string{old}},
	} {
		t.Run(c.answer, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := in(eng, ChannelPublic, ada)
			kept, q := w.propose(p, old)
			if q != nil {
				t.Fatalf("asked about the first note: %+v", q)
			}
			w.now = w.now.Add(time.Hour)
			_, q = w.propose(by(p, ben, KindMember), other)
			if q == nil || q.Old.ID != kept.ID {
				t.Fatalf("got question %+v, want one about note %s", q, kept.ID)
			}
			if _, again := w.propose(by(p, ben, KindMember), other); again == nil || again.ID != q.ID {
				t.Errorf("asked twice: %+v and %+v", q, again)
			}
			if got := w.noteTexts(p); !reflect.DeepEqual(got, []string{old}) {
				t.Errorf("before the answer: notes %q, want the old one only", got)
			}
			if _, err := w.Settle(ctx, by(p, gil, KindGuest), "1.5", q.ID, c.answer); !errors.Is(err, ErrNoQuestion) {
				t.Errorf("a guest answers: %v, want ErrNoQuestion", err)
			}
			if _, err := w.Settle(ctx, in(general, ChannelPublic, ada), "1.5", q.ID, c.answer); !errors.Is(err, ErrNoQuestion) {
				t.Errorf("answered elsewhere: %v, want ErrNoQuestion", err)
			}
			if _, err := w.Settle(ctx, p, "1.5", "", "maybe"); !errors.Is(err, ErrAnswer) {
				t.Errorf("no answer: %v, want ErrAnswer", err)
			}
			if _, err := w.Settle(ctx, p, "1.5", "", c.answer); err != nil {
				t.Fatal(err)
			}
			if got := w.noteTexts(p); !reflect.DeepEqual(got, c.want) {
				t.Errorf("after %s: notes %q, want %q", c.answer, got, c.want)
			}
			if _, err := w.Settle(ctx, p, "1.5", q.ID, c.answer); !errors.Is(err, ErrNoQuestion) {
				t.Errorf("answered twice: %v, want ErrNoQuestion", err)
			}
			if c.answer != AnswerReplace {
				return
			}
			was, _, err := w.History(ctx, p, kept.ID)
			if err != nil || was.SupersededBy == "" || !was.SupersededAt.Equal(w.now) {
				t.Errorf("history of the old note: %+v, %v; want it superseded now", was, err)
			}
			all, err := w.List(ctx, team, Filter{Superseded: true})
			if err != nil || !strings.Contains(all[0].Markdown(), "# no longer true since 23 November 2026") {
				t.Errorf("export of the old note: %v, %v", all, err)
			}
		})
	}
}

func TestAPrivateNoteAsksNobodyElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.propose(in(leads, ChannelPrivate, ada), "The merger closes on Monday")
	if _, q := w.propose(in(general, ChannelPublic, ben), "The merger closes on Friday"); q != nil {
		t.Errorf("a public place was asked about a private note: %+v", q)
	}
	// From a private place a note that others see is not replaced.
	w.propose(in(general, ChannelPublic, ada), "The office closes at 18:00")
	_, q := w.propose(in(leads, ChannelPrivate, ada), "The office closes at 19:00")
	if q == nil {
		t.Fatal("not asked about a note that the place may see")
	}
	if _, err := w.Settle(context.Background(), in(leads, ChannelPrivate, ada), "1.5", q.ID, AnswerReplace); !errors.Is(err, ErrPlace) {
		t.Errorf("replaced from a private place: %v, want ErrPlace", err)
	}
	if _, err := w.Settle(context.Background(), in(leads, ChannelPrivate, ada), "1.5", q.ID, AnswerBoth); err != nil {
		t.Errorf("kept both: %v", err)
	}
}

func TestUnansweredQuestionsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ada)
	w.propose(p, "Stand-up is at 9:30")
	canary := "Stand-up is at 10:45"
	_, q := w.propose(p, canary)
	w.now = w.now.Add(questionsFor + time.Minute)
	if _, err := w.Settle(context.Background(), p, "1.5", q.ID, AnswerBoth); !errors.Is(err, ErrNoQuestion) {
		t.Errorf("answered too late: %v, want ErrNoQuestion", err)
	}
	w.write(func(tx *migrations.Tx) error {
		_, _, _, err := w.Sweep(tx, team)
		return err
	})
	var n int
	if err := w.db.QueryRow(context.Background(), `SELECT COUNT(*) FROM note_questions`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d questions are kept, %v; want none", n, err)
	}
	if err := w.Scrub(context.Background()); err != nil {
		t.Fatal(err)
	}
	if where := w.onDisk("10:45"); len(where) > 0 {
		t.Errorf("the text of the question is still in %v", where)
	}
}

func TestNotesByOwnJudgement(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ada)
	own := NewNote{Text: "we ship the zqbeta on Friday", Own: true}
	if _, err := w.Remember(ctx, p, own); !errors.Is(err, ErrJudge) {
		t.Fatalf("by default: %v, want ErrJudge", err)
	}
	w.write(func(tx *migrations.Tx) error {
		return w.Set(tx, Settings{Workspace: team, Scope: "channel:" + eng, Judge: true}, ada, "")
	})
	if may, err := w.Judges(ctx, team, "channel:"+general); err != nil || may {
		t.Errorf("another channel may too: %v", err)
	}
	n, err := w.Remember(ctx, p, own)
	if err != nil || !n.Own {
		t.Fatalf("where it is allowed: %+v, %v", n, err)
	}
	said := w.say(eng, "", ben, "we ship the zqbeta on Friday")
	asked := w.remember(p, "lunch is at noon")
	if _, err := w.Undo(ctx, p, asked.ID); !errors.Is(err, ErrNotOwn) {
		t.Errorf("undo of what somebody asked for: %v, want ErrNotOwn", err)
	}
	if _, err := w.Undo(ctx, in(partners, ChannelShared, ada), n.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("undo where it cannot be seen: %v, want ErrNotFound", err)
	}
	if _, err := w.Undo(ctx, p, n.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Note(ctx, p, n.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("after undo: %v, want ErrNotFound", err)
	}
	if gone, err := w.Gone(ctx, team, eng, []string{said}); err != nil || len(gone) != 0 {
		t.Errorf("what people said went with it: %v, %v", gone, err)
	}
}

// A note carries its label through search, export and import; a file can add to it
// and never take away.
func TestNotesCarryTheirLabel(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(leads, ChannelPrivate, ada)
	went := label.Join(label.Of(leads, ChannelPrivate), label.From("tool", "tracker.get"))
	if _, err := w.Remember(ctx, p, NewNote{Text: "issue 12 is about the boiler", Label: went}); err != nil {
		t.Fatal(err)
	}
	hits, err := w.Search(ctx, p, "boiler", 5)
	if err != nil || len(hits) != 1 || !reflect.DeepEqual(hits[0].Label, went) {
		t.Fatalf("found %+v, %v; want label %v", hits, err, went)
	}
	all, err := w.List(ctx, team, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseMarkdown([]byte(all[0].Markdown()))
	if err != nil || !reflect.DeepEqual(read.Label, went) {
		t.Fatalf("read back %+v, %v; want label %v", read.Label, err, went)
	}
	other := newWorld(t)
	if _, err := other.Import(ctx, team, []Entry{read}, "cli:op", false); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]struct{ file, want label.Label }{
		"taken away": {label.Label{}, went},
		"added":      {label.From("guest", gil), label.Join(went, label.From("guest", gil))},
	} {
		read.Label = change.file
		if _, err := other.Import(ctx, team, []Entry{read}, "cli:op", false); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "taken away" {
			if hits, err := other.Search(ctx, p, "boiler", 5); err != nil || len(hits) != 1 || len(hits[0].Label.Untrusted) == 0 || len(hits[0].Label.Channels) == 0 {
				t.Errorf("%s: found %+v, %v; want at least %v", name, hits, err, change.want)
			}
		}
	}
	if hits, err := other.Search(ctx, p, "boiler", 5); err != nil || !reflect.DeepEqual(hits[0].Label, label.Join(went, label.From("guest", gil))) {
		t.Errorf("after both: %+v, %v", hits, err)
	}
}

// A note that was let out of a private place keeps its source back.
func TestAReleasedNoteWithholdsItsSource(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(leads, ChannelPrivate, chloe)
	if _, err := w.Remember(ctx, by(p, gil, KindGuest), NewNote{Text: "x y", Scope: ScopeWorkspace, Released: true}); !errors.Is(err, ErrScope) {
		t.Errorf("released by a guest: %v, want ErrScope", err)
	}
	n, err := w.Remember(ctx, p, NewNote{Text: "the office moves to Marseille", Scope: ScopeWorkspace, Released: true, TS: "1.2", Permalink: "https://x/archives/C0LEADS/p12"})
	if err != nil || n.Scope != ScopeWorkspace {
		t.Fatalf("released: %+v, %v", n, err)
	}
	outside, inside := in(general, ChannelPublic, ben), in(leads, ChannelPrivate, ada)
	for _, c := range []struct {
		p        Place
		withheld bool
	}{{outside, true}, {inside, false}} {
		hits, err := w.Search(ctx, c.p, "Marseille", 5)
		if err != nil || len(hits) != 1 || hits[0].Withheld != c.withheld || (hits[0].Author+hits[0].Channel+hits[0].TS+hits[0].Permalink == "") != c.withheld {
			t.Errorf("in %s: found %+v, %v; want withheld %v", c.p.Channel, hits, err, c.withheld)
		}
		got, versions, err := w.History(ctx, c.p, n.ID)
		if err != nil || got.Withheld != c.withheld || (versions[0].Author == "") != c.withheld {
			t.Errorf("in %s: history %+v %+v, %v", c.p.Channel, got, versions, err)
		}
		text, err := w.Recall(ctx, c.p, "Marseille", 500)
		if err != nil || strings.Contains(text, "source withheld") != c.withheld || strings.Contains(text, "C0LEADS") == c.withheld {
			t.Errorf("in %s: recall %q, %v", c.p.Channel, text, err)
		}
	}
	all, err := w.List(ctx, team, Filter{Scope: ScopeWorkspace, Withhold: true})
	if err != nil || len(all) != 1 || !all[0].Withheld || strings.Contains(all[0].Markdown(), "C0LEADS") {
		t.Errorf("export for the workspace: %+v, %v", all, err)
	}
}
