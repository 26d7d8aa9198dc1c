package slacksim

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Seed describes a workspace at its start: who is in it, where they talk, and
// which apps are installed.
type Seed struct {
	Team TeamSeed `yaml:"team"`
	// RateLimits is "on" (the default) or "off"; off is for load benchmarks.
	RateLimits string        `yaml:"rate_limits"`
	Users      []UserSeed    `yaml:"users"`
	Groups     []GroupSeed   `yaml:"usergroups"`
	Channels   []ChannelSeed `yaml:"channels"`
	Apps       []AppSeed     `yaml:"apps"`
	Messages   []MessageSeed `yaml:"messages"`
}

// TeamSeed is the workspace itself.
type TeamSeed struct {
	ID     string `yaml:"id"`
	Name   string `yaml:"name"`
	Domain string `yaml:"domain"`
}

// UserSeed is one person. A Team other than the workspace's own makes an
// outsider, who is here by Slack Connect.
type UserSeed struct {
	ID      string `yaml:"id"`
	Name    string `yaml:"name"`
	Real    string `yaml:"real_name"`
	Email   string `yaml:"email"`
	TZ      string `yaml:"tz"`
	Team    string `yaml:"team"`
	Admin   bool   `yaml:"admin"`
	Owner   bool   `yaml:"owner"`
	Guest   bool   `yaml:"guest"`
	Single  bool   `yaml:"single_channel_guest"`
	Deleted bool   `yaml:"deleted"`
}

// ChannelSeed is one channel. Shared means shared with another organisation by
// Slack Connect.
type ChannelSeed struct {
	ID       string   `yaml:"id"`
	Name     string   `yaml:"name"`
	Topic    string   `yaml:"topic"`
	Private  bool     `yaml:"private"`
	Shared   bool     `yaml:"shared"`
	Archived bool     `yaml:"archived"`
	Members  []string `yaml:"members"`
}

// AppSeed is one installed app. Empty tokens and secrets get fixed values made
// from the app's id, so that a client can be configured once.
type AppSeed struct {
	ID            string        `yaml:"id"`
	Name          string        `yaml:"name"`
	BotUser       string        `yaml:"bot_user"`
	BotID         string        `yaml:"bot_id"`
	Scopes        []string      `yaml:"scopes"`
	Events        []string      `yaml:"events"`
	BotToken      string        `yaml:"bot_token"`
	AppToken      string        `yaml:"app_token"`
	SigningSecret string        `yaml:"signing_secret"`
	ClientID      string        `yaml:"client_id"`
	ClientSecret  string        `yaml:"client_secret"`
	RedirectURLs  []string      `yaml:"redirect_urls"`
	RequestURL    string        `yaml:"request_url"`
	InteractURL   string        `yaml:"interactivity_url"`
	Commands      []CommandSeed `yaml:"commands"`
	Shortcuts     []Shortcut    `yaml:"shortcuts"`
}

// CommandSeed is one slash command of an app. URL matters only for apps that
// take HTTP instead of Socket Mode.
type CommandSeed struct {
	Command     string `yaml:"command" json:"command"`
	Description string `yaml:"description" json:"description"`
	UsageHint   string `yaml:"usage_hint" json:"usage_hint,omitempty"`
	URL         string `yaml:"url" json:"-"`
}

// Shortcut is one message or global shortcut of an app.
type Shortcut struct {
	Name       string `yaml:"name" json:"name"`
	Type       string `yaml:"type" json:"type"`
	CallbackID string `yaml:"callback_id" json:"callback_id"`
}

// MessageSeed is a message that is there before anyone connects. Thread names
// the position (from 1) of an earlier message of the seed that it answers.
type MessageSeed struct {
	Channel string `yaml:"channel"`
	User    string `yaml:"user"`
	Text    string `yaml:"text"`
	Thread  int    `yaml:"thread"`
}

// DefaultSeed is the workspace of the demo: Northwind, with three members, a
// guest, an outsider, four channels and the deskmate app.
func DefaultSeed() *Seed {
	return &Seed{
		Team: TeamSeed{ID: "T0DESKMATE", Name: "Northwind", Domain: "northwind"},
		Users: []UserSeed{
			{ID: "U0ADA", Name: "ada", Real: "Ada", TZ: "Europe/Berlin", Admin: true, Owner: true},
			{ID: "U0BEN", Name: "ben", Real: "Ben", TZ: "America/New_York"},
			{ID: "U0CHLOE", Name: "chloe", Real: "Chloe", TZ: "Europe/London"},
			{ID: "U0GIL", Name: "gil", Real: "Gil", TZ: "Europe/Berlin", Guest: true},
			{ID: "U0XENA", Name: "xena", Real: "Xena", TZ: "Asia/Tokyo", Team: "T0PARTNER"},
		},
		Groups: []GroupSeed{{ID: "S0ONCALL", Handle: "oncall", Name: "On call", Users: []string{"U0CHLOE"}}},
		Channels: []ChannelSeed{
			{ID: "C0GENERAL", Name: "general", Topic: "Company-wide news", Members: []string{"U0ADA", "U0BEN", "U0CHLOE", "U0GIL", "U0DESKMATE"}},
			{ID: "C0ENG", Name: "eng", Topic: "Building and running things", Members: []string{"U0ADA", "U0BEN", "U0CHLOE", "U0DESKMATE"}},
			{ID: "C0LEADS", Name: "leads", Topic: "Leads only", Private: true, Members: []string{"U0ADA", "U0CHLOE", "U0DESKMATE"}},
			{ID: "C0PARTNERS", Name: "partners", Topic: "Shared with our partners", Shared: true, Members: []string{"U0ADA", "U0BEN", "U0XENA", "U0DESKMATE"}},
		},
		Apps: []AppSeed{{
			ID: "A0DESKMATE", Name: "deskmate", BotUser: "U0DESKMATE", BotID: "B0DESKMATE",
			Commands: []CommandSeed{{Command: "/deskmate", Description: "Ask the agent something only you will see", UsageHint: "help"}},
			Shortcuts: []Shortcut{
				{Name: "Remember this", Type: "message", CallbackID: "remember_this"},
				{Name: "Hand to Deskmate", Type: "message", CallbackID: "hand_to_deskmate"},
			},
		}},
	}
}

// defaultScopes are what an app of a seed holds when it names none: what an agent
// app asks for, plus the optional ones.
func defaultScopes() []string {
	return []string{
		"app_mentions:read", "assistant:write", "channels:history", "channels:read", "chat:write", "chat:write.public",
		"commands", "files:read", "files:write", "groups:history", "groups:read", "im:history", "im:read", "im:write",
		"metadata.message:read", "mpim:history", "mpim:read", "pins:read", "reactions:read", "reactions:write", "search:read.public",
		"usergroups:read", "users:read", "users:read.email",
	}
}

// defaultEvents are the bot events of an app that names none.
func defaultEvents() []string {
	return []string{
		"app_home_opened", "app_mention", "app_uninstalled", "assistant_thread_context_changed", "assistant_thread_started",
		"channel_archive", "channel_rename", "channel_shared", "channel_unarchive", "channel_unshared", "file_shared",
		"group_archive", "group_rename", "group_unarchive", "member_joined_channel", "member_left_channel",
		"message.channels", "message.groups", "message.im", "message.mpim", "pin_added", "pin_removed",
		"reaction_added", "reaction_removed",
		"tokens_revoked", "user_change",
	}
}

// ParseSeed reads a seed as YAML. Unknown keys, unknown references and malformed
// ids are refused with what was wrong and, where YAML knows it, the line.
func ParseSeed(r io.Reader) (*Seed, error) {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	seed := new(Seed)
	if err := dec.Decode(seed); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("parse seed: the file is empty")
		}
		return nil, fmt.Errorf("parse seed: %w", err)
	}
	if err := seed.complete(); err != nil {
		return nil, fmt.Errorf("check seed: %w", err)
	}
	return seed, nil
}

// idShape is what Slack's ids look like: a type letter, then capitals and digits.
var idShape = regexp.MustCompile(`^[A-Z][A-Z0-9]{1,20}$`)

// complete fills what a seed may leave out and refuses what cannot work.
func (s *Seed) complete() error {
	ids := map[string]string{}
	claim := func(kind, id, letters string) error {
		if !idShape.MatchString(id) || !strings.Contains(letters, id[:1]) {
			return fmt.Errorf("%s id %q: want capitals and digits after one of %s", kind, id, letters)
		}
		if other, taken := ids[id]; taken {
			return fmt.Errorf("%s id %q is already the id of a %s", kind, id, other)
		}
		ids[id] = kind
		return nil
	}
	if err := claim("team", s.Team.ID, "T"); err != nil {
		return err
	}
	s.Team.Name = orElse(s.Team.Name, s.Team.ID)
	s.Team.Domain = orElse(s.Team.Domain, strings.ToLower(s.Team.Name))
	switch s.RateLimits {
	case "":
		s.RateLimits = "on"
	case "on", "off":
	default:
		return fmt.Errorf("rate_limits %q: want on or off", s.RateLimits)
	}
	for i := range s.Users {
		if err := s.completeUser(&s.Users[i], claim); err != nil {
			return err
		}
	}
	for i := range s.Groups {
		if err := completeGroup(&s.Groups[i], ids, claim); err != nil {
			return err
		}
	}
	for i := range s.Apps {
		if err := completeApp(&s.Apps[i], claim); err != nil {
			return err
		}
	}
	for i := range s.Channels {
		c := &s.Channels[i]
		if err := claim("channel", c.ID, "CG"); err != nil {
			return err
		}
		c.Name = orElse(c.Name, strings.ToLower(c.ID[1:]))
		for _, m := range c.Members {
			if ids[m] != "user" {
				return fmt.Errorf("channel %s: member %q is no user of the seed", c.ID, m)
			}
		}
	}
	return s.checkMessages(ids)
}

func (s *Seed) completeUser(u *UserSeed, claim func(kind, id, letters string) error) error {
	if err := claim("user", u.ID, "UW"); err != nil {
		return err
	}
	u.Name = orElse(u.Name, strings.ToLower(u.ID[1:]))
	u.Real = orElse(u.Real, u.Name)
	u.Team = orElse(u.Team, s.Team.ID)
	u.TZ = orElse(u.TZ, "Etc/UTC")
	u.Email = orElse(u.Email, u.Name+"@"+s.Team.Domain+".example")
	if _, err := time.LoadLocation(u.TZ); err != nil {
		return fmt.Errorf("user %s: time zone %q: %w", u.ID, u.TZ, err)
	}
	return nil
}

func completeApp(a *AppSeed, claim func(kind, id, letters string) error) error {
	if err := claim("app", a.ID, "A"); err != nil {
		return err
	}
	rest := a.ID[1:]
	a.BotUser = orElse(a.BotUser, "U"+rest)
	a.BotID = orElse(a.BotID, "B"+rest)
	if err := claim("user", a.BotUser, "UW"); err != nil {
		return err
	}
	if err := claim("bot", a.BotID, "B"); err != nil {
		return err
	}
	a.Name = orElse(a.Name, strings.ToLower(rest))
	a.BotToken = orElse(a.BotToken, "xoxb-local-"+a.ID)
	a.AppToken = orElse(a.AppToken, "xapp-1-"+a.ID+"-local")
	a.SigningSecret = orElse(a.SigningSecret, "signing-"+a.ID)
	a.ClientID = orElse(a.ClientID, "client-"+a.ID)
	a.ClientSecret = orElse(a.ClientSecret, "client-secret-"+a.ID)
	if a.Scopes == nil {
		a.Scopes = defaultScopes()
	}
	if a.Events == nil {
		a.Events = defaultEvents()
	}
	for _, c := range a.Commands {
		if !strings.HasPrefix(c.Command, "/") {
			return fmt.Errorf("app %s: command %q: want a leading slash", a.ID, c.Command)
		}
	}
	for _, c := range a.Shortcuts {
		if c.Type != "message" && c.Type != "global" {
			return fmt.Errorf("app %s: shortcut %q: type %q: want message or global", a.ID, c.Name, c.Type)
		}
	}
	return nil
}

func (s *Seed) checkMessages(ids map[string]string) error {
	for i, m := range s.Messages {
		at := slices.IndexFunc(s.Channels, func(c ChannelSeed) bool { return c.ID == m.Channel })
		switch {
		case at < 0:
			return fmt.Errorf("message %d: channel %q is not in the seed", i+1, m.Channel)
		case ids[m.User] != "user" || !slices.Contains(s.Channels[at].Members, m.User):
			return fmt.Errorf("message %d: %q is no member of %s", i+1, m.User, m.Channel)
		case m.Thread < 0 || m.Thread > i:
			return fmt.Errorf("message %d: thread %d: want the position of an earlier message", i+1, m.Thread)
		case m.Text == "":
			return fmt.Errorf("message %d: text is empty", i+1)
		}
	}
	return nil
}

// UserToken is the token with which userID acts through the Web API, as that
// person.
func UserToken(userID string) string { return "xoxp-" + userID }

// orElse is v, or fallback when v is empty.
func orElse(v, fallback string) string {
	if v == "" {
		return fallback
	}
	return v
}
