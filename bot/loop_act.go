package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// act does one tool call and stores its outcome. What the tool or the gate
// refused is an outcome too: the model reads why.
func (l *Loop) act(ctx context.Context, lease *task.Lease, t *Turn, call ToolCall, progress func(string)) error {
	tool, ok, err := l.tool(ctx, t, call.Name)
	if err != nil {
		return err
	}
	if !ok {
		return l.store(ctx, lease, t, outcomeStep(call, identity.Result{}, fmt.Errorf("there is no tool %q", call.Name)))
	}
	e := t.last()
	place, err := l.place(ctx, t, e)
	if err != nil {
		return err
	}
	c := Call{Key: callKey(t, call.ID), Turn: t, Event: e, Place: place, ID: call.ID, Args: call.Args, Progress: progress}
	if !json.Valid(call.Args) || !strings.HasPrefix(strings.TrimSpace(string(call.Args)), "{") {
		return l.store(ctx, lease, t, outcomeStep(call, identity.Result{}, badArgument("the arguments are not a JSON object")))
	}
	refuse := t.refused(tool)
	if tool.Gated && refuse == "" {
		r, err := tool.Run(ctx, c)
		if err != nil && !isOutcome(err) {
			return err
		}
		return l.store(ctx, lease, t, outcomeStep(call, tool.labelled(r), err))
	}
	stored := false
	effect := identity.Effect{
		Do: func(ctx context.Context) (identity.Result, error) { return tool.Run(ctx, c) },
		Commit: func(tx *migrations.Tx, r identity.Result, err error) error {
			if err := lease.Guard(tx); err != nil {
				return err
			}
			stored = true
			return t.add(tx, outcomeStep(call, tool.labelled(r), err))
		},
	}
	if tool.Repeatable {
		effect.Find = again
	}
	target := ""
	if tool.Target != nil {
		target = tool.Target(c)
	}
	everyone := tool.Everyone != nil && tool.Everyone(c)
	r, err := l.Gate.Do(ctx, identity.Action{
		Key: c.Key, Workspace: t.Workspace, Turn: t.ID, Cause: e.Key,
		Requester: e.User, RequesterKind: place.RequesterKind,
		Channel: t.Channel, ChannelKind: place.ChannelKind, Thread: t.Thread, Target: target, Everyone: everyone,
		Refuse: refuse, Tool: tool.Name, Connection: tool.Connection, Class: tool.Class, Pin: tool.Pin, Host: tool.Host, Credential: tool.Credential, Args: call.Args, Owner: e.owned(), Duty: e.Duty, Others: t.others(e.User), Label: t.label(),
	}, effect)
	if stored {
		return nil
	}
	if err != nil && !isOutcome(err) {
		return err
	}
	return l.store(ctx, lease, t, outcomeStep(call, tool.labelled(r), err))
}

// callKey names a tool call for ever; call ids begin with "c".
func callKey(t *Turn, call string) string { return "turn:" + t.ID + ":" + call }

// isOutcome tells refusals and failures that the model should read from inner
// failures that the turn should be tried again for.
func isOutcome(err error) bool {
	var denied *identity.DeniedError
	var argument *argumentError
	var failed *identity.FailedError
	refused := errors.As(err, &denied)
	if errors.Is(err, identity.ErrSuspended) && !(refused && denied.Final) {
		return false // waited out, not answered
	}
	return refused || errors.As(err, &argument) || errors.As(err, &failed) ||
		errors.Is(err, identity.ErrUnknownOutcome)
}

func outcomeStep(call ToolCall, r identity.Result, err error) Step {
	o := &Outcome{Call: call, Result: r}
	if err != nil {
		o.Error = err.Error()
		o.Unknown = errors.Is(err, identity.ErrUnknownOutcome)
		var denied *identity.DeniedError
		if errors.As(err, &denied) && denied.Final {
			o.Final = strings.Join(denied.Reasons, "; ")
		}
	}
	return Step{Kind: stepAction, CallID: call.ID, Outcome: o}
}

// tool is the tool of that name which can be used in the turn now.
func (l *Loop) tool(ctx context.Context, t *Turn, name string) (Tool, bool, error) {
	named := func(x Tool) bool { return x.Name == name }
	if i := slices.IndexFunc(l.Tools, named); i >= 0 {
		return l.Tools[i], true, nil
	}
	all, err := l.offered(ctx, t)
	if i := slices.IndexFunc(all, named); i >= 0 {
		return all[i], true, nil
	}
	return Tool{}, false, err
}
