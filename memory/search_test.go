package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"deskmate/migrations"
)

func TestSearchFindsWhatWasMeant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := in(general, ChannelPublic, chloe)
	root := w.say(eng, "", ada, "When do we rotate the gateway keys?")
	w.say(eng, root, ben, "Every first Monday, see the runbook")
	w.say(eng, root, chloe, "ok")
	w.say(general, "", ben, "The canteen is closed on Friday")
	w.say(general, "", ada, "The canteen opens again on Monday")
	w.say(eng, "", ben, "Deployments to production need a second pair of eyes")
	w.say(eng, "", ada, "C++ and C# builds are green, 100% done")
	w.say(eng, "", ada, "Die Straßenbahn fährt ab Café Zoë")
	w.remember(in(eng, ChannelPublic, ada), "The release freeze starts on Thursday at 17:00")
	for _, c := range []struct{ name, query, want string }{
		{"a question in other words", "when does the release freeze begin?", "The release freeze starts on Thursday at 17:00"},
		{"another form of the word", "building", "C++ and C# builds are green, 100% done"},
		{"what a named person said", "what did Ben say about the canteen?", "The canteen is closed on Friday"},
		{"what a mentioned person said", "<@U0ADA> canteen", "The canteen opens again on Monday"},
		{"only a person's name", "Chloe", "ok"},
		{"only a person's name, in lower case", "what did chloe say?", "ok"},
		{"the beginning of a word", "produc*", "Deployments to production need a second pair of eyes"},
		{"a phrase", `"second pair"`, "Deployments to production need a second pair of eyes"},
		{"letters with marks", "strassenbahn cafe zoe", "Die Straßenbahn fährt ab Café Zoë"},
		{"only words that say little", "all of it is green and 100% done", "C++ and C# builds are green, 100% done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := w.found(p, c.query); len(got) == 0 || got[0] != c.want {
				t.Errorf("search %q: got %q, want %q first", c.query, got, c.want)
			}
		})
	}
	t.Run("the answer comes with its question", func(t *testing.T) {
		t.Parallel()
		got := w.found(p, "rotate gateway keys")
		if len(got) != 2 || !slices.Contains(got, "When do we rotate the gateway keys?") || !slices.Contains(got, "Every first Monday, see the runbook") {
			t.Errorf("got %q, want the question and its answer", got)
		}
	})
	t.Run("of two equal ones the newer is first", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.say(eng, "", ada, "standup moved to ten")
		newer := w.say(eng, "", ada, "standup moved to nine")
		hits, err := w.Search(context.Background(), p, "standup moved", 5)
		if err != nil || len(hits) != 2 || hits[0].TS != newer {
			t.Errorf("got %+v, %v; want two hits, %s first", hits, err, newer)
		}
	})
	t.Run("no words find nothing", func(t *testing.T) {
		t.Parallel()
		for _, query := range []string{"", " ", "?!", `"`, "***", "<>", "\x00"} {
			if got := w.found(p, query); len(got) != 0 {
				t.Errorf("search %q: got %q, want nothing", query, got)
			}
		}
	})
}

func TestSearchStaysInItsPlace(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	for channel, kind := range map[string]string{general: ChannelPublic, eng: ChannelPublic, leads: ChannelPrivate, partners: ChannelShared, adaDM: ChannelDirect} {
		w.say(channel, "", ada, "falcon message of "+channel)
		w.remember(in(channel, kind, ada), "falcon note of "+channel)
	}
	if _, err := w.Remember(ctx, in(general, ChannelPublic, ada), NewNote{Text: "falcon note of everyone", Scope: ScopeWorkspace}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		p    Place
		want []string // places whose message and note are given; "everyone" is the workspace
	}{
		{"a member in a public channel", in(eng, ChannelPublic, ben), []string{eng, general, "everyone"}},
		{"a member in a private channel", in(leads, ChannelPrivate, ben), []string{eng, general, leads, "everyone"}},
		{"a member in a direct message", in(adaDM, ChannelDirect, ada), []string{adaDM, eng, general, "everyone"}},
		{"a member in a shared channel", in(partners, ChannelShared, ben), []string{partners}},
		{"a guest in a public channel", by(in(eng, ChannelPublic, ""), gil, KindGuest), []string{eng}},
		{"an outsider in a shared channel", by(in(partners, ChannelShared, ""), xena, KindOutsider), []string{partners}},
		{"a guest whom the caller takes for a member", in(eng, ChannelPublic, gil), []string{eng}},
		{"a shared channel that the caller takes for public", in(partners, ChannelPublic, ben), []string{partners}},
		{"a duty of a member", by(in(eng, ChannelPublic, ""), ben, KindDuty), []string{eng, general, "everyone"}},
		{"a duty of somebody unknown", by(in(eng, ChannelPublic, ""), "U0NOBODY", KindDuty), []string{eng}},
		{"nobody in particular", by(in(eng, ChannelPublic, ""), "", KindMember), nil},
		{"a bot", by(in(eng, ChannelPublic, ""), "U0BOT", KindBot), []string{eng}},
		{"a channel that nobody has described", in("C0NEW", ChannelPublic, ben), []string{eng, general, "everyone"}},
		{"another workspace", Place{Workspace: "T2", Channel: eng, ChannelKind: ChannelPublic, Requester: ben, RequesterKind: KindMember}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, text := range w.found(c.p, "falcon") {
				got = append(got, text[strings.LastIndex(text, " ")+1:])
			}
			slices.Sort(got)
			got = slices.Compact(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("got things of %v, want of %v", got, c.want)
			}
		})
	}
}

func TestReachFollowsTheDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.say(eng, "", ada, "falcon")
	p := in(general, ChannelPublic, ben)
	expect := func(when string, n int) {
		t.Helper()
		if got := w.found(p, "falcon"); len(got) != n {
			t.Errorf("%s: got %d hits, want %d", when, len(got), n)
		}
	}
	expect("#eng is public", 1)
	w.channel(eng, ChannelPrivate)
	expect("#eng has turned private", 0)
	w.channel(eng, ChannelShared)
	expect("#eng is shared", 0)
	w.channel(eng, ChannelPublic)
	expect("#eng is public again", 1)
	w.person(ben, "Ben", "Ben Okri", KindGuest)
	expect("Ben has become a guest", 0)
	w.person(ben, "Ben", "Ben Okri", KindMember)
	w.write(func(tx *migrations.Tx) error {
		return w.SavePerson(tx, Person{Workspace: team, ID: ada, Name: "Ada", Kind: KindMember, IsDeleted: true})
	})
	expect("Ada, who said it, has left", 1)
	w.write(func(tx *migrations.Tx) error {
		return w.SavePerson(tx, Person{Workspace: team, ID: ben, Name: "Ben", Kind: KindMember, IsDeleted: true})
	})
	expect("Ben, who asks, has left", 0)
}

func TestMembersOfAPrivateChannel(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	w.say(leads, "", ada, "falcon")
	p := in(leads, ChannelPrivate, ben)
	expect := func(when string, hits int, is, known bool) {
		t.Helper()
		if got := w.found(p, "falcon"); len(got) != hits {
			t.Errorf("%s: got %d hits, want %d", when, len(got), hits)
		}
		if gotIs, gotKnown, err := w.IsMember(ctx, team, leads, ben); gotIs != is || gotKnown != known || err != nil {
			t.Errorf("%s: IsMember: got %v, %v, %v; want %v, %v", when, gotIs, gotKnown, err, is, known)
		}
	}
	expect("members unknown: who asks there is there", 1, false, false)
	w.write(func(tx *migrations.Tx) error { return w.SaveMembers(tx, team, leads, []string{ada, chloe}) })
	expect("Ben is not a member", 0, false, true)
	w.write(func(tx *migrations.Tx) error { return w.Joined(tx, team, leads, ben) })
	expect("Ben has joined", 1, true, true)
	w.write(func(tx *migrations.Tx) error { return w.Left(tx, team, leads, ben) })
	expect("Ben has left", 0, false, true)
	err := w.db.Write(ctx, func(tx *migrations.Tx) error { return w.SaveMembers(tx, team, "C0NEW", []string{ada}) })
	wantErr(t, err, ErrNotFound)
}

func TestRecallIsBoundedAndNamesItsSources(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := in(general, ChannelPublic, ben)
	n, err := w.Remember(ctx, in(eng, ChannelPublic, ada), NewNote{Text: "The release freeze starts on Thursday", TS: "1795424000.000100", Permalink: "https://example.com/p1"})
	if err != nil {
		t.Fatal(err)
	}
	question := w.say(general, "", ben, "<@U0AGENT> when does the release freeze start?")
	w.say(general, question, chloe, "the freeze is on\nThursday, I think")
	got, err := w.Recall(ctx, p, "when does the release freeze start?", 1000)
	if err != nil {
		t.Fatal(err)
	}
	want := "- note " + n.ID + ": The release freeze starts on Thursday [Ada in #eng, 2026-11-23, https://example.com/p1]\n"
	if !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
	if strings.Contains(got, "Ben said") || !strings.Contains(got, "the freeze is on Thursday, I think [Chloe in #general") {
		t.Errorf("got %q, want no line for the question itself, and the answer on one line", got)
	}
	for i := range 200 {
		w.say(general, "", ada, fmt.Sprintf("release number %d %s", i, strings.Repeat("padding ", i)))
	}
	for _, tokens := range []int{0, 10, 100, 400} {
		got, err := w.Recall(ctx, p, "release freeze", tokens)
		if err != nil || Tokens(got) > tokens {
			t.Errorf("recall within %d tokens: got %d, %v", tokens, Tokens(got), err)
		}
	}
}

func TestThreadKeepsItsBeginningAndEnd(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	root := w.say(eng, "", ada, "message 0 asks")
	w.write(func(tx *migrations.Tx) error {
		for i := 1; i < 5000; i++ {
			msg := Message{Workspace: team, Channel: eng, Thread: root, TS: fmt.Sprintf("1795500%03d.%06d", i/1000, i%1000), Author: ben, Text: fmt.Sprintf("message %d says something", i)}
			if err := w.Observe(tx, msg); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range []struct {
		limit      Limit
		min, most  int
		wantSecond string
	}{
		{Limit{Messages: 100, Tokens: 100000}, 100, 100, "message 1 says something"},
		{Limit{Messages: 2, Tokens: 100000}, 2, 2, "message 1 says something"},
		{Limit{Messages: 100, Tokens: 70}, 5, 12, "message 4"},
		{Limit{Messages: 10000, Tokens: 1 << 30}, 5000, 5000, "message 1 says something"},
	} {
		got, err := w.Thread(ctx, in(eng, ChannelPublic, ben), root, "", c.limit, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := len(got.Messages)
		if n < c.min || n > c.most || n+got.LeftOut != 5000 {
			t.Errorf("%+v: got %d messages and %d left out, want %d to %d, 5000 in all", c.limit, n, got.LeftOut, c.min, c.most)
			continue
		}
		if got.Messages[0].TS != root || !strings.HasPrefix(got.Messages[1].Text, c.wantSecond) {
			t.Errorf("%+v: got %q and %q first, want the root and %q", c.limit, got.Messages[0].Text, got.Messages[1].Text, c.wantSecond)
		}
		if c.limit.Messages > 2 && got.Messages[n-1].Text != "message 4999 says something" {
			t.Errorf("%+v: got %q last, want the newest", c.limit, got.Messages[n-1].Text)
		}
		if !slices.IsSortedFunc(got.Messages, func(a, b Message) int { return strings.Compare(a.TS, b.TS) }) {
			t.Errorf("%+v: messages are not in order", c.limit)
		}
	}
	none, err := w.Thread(ctx, in(eng, ChannelPublic, ben), "1.000000", "", Limit{10, 100}, nil)
	if err != nil || len(none.Messages) != 0 || none.LeftOut != 0 {
		t.Errorf("unknown thread: got %+v, %v; want nothing", none, err)
	}
}

func TestEditsAndDeletionsAreFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := in(eng, ChannelPublic, ben)
	ts := w.say(eng, "", ada, "falcon first")
	edit := func(text, at string) {
		w.write(func(tx *migrations.Tx) error {
			return w.Edited(tx, Message{Workspace: team, Channel: eng, TS: ts, Author: ada, Text: text, EditedTS: at})
		})
	}
	expect := func(when, query string, want ...string) {
		t.Helper()
		if got := w.found(p, query); !slices.Equal(got, want) {
			t.Errorf("%s: search %q: got %q, want %q", when, query, got, want)
		}
	}
	edit("falcon third", "1795430000.000300")
	edit("falcon second", "1795430000.000200") // late
	expect("after two edits out of order", "falcon", "falcon third")
	expect("after two edits", "first")
	w.write(func(tx *migrations.Tx) error {
		return w.Observe(tx, Message{Workspace: team, Channel: eng, TS: ts, Author: ada, Text: "falcon first"})
	})
	expect("after a redelivery", "falcon", "falcon third")
	w.write(func(tx *migrations.Tx) error { return w.Deleted(tx, team, eng, ts) })
	expect("after it was deleted", "falcon")
	edit("falcon fourth", "1795440000.000300")
	expect("after an edit that came behind the deletion", "falcon")
	w.write(func(tx *migrations.Tx) error { return w.Deleted(tx, team, eng, "1795440001.000300") })
	w.write(func(tx *migrations.Tx) error {
		return w.Observe(tx, Message{Workspace: team, Channel: eng, TS: "1795440001.000300", Author: ada, Text: "falcon fifth"})
	})
	expect("after a message that came behind its deletion", "falcon")
	thread, err := w.Thread(context.Background(), in(eng, ChannelPublic, ben), ts, "", Limit{10, 1000}, nil)
	if err != nil || len(thread.Messages) != 0 {
		t.Errorf("thread: got %+v, %v; want nothing", thread, err)
	}
}

func TestPersonByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("U0BEN2", "benny", "Ben Stone", KindMember)
	w.person("U0BOT", "Ben", "Ben Bot", KindBot)
	w.person("U0ZOE", "Żaneta", "Żaneta Zoë Nowak", KindMember)
	w.person("U0OLD", "Olga", "Olga Old", KindMember)
	w.person("U0OLD", "Maria", "Maria Old", KindMember)
	for name, want := range map[string][]string{
		"Ben": {ben}, "@ben": {ben}, "ben okri": {ben}, "stone": {"U0BEN2"}, "<@U0BEN2>": {"U0BEN2"}, "<@U0BEN2|benny>": {"U0BEN2"},
		ada: {ada}, "żaneta": {"U0ZOE"}, "zoë": {"U0ZOE"}, "old": {"U0OLD"}, "olga": nil, "nobody": nil, "": nil, "' OR 1=1 --": nil,
	} {
		people, err := w.PersonByName(context.Background(), team, name)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		var got []string
		for _, p := range people {
			got = append(got, p.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func TestDirectoryKeepsTheNewest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	want := Channel{Workspace: team, ID: eng, Name: "engineering", Kind: ChannelPrivate, IsMember: true, IsArchived: true, FetchedAt: day0.Add(time.Hour)}
	old := want
	old.Name, old.FetchedAt = "eng", day0
	person := Person{Workspace: team, ID: ben, Name: "Ben", RealName: "Ben O.", TZ: "Asia/Tokyo", Kind: KindGuest, IsAdmin: true, IsDeleted: true, FetchedAt: day0.Add(time.Hour)}
	w.write(func(tx *migrations.Tx) error {
		for _, c := range []Channel{want, old} {
			if err := w.SaveChannel(tx, c); err != nil {
				return err
			}
		}
		return w.SavePerson(tx, person)
	})
	if got, err := w.Channel(ctx, team, eng); got != want || err != nil {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := w.Person(ctx, team, ben); got != person || err != nil {
		t.Errorf("got %+v, %v; want %+v", got, err, person)
	}
	_, err := w.Channel(ctx, "T2", eng)
	wantErr(t, err, ErrNotFound)
	_, err = w.Person(ctx, team, "U0NOBODY")
	wantErr(t, err, ErrNotFound)
}

// FuzzQuery looks for text that is more than words to the index or to Slack's
// markup, and for marks that the parser and the index cut differently.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"release freeze", `"a phrase" AND x`, `a" OR "b`, "text:secret", "NEAR(a b, 3)", "a* ^b -c +d", "{text} : x", "<@U1|ben> <#C1|eng>", "<<>>", "\x00", "\xff\"",
		`""""`, "(((", "e\u0301 \u0301", "日本語 テスト", strings.Repeat("a", 5000), strings.Repeat("a ", 5000), "'; DROP TABLE notes; --", "&lt;b&gt;"} {
		f.Add(s)
	}
	w := newWorld(f)
	p := in(eng, ChannelPublic, ada)
	w.say(eng, "", ada, "secret text")
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, text string) {
		q := parse(text)
		if n := len(q.terms) + len(q.pairs); n > 2*maxTerms {
			t.Errorf("got %d terms, want at most %d", n, 2*maxTerms)
		}
		for _, term := range slices.Concat(q.terms, q.pairs, q.filler) {
			for _, word := range term.words {
				if word == "" || strings.ContainsAny(word, "\"*\x00 ") || !utf8.ValidString(word) {
					t.Errorf("got word %q, want letters and digits", word)
				}
			}
		}
		if _, err := w.Search(ctx, p, text, 10); err != nil {
			t.Errorf("search %q: %v", text, err)
		}
		if _, err := w.List(ctx, team, Filter{Words: text}); err != nil {
			t.Errorf("list %q: %v", text, err)
		}
	})
}
