package bot

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Kinds of requester.
const (
	KindMember   = "member"   // of this workspace
	KindGuest    = "guest"    // invited into some of its channels
	KindOutsider = "outsider" // of another organisation, by a shared channel
	KindBot      = "bot"      // a program
)

// Person is a user of the workspace, or of a connected one.
type Person struct {
	ID        string
	Name      string // as people see it
	Handle    string
	RealName  string
	TZ        string // IANA time zone, "" where Slack does not say
	Team      string // home workspace
	Kind      string // member, guest, outsider, bot
	IsAdmin   bool
	IsDeleted bool // deactivated
}

// Channel is a conversation.
type Channel struct {
	ID         string
	Name       string // without #, "" for direct messages
	Kind       string // public, private, shared, im, mpim
	With       string // the other person of a direct message
	Creator    string // who made it
	IsMember   bool   // the agent is in it
	IsArchived bool
}

// DirectoryOptions are the choices of NewDirectory; all may be left out.
type DirectoryOptions struct {
	Clock func() time.Time
	Self  string        // the agent's own user id
	TTL   time.Duration // how long an answer of Slack is good; 0: ten minutes
	// SavePerson and SaveChannel get what Slack said, for keeping. Their errors do
	// not fail the look-up.
	SavePerson  func(ctx context.Context, workspace string, p Person)
	SaveChannel func(ctx context.Context, workspace string, c Channel)
	// Open gives the channels whose texts are told everywhere as public ones, for
	// ReadingPlace to look at; nil: there are none.
	Open func(ctx context.Context, workspace string) ([]Opened, error)
}

// Directory knows the workspace's people and channels, as Slack tells of them.
// It asks once for what many want to know, and forgets what changed.
type Directory struct {
	roster roster
	o      DirectoryOptions
	flight singleflight.Group

	mu    sync.Mutex
	known map[string]entry
}

type entry struct {
	value any
	until time.Time
}

const (
	directoryTTL = 10 * time.Minute
	maxKnown     = 20000
)

// NewDirectory returns the directory of the workspace behind api.
func NewDirectory(api *API, o DirectoryOptions) *Directory {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.TTL == 0 {
		o.TTL = directoryTTL
	}
	if o.SavePerson == nil {
		o.SavePerson = func(context.Context, string, Person) {}
	}
	if o.SaveChannel == nil {
		o.SaveChannel = func(context.Context, string, Channel) {}
	}
	return &Directory{roster: roster{api}, o: o, known: map[string]entry{}}
}

// Person gives one user by id. A deactivated one is there, with IsDeleted; one
// that Slack does not show is an error.
func (d *Directory) Person(ctx context.Context, workspace, id string) (Person, error) {
	return cached(ctx, d, "person:"+workspace+":"+id, func(ctx context.Context) (Person, error) {
		p, err := d.roster.person(ctx, workspace, id)
		if err != nil {
			return Person{}, fmt.Errorf("look up person %s: %w", id, err)
		}
		d.o.SavePerson(ctx, workspace, p)
		return p, nil
	})
}

// Channel gives one channel by id.
func (d *Directory) Channel(ctx context.Context, workspace, id string) (Channel, error) {
	return cached(ctx, d, "channel:"+workspace+":"+id, func(ctx context.Context) (Channel, error) {
		c, err := d.roster.channel(ctx, id)
		if err != nil {
			return Channel{}, fmt.Errorf("look up channel %s: %w", id, err)
		}
		d.o.SaveChannel(ctx, workspace, c)
		return c, nil
	})
}

// ChannelKind gives the kind of a channel.
func (d *Directory) ChannelKind(ctx context.Context, workspace, id string) (string, error) {
	c, err := d.Channel(ctx, workspace, id)
	return c.Kind, err
}

// Membership tells the gate the kind of a channel and whether the agent is in it.
// A channel that Slack does not show to it is one that it is not in; the error is
// one that may pass.
func (d *Directory) Membership(ctx context.Context, workspace, id string) (kind string, member bool, err error) {
	c, err := d.Channel(ctx, workspace, id)
	if isRefusal(err) {
		return "", false, nil
	}
	return c.Kind, c.IsMember, err
}

// Place implements identity.Places.
func (d *Directory) Place(ctx context.Context, workspace, id string) (kind, name string, member bool, err error) {
	c, err := d.Channel(ctx, workspace, id)
	if isRefusal(err) {
		return "", "", false, nil
	}
	return c.Kind, c.Name, c.IsMember, err
}

// Groups implements identity.Places: the user groups that somebody is in. Where
// the app may not ask, nobody is in any.
func (d *Directory) Groups(ctx context.Context, workspace, person string) ([]string, error) {
	all, err := cached(ctx, d, "groups:"+workspace, func(ctx context.Context) (map[string][]string, error) {
		all, err := d.roster.groups(ctx)
		if isRefusal(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list user groups: %w", err)
		}
		return all, nil
	})
	return all[person], err
}

// Readers implements identity.Readers, as Slack says now. The agent is not among
// them.
func (d *Directory) Readers(ctx context.Context, workspace, channel string) (people []string, open bool, err error) {
	c, err := d.roster.channel(ctx, channel)
	if err != nil {
		return nil, false, fmt.Errorf("look up channel %s: %w", channel, err)
	}
	if people, err = d.roster.members(ctx, channel); err != nil {
		return nil, false, fmt.Errorf("list who is in %s: %w", channel, err)
	}
	return slices.DeleteFunc(people, func(p string) bool { return p == d.o.Self }), c.Kind == ChannelPublic, nil
}

// IsIn reports whether somebody is in a channel, as Slack says now.
func (d *Directory) IsIn(ctx context.Context, channel, person string) (bool, error) {
	members, err := d.roster.members(ctx, channel)
	return slices.Contains(members, person), err
}

// Reads reports whether somebody may know what is in a place, as Slack says now: a
// public channel is open to full members, a direct message is its people's alone.
// What Slack does not show to the agent, nobody is known to read.
func (d *Directory) Reads(ctx context.Context, workspace, place, person string) (bool, error) {
	if place == "" || place == person {
		return true, nil
	}
	if personForm.MatchString(place) {
		return false, nil // a direct message with somebody else
	}
	who, err := d.roster.person(ctx, workspace, person)
	if isRefusal(err) || err == nil && who.IsDeleted {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up person %s: %w", person, err)
	}
	c, err := d.roster.channel(ctx, place)
	if isRefusal(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up channel %s: %w", place, err)
	}
	switch {
	case c.Kind == ChannelPublic && who.Kind == KindMember:
		return true, nil
	case c.Kind == ChannelDirect:
		return c.With == person, nil
	}
	in, err := d.IsIn(ctx, place, person)
	if isRefusal(err) {
		return false, nil
	}
	return in, err
}

// PlacesOf gives the channels that somebody is in and the agent may know of, as
// Slack says now, by id. Where the app may not ask, they are in none.
func (d *Directory) PlacesOf(ctx context.Context, person string) (map[string]Channel, error) {
	list, err := d.roster.placesOf(ctx, person)
	if err != nil && !isRefusal(err) {
		return nil, fmt.Errorf("list channels of %s: %w", person, err)
	}
	all := map[string]Channel{}
	for _, c := range list {
		all[c.ID] = c
	}
	return all, nil
}

// Together reports whether the agent, and somebody else, are in a channel, as Slack
// says now. A channel that Slack does not show to the agent has neither.
func (d *Directory) Together(ctx context.Context, channel, person string) (agent, them bool, err error) {
	members, err := d.roster.members(ctx, channel)
	if isRefusal(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("list who is in %s: %w", channel, err)
	}
	return slices.Contains(members, d.o.Self), slices.Contains(members, person), nil
}

// RequesterKind says what somebody is to this workspace: member, guest, outsider
// or bot. userTeam is their home as the event told it, "" for unknown. Who is
// deactivated, and who cannot be looked up for good, because Slack does not show
// them or the app may not ask, is an outsider; a passing failure is an error.
func (d *Directory) RequesterKind(ctx context.Context, workspace, user, userTeam string) (string, error) {
	if userTeam != "" && userTeam != workspace {
		return KindOutsider, nil
	}
	p, err := d.Person(ctx, workspace, user)
	if isRefusal(err) || err == nil && p.IsDeleted {
		return KindOutsider, nil
	}
	return p.Kind, err
}

// ChannelByName gives the channel of that name which the agent is in.
func (d *Directory) ChannelByName(ctx context.Context, workspace, name string) (Channel, error) {
	all, err := cached(ctx, d, "channels:"+workspace, func(ctx context.Context) ([]Channel, error) {
		all, err := d.roster.channels(ctx)
		if err != nil {
			return nil, fmt.Errorf("list channels: %w", err)
		}
		return all, nil
	})
	if err != nil {
		return Channel{}, err
	}
	for _, c := range all {
		if strings.EqualFold(c.Name, strings.TrimPrefix(name, "#")) {
			return c, nil
		}
	}
	return Channel{}, fmt.Errorf("no channel #%s that I am in", name)
}

var personForm = regexp.MustCompile(`^(?:<@([UW][A-Z0-9]+)(?:\|[^>]*)?>|([UW][A-Z0-9]{2,}))$`)

// Find gives the one person whom somebody calls by mention, id, handle or name.
func (d *Directory) Find(ctx context.Context, workspace, called string) (Person, error) {
	called = strings.TrimSpace(called)
	if m := personForm.FindStringSubmatch(called); m != nil {
		return d.Person(ctx, workspace, m[1]+m[2])
	}
	all, err := d.everybody(ctx, workspace)
	if err != nil {
		return Person{}, err
	}
	name := strings.TrimPrefix(called, "@")
	var found []Person
	for _, p := range all {
		if !p.IsDeleted && (strings.EqualFold(p.Name, name) || strings.EqualFold(p.Handle, name) || strings.EqualFold(p.RealName, name)) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return Person{}, fmt.Errorf("nobody is called %q", called)
	case 1:
		d.o.SavePerson(ctx, workspace, found[0])
		return found[0], nil
	}
	return Person{}, fmt.Errorf("%d people are called %q: mention the right one with @", len(found), called)
}

// everybody lists the people of the workspace.
func (d *Directory) everybody(ctx context.Context, workspace string) ([]Person, error) {
	return cached(ctx, d, "people:"+workspace, func(ctx context.Context) ([]Person, error) {
		all, err := d.roster.people(ctx, workspace)
		if err != nil {
			return nil, fmt.Errorf("list people: %w", err)
		}
		return all, nil
	})
}

// Direct gives the channel of the direct messages with a person, opening it if
// need be.
func (d *Directory) Direct(ctx context.Context, workspace, user string) (string, error) {
	return cached(ctx, d, "direct:"+workspace+":"+user, func(ctx context.Context) (string, error) {
		id, err := d.roster.direct(ctx, user)
		if err != nil {
			return "", fmt.Errorf("open direct message with %s: %w", user, err)
		}
		return id, nil
	})
}

// Forget drops what a change of the workspace has made untrue.
func (d *Directory) Forget(c Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, pinnedKey(c.Workspace, c.Channel))
	if strings.HasPrefix(c.Kind, "pin_") {
		return
	}
	delete(d.known, "channels:"+c.Workspace)
	if c.Channel != "" {
		delete(d.known, "channel:"+c.Workspace+":"+c.Channel)
	}
	if c.Kind == "user_change" {
		delete(d.known, "people:"+c.Workspace)
		delete(d.known, "person:"+c.Workspace+":"+c.User)
	}
}

// cached answers from what is known, or has one of the askers look it up for all.
func cached[T any](ctx context.Context, d *Directory, key string, look func(context.Context) (T, error)) (T, error) {
	d.mu.Lock()
	e, ok := d.known[key]
	d.mu.Unlock()
	if ok && d.o.Clock().Before(e.until) {
		return e.value.(T), nil
	}
	// The look-up serves others too, so it does not end with the one who began it.
	done := d.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*apiTimeout)
		defer cancel()
		v, err := look(ctx)
		if err == nil {
			d.remember(key, v)
		} else if ok && !isRefusal(err) {
			return e.value, nil // what was true a while ago, until Slack answers again
		}
		return v, err
	})
	var none T
	select {
	case r := <-done:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (d *Directory) remember(key string, v any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.o.Clock()
	if len(d.known) >= maxKnown {
		clear(d.known)
	}
	d.known[key] = entry{v, now.Add(d.o.TTL)}
}
