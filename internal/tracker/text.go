package tracker

import (
	"fmt"
	"strings"
	"time"
)

func orNobody(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}

// String is the page as a person reads it, one line per issue.
func (p Page) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d matching issues\n", len(p.Issues), p.Matching)
	for _, s := range p.Issues {
		fmt.Fprintf(&b, "%s [%s] %s (%s; %s; %d comments)\n", s.ID, s.State, s.Title, strings.Join(s.Labels, ", "), orNobody(s.Assignee), s.Comments)
	}
	if p.NextCursor != "" {
		fmt.Fprintf(&b, "More with cursor %s\n", p.NextCursor)
	}
	return b.String()
}

// String is the issue as a person reads it.
func (i Issue) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s [%s] %s\nlabels: %s\nassignee: %s\nby %s, %s\n", i.ID, i.State, i.Title, strings.Join(i.Labels, ", "), orNobody(i.Assignee), i.Author, i.Created.Format(time.RFC3339))
	if i.Body != "" {
		fmt.Fprintf(&b, "\n%s\n", i.Body)
	}
	for _, c := range i.Comments {
		fmt.Fprintf(&b, "\n%s, %s:\n%s\n", c.Author, c.At.Format(time.RFC3339), c.Body)
	}
	return b.String()
}
