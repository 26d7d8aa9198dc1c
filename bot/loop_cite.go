package bot

import (
	"fmt"
	"strings"

	"deskmate/memory"
)

// sources is a last line with the sources that an answer uses and does not name,
// "" for none: what memory gave with the request, or to a tool of the turn. A
// model is told to name them; this holds where it does not.
func (t *Turn) sources(resp *Response) string {
	if strings.TrimSpace(resp.Text) == "" {
		return ""
	}
	given := memory.CitedIn(resp.system)
	var asked strings.Builder
	for _, s := range t.Steps {
		switch {
		case s.Event != nil:
			asked.WriteString(s.Event.Text + "\n")
		case s.Outcome != nil && s.Outcome.Error == "" && recalls[s.Outcome.Call.Name]:
			given = append(given, memory.CitedIn(s.Outcome.Result.Text)...)
		case s.Outcome != nil: // what another tool said is no memory
			asked.WriteString(s.Outcome.Result.Text + "\n" + s.Outcome.Error + "\n")
		}
	}
	var links []string
	for _, c := range memory.Owed(resp.Text, asked.String(), given) {
		links = append(links, fmt.Sprintf("[%s](%s)", c.Source, c.Link))
	}
	if len(links) == 0 {
		return ""
	}
	return "\n\nFrom memory: " + strings.Join(links, "; ")
}

// recalls are the tools whose results are memory's, with a source on each line.
var recalls = map[string]bool{ToolRecall: true, ToolBrief: true}
