package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deskmate/bot"
	"deskmate/identity/ledger"
	"deskmate/migrations"
)

// sinks are the places outside the store that get the ledger's checkpoints.
func (a *App) sinks() []ledger.Sink {
	var all []ledger.Sink
	if a.config.AnchorURL != "" {
		all = append(all, ledger.HTTPSink(a.config.AnchorURL, a.config.AnchorToken, &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("it redirects, which a sink must not") // the token is for it alone
		}}))
	}
	if a.config.AnchorChannel != "" {
		all = append(all, ledger.Sink{Name: "slack", Every: time.Hour, Put: a.anchorInSlack})
	}
	return all
}

// collectAnchors registers what each sink has got, read when it is asked for.
func (a *App) collectAnchors() {
	read := func(sink string) (got ledger.Anchored) {
		all, err := a.Ledger.Anchors(context.Background())
		if err != nil {
			return ledger.Anchored{Size: -1}
		}
		for _, x := range all {
			if x.Workspace == a.Self.Workspace && x.Sink == sink {
				return x
			}
		}
		return got
	}
	for _, s := range a.sinks() {
		labels := prometheus.Labels{"sink": s.Name}
		a.metrics.registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "deskmate", Name: "anchored_entries", Help: "Entries of the ledger that the newest checkpoint in a sink covers.", ConstLabels: labels},
				func() float64 { return float64(read(s.Name).Size) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "deskmate", Name: "anchor_failing_seconds", Help: "For how long a sink has taken no checkpoint; 0 when it does.", ConstLabels: labels},
				func() float64 {
					if since := read(s.Name).FailedAt; !since.IsZero() {
						return a.DB.Now().Sub(since).Seconds()
					}
					return 0
				}))
	}
}

// anchorInSlack owes a checkpoint to the anchor channel.
func (a *App) anchorInSlack(ctx context.Context, c ledger.Checkpoint) error {
	return a.DB.Write(ctx, func(tx *migrations.Tx) error {
		n := bot.Notices{Outbox: a.outbox, Channel: a.config.AnchorChannel, Logger: a.log}
		return n.Post(tx, c.Workspace, fmt.Sprintf("checkpoint:%s:%d", c.Workspace, c.Size),
			fmt.Sprintf("My ledger has %d entries. Whoever keeps this can show that none of them was changed (`deskmate audit verify`):\n```\n%s```", c.Size, c.Note))
	})
}

// trim erases old texts of the ledger, once a day, until ctx ends.
func (a *App) trim(ctx context.Context) error {
	if a.config.LedgerKeep == 0 {
		return nil
	}
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		if _, err := a.Ledger.Trim(ctx, a.Self.Workspace, "system", a.DB.Now().Add(-a.config.LedgerKeep)); err != nil && ctx.Err() == nil {
			a.log.Error().Err(err).Msg("old texts of the ledger not erased")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
