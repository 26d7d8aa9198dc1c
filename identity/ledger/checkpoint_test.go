package ledger

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// Wherever a crash cuts off what is written to the anchor file, the checkpoints
// before and after it can be read.
func TestATornAnchorFileKeepsTheOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openStore(t)
	l := New(db, keysOf(t, 'k'), Options{})
	var notes []Checkpoint
	for range 3 {
		fill(t, db, l, 1)
		c, err := l.Checkpoint(context.Background(), ws)
		if err != nil {
			t.Fatal(err)
		}
		notes = append(notes, c)
	}
	whole := notes[1].Note + "\n"
	for cut := range len(whole) + 1 {
		path := filepath.Join(dir, "anchor")
		if err := os.WriteFile(path, []byte(notes[0].Note+"\n"+whole[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		read := func() []Checkpoint {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all, err := ParseAnchors(string(text), l.keys.verifier)
			if err != nil {
				t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
			}
			return all
		}
		torn := 0 // notes that the cut has left whole
		if cut >= len(whole)-2 {
			torn = 1
		}
		if got := read(); len(got) != 1+torn || got[0] != notes[0] {
			t.Fatalf("cut at %d of %d: %d checkpoints, want %d", cut, len(whole), len(got), 1+torn)
		}
		if err := (&Ledger{o: Options{Anchor: path}}).appendAnchor(notes[2].Note); err != nil {
			t.Fatal(err)
		}
		if got := read(); len(got) != 2+torn || got[0] != notes[0] || got[len(got)-1] != notes[2] {
			t.Fatalf("cut at %d of %d and written on: %d checkpoints, want %d", cut, len(whole), len(got), 2+torn)
		}
	}
}

// A checkpoint that is whole and not ours is told, not passed over.
func TestAForgedAnchorIsAnError(t *testing.T) {
	t.Parallel()
	l := grownLedger(t, 3)
	c, err := l.newest(context.Background(), ws)
	if err != nil {
		t.Fatal(err)
	}
	forger := New(l.db, keysOf(t, 'x'), Options{})
	forged, err := forger.sign(ws, c.Size, c.Root)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"another's signature": forged.Note,
		"another size":        strings.Replace(c.Note, "\n3\n", "\n2\n", 1),
		"a size like +3":      strings.Replace(c.Note, "\n3\n", "\n+3\n", 1),
		"another workspace":   strings.Replace(c.Note, "/"+ws, "/T2", 1),
	} {
		if all, err := ParseAnchors(c.Note+"\n"+text, l.keys.verifier); err == nil {
			t.Errorf("%s: %+v, want an error", name, all)
		}
	}
	// What is signed and still no checkpoint of ours.
	for _, body := range []string{"other/T1\n3\nAAAA\n", "deskmate/T1\n3\n", "deskmate/T1\n03\n" + c.Root.String() + "\n", "deskmate/T1\n3\nAAAA\n", "deskmate/T1\n-3\n" + c.Root.String() + "\n"} {
		if got, err := ParseCheckpoint(signed(t, l, body), l.keys.verifier); err == nil {
			t.Errorf("%q was read as %+v", body, got)
		}
	}
}

// What parses is ours: it says the same when it is signed again.
func FuzzParseAnchors(f *testing.F) {
	k := keysOf(f, 'k')
	l := &Ledger{keys: k}
	c, err := l.sign(ws, 3, (&tree{}).root())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Note)
	f.Add(c.Note + "\n" + c.Note)
	f.Add(c.Note[:len(c.Note)-20] + "\n" + c.Note)
	f.Add("deskmate/T1\n3\n\u2014 x")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParseAnchors(text, k.verifier)
		if err != nil {
			return
		}
		for _, c := range all {
			again, err := l.sign(c.Workspace, c.Size, c.Root)
			if err != nil {
				t.Fatal(err)
			}
			if c != again {
				t.Fatalf("read %+v, which is signed as %+v", c, again)
			}
			if one, err := ParseCheckpoint(c.Note, k.verifier); err != nil || one != c {
				t.Fatalf("alone it is %+v, %v", one, err)
			}
		}
	})
}

func signed(t *testing.T, l *Ledger, body string) string {
	t.Helper()
	b, err := note.Sign(&note.Note{Text: body}, l.keys.signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
