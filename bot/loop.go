package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"deskmate/identity"
	"deskmate/identity/budget"
	"deskmate/identity/ledger"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/task"
)

// Limits bound one turn. A turn that meets one ends with a reply that says so.
type Limits struct {
	Steps    int           // model calls
	Tokens   int           // input + output, all calls together
	Time     time.Duration // from start, or from resumption after a restart
	Repeat   int           // the same call (tool and arguments) this many times is a loop
	Attempts int64         // tries of a turn that fails for inner reasons (store, gate) before it is given up
	Answer   int           // tokens of one model answer
}

// DefaultLimits suit a chat: minutes of work, not hours.
func DefaultLimits() Limits {
	return Limits{Steps: 24, Tokens: 400_000, Time: 10 * time.Minute, Repeat: 3, Attempts: 6, Answer: 4096}
}

// Loop works turns: it asks the model, does what the model asks for through the
// gate, and answers. Every field is required unless said otherwise.
type Loop struct {
	DB     *migrations.DB
	Gate   *identity.Gate
	Ledger *ledger.Ledger
	Inbox  *Inbox
	Outbox *Outbox
	Memory *memory.Memory
	Duties *scheduler.Scheduler
	People *Directory
	Model  Model
	Tools  []Tool // built in
	// Connections offers those of other systems. The zero value offers none.
	Connections Connections
	// Budgets bounds what models may take; nil bounds nothing.
	Budgets *budget.Budgets
	Context *ContextBuilder
	Limits  Limits
	Faces   Faces
	Logger  zerolog.Logger
	Crash   func(point string) // named crash points; nil in production
}

// TaskThread is the kind of the tasks that work threads.
const TaskThread = taskThread

// errTime is the cause of a context that ran into Limits.Time.
var errTime = errors.New("the turn ran out of time")

func (l *Loop) crash(point string) {
	if l.Crash != nil {
		l.Crash(point)
	}
}

// Running loads the unfinished turn of a thread, nil if there is none.
func (l *Loop) Running(ctx context.Context, threadKey string) (*Turn, error) {
	return runningTurn(ctx, l.DB, threadKey)
}

// Begin makes a turn of the given inbox rows, which it takes. rows must hold at
// least one message or duty; the first of them is the cause.
func (l *Loop) Begin(ctx context.Context, lease *task.Lease, rows []Row) (*Turn, error) {
	cause := rows[0].Event
	t := &Turn{
		ID: migrations.NewID("t"), Workspace: cause.Workspace, ThreadKey: lease.Key,
		Channel: cause.Channel, Thread: cause.Thread, Requester: cause.User,
		CauseKind: cause.Kind, Cause: cause.Key, State: TurnRunning,
	}
	if err := l.heard(ctx, rows); err != nil {
		return nil, fmt.Errorf("begin turn of %s: %w", lease.Key, err)
	}
	err := l.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		if err := t.insert(tx); err != nil {
			return err
		}
		return l.take(tx, t, rows)
	})
	if err != nil {
		return nil, fmt.Errorf("begin turn of %s: %w", lease.Key, err)
	}
	if cause.Run != "" {
		l.crash("run:working")
	}
	l.crash("turn:began")
	return t, nil
}

// take hands inbox rows to the turn as message steps.
func (l *Loop) take(tx *migrations.Tx, t *Turn, rows []Row) error {
	ids := make([]int64, len(rows))
	base := len(t.Steps)
	for i, r := range rows {
		e := r.Event
		ids[i] = r.ID
		if err := t.addAt(tx, base+i, Step{Kind: stepMessage, CallID: e.Key, Event: &e}); err != nil {
			return err
		}
	}
	return l.Inbox.Take(tx, ids, t.ID)
}

// Run works t until it ends. It returns nil once the turn is closed and its
// reply is owed, task.ErrStopped if a human stopped it (the caller closes it),
// ErrWaits if it waits for an approval, identity.ErrSuspended while the agent does
// nothing, and any other error to be tried again from the last stored step.
func (l *Loop) Run(ctx context.Context, lease *task.Lease, t *Turn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.Limits.Time, errTime)
	defer cancel()
	var err error
	if t.hold, t.quiet, err = l.mayRun(ctx, t); err != nil {
		return fmt.Errorf("look whether turn %s may run: %w", t.ID, err)
	}
	faces := l.startFaces(ctx, lease, t)
	defer faces.close()
	switch {
	case t.hold != "":
		return l.finish(ctx, lease, t, faces, nil, TurnFailed, "I did not do this: "+t.hold+".")
	case t.quiet != "":
		return l.finish(ctx, lease, t, faces, nil, TurnStopped, t.quiet)
	}

	for {
		open := t.openCalls()
		// Every call gets its outcome before anything else is said to the model;
		// only a stop does not wait.
		if err := l.steer(ctx, lease, t, len(open) == 0); errors.Is(err, ErrInboxChanged) {
			continue // a message was edited just now: read it again
		} else if err != nil {
			return l.interrupted(ctx, lease, t, faces, err)
		}
		if len(open) == 0 {
			if why := l.exceeded(t); why != "" {
				return l.finish(ctx, lease, t, faces, nil, TurnFailed, why)
			}
			if err := l.awake(ctx, t.Workspace); err != nil {
				return l.interrupted(ctx, lease, t, faces, err)
			}
			resp, err := l.ask(ctx, lease, t)
			if err != nil {
				return l.interrupted(ctx, lease, t, faces, err)
			}
			if len(resp.Calls) == 0 {
				return l.finish(ctx, lease, t, faces, &resp, TurnDone, "")
			}
			err = l.DB.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
				if err := lease.Guard(tx); err != nil {
					return err
				}
				return l.answered(tx, t, len(t.Steps), &resp)
			})
			if err != nil {
				return err
			}
			l.crash("turn:model")
			continue
		}
		var asked []identity.Approval
		for _, call := range open {
			if t.timesCalled(call) >= l.Limits.Repeat-1 {
				why := fmt.Sprintf("I stopped because I was about to call `%s` with the same arguments for the %s time, which means that I was going round in circles.",
					call.Name, ordinal(l.Limits.Repeat))
				return l.finish(ctx, lease, t, faces, nil, TurnFailed, why)
			}
			faces.working(call.Name)
			err := l.act(ctx, lease, t, call, faces.far)
			var pending *identity.PendingError
			if errors.As(err, &pending) {
				asked = append(asked, pending.Approval)
				continue
			}
			if err != nil {
				return l.interrupted(ctx, lease, t, faces, err)
			}
			if why := t.final(); why != "" {
				return l.finish(ctx, lease, t, faces, nil, TurnFailed, "I stopped here: "+why+". "+t.didSoFar())
			}
			faces.worked(call.Name)
			l.crash("turn:action")
		}
		if len(asked) > 0 {
			return l.park(ctx, lease, t, faces, asked)
		}
	}
}

// awake fails with identity.ErrSuspended while the agent does nothing: the turn
// is taken up again after that.
func (l *Loop) awake(ctx context.Context, workspace string) error {
	a, err := l.Context.Agents.Get(ctx, workspace)
	if err == nil && a.State != identity.StateActive {
		err = identity.ErrSuspended
	}
	return err
}

// interrupted sorts out why a turn could not go on. Limits and final model
// errors become replies; stops, shutdowns and inner failures go to the caller.
func (l *Loop) interrupted(ctx context.Context, lease *task.Lease, t *Turn, faces *faces, err error) error {
	cause := context.Cause(ctx)
	var model *ModelError
	var spent *budget.SpentError
	switch {
	case errors.Is(err, task.ErrFenced), errors.Is(err, identity.ErrSuspended) && cause == nil:
		return err
	case errors.Is(cause, errTime):
		return l.finish(ctx, lease, t, faces, nil, TurnFailed,
			fmt.Sprintf("I ran out of time: one request may take %s. Ask me for a smaller piece of it, and I will start from what I have.", l.Limits.Time))
	case cause != nil:
		return cause
	case errors.As(err, &spent):
		return l.finish(ctx, lease, t, faces, nil, TurnFailed, "I stopped here: "+err.Error()+". "+t.didSoFar())
	case errors.As(err, &model):
		return l.finish(ctx, lease, t, faces, nil, TurnFailed,
			"I could not reach my language model: "+model.Message+". Nothing is lost; mention me again in this thread to try once more.")
	case lease.Attempts >= l.Limits.Attempts:
		// Here, not at the edge: the person is told, so the task itself succeeds.
		l.Logger.Error().Err(err).Str("turn", t.ID).Int64("attempts", lease.Attempts).Msg("turn given up")
		return l.finish(ctx, lease, t, faces, nil, TurnFailed,
			"Something inside me failed again and again, so I gave this up. An admin finds the details in the log under `"+t.ID+"`.")
	}
	return err
}

// steer hands the turn what arrived since its last step, if take says so, and
// tells of a stop in any case.
func (l *Loop) steer(ctx context.Context, lease *task.Lease, t *Turn, take bool) error {
	pending, err := l.Inbox.Pending(ctx, t.ThreadKey)
	if err != nil {
		return err
	}
	var rows []Row
	for _, r := range pending {
		switch {
		case r.Event.Kind == KindStop, r.Event.Kind == KindDelete && r.Event.TS == t.causeTS():
			return task.ErrStopped
		case r.Event.Kind != KindDuty: // a duty's run is work of its own
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 || !take || t.CauseKind == KindDuty {
		return nil
	}
	if err := l.heard(ctx, rows); err != nil {
		return err
	}
	return l.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		return l.take(tx, t, rows)
	})
}

// ask calls the model with the conversation so far.
func (l *Loop) ask(ctx context.Context, lease *task.Lease, t *Turn) (Response, error) {
	if err := l.affordable(ctx, t); err != nil {
		return Response{}, err
	}
	messages, given, err := l.Context.Build(ctx, t)
	if err != nil {
		return Response{}, fmt.Errorf("build context of turn %s: %w", t.ID, err)
	}
	tools, err := l.offered(ctx, t)
	if err != nil {
		return Response{}, err
	}
	if err := l.show(ctx, lease, t, messages, tools); err != nil {
		return Response{}, err
	}
	defs := make([]ToolDef, len(tools))
	for i, tool := range tools {
		defs[i] = ToolDef{Name: tool.Name, Description: tool.Description, Schema: tool.Schema}
	}
	resp, err := l.Model.Complete(ctx, Request{Messages: messages, Tools: defs, MaxTokens: l.answerTokens(t), User: opaque(t.Workspace, t.last().User)}, nil)
	if err != nil {
		return Response{}, err
	}
	resp.Label = given
	if len(messages) > 0 {
		resp.system = messages[0].Content
	}
	if given.Trusted() && len(messages) > 0 {
		resp.Links = addresses(messages[0].Content)
		resp.Links = resp.Links[:min(len(resp.Links), mostLinks)]
	}
	for i := range resp.Calls { // ids must be unique within the turn: steps are found by them
		resp.Calls[i].ID = fmt.Sprintf("c%d_%d", len(t.Steps), i)
	}
	t.Usage.Input += resp.Usage.Input
	t.Usage.Output += resp.Usage.Output
	return resp, nil
}

// opaque names a person to the model's provider without telling who it is.
func opaque(workspace, user string) string {
	sum := sha256.Sum256([]byte(workspace + "|" + user))
	return hex.EncodeToString(sum[:12])
}

// place says where the answer will appear and who asks, with what the
// directory knows of both.
func (l *Loop) place(ctx context.Context, t *Turn, e Event) (memory.Place, error) {
	return l.People.ReadingPlace(ctx, t.Workspace, t.Channel, e.ChannelKind, e.User, e.UserTeam)
}

// store adds one step in a transaction of its own.
func (l *Loop) store(ctx context.Context, lease *task.Lease, t *Turn, s Step) error {
	return l.DB.Write(context.WithoutCancel(ctx), func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		return t.add(tx, s)
	})
}

// Say owes a short text to the place of an event, outside any turn.
func (l *Loop) Say(tx *migrations.Tx, e Event, text string) error {
	return l.Outbox.Queue(tx, Post{
		Workspace: e.Workspace, Channel: e.Channel, Thread: e.Thread, Key: "say:" + e.Key, Text: text,
		Cause: e.Key, Requester: e.User, ChannelKind: e.ChannelKind, Tool: ToolReply,
	})
}

// run is the id of the duty's run that caused the turn, "" for none.
func (t *Turn) run() string {
	for _, s := range t.Steps {
		if s.Event != nil {
			return s.Event.Run
		}
	}
	return ""
}

func (t *Turn) causeTS() string {
	for _, s := range t.Steps {
		if s.Event != nil {
			return s.Event.TS
		}
	}
	return ""
}

func ordinal(n int) string {
	switch n {
	case 2:
		return "second"
	case 3:
		return "third"
	}
	return fmt.Sprintf("%dth", n)
}
