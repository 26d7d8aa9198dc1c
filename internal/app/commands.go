package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// storeFlags are shared by the commands that work on a store, that of a running
// server included.
type storeFlags struct {
	settingsFlags
	JSON bool `help:"Print JSON."`
}

// open opens an existing store; one that is not there is not made by looking.
func (f storeFlags) open(r *run) (*Store, error) {
	c, err := f.load(r)
	if err != nil {
		return nil, err
	}
	path := strings.TrimPrefix(c.Database, "sqlite:")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open store: %w (give the right one with --database-url sqlite:PATH)", err)
	}
	return openStore(r, c, time.Now, zerolog.Nop(), nil)
}

// with opens the store, has f work on it, and closes it.
func (f storeFlags) with(r *run, work func(s *Store) error) error {
	s, err := f.open(r)
	if err != nil {
		return err
	}
	return errors.Join(work(s), s.Close())
}

// only gives the workspace to work on: the one that was named, or the only one.
func only(ctx context.Context, s *Store, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	all, err := s.Agents.List(ctx)
	if err != nil {
		return "", err
	}
	switch len(all) {
	case 0:
		return "", errors.New("the store has no agent yet: start deskmate serve once")
	case 1:
		return all[0].Workspace, nil
	}
	return "", errors.New("the store has several workspaces: name one with --workspace")
}

type workspaceFlag struct {
	Workspace string `help:"Slack team id, where the store has several." placeholder:"T…"`
}

func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("Mon 2006-01-02 15:04 MST")
}

type backupCommand struct {
	storeFlags
	Path string `arg:"" help:"File to make; it must not exist."`
	Keep int    `help:"Remove copies in the same folder, and those made before upgrades, that are older than so many days: what was forgotten is in them." placeholder:"DAYS"`
}

// Help implements kong.HelpProvider.
func (backupCommand) Help() string {
	return "Example: deskmate backup /backups/deskmate-$(date +%F).db --keep 30\n\n" +
		"--keep only removes files that are copies of a store and that no process has open as its store, once the new copy is checked."
}

func (c *backupCommand) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		if c.Keep < 0 {
			return errors.New("--keep takes a number of days, 1 or more")
		}
		if err := migrations.Backup(r, s.DB, c.Path); err != nil {
			return err
		}
		gone := []string{}
		if c.Keep > 0 {
			var err error
			if gone, err = migrations.PruneBackups(r, s.DB, c.Path, s.DB.Now().AddDate(0, 0, -c.Keep)); err != nil {
				return fmt.Errorf("the copy is made, but old ones could not all be removed: %w", err)
			}
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"backup": c.Path, "removed": gone})
		}
		fmt.Fprintf(r.Out, "Copied to %s and checked. The key file is not in it.\n", c.Path)
		for _, path := range gone {
			fmt.Fprintf(r.Out, "Removed %s, older than %s.\n", path, plural(c.Keep, "day"))
		}
		return nil
	})
}

type doctorCommand struct {
	storeFlags
	Fast bool `help:"Leave out reading the whole file and ledger."`
}

// Help implements kong.HelpProvider.
func (doctorCommand) Help() string { return "Example: deskmate doctor --json" }

func (c *doctorCommand) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		var all []finding
		add := func(what string, err error, ok string) {
			f := finding{What: what, OK: err == nil, Detail: ok}
			if err != nil {
				f.Detail = err.Error()
			}
			all = append(all, f)
		}
		add("store", nil, s.DB.Path())
		if !c.Fast {
			add("file", migrations.Check(r, s.DB), "whole")
		}
		agents, err := s.Agents.List(r)
		add("agents", err, plural(len(agents), "agent"))
		for _, a := range agents {
			f := finding{What: "agent in " + a.Workspace, OK: a.State == identity.StateActive, Detail: a.State}
			if a.Reason != "" {
				f.Detail += ": " + a.Reason
			}
			all = append(all, f)
			f, err = sponsorFinding(r, s, a)
			if err != nil {
				return err
			}
			all = append(all, f)
			creds, err := credentialFindings(r, s, a.Workspace)
			if err != nil {
				return err
			}
			all = append(all, creds...)
			if !c.Fast {
				connected, err := connectionFindings(r, s, a.Workspace)
				if err != nil {
					return err
				}
				all = append(all, connected...)
			}
			if !c.Fast {
				report, err := verifyLedger(r, s, a.Workspace, "")
				if err == nil && !report.OK() {
					err = fmt.Errorf("it was changed: %s", report.Problems[0])
				}
				add("ledger of "+a.Workspace, err, fmt.Sprintf("%d entries verified", report.Entries))
			}
		}
		anchors, err := s.Ledger.Anchors(r)
		if err != nil {
			return err
		}
		for _, x := range anchors {
			f := finding{What: "checkpoints of " + x.Workspace + " at " + x.Sink, OK: x.Error == "", Detail: fmt.Sprintf("%d entries, %s", x.Size, when(x.At))}
			if x.Error != "" {
				f.Detail = "not taken since " + when(x.FailedAt) + ": " + x.Error
			}
			all = append(all, f)
		}
		more, err := taskFindings(r, s)
		if err != nil {
			return err
		}
		return report(r, append(all, more...), c.JSON)
	})
}

// taskFindings are the tasks that fail and those that nobody works.
func taskFindings(ctx context.Context, s *Store) ([]finding, error) {
	var all []finding
	failing, err := task.Failing(ctx, s.DB, 10)
	if err != nil {
		return nil, err
	}
	for _, t := range failing {
		all = append(all, finding{What: "task " + t.Key, Detail: fmt.Sprintf("failed %d times: %s", t.Attempts, t.LastError)})
	}
	late, err := task.Overdue(ctx, s.DB, s.DB.Now().Add(-2*time.Minute), 10)
	if err != nil {
		return nil, err
	}
	for _, t := range late {
		all = append(all, finding{What: "task " + t.Key, OK: true, Warning: true, Detail: "was due " + when(t.Due) + " and waits: is deskmate serve running?"})
	}
	if len(all) == 0 {
		all = append(all, finding{What: "tasks", OK: true, Detail: "none fails, none is late"})
	}
	return all, nil
}
