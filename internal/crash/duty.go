package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"deskmate/identity/ledger"
	"deskmate/migrations"
	"deskmate/scheduler"
)

// duties makes duties in the store of the product from a process of its own, as the
// command line does.
type duties struct {
	db        *migrations.DB
	scheduler *scheduler.Scheduler
	workspace string
}

func openDuties(ctx context.Context, dir, workspace string) (*duties, error) {
	file := filepath.Join(dir, "deskmate.db")
	db, err := migrations.Open(ctx, "sqlite:"+file, migrations.Options{})
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	keys, err := ledger.LoadKeys(filepath.Join(dir, "deskmate.key"))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &duties{db, scheduler.New(db, ledger.New(db, keys, ledger.Options{}), nil), workspace}, nil
}

// make has a duty post a marker once in a channel, in a moment: a longer one where
// the store took so long that the first had passed.
func (d *duties) make(ctx context.Context, channel, owner, marker string, in time.Duration) (err error) {
	for range 6 {
		_, err = d.scheduler.Create(ctx, scheduler.NewDuty{
			Workspace: d.workspace, Channel: channel, ChannelKind: "public", Title: marker, Prompt: "post parcel " + marker + " has come", Owner: owner, Request: marker,
			Schedule: scheduler.Schedule{At: d.db.Now().Add(in), TZ: "UTC"},
		})
		if err == nil {
			return nil
		}
		in *= 2
	}
	return err
}

// judge checks that each duty has exactly one run, and that each ended well.
func (d *duties) judge(ctx context.Context) error {
	var all, ran, well int
	if err := d.db.QueryRow(ctx, `SELECT COUNT(*) FROM duties`).Scan(&all); err != nil {
		return fmt.Errorf("count duties: %w", err)
	}
	if err := d.db.QueryRow(ctx, `SELECT COUNT(*), SUM(CASE WHEN state = 'done' AND said_at <> '' THEN 1 ELSE 0 END) FROM runs`).Scan(&ran, &well); err != nil {
		return fmt.Errorf("count runs: %w", err)
	}
	if all != ran || ran != well {
		return fmt.Errorf("%d duties have %d runs, of which %d ended well and were told", all, ran, well)
	}
	return nil
}
