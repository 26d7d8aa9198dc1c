package app

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"deskmate/identity"
)

type reviewCommand struct {
	Start  reviewStart  `cmd:"" help:"Begin a review of all grants that stand."`
	List   reviewList   `cmd:"" help:"List reviews, the newest first."`
	Show   reviewShow   `cmd:"" help:"Show a review: what waits for an answer, what was answered, what stands."`
	Keep   reviewKeep   `cmd:"" help:"Answer that a grant is still needed."`
	Remove reviewRemove `cmd:"" help:"Answer that a grant is not needed; it is taken back at once."`
}

type reviewStart struct {
	storeFlags
	workspaceFlag
}

// Help implements kong.HelpProvider.
func (reviewStart) Help() string {
	return "Sponsors and the admin channel are asked by a running server.\n\nExample: deskmate access review start"
}

func (c *reviewStart) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		review, err := s.Reviews().Start(r, workspace, human(r.Getenv))
		if err != nil {
			return err
		}
		return c.printReview(r, review, false)
	})
}

type reviewList struct {
	storeFlags
	workspaceFlag
	Limit int `short:"n" help:"How many at most." default:"20"`
}

// Help implements kong.HelpProvider.
func (reviewList) Help() string { return "Example: deskmate access review list --json" }

func (c *reviewList) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Reviews().List(r, workspace, max(c.Limit, 1))
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, all)
		}
		for _, v := range all {
			fmt.Fprintf(r.Out, "%s  %-4s  started %s by %s; %s: %d to answer, %d kept, %d removed, %d removed unanswered\n", v.ID, v.State, when(v.StartedAt), v.StartedBy,
				plural(len(v.Items), "grant"), v.Count(identity.ItemProposed), v.Count(identity.ItemKept), v.Count(identity.ItemRemoved), v.Count(identity.ItemExpired))
		}
		if len(all) == 0 {
			fmt.Fprintln(r.Out, "No reviews.")
		}
		return nil
	})
}

type reviewShow struct {
	storeFlags
	workspaceFlag
	ID  string `arg:"" optional:"" help:"Id of the review; without it the newest."`
	All bool   `help:"Grants that are in use too."`
}

// Help implements kong.HelpProvider.
func (reviewShow) Help() string { return "Example: deskmate access review show" }

func (c *reviewShow) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		review, err := s.Reviews().Get(r, workspace, c.ID)
		if err != nil {
			return err
		}
		return c.printReview(r, review, c.All)
	})
}

func (f storeFlags) printReview(r *run, v identity.Review, all bool) error {
	if f.JSON {
		return printJSON(r.Out, v)
	}
	fmt.Fprintln(r.Out, strings.ReplaceAll(v.Summary(), "`", ""))
	for _, i := range v.Items {
		if i.State != identity.ItemStanding || all {
			printItem(r.Out, i)
		}
	}
	return nil
}

func printItem(w io.Writer, i identity.ReviewItem) {
	fmt.Fprintf(w, "%-8s ", i.State)
	printGrant(w, i.Grant)
	if len(i.Loss) > 0 {
		fmt.Fprintf(w, "    without it nothing allows %s\n", strings.Join(i.Loss, ", "))
	}
	if i.AnsweredBy != "" {
		fmt.Fprintf(w, "    answered by %s, %s", i.AnsweredBy, when(i.AnsweredAt))
		if i.Why != "" {
			fmt.Fprintf(w, ": %s", i.Why)
		}
		fmt.Fprintln(w)
	}
}

type reviewAnswer struct {
	storeFlags
	workspaceFlag
	Grant  string `arg:"" help:"Id of the grant, as access review show lists it."`
	Review string `help:"Id of the review; without it the open one." placeholder:"ID"`
	Why    string `help:"Why; it is kept in the ledger."`
}

type (
	reviewKeep   struct{ reviewAnswer }
	reviewRemove struct{ reviewAnswer }
)

// Help implements kong.HelpProvider.
func (reviewKeep) Help() string {
	return "Example: deskmate access review keep builtin-react --why 'Chloe uses it'"
}

// Help implements kong.HelpProvider.
func (reviewRemove) Help() string { return "Example: deskmate access review remove builtin-react" }

func (c *reviewKeep) Run(r *run) error   { return c.answer(r, identity.VerdictKeep) }
func (c *reviewRemove) Run(r *run) error { return c.answer(r, identity.VerdictRemove) }

func (c *reviewAnswer) answer(r *run, verdict string) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		i, err := s.Reviews().Answer(r, identity.ReviewAnswer{
			Workspace: workspace, Review: c.Review, Grant: c.Grant, Person: human(r.Getenv), Verdict: verdict, Why: c.Why, Via: "cli",
		})
		var refused *identity.RefusedError
		if errors.As(err, &refused) {
			return errors.New(strings.ReplaceAll(refused.Text, "`", ""))
		}
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"grant": i.Grant.ID, "state": i.State, "answered_by": i.AnsweredBy, "answered_at": i.AnsweredAt})
		}
		_, err = fmt.Fprintf(r.Out, "%s is %s.\n", i.Grant.ID, i.State)
		return err
	})
}
