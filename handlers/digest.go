package handlers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/handoff"
	"deskmate/scheduler/task"
)

// TaskDigest is the kind of the tasks that sum up the week; one for each
// workspace.
const TaskDigest = "digest"

// DefaultDigest is when digests come: on Mondays at nine, in the sponsor's zone.
const DefaultDigest = "0 9 * * 1"

const (
	// lateDigest is how late a digest still comes, after a time without a process.
	lateDigest = 3 * 24 * time.Hour
	// mostLines bounds each part of a digest.
	mostLines = 15
)

// Digest tells owners and sponsors once a week what the agent did for them, what
// it cost, what waits for whom, and what nobody owns. A digest names only what its
// reader may see; what it leaves out it counts.
type Digest struct {
	DB        *migrations.DB
	Agents    *identity.Agents
	Duties    *scheduler.Scheduler
	Approvals *identity.Approvals
	People    *bot.Directory
	Notices   *bot.Notices
	Cron      string // when; "" is DefaultDigest, "off" never
	// Unowned are the duties and threads without an owner who is there, in a line
	// each with the place that it is in; nil: nobody looks.
	Unowned func(ctx context.Context, workspace string) ([]Placed, error)
	// Offered are the handoffs that wait for somebody; nil: there are none.
	Offered func(ctx context.Context, workspace string) ([]Waiting, error)
	Logger  zerolog.Logger
}

// Placed is a line about something in a place.
type Placed struct{ Channel, Text string }

// Waiting is a line about something that waits for people.
type Waiting struct {
	Placed
	For []string // Slack user ids; nil: whoever may decide
	By  string   // who would have it, and is told too
}

// Look has the digest of a workspace looked after.
func (h *Digest) Look(tx *migrations.Tx, workspace string) error {
	if h.Cron == "off" {
		return nil
	}
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: TaskDigest, Key: TaskDigest + ":" + workspace})
}

// Handle sends the digest of one workspace if it is due. It is the task handler of
// kind "digest".
func (h *Digest) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	agent, err := h.Agents.Get(ctx, lease.Workspace)
	if err != nil {
		return task.Result{}, err
	}
	if h.Cron == "off" || agent.State == identity.StateRetired {
		return task.Result{}, nil
	}
	when, err := h.schedule(ctx, agent)
	if err != nil {
		return task.Result{}, err
	}
	told, err := h.told(ctx, lease)
	if err != nil {
		return task.Result{}, err
	}
	due := when.Next(told)
	for next := when.Next(due); !next.IsZero() && !next.After(h.DB.Now()); next = when.Next(due) {
		due = next // one digest for all the weeks that nobody was there to tell
	}
	if due.IsZero() || due.After(h.DB.Now()) {
		return task.Result{Again: due}, nil
	}
	var posts []note
	if h.DB.Now().Sub(due) <= lateDigest && agent.State == identity.StateActive {
		since := told
		if week := due.AddDate(0, 0, -7); since.Before(week) {
			since = week
		}
		if posts, err = h.write(ctx, agent, since, due); err != nil {
			return task.Result{}, fmt.Errorf("write digest of %s: %w", lease.Workspace, err)
		}
	}
	err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		for _, p := range posts {
			if err := h.Notices.To(tx, lease.Workspace, p.to, fmt.Sprintf("digest:%s:%d:%s", lease.Workspace, due.Unix(), p.to), p.text); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE digests SET told_to = $1 WHERE workspace = $2`, migrations.Micros(due), lease.Workspace)
		return err
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("send digest of %s: %w", lease.Workspace, err)
	}
	return task.Result{Again: when.Next(due)}, nil
}

// schedule is when digests come, in the zone of the first sponsor who is there.
func (h *Digest) schedule(ctx context.Context, agent identity.Agent) (scheduler.Schedule, error) {
	s := scheduler.Schedule{Cron: h.Cron, TZ: "UTC"}
	if s.Cron == "" {
		s.Cron = DefaultDigest
	}
	for _, id := range agent.Sponsors() {
		if p, err := h.People.Person(ctx, agent.Workspace, id); err == nil && !p.IsDeleted && p.TZ != "" {
			if _, err := time.LoadLocation(p.TZ); err == nil {
				s.TZ = p.TZ
				break
			}
		}
	}
	return s, s.Validate()
}

// told is up to when the workspace has been told; a new one is told from now on.
func (h *Digest) told(ctx context.Context, lease *task.Lease) (time.Time, error) {
	var at int64
	err := h.DB.QueryRow(ctx, `SELECT told_to FROM digests WHERE workspace = $1`, lease.Workspace).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		at = migrations.Micros(h.DB.Now())
		err = h.DB.Write(ctx, func(tx *migrations.Tx) error {
			if err := lease.Guard(tx); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO digests (workspace, told_to) VALUES ($1, $2) ON CONFLICT DO NOTHING`, lease.Workspace, at)
			return err
		})
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look how far the digest of %s is: %w", lease.Workspace, err)
	}
	return migrations.Time(at), nil
}

// note is a digest for one person.
type note struct{ to, text string }

// week is what there is to tell, of all.
type week struct {
	since, until time.Time
	did          []scheduler.Did
	waiting      []Waiting
	unowned      []Placed
	asked        int64 // requests of people that were worked
	failed       int64
	tokens       int64
}

func (h *Digest) write(ctx context.Context, agent identity.Agent, since, until time.Time) ([]note, error) {
	w := week{since: since, until: until}
	var err error
	if w.did, err = h.Duties.Did(ctx, agent.Workspace, since, until); err != nil {
		return nil, err
	}
	if w.waiting, err = h.waiting(ctx, agent); err != nil {
		return nil, err
	}
	if h.Unowned != nil {
		if w.unowned, err = h.Unowned(ctx, agent.Workspace); err != nil {
			return nil, err
		}
	}
	err = h.DB.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN state = 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(input_tokens + output_tokens), 0)
		FROM turns WHERE workspace = $1 AND started_at >= $2 AND started_at < $3 AND cause_kind <> 'duty'`,
		agent.Workspace, migrations.Micros(since), migrations.Micros(until)).Scan(&w.asked, &w.failed, &w.tokens)
	if err != nil {
		return nil, fmt.Errorf("count requests: %w", err)
	}
	var people []string
	add := func(ids ...string) {
		for _, id := range ids {
			if id != "" && !slices.Contains(people, id) {
				people = append(people, id)
			}
		}
	}
	add(agent.Sponsors()...)
	for _, d := range w.did {
		add(d.Duty.Owner)
	}
	for _, x := range w.waiting {
		add(x.For...)
		add(x.By)
	}
	var notes []note
	for _, id := range people {
		who, err := h.People.Person(ctx, agent.Workspace, id)
		if err != nil || who.IsDeleted || who.Kind != bot.KindMember {
			continue // who is not there is told nothing; what they own is among the unowned
		}
		text, err := h.text(ctx, agent, w, id)
		if err != nil {
			return nil, err
		}
		if text != "" {
			notes = append(notes, note{id, text})
		}
	}
	return notes, nil
}

// waiting are approvals and handoffs that wait for people.
func (h *Digest) waiting(ctx context.Context, agent identity.Agent) ([]Waiting, error) {
	pending, err := h.Approvals.List(ctx, agent.Workspace, false, 200)
	if err != nil {
		return nil, err
	}
	var all []Waiting
	for _, a := range pending {
		w := Waiting{Placed: Placed{a.Channel, fmt.Sprintf("`%s`, asked for by <@%s>, waits for %s until %s", a.Tool, a.Requester,
			identity.ApproverWords(a.Approvers, agent.Sponsor), a.ExpiresAt.UTC().Format("Mon 2 Jan 15:04 UTC"))}, By: a.Requester}
		for _, word := range a.Approvers {
			if id, ok := strings.CutPrefix(word, "user:"); ok {
				w.For = append(w.For, id)
			}
		}
		all = append(all, w)
	}
	if h.Offered != nil {
		more, err := h.Offered(ctx, agent.Workspace)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// UnownedLines gives the duties and threads that nobody answers for, for a digest.
func UnownedLines(over *bot.Handover) func(ctx context.Context, workspace string) ([]Placed, error) {
	return func(ctx context.Context, workspace string) ([]Placed, error) {
		orphans, err := over.Handoffs.Unowned(ctx, workspace)
		if err != nil {
			return nil, err
		}
		var all []Placed
		for _, o := range orphans {
			line := Placed{Text: fmt.Sprintf("its owner <@%s> %s", o.Owner, o.Why)}
			if o.Kind == handoff.KindThread {
				line.Channel, _ = o.Thread()
				line.Text = fmt.Sprintf("a thread in <#%s>: %s", line.Channel, line.Text)
			} else if d, err := over.Duties.Get(ctx, o.ID); err == nil {
				line.Channel = d.Channel
				line.Text = fmt.Sprintf("`%s` %s: %s", d.ID, plain(d.Title), line.Text)
			} else if errors.Is(err, scheduler.ErrNoDuty) {
				continue
			} else {
				return nil, err
			}
			all = append(all, line)
		}
		return all, nil
	}
}

// OfferedLines gives the handoffs that wait for an answer, for a digest.
func OfferedLines(over *bot.Handover) func(ctx context.Context, workspace string) ([]Waiting, error) {
	return func(ctx context.Context, workspace string) ([]Waiting, error) {
		offers, err := over.Handoffs.List(ctx, handoff.Filter{Workspace: workspace, Open: true})
		if err != nil {
			return nil, err
		}
		var all []Waiting
		for _, o := range offers {
			text := fmt.Sprintf("handoff `%s` of %s from <@%s> waits for <@%s> until %s", o.ID, count(int64(o.Count(handoff.StateOffered)), "item"), o.From, o.To, o.ExpiresAt.UTC().Format("Mon 2 Jan"))
			all = append(all, Waiting{Placed: Placed{Text: text}, For: []string{o.To}, By: o.From})
		}
		return all, nil
	}
}

// text is the digest for one person: a sponsor is told of all, an owner of their
// own. "" where there is nothing to tell.
func (h *Digest) text(ctx context.Context, agent identity.Agent, w week, person string) (string, error) {
	sponsor := agent.SponsoredBy(person)
	var b strings.Builder
	var tokens, cost int64
	var did []string
	hidden := 0
	for _, d := range w.did {
		if !sponsor && d.Duty.Owner != person {
			continue
		}
		tokens, cost = tokens+d.Tokens, cost+d.Cost
		sees, err := h.People.Reads(ctx, agent.Workspace, d.Duty.Channel, person)
		if err != nil {
			return "", err
		}
		if !sees && d.Duty.Owner != person {
			hidden++
			continue
		}
		if d.Runs() > 0 || d.Duty.State == scheduler.StatePaused || d.Duty.Owner == person {
			did = append(did, didLine(d, sponsor))
		}
	}
	section(&b, "**Duties**", did, hidden)
	waits, unseen := []string{}, 0
	for _, x := range w.waiting {
		mine := x.By == person || slices.Contains(x.For, person)
		if !mine && !sponsor {
			continue
		}
		sees, err := h.People.Reads(ctx, agent.Workspace, x.Channel, person)
		if err != nil {
			return "", err
		}
		if !sees && !mine {
			unseen++
			continue
		}
		waits = append(waits, x.Text)
	}
	section(&b, "**Waits for a decision**", waits, unseen)
	if sponsor {
		var lines []string
		unseen = 0
		for _, x := range w.unowned {
			sees, err := h.People.Reads(ctx, agent.Workspace, x.Channel, person)
			if err != nil {
				return "", err
			}
			if !sees {
				unseen++
				continue
			}
			lines = append(lines, x.Text)
		}
		section(&b, "**Nobody owns**", lines, unseen)
	}
	if b.Len() == 0 && (!sponsor || w.asked == 0) {
		return "", nil
	}
	head := fmt.Sprintf("**Your week with me**, %s to %s.", w.since.Format("Mon 2 Jan"), w.until.Format("Mon 2 Jan"))
	if sponsor {
		tokens += w.tokens
		head += fmt.Sprintf(" %s worked", count(w.asked, "request"))
		if w.failed > 0 {
			head += fmt.Sprintf(", %d of them without success", w.failed)
		}
		head += "."
	}
	if tokens > 0 || cost > 0 {
		head += fmt.Sprintf(" Used: %s of models%s.", count(tokens, "token"), costWords(cost))
	}
	return head + "\n" + b.String(), nil
}

func didLine(d scheduler.Did, owner bool) string {
	text := fmt.Sprintf("`%s` %s in <#%s>: ", d.Duty.ID, plain(d.Duty.Title), d.Duty.Channel)
	if strings.HasPrefix(d.Duty.Channel, "D") {
		text = fmt.Sprintf("`%s` %s: ", d.Duty.ID, plain(d.Duty.Title))
	}
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{d.Done, "done"}, {d.Failed, "failed"}, {d.Skipped, "skipped"}, {d.Open, "open"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no runs"}
	}
	text += strings.Join(parts, ", ")
	if d.Tokens > 0 {
		text += fmt.Sprintf(", %s%s", count(d.Tokens, "token"), costWords(d.Cost))
	}
	if owner {
		text += ", owner <@" + d.Duty.Owner + ">"
	}
	if d.Duty.State == scheduler.StatePaused {
		text += ", **paused**"
		if d.Duty.PausedWhy != "" {
			text += ": " + plain(d.Duty.PausedWhy)
		}
	}
	if d.Error != "" {
		text += ". Last failure: " + plain(d.Error)
	}
	return text
}

// section adds a part with its lines, if it has any.
func section(b *strings.Builder, head string, lines []string, hidden int) {
	if len(lines) == 0 && hidden == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", head)
	for i, line := range lines {
		if i == mostLines {
			fmt.Fprintf(b, "- and %d more\n", len(lines)-i)
			break
		}
		fmt.Fprintf(b, "- %s\n", line)
	}
	if hidden > 0 {
		fmt.Fprintf(b, "- and %d in places that you cannot see\n", hidden)
	}
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// costWords is an amount of money in millionths; "" for none.
func costWords(millionths int64) string {
	if millionths == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.2f)", float64(millionths)/1e6)
}
