package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"deskmate/migrations"
)

// State is all standing duties of one workspace: what `deskmate duty export`
// writes and `duty apply` reads.
type State struct {
	Version int     `yaml:"version" json:"version"` // of the form: 1
	Duties  []Entry `yaml:"duties" json:"duties"`
}

// stateVersion is the form that this program writes and reads.
const stateVersion = 1

// mostState bounds a file, in bytes.
const mostState = 4 << 20

// Entry is one duty of a file. What is left out is the default.
type Entry struct {
	ID          string    `yaml:"id,omitempty" json:"id,omitempty"`     // of one that there is
	Name        string    `yaml:"name,omitempty" json:"name,omitempty"` // in place of an id: stands for the same duty for ever
	Title       string    `yaml:"title,omitempty" json:"title,omitempty"`
	What        string    `yaml:"what" json:"what"`
	Kind        string    `yaml:"kind,omitempty" json:"kind,omitempty"`
	When        string    `yaml:"when,omitempty" json:"when,omitempty"` // plain words, in place of cron
	Cron        string    `yaml:"cron,omitempty" json:"cron,omitempty"`
	At          time.Time `yaml:"at,omitempty" json:"at,omitzero"` // for once
	Every       int       `yaml:"every,omitempty" json:"every,omitempty"`
	Unit        string    `yaml:"unit,omitempty" json:"unit,omitempty"`
	From        time.Time `yaml:"from,omitempty" json:"from,omitzero"`
	Until       time.Time `yaml:"until,omitempty" json:"until,omitzero"`
	Zone        string    `yaml:"zone,omitempty" json:"zone,omitempty"`
	Trigger     *Trigger  `yaml:"trigger,omitempty" json:"trigger,omitempty"`
	Channel     string    `yaml:"channel" json:"channel"`
	Report      string    `yaml:"report,omitempty" json:"report,omitempty"`
	Thread      string    `yaml:"thread,omitempty" json:"thread,omitempty"`
	Silent      bool      `yaml:"silent,omitempty" json:"silent,omitempty"`
	Owner       string    `yaml:"owner" json:"owner"`
	CatchUp     string    `yaml:"catch_up,omitempty" json:"catch_up,omitempty"`
	Overlap     string    `yaml:"overlap,omitempty" json:"overlap,omitempty"`
	Quiet       string    `yaml:"quiet,omitempty" json:"quiet,omitempty"`
	Jitter      Duration  `yaml:"jitter,omitempty" json:"jitter,omitempty"`
	MostRuns    int64     `yaml:"most_runs,omitempty" json:"most_runs,omitempty"`
	RunTokens   int64     `yaml:"run_tokens,omitempty" json:"run_tokens,omitempty"`
	Tools       []string  `yaml:"tools,omitempty" json:"tools,omitempty"`
	MostFails   int64     `yaml:"most_fails,omitempty" json:"most_fails,omitempty"`
	Paused      bool      `yaml:"paused,omitempty" json:"paused,omitempty"`
	PausedUntil time.Time `yaml:"paused_until,omitempty" json:"paused_until,omitzero"`

	line int // where it stands in the file
}

// entry is a duty as a file has it; defaults are left out.
func (d Duty) entry(name string) Entry {
	e := Entry{
		ID: d.ID, Name: name, Title: d.Title, What: d.Prompt, Kind: d.Kind, Cron: d.Schedule.Cron, Every: d.Schedule.Every, Unit: d.Schedule.Unit, From: d.Schedule.From,
		Until: d.Schedule.Until, Zone: d.Schedule.TZ, Channel: d.Channel, Report: d.Report, Thread: d.Thread, Silent: d.Silent, Owner: d.Owner, CatchUp: d.CatchUp,
		Overlap: d.Overlap, Quiet: d.Quiet, Jitter: d.Jitter, MostRuns: d.MostRuns, RunTokens: d.RunTokens, Tools: d.Tools, MostFails: d.MostFails,
		Paused: d.State == StatePaused, PausedUntil: d.PausedUntil,
	}
	if d.Schedule.Cron == "" && d.byClock() {
		e.At = d.Schedule.At
	}
	if !d.Trigger.IsZero() {
		t := d.Trigger
		e.Trigger = &t
	}
	for _, f := range []struct {
		value *string
		is    string
	}{{&e.Kind, KindSchedule}, {&e.Report, ReportRun}, {&e.CatchUp, CatchUpOnce}, {&e.Overlap, OverlapWait}, {&e.Title, strings.TrimSpace(d.Prompt)}} {
		if *f.value == f.is {
			*f.value = ""
		}
	}
	if e.Kind == KindOnce && e.Cron == "" {
		e.Kind = ""
	}
	if e.MostFails == DefaultMostFails {
		e.MostFails = 0
	}
	return e
}

// apply makes d what the entry says. Its error is worded for people.
func (e Entry) apply(d *Duty, now time.Time) error {
	was := d.Schedule
	d.Title, d.Prompt, d.Report, d.Thread, d.Silent = e.Title, e.What, e.Report, e.Thread, e.Silent
	d.CatchUp, d.Overlap, d.Quiet, d.Jitter, d.MostRuns, d.RunTokens, d.Tools, d.MostFails = e.CatchUp, e.Overlap, e.Quiet, e.Jitter, e.MostRuns, e.RunTokens, e.Tools, e.MostFails
	if d.Trigger = (Trigger{}); e.Trigger != nil {
		d.Trigger = *e.Trigger
	}
	d.Schedule = Schedule{Cron: e.Cron, TZ: e.Zone, At: e.At.UTC().Truncate(time.Microsecond), Every: e.Every, Unit: e.Unit, From: e.From, Until: e.Until}
	if e.At.IsZero() {
		d.Schedule.At = time.Time{}
	}
	if e.When != "" {
		if e.Cron != "" || !e.At.IsZero() {
			return errors.New("when stands in place of cron and at, not beside them")
		}
		s, rest, err := ParsePhrase(e.When, now, e.Zone)
		switch {
		case err != nil:
			return err
		case strings.Trim(rest, " .") != "":
			return fmt.Errorf("when has more than a time in it: %q", rest)
		case s.Cron == "":
			return errors.New("a single time would be another one each time that the file is applied: give it as at: 2026-12-01T10:00:00Z")
		}
		if !e.From.IsZero() {
			s.From = e.From
		}
		if !e.Until.IsZero() {
			s.Until = e.Until
		}
		// From and until may be counted from now: they stay as they were first understood.
		if was.Cron == s.Cron && was.TZ == s.TZ && was.Every == s.Every && was.Unit == s.Unit {
			s.From, s.Until = was.From, was.Until
		}
		d.Schedule = s
	}
	if d.Schedule.Cron == "" && d.Schedule.At.Equal(was.At) {
		d.Schedule.At = was.At
	}
	return nil
}

// Problem is one thing that is wrong with a file of duties.
type Problem struct {
	Line int    `json:"line"` // from 1
	Text string `json:"text"`
}

// StateError is a file that was refused as a whole, with everything that is wrong
// with it, by line.
type StateError struct{ Problems []Problem }

func (e *StateError) Error() string {
	all := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = fmt.Sprintf("line %d: %s", p.Line, p.Text)
	}
	return strings.Join(all, "\n")
}

var (
	yamlLine  = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	yamlField = regexp.MustCompile(`^field (\S+) not found in type scheduler\.\w+$`)
	nameForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,79}$`)
)

// ParseState reads a file as YAML writes it. Everything that is wrong is in one
// *StateError, and then nothing of it counts.
func ParseState(text []byte) (State, error) {
	var s State
	var found []Problem
	add := func(line int, format string, args ...any) {
		found = append(found, Problem{line, fmt.Sprintf(format, args...)})
	}
	unreadable := func(text string) {
		line := 1
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			_, _ = fmt.Sscan(m[1], &line)
			text = m[2]
		}
		if m := yamlField.FindStringSubmatch(text); m != nil {
			text = "there is no field " + m[1]
		}
		add(line, "%s", text)
	}
	if len(text) > mostState {
		add(1, "the file is longer than %d bytes", mostState)
		return s, &StateError{found}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	var wrong *yaml.TypeError
	switch err := d.Decode(&s); {
	case errors.Is(err, io.EOF):
		add(1, "the file is empty: say `duties: []` if you mean that there are none")
	case errors.As(err, &wrong):
		for _, e := range wrong.Errors {
			unreadable(e)
		}
	case err != nil:
		unreadable(err.Error())
	}
	if len(found) > 0 {
		return State{}, &StateError{found}
	}
	// What stands in a second document would be left out without a word.
	if err := d.Decode(&State{}); !errors.Is(err, io.EOF) {
		add(1, "there is a second document; put everything into one")
	}
	var nodes struct {
		Duties yaml.Node `yaml:"duties"`
	}
	if err := yaml.Unmarshal(text, &nodes); err != nil {
		unreadable(err.Error())
	}
	if s.Version != stateVersion {
		add(1, "version: this program reads version %d", stateVersion)
	}
	if nodes.Duties.Kind == 0 {
		add(1, "duties is missing: say `duties: []` if you mean that there are none")
	}
	ids := map[string]int{}
	for i := range s.Duties {
		e := &s.Duties[i]
		if i < len(nodes.Duties.Content) {
			e.line = nodes.Duties.Content[i].Line
		}
		switch {
		case e.ID == "" && e.Name == "":
			add(e.line, "give it an id, as duty export writes it, or for a new one a name of your own")
		case e.Name != "" && !nameForm.MatchString(e.Name):
			add(e.line, "name %q must be of a-z, 0-9, dots, dashes and underscores", e.Name)
		}
		for _, key := range []string{e.ID, "name " + e.Name} {
			if key == "" || key == "name " {
				continue
			}
			if first, twice := ids[key]; twice {
				add(e.line, "%s is there already, in line %d", key, first)
			}
			ids[key] = e.line
		}
	}
	if len(found) > 0 {
		slices.SortStableFunc(found, func(a, b Problem) int { return a.Line - b.Line })
		return State{}, &StateError{found}
	}
	return s, nil
}

// YAML writes the state, always in the same order.
func (s State) YAML() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# Standing duties: docs/duties.md says what each line means.\n# deskmate duty apply -f FILE --dry-run shows what applying it would change.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(s); err != nil {
		return nil, fmt.Errorf("write duties as YAML: %w", err)
	}
	return b.Bytes(), nil
}

// Export reads the standing duties of a workspace; those that wait to be confirmed
// are not among them.
func (s *Scheduler) Export(ctx context.Context, workspace string) (State, error) {
	out := State{Version: stateVersion, Duties: []Entry{}}
	err := s.db.Read(ctx, func(tx *migrations.Tx) error {
		out.Duties = []Entry{}
		standing, names, err := standing(tx, workspace)
		if err != nil {
			return err
		}
		for _, d := range standing {
			if !d.Unconfirmed() {
				out.Duties = append(out.Duties, d.entry(names[d.ID]))
			}
		}
		return nil
	})
	if err != nil {
		return State{}, fmt.Errorf("export duties of %s: %w", workspace, err)
	}
	return out, nil
}

// byFile begins the request of a duty that a file has made: its name follows.
const byFile = "file:"

// standing are the duties of a workspace that have not ended, by id, and the names
// that files gave them.
func standing(tx *migrations.Tx, workspace string) ([]Duty, map[string]string, error) {
	rows, err := tx.Query(`SELECT id, COALESCE(request, '') FROM duties WHERE workspace = $1 AND state IN ('active', 'paused') ORDER BY id`, workspace)
	if err != nil {
		return nil, nil, fmt.Errorf("list duties: %w", err)
	}
	defer rows.Close()
	names := map[string]string{}
	var ids []string
	for rows.Next() {
		var id, request string
		if err := rows.Scan(&id, &request); err != nil {
			return nil, nil, fmt.Errorf("list duties: %w", err)
		}
		ids = append(ids, id)
		if name, ok := strings.CutPrefix(request, byFile); ok {
			names[id] = name
		}
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("list duties: %w", err)
	}
	var all []Duty
	for _, id := range ids {
		d, err := load(tx, id)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, d)
	}
	return all, names, nil
}

// differences names what differs between two entries: "field: was → is".
func differences(was, is Entry) []string {
	var all []string
	a, b := reflect.ValueOf(was), reflect.ValueOf(is)
	for i := range a.NumField() {
		name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "id" || name == "name" {
			continue
		}
		x, y := a.Field(i).Interface(), b.Field(i).Interface()
		if t, ok := x.(time.Time); ok && t.Equal(y.(time.Time)) || reflect.DeepEqual(x, y) {
			continue
		}
		all = append(all, fmt.Sprintf("%s: %s → %s", name, shownValue(x), shownValue(y)))
	}
	return all
}

func shownValue(v any) string {
	switch v := v.(type) {
	case time.Time:
		if v.IsZero() {
			return "none"
		}
		return v.UTC().Format(time.RFC3339)
	case string:
		if v == "" {
			return "default"
		}
		return v
	case *Trigger:
		if v == nil {
			return "none"
		}
		return fmt.Sprintf("%+v", *v)
	}
	return fmt.Sprint(v)
}
