package bot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"deskmate/identity"
	"deskmate/scheduler"
)

// DutyRules are what holds whoever makes or changes a duty, and however: by words,
// a form or a button.
type DutyRules struct {
	Agents      *identity.Agents
	People      *Directory
	Tools       func() []Tool // built in
	Connections func() Connections
}

// May reports whether somebody may change what a duty is, confirm it or take it
// back: its owner, a sponsor or an admin of the workspace, as Slack says now.
func (r DutyRules) May(ctx context.Context, person string, d scheduler.Duty) (bool, error) {
	s, err := r.People.Standing(ctx, d.Workspace, person, nil)
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", person, err)
	}
	if !s.Active || s.Kind != KindMember {
		return false, nil
	}
	if person == d.Owner || s.Admin {
		return true, nil
	}
	agent, err := r.Agents.Get(ctx, d.Workspace)
	if err != nil {
		return false, fmt.Errorf("load agent: %w", err)
	}
	return agent.SponsoredBy(person), nil
}

// MayNot is what somebody is told who may not.
const MayNot = "that is up to the owner of the duty, my sponsor or an admin of the workspace"

// PlaceFor is the channel that a duty of owner may report to: one where both the
// owner and the agent are. The error is worded for people, or passes.
func (r DutyRules) PlaceFor(ctx context.Context, workspace, owner, channel string) (Channel, error) {
	ch, err := r.People.Channel(ctx, workspace, channel)
	if isRefusal(err) || err == nil && !ch.IsMember && ch.Kind != ChannelDirect {
		return Channel{}, badArgument("I am not in <#%s>; invite me there first, or name another place", channel)
	}
	if err != nil {
		return Channel{}, err
	}
	if ch.IsArchived {
		return Channel{}, badArgument("<#%s> is archived; name another place", channel)
	}
	in, err := r.People.IsIn(ctx, channel, owner)
	if err != nil && !isRefusal(err) {
		return Channel{}, fmt.Errorf("look who is in %s: %w", channel, err)
	}
	if !in && ch.Kind != ChannelPublic { // that it is there is nothing for them
		return Channel{}, badArgument("I know no such channel where you are too; name one where both of us are")
	}
	if !in {
		return Channel{}, badArgument("the owner of the duty is not in <#%s>, and a duty reports only where its owner is; join it first, or name another place", channel)
	}
	return ch, nil
}

// Offered are the tools of connections that d could use.
func (r DutyRules) Offered(ctx context.Context, d scheduler.Duty) ([]Tool, error) {
	a, err := r.action(ctx, d)
	if err != nil {
		return nil, err
	}
	return r.Connections().tools(ctx, a)
}

// action is a call of no tool yet in a run of d.
func (r DutyRules) action(ctx context.Context, d scheduler.Duty) (identity.Action, error) {
	kind, err := r.People.RequesterKind(ctx, d.Workspace, d.Owner, "")
	if err != nil {
		return identity.Action{}, fmt.Errorf("look up owner %s: %w", d.Owner, err)
	}
	return identity.Action{Workspace: d.Workspace, Requester: d.Owner, RequesterKind: kind, Channel: d.Channel, ChannelKind: d.ChannelKind, Owner: true, Duty: d.ID}, nil
}

// CheckTools says which of a duty's tools there are not, and which its owner could
// not have me use in its place: a duty never has more than both. The error is
// worded for people, or passes.
func (r DutyRules) CheckTools(ctx context.Context, d scheduler.Duty) error {
	if len(d.Tools) == 0 {
		return nil
	}
	a, err := r.action(ctx, d)
	if err != nil {
		return err
	}
	c := r.Connections()
	more, err := c.tools(ctx, a)
	if err != nil {
		return err
	}
	var unknown, refused []string
	for _, name := range d.Tools {
		named := func(t Tool) bool { return t.Name == name }
		if slices.ContainsFunc(more, named) {
			continue
		}
		i := slices.IndexFunc(r.Tools(), named)
		if i < 0 {
			unknown = append(unknown, name)
			continue
		}
		t := r.Tools()[i]
		a.Tool, a.Connection, a.Class, a.Host = t.Name, t.Connection, t.Class, t.Host
		if c.Offers == nil {
			continue
		}
		near, err := c.Offers(ctx, a)
		if err != nil {
			return fmt.Errorf("look which tools are granted: %w", err)
		}
		if !near {
			refused = append(refused, name)
		}
	}
	var wrong []string
	if len(unknown) > 0 {
		wrong = append(wrong, "there is no tool `"+strings.Join(unknown, "`, `")+"` that could be used there")
	}
	if len(refused) > 0 {
		wrong = append(wrong, "no grant lets its owner have me use `"+strings.Join(refused, "`, `")+"` there")
	}
	if len(wrong) > 0 {
		return badArgument("%s; leave it out, or ask an admin for a grant (`/deskmate access` shows what there is)", strings.Join(wrong, ", and "))
	}
	return nil
}

// DutyWords are what somebody says about a duty, each field in words; empty ones
// are not said. The fields of a form have the same names.
type DutyWords struct {
	When, What, Title         string
	Report, Silent            string
	CatchUp, Overlap          string
	Quiet, Until, Most, Tools string
}

// DutyWordError is a field of DutyWords that cannot be as it is.
type DutyWordError struct {
	Field string
	err   error
}

func (e *DutyWordError) Error() string { return e.err.Error() }
func (e *DutyWordError) Unwrap() error { return e.err }

// cronLike is five fields as cron has them.
var cronLike = regexp.MustCompile(`^\s*(?:@\w+|[\d*/,LW#?-]+(?:\s+[\dA-Z*/,LW#?-]+){4})\s*$`)

// Say changes d by the words; tz is the owner's zone. The error is a
// *DutyWordError.
func (w DutyWords) Say(d *scheduler.Duty, now time.Time, tz string) error {
	wrong := func(field, format string, args ...any) error {
		return &DutyWordError{field, badArgument(format, args...)}
	}
	if w.When != "" {
		if cronLike.MatchString(w.When) {
			return wrong("when", "%q is a cron expression, and I take times in the person's own words only, such as: every weekday at 9:30", w.When)
		}
		s, rest, err := scheduler.ParsePhrase(w.When, now, tz)
		if err != nil {
			return &DutyWordError{"when", &argumentError{&unclearError{err}}}
		}
		if d.ID != "" && (s.Cron == "") != (d.Schedule.Cron == "") {
			return wrong("when", "a duty that repeats stays one that repeats, and a single one stays single; delete it and make another")
		}
		if strings.TrimSpace(w.What) == "" && d.Prompt == "" {
			w.What = rest // the whole sentence stood in when
		}
		if s.Until.IsZero() && d.Schedule.Cron != "" {
			s.Until = d.Schedule.Until
		}
		d.Schedule = s
	}
	for _, f := range []struct {
		value string
		to    *string
	}{{w.What, &d.Prompt}, {w.Title, &d.Title}, {w.CatchUp, &d.CatchUp}, {w.Overlap, &d.Overlap}, {w.Quiet, &d.Quiet}} {
		if v := strings.TrimSpace(f.value); v != "" {
			*f.to = v
		}
	}
	if noWord.MatchString(d.Quiet) {
		d.Quiet = ""
	}
	switch v := strings.ToLower(strings.TrimSpace(w.Report)); v {
	case "":
	case scheduler.ReportRun, scheduler.ReportDay, scheduler.ReportThread:
		d.Report = v
	default:
		return wrong("report", "report must be run (each result by itself), day (those of a day together) or thread, not %q", w.Report)
	}
	if w.Silent != "" {
		d.Silent = !noWord.MatchString(w.Silent)
	}
	if w.Until != "" {
		if noWord.MatchString(w.Until) {
			d.Schedule.Until = time.Time{}
		} else {
			at, err := scheduler.ParseUntil(w.Until, now, tz)
			if err != nil {
				return &DutyWordError{"until", &argumentError{err}}
			}
			d.Schedule.Until = lastOf(at, tz)
		}
	}
	if w.Most != "" {
		n, err := strconv.ParseInt(strings.TrimSpace(w.Most), 10, 64)
		if noWord.MatchString(w.Most) {
			n, err = 0, nil
		}
		if err != nil || n < 0 {
			return wrong("most", "how often in all must be a whole number, not %q", w.Most)
		}
		d.MostRuns = n
	}
	if w.Tools != "" {
		d.Tools = nil
		if names := toolNames(w.Tools); len(names) > 0 && !(len(names) == 1 && (names[0] == "all" || noWord.MatchString(names[0]))) {
			d.Tools = names
		}
	}
	return nil
}

// noWord is what people say to have none of something.
var noWord = regexp.MustCompile(`(?i)^\s*(?:no|none|never|off|false|without|unlimited)\s*$`)

// toolNames reads a list of tools in words.
func toolNames(text string) []string {
	fields := strings.FieldsFunc(strings.ReplaceAll(text, " and ", ","), func(r rune) bool {
		return r == ',' || r == ' ' || r == '\n' || r == '\t' || r == '`' || r == ';'
	})
	return unique(fields)
}

// unclearError is a time that was not understood: its text is a question to the
// person.
type unclearError struct{ err error }

func (e *unclearError) Error() string { return notYet + e.err.Error() + askThem }
func (e *unclearError) Unwrap() error { return e.err }

// What stands around a question about the time of a duty, for models.
const (
	notYet  = "nothing is made yet: "
	askThem = " (Ask them that in this thread. When they have answered, call this again with the whole time in their words.)"
)

// NotSo is an error that is worded for whoever asked: nothing was done.
func NotSo(text string) error { return badArgument("%s", text) }

// Told is what an error says to whoever asked, if it is worded for them. A time
// that is unclear is a question.
func Told(err error) (string, bool) {
	var asked *unclearError
	if errors.As(err, &asked) {
		return asked.err.Error(), true
	}
	var told *argumentError
	if errors.As(err, &told) {
		return told.Error(), true
	}
	return "", false
}

// lastOf is the last second of the day that a day alone was read as, which the end
// of a duty takes in; an instant with a time of day stays.
func lastOf(at time.Time, tz string) time.Time {
	loc, err := time.LoadLocation(tz)
	if err != nil {
		return at
	}
	if day := at.In(loc); day.Hour() == 0 && day.Minute() == 0 {
		return time.Date(day.Year(), day.Month(), day.Day(), 23, 59, 59, 0, loc)
	}
	return at
}
