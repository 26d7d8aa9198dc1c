package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
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
			if _, err := l.Append(tx, Record{Workspace: ws, Kind: "note.remembered", Actor: "U0ADA", Payload: map[string]string{"text": "tea <is> at five"}}); err != nil {
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

// The independent verifier takes every true proof and no altered one. It shares
// no code with this package.
func TestTheIndependentVerifierChecksProofs(t *testing.T) {
	t.Parallel()
	verifier := filepath.Join(t.TempDir(), "verify")
	if out, err := exec.Command("go", "build", "-o", verifier, "deskmate/docs/verify").CombinedOutput(); err != nil {
		t.Fatalf("build docs/verify: %v\n%s", err, out)
	}
	check := func(p Proof) bool {
		var in bytes.Buffer
		e := json.NewEncoder(&in)
		e.SetEscapeHTML(false)
		if err := e.Encode(p); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(verifier)
		cmd.Stdin = &in
		out, err := cmd.CombinedOutput()
		if (err == nil) != strings.HasPrefix(string(out), "proven") {
			t.Fatalf("exit %v with %q", err, out)
		}
		return err == nil
	}
	other, err := grownLedger(t, 13).Prove(context.Background(), ws, 4, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 3, 8, 13, 64, 100} {
		l := grownLedger(t, n)
		for _, seq := range []int{0, n / 2, n - 1} {
			p, err := l.Prove(context.Background(), ws, int64(seq), 0)
			if err != nil {
				t.Fatal(err)
			}
			if !check(p) {
				t.Errorf("a true proof of entry %d of %d is refused", seq, n)
			}
			for name, change := range map[string]func(p *Proof){
				"another leaf":       func(p *Proof) { p.Leaf = json.RawMessage(strings.Replace(string(p.Leaf), "U0ADA", "U0EVE", 1)) },
				"another size":       func(p *Proof) { p.Size++ },
				"another checkpoint": func(p *Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n", "\n1", 1) },
				"another key":        func(p *Proof) { p.Key = other.Key[:len(other.Key)-4] + "AAA=" },
				"a path that is cut": func(p *Proof) { p.Path = append(append([]string{}, p.Path...), strings.Repeat("00", 32)) },
				"another place":      func(p *Proof) { p.Seq++ },
			} {
				bad := p
				change(&bad)
				if name == "another place" && n == 1 {
					continue // a tree of one has no places to mistake
				}
				if name == "a path that is cut" {
					if n == 1 {
						continue
					}
					bad.Path = append([]string{}, p.Path...)
					bad.Path[0] = strings.Repeat("00", 32)
				}
				if check(bad) {
					t.Errorf("a proof with %s is taken (entry %d of %d)", name, seq, n)
				}
			}
		}
		if _, err := l.Prove(context.Background(), ws, int64(n), 0); err == nil {
			t.Errorf("entry %d of %d was proven", n, n)
		}
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
