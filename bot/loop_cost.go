package bot

import (
	"context"
	"fmt"
	"strconv"

	"deskmate/identity/budget"
	"deskmate/identity/ledger"
	"deskmate/identity/monitor"
	"deskmate/migrations"
)

// payer is who and where the turn's next step counts for: who said the last word
// pays for what follows from it.
func (t *Turn) payer() budget.Subject {
	e := t.last()
	return budget.Subject{Workspace: t.Workspace, Channel: t.Channel, Person: e.User, Duty: e.Duty}
}

// affordable fails with *budget.SpentError where a budget is used up.
func (l *Loop) affordable(ctx context.Context, t *Turn) error {
	if l.Budgets == nil {
		return nil
	}
	return l.Budgets.May(ctx, t.payer(), l.Model.Name(), budget.Tokens, budget.Money)
}

// answered stores what a model answered, with what it took: both or neither.
func (l *Loop) answered(tx *migrations.Tx, t *Turn, n int, resp *Response) error {
	if err := t.addAt(tx, n, Step{Kind: stepModel, Model: resp}); err != nil {
		return err
	}
	if l.Budgets == nil {
		return nil
	}
	in, out := int64(resp.Usage.Input), int64(resp.Usage.Output)
	cost := l.Budgets.Prices.Cost(resp.Model, in, out)
	if err := l.Budgets.Book(tx, t.payer(), budget.Amounts{Tokens: in + out, Money: cost}); err != nil {
		return err
	}
	p := t.payer()
	_, err := l.Ledger.Append(tx, ledger.Record{Workspace: t.Workspace, Kind: "model.called", Requester: p.Person, Turn: t.ID, Channel: t.Channel, Thread: t.Thread,
		Fields: map[string]string{monitor.FieldTokens: strconv.FormatInt(in+out, 10), ledger.FieldCost: strconv.FormatInt(cost, 10), "model": resp.Model}})
	if err != nil {
		return fmt.Errorf("record what the model took: %w", err)
	}
	return nil
}
