package scheduler

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/migrations"
)

// Kinds of a duty: what sets it off.
const (
	KindSchedule = "schedule" // the clock, again and again
	KindOnce     = "once"     // the clock, one time
	KindWatch    = "watch"    // something that is said, or a reaction, in a channel
	KindWebhook  = "webhook"  // a signed call of a URL of its own
	KindFollow   = "follow"   // a thread, or what somebody said they would do, until it is settled
)

// Kinds are all of them.
var Kinds = []string{KindSchedule, KindOnce, KindWatch, KindWebhook, KindFollow}

// States of a duty.
const (
	StateActive  = "active"
	StatePaused  = "paused"
	StateDone    = "done" // a single one that has run, one that has ended
	StateDeleted = "deleted"
)

// What becomes of due times that were missed while nobody ran.
const (
	CatchUpSkip = "skip" // nothing
	CatchUpOnce = "once" // one run for all of them
	CatchUpAll  = "all"  // a run for each, the newest mostCatchUp
)

// What becomes of a due time that comes while the run before is still at work.
const (
	OverlapWait = "wait" // one run waits for its end, and stands for all that come meanwhile
	OverlapSkip = "skip" // it is skipped
	OverlapStop = "stop" // the run at work is stopped
)

// Where the results of runs appear in their channel.
const (
	ReportRun    = "run"    // each run under a root of its own
	ReportDay    = "day"    // those of a day, in the duty's zone, under one root
	ReportThread = "thread" // in the thread that Duty.Thread names
)

const (
	// mostPrompt and mostTitle bound what a duty says, in bytes.
	mostPrompt = 4000
	mostTitle  = 120
	// mostTools bounds the list of tools that a duty may use.
	mostTools = 64
	// mostPattern bounds a watch's pattern, in bytes.
	mostPattern = 500
	mostPeople  = 50
	mostJitter  = time.Hour
	// DefaultMostFails is after how many failures in a row a duty is paused.
	DefaultMostFails = 5
)

// Duty is a standing responsibility.
type Duty struct {
	ID          string      `json:"id"`
	Workspace   string      `json:"workspace"`
	Kind        string      `json:"kind"`
	Title       string      `json:"title"`
	Prompt      string      `json:"prompt"` // what to do, in plain words
	Schedule    Schedule    `json:"-"`
	Trigger     Trigger     `json:"trigger,omitzero"`
	When        string      `json:"when"`                  // what sets it off, in words
	NextAt      time.Time   `json:"next_at"`               // zero: not due any more, or not by the clock
	Channel     string      `json:"channel"`               // where the result appears
	ChannelKind string      `json:"channel_kind"`          //
	Report      string      `json:"report"`                //
	Thread      string      `json:"thread,omitempty"`      // ts of the root that results go under, for ReportThread
	Silent      bool        `json:"silent,omitempty"`      // nothing to report is not said
	Owner       string      `json:"owner"`                 // the human who answers for it
	CreatedBy   string      `json:"created_by"`            //
	State       string      `json:"state"`                 //
	PausedUntil time.Time   `json:"paused_until,omitzero"` // zero: until somebody resumes it
	PausedWhy   string      `json:"paused_why,omitempty"`
	CatchUp     string      `json:"catch_up"`
	Overlap     string      `json:"overlap"`
	Quiet       string      `json:"quiet,omitempty"`  // hours in which no run begins: "mon-fri 22:00-07:00", in the zone of Schedule
	Jitter      Duration    `json:"jitter,omitempty"` // by which a run may begin late
	MostRuns    int64       `json:"most_runs,omitempty"`
	RunTokens   int64       `json:"run_tokens,omitempty"` // of models, in one run; 0: the limit of any turn
	Tools       []string    `json:"tools,omitempty"`      // the only ones that it may use; nil: what its place and owner may
	Label       label.Label `json:"label,omitzero"`       // of what went into its words
	Fails       int64       `json:"fails,omitempty"`      // runs in a row that failed
	MostFails   int64       `json:"most_fails"`           // so many pause it
	CreatedAt   time.Time   `json:"created_at"`
}

// Duration is written as "1m30s" in JSON and YAML.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Trigger is what sets a duty off beside the clock. Which fields count depends on
// the kind.
type Trigger struct {
	Channel   string   `json:"channel,omitempty" yaml:"channel,omitempty"`     // that is watched, or holds the thread that is followed
	Thread    string   `json:"thread,omitempty" yaml:"thread,omitempty"`       // ts of the root that is followed
	Pattern   string   `json:"pattern,omitempty" yaml:"pattern,omitempty"`     // RE2 that a message must fit, case ignored; "" for any
	People    []string `json:"people,omitempty" yaml:"people,omitempty"`       // whose messages or reactions count; nil: everybody's
	Reaction  string   `json:"reaction,omitempty" yaml:"reaction,omitempty"`   // name of an emoji: a reaction sets it off, not a message
	Condition string   `json:"condition,omitempty" yaml:"condition,omitempty"` // question that a model answers with yes or no about what passed the rest
	Person    string   `json:"person,omitempty" yaml:"person,omitempty"`       // who said that they would do it, for a commitment
	Rate      int      `json:"rate,omitempty" yaml:"rate,omitempty"`           // times an hour at most
}

// IsZero reports whether nothing but the clock sets the duty off.
func (t Trigger) IsZero() bool {
	return t.Channel == "" && t.Thread == "" && t.Pattern == "" && t.People == nil && t.Reaction == "" && t.Condition == "" && t.Person == "" && t.Rate == 0
}

// NewDuty is a duty to make. Empty fields are the defaults.
type NewDuty struct {
	Workspace, Channel, ChannelKind string
	Kind                            string // "": schedule or once, by Schedule
	Title, Prompt                   string
	Schedule                        Schedule
	Trigger                         Trigger
	Report                          string // "" is run
	Thread                          string
	Silent                          bool
	Owner                           string
	CreatedBy                       string // "" is the owner
	CatchUp                         string // "" is once
	Overlap                         string // "" is wait
	Quiet                           string
	Jitter                          time.Duration
	MostRuns, RunTokens             int64
	Tools                           []string
	Label                           label.Label
	MostFails                       int64  // 0 is DefaultMostFails
	Request                         string // names the request: the same one makes one duty; "" for none
	Confirm                         bool   // it runs only once somebody has confirmed it
}

// duty is what n makes, but for what the store gives it. Its error is worded for
// people.
func (n NewDuty) duty() (Duty, error) {
	d := Duty{
		Workspace: n.Workspace, Kind: n.Kind, Title: strings.TrimSpace(n.Title), Prompt: strings.TrimSpace(n.Prompt), Schedule: n.Schedule, Trigger: n.Trigger,
		Channel: n.Channel, ChannelKind: n.ChannelKind, Report: n.Report, Thread: n.Thread, Silent: n.Silent, Owner: n.Owner, CreatedBy: n.CreatedBy,
		State: StateActive, CatchUp: n.CatchUp, Overlap: n.Overlap, Quiet: n.Quiet, Jitter: Duration(n.Jitter), MostRuns: n.MostRuns, RunTokens: n.RunTokens,
		Tools: n.Tools, Label: n.Label, MostFails: n.MostFails,
	}
	if d.Kind == "" {
		d.Kind = KindSchedule
		if n.Schedule.Cron == "" {
			d.Kind = KindOnce
		}
	}
	if d.CreatedBy == "" {
		d.CreatedBy = d.Owner
	}
	return d, d.check()
}

// check fills in defaults and says what is wrong with a duty, in words for people.
func (d *Duty) check() error {
	for _, f := range []struct {
		value   *string
		is      string
		allowed []string
	}{
		{&d.CatchUp, CatchUpOnce, []string{CatchUpSkip, CatchUpOnce, CatchUpAll}},
		{&d.Overlap, OverlapWait, []string{OverlapWait, OverlapSkip, OverlapStop}},
		{&d.Report, ReportRun, []string{ReportRun, ReportDay, ReportThread}},
		{&d.Kind, KindSchedule, Kinds},
	} {
		if *f.value == "" {
			*f.value = f.is
		}
		if !slices.Contains(f.allowed, *f.value) {
			last := len(f.allowed) - 1
			return fmt.Errorf("%q is not one of %s or %s", *f.value, strings.Join(f.allowed[:last], ", "), f.allowed[last])
		}
	}
	if d.MostFails == 0 {
		d.MostFails = DefaultMostFails
	}
	if d.Title == "" {
		d.Title = d.Prompt
	}
	if len(d.Title) > mostTitle {
		d.Title = strings.ToValidUTF8(d.Title[:mostTitle], "") + "…"
	}
	switch {
	case d.Workspace == "" || d.Channel == "" || d.Owner == "":
		return errors.New("workspace, channel and owner must be given")
	case d.Prompt == "":
		return errors.New("what to do is missing")
	case len(d.Prompt) > mostPrompt:
		return fmt.Errorf("what to do is too long: at most %d characters", mostPrompt)
	case d.Report == ReportThread && d.Thread == "":
		return errors.New("it is to report in a thread, and says not in which")
	case d.MostRuns < 0 || d.RunTokens < 0 || d.MostFails < 0:
		return errors.New("a limit is less than nothing")
	case time.Duration(d.Jitter) < 0 || time.Duration(d.Jitter) > mostJitter:
		return fmt.Errorf("it may begin late by %s at most", mostJitter)
	case len(d.Tools) > mostTools:
		return fmt.Errorf("it names more than %d tools", mostTools)
	}
	if _, err := parseQuiet(d.Quiet); err != nil {
		return err
	}
	if err := d.checkTrigger(); err != nil {
		return err
	}
	if d.byClock() {
		return d.Schedule.Validate()
	}
	_, err := loadZone(d.Schedule.TZ)
	return err
}

// checkTrigger says whether what sets the duty off fits its kind.
func (d *Duty) checkTrigger() error {
	t := d.Trigger
	if len(t.Pattern) > mostPattern {
		return fmt.Errorf("the pattern is too long: at most %d characters", mostPattern)
	}
	if _, err := regexp.Compile("(?i)" + t.Pattern); err != nil {
		return fmt.Errorf("the pattern is no regular expression: %w", err)
	}
	if len(t.People) > mostPeople {
		return fmt.Errorf("it names more than %d people", mostPeople)
	}
	switch d.Kind {
	case KindSchedule, KindOnce:
		if (d.Kind == KindOnce) != (d.Schedule.Cron == "") {
			return errors.New("a schedule repeats, and a single time does not")
		}
	case KindWatch:
		if t.Channel == "" {
			return errors.New("it is to watch, and says not which channel")
		}
		if t.Pattern == "" && len(t.People) == 0 && t.Reaction == "" && t.Condition == "" {
			return errors.New("it is to watch, and says not for what: a pattern, people, a reaction or a condition")
		}
	case KindFollow:
		if t.Channel == "" || t.Thread == "" {
			return errors.New("it is to follow, and says not which thread")
		}
	}
	return nil
}

// byClock reports whether the duty is due by its schedule.
func (d Duty) byClock() bool {
	return d.Kind == KindSchedule || d.Kind == KindOnce || d.Kind == KindFollow && (d.Schedule.Cron != "" || !d.Schedule.At.IsZero())
}

// when is what sets the duty off, in words.
func (d Duty) when() string {
	t := d.Trigger
	switch d.Kind {
	case KindWatch:
		what := "somebody writes"
		if t.Reaction != "" {
			what = "somebody reacts with :" + t.Reaction + ":"
		}
		if len(t.People) > 0 {
			who := make([]string, len(t.People))
			for i, p := range t.People {
				who[i] = "<@" + p + ">"
			}
			what = strings.Replace(what, "somebody", strings.Join(who, " or "), 1)
		}
		what += " in <#" + t.Channel + ">"
		if t.Pattern != "" {
			what += patternWords(t.Pattern)
		}
		if t.Condition != "" {
			what += ", and: " + t.Condition
		}
		return "when " + what
	case KindWebhook:
		return "when its URL is called"
	case KindFollow:
		what := "until this thread is settled"
		if t.Person != "" {
			what = "until <@" + t.Person + "> has done it"
		}
		if d.byClock() {
			what += ", looking " + d.Schedule.Describe()
		}
		return what
	}
	return d.Schedule.Describe()
}

const dutyColumns = `id, workspace, kind, title, prompt, cron, tz, every_n, every_unit, from_at, until_at, next_at, trigger, channel, channel_kind, report, thread, silent,
	owner, created_by, state, paused_until, paused_why, catch_up, overlap, quiet, jitter, most_runs, run_tokens, tools, label, fails, most_fails, created_at`

func scanDuty(row interface{ Scan(...any) error }) (Duty, error) {
	var d Duty
	var next, from, until, paused, jitter, created int64
	var trigger, tools, lbl string
	err := row.Scan(&d.ID, &d.Workspace, &d.Kind, &d.Title, &d.Prompt, &d.Schedule.Cron, &d.Schedule.TZ, &d.Schedule.Every, &d.Schedule.Unit, &from, &until, &next,
		&trigger, &d.Channel, &d.ChannelKind, &d.Report, &d.Thread, &d.Silent, &d.Owner, &d.CreatedBy, &d.State, &paused, &d.PausedWhy, &d.CatchUp, &d.Overlap,
		&d.Quiet, &jitter, &d.MostRuns, &d.RunTokens, &tools, &lbl, &d.Fails, &d.MostFails, &created)
	if err != nil {
		return Duty{}, err
	}
	if err := errors.Join(json.Unmarshal([]byte(trigger), &d.Trigger), json.Unmarshal([]byte(lbl), &d.Label)); err != nil {
		return Duty{}, fmt.Errorf("decode duty %s: %w", d.ID, err)
	}
	if tools != "" {
		if err := json.Unmarshal([]byte(tools), &d.Tools); err != nil {
			return Duty{}, fmt.Errorf("decode tools of duty %s: %w", d.ID, err)
		}
	}
	d.NextAt, d.CreatedAt, d.PausedUntil = migrations.Time(next), migrations.Time(created), migrations.Time(paused)
	d.Schedule.From, d.Schedule.Until, d.Jitter = migrations.Time(from), migrations.Time(until), Duration(time.Duration(jitter)*time.Microsecond)
	if d.Schedule.Cron == "" {
		d.Schedule.At = d.NextAt
	}
	if d.State == StateDone || d.State == StateDeleted {
		d.NextAt = time.Time{}
	}
	d.When = d.when()
	return d, nil
}

// load is the duty id in a transaction; ErrNoDuty if there is none.
func load(tx *migrations.Tx, id string) (Duty, error) {
	d, err := scanDuty(tx.QueryRow(`SELECT `+dutyColumns+` FROM duties WHERE id = $1 AND state <> 'deleted'`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Duty{}, ErrNoDuty
	}
	return d, err
}

// columns are the values of d that insert and save share, in the order of changing.
const changing = `title, prompt, cron, tz, every_n, every_unit, from_at, until_at, next_at, watches, trigger, channel, channel_kind, report, thread, silent,
	owner, state, paused_until, paused_why, catch_up, overlap, quiet, jitter, most_runs, run_tokens, tools, label, fails, most_fails, updated_at`

func (d Duty) values(now time.Time) ([]any, error) {
	trigger, err1 := json.Marshal(d.Trigger)
	lbl, err2 := json.Marshal(d.Label)
	tools, err3 := []byte{}, error(nil)
	if d.Tools != nil {
		tools, err3 = json.Marshal(d.Tools)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("encode duty: %w", err)
	}
	next := d.NextAt
	if d.Schedule.Cron == "" && d.byClock() {
		next = d.Schedule.At // its time, also when it is over
	}
	watches := ""
	if d.Kind == KindWatch || d.Kind == KindFollow {
		watches = d.Trigger.Channel
	}
	silent := 0
	if d.Silent {
		silent = 1
	}
	return []any{d.Title, d.Prompt, d.Schedule.Cron, d.Schedule.TZ, d.Schedule.Every, d.Schedule.Unit, migrations.Micros(d.Schedule.From), migrations.Micros(d.Schedule.Until),
		migrations.Micros(next), watches, string(trigger), d.Channel, d.ChannelKind, d.Report, d.Thread, silent, d.Owner, d.State, migrations.Micros(d.PausedUntil), d.PausedWhy,
		d.CatchUp, d.Overlap, d.Quiet, time.Duration(d.Jitter).Microseconds(), d.MostRuns, d.RunTokens, string(tools), string(lbl), d.Fails, d.MostFails, migrations.Micros(now)}, nil
}

// insert stores a new duty.
func insert(tx *migrations.Tx, d Duty, request string) error {
	values, err := d.values(tx.Now())
	if err != nil {
		return err
	}
	values = append(values, d.ID, d.Workspace, nullable(request), d.Kind, d.CreatedBy, migrations.Micros(d.CreatedAt))
	_, err = tx.Exec(`INSERT INTO duties (`+changing+`, id, workspace, request, kind, created_by, created_at) VALUES (`+places(len(values))+`)`, values...)
	return err
}

// save stores what may change of a duty.
func save(tx *migrations.Tx, d Duty) error {
	values, err := d.values(tx.Now())
	if err != nil {
		return err
	}
	n := len(values)
	_, err = tx.Exec(`UPDATE duties SET (`+changing+`) = (`+places(n)+fmt.Sprintf(`) WHERE id = $%d`, n+1), append(values, d.ID)...)
	if err != nil {
		return fmt.Errorf("save duty %s: %w", d.ID, err)
	}
	return nil
}

// places are the parameters $1 to $n.
func places(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	return b.String()
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
