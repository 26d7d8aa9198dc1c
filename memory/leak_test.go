package memory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/identity/label"
	"deskmate/migrations"
)

// worlds is how many random worlds the leak test builds.
const worlds = 200

// oracle says slowly, fact by fact and in plain Go, what may be shown. It knows
// nothing of the queries, and shares no code with them.
type oracle struct {
	channels map[string]string          // id → kind
	members  map[string]map[string]bool // channel → people, where known
	people   map[string]*Person
	facts    map[string]*fact // by its word
}

// fact is one note or message, told apart by a word that nothing else has.
type fact struct {
	word    string
	world   string // a word that all facts of its world have
	place   string // channel; "" for the workspace
	source  string // channel that a note was said in
	id      string // of a note
	ts      string
	author  string // of a message
	thread  string
	gone    bool
	expires time.Time
}

func (o *oracle) allowed(p Place, f *fact, now time.Time) bool {
	switch {
	case f.gone || !f.expires.IsZero() && !f.expires.After(now):
		return false
	case f.place == p.Channel:
		return o.own(p)
	}
	return o.wide(p) && (f.place == "" || o.channels[f.place] == "public")
}

// names reports whether it may be told in p that f was said where it was said.
func (o *oracle) names(p Place, f *fact) bool {
	return f.source == p.Channel && o.own(p) || o.wide(p) && o.channels[f.source] == "public"
}

// own reports whether the requester may know what is in the place itself.
func (o *oracle) own(p Place) bool {
	if who := o.people[p.Requester]; who != nil && who.IsDeleted {
		return false
	}
	in, known := o.members[p.Channel]
	return !known || in[p.Requester] || p.ChannelKind == "public" && o.channels[p.Channel] == "public"
}

// wide reports whether what everybody here may know may be told in the place.
func (o *oracle) wide(p Place) bool {
	if !o.own(p) || p.ChannelKind == "shared" || o.channels[p.Channel] == "shared" {
		return false
	}
	who := o.people[p.Requester]
	switch p.RequesterKind {
	case "member":
		return who == nil || who.Kind == "member"
	case "duty":
		return who != nil && who.Kind == "member"
	}
	return false
}

// exported reports whether f belongs into the files of a scope, and whether they
// may say where it was said: those who read the scope read them, nobody else.
func (o *oracle) exported(f *fact, place string) (belongs, named bool) {
	return f.id != "" && !f.gone && f.place == place, f.source == place || o.channels[f.source] == "public" && o.channels[place] != "shared"
}

// TestNothingLeaks builds random worlds, changes them in random ways, and asks
// from random places: everything given must be allowed, and nothing allowed may
// be missing.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	n := worlds
	if testing.Short() {
		n = 40
	}
	const stores = 4 // worlds share a store each, as workspaces do
	for s := range stores {
		t.Run(fmt.Sprintf("store %d", s), func(t *testing.T) {
			t.Parallel()
			w := emptyWorld(t)
			for i := range n / stores {
				seed := uint64(s*1000 + i)
				lw := &leakWorld{world: w, t: t, r: rand.New(rand.NewPCG(seed, 7)), seed: seed, team: fmt.Sprintf("T%d", seed),
					oracle: oracle{channels: map[string]string{}, members: map[string]map[string]bool{}, people: map[string]*Person{}, facts: map[string]*fact{}}}
				lw.build()
				for range 3 {
					lw.change()
					lw.check()
				}
			}
		})
	}
}

type leakWorld struct {
	*world
	t      *testing.T
	r      *rand.Rand
	seed   uint64
	team   string
	oracle oracle
	nextID int
}

var (
	leakKinds  = []string{ChannelPublic, ChannelPublic, ChannelPrivate, ChannelShared, ChannelDirect, ChannelGroup}
	leakPeople = []string{KindMember, KindMember, KindGuest, KindOutsider, KindBot}
)

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

func keys[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func (l *leakWorld) build() {
	for i := range 6 {
		kind := pick(l.r, leakKinds)
		id := fmt.Sprintf("C%d", i)
		if kind == ChannelDirect {
			id = fmt.Sprintf("D%d", i)
		}
		l.setKind(id, kind)
	}
	for i := range 5 {
		l.setPerson(&Person{Workspace: l.team, ID: fmt.Sprintf("U%d", i), Name: fmt.Sprintf("name%d", i), Kind: pick(l.r, leakPeople)})
	}
	for range 20 {
		l.addMessage()
	}
	for range 8 {
		l.addNote()
	}
}

func (l *leakWorld) setKind(id, kind string) {
	l.oracle.channels[id] = kind
	l.write(func(tx *migrations.Tx) error {
		return l.SaveChannel(tx, Channel{Workspace: l.team, ID: id, Name: strings.ToLower(id), Kind: kind})
	})
}

func (l *leakWorld) setPerson(p *Person) {
	l.oracle.people[p.ID] = p
	l.write(func(tx *migrations.Tx) error { return l.SavePerson(tx, *p) })
}

func (l *leakWorld) newFact(place string) *fact {
	l.nextID++
	f := &fact{world: l.team, word: fmt.Sprintf("fact%dx%d", l.seed, l.nextID), place: place, ts: fmt.Sprintf("1795424%03d.000100", l.nextID)}
	l.oracle.facts[f.word] = f
	return f
}

// text holds the fact's own word and "deploy", which all have in common, and reads
// like a decision, which briefs quote.
func (f *fact) text() string { return "we decided to deploy " + f.world + " " + f.word + " today" }

func (f *fact) link() string { return "https://slack.test/archives/" + f.source + "/at" + f.word[4:] }

func (l *leakWorld) addMessage() {
	// Unknown channels too: what is not described is nobody's but its own place's.
	place := pick(l.r, append(keys(l.oracle.channels), "C77"))
	f := l.newFact(place)
	thread := ""
	if l.r.IntN(2) == 0 {
		thread = "1795424000.000100"
	}
	f.author, f.thread = pick(l.r, keys(l.oracle.people)), thread
	if thread == "" && !strings.HasPrefix(place, "D") {
		f.thread = f.ts
	}
	l.write(func(tx *migrations.Tx) error {
		return l.Observe(tx, Message{Workspace: l.team, Channel: place, Thread: thread, TS: f.ts, Author: f.author, Text: f.text()})
	})
}

func (l *leakWorld) addNote() {
	p := l.place()
	f := l.newFact(p.Channel)
	n := NewNote{Text: f.text(), TS: f.ts}
	if f.source = p.Channel; l.r.IntN(4) == 0 { // taken in from where it was said before
		f.source = pick(l.r, keys(l.oracle.channels))
		n.Channel = f.source
	}
	n.Permalink = f.link()
	wide := l.r.IntN(3) == 0
	if wide {
		n.Scope, f.place = ScopeWorkspace, ""
		n.Released = l.r.IntN(2) == 0
	}
	if l.r.IntN(3) == 0 {
		n.Label = label.Label{Channels: []string{f.source}}
	}
	if l.r.IntN(4) == 0 {
		n.ExpiresAt = l.now.Add(time.Duration(l.r.IntN(48)-24) * time.Hour)
		f.expires = n.ExpiresAt
	}
	note, err := l.Remember(context.Background(), p, n)
	if err != nil {
		if !errors.Is(err, ErrScope) && !errors.Is(err, ErrNotFound) {
			l.t.Fatalf("seed %d: remember: %v", l.seed, err)
		}
		f.gone = true // it was never kept, and must not turn up
		return
	}
	if wide && !n.Released && (p.ChannelKind != ChannelPublic || l.oracle.channels[p.Channel] != ChannelPublic) {
		l.t.Errorf("seed %d: a note for the workspace was made in a %s channel (%s by its caller)", l.seed, l.oracle.channels[p.Channel], p.ChannelKind)
	}
	f.id = note.ID
}

// place is a random place as a caller gives it: mostly what the directory says,
// sometimes out of date.
func (l *leakWorld) place() Place {
	p := Place{Workspace: l.team, Channel: pick(l.r, append(keys(l.oracle.channels), "C77")), Requester: pick(l.r, append(keys(l.oracle.people), "U77"))}
	if p.ChannelKind = l.oracle.channels[p.Channel]; p.ChannelKind == "" || l.r.IntN(6) == 0 {
		p.ChannelKind = pick(l.r, append(leakKinds, ""))
	}
	if who := l.oracle.people[p.Requester]; who != nil && l.r.IntN(6) != 0 {
		p.RequesterKind = who.Kind
	} else {
		p.RequesterKind = pick(l.r, append(leakPeople, KindDuty, ""))
	}
	if p.ChannelKind == "" || p.RequesterKind == "" {
		// The oracle's words for "unknown": as narrow as can be.
		p.ChannelKind = first(p.ChannelKind, ChannelShared)
		p.RequesterKind = first(p.RequesterKind, KindGuest)
	}
	return p
}

func (l *leakWorld) change() {
	for range 4 {
		switch l.r.IntN(8) {
		case 0:
			id := pick(l.r, keys(l.oracle.channels))
			if l.oracle.channels[id] != ChannelDirect {
				l.setKind(id, pick(l.r, []string{ChannelPublic, ChannelPrivate, ChannelShared}))
			}
		case 1:
			p := *l.oracle.people[pick(l.r, keys(l.oracle.people))]
			p.Kind, p.IsDeleted = pick(l.r, leakPeople), l.r.IntN(4) == 0
			l.setPerson(&p)
		case 2:
			l.setMembers()
		case 3:
			l.leave()
		case 4:
			l.forget()
		case 5:
			l.deleteMessage()
		case 6:
			l.addNote()
		case 7:
			l.addMessage()
		}
	}
}

func (l *leakWorld) setMembers() {
	channel, in := pick(l.r, keys(l.oracle.channels)), map[string]bool{}
	for _, id := range append(keys(l.oracle.people), "U77") {
		in[id] = l.r.IntN(2) == 0
	}
	var list []string
	for _, id := range keys(in) {
		if in[id] {
			list = append(list, id)
		}
	}
	l.oracle.members[channel] = in
	l.write(func(tx *migrations.Tx) error { return l.SaveMembers(tx, l.team, channel, list) })
}

func (l *leakWorld) leave() {
	channel, id := pick(l.r, keys(l.oracle.channels)), pick(l.r, keys(l.oracle.people))
	if in := l.oracle.members[channel]; in != nil {
		in[id] = false
	}
	l.write(func(tx *migrations.Tx) error { return l.Left(tx, l.team, channel, id) })
}

func (l *leakWorld) forget() {
	p, f := l.place(), l.oracle.facts[pick(l.r, keys(l.oracle.facts))]
	if f.id == "" {
		return
	}
	_, err := l.Forget(context.Background(), p, f.id)
	if may := l.oracle.allowed(p, f, l.now); may != (err == nil) {
		l.t.Errorf("seed %d: forget %s from %+v: got error %v, want allowed %v", l.seed, f.word, p, err, may)
	}
	f.gone = f.gone || err == nil
}

func (l *leakWorld) deleteMessage() {
	f := l.oracle.facts[pick(l.r, keys(l.oracle.facts))]
	if f.id != "" {
		return
	}
	f.gone = true
	l.write(func(tx *migrations.Tx) error { return l.Deleted(tx, l.team, f.place, f.ts) })
}

// check asks on every way out of memory and compares with the oracle.
func (l *leakWorld) check() {
	ctx := context.Background()
	l.checkExports()
	for i := range 3 {
		p := l.place()
		want := map[string]bool{}
		for word, f := range l.oracle.facts {
			want[word] = l.oracle.allowed(p, f, l.now)
		}
		got := map[string]bool{}
		for i, query := range []string{l.team, "what did name0 and name1 say of " + l.team + "?", l.team + " after the deploy"} {
			hits, err := l.Search(ctx, p, query, maxHits)
			if err != nil {
				l.t.Fatalf("seed %d: search: %v", l.seed, err)
			}
			for _, h := range hits {
				l.judge(fmt.Sprintf("search %d", i), p, h.Text, want, got)
				l.judgeSource("search", p, h.Text, h.Kind == HitNote, h.Author+h.Channel+h.TS+h.Permalink, h.Permalink)
				for _, around := range []*Message{h.Before, h.After} {
					if around != nil {
						l.judge("neighbour", p, around.Text, want, nil)
					}
				}
			}
		}
		lines, err := l.Recall(ctx, p, "deploy today", 1<<20)
		if err != nil {
			l.t.Fatalf("seed %d: recall: %v", l.seed, err)
		}
		for line := range strings.Lines(lines) {
			l.judge("recall", p, line, want, nil)
			_, source, _ := strings.Cut(line, "[")
			l.judgeSource("recall", p, line, strings.HasPrefix(line, "- note "), source, source)
		}
		notes, err := l.Notes(ctx, p, 100)
		if err != nil {
			l.t.Fatalf("seed %d: notes: %v", l.seed, err)
		}
		for _, scope := range []string{"workspace", scopeName(p.Channel)} {
			of, err := l.NotesOf(ctx, p, scope, 100)
			if err != nil {
				l.t.Fatalf("seed %d: notes of %s: %v", l.seed, scope, err)
			}
			here := slices.DeleteFunc(slices.Clone(notes), func(n Note) bool { return n.Scope != scope })
			if !slices.EqualFunc(of, here, func(a, b Note) bool { return reflect.DeepEqual(a, b) }) {
				l.t.Errorf("seed %d: notes of %s: got %d, want the %d that may be seen", l.seed, scope, len(of), len(here))
			}
		}
		for _, n := range notes {
			l.judge("notes", p, n.Text, want, got)
			l.judgeSource("notes", p, n.Text, true, n.Author+n.Channel+n.TS+n.Permalink, n.Permalink)
		}
		var ambiguous *AmbiguousError
		if _, err := l.Forget(ctx, p, l.team+" nothing"); errors.As(err, &ambiguous) {
			for _, n := range ambiguous.Candidates {
				l.judge("candidates", p, n.Text, want, nil)
			}
		}
		l.checkPinned(p, want)
		l.checkBriefs(p, want)
		for word, may := range want {
			if may && !got[word] {
				l.t.Errorf("seed %d: %s may be seen from %+v and was not found", l.seed, word, p)
			}
		}
		for word, f := range l.oracle.facts {
			if f.id == "" || i > 0 {
				continue
			}
			n, err := l.Note(ctx, p, f.id)
			if (err == nil) != want[word] {
				l.t.Errorf("seed %d: note %s by id from %+v: got error %v, want allowed %v", l.seed, word, p, err, want[word])
			}
			l.judgeSource("a note", p, n.Text, true, n.Author+n.Channel+n.TS+n.Permalink, n.Permalink)
			n, versions, err := l.History(ctx, p, f.id)
			if (err == nil) != want[word] {
				l.t.Errorf("seed %d: history of %s from %+v: got error %v, want allowed %v", l.seed, word, p, err, want[word])
			}
			for _, v := range versions {
				l.judgeSource("history", p, n.Text, true, v.Author+n.Channel+n.TS+n.Permalink, n.Permalink)
			}
		}
	}
}

// scopeName is the scope of a place.
func scopeName(place string) string {
	switch {
	case place == "":
		return "workspace"
	case strings.HasPrefix(place, "D"):
		return "dm:" + place
	}
	return "channel:" + place
}

// checkExports compares what is written into the files of every scope with what
// belongs there.
func (l *leakWorld) checkExports() {
	for _, place := range append(keys(l.oracle.channels), "", "C77") {
		scope := scopeName(place)
		entries, err := l.List(context.Background(), l.team, Filter{Scope: scope, Withhold: true, Superseded: true, Expired: true, Limit: 500})
		if err != nil {
			l.t.Fatalf("seed %d: list %s: %v", l.seed, scope, err)
		}
		files := map[string]string{}
		for _, e := range entries {
			files[e.ID] = e.Markdown()
		}
		for word, f := range l.oracle.facts {
			belongs, named := l.oracle.exported(f, place)
			file, there := files[f.id]
			if f.id != "" && there != belongs {
				l.t.Errorf("seed %d: the files of %s have %s, which is for %q: %v, want %v", l.seed, scope, word, f.place, there, belongs)
			}
			if !there || f.id == "" {
				continue
			}
			delete(files, f.id)
			if !strings.Contains(file, f.text()) {
				l.t.Errorf("seed %d: the file of %s does not say it: %s", l.seed, word, file)
			}
			if strings.Contains(file, f.link()) != named || !named && (strings.Contains(file, f.source) || strings.Contains(file, f.ts) || strings.Contains(file, "author:")) {
				l.t.Errorf("seed %d: the files of %s may name %s, where %s was said: %v; the file is\n%s", l.seed, scope, f.source, word, named, file)
			}
		}
		for id := range files {
			l.t.Errorf("seed %d: the files of %s have a note %s that nobody made there", l.seed, scope, id)
		}
	}
}

// checkPinned says that everything that was ever said is pinned in p's channel.
func (l *leakWorld) checkPinned(p Place, want map[string]bool) {
	var all []Message
	for _, word := range keys(l.oracle.facts) {
		if f := l.oracle.facts[word]; f.author != "" {
			all = append(all, Message{Workspace: l.team, Channel: f.place, TS: f.ts, Text: f.text()})
		}
	}
	pinned, err := l.Pinned(context.Background(), p, all)
	if err != nil {
		l.t.Fatalf("seed %d: pinned: %v", l.seed, err)
	}
	got := map[string]bool{}
	for _, msg := range pinned {
		if msg.Channel != p.Channel {
			l.t.Errorf("seed %d: pinned in %s gave what was said in %s", l.seed, p.Channel, msg.Channel)
		}
		l.judge("pinned", p, msg.Text, want, got)
	}
	for word, f := range l.oracle.facts {
		if f.author != "" && f.place == p.Channel && want[word] && !got[word] {
			l.t.Errorf("seed %d: %s is pinned in %s and may be seen from %+v, and was not given", l.seed, word, f.place, p)
		}
	}
}

// checkBriefs asks for the threads and the briefs of everything that was said.
func (l *leakWorld) checkBriefs(p Place, want map[string]bool) {
	ctx := context.Background()
	hidden := map[string]bool{} // authors of messages that p may not see
	threads := map[Source]bool{}
	for word, f := range l.oracle.facts {
		if f.author == "" {
			continue
		}
		threads[Source{f.place, f.thread}] = threads[Source{f.place, f.thread}] || want[word]
		hidden[f.author] = hidden[f.author] || !f.gone && !want[word]
	}
	for s, may := range threads {
		b, err := l.BriefThread(ctx, p, s.Channel, s.TS)
		if may != (err == nil) {
			l.t.Errorf("seed %d: brief of %v from %+v: got error %v, want allowed %v", l.seed, s, p, err, may)
		}
		for _, h := range b.Sources() {
			l.judge("brief of a thread", p, h.Text, want, nil)
		}
		for _, msg := range b.Said { // what a model is given to word it
			l.judge("messages of a brief", p, msg.Text, want, nil)
		}
		if s.Channel != p.Channel {
			continue
		}
		for _, most := range []int{100, 4} {
			v, err := l.Thread(ctx, p, s.TS, l.team+" deploy", Limit{most, 1 << 20}, nil)
			if err != nil {
				l.t.Fatalf("seed %d: thread: %v", l.seed, err)
			}
			for _, m := range v.Messages {
				l.judge("thread", p, m.Text, want, nil)
			}
			for _, line := range append(v.Summary, v.Fitting...) {
				l.judge("middle of a thread", p, line.Text, want, nil)
			}
		}
	}
	for _, who := range keys(l.oracle.people) {
		briefs, leftOut, err := l.BriefPerson(ctx, p, who)
		if err != nil {
			l.t.Fatalf("seed %d: brief of %s: %v", l.seed, who, err)
		}
		if leftOut != hidden[who] {
			l.t.Errorf("seed %d: brief of %s for %+v says that something was left out: %v, want %v", l.seed, who, p, leftOut, hidden[who])
		}
		for _, b := range briefs {
			for _, h := range b.Sources() {
				l.judge("brief of a person", p, h.Text, want, nil)
			}
			for _, msg := range b.Said {
				l.judge("messages of a brief of a person", p, msg.Text, want, nil)
			}
		}
	}
}

func (l *leakWorld) judge(way string, p Place, text string, want, got map[string]bool) {
	l.t.Helper()
	for _, word := range strings.Fields(text) {
		if !strings.HasPrefix(word, "fact") {
			continue
		}
		if !want[word] {
			l.t.Errorf("seed %d: %s gave %s to %+v, which the oracle forbids", l.seed, way, word, p)
		}
		if got != nil {
			got[word] = true
		}
	}
}

// judgeSource compares whether the source of a note is told with whether it may be:
// source is all that is told of it.
func (l *leakWorld) judgeSource(way string, p Place, text string, isNote bool, source, link string) {
	l.t.Helper()
	if !isNote {
		return
	}
	for _, word := range strings.Fields(text) {
		f := l.oracle.facts[word]
		if f == nil || f.id == "" {
			continue
		}
		told := strings.Contains(link, f.link())
		if may := l.oracle.names(p, f); told != may || !may && source != "" && !strings.HasPrefix(source, "source withheld: ") {
			l.t.Errorf("seed %d: %s says of %s to %+v that it is from %q, which the oracle allows: %v", l.seed, way, word, p, source, may)
		}
	}
}
