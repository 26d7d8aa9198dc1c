package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"deskmate/identity/ledger"
)

type auditCommand struct {
	Verify auditVerify `cmd:"" help:"Recompute the whole ledger and compare; exit code 1 if anything was changed."`
	Tail   auditTail   `cmd:"" help:"Print the newest entries."`
	Show   auditShow   `cmd:"" help:"Print everything of one entry, and what followed from it."`
	Search auditSearch `cmd:"" help:"Print the entries that fit, newest first."`
	Prove  auditProve  `cmd:"" help:"Print a proof that an entry is in the signed ledger, which anyone can check."`
	Export auditExport `cmd:"" help:"Write entries as JSON lines, OCSF or CSV."`
	Trim   auditTrim   `cmd:"" help:"Erase the texts of old entries; the entries and all proofs stay."`
	Erase  auditErase  `cmd:"" help:"Erase the texts of one entry; the entry and all proofs stay."`
	Key    auditKey    `cmd:"" help:"Print the public key that checkpoints verify with."`
}

type auditVerify struct {
	storeFlags
	workspaceFlag
	Checkpoint string `help:"File of signed checkpoints that was kept elsewhere. Default: the one beside the store." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (auditVerify) Help() string {
	return "Example: deskmate audit verify --checkpoint /mnt/elsewhere/deskmate.db.checkpoints"
}

func (c *auditVerify) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspaces, err := s.Ledger.Workspaces(r)
		if err != nil {
			return err
		}
		if c.Workspace != "" {
			workspaces = []string{c.Workspace}
		}
		reports, bad := []ledger.Report{}, 0
		for _, w := range workspaces {
			report, err := verifyLedger(r, s, w, c.Checkpoint)
			if err != nil {
				return err
			}
			if !report.OK() {
				bad++
			}
			reports = append(reports, report)
		}
		if c.JSON {
			if err := printJSON(r.Out, reports); err != nil {
				return err
			}
		} else {
			for _, report := range reports {
				printReport(r, report)
			}
			if len(reports) == 0 {
				fmt.Fprintln(r.Out, "The store has no ledger yet.")
			}
		}
		if bad > 0 {
			return exitError(1)
		}
		return nil
	})
}

func printReport(r *run, report ledger.Report) {
	if report.OK() {
		fmt.Fprintf(r.Out, "%s: %d entries verified, %d checkpoints agree, %d texts erased, root %s\n",
			report.Workspace, report.Entries, report.Checkpoints, report.Erased, report.Root)
		return
	}
	fmt.Fprintf(r.Out, "%s: THE LEDGER WAS CHANGED (%d entries)\n", report.Workspace, report.Entries)
	for _, p := range report.Problems {
		fmt.Fprintf(r.Out, "  - %s\n", p)
	}
}

// verifyLedger verifies one workspace's ledger against the anchored checkpoints in
// the file at path, by default the one beside the store.
func verifyLedger(ctx context.Context, s *Store, workspace, path string) (ledger.Report, error) {
	given := path != ""
	if !given {
		path = s.DB.Path() + ".checkpoints"
	}
	text, err := os.ReadFile(path)
	if err != nil && (given || !errors.Is(err, os.ErrNotExist)) {
		return ledger.Report{}, fmt.Errorf("read checkpoints: %w", err)
	}
	anchored, err := ledger.ParseAnchors(string(text), s.Keys.Verifier())
	if err != nil {
		return ledger.Report{}, fmt.Errorf("read checkpoints in %s: %w", path, err)
	}
	return s.Ledger.Verify(ctx, workspace, anchored...)
}

type auditTail struct {
	storeFlags
	workspaceFlag
	N      int  `short:"n" default:"20" help:"How many."`
	Follow bool `short:"f" help:"Go on as entries are appended."`
}

// Help implements kong.HelpProvider.
func (auditTail) Help() string { return "Example: deskmate audit tail -n 50 --follow" }

func (c *auditTail) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		from := int64(-1)
		for {
			entries, err := s.Ledger.Tail(r, workspace, from, max(1, c.N))
			if err != nil {
				return err
			}
			for _, e := range entries {
				if err := c.print(r, e); err != nil {
					return err
				}
				from = e.Seq + 1
			}
			if !c.Follow {
				return nil
			}
			from = max(from, 0)
			wait := time.NewTimer(500 * time.Millisecond)
			select {
			case <-wait.C:
			case <-r.Done():
				return nil
			}
		}
	})
}

func (c *auditTail) print(r *run, e ledger.Entry) error {
	if c.JSON {
		return json.NewEncoder(r.Out).Encode(e)
	}
	var f struct{ Tool, Requester, Channel, Decision, Outcome, Actor string }
	if err := json.Unmarshal(e.Leaf, &f); err != nil {
		return fmt.Errorf("read entry %d: %w", e.Seq, err)
	}
	line := fmt.Sprintf("%6d  %s  %-14s", e.Seq, e.At.Format("2006-01-02 15:04:05.000"), e.Kind)
	for _, part := range []string{f.Tool, f.Decision, f.Outcome, f.Channel, orDash("for", f.Requester), orDash("by", f.Actor)} {
		if part != "" {
			line += "  " + part
		}
	}
	_, err := fmt.Fprintln(r.Out, line)
	return err
}

func orDash(word, v string) string {
	if v == "" {
		return ""
	}
	return word + " " + v
}

type auditKey struct{ storeFlags }

func (c *auditKey) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		_, err := fmt.Fprintln(r.Out, s.Keys.Verifier())
		return err
	})
}
