package app

import (
	"encoding/json"
	"fmt"
	"strings"

	"deskmate/identity"
)

type approvalCommand struct {
	List approvalList `cmd:"" help:"List what waits for a human's decision."`
	Show approvalShow `cmd:"" help:"Show one: the exact call, why it was asked, who decided."`
	Deny approvalDeny `cmd:"" help:"Deny one, from the host. Approving takes one of its approvers, in Slack."`
}

type approvalList struct {
	storeFlags
	workspaceFlag
	All   bool `help:"Those that are decided or over too."`
	Limit int  `default:"100" help:"How many at most."`
}

// Help implements kong.HelpProvider.
func (approvalList) Help() string { return "Example: deskmate approval list --all" }

func (c *approvalList) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Gate().Approvals.List(r, workspace, c.All, max(1, c.Limit))
		if err != nil {
			return err
		}
		if c.JSON {
			if all == nil {
				all = []identity.Approval{}
			}
			return printJSON(r.Out, all)
		}
		for _, a := range all {
			fmt.Fprintf(r.Out, "%s  %-9s %s  asked by %s in %s, %s; until %s; %d of %d approved; approvers: %s\n", a.ID, a.State, a.Tool, a.Requester, a.Channel,
				when(a.CreatedAt), when(a.ExpiresAt), len(a.Approved()), a.Quorum, strings.Join(a.Approvers, ", "))
		}
		if len(all) == 0 {
			fmt.Fprintln(r.Out, "Nothing waits for an approval.")
		}
		return nil
	})
}

type approvalID struct {
	storeFlags
	workspaceFlag
	ID string `arg:"" help:"Id of the approval, as approval list shows it."`
}

type approvalShow struct{ approvalID }

// Help implements kong.HelpProvider.
func (approvalShow) Help() string { return "Example: deskmate approval show ap5kfivj5t7l --json" }

func (c *approvalShow) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		a, err := s.Gate().Approvals.Get(r, workspace, c.ID)
		if err != nil {
			return fmt.Errorf("show approval %s: %w", c.ID, err)
		}
		return c.print(r, a)
	})
}

func (c *approvalID) print(r *run, a identity.Approval) error {
	if c.JSON {
		return printJSON(r.Out, a)
	}
	fmt.Fprintf(r.Out, "%s: %s (%s), %s\nasked by:  %s in %s, %s\nwhy asked: %s\nwho can decide: %s (%d needed), until %s\narguments: %s\n", a.ID, a.Tool, a.Class, a.State,
		a.Requester, a.Channel, when(a.CreatedAt), strings.Join(a.Reasons, "; "), strings.Join(a.Approvers, ", "), a.Quorum, when(a.ExpiresAt), indented(a.Args))
	for _, v := range a.Votes {
		fmt.Fprintf(r.Out, "%s  %s %s %s\n", when(v.At), v.Person, v.Verdict, v.Reason)
	}
	if a.EndedBy != "" {
		fmt.Fprintf(r.Out, "ended %s by %s: %s\n", when(a.EndedAt), a.EndedBy, a.EndedWhy)
	}
	return nil
}

// indented is JSON for people, or the text as it is.
func indented(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return text
	}
	return string(b)
}

type approvalDeny struct {
	approvalID
	Reason string `required:"" help:"Why; who asked reads it."`
}

// Help implements kong.HelpProvider.
func (approvalDeny) Help() string {
	return `Example: deskmate approval deny ap5kfivj5t7l --reason "not before the freeze ends"`
}

func (c *approvalDeny) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		// The cards of a denial on the host are redrawn by the server that is running:
		// it is told by the thread's task.
		a, err := s.Gate().Approvals.Decide(r, identity.Press{Workspace: workspace, Approval: c.ID, Person: human(r.Getenv), Verdict: identity.VerdictDeny, Reason: c.Reason, Via: "cli"})
		if err != nil {
			return err
		}
		return c.print(r, a)
	})
}
