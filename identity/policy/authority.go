package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Person is somebody who wants to change what is granted, as they are at this
// moment.
type Person struct {
	ID       string   // Slack user id, or "cli:name"
	Kind     string   // member, guest, outsider, bot; "" for who works on the host
	Admin    bool     // of the workspace
	Sponsor  bool     // of the agent
	Operator bool     // works on the host
	Manages  []string // channels that they manage
}

// NotAllowedError is a change of grants that the person may not make; Text says
// why, to them.
type NotAllowedError struct{ Text string }

func (e *NotAllowedError) Error() string { return e.Text }

func notAllowed(format string, args ...any) error {
	return &NotAllowedError{fmt.Sprintf(format, args...)}
}

// governs reports whether the person may change grants anywhere.
func (p Person) governs() bool {
	return p.Operator || p.Kind == kindMember && (p.Admin || p.Sponsor)
}

// MayGrant says why a person may not make a grant, nil if they may. class tells
// that of a tool; what it does not know counts as external.
//
// Sponsors, workspace admins and who works on the host may grant anywhere; the
// manager of a channel may in that channel, but for what leaves the organisation
// and for what is never to be done. Nobody lets themselves alone have a tool that
// leaves the organisation.
func MayGrant(p Person, g Grant, class func(tool string) string) error {
	if !p.Operator && p.Kind != kindMember {
		return notAllowed("only full members of the workspace grant anything")
	}
	external := slices.ContainsFunc(g.Tools, func(t string) bool { c := class(t); return c != "read" && c != "write" }) || len(g.Tools) == 0
	if external && g.Effect != Deny && len(g.Who) > 0 && !slices.ContainsFunc(g.Who, func(w string) bool { return w != "user:"+p.ID }) {
		return notAllowed("nobody grants a tool that leaves the organisation to themselves alone: somebody else has to")
	}
	if p.governs() {
		return nil
	}
	channel, one := strings.CutPrefix(g.Scope, "channel:")
	switch {
	case !one || !slices.Contains(p.Manages, channel):
		return notAllowed("that takes my sponsor or an admin of the workspace; who manages a channel may grant in it")
	case g.Effect == Deny:
		return notAllowed("what is never to be done is for my sponsor or an admin of the workspace to say")
	case external:
		return notAllowed("a tool that leaves the organisation is for my sponsor or an admin of the workspace to grant")
	}
	return nil
}

// MayRevoke says why a person may not take a grant back, nil if they may: whoever
// may grant there may, and everybody what they granted themselves, but for denials.
func MayRevoke(p Person, g Grant) error {
	channel, one := strings.CutPrefix(g.Scope, "channel:")
	switch {
	case p.governs():
		return nil
	case p.Kind != kindMember:
		return notAllowed("only full members of the workspace take grants back")
	case g.Effect == Deny:
		return notAllowed("lifting what is never to be done is for my sponsor or an admin of the workspace")
	case g.GrantedBy == p.ID, one && slices.Contains(p.Manages, channel):
		return nil
	}
	return notAllowed("that takes my sponsor, an admin of the workspace, or whoever granted it")
}
