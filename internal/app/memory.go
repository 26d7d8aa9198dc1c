package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"deskmate/memory"
)

type memoryCommand struct {
	List    memoryList    `cmd:"" help:"List notes."`
	Export  memoryExport  `cmd:"" help:"Write every note as a Markdown file with front matter."`
	Forget  memoryForget  `cmd:"" help:"Forget a note for good: row, history, index, and its text in the ledger."`
	Import  memoryImport  `cmd:"" help:"Take notes in from Markdown files with front matter."`
	Correct memoryCorrect `cmd:"" help:"Give a note another text; what it said stays in its history."`
	Vectors memoryVectors `cmd:"" help:"Say how far the vectors of an embedding model are filled in."`
	Context memoryContext `cmd:"" help:"Show what the model was given last in a thread."`
	Brief   memoryBrief   `cmd:"" help:"Say where a thread stands: goal, decided, done, open, waiting."`
}

type memoryList struct {
	storeFlags
	workspaceFlag
	Scope string `help:"workspace, channel:C… or dm:D…" placeholder:"SCOPE"`
	Words string `help:"Only notes with these words." placeholder:"WORDS"`
}

// Help implements kong.HelpProvider.
func (memoryList) Help() string { return "Example: deskmate memory list --words release" }

func (c *memoryList) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Memory.List(r, workspace, memory.Filter{Scope: c.Scope, Words: c.Words})
		if err != nil {
			return err
		}
		if c.JSON {
			if all == nil {
				all = []memory.Entry{}
			}
			return printJSON(r.Out, all)
		}
		for _, n := range all {
			fmt.Fprintf(r.Out, "%s  %-18s %s  by %s  %s\n    %s\n", n.ID, n.Scope, n.CreatedAt.Format("2006-01-02 15:04"), n.Author, n.Permalink,
				strings.ReplaceAll(n.Text, "\n", "\n    "))
		}
		if len(all) == 0 {
			fmt.Fprintln(r.Out, "No notes.")
		}
		return nil
	})
}

type memoryExport struct {
	storeFlags
	workspaceFlag
	Dir   string `arg:"" help:"Folder to write to; it is made if missing."`
	Scope string `help:"Only notes of this scope: workspace, channel:C… or dm:D…. Sources that its readers may not see are left out." placeholder:"SCOPE"`
}

// Help implements kong.HelpProvider.
func (memoryExport) Help() string {
	return "Without --scope every note is written, those of private places included: keep the folder as private as they are. With it the files may go to those who read that scope.\n\n" +
		"Example: deskmate memory export ./notes --scope workspace"
}

func (c *memoryExport) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		leftOut := 0
		if c.Scope != "" {
			in, others, err := s.Memory.Count(r, workspace, c.Scope)
			if err != nil {
				return err
			}
			if in == 0 && others > 0 {
				return fmt.Errorf("no note has the scope %q: it is workspace, channel:C… or dm:D…, as 'deskmate memory list' shows it", c.Scope)
			}
			leftOut = others
		}
		if err := os.MkdirAll(c.Dir, 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		n, withheld, after := 0, 0, ""
		for {
			page, err := s.Memory.List(r, workspace, memory.Filter{Scope: c.Scope, Withhold: c.Scope != "", After: after, Limit: 500, Superseded: true, Expired: true})
			if err != nil {
				return err
			}
			for _, e := range page {
				if err := os.WriteFile(filepath.Join(c.Dir, e.ID+".md"), []byte(e.Markdown()), 0o600); err != nil {
					return fmt.Errorf("write note %s: %w", e.ID, err)
				}
				n++
				after = e.ID
				if e.Withheld {
					withheld++
				}
			}
			if len(page) == 0 {
				break
			}
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"notes": n, "dir": c.Dir, "left_out": leftOut, "withheld": withheld})
		}
		fmt.Fprintf(r.Out, "%s written to %s\n", plural(n, "note"), c.Dir)
		if leftOut > 0 {
			fmt.Fprintf(r.Out, "Left out: %s of other scopes.\n", plural(leftOut, "note"))
		}
		if withheld > 0 {
			fmt.Fprintf(r.Out, "Source withheld of %s: it is a place that readers of %s may not see.\n", plural(withheld, "note"), c.Scope)
		}
		return nil
	})
}

type memoryForget struct {
	storeFlags
	workspaceFlag
	ID string `arg:"" help:"Id of the note, as memory list shows it."`
}

// Help implements kong.HelpProvider.
func (memoryForget) Help() string { return "Example: deskmate memory forget n_abcdefghij" }

func (c *memoryForget) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		gone, err := s.Memory.Erase(r, workspace, c.ID, human(r.Getenv))
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, gone)
		}
		_, err = fmt.Fprintf(r.Out, "%s is forgotten, with %s that quoted it.\n", gone.ID, plural(len(gone.Messages), "message"))
		return err
	})
}
