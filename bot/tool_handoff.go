package bot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"deskmate/identity"
	"deskmate/migrations"
	"deskmate/scheduler"
	"deskmate/scheduler/handoff"
)

// handoffTools pass work on. To accept, decline or confirm is for people alone:
// there is no tool for it.
func handoffTools(h *Handover) []Tool {
	t := handoffTool{h}
	return []Tool{
		{Name: "handoff_offer", Class: identity.ClassWrite, Repeatable: true, Run: t.offer,
			Schema: object("to", "who is to take it: <@U…>, @name or user id", "what?", "everything (the default), duties, threads, this thread, or ids of duties separated by spaces",
				"from?", "whose work it is; the requester's if left out", "reason?", "why, in a few words"),
			Description: "Offer duties or open threads to a new owner, who gets a brief and accepts or declines themself. Until then nothing changes."},
		{Name: "handoff_list", Class: identity.ClassRead, Repeatable: true, Run: t.list,
			Schema:      object("what?", "this thread (the default in a thread), mine, or a person: what they own and what is offered"),
			Description: "Say who owns this thread, or what somebody owns and which offers wait for an answer."},
		{Name: "offboarding_plan", Class: identity.ClassWrite, Repeatable: true, Run: t.plan,
			Schema:      object("person", "who leaves: <@U…>, @name or user id", "when?", "the day in the person's own words, such as: on Friday"),
			Description: "Propose who takes what when somebody leaves. The requester gets the plan by direct message and confirms it there themself."},
		{Name: "thread_settle", Class: identity.ClassWrite, Repeatable: true, Run: t.settle, Schema: object(),
			Description: "Note that this thread is settled: it is nobody's open work any more. A mention opens it again."},
	}
}

type handoffTool struct{ h *Handover }

func (t handoffTool) offer(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ To, What, From, Reason string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	to, err := t.person(ctx, c, a.To)
	if err != nil {
		return identity.Result{}, err
	}
	from, err := t.person(ctx, c, a.From)
	if err != nil {
		return identity.Result{}, err
	}
	w := Wish{Workspace: c.Turn.Workspace, From: from, To: to, Asker: c.Event.User, Reason: a.Reason, Via: "message", Request: c.Key}
	if err := t.h.Mean(ctx, &w, a.What, c.Turn.Channel, c.Turn.Thread, a.From != ""); err != nil {
		return identity.Result{}, t.refusal(ctx, c, err)
	}
	o, left, err := t.h.Offer(ctx, w)
	if err != nil {
		return identity.Result{}, t.refusal(ctx, c, err)
	}
	return t.say(ctx, c, "%s", OfferedWords(o, left))
}

// Mean fills in which items words name: everything, duties, threads, this thread, or
// ids of duties. The owner of a single duty or thread is found where none is named.
func (h *Handover) Mean(ctx context.Context, w *Wish, what, channel, thread string, named bool) error {
	switch word := strings.ToLower(strings.Trim(strings.TrimSpace(what), "`.")); word {
	case "", "everything", "all", "all of it":
		return nil
	case "duties", "my duties", "all duties", "reminders":
		w.Only = handoff.KindDuty
		return nil
	case "threads", "my threads", "all threads":
		w.Only = handoff.KindThread
		return nil
	case "this thread", "thread", "this":
		if thread == "" || strings.HasPrefix(channel, "D") {
			return &handoff.RefusedError{Text: "A thread is handed over in the thread itself, in a channel: mention me there. A direct message is nobody else's to take."}
		}
		r := handoff.ThreadRef(channel, thread)
		w.Items = []handoff.Ref{r}
		return h.ownerOf(ctx, w, r, named)
	}
	ids := strings.FieldsFunc(what, func(r rune) bool { return r == ' ' || r == ',' || r == '`' || r == '\n' })
	for _, id := range ids {
		if id == "and" || id == "duty" || id == "duties" {
			continue
		}
		r := handoff.Ref{Kind: handoff.KindDuty, ID: id}
		if !handedDuty.MatchString(id) {
			return &handoff.RefusedError{Text: "I do not know what `" + clip(strings.ReplaceAll(id, "`", "'"), 60) + "` is: say everything, duties, threads, this thread, or ids of duties such as d_abc."}
		}
		w.Items = append(w.Items, r)
	}
	if len(w.Items) == 0 {
		return &handoff.RefusedError{Text: "Say what is to be handed over: everything, duties, threads, this thread, or ids of duties such as d_abc."}
	}
	return h.ownerOf(ctx, w, w.Items[0], named)
}

var handedDuty = regexp.MustCompile(`^d_[a-z0-9]{1,20}$`)

// ownerOf takes the owner of an item as who hands over, where nobody was named:
// whoever governs hands over what is another's. Who may not hears no more of it
// than that.
func (h *Handover) ownerOf(ctx context.Context, w *Wish, r handoff.Ref, named bool) error {
	if named {
		return nil
	}
	owner := ""
	if r.Kind == handoff.KindDuty {
		d, err := h.Duties.Get(ctx, r.ID)
		if errors.Is(err, scheduler.ErrNoDuty) || err == nil && d.Workspace != w.Workspace {
			return &handoff.RefusedError{Text: "There is no duty `" + r.ID + "`."}
		}
		if err != nil {
			return err
		}
		owner = d.Owner
	} else {
		channel, ts := r.Thread()
		err := h.DB.Read(ctx, func(tx *migrations.Tx) error {
			th, err := getThread(tx, w.Workspace, channel, ts)
			owner = th.Owner
			return err
		})
		if errors.Is(err, handoff.ErrNone) {
			return &handoff.RefusedError{Text: "This is no open thread of mine. Mention me in it first."}
		}
		if err != nil {
			return err
		}
	}
	w.From = owner
	return nil
}

// OfferedWords say what was offered, and what was not and why.
func OfferedWords(o handoff.Handoff, left []handoff.Left) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Offered %s of <@%s>'s to <@%s> (%s). They get a brief by direct message and accept or decline until %s; until then <@%s> keeps it.",
		countItems(o.Items), o.From, o.To, o.ID, o.ExpiresAt.Format("Monday 2 January"), o.From)
	if len(left) > 0 {
		b.WriteString(" Not offered: ")
		b.WriteString(LeftWords(left))
	}
	return b.String()
}

// LeftWords say what was not offered, grouped by why.
func LeftWords(left []handoff.Left) string {
	var whys []string
	count := map[string][]string{}
	for _, l := range left {
		if count[l.Why] == nil {
			whys = append(whys, l.Why)
		}
		id := "`" + l.ID + "`"
		if l.Kind == handoff.KindThread {
			id = "a thread"
		}
		count[l.Why] = append(count[l.Why], id)
	}
	var all []string
	for _, why := range whys {
		all = append(all, strings.Join(count[why], ", ")+" ("+why+")")
	}
	return strings.Join(all, "; ") + "."
}

// person is who is called so, the requester for "" and "me".
func (t handoffTool) person(ctx context.Context, c Call, called string) (string, error) {
	switch strings.ToLower(strings.TrimSpace(called)) {
	case "", "me", "mine", "my", "i":
		return c.Event.User, nil
	}
	p, err := t.h.People.Find(ctx, c.Turn.Workspace, called)
	if err != nil {
		return "", badArgument("I know nobody called %q here: %v", called, err)
	}
	return p.ID, nil
}

// refusal words what may not be done for the model. An answer in a thread notifies
// nobody but who asked, so people are called by name.
func (t handoffTool) refusal(ctx context.Context, c Call, err error) error {
	var no *handoff.RefusedError
	if errors.As(err, &no) {
		return badArgument("%s", t.h.named(ctx, c.Turn.Workspace, no.Text))
	}
	return err
}

func (t handoffTool) say(ctx context.Context, c Call, format string, args ...any) (identity.Result, error) {
	return identity.Result{Text: t.h.named(ctx, c.Turn.Workspace, fmt.Sprintf(format, args...))}, nil
}

func (t handoffTool) list(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ What string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	what := strings.ToLower(strings.TrimSpace(a.What))
	if what == "this thread" || what == "" && c.Turn.Thread != "" && !strings.HasPrefix(c.Turn.Channel, "D") {
		return t.thread(ctx, c)
	}
	who, err := t.person(ctx, c, a.What)
	if err != nil {
		return identity.Result{}, err
	}
	viewer := c.Turn.Channel
	if strings.HasPrefix(viewer, "D") {
		viewer = c.Event.User
	}
	said, err := t.h.Listing(ctx, c.Turn.Workspace, who, viewer)
	if err != nil {
		return identity.Result{}, err
	}
	return t.say(ctx, c, "%s", said)
}

func (t handoffTool) thread(ctx context.Context, c Call) (identity.Result, error) {
	r := handoff.ThreadRef(c.Turn.Channel, c.Turn.Thread)
	w := Wish{Workspace: c.Turn.Workspace}
	if err := t.h.ownerOf(ctx, &w, r, false); err != nil {
		return identity.Result{}, t.refusal(ctx, c, err)
	}
	open, err := t.h.Handoffs.List(ctx, handoff.Filter{Workspace: c.Turn.Workspace, Open: true})
	if err != nil {
		return identity.Result{}, err
	}
	for _, o := range open {
		if slices.ContainsFunc(o.Of(handoff.StateOffered), func(i handoff.Item) bool { return i.Ref == r }) {
			return t.say(ctx, c, "<@%s> owns this thread. It is offered to <@%s>, who has not answered yet.", w.From, o.To)
		}
	}
	return t.say(ctx, c, "<@%s> owns this thread. They can hand it over: hand this thread to @…", w.From)
}

// The lines of cards are Slack's; an answer is Markdown.
var (
	cardLine  = regexp.MustCompile(`<(http[^|>\s]+)\|([^>]+)>`)
	boldTitle = regexp.MustCompile(`(?:^|\s)\*([^*]+)\*`)
)

// Listing says what somebody owns and which offers of or to them wait, for a viewer:
// a person, or all who are in a channel. What they may not see is only counted.
func (h *Handover) Listing(ctx context.Context, workspace, person, viewer string) (string, error) {
	owned, err := h.Handoffs.Owned(ctx, workspace, person)
	if err != nil {
		return "", err
	}
	open, err := h.Handoffs.List(ctx, handoff.Filter{Workspace: workspace, Person: person, Open: true})
	if err != nil {
		return "", err
	}
	sees, err := h.Sees(ctx, workspace, viewer, owned)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	elsewhere := 0
	err = h.DB.Read(ctx, func(tx *migrations.Tx) error {
		b.Reset()
		elsewhere = 0
		for _, r := range owned {
			line, err := h.itemLine(tx, workspace, viewer, r, sees[r])
			if err != nil {
				return err
			}
			if strings.HasSuffix(line, "that you may not see") {
				elsewhere++
				continue
			}
			b.WriteString("- " + cardLine.ReplaceAllString(boldTitle.ReplaceAllString(strings.TrimPrefix(line, "• "), " **$1**"), "[$2]($1)") + "\n")
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	head := fmt.Sprintf("<@%s> owns %s.\n", person, countRefs(owned))
	if elsewhere > 0 {
		fmt.Fprintf(&b, "- %d more in places that may not be shown here\n", elsewhere)
	}
	for _, o := range open {
		fmt.Fprintf(&b, "- %s: %s of <@%s>'s, offered to <@%s> until %s\n", o.ID, countItems(o.Of(handoff.StateOffered)), o.From, o.To, o.ExpiresAt.Format("2006-01-02"))
	}
	return head + b.String(), nil
}

func countRefs(refs []handoff.Ref) string {
	duties := 0
	for _, r := range refs {
		if r.Kind == handoff.KindDuty {
			duties++
		}
	}
	return countKinds(duties, len(refs)-duties)
}

func (t handoffTool) plan(ctx context.Context, c Call) (identity.Result, error) {
	var a struct{ Person, When string }
	if err := c.decode(&a); err != nil {
		return identity.Result{}, err
	}
	who, err := t.person(ctx, c, a.Person)
	if err != nil {
		return identity.Result{}, err
	}
	leaves, err := t.h.Day(ctx, c.Turn.Workspace, c.Event.User, a.When)
	if err != nil {
		return identity.Result{}, t.refusal(ctx, c, err)
	}
	p, err := t.h.Plan(ctx, c.Turn.Workspace, who, c.Event.User, leaves, c.Key)
	if err != nil {
		return identity.Result{}, t.refusal(ctx, c, err)
	}
	return t.say(ctx, c, "%s", PlannedWords(p))
}

// PlannedWords say that a plan waits to be confirmed.
func PlannedWords(p handoff.Plan) string {
	refs := make([]handoff.Ref, len(p.Items))
	nobody := 0
	for i, item := range p.Items {
		if refs[i] = item.Ref; item.To == "" {
			nobody++
		}
	}
	s := fmt.Sprintf("<@%s> owns %s. I have sent you a plan by direct message (%s): confirm, change or drop it there.", p.Person, countRefs(refs), p.ID)
	if nobody > 0 {
		s += fmt.Sprintf(" For %d of them I found nobody who may take it.", nobody)
	}
	if !p.LeavesAt.IsZero() {
		s += fmt.Sprintf(" What nobody has accepted at %s then goes to my sponsor.", p.LeavesAt.Format("15:04 MST on Monday 2 January"))
	}
	return s
}

// leavingHour is when on their last day somebody has left.
const leavingHour = " at 18:00"

// Day reads a day as people say it, in the zone of who says it: the end of that
// working day. "" is no day.
func (h *Handover) Day(ctx context.Context, workspace, person, said string) (time.Time, error) {
	said = strings.TrimSpace(said)
	if said == "" {
		return time.Time{}, nil
	}
	p, err := h.People.Person(ctx, workspace, person)
	if err != nil {
		return time.Time{}, slackFailure("look up your time zone", err)
	}
	for _, phrase := range []string{said, said + leavingHour, "on " + said + leavingHour} {
		s, _, err := scheduler.ParsePhrase(phrase, h.DB.Now(), p.TZ)
		if err == nil && s.Cron == "" && !s.At.IsZero() {
			loc, err := time.LoadLocation(s.TZ)
			if err != nil {
				loc = time.UTC
			}
			return s.At.In(loc), nil
		}
	}
	return time.Time{}, &handoff.RefusedError{Text: "I do not understand the day " + fmt.Sprintf("%q", clip(said, 60)) + ". Say it like: on Friday; tomorrow; on 12 December."}
}

func (t handoffTool) settle(ctx context.Context, c Call) (identity.Result, error) {
	if err := c.decode(&struct{}{}); err != nil {
		return identity.Result{}, err
	}
	if c.Turn.Thread == "" {
		return identity.Result{}, badArgument("only a thread can be settled")
	}
	changed, err := SettleThread(ctx, t.h.DB, c.Turn.Workspace, c.Turn.Channel, c.Turn.Thread, true)
	if err != nil {
		return identity.Result{}, err
	}
	if !changed {
		return text("This thread was settled already.")
	}
	return text("This thread is settled: it is nobody's open work any more. Mention me in it to open it again.")
}
