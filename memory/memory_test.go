package memory

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

// The cast and places of the tests. Eng is public, leads private, partners
// shared with another organisation.
const (
	team     = "T1"
	ada      = "U0ADA"
	ben      = "U0BEN"
	chloe    = "U0CHLOE"
	gil      = "U0GIL"  // guest
	xena     = "U0XENA" // outsider
	general  = "C0GENERAL"
	eng      = "C0ENG"
	leads    = "C0LEADS"
	partners = "C0PARTNERS"
	adaDM    = "D0ADA"
)

var day0 = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// world is a memory on a real store, with a clock that tests move.
type world struct {
	*Memory
	t    testing.TB
	db   *migrations.DB
	log  *ledger.Ledger
	path string
	now  time.Time
	said int
}

func emptyWorld(t testing.TB, erasers ...func(*migrations.Tx, Forgotten) error) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "deskmate.db"), now: day0}
	db, err := migrations.Open(context.Background(), migrated.At(t, w.path), migrations.Options{Clock: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	keys, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	w.db, w.log = db, ledger.New(db, keys, ledger.Options{})
	w.Memory = New(db, w.log, erasers...)
	return w
}

// newWorld has the cast in it.
func newWorld(t testing.TB, erasers ...func(*migrations.Tx, Forgotten) error) *world {
	t.Helper()
	w := emptyWorld(t, erasers...)
	for id, kind := range map[string]string{general: ChannelPublic, eng: ChannelPublic, leads: ChannelPrivate, partners: ChannelShared, adaDM: ChannelDirect} {
		w.channel(id, kind)
	}
	w.person(ada, "Ada", "Ada Lovelace", KindMember)
	w.person(ben, "Ben", "Ben Okri", KindMember)
	w.person(chloe, "Chloe", "Chloe Dubois", KindMember)
	w.person(gil, "Gil", "Gil Guest", KindGuest)
	w.person(xena, "Xena", "Xena Outside", KindOutsider)
	return w
}

func (w *world) write(f func(tx *migrations.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) channel(id, kind string) {
	w.t.Helper()
	w.write(func(tx *migrations.Tx) error {
		return w.SaveChannel(tx, Channel{Workspace: team, ID: id, Name: strings.ToLower(id[2:]), Kind: kind, IsMember: true})
	})
}

func (w *world) person(id, name, real, kind string) {
	w.t.Helper()
	w.write(func(tx *migrations.Tx) error {
		return w.SavePerson(tx, Person{Workspace: team, ID: id, Name: name, RealName: real, TZ: "Europe/Paris", Kind: kind})
	})
}

// say lets author say text a minute after what was said last, and gives its ts.
func (w *world) say(channel, thread, author, text string) string {
	w.t.Helper()
	w.said++
	ts := fmt.Sprintf("%d.%06d", day0.Add(time.Duration(w.said)*time.Minute).Unix(), w.said)
	w.write(func(tx *migrations.Tx) error {
		return w.Observe(tx, Message{Workspace: team, Channel: channel, Thread: thread, TS: ts, Author: author, Text: text})
	})
	return ts
}

func (w *world) remember(p Place, text string) Note {
	w.t.Helper()
	n, err := w.Remember(context.Background(), p, NewNote{Text: text})
	if err != nil {
		w.t.Fatalf("remember %q: %v", text, err)
	}
	return n
}

// found is the texts of what p finds, best first.
func (w *world) found(p Place, query string) []string {
	w.t.Helper()
	hits, err := w.Search(context.Background(), p, query, 20)
	if err != nil {
		w.t.Fatalf("search %q: %v", query, err)
	}
	var all []string
	for _, h := range hits {
		all = append(all, h.Text)
	}
	return all
}

// in is a place where a member asks.
func in(channel, kind, requester string) Place {
	return Place{Workspace: team, Channel: channel, ChannelKind: kind, Requester: requester, RequesterKind: KindMember}
}

func by(p Place, requester, kind string) Place {
	p.Requester, p.RequesterKind = requester, kind
	return p
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}
