package memory

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRememberTwiceIsOneNote(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ada)
	first, err := w.Remember(ctx, p, NewNote{Text: " The freeze starts on Thursday. ", TS: "1795424000.000100", Permalink: "https://example.com/p1", ExpiresAt: day0.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	want := Note{ID: first.ID, Workspace: team, Scope: "channel:" + eng, Text: "The freeze starts on Thursday.", Author: ada, Channel: eng,
		TS: "1795424000.000100", Permalink: "https://example.com/p1", Version: 1, CreatedAt: day0, UpdatedAt: day0, ExpiresAt: day0.Add(time.Hour),
		seq: first.seq, ledgerSeq: first.ledgerSeq}
	if !reflect.DeepEqual(first, want) {
		t.Errorf("got %+v, want %+v", first, want)
	}
	again, err := w.Remember(ctx, by(p, ben, KindMember), NewNote{Text: "the freeze  starts on thursday", ExpiresAt: day0.Add(2 * time.Hour)})
	if err != nil || again.ID != first.ID || again.Author != ada || !again.ExpiresAt.Equal(day0.Add(2*time.Hour)) {
		t.Errorf("said again: got %+v, %v; want note %s with the later expiry", again, err, first.ID)
	}
	elsewhere := w.remember(in(general, ChannelPublic, ada), "The freeze starts on Thursday.")
	if elsewhere.ID == first.ID {
		t.Error("the same text in another channel is the same note, want one of its own")
	}
	w.now = day0.Add(3 * time.Hour)
	if _, err := w.Note(ctx, p, first.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("after its expiry: got %v, want ErrNotFound", err)
	}
	if got := w.found(p, "freeze"); len(got) != 1 {
		t.Errorf("after its expiry: got %q, want the note of the other channel only", got)
	}
	back, err := w.Remember(ctx, p, NewNote{Text: "The freeze starts on Thursday"})
	if err != nil || back.ID != first.ID || !back.ExpiresAt.IsZero() {
		t.Errorf("remembered after its expiry: got %+v, %v; want note %s for good", back, err, first.ID)
	}
}

func TestNotesForTheWorkspace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		p     Place
		scope string
		want  string
		err   error
	}{
		{"asked for, by a member in a public channel", in(eng, ChannelPublic, ada), "workspace", "workspace", nil},
		{"not asked for", in(eng, ChannelPublic, ada), "", "channel:" + eng, nil},
		{"from a private channel", in(leads, ChannelPrivate, ada), "workspace", "", ErrScope},
		{"from a direct message", in(adaDM, ChannelDirect, ada), "workspace", "", ErrScope},
		{"from a shared channel", in(partners, ChannelShared, ada), "workspace", "", ErrScope},
		{"from a shared channel that the caller takes for public", in(partners, ChannelPublic, ada), "workspace", "", ErrScope},
		{"from a channel that nobody has described", in("C0NEW", ChannelPublic, ada), "workspace", "", ErrScope},
		{"by a guest", by(in(eng, ChannelPublic, ""), gil, KindGuest), "workspace", "", ErrScope},
		{"a guest's own, for the channel", by(in(eng, ChannelPublic, ""), gil, KindGuest), "channel", "channel:" + eng, nil},
		{"in a direct message", in(adaDM, ChannelDirect, ada), "", "dm:" + adaDM, nil},
		{"for another channel", in(eng, ChannelPublic, ada), "channel:" + leads, "", ErrScope},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			n, err := w.Remember(context.Background(), c.p, NewNote{Text: "falcon", Scope: c.scope})
			if !errors.Is(err, c.err) || n.Scope != c.want {
				t.Errorf("got scope %q, error %v; want %q, %v", n.Scope, err, c.want, c.err)
			}
		})
	}
}

func TestNoteTextIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ada)
	for name, c := range map[string]struct {
		text string
		err  error
	}{
		"empty":         {"", ErrEmpty},
		"no words":      {" ?! ", ErrEmpty},
		"too long":      {strings.Repeat("ä ", MaxNote), ErrTooLong},
		"just fits":     {strings.Repeat("ä", MaxNote), nil},
		"invalid UTF-8": {"caf\xe9 \x00 latte", nil},
	} {
		_, err := w.Remember(context.Background(), p, NewNote{Text: c.text})
		if !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", name, err, c.err)
		}
	}
	if got := w.found(p, "latte"); len(got) != 1 || got[0] != "caf\uFFFD \uFFFD latte" {
		t.Errorf("got %q, want the text with its bad bytes replaced", got)
	}
}

func TestCorrectKeepsHistory(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ada)
	n := w.remember(p, "The freeze starts on Thursday")
	w.now = day0.Add(time.Hour)
	got, _, err := w.Correct(ctx, by(p, ben, KindMember), n.ID, "The freeze starts on Friday")
	if err != nil || got.ID != n.ID || got.Version != 2 || got.Author != ben {
		t.Fatalf("got %+v, %v; want version 2 of %s by Ben", got, err, n.ID)
	}
	_, history, err := w.History(ctx, p, n.ID)
	want := []Version{{1, "The freeze starts on Thursday", ada, day0}, {2, "The freeze starts on Friday", ben, w.now}}
	if err != nil || !slices.Equal(history, want) {
		t.Errorf("history: got %+v, %v; want %+v", history, err, want)
	}
	if got := w.found(p, "Thursday"); len(got) != 0 {
		t.Errorf("search for the old text: got %q, want nothing", got)
	}
	if got := w.found(p, "Friday"); len(got) != 1 {
		t.Errorf("search for the new text: got %q, want one note", got)
	}
	same, _, err := w.Correct(ctx, p, n.ID, "The freeze starts on Friday")
	if err != nil || same.Version != 2 {
		t.Errorf("corrected to what it says: got %+v, %v; want version 2 as it was", same, err)
	}
	other := w.remember(p, "The freeze starts on Monday")
	merged, _, err := w.Correct(ctx, p, n.ID, "the freeze starts on monday")
	if err != nil || merged.ID != other.ID {
		t.Errorf("corrected to what another note says: got %+v, %v; want note %s", merged, err, other.ID)
	}
	if got := w.found(p, "freeze"); len(got) != 1 {
		t.Errorf("after that: got %q, want one note", got)
	}
}

func TestSupersedeHidesTheOldNote(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ada)
	old := w.remember(p, "Ben is on call")
	now, err := w.Supersede(ctx, p, old.ID, NewNote{Text: "Chloe is on call"})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.found(p, "on call"); !slices.Equal(got, []string{"Chloe is on call"}) {
		t.Errorf("got %q, want the new note only", got)
	}
	if _, err := w.Note(ctx, p, old.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the old note: got %v, want ErrNotFound", err)
	}
	again := w.remember(p, "Ben is on call") // true again: a note of its own
	if again.ID == old.ID {
		t.Errorf("got the superseded note %s back", old.ID)
	}
	all, err := w.List(ctx, team, Filter{Superseded: true})
	if err != nil || len(all) != 3 || all[0].SupersededBy != now.ID {
		t.Errorf("list with superseded: got %+v, %v; want three, the first superseded by %s", all, err, now.ID)
	}
	if _, err := w.Forget(ctx, p, now.ID); err != nil {
		t.Fatal(err)
	}
	all, err = w.List(ctx, team, Filter{Superseded: true})
	if err != nil || len(all) != 1 || all[0].ID != again.ID {
		t.Errorf("after forgetting the new note: got %+v, %v; want %s only", all, err, again.ID)
	}
}

func TestPrivateTextDoesNotEnterNotesThatOthersSee(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	n := w.remember(in(eng, ChannelPublic, ada), "The freeze starts on Thursday")
	for name, p := range map[string]Place{
		"a private channel": in(leads, ChannelPrivate, ada),
		"a direct message":  in(adaDM, ChannelDirect, ada),
		"a group message":   in("G0GROUP", ChannelGroup, ada),
	} {
		_, _, err := w.Correct(ctx, p, n.ID, "what was said in private")
		if !errors.Is(err, ErrPlace) {
			t.Errorf("correct from %s: got %v, want ErrPlace", name, err)
		}
		_, err = w.Supersede(ctx, p, n.ID, NewNote{Text: "what was said in private"})
		if !errors.Is(err, ErrPlace) {
			t.Errorf("supersede from %s: got %v, want ErrPlace", name, err)
		}
	}
	if _, _, err := w.Correct(ctx, in(general, ChannelPublic, ben), n.ID, "The freeze starts on Friday"); err != nil {
		t.Errorf("correct from another public channel: %v", err)
	}
	_, _, err := w.Correct(ctx, by(in(general, ChannelPublic, ""), gil, KindGuest), n.ID, "The freeze is off")
	wantErr(t, err, ErrNotFound)
}

func TestListAndMarkdown(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ada)
	n, err := w.Remember(ctx, p, NewNote{Text: "The freeze: \"Thursday\"\n---\nat 17:00", TS: "1795424000.000100", Permalink: "https://example.com/p1", ExpiresAt: day0.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	w.remember(in(leads, ChannelPrivate, ben), "The merger is called Falcon")
	w.now = day0.Add(time.Minute)
	if _, _, err := w.Correct(ctx, p, n.ID, "The freeze starts on Friday"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f    Filter
		want int
	}{
		{Filter{}, 2}, {Filter{Scope: "channel:" + leads}, 1}, {Filter{Author: ada}, 1}, {Filter{Words: "merger falcon"}, 1}, {Filter{Words: "merger freeze"}, 0},
		{Filter{Limit: 1}, 1}, {Filter{After: n.ID}, 1},
	} {
		if got, err := w.List(ctx, team, c.f); err != nil || len(got) != c.want {
			t.Errorf("list %+v: got %d notes, %v; want %d", c.f, len(got), err, c.want)
		}
	}
	all, err := w.List(ctx, team, Filter{Words: "friday"})
	if err != nil || len(all) != 1 {
		t.Fatalf("got %+v, %v; want one note", all, err)
	}
	want := fmt.Sprintf(`---
id: "%s"
workspace: "T1"
scope: "channel:C0ENG"
author: "U0ADA"
channel: "C0ENG"
ts: "1795424000.000100"
permalink: "https://example.com/p1"
version: 2
created_at: "2026-11-23T09:00:00Z"
updated_at: "2026-11-23T09:01:00Z"
expires_at: "2026-11-23T10:00:00Z"
history:
  - version: 1
    author: "U0ADA"
    at: "2026-11-23T09:00:00Z"
    text: "The freeze: \"Thursday\"\n---\nat 17:00"
---

The freeze starts on Friday
`, n.ID)
	if got := all[0].Markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	w.now = day0.Add(2 * time.Hour)
	if got, err := w.List(ctx, team, Filter{}); err != nil || len(got) != 1 {
		t.Errorf("after its expiry: got %d notes, %v; want 1", len(got), err)
	}
	if got, err := w.List(ctx, team, Filter{Expired: true}); err != nil || len(got) != 2 {
		t.Errorf("with expired ones: got %d notes, %v; want 2", len(got), err)
	}
}
