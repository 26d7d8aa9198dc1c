package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"deskmate/identity/label"
	"deskmate/migrations"
)

// DefaultRate is how often in an hour a watch is set off where nothing is said;
// what fits beyond that comes together in one run.
const DefaultRate = 20

// DefaultHookRate is how often in an hour a webhook may be called.
const DefaultHookRate = 60

// watchedFor is how long the set of watched channels is good: changes that another
// process makes are seen after that.
const watchedFor = time.Second

// mostCause bounds the text that goes with a cause, in bytes; mostCauses is how
// many of several are told in full.
const (
	mostCause  = 4000
	mostCauses = 20
)

// Kinds of a Cause.
const (
	CauseMessage  = "message"
	CauseReaction = "reaction"
	CauseWebhook  = "webhook"
	CauseSeveral  = "several" // Others, that came too fast for runs of their own
)

// Cause is what set a run off beside the clock, in Run.Cause as JSON. Its text is
// information, whoever wrote it, and never an instruction.
type Cause struct {
	Kind      string      `json:"kind"`
	Who       string      `json:"who,omitempty"`  // user or bot id of who wrote or reacted
	Name      string      `json:"name,omitempty"` // of them, as people see it
	Channel   string      `json:"channel,omitempty"`
	TS        string      `json:"ts,omitempty"`
	Permalink string      `json:"permalink,omitempty"`
	Reaction  string      `json:"reaction,omitempty"`
	Text      string      `json:"text,omitempty"` // as Slack sends it, escaped; bounded, Cut says that there was more
	Cut       bool        `json:"cut,omitempty"`
	Label     label.Label `json:"label,omitzero"`
	At        time.Time   `json:"at"`
	Count     int64       `json:"count,omitempty"`  // of CauseSeveral, in all
	Others    []Cause     `json:"others,omitempty"` // the first of them
}

// JSON is the cause as it goes with a run.
func (c Cause) JSON() (string, error) {
	if len(c.Text) > mostCause {
		c.Text, c.Cut = strings.ToValidUTF8(c.Text[:mostCause], ""), true
	}
	b, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode cause: %w", err)
	}
	return string(b), nil
}

// ReadCause reads what JSON wrote; "" is no cause.
func ReadCause(text string) (Cause, bool, error) {
	var c Cause
	if text == "" {
		return c, false, nil
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, false, fmt.Errorf("decode cause: %w", err)
	}
	return c, true, nil
}

// Happening is something in a channel that may fit a watch.
type Happening struct {
	Workspace string
	Channel   string
	Thread    string // ts of the root
	User      string // who wrote or reacted
	Text      string
	Reaction  string // name of the emoji; "" for a message
	At        time.Time
}

// fits reports whether something sets off a watch, as far as can be told without
// a model. What was there before the duty does not.
func (t Trigger) fits(h Happening, patterns *patterns) bool {
	if (t.Reaction != "") != (h.Reaction != "") || t.Reaction != "" && !sameEmoji(t.Reaction, h.Reaction) {
		return false
	}
	if len(t.People) > 0 && !slices.Contains(t.People, h.User) {
		return false
	}
	return t.Pattern == "" || patterns.get(t.Pattern).MatchString(h.Text)
}

// sameEmoji compares names of emoji, whatever the tone of skin.
func sameEmoji(a, b string) bool {
	bare := func(s string) string { s, _, _ = strings.Cut(strings.Trim(s, ":"), "::"); return s }
	return bare(a) == bare(b)
}

// patterns keeps compiled what watches look for.
type patterns struct {
	mu    sync.Mutex
	known map[string]*regexp.Regexp
}

const mostPatterns = 2000

// never fits nothing.
var never = regexp.MustCompile(`[^\s\S]`)

// get compiles a pattern; one that is none, which check does not let pass, fits
// nothing.
func (p *patterns) get(pattern string) *regexp.Regexp {
	p.mu.Lock()
	defer p.mu.Unlock()
	if re, ok := p.known[pattern]; ok {
		return re
	}
	re, err := regexp.Compile("(?i)" + pattern)
	if err != nil {
		re = never
	}
	if p.known == nil || len(p.known) >= mostPatterns {
		p.known = map[string]*regexp.Regexp{}
	}
	p.known[pattern] = re
	return re
}

// watched is which channels duties look at, as the store said a moment ago.
type watched struct {
	mu       sync.Mutex
	channels map[[2]string]bool // workspace and channel
	read     time.Time          // when; zero: not since a change here
}

func (w *watched) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = time.Time{}
}

// Watched reports whether an active duty watches or follows something in a channel.
// It reads the store once a second at most, and after each change that is made
// through this Scheduler.
func (s *Scheduler) Watched(ctx context.Context, workspace, channel string) (bool, error) {
	w := &s.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now() // not the store's clock, which tests and people set
	if w.read.IsZero() || now.Sub(w.read) >= watchedFor {
		channels, err := s.watchedChannels(ctx)
		if err != nil {
			return false, err
		}
		w.channels, w.read = channels, now
	}
	return w.channels[[2]string{workspace, channel}], nil
}

func (s *Scheduler) watchedChannels(ctx context.Context) (map[[2]string]bool, error) {
	rows, err := s.db.Query(ctx, `SELECT DISTINCT workspace, watches FROM duties WHERE watches <> '' AND state = 'active'`)
	if err != nil {
		return nil, fmt.Errorf("list watched channels: %w", err)
	}
	defer rows.Close()
	all := map[[2]string]bool{}
	for rows.Next() {
		var key [2]string
		if err := rows.Scan(&key[0], &key[1]); err != nil {
			return nil, fmt.Errorf("list watched channels: %w", err)
		}
		all[key] = true
	}
	return all, rows.Err()
}

// Fitting gives the active watches that something sets off, as far as can be told
// without a model, and the follow-ups of its thread.
func (s *Scheduler) Fitting(ctx context.Context, h Happening) ([]Duty, error) {
	rows, err := s.db.Query(ctx, `SELECT `+dutyColumns+` FROM duties WHERE workspace = $1 AND watches = $2 AND watches <> '' AND state = 'active' ORDER BY id`, h.Workspace, h.Channel)
	if err != nil {
		return nil, fmt.Errorf("list watches of %s: %w", h.Channel, err)
	}
	defer rows.Close()
	var all []Duty
	for rows.Next() {
		d, err := scanDuty(rows)
		if err != nil {
			return nil, fmt.Errorf("list watches of %s: %w", h.Channel, err)
		}
		fits := d.Kind == KindWatch && h.At.After(d.CreatedAt) && d.Trigger.fits(h, &s.patterns)
		if fits || d.Kind == KindFollow && h.Reaction == "" && d.Trigger.Thread == h.Thread {
			all = append(all, d)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list watches of %s: %w", h.Channel, err)
	}
	return all, nil
}

// Settle ends a duty that has come to its end: what it followed is settled. by and
// why are for the ledger.
func (s *Scheduler) Settle(tx *migrations.Tx, id, by, why string) (Duty, error) {
	return s.changeTx(tx, id, by, "settled", map[string]string{"why": why}, func(_ *migrations.Tx, d *Duty) error {
		if d.State == StateActive || d.State == StatePaused {
			d.State, d.NextAt, d.PausedUntil = StateDone, time.Time{}, time.Time{}
		}
		return nil
	})
}

// Rate is how often in an hour the duty may be set off.
func (d Duty) Rate() int {
	switch {
	case d.Trigger.Rate > 0:
		return d.Trigger.Rate
	case d.Kind == KindWebhook:
		return DefaultHookRate
	}
	return DefaultRate
}

// RunOf is the run that a request made, false if there is none.
func (s *Scheduler) RunOf(tx *migrations.Tx, duty, request string) (string, bool, error) {
	rows, err := tx.Query(`SELECT id FROM runs WHERE duty = $1 AND request = $2`, duty, request)
	if err != nil {
		return "", false, fmt.Errorf("look for run of %s: %w", request, err)
	}
	defer rows.Close()
	id := ""
	for rows.Next() {
		if err := rows.Scan(&id); err != nil {
			return "", false, fmt.Errorf("look for run of %s: %w", request, err)
		}
	}
	return id, id != "", rows.Err()
}

// Room is when a duty may be set off again: the zero time for now.
func (s *Scheduler) Room(tx *migrations.Tx, d Duty) (time.Time, error) {
	rows, err := tx.Query(`SELECT due_at FROM runs WHERE duty = $1 AND due_at > $2 AND request IS NOT NULL ORDER BY due_at DESC LIMIT $3`,
		d.ID, migrations.Micros(tx.Now().Add(-time.Hour)), d.Rate())
	if err != nil {
		return time.Time{}, fmt.Errorf("count runs of duty %s: %w", d.ID, err)
	}
	defer rows.Close()
	n, oldest := 0, int64(0)
	for rows.Next() {
		if err := rows.Scan(&oldest); err != nil {
			return time.Time{}, fmt.Errorf("count runs of duty %s: %w", d.ID, err)
		}
		n++
	}
	if err := rows.Err(); err != nil || n < d.Rate() {
		return time.Time{}, err
	}
	return migrations.Time(oldest).Add(time.Hour), nil
}
