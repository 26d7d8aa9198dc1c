package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"deskmate/migrations"
)

// Plan is what would make the duties of a workspace those of a file.
type Plan struct {
	Workspace string       `json:"workspace"`
	Add       []PlannedAdd `json:"add,omitempty"`
	Change    []Planned    `json:"change,omitempty"`
	Remove    []Duty       `json:"remove,omitempty"` // only if it was asked for
	Left      []Duty       `json:"left,omitempty"`   // not in the file, and staying
}

// PlannedAdd is a duty to make, by its name in the file.
type PlannedAdd struct {
	Name string `json:"name"`
	Duty Duty   `json:"duty"`
}

// Planned is a duty to change.
type Planned struct {
	Was         Duty     `json:"was"`
	To          Duty     `json:"to"`
	Differences []string `json:"differences"` // "field: was → is"
}

// Empty reports whether there is nothing to change.
func (p Plan) Empty() bool { return len(p.Add)+len(p.Change)+len(p.Remove) == 0 }

// Text is the plan for people.
func (p Plan) Text() string {
	var b strings.Builder
	for _, a := range p.Add {
		fmt.Fprintf(&b, "+ %s: %s, %s, in %s, owner %s\n", a.Name, a.Duty.Title, a.Duty.when(), a.Duty.Channel, a.Duty.Owner)
	}
	for _, c := range p.Change {
		fmt.Fprintf(&b, "~ %s: %s\n", c.Was.ID, c.Was.Title)
		for _, d := range c.Differences {
			fmt.Fprintf(&b, "    %s\n", d)
		}
	}
	for _, d := range p.Remove {
		fmt.Fprintf(&b, "- %s: %s, %s, in %s, owner %s\n", d.ID, d.Title, d.When, d.Channel, d.Owner)
	}
	if p.Empty() {
		b.WriteString("Nothing to change.\n")
	}
	for _, d := range p.Left {
		fmt.Fprintf(&b, "  %s is not in the file and stays: %s (--prune deletes such)\n", d.ID, d.Title)
	}
	return b.String()
}

// Lookup gives the id and kind of a channel, the id of a person and their time
// zone ("" where it is not known), as a file calls them.
type Lookup struct {
	Channel func(called string) (id, kind string, err error)
	Person  func(called string) (id, zone string, err error)
}

// MakePlan compares a file with the duties that there are. prune has those deleted
// that are not in the file. What is wrong with the file is a *StateError.
func (s *Scheduler) MakePlan(ctx context.Context, workspace string, file State, look Lookup, prune bool) (Plan, error) {
	p := Plan{Workspace: workspace}
	var there []Duty
	var names map[string]string
	ended := map[string]bool{}
	err := s.db.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		if there, names, err = standing(tx, workspace); err != nil {
			return err
		}
		for _, e := range file.Duties {
			var state string
			err := tx.QueryRow(`SELECT COALESCE(MAX(state), '') FROM duties WHERE workspace = $1 AND (id = $2 OR request = $3)`, workspace, e.ID, byFile+e.Name).Scan(&state)
			if err != nil {
				return fmt.Errorf("look up duty %s: %w", e.ID, err)
			}
			ended[e.ID+" "+e.Name] = state == StateDone
		}
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("compare duties: %w", err)
	}
	var found []Problem
	inFile := map[string]bool{}
	for _, e := range file.Duties {
		add := func(format string, args ...any) { found = append(found, Problem{e.line, fmt.Sprintf(format, args...)}) }
		i := slices.IndexFunc(there, func(d Duty) bool { return d.ID == e.ID || e.ID == "" && names[d.ID] == e.Name })
		switch {
		case i < 0 && ended[e.ID+" "+e.Name]:
			continue // a single one that has run is no news
		case i < 0 && e.ID != "":
			add("there is no duty %s here; for a new one leave the id out and give a name", e.ID)
			continue
		case i >= 0 && e.ID != "" && e.Name != "" && names[e.ID] != e.Name:
			add("%s has no name %s; leave the name out", e.ID, e.Name)
			continue
		case i >= 0 && there[i].Unconfirmed():
			add("%s waits to be confirmed by its owner", there[i].ID)
			continue
		}
		to := Duty{Workspace: workspace, Kind: e.Kind, State: StateActive}
		if i >= 0 {
			to = there[i]
			inFile[to.ID] = true
		}
		if err := s.planned(e, &to, look); err != nil {
			add("%s", err)
			continue
		}
		if i < 0 {
			p.Add = append(p.Add, PlannedAdd{e.Name, to})
		} else if diff := differences(there[i].entry(""), to.entry("")); len(diff) > 0 {
			p.Change = append(p.Change, Planned{there[i], to, diff})
		}
	}
	if len(found) > 0 {
		return Plan{}, &StateError{found}
	}
	for _, d := range there {
		switch {
		case inFile[d.ID] || d.Unconfirmed():
		case prune:
			p.Remove = append(p.Remove, d)
		default:
			p.Left = append(p.Left, d)
		}
	}
	return p, nil
}

// planned makes d what an entry of a file says.
func (s *Scheduler) planned(e Entry, d *Duty, look Lookup) error {
	if e.Kind != "" && e.Kind != d.Kind {
		return fmt.Errorf("a duty of kind %s cannot become one of kind %s; make another", d.Kind, e.Kind)
	}
	owner, zone, err := look.Person(e.Owner)
	if err != nil {
		return err
	}
	d.Owner = owner
	if e.Zone == "" {
		e.Zone = zone
	}
	if e.Channel != d.Channel {
		if d.Channel, d.ChannelKind, err = look.Channel(e.Channel); err != nil {
			return err
		}
	}
	now := s.db.Now()
	if err := e.apply(d, now); err != nil {
		return err
	}
	switch until := e.PausedUntil; {
	case !e.Paused && !until.IsZero():
		return errors.New("paused_until is only for one that is paused: true")
	case !e.Paused:
		d.State, d.PausedUntil, d.PausedWhy = StateActive, until, ""
	case !until.IsZero() && !until.After(now) && !until.Equal(d.PausedUntil):
		return errors.New("paused_until is in the past")
	default:
		d.State, d.PausedUntil = StatePaused, until
	}
	if d.Kind == "" {
		n, err := d.New().duty()
		if err != nil {
			return err
		}
		d.Kind = n.Kind
	}
	if err := d.check(); err != nil {
		return err
	}
	d.When = d.when()
	return nil
}

// Apply does what a plan says, all of it or nothing, as the change of by. A duty
// that has changed since the plan was made is an error.
func (s *Scheduler) Apply(ctx context.Context, by string, p Plan) error {
	err := s.db.Write(ctx, func(tx *migrations.Tx) error {
		for _, d := range p.Remove {
			if err := unchanged(tx, d); err != nil {
				return err
			}
			if _, err := s.DeleteTx(tx, d.ID, by, "it is not in the file"); err != nil {
				return err
			}
		}
		for _, c := range p.Change {
			if err := unchanged(tx, c.Was); err != nil {
				return err
			}
			if err := s.applyChange(tx, by, c); err != nil {
				return err
			}
		}
		for _, a := range p.Add {
			if err := s.applyAdd(tx, by, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("apply duties: %w; nothing was changed", err)
	}
	return nil
}

func unchanged(tx *migrations.Tx, was Duty) error {
	d, err := load(tx, was.ID)
	if err != nil {
		return fmt.Errorf("%s: %w", was.ID, err)
	}
	if diff := differences(was.entry(""), d.entry("")); len(diff) > 0 {
		return fmt.Errorf("%s has changed since the plan was made (%s): make the plan anew", was.ID, strings.Join(diff, "; "))
	}
	return nil
}

func (s *Scheduler) applyChange(tx *migrations.Tx, by string, c Planned) error {
	d, err := s.EditTx(tx, c.Was.ID, by, func(d *Duty) error { d.Become(c.To); return nil })
	if err != nil {
		return err
	}
	if c.To.Owner != d.Owner {
		if d, err = s.Assign(tx, d.ID, c.To.Owner, by, "it is so in the file"); err != nil {
			return err
		}
	}
	return s.applyPause(tx, by, d, c.To)
}

func (s *Scheduler) applyPause(tx *migrations.Tx, by string, d, to Duty) error {
	if to.State == d.State && to.PausedUntil.Equal(d.PausedUntil) {
		return nil
	}
	what, alter := "resumed", resume
	if to.State == StatePaused {
		what, alter = "paused", func(tx *migrations.Tx, d *Duty) error { return pause(tx, d, to.PausedUntil, "") }
	}
	_, err := s.changeTx(tx, d.ID, by, what, nil, alter)
	return err
}

func (s *Scheduler) applyAdd(tx *migrations.Tx, by string, a PlannedAdd) error {
	request := byFile + a.Name
	// A name stands for one duty that there is; one that has ended gives it up.
	if _, err := tx.Exec(`UPDATE duties SET request = NULL WHERE workspace = $1 AND request = $2 AND state IN ('deleted', 'done')`, a.Duty.Workspace, request); err != nil {
		return fmt.Errorf("free the name %s: %w", a.Name, err)
	}
	n := a.Duty.New()
	n.Request, n.CreatedBy = request, by
	d, err := s.CreateTx(tx, n)
	if err != nil {
		return fmt.Errorf("%s: %w", a.Name, err)
	}
	return s.applyPause(tx, by, d, a.Duty)
}
