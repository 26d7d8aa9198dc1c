package bot

import (
	"context"
	"errors"
	"fmt"

	"github.com/slack-go/slack"
)

// roster asks Slack about channels and people; Directory keeps the answers.
type roster struct{ api *API }

// maxListed bounds how many people or channels of a workspace are looked through
// for a name.
const maxListed = 20000

func (r roster) person(ctx context.Context, workspace, id string) (Person, error) {
	var p Person
	err := r.api.patient(ctx, "users.info", func(ctx context.Context) error {
		u, err := r.api.client.GetUserInfoContext(ctx, id)
		if err == nil {
			p = toPerson(workspace, *u)
		}
		return err
	})
	return p, err
}

func (r roster) people(ctx context.Context, workspace string) ([]Person, error) {
	var all []Person
	pages := r.api.client.GetUsersPaginated(slack.GetUsersOptionLimit(pageSize))
	for len(all) < maxListed {
		err := r.api.patient(ctx, "users.list", func(ctx context.Context) error {
			var err error
			next, err := pages.Next(ctx)
			if err == nil {
				pages = next
			} else if pages.Done(err) {
				pages.Users, err = nil, nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(pages.Users) == 0 {
			break
		}
		for _, u := range pages.Users {
			all = append(all, toPerson(workspace, u))
		}
	}
	return all, nil
}

func (r roster) channel(ctx context.Context, id string) (Channel, error) {
	var c Channel
	err := r.api.patient(ctx, "conversations.info", func(ctx context.Context) error {
		got, err := r.api.client.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
		if err == nil {
			c = toChannel(*got)
		}
		return err
	})
	return c, err
}

// channels lists the channels that the agent is in, direct messages not among
// them.
func (r roster) channels(ctx context.Context) ([]Channel, error) {
	return r.list(ctx, maxListed, "public_channel", "private_channel")
}

// conversations lists all that the agent is in, most at most.
func (r roster) conversations(ctx context.Context, most int) ([]Channel, error) {
	all, err := r.list(ctx, maxListed, "public_channel", "private_channel", "mpim", "im")
	if len(all) > most {
		all = all[:most]
	}
	return all, err
}

func (r roster) list(ctx context.Context, most int, types ...string) ([]Channel, error) {
	var all []Channel
	_, err := r.pages(ctx, slack.GetConversationsParameters{ExcludeArchived: true, Limit: pageSize, Types: types}, most, func(c Channel) {
		if c.IsMember {
			all = append(all, c)
		}
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// public lists all public channels of the workspace, archived ones too, by id.
func (r roster) public(ctx context.Context) (map[string]Channel, error) {
	all := map[string]Channel{}
	whole, err := r.pages(ctx, slack.GetConversationsParameters{Limit: 1000, Types: []string{"public_channel"}}, mostPublic, func(c Channel) { all[c.ID] = c })
	if err == nil && !whole {
		err = fmt.Errorf("the list does not end within %d channels", mostPublic)
	}
	return all, err
}

// mostPublic bounds how many public channels are listed.
const mostPublic = 100_000

// pages hands on the channels of a listing until most of them were seen, and reports
// whether those were all.
func (r roster) pages(ctx context.Context, p slack.GetConversationsParameters, most int, do func(Channel)) (whole bool, err error) {
	for seen := 0; seen < most; {
		var page []slack.Channel
		var next string
		err := r.api.patient(ctx, "conversations.list", func(ctx context.Context) error {
			var err error
			page, next, err = r.api.client.GetConversationsContext(ctx, &p)
			return err
		})
		if err != nil {
			return false, err
		}
		seen += len(page)
		for _, c := range page {
			do(toChannel(c))
		}
		if next == "" || next == p.Cursor || len(page) == 0 {
			return next == "", nil
		}
		p.Cursor = next
	}
	return false, nil
}

// members lists who is in a channel, the agent among them.
func (r roster) members(ctx context.Context, channel string) ([]string, error) {
	var all []string
	cursor := ""
	for len(all) < maxListed {
		var page []string
		var next string
		err := r.api.patient(ctx, "conversations.members", func(ctx context.Context) error {
			var err error
			page, next, err = r.api.client.GetUsersInConversationContext(ctx, &slack.GetUsersInConversationParameters{ChannelID: channel, Cursor: cursor, Limit: pageSize})
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" || next == cursor {
			break
		}
		cursor = next
	}
	return all, nil
}

// placesOf lists the channels that somebody is in: all public ones, and those
// private ones that the agent is in too.
func (r roster) placesOf(ctx context.Context, user string) ([]Channel, error) {
	var all []Channel
	cursor := ""
	for len(all) < maxListed {
		var page []slack.Channel
		var next string
		err := r.api.patient(ctx, "users.conversations", func(ctx context.Context) error {
			var err error
			page, next, err = r.api.client.GetConversationsForUserContext(ctx, &slack.GetConversationsForUserParameters{
				UserID: user, Cursor: cursor, ExcludeArchived: true, Limit: pageSize, Types: []string{"public_channel", "private_channel"},
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, c := range page {
			all = append(all, toChannel(c))
		}
		if next == "" || next == cursor {
			break
		}
		cursor = next
	}
	return all, nil
}

// groups lists the user groups of each person, by user id.
func (r roster) groups(ctx context.Context) (map[string][]string, error) {
	all := map[string][]string{}
	err := r.api.patient(ctx, "usergroups.list", func(ctx context.Context) error {
		groups, err := r.api.client.GetUserGroupsContext(ctx, slack.GetUserGroupsOptionIncludeUsers(true))
		if err != nil {
			return err
		}
		clear(all)
		for _, g := range groups {
			for _, u := range g.Users {
				all[u] = append(all[u], g.ID)
			}
		}
		return nil
	})
	return all, err
}

// groupMembers lists who is in a user group.
func (r roster) groupMembers(ctx context.Context, group string) ([]string, error) {
	var all []string
	err := r.api.patient(ctx, "usergroups.users.list", func(ctx context.Context) error {
		var err error
		all, err = r.api.client.GetUserGroupMembersContext(ctx, group)
		return err
	})
	return all, err
}

// pinned lists the messages pinned in a channel, the newest pin first. Waiting
// for Slack is not worth it: what is asked for is an extra.
func (r roster) pinned(ctx context.Context, channel string) ([]Said, error) {
	var said []Said
	err := r.api.once(ctx, "pins.list", func(ctx context.Context) error {
		items, _, err := r.api.client.ListPinsContext(ctx, channel)
		for _, item := range items {
			if item.Message != nil {
				said = append(said, toSaid(*item.Message))
			}
		}
		return err
	})
	return said, err
}

func (r roster) direct(ctx context.Context, user string) (string, error) {
	var id string
	err := r.api.patient(ctx, "conversations.open", func(ctx context.Context) error {
		c, _, _, err := r.api.client.OpenConversationContext(ctx, &slack.OpenConversationParameters{Users: []string{user}})
		if err == nil {
			id = c.ID
		}
		return err
	})
	return id, err
}

func toPerson(workspace string, u slack.User) Person {
	p := Person{
		ID: u.ID, Name: clean(first(u.Profile.DisplayName, u.Profile.RealName, u.RealName, u.Name)), Handle: u.Name, RealName: clean(first(u.RealName, u.Profile.RealName)),
		TZ: u.TZ, Team: u.TeamID, IsAdmin: u.IsAdmin || u.IsOwner, IsDeleted: u.Deleted, Kind: KindMember,
	}
	switch {
	case u.IsBot || u.IsWorkflowBot || u.IsConnectorBot || u.ID == "USLACKBOT":
		p.Kind = KindBot
	case u.IsStranger || (u.TeamID != "" && u.TeamID != workspace):
		p.Kind = KindOutsider
	case u.IsRestricted || u.IsUltraRestricted:
		p.Kind = KindGuest
	}
	return p
}

func toChannel(c slack.Channel) Channel {
	out := Channel{ID: c.ID, Name: clean(first(c.Name, c.NameNormalized)), IsMember: c.IsMember || c.IsIM || c.IsMpIM, IsArchived: c.IsArchived, With: c.User, Creator: c.Creator}
	switch {
	case c.IsIM:
		out.Kind = ChannelDirect
	case c.IsMpIM:
		out.Kind = ChannelGroup
	case c.IsExtShared || c.IsPendingExtShared:
		out.Kind = ChannelShared
	case c.IsPrivate || c.IsGroup:
		out.Kind = ChannelPrivate
	default:
		out.Kind = ChannelPublic
	}
	return out
}

// isRefusal reports whether Slack refused the call with one of the codes; with
// none given, with any.
func isRefusal(err error, codes ...string) bool {
	var refused *SlackError
	if !errors.As(err, &refused) {
		return false
	}
	for _, c := range codes {
		if refused.Code == c {
			return true
		}
	}
	return len(codes) == 0
}
