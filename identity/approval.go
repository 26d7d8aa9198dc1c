package identity

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/identity/policy"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// States of an approval, the words of the approvals table's state column.
const (
	ApprovalPending   = "pending"
	ApprovalApproved  = "approved"  // not used yet
	ApprovalUsed      = "used"      // the call was begun
	ApprovalDenied    = "denied"    // somebody said no
	ApprovalExpired   = "expired"   // nobody decided in time, which is not a no
	ApprovalWithdrawn = "withdrawn" // the work that it was for was stopped, or it is not needed any more
	ApprovalStale     = "stale"     // what was asked for is not what would be done now
)

// Bounds of how long an approval may be waited for.
const (
	defaultTTL = 24 * time.Hour
	shortest   = time.Minute
	longest    = 14 * 24 * time.Hour
)

// TaskApproval is the kind of the tasks that remind of approvals and end them.
const TaskApproval = "approval"

// Approval is one call that waits for a human's decision, or has it. It fits that
// exact call, once.
type Approval struct {
	ID            string    `json:"id"`
	Workspace     string    `json:"workspace"`
	Call          string    `json:"call"` // the action's key
	Turn          string    `json:"turn"`
	Cause         string    `json:"cause"`
	Tool          string    `json:"tool"`
	Class         Class     `json:"class"`
	Requester     string    `json:"requester"`
	RequesterKind string    `json:"requester_kind"`
	Others        []string  `json:"others,omitempty"` // who else took part in asking
	Channel       string    `json:"channel"`
	ChannelKind   string    `json:"channel_kind"`
	Thread        string    `json:"thread,omitempty"`
	Target        string    `json:"target,omitempty"`
	Connection    string    `json:"connection,omitempty"`
	Duty          string    `json:"duty,omitempty"` // id of the duty whose run asks
	Args          string    `json:"args"`           // JSON, with secrets masked
	Policies      []string  `json:"policies"`
	Reasons       []string  `json:"reasons"`
	Approvers     []string  `json:"approvers"`         // user:U…, group:S…, sponsor, admins
	Sources       []string  `json:"sources,omitempty"` // only who can read all these places may approve
	Quorum        int       `json:"quorum"`
	State         string    `json:"state"`
	EndedBy       string    `json:"ended_by,omitempty"`
	EndedWhy      string    `json:"ended_why,omitempty"`
	CreatedAt     time.Time `json:"created_at"`
	RemindAt      time.Time `json:"remind_at,omitzero"`
	ExpiresAt     time.Time `json:"expires_at"`
	EndedAt       time.Time `json:"ended_at,omitzero"`
	Votes         []Vote    `json:"votes,omitempty"`

	binding, set string
}

// Vote is one approver's word.
type Vote struct {
	Person  string    `json:"person"`
	Verdict string    `json:"verdict"` // approve, deny
	Reason  string    `json:"reason,omitempty"`
	At      time.Time `json:"at"`
}

// Approved are the people who said yes.
func (a Approval) Approved() []string {
	var all []string
	for _, v := range a.Votes {
		if v.Verdict == VerdictApprove {
			all = append(all, v.Person)
		}
	}
	return all
}

// PendingError means that an action waits for a human's approval: nothing was
// done, and the same key may be tried again once it is decided.
type PendingError struct{ Approval Approval }

func (e *PendingError) Error() string {
	return fmt.Sprintf("%s waits for an approval (%s)", e.Approval.Tool, e.Approval.ID)
}

// Standing is what somebody is in a workspace at this moment.
type Standing struct {
	Kind   string   // member, guest, outsider, bot
	Active bool     // not deactivated
	Admin  bool     // of the workspace
	Groups []string // those of the groups asked for that they are in
}

// Roll tells who people are now. It must not answer from what was true a while
// ago: a decision hangs on it.
type Roll interface {
	Standing(ctx context.Context, workspace, person string, groups []string) (Standing, error)
}

// Approvals keeps what waits for a human's decision. It is part of the gate,
// which makes and uses approvals; here people decide them.
type Approvals struct {
	gate *Gate

	// Roll must be set before Decide is called; without it every press is refused.
	Roll Roll
	// Ended is told, in the transaction, of every approval that stopped waiting.
	Ended func(tx *migrations.Tx, a Approval) error
	// Voted is told of a yes after which more are needed, Remind of one that has
	// waited for long.
	Voted  func(tx *migrations.Tx, a Approval) error
	Remind func(tx *migrations.Tx, a Approval) error
	// Grant makes the grant of an approval for a whole thread. Nil: there are none.
	Grant func(tx *migrations.Tx, by string, g policy.Grant) (policy.Grant, error)
}

const approvalColumns = `id, workspace, call, turn, cause, tool, class, requester, requester_kind, others, channel, channel_kind, thread, target, connection,
	args, binding, policy_set, policies, reasons, approvers, sources, quorum, state, ended_by, ended_why, created_at, remind_at, expires_at, ended_at, duty`

func scanApproval(row interface{ Scan(...any) error }) (Approval, error) {
	var a Approval
	var others, policies, reasons, approvers, sources string
	var created, remind, expires, ended int64
	err := row.Scan(&a.ID, &a.Workspace, &a.Call, &a.Turn, &a.Cause, &a.Tool, &a.Class, &a.Requester, &a.RequesterKind, &others, &a.Channel, &a.ChannelKind,
		&a.Thread, &a.Target, &a.Connection, &a.Args, &a.binding, &a.set, &policies, &reasons, &approvers, &sources, &a.Quorum, &a.State, &a.EndedBy, &a.EndedWhy,
		&created, &remind, &expires, &ended, &a.Duty)
	if err != nil {
		return a, err
	}
	for list, text := range map[*[]string]string{&a.Others: others, &a.Policies: policies, &a.Reasons: reasons, &a.Approvers: approvers, &a.Sources: sources} {
		if err := json.Unmarshal([]byte(text), list); err != nil {
			return a, fmt.Errorf("decode approval %s: %w", a.ID, err)
		}
	}
	a.CreatedAt, a.ExpiresAt = migrations.Time(created), migrations.Time(expires)
	a.RemindAt, a.EndedAt = migrations.Time(remind), migrations.Time(ended)
	return a, nil
}

func loadVotes(tx *migrations.Tx, a *Approval) error {
	rows, err := tx.Query(`SELECT person, verdict, reason, voted_at FROM approval_votes WHERE approval = $1 ORDER BY voted_at, person`, a.ID)
	if err != nil {
		return fmt.Errorf("load votes of %s: %w", a.ID, err)
	}
	defer rows.Close()
	a.Votes = nil
	for rows.Next() {
		var v Vote
		var at int64
		if err := rows.Scan(&v.Person, &v.Verdict, &v.Reason, &at); err != nil {
			return fmt.Errorf("load votes of %s: %w", a.ID, err)
		}
		v.At = migrations.Time(at)
		a.Votes = append(a.Votes, v)
	}
	return rows.Err()
}

// ErrNoApproval means that there is no approval of that id in the workspace.
var ErrNoApproval = errors.New("there is no such approval")

func loadApproval(tx *migrations.Tx, workspace, id string) (Approval, error) {
	a, err := scanApproval(tx.QueryRow(`SELECT `+approvalColumns+` FROM approvals WHERE id = $1 AND workspace = $2`, id, workspace))
	if errors.Is(err, sql.ErrNoRows) {
		return a, ErrNoApproval
	}
	if err != nil {
		return a, fmt.Errorf("load approval %s: %w", id, err)
	}
	return a, loadVotes(tx, &a)
}

// Get loads one approval; ErrNoApproval if the workspace has none of that id.
func (p *Approvals) Get(ctx context.Context, workspace, id string) (Approval, error) {
	var a Approval
	err := p.gate.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		a, err = loadApproval(tx, workspace, id)
		return err
	})
	return a, err
}

// List loads the approvals of a workspace, the newest first; all is with those
// that do not wait any more, limit at most.
func (p *Approvals) List(ctx context.Context, workspace string, all bool, limit int) ([]Approval, error) {
	where := ` AND state = 'pending'`
	if all {
		where = ""
	}
	var list []Approval
	err := p.gate.db.Read(ctx, func(tx *migrations.Tx) error {
		rows, err := tx.Query(`SELECT `+approvalColumns+` FROM approvals WHERE workspace = $1`+where+` ORDER BY created_at DESC, id LIMIT $2`, workspace, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			a, err := scanApproval(rows)
			if err != nil {
				return err
			}
			list = append(list, a)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i := range list {
			if err := loadVotes(tx, &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list approvals of %s: %w", workspace, err)
	}
	return list, nil
}

// ask finds the approval of a call in its state now, or makes it. It closes one
// that has expired, or that does not fit the call any more.
func (p *Approvals) ask(tx *migrations.Tx, a Action, d Decision, agent string) (Approval, error) {
	binding := p.gate.binding(a, d)
	had, err := scanApproval(tx.QueryRow(`SELECT `+approvalColumns+` FROM approvals WHERE workspace = $1 AND call = $2 ORDER BY created_at DESC, id DESC LIMIT 1`,
		a.Workspace, a.call()))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return p.open(tx, a, d, binding, agent)
	case err != nil:
		return Approval{}, fmt.Errorf("look for approval of %s: %w", a.call(), err)
	}
	if err := loadVotes(tx, &had); err != nil {
		return Approval{}, err
	}
	if had.State != ApprovalPending && had.State != ApprovalApproved && had.State != ApprovalUsed {
		return had, nil
	}
	if had.binding != binding {
		why := "the arguments, the tool or the rules for it have changed since it was asked for"
		return p.end(tx, had, ApprovalStale, "system", why)
	}
	if had.State != ApprovalUsed && !tx.Now().Before(had.ExpiresAt) {
		return p.expire(tx, had)
	}
	return had, nil
}

// open writes a new approval and its request into the ledger.
func (p *Approvals) open(tx *migrations.Tx, a Action, d Decision, binding, agent string) (Approval, error) {
	ttl := d.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	ttl = min(max(ttl, shortest), longest)
	approvers := d.Approvers
	if len(approvers) == 0 {
		approvers = []string{policy.Sponsor, policy.Admins}
	}
	now := tx.Now()
	ap := Approval{
		ID: migrations.NewID("ap"), Workspace: a.Workspace, Call: a.call(), Turn: a.Turn, Cause: a.Cause, Tool: a.Tool, Class: a.Class,
		Requester: a.Requester, RequesterKind: a.RequesterKind, Others: a.Others, Channel: a.Channel, ChannelKind: a.ChannelKind, Thread: a.Thread, Target: a.Target,
		Connection: a.Connection, Duty: a.Duty, Args: cut(Mask(string(a.args())), mostArgs), Policies: d.Policies, Reasons: d.Reasons, Approvers: approvers, Sources: d.Sources,
		Quorum: max(1, d.Quorum), State: ApprovalPending, CreatedAt: now, RemindAt: now.Add(ttl / 2), ExpiresAt: now.Add(ttl), binding: binding, set: d.Set,
	}
	seq, err := p.gate.ledger.Append(tx, ledger.Record{
		Workspace: a.Workspace, Kind: "approval.requested", Agent: agent, Actor: agent, Requester: a.Requester, Turn: a.Turn, Cause: a.Cause,
		Channel: a.Channel, Thread: a.Thread, Target: a.Target, Tool: a.Tool, Class: string(a.Class), Decision: Ask, Reasons: d.Policies,
		Fields: map[string]string{ledger.FieldApproval: ap.ID, "call_key": ap.Call, "binding": binding, ledger.FieldPolicySet: d.Set,
			"quorum": strconv.Itoa(ap.Quorum), "expires": ap.ExpiresAt.UTC().Format(time.RFC3339)},
		Payload: map[string]string{ledger.PayloadArgs: ap.Args},
	})
	if err != nil {
		return ap, err
	}
	lists := make([]string, 5)
	for i, list := range [][]string{ap.Policies, ap.Reasons, ap.Approvers, ap.Others, ap.Sources} {
		if list == nil {
			list = []string{}
		}
		b, err := json.Marshal(list)
		if err != nil {
			return ap, fmt.Errorf("encode approval: %w", err)
		}
		lists[i] = Mask(string(b))
	}
	_, err = tx.Exec(`INSERT INTO approvals (id, workspace, call, turn, cause, tool, class, requester, requester_kind, others, channel, channel_kind, thread, target, connection,
			args, binding, policy_set, policies, reasons, approvers, quorum, state, created_at, remind_at, expires_at, asked_seq, sources, duty)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)`,
		ap.ID, ap.Workspace, ap.Call, ap.Turn, ap.Cause, ap.Tool, string(ap.Class), ap.Requester, ap.RequesterKind, lists[3], ap.Channel, ap.ChannelKind, ap.Thread, ap.Target,
		ap.Connection, ap.Args, binding, ap.set, lists[0], lists[1], lists[2], ap.Quorum, ap.State, migrations.Micros(now), migrations.Micros(ap.RemindAt),
		migrations.Micros(ap.ExpiresAt), seq, lists[4], ap.Duty)
	if err != nil {
		return ap, fmt.Errorf("store approval: %w", err)
	}
	return ap, task.Wake(tx, task.Waking{Workspace: a.Workspace, Kind: TaskApproval, Key: approvalTask(ap.ID), Due: ap.RemindAt})
}

func approvalTask(id string) string { return TaskApproval + ":" + id }

// end closes an approval: row, ledger, and whoever waits for it.
func (p *Approvals) end(tx *migrations.Tx, a Approval, state, by, why string) (Approval, error) {
	now := tx.Now()
	why = cut(Mask(why), mostError)
	res, err := tx.Exec(`UPDATE approvals SET state = $1, ended_by = $2, ended_why = $3, ended_at = $4 WHERE id = $5 AND state = $6`,
		state, by, why, migrations.Micros(now), a.ID, a.State)
	if err != nil {
		return a, fmt.Errorf("close approval %s: %w", a.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return a, errors.Join(fmt.Errorf("approval %s has changed meanwhile", a.ID), err)
	}
	a.State, a.EndedBy, a.EndedWhy, a.EndedAt = state, by, why, now
	_, err = p.gate.ledger.Append(tx, ledger.Record{
		Workspace: a.Workspace, Kind: "approval." + state, Actor: by, Requester: a.Requester, Turn: a.Turn, Channel: a.Channel, Thread: a.Thread, Tool: a.Tool,
		Fields:  map[string]string{ledger.FieldApproval: a.ID, ledger.FieldApprovers: strings.Join(a.Approved(), " ")},
		Payload: map[string]string{"reason": why},
	})
	if err != nil {
		return a, err
	}
	if p.Ended != nil {
		return a, p.Ended(tx, a)
	}
	return a, nil
}

func (p *Approvals) expire(tx *migrations.Tx, a Approval) (Approval, error) {
	return p.end(tx, a, ApprovalExpired, "system", "nobody decided within "+wordDuration(a.ExpiresAt.Sub(a.CreatedAt)))
}

// use marks the approval as used by the intent that is about to be written.
func (p *Approvals) use(tx *migrations.Tx, a Approval) error {
	if a.State == ApprovalUsed {
		return nil // a further part of the same call, or a repeat of one that surely did not happen
	}
	res, err := tx.Exec(`UPDATE approvals SET state = 'used' WHERE id = $1 AND state = 'approved'`, a.ID)
	if err != nil {
		return fmt.Errorf("use approval %s: %w", a.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(fmt.Errorf("approval %s is not to be used", a.ID), err)
	}
	return nil
}

// moot closes the approval of a call that policy now decides without one.
func (p *Approvals) moot(tx *migrations.Tx, a Action, why string) error {
	had, err := scanApproval(tx.QueryRow(`SELECT `+approvalColumns+` FROM approvals WHERE workspace = $1 AND call = $2 AND state IN ('pending', 'approved')`,
		a.Workspace, a.call()))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for approval of %s: %w", a.call(), err)
	}
	_, err = p.end(tx, had, ApprovalWithdrawn, "system", why)
	return err
}

// Withdraw closes what a turn waits for, because the turn was stopped.
func (p *Approvals) Withdraw(tx *migrations.Tx, workspace, turn, by, why string) error {
	rows, err := tx.Query(`SELECT `+approvalColumns+` FROM approvals WHERE turn = $1 AND workspace = $2 AND state IN ('pending', 'approved') ORDER BY created_at, id`, turn, workspace)
	if err != nil {
		return fmt.Errorf("list approvals of turn %s: %w", turn, err)
	}
	defer rows.Close()
	var open []Approval
	for rows.Next() {
		a, err := scanApproval(rows)
		if err != nil {
			return fmt.Errorf("list approvals of turn %s: %w", turn, err)
		}
		open = append(open, a)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list approvals of turn %s: %w", turn, err)
	}
	for _, a := range open {
		if _, err := p.end(tx, a, ApprovalWithdrawn, by, why); err != nil {
			return err
		}
	}
	return nil
}

// Handle reminds of an approval that waits, and ends it when its time is up. It
// is the task handler of kind "approval".
func (p *Approvals) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	var again time.Time
	err := p.gate.db.Write(ctx, func(tx *migrations.Tx) error {
		again = time.Time{}
		if err := lease.Guard(tx); err != nil {
			return err
		}
		a, err := loadApproval(tx, lease.Workspace, strings.TrimPrefix(lease.Key, TaskApproval+":"))
		if errors.Is(err, ErrNoApproval) {
			return nil
		}
		if err != nil {
			return err
		}
		now := tx.Now()
		switch {
		case a.State == ApprovalPending && !now.Before(a.ExpiresAt):
			_, err := p.expire(tx, a)
			return err
		case a.State != ApprovalPending:
			return nil
		}
		again = a.ExpiresAt
		if a.RemindAt.IsZero() {
			return nil
		}
		if now.Before(a.RemindAt) {
			again = a.RemindAt
			return nil
		}
		if _, err := tx.Exec(`UPDATE approvals SET remind_at = 0 WHERE id = $1`, a.ID); err != nil {
			return fmt.Errorf("note reminder of %s: %w", a.ID, err)
		}
		if p.Remind == nil {
			return nil
		}
		return p.Remind(tx, a)
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("look after approval: %w", err)
	}
	return task.Result{Again: again}, nil
}

// Refusal words why an ended approval does not let the action happen.
func (a Approval) refusal() string {
	switch a.State {
	case ApprovalDenied:
		why := "<@" + a.EndedBy + "> denied it"
		if a.EndedWhy != "" {
			why += ": " + a.EndedWhy
		}
		return why
	case ApprovalExpired:
		return "nobody approved or denied it in time (" + a.EndedWhy + "); ask again if it is still wanted"
	case ApprovalWithdrawn:
		return "the request for approval was withdrawn: " + a.EndedWhy
	default:
		return "its approval does not hold any more: " + a.EndedWhy + "; ask again"
	}
}

// wordDuration is a duration as people say it.
func wordDuration(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if d >= unit.size && d%unit.size == 0 {
			n := int(d / unit.size)
			if n == 1 {
				return "1 " + unit.name
			}
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return d.Round(time.Second).String()
}

// binding is the keyed hash of what exactly is approved: tool, target, arguments,
// pin of the tool and all rules that have a say on it.
func (g *Gate) binding(a Action, d Decision) string {
	return g.ledger.MAC(a.Workspace, "binding", strings.Join([]string{a.Tool, a.target(), string(a.args()), a.Pin, d.Set, strings.Join(slices.Sorted(slices.Values(d.Approvers)), " "),
		strconv.Itoa(d.Quorum), strings.Join(d.Sources, " ")}, "\x00"))
}
