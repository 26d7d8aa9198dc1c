package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"deskmate/bot"
	"deskmate/identity"
	"deskmate/migrations"
)

// checkSponsors asks Slack whether the configured sponsors can answer for the
// agent.
func checkSponsors(ctx context.Context, c Config, api *bot.API, workspace string) []finding {
	follows := fmt.Sprintf("; without any the agent is suspended after %s", shortly(c.SponsorGrace))
	sponsors := identity.Agent{Sponsor: c.Sponsor}.Sponsors()
	if len(sponsors) == 0 {
		return []finding{{What: "sponsor", OK: true, Warning: true, Detail: "nobody answers for the agent: set DESKMATE_SPONSOR to Slack user ids" + follows}}
	}
	people := bot.NewDirectory(api, bot.DirectoryOptions{})
	var all []finding
	for _, id := range sponsors {
		f := finding{What: "sponsor " + id, OK: true, Detail: "an active full member"}
		who, err := people.Standing(ctx, workspace, id, nil)
		switch {
		case err != nil:
			f.OK, f.Detail = false, err.Error()
		case !who.Active || who.Kind != bot.KindMember:
			f.Warning, f.Detail = true, "not an active full member of this workspace, so not a sponsor"+follows
		}
		all = append(all, f)
	}
	return all
}

// shortly is a duration without the zeros at its end.
func shortly(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sponsorFinding is what the store knows of an agent's sponsors.
func sponsorFinding(ctx context.Context, s *Store, a identity.Agent) (finding, error) {
	f := finding{What: "sponsor in " + a.Workspace, OK: true, Detail: strings.Join(a.Sponsors(), " ")}
	var now identity.Sponsorship
	err := s.DB.Read(ctx, func(tx *migrations.Tx) (err error) {
		now, err = identity.SponsorshipOf(tx, a.Workspace)
		return err
	})
	switch {
	case err != nil:
		return f, err
	case !now.LostAt.IsZero():
		f.Warning, f.Detail = true, fmt.Sprintf("nobody has answered for the agent since %s: set DESKMATE_SPONSOR to active full members and start it again, or it is suspended at %s", when(now.LostAt), when(now.Until))
	case len(now.Sponsors) == 0:
		f.Warning, f.Detail = true, "nobody answers for the agent: set DESKMATE_SPONSOR to Slack user ids"
	case len(now.Away) > 0:
		f.Detail = strings.Join(now.Active(), " ") + " (not there: " + strings.Join(now.Away, " ") + ")"
	}
	return f, nil
}
