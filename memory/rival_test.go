package memory

import (
	"context"
	"testing"
)

// A corrected note is held against others that its readers may see, and no other.
func TestCorrectTellsWhatSpeaksAgainstIt(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	w.channel("C0SECRET", ChannelPrivate)
	p := in(eng, ChannelPublic, ada)
	secret := w.remember(in("C0SECRET", ChannelPrivate, ada), "The standup is at 8:00")
	other := w.remember(p, "The standup is at 9:00")
	n := w.remember(p, "The lunch is at 12:00")
	_, against, err := w.Correct(ctx, p, n.ID, "The lunch is at 13:00")
	if err != nil || against != nil {
		t.Fatalf("%+v speaks against it, %v; want nothing", against, err)
	}
	_, against, err = w.Correct(ctx, p, n.ID, "The standup is at 10:00")
	if err != nil || against == nil || against.ID != other.ID {
		t.Fatalf("%+v speaks against it, %v; want note %s", against, err, other.ID)
	}
	if _, err := w.Forget(ctx, p, other.ID); err != nil {
		t.Fatal(err)
	}
	if _, against, err = w.Correct(ctx, p, n.ID, "The standup is at 11:00"); err != nil || against != nil {
		t.Errorf("%+v speaks against it, %v; want nothing: the only one left is %s, of a private channel", against, err, secret.ID)
	}
	// Notes of two channels have no reader in common by their scopes; those of one have.
	if _, all, err := w.CorrectAs(ctx, team, n.ID, "The standup is at 9:30", "cli:op"); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v: notes of two channels go together", all, err)
	}
	again := w.remember(p, "The review is on Monday")
	w.remember(p, "The party is on Friday")
	if _, all, err := w.CorrectAs(ctx, team, again.ID, "The party is on Tuesday", "cli:op"); err != nil || len(all) != 1 || all[0].Note != again.ID {
		t.Errorf("%+v, %v: want the note about the party against it", all, err)
	}
}
