package handlers

import (
	"fmt"
	"strings"
	"testing"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/identity/policy"
	"deskmate/scheduler"
)

// entries are n items of the given number of blocks each.
func entries(n, blocks int) []HomeItem {
	var all []HomeItem
	for i := range n {
		var item HomeItem
		for range blocks {
			item = append(item, bot.Block{Text: fmt.Sprint(i)})
		}
		all = append(all, item)
	}
	return all
}

func buttonsOf(blocks []bot.Block) (ids []string) {
	for _, b := range blocks {
		for _, one := range b.Buttons {
			ids = append(ids, one.ID+" "+one.Value+" "+one.Text)
		}
	}
	return ids
}

func TestAHomeFitsWhatSlackTakes(t *testing.T) {
	t.Parallel()
	top := []bot.Block{{Head: "Deskmate"}, {Text: "hello"}}
	for sections := range 40 {
		for _, blocks := range []int{1, 3, 7} {
			var all []drawn
			for i := range sections {
				all = append(all, drawn{HomeSection{ID: fmt.Sprintf("s%d", i), Title: "title"}, entries(60, blocks)})
			}
			for _, open := range []string{"", "s0"} {
				got := layOut(top, all, open)
				if len(got) > bot.MostBlocks {
					t.Errorf("%d sections of 60 entries of %d blocks: got %d blocks, want at most %d", sections, blocks, len(got), bot.MostBlocks)
				}
			}
		}
	}
}

func TestASectionShowsMoreWhenAsked(t *testing.T) {
	t.Parallel()
	all := []drawn{{HomeSection{ID: "a", Title: "A", Rest: "Ask me."}, entries(30, 2)}, {HomeSection{ID: "b", Title: "B"}, entries(3, 2)}, {HomeSection{ID: "c", Title: "C"}, entries(90, 1)}}
	closed := buttonsOf(layOut(nil, all, ""))
	if got, want := strings.Join(closed, ", "), "home_more a Show more (26), home_more c Show more (86)"; got != want {
		t.Errorf("closed: got %s, want %s", got, want)
	}
	opened := layOut(nil, all, "a")
	if got, want := strings.Join(buttonsOf(opened), ", "), "home_less a Show less, home_more c Show more (86)"; got != want {
		t.Errorf("opened: got %s, want %s", got, want)
	}
	opened = layOut(nil, all, "c")
	note := ""
	for _, b := range opened {
		note += b.Note
	}
	if !strings.Contains(note, "more do not fit here") {
		t.Errorf("what does not fit is not told: %+v", opened)
	}
}

func visitor(id, kind string) Visitor {
	return Visitor{Workspace: "T1", Person: policy.Person{ID: id, Kind: kind}, Direct: "D" + id, Places: map[string]bot.Channel{"C1": {ID: "C1", Kind: bot.ChannelPublic}}}
}

func TestWhoMaySteerADuty(t *testing.T) {
	t.Parallel()
	admin, sponsor, elsewhere, guest := visitor("U0ADA", bot.KindMember), visitor("U0SPO", bot.KindMember), visitor("U0ADA", bot.KindMember), visitor("U0ADA", bot.KindGuest)
	admin.Admin, sponsor.Sponsor, elsewhere.Admin, guest.Admin = true, true, true, true
	elsewhere.Places = nil
	other := visitor("U0BEN", bot.KindMember)
	other.Workspace = "T2"
	for name, c := range map[string]struct {
		who  Visitor
		want bool
	}{
		"its owner": {visitor("U0BEN", bot.KindMember), true}, "its owner, a guest by now": {visitor("U0BEN", bot.KindGuest), true},
		"its owner, gone by now": {visitor("U0BEN", bot.KindOutsider), false}, "somebody of that id elsewhere": {other, false},
		"a colleague": {visitor("U0CHLOE", bot.KindMember), false}, "an admin in the channel": {admin, true}, "an admin who is not there": {elsewhere, false},
		"a sponsor in the channel": {sponsor, true}, "a guest that Slack calls an admin": {guest, false}, "an outsider": {visitor("U0XENA", bot.KindOutsider), false},
	} {
		if got := maySteer(scheduler.Duty{ID: "d_1", Workspace: "T1", Channel: "C1", Owner: "U0BEN"}, c.who); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestWhoIsToldOfAnApproval(t *testing.T) {
	t.Parallel()
	a := identity.Approval{ID: "ap1", Workspace: "T1", Tool: "post", Requester: "U0BEN", Others: []string{"U0DAN"}, Channel: "C1", Approvers: []string{"user:U0CHLOE", "user:U0DAN", "user:U0BEN", "group:S1", policy.Sponsor, policy.Admins}}
	for name, c := range map[string]struct {
		who      Visitor
		standing identity.Standing
		want     string
	}{
		"who asked":                       {visitor("U0BEN", bot.KindMember), identity.Standing{Kind: bot.KindMember, Active: true}, "You asked"},
		"an approver by name":             {visitor("U0CHLOE", bot.KindMember), identity.Standing{Kind: bot.KindMember, Active: true}, "You can decide"},
		"one who took part in asking":     {visitor("U0DAN", bot.KindMember), identity.Standing{Kind: bot.KindMember, Active: true}, ""},
		"one by group":                    {visitor("U0EVE", bot.KindMember), identity.Standing{Kind: bot.KindMember, Active: true, Groups: []string{"S1"}}, "You can decide"},
		"an admin":                        {visitor("U0FAY", bot.KindMember), identity.Standing{Kind: bot.KindMember, Active: true, Admin: true}, "You can decide"},
		"an approver who is a guest now":  {visitor("U0CHLOE", bot.KindGuest), identity.Standing{Kind: bot.KindGuest, Active: true}, ""},
		"an approver who is deactivated":  {visitor("U0CHLOE", bot.KindMember), identity.Standing{Kind: bot.KindMember}, ""},
		"somebody who has no say in this": {visitor("U0GUS", bot.KindMember), identity.Standing{Kind: bot.KindMember, Active: true}, ""},
	} {
		if got := waitingLine(a, c.who, c.standing); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
