package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity"
	"deskmate/identity/label"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/task"
)

// TaskRun is the kind of the tasks that work runs of duties: apart from threads, so
// that a crowd of runs does not keep people waiting, and each by itself, so that
// none waits for another in the same place.
const TaskRun = "run"

// RunKey names the task that works a run.
func RunKey(workspace, run string) string {
	return strings.Join([]string{TaskRun, workspace, run}, ":")
}

// kindOf is the kind of the task that has a key.
func kindOf(key string) string {
	if strings.HasPrefix(key, TaskRun+":") {
		return TaskRun
	}
	return TaskThread
}

// system is who stops a run for the one after it.
const system = "system"

// Report says how the result of a run is told. The zero Report is a root of its own.
type Report struct {
	By     string `json:"by,omitempty"`     // scheduler.ReportRun, ReportDay or ReportThread
	Root   string `json:"root,omitempty"`   // key of the post that the results of a day go under
	Title  string `json:"title,omitempty"`  // and its text
	Silent bool   `json:"silent,omitempty"` // nothing to report is not said
	Dry    bool   `json:"dry,omitempty"`    // the run only says what it would do
}

// RunEvent is the event of a run that is handed on.
func RunEvent(d scheduler.Duty, r scheduler.Run, now time.Time) Event {
	e := Event{
		Workspace: d.Workspace, Key: fmt.Sprintf("duty:%s:%s", d.ID, r.ID), Kind: KindDuty, Channel: d.Channel, ChannelKind: d.ChannelKind,
		User: d.Owner, Text: d.Prompt, Duty: d.ID, Run: r.ID, Cause: r.Cause, Note: r.Note, At: now,
		Report: Report{By: d.Report, Silent: d.Silent, Dry: r.Dry},
	}
	if cause, has, err := scheduler.ReadCause(r.Cause); err != nil {
		e.Label = label.From("tool", "cause") // nobody can tell who answers for it
	} else if has {
		e.Text, e.Label = RunText(d.Prompt, cause), cause.Label
	}
	if r.Tries > 1 {
		e.Key += fmt.Sprintf(":%d", r.Tries)
	}
	if r.Dry {
		e.User = r.AskedBy
	}
	switch d.Report {
	case scheduler.ReportThread:
		e.Thread = d.Thread
	case scheduler.ReportDay:
		loc, err := time.LoadLocation(d.Schedule.TZ)
		if err != nil {
			loc = time.UTC
		}
		day := now.In(loc)
		e.Report.Root, e.Report.Title = "day:"+d.ID+":"+day.Format(time.DateOnly), d.Title+" · "+day.Format("Monday 2 January")
	}
	return e
}

// owned reports whether the one who asks owns the duty that the event is a run of.
func (e Event) owned() bool { return e.Kind == KindDuty && !e.Report.Dry }

// began is the event that the turn began with.
func (t *Turn) began() Event {
	for _, s := range t.Steps {
		if s.Event != nil {
			return *s.Event
		}
	}
	return Event{}
}

// mayRun loads the duty that a turn is a run of, as it is now, and says why it must
// not be worked: hold is for the duty too, until somebody decides. quiet is a reason
// that nobody needs to be told.
func (l *Loop) mayRun(ctx context.Context, t *Turn) (hold, quiet string, err error) {
	e := t.began()
	if e.Run == "" {
		return "", "", nil
	}
	err = l.DB.Read(ctx, func(tx *migrations.Tx) error {
		var err error
		t.duty, err = l.Duties.Working(tx, e.Run)
		return err
	})
	if errors.Is(err, scheduler.ErrNoDuty) {
		return "", "the duty was deleted", nil
	}
	if err == nil && e.Report.Dry {
		why, err := l.People.blind(ctx, t.Workspace, t.Channel, e.User, "where it was asked for")
		if why != "" {
			quiet = "who asked what it would do may not read there any more"
		}
		return "", quiet, err
	}
	if err != nil || strings.HasPrefix(t.duty.Owner, "cli:") {
		return "", "", err
	}
	p, err := l.People.Person(ctx, t.Workspace, t.duty.Owner)
	switch {
	case isRefusal(err):
		return "its owner <@" + t.duty.Owner + "> is nobody whom Slack knows here", "", nil
	case err != nil:
		return "", "", err
	case p.IsDeleted:
		return "its owner <@" + t.duty.Owner + "> is deactivated", "", nil
	case p.Kind != KindMember:
		return "its owner <@" + t.duty.Owner + "> is not a full member here any more", "", nil
	}
	// What it reads is what its owner may know there: who has gone meanwhile has
	// nothing read for them, also where nobody told us that they went.
	hold, err = l.People.blind(ctx, t.Workspace, t.Channel, t.duty.Owner, "where it reports")
	return hold, "", err
}

// refused says why the turn must not use a tool, "" if the duty that it is a run of
// lets it.
func (t *Turn) refused(tool Tool) string {
	e := t.began()
	switch {
	case e.Run == "":
		return ""
	case e.Report.Dry && tool.Class != identity.ClassRead:
		return "this is a dry run, which only reads and says what it would do"
	case t.duty.Tools != nil && !slices.Contains(t.duty.Tools, tool.Name):
		return fmt.Sprintf("the duty %s may use only these tools: %s", t.duty.ID, strings.Join(t.duty.Tools, ", "))
	}
	return ""
}

// permitted are the tools that the duty of the turn lets it use.
func (t *Turn) permitted(all []Tool) []Tool {
	if t.began().Run == "" {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(tool Tool) bool { return t.refused(tool) != "" })
}

// answerTokens bounds one answer of the model by what the duty's run may still use.
func (l *Loop) answerTokens(t *Turn) int {
	if t.duty.RunTokens == 0 {
		return l.Limits.Answer
	}
	return max(1, min(l.Limits.Answer, int(t.duty.RunTokens)-t.Usage.Input-t.Usage.Output))
}

// nothing reports whether a run's answer says that there is nothing to report.
func nothing(answer string) bool {
	return strings.EqualFold(strings.Trim(answer, " .!*_`\"\n"), "nothing to report") || strings.TrimSpace(answer) == ""
}

// endRun notes how the run of a turn ended, in the transaction that ends the turn,
// and words what is said of it, "" for nothing.
func (l *Loop) endRun(tx *migrations.Tx, t *Turn, state, why, answer string) (string, error) {
	e := t.began()
	end := scheduler.Ending{Run: e.Run, Turn: t.ID, State: scheduler.RunDone, Why: why, Quiet: state == TurnDone && nothing(answer)}
	switch {
	case t.hold != "" || t.quiet != "":
		end.State, end.Why = scheduler.RunSkipped, t.hold+t.quiet
	case state == TurnFailed:
		end.State = scheduler.RunFailed
	case state == TurnStopped:
		end.State = scheduler.RunStopped
	}
	var err error
	if end.Outward, err = outward(tx, t.ID); err != nil {
		return "", err
	}
	end.Tokens, end.Cost = l.spent(t)
	if t.hold != "" {
		if _, err := l.Duties.Hold(tx, e.Duty, system, time.Time{}, t.hold); err != nil && !errors.Is(err, scheduler.ErrNoDuty) {
			return "", err
		}
	}
	after, err := l.Duties.Ended(tx, end)
	if err != nil {
		return "", err
	}
	switch {
	case t.quiet != "" && e.Report.Dry: // not where they asked: they may have gone from there
		return "", l.Outbox.Queue(tx, Post{Workspace: t.Workspace, Channel: e.User, ChannelKind: ChannelDirect, Key: "untried:" + t.ID, Ours: true, Requester: e.User, Tool: ToolReply,
			Text: fmt.Sprintf("I did not look what the duty `%s` would do: %s.", e.Duty, t.quiet)})
	case t.quiet != "" || end.Quiet && e.Report.Silent:
		return "", nil
	case end.Quiet:
		answer = "Nothing to report."
	case state == TurnFailed:
		answer = fullStop(answer) + l.nextTry(t, after)
	case state == TurnStopped:
		return answer, nil
	}
	if e.Note != "" {
		answer += "\n\n_" + e.Note + "_"
	}
	return answer, nil
}

// fullStop is text with a full stop at its end.
func fullStop(text string) string {
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?:`\n") {
		return text
	}
	return text + "."
}

// nextTry says when a duty whose run failed is worked next.
func (l *Loop) nextTry(t *Turn, after scheduler.After) string {
	at := func(when time.Time) string {
		loc, err := time.LoadLocation(t.duty.Schedule.TZ)
		if err != nil {
			loc = time.UTC
		}
		return when.In(loc).Format("Mon 2 Jan 15:04")
	}
	switch {
	case t.hold != "" && t.duty.State == scheduler.StateDone:
		return " It was due this one time: whoever still wants it can ask me for it anew."
	case t.hold != "":
		return " I paused the duty until somebody takes it over or resumes it."
	case after.Held:
		return "" // said by the card that asks what to do
	case !after.Again.IsZero():
		return " I try again " + at(after.Again) + "."
	case !after.Next.IsZero():
		return " The next time is " + at(after.Next) + "."
	}
	return ""
}

// spent is what the turn's models took.
func (l *Loop) spent(t *Turn) (tokens, cost int64) {
	add := func(r *Response) {
		in, out := int64(r.Usage.Input), int64(r.Usage.Output)
		tokens += in + out
		if l.Budgets != nil {
			cost += l.Budgets.Prices.Cost(r.Model, in, out)
		}
	}
	for _, s := range t.Steps {
		if s.Model != nil {
			add(s.Model)
		}
	}
	if t.closing != nil {
		add(t.closing)
	}
	return tokens, cost
}

// outward reports whether a turn has begun anything that is not a read and not its
// own answer, status or card.
func outward(tx *migrations.Tx, turn string) (bool, error) {
	rows, err := tx.Query(`SELECT tool FROM actions WHERE turn = $1 AND class <> 'read' AND state IN ('intended', 'done', 'unknown')`, turn)
	if err != nil {
		return false, fmt.Errorf("look for effects of turn %s: %w", turn, err)
	}
	defer rows.Close()
	any := false
	for rows.Next() {
		var tool string
		if err := rows.Scan(&tool); err != nil {
			return false, fmt.Errorf("look for effects of turn %s: %w", turn, err)
		}
		any = any || !manners[tool] || tool == ToolReply
	}
	return any, rows.Err()
}

// runReply is the post that reports a run, and the root that it goes under, if any.
func (l *Loop) runReply(t *Turn, state string, p Post) []Post {
	e := t.began()
	p.Run = e.Run
	switch {
	case state == TurnStopped:
		p.Thread = first(t.answerIn, p.Thread)
		return []Post{p}
	case state == TurnFailed && e.Report.Silent && t.hold == "": // who does not want to hear of nothing hears of this in private
		p.Channel, p.Thread, p.ChannelKind, p.Tool, p.Ours = e.User, "", ChannelDirect, ToolNotice, true
		p.Text = fmt.Sprintf("A run of your duty *%s* (`%s`) failed. %s", t.duty.Title, e.Duty, p.Text)
		return []Post{p}
	case e.Report.Root == "":
		return []Post{p}
	}
	root := p
	root.Key, root.Text, root.Run, root.Links = e.Report.Root, e.Report.Title, "", nil
	p.Under = root.Key
	return []Post{root, p}
}

// Dropped ends a run whose work was stopped before it began.
func (l *Loop) Dropped(tx *migrations.Tx, e Event, by string) error {
	if e.Run == "" || e.Kind != KindDuty {
		return nil
	}
	_, err := l.Duties.Ended(tx, scheduler.Ending{Run: e.Run, State: scheduler.RunStopped, Why: "stopped by " + by})
	return err
}

// StopRun ends a run that is at work, for the one after it.
func (b *Inbox) StopRun(tx *migrations.Tx, d scheduler.Duty, r scheduler.Run) error {
	e := Event{Workspace: d.Workspace, Key: "stop:" + r.ID, Kind: KindStop, Channel: d.Channel, ChannelKind: d.ChannelKind, User: system, Run: r.ID, At: tx.Now()}
	return b.stopRun(tx, e)
}

func (b *Inbox) stopRun(tx *migrations.Tx, e Event) error {
	fresh, err := insert(tx, e, "new")
	if err != nil || !fresh {
		return err
	}
	if err := wakeThread(tx, e); err != nil {
		return err
	}
	return stopThread(tx, e)
}

// stopRuns passes a stop on to the runs at work that report in its thread or have
// asked something there, and says whether there are any.
func (b *Inbox) stopRuns(tx *migrations.Tx, e Event) (bool, error) {
	rows, err := tx.Query(`SELECT id, thread_key FROM turns WHERE workspace = $1 AND channel = $2 AND thread_ts = $3 AND state = 'running' AND cause_kind = 'duty'
		UNION SELECT t.id, t.thread_key FROM outbox o JOIN turns t ON t.id = o.turn
			WHERE o.workspace = $1 AND o.channel = $2 AND o.ts = $3 AND o.ts <> '' AND t.state = 'running' AND t.cause_kind = 'duty'`,
		e.Workspace, e.Channel, e.Thread)
	if err != nil {
		return false, fmt.Errorf("look for runs in %s: %w", e.threadKey(), err)
	}
	defer rows.Close()
	var runs []string
	for rows.Next() {
		var turn, key string
		if err := rows.Scan(&turn, &key); err != nil {
			return false, fmt.Errorf("look for runs in %s: %w", e.threadKey(), err)
		}
		if kindOf(key) == TaskRun {
			runs = append(runs, key[len(RunKey(e.Workspace, "")):])
		}
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("look for runs in %s: %w", e.threadKey(), err)
	}
	for _, run := range runs {
		one := e
		one.Key, one.Run = e.Key+":"+run, run
		if err := b.stopRun(tx, one); err != nil {
			return false, err
		}
	}
	return len(runs) > 0, nil
}

// wake has the task of a key look at it.
func wake(tx *migrations.Tx, workspace, key string) error {
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: kindOf(key), Key: key})
}
