package memory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"deskmate/migrations"
)

func TestBriefOfAThread(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	root := w.say(eng, "", ada, "We need a plan for the falcon launch. Which date works?")
	w.say(eng, root, ben, "Thursday works for the launch date.")
	w.say(eng, root, ada, "Agreed, we decided on Thursday. Can you book the room?")
	w.say(eng, root, ben, "I'll write the announcement by Wednesday.")
	w.say(eng, root, ben, "The rollback script is merged.")
	w.say(eng, root, ada, "Who owns the status page?")
	w.say(eng, root, ada, "We have not decided about the press release.")
	b, err := w.BriefThread(ctx, in(eng, ChannelPublic, ben), eng, root)
	if err != nil {
		t.Fatal(err)
	}
	texts := func(lines []Line) (all []string) {
		for _, l := range lines {
			if l.TS == "" || l.Author == "" || l.Channel != eng {
				t.Errorf("%+v has no source", l)
			}
			all = append(all, l.Text)
		}
		return all
	}
	for name, c := range map[string]struct{ got, want []string }{
		"goal":    {texts([]Line{b.Goal}), []string{"We need a plan for the falcon launch."}},
		"decided": {texts(b.Decided), []string{"Agreed, we decided on Thursday."}},
		"done":    {texts(b.Done), []string{"The rollback script is merged."}},
		"waiting": {texts(b.Waiting), []string{"I'll write the announcement by Wednesday."}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %q, want %q", name, c.got, c.want)
		}
	}
	if open := texts(b.Open); !slices.Contains(open, "Who owns the status page?") || slices.Contains(open, "Which date works?") {
		t.Errorf("open: got %q, want the question on the status page and not the one that was answered", open)
	}
	said, err := w.Say(ctx, team, b)
	if err != nil || !strings.Contains(said, "**Decided:**\n- Agreed, we decided on Thursday.") {
		t.Errorf("said: got %q, %v", said, err)
	}
	if _, err := w.BriefThread(ctx, in(eng, ChannelPublic, ben), eng, "1.000000"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown thread: got %v, want ErrNotFound", err)
	}
}

// What somebody may not see is not in a brief for them, and they are told so.
func TestBriefOfAPersonLeavesOutWhatMayNotBeSeen(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	w.write(func(tx *migrations.Tx) error {
		return w.SaveChannel(tx, Channel{Workspace: team, ID: "C0HUSH", Name: "hush", Kind: ChannelPrivate, IsMember: true})
	})
	w.say(eng, "", ada, "We decided to paint the shed green.")
	w.say("C0HUSH", "", ada, "We decided to buy the canary company.")
	all, leftOut, err := w.BriefPerson(ctx, in(eng, ChannelPublic, ben), ada)
	if err != nil || len(all) != 1 || !leftOut {
		t.Fatalf("got %d briefs, left out %v, %v; want one, and something left out", len(all), leftOut, err)
	}
	if said, err := w.Say(ctx, team, all[0].Brief); err != nil || !strings.Contains(said, "paint the shed") || strings.Contains(said, "canary") {
		t.Errorf("got %q, %v; want the shed only", said, err)
	}
	if _, err := w.BriefThread(ctx, in(eng, ChannelPublic, ben), "C0HUSH", all[0].Thread); !errors.Is(err, ErrNotFound) {
		t.Errorf("thread of a private channel from elsewhere: got %v, want ErrNotFound", err)
	}
	inside, _, err := w.BriefPerson(ctx, in("C0HUSH", ChannelPrivate, ada), ada)
	if err != nil || len(inside) != 2 {
		t.Errorf("in the private channel: got %d briefs, %v; want both", len(inside), err)
	}
}

func TestWantedKindsAndTimes(t *testing.T) {
	t.Parallel()
	now := tsTime("1795440000.000000") // Monday 23 November 2026
	for said, want := range map[string]kind{
		"when does the freeze start": kindTime, "how many hosts are there": kindNumber, "where is the office": kindPlace,
		"who owns the pager": kindPerson, "why did it break": kindReason, "tell me about falcon": kindAny,
	} {
		if got := kindOf(said); got != want {
			t.Errorf("%q asks for kind %d, want %d", said, got, want)
		}
	}
	from, until := timeIn("what did we decide last week", now)
	if from.IsZero() || !from.Before(until) || until.After(now) || now.Sub(from).Hours() > 15*24 {
		t.Errorf("last week is %v to %v, want within the two weeks before %v", from, until, now)
	}
	if from, _ := timeIn("what is the colour of the shed", now); !from.IsZero() {
		t.Errorf("no time is spoken of, and %v was read", from)
	}
	w := &wanted{from: from, until: until}
	if in, before := w.at(from.Add(1)), w.at(from.Add(-1)); in != 1 || before != 0 {
		t.Errorf("in the time got %v and before it %v, want 1 and 0", in, before)
	}
	for _, pair := range [][2]string{{"decided", "decide"}, {"runs", "run"}, {"releases", "release"}} {
		if stem(pair[0]) != stem(pair[1]) {
			t.Errorf("%q and %q have different stems %q and %q", pair[0], pair[1], stem(pair[0]), stem(pair[1]))
		}
	}
	if !slices.Contains(formsOf("buy"), "bought") && !slices.Contains(formsOf("bought"), "buy") {
		t.Error("buy and bought are not forms of one word")
	}
}
