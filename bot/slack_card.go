package bot

import (
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// Bounds of Block Kit, in characters. Source: docs.slack.dev/reference/block-kit.
const (
	maxHeader  = 150
	maxSection = 3000
	maxField   = 2000
	maxButton  = 75
	maxConfirm = 300
)

// blocks are a card in Block Kit.
func (c *Card) blocks() []slack.Block {
	var all []slack.Block
	if c.Title != "" {
		all = append(all, slack.NewSectionBlock(markdown("*"+c.Title+"*", maxSection), nil, nil))
	}
	for _, f := range c.Facts {
		all = append(all, slack.NewSectionBlock(markdown("*"+f.Name+":* "+f.Value, maxField), nil, nil))
	}
	for _, t := range c.Texts {
		all = append(all, slack.NewSectionBlock(markdown(t, maxSection), nil, nil))
	}
	if len(c.Buttons) > 0 {
		all = append(all, slack.NewActionBlock("", buttonElements(c.Buttons)...))
	}
	if c.Note != "" {
		all = append(all, slack.NewContextBlock("", markdown(c.Note, maxField)))
	}
	return all
}

func buttonElements(buttons []Button) []slack.BlockElement {
	var all []slack.BlockElement
	for _, b := range buttons {
		e := slack.NewButtonBlockElement(b.ID, b.Value, slack.NewTextBlockObject(slack.PlainTextType, clip(b.Text, maxButton), false, false))
		e.Style = slack.Style(b.Style)
		if b.Confirm != "" {
			e.Confirm = slack.NewConfirmationBlockObject(slack.NewTextBlockObject(slack.PlainTextType, "Are you sure?", false, false), markdown(b.Confirm, maxConfirm),
				slack.NewTextBlockObject(slack.PlainTextType, "Yes", false, false), slack.NewTextBlockObject(slack.PlainTextType, "No", false, false))
		}
		all = append(all, e)
	}
	return all
}

func markdown(text string, most int) *slack.TextBlockObject {
	if strings.TrimSpace(text) == "" {
		text = "–"
	}
	t := slack.NewTextBlockObject(slack.MarkdownType, clip(text, most), false, false)
	t.Verbatim = true // what is no mention of ours stays text
	return t
}

// clip bounds text to most characters and shows where it was cut.
func clip(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
