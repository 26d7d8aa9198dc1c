package identity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deskmate/identity/budget"
	"deskmate/identity/ledger"
	"deskmate/identity/monitor"
	"deskmate/identity/policy"
	"deskmate/migrations"
)

// Gate is the only way to an effect: decide, record, act, record.
type Gate struct {
	db     *migrations.DB
	ledger *ledger.Ledger
	policy Policy
	crash  func(point string)

	// Approvals are the asks that this gate makes and uses.
	Approvals *Approvals
	// Readers tells who can read a place, for what text goes where. Nil: nothing that
	// is not open to all goes anywhere else.
	Readers Readers
	// Budgets bounds the calls of tools; nil bounds none.
	Budgets *budget.Budgets
	// Monitor judges actions before they are decided; nil judges nothing.
	Monitor *monitor.Monitor
	flights flights

	mu   sync.Mutex
	keys map[string]*keyLock
}

// keyLock is held by whoever works a key; users counts holder and waiters.
type keyLock struct {
	held  chan struct{} // has one element while it is held
	users int
}

// NewGate returns the gate of db. crash is called at the named points
// gate:begin, gate:asked, gate:intent, gate:acted, gate:outcome and
// approval:decided; nil in production.
func NewGate(db *migrations.DB, l *ledger.Ledger, p Policy, crash func(point string)) *Gate {
	if crash == nil {
		crash = func(string) {}
	}
	g := &Gate{db: db, ledger: l, policy: p, crash: crash, keys: map[string]*keyLock{}, flights: flights{all: map[string]flight{}}}
	g.Approvals = &Approvals{gate: g}
	return g
}

// Do has a happen, at most once for its key. A key whose outcome is known gets
// that outcome again. A key that was begun and whose outcome was lost is looked
// up with e.Find and repeated only if it surely did not happen; reads are simply
// repeated; anything else becomes ErrUnknownOutcome. Every repeat is decided anew
// and has an intent of its own.
//
// Errors: *PendingError (a human has to decide first: the same key may be tried
// again then), *DeniedError (also when the agent is suspended: then it is
// ErrSuspended too), *FailedError (certainly nothing happened), ErrUnknownOutcome; any other
// error leaves the action open, and the same key may be tried again.
func (g *Gate) Do(ctx context.Context, a Action, e Effect) (Result, error) {
	if err := a.check(); err != nil {
		return Result{}, fmt.Errorf("gate: %w", err)
	}
	unlock, err := g.lock(ctx, a)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	g.crash("gate:begin")
	row, err := g.admit(ctx, a, e)
	for tries := 1; errors.Is(err, policy.ErrSpent) && tries < decideTries; tries++ {
		row, err = g.admit(ctx, a, e) // the rules have changed, or a limit was used up, just now
	}
	if err != nil {
		return Result{}, err
	}
	switch row.state {
	case stateAsked:
		g.crash("gate:asked")
		return Result{}, &PendingError{*row.approval}
	case stateIntended:
		return g.act(ctx, a, e, row)
	case stateDone:
		return row.result, nil
	case stateFailed:
		return Result{}, &FailedError{errors.New(row.failure)}
	case stateUnknown:
		return Result{}, ErrUnknownOutcome
	default:
		return Result{}, row.refusal(a)
	}
}

// decideTries bounds how often an action is decided anew because the decision did
// not hold any more when its intent was written.
const decideTries = 5

// admit decides on the action and writes its intent, or the denial.
func (g *Gate) admit(ctx context.Context, a Action, e Effect) (actionRow, error) {
	d, final, err := g.judge(ctx, a)
	// A decision that was cut short is none, and neither is it a no.
	if ctx.Err() != nil {
		return actionRow{}, ended(ctx, a)
	}
	if err != nil {
		return actionRow{}, fmt.Errorf("gate: %s: %w", a.Tool, err)
	}
	row, err := g.intend(ctx, a, d, nil)
	if err == nil && row.lost() {
		row, err = g.reopen(ctx, a, e, d, row)
	}
	row.final = final
	return row, err
}

// act does what was intended and records what came of it.
func (g *Gate) act(ctx context.Context, a Action, e Effect, row actionRow) (Result, error) {
	g.crash("gate:intent")
	if ctx.Err() != nil {
		// Nothing was begun, so this is no outcome for good: e.Commit is not called.
		if err := g.settle(ctx, a, Effect{}, row, stateCancelled, Result{}, context.Cause(ctx)); err != nil {
			return Result{}, err
		}
		return Result{}, ended(ctx, a)
	}
	ctx, landed := g.flights.fly(ctx, a)
	defer landed()
	// A stop that came between the intent and here has not seen this flight.
	if err := g.Recheck(ctx); err != nil {
		return Result{}, g.cancelled(ctx, a, row, err)
	}
	if stop := stopped(ctx); stop != nil {
		return Result{}, g.cancelled(ctx, a, row, stop)
	}
	r, err := e.Do(ctx)
	g.crash("gate:acted")
	switch {
	case err == nil:
		return r, g.settle(ctx, a, e, row, stateDone, r, nil)
	case isAmbiguous(err) && stopped(ctx) != nil:
		return g.cutOff(ctx, a, e, row, stopped(ctx))
	case !isAmbiguous(err):
		if serr := g.settle(ctx, a, e, row, stateFailed, Result{}, err); serr != nil {
			return Result{}, serr
		}
		return Result{}, &FailedError{err}
	case a.Class == ClassRead:
		return Result{}, fmt.Errorf("%s: %w", a.Tool, err)
	case e.Find == nil:
		return Result{}, g.unknown(ctx, a, e, row, err)
	}
	if ctx.Err() == nil { // else it is looked for when the action is taken up again
		found, happened, ferr := e.Find(ctx, row.created)
		switch {
		case errors.Is(ferr, ErrUnknownOutcome):
			return Result{}, g.unknown(ctx, a, e, row, ferr)
		case ferr == nil && happened:
			return found, g.settle(ctx, a, e, row, stateDone, found, nil)
		}
	}
	// Not repeated here: what was sent may still arrive.
	return Result{}, fmt.Errorf("%s: %w", a.Tool, err)
}

// stopped is why an effect was cancelled at a human's word, nil if it was not.
func stopped(ctx context.Context) *StopError {
	var stop *StopError
	if errors.As(context.Cause(ctx), &stop) {
		return stop
	}
	return nil
}

// cancelled closes an action that certainly was not begun.
func (g *Gate) cancelled(ctx context.Context, a Action, row actionRow, why error) error {
	if err := g.settle(ctx, a, Effect{}, row, stateCancelled, Result{}, why); err != nil {
		return err
	}
	denied := &DeniedError{Tool: a.Tool, Reasons: []string{why.Error()}}
	var stop *StopError
	if errors.As(why, &stop) && stop.All {
		denied.cause = ErrSuspended
	}
	return denied
}

// lookTime bounds the look for what came of an effect that a stop cut off.
const lookTime = 3 * time.Second

// cutOff finds out what came of an effect that a stop ended while it was under
// way, as far as the far side tells.
func (g *Gate) cutOff(ctx context.Context, a Action, e Effect, row actionRow, stop *StopError) (Result, error) {
	if a.Class == ClassRead {
		return Result{}, g.cancelled(ctx, a, row, stop)
	}
	if e.Find == nil {
		return Result{}, g.unknown(ctx, a, e, row, stop)
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	found, happened, err := e.Find(look, row.created)
	switch {
	case err != nil:
		return Result{}, g.unknown(ctx, a, e, row, fmt.Errorf("%w, and it cannot be looked up: %w", stop, err))
	case happened:
		return found, g.settle(ctx, a, e, row, stateDone, found, nil)
	}
	return Result{}, g.cancelled(ctx, a, row, stop)
}

// ended is the error of an action that its context ended before it began.
func ended(ctx context.Context, a Action) error {
	return fmt.Errorf("%s was not begun: %w", a.Tool, context.Cause(ctx))
}

// reopen looks what became of an action whose outcome was lost, and begins it
// anew if nothing did.
func (g *Gate) reopen(ctx context.Context, a Action, e Effect, d Decision, row actionRow) (actionRow, error) {
	if a.Class == ClassRead {
		return g.intend(ctx, a, d, &row)
	}
	if e.Find == nil {
		return row, g.unknown(ctx, a, e, row, errors.New("the process ended between the intent and its outcome"))
	}
	found, happened, err := e.Find(ctx, row.created)
	if errors.Is(err, ErrUnknownOutcome) {
		return row, g.unknown(ctx, a, e, row, err)
	}
	if err != nil {
		return row, fmt.Errorf("look whether %s took effect: %w", a.Key, err)
	}
	if !happened {
		return g.intend(ctx, a, d, &row)
	}
	row.state, row.result = stateDone, found
	return row, g.settle(ctx, a, e, row, stateDone, found, nil)
}

// settle writes the outcome, with the state that changes with it. The outcome is
// written even when ctx has ended: the effect has happened.
func (g *Gate) settle(ctx context.Context, a Action, e Effect, row actionRow, state string, r Result, failed error) error {
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
	return nil
}

// unknown closes an action whose outcome nobody can tell.
func (g *Gate) unknown(ctx context.Context, a Action, e Effect, row actionRow, why error) error {
	if err := g.settle(ctx, a, e, row, stateUnknown, Result{}, &unknownError{why}); err != nil {
		return err
	}
	return ErrUnknownOutcome
}

// decide asks the policy; what it cannot answer is a no. The error is
// ErrUndecided: not now.
func (g *Gate) decide(ctx context.Context, a Action) (Decision, error) {
	d, err := g.policy.Decide(ctx, a)
	if errors.Is(err, ErrUndecided) {
		return Decision{}, err
	}
	if err != nil {
		return Decision{Verdict: Deny, Policies: []string{"error"}, Reasons: []string{"whether it is allowed could not be decided (" + err.Error() + ")"}}, nil
	}
	if d.Verdict != Allow && d.Verdict != Ask {
		d.Verdict = Deny
	}
	return d, nil
}

// lock serialises the uses of one key in this process.
func (g *Gate) lock(ctx context.Context, a Action) (unlock func(), err error) {
	key := a.Workspace + " " + a.Key
	g.mu.Lock()
	k := g.keys[key]
	if k == nil {
		k = &keyLock{held: make(chan struct{}, 1)}
		g.keys[key] = k
	}
	k.users++
	g.mu.Unlock()
	leave := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(g.keys, key)
		}
	}
	if ctx.Err() == nil {
		select {
		case k.held <- struct{}{}:
			return func() { <-k.held; leave() }, nil
		case <-ctx.Done():
		}
	}
	leave()
	return nil, ended(ctx, a)
}
