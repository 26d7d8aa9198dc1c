package app

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/identity/policy"
)

type accessCommand struct {
	List   accessList    `cmd:"" help:"List what the agent may do, grant by grant."`
	Grant  accessGrant   `cmd:"" help:"Let the agent do something."`
	Revoke accessRevoke  `cmd:"" help:"Take a grant back; it counts from the next action on."`
	Why    accessWhy     `cmd:"" help:"Explain how a call would be decided, rule by rule."`
	Export accessExport  `cmd:"" help:"Write the whole access as YAML."`
	Plan   accessPlan    `cmd:"" help:"Show what applying a file would change."`
	Apply  accessApply   `cmd:"" help:"Make the access what a file says, all of it or nothing."`
	Report accessReport  `cmd:"" help:"Who can make the agent do what: every tool, place and kind of person."`
	Review reviewCommand `cmd:"" help:"Look at all grants from time to time: keep what is needed, remove the rest."`
}

type accessList struct {
	storeFlags
	workspaceFlag
	Tool    string `help:"Only grants for this tool." placeholder:"NAME"`
	Channel string `help:"Only grants that hold in this channel: #name or id." placeholder:"CHANNEL"`
	Person  string `help:"Only grants that name this person: @name or id." placeholder:"PERSON"`
	All     bool   `help:"Those that were taken back or have ended too."`
}

// Help implements kong.HelpProvider.
func (accessList) Help() string { return "Example: deskmate access list --tool post --channel '#eng'" }

func (c *accessList) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		all, err := s.Access.List(r, workspace, c.All)
		if err != nil {
			return err
		}
		var place bot.Channel
		if c.Channel != "" {
			if place, err = storedChannel(r, s, workspace, c.Channel); err != nil {
				return err
			}
		}
		person := ""
		if c.Person != "" {
			p, err := storedPerson(r, s, workspace, c.Person)
			if err != nil {
				return err
			}
			person = p.ID
		}
		shown := []policy.Grant{}
		for _, g := range all {
			fits := c.Tool == "" || g.Names(c.Tool)
			fits = fits && (c.Channel == "" || g.Covers(place.ID, place.Name, place.Kind))
			if fits && (person == "" || strings.Contains(strings.Join(g.Who, " "), "user:"+person)) {
				shown = append(shown, g)
			}
		}
		if c.JSON {
			return printJSON(r.Out, shown)
		}
		for _, g := range shown {
			printGrant(r.Out, g)
		}
		if len(shown) == 0 {
			fmt.Fprintln(r.Out, "No grants.")
		}
		return nil
	})
}

func printGrant(w io.Writer, g policy.Grant) {
	fmt.Fprintf(w, "%s  %s %s%s  %s  for %s\n", g.ID, g.Effect, strings.Join(g.Tools, ","), orDash("bundle", g.Bundle), g.Scope+orDash(" thread", g.Thread)+orDash(" duty", g.Duty), orWord(strings.Join(g.Who, ","), "members"))
	var parts []string
	add := func(format string, v any, is bool) {
		if is {
			parts = append(parts, fmt.Sprintf(format, v))
		}
	}
	add("asks %s", orWord(strings.Join(g.Approvers, ","), "sponsor,admins"), g.Effect == policy.Ask)
	add("%d of them", g.Quorum, g.Quorum > 1)
	for _, a := range g.Args {
		parts = append(parts, "if "+a.Words())
	}
	add("only %s", g.Hours, g.Hours != "")
	add("%s", fmt.Sprintf("at most %d in %s", g.Rate, time.Duration(g.RateWindow)), g.Rate > 0)
	add("%d uses in all", g.Count, g.Count > 0)
	add("until %s", when(g.ExpiresAt), !g.ExpiresAt.IsZero())
	add("last used %s", when(g.LastUsedAt), true)
	add("revoked by %s", g.RevokedBy+": "+g.RevokedWhy, !g.RevokedAt.IsZero())
	fmt.Fprintf(w, "    %s\n    by %s: %s\n", strings.Join(parts, "; "), g.GrantedBy, g.Justification)
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

type accessGrant struct {
	storeFlags
	workspaceFlag
	Tool     []string `help:"Tool that may be used; may be given several times." placeholder:"NAME"`
	Bundle   string   `help:"Bundle of tools, in place of --tool." placeholder:"NAME"`
	Scope    string   `help:"workspace, channel:C…, channels:PATTERN, kind:KIND, or #name." default:"workspace"`
	Who      []string `help:"Who may ask: members, guests, outsiders, owner, @name, group:S…. Default: members." placeholder:"WHO"`
	Ask      bool     `help:"Only with an approval." xor:"effect"`
	Deny     bool     `help:"Never, whatever else allows it." xor:"effect"`
	Approver []string `help:"With --ask: sponsor, admins, @name or group:S…. Default: sponsor and admins." placeholder:"WHO"`
	Quorum   int      `help:"With --ask: how many have to approve." placeholder:"N"`
	TTL      string   `name:"ttl" help:"With --ask: how long an approval may be waited for." placeholder:"24h"`
	Duty     string   `help:"Only in runs of this duty, whoever owns it: an approval in advance." placeholder:"ID"`
	Arg      []string `help:"Rule for an argument: 'amount<=500', 'n>=1', 'repo=one/two', 'env in dev,staging', 'path^=/docs', 'url host *.example.com'; 'only:repo,env' for no others." placeholder:"RULE" sep:"none"`
	Hours    string   `help:"Only then, such as 'mon-fri 09:00-18:00 Europe/Berlin'." placeholder:"HOURS"`
	Rate     string   `help:"At most so many uses in a time: 10/1h." placeholder:"N/TIME"`
	Count    int64    `help:"So many uses in all." placeholder:"N"`
	Expires  string   `help:"When it ends: 30d, 8h or 2026-12-31. Default: 90d, which is the most without --long-why." placeholder:"WHEN"`
	Why      string   `required:"" help:"What it is for; reviewers read it."`
	LongWhy  string   `help:"Why it must hold for more than 90 days."`
	DryRun   bool     `help:"Show what it would be; change nothing."`
}

// Help implements kong.HelpProvider.
func (accessGrant) Help() string {
	return "Example: deskmate access grant --tool post --scope '#eng' --who @ben --ask --approver @ada --why 'release notes'"
}

func (c *accessGrant) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		g, err := c.read(r, s, workspace)
		if err != nil {
			return err
		}
		if problems := policy.Check(g, s.DB.Now()); len(problems) > 0 {
			return errors.New("that cannot be granted:\n  " + strings.Join(problems, "\n  "))
		}
		if err := policy.MayGrant(policy.Person{ID: human(r.Getenv), Operator: true}, g, func(string) string { return "write" }); err != nil {
			return err
		}
		if !c.DryRun {
			if g, err = s.Access.Grant(r, human(r.Getenv), g); err != nil {
				return err
			}
		}
		if c.JSON {
			return printJSON(r.Out, g)
		}
		if c.DryRun {
			fmt.Fprint(r.Out, "Nothing was changed. It would be:\n+ ")
		}
		printGrant(r.Out, g)
		if c.DryRun {
			changed, err := shifts(r, s, policy.Plan{Workspace: workspace, Add: []policy.Grant{g}})
			if err != nil {
				return err
			}
			printShifts(r.Out, changed)
		}
		return nil
	})
}

func (c *accessGrant) read(ctx context.Context, s *Store, workspace string) (policy.Grant, error) {
	g := policy.Grant{Workspace: workspace, Effect: policy.Allow, Tools: c.Tool, Bundle: c.Bundle, Scope: c.Scope, Quorum: c.Quorum, Hours: c.Hours, Count: c.Count, Duty: c.Duty,
		Justification: c.Why, LongWhy: c.LongWhy}
	if c.Ask {
		g.Effect = policy.Ask
	}
	if c.Deny {
		g.Effect = policy.Deny
	}
	var err error
	if strings.HasPrefix(c.Scope, "#") {
		ch, err := storedChannel(ctx, s, workspace, c.Scope)
		if err != nil {
			return g, err
		}
		g.Scope = "channel:" + ch.ID
	}
	if g.Who, err = people(ctx, s, workspace, c.Who); err != nil {
		return g, err
	}
	if g.Duty != "" {
		if d, err := s.Duties.Get(ctx, g.Duty); err != nil {
			return g, fmt.Errorf("--duty %s: %w", g.Duty, err)
		} else if d.Workspace != workspace {
			return g, fmt.Errorf("--duty %s: it is of another workspace", g.Duty)
		}
		if len(g.Who) == 0 {
			g.Who = []string{policy.Owner}
		}
	}
	if g.Approvers, err = people(ctx, s, workspace, c.Approver); err != nil {
		return g, err
	}
	for _, text := range c.Arg {
		rule, err := policy.ParseRule(text)
		if err != nil {
			return g, fmt.Errorf("--arg %w", err)
		}
		g.Args = append(g.Args, rule)
	}
	if c.TTL != "" {
		d, err := time.ParseDuration(c.TTL)
		if err != nil {
			return g, fmt.Errorf("--ttl %q is no duration such as 24h", c.TTL)
		}
		g.TTL = policy.Duration(d)
	}
	if c.Rate != "" {
		n, window, _ := strings.Cut(c.Rate, "/")
		count, err := strconv.ParseInt(n, 10, 64)
		d, derr := time.ParseDuration(window)
		if err != nil || derr != nil {
			return g, fmt.Errorf("--rate %q is not of the form 10/1h", c.Rate)
		}
		g.Rate, g.RateWindow = count, policy.Duration(d)
	}
	g.ExpiresAt, err = expiry(c.Expires, s.DB.Now())
	return g, err
}

// expiry reads "30d", "8h" or a date, whose end counts.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return now.Add(90 * 24 * time.Hour), nil
	}
	if n, err := strconv.Atoi(strings.TrimSuffix(text, "d")); err == nil && strings.HasSuffix(text, "d") {
		return now.Add(time.Duration(n) * 24 * time.Hour), nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	return time.Time{}, fmt.Errorf("--expires %q is neither 30d, nor 8h, nor a date such as 2026-12-31", text)
}

// people turns @names into user:U….
func people(ctx context.Context, s *Store, workspace string, words []string) ([]string, error) {
	var all []string
	for _, w := range words {
		if strings.HasPrefix(w, "@") || strings.HasPrefix(w, "U") || strings.HasPrefix(w, "W") {
			p, err := storedPerson(ctx, s, workspace, w)
			if err != nil {
				return nil, err
			}
			w = "user:" + p.ID
		}
		all = append(all, w)
	}
	return all, nil
}

// storedChannel finds a channel by id or name among those that the store knows.
func storedChannel(ctx context.Context, s *Store, workspace, called string) (bot.Channel, error) {
	var c bot.Channel
	name := strings.TrimPrefix(called, "#")
	err := s.DB.QueryRow(ctx, `SELECT id, name, kind, is_member FROM channels WHERE workspace = $1 AND (id = $2 OR name = $2)`, workspace, name).Scan(&c.ID, &c.Name, &c.Kind, &c.IsMember)
	if errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("the store knows no channel %s (yet): give its id", called)
	}
	if err != nil {
		return c, fmt.Errorf("look up channel %s: %w", called, err)
	}
	return c, nil
}

// storedPerson finds a person by id or name among those that the store knows.
func storedPerson(ctx context.Context, s *Store, workspace, called string) (bot.Person, error) {
	var p bot.Person
	name := strings.TrimPrefix(called, "@")
	err := s.DB.QueryRow(ctx, `SELECT id, name, kind FROM people WHERE workspace = $1 AND (id = $2 OR lower(name) = lower($2)) ORDER BY id = $2 DESC LIMIT 1`, workspace, name).Scan(&p.ID, &p.Name, &p.Kind)
	if errors.Is(err, sql.ErrNoRows) {
		if called == name { // an id that the store has not met
			return bot.Person{ID: called, Kind: bot.KindMember}, nil
		}
		return p, fmt.Errorf("the store knows nobody called %s (yet): give the user id", called)
	}
	if err != nil {
		return p, fmt.Errorf("look up %s: %w", called, err)
	}
	return p, nil
}

type accessRevoke struct {
	storeFlags
	workspaceFlag
	ID     string `arg:"" help:"Id of the grant, as access list shows it."`
	Why    string `required:"" help:"Why; it is kept in the ledger."`
	DryRun bool   `help:"Show what would be taken back; change nothing."`
}

// Help implements kong.HelpProvider.
func (accessRevoke) Help() string {
	return "Example: deskmate access revoke builtin-post --why 'posts are looked at first'"
}

func (c *accessRevoke) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		g, err := s.Access.Get(r, workspace, c.ID)
		if err != nil {
			return fmt.Errorf("revoke %s: %w", c.ID, err)
		}
		if !c.DryRun {
			if g, err = s.Access.Revoke(r, workspace, c.ID, human(r.Getenv), c.Why); err != nil {
				return err
			}
		}
		if c.JSON {
			return printJSON(r.Out, g)
		}
		if c.DryRun {
			fmt.Fprint(r.Out, "Nothing was changed. It would take back:\n- ")
		}
		printGrant(r.Out, g)
		if c.DryRun {
			changed, err := shifts(r, s, policy.Plan{Workspace: workspace, Remove: []policy.Grant{g}})
			if err != nil {
				return err
			}
			printShifts(r.Out, changed)
		}
		return nil
	})
}

type accessWhy struct {
	storeFlags
	workspaceFlag
	Tool    string `required:"" help:"The tool." placeholder:"NAME"`
	Channel string `required:"" help:"Where it is asked for: #name or id." placeholder:"CHANNEL"`
	Person  string `required:"" help:"Who asks: @name or id." placeholder:"PERSON"`
	Target  string `help:"Channel that it reaches, if another one: #name or id." placeholder:"CHANNEL"`
	Args    string `help:"The arguments, a JSON object." default:"{}" placeholder:"JSON"`
}

// Help implements kong.HelpProvider.
func (accessWhy) Help() string {
	return "Example: deskmate access why --tool post --channel '#eng' --person @ben"
}

func (c *accessWhy) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		if !json.Valid([]byte(c.Args)) {
			return fmt.Errorf("--args %q is not a JSON object", c.Args)
		}
		req := policy.Request{Workspace: workspace, Tool: c.Tool, Args: json.RawMessage(c.Args), At: s.DB.Now()}
		known, err := s.Access.Tools(r, workspace)
		if err != nil {
			return err
		}
		for _, t := range known {
			if t.Name == c.Tool {
				req.Connection, req.Class = t.Connection, t.Class
			}
		}
		if req.Connection == "" {
			return fmt.Errorf("there is no tool %s; deskmate access list shows those that there are", c.Tool)
		}
		ch, err := storedChannel(r, s, workspace, c.Channel)
		if err != nil {
			return err
		}
		p, err := storedPerson(r, s, workspace, c.Person)
		if err != nil {
			return err
		}
		req.Channel, req.ChannelName, req.ChannelKind, req.Requester, req.RequesterKind = ch.ID, ch.Name, ch.Kind, p.ID, p.Kind
		target := ch
		if c.Target != "" {
			if target, err = storedChannel(r, s, workspace, c.Target); err != nil {
				return err
			}
		}
		req.Target, req.TargetKind, req.TargetMember = target.ID, target.Kind, target.IsMember
		x := s.Access.Explain(r, req)
		if c.JSON {
			return printJSON(r.Out, x)
		}
		fmt.Fprintf(r.Out, "%s: %s in %s for %s (groups of people are only known to a running server)\n", x.Decision.Verdict, c.Tool, ch.ID, p.ID)
		for _, reason := range x.Decision.Reasons {
			fmt.Fprintln(r.Out, "  because", reason)
		}
		if x.Decision.Verdict == policy.Ask {
			fmt.Fprintf(r.Out, "  approvers: %s (%d needed, within %s)\n", strings.Join(x.Decision.Approvers, ", "), max(1, x.Decision.Quorum), x.Decision.TTL)
		}
		for _, p := range x.Considered {
			mark := "-"
			if p.Matched {
				mark = "*"
			}
			fmt.Fprintf(r.Out, "%s %s (%s): %s\n", mark, p.Policy, p.Effect, p.Why)
		}
		return nil
	})
}

type accessExport struct {
	storeFlags
	workspaceFlag
	Output string `short:"o" help:"File to write; default: standard output." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (accessExport) Help() string { return "Example: deskmate access export -o access.yaml" }

func (c *accessExport) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		state, err := policy.Export(r, s.Access, workspace)
		if err != nil {
			return err
		}
		text, err := state.YAML()
		if err != nil {
			return err
		}
		switch {
		case c.Output != "":
			if err := os.WriteFile(c.Output, text, 0o600); err != nil {
				return fmt.Errorf("write access: %w", err)
			}
			if c.JSON {
				return printJSON(r.Out, map[string]any{"file": c.Output, "grants": len(state.Grants), "bundles": len(state.Bundles)})
			}
			_, err = fmt.Fprintf(r.Out, "Wrote %s: %s, %s.\n", c.Output, plural(len(state.Grants), "grant"), plural(len(state.Bundles), "bundle"))
		case c.JSON:
			err = printJSON(r.Out, map[string]any{"version": state.Version, "grants": state.Grants, "bundles": state.Bundles})
		default:
			_, err = r.Out.Write(text)
		}
		return err
	})
}

type accessFile struct {
	storeFlags
	workspaceFlag
	File string `short:"f" required:"" help:"The file, as access export writes it." type:"existingfile" placeholder:"FILE"`
}

// plan reads the file and compares.
func (c *accessFile) plan(r *run, s *Store) (policy.Plan, error) {
	workspace, err := only(r, s, c.Workspace)
	if err != nil {
		return policy.Plan{}, err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return policy.Plan{}, fmt.Errorf("read access file: %w", err)
	}
	state, err := policy.ParseState(text, s.DB.Now())
	if err != nil {
		return policy.Plan{}, fmt.Errorf("%s is refused, and nothing was changed:\n%w", c.File, err)
	}
	return policy.MakePlan(r, s.Access, workspace, state)
}

type accessPlan struct {
	accessFile
	ExitCode bool `help:"Exit with 1 if there is anything to change."`
}

// Help implements kong.HelpProvider.
func (accessPlan) Help() string { return "Example: deskmate access plan -f access.yaml" }

func (c *accessPlan) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		p, err := c.plan(r, s)
		if err != nil {
			return err
		}
		changed, err := shifts(r, s, p)
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(r.Out, map[string]any{"empty": p.Empty(), "plan": p, "decisions": append([]policy.Shift{}, changed...)})
		} else {
			_, err = fmt.Fprint(r.Out, p.Text())
			if !p.Empty() {
				printShifts(r.Out, changed)
			}
		}
		if err == nil && c.ExitCode && !p.Empty() {
			return exitError(1)
		}
		return err
	})
}

type accessApply struct {
	accessFile
	Yes bool `help:"Do not ask."`
}

// Help implements kong.HelpProvider.
func (accessApply) Help() string { return "Example: deskmate access apply -f access.yaml --yes" }

func (c *accessApply) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		p, err := c.plan(r, s)
		if err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprint(r.Out, p.Text())
		}
		if !p.Empty() && !c.Yes {
			if err := agreed(r); err != nil {
				return err
			}
		}
		if !p.Empty() {
			if err := policy.Apply(r, s.Access, human(r.Getenv), p); err != nil {
				return err
			}
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"applied": !p.Empty(), "plan": p})
		}
		if !p.Empty() {
			_, err = fmt.Fprintln(r.Out, "Applied.")
		}
		return err
	})
}

// agreed asks whether a plan that was shown shall be carried out; the error says that
// it was not agreed to.
func agreed(r *run) error {
	fmt.Fprint(r.Errors, "Apply? Type yes: ")
	line, err := bufio.NewReader(r.In).ReadString('\n')
	if strings.TrimSpace(line) == "yes" {
		return nil
	}
	return errors.Join(errors.New("not confirmed, so nothing was changed; --yes does without the question"), ignoreEOF(err))
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
