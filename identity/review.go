package identity

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/identity/policy"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskReview is the kind of the tasks that start, follow and end reviews; one for
// each workspace.
const TaskReview = "review"

// States of a review.
const (
	ReviewOpen = "open"
	ReviewDone = "done"
)

// States of an item of a review.
const (
	ItemStanding = "standing" // in use, or not for this review to take away: it stands without an answer
	ItemProposed = "proposed" // unused: waits for an answer
	ItemKept     = "kept"
	ItemRemoved  = "removed"
	ItemExpired  = "expired" // removed, because nobody answered in time
	ItemGone     = "gone"    // the grant has ended in another way
)

// reviewReminder is how long before its end people are reminded of a review.
const reviewReminder = 3 * 24 * time.Hour

// ReviewRules are the times of reviews.
type ReviewRules struct {
	Every  time.Duration // from one start to the next; 0: only on demand
	Idle   time.Duration // without use for so long, removal is proposed
	Answer time.Duration // what has no answer after so long is removed
}

// DefaultReviewRules are a review every quarter.
func DefaultReviewRules() ReviewRules {
	return ReviewRules{Every: 90 * 24 * time.Hour, Idle: 30 * 24 * time.Hour, Answer: 14 * 24 * time.Hour}
}

// Review is one look at all grants that stand.
type Review struct {
	ID        string          `json:"id"` // rv_…
	Workspace string          `json:"workspace"`
	State     string          `json:"state"`
	StartedBy string          `json:"started_by"`
	StartedAt time.Time       `json:"started_at"`
	Idle      policy.Duration `json:"idle"`
	DueAt     time.Time       `json:"due_at"` // what has no answer by then is removed
	EndedAt   time.Time       `json:"ended_at,omitzero"`
	Items     []ReviewItem    `json:"items"` // by grant

	remindAt    time.Time
	asked, told bool
}

// ReviewItem is one grant in a review.
type ReviewItem struct {
	Grant      policy.Grant `json:"grant"`
	State      string       `json:"state"`
	LastUsedAt time.Time    `json:"last_used_at,omitzero"` // as it was when the review began
	Loss       []string     `json:"loss,omitempty"`        // tools that no other grant covers: without it they stop working
	AnsweredBy string       `json:"answered_by,omitempty"`
	AnsweredAt time.Time    `json:"answered_at,omitzero"`
	Why        string       `json:"why,omitempty"`

	shown string // state that its card shows, "" for no card
}

// Count is how many items are in one of the states.
func (r Review) Count(states ...string) (n int) {
	for _, i := range r.Items {
		if slices.Contains(states, i.State) {
			n++
		}
	}
	return n
}

var (
	// ErrNoReview means that the workspace has no review of that id.
	ErrNoReview = errors.New("there is no such review")
	// ErrReviewOpen means that a review is under way already.
	ErrReviewOpen = errors.New("a review is open already")
)

// Reviews has humans look at what the agent may do, from time to time: what was
// not used is proposed for removal, and what nobody wants to keep is removed. It
// never gives the agent more: grants that deny something are listed and not
// proposed, because removing one would.
type Reviews struct {
	DB     *migrations.DB
	Ledger *ledger.Ledger
	Grants *policy.Engine
	Rules  ReviewRules

	// Roll must be set before a person answers; without it they are refused.
	Roll Roll
	// Show owes people the card of an item, new or as it is now; More says that n
	// proposals have no card of their own; Notice tells the admins, with a key that
	// names the notice for ever. They are only called by Handle; nil ones are not.
	Show   func(tx *migrations.Tx, r Review, i ReviewItem) error
	More   func(tx *migrations.Tx, r Review, n int) error
	Notice func(tx *migrations.Tx, workspace, key, text string) error
}

func reviewKey(workspace string) string { return TaskReview + ":" + workspace }

// Look has the reviews of a workspace followed soon.
func (p *Reviews) Look(tx *migrations.Tx, workspace string) error {
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: TaskReview, Key: reviewKey(workspace)})
}

const reviewColumns = `id, workspace, state, started_by, started_at, idle, due_at, remind_at, ended_at, asked, told`

func scanReview(row interface{ Scan(...any) error }) (Review, error) {
	var r Review
	var started, idle, due, remind, ended, asked, told int64
	err := row.Scan(&r.ID, &r.Workspace, &r.State, &r.StartedBy, &started, &idle, &due, &remind, &ended, &asked, &told)
	r.StartedAt, r.DueAt, r.EndedAt, r.remindAt = migrations.Time(started), migrations.Time(due), migrations.Time(ended), migrations.Time(remind)
	r.Idle, r.asked, r.told = policy.Duration(idle)*policy.Duration(time.Microsecond), asked != 0, told != 0
	return r, err
}

// load reads a review with its items. grants has them all, by id.
func (p *Reviews) load(tx *migrations.Tx, workspace, id string, grants map[string]policy.Grant) (Review, error) {
	r, err := scanReview(tx.QueryRow(`SELECT `+reviewColumns+` FROM reviews WHERE id = $1 AND workspace = $2`, id, workspace))
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNoReview
	}
	if err != nil {
		return r, fmt.Errorf("load review %s: %w", id, err)
	}
	rows, err := tx.Query(`SELECT grant_id, state, last_used_at, loss, answered_by, answered_at, why, shown FROM review_items WHERE review = $1 ORDER BY grant_id`, id)
	if err != nil {
		return r, fmt.Errorf("load items of review %s: %w", id, err)
	}
	defer rows.Close()
	r.Items = []ReviewItem{}
	for rows.Next() {
		var i ReviewItem
		var grant, loss string
		var used, answered int64
		if err := rows.Scan(&grant, &i.State, &used, &loss, &i.AnsweredBy, &answered, &i.Why, &i.shown); err != nil {
			return r, fmt.Errorf("load items of review %s: %w", id, err)
		}
		if err := json.Unmarshal([]byte(loss), &i.Loss); err != nil {
			return r, fmt.Errorf("decode item %s of review %s: %w", grant, id, err)
		}
		i.Grant = grants[grant]
		i.Grant.ID = grant
		i.LastUsedAt, i.AnsweredAt = migrations.Time(used), migrations.Time(answered)
		r.Items = append(r.Items, i)
	}
	return r, rows.Err()
}

// all are the grants of a workspace, ended ones too, by id.
func (p *Reviews) all(ctx context.Context, workspace string) (map[string]policy.Grant, error) {
	list, err := p.Grants.List(ctx, workspace, true)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]policy.Grant, len(list))
	for _, g := range list {
		byID[g.ID] = g
	}
	return byID, nil
}

// Get loads one review; "" is the newest one. ErrNoReview if there is none.
func (p *Reviews) Get(ctx context.Context, workspace, id string) (Review, error) {
	grants, err := p.all(ctx, workspace)
	if err != nil {
		return Review{}, err
	}
	var r Review
	err = p.DB.Read(ctx, func(tx *migrations.Tx) error {
		if id == "" {
			err := tx.QueryRow(`SELECT id FROM reviews WHERE workspace = $1 ORDER BY started_at DESC, id LIMIT 1`, workspace).Scan(&id)
			if errors.Is(err, sql.ErrNoRows) {
				return ErrNoReview
			} else if err != nil {
				return fmt.Errorf("look for reviews: %w", err)
			}
		}
		r, err = p.load(tx, workspace, id, grants)
		return err
	})
	return r, err
}

// List loads the reviews of a workspace, the newest first, limit at most.
func (p *Reviews) List(ctx context.Context, workspace string, limit int) ([]Review, error) {
	grants, err := p.all(ctx, workspace)
	if err != nil {
		return nil, err
	}
	all := []Review{}
	err = p.DB.Read(ctx, func(tx *migrations.Tx) error {
		rows, err := tx.Query(`SELECT id FROM reviews WHERE workspace = $1 ORDER BY started_at DESC, id LIMIT $2`, workspace, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		var ids []string
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, id := range ids {
			r, err := p.load(tx, workspace, id, grants)
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list reviews: %w", err)
	}
	return all, nil
}

// Start begins a review now. by is who wants it: a Slack user id or "cli:name".
// ErrReviewOpen if one is under way.
func (p *Reviews) Start(ctx context.Context, workspace, by string) (Review, error) {
	if by == "" {
		return Review{}, errors.New("start review: nobody is named who does it")
	}
	items, err := p.standing(ctx, workspace)
	if err != nil {
		return Review{}, fmt.Errorf("start review: %w", err)
	}
	var id string
	err = p.DB.Write(ctx, func(tx *migrations.Tx) error {
		agent, err := loadAgent(tx, workspace)
		if err != nil {
			return err
		}
		if by == agent.User {
			return errors.New("an agent does not start the review of itself")
		}
		if id, err = p.start(tx, agent, by, items); err != nil {
			return err
		}
		return p.Look(tx, workspace)
	})
	if err != nil {
		return Review{}, fmt.Errorf("start review: %w", err)
	}
	return p.Get(ctx, workspace, id)
}

// standing are the grants that stand, as items of a review that would begin now.
func (p *Reviews) standing(ctx context.Context, workspace string) ([]ReviewItem, error) {
	grants, err := p.Grants.List(ctx, workspace, false)
	if err != nil {
		return nil, err
	}
	tools, err := p.toolsOf(ctx, workspace)
	if err != nil {
		return nil, err
	}
	holders := map[string]int{}
	for _, g := range grants {
		for _, t := range tools(g) {
			if g.Effect != policy.Deny {
				holders[t]++
			}
		}
	}
	now := p.DB.Now()
	var items []ReviewItem
	for _, g := range grants {
		i := ReviewItem{Grant: g, State: ItemStanding, LastUsedAt: g.LastUsedAt}
		if since := latest(g.GrantedAt, g.LastUsedAt); g.Effect != policy.Deny && !now.Before(since.Add(p.Rules.Idle)) {
			i.State = ItemProposed
		}
		for _, t := range tools(g) {
			if g.Effect != policy.Deny && holders[t] == 1 {
				i.Loss = append(i.Loss, t)
			}
		}
		items = append(items, i)
	}
	return items, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// toolsOf gives the tools that a grant covers, by name: those of bundles and
// connections as far as they are known.
func (p *Reviews) toolsOf(ctx context.Context, workspace string) (func(g policy.Grant) []string, error) {
	known, err := p.Grants.Tools(ctx, workspace)
	if err != nil {
		return nil, err
	}
	bundles, err := p.Grants.Bundles(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return func(g policy.Grant) []string {
		words := g.Tools
		for _, b := range bundles {
			if len(words) == 0 && b.Name == g.Bundle {
				words = b.Tools
			}
		}
		var all []string
		for _, w := range words {
			connection, whole := strings.CutSuffix(w, ".*")
			if w != "*" && !whole {
				all = append(all, w)
				continue
			}
			for _, t := range known {
				if w == "*" || t.Connection == connection {
					all = append(all, t.Name)
				}
			}
		}
		slices.Sort(all)
		return slices.Compact(all)
	}, nil
}

// start stores a new review. Without anything to answer it is over at once.
func (p *Reviews) start(tx *migrations.Tx, agent Agent, by string, items []ReviewItem) (string, error) {
	var open string
	err := tx.QueryRow(`SELECT id FROM reviews WHERE workspace = $1 AND state = 'open'`, agent.Workspace).Scan(&open)
	if err == nil {
		return "", fmt.Errorf("%w: %s", ErrReviewOpen, open)
	} else if !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("look for open reviews: %w", err)
	}
	if p.Rules.Answer <= 0 {
		return "", errors.New("a review must leave time for answers")
	}
	now := tx.Now()
	r := Review{ID: migrations.NewID("rv_"), Workspace: agent.Workspace, State: ReviewOpen, StartedBy: by, StartedAt: now, DueAt: now.Add(p.Rules.Answer), Items: items}
	if p.Rules.Answer > reviewReminder {
		r.remindAt = r.DueAt.Add(-reviewReminder)
	}
	if _, err := tx.Exec(`INSERT INTO reviews (id, workspace, state, started_by, started_at, idle, due_at, remind_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		r.ID, r.Workspace, r.State, by, migrations.Micros(now), p.Rules.Idle.Microseconds(), migrations.Micros(r.DueAt), migrations.Micros(r.remindAt)); err != nil {
		return "", fmt.Errorf("store review: %w", err)
	}
	for _, i := range items {
		loss, err := json.Marshal(i.Loss)
		if err != nil {
			return "", fmt.Errorf("encode item %s: %w", i.Grant.ID, err)
		}
		if _, err := tx.Exec(`INSERT INTO review_items (review, grant_id, state, last_used_at, loss) VALUES ($1, $2, $3, $4, $5)`,
			r.ID, i.Grant.ID, i.State, migrations.Micros(i.LastUsedAt), string(loss)); err != nil {
			return "", fmt.Errorf("store item %s: %w", i.Grant.ID, err)
		}
	}
	_, err = p.Ledger.Append(tx, ledger.Record{Workspace: r.Workspace, Kind: "review.started", Agent: agent.User, Actor: by, Fields: map[string]string{
		"review": r.ID, "grants": fmt.Sprint(len(items)), "proposed": fmt.Sprint(r.Count(ItemProposed)), "due_at": r.DueAt.Format(time.RFC3339)}})
	if err != nil {
		return "", err
	}
	return r.ID, p.settle(tx, agent, r)
}

// settle ends a review in which nothing waits for an answer.
func (p *Reviews) settle(tx *migrations.Tx, agent Agent, r Review) error {
	var waiting int
	if err := tx.QueryRow(`SELECT COUNT(*) FROM review_items WHERE review = $1 AND state = 'proposed'`, r.ID).Scan(&waiting); err != nil {
		return fmt.Errorf("count items of review %s: %w", r.ID, err)
	}
	if waiting > 0 {
		return nil
	}
	res, err := tx.Exec(`UPDATE reviews SET state = 'done', ended_at = $1 WHERE id = $2 AND state = 'open'`, migrations.Micros(tx.Now()), r.ID)
	if err != nil {
		return fmt.Errorf("end review %s: %w", r.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, err = p.Ledger.Append(tx, ledger.Record{Workspace: r.Workspace, Kind: "review.ended", Agent: agent.User, Actor: "system", Fields: map[string]string{"review": r.ID}})
	return err
}
