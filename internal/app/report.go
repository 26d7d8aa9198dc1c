package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/identity/policy"
)

type accessReport struct {
	storeFlags
	workspaceFlag
	Person string `help:"Only what this person can make it do: @name or id." placeholder:"PERSON"`
	Tool   string `help:"Only this tool." placeholder:"NAME"`
}

// Help implements kong.HelpProvider.
func (accessReport) Help() string {
	return "Every line is decided by the same rules as an action is, with what the store knows of channels and people: the places where the agent is, where it acts in the place where it is asked. " +
		"User groups are judged as groups; who is in them is only known to a running server. 'deskmate access why' explains one line.\n\n" +
		"Example: deskmate access report --tool post"
}

func (c *accessReport) Run(r *run) error {
	return c.with(r, func(s *Store) error {
		workspace, err := only(r, s, c.Workspace)
		if err != nil {
			return err
		}
		tools, err := s.Access.Tools(r, workspace)
		if err != nil {
			return err
		}
		if c.Tool != "" {
			tools = slices.DeleteFunc(tools, func(t policy.BuiltinTool) bool { return t.Name != c.Tool })
			if len(tools) == 0 {
				return fmt.Errorf("there is no tool %s; deskmate access list shows those that there are", c.Tool)
			}
		}
		places, err := reportPlaces(r, s, workspace)
		if err != nil {
			return err
		}
		subjects, err := c.subjects(r, s, workspace)
		if err != nil {
			return err
		}
		rows, err := identity.Report(r, s.Access, workspace, tools, places, subjects, s.DB.Now())
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Out, rows)
		}
		printAccess(r.Out, rows, subjects)
		return nil
	})
}

func (c *accessReport) subjects(ctx context.Context, s *Store, workspace string) ([]identity.ReportSubject, error) {
	if c.Person != "" {
		p, err := storedPerson(ctx, s, workspace, c.Person)
		if err != nil {
			return nil, err
		}
		return []identity.ReportSubject{{Who: "user:" + p.ID, Kind: p.Kind}}, nil
	}
	grants, err := s.Access.List(ctx, workspace, false)
	if err != nil {
		return nil, err
	}
	var failed error
	subjects := identity.ReportSubjects(grants, func(id string) string {
		p, err := storedPerson(ctx, s, workspace, id)
		if err != nil {
			failed = err
		}
		return p.Kind
	})
	return subjects, failed
}

// reportPlaces are the channels where the agent is, and a direct message.
func reportPlaces(ctx context.Context, s *Store, workspace string) ([]identity.ReportPlace, error) {
	rows, err := s.DB.Query(ctx, `SELECT id, name, kind FROM channels WHERE workspace = $1 AND is_member <> 0 AND is_archived = 0 AND kind <> 'im' ORDER BY name, id`, workspace)
	if err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	defer rows.Close()
	var all []identity.ReportPlace
	for rows.Next() {
		var p identity.ReportPlace
		if err := rows.Scan(&p.ID, &p.Name, &p.Kind); err != nil {
			return nil, fmt.Errorf("list channels: %w", err)
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	return append(all, identity.ReportPlace{ID: "D0", Kind: bot.ChannelDirect}), nil
}

// printAccess prints the matrix: the tools that are alike together, and of each
// the places that are alike.
func printAccess(w io.Writer, rows []identity.ReportRow, subjects []identity.ReportSubject) {
	n := notes{}
	tools, cells := order(rows, &n)
	head := make([]string, len(subjects))
	width := make([]int, len(subjects))
	for i, s := range subjects {
		head[i] = strings.TrimPrefix(s.Who, "user:")
		width[i] = len(head[i])
		for _, byPlace := range cells {
			for _, c := range byPlace {
				width[i] = max(width[i], len(c[i]))
			}
		}
	}
	pad := func(cells []string) string {
		var b strings.Builder
		for i, c := range cells {
			fmt.Fprintf(&b, "%-*s  ", width[i], c)
		}
		return b.String()
	}
	var blocks []string
	alike := map[string][]string{}
	for _, tool := range tools {
		var vectors []string
		where := map[string][]string{}
		for _, p := range places(rows, tool) {
			v := pad(cells[tool][p.ID])
			if where[v] == nil {
				vectors = append(vectors, v)
			}
			where[v] = append(where[v], placeName(p))
		}
		var b strings.Builder
		for _, v := range vectors {
			text := strings.Join(where[v], ", ")
			if len(vectors) == 1 && len(where[v]) > 1 {
				text = "everywhere"
			}
			fmt.Fprintf(&b, "  %s%s\n", v, text)
		}
		if alike[b.String()] == nil {
			blocks = append(blocks, b.String())
		}
		alike[b.String()] = append(alike[b.String()], tool)
	}
	fmt.Fprintf(w, "  %sWHERE\n", pad(head))
	for _, b := range blocks {
		fmt.Fprintf(w, "%s\n%s", strings.Join(alike[b], ", "), b)
	}
	for i, text := range n.texts {
		fmt.Fprintf(w, "[%d] %s\n", i+1, text)
	}
}

// notes are the footnotes of a report, each once.
type notes struct{ texts []string }

func (n *notes) mark(text string) string {
	i := slices.Index(n.texts, text)
	if i < 0 {
		i, n.texts = len(n.texts), append(n.texts, text)
	}
	return fmt.Sprintf("[%d]", i+1)
}

// order gives the tools in the order of the rows, and for each tool and place the
// cells of all subjects.
func order(rows []identity.ReportRow, n *notes) (tools []string, cells map[string]map[string][]string) {
	cells = map[string]map[string][]string{}
	for _, r := range rows {
		if cells[r.Tool] == nil {
			tools, cells[r.Tool] = append(tools, r.Tool), map[string][]string{}
		}
		cell := r.Verdict
		if r.Verdict == policy.Ask {
			cell += n.mark("with an approval by " + approverWords(r.Approvers, r.Quorum))
		}
		for _, u := range r.Under {
			text := u.Verdict
			if u.Verdict == policy.Ask {
				text += " (an approval by " + approverWords(u.Approvers, u.Quorum) + ")"
			}
			cell += n.mark(fmt.Sprintf("but %s if %s, by %s", text, u.If, u.Grant))
		}
		cells[r.Tool][r.Place.ID] = append(cells[r.Tool][r.Place.ID], cell)
	}
	return tools, cells
}

func approverWords(approvers []string, quorum int) string {
	text := strings.Join(approvers, " or ")
	if quorum > 1 {
		text = fmt.Sprintf("%d of: %s", quorum, text)
	}
	return text
}

func places(rows []identity.ReportRow, tool string) []identity.ReportPlace {
	var all []identity.ReportPlace
	for _, r := range rows {
		if r.Tool == tool && !slices.Contains(all, r.Place) {
			all = append(all, r.Place)
		}
	}
	return all
}

func placeName(p identity.ReportPlace) string {
	switch {
	case p.Kind == bot.ChannelDirect:
		return "direct messages"
	case p.Name == "":
		return p.ID
	}
	return "#" + p.Name
}
