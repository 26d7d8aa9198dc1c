package identity

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Gate is the only way to an effect: decide, record, act, record.
type Gate struct {
	db     *migrations.DB
	ledger *ledger.Ledger
	policy Policy
	crash  func(point string)

	mu   sync.Mutex
	keys map[string]*keyLock
}

type keyLock struct {
	mu    sync.Mutex
	users int
}

// NewGate returns the gate of db. crash is called at the named points
// gate:intent, gate:acted and gate:outcome; nil in production.
func NewGate(db *migrations.DB, l *ledger.Ledger, p Policy, crash func(point string)) *Gate {
	if crash == nil {
		crash = func(string) {}
	}
	return &Gate{db: db, ledger: l, policy: p, crash: crash, keys: map[string]*keyLock{}}
}

// Do has a happen, at most once for its key. A key whose outcome is known gets
// that outcome again. A key that was begun and whose outcome was lost is looked
// up with e.Find and repeated only if it surely did not happen; reads are simply
// repeated; anything else becomes ErrUnknownOutcome.
//
// Errors: *DeniedError, ErrSuspended, *FailedError (certainly nothing happened),
// ErrUnknownOutcome; any other error leaves the action open, and the same key may
// be tried again.
func (g *Gate) Do(ctx context.Context, a Action, e Effect) (Result, error) {
	if a.Key == "" || a.Workspace == "" || a.Tool == "" || a.Class == "" {
		return Result{}, fmt.Errorf("gate: key, workspace, tool and class of action %q must not be empty", a.Key)
	}
	unlock := g.lock(a.Key)
	defer unlock()
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	d, err := g.decide(ctx, a)
	if err != nil {
		return Result{}, fmt.Errorf("gate: %s: %w", a.Tool, err)
	}
	row, err := g.intend(ctx, a, d)
	if err != nil {
		return Result{}, fmt.Errorf("gate: record intent of %s: %w", a.Key, err)
	}
	switch {
	case row.state == stateDenied:
		return Result{}, row.refusal(a)
	case row.state == stateDone:
		return row.result, nil
	case row.state == stateFailed:
		return Result{}, &FailedError{errors.New(row.err)}
	case row.state == stateUnknown:
		return Result{}, ErrUnknownOutcome
	case !row.fresh:
		if r, settled, err := g.reopen(ctx, a, e, d, row); settled || err != nil {
			return r, err
		}
	}
	g.crash("gate:intent")
	r, err := e.Do(ctx)
	g.crash("gate:acted")
	if isAmbiguous(err) {
		if a.Class != ClassRead && e.Find == nil {
			return Result{}, g.unknown(ctx, a, e, row, err)
		}
		return Result{}, fmt.Errorf("%s: %w", a.Tool, err)
	}
	return r, g.settle(ctx, a, e, row, r, err)
}

// decide asks the policy; what it cannot answer is a no. The error is
// ErrUndecided: not now.
func (g *Gate) decide(ctx context.Context, a Action) (Decision, error) {
	d, err := g.policy.Decide(ctx, a)
	if errors.Is(err, ErrUndecided) {
		return Decision{}, err
	}
	if err != nil {
		return Decision{Verdict: Deny, Policies: []string{"error"}, Reasons: []string{"whether it is allowed could not be decided (" + Mask(err.Error()) + ")"}}, nil
	}
	switch d.Verdict {
	case Allow:
		return d, nil
	case Deny:
	default:
		d.Reasons = append(d.Reasons, "it needs an approval, and nobody can give one yet")
	}
	d.Verdict = Deny
	return d, nil
}

// States of an action, the words of the actions table's state column.
const (
	stateIntended = "intended"
	stateDone     = "done"
	stateFailed   = "failed"
	stateUnknown  = "unknown"
	stateDenied   = "denied"
)

// actionRow is an action as the store has it.
type actionRow struct {
	fresh     bool // made by this very call
	state     string
	result    Result
	err       string
	reasons   []string
	seq       int64
	created   time.Time
	agent     string
	suspended bool
}

func (r actionRow) refusal(a Action) error {
	if r.suspended {
		return fmt.Errorf("%w: %s", ErrSuspended, r.err)
	}
	return &DeniedError{Tool: a.Tool, Reasons: r.reasons}
}

// intend writes the intent, or the denial, in one transaction with its ledger
// entry; or finds the action that has the key already.
func (g *Gate) intend(ctx context.Context, a Action, d Decision) (actionRow, error) {
	print := fingerprint(a)
	var row actionRow
	err := g.db.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if row, err = loadAction(tx, a, print); err != nil || row.state != "" {
			return err
		}
		agent, err := scanAgent(tx.QueryRow(`SELECT `+agentColumns+` FROM agents WHERE workspace = $1`, a.Workspace))
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("there is no agent in workspace %s", a.Workspace)
		}
		if err != nil {
			return err
		}
		if agent.State != StateActive {
			// Not stored under the key: when the agent is resumed, the action is new.
			row = actionRow{state: stateDenied, suspended: true, err: agent.State + " by " + agent.ChangedBy}
			_, err := g.ledger.Append(tx, g.record(a, agent.User, "denied", d, "agent is "+agent.State))
			return err
		}
		row = actionRow{fresh: true, state: stateIntended, created: tx.Now(), agent: agent.User, reasons: d.Reasons}
		kind := "intent"
		if d.Verdict != Allow {
			kind, row.state = "denied", stateDenied
		}
		if row.seq, err = g.ledger.Append(tx, g.record(a, agent.User, kind, d, "")); err != nil {
			return err
		}
		reasons, err := json.Marshal(d.Reasons)
		if err != nil {
			return fmt.Errorf("encode reasons: %w", err)
		}
		_, err = tx.Exec(`INSERT INTO actions (key, workspace, turn, tool, class, requester, channel, fingerprint, reasons, state, intent_seq, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			a.Key, a.Workspace, a.Turn, a.Tool, string(a.Class), a.Requester, a.Channel, print, string(reasons), row.state, row.seq, migrations.Micros(tx.Now()))
		return err
	})
	return row, err
}

// loadAction finds the action with a's key; an empty state means that there is
// none. The same key with other arguments is a mistake that must not act.
func loadAction(tx *migrations.Tx, a Action, print string) (actionRow, error) {
	var row actionRow
	var was, result, reasons string
	var created int64
	err := tx.QueryRow(`SELECT state, fingerprint, result, error, reasons, intent_seq, created_at FROM actions WHERE key = $1`, a.Key).
		Scan(&row.state, &was, &result, &row.err, &reasons, &row.seq, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return actionRow{}, nil
	}
	if err != nil {
		return actionRow{}, err
	}
	if was != print {
		return actionRow{}, fmt.Errorf("the key %s belongs to another action", a.Key)
	}
	row.created = migrations.Time(created)
	if err := json.Unmarshal([]byte(reasons), &row.reasons); err != nil {
		return actionRow{}, fmt.Errorf("decode reasons: %w", err)
	}
	if result != "" {
		if err := json.Unmarshal([]byte(result), &row.result); err != nil {
			return actionRow{}, fmt.Errorf("decode result: %w", err)
		}
	}
	return row, nil
}

// reopen goes on with an action whose outcome was lost. settled is false when it
// is to be done (again).
func (g *Gate) reopen(ctx context.Context, a Action, e Effect, d Decision, row actionRow) (r Result, settled bool, err error) {
	if a.Class != ClassRead {
		if e.Find == nil {
			return Result{}, true, g.unknown(ctx, a, e, row, errors.New("the process ended between the intent and its outcome"))
		}
		found, happened, err := e.Find(ctx, row.created)
		if err != nil {
			return Result{}, true, fmt.Errorf("look whether %s took effect: %w", a.Key, err)
		}
		if happened {
			return found, true, g.settle(ctx, a, e, row, found, nil)
		}
	}
	// It did not happen: the world may have changed since it was allowed.
	if d.Verdict != Allow {
		err := &DeniedError{Tool: a.Tool, Reasons: d.Reasons}
		if serr := g.settle(ctx, a, e, row, Result{}, err); serr != nil {
			var failed *FailedError
			if !errors.As(serr, &failed) {
				return Result{}, true, serr
			}
		}
		return Result{}, true, err
	}
	state, by, err := g.agentState(ctx, a.Workspace)
	if err != nil {
		return Result{}, true, err
	}
	if state != StateActive {
		return Result{}, true, fmt.Errorf("%w: %s by %s", ErrSuspended, state, by)
	}
	return Result{}, false, nil
}

func (g *Gate) agentState(ctx context.Context, workspace string) (state, by string, err error) {
	err = g.db.QueryRow(ctx, `SELECT state, changed_by FROM agents WHERE workspace = $1`, workspace).Scan(&state, &by)
	if err != nil {
		return "", "", fmt.Errorf("load agent of %s: %w", workspace, err)
	}
	return state, by, nil
}

// settle writes the outcome, with the state that changes with it. The outcome is
// written even when ctx has ended: the effect has happened.
func (g *Gate) settle(ctx context.Context, a Action, e Effect, row actionRow, r Result, failed error) error {
	state := stateDone
	if failed != nil {
		state = stateFailed
	}
	err := g.db.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		if err := g.end(tx, a, row, state, r, failed); err != nil {
			return err
		}
		if e.Commit == nil {
			return nil
		}
		return e.Commit(tx, r, failed)
	})
	if err != nil {
		return fmt.Errorf("gate: record outcome of %s: %w", a.Key, err)
	}
	g.crash("gate:outcome")
	if failed != nil {
		return &FailedError{failed}
	}
	return nil
}

// unknown closes an action whose outcome nobody can tell.
func (g *Gate) unknown(ctx context.Context, a Action, e Effect, row actionRow, why error) error {
	err := g.db.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		if err := g.end(tx, a, row, stateUnknown, Result{}, why); err != nil {
			return err
		}
		if e.Commit == nil {
			return nil
		}
		return e.Commit(tx, Result{}, ErrUnknownOutcome)
	})
	if err != nil {
		return fmt.Errorf("gate: record outcome of %s: %w", a.Key, err)
	}
	return ErrUnknownOutcome
}

// mostResult bounds what is kept of a result, in bytes.
const mostResult = 64 << 10

// end closes the action's row and appends the outcome to the ledger.
func (g *Gate) end(tx *migrations.Tx, a Action, row actionRow, state string, r Result, failed error) error {
	if len(r.Text) > mostResult {
		r.Text = strings.ToValidUTF8(r.Text[:mostResult], "") + "\n(cut: the result is longer)"
	}
	result, text := "", ""
	if state == stateDone {
		b, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode result: %w", err)
		}
		result = Mask(string(b))
	}
	if failed != nil {
		text = Mask(failed.Error())
	}
	res, err := tx.Exec(`UPDATE actions SET state = $1, result = $2, error = $3, ended_at = $4 WHERE key = $5 AND state = 'intended'`,
		state, result, text, migrations.Micros(tx.Now()), a.Key)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errors.New("the action is not open any more"), err)
	}
	rec := ledger.Record{
		Workspace: a.Workspace, Kind: "outcome", Actor: row.agent, Agent: row.agent, Turn: a.Turn, Tool: a.Tool, Action: a.Key,
		Outcome: state, Ref: &row.seq, Payload: map[string]string{},
	}
	if result != "" {
		rec.Payload["result"] = result
	}
	if text != "" {
		rec.Payload["error"] = text
	}
	_, err = g.ledger.Append(tx, rec)
	return err
}

// Abandon closes, as unknown, what a stopped turn has under way and will not
// look at again: the open actions whose keys begin with prefix. It returns the
// names of their tools.
func (g *Gate) Abandon(tx *migrations.Tx, workspace, turn, prefix string) ([]string, error) {
	rows, err := tx.Query(`SELECT key, tool, intent_seq FROM actions WHERE workspace = $1 AND turn = $2 AND state = 'intended' ORDER BY created_at`, workspace, turn)
	if err != nil {
		return nil, fmt.Errorf("list open actions of turn %s: %w", turn, err)
	}
	defer rows.Close()
	var open []Action
	var seqs []int64
	for rows.Next() {
		a := Action{Workspace: workspace, Turn: turn}
		var seq int64
		if err := rows.Scan(&a.Key, &a.Tool, &seq); err != nil {
			return nil, fmt.Errorf("list open actions of turn %s: %w", turn, err)
		}
		if strings.HasPrefix(a.Key, prefix) {
			open, seqs = append(open, a), append(seqs, seq)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list open actions of turn %s: %w", turn, err)
	}
	var tools []string
	for i, a := range open {
		if err := g.end(tx, a, actionRow{seq: seqs[i]}, stateUnknown, Result{}, errors.New("the turn was stopped while this was under way")); err != nil {
			return nil, fmt.Errorf("abandon %s: %w", a.Key, err)
		}
		tools = append(tools, a.Tool)
	}
	return tools, nil
}

// record is the ledger's view of an action before it happens.
func (g *Gate) record(a Action, agent, kind string, d Decision, extra string) ledger.Record {
	r := ledger.Record{
		Workspace: a.Workspace, Kind: kind, Agent: agent, Actor: agent, Requester: a.Requester, Turn: a.Turn, Cause: a.Cause,
		Channel: a.Channel, Thread: a.Thread, Target: a.Target, Tool: a.Tool, Class: string(a.Class), Action: a.Key,
		Decision: d.Verdict, Reasons: append([]string{}, d.Policies...),
		Fields: map[string]string{"requester_kind": a.RequesterKind, "channel_kind": a.ChannelKind},
	}
	if extra != "" {
		r.Decision = Deny
		r.Reasons = append(r.Reasons, extra)
	}
	if len(a.Args) > 0 {
		r.Payload = map[string]string{"args": Mask(string(a.Args))}
	}
	return r
}

// fingerprint tells two uses of one key apart: tool, target and arguments.
func fingerprint(a Action) string {
	h := sha256.New()
	for _, s := range []string{a.Workspace, a.Tool, a.target(), string(a.Args)} {
		fmt.Fprintf(h, "%d:%s;", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// lock serialises the uses of one key in this process.
func (g *Gate) lock(key string) (unlock func()) {
	g.mu.Lock()
	k := g.keys[key]
	if k == nil {
		k = &keyLock{}
		g.keys[key] = k
	}
	k.users++
	g.mu.Unlock()
	k.mu.Lock()
	return func() {
		k.mu.Unlock()
		g.mu.Lock()
		defer g.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(g.keys, key)
		}
	}
}
