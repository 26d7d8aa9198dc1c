package app

import (
	"fmt"
	"strings"
	"time"

	"deskmate/identity"
)

type agentCommand struct {
	Show    agentShow    `cmd:"" help:"Show the agent: state, sponsor, charter."`
	Suspend agentSuspend `cmd:"" help:"Stop everything, or one tool, connection, channel, person or credential, at once."`
	Resume  agentResume  `cmd:"" help:"Let what was stopped work again."`
	Stops   agentStops   `cmd:"" help:"List what is stopped, and what is under way."`
	Retire  agentRetire  `cmd:"" help:"End the agent for good."`
}

type agentShow struct {
	storeFlags
	workspaceFlag
}

func (c *agentShow) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		a, err := s.Agents.Get(r, workspace)
		if err != nil {
			return err
		}
		return c.show(r, a)
	})
}

func (f storeFlags) show(r *run, a identity.Agent) error {
	if f.JSON {
		return printJSON(r.Out, a)
	}
	_, err := fmt.Fprintf(r.Out, "%s (%s) in %s: %s", a.Name, a.User, a.Workspace, a.State)
	if a.Reason != "" {
		fmt.Fprintf(r.Out, ", by %s: %s", a.ChangedBy, a.Reason)
	}
	fmt.Fprintf(r.Out, "\nsponsors: %s\n", orWord(strings.Join(a.Sponsors(), " "), "nobody"))
	return err
}

type agentChange struct {
	storeFlags
	workspaceFlag
	Reason string `required:"" help:"Why; it is kept in the ledger."`
}

func (c *agentChange) change(r *run, do func(s *Store, workspace, by string) (identity.Agent, error)) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		a, err := do(s, workspace, human(r.Getenv))
		if err != nil {
			return err
		}
		return c.show(r, a)
	})
}

// what names a part of the agent's work; none of it means all.
type what struct {
	Tool       string `help:"Only this tool." placeholder:"NAME" xor:"what"`
	Connection string `help:"Only the tools of this connection." placeholder:"NAME" xor:"what"`
	Channel    string `help:"Only the work in this channel, by id." placeholder:"C…" xor:"what"`
	Person     string `help:"Only what this person asks for, by id." placeholder:"U…" xor:"what"`
	Credential string `help:"Only what is done with this credential." placeholder:"ID" xor:"what"`
}

// stop is the kind and name of what was named, both empty for everything.
func (w what) stop() (kind, name string) {
	for _, x := range [][2]string{{identity.StopTool, w.Tool}, {identity.StopConnection, w.Connection}, {identity.StopChannel, w.Channel},
		{identity.StopPerson, w.Person}, {identity.StopCredential, w.Credential}} {
		if x[1] != "" {
			return x[0], x[1]
		}
	}
	return "", ""
}

type agentSuspend struct {
	agentChange
	what
}

// Help implements kong.HelpProvider.
func (agentSuspend) Help() string {
	return `Example: deskmate agent suspend --reason "it posts too much"
Example: deskmate agent suspend --tool post --reason "wrong channel again"

A running server heeds it from its next action on, and cuts off what is under way.`
}

// settleTime is how long a stop waits to see what became of what was under way.
const settleTime = 5 * time.Second

// stopped is what a stop did.
type stopped struct {
	Agent identity.Agent   `json:"agent"`
	Stop  *identity.Stop   `json:"stop,omitempty"`
	Under []identity.Under `json:"under_way"`
}

func (c *agentSuspend) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		gate := s.Gate()
		under, err := gate.UnderWay(r, workspace, nil)
		if err != nil {
			return err
		}
		var did stopped
		if kind, name := c.stop(); kind != "" {
			stop, err := gate.Stop(r, identity.Stop{Workspace: workspace, Kind: kind, Name: name, By: human(r.Getenv), Reason: c.Reason})
			if err != nil {
				return err
			}
			did.Stop = &stop
		} else if _, err := s.Agents.Suspend(r, workspace, human(r.Getenv), c.Reason); err != nil {
			return err
		}
		if did.Agent, err = s.Agents.Get(r, workspace); err != nil {
			return err
		}
		if did.Under, err = gate.Settled(r, workspace, under, settleTime); err != nil {
			return err
		}
		return c.print(r, did)
	})
}

func (c *agentSuspend) print(r *run, did stopped) error {
	if c.JSON {
		if did.Under == nil {
			did.Under = []identity.Under{}
		}
		return printJSON(r.Out, did)
	}
	if did.Stop != nil {
		fmt.Fprintf(r.Out, "Stopped: %s, by %s: %s\n", did.Stop, did.Stop.By, did.Stop.Reason)
	} else if err := c.show(r, did.Agent); err != nil {
		return err
	}
	for _, u := range did.Under {
		fmt.Fprintf(r.Out, "  was under way: %s in %s for %s: %s\n", u.Tool, u.Channel, u.Requester, identity.UnderWords(u.State))
	}
	if len(did.Under) == 0 {
		fmt.Fprintln(r.Out, "Nothing was under way.")
	}
	return nil
}

type agentResume struct {
	agentChange
	what
}

// Help implements kong.HelpProvider.
func (agentResume) Help() string {
	return `Example: deskmate agent resume --tool post --reason "the channel is right now"`
}

func (c *agentResume) Run(r *run) error {
	kind, name := c.stop()
	if kind == "" {
		return c.change(r, func(s *Store, w, by string) (identity.Agent, error) { return s.Agents.Resume(r, w, by, c.Reason) })
	}
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		if err := s.Gate().Unstop(r, workspace, kind, name, human(r.Getenv), c.Reason); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]string{"resumed": kind + " " + name})
		}
		_, err = fmt.Fprintf(r.Out, "Resumed: %s %s\n", kind, name)
		return err
	})
}

type agentStops struct {
	storeFlags
	workspaceFlag
}

// Help implements kong.HelpProvider.
func (agentStops) Help() string { return "Example: deskmate agent stops --json" }

func (c *agentStops) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		gate := s.Gate()
		stops, err := gate.Stops(r, workspace)
		if err != nil {
			return err
		}
		under, err := gate.UnderWay(r, workspace, nil)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"stops": append([]identity.Stop{}, stops...), "under_way": append([]identity.Under{}, under...)})
		}
		for _, stop := range stops {
			fmt.Fprintf(r.Out, "stopped: %s, by %s on %s: %s\n", stop, stop.By, when(stop.At), stop.Reason)
		}
		for _, u := range under {
			fmt.Fprintf(r.Out, "under way: %s in %s for %s\n", u.Tool, u.Channel, u.Requester)
		}
		if len(stops)+len(under) == 0 {
			fmt.Fprintln(r.Out, "Nothing is stopped, and nothing is under way.")
		}
		return nil
	})
}

type agentRetire struct{ agentChange }

// Help implements kong.HelpProvider.
func (agentRetire) Help() string {
	return `Example: deskmate agent retire --reason "the team has moved on"`
}

func (c *agentRetire) Run(r *run) error {
	return c.change(r, func(s *Store, w, by string) (identity.Agent, error) { return s.Agents.Retire(r, w, by, c.Reason) })
}
