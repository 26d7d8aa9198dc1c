package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"deskmate/connection"
)

type connectionCommand struct {
	Add        connectionAdd        `cmd:"" help:"Connect a system: from a file or a preset. Its tools are used once they are accepted and granted."`
	Accept     connectionAccept     `cmd:"" help:"Accept the tools and instructions of a connection as it shows them now."`
	List       connectionList       `cmd:"" help:"List connections with their state."`
	Show       connectionShow       `cmd:"" help:"Show a connection: its tools with their classes, and what has changed since they were accepted."`
	Test       connectionTest       `cmd:"" help:"Reach a connection now and say what it shows; nothing is changed."`
	Refresh    connectionRefresh    `cmd:"" help:"Look what a connection shows now, and quarantine it if that is not what was accepted."`
	Quarantine connectionQuarantine `cmd:"" help:"Take a connection out of use until it is accepted again."`
	Remove     connectionRemove     `cmd:"" help:"Remove a connection and destroy its credentials."`
	Consent    connectionConsent    `cmd:"" help:"Have an admin, logged in as the agent's account, consent once (auth kind authorization_code)."`
	Presets    connectionPresets    `cmd:"" help:"List the presets, or print one."`
}

type connectionAdd struct {
	storeFlags
	workspaceFlag
	File   string            `arg:"" optional:"" help:"YAML file with one connection; - for standard input."`
	Preset string            `help:"In place of a file: one of 'deskmate connection presets'." placeholder:"NAME"`
	Fill   map[string]string `help:"A value that the preset leaves open." placeholder:"NAME=VALUE"`
	Accept bool              `help:"Accept its tools at once, as it shows them now. Look at them first."`
}

// Help implements kong.HelpProvider.
func (connectionAdd) Help() string {
	return `Example: deskmate connection add tracker.yaml
Example: deskmate connection add --preset files --fill dir=/srv/docs

The file names credentials and holds none: give them with deskmate credential add --connection NAME.
After this: deskmate connection show NAME, then deskmate connection accept NAME, then deskmate access grant.`
}

func (c *connectionAdd) spec(r *run) (connection.Spec, error) {
	var text []byte
	var err error
	switch {
	case (c.File == "") == (c.Preset == ""):
		return connection.Spec{}, errors.New("name a file or a preset, one of them")
	case c.Preset != "":
		text, err = connection.Preset(c.Preset, c.Fill)
	case c.File == "-":
		text, err = io.ReadAll(io.LimitReader(r.In, 1<<20))
	default:
		text, err = os.ReadFile(c.File)
	}
	if err != nil {
		return connection.Spec{}, err
	}
	return connection.Parse(text)
}

func (c *connectionAdd) Run(r *run) error {
	s, err := c.spec(r)
	if err != nil {
		return err
	}
	return c.with(r, func(st *Store) error {
		workspace, err := only(r, st, c.Workspace)
		if err != nil {
			return err
		}
		by := human(r.Getenv)
		got, err := st.Connections.Add(r, by, workspace, s)
		if err != nil {
			return err
		}
		seen, err := st.Connections.Refresh(r, workspace, s.Name)
		if err != nil {
			// It is kept: what is missing may be a credential that comes next.
			fmt.Fprintf(r.Errors, "%s is kept, but cannot be reached yet: %v\nThen: deskmate connection refresh %s\n", s.Name, err, s.Name)
			return c.printConnection(r, got)
		}
		if got = seen; c.Accept && got.State != connection.StateActive {
			if got, err = st.Connections.Accept(r, by, workspace, s.Name, got.SeenPin); err != nil {
				return err
			}
		}
		return c.printConnection(r, got)
	})
}

// shown is a connection as --json prints it.
type shown struct {
	connection.Connection
	Tools        []connection.Tool `json:"tools"`
	Seen         []connection.Tool `json:"seen,omitempty"`
	Instructions string            `json:"instructions,omitempty"`
	Changes      []string          `json:"changes,omitempty"`
}

func (f storeFlags) printConnection(r *run, c connection.Connection) error {
	if f.JSON {
		return printJSON(r.Out, shown{c, c.Tools(), c.Seen(), c.Instructions(), c.Changes()})
	}
	w := r.Out
	fmt.Fprintf(w, "%s  %s  %s", c.Name, c.Spec.Kind, c.State)
	if c.Reason != "" {
		fmt.Fprintf(w, ": %s", c.Reason)
	}
	fmt.Fprintf(w, "\n    %s\n", orWord(c.Server, "not reached yet"))
	tools := c.Tools()
	if c.State == connection.StateNew && len(tools) == 0 {
		tools = c.Seen()
	}
	for _, t := range tools {
		about, _, _ := strings.Cut(t.Description, "\n")
		fmt.Fprintf(w, "    %-8s  %s  %s\n", t.Class, t.Name, cutWords(about, 90))
	}
	for _, l := range c.Changes() {
		if c.State != connection.StateNew || c.Pin != "" {
			fmt.Fprintf(w, "    | %s\n", l)
		}
	}
	switch {
	case c.State != connection.StateActive && c.SeenPin != "":
		fmt.Fprintf(w, "To use it as it shows itself now: deskmate connection accept %s\n", c.Name)
	case c.State == connection.StateActive:
		fmt.Fprintf(w, "Its tools are used as far as grants allow: deskmate access grant '%s.*' --help\n", c.Name)
	}
	return nil
}

// cutWords is a text of at most n characters.
func cutWords(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

type connectionName struct {
	storeFlags
	workspaceFlag
	Name string `arg:"" help:"Name of the connection."`
}

func (c *connectionName) do(r *run, work func(ctx context.Context, m *connection.Manager, by, workspace string) (connection.Connection, error)) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		got, err := work(r, s.Connections, human(r.Getenv), workspace)
		if err != nil {
			return err
		}
		return c.printConnection(r, got)
	})
}

type connectionAccept struct {
	connectionName
	Pin string `help:"Accept only if this is still the hash of what it shows (show --json: seen_pin)." placeholder:"HASH"`
}

// Help implements kong.HelpProvider.
func (connectionAccept) Help() string { return "Example: deskmate connection accept tracker" }

func (c *connectionAccept) Run(r *run) error {
	return c.do(r, func(ctx context.Context, m *connection.Manager, by, workspace string) (connection.Connection, error) {
		// What is accepted is what is there now, not what was there some time ago.
		got, err := m.Refresh(ctx, workspace, c.Name)
		if err != nil {
			return got, err
		}
		pin := c.Pin
		if pin == "" {
			if pin = got.SeenPin; pin == "" {
				pin = got.Pin
			}
		}
		return m.Accept(ctx, by, workspace, c.Name, pin)
	})
}

type connectionList struct {
	storeFlags
	workspaceFlag
}

// Help implements kong.HelpProvider.
func (connectionList) Help() string { return "Example: deskmate connection list --json" }

func (c *connectionList) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Connections.List(r, workspace)
		if err != nil {
			return err
		}
		if c.JSON {
			if all == nil {
				all = []connection.Connection{}
			}
			return printJSON(r.Out, all)
		}
		for _, x := range all {
			fmt.Fprintf(r.Out, "%-16s %-5s %-12s %3d tools  %s\n", x.Name, x.Spec.Kind, x.State, len(x.Tools()), orWord(x.Reason, x.Spec.Description))
		}
		if len(all) == 0 {
			fmt.Fprintln(r.Out, "No connections. deskmate connection presets lists what is easy to connect.")
		}
		return nil
	})
}

type connectionShow struct{ connectionName }

// Help implements kong.HelpProvider.
func (connectionShow) Help() string { return "Example: deskmate connection show tracker" }

func (c *connectionShow) Run(r *run) error {
	return c.do(r, func(ctx context.Context, m *connection.Manager, _, workspace string) (connection.Connection, error) {
		return m.Get(ctx, workspace, c.Name)
	})
}

type connectionTest struct{ connectionName }

// Help implements kong.HelpProvider.
func (connectionTest) Help() string { return "Example: deskmate connection test tracker" }

func (c *connectionTest) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		t, err := s.Connections.Test(r, workspace, c.Name)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, t)
		}
		fmt.Fprintf(r.Out, "%s answers: %s, protocol %s, %d tools, %s\n", c.Name, orWord(t.Server, "without a name"), orWord(t.Protocol, "none"), t.Tools, t.Took)
		if !t.Accepted {
			fmt.Fprintln(r.Out, "What it shows is not what was accepted: deskmate connection refresh "+c.Name)
		}
		return nil
	})
}

type connectionRefresh struct{ connectionName }

// Help implements kong.HelpProvider.
func (connectionRefresh) Help() string { return "Example: deskmate connection refresh tracker" }

func (c *connectionRefresh) Run(r *run) error {
	return c.do(r, func(ctx context.Context, m *connection.Manager, _, workspace string) (connection.Connection, error) {
		return m.Refresh(ctx, workspace, c.Name)
	})
}

type connectionWhy struct {
	connectionName
	Reason string `required:"" help:"Why; it is kept in the ledger."`
}

type connectionQuarantine struct{ connectionWhy }

// Help implements kong.HelpProvider.
func (connectionQuarantine) Help() string {
	return "Example: deskmate connection quarantine tracker --reason 'odd answers since noon'"
}

func (c *connectionQuarantine) Run(r *run) error {
	return c.do(r, func(ctx context.Context, m *connection.Manager, by, workspace string) (connection.Connection, error) {
		return m.Quarantine(ctx, by, workspace, c.Name, c.Reason)
	})
}

type connectionRemove struct{ connectionWhy }

// Help implements kong.HelpProvider.
func (connectionRemove) Help() string {
	return "Example: deskmate connection remove tracker --reason 'we moved to another one'\n\nGrants that name its tools stay and allow nothing."
}

func (c *connectionRemove) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		if err := s.Connections.Remove(r, human(r.Getenv), workspace, c.Name, c.Reason); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]string{"removed": c.Name})
		}
		fmt.Fprintf(r.Out, "%s is removed, and its credentials are destroyed here. Revoke them at the system itself too.\n", c.Name)
		return nil
	})
}

type connectionPresets struct {
	JSON bool   `help:"Print JSON."`
	Name string `arg:"" optional:"" help:"Print this preset."`
}

// Help implements kong.HelpProvider.
func (connectionPresets) Help() string { return "Example: deskmate connection presets files" }

func (c *connectionPresets) Run(r *run) error {
	if c.Name != "" {
		text, err := connection.PresetText(c.Name)
		if err != nil {
			return err
		}
		_, err = r.Out.Write(text)
		return err
	}
	all := connection.Presets()
	if c.JSON {
		return printJSON(r.Out, all)
	}
	for _, p := range all {
		fmt.Fprintf(r.Out, "%-12s %s\n", p.Name, p.About)
	}
	return nil
}

// connectionFindings say how each connection is.
func connectionFindings(ctx context.Context, s *Store, workspace string) ([]finding, error) {
	all, err := s.Connections.List(ctx, workspace)
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, c := range all {
		f := finding{What: "connection " + c.Name, OK: true}
		t, err := s.Connections.Test(ctx, workspace, c.Name)
		switch {
		case c.State != connection.StateActive:
			f.Warning, f.Detail = true, c.State+", not in use: deskmate connection show "+c.Name
		case err != nil:
			f.OK, f.Detail = false, err.Error()
		case !t.Accepted:
			f.OK, f.Detail = false, "shows something other than what was accepted: deskmate connection refresh "+c.Name
		default:
			f.Detail = fmt.Sprintf("answers in %s, %d tools", t.Took, t.Tools)
			if t.Sandbox == "none" {
				f.Warning, f.Detail = true, f.Detail+"; its program runs without a sandbox and can read what the server can"
			}
		}
		found = append(found, f)
	}
	return found, nil
}
