package task

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"deskmate/migrations"
)

// Result is how a handler ends. Again makes the key due at that time; zero
// leaves it to the next wake.
type Result struct{ Again time.Time }

// Handler works one key. It may find nothing to do, or nothing due yet: a key can
// be woken twice for one thing, or early. Its context ends when the task is
// stopped (cause ErrStopped), overtaken (ErrFenced) or when the runner shuts down
// (ErrShutdown); returning an error then is not a failure, and the key is run
// again at once, or after the start. Any other error brings it back later, with
// growing distances and without end: a handler that wants to give up looks at
// Lease.Attempts and returns nil. Work that is half done must be found again in
// the store.
type Handler func(ctx context.Context, l *Lease) (Result, error)

// Options are the choices of NewRunner; the zero value is good for one process
// on one store.
type Options struct {
	Owner    string                             // name that leases are taken under, the same after a restart; "" is "main"
	LeaseFor time.Duration                      // life of a lease without renewal; 0: 30 s
	Poll     time.Duration                      // how often to look for work that nobody signalled; 0: 1 s
	Backoff  func(attempts int64) time.Duration // distance to the next try; nil: 0.5 s doubling to 5 min, ± 20 %
	Drain    time.Duration                      // how long running handlers get at shutdown, half of it undisturbed; 0: 10 s
	Logger   zerolog.Logger
}

// shortestWait is the least time until a timer looks again: the store's clock may
// stand still just before a key is due.
const shortestWait = 2 * time.Millisecond

// Runner claims due keys and has them worked.
type Runner struct {
	db    *migrations.DB
	o     Options
	kinds map[string]*kind
	owner owner // set by Run

	mu      sync.Mutex
	running map[string]*running
}

type kind struct {
	name    string
	workers int
	handle  Handler
	many    ManyHandler   // nil: each key by itself
	size    int           // how many keys many takes at once, with one worker
	free    chan struct{} // one token a free worker
	look    chan struct{}
}

type running struct {
	lease  *Lease
	cancel context.CancelCauseFunc
}

// NewRunner returns a Runner on db. Handle adds the kinds it works.
func NewRunner(db *migrations.DB, o Options) *Runner {
	if o.Owner == "" {
		o.Owner = "main"
	}
	if o.LeaseFor == 0 {
		o.LeaseFor = 30 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.Backoff == nil {
		o.Backoff = Backoff
	}
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	return &Runner{db: db, o: o, kinds: map[string]*kind{}, running: map[string]*running{}}
}

// Backoff is the distance to the next try after so many failures: half a second,
// doubling to five minutes, with a fifth of jitter either way.
func Backoff(attempts int64) time.Duration {
	d := 500 * time.Millisecond << min(max(attempts-1, 0), 10)
	d = min(d, 5*time.Minute)
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// Handle has keys of the kind name worked by h, at most workers at a time. It is
// called before Run.
func (r *Runner) Handle(name string, workers int, h Handler) {
	k := &kind{name: name, workers: workers, handle: h, free: make(chan struct{}, workers), look: make(chan struct{}, 1)}
	for range workers {
		k.free <- struct{}{}
	}
	r.kinds[name] = k
}

// Look has all kinds look for due work now: the clock has moved.
func (r *Runner) Look() {
	for _, k := range r.kinds {
		poke(k.look)
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, then lets running handlers end. Orphans of an
// earlier process of the same owner are taken over first.
func (r *Runner) Run(ctx context.Context) error {
	o, freed, err := takeOver(ctx, r.db, r.o.Owner)
	if err != nil {
		return err
	}
	r.owner = o
	if freed > 0 {
		r.o.Logger.Info().Int64("tasks", freed).Msg("orphaned tasks taken over")
	}
	r.rebase(ctx)

	// Handlers outlive ctx by the time they get to end.
	work, endWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endWork(nil)
	claiming, endClaims := context.WithCancel(ctx)
	defer endClaims()
	var loops, handlers sync.WaitGroup
	for _, k := range r.kinds {
		poke(k.look)
		loops.Go(func() { r.claimLoop(claiming, work, k, &handlers) })
	}
	err = r.watch(ctx)
	endClaims()
	loops.Wait()
	if errors.Is(err, ErrReplaced) {
		endWork(ErrFenced)
	}
	r.drain(&handlers, endWork)
	return err
}

// watch passes on signals until ctx ends, and looks at the clock's pace for what
// nobody signals.
func (r *Runner) watch(ctx context.Context) error {
	wakes, endWakes := r.db.Listen(topicWake)
	defer endWakes()
	stops, endStops := r.db.Listen(topicStop)
	defer endStops()
	steps, endSteps := r.db.Listen(migrations.TopicClock)
	defer endSteps()
	renewal := time.NewTicker(r.o.LeaseFor / 3)
	defer renewal.Stop()
	poll := time.NewTicker(r.o.Poll)
	defer poll.Stop()
	r.Look() // for wakes between the first claims and Listen
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-wakes:
			if name == "" { // notices were missed
				r.Look()
			} else if k := r.kinds[name]; k != nil {
				poke(k.look)
			}
		case key := <-stops:
			if key != "" {
				r.end(key, 0, ErrStopped)
			} else if err := r.heed(ctx); err != nil {
				return err
			}
		case <-steps:
			r.rebase(ctx)
			r.renew(ctx)
		case <-poll.C:
			r.Look()
			if err := r.heed(ctx); err != nil {
				return err
			}
		case <-renewal.C:
			r.renew(ctx)
		}
	}
}

// drain waits for running handlers: first for their own end, then for the end
// of their contexts.
func (r *Runner) drain(handlers *sync.WaitGroup, end context.CancelCauseFunc) {
	done := make(chan struct{})
	go func() {
		handlers.Wait()
		close(done)
	}()
	half := time.NewTimer(r.o.Drain / 2)
	defer half.Stop()
	select {
	case <-done:
		return
	case <-half.C:
	}
	end(ErrShutdown)
	half.Reset(r.o.Drain / 2)
	select {
	case <-done:
	case <-half.C:
		r.o.Logger.Warn().Msg("handlers still run at shutdown; their tasks are taken over at the next start")
	}
}

// claimLoop fills the free workers of a kind with due keys.
func (r *Runner) claimLoop(ctx, work context.Context, k *kind, handlers *sync.WaitGroup) {
	due := time.NewTimer(r.o.Poll)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.look:
		case <-due.C:
		}
		n := takeFree(ctx, k)
		if n == 0 {
			return
		}
		most := n
		if k.many != nil {
			most = k.size
		}
		leases, next, err := r.claim(ctx, k, most)
		if err != nil && ctx.Err() == nil {
			// The store cannot be used now; the next look tries again.
			r.o.Logger.Error().Err(err).Str("kind", k.name).Msg("tasks not claimed")
		}
		if k.many != nil && len(leases) > 0 {
			r.launchMany(work, k, leases, handlers)
		} else {
			for range n - len(leases) {
				k.free <- struct{}{}
			}
			for _, l := range leases {
				r.launch(work, k, l, handlers)
			}
		}
		if len(leases) > 0 {
			poke(k.look) // for more, or for the time of the next
		} else if wait := max(next.Sub(r.db.Now()), shortestWait); !next.IsZero() && wait < r.o.Poll {
			due.Reset(wait)
		}
	}
}

// claim takes up to n due keys; with none due, next is when one will be.
func (r *Runner) claim(ctx context.Context, k *kind, n int) (leases []*Lease, next time.Time, err error) {
	spaces, next, err := survey(ctx, r.db, k.name)
	if err != nil || len(spaces) == 0 {
		return nil, next, err
	}
	leases, err = claimFrom(ctx, r.db, r.owner, k.name, spaces, n, r.o.LeaseFor)
	return leases, time.Time{}, err
}

// launch runs the handler for one lease in a goroutine of its own.
func (r *Runner) launch(work context.Context, k *kind, l *Lease, handlers *sync.WaitGroup) {
	run, cancel := context.WithCancelCause(work)
	r.mu.Lock()
	r.running[l.Key] = &running{l, cancel}
	r.mu.Unlock()
	handlers.Go(func() {
		defer poke(k.look)
		defer func() { k.free <- struct{}{} }()
		defer cancel(nil)
		r.work(run, work, k, l)
	})
}

// takeFree waits for a free worker and takes all that are free; 0 at the end.
func takeFree(ctx context.Context, k *kind) int {
	select {
	case <-ctx.Done():
		return 0
	case <-k.free:
	}
	n := 1
	for {
		select {
		case <-k.free:
			n++
		default:
			return n
		}
	}
}

// work runs the handler for one lease and finishes the key. run is the
// handler's context, base that of all handlers.
func (r *Runner) work(run, base context.Context, k *kind, l *Lease) {
	res, err := call(run, k.handle, l)

	r.mu.Lock()
	if now := r.running[l.Key]; now != nil && now.lease == l {
		delete(r.running, l.Key)
	}
	r.mu.Unlock()

	cause := context.Cause(run)
	end := ending{again: res.Again, told: l.Stopped || errors.Is(cause, ErrStopped)}
	switch {
	case errors.Is(err, ErrFenced) || errors.Is(cause, ErrFenced):
		r.o.Logger.Warn().Str("task", l.Key).Msg("task was taken over by another worker")
		return
	case err == nil:
	case cause != nil:
		end.interrupted, end.again = cause, r.db.Now()
	default:
		end.failed, end.again = err, r.db.Now().Add(r.o.Backoff(l.Attempts+1))
		r.logFailure(l, err, end.again)
	}
	r.finish(base, l, end)
}

func (r *Runner) logFailure(l *Lease, err error, again time.Time) {
	event := r.o.Logger.Warn()
	var p *PanicError
	var w *migrations.PanicError
	if errors.As(err, &p) {
		event = r.o.Logger.Error().Bytes("stack", p.Stack)
	} else if errors.As(err, &w) {
		event = r.o.Logger.Error().Bytes("stack", w.Stack)
	}
	event.Err(err).Str("task", l.Key).Int64("attempt", l.Attempts+1).Time("again", again).Msg("task failed")
}

// finish gives a key back, if need be as soon as the store takes writes again:
// until then the lease is held, so that nobody else works it. When the time to
// drain is over, the rest is left to the take-over at the next start.
func (r *Runner) finish(base context.Context, l *Lease, end ending) {
	tick := time.NewTicker(r.o.Poll)
	defer tick.Stop()
	for first := true; ; first = false {
		err := finish(context.WithoutCancel(base), r.db, l, end)
		if err == nil || errors.Is(err, ErrFenced) || errors.Is(err, migrations.ErrClosed) {
			return
		}
		if first {
			r.o.Logger.Error().Err(err).Str("task", l.Key).Msg("task not finished; trying until the store takes it")
		}
		select {
		case <-base.Done():
			return
		case <-tick.C:
		}
	}
}

// PanicError is what a handler that panicked failed with.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

func call(ctx context.Context, h Handler, l *Lease) (res Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return h(ctx, l)
}

// end ends the context of the handler of a key, if it holds that fence; 0 is any.
func (r *Runner) end(key string, fence int64, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.running[key]; t != nil && (fence == 0 || t.lease.Fence == fence) {
		t.cancel(cause)
	}
}

// renew prolongs all leases of this process and frees those of others that ran
// out.
func (r *Runner) renew(ctx context.Context) {
	r.mu.Lock()
	leases := make([]*Lease, 0, len(r.running))
	for _, t := range r.running {
		leases = append(leases, t.lease)
	}
	r.mu.Unlock()
	if len(leases) > 0 {
		lost, err := renew(ctx, r.db, leases, r.o.LeaseFor)
		if err != nil {
			r.o.Logger.Error().Err(err).Msg("leases not renewed")
		}
		for _, l := range lost {
			r.end(l.Key, l.Fence, ErrFenced)
		}
	}
	if freed, err := expire(ctx, r.db, r.owner.name); err != nil {
		r.o.Logger.Error().Err(err).Msg("expired leases not taken over")
	} else if freed > 0 {
		r.o.Logger.Warn().Int64("tasks", freed).Msg("expired leases of another process taken over")
		r.Look()
	}
}

// heed hears what other processes say through the store: stops, and that one of
// them has taken this one's place.
func (r *Runner) heed(ctx context.Context) error {
	var epoch int64
	if err := r.db.QueryRow(ctx, `SELECT epoch FROM task_owners WHERE owner = $1`, r.owner.name).Scan(&epoch); err != nil {
		return r.unheard(ctx, err)
	}
	if epoch != r.owner.epoch {
		return ErrReplaced
	}
	// That it is not empty lets the index of leased keys be used, however many wait.
	rows, err := r.db.Query(ctx, `SELECT key, fence FROM tasks WHERE lease_owner = $1 AND lease_owner <> '' AND stop = 1`, r.owner.name)
	if err != nil {
		return r.unheard(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		var fence int64
		if err := rows.Scan(&key, &fence); err != nil {
			return r.unheard(ctx, err)
		}
		r.end(key, fence, ErrStopped)
	}
	if err := rows.Err(); err != nil {
		return r.unheard(ctx, err)
	}
	return nil
}

// unheard logs a failed look: the next one is soon, and working goes on.
func (r *Runner) unheard(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		r.o.Logger.Error().Err(err).Msg("stops of other processes not read")
	}
	return nil
}

// rebase deals with a clock that was set back, now or since the last start.
func (r *Runner) rebase(ctx context.Context) {
	moved, err := rebase(ctx, r.db)
	if err != nil {
		r.o.Logger.Error().Err(err).Msg("due times not counted from the new time")
	} else if moved > 0 {
		r.o.Logger.Warn().Int64("tasks", moved).Msg("the clock was set back: tasks made due at once")
	}
	r.Look()
}
