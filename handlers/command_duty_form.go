package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/identity/policy"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// Ids of the forms of duties.
const (
	formDuty     = "duty"
	formDutyEdit = "duty_edit"
)

// dutyFields are the questions of both forms, with what d says so far.
func (h *Duties) dutyFields(ctx context.Context, d scheduler.Duty) []bot.Field {
	fresh := d.ID == ""
	when := "In plain words: every weekday at 9:30; every two weeks on Monday at 10; tomorrow at 9."
	if !fresh {
		when = "Now: " + d.When + ". Leave it empty to keep that."
	}
	text := func(s string) []string {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	silent, most := "no", ""
	if d.Silent {
		silent = "yes"
	}
	if d.MostRuns > 0 {
		most = strconv.FormatInt(d.MostRuns, 10)
	}
	choice := func(id, label, initial string, options ...string) bot.Field {
		f := bot.Field{ID: id, Label: label, Kind: bot.FieldChoice, Initial: []string{initial}}
		for i := 0; i+1 < len(options); i += 2 {
			f.Options = append(f.Options, bot.Option{Value: options[i], Label: options[i+1]})
		}
		return f
	}
	reports := []string{scheduler.ReportRun, "Each by itself", scheduler.ReportDay, "Those of a day together"}
	if d.Report == scheduler.ReportThread {
		reports = append(reports, scheduler.ReportThread, "In its thread")
	}
	var tools []bot.Option
	for _, t := range h.Rules.Tools() {
		tools = append(tools, bot.Option{Value: t.Name, Label: t.Name})
	}
	if all, err := h.Rules.Offered(ctx, d); err == nil { // those of other systems only make the list longer
		for _, t := range all {
			tools = append(tools, bot.Option{Value: t.Name, Label: t.Name})
		}
	}
	until := "When it ends, in plain words: 14 December; for two weeks."
	if !d.Schedule.Until.IsZero() {
		until = "Now: " + bot.DutyTime(d, d.Schedule.Until) + ". Leave it empty to keep that; `none` takes it away."
	}
	all := []bot.Field{
		{ID: "what", Label: "What shall I do?", Kind: bot.FieldLines, Initial: text(d.Prompt), Hint: "As you would ask me: post Stand-up time; summarise this channel."},
		{ID: "when", Label: "When?", Kind: bot.FieldText, Hint: when, Optional: !fresh},
		{ID: "title", Label: "A short name", Kind: bot.FieldText, Initial: text(d.Title), Optional: true},
		choice("where", "Where do results appear?", "here", "here", "In this channel", "dm", "In a direct message to me"),
		{ID: "other", Label: "Or in another channel", Kind: bot.FieldText, Optional: true, Hint: "#name of a channel where you and I are."},
		choice("report", "How do results appear?", orDefault(d.Report, scheduler.ReportRun), reports...),
		choice("silent", "If there is nothing to report", silent, "no", "Say so", "yes", "Stay silent"),
		choice("catch_up", "If I missed a time", orDefault(d.CatchUp, scheduler.CatchUpOnce), scheduler.CatchUpOnce, "One run for all that were missed", scheduler.CatchUpSkip, "Leave them out", scheduler.CatchUpAll, "A run for each, ten at most"),
		choice("overlap", "If the run before is still at work", orDefault(d.Overlap, scheduler.OverlapWait), scheduler.OverlapWait, "Wait for it", scheduler.OverlapSkip, "Leave the next one out", scheduler.OverlapStop, "Stop it and begin the next"),
		{ID: "quiet", Label: "Quiet hours", Kind: bot.FieldText, Initial: text(d.Quiet), Optional: true, Hint: "No run begins then: mon-fri 22:00-07:00; sat,sun 00:00-24:00."},
		{ID: "until", Label: "End", Kind: bot.FieldText, Optional: true, Hint: until},
		{ID: "most", Label: "How often in all", Kind: bot.FieldText, Initial: text(most), Optional: true, Hint: "A number; empty is without limit."},
		{ID: "tools", Label: "Only these tools", Kind: bot.FieldChoices, Options: tools, Initial: d.Tools, Optional: true, Hint: "None chosen: those that its place and you may use."},
	}
	return all
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// openDuty opens the form for a new duty.
func (h *Commands) openDuty(ctx context.Context, a asking) error {
	p, err := h.People.Person(ctx, a.Workspace, a.User)
	if err != nil {
		return err
	}
	d := scheduler.Duty{Workspace: a.Workspace, Owner: a.User, Channel: a.Channel}
	return h.Outbox.Open(ctx, a.Workspace, a.User, a.Key, a.TriggerID, bot.Form{
		ID: formDuty, Metadata: a.Channel, Title: "A new duty", Submit: "Show it to me",
		Texts: []string{"You own it. Local times are those of your Slack profile: *" + plain(p.TZ) + "*. One that repeats runs once you have confirmed it."}, Fields: h.Duties.dutyFields(ctx, d),
	})
}

// openChange opens the form that changes a duty, for somebody who may.
func (h *Duties) openChange(ctx context.Context, key, trigger, user string, d scheduler.Duty) error {
	fields := h.dutyFields(ctx, d)
	for i := range fields {
		if fields[i].ID == "where" {
			fields[i].Initial = []string{"keep"}
			fields[i].Options = append([]bot.Option{{Value: "keep", Label: "Where they appear now"}}, fields[i].Options[1:]...)
		}
	}
	return h.Outbox.Open(ctx, d.Workspace, user, key, trigger, bot.Form{
		ID: formDutyEdit, Metadata: d.ID, Title: "Change a duty", Submit: "Change",
		Texts: []string{"It belongs to <@" + d.Owner + ">. Local times are of *" + plain(d.Schedule.TZ) + "*."}, Fields: fields,
	})
}

// submitDuty takes both forms. Who sent it is looked up anew; what is wrong is said
// at its field.
func (h *Commands) submitDuty(ctx context.Context, s bot.Submission) (map[string]string, error) {
	agent, err := h.Agents.Get(ctx, s.Workspace)
	if err != nil {
		return nil, err
	}
	who, err := h.person(ctx, s.Workspace, s.User, agent)
	if err != nil {
		return nil, err
	}
	if who.Kind != bot.KindMember {
		return map[string]string{"what": "Only full members of this workspace can own a duty."}, nil
	}
	d := scheduler.Duty{Workspace: s.Workspace, Owner: s.User, Channel: s.Metadata}
	tz := ""
	if s.Form == formDutyEdit {
		if d, err = h.Duties.Scheduler.Get(ctx, s.Metadata); err != nil || d.Workspace != s.Workspace {
			return map[string]string{"what": "That duty is gone meanwhile. Close this, and make a new one."}, nil
		}
		switch may, err := h.Duties.Rules.May(ctx, s.User, d); {
		case err != nil:
			return nil, err
		case !may:
			return map[string]string{"what": "Not done: " + bot.MayNot + "."}, nil
		}
		tz = d.Schedule.TZ
	} else {
		p, err := h.People.Person(ctx, s.Workspace, s.User)
		if err != nil {
			return nil, err
		}
		tz = p.TZ
	}
	field, err := h.fillDuty(ctx, s, &d, tz)
	if err == nil {
		field = "what"
		if s.Form == formDutyEdit {
			err = h.Duties.changed(ctx, s, d)
		} else {
			err = h.makeDuty(ctx, s, who, d)
		}
	}
	if err != nil {
		if text, told := bot.Told(err); told {
			return map[string]string{field: text}, nil
		}
		return nil, err
	}
	text := "I have sent you the duty in a direct message."
	if s.Form == formDuty {
		text += " One that repeats runs once you have pressed Confirm there."
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	w := bot.Whisper{Workspace: s.Workspace, Channel: s.Metadata, User: s.User, Key: s.Key, Cause: s.Key, Text: text}
	if s.Form == formDutyEdit {
		return nil, nil // the card comes where the person is told of it
	}
	return nil, h.Outbox.Whisper(ctx, w)
}

// fillDuty sets what a form says of a duty; field is where an error belongs.
func (h *Commands) fillDuty(ctx context.Context, s bot.Submission, d *scheduler.Duty, tz string) (field string, err error) {
	v := s.Values
	words := bot.DutyWords{When: v["when"], What: v["what"], Title: v["title"], Report: v["report"], Silent: v["silent"], CatchUp: v["catch_up"], Overlap: v["overlap"],
		Quiet: orDefault(v["quiet"], "none"), Until: v["until"], Most: orDefault(v["most"], "none"), Tools: orDefault(v["tools"], "all")}
	if strings.TrimSpace(v["what"]) == "" {
		return "what", bot.NotSo("Say what I shall do.")
	}
	if d.ID == "" && strings.TrimSpace(v["when"]) == "" {
		return "when", bot.NotSo("Say when, as in: every weekday at 9:30.")
	}
	if err := words.Say(d, h.DB.Now(), tz); err != nil {
		var at *bot.DutyWordError
		if errors.As(err, &at) {
			return at.Field, err
		}
		return "what", err
	}
	if field, err = h.placeDuty(ctx, s, d); err != nil {
		return field, err
	}
	if err := h.Duties.Rules.CheckTools(ctx, *d); err != nil {
		return "tools", err
	}
	if err := d.Check(); err != nil {
		return dutyField(err.Error()), bot.NotSo(err.Error())
	}
	return "", nil
}

// dutyField is the field that the scheduler's words are about.
func dutyField(problem string) string {
	switch {
	case strings.Contains(problem, "weekday"), strings.Contains(problem, "22:00"):
		return "quiet"
	case strings.Contains(problem, "too long"), strings.Contains(problem, "missing"):
		return "what"
	}
	return "when"
}

// placeDuty sets where the results of a form's duty appear.
func (h *Commands) placeDuty(ctx context.Context, s bot.Submission, d *scheduler.Duty) (field string, err error) {
	channel := ""
	switch other := strings.TrimSpace(s.Values["other"]); {
	case other != "":
		id, err := h.channelOf(ctx, asking{Command: bot.Command{Workspace: s.Workspace, Channel: d.Channel, User: s.User}}, other)
		if err != nil {
			return "other", bot.NotSo(err.Error())
		}
		channel, field = id, "other"
	case s.Values["where"] == "dm":
		if channel, err = h.People.Direct(ctx, s.Workspace, d.Owner); err != nil {
			return "where", err
		}
		d.ChannelKind, field = bot.ChannelDirect, "where"
	case s.Values["where"] == "keep":
		return "", nil
	default:
		channel, field = d.Channel, "where"
	}
	if d.ChannelKind != bot.ChannelDirect || channel != d.Channel {
		ch, err := h.Duties.Rules.PlaceFor(ctx, s.Workspace, d.Owner, channel)
		if err != nil {
			return field, err
		}
		d.ChannelKind = ch.Kind
	}
	if channel != d.Channel && d.Report == scheduler.ReportThread {
		d.Report = scheduler.ReportRun
	}
	d.Channel = channel
	return "", nil
}

// makeDuty makes the duty of a form, if the rules let its owner have one made
// there, and owes them its card.
func (h *Commands) makeDuty(ctx context.Context, s bot.Submission, who policy.Person, d scheduler.Duty) error {
	args, err := json.Marshal(map[string]string{"when": s.Values["when"], "what": d.Prompt, "where": d.Channel})
	if err != nil {
		return fmt.Errorf("encode the form: %w", err)
	}
	action := identity.Action{
		Key: s.Key, Workspace: s.Workspace, Cause: s.Key, Requester: s.User, RequesterKind: who.Kind, Channel: d.Channel, ChannelKind: d.ChannelKind,
		Tool: "duty_create", Connection: "duties", Class: identity.ClassWrite, Args: args,
	}
	x, err := h.Rules.Explain(ctx, action)
	if err != nil {
		return err
	}
	if x.Decision.Verdict != policy.Allow {
		return bot.NotSo(fmt.Sprintf("I may not simply take on duties there (%s). Ask me there in words: who can approve it sees that.", strings.Join(x.Decision.Reasons, "; ")))
	}
	made := scheduler.Duty{}
	_, err = h.Gate.Do(ctx, action, identity.Effect{
		Do: func(ctx context.Context) (identity.Result, error) {
			err := h.DB.Write(ctx, func(tx *migrations.Tx) error {
				n := d.New()
				n.Request, n.Confirm = s.Key, d.Schedule.Cron != ""
				var err error
				if made, err = h.Duties.Scheduler.CreateTx(tx, n); err != nil {
					return err
				}
				return h.Duties.Cards.Show(tx, made, "form", bot.Post{Channel: s.User, ChannelKind: bot.ChannelDirect, Requester: s.User, Cause: s.Key})
			})
			return identity.Result{Ref: made.ID}, err
		},
		Find: func(context.Context, time.Time) (identity.Result, bool, error) { return identity.Result{}, false, nil },
	})
	var denied *identity.DeniedError
	var pending *identity.PendingError
	if errors.As(err, &denied) || errors.As(err, &pending) {
		return bot.NotSo("Not done: " + err.Error())
	}
	return err
}

// changed stores what a form made of a duty, and owes whoever sent it the card; an
// owner who did not send it learns of it.
func (h *Duties) changed(ctx context.Context, s bot.Submission, to scheduler.Duty) error {
	return h.DB.Write(ctx, func(tx *migrations.Tx) error {
		d, err := h.Scheduler.EditTx(tx, to.ID, s.User, func(d *scheduler.Duty) error {
			d.Become(to)
			return nil
		})
		if err != nil {
			return bot.NotSo(err.Error())
		}
		if err := h.Cards.Redraw(tx, d); err != nil {
			return err
		}
		if err := h.Cards.Show(tx, d, "form:"+s.Key, bot.Post{Channel: s.User, ChannelKind: bot.ChannelDirect, Requester: s.User, Cause: s.Key, Label: d.Label}); err != nil {
			return err
		}
		return h.Cards.TellOwner(tx, d, s.User, "changed", s.Key)
	})
}
