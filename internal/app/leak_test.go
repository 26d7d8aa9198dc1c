package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/identity/label"
	"deskmate/internal/modelsim"
	"deskmate/internal/slacksim"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// leakWorlds is how many random worlds go through the runs of duties, the lists that
// people ask for and the exported files.
const leakWorlds = 200

// leakHouse is a workspace of many small worlds, and the truth about it in plain Go:
// it knows what was done to Slack and what was said, and nothing of the product.
type leakHouse struct {
	*desk
	r       *rand.Rand
	worlds  []*leakWorld
	kind    map[string]string          // of a channel: public, private, shared, direct
	in      map[string]map[string]bool // channel: people in it
	shut    map[string]bool            // archived, or the agent is not in it any more
	person  map[string]string          // member, guest, outsider, gone
	told    map[string]*leakFact       // by its word
	sources map[string]*leakFact       // by the word in its address

	mu   sync.Mutex
	read map[string]string // duty: all that a model was sent in its runs
}

// leakWorld is some channels and people, whose texts have one word in common.
type leakWorld struct {
	word     string
	channels []string // the last is somebody's direct message with the agent
	people   []string
	duty     string // the word of the newest duty
	owner    string // of the duty, or who asked what it would do
	place    string
	dry      *scheduler.Dry
}

// leakFact is a note or a message.
type leakFact struct {
	word, world, id string
	scope           string // channel that it is for, "" for everybody
	from            string // channel that it was said in
	gone            bool
}

// reads reports whether somebody may read a place as the place is now.
func (h *leakHouse) reads(place, who string) bool {
	return h.person[who] != "gone" && (h.in[place][who] || h.kind[place] == "public" && h.person[who] == "member")
}

// wide reports whether what everybody may know may be told to somebody in a place.
func (h *leakHouse) wide(place, who string) bool {
	return h.reads(place, who) && h.kind[place] != "shared" && h.person[who] == "member"
}

// may reports whether f may be told to somebody in a place.
func (h *leakHouse) may(f *leakFact, place, who string) bool {
	switch {
	case f.gone || !h.reads(place, who):
		return false
	case f.scope == place:
		return true
	}
	return h.wide(place, who) && (f.scope == "" || h.kind[f.scope] == "public")
}

// mayName reports whether it may be told there that f is from where it is from.
func (h *leakHouse) mayName(f *leakFact, place, who string) bool {
	return f.from == place && h.reads(place, who) || h.wide(place, who) && h.kind[f.from] == "public"
}

var (
	leakWord   = regexp.MustCompile(`fact\d+x\d+`)
	leakSource = regexp.MustCompile(`psrc\d+x\d+`)
	leakDuty   = regexp.MustCompile(`duty\d+x\d+`)
	leakNumber = regexp.MustCompile(`\bw(\d+)x\b`)
)

// judge says what of a text may not be told to somebody in a place, and gives the
// words that it told.
func (h *leakHouse) judge(way, text, place, who string) map[string]bool {
	h.t.Helper()
	words := map[string]bool{}
	for _, w := range leakWord.FindAllString(text, -1) {
		if words[w] {
			continue
		}
		words[w] = true
		if f := h.told[w]; !h.may(f, place, who) {
			h.t.Errorf("%s told %s (a %s) in %s (%s) of %s, which is for %q (%s)", way, who, h.person[who], place, h.kind[place], w, f.scope, h.kind[f.scope])
		}
	}
	for _, s := range leakSource.FindAllString(text, -1) {
		if f := h.sources[s]; !h.mayName(f, place, who) {
			h.t.Errorf("%s told %s (a %s) in %s (%s) that %s is from %s (%s)", way, who, h.person[who], place, h.kind[place], f.word, f.from, h.kind[f.from])
		}
	}
	return words
}

func leakSeed(n int, r *rand.Rand) (*slacksim.Seed, *leakHouse) {
	seed := slacksim.DefaultSeed()
	h := &leakHouse{r: r, kind: map[string]string{}, in: map[string]map[string]bool{}, shut: map[string]bool{}, person: map[string]string{}, told: map[string]*leakFact{},
		sources: map[string]*leakFact{}, read: map[string]string{}}
	for i := range n {
		w := &leakWorld{word: fmt.Sprintf("w%dx", i)}
		for j, kind := range []string{"member", "member", "guest", "outsider"} {
			if j > 0 && r.IntN(3) == 0 {
				kind = "member"
			}
			id := fmt.Sprintf("U%d%c", i, 'A'+j)
			u := slacksim.UserSeed{ID: id, Name: strings.ToLower(id), Real: id, TZ: "Europe/Berlin", Guest: kind == "guest"}
			if kind == "outsider" {
				u.Team = "T0PARTNER"
			}
			seed.Users = append(seed.Users, u)
			w.people, h.person[id] = append(w.people, id), kind
		}
		for j := range 4 {
			kind := []string{"public", "private", "public", "shared"}[j]
			if r.IntN(4) == 0 {
				kind = []string{"public", "private", "shared"}[r.IntN(3)]
			}
			id := fmt.Sprintf("C%d%c", i, 'A'+j)
			c := slacksim.ChannelSeed{ID: id, Name: strings.ToLower(id), Private: kind == "private", Shared: kind == "shared", Members: []string{agent}}
			h.kind[id], h.in[id] = kind, map[string]bool{}
			for _, p := range w.people {
				if r.IntN(3) > 0 && (kind == "shared" || h.person[p] != "outsider") {
					c.Members, h.in[id][p] = append(c.Members, p), true
				}
			}
			seed.Channels = append(seed.Channels, c)
			w.channels = append(w.channels, id)
		}
		h.worlds = append(h.worlds, w)
	}
	return seed, h
}

// TestNothingLeaksThroughDutiesListsAndFiles has random worlds go through what
// stands behind memory: the runs of duties, worked by the scheduler and the real
// loop whatever has become of owner and place meanwhile, told or missed; what
// /deskmate memory and the Home list; and the files of an export.
func TestNothingLeaksThroughDutiesListsAndFiles(t *testing.T) {
	t.Parallel()
	n, houses := leakWorlds, 4
	if testing.Short() {
		n = 40
	}
	for i := range houses {
		t.Run(fmt.Sprintf("house %d", i), func(t *testing.T) {
			t.Parallel()
			seed, h := leakSeed(n/houses, rand.New(rand.NewPCG(uint64(i), 11)))
			h.desk = newDeskIn(t, seed, h.model, nil)
			h.tellAll()
			h.runs("at first")
			for round := range 2 {
				if i%2 == 1 { // Slack's events are missed, as between two connections
					h.emulate("faults", map[string]any{"kind": "lose"})
				}
				h.change()
				if err := h.ada.Disarm(context.Background()); err != nil {
					t.Fatal(err)
				}
				h.runs("after changes")
				h.lists(round == 1)
			}
			h.files()
		})
	}
}

// model has every run look further with the tools that read memory.
func (h *leakHouse) model(q modelsim.Request) modelsim.Reply {
	var all strings.Builder
	answered := 0
	for _, m := range q.Messages {
		all.WriteString(m.Content + "\n")
		if m.Role == "tool" {
			answered++
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	duty := leakDuty.FindString(q.Last("user").Content)
	if duty == "" { // a brief: its world's only duty asked for it
		for _, number := range leakNumber.FindAllString(all.String(), 1) {
			for _, w := range h.worlds {
				if w.word == number {
					h.read[w.duty] += all.String()
				}
			}
		}
		return modelsim.Reply{Text: "nothing to say"}
	}
	h.read[duty] += all.String()
	for _, w := range h.worlds {
		if w.duty != duty {
			continue
		}
		switch answered {
		case 0:
			return calls("recall", map[string]string{"query": w.word + " deploy"})
		case 1:
			return calls("brief", map[string]string{"person": "<@" + w.people[0] + ">"})
		}
	}
	return modelsim.Reply{Text: "done"}
}

func (h *leakHouse) emulate(endpoint string, body map[string]any) {
	h.t.Helper()
	if err := h.ada.Emulate(context.Background(), endpoint, body, nil); err != nil {
		h.t.Fatal(err)
	}
}

// tellAll fills memory: in every place somebody says something and has something
// kept, and something is kept for everybody.
func (h *leakHouse) tellAll() {
	ctx := context.Background()
	for i, w := range h.worlds {
		for _, p := range w.people {
			if _, err := h.app.people.Person(ctx, h.app.Self.Workspace, p); err != nil {
				h.t.Fatal(err)
			}
		}
		for _, c := range w.channels {
			if _, err := h.app.people.Channel(ctx, h.app.Self.Workspace, c); err != nil {
				h.t.Fatal(err)
			}
		}
		direct, err := slacksim.NewPerson(h.base, w.people[0]).Direct(ctx, agent)
		if err != nil {
			h.t.Fatal(err)
		}
		w.channels = append(w.channels, direct)
		h.kind[direct], h.in[direct] = "direct", map[string]bool{w.people[0]: true}
		next := 0
		fact := func(scope, from string) *leakFact {
			next++
			f := &leakFact{word: fmt.Sprintf("fact%dx%d", i, next), world: w.word, scope: scope, from: from}
			h.told[f.word], h.sources["psrc"+f.word[4:]] = f, f
			return f
		}
		for _, c := range w.channels {
			for range 2 {
				h.say(fact(c, c), w.people[h.r.IntN(len(w.people))], next)
			}
			h.keep(fact(c, c), w, memory.NewNote{})
		}
		h.keep(fact("", w.channels[0]), w, memory.NewNote{Scope: memory.ScopeWorkspace})
		h.keep(fact("", w.channels[1]), w, memory.NewNote{Scope: memory.ScopeWorkspace, Released: true, Label: label.Of(w.channels[1], h.kind[w.channels[1]])})
	}
}

func (f *leakFact) text() string { return "we decided to deploy " + f.world + " " + f.word + " today" }

func (f *leakFact) link() string {
	return "https://northwind.slack.com/archives/" + f.from + "/psrc" + f.word[4:]
}

func (h *leakHouse) say(f *leakFact, who string, n int) {
	h.t.Helper()
	ts := fmt.Sprintf("%d.%06d", h.clock.Now().Add(-time.Hour).Unix(), n)
	err := h.app.DB.Write(context.Background(), func(tx *migrations.Tx) error {
		return h.app.Memory.Observe(tx, memory.Message{Workspace: h.app.Self.Workspace, Channel: f.from, TS: ts, Author: who, Text: f.text(), Permalink: f.link()})
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// keep has a member of the world who reads the place have something kept. Where
// there is none, or the place may not tell everybody, it is not kept.
func (h *leakHouse) keep(f *leakFact, w *leakWorld, n memory.NewNote) {
	kinds := map[string]string{"public": memory.ChannelPublic, "private": memory.ChannelPrivate, "shared": memory.ChannelShared, "direct": memory.ChannelDirect}
	f.gone = true
	for _, who := range w.people {
		if h.person[who] != "member" || !h.reads(f.from, who) {
			continue
		}
		p := memory.Place{Workspace: h.app.Self.Workspace, Channel: f.from, ChannelKind: kinds[h.kind[f.from]], Requester: who, RequesterKind: memory.KindMember}
		n.Text, n.TS, n.Permalink = f.text(), "1700000000.000100", f.link()
		if kept, err := h.app.Memory.Remember(context.Background(), p, n); err == nil {
			f.id, f.gone = kept.ID, false
		}
		return
	}
}

// change has something happen to most worlds; in some of them a note is forgotten.
func (h *leakHouse) change() {
	h.t.Helper()
	for _, w := range h.worlds {
		for range h.r.IntN(4) {
			c, p := w.channels[h.r.IntN(4)], w.people[h.r.IntN(len(w.people))]
			if h.r.IntN(2) == 0 && w.owner != "" {
				p = w.owner
			}
			switch h.r.IntN(8) {
			case 0:
				h.emulate("channel", map[string]any{"channel": c, "is_private": true})
				if h.kind[c] == "public" {
					h.kind[c] = "private"
				}
			case 1:
				h.emulate("channel", map[string]any{"channel": c, "is_ext_shared": true})
				h.kind[c] = "shared"
			case 2, 3:
				h.emulate("membership", map[string]any{"channel": c, "user": p, "action": "leave"})
				delete(h.in[c], p)
			case 4:
				h.emulate("user", map[string]any{"user": p, "is_restricted": true})
				if h.person[p] == "member" {
					h.person[p] = "guest"
				}
			case 5:
				h.emulate("user", map[string]any{"user": p, "deleted": true})
				h.person[p] = "gone"
			case 6:
				h.emulate("channel", map[string]any{"channel": c, "is_archived": true})
				h.shut[c] = true
			case 7:
				h.emulate("membership", map[string]any{"channel": c, "user": agent, "action": "leave"})
				h.shut[c] = true
			}
		}
		if h.r.IntN(8) > 0 {
			continue
		}
		for _, f := range h.told {
			if f.world == w.word && f.id != "" && !f.gone {
				if _, err := h.app.Memory.Erase(context.Background(), h.app.Self.Workspace, f.id, "test"); err != nil {
					h.t.Fatal(err)
				}
				f.gone = true
				break
			}
		}
	}
}

// runs gives every world a duty that comes due in an hour, or that somebody has say
// what it would do, and compares what its run was given with what its owner, or who
// asked, may know in its place.
func (h *leakHouse) runs(when string) {
	h.t.Helper()
	ctx := context.Background()
	later := time.Date(2035, 1, 1, 9, 0, 0, 0, time.UTC)
	for i, w := range h.worlds {
		h.mu.Lock()
		w.dry = nil
		w.duty, w.owner, w.place = fmt.Sprintf("duty%dx%d", i, len(h.read)), w.people[h.r.IntN(len(w.people))], w.channels[h.r.IntN(len(w.channels))]
		h.mu.Unlock()
		kinds := map[string]string{"public": "public", "private": "private", "shared": "shared", "direct": "im"}
		kind := kinds[h.kind[w.place]]
		if h.r.IntN(4) == 0 && kind != "im" {
			kind = "public" // as it was when the duty was made
		}
		dry, owner, place, at := h.r.IntN(4) == 0, w.owner, w.place, h.clock.Now().Add(time.Hour)
		if dry {
			owner, place, at = w.people[h.r.IntN(len(w.people))], w.channels[h.r.IntN(len(w.channels))], later
		}
		d, err := h.app.Duties.Create(ctx, scheduler.NewDuty{Workspace: h.app.Self.Workspace, Channel: place, ChannelKind: kind, Title: w.duty, Owner: owner,
			Prompt: "tell about " + w.word + " deploy for " + w.duty, Schedule: scheduler.Schedule{At: at, TZ: "Europe/Berlin"}})
		if err != nil {
			h.t.Fatal(err)
		}
		if dry {
			w.dry = &scheduler.Dry{By: w.owner, Channel: w.place, ChannelKind: kind, Thread: "1700000000.000100", Request: d.ID}
		}
	}
	h.clock.Advance(time.Hour + time.Minute) // what Slack did not tell is asked for by now
	for _, w := range h.worlds {
		if w.dry != nil {
			if _, err := h.app.Duties.DryRun(ctx, w.dry.Request, *w.dry); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	h.app.Look()
	h.until(fmt.Sprintf(`SELECT NOT EXISTS (SELECT 1 FROM duties WHERE state = 'active' AND next_at < %d) AND`, migrations.Micros(later)) + ` NOT EXISTS (SELECT 1 FROM runs WHERE state IN ('waiting', 'due'))`)
	h.mu.Lock()
	defer h.mu.Unlock()
	worked, dry := 0, 0
	for _, w := range h.worlds {
		text, ran := h.read[w.duty]
		allowed := h.reads(w.place, w.owner) && (h.person[w.owner] == "member" || w.dry != nil && h.person[w.owner] == "guest")
		if ran && !allowed {
			h.t.Errorf("%s: a run of %s was worked for %s (a %s) in %s (%s), who may not read there", when, w.duty, w.owner, h.person[w.owner], w.place, h.kind[w.place])
		}
		if !ran {
			h.read[w.duty] = ""
			continue
		}
		worked++
		if w.dry != nil {
			dry++
		}
		got := h.judge("a run "+when, text, w.place, w.owner)
		for word, f := range h.told {
			if f.world == w.word && h.may(f, w.place, w.owner) && !got[word] && !h.shut[w.place] && !h.shut[f.from] {
				h.t.Errorf("%s: a run for %s in %s (%s) was not given %s, which is for %q", when, w.owner, w.place, h.kind[w.place], word, f.scope)
			}
		}
	}
	if got := h.one(`SELECT COUNT(*) > 0 FROM outbox WHERE body LIKE '%I did not look what the duty%may not read there any more%'`); got != "1" {
		h.t.Error("nobody was told that their dry run was not worked")
	}
	if worked < len(h.worlds)/10 || dry == 0 {
		h.t.Errorf("%s: only %d of %d duties were worked, %d of them dry", when, worked, len(h.worlds), dry)
	}
}

// lists asks for /deskmate memory as people of some worlds, and once opens their
// Homes.
func (h *leakHouse) lists(homes bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	seen, home := 0, 0
	for i, w := range h.worlds {
		who, place := w.people[h.r.IntN(len(w.people))], w.channels[h.r.IntN(len(w.channels))]
		if h.r.IntN(2) == 0 {
			who, place = w.people[0], w.channels[4]
		}
		if i%3 > 0 || h.person[who] == "gone" || !h.in[place][who] {
			continue
		}
		p := slacksim.NewPerson(h.base, who)
		view, err := p.Watch(ctx)
		if err != nil {
			h.t.Fatal(err)
		}
		if err := p.Command(ctx, place, "/deskmate", "memory"); err != nil {
			h.t.Fatal(err)
		}
		m, err := view.Wait(ctx, func(m slacksim.Seen) bool { return m.Only && m.Channel == place })
		if err != nil {
			h.t.Fatalf("%s (a %s) got no answer in %s (%s): %v", who, h.person[who], place, h.kind[place], err)
		}
		seen += len(h.judge("/deskmate memory", m.Text, place, who))
		if !homes || h.person[who] == "outsider" || who != w.people[0] {
			continue
		}
		if err := p.OpenHome(ctx); err != nil {
			h.t.Fatal(err)
		}
		form, err := view.Home(ctx, func(text string) bool { return strings.Contains(text, "What I know here") })
		if err != nil {
			h.t.Fatal(err)
		}
		home += len(h.judge("the Home", form.Text(), w.channels[len(w.channels)-1], who))
	}
	if seen == 0 || homes && home == 0 {
		h.t.Errorf("the lists told %d facts, and the Home %d: they test nothing", seen, home)
	}
}

// files exports every scope of some worlds and compares the files with what belongs
// to the scope.
func (h *leakHouse) files() {
	h.t.Helper()
	export := func(scope string) map[string]string {
		dir := filepath.Join(h.t.TempDir(), "notes")
		args := []string{"memory", "export", dir, "--json", "--database-url", h.app.config.Database}
		if scope != "" {
			args = append(args, "--scope", scope)
		}
		var out, problems bytes.Buffer
		if code := Main(context.Background(), args, Streams{In: strings.NewReader(""), Out: &out, Errors: &problems, Getenv: func(string) string { return "" }}); code != 0 {
			h.t.Fatalf("export of %q: %d, %s", scope, code, problems.String())
		}
		var said struct{ Notes int }
		if err := json.Unmarshal(out.Bytes(), &said); err != nil {
			h.t.Fatalf("export of %q said %s: %v", scope, out.String(), err)
		}
		files := map[string]string{}
		all, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, name := range all {
			b, err := os.ReadFile(name)
			if err != nil {
				h.t.Fatal(err)
			}
			files[strings.TrimSuffix(filepath.Base(name), ".md")] = string(b)
		}
		if len(files) != said.Notes {
			h.t.Errorf("export of %q says that it wrote %d notes, and there are %d", scope, said.Notes, len(files))
		}
		return files
	}
	scopes := map[string]string{memory.ScopeWorkspace: ""}
	for i, w := range h.worlds {
		if i%10 > 0 {
			continue
		}
		for _, f := range h.told {
			if f.world == w.word && f.id != "" && !f.gone && f.scope != "" { // what has a note
				scopes["channel:"+f.scope] = f.scope
				if h.kind[f.scope] == "direct" {
					delete(scopes, "channel:"+f.scope)
					scopes["dm:"+f.scope] = f.scope
				}
			}
		}
	}
	for scope, place := range scopes {
		files := export(scope)
		for _, f := range h.told {
			if f.id == "" {
				continue
			}
			text, there := files[f.id]
			if belongs := !f.gone && f.scope == place; there != belongs {
				h.t.Errorf("export of %q has %s, which is for %q (gone: %t): %t", scope, f.word, f.scope, f.gone, there)
			}
			if open := f.from == place || h.kind[f.from] == "public"; there && strings.Contains(text, f.from) != open {
				h.t.Errorf("export of %q names %s (%s), where %s is from: %t, want %t\n%s", scope, f.from, h.kind[f.from], f.word, !open, open, text)
			}
			delete(files, f.id)
		}
		for id, text := range files {
			h.t.Errorf("export of %q has a note %s of nobody: %s", scope, id, text)
		}
	}
	everything := export("")
	kept := slices.Collect(func(yield func(string) bool) {
		for _, f := range h.told {
			if f.id != "" && !f.gone && !yield(f.id) {
				return
			}
		}
	})
	for _, id := range kept {
		if everything[id] == "" {
			h.t.Errorf("the export of everything lacks %s", id)
		}
	}
	if len(everything) != len(kept) {
		h.t.Errorf("the export of everything has %d notes, want %d", len(everything), len(kept))
	}
}
