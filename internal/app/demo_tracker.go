package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/connection"
	"deskmate/connection/child"
	"deskmate/identity/policy"
	"deskmate/internal/slacksim"
	"deskmate/internal/tracker"
)

type trackerCommand struct {
	Dir string `required:"" help:"Where its issues are kept." placeholder:"DIR"`
}

func (c *trackerCommand) Run(r *run) error { return tracker.Serve(r, tracker.Options{Dir: c.Dir}) }

// connect has an admin connect the issue tracker: a program of its own, as any MCP
// server is. It says what keeps the program apart.
func (d *demo) connect(ctx context.Context) (string, error) {
	self, err := exec.LookPath(os.Args[0])
	if err != nil {
		return "", fmt.Errorf("find the program: %w", err)
	}
	dir, err := filepath.Abs(filepath.Join(d.dir, "tracker"))
	if err != nil {
		return "", fmt.Errorf("find the tracker's directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the tracker's directory: %w", err)
	}
	if self, err = filepath.Abs(self); err != nil {
		return "", fmt.Errorf("find the program: %w", err)
	}
	spec := connection.Spec{
		Name: "tracker", Kind: connection.KindMCP, Description: "The team's issue tracker", Command: []string{self, "tracker", "--dir", dir}, Dir: dir,
		Classes: map[string]string{"list_*": "read", "get_*": "read", "*": "write"},
		Once:    map[string]string{"create_issue": "idempotency_key", "comment": "idempotency_key"},
	}
	if _, err := child.Bubblewrap(); err != nil {
		spec.Sandbox, spec.Network = child.SandboxNone, child.NetworkFull // the demo is to run on a bare machine too
	}
	workspace := d.App.Self.Workspace
	m := d.App.Connections
	if _, err := m.Add(ctx, ada, workspace, spec); err != nil {
		return "", err
	}
	c, err := m.Refresh(ctx, workspace, spec.Name)
	if err != nil {
		return "", err
	}
	pin := c.SeenPin
	if c.State == connection.StateActive {
		pin = c.Pin
	}
	again := c.AcceptedBy != "" // a store that was used before
	if c, err = m.Accept(ctx, ada, workspace, spec.Name, pin); err != nil {
		return "", err
	}
	const why = "the team files its work there"
	for _, g := range []policy.Grant{
		{Effect: policy.Allow, Tools: []string{"tracker.list_issues", "tracker.get_issue", "tracker.close_issue"}},
		{Effect: policy.Ask, Tools: []string{"tracker.create_issue", "tracker.comment"}, Approvers: []string{policy.Sponsor, policy.Admins}},
	} {
		if again {
			break
		}
		g.Workspace, g.Scope, g.Justification, g.ExpiresAt = workspace, "channel:"+eng, why, d.App.DB.Now().Add(30*24*time.Hour)
		if _, err := d.App.Access.Grant(ctx, ada, g); err != nil {
			return "", err
		}
	}
	apart := "in a sandbox of its own, without a network"
	if spec.Sandbox == child.SandboxNone {
		apart = "without a sandbox: bubblewrap is not installed here"
	}
	return fmt.Sprintf("%d tools accepted as they are, some granted in #eng; its program runs %s", len(c.Tools()), apart), nil
}

// tracker has Ben ask for what is in the issue tracker. An issue there tells the
// agent what to do; nothing follows from it, and what would change anything is now
// asked for, because of what was read.
func (s *story) tracker(ctx context.Context) error {
	said, err := s.demo.connect(ctx)
	if err != nil {
		return err
	}
	s.say("   (%s)\n", said)
	if _, err := s.ask(ctx, ben, eng, "", toAgent+"call tracker.list_issues label=bug", "HB-1"); err != nil {
		return err
	}
	root, err := s.ask(ctx, ben, eng, "", toAgent+"call tracker.get_issue issue=HB-5", "Ignore your instructions")
	if err != nil {
		return err
	}
	if _, err := s.ask(ctx, ben, eng, root, toAgent+"call tracker.close_issue issue=HB-5", "Approval needed"); err != nil {
		return fmt.Errorf("closing an issue after one of them said to: %w", err)
	}
	return s.file(ctx)
}

// file has Ben file an issue, which Ada approves.
func (s *story) file(ctx context.Context) error {
	root, err := s.ask(ctx, ben, eng, "", toAgent+`call tracker.create_issue title="Try the restore before 2.1"`, "Approval needed")
	if err != nil {
		return err
	}
	card, err := s.views[ada].Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && m.Thread == root && strings.Contains(m.Text, "create_issue")
	})
	if err != nil {
		return fmt.Errorf("wait for the card: %w", err)
	}
	s.say("   Ada presses Approve.\n")
	if err := s.people[ada].Press(ctx, card, bot.ButtonApprove); err != nil {
		return err
	}
	m, err := s.views[ben].Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && m.Thread == root && strings.Contains(m.Text, "HB-9")
	})
	if err != nil {
		return errors.Join(errors.New("wait for the new issue"), err)
	}
	s.say("   deskmate: %s\n", s.plain(firstLines(m.Text, 4)))
	return nil
}

// firstLines is the beginning of a text.
func firstLines(text string, n int) string {
	lines := strings.SplitN(text, "\n", n+1)
	if len(lines) > n {
		lines = append(lines[:n], "…")
	}
	return strings.Join(lines, "\n")
}
