package bot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskmate/identity"
	"deskmate/internal/slacksim"
	"deskmate/migrations"
	"deskmate/scheduler/task"
)

// office is a rig with an outbox at work in it.
type office struct {
	*rig
	out    *Outbox
	failed chan string
}

func newOffice(t *testing.T, o OutboxOptions) *office {
	t.Helper()
	r := newRig(t, slacksim.Options{RateLimitsOff: true})
	f := &office{rig: r, failed: make(chan string, 16)}
	o.DB, o.API, o.People = r.db, r.api, NewDirectory(r.api, DirectoryOptions{})
	o.Gate = newGate(t, r, o.People)
	if o.Pace == nil {
		o.Pace = NewPace(time.Millisecond, time.Millisecond)
	}
	o.Failed = func(_ context.Context, p Post, reason string) { f.failed <- p.Key + ": " + reason }
	f.out = NewOutbox(o)
	return f
}

// run has the outbox's tasks worked until the test ends.
func (f *office) run() {
	f.t.Helper()
	runner := task.NewRunner(f.db, task.Options{Poll: 20 * time.Millisecond, Backoff: func(int64) time.Duration { return 10 * time.Millisecond }})
	runner.Handle(TaskOutbox, 4, f.out.Handle)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := runner.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			f.t.Error(err)
		}
	})
	f.t.Cleanup(func() { cancel(); run.Wait() })
}

func (f *office) queue(posts ...Post) {
	f.t.Helper()
	err := f.db.Write(context.Background(), func(tx *migrations.Tx) error {
		for _, p := range posts {
			if err := f.out.Queue(tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// post is a post of the agent's in #general for Ada.
func (f *office) post(key, text string) Post {
	return Post{
		Workspace: f.self.Workspace, Channel: "C0GENERAL", ChannelKind: ChannelPublic, Key: key, Text: text,
		Requester: "U0ADA", RequesterKind: KindMember,
	}
}

// empty waits until nothing is queued.
func (f *office) empty() {
	f.t.Helper()
	within(f.t, time.Minute, "an empty outbox", nil, func() bool { return f.count(`SELECT COUNT(*) FROM outbox WHERE state = 'queued'`) == 0 })
}

// own gives the texts of the agent's messages in a channel, or thread, oldest first.
func (f *office) own(channel, thread string) []string {
	f.t.Helper()
	var said []Said
	var err error
	if thread == "" {
		said, err = NewReader(f.api).Channel(context.Background(), f.self.Workspace, channel, 100)
	} else {
		said, err = NewReader(f.api).replies(context.Background(), channel, thread, "", 1000)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	texts := []string{}
	for _, s := range said {
		if s.User == f.self.User || s.BotID == f.self.Bot {
			texts = append(texts, s.Text)
		}
	}
	return texts
}

func sameTexts(t *testing.T, where string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("%s:\n got %q\nwant %q", where, got, want)
	}
}

func TestOutboxSendsInOrder(t *testing.T) {
	t.Parallel()
	f := newOffice(t, OutboxOptions{})
	root := f.says("U0ADA", "C0GENERAL", "hello")
	one, two := f.post("a", "**one** <!channel>"), f.post("b", "two")
	one.Thread, two.Thread = root, root
	three := f.post("c", "three")
	f.queue(one, two, three, one) // the same key again is nothing new
	f.run()
	f.empty()
	sameTexts(t, "the thread", f.own("C0GENERAL", root), "*one* &lt;!channel&gt;", "two")
	sameTexts(t, "the channel", f.own("C0GENERAL", ""), "three")
	// A reply to a message of the agent's own is for the agent.
	if n := f.count(`SELECT COUNT(*) FROM threads WHERE owner = 'U0ADA' AND thread_ts = (SELECT ts FROM outbox WHERE post_key = 'c')`); n != 1 {
		t.Error("the thread under the agent's own post is not noted")
	}
}

func TestOutboxSplitsLongText(t *testing.T) {
	t.Parallel()
	f := newOffice(t, OutboxOptions{})
	var text strings.Builder
	for i := range 120 {
		fmt.Fprintf(&text, "Paragraph %d has these words and some more of them, so that it is longer than a line.\n\n", i)
	}
	f.queue(f.post("a", text.String()))
	f.run()
	f.empty()
	got := f.own("C0GENERAL", "")
	if len(got) < 3 {
		t.Fatalf("got %d messages, want 3 at least", len(got))
	}
	for i, s := range got {
		if units(s) > partLimit {
			t.Errorf("message %d has %d units, want %d at most", i, units(s), partLimit)
		}
	}
	if joined := strings.Join(got, "\n\n"); joined != strings.TrimSpace(text.String()) {
		t.Error("the messages together are not the text")
	}
}

// Each fault leaves exactly one message behind.
func TestOutboxPostsOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{
		"after an answer that was lost": `{"kind":"reset_after","method":"chat.postMessage","times":2}`,
		"after an inner error":          `{"kind":"500","method":"chat.postMessage","times":2}`,
		"after a rate limit":            `{"kind":"429","method":"chat.postMessage","times":1,"retry_after":1}`,
		"when looking fails too":        `{"kind":"500","times":3}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newOffice(t, OutboxOptions{})
			f.emulator("faults", fault)
			f.queue(f.post("a", "one"), f.post("b", "two"))
			f.run()
			f.empty()
			sameTexts(t, "the channel", f.own("C0GENERAL", ""), "one", "two")
		})
	}
}

// Under all faults at once every post appears once, in its channel's order.
func TestOutboxUnderManyFaults(t *testing.T) {
	t.Parallel()
	f := newOffice(t, OutboxOptions{})
	for i, fault := range []string{"reset_after", "500", "refuse"} {
		f.emulator("faults", fmt.Sprintf(`{"kind":%q,"method":"c*","probability":0.15,"seed":%d}`, fault, i))
	}
	want := map[string][]string{}
	for i := range 40 {
		p := f.post(fmt.Sprint("post:", i), fmt.Sprint("text ", i))
		if i%2 == 0 {
			p.Channel = "C0ENG"
		}
		want[p.Channel] = append(want[p.Channel], p.Text)
		f.queue(p)
	}
	f.run()
	within(t, 60*time.Second, "an empty outbox", nil, func() bool { return f.count(`SELECT COUNT(*) FROM outbox WHERE state = 'queued'`) == 0 })
	req, err := http.NewRequest("DELETE", f.url+"/emulator/faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for channel, texts := range want {
		sameTexts(t, channel, f.own(channel, ""), texts...)
	}
}

// Where the app may not look whether a post went out, it is not posted again.
func TestOutboxGivesUpWhatItCannotLookFor(t *testing.T) {
	t.Parallel()
	f := newOffice(t, OutboxOptions{})
	f.emulator("faults", `{"kind":"reset_after","method":"chat.postMessage","times":1}`)
	f.emulator("faults", `{"kind":"refuse","method":"conversations.history","error":"missing_scope","times":1}`)
	f.queue(f.post("a", "one"), f.post("b", "two"))
	f.run()
	f.empty()
	if got := <-f.failed; !strings.HasPrefix(got, "a: ") {
		t.Errorf("failed: got %q, want post a", got)
	}
	sameTexts(t, "the channel", f.own("C0GENERAL", ""), "one", "two")
}

func TestOutboxFindsAnotherPlace(t *testing.T) {
	t.Parallel()
	t.Run("the channel for a thread that is gone", func(t *testing.T) {
		t.Parallel()
		f := newOffice(t, OutboxOptions{})
		p := f.post("a", "answer")
		p.Thread = "1600000000.000100"
		f.emulator("faults", `{"kind":"refuse","method":"chat.postMessage","times":1,"error":"thread_not_found"}`)
		f.queue(p, f.post("b", "next"))
		f.run()
		f.empty()
		sameTexts(t, "the channel", f.own("C0GENERAL", ""), "next", "(The thread that this belongs to is gone.)\nanswer")
	})
	t.Run("the requester for a channel that is closed", func(t *testing.T) {
		t.Parallel()
		f := newOffice(t, OutboxOptions{})
		f.emulator("channel", `{"channel":"C0GENERAL","is_archived":true}`)
		f.queue(f.post("a", "answer"))
		f.run()
		f.empty()
		dm, err := NewDirectory(f.api, DirectoryOptions{}).Direct(t.Context(), f.self.Workspace, "U0ADA")
		if err != nil {
			t.Fatal(err)
		}
		sameTexts(t, "Ada's direct messages", f.own(dm, ""), "(I may not write in <#C0GENERAL>, so here is what I owed you there.)\nanswer")
	})
	t.Run("nobody is left but the hook", func(t *testing.T) {
		t.Parallel()
		f := newOffice(t, OutboxOptions{})
		p := f.post("a", "answer")
		p.Channel, p.Requester = "C0NOWHERE", ""
		f.queue(p)
		f.run()
		f.empty()
		if got := <-f.failed; !strings.HasPrefix(got, "a: ") || !strings.Contains(got, "I am not in") {
			t.Errorf("got %q, want the post and the reason", got)
		}
	})
}

func TestOutboxCancelsATurn(t *testing.T) {
	t.Parallel()
	f := newOffice(t, OutboxOptions{})
	p := f.post("a", "never")
	p.Turn = "t1"
	f.queue(p, f.post("b", "still"))
	if err := f.db.Write(t.Context(), func(tx *migrations.Tx) error { return f.out.CancelTurn(tx, "t1") }); err != nil {
		t.Fatal(err)
	}
	f.run()
	f.empty()
	sameTexts(t, "the channel", f.own("C0GENERAL", ""), "still")
}

func TestSendIsDoneOnce(t *testing.T) {
	t.Parallel()
	f := newOffice(t, OutboxOptions{})
	p := f.post("tool:1", "hello")
	ts, err := f.out.Send(t.Context(), p)
	if err != nil || ts == "" {
		t.Fatalf("got %q, %v; want a ts", ts, err)
	}
	if again, err := f.out.Send(t.Context(), p); again != ts || err != nil {
		t.Errorf("the same key again: got %q, %v; want %q", again, err, ts)
	}
	edit := f.post("tool:2", "goodbye")
	edit.Update = ts
	if err := f.out.Update(t.Context(), edit); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"tool:3", "tool:4"} { // there already is as good
		react := f.post(key, "tada")
		react.Update = ts
		if err := f.out.React(t.Context(), react); err != nil {
			t.Error(err)
		}
	}
	sameTexts(t, "the channel", f.own("C0GENERAL", ""), "goodbye")
	bad := f.post("tool:5", "x")
	bad.Channel = "C0NOWHERE"
	var denied *identity.DeniedError
	if _, err := f.out.Send(t.Context(), bad); !errors.As(err, &denied) {
		t.Errorf("a post to nowhere: got %v, want a denial", err)
	}
	edit = f.post("tool:6", "not mine")
	edit.Update = f.says("U0ADA", "C0GENERAL", "mine")
	var refused *SlackError
	if err := f.out.Update(t.Context(), edit); !errors.As(err, &refused) || refused.Code != "cant_update_message" {
		t.Errorf("an edit of somebody else's message: got %v, want Slack's refusal", err)
	}
}

func TestStatusIsQuietWhereThereIsNone(t *testing.T) {
	t.Parallel()
	f := newOffice(t, OutboxOptions{})
	root := f.says("U0ADA", "C0GENERAL", "hello")
	f.emulator("faults", `{"kind":"refuse","method":"assistant.threads.setStatus","error":"unknown_method"}`)
	for i := range 3 {
		p := f.post(fmt.Sprint("status:", i), "is working on it…")
		p.Thread = root
		if err := f.out.Status(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	if n := f.count(`SELECT COUNT(*) FROM actions WHERE tool = 'status' OR key LIKE 'status:%'`); n != 1 {
		t.Errorf("%d attempts, want one: then it is known", n)
	}
}

func TestRevokedTokenKeepsWhatIsOwed(t *testing.T) {
	t.Parallel()
	f := newOffice(t, OutboxOptions{})
	f.emulator("tokens", `{"action":"revoke"}`)
	f.queue(f.post("a", "answer"))
	f.run()
	var dead *TokenError
	within(t, time.Minute, "a refused token", nil, func() bool { return errors.As(f.out.Dead(), &dead) })
	if n := f.count(`SELECT COUNT(*) FROM outbox WHERE state = 'queued'`); n != 1 {
		t.Errorf("%d posts are still owed, want 1", n)
	}
}

// A process that dies after Slack has the message finds it there.
func TestOutboxLooksAfterACrash(t *testing.T) {
	t.Parallel()
	crash := true
	f := newOffice(t, OutboxOptions{})
	f.out.o.Crash = func(point string) {
		if point == "outbox:sent" && crash {
			crash = false
			panic("crash") // as sudden as a process can end and be watched
		}
	}
	f.queue(f.post("a", "one"))
	f.run()
	f.empty()
	sameTexts(t, "the channel", f.own("C0GENERAL", ""), "one")
}

// A mention that must notify nobody is read as a name, where there is one.
func TestOutboxNamesWhomItDoesNotMention(t *testing.T) {
	t.Parallel()
	f := newOffice(t, OutboxOptions{})
	if err := f.db.Write(t.Context(), func(tx *migrations.Tx) error {
		_, err := tx.Exec(`INSERT INTO people (workspace, id, name, real_name, tz, kind, is_admin, is_deleted, fetched_at) VALUES ($1, 'U0BEN', 'ben <!here>', '', '', 'member', 0, 0, 0), ($1, 'U0ADA', 'ada', '', '', 'member', 0, 0, 0)`, f.self.Workspace)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p := f.post("a", "<@U0BEN>, <@U0ADA> and <@U0CHLOE>")
	p.Requester = "U0ADA"
	f.queue(p)
	f.run()
	f.empty()
	sameTexts(t, "the channel", f.own("C0GENERAL", ""), "@ben !here, <@U0ADA> and &lt;@U0CHLOE&gt;")
}
