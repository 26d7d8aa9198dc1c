package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Verdicts of a ReviewAnswer.
const (
	VerdictKeep   = "keep"
	VerdictRemove = "remove"
)

// ReviewAnswer is one person's word on one grant of a review.
type ReviewAnswer struct {
	Workspace string
	Review    string // "": the open one
	Grant     string
	Person    string // Slack user id; "cli:name" for who works on the host
	Verdict   string // keep, remove
	Why       string
	Via       string
}

// Answer takes a person's word. It checks, at this moment, that they are a sponsor
// or an admin of the workspace, or work on the host, and never the agent. Removal
// counts from the next action on. The same answer of the same person again changes
// nothing. Errors: *RefusedError, ErrNoReview, or that it could not be taken now.
func (p *Reviews) Answer(ctx context.Context, a ReviewAnswer) (ReviewItem, error) {
	if a.Verdict != VerdictKeep && a.Verdict != VerdictRemove || a.Person == "" {
		return ReviewItem{}, fmt.Errorf("answer review: %q is no verdict, or nobody gives it", a.Verdict)
	}
	operator := strings.HasPrefix(a.Person, "cli:")
	var who Standing
	var err error
	if !operator {
		if p.Roll == nil {
			return ReviewItem{}, errors.New("answer review: there is no directory of people")
		}
		if who, err = p.Roll.Standing(ctx, a.Workspace, a.Person, nil); err != nil {
			return ReviewItem{}, fmt.Errorf("answer review: look up %s: %w", a.Person, err)
		}
	}
	var item ReviewItem
	var refused *RefusedError
	err = p.DB.Write(ctx, func(tx *migrations.Tx) error {
		refused = nil
		agent, err := loadAgent(tx, a.Workspace)
		if err != nil {
			return err
		}
		if item, err = p.item(tx, &a); err != nil {
			return err
		}
		state := map[string]string{VerdictKeep: ItemKept, VerdictRemove: ItemRemoved}[a.Verdict]
		if item.State == state && item.AnsweredBy == a.Person {
			return nil
		}
		if refused = p.refuse(a, item, agent, operator || who.Active && who.Kind == kindMember && (who.Admin || agent.SponsoredBy(a.Person))); refused != nil {
			_, err := p.Ledger.Append(tx, ledger.Record{Workspace: a.Workspace, Kind: "review.refused", Agent: agent.User, Actor: a.Person,
				Fields: map[string]string{"review": a.Review, "grant": a.Grant, "reason": refused.Reason, "verdict": a.Verdict, "via": a.Via}})
			if err != nil {
				return err
			}
			return p.Look(tx, a.Workspace)
		}
		if a.Verdict == VerdictRemove {
			why := cut(Mask(strings.TrimSpace(a.Why)), mostError)
			if why == "" {
				why = "removed in review " + a.Review
			}
			if _, err := p.Grants.RevokeTx(tx, a.Workspace, a.Grant, a.Person, why); err != nil {
				return err
			}
		}
		item.State, item.AnsweredBy, item.AnsweredAt, item.Why = state, a.Person, tx.Now(), cut(Mask(strings.TrimSpace(a.Why)), mostError)
		if err := p.answered(tx, agent, Review{ID: a.Review, Workspace: a.Workspace}, item, a.Via); err != nil {
			return err
		}
		return p.Look(tx, a.Workspace)
	})
	if err != nil {
		return item, fmt.Errorf("answer review: %w", err)
	}
	if refused != nil {
		return item, refused
	}
	return item, nil
}

// errNoneOpen is ErrNoReview to somebody who named none.
var errNoneOpen = fmt.Errorf("no review is open: %w", ErrNoReview)

// item finds the item that is answered, in the open review if none is named, and
// whether its grant still stands.
func (p *Reviews) item(tx *migrations.Tx, a *ReviewAnswer) (ReviewItem, error) {
	var i ReviewItem
	if a.Review == "" {
		err := tx.QueryRow(`SELECT id FROM reviews WHERE workspace = $1 AND state = 'open'`, a.Workspace).Scan(&a.Review)
		if errors.Is(err, sql.ErrNoRows) {
			return i, errNoneOpen
		} else if err != nil {
			return i, fmt.Errorf("look for open reviews: %w", err)
		}
	}
	var review string
	var answered, revoked, expires int64
	err := tx.QueryRow(`SELECT r.state, i.state, i.answered_by, i.answered_at, g.revoked_at, g.expires_at FROM review_items i
		JOIN reviews r ON r.id = i.review JOIN grants g ON g.id = i.grant_id AND g.workspace = r.workspace
		WHERE i.review = $1 AND i.grant_id = $2 AND r.workspace = $3`, a.Review, a.Grant, a.Workspace).
		Scan(&review, &i.State, &i.AnsweredBy, &answered, &revoked, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return i, fmt.Errorf("%w: %s has no grant %s in it", ErrNoReview, a.Review, a.Grant)
	}
	if err != nil {
		return i, fmt.Errorf("load item %s of review %s: %w", a.Grant, a.Review, err)
	}
	i.Grant.ID, i.AnsweredAt = a.Grant, migrations.Time(answered)
	if i.State == ItemProposed || i.State == ItemStanding {
		switch {
		case revoked != 0 || expires != 0 && expires <= migrations.Micros(tx.Now()):
			i.State = ItemGone // Handle has not seen it yet
		case review != ReviewOpen:
			i.State = ItemExpired // it stood, and its review is over
		}
	}
	return i, nil
}

// refuse says why an answer counts for nothing, nil if it counts.
func (p *Reviews) refuse(a ReviewAnswer, i ReviewItem, agent Agent, may bool) *RefusedError {
	switch {
	case a.Person == agent.User:
		return &RefusedError{Reason: RefusedAgent, Text: "An agent does not decide on what it may do."}
	case !may:
		return &RefusedError{Reason: RefusedApprover, Text: "What I may do is reviewed by " + reviewers(agent) + "."}
	case i.State != ItemProposed && i.State != ItemStanding:
		return &RefusedError{Reason: RefusedOver, Text: "It is too late: " + i.over() + "."}
	}
	return nil
}

func reviewers(agent Agent) string {
	return ApproverWords([]string{"sponsor", "admins"}, agent.Sponsor)
}

// over words an item that does not wait any more.
func (i ReviewItem) over() string {
	switch i.State {
	case ItemKept:
		return "the grant `" + i.Grant.ID + "` was kept by " + mention(i.AnsweredBy) + "; `deskmate access revoke` takes it back"
	case ItemRemoved:
		return "the grant `" + i.Grant.ID + "` was removed by " + mention(i.AnsweredBy)
	case ItemGone:
		return "the grant `" + i.Grant.ID + "` has ended already"
	}
	return "the review is over"
}

// mention is who did something, as Slack shows them.
func mention(who string) string {
	if who != "" && (who[0] == 'U' || who[0] == 'W') {
		return "<@" + who + ">"
	}
	return who
}

// answered stores what became of an item, and ends the review with the last one.
func (p *Reviews) answered(tx *migrations.Tx, agent Agent, r Review, i ReviewItem, via string) error {
	if _, err := tx.Exec(`UPDATE review_items SET state = $1, answered_by = $2, answered_at = $3, why = $4 WHERE review = $5 AND grant_id = $6`,
		i.State, i.AnsweredBy, migrations.Micros(i.AnsweredAt), i.Why, r.ID, i.Grant.ID); err != nil {
		return fmt.Errorf("store answer on %s: %w", i.Grant.ID, err)
	}
	_, err := p.Ledger.Append(tx, ledger.Record{Workspace: r.Workspace, Kind: "review." + i.State, Agent: agent.User, Actor: i.AnsweredBy,
		Fields: map[string]string{"review": r.ID, "grant": i.Grant.ID, "via": via}, Payload: map[string]string{"why": i.Why}})
	if err != nil {
		return err
	}
	return p.settle(tx, agent, r)
}
