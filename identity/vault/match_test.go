package vault

import (
	"context"
	"testing"
	"time"
)

func TestMatchTakesBothSecretsWhileTheyOverlap(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ctx := context.Background()
	is := func(secret string, want bool) {
		t.Helper()
		_, got, err := r.v.Match(ctx, ws, "webhook/d_1", func(s []byte) bool { return string(s) == secret })
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", secret, got, err, want)
		}
	}
	is("one", false)
	c, err := r.v.Add(ctx, "cli:ada", Addition{Workspace: ws, Connection: "webhook", Name: "d_1", Owner: "U0BEN", Justification: "signs"}, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	is("one", true)
	if _, err := r.v.Rotate(ctx, "cli:ada", ws, c.ID, []byte("two"), time.Time{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	is("one", true)
	is("two", true)
	is("three", false)
	r.now.Add(time.Hour.Microseconds() + 1)
	is("one", false)
	is("two", true)
	if _, err := r.v.Revoke(ctx, "cli:ada", ws, c.ID, "over"); err != nil {
		t.Fatal(err)
	}
	is("two", false)
}
