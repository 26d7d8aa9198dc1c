package policy

import (
	"testing"
	"time"
)

func TestOfferedIsWhatSomeGrantCouldLetThrough(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		grants []Grant
		kind   string
		want   bool
	}{
		{"nothing granted", nil, "member", false},
		{"granted here", []Grant{{Effect: Allow, Scope: "channel:C1"}}, "member", true},
		{"granted with an approval", []Grant{{Effect: Ask, Scope: "workspace"}}, "member", true},
		{"granted elsewhere", []Grant{{Effect: Allow, Scope: "channel:C2"}}, "member", false},
		{"granted to members, a guest asks", []Grant{{Effect: Allow, Scope: "channel:C1"}}, "guest", false},
		{"granted for some arguments", []Grant{{Effect: Allow, Scope: "channel:C1", Args: []ArgRule{{Name: "repo", Prefix: "one/"}}}}, "member", true},
		{"denied whatever the arguments", []Grant{{Effect: Allow, Scope: "channel:C1"}, {Effect: Deny, Scope: "channel:C1"}}, "member", false},
		{"denied for some arguments", []Grant{{Effect: Allow, Scope: "channel:C1"}, {Effect: Deny, Scope: "channel:C1", Args: []ArgRule{{Name: "repo", Prefix: "secret/"}}}}, "member", true},
		{"denied elsewhere", []Grant{{Effect: Allow, Scope: "channel:C1"}, {Effect: Deny, Scope: "channel:C2"}}, "member", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			for _, g := range c.grants {
				g.Workspace, g.Tools, g.Justification, g.ExpiresAt = "T1", []string{"far.pay"}, "a try", start.Add(time.Hour)
				if _, err := d.e.Grant(t.Context(), "U0ADA", g); err != nil {
					t.Fatal(err)
				}
			}
			r := Request{Workspace: "T1", Tool: "far.pay", Connection: "far", Class: "write", Requester: "U1", RequesterKind: c.kind, Channel: "C1", ChannelKind: "public", TargetMember: true}
			if got := d.e.Offers(t.Context(), r); got != c.want {
				t.Errorf("offered: %v, want %v", got, c.want)
			}
		})
	}
}
