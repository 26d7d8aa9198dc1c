package scheduler

import (
	"context"
	"fmt"
	"time"

	"deskmate/migrations"
)

// Did is what became of a duty's runs in a time.
type Did struct {
	Duty    Duty
	Done    int64 // runs that ended well
	Quiet   int64 // of them, those with nothing to report
	Failed  int64
	Skipped int64 // skipped or stopped
	Open    int64 // at work, or waiting
	Tokens  int64 // of models
	Cost    int64 // in millionths
	Error   string
}

// Runs is how many there were.
func (d Did) Runs() int64 { return d.Done + d.Failed + d.Skipped + d.Open }

// Did tells of all duties of a workspace that are alive, or had runs that were
// due from since on and before until. Error is that of the newest failure.
func (s *Scheduler) Did(ctx context.Context, workspace string, since, until time.Time) ([]Did, error) {
	duties, err := s.List(ctx, Filter{Workspace: workspace, Deleted: true})
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT r.duty, r.state, COUNT(*), SUM(CASE WHEN r.said = 0 THEN 1 ELSE 0 END), SUM(r.tokens), SUM(r.cost)
		FROM runs r JOIN duties d ON d.id = r.duty
		WHERE d.workspace = $1 AND r.due_at >= $2 AND r.due_at < $3 GROUP BY r.duty, r.state`,
		workspace, migrations.Micros(since), migrations.Micros(until))
	if err != nil {
		return nil, fmt.Errorf("sum up runs of %s: %w", workspace, err)
	}
	defer rows.Close()
	sums := map[string]*Did{}
	for rows.Next() {
		var duty, state string
		var n, quiet, tokens, cost int64
		if err := rows.Scan(&duty, &state, &n, &quiet, &tokens, &cost); err != nil {
			return nil, fmt.Errorf("sum up runs of %s: %w", workspace, err)
		}
		d := sums[duty]
		if d == nil {
			d = &Did{}
			sums[duty] = d
		}
		d.Tokens, d.Cost = d.Tokens+tokens, d.Cost+cost
		switch state {
		case RunDone:
			d.Done, d.Quiet = d.Done+n, d.Quiet+quiet
		case RunFailed:
			d.Failed += n
		case RunDue, RunWaiting:
			d.Open += n
		default:
			d.Skipped += n
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sum up runs of %s: %w", workspace, err)
	}
	var all []Did
	for _, duty := range duties {
		d := sums[duty.ID]
		if d == nil {
			if duty.State == StateDone || duty.State == StateDeleted {
				continue
			}
			d = &Did{}
		}
		if d.Duty = duty; d.Failed > 0 {
			err := s.db.QueryRow(ctx, `SELECT error FROM runs WHERE duty = $1 AND state = 'failed' AND due_at >= $2 AND due_at < $3 ORDER BY due_at DESC LIMIT 1`,
				duty.ID, migrations.Micros(since), migrations.Micros(until)).Scan(&d.Error)
			if err != nil {
				return nil, fmt.Errorf("look for the failure of %s: %w", duty.ID, err)
			}
		}
		all = append(all, *d)
	}
	return all, nil
}
