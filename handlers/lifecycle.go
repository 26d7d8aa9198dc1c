package handlers

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/memory"
	"deskmate/migrations"
)

// Lifecycle follows changes of the workspace: who comes and goes, what channels
// become, and the end of the installation.
type Lifecycle struct {
	DB     *migrations.DB
	People *bot.Directory
	Agents *identity.Agents
	Memory *memory.Memory
	// Sponsors are looked up anew when one of them changes; nil: nobody is.
	Sponsors *identity.Sponsors
	// Owners are looked at when they or their places change; nil: nobody is.
	Owners *Owners
	Logger zerolog.Logger
}

// Handle takes one change. What was known before is forgotten, so that the next
// question is answered by Slack.
func (h *Lifecycle) Handle(ctx context.Context, c bot.Change) error {
	h.People.Forget(c)
	switch c.Kind {
	case "member_joined_channel":
		err := h.write(ctx, c, func(tx *migrations.Tx) error { return h.Memory.Joined(tx, c.Workspace, c.Channel, c.User) })
		return errors.Join(err, h.owners(ctx, c, c.User, c.Channel))
	case "member_left_channel":
		err := h.write(ctx, c, func(tx *migrations.Tx) error { return h.Memory.Left(tx, c.Workspace, c.Channel, c.User) })
		if h.Owners != nil {
			err = errors.Join(err, h.Owners.Handover.Left(ctx, c))
		}
		return errors.Join(err, h.owners(ctx, c, c.User))
	case "channel_shared", "channel_unshared", "channel_archive", "channel_unarchive", "channel_rename", "group_archive", "group_rename":
		// Asked for at once: what may be shown depends on what the channel is now.
		if _, err := h.People.Channel(ctx, c.Workspace, c.Channel); err != nil {
			h.Logger.Warn().Err(err).Str("change", c.Kind).Msg("changed channel not looked up")
		}
		return h.owners(ctx, c, c.Channel)
	case "channel_deleted", "group_deleted", "channel_left", "group_left", "group_unarchive":
		return h.owners(ctx, c, c.Channel)
	case "user_change":
		if _, err := h.People.Person(ctx, c.Workspace, c.User); err != nil {
			h.Logger.Warn().Err(err).Str("change", c.Kind).Msg("changed person not looked up")
		}
		return errors.Join(h.sponsor(ctx, c), h.owners(ctx, c, c.User))
	case "app_uninstalled", "tokens_revoked":
		return h.suspend(ctx, c)
	}
	return nil
}

// owners has those who own work, or its places, looked at: what they are now is for
// Slack to say.
func (h *Lifecycle) owners(ctx context.Context, c bot.Change, about ...string) error {
	if h.Owners == nil {
		return nil
	}
	return h.write(ctx, c, func(tx *migrations.Tx) error {
		for _, id := range about {
			if id == "" {
				continue
			}
			if err := h.Owners.Look(tx, c.Workspace, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// sponsor has the sponsors looked up when the person who changed is one of them.
func (h *Lifecycle) sponsor(ctx context.Context, c bot.Change) error {
	if h.Sponsors == nil {
		return nil
	}
	a, err := h.Agents.Get(ctx, c.Workspace)
	if err != nil {
		return err
	}
	if !a.SponsoredBy(c.User) {
		return nil
	}
	return h.write(ctx, c, func(tx *migrations.Tx) error { return h.Sponsors.Look(tx, c.Workspace) })
}

func (h *Lifecycle) write(ctx context.Context, c bot.Change, f func(tx *migrations.Tx) error) error {
	if err := h.DB.Write(ctx, f); err != nil {
		return fmt.Errorf("follow %s: %w", c.Kind, err)
	}
	return nil
}

// suspend stops an agent whose installation ended: it has no account to act
// under. A human resumes it after a new installation.
func (h *Lifecycle) suspend(ctx context.Context, c bot.Change) error {
	a, err := h.Agents.Get(ctx, c.Workspace)
	if err != nil {
		return err
	}
	if a.State != identity.StateActive {
		return nil
	}
	if _, err := h.Agents.Suspend(ctx, c.Workspace, "slack", c.Kind); err != nil {
		return err
	}
	h.Logger.Error().Str("workspace", c.Workspace).Str("change", c.Kind).Msg("the installation ended: the agent is suspended")
	return nil
}
