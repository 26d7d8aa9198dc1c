package policy

import (
	"testing"
	"time"
)

func TestMeetMakesARequestThatTheGrantCovers(t *testing.T) {
	t.Parallel()
	text, low, high := "prod", 10.0, 20.0
	for name, g := range map[string]Grant{
		"equals":       {Args: []ArgRule{{Name: "env", Equals: &text}}},
		"one of":       {Args: []ArgRule{{Name: "env", OneOf: []string{"dev", "staging"}}}},
		"prefix":       {Args: []ArgRule{{Name: "path", Prefix: "/docs/"}}},
		"host":         {Args: []ArgRule{{Name: "url", Host: "api.example.com"}}},
		"any host of":  {Args: []ArgRule{{Name: "url", Host: "*.example.com"}}},
		"at least":     {Args: []ArgRule{{Name: "amount", Min: &low}}},
		"at most":      {Args: []ArgRule{{Name: "amount", Max: &high}}},
		"between":      {Args: []ArgRule{{Name: "amount", Min: &low, Max: &high}}},
		"two inside":   {Args: []ArgRule{{Name: "to.env", Equals: &text}, {Name: "to.amount", Max: &high}}},
		"hours":        {Hours: "sat 22:00-02:00 Europe/Berlin"},
		"short hours":  {Hours: "mon 09:15-09:30 Asia/Tokyo"},
		"a thread":     {Scope: "channel:C0ENG", Thread: "1700000000.000100"},
		"a duty":       {Duty: "d_weekly"},
		"no others":    {Duty: "d_weekly", Args: []ArgRule{{Name: "env", Equals: &text}, {Name: "*", Only: []string{"env"}}}},
		"the owner":    {Who: []string{Owner}},
		"all together": {Scope: "channel:C0ENG", Thread: "1700000000.000100", Hours: "mon-fri 09:00-18:00 UTC", Args: []ArgRule{{Name: "amount", Max: &high}, {Name: "url", Host: "example.com"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			g = d.grant(g)
			r := ask(tool("x", "sys", "write"), channel("C0ENG", "eng", "public"), target("C0ENG", "public", true), at(start))
			if d := d.e.Decide(t.Context(), r); d.Verdict != Deny {
				t.Fatalf("without its conditions it is %s by %q", d.Verdict, d.Policies)
			}
			if d := d.e.Decide(t.Context(), g.Meet(r)); d.Verdict != Allow {
				t.Errorf("with its conditions it is %s: %q", d.Verdict, d.Reasons)
			}
			if len(g.Conditions()) == 0 {
				t.Error("its conditions have no words")
			}
		})
	}
	if c := (Grant{Who: []string{Members}, Rate: 1, RateWindow: Duration(time.Hour)}).Conditions(); c != nil {
		t.Errorf("a grant without conditions has %q", c)
	}
}
