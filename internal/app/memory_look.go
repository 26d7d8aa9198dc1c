package app

import (
	"fmt"
	"strings"

	"deskmate/bot"
	"deskmate/memory"
)

type memoryContext struct {
	storeFlags
	workspaceFlag
	Thread string `required:"" help:"The thread: CHANNEL/TS, or CHANNEL for the newest there." placeholder:"CHANNEL/TS"`
}

// Help implements kong.HelpProvider.
func (memoryContext) Help() string {
	return "Shows the messages as a model server is sent them, byte for byte, with the size of each, and the names of the tools that were offered. For a duty, give the message that reports its run. They are kept for 30 days, and erased with the next note that is forgotten. " +
		"Example: deskmate memory context --thread C0123ABCD/1700000000.000100"
}

func (c *memoryContext) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		channel, thread, _ := strings.Cut(c.Thread, "/")
		shown, err := bot.LastShown(r, s.DB, workspace, channel, thread)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, shown)
		}
		fmt.Fprintf(r.Out, "Turn %s, %s, about %d tokens\nTools offered: %s\n", shown.Turn, shown.BuiltAt.Format("2006-01-02 15:04:05"), shown.Tokens, strings.Join(shown.Tools, ", "))
		for _, m := range shown.Messages {
			fmt.Fprintf(r.Out, "\n--- %s %s(about %d tokens)\n%s\n", m.Role, spaced(m.CallID), memory.Tokens(m.Content), m.Content)
			for _, call := range m.Calls {
				fmt.Fprintf(r.Out, "calls %s %s %s\n", call.ID, call.Name, call.Arguments)
			}
		}
		return nil
	})
}

func spaced(s string) string {
	if s == "" {
		return ""
	}
	return s + " "
}

type memoryBrief struct {
	storeFlags
	workspaceFlag
	Thread string `required:"" help:"The thread: CHANNEL/TS, or CHANNEL for a direct message." placeholder:"CHANNEL/TS"`
	For    string `required:"" help:"Slack id of the person who is to read it: what they may not see is left out." placeholder:"USER"`
}

// Help implements kong.HelpProvider.
func (memoryBrief) Help() string {
	return "Example: deskmate memory brief --thread C0123ABCD/1700000000.000100 --for U0123ABCD"
}

func (c *memoryBrief) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		channel, thread, _ := strings.Cut(c.Thread, "/")
		person, err := s.Memory.Person(r, workspace, c.For)
		if err != nil {
			return err
		}
		kind := memory.ChannelDirect
		if !strings.HasPrefix(channel, "D") {
			ch, err := s.Memory.Channel(r, workspace, channel)
			if err != nil {
				return err
			}
			kind = ch.Kind
		}
		p := memory.Place{Workspace: workspace, Channel: channel, ChannelKind: kind, Requester: person.ID, RequesterKind: person.Kind}
		b, err := s.Memory.BriefThread(r, p, channel, thread)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, b)
		}
		said, err := s.Memory.Say(r, workspace, b)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(r.Out, said)
		return err
	})
}

type memoryVectors struct {
	storeFlags
	workspaceFlag
	Model string `required:"" help:"The embedding model, as DESKMATE_EMBEDDING_MODEL names it." placeholder:"MODEL"`
}

// Help implements kong.HelpProvider.
func (memoryVectors) Help() string {
	return "They are filled in while deskmate serve runs, the newest first. Example: deskmate memory vectors --model nomic-embed-text"
}

func (c *memoryVectors) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		p, err := s.Memory.Vectors(r, workspace, c.Model)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, p)
		}
		_, err = fmt.Fprintf(r.Out, "%d of %s have a vector of %s.\n", p.Filled, plural(p.Total, "text"), p.Model)
		return err
	})
}
