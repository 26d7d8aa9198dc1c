package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"deskmate/bot"
	"deskmate/connection"
	"deskmate/handlers"
	"deskmate/identity"
	"deskmate/identity/budget"
	"deskmate/identity/label"
	"deskmate/identity/ledger"
	"deskmate/identity/monitor"
	"deskmate/identity/policy"
	"deskmate/identity/vault"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/handoff"
	"deskmate/scheduler/task"
)

// dutiesAtOnce is how many duties that are due are claimed at once.
const dutiesAtOnce = 64

// Store is what every command that works on a store needs.
type Store struct {
	DB          *migrations.DB
	Keys        ledger.Keys
	Ledger      *ledger.Ledger
	Agents      *identity.Agents
	Access      *policy.Engine
	Vault       *vault.Vault
	Memory      *memory.Memory
	Duties      *scheduler.Scheduler
	Handoffs    *handoff.Handoffs
	Connections *connection.Manager
	Budgets     *budget.Budgets

	review identity.ReviewRules
}

// openStore opens the store and its key. fire is given by those who run duties.
func openStore(ctx context.Context, c Config, clock func() time.Time, log zerolog.Logger, fire scheduler.Fire, sinks ...ledger.Sink) (*Store, error) {
	db, err := migrations.Open(ctx, c.Database, migrations.Options{Clock: clock, Logger: log})
	if err != nil {
		return nil, err
	}
	keys, err := ledger.LoadKeys(c.KeyFile)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l := ledger.New(db, keys, ledger.Options{Anchor: db.Path() + ".checkpoints", Sinks: sinks, Logger: log})
	ring, err := c.vaultKeys(db.Path())
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &Store{
		Vault: vault.New(db, l, ring),
		DB:    db, Keys: keys, Ledger: l, Agents: identity.NewAgents(db, l), Access: policy.New(db, l), Memory: memory.New(db, l, bot.Eraser(l)), Duties: scheduler.New(db, l, fire),
		review: c.Review,
	}
	s.Handoffs = &handoff.Handoffs{DB: db, Ledger: l, Duties: s.Duties, Threads: bot.HandoffThreads(), Sponsors: bot.Sponsors}
	told := &bot.Notices{Outbox: bot.NewOutbox(bot.OutboxOptions{DB: db}), Channel: c.AdminChannel, Logger: log}
	(&bot.Handover{DB: db, Handoffs: s.Handoffs, Duties: s.Duties, Agents: s.Agents, Outbox: told.Outbox, Notices: told, Logger: log}).Tell()
	s.Connections = connection.New(connection.Options{DB: db, Ledger: l, Vault: s.Vault, Logger: log, Notice: told.Post, Known: s.known, Version: Version})
	s.Budgets = &budget.Budgets{DB: db, Ledger: l, Zone: c.BudgetZone, Prices: c.Prices, Notice: told.Post}
	return s, nil
}

// known has the rules know the tools of a connection.
func (s *Store) known(tx *migrations.Tx, workspace, name string, tools []connection.Tool) error {
	var all []policy.BuiltinTool
	for _, t := range tools {
		all = append(all, policy.BuiltinTool{Name: t.Name, Connection: t.Connection, Class: t.Class})
	}
	return s.Access.SetTools(tx, workspace, name, all)
}

// Gate is the gate for commands that decide and stop and never act: nothing
// passes it.
func (s *Store) Gate() *identity.Gate {
	g := identity.NewGate(s.DB, s.Ledger, identity.FixedPolicy{}, nil)
	loop := &bot.Loop{DB: s.DB, Outbox: bot.NewOutbox(bot.OutboxOptions{DB: s.DB}), Tools: bot.Toolbox{}.Tools(), Connections: bot.Connections{Manager: s.Connections}}
	g.Approvals.Ended, g.Approvals.Voted = loop.Approved, loop.Voted
	return g
}

// Reviews are the reviews of what the agent may do, for commands that start and
// answer them; what people see of it is up to the server.
func (s *Store) Reviews() *identity.Reviews {
	return &identity.Reviews{DB: s.DB, Ledger: s.Ledger, Grants: s.Access, Rules: s.review}
}

// Close closes the store.
func (s *Store) Close() error {
	s.Connections.Close()
	return s.DB.Close()
}

// Options are what App needs beside its configuration; the zero value is good
// for production.
type Options struct {
	Clock  func() time.Time   // nil: time.Now
	Model  bot.Model          // nil: by the configuration
	Crash  func(point string) // named crash points
	Logger zerolog.Logger
}

// App is a running agent in one workspace.
type App struct {
	*Store
	Self bot.Self
	// Addr is where the HTTP side listens, "" if nowhere; set by New.
	Addr string

	config   Config
	log      zerolog.Logger
	api      *bot.API
	rules    identity.Access
	notices  *bot.Notices
	gate     *identity.Gate
	inbox    *bot.Inbox
	outbox   *bot.Outbox
	people   *bot.Directory
	loop     *bot.Loop
	runner   *task.Runner
	socket   *bot.Socket
	catchup  *bot.Catchup
	http     *bot.HTTP
	hooks    *handlers.Webhooks
	watcher  *bot.Watcher
	listener net.Listener
	metrics  *metrics
	begin    []func(tx *migrations.Tx, workspace string) error // what each start wakes
}

// New wires an agent: it opens the store, asks Slack who it is, and listens, but
// does not work yet. Close it even if Run is never called.
func New(ctx context.Context, c Config, o Options) (_ *App, err error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	a := &App{config: c, log: o.Logger, metrics: newMetrics()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if err := a.listen(c.Addr); err != nil {
		return nil, err
	}
	a.api = bot.NewAPI(bot.APIOptions{BaseURL: c.SlackAPI, BotToken: c.BotToken, AppToken: c.AppToken})
	if a.Store, err = openStore(ctx, c, o.Clock, o.Logger, a.fire, a.sinks()...); err != nil {
		return nil, err
	}
	if a.Self, err = whoAmI(ctx, a.api, o.Logger); err != nil {
		return nil, err
	}
	if _, err = a.Agents.Ensure(ctx, identity.Agent{
		Workspace: a.Self.Workspace, User: a.Self.User, Name: c.AgentName, Charter: c.Charter, Sponsor: c.Sponsor,
	}); err != nil {
		return nil, err
	}
	if err = a.Access.Ensure(ctx, a.Self.Workspace, bot.KnownTools(bot.Toolbox{}.Tools())); err != nil {
		return nil, err
	}
	model := o.Model
	if model == nil {
		if model, err = chooseModel(c, o.Logger); err != nil {
			return nil, err
		}
	}
	watch, err := c.monitorConfig()
	if err != nil {
		return nil, err
	}
	embedder, err := chooseEmbedder(c)
	if err != nil {
		return nil, err
	}
	a.wire(model, embedder, watch, o)
	err = a.DB.Write(ctx, func(tx *migrations.Tx) error {
		for _, wake := range a.begin {
			if err := wake(tx, a.Self.Workspace); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// whoAmI asks Slack for the agent's own account, again and again while Slack
// cannot be reached: a start during an outage is a late start, not a failure.
func whoAmI(ctx context.Context, api *bot.API, log zerolog.Logger) (bot.Self, error) {
	wait := time.Second
	for {
		me, err := api.Self(ctx)
		var unsure *bot.UnsureError
		if err == nil || !errors.As(err, &unsure) || ctx.Err() != nil {
			if err != nil {
				err = fmt.Errorf("ask Slack who the agent is: %w", err)
			}
			return me, err
		}
		log.Warn().Err(err).Dur("again_in", wait).Msg("Slack cannot be reached")
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return bot.Self{}, ctx.Err()
		}
		wait = min(2*wait, 30*time.Second)
	}
}

// wire makes the parts and joins them.
func (a *App) wire(model bot.Model, embedder memory.Embedder, watch monitor.Config, o Options) {
	self := func(workspace string) (bot.Self, bool) { return a.Self, workspace == a.Self.Workspace }
	a.people = bot.NewDirectory(a.api, bot.DirectoryOptions{Clock: o.Clock, Self: a.Self.User, SavePerson: a.savePerson, SaveChannel: a.saveChannel, Open: a.openChannels})
	reader := bot.NewReader(a.api)
	own := func(string) string { return a.Self.User }
	turns := func(ctx context.Context, ids []string) (label.Label, error) { return bot.TurnLabels(ctx, a.DB, ids) }
	spoken := &bot.Threads{DB: a.DB, Memory: a.Memory, Reader: reader, People: a.people, Bot: own, Turns: turns, Home: a.Self.URL}
	box := bot.Toolbox{Reader: reader, Threads: spoken, People: a.people, Memory: a.Memory, Duties: a.Duties, Agents: a.Agents, Model: model, Clock: a.DB.Now, Bot: own, Turns: turns}
	box.Briefer = &bot.Briefer{DB: a.DB, Ledger: a.Ledger, Memory: a.Memory, People: a.people, Agents: a.Agents, Model: model, Budgets: a.Budgets}
	handing := &bot.Handover{DB: a.DB, Handoffs: a.Handoffs, Duties: a.Duties, People: a.people, Memory: a.Memory, Agents: a.Agents, Bot: own, Home: a.Self.URL, Logger: o.Logger}
	handing.Briefer = box.Briefer
	box.Handing = handing
	a.rules = identity.Access{Engine: a.Access, Places: a.people, Clock: a.DB.Now}
	gate := identity.NewGate(a.DB, a.Ledger, a.rules, o.Crash)
	gate.Readers, gate.Budgets = a.people, a.Budgets
	gate.Approvals.Grant = a.Access.GrantTx
	watch.Raise, watch.Logger = gate.Raise, o.Logger
	gate.Monitor = monitor.New(a.DB, a.Ledger, watch)
	a.gate = gate
	a.watcher = &bot.Watcher{DB: a.DB, Duties: a.Duties, Ledger: a.Ledger, People: a.people, Reader: reader, Memory: a.Memory, Threads: spoken, Model: model, Budgets: a.Budgets, Home: a.Self.URL, Logger: o.Logger}
	a.inbox = bot.NewInbox(a.DB, bot.InboxOptions{Observe: a.observe, Keeps: a.keeps, Watch: a.watcher.Watch, KindOf: a.people.ChannelKind, Crash: o.Crash})
	a.outbox = bot.NewOutbox(bot.OutboxOptions{
		DB: a.DB, Gate: gate, API: a.api, People: a.people, Pace: bot.NewPace(a.config.PostEvery, 3*a.config.PostEvery), Logger: o.Logger, Crash: o.Crash,
		Home: a.Self.URL, LinkHosts: a.config.LinkHosts, Reported: a.Duties.Reported,
	})
	box.Outbox, a.watcher.Outbox = a.outbox, a.outbox
	box.Connections = bot.Connections{Manager: a.Connections, Offers: a.rules.Offers}
	a.notices = &bot.Notices{Outbox: a.outbox, Channel: a.config.AdminChannel, Logger: o.Logger}
	handing.Outbox, handing.Notices = a.outbox, a.notices
	handing.Join()
	a.loop = &bot.Loop{
		DB: a.DB, Gate: gate, Ledger: a.Ledger, Inbox: a.inbox, Outbox: a.outbox, Memory: a.Memory, Duties: a.Duties, People: a.people,
		Model: model, Tools: box.Tools(), Limits: a.limits(), Faces: bot.DefaultFaces(), Logger: o.Logger, Crash: o.Crash,
		Budgets:     a.Budgets,
		Connections: box.Connections,
		Context: &bot.ContextBuilder{
			Agents: a.Agents, Memory: a.Memory, People: a.people, Threads: spoken, Duties: a.Duties, Clock: a.DB.Now, Bot: own,
		},
	}
	duties := &handlers.Duties{DB: a.DB, Scheduler: a.Duties, Cards: bot.DutyCards{Outbox: a.outbox, Duties: a.Duties}, Rules: box.DutyRules(), Outbox: a.outbox}
	threads := &handlers.Threads{DB: a.DB, Inbox: a.inbox, Loop: a.loop, Duties: duties}
	a.runner = task.NewRunner(a.DB, task.Options{Logger: o.Logger})
	a.runner.Handle(bot.TaskThread, 64, threads.Handle)
	a.runner.Handle(bot.TaskOutbox, 32, a.outbox.Handle)
	a.runner.Handle(bot.TaskRun, 32, threads.Handle)
	a.runner.HandleMany(scheduler.TaskDuty, dutiesAtOnce, a.Duties.HandleMany)
	a.Duties.Stop, a.Duties.Tell = a.inbox.StopRun, (&bot.DutyNews{Outbox: a.outbox}).Tell
	if o.Crash != nil {
		a.Duties.Crash = o.Crash
	}
	a.runner.Handle(scheduler.TaskWatch, 4, a.watcher.Judge)
	a.runner.Handle(scheduler.TaskFollow, 4, a.watcher.Look)
	a.runner.Handle(scheduler.TaskConfirm, 2, duties.Expire)

	gate.Approvals.Roll, gate.Approvals.Ended, gate.Approvals.Voted, gate.Approvals.Remind = a.people, a.loop.Approved, a.loop.Voted, a.loop.Remind
	a.runner.Handle(identity.TaskApproval, 4, gate.Approvals.Handle)

	buttons := &handlers.Buttons{Inbox: a.inbox, Duties: duties, Approvals: &handlers.Approvals{DB: a.DB, Approvals: gate.Approvals, Outbox: a.outbox}}
	buttons.Handoffs = &handlers.Handoffs{DB: a.DB, Handover: handing, Outbox: a.outbox}
	a.runner.Handle(handoff.TaskHandoff, 2, a.Handoffs.Handle)
	owners := &handlers.Owners{DB: a.DB, Handover: handing}
	a.runner.Handle(handlers.TaskOwners, 1, owners.Handle)
	commands := &handlers.Commands{DB: a.DB, Memory: a.Memory, Duties: duties, Handover: handing, Gate: gate, Rules: a.rules, Agents: a.Agents, People: a.people, Reader: reader, Outbox: a.outbox, Connections: a.Connections, Budgets: a.Budgets, Logger: o.Logger}
	buttons.Promises = &handlers.Promises{DB: a.DB, Duties: a.Duties, People: a.people, Outbox: a.outbox}
	forms := &handlers.Forms{Commands: commands, Approvals: buttons.Approvals, Promises: buttons.Promises, Handoffs: buttons.Handoffs}
	sponsors := &identity.Sponsors{DB: a.DB, Ledger: a.Ledger, Roll: a.people, Grace: a.config.SponsorGrace, Notice: a.notices.Post}
	a.runner.Handle(identity.TaskSponsor, 1, sponsors.Handle)
	reviews := a.Reviews()
	cards := bot.ReviewCards{Notices: a.notices}
	reviews.Roll, reviews.Show, reviews.More, reviews.Notice = a.people, cards.Show, cards.More, a.notices.Post
	a.runner.Handle(identity.TaskReview, 1, reviews.Handle)
	if embedder != nil {
		a.Memory.Embed(embedder)
		filler := &handlers.Filler{DB: a.DB, Memory: a.Memory, Logger: o.Logger}
		a.runner.Handle(handlers.TaskVectors, 1, filler.Handle)
		a.begin = append(a.begin, filler.Look)
	}
	sweeper := &handlers.Sweeper{DB: a.DB, Memory: a.Memory, Logger: o.Logger}
	a.runner.Handle(handlers.TaskSweep, 1, sweeper.Handle)
	digest := &handlers.Digest{DB: a.DB, Agents: a.Agents, Duties: a.Duties, Approvals: gate.Approvals, People: a.people, Notices: a.notices, Cron: a.config.Digest, Logger: o.Logger}
	digest.Unowned, digest.Offered = handlers.UnownedLines(handing), handlers.OfferedLines(handing)
	a.runner.Handle(handlers.TaskDigest, 1, digest.Handle)
	a.begin = append(a.begin, digest.Look)
	files := &bot.Files{DB: a.DB, Memory: a.Memory, API: a.api, Gate: gate, People: a.people}
	a.loop.Context.Files = files
	fileReader := &handlers.FileReader{DB: a.DB, Files: files}
	a.runner.Handle(memory.TaskFiles, 2, fileReader.Handle)
	erasing := &handlers.Erasing{DB: a.DB, Ledger: a.Ledger, Memory: a.Memory}
	a.runner.Handle(bot.TaskErase, 1, erasing.Handle)
	buttons.Notes = &handlers.Notes{DB: a.DB, Notes: box.Notes(), Outbox: a.outbox}
	buttons.Reviews = &handlers.Reviews{DB: a.DB, Reviews: reviews, Outbox: a.outbox}
	a.begin = append(a.begin, sponsors.Look, reviews.Look, sweeper.Look, owners.Begin)
	buttons.Home = a.home(gate, handing)
	a.runner.Handle(handlers.TaskHome, 8, buttons.Home.Handle)
	buttons.Shortcuts = &handlers.Shortcuts{People: a.people, Agents: a.Agents, Memory: a.Memory, Reader: reader, Outbox: a.outbox, Loop: a.loop, Logger: o.Logger}
	forms.Home, forms.Shortcuts = buttons.Home, buttons.Shortcuts
	lifecycle := &handlers.Lifecycle{People: a.people, Agents: a.Agents, Memory: a.Memory, DB: a.DB, Sponsors: sponsors, Owners: owners, Logger: o.Logger}
	sinks := bot.Sinks{Event: a.inbox.Accept, Change: lifecycle.Handle, Action: buttons.Handle, Command: commands.Handle, Form: forms.Handle,
		Visit: buttons.Home.Visit, Shortcut: buttons.Shortcuts.Handle}
	a.hooks = &handlers.Webhooks{DB: a.DB, Duties: a.Duties, Vault: a.Vault, Ledger: a.Ledger, Logger: o.Logger}
	a.http = bot.NewHTTP(bot.HTTPOptions{SigningSecret: a.config.SigningSecret, Self: self, Sinks: sinks, Logger: o.Logger})
	if a.config.AppToken == "" {
		return
	}
	a.catchup = bot.NewCatchup(bot.CatchupOptions{
		DB: a.DB, API: a.api, Self: a.Self, Accept: a.inbox.Accept, Logger: o.Logger,
		Hears:   func() bool { return a.socket.State().Connected > 0 },
		Refused: func() int64 { return a.socket.State().Counts.Refused },
	})
	a.socket = bot.NewSocket(bot.SocketOptions{
		APIURL: a.config.SlackAPI, AppToken: a.config.AppToken, Self: self, Sinks: sinks, Gap: a.catchup.Gap, Logger: o.Logger,
	})
}

// home makes what people see when they open the agent, section by section.
func (a *App) home(gate *identity.Gate, handing *bot.Handover) *handlers.Home {
	h := &handlers.Home{DB: a.DB, People: a.people, Agents: a.Agents, Outbox: a.outbox, Logger: a.log}
	h.Sections = append(handlers.HomeDuties(a.Duties), h.Decisions(gate.Approvals, a.Self.URL), h.Handoffs(handing), h.Unowned(handing), h.Notes(a.Memory), h.Recent(a.Self.URL),
		h.Access(a.Access), h.Steering(gate, a.Budgets))
	return h
}

func (a *App) limits() bot.Limits {
	l := bot.DefaultLimits()
	l.Steps, l.Tokens, l.Time = a.config.TurnSteps, a.config.TurnTokens, a.config.TurnTime
	return l
}

// fire hands a duty's run to the inbox of the place where its result appears.
func (a *App) fire(tx *migrations.Tx, d scheduler.Duty, r scheduler.Run) error {
	if d.Kind == scheduler.KindFollow {
		return a.watcher.Fire(tx, d, r)
	}
	return fireInto(a.inbox, tx, d, r)
}

// fireInto hands a run to an inbox, which a server works.
func fireInto(inbox *bot.Inbox, tx *migrations.Tx, d scheduler.Duty, r scheduler.Run) error {
	if d.Kind == scheduler.KindFollow {
		return errors.New("what is followed is looked at by the server alone, when it is due")
	}
	return inbox.QueueDuty(tx, bot.RunEvent(d, r, tx.Now()))
}

// keeps reports whether memory keeps what is not for the agent.
func (a *App) keeps(ctx context.Context, e bot.Event) (bool, error) {
	return a.Memory.Keeps(ctx, e.Workspace, e.Channel, e.TS, e.Kind == bot.KindEdit || e.Kind == bot.KindDelete)
}

// observe has memory keep what is said in the conversations of the agent.
func (a *App) observe(tx *migrations.Tx, e bot.Event) error {
	m := memory.Message{Workspace: e.Workspace, Channel: e.Channel, Thread: e.Thread, TS: e.TS, Author: e.User, Text: e.Text, Files: e.Files,
		Permalink: bot.PermalinkOf(a.Self.URL, e.Channel, e.TS, e.Thread)}
	switch e.Kind {
	case bot.KindMessage:
		return a.Memory.Observe(tx, m)
	case bot.KindEdit:
		_, _, m.EditedTS = cut2(e.Key)
		return a.Memory.Edited(tx, m)
	case bot.KindDelete:
		return a.Memory.Deleted(tx, e.Workspace, e.Channel, e.TS)
	}
	return nil
}

// cut2 takes an edit's key apart: "edit:C:ts:edited".
func cut2(key string) (channel, ts, edited string) {
	parts := strings.SplitN(key, ":", 4)
	for len(parts) < 4 {
		parts = append(parts, "")
	}
	return parts[1], parts[2], parts[3]
}

func (a *App) savePerson(ctx context.Context, workspace string, p bot.Person) {
	err := a.DB.Write(ctx, func(tx *migrations.Tx) error {
		return a.Memory.SavePerson(tx, memory.Person{
			Workspace: workspace, ID: p.ID, Name: p.Name, RealName: p.RealName, TZ: p.TZ, Kind: p.Kind, IsAdmin: p.IsAdmin, IsDeleted: p.IsDeleted,
		})
	})
	if err != nil {
		a.log.Warn().Err(err).Msg("person not kept")
	}
}

func (a *App) saveChannel(ctx context.Context, workspace string, c bot.Channel) {
	err := a.DB.Write(ctx, func(tx *migrations.Tx) error {
		return a.Memory.SaveChannel(tx, memory.Channel{
			Workspace: workspace, ID: c.ID, Name: c.Name, Kind: c.Kind, IsMember: c.IsMember, IsArchived: c.IsArchived,
		})
	})
	if err != nil {
		a.log.Warn().Err(err).Msg("channel not kept")
	}
}

// openChannels are those whose texts memory tells everywhere.
func (a *App) openChannels(ctx context.Context, workspace string) ([]bot.Opened, error) {
	all, err := a.Memory.OpenChannels(ctx, workspace)
	if err != nil {
		return nil, err
	}
	open := make([]bot.Opened, len(all))
	for i, c := range all {
		open[i] = bot.Opened{ID: c.ID, Name: c.Name, At: c.FetchedAt}
	}
	return open, nil
}

// Run works until ctx ends, then drains. It returns nil after an orderly end.
func (a *App) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	// Intake ends first, then the work, then the ledger with its last checkpoint.
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	books, endBooks := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error {
		defer endWork()
		if a.socket == nil {
			<-ctx.Done()
			return nil
		}
		return a.socket.Run(ctx)
	})
	if a.catchup != nil {
		g.Go(func() error { return a.catchup.Run(ctx) })
	}
	g.Go(func() error {
		defer endBooks()
		return a.runner.Run(work)
	})
	g.Go(func() error { return a.gate.Watch(work) })
	g.Go(func() error { return a.gate.Monitor.Follow(work) })
	g.Go(func() error { return a.tell(work) })
	g.Go(func() error { return a.trim(work) })
	g.Go(func() error { return a.sweepVault(work) })
	g.Go(func() error { return a.Connections.Run(work, a.Self.Workspace) })
	g.Go(func() error { return a.Ledger.Run(books) })
	if a.listener != nil {
		g.Go(func() error { return a.serveHTTP(ctx) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("run agent: %w", err)
	}
	return nil
}

// Look has everything that waits for a time look at the clock again.
func (a *App) Look() { a.runner.Look() }

// Close frees what New took.
func (a *App) Close() error {
	var err error
	if a.listener != nil {
		if cerr := a.listener.Close(); !errors.Is(cerr, net.ErrClosed) {
			err = cerr
		}
	}
	if a.Store != nil {
		err = errors.Join(err, a.Store.Close())
	}
	return err
}
