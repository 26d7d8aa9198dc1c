package handoff

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"deskmate/migrations"
)

// Answer is what the new owner says to an offer, or who takes it back. It is the
// authenticated act of a human, never a model's.
type Answer struct {
	Workspace, ID string
	Who           Person
	Items         []Ref  // nil: all that are offered
	Rest          bool   // of Accept: what is not in Items is declined
	Reason        string // why it is declined
	Via           string // button, form, command, cli
	// Hidden are items that the new owner may not see (any more), and why.
	Hidden map[Ref]string
	// Move tells where a duty that reports to the direct message of its old owner
	// reports from now on: the channel of the new owner's direct message.
	Move string
}

// Accept makes the new owner the owner of the items, all in one transaction. What
// has ended or has another owner meanwhile is left as it is and marked as gone.
func (s *Handoffs) Accept(ctx context.Context, a Answer) (Handoff, error) {
	return s.answer(ctx, a, "handoff.accepted", func(tx *migrations.Tx, h *Handoff) ([]Item, error) {
		if a.Who.ID != h.To {
			return nil, refused("Only <@%s> can accept this: it was offered to them.", h.To)
		}
		if !a.Who.Member {
			return nil, refused("You cannot take it: an owner is an active full member of this workspace.")
		}
		var taken, rest []Item
		for n := range h.Items {
			i := &h.Items[n]
			if i.State != StateOffered {
				continue
			}
			if !a.means(i.Ref) {
				if a.Rest {
					i.State, i.Why = StateDeclined, a.Reason
					rest = append(rest, *i)
				}
				continue
			}
			owner, err := s.owner(tx, h.Workspace, i.Ref)
			switch {
			case errors.Is(err, ErrNone):
				i.State, i.Why = StateGone, "it has ended"
			case err != nil:
				return nil, err
			case owner != i.Owner:
				i.State, i.Why = StateGone, "it has another owner by now: <@"+owner+">"
			case a.Hidden[i.Ref] != "":
				i.State, i.Why = StateDeclined, a.Hidden[i.Ref]
			default:
				if err := s.take(tx, *h, i.Ref, a); err != nil {
					return nil, err
				}
				i.State = StateAccepted
				taken = append(taken, *i)
			}
		}
		if len(rest) > 0 {
			if err := s.record(tx, *h, "handoff.declined", a.Who.ID, rest, map[string]string{"via": a.Via, "why": a.Reason}); err != nil {
				return nil, err
			}
		}
		return taken, nil
	})
}

// take makes the new owner the owner of one item; what was paused because nobody
// was there runs again.
func (s *Handoffs) take(tx *migrations.Tx, h Handoff, r Ref, a Answer) error {
	if err := s.give(tx, h.Workspace, r, h.To, a.Who.ID, "handoff "+h.ID); err != nil {
		return err
	}
	if r.Kind == KindDuty {
		d, err := s.Duties.GetTx(tx, r.ID)
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Channel, "D") && a.Move != "" {
			if _, err := s.Duties.Move(tx, r.ID, a.Move, "im", a.Who.ID); err != nil {
				return err
			}
		}
		if err := s.releaseOwner(tx, r.ID, a.Who.ID); err != nil {
			return err
		}
	}
	return s.settleItem(tx, h.Workspace, r, a.Who.ID, "taken by <@"+h.To+">")
}

// Decline leaves the items with their owner, who is asked again.
func (s *Handoffs) Decline(ctx context.Context, a Answer) (Handoff, error) {
	return s.answer(ctx, a, "handoff.declined", func(_ *migrations.Tx, h *Handoff) ([]Item, error) {
		if a.Who.ID != h.To {
			return nil, refused("Only <@%s> can decline this: it was offered to them. Who offered it can take it back: `/deskmate handoff withdraw %s`.", h.To, h.ID)
		}
		return h.end(a, StateDeclined), nil
	})
}

// Withdraw takes an offer back.
func (s *Handoffs) Withdraw(ctx context.Context, a Answer) (Handoff, error) {
	return s.answer(ctx, a, "handoff.withdrawn", func(_ *migrations.Tx, h *Handoff) ([]Item, error) {
		if a.Who.ID != h.From && a.Who.ID != h.AskedBy && !a.Who.Governs && !a.Who.Operator {
			return nil, refused("Only <@%s>, who asked for it, my sponsor or an admin of the workspace can take this offer back.", h.From)
		}
		return h.end(a, StateWithdrawn), nil
	})
}

func (a Answer) means(r Ref) bool { return a.Items == nil || slices.Contains(a.Items, r) }

// end gives the items that the answer means a state, and returns them.
func (h *Handoff) end(a Answer, state string) []Item {
	var all []Item
	for n := range h.Items {
		if i := &h.Items[n]; i.State == StateOffered && a.means(i.Ref) {
			i.State, i.Why = state, a.Reason
			all = append(all, *i)
		}
	}
	return all
}

// answer changes one handoff, records it and tells its people. The change gives
// the items that it is about.
func (s *Handoffs) answer(ctx context.Context, a Answer, kind string, change func(tx *migrations.Tx, h *Handoff) ([]Item, error)) (Handoff, error) {
	var h Handoff
	var no *RefusedError
	err := s.DB.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		no = nil
		if h, err = loadHandoff(tx, a.Workspace, a.ID); err != nil {
			return err
		}
		items, err := []Item(nil), error(nil)
		if h.State != StateOffered {
			err = refused("This handoff is over: it is %s.", h.State)
		} else {
			items, err = change(tx, &h)
		}
		if errors.As(err, &no) { // a press that does not count is on record too
			return s.record(tx, h, "handoff.refused", a.Who.ID, nil, map[string]string{"via": a.Via, "asked": kind, "why": no.Text})
		}
		if err != nil {
			return err
		}
		h.settle(tx)
		if err := s.save(tx, h); err != nil {
			return err
		}
		if len(items) > 0 {
			if err := s.record(tx, h, kind, a.Who.ID, items, map[string]string{"via": a.Via, "why": a.Reason}); err != nil {
				return err
			}
		}
		if err := s.back(tx, h, a.Who.ID); err != nil {
			return err
		}
		what := ToldAnswered
		if h.State == StateWithdrawn {
			what = ToldWithdrawn
		}
		return s.tell(tx, h, what)
	})
	if err != nil {
		return Handoff{}, fmt.Errorf("answer handoff %s: %w", a.ID, err)
	}
	if no != nil {
		return h, no
	}
	return h, nil
}

// settle says what a handoff is after an answer to some of its items.
func (h *Handoff) settle(tx *migrations.Tx) {
	if h.Count(StateOffered) > 0 {
		return
	}
	h.EndedAt = tx.Now()
	for _, state := range []string{StateAccepted, StateDeclined, StateWithdrawn, StateExpired} {
		if h.Count(state, StateGone) == len(h.Items) && h.Count(state) > 0 {
			h.State = state
			return
		}
	}
	if h.State = StateDeclined; h.Count(StateAccepted) > 0 {
		h.State = StatePart
	} else if h.Count(StateGone) == len(h.Items) {
		h.State = StateWithdrawn
	}
}

func (s *Handoffs) tell(tx *migrations.Tx, h Handoff, what string) error {
	if s.Told == nil {
		return nil
	}
	return s.Told(tx, h, what)
}
