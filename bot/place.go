package bot

import (
	"context"
	"fmt"
	"slices"
	"time"

	"deskmate/memory"
)

const (
	// unlistedFor is how long it is taken as true that a channel is public which the
	// agent is not in, or which is archived: each is asked for by itself.
	unlistedFor = time.Hour
	// mostUnlisted is how many of them are asked for at once, the oldest first.
	mostUnlisted = 50
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
		slices.SortStableFunc(open, func(a, b Opened) int { return a.At.Compare(b.At) })
		asked := 0
		for _, o := range open {
			c, listed := now[o.ID]
			if !listed {
				if asked == mostUnlisted || d.o.Clock().Sub(o.At) < unlistedFor {
					continue
				}
				asked++
				if c, err = d.roster.channel(ctx, o.ID); isRefusal(err) {
					c = Channel{ID: o.ID, Name: o.Name, Kind: ChannelPrivate} // Slack shows it to its members only, if it is there at all
				} else if err != nil {
					return false, fmt.Errorf("look up channel %s: %w", o.ID, err)
				}
			}
			if c.Kind == ChannelPublic && listed {
				continue
			}
			d.remember("channel:"+workspace+":"+o.ID, c)
			d.o.SaveChannel(ctx, workspace, c)
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("look which channels are public: %w", err)
	}
	return nil
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
