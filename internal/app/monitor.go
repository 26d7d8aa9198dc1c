package app

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"deskmate/identity/monitor"
)

type monitorCommand struct {
	List   monitorList   `cmd:"" help:"What was noticed, newest first."`
	Config monitorConfig `cmd:"" help:"Every detector with its thresholds and response."`
	Replay monitorReplay `cmd:"" help:"What would have been noticed over the past, with these thresholds or others. Changes nothing."`
	Accept monitorAccept `cmd:"" help:"A human's word that a gap in the ledger was looked at: the agent may go on."`
}

// monitorFlags are a store, and settings of detectors by --set.
type monitorFlags struct {
	storeFlags
	workspaceFlag
}

// load takes the settings of detectors, which have a dot in their names, out of
// --set, and returns the monitor's configuration with them.
func (f *monitorFlags) load(r *run) (monitor.Config, error) {
	var settings []string
	rest := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(f.Set)) {
		if strings.Contains(name, ".") {
			settings = append(settings, name+"="+f.Set[name])
		} else {
			rest[name] = f.Set[name]
		}
	}
	f.Set = rest
	c, err := f.storeFlags.load(r)
	if err != nil {
		return monitor.Config{}, err
	}
	m, err := c.monitorConfig()
	if err != nil {
		return m, err
	}
	if m, err = m.Set(settings...); err != nil {
		return m, &ConfigError{[]string{err.Error()}}
	}
	return m, nil
}

type monitorList struct {
	monitorFlags
	Detector string `help:"Only those of this detector." placeholder:"NAME"`
	Since    string `help:"Only those since then: a day, a time, or how long ago, as in 24h." placeholder:"TIME"`
	Limit    int    `default:"100" help:"How many at most."`
}

// Help implements kong.HelpProvider.
func (monitorList) Help() string { return "Example: deskmate monitor list --since 24h" }

func (c *monitorList) Run(r *run) error {
	config, err := c.load(r)
	if err != nil {
		return err
	}
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		since, err := moment(c.Since, s.DB.Now())
		if err != nil {
			return err
		}
		all, err := monitor.New(s.DB, s.Ledger, config).Findings(r, workspace, monitor.Filter{Detector: c.Detector, Since: since, Limit: max(1, c.Limit)})
		if err != nil {
			return err
		}
		if c.JSON {
			if all == nil {
				all = []monitor.Finding{}
			}
			return printJSON(r.Out, all)
		}
		for _, f := range all {
			printFinding(r, f)
		}
		if len(all) == 0 {
			fmt.Fprintln(r.Out, "No findings.")
		}
		return nil
	})
}

func printFinding(r *run, f monitor.Finding) {
	line := fmt.Sprintf("%6d  %s  %-14s %-8s", f.Seq, f.At.Format("2006-01-02 15:04:05"), f.Detector, f.Response)
	for _, part := range []string{f.Tool, f.Channel, orDash("for", f.Requester), orDash("turn", f.Turn)} {
		if part != "" {
			line += "  " + part
		}
	}
	fmt.Fprintf(r.Out, "%s\n        %s\n", line, f.Text)
}

type monitorConfig struct{ monitorFlags }

// Help implements kong.HelpProvider.
func (monitorConfig) Help() string {
	return "Example: deskmate monitor config\n\nTo change one for good, give it in the setting monitor, as in DESKMATE_MONITOR=loop.threshold=4,rate.cap=200."
}

func (c *monitorConfig) Run(r *run) error {
	config, err := c.load(r)
	if err != nil {
		return err
	}
	values := map[string]map[string]string{}
	for _, d := range monitor.Detectors() {
		values[d.Name] = map[string]string{}
		rule := config.Rule(d.Name)
		if !c.JSON {
			fmt.Fprintf(r.Out, "# %s\n", d.Help)
		}
		for _, m := range append([]string{"off", "response"}, d.Members...) {
			values[d.Name][m] = rule.Member(m)
			if c.JSON {
				continue
			}
			changed := ""
			if was := d.Default.Member(m); was != rule.Member(m) {
				changed = fmt.Sprintf("   (default %q)", was)
			}
			fmt.Fprintf(r.Out, "%s.%s=%s%s\n", d.Name, m, rule.Member(m), changed)
		}
	}
	if c.JSON {
		return printJSON(r.Out, map[string]any{"detectors": values, "canaries": len(config.Canaries)})
	}
	_, err = fmt.Fprintf(r.Out, "# canaries: %d\n", len(config.Canaries))
	return err
}

type monitorReplay struct {
	monitorFlags
	Since string `help:"Report from then on: a day, a time, or how long ago, as in 168h. What was before is learnt from." placeholder:"TIME"`
	Until string `help:"Report up to then." placeholder:"TIME"`
}

// Help implements kong.HelpProvider.
func (monitorReplay) Help() string {
	return "Example: deskmate monitor replay --since 168h --set loop.threshold=4 --set first-seen.off=true\n\n" +
		"Prints every finding with its ledger entry, so that you can judge whether it would have been right; 'deskmate monitor config' lists what can be set."
}

func (c *monitorReplay) Run(r *run) error {
	config, err := c.load(r)
	if err != nil {
		return err
	}
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		from, err := c.seq(r, s, workspace, c.Since, 0)
		if err != nil {
			return err
		}
		to, err := c.seq(r, s, workspace, c.Until, -1)
		if err != nil {
			return err
		}
		found := []monitor.Finding{}
		sum, err := monitor.New(s.DB, s.Ledger, config).Replay(r, workspace, config, from, to, func(f monitor.Finding) {
			if c.JSON {
				found = append(found, f)
			} else {
				printFinding(r, f)
			}
		})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"summary": sum, "findings": found})
		}
		fmt.Fprintf(r.Out, "Entries: %d, actions among them: %d.\n", sum.Entries, sum.Actions)
		for _, d := range monitor.Detectors() {
			if n, ok := sum.Found[d.Name]; ok {
				fmt.Fprintf(r.Out, "%-14s %d noted, on %d of the entries: %s\n", d.Name, n.Findings, n.Entries, config.Rule(d.Name).Response)
			}
		}
		if len(sum.Found) == 0 {
			fmt.Fprintln(r.Out, "Nothing would have been noticed.")
		}
		return nil
	})
}

// seq is the number of the first entry at or after a moment; none is for no moment.
func (c *monitorReplay) seq(r *run, s *Store, workspace, text string, none int64) (int64, error) {
	if text == "" {
		return none, nil
	}
	at, err := moment(text, s.DB.Now())
	if err != nil {
		return 0, err
	}
	_, size, err := s.Ledger.Since(r, workspace, 0, 1)
	if err != nil {
		return 0, err
	}
	// Entries are in order of time, but for a clock that was set back.
	n := sort.Search(int(size), func(i int) bool {
		entries, _, e := s.Ledger.Since(r, workspace, int64(i), 1)
		if e != nil {
			err = e
		}
		return len(entries) == 0 || !entries[0].At.Before(at)
	})
	return int64(n), err
}

// moment reads a day, a time (RFC 3339), or a duration before now; "" is none.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := age(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: give a day such as 2026-03-02, a time such as 2026-03-02T15:04:05Z, or how long ago, such as 24h", text)
}

type monitorAccept struct {
	monitorFlags
	Reason string `required:"" help:"What was found out about it; it is kept in the ledger."`
}

// Help implements kong.HelpProvider.
func (monitorAccept) Help() string {
	return `Example: deskmate monitor accept --reason "restored from Monday's backup"` + "\n\nLook at what 'deskmate audit verify' says first."
}

func (c *monitorAccept) Run(r *run) error {
	config, err := c.load(r)
	if err != nil {
		return err
	}
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		gap, err := monitor.New(s.DB, s.Ledger, config).Accept(r, workspace, human(r.Getenv), c.Reason)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]string{"workspace": workspace, "accepted": gap})
		}
		_, err = fmt.Fprintf(r.Out, "Accepted, and recorded: %s.\n", gap)
		return err
	})
}
