package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskmate/identity/ledger"
	"deskmate/identity/policy"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// mostCards bounds the cards of one review; the rest is answered by command.
const mostCards = 20

// notAnswered is why a grant is revoked that nobody wanted to keep.
const notAnswered = "review not answered"

// Handle starts reviews when it is time, shows people what waits for them, and
// ends what was not answered. It is the task handler of kind "review"; everything
// that Slack is to show follows from the store, so that answers may come from
// anywhere.
func (p *Reviews) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	items, err := p.standing(ctx, lease.Workspace)
	if err != nil {
		return task.Result{}, fmt.Errorf("follow reviews: %w", err)
	}
	grants, err := p.all(ctx, lease.Workspace)
	if err != nil {
		return task.Result{}, fmt.Errorf("follow reviews: %w", err)
	}
	var again time.Time
	err = p.DB.Write(ctx, func(tx *migrations.Tx) error {
		again = time.Time{}
		if err := lease.Guard(tx); err != nil {
			return err
		}
		agent, err := loadAgent(tx, lease.Workspace)
		if err != nil || agent.State == StateRetired {
			return err
		}
		id, err := p.current(tx, agent.Workspace)
		if err != nil {
			return err
		}
		if id == "" {
			if again, err = p.next(tx, agent.Workspace); err != nil || again.IsZero() || tx.Now().Before(again) {
				return err
			}
			if id, err = p.start(tx, agent, "system", items); err != nil {
				return err
			}
		}
		again, err = p.follow(tx, agent, id, grants)
		return err
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("follow reviews of %s: %w", lease.Workspace, err)
	}
	return task.Result{Again: again}, nil
}

// current is the review with something to do: the open one, or one whose end was
// not told yet; "" for none.
func (p *Reviews) current(tx *migrations.Tx, workspace string) (string, error) {
	var id string
	err := tx.QueryRow(`SELECT id FROM reviews WHERE workspace = $1 AND (state = 'open' OR told = 0) ORDER BY started_at, id LIMIT 1`, workspace).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for reviews: %w", err)
	}
	return id, nil
}

// next is when the next review begins: so long after the last one, or after the
// first grant; zero for never.
func (p *Reviews) next(tx *migrations.Tx, workspace string) (time.Time, error) {
	if p.Rules.Every <= 0 {
		return time.Time{}, nil
	}
	var last, first sql.NullInt64
	if err := tx.QueryRow(`SELECT (SELECT MAX(started_at) FROM reviews WHERE workspace = $1), (SELECT MIN(granted_at) FROM grants WHERE workspace = $1)`, workspace).Scan(&last, &first); err != nil {
		return time.Time{}, fmt.Errorf("look for the last review: %w", err)
	}
	switch {
	case last.Valid:
		return migrations.Time(last.Int64).Add(p.Rules.Every), nil
	case first.Valid:
		return migrations.Time(first.Int64).Add(p.Rules.Every), nil
	}
	return tx.Now().Add(p.Rules.Every), nil
}

// follow brings a review up to now and says when to look again.
func (p *Reviews) follow(tx *migrations.Tx, agent Agent, id string, grants map[string]policy.Grant) (time.Time, error) {
	r, err := p.load(tx, agent.Workspace, id, grants)
	if err != nil {
		return time.Time{}, err
	}
	if r.State == ReviewOpen {
		if err := p.extend(tx, agent, &r); err != nil {
			return time.Time{}, err
		}
		if err := p.sweep(tx, agent, r); err != nil {
			return time.Time{}, err
		}
		if r, err = p.load(tx, agent.Workspace, id, grants); err != nil {
			return time.Time{}, err
		}
	}
	if err := p.draw(tx, r); err != nil {
		return time.Time{}, err
	}
	if r.State == ReviewOpen {
		return p.remind(tx, r)
	}
	if !r.told {
		if _, err := tx.Exec(`UPDATE reviews SET told = 1 WHERE id = $1`, r.ID); err != nil {
			return time.Time{}, fmt.Errorf("note end of review %s: %w", r.ID, err)
		}
		if err := p.tell(tx, r, "ended", r.Summary()); err != nil {
			return time.Time{}, err
		}
	}
	return p.next(tx, r.Workspace)
}

// extend gives people their whole time from when they are asked: a review may
// begin while no server runs, and silence counts only after the cards.
func (p *Reviews) extend(tx *migrations.Tx, agent Agent, r *Review) error {
	late := tx.Now().Sub(r.StartedAt)
	if r.asked || late <= 0 {
		return nil
	}
	r.DueAt = r.DueAt.Add(late)
	if !r.remindAt.IsZero() {
		r.remindAt = r.remindAt.Add(late)
	}
	if _, err := tx.Exec(`UPDATE reviews SET due_at = $1, remind_at = $2 WHERE id = $3`, migrations.Micros(r.DueAt), migrations.Micros(r.remindAt), r.ID); err != nil {
		return fmt.Errorf("move end of review %s: %w", r.ID, err)
	}
	_, err := p.Ledger.Append(tx, ledger.Record{Workspace: r.Workspace, Kind: "review.asked", Agent: agent.User, Actor: policy.System,
		Fields: map[string]string{"review": r.ID, "due_at": r.DueAt.Format(time.RFC3339)}})
	return err
}

// sweep closes items whose grants have ended, and, when the time is up, takes back
// what nobody wanted to keep.
func (p *Reviews) sweep(tx *migrations.Tx, agent Agent, r Review) error {
	over := !tx.Now().Before(r.DueAt)
	for _, i := range r.Items {
		if i.State != ItemProposed && i.State != ItemStanding {
			continue
		}
		// As it is in this transaction: what was read before may be old.
		var revoked, expires int64
		if err := tx.QueryRow(`SELECT revoked_at, expires_at FROM grants WHERE workspace = $1 AND id = $2`, r.Workspace, i.Grant.ID).Scan(&revoked, &expires); err != nil {
			return fmt.Errorf("look at grant %s: %w", i.Grant.ID, err)
		}
		ended := revoked != 0 || expires != 0 && expires <= migrations.Micros(tx.Now())
		i.AnsweredBy, i.AnsweredAt = policy.System, tx.Now()
		switch {
		case ended:
			i.State, i.Why = ItemGone, "the grant has ended"
		case over && i.State == ItemProposed:
			i.State, i.Why = ItemExpired, notAnswered
			if _, err := p.Grants.RevokeTx(tx, r.Workspace, i.Grant.ID, policy.System, notAnswered); err != nil {
				return err
			}
		default:
			continue
		}
		if err := p.answered(tx, agent, r, i, ""); err != nil {
			return err
		}
	}
	return nil
}

// draw owes people the cards of a review, and their edits.
func (p *Reviews) draw(tx *migrations.Tx, r Review) error {
	cards, more := 0, 0
	for _, i := range r.Items {
		first := !r.asked && i.State == ItemProposed
		if first && cards == mostCards {
			more++
			continue
		}
		if first {
			cards++
		} else if i.shown == "" || i.shown == i.State {
			continue
		}
		if p.Show != nil {
			if err := p.Show(tx, r, i); err != nil {
				return fmt.Errorf("show grant %s: %w", i.Grant.ID, err)
			}
		}
		if _, err := tx.Exec(`UPDATE review_items SET shown = $1 WHERE review = $2 AND grant_id = $3`, i.State, r.ID, i.Grant.ID); err != nil {
			return fmt.Errorf("note card of %s: %w", i.Grant.ID, err)
		}
	}
	if r.asked {
		return nil
	}
	if _, err := tx.Exec(`UPDATE reviews SET asked = 1 WHERE id = $1`, r.ID); err != nil {
		return fmt.Errorf("note cards of review %s: %w", r.ID, err)
	}
	if more > 0 && p.More != nil {
		return p.More(tx, r, more)
	}
	return nil
}

// remind tells of a review that ends soon, and says when to look again.
func (p *Reviews) remind(tx *migrations.Tx, r Review) (time.Time, error) {
	if r.remindAt.IsZero() {
		return r.DueAt, nil
	}
	if tx.Now().Before(r.remindAt) {
		return r.remindAt, nil
	}
	if _, err := tx.Exec(`UPDATE reviews SET remind_at = 0 WHERE id = $1`, r.ID); err != nil {
		return time.Time{}, fmt.Errorf("note reminder of review %s: %w", r.ID, err)
	}
	n := r.Count(ItemProposed)
	return r.DueAt, p.tell(tx, r, "reminder", fmt.Sprintf("The review `%s` of what I may do still waits for %s. What has none at %s is taken back.",
		r.ID, counted(n, "answer"), r.DueAt.UTC().Format("2006-01-02 15:04 UTC")))
}

func (p *Reviews) tell(tx *migrations.Tx, r Review, what, text string) error {
	if p.Notice == nil {
		return nil
	}
	return p.Notice(tx, r.Workspace, "review:"+r.ID+":"+what, text)
}

// Summary says what came of a review, or where it stands, for people.
func (r Review) Summary() string {
	kept, removed, expired, gone, waiting := r.Count(ItemKept), r.Count(ItemRemoved), r.Count(ItemExpired), r.Count(ItemGone), r.Count(ItemProposed)
	text := fmt.Sprintf("The review `%s` of what I may do has ended: ", r.ID)
	if r.State == ReviewOpen {
		text = fmt.Sprintf("The review `%s` of what I may do is open until %s: %d to answer, ", r.ID, r.DueAt.UTC().Format("2006-01-02 15:04 UTC"), waiting)
	}
	if kept+removed+expired+gone+waiting == 0 {
		return text + fmt.Sprintf("none of %s was without use for %s, so nothing was proposed for removal.", counted(len(r.Items), "grant"), wordDuration(time.Duration(r.Idle)))
	}
	return text + fmt.Sprintf("%d kept, %d removed, %d removed because nobody answered, %d ended otherwise; %s.", kept, removed, expired, gone,
		counted(r.Count(ItemStanding, ItemKept, ItemProposed), "grant")+" of "+fmt.Sprint(len(r.Items))+" stand")
}

func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
