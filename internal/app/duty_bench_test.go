package app

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/rs/zerolog"

	"deskmate/bot"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/task"
)

// crowdSize is how many duties are in the store of the benchmark, and how many of
// them are due in one minute.
func crowdSize() (all, due int) {
	if testing.Short() {
		return 5_000, 500
	}
	return 100_000, 10_000
}

// crowdSpaces is in how many workspaces they are.
const crowdSpaces = 7

// BenchmarkCrowdOfDuties starts the 10,000 of 100,000 duties that are due in one
// minute (fewer with -short), each as a durable run with its ledger entry and its
// work in the inbox, while people ask things. It reports how long it takes from the
// minute until the last has started, how long acknowledgements take meanwhile, and
// how long they take just before, when nothing is due. The peer is robfig/cron with
// as many entries that each insert a row, with nothing else.
func BenchmarkCrowdOfDuties(b *testing.B) {
	b.Run("deskmate", crowdOfDuties)
	b.Run("peer=robfig-cron+insert", crowdOfCron)
}

func crowdOfDuties(b *testing.B) {
	crowdAll, crowdDue := crowdSize()
	for range b.N {
		b.StopTimer()
		start := time.Date(2026, 3, 2, 8, 59, 0, 0, time.UTC)
		var running atomic.Int64 // since when, in Unix nanoseconds, the clock runs, from the minute on; 0: it stands still
		clock := func() time.Time {
			if since := running.Load(); since != 0 {
				return start.Add(time.Minute + time.Since(time.Unix(0, since)))
			}
			return start
		}
		c, err := LoadConfig(map[string]string{"database_url": "sqlite:" + filepath.Join(b.TempDir(), "deskmate.db")}, func(string) string { return "" }, "")
		if err != nil {
			b.Fatal(err)
		}
		var inbox *bot.Inbox
		var mu sync.Mutex
		started := map[string][]time.Time{} // due times by workspace, as they started
		n, all := 0, make(chan struct{})
		s, err := openStore(context.Background(), c, clock, zerolog.Nop(), func(tx *migrations.Tx, d scheduler.Duty, r scheduler.Run) error {
			tx.AfterCommit(func() {
				mu.Lock()
				defer mu.Unlock()
				started[d.Workspace] = append(started[d.Workspace], r.DueAt)
				if n++; n == crowdDue {
					close(all)
				}
			})
			return inbox.QueueDuty(tx, bot.RunEvent(d, r, tx.Now()))
		})
		if err != nil {
			b.Fatal(err)
		}
		inbox = bot.NewInbox(s.DB, bot.InboxOptions{})
		fillWithDuties(b, s, start, crowdAll, crowdDue)
		if err := s.DB.EmptyLog(context.Background()); err != nil { // the work of the filling, not of what is measured
			b.Fatal(err)
		}
		runner := task.NewRunner(s.DB, task.Options{})
		runner.HandleMany(scheduler.TaskDuty, dutiesAtOnce, s.Duties.HandleMany)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- runner.Run(ctx) }()

		acknowledge(b, inbox, "C1", after(time.Second)) // the disk still works on the filling
		before := acknowledge(b, inbox, "C2", after(time.Second))
		b.StartTimer()
		began := time.Now()
		running.Store(began.UnixNano())
		runner.Look()
		took := acknowledge(b, inbox, "C3", all)
		last := time.Since(began)
		b.StopTimer()
		for workspace, due := range started {
			if !slices.IsSortedFunc(due, time.Time.Compare) {
				b.Errorf("the runs of %s did not start in the order of their due times", workspace)
			}
		}
		b.ReportMetric(last.Seconds(), "s-to-last")
		b.ReportMetric(float64(crowdDue)/last.Seconds(), "runs/s")
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ack-p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ack-p99-ms")
		b.ReportMetric(float64(before[len(before)/2].Microseconds())/1000, "before-p50-ms")
		b.ReportMetric(float64(before[len(before)*99/100].Microseconds())/1000, "before-p99-ms")
		b.ReportMetric(float64(len(took)), "acks")
		b.ReportMetric(0, "ns/op")
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}
}

// fillWithDuties stores the duties. Those of the crowd are due in the minute after
// start, some in each of its seconds, which a cron expression could not say and an
// interval can.
func fillWithDuties(b *testing.B, s *Store, start time.Time, crowdAll, crowdDue int) {
	b.Helper()
	for at := 0; at < crowdAll; at += 5000 {
		err := s.DB.Write(context.Background(), func(tx *migrations.Tx) error {
			for i := at; i < at+5000; i++ {
				due, id, workspace := start.Add(24*time.Hour), fmt.Sprintf("d_%d", i), fmt.Sprintf("T%d", i%crowdSpaces)
				if i < crowdDue {
					due = start.Add(time.Duration(1+i*7919%60) * time.Second)
				}
				if _, err := tx.Exec(`INSERT INTO duties (id, workspace, kind, title, prompt, cron, tz, next_at, channel, channel_kind, owner, created_by, state, catch_up, created_at, updated_at)
					VALUES ($1, $2, 'schedule', 'stand-up', 'post stand-up time', '@every 24h', 'Europe/Berlin', $3, 'C1', 'public', 'U0BEN', 'U0BEN', 'active', 'once', 0, 0)`,
					id, workspace, migrations.Micros(due)); err != nil {
					return err
				}
				if err := task.Wake(tx, task.Waking{Workspace: workspace, Kind: scheduler.TaskDuty, Key: scheduler.TaskDuty + ":" + id, Due: due}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func after(d time.Duration) <-chan struct{} {
	done := make(chan struct{})
	time.AfterFunc(d, func() { close(done) })
	return done
}

// acknowledge accepts a mention in channel every 5 ms until done, and gives how long
// each took to be durable, the shortest first.
func acknowledge(b *testing.B, inbox *bot.Inbox, channel string, done <-chan struct{}) []time.Duration {
	b.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var asking sync.WaitGroup
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-done:
			asking.Wait()
			slices.Sort(took)
			return took
		case <-tick.C:
		}
		asking.Go(func() {
			ts := fmt.Sprintf("1700000000.%06d", i)
			began := time.Now()
			_, err := inbox.Accept(context.Background(), bot.Event{Workspace: "T0", Key: bot.MessageKey(channel, ts), Kind: bot.KindMessage, Channel: channel, ChannelKind: bot.ChannelPublic,
				Thread: ts, TS: ts, User: "U0BEN", Text: "what is due?", Mention: true, At: began})
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
			if err != nil {
				b.Error(err)
			}
		})
	}
}

// at is a schedule of one time.
type at time.Time

func (a at) Next(t time.Time) time.Time {
	if t.Before(time.Time(a)) {
		return time.Time(a)
	}
	return time.Time{}
}

func crowdOfCron(b *testing.B) {
	_, crowdDue := crowdSize()
	for range b.N {
		b.StopTimer()
		pool, err := sql.Open("sqlite3", "file:"+filepath.Join(b.TempDir(), "cron.db")+"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=60000")
		if err != nil {
			b.Fatal(err)
		}
		pool.SetMaxOpenConns(1)
		if _, err := pool.Exec(`CREATE TABLE runs (id TEXT PRIMARY KEY, due_at BIGINT NOT NULL)`); err != nil {
			b.Fatal(err)
		}
		var ran sync.WaitGroup
		ran.Add(crowdDue)
		due := time.Now().Add(2 * time.Second)
		c := cron.New()
		for i := range crowdDue {
			c.Schedule(at(due), cron.FuncJob(func() {
				defer ran.Done()
				if _, err := pool.Exec(`INSERT INTO runs (id, due_at) VALUES ($1, $2)`, fmt.Sprint(i), due.Unix()); err != nil {
					b.Error(err)
				}
			}))
		}
		c.Start()
		b.StartTimer()
		ran.Wait()
		b.StopTimer()
		last := time.Since(due)
		b.ReportMetric(last.Seconds(), "s-to-last")
		b.ReportMetric(float64(crowdDue)/last.Seconds(), "runs/s")
		b.ReportMetric(0, "ns/op")
		<-c.Stop().Done()
		if err := pool.Close(); err != nil {
			b.Error(err)
		}
	}
}
