package bot

import (
	"context"
	"fmt"
	"slices"
	"time"

	"deskmate/memory"
)

// A channel that the agent is not in, or that is archived, is not among those that
// Slack lists with it.
const (
	// fewUnlisted is how many of them are asked for by themselves, whenever the others
	// are listed.
	fewUnlisted = 20
	// unlistedFor is how long it is taken as true of more of them that they are public;
	// then all public channels are listed.
	unlistedFor = time.Hour
)

// freshen has memory know which of its public channels are not public any more. Of
// most changes Slack tells, but not of a channel that turns private, and not of what
// happened while nobody listened. Slack is asked once in DirectoryOptions.TTL. The
// error is one that may pass.
func (d *Directory) freshen(ctx context.Context, workspace string) error {
	if d.o.Open == nil {
		return nil
	}
	_, err := cached(ctx, d, "open:"+workspace, func(ctx context.Context) (bool, error) {
		open, err := d.o.Open(ctx, workspace)
		if err != nil || len(open) == 0 {
			return false, err
		}
		list, err := d.roster.placesOf(ctx, d.o.Self)
		if err != nil && !isRefusal(err) {
			return false, fmt.Errorf("list channels: %w", err)
		}
		now := map[string]Channel{}
		for _, c := range list {
			now[c.ID] = c
		}
		var unlisted []Opened
		for _, o := range open {
			if c, listed := now[o.ID]; !listed {
				unlisted = append(unlisted, o)
			} else if c.Kind != ChannelPublic {
				d.learn(ctx, workspace, c)
			}
		}
		return true, d.freshenUnlisted(ctx, workspace, unlisted)
	})
	if err != nil {
		return fmt.Errorf("look which channels are public: %w", err)
	}
	return nil
}

// freshenUnlisted does so for channels that the agent is not in.
func (d *Directory) freshenUnlisted(ctx context.Context, workspace string, all []Opened) error {
	one := func(id string) (c Channel, shown bool, err error) {
		c, err = d.roster.channel(ctx, id)
		if isRefusal(err) {
			return Channel{}, false, nil
		}
		return c, err == nil, err
	}
	if len(all) > fewUnlisted {
		now := d.o.Clock()
		all = slices.DeleteFunc(all, func(o Opened) bool { return now.Sub(o.At) < unlistedFor })
	}
	if len(all) > fewUnlisted {
		public, err := d.roster.public(ctx)
		if err != nil {
			return fmt.Errorf("list public channels: %w", err)
		}
		one = func(id string) (Channel, bool, error) {
			c, shown := public[id]
			return c, shown, nil
		}
	}
	for _, o := range all {
		c, shown, err := one(o.ID)
		if err != nil {
			return fmt.Errorf("look up channel %s: %w", o.ID, err)
		}
		if !shown { // but to its members, if it is there at all
			c = Channel{ID: o.ID, Name: o.Name, Kind: ChannelPrivate}
		}
		d.learn(ctx, workspace, c)
	}
	return nil
}

// learn keeps what Slack says of a channel.
func (d *Directory) learn(ctx context.Context, workspace string, c Channel) {
	d.remember("channel:"+workspace+":"+c.ID, c)
	d.o.SaveChannel(ctx, workspace, c)
}

// ReadingPlace is where an answer appears and for whom, to read memory with: the one
// way to such a place, so that nobody reads by what was public once. kind is that of
// the channel; team is the requester's home as the event told it, "" for unknown. The
// error is one that may pass.
func (d *Directory) ReadingPlace(ctx context.Context, workspace, channel, kind, requester, team string) (memory.Place, error) {
	if err := d.freshen(ctx, workspace); err != nil {
		return memory.Place{}, err
	}
	who, err := d.RequesterKind(ctx, workspace, requester, team)
	if err != nil {
		return memory.Place{}, fmt.Errorf("look up requester %s: %w", requester, err)
	}
	return memory.Place{Workspace: workspace, Channel: channel, ChannelKind: kind, Requester: requester, RequesterKind: who}, nil
}

// Opened is a channel that memory takes for public since At.
type Opened struct {
	ID, Name string
	At       time.Time
}
