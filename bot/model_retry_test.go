package bot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/internal/modelsim"
)

// pauses is a policy that notes its pauses instead of sleeping them.
func pauses(into *[]time.Duration) RetryPolicy {
	return RetryPolicy{
		Tries: 4, First: time.Second, Max: 10 * time.Second,
		Sleep:  func(_ context.Context, d time.Duration) error { *into = append(*into, d); return nil },
		Jitter: func() float64 { return 0.5 },
	}
}

func TestRetryPausesLongerEachTimeAndGivesUp(t *testing.T) {
	t.Parallel()
	m, sim := connect(t, modelsim.Always(modelsim.Reply{Status: 500, Error: "oops"}), modelsim.Options{}, OpenAIOptions{})
	var slept []time.Duration
	_, err := WithRetry(m, pauses(&slept)).Complete(t.Context(), hello(), nil)
	if !IsTemporary(err) || len(sim.Requests()) != 4 {
		t.Errorf("got %v after %d calls, want a temporary error after 4", err, len(sim.Requests()))
	}
	if want := []time.Duration{750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second}; !slices.Equal(slept, want) {
		t.Errorf("pauses %v, want %v", slept, want)
	}
}

func TestRetryRespectsRetryAfter(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, header string
		slept        []time.Duration
		answered     bool
	}{
		{"seconds", "7", []time.Duration{7 * time.Second}, true},
		{"fraction", "7.5", []time.Duration{7500 * time.Millisecond}, true},
		{"date", at.Add(5 * time.Second).Format(http.TimeFormat), []time.Duration{5 * time.Second}, true},
		{"date that has passed", at.Add(-time.Hour).Format(http.TimeFormat), []time.Duration{750 * time.Millisecond}, true},
		{"shorter than the back-off", "0", []time.Duration{750 * time.Millisecond}, true},
		{"nonsense", "soon", []time.Duration{750 * time.Millisecond}, true},
		{"longer than we wait", "3600", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			script := &modelsim.Script{Sequence: []modelsim.Reply{{Status: 429, Error: "slow down", RetryAfter: c.header}, {Text: "Hello."}}}
			m, _ := connect(t, script.Handler(), modelsim.Options{}, OpenAIOptions{Clock: func() time.Time { return at }})
			var slept []time.Duration
			got, err := WithRetry(m, pauses(&slept)).Complete(t.Context(), hello(), nil)
			if (err == nil) != c.answered || c.answered && got.Text != "Hello." {
				t.Errorf("got %+v, %v, want answered %t", got, err, c.answered)
			}
			if !slices.Equal(slept, c.slept) {
				t.Errorf("pauses %v, want %v", slept, c.slept)
			}
		})
	}
}

func TestRetryLeavesFinalErrorsAlone(t *testing.T) {
	t.Parallel()
	m, sim := connect(t, modelsim.Always(modelsim.Reply{Status: 403, Error: "no"}), modelsim.Options{}, OpenAIOptions{})
	var slept []time.Duration
	_, err := WithRetry(m, pauses(&slept)).Complete(t.Context(), hello(), nil)
	if err == nil || IsTemporary(err) || len(sim.Requests()) != 1 || len(slept) != 0 {
		t.Errorf("got %v after %d calls and pauses %v, want a final error after 1 and none", err, len(sim.Requests()), slept)
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	m, sim := connect(t, modelsim.Always(modelsim.Reply{Status: 500}), modelsim.Options{}, OpenAIOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := RetryPolicy{First: time.Hour, Max: time.Hour, Jitter: func() float64 { cancel(); return 0 }}
	_, err := WithRetry(m, p).Complete(ctx, hello(), nil)
	if !errors.Is(err, context.Canceled) || len(sim.Requests()) != 1 {
		t.Errorf("got %v after %d calls, want the context's error after 1", err, len(sim.Requests()))
	}
}

func TestFallbackAsksTheNextModel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status map[string]int // by model; 0 answers
		asked  []string
		text   string
	}{
		{"the first answers", nil, []string{"a"}, "from a"},
		{"the first is overloaded", map[string]int{"a": 503}, []string{"a", "a", "b"}, "from b"},
		{"the first does not exist", map[string]int{"a": 404}, []string{"a", "b"}, "from b"},
		{"none answers", map[string]int{"a": 404, "b": 500, "c": 404}, []string{"a", "b", "b", "c"}, ""},
		{"the key is wrong", map[string]int{"a": 401}, []string{"a"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			one, sim := connect(t, func(q modelsim.Request) modelsim.Reply {
				if s := c.status[q.Model]; s != 0 {
					return modelsim.Reply{Status: s, Error: "no"}
				}
				return modelsim.Reply{Text: "from " + q.Model}
			}, modelsim.Options{}, OpenAIOptions{})
			var slept []time.Duration
			p := pauses(&slept)
			p.Tries = 2
			m, err := ConnectOpenAI(OpenAIOptions{BaseURL: one.options.BaseURL, Model: "a", Fallbacks: []string{"b", "c"}}, p)
			if err != nil {
				t.Fatalf("ConnectOpenAI: %v", err)
			}
			if want := "a, else b, else c"; m.Name() != want {
				t.Errorf("Name() = %q, want %q", m.Name(), want)
			}
			got, err := m.Complete(t.Context(), hello(), nil)
			if got.Text != c.text || (err == nil) != (c.text != "") {
				t.Errorf("got %q, %v, want %q", got.Text, err, c.text)
			}
			var asked []string
			for _, q := range sim.Requests() {
				asked = append(asked, q.Model)
			}
			if !slices.Equal(asked, c.asked) {
				t.Errorf("asked %v, want %v", asked, c.asked)
			}
			if err != nil {
				for model, status := range c.status {
					if !strings.Contains(err.Error(), fmt.Sprintf("%s: %s answered %d", model, one.host, status)) {
						t.Errorf("%q does not say what %s answered", err, model)
					}
				}
			}
		})
	}
}
