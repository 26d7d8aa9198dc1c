package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/identity/policy"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskHome is the kind of the tasks that publish Homes; one for each person.
const TaskHome = "home"

// Home keeps what each person sees when they open the agent. Every press and form
// is judged by who sent it, as they are at that moment, whatever it says.
type Home struct {
	DB       *migrations.DB
	People   *bot.Directory
	Agents   *identity.Agents
	Outbox   *bot.Outbox
	Sections []HomeSection // in the order in which they are shown
	Logger   zerolog.Logger
}

// HomeSection is one part of a Home. To add one, write a function that returns it
// and put it among Home.Sections.
type HomeSection struct {
	ID    string // unique, without spaces
	Title string
	Rest  string // where to see what does not fit, as a sentence in mrkdwn; "" for nowhere
	// Show gives the entries for a visitor; none hides the section. It must give
	// nothing that the visitor may not see.
	Show func(ctx context.Context, v Visitor) ([]HomeItem, error)
	// Press takes the section's buttons and picks, by action id, which begins with
	// "home_". told is said in the Home; it must not quote what can be forgotten.
	Press map[string]func(ctx context.Context, v Visitor, a bot.Action) (told string, err error)
	// Submit takes the section's forms, by form id, which begins with "home_". wrong
	// is by field.
	Submit map[string]func(ctx context.Context, v Visitor, s bot.Submission) (told string, wrong map[string]string, err error)
}

// HomeItem is one entry of a section. It is shown whole or not at all.
type HomeItem []bot.Block

// homePrefix begins the ids of all buttons and forms of a Home.
const homePrefix = "home_"

// Ids of the buttons that belong to no section.
const (
	homeMore = "home_more" // its value is the section's id
	homeLess = "home_less"
)

// Visitor is the person whose Home it is, as Slack describes them now.
type Visitor struct {
	policy.Person
	Workspace string
	Agent     identity.Agent
	Direct    string                 // channel of their direct messages with the agent, "" for outsiders
	Places    map[string]bot.Channel // that they are in, by id
	Picked    string                 // channel whose notes they want to see, "" for none
	reads     memory.Place           // their direct messages with the agent: where a Home is read; of an outsider nothing is
}

// IsIn reports whether the visitor is in a channel, or it is their direct message.
func (v Visitor) IsIn(channel string) bool {
	_, in := v.Places[channel]
	return in || channel != "" && channel == v.Direct
}

// Governs reports whether the visitor steers the agent.
func (v Visitor) Governs() bool { return v.Kind == bot.KindMember && (v.Admin || v.Sponsor) }

// visitor looks somebody up. team is their home as the delivery told it. Who is
// deactivated or of another organisation is an outsider.
func (h *Home) visitor(ctx context.Context, workspace, user, team string) (Visitor, error) {
	v := Visitor{Workspace: workspace, Person: policy.Person{ID: user, Kind: bot.KindOutsider}}
	var err error
	if v.Agent, err = h.Agents.Get(ctx, workspace); err != nil {
		return v, err
	}
	s, err := h.People.Standing(ctx, workspace, user, nil)
	if err != nil {
		return v, fmt.Errorf("look up %s: %w", user, err)
	}
	if !s.Active || team != "" && team != workspace || s.Kind != bot.KindMember && s.Kind != bot.KindGuest {
		return v, nil
	}
	v.Kind, v.Admin = s.Kind, s.Admin && s.Kind == bot.KindMember
	v.Sponsor = s.Kind == bot.KindMember && v.Agent.SponsoredBy(user)
	if v.Direct, err = h.People.Direct(ctx, workspace, user); err != nil {
		return v, err
	}
	if v.reads, err = h.People.ReadingPlace(ctx, workspace, v.Direct, bot.ChannelDirect, user, team); err != nil {
		return v, err
	}
	v.reads.RequesterKind = v.Kind // as Slack says now
	v.Places, err = h.People.PlacesOf(ctx, user)
	return v, err
}

func homeKey(workspace, user string) string { return TaskHome + ":" + workspace + ":" + user }

func wakeHome(tx *migrations.Tx, workspace, user string) error {
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: TaskHome, Key: homeKey(workspace, user)})
}

// Visit has a Home published for who has opened it.
func (h *Home) Visit(ctx context.Context, v bot.Visit) error {
	return h.change(ctx, v.Workspace, v.User, func(s *homeState) {
		s.told = ""
		if v.Empty {
			s.digest = "" // Slack has none: what was published is gone
		}
	})
}

// press takes a button of a Home, says in it what came of it, and shows it again.
func (h *Home) press(ctx context.Context, a bot.Action) error {
	switch a.ID {
	case homeMore, homeLess:
		return h.change(ctx, a.Workspace, a.User, func(s *homeState) {
			if s.more, s.told = "", ""; a.ID == homeMore && h.section(a.Value) {
				s.more = a.Value
			}
		})
	}
	for _, s := range h.Sections {
		do := s.Press[a.ID]
		if do == nil {
			continue
		}
		v, err := h.visitor(ctx, a.Workspace, a.User, a.UserTeam)
		if err != nil {
			return err
		}
		told, err := do(ctx, v, a)
		return h.tell(ctx, a.Workspace, a.User, a.ID, told, err)
	}
	return nil
}

func (h *Home) section(id string) bool {
	for _, s := range h.Sections {
		if s.ID == id {
			return true
		}
	}
	return false
}

// submit takes a form that was opened from a Home.
func (h *Home) submit(ctx context.Context, f bot.Submission) (map[string]string, error) {
	for _, s := range h.Sections {
		do := s.Submit[f.Form]
		if do == nil {
			continue
		}
		v, err := h.visitor(ctx, f.Workspace, f.User, f.UserTeam)
		if err != nil {
			return nil, err
		}
		told, wrong, err := do(ctx, v, f)
		if len(wrong) > 0 && err == nil {
			return wrong, nil
		}
		return nil, h.tell(ctx, f.Workspace, f.User, f.Form, told, err)
	}
	return nil, nil
}

// tell has a Home say what came of a press. What was wrong with it is said; what
// failed inside is logged too.
func (h *Home) tell(ctx context.Context, workspace, user, what, told string, err error) error {
	var wrong *sorry
	var refused *policy.NotAllowedError
	switch {
	case err == nil:
	case errors.As(err, &wrong):
		told = wrong.text
	case errors.As(err, &refused):
		told = "That was not done: " + refused.Text + "."
	default:
		h.Logger.Error().Err(err).Str("button", what).Msg("press failed")
		told = "Something inside me failed, so I do not know whether that was done. An admin finds the details in the log."
	}
	return h.change(ctx, workspace, user, func(s *homeState) { s.told = told })
}

// Handle publishes one Home, if it differs from what was published last. It is the
// task handler of kind "home".
func (h *Home) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	user := strings.TrimPrefix(lease.Key, homeKey(lease.Workspace, ""))
	if err := h.Outbox.HomeTurn(ctx, user); err != nil {
		return task.Result{}, err
	}
	state, err := h.state(ctx, lease.Workspace, user)
	if err != nil {
		return task.Result{}, err
	}
	v, err := h.visitor(ctx, lease.Workspace, user, "")
	if err != nil {
		return task.Result{}, err
	}
	v.Picked = state.channel
	blocks := h.page(ctx, v, state)
	digest, err := digestOf(blocks)
	if err != nil || digest == state.digest {
		return task.Result{}, err
	}
	err = h.Outbox.Publish(ctx, bot.Home{Workspace: v.Workspace, User: user, Key: migrations.NewID("home:" + user + ":"), Digest: digest, Blocks: blocks})
	if err != nil {
		return task.Result{}, h.unpublished(lease, user, err)
	}
	return task.Result{}, h.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		return saveDigest(tx, v.Workspace, user, digest)
	})
}

// homeTries is how often a Home is tried before it waits for the next visit.
const homeTries = 5

// unpublished tells what may work later from what will not: a Home that Slack or
// the rules refuse waits for the next visit.
func (h *Home) unpublished(lease *task.Lease, user string, err error) error {
	var refused *bot.SlackError
	var denied *identity.DeniedError
	if errors.As(err, &refused) || errors.As(err, &denied) || lease.Attempts >= homeTries {
		h.Logger.Warn().Err(err).Str("person", user).Msg("Home not published; is the Home tab of the app on?")
		return nil
	}
	return err
}

func digestOf(blocks []bot.Block) (string, error) {
	b, err := json.Marshal(blocks)
	if err != nil {
		return "", fmt.Errorf("encode Home: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
