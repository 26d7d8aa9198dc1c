package bot

import (
	"fmt"

	"github.com/rs/zerolog"

	"deskmate/migrations"
)

// Notices tell the admins what they should know: in their channel, else the
// sponsor by direct message.
type Notices struct {
	Outbox  *Outbox
	Channel string // "" for none
	Logger  zerolog.Logger
}

// Post owes a notice to the admins; key names it for ever. Text is Markdown of
// ours.
func (n *Notices) Post(tx *migrations.Tx, workspace, key, text string) error {
	sponsor, err := sponsorOf(tx, workspace)
	if err != nil {
		return err
	}
	p := Post{Workspace: workspace, Channel: n.Channel, Key: "notice:" + key, Text: text, Ours: true, Requester: sponsor, Tool: ToolNotice}
	if p.Channel == "" {
		p.Channel, p.ChannelKind = sponsor, ChannelDirect
	}
	if p.Channel == "" {
		n.Logger.Warn().Str("notice", text).Msg("nobody to tell: set admin_channel or sponsor")
		return nil
	}
	if err := n.Outbox.Queue(tx, p); err != nil {
		return fmt.Errorf("tell the admins: %w", err)
	}
	return nil
}
