package monitor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// week writes d days of ordinary use from now on: people ask during the day, a
// turn reads, writes a little, answers, and now and then is refused something.
// Duties run at night as well.
func (o *office) week(d int, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	people := []string{"U0ADA", "U0BEN", "U0CHLOE", "U0GIL"}
	channels := []string{"C0GENERAL", "C0ENG", "C0LEADS"}
	writes := []string{"post", "remember", "duty_create", "react", "dm", "github.comment"}
	start := time.UnixMicro(o.now.Load())
	for i := range d {
		var moments []int // seconds of the day
		for range 60 + r.IntN(60) {
			moments = append(moments, 9*3600+r.IntN(9*3600))
		}
		moments = append(moments, 2*3600, 2*3600+1, 7*3600)
		slices.Sort(moments)
		for n, at := range moments {
			o.now.Store(max(o.now.Load()+1, start.Add(time.Duration(i)*day+time.Duration(at)*time.Second).UnixMicro()))
			who, where := people[r.IntN(len(people))], channels[r.IntN(len(channels))]
			turn := fmt.Sprintf("turn-%d-%d", i, n)
			in := func(tool, class string) func(*Facts) {
				return func(f *Facts) { f.Turn, f.Requester, f.Channel, f.Tool, f.Class = turn, who, where, tool, class }
			}
			var all []ledger.Record
			act := func(f Facts) {
				all = append(all, intent(f), ledger.Record{Workspace: ws, Kind: ledger.KindOutcome, Turn: turn, Tool: f.Tool, Action: f.Action, Outcome: "done",
					Fields: map[string]string{ledger.FieldCost: strconv.Itoa(r.IntN(3000))}})
			}
			manners := func(f *Facts) { f.Manners = true }
			act(o.facts(in("status", "write"), manners))
			twice := o.facts(in("read_thread", "read"))
			act(twice)
			if r.IntN(4) == 0 {
				act(o.facts(in("read_thread", "read"), func(f *Facts) { f.Call = twice.Call }))
			}
			for range r.IntN(5) {
				act(o.facts(in(writes[r.IntN(len(writes))], "write"), func(f *Facts) {
					if f.Tool == "post" {
						f.Target = channels[r.IntN(len(channels))]
					}
					if f.Tool == "github.comment" {
						f.Class, f.Host = "external", "api.github.com"
					}
				}))
			}
			for range max(0, r.IntN(12)-9) {
				all = append(all, denied(o.facts(in(writes[r.IntN(2)], "write")), "members-only"))
			}
			act(o.facts(in("reply", "write"), manners))
			o.record(all...)
		}
	}
	o.now.Store(start.Add(time.Duration(d) * day).UnixMicro())
}

// A fortnight, of which the first week is for learning, fires nothing; live and
// replayed agree; and what is out of the ordinary after it fires.
func TestOrdinaryUseFiresNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			o.week(14, seed)
			c, err := Config{}.Set("budget-cost.threshold=5", "hours.open=mon-sun 00:00-24:00 UTC", "first-seen.threshold=300")
			if err != nil {
				t.Fatal(err)
			}
			m := New(o.db, o.l, c)
			sum, err := m.Replay(context.Background(), ws, c, 0, -1, func(f Finding) { t.Errorf("%s at entry %d: %s", f.Detector, f.Seq, f.Text) })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d entries, %d actions", sum.Entries, sum.Actions)
			if sum.Actions < 3000 || len(sum.Found) != 0 {
				t.Errorf("%+v: want thousands of actions and no finding", sum)
			}
			for want, change := range map[string]func(*Facts){
				"ask first-seen": func(f *Facts) { f.Tool, f.Class, f.Host = "github.comment", "external", "evil.example" },
				"none":           func(f *Facts) { f.Tool, f.Class, f.Host = "github.comment", "external", "api.github.com" },
			} {
				if got := before(t, m, o.facts(change)); got != want {
					t.Errorf("after it: got %q, want %q", got, want)
				}
			}
		})
	}
}

// The same ledger gives the same findings, live and replayed.
func TestReplayEqualsLive(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c, err := Config{}.Set("first-seen.threshold=60", "rate.cap=45", "flood.cap=60", "rate.least=10", "flood.least=20", "budget-cost.threshold=0.4",
		"hours.open=mon-fri 08:00-18:00 UTC", "loop.threshold=2", "denials.threshold=2", "denied-tools.threshold=2")
	if err != nil {
		t.Fatal(err)
	}
	o.record(ledger.Record{Workspace: ws, Kind: "agent.changed", Agent: "U0DESKMATE", Actor: "system"})
	m, raised := o.raising(c)
	o.step(m)
	live := map[string]bool{}
	key := func(f Finding) string { return f.Detector + " " + f.Subject + " " + strconv.FormatInt(m.c.span(f), 10) }
	r := rand.New(rand.NewPCG(7, 7))
	for i := range 600 {
		o.pass(time.Duration(r.IntN(3)) * time.Second)
		switch i {
		case 200, 400:
			o.pass(9 * time.Hour)
		case 300:
			o.record(refused("U0BEN", "self"), refused("U0DESKMATE", "self"), ledger.Record{Workspace: ws, Kind: KindPinMismatch, Tool: "github.merge"})
		case 250, 500:
			o.step(m)
			o.restart()
			had := *raised
			m, raised = o.raising(c)
			*raised = had
		}
		f := o.facts(func(f *Facts) {
			f.Turn, f.Tool = "turn"+strconv.Itoa(i/8), "tool"+strconv.Itoa(min(r.IntN(4)*r.IntN(4), i/30))
			f.Requester = []string{"U0BEN", "U0CHLOE"}[i/8%2]
			f.Target = "C" + strconv.Itoa(r.IntN(2+i/100))
			if r.IntN(4) == 0 {
				f.Class = "read"
			}
			if r.IntN(3) == 0 {
				f.Call = fmt.Sprintf("%032d", i/8)
			}
		})
		no := r.IntN(6) == 0 // policy's, which the monitor is not asked about
		var response Response = None
		var found []Finding
		if !no {
			var err error
			if response, found, err = m.Before(context.Background(), f); err != nil {
				t.Fatal(err)
			}
		}
		for _, x := range found {
			live[key(x)] = true
		}
		e := intent(f)
		switch {
		case response != None && response != Ask:
			e = denied(f, PolicyPrefix+found[0].Detector)
		case no:
			e = denied(f, "members-only")
		}
		e.Fields[ledger.FieldCost] = strconv.Itoa(r.IntN(2000))
		o.write(func(tx *migrations.Tx) error {
			for _, x := range found {
				if _, err := m.Note(tx, x); err != nil {
					return err
				}
			}
			_, err := o.l.Append(tx, e)
			return err
		})
	}
	o.step(m)
	for _, f := range *raised {
		live[key(f)] = true
	}
	size, err := o.l.Tail(context.Background(), ws, -1, 1)
	if err != nil {
		t.Fatal(err)
	}
	replayed, detectors := map[string]bool{}, map[string]bool{}
	sum, err := m.Replay(context.Background(), ws, c, 0, -1, func(f Finding) {
		if replayed[key(f)] {
			t.Errorf("%s is given twice", key(f))
		}
		replayed[key(f)], detectors[f.Detector] = true, true
	})
	if err != nil {
		t.Fatal(err)
	}
	for k := range live {
		if !replayed[k] {
			t.Errorf("only live: %s", k)
		}
	}
	for k := range replayed {
		if !live[k] {
			t.Errorf("only replayed: %s", k)
		}
	}
	// Every detector that a ledger can feed has taken part.
	if len(detectors) < 11 {
		t.Errorf("only %d detectors fired: %v", len(detectors), detectors)
	}
	noted, err := m.Findings(context.Background(), ws, Filter{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	if len(noted) != len(live) {
		t.Errorf("%d findings noted, want %d", len(noted), len(live))
	}
	after, err := o.l.Tail(context.Background(), ws, -1, 1)
	if err != nil || after[0].Seq != size[0].Seq {
		t.Errorf("the replay has written to the ledger: %v, %v", after, err)
	}
	half, err := m.Replay(context.Background(), ws, c, sum.Entries/2, -1, nil)
	if err != nil || half.Entries != sum.Entries-sum.Entries/2 || half.Actions >= sum.Actions {
		t.Errorf("replay of the second half: %+v, %v; all is %+v", half, err, sum)
	}
	none, err := m.Replay(context.Background(), ws, Config{}, 0, 0, nil)
	if err != nil || none.Entries != 0 || len(none.Found) != 0 {
		t.Errorf("replay of nothing: %+v, %v", none, err)
	}
}

// What a judgement costs after a fortnight of use, with two new entries to read.
func BenchmarkBefore(b *testing.B) {
	o := newOffice(b)
	o.week(14, 1)
	m := o.monitor()
	ctx := context.Background()
	f := o.facts()
	b.Run("nothing new", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := m.Before(ctx, f); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("two new entries", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			o.pass(time.Minute)
			x := o.facts(func(f *Facts) { f.Turn = "turn" + strconv.Itoa(o.n/4) })
			o.record(intent(x), ledger.Record{Workspace: ws, Kind: ledger.KindOutcome, Action: x.Action, Outcome: "done"})
			b.StartTimer()
			if _, _, err := m.Before(ctx, x); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkReplay(b *testing.B) {
	o := newOffice(b)
	o.week(14, 1)
	m := o.monitor()
	entries := int64(0)
	for b.Loop() {
		sum, err := m.Replay(context.Background(), ws, Config{}, 0, -1, nil)
		if err != nil {
			b.Fatal(err)
		}
		entries += sum.Entries
	}
	b.ReportMetric(float64(entries)/b.Elapsed().Seconds(), "entries/s")
}
