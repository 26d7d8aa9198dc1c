// Package monitor notices when the agent strays from what it usually does or was
// told to do, and says what should happen: nothing, ask a human, wait, end the
// turn, suspend the agent.
//
// It promises that the same detectors judge live actions and replayed ones, over
// nothing but the ledger; that a restart neither forgets nor counts twice; and
// that a ledger which it cannot follow without a gap stops the agent. It must
// never allow what policy denies (it only makes answers graver), never act by
// itself, never lift a suspension, and never put a canary where it can be read.
//
// Docs: docs/monitor.md.
package monitor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Response is what should happen. The constants are in order of gravity.
type Response string

// The responses, from harmless to grave.
const (
	None     Response = "none"     // only tell the admins
	Ask      Response = "ask"      // the action needs an approval
	Throttle Response = "throttle" // not now: try again later
	Stop     Response = "stop"     // end this turn
	Suspend  Response = "suspend"  // the agent, until a human resumes it
)

var gravity = map[Response]int{None: 0, Ask: 1, Throttle: 2, Stop: 3, Suspend: 4}

// Gravest is the gravest response of the findings, None if there are none.
func Gravest(all []Finding) Response {
	worst := None
	for _, f := range all {
		if gravity[f.Response] > gravity[worst] {
			worst = f.Response
		}
	}
	return worst
}

// Facts are what is known of an action before it is decided.
type Facts struct {
	Workspace  string
	Turn       string
	Thread     string
	Action     string // the action's key
	Tool       string
	Connection string
	Host       string // that a request goes to, "" for none
	Class      string // read, write, external
	Requester  string
	Channel    string // where the work happens
	Target     string // channel or person that it reaches; "" is Channel
	Call       string // MAC of tool, target and arguments: equal calls are equal
	Manners    bool   // the agent's own answers, status and progress
	At         time.Time
}

// Names of ledger.Record.Fields that the gate puts into intents and denials, so
// that a replay knows what Before was told.
const (
	FieldHost       = "host"
	FieldConnection = "connection"
	FieldManners    = "manners" // "true"
	FieldTokens     = "tokens"  // of a model call: a whole number; its cost is ledger.FieldCost
)

// Kinds of entries that the monitor goes by, beside intents and denials.
const (
	KindRefused     = "approval.refused" // Fields["reason"] is "self" for a press of the requester's own
	KindPinMismatch = "pin.mismatch"     // a tool is not what was approved; Tool, or Fields["connection"]
)

// PolicyPrefix begins the ids of policies under which the monitor has an action
// denied, such as "monitor.loop". Such denials do not count as denials again.
const PolicyPrefix = "monitor."

// Finding is what a detector saw.
type Finding struct {
	Detector  string    `json:"detector"`
	Subject   string    `json:"subject"` // what it is about: a turn, a channel, a day; with the detector it tells findings apart
	Workspace string    `json:"workspace"`
	Turn      string    `json:"turn,omitempty"`
	Channel   string    `json:"channel,omitempty"`
	Action    string    `json:"action,omitempty"` // key of the action, "" where it is not about one
	Tool      string    `json:"tool,omitempty"`
	Requester string    `json:"requester,omitempty"`
	Response  Response  `json:"response"`
	Text      string    `json:"text"` // for people: what was seen, against what threshold
	Count     float64   `json:"count"`
	Threshold float64   `json:"threshold"`
	At        time.Time `json:"at"`
	Seq       int64     `json:"seq"` // ledger entry: that of the finding once it is noted, before that the one it is about, -1 before there is one
}

// Monitor watches the agents of all workspaces in one store. It is safe for
// concurrent use.
type Monitor struct {
	db     *migrations.DB
	ledger *ledger.Ledger
	c      compiled
	broken error // of the configuration

	mu         sync.Mutex
	workspaces map[string]*watched
}

// watched is one workspace.
type watched struct {
	name string

	mu      sync.Mutex
	loaded  bool
	state   *state
	silent  int64     // entries before this one are only learnt from: they were seen to before
	known   int64     // what is missing before this one was accepted
	gap     string    // what is missing of the ledger, "" if nothing is
	gapSeq  int64     // entry where it was noticed
	unsaved bool      // the store has no statistics of this form yet
	gapKept bool      // the gap is in the store, and so it can be accepted there
	pending []Finding // that only showed in the ledger, and that Follow has to raise
	saved   int64     // position in the store
	savedAt time.Time
}

// New returns the monitor of db. A configuration that is not Valid makes Before
// and Follow fail: nothing passes a monitor that nobody can tell the rules of.
func New(db *migrations.DB, l *ledger.Ledger, c Config) *Monitor {
	m := &Monitor{db: db, ledger: l, workspaces: map[string]*watched{}}
	if m.c, m.broken = c.compile(); m.broken != nil {
		m.broken = fmt.Errorf("monitor: %w", m.broken)
	}
	return m
}

// Before judges an action that has not been decided, by everything that the
// ledger holds at this moment. It writes nothing: Note what it finds, in the
// transaction that acts on it. With an error the response is Ask: for a write or
// an external action the gate does no less.
func (m *Monitor) Before(ctx context.Context, f Facts) (Response, []Finding, error) {
	if m.broken != nil {
		return Ask, nil, m.broken
	}
	if f.Manners {
		return None, nil, nil // the agent must be able to say what it may not do
	}
	if f.At.IsZero() {
		f.At = m.db.Now()
	}
	w := m.watch(f.Workspace)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := m.catchUp(ctx, w); err != nil {
		return Ask, nil, fmt.Errorf("monitor: %w", err)
	}
	var found []Finding
	if w.gap != "" {
		found = append(found, m.c.gapFinding(f, w.gap, w.gapSeq))
	}
	found = append(found, w.state.judge(&m.c, f)...)
	return Gravest(found), found, nil
}

func (m *Monitor) watch(workspace string) *watched {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.workspaces[workspace]
	if w == nil {
		w = &watched{name: workspace}
		m.workspaces[workspace] = w
	}
	return w
}
