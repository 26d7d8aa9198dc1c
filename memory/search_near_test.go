package memory

import (
	"context"
	"fmt"
	"testing"

	"deskmate/migrations"
)

// What a person who is named said long ago in everyday words is found among more
// such messages of others than a search scores, and never from where it is hidden.
func TestSearchFindsAPersonAmongTheCrowd(t *testing.T) {
	for name, theirs := range map[string]int{"who says little": 0, "who says more than is walked through for rare words": counted} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			findsAmongTheCrowd(t, theirs)
		})
	}
}

// findsAmongTheCrowd has the person say so many other things as well.
func findsAmongTheCrowd(t *testing.T, theirs int) {
	w := newWorld(t)
	w.say(eng, "", ada, "I painted the kitchen window blue with my sister")
	w.say(leads, "", ada, "I painted the kitchen window red with my sister")
	crowd := scanned + 500
	w.write(func(tx *migrations.Tx) error {
		for i := range theirs {
			if err := w.Observe(tx, Message{Workspace: team, Channel: general, TS: fmt.Sprintf("17999%05d.000100", i), Author: ada, Text: "good morning"}); err != nil {
				return err
			}
		}
		for i := range crowd {
			err := w.Observe(tx, Message{Workspace: team, Channel: general, TS: fmt.Sprintf("18000%05d.000100", i), Author: ben,
				Text: fmt.Sprintf("we painted a kitchen, a window and my sister number %d", i)})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range []struct {
		p    Place
		want string
	}{
		{in(general, ChannelPublic, chloe), "I painted the kitchen window blue with my sister"},
		{in(leads, ChannelPrivate, ada), "I painted the kitchen window red with my sister"},
	} {
		hits, err := w.Search(context.Background(), c.p, "what did Ada paint in the kitchen with her sister?", 10)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, h := range hits {
			found = found || h.Text == c.want
			if h.Channel == leads && c.p.Channel != leads {
				t.Errorf("%s was given %q of a private channel", c.p.Channel, h.Text)
			}
		}
		if !found {
			t.Errorf("in %s: %q is not among the first ten", c.p.Channel, c.want)
		}
	}
}
