package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"deskmate/internal/slacksim"
)

type demoCommand struct {
	Addr  string `default:"127.0.0.1:8793" help:"HOST:PORT of the page; port 0 picks one." placeholder:"HOST:PORT"`
	Data  string `help:"Folder for the store and its key; it is made if missing. Default: a new temporary one." placeholder:"DIR"`
	Once  bool   `help:"Play the story and exit: 0 if all of it worked."`
	Quiet bool   `help:"Print only addresses and failures."`
}

// Help implements kong.HelpProvider.
func (demoCommand) Help() string {
	return "Example: deskmate demo --addr 127.0.0.1:0 --once\n\nWith OPENAI_BASE_URL (or OPENAI_API_KEY) and DESKMATE_MODEL set, that model answers instead of the built-in rules."
}

func (c *demoCommand) Run(r *run) error {
	dir := c.Data
	if dir == "" {
		d, err := os.MkdirTemp("", "deskmate-demo-")
		if err != nil {
			return fmt.Errorf("make demo folder: %w", err)
		}
		defer os.RemoveAll(d)
		dir = d
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make demo folder: %w", err)
	}
	d, err := startDemo(r, r.Getenv, c.Addr, dir, newLogger(r.Errors, "warn"))
	if err != nil {
		return err
	}
	defer d.close()
	fmt.Fprintf(r.Out, "Workspace: %s\nHealth:    http://%s/readyz\nStore:     %s\n", d.URL, d.App.Addr, filepath.Join(dir, "deskmate.db"))
	s := story{base: d.URL, out: r.Out, quiet: c.Quiet, clock: d.Clock, verify: d.verify, demo: d}
	if err := s.run(r); err != nil {
		fmt.Fprintf(r.Errors, "\nThe story failed: %v\n", err)
		return exitError(1)
	}
	fmt.Fprint(r.Out, "\nThe story is over, and all of it worked.\n")
	if c.Once {
		return d.close()
	}
	fmt.Fprintf(r.Out, "\nNow you: open %s, be anyone, mention @deskmate. Ctrl-C ends it.\n", d.URL)
	select {
	case <-r.Done():
		return d.close()
	case err := <-d.ended:
		d.ended <- err
		return errors.Join(errors.New("the agent ended"), err, d.close())
	}
}

// demo is an emulated workspace with the agent in it, in one process.
type demo struct {
	URL   string
	App   *App
	Clock *slacksim.Clock

	sim    *slacksim.Server
	dir    string // of the store
	config Config
	values map[string]string // settings that make the demo
	getenv func(string) string
	log    zerolog.Logger
	out    *outside // the agent while it is a process of its own
	cancel context.CancelFunc
	ended  chan error
	closed bool
}

// startDemo starts the workspace at addr and the agent with its store in dir,
// joined by the real Socket Mode client, and waits until they hear each other.
func startDemo(ctx context.Context, getenv func(string) string, addr, dir string, log zerolog.Logger) (_ *demo, err error) {
	d := &demo{Clock: slacksim.NewClock(), ended: make(chan error, 1), getenv: getenv, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.sim, err = slacksim.New(slacksim.Options{Clock: d.Clock, Logger: log}); err != nil {
		return nil, fmt.Errorf("make workspace: %w", err)
	}
	if d.URL, err = d.sim.Start(ctx, addr); err != nil {
		return nil, fmt.Errorf("start workspace: %w", err)
	}
	d.values = map[string]string{
		"slack_bot_token": d.sim.BotToken(), "slack_app_token": d.sim.AppToken(), "slack_api_url": d.URL + "/api/",
		"database_url": "sqlite:" + filepath.Join(dir, "deskmate.db"), "addr": "127.0.0.1:0", "sponsor": ada,
	}
	if d.config, err = LoadConfig(d.values, demoEnv(getenv), ""); err != nil {
		return nil, err
	}
	d.dir = dir
	return d, d.bringBack(ctx)
}

// work has the agent work in this process.
func (d *demo) work(ctx context.Context) {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	app := d.App
	go func() { d.ended <- app.Run(run) }()
	go d.follow(run, app)
}

// demoEnv lets only the model's settings through: the rest of the environment
// belongs to a real installation.
func demoEnv(getenv func(string) string) func(string) string {
	return func(name string) string {
		switch name {
		case "OPENAI_API_KEY", "OPENAI_BASE_URL", "DESKMATE_MODEL", "DESKMATE_MODEL_FALLBACKS":
			return getenv(name)
		}
		return ""
	}
}

// follow has the agent look at the clock whenever somebody moves it.
func (d *demo) follow(ctx context.Context, app *App) {
	for {
		moved := d.Clock.Changed()
		select {
		case <-moved:
			app.Look()
		case <-ctx.Done():
			return
		}
	}
}

func (d *demo) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := d.App.Ready(ctx)
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-d.ended:
			d.ended <- err
			return errors.Join(errors.New("the agent ended before it was ready"), err)
		case <-ctx.Done():
			return fmt.Errorf("wait for the agent: %v", missing)
		}
	}
}

// verify audits the ledger and says what it found.
func (d *demo) verify(ctx context.Context) (string, error) {
	if _, err := d.App.Ledger.Checkpoint(ctx, d.App.Self.Workspace); err != nil {
		return "", err
	}
	report, err := verifyLedger(ctx, d.App.Store, d.App.Self.Workspace, "")
	if err != nil {
		return "", err
	}
	if !report.OK() {
		return "", fmt.Errorf("the ledger does not verify: %v", report.Problems)
	}
	return fmt.Sprintf("%d entries verified against %d signed checkpoints, root %.16s…", report.Entries, report.Checkpoints, report.Root), nil
}

// close ends the agent, then the workspace.
func (d *demo) close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	var err error
	if d.out != nil {
		err = d.out.kill()
	}
	if d.App != nil {
		if d.cancel != nil {
			d.cancel()
			err = errors.Join(err, <-d.ended)
		}
		err = errors.Join(err, d.App.Close())
	}
	if d.sim != nil {
		err = errors.Join(err, d.sim.Close())
	}
	return err
}

type workspaceCommand struct {
	Addr string `default:"127.0.0.1:8793" help:"HOST:PORT; port 0 picks one." placeholder:"HOST:PORT"`
	Seed string `help:"Workspace to start with (YAML, docs/emulator.md). Default: the demo's cast." type:"existingfile" placeholder:"FILE"`
	JSON bool   `help:"Print the addresses and tokens as JSON."`
}

// Help implements kong.HelpProvider.
func (workspaceCommand) Help() string {
	return "Example: deskmate workspace --addr 127.0.0.1:0 --json\n\nAny Slack client works with it: Web API under /api/, Socket Mode, user tokens xoxp-USERID post as that person."
}

func (c *workspaceCommand) Run(r *run) error {
	o := slacksim.Options{Logger: newLogger(r.Errors, "warn")}
	if c.Seed != "" {
		f, err := os.Open(c.Seed)
		if err != nil {
			return fmt.Errorf("read seed: %w", err)
		}
		seed, err := slacksim.ParseSeed(io.LimitReader(f, 16<<20))
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("read seed %s: %w", c.Seed, err)
		}
		o.Seed = seed
	}
	sim, err := slacksim.New(o)
	if err != nil {
		return fmt.Errorf("make workspace: %w", err)
	}
	base, err := sim.Start(r, c.Addr)
	if err != nil {
		return fmt.Errorf("start workspace: %w", err)
	}
	if c.JSON {
		err = printJSON(r.Out, map[string]string{"url": base, "api_url": base + "/api/", "bot_token": sim.BotToken(), "app_token": sim.AppToken(), "signing_secret": sim.SigningSecret()})
	} else {
		_, err = fmt.Fprintf(r.Out, "Page:            %s\nSLACK_API_URL=%s/api/\nSLACK_BOT_TOKEN=%s\nSLACK_APP_TOKEN=%s\nSLACK_SIGNING_SECRET=%s\nPeople:          user tokens are xoxp-USERID, such as %s\n",
			base, base, sim.BotToken(), sim.AppToken(), sim.SigningSecret(), slacksim.UserToken(ada))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("print addresses: %w", err), sim.Close())
	}
	<-r.Done()
	return sim.Close()
}
