package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"deskmate/internal/slacksim"
)

const (
	agent    = "U0DESKMATE"
	channels = 24
	// askEvery is the distance between two requests: a stream, not a flood.
	askEvery = 40 * time.Millisecond
	// mostBehind is how many requests may wait for an answer: beyond it people hold
	// back, so that kills meet work at every stage and not only a backlog.
	mostBehind = 150
	// dutyIn is when a duty is due that is made now.
	dutyIn = 700 * time.Millisecond
	// settleMax bounds the wait for the last answers once nothing is killed and
	// no fault is armed any more.
	settleMax = 3 * time.Minute
	// startMax bounds a start of the product.
	startMax = 20 * time.Second
)

func build(ctx context.Context, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "sqlite_fts5 crashpoints", "-o", binary, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build deskmate: %w\n%s", err, out)
	}
	return nil
}

// request is one thing that somebody asked for.
type request struct {
	channel, ts string
	marker      string // unique; the answer or the post holds it
	effect      bool   // asked for a post in another channel, which must appear once
	duty        bool   // a duty was to post it in a moment: nobody waits for an answer
}

// driver is a workspace, people who ask, and the process that is killed.
type driver struct {
	sim     *slacksim.Server
	base    string
	dir     string
	binary  string
	random  *rand.Rand
	faults  bool
	level   string // of the product's log
	watch   *slacksim.Watch
	person  *slacksim.Person
	stopAsk context.CancelFunc
	asking  sync.WaitGroup
	duties  *duties
	log     bytes.Buffer
	kills   int

	mu       sync.Mutex
	requests []request
	failure  error
}

func newDriver(ctx context.Context, dir, binary string, seed uint64, faults bool, level string) (*driver, error) {
	d := &driver{dir: dir, binary: binary, random: rand.New(rand.NewPCG(seed, seed)), faults: faults, level: level}
	var err error
	if d.sim, err = slacksim.New(slacksim.Options{Seed: workspace(), RateLimitsOff: true, Redelivery: []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second}}); err != nil {
		return nil, fmt.Errorf("make workspace: %w", err)
	}
	if d.base, err = d.sim.Start(ctx, "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start workspace: %w", err)
	}
	d.person = slacksim.NewPerson(d.base, "U0BEN")
	if d.watch, err = d.person.Watch(ctx); err != nil {
		return nil, err
	}
	if d.duties, err = openDuties(ctx, dir, workspace().Team.ID); err != nil {
		return nil, err
	}
	if faults {
		if err := d.arm(ctx, seed); err != nil {
			return nil, err
		}
	}
	asking, stop := context.WithCancel(ctx)
	d.stopAsk = stop
	d.asking.Go(func() { d.ask(asking) })
	return d, nil
}

// workspace is the demo's, with more channels, so that a post a second in each
// is no bottleneck.
func workspace() *slacksim.Seed {
	seed := slacksim.DefaultSeed()
	for i := range channels {
		c := seed.Channels[1] // #eng: Ada, Ben, Chloe and the agent
		c.ID, c.Name = fmt.Sprintf("C0LOAD%02d", i), fmt.Sprintf("load-%02d", i)
		seed.Channels = append(seed.Channels, c)
	}
	return seed
}

// arm sets all kinds of fault at a few per cent each.
func (d *driver) arm(ctx context.Context, seed uint64) error {
	for i, f := range []map[string]any{
		{"kind": "429", "method": "chat.*", "probability": 0.03, "retry_after": 1},
		{"kind": "500", "method": "*", "probability": 0.03},
		{"kind": "reset_after", "method": "chat.postMessage", "probability": 0.05},
		{"kind": "delay", "method": "*", "probability": 0.05, "delay_ms": 150},
		{"kind": "duplicate", "probability": 0.05},
		{"kind": "drop_ack", "probability": 0.05},
		{"kind": "disconnect", "probability": 0.002},
	} {
		f["seed"] = int64(seed>>1) + int64(i)
		if err := d.person.Emulate(ctx, "faults", f, nil); err != nil {
			return fmt.Errorf("arm fault %s: %w", f["kind"], err)
		}
	}
	return nil
}

// ask has Ben ask without pause until ctx ends: mostly for something to be
// remembered, now and then for a post in another channel.
func (d *driver) ask(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if i%20 == 0 && d.asked()-d.answered() > mostBehind {
			continue
		}
		i++
		r := request{channel: fmt.Sprintf("C0LOAD%02d", i%channels), marker: fmt.Sprintf("mk%06dx", i), effect: i%7 == 3}
		text := fmt.Sprintf("<@%s> remember that parcel %s is in the shed", agent, r.marker)
		if r.effect {
			text = fmt.Sprintf("<@%s> post in <#C0LOAD%02d>: parcel %s has come", agent, (i+5)%channels, r.marker)
		}
		ts, err := "", error(nil)
		if i%10 == 6 {
			r.effect, r.duty = true, true
			err = d.duties.make(context.WithoutCancel(ctx), r.channel, d.person.ID(), r.marker, dutyIn)
		} else {
			ts, err = d.sim.Say(d.person.ID(), r.channel, text, "") // not over HTTP: the faults are the agent's
		}
		d.mu.Lock()
		if err != nil {
			d.failure = errors.Join(d.failure, fmt.Errorf("ask: %w", err))
		} else {
			r.ts = ts
			d.requests = append(d.requests, r)
		}
		d.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// asked counts requests that somebody waits for an answer to.
func (d *driver) asked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, r := range d.requests {
		if !r.duty {
			n++
		}
	}
	return n
}

func (d *driver) answered() int {
	threads := map[string]bool{}
	for _, m := range d.watch.All() {
		if m.User == agent && m.Thread != "" && m.Thread != m.TS {
			threads[m.Channel+m.Thread] = true
		}
	}
	return len(threads)
}

// start runs the product; crash names a point to die at, "" for none.
func (d *driver) start(ctx context.Context, crash string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, d.binary, "serve")
	cmd.Dir = d.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "SLACK_BOT_TOKEN=" + d.sim.BotToken(), "SLACK_APP_TOKEN=" + d.sim.AppToken(), "SLACK_API_URL=" + d.base + "/api",
		"DESKMATE_DATABASE_URL=sqlite:" + filepath.Join(d.dir, "deskmate.db"), "DESKMATE_ADDR=off", "DESKMATE_POST_EVERY=20ms", "DESKMATE_MONITOR=rate.off=true;flood.off=true", "DESKMATE_LOG_LEVEL=" + d.level,
		"DESKMATE_CRASH=" + crash,
	}
	cmd.Stderr = &d.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start deskmate: %w", err)
	}
	return cmd, nil
}

// killSometime starts the product and kills it after a random while: from before
// it is connected to well into its work.
func (d *driver) killSometime(ctx context.Context) error {
	cmd, err := d.start(ctx, "")
	if err != nil {
		return err
	}
	wait := time.NewTimer(time.Duration(d.random.Int64N(int64(600 * time.Millisecond))))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	_ = cmd.Process.Kill() // SIGKILL; it may have ended by itself, which Wait tells
	return d.died(ctx, cmd.Wait())
}

// killAt runs the product until it kills itself at a named point.
func (d *driver) killAt(ctx context.Context, point string, pass int) error {
	within, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	cmd, err := d.start(within, fmt.Sprintf("%s:%d", point, pass))
	if err != nil {
		return err
	}
	err = cmd.Wait()
	if within.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("it never came to the point %s a %d. time; its log:\n%s", point, pass, d.log.String())
	}
	return d.died(ctx, err)
}

// died checks that the product was killed and did not end by itself.
func (d *driver) died(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGKILL {
			d.kills++
			return nil
		}
	}
	return fmt.Errorf("the process ended by itself (%v); its log:\n%s", err, tail(d.log.String()))
}

// settle disarms all faults, lets the product finish, and checks everything.
func (d *driver) settle(ctx context.Context, began time.Time) error {
	d.stopAsk()
	d.asking.Wait()
	if d.failure != nil {
		return d.failure
	}
	if err := d.disarm(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	cmd, err := d.start(ctx, "")
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeoutCause(ctx, settleMax, errors.New("not everything was answered in time"))
	defer cancel()
	d.wait(within)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("end deskmate: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("it did not end well: %w; its log:\n%s", err, tail(d.log.String()))
	}
	if err := errors.Join(d.judge(), d.duties.judge(ctx)); err != nil {
		return err
	}
	verify := exec.CommandContext(ctx, d.binary, "audit", "verify", "--database-url", "sqlite:"+filepath.Join(d.dir, "deskmate.db"))
	out, err := verify.CombinedOutput()
	if err != nil {
		return fmt.Errorf("the ledger does not verify: %w\n%s", err, out)
	}
	fmt.Printf("%s%d kills in %s: %d requests, each answered exactly once, every effect exactly once, nothing lost\n",
		out, d.kills, took.Round(time.Second), len(d.requests))
	return nil
}

func (d *driver) disarm(ctx context.Context) error {
	return d.person.Disarm(ctx)
}

// wait returns when every request has an answer and every effect is there, and
// nothing has come for a while; or when ctx ends.
func (d *driver) wait(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	seen, quiet := -1, 0
	for quiet < 15 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n := len(d.watch.All()); n != seen {
			seen, quiet = n, 0
			continue
		}
		if missing, _ := d.count(); missing == 0 {
			quiet++
		}
	}
}

// count says how many requests lack an answer or effect, and describes what is
// wrong with any.
func (d *driver) count() (missing int, wrong []string) {
	answers, effects := map[string][]string{}, map[string]int{}
	for _, m := range d.watch.All() {
		if m.User != agent || m.Deleted {
			continue
		}
		if m.Thread != "" && m.Thread != m.TS {
			if !strings.HasPrefix(m.Text, "Working on it") && !strings.HasPrefix(m.Text, "Worked on it") {
				answers[m.Channel+m.Thread] = append(answers[m.Channel+m.Thread], m.Text)
			}
			continue
		}
		if _, rest, ok := strings.Cut(m.Text, "parcel "); ok {
			marker, _, _ := strings.Cut(rest, " ")
			effects[marker]++
		}
	}
	for _, r := range d.requests {
		got := answers[r.channel+r.ts]
		switch {
		case r.duty:
		case len(got) == 0:
			missing++
			wrong = append(wrong, fmt.Sprintf("%s in %s was not answered", r.marker, r.channel))
		case len(got) > 1:
			wrong = append(wrong, fmt.Sprintf("%s in %s was answered %d times: %q", r.marker, r.channel, len(got), got))
		case !r.effect && !strings.Contains(got[0], r.marker):
			wrong = append(wrong, fmt.Sprintf("%s in %s got another answer: %q", r.marker, r.channel, got[0]))
		}
		if !r.effect {
			continue
		}
		switch n := effects[r.marker]; {
		case n == 0:
			missing++
			wrong = append(wrong, fmt.Sprintf("%s was never posted; the answer was %q", r.marker, got))
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("%s was posted %d times", r.marker, n))
		}
	}
	return missing, wrong
}

func (d *driver) judge() error {
	_, wrong := d.count()
	if len(wrong) == 0 {
		return nil
	}
	const most = 20
	shown := wrong
	if len(shown) > most {
		shown = shown[:most]
	}
	return fmt.Errorf("%d of %d requests went wrong:\n  %s\nlog:\n%s", len(wrong), len(d.requests), strings.Join(shown, "\n  "), tail(d.log.String()))
}

func tail(log string) string {
	const most = 4000
	if len(log) > most {
		return "…" + log[len(log)-most:]
	}
	return log
}

func (d *driver) close() error {
	d.stopAsk()
	d.asking.Wait()
	return errors.Join(d.duties.db.Close(), d.sim.Close())
}
