package slacksim

import "slices"

// mostPins is how many items a channel may have pinned.
// Source: docs.slack.dev/reference/methods/pins.add.
const mostPins = 100

// pin is one message that somebody pinned to its channel.
type pin struct {
	ts, by  string
	created int64
}

// pinned is the message of a pins call and its place among the channel's pins, -1
// for none.
func (c *call) pinned() (*channel, *slot, int, error) {
	if err := c.args.need("channel", "timestamp"); err != nil {
		return nil, nil, 0, err
	}
	ch, err := c.find(c.who, c.args["channel"])
	if err != nil {
		return nil, nil, 0, err
	}
	sl, ok := ch.byTS[c.args["timestamp"]]
	switch {
	case !ok:
		return nil, nil, 0, refuse("message_not_found")
	case ch.archived:
		return nil, nil, 0, refuse("is_archived")
	case !ch.members[c.who.user.id]:
		return nil, nil, 0, refuse("not_in_channel")
	}
	return ch, sl, slices.IndexFunc(ch.pins, func(p pin) bool { return p.ts == sl.msg.TS }), nil
}

func addPin(c *call) (obj, error) {
	ch, sl, at, err := c.pinned()
	switch {
	case err != nil:
		return nil, err
	case at >= 0:
		return nil, refuse("already_pinned")
	case len(ch.pins) >= mostPins:
		return nil, refuse("too_many_pins")
	}
	ch.pins = append(ch.pins, pin{sl.msg.TS, c.who.user.id, c.clock.Now().Unix()})
	c.announcePin("pin_added", ch, sl, ch.pins[len(ch.pins)-1])
	return nil, nil
}

func removePin(c *call) (obj, error) {
	ch, sl, at, err := c.pinned()
	switch {
	case err != nil:
		return nil, err
	case at < 0:
		return nil, refuse("no_pin")
	}
	gone := ch.pins[at]
	ch.pins = slices.Delete(ch.pins, at, at+1)
	c.announcePin("pin_removed", ch, sl, gone)
	return nil, nil
}

// listPins gives the newest pin first, as Slack does.
func listPins(c *call) (obj, error) {
	if err := c.args.need("channel"); err != nil {
		return nil, err
	}
	ch, err := c.find(c.who, c.args["channel"])
	if err != nil {
		return nil, err
	}
	if !ch.members[c.who.user.id] {
		return nil, refuse("not_in_channel")
	}
	items := []obj{}
	for _, p := range slices.Backward(ch.pins) {
		items = append(items, c.pinItem(ch, ch.byTS[p.ts], p))
	}
	return obj{"items": items}, nil
}

// pinItem is a pin as answers and events carry it.
// Source: docs.slack.dev/reference/methods/pins.list.
func (c *call) pinItem(ch *channel, sl *slot, p pin) obj {
	return obj{"type": "message", "created": p.created, "created_by": p.by, "channel": ch.id, "message": sl.wire(typeOnly)}
}

func (c *call) announcePin(kind string, ch *channel, sl *slot, p pin) {
	event := obj{"type": kind, "user": c.who.user.id, "channel_id": ch.id, "item": c.pinItem(ch, sl, p), "item_user": sl.msg.User,
		"pin_count": len(ch.pins), "pinned_info": obj{"channel": ch.id, "pinned_by": p.by, "pinned_ts": p.created}, "event_ts": c.eventTS()}
	if kind == "pin_removed" {
		event["has_pins"] = len(ch.pins) > 0
	}
	c.announce(kind, event, ch, "pins:read")
}
