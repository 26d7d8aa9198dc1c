package task

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/migrations"
)

// due wakes n keys of a workspace, a second apart, named after it.
func due(t testing.TB, db *migrations.DB, c *clock, workspace string, n int) {
	t.Helper()
	write(t, db, func(tx *migrations.Tx) error {
		for i := range n {
			if err := Wake(tx, Waking{workspace, "k", fmt.Sprintf("%s-%05d", workspace, i), c.Now().Add(time.Duration(i) * time.Second)}); err != nil {
				return err
			}
		}
		return nil
	})
	c.Advance(time.Duration(n) * time.Second)
}

func keys(leases []*Lease) (all []string) {
	for _, l := range leases {
		all = append(all, l.Key)
	}
	return all
}

func TestClaimsComeInOrderOfDueTime(t *testing.T) {
	t.Parallel()
	c := newClock()
	db := open(t, c.Now)
	o := start(t, db, "me")
	due(t, db, c, "T1", 6)
	for i, want := range []string{"T1-00000 T1-00001", "T1-00002 T1-00003", "T1-00004 T1-00005", ""} {
		if got := strings.Join(keys(mustClaim(t, db, o, "k", 2)), " "); got != want {
			t.Errorf("claim %d: got %q, want %q", i, got, want)
		}
	}
}

func TestClaimsAreFairBetweenWorkspaces(t *testing.T) {
	t.Parallel()
	c := newClock()
	db := open(t, c.Now)
	o := start(t, db, "me")
	due(t, db, c, "T1", 20)
	due(t, db, c, "T2", 2)
	due(t, db, c, "T3", 1)
	got := keys(mustClaim(t, db, o, "k", 4))
	slices.Sort(got)
	if want := "T1-00000 T1-00001 T2-00000 T3-00000"; strings.Join(got, " ") != want {
		t.Errorf("first four: got %v, want one of each workspace and the oldest of the next round: %s", got, want)
	}
	// T1 has two at work and waits longest, T2 has one: it is T2's turn.
	if got := keys(mustClaim(t, db, o, "k", 1)); len(got) != 1 || got[0] != "T2-00001" {
		t.Errorf("fifth: got %v, want T2-00001", got)
	}
	if got := keys(mustClaim(t, db, o, "k", 1)); len(got) != 1 || got[0] != "T1-00002" {
		t.Errorf("sixth: got %v, want T1-00002", got)
	}
}

func TestOtherKindsAreNotClaimed(t *testing.T) {
	t.Parallel()
	c := newClock()
	db := open(t, c.Now)
	o := start(t, db, "me")
	wake(t, db, Waking{Workspace: "T1", Kind: "other", Key: "a"})
	if got := mustClaim(t, db, o, "k", 9); len(got) != 0 {
		t.Errorf("got %v, want nothing", keys(got))
	}
}

func TestAWakeNeedsAKindAndAKey(t *testing.T) {
	t.Parallel()
	db := open(t, newClock().Now)
	for _, w := range []Waking{{"T1", "", "a", time.Time{}}, {"T1", "k", "", time.Time{}}} {
		if err := db.Write(context.Background(), func(tx *migrations.Tx) error { return Wake(tx, w) }); err == nil {
			t.Errorf("wake %+v: got no error", w)
		}
	}
}

func TestTheNextDueTimeIsFound(t *testing.T) {
	t.Parallel()
	c := newClock()
	db := open(t, c.Now)
	check := func(wantDue string, wantNext time.Time) {
		t.Helper()
		spaces, next, err := survey(context.Background(), db, "k")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range spaces {
			got = append(got, s.workspace)
		}
		if strings.Join(got, " ") != wantDue || !next.Equal(wantNext) {
			t.Errorf("due: got %q and then %v, want %q and then %v", got, next, wantDue, wantNext)
		}
	}
	check("", time.Time{})
	for i, w := range []string{"T2", "", "T3"} {
		wake(t, db, Waking{w, "k", "key" + w, c.Now().Add(time.Duration(3-i) * time.Hour)})
	}
	wake(t, db, Waking{"T0", "other", "o", c.Now()})
	check("", c.Now().Add(time.Hour))
	c.Advance(time.Hour)
	check("T3", c.Now().Add(time.Hour))
	mustClaim(t, db, start(t, db, "me"), "k", 1)
	check("", c.Now().Add(time.Hour)) // what is being worked does not count
	c.Advance(2 * time.Hour)
	check(" T2", time.Time{}) // the workspace with no name, due first
}

func TestListsOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := newClock()
	db := open(t, c.Now)
	o := start(t, db, "me")
	due(t, db, c, "T1", 3)
	l := mustClaim(t, db, o, "k", 1)[0]
	long := errFailed.Error() + strings.Repeat("ü", 1000)
	if err := finish(ctx, db, l, ending{failed: fmt.Errorf("%s", long), again: c.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	failing, err := Failing(ctx, db, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(failing) != 1 || failing[0].Key != "T1-00000" || failing[0].Attempts != 1 || !failing[0].Due.Equal(c.Now().Add(time.Hour)) {
		t.Errorf("failing: got %+v, want T1-00000 with one attempt, due in an hour", failing)
	}
	if got := failing[0].LastError; !strings.HasPrefix(got, errFailed.Error()) || len(got) > 510 {
		t.Errorf("last error: got %d bytes %q, want the beginning of the error", len(got), got)
	}
	overdue, err := Overdue(ctx, db, c.Now(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(overdue) != 1 || overdue[0].Key != "T1-00001" || overdue[0].Running {
		t.Errorf("overdue: got %+v, want T1-00001", overdue)
	}
}

// However many keys wait, a claim reads only what it can take.
func TestAClaimUsesTheIndex(t *testing.T) {
	t.Parallel()
	db := open(t, newClock().Now)
	rows, err := db.Query(context.Background(), "EXPLAIN QUERY PLAN "+claimSQL, "me", 1, 1, "k", "T1", 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"SCAN", "TEMP B-TREE"} {
		if strings.Contains(strings.Join(plan, "\n"), bad) {
			t.Errorf("the plan of a claim has a %s:\n%s", bad, strings.Join(plan, "\n"))
		}
	}
}
