package bot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deskmate/migrations"
	"deskmate/migrations/migrated"
)

func openStore(t testing.TB) *migrations.DB {
	t.Helper()
	db, err := migrations.Open(context.Background(), migrated.At(t, filepath.Join(t.TempDir(), "deskmate.db")), migrations.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// said is a message of Ada's in #general; ts counts hundredths of a second.
func said(n int, text string) Event {
	ts := fmt.Sprintf("1700000000.%06d", n*10000)
	return Event{
		Workspace: "T1", Key: MessageKey("C1", ts), Kind: KindMessage, Channel: "C1", ChannelKind: ChannelPublic, Thread: ts, TS: ts,
		User: "U0ADA", UserTeam: "T1", Text: text, Mention: mentions(text, "U0BOT"), At: tsTime(ts),
	}
}

func reply(n int, to Event, text string) Event {
	e := said(n, text)
	e.Thread = to.Thread
	if isStop(text, "U0BOT") {
		e.Kind = KindStop
	}
	return e
}

func edited(n int, of Event, text string) Event {
	e := of
	ts := fmt.Sprintf("1700000000.%06d", n*10000)
	e.Kind, e.Key, e.Text, e.Mention, e.At = KindEdit, "edit:"+of.Channel+":"+of.TS+":"+ts, text, mentions(text, "U0BOT"), tsTime(ts)
	return e
}

func deleted(n int, of Event) Event {
	e := of
	e.Kind, e.Key, e.Text, e.Mention = KindDelete, "delete:"+of.Channel+":"+of.TS, "", false
	e.At = of.At.Add(time.Duration(n) * time.Millisecond)
	return e
}

func accept(t *testing.T, b *Inbox, events ...Event) (stored int) {
	t.Helper()
	for _, e := range events {
		ok, err := b.Accept(context.Background(), e)
		if err != nil {
			t.Fatalf("accept %s: %v", e.Key, err)
		}
		if ok {
			stored++
		}
	}
	return stored
}

// waiting gives kind and text of what a thread's next turn would see.
func waiting(t *testing.T, b *Inbox, e Event) []string {
	t.Helper()
	rows, err := b.Pending(context.Background(), e.threadKey())
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, r := range rows {
		got = append(got, r.Event.Kind+" "+r.Event.Text)
	}
	return got
}

// begin has a turn take all that waits in the thread of e, caused by the first.
func begin(t *testing.T, db *migrations.DB, b *Inbox, turn string, e Event) {
	t.Helper()
	rows, err := b.Pending(context.Background(), e.threadKey())
	if err != nil || len(rows) == 0 {
		t.Fatalf("nothing to begin with: %v", err)
	}
	err = db.Write(context.Background(), func(tx *migrations.Tx) error {
		var ids []int64
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		_, err := tx.Exec(`INSERT INTO turns (id, workspace, thread_key, channel, thread_ts, requester, cause_kind, cause, state, started_at)
			VALUES ($1, 'T1', $2, 'C1', $3, 'U0ADA', 'message', $4, 'running', 1)`, turn, e.threadKey(), e.Thread, rows[0].Event.Key)
		if err != nil {
			return err
		}
		return b.Take(tx, ids, turn)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func end(t *testing.T, db *migrations.DB, b *Inbox, turn string) {
	t.Helper()
	if err := db.Write(context.Background(), func(tx *migrations.Tx) error { return b.Done(tx, turn) }); err != nil {
		t.Fatal(err)
	}
}

func wakes(t *testing.T, db *migrations.DB, e Event) (wanted, signal int) {
	t.Helper()
	err := db.QueryRow(context.Background(), `SELECT COALESCE(SUM(wanted), 0), COALESCE(SUM(stop), 0) FROM tasks WHERE key = $1`, e.threadKey()).Scan(&wanted, &signal)
	if err != nil {
		t.Fatal(err)
	}
	return wanted, signal
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("waiting:\n got %q\nwant %q", got, want)
	}
}

func TestInboxStoresWhatIsForTheAgent(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	b := NewInbox(db, InboxOptions{})
	ask := said(1, "<@U0BOT> hello")
	if n := accept(t, b, said(0, "hello all"), reply(2, said(0, ""), "not our thread")); n != 0 {
		t.Errorf("stored %d events that are not for the agent, want 0", n)
	}
	if n := accept(t, b, ask, ask, reply(2, ask, "and more")); n != 2 {
		t.Errorf("stored %d, want the mention once and the reply", n)
	}
	want(t, waiting(t, b, ask), "message <@U0BOT> hello", "message and more")
	if n, _ := wakes(t, db, ask); n != 2 {
		t.Errorf("the thread was woken %d times, want 2", n)
	}
	direct := said(3, "hi")
	direct.Channel, direct.Thread, direct.Direct = "D1", "", true
	if n := accept(t, b, direct); n != 1 {
		t.Error("a direct message was not stored")
	}
	var owner string
	if err := db.QueryRow(context.Background(), `SELECT owner FROM threads WHERE thread_ts = $1`, ask.TS).Scan(&owner); err != nil || owner != "U0ADA" {
		t.Errorf("owner of the thread: got %q, %v; want U0ADA", owner, err)
	}
}

func TestEditAndDelete(t *testing.T) {
	t.Parallel()
	ask := said(1, "<@U0BOT> buy milk")
	for name, c := range map[string]struct {
		do     func(t *testing.T, db *migrations.DB, b *Inbox)
		want   []string
		signal int
	}{
		"an edit replaces a message that waits": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, ask, edited(2, ask, "<@U0BOT> buy tea"))
		}, []string{"message <@U0BOT> buy tea"}, 0},
		"an older edit that comes later changes nothing": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, ask, edited(3, ask, "<@U0BOT> buy rum"), edited(2, ask, "<@U0BOT> buy tea"))
		}, []string{"message <@U0BOT> buy rum"}, 0},
		"an edit steers the turn that has the message": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, ask)
			begin(t, db, b, "t1", ask)
			accept(t, b, edited(2, ask, "<@U0BOT> buy tea"), edited(2, ask, "<@U0BOT> buy tea"))
		}, []string{"edit <@U0BOT> buy tea"}, 0},
		"an edit of an answered message is no new task": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, ask)
			begin(t, db, b, "t1", ask)
			end(t, db, b, "t1")
			accept(t, b, edited(2, ask, "<@U0BOT> buy tea"))
		}, nil, 0},
		"an edit that adds a mention is a request": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			plain := said(1, "buy milk")
			accept(t, b, plain, edited(2, plain, "<@U0BOT> buy milk"))
		}, []string{"message <@U0BOT> buy milk"}, 0},
		"an edit of a message that is none of ours": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			plain := said(1, "buy milk")
			accept(t, b, plain, edited(2, plain, "buy tea"))
		}, nil, 0},
		"a deletion cancels a message that waits": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, ask, deleted(2, ask))
		}, nil, 0},
		"a deletion ends the turn that the message caused": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, ask)
			begin(t, db, b, "t1", ask)
			accept(t, b, deleted(2, ask))
		}, []string{"delete "}, 1},
		"a deletion of what steered a turn does not end it": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			more := reply(2, ask, "and bread")
			accept(t, b, ask, more)
			begin(t, db, b, "t1", ask)
			accept(t, b, deleted(3, more))
		}, []string{"delete "}, 0},
		"stop in the thread ends its work": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, ask)
			begin(t, db, b, "t1", ask)
			accept(t, b, reply(2, ask, "Stop!"))
		}, []string{"stop Stop!"}, 1},
		"a reply that overtakes the mention is not lost": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, reply(2, ask, "and bread"), ask)
		}, []string{"message <@U0BOT> buy milk", "message and bread"}, 0},
		"a reply from before the mention is not for the agent": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			late := reply(3, said(1, ""), "<@U0BOT> what do you say?")
			accept(t, b, reply(2, ask, "and bread"), late)
		}, []string{"message <@U0BOT> what do you say?"}, 0},
		"an edit that overtakes its message counts": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			plain := edited(2, ask, "buy tea")
			accept(t, b, plain, ask)
		}, []string{"message buy tea"}, 0},
		"a deletion that overtakes its message counts": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, deleted(2, ask), ask)
		}, nil, 0},
		"stop elsewhere is for others": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, reply(2, ask, "stop"))
		}, nil, 0},
		"a stop that overtakes its request comes after it": {func(t *testing.T, db *migrations.DB, b *Inbox) {
			accept(t, b, reply(3, ask, "<@U0BOT> stop"), ask)
		}, []string{"message <@U0BOT> buy milk", "stop <@U0BOT> stop"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openStore(t)
			b := NewInbox(db, InboxOptions{})
			c.do(t, db, b)
			want(t, waiting(t, b, ask), c.want...)
			if _, signal := wakes(t, db, ask); signal != c.signal {
				t.Errorf("stop flag of the task: got %d, want %d", signal, c.signal)
			}
		})
	}
}

// A turn must not begin with a text that its author has replaced or taken back.
func TestTakeRefusesWhatChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]Event{
		"edited":  edited(2, said(1, ""), "<@U0BOT> buy tea"),
		"deleted": deleted(2, said(1, "")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openStore(t)
			b := NewInbox(db, InboxOptions{})
			ask := said(1, "<@U0BOT> buy milk")
			accept(t, b, ask)
			rows, err := b.Pending(context.Background(), ask.threadKey())
			if err != nil {
				t.Fatal(err)
			}
			accept(t, b, change)
			err = db.Write(context.Background(), func(tx *migrations.Tx) error { return b.Take(tx, []int64{rows[0].ID}, "t1") })
			if !errors.Is(err, ErrInboxChanged) {
				t.Errorf("take after the message was %s: got %v, want ErrInboxChanged", name, err)
			}
		})
	}
}

func TestObserverFailsTheStoring(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	full := errors.New("no room")
	b := NewInbox(db, InboxOptions{Observe: func(*migrations.Tx, Event) error { return full }})
	ask := said(1, "<@U0BOT> hello")
	if _, err := b.Accept(context.Background(), ask); !errors.Is(err, full) {
		t.Errorf("got %v, want the observer's error", err)
	}
	want(t, waiting(t, b, ask))
}

func TestStopButton(t *testing.T) {
	t.Parallel()
	ask := said(1, "<@U0BOT> buy milk")
	press := Action{Workspace: "T1", Key: "action:C1:x:stop:U0BEN:1", ID: "stop", Value: ask.threadKey(), User: "U0BEN", UserTeam: "T1", Channel: "C1", Message: "1700000000.500000", At: ask.At.Add(time.Second)}
	elsewhere := press
	elsewhere.Channel = "C2"
	for name, c := range map[string]struct {
		press  Action
		want   []string
		signal int
	}{
		"stops the thread it names":                {press, []string{"message <@U0BOT> buy milk", "stop "}, 1},
		"stops nothing from another channel":       {elsewhere, []string{"message <@U0BOT> buy milk"}, 0},
		"stops nothing where there is no such key": {Action{Workspace: "T1", Key: "a", Value: "thread:T1:C1:9", Channel: "C1"}, []string{"message <@U0BOT> buy milk"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openStore(t)
			b := NewInbox(db, InboxOptions{})
			accept(t, b, ask)
			for range 2 { // pressed twice, or delivered twice
				if err := b.StopThread(context.Background(), c.press); err != nil {
					t.Fatal(err)
				}
			}
			want(t, waiting(t, b, ask), c.want...)
			if _, signal := wakes(t, db, ask); signal != c.signal {
				t.Errorf("stop flag of the task: got %d, want %d", signal, c.signal)
			}
		})
	}
}

// However much passes by, what is remembered of it stays bounded.
func TestEarlyIsBounded(t *testing.T) {
	t.Parallel()
	y := newEarly()
	for i := range 3 * maxEarly {
		e := said(0, "hello")
		e.Thread = fmt.Sprint(i % 100)
		done := y.put(e)
		if i%3 == 0 {
			done()
		}
	}
	kept := 0
	for _, events := range y.thread {
		kept += len(events)
	}
	if len(y.queue) > maxEarly || kept > maxEarly || y.bytes != 5*kept {
		t.Errorf("got %d queued, %d kept, %d bytes; want %d at most, and 5 bytes each", len(y.queue), kept, y.bytes, maxEarly)
	}
	big := said(0, strings.Repeat("x", maxEarlyBytes/2))
	for range 5 {
		y.put(big)
	}
	if y.bytes > maxEarlyBytes {
		t.Errorf("got %d bytes, want %d at most", y.bytes, maxEarlyBytes)
	}
}

func TestAppMentionLearnsTheKindOfItsChannel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kindOf func(context.Context, string, string) (string, error)
		want   string
	}{
		"known":   {func(context.Context, string, string) (string, error) { return ChannelPublic, nil }, ChannelPublic},
		"unknown": {func(context.Context, string, string) (string, error) { return "", errors.New("Slack is away") }, ChannelPrivate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := NewInbox(openStore(t), InboxOptions{KindOf: c.kindOf})
			ask := said(1, "<@U0BOT> hello")
			ask.ChannelKind = ""
			accept(t, b, ask)
			rows, err := b.Pending(context.Background(), ask.threadKey())
			if err != nil || len(rows) != 1 {
				t.Fatalf("got %d rows, %v; want 1", len(rows), err)
			}
			if got := rows[0].Event.ChannelKind; got != c.want {
				t.Errorf("channel kind: got %q, want %q", got, c.want)
			}
		})
	}
}
