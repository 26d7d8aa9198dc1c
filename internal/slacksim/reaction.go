package slacksim

import (
	"regexp"
	"slices"
)

// emojiName is the shape of an emoji's name, with its skin tone.
var emojiName = regexp.MustCompile(`^[a-z0-9_+'-]{1,100}(::skin-tone-[2-6])?$`)

// reacted is the message of a reactions call and the emoji's name.
func (c *call) reacted() (*channel, *slot, string, error) {
	if err := c.args.need("channel", "timestamp", "name"); err != nil {
		return nil, nil, "", err
	}
	name := c.args["name"]
	if len(name) > 2 && name[0] == ':' && name[len(name)-1] == ':' {
		name = name[1 : len(name)-1]
	}
	if !emojiName.MatchString(name) {
		return nil, nil, "", refuse("invalid_name")
	}
	ch, err := c.find(c.who, c.args["channel"])
	if err != nil {
		return nil, nil, "", err
	}
	sl, ok := ch.byTS[c.args["timestamp"]]
	switch {
	case !ok:
		return nil, nil, "", refuse("message_not_found")
	case ch.archived:
		return nil, nil, "", refuse("is_archived")
	case !ch.members[c.who.user.id] && !(c.who.kind == botToken && !ch.private):
		return nil, nil, "", refuse("not_in_channel")
	}
	return ch, sl, name, nil
}

func addReaction(c *call) (obj, error) {
	ch, sl, name, err := c.reacted()
	if err != nil {
		return nil, err
	}
	next := *sl.msg
	next.Reactions = slices.Clone(next.Reactions)
	i := slices.IndexFunc(next.Reactions, func(r reaction) bool { return r.Name == name })
	switch {
	case i < 0 && len(next.Reactions) >= 23:
		return nil, refuse("too_many_emoji")
	case i < 0:
		next.Reactions = append(next.Reactions, reaction{Name: name, Users: []string{c.who.user.id}, Count: 1})
	case slices.Contains(next.Reactions[i].Users, c.who.user.id):
		return nil, refuse("already_reacted")
	default:
		r := &next.Reactions[i]
		r.Users = append(slices.Clone(r.Users), c.who.user.id)
		r.Count++
	}
	sl.msg = &next
	c.announceReaction("reaction_added", ch, sl, name)
	return nil, nil
}

func removeReaction(c *call) (obj, error) {
	ch, sl, name, err := c.reacted()
	if err != nil {
		return nil, err
	}
	next := *sl.msg
	next.Reactions = slices.Clone(next.Reactions)
	i := slices.IndexFunc(next.Reactions, func(r reaction) bool { return r.Name == name && slices.Contains(r.Users, c.who.user.id) })
	if i < 0 {
		return nil, refuse("no_reaction")
	}
	r := &next.Reactions[i]
	r.Users = slices.DeleteFunc(slices.Clone(r.Users), func(id string) bool { return id == c.who.user.id })
	if r.Count--; r.Count == 0 {
		next.Reactions = slices.Delete(next.Reactions, i, i+1)
	}
	sl.msg = &next
	c.announceReaction("reaction_removed", ch, sl, name)
	return nil, nil
}

func (c *call) announceReaction(kind string, ch *channel, sl *slot, name string) {
	c.announce(kind, obj{"type": kind, "user": c.who.user.id, "reaction": name, "item_user": sl.msg.User,
		"item": obj{"type": "message", "channel": ch.id, "ts": sl.msg.TS}, "event_ts": c.eventTS()}, ch, "reactions:read")
	c.feedMessage("reaction", ch, sl)
}
