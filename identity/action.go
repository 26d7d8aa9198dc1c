package identity

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"deskmate/identity/budget"
	"deskmate/identity/ledger"
	"deskmate/identity/monitor"
	"deskmate/migrations"
)

// States of an action, the words of the actions table's state column. Done,
// failed and unknown are for good; intended is under way or lost; cancelled was
// never begun, and denied may be allowed another time.
const (
	stateIntended  = "intended"
	stateDone      = "done"
	stateFailed    = "failed"
	stateUnknown   = "unknown"
	stateCancelled = "cancelled"
	stateDenied    = "denied"

	stateAsked = "asked" // of no row: a human has to decide first
)

// Bounds of what is kept, in bytes; callers get results whole, once.
const (
	mostResult = 64 << 10
	mostArgs   = 64 << 10
	mostError  = 4 << 10
)

// actionRow is an action as the store has it. An empty state means that there is
// none yet.
type actionRow struct {
	state     string
	result    Result
	failure   string // why it failed or was denied
	seq       int64  // ledger entry of the newest intent or denial
	attempts  int64
	created   time.Time
	fresh     bool   // intended by this very call
	agent     string // the agent's user id
	sponsor   string
	suspended bool      // denied for the agent's state
	final     bool      // denied, and with it the turn ends
	approval  *Approval // that it waits for, or that it is done with
}

// lost reports an intent that another call wrote, and that has no outcome.
func (r actionRow) lost() bool { return r.state == stateIntended && !r.fresh }

func (r actionRow) refusal(a Action) error {
	e := &DeniedError{Tool: a.Tool, Reasons: strings.Split(r.failure, "\n"), Final: r.final}
	if r.suspended {
		e.cause = ErrSuspended
	}
	return e
}

// intend writes the intent, or the denial, in one transaction with its ledger
// entry; or finds that the action of this key has an outcome, or was begun and
// lost. lost is that row once it is certain that nothing came of it: then it is
// begun again.
func (g *Gate) intend(ctx context.Context, a Action, d Decision, lost *actionRow) (actionRow, error) {
	call := g.fingerprint(a)
	var row actionRow
	err := g.db.Write(ctx, func(tx *migrations.Tx) error {
		had, agent, err := loadAction(tx, a, call)
		if err != nil {
			return err
		}
		row = had
		stops, err := loadStops(tx, a.Workspace)
		if err != nil {
			return err
		}
		why := blocked(a, agent, stops)
		switch {
		case lost != nil && (had.state != stateIntended || had.attempts != lost.attempts):
			return errors.New("another process has taken up this action")
		case lost == nil && had.state != "" && had.state != stateDenied && had.state != stateCancelled:
			if !had.lost() || why == "" {
				return nil
			}
		}
		row = actionRow{state: stateIntended, fresh: true, agent: agent.User, sponsor: agent.Sponsor, attempts: had.attempts + 1, created: had.created}
		if had.state == "" {
			row.created = tx.Now()
		}
		switch {
		case why != "" && agent.State != StateActive:
			row.state, row.suspended = stateDenied, true
			d = deny("agent-"+agent.State, why)
		case why != "":
			row.state = stateDenied
			d = deny("stopped", why)
		default:
			if d, err = g.approve(tx, a, d, &row, had.lost()); err != nil {
				return err
			}
		}
		if row.state == stateAsked {
			return nil
		}
		if row.state == stateDenied {
			row.failure = cut(Mask(strings.Join(d.Reasons, "\n")), mostError)
			// The same no to the same action is one entry, however often it is asked
			// for. And an action that may be under way keeps its row.
			if had.state == stateDenied && had.failure == row.failure || had.lost() && lost == nil {
				return nil
			}
		}
		return g.begin(tx, a, d, call, had, &row)
	})
	if err != nil {
		return actionRow{}, fmt.Errorf("gate: record intent of %s: %w", a.Key, err)
	}
	return row, nil
}

// approve turns the decision into what happens now: an ask becomes an intent
// only with its approval, and every intent is counted against its grants, but for
// the repeat of one that surely did not happen.
func (g *Gate) approve(tx *migrations.Tx, a Action, d Decision, row *actionRow, repeat bool) (Decision, error) {
	switch d.Verdict {
	case Allow:
		if err := g.Approvals.moot(tx, a, "it does not need an approval any more"); err != nil {
			return d, err
		}
	case Ask:
		ap, err := g.Approvals.ask(tx, a, d, row.agent)
		if err != nil {
			return d, err
		}
		switch ap.State {
		case ApprovalPending:
			row.state, row.approval = stateAsked, &ap
			return d, nil
		case ApprovalApproved, ApprovalUsed:
			row.approval = &ap
			if err := g.Approvals.use(tx, ap); err != nil {
				return d, err
			}
		default:
			row.state = stateDenied
			return Decision{Verdict: Deny, Policies: append([]string{"approval-" + ap.State}, d.Policies...), Reasons: []string{ap.refusal()}, Set: d.Set}, nil
		}
	default:
		row.state = stateDenied
		return d, g.Approvals.moot(tx, a, "it is not allowed any more")
	}
	if repeat {
		return d, nil
	}
	if g.Budgets != nil && !a.Manners && !a.Notice {
		if err := g.Budgets.Book(tx, a.payer(), budget.Amounts{Calls: 1}); err != nil {
			return d, err
		}
	}
	if b, ok := g.policy.(Booker); ok {
		return d, b.Book(tx, a, d)
	}
	return d, nil
}

// begin writes an intent or a denial, after the row that the key had before.
func (g *Gate) begin(tx *migrations.Tx, a Action, d Decision, call string, had actionRow, row *actionRow) error {
	rec := g.record(a, d, call, *row)
	ended := int64(0)
	if row.state == stateDenied {
		rec.Kind = ledger.KindDenied
		rec.Payload[ledger.PayloadError] = row.failure
		ended = migrations.Micros(tx.Now())
	}
	if had.state != "" {
		rec.Ref = &had.seq
	}
	var err error
	if row.seq, err = g.ledger.Append(tx, rec); err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO actions (workspace, key, turn, tool, class, requester, channel, fingerprint, state, error, intent_seq, attempts, created_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (workspace, key) DO UPDATE SET turn = excluded.turn, class = excluded.class, requester = excluded.requester, channel = excluded.channel,
			state = excluded.state, result = '', error = excluded.error, intent_seq = excluded.intent_seq, outcome_seq = -1,
			attempts = excluded.attempts, ended_at = excluded.ended_at`,
		a.Workspace, a.Key, a.Turn, a.Tool, string(a.Class), a.Requester, a.Channel, call, row.state, row.failure, row.seq,
		row.attempts, migrations.Micros(row.created), ended)
	if err != nil {
		return fmt.Errorf("store action: %w", err)
	}
	return nil
}

// loadAction finds the action with a's key, and the agent that is to do it. The
// same key with other arguments is a mistake that must not act.
func loadAction(tx *migrations.Tx, a Action, call string) (actionRow, Agent, error) {
	var row actionRow
	var agent Agent
	var state, was, result, failure sql.NullString
	var seq, attempts, created sql.NullInt64
	err := tx.QueryRow(`SELECT agents.user_id, agents.state, agents.changed_by, agents.reason, agents.sponsor,
			actions.state, fingerprint, result, error, intent_seq, attempts, created_at
		FROM agents LEFT JOIN actions ON actions.workspace = agents.workspace AND key = $1 WHERE agents.workspace = $2`, a.Key, a.Workspace).
		Scan(&agent.User, &agent.State, &agent.ChangedBy, &agent.Reason, &agent.Sponsor, &state, &was, &result, &failure, &seq, &attempts, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return row, agent, fmt.Errorf("there is no agent in workspace %s", a.Workspace)
	}
	if err != nil {
		return row, agent, fmt.Errorf("load action: %w", err)
	}
	if state.Valid && was.String != call {
		return row, agent, fmt.Errorf("the key %s belongs to another action", a.Key)
	}
	row = actionRow{state: state.String, failure: failure.String, seq: seq.Int64, attempts: attempts.Int64,
		created: migrations.Time(created.Int64), agent: agent.User}
	if result.String != "" {
		if err := json.Unmarshal([]byte(result.String), &row.result); err != nil {
			return row, agent, fmt.Errorf("decode result: %w", err)
		}
	}
	return row, agent, nil
}

// end closes the action's row and appends the outcome to the ledger. It fails
// when the row has been closed or begun anew by somebody else.
func (g *Gate) end(tx *migrations.Tx, a Action, row actionRow, state string, r Result, failed error) error {
	result, failure := "", ""
	if state == stateDone {
		b, err := json.Marshal(kept(r))
		if err != nil {
			return fmt.Errorf("encode result: %w", err)
		}
		result = Mask(string(b))
	}
	if failed != nil {
		failure = cut(Mask(failed.Error()), mostError)
	}
	used := map[string]string{}
	if r.Credential != "" {
		used[ledger.FieldCredential], used[ledger.FieldCredentialVersion] = r.Credential, strconv.FormatInt(r.CredentialVersion, 10)
	}
	if r.Upstream != "" {
		used[ledger.FieldUpstream] = cut(Mask(r.Upstream), 200)
	}
	seq, err := g.ledger.Append(tx, ledger.Record{
		Workspace: a.Workspace, Kind: ledger.KindOutcome, Actor: row.agent, Agent: row.agent, Turn: a.Turn, Tool: a.Tool, Action: a.Key,
		Outcome: state, Ref: &row.seq, Fields: used, Payload: map[string]string{ledger.PayloadResult: result, ledger.PayloadError: failure},
	})
	if err != nil {
		return err
	}
	res, err := tx.Exec(`UPDATE actions SET state = $1, result = $2, error = $3, outcome_seq = $4, ended_at = $5
		WHERE workspace = $6 AND key = $7 AND state = 'intended' AND intent_seq = $8`,
		state, result, failure, seq, migrations.Micros(tx.Now()), a.Workspace, a.Key, row.seq)
	if err != nil {
		return fmt.Errorf("close action: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errors.New("the action is not open any more"), err)
	}
	return nil
}

// kept is what is stored of a result: masked and bounded, and it says when it
// was cut.
func kept(r Result) Result {
	r.Text, r.Ref = cut(Mask(r.Text), mostResult), Mask(r.Ref)
	if masked := Mask(string(r.Data)); len(masked) <= mostResult-len(r.Text) && json.Valid([]byte(masked)) {
		r.Data = json.RawMessage(masked)
	} else if len(r.Data) > 0 {
		r.Text += fmt.Sprintf("\n(not kept: %d bytes of data)", len(r.Data))
		r.Data = nil
	}
	return r
}

// cut is text of at most about most bytes, and says so when it is less than all.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + fmt.Sprintf("\n(cut: %d of %d bytes)", end, len(text))
}

// record is the ledger's view of an action before it happens.
func (g *Gate) record(a Action, d Decision, call string, row actionRow) ledger.Record {
	r := ledger.Record{
		Workspace: a.Workspace, Kind: ledger.KindIntent, Agent: row.agent, Actor: row.agent, Requester: a.Requester, Turn: a.Turn, Cause: a.Cause,
		Channel: a.Channel, Thread: a.Thread, Target: a.Target, Tool: a.Tool, Class: string(a.Class), Action: a.Key,
		Decision: d.Verdict, Reasons: d.Policies,
		Fields:  map[string]string{"requester_kind": a.RequesterKind, "channel_kind": a.ChannelKind, ledger.FieldCall: call},
		Payload: map[string]string{ledger.PayloadArgs: cut(Mask(string(a.Args)), mostArgs)},
	}
	r.Fields[ledger.FieldPolicySet], r.Fields[ledger.FieldSponsor] = d.Set, row.sponsor
	r.Fields[ledger.FieldPin], r.Fields[ledger.FieldCredential] = a.Pin, a.Credential
	r.Fields[monitor.FieldConnection], r.Fields[monitor.FieldHost] = a.Connection, a.Host
	r.Fields[ledger.FieldLabels] = a.Label.String()
	if a.Manners || a.Notice {
		r.Fields[monitor.FieldManners] = "true"
	}
	if row.approval != nil {
		r.Fields[ledger.FieldApproval] = row.approval.ID
		r.Fields[ledger.FieldApprovers] = strings.Join(row.approval.Approved(), " ")
	}
	if row.attempts > 1 {
		r.Fields[ledger.FieldAttempt] = strconv.FormatInt(row.attempts, 10)
	}
	return r
}

// fingerprint tells two uses of one key apart: tool, target and arguments. It is
// keyed, so that nobody can guess erased arguments by it.
func (g *Gate) fingerprint(a Action) string {
	return g.ledger.MAC(a.Workspace, ledger.FieldCall, strings.Join([]string{a.Tool, a.target(), string(a.Args)}, "\x00"))
}

// Abandon closes, as unknown, what a stopped turn has under way and will not
// look at again: the open actions whose keys begin with prefix. It returns the
// names of their tools.
func (g *Gate) Abandon(tx *migrations.Tx, workspace, turn, prefix string) ([]string, error) {
	rows, err := tx.Query(`SELECT key, tool, intent_seq, agents.user_id FROM actions JOIN agents ON agents.workspace = actions.workspace
		WHERE actions.workspace = $1 AND turn = $2 AND actions.state = 'intended' ORDER BY intent_seq`, workspace, turn)
	if err != nil {
		return nil, fmt.Errorf("list open actions of turn %s: %w", turn, err)
	}
	defer rows.Close()
	var open []Action
	var had []actionRow
	for rows.Next() {
		a := Action{Workspace: workspace, Turn: turn}
		var row actionRow
		if err := rows.Scan(&a.Key, &a.Tool, &row.seq, &row.agent); err != nil {
			return nil, fmt.Errorf("list open actions of turn %s: %w", turn, err)
		}
		if strings.HasPrefix(a.Key, prefix) {
			open, had = append(open, a), append(had, row)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list open actions of turn %s: %w", turn, err)
	}
	var tools []string
	for i, a := range open {
		if err := g.end(tx, a, had[i], stateUnknown, Result{}, errors.New("the turn was stopped while this was under way")); err != nil {
			return nil, fmt.Errorf("abandon %s: %w", a.Key, err)
		}
		tools = append(tools, a.Tool)
	}
	return tools, nil
}
