package slacksim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"deskmate/internal/slacksim"
)

// frame is one WebSocket message of Socket Mode.
type frame struct {
	Type       string          `json:"type"`
	EnvelopeID string          `json:"envelope_id"`
	Payload    json.RawMessage `json:"payload"`
	Attempt    int             `json:"retry_attempt"`
	Reason     string          `json:"retry_reason"`
	Disconnect string          `json:"reason"`
	Count      int             `json:"num_connections"`
}

// wire is a bare Socket Mode connection, which acknowledges nothing by itself.
type wire struct {
	*testing.T
	conn *websocket.Conn
}

func dial(t *testing.T, s *slacksim.Server, base string) wire {
	t.Helper()
	open := call(t, base, s.AppToken(), "apps.connections.open")
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), open["url"].(string), http.Header{"Origin": {"https://api.slack.com"}})
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w := wire{t, conn}
	if got := w.read(); got.Type != "hello" {
		t.Fatalf("first message is %q, want hello", got.Type)
	}
	return w
}

// read is the next message; the connection must not be quiet for long.
func (w wire) read() frame {
	w.Helper()
	f, err := w.try(patience)
	if err != nil {
		w.Fatalf("read: %v", err)
	}
	return f
}

func (w wire) try(within time.Duration) (frame, error) {
	var f frame
	if err := w.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return f, err
	}
	err := w.conn.ReadJSON(&f)
	return f, err
}

func (w wire) ack(id, payload string) {
	w.Helper()
	body := `{"envelope_id":"` + id + `"`
	if payload != "" {
		body += `,"payload":` + payload
	}
	if err := w.conn.WriteMessage(websocket.TextMessage, []byte(body+"}")); err != nil {
		w.Fatalf("ack: %v", err)
	}
}

// quick is a workspace that redelivers soon.
func quick(t *testing.T) (*slacksim.Server, string) {
	t.Helper()
	return workspace(t, slacksim.Options{AckTimeout: 60 * time.Millisecond, Redelivery: []time.Duration{0, 10 * time.Millisecond, 10 * time.Millisecond}})
}

func say(t *testing.T, s *slacksim.Server, user, channel, text string) string {
	t.Helper()
	ts, err := s.Say(user, channel, text, "")
	if err != nil {
		t.Fatalf("Say: %v", err)
	}
	return ts
}

func TestUnacknowledgedEventIsRedelivered(t *testing.T) {
	t.Parallel()
	s, base := quick(t)
	w := dial(t, s, base)
	say(t, s, "U0BEN", "C0ENG", "hello")
	first := w.read()
	for attempt := 1; attempt <= 3; attempt++ {
		again := w.read()
		if again.EnvelopeID != first.EnvelopeID || again.Attempt != attempt || again.Reason != "timeout" {
			t.Fatalf("redelivery %d is envelope %s, attempt %d, reason %q; want %s, %d, timeout", attempt, again.EnvelopeID, again.Attempt, again.Reason, first.EnvelopeID, attempt)
		}
	}
	if f, err := w.try(200 * time.Millisecond); err == nil {
		t.Errorf("a fifth delivery came: %+v; want none after three redeliveries", f)
	}
}

func TestAcknowledgedEventIsNotRedelivered(t *testing.T) {
	t.Parallel()
	s, base := quick(t)
	w := dial(t, s, base)
	say(t, s, "U0BEN", "C0ENG", "hello")
	w.ack(w.read().EnvelopeID, "")
	if f, err := w.try(200 * time.Millisecond); err == nil {
		t.Errorf("acknowledged, yet delivered again: %+v", f)
	}
}

func TestLargeAcknowledgementIsIgnored(t *testing.T) {
	t.Parallel()
	s, base := quick(t)
	w := dial(t, s, base)
	say(t, s, "U0BEN", "C0ENG", "hello")
	f := w.read()
	w.ack(f.EnvelopeID, `"`+strings.Repeat("x", 20<<10)+`"`)
	if again := w.read(); again.EnvelopeID != f.EnvelopeID || again.Attempt != 1 {
		t.Errorf("after an acknowledgement of 20 KB came %+v, want the redelivery", again)
	}
}

func TestEachEnvelopeGoesToOneOfTwoSockets(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	a, b := dial(t, s, base), dial(t, s, base)
	const n = 60
	got := make(chan string, 2*n)
	for _, w := range []wire{a, b} {
		go func() {
			for {
				f, err := w.try(patience)
				if err != nil {
					return
				}
				w.ack(f.EnvelopeID, "")
				got <- f.EnvelopeID
			}
		}()
	}
	for range n {
		say(t, s, "U0BEN", "C0ENG", "hello")
	}
	seen := map[string]bool{}
	for range n {
		id := await(t, got, "all envelopes")
		if seen[id] {
			t.Fatalf("envelope %s came twice", id)
		}
		seen[id] = true
	}
}

func TestEventOfABrokenSocketGoesToAnother(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	w := dial(t, s, base)
	say(t, s, "U0BEN", "C0ENG", "hello")
	f := w.read()
	if err := w.conn.Close(); err != nil {
		t.Fatal(err)
	}
	other := dial(t, s, base)
	if again := other.read(); again.EnvelopeID != f.EnvelopeID || again.Attempt != 1 {
		t.Errorf("the next connection got %+v, want envelope %s again", again, f.EnvelopeID)
	}
}

func TestTicketOpensOneConnection(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	url := call(t, base, s.AppToken(), "apps.connections.open")["url"].(string)
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatalf("first use: %v", err)
	}
	defer conn.Close()
	if _, resp, err := websocket.DefaultDialer.Dial(url, nil); err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("second use of a ticket: %v, want status 403", err)
	}
}

func TestEleventhSocketIsTurnedAway(t *testing.T) {
	t.Parallel()
	s, base := workspace(t, slacksim.Options{})
	for range 10 {
		dial(t, s, base)
	}
	url := call(t, base, s.AppToken(), "apps.connections.open")["url"].(string)
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if f := (wire{t, conn}).read(); f.Type != "disconnect" || f.Disconnect != "too_many_websockets" {
		t.Errorf("the eleventh connection got %+v, want disconnect too_many_websockets", f)
	}
}

func TestDisconnectNamesItsReasonAndCloses(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"warning", "refresh_requested", "link_disabled"} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s, base := workspace(t, slacksim.Options{})
			w := dial(t, s, base)
			out := control(t, base, http.MethodPost, "/emulator/faults", `{"kind":"disconnect","reason":"`+reason+`"}`)
			if fired := out["fault"].(map[string]any)["fired"]; fired != 1.0 {
				t.Errorf("fired %v, want 1", fired)
			}
			if f := w.read(); f.Type != "disconnect" || f.Disconnect != reason {
				t.Errorf("got %+v, want disconnect with %s", f, reason)
			}
			if f, err := w.try(patience); err == nil {
				t.Errorf("the connection stayed and brought %+v", f)
			}
		})
	}
}

func TestFaultsOfDelivery(t *testing.T) {
	t.Parallel()
	t.Run("duplicate delivers twice", func(t *testing.T) {
		t.Parallel()
		s, base := workspace(t, slacksim.Options{})
		w := dial(t, s, base)
		control(t, base, http.MethodPost, "/emulator/faults", `{"kind":"duplicate","times":1}`)
		say(t, s, "U0BEN", "C0ENG", "hello")
		if a, b := w.read(), w.read(); a.EnvelopeID != b.EnvelopeID {
			t.Errorf("got %s and %s, want the same envelope twice", a.EnvelopeID, b.EnvelopeID)
		}
	})
	t.Run("drop_ack redelivers", func(t *testing.T) {
		t.Parallel()
		s, base := quick(t)
		w := dial(t, s, base)
		control(t, base, http.MethodPost, "/emulator/faults", `{"kind":"drop_ack","times":1}`)
		say(t, s, "U0BEN", "C0ENG", "hello")
		first := w.read()
		w.ack(first.EnvelopeID, "")
		if again := w.read(); again.EnvelopeID != first.EnvelopeID || again.Attempt != 1 {
			t.Errorf("got %+v, want envelope %s again", again, first.EnvelopeID)
		}
	})
	t.Run("lose delivers nothing", func(t *testing.T) {
		t.Parallel()
		s, base := workspace(t, slacksim.Options{})
		w := dial(t, s, base)
		control(t, base, http.MethodPost, "/emulator/faults", `{"kind":"lose","times":1}`)
		say(t, s, "U0BEN", "C0ENG", "lost")
		kept := say(t, s, "U0BEN", "C0ENG", "kept")
		if f := w.read(); !strings.Contains(string(f.Payload), kept) {
			t.Errorf("got %s, want the second message", f.Payload)
		}
	})
}

func TestInteractionWithoutAnswerFails(t *testing.T) {
	t.Parallel()
	s, base := quick(t)
	out := control(t, base, http.MethodPost, "/emulator/command", `{"user":"U0BEN","channel":"C0ENG","command":"/deskmate"}`)
	if out["ok"] != false || out["error"] != "the app did not answer in time" {
		t.Errorf("a command that nobody takes: %v, want a refusal", out)
	}
	// Nobody waits for it any more: a client that connects now must not get it.
	w := dial(t, s, base)
	if f, err := w.try(100 * time.Millisecond); err == nil {
		t.Errorf("a command was delivered after its person was told that it failed: %+v", f)
	}
}

// BenchmarkDelivery measures events from a post to their acknowledgement over
// one connection: each post is delivered as message and app_mention.
func BenchmarkDelivery(b *testing.B) {
	s, err := slacksim.New(slacksim.Options{RateLimitsOff: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	base, err := s.Start(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.PostForm(base+"/api/apps.connections.open", map[string][]string{"token": {s.AppToken()}})
	if err != nil {
		b.Fatal(err)
	}
	var open struct {
		URL string `json:"url"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&open); err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	conn, _, err := websocket.DefaultDialer.Dial(open.URL, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	done := make(chan error, 1)
	events := 2 * b.N
	b.ResetTimer()
	go func() {
		for n := -1; n < events; n++ { // the first is hello
			var f frame
			if err := conn.ReadJSON(&f); err != nil {
				done <- err
				return
			}
			if f.EnvelopeID == "" {
				continue
			}
			if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"envelope_id":"`+f.EnvelopeID+`"}`)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range b.N {
		if _, err := s.Say("U0BEN", "C0ENG", "<@U0DESKMATE> remember this", ""); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
