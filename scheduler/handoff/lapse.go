package handoff

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/migrations"
	"deskmate/scheduler"
)

// Causes of a lapse.
const (
	CauseGone     = "owner-gone"       // the owner is deactivated
	CauseGuest    = "owner-guest"      // the owner is no full member any more
	CauseLeft     = "owner-left"       // the owner cannot see the place any more
	CauseAway     = "owner-away"       // the day of a plan has come
	CauseDeclined = "declined"         // whom it was offered to does not take it
	CauseExpired  = "expired"          // whom it was offered to did not answer
	CauseArchived = "channel-archived" //
	CauseDeleted  = "channel-gone"     // deleted, or hidden from the agent
	CauseRemoved  = "agent-removed"    // the agent is not in the channel any more
)

// ownerCauses end with a new owner: a duty that was paused for one runs again.
var ownerCauses = []string{CauseGone, CauseGuest, CauseLeft, CauseAway}

// causeWords say a cause, for people; %s is the person or channel.
var causeWords = []struct{ cause, words string }{
	{CauseGone, "its owner <@%s> is deactivated"},
	{CauseGuest, "its owner <@%s> is no full member of the workspace any more"},
	{CauseLeft, "its owner <@%s> cannot see its channel any more"},
	{CauseAway, "its owner <@%s> has left"},
	{CauseDeclined, "<@%s> did not take it"},
	{CauseExpired, "<@%s> did not answer in time"},
	{CauseArchived, "its channel <#%s> is archived"},
	{CauseDeleted, "its channel <#%s> is deleted, or hidden from me"},
	{CauseRemoved, "I am not in its channel <#%s> any more"},
}

// CauseWords say why work has lapsed, for people.
func CauseWords(cause, about string) string {
	for _, c := range causeWords {
		if c.cause == cause {
			return fmt.Sprintf(c.words, about)
		}
	}
	return cause
}

// causeOf is the cause for which the agent paused a duty, "" if it did not.
func causeOf(why string) string {
	for _, c := range causeWords {
		before, after, _ := strings.Cut(c.words, "%s")
		if strings.HasPrefix(why, before) && strings.HasSuffix(why, after) {
			return c.cause
		}
	}
	return ""
}

// What people are told of a lapse.
const (
	LapseAsked    = "asked"
	LapseReminder = "reminder"
	LapseSettled  = "settled"
)

// lapseReminders are the times after which people are reminded of a lapse; from
// the last on, that often.
var lapseReminders = []time.Duration{24 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour}

// Lapse is work whose owner or place is gone, and which waits for a human to say
// what becomes of it. Meanwhile its owner, or else the sponsor, keeps it.
type Lapse struct {
	ID        string      `json:"id"`
	Workspace string      `json:"workspace"`
	Cause     string      `json:"cause"`
	About     string      `json:"about"`           // the person or channel
	Asked     []string    `json:"asked,omitempty"` // who is asked; nobody: the admins
	State     string      `json:"state"`           // open, settled
	CreatedAt time.Time   `json:"created_at"`
	EndedAt   time.Time   `json:"ended_at,omitzero"`
	EndedBy   string      `json:"ended_by,omitempty"`
	EndedHow  string      `json:"ended_how,omitempty"`
	Items     []LapseItem `json:"items"`

	shown    time.Time
	reminded int64
}

// LapseItem is one duty or thread of a lapse.
type LapseItem struct {
	Ref
	Owner string `json:"owner"` // who keeps it meanwhile
	Held  bool   `json:"held"`  // the duty was paused for it
	Open  bool   `json:"open"`

	seen []string
}

// SeenBy reports whether it was looked up that a person who is asked may see the
// item.
func (i LapseItem) SeenBy(person string) bool { return slices.Contains(i.seen, person) }

// Reminded is how often people were reminded of the lapse.
func (l Lapse) Reminded() int64 { return l.reminded }

// Open are the items that still wait.
func (l Lapse) Open() []LapseItem {
	return slices.DeleteFunc(slices.Clone(l.Items), func(i LapseItem) bool { return !i.Open })
}

// Words say why, for people.
func (l Lapse) Words() string { return CauseWords(l.Cause, l.About) }

// OfPlace reports that the place is gone, not the owner.
func (l Lapse) OfPlace() bool {
	return slices.Contains([]string{CauseArchived, CauseDeleted, CauseRemoved}, l.Cause)
}

// LapseTx has people asked what becomes of work. Items that wait in another lapse
// already are left out; if none remains, nobody is asked and the lapse has no id.
// Those in hold are paused meanwhile.
func (s *Handoffs) LapseTx(tx *migrations.Tx, workspace, cause, about string, asked []string, items []Ref, hold func(Ref) bool) (Lapse, error) {
	l := Lapse{ID: migrations.NewID("l_"), Workspace: workspace, Cause: cause, About: about, Asked: asked, State: "open", CreatedAt: tx.Now()}
	why := CauseWords(cause, about)
	for _, r := range items {
		var n int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM lapse_items WHERE kind = $1 AND item = $2 AND open = 1`, r.Kind, r.ID).Scan(&n); err != nil {
			return l, fmt.Errorf("look for a lapse of %s: %w", r.ID, err)
		}
		owner, err := s.owner(tx, workspace, r)
		if errors.Is(err, ErrNone) || n > 0 {
			continue
		}
		if err != nil {
			return l, err
		}
		held := false
		if r.Kind == KindDuty && hold != nil && hold(r) {
			if held, err = s.hold(tx, r.ID, why); err != nil {
				return l, err
			}
		}
		l.Items = append(l.Items, LapseItem{Ref: r, Owner: owner, Held: held, Open: true})
	}
	if len(l.Items) == 0 {
		return Lapse{}, nil
	}
	_, err := tx.Exec(`INSERT INTO lapses (id, workspace, cause, about, asked, state, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		l.ID, workspace, cause, about, strings.Join(asked, ","), l.State, migrations.Micros(l.CreatedAt))
	if err != nil {
		return l, fmt.Errorf("store lapse: %w", err)
	}
	for n, i := range l.Items {
		if _, err := tx.Exec(`INSERT INTO lapse_items (lapse, n, kind, item, owner, held) VALUES ($1, $2, $3, $4, $5, $6)`, l.ID, n, i.Kind, i.ID, i.Owner, i.Held); err != nil {
			return l, fmt.Errorf("store item of lapse: %w", err)
		}
	}
	if err := s.recordLapse(tx, l, "handoff.lapsed", "system", l.Items, map[string]string{"asked": strings.Join(asked, " ")}); err != nil {
		return l, err
	}
	return l, wake(tx, workspace, l.ID, tx.Now())
}

// hold pauses a duty and reports whether it is paused for that now; a human's
// pause stays what it is.
func (s *Handoffs) hold(tx *migrations.Tx, duty, why string) (bool, error) {
	d, err := s.Duties.Hold(tx, duty, "system", time.Time{}, why)
	return err == nil && d.State == scheduler.StatePaused && d.PausedWhy == why, err
}

// OwnerGone has the sponsor keep what somebody owned who is gone, with its duties
// paused, and asks them. Offers to that person end; their own stand.
func (s *Handoffs) OwnerGone(ctx context.Context, workspace, person, cause string) error {
	err := s.DB.Write(ctx, func(tx *migrations.Tx) error {
		return s.leave(tx, workspace, person, cause, func(Ref) bool { return true })
	})
	if err != nil {
		return fmt.Errorf("look after what %s owned: %w", person, err)
	}
	return nil
}

// leave gives everything of a person to the sponsor. Those in hold are paused.
func (s *Handoffs) leave(tx *migrations.Tx, workspace, person, cause string, hold func(Ref) bool) error {
	owned, err := s.OwnedTx(tx, workspace, person)
	if err != nil {
		return err
	}
	keepers, err := s.keepers(tx, workspace, person)
	if err != nil {
		return err
	}
	why := CauseWords(cause, person)
	var asking []Ref
	for _, r := range owned {
		if len(keepers) > 0 {
			if err := s.give(tx, workspace, r, keepers[0], "system", why); err != nil {
				return err
			}
			if r.Kind == KindThread {
				if err := s.recordThread(tx, workspace, r, person, keepers[0], why); err != nil {
					return err
				}
			}
		}
		waits, err := s.keep(tx, r, keepers)
		if err != nil {
			return err
		}
		if !waits {
			asking = append(asking, r)
		} else if r.Kind == KindDuty && hold(r) {
			held, err := s.hold(tx, r.ID, why)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`UPDATE lapse_items SET held = $1 WHERE kind = $2 AND item = $3 AND open = 1`, held, r.Kind, r.ID); err != nil {
				return fmt.Errorf("hold %s: %w", r.ID, err)
			}
		}
	}
	if err := s.askOthers(tx, workspace, person, keepers); err != nil {
		return err
	}
	if _, err := s.LapseTx(tx, workspace, cause, person, keepers, asking, hold); err != nil {
		return err
	}
	if cause == CauseAway {
		return nil
	}
	return s.endOffersTo(tx, workspace, person, why)
}

// keepers are the sponsors who are there, without one person.
func (s *Handoffs) keepers(tx *migrations.Tx, workspace, without string) ([]string, error) {
	all, err := s.Sponsors(tx, workspace)
	return slices.DeleteFunc(slices.Clone(all), func(p string) bool { return p == without }), err
}

// keep notes who keeps an item that is offered, or that people are asked about, and
// reports whether it is.
func (s *Handoffs) keep(tx *migrations.Tx, r Ref, keepers []string) (bool, error) {
	keeper := ""
	if len(keepers) > 0 {
		keeper = keepers[0]
	}
	waits := false
	for _, q := range []string{
		`UPDATE handoff_items SET owner = CASE WHEN $1 = '' THEN owner ELSE $1 END WHERE kind = $2 AND item = $3 AND state = 'offered'`,
		`UPDATE lapse_items SET owner = CASE WHEN $1 = '' THEN owner ELSE $1 END WHERE kind = $2 AND item = $3 AND open = 1`,
	} {
		res, err := tx.Exec(q, keeper, r.Kind, r.ID)
		if err != nil {
			return false, fmt.Errorf("keep %s: %w", r.ID, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return false, fmt.Errorf("keep %s: %w", r.ID, err)
		}
		waits = waits || n > 0
	}
	return waits, nil
}

// askOthers has the keepers asked in place of somebody who is gone.
func (s *Handoffs) askOthers(tx *migrations.Tx, workspace, person string, keepers []string) error {
	all, err := openLapses(tx, workspace, "")
	if err != nil {
		return err
	}
	for _, l := range all {
		if !slices.Contains(l.Asked, person) {
			continue
		}
		asked := slices.DeleteFunc(slices.Clone(l.Asked), func(p string) bool { return p == person })
		for _, k := range keepers {
			if !slices.Contains(asked, k) {
				asked = append(asked, k)
			}
		}
		if _, err := tx.Exec(`UPDATE lapses SET asked = $1, shown_at = 0 WHERE id = $2`, strings.Join(asked, ","), l.ID); err != nil {
			return fmt.Errorf("ask others about %s: %w", l.ID, err)
		}
		if err := wake(tx, workspace, l.ID, tx.Now()); err != nil {
			return err
		}
	}
	return nil
}

// endOffersTo ends the offers to somebody who cannot take them any more.
func (s *Handoffs) endOffersTo(tx *migrations.Tx, workspace, person, why string) error {
	rows, err := tx.Query(`SELECT id FROM handoffs WHERE workspace = $1 AND to_owner = $2 AND state = 'offered'`, workspace, person)
	if err != nil {
		return fmt.Errorf("find offers to %s: %w", person, err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("find offers to %s: %w", person, err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("find offers to %s: %w", person, err)
	}
	for _, id := range ids {
		h, err := loadHandoff(tx, workspace, id)
		if err != nil {
			return err
		}
		if err := s.expire(tx, h, strings.Replace(why, "its owner ", "", 1)); err != nil {
			return err
		}
	}
	return nil
}

// PlaceGone pauses the duties that report to a channel or watch it, and asks their
// owners and the sponsor.
func (s *Handoffs) PlaceGone(ctx context.Context, workspace, channel, cause string) error {
	err := s.DB.Write(ctx, func(tx *migrations.Tx) error {
		refs, owners, err := s.dutiesAt(tx, workspace, channel)
		if err != nil || len(refs) == 0 {
			return err
		}
		sponsors, err := s.Sponsors(tx, workspace)
		if err != nil {
			return err
		}
		for _, p := range sponsors {
			if !slices.Contains(owners, p) {
				owners = append(owners, p)
			}
		}
		_, err = s.LapseTx(tx, workspace, cause, channel, owners, refs, func(Ref) bool { return true })
		return err
	})
	if err != nil {
		return fmt.Errorf("look after the duties of %s: %w", channel, err)
	}
	return nil
}

// dutiesAt are the duties that report to a channel or watch it, and their owners.
func (s *Handoffs) dutiesAt(tx *migrations.Tx, workspace, channel string) (refs []Ref, owners []string, err error) {
	rows, err := tx.Query(`SELECT id, owner FROM duties WHERE workspace = $1 AND (channel = $2 OR watches = $2) AND state IN ('active', 'paused') ORDER BY created_at, id`, workspace, channel)
	if err != nil {
		return nil, nil, fmt.Errorf("list duties of %s: %w", channel, err)
	}
	defer rows.Close()
	for rows.Next() {
		r, owner := Ref{Kind: KindDuty}, ""
		if err := rows.Scan(&r.ID, &owner); err != nil {
			return nil, nil, fmt.Errorf("list duties of %s: %w", channel, err)
		}
		refs = append(refs, r)
		if !slices.Contains(owners, owner) {
			owners = append(owners, owner)
		}
	}
	return refs, owners, rows.Err()
}

// PlaceBack lets the duties run again that were paused because their channel was
// gone.
func (s *Handoffs) PlaceBack(ctx context.Context, workspace, channel string) error {
	return s.eachLapse(ctx, workspace, channel, func(tx *migrations.Tx, l Lapse) error {
		if !l.OfPlace() {
			return nil
		}
		if err := s.release(tx, l); err != nil {
			return err
		}
		return s.settleLapse(tx, l, "system", "the channel is back")
	})
}

// OwnerBack lets the duties run again that were paused because their owner could
// not see their place, and now can.
func (s *Handoffs) OwnerBack(ctx context.Context, workspace, person string) error {
	return s.eachLapse(ctx, workspace, person, func(tx *migrations.Tx, l Lapse) error {
		if l.Cause != CauseLeft {
			return nil
		}
		if err := s.release(tx, l); err != nil {
			return err
		}
		return s.settleLapse(tx, l, "system", "they can see it again")
	})
}

// release lets the duties of a lapse run again that were paused for it.
func (s *Handoffs) release(tx *migrations.Tx, l Lapse) error {
	for _, i := range l.Open() {
		if i.Kind != KindDuty || !i.Held {
			continue
		}
		if _, err := s.Duties.Release(tx, i.ID, "system", l.Words()); err != nil && !errors.Is(err, scheduler.ErrNoDuty) {
			return err
		}
	}
	return nil
}

// eachLapse works on the open lapses about a person or channel.
func (s *Handoffs) eachLapse(ctx context.Context, workspace, about string, f func(tx *migrations.Tx, l Lapse) error) error {
	err := s.DB.Write(ctx, func(tx *migrations.Tx) error {
		all, err := openLapses(tx, workspace, about)
		if err != nil {
			return err
		}
		for _, l := range all {
			if err := f(tx, l); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look after %s: %w", about, err)
	}
	return nil
}

// What becomes of the items of a lapse by a human's word.
const (
	LapseKeep   = "keep"   // they stay as they are
	LapseDelete = "delete" // duties end for good
	LapseTake   = "take"   // their owner takes them for good: what was paused runs again
	LapseDirect = "direct" // duties report to their owner by direct message, and run again
)

// Decide does what a human says about a lapse; items nil means all that wait.
// direct gives the channel of the direct message with a person.
func (s *Handoffs) Decide(ctx context.Context, workspace, id string, who Person, verdict string, items []Ref, direct map[string]string) (Lapse, error) {
	var l Lapse
	err := s.DB.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if l, err = loadLapse(tx, workspace, id); err != nil {
			return err
		}
		switch {
		case !who.Governs && !who.Operator && !(who.Member && slices.Contains(l.Asked, who.ID)):
			return refused("That is for those who were asked, my sponsor or an admin of the workspace to say.")
		case l.State != "open":
			return refused("This is settled already: %s.", l.EndedHow)
		}
		var done []LapseItem
		for n := range l.Items {
			i := &l.Items[n]
			if !i.Open || items != nil && !slices.Contains(items, i.Ref) {
				continue
			}
			if err := s.decide(tx, l, *i, who.ID, verdict, direct); err != nil {
				return err
			}
			i.Open = false
			done = append(done, *i)
			if _, err := tx.Exec(`UPDATE lapse_items SET open = 0 WHERE lapse = $1 AND n = $2`, l.ID, n); err != nil {
				return fmt.Errorf("settle item of lapse: %w", err)
			}
		}
		if len(done) == 0 {
			return refused("Nothing of this was chosen, or nothing waits any more.")
		}
		if err := s.recordLapse(tx, l, "handoff.decided", who.ID, done, map[string]string{"verdict": verdict}); err != nil {
			return err
		}
		if len(l.Open()) > 0 {
			return s.ask(tx, l, LapseAsked)
		}
		l, err = s.settledLapse(tx, l, who.ID, verdict)
		return err
	})
	if err != nil {
		return l, fmt.Errorf("decide on %s: %w", id, err)
	}
	return l, nil
}

// releaseOwner lets a duty run again that was paused for want of an owner.
func (s *Handoffs) releaseOwner(tx *migrations.Tx, duty, by string) error {
	d, err := s.Duties.GetTx(tx, duty)
	if err != nil || !slices.Contains(ownerCauses, causeOf(d.PausedWhy)) {
		return err
	}
	_, err = s.Duties.Release(tx, duty, by, d.PausedWhy)
	return err
}

func (s *Handoffs) decide(tx *migrations.Tx, l Lapse, i LapseItem, by, verdict string, direct map[string]string) error {
	if verdict == LapseTake && by != i.Owner {
		return refused("`%s` is <@%s>'s: only they can take it for good.", i.ID, i.Owner)
	}
	if i.Kind != KindDuty {
		return nil
	}
	var err error
	switch verdict {
	case LapseTake:
		_, err = s.Duties.Release(tx, i.ID, by, l.Words())
		if err == nil {
			err = s.releaseOwner(tx, i.ID, by)
		}
	case LapseKeep:
	case LapseDelete:
		_, err = s.Duties.DeleteTx(tx, i.ID, by, l.Words())
	case LapseDirect:
		d, loadErr := s.Duties.GetTx(tx, i.ID)
		if loadErr != nil {
			err = loadErr
			break
		}
		if direct[d.Owner] == "" || d.Trigger.Channel == l.About {
			return refused("`%s` watches that channel, or its owner has no direct message with me: it cannot be rerouted.", i.ID)
		}
		if _, err = s.Duties.Move(tx, i.ID, direct[d.Owner], "im", by); err == nil {
			_, err = s.Duties.Release(tx, i.ID, by, l.Words())
		}
	default:
		return fmt.Errorf("decide on %s: %q is no verdict", l.ID, verdict)
	}
	if errors.Is(err, scheduler.ErrNoDuty) {
		return nil
	}
	return err
}
