package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
)

type auditEntry struct {
	storeFlags
	workspaceFlag
	Seq int64 `arg:"" help:"Number of the entry, as audit tail shows it."`
}

type auditShow struct{ auditEntry }

// Help implements kong.HelpProvider.
func (auditShow) Help() string { return "Example: deskmate audit show 1204" }

func (c *auditShow) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		e, err := s.Ledger.Show(r, workspace, c.Seq)
		if err != nil {
			return err
		}
		record, err := e.Record()
		if err != nil {
			return err
		}
		follows := []ledger.Entry{}
		if record.Action != "" {
			all, err := s.Ledger.Search(r, workspace, ledger.Query{Action: record.Action, Limit: 50})
			if err != nil {
				return err
			}
			slices.Reverse(all)
			for _, f := range all {
				if f.Seq != e.Seq {
					follows = append(follows, f)
				}
			}
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"entry": e, "same_action": follows})
		}
		fmt.Fprintf(r.Out, "entry %d of %s, %s\n", e.Seq, workspace, e.At.UTC().Format(time.RFC3339Nano))
		for _, f := range [][2]string{{"kind", record.Kind}, {"actor", record.Actor}, {"requester", record.Requester}, {"channel", record.Channel}, {"thread", record.Thread},
			{"target", record.Target}, {"tool", record.Tool}, {"class", record.Class}, {"decision", record.Decision}, {"because of", strings.Join(record.Reasons, ", ")},
			{"outcome", record.Outcome}, {"turn", record.Turn}, {"cause", record.Cause}, {"action", record.Action}} {
			if f[1] != "" {
				fmt.Fprintf(r.Out, "  %-10s %s\n", f[0], f[1])
			}
		}
		printSorted(r.Out, record.Fields, "")
		printSorted(r.Out, e.Payload, "text ")
		if len(e.Erased) > 0 {
			fmt.Fprintf(r.Out, "  erased     %s\n", strings.Join(e.Erased, ", "))
		}
		for _, f := range follows {
			if err := (&auditTail{}).print(r, f); err != nil {
				return err
			}
		}
		return nil
	})
}

func printSorted(w io.Writer, m map[string]string, prefix string) {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(w, "  %-10s %s\n", prefix+name, strings.ReplaceAll(m[name], "\n", "\n             "))
	}
}

type span struct {
	Since string `help:"Not before: a date, a time (RFC 3339), or so long ago, such as 24h." placeholder:"WHEN"`
	Until string `help:"Before: the same." placeholder:"WHEN"`
}

func (s span) times(now time.Time) (since, until time.Time, err error) {
	if since, err = moment(s.Since, now); err != nil {
		return since, until, fmt.Errorf("--since: %w", err)
	}
	if until, err = moment(s.Until, now); err != nil {
		return since, until, fmt.Errorf("--until: %w", err)
	}
	return since, until, nil
}

// age reads a duration that may be in days.
func age(text string) (time.Duration, error) {
	if n, err := strconv.Atoi(strings.TrimSuffix(text, "d")); err == nil && strings.HasSuffix(text, "d") {
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}

type auditSearch struct {
	storeFlags
	workspaceFlag
	span
	Kind      string `help:"intent, outcome, denied, approval.approved …" placeholder:"KIND"`
	Tool      string `placeholder:"NAME"`
	Requester string `help:"Who asked." placeholder:"U…"`
	Actor     string `help:"Who acted." placeholder:"U…"`
	Channel   string `placeholder:"C…"`
	Turn      string `placeholder:"ID"`
	Action    string `help:"The action's key." placeholder:"KEY"`
	Decision  string `help:"allow, ask or deny." placeholder:"DECISION"`
	Outcome   string `help:"done, failed, unknown or cancelled." placeholder:"OUTCOME"`
	Text      string `help:"Anywhere in the entry or its texts." placeholder:"WORDS"`
	Limit     int    `short:"n" default:"100" help:"How many at most."`
}

// Help implements kong.HelpProvider.
func (auditSearch) Help() string {
	return "Example: deskmate audit search --tool post --requester U012AB3CD --since 7d"
}

func (c *auditSearch) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		since, until, err := c.times(s.DB.Now())
		if err != nil {
			return err
		}
		found, err := s.Ledger.Search(r, workspace, ledger.Query{Kind: c.Kind, Tool: c.Tool, Requester: c.Requester, Actor: c.Actor, Channel: c.Channel, Turn: c.Turn,
			Action: c.Action, Decision: c.Decision, Outcome: c.Outcome, Text: c.Text, Since: since, Until: until, Limit: max(1, c.Limit)})
		if err != nil {
			return err
		}
		for _, e := range found {
			if err := (&auditTail{storeFlags: c.storeFlags}).print(r, e); err != nil {
				return err
			}
		}
		if len(found) == 0 && !c.JSON {
			fmt.Fprintln(r.Out, "No entries.")
		}
		return nil
	})
}

type auditProve struct {
	storeFlags
	workspaceFlag
	Seq        *int64 `arg:"" optional:"" help:"Number of the entry, as audit tail shows it."`
	Size       int64  `help:"Prove it for the checkpoint of this size. Default: the newest." placeholder:"N"`
	Checkpoint string `help:"Prove it for a checkpoint in this file, which was kept elsewhere." placeholder:"FILE"`
	From       int64  `help:"Without an entry: prove that the ledger has only grown since the checkpoint of this size." placeholder:"N"`
	To         int64  `help:"With --from: up to the checkpoint of this size. Default: the newest." placeholder:"N"`
	Output     string `short:"o" help:"File to write; default: standard output." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (auditProve) Help() string {
	return "Example: deskmate audit prove 1204 | go run ./docs/verify \"$(deskmate audit key)\"\n\nThe proof is JSON: leaf, path, signed checkpoint, public key (docs/ledger.md)."
}

func (c *auditProve) Run(r *run) error {
	if (c.Seq == nil) == (c.From == 0) {
		return errors.New("say what to prove: an entry (deskmate audit prove 1204) or growth (deskmate audit prove --from 1000)")
	}
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		p, err := c.proof(r, s, workspace)
		if err != nil {
			return err
		}
		// The leaf must stay as it was hashed: neither indented nor escaped.
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		err = e.Encode(p)
		switch {
		case err != nil:
		case c.Output == "":
			_, err = r.Out.Write(b.Bytes())
		default:
			err = os.WriteFile(c.Output, b.Bytes(), 0o600)
		}
		if err != nil {
			return fmt.Errorf("write proof: %w", err)
		}
		return nil
	})
}

func (c *auditProve) proof(r *run, s *Store, workspace string) (any, error) {
	switch {
	case c.From != 0:
		return s.Ledger.ProveGrowth(r, workspace, c.From, c.To)
	case c.Checkpoint == "":
		return s.Ledger.Prove(r, workspace, *c.Seq, c.Size)
	}
	text, err := os.ReadFile(c.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	all, err := ledger.ParseAnchors(string(text), s.Keys.Verifier())
	if err != nil {
		return nil, fmt.Errorf("read checkpoints in %s: %w", c.Checkpoint, err)
	}
	for _, a := range slices.Backward(all) {
		if a.Workspace == workspace && a.Size > *c.Seq && (c.Size == 0 || c.Size == a.Size) {
			return s.Ledger.ProveFor(r, *c.Seq, a)
		}
	}
	return nil, fmt.Errorf("prove ledger entry %d with %s: %w", *c.Seq, c.Checkpoint, ledger.ErrNotCovered)
}

type auditExport struct {
	storeFlags
	workspaceFlag
	span
	Format string `enum:"jsonl,ocsf,csv" default:"jsonl" help:"jsonl (entries as they are), ocsf (1.3.0, API Activity) or csv."`
	Output string `short:"o" help:"File to write; default: standard output." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (auditExport) Help() string {
	return "Example: deskmate audit export --format ocsf --since 24h -o yesterday.jsonl"
}

func (c *auditExport) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		since, until, err := c.times(s.DB.Now())
		if err != nil {
			return err
		}
		if c.Output == "" {
			_, err := s.Ledger.Write(r, workspace, c.Format, since, until, r.Out)
			return err
		}
		f, err := os.OpenFile(c.Output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("write export: %w", err)
		}
		n, err := s.Ledger.Write(r, workspace, c.Format, since, until, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]any{"file": c.Output, "entries": n})
		}
		_, err = fmt.Fprintf(r.Out, "Wrote %d entries to %s.\n", n, c.Output)
		return err
	})
}

type auditTrim struct {
	storeFlags
	workspaceFlag
	Keep string `required:"" help:"How old texts may be, such as 365d." placeholder:"AGE"`
}

// Help implements kong.HelpProvider.
func (auditTrim) Help() string { return "Example: deskmate audit trim --keep 365d" }

func (c *auditTrim) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		keep, err := age(c.Keep)
		if err != nil || keep < 0 {
			return fmt.Errorf("--keep %q is no age such as 365d", c.Keep)
		}
		n, err := s.Ledger.Trim(r, workspace, human(r.Getenv), s.DB.Now().Add(-keep))
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]int64{"erased": n})
		}
		_, err = fmt.Fprintf(r.Out, "Erased %s; the entries stay and verify.\n", plural(int(n), "text"))
		return err
	})
}

type auditErase struct {
	auditEntry
	Reason string `required:"" help:"Why; it is kept in the ledger."`
}

// Help implements kong.HelpProvider.
func (auditErase) Help() string {
	return `Example: deskmate audit erase 1204 --reason "a phone number"`
}

func (c *auditErase) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		var n int64
		err = s.DB.Write(r, func(tx *migrations.Tx) error {
			var err error
			n, err = s.Ledger.EraseEntry(tx, workspace, c.Seq, human(r.Getenv), c.Reason)
			return err
		})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, map[string]int64{"erased": n})
		}
		_, err = fmt.Fprintf(r.Out, "Erased %s of entry %d; the entry stays and verifies.\n", plural(int(n), "text"), c.Seq)
		return err
	})
}
