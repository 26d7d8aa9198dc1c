package handlers

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"deskmate/identity/ledger"
	"deskmate/identity/vault"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
	"deskmate/scheduler"
)

const hookKey = "a-key-of-this-hook"

// hooks is a server with one duty that is set off by its URL.
type hooks struct {
	t    *testing.T
	db   *migrations.DB
	s    *scheduler.Scheduler
	v    *vault.Vault
	h    *Webhooks
	d    scheduler.Duty
	base string
	now  *atomic.Int64
}

func newHooks(t *testing.T, rate int) *hooks {
	t.Helper()
	x := &hooks{t: t, now: &atomic.Int64{}}
	x.now.Store(time.Date(2026, 3, 2, 9, 10, 0, 0, time.UTC).UnixMicro())
	dir, ctx := t.TempDir(), context.Background()
	var err error
	if x.db, err = migrations.Open(ctx, migrated.At(t, filepath.Join(dir, "store.db")), migrations.Options{Clock: func() time.Time { return time.UnixMicro(x.now.Load()) }}); err != nil {
		t.Fatal(err)
	}
	keys, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	l := ledger.New(x.db, keys, ledger.Options{})
	ring, err := vault.OpenFile(filepath.Join(dir, "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	x.v = vault.New(x.db, l, ring)
	x.s = scheduler.New(x.db, l, func(*migrations.Tx, scheduler.Duty, scheduler.Run) error { return nil })
	x.d, err = x.s.Create(ctx, scheduler.NewDuty{Workspace: "T1", Channel: "C0OPS", ChannelKind: "public", Kind: scheduler.KindWebhook, Prompt: "post it", Trigger: scheduler.Trigger{Rate: rate}, Schedule: scheduler.Schedule{TZ: "UTC"}, Owner: "U0BEN"})
	if err != nil {
		t.Fatal(err)
	}
	x.h = &Webhooks{DB: x.db, Duties: x.s, Vault: x.v, Ledger: l, Logger: zerolog.Nop()}
	mux := http.NewServeMux()
	mux.Handle("POST /hooks/{duty}", x.h)
	server := httptest.NewServer(mux)
	x.base = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := x.db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return x
}

func (x *hooks) key(secret string) {
	x.t.Helper()
	_, err := x.v.Add(context.Background(), "cli:ada", vault.Addition{Workspace: "T1", Connection: HookConnection, Name: x.d.ID, Owner: "U0BEN", Justification: "test"}, []byte(secret))
	if err != nil {
		x.t.Fatal(err)
	}
}

func sum(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// signed are the headers of a call at a time.
func (x *hooks) signed(secret, body string, age time.Duration) map[string]string {
	stamp := fmt.Sprint(x.db.Now().Add(-age).Unix())
	return map[string]string{HookTimestamp: stamp, HookSignature: "v1=" + sum(secret, stamp+"."+body)}
}

func (x *hooks) call(duty, body string, headers map[string]string) (int, hookAnswer, http.Header) {
	x.t.Helper()
	req, err := http.NewRequest(http.MethodPost, x.base+"/hooks/"+duty, strings.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		x.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	var a hookAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		x.t.Fatalf("the answer is %q: %v", b, err)
	}
	if strings.Contains(string(b), hookKey) {
		x.t.Errorf("the answer holds the secret: %s", b)
	}
	return resp.StatusCode, a, resp.Header
}

func (x *hooks) runs() []scheduler.Run {
	x.t.Helper()
	all, err := x.s.Runs(context.Background(), x.d.ID, 1000)
	if err != nil {
		x.t.Fatal(err)
	}
	return all
}

func TestHookTakesWhatIsSigned(t *testing.T) {
	t.Parallel()
	const body = `{"build":"red"}`
	for name, c := range map[string]struct {
		duty    string // "" is the right one
		headers func(x *hooks) map[string]string
		body    string
		status  int
	}{
		"a signed call": {"", func(x *hooks) map[string]string { return x.signed(hookKey, body, 0) }, body, 202},
		"GitHub's form": {"", func(*hooks) map[string]string { return map[string]string{hookGitHub: "sha256=" + sum(hookKey, body)} }, body, 202},
		"one of several signatures": {"", func(x *hooks) map[string]string {
			h := x.signed(hookKey, body, 0)
			h[HookSignature] = "v1=" + strings.Repeat("0", 64) + ", " + h[HookSignature]
			return h
		}, body, 202},
		"a clock four minutes off": {"", func(x *hooks) map[string]string { return x.signed(hookKey, body, 4*time.Minute) }, body, 202},
		"no signature":             {"", func(*hooks) map[string]string { return nil }, body, 401},
		"another secret":           {"", func(x *hooks) map[string]string { return x.signed("another", body, 0) }, body, 401},
		"an empty secret":          {"", func(x *hooks) map[string]string { return x.signed("", body, 0) }, body, 401},
		"another body":             {"", func(x *hooks) map[string]string { return x.signed(hookKey, body, 0) }, body + " ", 401},
		"an old call":              {"", func(x *hooks) map[string]string { return x.signed(hookKey, body, 6*time.Minute) }, body, 401},
		"a call from the future":   {"", func(x *hooks) map[string]string { return x.signed(hookKey, body, -6*time.Minute) }, body, 401},
		"a timestamp moved": {"", func(x *hooks) map[string]string {
			h := x.signed(hookKey, body, 10*time.Minute)
			h[HookTimestamp] = fmt.Sprint(x.db.Now().Unix())
			return h
		}, body, 401},
		"a timestamp with a sign": {"", func(x *hooks) map[string]string {
			h := x.signed(hookKey, body, 0)
			h[HookTimestamp] = "+" + h[HookTimestamp]
			return h
		}, body, 401},
		"too many signatures": {"", func(x *hooks) map[string]string {
			h := x.signed(hookKey, body, 0)
			h[HookSignature] = strings.Repeat("v1="+strings.Repeat("0", 64)+",", mostHookSums) + h[HookSignature]
			return h
		}, body, 401},
		"GitHub's form, forged": {"", func(*hooks) map[string]string { return map[string]string{hookGitHub: "sha256=" + sum("another", body)} }, body, 401},
		"our form passed as GitHub's": {"", func(x *hooks) map[string]string {
			h := x.signed(hookKey, body, time.Hour)
			return map[string]string{hookGitHub: "sha256=" + strings.TrimPrefix(h[HookSignature], "v1=")}
		}, "1772442600." + body, 401},
		"an unknown duty": {"d_aaaaaaaaaa", func(x *hooks) map[string]string { return x.signed(hookKey, body, 0) }, body, 404},
		"too long":        {"", func(x *hooks) map[string]string { return x.signed(hookKey, strings.Repeat("x", mostHookBody+1), 0) }, strings.Repeat("x", mostHookBody+1), 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newHooks(t, 0)
			x.key(hookKey)
			duty := c.duty
			if duty == "" {
				duty = x.d.ID
			}
			status, a, _ := x.call(duty, c.body, c.headers(x))
			if status != c.status || (a.Error == "") != (status == 202) {
				t.Errorf("got %d %+v, want %d", status, a, c.status)
			}
			runs := x.runs()
			if status != 202 {
				if len(runs) != 0 {
					t.Errorf("a refused call made %d runs", len(runs))
				}
				return
			}
			if len(runs) != 1 || runs[0].ID != a.Run {
				t.Fatalf("the answer names %q, the runs are %+v", a.Run, runs)
			}
			cause, _, err := scheduler.ReadCause(runs[0].Cause)
			if err != nil || cause.Text != `{"build":"red"}` || cause.Label.Trusted() {
				t.Errorf("the cause is %+v, %v; want the body, untrusted", cause, err)
			}
		})
	}
}

// What was sent once counts once, whichever way and however often it is sent again.
func TestHookKnowsAReplay(t *testing.T) {
	t.Parallel()
	x := newHooks(t, 0)
	x.key(hookKey)
	github := map[string]string{hookGitHub: "sha256=" + sum(hookKey, "{}"), "X-GitHub-Delivery": "1"}
	ours := x.signed(hookKey, "{}", 0)
	for i, h := range []map[string]string{github, github, ours, ours} {
		status, a, _ := x.call(x.d.ID, "{}", h)
		if status != 202 || a.Known != (i%2 == 1) {
			t.Errorf("call %d: %d %+v", i, status, a)
		}
		github["X-GitHub-Delivery"] = "2" // not signed, so it proves nothing
	}
	x.now.Add((4 * time.Minute).Microseconds())
	if _, a, _ := x.call(x.d.ID, "{}", ours); !a.Known {
		t.Error("a replay after four minutes is new")
	}
	if got := len(x.runs()); got != 2 {
		t.Errorf("%d runs, want 2", got)
	}
}

func TestHookRotatesWithOverlap(t *testing.T) {
	t.Parallel()
	x := newHooks(t, 0)
	if status, _, _ := x.call(x.d.ID, "{}", x.signed(hookKey, "{}", 0)); status != 401 {
		t.Errorf("without a secret: %d", status)
	}
	x.key(hookKey)
	if _, err := x.v.Rotate(context.Background(), "cli:ada", "T1", HookConnection+"/"+x.d.ID, []byte("two"), time.Time{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]int{hookKey: 202, "two": 202, "three": 401} {
		if status, _, _ := x.call(x.d.ID, `"`+secret[:1]+`"`, x.signed(secret, `"`+secret[:1]+`"`, 0)); status != want {
			t.Errorf("%s during the overlap: %d, want %d", secret, status, want)
		}
	}
	x.now.Add((time.Hour + time.Second).Microseconds())
	for secret, want := range map[string]int{hookKey: 401, "two": 202} {
		if status, _, _ := x.call(x.d.ID, "[]", x.signed(secret, "[]", 0)); status != want {
			t.Errorf("%s after the overlap: %d, want %d", secret, status, want)
		}
	}
}

func TestHookIsLimitedAndPaused(t *testing.T) {
	t.Parallel()
	x := newHooks(t, 3)
	x.key(hookKey)
	for i := range 5 {
		body := fmt.Sprintf(`{"n":%d}`, i)
		status, _, h := x.call(x.d.ID, body, x.signed(hookKey, body, 0))
		if want := map[bool]int{true: 202, false: 429}[i < 3]; status != want || (status == 429) != (h.Get("Retry-After") != "") {
			t.Errorf("call %d: %d with Retry-After %q, want %d", i, status, h.Get("Retry-After"), want)
		}
	}
	x.now.Add((time.Hour + time.Second).Microseconds())
	if status, _, _ := x.call(x.d.ID, `{"n":4}`, x.signed(hookKey, `{"n":4}`, 0)); status != 202 {
		t.Errorf("a call that was limited and comes again: %d", status)
	}
	if _, err := x.s.Pause(context.Background(), x.d.ID, "U0BEN"); err != nil {
		t.Fatal(err)
	}
	if status, a, _ := x.call(x.d.ID, `{"n":9}`, x.signed(hookKey, `{"n":9}`, 0)); status != 409 || !strings.Contains(a.Error, "paused") {
		t.Errorf("while paused: %d %+v", status, a)
	}
	if _, err := x.s.Delete(context.Background(), x.d.ID, "U0BEN"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := x.call(x.d.ID, `{"n":9}`, x.signed(hookKey, `{"n":9}`, 0)); status != 404 {
		t.Errorf("once deleted: %d", status)
	}
}

// Whoever calls without a key cannot fill the ledger.
func TestRefusedCallsAreRecordedWithinBounds(t *testing.T) {
	t.Parallel()
	x := newHooks(t, 0)
	x.key(hookKey)
	entries := func() (n int) {
		if err := x.db.QueryRow(context.Background(), `SELECT COUNT(*) FROM ledger_entries WHERE leaf LIKE '%webhook.refused%'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 120 {
		if status, _, _ := x.call(x.d.ID, "{}", x.signed("another", "{}", 0)); status != 401 {
			t.Fatalf("got %d", status)
		}
	}
	if got := entries(); got != 3 {
		t.Errorf("%d entries for 120 refused calls, want those of the 1st, 10th and 100th", got)
	}
	x.now.Add(time.Hour.Microseconds())
	x.call(x.d.ID, "{}", nil)
	if got := entries(); got != 4 || x.h.Counts.Refused.Load() != 121 {
		t.Errorf("%d entries and %d counted after the next hour's first, want 4 and 121", got, x.h.Counts.Refused.Load())
	}
}

// FuzzHookClaim: whatever the headers and body are, nothing passes that was not
// signed with the key, and what passes names one request.
func FuzzHookClaim(f *testing.F) {
	at := time.Unix(1772442600, 0)
	f.Add("1772442600", "v1="+sum(hookKey, "1772442600.{}"), "", []byte("{}"))
	f.Add("1772442600", "v1="+strings.Repeat("0", 64)+",v1=zz", "", []byte("{}"))
	f.Add("", "", "sha256="+sum(hookKey, "{}"), []byte("{}"))
	f.Add("", "", "sha256="+sum(hookKey, "1772442600.{}"), []byte("1772442600.{}"))
	f.Add("-1", "v1=", "sha256=", []byte{})
	f.Fuzz(func(t *testing.T, stamp, signature, github string, body []byte) {
		h := http.Header{}
		for k, v := range map[string]string{HookTimestamp: stamp, HookSignature: signature, hookGitHub: github} {
			if v != "" {
				h[http.CanonicalHeaderKey(k)] = []string{v}
			}
		}
		c, err := claimOf(h, body, at)
		if err != nil {
			return
		}
		if len(c.sums) == 0 || len(c.sums) > mostHookSums {
			t.Fatalf("%d signatures", len(c.sums))
		}
		if c.fits([]byte(hookKey), body) {
			want := sum(hookKey, c.signed+string(body))
			if !strings.Contains(strings.ToLower(signature+github), want) {
				t.Fatalf("%q passes without its signature", body)
			}
		}
		if c.fits([]byte{}, body) {
			t.Fatal("an empty secret fits")
		}
		if c.github == (c.signed != "") || c.github && dotted.Match(body) {
			t.Fatalf("the forms are confused: %+v", c)
		}
	})
}
