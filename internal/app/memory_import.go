package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"deskmate/memory"
)

type memoryImport struct {
	storeFlags
	workspaceFlag
	Dir    string `arg:"" help:"Folder of Markdown files, as memory export writes them." type:"existingdir"`
	DryRun bool   `help:"Say what would change, and change nothing."`
}

// Help implements kong.HelpProvider.
func (memoryImport) Help() string {
	return "Reads every .md file of the folder. All of them are checked first: one that cannot be read, and nothing is changed. " +
		"Example: deskmate memory import ./notes --dry-run"
}

func (c *memoryImport) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(c.Dir, "*.md"))
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		slices.Sort(files)
		var all []memory.Entry
		var bad []error
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err == nil {
				var e memory.Entry
				if e, err = memory.ParseMarkdown(data); err == nil {
					all = append(all, e)
					continue
				}
			}
			bad = append(bad, fmt.Errorf("%s: %w", filepath.Base(f), err))
		}
		if len(bad) > 0 {
			return fmt.Errorf("nothing was changed: %w", errors.Join(bad...))
		}
		if len(all) == 0 {
			return fmt.Errorf("there are no .md files in %s", c.Dir)
		}
		did, err := s.Memory.Import(r, workspace, all, human(r.Getenv), c.DryRun)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, did)
		}
		would := ""
		if c.DryRun {
			would = " (nothing was changed)"
		}
		_, err = fmt.Fprintf(r.Out, "%d new, %d corrected, %d unchanged%s\n", did.New, did.Corrected, did.Unchanged, would)
		return errors.Join(err, printRivals(r, did.Against))
	})
}

type memoryCorrect struct {
	storeFlags
	workspaceFlag
	ID   string   `arg:"" help:"Id of the note, as memory list shows it."`
	Text []string `arg:"" help:"What it says from now on."`
}

// Help implements kong.HelpProvider.
func (memoryCorrect) Help() string {
	return "Example: deskmate memory correct n_abcdefghij the release is on Friday"
}

func (c *memoryCorrect) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		n, against, err := s.Memory.CorrectAs(r, workspace, c.ID, strings.Join(c.Text, " "), human(r.Getenv))
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, struct {
				memory.Note
				Against []memory.Rivals `json:"against,omitempty"`
			}{n, against})
		}
		fmt.Fprintf(r.Out, "%s is corrected; version %d.\n", n.ID, n.Version)
		return printRivals(r, against)
	})
}

func printRivals(r *run, all []memory.Rivals) (err error) {
	for _, a := range all {
		_, wrong := fmt.Fprintf(r.Out, "note %s does not go together with %s: “%s”. Correct or forget one of them, or mark it superseded_by the other.\n", a.Note, a.Other, a.Text)
		err = errors.Join(err, wrong)
	}
	return err
}
