package bot

import (
	"context"
	"fmt"

	"github.com/slack-go/slack"

	"deskmate/identity"
)

// MostBlocks is how many blocks a Home may have.
// Source: docs.slack.dev/surfaces/app-home.
const MostBlocks = 100

// Block is one part of a Home; exactly one of its fields is set. Texts are
// Slack's mrkdwn, escaped, but for Head, which is plain.
type Block struct {
	Head    string   `json:"head,omitempty"`
	Text    string   `json:"text,omitempty"`
	Note    string   `json:"note,omitempty"` // small
	Buttons []Button `json:"buttons,omitempty"`
	Pick    *Pick    `json:"pick,omitempty"`
	Line    bool     `json:"line,omitempty"`
}

// Pick asks for one of the channels that the reader is in. Its id comes back as
// the value of a press.
type Pick struct {
	ID      string `json:"id"` // action_id
	Text    string `json:"text"`
	Initial string `json:"initial,omitempty"` // channel
}

// homeBlocks are the blocks of a Home in Block Kit.
func homeBlocks(all []Block) slack.Blocks {
	var out slack.Blocks
	for _, b := range all[:min(len(all), MostBlocks)] {
		var one slack.Block
		switch {
		case b.Head != "":
			one = slack.NewHeaderBlock(plainText(b.Head, maxHeader))
		case b.Note != "":
			one = slack.NewContextBlock("", markdown(b.Note, maxField))
		case len(b.Buttons) > 0:
			one = slack.NewActionBlock("", buttonElements(b.Buttons)...)
		case b.Pick != nil:
			e := slack.NewOptionsSelectBlockElement(slack.OptTypeConversations, plainText(b.Pick.Text, 150), b.Pick.ID)
			e.InitialConversation = b.Pick.Initial
			e.Filter = &slack.SelectBlockElementFilter{Include: []string{"public", "private"}, ExcludeBotUsers: true}
			one = slack.NewActionBlock("", e)
		case b.Line:
			one = slack.NewDividerBlock()
		default:
			one = slack.NewSectionBlock(markdown(b.Text, maxSection), nil, nil)
		}
		out.BlockSet = append(out.BlockSet, one)
	}
	return out
}

// Home is what one person sees when they open the agent.
type Home struct {
	Workspace string
	User      string
	Key       string // of this publication, unique for ever
	Digest    string // names the content; the ledger has it in place of the content
	Blocks    []Block
}

// HomeTurn waits until the person's Home may be published again.
func (o *Outbox) HomeTurn(ctx context.Context, user string) error {
	return o.send.pace.Post(ctx, "home:"+user)
}

// Publish shows a Home to its person. It is shown even while the agent is
// suspended: the Home says so.
func (o *Outbox) Publish(ctx context.Context, h Home) error {
	p := Post{Workspace: h.Workspace, Channel: h.User, ChannelKind: ChannelDirect, Key: h.Key, Requester: h.User, Cause: h.Key, Tool: ToolHome}
	_, err := o.o.Gate.Do(ctx, o.action(ctx, p, h.Digest), identity.Effect{
		Do: func(ctx context.Context) (identity.Result, error) {
			err := o.send.api.patient(ctx, "views.publish", func(ctx context.Context) error {
				_, err := o.send.api.client.PublishViewContext(ctx, slack.PublishViewContextRequest{
					UserID: h.User, View: slack.HomeTabViewRequest{Type: slack.VTHomeTab, CallbackID: "home", Blocks: homeBlocks(h.Blocks)},
				})
				return err
			})
			return identity.Result{}, err // whatever came of it: the next one takes its place
		},
		Find: harmless,
	})
	if err != nil {
		return fmt.Errorf("publish Home of %s: %w", h.User, err)
	}
	return nil
}
