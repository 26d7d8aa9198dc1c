package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/identity/policy"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

const day = 24 * time.Hour

// reviewed is a world with grants, whose reviews are followed one look at a time.
type reviewed struct {
	*watched
	engine *policy.Engine
	shown  []string // "grant state", in order
	more   int
}

func newReviewed(t testing.TB) *reviewed {
	t.Helper()
	r := &reviewed{watched: newWatched(t, "U0ADA,U0BEN")}
	r.roll0("U0DAN", Standing{Kind: "member", Active: true, Admin: true})
	r.engine = policy.New(r.db, r.ledger)
	if err := r.engine.Ensure(context.Background(), ws, []policy.BuiltinTool{{Name: "post", Connection: "slack", Class: "write"}, {Name: "react", Connection: "slack", Class: "write"}}); err != nil {
		t.Fatal(err)
	}
	return r
}

// reviews is as after a start: everything it knows is in the store.
func (r *reviewed) reviews() *Reviews {
	return &Reviews{DB: r.db, Ledger: r.ledger, Grants: r.engine, Rules: DefaultReviewRules(), Roll: r.asking, Notice: r.notice,
		Show: func(tx *migrations.Tx, _ Review, i ReviewItem) error {
			tx.AfterCommit(func() { r.shown = append(r.shown, i.Grant.ID+" "+i.State) })
			return nil
		},
		More: func(tx *migrations.Tx, _ Review, n int) error {
			tx.AfterCommit(func() { r.more += n })
			return nil
		},
	}
}

func (r *reviewed) look() time.Duration {
	r.t.Helper()
	out, err := work(r.t, r.db, TaskReview, reviewKey(ws), r.reviews().Handle)
	if err != nil {
		r.t.Fatal(err)
	}
	if out.Again.IsZero() {
		return 0
	}
	return out.Again.Sub(r.clock()).Round(time.Minute)
}

func (r *reviewed) grant(effect string, tools ...string) string {
	r.t.Helper()
	g, err := r.engine.Grant(context.Background(), "U0ADA", policy.Grant{Workspace: ws, Effect: effect, Tools: tools, Scope: "workspace", Justification: "a test"})
	if err != nil {
		r.t.Fatal(err)
	}
	return g.ID
}

// used has the action be decided and booked by the grants.
func (r *reviewed) used(tool string) {
	r.t.Helper()
	req := policy.Request{Workspace: ws, Agent: "U0AGENT", Tool: tool, Connection: "slack", Class: "write", Requester: "U0BEN", RequesterKind: "member",
		Channel: "C0IN", ChannelKind: "public", Target: "C0IN", TargetKind: "public", TargetMember: true, At: r.clock()}
	d := r.engine.Decide(context.Background(), req)
	if d.Verdict == policy.Deny {
		r.t.Fatalf("%s is denied: %v", tool, d.Reasons)
	}
	if err := r.db.Write(context.Background(), func(tx *migrations.Tx) error { return r.engine.Book(tx, req, d) }); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reviewed) get() Review {
	r.t.Helper()
	v, err := r.reviews().Get(context.Background(), ws, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// items are the grants of the newest review with their states.
func (r *reviewed) items() string {
	r.t.Helper()
	var all []string
	for _, i := range r.get().Items {
		all = append(all, strings.TrimPrefix(i.Grant.ID, "builtin-")+" "+i.State)
	}
	return strings.Join(all, ", ")
}

func (r *reviewed) standing(id string) bool {
	r.t.Helper()
	g, err := r.engine.Get(context.Background(), ws, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return g.RevokedAt.IsZero()
}

func (r *reviewed) answer(person, grant, verdict string) error {
	_, err := r.reviews().Answer(context.Background(), ReviewAnswer{Workspace: ws, Grant: grant, Person: person, Verdict: verdict, Via: "test"})
	return err
}

func TestAReviewStartsEveryQuarterAndEndsBySilence(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	if again := r.look(); again != 90*day {
		t.Errorf("the first review in %s, want in 90 days", again)
	}
	r.pass(80 * day)
	r.used("react")
	never := r.grant(policy.Deny, "post") // denials are not for silence to lift
	r.pass(10*day - time.Minute)
	if again := r.look(); again != time.Minute || r.entries("review.started") != 0 {
		t.Errorf("a review began too early; again in %s", again)
	}
	r.pass(time.Minute)
	if again := r.look(); again != 11*day {
		t.Errorf("looks again in %s, want for the reminder after 11 days", again)
	}
	if got, want := r.items(), "post proposed, react standing, "+never+" standing"; got != want {
		t.Fatalf("items: %s; want %s", got, want)
	}
	if got := r.get().Items[0]; !slices.Equal(got.Loss, []string{"post"}) {
		t.Errorf("without builtin-post stops %q, want post", got.Loss)
	}
	r.look() // a restart in between: nothing is shown twice
	if want := []string{"builtin-post proposed"}; !slices.Equal(r.shown, want) {
		t.Errorf("shown %q, want %q", r.shown, want)
	}
	r.pass(11 * day)
	r.look()
	r.look()
	if len(r.notices) != 1 || !strings.Contains(r.notices[0], "still waits for 1 answer") {
		t.Errorf("told %q, want one reminder", r.notices)
	}
	r.pass(3*day - time.Second)
	if r.look(); !r.standing("builtin-post") {
		t.Error("it was removed before its time")
	}
	r.pass(time.Second)
	again := r.look()
	if r.standing("builtin-post") || !r.standing("builtin-react") || !r.standing(never) {
		t.Error("silence did not remove exactly what was proposed")
	}
	if g, _ := r.engine.Get(context.Background(), ws, "builtin-post"); g.RevokedBy != "system" || g.RevokedWhy != "review not answered" {
		t.Errorf("revoked by %s: %s", g.RevokedBy, g.RevokedWhy)
	}
	if again != 76*day {
		t.Errorf("the next review in %s, want 90 days after this one began", again)
	}
	if len(r.notices) != 2 || !strings.Contains(r.notices[1], "0 kept, 0 removed, 1 removed because nobody answered") {
		t.Errorf("told %q, want a summary", r.notices)
	}
	if want := []string{"builtin-post proposed", "builtin-post expired"}; !slices.Equal(r.shown, want) {
		t.Errorf("shown %q, want %q", r.shown, want)
	}
	for kind, want := range map[string]int{"review.started": 1, "review.expired": 1, "review.ended": 1, "grant.revoked": 1} {
		if got := r.entries(kind); got != want {
			t.Errorf("%d entries %s, want %d", got, kind, want)
		}
	}
	// What the installation granted and a review took stays taken.
	if err := r.engine.Ensure(context.Background(), ws, []policy.BuiltinTool{{Name: "post", Connection: "slack", Class: "write"}}); err != nil || r.standing("builtin-post") {
		t.Errorf("a start gave it back: %v", err)
	}
	r.verified()
}

func TestOnlySponsorsAndAdminsAnswerAReview(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	r.pass(40 * day)
	if _, err := r.reviews().Start(context.Background(), ws, "U0AGENT"); err == nil {
		t.Error("the agent started a review of itself")
	}
	v, err := r.reviews().Start(context.Background(), ws, "cli:op")
	if err != nil || v.Count(ItemProposed) != 2 {
		t.Fatalf("Start = %+v, %v", v, err)
	}
	if _, err := r.reviews().Start(context.Background(), ws, "cli:op"); !errors.Is(err, ErrReviewOpen) {
		t.Errorf("a second review at once: %v", err)
	}
	r.roll0("U0OLD", Standing{Kind: "member", Admin: true})                // an admin who was deactivated
	r.roll0("U0GUEST", Standing{Kind: "guest", Active: true, Admin: true}) // Slack has no such thing
	r.roll0("U0AGENT", Standing{Kind: "member", Active: true, Admin: true})
	for person, reason := range map[string]string{"U0EVE": RefusedApprover, "U0OLD": RefusedApprover, "U0GUEST": RefusedApprover, "U0NOBODY": RefusedApprover, "U0AGENT": RefusedAgent} {
		var refused *RefusedError
		if err := r.answer(person, "builtin-post", VerdictRemove); !errors.As(err, &refused) || refused.Reason != reason {
			t.Errorf("an answer by %s: %v; want it refused as %s", person, err, reason)
		}
	}
	if !r.standing("builtin-post") || r.entries("review.refused") != 5 {
		t.Errorf("%d refusals in the ledger, want 5", r.entries("review.refused"))
	}
	for _, wrong := range []ReviewAnswer{{Grant: "g_none", Verdict: VerdictKeep}, {Grant: "builtin-post", Review: "rv_none", Verdict: VerdictKeep}} {
		wrong.Workspace, wrong.Person = ws, "U0ADA"
		if _, err := r.reviews().Answer(context.Background(), wrong); !errors.Is(err, ErrNoReview) {
			t.Errorf("Answer(%+v) = %v, want ErrNoReview", wrong, err)
		}
	}
	if err := r.answer("U0ADA", "builtin-post", "perhaps"); err == nil {
		t.Error("perhaps was taken for an answer")
	}

	// A sponsor who lost that role between the card and the press is none.
	r.name("U0BEN")
	var refused *RefusedError
	if err := r.answer("U0ADA", "builtin-post", VerdictKeep); !errors.As(err, &refused) {
		t.Errorf("a former sponsor's answer: %v", err)
	}
	if err := r.answer("U0BEN", "builtin-post", VerdictKeep); err != nil {
		t.Fatal(err)
	}
	if err := r.answer("U0BEN", "builtin-post", VerdictKeep); err != nil {
		t.Errorf("the same press again: %v", err)
	}
	if err := r.answer("U0DAN", "builtin-post", VerdictRemove); !errors.As(err, &refused) || !strings.Contains(refused.Text, "kept by <@U0BEN>") {
		t.Errorf("an admin's late answer: %v", err)
	}
	if err := r.answer("cli:op", "builtin-react", VerdictRemove); err != nil || r.standing("builtin-react") {
		t.Errorf("the operator's answer: %v", err)
	}
	if got := r.items(); got != "post kept, react removed" || r.get().State != ReviewDone {
		t.Errorf("items: %s, the review is %s", got, r.get().State)
	}
	if err := r.answer("U0BEN", "builtin-post", VerdictRemove); !errors.Is(err, ErrNoReview) {
		t.Errorf("an answer to no open review: %v", err)
	}
	if r.entries("review.kept") != 1 || r.entries("review.removed") != 1 || r.entries("review.ended") != 1 {
		t.Error("the ledger does not have each answer once")
	}
	r.look()
	if len(r.notices) != 1 || !strings.Contains(r.notices[0], "1 kept, 1 removed") {
		t.Errorf("told %q, want a summary", r.notices)
	}
	r.verified()
}

func TestTwoAnswersAtOnceAreOne(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	r.pass(40 * day)
	if _, err := r.reviews().Start(context.Background(), ws, "cli:op"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			errs[i] = r.answer([]string{"U0ADA", "U0BEN", "U0DAN"}[i%3], "builtin-post", []string{VerdictKeep, VerdictRemove}[i%2])
		})
	}
	wg.Wait()
	counted := 0
	for _, err := range errs {
		var refused *RefusedError
		switch {
		case err == nil:
			counted++
		case !errors.As(err, &refused) || refused.Reason != RefusedOver:
			t.Errorf("an answer failed with %v", err)
		}
	}
	if n := r.entries("review.kept") + r.entries("review.removed"); n != 1 || counted != 1 {
		t.Errorf("%d answers counted and %d are in the ledger, want one", counted, n)
	}
	if kept := r.entries("review.kept") == 1; kept != r.standing("builtin-post") {
		t.Error("the grant is not what the answer says")
	}
	r.verified()
}

func TestGrantsThatEndOtherwiseNeedNoAnswer(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	short, err := r.engine.Grant(context.Background(), "U0ADA", policy.Grant{Workspace: ws, Effect: policy.Allow, Tools: []string{"react"}, Scope: "workspace",
		ExpiresAt: r.clock().Add(45 * day), Justification: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	r.pass(40 * day)
	if _, err := r.reviews().Start(context.Background(), ws, "cli:op"); err != nil {
		t.Fatal(err)
	}
	for _, i := range r.get().Items {
		if len(i.Loss) != 0 && i.Grant.ID != "builtin-post" {
			t.Errorf("%s: %q would stop, but another grant covers it", i.Grant.ID, i.Loss)
		}
	}
	r.look()
	if _, err := r.engine.Revoke(context.Background(), ws, "builtin-post", "U0ADA", "by hand"); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if err := r.answer("U0ADA", "builtin-post", VerdictKeep); !errors.As(err, &refused) || !strings.Contains(refused.Text, "ended already") {
		t.Errorf("an answer on a revoked grant: %v", err)
	}
	r.pass(6 * day)
	r.look()
	if got, want := r.items(), "post gone, react proposed, "+short.ID+" gone"; got != want {
		t.Errorf("items: %s; want %s", got, want)
	}
	if err := r.answer("U0ADA", "builtin-react", VerdictKeep); err != nil {
		t.Fatal(err)
	}
	r.look()
	if len(r.notices) != 1 || !strings.Contains(r.notices[0], "2 ended otherwise") {
		t.Errorf("told %q", r.notices)
	}
}

func TestAReviewWithNothingToRemoveIsOverAtOnce(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	v, err := r.reviews().Start(context.Background(), ws, "cli:op")
	if err != nil || v.State != ReviewDone || len(v.Items) != 2 {
		t.Fatalf("Start = %+v, %v", v, err)
	}
	r.look()
	if len(r.notices) != 1 || !strings.Contains(r.notices[0], "nothing was proposed") || len(r.shown) != 0 {
		t.Errorf("told %q, shown %q", r.notices, r.shown)
	}
	never := r.reviews()
	never.Rules.Every = 0
	r.pass(1000 * day)
	out, err := work(t, r.db, TaskReview, reviewKey(ws), never.Handle)
	if err != nil || !out.Again.IsZero() || r.entries("review.started") != 1 {
		t.Errorf("with reviews on demand only: again at %v, %d started, %v", out.Again, r.entries("review.started"), err)
	}
}

func TestManyProposalsHaveSomeCardsAndAPointer(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	for i := range 30 {
		r.grant(policy.Allow, fmt.Sprintf("github.tool_%d", i))
	}
	r.pass(40 * day)
	if _, err := r.reviews().Start(context.Background(), ws, "cli:op"); err != nil {
		t.Fatal(err)
	}
	r.look()
	r.look()
	if len(r.shown) != 20 || r.more != 12 {
		t.Errorf("%d cards and %d more, want 20 and 12", len(r.shown), r.more)
	}
	r.pass(14 * day)
	r.look()
	if v := r.get(); v.Count(ItemExpired) != 32 || v.State != ReviewDone {
		t.Errorf("%d expired, the review is %s; want all 32, with and without card", v.Count(ItemExpired), v.State)
	}
}

// A worker that was overtaken changes nothing.
func TestAReviewIsFollowedByOneWorker(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	r.pass(100 * day)
	_, err := r.reviews().Handle(context.Background(), &task.Lease{Workspace: ws, Kind: TaskReview, Key: reviewKey(ws), Fence: 7})
	if !errors.Is(err, task.ErrFenced) || r.entries("review.started") != 0 {
		t.Errorf("Handle without the lease = %v, %d reviews", err, r.entries("review.started"))
	}
}

// Silence is an answer only of people who were asked: a review that began while
// no server ran leaves its whole time from when it was shown.
func TestTimeForAnswersRunsFromWhenPeopleWereAsked(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	r.pass(40 * day)
	if _, err := r.reviews().Start(context.Background(), ws, "cli:op"); err != nil {
		t.Fatal(err)
	}
	r.pass(20 * day)
	if again := r.look(); again != 11*day || !r.standing("builtin-post") || len(r.shown) != 2 {
		t.Errorf("looks again in %s with %q shown; the grant stands: %t; want cards, and the reminder in 11 days", again, r.shown, r.standing("builtin-post"))
	}
	if v := r.get(); v.State != ReviewOpen || v.DueAt.Sub(r.clock()).Round(time.Minute) != 14*day {
		t.Errorf("the review is %s until %s", v.State, v.DueAt)
	}
	if r.entries("review.asked") != 1 {
		t.Errorf("%d entries review.asked, want 1", r.entries("review.asked"))
	}
	r.pass(13 * day)
	r.look() // once asked, nothing moves the end
	r.pass(day)
	r.look()
	if r.standing("builtin-post") || r.get().State != ReviewDone || r.entries("review.asked") != 1 {
		t.Error("silence after the cards was no answer")
	}
	r.verified()
}
