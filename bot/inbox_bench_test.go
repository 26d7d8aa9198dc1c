package bot

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkAccept measures durable events: each operation is a mention in a
// thread of its own, stored and synced to disk before it counts. Events share
// commits, as the lanes of a Socket have it.
func BenchmarkAccept(b *testing.B) {
	inbox := NewInbox(openStore(b), InboxOptions{})
	var n atomic.Int64
	b.SetParallelism(defaultLanes / 2)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			ts := fmt.Sprintf("%d.%06d", 1700000000+i/1000000, i%1000000)
			e := Event{
				Workspace: "T1", Key: MessageKey("C1", ts), Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: ts, TS: ts,
				User: "U0ADA", UserTeam: "T1", Text: "<@U0BOT> what did we decide about the release?", Mention: true, At: tsTime(ts),
			}
			if _, err := inbox.Accept(context.Background(), e); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkForMe measures the cost of an event that is not for the agent.
func BenchmarkForMe(b *testing.B) {
	inbox := NewInbox(openStore(b), InboxOptions{})
	e := Event{Workspace: "T1", Key: "message:C1:2", Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: "1700000000.000001", TS: "1700000000.000002", User: "U1"}
	for b.Loop() {
		if stored, err := inbox.Accept(context.Background(), e); stored || err != nil {
			b.Fatal(stored, err)
		}
	}
}
