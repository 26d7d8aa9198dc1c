package task

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"deskmate/migrations"
)

// ManyHandler works several keys in one transaction, with a result for each, in
// their order. The fences have been checked, and the keys are given back in the same
// transaction: nothing stops it half-way. Where it fails, nothing of it has taken
// effect, and each key is worked by itself, so that one that cannot be worked does
// not keep the others.
type ManyHandler func(tx *migrations.Tx, leases []*Lease) ([]Result, error)

// atOnce is how many keys are worked in one transaction: few enough that nobody who
// writes meanwhile waits long behind it.
const atOnce = 8

// HandleMany has keys of the kind name worked by h. Up to size are claimed at once
// and worked one transaction after the other, in the order in which they are due. It
// is called before Run.
func (r *Runner) HandleMany(name string, size int, h ManyHandler) {
	r.Handle(name, 1, func(ctx context.Context, l *Lease) (Result, error) {
		var all []Result
		err := r.db.Write(ctx, func(tx *migrations.Tx) (err error) {
			all, err = callMany(tx, h, []*Lease{l})
			return err
		})
		if err != nil {
			return Result{}, err
		}
		return all[0], nil
	})
	r.kinds[name].many, r.kinds[name].size = h, size
}

// launchMany works claimed keys, in a goroutine of its own.
func (r *Runner) launchMany(work context.Context, k *kind, leases []*Lease, handlers *sync.WaitGroup) {
	r.mu.Lock()
	for _, l := range leases {
		r.running[l.Key] = &running{l, func(error) {}}
	}
	r.mu.Unlock()
	handlers.Go(func() {
		defer poke(k.look)
		defer func() { k.free <- struct{}{} }()
		for some := range slices.Chunk(leases, atOnce) {
			if r.workMany(work, k, some) {
				continue
			}
			for _, l := range some {
				run, cancel := context.WithCancelCause(work)
				r.mu.Lock()
				r.running[l.Key] = &running{l, cancel}
				r.mu.Unlock()
				r.work(run, work, k, l)
				cancel(nil)
			}
		}
	})
}

// workMany works keys and gives them back in one transaction; false says that each
// is still to be worked.
func (r *Runner) workMany(work context.Context, k *kind, leases []*Lease) bool {
	err := r.db.Write(context.WithoutCancel(work), func(tx *migrations.Tx) error {
		results, err := callMany(tx, k.many, leases)
		if err != nil {
			return err
		}
		for i, l := range leases {
			if err := finishIn(tx, l, ending{again: results[i].Again, told: l.Stopped}); err != nil {
				return fmt.Errorf("finish task %s: %w", l.Key, err)
			}
		}
		return nil
	})
	if err != nil {
		if len(leases) > 1 {
			r.o.Logger.Warn().Err(err).Str("kind", k.name).Int("tasks", len(leases)).Msg("tasks failed together; each is worked by itself")
		}
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range leases {
		delete(r.running, l.Key)
	}
	return true
}

// callMany checks the fences and calls the handler. A panic is its caller's error
// too.
func callMany(tx *migrations.Tx, h ManyHandler, leases []*Lease) (all []Result, err error) {
	if err := GuardAll(tx, leases); err != nil {
		return nil, err
	}
	all, err = h(tx, leases)
	if err == nil && len(all) != len(leases) {
		err = fmt.Errorf("the handler gave %d results for %d tasks", len(all), len(leases))
	}
	return all, err
}
