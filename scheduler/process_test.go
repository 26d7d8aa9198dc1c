package scheduler

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// childEnv makes the test binary a server of duties: the values are the store, the
// name it works under, its time in Unix microseconds, and what happens to it at the
// n-th pass of a named point.
const childEnv = "DESKMATE_TEST_DUTIES"

func TestMain(m *testing.M) {
	if v := os.Getenv(childEnv); v != "" {
		if err := serveDuties(strings.Split(v, "|")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Points of advance → run → report at which a child can die; at pointBegun it can
// also be held up, with the lease and before it writes.
const (
	pointAdvanced = "duty:advanced"
	pointFired    = "run:fired"
	pointBegun    = "work:begun"
	pointSaid     = "work:said"
	pointEnded    = "run:ended"

	taskWork = "work" // stands for the turn of a run
)

// serveDuties works the duties of a store and their runs until stdin ends. Lines of
// stdin: "set MICROS" sets its clock, "go" lets a handler that is held up go on.
// Lines of stdout: "ready", "held", "gone on".
func serveDuties(args []string) error {
	path, owner, fate, point := args[0], args[1], args[3], args[4]
	var clock, passes atomic.Int64
	for i, to := range map[int]*atomic.Int64{2: &clock, 5: &passes} {
		n, err := strconv.ParseInt(args[i], 10, 64)
		if err != nil {
			return err
		}
		to.Store(n)
	}
	db, err := migrations.Open(context.Background(), "sqlite:"+path, migrations.Options{Clock: func() time.Time { return migrations.Time(clock.Load()) }})
	if err != nil {
		return err
	}
	keys, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		return err
	}
	goOn := make(chan struct{})
	at := func(p string) (held bool) {
		if p != point || passes.Add(-1) != 0 {
			return false
		}
		if fate == "die" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		fmt.Println("held")
		<-goOn
		return true
	}
	s := New(db, ledger.New(db, keys, ledger.Options{}), func(tx *migrations.Tx, d Duty, r Run) error {
		return task.Wake(tx, task.Waking{Workspace: d.Workspace, Kind: taskWork, Key: taskWork + ":" + r.ID})
	})
	s.Crash = func(p string) { at(p) }
	r := task.NewRunner(db, task.Options{Owner: owner, Poll: 10 * time.Millisecond, LeaseFor: 300 * time.Millisecond,
		Backoff: func(int64) time.Duration { return 5 * time.Millisecond }})
	r.HandleMany(TaskDuty, 64, s.HandleMany)
	r.Handle(taskWork, 4, func(ctx context.Context, l *task.Lease) (task.Result, error) {
		id := strings.TrimPrefix(l.Key, taskWork+":")
		var state string
		if err := db.QueryRow(ctx, `SELECT state FROM runs WHERE id = $1`, id).Scan(&state); err != nil || state != RunDue {
			return task.Result{}, err // reported before its process died
		}
		if at(pointBegun) {
			defer fmt.Println("gone on")
		}
		// Not of ctx: who is held up as long as a machine sleeps has not heard that it
		// was overtaken.
		err := db.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
			if err := l.Guard(tx); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO said (run, note) SELECT id, note FROM runs WHERE id = $1`, id); err != nil {
				return err
			}
			at(pointSaid)
			_, err := s.Ended(tx, Ending{Run: id, Turn: "t_" + id, State: RunDone})
			return err
		})
		if err == nil {
			at(pointEnded)
		}
		return task.Result{}, err
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "go" {
			close(goOn)
			continue
		}
		n, err := strconv.ParseInt(strings.TrimPrefix(lines.Text(), "set "), 10, 64)
		if err != nil {
			return err
		}
		clock.Store(n)
		r.Look()
	}
	cancel()
	return errors.Join(<-ended, db.Close())
}

// child is a process of serveDuties, started again under its name whenever it dies.
type child struct {
	name   string
	now    time.Time
	cmd    *exec.Cmd
	in     io.WriteCloser
	said   chan string // lines of its stdout, closed at its end
	stderr bytes.Buffer
	held   bool
	byHand bool // the parent has killed it
}

// pair are two processes on one store.
type pair struct {
	*world
	random *rand.Rand
	both   [2]*child
	calm   bool      // nothing happens to those that are started from here on
	last   time.Time // the latest that a clock has shown
	starts int

	died map[string]int // how often at each point, "" at random
	held int
}

// fates are what can happen to a child, one after the other.
var fates = []struct{ fate, point string }{
	{"die", pointAdvanced}, {"hold", pointBegun}, {"die", pointFired}, {"die", pointSaid}, {"hold", pointBegun}, {"die", pointBegun}, {"die", pointEnded},
}

// lacks says what has not happened yet, "" if everything has.
func (p *pair) lacks() string {
	for _, point := range []string{"", pointAdvanced, pointFired, pointBegun, pointSaid, pointEnded} {
		if p.died[point] == 0 {
			return fmt.Sprintf("no process died at %q", point)
		}
	}
	if p.held == 0 {
		return "no process was overtaken"
	}
	return ""
}

func (p *pair) start(c *child) {
	p.t.Helper()
	fate := fates[p.starts%len(fates)]
	if p.starts++; p.calm {
		fate.fate, fate.point = "none", ""
	}
	*c = child{name: c.name, now: c.now, said: make(chan string, 100)}
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{p.file, c.name, fmt.Sprint(migrations.Micros(c.now)), fate.fate, fate.point, fmt.Sprint(1 + p.random.IntN(3))}, "|"))
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(c.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.said <- lines.Text()
		}
	}()
	p.hear(c, "ready", fate.point)
}

// hear takes what a child says until it says the word; it may die of its fate before.
func (p *pair) hear(c *child, word, point string) {
	p.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		select {
		case line, alive := <-c.said:
			if line == word {
				return
			}
			if !alive {
				p.bury(c)
				return
			}
			if line == "held" {
				c.held = true
			}
		case <-deadline.C:
			p.t.Fatalf("the process %s did not say %q; fate at %q", c.name, word, point)
		}
	}
}

// bury takes note of the death of a child, which nothing but SIGKILL may cause, and
// starts it again.
func (p *pair) bury(c *child) {
	p.t.Helper()
	err := c.cmd.Wait()
	if state, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || state.Signal() != syscall.SIGKILL {
		p.t.Fatalf("the process %s ended with %v: %s", c.name, err, &c.stderr)
	}
	where := ""
	if !c.byHand {
		where = strings.Split(c.env(), "|")[4]
	}
	p.died[where]++
	p.start(c)
}

func (c *child) env() string { return c.cmd.Env[len(c.cmd.Env)-1] }

// tell writes a line to a child; one that is dead is found to be when it is looked at.
func (c *child) tell(line string) { _, _ = io.WriteString(c.in, line+"\n") }

func (p *pair) set(c *child, now time.Time) {
	c.now, p.last = now, latest(p.last, now)
	c.tell(fmt.Sprint("set ", migrations.Micros(now)))
}

// settle waits until nothing is at work or due by the later of the two clocks. Dead
// processes start again; when one is held up, the other's clock runs ahead of its
// leases, so that it is overtaken before it goes on.
func (p *pair) settle() {
	p.t.Helper()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		for i, c := range p.both {
			select {
			case line, alive := <-c.said:
				if !alive {
					p.bury(c)
				} else if line == "held" {
					c.held = true
				}
			default:
			}
			if other := p.both[1-i]; c.held && !other.held && !other.now.After(c.now) {
				p.set(other, c.now.Add(time.Hour))
			}
		}
		var open int
		if err := p.db.QueryRow(context.Background(), `SELECT COUNT(*) FROM tasks WHERE lease_owner <> '' OR due_at <= $1`,
			migrations.Micros(latest(p.both[0].now, p.both[1].now))).Scan(&open); err != nil {
			p.t.Fatal(err)
		}
		if p.both[0].held && p.both[1].held { // each waits for the other
			p.letGo(p.both[0])
		}
		if open == 0 {
			for _, c := range p.both {
				if c.held {
					p.letGo(c)
				}
			}
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			p.t.Fatalf("%d tasks are still open", open)
		}
	}
}

// letGo has a held up child go on, and waits until it has tried to write.
func (p *pair) letGo(c *child) {
	p.t.Helper()
	c.tell("go")
	p.hear(c, "gone on", pointBegun)
	c.held = false
	p.held++
}

// Two processes on one store, each with a clock of its own that jumps by an hour or
// three days either way, alone or with the other's, are killed at random and at each
// point of advance → run → report, and held up until they are overtaken. Each due
// time has exactly one run and one report, or is counted in the one that stands for
// it by the duty's policy, and is told.
func TestTwoProcessesThatDieAndJump(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 22, 6, 10, 0, 0, time.UTC) // the clocks change a week later
	w := newWorld(t)
	w.set(from)
	p := &pair{world: w, random: rand.New(rand.NewPCG(7, 11)), both: [2]*child{{name: "one", now: from}, {name: "two", now: from}}, died: map[string]int{}}
	w.write(func(tx *migrations.Tx) error {
		_, err := tx.Exec(`CREATE TABLE said (run TEXT NOT NULL, note TEXT NOT NULL)`)
		return err
	})
	type promise struct {
		schedule Schedule
		catchUp  string
	}
	promises := map[string]promise{}
	for _, cron := range []string{"0 * * * *", "30 2 * * *"} {
		for _, catchUp := range []string{CatchUpSkip, CatchUpOnce, CatchUpAll} {
			schedule := Schedule{Cron: cron, TZ: "Europe/Berlin"}
			d, err := w.s.Create(context.Background(), NewDuty{Workspace: "T1", Channel: "C1", ChannelKind: "public", Prompt: "x", Schedule: schedule, Owner: "U0BEN", CatchUp: catchUp})
			if err != nil {
				t.Fatal(err)
			}
			promises[d.ID] = promise{schedule, catchUp}
		}
	}
	t.Cleanup(func() {
		for _, c := range p.both {
			if c.cmd != nil && c.cmd.ProcessState == nil {
				_ = c.cmd.Process.Kill()
				_ = c.cmd.Wait()
			}
		}
	})
	for _, c := range p.both {
		p.start(c)
	}
	at := from
	for step := 0; step < 36 || step < 100 && p.lacks() != ""; step++ {
		at = at.Add(time.Duration(p.random.IntN(16*60)) * time.Minute)
		for _, c := range p.both {
			p.set(c, at)
		}
		if step%4 == 1 {
			c := p.both[p.random.IntN(2)]
			c.byHand = true
			_ = c.cmd.Process.Kill()
		}
		p.settle()
		jump := []time.Duration{time.Hour, -time.Hour, 3 * day, -3 * day}[step%4]
		which := p.random.IntN(3) // 2: both
		for i, c := range p.both {
			if which == 2 || which == i {
				p.set(c, at.Add(jump))
			}
		}
		p.settle()
	}
	p.calm = true
	end := at.Add(4 * day)
	for range 2 { // one that dies of its fate meanwhile starts without one, and one that is held up has the other's clock run past the end
		for _, c := range p.both {
			p.set(c, end)
		}
		p.settle()
	}
	for _, c := range p.both {
		if err := c.in.Close(); err != nil {
			t.Error(err)
		}
	}

	type history struct {
		due                   []time.Time
		times, merged, missed int64 // due times in all, those that a run stands for, those skipped
		untold, toldSkipped   int64
	}
	all := map[string]*history{}
	rows, err := w.db.Query(context.Background(), `SELECT r.duty, r.due_at, r.missed, r.state, r.untold, (SELECT COUNT(*) FROM said WHERE run = r.id), COALESCE((SELECT note FROM said WHERE run = r.id), '')
		FROM runs r ORDER BY r.due_at`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, state, note string
		var due, missed, untold, said int64
		if err := rows.Scan(&id, &due, &missed, &state, &untold, &said, &note); err != nil {
			t.Fatal(err)
		}
		h := all[id]
		if h == nil {
			h = &history{}
			all[id] = h
		}
		h.due, h.times, h.untold = append(h.due, migrations.Time(due)), h.times+1+missed, h.untold+untold
		switch {
		case state == RunDone && said == 1:
			h.merged += missed
			if !strings.Contains(note, standsFor(missed)) {
				t.Errorf("a run that stands for %d earlier times says %q", missed, note)
			}
			for n := int64(1); n < 1000; n++ {
				if strings.HasSuffix(" "+note, " "+skippedNote(n)) {
					h.toldSkipped += n
				}
			}
		case state == RunSkipped && said == 0:
			h.missed += 1 + missed
		default:
			t.Errorf("the run of %v is %s and was reported %d times", migrations.Time(due), state, said)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for id, promise := range promises {
		h := all[id]
		want := wallWalk([]Schedule{promise.schedule}, loc, from, p.last.Add(time.Minute))[0]
		name := promise.schedule.Cron + ", " + promise.catchUp
		if h == nil || h.times != int64(len(want)) {
			t.Errorf("%s: the history is %+v, want %d due times in it", name, h, len(want))
			continue
		}
		if !slices.IsSortedFunc(h.due, time.Time.Compare) || len(slices.Compact(slices.Clone(h.due))) != len(h.due) {
			t.Errorf("%s: a due time has two runs", name)
		}
		for _, due := range h.due {
			if !slices.ContainsFunc(want, due.Equal) {
				t.Errorf("%s: a run for %v, which is no due time", name, due)
			}
		}
		if h.toldSkipped+h.untold != h.missed {
			t.Errorf("%s: of %d times that were skipped %d were told and %d are to be told", name, h.missed, h.toldSkipped, h.untold)
		}
		if (promise.catchUp == CatchUpSkip) != (h.missed > 0) || promise.catchUp != CatchUpSkip && promise.schedule.Cron == "0 * * * *" && h.merged == 0 {
			t.Errorf("%s: %d times were skipped and %d merged", name, h.missed, h.merged)
		}
		t.Logf("%s: %d due times, %d runs, %d merged, %d skipped", name, h.times, len(h.due), h.merged, h.missed)
	}
	if lacks := p.lacks(); lacks != "" {
		t.Error(lacks)
	}
	t.Logf("deaths by point %v, overtaken %d", p.died, p.held)
}
