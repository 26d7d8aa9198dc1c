package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/migrations"
)

// grownLedger is a ledger of n entries with texts, and a checkpoint of all.
func grownLedger(t testing.TB, n int) *Ledger {
	t.Helper()
	l := New(openStore(t), keysOf(t, 'k'), Options{})
	err := l.db.Write(context.Background(), func(tx *migrations.Tx) error {
		for range n {
			if _, err := l.Append(tx, Record{Workspace: ws, Kind: "note.remembered", Actor: "U0ADA", Cause: "<a> & \u2028 \"é\"", Payload: map[string]string{"text": "tea <is> at five"}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Checkpoint(context.Background(), ws); err != nil {
		t.Fatal(err)
	}
	return l
}

// independent builds the verifier of docs/verify, which shares no code with this
// package, and returns a function that has it check a proof with a trusted key.
func independent(t *testing.T) func(proof any, key ...string) bool {
	t.Helper()
	verifier := filepath.Join(t.TempDir(), "verify")
	if out, err := exec.Command("go", "build", "-o", verifier, "deskmate/docs/verify").CombinedOutput(); err != nil {
		t.Fatalf("build docs/verify: %v\n%s", err, out)
	}
	return func(proof any, key ...string) bool {
		t.Helper()
		var in bytes.Buffer
		e := json.NewEncoder(&in)
		e.SetEscapeHTML(false)
		if err := e.Encode(proof); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(verifier, key...)
		cmd.Stdin = &in
		out, err := cmd.CombinedOutput()
		if err == nil != strings.HasPrefix(string(out), "proven") || err != nil && !strings.HasPrefix(string(out), "NOT PROVEN") {
			t.Fatalf("exit %v with %q", err, out)
		}
		return err == nil
	}
}

// changedHash is a hash, in hexadecimal, with one digit changed.
func changedHash(h string) string {
	if h[0] == '0' {
		return "1" + h[1:]
	}
	return "0" + h[1:]
}

// The independent verifier takes every true proof and no altered one.
func TestTheIndependentVerifierChecksProofs(t *testing.T) {
	t.Parallel()
	check := independent(t)
	ctx := context.Background()
	for _, n := range []int{1, 2, 3, 8, 13, 100} {
		l := grownLedger(t, n)
		forger := New(l.db, keysOf(t, 'x'), Options{})
		for _, seq := range []int{0, n / 2, n - 1} {
			p, err := l.Prove(ctx, ws, int64(seq), 0)
			if err != nil {
				t.Fatal(err)
			}
			if !check(p) || !check(p, l.keys.verifier) {
				t.Errorf("a true proof of entry %d of %d is refused", seq, n)
			}
			if check(p, forger.keys.verifier) {
				t.Errorf("a proof is taken that the trusted key did not sign")
			}
			bad := map[string]Proof{}
			with := func(name string, change func(p *Proof)) {
				c := p
				c.Path = slices.Clone(p.Path)
				change(&c)
				bad[name] = c
			}
			with("another leaf", func(p *Proof) { p.Leaf = json.RawMessage(strings.Replace(string(p.Leaf), "U0ADA", "U0EVE", 1)) })
			with("another size", func(p *Proof) { p.Size++ })
			with("another checkpoint", func(p *Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n", "\n1", 1) })
			with("no checkpoint", func(p *Proof) { p.Checkpoint = "" })
			with("no signature", func(p *Proof) { p.Checkpoint, _, _ = strings.Cut(p.Checkpoint, "\u2014") })
			with("another key", func(p *Proof) { p.Key = forger.keys.verifier })
			with("no key", func(p *Proof) { p.Key = "" })
			with("a place before the first", func(p *Proof) { p.Seq = -1 })
			with("a place after the last", func(p *Proof) { p.Seq = p.Size })
			with("a longer path", func(p *Proof) { p.Path = append(p.Path, strings.Repeat("00", 32)) })
			for i := range p.Path {
				with(fmt.Sprintf("hash %d of the path changed", i), func(p *Proof) { p.Path[i] = changedHash(p.Path[i]) })
				with(fmt.Sprintf("hash %d of the path cut", i), func(p *Proof) { p.Path[i] = p.Path[i][2:] })
				with(fmt.Sprintf("hash %d of the path missing", i), func(p *Proof) { p.Path = slices.Delete(p.Path, i, i+1) })
			}
			if n > 1 { // a tree of one has no other place
				with("another place", func(p *Proof) { p.Seq = (p.Seq + 1) % p.Size })
			}
			for name, p := range bad {
				if check(p) {
					t.Errorf("a proof with %s is taken (entry %d of %d)", name, seq, n)
				}
			}
			// Who has another key can sign the same tree: only the trusted key tells.
			c, err := ParseCheckpoint(p.Checkpoint, p.Key)
			if err != nil {
				t.Fatal(err)
			}
			forged, err := forger.sign(ws, c.Size, c.Root)
			if err != nil {
				t.Fatal(err)
			}
			p.Checkpoint, p.Key = forged.Note, forger.keys.verifier
			if check(p, l.keys.verifier) {
				t.Errorf("a checkpoint of another key is taken for ours")
			}
		}
		if _, err := l.Prove(ctx, ws, int64(n), 0); !errors.Is(err, ErrNoEntry) {
			t.Errorf("Prove(%d) of %d = %v, want ErrNoEntry", n, n, err)
		}
		fill(t, l.db, l, 1)
		if _, err := l.Prove(ctx, ws, int64(n), 0); !errors.Is(err, ErrNotCovered) {
			t.Errorf("Prove of an entry that no checkpoint covers = %v, want ErrNotCovered", err)
		}
		c, err := l.newest(ctx, ws)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := l.ProveFor(ctx, int64(n-1), c); err != nil || !check(p) {
			t.Errorf("ProveFor a checkpoint that was kept: %v", err)
		}
		if _, err := l.ProveFor(ctx, int64(n), c); !errors.Is(err, ErrNotCovered) {
			t.Errorf("ProveFor beyond the checkpoint = %v, want ErrNotCovered", err)
		}
	}
}

// That the ledger only grew can be checked between any two checkpoints.
func TestTheIndependentVerifierChecksGrowth(t *testing.T) {
	t.Parallel()
	check := independent(t)
	ctx := context.Background()
	l := grownLedger(t, 1)
	for range 12 {
		fill(t, l.db, l, 1)
		if _, err := l.Checkpoint(ctx, ws); err != nil {
			t.Fatal(err)
		}
	}
	other := New(openStore(t), l.keys, Options{}) // the same signer and another story
	fill(t, other.db, other, 13)
	if _, err := other.Checkpoint(ctx, ws); err != nil {
		t.Fatal(err)
	}
	rewritten, err := other.newest(ctx, ws)
	if err != nil {
		t.Fatal(err)
	}
	for from := int64(1); from <= 13; from++ {
		for to := from; to <= 13; to++ {
			g, err := l.ProveGrowth(ctx, ws, from, to)
			if err != nil {
				t.Fatal(err)
			}
			if !check(g, l.keys.verifier) {
				t.Errorf("the growth from %d to %d is refused", from, to)
			}
			if to != 13 {
				continue
			}
			bad := g
			bad.Later = rewritten.Note
			if check(bad) {
				t.Errorf("a rewritten ledger is taken for the growth of %d entries", from)
			}
			for i := range g.Path {
				bad = g
				bad.Path = slices.Clone(g.Path)
				bad.Path[i] = changedHash(bad.Path[i])
				if check(bad) {
					t.Errorf("growth from %d with hash %d of the path changed is taken", from, i)
				}
				bad.Path = slices.Delete(slices.Clone(g.Path), i, i+1)
				if check(bad) {
					t.Errorf("growth from %d without hash %d of the path is taken", from, i)
				}
			}
			bad = g
			bad.From, bad.To, bad.Earlier, bad.Later = g.To, g.From, g.Later, g.Earlier
			if from != to && check(bad) {
				t.Errorf("growth backwards from %d is taken", from)
			}
		}
	}
	for _, c := range [][2]int64{{0, 13}, {-1, 13}, {14, 0}, {13, 12}, {1, 14}} {
		if g, err := l.ProveGrowth(ctx, ws, c[0], c[1]); err == nil {
			t.Errorf("ProveGrowth(%d, %d) = %+v, want an error", c[0], c[1], g)
		}
	}
	if g, err := l.ProveGrowth(ctx, ws, 5, 0); err != nil || g.To != 13 {
		t.Errorf("ProveGrowth to the newest = %+v, %v", g, err)
	}
}

func TestTrimErasesOldTextsAndKeepsProofs(t *testing.T) {
	t.Parallel()
	l := grownLedger(t, 30)
	ctx := context.Background()
	before, err := l.Prove(ctx, ws, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Trim(ctx, ws, "cli:ada", l.db.Now().Add(-time.Hour)); err != nil || n != 0 {
		t.Fatalf("Trim of nothing old = %d, %v", n, err)
	}
	if n, err := l.Trim(ctx, ws, "cli:ada", l.db.Now().Add(time.Hour)); err != nil || n != 30 {
		t.Fatalf("Trim = %d, %v; want 30", n, err)
	}
	e, err := l.Show(ctx, ws, 3)
	if err != nil || len(e.Payload) != 0 || len(e.Erased) != 1 {
		t.Errorf("entry 3 has %v, erased %v, %v", e.Payload, e.Erased, err)
	}
	after, err := l.Prove(ctx, ws, 3, before.Size)
	if err != nil || string(after.Leaf) != string(before.Leaf) || strings.Join(after.Path, "") != strings.Join(before.Path, "") {
		t.Errorf("the proof has changed: %v", err)
	}
	if r, err := l.Verify(ctx, ws); err != nil || !r.OK() || r.Erased != 30 || r.Entries != 31 {
		t.Errorf("Verify: %+v, %v", r, err)
	}
}

func TestExportFormats(t *testing.T) {
	t.Parallel()
	l := New(openStore(t), keysOf(t, 'k'), Options{})
	err := l.db.Write(context.Background(), func(tx *migrations.Tx) error {
		_, err := l.Append(tx, Record{Workspace: ws, Kind: KindIntent, Actor: "U0BOT", Requester: "U0BEN", Channel: "C1", Tool: "=post", Class: "write", Action: "k",
			Decision: "allow", Reasons: []string{"g_1"}, Payload: map[string]string{"args": "a,\"b\"\n=SUM(1)"}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	write := func(format string) string {
		var b bytes.Buffer
		if n, err := l.Write(context.Background(), ws, format, time.Time{}, time.Time{}, &b); err != nil || n != 1 {
			t.Fatalf("Write %s = %d, %v", format, n, err)
		}
		return b.String()
	}
	if got := write(FormatCSV); !strings.Contains(got, "'=post") || !strings.HasPrefix(got, "seq,time,kind") {
		t.Errorf("CSV: %s", got)
	}
	var o struct {
		ClassUID int `json:"class_uid"`
		TypeUID  int `json:"type_uid"`
		Actor    struct {
			User struct{ UID string }
		}
		API      struct{ Operation string }
		Metadata struct{ Version string }
	}
	if err := json.Unmarshal([]byte(write(FormatOCSF)), &o); err != nil || o.ClassUID != 6003 || o.TypeUID != 600303 || o.Actor.User.UID != "U0BOT" || o.API.Operation != "=post" || o.Metadata.Version != "1.3.0" {
		t.Errorf("OCSF: %+v, %v", o, err)
	}
	if _, err := l.Write(context.Background(), ws, "xml", time.Time{}, time.Time{}, io.Discard); err == nil {
		t.Error("an unknown format was written")
	}
	var b bytes.Buffer
	if n, err := l.Write(context.Background(), ws, FormatJSONL, l.db.Now().Add(time.Hour), time.Time{}, &b); err != nil || n != 0 {
		t.Errorf("Write of the future = %d, %v", n, err)
	}
}
