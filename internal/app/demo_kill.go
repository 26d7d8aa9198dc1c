package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"deskmate/identity/policy"
)

// outside is the agent as a process of its own, which can be killed.
type outside struct {
	cmd  *exec.Cmd
	done chan error
}

// sendOut ends the agent in this process and starts it as `deskmate serve` on the
// same store, as production does.
func (d *demo) sendOut(ctx context.Context) (*outside, error) {
	d.cancel()
	err := <-d.ended
	if err = errors.Join(err, d.App.Close()); err != nil {
		return nil, fmt.Errorf("end the agent: %w", err)
	}
	d.App = nil
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self)
	cmd.Args = []string{"deskmate", "serve"}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR")}
	for _, s := range settings {
		v := d.values[s.name]
		if v == "" {
			v = demoEnv(d.getenv)(s.env)
		}
		switch s.name {
		case "addr":
			v = "off"
		case "log_level":
			v = "info" // it says there when it hears
		}
		if v != "" {
			cmd.Env = append(cmd.Env, s.env+"="+v)
		}
	}
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start deskmate serve: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start deskmate serve: %w", err)
	}
	o := &outside{cmd, make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			if strings.Contains(lines.Text(), `"message":"connected to Slack"`) {
				close(ready)
				break
			}
		}
		_, _ = io.Copy(io.Discard, log) // a pipe that nobody reads would stop it
		o.done <- cmd.Wait()
	}()
	select {
	case <-ready:
		return o, nil
	case err := <-o.done:
		o.done <- err
		return nil, fmt.Errorf("deskmate serve ended before it was ready: %w", err)
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("wait for deskmate serve: %w", context.Cause(ctx)), o.kill())
	}
}

// kill ends the process at once, as a power cut does.
func (o *outside) kill() error {
	if err := o.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill deskmate serve: %w", err)
	}
	<-o.done
	o.done <- nil
	return nil
}

// askFirst has an admin decide that a tool needs an approval, which until now it
// did not.
func (d *demo) askFirst(ctx context.Context, tool string) error {
	const why = "posts to other channels are looked at first"
	workspace := d.App.Self.Workspace
	if _, err := d.App.Access.Revoke(ctx, workspace, "builtin-"+tool, ada, why); err != nil {
		return err
	}
	_, err := d.App.Access.Grant(ctx, ada, policy.Grant{
		Workspace: workspace, Effect: policy.Ask, Tools: []string{tool}, Scope: "workspace", Approvers: []string{policy.Sponsor, policy.Admins},
		Justification: why,
	})
	return err
}

// bringBack starts the agent in this process again.
func (d *demo) bringBack(ctx context.Context) error {
	var err error
	if d.App, err = New(ctx, d.config, Options{Clock: d.Clock.Now, Logger: d.log}); err != nil {
		return err
	}
	d.work(ctx)
	return d.ready(ctx)
}
