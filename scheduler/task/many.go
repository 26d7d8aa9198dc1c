package task

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"deskmate/migrations"
)

// ManyHandler works several keys at once, with a result for each, in their order.
// It is for keys whose work is one short transaction: nothing stops it half-way.
// Where it fails, nothing of it has taken effect, and each key is worked by itself,
// so that one that cannot be worked does not keep the others.
type ManyHandler func(ctx context.Context, leases []*Lease) ([]Result, error)

// HandleMany has keys of the kind name worked by h, up to size at once and one group
// after the other, so that they are worked in the order in which they are due. It is
// called before Run.
func (r *Runner) HandleMany(name string, size int, h ManyHandler) {
	r.Handle(name, 1, func(ctx context.Context, l *Lease) (Result, error) {
		all, err := h(ctx, []*Lease{l})
		if err != nil {
			return Result{}, err
		}
		return all[0], nil
	})
	r.kinds[name].many, r.kinds[name].size = h, size
}

// launchMany works claimed keys together, in a goroutine of its own.
func (r *Runner) launchMany(work context.Context, k *kind, leases []*Lease, handlers *sync.WaitGroup) {
	r.mu.Lock()
	for _, l := range leases {
		r.running[l.Key] = &running{l, func(error) {}}
	}
	r.mu.Unlock()
	handlers.Go(func() {
		defer poke(k.look)
		defer func() { k.free <- struct{}{} }()
		if r.workMany(work, k, leases) {
			return
		}
		for _, l := range leases {
			run, cancel := context.WithCancelCause(work)
			r.mu.Lock()
			r.running[l.Key] = &running{l, cancel}
			r.mu.Unlock()
			r.work(run, work, k, l)
			cancel(nil)
		}
	})
}

// workMany runs the handler for all leases and finishes the keys; false says that
// each is still to be worked.
func (r *Runner) workMany(work context.Context, k *kind, leases []*Lease) bool {
	results, err := callMany(work, k.many, leases)
	if err != nil {
		if len(leases) > 1 {
			r.o.Logger.Warn().Err(err).Str("kind", k.name).Int("tasks", len(leases)).Msg("tasks failed together; each is worked by itself")
		}
		return false
	}
	r.mu.Lock()
	for _, l := range leases {
		delete(r.running, l.Key)
	}
	r.mu.Unlock()
	ends := make([]ending, len(leases))
	for i, l := range leases {
		ends[i] = ending{again: results[i].Again, told: l.Stopped}
	}
	err = r.db.Write(context.WithoutCancel(work), func(tx *migrations.Tx) error {
		for i, l := range leases {
			if err := finishIn(tx, l, ends[i]); err != nil {
				return fmt.Errorf("finish task %s: %w", l.Key, err)
			}
		}
		return nil
	})
	if err != nil {
		for i, l := range leases {
			r.finish(work, l, ends[i])
		}
	}
	return true
}

func callMany(ctx context.Context, h ManyHandler, leases []*Lease) (all []Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	all, err = h(ctx, leases)
	if err == nil && len(all) != len(leases) {
		err = fmt.Errorf("the handler gave %d results for %d tasks", len(all), len(leases))
	}
	return all, err
}
