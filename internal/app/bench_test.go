package app

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"

	"deskmate/internal/slacksim"
)

// BenchmarkFirstCall measures what the product adds between a mention and its
// first call to Slack (the status), with a model that answers at once: durable
// intake, acknowledgement, claim, turn, gate. The peer is a bare Slack client that
// calls back from its event handler, with nothing stored.
func BenchmarkFirstCall(b *testing.B) {
	b.Run("deskmate", firstCall)
	b.Run("peer=bare-client", firstCallOfBareClient)
}

func firstCall(b *testing.B) {
	sim, err := slacksim.New(slacksim.Options{RateLimitsOff: true})
	if err != nil {
		b.Fatal(err)
	}
	server, calls := timed(sim)
	defer server.Close()
	dir := b.TempDir()
	c, err := LoadConfig(map[string]string{
		"slack_bot_token": sim.BotToken(), "slack_app_token": sim.AppToken(), "slack_api_url": server.URL + "/api/", "post_every": "0s",
		"database_url": "sqlite:" + filepath.Join(dir, "deskmate.db"), "addr": "off",
	}, func(string) string { return "" }, "")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := New(ctx, c, Options{Logger: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() {
		cancel()
		<-ended
		if err := a.Close(); err != nil {
			b.Error(err)
		}
	}()
	for len(a.Ready(ctx)) > 0 {
		wait := time.NewTimer(time.Millisecond)
		<-wait.C
	}
	measure(b, sim, calls)
}

// call is one of the agent's calls: a status, or a post.
type call struct {
	at   time.Time
	post bool
}

// timed serves sim and tells when it was called for a status or a post.
func timed(sim *slacksim.Server) (*httptest.Server, chan call) {
	calls := make(chan call, 1024)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/assistant.threads.setStatus" || r.URL.Path == "/api/chat.postMessage" {
			calls <- call{time.Now(), r.URL.Path == "/api/chat.postMessage"}
		}
		sim.ServeHTTP(w, r)
	})), calls
}

// measure mentions the agent again and again, each time after its answer to the
// time before.
func measure(b *testing.B, sim *slacksim.Server, calls <-chan call) {
	b.Helper()
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := sim.Say(ben, eng, toAgent+"who are you?", ""); err != nil {
			b.Fatal(err)
		}
		first := <-calls
		took = append(took, first.at.Sub(began))
		for c := first; !c.post; { // until the answer, which may overtake the status
			c = <-calls
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// firstCallOfBareClient makes the same two calls from slack-go's event handler and
// keeps nothing.
func firstCallOfBareClient(b *testing.B) {
	sim, err := slacksim.New(slacksim.Options{RateLimitsOff: true})
	if err != nil {
		b.Fatal(err)
	}
	server, calls := timed(sim)
	defer server.Close()
	api := slack.New(sim.BotToken(), slack.OptionAppLevelToken(sim.AppToken()), slack.OptionAPIURL(server.URL+"/api/"))
	client := socketmode.New(api)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- client.RunContext(ctx) }()
	defer func() {
		cancel()
		<-ended
	}()
	check := func(err error) {
		if err != nil && ctx.Err() == nil { // the last answer may be cut off by the end
			b.Error(err)
		}
	}
	hello := make(chan struct{})
	go func() {
		for e := range client.Events {
			switch e.Type {
			case socketmode.EventTypeHello:
				close(hello)
			case socketmode.EventTypeEventsAPI:
				check(client.Ack(*e.Request))
				inner, ok := e.Data.(slackevents.EventsAPIEvent).InnerEvent.Data.(*slackevents.AppMentionEvent)
				if !ok {
					continue
				}
				check(api.SetAssistantThreadsStatusContext(ctx, slack.AssistantThreadsSetStatusParameters{ChannelID: inner.Channel, ThreadTS: inner.TimeStamp, Status: "is working on it…"}))
				_, _, err := api.PostMessageContext(ctx, inner.Channel, slack.MsgOptionText("me", false), slack.MsgOptionTS(inner.TimeStamp))
				check(err)
			}
		}
	}()
	<-hello
	measure(b, sim, calls)
}

// BenchmarkStart measures the built binary: from exec to connected and ready, and
// its resident memory when idle. The peer is the same binary printing its
// version.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	binary := filepath.Join(dir, "deskmate")
	if out, err := exec.Command("go", "build", "-tags", "sqlite_fts5", "-o", binary, "deskmate").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	b.Run("ready", func(b *testing.B) {
		sim, err := slacksim.New(slacksim.Options{RateLimitsOff: true})
		if err != nil {
			b.Fatal(err)
		}
		base, err := sim.Start(context.Background(), "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer sim.Close()
		var took []time.Duration
		var resident float64
		for b.Loop() {
			began := time.Now()
			cmd := exec.Command(binary, "serve")
			out, err := cmd.StderrPipe()
			if err != nil {
				b.Fatal(err)
			}
			cmd.Env = []string{"SLACK_BOT_TOKEN=" + sim.BotToken(), "SLACK_APP_TOKEN=" + sim.AppToken(), "SLACK_API_URL=" + base + "/api",
				"DESKMATE_DATABASE_URL=sqlite:" + filepath.Join(dir, "deskmate.db"), "DESKMATE_ADDR=off"}
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			waitForLog(b, out, "connected to Slack")
			took = append(took, time.Since(began))
			resident = residentMB(b, cmd.Process.Pid)
			if err := cmd.Process.Kill(); err != nil {
				b.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
		b.ReportMetric(resident, "resident-MB")
	})
	b.Run("peer=print-version", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command(binary, "version").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func waitForLog(b *testing.B, r interface{ Read([]byte) (int, error) }, want string) {
	b.Helper()
	var seen strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(seen.String(), want) {
		n, err := r.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			b.Fatalf("it ended before it logged %q: %v\n%s", want, err, seen.String())
		}
	}
}

func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		if os.Getenv("CI") == "true" {
			b.Fatalf("resident memory cannot be read: %v", err)
		}
		b.Skipf("resident memory is read from /proc: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}
