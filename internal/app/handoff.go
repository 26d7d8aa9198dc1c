package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"deskmate/scheduler/handoff"
)

type handoffCommand struct {
	List     handoffList     `cmd:"" help:"List offers of work, with who has to answer."`
	Show     handoffShow     `cmd:"" help:"Show one offer with its items, or a lapse."`
	Offer    handoffOffer    `cmd:"" help:"Offer somebody's duties and threads to somebody else, who accepts or declines in Slack."`
	Withdraw handoffWithdraw `cmd:"" help:"Take an offer back."`
	Unowned  handoffUnowned  `cmd:"" help:"List the duties and open threads that no active person owns; exit code 1 if there are any."`
	Lapses   handoffLapses   `cmd:"" help:"List work whose owner or place is gone, and which waits for a human's word."`
}

type handoffList struct {
	storeFlags
	workspaceFlag
	Person string `help:"Only those from, to or asked for by this person." placeholder:"U…"`
	All    bool   `help:"Those that are over too."`
	Limit  int    `default:"100" help:"How many at most."`
}

// Help implements kong.HelpProvider.
func (handoffList) Help() string { return "Example: deskmate handoff list --person U012AB3CD --all" }

func (c *handoffList) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Handoffs.List(r, handoff.Filter{Workspace: workspace, Person: c.Person, Open: !c.All, Limit: max(1, c.Limit)})
		if err != nil {
			return err
		}
		if c.JSON {
			if all == nil {
				all = []handoff.Handoff{}
			}
			return printJSON(r.Out, all)
		}
		for _, h := range all {
			fmt.Fprintf(r.Out, "%s  %-9s %s from %s to %s, %d accepted; asked for by %s, %s; until %s\n", h.ID, h.State, plural(len(h.Items), "item"), h.From, h.To,
				h.Count(handoff.StateAccepted), h.AskedBy, when(h.CreatedAt), when(h.ExpiresAt))
		}
		if len(all) == 0 {
			fmt.Fprintln(r.Out, "No offer waits for an answer.")
		}
		return nil
	})
}

type handoffID struct {
	storeFlags
	workspaceFlag
	ID string `arg:"" help:"Id of the handoff, as handoff list shows it."`
}

type handoffShow struct{ handoffID }

// Help implements kong.HelpProvider.
func (handoffShow) Help() string { return "Example: deskmate handoff show h_k2x5ab7cde --json" }

func (c *handoffShow) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		if strings.HasPrefix(c.ID, "l_") {
			l, err := s.Handoffs.Lapse(r, workspace, c.ID)
			if err != nil {
				return shownAs(c.ID, err)
			}
			if c.JSON {
				return printJSON(r.Out, l)
			}
			printLapse(r, l)
			return nil
		}
		h, err := s.Handoffs.Get(r, workspace, c.ID)
		if err != nil {
			return shownAs(c.ID, err)
		}
		return c.print(r, h)
	})
}

func shownAs(id string, err error) error {
	if errors.Is(err, handoff.ErrNone) {
		return fmt.Errorf("there is no handoff %s: deskmate handoff list --all shows them", id)
	}
	return err
}

func (c *handoffID) print(r *run, h handoff.Handoff) error {
	if c.JSON {
		return printJSON(r.Out, h)
	}
	fmt.Fprintf(r.Out, "%s: %s, from %s to %s\nasked for by: %s (%s), %s\nuntil:        %s\n", h.ID, h.State, h.From, h.To, h.AskedBy, h.Via, when(h.CreatedAt), when(h.ExpiresAt))
	if h.Reason != "" {
		fmt.Fprintf(r.Out, "why:          %s\n", h.Reason)
	}
	if h.LeftOut > 0 {
		fmt.Fprintf(r.Out, "left out:     %s that the new owner may not see\n", plural(int(h.LeftOut), "item"))
	}
	for _, i := range h.Items {
		fmt.Fprintf(r.Out, "  %-6s %-9s %s", i.Kind, i.State, i.ID)
		if i.LeftOut {
			fmt.Fprint(r.Out, "  brief in part")
		}
		if i.Why != "" {
			fmt.Fprintf(r.Out, "  %s", i.Why)
		}
		fmt.Fprintln(r.Out)
	}
	return nil
}

type handoffOffer struct {
	storeFlags
	workspaceFlag
	From    string   `required:"" help:"Whose work it is." placeholder:"U…"`
	To      string   `required:"" help:"Who is to take it: a full member." placeholder:"U…"`
	Items   []string `arg:"" optional:"" help:"Ids of duties, and threads as CHANNEL:TS; all that they own if left out."`
	Reason  string   `help:"Why; the new owner reads it."`
	Threads bool     `help:"Of all that they own, only the threads."`
	Duties  bool     `help:"Of all that they own, only the duties."`
}

// Help implements kong.HelpProvider.
func (handoffOffer) Help() string {
	return `Example: deskmate handoff offer --from U0BEN --to U0CHLOE d_k2x5ab7cde --reason "on leave until May"

The running server shows the offer to the new owner, leaves out what they may not see, and tells the old one. Accepting takes the new owner, in Slack.`
}

func (c *handoffOffer) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		var items []handoff.Ref
		for _, id := range c.Items {
			kind := handoff.KindDuty
			if strings.Contains(id, ":") {
				kind = handoff.KindThread
			}
			items = append(items, handoff.Ref{Kind: kind, ID: id})
		}
		if items == nil {
			all, err := s.Handoffs.Owned(r, workspace, c.From)
			if err != nil {
				return err
			}
			for _, one := range all {
				if c.Threads == c.Duties || c.Threads == (one.Kind == handoff.KindThread) {
					items = append(items, one)
				}
			}
		}
		member, err := knownMember(r, s, workspace, c.To)
		if err != nil {
			return err
		}
		h, left, err := s.Handoffs.Offer(r, handoff.Offer{
			Workspace: workspace, From: c.From, To: handoff.Person{ID: c.To, Member: member}, Asker: handoff.Person{ID: human(r.Getenv), Operator: true},
			Items: items, Reason: c.Reason, Via: "cli",
		})
		if err != nil {
			return plainly(err)
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"handoff": h, "left": left})
		}
		fmt.Fprintf(r.Out, "%s: %s offered to %s; they accept or decline in Slack until %s.\n", h.ID, plural(len(h.Items), "item"), h.To, when(h.ExpiresAt))
		for _, l := range left {
			fmt.Fprintf(r.Out, "not offered: %s: %s\n", l.ID, l.Why)
		}
		return nil
	})
}

// knownMember reports whether the store does not know that somebody is no active
// full member. The server asks Slack before it shows them anything.
func knownMember(ctx context.Context, s *Store, workspace, person string) (bool, error) {
	var not int
	err := s.DB.QueryRow(ctx, `SELECT COUNT(*) FROM people WHERE workspace = $1 AND id = $2 AND (is_deleted = 1 OR kind <> 'member')`, workspace, person).Scan(&not)
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", person, err)
	}
	return not == 0, nil
}

// plainly is a refusal as a terminal shows it.
func plainly(err error) error {
	var no *handoff.RefusedError
	if errors.As(err, &no) {
		return errors.New(strings.NewReplacer("`", "", "<@", "", "<#", "", ">", "").Replace(no.Text))
	}
	return err
}

type handoffWithdraw struct {
	handoffID
	Reason string `help:"Why; the new owner reads it."`
}

// Help implements kong.HelpProvider.
func (handoffWithdraw) Help() string { return "Example: deskmate handoff withdraw h_k2x5ab7cde" }

func (c *handoffWithdraw) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		h, err := s.Handoffs.Withdraw(r, handoff.Answer{Workspace: workspace, ID: c.ID, Who: handoff.Person{ID: human(r.Getenv), Operator: true}, Reason: c.Reason, Via: "cli"})
		if err != nil {
			return plainly(shownAs(c.ID, err))
		}
		return c.print(r, h)
	})
}

type handoffUnowned struct {
	storeFlags
	workspaceFlag
}

// Help implements kong.HelpProvider.
func (handoffUnowned) Help() string { return "Example: deskmate handoff unowned --json" }

func (c *handoffUnowned) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Handoffs.Unowned(r, workspace)
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(r.Out, all)
		} else if len(all) == 0 {
			_, err = fmt.Fprintln(r.Out, "Every duty and every open thread has an owner who is here.")
		}
		for _, o := range all {
			if !c.JSON {
				fmt.Fprintf(r.Out, "%-6s %s  owner %s: %s\n", o.Kind, o.ID, o.Owner, o.Why)
			}
		}
		if err == nil && len(all) > 0 {
			err = exitError(1)
		}
		return err
	})
}

type handoffLapses struct {
	storeFlags
	workspaceFlag
}

// Help implements kong.HelpProvider.
func (handoffLapses) Help() string { return "Example: deskmate handoff lapses --json" }

func (c *handoffLapses) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Handoffs.Lapses(r, workspace)
		if err != nil {
			return err
		}
		if c.JSON {
			if all == nil {
				all = []handoff.Lapse{}
			}
			return printJSON(r.Out, all)
		}
		for _, l := range all {
			printLapse(r, l)
		}
		if len(all) == 0 {
			fmt.Fprintln(r.Out, "Nothing waits for a word about its owner or place.")
		}
		return nil
	})
}

func printLapse(r *run, l handoff.Lapse) {
	fmt.Fprintf(r.Out, "%s  %s  %s (%s), since %s; asked: %s\n", l.ID, l.State, l.Cause, l.About, when(l.CreatedAt), strings.Join(l.Asked, " "))
	for _, i := range l.Items {
		state := "settled"
		if i.Open {
			state = "waits"
		}
		held := ""
		if i.Held {
			held = "  paused for it"
		}
		fmt.Fprintf(r.Out, "  %-6s %-8s %s  kept by %s%s\n", i.Kind, state, i.ID, i.Owner, held)
	}
}
