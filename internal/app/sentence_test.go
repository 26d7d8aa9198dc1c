package app

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/bot"
	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
	"deskmate/scheduler"
	"deskmate/scheduler/phrases"
)

// together is how many sentences one agent hears at most: of more than 120 writes in
// five minutes the monitor thinks that something is wrong.
const together = 50

// sentenceGroups are the sentences of the table, in groups that are said at one instant.
func sentenceGroups(t *testing.T) (groups [][]phrases.Sentence) {
	t.Helper()
	all := phrases.All(t)
	slices.SortStableFunc(all, func(a, b phrases.Sentence) int { return a.Now.Compare(b.Now) })
	for len(all) > 0 {
		n := 1
		for n < min(len(all), together) && all[n].Now.Equal(all[0].Now) {
			n++
		}
		groups, all = append(groups, all[:n]), all[n:]
	}
	return groups
}

// phraseChannels is over how many channels the sentences are spread: what is said in
// one of them is posted one after the other.
const phraseChannels = 16

// phraseWorkspace has a person for each zone, and the channels, with all of them.
func phraseWorkspace(all []phrases.Sentence) (seed *slacksim.Seed, people map[string]string) {
	seed, people = slacksim.DefaultSeed(), map[string]string{}
	members := []string{agent}
	for _, c := range all {
		if people[c.Zone] == "" {
			people[c.Zone] = fmt.Sprintf("U0ZONE%d", len(people))
			members = append(members, people[c.Zone])
			seed.Users = append(seed.Users, slacksim.UserSeed{ID: people[c.Zone], Name: fmt.Sprint("zone", len(people)), Real: "Zoe", TZ: c.Zone})
		}
	}
	for i := range phraseChannels {
		seed.Channels = append(seed.Channels, slacksim.ChannelSeed{ID: fmt.Sprintf("C0PHRASE%d", i), Name: fmt.Sprint("phrase", i), Members: members})
	}
	return seed, people
}

// fills is a model that calls duty_create with what a model makes of a sentence: the
// words of the time, and what is to be done.
func fills(all []phrases.Sentence) modelsim.Handler {
	longest := slices.SortedFunc(slices.Values(all), func(a, b phrases.Sentence) int { return len(b.Say) - len(a.Say) })
	return func(q modelsim.Request) modelsim.Reply {
		if q.Last("").Role == "tool" {
			return modelsim.Reply{Text: "The tool said: " + q.Last("").Content}
		}
		i := slices.IndexFunc(longest, func(c phrases.Sentence) bool { return strings.HasSuffix(q.Last("user").Content, c.Say) })
		if i < 0 {
			return modelsim.Reply{Text: "I was asked " + q.Last("user").Content}
		}
		c := longest[i]
		when, what := c.Say, "do it"
		if c.Rest != "" {
			what = c.Rest
			if without := strings.TrimSpace(strings.Replace(when, what, "", 1)); without != when {
				when = without
			}
		}
		return calls("duty_create", map[string]string{"when": when, "what": what})
	}
}

// noRequest are ends of sentences in which the built-in rules see nothing to do: they
// take as a request only what begins with a word such as post. A model needs none.
var noRequest = regexp.MustCompile(`(?:pay|review|renew|look back|jump|count|be careful|leap|demo|have cake)$`)

// toRules is a sentence as people say it to the rules.
func toRules(c phrases.Sentence) phrases.Sentence {
	c.Say = noRequest.ReplaceAllString(c.Say, "post $0")
	switch c.Say {
	case "whenever you like":
		c.Asks = "I did not understand that"
	case "tell me what we owe at the end of the month, tomorrow at 9": // a question, to the rules
		c.Say = "tomorrow at 9 tell me what we owe at the end of the month"
	}
	return c
}

// TestSentencesMakeDuties says every sentence of the table to the agent, with a model
// and without, and looks at the duty that is stored, at the card that people see, and
// at what is asked back or refused.
func TestSentencesMakeDuties(t *testing.T) {
	t.Parallel()
	for i, all := range sentenceGroups(t) {
		for name, change := range map[string]func(a *App){"model": nil, "rules": func(a *App) { a.loop.Model = bot.NewRules() }} {
			t.Run(fmt.Sprint(name, " ", i), func(t *testing.T) {
				t.Parallel()
				sayPhrases(t, all[0].Now.UTC(), all, change)
			})
		}
	}
}

func sayPhrases(t *testing.T, now time.Time, all []phrases.Sentence, change func(a *App)) {
	t.Helper()
	ctx := context.Background()
	if change != nil {
		all = slices.Clone(all)
		for i := range all {
			all[i] = toRules(all[i])
		}
	}
	clock := slacksim.NewClock()
	clock.Set(now)
	seed, people := phraseWorkspace(all)
	// The agent's clock stands still, so that "in 20 minutes" is an instant.
	d := newDeskAt(t, clock, func() time.Time { return now }, seed, fills(all), change)
	zones := map[string]*slacksim.Person{}
	for zone, id := range people {
		zones[zone] = slacksim.NewPerson(d.base, id)
	}
	view, err := zones[all[0].Zone].Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d.view = view
	threads := make([]string, len(all))
	for i, c := range all {
		if threads[i], err = zones[c.Zone].Say(ctx, fmt.Sprintf("C0PHRASE%d", i%phraseChannels), "", toAgent+c.Say); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < len(all); {
		if err := d.app.DB.QueryRow(ctx, `SELECT COUNT(*) * (NOT EXISTS (SELECT 1 FROM outbox WHERE state = 'queued')) FROM turns WHERE state IN ('done', 'failed')`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		select {
		case <-deadline.C:
			t.Fatalf("%d of %d requests were answered", n, len(all))
		case <-tick.C:
		}
	}
	made := d.dutiesByThread()
	for i, c := range all {
		duty, is := made[threads[i]]
		if problem := c.Problem(); problem != "" {
			if is {
				t.Errorf("%q made %+v, want it asked back or refused with %q", c.Say, duty.Schedule, problem)
			}
			d.saysIn(c.Say, threads[i], problem)
			continue
		}
		s := duty.Schedule
		if !is || s.Cron != c.Cron || s.TZ != c.TZ || !s.At.Equal(c.At) || s.Every != c.Every || s.Unit != c.Unit || !s.From.Equal(c.From) || !s.Until.Equal(c.Until) || !slices.EqualFunc(s.Times(now, 5), c.Next, time.Time.Equal) {
			t.Errorf("%q made %+v (%t), want %+v; the agent said %q", c.Say, s, is, c, d.said(threads[i]))
			continue
		}
		if change == nil && duty.Prompt != c.Rest {
			t.Errorf("%q is to do %q, want %q", c.Say, duty.Prompt, c.Rest)
		}
		if duty.Unconfirmed() != (c.Cron != "") {
			t.Errorf("%q: a duty with the schedule %q waits to be confirmed: %t", c.Say, c.Cron, duty.Unconfirmed())
		}
		if c.Cron == "" {
			d.saysIn(c.Say, threads[i], "Duty `"+duty.ID+"`")
			continue
		}
		var next []string
		for _, at := range c.Next {
			next = append(next, bot.DutyTime(duty, at))
		}
		d.saysIn(c.Say, threads[i], "Next: "+strings.Join(next, "; ")+". It does not run before that")
	}
}

// saysIn looks for what the agent has said in the thread of a sentence.
func (d *desk) saysIn(sentence, thread, want string) {
	d.t.Helper()
	said := d.said(thread)
	if !slices.ContainsFunc(said, func(text string) bool { return strings.Contains(text, want) }) {
		d.t.Errorf("%q: the agent said %q, want %q", sentence, said, want)
	}
}

// dutiesByThread are the duties that turns have made, by the ts of their thread.
func (d *desk) dutiesByThread() map[string]scheduler.Duty {
	d.t.Helper()
	rows, err := d.app.DB.Query(context.Background(), `SELECT t.thread_ts, d.id FROM duties d JOIN turns t ON d.request LIKE 'turn:' || t.id || ':%'`)
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	made := map[string]scheduler.Duty{}
	for rows.Next() {
		var thread, id string
		if err := rows.Scan(&thread, &id); err != nil {
			d.t.Fatal(err)
		}
		if made[thread], err = d.app.Duties.Get(context.Background(), id); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return made
}
