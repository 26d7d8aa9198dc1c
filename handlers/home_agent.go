package handlers

import (
	"context"
	"fmt"
	"strings"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/identity/budget"
)

// Ids of the buttons and forms that stop and resume the agent.
const (
	homeSuspend = "home_suspend"
	homeResume  = "home_resume"
)

// homeAgent is the section for those who govern the agent.
type homeAgent struct {
	home    *Home
	gate    *identity.Gate
	budgets *budget.Budgets
}

// Steering shows sponsors and admins the state of the agent, what is left of its
// budgets, and how to stop it.
func (h *Home) Steering(gate *identity.Gate, budgets *budget.Budgets) HomeSection {
	s := homeAgent{h, gate, budgets}
	return HomeSection{ID: "agent", Title: "For my sponsor and admins", Rest: "`/deskmate budget` lists all budgets.", Show: s.show,
		Press:  map[string]func(context.Context, Visitor, bot.Action) (string, error){homeSuspend: s.open, homeResume: s.open},
		Submit: map[string]func(context.Context, Visitor, bot.Submission) (string, map[string]string, error){homeSuspend: s.suspend, homeResume: s.resume},
	}
}

func (s homeAgent) show(ctx context.Context, v Visitor) ([]HomeItem, error) {
	if !v.Governs() {
		return nil, nil
	}
	state := "I am " + v.Agent.State + "."
	var buttons []bot.Button
	switch v.Agent.State {
	case identity.StateActive:
		buttons = []bot.Button{{ID: homeSuspend, Text: "Suspend…", Style: "danger", Value: v.Agent.State}}
	case identity.StateSuspended:
		buttons = []bot.Button{{ID: homeResume, Text: "Resume…", Style: "primary", Value: v.Agent.State}}
	}
	stops, err := s.gate.Stops(ctx, v.Workspace)
	if err != nil {
		return nil, err
	}
	for _, stop := range stops {
		state += fmt.Sprintf("\nStopped: %s, by %s: %s", bot.EscapeText(stop.String()), whoIs(stop.By), bot.EscapeText(stop.Reason))
	}
	item := HomeItem{{Text: state}}
	if len(buttons) > 0 {
		item = append(item, bot.Block{Buttons: buttons})
	}
	items := []HomeItem{item}
	all, err := s.budgets.List(ctx, v.Workspace)
	if err != nil {
		return nil, err
	}
	for _, u := range all {
		items = append(items, HomeItem{{Text: fmt.Sprintf("Budget: %s, %s per %s: %s of %s left; anew on %s", bot.EscapeText(budget.ScopeWords(u.For)), u.Unit, u.Period,
			budget.Amount(u.Unit, max(0, u.Most-u.Used)), budget.Amount(u.Unit, u.Most), bot.TimeOf(u.Anew))}})
	}
	if len(all) == 0 {
		items = append(items, HomeItem{{Note: "No budget is set. `/deskmate budget set workspace tokens day 1000000 why REASON` sets one."}})
	}
	return items, nil
}

// notGoverning is the answer to others who press these buttons.
func notGoverning(v Visitor) error {
	if v.Governs() {
		return nil
	}
	return sorryf("That takes my sponsor or an admin of the workspace. To stop the work in a thread, anyone can say `stop` there.")
}

// open asks for the reason.
func (s homeAgent) open(ctx context.Context, v Visitor, a bot.Action) (string, error) {
	if err := notGoverning(v); err != nil {
		return "", err
	}
	form := bot.Form{ID: a.ID, Title: "Suspend me", Submit: "Suspend", Texts: []string{"I do nothing until somebody resumes me. What is under way is cut off."},
		Fields: []bot.Field{{ID: "reason", Label: "Why?", Kind: bot.FieldText, Hint: "It is kept in the ledger, and told to whoever asks me for something."}}}
	if a.ID == homeResume {
		form.Title, form.Submit, form.Texts = "Resume me", "Resume", []string{"I take up what waited."}
	}
	return "", s.home.Outbox.Open(ctx, v.Workspace, v.ID, a.Key, a.TriggerID, form)
}

func reasonOf(v Visitor, f bot.Submission) (string, map[string]string) {
	if err := notGoverning(v); err != nil {
		return "", map[string]string{"reason": err.Error()}
	}
	reason := strings.TrimSpace(f.Values["reason"])
	if reason == "" {
		return "", map[string]string{"reason": "Say why: it is kept in the ledger."}
	}
	return reason, nil
}

func (s homeAgent) suspend(ctx context.Context, v Visitor, f bot.Submission) (string, map[string]string, error) {
	reason, wrong := reasonOf(v, f)
	switch {
	case wrong != nil:
		return "", wrong, nil
	case v.Agent.State != identity.StateActive:
		return "", nil, sorryf("I am %s already.", v.Agent.State)
	}
	if _, err := s.home.Agents.Suspend(ctx, v.Workspace, v.ID, reason); err != nil {
		return "", nil, err
	}
	return "I am suspended: I do nothing until somebody resumes me.", nil, s.gate.Recheck(ctx)
}

func (s homeAgent) resume(ctx context.Context, v Visitor, f bot.Submission) (string, map[string]string, error) {
	reason, wrong := reasonOf(v, f)
	switch {
	case wrong != nil:
		return "", wrong, nil
	case v.Agent.State != identity.StateSuspended:
		return "", nil, sorryf("I am %s, so there is nothing to resume.", v.Agent.State)
	}
	_, err := s.home.Agents.Resume(ctx, v.Workspace, v.ID, reason)
	return "I am at work again, and take up what waited.", nil, err
}
