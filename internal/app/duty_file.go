package app

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"deskmate/bot"
	"deskmate/scheduler"
)

type dutyExport struct {
	storeFlags
	workspaceFlag
	Output string `short:"o" help:"File to write; default: standard output." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (dutyExport) Help() string { return "Example: deskmate duty export -o duties.yaml" }

func (c *dutyExport) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		state, err := s.Duties.Export(r, workspace)
		if err != nil {
			return err
		}
		text, err := state.YAML()
		if err != nil {
			return err
		}
		switch {
		case c.Output != "":
			if err := os.WriteFile(c.Output, text, 0o600); err != nil {
				return fmt.Errorf("write duties: %w", err)
			}
			if c.JSON {
				return printJSON(r.Out, map[string]any{"file": c.Output, "duties": len(state.Duties)})
			}
			_, err = fmt.Fprintf(r.Out, "Wrote %s: %d duties.\n", c.Output, len(state.Duties))
		case c.JSON:
			err = printJSON(r.Out, state)
		default:
			_, err = r.Out.Write(text)
		}
		return err
	})
}

type dutyApply struct {
	storeFlags
	workspaceFlag
	File   string `short:"f" required:"" help:"The file, as duty export writes it." type:"existingfile" placeholder:"FILE"`
	DryRun bool   `help:"Show what would change; change nothing."`
	Prune  bool   `help:"Delete the duties that are not in the file."`
	Yes    bool   `help:"Do not ask."`
}

// Help implements kong.HelpProvider.
func (dutyApply) Help() string { return "Example: deskmate duty apply -f duties.yaml --dry-run" }

func (c *dutyApply) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		p, err := c.plan(r, s)
		if err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprint(r.Out, p.Text())
		}
		if c.DryRun || p.Empty() {
			if c.JSON {
				return printJSON(r.Out, map[string]any{"applied": false, "plan": p})
			}
			return nil
		}
		if !c.Yes {
			if err := agreed(r); err != nil {
				return err
			}
		}
		if err := s.Duties.Apply(r, human(r.Getenv), p); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"applied": true, "plan": p})
		}
		_, err = fmt.Fprintln(r.Out, "Applied.")
		return err
	})
}

// plan reads the file and compares.
func (c *dutyApply) plan(r *run, s *Store) (scheduler.Plan, error) {
	workspace, err := only(r, s, c.Workspace)
	if err != nil {
		return scheduler.Plan{}, err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return scheduler.Plan{}, fmt.Errorf("read duties: %w", err)
	}
	refused := func(err error) error {
		var wrong *scheduler.StateError
		if errors.As(err, &wrong) {
			return fmt.Errorf("%s is refused, and nothing was changed:\n%w", c.File, err)
		}
		return err
	}
	state, err := scheduler.ParseState(text)
	if err != nil {
		return scheduler.Plan{}, refused(err)
	}
	p, err := s.Duties.MakePlan(r, workspace, state, scheduler.Lookup{
		Channel: func(called string) (string, string, error) {
			ch, err := storedChannel(r, s, workspace, called)
			if err != nil && strings.HasPrefix(called, "D") {
				return called, bot.ChannelDirect, nil
			}
			return ch.ID, ch.Kind, err
		},
		Person: func(called string) (string, string, error) { return ownerOf(r, s, workspace, called) },
	}, c.Prune)
	if err != nil {
		return p, refused(err)
	}
	for _, a := range p.Add {
		if err := knownTools(r, s, workspace, a.Duty.Tools); err != nil {
			return p, fmt.Errorf("%s: %s: %w", c.File, a.Name, err)
		}
	}
	for _, x := range p.Change {
		if err := knownTools(r, s, workspace, x.To.Tools); err != nil {
			return p, fmt.Errorf("%s: %s: %w", c.File, x.To.ID, err)
		}
	}
	return p, nil
}
