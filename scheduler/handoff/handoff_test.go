package handoff

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/migrations/migrated"
	"deskmate/scheduler"
	"deskmate/scheduler/task"
)

const team = "T0TEAM"

var (
	start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	ada   = Person{ID: "U0ADA", Member: true, Governs: true}
	ben   = Person{ID: "U0BEN", Member: true}
	chloe = Person{ID: "U0CHLOE", Member: true}
	gil   = Person{ID: "U0GIL"}
)

// world is a store with a clock, handoffs, and what people were told.
type world struct {
	t  testing.TB
	db *migrations.DB
	l  *ledger.Ledger
	s  *Handoffs

	mu       sync.Mutex
	now      time.Time
	told     []string
	fail     error // of the next telling
	sponsors []string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: start, sponsors: []string{"U0ADA"}}
	db, err := migrations.Open(context.Background(), migrated.At(t, filepath.Join(t.TempDir(), "test.db")), migrations.Options{Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	k, err := ledger.DeriveKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	w.db, w.l = db, ledger.New(db, k, ledger.Options{})
	w.s = &Handoffs{DB: db, Ledger: w.l, Duties: scheduler.New(db, w.l, nil), Threads: w.threads(), Sponsors: func(*migrations.Tx, string) ([]string, error) { return w.sponsors, nil },
		Told:  func(_ *migrations.Tx, h Handoff, what string) error { return w.tell(h.ID + " " + what) },
		Asked: func(_ *migrations.Tx, l Lapse, what string) error { return w.tell(l.Cause + " " + what) },
	}
	for _, p := range []string{"U0ADA", "U0BEN", "U0CHLOE"} {
		w.exec(`INSERT INTO people (workspace, id, name, real_name, tz, kind, is_admin, is_deleted, fetched_at) VALUES ('`+team+`', $1, '', '', '', 'member', 0, 0, 1)`, p)
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) forward(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) tell(what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, what)
	return w.fail
}

func (w *world) exec(q string, args ...any) {
	w.t.Helper()
	if err := w.db.Write(context.Background(), func(tx *migrations.Tx) error { _, err := tx.Exec(q, args...); return err }); err != nil {
		w.t.Fatal(err)
	}
}

// threads are rows of the very table, as the bot keeps them.
func (w *world) threads() Threads {
	list := func(tx *migrations.Tx, where string, args ...any) ([]Thread, error) {
		rows, err := tx.Query(`SELECT channel, thread_ts, owner FROM threads WHERE workspace = $1 AND state = 'open'`+where, args...)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var all []Thread
		for rows.Next() {
			t := Thread{Workspace: team}
			if err := rows.Scan(&t.Channel, &t.TS, &t.Owner); err != nil {
				return nil, err
			}
			all = append(all, t)
		}
		return all, rows.Err()
	}
	return Threads{
		Open: func(tx *migrations.Tx, workspace, owner string) ([]Thread, error) {
			return list(tx, ` AND ($2 = '' OR owner = $2)`, workspace, owner)
		},
		Get: func(tx *migrations.Tx, workspace, channel, ts string) (Thread, error) {
			all, err := list(tx, ` AND channel = $2 AND thread_ts = $3`, workspace, channel, ts)
			if err == nil && len(all) == 0 {
				return Thread{}, ErrNone
			}
			if err != nil {
				return Thread{}, err
			}
			return all[0], nil
		},
		Own: func(tx *migrations.Tx, workspace, channel, ts, owner string) error {
			_, err := tx.Exec(`UPDATE threads SET owner = $1 WHERE workspace = $2 AND channel = $3 AND thread_ts = $4`, owner, workspace, channel, ts)
			return err
		},
	}
}

func (w *world) duty(owner string) Ref {
	w.t.Helper()
	d, err := w.s.Duties.Create(context.Background(), scheduler.NewDuty{Workspace: team, Channel: "C0ENG", ChannelKind: "public", Title: "Stand-up", Prompt: "post Stand-up time",
		Schedule: scheduler.Schedule{Cron: "30 9 * * 1-5", TZ: "Europe/Berlin"}, Owner: owner})
	if err != nil {
		w.t.Fatal(err)
	}
	return Ref{KindDuty, d.ID}
}

func (w *world) thread(n int, owner string) Ref {
	w.t.Helper()
	ts := fmt.Sprintf("17000000%02d.000100", n)
	w.exec(`INSERT INTO threads (workspace, channel, thread_ts, thread_key, owner, joined_at, last_at) VALUES ($1, 'C0ENG', $2, $3, $4, $5, $5)`, team, ts, "thread:"+ts, owner, migrations.Micros(w.clock()))
	return ThreadRef("C0ENG", ts)
}

func (w *world) owner(r Ref) string {
	w.t.Helper()
	owner := ""
	err := w.db.Read(context.Background(), func(tx *migrations.Tx) (err error) {
		owner, err = w.s.owner(tx, team, r)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return owner
}

func (w *world) owned(want string, refs ...Ref) {
	w.t.Helper()
	for _, r := range refs {
		if got := w.owner(r); got != want {
			w.t.Errorf("%s is %s's, want %s's", r.ID, got, want)
		}
	}
}

func (w *world) offer(o Offer) Handoff {
	w.t.Helper()
	o.Workspace = team
	h, _, err := w.s.Offer(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// kinds are the ledger's entries about handoffs, with who acted.
func (w *world) kinds() []string {
	w.t.Helper()
	all, err := w.l.Search(context.Background(), team, ledger.Query{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		r, err := e.Record()
		if err != nil {
			w.t.Fatal(err)
		}
		if strings.HasPrefix(e.Kind, "handoff.") {
			out = append(out, e.Kind+" "+r.Actor)
		}
	}
	slices.Reverse(out)
	return out
}

// follow works the task of a handoff, plan or lapse, as the runner does.
func (w *world) follow(id string) task.Result {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	runner := task.NewRunner(w.db, task.Options{})
	done := make(chan task.Result, 1)
	runner.Handle(TaskHandoff, 1, func(ctx context.Context, lease *task.Lease) (task.Result, error) {
		r, err := w.s.Handle(ctx, lease)
		if err != nil {
			w.t.Error(err)
		}
		if lease.Key == taskKey(id) {
			select {
			case done <- r:
			default:
			}
		}
		return r, err
	})
	if err := w.db.Write(ctx, func(tx *migrations.Tx) error { return wake(tx, team, id, tx.Now()) }); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	var r task.Result
	select {
	case r = <-done:
	case <-time.After(time.Minute):
		w.t.Fatal("the task was not worked")
	}
	cancel()
	if err := <-ended; err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestAcceptedWorkHasANewOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d1, d2, t1 := w.duty("U0BEN"), w.duty("U0BEN"), w.thread(1, "U0BEN")
	h := w.offer(Offer{From: "U0BEN", To: chloe, Asker: ben, Items: []Ref{d1, d2, t1}, Reason: "on leave"})
	w.owned("U0BEN", d1, d2, t1)
	h, err := w.s.Accept(t.Context(), Answer{Workspace: team, ID: h.ID, Who: chloe, Items: []Ref{d1, t1}, Rest: true, Reason: "too much", Via: "form"})
	if err != nil {
		t.Fatal(err)
	}
	if h.State != StatePart || h.Count(StateAccepted) != 2 || h.Of(StateDeclined)[0].Why != "too much" {
		t.Errorf("the handoff is %+v", h)
	}
	w.owned("U0CHLOE", d1, t1)
	w.owned("U0BEN", d2)
	want := []string{"handoff.offered U0BEN", "handoff.declined U0CHLOE", "handoff.accepted U0CHLOE", "handoff.lapsed system"}
	if got := w.kinds(); !slices.Equal(got, want) {
		t.Errorf("the ledger has %v, want %v", got, want)
	}
	// What was declined is asked about again: its owner, who is here.
	lapses, err := w.s.Lapses(t.Context(), team)
	if err != nil || len(lapses) != 1 || !slices.Equal(lapses[0].Asked, []string{"U0BEN"}) || lapses[0].Items[0].Ref != d2 {
		t.Errorf("lapses: %+v, %v", lapses, err)
	}
}

func TestWhoMayHandOverWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.duty("U0BEN")
	for _, c := range []struct {
		name  string
		offer Offer
		want  string
	}{
		{"another member", Offer{From: "U0BEN", To: chloe, Asker: chloe}, "Only <@U0BEN>, my sponsor or an admin"},
		{"to a guest", Offer{From: "U0BEN", To: gil, Asker: ben}, "active full member"},
		{"to oneself", Offer{From: "U0BEN", To: ben, Asker: ben}, "owns it already"},
		{"to nobody", Offer{From: "U0BEN", Asker: ben}, "who is to take it"},
		{"what is not theirs", Offer{From: "U0CHLOE", To: ben, Asker: chloe}, "it is <@U0BEN>'s"},
		{"what they may not see", Offer{From: "U0BEN", To: chloe, Asker: ben, Hidden: map[Ref]string{d: "it is in a place that <@U0CHLOE> cannot see"}}, "cannot see"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.offer.Workspace, c.offer.Items = team, []Ref{d}
			_, _, err := w.s.Offer(t.Context(), c.offer)
			var no *RefusedError
			if !errors.As(err, &no) || !strings.Contains(no.Text, c.want) {
				t.Errorf("the offer gave %v, want %q", err, c.want)
			}
		})
	}
	h := w.offer(Offer{From: "U0BEN", To: chloe, Asker: ada, Items: []Ref{d}})
	if _, _, err := w.s.Offer(t.Context(), Offer{Workspace: team, From: "U0BEN", To: ada, Asker: ben, Items: []Ref{d}}); err == nil || !strings.Contains(err.Error(), "offered to <@U0CHLOE> already") {
		t.Errorf("a second offer of the same gave %v", err)
	}
	for name, a := range map[string]struct {
		who Person
		do  func(context.Context, Answer) (Handoff, error)
	}{
		"somebody else accepts":  {ada, w.s.Accept},
		"the old owner accepts":  {ben, w.s.Accept},
		"somebody else declines": {ada, w.s.Decline},
		"an operator accepts":    {Person{ID: "cli:root", Operator: true}, w.s.Accept},
		"a stranger withdraws":   {Person{ID: "U0XENA"}, w.s.Withdraw},
		"a guest by then":        {Person{ID: "U0CHLOE"}, w.s.Accept},
	} {
		var no *RefusedError
		if _, err := a.do(t.Context(), Answer{Workspace: team, ID: h.ID, Who: a.who}); !errors.As(err, &no) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.owned("U0BEN", d)
	if n := strings.Count(strings.Join(w.kinds(), "\n"), "handoff.refused"); n != 6 {
		t.Errorf("%d refusals are in the ledger, want 6", n)
	}
	if _, err := w.s.Accept(t.Context(), Answer{Workspace: "T0OTHER", ID: h.ID, Who: chloe}); !errors.Is(err, ErrNone) {
		t.Errorf("from another workspace: %v", err)
	}
}

func TestAcceptIsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var refs []Ref
	for i := range 12 {
		refs = append(refs, w.duty("U0BEN"))
		if i < 5 {
			refs = append(refs, w.thread(i, "U0BEN"))
		}
	}
	h := w.offer(Offer{From: "U0BEN", To: chloe, Asker: ben, Items: refs})
	before := len(w.kinds())
	w.fail = errors.New("the disk is full")
	if _, err := w.s.Accept(t.Context(), Answer{Workspace: team, ID: h.ID, Who: chloe}); !errors.Is(err, w.fail) {
		t.Fatalf("accepting gave %v", err)
	}
	w.owned("U0BEN", refs...)
	if got, err := w.s.Get(t.Context(), team, h.ID); err != nil || got.Count(StateOffered) != len(refs) || len(w.kinds()) != before {
		t.Errorf("something of it stayed: %+v, %v", got, w.kinds())
	}
	w.fail = nil
	if _, err := w.s.Accept(t.Context(), Answer{Workspace: team, ID: h.ID, Who: chloe}); err != nil {
		t.Fatal(err)
	}
	w.owned("U0CHLOE", refs...)
}

func TestTwoAnswersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.duty("U0BEN")
	h := w.offer(Offer{From: "U0BEN", To: chloe, Asker: ben, Items: []Ref{d}})
	var wait sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wait.Go(func() {
			if i%2 == 0 {
				_, errs[i] = w.s.Accept(context.Background(), Answer{Workspace: team, ID: h.ID, Who: chloe})
			} else {
				_, errs[i] = w.s.Withdraw(context.Background(), Answer{Workspace: team, ID: h.ID, Who: ben})
			}
		})
	}
	wait.Wait()
	counted := 0
	for _, err := range errs {
		var no *RefusedError
		if err == nil {
			counted++
		} else if !errors.As(err, &no) {
			t.Errorf("an answer failed with %v", err)
		}
	}
	if counted != 1 {
		t.Errorf("%d answers counted", counted)
	}
	got, err := w.s.Get(t.Context(), team, h.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.owned(map[string]string{StateAccepted: "U0CHLOE", StateWithdrawn: "U0BEN"}[got.State], d)
}

func TestWhatChangedMeanwhileIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone, other, kept := w.duty("U0BEN"), w.duty("U0BEN"), w.duty("U0BEN")
	h := w.offer(Offer{From: "U0BEN", To: chloe, Asker: ben, Items: []Ref{gone, other, kept}})
	if _, err := w.s.Duties.Delete(t.Context(), gone.ID, "U0BEN"); err != nil {
		t.Fatal(err)
	}
	w.exec(`UPDATE duties SET owner = 'U0ADA' WHERE id = $1`, other.ID)
	h, err := w.s.Accept(t.Context(), Answer{Workspace: team, ID: h.ID, Who: chloe})
	if err != nil {
		t.Fatal(err)
	}
	if h.Count(StateAccepted) != 1 || h.Count(StateGone) != 2 || h.State != StateAccepted {
		t.Errorf("the handoff is %+v", h)
	}
	w.owned("U0ADA", other)
	w.owned("U0CHLOE", kept)
	if _, err := w.s.Accept(t.Context(), Answer{Workspace: team, ID: h.ID, Who: chloe}); err == nil {
		t.Error("a handoff that is over was accepted again")
	}
}

func TestTheSameRequestOffersOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.duty("U0BEN")
	o := Offer{From: "U0BEN", To: chloe, Asker: ben, Items: []Ref{d}, Request: "message:C1:1"}
	if a, b := w.offer(o), w.offer(o); a.ID != b.ID {
		t.Errorf("one request made %s and %s", a.ID, b.ID)
	}
}

func TestAnOfferRemindsAndEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.duty("U0BEN")
	h := w.offer(Offer{From: "U0BEN", To: chloe, Asker: ben, Items: []Ref{d}})
	for _, step := range []struct {
		after time.Duration
		told  string
		again time.Duration // after the offer
	}{
		{0, "", 24 * time.Hour},
		{24 * time.Hour, h.ID + " reminder", 3 * 24 * time.Hour},
		{3 * 24 * time.Hour, h.ID + " reminder", OfferTime},
		{OfferTime, h.ID + " expired", 0},
	} {
		w.forward(start.Add(step.after).Sub(w.clock()))
		w.told = nil
		r := w.follow(h.ID)
		if got := strings.Join(w.told, ", "); step.told == "" && got != "" || !strings.Contains(got, step.told) {
			t.Errorf("after %v people were told %q, want %q", step.after, got, step.told)
		}
		want := time.Time{}
		if step.again != 0 {
			want = start.Add(step.again)
		}
		if !r.Again.Equal(want) {
			t.Errorf("after %v it looks again at %v, want %v", step.after, r.Again, want)
		}
	}
	got, err := w.s.Get(t.Context(), team, h.ID)
	if err != nil || got.State != StateExpired {
		t.Errorf("the handoff is %+v, %v", got, err)
	}
	w.owned("U0BEN", d)
}
