package handoff

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// Handle looks after one handoff, plan or lapse: it shows an offer, reminds of it,
// ends it, and does what the day of a plan brings. It is the task handler of kind
// "handoff".
func (s *Handoffs) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	id := strings.TrimPrefix(lease.Key, TaskHandoff+":")
	var again time.Time
	var err error
	switch {
	case strings.HasPrefix(id, "p_"):
		again, err = s.followPlan(ctx, lease, id)
	case strings.HasPrefix(id, "l_"):
		again, err = s.followLapse(ctx, lease, id)
	default:
		again, err = s.followOffer(ctx, lease, id)
	}
	if errors.Is(err, ErrNone) {
		return task.Result{}, nil
	}
	if err != nil {
		return task.Result{}, fmt.Errorf("look after handoff %s: %w", id, err)
	}
	return task.Result{Again: again}, nil
}

// followLapse asks people about a lapse that is new, and reminds them.
func (s *Handoffs) followLapse(ctx context.Context, lease *task.Lease, id string) (again time.Time, err error) {
	l, err := s.Lapse(ctx, lease.Workspace, id)
	if err != nil || l.State != "open" {
		return again, err
	}
	seen := map[Ref][]string{}
	if l.shown.IsZero() && s.Sees != nil {
		var refs []Ref
		for _, i := range l.Items {
			refs = append(refs, i.Ref)
		}
		for _, p := range l.Asked {
			sees, err := s.Sees(ctx, l.Workspace, p, refs)
			if err != nil {
				return again, err
			}
			for r, ok := range sees {
				if ok {
					seen[r] = append(seen[r], p)
				}
			}
		}
	}
	err = s.DB.Write(ctx, func(tx *migrations.Tx) error {
		again = time.Time{}
		if err := lease.Guard(tx); err != nil {
			return err
		}
		l, err := loadLapse(tx, lease.Workspace, id)
		if err != nil || l.State != "open" {
			return err
		}
		if l.shown.IsZero() {
			return s.askFirst(tx, l, seen, &again)
		}
		again, err = s.remind(tx, l)
		return err
	})
	return again, err
}

// askFirst asks about a lapse and notes who may see which of its items.
func (s *Handoffs) askFirst(tx *migrations.Tx, l Lapse, seen map[Ref][]string, again *time.Time) error {
	for n := range l.Items {
		i := &l.Items[n]
		i.seen = seen[i.Ref]
		if _, err := tx.Exec(`UPDATE lapse_items SET seen = $1 WHERE lapse = $2 AND n = $3`, strings.Join(i.seen, ","), l.ID, n); err != nil {
			return fmt.Errorf("note who sees items of %s: %w", l.ID, err)
		}
	}
	l.shown, *again = tx.Now(), l.CreatedAt.Add(lapseReminders[0])
	if _, err := tx.Exec(`UPDATE lapses SET shown_at = $1 WHERE id = $2`, migrations.Micros(l.shown), l.ID); err != nil {
		return fmt.Errorf("note that people are asked: %w", err)
	}
	return s.ask(tx, l, LapseAsked)
}

func (s *Handoffs) followPlan(ctx context.Context, lease *task.Lease, id string) (again time.Time, err error) {
	p, err := s.Plan(ctx, lease.Workspace, id)
	if err != nil || p.State != PlanConfirmed {
		return again, err
	}
	owned, err := s.Owned(ctx, p.Workspace, p.Person)
	if err != nil {
		return again, err
	}
	var sponsors []string
	err = s.DB.Read(ctx, func(tx *migrations.Tx) error {
		sponsors, err = s.keepers(tx, p.Workspace, p.Person)
		return err
	})
	if err != nil {
		return again, err
	}
	hidden := map[Ref]string{}
	if s.Hidden != nil && len(sponsors) > 0 && !s.DB.Now().Before(p.LeavesAt) {
		if hidden, err = s.Hidden(ctx, p.Workspace, sponsors[0], owned); err != nil {
			return again, err
		}
	}
	err = s.DB.Write(ctx, func(tx *migrations.Tx) error {
		again = time.Time{}
		if err := lease.Guard(tx); err != nil {
			return err
		}
		if tx.Now().Before(p.LeavesAt) {
			again = p.LeavesAt
			return nil
		}
		if p, err = loadPlan(tx, lease.Workspace, id); err != nil || p.State != PlanConfirmed {
			return err
		}
		return s.day(tx, p, func(keeper string) map[Ref]string {
			if keeper == sponsors[0] {
				return hidden
			}
			all := map[Ref]string{} // another by now: nothing is known of what they may see
			for _, r := range owned {
				all[r] = "not looked up"
			}
			return all
		})
	})
	return again, err
}

// followOffer shows an offer that is new, and reminds of or ends one that waits.
func (s *Handoffs) followOffer(ctx context.Context, lease *task.Lease, id string) (again time.Time, err error) {
	h, err := s.Get(ctx, lease.Workspace, id)
	if err != nil || h.State != StateOffered {
		return again, err
	}
	var show Presenting
	if h.ShownAt.IsZero() && s.Present != nil {
		if show, err = s.Present(ctx, h); err != nil {
			return again, err
		}
	}
	err = s.DB.Write(ctx, func(tx *migrations.Tx) error {
		again = time.Time{}
		if err := lease.Guard(tx); err != nil {
			return err
		}
		h, err := loadHandoff(tx, lease.Workspace, id)
		if err != nil || h.State != StateOffered {
			return err
		}
		if !tx.Now().Before(h.ExpiresAt) {
			return s.expire(tx, h, CauseWords(CauseExpired, h.To))
		}
		if h.ShownAt.IsZero() && show.Queue != nil {
			if h, err = s.shown(tx, h, show); err != nil || h.State != StateOffered {
				return err
			}
		}
		again = h.ExpiresAt
		due := int64(0)
		for _, after := range reminders {
			switch at := h.CreatedAt.Add(after); {
			case !tx.Now().Before(at):
				due++
			case at.Before(again):
				again = at
			}
		}
		if due <= h.reminded {
			return nil
		}
		h.reminded = due
		if err := s.save(tx, h); err != nil {
			return err
		}
		if err := s.record(tx, h, "handoff.reminded", "system", h.Of(StateOffered), nil); err != nil {
			return err
		}
		return s.tell(tx, h, ToldReminder)
	})
	return again, err
}

// shown notes what the new owner is shown. Items that they turn out not to be
// allowed to have go back.
func (s *Handoffs) shown(tx *migrations.Tx, h Handoff, show Presenting) (Handoff, error) {
	h.ShownAt = tx.Now()
	var back []Item
	for n := range h.Items {
		i := &h.Items[n]
		if i.State != StateOffered {
			continue
		}
		if why := show.Hidden[i.Ref]; why != "" {
			i.State, i.Why = StateDeclined, why
			h.LeftOut++
			back = append(back, *i)
			continue
		}
		got := show.Items[i.Ref]
		i.Brief, i.Label, i.LeftOut = got.Brief, got.Label, got.LeftOut
	}
	h.settle(tx)
	if err := s.save(tx, h); err != nil {
		return h, err
	}
	if len(back) > 0 {
		if err := s.record(tx, h, "handoff.declined", "system", back, map[string]string{"via": "check"}); err != nil {
			return h, err
		}
	}
	if h.State != StateOffered {
		if err := s.back(tx, h, "system"); err != nil {
			return h, err
		}
		return h, s.tell(tx, h, ToldAnswered)
	}
	if err := s.record(tx, h, "handoff.shown", "system", h.Of(StateOffered), nil); err != nil {
		return h, err
	}
	if err := show.Queue(tx, h); err != nil {
		return h, err
	}
	return h, s.tell(tx, h, ToldOffered)
}

// expire ends an offer that nobody can or did answer.
func (s *Handoffs) expire(tx *migrations.Tx, h Handoff, why string) error {
	items := h.end(Answer{Reason: why}, StateExpired)
	h.settle(tx)
	if err := s.save(tx, h); err != nil {
		return err
	}
	if err := s.record(tx, h, "handoff.expired", "system", items, map[string]string{"why": why}); err != nil {
		return err
	}
	if err := s.back(tx, h, "system"); err != nil {
		return err
	}
	return s.tell(tx, h, ToldExpired)
}

// back has people asked again about what a handoff that has ended did not find a
// new owner for.
func (s *Handoffs) back(tx *migrations.Tx, h Handoff, by string) error {
	if h.EndedAt.IsZero() {
		return nil
	}
	for _, cause := range []struct{ state, cause string }{{StateDeclined, CauseDeclined}, {StateExpired, CauseExpired}} {
		var refs []Ref
		var asked []string
		for _, i := range h.Of(cause.state) {
			refs = append(refs, i.Ref)
			for _, p := range []string{i.Owner, h.AskedBy} {
				there, err := isMember(tx, h.Workspace, p)
				if err != nil {
					return err
				}
				if there && !slices.Contains(asked, p) {
					asked = append(asked, p)
				}
			}
		}
		if len(refs) == 0 {
			continue
		}
		if len(asked) == 0 {
			var err error
			if asked, err = s.Sponsors(tx, h.Workspace); err != nil {
				return err
			}
		}
		if _, err := s.LapseTx(tx, h.Workspace, cause.cause, h.To, asked, refs, nil); err != nil {
			return err
		}
	}
	return nil
}

// isMember reports whether somebody is known as an active full member.
func isMember(tx *migrations.Tx, workspace, person string) (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT COUNT(*) FROM people WHERE workspace = $1 AND id = $2 AND kind = 'member' AND is_deleted = 0`, workspace, person).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", person, err)
	}
	return n > 0, nil
}
