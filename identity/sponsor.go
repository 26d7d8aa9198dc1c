package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// TaskSponsor is the kind of the tasks that look whether somebody answers for an
// agent; one for each workspace.
const TaskSponsor = "sponsor"

// DefaultSponsorGrace is how long an agent works on without a sponsor.
const DefaultSponsorGrace = 7 * 24 * time.Hour

// sponsorEvery is how often sponsors are looked up where nothing was heard.
const sponsorEvery = 24 * time.Hour

// sponsorReminders are the times after the loss at which people are reminded.
var sponsorReminders = []time.Duration{24 * time.Hour, 4 * 24 * time.Hour, 6 * 24 * time.Hour}

// Sponsors are the Slack user ids of those who answer for the agent, in the order
// in which they were named.
func (a Agent) Sponsors() []string {
	var all []string
	for _, id := range strings.FieldsFunc(a.Sponsor, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

// SponsoredBy reports whether the person is one of those who answer for the agent.
func (a Agent) SponsoredBy(person string) bool {
	return person != "" && slices.Contains(a.Sponsors(), person)
}

// Sponsors looks after it that a human answers for each agent: when none of the
// sponsors is an active full member any more, there is a grace, and then the agent
// is suspended. Slack that does not answer is neither a loss nor a find.
type Sponsors struct {
	DB     *migrations.DB
	Ledger *ledger.Ledger
	Roll   Roll
	Grace  time.Duration // 0: DefaultSponsorGrace
	// Notice tells the admins; key names the notice for ever. Nil: nobody is told.
	Notice func(tx *migrations.Tx, workspace, key, text string) error
}

// Sponsorship is what is known of those who answer for an agent.
type Sponsorship struct {
	Sponsors []string  `json:"sponsors"`
	Away     []string  `json:"away,omitempty"`   // of them, who is no active full member
	LostAt   time.Time `json:"lost_at,omitzero"` // since when nobody answers for it
	Until    time.Time `json:"until,omitzero"`   // when it is suspended for that
	reminded int       // reminders that are behind
}

// Active are the sponsors who were active full members at the last look; those
// who were never looked at count as such.
func (s Sponsorship) Active() []string {
	return slices.DeleteFunc(slices.Clone(s.Sponsors), func(id string) bool { return slices.Contains(s.Away, id) })
}

// SponsorshipOf reads what is known of the sponsors of a workspace's agent.
func SponsorshipOf(tx *migrations.Tx, workspace string) (Sponsorship, error) {
	var s Sponsorship
	var sponsor, away string
	var lost, until int64
	err := tx.QueryRow(`SELECT sponsor, sponsors_away, sponsor_lost_at, sponsor_until, sponsor_reminded FROM agents WHERE workspace = $1`, workspace).
		Scan(&sponsor, &away, &lost, &until, &s.reminded)
	if err != nil {
		return s, fmt.Errorf("load sponsors: %w", err)
	}
	s.Sponsors, s.Away = Agent{Sponsor: sponsor}.Sponsors(), Agent{Sponsor: away}.Sponsors()
	s.LostAt, s.Until = migrations.Time(lost), migrations.Time(until)
	return s, nil
}

func sponsorKey(workspace string) string { return TaskSponsor + ":" + workspace }

// Look has the sponsors of a workspace looked up soon: at a start, because others
// may be configured, and when one of them changed.
func (s *Sponsors) Look(tx *migrations.Tx, workspace string) error {
	return task.Wake(tx, task.Waking{Workspace: workspace, Kind: TaskSponsor, Key: sponsorKey(workspace)})
}

// Handle looks up the sponsors of one workspace and does what follows. It is the
// task handler of kind "sponsor".
func (s *Sponsors) Handle(ctx context.Context, lease *task.Lease) (task.Result, error) {
	var agent Agent
	err := s.DB.Read(ctx, func(tx *migrations.Tx) (err error) {
		agent, err = loadAgent(tx, lease.Workspace)
		return err
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("look after sponsors: %w", err)
	}
	if agent.State == StateRetired {
		return task.Result{}, nil
	}
	away, err := s.away(ctx, agent)
	if err != nil {
		return task.Result{}, fmt.Errorf("look after sponsors of %s: %w", agent.Workspace, err)
	}
	var again time.Time
	err = s.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		now, err := loadAgent(tx, lease.Workspace)
		if err != nil {
			return err
		}
		if now.Sponsor != agent.Sponsor || now.User != agent.User {
			again = tx.Now() // others were named meanwhile
			return nil
		}
		again, err = s.settle(tx, now, away)
		return err
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("look after sponsors of %s: %w", agent.Workspace, err)
	}
	return task.Result{Again: again}, nil
}

// away are the sponsors who are no active full members. It is an error if that
// cannot be told and nobody is known to be there.
func (s *Sponsors) away(ctx context.Context, agent Agent) ([]string, error) {
	var away []string
	var unknown error
	there := false
	for _, id := range agent.Sponsors() {
		who, err := s.Roll.Standing(ctx, agent.Workspace, id, nil)
		switch {
		case err != nil: // said to be neither away nor there
			unknown = fmt.Errorf("look up %s: %w", id, err)
		case !who.Active || who.Kind != kindMember || id == agent.User:
			away = append(away, id)
		default:
			there = true
		}
	}
	if !there && unknown != nil {
		return nil, unknown
	}
	return away, nil
}

// settle does what follows from who is away, and says when to look again.
func (s *Sponsors) settle(tx *migrations.Tx, agent Agent, away []string) (time.Time, error) {
	was, err := SponsorshipOf(tx, agent.Workspace)
	if err != nil {
		return time.Time{}, err
	}
	is := Sponsorship{Sponsors: was.Sponsors, Away: away, LostAt: was.LostAt, reminded: was.reminded}
	again := tx.Now().Add(sponsorEvery)
	if len(is.Active()) > 0 {
		is.LostAt, is.reminded = time.Time{}, 0
		if err := s.store(tx, agent, was, is); err != nil || was.LostAt.IsZero() {
			return again, err
		}
		return again, s.found(tx, agent, was, is)
	}
	if is.LostAt.IsZero() {
		is.LostAt = tx.Now()
	}
	is.Until = is.LostAt.Add(s.grace())
	over := !tx.Now().Before(is.Until)
	due, next := s.reminders(tx.Now().Sub(is.LostAt))
	is.reminded = max(due, was.reminded)
	for _, t := range []time.Time{is.LostAt.Add(next), is.Until} {
		if t.After(tx.Now()) && t.Before(again) {
			again = t
		}
	}
	// Stored first: who is told depends on who is there.
	if err := s.store(tx, agent, was, is); err != nil {
		return again, err
	}
	if was.LostAt.IsZero() {
		if err := s.lost(tx, agent, is); err != nil {
			return again, err
		}
	}
	if is.reminded > was.reminded && !over {
		if err := s.tell(tx, agent, is, fmt.Sprintf("reminder-%d", due), s.words(is, false)+" "+howToSponsor); err != nil {
			return again, err
		}
	}
	if over && agent.State == StateActive {
		return again, s.suspend(tx, agent, is)
	}
	return again, nil
}

func (s *Sponsors) grace() time.Duration {
	if s.Grace <= 0 {
		return DefaultSponsorGrace
	}
	return s.Grace
}

// reminders says how many reminders are due after so long, and when the next is.
func (s *Sponsors) reminders(after time.Duration) (due int, next time.Duration) {
	for _, at := range sponsorReminders {
		switch {
		case at >= s.grace():
		case after >= at:
			due++
		case next == 0:
			next = at
		}
	}
	return due, next
}

func (s *Sponsors) store(tx *migrations.Tx, agent Agent, was, is Sponsorship) error {
	if slices.Equal(was.Away, is.Away) && was.LostAt.Equal(is.LostAt) && was.Until.Equal(is.Until) && was.reminded == is.reminded {
		return nil
	}
	_, err := tx.Exec(`UPDATE agents SET sponsors_away = $1, sponsor_lost_at = $2, sponsor_until = $3, sponsor_reminded = $4 WHERE workspace = $5`,
		strings.Join(is.Away, ","), migrations.Micros(is.LostAt), migrations.Micros(is.Until), is.reminded, agent.Workspace)
	if err != nil {
		return fmt.Errorf("store sponsors: %w", err)
	}
	return nil
}

// howToSponsor is what to do about an agent that nobody answers for.
const howToSponsor = "Set the setting `sponsor` to active full members of this workspace and start me again."

// words say who is missing, for people.
func (s *Sponsors) words(is Sponsorship, over bool) string {
	text := "Nobody answers for me: no sponsor is named."
	if len(is.Sponsors) > 0 {
		text = "Nobody answers for me any more: " + mentions(is.Sponsors) + " is not an active full member of this workspace (any more)."
		if len(is.Sponsors) > 1 {
			text = "Nobody answers for me any more: none of " + mentions(is.Sponsors) + " is an active full member of this workspace."
		}
	}
	if !over {
		text += " I will be suspended at " + is.Until.UTC().Format("2006-01-02 15:04 UTC") + "."
	}
	return text
}

func (s *Sponsors) lost(tx *migrations.Tx, agent Agent, is Sponsorship) error {
	_, err := s.Ledger.Append(tx, ledger.Record{Workspace: agent.Workspace, Kind: "sponsor.lost", Agent: agent.User, Actor: "system",
		Fields: map[string]string{"sponsors": strings.Join(is.Sponsors, " "), "until": is.Until.Format(time.RFC3339)}})
	if err != nil {
		return err
	}
	return s.tell(tx, agent, is, "lost", s.words(is, false)+" "+howToSponsor)
}

func (s *Sponsors) found(tx *migrations.Tx, agent Agent, was, is Sponsorship) error {
	_, err := s.Ledger.Append(tx, ledger.Record{Workspace: agent.Workspace, Kind: "sponsor.found", Agent: agent.User, Actor: "system",
		Fields: map[string]string{"sponsors": strings.Join(is.Active(), " "), "lost_at": was.LostAt.Format(time.RFC3339)}})
	if err != nil {
		return err
	}
	text := "I have a sponsor again: " + mentions(is.Active()) + ". I go on."
	if agent.State == StateSuspended {
		text = "I have a sponsor again: " + mentions(is.Active()) + ". I stay suspended until a human resumes me: `/deskmate resume all` or `deskmate agent resume`."
	}
	return s.tell(tx, agent, was, "found", text)
}

// suspend ends the grace.
func (s *Sponsors) suspend(tx *migrations.Tx, agent Agent, is Sponsorship) error {
	reason := "nobody answers for it: set the setting sponsor to an active full member, start it again, then resume it"
	if _, err := tx.Exec(`UPDATE agents SET state = 'suspended', reason = $1, changed_by = 'system', changed_at = $2 WHERE workspace = $3`,
		reason, migrations.Micros(tx.Now()), agent.Workspace); err != nil {
		return fmt.Errorf("suspend agent: %w", err)
	}
	_, err := s.Ledger.Append(tx, ledger.Record{Workspace: agent.Workspace, Kind: "agent.changed", Agent: agent.User, Actor: "system",
		Fields: map[string]string{"from": agent.State, "to": StateSuspended}, Payload: map[string]string{"reason": reason}})
	if err != nil {
		return err
	}
	return s.tell(tx, agent, is, fmt.Sprintf("suspended-%d", migrations.Micros(tx.Now())), s.words(is, true)+" So I am suspended. "+howToSponsor+
		" Then resume me: `/deskmate resume all` or `deskmate agent resume`.")
}

// tell owes the admins a notice. Each loss has its own.
func (s *Sponsors) tell(tx *migrations.Tx, agent Agent, is Sponsorship, what, text string) error {
	if s.Notice == nil {
		return nil
	}
	return s.Notice(tx, agent.Workspace, fmt.Sprintf("sponsor:%s:%d:%s", agent.Workspace, migrations.Micros(is.LostAt), what), text)
}
