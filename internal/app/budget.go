package app

import (
	"context"
	"fmt"

	"deskmate/identity/budget"
)

type budgetCommand struct {
	List   budgetList   `cmd:"" help:"List budgets with what is used of them."`
	Set    budgetSet    `cmd:"" help:"Set or change a budget; it counts from the next use on."`
	Remove budgetRemove `cmd:"" help:"Remove a budget."`
}

type budgetList struct {
	storeFlags
	workspaceFlag
}

// Help implements kong.HelpProvider.
func (budgetList) Help() string { return "Example: deskmate budget list --json" }

func (c *budgetList) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Budgets.List(r, workspace)
		if err != nil {
			return err
		}
		if c.JSON {
			if all == nil {
				all = []budget.Used{}
			}
			return printJSON(r.Out, all)
		}
		for _, u := range all {
			fmt.Fprintf(r.Out, "%-24s %-6s per %-5s  %s of %s used; anew %s\n    by %s: %s\n", u.For, u.Unit, u.Period, budget.Amount(u.Unit, u.Used), budget.Amount(u.Unit, u.Most), when(u.Anew), u.SetBy, u.Justification)
		}
		if len(all) == 0 {
			fmt.Fprintln(r.Out, "No budgets.")
		}
		return nil
	})
}

type budgetOne struct {
	storeFlags
	workspaceFlag
	Scope  string `arg:"" help:"workspace, channel:C…, person:U…, duty:d_…; or channel:*, person:*, duty:* for each."`
	Unit   string `arg:"" enum:"calls,tokens,money" help:"calls, tokens or money."`
	Period string `arg:"" enum:"day,month" help:"day or month."`
}

func (c *budgetOne) change(r *run, do func(ctx context.Context, s *Store, by string, x budget.Budget) error) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		if err := do(r, s, human(r.Getenv), budget.Budget{Workspace: workspace, Scope: c.Scope, Unit: c.Unit, Period: c.Period}); err != nil {
			return err
		}
		all, err := s.Budgets.List(r, workspace)
		if err != nil || !c.JSON {
			return err
		}
		return printJSON(r.Out, all)
	})
}

type budgetSet struct {
	budgetOne
	Amount string `arg:"" help:"How much; money in units of the currency of the prices."`
	Why    string `required:"" help:"Why; it is kept in the ledger."`
}

// Help implements kong.HelpProvider.
func (budgetSet) Help() string {
	return "Example: deskmate budget set workspace money month 50 --why 'the first month'\nExample: deskmate budget set 'person:*' tokens day 200000 --why 'nobody needs more'"
}

func (c *budgetSet) Run(r *run) error {
	return c.change(r, func(ctx context.Context, s *Store, by string, x budget.Budget) error {
		var err error
		if x.Most, err = budget.ParseAmount(x.Unit, c.Amount); err != nil {
			return err
		}
		x.Justification = c.Why
		if err := s.Budgets.Set(ctx, by, x); err != nil || c.JSON {
			return err
		}
		_, err = fmt.Fprintf(r.Out, "%s: %s per %s\n", x.Scope, budget.Amount(x.Unit, x.Most), x.Period)
		return err
	})
}

type budgetRemove struct {
	budgetOne
	Why string `required:"" help:"Why; it is kept in the ledger."`
}

// Help implements kong.HelpProvider.
func (budgetRemove) Help() string {
	return "Example: deskmate budget remove workspace money month --why 'the trial is over'"
}

func (c *budgetRemove) Run(r *run) error {
	return c.change(r, func(ctx context.Context, s *Store, by string, x budget.Budget) error {
		if err := s.Budgets.Remove(ctx, by, c.Why, x); err != nil || c.JSON {
			return err
		}
		_, err := fmt.Fprintf(r.Out, "%s: removed\n", x.Scope)
		return err
	})
}
