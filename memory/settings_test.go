package memory

import (
	"context"
	"testing"
	"time"

	"deskmate/migrations"
)

func (w *world) set(s Settings) {
	w.t.Helper()
	s.Workspace = team
	w.write(func(tx *migrations.Tx) error { return w.Set(tx, s, "U0BOSS", "the policy") })
}

func TestRetentionErasesWhatIsOld(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ben)
	w.say(eng, "", ada, "the falcon is old zqxsweep")
	w.say(general, "", ada, "the falcon is old elsewhere")
	if _, err := w.Remember(ctx, p, NewNote{Text: "the falcon note zqxnote expires", ExpiresAt: w.now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	sweep := func() (messages, notes int) {
		t.Helper()
		w.write(func(tx *migrations.Tx) (err error) {
			messages, notes, _, err = w.Sweep(tx, team)
			return err
		})
		return messages, notes
	}
	if m, n := sweep(); m+n != 0 {
		t.Errorf("without retention %d messages and %d notes were erased, want none", m, n)
	}
	w.set(Settings{Scope: "channel:" + eng, Days: 10})
	w.now = w.now.Add(9 * 24 * time.Hour)
	if m, n := sweep(); m+n != 0 {
		t.Errorf("within retention %d messages and %d notes were erased, want none", m, n)
	}
	w.now = w.now.Add(30 * 24 * time.Hour)
	w.set(Settings{Scope: ScopeWorkspace, Hold: true})
	if m, n := sweep(); m+n != 0 {
		t.Errorf("under hold %d messages and %d notes were erased, want none", m, n)
	}
	w.set(Settings{Scope: ScopeWorkspace})
	if m, n := sweep(); m != 1 || n != 1 {
		t.Errorf("past retention %d messages and %d notes were erased, want one of each", m, n)
	}
	if err := w.Scrub(ctx); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"zqxsweep", "zqxnote"} {
		if got := w.onDisk(word); len(got) > 0 {
			t.Errorf("%s is still in %v after the sweep", word, got)
		}
	}
	if got := w.found(p, "falcon"); len(got) != 1 || got[0] != "the falcon is old elsewhere" {
		t.Errorf("after the sweep: found %q, want what has no retention", got)
	}
}

// Under legal hold what people delete is shown to nobody and erased when it ends.
func TestHoldKeepsWhatIsDeleted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ben)
	ts := w.say(eng, "", ada, "the zqxheld falcon flies")
	note := w.remember(p, "the falcon flies at noon")
	w.set(Settings{Scope: "channel:" + eng, Hold: true})
	w.write(func(tx *migrations.Tx) error { return w.Deleted(tx, team, eng, ts) })
	if got := w.found(p, "zqxheld"); len(got) != 0 {
		t.Errorf("deleted under hold: found %q, want nothing", got)
	}
	if err := w.Scrub(ctx); err != nil {
		t.Fatal(err)
	}
	if len(w.onDisk("zqxheld")) == 0 {
		t.Error("deleted under hold: the text is gone, want it kept")
	}
	_, err := w.Forget(ctx, p, note.ID)
	wantErr(t, err, ErrHeld)
	_, err = w.Erase(ctx, team, note.ID, "cli:op")
	wantErr(t, err, ErrHeld)
	w.set(Settings{Scope: "channel:" + eng})
	if err := w.Scrub(ctx); err != nil {
		t.Fatal(err)
	}
	if got := w.onDisk("zqxheld"); len(got) > 0 {
		t.Errorf("after the hold the deleted text is still in %v", got)
	}
	if _, err := w.Forget(ctx, p, note.ID); err != nil {
		t.Errorf("forget after the hold: %v", err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ben)
	for name, bad := range map[string]Settings{
		"learn from everything": {Scope: ScopeWorkspace, Learn: true}, "learn from a direct message": {Scope: "dm:" + adaDM, Learn: true},
		"negative": {Scope: ScopeWorkspace, Days: -1}, "too long": {Scope: ScopeWorkspace, Days: MaxDays + 1}, "no scope": {Scope: "nowhere"},
	} {
		bad.Workspace = team
		err := w.db.Write(ctx, func(tx *migrations.Tx) error { return w.Set(tx, bad, "U0BOSS", "") })
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	w.set(Settings{Scope: "channel:" + eng, Learn: true, Off: true})
	_, err := w.Remember(ctx, p, NewNote{Text: "the falcon flies"})
	wantErr(t, err, ErrOff)
	for _, c := range []struct {
		channel, ts string
		change      bool
		want        bool
	}{{eng, "1.000100", false, true}, {general, "1.000100", false, false}, {general, "1.000100", true, false}, {general, w.say(general, "", ada, "hello"), true, true}} {
		if got, err := w.Keeps(ctx, team, c.channel, c.ts, c.change); err != nil || got != c.want {
			t.Errorf("%+v: got %v, %v", c, got, err)
		}
	}
}
