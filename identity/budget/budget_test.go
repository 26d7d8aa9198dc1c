package budget

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

type office struct {
	*Budgets
	now     atomic.Int64
	notices []string
}

func newOffice(t *testing.T, zone string) *office {
	t.Helper()
	o := &office{}
	o.at(t, "2026-03-02 09:00 UTC")
	db, err := migrations.Open(t.Context(), migrated.At(t, filepath.Join(t.TempDir(), "b.db")), migrations.Options{Clock: func() time.Time { return time.UnixMicro(o.now.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	keys, err := ledger.DeriveKeys([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	o.Budgets = &Budgets{DB: db, Ledger: ledger.New(db, keys, ledger.Options{}), Zone: z, Notice: func(_ *migrations.Tx, _, _, text string) error {
		o.notices = append(o.notices, text)
		return nil
	}}
	return o
}

func (o *office) at(t *testing.T, when string) {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04 MST", when)
	if err != nil {
		t.Fatal(err)
	}
	o.now.Store(at.UnixMicro())
}

func (o *office) set(t *testing.T, scope, unit, period string, most int64) {
	t.Helper()
	if err := o.Set(t.Context(), "U0ADA", Budget{Workspace: "T1", Scope: scope, Unit: unit, Period: period, Most: most, Justification: "a try"}); err != nil {
		t.Fatal(err)
	}
}

// use checks and books, as the loop and the gate do; false means that it may not.
func (o *office) use(t *testing.T, s Subject, a Amounts) bool {
	t.Helper()
	s.Workspace = "T1"
	var units []string
	for unit, n := range map[string]int64{Calls: a.Calls, Tokens: a.Tokens, Money: a.Money} {
		if n > 0 {
			units = append(units, unit)
		}
	}
	err := o.May(t.Context(), s, a.Model, units...)
	var spent *SpentError
	if errors.As(err, &spent) {
		return false
	}
	if err == nil {
		err = o.DB.Write(t.Context(), func(tx *migrations.Tx) error { return o.Book(tx, s, a) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

func TestEachScopeCountsByItself(t *testing.T) {
	t.Parallel()
	o := newOffice(t, "UTC")
	o.set(t, "workspace", Calls, Day, 6)
	o.set(t, "person:*", Calls, Day, 2)
	o.set(t, "person:U2", Calls, Day, 4)
	o.set(t, "duty:d_1", Calls, Month, 1)
	one := Amounts{Calls: 1}
	for i, c := range []struct {
		who  Subject
		want bool
	}{
		{Subject{Person: "U1", Channel: "C1"}, true}, {Subject{Person: "U1", Channel: "C2"}, true}, {Subject{Person: "U1", Channel: "C1"}, false}, // two for each
		{Subject{Person: "U2"}, true}, {Subject{Person: "U2", Duty: "d_1"}, true}, {Subject{Person: "U2", Duty: "d_1"}, false}, {Subject{Person: "U2"}, true},
		{Subject{Person: "U3"}, true}, {Subject{Person: "U3"}, false}, // the workspace's six are used
	} {
		if got := o.use(t, c.who, one); got != c.want {
			t.Errorf("use %d by %+v: %v, want %v", i, c.who, got, c.want)
		}
	}
	all, err := o.List(t.Context(), "T1")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, u := range all {
		got[u.For] = u.Used
	}
	if got["workspace"] != 6 || got["person:U1"] != 2 || got["person:U2"] != 3 || got["duty:d_1"] != 1 {
		t.Errorf("used: %v", got)
	}
	warned := 0
	for _, n := range o.notices {
		if strings.Contains(n, "the workspace") {
			warned++
		}
	}
	if warned != 1 {
		t.Errorf("%d warnings of the workspace's budget, want 1: %q", warned, o.notices)
	}
	o.set(t, "workspace", Calls, Day, 7)
	if !o.use(t, Subject{Person: "U3"}, one) {
		t.Error("a raised budget does not count at once")
	}
}

func TestDaysAndMonthsBeginWhereTheBudgetIs(t *testing.T) {
	t.Parallel()
	o := newOffice(t, "Europe/Berlin")
	o.set(t, "workspace", Tokens, Day, 10)
	o.set(t, "workspace", Tokens, Month, 25)
	all := Amounts{Tokens: 10}
	for _, c := range []struct {
		at   string
		want bool
	}{
		{"2026-03-28 22:30 UTC", true}, {"2026-03-28 22:59 UTC", false}, {"2026-03-28 23:00 UTC", true}, // the 29th in Berlin, with 23 hours
		{"2026-03-29 21:59 UTC", false}, {"2026-03-29 22:00 UTC", true}, // the 30th; the month's 25 are passed
		{"2026-03-30 22:00 UTC", false}, {"2026-03-31 21:59 UTC", false}, {"2026-03-31 22:00 UTC", true}, // April
		{"2026-10-24 22:00 UTC", true}, {"2026-10-25 22:59 UTC", false}, {"2026-10-25 23:00 UTC", true}, // a day of 25 hours
	} {
		o.at(t, c.at)
		if got := o.use(t, Subject{}, all); got != c.want {
			t.Errorf("at %s: %v, want %v", c.at, got, c.want)
		}
	}
}

func TestMoneyNeedsAPrice(t *testing.T) {
	t.Parallel()
	o := newOffice(t, "UTC")
	var err error
	if o.Prices, err = ParsePrices("gpt-5*=1.25/10, gpt-5-mini=0.25/2, local=0"); err != nil {
		t.Fatal(err)
	}
	for model, want := range map[string]int64{"gpt-5": 11_250_000, "gpt-5-mini": 2_250_000, "local": 0, "other": 0} {
		if got := o.Prices.Cost(model, 1_000_000, 1_000_000); got != want {
			t.Errorf("a million in and out of %s cost %d, want %d", model, got, want)
		}
	}
	if got := o.Prices.Cost("gpt-5", 1, 0); got != 2 { // 1.25 millionths
		t.Errorf("one token costs %d, want 2: rounded up", got)
	}
	if err := o.May(t.Context(), Subject{Workspace: "T1"}, "other", Money); err != nil {
		t.Errorf("without a budget: %v", err)
	}
	o.set(t, "workspace", Money, Month, 5_000_000)
	if err := o.May(t.Context(), Subject{Workspace: "T1"}, "other", Money); err == nil || !strings.Contains(err.Error(), "price of `other`") {
		t.Errorf("a model without a price: %v", err)
	}
	if err := o.May(t.Context(), Subject{Workspace: "T1"}, "local", Money); err != nil {
		t.Errorf("a model that is free: %v", err)
	}
	for _, bad := range []string{"x", "x=", "x=-1", "x=1/y", "=1", "[=1"} {
		if _, err := ParsePrices(bad); err == nil {
			t.Errorf("the price %q was taken", bad)
		}
	}
}

// TestManyAtTheEdge: what passes the check at the same time goes over by no more
// than those that were under way.
func TestManyAtTheEdge(t *testing.T) {
	t.Parallel()
	o := newOffice(t, "UTC")
	o.set(t, "workspace", Calls, Day, 50)
	const at = 8
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for range 40 {
				if o.use(t, Subject{}, Amounts{Calls: 1}) {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n < 50 || n > 50+at-1 {
		t.Errorf("%d passed a budget of 50, with %d at a time", n, at)
	}
	all, err := o.List(t.Context(), "T1")
	if err != nil || all[0].Used != passed.Load() {
		t.Errorf("counted %d of %d, %v", all[0].Used, passed.Load(), err)
	}
}

func TestBudgetsThatAreWrong(t *testing.T) {
	t.Parallel()
	o := newOffice(t, "UTC")
	for _, b := range []Budget{
		{Scope: "channel:", Unit: Calls, Period: Day}, {Scope: "channel:U1", Unit: Calls, Period: Day}, {Scope: "team:X", Unit: Calls, Period: Day}, {Scope: "person:U1:x", Unit: Calls, Period: Day},
		{Scope: "workspace", Unit: "hours", Period: Day}, {Scope: "workspace", Unit: Calls, Period: "week"}, {Scope: "workspace", Unit: Calls, Period: Day, Most: -1},
	} {
		b.Workspace, b.Justification = "T1", "a try"
		var invalid *InvalidError
		if err := o.Set(t.Context(), "U0ADA", b); !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", b, err)
		}
	}
	if err := o.Remove(t.Context(), "U0ADA", "why", Budget{Workspace: "T1", Scope: "workspace", Unit: Calls, Period: Day}); !errors.Is(err, ErrNone) {
		t.Errorf("removing what is not there: %v", err)
	}
}
