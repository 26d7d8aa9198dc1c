package bot

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// BenchmarkAck measures how long Slack waits for an acknowledgement while 500
// mentions a second come over two connections: parse, store, sync to disk, ack.
func BenchmarkAck(b *testing.B) {
	const rate = 500
	var mu sync.Mutex
	sent, waits := map[string]time.Time{}, []time.Duration{}
	mux := http.NewServeMux()
	mux.HandleFunc("/apps.connections.open", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"ok":true,"url":"ws://%s/socket"}`, r.Host)
	})
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conns := make(chan *websocket.Conn, 2)
	done := make(chan struct{})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"hello"}`)); err != nil {
			b.Error(err)
			return
		}
		conns <- conn
		for {
			var ack struct {
				ID string `json:"envelope_id"`
			}
			if err := conn.ReadJSON(&ack); err != nil {
				return // the client went
			}
			mu.Lock()
			waits = append(waits, time.Since(sent[ack.ID]))
			all := len(waits) == b.N
			mu.Unlock()
			if all {
				close(done)
			}
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	inbox := NewInbox(openStore(b), InboxOptions{})
	s := NewSocket(SocketOptions{APIURL: server.URL, AppToken: "xapp-bench", Self: selfOf, Sinks: Sinks{Event: inbox.Accept}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	two := []*websocket.Conn{<-conns, <-conns}

	b.ResetTimer()
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for i := range b.N {
		<-tick.C
		id := fmt.Sprint("e", i)
		text := fmt.Sprintf(`{"type":"events_api","envelope_id":%q,"payload":%s}`, id,
			envelope(fmt.Sprintf(`{"type":"message","channel":"C1","channel_type":"channel","user":"U0ADA","ts":"%d.%06d","text":"<@U0BOT> what did we decide?"}`, 1700000000+i/1000, i%1000)))
		mu.Lock()
		sent[id] = time.Now()
		mu.Unlock()
		if err := two[i%2].WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.StopTimer()
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
}
