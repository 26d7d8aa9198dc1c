package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity"
)

// stopWait is how long a stop waits to see what became of what was under way.
const stopWait = time.Second

// stopTarget reads "all", "tool NAME", "channel #c" …; rest is the reason.
func (h *Commands) stopTarget(ctx context.Context, a *asking) (kind, name, reason string, err error) {
	words := a.words
	if len(words) == 0 {
		return "", "", "", sorryf("Say what: `all`, `tool NAME`, `connection NAME`, `channel #c`, `person @p` or `credential ID`, and why.")
	}
	kind = strings.ToLower(words[0])
	used := 1
	if kind != "all" {
		if !slices.Contains(identity.StopKinds, kind) {
			return "", "", "", sorryf("`%s` is nothing that can be stopped: `all`, `%s`.", plain(words[0]), strings.Join(identity.StopKinds, "`, `"))
		}
		if len(words) < 2 {
			return "", "", "", sorryf("Say which %s.", kind)
		}
		name, used = strings.Trim(words[1], "`"), 2
	}
	switch kind {
	case identity.StopChannel:
		if name, err = h.channelOf(ctx, *a, words[1]); err != nil {
			return "", "", "", err
		}
		if err := h.managing(ctx, a, name); err != nil {
			return "", "", "", err
		}
	case identity.StopPerson:
		p, err := h.personOf(ctx, *a, words[1])
		if err != nil {
			return "", "", "", err
		}
		name = p.ID
	}
	if reason = strings.TrimSpace(strings.TrimPrefix(strings.Join(words[used:], " "), "why ")); reason == "" {
		return "", "", "", sorryf("Say why, at the end: it is kept in the ledger.")
	}
	if !a.who.Admin && !a.who.Sponsor && !(kind == identity.StopChannel && slices.Contains(a.who.Manages, name)) && !(kind == identity.StopPerson && name == a.User) {
		return "", "", "", sorryf("That takes my sponsor or an admin of the workspace; who made a channel may stop me in it, and everybody may stop what they asked for. To stop the work in a thread, anyone can say `stop` there.")
	}
	return kind, name, reason, nil
}

func (h *Commands) suspend(ctx context.Context, a asking) (string, error) {
	kind, name, reason, err := h.stopTarget(ctx, &a)
	if err != nil {
		return "", err
	}
	under, err := h.Gate.UnderWay(ctx, a.Workspace, nil)
	if err != nil {
		return "", err
	}
	text := "I am suspended: I do nothing until somebody resumes me."
	if kind == "all" {
		if a.agent.State != identity.StateActive {
			return "", sorryf("I am %s already.", a.agent.State)
		}
		if _, err := h.Agents.Suspend(ctx, a.Workspace, a.User, reason); err != nil {
			return "", err
		}
		if err := h.Gate.Recheck(ctx); err != nil {
			return "", err
		}
	} else {
		stop, err := h.Gate.Stop(ctx, identity.Stop{Workspace: a.Workspace, Kind: kind, Name: name, By: a.User, Reason: reason})
		if err != nil {
			return "", err
		}
		text = fmt.Sprintf("Stopped: %s (%s).", stop, plain(stop.Reason))
	}
	settled, err := h.Gate.Settled(ctx, a.Workspace, under, stopWait)
	if err != nil {
		return "", err
	}
	for _, u := range settled {
		text += fmt.Sprintf("\n- was under way: `%s` in <#%s> for <@%s>: %s", u.Tool, u.Channel, u.Requester, identity.UnderWords(u.State))
	}
	again := kind + " " + name
	return text + "\nTo let it go on: `/deskmate resume " + strings.TrimSpace(again) + " REASON`", nil
}

func (h *Commands) resume(ctx context.Context, a asking) (string, error) {
	kind, name, reason, err := h.stopTarget(ctx, &a)
	if err != nil {
		return "", err
	}
	if kind == "all" {
		if a.agent.State != identity.StateSuspended {
			return "", sorryf("I am %s, so there is nothing to resume.", a.agent.State)
		}
		if _, err := h.Agents.Resume(ctx, a.Workspace, a.User, reason); err != nil {
			return "", err
		}
		return "I am at work again, and take up what waited.", nil
	}
	err = h.Gate.Unstop(ctx, a.Workspace, kind, name, a.User, reason)
	if errors.Is(err, identity.ErrNotStopped) {
		return "", sorryf("The %s `%s` is not stopped.", kind, plain(name))
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Resumed: %s `%s`.", kind, name), nil
}
