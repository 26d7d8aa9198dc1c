package slacksim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"
)

// Fault is a failure that is armed, or was. Method is a glob over API methods;
// empty means all. It fires Times times, or with Probability at each chance, or
// always when both are zero.
type Fault struct {
	ID          int     `json:"id"`
	Kind        string  `json:"kind"`
	Method      string  `json:"method,omitempty"`
	Times       int     `json:"times,omitempty"`
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
	DelayMS     int     `json:"delay_ms,omitempty"`
	RetryAfter  int     `json:"retry_after,omitempty"` // seconds, for 429
	Reason      string  `json:"reason,omitempty"`      // of a disconnect
	Error       string  `json:"error,omitempty"`       // of a refusal
	Fired       int     `json:"fired"`

	dice *rand.Rand
}

// The kinds of fault.
const (
	fault429        = "429"         // answer 429 with Retry-After
	fault500        = "500"         // answer 500
	faultDelay      = "delay"       // answer late
	faultRefuse     = "refuse"      // answer with an error, or cut the connection, before doing anything
	faultResetAfter = "reset_after" // do the call, then cut the connection without an answer
	faultDropAck    = "drop_ack"    // ignore acknowledgements
	faultDuplicate  = "duplicate"   // deliver each envelope twice
	faultLose       = "lose"        // never deliver an envelope, as in a gap between connections
	faultDisconnect = "disconnect"  // ask clients to disconnect, then close
)

var faultKinds = []string{fault429, fault500, faultDelay, faultRefuse, faultResetAfter, faultDropAck, faultDuplicate, faultLose, faultDisconnect}

// maxFaults bounds the list; the oldest is forgotten.
const maxFaults = 200

// faults holds what is armed.
type faults struct {
	mu   sync.Mutex
	list []*Fault
	last int
}

func newFaults() *faults { return &faults{} }

// arm checks and adds a fault.
func (f *faults) arm(x Fault) (Fault, error) {
	switch {
	case !slices.Contains(faultKinds, x.Kind):
		return x, fmt.Errorf("kind %q: want one of %v", x.Kind, faultKinds)
	case x.Times < 0 || x.DelayMS < 0 || x.RetryAfter < 0:
		return x, fmt.Errorf("times, delay_ms and retry_after: want zero or more")
	case x.Probability < 0 || x.Probability > 1:
		return x, fmt.Errorf("probability %v: want 0 to 1", x.Probability)
	case x.Kind == faultDelay && x.DelayMS == 0:
		return x, fmt.Errorf("delay: want delay_ms")
	}
	if _, err := path.Match(x.Method, ""); err != nil {
		return x, fmt.Errorf("method %q: %w", x.Method, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	x.ID, x.Fired = f.last, 0
	x.dice = rand.New(rand.NewPCG(x.Seed, 0))
	f.list = append(f.list, &x)
	if len(f.list) > maxFaults {
		f.list = f.list[1:]
	}
	return x, nil
}

// all lists every fault with how often it fired.
func (f *faults) all() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Fault, len(f.list))
	for i, x := range f.list {
		out[i] = *x
	}
	return out
}

// clear disarms one fault by id, or all with zero.
func (f *faults) clear(id int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = slices.DeleteFunc(f.list, func(x *Fault) bool { return id == 0 || x.ID == id })
}

// fire gives each armed fault of kinds that fits method its chance, and returns
// those that fire.
func (f *faults) fire(method string, kinds ...string) []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Fault
	for _, x := range f.list {
		if !slices.Contains(kinds, x.Kind) || x.Times > 0 && x.Fired >= x.Times {
			continue
		}
		if x.Method != "" {
			if fits, _ := path.Match(x.Method, method); !fits {
				continue
			}
		}
		if x.Probability > 0 && x.dice.Float64() >= x.Probability {
			continue
		}
		x.Fired++
		out = append(out, *x)
	}
	return out
}

// fires reports whether any fault of a kind fires now.
func (f *faults) fires(kind string) bool { return len(f.fire("", kind)) > 0 }

// fate is what the armed faults decided about one call.
type fate struct {
	delay      time.Duration
	cut, reset bool
	status     int
	retryAfter time.Duration
	refuse     string
}

// beforeCall lets faults decide about a call of method.
func (f *faults) beforeCall(method string) (x fate) {
	for _, hit := range f.fire(method, fault429, fault500, faultDelay, faultRefuse, faultResetAfter) {
		switch hit.Kind {
		case faultDelay:
			x.delay += time.Duration(hit.DelayMS) * time.Millisecond
		case fault429:
			x.status, x.retryAfter = http.StatusTooManyRequests, time.Duration(max(1, hit.RetryAfter))*time.Second
		case fault500:
			x.status = http.StatusInternalServerError
		case faultRefuse:
			x.refuse, x.cut = hit.Error, hit.Error == ""
		case faultResetAfter:
			x.reset = true
		}
	}
	return x
}

// wait sleeps for d, or returns false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
