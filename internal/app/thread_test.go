package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"deskmate/internal/modelsim"
	"deskmate/memory"
)

// thread has Ben and Ada talk for n messages, of which the eighth says where the
// staging cluster went.
func (d *desk) thread(n int) string {
	d.t.Helper()
	ctx := context.Background()
	root, err := d.ben.Say(ctx, eng, "", "Let us collect here what comes up with the move of our services.")
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 1; i < n; i++ {
		text := fmt.Sprintf("Service number %d moved over without trouble, its alerts are quiet and the dashboard is green again.", 10000+i)
		switch i {
		case 7:
			text = "The staging cluster now runs in Frankfurt, on the machines that Priya had ordered in spring."
		case 40:
			text = "We decided to keep the old dashboard until the end of March."
		}
		who := d.ada
		if i%2 == 0 {
			who = d.ben
		}
		if _, err := who.Say(ctx, eng, root, text); err != nil {
			d.t.Fatal(err)
		}
	}
	d.delivered()
	return root
}

// delivered waits until the agent has taken all that happened. Two connections keep
// no order between them: what was said before a question may come after it, and is
// then said in the agent's own thread.
func (d *desk) delivered() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+"/emulator/state", nil)
		if err != nil {
			d.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			d.t.Fatal(err)
		}
		var state struct {
			Apps []struct {
				Waiting  int `json:"waiting"`
				InFlight int `json:"in_flight"`
			} `json:"apps"`
		}
		err = json.NewDecoder(resp.Body).Decode(&state)
		resp.Body.Close()
		if err != nil {
			d.t.Fatal(err)
		}
		if len(state.Apps) == 1 && state.Apps[0].Waiting+state.Apps[0].InFlight == 0 {
			return
		}
		<-tick.C
	}
}

// A long thread costs no more than a short one, and its beginning is not lost.
func TestContextDoesNotGrowWithTheThread(t *testing.T) {
	cost, given := map[int]int{}, map[int]string{}
	for _, n := range []int{100, 5000} {
		d := newDesk(t, modelsim.Always(modelsim.Reply{Text: "noted"}), nil)
		root := d.thread(n)
		d.reply(d.ben, root, toAgent+"in which city does the staging cluster run now?")
		d.answer(root, "noted")
		all := d.model.Requests()
		for _, m := range all[len(all)-1].Messages {
			cost[n] += memory.Tokens(m.Content)
			given[n] += m.Content + "\n"
		}
		for _, want := range []string{"now runs in Frankfurt", "Let us collect here", "keep the old dashboard until the end of March", fmt.Sprintf("Service number %d ", 10000+n-1)} {
			if !strings.Contains(given[n], want) {
				t.Errorf("%d messages: the model was not given %q", n, want)
			}
		}
		if strings.Count(given[n], "now runs in Frankfurt") != 1 {
			t.Errorf("%d messages: the model was given the same message twice", n)
		}
	}
	t.Logf("tokens: %v", cost)
	if more := float64(cost[5000]) / float64(cost[100]); more > 1.10 {
		t.Errorf("5,000 messages cost %.2f times what 100 cost, want at most 1.10", more)
	}
}
