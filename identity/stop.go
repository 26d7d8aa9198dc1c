package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Kinds of stop, the words of the stops table's kind column. Everything at once
// is Agents.Suspend.
const (
	StopTool       = "tool"
	StopConnection = "connection"
	StopChannel    = "channel"
	StopPerson     = "person" // what this person asks for
	StopCredential = "credential"
)

// StopKinds are all of them.
var StopKinds = []string{StopTool, StopConnection, StopChannel, StopPerson, StopCredential}

// Stop is one thing that a human has switched off.
type Stop struct {
	Workspace string    `json:"workspace"`
	Kind      string    `json:"kind"`
	Name      string    `json:"name"`
	By        string    `json:"by"`
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
}

func (s Stop) String() string { return s.Kind + " " + s.Name }

// Under is an action that was under way when a stop came, and what is known of it.
type Under struct {
	Key       string `json:"key"`
	Tool      string `json:"tool"`
	Channel   string `json:"channel"`
	Requester string `json:"requester"`
	State     string `json:"state"` // done, cancelled, failed, unknown; intended: not known yet
}

// ErrNotStopped means that there is nothing of that name to resume.
var ErrNotStopped = errors.New("it is not stopped")

// Stop switches something off: from the next action on, and for what is under
// way. A human does it, with a reason. The same stop again is the first one.
func (g *Gate) Stop(ctx context.Context, s Stop) (Stop, error) {
	s.Reason = strings.TrimSpace(s.Reason)
	if !slices.Contains(StopKinds, s.Kind) {
		return s, fmt.Errorf("stop %s: %q cannot be stopped; what can is %s", s.Name, s.Kind, strings.Join(StopKinds, ", "))
	}
	if s.Workspace == "" || s.Name == "" || s.By == "" || s.Reason == "" {
		return s, fmt.Errorf("stop %s %q: the name, who and why must be given", s.Kind, s.Name)
	}
	err := g.db.Write(ctx, func(tx *migrations.Tx) error {
		had, err := loadStops(tx, s.Workspace)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(had, func(h Stop) bool { return h.Kind == s.Kind && h.Name == s.Name }); i >= 0 {
			s = had[i]
			return nil
		}
		s.At = tx.Now()
		if _, err := tx.Exec(`INSERT INTO stops (workspace, kind, name, stopped_by, reason, stopped_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			s.Workspace, s.Kind, s.Name, s.By, Mask(s.Reason), migrations.Micros(s.At)); err != nil {
			return fmt.Errorf("store stop: %w", err)
		}
		return g.recordStop(tx, s, "stop.set", s.By, s.Reason)
	})
	if err != nil {
		return s, fmt.Errorf("stop %s: %w", s, err)
	}
	return s, g.Recheck(ctx)
}

// Unstop takes a stop back. Only a human may, with a reason.
func (g *Gate) Unstop(ctx context.Context, workspace, kind, name, by, reason string) error {
	if by == "" || strings.TrimSpace(reason) == "" {
		return fmt.Errorf("resume %s %s: who and why must be given", kind, name)
	}
	err := g.db.Write(ctx, func(tx *migrations.Tx) error {
		agent, err := loadAgent(tx, workspace)
		if err != nil {
			return err
		}
		if by == agent.User {
			return errors.New("an agent cannot resume itself")
		}
		res, err := tx.Exec(`DELETE FROM stops WHERE workspace = $1 AND kind = $2 AND name = $3`, workspace, kind, name)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotStopped
		}
		return g.recordStop(tx, Stop{Workspace: workspace, Kind: kind, Name: name}, "stop.lifted", by, reason)
	})
	if err != nil {
		return fmt.Errorf("resume %s %s: %w", kind, name, err)
	}
	return nil
}

func (g *Gate) recordStop(tx *migrations.Tx, s Stop, kind, by, reason string) error {
	_, err := g.ledger.Append(tx, ledger.Record{
		Workspace: s.Workspace, Kind: kind, Actor: by, Fields: map[string]string{"stop": s.Kind, "name": s.Name}, Payload: map[string]string{"reason": reason},
	})
	return err
}

// Stops are all that hold in a workspace.
func (g *Gate) Stops(ctx context.Context, workspace string) ([]Stop, error) {
	var all []Stop
	err := g.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		all, err = loadStops(tx, workspace)
		return err
	})
	return all, err
}

func loadStops(tx *migrations.Tx, workspace string) ([]Stop, error) {
	rows, err := tx.Query(`SELECT kind, name, stopped_by, reason, stopped_at FROM stops WHERE workspace = $1 ORDER BY kind, name`, workspace)
	if err != nil {
		return nil, fmt.Errorf("load stops: %w", err)
	}
	defer rows.Close()
	var all []Stop
	for rows.Next() {
		s := Stop{Workspace: workspace}
		var at int64
		if err := rows.Scan(&s.Kind, &s.Name, &s.By, &s.Reason, &at); err != nil {
			return nil, fmt.Errorf("load stops: %w", err)
		}
		s.At = migrations.Time(at)
		all = append(all, s)
	}
	return all, rows.Err()
}

// covers reports whether the stop holds for an action. The agent's manners go on
// where a tool or a person is stopped, so that people learn why; in a stopped
// channel nothing does.
func (s Stop) covers(a Action) bool {
	switch s.Kind {
	case StopTool:
		return s.Name == a.Tool
	case StopConnection:
		return s.Name == a.Connection && !a.Manners
	case StopChannel:
		return s.Name == a.Channel || s.Name == a.target()
	case StopPerson:
		return s.Name == a.Requester && !a.Manners
	case StopCredential:
		return a.Credential != "" && s.Name == a.Credential
	}
	return true // a kind that this version does not know
}

func (s Stop) words() string {
	what := map[string]string{StopTool: "the tool `%s`", StopConnection: "the connection `%s`", StopChannel: "all work in <#%s>",
		StopPerson: "all work for <@%s>", StopCredential: "the credential `%s`"}[s.Kind]
	if what == "" {
		what = s.Kind + " %s"
	}
	return fmt.Sprintf(what, s.Name) + " was stopped by " + whoMention(s.By) + ": " + s.Reason
}

func whoMention(by string) string {
	if isPerson(by) {
		return "<@" + by + ">"
	}
	return by
}

// StopError is the cause with which an action under way is cancelled.
type StopError struct {
	Reason string
	All    bool // the agent does nothing at all
}

func (e *StopError) Error() string { return e.Reason }

// flights are the actions of this process that are between intent and outcome.
type flights struct {
	mu  sync.Mutex
	all map[string]flight
}

type flight struct {
	action Action
	cancel context.CancelCauseFunc
}

// fly makes a context for an effect that a stop can end.
func (f *flights) fly(ctx context.Context, a Action) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	key := a.Workspace + " " + a.Key
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[key] = flight{a, cancel}
	return ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.all, key)
		cancel(nil)
	}
}

func (f *flights) list() []flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]flight, 0, len(f.all))
	for _, x := range f.all {
		all = append(all, x)
	}
	return all
}

// Recheck cancels what is under way in this process and has been stopped since it
// began. Watch calls it; whoever stops something in this process does so at once.
func (g *Gate) Recheck(ctx context.Context) error {
	under := g.flights.list()
	if len(under) == 0 {
		return nil
	}
	type state struct {
		agent Agent
		stops []Stop
	}
	now := map[string]state{}
	for _, f := range under {
		w := f.action.Workspace
		s, known := now[w]
		if !known {
			err := g.db.Read(ctx, func(tx *migrations.Tx) error {
				var err error
				if s.agent, err = loadAgent(tx, w); err != nil {
					return err
				}
				s.stops, err = loadStops(tx, w)
				return err
			})
			if err != nil {
				return fmt.Errorf("look at stops of %s: %w", w, err)
			}
			now[w] = s
		}
		if why := blocked(f.action, s.agent, s.stops); why != "" {
			f.cancel(&StopError{why, s.agent.State != StateActive})
		}
	}
	return nil
}

// blocked says why an action may not be done at present, "" if it may.
func blocked(a Action, agent Agent, stops []Stop) string {
	if agent.State != StateActive && !(a.Notice && agent.State == StateSuspended) {
		why := "the agent was " + agent.State + " by " + whoMention(agent.ChangedBy)
		if agent.Reason != "" {
			why += ": " + agent.Reason
		}
		return why
	}
	for _, s := range stops {
		if s.covers(a) {
			return s.words()
		}
	}
	return ""
}

// stopPeriod is how often Watch looks for stops that another process has set.
const stopPeriod = 200 * time.Millisecond

// Watch has stops of other processes take effect on what is under way here, until
// ctx ends. What is not yet under way meets them at the gate. A store that cannot
// be read for long cancels everything: nobody knows what is still wanted.
func (g *Gate) Watch(ctx context.Context) error {
	tick := time.NewTicker(stopPeriod)
	defer tick.Stop()
	var blind time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := g.Recheck(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			blind = time.Time{}
		case blind.IsZero():
			blind = time.Now()
		case time.Since(blind) > 5*time.Second:
			for _, f := range g.flights.list() {
				f.cancel(&StopError{Reason: "it could not be seen whether this is still wanted: " + err.Error()})
			}
		}
	}
}

// UnderWay are the actions that have an intent and no outcome, and those of keys
// that were such before; for telling what a stop met.
func (g *Gate) UnderWay(ctx context.Context, workspace string, keys []string) ([]Under, error) {
	var all []Under
	err := g.db.Read(ctx, func(tx *migrations.Tx) error {
		all = nil
		read := func(where string, args ...any) error {
			rows, err := tx.Query(`SELECT key, tool, channel, requester, state FROM actions WHERE workspace = $1 AND `+where, args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var u Under
				if err := rows.Scan(&u.Key, &u.Tool, &u.Channel, &u.Requester, &u.State); err != nil {
					return err
				}
				all = append(all, u)
			}
			return rows.Err()
		}
		if keys == nil {
			return read(`state = 'intended' ORDER BY intent_seq`, workspace)
		}
		for _, k := range keys {
			if err := read(`key = $2`, workspace, k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list what is under way in %s: %w", workspace, err)
	}
	return all, nil
}

// Settled waits, at most for the given time, until what was under way at a stop
// has an outcome, and tells what is known of each.
func (g *Gate) Settled(ctx context.Context, workspace string, under []Under, most time.Duration) ([]Under, error) {
	keys := []string{}
	for _, u := range under {
		keys = append(keys, u.Key)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := g.UnderWay(context.WithoutCancel(ctx), workspace, keys)
		if err != nil {
			return under, err
		}
		if !slices.ContainsFunc(now, func(u Under) bool { return u.State == stateIntended }) {
			return now, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return now, nil
		}
	}
}

// UnderWords says what is known of an action that a stop met.
func UnderWords(state string) string {
	switch state {
	case "done":
		return "it took effect before it could be stopped"
	case "cancelled", "denied":
		return "confirmed: nothing happened"
	case "failed":
		return "it failed, nothing happened"
	case "unknown":
		return "NOT CONFIRMED: nobody can tell whether it took effect; please check"
	}
	return "not settled yet: a server that is running will record it"
}
