package bot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"deskmate/identity/label"
	"deskmate/memory"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/task"
)

// Ids of buttons on what the agent says of commitments; their value is the duty.
const (
	ButtonPromiseUndo  = "promise_undo"
	ButtonPromiseDone  = "promise_done"
	ButtonPromiseLater = "promise_later"
	ButtonPromiseDrop  = "promise_drop"
)

const settledWord = `(?:resolved|done|fixed|settled|closed|solved|sorted(?:\s+out)?|finished|completed)`

var (
	settledForm = regexp.MustCompile(`(?i)^(?:(?:ok(?:ay)?|yes|yep|great|cool|good|thanks|thank\s+you|so|and|update|now|finally|all\s+good|<@[UW]\w+>)\b?[\s,:;!–-]*|<@[UW]\w+>\s*)*(?:(?:(?:this|it|that|everything|all|the\s+\w+|issue|bug|problem|thread)\s*(?:['’]s|\s+is|\s+has\s+been|\s+was|\s+are|\s+got)?|we\s+are|we['’]re|marking(?:\s+(?:this|it))?(?:\s+as)?|consider\s+(?:it|this))\s+)?(?:(?:now|all|finally|already|been)\s+)*` + settledWord + `(?:\s+(?:now|already|for\s+good|thanks.*|(?:in|by|with)\s+(?:<?https?://\S+|#\d+|\w+-\d+|<@[UW]\w+>|v\d\S*).*))?$`)
	settledBy   = regexp.MustCompile(`(?i)^(?:i|we|<@[UW]\w+>)\s*(?:['’]ve|have|has|just|\s)*\s*(?:fixed|resolved|solved|closed|sorted|settled)\s+(?:it|this|that|the\s+(?:issue|bug|problem|thread))(?:\s+(?:now|already|out|for\s+good))?$`)
	unsettled   = regexp.MustCompile(`(?i)\b(?:not|n['’]t|almost|nearly|half|partly|partially|when|if|unless|until|once|never|but|reopen(?:ed)?|still)\b`)
)

// mostSettling is how long a sentence that settles a thread is, in bytes.
const mostSettling = 120

// settlesThread reports whether somebody says that all is done.
func settlesThread(text string) bool {
	text = quotedText.ReplaceAllString(text, " ")
	if len(text) > mostPromise {
		return false
	}
	for text != "" {
		end, stop := len(text), len(text)
		if at := promiseEnds.FindStringIndex(text); at != nil {
			end, stop = at[0], at[1]
		}
		mark, sentence := strings.TrimSpace(text[end:stop]), strings.TrimSpace(text[:end])
		text = text[stop:]
		if strings.HasPrefix(mark, "?") || len(sentence) > mostSettling || unsettled.MatchString(sentence) {
			continue
		}
		if settledForm.MatchString(sentence) || settledBy.MatchString(sentence) {
			return true
		}
	}
	return false
}

// settles is what ends the follow-up d where e says that all is done; nil where it
// does not. Only members say so: what others write is information.
func (w *Watcher) settles(ctx context.Context, d scheduler.Duty, e Event) (func(tx *migrations.Tx) error, error) {
	if e.Kind == KindProgram || d.Trigger.Person != "" && d.Trigger.Person != e.User || !settlesThread(Plain(e.Text, "")) || !e.At.After(d.CreatedAt) {
		return nil, nil
	}
	by, err := w.People.author(ctx, e.Workspace, e.User, e.UserTeam)
	if err != nil || !by.Trusted() {
		return nil, err
	}
	return func(tx *migrations.Tx) error { return w.settle(tx, d.ID, e.User, e.TS) }, nil
}

// settle ends a follow-up, and says so in its thread.
func (w *Watcher) settle(tx *migrations.Tx, duty, by, ts string) error {
	d, err := w.Duties.GetTx(tx, duty)
	if errors.Is(err, scheduler.ErrNoDuty) || err == nil && d.State != scheduler.StateActive && d.State != scheduler.StatePaused {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := w.Duties.Settle(tx, d.ID, by, "said so in the thread, message "+ts); err != nil {
		return err
	}
	text := "Settled, says <@" + by + ">: I no longer follow this thread."
	if d.Trigger.Person != "" {
		text = "Done, says <@" + by + ">: I will not remind anybody of “" + harmlessQuote(d.Prompt) + "”."
	}
	return w.Outbox.Queue(tx, w.inThread(d, "settled:"+d.ID, text))
}

// inThread is a post of ours in the thread of a follow-up.
func (w *Watcher) inThread(d scheduler.Duty, key, text string) Post {
	return Post{Workspace: d.Workspace, Channel: d.Trigger.Channel, Thread: d.Trigger.Thread, ChannelKind: d.ChannelKind, Key: key, Text: text, Ours: true,
		Requester: d.Owner, Tool: ToolReply, Cause: "duty:" + d.ID, Duty: true, Label: label.Of(d.Trigger.Channel, d.ChannelKind)}
}

// harmlessQuote is somebody's words where they mention and link nothing.
func harmlessQuote(text string) string {
	return clip(strings.NewReplacer("<", "", ">", "", "`", "'", "*", "", "_", " ").Replace(strings.Join(strings.Fields(text), " ")), 200)
}

// commitments are what notes the promise of e, where the scope allows it; mine is said
// of what is for the agent.
func (w *Watcher) commitments(ctx context.Context, e Event, mine bool) ([]func(tx *migrations.Tx) error, error) {
	thread := first(e.Thread, e.TS)
	if thread == "" || e.User == "" || e.Thread == "" && mine || !promiseWord.MatchString(e.Text) {
		return nil, nil
	}
	may, err := w.Memory.Follows(ctx, e.Workspace, e.Channel, mine)
	if err != nil || !may {
		return nil, err
	}
	by, err := w.People.author(ctx, e.Workspace, e.User, e.UserTeam)
	if err != nil || !by.Trusted() {
		return nil, err
	}
	p, err := w.People.Person(ctx, e.Workspace, e.User)
	if err != nil {
		return nil, err
	}
	said, ok := promiseIn(Plain(e.Text, ""), w.DB.Now(), first(p.TZ, "UTC"))
	if !ok {
		return nil, nil
	}
	kind := e.ChannelKind
	if kind == "" {
		if kind, err = w.People.ChannelKind(ctx, e.Workspace, e.Channel); err != nil {
			return nil, err
		}
	}
	n := scheduler.NewDuty{
		Workspace: e.Workspace, Channel: e.Channel, ChannelKind: kind, Kind: scheduler.KindFollow, Title: "Commitment: " + harmlessQuote(said.what), Prompt: harmlessQuote(said.what),
		Schedule: said.when, Trigger: scheduler.Trigger{Channel: e.Channel, Thread: thread, Person: e.User}, Report: scheduler.ReportThread, Thread: thread,
		Owner: e.User, Label: label.Of(e.Channel, kind), Request: "promise:" + e.Channel + ":" + e.TS,
	}
	return []func(tx *migrations.Tx) error{func(tx *migrations.Tx) error {
		if n.Schedule.Next(tx.Now()).IsZero() {
			return nil // delivered so late that its time has come
		}
		d, err := w.Duties.CreateTx(tx, n)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("Noted for <@%s>: I remind you here %s.", d.Owner, shortTime(d.NextAt, d.Schedule.TZ))
		post := w.inThread(d, "promise:"+d.ID, text)
		post.Card = &Card{Title: escapeMentioning(escape(text)), Buttons: []Button{{ID: ButtonPromiseUndo, Text: "Undo", Value: d.ID}}}
		return w.Outbox.Queue(tx, post)
	}}, nil
}

// shortTime is a time as people of a zone say it.
func shortTime(at time.Time, tz string) string {
	loc, err := time.LoadLocation(tz)
	if err != nil {
		loc = time.UTC
	}
	return at.In(loc).Format("Mon 2 Jan 15:04 MST")
}

// Fire does the work of a run of a follow-up, in the transaction that records it: a
// commitment is asked after, a thread is looked at soon.
func (w *Watcher) Fire(tx *migrations.Tx, d scheduler.Duty, r scheduler.Run) error {
	if d.Trigger.Person == "" {
		return scheduler.WakeFollow(tx, d, r.ID)
	}
	text := fmt.Sprintf("<@%s>, you wrote “%s”. Done?", d.Trigger.Person, harmlessQuote(d.Prompt))
	post := w.inThread(d, "promise-due:"+r.ID, text)
	post.Card = &Card{Title: escapeMentioning(escape(text)), Buttons: []Button{
		{ID: ButtonPromiseDone, Text: "Done", Value: d.ID, Style: "primary"}, {ID: ButtonPromiseLater, Text: "Later…", Value: d.ID}, {ID: ButtonPromiseDrop, Text: "Drop it", Value: d.ID}}}
	if err := w.Outbox.Queue(tx, post); err != nil {
		return err
	}
	_, err := w.Duties.Ended(tx, scheduler.Ending{Run: r.ID, State: scheduler.RunDone})
	return err
}

// askEvery is how often a thread is asked after at most; less than a day, as the
// clocks change.
const askEvery = 20 * time.Hour

// askKey begins the keys of posts that ask after a thread.
const askKey = "follow-ask:"

// looked is what a look at a thread found.
type looked struct {
	settledBy, settledAt string // who said that it is settled, and in which message
	ask                  string // what to ask; "" for nothing
	gone                 string // why it cannot be followed any more
}

// Look looks at a thread that is followed, for one run. It is the task handler of
// kind "follow".
func (w *Watcher) Look(ctx context.Context, lease *task.Lease) (task.Result, error) {
	run := scheduler.FollowRun(lease.Key)
	var d scheduler.Duty
	var open bool
	var before time.Time
	err := w.DB.Read(ctx, func(tx *migrations.Tx) (err error) { d, open, before, err = w.Duties.Looks(tx, run); return err })
	if errors.Is(err, scheduler.ErrNoDuty) || err == nil && !open {
		return task.Result{}, nil
	}
	if err != nil {
		return task.Result{}, fmt.Errorf("look at followed thread: %w", err)
	}
	if before.IsZero() {
		before = d.CreatedAt
	}
	var found looked
	if d.State == scheduler.StateActive {
		if found, err = w.look(ctx, d, before); err != nil {
			return task.Result{}, fmt.Errorf("look at followed thread: %w", err)
		}
	}
	err = w.DB.Write(ctx, func(tx *migrations.Tx) error {
		if err := lease.Guard(tx); err != nil {
			return err
		}
		end := scheduler.Ending{Run: run, State: scheduler.RunDone}
		switch {
		case found.gone != "":
			if err := w.hold(tx, d, found.gone); err != nil {
				return err
			}
			end.State, end.Why = scheduler.RunSkipped, found.gone
		case found.settledBy != "":
			if err := w.settle(tx, d.ID, found.settledBy, found.settledAt); err != nil {
				return err
			}
		case found.ask != "":
			if err := w.Outbox.Queue(tx, w.inThread(d, askKey+run, found.ask)); err != nil {
				return err
			}
		default:
			end.Quiet = true
		}
		_, err := w.Duties.Ended(tx, end)
		return err
	})
	if err != nil {
		return task.Result{}, fmt.Errorf("look at followed thread: %w", err)
	}
	return task.Result{}, nil
}

// look reads the thread and says what follows from it. before is the look before.
func (w *Watcher) look(ctx context.Context, d scheduler.Duty, before time.Time) (looked, error) {
	why, err := w.People.blind(ctx, d.Workspace, d.Trigger.Channel, d.Owner, watched)
	if err != nil || why != "" {
		return looked{gone: why}, err
	}
	said, err := w.Reader.replies(ctx, d.Trigger.Channel, d.Trigger.Thread, "", followMost)
	if isRefusal(err) {
		return looked{gone: "I cannot read the thread that it follows any more"}, nil
	}
	if err != nil {
		return looked{}, err
	}
	now := w.DB.Now()
	for i := len(said) - 1; i >= 0; i-- {
		m := said[i]
		switch at := tsTime(m.TS); {
		case strings.HasPrefix(m.Key, askKey) && now.Sub(at) < askEvery:
			return looked{}, nil
		case m.BotID != "" || m.Subtype != "", strings.Contains(m.Text, "<@"+w.Threads.Bot(d.Workspace)+">") && !settlesThread(Plain(m.Text, "")):
			continue // programs, and requests to the agent
		case at.After(before) && !settlesThread(Plain(m.Text, "")):
			return looked{}, nil // somebody is at it
		default:
			return w.ask(ctx, d, m)
		}
	}
	return w.ask(ctx, d, Said{})
}

// ask says whom to ask for what, from the brief of the thread; last is the newest
// message of a person.
func (w *Watcher) ask(ctx context.Context, d scheduler.Duty, last Said) (looked, error) {
	if last.TS != "" && settlesThread(Plain(last.Text, "")) {
		by, err := w.People.author(ctx, d.Workspace, last.User, last.Team)
		if err != nil || by.Trusted() {
			return looked{settledBy: last.User, settledAt: last.TS}, err
		}
	}
	t := &Turn{Workspace: d.Workspace, Channel: d.Trigger.Channel, Thread: d.Trigger.Thread}
	if err := w.Threads.Follow(ctx, t); err != nil {
		return looked{}, err
	}
	place, err := w.People.ReadingPlace(ctx, d.Workspace, d.Trigger.Channel, d.ChannelKind, d.Owner, "")
	if err != nil {
		return looked{}, err
	}
	b, err := w.Memory.BriefThread(ctx, place, d.Trigger.Channel, d.Trigger.Thread)
	if errors.Is(err, memory.ErrNotFound) {
		return looked{gone: "I find nothing in the thread that it follows"}, nil
	}
	if err != nil {
		return looked{}, err
	}
	own := w.Threads.Bot(d.Workspace)
	var line memory.Line
	for _, l := range append(b.Open, b.Waiting...) { // a promise weighs more than a question
		if l.Author != own && !strings.Contains(l.Text, "<@"+own+">") {
			line = l
		}
	}
	if line.TS == "" {
		if len(b.Done) > 0 {
			l := b.Done[len(b.Done)-1]
			return looked{settledBy: l.Author, settledAt: l.TS}, nil
		}
		return looked{}, nil
	}
	whom := d.Owner
	if m := personMention.FindString(line.Text); m != "" {
		whom = strings.Trim(m, "<@>")
	} else if promiseWord.MatchString(line.Text) {
		whom = line.Author
	}
	source := ""
	if line.Permalink != "" {
		source = " ([message](" + line.Permalink + "))"
	}
	return looked{ask: fmt.Sprintf("<@%s>, this thread still waits for: “%s”%s. Say `resolved` here when it is settled; `delete duty %s` ends my asking.", whom, harmlessQuote(line.Text), source, d.ID)}, nil
}
