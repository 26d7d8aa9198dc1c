package bot

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"deskmate/identity"
)

// Card is a message with parts and buttons. All texts are Slack's mrkdwn, escaped
// already.
type Card struct {
	Title   string   `json:"title"` // "" for a quiet line
	Facts   []Fact   `json:"facts,omitempty"`
	Texts   []string `json:"texts,omitempty"` // sections below the facts
	Note    string   `json:"note,omitempty"`  // small, at the foot
	Buttons []Button `json:"buttons,omitempty"`
}

// Fact is a label with what it says.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Button is a button of a card. Value comes back with the press.
type Button struct {
	ID      string `json:"id"` // action_id
	Text    string `json:"text"`
	Value   string `json:"value"`
	Style   string `json:"style,omitempty"`   // primary, danger
	Confirm string `json:"confirm,omitempty"` // asked before it counts
}

// Ids of buttons on approval cards; their value is the approval's id.
const (
	ButtonApprove = "approval_approve"
	ButtonThread  = "approval_thread" // approve for this thread, for threadHours
	ButtonDuty    = "approval_duty"   // approve in advance for the duty's runs, for DutyDays
	ButtonDeny    = "approval_deny"
	ButtonReason  = "approval_reason" // deny, and say why
	ButtonArgs    = "approval_args"   // show the arguments in full
)

// ButtonForget forgets the note that a shortcut has just made; its value is the
// note's id.
const ButtonForget = "note_forget"

// ThreadHours is how long an approval for a whole thread holds.
const ThreadHours = 1

// DutyDays is how long an approval in advance for the runs of a duty holds.
const DutyDays = 30

// shownArg is how much of one argument a card shows, in characters.
const shownArg = 280

// approvalCard shows one approval: exactly what would be done, for whom, why it
// is asked, and what became of it.
func approvalCard(a identity.Approval, does, sponsor string) Card {
	args, folded := argLines(a.Args)
	c := Card{
		Title: "Approval needed: `" + escape(a.Tool) + "`",
		Facts: []Fact{
			{"Asked by", "<@" + a.Requester + "> in " + placeMention(a.Channel)},
			{"What will change", escape(does)},
			{"Why I ask", escapeReasons(a.Reasons)},
			{"Who can decide", quorumWords(a) + identity.ApproverWords(a.Approvers, sponsor)},
		},
		Texts: []string{args},
		Note:  fmt.Sprintf("%s · until %s", a.ID, slackTime(a.ExpiresAt)),
	}
	if a.Target != "" && a.Target != a.Channel {
		c.Facts = slices.Insert(c.Facts, 1, Fact{"Where", placeMention(a.Target)})
	}
	if folded {
		c.Buttons = append(c.Buttons, Button{ID: ButtonArgs, Text: "Show everything", Value: a.ID})
	}
	if a.State == identity.ApprovalPending {
		c.Buttons = append([]Button{{ID: ButtonApprove, Text: "Approve", Value: a.ID, Style: "primary"}, {ID: ButtonDeny, Text: "Deny", Value: a.ID, Style: "danger"},
			{ID: ButtonReason, Text: "Deny with a reason…", Value: a.ID}}, c.Buttons...)
		if a.Class == identity.ClassWrite && a.Thread != "" && a.Quorum <= 1 && !a.Flows() {
			c.Buttons = append(c.Buttons, Button{ID: ButtonThread, Text: "Approve for this thread, 1 hour", Value: a.ID,
				Confirm: fmt.Sprintf("<@%s> may then use `%s` in this thread for %d hour without asking again. It is a grant like any other and can be revoked.", a.Requester, escape(a.Tool), ThreadHours)})
		}
		if a.AdvanceForDuty() {
			c.Buttons = append(c.Buttons, Button{ID: ButtonDuty, Text: fmt.Sprintf("Approve for this duty, %d days", DutyDays), Value: a.ID,
				Confirm: fmt.Sprintf("The duty %s may then use `%s` in its runs with exactly these arguments for %d days without asking again. It is a grant like any other and can be revoked.", a.Duty, escape(a.Tool), DutyDays)})
		}
		if yes := a.Approved(); len(yes) > 0 {
			c.Facts = append(c.Facts, Fact{"So far", "approved by " + mentionAll(yes)})
		}
		return c
	}
	c.Title = approvalTitle(a)
	c.Facts = append(c.Facts[:len(c.Facts)-1], Fact{"Decision", approvalOutcome(a)})
	c.Note = a.ID + " · " + slackTime(a.EndedAt)
	return c
}

// approvalTitle is the head of a card that does not wait any more.
func approvalTitle(a identity.Approval) string {
	word := map[string]string{
		identity.ApprovalApproved: "Approved", identity.ApprovalUsed: "Approved", identity.ApprovalDenied: "Denied",
		identity.ApprovalExpired: "Nobody decided in time", identity.ApprovalWithdrawn: "Withdrawn", identity.ApprovalStale: "Does not hold any more",
	}[a.State]
	return word + ": `" + escape(a.Tool) + "`"
}

// approvalOutcome says what became of an approval.
func approvalOutcome(a identity.Approval) string {
	why := escapeMentioning(a.EndedWhy)
	switch a.State {
	case identity.ApprovalApproved, identity.ApprovalUsed:
		text := "approved by " + mentionAll(a.Approved())
		if why != "" {
			text += ": " + why
		}
		return text
	case identity.ApprovalDenied:
		text := "denied by " + whoMention(a.EndedBy)
		if why != "" {
			text += ": " + why
		}
		return text
	case identity.ApprovalExpired:
		return why + ". That is no denial: ask again if it is still wanted."
	case identity.ApprovalWithdrawn:
		return "withdrawn: " + why
	}
	return why + "; ask again"
}

// approvalText is the card in one line of Markdown, for notifications.
func approvalText(a identity.Approval) string {
	if a.State == identity.ApprovalPending {
		return "Approval needed: `" + a.Tool + "`, asked for by <@" + a.Requester + ">"
	}
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(approvalTitle(a) + ", " + approvalOutcome(a))
}

func quorumWords(a identity.Approval) string {
	if a.Quorum > 1 {
		return fmt.Sprintf("%d of: ", a.Quorum)
	}
	return ""
}

func mentionAll(people []string) string {
	all := make([]string, len(people))
	for i, p := range people {
		all[i] = whoMention(p)
	}
	return strings.Join(all, " and ")
}

func whoMention(who string) string {
	if who != "" && (who[0] == 'U' || who[0] == 'W') {
		return "<@" + who + ">"
	}
	return escape(who)
}

func placeMention(id string) string {
	switch {
	case id == "":
		return "?"
	case id[0] == 'U' || id[0] == 'W':
		return "a direct message to <@" + id + ">"
	case id[0] == 'D':
		return "a direct message"
	}
	return "<#" + id + ">"
}

// slackTime is a time as Slack shows it to everyone in their own zone.
func slackTime(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", t.Unix(), t.UTC().Format("2006-01-02 15:04 UTC"))
}

// escapeReasons are reasons of ours, which mention people and channels by id.
func escapeReasons(reasons []string) string {
	if len(reasons) == 0 {
		return "the rules for it say so"
	}
	return escapeMentioning(strings.Join(reasons, "; "))
}

var mentionForm = regexp.MustCompile(`&lt;(@[UW][A-Z0-9]+|#[CG][A-Z0-9]+|!subteam\^S[A-Z0-9]+)&gt;`)

// escapeMentioning makes a text harmless but for mentions of one person or channel.
func escapeMentioning(text string) string {
	return mentionForm.ReplaceAllString(escape(text), "<$1>")
}

// argLines shows the arguments of a call, one a line, the long ones folded.
func argLines(args string) (text string, folded bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(args), &members) != nil {
		return quoteArg(args, &folded), folded
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		value := string(members[name])
		var s string
		if json.Unmarshal(members[name], &s) == nil {
			value = s
		}
		if b.Len() > 2000 {
			folded = true
			fmt.Fprintf(&b, "and %d more\n", len(names))
			break
		}
		fmt.Fprintf(&b, "*%s*: %s\n", escape(name), quoteArg(value, &folded))
	}
	if b.Len() == 0 {
		return "(no arguments)", false
	}
	return strings.TrimRight(b.String(), "\n"), folded
}

// Verbatim are texts of a form that show a long text as it is.
func Verbatim(title, text string) []string {
	all := []string{title}
	runes := []rune(strings.ReplaceAll(text, "`", "'"))
	const most, parts = 2800, 20
	for len(runes) > 0 && len(all) <= parts {
		n := min(len(runes), most)
		part := escape(string(runes[:n]))
		for len(part) > 2*most { // escapes count
			n /= 2
			part = escape(string(runes[:n]))
		}
		runes = runes[n:]
		all = append(all, "```"+part+"```")
	}
	if len(runes) > 0 {
		all = append(all, fmt.Sprintf("(and %d more characters)", len(runes)))
	}
	return all
}

// quoteArg shows one argument as it is, not as markup.
func quoteArg(value string, folded *bool) string {
	n := utf8.RuneCountInString(value)
	if n > shownArg {
		*folded = true
		value = string([]rune(value)[:shownArg]) + fmt.Sprintf("… (%d characters in all)", n)
	}
	value = strings.ReplaceAll(escape(value), "`", "'")
	if strings.Contains(value, "\n") {
		return "```" + value + "```"
	}
	return "`" + value + "`"
}
