// Package budget bounds what may be used in a day or a month: calls of tools, tokens
// and money, for a workspace, a channel, a person or a duty.
//
// It promises that nothing is begun once a budget is used up, that what was used is
// counted once, in the transaction that records the work, and that a use whose price
// nobody has told does not pass a budget of money. One model call can go over a
// budget by no more than its own size. It must never stop an answer to a person: they
// are told why.
//
// Docs: docs/budgets.md.
package budget

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// Units of a budget.
const (
	Calls  = "calls"  // of tools
	Tokens = "tokens" // of models, in and out
	Money  = "money"  // in millionths of the currency of the prices
)

// Periods of a budget.
const (
	Day   = "day"
	Month = "month"
)

// Units and Periods are all of them.
var (
	Units   = []string{Calls, Tokens, Money}
	Periods = []string{Day, Month}
)

// warnAt is the part of a budget at which the admins are told.
const warnAt = 0.8

// Budget is one limit.
type Budget struct {
	Workspace     string    `json:"workspace"`
	Scope         string    `json:"scope"` // workspace, channel:C…, person:U…, duty:d_…; channel:*, person:*, duty:* for each without one of its own
	Unit          string    `json:"unit"`
	Period        string    `json:"period"`
	Most          int64     `json:"most"` // money in millionths
	SetBy         string    `json:"set_by"`
	SetAt         time.Time `json:"set_at"`
	Justification string    `json:"justification"`
}

// Subject is who and where something is used for. Empty fields count nowhere.
type Subject struct{ Workspace, Channel, Person, Duty string }

// scopes are those that a use counts in.
func (s Subject) scopes() []string {
	out := []string{"workspace"}
	for _, x := range [][2]string{{"channel", s.Channel}, {"person", s.Person}, {"duty", s.Duty}} {
		if x[1] != "" {
			out = append(out, x[0]+":"+x[1])
		}
	}
	return out
}

// Amounts are how much is used, or was.
type Amounts struct {
	Calls  int64
	Tokens int64
	Money  int64 // in millionths
	Model  string
}

// SpentError is work that was not begun, or not gone on with, for a budget.
type SpentError struct {
	Budget Budget
	Scope  string // that is used up
	Used   int64
	Anew   time.Time // when it begins anew
	Price  string    // model without a price, where that is why
}

func (e *SpentError) Error() string {
	if e.Price != "" {
		return fmt.Sprintf("there is a budget of money (%s), and nobody has told the price of `%s`: an admin gives it with the setting prices", ScopeWords(e.Scope), e.Price)
	}
	return fmt.Sprintf("the budget of %s is used up: %s of %s. It begins anew on %s; my sponsor or an admin can raise it with `/deskmate budget`",
		ScopeWords(e.Scope)+" per "+e.Budget.Period, Amount(e.Budget.Unit, e.Used), Amount(e.Budget.Unit, e.Budget.Most), e.Anew.Format("Mon 2 January, 15:04 MST"))
}

// ScopeWords names a scope for people.
func ScopeWords(scope string) string {
	kind, id, _ := strings.Cut(scope, ":")
	switch {
	case scope == "workspace":
		return "the workspace"
	case id == "*":
		return "each " + kind
	case kind == "channel":
		return "<#" + id + ">"
	case kind == "person":
		return "<@" + id + ">"
	}
	return "the duty " + id
}

// Amount is an amount of a unit for people.
func Amount(unit string, n int64) string {
	if unit == Money {
		return fmt.Sprintf("%.2f", float64(n)/1e6)
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// Budgets keeps limits and what was used.
type Budgets struct {
	DB     *migrations.DB
	Ledger *ledger.Ledger
	Zone   *time.Location // in which days and months begin; nil: UTC
	Prices Prices
	// Notice tells the admins. Nil: nobody is told.
	Notice func(tx *migrations.Tx, workspace, key, text string) error
}

func (b *Budgets) zone() *time.Location {
	if b.Zone == nil {
		return time.UTC
	}
	return b.Zone
}

// begins names the period that an instant is in, and anew is when the next begins.
func (b *Budgets) begins(period string, at time.Time) (name string, anew time.Time) {
	at = at.In(b.zone())
	if period == Month {
		return at.Format("2006-01"), time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, b.zone())
	}
	return at.Format(time.DateOnly), time.Date(at.Year(), at.Month(), at.Day()+1, 0, 0, 0, 0, b.zone())
}

// Check says what is wrong with a budget; nil if nothing is.
func (x Budget) Check() []string {
	var out []string
	kind, id, _ := strings.Cut(x.Scope, ":")
	prefixes := map[string]string{"channel": "CDG", "person": "UW", "duty": "d"}
	switch {
	case x.Scope == "workspace":
	case prefixes[kind] == "" || id == "" || id != "*" && !strings.Contains(prefixes[kind], id[:1]) || strings.ContainsAny(id, " \t\n:"):
		out = append(out, "scope: must be workspace, channel:C…, person:U… or duty:d_…, or one with * for each")
	}
	if !slices.Contains(Units, x.Unit) {
		out = append(out, "unit: must be calls, tokens or money")
	}
	if !slices.Contains(Periods, x.Period) {
		out = append(out, "period: must be day or month")
	}
	if x.Most < 0 || x.Most > 1e15 {
		out = append(out, "most: must be a number from 0 on")
	}
	if strings.TrimSpace(x.Justification) == "" || len(x.Justification) > 1000 {
		out = append(out, "why: say why, in at most 1000 bytes")
	}
	return out
}

// InvalidError says everything that is wrong with a budget.
type InvalidError struct{ Problems []string }

func (e *InvalidError) Error() string {
	return "the budget is not right: " + strings.Join(e.Problems, "; ")
}

// Set sets or changes a budget; it counts from the next use on.
func (b *Budgets) Set(ctx context.Context, by string, x Budget) error {
	if p := x.Check(); p != nil {
		return &InvalidError{p}
	}
	err := b.DB.Write(ctx, func(tx *migrations.Tx) error {
		_, err := tx.Exec(`INSERT INTO budgets (workspace, scope, unit, period, most, set_by, set_at, justification) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (workspace, scope, unit, period) DO UPDATE SET most = excluded.most, set_by = excluded.set_by, set_at = excluded.set_at, justification = excluded.justification`,
			x.Workspace, x.Scope, x.Unit, x.Period, x.Most, by, migrations.Micros(tx.Now()), ledger.Mask(x.Justification))
		if err != nil {
			return err
		}
		return b.record(tx, "budget.set", by, x, x.Justification)
	})
	if err != nil {
		return fmt.Errorf("set budget: %w", err)
	}
	return nil
}

// ErrNone means that there is no such budget.
var ErrNone = errors.New("there is no such budget")

// Remove takes a budget away.
func (b *Budgets) Remove(ctx context.Context, by, why string, x Budget) error {
	err := b.DB.Write(ctx, func(tx *migrations.Tx) error {
		r, err := tx.Exec(`DELETE FROM budgets WHERE workspace = $1 AND scope = $2 AND unit = $3 AND period = $4`, x.Workspace, x.Scope, x.Unit, x.Period)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrNone, err)
		}
		return b.record(tx, "budget.removed", by, x, why)
	})
	if err != nil {
		return fmt.Errorf("remove budget: %w", err)
	}
	return nil
}

func (b *Budgets) record(tx *migrations.Tx, kind, by string, x Budget, why string) error {
	_, err := b.Ledger.Append(tx, ledger.Record{Workspace: x.Workspace, Kind: kind, Actor: by,
		Fields:  map[string]string{"scope": x.Scope, "unit": x.Unit, "period": x.Period, "most": fmt.Sprint(x.Most)},
		Payload: map[string]string{"reason": why}})
	return err
}

// Used is a budget with what of it is used.
type Used struct {
	Budget
	For  string    `json:"for"` // scope that it is used by
	Used int64     `json:"used"`
	Anew time.Time `json:"anew"`
}

// List is all budgets of a workspace with what is used now; those for each are there
// once for each that has used something.
func (b *Budgets) List(ctx context.Context, workspace string) ([]Used, error) {
	var out []Used
	err := b.DB.Read(ctx, func(tx *migrations.Tx) error {
		all, err := load(tx, workspace)
		if err != nil {
			return err
		}
		for _, x := range all {
			name, anew := b.begins(x.Period, tx.Now())
			kind, id, _ := strings.Cut(x.Scope, ":")
			one := Used{Budget: x, For: x.Scope, Anew: anew}
			rows, err := tx.Query(`SELECT scope, used FROM usage WHERE workspace = $1 AND unit = $2 AND period = $3 AND begins = $4 AND (scope = $5 OR $6 = '*' AND scope LIKE $7) ORDER BY scope`,
				workspace, x.Unit, x.Period, name, x.Scope, id, kind+":%")
			if err != nil {
				return err
			}
			n := len(out)
			for rows.Next() {
				u := one
				if err := rows.Scan(&u.For, &u.Used); err != nil {
					return errors.Join(err, rows.Close())
				}
				if id == "*" && slices.ContainsFunc(all, func(o Budget) bool { return o.Scope == u.For && o.Unit == x.Unit && o.Period == x.Period }) {
					continue // it has one of its own
				}
				out = append(out, u)
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return err
			}
			if len(out) == n {
				out = append(out, one)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list budgets: %w", err)
	}
	return out, nil
}

func load(tx *migrations.Tx, workspace string) ([]Budget, error) {
	rows, err := tx.Query(`SELECT workspace, scope, unit, period, most, set_by, set_at, justification FROM budgets WHERE workspace = $1 ORDER BY scope, unit, period`, workspace)
	if err != nil {
		return nil, fmt.Errorf("load budgets: %w", err)
	}
	defer rows.Close()
	var all []Budget
	for rows.Next() {
		var x Budget
		var at int64
		if err := rows.Scan(&x.Workspace, &x.Scope, &x.Unit, &x.Period, &x.Most, &x.SetBy, &at, &x.Justification); err != nil {
			return nil, fmt.Errorf("load budgets: %w", err)
		}
		x.SetAt = migrations.Time(at)
		all = append(all, x)
	}
	return all, rows.Err()
}

// limit is the budget that holds for a scope: its own, else the one for each.
func limit(all []Budget, scope, unit, period string) (Budget, bool) {
	kind, _, _ := strings.Cut(scope, ":")
	for _, s := range []string{scope, kind + ":*"} {
		for _, x := range all {
			if x.Scope == s && x.Unit == unit && x.Period == period {
				return x, true
			}
		}
	}
	return Budget{}, false
}

// May reports whether something of these units may be used now: *SpentError if a
// budget is used up, or if a model has no price where money is counted.
func (b *Budgets) May(ctx context.Context, s Subject, model string, units ...string) error {
	return b.DB.Read(ctx, func(tx *migrations.Tx) error { return b.may(tx, s, model, units...) })
}

func (b *Budgets) may(tx *migrations.Tx, s Subject, model string, units ...string) error {
	all, err := load(tx, s.Workspace)
	if err != nil || len(all) == 0 {
		return err
	}
	for _, scope := range s.scopes() {
		for _, unit := range units {
			for _, period := range Periods {
				x, ok := limit(all, scope, unit, period)
				if !ok {
					continue
				}
				name, anew := b.begins(period, tx.Now())
				if unit == Money && model != "" && !b.Prices.knows(model) {
					return &SpentError{Budget: x, Scope: scope, Anew: anew, Price: model}
				}
				used, _, err := used(tx, s.Workspace, scope, unit, period, name)
				if err != nil {
					return err
				}
				if used >= x.Most {
					return &SpentError{Budget: x, Scope: scope, Used: used, Anew: anew}
				}
			}
		}
	}
	return nil
}

func used(tx *migrations.Tx, workspace, scope, unit, period, begins string) (n, warned int64, err error) {
	rows, err := tx.Query(`SELECT used, warned FROM usage WHERE workspace = $1 AND scope = $2 AND unit = $3 AND period = $4 AND begins = $5`, workspace, scope, unit, period, begins)
	if err != nil {
		return 0, 0, fmt.Errorf("load what is used: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&n, &warned); err != nil {
			return 0, 0, fmt.Errorf("load what is used: %w", err)
		}
	}
	return n, warned, rows.Err()
}

// Book counts what was used, in the transaction that records the work, and warns
// once when a budget is used for the most part.
func (b *Budgets) Book(tx *migrations.Tx, s Subject, a Amounts) error {
	all, err := load(tx, s.Workspace)
	if err != nil {
		return err
	}
	for unit, n := range map[string]int64{Calls: a.Calls, Tokens: a.Tokens, Money: a.Money} {
		if n == 0 {
			continue
		}
		for _, scope := range s.scopes() {
			for _, period := range Periods {
				if err := b.count(tx, all, s.Workspace, scope, unit, period, n); err != nil {
					return fmt.Errorf("count what was used: %w", err)
				}
			}
		}
	}
	return nil
}

func (b *Budgets) count(tx *migrations.Tx, all []Budget, workspace, scope, unit, period string, n int64) error {
	name, anew := b.begins(period, tx.Now())
	if _, err := tx.Exec(`INSERT INTO usage (workspace, scope, unit, period, begins, used) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (workspace, scope, unit, period, begins) DO UPDATE SET used = usage.used + excluded.used`, workspace, scope, unit, period, name, n); err != nil {
		return err
	}
	x, ok := limit(all, scope, unit, period)
	if !ok {
		return nil
	}
	now, warned, err := used(tx, workspace, scope, unit, period, name)
	if err != nil || float64(now) < warnAt*float64(x.Most) || warned == x.Most+1 {
		return err
	}
	// Most + 1, because 0 means that nobody was warned.
	if _, err := tx.Exec(`UPDATE usage SET warned = $1 WHERE workspace = $2 AND scope = $3 AND unit = $4 AND period = $5 AND begins = $6`, x.Most+1, workspace, scope, unit, period, name); err != nil {
		return err
	}
	if err := b.record(tx, "budget.warning", "system", x, Amount(unit, now)); err != nil || b.Notice == nil {
		return err
	}
	return b.Notice(tx, workspace, fmt.Sprintf("budget:%s:%s:%s:%s:%d", scope, unit, period, name, x.Most),
		fmt.Sprintf("Of the budget of %s per %s, %s of %s are used. At the end of it I stop and say so; it begins anew on %s. To raise it: `/deskmate budget set %s %s %s AMOUNT why REASON`",
			ScopeWords(scope), period, Amount(unit, now), Amount(unit, x.Most), anew.Format("Mon 2 January, 15:04 MST"), scope, unit, period))
}
