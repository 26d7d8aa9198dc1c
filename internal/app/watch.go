package app

import (
	"context"
	"fmt"
	"time"

	"deskmate/bot"
	"deskmate/identity/monitor"
	"deskmate/migrations"
)

// monitorConfig is how the detectors are set.
func (c Config) monitorConfig() (monitor.Config, error) {
	_, _, manners := bot.ToolNames(nil)
	m, err := monitor.Config{Canaries: c.Canaries, Manners: manners}.Set(c.Monitor...)
	if err != nil {
		return m, fmt.Errorf("set monitor: %w", err)
	}
	return m, nil
}

// tellEvery is how soon admins learn what the monitor found.
const tellEvery = time.Second

// tell owes the admins what the monitor found, until ctx ends.
func (a *App) tell(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		if err := a.tellFindings(ctx); err != nil && ctx.Err() == nil {
			a.log.Error().Err(err).Msg("admins not told of findings")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *App) tellFindings(ctx context.Context) error {
	found, err := a.gate.Monitor.Findings(ctx, a.Self.Workspace, monitor.Filter{Untold: true, Limit: 20})
	if err != nil || len(found) == 0 {
		return err
	}
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = a.findingText(ctx, f)
	}
	return a.DB.Write(ctx, func(tx *migrations.Tx) error {
		for i, f := range found {
			if err := a.notices.Post(tx, f.Workspace, fmt.Sprintf("finding:%s:%d", f.Workspace, f.Seq), texts[i]); err != nil {
				return err
			}
			if err := a.gate.Monitor.Told(tx, f.Workspace, f.Seq); err != nil {
				return err
			}
		}
		return nil
	})
}

// findingText says what was found, what follows from it, and where to look.
func (a *App) findingText(ctx context.Context, f monitor.Finding) string {
	does := map[monitor.Response]string{
		monitor.None: "I only tell you.", monitor.Ask: "It needs an approval now.", monitor.Throttle: "It was not done; later it may be.",
		monitor.Stop: "I ended that work.", monitor.Suspend: "I am suspended until a human resumes me.",
	}[f.Response]
	text := fmt.Sprintf("**%s**: %s. %s\n(`deskmate audit show %d`", f.Detector, f.Text, does, f.Seq)
	if f.Turn != "" {
		text += ", turn `" + f.Turn + "`"
	}
	if link := a.turnLink(ctx, f.Turn); link != "" {
		text += ", [in Slack](" + link + ")"
	}
	return text + ")"
}

// turnLink is the place in Slack where a turn was asked for, "" if it is not known.
func (a *App) turnLink(ctx context.Context, turn string) string {
	var channel, thread string
	if turn == "" || a.DB.QueryRow(ctx, `SELECT channel, thread_ts FROM turns WHERE id = $1`, turn).Scan(&channel, &thread) != nil || thread == "" {
		return ""
	}
	link, err := bot.NewReader(a.api).Permalink(ctx, a.Self.Workspace, channel, thread)
	if err != nil {
		return ""
	}
	return link
}
