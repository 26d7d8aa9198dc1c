package policy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskmate/migrations"
)

func limit(count, rate int64, window time.Duration) func(*Grant) {
	return func(g *Grant) { g.Count, g.Rate, g.RateWindow = count, rate, Duration(window) }
}

// use decides and books as the gate does; it returns what came of it.
func (d *desk) use(r Request) (Decision, error) {
	got := d.e.Decide(context.Background(), r)
	return got, d.book(r, got)
}

func (d *desk) book(r Request, got Decision) error {
	return d.db.Write(context.Background(), func(tx *migrations.Tx) error { return d.e.Book(tx, r, got) })
}

// now is a request at the time of the store.
func now(r *Request) { r.At = time.Time{} }

func TestALimitOfUses(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.grant(g("1", Allow, limit(2, 0, 0)))
	for i := range 2 {
		if got, err := d.use(ask(now)); got.Verdict != Allow || err != nil {
			t.Fatalf("use %d: got %+v, %v", i, got, err)
		}
	}
	got := d.e.Decide(t.Context(), ask(now))
	if got.Verdict != Deny || got.Policies[0] != "no-grant" || got.Reasons[0] != "the limit of 2 uses of grant g_1 is used up" {
		t.Errorf("after the last: got %+v", got)
	}
	if x := d.e.Explain(t.Context(), ask(now, by("U0X", "member"))); x.Considered[1].Policy != "g_1" || x.Considered[1].Matched {
		t.Errorf("explained as %+v", x.Considered[1])
	}
	if stored, err := d.e.Get(t.Context(), team, "g_1"); err != nil || stored.Uses != 2 || !stored.LastUsedAt.Equal(start) {
		t.Errorf("got %+v, %v, want 2 uses", stored, err)
	}
}

func TestALimitOfUsesInATime(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.grant(g("1", Allow, limit(0, 2, time.Hour)))
	verdicts := ""
	for range 13 { // every 10 minutes
		got, err := d.use(ask(now))
		if err != nil {
			t.Fatal(err)
		}
		verdicts += got.Verdict[:1]
		if got.Verdict == Deny && got.Reasons[0] != "the limit of 2 uses in 1h of grant g_1 is used up for now" {
			t.Errorf("got the reasons %q", got.Reasons)
		}
		d.pass(10 * time.Minute)
	}
	if want := "aaddddaaddddaadddd"[:13]; verdicts != want {
		t.Errorf("got %s, want %s", verdicts, want)
	}
	var kept int
	if err := d.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM grant_uses`).Scan(&kept); err != nil || kept > 2 {
		t.Errorf("%d uses are kept, %v, want 2 at most", kept, err)
	}
}

func TestALimitIsPaidOnlyWhereItIsNeeded(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.grant(g("1", Allow, limit(1, 0, 0)))
	d.grant(g("2", Allow, limit(1, 0, 0)))
	d.grant(g("3", Ask))
	want := []string{"allow g_1 g_2", "allow g_2", "ask g_3"}
	for i, w := range want {
		got, err := d.use(ask(now))
		if s := got.Verdict + " " + strings.Join(got.Policies, " "); err != nil || s != w {
			t.Errorf("use %d: got %s, %v, want %s", i, s, err, w)
		}
	}
	d.grant(g("4", Allow, limit(1, 0, 0)))
	d.grant(g("5", Allow))
	for range 3 {
		if got, err := d.use(ask(now)); err != nil || got.Verdict != Allow || len(got.Grants) != 0 {
			t.Errorf("beside a grant without a limit: got %+v, %v", got, err)
		}
	}
}

func TestBookNeverPassesALimit(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]func(*Grant){"count": limit(7, 0, 0), "rate": limit(0, 7, time.Hour), "both": limit(9, 7, time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := newDesk(t)
			second := openDesk(t, first.db.Path(), first.now) // as another process
			first.grant(g("1", Allow, l))
			var booked, spent atomic.Int64
			var all sync.WaitGroup
			for i := range 16 {
				d := []*desk{first, second}[i%2]
				all.Go(func() {
					for range 4 {
						got, err := d.use(ask(now))
						switch {
						case errors.Is(err, ErrSpent):
							spent.Add(1)
						case err != nil:
							t.Error(err)
						case got.Verdict == Allow:
							booked.Add(1)
						}
					}
				})
			}
			all.Wait()
			if booked.Load() != 7 {
				t.Errorf("%d uses were booked, want 7 (%d came too late)", booked.Load(), spent.Load())
			}
		})
	}
}

func TestBookRefusesADecisionThatIsOld(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(d *desk){
		"its grant was revoked":      func(d *desk) { d.revoke("g_1") },
		"a deny was added":           func(d *desk) { d.grant(g("2", Deny)) },
		"a grant beside it ended":    func(d *desk) { d.pass(2 * time.Hour) },
		"the last use went to other": func(d *desk) { _ = d.book(ask(now), d.e.Decide(context.Background(), ask(now))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.grant(g("1", Allow, limit(1, 0, 0)))
			d.grant(g("3", Ask, ends(start.Add(time.Hour))))
			got := d.e.Decide(t.Context(), ask(now))
			change(d)
			if err := d.book(ask(now), got); !errors.Is(err, ErrSpent) {
				t.Errorf("got %v, want ErrSpent", err)
			}
		})
	}
	d := newDesk(t)
	d.grant(g("1", Allow))
	got := d.e.Decide(t.Context(), ask(now))
	d.grant(g("2", Deny, tools("y")))
	if err := d.book(ask(now), got); err != nil {
		t.Errorf("a change that has no say: got %v", err)
	}
	// The revocation is in the very transaction, by an engine that has not seen it.
	err := d.db.Write(t.Context(), func(tx *migrations.Tx) error {
		if _, err := d.e.RevokeTx(tx, team, "g_1", "U0ADA", ""); err != nil {
			return err
		}
		return d.e.Book(tx, ask(now), got)
	})
	if !errors.Is(err, ErrSpent) {
		t.Errorf("revoked in the same transaction: got %v, want ErrSpent", err)
	}
	if got, err := d.use(ask(now)); err != nil || got.Verdict != Allow {
		t.Errorf("what was undone: got %+v, %v", got, err)
	}
	if err := d.book(ask(now), Decision{Verdict: Deny}); err != nil {
		t.Errorf("a denial: got %v", err)
	}
}

func (d *desk) revoke(id string) {
	d.t.Helper()
	if _, err := d.e.Revoke(context.Background(), team, id, "U0ADA", "test"); err != nil {
		d.t.Fatal(err)
	}
}

func TestLastUseIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.grant(g("1", Allow))
	for _, c := range []struct{ pass, want time.Duration }{{0, 0}, {59 * time.Second, 0}, {time.Second, time.Minute}, {time.Hour, 61 * time.Minute}} {
		d.pass(c.pass)
		if _, err := d.use(ask(now)); err != nil {
			t.Fatal(err)
		}
		if got, err := d.e.Get(t.Context(), team, "g_1"); err != nil || !got.LastUsedAt.Equal(start.Add(c.want)) || got.Uses != 0 {
			t.Errorf("used at %v: last used %v, %d uses, %v, want %v", time.UnixMicro(d.now.Load()).UTC(), got.LastUsedAt, got.Uses, err, start.Add(c.want))
		}
	}
}

func TestAChangeByAnotherProcessCountsAtOnce(t *testing.T) {
	t.Parallel()
	one := newDesk(t)
	two := openDesk(t, one.db.Path(), one.now)
	decide := func(want string) {
		t.Helper()
		for i, d := range []*desk{one, two} {
			if got := d.e.Decide(t.Context(), ask()); got.Verdict != want {
				t.Fatalf("engine %d: got %+v, want %s", i, got, want)
			}
		}
	}
	decide(Deny)
	for i := range 20 {
		d, other := one, two
		if i%2 == 1 {
			d, other = two, one
		}
		granted := d.grant(Grant{})
		decide(Allow)
		other.revoke(granted.ID)
		decide(Deny)
	}
	if _, err := one.e.PutBundle(t.Context(), "U0ADA", Bundle{Name: "b", Workspace: team, Tools: []string{"y"}}); err != nil {
		t.Fatal(err)
	}
	one.grant(Grant{Bundle: "b"})
	decide(Deny)
	if _, err := two.e.PutBundle(t.Context(), "U0ADA", Bundle{Name: "b", Workspace: team, Tools: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	decide(Allow)
}

func TestTheSetIsTheSameWhereverAndChangesWithWhatHasASay(t *testing.T) {
	t.Parallel()
	one, two := newDesk(t), newDesk(t)
	set := func(d *desk, r Request) string { return d.e.Decide(context.Background(), r).Set }
	grants := []Grant{g("1", Allow, ourHost, limit(5, 0, 0)), g("2", Ask, tools("crm.*")), g("3", Deny, scope("kind:im")), g("4", Ask, ends(noon))}
	for i := range grants {
		one.grant(grants[i])
		two.grant(grants[len(grants)-1-i])
	}
	first := set(one, ask())
	if other := set(two, ask()); first != other || len(first) != 64 {
		t.Errorf("other order, other process: got %s and %s", first, other)
	}
	if got := set(one, ask(outsider, args(`{"url": "https://a.example.com"}`))); got != first {
		t.Error("the set depends on the request")
	}
	seen := map[string]string{first: "at first"}
	differs := func(what, got string) {
		t.Helper()
		if was, ok := seen[got]; ok {
			t.Errorf("%s: the set is what it was %s", what, was)
		}
		seen[got] = what
	}
	differs("of another tool", set(one, ask(tool("y", "crm", "read"))))
	differs("with one added", func() string { one.grant(g("5", Allow)); return set(one, ask()) }())
	one.revoke("g_5")
	if got := set(one, ask()); got != first {
		t.Error("added and revoked: the set is not what it was")
	}
	if _, err := one.use(ask(now, args(`{"url": "https://a.example.com"}`))); err != nil {
		t.Fatal(err)
	}
	if got := set(one, ask()); got != first {
		t.Error("a use changed the set")
	}
	one.grant(g("6", Allow, tools("z", "erp.*")))
	if got := set(one, ask()); got != first {
		t.Error("a grant for other tools changed the set")
	}
	one.grant(g("7", Allow, scope("channel:C0OPS")))
	one.grant(g("8", Allow, scope("channel:C0ENG"), thread("1.9")))
	if got := set(one, ask()); got != first {
		t.Error("grants for another channel and thread changed the set")
	}
	differs("in the other channel", set(one, ask(channel("C0OPS", "ops", "public"))))
	differs("in the other thread", set(one, ask(func(r *Request) { r.Thread = "1.9" })))
	differs("after one has ended", set(one, ask(at(noon))))
	if got := set(one, ask(at(noon.Add(-1)))); got != first {
		t.Error("just before, it is another")
	}
	// What Cedar does not compute is in the set too.
	for i, change := range []func(*Grant){
		rule(ArgRule{Name: "url", Host: "example.org"}), limit(6, 0, 0), limit(5, 1, time.Hour), limit(5, 1, time.Minute), hoursOf("mon 09:00-10:00 UTC"), hoursOf("mon 09:00-11:00 UTC"),
	} {
		d := newDesk(t)
		for _, g := range grants {
			if g.ID == "g_1" {
				change(&g)
			}
			d.grant(g)
		}
		differs("variant "+string(rune('a'+i)), set(d, ask()))
	}
	for i, change := range []func(*Grant){quorum(2), quorum(1, Sponsor), ttl(time.Hour)} {
		d := newDesk(t)
		for _, g := range grants {
			if g.ID == "g_2" {
				change(&g)
			}
			d.grant(g)
		}
		differs("ask variant "+string(rune('a'+i)), set(d, ask()))
	}
}
