package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"deskmate/migrations"
)

// The roots are those of the tree that others compute: here golang.org/x/mod's.
func TestRootsAreThoseOfRFC6962(t *testing.T) {
	t.Parallel()
	var grown tree
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, n := range indexes {
			hashes[i] = stored[n]
		}
		return hashes, nil
	})
	for n := range int64(300) {
		data := fmt.Appendf(nil, "leaf %d", n)
		want, err := tlog.StoredHashes(n, data, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, want...)
		var flat []byte
		for _, h := range want {
			flat = append(flat, h[:]...)
		}
		if got := grown.grow(tlog.RecordHash(data)); !bytes.Equal(got, flat) {
			t.Fatalf("leaf %d made the hashes %x, want %x", n, got, flat)
		}
		root, err := tlog.TreeHash(n+1, reader)
		if err != nil {
			t.Fatal(err)
		}
		if got := grown.root(); got != root || !grown.sound() {
			t.Fatalf("root of %d leaves = %v, want %v", n+1, got, root)
		}
	}
}

func TestReading(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	ctx := context.Background()
	if e, err := a.ledger.Show(ctx, ws, 4); err != nil || e.Seq != 4 || e.Kind != KindIntent || e.Payload[PayloadArgs] == "" {
		t.Errorf("Show(4) = %+v, %v; want the intent with its arguments", e, err)
	}
	for _, seq := range []int64{-1, 14} {
		if _, err := a.ledger.Show(ctx, ws, seq); !errors.Is(err, ErrNoEntry) {
			t.Errorf("Show(%d) = %v, want ErrNoEntry", seq, err)
		}
	}
	a.exec(`DELETE FROM ledger_payloads WHERE seq = 4`)
	if e, err := a.ledger.Show(ctx, ws, 4); err != nil || len(e.Erased) != 1 || e.Erased[0] != PayloadArgs {
		t.Errorf("Show(4) = %+v, %v; want its arguments erased", e, err)
	}
	for name, c := range map[string]struct {
		q    Query
		want []int64
	}{
		"everything, newest first, limited": {Query{Limit: 2}, []int64{13, 12}},
		"before an entry":                   {Query{Limit: 2, Before: 5}, []int64{4, 3}},
		"by action":                         {Query{Action: "k3"}, []int64{7, 6}},
		"by kind and action":                {Query{Action: "k3", Kind: KindOutcome}, []int64{7}},
		"by a text, case ignored":           {Query{Text: "HELLO from k5"}, []int64{10}},
		"by an erased text":                 {Query{Text: "hello from k2"}, nil},
		"by time":                           {Query{Until: time.Unix(1, 0)}, nil},
		"nothing fits":                      {Query{Requester: "U0NOBODY"}, nil},
	} {
		found, err := a.ledger.Search(ctx, ws, c.q)
		var got []int64
		for _, e := range found {
			got = append(got, e.Seq)
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: Search = %v, %v; want %v", name, got, err, c.want)
		}
	}
}

// An exported line has what it takes to rebuild the tree.
func TestExportedLeavesHashToTheRoot(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	var out bytes.Buffer
	if n, err := a.ledger.Write(context.Background(), ws, FormatJSONL, time.Time{}, time.Time{}, &out); err != nil || n != 14 {
		t.Fatalf("Write = %d, %v; want 14 entries", n, err)
	}
	var grown tree
	for line := range bytes.Lines(out.Bytes()) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		grown.grow(tlog.RecordHash(e.Leaf))
	}
	if got := grown.root(); got != a.anchored.Root {
		t.Errorf("the exported leaves have the root %v, the checkpoint %v", got, a.anchored.Root)
	}
}

func TestRunSignsWhatGrewAndAnchorsIt(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	anchor := filepath.Join(t.TempDir(), "anchor")
	l := New(db, keysOf(t, 'k'), Options{Anchor: anchor, Every: time.Millisecond})
	signed, stop := db.Listen(TopicCheckpoint)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	for range 2 {
		fill(t, db, l, 1)
		select {
		case <-signed:
		case <-time.After(time.Minute):
			t.Fatal("no checkpoint after a minute")
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v", err)
	}
	text, err := os.ReadFile(anchor)
	if err != nil {
		t.Fatal(err)
	}
	anchored, err := ParseAnchors(string(text), l.keys.Verifier())
	if err != nil || len(anchored) != 2 || anchored[1].Size != 2 {
		t.Errorf("anchored = %+v, %v; want one checkpoint for each size", anchored, err)
	}
}

// What cannot be anchored is not taken for anchored: it is tried again.
func TestACheckpointThatCannotBeAnchoredIsNotStored(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	anchor := filepath.Join(t.TempDir(), "missing", "anchor")
	l := New(db, keysOf(t, 'k'), Options{Anchor: anchor})
	fill(t, db, l, 1)
	if _, err := l.Checkpoint(context.Background(), ws); err == nil {
		t.Fatal("Checkpoint = nil, want that it cannot be anchored")
	}
	if err := os.Mkdir(filepath.Dir(anchor), 0o700); err != nil {
		t.Fatal(err)
	}
	// A crash has left half a checkpoint there.
	if err := os.WriteFile(anchor, []byte("deskmate/T1\n1\nabc"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := l.Checkpoint(context.Background(), ws)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(anchor)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseAnchors(string(text), l.keys.Verifier()); err != nil || len(got) != 1 || got[0].Root != c.Root {
		t.Errorf("anchored = %+v, %v; want the whole one", got, err)
	}
}

func TestAppendRefusesWhatItCannotWrite(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	l := New(db, keysOf(t, 'k'), Options{})
	for name, r := range map[string]Record{
		"no workspace":             {Kind: "x"},
		"a workspace with a break": {Workspace: "T1\n9", Kind: "x"},
		"no kind":                  {Workspace: ws},
		"a field without a name":   {Workspace: ws, Kind: "x", Fields: map[string]string{"": "1"}},
		"a text with a bad name":   {Workspace: ws, Kind: "x", Payload: map[string]string{"a b": "1"}},
		"an endless entry":         {Workspace: ws, Kind: "x", Cause: string(make([]byte, mostLeaf))},
	} {
		err := db.Write(context.Background(), func(tx *migrations.Tx) error {
			_, err := l.Append(tx, r)
			return err
		})
		if err == nil {
			t.Errorf("%s: appended", name)
		}
	}
	if r := mustVerify(t, l); r.Entries != 0 || !r.OK() {
		t.Errorf("report = %+v, want an empty ledger", r)
	}
}
