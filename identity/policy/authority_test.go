package policy

import (
	"errors"
	"testing"
)

func TestWhoMayGrantAndRevoke(t *testing.T) {
	t.Parallel()
	class := func(tool string) string {
		return map[string]string{"post": "write", "recall": "read", "mail": "external"}[tool]
	}
	ada := Person{ID: "U0ADA", Kind: "member", Admin: true}
	sponsor := Person{ID: "U0SPONSOR", Kind: "member", Sponsor: true}
	manager := Person{ID: "U0BEN", Kind: "member", Manages: []string{"C0ENG"}}
	member := Person{ID: "U0CHLOE", Kind: "member"}
	operator := Person{ID: "cli:root", Operator: true}
	guest := Person{ID: "U0GIL", Kind: "guest", Admin: true, Manages: []string{"C0ENG"}}
	bot := Person{ID: "U0AGENT", Kind: "bot", Sponsor: true}
	grant := func(effect, tool, scope string, who ...string) Grant {
		return Grant{Effect: effect, Tools: []string{tool}, Scope: scope, Who: who, GrantedBy: "U0CHLOE"}
	}
	for _, c := range []struct {
		name          string
		who           Person
		g             Grant
		grant, revoke bool
	}{
		{"an admin anywhere", ada, grant(Allow, "post", "workspace"), true, true},
		{"a sponsor anywhere", sponsor, grant(Deny, "mail", "workspace"), true, true},
		{"the operator anywhere", operator, grant(Ask, "mail", "kind:private"), true, true},
		{"an admin, external for others", ada, grant(Allow, "mail", "workspace", Members), true, true},
		{"an admin, external for themselves alone", ada, grant(Allow, "mail", "workspace", "user:U0ADA"), false, true},
		{"an admin, an unknown tool for themselves alone", ada, grant(Allow, "strange", "workspace", "user:U0ADA"), false, true},
		{"an admin, a denial for themselves", ada, grant(Deny, "mail", "workspace", "user:U0ADA"), true, true},
		{"an admin, internal for themselves alone", ada, grant(Allow, "post", "workspace", "user:U0ADA"), true, true},
		{"a manager in their channel", manager, grant(Allow, "post", "channel:C0ENG"), true, true},
		{"a manager elsewhere", manager, grant(Allow, "post", "channel:C0LEADS"), false, false},
		{"a manager for the workspace", manager, grant(Allow, "post", "workspace"), false, false},
		{"a manager by a pattern that covers their channel", manager, grant(Allow, "post", "channels:eng*"), false, false},
		{"a manager, external", manager, grant(Ask, "mail", "channel:C0ENG"), false, true},
		{"a manager, an unknown tool", manager, grant(Allow, "strange", "channel:C0ENG"), false, true},
		{"a manager, a denial", manager, grant(Deny, "post", "channel:C0ENG"), false, false},
		{"a member, their own earlier grant", member, grant(Allow, "post", "channel:C0ENG"), false, true},
		{"a member, their own earlier denial", member, grant(Deny, "post", "channel:C0ENG"), false, false},
		{"a guest, whatever Slack says of them", guest, grant(Allow, "post", "channel:C0ENG"), false, false},
		{"the agent", bot, grant(Allow, "post", "workspace"), false, false},
		{"nobody known", Person{ID: "U0X", Kind: "outsider"}, grant(Allow, "post", "workspace"), false, false},
	} {
		var no *NotAllowedError
		if err := MayGrant(c.who, c.g, class); (err == nil) != c.grant || err != nil && (!errors.As(err, &no) || no.Text == "") {
			t.Errorf("%s: MayGrant = %v, want allowed %v", c.name, err, c.grant)
		}
		if err := MayRevoke(c.who, c.g); (err == nil) != c.revoke {
			t.Errorf("%s: MayRevoke = %v, want allowed %v", c.name, err, c.revoke)
		}
	}
}
