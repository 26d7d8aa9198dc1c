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

// Handler works one key. Its context ends when the task is stopped (cause
// ErrStopped), overtaken (cause ErrFenced) or when the runner shuts down. An
// error brings it back later, with growing distances; work that is half done
// must be found again in the store.
type Handler func(ctx context.Context, l *Lease) (Result, error)

// Options are the choices of NewRunner; the zero value is good for one process
// on one store.
type Options struct {
	Owner    string                             // name that leases are taken under, the same after a restart; "" is "main"
	LeaseFor time.Duration                      // life of a lease without renewal; 0: 30 s
	Poll     time.Duration                      // how often to look for work that nobody signalled; 0: 1 s
	Backoff  func(attempts int64) time.Duration // distance to the next try; nil: 0.5 s doubling to 5 min, ± 20 %
	Drain    time.Duration                      // how long running handlers get at shutdown; 0: 10 s
	Logger   zerolog.Logger
}

// Runner claims due keys and has them worked.
type Runner struct {
	db    *migrations.DB
	o     Options
	kinds map[string]*kind
	look  chan struct{}

	mu      sync.Mutex
	running map[string]*running
}

type kind struct {
	name    string
	workers int
	handle  Handler
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
	return &Runner{db: db, o: o, kinds: map[string]*kind{}, look: make(chan struct{}, 1), running: map[string]*running{}}
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
	freed, err := takeOver(ctx, r.db, r.o.Owner)
	if err != nil {
		return err
	}
	if freed > 0 {
		r.o.Logger.Info().Int64("tasks", freed).Msg("orphaned tasks taken over")
	}
	wakes, endWakes := r.db.Listen(topicWake)
	defer endWakes()
	stops, endStops := r.db.Listen(topicStop)
	defer endStops()

	// Handlers outlive ctx by the time they get to end.
	work, endWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endWork(nil)
	var loops, handlers sync.WaitGroup
	for _, k := range r.kinds {
		poke(k.look)
		loops.Go(func() { r.claimLoop(ctx, work, k, &handlers) })
	}
	renewed := time.NewTicker(r.o.LeaseFor / 3)
	defer renewed.Stop()
	poll := time.NewTicker(r.o.Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			loops.Wait()
			r.drain(&handlers, endWork)
			return nil
		case name := <-wakes:
			if k := r.kinds[name]; k != nil {
				poke(k.look)
			} else if name == "" { // notices were missed
				r.Look()
			}
		case key := <-stops:
			r.stop(key)
		case <-poll.C:
			r.Look()
		case <-renewed.C:
			r.renew(work)
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
	end(context.Canceled)
	half.Reset(r.o.Drain / 2)
	select {
	case <-done:
	case <-half.C:
		r.o.Logger.Warn().Msg("handlers still run at shutdown; their tasks are taken over at the next start")
	}
}

// claimLoop fills the free workers of a kind with due keys.
func (r *Runner) claimLoop(ctx, work context.Context, k *kind, handlers *sync.WaitGroup) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.look:
		}
		for {
			n := takeFree(ctx, k)
			if n == 0 {
				return
			}
			leases, err := claim(ctx, r.db, r.o.Owner, k.name, n, r.o.LeaseFor)
			if err != nil && ctx.Err() == nil {
				// The store cannot be written now; the next look tries again.
				r.o.Logger.Error().Err(err).Str("kind", k.name).Msg("tasks not claimed")
			}
			for range n - len(leases) {
				k.free <- struct{}{}
			}
			for _, l := range leases {
				handlers.Go(func() {
					defer func() { k.free <- struct{}{} }()
					r.work(work, k, l)
				})
			}
			if len(leases) < n {
				break
			}
		}
	}
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

// work runs the handler for one lease and finishes the key.
func (r *Runner) work(ctx context.Context, k *kind, l *Lease) {
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.mu.Lock()
	r.running[l.Key] = &running{l, cancel}
	r.mu.Unlock()

	res, err := call(run, k.handle, l)

	r.mu.Lock()
	if now := r.running[l.Key]; now != nil && now.lease == l {
		delete(r.running, l.Key)
	}
	r.mu.Unlock()
	if errors.Is(err, ErrFenced) || errors.Is(context.Cause(run), ErrFenced) {
		r.o.Logger.Warn().Str("task", l.Key).Msg("task was taken over by another worker")
		return
	}
	again := res.Again
	if err != nil {
		switch {
		case errors.Is(context.Cause(run), ErrStopped), errors.Is(ctx.Err(), context.Canceled):
			again = r.db.Now() // stopped or shutting down: no fault, no waiting
		default:
			again = r.db.Now().Add(r.o.Backoff(l.Attempts + 1))
			r.o.Logger.Warn().Err(err).Str("task", l.Key).Int64("attempt", l.Attempts+1).Time("again", again).Msg("task failed")
		}
	}
	// The store may be full or closing: then the lease runs out or is taken over.
	if err := finish(context.WithoutCancel(ctx), r.db, l, again, err); err != nil && !errors.Is(err, ErrFenced) {
		r.o.Logger.Error().Err(err).Str("task", l.Key).Msg("task not finished")
		r.retryFinish(ctx, l, again, err)
	}
}

// retryFinish gives a key back as soon as the store takes writes again: until
// then the lease is held, so that nobody else works it meanwhile.
func (r *Runner) retryFinish(ctx context.Context, l *Lease, again time.Time, cause error) {
	tick := time.NewTicker(r.o.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			err := finish(ctx, r.db, l, again, cause)
			if err == nil || errors.Is(err, ErrFenced) || errors.Is(err, migrations.ErrClosed) {
				return
			}
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

func (r *Runner) stop(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key != "" {
		if t := r.running[key]; t != nil {
			t.cancel(ErrStopped)
		}
	}
}

// renew prolongs all leases of this process, and hears of stops from others.
func (r *Runner) renew(ctx context.Context) {
	r.mu.Lock()
	leases := make([]*Lease, 0, len(r.running))
	for _, t := range r.running {
		leases = append(leases, t.lease)
	}
	r.mu.Unlock()
	if len(leases) > 0 {
		stopped, lost, err := renew(ctx, r.db, leases, r.o.LeaseFor)
		if err != nil {
			r.o.Logger.Error().Err(err).Msg("leases not renewed")
		}
		r.end(stopped, ErrStopped)
		r.end(lost, ErrFenced)
	}
	// Keys whose process is gone without a restart of the same name.
	if _, err := takeOver(ctx, r.db, ""); err != nil {
		r.o.Logger.Error().Err(err).Msg("expired leases not taken over")
	}
}

func (r *Runner) end(leases []*Lease, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range leases {
		if t := r.running[l.Key]; t != nil && t.lease == l {
			t.cancel(cause)
		}
	}
}
