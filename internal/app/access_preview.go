package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"deskmate/bot"
	"deskmate/identity/policy"
)

// mostPreviewed bounds how many requests a preview decides.
const mostPreviewed = 5000

// shifts are the decisions that a plan would change: of every known tool that it
// is about, in every channel that the store knows, for a member, a guest and the
// people whom its grants name.
func shifts(ctx context.Context, s *Store, p policy.Plan) ([]policy.Shift, error) {
	changed := slices.Concat(p.Add, p.Remove)
	for _, c := range p.Change {
		changed = append(changed, c.Was, c.Now)
	}
	tools, err := s.Access.Tools(ctx, p.Workspace)
	if err != nil {
		return nil, err
	}
	channels, err := storedChannels(ctx, s, p.Workspace)
	if err != nil {
		return nil, err
	}
	people := []bot.Person{{ID: "U0ANYBODY0", Kind: bot.KindMember}, {ID: "U0ANYBODY1", Kind: bot.KindGuest}}
	for _, g := range changed {
		for _, w := range g.Who {
			if id, ok := strings.CutPrefix(w, "user:"); ok && !slices.ContainsFunc(people, func(p bot.Person) bool { return p.ID == id }) {
				person, err := storedPerson(ctx, s, p.Workspace, id)
				if err != nil {
					return nil, err
				}
				people = append(people, person)
			}
		}
	}
	var requests []policy.Request
	for _, t := range tools {
		about := func(g policy.Grant) bool {
			return g.Bundle != "" || g.Names(t.Name) || slices.Contains(g.Tools, t.Connection+".*")
		}
		if !slices.ContainsFunc(changed, about) {
			continue
		}
		for _, c := range channels {
			for _, who := range people {
				requests = append(requests, policy.Request{Workspace: p.Workspace, Tool: t.Name, Connection: t.Connection, Class: t.Class, Requester: who.ID, RequesterKind: who.Kind,
					Channel: c.ID, ChannelName: c.Name, ChannelKind: c.Kind, Target: c.ID, TargetKind: c.Kind, TargetMember: c.IsMember, Args: []byte(`{}`), At: s.DB.Now()})
			}
		}
	}
	if len(requests) > mostPreviewed {
		requests = requests[:mostPreviewed]
	}
	return s.Access.Preview(ctx, p, requests)
}

// storedChannels are the channels that the store knows and the agent is in.
func storedChannels(ctx context.Context, s *Store, workspace string) ([]bot.Channel, error) {
	rows, err := s.DB.Query(ctx, `SELECT id, name, kind, is_member FROM channels WHERE workspace = $1 AND is_member <> 0 AND kind <> 'im' ORDER BY name, id`, workspace)
	if err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	defer rows.Close()
	var all []bot.Channel
	for rows.Next() {
		var c bot.Channel
		if err := rows.Scan(&c.ID, &c.Name, &c.Kind, &c.IsMember); err != nil {
			return nil, fmt.Errorf("list channels: %w", err)
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// printShifts says which decisions would change, in the channels that are known.
func printShifts(w io.Writer, all []policy.Shift) {
	if len(all) == 0 {
		fmt.Fprintln(w, "No decision would change, in the channels that the store knows and for calls without arguments.")
		return
	}
	fmt.Fprintln(w, "Decisions that would change:")
	for i, x := range all {
		if i == 40 {
			fmt.Fprintf(w, "  and %d more\n", len(all)-i)
			break
		}
		who := map[string]string{"U0ANYBODY0": "members", "U0ANYBODY1": "guests"}[x.Request.Requester]
		fmt.Fprintf(w, "  %s in #%s for %s: %s, now %s\n", x.Request.Tool, orWord(x.Request.ChannelName, x.Request.Channel), orWord(who, x.Request.Requester), x.Now.Verdict, x.Was.Verdict)
	}
}
