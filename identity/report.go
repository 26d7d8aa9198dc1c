package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskmate/identity/policy"
)

// ReportPlace is a place in a Report.
type ReportPlace struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"` // without #
	Kind string `json:"kind"`           // public, private, shared, im, mpim
}

// ReportSubject is a kind of person, a person or a user group in a Report.
type ReportSubject struct {
	Who  string `json:"who"`            // members, guests, outsiders, user:U…, group:S…
	Kind string `json:"kind,omitempty"` // of a person: member, guest, outsider, bot
}

// ReportRow says what one subject can make the agent do with one tool in one
// place, where the effect is in that place too.
type ReportRow struct {
	Tool       string         `json:"tool"`
	Connection string         `json:"connection"`
	Class      string         `json:"class"`
	Place      ReportPlace    `json:"place"`
	Who        string         `json:"who"`
	Verdict    string         `json:"verdict"` // allow, ask, deny
	Approvers  []string       `json:"approvers,omitempty"`
	Quorum     int            `json:"quorum,omitempty"`
	Policies   []string       `json:"policies"`
	Under      []ReportUnless `json:"under,omitempty"` // where it is decided in another way
}

// ReportUnless is another verdict under the conditions of a grant.
type ReportUnless struct {
	Grant     string   `json:"grant"`
	If        string   `json:"if"`
	Verdict   string   `json:"verdict"`
	Approvers []string `json:"approvers,omitempty"`
	Quorum    int      `json:"quorum,omitempty"`
}

// anybody is a user id that no grant names: one person of a kind.
const anybody = "U0ANYBODY0"

// Report asks policy for every tool, place and subject, and for each grant with
// conditions once more with a request that meets them. It decides nothing itself.
func Report(ctx context.Context, e *policy.Engine, workspace string, tools []policy.BuiltinTool, places []ReportPlace, subjects []ReportSubject, at time.Time) ([]ReportRow, error) {
	grants, err := e.List(ctx, workspace, false)
	if err != nil {
		return nil, fmt.Errorf("report access: %w", err)
	}
	grants = slices.DeleteFunc(grants, func(g policy.Grant) bool { return len(g.Conditions()) == 0 })
	rows := []ReportRow{}
	for _, t := range tools {
		for _, p := range places {
			for _, s := range subjects {
				if err := ctx.Err(); err != nil {
					return nil, fmt.Errorf("report access: %w", err)
				}
				r := s.request()
				r.Workspace, r.Tool, r.Connection, r.Class, r.At = workspace, t.Name, t.Connection, t.Class, at
				r.Channel, r.ChannelName, r.ChannelKind = p.ID, p.Name, p.Kind
				r.Target, r.TargetKind, r.TargetMember = p.ID, p.Kind, true
				rows = append(rows, reportRow(ctx, e, r, t, p, s, grants))
			}
		}
	}
	return rows, nil
}

// request is one by the subject.
func (s ReportSubject) request() policy.Request {
	word, id, _ := strings.Cut(s.Who, ":")
	switch word {
	case "user":
		return policy.Request{Requester: id, RequesterKind: s.Kind}
	case "group":
		return policy.Request{Requester: anybody, RequesterKind: kindMember, Groups: []string{id}}
	}
	return policy.Request{Requester: anybody, RequesterKind: strings.TrimSuffix(s.Who, "s")}
}

func reportRow(ctx context.Context, e *policy.Engine, r policy.Request, t policy.BuiltinTool, p ReportPlace, s ReportSubject, conditional []policy.Grant) ReportRow {
	d := e.Decide(ctx, r)
	row := ReportRow{Tool: t.Name, Connection: t.Connection, Class: t.Class, Place: p, Who: s.Who, Verdict: d.Verdict, Approvers: d.Approvers, Quorum: d.Quorum, Policies: d.Policies}
	for _, g := range conditional {
		if !g.Covers(p.ID, p.Name, p.Kind) {
			continue
		}
		if with := e.Decide(ctx, g.Meet(r)); slices.Contains(with.Policies, g.ID) && (with.Verdict != d.Verdict || !slices.Equal(with.Approvers, d.Approvers) || with.Quorum != d.Quorum) {
			row.Under = append(row.Under, ReportUnless{Grant: g.ID, If: strings.Join(g.Conditions(), ", "), Verdict: with.Verdict, Approvers: with.Approvers, Quorum: with.Quorum})
		}
	}
	return row
}

// ReportSubjects are the kinds of people, and everybody whom a standing grant
// names. kind tells what a person is.
func ReportSubjects(grants []policy.Grant, kind func(person string) string) []ReportSubject {
	all := []ReportSubject{{Who: policy.Members}, {Who: policy.Guests}, {Who: policy.Outsiders}}
	var named []string
	for _, g := range grants {
		for _, w := range g.Who {
			if word, _, ok := strings.Cut(w, ":"); ok && (word == "user" || word == "group") && !slices.Contains(named, w) {
				named = append(named, w)
			}
		}
	}
	slices.Sort(named)
	for _, w := range named {
		s := ReportSubject{Who: w}
		if id, ok := strings.CutPrefix(w, "user:"); ok {
			s.Kind = kind(id)
		}
		all = append(all, s)
	}
	return all
}
