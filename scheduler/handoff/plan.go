package handoff

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// States of a plan.
const (
	PlanProposed  = "proposed"
	PlanConfirmed = "confirmed" // the offers are made; its day is still to come
	PlanDropped   = "dropped"
	PlanDone      = "done"
)

// Plan says who takes what when somebody leaves.
type Plan struct {
	ID          string     `json:"id"`
	Workspace   string     `json:"workspace"`
	Person      string     `json:"person"`             // who leaves
	LeavesAt    time.Time  `json:"leaves_at,omitzero"` // when what is not accepted goes to the sponsor; zero: no day is set
	AskedBy     string     `json:"asked_by"`
	State       string     `json:"state"`
	ConfirmedBy string     `json:"confirmed_by,omitempty"`
	CreatedAt   time.Time  `json:"created_at"`
	Items       []PlanItem `json:"items"`
}

// PlanItem is who is to take one duty or thread; To "" is nobody yet.
type PlanItem struct {
	Ref
	To   string `json:"to"`
	Why  string `json:"why"`
	Seen bool   `json:"-"` // it was looked up that who asked for the plan may see it
}

// Takers are the people whom the plan names, each once.
func (p Plan) Takers() []string {
	var all []string
	for _, i := range p.Items {
		if i.To != "" && !slices.Contains(all, i.To) {
			all = append(all, i.To)
		}
	}
	return all
}

// For are the items that are to go to a person.
func (p Plan) For(to string) []Ref {
	var all []Ref
	for _, i := range p.Items {
		if i.To == to {
			all = append(all, i.Ref)
		}
	}
	return all
}

// Propose keeps a plan to be confirmed. The person themself, the sponsor and
// admins may have one made. The same request makes one plan.
func (s *Handoffs) Propose(ctx context.Context, p Plan, asker Person, request string) (Plan, error) {
	err := s.DB.Write(ctx, func(tx *migrations.Tx) error {
		var id string
		err := tx.QueryRow(`SELECT id FROM handoff_plans WHERE workspace = $1 AND request = $2`, p.Workspace, request).Scan(&id)
		if err == nil && request != "" {
			p, err = loadPlan(tx, p.Workspace, id)
			return err
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("look for the plan: %w", err)
		}
		if err := mayPlan(p, asker); err != nil {
			return err
		}
		p.ID, p.State, p.AskedBy, p.CreatedAt = migrations.NewID("p_"), PlanProposed, asker.ID, tx.Now()
		_, err = tx.Exec(`INSERT INTO handoff_plans (id, workspace, person, leaves_at, asked_by, request, state, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			p.ID, p.Workspace, p.Person, migrations.Micros(p.LeavesAt), p.AskedBy, nullable(request), p.State, migrations.Micros(p.CreatedAt))
		if err != nil {
			return fmt.Errorf("store plan: %w", err)
		}
		if err := storePlanItems(tx, p); err != nil {
			return err
		}
		if err := s.recordPlan(tx, p, "handoff.planned", asker.ID); err != nil {
			return err
		}
		return s.planned(tx, p)
	})
	if err != nil {
		return p, fmt.Errorf("propose plan: %w", err)
	}
	return p, nil
}

func mayPlan(p Plan, who Person) error {
	if who.ID != p.Person && !who.Governs && !who.Operator {
		return refused("Only <@%s>, my sponsor or an admin of the workspace can plan who takes over from <@%s>.", p.Person, p.Person)
	}
	return nil
}

func storePlanItems(tx *migrations.Tx, p Plan) error {
	if _, err := tx.Exec(`DELETE FROM handoff_plan_items WHERE plan = $1`, p.ID); err != nil {
		return fmt.Errorf("store plan: %w", err)
	}
	for n, i := range p.Items {
		if _, err := tx.Exec(`INSERT INTO handoff_plan_items (plan, n, kind, item, to_owner, why, seen) VALUES ($1, $2, $3, $4, $5, $6, $7)`, p.ID, n, i.Kind, i.ID, i.To, i.Why, i.Seen); err != nil {
			return fmt.Errorf("store item of plan: %w", err)
		}
	}
	return nil
}

func loadPlan(tx *migrations.Tx, workspace, id string) (Plan, error) {
	p := Plan{ID: id, Workspace: workspace}
	var leaves, created int64
	err := tx.QueryRow(`SELECT person, leaves_at, asked_by, state, confirmed_by, created_at FROM handoff_plans WHERE workspace = $1 AND id = $2`, workspace, id).
		Scan(&p.Person, &leaves, &p.AskedBy, &p.State, &p.ConfirmedBy, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return p, ErrNone
	}
	if err != nil {
		return p, fmt.Errorf("load plan %s: %w", id, err)
	}
	p.LeavesAt, p.CreatedAt = migrations.Time(leaves), migrations.Time(created)
	rows, err := tx.Query(`SELECT kind, item, to_owner, why, seen FROM handoff_plan_items WHERE plan = $1 ORDER BY n`, id)
	if err != nil {
		return p, fmt.Errorf("load plan %s: %w", id, err)
	}
	defer rows.Close()
	for rows.Next() {
		var i PlanItem
		if err := rows.Scan(&i.Kind, &i.ID, &i.To, &i.Why, &i.Seen); err != nil {
			return p, fmt.Errorf("load plan %s: %w", id, err)
		}
		p.Items = append(p.Items, i)
	}
	return p, rows.Err()
}

// Plan gives one plan; ErrNone if there is none.
func (s *Handoffs) Plan(ctx context.Context, workspace, id string) (p Plan, err error) {
	err = s.DB.Read(ctx, func(tx *migrations.Tx) error {
		p, err = loadPlan(tx, workspace, id)
		return err
	})
	return p, err
}

// Redraw changes who takes what in a plan that is not confirmed yet.
func (s *Handoffs) Redraw(ctx context.Context, workspace, id string, who Person, to map[Ref]string) (Plan, error) {
	return s.changePlan(ctx, workspace, id, who, func(tx *migrations.Tx, p *Plan) error {
		for n := range p.Items {
			if person, ok := to[p.Items[n].Ref]; ok && person != p.Items[n].To {
				p.Items[n].To, p.Items[n].Why = person, "chosen by <@"+who.ID+">"
			}
		}
		if err := storePlanItems(tx, *p); err != nil {
			return err
		}
		return s.recordPlan(tx, *p, "handoff.planned", who.ID)
	})
}

// Drop ends a plan that is not confirmed.
func (s *Handoffs) Drop(ctx context.Context, workspace, id string, who Person) (Plan, error) {
	return s.changePlan(ctx, workspace, id, who, func(tx *migrations.Tx, p *Plan) error {
		p.State = PlanDropped
		return s.recordPlan(tx, *p, "handoff.dropped", who.ID)
	})
}

// Confirm makes the offers of a plan, all in one transaction: one to each of its
// takers, whom takers tells of as they are now. hidden are the items that they may
// not see.
func (s *Handoffs) Confirm(ctx context.Context, workspace, id string, who Person, takers map[string]Person, hidden map[string]map[Ref]string) (p Plan, made []Handoff, left []Left, err error) {
	p, err = s.changePlan(ctx, workspace, id, who, func(tx *migrations.Tx, p *Plan) error {
		made, left = nil, nil
		for _, to := range p.Takers() {
			if to == p.Person {
				continue
			}
			h, not, err := s.OfferTx(tx, Offer{
				Workspace: workspace, From: p.Person, To: takers[to], Asker: who, Items: p.For(to), Hidden: hidden[to], Via: "plan", Plan: p.ID, Reason: planReason(*p),
			})
			var no *RefusedError
			switch {
			case errors.As(err, &no) && len(not) == 0:
				for _, r := range p.For(to) {
					left = append(left, Left{r, no.Text})
				}
			case err != nil && !errors.As(err, &no):
				return err
			case err == nil:
				made = append(made, h)
			}
			left = append(left, not...)
		}
		p.State, p.ConfirmedBy = PlanConfirmed, who.ID
		if err := s.recordPlan(tx, *p, "handoff.confirmed", who.ID); err != nil {
			return err
		}
		if p.LeavesAt.IsZero() {
			p.State = PlanDone
			return nil
		}
		return wake(tx, workspace, p.ID, p.LeavesAt)
	})
	return p, made, left, err
}

func planReason(p Plan) string {
	if p.LeavesAt.IsZero() {
		return "<@" + p.Person + "> leaves"
	}
	return "<@" + p.Person + "> leaves on " + p.LeavesAt.Format("Monday 2 January 2006")
}

// changePlan changes a plan that waits to be confirmed.
func (s *Handoffs) changePlan(ctx context.Context, workspace, id string, who Person, change func(tx *migrations.Tx, p *Plan) error) (Plan, error) {
	var p Plan
	err := s.DB.Write(ctx, func(tx *migrations.Tx) error {
		var err error
		if p, err = loadPlan(tx, workspace, id); err != nil {
			return err
		}
		if err := mayPlan(p, who); err != nil {
			return err
		}
		if p.State != PlanProposed {
			return refused("This plan is %s already.", p.State)
		}
		if err := change(tx, &p); err != nil {
			return err
		}
		if err := savePlan(tx, p); err != nil {
			return err
		}
		return s.planned(tx, p)
	})
	if err != nil {
		return p, fmt.Errorf("change plan %s: %w", id, err)
	}
	return p, nil
}

func savePlan(tx *migrations.Tx, p Plan) error {
	ended := time.Time{}
	if p.State == PlanDone || p.State == PlanDropped {
		ended = tx.Now()
	}
	if _, err := tx.Exec(`UPDATE handoff_plans SET state = $1, confirmed_by = $2, ended_at = $3 WHERE id = $4`, p.State, p.ConfirmedBy, migrations.Micros(ended), p.ID); err != nil {
		return fmt.Errorf("store plan %s: %w", p.ID, err)
	}
	return nil
}

// day does what follows when the day of a plan has come: what is not accepted goes
// to the sponsor. Duties that the sponsor may not see are paused.
func (s *Handoffs) day(tx *migrations.Tx, p Plan, hidden func(keeper string) map[Ref]string) error {
	keepers, err := s.keepers(tx, p.Workspace, p.Person)
	if err != nil {
		return err
	}
	var not map[Ref]string
	if len(keepers) > 0 {
		not = hidden(keepers[0])
	}
	err = s.leave(tx, p.Workspace, p.Person, CauseAway, func(r Ref) bool { return len(keepers) == 0 || not[r] != "" })
	if err != nil {
		return err
	}
	p.State = PlanDone
	if err := savePlan(tx, p); err != nil {
		return err
	}
	if err := s.recordPlan(tx, p, "handoff.left", "system"); err != nil {
		return err
	}
	return s.planned(tx, p)
}

func (s *Handoffs) planned(tx *migrations.Tx, p Plan) error {
	if s.Planned == nil {
		return nil
	}
	return s.Planned(tx, p)
}

func (s *Handoffs) recordPlan(tx *migrations.Tx, p Plan, kind, actor string) error {
	fields := map[string]string{"plan": p.ID, "person": p.Person, "items": fmt.Sprint(len(p.Items)), "state": p.State}
	if !p.LeavesAt.IsZero() {
		fields["leaves_at"] = p.LeavesAt.Format(time.RFC3339)
	}
	if _, err := s.Ledger.Append(tx, ledger.Record{Workspace: p.Workspace, Kind: kind, Actor: actor, Requester: p.AskedBy, Target: p.Person, Fields: fields}); err != nil {
		return fmt.Errorf("record %s of %s: %w", kind, p.ID, err)
	}
	return nil
}
