package bot

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// States of a turn, the words of the turns table's state column.
const (
	TurnRunning = "running"
	TurnDone    = "done"
	TurnFailed  = "failed"  // ended without the answer; Reason and a reply say why
	TurnStopped = "stopped" // a human said stop
)

// Kinds of step, the words of the steps table's kind column.
const (
	stepMessage = "message" // an Event that was handed to the turn
	stepModel   = "model"   // a Response
	stepAction  = "action"  // an Outcome of one tool call
	stepReply   = "reply"   // the text that ended the turn
)

// Turn is the work caused by one message or one run of a duty, in one thread.
// Its steps are the truth: a turn that is loaded after a crash goes on from the
// last of them.
type Turn struct {
	ID         string
	Workspace  string
	ThreadKey  string
	Channel    string
	Thread     string // root ts to answer under; "" answers in the channel itself
	Requester  string
	CauseKind  string
	Cause      string // Event.Key
	State      string
	Reason     string
	Usage      Usage
	ProgressTS string // the progress message, once there is one
	StartedAt  time.Time
	EndedAt    time.Time
	Steps      []Step

	// Of a run of a duty, while it is worked.
	duty     scheduler.Duty // as it was when this process took the turn up
	hold     string         // why it must not be worked, until somebody decides about the duty
	quiet    string         // why it need not be
	closing  *Response      // the model's last answer, which ends the turn
	answerIn string         // thread in which a stop is answered
}

// Step is one recorded piece of a turn; exactly one of the pointers is set, by Kind.
type Step struct {
	N       int64
	Kind    string
	CallID  string
	Event   *Event
	Model   *Response
	Outcome *Outcome
	Reply   string
}

// Outcome is what became of one tool call, as the model is told of it.
type Outcome struct {
	Call    ToolCall        `json:"call"`
	Result  identity.Result `json:"result"`
	Error   string          `json:"error,omitempty"`
	Unknown bool            `json:"unknown,omitempty"` // it may or may not have happened
	Final   string          `json:"final,omitempty"`   // why the turn is to end here
}

// last is the event that the turn answers to at this moment: the newest message
// handed to it. Who wrote it is who asks for what follows.
func (t *Turn) last() Event {
	for i := len(t.Steps) - 1; i >= 0; i-- {
		if t.Steps[i].Event != nil {
			return *t.Steps[i].Event
		}
	}
	return Event{Workspace: t.Workspace, Channel: t.Channel, Thread: t.Thread, User: t.Requester}
}

// others are the people, but for one, whose messages the turn has taken.
func (t *Turn) others(but string) []string {
	var all []string
	for _, s := range t.Steps {
		if s.Event != nil && s.Event.User != but && !slices.Contains(all, s.Event.User) {
			all = append(all, s.Event.User)
		}
	}
	return all
}

// addressed reports whether any message of the turn asks the agent in so many words.
func (t *Turn) addressed() bool {
	for _, s := range t.Steps {
		if s.Event != nil && s.Event.Addressed() {
			return true
		}
	}
	return false
}

// openCalls are the tool calls of the newest model step that have no outcome yet.
func (t *Turn) openCalls() []ToolCall {
	var open []ToolCall
	for _, s := range t.Steps {
		switch {
		case s.Model != nil:
			open = append([]ToolCall(nil), s.Model.Calls...)
		case s.Outcome != nil:
			for i, c := range open {
				if c.ID == s.CallID {
					open = append(open[:i], open[i+1:]...)
					break
				}
			}
		}
	}
	return open
}

// modelCalls counts the model's answers so far.
func (t *Turn) modelCalls() int {
	n := 0
	for _, s := range t.Steps {
		if s.Model != nil {
			n++
		}
	}
	return n
}

// timesCalled counts earlier outcomes of the very same call: name and arguments.
func (t *Turn) timesCalled(c ToolCall) int {
	n := 0
	for _, s := range t.Steps {
		if s.Outcome != nil && s.Outcome.Call.Name == c.Name && sameJSON(s.Outcome.Call.Args, c.Args) {
			n++
		}
	}
	return n
}

// unconfirmed names the tools whose outcome nobody knows.
func (t *Turn) unconfirmed() []string {
	var names []string
	for _, s := range t.Steps {
		if s.Outcome != nil && s.Outcome.Unknown {
			names = append(names, s.Outcome.Call.Name)
		}
	}
	return names
}

// final is why the turn is to end with its newest outcome, "" if it is not.
func (t *Turn) final() string {
	if n := len(t.Steps); n > 0 && t.Steps[n-1].Outcome != nil {
		return t.Steps[n-1].Outcome.Final
	}
	return ""
}

// sameJSON compares two JSON texts by value, so that spacing and key order do
// not hide a repetition.
func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return string(a) == string(b)
	}
	ca, errA := json.Marshal(x)
	cb, errB := json.Marshal(y)
	return errA == nil && errB == nil && string(ca) == string(cb)
}

// add stores s as the next step of t.
func (t *Turn) add(tx *migrations.Tx, s Step) error { return t.addAt(tx, len(t.Steps), s) }

// addAt stores s as step n of t; a transaction that adds several numbers them
// itself, because t.Steps grows only once they are durable.
func (t *Turn) addAt(tx *migrations.Tx, n int, s Step) error {
	var body any
	switch s.Kind {
	case stepMessage:
		body = s.Event
	case stepModel:
		body = s.Model
	case stepAction:
		body = s.Outcome
	case stepReply:
		body = s.Reply
	default:
		return fmt.Errorf("add step: unknown kind %q", s.Kind)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode %s step: %w", s.Kind, err)
	}
	s.N = int64(n)
	if _, err := tx.Exec(`INSERT INTO steps (turn, n, kind, call_id, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		t.ID, s.N, s.Kind, s.CallID, string(text), migrations.Micros(tx.Now())); err != nil {
		return fmt.Errorf("store step %d of turn %s: %w", s.N, t.ID, err)
	}
	tx.AfterCommit(func() { t.Steps = append(t.Steps, s) })
	return nil
}

// insert stores a new turn.
func (t *Turn) insert(tx *migrations.Tx) error {
	_, err := tx.Exec(`INSERT INTO turns (id, workspace, thread_key, channel, thread_ts, requester, cause_kind, cause, state, started_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		t.ID, t.Workspace, t.ThreadKey, t.Channel, t.Thread, t.Requester, t.CauseKind, t.Cause, t.State, migrations.Micros(tx.Now()))
	if err != nil {
		return fmt.Errorf("store turn %s: %w", t.ID, err)
	}
	t.StartedAt = tx.Now()
	return nil
}

// end closes the turn in tx.
func (t *Turn) end(tx *migrations.Tx, state, reason string) error {
	went, err := json.Marshal(t.label())
	if err != nil {
		return fmt.Errorf("encode label of turn %s: %w", t.ID, err)
	}
	_, err = tx.Exec(`UPDATE turns SET state = $1, reason = $2, input_tokens = $3, output_tokens = $4, ended_at = $5, label = $6 WHERE id = $7`,
		state, reason, t.Usage.Input, t.Usage.Output, migrations.Micros(tx.Now()), string(went), t.ID)
	if err != nil {
		return fmt.Errorf("end turn %s: %w", t.ID, err)
	}
	tx.AfterCommit(func() { t.State, t.Reason, t.EndedAt = state, reason, tx.Now() })
	return nil
}

const turnColumns = `id, workspace, thread_key, channel, thread_ts, requester, cause_kind, cause, state, reason,
	input_tokens, output_tokens, progress_ts, started_at, ended_at`

func scanTurn(row interface{ Scan(...any) error }) (*Turn, error) {
	var t Turn
	var started, ended int64
	err := row.Scan(&t.ID, &t.Workspace, &t.ThreadKey, &t.Channel, &t.Thread, &t.Requester, &t.CauseKind, &t.Cause, &t.State, &t.Reason,
		&t.Usage.Input, &t.Usage.Output, &t.ProgressTS, &started, &ended)
	if err != nil {
		return nil, err
	}
	t.StartedAt, t.EndedAt = migrations.Time(started), migrations.Time(ended)
	return &t, nil
}

// runningTurn loads the unfinished turn of a thread with its steps, nil if
// there is none; those that wait for an approval are left alone.
func runningTurn(ctx context.Context, db *migrations.DB, threadKey string) (*Turn, error) {
	var t *Turn
	err := db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		t, err = scanTurn(tx.QueryRow(`SELECT `+turnColumns+` FROM turns WHERE thread_key = $1 AND state = 'running' AND waiting_for = ''`, threadKey))
		if errors.Is(err, sql.ErrNoRows) {
			t = nil
			return nil
		}
		if err != nil {
			return err
		}
		t.Steps, err = loadSteps(tx, t.ID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load running turn of %s: %w", threadKey, err)
	}
	return t, nil
}

func loadSteps(tx *migrations.Tx, turn string) ([]Step, error) {
	rows, err := tx.Query(`SELECT n, kind, call_id, body FROM steps WHERE turn = $1 ORDER BY n`, turn)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var steps []Step
	for rows.Next() {
		var s Step
		var body string
		if err := rows.Scan(&s.N, &s.Kind, &s.CallID, &body); err != nil {
			return nil, err
		}
		switch s.Kind {
		case stepMessage:
			s.Event = new(Event)
			err = json.Unmarshal([]byte(body), s.Event)
		case stepModel:
			s.Model = new(Response)
			err = json.Unmarshal([]byte(body), s.Model)
		case stepAction:
			s.Outcome = new(Outcome)
			err = json.Unmarshal([]byte(body), s.Outcome)
		case stepReply:
			err = json.Unmarshal([]byte(body), &s.Reply)
		}
		if err != nil {
			return nil, fmt.Errorf("decode step %d of turn %s: %w", s.N, turn, err)
		}
		steps = append(steps, s)
	}
	return steps, rows.Err()
}
