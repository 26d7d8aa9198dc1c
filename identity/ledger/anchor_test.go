package ledger

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// witness is a place that keeps checkpoints, and that can be down or slow.
type witness struct {
	*httptest.Server
	mu    sync.Mutex
	down  bool
	slow  chan struct{} // requests wait until it is closed; nil: they do not
	kept  []string
	asked chan struct{} // gets one for each request, as far as there is room
}

func newWitness(t *testing.T) *witness {
	w := &witness{asked: make(chan struct{}, 1000)}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (w *witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	down, slow := w.down, w.slow
	w.mu.Unlock()
	b, err := io.ReadAll(r.Body)
	if err == nil && slow != nil {
		w.asked <- struct{}{}
		<-slow
	}
	if err != nil || down || r.Header.Get("Authorization") != "Bearer t" {
		http.Error(out, "no", http.StatusServiceUnavailable)
	} else {
		w.mu.Lock()
		w.kept = append(w.kept, string(b))
		w.mu.Unlock()
	}
	select {
	case w.asked <- struct{}{}:
	default:
	}
}

func (w *witness) set(down bool, slow chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down, w.slow = down, slow
}

// checkpoints are those that it keeps, which must all be ours.
func (w *witness) checkpoints(t *testing.T, l *Ledger) []Checkpoint {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	all, err := ParseAnchors(strings.Join(w.kept, "\n"), l.keys.verifier)
	if err != nil || len(all) != len(w.kept) {
		t.Fatalf("what was kept: %q, %v", w.kept, err)
	}
	return all
}

func within[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatalf("%s: not within 20 s", what)
	}
}

// A sink that is down gets what it missed when it is back, also after a restart;
// one that is up gets each checkpoint once.
func TestAnHTTPSinkGetsTheNewestCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.set(true, nil)
	l := grownLedger(t, 5)
	hourly := Sink{Name: "hourly", Every: time.Hour, Put: func(context.Context, Checkpoint) error { return nil }}
	l.o.Sinks = []Sink{HTTPSink(w.URL, "t", w.Client()), hourly}
	var log bytes.Buffer
	l.o.Logger = zerolog.New(&log)
	ctx := context.Background()
	for range 3 {
		if l.anchor(ctx, l.o.Sinks[0]) || !l.anchor(ctx, hourly) {
			t.Fatal("the one that is down took it, or the other did not")
		}
	}
	all, err := l.Anchors(ctx)
	if err != nil || len(all) != 2 || all[1].Error == "" || all[1].FailedAt.IsZero() || all[1].Size != 0 || all[0].Size != 5 {
		t.Fatalf("while it is down: %+v, %v", all, err)
	}
	if n := strings.Count(log.String(), "not anchored"); n != 1 {
		t.Errorf("the failure was logged %d times, want once:\n%s", n, &log)
	}
	w.set(false, nil)
	again := New(l.db, l.keys, l.o) // after a restart
	for range 3 {
		if !again.anchor(ctx, l.o.Sinks[0]) {
			t.Fatal("it is back and was not given it")
		}
	}
	if all, err = again.Anchors(ctx); err != nil || all[1].Error != "" || !all[1].FailedAt.IsZero() || all[1].Size != 5 {
		t.Fatalf("when it is back: %+v, %v", all, err)
	}
	if n := strings.Count(log.String(), "anchored again"); n != 1 {
		t.Errorf("that it is back was logged %d times, want once:\n%s", n, &log)
	}
	kept := w.checkpoints(t, l)
	if len(kept) != 1 || kept[0].Size != 5 {
		t.Fatalf("it keeps %+v, want the one checkpoint", kept)
	}
	if r := mustVerify(t, l, kept...); !r.OK() {
		t.Errorf("Verify with what it keeps: %v", r.Problems)
	}
	// The hourly one has had its share.
	fill(t, l.db, l, 1)
	if _, err := l.Checkpoint(ctx, ws); err != nil {
		t.Fatal(err)
	}
	l.anchor(ctx, hourly)
	if all, err = l.Anchors(ctx); err != nil || all[0].Size != 5 {
		t.Errorf("within the hour: %+v, %v; want that it waits", all, err)
	}
}

// A sink that does not answer holds up neither entries nor checkpoints nor other
// sinks, and gets the newest when it answers again.
func TestASlowSinkHoldsUpNothing(t *testing.T) {
	t.Parallel()
	slow, quick := newWitness(t), newWitness(t)
	release := make(chan struct{})
	slow.set(false, release)
	var once sync.Once
	defer once.Do(func() { close(release) })
	db := openStore(t)
	named := HTTPSink(quick.URL, "t", quick.Client())
	named.Name = "other"
	l := New(db, keysOf(t, 'k'), Options{Every: time.Millisecond, Retry: time.Millisecond, Sinks: []Sink{HTTPSink(slow.URL, "t", slow.Client()), named}})
	signed, stop := db.Listen(TopicCheckpoint)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran := make(chan error, 1)
	fill(t, db, l, 1)
	go func() { ran <- l.Run(ctx) }()
	within(t, "first checkpoint", signed)
	within(t, "the slow sink is asked", slow.asked)
	for range 5 {
		fill(t, db, l, 1)
		within(t, "a checkpoint beside a slow sink", signed)
		within(t, "the other sink is asked", quick.asked)
	}
	if n := len(slow.checkpoints(t, l)); n != 0 {
		t.Fatalf("the slow one has %d before it answered", n)
	}
	slow.set(false, nil)
	once.Do(func() { close(release) })
	cancel() // the last checkpoint reaches both
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]*witness{"slow": slow, "quick": quick} {
		kept := w.checkpoints(t, l)
		if len(kept) == 0 || kept[len(kept)-1].Size != 6 {
			t.Errorf("the %s one ends with %+v, want the newest, of 6 entries", name, kept)
		} else if r := mustVerify(t, l, kept...); !r.OK() {
			t.Errorf("Verify with what the %s one keeps: %v", name, r.Problems)
		}
	}
}

// A sink that fails is asked again by itself, without new entries.
func TestASinkThatComesBackIsFed(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	w.set(true, nil)
	l := grownLedger(t, 3)
	l = New(l.db, l.keys, Options{Every: time.Hour, Retry: time.Millisecond, Sinks: []Sink{HTTPSink(w.URL, "t", w.Client())}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	for range 4 {
		within(t, "it is asked again", w.asked)
	}
	w.set(false, nil)
	for len(w.checkpoints(t, l)) == 0 {
		within(t, "it is asked when it is back", w.asked)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	// Its answer may have met our end: then it gets the same again, and no other.
	for _, c := range w.checkpoints(t, l) {
		if c.Size != 3 {
			t.Errorf("it keeps %+v, want the checkpoint of 3 entries", c)
		}
	}
	if all, err := l.Anchors(context.Background()); err != nil || len(all) != 1 || all[0].Size != 3 || all[0].Error != "" {
		t.Errorf("Anchors = %+v, %v", all, err)
	}
}

// An address may hold a secret: what is kept and logged of a failure does not
// name it.
func TestAFailureDoesNotTellTheAddress(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	away := w.URL
	w.Close()
	for name, s := range map[string]Sink{
		"nobody there": HTTPSink(away+"/hidden?key=hidden", "t", http.DefaultClient),
		"no address":   HTTPSink("http://\x7f/hidden", "t", http.DefaultClient),
		"a redirect": HTTPSink(func() string {
			r := httptest.NewServer(http.RedirectHandler("/hidden", http.StatusFound))
			t.Cleanup(r.Close)
			return r.URL + "/hidden"
		}(), "t", &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects") }}),
	} {
		if err := s.Put(context.Background(), Checkpoint{Note: "x"}); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: Put = %v, want an error without the address", name, err)
		}
	}
}
