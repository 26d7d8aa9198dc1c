// Package policy decides: it turns grants into Cedar policies and a request into
// allow, ask or deny, with the policies that made it so and the reasons in words.
//
// It promises that what no grant allows is denied, that a denial beats whatever
// allows, that any error of evaluation is a denial, and that a change of a grant
// counts from the next decision on. It must never decide by text that was read,
// and never let a decision depend on an earlier one, but for the uses that a
// grant's limits count.
//
// Docs: docs/policy.md.
package policy

import (
	"encoding/json"
	"time"
)

// Verdicts of a Decision, and effects of a Grant.
const (
	Allow = "allow"
	Ask   = "ask" // only with a named human's approval
	Deny  = "deny"
)

// Words of Grant.Who. People and user groups are "user:U…" and "group:S…".
const (
	Members   = "members"   // full members of the workspace
	Guests    = "guests"    // only counts in a grant whose scope is one channel
	Outsiders = "outsiders" // the same
	Owner     = "owner"     // who owns the duty that causes the action
)

// Words of Grant.Approvers, beside "user:U…" and "group:S…".
const (
	Sponsor = "sponsor" // of the agent
	Admins  = "admins"  // of the workspace
)

// Request is one action to decide on, with the facts that grants may go by.
type Request struct {
	Workspace     string
	Agent         string // the agent's user id
	Tool          string
	Connection    string // system that the tool belongs to: slack, memory, duties, self, or a connection's name
	Class         string // read, write, external
	Requester     string
	RequesterKind string   // member, guest, outsider, bot
	Groups        []string // ids of the requester's user groups
	Owner         bool     // the requester owns the duty that causes it
	Duty          string   // id of the duty that causes it, "" for none
	Channel       string   // where the work happens
	ChannelName   string   // without #; "" for direct messages
	ChannelKind   string   // public, private, shared, im, mpim
	Thread        string   // ts of its root
	Target        string   // channel or person that it reaches; "" is Channel
	TargetKind    string   // kind of the channel that Target is, person for a user id
	TargetMember  bool     // the agent is in it
	Manners       bool     // the agent's own answers, status and progress in the place where it works
	Args          json.RawMessage
	At            time.Time
}

// Decision is what policy says of a request.
type Decision struct {
	Verdict   string        `json:"verdict"`
	Policies  []string      `json:"policies"`            // ids of the policies that made it
	Reasons   []string      `json:"reasons,omitempty"`   // why, for people; empty for a plain allow
	Approvers []string      `json:"approvers,omitempty"` // for ask: who may approve, in the words of Grant.Approvers; the strictest set among the grants
	Quorum    int           `json:"quorum,omitempty"`    // for ask: how many of them
	TTL       time.Duration `json:"ttl,omitempty"`       // for ask: how long they have
	Grants    []string      `json:"grants,omitempty"`    // ids of the grants behind it that count uses
	Local     bool          `json:"local,omitempty"`     // all grants that allow it are for this one channel or thread
	Sources   []string      `json:"sources,omitempty"`   // for ask: only who can read all these places may approve
	Set       string        `json:"set"`                 // hash of all policies that have a say on the tool: changes whenever one of them does
}

// Grant is one permission: tools × scope × who may ask × effect × limits.
type Grant struct {
	ID            string    `json:"id" yaml:"id,omitempty"` // g_…; those that come with the installation have names
	Workspace     string    `json:"workspace" yaml:"-"`
	Effect        string    `json:"effect" yaml:"effect"`         // allow, ask, deny
	Tools         []string  `json:"tools" yaml:"tools,omitempty"` // names; "connection.*" for all of one; "*" for all
	Bundle        string    `json:"bundle,omitempty" yaml:"bundle,omitempty"`
	Scope         string    `json:"scope" yaml:"scope"`                       // workspace, channel:C…, channels:eng-* (pattern of names), kind:private
	Thread        string    `json:"thread,omitempty" yaml:"thread,omitempty"` // ts of one thread in a scope of one channel
	Duty          string    `json:"duty,omitempty" yaml:"duty,omitempty"`     // id of one duty, for whose runs alone it holds
	Who           []string  `json:"who" yaml:"who,omitempty"`                 // who may ask; empty is members
	Args          []ArgRule `json:"args,omitempty" yaml:"args,omitempty"`     // all must hold
	Hours         string    `json:"hours,omitempty" yaml:"hours,omitempty"`   // "mon-fri 09:00-18:00 Europe/Berlin"
	Rate          int64     `json:"rate,omitempty" yaml:"rate,omitempty"`     // uses in any RateWindow; 0 is no limit
	RateWindow    Duration  `json:"rate_window,omitempty" yaml:"rate_window,omitempty"`
	Count         int64     `json:"count,omitempty" yaml:"count,omitempty"`         // uses in all; 0 is no limit
	Approvers     []string  `json:"approvers,omitempty" yaml:"approvers,omitempty"` // of an ask; empty is sponsor and admins
	Quorum        int       `json:"quorum,omitempty" yaml:"quorum,omitempty"`       // of an ask; 0 is 1
	TTL           Duration  `json:"ttl,omitempty" yaml:"ttl,omitempty"`             // of an ask; 0 is a day
	ExpiresAt     time.Time `json:"expires_at,omitzero" yaml:"expires_at,omitempty"`
	Justification string    `json:"justification" yaml:"justification"`
	LongWhy       string    `json:"long_why,omitempty" yaml:"long_why,omitempty"` // why it holds for more than 90 days
	GrantedBy     string    `json:"granted_by" yaml:"-"`
	GrantedAt     time.Time `json:"granted_at" yaml:"-"`
	RevokedBy     string    `json:"revoked_by,omitempty" yaml:"-"`
	RevokedAt     time.Time `json:"revoked_at,omitzero" yaml:"-"`
	RevokedWhy    string    `json:"revoked_why,omitempty" yaml:"-"`
	LastUsedAt    time.Time `json:"last_used_at,omitzero" yaml:"-"`
	Uses          int64     `json:"uses,omitempty" yaml:"-"`
}

// ArgRule holds one argument of a call to something. Exactly one of the
// comparisons is set. An argument that is missing or of another type fails it.
type ArgRule struct {
	Name   string   `json:"name" yaml:"name"` // name of a member of the arguments; dots reach inside
	Equals *string  `json:"equals,omitempty" yaml:"equals,omitempty"`
	OneOf  []string `json:"one_of,omitempty" yaml:"one_of,omitempty"`
	Prefix string   `json:"prefix,omitempty" yaml:"prefix,omitempty"`
	Min    *float64 `json:"min,omitempty" yaml:"min,omitempty"` // with Max or alone
	Max    *float64 `json:"max,omitempty" yaml:"max,omitempty"`
	Host   string   `json:"host,omitempty" yaml:"host,omitempty"` // of a URL, parsed: "api.example.com" or "*.example.com"
	Only   []string `json:"only,omitempty" yaml:"only,omitempty"` // names of all arguments that may be there; for the name "*" alone
}

// Duration is a time.Duration that is written as text, such as "24h".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}
