package handlers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/connection"
)

// connectTime bounds how long a command waits for a system to show itself.
const connectTime = 20 * time.Second

// formConnect is the id of the form that connects a system.
const formConnect = "connect"

// connect is /deskmate connect: what is connected, and what an admin does about it.
func (h *Commands) connect(ctx context.Context, a asking) (string, error) {
	if len(a.words) == 0 {
		return h.connections(ctx, a)
	}
	if !a.who.Admin && !a.who.Sponsor {
		return "", sorryf("That takes my sponsor or an admin of the workspace. `/deskmate connect` lists what I am connected to.")
	}
	word := strings.ToLower(a.words[0])
	if word == "add" {
		if len(a.words) == 1 {
			return "", h.openConnect(ctx, a)
		}
		return h.addPreset(ctx, a, a.words[1:])
	}
	if len(a.words) < 2 {
		return "", sorryf("Say which: `/deskmate connect %s NAME`.", plain(word))
	}
	name, why := strings.Trim(a.words[1], "`"), strings.TrimSpace(strings.TrimPrefix(strings.Join(a.words[2:], " "), "why "))
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	var c connection.Connection
	var err error
	switch word {
	case "show":
		c, err = h.Connections.Get(ctx, a.Workspace, name)
	case "refresh":
		c, err = h.Connections.Refresh(ctx, a.Workspace, name)
	case "accept":
		c, err = h.accept(ctx, a, name)
	case "quarantine":
		if why == "" {
			return "", sorryf("Say why, at the end: it is kept in the ledger.")
		}
		c, err = h.Connections.Quarantine(ctx, a.User, a.Workspace, name, why)
	case "remove":
		if why == "" {
			return "", sorryf("Say why, at the end: it is kept in the ledger.")
		}
		if err = h.Connections.Remove(ctx, a.User, a.Workspace, name, why); err == nil {
			return fmt.Sprintf("`%s` is removed, and its credentials are destroyed here. Revoke them at the system itself too.", plain(name)), nil
		}
	default:
		return "", sorryf("There is no `/deskmate connect %s`: `add`, `show`, `accept`, `refresh`, `quarantine`, `remove`.", plain(word))
	}
	if err != nil {
		return "", connectSorry(name, err)
	}
	return connectionText(c), nil
}

// connectSorry words what went wrong with a connection; what is ours to mend goes
// to the log.
func connectSorry(name string, err error) error {
	var invalid *connection.InvalidError
	switch {
	case errors.Is(err, connection.ErrNone):
		return sorryf("I have no connection `%s`. `/deskmate connect` lists those that I have.", plain(name))
	case errors.Is(err, connection.ErrMoved):
		return sorryf("`%s` has changed since you looked. Look again: `/deskmate connect show %s`", plain(name), plain(name))
	case errors.As(err, &invalid):
		return sorryf("That cannot be connected:\n- %s", plain(strings.Join(invalid.Problems, "\n- ")))
	case connection.Unreachable(err):
		return sorryf("`%s` cannot be reached: %s", plain(name), plain(err.Error()))
	}
	return err
}

// accept takes what was shown to this person: what has changed since is refused.
func (h *Commands) accept(ctx context.Context, a asking, name string) (connection.Connection, error) {
	had, err := h.Connections.Get(ctx, a.Workspace, name)
	if err != nil {
		return had, err
	}
	pin := had.SeenPin
	if pin == "" {
		pin = had.Pin
	}
	if len(a.words) > 2 && !strings.HasPrefix(pin, strings.Trim(a.words[2], "`")) {
		return had, connection.ErrMoved
	}
	now, err := h.Connections.Refresh(ctx, a.Workspace, name)
	if err != nil {
		return now, err
	}
	if now.SeenPin != "" && now.SeenPin != pin {
		return now, connection.ErrMoved
	}
	return h.Connections.Accept(ctx, a.User, a.Workspace, name, pin)
}

func (h *Commands) connections(ctx context.Context, a asking) (string, error) {
	all, err := h.Connections.List(ctx, a.Workspace)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "I am connected to nothing yet. An admin connects me: `/deskmate connect add`, or `deskmate connection add` where I run.", nil
	}
	var b strings.Builder
	b.WriteString("I am connected to:\n")
	for _, c := range all {
		fmt.Fprintf(&b, "- `%s`: %s, %d tools", c.Name, c.State, len(c.Tools()))
		if c.Reason != "" {
			b.WriteString(" (" + plain(c.Reason) + ")")
		} else if c.Spec.Description != "" {
			b.WriteString(". " + plain(c.Spec.Description))
		}
		b.WriteByte('\n')
	}
	b.WriteString("What I may use of it here: `/deskmate access`")
	return b.String(), nil
}

// mostShown bounds the lines of a connection that are shown in Slack.
const mostShown = 40

// connectionText shows a connection: its tools, or what has changed.
func connectionText(c connection.Connection) string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s` is %s", c.Name, c.State)
	if c.Reason != "" {
		b.WriteString(": " + plain(c.Reason))
	}
	var lines []string
	if c.Pin != "" && c.SeenPin != "" {
		lines = append(lines, c.Changes()...)
	} else {
		tools := c.Tools()
		if len(tools) == 0 {
			tools = c.Seen()
		}
		for _, t := range tools {
			about, _, _ := strings.Cut(t.Description, "\n")
			if r := []rune(about); len(r) > 80 {
				about = string(r[:80]) + "…"
			}
			lines = append(lines, fmt.Sprintf("%-8s %s  %s", t.Class, t.Name, about))
		}
	}
	if len(lines) > mostShown {
		lines = append(lines[:mostShown], fmt.Sprintf("… and %d more; deskmate connection show %s has all", len(lines)-mostShown, c.Name))
	}
	if len(lines) > 0 {
		b.WriteString("\n```\n" + strings.ReplaceAll(strings.Join(lines, "\n"), "```", "'''") + "\n```")
	}
	switch {
	case c.State != connection.StateActive && c.SeenPin != "":
		fmt.Fprintf(&b, "\nTo use it as it is shown here: `/deskmate connect accept %s %s`", c.Name, c.SeenPin[:12])
	case c.State == connection.StateActive:
		fmt.Fprintf(&b, "\nWhat I may use of it is for grants to say: `/deskmate grant %s.*`", c.Name)
	}
	return b.String()
}

// addPreset connects by a preset. Presets that start a program are for who runs
// the server: a program there can do more than any admin of a workspace should.
func (h *Commands) addPreset(ctx context.Context, a asking, words []string) (string, error) {
	values := map[string]string{}
	for _, w := range words[1:] {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return "", sorryf("Give values as `name=value`.")
		}
		values[k] = v
	}
	text, err := connection.Preset(strings.Trim(words[0], "`"), values)
	if err != nil {
		return "", sorryf("That is not a preset that I can use: %s", plain(err.Error()))
	}
	return h.add(ctx, a, string(text))
}

// add connects a system that is reached by an address.
func (h *Commands) add(ctx context.Context, a asking, text string) (string, error) {
	s, err := connection.Parse([]byte(text))
	if err != nil {
		return "", sorryf("That is not a connection: %s", plain(err.Error()))
	}
	if len(s.Command) > 0 || s.Private {
		return "", sorryf("From Slack I connect only to public addresses. A program, or an address on a private network, is connected where I run: `deskmate connection add`")
	}
	if _, err := h.Connections.Add(ctx, a.User, a.Workspace, s); err != nil {
		return "", connectSorry(s.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	c, err := h.Connections.Refresh(ctx, a.Workspace, s.Name)
	if err != nil {
		return fmt.Sprintf("`%s` is kept, but cannot be reached yet: %s\nIf it needs a credential: `deskmate credential add --connection %s` where I run, or have a colleague hand it in with `deskmate credential invite`. Then: `/deskmate connect refresh %s`",
			s.Name, plain(err.Error()), s.Name, s.Name), nil
	}
	return connectionText(c), nil
}

// openConnect opens the form that takes a connection as YAML.
func (h *Commands) openConnect(ctx context.Context, a asking) error {
	var presets []string
	for _, p := range connection.Presets() {
		presets = append(presets, "`"+p.Name+"`")
	}
	return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{
		ID: formConnect, Metadata: a.Channel, Title: "Connect a system", Submit: "Connect",
		Texts: []string{"Nothing of it is used before you have looked at its tools and accepted them, and granted them. Presets: " + strings.Join(presets, ", ") + " (`/deskmate connect add NAME`)."},
		Fields: []bot.Field{{ID: "yaml", Label: "The connection, in YAML", Kind: bot.FieldLines,
			Hint: "name, kind: mcp or http, url, auth, classes. No secrets: they are handed in separately."}},
	})
}
