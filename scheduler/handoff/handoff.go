// Package handoff passes work from one person to another: duties and open
// threads, by an offer and its acceptance.
//
// It promises that work has exactly one owner at every moment: the old one until
// the new one has accepted, or the sponsor where the old one is gone; that an
// acceptance changes all of its owners and its ledger entries in one transaction;
// that what nobody answers is told and asked again; and that nothing is lost when
// an owner or a place goes. It must never accept for somebody, and never show
// anybody what they may not see: who sees what is decided by its caller, anew at
// each step.
//
// Docs: docs/handoffs.md.
package handoff

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/task"
)

// TaskHandoff is the kind of the tasks of handoffs, plans and lapses: each has
// one that presents it, reminds of it and ends it.
const TaskHandoff = "handoff"

// Kinds of item.
const (
	KindDuty   = "duty"
	KindThread = "thread"
)

// States of a handoff and of its items. Part is only of a handoff: some items
// were accepted. Gone is only of an item: it has ended, or has another owner.
const (
	StateOffered   = "offered"
	StateAccepted  = "accepted"
	StateDeclined  = "declined"
	StateWithdrawn = "withdrawn"
	StateExpired   = "expired"
	StatePart      = "part"
	StateGone      = "gone"
)

// OfferTime is how long an offer stands.
const OfferTime = 7 * 24 * time.Hour

// reminders are the times after an offer at which the new owner is reminded.
var reminders = []time.Duration{24 * time.Hour, 3 * 24 * time.Hour}

// mostItems bounds a handoff: a form of Slack has a hundred options.
const mostItems = 100

// ErrNone means that there is no such handoff, plan or lapse here.
var ErrNone = errors.New("there is no such handoff")

// RefusedError is something that a person may not do, or that cannot be done;
// Text says why, to them.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

func refused(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// Ref names a duty by its id, or a thread as "C…:ts".
type Ref struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// ThreadRef names a thread.
func ThreadRef(channel, ts string) Ref { return Ref{KindThread, channel + ":" + ts} }

// Thread gives the channel and ts of a thread's name.
func (r Ref) Thread() (channel, ts string) {
	channel, ts, _ = strings.Cut(r.ID, ":")
	return channel, ts
}

// Thread is a thread that the agent takes part in.
type Thread struct {
	Workspace string    `json:"workspace"`
	Channel   string    `json:"channel"`
	TS        string    `json:"ts"`
	Owner     string    `json:"owner"`
	LastAt    time.Time `json:"last_at"`
}

// Ref names the thread.
func (t Thread) Ref() Ref { return ThreadRef(t.Channel, t.TS) }

// Threads are the threads that the agent takes part in, which others keep.
type Threads struct {
	// Open lists those that are open, of an owner or with "" of everybody, newest first.
	Open func(tx *migrations.Tx, workspace, owner string) ([]Thread, error)
	// Get gives one that is open; ErrNone if there is none.
	Get func(tx *migrations.Tx, workspace, channel, ts string) (Thread, error)
	// Own gives one another owner.
	Own func(tx *migrations.Tx, workspace, channel, ts, owner string) error
}

// Person is somebody as they are at this moment.
type Person struct {
	ID       string // Slack user id, or "cli:name"
	Member   bool   // an active full member of the workspace
	Governs  bool   // sponsor of the agent, or admin of the workspace
	Operator bool   // works on the host
}

// Item is one duty or thread of a handoff.
type Item struct {
	Ref
	Owner   string      `json:"owner"` // who keeps it until it is accepted
	State   string      `json:"state"`
	Why     string      `json:"why,omitempty"` // it was declined, or is gone
	Brief   string      `json:"brief,omitempty"`
	Label   label.Label `json:"label,omitzero"`
	LeftOut bool        `json:"left_out,omitempty"` // the brief leaves out what the new owner may not see
}

// Handoff is an offer of work from one person to another.
type Handoff struct {
	ID        string    `json:"id"`
	Workspace string    `json:"workspace"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	State     string    `json:"state"`
	AskedBy   string    `json:"asked_by"`
	Reason    string    `json:"reason,omitempty"`
	Via       string    `json:"via"`
	Plan      string    `json:"plan,omitempty"`
	LeftOut   int64     `json:"left_out,omitempty"` // what was meant too and may not be seen by the new owner
	ShownAt   time.Time `json:"shown_at,omitzero"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Items     []Item    `json:"items"`

	reminded int64
}

// Count is how many items are in one of the states.
func (h Handoff) Count(states ...string) int {
	n := 0
	for _, i := range h.Items {
		if slices.Contains(states, i.State) {
			n++
		}
	}
	return n
}

// Of are the items in a state.
func (h Handoff) Of(state string) []Item {
	var all []Item
	for _, i := range h.Items {
		if i.State == state {
			all = append(all, i)
		}
	}
	return all
}

// What a handoff's people are told of.
const (
	ToldOffered   = "offered"
	ToldReminder  = "reminder"
	ToldAnswered  = "answered"
	ToldWithdrawn = "withdrawn"
	ToldExpired   = "expired"
)

// Presenting is what the new owner is shown of an offer, made outside of any
// transaction. Items that they may not have (any more) are in Hidden, with why.
type Presenting struct {
	Hidden map[Ref]string
	Items  map[Ref]Item                             // brief, label and left out, by item
	Queue  func(tx *migrations.Tx, h Handoff) error // owes the card; h is as it was stored
}

// Handoffs keeps the handoffs of all workspaces in one store.
type Handoffs struct {
	DB      *migrations.DB
	Ledger  *ledger.Ledger
	Duties  *scheduler.Scheduler
	Threads Threads
	// Sponsors are those of the agent who are there.
	Sponsors func(tx *migrations.Tx, workspace string) ([]string, error)

	// The rest tells people; nil where nobody is told, as on the command line: the
	// server's tasks do.

	// Present makes what the new owner is shown.
	Present func(ctx context.Context, h Handoff) (Presenting, error)
	// Hidden says which of the items a person may not have, and why.
	Hidden func(ctx context.Context, workspace, person string, refs []Ref) (map[Ref]string, error)
	// Sees says which of the items a person may see; with nil, the store's word counts.
	Sees func(ctx context.Context, workspace, person string, refs []Ref) (map[Ref]bool, error)
	// Told is told of changes, in their transaction.
	Told func(tx *migrations.Tx, h Handoff, what string) error
	// Asked is told of lapses that are new, reminded of or settled, in the transaction.
	Asked func(tx *migrations.Tx, l Lapse, what string) error
	// Planned is told of plans that were confirmed, dropped or have ended.
	Planned func(tx *migrations.Tx, p Plan) error
}

// Offer is a handoff to make.
type Offer struct {
	Workspace, From, Reason, Via, Plan string
	To, Asker                          Person
	Items                              []Ref
	Hidden                             map[Ref]string // of the items those that To may not see, and why
	Request                            string         // names the request: the same one offers once; "" for none
}

// Left is an item that is not offered, and why.
type Left struct {
	Ref
	Why string `json:"why"`
}

// Offer offers work to somebody. Items that cannot be offered are left with their
// owner and named; if that is all of them, nothing is offered and the error says
// why.
func (s *Handoffs) Offer(ctx context.Context, o Offer) (h Handoff, left []Left, err error) {
	err = s.DB.Write(ctx, func(tx *migrations.Tx) error {
		h, left, err = s.OfferTx(tx, o)
		return err
	})
	return h, left, err
}

// OfferTx is Offer inside a transaction.
func (s *Handoffs) OfferTx(tx *migrations.Tx, o Offer) (Handoff, []Left, error) {
	if o.Request != "" {
		made, err := s.byRequest(tx, o.Workspace, o.Request)
		if err == nil || !errors.Is(err, ErrNone) {
			return made, nil, err
		}
	}
	if err := o.allowed(); err != nil {
		return Handoff{}, nil, err
	}
	h := Handoff{
		ID: migrations.NewID("h_"), Workspace: o.Workspace, From: o.From, To: o.To.ID, State: StateOffered, AskedBy: o.Asker.ID, Reason: strings.TrimSpace(o.Reason),
		Via: o.Via, Plan: o.Plan, CreatedAt: tx.Now(), ExpiresAt: tx.Now().Add(OfferTime),
	}
	var left []Left
	seen := map[Ref]bool{}
	for _, r := range o.Items {
		if seen[r] {
			continue
		}
		seen[r] = true
		why, err := s.why(tx, o, r)
		if err != nil {
			return Handoff{}, nil, err
		}
		if why == "" && len(h.Items) == mostItems {
			why = fmt.Sprintf("an offer holds %d at most: offer the rest after this one", mostItems)
		}
		if why != "" {
			left = append(left, Left{r, why})
			continue
		}
		h.Items = append(h.Items, Item{Ref: r, Owner: o.From, State: StateOffered})
	}
	for _, l := range left {
		if o.Hidden[l.Ref] != "" {
			h.LeftOut++
		}
	}
	switch {
	case len(h.Items) > 0:
	case len(left) > 0:
		return Handoff{}, left, refused("Nothing was offered: %s.", whyWords(left))
	default:
		return Handoff{}, nil, refused("<@%s> owns no duty and no open thread, so there is nothing to hand over.", o.From)
	}
	if err := s.insert(tx, h, o.Request); err != nil {
		return Handoff{}, nil, err
	}
	if err := s.record(tx, h, "handoff.offered", o.Asker.ID, h.Items, map[string]string{"expires_at": h.ExpiresAt.Format(time.RFC3339)}); err != nil {
		return Handoff{}, nil, err
	}
	return h, left, wake(tx, h.Workspace, h.ID, tx.Now())
}

// allowed says whether the asker may offer this to that person at all.
func (o Offer) allowed() error {
	switch {
	case o.From == "" || o.To.ID == "":
		return refused("Say whose work it is, and who is to take it.")
	case o.Asker.ID != o.From && !o.Asker.Governs && !o.Asker.Operator:
		return refused("Only <@%s>, my sponsor or an admin of the workspace can hand over what <@%s> owns. Ask one of them.", o.From, o.From)
	case !o.To.Member:
		return refused("<@%s> cannot take it: an owner is an active full member of this workspace.", o.To.ID)
	case o.To.ID == o.From:
		return refused("<@%s> owns it already.", o.From)
	}
	return nil
}

// why says why an item cannot be offered, "" if it can.
func (s *Handoffs) why(tx *migrations.Tx, o Offer, r Ref) (string, error) {
	owner, err := s.owner(tx, o.Workspace, r)
	if errors.Is(err, ErrNone) {
		return "it has ended", nil
	}
	if err != nil {
		return "", err
	}
	if owner != o.From {
		return "it is <@" + owner + ">'s, not <@" + o.From + ">'s", nil
	}
	if why := o.Hidden[r]; why != "" {
		return why, nil
	}
	var to string
	err = tx.QueryRow(`SELECT h.to_owner FROM handoff_items i JOIN handoffs h ON h.id = i.handoff WHERE i.kind = $1 AND i.item = $2 AND i.state = 'offered'`, r.Kind, r.ID).Scan(&to)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look for an earlier offer: %w", err)
	}
	return "it is offered to <@" + to + "> already", nil
}

// owner is who answers for an item now; ErrNone if it has ended.
func (s *Handoffs) owner(tx *migrations.Tx, workspace string, r Ref) (string, error) {
	switch r.Kind {
	case KindDuty:
		d, err := s.Duties.GetTx(tx, r.ID)
		if errors.Is(err, scheduler.ErrNoDuty) || err == nil && (d.Workspace != workspace || d.State == scheduler.StateDone) {
			return "", ErrNone
		}
		return d.Owner, err
	case KindThread:
		channel, ts := r.Thread()
		t, err := s.Threads.Get(tx, workspace, channel, ts)
		return t.Owner, err
	}
	return "", ErrNone
}

// give makes somebody the owner of an item.
func (s *Handoffs) give(tx *migrations.Tx, workspace string, r Ref, to, by, why string) error {
	if r.Kind == KindDuty {
		_, err := s.Duties.Assign(tx, r.ID, to, by, why)
		return err
	}
	channel, ts := r.Thread()
	return s.Threads.Own(tx, workspace, channel, ts, to)
}

// Owned are the duties and open threads of a person, duties first.
func (s *Handoffs) Owned(ctx context.Context, workspace, person string) (all []Ref, err error) {
	err = s.DB.Read(ctx, func(tx *migrations.Tx) error {
		all, err = s.OwnedTx(tx, workspace, person)
		return err
	})
	return all, err
}

// OwnedTx is Owned inside a transaction.
func (s *Handoffs) OwnedTx(tx *migrations.Tx, workspace, person string) ([]Ref, error) {
	rows, err := tx.Query(`SELECT id FROM duties WHERE workspace = $1 AND owner = $2 AND state IN ('active', 'paused') ORDER BY created_at, id`, workspace, person)
	if err != nil {
		return nil, fmt.Errorf("list duties of %s: %w", person, err)
	}
	defer rows.Close()
	var all []Ref
	for rows.Next() {
		r := Ref{Kind: KindDuty}
		if err := rows.Scan(&r.ID); err != nil {
			return nil, fmt.Errorf("list duties of %s: %w", person, err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list duties of %s: %w", person, err)
	}
	threads, err := s.Threads.Open(tx, workspace, person)
	for _, t := range threads {
		all = append(all, t.Ref())
	}
	return all, err
}

// record appends a change of a handoff to the ledger, with the items that it is
// about. Reasons are people's words, and erasable.
func (s *Handoffs) record(tx *migrations.Tx, h Handoff, kind, actor string, items []Item, fields map[string]string) error {
	all := map[string]string{"handoff": h.ID, "from": h.From, "to": h.To, "items": itemWords(items), "state": h.State}
	for k, v := range fields {
		all[k] = v
	}
	if h.Plan != "" {
		all["plan"] = h.Plan
	}
	_, err := s.Ledger.Append(tx, ledger.Record{Workspace: h.Workspace, Kind: kind, Actor: actor, Requester: h.AskedBy, Target: h.To, Fields: all, Payload: map[string]string{"reason": h.Reason}})
	if err != nil {
		return fmt.Errorf("record %s of %s: %w", kind, h.ID, err)
	}
	return nil
}

func itemWords(items []Item) string {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = item.ID
	}
	return strings.Join(ids, " ")
}

// whyWords are the reasons, each once.
func whyWords(left []Left) string {
	var all []string
	for _, l := range left {
		if !slices.Contains(all, l.Why) {
			all = append(all, l.Why)
		}
	}
	return strings.Join(all, "; ")
}

func taskKey(id string) string { return TaskHandoff + ":" + id }

func wake(tx *migrations.Tx, workspace, id string, due time.Time) error {
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: TaskHandoff, Key: taskKey(id), Due: due})
}
