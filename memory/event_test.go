package memory

import (
	"context"
	"fmt"
	"testing"
	"time"

	"deskmate/migrations"
)

// eventWorld is three months of a workspace in which things are decided before and
// after releases, an outage, a move and a freeze.
func eventWorld(t *testing.T) *world {
	w := newWorld(t)
	n := 0
	say := func(day string, author, text string) {
		at, err := time.Parse("2006-01-02", day)
		if err != nil {
			t.Fatal(err)
		}
		n++
		w.write(func(tx *migrations.Tx) error {
			return w.Observe(tx, Message{Workspace: team, Channel: general, TS: fmt.Sprintf("%d.%06d", at.Unix()+36000, n), Author: author, Text: text})
		})
	}
	for _, m := range [][3]string{
		{"2026-06-01", ada, "The search service has to be fast for the release, we will test it before the release."},
		{"2026-06-10", ben, "We agreed that the timeout of the gateway is 30 seconds."},
		{"2026-06-12", chloe, "On call this week is Priya."},
		{"2026-06-14", ada, "The release needs one more review."},
		{"2026-06-15", ben, "The release is out, version 4 is live!"},
		{"2026-06-17", ben, "We agreed that the timeout of the gateway is 45 seconds."},
		{"2026-06-20", chloe, "On call this week is Tomas."},
		{"2026-07-02", ada, "The limit of the upload is 10 megabytes."},
		{"2026-07-05", ben, "After an outage we should write a report, as we planned."},
		{"2026-07-06", ben, "There is an outage: nobody can log in, the database went down."},
		{"2026-07-06", ada, "The outage is over since noon."},
		{"2026-07-08", ada, "The limit of the upload is 2 megabytes."},
		{"2026-07-09", chloe, "Backups are taken hourly from now on."},
		{"2026-07-20", chloe, "Lunch is in the canteen at noon."},
		{"2026-07-25", ada, "The office move will be on Friday, we must pack before the office move."},
		{"2026-07-31", ada, "The office move is done, welcome to Dock Street."},
		{"2026-08-03", chloe, "Lunch is in the food hall at one."},
		{"2026-08-04", ben, "The badge desk is on the second floor."},
		{"2026-07-22", ben, "The badge desk is next to the lift."},
		{"2026-08-20", ada, "The deploy window is on Tuesdays."},
		{"2026-08-24", ada, "The code freeze begins today, no merges please."},
		{"2026-08-27", ada, "The deploy window is on Mondays."},
	} {
		say(m[0], m[1], m[2])
	}
	w.now = time.Date(2026, 9, 10, 12, 0, 0, 0, time.UTC)
	return w
}

// What is said twice is meant as of the event that a question counts from.
func TestSearchKnowsWhatAQuestionCountsFrom(t *testing.T) {
	t.Parallel()
	w := eventWorld(t)
	p := in(general, ChannelPublic, chloe)
	for _, c := range [][2]string{
		{"what was the timeout of the gateway before the release?", "We agreed that the timeout of the gateway is 30 seconds."},
		{"what was the timeout of the gateway after the release?", "We agreed that the timeout of the gateway is 45 seconds."},
		{"gateway timeout since the release", "We agreed that the timeout of the gateway is 45 seconds."},
		{"who was on call before the release?", "On call this week is Priya."},
		{"who was on call after the release?", "On call this week is Tomas."},
		{"upload limit before the outage", "The limit of the upload is 10 megabytes."},
		{"what is the upload limit since the outage?", "The limit of the upload is 2 megabytes."},
		{"where was lunch before the office move?", "Lunch is in the canteen at noon."},
		{"where is lunch after the office move?", "Lunch is in the food hall at one."},
		{"where is the badge desk since the office move?", "The badge desk is on the second floor."},
		{"where was the badge desk until the office move?", "The badge desk is next to the lift."},
		{"when was the deploy window before the code freeze?", "The deploy window is on Tuesdays."},
		{"when is the deploy window after the code freeze?", "The deploy window is on Mondays."},
		// What nobody tells of changes nothing.
		{"deploy window after the eclipse", "The deploy window is on Mondays."},
	} {
		hits, err := w.Search(context.Background(), p, c[0], 5)
		if err != nil {
			t.Fatal(err)
		}
		if len(hits) == 0 || hits[0].Text != c[1] {
			var got []string
			for _, h := range hits {
				got = append(got, fmt.Sprintf("%.2f %s", h.Score, h.Text))
			}
			t.Errorf("%s: got %q, want %q first", c[0], got, c[1])
		}
	}
}
