package bot

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// RetryPolicy says how often a temporary failure of a model is tried again, and
// after which pauses. The zero value is the default.
type RetryPolicy struct {
	Tries int           // calls in all; 0 = 4
	First time.Duration // pause after the first failure, doubled after each further one; 0 = 500 ms
	Max   time.Duration // longest pause; a server that asks for a longer one is given up; 0 = 30 s

	Sleep  func(ctx context.Context, d time.Duration) error // nil = really sleep
	Jitter func() float64                                   // in [0,1); nil = random
}

func (p RetryPolicy) filled() RetryPolicy {
	if p.Tries <= 0 {
		p.Tries = 4
	}
	if p.First <= 0 {
		p.First = 500 * time.Millisecond
	}
	if p.Max <= 0 {
		p.Max = 30 * time.Second
	}
	if p.Sleep == nil {
		p.Sleep = sleep
	}
	if p.Jitter == nil {
		p.Jitter = rand.Float64
	}
	return p
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause is how long to wait after failure n, counted from 0: between half and all
// of the doubled first pause, so that many threads do not come back at once, and
// never less than the server asked for. ok is false where that is too long.
func (p RetryPolicy) pause(n int, err error) (d time.Duration, ok bool) {
	d = p.Max
	if n < 30 && p.First<<n < p.Max {
		d = p.First << n
	}
	d = d/2 + time.Duration(p.Jitter()*float64(d/2))
	var asked *retryAfterError
	if errors.As(err, &asked) {
		if asked.after > p.Max {
			return 0, false
		}
		d = max(d, asked.after)
	}
	return d, true
}

// retryAfterError is a failure with the pause that the server asked for.
type retryAfterError struct {
	after time.Duration
	err   error
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// retryAfter reads a Retry-After header, seconds or a date; 0 where there is none.
// Source: RFC 9110 §10.2.3.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if d, err := time.ParseDuration(v + "s"); err == nil {
		return max(d, 0)
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// WithRetry is m, tried again by the policy while it fails for a time. It ends at
// once when ctx does.
func WithRetry(m Model, p RetryPolicy) Model { return &retrying{Model: m, policy: p.filled()} }

type retrying struct {
	Model
	policy RetryPolicy
}

func (r *retrying) Complete(ctx context.Context, q Request, onText func(string)) (Response, error) {
	for n := 0; ; n++ {
		resp, err := r.Model.Complete(ctx, q, onText)
		if err == nil || !IsTemporary(err) || n+1 >= r.policy.Tries {
			return resp, err
		}
		d, ok := r.policy.pause(n, err)
		if !ok {
			return Response{}, err
		}
		if err := r.policy.Sleep(ctx, d); err != nil {
			return Response{}, fmt.Errorf("call model: %w", err)
		}
	}
}

// Fallback is the first of the models that answers, asked in order. A wrong key
// (401) ends it, as the models share a server; so does the end of ctx. It panics
// without models: that is a mistake of the caller.
func Fallback(models ...Model) Model {
	if len(models) == 0 {
		panic("bot: Fallback needs a model")
	}
	if len(models) == 1 {
		return models[0]
	}
	return fallback(models)
}

type fallback []Model

func (f fallback) Name() string {
	names := make([]string, len(f))
	for i, m := range f {
		names[i] = m.Name()
	}
	return strings.Join(names, ", else ")
}

func (f fallback) Complete(ctx context.Context, q Request, onText func(string)) (Response, error) {
	var failures []*ModelError
	for _, m := range f {
		resp, err := m.Complete(ctx, q, onText)
		var failed *ModelError
		if err == nil || !errors.As(err, &failed) {
			return resp, err
		}
		failures = append(failures, failed)
		if failed.Status == http.StatusUnauthorized {
			break
		}
	}
	return Response{}, f.joined(failures)
}

// joined is one error for those of all models, temporary if any of them is.
func (f fallback) joined(failures []*ModelError) error {
	all := &ModelError{Status: failures[0].Status}
	words, errs := []string{}, []error{}
	for i, e := range failures {
		all.Temporary = all.Temporary || e.Temporary
		words = append(words, f[i].Name()+": "+e.Message)
		errs = append(errs, e)
	}
	all.Message, all.Err = strings.Join(words, "; "), errors.Join(errs...)
	return all
}
