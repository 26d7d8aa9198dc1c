package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/internal/slacksim"
	"deskmate/scheduler"
)

// The demo's cast and places, as the emulator's default workspace has them.
const (
	ada      = "U0ADA"
	ben      = "U0BEN"
	chloe    = "U0CHLOE"
	agent    = "U0DESKMATE"
	general  = "C0GENERAL"
	eng      = "C0ENG"
	leads    = "C0LEADS"
	toAgent  = "<@" + agent + "> "
	sceneMax = 30 * time.Second
)

// story plays the product's main job in an emulated workspace and checks each
// step as a person would: by what appears in Slack.
type story struct {
	base   string
	out    io.Writer
	quiet  bool
	clock  *slacksim.Clock
	verify func(ctx context.Context) (string, error) // audits the ledger, says what it found
	demo   *demo                                     // whose agent is killed and brought back
	people map[string]*slacksim.Person
	views  map[string]*slacksim.Watch
	thread string // of the first scene, where the second goes on
}

type scene struct {
	title string
	play  func(ctx context.Context) error
}

// run plays all scenes in order; the first that fails ends the story.
func (s *story) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.people, s.views = map[string]*slacksim.Person{}, map[string]*slacksim.Watch{}
	for _, id := range []string{ada, ben, chloe} {
		s.people[id] = slacksim.NewPerson(s.base, id)
		w, err := s.people[id].Watch(ctx)
		if err != nil {
			return fmt.Errorf("watch the workspace: %w", err)
		}
		s.views[id] = w
	}
	scenes := []scene{
		{"Ada asks it to remember something, in #eng", s.remember},
		{"Ben asks in the same thread, without a mention", s.recall},
		{"What is said in #leads stays in #leads", s.private},
		{"Ada connects the team's issue tracker, and Ben just asks", s.tracker},
		{"What needs an approval waits for one, and outlives the process", s.approval},
		{"Ben gives it a duty in #general", s.duty},
		{"The clock moves on, and the duty is done", s.fires},
		{"Ben's account is deactivated, and his duty goes to Chloe", s.leaves},
		{"Everything it did is in the ledger, and the ledger verifies", s.audit},
	}
	for i, c := range scenes {
		s.say("\n%d. %s\n", i+1, c.title)
		began := time.Now()
		ctx, cancel := context.WithTimeoutCause(ctx, sceneMax, errors.New("nothing came in time"))
		err := c.play(ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("scene %d, %q: %w", i+1, c.title, err)
		}
		s.say("   ✓ %d ms\n", time.Since(began).Milliseconds())
	}
	return nil
}

func (s *story) say(format string, args ...any) {
	if !s.quiet {
		fmt.Fprintf(s.out, format, args...)
	}
}

// ask lets a person say text and waits for the agent's answer in its thread that
// holds want (any case).
func (s *story) ask(ctx context.Context, who, channel, thread, text, want string) (string, error) {
	ts, err := s.people[who].Say(ctx, channel, thread, text)
	if err != nil {
		return "", err
	}
	s.say("   %s: %s\n", s.name(who), s.plain(text))
	root := thread
	if root == "" {
		root = ts
	}
	answer, err := s.views[who].Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && m.Channel == channel && m.Thread == root && m.TS > ts
	})
	if err != nil {
		return "", fmt.Errorf("wait for an answer to %q: %w", text, err)
	}
	s.say("   deskmate: %s\n", s.plain(answer.Text))
	if !strings.Contains(strings.ToLower(answer.Text), strings.ToLower(want)) {
		return "", fmt.Errorf("the answer to %q does not hold %q: %s", text, want, answer.Text)
	}
	return root, nil
}

func (s *story) remember(ctx context.Context) error {
	root, err := s.ask(ctx, ada, eng, "", toAgent+"remember that the release freeze starts on Thursday at 17:00", "release freeze")
	s.thread = root
	return err
}

func (s *story) recall(ctx context.Context) error {
	_, err := s.ask(ctx, ben, eng, s.thread, "when does the release freeze start?", "Thursday at 17:00")
	return err
}

func (s *story) private(ctx context.Context) error {
	const secret = "Falcon"
	if _, err := s.ask(ctx, chloe, leads, "", toAgent+"remember that the code name of the merger is "+secret, secret); err != nil {
		return err
	}
	ts, err := s.people[ben].Say(ctx, general, "", toAgent+"what do you know about the code name of the merger?")
	if err != nil {
		return err
	}
	s.say("   Ben: what do you know about the code name of the merger?\n")
	answer, err := s.views[ben].Wait(ctx, func(m slacksim.Seen) bool { return m.User == agent && m.Thread == ts })
	if err != nil {
		return fmt.Errorf("wait for an answer in #general: %w", err)
	}
	s.say("   deskmate: %s\n", s.plain(answer.Text))
	if strings.Contains(answer.Text, secret) {
		return fmt.Errorf("what was said in #leads was shown in #general: %s", answer.Text)
	}
	if _, err := s.ask(ctx, ada, leads, "", toAgent+"what do you know about the code name of the merger?", secret); err != nil {
		return fmt.Errorf("it does not know in #leads what it was told there: %w", err)
	}
	return nil
}

const released = "Release 2.1 is out"

// approval has Ben ask for something that somebody else must approve. He cannot
// do that himself, and while it waits, the agent's process is killed.
func (s *story) approval(ctx context.Context) error {
	if err := s.demo.askFirst(ctx, bot.ToolPost); err != nil {
		return err
	}
	s.say("   (an admin has decided that `post` takes an approval of Ada's)\n")
	var err error
	if s.demo.out, err = s.demo.sendOut(ctx); err != nil {
		return err
	}
	root, err := s.ask(ctx, ben, eng, "", toAgent+"post in #general: "+released, "Approval needed")
	if err != nil {
		return err
	}
	card, err := s.views[ben].Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && m.Thread == root && strings.Contains(m.Text, "Approval needed")
	})
	if err != nil {
		return fmt.Errorf("wait for the card: %w", err)
	}
	s.say("   Ben presses Approve.\n")
	if err := s.people[ben].Press(ctx, card, bot.ButtonApprove); err != nil {
		return err
	}
	no, err := s.views[ben].Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && strings.Contains(m.Text, "somebody else has to approve")
	})
	if err != nil {
		return fmt.Errorf("wait for Ben to be refused: %w", err)
	}
	s.say("   deskmate, to Ben: %s\n", s.plain(no.Text))
	if err := s.demo.out.kill(); err != nil {
		return err
	}
	s.demo.out = nil
	s.say("   (the process is killed, and started again)\n")
	if err := s.demo.bringBack(ctx); err != nil {
		return err
	}
	s.say("   Ada presses Approve.\n")
	if err := s.people[ada].Press(ctx, card, bot.ButtonApprove); err != nil {
		return err
	}
	m, err := s.views[ben].Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && m.Channel == general && (m.Thread == "" || m.Thread == m.TS) && strings.Contains(m.Text, released)
	})
	if err != nil {
		return fmt.Errorf("wait for the post: %w", err)
	}
	s.say("   deskmate, in #general: %s\n", s.plain(m.Text))
	return nil
}

const dutyText = "Stand-up time"

func (s *story) duty(ctx context.Context) error {
	root, err := s.ask(ctx, ben, general, "", toAgent+"every weekday at 9:30 post "+dutyText, "every weekday at 09:30")
	if err != nil {
		return err
	}
	card, err := s.views[ben].Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && m.Thread == root && strings.Contains(m.Text, "Please confirm")
	})
	if err != nil {
		return fmt.Errorf("wait for the card: %w", err)
	}
	s.say("   Ben presses Confirm.\n")
	if err := s.people[ben].Press(ctx, card, bot.ButtonDutyConfirm); err != nil {
		return err
	}
	_, err = s.views[ben].Wait(ctx, func(m slacksim.Seen) bool { return m.TS == card.TS && strings.HasPrefix(m.Text, "Duty ") })
	if err != nil {
		return fmt.Errorf("wait for the duty to be confirmed: %w", err)
	}
	return nil
}

func (s *story) fires(ctx context.Context) error {
	before := s.clock.Now()
	due, err := nextStandUp(before)
	if err != nil {
		return err
	}
	s.clock.Advance(due.Sub(before) + time.Second)
	s.say("   (the clock moves from %s to %s)\n", before.UTC().Format("Mon 2 Jan 15:04"), s.clock.Now().UTC().Format("Mon 2 Jan 15:04 UTC"))
	m, err := s.views[ben].Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && m.Channel == general && (m.Thread == "" || m.Thread == m.TS) && strings.Contains(m.Text, dutyText)
	})
	if err != nil {
		return fmt.Errorf("wait for the duty to be done: %w", err)
	}
	s.say("   deskmate: %s\n", s.plain(m.Text))
	return nil
}

// leaves has the owner of the duty leave: it is paused, the sponsor is asked, and
// the new owner gets a brief and accepts.
func (s *story) leaves(ctx context.Context) error {
	if err := s.people[ada].Emulate(ctx, "user", map[string]any{"user": ben, "deleted": true}, nil); err != nil {
		return err
	}
	s.say("   (Ben's account is deactivated)\n")
	asked, err := s.views[ada].Wait(ctx, func(m slacksim.Seen) bool { return m.User == agent && strings.Contains(m.Text, "What becomes of") })
	if err != nil {
		return fmt.Errorf("wait for Ada to be asked: %w", err)
	}
	s.say("   deskmate, to Ada: %s\n   Ada presses Hand to…, and picks Chloe.\n", s.plain(asked.Text))
	if err := s.people[ada].Press(ctx, asked, bot.ButtonHand); err != nil {
		return err
	}
	form, err := s.views[ada].Form(ctx, "lapse_hand")
	if err != nil {
		return fmt.Errorf("wait for the form: %w", err)
	}
	if wrong, err := s.people[ada].Submit(ctx, form, map[string]string{"to": chloe}); err != nil || len(wrong) > 0 {
		return fmt.Errorf("hand the duty to Chloe: %v %w", wrong, err)
	}
	brief, err := s.views[chloe].Wait(ctx, func(m slacksim.Seen) bool {
		return m.User == agent && strings.Contains(m.Text, dutyText) && strings.HasPrefix(m.Channel, "D")
	})
	if err != nil {
		return fmt.Errorf("wait for the brief: %w", err)
	}
	s.say("   deskmate, to Chloe: %s\n", s.plain(brief.Text))
	offer, err := s.views[chloe].Wait(ctx, func(m slacksim.Seen) bool { return m.User == agent && strings.Contains(m.Text, "Take over") })
	if err != nil {
		return fmt.Errorf("wait for the offer: %w", err)
	}
	s.say("   Chloe presses Accept all.\n")
	if err := s.people[chloe].Press(ctx, offer, bot.ButtonTake); err != nil {
		return err
	}
	done, err := s.views[chloe].Wait(ctx, func(m slacksim.Seen) bool { return m.TS == offer.TS && strings.Contains(m.Text, "now owns") })
	if err != nil {
		return fmt.Errorf("wait for the handoff to be done: %w", err)
	}
	s.say("   deskmate: %s\n", s.plain(done.Text))
	hers, err := s.demo.App.Duties.List(ctx, scheduler.Filter{Workspace: s.demo.App.Self.Workspace, Owner: chloe})
	if err != nil {
		return err
	}
	if len(hers) != 1 || hers[0].State != scheduler.StateActive {
		return fmt.Errorf("after the handoff Chloe owns %d duties", len(hers))
	}
	// Whoever tries the workspace afterwards finds all of its people.
	return s.people[ada].Emulate(ctx, "user", map[string]any{"user": ben, "deleted": false}, nil)
}

// nextStandUp is the next weekday's 9:30 where Ben is: his time zone decides.
func nextStandUp(after time.Time) (time.Time, error) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		return time.Time{}, fmt.Errorf("find Ben's time zone: %w", err)
	}
	local := after.In(zone)
	for day := range 7 {
		at := time.Date(local.Year(), local.Month(), local.Day()+day, 9, 30, 0, 0, zone)
		if at.After(after) && at.Weekday() != time.Saturday && at.Weekday() != time.Sunday {
			return at, nil
		}
	}
	return time.Time{}, errors.New("no weekday within a week")
}

func (s *story) audit(ctx context.Context) error {
	found, err := s.verify(ctx)
	if err != nil {
		return err
	}
	s.say("   %s\n", found)
	return nil
}

func (s *story) name(id string) string {
	switch id {
	case ada:
		return "Ada"
	case ben:
		return "Ben"
	case chloe:
		return "Chloe"
	}
	return id
}

// plain is text as a terminal shows it.
func (s *story) plain(text string) string {
	text = strings.NewReplacer("<@"+agent+">", "@deskmate", "<@"+ada+">", "@Ada", "<@"+ben+">", "@Ben", "<@"+chloe+">", "@Chloe",
		"&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)
	return strings.ReplaceAll(text, "\n", "\n             ")
}
