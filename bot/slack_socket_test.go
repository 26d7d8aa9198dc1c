package bot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"deskmate/internal/slacksim"
)

// listen runs a Socket into the rig's inbox until the test ends, and waits until
// it is connected.
func (r *rig) listen(o SocketOptions) *Socket {
	r.t.Helper()
	o.APIURL, o.AppToken, o.Self = r.url+"/api/", r.sim.AppToken(), r.selfOf
	if o.Sinks.Event == nil {
		o.Sinks.Event = NewInbox(r.db, InboxOptions{}).Accept
	}
	s := NewSocket(o)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := s.Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(func() { cancel(); run.Wait() })
	within(r.t, time.Minute, "connections to Slack", nil, func() bool { return s.State().Connected == s.State().Wanted })
	return s
}

func TestSocketStoresAMentionOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{
		"as it is":                       "",
		"delivered twice":                `{"kind":"duplicate","times":4}`,
		"with a lost acknowledgement":    `{"kind":"drop_ack","times":2}`,
		"with a connection that renews ": `{"kind":"disconnect","times":1,"reason":"refresh_requested"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, slacksim.Options{AckTimeout: 200 * time.Millisecond, Redelivery: []time.Duration{0, 0, 0}})
			s := r.listen(SocketOptions{})
			if fault != "" {
				r.emulator("faults", fault)
			}
			ts := r.says("U0ADA", "C0GENERAL", r.mention("hello"))
			r.says("U0BEN", "C0GENERAL", "nothing for anybody")
			r.says("U0BEN", "C0GENERAL", "me too", ts)
			within(t, time.Minute, "mention and reply in the inbox", nil, func() bool { return r.count(`SELECT COUNT(*) FROM inbox`) == 2 })
			// app_mention and message of the first, message of the other two.
			within(t, time.Minute, "all deliveries", nil, func() bool {
				c := s.State().Counts
				return c.Stored+c.Known >= 4 && s.State().Connected == 2
			})
			if got := r.count(`SELECT COUNT(*) FROM inbox`); got != 2 {
				t.Errorf("the inbox has %d rows, want 2", got)
			}
			if c := s.State().Counts; c.Stored == 0 || c.Bad != 0 || c.Refused != 0 {
				t.Errorf("counts: got %+v, want some stored, none bad or refused", c)
			}
			var kind string
			if err := r.db.QueryRow(t.Context(), `SELECT json_extract(body, '$.channel_kind') FROM inbox WHERE ts <> $1`, ts).Scan(&kind); err != nil || kind != ChannelPublic {
				t.Errorf("channel kind of the reply: got %q, %v; want public", kind, err)
			}
		})
	}
}

// What could not be stored is not acknowledged, and stored when Slack sends it again.
func TestSocketAcknowledgesOnlyWhatIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t, slacksim.Options{AckTimeout: 200 * time.Millisecond, Redelivery: []time.Duration{0, 0, 0}})
	inbox := NewInbox(r.db, InboxOptions{})
	var full atomic.Bool
	full.Store(true)
	s := r.listen(SocketOptions{Sinks: Sinks{Event: func(ctx context.Context, e Event) (bool, error) {
		if full.Load() {
			return false, errors.New("disk full")
		}
		return inbox.Accept(ctx, e)
	}}})
	r.says("U0ADA", "C0GENERAL", r.mention("hello"))
	within(t, time.Minute, "a refusal", nil, func() bool { return s.State().Counts.Refused > 0 })
	full.Store(false)
	within(t, time.Minute, "the mention in the inbox", nil, func() bool { return r.count(`SELECT COUNT(*) FROM inbox`) == 1 })
}

// What slack-go or we cannot understand is acknowledged as well, else Slack would
// send it again and again.
func TestSocketAcknowledgesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		envelope string
		acked    bool
		want     Counts
	}{
		"an unknown type of envelope": {`{"type":"hologram","envelope_id":"e1","payload":{}}`, true, Counts{Ignored: 1}},
		"a slash command":             {`{"type":"slash_commands","envelope_id":"e1","payload":{"command":"/x"}}`, true, Counts{Bad: 1}},
		"a command nobody takes":      {`{"type":"slash_commands","envelope_id":"e1","payload":{"command":"/x","team_id":"T1","channel_id":"C1","user_id":"U1"}}`, true, Counts{Ignored: 1}},
		"an unknown event":            {`{"type":"events_api","envelope_id":"e1","payload":` + envelope(`{"type":"hologram"}`) + `}`, true, Counts{Ignored: 1}},
		"a malformed event":           {`{"type":"events_api","envelope_id":"e1","payload":` + envelope(`{"type":"message","user":7}`) + `}`, true, Counts{Bad: 1}},
		"an event without channel":    {`{"type":"events_api","envelope_id":"e1","payload":` + envelope(`{"type":"message","user":"U1","ts":"1700000000.000100"}`) + `}`, true, Counts{Bad: 1}},
		"a payload that is no object": {`{"type":"events_api","envelope_id":"e1","payload":"text"}`, true, Counts{Bad: 1}},
		"an unknown block":            {`{"type":"events_api","envelope_id":"e1","payload":` + envelope(`{"type":"message","channel":"C1","user":"U1","ts":"1700000000.000100","text":"<@U0BOT>","blocks":[{"type":"hologram","elements":7}]}`) + `}`, true, Counts{Stored: 1}},
		"an envelope without an id":   {`{"type":"hologram"}`, false, Counts{Bad: 1}},
		"no JSON at all":              {`hologram`, false, Counts{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newRawServer(t, c.envelope)
			s := NewSocket(SocketOptions{APIURL: server.URL, AppToken: "xapp-test", Connections: 1, Self: selfOf, Sinks: Sinks{
				Event: func(context.Context, Event) (bool, error) { return true, nil },
			}})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- s.Run(ctx) }()
			// A second envelope, which is fine, tells that the first is through.
			acks := []string{<-server.acks}
			if c.acked {
				acks = append(acks, <-server.acks)
			}
			if c.acked != slices.Contains(acks, "e1") || !slices.Contains(acks, "last") {
				t.Errorf("acknowledged: %q, want e1: %v, and last", acks, c.acked)
			}
			c.want.Stored++
			within(t, time.Minute, "the counts", nil, func() bool { return s.State().Counts == c.want })
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// rawServer is a Slack that sends one given envelope over Socket Mode, and a
// mention with the id "last" after it.
type rawServer struct {
	*httptest.Server
	acks chan string
}

func newRawServer(t *testing.T, first string) *rawServer {
	t.Helper()
	s := &rawServer{acks: make(chan string, 4)}
	mux := http.NewServeMux()
	mux.HandleFunc("/apps.connections.open", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"ok":true,"url":"ws://%s/socket"}`, r.Host)
	})
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		last := `{"type":"events_api","envelope_id":"last","payload":` + envelope(`{"type":"app_mention","channel":"C1","user":"U1","ts":"1700000009.000100","text":"<@U0BOT>"}`) + `}`
		for _, text := range []string{`{"type":"hello"}`, first, last} {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Error(err)
				return
			}
		}
		for {
			var ack struct {
				ID string `json:"envelope_id"`
			}
			if err := conn.ReadJSON(&ack); err != nil {
				return // the client went
			}
			s.acks <- ack.ID
		}
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestSocketEndsWithATokenThatIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, slacksim.Options{})
	s := NewSocket(SocketOptions{APIURL: r.url + "/api", AppToken: "xapp-wrong", Self: r.selfOf, Sinks: Sinks{Event: NewInbox(r.db, InboxOptions{}).Accept}})
	err := s.Run(t.Context())
	var dead *TokenError
	if !errors.As(err, &dead) || dead.Token != "app token" {
		t.Errorf("got %v, want a *TokenError about the app token", err)
	}
}

func TestSocketReconnectsAndTellsOfTheGap(t *testing.T) {
	t.Parallel()
	r := newRig(t, slacksim.Options{})
	gaps := make(chan time.Time, 16)
	s := r.listen(SocketOptions{Connections: 1, Gap: func(since time.Time) { gaps <- since }})
	if since := <-gaps; !since.IsZero() {
		t.Errorf("the first connection: deaf since %s, want the zero time", since)
	}
	r.emulator("faults", `{"kind":"disconnect","times":1}`)
	r.says("U0ADA", "C0GENERAL", r.mention("hello")) // a delivery gives the fault its chance
	select {
	case since := <-gaps:
		if since.IsZero() {
			t.Error("the gap has no beginning")
		}
	case <-time.After(time.Minute):
		t.Fatal("no gap was told of")
	}
	within(t, time.Minute, "one reconnect", nil, func() bool { return s.State().Reconnects == 1 && s.State().Connected == 1 })
}

func TestCatchup(t *testing.T) {
	t.Parallel()
	r := newRig(t, slacksim.Options{RateLimitsOff: true})
	inbox := NewInbox(r.db, InboxOptions{})
	c := NewCatchup(CatchupOptions{DB: r.db, API: r.api, Self: r.self, Accept: inbox.Accept, Hears: func() bool { return true }, Pace: time.Millisecond})
	if n, err := c.Catch(t.Context()); n != 0 || err != nil {
		t.Fatalf("the first start: got %d, %v; want nothing to catch up", n, err)
	}
	ts := r.says("U0ADA", "C0GENERAL", r.mention("hello"))
	r.says("U0BEN", "C0GENERAL", "and me", ts)
	r.says("U0BEN", "C0GENERAL", "nothing for anybody")
	n, err := c.Catch(t.Context())
	if n != 2 || err != nil {
		t.Errorf("after the gap: got %d, %v; want the mention and the reply", n, err)
	}
	if n, err := c.Catch(t.Context()); n != 0 || err != nil {
		t.Errorf("once more: got %d, %v; want nothing new", n, err)
	}
	r.call("U0ADA", "chat.update", "channel", "C0GENERAL", "ts", ts, "text", r.mention("goodbye"))
	if n, err := c.Catch(t.Context()); n != 1 || err != nil {
		t.Errorf("after an edit: got %d, %v; want the edit", n, err)
	}
	rows, err := inbox.Pending(t.Context(), ThreadKey(r.self.Workspace, "C0GENERAL", ts))
	if err != nil || len(rows) != 2 || rows[0].Event.Text != r.mention("goodbye") {
		t.Errorf("got %+v, %v; want the edited mention and the reply", rows, err)
	}
}
