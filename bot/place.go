package bot

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// unlistedFor is how long it is taken as true that a channel is public which the
	// agent is not in, or which is archived: each is asked for by itself.
	unlistedFor = time.Hour
	// mostUnlisted is how many of them are asked for at once, the oldest first.
	mostUnlisted = 50
)

// Freshen has memory know which of its public channels are not public any more. Of
// most changes Slack tells, but not of a channel that turns private, and not of what
// happened while nobody listened. Whoever reads memory for somebody calls it before;
// Slack is asked once in DirectoryOptions.TTL. The error is one that may pass.
func (d *Directory) Freshen(ctx context.Context, workspace string) error {
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

// Opened is a channel that memory takes for public since At.
type Opened struct {
	ID, Name string
	At       time.Time
}

// outOf says why somebody, a full member, may not know what is said in a place, ""
// if they may: it is open to all members, they are in it, or it is their direct
// message. It is as old as DirectoryOptions.TTL at most; the error may pass.
func (d *Directory) outOf(ctx context.Context, workspace, place, person string) (string, error) {
	c, err := d.Channel(ctx, workspace, place)
	switch {
	case isRefusal(err):
		return "I cannot see the place where it reports any more", nil
	case err != nil:
		return "", err
	case c.Kind == ChannelPublic:
		return "", nil
	case c.Kind == ChannelDirect && c.With == person:
		return "", nil
	case c.Kind == ChannelDirect:
		return "it reports in a direct message that its owner <@" + person + "> is not in", nil
	}
	in, err := cached(ctx, d, membersKey(workspace, place), func(ctx context.Context) ([]string, error) {
		in, err := d.roster.members(ctx, place)
		if err != nil && !isRefusal(err) {
			return nil, fmt.Errorf("list who is in %s: %w", place, err)
		}
		return in, nil
	})
	if err != nil {
		return "", err
	}
	if !slices.Contains(in, person) {
		return "its owner <@" + person + "> is not in the channel where it reports", nil
	}
	return "", nil
}

func membersKey(workspace, channel string) string { return "members:" + workspace + ":" + channel }
