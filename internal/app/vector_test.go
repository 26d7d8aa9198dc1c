package app

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deskmate/bot"
	"deskmate/identity/ledger"
	"deskmate/internal/modelsim"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

const vectorTeam = "T1"

// vectorWorld is a memory with a real embedding server of the emulator beside it.
type vectorWorld struct {
	t    *testing.T
	path string
	db   *migrations.DB
	m    *memory.Memory
	url  string
	said int
}

func newVectorWorld(t *testing.T) *vectorWorld {
	t.Helper()
	w := &vectorWorld{t: t, path: filepath.Join(t.TempDir(), "deskmate.db")}
	var err error
	if w.db, err = migrations.Open(context.Background(), migrated.At(t, w.path), migrations.Options{}); err != nil {
		t.Fatal(err)
	}
	keys, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	sim := modelsim.New(modelsim.Always(modelsim.Reply{}), modelsim.Options{})
	server := httptest.NewServer(sim)
	w.url = server.URL + "/v1"
	w.m = memory.New(w.db, ledger.New(w.db, keys, ledger.Options{}))
	t.Cleanup(func() {
		server.Close()
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	for id, kind := range map[string]string{"C1": memory.ChannelPublic, "C2": memory.ChannelPrivate} {
		w.write(func(tx *migrations.Tx) error {
			return w.m.SaveChannel(tx, memory.Channel{Workspace: vectorTeam, ID: id, Name: strings.ToLower(id), Kind: kind, IsMember: true})
		})
	}
	return w
}

func (w *vectorWorld) write(f func(tx *migrations.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *vectorWorld) embed(model string) { w.m.Embed(bot.NewOpenAIEmbedder("sk-x", w.url, model)) }

func (w *vectorWorld) say(channel, text string) string {
	w.t.Helper()
	w.said++
	ts := "17000000" + string(rune('0'+w.said/10)) + string(rune('0'+w.said%10)) + ".000100"
	w.write(func(tx *migrations.Tx) error {
		return w.m.Observe(tx, memory.Message{Workspace: vectorTeam, Channel: channel, TS: ts, Author: "U1", Text: text})
	})
	return ts
}

func (w *vectorWorld) fill(batch int) int {
	w.t.Helper()
	n, err := w.m.FillVectors(context.Background(), vectorTeam, batch)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *vectorWorld) found(channel, kind, query string) string {
	w.t.Helper()
	p := memory.Place{Workspace: vectorTeam, Channel: channel, ChannelKind: kind, Requester: "U2", RequesterKind: memory.KindMember}
	hits, err := w.m.Search(context.Background(), p, query, 10)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, h := range hits {
		all = append(all, h.Text)
	}
	return strings.Join(all, "; ")
}

// stored is how often the vector's bytes, in hex, are in the files of the store.
func (w *vectorWorld) stored(vector string) int {
	w.t.Helper()
	if err := w.m.Scrub(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	raw, err := hex.DecodeString(vector)
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(w.path + suffix)
		if err != nil && !os.IsNotExist(err) {
			w.t.Fatal(err)
		}
		n += bytes.Count(b, raw)
	}
	return n
}

// vector is a stretch of a row's vector in hex that no other text has.
func (w *vectorWorld) vector(text string) string {
	w.t.Helper()
	var v string
	if err := w.db.QueryRow(context.Background(), `SELECT hex(substr(v.vector, 1, 1024)) FROM memory_vectors v JOIN messages m ON m.id = v.row WHERE m.text = $1`, text).Scan(&v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

func TestVectorsFindWhatMeansTheSame(t *testing.T) {
	t.Parallel()
	w := newVectorWorld(t)
	w.say("C1", "our automobile needs new tires")
	w.say("C1", "lunch is served at noon")
	w.say("C2", "the secret automobile is red")
	if got := w.found("C1", memory.ChannelPublic, "which car?"); got != "" {
		t.Fatalf("by words alone found %q, want nothing: the test is of no use", got)
	}
	w.embed("one")
	if n := w.fill(2); n != 2 {
		t.Errorf("filled %d of a batch of 2", n)
	}
	if n := w.fill(2); n != 1 { // goes on where it was
		t.Errorf("filled %d more, want the last", n)
	}
	if got := w.found("C1", memory.ChannelPublic, "which car needs tires?"); !strings.HasPrefix(got, "our automobile") || strings.Contains(got, "secret") {
		t.Errorf("found %q, want the automobile of this channel first, and nothing private", got)
	}
	if got := w.found("C1", memory.ChannelPublic, "car"); strings.Contains(got, "secret") {
		t.Errorf("found %q of a private channel from elsewhere", got)
	}
	if got := w.found("C2", memory.ChannelPrivate, "secret car"); !strings.Contains(got, "secret automobile") {
		t.Errorf("in the private channel found %q, want its own", got)
	}
	w.embed("two")
	if n := w.fill(10); n != 3 {
		t.Errorf("after a change of the model filled %d, want all three", n)
	}
	if p, err := w.m.Vectors(context.Background(), vectorTeam, "two"); err != nil || p.Filled != 3 || p.Total != 3 {
		t.Errorf("progress: %+v, %v; want 3 of 3", p, err)
	}
	// Where the server is down, words answer.
	w.m.Embed(bot.NewOpenAIEmbedder("sk-secret", "http://127.0.0.1:1/v1", "two"))
	if got := w.found("C1", memory.ChannelPublic, "tires"); !strings.Contains(got, "new tires") {
		t.Errorf("with the server down found %q, want it by its words", got)
	}
	w.say("C1", "one more")
	if _, err := w.m.FillVectors(context.Background(), vectorTeam, 10); err == nil || strings.Contains(err.Error(), "sk-secret") {
		t.Errorf("filling with the server down: got %v, want an error without the key", err)
	}
}

func TestVectorsGoWithTheirTexts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newVectorWorld(t)
	w.embed("one")
	p := memory.Place{Workspace: vectorTeam, Channel: "C1", ChannelKind: memory.ChannelPublic, Requester: "U1", RequesterKind: memory.KindMember}
	deleted := w.say("C1", "zebras like purple grass and marmalade")
	edited := w.say("C1", "yaks prefer orange hay and mustard")
	forgotten := w.say("C1", "whales adore turquoise soup and pepper")
	note, err := w.m.Remember(ctx, p, memory.NewNote{Text: "whales adore turquoise soup and pepper", TS: forgotten})
	if err != nil {
		t.Fatal(err)
	}
	w.fill(10)
	var vectors []string
	for _, text := range []string{"zebras like purple grass and marmalade", "yaks prefer orange hay and mustard", "whales adore turquoise soup and pepper"} {
		v := w.vector(text)
		if w.stored(v) == 0 {
			t.Fatalf("the vector of %q is not in the file: the test looks in the wrong place", text)
		}
		vectors = append(vectors, v)
	}
	w.write(func(tx *migrations.Tx) error { return w.m.Deleted(tx, vectorTeam, "C1", deleted) })
	w.write(func(tx *migrations.Tx) error {
		return w.m.Edited(tx, memory.Message{Workspace: vectorTeam, Channel: "C1", TS: edited, Author: "U1", Text: "nothing", EditedTS: "1800000000.000100"})
	})
	if _, err := w.m.Forget(ctx, p, note.ID); err != nil {
		t.Fatal(err)
	}
	for i, v := range vectors {
		if n := w.stored(v); n > 0 {
			t.Errorf("vector %d is in the files %d times after its text went", i, n)
		}
	}
	var left int
	if err := w.db.QueryRow(ctx, `SELECT COUNT(*) FROM memory_vectors`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d vectors are left, %v; want none", left, err)
	}
}
