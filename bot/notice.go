package bot

import (
	"fmt"
	"slices"

	"github.com/rs/zerolog"

	"deskmate/identity"
	"deskmate/migrations"
)

// Notices tell the admins what they should know: in their channel, else the first
// sponsor who is there by direct message, else those admins of the workspace whom
// the agent has met.
type Notices struct {
	Outbox  *Outbox
	Channel string // "" for none
	Logger  zerolog.Logger
}

// mostAdmins bounds how many admins are written to where nobody else is to tell.
const mostAdmins = 3

// Post owes a notice to the admins; key names it for ever. Text is Markdown of
// ours.
func (n *Notices) Post(tx *migrations.Tx, workspace, key, text string) error {
	s, err := identity.SponsorshipOf(tx, workspace)
	if err != nil {
		return fmt.Errorf("tell the admins: %w", err)
	}
	to, err := n.places(tx, workspace, s)
	if err != nil {
		return fmt.Errorf("tell the admins: %w", err)
	}
	if len(to) == 0 {
		n.Logger.Warn().Str("notice", text).Msg("nobody to tell: set admin_channel or sponsor")
	}
	for i, place := range to {
		p := noticePost(workspace, place, s, "notice:"+key, text)
		if i > 0 {
			p.Key += ":" + place
		}
		if err := n.Outbox.Queue(tx, p); err != nil {
			return fmt.Errorf("tell the admins: %w", err)
		}
	}
	return nil
}

// To owes a notice to one person by direct message; key names it for ever.
func (n *Notices) To(tx *migrations.Tx, workspace, person, key, text string) error {
	s, err := identity.SponsorshipOf(tx, workspace)
	if err != nil {
		return fmt.Errorf("tell %s: %w", person, err)
	}
	if err := n.Outbox.Queue(tx, noticePost(workspace, person, s, "notice:"+key, text)); err != nil {
		return fmt.Errorf("tell %s: %w", person, err)
	}
	return nil
}

// places are where a notice goes.
func (n *Notices) places(tx *migrations.Tx, workspace string, s identity.Sponsorship) ([]string, error) {
	if n.Channel != "" {
		return []string{n.Channel}, nil
	}
	if here := s.Active(); len(here) > 0 {
		return here[:1], nil
	}
	return knownAdmins(tx, workspace)
}

// everywhere are the places of notices and all sponsors who are there: who has to
// answer something gets it directly too.
func (n *Notices) everywhere(tx *migrations.Tx, workspace string, s identity.Sponsorship) ([]string, error) {
	to, err := n.places(tx, workspace, s)
	for _, id := range s.Active() {
		if !slices.Contains(to, id) {
			to = append(to, id)
		}
	}
	return to, err
}

// knownAdmins are admins of the workspace whom the agent has met, some.
func knownAdmins(tx *migrations.Tx, workspace string) ([]string, error) {
	rows, err := tx.Query(`SELECT id FROM people WHERE workspace = $1 AND is_admin <> 0 AND is_deleted = 0 AND kind = 'member' ORDER BY id LIMIT $2`, workspace, mostAdmins)
	if err != nil {
		return nil, fmt.Errorf("look for admins: %w", err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("look for admins: %w", err)
		}
		all = append(all, id)
	}
	return all, rows.Err()
}

// noticePost is a post to a channel or person that a suspension does not hold
// back. It is for that person, else for a sponsor.
func noticePost(workspace, place string, s identity.Sponsorship, key, text string) Post {
	p := Post{Workspace: workspace, Channel: place, Key: key, Text: text, Ours: true, Tool: ToolNotice}
	if p.toPerson() {
		p.Requester, p.ChannelKind = place, ChannelDirect
	} else if all := append(s.Active(), s.Sponsors...); len(all) > 0 {
		p.Requester = all[0]
	}
	return p
}
