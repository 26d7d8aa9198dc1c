package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/migrations"
	"deskmate/scheduler"
)

type dutyCommand struct {
	List    dutyList    `cmd:"" help:"List duties."`
	Show    dutyShow    `cmd:"" help:"Show a duty with its policies, its next times and its runs."`
	Create  dutyCreate  `cmd:"" help:"Make a duty in somebody's name."`
	Edit    dutyEdit    `cmd:"" help:"Change what a duty is: only what is given changes."`
	Pause   dutyPause   `cmd:"" help:"Pause a duty until a time, or until it is resumed."`
	Resume  dutyResume  `cmd:"" help:"Let a paused duty run again; one that waits to be confirmed is confirmed."`
	Run     dutyRun     `cmd:"" help:"Run a duty once now, beside its schedule. A running server does the work."`
	Skip    dutySkip    `cmd:"" help:"Leave out the next due time of a duty."`
	Delete  dutyDelete  `cmd:"" help:"End a duty for good."`
	History dutyHistory `cmd:"" help:"Show the runs of a duty."`
	Export  dutyExport  `cmd:"" help:"Write all standing duties as YAML."`
	Apply   dutyApply   `cmd:"" help:"Make the duties what a file says, all of it or nothing."`

	Webhook dutyWebhook `cmd:"" help:"Make or change the secret of a duty's URL; it is shown once."`
}

type dutyList struct {
	storeFlags
	workspaceFlag
	Channel string `help:"Only those that report to this channel: #name or id." placeholder:"CHANNEL"`
	Owner   string `help:"Only those of this person: @name or id." placeholder:"PERSON"`
	Kind    string `help:"Only those of this kind: schedule, once, watch, webhook, follow." placeholder:"KIND"`
	State   string `help:"Only those in this state: active, paused, unconfirmed, done, deleted." placeholder:"STATE"`
	All     bool   `help:"Those that are done or deleted too."`
}

// Help implements kong.HelpProvider.
func (dutyList) Help() string { return "Example: deskmate duty list --owner @ben --state paused" }

func (c *dutyList) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		f := scheduler.Filter{Workspace: c.Workspace, Deleted: c.All || c.State == scheduler.StateDone || c.State == scheduler.StateDeleted}
		workspace := c.Workspace
		if c.Channel != "" || c.Owner != "" {
			var err error
			if workspace, err = only(r, s, c.Workspace); err != nil {
				return err
			}
		}
		if c.Channel != "" {
			f.Channel = c.Channel
			if ch, err := storedChannel(r, s, workspace, c.Channel); err == nil {
				f.Channel = ch.ID
			} else if strings.HasPrefix(c.Channel, "#") {
				return err
			}
		}
		if c.Owner != "" {
			p, err := storedPerson(r, s, workspace, c.Owner)
			if err != nil {
				return err
			}
			f.Owner = p.ID
		}
		all, err := s.Duties.List(r, f)
		if err != nil {
			return err
		}
		shown := []scheduler.Duty{}
		for _, d := range all {
			state := c.State == "" || c.State == d.State && !d.Unconfirmed() || c.State == "unconfirmed" && d.Unconfirmed()
			if state && (c.Kind == "" || c.Kind == d.Kind) {
				shown = append(shown, d)
			}
		}
		if c.JSON {
			return printJSON(r.Out, shown)
		}
		for _, d := range shown {
			fmt.Fprintf(r.Out, "%s  %-7s %s\n    %s; %s; in %s; owner %s\n", d.ID, d.State, d.Title, d.When, nextWords(d), d.Channel, d.Owner)
		}
		if len(shown) == 0 {
			fmt.Fprintln(r.Out, "No duties.")
		}
		return nil
	})
}

// nextWords are when a duty is due next, or why it is not.
func nextWords(d scheduler.Duty) string {
	if d.State == scheduler.StatePaused {
		return bot.DutyState(d)
	}
	return "next " + when(d.NextAt)
}

type dutyID struct {
	storeFlags
	ID string `arg:"" help:"Id of the duty, as duty list shows it."`
}

type (
	dutyShow   struct{ dutyID }
	dutyResume struct{ dutyID }
	dutyDelete struct{ dutyID }
	dutyRun    struct{ dutyID }
	dutySkip   struct{ dutyID }
)

// Help implements kong.HelpProvider.
func (dutyShow) Help() string { return "Example: deskmate duty show d_abcdefghij" }

// Help implements kong.HelpProvider.
func (dutyResume) Help() string { return "Example: deskmate duty resume d_abcdefghij" }

// Help implements kong.HelpProvider.
func (dutySkip) Help() string { return "Example: deskmate duty skip d_abcdefghij" }

func (c *dutySkip) Run(r *run) error {
	return c.change(r, func(s *Store, by string) (scheduler.Duty, error) { return s.Duties.SkipNext(r, c.ID, by) })
}

// Help implements kong.HelpProvider.
func (dutyDelete) Help() string { return "Example: deskmate duty delete d_abcdefghij" }

// Help implements kong.HelpProvider.
func (dutyRun) Help() string { return "Example: deskmate duty run d_abcdefghij" }

func (c *dutyShow) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		d, err := s.Duties.Get(r, c.ID)
		if err != nil {
			return err
		}
		runs, err := s.Duties.Runs(r, c.ID, 10)
		if err != nil {
			return err
		}
		next := d.Schedule.Times(s.DB.Now(), 5)
		if c.JSON {
			return printJSON(r.Out, map[string]any{"duty": d, "zone": d.Schedule.TZ, "next": next, "runs": runs})
		}
		fmt.Fprintf(r.Out, "%s: %s (%s)\n%s\n", d.ID, d.Title, d.State, d.When)
		line := func(name, value string) {
			if value != "" {
				fmt.Fprintf(r.Out, "%-14s %s\n", name+":", value)
			}
		}
		line("what", d.Prompt)
		line("in", d.Channel+", by "+d.Report)
		line("owner", d.Owner)
		line("zone", d.Schedule.TZ)
		line("missed times", bot.CatchUpWords(d.CatchUp))
		line("overlap", bot.OverlapWords(d.Overlap))
		line("limits", bot.DutyLimits(d))
		line("tools", strings.ReplaceAll(bot.ToolWords(d.Tools), "`", ""))
		line("from", d.Label.String())
		line("state", bot.PausedWords(d))
		for _, t := range next {
			line("next", when(t))
		}
		printRuns(r.Out, runs)
		return nil
	})
}

func printRuns(w io.Writer, runs []scheduler.Run) {
	for _, x := range runs {
		fmt.Fprintf(w, "run   %s  %s", when(x.DueAt), x.State)
		if x.Missed > 0 {
			fmt.Fprintf(w, "  for %s too", plural(int(x.Missed), "earlier time"))
		}
		if x.Tokens > 0 {
			fmt.Fprintf(w, "  %d tokens", x.Tokens)
		}
		fmt.Fprintf(w, "  %s\n", x.Error)
	}
}

type dutyHistory struct {
	dutyID
	Limit int `help:"How many runs, the newest first." default:"50"`
}

// Help implements kong.HelpProvider.
func (dutyHistory) Help() string {
	return "Example: deskmate duty history d_abcdefghij --limit 10 --json"
}

func (c *dutyHistory) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		if _, err := s.Duties.Get(r, c.ID); err != nil {
			return err
		}
		runs, err := s.Duties.Runs(r, c.ID, c.Limit)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, append([]scheduler.Run{}, runs...))
		}
		if len(runs) == 0 {
			_, err = fmt.Fprintln(r.Out, "It has not run yet.")
			return err
		}
		printRuns(r.Out, runs)
		return nil
	})
}

func (c *dutyID) change(r *run, do func(s *Store, by string) (scheduler.Duty, error)) error {
	return c.with(r, func(s *Store) error {
		d, err := do(s, human(r.Getenv))
		if err != nil {
			return err
		}
		return c.say(r, d)
	})
}

// say tells what a duty is after a change.
func (c *dutyID) say(r *run, d scheduler.Duty) error {
	if c.JSON {
		return printJSON(r.Out, d)
	}
	_, err := fmt.Fprintf(r.Out, "%s is %s.\n", d.ID, d.State)
	return err
}

// cards keep what people were shown of a duty true, for commands.
func (s *Store) cards() bot.DutyCards {
	return bot.DutyCards{Outbox: bot.NewOutbox(bot.OutboxOptions{DB: s.DB}), Duties: s.Duties}
}

// redrawn does a change and owes the edits of the duty's cards, in one transaction.
func (s *Store) redrawn(ctx context.Context, do func(tx *migrations.Tx) (scheduler.Duty, error)) (scheduler.Duty, error) {
	var d scheduler.Duty
	err := s.DB.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if d, err = do(tx); err != nil {
			return err
		}
		return s.cards().Redraw(tx, d)
	})
	return d, err
}

type dutyPause struct {
	dutyID
	Until string `help:"Until when, in plain words in the duty's zone or as a time: Monday, for two weeks, 2026-12-14." placeholder:"WHEN"`
	Why   string `help:"Why; those who look at the duty read it."`
}

// Help implements kong.HelpProvider.
func (dutyPause) Help() string {
	return "Example: deskmate duty pause d_abcdefghij --until 'Monday at 9' --why 'the office is closed'"
}

func (c *dutyPause) Run(r *run) error {
	return c.change(r, func(s *Store, by string) (scheduler.Duty, error) {
		d, err := s.Duties.Get(r, c.ID)
		if err != nil {
			return d, err
		}
		var until time.Time
		if c.Until != "" {
			if until, err = scheduler.ParseUntil(c.Until, s.DB.Now(), d.Schedule.TZ); err != nil {
				return d, fmt.Errorf("--until: %w", err)
			}
		}
		return s.Duties.PauseUntil(r, c.ID, by, until, c.Why)
	})
}

func (c *dutyResume) Run(r *run) error {
	return c.change(r, func(s *Store, by string) (scheduler.Duty, error) {
		d, err := s.Duties.Get(r, c.ID)
		if err != nil || !d.Unconfirmed() {
			return s.Duties.Resume(r, c.ID, by)
		}
		return s.redrawn(r, func(tx *migrations.Tx) (scheduler.Duty, error) { return s.Duties.Confirm(tx, c.ID, by) })
	})
}

func (c *dutyDelete) Run(r *run) error {
	return c.change(r, func(s *Store, by string) (scheduler.Duty, error) { return s.cards().Delete(r, c.ID, by) })
}

func (c *dutyRun) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		inbox := bot.NewInbox(s.DB, bot.InboxOptions{})
		firing := scheduler.New(s.DB, s.Ledger, func(tx *migrations.Tx, d scheduler.Duty, x scheduler.Run) error { return fireInto(inbox, tx, d, x) })
		d, err := firing.RunNow(r, c.ID, human(r.Getenv), "")
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, d)
		}
		_, err = fmt.Fprintf(r.Out, "%s runs now; a running server does the work, and the result appears in %s.\n", d.ID, d.Channel)
		return err
	})
}

// dutyWords are the parts of a duty as flags.
type dutyWords struct {
	When    string `help:"The time in plain words: 'every weekday at 9:30', 'tomorrow at 9'." placeholder:"WORDS"`
	What    string `help:"What to do, as you would ask the agent." placeholder:"WORDS"`
	Title   string `help:"A short name." placeholder:"WORDS"`
	Channel string `help:"Where results appear: #name or id." placeholder:"CHANNEL"`
	Report  string `help:"run: each result by itself; day: those of a day together." placeholder:"HOW"`
	Silent  string `help:"yes: nothing to report is not said." placeholder:"YES"`
	CatchUp string `help:"What becomes of missed times: once, skip, all." placeholder:"POLICY"`
	Overlap string `help:"If the run before is still at work: wait, skip, stop." placeholder:"POLICY"`
	Quiet   string `help:"Hours in which no run begins: 'mon-fri 22:00-07:00'." placeholder:"HOURS"`
	Until   string `help:"When it ends, in plain words; none for no end." placeholder:"WHEN"`
	Most    string `help:"How often it runs in all." placeholder:"N"`
	Tools   string `help:"The only tools that it may use, separated by commas; all for no such list." placeholder:"NAMES"`
}

// alter makes d what the flags say. What the rules grant its owner there only a
// running server knows in full: it looks at each call.
func (w dutyWords) alter(ctx context.Context, s *Store, d *scheduler.Duty, zone string) error {
	words := bot.DutyWords{When: w.When, What: w.What, Title: w.Title, Report: w.Report, Silent: w.Silent, CatchUp: w.CatchUp, Overlap: w.Overlap, Quiet: w.Quiet, Until: w.Until, Most: w.Most, Tools: w.Tools}
	if err := words.Say(d, s.DB.Now(), zone); err != nil {
		if text, told := bot.Told(err); told {
			return errors.New(text)
		}
		return err
	}
	if w.Channel != "" {
		ch, err := storedChannel(ctx, s, d.Workspace, w.Channel)
		if err != nil {
			return err
		}
		d.Channel, d.ChannelKind = ch.ID, ch.Kind
	}
	return knownTools(ctx, s, d.Workspace, d.Tools)
}

func knownTools(ctx context.Context, s *Store, workspace string, tools []string) error {
	if len(tools) == 0 {
		return nil
	}
	known, err := s.Access.Tools(ctx, workspace)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, t := range known {
		names[t.Name] = true
	}
	for _, t := range tools {
		if !names[t] {
			return fmt.Errorf("there is no tool %s; deskmate access list shows those that there are", t)
		}
	}
	return nil
}

type dutyCreate struct {
	storeFlags
	workspaceFlag
	dutyWords
	Owner string `required:"" help:"Who answers for it, and in whose name and time zone it runs: @name or id." placeholder:"PERSON"`
}

// Help implements kong.HelpProvider.
func (dutyCreate) Help() string {
	return "Example: deskmate duty create --owner @ben --channel '#general' --when 'every weekday at 9:30' --what 'post Stand-up time'"
}

func (c *dutyCreate) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		if c.When == "" || c.What == "" || c.Channel == "" {
			return errors.New("give --when, --what and --channel")
		}
		owner, zone, err := ownerOf(r, s, workspace, c.Owner)
		if err != nil {
			return err
		}
		d := scheduler.Duty{Workspace: workspace, Owner: owner}
		if err := c.alter(r, s, &d, zone); err != nil {
			return err
		}
		n := d.New()
		n.CreatedBy = human(r.Getenv)
		if d, err = s.Duties.Create(r, n); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, d)
		}
		fmt.Fprintf(r.Out, "%s made: %s, %s, in %s, owner %s\n", d.ID, d.Title, d.When, d.Channel, d.Owner)
		for _, t := range bot.NextTimes(d, s.DB.Now()) {
			fmt.Fprintf(r.Out, "next  %s\n", t)
		}
		return nil
	})
}

// ownerOf is a full member that the store knows, who can own a duty, with their
// time zone.
func ownerOf(ctx context.Context, s *Store, workspace, called string) (id, zone string, err error) {
	p, err := storedPerson(ctx, s, workspace, called)
	if err != nil {
		return "", "", err
	}
	var kind string
	var gone bool
	err = s.DB.QueryRow(ctx, `SELECT tz, kind, is_deleted <> 0 FROM people WHERE workspace = $1 AND id = $2`, workspace, p.ID).Scan(&zone, &kind, &gone)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", "", fmt.Errorf("the store knows nobody called %s (yet): an owner is somebody whom the agent has met", called)
	case err != nil:
		return "", "", fmt.Errorf("look up %s: %w", called, err)
	case gone || kind != bot.KindMember:
		return "", "", fmt.Errorf("%s is not an active full member, and so cannot own a duty", called)
	}
	return p.ID, zone, nil
}

type dutyEdit struct {
	dutyID
	dutyWords
}

// Help implements kong.HelpProvider.
func (dutyEdit) Help() string {
	return "Example: deskmate duty edit d_abcdefghij --when 'every weekday at 10:00' --catch-up skip"
}

func (c *dutyEdit) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		if c.dutyWords == (dutyWords{}) {
			return errors.New("nothing is given that should change; deskmate duty edit --help lists what can")
		}
		to, err := s.Duties.Get(r, c.ID)
		if err != nil {
			return err
		}
		if err := c.alter(r, s, &to, to.Schedule.TZ); err != nil {
			return err
		}
		d, err := s.redrawn(r, func(tx *migrations.Tx) (scheduler.Duty, error) {
			return s.Duties.EditTx(tx, c.ID, human(r.Getenv), func(d *scheduler.Duty) error { d.Become(to); return nil })
		})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, d)
		}
		_, err = fmt.Fprintf(r.Out, "%s: %s, %s, in %s; %s\n", d.ID, d.Title, d.When, d.Channel, nextWords(d))
		return err
	})
}
