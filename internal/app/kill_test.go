package app

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
)

// busyDesk has the agent work on so many requests at once, each of which posts
// again and again until somebody stops it.
func busyDesk(t testing.TB, turns int) *desk {
	var n atomic.Int64
	d := newDesk(t, func(modelsim.Request) modelsim.Reply {
		return calls("reply", map[string]string{"text": fmt.Sprintf("effect %d", n.Add(1))})
	}, func(a *App) {
		a.loop.Limits.Steps, a.loop.Limits.Tokens = 1_000_000, 1<<40
	})
	for range turns {
		d.ask(d.ben, "go on and on")
	}
	d.until(fmt.Sprintf(`SELECT COUNT(*) = %d FROM turns WHERE state = 'running'`, turns))
	return d
}

// effects waits until the agent has posted more than n times in all.
func (d *desk) effects(n int) int {
	d.t.Helper()
	d.until(fmt.Sprintf(`SELECT COUNT(*) > %d FROM actions WHERE tool = 'reply' AND state = 'done'`, n))
	return n
}

// killed suspends the agent and says how long after the command the last effect
// came to be on the far side.
func (d *desk) killed(by string) time.Duration {
	d.t.Helper()
	ctx := context.Background()
	began := d.clock.Now()
	if _, err := d.app.Agents.Suspend(ctx, d.app.Self.Workspace, by, "a test of the kill switch"); err != nil {
		d.t.Fatal(err)
	}
	// Nothing is under way, and no worker holds a thread or an outbox.
	d.until(`SELECT (SELECT COUNT(*) FROM actions WHERE state = 'intended') + (SELECT COUNT(*) FROM tasks WHERE lease_owner <> '' AND kind IN ('thread', 'outbox')) = 0`)
	last := began
	for _, m := range d.view.All() {
		if at := tsTime(m); m.User == agent && at.After(last) {
			last = at
		}
	}
	return last.Sub(began)
}

func tsTime(m slacksim.Seen) time.Time {
	sec, err := strconv.ParseFloat(m.TS, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(int64(sec * 1e6))
}

// With fifty turns at work, a suspension ends all effects within a second, and
// nothing follows while it holds; then the work goes on.
func TestASuspensionEndsAllEffectsWithinASecond(t *testing.T) {
	t.Parallel()
	d := busyDesk(t, 50)
	d.effects(100)
	if late := d.killed(ada); late > time.Second {
		t.Errorf("the last effect came %v after the command, want within a second", late)
	}
	count := func() (n int) {
		for _, m := range d.view.All() {
			if m.User == agent {
				n++
			}
		}
		return n
	}
	before := count()
	// A request that comes now is heard, and waits.
	thread := d.ask(d.ada, "are you there?")
	d.until(`SELECT COUNT(*) = 51 FROM inbox WHERE kind = 'message'`)
	d.app.Look()
	d.until(`SELECT COUNT(*) = 0 FROM tasks WHERE lease_owner <> '' AND kind = 'thread'`)
	if after := count(); after != before {
		t.Errorf("%d effects while the agent was suspended", after-before)
	}
	if _, err := d.app.Agents.Resume(context.Background(), d.app.Self.Workspace, ada, "looked at it"); err != nil {
		t.Fatal(err)
	}
	d.answer(thread, "effect")
	if report, err := d.app.Ledger.Verify(context.Background(), d.app.Self.Workspace); err != nil || !report.OK() {
		t.Errorf("the ledger does not verify: %v %v", err, report.Problems)
	}
}

// BenchmarkKill reports how long after the command effects still came to be, with
// fifty turns that post without end.
func BenchmarkKill(b *testing.B) {
	d := busyDesk(b, 50)
	var late []time.Duration
	done := 0
	for range max(b.N, 20) {
		if err := d.app.DB.QueryRow(context.Background(), `SELECT COUNT(*) FROM actions WHERE tool = 'reply' AND state = 'done'`).Scan(&done); err != nil {
			b.Fatal(err)
		}
		d.effects(done + 50)
		late = append(late, d.killed(ada))
		if _, err := d.app.Agents.Resume(context.Background(), d.app.Self.Workspace, ada, "a test of the kill switch"); err != nil {
			b.Fatal(err)
		}
		d.app.Look()
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(late[min(len(late)-1, len(late)*99/100)].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}
