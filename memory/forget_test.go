package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"deskmate/migrations"
)

// onDisk reports in which files of the store the canary's bytes are, in any case:
// the index holds words lower-cased.
func (w *world) onDisk(canary string) []string {
	w.t.Helper()
	var where []string
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(w.path + suffix)
		if err != nil {
			if os.IsNotExist(err) {
				continue
			}
			w.t.Fatal(err)
		}
		if bytes.Contains(bytes.ToLower(b), []byte(strings.ToLower(canary))) {
			where = append(where, "db"+suffix)
		}
	}
	return where
}

// canaryText is a note with a word that nothing else has. The word has no ending
// that the stemmer would cut.
func canaryText(n int) (canary, text string) {
	canary = fmt.Sprintf("zqxcanary%04dk", n)
	return canary, "The code name of merger number " + canary + " is not to be told"
}

// chatter fills pages around what will be erased, so that they split and merge.
func (w *world) chatter(r *rand.Rand, n int) {
	w.t.Helper()
	syllables := []string{"ba", "co", "du", "fe", "gi", "ho", "ju", "ka", "lo", "mi", "nu", "pe"}
	w.write(func(tx *migrations.Tx) error {
		for range n {
			var text strings.Builder
			for range 3 + r.IntN(40) {
				text.WriteString(pick(r, syllables) + pick(r, syllables) + pick(r, syllables) + " ")
			}
			w.said++
			ts := fmt.Sprintf("%d.%06d", day0.Unix()+int64(w.said)*60, w.said)
			if err := w.Observe(tx, Message{Workspace: team, Channel: pick(r, []string{general, eng}), TS: ts, Author: ben, Text: text.String()}); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestForgottenIsGoneFromTheFile(t *testing.T) {
	t.Parallel()
	for seed := range 6 {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			w := newWorld(t)
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			p := in(eng, ChannelPublic, ada)
			const n = 12
			ids := make([]string, n)
			for i := range n {
				canary, text := canaryText(i)
				ts := w.say(eng, "", ada, "<@U0AGENT> remember that "+text)
				note, err := w.Remember(ctx, p, NewNote{Text: text, TS: ts})
				if err != nil {
					t.Fatal(err)
				}
				w.say(eng, ts, "U0AGENT", "Remembered as "+note.ID+": "+text)
				w.chatter(r, 30)
				if i%3 == 0 { // a history and a chain of superseded notes
					if _, _, err := w.Correct(ctx, p, note.ID, text+", "+canary+" at all"); err != nil {
						t.Fatal(err)
					}
					w.chatter(r, 10)
					if note, err = w.Supersede(ctx, p, note.ID, NewNote{Text: canary + " is off"}); err != nil {
						t.Fatal(err)
					}
				}
				ids[i] = note.ID
				w.chatter(r, 30)
			}
			if err := w.Scrub(ctx); err != nil {
				t.Fatal(err)
			}
			for _, i := range r.Perm(n) {
				canary, _ := canaryText(i)
				if got := w.onDisk(canary); len(got) == 0 {
					t.Fatalf("canary %d is not in the file before it is forgotten: the test looks in the wrong place", i)
				}
				if _, err := w.Forget(ctx, p, ids[i]); err != nil {
					t.Fatalf("forget %s: %v", ids[i], err)
				}
				if got := w.onDisk(canary); len(got) > 0 {
					t.Errorf("canary %d is still in %v after it was forgotten", i, got)
				}
				if got := w.found(p, canary); len(got) > 0 {
					t.Errorf("search after forgetting: got %q, want nothing", got)
				}
				w.chatter(r, 20)
			}
			if report, err := w.log.Verify(ctx, team); err != nil || len(report.Problems) > 0 {
				t.Errorf("verify ledger after forgetting: got %v, problems %v; want none", err, report.Problems)
			}
		})
	}
}

func TestEditedAndDeletedTextIsGoneFromTheFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := rand.New(rand.NewPCG(1, 1))
	canaries := map[string]string{} // word → ts
	for i := range 40 {
		canary, text := canaryText(i)
		canaries[canary] = w.say(eng, "", ada, text)
		w.chatter(r, 12)
	}
	i := 0
	for _, ts := range canaries {
		w.write(func(tx *migrations.Tx) error {
			if i++; i%2 == 0 {
				return w.Deleted(tx, team, eng, ts)
			}
			return w.Edited(tx, Message{Workspace: team, Channel: eng, TS: ts, Author: ada, Text: "nothing to see", EditedTS: "1800000000.000100"})
		})
	}
	if err := w.Scrub(context.Background()); err != nil {
		t.Fatal(err)
	}
	for canary := range canaries {
		if got := w.onDisk(canary); len(got) > 0 {
			t.Errorf("%s is still in %v", canary, got)
		}
	}
}

func TestForgetByWords(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := in(eng, ChannelPublic, ada)
	notes := []string{
		"The release freeze starts on Thursday at 17:00",
		"The release train leaves on Monday",
		"Ben's gateway key rotates every month",
	}
	for _, c := range []struct {
		name, which string
		want        string // the note that goes
		candidates  int
		err         error
	}{
		{name: "words that only one note has", which: "the thing about the gateway key", want: notes[2]},
		{name: "other forms of its words", which: "rotating keys of the gateway", want: notes[2]},
		{name: "its very text in another case", which: "the release train leaves on monday.", want: notes[1]},
		{name: "a word that two notes have", which: "release", candidates: 2},
		{name: "too little in common", which: "the gateway of the eastern office building", candidates: 1},
		{name: "nothing in common", which: "holidays", err: ErrNotFound},
		{name: "no words", which: "?!", err: ErrEmpty},
		{name: "an id that is not there", which: "n_aaaaaaaaaa", err: ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			byText := map[string]string{}
			for _, text := range notes {
				byText[text] = w.remember(p, text).ID
			}
			gone, err := w.Forget(ctx, p, c.which)
			var ambiguous *AmbiguousError
			switch {
			case c.want != "":
				if err != nil || gone.ID != byText[c.want] {
					t.Errorf("got %q, %v; want %q (%s) forgotten", gone.ID, err, byText[c.want], c.want)
				}
			case c.candidates > 0:
				if !errors.As(err, &ambiguous) || len(ambiguous.Candidates) != c.candidates {
					t.Errorf("got %v, want an *AmbiguousError with %d candidates", err, c.candidates)
				}
			default:
				wantErr(t, err, c.err)
			}
			left, err := w.Notes(ctx, p, 10)
			if err != nil {
				t.Fatal(err)
			}
			want := len(notes)
			if c.want != "" {
				want--
			}
			if len(left) != want {
				t.Errorf("got %d notes left, want %d", len(left), want)
			}
		})
	}
}

func TestForgetTakesQuotesAndTellsErasers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var told []Forgotten
	refuse := true
	w := newWorld(t, func(_ *migrations.Tx, f Forgotten) error {
		if refuse {
			return errors.New("not now")
		}
		told = append(told, f)
		return nil
	})
	p := in(eng, ChannelPublic, ada)
	asked := w.say(eng, "", ada, "remember that R&amp;D moves to the third floor")
	n, err := w.Remember(ctx, p, NewNote{Text: "R&D moves to the third floor", TS: asked})
	if err != nil {
		t.Fatal(err)
	}
	quoted := w.say(eng, asked, "U0AGENT", "Remembered: *R&amp;D moves to the third floor*.")
	w.say(eng, asked, ben, "thanks, good to know")
	w.say(general, "", ben, "R&amp;D moves to the third floor, says #eng")

	if _, err := w.Forget(ctx, p, n.ID); err == nil {
		t.Fatal("got no error from a Forget whose eraser failed")
	}
	if got := w.found(p, "third floor"); len(got) != 5 {
		t.Fatalf("after a failed Forget: got %q, want the note, the three messages that say so, and the answer", got)
	}
	refuse = false
	gone, err := w.Forget(ctx, p, n.ID)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Source{{eng, asked}, {eng, quoted}}; fmt.Sprint(gone.Messages) != fmt.Sprint(want) {
		t.Errorf("messages erased: got %v, want %v", gone.Messages, want)
	}
	if fmt.Sprint(told) != fmt.Sprint([]Forgotten{gone}) {
		t.Errorf("erasers were told %v, want %v", told, gone)
	}
	if got := w.found(p, "third floor"); len(got) != 1 {
		t.Errorf("got %q, want the message of the other channel only", got)
	}
	// A late delivery does not bring it back.
	w.write(func(tx *migrations.Tx) error {
		return w.Observe(tx, Message{Workspace: team, Channel: eng, TS: asked, Author: ada, Text: "R&amp;D moves to the third floor"})
	})
	if got := w.found(p, "third floor"); len(got) != 1 {
		t.Errorf("after a late delivery: got %q, want the message of the other channel only", got)
	}
}

func TestLedgerHoldsNoText(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ada)
	canary, text := canaryText(1)
	n := w.remember(p, text)
	if _, _, err := w.Correct(ctx, p, n.ID, text+" ever"); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	if _, err := w.Supersede(ctx, p, n.ID, NewNote{Text: canary + " is off"}); err != nil {
		t.Fatal(err)
	}
	check := func(when string, wantTexts int, wantKinds ...string) {
		t.Helper()
		entries, err := w.log.Tail(ctx, team, 0, 50)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		texts := 0
		for _, e := range entries {
			kinds = append(kinds, e.Kind)
			if bytes.Contains(e.Leaf, []byte(canary)) {
				t.Errorf("%s: the leaf of %s holds the text: %s", when, e.Kind, e.Leaf)
			}
			texts += len(e.Payload)
		}
		if fmt.Sprint(kinds) != fmt.Sprint(wantKinds) {
			t.Errorf("%s: got entries %v, want %v", when, kinds, wantKinds)
		}
		if texts != wantTexts {
			t.Errorf("%s: got %d erasable texts, want %d", when, texts, wantTexts)
		}
	}
	kinds := []string{"note.remembered", "note.corrected", "note.remembered", "note.superseded"}
	check("before", 3, kinds...)
	if _, err := w.Forget(ctx, p, canary+" is off"); err != nil {
		t.Fatal(err)
	}
	check("after", 0, append(kinds, "note.forgotten")...)
}
