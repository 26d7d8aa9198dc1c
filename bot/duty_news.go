package bot

import (
	"fmt"

	"deskmate/migrations"
	"deskmate/scheduler"
)

// Ids of buttons on the card of a duty that was paused for its failures; their value
// is the duty's id.
const (
	ButtonDutyResume = "duty_resume"
	ButtonDutyHand   = "duty_hand"
	ButtonDutyDelete = "duty_delete"
)

// DutyNews tells people what became of their duties: where a duty reports, or its
// owner directly where it is silent.
type DutyNews struct{ Outbox *Outbox }

// Tell owes people one piece of news.
func (n *DutyNews) Tell(tx *migrations.Tx, d scheduler.Duty, news scheduler.News) error {
	name := fmt.Sprintf("My duty *%s* (`%s`), which <@%s> answers for", d.Title, d.ID, d.Owner)
	p := Post{
		Workspace: d.Workspace, Channel: d.Channel, Thread: d.Thread, Key: "duty:" + d.ID + ":" + news.Kind + ":" + news.Run.ID, Text: name + ": " + news.Text,
		Requester: d.Owner, ChannelKind: d.ChannelKind, Tool: ToolReply, Label: d.Label, Ours: true,
	}
	if d.Silent {
		p.Channel, p.ChannelKind, p.Thread, p.Tool = d.Owner, ChannelDirect, "", ToolNotice
	}
	if news.Run.ID == "" {
		p.Key += fmt.Sprint(migrations.Micros(tx.Now()))
	}
	if news.Kind == scheduler.NewsHeld {
		card := heldCard(d, news, "")
		p.Card = &card
	}
	return n.Outbox.Queue(tx, p)
}

// heldCard asks what is to become of a duty that was paused for its failures; done
// says what was decided, "" while it is open.
func heldCard(d scheduler.Duty, news scheduler.News, done string) Card {
	c := Card{
		Title: "Paused: " + escape(d.Title),
		Facts: []Fact{{"Owner", "<@" + d.Owner + ">"}, {"When", escapeMentioning(d.When)}},
		Texts: []string{escapeMentioning(clip(news.Text, 1500))},
		Note:  d.ID + " · for its owner, my sponsor or an admin of the workspace",
	}
	if done != "" {
		c.Facts = append(c.Facts, Fact{"Decided", escapeMentioning(done)})
		return c
	}
	c.Buttons = []Button{
		{ID: ButtonDutyResume, Text: "Resume", Value: d.ID, Style: "primary"},
		{ID: ButtonDutyHand, Text: "Hand over…", Value: d.ID},
		{ID: ButtonDutyDelete, Text: "Delete", Value: d.ID, Style: "danger", Confirm: "The duty ends for good; its history stays."},
	}
	return c
}

// DutyDecided is the edit of the card in message ts, once somebody has decided.
func DutyDecided(d scheduler.Duty, channel, ts, key, by, done string) Post {
	text := fmt.Sprintf("%s by <@%s>", done, by)
	card := heldCard(d, scheduler.News{Text: "I had paused it, because " + first(d.PausedWhy, "it failed too often") + "."}, text)
	return Post{Workspace: d.Workspace, Channel: channel, Key: "press:" + key, Update: ts, Text: "My duty *" + d.Title + "*: " + text, Card: &card, Ours: true, Cause: key, Requester: by, Tool: ToolCard}
}
